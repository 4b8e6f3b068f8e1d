//! Graph's error envelope.

use std::io;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;

/// An error as Graph writes it.
#[derive(Debug, Clone)]
pub struct GraphError {
    /// The HTTP status.
    pub status: u16,
    /// The code.
    pub code: i64,
    /// The subcode, where there is one.
    pub subcode: Option<i64>,
    /// The message for developers.
    pub message: String,
    /// The message for users.
    pub user_message: Option<String>,
    /// Whether a repetition may help.
    pub transient: bool,
    /// The word of the host for uploads, which has an envelope of its own.
    pub upload: Option<&'static str>,
    /// What a program may go on by, such as where an upload stands.
    pub data: Option<Box<Value>>,
}

/// What a request for something that is not there is called, before the name of its method is known.
const UNSUPPORTED: &str = "Unsupported get request.";

impl GraphError {
    /// An error with HTTP 400.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status: 400,
            code,
            subcode: None,
            message,
            user_message: None,
            transient: false,
            upload: None,
            data: None,
        }
    }

    /// The same with a subcode.
    #[must_use]
    pub fn with_subcode(mut self, subcode: i64) -> Self {
        self.subcode = Some(subcode);
        self
    }

    /// The same with another HTTP status.
    #[must_use]
    pub fn http(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with a text for users.
    #[must_use]
    pub fn user(mut self, message: impl Into<String>) -> Self {
        self.user_message = Some(message.into());
        self
    }

    /// The same with what a program may go on by.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(Box::new(data));
        self
    }

    /// 100/33: the object is missing, or invisible to this token.
    pub fn missing(id: &str) -> Self {
        Self::new(
            100,
            format!(
                "{UNSUPPORTED} Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, \
                 or does not support this operation"
            ),
        )
        .with_subcode(33)
    }

    /// The same as it is told to a call of this method: a missing object's error names it.
    #[must_use]
    pub fn told_to(mut self, method: &Method) -> Self {
        if let Some(rest) = self.message.strip_prefix(UNSUPPORTED) {
            self.message = format!("Unsupported {} request.{rest}", method.as_str().to_ascii_lowercase());
        }
        self
    }

    /// The kind of error, by which the libraries tell them apart as well.
    fn kind(&self) -> &'static str {
        match (self.code, self.subcode) {
            (100, Some(33)) => "GraphMethodException",
            (_, _) => "OAuthException",
        }
    }

    /// What the host for uploads says of an upload that went wrong.
    pub fn upload(kind: &'static str, retriable: bool, message: impl Into<String>) -> Self {
        Self { upload: Some(kind), transient: retriable, ..Self::new(100, message) }
    }

    /// 100: a parameter is wrong.
    pub fn parameter(message: impl AsRef<str>) -> Self {
        Self::new(100, format!("(#100) {}", message.as_ref()))
    }

    /// A 500 that says nothing.
    pub fn broken() -> Self {
        let mut error = Self::new(1, "An unknown error occurred").http(500);
        error.transient = true;
        error
    }

    /// What Graph would say with this status.
    pub fn of_status(status: u16) -> Self {
        let mut error = match status {
            429 => Self::new(4, "(#4) Application request limit reached"),
            500.. => Self::new(2, "Service temporarily unavailable"),
            0..=428 | 430..=499 => Self::new(100, "(#100) Scripted refusal"),
        };
        error.transient = status == 429 || status >= 500;
        error.http(status)
    }
}

impl From<io::Error> for GraphError {
    fn from(error: io::Error) -> Self {
        eprintln!("sandbox: {error}");
        Self::broken()
    }
}

impl From<GraphError> for Answer {
    fn from(error: GraphError) -> Self {
        if let Some(kind) = error.upload {
            let info = json!({ "retriable": error.transient, "type": kind, "message": error.message });
            return Self::numbered(error.status, json!({ "debug_info": info }));
        }
        let trace = Uuid::new_v4().simple().to_string();
        let mut body = json!({
            "message": error.message,
            "type": error.kind(),
            "code": error.code,
            "is_transient": error.transient,
            "fbtrace_id": trace,
        });
        if let Some(subcode) = error.subcode {
            body["error_subcode"] = subcode.into();
        }
        if let Some(data) = error.data {
            body["error_data"] = *data;
        }
        if let Some(message) = error.user_message {
            body["error_user_title"] = error.message.into();
            body["error_user_msg"] = message.into();
        }
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
        Self::with(status, json!({ "error": body }))
    }
}
