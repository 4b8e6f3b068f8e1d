//! OpenAI's Responses API, under `/openai/v1/`: strict about what it is sent, and with a model that writes something
//! plain of what it is told. What was asked, and what it used, is kept for whoever wants to see it.

mod others;
mod request;
mod writer;

use std::sync::{Arc, PoisonError};

use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, Request, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Reply};
use crate::calls::{Call, Phase};
use crate::faults::OpenaiFault;
use crate::gate;
use crate::state::Sandbox;

/// The calls that a rule can name.
pub const CALLS: &[&str] = &["responses", "moderations", "transcriptions"];

/// The largest body that is read.
const LIMIT: usize = 64 << 20;

/// A request that was answered, and what it used.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// `responses`, `moderations` or `transcriptions`.
    pub call: &'static str,
    /// The caller's `X-Client-Request-Id`.
    pub call_id: Option<String>,
    /// The body; of pictures only their types, sizes and digests.
    pub body: Value,
    /// Tokens that came.
    pub input_tokens: u64,
    /// Tokens that went.
    pub output_tokens: u64,
}

/// An error in OpenAI's envelope.
#[derive(Debug, Clone)]
pub struct OpenaiError {
    http: u16,
    kind: String,
    code: Option<String>,
    param: Option<String>,
    message: String,
}

impl OpenaiError {
    /// One with a code.
    pub fn new(http: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        let code = code.into();
        let kind = match code.as_str() {
            "insufficient_quota" | "server_error" => code.clone(),
            "rate_limit_exceeded" => "requests".into(),
            _ => "invalid_request_error".into(),
        };
        Self { http, kind, code: Some(code), param: None, message: message.into() }
    }

    /// What is wrong with a parameter.
    pub fn parameter(param: &str, code: &str, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(400, code, message) }
    }
}

impl From<OpenaiError> for Answer {
    fn from(error: OpenaiError) -> Self {
        let OpenaiError { http, kind, code, param, message } = error;
        let error = json!({ "message": message, "type": kind, "param": param, "code": code });
        Self::numbered(http, json!({ "error": error }))
    }
}

/// Answers a call below `/openai/`.
pub async fn answer(sandbox: Arc<Sandbox>, request: Request<Body>) -> Reply {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let headers = request.headers().clone();
    let Ok(bytes) = axum::body::to_bytes(request.into_body(), LIMIT).await else {
        return Reply::Whole(OpenaiError::new(400, "invalid_request_error", "The body broke off.").into());
    };
    let name = match (&method, path.trim_end_matches('/')) {
        (&Method::POST, "/openai/v1/responses") => "responses",
        (&Method::POST, "/openai/v1/moderations") => "moderations",
        (&Method::POST, "/openai/v1/audio/transcriptions") => "transcriptions",
        (_, _) => {
            let message = format!("Invalid URL ({method} {path})");
            return Reply::Whole(OpenaiError::new(404, "unknown_url", message).into());
        }
    };
    let call_id = headers.get("x-client-request-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let call = Call {
        network: None,
        call: name,
        // it shows nobody anything
        phase: Phase::Observe,
        method: method.to_string(),
        path,
        account: None,
        handle: None,
        caption: Some(String::from_utf8_lossy(&bytes).chars().take(20_000).collect()),
        source: None,
        files: Vec::new(),
        call_id: call_id.clone(),
    };
    let desk = Arc::clone(&sandbox);
    let action = async move { respond(&desk, name, &headers, bytes, call_id).await };
    gate::pass(sandbox, call, action).await
}

async fn respond(
    sandbox: &Sandbox,
    name: &'static str,
    headers: &HeaderMap,
    bytes: Bytes,
    call_id: Option<String>,
) -> Answer {
    if let Err(error) = authorised(headers) {
        return error.into();
    }
    let answered = match name {
        "transcriptions" => others::transcribe(headers, bytes).await,
        "moderations" => others::moderate(&bytes),
        _ => return wrote(sandbox, headers, &bytes, call_id),
    };
    match answered {
        Err(error) => error.into(),
        Ok((answer, body)) => {
            sandbox.was_asked(Asked { call: name, call_id, body, input_tokens: 0, output_tokens: 0 });
            Answer::ok(answer)
        }
    }
}

fn wrote(sandbox: &Sandbox, headers: &HeaderMap, bytes: &Bytes, call_id: Option<String>) -> Answer {
    let request = match request::read(headers, bytes) {
        Ok(request) => request,
        Err(error) => return error.into(),
    };
    let text = writer::write(&request);
    let (input_tokens, output_tokens) = (request.input_tokens, tokens(&text).min(request.most_tokens));
    let body = request.shown.clone();
    let number = sandbox.was_asked(Asked { call: "responses", call_id, body, input_tokens, output_tokens });
    Answer::ok(response(&request, number, sandbox.clock.now().timestamp(), &text))
}

impl Sandbox {
    /// Keeps it, and says the how manieth it is.
    fn was_asked(&self, asked: Asked) -> usize {
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(asked);
        all.len()
    }
}

fn authorised(headers: &HeaderMap) -> Result<(), OpenaiError> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if key.starts_with("sk-") {
        return Ok(());
    }
    let shown: String = key.chars().take(4).collect();
    let message =
        format!("Incorrect API key provided: {shown}***. You can find your API key in your account.");
    Err(OpenaiError::new(401, "invalid_api_key", message))
}

/// About so many as a real tokenizer makes: one for four letters of Latin script, and one for each of another.
fn tokens(text: &str) -> u64 {
    let (latin, other): (Vec<char>, Vec<char>) = text.chars().partition(char::is_ascii);
    (latin.len() as u64).div_ceil(4) + other.len() as u64
}

fn response(request: &request::Asked, number: usize, now: i64, text: &str) -> Value {
    let output_tokens = tokens(text);
    let whole = output_tokens <= request.most_tokens;
    let kept: String =
        if whole { text.into() } else { text.chars().take(text.chars().count() / 2).collect() };
    let used = output_tokens.min(request.most_tokens);
    json!({
        "id": format!("resp_{number:048}"),
        "object": "response",
        "created_at": now,
        "status": if whole { "completed" } else { "incomplete" },
        "error": null,
        "incomplete_details": if whole { Value::Null } else { json!({ "reason": "max_output_tokens" }) },
        "model": request.model,
        "output": [
            { "id": format!("rs_{number}"), "type": "reasoning", "summary": [] },
            {
                "id": format!("msg_{number}"), "type": "message", "role": "assistant",
                "status": if whole { "completed" } else { "incomplete" },
                "content": [{ "type": "output_text", "text": kept, "annotations": [] }],
            },
        ],
        "store": request.store,
        "usage": {
            "input_tokens": request.input_tokens,
            "output_tokens": used,
            "total_tokens": request.input_tokens + used,
        },
    })
}

/// Plays a scripted answer: an error is answered at once and uses nothing; the others are written and then bent.
pub async fn scripted<A: Future<Output = Answer>>(fault: OpenaiFault, action: A) -> Answer {
    if let Some(code) = fault.code {
        let message = fault.message.unwrap_or_else(|| "Scripted error".into());
        let mut answer = Answer::from(OpenaiError::new(fault.http.unwrap_or(400), code, message));
        answer.headers.extend(fault.headers);
        return answer;
    }
    let mut answer = action.await;
    let Some(content) = answer.body.pointer_mut("/output/1/content") else { return answer };
    if let Some(refusal) = fault.refusal {
        *content = json!([{ "type": "refusal", "refusal": refusal }]);
    } else if let Some(text) = fault.text {
        *content = json!([{ "type": "output_text", "text": text, "annotations": [] }]);
    }
    if let Some(reason) = fault.incomplete {
        answer.body["status"] = "incomplete".into();
        answer.body["incomplete_details"] = json!({ "reason": reason });
    }
    answer
}
