//! Snapshots as they are shown: column by column, each metric a row of numbers over the same moments.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{Metric, Period, catalogue::by_id, packed};

/// One row of the ledger.
#[derive(Debug, Clone)]
pub struct Row {
    /// When the network was asked.
    pub captured_at: DateTime<Utc>,
    /// What it said, packed.
    pub points: Vec<u8>,
}

/// The series of one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// What span each number is about.
    pub period: Period,
    /// The moments: when it was asked, or the day's end. Ascending.
    pub at: Vec<DateTime<Utc>>,
    /// The numbers of each metric, one for each moment.
    pub metrics: Vec<(&'static Metric, Vec<Option<i64>>)>,
}

impl Series {
    /// The numbers of a metric of that name.
    pub fn of(&self, name: &str) -> Option<&[Option<i64>]> {
        self.metrics.iter().find(|(metric, _)| metric.name == name).map(|(_, values)| values.as_slice())
    }
}

/// Puts rows, ascending by when they were captured, into columns: what is of all time by its moment, what is of a day by
/// its day, of which the latest word counts. What was never packed is told as `false`.
pub fn columns(rows: &[Row]) -> (Vec<Series>, bool) {
    let (mut whole, mut days) = (Columns::default(), Columns::default());
    let mut readable = true;
    for row in rows {
        readable &= packed::unpack(&row.points, |(ends_at, id, value)| {
            // a number that only a newer build knows is left to it
            let Some(metric) = by_id(id) else { return };
            match metric.period() {
                Period::Lifetime => whole.put(row.captured_at, metric, value),
                Period::Day => days.put(ends_at.unwrap_or(row.captured_at), metric, value),
            }
        });
    }
    let series = [(Period::Lifetime, whole), (Period::Day, days)];
    let series = series.into_iter().filter(|(_, columns)| !columns.at.is_empty());
    (series.map(|(period, columns)| columns.into_series(period)).collect(), readable)
}

#[derive(Default)]
struct Columns {
    /// The moments in the order in which they came, and where each stands.
    at: Vec<DateTime<Utc>>,
    places: BTreeMap<DateTime<Utc>, usize>,
    values: BTreeMap<u16, (Option<&'static Metric>, Vec<Option<i64>>)>,
}

impl Columns {
    fn put(&mut self, at: DateTime<Utc>, metric: &'static Metric, value: Option<i64>) {
        let place = self.place(at);
        let (its, values) = self.values.entry(metric.id).or_default();
        *its = Some(metric);
        if values.len() <= place {
            values.resize(place + 1, None);
        }
        // a later look that says nothing of a day takes nothing back
        if value.is_some() {
            values[place] = value;
        }
    }

    fn place(&mut self, at: DateTime<Utc>) -> usize {
        // rows come in order, as a rule of the same moment one after the other
        if self.at.last() == Some(&at) {
            return self.at.len() - 1;
        }
        *self.places.entry(at).or_insert_with(|| {
            self.at.push(at);
            self.at.len() - 1
        })
    }

    fn into_series(self, period: Period) -> Series {
        let sorted = self.at.is_sorted();
        let order: Vec<usize> = self.places.values().copied().collect();
        let arrange = |mut values: Vec<Option<i64>>| {
            values.resize(order.len(), None);
            if sorted { values } else { order.iter().map(|place| values[*place]).collect() }
        };
        let metrics =
            self.values.into_values().filter_map(|(metric, values)| Some((metric?, arrange(values))));
        Series { period, metrics: metrics.collect(), at: self.places.into_keys().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(hours)
    }

    fn row(captured: i64, told: &[(Option<i64>, u16, Option<i64>)]) -> Row {
        let told: Vec<_> = told.iter().map(|(ends, id, value)| (ends.map(at), *id, *value)).collect();
        Row { captured_at: at(captured), points: packed::pack(&told) }
    }

    #[test]
    fn what_a_row_does_not_have_is_a_gap_in_its_column() {
        let rows = [
            row(1, &[(None, 40, Some(3)), (None, 41, Some(2))]),
            row(2, &[(None, 40, None)]),
            row(3, &[(None, 40, Some(5)), (None, 41, Some(4))]),
        ];
        let (series, readable) = columns(&rows);
        assert!(readable);
        assert_eq!(series.len(), 1);
        assert_eq!(series[0].at, [at(1), at(2), at(3)]);
        assert_eq!(series[0].of("views"), Some(&[Some(3), None, Some(5)][..]));
        assert_eq!(series[0].of("reach"), Some(&[Some(2), None, Some(4)][..]));
    }

    #[test]
    fn the_latest_word_on_a_day_counts_and_silence_takes_none_back() {
        let rows = [
            row(50, &[(Some(48), 20, Some(9)), (Some(24), 20, Some(7))]),
            row(74, &[(Some(48), 20, Some(10)), (Some(72), 20, None)]),
            row(98, &[(Some(48), 20, None)]),
        ];
        let (series, _) = columns(&rows);
        assert_eq!(series[0].at, [at(24), at(48), at(72)]);
        assert_eq!(series[0].of("views"), Some(&[Some(7), Some(10), None][..]));
    }

    #[test]
    fn what_only_a_newer_build_knows_is_left_out_and_what_is_damaged_is_told() {
        let (series, readable) = columns(&[row(1, &[(None, 9_999, Some(1)), (None, 40, Some(2))])]);
        assert!(readable && series[0].metrics.len() == 1);
        let damaged = Row { points: vec![0x80], ..row(1, &[]) };
        assert!(!columns(&[damaged]).1);
    }
}
