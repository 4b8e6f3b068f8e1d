//! TikTok's envelope for errors.

use std::io;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;

/// An error as TikTok writes it.
#[derive(Debug, Clone)]
pub struct TiktokError {
    status: u16,
    code: String,
    message: String,
}

impl TiktokError {
    /// An error with its HTTP status.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    /// A 500 that says nothing.
    pub fn broken() -> Self {
        Self::new(500, "internal_error", "Internal error.")
    }

    /// What TikTok would say with this status.
    pub fn of_status(status: u16) -> Self {
        let code = match status {
            401 => "access_token_invalid",
            429 => "rate_limit_exceeded",
            500.. => "internal_error",
            0..=400 | 402..=428 | 430..=499 => "invalid_params",
        };
        Self::new(status, code, "Scripted refusal")
    }

    /// 400: a parameter is wrong.
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_params", message)
    }
}

impl From<io::Error> for TiktokError {
    fn from(error: io::Error) -> Self {
        eprintln!("sandbox: {error}");
        Self::broken()
    }
}

impl From<TiktokError> for Answer {
    fn from(error: TiktokError) -> Self {
        let body = json!({ "code": error.code, "message": error.message, "log_id": log_id() });
        Self::numbered(error.status, json!({ "data": {}, "error": body }))
    }
}

/// The `error` of an answer without one.
pub fn fine() -> Value {
    json!({ "code": "ok", "message": "", "log_id": log_id() })
}

/// An id for the network's own log.
pub fn log_id() -> String {
    Uuid::new_v4().simple().to_string()
}
