//! Taking down what is public.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};

use super::{
    answered, asked_optional, id,
    shapes::{PublicationShape, TakeDownBody},
};
use crate::{
    ledger::{idempotency::Answer, posts::Publication},
    web::{
        App,
        access::{Caller, PostsWrite},
        body,
        problem::{Problem, ProblemDocument},
        take_down::{Wish, refused},
    },
};

/// Takes a published post down, where its network allows that; what it was published as elsewhere stays. `202`: the wish
/// is committed, and `taken_down` of the publication tells what becomes of it. Who asks again gets the same; what was
/// refused is asked for anew. Its state stays `published`.
#[utoipa::path(
    post,
    path = "/api/v1/publications/{id}/take-down",
    tag = "posts",
    security(("bearer" = ["posts:write"])),
    params(
        ("id" = String, Path, description = "The publication: a post on one account"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    request_body(content = Option<TakeDownBody>, description = "May be left out"),
    responses(
        (status = 202, description = "Committed", body = PublicationShape),
        (status = 404, description = "No such publication in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Not as it stands, or only people can do it at the network; detail says who and how", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "One entry in errors for each field", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is away; nothing was asked for", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn ask(
    State(app): State<Arc<App>>,
    caller: Caller<PostsWrite>,
    headers: HeaderMap,
    Path(publication): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let publication_id = id(&publication, "publication")?;
    // of another workspace there is none, whatever else is wrong
    if !caller.ledger.knows_publication(caller.workspace_id, publication_id).await? {
        return Err(Problem::not_found("publication"));
    }
    let route = format!("POST /api/v1/publications/{publication_id}/take-down");
    let (asked, said) = asked_optional(&app, &headers, caller.workspace_id, &route, body).await?;
    let (reason, findings) = body::reason(&said);
    if !findings.is_empty() {
        return Err(Problem::invalid(findings));
    }
    let wish = Wish {
        workspace_id: caller.workspace_id,
        publication_id,
        asked_by: caller.key_id,
        reason,
        who: caller.who,
    };
    let done = app.take_down(wish, asked).await?;
    answered(done.map(|made| made.map(|it| answer(&it.publication)).map_err(|why| refused(&why))))
}

/// What such a wish is answered with.
pub fn answer(publication: &Publication) -> Answer {
    Answer::of(202, &PublicationShape::from(publication))
}
