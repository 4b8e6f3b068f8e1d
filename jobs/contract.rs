//! What a kind of work must say of itself, and what it may answer.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::{consent::Purpose, desk::Desk};

/// A boxed future that may be sent between threads.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One kind of work. The struct is the payload; `run` is the meaning.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The word for this kind: file, queue, settings table, log field.
    const KIND: &'static str;
    /// The payload's version. A worker leaves a newer one to newer workers.
    const VERSION: i32 = 1;
    /// How patiently a failed attempt is repeated, where `worker.toml` does not say otherwise.
    const RETRY: Retry = Retry::STANDARD;
    /// The longest one attempt may take, where `worker.toml` does not say otherwise.
    const LIMIT: Duration = Duration::from_mins(1);
    /// Goes last at the networks: in only where nobody else has lately been, so that nothing is taken that others may
    /// need.
    const YIELDS: bool = false;
    /// What it uses data for that a workspace may forbid at any time: then it is refused instead of run.
    const PURPOSE: Option<Purpose> = None;

    /// Does the work once. May be called again after any crash, at any point.
    fn run(&self, desk: &Desk<'_>) -> impl Future<Output = Result<Done, JobError>> + Send;
}

/// An entry of the registry: a kind with its type erased.
pub struct Kind {
    /// The word for this kind.
    pub name: &'static str,
    /// The newest payload version that this build reads.
    pub version: i32,
    /// The default patience.
    pub retry: Retry,
    /// The default limit of one attempt.
    pub limit: Duration,
    /// Whether it goes last at the networks.
    pub yields: bool,
    /// What a workspace may forbid it to be run for.
    pub purpose: Option<Purpose>,
    /// Whether the payload can be decoded; if not, why.
    pub reads: fn(&Value) -> Result<(), String>,
    /// Decodes the payload and runs it.
    pub run: for<'a> fn(&'a RawValue, &'a Desk<'a>) -> Pending<'a, Result<Done, JobError>>,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Kind {
    /// The registry entry of `J`.
    pub const fn of<J: Job>() -> Self {
        Self {
            name: J::KIND,
            version: J::VERSION,
            retry: J::RETRY,
            limit: J::LIMIT,
            yields: J::YIELDS,
            purpose: J::PURPOSE,
            reads: reads::<J>,
            run: run::<J>,
        }
    }
}

fn reads<J: Job>(payload: &Value) -> Result<(), String> {
    J::deserialize(payload).map(|_| ()).map_err(|e| e.to_string())
}

fn run<'a, J: Job>(payload: &'a RawValue, desk: &'a Desk<'a>) -> Pending<'a, Result<Done, JobError>> {
    Box::pin(async move {
        let job = serde_json::from_str::<J>(payload.get())
            .map_err(|e| JobError::Malformed(Failure::new(Class::Permanent, "payload", e.to_string())))?;
        job.run(desk).await
    })
}

/// Full-jitter retry: the wait before attempt `n + 1` is random in `0 ..= min(cap, base * 2^n)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The scale of the first wait.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// How long it may go on, waits for a network's limits included, from the first failure or such wait.
    pub within: Duration,
}

impl Retry {
    /// Patient over the better part of an hour: networks are away for minutes, seldom for longer.
    pub const STANDARD: Self = Self {
        base: Duration::from_secs(2),
        cap: Duration::from_mins(5),
        attempts: 25,
        within: Duration::from_hours(24),
    };

    /// The wait after `spent` failed attempts, or `None` once all are spent. `chance` is in `0.0 ..= 1.0`.
    pub fn wait(&self, spent: u32, chance: f64) -> Option<Duration> {
        if spent >= self.attempts {
            return None;
        }
        let most =
            self.base.saturating_mul(2_u32.saturating_pow(spent.saturating_sub(1).min(30))).min(self.cap);
        Some(most.mul_f64(chance.clamp(0.0, 1.0)))
    }
}

/// How an attempt ended well.
#[derive(Debug)]
pub enum Done {
    /// The job is over; what it made, and the jobs that follow from it.
    Finished {
        /// Kept in the history.
        output: Value,
        /// Inserted in the transaction that settles this job.
        then: Vec<FollowUp>,
    },
    /// Somebody else is at work; look again then. Spends no attempt.
    Waiting {
        /// When the job runs again.
        until: DateTime<Utc>,
        /// Why, in words staff understand.
        reason: String,
    },
    /// The publication goes no further on its own; it and the job end together.
    Closed(Closing),
}

impl Done {
    /// Finished with nothing to keep and nothing to follow.
    pub fn nothing() -> Self {
        Self::Finished { output: Value::Null, then: Vec::new() }
    }
}

/// How a publication is closed without having been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closing {
    /// Somebody wished it cancelled, and nothing was armed.
    Cancelled,
    /// It is past its latest time, and nothing was armed.
    TooLate,
    /// The network gave no proof either way in time; a person decides.
    NotProvable(String),
    /// It was given up, and nothing that was sent can take effect any more.
    GivenUp(Failure),
}

/// A job that follows from another.
#[derive(Debug, Clone)]
pub struct FollowUp {
    /// Its kind.
    pub kind: &'static str,
    /// Its payload.
    pub payload: Value,
    /// When it may run; `None` is at once.
    pub run_at: Option<DateTime<Utc>>,
}

/// Why an attempt did not end well.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Nothing happened, and it may work later.
    #[error("unavailable: {0}")]
    Unavailable(Failure),
    /// A part of our own house was away. Spends no attempt.
    #[error("infrastructure: {0}")]
    Infrastructure(String),
    /// The network asks for patience. Spends no attempt.
    #[error("throttled for {1:?}: {0}")]
    Throttled(Failure, Duration),
    /// The account's access is broken until somebody mends it.
    #[error("unauthorised: {0}")]
    Unauthorised(Failure),
    /// The request may or may not have taken effect.
    #[error("outcome unknown: {0}")]
    Unknown(Failure),
    /// The network refused for good.
    #[error("refused: {0}")]
    Refused(Failure),
    /// The job itself makes no sense.
    #[error("malformed: {0}")]
    Malformed(Failure),
    /// The claim is no longer held: somebody else owns the job.
    #[error("the claim was lost")]
    Fenced,
}

/// What the worker does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Try again by the kind's retry policy.
    Retry,
    /// Hand the job back; it costs nothing.
    Release,
    /// Try again after this long; costs no attempt.
    Wait(Duration),
    /// Rest the account's jobs until its access is mended.
    Pause,
    /// Ask the network; never repeat.
    Reconcile,
    /// End it, with the reason.
    Fail,
    /// Give up what is still held, if anything: it is somebody else's.
    Drop,
}

impl JobError {
    /// What to do. No wildcard: a new error does not compile until it has said what it means.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Unavailable(_) => Verdict::Retry,
            Self::Infrastructure(_) => Verdict::Release,
            Self::Throttled(_, wait) => Verdict::Wait(*wait),
            Self::Unauthorised(_) => Verdict::Pause,
            Self::Unknown(_) => Verdict::Reconcile,
            Self::Refused(_) | Self::Malformed(_) => Verdict::Fail,
            Self::Fenced => Verdict::Drop,
        }
    }

    /// What is kept of it and shown to people.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Unavailable(f)
            | Self::Throttled(f, _)
            | Self::Unauthorised(f)
            | Self::Unknown(f)
            | Self::Refused(f)
            | Self::Malformed(f) => f.clone(),
            Self::Infrastructure(why) => Failure::new(Class::Transient, "infrastructure", why.clone()),
            Self::Fenced => Failure::new(Class::Transient, "claim_lost", "another worker took this job over"),
        }
    }
}

/// What went wrong at a network, as people and the next attempt need to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// What kind of trouble.
    pub class: Class,
    /// The network's code, `code` or `code/subcode`; or our own word.
    pub code: String,
    /// The network's words, or ours. Never a token, never a body.
    pub message: String,
    /// How long the network asks to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Duration>,
    /// The app or its settings are at fault, so that whoever runs postroom has to act.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub operator: bool,
    /// Of an outcome that nobody knows: what kind of trouble it is, should it prove to have had no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meant: Option<Class>,
}

impl Failure {
    /// A failure of this class.
    pub fn new(class: Class, code: impl Into<String>, message: impl Into<String>) -> Self {
        // the ledger keeps no NUL, and no log wants the others
        let clean = |text: String| text.replace(char::is_control, " ");
        let (code, message) = (clean(code.into()), clean(message.into()));
        Self { class, code, message, rest: None, operator: false, meant: None }
    }

    /// The same, with the rest the network asks for.
    #[must_use]
    pub fn resting(mut self, rest: Option<Duration>) -> Self {
        self.rest = rest;
        self
    }

    /// The same, where it may have taken effect all the same.
    #[must_use]
    pub fn in_doubt(self) -> Self {
        let meant = self.meant.or((self.class != Class::Unknown).then_some(self.class));
        Self { class: Class::Unknown, meant, ..self }
    }

    /// What the network meant by it, once it is proved that nothing took effect.
    #[must_use]
    pub fn out_of_doubt(self) -> Self {
        Self { class: self.meant.unwrap_or(self.class), meant: None, ..self }
    }

    /// Who can mend it: as its class says, or `operator`. Of an unknown outcome nobody has to mend anything yet.
    pub fn who_acts(&self) -> &'static str {
        match self.class {
            Class::Unknown => self.class.who_acts(),
            Class::Transient | Class::Rate | Class::Auth | Class::Permission | Class::Permanent => {
                if self.operator { "operator" } else { self.class.who_acts() }
            }
        }
    }

    /// The error of a call that certainly had no effect.
    pub fn into_error(self) -> JobError {
        match self.class {
            Class::Transient => JobError::Unavailable(self),
            Class::Rate => {
                let rest = self.rest.unwrap_or(Duration::from_mins(1));
                JobError::Throttled(self, rest)
            }
            Class::Auth | Class::Permission => JobError::Unauthorised(self),
            Class::Permanent => JobError::Refused(self),
            Class::Unknown => JobError::Unknown(self),
        }
    }
}

/// The kinds of trouble a network can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Passes by itself.
    Transient,
    /// A limit; passes with time.
    Rate,
    /// The token is no longer good.
    Auth,
    /// A scope or a role is missing.
    Permission,
    /// This content or request will never be taken.
    Permanent,
    /// It may have taken effect.
    Unknown,
}

impl Class {
    /// Who can mend it: `postroom`, `owner` of the account, or `author` of the post.
    pub fn who_acts(self) -> &'static str {
        match self {
            Self::Transient | Self::Rate | Self::Unknown => "postroom",
            Self::Auth | Self::Permission => "owner",
            Self::Permanent => "author",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_never_passes_the_cap_and_ends_with_the_attempts() {
        let retry = Retry {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(10),
            attempts: 40,
            ..Retry::STANDARD
        };
        for spent in 0..40 {
            assert!(retry.wait(spent, 1.0).is_some_and(|wait| wait <= retry.cap), "after {spent}");
        }
        assert_eq!(retry.wait(40, 1.0), None);
        assert_eq!(retry.wait(1, 0.0), Some(Duration::ZERO));
        assert_eq!(retry.wait(3, 1.0), Some(Duration::from_secs(4)));
    }

    #[test]
    fn what_a_network_meant_outlives_the_doubt() {
        let refused = Failure::new(Class::Permission, "25", "restricted");
        let doubted = refused.clone().in_doubt().in_doubt();
        assert_eq!((doubted.class, doubted.who_acts()), (Class::Unknown, "postroom"));
        assert_eq!(doubted.out_of_doubt(), refused);
        let lost = Failure::new(Class::Unknown, "claim_gone", "gone");
        assert_eq!(lost.clone().in_doubt().out_of_doubt(), lost);
    }

    #[test]
    fn only_an_unknown_outcome_goes_to_the_reconciler() {
        let failure = || Failure::new(Class::Permanent, "1", "no");
        assert_eq!(JobError::Unknown(failure()).verdict(), Verdict::Reconcile);
        for error in [JobError::Unavailable(failure()), JobError::Refused(failure()), JobError::Fenced] {
            assert_ne!(error.verdict(), Verdict::Reconcile);
        }
    }
}
