//! Giving up what was sent: its handle is made dead first, for a network may carry a request out late.

use std::time::Duration;

use jobs::{
    contract::{Failure, JobError},
    machine::{HandleState, Move},
};
use uuid::Uuid;

use super::{
    Claim, Ledger, LedgerError,
    claims::interval,
    effects::ClaimedEffects,
    settle::{kept, words},
};

impl ClaimedEffects<'_> {
    /// The write-ahead row of a call that takes the handle back.
    pub(super) async fn log_withdrawal(&self, limit: Duration) -> Result<Uuid, JobError> {
        let row = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE)
               INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind, handle_id, deadline_at)
               SELECT $6, id, account_id, $1, $2, $3, 'discard', handle_id, ledger_now() + $7
               FROM publication
               WHERE id = $4 AND state = ANY($5::text[]::publication_state[]) AND handle_state <> 'spent'
                 AND handle_id IS NOT NULL AND EXISTS (SELECT FROM fence)
               RETURNING call_id"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            self.publication_id,
            &words(Move::Withdraw.from()),
            Uuid::now_v7(),
            interval(limit),
        )
        .fetch_optional(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        row.map(|row| row.call_id).ok_or(JobError::Fenced)
    }

    /// The handle is dead from now on.
    pub(super) async fn bury_handle(&self, call: Option<Uuid>) -> Result<(), JobError> {
        let rows = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               moved AS (
                   UPDATE publication
                   SET state = $6::text::publication_state, handle_state = $7::text::handle_state, updated_at = ledger_now()
                   WHERE id = $4 AND state = ANY($5::text[]::publication_state[]) AND handle_state <> 'spent'
                     AND EXISTS (SELECT FROM fence)
                   RETURNING id),
               closed AS (
                   UPDATE remote_call SET verdict = 'ok', finished_at = ledger_now() FROM moved WHERE call_id = $8)
               SELECT id FROM moved"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            self.publication_id,
            &words(Move::Withdraw.from()),
            Move::Withdraw.to().word(),
            HandleState::Dead.word(),
            call,
        )
        .fetch_all(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        Self::fenced(rows.len() as u64)
    }

    /// What became of the call, which decides nothing.
    pub(super) async fn leave_handle(
        &self,
        call: Uuid,
        failure: &Failure,
        certainly: bool,
    ) -> Result<(), JobError> {
        Ok(self.ledger.close_discard(call, failure, certainly).await?)
    }
}

impl Ledger {
    /// What became of a call that was to make a handle dead, or to take down what is public, and did not, or nobody knows.
    pub(super) async fn close_discard(
        &self,
        call: Uuid,
        failure: &Failure,
        certainly: bool,
    ) -> Result<(), LedgerError> {
        sqlx::query!(
            r#"UPDATE remote_call
               SET verdict = $2::text::call_verdict, finished_at = ledger_now(), remote_code = $3, remote_message = $4
               WHERE call_id = $1 AND kind = 'discard' AND verdict IS NULL"#,
            call,
            if certainly { "definite_no" } else { "ambiguous" },
            failure.code,
            failure.message,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Gives up a publication that was sent and whose handle is not dead (T20): it fails when that is. Whether it was
    /// given up before; `None`: the claim is gone, or the publication is none of those.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn give_up_sent(&self, claim: Claim, failure: &Failure) -> Result<Option<bool>, LedgerError> {
        let before = sqlx::query_scalar!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               prior AS (
                   SELECT p.id, p.given_up IS NOT NULL AS given_up FROM publication p JOIN job j ON j.publication_id = p.id
                   WHERE j.id = $1 AND j.kind = 'publish' AND EXISTS (SELECT FROM fence) FOR UPDATE OF p)
               UPDATE publication p SET given_up = coalesce(p.given_up, $5), error = coalesce(p.given_up, $5)
               FROM prior
               WHERE p.id = prior.id AND p.state = ANY($4::text[]::publication_state[])
                 AND p.handle_state NOT IN ('dead', 'spent') AND was_sent(p.id, p.handle_id, interval '100 years')
               RETURNING prior.given_up AS "before!""#,
            claim.job_id,
            claim.epoch,
            claim.worker_inc,
            &words(Move::Fail.from()),
            kept(failure),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(before)
    }
}
