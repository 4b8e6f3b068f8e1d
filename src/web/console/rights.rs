//! What the workspace's data may be used for. Works without a script.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::State,
    http::HeaderMap,
    response::{Redirect, Response},
};
use chrono::{DateTime, Utc};
use jobs::consent::Purpose;
use serde::Deserialize;

use super::{
    Shell, render,
    seat::{Privacy, Seat},
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::consent::Consent,
    web::{App, problem::Problem},
};

#[derive(Template)]
#[template(path = "rights.html")]
struct Page {
    shell: Shell,
    consents: Vec<Row>,
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

/// A purpose, and whether it is wanted.
#[derive(Deserialize)]
pub struct Set {
    token: String,
    #[serde(default)]
    purpose: String,
    #[serde(default)]
    given: String,
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Privacy>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (t, now) = (&ENGLISH, app.house.clock.now());
    let consents = app.house.ledger.consents(seat.member.workspace_id).await?;
    let shell = Shell::seated(&app, &headers, &seat, "privacy", "/privacy");
    render(&Page { shell, consents: consents.into_iter().map(|it| row(t, it, now)).collect() })
}

/// Gives or withdraws consent.
pub async fn consent(
    State(app): State<Arc<App>>,
    seat: Seat<Privacy>,
    Form(form): Form<Set>,
) -> Result<Redirect, Problem> {
    // P-D4
    seat.check(&form.token)?;
    let purpose = Purpose::parse(&form.purpose).ok_or_else(|| Problem::not_found("purpose"))?;
    let ledger = app.house.ledger.of(seat.who);
    ledger.set_consent(seat.member.workspace_id, purpose, form.given == "yes").await?;
    Ok(Redirect::to("/privacy"))
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
