//! Accounts whose access was refused.

use jobs::{contract::Failure, renewals::Access};
use uuid::Uuid;

use super::{Claim, Ledger, LedgerError};

/// Access that was refused.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// Whose.
    pub account: Uuid,
    /// The generation of the token that was opened; none: none was.
    pub seen: Option<i64>,
    /// What its owner is told.
    pub reason: &'a str,
    /// The owner took it back: its tokens are removed.
    pub purge: bool,
}

impl Ledger {
    /// Renews an account's access no more: what renewed it was refused in this call.
    pub(super) async fn leave_bare(
        &self,
        claim: Claim,
        it: &Access,
        call: Uuid,
        failure: &Failure,
    ) -> Result<(), LedgerError> {
        sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               bare AS (
                   UPDATE account
                   SET refresh_state = 'idle', refresh_call = NULL, renewable = false, renewable_until = NULL
                   WHERE id = $4 AND refresh_call = $5 AND token_generation = $6 AND state NOT IN ('frozen', 'erased')
                     AND EXISTS (SELECT FROM fence))
               UPDATE remote_call c
               SET verdict = 'definite_no', finished_at = ledger_now(), remote_code = $7, remote_message = $8
               WHERE c.call_id = $5 AND c.verdict IS NULL AND EXISTS (SELECT FROM fence)"#,
            claim.job_id,
            claim.epoch,
            claim.worker_inc,
            it.account.id,
            call,
            it.generation,
            failure.code,
            failure.message,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Puts an account's next renewal off: by twenty minutes, by twice as long each time that follows, by a day at most.
    pub(super) async fn put_renewal_off(&self, claim: Claim, account: Uuid) -> Result<(), LedgerError> {
        sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE)
               UPDATE account
               SET refresh_wait = least(refresh_wait * 2, interval '1 day'),
                   refresh_due_at = ledger_now() + least(refresh_wait * 2, interval '1 day')
               WHERE id = $4 AND EXISTS (SELECT FROM fence)"#,
            claim.job_id,
            claim.epoch,
            claim.worker_inc,
            account,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Rests an account until its access is mended: its jobs are paused, that of `claim` among them. Nothing
    /// happens where the account was connected anew, or its access renewed, since its token was opened: it is not the
    /// one refused. What was committed is observed on. With `purge` its tokens are removed, also where it rests already.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn rest_account(&self, claim: Claim, refused: &Refused<'_>) -> Result<(), LedgerError> {
        sqlx::query!(
            r#"WITH refused AS (
                   SELECT started_at FROM claim WHERE job_id = $3 AND epoch = $4 AND worker_inc = $5 FOR SHARE),
               rested AS (
                   UPDATE account SET state = 'reconnect', state_reason = $2
                   FROM refused WHERE account.id = $1 AND state = 'active'
                     AND CASE WHEN $7::bigint IS NULL THEN greatest(connected_at, refreshed_at) < refused.started_at
                              ELSE token_generation = $7 END
                   RETURNING account.id),
               -- what its owner took back is not kept, and where it rested already it is no different
               purged AS (
                   DELETE FROM vault.token t USING account a, refused
                   WHERE $6 AND a.id = $1 AND t.account_id = a.id
                     AND CASE WHEN $7::bigint IS NULL THEN greatest(a.connected_at, a.refreshed_at) < refused.started_at
                              ELSE a.token_generation = $7 END),
               resting AS (
                   SELECT id FROM rested
                   UNION SELECT id FROM account WHERE id = $1 AND state <> 'active')
               UPDATE job SET standing = 'paused', epoch = job.epoch + 1
               FROM resting WHERE job.account_id = resting.id AND job.kind = 'publish' AND job.standing = 'active'
                 AND NOT EXISTS (SELECT FROM publication p WHERE p.id = job.publication_id
                                   AND p.state = 'waiting' AND p.handle_state = 'spent')"#,
            refused.account,
            refused.reason,
            claim.job_id,
            claim.epoch,
            claim.worker_inc,
            refused.purge,
            refused.seen,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
