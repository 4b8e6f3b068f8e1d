//! The connected accounts, to look at.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};

use super::{
    Shell, render,
    session::{Seat, Viewer},
    texts::{ENGLISH, fill},
    words::{self, Chip},
};
use crate::web::{App, problem::Problem};

const MOST: i64 = 500;

#[derive(Template)]
#[template(path = "accounts.html")]
struct Page {
    shell: Shell,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    network: String,
    external_id: String,
    chip: Chip,
    reason: Option<String>,
    since: String,
    ends: Option<String>,
    default: Option<String>,
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let now = app.house.clock.now();
    let accounts = app.house.ledger.accounts(seat.member.workspace_id, None, MOST).await?;
    let rows = accounts.into_iter().map(|account| Row {
        network: words::network(&app, &account.platform).to_owned(),
        chip: words::account_chip(t, account.state),
        since: account.created_at.format("%-d %b %Y").to_string(),
        ends: account.token_expires_at.map(|at| words::relative(t, at, now)),
        default: account.defaults["privacy_level"].as_str().map(|level| fill(t.privacy_default, &[level])),
        name: account.name,
        external_id: account.external_id,
        reason: account.state_reason,
    });
    let rows = rows.collect();
    render(&Page { shell: Shell::seated(&app, &headers, &seat, "accounts", "/accounts"), rows })
}
