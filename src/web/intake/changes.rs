//! What is done about a post after it was accepted: changing, cancelling, trying again.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};

use super::{
    answered, asked_json, asked_nothing, id,
    jobs::sentence,
    posts::answer,
    shapes::{ChangeBody, PostShape},
};
use crate::{
    ledger::{approval::Word, control::Refusal, edit::Unchanged, idempotency::Once},
    web::{
        Act, App, Editor,
        access::{Caller, PostsWrite},
        body,
        problem::{Problem, ProblemDocument},
    },
};

/// Changes a post: what it says, what it shows, when it goes out. All of it is changed, or nothing. `409` while what
/// was sent before may be public, or may become so, and while it waits for somebody to approve it.
#[utoipa::path(
    patch,
    path = "/api/v1/posts/{id}",
    tag = "posts",
    security(("bearer" = ["posts:write"])),
    params(
        ("id" = String, Path, description = "The post"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    request_body = ChangeBody,
    responses(
        (status = 202, description = "Committed", body = PostShape),
        (status = 400, description = "Not JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No key, or none that opens anything", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such post in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Not as it stands; detail says why", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "Over 256 KiB", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "One entry in errors for each field", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is away; nothing was changed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller<PostsWrite>,
    headers: HeaderMap,
    Path(post): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let about = (caller.workspace_id, known(&caller, &post).await?);
    let route = format!("PATCH /api/v1/posts/{}", about.1);
    let (asked, said) = asked_json(&app, &headers, caller.workspace_id, &route, body).await?;
    let (patch, found) = body::patch(&said);
    let by = Editor { word: Word::Approves(caller.key_id), who: caller.who, seen: None };
    let done = app.edit(patch, found, about, asked, by).await?;
    answered(done.map(|made| match made {
        Ok(changed) => Ok(answer(&changed.post)),
        Err(Unchanged::Bad(findings)) => Err(Problem::invalid(findings)),
        Err(Unchanged::Refused(refusal)) => Err(refused(&refusal)),
    }))
}

/// Cancels what a post has not brought out yet. `409` where it may be public already: the wish is kept, and honoured
/// if it turns out that it is not. Where it is public, `take_down` of the problem says how it is taken down.
#[utoipa::path(
    post,
    path = "/api/v1/posts/{id}/cancel",
    tag = "posts",
    security(("bearer" = ["posts:write"])),
    params(
        ("id" = String, Path, description = "The post"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    responses(
        (status = 202, description = "Committed: nothing is sent any more", body = PostShape),
        (status = 400, description = "Not JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No key, or none that opens anything", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such post in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Not as it stands; detail says why", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "Over 256 KiB", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field that there is none of, or the Idempotency-Key came with another body", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is away; nothing was changed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller<PostsWrite>,
    headers: HeaderMap,
    Path(post): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    act(app, caller, headers, post, body, Act::Cancel).await
}

/// Tries again what failed of a post, or was held as too late. What was sent before stays accounted for.
#[utoipa::path(
    post,
    path = "/api/v1/posts/{id}/retry",
    tag = "posts",
    security(("bearer" = ["posts:write"])),
    params(
        ("id" = String, Path, description = "The post"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    responses(
        (status = 202, description = "Committed", body = PostShape),
        (status = 400, description = "Not JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No key, or none that opens anything", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such post in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Not as it stands; detail says why", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "Over 256 KiB", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field that there is none of, or the Idempotency-Key came with another body", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is away; nothing was changed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller<PostsWrite>,
    headers: HeaderMap,
    Path(post): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    act(app, caller, headers, post, body, Act::Retry).await
}

async fn act(
    app: Arc<App>,
    caller: Caller<PostsWrite>,
    headers: HeaderMap,
    post: String,
    body: Body,
    act: Act,
) -> Result<Response, Problem> {
    let about = (caller.workspace_id, known(&caller, &post).await?);
    let route = format!("POST /api/v1/posts/{}/{}", about.1, act.word());
    let asked = asked_nothing(&app, &headers, caller.workspace_id, &route, body).await?;
    let done = app.act(act, about, asked, caller.who).await?;
    if let (Act::Cancel, Once::Done(Err(Unchanged::Refused(refusal)))) = (act, &done) {
        return too_late(&app, about, refusal).await;
    }
    answered(done.map(|made| match made {
        Ok(changed) => Ok(answer(&changed.post)),
        Err(Unchanged::Bad(())) => Err(Problem::internal()),
        Err(Unchanged::Refused(refusal)) => Err(refused(&refusal)),
    }))
}

/// What is public already cannot be cancelled any more: the answer says how it is taken down.
async fn too_late(
    app: &App,
    about: (uuid::Uuid, uuid::Uuid),
    refusal: &Refusal,
) -> Result<Response, Problem> {
    let post = app.within(about.0).post(about.0, about.1).await?;
    let offers = post.map(|post| app.offers(&post)).unwrap_or_default();
    let mut problem = refused(refusal);
    if !offers.is_empty() {
        problem.detail += " What is public already can be taken down; take_down says where, or by whom.";
    }
    Err(problem.offering(offers))
}

/// The post of that id; of another workspace there is none, whatever else is wrong.
async fn known(caller: &Caller<PostsWrite>, post: &str) -> Result<uuid::Uuid, Problem> {
    let id = id(post, "post")?;
    let found = caller.ledger.has_post(caller.workspace_id, id).await?;
    found.then_some(id).ok_or_else(|| Problem::not_found("post"))
}

/// A refusal as the API says it.
pub fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Missing => Problem::not_found("post"),
        other => Problem::conflict(sentence(other)),
    }
}
