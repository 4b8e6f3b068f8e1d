//! Fetches one kind's jobs: pops hints and claims them in the ledger, as many as there is room for.
//!
//! Hints are taken while earlier jobs run, and claimed a little ahead where jobs are over in no time.

use std::{
    collections::HashMap,
    iter,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jobs::{contract::Kind, hint::Hint};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{
    Worker,
    backend::Attempt,
    express::{self, Express},
    isolation::Isolation,
    room::Room,
    starter::{Line, Starter},
};
use crate::{
    ledger::LedgerError,
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
        let (ahead, of_quiet) = mpsc::channel(CLAIM_MOST);
        let line = |to| Line {
            worker: Arc::clone(&self.worker),
            kind: self.kind,
            room: Arc::clone(&self.room),
            budget: self.budget,
            to,
        };
        let (others, quiet) = (line(stock), line(ahead));
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
        let express = Express(quiet.clone());
        tokio::join!(
            self.fetch(&quiet, &others),
            starter.run(stocked, of_quiet),
            isolation.run(),
            express.run()
        );
    }

    async fn fetch(&mut self, quiet: &Line, others: &Line) {
        let stop = self.worker.stop.clone();
        while !stop.is_cancelled() {
            let unsettled = self.worker.running().len() >= UNSETTLED_MOST;
            match self.room.free() {
                (free, worth) if free >= worth && !unsettled => self.fill(free, quiet, others).await,
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
    async fn fill(&mut self, most: usize, quiet: &Line, others: &Line) {
        if !self.worker.lease.good() {
            return self.pause(LEDGER_AWAY).await;
        }
        match self.claim(most, quiet, others).await {
            Ok(0) => self.idle().await,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, queue = self.kind.name, "jobs could not be claimed");
                self.pause(LEDGER_AWAY).await;
            }
        }
    }

    async fn claim(&mut self, most: usize, quiet: &Line, others: &Line) -> Result<usize, LedgerError> {
        let cap = self.room.cap();
        let rests = self.room.rests(cap);
        self.passed_over = rests.iter().any(|(_, rest)| *rest == 0);
        let ids = match self.worker.parts.queue.pop(self.kind.name, most, cap, &rests).await {
            Ok(popped) if popped.ids.is_empty() && self.worker.unhinted.load(Ordering::Relaxed) => {
                self.direct(most, cap, &rests).await?
            }
            Ok(popped) => {
                let (few, many) = parted(self.heed(popped), &self.room.rests(express::OF_ONE));
                let (few, many) = tokio::join!(quiet.claim(&few), others.claim(&many));
                return Ok(few? + many?);
            }
            Err(error) => {
                tracing::debug!(%error, queue = self.kind.name, "Redis is away; claiming from the ledger");
                metrics::counter!("postroom_direct_claims_total").increment(1);
                self.direct(most, cap, &rests).await?
            }
        };
        others.claim(&ids).await
    }

    /// Notices a queue that was emptied from outside, or is about to run dry.
    fn heed(&mut self, popped: Popped) -> Popped {
        if popped.generation != self.generation {
            self.generation.clone_from(&popped.generation);
            self.worker.due.notify_one();
        } else if popped.left < i64::from(self.worker.parts.queue.window() / 2) {
            self.worker.dry.notify_one();
        }
        popped
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

/// Parts jobs of workspaces that hold few, by `rests`, and sent few, from the others, so that they do not wait for the claim of many;
/// where nearly all are such, or there are not many at all, nothing is gained by it.
fn parted(popped: Popped, rests: &[(Uuid, usize)]) -> (Vec<Uuid>, Vec<Uuid>) {
    let mut sent: HashMap<Uuid, usize> = HashMap::new();
    for (workspace, count) in &popped.turns {
        *sent.entry(*workspace).or_default() += count;
    }
    let rest = |id: &Uuid| rests.iter().find(|(of, _)| of == id).map_or(express::OF_ONE, |(_, rest)| *rest);
    sent.retain(|workspace, count| *count <= rest(workspace));
    let few: usize = sent.values().sum();
    if few > express::MOST || popped.ids.len() <= express::MOST {
        return (Vec::new(), popped.ids);
    }
    let of_whom = popped.turns.iter().flat_map(|(workspace, count)| iter::repeat_n(*workspace, *count));
    let (few, many): (Vec<_>, Vec<_>) =
        popped.ids.into_iter().zip(of_whom).partition(|(_, workspace)| sent.contains_key(workspace));
    let ids = |of: Vec<(Uuid, Uuid)>| of.into_iter().map(|(id, _)| id).collect();
    (ids(few), ids(many))
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
    fn what_few_workspaces_sent_little_of_is_claimed_for_itself() {
        let of = |turns: &[(u128, usize)]| {
            let ids = turns.iter().flat_map(|(workspace, count)| hints(*workspace, *count as u128));
            Popped {
                ids: ids.map(|hint| hint.job_id).collect(),
                turns: turns.iter().map(|(workspace, count)| (Uuid::from_u128(*workspace), *count)).collect(),
                ..Popped::default()
            }
        };
        let (few, many) = parted(of(&[(1, 20), (2, 1), (3, 4), (1, 20)]), &[]);
        assert_eq!(few.len(), 5);
        assert!(few.contains(&Uuid::from_u128(2000)));
        assert_eq!(many.len(), 40);
        let (few, _) = parted(of(&[(1, 20), (2, 1)]), &[(Uuid::from_u128(2), 0)]);
        assert!(few.is_empty(), "it holds enough already");
        let (few, _) = parted(of(&[(1, 5), (2, 1)]), &[]);
        assert!(few.is_empty(), "one small claim is as good as two");
        let crowd: Vec<(u128, usize)> = (1..40).map(|workspace| (workspace, 1)).collect();
        let (few, many) = parted(of(&crowd), &[]);
        assert_eq!((few.len(), many.len()), (0, 39), "all of them are quiet");
    }

    #[test]
    fn nobody_gets_more_than_it_may_hold() {
        let hints: Vec<Hint> = hints(1, 100).chain(hints(2, 5)).collect();
        let ids = in_turn(&hints, 50, 64, &[(Uuid::from_u128(1), 3)]);
        assert_eq!(ids.len(), 8);
    }
}
