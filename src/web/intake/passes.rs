//! Passes: short-lived tokens that stand for an API key, and what anybody checks them with.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::id;
use crate::{
    ledger::keys::Scope,
    web::{
        App,
        access::Holder,
        body,
        passes::{self, LONGEST},
        problem::{Problem, ProblemDocument},
    },
};

/// What `POST /api/v1/tokens` takes, if anything. Unknown fields are refused.
#[derive(ToSchema)]
#[schema(as = NewToken)]
pub struct PassBody {
    /// What it may do; left out: all that the key may.
    #[schema(example = json!(["posts:write"]))]
    pub scopes: Option<Vec<String>>,
    /// ISO 8601 duration of at most ten minutes, which is what it is when left out.
    #[schema(example = "PT5M")]
    pub lifetime: Option<String>,
}

/// A token. It is shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub struct PassShape {
    /// What to send as `Authorization: Bearer …`.
    access_token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    /// What it may do, with blanks between.
    scope: String,
    /// By which `DELETE /api/v1/tokens/{id}` takes it back.
    id: Uuid,
}

/// Issues a token that stands for the key for a few minutes. It may do no more than the key, ends with it, and begets no
/// other. Ask for another one whenever it is about to end: this costs little, and needs no Idempotency-Key.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    tag = "tokens",
    security(("bearer" = [])),
    request_body(content = Option<PassBody>, description = "May be left out"),
    responses(
        (status = 200, description = "The token", body = PassShape),
        (status = 401, description = "No key, or none that opens anything", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "A token instead of the key", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "One entry in errors for each field", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "More tokens than one key is given in so short a time; Retry-After says when to go on", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn issue(
    State(app): State<Arc<App>>,
    holder: Holder,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    app.limits.of_tokens(holder.key.id)?;
    let bytes = body::optional_json_bytes(&headers, body, app.house.web.body_limit).await?;
    let (wish, findings) = body::pass(&body::json(&bytes)?, &holder.key);
    if !findings.is_empty() {
        return Err(Problem::invalid(findings));
    }
    let scopes = wish.scopes.unwrap_or_else(|| holder.key.scopes.clone());
    let lasting = wish.lasting.unwrap_or(LONGEST);
    let now = (app.house.clock.now(), app.house.clock.monotonic());
    let issued = app.passes.issue(&holder.ledger, now, &holder.key, &scopes, lasting).await?;
    let shape = PassShape {
        access_token: issued.token,
        token_type: "Bearer",
        expires_in: lasting.as_secs(),
        scope: scopes.into_iter().map(Scope::word).collect::<Vec<_>>().join(" "),
        id: issued.id,
    };
    let mut response = Json(shape).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Takes a token back: it opens nothing any more. Which token that is, only its key need know; of another key's nothing
/// is taken back.
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{id}",
    tag = "tokens",
    security(("bearer" = [])),
    params(("id" = String, Path, description = "Its `id`, which is its `jti`")),
    responses(
        (status = 204, description = "It opens nothing any more"),
        (status = 401, description = "No key, or none that opens anything", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "A token instead of the key", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "That is no id of a token that could still open anything", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "More tokens than one key takes back in so short a time; Retry-After says when to go on", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn deny(
    State(app): State<Arc<App>>,
    holder: Holder,
    Path(pass): Path<String>,
) -> Result<StatusCode, Problem> {
    app.limits.of_tokens(holder.key.id)?;
    let pass = id(&pass, "token")?;
    if !passes::may_be_in_use(pass, app.house.clock.now()) {
        return Err(Problem::not_found("token"));
    }
    // twice as long as one can last: clocks may differ a little
    holder.ledger.deny_pass(holder.key.id, holder.key.workspace_id, pass, LONGEST * 2).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What tokens are checked with (RFC 7517). One that signs has been here since before its first signature, and stays
/// until its last token has ended; ask again when a token names one that is not among those you have.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenKeys)]
pub struct KeySet {
    keys: Vec<PublicKey>,
}

/// One of them, of Ed25519 (RFC 8037).
#[derive(Serialize, ToSchema)]
#[schema(as = TokenKey)]
pub struct PublicKey {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    r#use: &'static str,
    kid: Uuid,
    x: String,
}

/// The keys that tokens are checked with.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "tokens",
    responses((status = 200, description = "A JSON Web Key Set", body = KeySet))
)]
pub async fn keys(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let keys = app.house.ledger.pass_keys(None).await?;
    let keys = keys.into_iter().map(|key| PublicKey {
        kty: "OKP",
        crv: "Ed25519",
        alg: "EdDSA",
        r#use: "sig",
        kid: key.id,
        x: URL_SAFE_NO_PAD.encode(key.public),
    });
    let mut response = Json(KeySet { keys: keys.collect() }).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    Ok(response)
}
