//! After a restore from a backup: what the ledger cannot know any more, and what is made of it.

use chrono::{DateTime, Utc};
use jobs::{
    contract::{Class, Failure},
    machine::{Move, State},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    settle::{Outcome, bury, kept, words},
    shredding,
};

/// What a restore makes of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Publications that were due and may have been sent since the backup: their networks are asked.
    pub asked: Vec<Uuid>,
    /// Those of them that have no handle to ask about: a person decides.
    pub held: Vec<Uuid>,
    /// Publications that are due later. They go out as they stood when the backup was made.
    pub later: i64,
    /// Accounts whose tokens the backup has without their data keys: they are to be connected again.
    pub keyless: i64,
    /// Until when a worker holds a lease; `None` where none does.
    pub leased_until: Option<DateTime<Utc>>,
}

impl Ledger {
    /// What [`Self::restore`] would do.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn restore_check(&self) -> Result<Restored, LedgerError> {
        let mut connection = self.pool.acquire().await?;
        survey(&mut connection).await
    }

    /// Trusts nothing that the ledger says of publications that are due: each is in doubt until its network shows
    /// it or a person has decided. Changes nothing while a worker holds a lease. Repeatable.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn restore(&self) -> Result<Restored, LedgerError> {
        let mut tx = self.pool.begin().await?;
        // no worker starts before this has ended
        sqlx::query!("LOCK TABLE worker IN SHARE MODE").execute(&mut *tx).await?;
        let restored = survey(&mut tx).await?;
        if restored.leased_until.is_none() {
            let why = "the ledger was restored from a backup, and this may have been sent since";
            let failure = Failure::new(Class::Unknown, "restored", why);
            let all = [&restored.asked[..], &restored.held].concat();
            doubt(&mut tx, &all, &failure).await?;
            hold(&mut tx, &restored.held, &failure).await?;
            shredding::rest_keyless(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(restored)
    }
}

/// The states that a restore puts in doubt, and doubt itself: what was known of it is of the backup's time.
fn open() -> Vec<String> {
    words(&[Move::Restore.from(), &[State::Unknown]].concat())
}

async fn survey(connection: &mut PgConnection) -> Result<Restored, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT id, handle_id IS NOT NULL AS "named!", scheduled_for <= ledger_now() AS "due!"
           FROM publication WHERE state = ANY($1::text[]::publication_state[])
             AND state NOT IN ('published', 'failed', 'cancelled', 'held') -- as the index has it
           ORDER BY id"#,
        &open(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let leased = sqlx::query_scalar!("SELECT max(lease_until) FROM worker WHERE lease_until > ledger_now()");
    let mut restored = Restored {
        leased_until: leased.fetch_one(&mut *connection).await?,
        keyless: shredding::keyless(connection).await?,
        ..Restored::default()
    };
    for row in rows {
        match (row.due, row.named) {
            (true, true) => restored.asked.push(row.id),
            (true, false) => restored.held.push(row.id),
            (false, _) => restored.later += 1,
        }
    }
    Ok(restored)
}

/// Ends their jobs, and keeps a commit call for each that may have been made: until it is judged nothing is sent.
async fn doubt(tx: &mut PgConnection, ids: &[Uuid], failure: &Failure) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"UPDATE remote_call c SET verdict = 'ambiguous', finished_at = coalesce(c.finished_at, ledger_now()),
                  remote_message = coalesce(c.remote_message, $2)
           FROM publication p
           WHERE p.id = c.publication_id AND p.id = ANY($1) AND c.kind IN ('prepare', 'commit')
             -- a commit that was taken: whether that came to anything is of the time since
             AND (c.verdict IS NULL OR (c.kind = 'commit' AND c.verdict = 'ok' AND p.state = 'waiting'))"#,
        ids,
        failure.message,
    )
    .execute(&mut *tx)
    .await?;
    let jobs = sqlx::query_scalar!(
        "SELECT id FROM job WHERE publication_id = ANY($1) AND kind = 'publish' FOR UPDATE",
        ids,
    )
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM claim WHERE job_id = ANY($1)", &jobs).execute(&mut *tx).await?;
    bury(tx, &jobs, Outcome::Unknown, failure).await?;
    sqlx::query!(
        r#"INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind, handle_id,
                                    deadline_at, finished_at, remote_message, verdict)
           SELECT gen_random_uuid(), p.id, p.account_id, p.id, 0, p.id, 'commit', p.handle_id,
                  ledger_now(), ledger_now(), $2, 'ambiguous'
           FROM publication p
           WHERE p.id = ANY($1)
             AND NOT EXISTS (SELECT FROM remote_call c WHERE c.publication_id = p.id AND c.kind = 'commit'
                               AND (c.verdict IS NULL OR c.verdict IN ('ok', 'ambiguous', 'resolved_yes')))"#,
        ids,
        failure.message,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        r#"UPDATE publication
           SET state = $3::text::publication_state, restored_at = ledger_now(), quarantine_until = ledger_now(),
               next_check_at = ledger_now(), absent_since = NULL, error = $4, updated_at = ledger_now()
           WHERE id = ANY($1) AND state = ANY($2::text[]::publication_state[])"#,
        ids,
        &open(),
        Move::Restore.to().word(),
        kept(failure),
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn hold(tx: &mut PgConnection, ids: &[Uuid], failure: &Failure) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"UPDATE publication
           SET state = $3::text::publication_state, next_check_at = NULL, hold_reason = $4, updated_at = ledger_now()
           WHERE id = ANY($1) AND state = ANY($2::text[]::publication_state[])"#,
        ids,
        &words(Move::Hold.from()),
        Move::Hold.to().word(),
        failure.message,
    )
    .execute(tx)
    .await?;
    Ok(())
}
