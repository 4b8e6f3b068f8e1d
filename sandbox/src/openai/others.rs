//! The two calls beside the model: what is said in a sound, and whether something may be shown.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart};
use http::{HeaderMap, Request, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::OpenaiError;
use super::request::opened;

/// The largest sound that is taken.
const MOST_SOUND: usize = 25 << 20;
/// What a file may be called.
const ENDINGS: &[&str] = &["flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"];
const CATEGORIES: &[&str] = &[
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

/// An answer, and what is shown of what came.
pub type Answered = (Value, Value);

/// What is said: always the same, whatever is heard, and nothing in what is too short to say anything in.
pub async fn transcribe(headers: &HeaderMap, bytes: Bytes) -> Result<Answered, OpenaiError> {
    let mut request = Request::new(Body::from(bytes));
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        request.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    let broken = |message: String| OpenaiError::new(400, "invalid_request_error", message);
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| broken(error.to_string()))?;
    let (mut shown, mut file) = (json!({}), None);
    while let Some(field) = form.next_field().await.map_err(|error| broken(error.to_string()))? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            let called = field.file_name().unwrap_or_default().to_owned();
            let content = field.bytes().await.map_err(|error| broken(error.to_string()))?;
            file = Some((called, content));
            continue;
        }
        let known =
            ["model", "language", "prompt", "response_format", "temperature", "timestamp_granularities[]"];
        if !known.contains(&name.as_str()) {
            return Err(OpenaiError::parameter(
                &name,
                "unknown_parameter",
                format!("Unknown parameter: '{name}'."),
            ));
        }
        shown[name.as_str()] = field.text().await.map_err(|error| broken(error.to_string()))?.into();
    }
    let missing = |name: &str| {
        OpenaiError::parameter(
            name,
            "missing_required_parameter",
            format!("you must provide a {name} parameter"),
        )
    };
    let (called, content) = file.ok_or_else(|| missing("file"))?;
    let model = shown["model"].as_str().ok_or_else(|| missing("model"))?;
    if shown["response_format"] == "verbose_json" && model != "whisper-1" {
        let message = format!("response_format 'verbose_json' is not compatible with model '{model}'.");
        return Err(OpenaiError::parameter("response_format", "unsupported_value", message));
    }
    let ending = called.rsplit('.').next().unwrap_or_default();
    if !ENDINGS.contains(&ending) || content.len() > MOST_SOUND || content.len() < 100 {
        return Err(OpenaiError::parameter("file", "invalid_value", "Invalid file format."));
    }
    if ending == "m4a" && content.get(4..8) != Some(b"ftyp") {
        return Err(OpenaiError::parameter(
            "file",
            "invalid_value",
            "The audio file could not be decoded or its format is not supported.",
        ));
    }
    shown["file"] =
        json!({ "name": called, "bytes": content.len(), "sha256": hex::encode(Sha256::digest(&content)) });
    let text =
        if shown["language"] == "he" { "לחם טרי בכל בוקר" } else { "Fresh bread every morning" };
    let segment =
        json!({ "id": 0, "start": 0.0, "end": 2.5, "text": format!(" {text}"), "no_speech_prob": 0.01 });
    let answer = json!({
        "task": "transcribe", "language": shown["language"], "duration": 2.5, "text": text, "segments": [segment],
        "usage": { "type": "duration", "seconds": 3 },
    });
    Ok((answer, shown))
}

/// Whether it may be shown: what is nearly all red is taken for blood.
pub fn moderate(bytes: &Bytes) -> Result<Answered, OpenaiError> {
    let body: Value = serde_json::from_slice(bytes).map_err(|_| {
        OpenaiError::new(400, "invalid_json", "We could not parse the JSON body of your request.")
    })?;
    let unknown =
        body.as_object().into_iter().flatten().find(|(name, _)| !["model", "input"].contains(&name.as_str()));
    if let Some((name, _)) = unknown {
        return Err(OpenaiError::parameter(
            name,
            "unknown_parameter",
            format!("Unknown parameter: '{name}'."),
        ));
    }
    let model = body["model"].as_str().unwrap_or("omni-moderation-latest");
    if !model.starts_with("omni-moderation") {
        return Err(OpenaiError::parameter(
            "model",
            "model_not_found",
            format!("The model '{model}' does not exist."),
        ));
    }
    let (mut shown, mut violent, mut pictures) = (Vec::new(), false, 0);
    let parts = body["input"].as_array().cloned().unwrap_or_else(|| vec![body["input"].clone()]);
    for part in &parts {
        if part["type"] == "image_url" {
            let url = part["image_url"]["url"].as_str().unwrap_or_default();
            let (image, told) = opened("input.image_url.url", url)?;
            violent |= is_red(&image);
            pictures += 1;
            shown.push(json!({ "type": "image_url", "image": told }));
        } else {
            let text = part["text"].as_str().or_else(|| part.as_str()).unwrap_or_default();
            violent |= text.contains("kill");
            shown.push(part.clone());
        }
    }
    if pictures > 1 {
        return Err(OpenaiError::parameter("input", "invalid_value", "Only one image is taken at a time."));
    }
    let categories: Value =
        CATEGORIES.iter().map(|name| ((*name).to_owned(), json!(violent && *name == "violence"))).collect();
    let scores: Value = CATEGORIES
        .iter()
        .map(|name| ((*name).to_owned(), json!(if violent && *name == "violence" { 0.9 } else { 0.001 })))
        .collect();
    let result = json!({ "flagged": violent, "categories": categories, "category_scores": scores });
    let answer = json!({ "id": "modr-1", "model": model, "results": [result] });
    Ok((answer, json!({ "model": model, "input": shown })))
}

fn is_red(image: &image::DynamicImage) -> bool {
    let pixels = image.to_rgb8();
    let red = pixels.pixels().filter(|pixel| pixel[0] > 180 && pixel[1] < 80 && pixel[2] < 80).count();
    red * 10 > pixels.pixels().len() * 8
}
