//! Small pictures of files, so that a page of them does not fetch them all.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Redirect, Response},
};
use jobs::{contract::Class, desk::File};

use super::seat::{Seat, Viewer};
use crate::web::{
    App,
    problem::{self, Problem},
};

/// Leads to a small JPEG of the file, at the object store, for a while.
pub async fn one(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = problem::id(&id, "file")?;
    let file = seat.ledger.media(seat.member.workspace_id, id).await?;
    let media = file.ok_or_else(|| Problem::not_found("file"))?;
    let file = File {
        bytes: media.bytes.unsigned_abs(),
        width: media.width.unsigned_abs(),
        key: media.object_key,
        content_type: media.content_type,
    };
    let store = Arc::clone(&app.house.media);
    // Once begun it is made, whether or not somebody still waits: the next who asks finds it.
    let making = tokio::spawn(async move {
        let key = store.thumbnail(&file).await?;
        store.address(&key).await
    });
    let address = making.await?.map_err(|failure| {
        if failure.class == Class::Permanent {
            return Problem::not_found("small picture");
        }
        Problem::from(failure)
    })?;
    let mut response = Redirect::temporary(&address).into_response();
    // Shorter than any address holds.
    let shortly = header::HeaderValue::from_static("private, max-age=3600");
    response.headers_mut().insert(header::CACHE_CONTROL, shortly);
    Ok(response)
}
