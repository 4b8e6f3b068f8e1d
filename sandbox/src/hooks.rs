//! Somebody's software that is told of events: it checks nothing, keeps everything, and answers as it is told to.
//!
//! `/hook/NAME` takes whatever comes; `/_control/hooks` shows it, and says how the next ones are answered.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The newest ones are kept, up to so many.
const KEPT: usize = 2_000;

/// Something that came.
#[derive(Debug, Clone, Serialize)]
pub struct Came {
    /// The last part of the address.
    pub name: String,
    /// How it was sent.
    pub method: String,
    /// The headers, in small letters.
    pub headers: BTreeMap<String, String>,
    /// What it says, to the byte.
    pub body: String,
    /// What it was answered.
    pub answered: u16,
}

/// How something is answered.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The status; 204 unless given.
    #[serde(default = "taken")]
    pub status: u16,
    /// `Retry-After`, in seconds.
    #[serde(default)]
    pub retry_after_s: Option<u64>,
    /// It takes so long to answer.
    #[serde(default)]
    pub hold_ms: u64,
    /// It says so many bytes besides.
    #[serde(default)]
    pub chatter: usize,
}

const fn taken() -> u16 {
    204
}

const TAKEN: Answer = Answer { status: taken(), retry_after_s: None, hold_ms: 0, chatter: 0 };

/// How what comes to one address is answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The address.
    pub name: String,
    /// The next answers, in order.
    #[serde(default)]
    pub answers: VecDeque<Answer>,
    /// All answers after them; 204 unless given.
    #[serde(default)]
    pub then: Option<Answer>,
}

/// What has come, and what comes of the next ones.
#[derive(Debug, Default)]
pub struct Hooks {
    came: Mutex<VecDeque<Came>>,
    scripts: Mutex<HashMap<String, Script>>,
}

impl Hooks {
    fn came(&self) -> MutexGuard<'_, VecDeque<Came>> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scripts(&self) -> MutexGuard<'_, HashMap<String, Script>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, name: &str) -> Answer {
        let mut scripts = self.scripts();
        let Some(script) = scripts.get_mut(name) else { return TAKEN };
        script.answers.pop_front().or(script.then).unwrap_or(TAKEN)
    }

    fn keep(&self, came: Came) {
        let mut all = self.came();
        all.push_back(came);
        if all.len() > KEPT {
            all.pop_front();
        }
    }
}

/// Where events come, and what is told of them.
pub fn router(hooks: Arc<Hooks>) -> Router {
    Router::new()
        .route("/hook/{name}", any(receive))
        .route("/_control/hooks", get(list).post(script).delete(forget))
        .with_state(hooks)
}

/// It is kept before it is answered: whoever hears no answer was heard all the same.
async fn receive(
    State(hooks): State<Arc<Hooks>>,
    Path(name): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = hooks.answer(&name);
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    hooks.keep(Came {
        name,
        method: method.to_string(),
        headers: headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
        answered: answer.status,
    });
    tokio::time::sleep(Duration::from_millis(answer.hold_ms)).await;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, "x".repeat(answer.chatter)).into_response();
    if let Some(seconds) = answer.retry_after_s {
        response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    response
}

async fn list(State(hooks): State<Arc<Hooks>>) -> Json<Value> {
    Json(json!({ "data": *hooks.came() }))
}

async fn script(State(hooks): State<Arc<Hooks>>, Json(script): Json<Script>) -> Json<Value> {
    hooks.scripts().insert(script.name.clone(), script);
    Json(json!({ "success": true }))
}

async fn forget(State(hooks): State<Arc<Hooks>>) -> Json<Value> {
    hooks.came().clear();
    hooks.scripts().clear();
    Json(json!({ "success": true }))
}
