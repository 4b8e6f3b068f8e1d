//! An analysis: what was suggested or found, and what left the house for it. Nothing here publishes anything.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue},
    response::Response,
};
use jobs::analysis::{
    Kind, Language, Policy,
    money::{Micros, forecast},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Choice, Shell,
    form::Written,
    helped::what,
    numbers::named_label,
    render,
    seat::{Author, Seat, Viewer},
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::{
        LedgerError,
        analyses::{AnalysisRow, NewAnalysis, Of},
        idempotency::Once,
    },
    web::{
        App,
        analysis::{BRIEF_MOST, MOST_FILES, not_taken},
        problem::Problem,
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
    sent: Vec<Sent>,
}

/// A figure that something was said of.
struct Counted {
    what: &'static str,
    network: String,
    value: String,
    before: String,
}

/// The captions for one network.
struct Network {
    title: String,
    texts: Vec<String>,
}

/// A finding of a review.
struct Found {
    at: String,
    kind: &'static str,
    severity: &'static str,
    detail: String,
}

/// A part of what left.
struct Sent {
    field: String,
    bytes: usize,
    digest: String,
    outcome: String,
    cost: String,
}

/// The page of an analysis.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = Uuid::try_parse(&id).map_err(|_| Problem::not_found("analysis"))?;
    let row = seat.ledger.analysis(seat.member.workspace_id, id).await?;
    let row = row.ok_or_else(|| Problem::not_found("analysis"))?;
    let waiting = row.state == "waiting";
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
            title: what(t, &row.kind),
            waiting: row.state == "waiting",
            failed: row.error.as_ref().map(|error| text(&error["message"])),
            brief: row.brief.clone(),
            networks: networks(app, list("variants")),
            alt_texts: list("alt_texts").iter().map(text).collect(),
            statements: list("statements").iter().map(|it| text(&it["text"])).collect(),
            advice: list("advice").iter().map(text).collect(),
            figures: list("figures").iter().map(|it| counted(app, t, it)).collect(),
            month: None,
            summary: result["summary"].as_str().map(str::to_owned),
            findings: findings(t, list("moderation"), list("findings")),
            said: said.collect(),
            about: about(t, row),
            sent: sent(row),
            shell,
        }
    }
}

/// The captions by network, in the order in which they came.
fn networks(app: &App, variants: &[Value]) -> Vec<Network> {
    let mut networks: Vec<(String, Network)> = Vec::new();
    for variant in variants {
        let (name, text) =
            (variant["platform"].as_str().unwrap_or_default(), variant["text"].as_str().unwrap_or_default());
        if let Some((_, network)) = networks.iter_mut().find(|(known, _)| known == name) {
            network.texts.push(text.to_owned());
        } else {
            let title = words::network(app, name).to_owned();
            networks.push((name.to_owned(), Network { title, texts: vec![text.to_owned()] }));
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
    let Some(defaults) = app.house.analyses else { return Ok(None) };
    let policy = app.within(workspace).analysis_policy(workspace).await?.over(defaults);
    Ok(Some(policy).filter(|policy| policy.enabled))
}

/// What the month has cost the workspace, may, and will.
///
/// # Errors
/// The ledger is away.
pub async fn cost_of_month(app: &App, workspace: Uuid) -> Result<Option<String>, Problem> {
    let Some(defaults) = app.house.analyses else { return Ok(None) };
    let ledger = app.within(workspace);
    let policy = ledger.analysis_policy(workspace).await?.over(defaults);
    let (spent, now) = ledger.analysis_spent(workspace).await?;
    let sums = [spent, policy.monthly, forecast(spent, now)].map(|sum| sum.to_string());
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
        kind: match it["kind"].as_str().unwrap_or_default() {
            "shows" => t.finding_shows,
            "legibility" => t.finding_legibility,
            "policy_risk" => t.finding_policy,
            "hook" => t.finding_hook,
            "pacing" => t.finding_pacing,
            _ => t.finding_suggestion,
        },
        severity: match it["severity"].as_str().unwrap_or_default() {
            "problem" => t.finding_problem,
            "warning" => t.finding_warning,
            _ => t.finding_info,
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

fn sent(row: &AnalysisRow) -> Vec<Sent> {
    let of_call = |call: &crate::ledger::analyses::CallRow| {
        let (outcome, cost) = (call.outcome.clone().unwrap_or_default(), call.counted.to_string());
        let one = move |part: &jobs::analysis::Sent| Sent {
            field: part.field.clone(),
            bytes: part.bytes,
            digest: part.sha256.chars().take(DIGITS).collect(),
            outcome: outcome.clone(),
            cost: cost.clone(),
        };
        call.sent.iter().map(one).collect::<Vec<_>>()
    };
    row.calls.iter().flat_map(of_call).collect()
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

/// Asks for captions for what is written in the form so far, or for a look at its files. Where to look for what comes of
/// it, or what is missing.
pub async fn ask(
    app: &Arc<App>,
    seat: &Seat<Author>,
    written: &Written,
    kind: Kind,
) -> Result<Result<String, String>, Problem> {
    let t = &ENGLISH;
    let brief = written.caption.replace('\0', "").trim().to_owned();
    let length = brief.chars().count();
    let least = usize::from(kind == Kind::Caption);
    if !(least..=BRIEF_MOST).contains(&length) {
        return Ok(Err(t.suggest_brief.to_owned()));
    }
    let workspace_id = seat.member.workspace_id;
    if kind == Kind::VideoReview {
        if !policy(app, workspace_id).await?.is_some_and(|policy| policy.media) {
            return Ok(Err(t.review_off.to_owned()));
        }
        if written.media_ids.is_empty() {
            return Ok(Err(t.review_files.to_owned()));
        }
    }
    let accounts =
        app.within(workspace_id).accounts(workspace_id, None, super::compose::MOST_ACCOUNTS).await?;
    let mut platforms: Vec<String> = Vec::new();
    for account in accounts.iter().filter(|it| written.targets.contains(&it.id.to_string())) {
        if !platforms.contains(&account.platform) {
            platforms.push(account.platform.clone());
        }
    }
    let media_ids = written.media_ids.iter().filter_map(|id| id.parse().ok()).take(MOST_FILES).collect();
    let language = Language::parse(&written.language).unwrap_or(Language::English);
    let created_by = seat.member.person_id;
    let new = NewAnalysis { kind, language, platforms, brief, media_ids, results: None, created_by };
    put(app, workspace_id, new).await
}

/// Asks for the results of a post, or of an account's month, in words.
pub async fn ask_of(
    app: &Arc<App>,
    seat: &Seat<Author>,
    of: Of,
    language: Language,
) -> Result<Result<String, String>, Problem> {
    let new = NewAnalysis {
        kind: Kind::Results,
        language,
        platforms: Vec::new(),
        brief: String::new(),
        media_ids: Vec::new(),
        results: Some(of),
        created_by: seat.member.person_id,
    };
    put(app, seat.member.workspace_id, new).await
}

async fn put(
    app: &Arc<App>,
    workspace_id: Uuid,
    new: NewAnalysis,
) -> Result<Result<String, String>, Problem> {
    let t = &ENGLISH;
    let Some(defaults) = app.house.analyses else { return Ok(Err(t.suggest_off.to_owned())) };
    let house = Arc::clone(app);
    // who hangs up now must not leave half of it
    let asking = tokio::spawn(async move {
        let asked = house.within(workspace_id).ask_analysis(workspace_id, &new, defaults, None).await?;
        if let Once::Done(Ok((_, hint))) = &asked {
            (house.house.nudge)(vec![hint.clone()]);
        }
        Ok::<_, LedgerError>((asked, new.media_ids))
    });
    Ok(match asking.await?? {
        (Once::Done(Ok((row, _))), _) => Ok(format!("/analyses/{}", row.id)),
        (Once::Done(Err(why)), media_ids) => {
            Err(not_taken(&why, &media_ids)
                .map_or_else(|| t.suggest_off.to_owned(), |finding| finding.detail))
        }
        // it has no key
        (Once::Before(_) | Once::KeyReused, _) => Err(t.suggest_off.to_owned()),
    })
}
