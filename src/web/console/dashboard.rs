//! All accounts of the workspace side by side: what they came to over a span, against the span before, and the posts that
//! did best and worst.

mod told;

use std::sync::Arc;

use askama::Template;
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use chrono::NaiveDate;
use url::form_urlencoded::Serializer;

use super::{
    Shell, list, numbers, render,
    seat::{Seat, Viewer},
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::{people::MemberRole, standing::Among},
    web::{
        App,
        figures::{percent, signed, thousands},
        problem::Problem,
        spark,
        standing::{
            self, Board, Measure, Standing,
            asked::{Asked, Chosen, OFFERED, Span},
            days::Sum,
            outcome::{BY, Outcome},
        },
    },
};

/// Where it is.
const PATH: &str = "/dashboard";
/// What it can be sorted by; the first is what it is sorted by where nobody says otherwise.
const SORTS: &[&str] = &["name", "followers", "growth", "reach", "engagement", "posts"];
const WAYS: &[&str] = &["", "asc", "desc"];

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Page {
    shell: Shell,
    lead: String,
    spans: Vec<Link>,
    first: String,
    last: String,
    /// What the form for other days keeps.
    sort: &'static str,
    head: Vec<Column>,
    rows: Vec<Row>,
    best: Vec<Post>,
    worst: Vec<Post>,
    by: Vec<&'static str>,
    notes: Vec<String>,
    csv: String,
    json: String,
    reports: bool,
}

/// Somewhere else, or here.
pub struct Link {
    pub label: String,
    pub href: String,
    pub here: bool,
}

/// A column, and what leads to it sorted by that.
struct Column {
    label: &'static str,
    href: String,
    /// Which way it is sorted, where it is by this one, and the sign for that.
    way: Option<&'static str>,
    sign: &'static str,
}

struct Row {
    href: String,
    name: String,
    network: String,
    cells: Vec<Figure>,
}

/// One number of an account's.
struct Figure {
    value: String,
    change: Option<String>,
    line: Option<String>,
    note: Option<String>,
}

struct Post {
    href: String,
    words: String,
    account: String,
    network: String,
    at: String,
    numbers: Vec<String>,
}

/// What is asked of the page.
struct Wish {
    chosen: Chosen,
    sort: &'static str,
    ascending: bool,
    format: &'static str,
}

impl Wish {
    fn read(uri: &Uri, today: NaiveDate) -> Result<Self, Problem> {
        let mut asked = Asked::read(uri, &["days", "from", "to", "sort", "order", "as"]);
        let (chosen, sort) = (asked.span(today), asked.word("sort", SORTS));
        let ascending = match asked.word("order", WAYS) {
            "asc" => true,
            "desc" => false,
            // names from the first on, numbers from the most on
            _ => sort == SORTS[0],
        };
        let format = asked.word("as", &["csv", "json"]);
        asked.done()?;
        Ok(Self { chosen, sort, ascending, format })
    }

    /// Where the same is a file.
    fn file(&self, format: &str) -> String {
        let same = address("/dashboard/file", self.chosen, (self.sort, self.ascending));
        format!("{same}&as={format}")
    }
}

fn address(path: &str, chosen: Chosen, (sort, ascending): (&str, bool)) -> String {
    let mut query = Serializer::new(String::new());
    chosen.say(&mut query);
    query.append_pair("sort", sort).append_pair("order", if ascending { "asc" } else { "desc" });
    format!("{path}?{}", query.finish())
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let (t, today) = (&ENGLISH, app.house.clock.now().date_naive());
    let wish = Wish::read(&uri, today)?;
    let board = sorted(&app, &seat, &wish).await?;
    let span = wish.chosen.span;
    let path = uri.path_and_query().map_or(PATH, |path| path.as_str()).to_owned();
    render(&Page {
        lead: lead(t, span),
        spans: spans(t, &wish, today),
        first: span.first.to_string(),
        last: span.last_day().to_string(),
        sort: wish.sort,
        head: SORTS.iter().copied().map(|word| column(t, &wish, word)).collect(),
        rows: board.accounts.iter().map(|it| row(&app, t, it, span)).collect(),
        best: board.ranking.best.iter().map(|it| post(&app, t, it)).collect(),
        worst: board.ranking.worst.iter().map(|it| post(&app, t, it)).collect(),
        by: BY.iter().map(|word| measure(t, word)).collect(),
        notes: notes(t, &board),
        csv: wish.file("csv"),
        json: wish.file("json"),
        reports: seat.may(MemberRole::Admin),
        shell: Shell::seated(&app, &headers, &seat, "dashboard", &path),
    })
}

/// The same as a file.
pub async fn file(State(app): State<Arc<App>>, seat: Seat<Viewer>, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::read(&uri, app.house.clock.now().date_naive())?;
    let board = sorted(&app, &seat, &wish).await?;
    let json = wish.format == "json";
    Ok(if json { Json(told::document(&board)).into_response() } else { told::table(&board) })
}

async fn sorted(app: &App, seat: &Seat<Viewer>, wish: &Wish) -> Result<Board, Problem> {
    let (among, now) = (Among::all(seat.member.workspace_id), app.house.clock.now());
    let mut board = standing::board(app, among, wish.chosen.span, now).await?;
    sort(&mut board.accounts, wish.sort, wish.ascending);
    Ok(board)
}

/// Sorts what came by name. What was not told comes last, whichever way.
fn sort(accounts: &mut [Standing], by: &str, ascending: bool) {
    let key = |it: &Standing| match by {
        "followers" => it.followers.last,
        "growth" => it.followers.growth,
        "reach" => it.reach.now.sum,
        "engagement" => it.engagement.now.sum,
        "posts" => it.posts.now.sum,
        _ => None,
    };
    if by == SORTS[0] && !ascending {
        accounts.reverse();
    }
    accounts.sort_by(|a, b| match (key(a), key(b)) {
        (Some(a), Some(b)) if ascending => a.cmp(&b),
        (Some(a), Some(b)) => b.cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
}

/// Which days these are, and against which.
pub fn lead(t: &Texts, span: Span) -> String {
    let before = span.before();
    let day = |day: NaiveDate| day.format("%-d %b %Y").to_string();
    fill(
        t.dashboard_lead,
        &[&day(span.first), &day(span.last_day()), &day(before.first), &day(before.last_day())],
    )
}

fn spans(t: &Texts, wish: &Wish, today: NaiveDate) -> Vec<Link> {
    let link = |days: u16| {
        let chosen = Chosen { span: Span::last(days, today), days: Some(days) };
        Link {
            label: fill(t.dashboard_days, &[&days.to_string()]),
            href: address(PATH, chosen, (wish.sort, wish.ascending)),
            here: wish.chosen.days == Some(days),
        }
    };
    OFFERED.map(link).into()
}

fn column(t: &Texts, wish: &Wish, word: &'static str) -> Column {
    let label = match word {
        "name" => t.dashboard_account,
        "followers" => t.metric_followers,
        "growth" => t.dashboard_growth,
        "posts" => t.dashboard_posts,
        _ => measure(t, word),
    };
    let here = wish.sort == word;
    // who goes to the one that is sorted by turns it round
    let ascending = if here { !wish.ascending } else { word == SORTS[0] };
    Column {
        label,
        href: address(PATH, wish.chosen, (word, ascending)),
        way: here.then_some(if wish.ascending { "ascending" } else { "descending" }),
        sign: match (here, wish.ascending) {
            (false, _) => "",
            (true, true) => "▲",
            (true, false) => "▼",
        },
    }
}

/// What posts and accounts are measured by, in words.
pub fn measure(t: &Texts, word: &str) -> &'static str {
    if word == BY[0] { t.dashboard_engagement } else { numbers::named_label(t, word) }
}

fn row(app: &App, t: &Texts, it: &Standing, span: Span) -> Row {
    Row {
        href: format!("/accounts/{}/metrics", it.id),
        name: it.name.clone(),
        network: words::network(app, &it.platform).to_owned(),
        cells: vec![
            Figure {
                value: number(t, it.followers.last),
                change: None,
                line: line(t, t.metric_followers, &it.followers.line, span),
                note: None,
            },
            Figure {
                value: it.followers.growth.map_or_else(|| t.metrics_gap.to_owned(), signed),
                change: it.followers.change.map(percent),
                line: None,
                note: it
                    .followers
                    .growth_before
                    .map(|before| fill(t.dashboard_growth_before, &[&signed(before)])),
            },
            figure(t, t.metric_reach, &it.reach, span),
            figure(t, t.dashboard_engagement, &it.engagement, span),
            figure(t, t.dashboard_posts, &it.posts, span),
        ],
    }
}

fn figure(t: &Texts, label: &str, it: &Measure, span: Span) -> Figure {
    Figure {
        value: number(t, it.now.sum),
        change: it.change.map(percent),
        line: line(t, label, &it.line, span),
        note: gaps(t, it),
    }
}

/// That something is missing, and how much.
fn gaps(t: &Texts, it: &Measure) -> Option<String> {
    match it.now {
        Sum { told: 0, .. } if !it.counted => Some(t.dashboard_not_counted.to_owned()),
        now if now.has_gaps() => {
            Some(fill(t.dashboard_told, &[&now.told.to_string(), &now.days.to_string()]))
        }
        _ => None,
    }
}

/// The line of some days, with what it shows in words.
fn line(t: &Texts, label: &str, values: &[Option<i64>], span: Span) -> Option<String> {
    let (least, most) = (values.iter().flatten().min()?, values.iter().flatten().max()?);
    let day = |day: NaiveDate| day.format("%-d %b").to_string();
    let said: [&str; 6] = [
        label,
        &day(span.first),
        &day(span.last_day()),
        &thousands(*least),
        &thousands(*most),
        &values.iter().filter(|value| value.is_none()).count().to_string(),
    ];
    spark::draw(&fill(t.dashboard_line, &said), values)
}

fn number(t: &Texts, value: Option<i64>) -> String {
    value.map_or_else(|| t.metrics_gap.to_owned(), thousands)
}

fn post(app: &App, t: &Texts, it: &Outcome) -> Post {
    Post {
        href: format!("/posts/{}/metrics", it.post_id),
        words: list::excerpt(&it.caption, t.no_words),
        account: it.account.clone(),
        network: words::network(app, &it.platform).to_owned(),
        at: it.published_at.format("%-d %b %Y, %H:%M UTC").to_string(),
        numbers: BY.iter().map(|word| number(t, it.numbers.by(word))).collect(),
    }
}

/// What is at neither end for a reason.
fn notes(t: &Texts, board: &Board) -> Vec<String> {
    let note = |many: usize, text: &str| (many > 0).then(|| fill(text, &[&many.to_string()]));
    let ranking = &board.ranking;
    let all = [note(ranking.young, t.dashboard_young), note(ranking.untold, t.dashboard_untold)];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::web::standing::Followers;

    fn standing(name: &str, reach: Option<i64>) -> Standing {
        let none =
            Measure { counted: true, now: Sum::of(&[]), before: Sum::of(&[]), change: None, line: vec![] };
        Standing {
            id: Uuid::nil(),
            name: name.into(),
            platform: "tiktok".into(),
            followers: Followers {
                last: None,
                growth: None,
                growth_before: None,
                change: None,
                line: vec![],
            },
            reach: Measure { now: Sum::of(&[reach]), ..none.clone() },
            engagement: none.clone(),
            posts: none,
        }
    }

    #[test]
    fn what_was_not_told_comes_last_whichever_way_it_is_sorted() {
        let mut all = [standing("a", Some(3)), standing("b", None), standing("c", Some(9))];
        let mut names = |by: &str, ascending| {
            sort(&mut all, by, ascending);
            all.iter().map(|it| it.name.clone()).collect::<String>()
        };
        assert_eq!(names("reach", false), "cab");
        assert_eq!(names("reach", true), "acb");
    }

    #[test]
    fn what_is_missing_says_so_and_what_is_not_counted_says_that() {
        let silent = standing("a", None).reach;
        assert_eq!(gaps(&ENGLISH, &silent), Some("Told of 0 of 1 days".into()));
        assert_eq!(
            gaps(&ENGLISH, &Measure { counted: false, ..silent }),
            Some(ENGLISH.dashboard_not_counted.into())
        );
        assert_eq!(gaps(&ENGLISH, &standing("a", Some(0)).reach), None);
    }
}
