//! Our own media origin: files for networks that fetch them by themselves. No login, no redirect; the address itself
//! is the permission, and each fetch is written down before its first byte leaves.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderValue, Method, header},
    response::Response,
    routing::get,
};
use futures_util::stream;
use jobs::{contract::Failure, store::Uploads};
use uuid::Uuid;

use super::{App, listed::Listed, problem::Problem};
use crate::ledger::origin::Fetch;

/// How much of a file is in memory at a time.
const PART: u64 = 512 * 1024;

/// The origin's route.
pub fn routes() -> Listed<Arc<App>> {
    Listed::new().route("/p/{call}/{file}", get(file))
}

/// One file of one commit call, `/p/{call_id}/0.jpg`.
async fn file(
    State(app): State<Arc<App>>,
    method: Method,
    Path((call, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let nothing = || Problem::not_found("file");
    let call = Uuid::try_parse(&call).map_err(|_| nothing())?;
    let position: u8 = name.split('.').next().and_then(|number| number.parse().ok()).ok_or_else(nothing)?;
    // who only asks what there is gets no byte of it, and so has fetched nothing
    let asks = method == Method::HEAD;
    let ledger = &app.house.ledger;
    let fetch =
        if asks { ledger.served(call, position).await? } else { ledger.fetch(call, position).await? };
    let fetch = fetch.ok_or_else(nothing)?;
    tracing::info!(%call, position, asks, "a network fetches a file");
    let content_type = HeaderValue::from_str(&fetch.content_type).map_err(|_| Problem::internal())?;
    let length = HeaderValue::from(fetch.bytes);
    let body = if asks { Body::empty() } else { stream(Arc::clone(&app.house.media), fetch) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_LENGTH, length);
    // whatever stood in between could serve it again, of which nobody here would know
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The file part by part, each read when the one before it has been sent.
fn stream(media: Arc<dyn Uploads>, fetch: Fetch) -> Body {
    let parts = stream::try_unfold(0, move |start| {
        let (media, key, bytes) = (Arc::clone(&media), fetch.object_key.clone(), fetch.bytes);
        async move {
            if start >= bytes {
                return Ok(None);
            }
            let end = bytes.min(start + PART);
            let part = media.read(&key, start, end).await.inspect_err(|failure| {
                tracing::warn!(%failure, key, "a file broke off while a network fetched it");
            })?;
            Ok::<_, Failure>(Some((Bytes::from(part), end)))
        }
    });
    Body::from_stream(parts)
}
