//! The first answer to a write, kept to be given again.

use serde::Serialize;
use sqlx::{PgConnection, PgTransaction};
use uuid::Uuid;

use super::{Ledger, LedgerError};

/// A write that carries an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Keys of two workspaces never meet.
    pub workspace_id: Uuid,
    /// 1 to 255 characters.
    pub key: String,
    /// Of the method, the route and the body.
    pub digest: [u8; 32],
}

/// What a write was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, as it was sent.
    pub body: String,
}

impl Answer {
    /// One that shows this.
    pub fn of(status: u16, shown: &impl Serialize) -> Self {
        Self { status, body: serde_json::to_string(shown).unwrap_or_default() }
    }
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// Nothing: go on.
    Nothing,
    /// This very write was answered before.
    Answered(Answer),
    /// The key was used for another write.
    Other,
}

/// The key that a write came with, and how what came of it is answered.
pub type Keyed<'a, T> = (&'a Asked, fn(&T) -> Answer);

/// What came of a write that may carry a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once<T> {
    /// It was carried out now.
    Done(T),
    /// The same write was answered before.
    Before(Answer),
    /// The key was used for another write.
    KeyReused,
}

impl<T> Once<T> {
    /// The same, with something made of what was carried out now.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Once<U> {
        match self {
            Self::Done(done) => Once::Done(make(done)),
            Self::Before(answer) => Once::Before(answer),
            Self::KeyReused => Once::KeyReused,
        }
    }
}

impl Ledger {
    /// Begins a write in a transaction that has its key, unless it was answered before.
    pub(super) async fn begin_once(
        &self,
        asked: Option<&Asked>,
    ) -> Result<Once<PgTransaction<'static>>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let Some(asked) = asked else { return Ok(Once::Done(tx)) };
        Ok(match take(&mut tx, asked).await? {
            Before::Nothing => Once::Done(tx),
            Before::Answered(answer) => Once::Before(answer),
            Before::Other => Once::KeyReused,
        })
    }

    /// Commits such a write, with its answer. What was refused keeps none: it is judged anew each time.
    pub(super) async fn commit_once(
        &self,
        mut tx: PgTransaction<'static>,
        asked: Option<&Asked>,
        answer: Option<&Answer>,
    ) -> Result<(), LedgerError> {
        match (asked, answer) {
            (Some(asked), Some(answer)) => keep(&mut tx, asked, answer).await?,
            (Some(asked), None) => give_up(&mut tx, asked).await?,
            (None, _) => {}
        }
        let xid =
            sqlx::query_scalar!(r#"SELECT pg_current_xact_id()::text AS "xid!""#).fetch_one(&mut *tx).await?;
        self.commit(tx, &xid).await
    }

    /// What is known of the key; waits for nobody.
    pub async fn asked_before(&self, asked: &Asked) -> Result<Before, LedgerError> {
        look(&mut *self.pool.acquire().await?, asked).await
    }
}

/// Takes the key for this transaction. Waits while another transaction holds it.
pub(super) async fn take(connection: &mut PgConnection, asked: &Asked) -> Result<Before, LedgerError> {
    let taken = sqlx::query!(
        "INSERT INTO idempotency_key (workspace_id, key, digest, status, body) VALUES ($1, $2, $3, 0, '')
         -- waits for a transaction that has inserted the same key, and inserts if that one rolled back
         ON CONFLICT (workspace_id, key) DO NOTHING",
        asked.workspace_id,
        asked.key,
        &asked.digest,
    )
    .execute(&mut *connection)
    .await?;
    if taken.rows_affected() == 1 { Ok(Before::Nothing) } else { look(connection, asked).await }
}

/// Keeps the answer of the transaction that took the key.
pub(super) async fn keep(
    connection: &mut PgConnection,
    asked: &Asked,
    answer: &Answer,
) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE idempotency_key SET status = $3, body = $4 WHERE workspace_id = $1 AND key = $2",
        asked.workspace_id,
        asked.key,
        i16::try_from(answer.status).unwrap_or(i16::MAX),
        answer.body,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The answer names this file, and goes with it.
pub(super) async fn names(
    connection: &mut PgConnection,
    asked: &Asked,
    media_id: Uuid,
) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE idempotency_key SET media_id = $3 WHERE workspace_id = $1 AND key = $2",
        asked.workspace_id,
        asked.key,
        media_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Leaves the key to the next who asks.
async fn give_up(connection: &mut PgConnection, asked: &Asked) -> Result<(), LedgerError> {
    sqlx::query!(
        "DELETE FROM idempotency_key WHERE workspace_id = $1 AND key = $2",
        asked.workspace_id,
        asked.key,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn look(connection: &mut PgConnection, asked: &Asked) -> Result<Before, LedgerError> {
    let found = sqlx::query!(
        "SELECT digest, status, body FROM idempotency_key WHERE workspace_id = $1 AND key = $2",
        asked.workspace_id,
        asked.key,
    )
    .fetch_optional(connection)
    .await?;
    Ok(match found {
        None => Before::Nothing,
        Some(row) if row.digest != asked.digest => Before::Other,
        Some(row) => {
            Before::Answered(Answer { status: u16::try_from(row.status).unwrap_or(500), body: row.body })
        }
    })
}
