//! What somebody on the staff corrects about themselves: their name, and their address once they have proved the new one.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use secrecy::SecretString;
use serde::Deserialize;
use tower_sessions::Session;

use super::{
    Shell, elsewhere, letters, linked, render_as,
    seat::{Seat, Viewer},
    session, slow_down, stranger, sure,
    texts::{ENGLISH, fill},
};
use crate::{
    ledger::correction::Known,
    web::{App, passwords, problem::Problem, whence::Whence},
};

#[derive(Template)]
#[template(path = "profile.html")]
struct Page {
    shell: Shell,
    known: Known,
    email: String,
    wrong: Option<String>,
    done: Option<&'static str>,
    /// Whether they have a password to show that it is they.
    password: bool,
    /// Where they show it with Google, where that is on.
    google: Option<String>,
    mail: bool,
    /// The accounts elsewhere by which they come in.
    linked: Vec<linked::Row>,
}

#[derive(Template)]
#[template(path = "email_link.html")]
struct Proving {
    shell: Shell,
    token: String,
    address: String,
    lead: String,
    wrong: Option<String>,
}

/// What was done before this page.
#[derive(Deserialize)]
pub struct Done {
    #[serde(default)]
    done: String,
}

/// The form with the name.
#[derive(Deserialize)]
pub struct Named {
    token: String,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
}

/// The form with the address.
#[derive(Deserialize)]
pub struct Wished {
    token: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
}

/// The form that a link leads to.
#[derive(Deserialize)]
pub struct Button {
    #[serde(default)]
    token: String,
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
    Query(query): Query<Done>,
) -> Result<Response, Problem> {
    let done = match query.done.as_str() {
        "name" => Some(ENGLISH.profile_named),
        "email" => Some(ENGLISH.profile_email_sent),
        "unlinked" => Some(ENGLISH.linked_gone),
        _ => None,
    };
    show(&app, &seat, &headers, StatusCode::OK, "", (None, done)).await
}

/// The page, with what is to be mended, or what was done.
///
/// # Errors
/// The ledger is away.
pub async fn show(
    app: &App,
    seat: &Seat<Viewer>,
    headers: &HeaderMap,
    status: StatusCode,
    email: &str,
    (wrong, done): (Option<String>, Option<&'static str>),
) -> Result<Response, Problem> {
    let known = known(app, seat).await?;
    let password = hash(app, &known).await?.is_some();
    let linked = linked::rows(app, seat.member.person_id, password).await?;
    let shell = Shell::seated(app, headers, seat, "", "/profile");
    let (email, mail, google) = (email.to_owned(), app.house.mail, elsewhere::address(app, sure::HERE));
    render_as(status, &Page { shell, known, email, wrong, done, password, google, mail, linked })
}

async fn known(app: &App, seat: &Seat<Viewer>) -> Result<Known, Problem> {
    let known = app.house.ledger.person(seat.member.person_id).await?;
    known.ok_or_else(|| Problem::not_found("person"))
}

async fn hash(app: &App, known: &Known) -> Result<Option<String>, Problem> {
    Ok(app.house.ledger.credential(&known.email).await?.and_then(|it| it.password_hash))
}

/// Corrects the name.
pub async fn rename(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
    Form(form): Form<Named>,
) -> Result<Response, Problem> {
    // P-D2
    seat.check(&form.token)?;
    let t = &ENGLISH;
    let (first, last) = (stranger::name(&form.first_name), stranger::name(&form.last_name));
    let (Some(first_name), Some(last_name)) = (&first, &last) else {
        let wrong = if first.is_none() { t.people_wrong_first } else { t.people_wrong_last };
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return show(&app, &seat, &headers, status, "", (Some(wrong.to_owned()), None)).await;
    };
    app.house.ledger.of(seat.who).rename(seat.member.person_id, first_name, last_name).await?;
    Ok(Redirect::to("/profile?done=name").into_response())
}

/// Sends a link to the new address. Whether that is somebody's already is not told.
pub async fn ask(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    session: Session,
    headers: HeaderMap,
    Form(form): Form<Wished>,
) -> Result<Response, Problem> {
    seat.check(&form.token)?;
    let t = &ENGLISH;
    let again = |status, wrong: String| show(&app, &seat, &headers, status, &form.email, (Some(wrong), None));
    if !app.house.mail {
        return again(StatusCode::CONFLICT, t.profile_email_off.to_owned()).await;
    }
    let Some(email) = stranger::email(&form.email) else {
        return again(StatusCode::UNPROCESSABLE_ENTITY, t.people_wrong_email.to_owned()).await;
    };
    if let Some(wait) = slow_down(&app, &format!("address {}", seat.member.person_id)) {
        let wrong = fill(t.sign_in_throttled, &[&wait.as_secs().max(1).to_string()]);
        return again(StatusCode::TOO_MANY_REQUESTS, wrong).await;
    }
    let (shown, wrong) = match hash(&app, &known(&app, &seat).await?).await? {
        // who signs in elsewhere has no password to show: whoever has the address can set one
        None => (session::is_sure(&session, app.house.clock.now()).await?, t.profile_email_sure),
        hash => {
            let given = SecretString::from(form.password.clone());
            (passwords::matches(given, hash).await, t.profile_password_wrong)
        }
    };
    if !shown {
        return again(StatusCode::UNPROCESSABLE_ENTITY, wrong.to_owned()).await;
    }
    let link = session::fresh_token()?;
    let letter = letters::email_link(&app.house, &email, &link);
    let digest = stranger::digest(&link);
    let ledger = app.house.ledger.of(seat.who);
    ledger.ask_email_change(seat.member.person_id, &digest, letters::EMAIL_LINK_LASTS, &letter).await?;
    Ok(Redirect::to("/profile?done=email").into_response())
}

/// What the link leads to: opening it does nothing yet, for programs open the links of mails too.
pub async fn link(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(link): Path<String>,
) -> Result<Response, Problem> {
    let email = app.house.ledger.email_link(&stranger::digest(&link)).await?;
    match email {
        Some(email) => proving(&app, &headers, StatusCode::OK, (&link, &email), None),
        None => ended(&app, &headers),
    }
}

/// The address is theirs.
pub async fn prove(
    State(app): State<Arc<App>>,
    from: Whence,
    headers: HeaderMap,
    Path(link): Path<String>,
    Form(form): Form<Button>,
) -> Result<Response, Problem> {
    let (t, digest) = (&ENGLISH, stranger::digest(&link));
    let Some(email) = app.house.ledger.email_link(&digest).await? else { return ended(&app, &headers) };
    if !stranger::sent(&app, &headers, &form.token) {
        let wrong = Some(t.sign_in_stale.to_owned());
        return proving(&app, &headers, StatusCode::FORBIDDEN, (&link, &email), wrong);
    }
    let told = |old: &str| letters::email_changed(&app.house, old);
    if !app.house.ledger.of(from.who()).change_email(&digest, told).await? {
        return ended(&app, &headers);
    }
    let (said, onward) = ((t.email_changed_title, t.email_changed), Some(("/posts", t.problem_back)));
    stranger::notice(&app, &headers, StatusCode::OK, said, onward)
}

fn proving(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    (link, email): (&str, &str),
    wrong: Option<String>,
) -> Result<Response, Problem> {
    let (lead, address) = (fill(ENGLISH.email_link_lead, &[email]), format!("/email/{link}"));
    stranger::form(app, headers, status, |shell, token| Proving { shell, token, address, lead, wrong })
}

fn ended(app: &App, headers: &HeaderMap) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let said = (t.link_ended, t.email_link_ended);
    stranger::notice(app, headers, StatusCode::GONE, said, Some(("/profile", t.problem_back)))
}
