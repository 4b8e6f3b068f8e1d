//! What is said in a film, and whether a picture may be shown: two more of OpenAI's calls, each read into a list.

use base64::{Engine, prelude::BASE64_STANDARD};
use jobs::analysis::{Heard, Holds, Part, money::Usage};
use reqwest::multipart;
use serde_json::{Value, json};

use super::answer::unreadable;

/// It tells when something is said; the newer ones do not.
pub(super) const SPEECH_MODEL: &str = "whisper-1";
pub(super) const MODERATION_MODEL: &str = "omni-moderation-latest";
/// A segment that is less than this likely to be speech is noise.
const NO_SPEECH: f64 = 0.8;

/// The form that asks what is said. No language is named: told a wrong one it hears words that nobody has spoken.
pub(super) fn speech(sound: &Part) -> multipart::Form {
    let bytes = match &sound.holds {
        Holds::Sound(bytes) | Holds::Picture(bytes) => bytes.clone(),
        Holds::Text(text) => text.clone().into_bytes(),
    };
    let file = multipart::Part::bytes(bytes).file_name("sound.m4a");
    multipart::Form::new()
        .part("file", file)
        .text("model", SPEECH_MODEL)
        .text("response_format", "verbose_json")
        .text("timestamp_granularities[]", "segment")
}

/// The body that asks whether it may be shown.
pub(super) fn moderation(part: &Part) -> Value {
    let input = match &part.holds {
        Holds::Text(text) => json!([{ "type": "text", "text": text }]),
        Holds::Picture(bytes) | Holds::Sound(bytes) => {
            json!([{ "type": "image_url", "image_url": { "url": address(bytes) } }])
        }
    };
    json!({ "model": MODERATION_MODEL, "input": input })
}

/// A picture as an address that it is in itself.
pub(super) fn address(jpeg: &[u8]) -> String {
    format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg))
}

/// What was said, as `{"said": [{"from_ms", "until_ms", "text"}]}`.
pub(super) fn said(body: &Value) -> Heard {
    let Some(segments) = body["segments"].as_array() else { return unreadable() };
    let millis =
        |value: &Value| value.as_f64().filter(|seconds| (0.0..1e6).contains(seconds)).map(whole_millis);
    let mut said = Vec::new();
    for segment in segments {
        let text = segment["text"].as_str().unwrap_or_default().trim();
        let noise = segment["no_speech_prob"].as_f64().is_some_and(|likely| likely > NO_SPEECH);
        let (Some(from), Some(until)) = (millis(&segment["start"]), millis(&segment["end"])) else {
            return unreadable();
        };
        if !text.is_empty() && !noise {
            said.push(json!({ "from_ms": from, "until_ms": until, "text": text }));
        }
    }
    Heard::Answer(json!({ "said": said }).to_string(), Usage::default())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
fn whole_millis(seconds: f64) -> u64 {
    (seconds * 1_000.0).round() as u64
}

/// What it was found to be, as `{"categories": ["violence"]}`; nothing where it may be shown.
pub(super) fn judged(body: &Value) -> Heard {
    let Some(results) = body["results"].as_array().filter(|results| !results.is_empty()) else {
        return unreadable();
    };
    let flagged = results.iter().filter(|result| result["flagged"] == true);
    let categories = flagged.filter_map(|result| result["categories"].as_object()).flatten();
    let categories: Vec<&String> =
        categories.filter(|(_, found)| **found == true).map(|(name, _)| name).collect();
    Heard::Answer(json!({ "categories": categories }).to_string(), Usage::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(heard: Heard) -> Value {
        let Heard::Answer(text, _) = heard else { panic!("{heard:?}") };
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn a_recorded_transcript_is_read_without_its_noise() {
        let body: Value = serde_json::from_str(include_str!("recorded/transcript.json")).expect("JSON");
        let said = answer(said(&body));
        assert_eq!(
            said["said"][0],
            json!({ "from_ms": 0, "until_ms": 3_320, "text": "Fresh bread every morning." })
        );
        assert_eq!(said["said"].as_array().map(Vec::len), Some(1));
        assert!(matches!(super::said(&json!({ "text": "no segments" })), Heard::Lost(_)));
    }

    #[test]
    fn a_recorded_verdict_names_what_was_flagged() {
        let body: Value = serde_json::from_str(include_str!("recorded/moderation.json")).expect("JSON");
        assert_eq!(answer(judged(&body)), json!({ "categories": ["violence"] }));
        let fine = json!({ "results": [{ "flagged": false, "categories": { "violence": false } }] });
        assert_eq!(answer(judged(&fine)), json!({ "categories": [] }));
        assert!(matches!(judged(&json!({ "results": [] })), Heard::Lost(_)));
    }
}
