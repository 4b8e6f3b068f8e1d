//! What a post or an account's month has come to, as figures: one for each thing that was counted, with what it was before
//! where the two can be compared.

use chrono::{DateTime, Months, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::metrics::{Metric, Period, Unit, series::Series};

/// So many days of a month may be missing before it cannot be compared with another.
const MISSING: usize = 3;
/// A month's numbers are of days that some networks close some hours after midnight.
const LATE: TimeDelta = TimeDelta::hours(12);

/// One thing that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// What.
    pub metric: &'static Metric,
    /// How it was made of what was counted.
    pub how: How,
    /// The number, as the metric keeps it.
    pub value: i64,
    /// What it was the month before; none: that is not known, or not to be compared.
    pub before: Option<i64>,
}

/// How a figure is made of what was counted on days or over all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// All since there was something to count, as of the last look.
    Whole,
    /// The month's days together.
    Sum,
    /// A day of the month on average: of what cannot be added up, since it counts people.
    DailyMean,
    /// What it was at the month's end.
    Last,
}

impl How {
    /// The word for the model and for what is kept.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Whole => "so_far",
            Self::Sum => "in_the_month",
            Self::DailyMean => "mean_of_a_day",
            Self::Last => "at_the_end",
        }
    }
}

/// What became of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is more.
    Rose,
    /// It is less.
    Fell,
    /// It is the same.
    Same,
    /// There is nothing to compare it with.
    Unknown,
}

impl Change {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[Self::Rose, Self::Fell, Self::Same, Self::Unknown];

    /// The word for the model and for what is kept.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rose => "rose",
            Self::Fell => "fell",
            Self::Same => "same",
            Self::Unknown => "unknown",
        }
    }
}

impl Figure {
    /// What became of it.
    pub fn change(&self) -> Change {
        match self.before {
            None => Change::Unknown,
            Some(before) if self.value > before => Change::Rose,
            Some(before) if self.value < before => Change::Fell,
            Some(_) => Change::Same,
        }
    }

    /// By how much it changed, in tenths of a hundredth of what it was; none: it was nought, or is not known.
    pub fn permille(&self) -> Option<u64> {
        let before = self.before.filter(|before| *before != 0)?;
        let (by, of) = (self.value.abs_diff(before), before.unsigned_abs());
        u64::try_from((u128::from(by) * 1_000 + u128::from(of) / 2) / u128::from(of)).ok()
    }

    /// It as it is kept beside the words.
    pub fn told(&self, slot: &str) -> Value {
        json!({
            "slot": slot,
            "platform": self.metric.platform,
            "metric": self.metric.name,
            "unit": self.metric.unit.word(),
            "how": self.how.word(),
            "value": self.value,
            "before": self.before,
            "written": written(self.value, self.metric.unit),
            "written_before": self.before.map(|before| written(before, self.metric.unit)),
            "change": self.change().word(),
        })
    }
}

/// A number as it is written: `12,345`, `33.25%`, `4.2 s`.
pub fn written(value: i64, unit: Unit) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let size = value.unsigned_abs();
    match unit {
        Unit::Count => format!("{sign}{}", thousands(size)),
        Unit::Percent => format!("{sign}{}.{:02}%", size / 100, size % 100),
        Unit::Money | Unit::Ratio => format!("{sign}{}.{:02}", thousands(size / 100), size % 100),
        Unit::Milliseconds => format!("{sign}{}.{} s", thousands(size / 1_000), size % 1_000 / 100),
    }
}

/// Tenths of a hundredth, as they are written: `23.4%`.
pub fn written_change(permille: u64) -> String {
    let (whole, part) = (permille / 10, permille % 10);
    if part == 0 { format!("{}%", thousands(whole)) } else { format!("{}.{part}%", thousands(whole)) }
}

fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// What a publication has come to so far: the last word on each thing.
pub fn of_post(series: &[Series]) -> Vec<Figure> {
    let whole = series.iter().filter(|it| it.period == Period::Lifetime);
    let last = |(metric, values): &(&'static Metric, Vec<Option<i64>>)| {
        let value = values.iter().rev().find_map(|value| *value)?;
        Some(Figure { metric, how: How::Whole, value, before: None })
    };
    whole.flat_map(|it| it.metrics.iter().filter_map(last)).collect()
}

/// What an account's month has come to. `first` is its first day.
pub fn of_month(series: &[Series], first: NaiveDate) -> Vec<Figure> {
    let one = |(it, metric, values): (&Series, &'static Metric, &[Option<i64>])| {
        let how = how(it.period, metric);
        let of = |month: Option<Month>| month?.value(&it.at, values, how);
        let this = Month::of(first);
        let value = of(this)?;
        let months = this.zip(first.checked_sub_months(Months::new(1)).and_then(Month::of));
        let whole = |month: Month| how == How::Last || month.is_whole(&it.at, values);
        let compared = months.filter(|(this, before)| whole(*this) && whole(*before));
        Some(Figure { metric, how, value, before: compared.and_then(|(_, before)| of(Some(before))) })
    };
    let columns = |it| {
        let it: &Series = it;
        it.metrics.iter().map(move |(metric, values)| (it, *metric, values.as_slice()))
    };
    series.iter().flat_map(columns).filter_map(one).collect()
}

/// From when to when an account is looked at for a month and the one before it, with what is said of them afterwards.
pub fn span(first: NaiveDate) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let before = Month::of(first.checked_sub_months(Months::new(1))?)?;
    // the latest days are revised for a while
    Some((before.begins, Month::of(first)?.ends + TimeDelta::days(10)))
}

fn how(period: Period, metric: &Metric) -> How {
    match period {
        Period::Lifetime => How::Last,
        Period::Day => match (metric.name, metric.unit) {
            ("followers" | "fans" | "following" | "posts", _) => How::Last,
            (
                "reach" | "accounts_engaged" | "impressions_unique" | "cost_per_thousand" | "cost_per_result",
                _,
            )
            | (_, Unit::Percent | Unit::Milliseconds | Unit::Ratio) => How::DailyMean,
            (_, Unit::Count | Unit::Money) => How::Sum,
        },
    }
}

/// A calendar month.
#[derive(Debug, Clone, Copy)]
struct Month {
    begins: DateTime<Utc>,
    ends: DateTime<Utc>,
}

impl Month {
    fn of(first: NaiveDate) -> Option<Self> {
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        Some(Self { begins: midnight(first), ends: midnight(first.checked_add_months(Months::new(1))?) })
    }

    /// The numbers of its days: a day is known by its end, which some networks have in the morning after.
    fn numbers(self, at: &[DateTime<Utc>], values: &[Option<i64>]) -> impl DoubleEndedIterator<Item = i64> {
        let within = move |end: DateTime<Utc>| end - LATE > self.begins && end - LATE <= self.ends;
        at.iter().zip(values).filter(move |(end, _)| within(**end)).filter_map(|(_, value)| *value)
    }

    /// Whether so much of it was told that it can be compared.
    fn is_whole(self, at: &[DateTime<Utc>], values: &[Option<i64>]) -> bool {
        let days = usize::try_from((self.ends - self.begins).num_days()).unwrap_or(usize::MAX);
        self.numbers(at, values).count() + MISSING >= days
    }

    fn value(self, at: &[DateTime<Utc>], values: &[Option<i64>], how: How) -> Option<i64> {
        let mut numbers = self.numbers(at, values);
        match how {
            How::Whole | How::Last => numbers.next_back(),
            How::Sum | How::DailyMean => {
                let (sum, days) =
                    numbers.fold((0_i64, 0_i64), |(sum, days), value| (sum.saturating_add(value), days + 1));
                (days > 0).then(|| if how == How::Sum { sum } else { (sum + days / 2).div_euclid(days) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::catalogue::by_id;

    fn metric(id: u16) -> &'static Metric {
        by_id(id).expect("a metric")
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    /// Days that end at eight in the morning after, each with its number.
    fn days(period: Period, metric: &'static Metric, first: &str, values: &[Option<i64>]) -> Series {
        let first = day(first).and_time(NaiveTime::MIN).and_utc() + TimeDelta::hours(8);
        let at = (1..).map(|n| first + TimeDelta::days(n)).take(values.len()).collect();
        Series { period, at, metrics: vec![(metric, values.to_vec())] }
    }

    #[test]
    fn of_a_post_the_last_word_on_each_thing_counts() {
        let at = [1, 2, 3].map(|hours| DateTime::UNIX_EPOCH + TimeDelta::hours(hours)).to_vec();
        let metrics = vec![(metric(40), vec![Some(3), Some(9), None]), (metric(41), vec![None, None, None])];
        let figures = of_post(&[Series { period: Period::Lifetime, at, metrics }]);
        assert_eq!(figures.len(), 1, "what was never told is none: {figures:?}");
        assert_eq!((figures[0].value, figures[0].before, figures[0].change()), (9, None, Change::Unknown));
    }

    #[test]
    fn a_month_is_its_own_days_and_compared_where_both_are_whole() {
        let (october, november) = (vec![Some(10); 31], vec![Some(12); 30]);
        let both: Vec<_> = october.iter().chain(&november).copied().collect();
        let of = |values: &[Option<i64>]| {
            of_month(&[days(Period::Day, metric(20), "2026-10-01", values)], day("2026-11-01"))
        };
        let figures = of(&both);
        assert_eq!((figures[0].value, figures[0].before, figures[0].how), (360, Some(310), How::Sum));
        assert_eq!((figures[0].change(), figures[0].permille()), (Change::Rose, Some(161)));
        // a month that is half told is compared with none
        let figures = of(&both[..45]);
        assert_eq!((figures[0].value, figures[0].before), (14 * 12, None));
        let mut gaps = both;
        gaps[3..8].fill(None);
        assert_eq!(of(&gaps)[0].before, None);
        assert!(of_month(&[], day("2026-11-01")).is_empty());
    }

    #[test]
    fn people_are_not_added_up_and_what_stands_is_taken_as_it_stood_last() {
        let values: Vec<_> = (0..61).map(Some).collect();
        let of = |id| of_month(&[days(Period::Day, metric(id), "2026-10-01", &values)], day("2026-11-01"))[0];
        let reach = of(21);
        assert_eq!((reach.how, reach.value, reach.before), (How::DailyMean, 46, Some(15)));
        let followers = of(23);
        assert_eq!((followers.how, followers.value, followers.before), (How::Last, 60, Some(30)));
    }

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!(written(1_234_567, Unit::Count), "1,234,567");
        assert_eq!((written(-12, Unit::Count), written(0, Unit::Count)), ("-12".into(), "0".into()));
        assert_eq!(written(3_325, Unit::Percent), "33.25%");
        assert_eq!(written(4_290, Unit::Milliseconds), "4.2 s");
        assert_eq!(
            (written(-123_405, Unit::Money), written(7, Unit::Ratio)),
            ("-1,234.05".into(), "0.07".into())
        );
        assert_eq!((written_change(161), written_change(20_000)), ("16.1%".into(), "2,000%".into()));
        let of = |value, before| Figure { metric: metric(20), how: How::Sum, value, before };
        assert_eq!((of(5, Some(0)).permille(), of(5, None).permille()), (None, None));
        assert_eq!((of(0, Some(8)).permille(), of(8, Some(8)).change()), (Some(1_000), Change::Same));
    }
}
