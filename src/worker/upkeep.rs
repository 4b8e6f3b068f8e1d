//! Sees to it that accounts' access is renewed in time: makes the job of each account whose turn it is. And ends the
//! connections that nobody went on with, with everything secret of them.
//!
//! Accounts are found by their state, never by a message: whatever becomes of a job, the account's turn comes again.

use std::{sync::Arc, time::Duration};

use super::Worker;

/// The most accounts in one look.
const MOST: i64 = 256;
/// How long an account's turn is put off, where its job comes to nothing.
const AGAIN: Duration = Duration::from_mins(10);

/// Looks at the pace at which everything is mended, until the worker stops.
pub(super) async fn run(worker: Arc<Worker>) {
    let mut tick = tokio::time::interval(worker.parts.settings.relay.mend_every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        match worker.in_time(worker.parts.duties.end_connections()).await {
            Ok(0) => {}
            Ok(connections) => {
                tracing::info!(connections, "connections were not gone on with, and have ended")
            }
            Err(error) => tracing::warn!(%error, "connections could not be ended; it is tried again"),
        }
        match worker.in_time(worker.parts.duties.renew_due(MOST, AGAIN)).await {
            Ok(0) => {}
            Ok(accounts) => {
                tracing::debug!(accounts, "access is looked after");
                worker.due.notify_one();
            }
            Err(error) => {
                tracing::warn!(%error, "whose access ends could not be looked for; it is tried again")
            }
        }
    }
}
