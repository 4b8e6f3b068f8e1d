//! What staff do about a post that was accepted, by a button: cancel it, try it again. Works without a script.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};

use super::{
    post,
    seat::{AtLeast, Button, Publisher, Seat},
    sure::Sure,
    texts::ENGLISH,
};
use crate::{
    ledger::{edit::Unchanged, idempotency::Once, posts::Post},
    web::{
        Act, App,
        intake::jobs::sentence,
        problem::{self, Problem},
    },
};

/// Cancels what is not out yet.
pub async fn cancel(
    app: State<Arc<App>>,
    seat: Seat<Publisher>,
    headers: HeaderMap,
    id: Path<String>,
    form: Form<Button>,
) -> Result<Response, Problem> {
    press(app, seat, headers, id, form, Act::Cancel).await
}

/// Tries again what failed.
pub async fn retry(
    app: State<Arc<App>>,
    seat: Seat<Publisher>,
    headers: HeaderMap,
    id: Path<String>,
    Sure(form): Sure<Button>,
) -> Result<Response, Problem> {
    press(app, seat, headers, id, Form(form), Act::Retry).await
}

/// What can be pressed twice without harm needs no key.
async fn press(
    State(app): State<Arc<App>>,
    seat: Seat<Publisher>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(form): Form<Button>,
    act: Act,
) -> Result<Response, Problem> {
    seat.check(&form.token)?;
    let post = known(&seat, &id).await?;
    match app.act(act, (seat.member.workspace_id, post.id), None, seat.who).await? {
        Once::Done(Err(Unchanged::Refused(refusal))) => {
            let mut notice = sentence(&refusal);
            if act == Act::Cancel && !app.offers(&post).is_empty() {
                notice = format!("{notice} {}", ENGLISH.cancel_too_late);
            }
            post::show(&app, &seat, &headers, post.id, StatusCode::CONFLICT, Some(notice)).await
        }
        Once::Done(_) | Once::Before(_) | Once::KeyReused => {
            Ok(Redirect::to(&format!("/posts/{}", post.id)).into_response())
        }
    }
}

/// The post, if it is one of this workspace.
///
/// # Errors
/// 404, or the ledger is away.
pub async fn known<R: AtLeast>(seat: &Seat<R>, id: &str) -> Result<Post, Problem> {
    let post = seat.ledger.post(seat.member.workspace_id, problem::id(id, "post")?).await?;
    post.ok_or_else(|| Problem::not_found("post"))
}
