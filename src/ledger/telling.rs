//! Telling the ledger what a network has said, until it is heard: a proof that is dropped may never come again.

use std::time::Duration;

use super::LedgerError;

/// The wait before evidence is told again.
const AGAIN: Duration = Duration::from_millis(200);
/// An answer that takes longer will not come: its connection is half open.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Tells it again and again while the ledger is away. It goes on by itself where the caller cannot wait any longer: an
/// attempt ends with its lease, and that runs out while the ledger is away.
///
/// # Errors
/// The ledger has heard it, and refused it.
pub(super) async fn until_heard<T, F>(tell: impl Fn() -> F + Send + 'static) -> Result<T, LedgerError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, LedgerError>> + Send + 'static,
{
    let telling = tokio::spawn(async move {
        loop {
            let told = tokio::time::timeout(ANSWERS_WITHIN, tell()).await;
            match told.unwrap_or_else(|late| Err(LedgerError::late(late))) {
                Err(LedgerError::Away(error)) => tracing::warn!(%error, "evidence could not be recorded yet"),
                heard => return heard,
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
    telling.await.unwrap_or(Err(LedgerError::Away(sqlx::Error::WorkerCrashed)))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn evidence_is_told_on_where_nobody_waits_for_it_any_more() {
        let state = Arc::new((AtomicU32::new(0), Notify::new()));
        let shared = Arc::clone(&state);
        let telling = until_heard(move || {
            let state = Arc::clone(&shared);
            async move {
                let (tries, heard) = &*state;
                if tries.fetch_add(1, Ordering::SeqCst) < 2 {
                    return Err(LedgerError::Away(sqlx::Error::PoolTimedOut));
                }
                heard.notify_one();
                Ok(())
            }
        });
        tokio::time::timeout(AGAIN / 2, telling).await.expect_err("the ledger is away for longer");
        tokio::time::timeout(AGAIN * 50, state.1.notified()).await.expect("it is told on");
        assert_eq!(state.0.load(Ordering::SeqCst), 3);
    }
}
