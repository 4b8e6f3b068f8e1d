//! Signing in and out.

use std::{net::IpAddr, sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use tower_sessions::Session;
use uuid::Uuid;

use super::{
    Shell, desk, elsewhere, retired, seat,
    session::{self, Signed},
    stranger,
    texts::{ENGLISH, fill},
    throttle::{FREE, FREE_TOGETHER},
};
use crate::{
    ledger::{
        LedgerError,
        audit::{Action, Actor, Entry, Who},
    },
    web::{App, passwords, problem::Problem, whence::Whence},
};

/// Where to go on.
#[derive(Deserialize)]
pub struct Onward {
    #[serde(default)]
    next: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct Credentials {
    #[serde(default)]
    token: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page {
    shell: Shell,
    token: String,
    email: String,
    next: String,
    wrong: Option<String>,
    mail: bool,
    /// Where signing in with Google begins, where that is on.
    google: Option<String>,
}

/// The form.
pub async fn page(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(onward): Query<Onward>,
) -> Result<Response, Problem> {
    form(&app, &headers, StatusCode::OK, "", desk::local(&onward.next), None)
}

fn form(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    email: &str,
    next: &str,
    wrong: Option<String>,
) -> Result<Response, Problem> {
    let (email, next, mail) = (email.to_owned(), next.to_owned(), app.house.mail);
    let google = elsewhere::address(app, &next);
    stranger::form(app, headers, status, |shell, token| Page {
        shell,
        token,
        email,
        next,
        wrong,
        mail,
        google,
    })
}

/// Lets somebody in.
pub async fn submit(
    State(app): State<Arc<App>>,
    from: Whence,
    headers: HeaderMap,
    session: Session,
    Form(form): Form<Credentials>,
) -> Result<Response, Problem> {
    let (t, address) = (&ENGLISH, from.0);
    // PostgreSQL takes no NUL; nobody's address has one, and nobody is somebody else by one
    let email = form.email.replace('\0', "").trim().to_lowercase();
    let next = desk::local(&form.next);
    let again = |status, wrong: String| self::form(&app, &headers, status, &form.email, next, Some(wrong));
    if !stranger::sent(&app, &headers, &form.token) {
        return again(StatusCode::FORBIDDEN, t.sign_in_stale.to_owned());
    }
    if let Some(Err(seconds)) = address.map(|address| app.limits.of_sign_in(address)) {
        let wrong = fill(t.sign_in_throttled, &[&seconds.to_string()]);
        return again(StatusCode::TOO_MANY_REQUESTS, wrong);
    }
    let who = format!("{} {email}", from.counted());
    let too_often = |wait: Duration| {
        let wrong = fill(t.sign_in_throttled, &[&wait.as_secs().max(1).to_string()]);
        again(StatusCode::TOO_MANY_REQUESTS, wrong)
    };
    if let Some(wait) = wait(&app, &who, &email) {
        return too_often(wait);
    }
    let credential = app.house.ledger.credential(&email).await?;
    // before it is compared, which takes a while: who sends many at once is slowed like who sends one after the other
    let (here, anywhere) = match attempt(&app, &who, &email) {
        Ok(failures) => failures,
        Err(wait) => return too_often(wait),
    };
    let hash = credential.as_ref().and_then(|it| it.password_hash.clone());
    let right = passwords::matches(SecretString::from(form.password.clone()), hash).await;
    let person = credential.as_ref().map(|it| it.person_id);
    let Some(credential) = credential.filter(|_| right) else {
        // what is free is a slip of the finger; the throttles see to it that there are few of the others
        if here > FREE || anywhere > FREE_TOGETHER {
            let failures = here.max(anywhere);
            note(&app, Action::SignInFailed, Actor::Nobody, address, person, failures).await?;
        }
        return again(StatusCode::UNPROCESSABLE_ENTITY, t.sign_in_wrong.to_owned());
    };
    // of which this one was none
    let failures =
        app.console.throttle.passed(&who).max(app.console.by_email.passed(&email)).saturating_sub(1);
    begin(&app, &session, &headers, (credential.person_id, address), failures).await?;
    Ok(Redirect::to(next).into_response())
}

/// How long it is to wait for who tries as this person: here, or from anywhere.
fn wait(app: &App, who: &str, email: &str) -> Option<Duration> {
    let now = app.house.clock.monotonic();
    app.console.throttle.wait(who, now).max(app.console.by_email.wait(email, now))
}

/// Counts an attempt as this person, here and from anywhere, as a failure until it is known to be none.
///
/// # Errors
/// How long it is to wait for them: another was first.
fn attempt(app: &App, who: &str, email: &str) -> Result<(u32, u32), Duration> {
    if let Some(wait) = wait(app, who, email) {
        return Err(wait);
    }
    let now = app.house.clock.monotonic();
    Ok((app.console.throttle.attempt(who, now)?, app.console.by_email.attempt(email, now)?))
}

/// Writes down who is in, or how often somebody was not: as the person that it would have been, if there is one.
pub async fn note(
    app: &App,
    action: Action,
    actor: Actor,
    address: Option<IpAddr>,
    person: Option<Uuid>,
    failures: u32,
) -> Result<(), LedgerError> {
    let entry = Entry {
        who: Who { actor, address },
        action,
        object: "person",
        object_id: person.map_or_else(|| "unknown".to_owned(), |id| id.to_string()),
        workspace_id: None,
        detail: json!({ "failures": failures }),
    };
    app.house.ledger.audit(&entry).await
}

/// Begins somebody's session, and writes down that they came in, after so many who did not.
///
/// # Errors
/// The ledger is away.
pub async fn begin(
    app: &App,
    session: &Session,
    headers: &HeaderMap,
    (person, address): (Uuid, Option<IpAddr>),
    failures: u32,
) -> Result<(), Problem> {
    session::begin(session, person, headers, app.house.clock.now()).await?;
    session::keep(session).await?;
    Ok(note(app, Action::SignedIn, Actor::Person(person), address, Some(person), failures).await?)
}

/// What the form to leave sends.
#[derive(Deserialize)]
pub struct Leaving {
    #[serde(default)]
    token: String,
}

/// Ends the session.
pub async fn leave(
    State(app): State<Arc<App>>,
    session: Session,
    Form(form): Form<Leaving>,
) -> Result<Redirect, Problem> {
    // who was taken out of their last workspace leaves too: no seat is asked for
    let signed = session::signed(&session, app.house.clock.now()).await?;
    let Some(Signed { person, token, .. }) = signed else { return Ok(Redirect::to("/sign-in")) };
    let memberships = app.house.ledger.memberships(person).await?;
    if !seat::is_own(&form.token, &token, &memberships) {
        return Err(Problem::forbidden(ENGLISH.csrf));
    }
    retired::end(&session, &app.house.ledger).await?;
    Ok(Redirect::to("/sign-in"))
}
