//! Chains what was written down of who did what: each row to the one before, in one order, by one worker at a time.

use std::{sync::Arc, time::Duration};

use super::Worker;

/// Rows wait this long at most, while a worker lives.
const EVERY: Duration = Duration::from_secs(1);

/// Looks until the worker stops.
pub(super) async fn run(worker: Arc<Worker>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        match worker.in_time(worker.parts.duties.chain_audit()).await {
            Ok(None) => {}
            // whoever keeps the logs elsewhere has a witness that the ledger's owner cannot change
            Ok(Some(head)) => tracing::info!(%head, "the audit chain has grown"),
            Err(error) => {
                tracing::warn!(%error, "what was written down could not be chained; it is tried again");
            }
        }
    }
}
