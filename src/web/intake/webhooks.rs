//! What networks tell of their own accord. The signature is the only login: what it does not cover changes nothing,
//! and of what it covers only the account and the name of the post count.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    ledger::{parting::Whose, tidings::News},
    web::{
        App, body,
        problem::{Problem, ProblemDocument},
        signed,
    },
};

const SIGNATURE: &str = "tiktok-signature";

/// An event, as far as it counts. TikTok adds fields as it likes.
#[derive(Debug, Deserialize)]
struct Event {
    client_key: String,
    #[serde(rename = "event")]
    name: String,
    create_time: i64,
    user_openid: String,
    #[serde(default)]
    content: String,
}

impl Event {
    /// What TikTok calls the post. `content` is JSON in a text.
    fn publish_id(&self) -> Option<String> {
        let content: Value = serde_json::from_str(&self.content).ok()?;
        content["publish_id"].as_str().map(str::to_owned)
    }
}

/// Takes in an event of TikTok's. It comes at least once, and any number of times changes what once does.
#[utoipa::path(
    post,
    path = "/api/webhooks/tiktok",
    tag = "webhooks",
    params(("TikTok-Signature" = String, Header, description = "t=<unix seconds>,s=<hex HMAC-SHA256 of t.body by the client secret>")),
    request_body(content_type = "application/json", description = "An event as TikTok documents it", content = Value),
    responses(
        (status = 200, description = "Taken in, or of no concern here"),
        (status = 400, description = "Signed, and not an event", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "Not signed by the app's secret, or not lately", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is away; TikTok tells it again", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn tiktok(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let bytes = body::bytes(body, app.house.web.body_limit).await?;
    let unsigned = || Problem::unauthenticated("This is not signed by TikTok for this app, or not lately.");
    let tiktok = app.house.tiktok.as_ref().ok_or_else(unsigned)?;
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).ok_or_else(unsigned)?;
    if !signed::by_tiktok(&tiktok.client_secret, signature, &bytes, app.house.clock.now()) {
        return Err(unsigned());
    }
    let event: Event = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::malformed(format!("This is not an event: {error}.")))?;
    if event.client_key != tiktok.client_key {
        return Err(unsigned());
    }
    tracing::info!(event = event.name, "TikTok tells something");
    app.take_in(&event).await?;
    Ok(StatusCode::OK)
}

/// Takes in Meta's word that a person has removed the app: what that person had connected is disconnected, and what is kept
/// of its access is shredded. It may come any number of times; of somebody who is not known it changes nothing.
#[utoipa::path(
    post,
    path = "/api/deauthorize",
    tag = "webhooks",
    request_body(content_type = "application/x-www-form-urlencoded", description = "signed_request, as Meta documents it", content = String),
    responses(
        (status = 200, description = "Taken in, or of nobody who is known here"),
        (status = 403, description = "Not signed by the app's secret", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn deauthorize(State(app): State<Arc<App>>, body: Body) -> Result<StatusCode, Problem> {
    let bytes = body::bytes(body, app.house.web.body_limit).await?;
    let (_, told) = app.signed_by_meta(&bytes)?;
    let due = app.house.ledger.access_removed(Whose::Meta(&told.user_id), told.issued_at).await?;
    tracing::info!(accounts = due.len(), "Meta tells that somebody has removed the app");
    (app.house.nudge)(due);
    Ok(StatusCode::OK)
}

impl App {
    async fn take_in(&self, event: &Event) -> Result<(), Problem> {
        let news = match event.name.as_str() {
            "post.publish.complete" | "post.publish.publicly_available" => News::Public,
            "post.publish.failed"
            | "post.publish.inbox_delivered"
            | "post.publish.no_longer_publicaly_available" => News::Moved,
            "authorization.removed" => {
                let at = DateTime::from_timestamp(event.create_time, 0);
                let whose = Whose::Tiktok(&event.user_openid);
                let due = self.house.ledger.access_removed(whose, at).await?;
                (self.house.nudge)(due);
                return Ok(());
            }
            // of no concern here, now or not yet
            _ => return Ok(()),
        };
        if let Some(publish_id) = event.publish_id() {
            let due = self.house.ledger.told_by_tiktok(&event.user_openid, &publish_id, news).await?;
            (self.house.nudge)(due);
        }
        Ok(())
    }
}
