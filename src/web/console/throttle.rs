//! Slows down whoever does the same again and again, such as guessing passwords; in memory.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};

/// So many failures are free.
pub const FREE: u32 = 5;
/// So many are free in all where many may fail: with one e-mail address from everywhere, at one network with all.
pub const FREE_TOGETHER: u32 = 20;
/// Beyond this the oldest are forgotten: memory must not grow with the crowd.
const MOST: usize = 10_000;
/// After so long without a failure nothing is held against anybody.
const KEPT: Duration = Duration::from_mins(15);

/// How failures slow somebody down: the first that is not free costs a wait, and each further one twice as much.
#[derive(Debug, Clone, Copy)]
struct Pace {
    free: u32,
    first: Duration,
    longest: Duration,
}

/// Failures, by who.
#[derive(Debug)]
pub struct Throttle {
    pace: Pace,
    // by a digest, which is short whatever somebody calls themselves, and names nobody
    all: Mutex<All>,
}

type All = HashMap<[u8; 32], Failures>;

#[derive(Debug, Clone, Copy)]
struct Failures {
    number: u32,
    last: Duration,
}

impl Failures {
    fn free_at(self, pace: Pace) -> Duration {
        let over = self.number.saturating_sub(pace.free);
        if over == 0 {
            return Duration::ZERO;
        }
        self.last + pace.first.saturating_mul(2_u32.saturating_pow(over - 1)).min(pace.longest)
    }
}

fn digest(who: &str) -> [u8; 32] {
    Sha256::digest(who).into()
}

impl Default for Throttle {
    fn default() -> Self {
        Self::of(Pace { free: FREE, first: Duration::from_secs(5), longest: KEPT })
    }
}

impl Throttle {
    fn of(pace: Pace) -> Self {
        Self { pace, all: Mutex::default() }
    }

    /// For what many may do: as strict in the end, and later.
    pub fn of_many() -> Self {
        Self::of(Pace { free: FREE_TOGETHER, first: Duration::from_secs(5), longest: KEPT })
    }

    /// For what others may do in somebody's name: a slow pace, and never so slow that they are locked out.
    pub fn mild() -> Self {
        Self::of(Pace {
            free: FREE_TOGETHER,
            first: Duration::from_secs(5),
            longest: Duration::from_secs(10),
        })
    }

    /// How long they still have to wait; `now` only grows.
    pub fn wait(&self, who: &str, now: Duration) -> Option<Duration> {
        self.left(&self.all.lock().unwrap_or_else(PoisonError::into_inner), who, now)
    }

    /// They try something that takes a while to judge, as often by now. It counts as a failure until they have passed: of many
    /// tries at once no more are free than of as many one after the other.
    ///
    /// # Errors
    /// They still have to wait for so long, and this is not counted.
    pub fn attempt(&self, who: &str, now: Duration) -> Result<u32, Duration> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        match self.left(&all, who, now) {
            Some(wait) => Err(wait),
            None => Ok(count(&mut all, who, now)),
        }
    }

    /// They failed, as often by now.
    pub fn failed(&self, who: &str, now: Duration) -> u32 {
        count(&mut self.all.lock().unwrap_or_else(PoisonError::into_inner), who, now)
    }

    /// They are in, after so many failures.
    pub fn passed(&self, who: &str) -> u32 {
        let before = self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest(who));
        before.map_or(0, |it| it.number)
    }

    fn left(&self, all: &All, who: &str, now: Duration) -> Option<Duration> {
        let free_at = all.get(&digest(who))?.free_at(self.pace);
        free_at.checked_sub(now).filter(|wait| !wait.is_zero())
    }
}

fn count(all: &mut All, who: &str, now: Duration) -> u32 {
    all.retain(|_, it| it.last + KEPT > now);
    if all.len() >= MOST
        && let Some(oldest) = all.iter().min_by_key(|(_, it)| it.last).map(|(who, _)| *who)
    {
        all.remove(&oldest);
    }
    let failures = all.entry(digest(who)).or_insert(Failures { number: 0, last: now });
    *failures = Failures { number: failures.number + 1, last: now };
    failures.number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_some_failures_each_costs_twice_the_wait() {
        let throttle = Throttle::default();
        let now = Duration::from_secs(100);
        for _ in 0..FREE {
            assert_eq!(throttle.wait("a", now), None);
            throttle.failed("a", now);
        }
        throttle.failed("a", now);
        assert_eq!(throttle.wait("a", now), Some(Duration::from_secs(5)));
        throttle.failed("a", now);
        assert_eq!(throttle.wait("a", now), Some(Duration::from_secs(10)));
        assert_eq!(throttle.wait("b", now), None);
        assert_eq!(throttle.wait("a", now + Duration::from_secs(10)), None);
        throttle.passed("a");
        assert_eq!(throttle.wait("a", now), None);
    }

    #[test]
    fn who_tries_counts_until_they_have_passed_and_who_waits_does_not() {
        let throttle = Throttle::default();
        let now = Duration::from_secs(100);
        for n in 1..=FREE + 1 {
            assert_eq!(throttle.attempt("a", now), Ok(n));
        }
        for _ in 0..3 {
            assert_eq!(throttle.attempt("a", now), Err(Duration::from_secs(5)));
        }
        assert_eq!(throttle.attempt("a", now + Duration::from_secs(5)), Ok(FREE + 2));
        assert_eq!(throttle.passed("a"), FREE + 2);
        assert_eq!(throttle.attempt("a", now), Ok(1));
    }

    #[test]
    fn what_others_do_in_somebodys_name_slows_them_down_and_never_locks_them_out() {
        let (throttle, now) = (Throttle::mild(), Duration::from_secs(100));
        for _ in 0..FREE_TOGETHER {
            assert_eq!(throttle.wait("a", now), None);
            throttle.failed("a", now);
        }
        for _ in 0..100 {
            throttle.failed("a", now);
            assert!(throttle.wait("a", now).is_some());
            assert_eq!(throttle.wait("a", now + Duration::from_secs(10)), None);
        }
    }

    #[test]
    fn a_crowd_does_not_grow_the_memory() {
        let throttle = Throttle::default();
        for n in 0..MOST + 50 {
            throttle.failed(&n.to_string(), Duration::from_secs(1));
        }
        assert_eq!(throttle.all.lock().expect("unpoisoned").len(), MOST);
    }
}
