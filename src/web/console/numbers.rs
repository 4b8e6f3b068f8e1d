//! What networks have counted of a post, and of an account and what came out on it: drawn, and as tables.

use std::sync::Arc;

use askama::Template;
use axum::{
    Json,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use jobs::metrics::{Metric, Unit, catalogue::by_id, packed, series::Series};
use serde::Deserialize;

use super::{
    Shell,
    audience::{self, Kinds},
    chart,
    in_words::{self, InWords},
    render,
    seat::{Seat, Viewer},
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::series::{Latest, Refusal},
    web::{
        App,
        counted::{Shown, Span, of_account, of_post},
        figures::thousands,
        intake::metrics::{MetricsShape, csv_file, number},
        problem::{self, Problem},
    },
};

/// The latest posts of an account that are looked at, and those of them that are listed.
const COMPARED: i64 = 200;
const LISTED: usize = 25;
/// The rows of a table: the latest; all of them are in the file.
const ROWS: usize = 100;
/// What posts are compared by.
const BY: [&str; 5] = ["views", "reach", "likes", "comments", "shares"];

#[derive(Template)]
#[template(path = "metrics.html")]
struct Page {
    shell: Shell,
    title: &'static str,
    lead: &'static str,
    crumb: (&'static str, String),
    blocks: Vec<Block>,
    compared: Option<Compared>,
    /// Where it is told when an account's posts did best, and where it is compared with others.
    times: Option<String>,
    beside: Option<String>,
    /// How they are put in words; none: nobody here may ask for that.
    in_words: Option<InWords>,
}

/// All of one object.
struct Block {
    account: String,
    network: String,
    status: String,
    figures: Vec<(&'static str, String)>,
    parts: Vec<Part>,
    audience: Vec<Kinds>,
    not_told: Vec<String>,
}

/// The metrics of one period.
struct Part {
    title: &'static str,
    charts: Vec<(&'static str, String)>,
    head: Vec<&'static str>,
    rows: Vec<(String, Vec<String>)>,
    cut: Option<String>,
}

/// Posts side by side.
struct Compared {
    head: Vec<&'static str>,
    rows: Vec<Row>,
}

struct Row {
    href: String,
    words: String,
    at: String,
    numbers: Vec<String>,
}

/// What a file is wanted as.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    #[serde(default, rename = "as")]
    format: String,
}

/// The page of a post.
pub async fn of_a_post(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (t, id) = (&ENGLISH, problem::id(&id, "post")?);
    let now = app.house.clock.now();
    let shown = of_post(&app, seat.member.workspace_id, id, Span::of(None, None, now)).await?;
    let shown = shown.ok_or_else(|| Problem::not_found("post"))?;
    let path = format!("/posts/{id}/metrics");
    render(&Page {
        shell: Shell::seated(&app, &headers, &seat, "posts", &path),
        title: t.metrics_of_post,
        lead: t.metrics_lead,
        crumb: (t.post_title, format!("/posts/{id}")),
        blocks: shown.iter().map(|shown| block(&app, shown, now)).collect(),
        compared: None,
        times: None,
        beside: None,
        in_words: in_words::offer(&app, &seat, None).await?,
    })
}

/// The page of an account.
pub async fn of_an_account(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (t, id) = (&ENGLISH, problem::id(&id, "account")?);
    let now = app.house.clock.now();
    let shown = of_account(&app, seat.member.workspace_id, id, Span::of(None, None, now)).await?;
    let shown = shown.ok_or_else(|| Problem::not_found("account"))?;
    let latest = seat.ledger.latest_counts(id, COMPARED).await?;
    let path = format!("/accounts/{id}/metrics");
    render(&Page {
        shell: Shell::seated(&app, &headers, &seat, "accounts", &path),
        title: t.metrics_of_account,
        lead: t.metrics_lead,
        crumb: (t.accounts, "/accounts".to_owned()),
        blocks: vec![block(&app, &shown, now)],
        compared: compared(t, &latest),
        times: Some(format!("/dashboard/times?account={id}")),
        beside: Some(format!("/dashboard/compare?account={id}")),
        in_words: in_words::offer(&app, &seat, Some(now)).await?,
    })
}

/// The same as a file.
pub async fn post_file(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let (id, span) = (problem::id(&id, "post")?, Span::of(None, None, app.house.clock.now()));
    let shown = of_post(&app, seat.member.workspace_id, id, span).await?;
    Ok(file(&wanted, shown.ok_or_else(|| Problem::not_found("post"))?))
}

/// The same of an account.
pub async fn account_file(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let (id, span) = (problem::id(&id, "account")?, Span::of(None, None, app.house.clock.now()));
    let shown = of_account(&app, seat.member.workspace_id, id, span).await?;
    Ok(file(&wanted, vec![shown.ok_or_else(|| Problem::not_found("account"))?]))
}

fn file(wanted: &Wanted, shown: Vec<Shown>) -> Response {
    if wanted.format == "json" { Json(MetricsShape::of(shown)).into_response() } else { csv_file(&shown) }
}

fn block(app: &App, shown: &Shown, now: DateTime<Utc>) -> Block {
    let t = &ENGLISH;
    let counted = &shown.counted;
    let status = match (&counted.ended, counted.due_at) {
        (Some(ended), _) => ending(t, ended).to_owned(),
        (None, Some(at)) if at <= now => t.metrics_due.to_owned(),
        (None, Some(at)) => fill(t.metrics_next, &[&words::relative(t, at, now)]),
        (None, None) => t.metrics_not_yet.to_owned(),
    };
    let asked = counted.captured_at.map(|at| fill(t.metrics_asked, &[&words::relative(t, at, now)]));
    let status = [asked, Some(status)].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Block {
        account: counted.account.clone(),
        network: words::network(app, &counted.platform).to_owned(),
        status,
        figures: shown.series.iter().flat_map(|series| figures(t, series)).collect(),
        parts: shown.series.iter().map(|series| part(t, series)).collect(),
        audience: audience::shown(t, &shown.audience),
        not_told: shown.refusals.iter().filter_map(|it| not_told(t, it)).collect(),
    }
}

fn ending(t: &Texts, word: &str) -> &'static str {
    match word {
        "gone" => t.metrics_gone,
        "nothing" => t.metrics_nothing,
        _ => t.metrics_over,
    }
}

/// The last number of each metric that was told.
fn figures(t: &Texts, series: &Series) -> Vec<(&'static str, String)> {
    let last = |(metric, values): &(&'static Metric, Vec<Option<i64>>)| {
        let value = values.iter().rev().find_map(|value| *value)?;
        Some((label(t, metric), grouped(value, metric.unit)))
    };
    series.metrics.iter().filter_map(last).collect()
}

fn part(t: &Texts, series: &Series) -> Part {
    let whole = series.period == jobs::metrics::Period::Lifetime;
    let draw = |(metric, values): &(&'static Metric, Vec<Option<i64>>)| {
        let label = label(t, metric);
        Some((label, chart::draw(&chart::Line { title: label, at: &series.at, values })?))
    };
    let cells = |n: usize| {
        let cell = |(metric, values): &(&'static Metric, Vec<Option<i64>>)| told(t, values[n], metric.unit);
        series.metrics.iter().map(cell).collect::<Vec<_>>()
    };
    let told_at = if whole { words::minute } else { words::day };
    let rows = series.at.iter().enumerate().rev().take(ROWS);
    Part {
        title: if whole { t.metrics_whole } else { t.metrics_by_day },
        charts: series.metrics.iter().filter_map(draw).collect(),
        head: series.metrics.iter().map(|(metric, _)| label(t, metric)).collect(),
        rows: rows.map(|(n, at)| (told_at(*at), cells(n))).collect(),
        cut: (series.at.len() > ROWS)
            .then(|| fill(t.metrics_cut, &[&ROWS.to_string(), &series.at.len().to_string()])),
    }
}

fn not_told(t: &Texts, refusal: &Refusal) -> Option<String> {
    let metric = by_id(u16::try_from(refusal.metric).ok()?)?;
    Some(fill(t.metrics_not_told, &[label(t, metric), &words::day(refusal.since), &refusal.words]))
}

/// The numbers of the last word on a post, by name.
fn last_word(latest: &Latest) -> Vec<(&'static Metric, i64)> {
    let mut numbers = Vec::new();
    if let Some(points) = &latest.points {
        packed::unpack(points, |(_, id, value)| numbers.extend(by_id(id).zip(value)));
    }
    numbers
}

fn named(numbers: &[(&'static Metric, i64)], name: &str) -> Option<(Unit, i64)> {
    numbers.iter().find(|(metric, _)| metric.name == name).map(|(metric, value)| (metric.unit, *value))
}

fn compared(t: &Texts, latest: &[Latest]) -> Option<Compared> {
    let rows: Vec<Row> = latest
        .iter()
        .filter(|it| it.points.is_some())
        .take(LISTED)
        .map(|it| {
            let numbers = last_word(it);
            let cell = |name: &str| {
                named(&numbers, name)
                    .map_or_else(|| t.metrics_gap.to_owned(), |(unit, value)| grouped(value, unit))
            };
            Row {
                href: format!("/posts/{}/metrics", it.post_id),
                words: excerpt(t, &it.caption),
                at: words::minute(it.published_at),
                numbers: BY.iter().map(|name| cell(name)).collect(),
            }
        })
        .collect();
    let head = BY.iter().map(|name| named_label(t, name)).collect();
    (!rows.is_empty()).then_some(Compared { head, rows })
}

fn excerpt(t: &Texts, caption: &str) -> String {
    let words: String = caption.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect();
    if words.is_empty() { t.no_words.to_owned() } else { words }
}

fn told(t: &Texts, value: Option<i64>, unit: Unit) -> String {
    value.map_or_else(|| t.metrics_gap.to_owned(), |value| grouped(value, unit))
}

/// `12,345`, `33.25%`, `4.2 s`.
fn grouped(value: i64, unit: Unit) -> String {
    match unit {
        Unit::Percent => format!("{}%", number(value, unit)),
        Unit::Milliseconds => format!("{}.{} s", thousands(value / 1_000), (value % 1_000).abs() / 100),
        Unit::Count => thousands(value),
        Unit::Money | Unit::Ratio => number(value, unit),
    }
}

fn label(t: &Texts, metric: &Metric) -> &'static str {
    named_label(t, metric.name)
}

pub(super) fn named_label(t: &Texts, name: &str) -> &'static str {
    match name {
        "views" => t.metric_views,
        "reach" => t.metric_reach,
        "clicks" => t.metric_clicks,
        "reactions" => t.metric_reactions,
        "video_views" => t.metric_video_views,
        "likes" => t.metric_likes,
        "comments" => t.metric_comments,
        "shares" => t.metric_shares,
        "saves" => t.metric_saves,
        "interactions" => t.metric_interactions,
        "followers" => t.metric_followers,
        "follows" => t.metric_follows,
        "unfollows" => t.metric_unfollows,
        "following" => t.metric_following,
        "profile_visits" => t.metric_profile_visits,
        "actions" => t.metric_actions,
        "reposts" => t.metric_reposts,
        "watch_time_average" => t.metric_watch_time_average,
        "watch_time" => t.metric_watch_time,
        "skip_rate" => t.metric_skip_rate,
        "replies" => t.metric_replies,
        "navigation" => t.metric_navigation,
        "accounts_engaged" => t.metric_accounts_engaged,
        "link_taps" => t.metric_link_taps,
        "posts" => t.metric_posts,
        "impressions" | "impressions_unique" => t.metric_impressions,
        "plays" | "replays" | "all_plays" => t.metric_plays,
        "fans" => t.metric_fans,
        "followers_by_age" => t.metric_followers_by_age,
        "followers_by_city" => t.metric_followers_by_city,
        "followers_by_country" => t.metric_followers_by_country,
        "followers_by_gender" => t.metric_followers_by_gender,
        "spend" => t.metric_spend,
        "click_rate" => t.metric_click_rate,
        "cost_per_thousand" => t.metric_cost_per_thousand,
        "results" => t.metric_results,
        "result_values" => t.metric_result_values,
        "conversions" => t.metric_conversions,
        "cost_per_result" => t.metric_cost_per_result,
        "roas" => t.metric_roas,
        _ => t.metric_other,
    }
}

#[cfg(test)]
mod tests {
    use jobs::metrics::CATALOGUE;

    use super::*;

    #[test]
    fn every_metric_has_words_of_its_own() {
        for metric in CATALOGUE {
            assert_ne!(label(&ENGLISH, metric), ENGLISH.metric_other, "{}", metric.name);
        }
    }

    #[test]
    fn numbers_are_told_as_people_read_them() {
        assert_eq!(grouped(-1_234_567, Unit::Count), "-1,234,567");
        assert_eq!(grouped(3_325, Unit::Percent), "33.25%");
        assert_eq!(grouped(4_250, Unit::Milliseconds), "4.2 s");
    }
}
