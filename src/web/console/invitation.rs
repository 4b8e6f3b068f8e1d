//! The page of an invitation: somebody new says who they are, somebody known signs in and joins. Works without a script.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use secrecy::SecretString;
use serde::Deserialize;
use tower_sessions::Session;

use super::{
    Shell, elsewhere, seat, session, sign_in, stranger,
    texts::{ENGLISH, fill},
    words,
};
use crate::{
    ledger::{
        LedgerError,
        invitations::{Invitation, Joined, Joining},
    },
    web::{App, passwords, problem::Problem, whence::Whence},
};

#[derive(Template)]
#[template(path = "invitation.html")]
struct Page {
    shell: Shell,
    token: String,
    title: String,
    lead: String,
    email: String,
    first_name: String,
    last_name: String,
    way: Way,
    /// Where joining with Google begins, where that is on.
    google: Option<String>,
    findings: Vec<String>,
}

/// How whoever looks at the page may join.
enum Way {
    /// By saying who they are.
    New,
    /// With a button.
    Known,
    /// After signing in, there.
    SignIn(String),
}

/// What the form sends.
#[derive(Deserialize)]
pub struct Written {
    #[serde(default)]
    token: String,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
    #[serde(default)]
    password: String,
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    session: Session,
    headers: HeaderMap,
    Path(link): Path<String>,
) -> Result<Response, Problem> {
    let Some(it) = app.house.ledger.invitation(&stranger::digest(&link)).await? else {
        return ended(&app, &headers);
    };
    let names = (it.first_name.clone(), it.last_name.clone());
    show(&app, &session, &headers, (&link, &it), names, Vec::new()).await
}

/// Accepts it.
pub async fn submit(
    State(app): State<Arc<App>>,
    from: Whence,
    session: Session,
    headers: HeaderMap,
    Path(link): Path<String>,
    Form(written): Form<Written>,
) -> Result<Response, Problem> {
    let (digest, ledger) = (stranger::digest(&link), app.house.ledger.of(from.who()));
    let Some(it) = ledger.invitation(&digest).await? else { return ended(&app, &headers) };
    let names = (written.first_name.clone(), written.last_name.clone());
    let again = |finding: &str| vec![finding.to_owned()];
    if !stranger::sent(&app, &headers, &written.token) {
        return show(&app, &session, &headers, (&link, &it), names, again(ENGLISH.sign_in_stale)).await;
    }
    if let Some(person) = it.person_id {
        if !seat::is(&session, &app, person).await? {
            return show(&app, &session, &headers, (&link, &it), names, Vec::new()).await;
        }
        let joined = ledger.join_as_known(&digest, person).await?;
        return entered(&app, &session, &headers, from, joined, false).await;
    }
    let (first, last) = (stranger::name(&written.first_name), stranger::name(&written.last_name));
    let password = SecretString::from(written.password);
    let fits = passwords::fits(&password);
    let (Some(first_name), Some(last_name), true) = (&first, &last, fits) else {
        let found = [
            first.is_none().then(|| ENGLISH.people_wrong_first.to_owned()),
            last.is_none().then(|| ENGLISH.people_wrong_last.to_owned()),
            (!fits).then(|| ENGLISH.password_wrong.to_owned()),
        ];
        return show(&app, &session, &headers, (&link, &it), names, found.into_iter().flatten().collect())
            .await;
    };
    let hash = stranger::hashed(password).await?;
    let joining = Joining { first_name, last_name, password_hash: Some(&hash) };
    match ledger.join_as_new(&digest, &joining).await {
        // somebody of that address was let in a moment ago, and signs in
        Err(LedgerError::Refused { constraint }) if constraint == "person_email_key" => {
            Ok(Redirect::to(&format!("/invitation/{link}")).into_response())
        }
        joined => entered(&app, &session, &headers, from, joined?, true).await,
    }
}

/// Somebody has joined, and looks at what they have joined.
async fn entered(
    app: &App,
    session: &Session,
    headers: &HeaderMap,
    from: Whence,
    joined: Option<Joined>,
    new: bool,
) -> Result<Response, Problem> {
    let Some(joined) = joined else { return ended(app, headers) };
    if new {
        sign_in::begin(app, session, headers, (joined.person_id, from.0), 0).await?;
    }
    session::look_at(session, joined.workspace_id).await?;
    Ok(Redirect::to("/posts").into_response())
}

fn ended(app: &App, headers: &HeaderMap) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let said = (t.link_ended, t.invitation_ended);
    stranger::notice(app, headers, StatusCode::GONE, said, Some(("/sign-in", t.sign_in)))
}

async fn show(
    app: &App,
    session: &Session,
    headers: &HeaderMap,
    (link, it): (&str, &Invitation),
    (first_name, last_name): (String, String),
    findings: Vec<String>,
) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let way = match it.person_id {
        None => Way::New,
        Some(person) if seat::is(session, app, person).await? => Way::Known,
        Some(_) => Way::SignIn(seat::sign_in_for(&format!("/invitation/{link}"))),
    };
    let role = words::role(t, it.role);
    let lead = match &it.invited_by {
        Some(who) => fill(t.invitation_lead, &[who, role]),
        None => fill(t.invitation_lead_nobody, &[role]),
    };
    let status = if findings.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    stranger::form(app, headers, status, |shell, token| Page {
        shell,
        token,
        title: fill(t.invitation_title, &[&it.workspace_name]),
        lead,
        email: it.email.clone(),
        first_name,
        last_name,
        google: elsewhere::address(app, &format!("/invitation/{link}")),
        way,
        findings,
    })
}
