//! What is compared, line by line: accounts by the days of a span, posts by their age.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use jobs::metrics::series::Row;
use uuid::Uuid;

use super::super::{
    list,
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::standing::{Among, Published},
    web::{
        App,
        problem::Problem,
        standing::{
            self, ENGAGEMENT, FOLLOWERS,
            asked::Span,
            days::{Days, Sum},
            outcome::Numbers,
        },
    },
};

/// The ages of a post that are compared, in hours.
const AGES: [i64; 10] = [1, 6, 24, 48, 72, 168, 336, 720, 1_440, 2_160];

/// Lines over the same places.
pub struct Set {
    /// What the places are called.
    pub places: Vec<String>,
    /// The lines.
    pub strands: Vec<Strand>,
    /// Whether what a line comes to is its sum; else it is its last number.
    pub added_up: bool,
}

/// One line.
pub struct Strand {
    /// Whose it is.
    pub label: String,
    /// Of when, and what is missing of it.
    pub note: String,
    /// A number or a gap for each of the first places; it does not go further.
    pub values: Vec<Option<i64>>,
    /// What it comes to.
    pub whole: Option<i64>,
}

/// Accounts in some spans, each of which begins at the first place.
///
/// # Errors
/// 404: one of them is none of this workspace's. Or the ledger is away.
pub async fn of_accounts(
    app: &App,
    workspace: Uuid,
    accounts: &[Uuid],
    spans: &[Span],
    metric: &str,
) -> Result<Set, Problem> {
    let t = &ENGLISH;
    let among = Among { workspace_id: workspace, accounts: Some(accounts) };
    let mut strands = Vec::new();
    for span in spans {
        for (name, platform, days) in by_day(app, among, *span, metric).await? {
            let label = format!("{name} · {}", words::network(app, &platform));
            strands.push(of_days(t, label, days.of(span.first, span.end), *span, metric));
        }
    }
    if strands.len() != accounts.len() * spans.len() {
        return Err(Problem::not_found("account"));
    }
    let most = strands.iter().map(|it| it.values.len()).max().unwrap_or_default();
    Ok(Set { places: places(t, spans, most), strands, added_up: metric != FOLLOWERS })
}

/// Each account's days of that metric, with its name and platform.
async fn by_day(
    app: &App,
    among: Among<'_>,
    span: Span,
    metric: &str,
) -> Result<Vec<(String, String, Days)>, Problem> {
    let name = if metric == "engagement" { ENGAGEMENT } else { metric };
    let counted = standing::counted(app, among, &[name], span).await?;
    let mut posts = if metric == "posts" {
        let ledger = app.within(among.workspace_id);
        let days = ledger.posts_by_day(among, span.begins_at(), span.ends_at()).await?;
        standing::by_account(&days, span)
    } else {
        BTreeMap::new()
    };
    let own = |it: standing::Counted| {
        let none = || Days::of_none(span.first, span.end);
        let told = it.days.into_iter().next();
        let days = if metric == "posts" {
            posts.remove(&it.account.id).unwrap_or_else(none)
        } else {
            told.unwrap_or_else(|| Days::between(span.first, span.end))
        };
        (it.account.name, it.account.platform, days)
    };
    Ok(counted.into_iter().map(own).collect())
}

fn of_days(t: &Texts, label: String, values: &[Option<i64>], span: Span, metric: &str) -> Strand {
    let sum = Sum::of(values);
    let day = |day: NaiveDate| day.format("%-d %b %Y").to_string();
    let days = fill(t.compare_days, &[&day(span.first), &day(span.last_day())]);
    let told = fill(t.dashboard_told, &[&sum.told.to_string(), &sum.days.to_string()]);
    Strand {
        label,
        note: if sum.has_gaps() { format!("{days}. {told}") } else { days },
        values: values.to_vec(),
        whole: if metric == FOLLOWERS { values.iter().rev().find_map(|value| *value) } else { sum.sum },
    }
}

/// One span's places are its days; those of two are counted.
fn places(t: &Texts, spans: &[Span], most: usize) -> Vec<String> {
    match spans {
        [span] => span.first.iter_days().take(most).map(|day| day.format("%-d %b").to_string()).collect(),
        _ => (1..=most).map(|n| fill(t.compare_day, &[&n.to_string()])).collect(),
    }
}

/// Posts by their age.
///
/// # Errors
/// 404: one of them is none of this workspace's, or not public. Or the ledger is away.
pub async fn of_posts(
    app: &App,
    workspace: Uuid,
    posts: &[Uuid],
    metric: &str,
    now: DateTime<Utc>,
) -> Result<Set, Problem> {
    let (t, ledger) = (&ENGLISH, app.within(workspace));
    let mut published = ledger.published_of(workspace, posts).await?;
    if published.len() != posts.len() {
        return Err(Problem::not_found("post"));
    }
    // as they were asked for
    published.sort_by_key(|it| posts.iter().position(|id| *id == it.id));
    let numbers: Vec<i32> = published.iter().filter_map(|it| it.number).collect();
    let first = published.iter().map(|it| it.published_at).min().unwrap_or(now);
    let mut said = ledger.said_of(&numbers, first, now + TimeDelta::days(1)).await?;
    let strand = |it: &Published| {
        let rows = it.number.and_then(|number| said.remove(&number)).unwrap_or_default();
        of_post(app, t, it, &by_age(&rows, it.published_at, metric), now)
    };
    let strands = published.iter().map(strand).collect();
    Ok(Set { places: AGES.iter().map(|hours| age(t, *hours)).collect(), strands, added_up: false })
}

fn of_post(app: &App, t: &Texts, it: &Published, values: &[Option<i64>], now: DateTime<Utc>) -> Strand {
    let come_to = AGES.iter().take_while(|hours| it.published_at + TimeDelta::hours(**hours) <= now).count();
    let values = values.iter().copied().take(come_to).collect::<Vec<_>>();
    let network = words::network(app, &it.platform);
    Strand {
        label: list::excerpt(&it.caption, t.no_words),
        note: format!("{} · {network} · {}", it.account, it.published_at.format("%-d %b %Y, %H:%M UTC")),
        whole: values.iter().rev().find_map(|value| *value),
        values,
    }
}

/// What was said at each age: by the first look from about then on, and before the next.
fn by_age(rows: &[Row], published_at: DateTime<Utc>, metric: &str) -> Vec<Option<i64>> {
    let told: Vec<(DateTime<Utc>, Option<i64>)> =
        rows.iter().map(|row| (row.captured_at, Numbers::of(Some(&row.points)).by(metric))).collect();
    // a look may be a little early
    let from = |hours: i64| published_at + TimeDelta::minutes(hours * 60 - hours * 60 / 24);
    let last = AGES.last().map_or(0, |hours| hours + 24);
    let until = AGES.iter().skip(1).copied().chain([last]);
    AGES.iter()
        .zip(until)
        .map(|(hours, next)| {
            let mut within = told.iter().filter(|(at, _)| *at >= from(*hours) && *at < from(next));
            within.find_map(|(_, value)| *value)
        })
        .collect()
}

fn age(t: &Texts, hours: i64) -> String {
    match (hours, hours / 24) {
        (1, _) => t.compare_hour.to_owned(),
        (_, 0) => fill(t.compare_hours, &[&hours.to_string()]),
        (_, 1) => t.compare_one_day.to_owned(),
        (_, days) => fill(t.dashboard_days, &[&days.to_string()]),
    }
}

#[cfg(test)]
mod tests {
    use jobs::metrics::packed::{pack, whole};

    use super::*;

    #[test]
    fn a_post_is_told_at_an_age_by_the_first_look_from_then_on_and_else_not() {
        let out: DateTime<Utc> = "2026-11-01T12:00:00Z".parse().expect("a time");
        // 40: views of a picture on Instagram
        let row = |minutes: i64, views: Option<i64>| Row {
            captured_at: out + TimeDelta::minutes(minutes),
            points: pack(&[whole(40, views)]),
        };
        let rows = [
            row(15, Some(1)),
            row(61, Some(5)),
            row(361, None),
            row(24 * 60 + 3, Some(9)),
            row(30 * 60, Some(11)),
        ];
        let told = by_age(&rows, out, "views");
        assert_eq!(told.len(), AGES.len());
        assert_eq!(told[..4], [Some(5), None, Some(9), None]);
        assert!(told[3..].iter().all(Option::is_none));
    }

    #[test]
    fn the_days_of_one_span_have_dates_and_those_of_two_are_counted() {
        let first = NaiveDate::from_ymd_opt(2026, 11, 29).expect("a day");
        let span = Span { first, end: first + TimeDelta::days(3) };
        assert_eq!(places(&ENGLISH, &[span], 3), ["29 Nov", "30 Nov", "1 Dec"]);
        assert_eq!(places(&ENGLISH, &[span, span.before()], 2), ["Day 1", "Day 2"]);
        assert_eq!(AGES.map(|hours| age(&ENGLISH, hours))[..4], ["1 hour", "6 hours", "1 day", "2 days"]);
    }
}
