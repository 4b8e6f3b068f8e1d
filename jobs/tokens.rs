//! How an account's access is kept alive: the states of a refresh and every way between them, as pure functions.
//!
//! `IDLE(g) → REFRESHING(g, call) → IDLE(g+1)`, where `g` is the generation of the account's tokens. Where nobody knows
//! what became of the call, `REFRESHING → SUSPECT → IDLE(g+1) | RECONNECT`. Nothing here reads a clock, a database or
//! a network. The ledger takes the states that a turn leaves from [`Turn::from`], so no state is named twice.

use chrono::{DateTime, TimeDelta, Utc};

use crate::preflight::AccountState;

/// How often access is looked after that nothing ends soon.
pub const LOOK_AFTER: TimeDelta = TimeDelta::hours(24);

/// The least time between one look and the next.
const LOOK_LEAST: TimeDelta = TimeDelta::minutes(10);

/// Where an account's refresh stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing is under way.
    Idle,
    /// The intent to refresh is durable; one call may be on the wire.
    Refreshing,
    /// Nobody knows whether the last call took effect. The refresh token that is kept may be spent.
    Suspect,
}

impl Phase {
    /// Every phase.
    pub const ALL: &'static [Self] = &[Self::Idle, Self::Refreshing, Self::Suspect];

    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Refreshing => "refreshing",
            Self::Suspect => "suspect",
        }
    }

    /// The phase of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|phase| phase.word() == word)
    }
}

/// A way from one phase to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Turn {
    /// Logs a call before it is sent. Single flight: only from `IDLE`, only of the generation that was seen.
    Begin,
    /// Logs another call with the token that is kept, because nobody knows what became of the last one.
    Try,
    /// Whoever sent the call is gone, or has no answer.
    Doubt,
    /// The new pair is sealed and kept, and the generation grows. Evidence: not fenced, and taken also where the account
    /// was given up before it came.
    Save,
    /// The network has certainly not taken the call.
    Spare,
    /// The network takes the refresh token no more: the owner has to connect the account again.
    GiveUp,
}

impl Turn {
    /// The phases that it leaves.
    pub const fn from(self) -> &'static [Phase] {
        match self {
            Self::Begin => &[Phase::Idle],
            Self::Try => &[Phase::Suspect],
            Self::Save => Phase::ALL,
            Self::Doubt | Self::Spare | Self::GiveUp => &[Phase::Refreshing, Phase::Suspect],
        }
    }

    /// The phase that it leads to. What was in doubt before stays so when a later call certainly had no effect.
    pub const fn to(self, from: Phase) -> Phase {
        match self {
            Self::Begin => Phase::Refreshing,
            Self::Try | Self::Doubt => Phase::Suspect,
            Self::Save | Self::GiveUp => Phase::Idle,
            Self::Spare => match from {
                Phase::Suspect => Phase::Suspect,
                Phase::Idle | Phase::Refreshing => Phase::Idle,
            },
        }
    }
}

/// What the machine decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether the account may be used.
    pub state: AccountState,
    /// Where its refresh stands.
    pub phase: Phase,
    /// The last call was not judged: until when its sender may still have its answer.
    pub open_until: Option<DateTime<Utc>>,
    /// From when on its access is renewed; none: there is nothing to renew it with, or it has no end.
    pub renew_from: Option<DateTime<Utc>>,
    /// Something to renew it with is kept.
    pub renewable: bool,
}

/// Why somebody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Its time has come.
    Routine,
    /// A publication needs access that holds: it is renewed before its time.
    Renewal,
    /// A person asked: also where the owner was told to connect it again.
    Person,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    End,
    /// Whoever sent the open call may still come back with its answer.
    WaitUntil(DateTime<Utc>),
    /// The open call is in doubt from now on.
    Doubt,
    /// A call, logged by this turn.
    Send(Turn),
    /// The network is asked what is left of the access.
    Examine,
}

/// What to do with an account's access as it stands. Asked by the holder of its one job, before that has begun a call:
/// an open call is another's.
pub fn next(it: &Standing, wish: Wish, now: DateTime<Utc>) -> Step {
    match it.state {
        AccountState::Frozen | AccountState::Erased => return Step::End,
        AccountState::Reconnect if wish != Wish::Person => return Step::End,
        AccountState::Active | AccountState::Paused | AccountState::Reconnect => {}
    }
    match (it.phase, it.open_until) {
        (Phase::Refreshing | Phase::Suspect, Some(until)) if now < until => Step::WaitUntil(until),
        (Phase::Refreshing, _) | (Phase::Suspect, Some(_)) => Step::Doubt,
        (Phase::Suspect, None) => Step::Send(Turn::Try),
        (Phase::Idle, _) if it.renewable && is_due(it, wish, now) => Step::Send(Turn::Begin),
        (Phase::Idle, _) => Step::Examine,
    }
}

fn is_due(it: &Standing, wish: Wish, now: DateTime<Utc>) -> bool {
    match wish {
        Wish::Routine => it.renew_from.is_some_and(|from| from <= now),
        Wish::Renewal | Wish::Person => true,
    }
}

/// What a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Said {
    /// A new pair.
    Yes,
    /// The refresh token is dead.
    Dead,
    /// It certainly had no effect.
    No,
    /// Nobody knows.
    Unknown,
}

/// The turn that follows from what a call came to. `GiveUp` is refused where the generation has grown: somebody won.
pub const fn after(said: Said) -> Turn {
    match said {
        Said::Yes => Turn::Save,
        Said::Dead => Turn::GiveUp,
        Said::No => Turn::Spare,
        Said::Unknown => Turn::Doubt,
    }
}

/// Half of a token's life, from when on it is renewed, so that a renewal that is lost leaves access that still works.
pub fn half_life(issued: DateTime<Utc>, ends: DateTime<Utc>) -> DateTime<Utc> {
    issued + (ends - issued) / 2
}

/// When access is looked after next: at the half life of what ends first, and once a day whatever happens.
pub fn look_after(renew_from: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    let daily = now + LOOK_AFTER;
    renew_from.map_or(daily, |from| from.min(daily))
}

/// The same of access that was looked at just now: what is to be renewed by then all the same waits a moment, so that a
/// life of seconds leads to no call after call.
pub fn look_again(renew_from: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    look_after(renew_from.map(|from| from.max(now + LOOK_LEAST)), now)
}

/// From when on access is renewed: half of the shortest life, of each token when it was issued and when it ends.
pub fn renew_from(lives: &[(DateTime<Utc>, Option<DateTime<Utc>>)]) -> Option<DateTime<Utc>> {
    lives.iter().filter_map(|(issued, ends)| ends.map(|ends| half_life(*issued, ends))).min()
}

/// The same of a pair that was not renewed yet: where nobody knows when it ends it may end any time, so at once.
pub fn renew_new_from(issued: DateTime<Utc>, ends: [Option<DateTime<Utc>>; 2]) -> DateTime<Utc> {
    renew_from(&ends.map(|ends| (issued, ends))).unwrap_or(issued)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    const FRESH: Standing = Standing {
        state: AccountState::Active,
        phase: Phase::Idle,
        open_until: None,
        renew_from: None,
        renewable: true,
    };

    #[test]
    fn access_is_renewed_at_its_half_life_and_otherwise_looked_at() {
        let it = Standing { renew_from: Some(half_life(at(0), at(60))), ..FRESH };
        assert_eq!(next(&it, Wish::Routine, at(29)), Step::Examine);
        assert_eq!(next(&it, Wish::Routine, at(30)), Step::Send(Turn::Begin));
        assert_eq!(next(&it, Wish::Renewal, at(1)), Step::Send(Turn::Begin));
        let bare = Standing { renewable: false, ..it };
        assert_eq!(next(&bare, Wish::Person, at(30)), Step::Examine);
    }

    #[test]
    fn what_is_deleted_is_left_alone_and_what_is_broken_waits_for_a_person() {
        for state in [AccountState::Frozen, AccountState::Erased] {
            assert_eq!(next(&Standing { state, ..FRESH }, Wish::Person, at(0)), Step::End);
        }
        let broken = Standing { state: AccountState::Reconnect, ..FRESH };
        assert_eq!(next(&broken, Wish::Renewal, at(0)), Step::End);
        assert_eq!(next(&broken, Wish::Person, at(0)), Step::Send(Turn::Begin));
    }

    #[test]
    fn a_call_of_somebody_who_is_gone_is_doubted_when_its_time_is_over_and_tried_once_more() {
        let lost = Standing { phase: Phase::Refreshing, open_until: Some(at(5)), ..FRESH };
        assert_eq!(next(&lost, Wish::Routine, at(4)), Step::WaitUntil(at(5)));
        assert_eq!(next(&lost, Wish::Routine, at(5)), Step::Doubt);
        let doubted = Standing { phase: Turn::Doubt.to(Phase::Refreshing), open_until: None, ..lost };
        assert_eq!(next(&doubted, Wish::Routine, at(5)), Step::Send(Turn::Try));
        let tried = Standing { open_until: Some(at(9)), ..doubted };
        assert_eq!(next(&tried, Wish::Routine, at(9)), Step::Doubt);
    }

    #[test]
    fn a_certain_no_ends_no_doubt() {
        assert_eq!(after(Said::No).to(Phase::Refreshing), Phase::Idle);
        assert_eq!(after(Said::No).to(Phase::Suspect), Phase::Suspect);
        assert_eq!(after(Said::Unknown).to(Phase::Suspect), Phase::Suspect);
    }

    #[test]
    fn what_ends_first_decides_and_a_day_is_the_longest() {
        let lives = [(at(0), None), (at(0), Some(at(600))), (at(0), Some(at(60)))];
        assert_eq!(renew_from(&lives), Some(at(30)));
        assert_eq!(renew_from(&lives[..1]), None);
        assert_eq!(renew_new_from(at(0), [None, Some(at(60))]), at(30));
        assert_eq!(renew_new_from(at(0), [None, None]), at(0), "it may be over already");
        assert_eq!(look_after(Some(at(30)), at(0)), at(30));
        assert_eq!(look_after(Some(at(100_000)), at(0)), at(24 * 60));
        assert_eq!(look_after(None, at(0)), at(24 * 60));
        assert_eq!(look_again(Some(at(30)), at(0)), at(30));
        assert_eq!(look_again(Some(at(30)), at(40)), at(50), "it has just been looked at");
    }
}
