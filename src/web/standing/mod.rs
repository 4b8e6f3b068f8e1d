//! How the accounts of a workspace stand over a span, side by side and against the span before: for the console, and for
//! whoever is shown a report. However many accounts there are, each part is read with one statement.

pub mod asked;
pub mod days;
pub mod outcome;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use jobs::metrics::{CATALOGUE, Metric, Object, series::columns};
use uuid::Uuid;

use self::{
    asked::Span,
    days::{Days, Sum, tenths},
    outcome::Ranking,
};
use super::{App, problem::Problem};
use crate::ledger::standing::{Among, DayOfPosts, Followed};

/// Followers are compared with the last number of so many days before, where there is one.
const LOOKS_BACK: TimeDelta = TimeDelta::days(7);
/// Networks tell of a day for so long after it.
const TOLD_WITHIN: TimeDelta = TimeDelta::days(31);
/// The most posts that are ranked: more than anybody brings out in a year.
const RANKED: i64 = 20_000;

/// What an account is measured by, each by the name that it has in the catalogue.
pub const REACH: &str = "reach";
/// Likes, comments, shares and the like, as its network counts them.
pub const ENGAGEMENT: &str = "interactions";
/// How many follow it.
pub const FOLLOWERS: &str = "followers";

/// All of it.
#[derive(Debug, Clone)]
pub struct Board {
    /// The days.
    pub span: Span,
    /// The accounts, by name.
    pub accounts: Vec<Standing>,
    /// Its best and worst posts.
    pub ranking: Ranking,
}

/// One account.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The account.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// Its platform.
    pub platform: String,
    /// How many follow it.
    pub followers: Followers,
    /// How many it reached, the days added up.
    pub reach: Measure,
    /// What people did about what it brought out.
    pub engagement: Measure,
    /// What came out.
    pub posts: Measure,
}

/// Something that is counted day by day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// Whether its network counts it of accounts at all.
    pub counted: bool,
    /// In the span.
    pub now: Sum,
    /// In the span before.
    pub before: Sum,
    /// By how much more it is than before, in tenths of a percent, where that can be said.
    pub change: Option<i64>,
    /// The days of the span.
    pub line: Vec<Option<i64>>,
}

/// How many follow an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followers {
    /// The last number of the span.
    pub last: Option<i64>,
    /// How many more there are than before the span, or else than at its first number.
    pub growth: Option<i64>,
    /// How many more there were in the span before.
    pub growth_before: Option<i64>,
    /// The growth in tenths of a percent.
    pub change: Option<i64>,
    /// The days of the span.
    pub line: Vec<Option<i64>>,
}

/// What is counted of one account, by day.
#[derive(Debug, Clone)]
pub struct Counted {
    /// The account.
    pub account: Followed,
    /// The days of each metric that was asked for, in that order.
    pub days: Vec<Days>,
}

/// Reads the board.
///
/// # Errors
/// The ledger is away.
pub async fn board(app: &App, among: Among<'_>, span: Span, now: DateTime<Utc>) -> Result<Board, Problem> {
    let (ledger, before) = (app.within(among.workspace_id), span.before());
    let whole = Span { first: before.first, end: span.end };
    let (posts, published) = tokio::try_join!(
        ledger.posts_by_day(among, whole.begins_at(), whole.ends_at()),
        ledger.published(among, span.begins_at(), span.ends_at(), RANKED),
    )?;
    let counted = counted(app, among, &[FOLLOWERS, REACH, ENGAGEMENT], whole).await?;
    let mut posts = by_account(&posts, whole);
    let none = || Days::of_none(whole.first, whole.end);
    let standing = |it: Counted| {
        let posts = posts.remove(&it.account.id).unwrap_or_else(none);
        Standing::of(it, &posts, span)
    };
    let accounts = counted.into_iter().map(standing).collect();
    Ok(Board { span, accounts, ranking: Ranking::of(published, now) })
}

/// What is counted of each account under these names, by day, from a week before the span on: two statements, however many
/// accounts there are.
///
/// # Errors
/// The ledger is away.
pub async fn counted(
    app: &App,
    among: Among<'_>,
    names: &[&str],
    span: Span,
) -> Result<Vec<Counted>, Problem> {
    let ledger = app.within(among.workspace_id);
    let accounts = ledger.followed(among).await?;
    let numbers: Vec<i32> = accounts.iter().filter_map(|it| it.number).collect();
    let first = span.first - LOOKS_BACK;
    let said = ledger.said_of(&numbers, span.begins_at() - LOOKS_BACK, span.ends_at() + TOLD_WITHIN).await?;
    let of = |account: Followed| {
        let rows = account.number.and_then(|number| said.get(&number)).map(Vec::as_slice).unwrap_or_default();
        let (series, readable) = columns(rows);
        if !readable {
            tracing::error!(account = %account.id, "a snapshot is damaged");
        }
        let days = names.iter().map(|name| {
            let mut days = Days::between(first, span.end);
            days.read(&series, name);
            days
        });
        Counted { days: days.collect(), account }
    };
    Ok(accounts.into_iter().map(of).collect())
}

/// Posts of each account by day: on a day without it were none.
pub fn by_account(posts: &[DayOfPosts], span: Span) -> BTreeMap<Uuid, Days> {
    let mut all: BTreeMap<Uuid, Days> = BTreeMap::new();
    for it in posts {
        let days = all.entry(it.account_id).or_insert_with(|| Days::of_none(span.first, span.end));
        days.put(it.day, Some(it.posts));
    }
    all
}

/// Whether a network counts that of accounts today.
pub fn is_counted(platform: &str, name: &str, today: NaiveDate) -> bool {
    let is_it = |it: &Metric| it.platform == platform && it.object == Object::Account && it.name == name;
    CATALOGUE.iter().any(|it| is_it(it) && it.lives(today))
}

impl Standing {
    fn of(it: Counted, posts: &Days, span: Span) -> Self {
        let Counted { account, days } = it;
        let is_counted = |name| is_counted(&account.platform, name, span.last_day());
        let nothing = || Days::between(span.first, span.end);
        let mut days = days.into_iter();
        let [followers, reach, engagement] = std::array::from_fn(|_| days.next().unwrap_or_else(nothing));
        Self {
            followers: Followers::of(&followers, span),
            reach: Measure::of(&reach, is_counted(REACH), span),
            engagement: Measure::of(&engagement, is_counted(ENGAGEMENT), span),
            posts: Measure::of(posts, true, span),
            id: account.id,
            name: account.name,
            platform: account.platform,
        }
    }
}

impl Measure {
    fn of(days: &Days, counted: bool, span: Span) -> Self {
        let line = days.of(span.first, span.end);
        let before = Sum::of(days.of(span.before().first, span.first));
        let now = Sum::of(line);
        Self { counted, now, before, change: now.change(before), line: line.to_vec() }
    }
}

impl Followers {
    fn of(days: &Days, span: Span) -> Self {
        let (base, growth) = grown(days, span);
        let (_, growth_before) = grown(days, span.before());
        Self {
            last: days.last(span.first, span.end),
            growth,
            growth_before,
            change: growth
                .zip(base)
                .and_then(|(more, base)| tenths(i128::from(base) + i128::from(more), i128::from(base))),
            line: days.of(span.first, span.end).to_vec(),
        }
    }
}

/// What followers grew from in a span, and by how many: from the last number before it, else from its first one. Of one
/// number alone nothing has grown.
fn grown(days: &Days, span: Span) -> (Option<i64>, Option<i64>) {
    let line = days.of(span.first, span.end);
    let mut told = line.iter().flatten();
    let before = days.last(span.first - LOOKS_BACK, span.first);
    let base = before.or_else(|| told.next().copied());
    let last = told.next_back().copied();
    (base, last.zip(base).map(|(last, base)| last.saturating_sub(base)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, number).expect("a day")
    }

    fn days(values: &[(u32, i64)]) -> Days {
        let mut days = Days::between(day(1), day(23));
        for (number, value) in values {
            days.put(day(*number), Some(*value));
        }
        days
    }

    fn week() -> Span {
        Span { first: day(16), end: day(23) }
    }

    #[test]
    fn followers_grow_from_the_last_number_before_the_span_and_of_one_number_nothing_is_said() {
        let of = |values: &[(u32, i64)]| Followers::of(&days(values), week());
        let grown = of(&[(8, 90), (14, 100), (17, 104), (22, 110)]);
        assert_eq!((grown.last, grown.growth, grown.change), (Some(110), Some(10), Some(100)));
        assert_eq!(grown.growth_before, Some(10));
        let within = of(&[(17, 104), (20, 100)]);
        assert_eq!((within.growth, within.change, within.growth_before), (Some(-4), Some(-38), None));
        let once = of(&[(17, 104)]);
        assert_eq!((once.last, once.growth, once.change), (Some(104), None, None));
        let before = of(&[(14, 100)]);
        assert_eq!((before.last, before.growth), (None, None));
        assert_eq!(before.line, [None; 7]);
    }

    #[test]
    fn what_a_network_does_not_count_is_told_from_what_it_has_not_said() {
        assert!(
            is_counted("facebook_page", REACH, day(22))
                && is_counted("instagram_business", ENGAGEMENT, day(22))
        );
        assert!(!is_counted("tiktok", REACH, day(22)) && !is_counted("tiktok", ENGAGEMENT, day(22)));
        assert!(is_counted("tiktok", FOLLOWERS, day(22)));
        let silent = Measure::of(&days(&[]), true, week());
        assert_eq!((silent.now.sum, silent.change, silent.line), (None, None, vec![None; 7]));
    }

    #[test]
    fn a_day_on_which_nothing_came_out_is_a_day_of_none() {
        let account = Uuid::from_u128(7);
        let posts = by_account(&[DayOfPosts { account_id: account, day: day(18), posts: 2 }], week());
        let measure = Measure::of(&posts[&account], true, week());
        assert_eq!(measure.now, Sum { sum: Some(2), told: 7, days: 7 });
        assert_eq!(measure.line[2], Some(2));
    }
}
