//! Who follows an account, by kinds of people, as its network told it last.

use super::{
    numbers::named_label,
    texts::{Texts, fill},
    words,
};
use crate::web::{counted::Audience, figures::thousands};

/// One way of telling followers apart.
pub struct Kinds {
    pub title: &'static str,
    pub at: String,
    /// Why there are no rows.
    pub note: Option<&'static str>,
    pub rows: Vec<(String, String)>,
}

/// What was told last of each way, the largest kind first; nothing of one of which nothing ever was.
pub fn shown(t: &Texts, audience: &[Audience]) -> Vec<Kinds> {
    audience.iter().filter_map(|it| last(t, it)).collect()
}

fn last(t: &Texts, it: &Audience) -> Option<Kinds> {
    let told = |n: usize| it.kinds.values().any(|values| values[n].is_some());
    let n = (0..it.at.len()).rev().find(|n| it.too_few[*n] || told(*n))?;
    let named = it.kinds.iter().filter_map(|(kind, values)| Some((kind, values[n]?)));
    let mut kinds: Vec<(&String, i64)> = named.collect();
    kinds.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    Some(Kinds {
        title: named_label(t, it.metric.name),
        at: fill(t.audience_at, &[&words::minute(it.at[n])]),
        note: it.too_few[n].then_some(t.audience_too_few),
        rows: kinds.into_iter().map(|(kind, number)| (kind.clone(), thousands(number))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::{DateTime, TimeDelta};
    use jobs::metrics::catalogue::by_id;

    use super::*;
    use crate::web::console::texts::ENGLISH;

    fn ages(too_few: [bool; 3], kinds: &[(&str, [Option<i64>; 3])]) -> Audience {
        let kinds: BTreeMap<_, _> =
            kinds.iter().map(|(kind, values)| ((*kind).to_owned(), values.to_vec())).collect();
        let at = (0..3).map(|n| DateTime::UNIX_EPOCH + TimeDelta::days(n)).collect();
        Audience { metric: by_id(104).expect("by age"), at, too_few: too_few.to_vec(), kinds }
    }

    #[test]
    fn what_was_told_last_counts_the_largest_first_and_silence_since_takes_nothing_back() {
        let told = [("18-24", [Some(5), Some(1_234), None]), ("25-34", [None, Some(2_000), None])];
        let all = shown(&ENGLISH, &[ages([false; 3], &told)]);
        let rows: Vec<_> =
            all[0].rows.iter().map(|(kind, number)| (kind.as_str(), number.as_str())).collect();
        assert_eq!(rows, [("25-34", "2,000"), ("18-24", "1,234")]);
        assert!(all.len() == 1 && all[0].note.is_none() && all[0].at.contains("2 Jan 1970"), "{}", all[0].at);
    }

    #[test]
    fn too_few_followers_are_said_and_what_was_never_told_is_not_there() {
        let few = shown(&ENGLISH, &[ages([false, false, true], &[("18-24", [Some(5), Some(6), None])])]);
        assert_eq!((few[0].note, few[0].rows.len()), (Some(ENGLISH.audience_too_few), 0));
        assert!(shown(&ENGLISH, &[ages([false; 3], &[])]).is_empty());
    }
}
