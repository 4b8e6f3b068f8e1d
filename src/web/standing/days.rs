//! Numbers day by day: a day of which a network said nothing is a gap, and stays one in every sum.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use jobs::metrics::{Period, series::Series};

/// A network's day ends at some midnight of its own: whose day it is that is half a day before.
const HALF: TimeDelta = TimeDelta::hours(12);

/// One number a day, or a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    first: NaiveDate,
    values: Vec<Option<i64>>,
}

/// What days come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    /// All that was told; none: nothing was.
    pub sum: Option<i64>,
    /// Of so many days.
    pub told: usize,
    /// Out of so many.
    pub days: usize,
}

impl Days {
    /// From one day until before another, and nothing told yet.
    pub fn between(first: NaiveDate, end: NaiveDate) -> Self {
        let days = usize::try_from((end - first).num_days()).unwrap_or_default();
        Self { first, values: vec![None; days] }
    }

    /// The same with a nought for each day: what is known to be none is no gap.
    pub fn of_none(first: NaiveDate, end: NaiveDate) -> Self {
        let mut days = Self::between(first, end);
        days.values.fill(Some(0));
        days
    }

    /// What is told of a day; what was told of it before counts no more, unless this is nothing.
    pub fn put(&mut self, day: NaiveDate, value: Option<i64>) {
        if let Some(place) = self.place(day)
            && value.is_some()
        {
            self.values[place] = value;
        }
    }

    /// What series tell under this name: of a day what networks say of it, of all time the last look of each day.
    pub fn read(&mut self, series: &[Series], name: &str) {
        for series in series {
            let Some(values) = series.of(name) else { continue };
            for (at, value) in series.at.iter().zip(values) {
                self.put(day_of(series.period, *at), *value);
            }
        }
    }

    /// The days from one until before another, as far as they are here.
    pub fn of(&self, first: NaiveDate, end: NaiveDate) -> &[Option<i64>] {
        let place = |day: NaiveDate| {
            usize::try_from((day - self.first).num_days()).unwrap_or_default().min(self.values.len())
        };
        let (from, to) = (place(first), place(end));
        self.values.get(from..to).unwrap_or_default()
    }

    /// The last number that was told from one day until before another.
    pub fn last(&self, first: NaiveDate, end: NaiveDate) -> Option<i64> {
        self.of(first, end).iter().rev().find_map(|value| *value)
    }

    fn place(&self, day: NaiveDate) -> Option<usize> {
        let place = usize::try_from((day - self.first).num_days()).ok()?;
        (place < self.values.len()).then_some(place)
    }
}

fn day_of(period: Period, at: DateTime<Utc>) -> NaiveDate {
    if period == Period::Day { (at - HALF).date_naive() } else { at.date_naive() }
}

impl Sum {
    /// Of these days.
    pub fn of(days: &[Option<i64>]) -> Self {
        let told = days.iter().flatten().count();
        let sum = days.iter().flatten().fold(0_i64, |sum, value| sum.saturating_add(*value));
        Self { sum: (told > 0).then_some(sum), told, days: days.len() }
    }

    /// Whether something is missing of it.
    pub const fn has_gaps(&self) -> bool {
        self.told < self.days
    }

    /// By how much more it is than before, a day that was told against a day that was told, in tenths of a percent. None
    /// where more than half of the days of either are missing, or there was nothing before.
    pub fn change(self, before: Self) -> Option<i64> {
        let enough = |it: Self| it.told > 0 && it.told * 2 >= it.days;
        if !enough(self) || !enough(before) {
            return None;
        }
        let mean = |sum: i64, days: usize| Some(i128::from(sum) * i128::try_from(days).ok()?);
        tenths(mean(self.sum?, before.told)?, mean(before.sum?, self.told)?)
    }
}

/// By how many tenths of a percent one is more than the other, rounded; none: of nothing there is no part.
pub fn tenths(now: i128, before: i128) -> Option<i64> {
    if before <= 0 {
        return None;
    }
    let more = (now - before) * 1_000;
    let half = if more < 0 { -before / 2 } else { before / 2 };
    i64::try_from((more + half) / before).ok()
}

#[cfg(test)]
mod tests {
    use jobs::metrics::{packed::pack, series};

    use super::*;

    fn day(number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, number).expect("a day")
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_gap_is_no_nought_and_nothing_told_has_no_sum() {
        let some = Sum::of(&[Some(3), None, Some(0)]);
        assert_eq!(some, Sum { sum: Some(3), told: 2, days: 3 });
        assert!(some.has_gaps());
        assert_eq!(Sum::of(&[None, None]), Sum { sum: None, told: 0, days: 2 });
    }

    #[test]
    fn what_is_missing_makes_no_fall() {
        let (whole, half) = (Sum::of(&[Some(10); 4]), Sum::of(&[Some(10), None, Some(10), None]));
        assert_eq!(half.change(whole), Some(0), "the same on each day that was told");
        assert_eq!(Sum::of(&[Some(15), Some(15), None, None]).change(whole), Some(500));
        assert_eq!(Sum::of(&[Some(10), None, None, None]).change(whole), None, "too little was told");
        assert_eq!(whole.change(Sum::of(&[None; 4])), None);
        assert_eq!(whole.change(Sum::of(&[Some(0); 4])), None, "of nothing there is no part");
        assert_eq!((tenths(2, 3), tenths(4, 3), tenths(1, -1)), (Some(-333), Some(333), None));
    }

    #[test]
    fn a_day_is_the_networks_and_the_last_look_of_a_day_counts() {
        // 20: views of a Page, day by day; 102: followers on Instagram, of all time
        let row = |captured: &str, told: &[_]| series::Row { captured_at: at(captured), points: pack(told) };
        let rows = [
            row("2026-11-10T08:00:00Z", &[(None, 102, Some(7))]),
            row("2026-11-10T20:00:00Z", &[(None, 102, Some(9))]),
            row(
                "2026-11-12T20:00:00Z",
                &[(None, 102, None), (Some(at("2026-11-12T08:00:00Z")), 20, Some(5))],
            ),
        ];
        let (series, readable) = series::columns(&rows);
        assert!(readable);
        let (mut followers, mut views) = (Days::between(day(9), day(13)), Days::between(day(9), day(13)));
        followers.read(&series, "followers");
        views.read(&series, "views");
        assert_eq!(followers.of(day(9), day(13)), [None, Some(9), None, None]);
        assert_eq!(views.of(day(9), day(13)), [None, None, Some(5), None], "it ended in the morning after");
        assert_eq!((followers.last(day(9), day(13)), followers.last(day(11), day(13))), (Some(9), None));
        assert!(views.of(day(20), day(25)).is_empty() && views.of(day(12), day(10)).is_empty());
        assert_eq!(Days::of_none(day(1), day(3)).of(day(1), day(9)), [Some(0), Some(0)]);
    }
}
