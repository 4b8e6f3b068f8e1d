//! What watches over the process asks.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret;
use serde::Serialize;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use crate::{
    ledger::{Ledger, LedgerError, figures::Staff},
    web::{App, problem::Problem},
};

/// A check must answer within this, or the watcher gives up on us first.
const PATIENCE: Duration = Duration::from_secs(2);
/// A due job that waits longer makes its queue late.
const LATE: Duration = Duration::from_secs(30);

/// The process is alive.
#[derive(Serialize, ToSchema)]
pub struct Alive {
    status: &'static str,
}

/// Whether requests can be served, and what is amiss.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    ready: bool,
    checks: Vec<Check>,
    late_queues: Vec<LateQueue>,
}

/// One part of the house.
#[derive(Serialize, ToSchema)]
pub struct Check {
    name: &'static str,
    ok: bool,
    /// Without it nothing can be served.
    needed: bool,
    detail: Option<String>,
}

/// A queue whose due jobs wait.
#[derive(Serialize, ToSchema)]
pub struct LateQueue {
    queue: String,
    late_seconds: f64,
    why: String,
}

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "Alive", body = Alive)))]
pub async fn alive() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Ready to serve; names each part that is away and each late queue.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "The database is away", body = Readiness),
    )
)]
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    let (ledger, redis) = tokio::join!(postgres(&app), redis(&app));
    let ready = ledger.ok;
    let late_queues = if ready { late(&app).await } else { Vec::new() };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response =
        (status, Json(Readiness { ready, checks: vec![ledger, redis], late_queues })).into_response();
    if !ready {
        response.headers_mut().insert(header::RETRY_AFTER, 5.into());
    }
    response
}

async fn postgres(app: &App) -> Check {
    let detail = match tokio::time::timeout(PATIENCE, app.house.ledger.ping()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the ledger is away: no answer".to_owned()),
    };
    Check { name: "postgres", ok: detail.is_none(), needed: true, detail }
}

/// Redis carries hints only: without it posts are accepted all the same, and start a little later.
async fn redis(app: &App) -> Check {
    let detail = match tokio::time::timeout(PATIENCE, (app.house.redis)()).await {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why),
        Err(_) => Some("no answer".to_owned()),
    };
    Check { name: "redis", ok: detail.is_none(), needed: false, detail }
}

/// Where the ledger does not say in time, none is named: a watcher must not give up on us for it.
async fn late(app: &App) -> Vec<LateQueue> {
    tokio::time::timeout(PATIENCE, late_queues(&app.house.ledger))
        .await
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default()
}

async fn late_queues(ledger: &Ledger) -> Result<Vec<LateQueue>, LedgerError> {
    let mut late = Vec::new();
    for (queue, late_seconds) in ledger.oldest_ready().await? {
        if late_seconds > LATE.as_secs_f64() {
            let why = why(&ledger.staff(&queue).await?);
            late.push(LateQueue { queue, late_seconds, why });
        }
    }
    for it in ledger.late_deletions(None).await? {
        let why = format!("request {} is {} and does not go on as promised", it.id, it.stage);
        late.push(LateQueue { queue: "deletion".to_owned(), late_seconds: it.still_seconds, why });
    }
    Ok(late)
}

fn why(staff: &Staff) -> String {
    match staff {
        Staff { paused: Some(reason), .. } => format!("paused: {reason}"),
        Staff { workers: 0, .. } => "no living worker takes it".to_owned(),
        Staff { workers, held, .. } => {
            format!(
                "{workers} workers hold {held} of its jobs; what waits is paused, or they have no room for more"
            )
        }
    }
}

/// Measures, as Prometheus reads them.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses(
        (status = 200, description = "Prometheus text", body = String, content_type = "text/plain"),
        (status = 401, description = "METRICS_TOKEN is set and was not given"),
    )
)]
pub async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(token) = &app.house.metrics_token {
        let given = headers.get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let wanted = format!("Bearer {}", token.expose_secret());
        if !bool::from(given.ct_eq(wanted.as_bytes())) {
            return Err(Problem::unauthenticated("Send “Authorization: Bearer $METRICS_TOKEN”."));
        }
    }
    let text = (app.house.metrics)();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
