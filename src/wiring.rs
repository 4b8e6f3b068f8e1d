//! The only place that builds things: pools, queues, networks, and what `web` and `worker` are made of.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use jobs::{
    analysis::Analyst,
    contract::Kind,
    desk::{Call, Media},
    forgetting::Keepsake,
    gate::Open,
    hint::Hint,
    mail::Mail,
    sign_in::SignIn,
    surface::Platform,
};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;
use url::Url;

use crate::{
    config::{self, ConfigError, Settings},
    ledger::{KeyRing, Ledger, LedgerError, Role, Sealer, clock::LedgerClock, origin::LedgerOrigin},
    networks::{
        self, Connected, NETWORKS,
        courier::Messenger,
        openai::{self, OpenAi},
        s3::S3,
    },
    queue::{Queue, QueueError},
    telemetry::Ready,
    web::{self, House, TiktokApp, deletion::Deletions},
    worker,
};

/// Connections of one worker for its jobs, for finishing them and for its duties; the lease has one of its own.
const WORK_POOL: u32 = 8;
const SETTLE_POOL: u32 = 2;
const DUTY_POOL: u32 = 3;
/// Connections of one `web`.
const WEB_POOL: u32 = 8;
/// Hints that may wait to be pushed; beyond it the relay finds the jobs by their state.
const NUDGES: usize = 4096;
/// The pauses after which a push that failed is tried again.
const PUSH_AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
/// One check of a token.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);

/// Why a process could not be built: one line that names the key.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A variable of a network or of the object store.
    #[error("{0}")]
    Networks(String),
    /// The ledger's address, or the ledger.
    #[error("DATABASE_URL: {0}")]
    Ledger(#[from] LedgerError),
    /// The queue's address.
    #[error("REDIS_URL: {0}")]
    Queue(#[from] QueueError),
}

/// The key ring of `POSTROOM_KEYS`.
///
/// # Errors
/// It is not set, or an entry is wrong.
pub fn key_ring() -> Result<KeyRing, WiringError> {
    let text = config::secret(
        "POSTROOM_KEYS",
        "the key ring that seals tokens; `postroom keys generate` makes an entry",
    )?;
    KeyRing::parse(text.expose_secret()).map_err(|e| WiringError::Networks(e.to_string()))
}

fn connect_networks(settings: &Settings) -> Result<Connected, WiringError> {
    networks::connect_all(&settings.networks, &config::optional).map_err(WiringError::Networks)
}

fn analyst(settings: &Settings) -> Result<Option<OpenAi>, WiringError> {
    openai::connect(&config::optional, settings.analysis.tariff()).map_err(WiringError::Networks)
}

fn object_store() -> Result<S3, WiringError> {
    S3::from_environment(&config::optional).map_err(WiringError::Networks)
}

fn google() -> Result<Option<Box<dyn SignIn>>, WiringError> {
    networks::google::from_environment(&config::optional).map_err(WiringError::Networks)
}

fn post_office() -> Result<Option<Box<dyn Mail>>, WiringError> {
    networks::mail::from_environment(&config::optional).map_err(WiringError::Networks)
}

/// What is kept in a folder of the object store.
///
/// # Errors
/// The store is not set, or away.
pub async fn kept(folder: &str) -> Result<Vec<Vec<u8>>, String> {
    let store = object_store().map_err(|error| error.to_string())?;
    store.folder(folder).await.map_err(|failure| failure.to_string())
}

/// What is kept under a key of the object store; none: nothing is.
///
/// # Errors
/// The store is not set, or away.
pub async fn kept_at(key: &str) -> Result<Option<Vec<u8>>, String> {
    let store = object_store().map_err(|error| error.to_string())?;
    let size = store.size(key).await.map_err(|failure| failure.to_string())?;
    let Some(size) = size else { return Ok(None) };
    store.read(key, 0, size).await.map(Some).map_err(|failure| failure.to_string())
}

/// Keeps these in the object store.
///
/// # Errors
/// The store is not set, or away.
pub async fn keep(keepsakes: Vec<Keepsake>) -> Result<(), String> {
    let store = object_store().map_err(|error| error.to_string())?;
    for keepsake in keepsakes {
        keepsake.keep(&store).await.map_err(|failure| failure.to_string())?;
    }
    Ok(())
}

/// Erases what is kept under a key of the object store, with all its versions.
///
/// # Errors
/// The store is not set, or away.
pub async fn erase(key: &str) -> Result<(), String> {
    let store = object_store().map_err(|error| error.to_string())?;
    store.erase(key).await.map(drop).map_err(|failure| failure.to_string())
}

/// Asks a network whether a token opens an account.
///
/// # Errors
/// The network is off or says no.
pub async fn check_account(
    settings: &Settings,
    platform: &str,
    external_id: &str,
    token: &SecretString,
) -> Result<(), String> {
    use jobs::desk::Networks as _;
    let networks = connect_networks(settings).map_err(|e| e.to_string())?;
    let media = object_store().map_err(|e| e.to_string())?;
    let network =
        networks.of(platform).ok_or_else(|| format!("{platform} is off: its variables are not set"))?;
    let call =
        Call { id: None, account: external_id, token, media: &media, gate: &Open, timeout: CHECK_TIMEOUT };
    network.check(&call).await.map_err(|failure| failure.to_string())
}

/// A worker, and what tells whether it is ready.
///
/// # Errors
/// A setting, a variable or an address is wrong.
pub fn worker(
    config: Option<PathBuf>,
    kinds: Vec<&'static Kind>,
) -> Result<(worker::Parts, Ready), WiringError> {
    let settings = Settings::load(config)?;
    let (database_url, redis_url) = (config::database_url()?, config::redis_url()?);
    let public_url = public_url()?;
    let pool = |size| Ledger::open(&database_url, Role::Worker, size);
    let (ledger, settling, duties) = (pool(WORK_POOL)?, pool(SETTLE_POOL)?, pool(DUTY_POOL)?);
    let queue = Queue::open(&redis_url, settings.relay.window)?;
    let parts = worker::Parts {
        networks: Arc::new(connect_networks(&settings)?),
        analyst: analyst(&settings)?.map(|openai| Arc::new(openai) as Arc<dyn Analyst>),
        // what the origin writes is evidence, which does not wait for connections that jobs hold
        media: Arc::new(object_store()?.behind(Arc::new(LedgerOrigin::new(duties.clone(), &public_url)))),
        mail: post_office()?.map(Arc::from),
        public_url,
        courier: Arc::new(Messenger::new(settings.webhooks.private).map_err(WiringError::Networks)?),
        ring: key_ring()?,
        clock: Arc::new(LedgerClock::new()),
        ledger,
        settling,
        duties: duties.clone(),
        queue: queue.clone(),
        settings,
        kinds,
        database_url,
    };
    Ok((parts, ready(duties, queue)))
}

fn ready(ledger: Ledger, queue: Queue) -> Ready {
    Arc::new(move || {
        let (ledger, queue) = (ledger.clone(), queue.clone());
        Box::pin(async move {
            ledger.ping().await.map_err(|e| e.to_string())?;
            queue.ping().await.map_err(|e| e.to_string())
        })
    })
}

/// Takes hints off the request's path: what gathers while a push is under way goes out together. A push that fails is
/// tried again in [`PUSH_AGAIN`].
pub fn nudge(queue: Queue) -> Arc<dyn Fn(Vec<Hint>) + Send + Sync> {
    let (sender, mut waiting) = mpsc::channel::<Hint>(NUDGES);
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, 256).await > 0 {
            let mut again = PUSH_AGAIN.iter();
            while let Err(error) = queue.push(&batch).await {
                metrics::counter!("postroom_push_failures_total").increment(1);
                let Some(after) = again.next() else {
                    tracing::debug!(%error, "hints were not pushed; the relay finds the jobs");
                    break;
                };
                tokio::time::sleep(*after).await;
            }
            batch.clear();
        }
    });
    Arc::new(move |hints| {
        for hint in hints {
            if sender.try_send(hint).is_err() {
                metrics::counter!("postroom_push_failures_total").increment(1);
            }
        }
    })
}

/// The router of `web`.
///
/// # Errors
/// A setting, a variable or an address is wrong.
pub async fn web(config: Option<PathBuf>, figures: PrometheusHandle) -> Result<Router, WiringError> {
    let settings = Settings::load(config)?;
    let ledger = Ledger::open(&config::database_url()?, Role::Web, WEB_POOL)?;
    let queue = Queue::open(&config::redis_url()?, settings.relay.window)?;
    let connected = connect_networks(&settings)?;
    let analyses = analyst(&settings)?.map(|_| settings.analysis.policy());
    let owners_allow_more = settings.analysis.owners_allow_more;
    let clock = Arc::new(LedgerClock::new());
    tokio::spawn(follow(ledger.clone(), Arc::clone(&clock)));
    tokio::spawn(warn_unless_apart(ledger.clone()));
    // it seals and opens addresses; the tokens are out of web's reach
    let ring = Arc::new(key_ring()?);
    let dialogs = networks::dialogs(&settings.networks, &config::optional).map_err(WiringError::Networks)?;
    let (answering, media) = (queue.clone(), Arc::new(object_store()?));
    let public_url = public_url()?;
    let (mail, mail_secret) = (post_office()?.is_some(), mail_secret()?);
    if !mail && mail_secret.is_some() {
        let why = "set, and SMTP_URL is not: whoever writes for a deletion could not be answered";
        return Err(ConfigError::new("MAIL_WEBHOOK_SECRET", why).into());
    }
    if let Some(doubt) = web::whence::doubt(settings.web.client_address, &public_url) {
        tracing::warn!("{doubt}");
    }
    Ok(web::router(House {
        ledger,
        web: settings.web,
        publishing: settings.publishing,
        webhooks: settings.webhooks,
        retention: settings.retention,
        public_url,
        media_origin: origin(&media).await,
        platforms: platforms(&connected),
        stand_ins: networks::stand_ins(&config::optional),
        analyses,
        owners_allow_more,
        media,
        nudge: nudge(queue),
        mail,
        sign_in: google()?.map(Arc::from),
        clock,
        metrics: Arc::new(move || figures.render()),
        metrics_token: config::optional("METRICS_TOKEN").map(SecretString::from),
        redis: Arc::new(move || {
            let queue = answering.clone();
            Box::pin(async move { queue.ping().await.map_err(|e| e.to_string()) })
        }),
        tiktok: tiktok_app(),
        dialogs,
        sealer: Sealer::new(Arc::clone(&ring)),
        deletions: Deletions {
            ring,
            meta_secret: config::optional("META_APP_SECRET").map(SecretString::from),
            mail_secret,
        },
    }))
}

/// What the provider of inbound mail signs with: one that nothing can be signed by stops the start.
fn mail_secret() -> Result<Option<SecretString>, ConfigError> {
    let Some(secret) = config::optional("MAIL_WEBHOOK_SECRET").map(SecretString::from) else {
        return Ok(None);
    };
    let accepted = "found something else; accepted is whsec_ and base64 of 24 bytes at least";
    let is_one = web::signed::standard_key(&secret).is_some();
    if is_one { Ok(Some(secret)) } else { Err(ConfigError::new("MAIL_WEBHOOK_SECRET", accepted)) }
}

/// The app at TikTok. A half-set group has stopped the start already.
fn tiktok_app() -> Option<TiktokApp> {
    let client_key = config::optional("TIKTOK_CLIENT_KEY")?;
    let client_secret = config::optional("TIKTOK_CLIENT_SECRET").map(SecretString::from)?;
    Some(TiktokApp { client_key, client_secret })
}

/// Where browsers load media from, which the console's pages must allow.
async fn origin(media: &S3) -> Option<String> {
    let address = media.address("any").await.ok()?;
    Some(Url::parse(&address).ok()?.origin().ascii_serialization())
}

fn platforms(connected: &Connected) -> Vec<&'static Platform> {
    let on: Vec<_> = connected.platforms().collect();
    NETWORKS.iter().map(|entry| entry.platform).filter(|platform| on.contains(&platform.name)).collect()
}

fn public_url() -> Result<Url, WiringError> {
    let text = config::required("PUBLIC_URL", "the address the outside sees")?;
    let accepted = || {
        ConfigError::new("PUBLIC_URL", format!("found {text:?}; accepted is an http:// or https:// address"))
    };
    let url = Url::parse(&text).map_err(|_| accepted())?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(accepted().into()) }
}

/// Keeps a clock by the ledger's.
async fn follow(ledger: Ledger, clock: Arc<LedgerClock>) {
    let mut tick = tokio::time::interval(Duration::from_secs(30));
    loop {
        tick.tick().await;
        match ledger.now().await {
            Ok(now) => clock.set(now),
            Err(error) => tracing::warn!(%error, "the ledger's clock could not be read"),
        }
    }
}

/// Says so where the database hides nothing from web: one role serves all, or the schema is an older one.
async fn warn_unless_apart(ledger: Ledger) {
    match ledger.is_kept_apart().await {
        Ok(true) => {}
        Ok(false) => tracing::warn!(
            "row security does not bind this role: the statements alone keep workspaces apart. It binds \
             <database>_web, which `migrate` makes where the role of DATABASE_URL may make roles"
        ),
        Err(error) => tracing::warn!(%error, "whether row security binds this role could not be asked"),
    }
}
