//! How a request for deletion goes on: its stages, its clocks and every way between them, as pure functions.
//!
//! Whoever accepts a request freezes what it covers in the same transaction; from then on nothing of it is armed. What was
//! armed before is waited for (*draining*), then the networks are asked to take the grants back (*revoking*), the tokens
//! are destroyed whatever they answered (*shredding*), every store is emptied (*purging*) and looked at again by other
//! ways (*verifying*); then the person is told, and who that was is forgotten. Nothing here reads a clock, a database or
//! a network. The ledger takes the stage that a turn leaves from [`Turn::from`], so no stage is named twice.

use chrono::{DateTime, TimeDelta, Utc};

/// Promised: the tokens are gone within this.
pub const TOKENS_WITHIN: TimeDelta = TimeDelta::hours(24);
/// Promised: everything is gone within this.
pub const ALL_WITHIN: TimeDelta = TimeDelta::days(30);
/// How soon something is looked at again whose end nobody knows.
pub const LOOK: TimeDelta = TimeDelta::seconds(1);

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// All is frozen. What was on its way before is waited for.
    Draining,
    /// The networks are asked to take the grants back.
    Revoking,
    /// The tokens are about to be destroyed.
    Shredding,
    /// Every store is being emptied, one after the other.
    Purging,
    /// Every store is looked at again.
    Verifying,
    /// The person is about to be told.
    Telling,
    /// What says whom it was about is about to go.
    Forgetting,
    /// All is over.
    Done,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: &'static [Self] = &[
        Self::Draining,
        Self::Revoking,
        Self::Shredding,
        Self::Purging,
        Self::Verifying,
        Self::Telling,
        Self::Forgetting,
        Self::Done,
    ];

    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Revoking => "revoking",
            Self::Shredding => "shredding",
            Self::Purging => "purging",
            Self::Verifying => "verifying",
            Self::Telling => "telling",
            Self::Forgetting => "forgetting",
            Self::Done => "done",
        }
    }

    /// The stage of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|stage| stage.word() == word)
    }
}

/// A way from one stage to the next. Each is one fenced statement, after what it stands for is done and recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Turn {
    /// Nothing of it can become public any more that was not shown to be, or its time is over.
    Drained,
    /// Every grant is answered for, or the time for it is over.
    Revoked,
    /// The tokens are gone.
    Shredded,
    /// Every store is empty of it, as far as those who emptied it know.
    Purged,
    /// Something was left: all stores are gone through once more.
    Found,
    /// Nothing was left, and the receipt is signed.
    Clean,
    /// The person was told, or nobody knows where to.
    Told,
    /// What said whom it was about is gone.
    Forgot,
}

impl Turn {
    /// Every turn.
    pub const ALL: &'static [Self] = &[
        Self::Drained,
        Self::Revoked,
        Self::Shredded,
        Self::Purged,
        Self::Found,
        Self::Clean,
        Self::Told,
        Self::Forgot,
    ];

    /// The stage that it leaves.
    pub const fn from(self) -> Stage {
        match self {
            Self::Drained => Stage::Draining,
            Self::Revoked => Stage::Revoking,
            Self::Shredded => Stage::Shredding,
            Self::Purged => Stage::Purging,
            Self::Found | Self::Clean => Stage::Verifying,
            Self::Told => Stage::Telling,
            Self::Forgot => Stage::Forgetting,
        }
    }

    /// The stage that it leads to.
    pub const fn to(self) -> Stage {
        match self {
            Self::Drained => Stage::Revoking,
            Self::Revoked => Stage::Shredding,
            Self::Shredded | Self::Found => Stage::Purging,
            Self::Purged => Stage::Verifying,
            Self::Clean => Stage::Telling,
            Self::Told => Stage::Forgetting,
            Self::Forgot => Stage::Done,
        }
    }
}

/// What the machine decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Where it stands.
    pub stage: Stage,
    /// Something may be on the wire: a publication is armed, or in doubt within its quarantine, or a token is being
    /// renewed. Until when at least that is so.
    pub wire_until: Option<DateTime<Utc>>,
    /// Something is not at its end yet, though nothing is on the wire.
    pub open: bool,
    /// What networks keep unseen and nobody has taken back yet, and when the first of it is tried next.
    pub unseen_at: Option<DateTime<Utc>>,
    /// Grants that nobody has answered for, and when the first of them is asked about next.
    pub ask_at: Option<DateTime<Utc>>,
    /// So long what is open is waited for.
    pub drain_by: DateTime<Utc>,
    /// Then the tokens go, whatever anybody says.
    pub shred_by: DateTime<Utc>,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it is over.
    End,
    /// Nothing before then.
    WaitUntil(DateTime<Utc>),
    /// What networks keep unseen is taken back, as far as that is due.
    TakeBack,
    /// The networks are asked about the grants that are due.
    Ask,
    /// The tokens are destroyed.
    Shred,
    /// The next part of the next store is emptied.
    Purge,
    /// Every store is looked at again.
    Verify,
    /// The person is told.
    Tell,
    /// What says whom it was about goes.
    Forget,
    /// On to the next stage.
    Turn(Turn),
}

/// What to do about a request as it stands. Asked by the holder of its one job.
pub fn next(it: &Standing, now: DateTime<Utc>) -> Step {
    match it.stage {
        Stage::Draining => drain(it, now),
        Stage::Revoking => revoke(it, now),
        Stage::Shredding => Step::Shred,
        Stage::Purging => Step::Purge,
        Stage::Verifying => Step::Verify,
        Stage::Telling => Step::Tell,
        Stage::Forgetting => Step::Forget,
        Stage::Done => Step::End,
    }
}

/// No grant is taken back while something is on the wire that needs it; but the tokens go in time all the same.
fn drain(it: &Standing, now: DateTime<Utc>) -> Step {
    let wait = |until: DateTime<Utc>| Step::WaitUntil(until.max(now + LOOK).min(it.shred_by));
    match it.wire_until {
        _ if now >= it.shred_by => Step::Turn(Turn::Drained),
        Some(until) => wait(until),
        None if it.open && now < it.drain_by => wait(now),
        None => Step::Turn(Turn::Drained),
    }
}

/// What is unseen at the networks is taken back first: once a grant is, nobody can.
fn revoke(it: &Standing, now: DateTime<Utc>) -> Step {
    let (at, step) = match (it.unseen_at, it.ask_at) {
        (Some(at), _) => (at, Step::TakeBack),
        (None, Some(at)) => (at, Step::Ask),
        (None, None) => return Step::Turn(Turn::Revoked),
    };
    if now >= it.shred_by {
        Step::Turn(Turn::Revoked)
    } else if at > now {
        Step::WaitUntil(at.min(it.shred_by))
    } else {
        step
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    const DAY: i64 = 24 * 60;

    fn standing(stage: Stage) -> Standing {
        let (drain_by, shred_by) = (at(10), at(DAY));
        Standing { stage, wire_until: None, open: false, unseen_at: None, ask_at: None, drain_by, shred_by }
    }

    #[test]
    fn what_is_on_the_wire_is_waited_for_and_what_is_merely_open_for_a_while() {
        let idle = standing(Stage::Draining);
        assert_eq!(next(&idle, at(0)), Step::Turn(Turn::Drained));
        let open = Standing { open: true, ..idle };
        assert_eq!(next(&open, at(1)), Step::WaitUntil(at(1) + LOOK));
        assert_eq!(next(&open, at(10)), Step::Turn(Turn::Drained));
        let armed = Standing { wire_until: Some(at(12)), ..open };
        assert_eq!(next(&armed, at(11)), Step::WaitUntil(at(12)));
        assert_eq!(next(&armed, at(30)), Step::WaitUntil(at(30) + LOOK));
        assert_eq!(next(&armed, at(DAY)), Step::Turn(Turn::Drained));
    }

    #[test]
    fn networks_are_asked_until_they_answer_or_a_day_is_over() {
        let done = standing(Stage::Revoking);
        assert_eq!(next(&done, at(0)), Step::Turn(Turn::Revoked));
        let due = Standing { ask_at: Some(at(5)), ..done };
        assert_eq!(next(&due, at(4)), Step::WaitUntil(at(5)));
        assert_eq!(next(&due, at(5)), Step::Ask);
        assert_eq!(next(&due, at(DAY)), Step::Turn(Turn::Revoked));
        let late = Standing { ask_at: Some(at(DAY + 60)), ..done };
        assert_eq!(next(&late, at(DAY - 1)), Step::WaitUntil(at(DAY)));
    }

    #[test]
    fn what_is_unseen_is_taken_back_before_any_grant_is_and_not_waited_for_past_the_day() {
        let grants = Standing { ask_at: Some(at(1)), ..standing(Stage::Revoking) };
        let both = Standing { unseen_at: Some(at(5)), ..grants };
        assert_eq!(next(&both, at(2)), Step::WaitUntil(at(5)));
        assert_eq!(next(&both, at(5)), Step::TakeBack);
        assert_eq!(next(&grants, at(5)), Step::Ask);
        assert_eq!(next(&both, at(DAY)), Step::Turn(Turn::Revoked));
    }

    #[test]
    fn every_stage_is_left_by_its_turns_alone_and_the_last_by_none() {
        for stage in Stage::ALL {
            let out = Turn::ALL.iter().filter(|turn| turn.from() == *stage).count();
            assert_eq!(out == 0, *stage == Stage::Done, "{stage:?}");
            assert_eq!(Stage::parse(stage.word()), Some(*stage));
        }
        // only what is found left leads back, and never before the tokens are gone
        for turn in Turn::ALL {
            let back = turn.to() <= turn.from();
            assert_eq!(back, *turn == Turn::Found);
            assert!(!back || turn.to() > Stage::Shredding);
        }
    }

    proptest! {
        #[test]
        fn the_tokens_are_never_waited_for_past_their_day(
            minutes in 0..2 * DAY, wire in proptest::option::of(0..3 * DAY), open: bool,
            ask in proptest::option::of(0..3 * DAY), unseen in proptest::option::of(0..3 * DAY), revoking: bool,
        ) {
            let stage = if revoking { Stage::Revoking } else { Stage::Draining };
            let unseen_at = unseen.map(at);
            let it = Standing { wire_until: wire.map(at), open, unseen_at, ask_at: ask.map(at), ..standing(stage) };
            let now = at(minutes);
            match next(&it, now) {
                Step::WaitUntil(until) => {
                    prop_assert!(until > now && until <= it.shred_by, "{until} at {now}");
                }
                Step::Turn(turn) => {
                    prop_assert_eq!(turn.from(), stage);
                    let early = now < it.shred_by;
                    prop_assert!(!early || stage != Stage::Draining || it.wire_until.is_none());
                    prop_assert!(
                        !early || stage != Stage::Revoking || it.ask_at.is_none() && it.unseen_at.is_none()
                    );
                }
                Step::Ask => {
                    prop_assert!(now < it.shred_by && stage == Stage::Revoking && it.unseen_at.is_none());
                }
                Step::TakeBack => prop_assert!(now < it.shred_by && stage == Stage::Revoking),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
