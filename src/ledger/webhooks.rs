//! Webhooks as the door sees them: added, changed, given another secret, removed. It puts secrets into the vault, and takes
//! none out.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgTransaction};
use uuid::Uuid;

use super::{
    Ledger, LedgerError, Sealer,
    audit::{self, Action, Entry},
    claims::interval,
    idempotency::{Answer, Asked, Once},
};

/// How long the secret before the present one is good.
pub const OVERLAP: Duration = Duration::from_hours(24);
/// What a secret begins with (Standard Webhooks).
pub const PREFIX: &str = "whsec_";
/// The most characters of a note.
pub const NOTE_MOST: usize = 200;
/// The most characters of an address.
pub const URL_MOST: usize = 2_048;
/// The most that a list shows.
const LISTED: i64 = 1_000;

/// Where a workspace's own software is told of what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: Uuid,
    /// Where that is.
    pub url: String,
    /// What it wants to hear of.
    pub events: Vec<String>,
    /// What people know it by.
    pub note: String,
    /// `active` or `disabled`.
    pub state: String,
    /// `failing`, `gone` or `asked`.
    pub disabled_why: Option<String>,
    /// Since when it is.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Since when nothing was taken that was sent there.
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when the secret before the present one is good, or was.
    pub previous_until: Option<DateTime<Utc>>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// One to be added.
pub struct NewWebhook<'a> {
    /// Where.
    pub url: &'a str,
    /// What it wants to hear of.
    pub events: &'a [String],
    /// What people know it by.
    pub note: &'a str,
    /// What is sent there is signed with it.
    pub secret: &'a SecretString,
    /// The person or the key that adds it.
    pub created_by: Uuid,
    /// The most that the workspace may have.
    pub most: i64,
}

/// What is to be otherwise; what is left out stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// Where.
    pub url: Option<&'a str>,
    /// What it wants to hear of.
    pub events: Option<&'a [String]>,
    /// What people know it by.
    pub note: Option<&'a str>,
    /// Whether anything is sent there.
    pub enabled: Option<bool>,
}

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// There is none of that id here.
    Missing,
    /// The workspace has as many as it may.
    TooMany,
    /// Nothing is sent to a webhook that is disabled.
    Disabled,
    /// It is on its way already.
    UnderWay,
}

/// A write about webhooks.
pub struct Write<'a, T> {
    /// Whose.
    pub workspace_id: Uuid,
    /// The key it came with.
    pub asked: Option<&'a Asked>,
    /// How what came of it is answered.
    pub answer: fn(&T) -> Answer,
}

/// What came of such a write.
pub type Wrote<T> = Result<Once<Result<T, Undone>>, LedgerError>;

/// A fresh secret: 256 random bits, shown once.
///
/// # Errors
/// The system has no randomness to give.
pub fn fresh_secret() -> Result<SecretString, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(SecretString::from(format!("{PREFIX}{}", STANDARD.encode(bytes))))
}

/// Names the row that a sealed secret belongs to.
pub(super) fn row_name(webhook: Uuid, secret: Uuid) -> String {
    format!("vault.webhook_secret|{webhook}|{secret}")
}

/// Begins a write, unless it was answered before.
macro_rules! begun {
    ($ledger:expr, $write:expr) => {
        match $ledger.begin_once($write.asked).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        }
    };
}

pub(super) use begun;

impl Ledger {
    /// Adds one, with what is sent there signed with its secret.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn add_webhook(
        &self,
        write: &Write<'_, Webhook>,
        new: &NewWebhook<'_>,
        sealer: &Sealer,
    ) -> Wrote<Webhook> {
        let mut tx = begun!(self, write);
        let done = add(&mut tx, write.workspace_id, new, sealer).await?;
        if let Ok(it) = &done {
            let detail = json!({ "events": it.events });
            self.note(&mut tx, Action::WebhookAdded, write.workspace_id, it.id, detail).await?;
        }
        self.wrote(tx, write, done).await
    }

    /// Changes one. Where something is sent again, or elsewhere, what failed before says nothing.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn change_webhook(
        &self,
        write: &Write<'_, Webhook>,
        id: Uuid,
        change: &Change<'_>,
    ) -> Wrote<Webhook> {
        let mut tx = begun!(self, write);
        let done = changed(&mut tx, write.workspace_id, id, change).await?;
        if done.is_ok() {
            let detail = json!({
                "url": change.url.is_some(),
                "events": change.events,
                "note": change.note.is_some(),
                "enabled": change.enabled,
            });
            self.note(&mut tx, Action::WebhookChanged, write.workspace_id, id, detail).await?;
        }
        self.wrote(tx, write, done).await
    }

    /// Gives it another secret; the one before is good for a day still, and what is sent bears both signatures.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn rotate_webhook(
        &self,
        write: &Write<'_, Webhook>,
        id: Uuid,
        secret: &SecretString,
        sealer: &Sealer,
    ) -> Wrote<Webhook> {
        let mut tx = begun!(self, write);
        let rotated = sqlx::query!(
            "UPDATE webhook SET previous_until = ledger_now() + $3 WHERE id = $1 AND workspace_id = $2",
            id,
            write.workspace_id,
            interval(OVERLAP),
        )
        .execute(&mut *tx)
        .await?;
        let mut done = Err(Undone::Missing);
        if rotated.rows_affected() == 1 && put_away(&mut tx, id, secret, sealer).await? {
            done = one(&mut tx, write.workspace_id, id).await?.ok_or(Undone::Missing);
            self.note(&mut tx, Action::WebhookRotated, write.workspace_id, id, json!({})).await?;
        }
        self.wrote(tx, write, done).await
    }

    /// Removes one, with its secrets and what became of what was sent there.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn remove_webhook(&self, write: &Write<'_, ()>, id: Uuid) -> Wrote<()> {
        let mut tx = begun!(self, write);
        let removed =
            sqlx::query!("DELETE FROM webhook WHERE id = $1 AND workspace_id = $2", id, write.workspace_id);
        let removed = removed.execute(&mut *tx).await?.rows_affected() == 1;
        if removed {
            self.note(&mut tx, Action::WebhookRemoved, write.workspace_id, id, json!({})).await?;
        }
        self.wrote(tx, write, if removed { Ok(()) } else { Err(Undone::Missing) }).await
    }

    /// All of a workspace's, in the order in which they were added.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn webhooks(&self, workspace_id: Uuid) -> Result<Vec<Webhook>, LedgerError> {
        let found = sqlx::query_as!(
            Webhook,
            r#"SELECT id, url, events, note, state::text AS "state!", disabled_why::text AS "disabled_why?", disabled_at,
                      failing_since, previous_until, created_at
               FROM webhook WHERE workspace_id = $1 ORDER BY id LIMIT $2"#,
            workspace_id,
            LISTED,
        );
        Ok(found.fetch_all(&self.pool).await?)
    }

    /// One of a workspace's.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn webhook(&self, workspace_id: Uuid, id: Uuid) -> Result<Option<Webhook>, LedgerError> {
        one(&mut *self.pool.acquire().await?, workspace_id, id).await
    }

    /// Ends a write with its answer.
    pub(super) async fn wrote<T>(
        &self,
        tx: PgTransaction<'static>,
        write: &Write<'_, T>,
        done: Result<T, Undone>,
    ) -> Wrote<T> {
        let answer = done.as_ref().ok().map(write.answer);
        self.commit_once(tx, write.asked, answer.as_ref()).await?;
        Ok(Once::Done(done))
    }

    /// Writes down who did what to one.
    pub(super) async fn note(
        &self,
        tx: &mut PgConnection,
        action: Action,
        workspace_id: Uuid,
        id: Uuid,
        detail: Value,
    ) -> Result<(), LedgerError> {
        let entry = Entry {
            who: self.who(),
            action,
            object: "webhook",
            object_id: id.to_string(),
            workspace_id: Some(workspace_id),
            detail,
        };
        audit::record(tx, &entry).await
    }
}

/// One of a workspace's.
pub(super) async fn one(
    connection: &mut PgConnection,
    workspace_id: Uuid,
    id: Uuid,
) -> Result<Option<Webhook>, LedgerError> {
    let found = sqlx::query_as!(
        Webhook,
        r#"SELECT id, url, events, note, state::text AS "state!", disabled_why::text AS "disabled_why?", disabled_at,
                  failing_since, previous_until, created_at
           FROM webhook WHERE workspace_id = $1 AND id = $2"#,
        workspace_id,
        id,
    );
    Ok(found.fetch_optional(connection).await?)
}

async fn add(
    tx: &mut PgConnection,
    workspace_id: Uuid,
    new: &NewWebhook<'_>,
    sealer: &Sealer,
) -> Result<Result<Webhook, Undone>, LedgerError> {
    // one after the other, or two would both be the last that there is room for
    sqlx::query!("SELECT id FROM workspace WHERE id = $1 FOR NO KEY UPDATE", workspace_id)
        .fetch_one(&mut *tx)
        .await?;
    let there = sqlx::query_scalar!(
        r#"SELECT count(*) AS "there!" FROM webhook WHERE workspace_id = $1"#,
        workspace_id
    );
    if there.fetch_one(&mut *tx).await? >= new.most {
        return Ok(Err(Undone::TooMany));
    }
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO webhook (id, workspace_id, url, events, note, created_by) VALUES ($1, $2, $3, $4, $5, $6)",
        id,
        workspace_id,
        new.url,
        new.events,
        new.note,
        new.created_by,
    )
    .execute(&mut *tx)
    .await?;
    if !put_away(&mut *tx, id, new.secret, sealer).await? {
        return Err(LedgerError::Unreadable(format!("no webhook {id} whose secret could be kept")));
    }
    Ok(one(tx, workspace_id, id).await?.ok_or(Undone::Missing))
}

/// Puts its secret into the vault, sealed; false: there is no such webhook any more.
async fn put_away(
    tx: &mut PgConnection,
    webhook: Uuid,
    secret: &SecretString,
    sealer: &Sealer,
) -> Result<bool, LedgerError> {
    let id = Uuid::now_v7();
    let (key, closed) = sealer.seal(secret.expose_secret().as_bytes(), &row_name(webhook, id));
    let kept = sqlx::query_scalar!(
        "SELECT keep_webhook_secret($1, $2, $3, $4, $5)",
        webhook,
        id,
        key,
        &closed,
        interval(OVERLAP),
    );
    Ok(kept.fetch_one(tx).await? == Some(true))
}

async fn changed(
    tx: &mut PgConnection,
    workspace_id: Uuid,
    id: Uuid,
    change: &Change<'_>,
) -> Result<Result<Webhook, Undone>, LedgerError> {
    sqlx::query!(
        r#"UPDATE webhook
           SET url = coalesce($3::text, url), events = coalesce($4::text[], events), note = coalesce($5::text, note),
               failing_since = CASE WHEN $3::text IS DISTINCT FROM url AND $3::text IS NOT NULL OR $6::boolean IS TRUE
                                    THEN NULL ELSE failing_since END,
               state = CASE WHEN $6::boolean IS NULL THEN state WHEN $6 THEN 'active' ELSE 'disabled' END,
               -- one that is disabled already says what it was disabled for
               disabled_why = CASE WHEN $6::boolean IS NULL OR NOT $6 AND state = 'disabled' THEN disabled_why
                                   WHEN $6 THEN NULL ELSE 'asked' END,
               disabled_at = CASE WHEN $6::boolean IS NULL OR NOT $6 AND state = 'disabled' THEN disabled_at
                                  WHEN $6 THEN NULL ELSE ledger_now() END
           WHERE id = $1 AND workspace_id = $2"#,
        id,
        workspace_id,
        change.url,
        change.events,
        change.note,
        change.enabled,
    )
    .execute(&mut *tx)
    .await?;
    Ok(one(tx, workspace_id, id).await?.ok_or(Undone::Missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_secret_has_the_length_that_receivers_accept() {
        let secret = fresh_secret().expect("randomness");
        let encoded = secret.expose_secret().strip_prefix(PREFIX).expect("the prefix");
        assert_eq!(STANDARD.decode(encoded).expect("base64").len(), 32);
        let other = fresh_secret().expect("randomness");
        assert_ne!(secret.expose_secret(), other.expose_secret());
    }
}
