//! Whose limits at the networks are nearly used up, as this worker has lately heard: what is left of them is for what is
//! to be published, and whoever goes last stays away.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use uuid::Uuid;

/// Whose limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// Of all accounts of an app together.
    App(&'static str),
    /// Of one account.
    Account(Uuid),
}

/// The limits that are nearly used up, each with when that was heard last.
#[derive(Debug, Default)]
pub(super) struct Usage(Mutex<HashMap<Whose, Duration>>);

impl Usage {
    /// Remembers what was last heard of a limit.
    pub fn heard(&self, whose: Whose, near: bool, now: Duration) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if near {
            heard.insert(whose, now);
        } else {
            heard.remove(&whose);
        }
    }

    /// How long whoever is under all these limits stays away yet, where that is for `rest` after it was heard.
    pub fn rest(&self, limits: &[Whose], rest: Duration, now: Duration) -> Option<Duration> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |whose: &Whose| heard.get(whose).map(|at| (*at + rest).saturating_sub(now));
        limits.iter().filter_map(left).max().filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_mins(10);
    const META: Whose = Whose::App("meta");

    fn at(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    #[test]
    fn what_was_heard_near_a_limit_holds_for_its_rest_and_for_nobody_else() {
        let (one, other) = (Whose::Account(Uuid::from_u128(1)), Whose::Account(Uuid::from_u128(2)));
        let usage = Usage::default();
        usage.heard(one, true, at(100));
        assert_eq!(usage.rest(&[META, one], REST, at(103)), Some(at(7)));
        assert_eq!(usage.rest(&[META, other], REST, at(103)), None);
        assert_eq!(usage.rest(&[META, one], REST, at(110)), None);
        usage.heard(META, true, at(104));
        assert_eq!(usage.rest(&[META, other], REST, at(105)), Some(at(9)));
        assert_eq!(usage.rest(&[META, one], REST, at(105)), Some(at(9)), "the longer of both");
    }

    #[test]
    fn what_is_free_again_is_free_at_once() {
        let usage = Usage::default();
        usage.heard(META, true, at(100));
        usage.heard(META, false, at(101));
        assert_eq!(usage.rest(&[META], REST, at(102)), None);
    }
}
