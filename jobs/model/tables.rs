//! Jobs and claims with Postgres' snapshots and locks: each statement in the pieces between which others may
//! commit.
//!
//! Under READ COMMITTED a statement sees what was committed when it began, waits for the rows it writes, and
//! then goes on with what it saw. So a claim is its insert (snapshot, then wait, then write) and its two looks
//! afterwards; finishing and putting back are snapshot, lock, commit; reaping is lock, then look.

use super::flaw::Flaw;
use crate::machine::{Move, State};

/// The process that each attempt belongs to: the first two share one.
const PROCESS: [u8; 3] = [0, 0, 1];

/// The state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tables {
    /// The job's epoch, while there is a job.
    pub job: Option<u8>,
    pub claim: Option<Claim>,
    /// The publication's state.
    pub row: State,
    pub attempts: [Attempt; 3],
    pub reaper: Reaper,
    /// An arm whose worker waits for it no longer; it may still commit.
    pub detached: Option<Arming>,
    /// The job was finished.
    pub finished: bool,
    /// Who was last told that the job is theirs, and has not ended that nor had it taken.
    pub holder: Option<usize>,
    /// The epoch of the last claim that was granted.
    granted: u8,
    /// Rules broken.
    pub broken: u8,
    /// How often something else than work may still happen.
    pub left: u8,
}

/// A claim's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    pub epoch: u8,
    pub attempt: usize,
    pub lock: Lock,
}

/// Who else's transaction is at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lock {
    /// Nobody's: it is committed.
    Free,
    /// Inserted and not committed.
    Inserted,
    /// Read `FOR SHARE` by an arm.
    Shared,
    /// Deleted and not committed.
    Deleted,
}

/// What an attempt is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attempt {
    Idle,
    /// Its insert has its snapshot: the job has this epoch.
    Claims(u8),
    /// Its row is written.
    Inserted(u8),
    /// The second statement has left it.
    Rechecked(u8),
    /// It was told that the job is its own.
    Runs(u8),
    /// Its arm is under way.
    Arms(Arming),
    /// It is armed, and sends.
    Sends(u8),
    /// It ends its claim so; `true`: the claim's row is deleted.
    Ends(u8, Ending, bool),
}

/// An arm under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arming {
    pub attempt: usize,
    pub epoch: u8,
    /// The publication, as its snapshot has it.
    saw: State,
    /// It holds its claim.
    locked: bool,
}

/// How a claim is ended by its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    Finish,
    PutBack,
    Lose,
}

/// What the reaper is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reaper {
    Idle,
    /// It waits for the claim, having seen the publication so: only if it looks first.
    Waits(State),
    /// It has the claim; what it saw of the publication, if it looked first.
    Holds(Option<State>),
}

/// Rules about steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A finished job never runs again.
    NeverAgain,
    /// A claim's words name one claim.
    OneName,
    /// One holder at a time.
    OneHolder,
    /// Nobody writes by another's claim.
    OwnClaim,
    /// A reap leaves nothing armed behind.
    ReapedWhole,
}

impl Tables {
    /// A job that is due, its post prepared.
    pub fn new(left: u8) -> Self {
        Self {
            job: Some(1),
            claim: None,
            row: State::Prepared,
            attempts: [Attempt::Idle; 3],
            reaper: Reaper::Idle,
            detached: None,
            finished: false,
            holder: None,
            granted: 0,
            broken: 0,
            left,
        }
    }

    /// Whether a rule was kept so far.
    pub fn keeps(&self, rule: Rule) -> bool {
        self.broken & (1 << rule as u8) == 0
    }

    /// Whether the job was taken from its first holder, or put back.
    pub fn granted_again(&self) -> bool {
        self.granted > 1
    }

    /// Spends one of the things that may happen besides work.
    pub fn spend(&mut self) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        Some(())
    }

    fn breaks(&mut self, rule: Rule) {
        self.broken |= 1 << rule as u8;
    }

    fn named(&self, attempt: usize, epoch: u8, epoch_counts: bool) -> bool {
        self.claim.is_some_and(|claim| {
            claim.lock != Lock::Inserted
                && PROCESS[claim.attempt] == PROCESS[attempt]
                && (claim.epoch == epoch || !epoch_counts)
        })
    }

    fn lock(&mut self, lock: Lock) {
        if let Some(claim) = &mut self.claim {
            claim.lock = lock;
        }
    }

    fn locked(&self) -> Option<Lock> {
        self.claim.map(|claim| claim.lock)
    }

    /// The insert's snapshot.
    pub fn claim_begins(&mut self, attempt: usize) -> Option<()> {
        self.attempts[attempt] = Attempt::Claims(self.job?);
        Some(())
    }

    /// The insert writes, waits, or gives way.
    pub fn claim_inserts(&mut self, attempt: usize, epoch: u8) -> Option<()> {
        self.attempts[attempt] = match self.locked() {
            Some(Lock::Deleted | Lock::Inserted) => return None,
            Some(Lock::Free | Lock::Shared) => Attempt::Idle,
            None => {
                self.claim = Some(Claim { epoch, attempt, lock: Lock::Inserted });
                Attempt::Inserted(epoch)
            }
        };
        Some(())
    }

    /// The second statement deletes a claim without its job, or of another epoch.
    pub fn claim_rechecks(&mut self, flaw: Option<Flaw>, attempt: usize, epoch: u8) {
        if flaw == Some(Flaw::ClaimInOneStatement) {
            self.grant(attempt, epoch);
        } else if self.job == Some(epoch) {
            self.attempts[attempt] = Attempt::Rechecked(epoch);
        } else {
            self.claim = None;
            self.attempts[attempt] = Attempt::Idle;
        }
    }

    /// The third returns what is still true, and the transaction commits; what it does not return is a stray.
    pub fn claim_returns(&mut self, attempt: usize, epoch: u8) {
        if self.job == Some(epoch) {
            self.grant(attempt, epoch);
        } else {
            self.lock(Lock::Free);
            self.attempts[attempt] = Attempt::Idle;
        }
    }

    fn grant(&mut self, attempt: usize, epoch: u8) {
        self.lock(Lock::Free);
        if self.finished {
            self.breaks(Rule::NeverAgain);
        }
        if self.granted >= epoch {
            self.breaks(Rule::OneName);
        }
        if self.holder.is_some() {
            self.breaks(Rule::OneHolder);
        }
        self.granted = epoch;
        self.holder = Some(attempt);
        self.attempts[attempt] = Attempt::Runs(epoch);
    }

    /// An arm's snapshot.
    pub fn arm_begins(&mut self, attempt: usize, epoch: u8) {
        let arming = Arming { attempt, epoch, saw: self.row, locked: false };
        self.attempts[attempt] = Attempt::Arms(arming);
    }

    /// An arm reads its claim `FOR SHARE`, or waits; then writes and commits.
    pub fn arm_goes_on(&mut self, arming: Arming) -> Option<Result<Arming, bool>> {
        if arming.locked {
            self.lock(Lock::Free);
            let may = |state: State| Move::Arm.from().contains(&state);
            let moved = may(arming.saw) && may(self.row);
            if moved {
                self.row = Move::Arm.to();
                self.writes_as(arming.attempt);
            }
            return Some(Err(moved));
        }
        match self.locked() {
            Some(Lock::Deleted | Lock::Inserted | Lock::Shared) => None,
            Some(Lock::Free) if self.named(arming.attempt, arming.epoch, true) => {
                self.lock(Lock::Shared);
                Some(Ok(Arming { locked: true, ..arming }))
            }
            Some(Lock::Free) | None => Some(Err(false)),
        }
    }

    fn writes_as(&mut self, attempt: usize) {
        if self.holder != Some(attempt) {
            self.breaks(Rule::OwnClaim);
        }
    }

    /// The statement that ends a claim has its snapshot: what is armed is not put back.
    pub fn end_begins(&mut self, attempt: usize, epoch: u8, ending: Ending) {
        let ending = match ending {
            Ending::PutBack if self.row == State::Armed => Ending::Lose,
            Ending::Finish | Ending::PutBack | Ending::Lose => ending,
        };
        self.attempts[attempt] = Attempt::Ends(epoch, ending, false);
    }

    /// It deletes the claim's row, or waits, or is fenced off.
    pub fn end_locks(&mut self, flaw: Option<Flaw>, attempt: usize, epoch: u8, ending: Ending) -> Option<()> {
        let by_epoch = !(flaw == Some(Flaw::EpochDropped) && ending == Ending::Finish);
        self.attempts[attempt] = match self.locked() {
            Some(Lock::Deleted | Lock::Inserted | Lock::Shared) => return None,
            Some(Lock::Free) if self.named(attempt, epoch, by_epoch) => {
                self.lock(Lock::Deleted);
                Attempt::Ends(epoch, ending, true)
            }
            Some(Lock::Free) | None => Attempt::Idle,
        };
        Some(())
    }

    /// It writes the rest, and commits.
    pub fn end_commits(&mut self, flaw: Option<Flaw>, attempt: usize, ending: Ending) {
        self.attempts[attempt] = Attempt::Idle;
        match ending {
            Ending::Finish => {
                self.job = None;
                self.finished = true;
            }
            Ending::PutBack if flaw == Some(Flaw::EpochKept) => {}
            Ending::PutBack => self.raise(),
            Ending::Lose if Move::Lose.from().contains(&self.row) => {
                self.row = Move::Lose.to();
                self.job = None;
            }
            Ending::Lose => return self.lock(Lock::Free), // rolled back: it stands elsewhere by now
        }
        self.writes_as(attempt);
        self.gone();
    }

    fn raise(&mut self) {
        self.job = self.job.map(|epoch| epoch + 1);
    }

    fn gone(&mut self) {
        self.claim = None;
        self.holder = None;
    }

    /// The reaper takes the claim, if nobody is at it; or, looking first, gets in line for it.
    pub fn reap_begins(&mut self, flaw: Option<Flaw>) -> Option<()> {
        let lock = self.locked()?;
        if flaw == Some(Flaw::ReapInOneStatement) && lock != Lock::Inserted {
            self.reaper = Reaper::Waits(self.row);
            return Some(());
        }
        self.reaper = match lock {
            // what is not committed is not seen; what somebody is at is skipped
            Lock::Inserted | Lock::Deleted | Lock::Shared => return None,
            Lock::Free => {
                self.lock(Lock::Deleted);
                Reaper::Holds(None)
            }
        };
        Some(())
    }

    /// It has its turn.
    pub fn reap_locks(&mut self, saw: State) -> Option<()> {
        self.reaper = match self.locked() {
            Some(Lock::Deleted | Lock::Inserted | Lock::Shared) => return None,
            Some(Lock::Free) => Reaper::Holds(Some(saw)),
            None => Reaper::Idle,
        };
        self.lock(Lock::Deleted);
        Some(())
    }

    /// It moves the publication, and commits.
    pub fn reap_commits(&mut self, saw: Option<State>) {
        self.reaper = Reaper::Idle;
        self.gone();
        self.raise();
        let lost = |state: State| Move::Lose.from().contains(&state);
        if lost(self.row) && saw.is_none_or(lost) {
            self.row = Move::Lose.to();
            self.job = None;
        }
        if self.row == State::Armed {
            self.breaks(Rule::ReapedWhole);
        }
    }

    /// The sweep: armed, and nobody answers for it.
    pub fn mend(&mut self) -> Option<()> {
        (self.claim.is_none() && self.row == State::Armed).then(|| {
            self.row = Move::Lose.to();
            self.job = None;
        })
    }

    /// A process gives up a claim that none of its attempts runs.
    pub fn release_stray(&mut self) -> Option<()> {
        let Claim { attempt, lock, .. } = self.claim?;
        let stray = self.attempts[attempt] == Attempt::Idle && lock == Lock::Free;
        (stray && self.row != State::Armed).then(|| {
            self.gone();
            self.raise();
        })
    }

    /// An attempt's process is killed; what it had not committed is rolled back.
    pub fn crash(&mut self, attempt: usize) {
        match self.attempts[attempt] {
            Attempt::Inserted(_) | Attempt::Rechecked(_) => self.claim = None,
            Attempt::Ends(_, _, true) | Attempt::Arms(Arming { locked: true, .. }) => self.lock(Lock::Free),
            Attempt::Idle
            | Attempt::Claims(_)
            | Attempt::Runs(_)
            | Attempt::Arms(_)
            | Attempt::Sends(_)
            | Attempt::Ends(_, _, false) => {}
        }
        self.attempts[attempt] = Attempt::Idle;
    }
}
