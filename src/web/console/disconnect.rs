//! Disconnecting an account: a page that asks once more, and the button on it. Works without a script.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    Shell, render,
    seat::{Admin, Seat},
    sure::Sure,
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::{access::Breaks, accounts::Account, idempotency::Once},
    web::{
        App,
        disconnect::{Wish, refused},
        problem::{self, Problem},
    },
};

#[derive(Template)]
#[template(path = "disconnect.html")]
struct Page {
    shell: Shell,
    sure: String,
    name: String,
    network: String,
    external_id: String,
    stays: Option<String>,
}

/// What the page sends.
#[derive(Deserialize)]
pub struct Button {
    #[serde(default)]
    token: String,
}

/// The page that asks once more.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let account = known(&seat, &id).await?;
    if account.parted.is_some() {
        return Ok(Redirect::to("/accounts").into_response());
    }
    let ahead = seat.ledger.breaks(&[(account.id, app.house.clock.now())], 1).await?;
    let total = ahead.get(&account.id).map_or(0, Breaks::count);
    let t = &ENGLISH;
    render(&Page {
        shell: Shell::seated(
            &app,
            &headers,
            &seat,
            "accounts",
            &format!("/accounts/{}/disconnect", account.id),
        ),
        sure: fill(t.disconnect_sure, &[&account.name]),
        network: words::network(&app, &account.platform).to_owned(),
        name: account.name,
        external_id: account.external_id,
        stays: (total > 0).then(|| Texts::count(total, t.disconnect_stays_one, t.disconnect_stays_many)),
    })
}

/// Takes the wish. Pressed twice it is one.
pub async fn submit(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    Path(id): Path<String>,
    Sure(form): Sure<Button>,
) -> Result<Response, Problem> {
    seat.check(&form.token)?;
    let account_id = problem::id(&id, "account")?;
    let wish = Wish { workspace_id: seat.member.workspace_id, account_id, who: seat.who };
    match app.disconnect(wish, None).await? {
        Once::Done(Err(why)) => Err(refused(why)),
        Once::Done(Ok(_)) | Once::Before(_) | Once::KeyReused => {
            Ok(Redirect::to("/accounts").into_response())
        }
    }
}

async fn known(seat: &Seat<Admin>, id: &str) -> Result<Account, Problem> {
    let account = seat.ledger.account(seat.member.workspace_id, problem::id(id, "account")?).await?;
    account.ok_or_else(|| Problem::not_found("account"))
}
