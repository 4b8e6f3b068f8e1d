//! What surrounds every request: it is counted and logged once, and its problem told in the reader's form.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{Method, header},
    middleware::Next,
    response::Response,
};
use futures_util::{FutureExt, StreamExt, stream};

use super::{App, console, problem::Problem};

/// The most that is still read of a refused body.
const MOST_READ_ON: usize = 32 << 20;
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
    let response = next.run(request).await;
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
