//! The write-ahead log of what is taken down, bound to one claim: what is sent is fenced, what is gone is a fact.

use std::time::Duration;

use async_trait::async_trait;
use jobs::{
    contract::{Class, Failure, JobError},
    desk::Account,
    removal::{TakeDowns, Wish},
};
use uuid::Uuid;

use super::{Claim, Ledger, LedgerError, claims::interval};

/// The wait before evidence is told again.
const EVIDENCE_AGAIN: Duration = Duration::from_millis(200);

/// The wishes of one claimed job.
pub struct ClaimedTakeDowns<'a> {
    /// Where they are.
    pub ledger: &'a Ledger,
    /// The fence.
    pub claim: Claim,
}

#[async_trait]
impl TakeDowns for ClaimedTakeDowns<'_> {
    async fn look(&self, publication: Uuid) -> Result<Wish, JobError> {
        let row = sqlx::query!(
            r#"SELECT t.state = 'asked' AND t.job_id = $2 AND p.state = 'published' AS "open!",
                      p.account_id, a.platform, a.external_id, a.state = 'active' AND a.frozen_at IS NULL AS "account_active!",
                      p.public_id,
                      CASE WHEN a.resting_until > ledger_now() THEN a.resting_until END AS resting_until,
                      EXISTS (SELECT FROM remote_call c
                              WHERE c.publication_id = p.id AND c.kind = 'discard' AND c.handle_id = p.public_id
                                AND (c.verdict IS NULL OR c.verdict = 'ambiguous')) AS "in_doubt!"
               FROM take_down t JOIN publication p ON p.id = t.publication_id JOIN account a ON a.id = p.account_id
               WHERE p.id = $1"#,
            publication,
            self.claim.job_id,
        )
        .fetch_optional(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        let nobody =
            || Failure::new(Class::Permanent, "payload", "nobody wishes such a publication taken down");
        let row = row.ok_or_else(|| JobError::Malformed(nobody()))?;
        Ok(Wish {
            open: row.open,
            account: Account { id: row.account_id, platform: row.platform, external_id: row.external_id },
            account_active: row.account_active,
            resting_until: row.resting_until,
            remote_id: row.public_id,
            in_doubt: row.in_doubt,
        })
    }

    async fn log(&self, publication: Uuid, limit: Duration) -> Result<Uuid, JobError> {
        let call = sqlx::query_scalar!(
            r#"WITH fence AS MATERIALIZED (
                   SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE),
               -- locked as arming does, so that nothing is sent for an account that is being frozen
               usable AS MATERIALIZED (
                   SELECT id FROM account
                   WHERE id = (SELECT account_id FROM publication WHERE id = $4) AND state = 'active' AND frozen_at IS NULL
                   FOR SHARE)
               INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind, handle_id, deadline_at)
               SELECT $5, p.id, usable.id, $1, $2, $3, 'discard', p.public_id, ledger_now() + $6
               FROM publication p JOIN usable ON usable.id = p.account_id JOIN take_down t ON t.publication_id = p.id
               WHERE p.id = $4 AND p.state = 'published' AND p.public_id IS NOT NULL AND t.state = 'asked' AND t.job_id = $1
                 AND EXISTS (SELECT FROM fence)
               RETURNING call_id"#,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
            publication,
            Uuid::now_v7(),
            interval(limit),
        )
        .fetch_optional(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        call.ok_or(JobError::Fenced)
    }

    async fn gone(&self, publication: Uuid, call: Option<Uuid>) -> Result<(), JobError> {
        // a proof that is dropped would have to be found again: it is told until it is heard, or the attempt ends
        loop {
            match self.ledger.gone(publication, call).await {
                Err(LedgerError::Away(error)) => tracing::warn!(%error, "evidence could not be recorded yet"),
                other => return Ok(other?),
            }
            tokio::time::sleep(EVIDENCE_AGAIN).await;
        }
    }

    async fn not_gone(&self, call: Uuid, failure: &Failure, certainly: bool) -> Result<(), JobError> {
        Ok(self.ledger.close_discard(call, failure, certainly).await?)
    }
}

impl Ledger {
    /// Records that what was public is gone. Needs no claim, and may be told any number of times.
    async fn gone(&self, publication: Uuid, call: Option<Uuid>) -> Result<(), LedgerError> {
        sqlx::query!(
            r#"WITH ended AS (
                   UPDATE take_down SET state = 'gone', ended_at = ledger_now(), why = NULL
                   WHERE publication_id = $1 AND state <> 'gone'),
               -- where it is to be found need not be asked any more
               unnamed AS (UPDATE publication SET next_check_at = NULL WHERE id = $1 AND state = 'published')
               UPDATE remote_call c
               SET verdict = CASE WHEN c.call_id = $2 THEN 'ok' ELSE 'resolved_yes' END::call_verdict,
                   finished_at = coalesce(c.finished_at, ledger_now())
               FROM publication p
               WHERE p.id = $1 AND c.publication_id = p.id AND c.kind = 'discard' AND c.handle_id = p.public_id
                 AND (c.verdict IS NULL OR c.verdict = 'ambiguous') AND (c.call_id = $2 OR $2 IS NULL)"#,
            publication,
            call,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
