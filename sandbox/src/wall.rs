//! The wall: what the public would see, and the pages on which faults are switched on and the networks set by hand.

mod faults;
mod knobs;
mod posts;
mod presets;

use std::sync::{Arc, PoisonError};

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use tower::ServiceExt;
use tower_http::services::ServeFile;

use crate::state::Sandbox;
use posts::{AccountView, PostView};

/// The pages run no script, and nothing that was uploaded can.
const POLICY: &str = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// How many posts the wall shows of each account.
const ON_THE_WALL: usize = 24;

type Shared = State<Arc<Sandbox>>;

/// The routes of the wall; every other address may be a permalink.
pub fn router() -> Router<Arc<Sandbox>> {
    Router::new()
        .route("/", get(wall))
        .route("/_account/{id}", get(account))
        .route("/_media/{sha256}", get(media))
        .route("/_style.css", get(style))
        .route("/_faults", get(faults::page).post(faults::add))
        .route("/_faults/off", post(faults::all_off))
        .route("/_faults/{id}/off", post(faults::off))
        .route("/_networks", get(knobs::page))
        .route("/_networks/clock", post(knobs::leap))
        .route("/_networks/settings", post(knobs::set))
        .route("/_networks/webhook", post(knobs::hook))
        .route("/_networks/tell", post(knobs::tell))
        .route("/_networks/token", post(knobs::token))
        .fallback(get(permalink))
}

#[derive(Template)]
#[template(path = "wall.html")]
struct WallPage {
    faults: usize,
    accounts: Vec<AccountView>,
}

#[derive(Template)]
#[template(path = "post.html")]
struct PostPage {
    faults: usize,
    network: &'static str,
    name: String,
    post: PostView,
}

#[derive(Template)]
#[template(path = "missing.html")]
struct MissingPage {
    faults: usize,
}

async fn wall(State(sandbox): Shared) -> Response {
    let ids: Vec<String> = sandbox.book().world.accounts.keys().cloned().collect();
    let mut accounts = Vec::new();
    for id in ids {
        accounts.extend(posts::account(&sandbox, &id, None, ON_THE_WALL).await);
    }
    accounts.sort_by_key(|account| account.order);
    page(StatusCode::OK, &WallPage { faults: active(&sandbox), accounts })
}

/// Where the older posts of an account begin.
#[derive(Debug, Deserialize)]
struct Older {
    before: Option<u64>,
}

async fn account(State(sandbox): Shared, Path(id): Path<String>, Query(older): Query<Older>) -> Response {
    match posts::account(&sandbox, &id, older.before, ON_THE_WALL * 2).await {
        Some(account) => {
            page(StatusCode::OK, &WallPage { faults: active(&sandbox), accounts: vec![account] })
        }
        None => missing(&sandbox),
    }
}

async fn permalink(State(sandbox): Shared, request: Request) -> Response {
    match posts::at(&sandbox, request.uri().path()).await {
        Some((network, name, post)) => {
            page(StatusCode::OK, &PostPage { faults: active(&sandbox), network, name, post })
        }
        None => missing(&sandbox),
    }
}

/// One stored file, in parts where the browser asks for parts.
async fn media(State(sandbox): Shared, Path(sha256): Path<String>, request: Request) -> Response {
    if sha256.len() != 64 || !sha256.bytes().all(|letter| letter.is_ascii_hexdigit()) {
        return missing(&sandbox);
    }
    let Ok(mime) = sandbox.media.mime(&sha256).await else { return missing(&sandbox) };
    let served = ServeFile::new(sandbox.media.path(&sha256)).oneshot(request).await;
    let mut response = served.map_or_else(|never| match never {}, |answer| answer.map(Body::new));
    let mime = HeaderValue::from_static(mime.unwrap_or("application/octet-stream"));
    response.headers_mut().insert(header::CONTENT_TYPE, mime);
    guard(response)
}

async fn style() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    guard((kind, include_str!("../templates/style.css")).into_response())
}

fn missing(sandbox: &Sandbox) -> Response {
    page(StatusCode::NOT_FOUND, &MissingPage { faults: active(sandbox) })
}

fn active(sandbox: &Sandbox) -> usize {
    sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner).list().len()
}

fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => guard((status, Html(html)).into_response()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A page that runs no script and lets nobody else run one.
pub fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
