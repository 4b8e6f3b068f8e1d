//! The states of a publication and every way from one to another, as pure functions.
//!
//! Nothing here reads a clock, a database or a network: what was seen is handed in, what to do comes out.
//! The ledger takes the states a move leaves from [`Move::from`], so no state is named twice. `T7` and the
//! like are the transitions of the publishing protocol.

use chrono::{DateTime, Utc};

use crate::contract::{Closing, Failure};

/// Where a publication stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing done at the network yet.
    Scheduled,
    /// A prepare call is open.
    Preparing,
    /// The handle is ready; no claim is needed.
    Prepared,
    /// The network works: on the handle, or on what was committed.
    Waiting,
    /// The intent to commit is durable; one call may be on the wire.
    Armed,
    /// The outcome of a commit is not known.
    Unknown,
    /// Proved not published; to be tried again.
    RetryWait,
    /// Public. Absorbing.
    Published,
    /// A person decides.
    Held,
    /// Proved not published, for good.
    Failed,
    /// Proved not published, by wish.
    Cancelled,
}

impl State {
    /// Every state.
    pub const ALL: &'static [Self] = &[
        Self::Scheduled,
        Self::Preparing,
        Self::Prepared,
        Self::Waiting,
        Self::Armed,
        Self::Unknown,
        Self::RetryWait,
        Self::Published,
        Self::Held,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Preparing => "preparing",
            Self::Prepared => "prepared",
            Self::Waiting => "waiting",
            Self::Armed => "armed",
            Self::Unknown => "unknown",
            Self::RetryWait => "retry_wait",
            Self::Published => "published",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.word() == word)
    }

    /// The API's word.
    pub const fn shown(self) -> &'static str {
        match self {
            Self::Preparing | Self::Prepared => "preparing",
            Self::Armed => "publishing",
            Self::Unknown => "confirming",
            Self::RetryWait => "retrying",
            Self::Scheduled
            | Self::Waiting
            | Self::Published
            | Self::Held
            | Self::Failed
            | Self::Cancelled => self.word(),
        }
    }

    /// The states that need a live job.
    pub const WITH_JOB: &'static [Self] =
        &[Self::Scheduled, Self::Preparing, Self::Prepared, Self::Waiting, Self::Armed, Self::RetryWait];

    /// The API's words in the order in which a post takes its own state from its publications.
    pub const SHOWN: &'static [&'static str] = &[
        "publishing",
        "confirming",
        "waiting",
        "preparing",
        "retrying",
        "scheduled",
        "held",
        "failed",
        "published",
        "cancelled",
    ];

    /// The states behind one of the API's words; empty for a word the API does not have.
    pub fn behind(shown: &str) -> Vec<Self> {
        Self::ALL.iter().copied().filter(|state| state.shown() == shown).collect()
    }
}

/// What is known of the handle: the network's name for what was prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandleState {
    /// There is none.
    None,
    /// The network still works on it.
    Building,
    /// It may be committed.
    Ready,
    /// The network has said that it can never become public.
    Dead,
    /// It was committed and taken.
    Spent,
}

impl HandleState {
    const ALL: &'static [Self] = &[Self::None, Self::Building, Self::Ready, Self::Dead, Self::Spent];

    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Building => "building",
            Self::Ready => "ready",
            Self::Dead => "dead",
            Self::Spent => "spent",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.word() == word)
    }
}

/// Every way from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// T4: a prepare call is logged.
    Prepare,
    /// T4': the handle is not proved dead, and is used again.
    Reuse,
    /// T5: the handle is ready.
    Prepared,
    /// T5: the handle is there, the network still works on it.
    Build,
    /// T5': the network says ready.
    Ready,
    /// T5'': the parts are ready; another prepare call puts them together.
    Assemble,
    /// T6, T13: the prepare call led nowhere; it is repeatable, for nobody sees what it made.
    Unprepare,
    /// T7: the intent to commit.
    Arm,
    /// T7': what was prepared is no longer what is wanted, or is gone.
    Renew,
    /// T8': armed, and no byte was sent.
    Unsent,
    /// T9, T14: positive evidence.
    Publish,
    /// T9': an asynchronous network took the commit.
    Accept,
    /// T10: a definite no, to be tried again.
    Refuse,
    /// T10': the network's terminal status says no; tried again with a new handle.
    Reject,
    /// T11, T12: the outcome is not known.
    Lose,
    /// T14': the network carries out what was committed.
    Carry,
    /// T15: proved absent; the same handle is committed again.
    Rearm,
    /// T15: proved absent, the handle is dead.
    Replace,
    /// T15: the network says it will never be.
    Condemn,
    /// T15: proved absent, and somebody wished it cancelled.
    Honour,
    /// T16: no proof either way in time, of a commit or of what is given up after one.
    Hold,
    /// T18: a person has looked, and says that it is public.
    Attest,
    /// T18: a person has looked, and says that it is not.
    Deny,
    /// T17: cancelled before anything was armed.
    Cancel,
    /// T19: too late, nothing armed.
    Expire,
    /// Before it is given up: the network has taken the handle back, or it is dead otherwise.
    Withdraw,
    /// T20: refused for good before the commit, or attempts spent.
    Fail,
    /// T21: people try again what failed, or was too late.
    Redrive,
    /// R4: the ledger went back in time; it may have been sent since.
    Restore,
}

impl Move {
    /// Every move.
    pub const ALL: &'static [Self] = &[
        Self::Prepare,
        Self::Reuse,
        Self::Prepared,
        Self::Build,
        Self::Ready,
        Self::Assemble,
        Self::Unprepare,
        Self::Arm,
        Self::Renew,
        Self::Unsent,
        Self::Publish,
        Self::Accept,
        Self::Refuse,
        Self::Reject,
        Self::Lose,
        Self::Carry,
        Self::Rearm,
        Self::Replace,
        Self::Condemn,
        Self::Honour,
        Self::Hold,
        Self::Attest,
        Self::Deny,
        Self::Cancel,
        Self::Expire,
        Self::Withdraw,
        Self::Fail,
        Self::Redrive,
        Self::Restore,
    ];

    /// The states it may leave.
    pub const fn from(self) -> &'static [State] {
        use State as S;
        match self {
            Self::Prepare => &[S::Scheduled, S::RetryWait],
            Self::Reuse => &[S::RetryWait],
            Self::Prepared | Self::Build | Self::Unprepare => &[S::Preparing],
            Self::Ready | Self::Assemble | Self::Reject => &[S::Waiting],
            Self::Arm | Self::Renew => &[S::Prepared],
            Self::Unsent | Self::Accept | Self::Refuse | Self::Lose => &[S::Armed],
            Self::Publish => &[
                S::Scheduled,
                S::Preparing,
                S::Prepared,
                S::Waiting,
                S::Armed,
                S::Unknown,
                S::RetryWait,
                S::Held,
                S::Failed,
                S::Cancelled,
            ],
            Self::Carry | Self::Rearm | Self::Replace | Self::Condemn | Self::Honour => &[S::Unknown],
            Self::Hold => &[S::Unknown, S::Scheduled, S::Prepared, S::Waiting, S::RetryWait],
            Self::Attest | Self::Deny => &[S::Held],
            Self::Cancel => &[S::Scheduled, S::Preparing, S::Prepared, S::Waiting, S::RetryWait, S::Held],
            Self::Expire | Self::Withdraw => &[S::Scheduled, S::Prepared, S::Waiting, S::RetryWait],
            Self::Fail => &[S::Scheduled, S::Preparing, S::Prepared, S::Waiting, S::RetryWait],
            Self::Redrive => &[S::Failed, S::Held],
            Self::Restore => State::WITH_JOB,
        }
    }

    /// The state it enters.
    pub const fn to(self) -> State {
        match self {
            Self::Prepare => State::Preparing,
            Self::Reuse | Self::Prepared | Self::Ready | Self::Unsent | Self::Rearm => State::Prepared,
            Self::Build | Self::Accept | Self::Carry => State::Waiting,
            Self::Unprepare | Self::Renew | Self::Assemble => State::Scheduled,
            Self::Arm => State::Armed,
            Self::Publish | Self::Attest => State::Published,
            Self::Refuse | Self::Reject | Self::Replace | Self::Redrive | Self::Withdraw => State::RetryWait,
            Self::Lose | Self::Restore => State::Unknown,
            Self::Condemn | Self::Fail | Self::Deny => State::Failed,
            Self::Honour | Self::Cancel => State::Cancelled,
            Self::Hold | Self::Expire => State::Held,
        }
    }
}

/// Where a publication stands, and everything a decision about it rests on.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its state.
    pub state: State,
    /// Raised by every edit of what would be sent.
    pub version: i64,
    /// What is known of its handle.
    pub handle: HandleState,
    /// The version that the handle was made of.
    pub handle_version: Option<i64>,
    /// No earlier than this it is made ready at the network.
    pub prepare_from: DateTime<Utc>,
    /// When it is to be public.
    pub scheduled_for: DateTime<Utc>,
    /// After this it may not be armed.
    pub latest_at: DateTime<Utc>,
    /// Somebody wished it cancelled.
    pub cancel_wished: bool,
    /// The network asked to leave its account alone until then.
    pub resting_until: Option<DateTime<Utc>>,
    /// What it is given up with, once it is.
    pub given_up: Option<Failure>,
    /// Its handle was committed once and is not dead: what was sent then may still be carried out, however long ago
    /// reads showed that it was not.
    pub sent: bool,
}

/// What the holder of a claim does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// There is nothing to do for a job here.
    End,
    /// It was armed under another claim: the outcome is not known.
    Lose,
    /// It was being prepared under another claim: begin again.
    Restart,
    /// It goes no further.
    Close(Closing),
    /// It goes no further, and what was sent must be dead first.
    Withdraw,
    /// Make a handle.
    Prepare,
    /// Use the handle there is.
    Reuse,
    /// Drop the handle there is.
    Renew,
    /// It is ready early; come back then.
    WaitUntil(DateTime<Utc>),
    /// Its account rests; come back then.
    Rest(DateTime<Utc>),
    /// Verify the handle, arm, send.
    Commit,
    /// Look how far the network is.
    Observe,
}

/// What the holder of a claim does next about a publication that stands so.
pub fn next(it: &Standing, now: DateTime<Utc>) -> Step {
    match it.state {
        State::Published | State::Failed | State::Cancelled | State::Unknown | State::Held => Step::End,
        State::Armed => Step::Lose,
        State::Preparing => Step::Restart,
        State::Waiting if it.handle == HandleState::Spent => Step::Observe,
        State::Scheduled | State::RetryWait | State::Prepared | State::Waiting => match closing(it, now) {
            Some(_) if it.sent => rest(it, now).unwrap_or(Step::Withdraw),
            Some(closing) => Step::Close(closing),
            None => rest(it, now).unwrap_or_else(|| onward(it, now)),
        },
    }
}

fn closing(it: &Standing, now: DateTime<Utc>) -> Option<Closing> {
    if it.cancel_wished {
        Some(Closing::Cancelled)
    } else if let Some(failure) = &it.given_up {
        Some(Closing::GivenUp(failure.clone()))
    } else if now > it.latest_at {
        Some(Closing::TooLate)
    } else {
        None
    }
}

fn rest(it: &Standing, now: DateTime<Utc>) -> Option<Step> {
    it.resting_until.filter(|until| *until > now).map(Step::Rest)
}

fn onward(it: &Standing, now: DateTime<Utc>) -> Step {
    match (it.state, it.handle) {
        (State::RetryWait, HandleState::Ready | HandleState::Building | HandleState::Spent) => Step::Reuse,
        (State::Prepared, _) if it.handle_version != Some(it.version) => Step::Renew,
        (State::Prepared, _) if now < it.scheduled_for => Step::WaitUntil(it.scheduled_for),
        (State::Prepared, _) => Step::Commit,
        (State::Waiting, _) => Step::Observe,
        (_, _) if now < it.prepare_from => Step::WaitUntil(it.prepare_from),
        (_, _) => Step::Prepare,
    }
}

/// What a read of the handle at the network shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// The network still works on it; nothing is public and nothing was committed.
    Building,
    /// It may be committed; nothing is public.
    Ready,
    /// It was committed, and the network carries it out.
    Processing,
    /// It is public.
    Public(Public),
    /// It can never become public.
    Dead(Failure),
}

/// What is known of a public effect. `None` rather than guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Public {
    /// The network's id of what is public.
    pub id: Option<String>,
    /// Where the public finds it.
    pub url: Option<String>,
}

/// What the network answered to the wish to have a handle back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withdrawal {
    /// The handle is dead: nothing that was sent for it can take effect any more.
    Withdrawn,
    /// It is public.
    TooLate(Public),
    /// The network takes nothing back, or not now; all is as before.
    Cannot(Failure),
}

/// What the network answered to a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is public.
    Published(Public),
    /// It was taken, and will be carried out.
    Accepted,
    /// A definite no, from the short list of answers that prove it.
    Refused {
        /// What the network said.
        failure: Failure,
        /// The network proved that the handle can never become public.
        handle_dead: bool,
    },
    /// No byte left this process.
    Unsent(Failure),
    /// Anything else.
    Unknown(Failure),
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;
    use crate::contract::Class;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn standing(state: State, handle: HandleState) -> Standing {
        Standing {
            state,
            version: 1,
            handle,
            handle_version: Some(1),
            prepare_from: at(40),
            scheduled_for: at(100),
            latest_at: at(200),
            cancel_wished: false,
            resting_until: None,
            given_up: None,
            sent: false,
        }
    }

    #[test]
    fn published_is_absorbing() {
        for &m in Move::ALL {
            assert!(!m.from().contains(&State::Published), "{m:?} leaves published");
        }
    }

    #[test]
    fn only_evidence_or_a_person_leaves_unknown() {
        for &m in Move::ALL.iter().filter(|m| m.from().contains(&State::Unknown)) {
            assert!(
                matches!(
                    m,
                    Move::Publish
                        | Move::Carry
                        | Move::Rearm
                        | Move::Replace
                        | Move::Condemn
                        | Move::Honour
                        | Move::Hold
                ),
                "{m:?} leaves unknown"
            );
        }
    }

    #[test]
    fn only_the_holder_of_a_prepared_handle_arms() {
        for &m in Move::ALL.iter().filter(|m| m.to() == State::Armed) {
            assert_eq!((m, m.from()), (Move::Arm, &[State::Prepared][..]));
        }
    }

    #[test]
    fn what_was_prepared_early_waits_and_what_was_edited_is_prepared_anew() {
        let it = standing(State::Prepared, HandleState::Ready);
        assert_eq!(next(&it, at(50)), Step::WaitUntil(at(100)));
        assert_eq!(next(&it, at(100)), Step::Commit);
        let edited = Standing { version: 2, ..it };
        assert_eq!(next(&edited, at(100)), Step::Renew);
    }

    #[test]
    fn nothing_is_prepared_long_before_its_time() {
        let it = standing(State::Scheduled, HandleState::None);
        assert_eq!(next(&it, at(39)), Step::WaitUntil(at(40)));
        assert_eq!(next(&it, at(40)), Step::Prepare);
    }

    #[test]
    fn what_was_sent_is_given_up_only_when_its_handle_is_dead() {
        let failure = || Failure::new(Class::Permanent, "no", "no");
        let sent = Standing { sent: true, ..standing(State::Prepared, HandleState::Ready) };
        assert_eq!(next(&sent, at(100)), Step::Commit, "what is wanted is sent again");
        let wished = Standing { cancel_wished: true, ..sent.clone() };
        let given_up = Standing { given_up: Some(failure()), ..sent.clone() };
        for (it, now) in [(&wished, 100), (&given_up, 100), (&sent, 201)] {
            assert_eq!(next(it, at(now)), Step::Withdraw);
        }
        let dead = Standing { sent: false, state: State::RetryWait, handle: HandleState::Dead, ..given_up };
        assert_eq!(next(&dead, at(100)), Step::Close(Closing::GivenUp(failure())));
    }

    #[test]
    fn nothing_is_begun_on_an_account_that_rests() {
        let resting = |state, handle| Standing { resting_until: Some(at(150)), ..standing(state, handle) };
        assert_eq!(next(&resting(State::Scheduled, HandleState::None), at(110)), Step::Rest(at(150)));
        assert_eq!(next(&resting(State::Prepared, HandleState::Ready), at(110)), Step::Rest(at(150)));
        assert_eq!(next(&resting(State::Waiting, HandleState::Spent), at(110)), Step::Observe);
        assert_eq!(next(&resting(State::Prepared, HandleState::Ready), at(150)), Step::Commit);
    }

    #[test]
    fn what_was_committed_is_observed_whatever_is_wished() {
        let it = Standing { cancel_wished: true, ..standing(State::Waiting, HandleState::Spent) };
        assert_eq!(next(&it, at(500)), Step::Observe);
    }

    proptest! {
        #[test]
        fn nothing_is_prepared_or_committed_after_a_wish_or_too_late(
            state in proptest::sample::select(State::ALL),
            handle in proptest::sample::select(HandleState::ALL),
            wished: bool,
            now in 0_i64..400,
        ) {
            let it = Standing { cancel_wished: wished, ..standing(state, handle) };
            let step = next(&it, at(now));
            if wished || now > 200 {
                prop_assert!(!matches!(step, Step::Prepare | Step::Commit | Step::Reuse));
            }
        }
    }
}
