//! What is sent to webhooks, as the door sees it: what became of it, a try that is about nothing, and once more.

use chrono::{DateTime, Utc};
use jobs::{contract::Job, deliveries::TEST, hint::Hint, webhook::Webhook};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::Action,
    idempotency::Once,
    webhooks::{Undone, Write, Wrote, begun, one},
};

/// An event on its way to a webhook, or there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: Uuid,
    /// The event: what the address is told as `webhook-id`.
    pub event_id: Uuid,
    /// Its type.
    pub kind: String,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The post it is about.
    pub post_id: Option<Uuid>,
    /// The account it is about.
    pub account_id: Option<Uuid>,
    /// `waiting`, `delivered`, `failed` or `gone`.
    pub state: String,
    /// How often it was sent.
    pub tries: i32,
    /// What the last answer was, if there was one.
    pub last_status: Option<i16>,
    /// Why it was not taken.
    pub last_error: Option<String>,
    /// When it was last sent.
    pub last_at: Option<DateTime<Utc>>,
    /// When it was taken.
    pub delivered_at: Option<DateTime<Utc>>,
    /// When it is sent next.
    pub next_at: Option<DateTime<Utc>>,
}

/// A delivery that is on its way now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// It.
    pub delivery: Delivery,
    /// Its job.
    pub due: Hint,
}

impl Ledger {
    /// Sends something there that is about nothing.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn test_webhook(&self, write: &Write<'_, Sent>, id: Uuid) -> Wrote<Sent> {
        let mut tx = begun!(self, write);
        let done = match one(&mut tx, write.workspace_id, id).await? {
            None => Err(Undone::Missing),
            Some(it) if it.state != "active" => Err(Undone::Disabled),
            Some(_) => try_out(&mut tx, write.workspace_id, id).await?,
        };
        if done.is_ok() {
            self.note(&mut tx, Action::WebhookTried, write.workspace_id, id, json!({})).await?;
        }
        self.wrote(tx, write, done).await
    }

    /// Sends again what was sent there before, under the same id; what it says is what is true then.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn redeliver(&self, write: &Write<'_, Sent>, id: Uuid, delivery: Uuid) -> Wrote<Sent> {
        let mut tx = begun!(self, write);
        let done = match one(&mut tx, write.workspace_id, id).await? {
            None => Err(Undone::Missing),
            Some(it) if it.state != "active" => Err(Undone::Disabled),
            Some(_) => again(&mut tx, write.workspace_id, id, delivery).await?,
        };
        if let Ok(sent) = &done {
            let detail = json!({ "delivery": delivery, "job": sent.due.job_id });
            self.note(&mut tx, Action::Redriven, write.workspace_id, id, detail).await?;
        }
        self.wrote(tx, write, done).await
    }

    /// What was sent there last, newest first, after `before` in that order.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn deliveries(
        &self,
        workspace_id: Uuid,
        webhook: Uuid,
        before: Option<Uuid>,
        most: i64,
    ) -> Result<Vec<Delivery>, LedgerError> {
        let found = sqlx::query_as!(
            Delivery,
            r#"SELECT d.id, d.event_id, e.type AS kind, e.occurred_at, e.post_id, e.account_id, d.state::text AS "state!",
                      d.tries, d.last_status, d.last_error, d.last_at, d.delivered_at, j.run_at AS "next_at?"
               FROM delivery d JOIN event e ON e.id = d.event_id
               LEFT JOIN job j ON j.id = d.job_id AND d.state = 'waiting'
               WHERE e.workspace_id = $1 AND d.webhook_id = $2
                 AND ($3::uuid IS NULL
                      OR (d.created_at, d.id) < (SELECT o.created_at, o.id FROM delivery o WHERE o.id = $3))
               ORDER BY d.created_at DESC, d.id DESC LIMIT $4"#,
            workspace_id,
            webhook,
            before,
            most,
        );
        Ok(found.fetch_all(&self.pool).await?)
    }
}

/// An event about nothing, for this webhook alone, whatever it wants to hear of.
async fn try_out(
    tx: &mut PgConnection,
    workspace_id: Uuid,
    webhook: Uuid,
) -> Result<Result<Sent, Undone>, LedgerError> {
    let (delivery, job) = (Uuid::now_v7(), Uuid::now_v7());
    // whoever removes it now waits, and one that is being removed is waited for
    let there = sqlx::query_scalar!("SELECT id FROM webhook WHERE id = $1 FOR KEY SHARE", webhook);
    if there.fetch_optional(&mut *tx).await?.is_none() {
        return Ok(Err(Undone::Missing));
    }
    sqlx::query!(
        "WITH happened AS (
             INSERT INTO event (id, workspace_id, type) VALUES ($1, $2, $3) RETURNING id)
         INSERT INTO delivery (id, event_id, webhook_id, job_id) SELECT $4, happened.id, $5, $6 FROM happened",
        Uuid::now_v7(),
        workspace_id,
        TEST,
        delivery,
        webhook,
        job,
    )
    .execute(&mut *tx)
    .await?;
    sent(tx, workspace_id, webhook, delivery, job).await
}

/// The same event once more: only one job at a time has it.
async fn again(
    tx: &mut PgConnection,
    workspace_id: Uuid,
    webhook: Uuid,
    delivery: Uuid,
) -> Result<Result<Sent, Undone>, LedgerError> {
    let job = Uuid::now_v7();
    let state = sqlx::query_scalar!(
        r#"SELECT state::text AS "state!" FROM delivery WHERE id = $1 AND webhook_id = $2 FOR UPDATE"#,
        delivery,
        webhook,
    );
    match state.fetch_optional(&mut *tx).await?.as_deref() {
        None => return Ok(Err(Undone::Missing)),
        Some("waiting") => return Ok(Err(Undone::UnderWay)),
        Some(_) => {}
    }
    sqlx::query!(
        "UPDATE delivery SET state = 'waiting', delivered_at = NULL, job_id = $2 WHERE id = $1",
        delivery,
        job,
    )
    .execute(&mut *tx)
    .await?;
    sent(tx, workspace_id, webhook, delivery, job).await
}

/// Gives a delivery its job.
async fn sent(
    tx: &mut PgConnection,
    workspace_id: Uuid,
    webhook: Uuid,
    delivery: Uuid,
    job: Uuid,
) -> Result<Result<Sent, Undone>, LedgerError> {
    let run_at = sqlx::query_scalar!(
        "INSERT INTO job (id, kind, workspace_id, run_at, payload) VALUES ($1, $2, $3, ledger_now(), $4) RETURNING run_at",
        job,
        Webhook::KIND,
        workspace_id,
        json!({ "delivery_id": delivery }),
    )
    .fetch_one(&mut *tx)
    .await?;
    let found = sqlx::query_as!(
        Delivery,
        r#"SELECT d.id, d.event_id, e.type AS kind, e.occurred_at, e.post_id, e.account_id, d.state::text AS "state!",
                  d.tries, d.last_status, d.last_error, d.last_at, d.delivered_at, j.run_at AS "next_at?"
           FROM delivery d JOIN event e ON e.id = d.event_id LEFT JOIN job j ON j.id = d.job_id
           WHERE d.id = $1 AND d.webhook_id = $2"#,
        delivery,
        webhook,
    )
    .fetch_optional(tx)
    .await?;
    let due = Hint { kind: Webhook::KIND.to_owned(), workspace_id, job_id: job, run_at };
    Ok(found.map(|delivery| Sent { delivery, due }).ok_or(Undone::Missing))
}
