//! The state of the model: the ledger's rows, the network's truth, and what every process has in mind.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    flaw::Flaw,
    holder::{End, Reply, Request, Slides, ask},
    network::{Packet, SLIDES, Thing},
    reconciler::Doubter,
};
use crate::machine::{HandleState, State};

/// What is explored.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// How the network treats a handle.
    pub family: Family,
    /// How many faults may happen, in any order, at any point.
    pub faults: u8,
    /// People change their minds, and time passes.
    pub people: People,
    /// A definite no may come after the effect.
    pub noes_lie: bool,
    /// How many reconcilers look at once.
    pub reconcilers: usize,
    /// The planted fault.
    pub flaw: Option<Flaw>,
}

impl Setting {
    /// Whether this fault is planted.
    pub fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
}

/// How a network treats a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// A container, a draft: whoever commits it again changes nothing.
    SingleUse,
    /// An upload: taken at once, carried out later, single use.
    Upload,
    /// A story: each commit is another post, and no read proves absence.
    OneShot,
    /// A container that slides are put into, each a container of its own.
    Album,
    /// Photos: the commit tells the network to fetch them from us, and our origin vouches for what it did not fetch.
    Pull,
}

/// What people may do, each thing once.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that people may do once")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct People {
    /// Wish it cancelled.
    pub cancel: bool,
    /// Change what would be sent.
    pub edit: bool,
    /// Freeze the account.
    pub freeze: bool,
    /// Decide about what is held, and try again what failed.
    pub staff: bool,
    /// Schedule it for later, so that it may come too late.
    pub schedule: bool,
}

impl People {
    /// Nobody interferes.
    pub const NONE: Self = Self { cancel: false, edit: false, freeze: false, staff: false, schedule: false };
}

/// Where its time stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Before it is to be public.
    Early,
    /// It may be armed.
    Due,
    /// It may not be armed any more.
    Late,
}

impl Phase {
    /// When it is to be public, as seconds.
    pub const SCHEDULED_FOR: i64 = 100;
    /// After this it may not be armed.
    pub const LATEST_AT: i64 = 200;

    /// A second within this phase.
    pub const fn second(self) -> i64 {
        match self {
            Self::Early => Self::SCHEDULED_FOR - 1,
            Self::Due => Self::SCHEDULED_FOR,
            Self::Late => Self::LATEST_AT + 1,
        }
    }
}

/// That second.
pub fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
}

/// The publication's row.
#[expect(clippy::struct_excessive_bools, reason = "each is a column of its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    pub state: State,
    pub version: u8,
    pub handle: HandleState,
    pub named: Option<u8>,
    pub made_of: Option<u8>,
    /// Its handle holds slides that are not put together.
    pub parts: bool,
    pub slides: Slides,
    /// The network's name for what it fetches is known.
    pub known: bool,
    pub wished: bool,
    pub quarantine: Quarantine,
    pub absent: Absent,
    /// It has a next look.
    pub looked_at: bool,
    /// The evidence limit has passed since the last call.
    pub old: bool,
    /// It is given up, and ends when its handle is dead.
    pub given_up: bool,
    /// So long ago was it sent that no network carries it out any more.
    pub late: bool,
}

impl Row {
    /// Committed and taken: only observed from now on.
    pub fn committed(&self) -> bool {
        self.state == State::Waiting && self.handle == HandleState::Spent
    }

    /// A commit may be under way or have had its effect: neither edits nor wishes are promised anything.
    pub fn commits(&self) -> bool {
        self.committed() || matches!(self.state, State::Armed | State::Unknown)
    }
}

/// Whether a request may still be on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quarantine {
    /// Nothing was armed yet.
    None,
    /// It may.
    Running,
    /// The settings promise that it is not.
    Over,
}

/// The series of reads that show absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Absent {
    /// There is none.
    No,
    /// Begun before the quarantine was over.
    Before,
    /// Begun.
    Once,
    /// Begun at least `settle` ago.
    Apart,
}

/// The publication's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobRow {
    pub paused: bool,
    pub attempts: u8,
    pub crashes: u8,
}

/// The claim on it. That a claim's three words name one claim and no other is the other model's business: here
/// a worker holds it or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimRow {
    /// Whose; `None`: of a process that is gone.
    pub by: Option<usize>,
    /// The lease has ended, or the deadline has passed.
    pub expired: bool,
}

/// A commit call in the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallRow {
    pub handle: Option<u8>,
    pub verdict: Option<Ruled>,
    /// Its addresses serve no more.
    pub revoked: bool,
    /// Something was fetched from them.
    pub fetched: bool,
}

/// A call's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ruled {
    Ok,
    DefiniteNo,
    /// No byte of it left.
    Unsent,
    Ambiguous,
    ResolvedYes,
    ResolvedNo,
}

/// What a worker has in mind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Worker {
    /// Nothing.
    Idle,
    /// An attempt: the answers since the last look; `true`: its request is on the wire.
    At(Vec<Reply>, bool),
    /// The end of an attempt, and how many of its statements found nothing to do.
    Settling(End, u8),
}

/// What happened, where the state alone does not tell.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that happened")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Past {
    /// Rules that were broken, one bit each.
    pub broken: u16,
    /// It was published at some time.
    pub published: bool,
    /// The network's reads have lied, or its no to a commit.
    pub lied: bool,
    /// A request landed after its quarantine.
    pub landed_late: bool,
    /// The network came for files whose addresses were closed.
    pub fetched_too_late: bool,
    /// It was told that it is cancelled, nothing having been armed that may still take effect.
    pub promised: bool,
    /// It is held as too late.
    pub too_late: bool,
    /// A person has said that it is not published.
    pub decided: bool,
    /// The reads of this commit's fate: 1 once, 2 once and long enough ago, 3 twice.
    pub reads: u8,
}

/// Rules about steps, which no single state can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A mutating request was logged before.
    Logged,
    /// No authority write without its claim.
    Claimed,
    /// Evidence is taken from anyone.
    Heard,
    /// Evidence told twice is the same as told once.
    Idempotent,
    /// Re-armable only after the quarantine.
    Quarantined,
    /// Absence is read twice.
    ReadTwice,
    /// No arm for a frozen account.
    Unfrozen,
    /// What becomes public is what was wanted.
    Current,
    /// What was promised not to be sent is not sent.
    Kept,
    /// Slides are put together when all of them are ready, and none is committed.
    Whole,
}

impl Past {
    /// Remembers that a rule was broken.
    pub fn breaks(&mut self, rule: Rule) {
        self.broken |= 1 << rule as u16;
    }

    /// Whether a rule was kept so far.
    pub fn keeps(self, rule: Rule) -> bool {
        self.broken & (1 << rule as u16) == 0
    }
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub row: Row,
    pub job: Option<JobRow>,
    pub claim: Option<ClaimRow>,
    pub calls: Vec<CallRow>,
    pub things: Vec<Thing>,
    pub wire: Vec<Packet>,
    /// Public effects.
    pub effects: u8,
    pub workers: [Worker; 2],
    pub doubters: Vec<Doubter>,
    pub phase: Phase,
    pub frozen: bool,
    /// What may still go wrong.
    pub faults: u8,
    /// What people may still do.
    pub people: People,
    pub past: Past,
}

impl World {
    /// A post just accepted, with its job.
    pub fn new(set: &Setting) -> Self {
        Self {
            row: Row {
                state: State::Scheduled,
                version: 1,
                handle: HandleState::None,
                named: None,
                made_of: None,
                parts: false,
                slides: [None; SLIDES],
                known: false,
                wished: false,
                quarantine: Quarantine::None,
                absent: Absent::No,
                looked_at: false,
                old: false,
                given_up: false,
                late: false,
            },
            job: Some(JobRow::FRESH),
            claim: None,
            calls: Vec::new(),
            things: Vec::new(),
            wire: Vec::new(),
            effects: 0,
            workers: [Worker::Idle, Worker::Idle],
            doubters: vec![Doubter::Idle; set.reconcilers],
            phase: if set.people.schedule { Phase::Early } else { Phase::Due },
            frozen: false,
            faults: set.faults,
            people: set.people,
            past: Past::default(),
        }
    }

    /// What this worker asks for next, if it runs an attempt and does not wait for the wire.
    pub fn request(&self, worker: usize) -> Option<Request> {
        match &self.workers[worker] {
            Worker::At(script, false) => Some(ask(script)),
            Worker::Idle | Worker::At(_, true) | Worker::Settling(..) => None,
        }
    }

    /// Spends a fault.
    pub fn fault(&mut self) -> Option<()> {
        self.faults = self.faults.checked_sub(1)?;
        Some(())
    }

    /// Processes are alike: of two worlds that differ in their names only one is kept.
    pub fn canonical(mut self) -> Self {
        if self.doubters.len() > 1 {
            self.doubters.sort_by_cached_key(hash);
        }
        if self.workers[0] != self.workers[1] || self.claim.is_some() {
            self.name_workers();
        }
        if self.wire.len() > 1 {
            self.wire.sort_by_cached_key(hash);
        }
        self
    }

    fn name_workers(&mut self) {
        if hash(&self.worker_seen(0)) <= hash(&self.worker_seen(1)) {
            return;
        }
        self.workers.swap(0, 1);
        if let Some(claim) = &mut self.claim {
            claim.by = claim.by.map(|worker| 1 - worker);
        }
        for packet in &mut self.wire {
            packet.from = packet.from.map(|worker| 1 - worker);
        }
    }

    fn worker_seen(&self, worker: usize) -> (&Worker, bool, bool) {
        let waits = self.wire.iter().any(|packet| packet.from == Some(worker));
        (&self.workers[worker], self.holds(worker), waits)
    }
}

impl JobRow {
    /// One that nobody has run yet.
    pub const FRESH: Self = Self { paused: false, attempts: 0, crashes: 0 };
}

fn hash(it: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    it.hash(&mut hasher);
    hasher.finish()
}
