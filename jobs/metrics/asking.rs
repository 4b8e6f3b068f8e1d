//! Asking in small sets. One metric that a network does not know empties its whole answer: such a set is halved until
//! that metric stands alone, and the others are told.

use std::collections::BTreeMap;

use super::{Metric, Via};
use crate::contract::Failure;

/// The sets that are still to be asked.
#[derive(Debug, Clone)]
pub struct Sets {
    open: Vec<Vec<&'static Metric>>,
}

impl Sets {
    /// These metrics in sets of one way each, and told along the same, of at most `most`; those that are doubted each alone.
    pub fn of(metrics: &[&'static Metric], doubted: &[u16], most: usize) -> Self {
        let mut ways: BTreeMap<(Via, Option<&str>), Vec<&'static Metric>> = BTreeMap::new();
        let (alone, together) = metrics
            .iter()
            .copied()
            .partition::<Vec<&'static Metric>, _>(|metric| doubted.contains(&metric.id));
        for metric in together {
            ways.entry((metric.via, metric.along)).or_default().push(metric);
        }
        let sets = ways.values().flat_map(|way| way.chunks(most.max(1)).map(<[_]>::to_vec));
        let alone = alone.into_iter().map(|metric| vec![metric]);
        let mut open: Vec<_> = sets.chain(alone).collect();
        open.reverse();
        Self { open }
    }

    /// How many calls they take where none is refused: what comes as one number is asked for so many days, each by itself.
    pub fn calls(&self, days: i64) -> u32 {
        let by_day = |set: &&Vec<&'static Metric>| set.iter().any(|metric| metric.via == Via::DayTotal);
        let earlier = usize::try_from(days.saturating_sub(1)).unwrap_or_default();
        let more = self.open.iter().filter(by_day).count() * earlier;
        u32::try_from(self.open.len() + more).unwrap_or(u32::MAX)
    }

    /// The next set, which stays.
    pub fn peek(&self) -> Option<&[&'static Metric]> {
        self.open.last().map(Vec::as_slice)
    }

    /// The next set.
    pub fn next_set(&mut self) -> Option<Vec<&'static Metric>> {
        self.open.pop()
    }

    /// A set was refused: its halves are asked, unless it is one metric, which is then the refused one.
    pub fn refused(&mut self, mut set: Vec<&'static Metric>, failure: Failure) -> Option<Refused> {
        if let [metric] = set[..] {
            return Some(Refused { metric, failure });
        }
        let half = set.split_off(set.len() / 2);
        self.open.extend([half, set].into_iter().filter(|set| !set.is_empty()));
        None
    }
}

/// A metric that a network does not tell.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Which.
    pub metric: &'static Metric,
    /// In the network's words.
    pub failure: Failure,
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        contract::Class,
        metrics::{Object, catalogue::asked, ports::LATEST_DAYS},
    };

    fn feed() -> Vec<&'static Metric> {
        let day = NaiveDate::from_ymd_opt(2026, 11, 23).expect("a day");
        asked("instagram_business", Object::Post, day).collect()
    }

    /// Asks a network that does not know these, and gives what it told, what it refused, and the number of calls.
    fn ask(unknown: &[u16], most: usize) -> (Vec<u16>, Vec<u16>, usize) {
        let (mut told, mut refused, mut calls) = (Vec::new(), Vec::new(), 0);
        let mut sets = Sets::of(&feed(), &[], most);
        while let Some(set) = sets.next_set() {
            calls += 1;
            if set.iter().any(|metric| unknown.contains(&metric.id)) {
                refused.extend(
                    sets.refused(set, Failure::new(Class::Permanent, "100", "no")).map(|it| it.metric.id),
                );
            } else {
                told.extend(set.iter().map(|metric| metric.id));
            }
        }
        (told, refused, calls)
    }

    proptest! {
        #[test]
        fn whatever_a_network_does_not_know_all_else_is_told(mask in any::<u16>(), most in 1_usize..12) {
            let all: Vec<u16> = feed().iter().map(|metric| metric.id).collect();
            let unknown: Vec<u16> =
                all.iter().enumerate().filter(|(n, _)| (mask >> n) & 1 == 1).map(|(_, id)| *id).collect();
            let (mut told, mut refused, _) = ask(&unknown, most);
            told.sort_unstable();
            refused.sort_unstable();
            let known: Vec<u16> = all.into_iter().filter(|id| !unknown.contains(id)).collect();
            prop_assert_eq!(told, known);
            prop_assert_eq!(refused, unknown);
        }
    }

    #[test]
    fn one_retired_metric_of_ten_costs_a_few_calls_once() {
        let (told, refused, calls) = ask(&[44], 10);
        assert_eq!((told.len(), refused), (feed().len() - 1, vec![44]));
        assert!(calls <= 9, "{calls} calls");
        assert_eq!(ask(&[], 10).2, 1);
    }

    #[test]
    fn what_is_asked_in_another_way_is_another_call_and_what_is_doubted_stands_alone() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 23).expect("a day");
        let all: Vec<_> = asked("instagram_business", Object::Account, day).collect();
        let mut sets = Sets::of(&all, &[92], 20);
        assert_eq!(
            sets.calls(LATEST_DAYS.into()),
            1 + 3 + 1 + 4 + 3,
            "days, three totals, fields, four kinds of people, and three totals of what is doubted"
        );
        while let Some(set) = sets.next_set() {
            assert!(set.iter().all(|metric| (metric.via, metric.along) == (set[0].via, set[0].along)));
            assert_eq!(set.iter().any(|metric| metric.id == 92), set.len() == 1 && set[0].id == 92);
        }
    }
}
