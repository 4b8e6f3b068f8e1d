//! Signing in with Google: out to it and back. Works without a script.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Utc};
use jobs::contract::{Class, Failure};
use serde::Deserialize;
use tower_sessions::Session;
use uuid::Uuid;

use super::{
    desk, invited, letters,
    session::{self, Proved},
    sign_in, stranger, sure,
    texts::{ENGLISH, fill},
};
use crate::{
    ledger::{
        audit::{Action, Actor},
        identities::{Known, Recognised},
    },
    web::{App, problem::Problem, whence::Whence},
};

/// Where the browser comes back to.
pub const BACK: &str = "/sign-in/google/back";

/// Where to go on.
#[derive(Deserialize)]
pub struct Onward {
    #[serde(default)]
    next: String,
}

/// What the browser comes back with.
#[derive(Deserialize)]
pub struct Came {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
}

/// Sends the browser there.
pub async fn leave(
    State(app): State<Arc<App>>,
    from: Whence,
    session: Session,
    headers: HeaderMap,
    Query(onward): Query<Onward>,
) -> Result<Response, Problem> {
    let Some(google) = &app.house.sign_in else { return Err(Problem::not_found("page")) };
    if let Some(Err(seconds)) = from.0.map(|address| app.limits.of_sign_in(address)) {
        let said = fill(ENGLISH.sign_in_throttled, &[&seconds.to_string()]);
        return told(&app, &headers, StatusCode::TOO_MANY_REQUESTS, &said);
    }
    let now = app.house.clock.monotonic();
    if let Some(wait) = app.console.throttle.wait(&name(from), now) {
        let said = fill(ENGLISH.sign_in_throttled, &[&wait.as_secs().max(1).to_string()]);
        return told(&app, &headers, StatusCode::TOO_MANY_REQUESTS, &said);
    }
    match google.begin(&back(&app), onward.next == sure::HERE).await {
        Ok(begun) => {
            session::leave_for(&session, &begun, desk::local(&onward.next)).await?;
            Ok(Redirect::to(&begun.address).into_response())
        }
        Err(failure) => failed(&app, &headers, &failure),
    }
}

/// Lets in who comes back, if they are known or invited.
pub async fn come_back(
    State(app): State<Arc<App>>,
    from: Whence,
    session: Session,
    headers: HeaderMap,
    Query(came): Query<Came>,
) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let Some(google) = &app.house.sign_in else { return Err(Problem::not_found("page")) };
    // whatever comes of it, it is used
    let Some((begun, next)) = session::left_for(&session).await? else {
        return told(&app, &headers, StatusCode::FORBIDDEN, t.google_stale);
    };
    if !session::same_token(&came.state, &begun.state) || came.code.is_empty() {
        return told(&app, &headers, StatusCode::FORBIDDEN, t.google_stale);
    }
    let identity = match google.finish(&back(&app), &came.code, &begun).await {
        Ok(identity) => identity,
        Err(failure) => {
            if failure.class == Class::Permanent {
                refused(&app, from).await?;
            }
            return failed(&app, &headers, &failure);
        }
    };
    let called = |told: &Option<String>| told.as_deref().and_then(stranger::name);
    let Some(email) = stranger::email(&identity.email) else {
        return told(&app, &headers, StatusCode::FORBIDDEN, t.google_refused);
    };
    let local = email.split('@').next().unwrap_or_default().to_owned();
    let letter = app.house.mail.then(|| letters::linked(&app.house, &email, &identity.issuer));
    let known = Known {
        issuer: &identity.issuer,
        subject: &identity.subject,
        email: &email,
        vouched: identity.vouched,
        first_name: &called(&identity.first_name).unwrap_or(local),
        last_name: &called(&identity.last_name).unwrap_or_else(|| "–".to_owned()),
        letter: letter.as_ref(),
    };
    let link = next.strip_prefix("/invitation/").map(stranger::digest);
    match app.house.ledger.of(from.who()).recognise(&known, link.as_ref()).await? {
        Recognised::Person(person) if next == sure::HERE => {
            confirmed(&app, from, &session, &headers, person).await
        }
        Recognised::Person(person) => {
            let failures = app.console.throttle.passed(&name(from));
            sign_in::begin(&app, &session, &headers, (person, from.0), failures).await?;
            Ok(Redirect::to(desk::local(&next)).into_response())
        }
        Recognised::Joined(joined) => {
            let failures = app.console.throttle.passed(&name(from));
            sign_in::begin(&app, &session, &headers, (joined.person_id, from.0), failures).await?;
            session::look_at(&session, joined.workspace_id).await?;
            Ok(Redirect::to("/posts").into_response())
        }
        Recognised::Invited => {
            session::prove(&session, &proved(&known, app.house.clock.now())).await?;
            Ok(Redirect::to(invited::HERE).into_response())
        }
        Recognised::Unproved => {
            refused(&app, from).await?;
            told(&app, &headers, StatusCode::FORBIDDEN, &fill(t.google_unproved, &[&email]))
        }
        Recognised::Nobody => {
            refused(&app, from).await?;
            told(&app, &headers, StatusCode::FORBIDDEN, &fill(t.google_nobody, &[&email]))
        }
        Recognised::OtherAccount => {
            refused(&app, from).await?;
            told(&app, &headers, StatusCode::FORBIDDEN, &fill(t.google_other_account, &[&email]))
        }
    }
}

/// Somebody has shown again who they are: the session goes on as it is, and so do the forms that are open in it.
async fn confirmed(
    app: &App,
    from: Whence,
    session: &Session,
    headers: &HeaderMap,
    person: Uuid,
) -> Result<Response, Problem> {
    let now = app.house.clock.now();
    match session::signed(session, now).await? {
        Some(signed) if signed.person == person => {
            app.console.throttle.passed(&name(from));
            session::make_sure(session, now).await?;
            Ok(Redirect::to(sure::HERE).into_response())
        }
        Some(_) => {
            refused(app, from).await?;
            told(app, headers, StatusCode::FORBIDDEN, ENGLISH.sure_somebody_else)
        }
        None => {
            let failures = app.console.throttle.passed(&name(from));
            sign_in::begin(app, session, headers, (person, from.0), failures).await?;
            Ok(Redirect::to("/posts").into_response())
        }
    }
}

fn proved(known: &Known<'_>, now: DateTime<Utc>) -> Proved {
    Proved {
        at: now.timestamp(),
        issuer: known.issuer.to_owned(),
        subject: known.subject.to_owned(),
        email: known.email.to_owned(),
        first_name: known.first_name.to_owned(),
        last_name: known.last_name.to_owned(),
    }
}

/// Where signing in with Google begins that leads on to this path, where that is on.
pub fn address(app: &App, next: &str) -> Option<String> {
    app.house.sign_in.as_ref().map(|_| {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
        format!("/sign-in/google?{query}")
    })
}

/// Counts somebody who was not let in, and writes it down.
async fn refused(app: &App, from: Whence) -> Result<(), Problem> {
    let failures = app.console.throttle.failed(&name(from), app.house.clock.monotonic());
    Ok(sign_in::note(app, Action::SignInFailed, Actor::Nobody, from.0, None, failures).await?)
}

/// Under what name failures are counted.
fn name(from: Whence) -> String {
    format!("google {}", from.counted())
}

fn back(app: &App) -> String {
    app.house.public_url.join(BACK).map_or_else(|_| BACK.to_owned(), String::from)
}

fn failed(app: &App, headers: &HeaderMap, failure: &Failure) -> Result<Response, Problem> {
    let t = &ENGLISH;
    tracing::warn!(%failure, "a sign-in with Google came to nothing");
    let (status, said) = match (failure.class, failure.code.as_str()) {
        (Class::Permanent, "hosted_domain") => (StatusCode::FORBIDDEN, t.google_domain),
        (Class::Permanent, "email_unverified") => (StatusCode::FORBIDDEN, t.google_unverified),
        (Class::Permanent, _) => (StatusCode::FORBIDDEN, t.google_refused),
        _ => (StatusCode::SERVICE_UNAVAILABLE, t.google_away),
    };
    told(app, headers, status, said)
}

fn told(app: &App, headers: &HeaderMap, status: StatusCode, said: &str) -> Result<Response, Problem> {
    let t = &ENGLISH;
    stranger::notice(app, headers, status, (t.google_title, said), Some(("/sign-in", t.forgotten_back)))
}
