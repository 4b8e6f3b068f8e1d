//! The keys of a workspace: made, shown once, looked at and taken back.

use std::{collections::HashMap, sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::{
    Choice, Shell, render_as,
    seat::{Admin, Seat},
    sure::Sure,
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::keys::{self, KeyRow, NAME_MOST, NewKey, Scope},
    web::{
        App,
        problem::{self, Problem},
    },
};

/// How long a key may last, in days; the first is what is offered.
const DAYS: &[u64] = &[90, 30, 365];

#[derive(Template)]
#[template(path = "keys.html")]
struct Page {
    shell: Shell,
    token: String,
    /// The key that was just made.
    made: Option<String>,
    rows: Vec<Row>,
    name: String,
    scopes: Vec<Choice>,
    lasts: Vec<Choice>,
    wrong: Option<&'static str>,
}

struct Row {
    id: Uuid,
    name: String,
    state: &'static str,
    good: bool,
    scopes: String,
    made: String,
    ends: Option<String>,
    used: String,
}

/// What the form sends: a field for each scope, besides the others.
type Written = HashMap<String, String>;

/// What is shown besides the keys there are.
#[derive(Default)]
struct Shown {
    made: Option<String>,
    written: Written,
    wrong: Option<&'static str>,
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    show(&app, &seat, &headers, StatusCode::OK, Shown::default()).await
}

async fn show(
    app: &App,
    seat: &Seat<Admin>,
    headers: &HeaderMap,
    status: StatusCode,
    shown: Shown,
) -> Result<Response, Problem> {
    let (t, now) = (&ENGLISH, app.house.clock.now());
    let keys = seat.ledger.api_keys(Some(seat.member.workspace_id)).await?;
    let chosen = |field: &str| shown.written.get(field).map(String::as_str);
    let scope = |scope: &Scope| Choice {
        value: scope.word().to_owned(),
        label: scope.word().to_owned(),
        chosen: chosen(scope.word()).is_some(),
    };
    let page = Page {
        shell: Shell::seated(app, headers, seat, "keys", "/keys"),
        token: seat.token.clone(),
        rows: keys.into_iter().map(|key| row(t, key, now)).collect(),
        name: chosen("name").unwrap_or_default().to_owned(),
        scopes: Scope::ALL.iter().map(scope).collect(),
        lasts: lasts(t, chosen("lasts")),
        made: shown.made,
        wrong: shown.wrong,
    };
    render_as(status, &page)
}

fn lasts(t: &Texts, chosen: Option<&str>) -> Vec<Choice> {
    let label = |days: u64| match days {
        30 => t.keys_lasts_30,
        365 => t.keys_lasts_365,
        _ => t.keys_lasts_90,
    };
    let days = DAYS.iter().map(|days| (days.to_string(), label(*days)));
    let all = days.chain([("never".to_owned(), t.keys_lasts_ever)]);
    all.map(|(value, label)| Choice {
        chosen: chosen == Some(value.as_str()),
        label: label.to_owned(),
        value,
    })
    .collect()
}

fn row(t: &Texts, key: KeyRow, now: DateTime<Utc>) -> Row {
    let good = key.is_good(now);
    let state = match (good, key.revoked_at) {
        (true, _) => t.keys_good,
        (false, Some(_)) => t.keys_revoked,
        (false, None) => t.keys_ended,
    };
    Row {
        id: key.id,
        state,
        good,
        scopes: key.scopes.join(", "),
        made: fill(t.keys_made_at, &[&words::day(key.created_at)]),
        ends: key.expires_at.map(|at| fill(t.keys_ends_at, &[&words::minute(at)])),
        used: key
            .last_used_at
            .map_or(t.keys_unused.to_owned(), |at| fill(t.keys_used_at, &[&words::minute(at)])),
        name: if key.name.is_empty() { t.keys_unnamed.to_owned() } else { key.name },
    }
}

/// Makes a key and shows it, this once: the page is not kept, and going back to it does not bring it back.
pub async fn make(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Sure(written): Sure<Written>,
) -> Result<Response, Problem> {
    let field = |name: &str| written.get(name).map(String::as_str).unwrap_or_default();
    seat.check(field("token"))?;
    let name = field("name").trim().replace('\0', "");
    let scopes: Vec<Scope> =
        Scope::ALL.iter().copied().filter(|scope| written.contains_key(scope.word())).collect();
    let wrong = match (name.chars().count(), scopes.is_empty()) {
        (1..=NAME_MOST, false) => None,
        (1..=NAME_MOST, true) => Some(ENGLISH.keys_scopes_missing),
        _ => Some(ENGLISH.keys_name_missing),
    };
    if wrong.is_some() {
        let shown = Shown { written, wrong, made: None };
        return show(&app, &seat, &headers, StatusCode::UNPROCESSABLE_ENTITY, shown).await;
    }
    let lasts = DAYS.iter().find(|days| field("lasts") == days.to_string());
    let key = keys::fresh().map_err(|_| Problem::internal())?;
    let digest = keys::digest(&key).ok_or_else(Problem::internal)?;
    let new = NewKey {
        workspace_id: Some(seat.member.workspace_id),
        name: &name,
        digest: &digest,
        scopes: &scopes,
        // whatever else is written there, a key that never ends is asked for by its word
        expires_in: match (lasts, field("lasts")) {
            (Some(days), _) => Some(Duration::from_hours(24 * days)),
            (None, "never") => None,
            (None, _) => Some(Duration::from_hours(24 * DAYS[0])),
        },
    };
    seat.ledger.add_api_key(&new).await?;
    let shown = Shown { made: Some(key.expose_secret().to_owned()), ..Shown::default() };
    show(&app, &seat, &headers, StatusCode::OK, shown).await
}

/// Takes one back.
pub async fn revoke(
    seat: Seat<Admin>,
    Path(key): Path<String>,
    Form(written): Form<Written>,
) -> Result<Response, Problem> {
    seat.check(written.get("token").map(String::as_str).unwrap_or_default())?;
    let id = problem::id(&key, "key")?;
    let revoked = seat.ledger.revoke_api_key(Some(seat.member.workspace_id), id).await?;
    revoked.ok_or_else(|| Problem::not_found("key"))?;
    Ok(Redirect::to("/keys").into_response())
}
