//! An analysis: what was suggested or found, and what left the house for it. Nothing here publishes anything.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue},
    response::Response,
};
use jobs::analysis::{
    Language, Policy, Sent,
    money::Micros,
    review::{Severity, Topic},
};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Choice, Shell,
    helped::what,
    numbers::named_label,
    render,
    seat::{Seat, Viewer},
    suggestion,
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::analyses::{AnalysisRow, CallRow},
    web::{
        App,
        problem::{self, Problem},
    },
};

/// While it is under way the page asks again after so many seconds.
const AGAIN: &str = "3";
/// The digits of a digest that are shown.
const DIGITS: usize = 12;

#[derive(Template)]
#[template(path = "analysis.html")]
struct Page {
    shell: Shell,
    title: &'static str,
    waiting: bool,
    /// Why nothing came of it.
    failed: Option<String>,
    brief: String,
    networks: Vec<Network>,
    alt_texts: Vec<String>,
    statements: Vec<String>,
    advice: Vec<String>,
    figures: Vec<Counted>,
    summary: Option<String>,
    findings: Vec<Found>,
    said: Vec<(String, String)>,
    about: String,
    /// What the month costs.
    month: Option<String>,
    calls: Vec<Call>,
}

/// A figure that something was said of.
struct Counted {
    what: &'static str,
    network: String,
    value: String,
    before: String,
}

/// The captions for one network, each with where a post is written with it.
struct Network {
    title: String,
    texts: Vec<(String, String)>,
}

/// A finding of a review.
struct Found {
    at: String,
    kind: &'static str,
    severity: &'static str,
    detail: String,
}

/// A call to the provider: what came of it, what it cost, and what left with it.
struct Call {
    outcome: String,
    cost: String,
    parts: Vec<Part>,
}

/// A part of what left.
struct Part {
    field: String,
    bytes: usize,
    digest: String,
}

/// The page of an analysis.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = problem::id(&id, "analysis")?;
    let row = seat.ledger.analysis(seat.member.workspace_id, id).await?;
    let row = row.ok_or_else(|| Problem::not_found("analysis"))?;
    let waiting = row.ended.is_none();
    let shell = Shell::seated(&app, &headers, &seat, "posts", &format!("/analyses/{id}"));
    let month = cost_of_month(&app, seat.member.workspace_id).await?;
    let page = Page { month, ..Page::of(&app, shell, &row) };
    let mut response = render(&page)?;
    if waiting {
        response.headers_mut().insert("refresh", HeaderValue::from_static(AGAIN));
    }
    Ok(response)
}

impl Page {
    fn of(app: &App, shell: Shell, row: &AnalysisRow) -> Self {
        let t = shell.t;
        let result = row.result.as_ref().unwrap_or(&Value::Null);
        let list = |name: &str| result[name].as_array().map_or(&[][..], Vec::as_slice);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let said = list("transcript").iter().map(|it| (at(t, &it["from_ms"]), text(&it["text"])));
        Self {
            title: what(t, row.kind),
            waiting: row.ended.is_none(),
            failed: row.error.as_ref().map(|error| text(&error["message"])),
            brief: row.brief.clone(),
            networks: networks(app, row.id, list("variants")),
            alt_texts: list("alt_texts").iter().map(text).collect(),
            statements: list("statements").iter().map(|it| text(&it["text"])).collect(),
            advice: list("advice").iter().map(text).collect(),
            figures: list("figures").iter().map(|it| counted(app, t, it)).collect(),
            month: None,
            summary: result["summary"].as_str().map(str::to_owned),
            findings: findings(t, list("moderation"), list("findings")),
            said: said.collect(),
            about: about(t, row),
            calls: row.calls.iter().map(call).collect(),
            shell,
        }
    }
}

/// The captions by network, in the order in which they came.
fn networks(app: &App, analysis: Uuid, variants: &[Value]) -> Vec<Network> {
    let mut networks: Vec<(String, Network)> = Vec::new();
    for (place, variant) in variants.iter().enumerate() {
        let (name, text) =
            (variant["platform"].as_str().unwrap_or_default(), variant["text"].as_str().unwrap_or_default());
        let text = (text.to_owned(), suggestion::address(analysis, place));
        if let Some((_, network)) = networks.iter_mut().find(|(known, _)| known == name) {
            network.texts.push(text);
        } else {
            let title = words::network(app, name).to_owned();
            networks.push((name.to_owned(), Network { title, texts: vec![text] }));
        }
    }
    networks.into_iter().map(|(_, network)| network).collect()
}

fn counted(app: &App, t: &Texts, figure: &Value) -> Counted {
    let text = |name: &str| figure[name].as_str().unwrap_or_default();
    Counted {
        what: named_label(t, text("metric")),
        network: words::network(app, text("platform")).to_owned(),
        value: text("written").to_owned(),
        before: figure["written_before"].as_str().unwrap_or(t.metrics_gap).to_owned(),
    }
}

/// What the workspace lets be done; none: nothing is asked for it.
///
/// # Errors
/// The ledger is away.
pub async fn policy(app: &App, workspace: Uuid) -> Result<Option<Policy>, Problem> {
    Ok(app.analysis_policy(workspace).await?.filter(|policy| policy.enabled))
}

/// What the month has cost the workspace, may, and will.
///
/// # Errors
/// The ledger is away.
pub async fn cost_of_month(app: &App, workspace: Uuid) -> Result<Option<String>, Problem> {
    let Some(month) = app.analysis_month(workspace).await? else { return Ok(None) };
    let sums = [month.spent, month.policy.monthly, month.forecast].map(|sum| sum.to_string());
    Ok(Some(fill(ENGLISH.analysis_month, &sums.each_ref().map(String::as_str))))
}

/// What the provider's rules say comes first, for it may keep a post from going out.
fn findings(t: &Texts, risks: &[Value], findings: &[Value]) -> Vec<Found> {
    let risk = |it: &Value| {
        let names: Vec<&str> =
            it["categories"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        Found {
            at: at(t, &it["at_ms"]),
            kind: t.finding_policy,
            severity: t.finding_warning,
            detail: fill(t.finding_flagged, &[&names.join(", ")]),
        }
    };
    let finding = |it: &Value| Found {
        at: at(t, &it["at_ms"]),
        kind: match Topic::deserialize(&it["kind"]) {
            Ok(Topic::Shows) => t.finding_shows,
            Ok(Topic::Legibility) => t.finding_legibility,
            Ok(Topic::PolicyRisk) => t.finding_policy,
            Ok(Topic::Hook) => t.finding_hook,
            Ok(Topic::Pacing) => t.finding_pacing,
            Ok(Topic::Suggestion) | Err(_) => t.finding_suggestion,
        },
        severity: match Severity::deserialize(&it["severity"]) {
            Ok(Severity::Problem) => t.finding_problem,
            Ok(Severity::Warning) => t.finding_warning,
            Ok(Severity::Info) | Err(_) => t.finding_info,
        },
        detail: it["detail"].as_str().unwrap_or_default().to_owned(),
    };
    risks.iter().map(risk).chain(findings.iter().map(finding)).collect()
}

/// A place in a film, in minutes and seconds; the whole where there is none.
fn at(t: &Texts, ms: &Value) -> String {
    ms.as_u64().map_or_else(
        || t.finding_whole.to_owned(),
        |ms| format!("{}:{:02}.{}", ms / 60_000, ms / 1_000 % 60, ms % 1_000 / 100),
    )
}

fn about(t: &Texts, row: &AnalysisRow) -> String {
    let cost: i64 = row.calls.iter().map(|call| call.counted.0).sum();
    if row.cached && row.calls.is_empty() {
        return t.analysis_cached.to_owned();
    }
    fill(t.analysis_cost, &[&Micros(cost).to_string()])
}

fn call(row: &CallRow) -> Call {
    let part = |sent: &Sent| Part {
        field: sent.field.clone(),
        bytes: sent.bytes,
        digest: sent.sha256.chars().take(DIGITS).collect(),
    };
    Call {
        outcome: row.outcome.clone().unwrap_or_default(),
        cost: row.counted.to_string(),
        parts: row.sent.iter().map(part).collect(),
    }
}

/// The languages, as the form offers them.
pub fn languages(chosen: &str) -> Vec<Choice> {
    let label = |language: &Language| match language {
        Language::Hebrew => ENGLISH.language_he,
        Language::English => ENGLISH.language_en,
    };
    let choice = |language: &Language| Choice {
        value: language.word().to_owned(),
        label: label(language).to_owned(),
        chosen: language.word() == chosen,
    };
    Language::ALL.iter().map(choice).collect()
}
