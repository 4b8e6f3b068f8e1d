//! Outgoing events: where a workspace's own software is told of what happens, and what became of it.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Uri, header},
    response::Response,
};

use super::{
    answered, asked_json, asked_nothing, id, lists,
    outgoing_shapes::{ChangeBody, DeliveryShape, WebhookBody, WebhookShape, added, removed, sent, shown},
    shapes::Page,
};
use crate::{
    ledger::{
        idempotency::{Answer, Once},
        sendings::Sent,
        webhooks::{NewWebhook, Undone, Webhook, Write, fresh_secret},
    },
    web::{
        App,
        access::{Caller, WebhooksWrite},
        problem::{Problem, ProblemDocument},
        webhook,
    },
};

/// Answers a write: `first` says what is only said the first time.
fn told<T>(
    app: &App,
    done: Once<Result<T, Undone>>,
    first: impl FnOnce(&T) -> Answer,
) -> Result<Response, Problem> {
    let refused = |why| webhook::refused(why, app.house.webhooks.most);
    answered(done.map(|made| made.map(|it| first(&it)).map_err(refused)))
}

/// The same of an answer that holds a secret.
fn unkept(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One of the caller's; of another workspace there is none, whatever else is wrong.
async fn mine(caller: &Caller<WebhooksWrite>, text: &str) -> Result<Webhook, Problem> {
    let id = id(text, "webhook")?;
    let found = caller.ledger.webhook(caller.workspace_id, id).await?;
    found.ok_or_else(|| Problem::not_found("webhook"))
}

/// The workspace's webhooks.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks",
    tag = "webhooks",
    security(("bearer" = ["webhooks:write"])),
    responses((status = 200, description = "All of them, in the order in which they were added", body = Page<WebhookShape>))
)]
pub async fn list(caller: Caller<WebhooksWrite>) -> Result<Json<Page<WebhookShape>>, Problem> {
    let all = caller.ledger.webhooks(caller.workspace_id).await?;
    Ok(Json(Page { data: all.iter().map(|it| WebhookShape::of(it, None)).collect(), next_cursor: None }))
}

/// Adds a webhook. Its secret is in this answer and in no other: a repeated Idempotency-Key gets the answer without it.
/// What is sent is signed per Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks",
    tag = "webhooks",
    security(("bearer" = ["webhooks:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer, without the secret")),
    request_body = WebhookBody,
    responses(
        (status = 201, description = "It is told what happens from now on", body = WebhookShape),
        (status = 409, description = "The workspace has as many as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "One entry in errors for each field", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller<WebhooksWrite>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let route = "POST /api/v1/webhooks";
    let (asked, said) = asked_json(&app, &headers, caller.workspace_id, route, body).await?;
    let settings = app.house.webhooks;
    let wanted = webhook::wanted(&said, settings.private).map_err(Problem::invalid)?;
    let secret = fresh_secret().map_err(|_| Problem::internal())?;
    let new = NewWebhook {
        url: &wanted.url,
        events: &wanted.events,
        note: &wanted.note,
        secret: &secret,
        created_by: caller.key_id,
        most: i64::from(settings.most),
    };
    let write = Write { workspace_id: caller.workspace_id, asked: asked.as_ref(), answer: added };
    let done = caller.ledger.add_webhook(&write, &new, &app.house.sealer).await?;
    told(&app, done, |it| Answer::of(201, &WebhookShape::of(it, Some(&secret)))).map(unkept)
}

/// One webhook.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}",
    tag = "webhooks",
    security(("bearer" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The webhook")),
    responses(
        (status = 200, description = "The webhook", body = WebhookShape),
        (status = 404, description = "No such webhook in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn one(
    caller: Caller<WebhooksWrite>,
    Path(webhook): Path<String>,
) -> Result<Json<WebhookShape>, Problem> {
    Ok(Json(WebhookShape::of(&mine(&caller, &webhook).await?, None)))
}

/// Changes a webhook. One that was disabled hears of what happens from then on; what it missed is not made up for, but what
/// is in its list can be sent again.
#[utoipa::path(
    patch,
    path = "/api/v1/webhooks/{id}",
    tag = "webhooks",
    security(("bearer" = ["webhooks:write"])),
    params(
        ("id" = String, Path, description = "The webhook"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    request_body = ChangeBody,
    responses(
        (status = 200, description = "As it is now", body = WebhookShape),
        (status = 404, description = "No such webhook in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "One entry in errors for each field", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    State(app): State<Arc<App>>,
    caller: Caller<WebhooksWrite>,
    headers: HeaderMap,
    Path(webhook): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let id = mine(&caller, &webhook).await?.id;
    let route = format!("PATCH /api/v1/webhooks/{id}");
    let (asked, said) = asked_json(&app, &headers, caller.workspace_id, &route, body).await?;
    let wanted = webhook::changed(&said, app.house.webhooks.private).map_err(Problem::invalid)?;
    let write = Write { workspace_id: caller.workspace_id, asked: asked.as_ref(), answer: shown };
    told(&app, caller.ledger.change_webhook(&write, id, &wanted.change()).await?, shown)
}

/// Removes a webhook, with its secrets and its list. What is on its way there is not sent any more.
#[utoipa::path(
    delete,
    path = "/api/v1/webhooks/{id}",
    tag = "webhooks",
    security(("bearer" = ["webhooks:write"])),
    params(
        ("id" = String, Path, description = "The webhook"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer while the webhook is there"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "No such webhook in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller<WebhooksWrite>,
    headers: HeaderMap,
    Path(webhook): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let id = mine(&caller, &webhook).await?.id;
    let route = format!("DELETE /api/v1/webhooks/{id}");
    let asked = asked_nothing(&app, &headers, caller.workspace_id, &route, body).await?;
    let write = Write { workspace_id: caller.workspace_id, asked: asked.as_ref(), answer: |()| removed() };
    let done = caller.ledger.remove_webhook(&write, id).await?;
    told(&app, done, |()| removed())
}

/// Gives a webhook another secret, shown in this answer alone. For 24 hours what is sent bears the signatures of both, with
/// a space between; the one before the last ends at once.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/rotate",
    tag = "webhooks",
    security(("bearer" = ["webhooks:write"])),
    params(
        ("id" = String, Path, description = "The webhook"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer, without the secret"),
    ),
    responses(
        (status = 200, description = "The webhook with its new secret", body = WebhookShape),
        (status = 404, description = "No such webhook in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn rotate(
    State(app): State<Arc<App>>,
    caller: Caller<WebhooksWrite>,
    headers: HeaderMap,
    Path(webhook): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let id = mine(&caller, &webhook).await?.id;
    let route = format!("POST /api/v1/webhooks/{id}/rotate");
    let asked = asked_nothing(&app, &headers, caller.workspace_id, &route, body).await?;
    let secret = fresh_secret().map_err(|_| Problem::internal())?;
    let write = Write { workspace_id: caller.workspace_id, asked: asked.as_ref(), answer: shown };
    let done = caller.ledger.rotate_webhook(&write, id, &secret, &app.house.sealer).await?;
    told(&app, done, |it| Answer::of(200, &WebhookShape::of(it, Some(&secret)))).map(unkept)
}

/// Sends `webhook.test` there, whatever it wants to hear of.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/test",
    tag = "webhooks",
    security(("bearer" = ["webhooks:write"])),
    params(
        ("id" = String, Path, description = "The webhook"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    responses(
        (status = 202, description = "Committed: it is on its way, and in the list", body = DeliveryShape),
        (status = 404, description = "No such webhook in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is disabled", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn test(
    State(app): State<Arc<App>>,
    caller: Caller<WebhooksWrite>,
    headers: HeaderMap,
    Path(webhook): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let id = mine(&caller, &webhook).await?.id;
    let route = format!("POST /api/v1/webhooks/{id}/test");
    let asked = asked_nothing(&app, &headers, caller.workspace_id, &route, body).await?;
    let write = Write { workspace_id: caller.workspace_id, asked: asked.as_ref(), answer: sent };
    let done = caller.ledger.test_webhook(&write, id).await?;
    hint(&app, &done);
    told(&app, done, sent)
}

/// What was sent there last, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}/deliveries",
    tag = "webhooks",
    security(("bearer" = ["webhooks:write"])),
    params(
        ("id" = String, Path, description = "The webhook"),
        ("limit" = Option<i64>, Query, description = "1 to 200; 50 when left out"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page of them", body = Page<DeliveryShape>),
        (status = 404, description = "No such webhook in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter that cannot be taken", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn deliveries(
    caller: Caller<WebhooksWrite>,
    Path(webhook): Path<String>,
    uri: Uri,
) -> Result<Json<Page<DeliveryShape>>, Problem> {
    let id = mine(&caller, &webhook).await?.id;
    let mut query = lists::Query::read(&uri, &["limit", "cursor"]);
    let (limit, before) = (query.limit(), query.cursor());
    query.done()?;
    let found = caller.ledger.deliveries(caller.workspace_id, id, before, limit + 1).await?;
    let (found, next_cursor) = lists::cut(found, limit, |it| it.id);
    Ok(Json(Page { data: found.iter().map(DeliveryShape::of).collect(), next_cursor }))
}

/// Sends something of the list again, under the same `webhook-id`; what it says is what is true then.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/deliveries/{delivery}/redeliver",
    tag = "webhooks",
    security(("bearer" = ["webhooks:write"])),
    params(
        ("id" = String, Path, description = "The webhook"),
        ("delivery" = String, Path, description = "What is to be sent again"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    responses(
        (status = 202, description = "Committed: it is on its way", body = DeliveryShape),
        (status = 404, description = "No such webhook in this workspace, or nothing of that id was sent there", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The webhook is disabled, or it is on its way already", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn redeliver(
    State(app): State<Arc<App>>,
    caller: Caller<WebhooksWrite>,
    headers: HeaderMap,
    Path((webhook, delivery)): Path<(String, String)>,
    body: Body,
) -> Result<Response, Problem> {
    let webhook = mine(&caller, &webhook).await?.id;
    let delivery = id(&delivery, "webhook")?;
    let route = format!("POST /api/v1/webhooks/{webhook}/deliveries/{delivery}/redeliver");
    let asked = asked_nothing(&app, &headers, caller.workspace_id, &route, body).await?;
    let write = Write { workspace_id: caller.workspace_id, asked: asked.as_ref(), answer: sent };
    let done = caller.ledger.redeliver(&write, webhook, delivery).await?;
    hint(&app, &done);
    told(&app, done, sent)
}

/// Tells the queue what may run now.
fn hint(app: &App, done: &Once<Result<Sent, Undone>>) {
    if let Once::Done(Ok(sent)) = done {
        (app.house.nudge)(vec![sent.due.clone()]);
    }
}
