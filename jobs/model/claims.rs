//! The claims as a model: three attempts in two processes, a reaper, a sweep, and people who write to the job.

use stateright::{Model, Property};

use super::{
    flaw::Flaw,
    tables::{Arming, Attempt, Ending, Reaper, Rule, Tables},
    world::at,
};
use crate::machine::{HandleState, Standing, State, Step, next};

/// What is explored.
#[derive(Debug, Clone, Copy)]
pub struct Claims {
    /// What may happen besides work.
    pub left: u8,
    /// The planted fault.
    pub flaw: Option<Flaw>,
}

/// One step of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An attempt goes on with what it is at.
    GoesOn(usize),
    /// An attempt is broken off, and puts its job back.
    PutBack(usize),
    /// An attempt waits no longer for its arm, and puts its job back.
    Interrupt(usize),
    /// The network's word: it is public.
    Published(usize),
    /// An attempt's process is killed.
    Crash(usize),
    /// An arm that nobody waits for goes on.
    Detached,
    /// The reaper goes on.
    Reaper,
    /// The sweep.
    Mend,
    /// A claim that nobody works on is given up.
    Stray,
    /// Somebody writes to the job, and raises its epoch.
    Write,
}

/// A finished job never runs again.
pub const NEVER_AGAIN: &str = "a finished job never runs again";
/// I5.
pub const ONE_NAME: &str = "I5 job, epoch and process name one claim and no other";
/// I5.
pub const OWN_CLAIM: &str = "I5 nobody writes by a claim that is not theirs";
/// One at a time.
pub const ONE_HOLDER: &str = "one attempt at a time holds the job";
/// T12.
pub const REAPED_WHOLE: &str = "T12 a reap leaves nothing armed behind";
/// S2.
pub const NOT_LOST: &str = "S2 the job is there until it is finished or in doubt";

impl Model for Claims {
    type State = Tables;
    type Action = Action;

    fn init_states(&self) -> Vec<Tables> {
        vec![Tables::new(self.left)]
    }

    fn actions(&self, tables: &Tables, actions: &mut Vec<Action>) {
        for attempt in 0..tables.attempts.len() {
            actions
                .extend([Action::GoesOn, Action::PutBack, Action::Interrupt].map(|action| action(attempt)));
            actions.extend([Action::Published, Action::Crash].map(|action| action(attempt)));
        }
        actions.extend([Action::Detached, Action::Reaper, Action::Mend, Action::Stray, Action::Write]);
    }

    fn next_state(&self, tables: &Tables, action: Action) -> Option<Tables> {
        let mut next = tables.clone();
        next.take(self.flaw, action)?;
        (next != *tables).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NEVER_AGAIN, |_, tables: &Tables| tables.keeps(Rule::NeverAgain)),
            Property::always(ONE_NAME, |_, tables: &Tables| tables.keeps(Rule::OneName)),
            Property::always(OWN_CLAIM, |_, tables: &Tables| tables.keeps(Rule::OwnClaim)),
            Property::always(ONE_HOLDER, |_, tables: &Tables| tables.keeps(Rule::OneHolder)),
            Property::always(REAPED_WHOLE, |_, tables: &Tables| tables.keeps(Rule::ReapedWhole)),
            Property::always(NOT_LOST, |_, tables: &Tables| {
                tables.job.is_some()
                    || tables.finished
                    || tables.row == State::Unknown
                    || tables.row == State::Published
            }),
            Property::sometimes("a job is finished by a later holder", |_, tables: &Tables| {
                tables.finished && tables.granted_again()
            }),
            Property::sometimes("an insert sees a job that is gone", |_, tables: &Tables| {
                let late = |attempt: &Attempt| matches!(attempt, Attempt::Inserted(_));
                tables.finished && tables.attempts.iter().any(late)
            }),
            Property::sometimes("an arm outlives its claim", |_, tables: &Tables| {
                tables.row == State::Armed && tables.claim.is_none()
            }),
            Property::sometimes("it is in doubt", |_, tables: &Tables| tables.row == State::Unknown),
        ]
    }
}

impl Tables {
    fn take(&mut self, flaw: Option<Flaw>, action: Action) -> Option<()> {
        match action {
            Action::GoesOn(attempt) => self.goes_on(flaw, attempt),
            Action::PutBack(attempt) => {
                let (Attempt::Runs(epoch) | Attempt::Sends(epoch)) = self.attempts[attempt] else {
                    return None;
                };
                self.spend()?;
                self.end_begins(attempt, epoch, Ending::PutBack);
                Some(())
            }
            Action::Interrupt(attempt) => self.interrupt(attempt),
            Action::Published(attempt) => {
                let Attempt::Sends(epoch) = self.attempts[attempt] else { return None };
                self.row = State::Published;
                self.attempts[attempt] = Attempt::Runs(epoch);
                Some(())
            }
            Action::Crash(attempt) => {
                if self.attempts[attempt] == Attempt::Idle {
                    return None;
                }
                self.spend()?;
                self.crash(attempt);
                Some(())
            }
            Action::Detached => self.detached_goes_on(),
            Action::Reaper => self.reaper_goes_on(flaw),
            Action::Mend => self.mend(),
            Action::Stray => self.release_stray(),
            Action::Write => {
                self.spend()?;
                self.job = Some(self.job? + 1);
                Some(())
            }
        }
    }

    fn goes_on(&mut self, flaw: Option<Flaw>, attempt: usize) -> Option<()> {
        match self.attempts[attempt] {
            Attempt::Idle => self.claim_begins(attempt)?,
            Attempt::Claims(epoch) => self.claim_inserts(attempt, epoch)?,
            Attempt::Inserted(epoch) => self.claim_rechecks(flaw, attempt, epoch),
            Attempt::Rechecked(epoch) => self.claim_returns(attempt, epoch),
            Attempt::Runs(epoch) => self.runs(attempt, epoch),
            Attempt::Arms(arming) => {
                self.attempts[attempt] = match self.arm_goes_on(arming)? {
                    Ok(arming) => Attempt::Arms(arming),
                    Err(true) => Attempt::Sends(arming.epoch),
                    Err(false) => Attempt::Ends(arming.epoch, Ending::PutBack, false),
                };
            }
            Attempt::Sends(epoch) => self.end_begins(attempt, epoch, Ending::Lose),
            Attempt::Ends(epoch, ending, false) => self.end_locks(flaw, attempt, epoch, ending)?,
            Attempt::Ends(_, ending, true) => self.end_commits(flaw, attempt, ending),
        }
        Some(())
    }

    /// What the machine says to the holder of this claim.
    fn runs(&mut self, attempt: usize, epoch: u8) {
        let standing = Standing {
            state: self.row,
            version: 1,
            handle: HandleState::Ready,
            handle_version: Some(1),
            prepare_from: at(0),
            scheduled_for: at(0),
            latest_at: at(2),
            cancel_wished: false,
            resting_until: None,
            given_up: None,
            sent: false,
        };
        match next(&standing, at(1)) {
            Step::Commit => self.arm_begins(attempt, epoch),
            Step::Lose => self.end_begins(attempt, epoch, Ending::Lose),
            Step::End => self.end_begins(attempt, epoch, Ending::Finish),
            step @ (Step::Restart
            | Step::Close(_)
            | Step::Withdraw
            | Step::Prepare
            | Step::Reuse
            | Step::Renew
            | Step::WaitUntil(_)
            | Step::Rest(_)
            | Step::Observe) => unreachable!("{step:?} of {:?}", self.row),
        }
    }

    fn interrupt(&mut self, attempt: usize) -> Option<()> {
        let Attempt::Arms(arming) = self.attempts[attempt] else { return None };
        if self.detached.is_some() {
            return None;
        }
        self.spend()?;
        self.detached = Some(arming);
        self.end_begins(attempt, arming.epoch, Ending::PutBack);
        Some(())
    }

    fn detached_goes_on(&mut self) -> Option<()> {
        let arming: Arming = self.detached?;
        self.detached = self.arm_goes_on(arming)?.ok();
        Some(())
    }

    fn reaper_goes_on(&mut self, flaw: Option<Flaw>) -> Option<()> {
        match self.reaper {
            Reaper::Idle => {
                self.spend()?;
                self.reap_begins(flaw)
            }
            Reaper::Waits(saw) => self.reap_locks(saw),
            Reaper::Holds(saw) => {
                self.reap_commits(saw);
                Some(())
            }
        }
    }
}
