//! An analysis: what was suggested or found, and what left the house for it. Nothing here publishes anything.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue},
    response::Response,
};
use jobs::analysis::{Kind, Language, money::Micros};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Choice, Shell,
    form::Written,
    render,
    seat::{Author, Seat, Viewer},
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::{
        LedgerError,
        analyses::{AnalysisRow, NewAnalysis},
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
    summary: Option<String>,
    findings: Vec<Found>,
    said: Vec<(String, String)>,
    about: String,
    sent: Vec<Sent>,
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
    let row = app.house.ledger.analysis(seat.member.workspace_id, id).await?;
    let row = row.ok_or_else(|| Problem::not_found("analysis"))?;
    let waiting = row.state == "waiting";
    let page =
        Page::of(&app, Shell::seated(&app, &headers, &seat, "posts", &format!("/analyses/{id}")), &row);
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
        let of_review = row.kind == Kind::VideoReview.word();
        let said = list("transcript").iter().map(|it| (at(t, &it["from_ms"]), text(&it["text"])));
        Self {
            title: if of_review { t.analysis_review } else { t.analysis_captions },
            waiting: row.state == "waiting",
            failed: row.error.as_ref().map(|error| text(&error["message"])),
            brief: row.brief.clone(),
            networks: networks(app, list("variants")),
            alt_texts: list("alt_texts").iter().map(text).collect(),
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
        match networks.iter_mut().find(|(known, _)| known == name) {
            Some((_, network)) => network.texts.push(text.to_owned()),
            None => {
                let title = words::network(app, name).to_owned();
                networks.push((name.to_owned(), Network { title, texts: vec![text.to_owned()] }));
            }
        }
    }
    networks.into_iter().map(|(_, network)| network).collect()
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

/// Asks for captions for what is written in the form so far. Where to look for them, or what is missing.
pub async fn ask(
    app: &Arc<App>,
    seat: &Seat<Author>,
    written: &Written,
) -> Result<Result<String, String>, Problem> {
    let t = &ENGLISH;
    let Some(defaults) = app.house.analyses else { return Ok(Err(t.suggest_off.to_owned())) };
    let brief = written.caption.replace('\0', "").trim().to_owned();
    let length = brief.chars().count();
    if !(1..=BRIEF_MOST).contains(&length) {
        return Ok(Err(t.suggest_brief.to_owned()));
    }
    let workspace_id = seat.member.workspace_id;
    let accounts = app.house.ledger.accounts(workspace_id, None, super::compose::MOST_ACCOUNTS).await?;
    let mut platforms: Vec<String> = Vec::new();
    for account in accounts.iter().filter(|it| written.targets.contains(&it.id.to_string())) {
        if !platforms.contains(&account.platform) {
            platforms.push(account.platform.clone());
        }
    }
    let media_ids = written.media_ids.iter().filter_map(|id| id.parse().ok()).take(MOST_FILES).collect();
    let language = Language::parse(&written.language).unwrap_or(Language::English);
    let created_by = seat.member.person_id;
    let new = NewAnalysis { kind: Kind::Caption, language, platforms, brief, media_ids, created_by };
    let house = Arc::clone(app);
    // who hangs up now must not leave half of it
    let asking = tokio::spawn(async move {
        let asked = house.house.ledger.ask_analysis(workspace_id, &new, defaults, None).await?;
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
