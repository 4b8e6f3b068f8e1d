//! How many jobs of a kind this worker holds, and of whom: slots to run in, a little stock beside them, and a
//! share that no one workspace may pass.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::{Worker, pump::CLAIM_MOST};

/// Jobs are claimed ahead of their slots only as far as slots have lately been falling free within this span:
/// none for uploads that take minutes, a batch for jobs that take no time.
const STOCK_FOR: Duration = Duration::from_millis(25);
/// The most jobs claimed ahead of their slots.
const STOCK_MOST: f64 = 448.0;

/// The room for jobs of one kind.
pub(super) struct Room {
    /// One permit a running job.
    pub slots: Arc<Semaphore>,
    /// A job has left.
    pub freed: Notify,
    /// A slot has fallen free.
    pub slot_freed: Notify,
    /// More jobs are held than have a slot.
    pub stocking: Notify,
    concurrency: usize,
    share: f64,
    held: Mutex<Held>,
}

struct Held {
    all: usize,
    by_workspace: HashMap<Uuid, Of>,
    /// Jobs that left since `since`, and how many a second that lately were.
    left: usize,
    since: Instant,
    rate: f64,
}

/// What one workspace holds.
#[derive(Default)]
struct Of {
    /// With a slot or without.
    all: usize,
    running: usize,
}

impl Room {
    /// Room for `concurrency` running jobs, of which one workspace may hold `share` (0 to 1).
    pub fn new(concurrency: usize, share: f64) -> Arc<Self> {
        let held = Held { all: 0, by_workspace: HashMap::new(), left: 0, since: Instant::now(), rate: 0.0 };
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(concurrency)),
            freed: Notify::new(),
            slot_freed: Notify::new(),
            stocking: Notify::new(),
            concurrency,
            share,
            held: Mutex::new(held),
        })
    }

    /// How many jobs may be claimed now, and how many make it worth while: where jobs are over in no time, a claim
    /// of few costs as much as one of many a moment later.
    pub fn free(&self) -> (usize, usize) {
        let mut held = self.held();
        let stock = held.stock();
        let free = (self.concurrency + stock).saturating_sub(held.all).min(CLAIM_MOST);
        (free, (stock * 3 / 4).clamp(1, CLAIM_MOST))
    }

    /// How many jobs may be claimed now beyond what [`free`](Self::free) allows, up to `more`, where jobs are claimed
    /// ahead of their slots.
    pub fn beyond(&self, more: usize) -> Option<usize> {
        let mut held = self.held();
        let stock = held.stock();
        (stock > 0).then(|| (self.concurrency + stock + more).saturating_sub(held.all).min(more))
    }

    /// The most jobs that one workspace may hold.
    pub fn cap(&self) -> usize {
        part(self.concurrency + self.held().stock(), self.share)
    }

    /// How many more each workspace may hold that holds any, if one may hold `most`.
    pub fn rests(&self, most: usize) -> Vec<(Uuid, usize)> {
        self.held().by_workspace.iter().map(|(id, of)| (*id, most.saturating_sub(of.all))).collect()
    }

    /// Whether a workspace may take one more slot.
    pub fn may_run(&self, workspace_id: Uuid) -> bool {
        let most = part(self.concurrency, self.share);
        self.held().by_workspace.get(&workspace_id).is_none_or(|of| of.running < most)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, workspace_id: Uuid) {
        let mut held = self.held();
        held.all += 1;
        held.by_workspace.entry(workspace_id).or_default().all += 1;
    }

    fn start(&self, workspace_id: Uuid) {
        self.held().by_workspace.entry(workspace_id).or_default().running += 1;
    }

    fn leave(&self, workspace_id: Uuid, ran: bool) {
        let mut held = self.held();
        held.all -= 1;
        held.left += usize::from(ran);
        if let Some(of) = held.by_workspace.get_mut(&workspace_id) {
            of.all -= 1;
            of.running -= usize::from(ran);
            if of.all == 0 {
                held.by_workspace.remove(&workspace_id);
            }
        }
        drop(held);
        self.freed.notify_one();
        if ran {
            self.slot_freed.notify_one();
        }
    }
}

/// A share (0 to 1) of so many, and one in any case.
fn part(of: usize, share: f64) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a small count"
    )]
    let part = (of as f64 * share).ceil() as usize;
    part.max(1)
}

impl Held {
    /// How many jobs to hold beyond the slots.
    fn stock(&mut self) -> usize {
        let span = self.since.elapsed();
        if span >= STOCK_FOR / 2 {
            #[expect(clippy::cast_precision_loss, reason = "a small count")]
            let lately = self.left as f64 / span.as_secs_f64();
            self.rate = self.rate.mul_add(0.5, lately * 0.5);
            (self.left, self.since) = (0, Instant::now());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let stock = (self.rate * STOCK_FOR.as_secs_f64()).clamp(0.0, STOCK_MOST) as usize;
        stock
    }
}

/// A job's place in this worker: its name among those that are worked on here, the room it takes up, and the
/// slot it runs in.
pub(super) struct Place {
    worker: Arc<Worker>,
    room: Arc<Room>,
    job_id: Uuid,
    taken: Mutex<Option<Taken>>,
}

struct Taken {
    room: Arc<Room>,
    workspace_id: Uuid,
    slot: Option<OwnedSemaphorePermit>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let slot = self.slot.take();
        let ran = slot.is_some();
        drop(slot); // before anybody is told that there is room
        self.room.leave(self.workspace_id, ran);
    }
}

impl Place {
    /// A place without a slot yet.
    pub fn take(worker: &Arc<Worker>, room: &Arc<Room>, job_id: Uuid, workspace_id: Uuid) -> Arc<Self> {
        worker.running().insert(job_id);
        worker.held.increment(1.0);
        room.enter(workspace_id);
        let taken = Taken { room: Arc::clone(room), workspace_id, slot: None };
        let (worker, room) = (Arc::clone(worker), Arc::clone(room));
        Arc::new(Self { worker, room, job_id, taken: Mutex::new(Some(taken)) })
    }

    /// The slot that it runs in from now on.
    pub fn start(&self, slot: OwnedSemaphorePermit) {
        if let Some(taken) = &mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner) {
            taken.room.start(taken.workspace_id);
            taken.slot = Some(slot);
        }
    }

    /// It runs no more; what came of it is still to be written, for which it needs no room.
    pub fn leave(&self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
        self.worker.running().remove(&self.job_id);
        self.worker.held.decrement(1.0);
        self.room.freed.notify_one(); // whoever waited for settled jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISY: Uuid = Uuid::from_u128(1);
    const QUIET: Uuid = Uuid::from_u128(2);

    /// Waits for half of `STOCK_FOR`, after which the room looks at its rate anew.
    fn a_moment() {
        std::thread::sleep(STOCK_FOR / 2);
    }

    /// A room of 4 slots, of which one workspace may hold half, through which jobs have gone in no time.
    fn busy() -> Arc<Room> {
        let room = Room::new(4, 0.5);
        for _ in 0..100_000 {
            room.enter(NOISY);
            room.start(NOISY);
            room.leave(NOISY, true);
        }
        a_moment();
        room
    }

    #[test]
    fn one_workspace_takes_no_more_than_its_share_of_the_slots() {
        let room = Room::new(4, 0.5);
        for _ in 0..2 {
            assert!(room.may_run(NOISY));
            room.enter(NOISY);
            room.start(NOISY);
        }
        room.enter(NOISY); // held, and not running
        assert!(!room.may_run(NOISY));
        assert!(room.may_run(QUIET));
        room.leave(NOISY, true);
        assert!(room.may_run(NOISY));
    }

    #[test]
    fn what_may_be_held_of_each_counts_what_is_held_of_it() {
        let room = Room::new(4, 0.5);
        assert!(room.rests(2).is_empty());
        (0..3).for_each(|_| room.enter(NOISY));
        room.enter(QUIET);
        let mut rests = room.rests(2);
        rests.sort();
        assert_eq!(rests, [(NOISY, 0), (QUIET, 1)]);
    }

    #[test]
    fn nothing_goes_beyond_a_room_without_a_stock_and_little_beyond_one_with() {
        assert_eq!(Room::new(4, 0.5).beyond(16), None);
        let room = busy();
        assert_eq!(room.beyond(16), Some(16));
        let (free, _) = room.free();
        (0..free + 10).for_each(|_| room.enter(NOISY));
        let left = room.beyond(16).expect("a stock is kept");
        assert!(left <= 6, "{left} beyond what is 10 beyond the room");
        (0..16).for_each(|_| room.enter(QUIET));
        assert_eq!(room.beyond(16), Some(0));
    }

    #[test]
    fn jobs_that_are_given_back_make_no_stock() {
        let room = Room::new(4, 0.5);
        for _ in 0..100_000 {
            room.enter(NOISY);
            room.leave(NOISY, false);
        }
        a_moment();
        assert_eq!(room.free(), (4, 1));
        assert_eq!(room.beyond(16), None);
    }
}
