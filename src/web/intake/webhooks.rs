//! What networks tell of their own accord. The signature is the only login: what it does not cover changes nothing,
//! and of what it covers only the account and the name of the post count.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    ledger::tidings::News,
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

impl App {
    async fn take_in(&self, event: &Event) -> Result<(), Problem> {
        let news = match event.name.as_str() {
            "post.publish.complete" | "post.publish.publicly_available" => News::Public,
            "post.publish.failed"
            | "post.publish.inbox_delivered"
            | "post.publish.no_longer_publicaly_available" => News::Moved,
            "authorization.removed" => {
                let ledger = &self.house.ledger;
                return Ok(ledger.access_removed_at_tiktok(&event.user_openid, event.create_time).await?);
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
