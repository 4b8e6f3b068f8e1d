//! Copies for people at the console: of what is known of themselves, and of all that is the workspace's. They are led to
//! where it is fetched once it is made.

use std::sync::Arc;

use axum::{extract::State, response::Redirect};
use uuid::Uuid;

use super::{
    seat::{Admin, Button, Seat, Viewer},
    sure::Sure,
};
use crate::{
    ledger::{audit::Who, deletions::Subject, exports::Wanted},
    web::{App, deletion, privacy::exports as page, problem::Problem},
};

/// Of all that is the workspace's.
pub async fn of_workspace(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    Sure(form): Sure<Button>,
) -> Result<Redirect, Problem> {
    // P-D3
    seat.check(&form.token)?;
    ask(&app, seat.who, Some(seat.member.workspace_id), None).await
}

/// Of what is known of whoever asks, in whichever workspace.
pub async fn own(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    Sure(form): Sure<Button>,
) -> Result<Redirect, Problem> {
    // P-D1
    seat.check(&form.token)?;
    ask(&app, seat.who, None, Some(seat.member.person_id)).await
}

async fn ask(
    app: &App,
    who: Who,
    workspace_id: Option<Uuid>,
    person: Option<Uuid>,
) -> Result<Redirect, Problem> {
    let link = deletion::fresh_link();
    let wanted = Wanted {
        subject: Subject { workspace_id, ..Subject::default() },
        whole: workspace_id.is_some(),
        person,
        link_digest: page::digest(&link),
        letter: None,
    };
    let (_, due) = app.house.ledger.of(who).ask_export(&app.house.deletions.ring, &wanted).await?;
    (app.house.nudge)(vec![due]);
    Ok(Redirect::to(&format!("/privacy/exports/{link}")))
}
