//! What a workspace consents to, and how it withdraws that.

use std::sync::Arc;

use axum::{Json, body::Body, extract::State, http::HeaderMap};
use jobs::consent::Purpose;
use serde::Serialize;
use utoipa::ToSchema;

use super::shapes::instant;
use crate::{
    ledger::consent::Consent,
    web::{
        App,
        access::{Caller, PrivacyWrite},
        body,
        problem::{Problem, ProblemDocument},
        rights,
    },
};

/// Whether a workspace wants its data to be used for something.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Consent)]
pub struct ConsentShape {
    /// `ai` or `analytics`.
    purpose: &'static str,
    /// Whether it does.
    given: bool,
    /// Since when it does not.
    withdrawn_at: Option<String>,
}

impl From<Consent> for ConsentShape {
    fn from(it: Consent) -> Self {
        let withdrawn_at = it.withdrawn_at.map(instant);
        Self { purpose: it.purpose.word(), given: withdrawn_at.is_none(), withdrawn_at }
    }
}

/// All of a workspace's.
#[derive(Debug, Serialize, ToSchema)]
pub struct Consents {
    data: Vec<ConsentShape>,
}

/// What the workspace consents to.
#[utoipa::path(
    get,
    path = "/api/v1/privacy/consents",
    tag = "privacy",
    security(("bearer" = ["privacy:write"])),
    responses((status = 200, description = "Each purpose", body = Consents))
)]
pub async fn list(caller: Caller<PrivacyWrite>) -> Result<Json<Consents>, Problem> {
    let consents = caller.ledger.consents(caller.workspace_id).await?;
    Ok(Json(Consents { data: consents.into_iter().map(ConsentShape::from).collect() }))
}

/// Gives or withdraws consent. What is claimed from then on goes by it.
#[utoipa::path(
    post,
    path = "/api/v1/privacy/consents",
    tag = "privacy",
    security(("bearer" = ["privacy:write"])),
    request_body(content = Object, description = "{purpose: \"ai\" | \"analytics\", given: true | false}"),
    responses(
        (status = 200, description = "As it is now", body = ConsentShape),
        (status = 422, description = "Not to be taken as it is", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn set(
    State(app): State<Arc<App>>,
    caller: Caller<PrivacyWrite>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ConsentShape>, Problem> {
    let bytes = body::json_bytes(&headers, body, app.house.web.body_limit).await?;
    let (purpose, given) =
        rights::consent(&body::json(&bytes)?, &["purpose", "given"]).map_err(Problem::invalid)?;
    Ok(Json(change(&caller, purpose, given).await?))
}

/// Makes it so, and tells how it is then.
pub(super) async fn change(
    caller: &Caller<PrivacyWrite>,
    purpose: Purpose,
    given: bool,
) -> Result<ConsentShape, Problem> {
    // P-D4
    let ledger = &caller.ledger;
    ledger.set_consent(caller.workspace_id, purpose, given).await?;
    let all = ledger.consents(caller.workspace_id).await?;
    let it = all.into_iter().find(|it| it.purpose == purpose).ok_or_else(Problem::internal)?;
    Ok(it.into())
}
