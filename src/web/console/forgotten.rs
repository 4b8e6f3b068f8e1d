//! A new password, by a link that is sent by mail. Nobody learns here whether an address is known.

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
    Shell, letters, session, sign_in, slow_down, stranger,
    texts::{ENGLISH, fill},
};
use crate::web::{App, passwords, problem::Problem, whence::Whence};

#[derive(Template)]
#[template(path = "forgotten.html")]
struct Asking {
    shell: Shell,
    token: String,
    email: String,
    wrong: Option<String>,
}

#[derive(Template)]
#[template(path = "new_password.html")]
struct Setting {
    shell: Shell,
    token: String,
    address: String,
    wrong: Option<String>,
}

/// What the form sends that asks for a link.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    token: String,
    #[serde(default)]
    email: String,
}

/// What the form sends that sets a password.
#[derive(Deserialize)]
pub struct Set {
    #[serde(default)]
    token: String,
    #[serde(default)]
    password: String,
}

/// The form that asks for a link.
pub async fn page(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    if !app.house.mail {
        let said = (ENGLISH.forgotten_title, ENGLISH.forgotten_mail_off);
        let back = Some(("/sign-in", ENGLISH.forgotten_back));
        return stranger::notice(&app, &headers, StatusCode::CONFLICT, said, back);
    }
    ask(&app, &headers, StatusCode::OK, "", None)
}

/// Takes the form. The answer is the same for every address and takes the same steps, and what it promises is written down by
/// then.
pub async fn submit(
    State(app): State<Arc<App>>,
    from: Whence,
    headers: HeaderMap,
    Form(form): Form<Asked>,
) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let again = |status, wrong: String| ask(&app, &headers, status, &form.email, Some(wrong));
    if !app.house.mail {
        return again(StatusCode::CONFLICT, t.forgotten_mail_off.to_owned());
    }
    if !stranger::sent(&app, &headers, &form.token) {
        return again(StatusCode::FORBIDDEN, t.sign_in_stale.to_owned());
    }
    let Some(email) = stranger::email(&form.email) else {
        return again(StatusCode::UNPROCESSABLE_ENTITY, t.people_wrong_email.to_owned());
    };
    // every wish counts, whether or not it comes to anything
    if let Some(wait) = slow_down(&app, &format!("forgotten {}", from.counted())) {
        let wrong = fill(t.sign_in_throttled, &[&wait.as_secs().max(1).to_string()]);
        return again(StatusCode::TOO_MANY_REQUESTS, wrong);
    }
    let link = session::fresh_token()?;
    let letter = letters::password_link(&app.house, &email, &link);
    let (digest, lasts) = (stranger::digest(&link), letters::PASSWORD_LINK_LASTS);
    app.house.ledger.of(from.who()).ask_for_password(&email, &digest, lasts, &letter).await?;
    let said = (t.forgotten_sent_title, t.forgotten_sent);
    stranger::notice(&app, &headers, StatusCode::OK, said, Some(("/sign-in", t.forgotten_back)))
}

/// The form that a link leads to.
pub async fn link(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(link): Path<String>,
) -> Result<Response, Problem> {
    if !app.house.ledger.password_link_holds(&stranger::digest(&link)).await? {
        return ended(&app, &headers);
    }
    set(&app, &headers, StatusCode::OK, &link, None)
}

/// Sets the password, ends every session, and begins one.
pub async fn renew(
    State(app): State<Arc<App>>,
    from: Whence,
    session: Session,
    headers: HeaderMap,
    Path(link): Path<String>,
    Form(form): Form<Set>,
) -> Result<Response, Problem> {
    let t = &ENGLISH;
    if !stranger::sent(&app, &headers, &form.token) {
        return set(&app, &headers, StatusCode::FORBIDDEN, &link, Some(t.sign_in_stale.to_owned()));
    }
    let digest = stranger::digest(&link);
    // nobody makes this house hash passwords for nothing
    if !app.house.ledger.password_link_holds(&digest).await? {
        return ended(&app, &headers);
    }
    let password = SecretString::from(form.password);
    if !passwords::fits(&password) {
        let wrong = Some(t.password_wrong.to_owned());
        return set(&app, &headers, StatusCode::UNPROCESSABLE_ENTITY, &link, wrong);
    }
    let hash = stranger::hashed(password).await?;
    let letter = |email: &str| letters::password_changed(&app.house, email);
    let ledger = app.house.ledger.of(from.who());
    let Some(person) = ledger.set_password(&digest, &hash, letter).await? else {
        return ended(&app, &headers);
    };
    sign_in::begin(&app, &session, &headers, (person, from.0), 0).await?;
    Ok(Redirect::to("/posts").into_response())
}

fn ask(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    email: &str,
    wrong: Option<String>,
) -> Result<Response, Problem> {
    stranger::form(app, headers, status, |shell, token| Asking {
        shell,
        token,
        email: email.to_owned(),
        wrong,
    })
}

fn set(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    link: &str,
    wrong: Option<String>,
) -> Result<Response, Problem> {
    let address = format!("/password/{link}");
    stranger::form(app, headers, status, |shell, token| Setting { shell, token, address, wrong })
}

fn ended(app: &App, headers: &HeaderMap) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let said = (t.link_ended, t.forgotten_ended);
    stranger::notice(app, headers, StatusCode::GONE, said, Some(("/forgot", t.forgotten_again)))
}
