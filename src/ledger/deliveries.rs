//! Events on their way to webhooks, as the holder of one claim brings them: what is told is read when it is told, the secrets
//! are opened here and nowhere else, and what became of it is kept under the claim.
//!
//! Whoever writes to a webhook and to what was sent there writes to the webhook first.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobs::{
    contract::{Class, Failure, JobError},
    deliveries::{About, Account, Came, Deliveries, Ends, Parcel, Post, Said, Then},
    machine::State,
};
use secrecy::SecretString;
use serde_json::json;
use sqlx::PgConnection;
use url::Url;
use uuid::Uuid;

use super::{
    Claim, KeyRing, Ledger, LedgerError,
    audit::{self, Action, Entry},
    claims::interval,
    keyring::KeyError,
    mail,
    posts::failure,
    webhooks::row_name,
};

/// What people read of a delivery whose webhook is told nothing any more.
const DISABLED: &str = "the webhook is disabled";
/// A letter about a disabled webhook is sent for so long.
const NEWS_LASTS: Duration = Duration::from_hours(7 * 24);

/// Deliveries, as the holder of one claim may touch them.
pub struct ClaimedDeliveries<'a> {
    ledger: &'a Ledger,
    ring: &'a KeyRing,
    claim: Claim,
    disable_after: Duration,
}

impl<'a> ClaimedDeliveries<'a> {
    /// What the holder of `claim` may do; a webhook that has taken nothing for `disable_after` is disabled.
    pub fn new(ledger: &'a Ledger, ring: &'a KeyRing, claim: Claim, disable_after: Duration) -> Self {
        Self { ledger, ring, claim, disable_after }
    }
}

/// Why a webhook is told nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Failing,
    Gone,
}

impl Why {
    const fn word(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Gone => "gone",
        }
    }

    const fn told(self) -> &'static str {
        match self {
            Self::Failing => "it has taken nothing of what was sent to it for days",
            Self::Gone => "it answered 410, which means that it wants no more",
        }
    }
}

/// What is known of a delivery and of what it is about, by our own ids.
struct Row {
    event_id: Uuid,
    kind: String,
    occurred_at: DateTime<Utc>,
    publication_id: Option<Uuid>,
    account_id: Option<Uuid>,
    request_id: Option<Uuid>,
    webhook_id: Uuid,
    url: String,
    active: bool,
}

#[async_trait]
impl Deliveries for ClaimedDeliveries<'_> {
    async fn look(&self, delivery: Uuid) -> Result<Option<Parcel>, JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        let Some(row) = self.waiting(&mut tx, delivery).await? else { return Ok(None) };
        if !row.active {
            end(&mut tx, delivery, "failed", Some(DISABLED)).await?;
            tx.commit().await.map_err(LedgerError::from)?;
            return Ok(None);
        }
        let Some(about) = about(&mut tx, &row).await? else {
            end(&mut tx, delivery, "gone", None).await?;
            tx.commit().await.map_err(LedgerError::from)?;
            return Ok(None);
        };
        tx.commit().await.map_err(LedgerError::from)?;
        let secrets = self.secrets(row.webhook_id).await?;
        let Row { event_id: event, kind, occurred_at, url, .. } = row;
        Ok(Some(Parcel { event, kind, occurred_at, about, url, secrets }))
    }

    async fn tried(&self, delivery: Uuid, came: &Came) -> Result<Then, JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        let then = match came {
            Came::Taken(status) => {
                well_again(&mut tx, delivery).await?;
                taken(&mut tx, delivery, *status).await?;
                Then::Over
            }
            Came::Unwanted(status) => {
                self.disable(&mut tx, delivery, Why::Gone).await?;
                not_taken(&mut tx, delivery, Some(*status), Why::Gone.told(), true).await?;
                Then::Over
            }
            Came::Not { status, failure } => {
                let over = self.fails(&mut tx, delivery).await?;
                not_taken(&mut tx, delivery, *status, &failure.message, over).await?;
                if over { Then::Over } else { Then::Again }
            }
        };
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(then)
    }
}

impl ClaimedDeliveries<'_> {
    /// The delivery, if it is this job's and waits.
    async fn waiting(&self, tx: &mut PgConnection, delivery: Uuid) -> Result<Option<Row>, LedgerError> {
        let row = sqlx::query_as!(
            Row,
            r#"SELECT d.event_id, e.type AS kind, e.occurred_at, e.publication_id, e.account_id, e.request_id, d.webhook_id,
                      w.url, w.state = 'active' AS "active!"
               FROM delivery d JOIN event e ON e.id = d.event_id JOIN webhook w ON w.id = d.webhook_id
               WHERE d.id = $1 AND d.job_id = $2 AND d.state = 'waiting'"#,
            delivery,
            self.claim.job_id,
        );
        Ok(row.fetch_optional(tx).await?)
    }

    /// What is good now of what it is signed with, the present one first.
    async fn secrets(&self, webhook: Uuid) -> Result<Vec<SecretString>, JobError> {
        let rows = sqlx::query!(
            "SELECT id, sealed FROM vault.webhook_secret
             WHERE webhook_id = $1 AND (ends_at IS NULL OR ends_at > ledger_now()) ORDER BY ends_at NULLS FIRST",
            webhook,
        )
        .fetch_all(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        let open = |id, sealed: &[u8]| {
            let opened = self.ring.open(sealed, &row_name(webhook, id))?;
            std::str::from_utf8(&opened).map(SecretString::from).map_err(|_| KeyError::DoesNotOpen)
        };
        let opened: Result<Vec<_>, KeyError> = rows.iter().map(|row| open(row.id, &row.sealed)).collect();
        // a key that this process was not given is nobody's fault out there: it goes on when it is
        opened.map_err(|error| {
            let failure = Failure::new(Class::Transient, "key_ring", error.to_string());
            JobError::Unavailable(Failure { operator: true, ..failure })
        })
    }

    /// Notes that nothing was taken; true: nothing more is tried, for the webhook is disabled now, or was already.
    async fn fails(&self, tx: &mut PgConnection, delivery: Uuid) -> Result<bool, LedgerError> {
        let long = sqlx::query_scalar!(
            r#"UPDATE webhook w SET failing_since = coalesce(w.failing_since, ledger_now())
               FROM delivery d WHERE d.id = $1 AND w.id = d.webhook_id AND w.state = 'active'
               RETURNING w.failing_since <= ledger_now() - $2::interval AS "long!""#,
            delivery,
            interval(self.disable_after),
        );
        match long.fetch_optional(&mut *tx).await? {
            None => Ok(true),
            Some(false) => Ok(false),
            Some(true) => {
                self.disable(tx, delivery, Why::Failing).await?;
                Ok(true)
            }
        }
    }

    /// Sends nothing more to the webhook of this delivery, and tells its people: once, whoever finds out first.
    async fn disable(&self, tx: &mut PgConnection, delivery: Uuid, why: Why) -> Result<(), LedgerError> {
        let disabled = sqlx::query!(
            r#"UPDATE webhook w
               SET state = 'disabled', disabled_why = $2::text::webhook_disabled_why, disabled_at = ledger_now()
               FROM delivery d WHERE d.id = $1 AND w.id = d.webhook_id AND w.state = 'active'
               RETURNING w.id, w.workspace_id, w.url"#,
            delivery,
            why.word(),
        );
        let Some(it) = disabled.fetch_optional(&mut *tx).await? else { return Ok(()) };
        let entry = Entry {
            who: self.ledger.who(),
            action: Action::WebhookDisabled,
            object: "webhook",
            object_id: it.id.to_string(),
            workspace_id: Some(it.workspace_id),
            detail: json!({ "why": why.word() }),
        };
        audit::record(&mut *tx, &entry).await?;
        let said = letter(&it.url, why);
        mail::tell_admins(tx, self.ring, it.workspace_id, "A webhook was disabled", &said, NEWS_LASTS)
            .await?;
        Ok(())
    }
}

/// What an event is about, as it is true now; none: it was deleted meanwhile, or is being deleted.
async fn about(tx: &mut PgConnection, row: &Row) -> Result<Option<About>, LedgerError> {
    match (row.publication_id, row.account_id, row.request_id) {
        (Some(publication), _, _) => Ok(post(tx, publication).await?.map(About::Post)),
        (None, Some(id), _) => Ok(account(tx, id).await?.map(About::Account)),
        (None, None, Some(request)) => Ok(Some(About::Deletion(request))),
        (None, None, None) => Ok(Some(About::Test(row.webhook_id))),
    }
}

async fn post(tx: &mut PgConnection, id: Uuid) -> Result<Option<Post>, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT p.id, p.post_id, p.account_id, a.platform, p.state::text AS "state!", p.public_url, p.error, p.hold_reason
           FROM publication p JOIN account a ON a.id = p.account_id
           WHERE p.id = $1 AND a.deletion_id IS NULL"#,
        id,
    );
    let Some(row) = row.fetch_optional(tx).await? else { return Ok(None) };
    let state = State::parse(&row.state)
        .ok_or_else(|| LedgerError::Unreadable(format!("the publication state {}", row.state)))?;
    let said = row.error.map(failure).map(|it| Said { code: it.code, message: it.message });
    let error = match (state, row.hold_reason, said) {
        (State::Published, _, _) => None,
        (State::Held, Some(message), said) => {
            Some(Said { code: said.map_or_else(|| "held".to_owned(), |said| said.code), message })
        }
        (_, _, said) => said,
    };
    Ok(Some(Post {
        post_id: row.post_id,
        publication_id: row.id,
        account_id: row.account_id,
        platform: row.platform,
        state,
        permalink: row.public_url,
        error,
    }))
}

async fn account(tx: &mut PgConnection, id: Uuid) -> Result<Option<Account>, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT a.id, a.platform, a.state::text AS "state!", a.state_reason, t.ends_at AS "ends_at?", t.because AS "because?"
           -- of what has ended already its state tells
           FROM account a LEFT JOIN ending_told t ON t.account_id = a.id AND a.state <> 'reconnect'
           WHERE a.id = $1 AND a.deletion_id IS NULL"#,
        id,
    );
    let Some(row) = row.fetch_optional(tx).await? else { return Ok(None) };
    let error = row.state_reason.map(|message| Said { code: "reconnect".to_owned(), message });
    Ok(Some(Account {
        account_id: row.id,
        platform: row.platform,
        error: error.filter(|_| row.state == "reconnect"),
        ends: row.ends_at.zip(row.because).map(|(at, because)| Ends { at, because }),
        state: row.state,
    }))
}

/// It is over without having been sent.
async fn end(
    tx: &mut PgConnection,
    delivery: Uuid,
    state: &str,
    why: Option<&str>,
) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE delivery SET state = $2::text::delivery_state, last_error = $3 WHERE id = $1 AND state = 'waiting'",
        delivery,
        state,
        why,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Whatever failed there before, it takes what is sent.
async fn well_again(tx: &mut PgConnection, delivery: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE webhook w SET failing_since = NULL FROM delivery d
         WHERE d.id = $1 AND w.id = d.webhook_id AND w.failing_since IS NOT NULL",
        delivery,
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn taken(tx: &mut PgConnection, delivery: Uuid, status: u16) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE delivery SET state = 'delivered', delivered_at = ledger_now(), tries = tries + 1, last_status = $2,
                             last_error = NULL, last_at = ledger_now()
         WHERE id = $1 AND state = 'waiting'",
        delivery,
        answer(Some(status)),
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn not_taken(
    tx: &mut PgConnection,
    delivery: Uuid,
    status: Option<u16>,
    why: &str,
    over: bool,
) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE delivery SET state = CASE WHEN $4::boolean THEN 'failed' ELSE state END, tries = tries + 1,
                             last_status = $2, last_error = $3, last_at = ledger_now()
         WHERE id = $1 AND state = 'waiting'",
        delivery,
        answer(status),
        why,
        over,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// An HTTP status, as it is kept.
fn answer(status: Option<u16>) -> Option<i16> {
    status.and_then(|status| i16::try_from(status).ok())
}

/// Of the address only the host is told: the rest may hold what only its owner should know.
fn letter(url: &str, why: Why) -> String {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    format!(
        "Hello,\n\nnothing more is sent to your webhook at {host}: {}.\n\nWhat happens from now on is not told there, and \
         not made up for later. See to the software behind that address, then sign in to postroom as an admin, open \
         Webhooks, enable it again, and send again from its list what has failed.\n",
        why.told()
    )
}

/// What was to be sent by jobs that have ended otherwise than well is given up with them.
pub(super) async fn give_up(tx: &mut PgConnection, jobs: &[Uuid], why: &Failure) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE delivery SET state = 'failed', last_error = $2 WHERE job_id = ANY ($1) AND state = 'waiting'",
        jobs,
        why.message,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What was given up is sent again, by whoever tries its job again as another one.
pub(super) async fn bring_again(tx: &mut PgConnection, before: Uuid, job: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE delivery SET state = 'waiting', job_id = $2 WHERE job_id = $1 AND state = 'failed'",
        before,
        job,
    )
    .execute(tx)
    .await?;
    Ok(())
}

impl Ledger {
    /// Destroys secrets whose time is over.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn end_webhook_secrets(&self) -> Result<u64, LedgerError> {
        let ended = sqlx::query!("DELETE FROM vault.webhook_secret WHERE ends_at <= ledger_now()");
        Ok(ended.execute(&self.pool).await?.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_names_the_host_and_nothing_else_of_the_address() {
        let letter = letter("https://hooks.example.org/T00/secret?token=x", Why::Failing);
        assert!(letter.contains("hooks.example.org"), "{letter}");
        assert!(!letter.contains("secret") && !letter.contains("token"), "{letter}");
        assert!(!letter.contains("  "), "{letter}");
    }
}
