//! Keeps the figures of the ledger fresh: bloat, age and dead letters. Each worker tells the same.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::Worker;
use crate::ledger::LedgerError;

/// How often the ledger is asked.
const EVERY: Duration = Duration::from_secs(30);

/// Asks at a calm pace.
pub(super) async fn run(worker: Arc<Worker>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = worker.in_time(worker.read_gauges()).await {
            tracing::debug!(%error, "the ledger's figures could not be read");
        }
    }
}

impl Worker {
    async fn read_gauges(&self) -> Result<(), LedgerError> {
        let ledger = &self.parts.duties;
        for table in ledger.hot_tables().await? {
            metrics::gauge!("postroom_dead_rows", "table" => table.name.clone()).set(table.dead_rows);
            metrics::gauge!("postroom_table_bytes", "table" => table.name).set(table.bytes);
        }
        let (oldest, dead) = (ledger.oldest_ready().await?, ledger.dead_letters().await?);
        for kind in jobs::kinds() {
            let of = |figures: &BTreeMap<String, f64>| figures.get(kind.name).copied().unwrap_or_default();
            metrics::gauge!("postroom_oldest_ready_seconds", "kind" => kind.name).set(of(&oldest));
            metrics::gauge!("postroom_dead_letters", "kind" => kind.name).set(of(&dead));
        }
        Ok(())
    }
}
