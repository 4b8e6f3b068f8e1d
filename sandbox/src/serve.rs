//! `sandbox serve`: everything up on loopback, until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::Response;
use axum::routing::any;
use axum::{Extension, body::Body};
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{self, Line};
use crate::event::Event;
use crate::ledger::Ledger;
use crate::media::MediaStore;
use crate::model::Webhook;
use crate::state::{Book, Rules, Sandbox};
use crate::{control, dialog, duration, graph, hooks, mail, oidc, openai, s3, tiktok, wall};

/// What `sandbox serve` is told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where everything is kept: the journal, the effects, the media, S3's files.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Where the networks, the control API and the wall listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Where S3 listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub s3_listen: SocketAddr,
    /// Where the mail server listens, which delivers to nobody.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub smtp_listen: SocketAddr,
    /// Postroom's database: every call's id is looked up there when it arrives.
    #[arg(long, value_name = "DATABASE_URL")]
    pub ledger: Option<String>,
    /// How long Instagram and TikTok process media (500ms unless set, here or by the control API).
    #[arg(long, value_parser = duration::parse)]
    pub processing: Option<Duration>,
    /// The Meta app's secret; an `appsecret_proof` is then verified.
    #[arg(long)]
    pub meta_app_secret: Option<String>,
    /// Where TikTok tells an app by webhook what becomes of its posts, unless the control API says otherwise.
    #[arg(long, value_name = "URL", requires = "tiktok_client_key", requires = "tiktok_client_secret")]
    pub tiktok_webhook: Option<String>,
    /// The name of TikTok's app, for the webhook.
    #[arg(long)]
    pub tiktok_client_key: Option<String>,
    /// The secret of TikTok's app, which signs the webhook.
    #[arg(long)]
    pub tiktok_client_secret: Option<String>,
    /// Refuse mutating calls without `X-Call-Id`.
    #[arg(long)]
    pub require_call_id: bool,
    /// The access key of S3.
    #[arg(long, default_value = "sandbox")]
    pub s3_access_key: String,
    /// The secret key of S3.
    #[arg(long, default_value = "sandbox-secret")]
    pub s3_secret_key: String,
}

impl Options {
    fn tiktok_webhook(&self) -> Option<Webhook> {
        Some(Webhook {
            url: self.tiktok_webhook.clone()?,
            client_key: self.tiktok_client_key.clone()?,
            secret: self.tiktok_client_secret.clone()?,
        })
    }
}

/// Where everything is, as `addresses.json` says it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Addresses {
    /// The Graph API with its version.
    pub graph: String,
    /// Meta's dialog, with the version.
    #[serde(default)]
    pub dialog: String,
    /// Meta's resumable uploads.
    pub rupload: String,
    /// TikTok's API; its paths begin with `/v2`.
    pub tiktok: String,
    /// OpenAI's API with its version.
    pub openai: String,
    /// S3.
    pub s3: String,
    /// The bucket.
    pub bucket: String,
    /// The mail server.
    pub smtp: String,
    /// The issuer of identities.
    pub oidc: String,
    /// The wall.
    pub wall: String,
    /// The control API.
    pub control: String,
    /// S3's access key.
    pub access_key: String,
    /// S3's secret key.
    pub secret_key: String,
}

/// A sandbox that is up.
#[derive(Debug)]
pub struct Running {
    /// Where everything is.
    pub addresses: Addresses,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    /// Brings everything up; when this returns, it answers, and `addresses.json` is written.
    pub async fn start(options: Options) -> io::Result<Self> {
        // A second start in the same process finds it installed, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        std::fs::create_dir_all(&options.data)?;
        let listener = TcpListener::bind(options.listen).await?;
        let s3_listener = TcpListener::bind(options.s3_listen).await?;
        let smtp_listener = TcpListener::bind(options.smtp_listen).await?;
        let (web, s3_at, smtp) =
            (listener.local_addr()?, s3_listener.local_addr()?, smtp_listener.local_addr()?);
        let addresses = addresses(&options, web, s3_at, smtp);

        let sandbox = open(&options, &addresses)?;
        let keys = (options.s3_access_key.as_str(), options.s3_secret_key.as_str());
        let store = s3::router(&options.data.join("s3"), keys, &sandbox.store_away)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let room = Arc::new(mail::Mailroom::default());
        let provider = oidc::Provider::new(addresses.wall.trim_end_matches('/'), Arc::clone(&sandbox.clock))?;
        let router = router(Arc::clone(&sandbox))
            .merge(mail::router(Arc::clone(&room)))
            .merge(oidc::router(provider))
            .merge(hooks::router(Arc::default()));
        tasks.spawn(mail::serve(smtp_listener, room, stop.clone()));
        tasks.spawn(connection::serve(listener, router, stop.clone()));
        tasks.spawn(connection::serve(s3_listener, store, stop.clone()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(settle(sandbox)));
        tasks.close();
        write(&options.data.join("addresses.json"), &addresses)?;
        Ok(Self { addresses, stop, tasks })
    }

    /// Stops listening and waits until everything has ended.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// `sandbox serve`, until SIGTERM or SIGINT.
pub async fn run(options: Options) -> io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let running = Running::start(options).await?;
    println!("{}", serde_json::to_string(&running.addresses)?);
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    running.stop().await;
    Ok(())
}

fn addresses(options: &Options, web: SocketAddr, s3: SocketAddr, smtp: SocketAddr) -> Addresses {
    let base = format!("http://{}", reachable(web));
    Addresses {
        graph: format!("{base}/graph/{}", graph::VERSION),
        dialog: format!("{base}/facebook/{}", graph::VERSION),
        rupload: format!("{base}/rupload"),
        tiktok: format!("{base}/tiktok"),
        openai: format!("{base}/openai/v1"),
        s3: format!("http://{}", reachable(s3)),
        bucket: s3::BUCKET.into(),
        smtp: format!("smtp://{}", reachable(smtp)),
        oidc: format!("{base}/oidc"),
        wall: format!("{base}/"),
        control: format!("{base}/_control"),
        access_key: options.s3_access_key.clone(),
        secret_key: options.s3_secret_key.clone(),
    }
}

/// An address that can be connected to: one that listens everywhere is reached on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

fn open(options: &Options, addresses: &Addresses) -> io::Result<Arc<Sandbox>> {
    let mut book = Book::open(&options.data)?;
    let rules = Rules {
        meta_app_secret: options.meta_app_secret.clone(),
        require_call_id: options.require_call_id,
        processing_ms: options.processing.map(duration::millis),
        tiktok_webhook: options.tiktok_webhook(),
    };
    if let Some(settings) = rules.over(book.world.settings.clone()) {
        book.record(Event::Settings(settings))?;
    }
    let ledger = options.ledger.as_deref().map(Ledger::at).transpose().map_err(io::Error::other)?;
    let media = MediaStore::open(options.data.join("media"))?;
    let base = addresses.wall.trim_end_matches('/').to_owned();
    Ok(Sandbox::new(book, ledger, media, rules, base))
}

async fn settle(sandbox: Arc<Sandbox>) {
    if let Err(error) = sandbox.keep_settling().await {
        // Nothing becomes public by itself any more: better to end than to lie.
        eprintln!("sandbox: {error}");
        std::process::exit(1);
    }
}

/// Written beside it and renamed, so that nobody reads half of it.
fn write(path: &Path, addresses: &Addresses) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    std::fs::write(&beside, serde_json::to_vec(addresses)?)?;
    std::fs::rename(beside, path)
}

fn router(sandbox: Arc<Sandbox>) -> Router {
    Router::new()
        .route("/graph/{*path}", any(at_graph))
        .route("/rupload/{*path}", any(at_graph))
        .route("/tiktok/{*path}", any(at_tiktok))
        .route("/openai/{*path}", any(at_openai))
        .nest("/_control", control::router())
        .merge(dialog::router())
        .merge(wall::router())
        .layer(DefaultBodyLimit::disable())
        .with_state(sandbox)
}

async fn at_graph(
    State(sandbox): State<Arc<Sandbox>>,
    Extension(line): Extension<Line>,
    request: Request,
) -> Response<Body> {
    connection::deliver(graph::answer(sandbox, request).await, line).await
}

async fn at_tiktok(
    State(sandbox): State<Arc<Sandbox>>,
    Extension(line): Extension<Line>,
    request: Request,
) -> Response<Body> {
    connection::deliver(tiktok::answer(sandbox, request).await, line).await
}

async fn at_openai(
    State(sandbox): State<Arc<Sandbox>>,
    Extension(line): Extension<Line>,
    request: Request,
) -> Response<Body> {
    connection::deliver(openai::answer(sandbox, request).await, line).await
}
