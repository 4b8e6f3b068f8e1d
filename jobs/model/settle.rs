//! How attempts end, and what is done about those that do not: `worker::attempt`, `ledger::settle`, and the
//! reaper with its sweeps.

use std::time::Duration;

use super::{
    flaw::Flaw,
    holder::{End, Request},
    network::Stands,
    world::{Absent, Phase, Quarantine, Setting, Worker, World},
};
use crate::{
    contract::{Retry, Verdict},
    machine::{HandleState, Move, State},
};

/// Attempts in all; fewer than in production, so that they can be spent.
const RETRY: Retry =
    Retry { base: Duration::from_secs(1), cap: Duration::from_secs(1), attempts: 2, ..Retry::STANDARD };
/// Claims that a reaper may take from one job.
const CRASH_LIMIT: u8 = 2;

/// One transaction of a settlement; the next one is tried where this one finds nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settlement {
    /// The job goes back; `true`: an attempt is spent.
    Back(bool),
    /// The account's jobs rest, this one among them; then it goes back.
    Rest,
    /// The job ends with its publication.
    End(Move),
    /// The publication was sent, and ends when its handle is dead.
    GiveUp,
    /// The job ends.
    Finish,
}

const BACK: &[Settlement] = &[Settlement::Back(false), Settlement::End(Move::Lose)];

impl World {
    /// `Worker::settle`: what to try, in order.
    fn settlements(&self, end: End) -> Vec<Settlement> {
        match end {
            End::Finished => vec![Settlement::Finish],
            End::Waiting => BACK.to_vec(),
            End::Closed(step) => ending(step),
            End::Failed(verdict) => match verdict {
                Verdict::Retry => {
                    match RETRY.wait(self.job.map_or(0, |job| u32::from(job.attempts)) + 1, 1.0) {
                        Some(_) => vec![Settlement::Back(true), Settlement::End(Move::Lose)],
                        None => ending(Move::Fail),
                    }
                }
                Verdict::Release | Verdict::Drop | Verdict::Wait(_) => BACK.to_vec(),
                Verdict::Pause => vec![Settlement::Rest, Settlement::End(Move::Lose)],
                Verdict::Reconcile => ending(Move::Lose),
                Verdict::Fail => ending(Move::Fail),
            },
        }
    }

    /// The next transaction of a settlement. `heard`: the worker learns what came of it.
    pub fn settle(&mut self, set: &Setting, worker: usize, heard: bool) -> Option<()> {
        let Worker::Settling(end, tried) = self.workers[worker] else { return None };
        if !heard {
            self.fault()?;
        }
        let settlement = self.settlements(end).get(usize::from(tried)).copied();
        // without its claim none of them finds anything to do
        let done = match settlement.filter(|_| self.holds(worker)) {
            None => true,
            Some(settlement) => {
                let done = self.settlement(set, settlement);
                if !heard {
                    return Some(());
                }
                done
            }
        };
        self.workers[worker] = if done { Worker::Idle } else { Worker::Settling(end, tried + 1) };
        Some(())
    }

    fn settlement(&mut self, set: &Setting, settlement: Settlement) -> bool {
        match settlement {
            Settlement::Back(spends) => self.put_back(spends),
            Settlement::Rest => {
                if let Some(job) = self.job.as_mut().filter(|_| self.frozen && !self.row.committed()) {
                    job.paused = true;
                }
                self.put_back(false)
            }
            Settlement::End(step) => self.end(set, step),
            Settlement::GiveUp => self.give_up(set),
            Settlement::Finish => {
                self.claim = None;
                self.job.take().is_some()
            }
        }
    }

    /// What is armed leaves only as unknown.
    fn put_back(&mut self, spends: bool) -> bool {
        let Some(job) = self.job.as_mut().filter(|_| self.row.state != State::Armed) else { return false };
        job.attempts += u8::from(spends);
        self.claim = None;
        true
    }

    fn end(&mut self, set: &Setting, step: Move) -> bool {
        let gives_up = matches!(step.to(), State::Failed | State::Cancelled);
        let named = step.from().contains(&self.row.state) || set.has(Flaw::StateUnnamed);
        let evidence_only = self.row.state == State::Unknown && !set.has(Flaw::StateUnnamed);
        let ends = matches!(step, Move::Fail | Move::Cancel | Move::Expire);
        let in_doubt = self.row.state == State::Unknown || self.row.committed() || self.alive();
        let unproved = step == Move::Hold && !in_doubt;
        let alive = ends && self.guarded(set);
        if self.job.is_none()
            || !named
            || evidence_only
            || (self.row.committed() && gives_up)
            || alive
            || unproved
        {
            return false;
        }
        self.row.state = step.to();
        self.row.absent = Absent::No;
        self.row.looked_at = false;
        if ends {
            self.row.late = false;
        }
        self.past.too_late |= step == Move::Expire;
        if step == Move::Lose {
            self.doubt_commits(set);
        }
        self.claim = None;
        self.job = None;
        true
    }

    fn give_up(&mut self, set: &Setting) -> bool {
        let may = Move::Fail.from().contains(&self.row.state) && !self.row.committed() && self.guarded(set);
        if may {
            self.row.given_up = true;
            self.claim = None;
        }
        may
    }

    /// Takes back what is held past its time.
    pub fn reap(&mut self, set: &Setting) -> Option<()> {
        self.claim.filter(|claim| claim.expired)?;
        self.claim = None;
        let crashed = self.job.as_mut().is_some_and(|job| {
            job.crashes += 1;
            job.crashes >= CRASH_LIMIT
        });
        self.disown(set);
        if crashed
            && self.job.is_some()
            && Move::Fail.from().contains(&self.row.state)
            && !self.row.committed()
        {
            if self.guarded(set) {
                self.row.given_up = true;
            } else {
                self.row.state = Move::Fail.to();
                self.job = None;
            }
        }
        Some(())
    }

    /// T12 and T13.
    fn disown(&mut self, set: &Setting) {
        if Move::Lose.from().contains(&self.row.state) {
            self.row.state = Move::Lose.to();
            self.doubt_commits(set);
            self.job = None;
        }
        if Move::Unprepare.from().contains(&self.row.state) {
            self.row.state = Move::Unprepare.to();
        }
    }

    /// The sweep by state: a row that nobody answers for, a row without its job.
    pub fn mend(&mut self, set: &Setting) -> Option<()> {
        if set.has(Flaw::NoJob) {
            return None;
        }
        if self.claim.is_none() {
            self.disown(set);
        }
        if State::WITH_JOB.contains(&self.row.state) {
            self.insert_job();
        }
        Some(())
    }

    /// A claim whose answer was lost: its worker runs nothing.
    pub fn release_stray(&mut self, worker: usize) -> Option<()> {
        let stray = self.holds(worker) && self.workers[worker] == Worker::Idle;
        (stray && self.row.state != State::Armed).then(|| self.claim = None)
    }

    /// T17 of the sweep: a wish that no worker comes to honour.
    pub fn sweep_cancelled(&mut self, set: &Setting) -> Option<()> {
        if self.guarded(set) {
            return None;
        }
        let idle = self.claim.is_none() && !self.row.committed() && self.row.state != State::Held;
        if !(idle && self.row.wished && Move::Cancel.from().contains(&self.row.state)) {
            return None;
        }
        self.row.state = Move::Cancel.to();
        self.job = None;
        Some(())
    }

    /// T19 of the sweep.
    pub fn sweep_late(&mut self, set: &Setting) -> Option<()> {
        if self.guarded(set) {
            return None;
        }
        let idle = self.claim.is_none() && self.row.handle != HandleState::Spent;
        if !(idle && self.phase == Phase::Late && Move::Expire.from().contains(&self.row.state)) {
            return None;
        }
        self.row.state = Move::Expire.to();
        self.past.too_late = true;
        self.job = None;
        Some(())
    }

    /// T16 of the sweep: nobody can see what became of what is given up.
    pub fn sweep_unseen(&mut self) -> Option<()> {
        let over = self.row.wished || self.row.given_up || self.phase == Phase::Late;
        let rests = self.job.is_some_and(|job| job.paused) && self.claim.is_none() && self.row.late;
        if !(over && rests && self.alive() && Move::Withdraw.from().contains(&self.row.state)) {
            return None;
        }
        self.row.state = Move::Hold.to();
        self.row.late = false;
        self.job = None;
        Some(())
    }

    /// The quarantine ends.
    pub fn quarantine_ends(&mut self) -> Option<()> {
        (self.row.quarantine == Quarantine::Running).then(|| self.row.quarantine = Quarantine::Over)
    }

    /// Two reads are far enough apart now.
    pub fn settle_passes(&mut self) -> Option<()> {
        if self.row.absent != Absent::Once {
            return None;
        }
        self.row.absent = Absent::Apart;
        if self.past.reads == 1 {
            self.past.reads = 2;
        }
        self.reads_catch_up();
        Some(())
    }

    /// No evidence has come for long.
    pub fn limit_passes(&mut self) -> Option<()> {
        let doubtful = self.row.state == State::Unknown || self.row.committed();
        let may = doubtful && !self.row.old && self.row.quarantine == Quarantine::Over;
        may.then(|| self.row.old = true)
    }
}

impl World {
    /// Something that was sent waits for the time after which no network carries it out any more; what a network has
    /// taken it has carried out by then, and nobody is left who could still send it.
    pub fn waits_for_late(&self) -> bool {
        let over = self.row.wished || self.row.given_up || self.phase == Phase::Late;
        let open = Move::Withdraw.from().contains(&self.row.state) && !self.row.committed();
        over && open && self.alive() && !self.row.late && !self.sends()
    }

    fn sends(&self) -> bool {
        let sends = |worker| matches!(self.request(worker), Some(Request::Commit(..)));
        self.things.iter().any(|thing| thing.stands == Stands::Processing)
            || self.wire.iter().any(|packet| packet.from.is_some())
            || (0..self.workers.len()).any(sends)
    }

    /// That time has come.
    pub fn late_limit_passes(&mut self) -> Option<()> {
        if !self.waits_for_late() {
            return None;
        }
        self.row.late = true;
        self.wire.clear();
        for thing in self.things.iter_mut().filter(|it| matches!(it.stands, Stands::Building | Stands::Ready))
        {
            thing.stands = Stands::Dead(false); // a container expires by then, and nobody commits a draft again
        }
        self.reads_catch_up();
        Some(())
    }
}

/// `Worker::end`: where the publication stands elsewhere by now, only the job ends.
fn ending(step: Move) -> Vec<Settlement> {
    let [end, lose, hold] = [step, Move::Lose, Move::Hold].map(Settlement::End);
    match step {
        Move::Fail => vec![end, lose, Settlement::GiveUp, hold, Settlement::Finish],
        Move::Cancel | Move::Expire => vec![end, lose, hold, Settlement::Back(false)],
        _ => vec![end, lose, hold, Settlement::Finish],
    }
}
