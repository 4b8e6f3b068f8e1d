//! The accept loop, owned so that a connection can be closed without an answer, or in the middle of one.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use futures_util::stream;
use http::{Response, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, service_fn};

use crate::answer::{Answer, Reply};

/// Hangs up the connection on which a request came.
#[derive(Debug, Clone)]
pub struct Line(CancellationToken);

/// Serves a router until `stop`, and gives open connections a moment to end.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let open = TaskTracker::new();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        if let Ok((socket, _)) = socket {
            open.spawn(connection(socket, router.clone(), stop.clone()));
        }
    }
    open.close();
    open.wait().await;
}

/// One connection, until its end, a hang-up, or the stop of the server.
async fn connection(socket: TcpStream, router: Router, stop: CancellationToken) {
    // Without it a client that keeps its connection waits for delayed acknowledgements.
    let _ = socket.set_nodelay(true);
    let line = Line(CancellationToken::new());
    let hung_up = line.0.clone();
    let service = service_fn(move |request: http::Request<_>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(line.clone());
        let mut router = router.clone();
        async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|never| match never {})) }
    });
    let builder = Builder::new(TokioExecutor::new());
    let serving = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service));
    tokio::pin!(serving);
    // The connection goes first: what it has still to write leaves before it is dropped.
    tokio::select! {
        biased;
        // How a connection ends is its client's affair.
        _ = &mut serving => {}
        () = hung_up.cancelled() => {}
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(std::time::Duration::from_secs(1), serving).await;
        }
    }
}

/// Puts a reply on the wire. One that is nothing hangs up instead of returning.
pub async fn deliver(reply: Reply, line: Line) -> Response<Body> {
    match reply {
        Reply::Whole(answer) => {
            let text = answer.text();
            respond(&answer, Body::from(text))
        }
        Reply::CutOff(answer) => {
            let text = half(&answer.text());
            respond(&answer, Body::from(text))
        }
        Reply::Half(answer) => respond_by_half(&answer, line),
        Reply::Nothing => {
            line.0.cancel();
            pending().await
        }
    }
}

fn respond(answer: &Answer, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if !answer.body.is_null() {
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/json; charset=UTF-8"),
        );
    }
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(name.as_str()), value.parse()) {
            headers.insert(name, value);
        }
    }
    response
}

/// Announces the whole length, sends half, and hangs up once that has left.
fn respond_by_half(answer: &Answer, line: Line) -> Response<Body> {
    let whole = answer.text();
    let start = Bytes::from(half(&whole));
    let body = stream::unfold((Some(start), Arc::new(line)), |(start, line)| async move {
        if start.is_none() {
            line.0.cancel();
            pending::<()>().await;
        }
        start.map(|start| (Ok::<_, Infallible>(start), (None, line)))
    });
    let mut response = respond(answer, Body::from_stream(body));
    // An answer without a body announces one that never comes.
    response.headers_mut().insert(header::CONTENT_LENGTH, whole.len().max(1).into());
    response
}

fn half(text: &str) -> String {
    text.chars().take(text.chars().count() / 2).collect()
}
