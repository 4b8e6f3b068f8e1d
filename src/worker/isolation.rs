//! The lane of suspects. A job that has ended several workers may end the next one too: it is not claimed with the
//! others, and of all suspects of a worker one runs at a time.

use std::{sync::Arc, time::Duration};

use jobs::contract::Kind;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    Worker,
    backend::Attempt,
    room::{Place, Room},
};
use crate::ledger::{LedgerError, claims::Lane};

/// One kind's way into the lane; the lane is the worker's.
pub(super) struct Isolation {
    pub worker: Arc<Worker>,
    pub kind: &'static Kind,
    pub room: Arc<Room>,
    pub attempts: mpsc::Sender<Attempt>,
    pub budget: Duration,
}

impl Isolation {
    /// Runs suspects one after the other until the worker stops.
    pub async fn run(self) {
        let mut suspects = self.worker.suspects.subscribe();
        loop {
            let lane = Arc::clone(&self.worker.alone).acquire_owned();
            let slot = tokio::select! {
                () = self.worker.stop.cancelled() => return,
                slot = lane => slot,
            };
            let Ok(slot) = slot else { return };
            match self.next(slot).await {
                Ok(true) => continue, // the lane is free again when it has ended
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, queue = self.kind.name, "suspects could not be looked for");
                }
            }
            tokio::select! {
                () = self.worker.stop.cancelled() => return,
                _ = suspects.changed() => {} // the sender lives as long as the worker
            }
        }
    }

    /// Starts the next suspect, if there is one.
    async fn next(&self, slot: OwnedSemaphorePermit) -> Result<bool, LedgerError> {
        if !self.worker.lease.good() {
            return Ok(false);
        }
        let (worker, kinds) = (&self.worker, [self.kind]);
        let isolate_after = worker.parts.settings.lease.isolate_after;
        let Some(id) = worker.in_time(worker.parts.duties.suspect(self.kind, isolate_after)).await? else {
            return Ok(false);
        };
        let (ids, tenure) = ([id], worker.lease.tenure());
        let lane = Lane::Alone { isolate_after };
        let claim = worker.parts.ledger.claim(&ids, &kinds, tenure.inc, self.budget, lane);
        let Some(job) = worker.in_time(claim).await?.pop() else { return Ok(false) };
        tracing::warn!(job = %id, kind = self.kind.name, "it has ended several workers and runs alone");
        metrics::counter!("postroom_isolated_total", "kind" => self.kind.name).increment(1);
        let place = Place::take(worker, &self.room, id, job.workspace_id);
        place.start(slot);
        let lost = tenure.lost.clone();
        let attempt = Attempt { job: Arc::new(job), kind: self.kind, lost, opened: Arc::default(), place };
        // nobody takes it only when the worker stops
        let _sent = self.attempts.send(attempt).await;
        Ok(true)
    }
}
