//! What a network answers, before it is put on the wire or damaged on the way.

use http::StatusCode;
use serde_json::Value;

/// A status, headers and a JSON body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// The body; null is no body.
    pub body: Value,
}

impl Answer {
    /// 200 with a body.
    pub fn ok(body: Value) -> Self {
        Self::with(StatusCode::OK, body)
    }

    /// Any status with a body.
    pub fn with(status: StatusCode, body: Value) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    /// Any status, given as a number, with a body. A number that is none becomes 500.
    pub fn numbered(status: u16, body: Value) -> Self {
        Self::with(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The body as it goes over the wire.
    pub fn text(&self) -> String {
        if self.body.is_null() { String::new() } else { self.body.to_string() }
    }

    /// The id of what was created, as far as the answer tells.
    pub fn created(&self) -> Option<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        text(&self.body["post_id"])
            .or_else(|| text(&self.body["id"]))
            .or_else(|| text(&self.body["data"]["publish_id"]))
    }
}

/// What really leaves.
#[derive(Debug)]
pub enum Reply {
    /// The whole answer.
    Whole(Answer),
    /// An answer whose JSON was cut off, but whose HTTP is sound.
    CutOff(Answer),
    /// Half of the answer, then the connection closes.
    Half(Answer),
    /// The connection closes without a byte.
    Nothing,
}

impl Reply {
    /// The status that the caller gets to see.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Whole(answer) | Self::CutOff(answer) | Self::Half(answer) => Some(answer.status.as_u16()),
            Self::Nothing => None,
        }
    }
}
