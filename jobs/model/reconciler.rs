//! The reconciler: `worker::reconciler` and `ledger::reconcile`, with [`judge`] itself.

use std::time::Duration;

use super::{
    flaw::Flaw,
    holder::{Glance, failure},
    world::{Absent, Family, Quarantine, Rule, Ruled, Setting, World, at},
};
use crate::{
    contract::Class,
    machine::{HandleState, Move, State},
    ruling::{Case, Patience, Ruling, judge},
};

/// What a reconciler has in mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doubter {
    /// Nothing.
    Idle,
    /// A doubt without its publication, which it reads next.
    Opens(Doubt),
    /// A doubt; it asks the network next.
    Asks(Doubt),
    /// What the evidence allows; it writes that next.
    Writes(Doubt, Found),
}

/// A doubt as the ledger showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column that the ledger shows")]
pub struct Doubt {
    /// The call that is judged.
    pub call: Option<u8>,
    handle: Option<u8>,
    /// The network's name for what it fetches was known.
    known: bool,
    /// How many commits had been armed.
    armed: usize,
    quarantine_over: bool,
    absent: Absent,
    unwanted: bool,
    old: bool,
}

/// A read that failed.
#[derive(Debug, Clone, Copy)]
pub struct Unread;

/// A ruling, without its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Found {
    Publish,
    Carry,
    Rearm,
    Replace,
    Condemn,
    Honour,
    Hold,
    LookAgain(Absent),
}

const PATIENCE: Patience = Patience {
    settle: Duration::from_secs(10),
    evidence_limit: Duration::from_hours(24),
    look_least: Duration::from_secs(1),
    look_most: Duration::from_mins(1),
};
const SETTLE: i64 = 10;
const QUARANTINE: i64 = 30;

impl Doubt {
    fn now(&self) -> i64 {
        match (self.quarantine_over, self.old) {
            (false, _) => QUARANTINE / 2,
            (true, false) => QUARANTINE * 4,
            (true, true) => 24 * 60 * 60 + QUARANTINE * 4,
        }
    }

    fn absent_since(&self) -> Option<i64> {
        match self.absent {
            Absent::No => None,
            Absent::Before => Some(QUARANTINE - 1),
            Absent::Once => Some(self.now() - SETTLE + 1),
            Absent::Apart => Some(self.now() - SETTLE),
        }
    }

    /// The machine's case, with times of this shape.
    fn case(&self, set: &Setting) -> Case {
        let rash = set.has(Flaw::NoQuarantine);
        let trusting = set.has(Flaw::OneReadProves);
        Case {
            now: at(self.now()),
            armed_at: at(0),
            quarantine_until: at(if rash { 0 } else { QUARANTINE }),
            absent_since: if trusting { Some(at(self.now() - SETTLE)) } else { self.absent_since().map(at) },
            cancel_wished: self.unwanted,
            one_shot: set.family == Family::OneShot && !set.has(Flaw::OneShotResent),
            restored: false,
        }
    }

    fn found(&self, set: &Setting, seen: Result<Glance, Unread>) -> Found {
        let seen = seen.map(Glance::sight).map_err(|Unread| failure(Class::Transient));
        match judge(&self.case(set), seen, &PATIENCE) {
            Ruling::Publish(_) => Found::Publish,
            Ruling::Carry => Found::Carry,
            Ruling::Rearm if set.has(Flaw::ReplaceUnproved) => Found::Replace,
            Ruling::Rearm => Found::Rearm,
            Ruling::Replace(_) => Found::Replace,
            Ruling::Condemn(_) => Found::Condemn,
            Ruling::Honour => Found::Honour,
            Ruling::Hold(_) => Found::Hold,
            Ruling::LookAgain { absent_since, .. } => {
                Found::LookAgain(self.series(absent_since.map(|since| (since - at(0)).num_seconds())))
            }
        }
    }

    fn series(&self, absent_since: Option<i64>) -> Absent {
        match absent_since {
            None => Absent::No,
            Some(since) if self.now() - since < SETTLE => Absent::Once,
            Some(_) => Absent::Apart,
        }
    }
}

impl World {
    /// `Ledger::doubt`.
    pub fn doubt(&mut self, set: &Setting, doubter: usize) -> Option<()> {
        let idle = self.doubters[doubter] == Doubter::Idle;
        if !idle || self.row.state != State::Unknown || !self.row.looked_at {
            return None;
        }
        let doubt = Doubt {
            call: None,
            handle: None,
            known: false,
            armed: self.calls.len(),
            quarantine_over: self.row.quarantine == Quarantine::Over,
            absent: self.row.absent,
            unwanted: self.row.wished || self.frozen,
            old: self.row.old,
        };
        self.doubters[doubter] = Doubter::Opens(doubt);
        if set.has(Flaw::DoubtInTwoStatements) { Some(()) } else { self.open_doubt(doubter) }
    }

    /// Which call it is about, and which handle.
    pub fn open_doubt(&mut self, doubter: usize) -> Option<()> {
        let Doubter::Opens(doubt) = self.doubters[doubter] else { return None };
        let (call, handle, known) = (self.open_commit(), self.row.named, self.row.known);
        self.doubters[doubter] = Doubter::Asks(Doubt { call, handle, known, ..doubt });
        Some(())
    }

    /// The handle that this reconciler asks about, and whether the network's name for it is known.
    pub fn asked_about(&self, doubter: usize) -> Option<(u8, bool)> {
        match self.doubters[doubter] {
            Doubter::Asks(doubt) => Some((doubt.handle?, doubt.known)),
            Doubter::Idle | Doubter::Opens(_) | Doubter::Writes(..) => None,
        }
    }

    /// The network has answered, or has not; the machine judges.
    pub fn rule(&mut self, set: &Setting, doubter: usize, seen: Result<Glance, Unread>) -> Option<()> {
        let Doubter::Asks(doubt) = self.doubters[doubter] else { return None };
        self.doubters[doubter] = Doubter::Writes(doubt, doubt.found(set, seen));
        if matches!(seen, Ok(Glance::Ready | Glance::Dead(_))) {
            self.reads_about(doubt);
        }
        Some(())
    }

    /// Counts, by what really happened, the reads that show absence after the quarantine.
    fn reads_about(&mut self, doubt: Doubt) {
        if doubt.armed == self.calls.len() && doubt.quarantine_over {
            self.past.reads = match self.past.reads {
                0 | 1 => 1,
                _ => 3,
            };
        }
    }

    /// Writes what the evidence allowed.
    pub fn carry_out(&mut self, set: &Setting, doubter: usize) -> Option<()> {
        let Doubter::Writes(doubt, found) = self.doubters[doubter] else { return None };
        self.doubters[doubter] = Doubter::Idle;
        match found {
            Found::Publish => {
                self.published(set, None, doubt.call);
            }
            Found::Carry => self.decide(set, doubt, Move::Carry, HandleState::Spent),
            Found::Rearm => self.decide(set, doubt, Move::Rearm, HandleState::Ready),
            Found::Replace => self.decide(set, doubt, Move::Replace, HandleState::Dead),
            Found::Condemn => self.decide(set, doubt, Move::Condemn, HandleState::Dead),
            Found::Honour => self.decide(set, doubt, Move::Honour, HandleState::Dead),
            Found::Hold => self.decide(set, doubt, Move::Hold, HandleState::Ready),
            Found::LookAgain(absent) => self.look_again(doubt, absent),
        }
        Some(())
    }

    fn look_again(&mut self, doubt: Doubt, absent: Absent) {
        if self.row.state != State::Unknown {
            return;
        }
        let same = doubt.armed == self.calls.len();
        // a series of reads about an earlier commit began before this one's quarantine was over
        self.row.absent = if same || absent == Absent::No { absent } else { Absent::Before };
    }

    /// `Ledger::decide`: one transaction, all of it or nothing.
    fn decide(&mut self, set: &Setting, doubt: Doubt, step: Move, handle: HandleState) {
        let over = self.row.quarantine == Quarantine::Over || set.has(Flaw::NoQuarantine);
        let may_leave = step.from().contains(&self.row.state) && (step.to() == State::Waiting || over);
        let Some(call) = self.judged_call(set, doubt).filter(|_| may_leave) else { return };
        let proves_absence = !matches!(step, Move::Carry | Move::Hold);
        if proves_absence {
            self.proves_absence(set, call);
        }
        self.row.state = step.to();
        self.row.handle = handle;
        self.row.looked_at = false;
        self.row.absent = Absent::No;
        if State::WITH_JOB.contains(&step.to()) && !set.has(Flaw::NoJob) {
            self.insert_job();
        }
    }

    /// The call must still be the one the evidence is about.
    fn judged_call(&self, set: &Setting, doubt: Doubt) -> Option<usize> {
        if set.has(Flaw::AnyCallJudged) {
            return self.calls.iter().position(|call| call.unresolved());
        }
        let call = usize::from(doubt.call?);
        self.calls.get(call).filter(|row| row.unresolved()).map(|_| call)
    }

    fn proves_absence(&mut self, set: &Setting, call: usize) {
        if self.row.quarantine != Quarantine::Over {
            self.past.breaks(Rule::Quarantined);
        }
        if self.past.reads != 3 {
            self.past.breaks(Rule::ReadTwice);
        }
        if !set.has(Flaw::CallLeftOpen) {
            self.calls[call].verdict = Some(Ruled::ResolvedNo);
        }
    }
}
