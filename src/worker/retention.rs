//! Drops what is older than it is kept, once a day, a batch at a time: one worker at it, and the next one goes on where it
//! dies.

use std::{sync::Arc, time::Duration};

use jobs::fp;

use super::Worker;
use crate::ledger::retention::Step;

/// How often it is looked for whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// Looks until the worker stops.
pub(super) async fn run(worker: Arc<Worker>) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        worker.retain().await;
    }
}

impl Worker {
    /// What is left of today's.
    async fn retain(&self) {
        let (duties, ages) = (&self.parts.duties, self.parts.settings.retention.ages());
        while !self.stop.is_cancelled() {
            match self.in_time(duties.retain(&self.parts.ring, &ages)).await {
                Ok(Step::Over | Step::Elsewhere) => return,
                Ok(Step::Dropped { class, today, last }) => {
                    fp!(AfterRetentionBatch);
                    if last && today > 0 {
                        tracing::info!(class, dropped = today, "what is older than it is kept has gone");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "what is old could not be dropped; it is tried again in ten minutes");
                    return;
                }
            }
        }
    }
}
