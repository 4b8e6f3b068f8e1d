//! Has a workspace told that its connections end: its administrators where mail is on, and its own software.

use std::sync::Arc;

use super::Worker;

/// Looks until the worker stops.
pub(super) async fn run(worker: Arc<Worker>) {
    let lookout = worker.parts.settings.lookout;
    let mut tick = tokio::time::interval(lookout.tell_every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let (ledger, ring) = (&worker.parts.duties, &worker.parts.ring);
        let base = worker.parts.mail.as_ref().map(|_| worker.parts.public_url.as_str());
        match worker.in_time(ledger.tell_of_endings(ring, lookout.tell_ahead, base)).await {
            Ok(0) => {}
            Ok(letters) => tracing::info!(letters, "administrators are told of connections that end"),
            Err(error) => tracing::warn!(%error, "what ends could not be looked for; it is tried again"),
        }
    }
}
