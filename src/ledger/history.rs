//! The history by day, finished jobs and attempts; and what has ended and is of no use.

use super::{Ledger, LedgerError};

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

    /// Drops what has ended and is of no use any more: pauses, sessions, links to new passwords and addresses, and workers long gone. What
    /// is kept for a time goes by `retention`.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn forget(&self) -> Result<(), LedgerError> {
        sqlx::query!("DELETE FROM pause WHERE ends_at <= ledger_now()").execute(&self.pool).await?;
        sqlx::query!("DELETE FROM session WHERE expires_at < ledger_now()").execute(&self.pool).await?;
        sqlx::query!("DELETE FROM password_reset WHERE expires_at < ledger_now()")
            .execute(&self.pool)
            .await?;
        sqlx::query!("DELETE FROM email_change WHERE expires_at < ledger_now()").execute(&self.pool).await?;
        sqlx::query!(
            r#"DELETE FROM worker w WHERE lease_until < ledger_now() - interval '1 hour'
               AND NOT EXISTS (SELECT FROM claim c WHERE c.worker_inc = w.inc)"#,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
