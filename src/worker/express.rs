//! The short way for workspaces that this worker holds next to nothing of. Where jobs are over in no time, a claim waits until
//! many are worth one, and a claimed job waits behind the stock; a quiet workspace's job would wait for both.

use std::{sync::Arc, time::Duration};

use jobs::contract::Kind;
use tokio::sync::mpsc;

use super::{
    Worker,
    pump::{LEDGER_AWAY, UNSETTLED_MOST},
    room::Room,
    starter::{Stocked, claim_common, stocked},
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
    /// Looks while jobs are claimed ahead of their slots, until the worker stops.
    pub async fn run(self) {
        let stop = self.worker.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.room.stocking.notified() => {}
            }
            while let Some(most) = self.room.beyond(MOST) {
                let pause = match self.take(most).await {
                    Ok(()) => EVERY,
                    Err(error) => {
                        tracing::warn!(%error, queue = self.kind.name, "jobs of quiet workspaces could not be claimed");
                        LEDGER_AWAY
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }

    async fn take(&self, most: usize) -> Result<(), LedgerError> {
        let unsettled = self.worker.running().len() >= UNSETTLED_MOST;
        if most == 0 || unsettled || !self.worker.lease.good() {
            return Ok(());
        }
        let rests = self.room.rests(OF_ONE);
        let popped = match self.worker.parts.queue.pop(self.kind.name, most, OF_ONE, &rests).await {
            Ok(popped) if popped.ids.is_empty() => return Ok(()),
            Ok(popped) => popped,
            Err(error) => {
                // the pump does without Redis; what this took and was not told of is looked for
                tracing::debug!(%error, queue = self.kind.name, "Redis is away");
                self.worker.due.notify_one();
                return Ok(());
            }
        };
        let tenure = self.worker.lease.tenure();
        let claimed = claim_common(&self.worker, self.kind, &popped.ids, tenure.inc, self.budget).await?;
        for one in stocked(&self.worker, &self.room, claimed, &tenure.lost) {
            // the starter is gone only when the worker stops, which gives up what was not started
            let _sent = self.stock.send(one).await;
        }
        Ok(())
    }
}
