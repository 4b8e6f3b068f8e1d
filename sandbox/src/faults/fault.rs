//! What can go wrong with a call, as a rule writes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::ContainerState;

/// How a call goes wrong when that takes one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It takes effect; the answer is a 500.
    #[serde(rename = "effect_then_500")]
    EffectThen500,
    /// It takes effect; the connection closes without a byte.
    EffectThenDrop,
    /// It takes effect; half of the answer comes.
    EffectThenHalf,
    /// Nothing happens; the answer is a 500.
    #[serde(rename = "no_effect_then_500")]
    NoEffectThen500,
    /// Nothing happens; the connection closes without a byte.
    NoEffectThenDrop,
    /// Nothing happens; the answer points elsewhere.
    Redirect,
    /// It takes effect; the answer is JSON that was cut off.
    MalformedJson,
}

/// What is answered at once when the effect comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// A 500.
    #[serde(rename = "500")]
    Broken,
    /// Nothing: the connection closes.
    Drop,
}

/// An answer in Graph's error envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphFault {
    /// The error's code.
    pub code: i64,
    /// Its subcode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subcode: Option<i64>,
    /// The HTTP status; 400 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<u16>,
    /// The message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether the call takes effect all the same.
    #[serde(default)]
    pub effect: bool,
    /// More headers, such as `X-App-Usage`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// An answer in TikTok's envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TiktokFault {
    /// The error's code.
    pub code: String,
    /// The HTTP status; 400 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<u16>,
    /// The message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether the call takes effect all the same.
    #[serde(default)]
    pub effect: bool,
}

/// An answer of OpenAI's: an error, or what becomes of what the model writes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenaiFault {
    /// The error's code; nothing is written then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The HTTP status of the error; 400 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<u16>,
    /// The error's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// More headers of the error, such as `retry-after-ms`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The model refuses in these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The model writes this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The answer is cut for this reason: `max_output_tokens` or `content_filter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// How a call goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fault {
    /// One of the simple ones.
    Word(Word),
    /// It waits, then acts normally.
    Delay {
        /// For how long.
        delay_ms: u32,
    },
    /// It takes effect now and answers later.
    AnswerAfter {
        /// How much later.
        answer_after_ms: u32,
    },
    /// It answers now and takes effect later.
    EffectAfter {
        /// How much later.
        effect_after_ms: u32,
        /// The answer.
        then: Then,
    },
    /// Nothing happens; the connection is held and then closed.
    Hang {
        /// For how long.
        hang_ms: u32,
    },
    /// It acts normally; reads show the state before it for a while. Goes together with another fault.
    StaleRead {
        /// For how long after the effect.
        stale_read_ms: u32,
    },
    /// A Graph error.
    Graph {
        /// Which.
        graph: GraphFault,
    },
    /// A TikTok error.
    Tiktok {
        /// Which.
        tiktok: TiktokFault,
    },
    /// An answer of OpenAI's.
    Openai {
        /// Which.
        openai: OpenaiFault,
    },
    /// It acts normally, and the answer has more headers.
    Headers {
        /// Which, such as `X-App-Usage`.
        headers: BTreeMap<String, String>,
    },
    /// Nothing happens; a bare status is answered in the network's envelope.
    Status {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u32>,
        /// More headers.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        more: BTreeMap<String, String>,
    },
    /// Reads fail: 100/33 at Graph, `internal_error` at TikTok. Applies to reads only.
    ReadError {
        /// Always true.
        read_error: bool,
    },
    /// The container goes into this state.
    Container {
        /// Which.
        container: ContainerState,
    },
    /// TikTok accepts the upload, and processing fails.
    FailReason {
        /// The `fail_reason`.
        fail_reason: String,
    },
}

impl Fault {
    /// The fault as it is written in a rule.
    pub fn text(&self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::String(word)) => word,
            Ok(other) => other.to_string(),
            Err(error) => error.to_string(),
        }
    }
}
