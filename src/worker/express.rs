//! The short way for workspaces that this worker holds next to nothing of. Where jobs are over in no time, a claim waits until
//! many are worth one, and a claimed job waits behind the stock; a quiet workspace's job would wait for both.

use std::time::Duration;

use super::{
    pump::{LEDGER_AWAY, UNSETTLED_MOST},
    starter::Line,
};
use crate::ledger::LedgerError;

/// How often it is looked whether such a workspace has jobs.
const EVERY: Duration = Duration::from_millis(4);
/// The most jobs that go the short way at once, and that are held of one workspace which goes it.
pub(super) const MOST: usize = 16;
pub(super) const OF_ONE: usize = 4;

/// One kind's short way.
pub(super) struct Express(pub Line);

impl Express {
    /// Looks while jobs are claimed ahead of their slots, until the worker stops.
    pub async fn run(self) {
        let Line { worker, room, kind, .. } = &self.0;
        loop {
            tokio::select! {
                () = worker.stop.cancelled() => return,
                () = room.stocking.notified() => {}
            }
            while let Some(most) = room.beyond(MOST) {
                let pause = match self.take(most).await {
                    Ok(_) => EVERY,
                    Err(error) => {
                        tracing::warn!(%error, queue = kind.name, "jobs of quiet workspaces could not be claimed");
                        LEDGER_AWAY
                    }
                };
                tokio::select! {
                    () = worker.stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }

    async fn take(&self, most: usize) -> Result<usize, LedgerError> {
        let Line { worker, room, kind, .. } = &self.0;
        let unsettled = worker.running().len() >= UNSETTLED_MOST;
        if most == 0 || unsettled || !worker.lease.good() {
            return Ok(0);
        }
        match worker.parts.queue.pop(kind.name, most, OF_ONE, &room.rests(OF_ONE)).await {
            Ok(popped) => self.0.claim(&popped.ids).await,
            Err(error) => {
                // the pump does without Redis; what this took and was not told of is looked for
                tracing::debug!(%error, queue = kind.name, "Redis is away");
                worker.due.notify_one();
                Ok(0)
            }
        }
    }
}
