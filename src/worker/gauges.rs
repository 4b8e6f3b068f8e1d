//! Keeps the figures of the ledger fresh: bloat, age, lag and dead letters. Each worker tells the same.

use std::collections::BTreeMap;

use super::Worker;
use crate::ledger::LedgerError;

impl Worker {
    pub(super) async fn read_gauges(&self) -> Result<(), LedgerError> {
        let ledger = &self.parts.duties;
        for table in ledger.hot_tables().await? {
            metrics::gauge!("postroom_dead_rows", "table" => table.name.clone()).set(table.dead_rows);
            metrics::gauge!("postroom_table_bytes", "table" => table.name).set(table.bytes);
        }
        let (oldest, dead) = (ledger.oldest_ready().await?, ledger.dead_letters().await?);
        metrics::gauge!("postroom_publish_lag_seconds").set(ledger.publish_lag().await?);
        for kind in jobs::kinds() {
            let of = |figures: &BTreeMap<String, f64>| figures.get(kind.name).copied().unwrap_or_default();
            metrics::gauge!("postroom_oldest_ready_seconds", "kind" => kind.name).set(of(&oldest));
            metrics::gauge!("postroom_dead_letters", "kind" => kind.name).set(of(&dead));
        }
        let deletions = ledger.late_deletions(None).await?;
        metrics::gauge!("postroom_deletions_open").set(ledger.open_deletions().await?);
        #[expect(clippy::cast_precision_loss, reason = "there are never so many")]
        metrics::gauge!("postroom_deletions_late").set(deletions.len() as f64);
        for late in deletions {
            tracing::error!(request = %late.id, stage = late.stage, still = late.still_seconds, "a deletion does not go on as promised");
        }
        self.tell_breakers().await
    }
}
