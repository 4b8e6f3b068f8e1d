//! What people may do about a publication, by where it stands: as pure functions.

use crate::machine::{Move, State};

/// What a wish of people is measured by.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that the ledger tells")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Its state.
    pub state: State,
    /// What it waits for was committed and taken.
    pub committed: bool,
    /// A commit call is open, in doubt or in effect.
    pub commit_open: bool,
    /// Somebody works on it now.
    pub claimed: bool,
    /// Somebody wished it cancelled.
    pub wished: bool,
    /// Its handle was armed once, and is not proved dead.
    pub alive: bool,
}

/// What becomes of a wish to cancel (T17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// It is cancelled at once.
    Now,
    /// Who works on it cancels it; nothing is sent any more.
    Promise,
    /// It may be public: the wish is kept, and honoured if it turns out that it is not.
    Keep,
    /// Nobody knows whether it is public: people have to decide that first.
    Decide,
    /// It is over.
    Over,
}

/// What becomes of a wish to change what would be sent, or when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// It is changed; what is prepared is renewed (T7').
    Now,
    /// It may be public already.
    InEffect,
    /// What was armed once is not proved dead.
    Alive,
    /// Nobody knows whether it is public: people have to decide that first.
    Decide,
    /// Somebody wished it cancelled.
    Wished,
    /// It is public, or was cancelled.
    Over,
}

/// What becomes of a wish to try again (T21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It is tried again.
    Now,
    /// It is under way and needs no help.
    UnderWay,
    /// Its outcome is not known: only evidence leads on.
    Unknown,
    /// Nobody knows whether it is public: people have to decide that first.
    Decide,
    /// Somebody wished it cancelled.
    Wished,
    /// It is public, or was cancelled.
    Over,
}

/// A person's word on what nobody could prove, and what it is measured by besides where the publication stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// It is public.
    pub published: bool,
    /// What was sent may still be on its way.
    pub quarantined: bool,
    /// The network has said meanwhile that what was sent took effect.
    pub heard: bool,
}

/// What becomes of a person's word (T18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decide {
    /// It is decided by this move.
    Now(Move),
    /// Nothing can be seen yet that stays so: later.
    Later,
    /// It is held as too late, and nothing of it was sent that may take effect: there is nothing to decide.
    NeverSent,
    /// The network has said the contrary.
    Heard,
    /// It is not held.
    NotHeld,
}

/// What becomes of a wish to cancel.
pub fn cancel(it: &Stand) -> Cancel {
    match it.state {
        State::Published | State::Failed | State::Cancelled => Cancel::Over,
        State::Armed | State::Unknown => Cancel::Keep,
        State::Waiting if it.committed => Cancel::Keep,
        State::Held if it.commit_open || it.alive => Cancel::Decide,
        State::Scheduled | State::Prepared | State::Waiting | State::RetryWait if it.alive => Cancel::Keep,
        State::Preparing => Cancel::Promise,
        State::Scheduled | State::Prepared | State::Waiting | State::RetryWait | State::Held => {
            if it.claimed { Cancel::Promise } else { Cancel::Now }
        }
    }
}

/// What becomes of a wish to change it.
pub fn edit(it: &Stand) -> Edit {
    match it.state {
        State::Published | State::Cancelled => Edit::Over,
        State::Armed | State::Unknown => Edit::InEffect,
        State::Waiting if it.committed => Edit::InEffect,
        State::Failed | State::Held if it.commit_open => Edit::Decide,
        State::Scheduled
        | State::Preparing
        | State::Prepared
        | State::Waiting
        | State::RetryWait
        | State::Failed
        | State::Held => match (it.wished, it.alive) {
            (true, _) => Edit::Wished,
            (false, true) => Edit::Alive,
            (false, false) => Edit::Now,
        },
    }
}

/// What becomes of a wish to try again.
pub fn retry(it: &Stand) -> Retry {
    match it.state {
        State::Published | State::Cancelled => Retry::Over,
        State::Unknown => Retry::Unknown,
        State::Failed | State::Held if it.commit_open => Retry::Decide,
        State::Failed | State::Held if it.wished => Retry::Wished,
        State::Failed | State::Held => Retry::Now,
        State::Scheduled
        | State::Preparing
        | State::Prepared
        | State::Waiting
        | State::Armed
        | State::RetryWait => Retry::UnderWay,
    }
}

/// What becomes of a person's word.
pub fn decide(it: &Stand, word: Word) -> Decide {
    match it.state {
        State::Held if !it.commit_open && !it.alive => Decide::NeverSent,
        State::Held if word.quarantined => Decide::Later,
        State::Held if word.published => Decide::Now(Move::Attest),
        State::Held if word.heard => Decide::Heard,
        State::Held => Decide::Now(Move::Deny),
        State::Scheduled
        | State::Preparing
        | State::Prepared
        | State::Waiting
        | State::Armed
        | State::Unknown
        | State::RetryWait
        | State::Published
        | State::Failed
        | State::Cancelled => Decide::NotHeld,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way in which a publication can stand.
    fn all() -> impl Iterator<Item = Stand> {
        let flags = |n: u8| [1, 2, 4, 8, 16].map(|bit| n & bit != 0);
        State::ALL.iter().flat_map(move |&state| {
            (0..32).map(move |n| {
                let [committed, commit_open, claimed, wished, alive] = flags(n);
                Stand { state, committed, commit_open, claimed, wished, alive }
            })
        })
    }

    #[test]
    fn only_what_failed_or_was_too_late_is_tried_again() {
        for it in all().filter(|it| retry(it) == Retry::Now) {
            assert!(Move::Redrive.from().contains(&it.state), "{it:?}");
            assert!(!it.commit_open, "{it:?}");
            assert!(!it.wished, "{it:?}");
        }
    }

    #[test]
    fn what_may_be_public_is_never_called_cancelled() {
        for it in all().filter(|it| cancel(it) == Cancel::Now) {
            assert!(Move::Cancel.from().contains(&it.state) && it.state != State::Preparing, "{it:?}");
            assert!(!(it.state == State::Waiting && it.committed), "{it:?}");
            assert!(!(it.state == State::Held && it.commit_open), "{it:?}");
            assert!(!it.alive, "{it:?}");
        }
    }

    #[test]
    fn a_person_decides_only_what_was_sent_and_is_held_and_not_before_its_quarantine_is_over() {
        for it in all() {
            for n in 0..8_u8 {
                let [published, quarantined, heard] = [1, 2, 4].map(|bit| n & bit != 0);
                let Decide::Now(step) = decide(&it, Word { published, quarantined, heard }) else { continue };
                assert!(step.from().contains(&it.state) && (it.commit_open || it.alive), "{it:?}");
                assert!(!quarantined && (published || !heard), "{it:?}");
                assert_eq!(step.to() == State::Published, published, "{it:?}");
            }
        }
        let held = all().find(|it| it.state == State::Held && it.commit_open).expect("one is held");
        let word = Word { published: false, quarantined: false, heard: false };
        assert_eq!(decide(&held, word), Decide::Now(Move::Deny));
        assert_eq!(decide(&Stand { commit_open: false, alive: false, ..held }, word), Decide::NeverSent);
        assert_eq!(decide(&held, Word { quarantined: true, ..word }), Decide::Later);
        assert_eq!(decide(&held, Word { heard: true, ..word }), Decide::Heard);
    }

    #[test]
    fn what_may_still_become_public_is_not_changed() {
        for it in all().filter(|it| edit(it) == Edit::Now) {
            assert!(!it.alive && !it.wished, "{it:?}");
            assert!(!matches!(it.state, State::Armed | State::Unknown | State::Published), "{it:?}");
            assert!(!(it.state == State::Waiting && it.committed), "{it:?}");
        }
    }
}
