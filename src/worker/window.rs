//! How a network has lately answered this worker, and how much of that was asked again.

use std::{collections::VecDeque, time::Duration};

/// The time is counted in so many parts of the window, so that it slides.
const PARTS: u32 = 20;

/// Answers and visits of the last while.
#[derive(Debug)]
pub(super) struct Window {
    part: Duration,
    /// The latest last, each with the number of its part.
    counts: VecDeque<(u128, Counts)>,
}

/// What was counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Answers.
    pub well: u32,
    /// None, or a network that says that it is broken.
    pub ill: u32,
    /// Visits of attempts that are a job's first.
    pub firsts: u32,
    /// Visits of attempts that are not.
    pub retries: u32,
}

impl Counts {
    /// Whether at least `share` of at least `least` answers were none.
    pub fn fails(&self, share: f64, least: u32) -> bool {
        let all = self.well + self.ill;
        all >= least && f64::from(self.ill) >= share * f64::from(all)
    }

    /// Whether one more retry keeps within its share of all visits; one in a window always does.
    pub fn may_retry(&self, share: f64) -> bool {
        let all = self.firsts + self.retries + 1;
        self.retries == 0 || f64::from(self.retries + 1) <= share * f64::from(all)
    }
}

impl Window {
    /// An empty one of this length.
    pub fn new(length: Duration) -> Self {
        Self { part: length / PARTS, counts: VecDeque::new() }
    }

    /// Counts something at this moment.
    pub fn count(&mut self, now: Duration, what: impl FnOnce(&mut Counts)) {
        let part = self.forget(now);
        match self.counts.back_mut() {
            Some((last, counts)) if *last == part => what(counts),
            _ => {
                let mut counts = Counts::default();
                what(&mut counts);
                self.counts.push_back((part, counts));
            }
        }
    }

    /// All that was counted within the window before this moment.
    pub fn sum(&mut self, now: Duration) -> Counts {
        self.forget(now);
        self.counts.iter().fold(Counts::default(), |sum, (_, part)| Counts {
            well: sum.well + part.well,
            ill: sum.ill + part.ill,
            firsts: sum.firsts + part.firsts,
            retries: sum.retries + part.retries,
        })
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.counts.clear();
    }

    /// Drops what is too old, and gives the number of the present part.
    fn forget(&mut self, now: Duration) -> u128 {
        let part = now.as_nanos() / self.part.as_nanos().max(1);
        while self.counts.front().is_some_and(|(first, _)| first + u128::from(PARTS) <= part) {
            self.counts.pop_front();
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(20);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut window = Window::new(LENGTH);
        for second in 100..130 {
            window.count(at(second), |counts| counts.ill += 1);
        }
        assert_eq!(window.sum(at(129)).ill, 20);
        assert_eq!(window.sum(at(139)).ill, 10);
        assert_eq!(window.sum(at(1000)), Counts::default());
    }

    #[test]
    fn half_of_enough_answers_is_a_failure_and_half_of_a_few_is_none() {
        let counts = |well, ill| Counts { well, ill, ..Counts::default() };
        assert!(counts(10, 10).fails(0.5, 20));
        assert!(!counts(11, 10).fails(0.5, 20));
        assert!(!counts(0, 19).fails(0.5, 20));
        assert!(!counts(0, 0).fails(0.5, 1));
    }

    #[test]
    fn retries_keep_to_their_share_and_one_is_always_allowed() {
        let counts = |firsts, retries| Counts { firsts, retries, ..Counts::default() };
        assert!(counts(0, 0).may_retry(0.1), "where there is nothing else, one shows whether it works again");
        assert!(!counts(0, 1).may_retry(0.1));
        assert!(counts(18, 1).may_retry(0.1));
        assert!(!counts(17, 1).may_retry(0.1));
        assert!(counts(0, 50).may_retry(1.0));
    }
}
