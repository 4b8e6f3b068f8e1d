//! What ads came to: the ad account, its campaigns, their parts or their ads side by side over some days, and one of them day
//! by day. Every sum of money stands with its currency, and every result with the window that it was counted by.

mod sums;
mod told;

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use chrono::{NaiveDate, NaiveTime};
use jobs::metrics::ads::Level;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use self::sums::{ByKind, Exact, Sum, money};
use super::{
    Shell, chart,
    dashboard::Link,
    numbers::named_label,
    render,
    seat::{Seat, Viewer},
    texts::{ENGLISH, Texts, fill},
};
use crate::{
    ledger::advertising::{AdDay, Wanted},
    web::{
        App,
        figures::thousands,
        intake::ads::AdDayShape,
        problem::{self, Problem},
        spark,
        standing::asked::{Asked, Chosen, OFFERED, Span},
    },
};

/// The most lines that a page reads, each one object on one day.
const MOST: i64 = 20_000;
/// The kinds of result that stand beside an object: those of which there were the most.
const KINDS: usize = 3;
/// What is looked at where nobody says otherwise, and then the others.
const LEVELS: &[&str] = &["campaign", "account", "adset", "ad"];
/// What stands in the table of one object, in this order.
const COLUMNS: [&str; 11] = [
    "impressions",
    "reach",
    "clicks",
    "spend",
    "click_rate",
    "cost_per_thousand",
    "results",
    "result_values",
    "conversions",
    "cost_per_result",
    "roas",
];
/// What is drawn of one object.
const DRAWN: [&str; 3] = ["impressions", "clicks", "spend"];

#[derive(Template)]
#[template(path = "ads.html")]
struct Page {
    shell: Shell,
    account: String,
    lead: String,
    spans: Vec<Link>,
    levels: Vec<Link>,
    level: &'static str,
    object: String,
    first: String,
    last: String,
    note: Option<String>,
    rows: Vec<Row>,
    one: Option<One>,
    csv: String,
    json: String,
}

/// An object beside others.
struct Row {
    href: String,
    name: String,
    days: usize,
    impressions: String,
    clicks: String,
    spend: Vec<String>,
    line: Option<String>,
    results: Vec<String>,
    conversions: Vec<String>,
    returns: Vec<String>,
    attribution: String,
}

/// One object, day by day.
struct One {
    name: String,
    charts: Vec<(String, String)>,
    head: Vec<&'static str>,
    rows: Vec<(String, Vec<String>)>,
}

/// What is asked of the page.
struct Wish {
    chosen: Chosen,
    level: Level,
    object: Option<String>,
    format: &'static str,
}

impl Wish {
    fn read(uri: &Uri, today: NaiveDate) -> Result<Self, Problem> {
        let mut asked = Asked::read(uri, &["days", "from", "to", "level", "object", "as"]);
        let (chosen, level) = (asked.span(today), asked.word("level", LEVELS));
        let format = asked.word("as", &["csv", "json"]);
        let object = asked.one("object").map(str::to_owned);
        asked.done()?;
        Ok(Self { chosen, level: Level::parse(level).unwrap_or(Level::Campaign), object, format })
    }

    fn span(&self) -> Span {
        self.chosen.span
    }

    /// Where the same is.
    fn same(&self, path: &str) -> String {
        address(path, self.chosen, self.level, self.object.as_deref())
    }
}

fn address(path: &str, chosen: Chosen, level: Level, object: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    chosen.say(&mut query);
    query.append_pair("level", level.word());
    if let Some(object) = object {
        query.append_pair("object", object);
    }
    format!("{path}?{}", query.finish())
}

/// What was told.
struct Told {
    account: String,
    days: Vec<AdDay>,
    /// There was more.
    cut: bool,
}

impl Told {
    async fn of(seat: &Seat<Viewer>, account: Uuid, wish: &Wish) -> Result<Self, Problem> {
        let (workspace, span) = (seat.member.workspace_id, wish.span());
        let known = seat.ledger.counted_of_account(workspace, account).await?;
        let known = known.ok_or_else(|| Problem::not_found("account"))?;
        let (from, to) = (span.first, span.last_day());
        let wanted = Wanted { level: wish.level, from, to, after: None, most: MOST + 1 };
        let days = seat.ledger.ads_of_account(workspace, account, &wanted).await?;
        let mut days = days.ok_or_else(|| Problem::not_found("account"))?;
        let most = usize::try_from(MOST).unwrap_or(usize::MAX);
        let cut = days.len() > most;
        days.truncate(most);
        if let Some(object) = &wish.object {
            days.retain(|day| day.remote_id == *object);
        }
        Ok(Self { account: known.account, days, cut })
    }

    /// The days of each object.
    fn by_object(&self) -> BTreeMap<&str, Vec<&AdDay>> {
        let mut all: BTreeMap<&str, Vec<&AdDay>> = BTreeMap::new();
        for day in &self.days {
            all.entry(&day.remote_id).or_default().push(day);
        }
        all
    }
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
    uri: Uri,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (t, today) = (&ENGLISH, app.house.clock.now().date_naive());
    let (id, wish) = (problem::id(&id, "account")?, Wish::read(&uri, today)?);
    let told = Told::of(&seat, id, &wish).await?;
    let (here, span) = (format!("/accounts/{id}/ads"), wish.span());
    let path = uri.path_and_query().map_or(here.as_str(), |path| path.as_str()).to_owned();
    let alone = wish.object.is_some();
    render(&Page {
        lead: fill(t.ads_lead, &[&day_in_words(span.first), &day_in_words(span.last_day())]),
        spans: spans(t, &wish, &here, today),
        levels: levels(t, &wish, &here),
        level: wish.level.word(),
        object: wish.object.clone().unwrap_or_default(),
        first: span.first.to_string(),
        last: span.last_day().to_string(),
        note: told.cut.then(|| fill(t.ads_cut, &[&thousands(MOST)])),
        rows: if alone { Vec::new() } else { rows(t, &told, &wish, &here) },
        one: if alone { one(t, &told, span) } else { None },
        csv: format!("{}&as=csv", wish.same(&format!("{here}/file"))),
        json: format!("{}&as=json", wish.same(&format!("{here}/file"))),
        account: told.account,
        shell: Shell::seated(&app, &headers, &seat, "accounts", &path),
    })
}

/// The same as a file: every number as the network wrote it.
pub async fn file(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    uri: Uri,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let wish = Wish::read(&uri, app.house.clock.now().date_naive())?;
    let told = Told::of(&seat, problem::id(&id, "account")?, &wish).await?;
    if wish.format == "json" {
        let days: Vec<AdDayShape> = told.days.into_iter().map(AdDayShape::of).collect();
        return Ok(Json(json!({ "data": days, "cut": told.cut })).into_response());
    }
    Ok(told::table(&told.days))
}

fn day_in_words(day: NaiveDate) -> String {
    day.format("%-d %b %Y").to_string()
}

fn spans(t: &Texts, wish: &Wish, here: &str, today: NaiveDate) -> Vec<Link> {
    let link = |days: u16| {
        let chosen = Chosen { span: Span::last(days, today), days: Some(days) };
        Link {
            label: fill(t.dashboard_days, &[&days.to_string()]),
            href: address(here, chosen, wish.level, wish.object.as_deref()),
            here: wish.chosen.days == Some(days),
        }
    };
    OFFERED.map(link).into()
}

fn levels(t: &Texts, wish: &Wish, here: &str) -> Vec<Link> {
    let link = |level: &Level| Link {
        label: level_in_words(t, *level).to_owned(),
        href: address(here, wish.chosen, *level, None),
        here: wish.level == *level,
    };
    Level::ALL.iter().map(link).collect()
}

fn level_in_words(t: &Texts, level: Level) -> &'static str {
    match level {
        Level::Account => t.ads_account,
        Level::Campaign => t.ads_campaigns,
        Level::AdSet => t.ads_sets,
        Level::Ad => t.ads_ads,
    }
}

/// What people call it, or else its id.
fn name_of(days: &[&AdDay]) -> String {
    let first = days.first();
    first.map(|day| day.name.clone().unwrap_or_else(|| day.remote_id.clone())).unwrap_or_default()
}

/// The objects, those first on which the most was spent.
fn rows(t: &Texts, told: &Told, wish: &Wish, here: &str) -> Vec<Row> {
    let mut all: Vec<(i64, Row)> = Vec::new();
    for (object, days) in told.by_object() {
        let sum = Sum::of(days.iter().copied());
        let most = sum.spend.values().copied().map(Exact::hundredths).max().unwrap_or_default();
        let href = address(here, wish.chosen, wish.level, Some(object));
        all.push((most, row(t, &days, &sum, href, wish.span())));
    }
    all.sort_by_key(|(most, _)| std::cmp::Reverse(*most));
    all.into_iter().map(|(_, row)| row).collect()
}

fn row(t: &Texts, days: &[&AdDay], sum: &Sum, href: String, span: Span) -> Row {
    let whole = |number: Option<Exact>| {
        number.map_or_else(|| t.metrics_gap.to_owned(), |number| thousands(number.whole()))
    };
    let returns = sum.returns();
    Row {
        href,
        name: name_of(days),
        days: sum.days,
        impressions: whole(sum.impressions),
        clicks: whole(sum.clicks),
        spend: spent(t, &sum.spend),
        line: line(t, days, span),
        results: most_of(&sum.results).iter().map(|(kind, number)| result(t, sum, kind, *number)).collect(),
        conversions: most_of(&sum.conversions)
            .iter()
            .map(|(kind, number)| fill(t.ads_result, &[kind, &thousands(number.whole())]))
            .collect(),
        returns: returns.iter().map(|(kind, times)| fill(t.ads_return, &[kind, &times.money()])).collect(),
        attribution: sum.attributions.iter().cloned().collect::<Vec<_>>().join(", "),
    }
}

fn spent(t: &Texts, spend: &ByKind) -> Vec<String> {
    if spend.is_empty() {
        return vec![t.metrics_gap.to_owned()];
    }
    spend.iter().map(|(currency, sum)| with_currency(&sum.money(), currency)).collect()
}

fn with_currency(sum: &str, currency: &str) -> String {
    format!("{sum} {currency}").trim_end().to_owned()
}

/// Of these kinds those of which there were the most.
fn most_of(kinds: &ByKind) -> Vec<(&str, Exact)> {
    let mut all: Vec<(&str, Exact)> = kinds.iter().map(|(kind, number)| (kind.as_str(), *number)).collect();
    all.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    all.truncate(KINDS);
    all
}

fn result(t: &Texts, sum: &Sum, kind: &str, number: Exact) -> String {
    let count = thousands(number.whole());
    match sum.cost(number) {
        Some((currency, cost)) => {
            fill(t.ads_result_cost, &[kind, &count, &with_currency(&cost.money(), currency)])
        }
        None => fill(t.ads_result, &[kind, &count]),
    }
}

/// A number for each day of the span; a day of which nothing was said is a gap.
fn by_day(days: &[&AdDay], name: &str, span: Span, read: fn(Exact) -> i64) -> Vec<Option<i64>> {
    let said: BTreeMap<NaiveDate, i64> =
        days.iter().filter_map(|day| Some((day.day, read(Exact::read(&day.numbers[name])?)))).collect();
    span.first.iter_days().take_while(|day| *day < span.end).map(|day| said.get(&day).copied()).collect()
}

/// What was spent day by day, with what it shows in words.
fn line(t: &Texts, days: &[&AdDay], span: Span) -> Option<String> {
    let values = by_day(days, "spend", span, Exact::hundredths);
    let (least, most) = (values.iter().flatten().min()?, values.iter().flatten().max()?);
    let said: [&str; 6] = [
        t.metric_spend,
        &day_in_words(span.first),
        &day_in_words(span.last_day()),
        &money(*least),
        &money(*most),
        &values.iter().filter(|value| value.is_none()).count().to_string(),
    ];
    spark::draw(&fill(t.dashboard_line, &said), &values)
}

/// One object; none: nothing was told of it.
fn one(t: &Texts, told: &Told, span: Span) -> Option<One> {
    let days: Vec<&AdDay> = told.days.iter().collect();
    days.first()?;
    let moments: Vec<_> = span
        .first
        .iter_days()
        .take_while(|day| *day < span.end)
        .map(|day| day.and_time(NaiveTime::MIN).and_utc())
        .collect();
    let draw = |name: &&'static str| {
        let values = by_day(&days, name, span, Exact::whole);
        let label = named_label(t, name);
        let line = chart::Line { title: label, at: &moments, values: &values };
        Some((label.to_owned(), chart::draw(&line)?))
    };
    let row = |day: &&AdDay| {
        let numbers = COLUMNS.iter().map(|name| in_words(t, &day.numbers[*name]));
        let beside = [&day.currency, &day.attribution];
        let beside = beside.into_iter().map(|it| it.clone().unwrap_or_else(|| t.metrics_gap.to_owned()));
        (day_in_words(day.day), numbers.chain(beside).collect::<Vec<_>>())
    };
    let head = COLUMNS.iter().map(|name| named_label(t, name));
    Some(One {
        name: name_of(&days),
        charts: DRAWN.iter().filter_map(draw).collect(),
        head: head.chain([t.ads_currency, t.ads_attribution]).collect(),
        rows: days.iter().map(row).collect(),
    })
}

/// A number as the network wrote it; those by kinds of action one after the other.
fn in_words(t: &Texts, number: &Value) -> String {
    match number {
        Value::String(text) => text.clone(),
        Value::Object(kinds) if !kinds.is_empty() => {
            let one = |(kind, number): (&String, &Value)| {
                fill(t.ads_result, &[kind, number.as_str().unwrap_or(t.metrics_gap)])
            };
            kinds.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        _ => t.metrics_gap.to_owned(),
    }
}
