//! What a client sees by a link: the numbers of the accounts that it covers, and nothing else. In Hebrew and English,
//! without a script, a cookie, an id or a name of anybody on the staff.

mod texts;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use chrono::{NaiveDate, TimeDelta};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use self::texts::{ENGLISH, Texts, of};
use super::{
    App, console,
    figures::{percent, signed, thousands},
    listed::Listed,
    problem::Problem,
    spark,
    standing::{
        self, Measure, Standing,
        asked::Span,
        outcome::{BY, Outcome},
    },
    whence::Whence,
};
use crate::ledger::{
    reports::{Covers, Opened},
    standing::Among,
};

/// The languages that a report may be in.
pub const LANGUAGES: &[&str] = &["en", "he"];
/// Where nothing was said.
const GAP: &str = "–";

/// The route.
pub fn routes() -> Listed<Arc<App>> {
    Listed::new().route("/report/{link}", get(page))
}

/// What is kept of a link.
pub fn digest(link: &str) -> [u8; 32] {
    Sha256::digest(format!("postroom report link|{link}")).into()
}

/// Where a link leads.
pub fn address(app: &App, link: &str) -> String {
    format!("{}/report/{link}", app.house.public_url.as_str().trim_end_matches('/'))
}

/// Which language is asked for instead of the report's own.
#[derive(Debug, Default, Deserialize)]
struct Language {
    #[serde(default)]
    lang: String,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    t: &'static Texts,
    css: &'a str,
    title: &'a str,
    lead: String,
    /// None: it says where to go.
    shown: Option<Shown>,
}

struct Shown {
    rows: Vec<Row>,
    by: Vec<&'static str>,
    best: Vec<Post>,
}

struct Row {
    name: String,
    network: String,
    cells: Vec<Figure>,
}

struct Figure {
    value: String,
    change: Option<String>,
    line: Option<String>,
    note: Option<String>,
}

struct Post {
    words: String,
    account: String,
    network: String,
    at: String,
    numbers: Vec<String>,
}

async fn page(
    State(app): State<Arc<App>>,
    from: Whence,
    headers: HeaderMap,
    Path(link): Path<String>,
    Query(language): Query<Language>,
) -> Result<Response, Problem> {
    let wanted = of(&language.lang);
    let Some(report) = app.house.ledger.open_report(&digest(&link)).await? else {
        app.patience.follows(from, app.house.clock.monotonic())?;
        return gone(&app, wanted.unwrap_or_else(|| preferred(&headers)));
    };
    let t = wanted.or_else(|| of(&report.language)).unwrap_or(&ENGLISH);
    let now = app.house.clock.now();
    let span = days(&report, now.date_naive());
    let among = Among { workspace_id: report.workspace_id, accounts: Some(&report.accounts) };
    let board = standing::board(&app, among, span, now).await?;
    let shown = Shown {
        rows: board.accounts.iter().map(|it| row(&app, t, it, span)).collect(),
        by: BY.iter().map(|word| measure(t, word)).collect(),
        best: board.ranking.best.iter().map(|it| post(&app, t, it)).collect(),
    };
    let before = span.before();
    let said = [span.first, span.last_day(), before.first, before.last_day()].map(|day| day.to_string());
    let page = Page {
        t,
        css: console::style(&app),
        title: &report.title,
        lead: fill(t.lead, &said),
        shown: Some(shown),
    };
    answer(StatusCode::OK, &page)
}

/// Ended, taken back, or never there: nobody is told which.
fn gone(app: &App, t: &'static Texts) -> Result<Response, Problem> {
    let (title, lead) = (t.gone_title, t.gone_lead.to_owned());
    answer(StatusCode::GONE, &Page { t, css: console::style(app), title, lead, shown: None })
}

fn answer(status: StatusCode, page: &Page<'_>) -> Result<Response, Problem> {
    let html = page.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Problem::internal()
    })?;
    // nobody finds it who was not given the link
    let robots = [("x-robots-tag", HeaderValue::from_static("noindex, nofollow, noarchive"))];
    Ok((status, robots, Html(html)).into_response())
}

/// The first language that the browser prefers of those that there are.
fn preferred(headers: &HeaderMap) -> &'static Texts {
    let accepts = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let mut words = accepts.unwrap_or_default().split(',');
    words.find_map(|word| of(word.trim().get(..2)?)).unwrap_or(&ENGLISH)
}

fn days(report: &Opened, today: NaiveDate) -> Span {
    match report.covers {
        Covers::Last(days) => Span::last(u16::try_from(days).unwrap_or_default(), today),
        Covers::Between(first, last) => Span { first, end: last + TimeDelta::days(1) },
    }
}

fn row(app: &App, t: &'static Texts, it: &Standing, span: Span) -> Row {
    let followers = &it.followers;
    let bare = |value: String| Figure { value, change: None, line: None, note: None };
    Row {
        name: it.name.clone(),
        network: network(app, &it.platform),
        cells: vec![
            Figure { line: line(t, t.followers, &followers.line, span), ..bare(number(followers.last)) },
            Figure {
                change: followers.change.map(percent),
                ..bare(followers.growth.map_or_else(|| GAP.to_owned(), signed))
            },
            figure(t, t.reach, &it.reach, span),
            figure(t, t.engagement, &it.engagement, span),
            figure(t, t.posts, &it.posts, span),
        ],
    }
}

fn figure(t: &Texts, label: &str, it: &Measure, span: Span) -> Figure {
    let note = match it.now.told {
        0 if !it.counted => Some(t.not_counted.to_owned()),
        _ if it.now.has_gaps() => Some(fill(t.told, &[it.now.told.to_string(), it.now.days.to_string()])),
        _ => None,
    };
    Figure {
        value: number(it.now.sum),
        change: it.change.map(percent),
        line: line(t, label, &it.line, span),
        note,
    }
}

fn line(t: &Texts, label: &str, values: &[Option<i64>], span: Span) -> Option<String> {
    let (least, most) = (values.iter().flatten().min()?, values.iter().flatten().max()?);
    let missing = values.iter().filter(|value| value.is_none()).count();
    let said = [
        label.to_owned(),
        span.first.to_string(),
        span.last_day().to_string(),
        thousands(*least),
        thousands(*most),
        missing.to_string(),
    ];
    spark::draw(&fill(t.line, &said), values)
}

fn post(app: &App, t: &Texts, it: &Outcome) -> Post {
    Post {
        words: console::excerpt(&it.caption, t.no_words),
        account: it.account.clone(),
        network: network(app, &it.platform),
        at: it.published_at.format("%Y-%m-%d %H:%M UTC").to_string(),
        numbers: BY.iter().map(|word| number(it.numbers.by(word))).collect(),
    }
}

fn measure(t: &'static Texts, word: &str) -> &'static str {
    match word {
        "views" => t.views,
        "reach" => t.reach,
        "likes" => t.likes,
        "comments" => t.comments,
        "shares" => t.shares,
        _ => t.engagement,
    }
}

fn network(app: &App, platform: &str) -> String {
    let known = app.rules.platforms.iter().find(|it| it.name == platform);
    known.map_or(platform, |it| it.title).to_owned()
}

fn number(value: Option<i64>) -> String {
    value.map_or_else(|| GAP.to_owned(), thousands)
}

/// Puts these into the text's `{}`, in order.
fn fill(text: &str, with: &[String]) -> String {
    with.iter().fold(text.to_owned(), |text, word| text.replacen("{}", word, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_that_a_report_may_be_in_has_texts_and_a_direction() {
        for word in LANGUAGES {
            let texts = of(word).expect("texts");
            assert_eq!(texts.dir, if *word == "he" { "rtl" } else { "ltr" });
            assert!(of(texts.other).is_some());
            for (text, places) in [(texts.lead, 4), (texts.told, 2), (texts.line, 6)] {
                assert_eq!(text.matches("{}").count(), places, "{text}");
            }
        }
        assert!(of("fr").is_none());
    }

    #[test]
    fn every_measure_has_words_of_its_own() {
        let mut words: Vec<_> = BY.iter().map(|word| measure(&ENGLISH, word)).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), BY.len());
    }

    #[test]
    fn two_links_have_digests_of_their_own_and_not_that_of_a_copys_link() {
        assert_ne!(digest("a"), digest("b"));
        assert_ne!(digest("a"), crate::web::privacy::exports::digest("a"));
    }
}
