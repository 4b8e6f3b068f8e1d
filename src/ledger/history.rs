//! The history by day: finished jobs, attempts and ticks, and what drops them.

use std::time::Duration;

use super::{Ledger, LedgerError, claims::interval};

/// Rows dropped at a time.
const PAGE: i64 = 1000;

/// The tables that are kept by day.
const BY_DAY: [&str; 2] = ["attempt", "job_history"];

impl Ledger {
    /// Makes the partitions of the days around today.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn prepare_history(&self) -> Result<(), LedgerError> {
        sqlx::query!("SELECT make_history_partitions()").execute(&self.pool).await?;
        Ok(())
    }

    /// Runs a write that leaves something in the history; where the day has no partition yet, makes it and runs
    /// the write again.
    pub(super) async fn kept_by_day<T, F>(&self, write: impl Fn() -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        self.patiently(|| async {
            match write().await {
                Err(LedgerError::Refused { constraint }) if BY_DAY.contains(&constraint.as_str()) => {
                    self.prepare_history().await?;
                    write().await
                }
                other => other,
            }
        })
        .await
    }

    /// Drops what retention no longer keeps: finished jobs with their attempts, ticks, idempotency answers, renewals, and
    /// workers long gone.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn forget(&self, history: Duration, idempotency: Duration) -> Result<(), LedgerError> {
        sqlx::query!("SELECT drop_history_partitions($1)", interval(history)).execute(&self.pool).await?;
        self.forget_ticks(history).await?;
        self.forget_answers(idempotency).await?;
        self.forget_refreshes(history, PAGE).await?;
        // these are few
        sqlx::query!(
            r#"DELETE FROM remote_call
               WHERE kind IN ('connect', 'revoke') AND verdict IS NOT NULL AND finished_at < ledger_now() - $1::interval"#,
            interval(history),
        )
        .execute(&self.pool)
        .await?;
        sqlx::query!("DELETE FROM pause WHERE ends_at <= ledger_now()").execute(&self.pool).await?;
        sqlx::query!("DELETE FROM session WHERE expires_at < ledger_now()").execute(&self.pool).await?;
        sqlx::query!(
            r#"DELETE FROM worker w WHERE lease_until < ledger_now() - interval '1 hour'
               AND NOT EXISTS (SELECT FROM claim c WHERE c.worker_inc = w.inc)"#,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Drops the calls that renewed access before that, but for those whose answer is awaited still; so many at a time,
    /// so that none holds its locks for long.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn forget_refreshes(&self, history: Duration, page: i64) -> Result<(), LedgerError> {
        loop {
            let dropped = sqlx::query!(
                r#"DELETE FROM remote_call WHERE call_id IN (
                       SELECT c.call_id FROM remote_call c
                       WHERE c.kind = 'refresh' AND c.verdict IS NOT NULL AND c.finished_at < ledger_now() - $1::interval
                         AND NOT EXISTS (SELECT FROM account a WHERE a.id = c.account_id AND a.refresh_call = c.call_id)
                       LIMIT $2)"#,
                interval(history),
                page,
            )
            .execute(&self.pool)
            .await?;
            if dropped.rows_affected() < page.unsigned_abs() {
                return Ok(());
            }
        }
    }
}
