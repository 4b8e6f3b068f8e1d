//! What is done to the processes, the servers and the links between them.

use std::time::Duration;

use jobs::failpoint::Point;

/// One blow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Blow {
    /// `kill -9` of a worker; another is started a while later.
    Kill {
        /// Whose.
        slot: usize,
        /// How much later.
        away: Duration,
    },
    /// SIGSTOP, and SIGCONT a while later.
    Stop {
        /// Whose.
        slot: usize,
        /// How much later.
        held: Duration,
    },
    /// SIGTERM, `kill -9` after the platform's grace, and another worker.
    Terminate {
        /// Whose.
        slot: usize,
        /// How long the platform waits.
        grace: Duration,
    },
    /// A worker that kills, stops or fails itself at one place.
    Armed {
        /// Whose place it takes.
        slot: usize,
        /// Where.
        point: Point,
        /// How.
        action: Action,
    },
    /// An intake that kills itself between its commit and its answer.
    ArmedWeb,
    /// `kill -9` of the intake.
    KillWeb {
        /// How long there is none.
        away: Duration,
    },
    /// FLUSHALL.
    Flush,
    /// `kill -9` of Redis, which comes back with less, or with what was long ago.
    Redis {
        /// What it has lost.
        loss: Loss,
        /// How long it is away.
        away: Duration,
    },
    /// A link goes wrong.
    Hole(Hole),
    /// Postgres ends at once and is started again.
    Postgres {
        /// By `kill -9` rather than by an immediate shutdown.
        crash: bool,
        /// How long it is away.
        away: Duration,
    },
    /// Hints that nobody should have given.
    Hints(Hints),
    /// A worker whose wall clock is wrong.
    Skew {
        /// Whose place it takes.
        slot: usize,
        /// By how much.
        seconds: i64,
    },
}

/// What an armed failpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// A panic.
    Panic,
}

impl Action {
    /// The word that arms it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill9",
            Self::Stop => "stop",
            Self::Panic => "panic",
        }
    }
}

/// What Redis comes back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    Everything,
    /// A log whose second half is gone.
    LastWrites,
    /// A snapshot of jobs that are long done.
    OldSnapshot,
}

/// Hints that nobody should have given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hints {
    /// Each live job, five times.
    Doubled,
    /// Jobs that are done.
    Finished,
    /// Jobs that never were.
    Random,
}

/// A link that goes wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// To which server.
    pub line: Line,
    /// From whom.
    pub whose: Whose,
    /// How.
    pub weather: Weather,
    /// For how long.
    pub lasts: Duration,
}

/// Which server a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// The queues.
    Redis,
    /// The ledger.
    Postgres,
}

/// Whose link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's.
    All,
    /// One worker's.
    Worker(usize),
    /// The intake's.
    Web,
}

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Swallows everything; it arrives when the hole closes.
    Stall,
    /// Turns everybody away.
    Refuse,
    /// Leaves open connections half open for good; new ones work.
    Mute,
    /// Resets open connections; new ones work.
    Reset,
    /// Takes this much longer.
    Slow(Duration),
    /// Breaks a connection after so many bytes.
    Cut(u64),
}

impl Blow {
    /// A word for it, for counting.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill9",
            Self::Stop { .. } => "sigstop",
            Self::Terminate { .. } => "sigterm",
            Self::Armed { .. } => "failpoint",
            Self::ArmedWeb => "failpoint_web",
            Self::KillWeb { .. } => "kill9_web",
            Self::Flush => "flushall",
            Self::Redis { .. } => "redis_lost",
            Self::Hole(_) => "hole",
            Self::Postgres { .. } => "postgres_killed",
            Self::Hints(_) => "hints",
            Self::Skew { .. } => "clock_skew",
        }
    }
}
