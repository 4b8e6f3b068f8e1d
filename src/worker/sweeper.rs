//! Removes files that nothing uses: those no post has taken up, uploads never completed, and what was stored and not kept.

use std::{sync::Arc, time::Duration};

use super::Worker;
use crate::ledger::{
    LedgerError,
    spare::{Mark, Spare},
};

/// Files looked at in one round, and files removed in one.
const LOOKED_AT: i64 = 1_000;
const REMOVED: i64 = 100;
/// The longest that removing one file may take.
const SLOWEST: Duration = Duration::from_mins(1);

/// Looks at the pace of `worker.toml`.
pub(super) async fn run(worker: Arc<Worker>) {
    let mut tick = tokio::time::interval(worker.parts.settings.retention.sweep_every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut mark = None;
    loop {
        tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        mark = worker.sweep(mark).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "files that nothing uses could not be looked for");
            mark
        });
    }
}

impl Worker {
    /// One round; tells how far the walk over all files has got, so that the next one goes on from there.
    async fn sweep(&self, mark: Option<Mark>) -> Result<Option<Mark>, LedgerError> {
        let (ledger, keep) = (&self.parts.duties, &self.parts.settings.retention);
        let uploads = self.in_time(ledger.drop_old_uploads(keep.unfinished_uploads, REMOVED)).await?;
        if uploads > 0 {
            self.in_time(ledger.note_swept("uploads", keep.unfinished_uploads, uploads)).await?;
        }
        let mark = self.in_time(ledger.drop_unused_media(keep.unused_media, mark, LOOKED_AT)).await?;
        let taken = self.in_time(ledger.take_spare(REMOVED)).await?;
        let mut removed = Vec::new();
        for Spare { key, parts } in taken {
            if self.stop.is_cancelled() {
                break;
            }
            let media = &self.parts.media;
            let removing = async {
                if let Some(parts) = &parts {
                    media.abandon(&key, parts).await?;
                }
                media.remove(&key).await
            };
            match tokio::time::timeout(SLOWEST, removing).await {
                Ok(Ok(())) => removed.push(key),
                Ok(Err(failure)) => {
                    tracing::warn!(%failure, key, "a file could not be removed; it is tried again");
                }
                Err(_) => tracing::warn!(key, "removing a file took too long; it is tried again"),
            }
        }
        if !removed.is_empty() {
            tracing::info!(files = removed.len(), "files that nothing uses were removed");
            self.in_time(ledger.removed_spare(&removed)).await?;
            self.in_time(ledger.note_swept("files", keep.unused_media, removed.len() as u64)).await?;
        }
        Ok(mark)
    }
}
