//! The short way for workspaces that this worker holds next to nothing of. Where jobs are over in no time, a claim waits until
//! many are worth one, and a claimed job waits behind the stock; a quiet workspace's job would wait for both.

use std::{sync::Arc, time::Duration};

use jobs::contract::Kind;
use tokio::sync::mpsc;

use super::{
    Worker,
    pump::{Stocked, claim_common, stocked},
    room::Room,
};
use crate::ledger::LedgerError;

/// How often it is looked whether such a workspace has jobs.
const EVERY: Duration = Duration::from_millis(4);
/// The most jobs that are taken at a look, and that are held of one workspace.
const MOST: usize = 16;
const OF_ONE: usize = 4;

/// One kind's short way.
pub(super) struct Express {
    pub worker: Arc<Worker>,
    pub kind: &'static Kind,
    pub room: Arc<Room>,
    pub budget: Duration,
    pub stock: mpsc::Sender<Stocked>,
}

impl Express {
    /// Looks while there is a stock, until the worker stops.
    pub async fn run(self) {
        loop {
            tokio::select! {
                () = self.worker.stop.cancelled() => return,
                () = self.room.stocking.notified() => {}
            }
            while self.room.stocks() && !self.worker.stop.is_cancelled() {
                tokio::time::sleep(EVERY).await;
                if let Err(error) = self.take().await {
                    tracing::warn!(%error, queue = self.kind.name, "jobs of quiet workspaces could not be claimed");
                }
            }
        }
    }

    async fn take(&self) -> Result<(), LedgerError> {
        if !self.worker.lease.good() {
            return Ok(());
        }
        let rests = self.room.rests_of(OF_ONE);
        let popped = self.worker.parts.queue.pop(self.kind.name, MOST, OF_ONE, &rests).await;
        let Ok(popped) = popped else { return Ok(()) }; // the pump does without Redis, in turn of the workspaces
        if popped.ids.is_empty() {
            return Ok(());
        }
        let tenure = self.worker.lease.tenure();
        let claimed = claim_common(&self.worker, self.kind, &popped.ids, tenure.inc, self.budget).await?;
        for one in stocked(&self.worker, &self.room, claimed, &tenure.lost) {
            // the starter is gone only when the worker stops, which gives up what was not started
            let _sent = self.stock.send(one).await;
        }
        Ok(())
    }
}
