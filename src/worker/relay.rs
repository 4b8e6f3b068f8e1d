//! Finds by their state the jobs that are due and were not pushed, or were lost, and pushes them; and holds
//! those due in a moment until their moment, so that a post starts on time and not on a poll.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use jobs::{desk::Clock, hint::Hint};
use uuid::Uuid;

use super::Worker;

/// Sweeps at the pace of `worker.toml`, whenever somebody says that something may be due, and pushes at the
/// moment each held hint falls due.
pub(super) async fn run(worker: Arc<Worker>) {
    let mut relay = Relay { worker, held: BTreeMap::new() };
    let mut tick = tokio::time::interval(relay.worker.parts.settings.relay.sweep_every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let next = relay.next();
        tokio::select! {
            () = relay.worker.stop.cancelled() => return,
            _ = tick.tick() => relay.sweep().await,
            () = relay.worker.due.notified() => relay.sweep().await,
            () = tokio::time::sleep(next) => relay.push_due().await,
        }
    }
}

struct Relay {
    worker: Arc<Worker>,
    held: BTreeMap<(DateTime<Utc>, Uuid), Hint>,
}

impl Relay {
    async fn sweep(&mut self) {
        let parts = &self.worker.parts;
        let settings = &parts.settings.relay;
        let most = i64::from(settings.window.min(1000));
        match self.worker.in_time(parts.ledger.due(&parts.kinds, settings.look_ahead, most)).await {
            Ok((hints, now)) => {
                parts.clock.set(now);
                self.held = hints.into_iter().map(|hint| ((hint.run_at, hint.job_id), hint)).collect();
                self.push_due().await;
            }
            Err(error) => tracing::warn!(%error, "the ledger could not be searched for due jobs"),
        }
    }

    async fn push_due(&mut self) {
        let now = self.worker.parts.clock.now();
        let later = self.held.split_off(&(now, Uuid::max()));
        let due: Vec<Hint> = std::mem::replace(&mut self.held, later).into_values().collect();
        if due.is_empty() {
            return;
        }
        if let Err(error) = self.worker.parts.queue.push(&due).await {
            metrics::counter!("postroom_push_failures_total").increment(1);
            tracing::debug!(%error, "hints were not pushed; workers claim from the ledger meanwhile");
        }
    }

    /// How long until the first held hint falls due.
    fn next(&self) -> Duration {
        let now = self.worker.parts.clock.now();
        self.held
            .keys()
            .next()
            .map_or(Duration::from_hours(1), |(at, _)| (*at - now).to_std().unwrap_or_default())
    }
}
