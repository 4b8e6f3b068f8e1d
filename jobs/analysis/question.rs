//! What is asked at once: what the model is told, what people wrote, pictures, and the shape of the answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    money::{Micros, Tariff},
    prompts,
};

/// A part of what leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is: `brief`, `schema`, `image_1`.
    pub field: String,
    /// It.
    pub holds: Holds,
}

/// What a part is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// Words.
    Text(String),
    /// A JPEG.
    Picture(Vec<u8>),
    /// MPEG-4 audio.
    Sound(Vec<u8>),
}

/// What is kept of a part that left: never the part itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// What it was.
    pub field: String,
    /// Its size.
    pub bytes: usize,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Part {
    /// Words.
    pub fn text(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self { field: field.into(), holds: Holds::Text(text.into()) }
    }

    /// A picture.
    pub fn picture(field: impl Into<String>, jpeg: Vec<u8>) -> Self {
        Self { field: field.into(), holds: Holds::Picture(jpeg) }
    }

    /// The sound of a film.
    pub fn sound(field: impl Into<String>, sound: Vec<u8>) -> Self {
        Self { field: field.into(), holds: Holds::Sound(sound) }
    }

    fn bytes(&self) -> &[u8] {
        match &self.holds {
            Holds::Text(text) => text.as_bytes(),
            Holds::Picture(bytes) | Holds::Sound(bytes) => bytes,
        }
    }

    /// What is kept of it.
    pub fn sent(&self) -> Sent {
        let sha256 = hex::encode(Sha256::digest(self.bytes()));
        Sent { field: self.field.clone(), bytes: self.bytes().len(), sha256 }
    }
}

/// Everything that is asked at once.
#[derive(Debug, Clone)]
pub struct Question {
    /// The prompt.
    pub prompt: &'static prompts::Prompt,
    /// What the house says of it, as an object; the texts among the parts join it under their names.
    pub frame: Value,
    /// The parts, in order.
    pub parts: Vec<Part>,
    /// The name of what is to be answered.
    pub schema_name: &'static str,
    /// Its shape.
    pub schema: Value,
    /// The longest answer, in tokens.
    pub most_tokens: u32,
}

impl Question {
    /// What leaves with it.
    pub fn sent(&self) -> Vec<Sent> {
        let fixed = [
            Part::text("instructions", self.prompt.text),
            Part::text("schema", self.schema.to_string()),
            Part::text("frame", self.frame.to_string()),
        ];
        fixed.iter().chain(&self.parts).map(Part::sent).collect()
    }

    /// All words that go to the model besides its instructions, as one object: what somebody wrote is a value in it, and
    /// nothing that it says makes it more than that.
    pub fn input(&self) -> String {
        let mut object = self.frame.clone();
        for part in &self.parts {
            if let Holds::Text(text) = &part.holds {
                object[part.field.as_str()] = text.as_str().into();
            }
        }
        object.to_string()
    }

    /// A digest of all of it: what has the same is the same question.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for Sent { field, bytes, sha256 } in self.sent() {
            digest.update(format!("{field}\n{bytes}\n{sha256}\n"));
        }
        digest.update(self.most_tokens.to_be_bytes());
        digest.finalize().into()
    }

    /// The most that it can cost.
    pub fn most(&self, tariff: &Tariff) -> Micros {
        let bytes = self.prompt.text.len() + self.schema.to_string().len() + self.input().len();
        let pictures = self.parts.iter().filter(|part| matches!(part.holds, Holds::Picture(_))).count();
        tariff.most(bytes, pictures, self.most_tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_what_left_is_its_size_and_its_digest() {
        let sent = Part::text("brief", "abc").sent();
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sent, Sent { field: "brief".into(), bytes: 3, sha256: sha256.into() });
        let text = serde_json::to_string(&Part::picture("image_1", b"abc".to_vec()).sent()).expect("JSON");
        assert!(!text.contains("abc\"") && text.contains(sha256), "{text}");
    }

    #[test]
    fn a_question_that_differs_anywhere_has_another_digest() {
        let of = |brief: &str, most_tokens| {
            let (parts, frame) = (vec![Part::text("brief", brief)], serde_json::json!({}));
            let (prompt, schema) = (&prompts::CAPTION, Value::Null);
            Question { prompt, frame, parts, schema_name: "x", schema, most_tokens }.digest()
        };
        assert_eq!(of("a", 1), of("a", 1));
        assert_ne!(of("a", 1), of("b", 1));
        assert_ne!(of("a", 1), of("a", 2));
    }
}
