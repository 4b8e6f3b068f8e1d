//! Sees to it that metrics are asked for: opens the plans of what has come out, makes the jobs of whose turn it is, and
//! the months that what is told is kept in.
//!
//! All of it is found by state: whatever becomes of a job or of a worker, an object's turn comes again.

use std::{sync::Arc, time::Duration};

use super::Worker;
use crate::ledger::LedgerError;

/// The most objects that one statement makes jobs for, and the most statements of one look: of many accounts each may have
/// one object alone.
const MOST: i64 = 1_000;
const MOST_TIMES: usize = 20;
/// What came out within so long is looked for each time; all that may still have a plan, at the start and then hourly.
const LATELY: Duration = Duration::from_hours(2);
const ALL_EVERY: Duration = Duration::from_hours(1);

/// Looks at the pace of `worker.toml`, until the worker stops.
pub(super) async fn run(worker: Arc<Worker>) {
    let mut tick = tokio::time::interval(worker.parts.settings.metrics.look_every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut all_at = tokio::time::Instant::now();
    let mut months_at = all_at;
    loop {
        tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let all = tokio::time::Instant::now() >= all_at;
        match worker.make_snapshots(all).await {
            Ok(()) if all => all_at += ALL_EVERY,
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(%error, "whose numbers are due could not be looked for; it is tried again");
            }
        }
        // after all that is due, and whatever comes of it not before the next hour: nothing waits for it
        let now = tokio::time::Instant::now();
        if now >= months_at {
            months_at = now + ALL_EVERY;
            if let Err(error) = worker.in_time(worker.parts.duties.make_months()).await {
                tracing::warn!(%error, "months of snapshots could not be made; it is tried again in an hour");
            }
        }
    }
}

impl Worker {
    async fn make_snapshots(&self, all: bool) -> Result<(), LedgerError> {
        let (duties, plan) = (&self.parts.duties, &self.pace.plan);
        let reach = if all { plan.until } else { LATELY };
        while self.in_time(duties.open_metric_plans(plan, reach)).await? > 0 {}
        for _ in 0..MOST_TIMES {
            let accounts = self.in_time(duties.snapshots_due(MOST)).await?;
            if accounts == 0 {
                break;
            }
            tracing::debug!(accounts, "numbers are asked for");
            self.due.notify_one();
        }
        metrics::gauge!("postroom_snapshot_lag_seconds").set(duties.snapshot_lag().await?);
        #[expect(clippy::cast_precision_loss, reason = "there are a hundred of them")]
        metrics::gauge!("postroom_metrics_refused").set(duties.refused_metrics().await? as f64);
        Ok(())
    }
}
