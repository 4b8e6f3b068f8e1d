//! Where a copy of what is known of somebody is fetched by its link, once. Who opens the page fetches nothing yet, for
//! programs open the links of mails too.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::stream;
use jobs::{contract::Failure, export::TYPE, store::Uploads};
use sha2::{Digest, Sha256};

use super::{
    Language, Page,
    texts::{ENGLISH, Texts},
};
use crate::{
    ledger::{exports::Taken, letters::Letter},
    web::{App, problem::Problem},
};

/// How much of the file is in memory at a time.
const CHUNK: u64 = 512 * 1024;

/// What is kept of a link.
pub fn digest(link: &str) -> [u8; 32] {
    Sha256::digest(format!("postroom export link|{link}")).into()
}

/// Where a link leads.
pub fn address(app: &App, link: &str) -> String {
    format!("{}/privacy/exports/{link}", app.house.public_url.as_str().trim_end_matches('/'))
}

/// The page.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(link): Path<String>,
    Query(language): Query<Language>,
) -> Result<Response, Problem> {
    let t = language.chosen(&headers);
    let Some(shown) = app.house.ledger.export_by_link(&digest(&link)).await? else { return gone(&app, t) };
    let made = shown.made_at.is_some();
    let (title, lead) =
        if made { (t.copy_made_title, t.copy_made_lead) } else { (t.copy_title, t.copy_lead) };
    let mut page = Page::new(&app, t, &format!("/privacy/exports/{link}"), title, lead);
    page.takes = made;
    page.answer(StatusCode::OK)
}

/// The file itself. The link is good no more.
pub(super) async fn take(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(link): Path<String>,
    Query(language): Query<Language>,
) -> Result<Response, Problem> {
    // P-D1 P-D3
    let Some(first) = first_piece(&app, &link).await? else {
        return page(State(app), headers, Path(link), Query(language)).await;
    };
    let Some(taken) = app.house.ledger.take_export(&digest(&link)).await? else {
        return page(State(app), headers, Path(link), Query(language)).await;
    };
    tracing::info!(export = %taken.id, bytes = taken.bytes, "a copy of somebody's data was fetched");
    let name = format!("attachment; filename=\"{}.zip\"", taken.id);
    let (length, name) = (HeaderValue::from(taken.bytes), HeaderValue::try_from(name));
    let mut response = Response::new(file(Arc::clone(&app.house.media), taken, first));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TYPE));
    headers.insert(header::CONTENT_LENGTH, length);
    headers.insert(header::CONTENT_DISPOSITION, name.map_err(|_| Problem::internal())?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// How the file begins: the link is spent for a store that answers alone.
async fn first_piece(app: &App, link: &str) -> Result<Option<Vec<u8>>, Problem> {
    let Some(there) = app.house.ledger.export_file(&digest(link)).await? else { return Ok(None) };
    let bytes = u64::try_from(there.bytes).unwrap_or_default();
    Ok(Some(app.house.media.read(&there.object_key, 0, bytes.min(CHUNK)).await?))
}

fn gone(app: &App, t: &'static Texts) -> Result<Response, Problem> {
    Page::new(app, t, "/privacy/delete", t.copy_gone_title, t.copy_gone_lead).answer(StatusCode::GONE)
}

/// Piece by piece, each read when the one before it has been sent.
fn file(media: Arc<dyn Uploads>, taken: Taken, first: Vec<u8>) -> Body {
    let bytes = u64::try_from(taken.bytes).unwrap_or_default();
    Body::from_stream(stream::try_unfold((0, Some(first)), move |(start, first)| {
        let (media, key) = (Arc::clone(&media), taken.object_key.clone());
        async move {
            if let Some(piece) = first {
                let end = start + piece.len() as u64;
                return Ok(Some((Bytes::from(piece), (end, None))));
            }
            if start >= bytes {
                return Ok(None);
            }
            let end = bytes.min(start + CHUNK);
            let piece = media.read(&key, start, end).await.inspect_err(|failure| {
                tracing::warn!(%failure, key, "a copy broke off while it was fetched");
            })?;
            Ok::<_, Failure>(Some((Bytes::from(piece), (end, None))))
        }
    }))
}

/// What brings a link to somebody.
pub fn letter(app: &App, to: &str, link: &str) -> Letter {
    let t = &ENGLISH;
    Letter {
        to: to.to_owned(),
        subject: t.copy_mail_subject.to_owned(),
        text: t.copy_mail_text.replace("{}", &address(app, link)),
    }
}
