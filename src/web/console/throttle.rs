//! Slows down whoever guesses passwords: by address and e-mail, in memory.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// So many failures are free.
pub const FREE: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_mins(15);
/// Beyond this the oldest are forgotten: memory must not grow with the crowd.
const MOST: usize = 10_000;

/// Failures, by who.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<HashMap<String, Failures>>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    number: u32,
    last: Duration,
}

impl Failures {
    fn free_at(self) -> Duration {
        let over = self.number.saturating_sub(FREE);
        if over == 0 {
            return Duration::ZERO;
        }
        self.last + FIRST_WAIT.saturating_mul(2_u32.saturating_pow(over - 1)).min(LONGEST_WAIT)
    }
}

impl Throttle {
    /// How long they still have to wait; `now` only grows.
    pub fn wait(&self, who: &str, now: Duration) -> Option<Duration> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(who).copied()?;
        failures.free_at().checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// They failed, as often by now.
    pub fn failed(&self, who: &str, now: Duration) -> u32 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, it| it.last + LONGEST_WAIT > now);
        if all.len() >= MOST
            && let Some(oldest) = all.iter().min_by_key(|(_, it)| it.last).map(|(who, _)| who.clone())
        {
            all.remove(&oldest);
        }
        let failures = all.entry(who.to_owned()).or_insert(Failures { number: 0, last: now });
        *failures = Failures { number: failures.number + 1, last: now };
        failures.number
    }

    /// They are in, after so many failures.
    pub fn passed(&self, who: &str) -> u32 {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(who);
        before.map_or(0, |it| it.number)
    }
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
        assert_eq!(throttle.wait("a", now), Some(FIRST_WAIT));
        throttle.failed("a", now);
        assert_eq!(throttle.wait("a", now), Some(FIRST_WAIT * 2));
        assert_eq!(throttle.wait("b", now), None);
        assert_eq!(throttle.wait("a", now + Duration::from_secs(10)), None);
        throttle.passed("a");
        assert_eq!(throttle.wait("a", now), None);
    }

    #[test]
    fn a_crowd_does_not_grow_the_memory() {
        let throttle = Throttle::default();
        for n in 0..MOST + 50 {
            throttle.failed(&n.to_string(), Duration::from_secs(1));
        }
        assert_eq!(throttle.0.lock().expect("unpoisoned").len(), MOST);
    }
}
