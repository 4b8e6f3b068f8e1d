//! Where somebody is signed in, and how they end that. Works without a script.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Utc};
use tower_sessions::Session;

use super::{
    Shell, render,
    seat::{Button, Seat, Viewer},
    session,
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::sessions::OwnSession,
    web::{App, problem::Problem},
};

#[derive(Template)]
#[template(path = "sessions.html")]
struct Page {
    shell: Shell,
    rows: Vec<Row>,
}

struct Row {
    handle: String,
    browser: String,
    began: String,
    seen: String,
    own: bool,
    end: String,
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    session: Session,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let own = handle(&session);
    let (t, now) = (&ENGLISH, app.house.clock.now());
    let sessions = app.house.ledger.sessions_of(seat.member.person_id).await?;
    let rows = sessions.into_iter().map(|it| row(t, it, &own, now)).collect();
    render(&Page { shell: Shell::seated(&app, &headers, &seat, "", "/sessions"), rows })
}

/// Ends one of one's own.
pub async fn end(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    Path(handle): Path<String>,
    Form(form): Form<Button>,
) -> Result<Redirect, Problem> {
    seat.check(&form.token)?;
    if !app.house.ledger.of(seat.who).end_session(seat.member.person_id, &handle).await? {
        return Err(Problem::not_found("session"));
    }
    Ok(Redirect::to("/sessions"))
}

/// Ends all of one's own but this one.
pub async fn end_others(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    session: Session,
    Form(form): Form<Button>,
) -> Result<Response, Problem> {
    seat.check(&form.token)?;
    app.house.ledger.of(seat.who).end_other_sessions(seat.member.person_id, &handle(&session)).await?;
    Ok(Redirect::to("/sessions").into_response())
}

/// What this one is called where its id must not stand.
fn handle(session: &Session) -> String {
    session.id().as_ref().map(session::kept_as).unwrap_or_default()
}

fn row(t: &Texts, it: OwnSession, own: &str, now: DateTime<Utc>) -> Row {
    let when = |seconds: Option<i64>| {
        let at = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        at.map_or_else(|| t.session_unknown.to_owned(), |at| words::relative(t, at, now))
    };
    let browser = browser(t, it.agent.as_deref().unwrap_or_default());
    Row {
        own: it.handle == own,
        end: fill(t.session_end_of, &[&browser]),
        began: when(it.began),
        seen: when(it.seen),
        handle: it.handle,
        browser,
    }
}

/// What a browser and its system are called, out of the long name that it gives itself.
fn browser(t: &Texts, agent: &str) -> String {
    let first = |known: &[(&str, &'static str)]| {
        known.iter().find(|(sign, _)| agent.contains(sign)).map(|(_, name)| *name)
    };
    let program = first(&[
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (program, system) {
        (Some(program), Some(system)) => fill(t.session_browser, &[program, system]),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) if agent.is_empty() => t.session_nameless.to_owned(),
        (None, None) => agent.chars().take(40).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_called_what_people_call_it() {
        let chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36";
        let phone =
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605 Version/19 Safari/604";
        assert_eq!(browser(&ENGLISH, chrome), "Chrome on Linux");
        assert_eq!(browser(&ENGLISH, phone), "Safari on iPhone");
        assert_eq!(
            browser(&ENGLISH, "Something/1.0 of a long name that nobody knows here"),
            "Something/1.0 of a long name that nobody"
        );
        assert_eq!(browser(&ENGLISH, ""), "A browser without a name");
    }
}
