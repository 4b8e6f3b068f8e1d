//! Handles that nobody holds: filed by who came too late with one, or had no more use for it, and swept at the network.

use std::time::Duration;

use jobs::{contract::Failure, desk::Handle};
use uuid::Uuid;

use super::{Ledger, LedgerError, claims::interval};

/// A handle that nobody holds.
#[derive(Debug, Clone)]
pub struct Orphan {
    /// Whose it was.
    pub account_id: Uuid,
    /// The account's network.
    pub platform: String,
    /// The account's id there.
    pub external_id: String,
    /// The handle.
    pub handle: Handle,
    /// It was filed so long ago that there is nothing more to hope for.
    pub old: bool,
}

impl Ledger {
    /// Takes up to `most` orphans whose turn it is, each over an hour old, and puts their next turn off by as long as
    /// they are old already. Those that turn out to be somebody's are orphans no more. Those of accounts that rest, or
    /// may not be used, keep their turn and are in nobody's way.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn orphans_due(&self, most: i64, old: Duration) -> Result<Vec<Orphan>, LedgerError> {
        sqlx::query!(
            "DELETE FROM orphan_handle o
             WHERE (o.handle_kind, o.handle_id) IN (
                 SELECT h.handle_kind, h.handle_id FROM orphan_handle h JOIN account a ON a.id = h.account_id
                 WHERE h.sweep_at <= ledger_now() AND a.state = 'active' AND a.frozen_at IS NULL
                   AND (a.resting_until IS NULL OR a.resting_until <= ledger_now())
                 ORDER BY h.sweep_at LIMIT $1 FOR UPDATE OF h SKIP LOCKED)
               AND is_somebodys(o.account_id, o.handle_kind, o.handle_id)",
            most,
        )
        .execute(&self.pool)
        .await?;
        let rows = sqlx::query!(
            r#"WITH due AS (
                   SELECT o.handle_kind, o.handle_id FROM orphan_handle o JOIN account a ON a.id = o.account_id
                   WHERE o.sweep_at <= ledger_now() AND o.created_at <= ledger_now() - interval '1 hour'
                     AND a.state = 'active' AND a.frozen_at IS NULL
                     AND (a.resting_until IS NULL OR a.resting_until <= ledger_now())
                   ORDER BY o.sweep_at LIMIT $1
                   -- skip locked: two workers may look at once
                   FOR UPDATE OF o SKIP LOCKED)
               UPDATE orphan_handle o SET sweep_at = ledger_now() + (ledger_now() - o.created_at)
               FROM due, account a
               WHERE o.handle_kind = due.handle_kind AND o.handle_id = due.handle_id AND a.id = o.account_id
               RETURNING o.account_id, a.platform, a.external_id, o.handle_kind, o.handle_id,
                         o.handle_detail, o.created_at < ledger_now() - $2::interval AS "old!""#,
            most,
            interval(old),
        )
        .fetch_all(&self.pool)
        .await?;
        let orphans = rows.into_iter().map(|row| Orphan {
            account_id: row.account_id,
            platform: row.platform,
            external_id: row.external_id,
            handle: Handle { kind: row.handle_kind, id: row.handle_id, detail: row.handle_detail },
            old: row.old,
        });
        Ok(orphans.collect())
    }

    /// The write-ahead row of a call that deletes an orphan; `None`: it is somebody's, or none any more.
    ///
    /// # Errors
    /// The ledger is away, and nothing may be sent.
    pub async fn log_discard(
        &self,
        handle: &Handle,
        worker_inc: Uuid,
        limit: Duration,
    ) -> Result<Option<Uuid>, LedgerError> {
        let call = sqlx::query_scalar!(
            // no job sends it: the call stands for one
            "INSERT INTO remote_call (call_id, account_id, job_id, epoch, worker_inc, kind, handle_id, deadline_at)
             SELECT $1, account_id, $1, 0, $2, 'discard', handle_id, ledger_now() + $5
             FROM orphan_handle
             WHERE handle_kind = $3 AND handle_id = $4 AND NOT is_somebodys(account_id, handle_kind, handle_id)
             RETURNING call_id",
            Uuid::now_v7(),
            worker_inc,
            handle.kind,
            handle.id,
            interval(limit),
        );
        Ok(call.fetch_optional(&self.pool).await?)
    }

    /// Nothing is left of an orphan: by that call, or by itself.
    ///
    /// # Errors
    /// The ledger is away; it is swept once more.
    pub async fn swept(&self, handle: &Handle, call: Option<Uuid>) -> Result<(), LedgerError> {
        sqlx::query!(
            "WITH closed AS (
                 UPDATE remote_call SET verdict = 'ok', finished_at = ledger_now()
                 WHERE call_id = $3 AND kind = 'discard' AND verdict IS NULL)
             DELETE FROM orphan_handle WHERE handle_kind = $1 AND handle_id = $2",
            handle.kind,
            handle.id,
            call,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What became of a call that did not delete an orphan, or nobody knows; its next turn comes.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn not_swept(&self, call: Uuid, why: &Failure, certainly: bool) -> Result<(), LedgerError> {
        self.close_discard(call, why, certainly).await
    }
}
