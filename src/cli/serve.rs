//! `web` and `worker`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use jobs::contract::Kind;
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failed;
use crate::{
    config,
    networks::s3::clear_folders,
    telemetry::{self, Ready},
    wiring, worker,
};

#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    /// The queues to work on, with commas between them; all, unless given.
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    queues: Vec<&'static Kind>,
}

pub(super) fn kind(name: &str) -> Result<&'static Kind, String> {
    let known = || jobs::kinds().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    jobs::kind(name).ok_or_else(|| format!("there is no queue {name:?}; there is {}", known()))
}

/// Cancelled by SIGTERM or Ctrl-C.
fn told_to_stop() -> Result<CancellationToken, Failed> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tracing::info!("told to stop");
        told.cancel();
    });
    Ok(stop)
}

fn start_logs() -> Result<(), Failed> {
    match config::optional("LOG_FORMAT").as_deref() {
        None | Some("json") => telemetry::start_logs(true),
        Some("text") => telemetry::start_logs(false),
        Some(other) => return Err(format!("LOG_FORMAT: found {other:?}; accepted are json, text").into()),
    }
    Ok(())
}

fn port(name: &str) -> Result<Option<u16>, Failed> {
    let Some(text) = config::optional(name) else { return Ok(None) };
    let port = text.parse().map_err(|_| format!("{name}: found {text:?}; accepted is a port, 1 to 65535"))?;
    Ok(Some(port))
}

pub(super) async fn worker(config: Option<PathBuf>, args: WorkerArgs) -> Result<(), Failed> {
    start_logs()?;
    let kinds = if args.queues.is_empty() { jobs::kinds().collect() } else { args.queues };
    let (parts, ready) = wiring::worker(config, kinds)?;
    let figures = telemetry::start_metrics()?;
    let stop = told_to_stop()?;
    // beside the work, which does not wait for it
    tokio::task::spawn_blocking(clear_folders);
    let over = CancellationToken::new();
    if let Some(port) = port("WORKER_PORT")? {
        let (ready, over) = (until_stopped(ready, stop.clone()), over.clone());
        let token = config::optional("METRICS_TOKEN").map(SecretString::from);
        let figures = telemetry::Figures { handle: figures, token };
        tokio::spawn(async move {
            if let Err(error) = telemetry::serve(port, ready, figures, over).await {
                tracing::error!(%error, port, "WORKER_PORT cannot be served");
            }
        });
    }
    let ran = worker::run(parts, stop).await;
    over.cancel();
    Ok(ran?)
}

/// A worker that was told to stop is not ready, and says so until it holds nothing any more and is gone.
fn until_stopped(ready: Ready, stop: CancellationToken) -> Ready {
    Arc::new(move || {
        if stop.is_cancelled() {
            let why = "it was told to stop; postroom_jobs_held says how many jobs it still holds";
            return Box::pin(async move { Err(why.to_owned()) });
        }
        ready()
    })
}

pub(super) async fn web(config: Option<PathBuf>) -> Result<(), Failed> {
    start_logs()?;
    let port = port("PORT")?.ok_or("PORT: not set; it is the port to listen on")?;
    let figures = telemetry::start_metrics()?;
    let router = wiring::web(config, figures).await?;
    let stop = told_to_stop()?;
    let listener = tokio::net::TcpListener::bind((std::net::Ipv6Addr::UNSPECIFIED, port))
        .await
        .map_err(|e| format!("PORT: {port} cannot be listened on: {e}"))?;
    tracing::info!(port, "web started");
    let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}
