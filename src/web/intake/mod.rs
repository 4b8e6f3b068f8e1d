//! The API: posts, media, accounts, jobs; and what watches over the process asks.

pub mod accounts;
pub mod ads;
pub mod analyses;
pub mod changes;
pub mod consents;
pub mod deletions;
pub mod exports;
pub mod health;
pub mod inbound;
pub mod jobs;
pub mod lists;
pub mod media;
pub mod metrics;
pub mod outgoing;
pub mod outgoing_shapes;
pub mod passes;
pub mod posts;
pub mod publications;
pub mod queues;
pub mod shapes;
pub mod take_down;
pub mod uploads;
pub mod webhooks;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    App, body,
    finding::Finding,
    listed::Listed,
    problem::{Problem, id},
};
use crate::ledger::{
    Ledger,
    idempotency::{Answer, Asked, Before, Once},
};

/// The header that makes a write harmless to repeat.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "postroom",
        description = "Publishes posts to social networks: none lost, none sent twice. A 202 means: committed, it will not be lost."
    ),
    modifiers(&Bearer)
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key, pr_…, or a token that stands for one"));
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    }
}

/// The API's routes, and its description made of them.
pub fn routes() -> Listed<Arc<App>> {
    let (api, description) = OpenApiRouter::<Arc<App>>::with_openapi(Description::openapi())
        .routes(routes!(posts::list, posts::create))
        .routes(routes!(posts::one, changes::edit))
        .routes(routes!(posts::check))
        .routes(routes!(changes::cancel))
        .routes(routes!(changes::retry))
        .routes(routes!(publications::verdict))
        .routes(routes!(take_down::ask))
        .routes(routes!(media::one))
        .routes(routes!(uploads::promise))
        .routes(routes!(uploads::complete))
        .routes(routes!(accounts::list))
        .routes(routes!(accounts::disconnect))
        .routes(routes!(accounts::refresh))
        .routes(routes!(metrics::post))
        .routes(routes!(metrics::account))
        .routes(routes!(metrics::snapshot))
        .routes(routes!(ads::list))
        .routes(routes!(analyses::create))
        .routes(routes!(analyses::budget))
        .routes(routes!(analyses::one))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::cancel))
        .routes(routes!(queues::pause))
        .routes(routes!(queues::resume))
        .routes(routes!(outgoing::list, outgoing::create))
        .routes(routes!(outgoing::one, outgoing::change, outgoing::remove))
        .routes(routes!(outgoing::rotate))
        .routes(routes!(outgoing::test))
        .routes(routes!(outgoing::deliveries))
        .routes(routes!(outgoing::redeliver))
        .routes(routes!(webhooks::tiktok))
        .routes(routes!(webhooks::deauthorize))
        .routes(routes!(deletions::delete_data))
        .routes(routes!(deletions::create))
        .routes(routes!(consents::list, consents::set))
        .routes(routes!(deletions::one))
        .routes(routes!(deletions::receipt))
        .routes(routes!(deletions::of_account))
        .routes(routes!(inbound::mail))
        .routes(routes!(deletions::keys))
        .routes(routes!(deletions::key))
        .routes(routes!(passes::issue))
        .routes(routes!(passes::deny))
        .routes(routes!(passes::keys))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(media::upload))
                // Files are limited by their type, while they come.
                .layer(DefaultBodyLimit::disable()),
        )
        .split_for_parts();
    let paths = description.paths.paths.keys().cloned().collect();
    let description = Arc::new(description);
    Listed::of(api, paths).route(
        "/api/openapi.json",
        get(async move |State(_): State<Arc<App>>| axum::Json((*description).clone())),
    )
}

/// The key that a write carries, if any.
fn asked(
    headers: &HeaderMap,
    workspace_id: Uuid,
    route: &str,
    content: &[u8],
) -> Result<Option<Asked>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len())).ok_or_else(|| {
        let detail = "An Idempotency-Key has 1 to 255 plain characters; a UUID is a good one.";
        Problem::invalid(vec![Finding::new("Idempotency-Key", "key_format", detail)])
    })?;
    let digest = Sha256::new().chain_update(route).chain_update("\n").chain_update(content).finalize();
    Ok(Some(Asked { workspace_id, key: key.to_owned(), digest: digest.into() }))
}

/// The key that a write carries, if any, and what it says.
async fn asked_json(
    app: &App,
    headers: &HeaderMap,
    workspace_id: Uuid,
    route: &str,
    body: Body,
) -> Result<(Option<Asked>, Value), Problem> {
    let bytes = body::json_bytes(headers, body, app.house.web.body_limit).await?;
    Ok((asked(headers, workspace_id, route, &bytes)?, body::json(&bytes)?))
}

/// The same of a write that may say nothing: then an empty object.
async fn asked_optional(
    app: &App,
    headers: &HeaderMap,
    workspace_id: Uuid,
    route: &str,
    body: Body,
) -> Result<(Option<Asked>, Value), Problem> {
    let bytes = body::optional_json_bytes(headers, body, app.house.web.body_limit).await?;
    Ok((asked(headers, workspace_id, route, &bytes)?, body::json(&bytes)?))
}

/// The key that a write carries which says all by its address, if any.
async fn asked_nothing(
    app: &App,
    headers: &HeaderMap,
    workspace_id: Uuid,
    route: &str,
    body: Body,
) -> Result<Option<Asked>, Problem> {
    let (asked, said) = asked_optional(app, headers, workspace_id, route, body).await?;
    let findings = body::nothing(&said);
    if findings.is_empty() { Ok(asked) } else { Err(Problem::invalid(findings)) }
}

/// What the same write was answered before, if it was: looked at before anything costly is done for it. The ledger asks again
/// when it writes.
async fn answered_before(ledger: &Ledger, asked: Option<&Asked>) -> Result<Option<Response>, Problem> {
    let Some(asked) = asked else { return Ok(None) };
    match ledger.asked_before(asked).await? {
        Before::Nothing => Ok(None),
        Before::Answered(answer) => Ok(Some(give(answer, true))),
        Before::Other => Err(Problem::key_reused()),
    }
}

/// Gives what came of a write, now or before.
fn answered(done: Once<Result<Answer, Problem>>) -> Result<Response, Problem> {
    match done {
        Once::Done(made) => made.map(|answer| give(answer, false)),
        Once::Before(answer) => Ok(give(answer, true)),
        Once::KeyReused => Err(Problem::key_reused()),
    }
}

/// Gives an answer, the first time or again.
fn give(answer: Answer, again: bool) -> Response {
    let status = axum::http::StatusCode::from_u16(answer.status).unwrap_or(axum::http::StatusCode::OK);
    let mut response = (status, [("content-type", "application/json")], answer.body).into_response();
    if again {
        response.headers_mut().insert("idempotent-replayed", axum::http::HeaderValue::from_static("true"));
    }
    response
}
