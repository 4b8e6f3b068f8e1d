//! When posts did best: weekday and hour of publishing against what the middle post had come to a day later, from the
//! workspace's own posts alone, with how many there were in every cell. Of fewer than five nothing is claimed.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use uuid::Uuid;

use super::{
    Choice, Shell, dashboard, fields, render,
    seat::{Seat, Viewer},
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::{
        Ledger,
        standing::{AfterADay, Among, Followed},
    },
    web::{
        App,
        figures::thousands,
        problem::Problem,
        standing::{
            asked::Asked,
            outcome::{BY, Numbers},
        },
    },
};

/// Of fewer posts nothing is claimed.
const LEAST: usize = 5;
/// What came out before that says little about today.
const REACH: TimeDelta = TimeDelta::days(366);
/// What came out later than that has no number of a day later: the first look from then on may be late.
const SETTLED: TimeDelta = TimeDelta::hours(36);
/// The most posts that are looked at, the newest.
const MOST: i64 = 10_000;
/// The days of a week as people of the house read them.
const WEEK: [Weekday; 7] =
    [Weekday::Sun, Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat];
/// A sign for each quarter.
const MARKS: [&str; 5] = ["", "▪", "▪▪", "▪▪▪", "▪▪▪▪"];
/// The cells that are named above the table.
const NAMED: usize = 3;

#[derive(Template)]
#[template(path = "times.html")]
struct Page {
    shell: Shell,
    lead: String,
    accounts: Vec<Choice>,
    by: Vec<Choice>,
    zones: Vec<Choice>,
    week: Vec<&'static str>,
    rows: Vec<Row>,
    best: Vec<String>,
    counted: String,
    notes: Vec<String>,
}

/// An hour of the day.
struct Row {
    hour: String,
    cells: Vec<Cell>,
}

/// An hour of the week.
struct Cell {
    /// What the middle post came to; none: too few came out for anything to be said.
    median: Option<String>,
    /// Out of how many.
    sample: String,
    /// From 1 to 4: in which quarter of the cells of which something is said it stands; 0: nothing is.
    level: usize,
    /// The same as signs, which paper shows too.
    marks: &'static str,
    says: String,
}

/// A part of the week: a day and an hour, in some zone.
type Slot = (u32, u32);

/// What is known of a part of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    /// So many posts came out then.
    posts: usize,
    /// What the middle one came to, and the quarter that it stands in; none: they are too few.
    median: Option<(i64, usize)>,
}

struct Wish {
    account: Option<Uuid>,
    by: &'static str,
    zone: Option<Tz>,
}

impl Wish {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let mut asked = Asked::read(uri, &["account", "by", "zone"]);
        let (account, by) = (asked.ids("account").last().copied(), asked.word("by", BY));
        let zone = asked.one("zone").map(str::parse::<Tz>);
        if matches!(zone, Some(Err(_))) {
            asked.find("zone", "zone_unknown", ENGLISH.times_zone_unknown);
        }
        asked.done()?;
        Ok(Self { account, by, zone: zone.and_then(Result::ok) })
    }
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let (t, now, workspace) = (&ENGLISH, app.house.clock.now(), seat.member.workspace_id);
    let wish = Wish::read(&uri)?;
    let ledger = &seat.ledger;
    let accounts = ledger.followed(Among::all(workspace)).await?;
    if wish.account.is_some_and(|id| accounts.iter().all(|it| it.id != id)) {
        return Err(Problem::not_found("account"));
    }
    let zone = match wish.zone {
        Some(zone) => zone,
        None => own_zone(ledger, workspace, wish.account).await?,
    };
    let among = Among { workspace_id: workspace, accounts: wish.account.as_ref().map(std::slice::from_ref) };
    let posts = ledger.after_a_day(among, now - REACH, now - SETTLED, MOST).await?;
    let told = told(&posts, wish.by);
    let known = known(&told, zone);
    let path = uri.path_and_query().map_or("/dashboard/times", |path| path.as_str()).to_owned();
    render(&Page {
        lead: fill(t.times_lead, &[dashboard::measure(t, wish.by), zone.name(), &LEAST.to_string()]),
        accounts: choices(&app, t, &accounts, wish.account),
        by: BY.iter().map(|word| measure(t, word, wish.by)).collect(),
        zones: fields::zones(zone.name()),
        week: WEEK.iter().map(|day| weekday(t, *day)).collect(),
        rows: (0..24).map(|hour| row(t, &known, hour)).collect(),
        best: best(t, &known),
        counted: Texts::count(told.len(), t.metrics_posts_one, t.metrics_posts_many),
        notes: notes(t, &posts, told.len()),
        shell: Shell::seated(&app, &headers, &seat, "dashboard", &path),
    })
}

/// The zone that posts are scheduled in, on the account or else in the workspace.
async fn own_zone(ledger: &Ledger, workspace: Uuid, account: Option<Uuid>) -> Result<Tz, Problem> {
    let named = match account {
        Some(account) => ledger.last_time_zone_of(account).await?,
        None => None,
    };
    let named = match named {
        Some(zone) => Some(zone),
        None => ledger.last_time_zone(workspace).await?,
    };
    Ok(named.and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC))
}

/// When posts came out, and what they had come to a day later, as far as that was told.
fn told(posts: &[AfterADay], by: &str) -> Vec<(DateTime<Utc>, i64)> {
    let number = |it: &AfterADay| Numbers::of(it.points.as_deref()).by(by);
    posts.iter().filter_map(|it| Some((it.published_at, number(it)?))).collect()
}

/// The parts of the week that something came out in. An instant has one hour in a zone, also on the days on which clocks
/// are changed: of an hour that comes twice both are the same part, and one that is left out has no posts.
fn known(told: &[(DateTime<Utc>, i64)], zone: Tz) -> BTreeMap<Slot, Known> {
    let mut slots: BTreeMap<Slot, Vec<i64>> = BTreeMap::new();
    for (at, number) in told {
        let local = at.with_timezone(&zone);
        slots.entry((local.weekday().num_days_from_sunday(), local.hour())).or_default().push(*number);
    }
    let medians: BTreeMap<Slot, i64> =
        slots.iter_mut().filter_map(|(slot, numbers)| Some((*slot, median(numbers)?))).collect();
    let quarter = |median: i64| {
        let below = medians.values().filter(|other| **other < median).count();
        1 + below * 4 / medians.len()
    };
    let known = |slot: &Slot, numbers: &Vec<i64>| Known {
        posts: numbers.len(),
        median: medians.get(slot).map(|median| (*median, quarter(*median))),
    };
    slots.iter().map(|(slot, numbers)| (*slot, known(slot, numbers))).collect()
}

/// The middle one; none: they are too few.
fn median(numbers: &mut [i64]) -> Option<i64> {
    numbers.sort_unstable();
    let count = numbers.len();
    (count >= LEAST).then(|| numbers[(count - 1) / 2].midpoint(numbers[count / 2]))
}

fn row(t: &Texts, known: &BTreeMap<Slot, Known>, hour: u32) -> Row {
    let cell = |day: &Weekday| cell(t, known.get(&(day.num_days_from_sunday(), hour)));
    Row { hour: format!("{hour:02}:00"), cells: WEEK.iter().map(cell).collect() }
}

fn cell(t: &Texts, known: Option<&Known>) -> Cell {
    let Some(known) = known else {
        return Cell {
            median: None,
            sample: "0".to_owned(),
            level: 0,
            marks: "",
            says: t.times_none.to_owned(),
        };
    };
    let sample = Texts::count(known.posts, t.metrics_posts_one, t.metrics_posts_many);
    match known.median {
        Some((median, level)) => Cell {
            median: Some(thousands(median)),
            sample,
            level,
            marks: MARKS[level.min(MARKS.len() - 1)],
            says: fill(t.times_quarter, &[&level.to_string()]),
        },
        None => Cell { median: None, sample, level: 0, marks: "", says: t.times_too_few.to_owned() },
    }
}

/// The parts of the week in which the middle post did best, in words.
fn best(t: &Texts, known: &BTreeMap<Slot, Known>) -> Vec<String> {
    let mut claimed: Vec<(i64, usize, Slot)> =
        known.iter().filter_map(|(slot, it)| Some((it.median?.0, it.posts, *slot))).collect();
    claimed.sort_by_key(|(median, posts, _)| std::cmp::Reverse((*median, *posts)));
    let named = |(median, posts, (day, hour)): &(i64, usize, Slot)| {
        let day = WEEK.iter().find(|it| it.num_days_from_sunday() == *day);
        let day = day.map_or("", |day| weekday(t, *day));
        let posts = Texts::count(*posts, t.metrics_posts_one, t.metrics_posts_many);
        fill(t.times_best, &[day, &format!("{hour:02}:00"), &thousands(*median), &posts])
    };
    claimed.iter().take(NAMED).map(named).collect()
}

fn choices(app: &App, t: &Texts, accounts: &[Followed], chosen: Option<Uuid>) -> Vec<Choice> {
    let all = Choice { value: String::new(), label: t.any_account.to_owned(), chosen: chosen.is_none() };
    let choice = |it: &Followed| Choice {
        value: it.id.to_string(),
        label: format!("{} · {}", it.name, words::network(app, &it.platform)),
        chosen: chosen == Some(it.id),
    };
    std::iter::once(all).chain(accounts.iter().map(choice)).collect()
}

fn measure(t: &Texts, word: &str, chosen: &str) -> Choice {
    Choice { value: word.to_owned(), label: dashboard::measure(t, word).to_owned(), chosen: word == chosen }
}

fn notes(t: &Texts, posts: &[AfterADay], told: usize) -> Vec<String> {
    let silent = posts.len() - told;
    (silent > 0).then(|| fill(t.times_silent, &[&silent.to_string()])).into_iter().collect()
}

fn weekday(t: &Texts, day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => t.monday,
        Weekday::Tue => t.tuesday,
        Weekday::Wed => t.wednesday,
        Weekday::Thu => t.thursday,
        Weekday::Fri => t.friday,
        Weekday::Sat => t.saturday,
        Weekday::Sun => t.sunday,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posts(at: &str, numbers: &[i64]) -> Vec<(DateTime<Utc>, i64)> {
        let at: DateTime<Utc> = at.parse().expect("a time");
        (0..).zip(numbers).map(|(week, number)| (at + TimeDelta::weeks(week), *number)).collect()
    }

    const JERUSALEM: Tz = Tz::Asia__Jerusalem;

    #[test]
    fn the_middle_one_counts_and_of_fewer_than_five_nothing_is_claimed() {
        // Sundays at nine in summer
        let mut told = posts("2026-05-03T06:10:00Z", &[100, 9_000, 120, 90, 110]);
        told.extend(posts("2026-05-04T06:10:00Z", &[70, 80, 90, 100]));
        let known = known(&told, JERUSALEM);
        assert_eq!(known[&(0, 9)], Known { posts: 5, median: Some((110, 1)) });
        assert_eq!(known[&(1, 9)], Known { posts: 4, median: None });
        assert_eq!(known.len(), 2);
        let few = cell(&ENGLISH, known.get(&(1, 9)));
        assert_eq!((few.median, few.sample.as_str(), few.level), (None, "4 posts", 0));
        let none = cell(&ENGLISH, None);
        assert_eq!((none.median, none.sample.as_str()), (None, "0"));
        let best = best(&ENGLISH, &known);
        assert_eq!(best.len(), 1);
        assert!(
            best[0].contains("Sunday") && best[0].contains("09:00") && best[0].contains("5 posts"),
            "{best:?}"
        );
    }

    #[test]
    fn the_same_hour_of_the_day_is_one_part_in_summer_and_in_winter() {
        // clocks go back on 25 October: nine o'clock is another instant from then on
        let mut told = posts("2026-10-04T06:00:00Z", &[1, 2, 3]);
        told.extend(posts("2026-10-25T07:00:00Z", &[4, 5]));
        let known = known(&told, JERUSALEM);
        assert_eq!(known.keys().collect::<Vec<_>>(), [&(0, 9)]);
        assert_eq!(known[&(0, 9)].median.map(|(median, _)| median), Some(3));
        // the hour that comes twice on that day, before and after
        let mut twice = posts("2026-10-24T22:30:00Z", &[1]);
        twice.extend(posts("2026-10-24T23:30:00Z", &[2]));
        assert_eq!(super::known(&twice, JERUSALEM)[&(0, 1)].posts, 2);
    }

    #[test]
    fn what_is_better_stands_in_a_higher_quarter_and_what_is_alike_in_the_same() {
        let mut told = Vec::new();
        for (hour, number) in [(1, 10), (2, 20), (3, 30), (4, 40), (5, 40)] {
            told.extend(posts(&format!("2026-05-03T0{hour}:00:00Z"), &[number; 5]));
        }
        let known = known(&told, Tz::UTC);
        let levels: Vec<_> = known.values().filter_map(|it| Some(it.median?.1)).collect();
        assert_eq!(levels, [1, 1, 2, 3, 3]);
    }
}
