//! Copies of what is known of somebody, or of the workspace.

use std::sync::Arc;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::shapes::instant;
use crate::{
    ledger::{
        deletions::Subject,
        exports::{Shown, Wanted},
    },
    web::{
        App,
        access::{Caller, PrivacyWrite},
        deletion,
        privacy::exports as page,
        problem::Problem,
        rights::Copied,
    },
};

/// A copy as the staff sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportShape {
    /// Its id.
    id: String,
    /// `export`.
    kind: &'static str,
    /// `asked`, `gathered` or `made`.
    state: String,
    /// When it was asked for.
    received_at: String,
    /// When it was made.
    made_at: Option<String>,
    /// When it was fetched.
    taken_at: Option<String>,
    /// When it goes.
    expires_at: String,
    /// How large it is.
    bytes: Option<i64>,
    /// Where it is fetched, once: only in the answer to the request itself, and where no address was given that it goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl ExportShape {
    pub(super) fn of(it: &Shown, url: Option<String>) -> Self {
        Self {
            id: it.id.to_string(),
            kind: "export",
            state: it.state.clone(),
            received_at: instant(it.asked_at),
            made_at: it.made_at.map(instant),
            taken_at: it.taken_at.map(instant),
            expires_at: instant(it.expires_at),
            bytes: it.bytes,
            url,
        }
    }
}

/// The link goes to the person, where it is said who that is.
pub(super) async fn ask(
    app: &Arc<App>,
    caller: &Caller<PrivacyWrite>,
    of: Copied,
) -> Result<Response, Problem> {
    // P-D1 P-D3
    let (whole, of) = match of {
        Copied::Workspace => (true, deletion::Wanted::default()),
        Copied::Somebody(of) => (false, of),
    };
    let link = deletion::fresh_link();
    let letter = of.email.as_ref().filter(|_| app.house.mail).map(|to| page::letter(app, to, &link));
    let url = letter.is_none().then(|| page::address(app, &link));
    let wanted = Wanted {
        subject: Subject {
            meta_user_id: of.meta_user_id.as_deref(),
            email: of.email.as_deref(),
            accounts: &of.accounts,
            workspace_id: Some(caller.workspace_id),
        },
        whole,
        person: None,
        link_digest: page::digest(&link),
        letter,
    };
    // whoever belongs to others too is looked for in all of them
    let ledger = app.house.ledger.of(caller.who);
    let (id, due) = ledger.ask_export(&app.house.deletions.ring, &wanted).await?;
    (app.house.nudge)(vec![due]);
    let shown = caller.ledger.export_of(caller.workspace_id, id).await?.ok_or_else(Problem::internal)?;
    Ok((StatusCode::ACCEPTED, Json(ExportShape::of(&shown, url))).into_response())
}
