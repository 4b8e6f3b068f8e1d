//! Fetches one kind's jobs: pops hints, claims them in the ledger, and starts each as soon as there is a slot.
//!
//! Hints are taken while earlier jobs run, and claimed a little ahead where jobs are over in no time; a job that
//! was claimed and found no slot within a second is given back.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jobs::{contract::Kind, fp, hint::Hint};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use super::{
    Worker,
    backend::Attempt,
    express::Express,
    isolation::Isolation,
    room::{Place, Room},
};
use crate::{
    ledger::{Claimed, LedgerError, claims::Lane},
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
/// How long a claimed job may wait for its slot.
const STOCK_KEEPS: Duration = Duration::from_secs(1);

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

/// A claimed job that has no slot yet.
pub(super) struct Stocked {
    job: Arc<Claimed>,
    place: Arc<Place>,
    lost: CancellationToken,
    since: Instant,
}

/// Claims what may run beside others.
pub(super) async fn claim_common(
    worker: &Worker,
    kind: &'static Kind,
    ids: &[Uuid],
    inc: Uuid,
    budget: Duration,
) -> Result<Vec<Claimed>, LedgerError> {
    let lane = Lane::Common { isolate_after: worker.parts.settings.lease.isolate_after };
    let claimed = worker.in_time(worker.parts.ledger.claim(ids, &[kind], inc, budget, lane)).await?;
    if !claimed.is_empty() {
        fp!(AfterClaim);
        metrics::counter!("postroom_claims_total", "kind" => kind.name).increment(claimed.len() as u64);
    }
    Ok(claimed)
}

/// Gives claimed jobs their places, all at once, so that none of them is taken for a stray.
pub(super) fn stocked(
    worker: &Arc<Worker>,
    room: &Arc<Room>,
    claimed: Vec<Claimed>,
    lost: &CancellationToken,
) -> Vec<Stocked> {
    let take = |job: Claimed| Stocked {
        place: Place::take(worker, room, job.claim.job_id, job.workspace_id),
        job: Arc::new(job),
        lost: lost.clone(),
        since: Instant::now(),
    };
    claimed.into_iter().map(take).collect()
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
        let (cap, rests) = (self.room.cap(), self.room.rests());
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

/// Starts claimed jobs as slots fall free.
struct Starter {
    worker: Arc<Worker>,
    kind: &'static Kind,
    room: Arc<Room>,
    delays: metrics::Histogram,
    attempts: mpsc::Sender<Attempt>,
}

impl Starter {
    async fn run(self, mut stocked: mpsc::Receiver<Stocked>, mut of_quiet: mpsc::Receiver<Stocked>) {
        let mut waiting = Waiting::default();
        while !self.worker.stop.is_cancelled() {
            while let Some((one, slot)) = self.next(&mut waiting) {
                self.start(one, slot).await;
            }
            let until = waiting.until();
            tokio::select! {
                biased;
                // what is not started is given up with the rest, when the worker ends
                () = self.worker.stop.cancelled() => return,
                Some(one) = of_quiet.recv() => waiting.quiet.push_back(one),
                Some(one) = stocked.recv() => {
                    waiting.others.push_back(one);
                    while let Ok(one) = stocked.try_recv() {
                        waiting.others.push_back(one);
                    }
                }
                () = self.room.slot_freed.notified(), if until.is_some() => {}
                () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    self.give_back(waiting.overdue());
                }
                else => return,
            }
        }
    }

    /// The first that waits for a slot and may have one, with it: of a workspace that runs as many as it may, none may.
    fn next(&self, waiting: &mut Waiting) -> Option<(Stocked, OwnedSemaphorePermit)> {
        for line in [&mut waiting.quiet, &mut waiting.others] {
            while self.room.slots.available_permits() > 0 {
                let mut refused = None; // most in a line are of the same
                let first = line.iter().position(|one| {
                    let of = Some(one.job.workspace_id);
                    let may = of != refused && self.room.may_run(one.job.workspace_id);
                    if !may {
                        refused = of;
                    }
                    may
                });
                let Some(one) = first.and_then(|first| line.remove(first)) else { break };
                if one.lost.is_cancelled() {
                    continue; // whoever takes it back has it
                }
                // nobody else takes slots
                return Arc::clone(&self.room.slots).try_acquire_owned().ok().map(|slot| (one, slot));
            }
        }
        None
    }

    async fn start(&self, one: Stocked, slot: OwnedSemaphorePermit) {
        let late = self.worker.parts.clock_now() - one.job.run_at;
        self.delays.record(late.to_std().unwrap_or_default().as_secs_f64());
        one.place.start(slot);
        let attempt = Attempt { job: one.job, kind: self.kind, lost: one.lost, place: one.place };
        // nobody takes it only when the worker stops
        let _sent = self.attempts.send(attempt).await;
    }

    /// Gives back what has waited too long: the slots are taken by jobs that last, and other workers may have some.
    fn give_back(&self, overdue: Vec<Stocked>) {
        let worker = Arc::clone(&self.worker);
        self.worker.pumps.spawn(async move {
            let claims: Vec<_> = overdue.iter().map(|one| one.job.claim).collect();
            match worker.in_time(worker.parts.ledger.give_up(&claims)).await {
                Ok(_) => worker.due.notify_one(),
                // not among the running any more, they are given up as stray
                Err(error) => tracing::warn!(%error, "claims without a slot could not be given up yet"),
            }
        });
    }
}

/// Claimed jobs that wait for a slot, each line in the order they came.
#[derive(Default)]
struct Waiting {
    /// Of workspaces of which next to nothing is held: they go first.
    quiet: VecDeque<Stocked>,
    others: VecDeque<Stocked>,
}

impl Waiting {
    /// When the first of them has waited too long.
    fn until(&self) -> Option<Instant> {
        let first = |line: &VecDeque<Stocked>| line.front().map(|one| one.since + STOCK_KEEPS);
        first(&self.quiet).into_iter().chain(first(&self.others)).min()
    }

    /// Takes out those that have.
    fn overdue(&mut self) -> Vec<Stocked> {
        let now = Instant::now();
        let mut overdue = Vec::new();
        for line in [&mut self.quiet, &mut self.others] {
            let kept = line.iter().position(|one| one.since + STOCK_KEEPS > now).unwrap_or(line.len());
            overdue.extend(line.drain(..kept));
        }
        overdue
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
