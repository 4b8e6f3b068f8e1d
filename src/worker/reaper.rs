//! Takes back what dead workers held, mends what no claim answers for, and keeps the house.

use std::{sync::Arc, time::Duration};

use super::Worker;
use crate::ledger::{LedgerError, workers::Reaped};

/// A claim without a running job is given up after this: until then its answer may be on its way.
const STRAY_AFTER: Duration = Duration::from_secs(5);
/// How often retention is applied and the history's partitions are made.
const KEEP_HOUSE_EVERY: Duration = Duration::from_mins(10);

/// Reaps at the pace of `worker.toml`, once this worker has proved itself alive for a whole lease.
pub(super) async fn run(worker: Arc<Worker>) {
    let mut tick = tokio::time::interval(worker.parts.settings.relay.reap_every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut housekeeping = tokio::time::interval(KEEP_HOUSE_EVERY);
    loop {
        let done = tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => worker.take_back().await,
            _ = housekeeping.tick() => worker.keep_house().await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a duty could not be done; it is tried again");
        }
    }
}

impl Worker {
    async fn take_back(&self) -> Result<(), LedgerError> {
        let ledger = &self.parts.ledger;
        self.release_stray(STRAY_AFTER).await;
        let reaped = if self.lease.may_reap() {
            self.in_time(ledger.reap(self.parts.settings.lease.crash_limit)).await?
        } else {
            Reaped::default()
        };
        let mut found = self.in_time(ledger.mend()).await?;
        found.claims += reaped.claims;
        found.doubtful += reaped.doubtful;
        if found.claims + found.orphans > 0 {
            tracing::info!(claims = found.claims, jobs = found.orphans, "took back what nobody answered for");
            metrics::counter!("postroom_reaped_claims_total").increment(found.claims);
            self.due.notify_one();
        }
        if found.doubtful > 0 {
            tracing::info!(publications = found.doubtful, "outcomes are unknown; the networks are asked");
            self.doubt.notify_one();
        }
        Ok(())
    }

    async fn keep_house(&self) -> Result<(), LedgerError> {
        self.parts.ledger.prepare_history().await?;
        let retention = &self.parts.settings.retention;
        self.parts.ledger.forget(retention.history, retention.idempotency).await
    }
}
