//! What surrounds every request: it is counted and logged once, and its problem told in the reader's form.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, StreamExt, stream};

use super::{App, console, problem::Problem};

/// The most that is still read of a refused body.
const MOST_READ_ON: usize = 32 << 20;
/// The most that a refusal of others says.
const MOST_SAID: usize = 2_000;
const READ_ON_FOR: Duration = Duration::from_secs(5);

/// One line and one measure for each request: its route, never its body, its query or a header.
pub async fn watch(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    // A panic must not take the connection, and others on it, along.
    let answered = std::panic::AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let response = answered.unwrap_or_else(|_| {
        tracing::error!(%method, route, "a handler panicked");
        Problem::internal().document("")
    });
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    let labels = [("method", method.to_string()), ("route", route.clone()), ("status", status.to_string())];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_duration_seconds", &labels[..2]).record(took.as_secs_f64());
    tracing::info!(%method, route, status, ms = took.as_secs_f64() * 1e3, "request");
    response
}

/// Renders what a handler left as a [`Problem`]: a page for people, a document for machines.
pub async fn tell_problems(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let for_people = !path.starts_with("/api/")
        && request
            .headers()
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
    let cookies = request.headers().clone();
    // what is no text is the name of nothing
    let response =
        if is_text(&path) { next.run(request).await } else { Problem::not_found("page").into_response() };
    let response = told_by_itself(response).await;
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let told =
        if for_people { console::problem_page(&app, problem, &cookies) } else { problem.document(&path) };
    let (mut parts, body) = told.into_parts();
    // What else the handler said stays: the methods that are allowed, a cookie.
    for (name, value) in response.headers() {
        if name != header::CONTENT_LENGTH && !parts.headers.contains_key(name) {
            parts.headers.insert(name, value.clone());
        }
    }
    Response::from_parts(parts, body)
}

/// Whether a path is text when its escapes are undone.
fn is_text(path: &str) -> bool {
    let (mut bytes, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    while let [first, behind @ ..] = rest {
        let escaped = behind.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        rest = if escaped.is_some() { &behind[2..] } else { behind };
        bytes.extend(escaped.unwrap_or_else(|| vec![*first]));
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// A refusal that is not ours, such as of a form that cannot be read, as a [`Problem`].
async fn told_by_itself(response: Response) -> Response {
    let plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    let ours = response.extensions().get::<Problem>().is_some();
    if ours || !plain || !response.status().is_client_error() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let said = to_bytes(body, MOST_SAID).await.unwrap_or_default();
    let problem = Problem::unreadable(parts.status, String::from_utf8_lossy(&said));
    let mut response = Response::from_parts(parts, Body::empty());
    response.headers_mut().remove(header::CONTENT_TYPE);
    response.extensions_mut().insert(problem);
    response
}

/// Reads on for a while after a refusal: a sender that still writes would otherwise see a broken connection
/// instead of the reason.
pub async fn read_on_after_refusal(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let rest = Arc::new(Mutex::new(body.into_data_stream()));
    let shared = Arc::clone(&rest);
    let body =
        stream::poll_fn(move |cx| shared.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(cx));
    let response = next.run(Request::from_parts(parts, Body::from_stream(body))).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        let mut read = 0;
        let reading = async {
            let mut rest =
                stream::poll_fn(|cx| rest.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(cx));
            while let Some(Ok(chunk)) = rest.next().await {
                read += chunk.len();
                if read > MOST_READ_ON {
                    break;
                }
            }
        };
        // Whatever comes of it, the answer is the refusal.
        let _ = tokio::time::timeout(READ_ON_FOR, reading).await;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_text_or_names_nothing() {
        for text in ["/", "/posts/%D7%A9", "/a%", "/a%2", "/a%zz", "/100%25", "/%00"] {
            assert!(is_text(text), "{text}");
        }
        for none in ["/%FF", "/api/v1/posts/%ff", "/%D7", "/%C0%80"] {
            assert!(!is_text(none), "{none}");
        }
    }
}
