//! OpenAI's stand-in: strict about what it is sent, and it goes wrong when it is told to.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answered, Net, jpeg, send};

fn wish() -> Value {
    json!({
        "model": "gpt-4.1-mini", "instructions": "Write.", "store": false, "max_output_tokens": 1000,
        "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "{\"language\":\"English\",\"brief\":\"bread\",\"variants\":2}" }] }],
        "text": { "format": { "type": "json_schema", "name": "captions", "strict": true, "schema": {
            "type": "object", "additionalProperties": false, "required": ["variants", "alt_texts"], "properties": {
                "alt_texts": { "type": "array", "items": { "type": "string" } },
                "variants": { "type": "array", "items": {
                    "type": "object", "additionalProperties": false, "required": ["platform"],
                    "properties": { "platform": { "type": "string", "enum": ["tiktok"] } } } } } } } },
    })
}

async fn ask(net: &Net, body: &Value) -> Answered {
    let url = format!("{}/responses", net.addresses().openai);
    send(net.http().request(Method::POST, url).bearer_auth("sk-test").json(body)).await
}

fn code(answer: &Answered) -> (u16, &str) {
    (answer.0, answer.1["error"]["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn it_answers_in_the_shape_that_is_asked_for_and_counts() {
    let net = Net::start().await;
    let (status, answer) = ask(&net, &wish()).await;
    assert_eq!(
        (status, &answer["status"], &answer["store"]),
        (200, &json!("completed"), &json!(false)),
        "{answer}"
    );
    let text = answer["output"][1]["content"][0]["text"].as_str().expect("text");
    let text: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(text["variants"].as_array().map(Vec::len), Some(2));
    let asked = net.control_get("openai").await;
    assert_eq!(asked["data"][0]["input_tokens"], answer["usage"]["input_tokens"]);
    assert_eq!(asked["data"][0]["body"]["input"], wish()["input"]);
}

#[tokio::test]
async fn what_it_does_not_know_it_refuses_by_name() {
    let net = Net::start().await;
    let with = |change: fn(&mut Value)| {
        let mut body = wish();
        change(&mut body);
        body
    };
    for (body, expected) in [
        (with(|it| it["max_tokens"] = 5.into()), (400, "unknown_parameter")),
        (with(|it| it["model"] = "claude".into()), (404, "model_not_found")),
        (with(|it| it["max_output_tokens"] = 1.into()), (400, "integer_below_min_value")),
        (with(|it| it["input"][0]["role"] = "boss".into()), (400, "invalid_value")),
        (with(|it| it["text"]["format"]["schema"]["required"] = json!([])), (400, "invalid_json_schema")),
        (with(|it| it["text"]["format"]["name"] = "two words".into()), (400, "invalid_value")),
    ] {
        let answer = ask(&net, &body).await;
        assert_eq!(code(&answer), expected, "{}", answer.1);
    }
    let url = format!("{}/responses", net.addresses().openai);
    let answer = send(net.http().request(Method::POST, url).bearer_auth("nothing").json(&wish())).await;
    assert_eq!(code(&answer), (401, "invalid_api_key"));
    assert_eq!(net.control_get("openai").await["data"], json!([]));
}

#[tokio::test]
async fn pictures_are_opened_and_kept_as_digests() {
    let net = Net::start().await;
    let image = |url: &str| {
        let mut body = wish();
        let content = body["input"][0]["content"].as_array_mut().expect("parts");
        content.push(json!({ "type": "input_image", "image_url": url, "detail": "low" }));
        body
    };
    for (url, expected) in [
        ("https://elsewhere.example/a.jpg", "invalid_image_url"),
        ("data:image/tiff;base64,AAAA", "unsupported_image_media_type"),
        ("data:image/jpeg;base64,AAAA", "image_parse_error"),
        ("data:image/jpeg;base64,A", "invalid_base64_image"),
    ] {
        assert_eq!(code(&ask(&net, &image(url)).await), (400, expected), "{url}");
    }
    let (status, answer) =
        ask(&net, &image(&format!("data:image/jpeg;base64,{}", base64(&jpeg(40, 30))))).await;
    assert_eq!(status, 200, "{answer}");
    let shown = net.control_get("openai").await["data"][0]["body"]["input"][0]["content"][1]["image"].clone();
    assert_eq!((&shown["width"], &shown["height"]), (&json!(40), &json!(30)));
}

/// Standard base64.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(bits);
        for n in 0..4_usize {
            let letter = LETTERS[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[tokio::test]
async fn it_goes_wrong_as_it_is_told() {
    let net = Net::start().await;
    let fault = |what: Value| json!({ "call": "responses", "times": 1, "fault": { "openai": what } });
    net.fault(fault(json!({ "code": "insufficient_quota", "http": 429 }))).await;
    assert_eq!(code(&ask(&net, &wish()).await), (429, "insufficient_quota"));
    assert_eq!(net.control_get("openai").await["data"], json!([]), "an error uses nothing");
    net.fault(fault(json!({ "refusal": "No." }))).await;
    assert_eq!(ask(&net, &wish()).await.1["output"][1]["content"][0]["refusal"], "No.");
    net.fault(fault(json!({ "text": "nonsense" }))).await;
    assert_eq!(ask(&net, &wish()).await.1["output"][1]["content"][0]["text"], "nonsense");
    net.fault(fault(json!({ "incomplete": "content_filter" }))).await;
    let cut = ask(&net, &wish()).await.1;
    assert_eq!(
        (&cut["status"], &cut["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("content_filter"))
    );
    let mut short = wish();
    short["max_output_tokens"] = 16.into();
    assert_eq!(ask(&net, &short).await.1["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(net.control_get("openai").await["data"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn what_is_nearly_all_red_is_flagged() {
    let net = Net::start().await;
    let mut red = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(20, 20, image::Rgb([230, 10, 10]));
    picture.write_to(&mut red, image::ImageFormat::Png).expect("encodes");
    for (bytes, kind, flagged) in [(red.into_inner(), "png", true), (jpeg(20, 20), "jpeg", false)] {
        let url = format!("data:image/{kind};base64,{}", base64(&bytes));
        let body = json!({ "model": "omni-moderation-latest", "input": [{ "type": "image_url", "image_url": { "url": url } }] });
        let at = format!("{}/moderations", net.addresses().openai);
        let (status, answer) =
            send(net.http().request(Method::POST, at).bearer_auth("sk-test").json(&body)).await;
        assert_eq!((status, &answer["results"][0]["flagged"]), (200, &json!(flagged)), "{answer}");
    }
}
