//! How long things are kept that are not kept for good.

use std::time::Duration;

/// How long each class is kept, from `worker.toml`.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// Finished jobs, attempts, ticks, and the calls that are of no publication.
    pub history: Duration,
    /// Answers to repeated keys.
    pub idempotency: Duration,
    /// Analyses, with what was asked of the provider for them.
    pub analyses: Duration,
    /// Every single snapshot.
    pub snapshots: Duration,
    /// Where somebody acted from.
    pub addresses: Duration,
    /// Letters that went out, and invitations and links to reports that have ended.
    pub letters: Duration,
    /// Accounts that were disconnected.
    pub disconnected: Duration,
    /// Files that no post uses.
    pub unused_media: Duration,
    /// Uploads that were never completed.
    pub unfinished_uploads: Duration,
    /// The most rows of one statement.
    pub batch: i64,
}
