//! Webhooks, and what is sent there, as the API takes and shows them.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::shapes::instant;
use crate::ledger::{
    idempotency::Answer,
    sendings::{Delivery, Sent},
    webhooks::Webhook,
};

/// What `POST /api/v1/webhooks` takes. Unknown fields are refused.
#[derive(ToSchema)]
#[schema(as = NewWebhook)]
pub struct WebhookBody {
    /// An https address that can be reached from outside.
    #[schema(example = "https://example.org/hook")]
    pub url: String,
    /// What it wants to hear of: `post.published`, `post.failed`, `post.held`, `account.reconnect`, `deletion.completed`.
    #[schema(example = json!(["post.published", "post.failed"]))]
    pub events: Vec<String>,
    /// What people know it by; at most 200 characters.
    pub note: Option<String>,
}

/// What `PATCH` takes; what is left out stays.
#[derive(ToSchema)]
#[schema(as = WebhookChange)]
pub struct ChangeBody {
    /// An https address that can be reached from outside.
    pub url: Option<String>,
    /// What it wants to hear of.
    pub events: Option<Vec<String>>,
    /// What people know it by.
    pub note: Option<String>,
    /// false: nothing is sent there; true: what happens from now on is.
    pub enabled: Option<bool>,
}

/// A webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookShape {
    /// Its id.
    id: Uuid,
    /// Where what happens is told.
    url: String,
    /// What it hears of.
    events: Vec<String>,
    /// What people know it by.
    note: String,
    /// `active` or `disabled`.
    state: String,
    /// `failing`: it took nothing for days; `gone`: it answered 410; `asked`: somebody switched it off.
    disabled_why: Option<String>,
    /// Since when it is.
    disabled_at: Option<String>,
    /// Since when nothing was taken that was sent there.
    failing_since: Option<String>,
    /// Until then what is sent bears the signature of the secret before, too.
    previous_secret_until: Option<String>,
    /// When it was added.
    created_at: String,
    /// What it verifies signatures with: only in the answer to the request that made it, this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// An event on its way to a webhook, or there.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryShape {
    /// Its id.
    id: Uuid,
    /// What the webhook is told as `webhook-id`.
    event_id: Uuid,
    /// The event's type.
    r#type: String,
    /// When it happened.
    occurred_at: String,
    /// The post it is about.
    post_id: Option<Uuid>,
    /// The account it is about.
    account_id: Option<Uuid>,
    /// `waiting`, `delivered`, `failed`, or `gone`: what it was about was deleted before it could be told.
    state: String,
    /// How often it was sent.
    tries: i32,
    /// The HTTP status of the last answer, if there was one.
    last_status: Option<i16>,
    /// Why it was not taken.
    last_error: Option<String>,
    /// When it was last sent.
    last_at: Option<String>,
    /// When it was taken.
    delivered_at: Option<String>,
    /// When it is sent next.
    next_at: Option<String>,
}

impl WebhookShape {
    pub(super) fn of(it: &Webhook, secret: Option<&SecretString>) -> Self {
        Self {
            id: it.id,
            url: it.url.clone(),
            events: it.events.clone(),
            note: it.note.clone(),
            state: it.state.clone(),
            disabled_why: it.disabled_why.clone(),
            disabled_at: it.disabled_at.map(instant),
            failing_since: it.failing_since.map(instant),
            previous_secret_until: it.previous_until.map(instant),
            created_at: instant(it.created_at),
            secret: secret.map(|secret| secret.expose_secret().to_owned()),
        }
    }
}

impl DeliveryShape {
    pub(super) fn of(it: &Delivery) -> Self {
        Self {
            id: it.id,
            event_id: it.event_id,
            r#type: it.kind.clone(),
            occurred_at: instant(it.occurred_at),
            post_id: it.post_id,
            account_id: it.account_id,
            state: it.state.clone(),
            tries: it.tries,
            last_status: it.last_status,
            last_error: it.last_error.clone(),
            last_at: it.last_at.map(instant),
            delivered_at: it.delivered_at.map(instant),
            next_at: it.next_at.map(instant),
        }
    }
}

/// What is kept of the answer: never the secret.
pub(super) fn added(it: &Webhook) -> Answer {
    Answer::of(201, &WebhookShape::of(it, None))
}

pub(super) fn shown(it: &Webhook) -> Answer {
    Answer::of(200, &WebhookShape::of(it, None))
}

pub(super) fn sent(it: &Sent) -> Answer {
    Answer::of(202, &DeliveryShape::of(&it.delivery))
}

pub(super) fn removed() -> Answer {
    Answer { status: 204, body: String::new() }
}
