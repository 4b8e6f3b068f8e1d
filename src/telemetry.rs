//! Logs and figures. Logs say what happened, once, where it is handled, and never hold a token or a body.

use std::{future::Future, net::Ipv6Addr, pin::Pin, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header::AUTHORIZATION},
    routing::get,
};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, filter::filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Whose lines are ours. Those of dependencies are told from warnings on, whatever `RUST_LOG` wants: their finer ones
/// print addresses, headers and statements, with what is secret in them.
const OURS: [&str; 2] = ["postroom", "jobs"];

/// Whether this process is ready, and if not, why.
pub type Ready = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// Starts the logs: JSON lines, or text for people.
pub fn start_logs(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::registry().with(filter).with(filter_fn(is_told));
    let writer = std::io::stderr;
    if json {
        lines.with(fmt::layer().json().flatten_event(true).with_writer(writer)).init();
    } else {
        lines.with(fmt::layer().with_writer(writer).with_target(false)).init();
    }
}

fn is_told(line: &Metadata<'_>) -> bool {
    let ours = OURS.iter().any(|own| {
        line.target().strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    });
    ours || *line.level() <= Level::WARN
}

/// Starts the figures.
///
/// # Errors
/// A recorder is installed already.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])?
        .install_recorder()
}

/// Serves `/healthz`, `/readyz` and `/metrics` of a process that serves nothing else, until it is over.
///
/// # Errors
/// The port cannot be listened on.
pub async fn serve(
    port: u16,
    ready: Ready,
    figures: Figures,
    over: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(ready))
        .route("/metrics", get(metrics).with_state(figures));
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await?;
    axum::serve(listener, router).with_graceful_shutdown(over.cancelled_owned()).await
}

/// The figures of a process, and what guards them.
#[derive(Clone)]
pub struct Figures {
    /// Renders them.
    pub handle: PrometheusHandle,
    /// Asked for when set.
    pub token: Option<SecretString>,
}

async fn metrics(State(figures): State<Figures>, headers: HeaderMap) -> Result<String, StatusCode> {
    if let Some(token) = &figures.token {
        let given = headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        if !bool::from(given.ct_eq(format!("Bearer {}", token.expose_secret()).as_bytes())) {
            return Err(StatusCode::UNAUTHORIZED);
        }
    }
    Ok(figures.handle.render())
}

async fn readyz(State(ready): State<Ready>) -> (StatusCode, String) {
    match ready().await {
        Ok(()) => (StatusCode::OK, "ready\n".into()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}
