//! Reading a request the way OpenAI does: what it does not know it refuses by name.

use axum::body::Bytes;
use http::{HeaderMap, header};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{OpenaiError, tokens};

/// What a request may name; of these only some are acted on.
const KNOWN: &[&str] = &[
    "background",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
];

/// What one small picture counts for.
const PICTURE_TOKENS: u64 = 85;
/// The fewest tokens that an answer may be limited to.
const LEAST_TOKENS: u64 = 16;

/// A request that makes sense.
#[derive(Debug)]
pub struct Asked {
    /// Which model.
    pub model: String,
    /// Whether OpenAI keeps the answer.
    pub store: bool,
    /// All that people and programs said to the model.
    pub text: String,
    /// The name of the shape that is wanted, and it.
    pub schema: Option<(String, Value)>,
    /// How many pictures came along.
    pub pictures: usize,
    /// The longest answer.
    pub most_tokens: u64,
    /// What was read.
    pub input_tokens: u64,
    /// The body, with digests in the place of pictures.
    pub shown: Value,
}

/// Reads it, or says what is wrong with it.
pub fn read(headers: &HeaderMap, bytes: &Bytes) -> Result<Asked, OpenaiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        let message =
            format!("Unsupported content type: '{kind}'. This API method only accepts 'application/json'.");
        return Err(OpenaiError::new(400, "unsupported_content_type", message));
    }
    let unparsed =
        |_| OpenaiError::new(400, "invalid_json", "We could not parse the JSON body of your request.");
    let body: Map<String, Value> = serde_json::from_slice(bytes).map_err(unparsed)?;
    if let Some(name) = body.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(OpenaiError::parameter(
            name,
            "unknown_parameter",
            format!("Unknown parameter: '{name}'."),
        ));
    }
    let model = text(&body, "model")?.ok_or_else(|| missing("model"))?;
    if !["gpt-", "o3", "o4"].iter().any(|family| model.starts_with(family)) {
        let message = format!("The model '{model}' does not exist or you do not have access to it.");
        return Err(OpenaiError { http: 404, ..OpenaiError::parameter("model", "model_not_found", message) });
    }
    let most_tokens = match body.get("max_output_tokens") {
        None | Some(Value::Null) => u64::MAX,
        Some(value) => value.as_u64().filter(|most| *most >= LEAST_TOKENS).ok_or_else(|| {
            let message =
                format!("Invalid 'max_output_tokens': expected a value >= {LEAST_TOKENS}, but got {value}.");
            OpenaiError::parameter("max_output_tokens", "integer_below_min_value", message)
        })?,
    };
    let instructions = text(&body, "instructions")?.unwrap_or_default();
    let mut heard = Heard::default();
    let shown = heard.input(body.get("input").ok_or_else(|| missing("input"))?)?;
    let schema = schema(body.get("text").unwrap_or(&Value::Null))?;
    let shape = schema.as_ref().map(|(_, schema)| schema.to_string()).unwrap_or_default();
    let input_tokens =
        tokens(&instructions) + tokens(&heard.text) + tokens(&shape) + PICTURE_TOKENS * heard.pictures as u64;
    let mut whole = Value::Object(body.clone());
    whole["input"] = shown;
    Ok(Asked {
        model,
        store: body.get("store").is_none_or(|store| store != &Value::Bool(false)),
        text: heard.text,
        schema,
        pictures: heard.pictures,
        most_tokens,
        input_tokens,
        shown: whole,
    })
}

fn missing(name: &str) -> OpenaiError {
    OpenaiError::parameter(
        name,
        "missing_required_parameter",
        format!("Missing required parameter: '{name}'."),
    )
}

fn wrong_type(name: &str, wanted: &str) -> OpenaiError {
    OpenaiError::parameter(name, "invalid_type", format!("Invalid type for '{name}': expected {wanted}."))
}

fn text(body: &Map<String, Value>, name: &str) -> Result<Option<String>, OpenaiError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong_type(name, "a string")),
    }
}

/// What the input says, as far as it is read.
#[derive(Default)]
struct Heard {
    text: String,
    pictures: usize,
}

impl Heard {
    /// The input as it is shown to whoever asks what came.
    fn input(&mut self, input: &Value) -> Result<Value, OpenaiError> {
        if let Some(text) = input.as_str() {
            self.text.push_str(text);
            return Ok(input.clone());
        }
        let messages = input.as_array().ok_or_else(|| wrong_type("input", "a string or an array"))?;
        let shown: Result<Vec<_>, _> =
            messages.iter().enumerate().map(|(n, it)| self.message(n, it)).collect();
        shown.map(Value::Array)
    }

    fn message(&mut self, n: usize, message: &Value) -> Result<Value, OpenaiError> {
        let role = message["role"].as_str().unwrap_or_default();
        if !["user", "assistant", "system", "developer"].contains(&role) {
            let message = format!(
                "Invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'."
            );
            return Err(OpenaiError::parameter(&format!("input[{n}].role"), "invalid_value", message));
        }
        if let Some(text) = message["content"].as_str() {
            self.text.push_str(text);
            return Ok(message.clone());
        }
        let name = format!("input[{n}].content");
        let parts = message["content"].as_array().ok_or_else(|| wrong_type(&name, "a string or an array"))?;
        let shown: Result<Vec<_>, _> =
            parts.iter().enumerate().map(|(m, part)| self.part(&format!("{name}[{m}]"), part)).collect();
        Ok(json!({ "role": role, "content": shown? }))
    }

    fn part(&mut self, name: &str, part: &Value) -> Result<Value, OpenaiError> {
        match part["type"].as_str().unwrap_or_default() {
            "input_text" => {
                let field = format!("{name}.text");
                self.text.push_str(part["text"].as_str().ok_or_else(|| wrong_type(&field, "a string"))?);
                Ok(part.clone())
            }
            "input_image" => {
                let detail = part["detail"].as_str().unwrap_or("auto");
                if !["low", "high", "auto", "original"].contains(&detail) {
                    let message = format!("Invalid value: '{detail}'.");
                    return Err(OpenaiError::parameter(&format!("{name}.detail"), "invalid_value", message));
                }
                self.pictures += 1;
                let url = part["image_url"]
                    .as_str()
                    .ok_or_else(|| wrong_type(&format!("{name}.image_url"), "a string"))?;
                picture(&format!("{name}.image_url"), url)
                    .map(|shown| json!({ "type": "input_image", "detail": detail, "image": shown }))
            }
            other => {
                let message = format!(
                    "Invalid value: '{other}'. Supported values are: 'input_text', 'input_image', and 'input_file'."
                );
                Err(OpenaiError::parameter(&format!("{name}.type"), "invalid_value", message))
            }
        }
    }
}

/// A picture as it is shown to whoever asks what came.
fn picture(name: &str, url: &str) -> Result<Value, OpenaiError> {
    opened(name, url).map(|(_, shown)| shown)
}

/// Opens a picture in a data address; what is elsewhere is not fetched here.
pub fn opened(name: &str, url: &str) -> Result<(image::DynamicImage, Value), OpenaiError> {
    let refused = |code: &str, message: &str| OpenaiError::parameter(name, code, message);
    let Some((kind, data)) = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) else {
        return Err(refused(
            "invalid_image_url",
            "The image address cannot be used here: only data addresses are.",
        ));
    };
    if !["image/jpeg", "image/png", "image/webp", "image/gif"].contains(&kind) {
        return Err(refused("unsupported_image_media_type", "The image type is not supported."));
    }
    let bytes =
        decode(data).ok_or_else(|| refused("invalid_base64_image", "The image data is no base64."))?;
    let opened = image::load_from_memory(&bytes)
        .map_err(|_| refused("image_parse_error", "The image does not open."))?;
    let shown = json!({
        "type": kind, "bytes": bytes.len(), "sha256": hex::encode(Sha256::digest(&bytes)),
        "width": opened.width(), "height": opened.height(),
    });
    Ok((opened, shown))
}

/// Standard base64 with its padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let bare = text.trim_end_matches('=');
    if text.len() - bare.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(bare.len() * 3 / 4);
    for chunk in bare.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for byte in chunk {
            bits = bits << 6 | u32::from(value(*byte)?);
        }
        bits <<= 6 * (4 - chunk.len());
        let three = bits.to_be_bytes();
        bytes.extend_from_slice(&three[1..chunk.len()]);
    }
    Some(bytes)
}

/// The shape that is wanted. A strict one is closed everywhere and wants all that it has.
fn schema(text: &Value) -> Result<Option<(String, Value)>, OpenaiError> {
    let format = &text["format"];
    if format.is_null() {
        return Ok(None);
    }
    match format["type"].as_str() {
        Some("text") => return Ok(None),
        Some("json_schema") => {}
        _ => return Err(wrong_type("text.format.type", "'text' or 'json_schema'")),
    }
    let name = format["name"].as_str().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !(1..=64).contains(&name.len()) || !name.chars().all(plain) {
        return Err(OpenaiError::parameter(
            "text.format.name",
            "invalid_value",
            "Invalid 'text.format.name'.",
        ));
    }
    if format["strict"] == true {
        closed(&format["schema"]).map_err(|what| {
            let message = format!("Invalid schema for response_format '{name}': {what}");
            OpenaiError::parameter("text.format.schema", "invalid_json_schema", message)
        })?;
    }
    Ok(Some((name.to_owned(), format["schema"].clone())))
}

fn closed(shape: &Value) -> Result<(), String> {
    if let Some(types) = shape["type"].as_array() {
        // one of several that hold nothing
        let plain = types
            .iter()
            .all(|it| closed(&json!({ "type": it })).is_ok() && *it != "object" && *it != "array");
        return if plain { Ok(()) } else { Err("only plain types may stand beside each other".into()) };
    }
    match shape["type"].as_str() {
        Some("object") => {
            if shape["additionalProperties"] != false {
                return Err("'additionalProperties' is required to be supplied and to be false.".into());
            }
            let required: Vec<&str> =
                shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            for (name, property) in shape["properties"].as_object().into_iter().flatten() {
                if !required.contains(&name.as_str()) {
                    return Err(format!(
                        "'required' is required to include every key in properties. Missing '{name}'."
                    ));
                }
                closed(property)?;
            }
            Ok(())
        }
        Some("array") if shape["items"].is_null() => Err("array schema missing items".into()),
        Some("array") => closed(&shape["items"]),
        Some("string" | "number" | "integer" | "boolean" | "null") => Ok(()),
        other => Err(format!("schema must have a 'type' key, found {other:?}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_byte_by_byte() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYg==", b"foob"),
            ("+/+/", &[251, 255, 191]),
        ] {
            assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!((decode("Zg="), decode("Z!=="), decode("Z===")), (None, None, None));
    }

    #[test]
    fn a_shape_that_is_open_somewhere_is_refused() {
        let closed_one = json!({ "type": "object", "additionalProperties": false, "required": ["a"],
            "properties": { "a": { "type": "array", "items": { "type": "string" } } } });
        assert_eq!(closed(&closed_one), Ok(()));
        let mut open = closed_one.clone();
        open["required"] = json!([]);
        assert!(closed(&open).is_err());
        let mut open = closed_one;
        open["properties"]["a"]["items"] = json!({ "type": "object" });
        assert!(closed(&open).is_err());
    }
}
