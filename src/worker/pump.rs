//! Fetches one kind's jobs: pops hints and claims them in the ledger, as many as there is room for.
//!
//! Hints are taken while earlier jobs run, and claimed a little ahead where jobs are over in no time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jobs::{contract::Kind, hint::Hint};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use super::{
    Worker,
    backend::Attempt,
    express::Express,
    isolation::Isolation,
    room::Room,
    starter::{Starter, Stocked, claim_common, stocked},
};
use crate::{
    ledger::{Claimed, LedgerError},
    queue::{Popped, QueueError, Waker},
};

/// The most jobs of one claim.
pub(super) const CLAIM_MOST: usize = 512;
/// Added to a job's own limit before the reaper takes it from a living worker.
const DEADLINE_MARGIN: Duration = Duration::from_secs(30);
/// The pace of claiming from the ledger while Redis is away and there is nothing to do.
const DIRECT_EVERY: Duration = Duration::from_millis(250);
/// The pace of trying again while the ledger is away.
pub(super) const LEDGER_AWAY: Duration = Duration::from_millis(500);
/// Jobs of this worker that are claimed and not settled: where settling does not keep up, no more are taken.
pub(super) const UNSETTLED_MOST: usize = 2048;
/// The wait for more room where jobs are over in no time.
const GATHERING: Duration = Duration::from_millis(1);

type Woken = AbortOnDropHandle<(Waker, Result<bool, QueueError>)>;

/// Fetches one kind's jobs.
pub(super) struct Pump {
    worker: Arc<Worker>,
    kind: &'static Kind,
    room: Arc<Room>,
    /// The wait for a push, if one is out: begun when there is nothing to do, for else it would take a wake from
    /// an idle worker; and kept over what else happens, for one that was dropped would swallow a wake.
    woken: Option<Woken>,
    /// What waits, between two waits.
    waker: Option<Waker>,
    /// The last pop passed somebody over for want of room.
    passed_over: bool,
    generation: String,
    budget: Duration,
}

impl Pump {
    pub fn new(worker: Arc<Worker>, kind: &'static Kind) -> Self {
        let settings = worker.parts.settings.kind(kind);
        Self {
            room: Room::new(settings.concurrency, settings.workspace_share),
            budget: settings.timeout + DEADLINE_MARGIN,
            woken: None,
            waker: None,
            passed_over: false,
            kind,
            worker,
            generation: String::new(),
        }
    }

    /// Fetches until the worker stops.
    pub async fn run(mut self, attempts: mpsc::Sender<Attempt>) {
        let (stock, stocked) = mpsc::channel(2 * CLAIM_MOST);
        let starter = Starter {
            worker: Arc::clone(&self.worker),
            kind: self.kind,
            room: Arc::clone(&self.room),
            delays: metrics::histogram!("postroom_start_delay_seconds", "kind" => self.kind.name),
            attempts: attempts.clone(),
        };
        let isolation = Isolation {
            worker: Arc::clone(&self.worker),
            kind: self.kind,
            room: Arc::clone(&self.room),
            attempts,
            budget: self.budget,
        };
        let (ahead, of_quiet) = mpsc::channel(CLAIM_MOST);
        let express = Express {
            worker: Arc::clone(&self.worker),
            kind: self.kind,
            room: Arc::clone(&self.room),
            budget: self.budget,
            stock: ahead,
        };
        tokio::join!(self.fetch(stock), starter.run(stocked, of_quiet), isolation.run(), express.run());
    }

    async fn fetch(&mut self, stock: mpsc::Sender<Stocked>) {
        let stop = self.worker.stop.clone();
        while !stop.is_cancelled() {
            let unsettled = self.worker.running().len() >= UNSETTLED_MOST;
            match self.room.free() {
                (free, worth) if free >= worth && !unsettled => self.fill(free, &stock).await,
                (free, worth) if free < worth && worth > 1 => {
                    self.room.stocking.notify_one();
                    self.pause(GATHERING).await;
                }
                _ => tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.room.freed.notified() => {}
                },
            }
        }
    }

    /// Claims as many jobs as there is room for; waits where there are none.
    async fn fill(&mut self, most: usize, stock: &mpsc::Sender<Stocked>) {
        if !self.worker.lease.good() {
            return self.pause(LEDGER_AWAY).await;
        }
        let tenure = self.worker.lease.tenure();
        match self.claim(most, tenure.inc).await {
            Ok(claimed) if claimed.is_empty() => self.idle().await,
            Ok(claimed) => self.keep(claimed, stock, &tenure.lost).await,
            Err(error) => {
                tracing::warn!(%error, queue = self.kind.name, "jobs could not be claimed");
                self.pause(LEDGER_AWAY).await;
            }
        }
    }

    async fn keep(&self, claimed: Vec<Claimed>, stock: &mpsc::Sender<Stocked>, lost: &CancellationToken) {
        for one in stocked(&self.worker, &self.room, claimed, lost) {
            // the starter is gone only when the worker stops, which gives up what was not started
            let _sent = stock.send(one).await;
        }
    }

    async fn claim(&mut self, most: usize, inc: Uuid) -> Result<Vec<Claimed>, LedgerError> {
        let cap = self.room.cap();
        let rests = self.room.rests(cap);
        self.passed_over = rests.iter().any(|(_, rest)| *rest == 0);
        let ids = match self.worker.parts.queue.pop(self.kind.name, most, cap, &rests).await {
            Ok(popped) if popped.ids.is_empty() && self.worker.unhinted.load(Ordering::Relaxed) => {
                self.direct(most, cap, &rests).await?
            }
            Ok(popped) => self.heed(popped),
            Err(error) => {
                tracing::debug!(%error, queue = self.kind.name, "Redis is away; claiming from the ledger");
                metrics::counter!("postroom_direct_claims_total").increment(1);
                self.direct(most, cap, &rests).await?
            }
        };
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        claim_common(&self.worker, self.kind, &ids, inc, self.budget).await
    }

    /// Notices a queue that was emptied from outside, or is about to run dry.
    fn heed(&mut self, popped: Popped) -> Vec<Uuid> {
        if popped.generation != self.generation {
            self.generation = popped.generation;
            self.worker.due.notify_one();
        } else if popped.left < i64::from(self.worker.parts.queue.window() / 2) {
            self.worker.dry.notify_one();
        }
        popped.ids
    }

    /// Ids straight from the ledger, in turn of their workspaces.
    async fn direct(
        &self,
        most: usize,
        cap: usize,
        rests: &[(Uuid, usize)],
    ) -> Result<Vec<Uuid>, LedgerError> {
        let of_each = i64::try_from(most.min(cap)).unwrap_or(i64::MAX);
        let kinds = [self.kind];
        let isolate_after = self.worker.parts.settings.lease.isolate_after;
        let due = self.worker.parts.ledger.due(&kinds, Duration::ZERO, of_each, isolate_after);
        let page = self.worker.in_time(due).await?;
        Ok(in_turn(&page.hints, most, cap, rests))
    }

    /// Waits for a push, or for room if somebody was passed over for want of it.
    async fn idle(&mut self) {
        let (queue, kind) = (&self.worker.parts.queue, self.kind.name);
        let waker = &mut self.waker;
        let woken = self.woken.get_or_insert_with(|| wait(waker.take().unwrap_or_else(|| queue.waker(kind))));
        let done = tokio::select! {
            biased;
            () = self.worker.stop.cancelled() => return,
            done = woken => done,
            () = self.room.freed.notified(), if self.passed_over => return,
        };
        self.woken = None;
        let (waker, answered) = done.map_or((None, false), |(waker, woken)| (Some(waker), woken.is_ok()));
        self.waker = waker;
        // also when nobody pushed it looks by itself: a wake may have been lost
        if !answered {
            self.pause(DIRECT_EVERY.mul_f64(0.5 + rand::random::<f64>())).await;
        }
    }

    async fn pause(&self, span: Duration) {
        tokio::select! {
            () = self.worker.stop.cancelled() => {}
            () = tokio::time::sleep(span) => {}
        }
    }
}

fn wait(mut waker: Waker) -> Woken {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let woken = waker.wait().await;
        (waker, woken)
    }))
}

/// Chooses `most` of these, one of each workspace in turn and none beyond what it may hold. Whose turn is first
/// is left to chance, so that two workers seldom reach for the same.
fn in_turn(hints: &[Hint], most: usize, cap: usize, rests: &[(Uuid, usize)]) -> Vec<Uuid> {
    let mut queues: Vec<&[Hint]> = hints.chunk_by(|a, b| a.workspace_id == b.workspace_id).collect();
    if queues.is_empty() {
        return Vec::new();
    }
    let first = rand::random_range(0..queues.len());
    queues.rotate_left(first);
    let rest = |hints: &[Hint]| {
        let of = hints.first().map(|hint| hint.workspace_id);
        rests.iter().find(|(id, _)| Some(*id) == of).map_or(cap, |(_, rest)| *rest)
    };
    let mut queues: Vec<_> = queues.into_iter().map(|queue| queue.iter().take(rest(queue))).collect();
    let mut ids = Vec::with_capacity(most);
    loop {
        let before = ids.len();
        let turn = queues.iter_mut().filter_map(Iterator::next).map(|hint| hint.job_id);
        ids.extend(turn.take(most - before));
        if ids.len() == before || ids.len() == most {
            return ids;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(workspace: u128, count: u128) -> impl Iterator<Item = Hint> {
        (0..count).map(move |n| Hint {
            kind: "probe".into(),
            workspace_id: Uuid::from_u128(workspace),
            job_id: Uuid::from_u128(workspace * 1000 + n),
            run_at: chrono::DateTime::UNIX_EPOCH,
        })
    }

    #[test]
    fn a_quiet_workspace_is_served_beside_a_noisy_one() {
        let hints: Vec<Hint> = hints(1, 100).chain(hints(2, 1)).collect();
        let ids = in_turn(&hints, 10, 64, &[]);
        assert_eq!(ids.len(), 10);
        assert!(ids.contains(&Uuid::from_u128(2000)));
    }

    #[test]
    fn nobody_gets_more_than_it_may_hold() {
        let hints: Vec<Hint> = hints(1, 100).chain(hints(2, 5)).collect();
        let ids = in_turn(&hints, 50, 64, &[(Uuid::from_u128(1), 3)]);
        assert_eq!(ids.len(), 8);
    }
}
