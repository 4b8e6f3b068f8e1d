//! What the workspace's data may be used for, and what people have asked about theirs. Works without a script.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{Redirect, Response},
};
use chrono::{DateTime, Utc};
use jobs::{consent::Purpose, erasure::Stage};
use serde::Deserialize;

use super::{
    Shell, render_as,
    seat::{Privacy, Seat},
    stranger,
    sure::Sure,
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::{
        consent::Consent,
        deletions::{Origin, Shown},
        pauses::REASON_MOST,
    },
    web::{
        App,
        deletion::{self, Code, Wanted, Way},
        problem::Problem,
    },
};

/// The requests that are shown.
const MOST: i64 = 50;

#[derive(Template)]
#[template(path = "rights.html")]
struct Page {
    shell: Shell,
    consents: Vec<Row>,
    requests: Vec<Request>,
    written: Entered,
    wrong: Option<&'static str>,
    /// Where the person sees the state of what was just entered: it is shown this once.
    made: Option<String>,
}

struct Row {
    purpose: &'static str,
    name: &'static str,
    says: &'static str,
    state: String,
    /// What the button does, for those who do not see beside what it stands.
    label: String,
    given: bool,
}

struct Request {
    origin: &'static str,
    state: &'static str,
    received: String,
    tokens: Option<String>,
    done: Option<String>,
    accounts: String,
}

/// A purpose, and whether it is wanted.
#[derive(Deserialize)]
pub struct Set {
    token: String,
    #[serde(default)]
    purpose: String,
    #[serde(default)]
    given: String,
}

/// A request that came by phone or by mail.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Entered {
    #[serde(default)]
    token: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    origin: String,
    #[serde(default)]
    reason: String,
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Privacy>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    show(&app, &seat, &headers, (StatusCode::OK, None, None), Entered::default()).await
}

async fn show(
    app: &App,
    seat: &Seat<Privacy>,
    headers: &HeaderMap,
    (status, wrong, made): (StatusCode, Option<&'static str>, Option<String>),
    written: Entered,
) -> Result<Response, Problem> {
    let (t, now) = (&ENGLISH, app.house.clock.now());
    let workspace = seat.member.workspace_id;
    // what Meta or the public page brought is of no workspace, and hidden from whoever is bound to one
    let (consents, requests) =
        tokio::try_join!(seat.ledger.consents(workspace), app.house.ledger.deletions_of(workspace, MOST))?;
    let page = Page {
        shell: Shell::seated(app, headers, seat, "privacy", "/privacy"),
        consents: consents.into_iter().map(|it| row(t, it, now)).collect(),
        requests: requests.iter().map(|it| request(t, it)).collect(),
        written,
        wrong,
        made,
    };
    render_as(status, &page)
}

/// Gives or withdraws consent.
pub async fn consent(seat: Seat<Privacy>, Form(form): Form<Set>) -> Result<Redirect, Problem> {
    // P-D4
    seat.check(&form.token)?;
    let purpose = Purpose::parse(&form.purpose).ok_or_else(|| Problem::not_found("purpose"))?;
    seat.ledger.set_consent(seat.member.workspace_id, purpose, form.given == "yes").await?;
    Ok(Redirect::to("/privacy"))
}

/// Takes in a request that came by phone or by mail, within the workspace: whoever enters it answers for who asked.
pub async fn enter(
    State(app): State<Arc<App>>,
    seat: Seat<Privacy>,
    headers: HeaderMap,
    Sure(form): Sure<Entered>,
) -> Result<Response, Problem> {
    // P-D6 P-D14
    seat.check(&form.token)?;
    let reason = form.reason.trim().replace('\0', "");
    let origin = Origin::parse(&form.origin).filter(|it| matches!(it, Origin::Staff | Origin::Mail));
    let wrong = match (stranger::email(&form.email), origin, reason.chars().count()) {
        (Some(email), Some(origin), 1..=REASON_MOST) => {
            let code = Code::fresh();
            let way =
                Way { origin, code: code.clone(), asked_digest: None, signed: (None, None), language: "en" };
            let wanted = Wanted {
                email: Some(email),
                workspace_id: Some(seat.member.workspace_id),
                reason: Some(reason),
                asked_by: Some(seat.member.person_id),
                who: Some(seat.who),
                ..Wanted::default()
            };
            deletion::accept(&app, way, wanted).await?;
            let made = (StatusCode::OK, None, Some(code.address(&app)));
            return show(&app, &seat, &headers, made, Entered::default()).await;
        }
        (None, ..) => ENGLISH.people_wrong_email,
        (_, None, _) => ENGLISH.requests_wrong_origin,
        (..) => ENGLISH.requests_wrong_reason,
    };
    show(&app, &seat, &headers, (StatusCode::UNPROCESSABLE_ENTITY, Some(wrong), None), form).await
}

fn row(t: &Texts, it: Consent, now: DateTime<Utc>) -> Row {
    let (name, says) = match it.purpose {
        Purpose::Ai => (t.consent_ai, t.consent_ai_says),
        Purpose::Analytics => (t.consent_analytics, t.consent_analytics_says),
    };
    let given = it.withdrawn_at.is_none();
    Row {
        purpose: it.purpose.word(),
        name,
        says,
        state: it.withdrawn_at.map_or_else(
            || t.consent_given.to_owned(),
            |at| fill(t.consent_withdrawn_at, &[&words::relative(t, at, now)]),
        ),
        label: fill(if given { t.consent_withdraw_of } else { t.consent_give_of }, &[name]),
        given,
    }
}

fn request(t: &Texts, it: &Shown) -> Request {
    let origin = match it.origin {
        Origin::Meta => t.requests_by_meta,
        Origin::Page => t.requests_by_page,
        Origin::Mail => t.requests_by_mail,
        Origin::Staff => t.requests_by_staff,
        Origin::Account => t.requests_by_account,
    };
    Request {
        origin,
        state: if it.stage == Stage::Done { t.requests_done } else { t.requests_under_way },
        received: fill(t.requests_received, &[&words::minute(it.received_at)]),
        tokens: it.shredded_at.map(|at| fill(t.requests_tokens, &[&words::minute(at)])),
        done: it.verified_at.map(|at| fill(t.requests_deleted, &[&words::minute(at)])),
        accounts: fill(t.requests_accounts, &[&it.accounts.to_string()]),
    }
}
