//! Doing the work: taking jobs, running them, settling them; and the duties that keep the ledger whole.
//!
//! Every duty may run in every worker, and none needs to be alone: what must happen once is decided by the
//! ledger.

mod attempt;
mod backend;
mod chain;
mod draft_search;
mod endings;
mod express;
mod forewarn;
mod gauges;
mod isolation;
mod lease;
mod letters;
mod lookout;
mod orphans;
mod pump;
mod reaper;
mod reconciler;
mod relay;
mod retention;
mod room;
mod scheduler;
mod snapshots;
mod starter;
mod sweeper;
mod traffic;
mod upkeep;
mod usage;
mod vault;
mod window;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use apalis_core::{monitor::Monitor, worker::builder::WorkerBuilder};
use jobs::{
    analysis::Analyst,
    contract::Kind,
    deliveries::Courier,
    desk::{Limits, Media, Networks},
    hint::Hint,
    mail::Mail,
    metrics::Pace,
    ruling::Patience,
};
use secrecy::SecretString;
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;
use uuid::Uuid;

use crate::{
    config::Settings,
    ledger::{
        KeyRing, Ledger, LedgerError, clock::LedgerClock, effects::ArmLimits, forgetting::Clocks,
        settle::Finisher,
    },
    queue::Queue,
};

/// The access token must outlast a commit call by this much when it is armed.
const TOKEN_MARGIN: Duration = Duration::from_mins(10);
/// The longest wait for running jobs after the signal to stop.
const LONGEST_DRAIN: Duration = Duration::from_hours(1);

/// Jobs that come back within moments and may wait to be told of; beyond it a sweep finds them.
const AGAIN: usize = 4096;

/// What a worker is made of; built by `wiring`.
pub struct Parts {
    /// The ledger, for work.
    pub ledger: Ledger,
    /// The ledger, for finishing: connections that no job can take away.
    pub settling: Ledger,
    /// The ledger, for the duties.
    pub duties: Ledger,
    /// Where the ledger is, for the lease's own connection.
    pub database_url: SecretString,
    /// The queues.
    pub queue: Queue,
    /// The networks that are switched on.
    pub networks: Arc<dyn Networks>,
    /// The provider of AI, where its variables are set.
    pub analyst: Option<Arc<dyn Analyst>>,
    /// What brings events out of the house.
    pub courier: Arc<dyn Courier>,
    /// Files.
    pub media: Arc<dyn Media>,
    /// What brings letters out, where mail is on.
    pub mail: Option<Arc<dyn Mail>>,
    /// What the outside sees, for the links in letters.
    pub public_url: Url,
    /// What opens tokens.
    pub ring: KeyRing,
    /// The ledger's clock.
    pub clock: Arc<LedgerClock>,
    /// What `worker.toml` says.
    pub settings: Settings,
    /// The kinds to work on.
    pub kinds: Vec<&'static Kind>,
}

/// A worker process: fresh at every start.
struct Worker {
    parts: Parts,
    lease: Arc<lease::Lease>,
    /// Stops the taking of new jobs.
    stop: CancellationToken,
    /// Ends what still runs.
    abort: CancellationToken,
    /// The jobs that run here.
    running: Mutex<HashSet<Uuid>>,
    /// How many jobs are held here, for whoever waits for this worker to be empty.
    held: metrics::Gauge,
    /// The lane of suspects: one runs at a time.
    alone: Arc<Semaphore>,
    /// There may be suspects to run.
    suspects: watch::Sender<()>,
    /// What fetches jobs.
    pumps: TaskTracker,
    /// Where jobs that ended well are brought.
    finisher: Finisher,
    /// A job may have become due.
    due: Notify,
    /// A queue is about to run dry.
    dry: Notify,
    /// The last hints were not pushed: workers look for themselves.
    unhinted: AtomicBool,
    /// Jobs that come back within moments.
    again: mpsc::Sender<Hint>,
    /// A publication may have become unknown.
    doubt: Notify,
    /// How the networks answer.
    traffic: traffic::Traffic,
    /// When metrics are asked for.
    pace: Pace,
}

impl Worker {
    fn running(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the ledger, but not for longer than others take this worker for living: where a connection is
    /// half open, the answer never comes. What was done all the same is found out and mended.
    async fn in_time<T, E: From<LedgerError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let limit = self.parts.settings.lease.length;
        tokio::time::timeout(limit, work).await.unwrap_or_else(|late| Err(LedgerError::late(late).into()))
    }

    /// Gives up claims that nothing here runs.
    async fn release_stray(&self, age: Duration) {
        let running: Vec<Uuid> = self.running().iter().copied().collect();
        let inc = self.lease.tenure().inc;
        match self.in_time(self.parts.duties.release_stray(inc, &running, age)).await {
            Ok(0) => {}
            Ok(claims) => {
                tracing::info!(claims, "gave up claims on jobs that do not run here");
                self.due.notify_one();
            }
            Err(error) => tracing::warn!(%error, "claims could not be given up; the reaper takes them back"),
        }
    }

    fn limits(&self, kind: &Kind) -> Limits {
        let (lease, publishing) = (&self.parts.settings.lease, &self.parts.settings.publishing);
        Limits {
            attempt: self.parts.settings.kind(kind).timeout,
            commit_timeout: lease.commit_timeout(),
            send_within: publishing.send_within,
            look_least: publishing.look_least,
            look_most: publishing.look_most,
            evidence_limit: publishing.evidence_limit,
            late_limit: publishing.late_limit,
        }
    }

    fn arm_limits(&self) -> ArmLimits {
        let lease = &self.parts.settings.lease;
        ArmLimits {
            commit_timeout: lease.commit_timeout(),
            quarantine: lease.quarantine(),
            token_life: lease.commit_timeout() + TOKEN_MARGIN,
            prepare_ahead: self.parts.settings.publishing.prepare_ahead,
        }
    }

    fn clocks(&self) -> Clocks {
        let of = &self.parts.settings.deletion;
        Clocks { drain: of.drain, shred: of.shred, batch: i64::from(of.batch) }
    }

    fn patience(&self) -> Patience {
        let (lease, publishing) = (&self.parts.settings.lease, &self.parts.settings.publishing);
        Patience {
            settle: lease.settle,
            evidence_limit: publishing.evidence_limit,
            look_least: publishing.look_least,
            look_most: publishing.look_most,
        }
    }
}

/// Why a worker ended otherwise than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The ledger could not be reached at the start.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The machinery around the jobs failed.
    #[error("the worker's machinery failed: {0}")]
    Machinery(String),
}

/// Works until `stop` is cancelled; then takes nothing new, and finishes or hands back what it holds within
/// the grace of `worker.toml`.
///
/// # Errors
/// The ledger cannot be reached at the start, or the machinery around the jobs failed.
pub async fn run(parts: Parts, stop: CancellationToken) -> Result<(), WorkerError> {
    let lease = lease::Lease::begin(&parts).await?;
    parts.duties.declare(&scheduler::declared(&parts.settings)).await?;
    let (again, coming) = mpsc::channel(AGAIN);
    let (traffic, notices) = traffic::Traffic::new();
    let worker = Arc::new(Worker {
        finisher: parts.settling.finisher(parts.settings.lease.length),
        pace: parts.settings.metrics.pace(),
        parts,
        lease,
        stop,
        abort: CancellationToken::new(),
        running: Mutex::default(),
        held: metrics::gauge!("postroom_jobs_held"),
        alone: Arc::new(Semaphore::new(1)),
        suspects: watch::Sender::new(()),
        pumps: TaskTracker::new(),
        due: Notify::new(),
        dry: Notify::new(),
        unhinted: AtomicBool::new(false),
        again,
        doubt: Notify::new(),
        traffic,
    });
    tracing::info!(worker = %worker.lease.tenure().inc, kinds = ?names(&worker.parts.kinds), "worker started");
    let mut duties = start_duties(&worker, coming);
    duties.spawn(traffic::run(Arc::clone(&worker), notices));
    // on the runtime's threads: the caller's own would be woken from another one for every job
    let working = tokio::spawn(work(Arc::clone(&worker)));
    let (outcome, fallen) = tokio::join!(working, keep(&mut duties, &worker.stop));
    let outcome = outcome.unwrap_or_else(|e| Err(WorkerError::Machinery(e.to_string()))).and(fallen);
    worker.pumps.close();
    worker.pumps.wait().await;
    worker.release_stray(Duration::ZERO).await;
    worker.lease.end(&worker.parts.duties).await;
    tracing::info!("worker stopped");
    outcome
}

fn names(kinds: &[&'static Kind]) -> Vec<&'static str> {
    kinds.iter().map(|kind| kind.name).collect()
}

fn start_duties(worker: &Arc<Worker>, coming: mpsc::Receiver<Hint>) -> JoinSet<()> {
    let mut duties = JoinSet::new();
    duties.spawn(relay::run(Arc::clone(worker), coming));
    duties.spawn(reaper::run(Arc::clone(worker)));
    duties.spawn(reconciler::run(Arc::clone(worker)));
    duties.spawn(scheduler::run(Arc::clone(worker)));
    duties.spawn(sweeper::run(Arc::clone(worker)));
    duties.spawn(orphans::run(Arc::clone(worker)));
    duties.spawn(lookout::run(Arc::clone(worker)));
    duties.spawn(upkeep::run(Arc::clone(worker)));
    duties.spawn(letters::run(Arc::clone(worker)));
    duties.spawn(endings::run(Arc::clone(worker)));
    duties.spawn(snapshots::run(Arc::clone(worker)));
    duties.spawn(chain::run(Arc::clone(worker)));
    duties.spawn(retention::run(Arc::clone(worker)));
    duties
}

/// Waits for the duties to end, as they do when the worker stops. One that falls stops it: without it the worker would
/// go on by halves, and whoever keeps it starts another.
async fn keep(duties: &mut JoinSet<()>, stop: &CancellationToken) -> Result<(), WorkerError> {
    let mut outcome = Ok(());
    while let Some(ended) = duties.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a duty has fallen; the worker stops");
            stop.cancel();
            outcome = Err(WorkerError::Machinery(format!("a duty has fallen: {error}")));
        }
    }
    outcome
}

/// Runs one apalis worker a kind until told to stop, and drains them within the grace.
async fn work(worker: Arc<Worker>) -> Result<(), WorkerError> {
    let mut monitor = Monitor::new().shutdown_timeout(LONGEST_DRAIN);
    for &kind in &worker.parts.kinds {
        let worker = Arc::clone(&worker);
        monitor = monitor.register(move |restarts| {
            WorkerBuilder::new(format!("{}-{}-{restarts}", kind.name, worker.lease.tenure().inc))
                .backend(backend::LedgerBackend::new(Arc::clone(&worker), kind))
                .data(Arc::clone(&worker))
                .build(attempt::run)
        });
    }
    let monitor = monitor.should_restart(|_, _| true);
    let (stop, watched) = (worker.stop.clone(), Arc::clone(&worker));
    let deadline = tokio::spawn(async move { watched.enforce_grace().await });
    let ran = monitor.run_with_signal(async move {
        stop.cancelled().await;
        Ok(())
    });
    let ran = ran.await.map_err(|e| WorkerError::Machinery(e.to_string()));
    deadline.abort();
    ran
}

impl Worker {
    /// Ends what still runs a little before the grace is over, so that it can be handed back.
    async fn enforce_grace(&self) {
        self.stop.cancelled().await;
        let grace = self.parts.settings.lease.grace;
        tokio::time::sleep(grace.saturating_sub(grace / 5)).await;
        self.abort.cancel();
    }
}
