//! Jobs that are claimed and have no slot yet: each is started as soon as one is free, and given back if it found none
//! within a second.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use jobs::{contract::Kind, fp};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Worker,
    backend::Attempt,
    room::{Place, Room},
};
use crate::ledger::{Claimed, LedgerError, claims::Lane};

/// How long a claimed job may wait for its slot.
const STOCK_KEEPS: Duration = Duration::from_secs(1);

/// A claimed job that has no slot yet.
pub(super) struct Stocked {
    job: Arc<Claimed>,
    place: Arc<Place>,
    lost: CancellationToken,
    since: Instant,
}

/// The way of hints to the starter of their kind.
#[derive(Clone)]
pub(super) struct Line {
    pub worker: Arc<Worker>,
    pub kind: &'static Kind,
    pub room: Arc<Room>,
    pub budget: Duration,
    pub to: mpsc::Sender<Stocked>,
}

impl Line {
    /// Claims those of these jobs that may run beside others, and has them wait for slots; returns how many they are.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn claim(&self, ids: &[Uuid]) -> Result<usize, LedgerError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let (parts, tenure) = (&self.worker.parts, self.worker.lease.tenure());
        let lane = Lane::Common { isolate_after: parts.settings.lease.isolate_after };
        let kinds = [self.kind];
        let claim = parts.ledger.claim(ids, &kinds, tenure.inc, self.budget, lane);
        let claimed = self.worker.in_time(claim).await?;
        if claimed.is_empty() {
            return Ok(0);
        }
        fp!(AfterClaim);
        metrics::counter!("postroom_claims_total", "kind" => self.kind.name).increment(claimed.len() as u64);
        let take = |job: Claimed| Stocked {
            place: Place::take(&self.worker, &self.room, job.claim.job_id, job.workspace_id),
            job: Arc::new(job),
            lost: tenure.lost.clone(),
            since: Instant::now(),
        };
        // all at once, so that none of them is taken for a stray
        let stocked: Vec<Stocked> = claimed.into_iter().map(take).collect();
        let count = stocked.len();
        for one in stocked {
            // the starter is gone only when the worker stops, which gives up what was not started
            let _sent = self.to.send(one).await;
        }
        Ok(count)
    }
}

/// Starts one kind's claimed jobs as slots fall free.
pub(super) struct Starter {
    pub worker: Arc<Worker>,
    pub kind: &'static Kind,
    pub room: Arc<Room>,
    pub delays: metrics::Histogram,
    pub attempts: mpsc::Sender<Attempt>,
}

impl Starter {
    /// Starts what comes, of quiet workspaces first, until the worker stops.
    pub async fn run(self, mut stocked: mpsc::Receiver<Stocked>, mut of_quiet: mpsc::Receiver<Stocked>) {
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
        let Stocked { job, lost, place, .. } = one;
        let attempt = Attempt { job, kind: self.kind, lost, opened: Arc::default(), place };
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
