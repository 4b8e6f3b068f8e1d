//! What somebody may join whom a provider vouches for and who has followed no link: they accept one invitation after the
//! other. Works without a script.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tower_sessions::Session;
use uuid::Uuid;

use super::{
    Shell, letters, seat,
    session::{self, Proved},
    sign_in, stranger,
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::{LedgerError, identities::Known, invitations::Invitation, mail::NewMail},
    web::{
        App,
        problem::{self, Problem},
        whence::Whence,
    },
};

/// Where the page is.
pub const HERE: &str = "/invitations";

#[derive(Template)]
#[template(path = "invited.html")]
struct Page {
    shell: Shell,
    token: String,
    lead: String,
    wrong: Option<&'static str>,
    rows: Vec<Row>,
}

/// An invitation.
struct Row {
    id: Uuid,
    workspace: String,
    lead: String,
    join: String,
}

/// A form that is nothing but a button.
#[derive(Deserialize)]
pub struct Button {
    #[serde(default)]
    token: String,
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    session: Session,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match session::proved(&session, app.house.clock.now()).await? {
        Some(proved) => show(&app, &headers, &proved, StatusCode::OK, None).await,
        None => Ok(Redirect::to("/sign-in").into_response()),
    }
}

/// Accepts one of them.
pub async fn join(
    State(app): State<Arc<App>>,
    from: Whence,
    session: Session,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(form): Form<Button>,
) -> Result<Response, Problem> {
    let Some(proved) = session::proved(&session, app.house.clock.now()).await? else {
        return Ok(Redirect::to("/sign-in").into_response());
    };
    let again = |status, wrong| show(&app, &headers, &proved, status, Some(wrong));
    if !stranger::sent(&app, &headers, &form.token) {
        return again(StatusCode::FORBIDDEN, ENGLISH.sign_in_stale).await;
    }
    let id = problem::id(&id, "invitation")?;
    let letter = app.house.mail.then(|| letters::linked(&app.house, &proved.email, &proved.issuer));
    let known = known(&proved, letter.as_ref());
    let joined = match app.house.ledger.of(from.who()).join_as_vouched(id, &known).await {
        // two of them at once: the other has made them known
        Err(LedgerError::Refused { .. }) => return Ok(Redirect::to(HERE).into_response()),
        other => other?,
    };
    let Some(joined) = joined else {
        return again(StatusCode::GONE, ENGLISH.invitation_ended).await;
    };
    if !seat::is(&session, &app, joined.person_id).await? {
        sign_in::begin(&app, &session, &headers, (joined.person_id, from.0), 0).await?;
        session::remember(&session, &proved).await?;
    }
    session::look_at(&session, joined.workspace_id).await?;
    if !app.house.ledger.invitations_to(&proved.email).await?.is_empty() {
        return Ok(Redirect::to(HERE).into_response());
    }
    session::forget(&session).await?;
    Ok(Redirect::to("/posts").into_response())
}

fn known<'a>(proved: &'a Proved, letter: Option<&'a NewMail>) -> Known<'a> {
    Known {
        issuer: &proved.issuer,
        subject: &proved.subject,
        email: &proved.email,
        vouched: true,
        first_name: &proved.first_name,
        last_name: &proved.last_name,
        letter,
    }
}

async fn show(
    app: &App,
    headers: &HeaderMap,
    proved: &Proved,
    status: StatusCode,
    wrong: Option<&'static str>,
) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let invitations = app.house.ledger.invitations_to(&proved.email).await?;
    let lead = fill(t.invited_lead, &[&proved.email]);
    let rows = invitations.into_iter().map(|it| row(t, it)).collect();
    stranger::form(app, headers, status, |shell, token| Page { shell, token, lead, wrong, rows })
}

fn row(t: &Texts, it: Invitation) -> Row {
    let role = words::role(t, it.role);
    Row {
        id: it.id,
        lead: match &it.invited_by {
            Some(who) => fill(t.invitation_lead, &[who, role]),
            None => fill(t.invitation_lead_nobody, &[role]),
        },
        join: fill(t.invited_join, &[&it.workspace_name]),
        workspace: it.workspace_name,
    }
}
