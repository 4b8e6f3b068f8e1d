//! A hint that a job is probably ready: all that a queue ever carries.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A job that is probably ready. May be lost, doubled, late or stale; the ledger decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The job's kind, which is its queue.
    pub kind: String,
    /// Whose turn it counts against.
    pub workspace_id: Uuid,
    /// The job.
    pub job_id: Uuid,
    /// When it may run.
    pub run_at: DateTime<Utc>,
}
