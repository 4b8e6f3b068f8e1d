//! The accounts elsewhere by which somebody comes in, and how they take one away: a part of their profile.

use std::sync::Arc;

use axum::{
    Form,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    profile,
    seat::{Seat, Viewer},
    texts::{ENGLISH, fill},
    words,
};
use crate::{
    ledger::identities::Unlinked,
    web::{App, problem::Problem},
};

/// One of them.
pub struct Row {
    /// Where it is.
    pub issuer: String,
    /// Since when.
    pub since: String,
    /// Whether they can come in without it.
    pub spare: bool,
}

/// The form that takes one away.
#[derive(Deserialize)]
pub struct Chosen {
    token: String,
    #[serde(default)]
    issuer: String,
}

/// Those of a person, who has a password or has none.
///
/// # Errors
/// The ledger is away.
pub async fn rows(app: &App, person: Uuid, password: bool) -> Result<Vec<Row>, Problem> {
    let (identities, now) = (app.house.ledger.identities_of(person).await?, app.house.clock.now());
    let spare = password || identities.len() > 1;
    let row = |(issuer, since): (String, String)| Row { issuer, since, spare };
    let since = |at| fill(ENGLISH.linked_since, &[&words::relative(&ENGLISH, at, now)]);
    Ok(identities.into_iter().map(|it| row((it.issuer, since(it.linked_at)))).collect())
}

/// Takes one away, unless it is the last way in.
pub async fn unlink(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
    Form(form): Form<Chosen>,
) -> Result<Response, Problem> {
    seat.check(&form.token)?;
    match app.house.ledger.of(seat.who).unlink(seat.member.person_id, &form.issuer).await? {
        Unlinked::Done => Ok(Redirect::to("/profile?done=unlinked").into_response()),
        Unlinked::Missing => Err(Problem::not_found("linked account")),
        Unlinked::LastWay => {
            let wrong = (Some(ENGLISH.linked_only.to_owned()), None);
            profile::show(&app, &seat, &headers, StatusCode::CONFLICT, "", wrong).await
        }
    }
}
