//! Finds by their state the jobs that are due and were not pushed, or were lost, and pushes them; and holds
//! those due in a moment until their moment, so that a post starts on time and not on a poll.
//!
//! Redis holds a window of each queue, the ledger the rest. A sweep looks from the front of every workspace; where
//! it found more than a page, pages are added from where it stopped whenever the window is half empty.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use jobs::{desk::Clock, hint::Hint};
use tokio::{sync::mpsc, time::Instant};
use uuid::Uuid;

use super::Worker;
use crate::ledger::{LedgerError, claims::Page};

/// Sweeps are at least this far apart, however often somebody says that something may be due.
const APART: Duration = Duration::from_millis(50);
/// Sweeping takes about one part in this many of the time, as far as the longest gap allows.
const SELDOM: u32 = 20;
/// While there is a backlog, sweeps look for lost hints this many times less often: pages bring the work.
const BACKLOG_SELDOM: u32 = 2;
/// After a push that failed, the next sweep is no further off: workers hear of nothing until one succeeds.
const AFTER_FAILURE: Duration = Duration::from_millis(250);
/// The longest gap between sweeps, unless `worker.toml` wants them rarer. They look further ahead than that, so that
/// nothing is late for want of a sweep.
const GAP_MOST: Duration = Duration::from_secs(2);

/// Sweeps at the pace of `worker.toml` and when somebody says that something may be due, adds pages when a queue
/// runs dry, and pushes at its moment what is held.
pub(super) async fn run(worker: Arc<Worker>, mut again: mpsc::Receiver<Hint>) {
    let mut relay =
        Relay { worker, held: BTreeMap::new(), marks: Vec::new(), refused: false, sweep_at: Instant::now() };
    loop {
        let (sweep_at, next) = (relay.sweep_at, relay.next());
        let worker = Arc::clone(&relay.worker);
        tokio::select! {
            () = worker.stop.cancelled() => return,
            () = tokio::time::sleep_until(sweep_at) => relay.sweep().await,
            () = worker.due.notified() => relay.sweep_at = sweep_at.min(Instant::now() + APART),
            () = worker.dry.notified(), if !relay.marks.is_empty() => relay.page().await,
            () = worker.dry.notified(), if relay.marks.is_empty() && relay.refused => {
                relay.sweep_at = sweep_at.min(Instant::now() + APART);
            }
            Some(hint) = again.recv() => relay.hold(hint),
            () = tokio::time::sleep(next) => drop(relay.push_due().await),
        }
    }
}

struct Relay {
    worker: Arc<Worker>,
    held: BTreeMap<(DateTime<Utc>, Uuid), Hint>,
    /// Where the last page of each workspace with a backlog ended.
    marks: Vec<Hint>,
    /// The last sweep found more than there was room for.
    refused: bool,
    sweep_at: Instant,
}

impl Relay {
    /// Looks from the front: what was lost is found here.
    async fn sweep(&mut self) {
        let begun = Instant::now();
        let parts = &self.worker.parts;
        let due = parts.duties.due(
            &parts.kinds,
            self.ahead(),
            self.half_window(),
            parts.settings.lease.isolate_after,
        );
        let found = self.worker.in_time(due).await;
        let every = parts.settings.relay.sweep_every;
        let mut gap = every;
        if let Some(page) = self.heed(found) {
            self.held.clear();
            self.marks = page.marks();
            self.refused = self.take(page).await > 0;
            let pace = if self.marks.is_empty() { every } else { every * BACKLOG_SELDOM };
            gap = pace.max(begun.elapsed() * SELDOM).min(self.gap_most());
        }
        if self.worker.unhinted.load(Ordering::Relaxed) {
            gap = gap.min(AFTER_FAILURE.max(begun.elapsed() * SELDOM));
        }
        self.sweep_at = begun + gap;
    }

    /// Looks on from where the last page ended.
    async fn page(&mut self) {
        let parts = &self.worker.parts;
        let due = parts.duties.due_after(
            &parts.kinds,
            self.ahead(),
            self.half_window(),
            &self.marks,
            parts.settings.lease.isolate_after,
        );
        let found = self.worker.in_time(due).await;
        if let Some(page) = self.heed(found) {
            let before = std::mem::replace(&mut self.marks, page.marks());
            if self.take(page).await > 0 {
                self.marks = before; // what found no room is looked for again
            }
        }
    }

    fn gap_most(&self) -> Duration {
        self.worker.parts.settings.relay.sweep_every.max(GAP_MOST)
    }

    /// How far ahead to look: until well after the next sweep.
    fn ahead(&self) -> Duration {
        self.worker.parts.settings.relay.look_ahead.max(self.gap_most() + Duration::from_secs(1))
    }

    /// What one look brings, shared by the workspaces that have work.
    fn half_window(&self) -> i64 {
        i64::from(self.worker.parts.queue.window() / 2)
    }

    fn heed(&self, found: Result<Page, LedgerError>) -> Option<Page> {
        match found {
            Ok(page) => {
                self.worker.parts.clock.set(page.now);
                Some(page)
            }
            Err(error) => {
                tracing::warn!(%error, "the ledger could not be searched for due jobs");
                None
            }
        }
    }

    /// Holds what a page brought, and pushes what is due; returns how many found no room.
    async fn take(&mut self, page: Page) -> usize {
        page.hints.into_iter().for_each(|hint| self.hold(hint));
        self.push_due().await
    }

    fn hold(&mut self, hint: Hint) {
        self.held.insert((hint.run_at, hint.job_id), hint);
    }

    async fn push_due(&mut self) -> usize {
        let now = self.worker.parts.clock.now();
        let later = self.held.split_off(&(now, Uuid::max()));
        let due: Vec<Hint> = std::mem::replace(&mut self.held, later).into_values().collect();
        if due.is_empty() {
            return 0;
        }
        let pushed = self.worker.parts.queue.push(&due).await;
        // where Redis answers and yet takes nothing, workers must not wait for hints
        self.worker.unhinted.store(pushed.is_err(), Ordering::Relaxed);
        match pushed {
            Ok(refused) => refused,
            Err(error) => {
                metrics::counter!("postroom_push_failures_total").increment(1);
                tracing::debug!(%error, "hints were not pushed; workers claim from the ledger meanwhile");
                self.sweep_at = self.sweep_at.min(Instant::now() + AFTER_FAILURE);
                due.len()
            }
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
