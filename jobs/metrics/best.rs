//! When an account's posts did best, told from its own posts alone and with how many there were.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Timelike, Utc, Weekday};

/// How many hours one part of a day has.
pub const HOURS: u32 = 3;

/// A part of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The day.
    pub day: Weekday,
    /// The hour that it begins with, in UTC.
    pub hour: u32,
    /// The middle one of the posts' numbers.
    pub median: i64,
    /// Of so many posts.
    pub posts: usize,
}

/// The parts of the week that posts came out in, the best first; of those that are alike the one with more posts.
pub fn slots(posts: &[(DateTime<Utc>, i64)]) -> Vec<Slot> {
    let mut by_slot: BTreeMap<(u32, u32), Vec<i64>> = BTreeMap::new();
    for (at, number) in posts {
        let slot = (at.weekday().num_days_from_monday(), at.hour() / HOURS * HOURS);
        by_slot.entry(slot).or_default().push(*number);
    }
    let mut slots: Vec<Slot> =
        by_slot.into_iter().map(|((day, hour), numbers)| slot(day, hour, numbers)).collect();
    slots.sort_by_key(|slot| (std::cmp::Reverse(slot.median), std::cmp::Reverse(slot.posts)));
    slots
}

fn slot(day: u32, hour: u32, mut numbers: Vec<i64>) -> Slot {
    numbers.sort_unstable();
    let posts = numbers.len();
    let (low, high) = (numbers[(posts - 1) / 2], numbers[posts / 2]);
    let day = u8::try_from(day).ok().and_then(|day| Weekday::try_from(day).ok()).unwrap_or(Weekday::Mon);
    Slot { day, hour, median: low.midpoint(high), posts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn the_middle_one_counts_and_not_the_one_that_went_round_the_world() {
        let posts = [
            (at("2026-11-16T09:10:00Z"), 100),
            (at("2026-11-23T11:59:59Z"), 120),
            (at("2026-11-16T10:00:00Z"), 9_000),
            (at("2026-11-17T18:00:00Z"), 200),
            (at("2026-11-24T20:00:00Z"), 100),
        ];
        let slots = slots(&posts);
        assert_eq!(slots[0], Slot { day: Weekday::Tue, hour: 18, median: 150, posts: 2 });
        assert_eq!(slots[1], Slot { day: Weekday::Mon, hour: 9, median: 120, posts: 3 });
        assert_eq!(slots.len(), 2);
        assert!(super::slots(&[]).is_empty());
    }
}
