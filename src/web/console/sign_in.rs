//! Signing in and out.

use std::{net::SocketAddr, sync::Arc};

use askama::Template;
use axum::{
    Extension, Form,
    extract::{ConnectInfo, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use secrecy::SecretString;
use serde::Deserialize;
use tower_sessions::Session;

use super::{
    Shell, cookie, desk, render_as,
    seat::{Seat, Viewer},
    session,
    texts::{ENGLISH, fill},
};
use crate::web::{App, passwords, problem::Problem};

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
}

/// The form.
pub async fn page(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(onward): Query<Onward>,
) -> Result<Response, Problem> {
    form(&app, &headers, StatusCode::OK, "", desk::local(&onward.next), None)
}

/// The form with a token, which a cookie carries too: there is no session yet to keep it in.
fn form(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    email: &str,
    next: &str,
    wrong: Option<String>,
) -> Result<Response, Problem> {
    let token = match cookie(headers, cookie_name(app)) {
        Some(token) if token.len() == 43 => token.to_owned(),
        _ => session::fresh_token()?,
    };
    let shell = Shell::anonymous(app, headers);
    let page = Page { shell, token: token.clone(), email: email.to_owned(), next: next.to_owned(), wrong };
    let mut response = render_as(status, &page)?;
    let secure = if app.console.secure { "; Secure" } else { "" };
    let set = format!("{}={token}; Path=/; HttpOnly; SameSite=Lax{secure}", cookie_name(app));
    let value = HeaderValue::try_from(set).map_err(|_| Problem::internal())?;
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(response)
}

fn cookie_name(app: &App) -> &'static str {
    if app.console.secure { "__Host-f" } else { "f" }
}

/// Lets somebody in.
pub async fn submit(
    State(app): State<Arc<App>>,
    address: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    session: Session,
    Form(form): Form<Credentials>,
) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let (email, next) = (form.email.trim().to_lowercase(), desk::local(&form.next));
    let again = |status, wrong: String| self::form(&app, &headers, status, &form.email, next, Some(wrong));
    let kept = cookie(&headers, cookie_name(&app)).unwrap_or_default();
    if !session::same_token(&form.token, kept) {
        return again(StatusCode::FORBIDDEN, t.sign_in_stale.to_owned());
    }
    let from = address.map(|Extension(ConnectInfo(address))| address.ip().to_string()).unwrap_or_default();
    let who = format!("{from} {email}");
    if let Some(wait) = app.console.throttle.wait(&who, app.house.clock.monotonic()) {
        let wrong = fill(t.sign_in_throttled, &[&wait.as_secs().max(1).to_string()]);
        return again(StatusCode::TOO_MANY_REQUESTS, wrong);
    }
    // PostgreSQL takes no NUL; nobody's address has one.
    let email = email.replace('\0', "");
    let credential = app.house.ledger.credential(&email).await?;
    let hash = credential.as_ref().and_then(|it| it.password_hash.clone());
    let right = passwords::matches(SecretString::from(form.password.clone()), hash).await;
    let Some(credential) = credential.filter(|_| right) else {
        app.console.throttle.failed(&who, app.house.clock.monotonic());
        return again(StatusCode::UNPROCESSABLE_ENTITY, t.sign_in_wrong.to_owned());
    };
    app.console.throttle.passed(&who);
    session::begin(&session, credential.person_id, &headers, app.house.clock.now()).await?;
    Ok(Redirect::to(next).into_response())
}

/// What the form to leave sends.
#[derive(Deserialize)]
pub struct Leaving {
    #[serde(default)]
    token: String,
}

/// Ends the session.
pub async fn leave(
    seat: Seat<Viewer>,
    session: Session,
    Form(form): Form<Leaving>,
) -> Result<Redirect, Problem> {
    seat.check(&form.token)?;
    session.flush().await.map_err(|_| Problem::away("ledger-away", ENGLISH.problem_unavailable_detail))?;
    Ok(Redirect::to("/sign-in"))
}
