//! Posts.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Uri},
    response::Response,
};

use super::{
    asked_json, give, id, lists,
    shapes::{Page, PostBody, PostShape},
};
use crate::{
    ledger::{
        accept::Accepted,
        idempotency::Answer,
        posts::{Post, PostFilter},
    },
    web::{
        App,
        access::{Caller, PostsRead, PostsWrite},
        body,
        check::Report,
        problem::{Problem, ProblemDocument},
    },
};

/// Accepts a post. `202`: it is committed and will not be lost.
#[utoipa::path(
    post,
    path = "/api/v1/posts",
    tag = "posts",
    security(("bearer" = ["posts:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer")),
    request_body = PostBody,
    responses(
        (status = 202, description = "Committed", body = PostShape),
        (status = 400, description = "Not JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No key, or none that opens anything", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "Over 256 KiB", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "One entry in errors for each field", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is away; nothing was accepted", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller<PostsWrite>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let route = "POST /api/v1/posts";
    let (asked, said) = asked_json(&app, &headers, caller.workspace_id, route, body).await?;
    let (wish, found) = body::post(&said);
    let question = wish.question(caller.workspace_id, asked);
    match app.accept(wish, found, question, caller.key_id).await? {
        Accepted::New { answer, .. } => Ok(give(answer, false)),
        Accepted::Before(answer) => Ok(give(answer, true)),
        Accepted::KeyReused => Err(Problem::key_reused()),
        Accepted::Refused(findings) => Err(Problem::invalid(findings)),
    }
}

/// Checks a post: the same body, and nothing is published. Everything that stands in its way on each account.
#[utoipa::path(
    post,
    path = "/api/v1/posts:check",
    tag = "posts",
    security(("bearer" = ["posts:write"])),
    request_body = PostBody,
    responses(
        (status = 200, description = "What it would run into; no error in it: the post would be accepted", body = Report),
        (status = 400, description = "Not JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No key, or none that opens anything", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "Over 256 KiB", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn check(
    State(app): State<Arc<App>>,
    caller: Caller<PostsWrite>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Report>, Problem> {
    let bytes = body::json_bytes(&headers, body, app.house.web.body_limit).await?;
    let (wish, found) = body::post(&body::json(&bytes)?);
    Ok(Json(app.check(caller.workspace_id, &wish, found).await?))
}

/// What an accepted post is answered with.
pub fn answer(post: &Post) -> Answer {
    Answer::of(202, &PostShape::from(post))
}

/// The workspace's posts, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/posts",
    tag = "posts",
    security(("bearer" = ["posts:read"])),
    params(
        ("state" = Option<String>, Query, description = "One of the states of a post"),
        ("account" = Option<String>, Query, description = "Going to this account"),
        ("from" = Option<String>, Query, description = "Scheduled at or after (RFC 3339)"),
        ("to" = Option<String>, Query, description = "Scheduled before (RFC 3339)"),
        ("limit" = Option<u32>, Query, description = "1 to 200, default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<PostShape>),
        (status = 422, description = "A parameter cannot be taken", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn list(caller: Caller<PostsRead>, uri: Uri) -> Result<Json<Page<PostShape>>, Problem> {
    let mut query = lists::Query::read(&uri, &["state", "account", "from", "to", "limit", "cursor"]);
    let limit = query.limit();
    let filter = PostFilter {
        state: query.state(),
        account_id: query.id("account"),
        from: query.instant("from"),
        to: query.instant("to"),
        before: query.cursor(),
    };
    query.done()?;
    let posts = caller.ledger.posts(caller.workspace_id, &filter, limit + 1).await?;
    let (posts, next_cursor) = lists::cut(posts, limit, |post| post.id);
    Ok(Json(Page { data: posts.iter().map(PostShape::from).collect(), next_cursor }))
}

/// One post.
#[utoipa::path(
    get,
    path = "/api/v1/posts/{id}",
    tag = "posts",
    security(("bearer" = ["posts:read"])),
    params(("id" = String, Path, description = "The post")),
    responses(
        (status = 200, description = "The post", body = PostShape),
        (status = 404, description = "No such post in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn one(caller: Caller<PostsRead>, Path(post): Path<String>) -> Result<Json<PostShape>, Problem> {
    let post = caller.ledger.post(caller.workspace_id, id(&post, "post")?).await?;
    let post = post.ok_or_else(|| Problem::not_found("post"))?;
    Ok(Json(PostShape::from(&post)))
}
