//! The control API, under `/_control/`: accounts, tokens, faults, the clock, settings, and the logs.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::calls::{Phase, Record};
use crate::event::Event;
use crate::faults::Rule;
use crate::model::{Account, Network, Settings, TokenState};
use crate::state::Sandbox;

type Shared = State<Arc<Sandbox>>;

/// The routes below `/_control`.
pub fn router() -> Router<Arc<Sandbox>> {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/accounts", get(accounts).post(add_account))
        .route("/tokens", post(set_token))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", axum::routing::delete(remove_fault))
        .route("/clock", get(clock).post(advance))
        .route("/settings", get(settings).post(change_settings))
        .route("/store", post(let_store))
        .route("/effects", get(effects))
        .route("/removals", get(removals))
        .route("/pending", get(pending))
        .route("/openai", get(openai))
        .route("/calls", get(calls).delete(clear_calls))
        .route("/reset", post(reset))
}

/// Why the control API could not do as it was told.
#[derive(Debug)]
struct Refused(StatusCode, String);

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

fn bad(error: impl Into<String>) -> Refused {
    Refused(StatusCode::BAD_REQUEST, error.into())
}

/// Reads a body by hand, so that what is wrong with it is said in one line.
fn read<T: for<'de> Deserialize<'de>>(body: Value) -> Result<T, Refused> {
    serde_json::from_value(body).map_err(|error| bad(error.to_string()))
}

async fn accounts(State(sandbox): Shared) -> Json<Value> {
    let book = sandbox.book();
    let shown = |account: &Account| {
        json!({
            "platform": account.platform,
            "external_id": account.external_id,
            "name": account.name,
            "privacy_options": account.privacy_options,
            "subject_id": account.subject_id,
        })
    };
    Json(json!({ "data": book.world.accounts.values().map(shown).collect::<Vec<_>>() }))
}

async fn add_account(State(sandbox): Shared, Json(body): Json<Value>) -> Result<Response, Refused> {
    let account: Account = read(body)?;
    let id = account.external_id.clone();
    sandbox.book().record(Event::Account(account))?;
    Ok((StatusCode::CREATED, Json(json!({ "external_id": id }))).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    access_token: String,
    state: TokenState,
}

async fn set_token(State(sandbox): Shared, Json(body): Json<Value>) -> Result<Json<Value>, Refused> {
    let Token { access_token, state } = read(body)?;
    sandbox.book().record(Event::Token { access_token, state })?;
    Ok(Json(json!({ "success": true })))
}

async fn faults(State(sandbox): Shared) -> Json<Value> {
    let faults = sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner);
    Json(json!({ "data": faults.list() }))
}

async fn add_fault(State(sandbox): Shared, Json(body): Json<Value>) -> Result<Response, Refused> {
    let rule: Rule = read(body)?;
    rule.check().map_err(bad)?;
    let id = sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner).add(rule);
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))).into_response())
}

async fn clear_faults(State(sandbox): Shared) -> Json<Value> {
    sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner).remove(None);
    Json(json!({ "success": true }))
}

async fn remove_fault(State(sandbox): Shared, Path(id): Path<u64>) -> Result<Json<Value>, Refused> {
    if sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner).remove(Some(id)) {
        Ok(Json(json!({ "success": true })))
    } else {
        Err(Refused(StatusCode::NOT_FOUND, format!("there is no fault {id}")))
    }
}

async fn clock(State(sandbox): Shared) -> Json<Value> {
    Json(json!({ "now": sandbox.clock.now(), "ahead_ms": sandbox.book().world.ahead_ms }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: i64,
}

async fn advance(State(sandbox): Shared, Json(body): Json<Value>) -> Result<Json<Value>, Refused> {
    let Advance { advance_ms } = read(body)?;
    if advance_ms < 0 {
        return Err(bad("advance_ms: the clock only goes forward"));
    }
    let now = sandbox.advance(advance_ms).await?;
    Ok(Json(json!({ "now": now })))
}

async fn settings(State(sandbox): Shared) -> Json<Settings> {
    Json(sandbox.book().world.settings.clone())
}

/// Changes the settings that the body names and leaves the others.
async fn change_settings(State(sandbox): Shared, Json(body): Json<Value>) -> Result<Json<Settings>, Refused> {
    let Value::Object(changes) = body else { return Err(bad("the body must be an object")) };
    let mut book = sandbox.book();
    let mut merged = serde_json::to_value(&book.world.settings).map_err(io::Error::from)?;
    for (name, value) in changes {
        merged[name] = value;
    }
    let settings: Settings = read(merged)?;
    book.record(Event::Settings(settings.clone()))?;
    Ok(Json(settings))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    away: bool,
}

/// Lets the media store be away, or back.
async fn let_store(State(sandbox): Shared, Json(body): Json<Value>) -> Result<Json<Value>, Refused> {
    let Store { away } = read(body)?;
    sandbox.store_away.store(away, Ordering::SeqCst);
    Ok(Json(json!({ "success": true })))
}

/// What `GET /_control/effects` may narrow.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EffectQuery {
    platform: Option<Network>,
    account: Option<String>,
    caption: Option<String>,
    handle: Option<String>,
    object_id: Option<String>,
    call_id: Option<String>,
    since_seq: Option<u64>,
}

async fn effects(State(sandbox): Shared, Query(query): Query<EffectQuery>) -> Json<Value> {
    fn same<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
        wanted.is_none_or(|wanted| wanted == found)
    }
    let book = sandbox.book();
    let found: Vec<_> = book
        .world
        .effects
        .iter()
        .filter(|effect| same(query.platform.as_ref(), &effect.platform))
        .filter(|effect| same(query.account.as_ref(), &effect.account))
        .filter(|effect| same(query.caption.as_ref(), &effect.caption))
        .filter(|effect| same(query.handle.as_ref(), &effect.handle))
        .filter(|effect| same(query.object_id.as_ref(), &effect.object_id))
        .filter(|effect| query.call_id.is_none() || query.call_id == effect.call_id)
        .filter(|effect| query.since_seq.is_none_or(|seq| effect.seq > seq))
        .collect();
    Json(json!({ "data": found }))
}

/// What was public and was removed, oldest first. Its effects stay on their list.
async fn removals(State(sandbox): Shared) -> Json<Value> {
    Json(json!({ "data": sandbox.book().world.removals }))
}

/// What OpenAI was asked and has answered, oldest first, and what it used: that is paid for, whoever heard the answer.
async fn openai(State(sandbox): Shared) -> Json<Value> {
    Json(json!({ "data": *sandbox.asked.lock().unwrap_or_else(PoisonError::into_inner) }))
}

/// How much may still become public without another request: what is carried out late, and what is being processed.
async fn pending(State(sandbox): Shared) -> Json<Value> {
    Json(json!({ "pending": sandbox.pending() }))
}

/// What `GET /_control/calls` may narrow. `mutating` keeps calls that change something.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallQuery {
    network: Option<Network>,
    call: Option<String>,
    phase: Option<Phase>,
    account: Option<String>,
    handle: Option<String>,
    call_id: Option<String>,
    in_ledger: Option<bool>,
    mutating: Option<bool>,
    since_seq: Option<u64>,
}

impl CallQuery {
    fn wants(&self, record: &Record) -> bool {
        let call = &record.call;
        (self.network.is_none() || self.network == call.network)
            && self.call.as_deref().is_none_or(|name| name == call.call)
            && self.phase.is_none_or(|phase| phase == call.phase)
            && (self.account.is_none() || self.account == call.account)
            && (self.handle.is_none() || self.handle == call.handle)
            && (self.call_id.is_none() || self.call_id == call.call_id)
            && (self.in_ledger.is_none() || self.in_ledger == record.in_ledger)
            && self.mutating.is_none_or(|mutating| mutating == call.phase.mutates())
            && self.since_seq.is_none_or(|seq| record.seq > seq)
    }
}

async fn calls(State(sandbox): Shared, Query(query): Query<CallQuery>) -> Json<Value> {
    let calls = sandbox.calls.lock().unwrap_or_else(PoisonError::into_inner);
    let found: Vec<_> = calls.iter().filter(|record| query.wants(record)).collect();
    Json(json!({ "data": found }))
}

async fn clear_calls(State(sandbox): Shared) -> Json<Value> {
    sandbox.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
    Json(json!({ "success": true }))
}

/// Forgets everything but the seeded accounts; faults and calls too.
async fn reset(State(sandbox): Shared) -> Result<Json<Value>, Refused> {
    let emptied = {
        let mut book = sandbox.book();
        let emptied = book.reset()?;
        if let Some(settings) = sandbox.rules.over(Settings::default()) {
            book.record(Event::Settings(settings))?;
        }
        emptied
    };
    sandbox.clock.set_ahead(0);
    sandbox.store_away.store(false, Ordering::SeqCst);
    sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner).remove(None);
    sandbox.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
    sandbox.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    emptied.reached().await?;
    Ok(Json(json!({ "success": true })))
}
