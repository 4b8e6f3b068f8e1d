//! Our backend for apalis: takes a permit, pops hints, claims them in the ledger, and hands on only what this
//! worker can start now.
//!
//! It never errs: an error of a backend ends its worker and drops the calls that are in the air. Trouble is
//! waited out in the pump.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::{Task, builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use jobs::{contract::Kind, fp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tower::layer::util::Identity;
use uuid::Uuid;

use super::Worker;
use crate::{
    ledger::{Claimed, LedgerError},
    queue::{Popped, Waker},
};

/// The most jobs of one claim.
const CLAIM_MOST: usize = 64;
/// Added to a job's own limit before the reaper takes it from a living worker.
const DEADLINE_MARGIN: Duration = Duration::from_secs(30);
/// The pace of claiming while Redis is away.
const DIRECT_EVERY: Duration = Duration::from_millis(250);
/// The pace of trying again while the ledger is away.
const LEDGER_AWAY: Duration = Duration::from_millis(500);

/// A claimed job and the permit it runs under; dropping it gives the permit back.
#[derive(Clone)]
pub struct Attempt {
    /// The job.
    pub job: Arc<Claimed>,
    /// Its kind.
    pub kind: &'static Kind,
    /// Cancelled when the lease it was claimed under is lost.
    pub lost: CancellationToken,
    _slot: Arc<Slot>,
}

/// A place to run a job in: its permit, and its name among those that this worker runs.
struct Slot {
    worker: Arc<Worker>,
    job_id: Uuid,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    fn take(worker: &Arc<Worker>, job_id: Uuid, permit: OwnedSemaphorePermit) -> Arc<Self> {
        worker.running().insert(job_id);
        Arc::new(Self { worker: Arc::clone(worker), job_id, _permit: permit })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.worker.running().remove(&self.job_id);
    }
}

/// The source of one kind's attempts.
pub struct LedgerBackend {
    worker: Arc<Worker>,
    kind: &'static Kind,
    attempts: Option<mpsc::Receiver<Attempt>>,
}

impl LedgerBackend {
    /// A backend that starts to pump when it is first asked.
    pub(super) fn new(worker: Arc<Worker>, kind: &'static Kind) -> Self {
        Self { worker, kind, attempts: None }
    }

    /// Starts to fetch.
    fn pump(&self) -> mpsc::Receiver<Attempt> {
        // one: nothing is claimed that does not start at once
        let (sender, receiver) = mpsc::channel(1);
        self.worker.pumps.spawn(Pump::new(Arc::clone(&self.worker), self.kind).run(sender));
        receiver
    }
}

impl Backend for LedgerBackend {
    type Task = Task<Attempt>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        if self.attempts.is_none() {
            self.attempts = Some(self.pump());
        }
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        loop {
            let Some(attempts) = self.attempts.as_mut() else { return Poll::Pending };
            match attempts.poll_recv(cx) {
                Poll::Ready(Some(attempt)) => {
                    let id = TaskId::from_string(attempt.job.claim.job_id.to_string());
                    return Poll::Ready(Some(Ok(TaskBuilder::new(attempt).task_id(id).build())));
                }
                // a pump ends when all stops, or by a fault of its own; without one, the worker would take
                // nothing any more and yet say that it lives
                Poll::Ready(None) if !self.worker.stop.is_cancelled() => {
                    tracing::error!(queue = self.kind.name, "what fetches jobs has failed; it begins anew");
                    self.attempts = Some(self.pump());
                }
                // a stream that ends would park its worker for ever
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        self.attempts = None;
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for LedgerBackend {
    type Args = Attempt;
    type Id = String;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

/// Fetches one kind's jobs.
struct Pump {
    worker: Arc<Worker>,
    kind: &'static Kind,
    slots: Arc<Semaphore>,
    waker: Waker,
    generation: String,
    budget: Duration,
}

impl Pump {
    fn new(worker: Arc<Worker>, kind: &'static Kind) -> Self {
        let settings = worker.parts.settings.kind(kind);
        let waker = worker.parts.queue.waker(kind.name);
        Self {
            slots: Arc::new(Semaphore::new(settings.concurrency)),
            budget: settings.timeout + DEADLINE_MARGIN,
            waker,
            kind,
            worker,
            generation: String::new(),
        }
    }

    async fn run(mut self, attempts: mpsc::Sender<Attempt>) {
        let stop = self.worker.stop.clone();
        while !stop.is_cancelled() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                permits = self.permits() => self.fill(permits, &attempts).await,
            }
        }
    }

    /// Waits for a free slot, then takes what else is free.
    async fn permits(&self) -> Vec<OwnedSemaphorePermit> {
        let Ok(first) = Arc::clone(&self.slots).acquire_owned().await else { return Vec::new() };
        let mut permits = vec![first];
        while permits.len() < CLAIM_MOST {
            match Arc::clone(&self.slots).try_acquire_owned() {
                Ok(permit) => permits.push(permit),
                Err(_) => break,
            }
        }
        permits
    }

    /// Claims as many jobs as there are permits and starts them; waits where there are none.
    async fn fill(&mut self, permits: Vec<OwnedSemaphorePermit>, attempts: &mpsc::Sender<Attempt>) {
        if !self.worker.lease.good() {
            return self.pause(LEDGER_AWAY).await;
        }
        let tenure = self.worker.lease.tenure();
        match self.claim(permits.len(), tenure.inc).await {
            Ok(claimed) if claimed.is_empty() => self.idle().await,
            Ok(claimed) => {
                fp!(AfterClaim);
                self.start(claimed, permits, attempts, &tenure.lost).await;
            }
            Err(error) => {
                tracing::warn!(%error, queue = self.kind.name, "jobs could not be claimed");
                self.pause(LEDGER_AWAY).await;
            }
        }
    }

    async fn start(
        &self,
        claimed: Vec<Claimed>,
        permits: Vec<OwnedSemaphorePermit>,
        attempts: &mpsc::Sender<Attempt>,
        lost: &CancellationToken,
    ) {
        metrics::counter!("postroom_claims_total", "kind" => self.kind.name).increment(claimed.len() as u64);
        let slots: Vec<_> = claimed
            .iter()
            .zip(permits)
            .map(|(job, permit)| Slot::take(&self.worker, job.claim.job_id, permit))
            .collect();
        for (job, slot) in claimed.into_iter().zip(slots) {
            let late = self.worker.parts.clock_now() - job.run_at;
            metrics::histogram!("postroom_start_delay_seconds", "kind" => self.kind.name)
                .record(late.to_std().unwrap_or_default().as_secs_f64());
            let (kind, lost) = (self.kind, lost.clone());
            let attempt = Attempt { job: Arc::new(job), kind, lost, _slot: slot };
            tokio::select! {
                biased;
                // what is not started is given up with the rest, when the worker ends
                () = self.worker.stop.cancelled() => return,
                _sent = attempts.send(attempt) => {}
            }
        }
    }

    async fn claim(&mut self, most: usize, inc: Uuid) -> Result<Vec<Claimed>, LedgerError> {
        let ids = match self.worker.parts.queue.pop(self.kind.name, most).await {
            Ok(popped) => self.heed(popped),
            Err(error) => {
                tracing::warn!(%error, queue = self.kind.name, "Redis is away; claiming from the ledger");
                metrics::counter!("postroom_direct_claims_total").increment(1);
                self.direct(most).await?
            }
        };
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.worker.in_time(self.worker.parts.ledger.claim(&ids, &[self.kind], inc, self.budget)).await
    }

    /// Notices a queue that was emptied from outside.
    fn heed(&mut self, popped: Popped) -> Vec<Uuid> {
        if popped.generation != self.generation {
            self.generation = popped.generation;
            self.worker.due.notify_one();
        }
        popped.ids
    }

    async fn direct(&self, most: usize) -> Result<Vec<Uuid>, LedgerError> {
        self.pause(DIRECT_EVERY.mul_f64(0.5 + rand::random::<f64>())).await;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let kinds = [self.kind];
        let due = self.worker.parts.ledger.due(&kinds, Duration::ZERO, most);
        let (hints, _) = self.worker.in_time(due).await?;
        Ok(hints
            .into_iter()
            .take(usize::try_from(most).unwrap_or(usize::MAX))
            .map(|hint| hint.job_id)
            .collect())
    }

    /// Waits to be woken by a push.
    async fn idle(&mut self) {
        let woken = tokio::select! {
            biased;
            () = self.worker.stop.cancelled() => return,
            woken = self.waker.wait() => woken,
        };
        if woken.is_err() {
            self.pause(DIRECT_EVERY).await;
        }
    }

    async fn pause(&self, span: Duration) {
        tokio::select! {
            () = self.worker.stop.cancelled() => {}
            () = tokio::time::sleep(span) => {}
        }
    }
}
