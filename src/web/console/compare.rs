//! Accounts beside each other and beside themselves in another span, and posts by their age: in one drawing, and as a table.

mod sets;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use uuid::Uuid;

use self::sets::Set;
use super::{
    Choice, Shell, dashboard, list, render,
    seat::{Seat, Viewer},
    strands::{self, MOST},
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::standing::{Among, Followed, Published},
    web::{
        App,
        figures::thousands,
        problem::Problem,
        standing::{
            asked::{Asked, Chosen, OFFERED, Span},
            outcome::BY,
        },
    },
};

/// What accounts are compared by.
const OF_ACCOUNTS: &[&str] = &["reach", "engagement", "views", "followers", "posts"];
/// Besides the span.
const AGAINST: &[&str] = &["", "before"];
/// Posts to choose from: the latest of a quarter of a year.
const CHOSEN_FROM: i64 = 30;
const CHOSEN_WITHIN: TimeDelta = TimeDelta::days(90);

#[derive(Template)]
#[template(path = "compare.html")]
struct Page {
    shell: Shell,
    shown: Option<Shown>,
    accounts: Vec<Choice>,
    posts: Vec<Choice>,
    of_accounts: Vec<Choice>,
    of_posts: Vec<Choice>,
    days: Vec<Choice>,
    against: Vec<Choice>,
    /// Days that were asked for themselves: of the span, and of the other.
    dates: [String; 4],
}

/// What is compared.
struct Shown {
    title: String,
    drawing: Option<String>,
    strands: Vec<Strand>,
    rows: Vec<(String, Vec<String>)>,
    last: &'static str,
    foot: Vec<String>,
}

/// A line in the legend.
struct Strand {
    sample: String,
    label: String,
    note: String,
}

/// What is asked for.
struct Wish {
    chosen: Chosen,
    other: Option<Span>,
    against: &'static str,
    metric: &'static str,
    accounts: Vec<Uuid>,
    posts: Vec<Uuid>,
}

impl Wish {
    fn read(uri: &Uri, today: NaiveDate) -> Result<Self, Problem> {
        let known = ["days", "from", "to", "against", "from2", "to2", "metric", "account", "publication"];
        let mut asked = Asked::read(uri, &known);
        let (accounts, posts) = (asked.ids("account"), asked.ids("publication"));
        let metric = asked.word("metric", if posts.is_empty() { OF_ACCOUNTS } else { BY });
        let (chosen, against) = (asked.span(today), asked.word("against", AGAINST));
        let other = asked.dates("from2", "to2", today);
        let other = other.or_else(|| (against == "before").then(|| chosen.span.before()));
        let spans = if other.is_some() { 2 } else { 1 };
        if accounts.len() * spans > MOST || posts.len() > MOST {
            asked.find("account", "too_many", ENGLISH.compare_too_many);
        }
        if !accounts.is_empty() && !posts.is_empty() {
            asked.find("publication", "two_kinds", ENGLISH.compare_two_kinds);
        }
        asked.done()?;
        Ok(Self { chosen, other, against, metric, accounts, posts })
    }

    fn spans(&self) -> Vec<Span> {
        std::iter::once(self.chosen.span).chain(self.other).collect()
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
    let wish = Wish::read(&uri, now.date_naive())?;
    let compared = match (wish.accounts.as_slice(), wish.posts.as_slice()) {
        ([], []) => None,
        (accounts, []) => {
            Some(sets::of_accounts(&app, workspace, accounts, &wish.spans(), wish.metric).await?)
        }
        (_, posts) => Some(sets::of_posts(&app, workspace, posts, wish.metric, now).await?),
    };
    let (ledger, among) = (&seat.ledger, Among::all(workspace));
    let (accounts, posts) = tokio::try_join!(
        ledger.followed(among),
        // a little ahead, where this clock is behind the ledger's
        ledger.published(among, now - CHOSEN_WITHIN, now + TimeDelta::days(1), CHOSEN_FROM),
    )?;
    let path = uri.path_and_query().map_or("/dashboard/compare", |path| path.as_str()).to_owned();
    render(&Page {
        shown: compared.map(|set| shown(t, &set, wish.metric)),
        accounts: accounts.iter().map(|it| of_account(&app, it, &wish)).collect(),
        posts: posts.iter().map(|it| of_post(&app, t, it, &wish)).collect(),
        of_accounts: OF_ACCOUNTS.iter().map(|word| metric(t, word, &wish)).collect(),
        of_posts: BY.iter().map(|word| metric(t, word, &wish)).collect(),
        days: days(t, &wish),
        against: against(t, &wish),
        dates: dates(&wish),
        shell: Shell::seated(&app, &headers, &seat, "dashboard", &path),
    })
}

fn shown(t: &Texts, set: &Set, metric: &str) -> Shown {
    let title = fill(t.compare_of, &[named(t, metric)]);
    let lines: Vec<Vec<Option<i64>>> = set.strands.iter().map(|it| it.values.clone()).collect();
    let strand = |(n, it): (usize, &sets::Strand)| Strand {
        sample: strands::sample(n),
        label: it.label.clone(),
        note: it.note.clone(),
    };
    let cell = |it: &sets::Strand, place: usize| match it.values.get(place) {
        Some(value) => number(t, *value),
        // where a line is over, or has not come to yet, nothing is missing
        None => String::new(),
    };
    let row = |(place, name): (usize, &String)| {
        (name.clone(), set.strands.iter().map(|it| cell(it, place)).collect::<Vec<_>>())
    };
    Shown {
        drawing: strands::draw(&title, &set.places, &lines),
        strands: set.strands.iter().enumerate().map(strand).collect(),
        rows: set.places.iter().enumerate().map(row).collect(),
        last: if set.added_up { t.compare_sum } else { t.compare_last },
        foot: set.strands.iter().map(|it| number(t, it.whole)).collect(),
        title,
    }
}

fn number(t: &Texts, value: Option<i64>) -> String {
    value.map_or_else(|| t.metrics_gap.to_owned(), thousands)
}

fn named(t: &Texts, metric: &str) -> &'static str {
    if metric == "posts" { t.dashboard_posts } else { dashboard::measure(t, metric) }
}

fn metric(t: &Texts, word: &str, wish: &Wish) -> Choice {
    Choice { value: word.to_owned(), label: named(t, word).to_owned(), chosen: wish.metric == word }
}

fn of_account(app: &App, it: &Followed, wish: &Wish) -> Choice {
    Choice {
        value: it.id.to_string(),
        label: format!("{} · {}", it.name, words::network(app, &it.platform)),
        chosen: wish.accounts.contains(&it.id),
    }
}

fn of_post(app: &App, t: &Texts, it: &Published, wish: &Wish) -> Choice {
    let label = [
        list::excerpt(&it.caption, t.no_words),
        it.account.clone(),
        words::network(app, &it.platform).to_owned(),
        day(it.published_at),
    ];
    Choice { value: it.id.to_string(), label: label.join(" · "), chosen: wish.posts.contains(&it.id) }
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%-d %b %Y").to_string()
}

fn days(t: &Texts, wish: &Wish) -> Vec<Choice> {
    let choice = |days: u16| Choice {
        value: days.to_string(),
        label: fill(t.dashboard_days, &[&days.to_string()]),
        chosen: wish.chosen.days == Some(days),
    };
    OFFERED.map(choice).into()
}

fn against(t: &Texts, wish: &Wish) -> Vec<Choice> {
    let choice = |word: &str| {
        let label = if word.is_empty() { t.compare_alone } else { t.compare_before };
        Choice { value: word.to_owned(), label: label.to_owned(), chosen: wish.against == word }
    };
    AGAINST.iter().map(|word| choice(word)).collect()
}

/// What the fields for days hold: what was written there before.
fn dates(wish: &Wish) -> [String; 4] {
    let own = |span: Option<Span>| {
        span.map(|it| [it.first.to_string(), it.last_day().to_string()]).unwrap_or_default()
    };
    let [from, to] = own(wish.chosen.days.is_none().then_some(wish.chosen.span));
    let [from2, to2] = own(wish.other.filter(|_| wish.against.is_empty()));
    [from, to, from2, to2]
}
