//! Our backend for apalis: hands on claimed jobs, each with its place in this worker; those that start at the
//! same moment as one task, for a task costs as much as the rest of an attempt.
//!
//! It never errs: an error of a backend ends its worker and drops the calls that are in the air. Trouble is
//! waited out in the pump.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::AtomicI64},
    task::{Context, Poll},
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::{Task, builder::TaskBuilder},
    worker::context::WorkerContext,
};
use jobs::contract::Kind;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::layer::util::Identity;

use super::{
    Worker,
    pump::{CLAIM_MOST, Pump},
    room::Place,
};
use crate::ledger::Claimed;

/// A claimed job and its place in this worker; dropping it gives the place up.
#[derive(Clone)]
pub struct Attempt {
    /// The job.
    pub job: Arc<Claimed>,
    /// Its kind.
    pub kind: &'static Kind,
    /// Cancelled when the lease it was claimed under is lost.
    pub lost: CancellationToken,
    /// The generation of the token that it has opened; 0: none.
    pub(super) opened: Arc<AtomicI64>,
    /// Where it runs.
    pub(super) place: Arc<Place>,
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
        let (sender, receiver) = mpsc::channel(CLAIM_MOST);
        self.worker.pumps.spawn(Pump::new(Arc::clone(&self.worker), self.kind).run(sender));
        receiver
    }
}

impl Backend for LedgerBackend {
    type Task = Task<Vec<Attempt>>;
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
            let mut batch = Vec::new();
            match attempts.poll_recv_many(cx, &mut batch, CLAIM_MOST) {
                Poll::Ready(1..) => return Poll::Ready(Some(Ok(TaskBuilder::new(batch).build()))),
                // a pump ends when all stops, or by a fault of its own; without one, the worker would take
                // nothing any more and yet say that it lives
                Poll::Ready(0) if !self.worker.stop.is_cancelled() => {
                    tracing::error!(queue = self.kind.name, "what fetches jobs has failed; it begins anew");
                    self.attempts = Some(self.pump());
                }
                // a stream that ends would park its worker for ever
                Poll::Ready(0) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        self.attempts = None;
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for LedgerBackend {
    type Args = Vec<Attempt>;
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
