//! Accepting jobs that are about no publication: in bulk, or one at a time from many callers, whose jobs
//! then share a transaction.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::{contract::Kind, hint::Hint};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    group::{Act, Group, Pace},
};

/// The most bytes of a payload, as the ledger has them too.
pub const PAYLOAD_MOST: usize = 65_536;
/// The most jobs of one transaction.
const GROUP_MOST: usize = 256;
/// Transactions under way at once: one commits while the next gathers.
const GROUPS: usize = 2;
/// The longest wait for one of them.
const GROUP_LIMIT: Duration = Duration::from_secs(10);

/// A job that the ledger will take.
#[derive(Debug, Clone)]
pub struct NewJob {
    id: Uuid,
    kind: &'static str,
    version: i32,
    workspace_id: Uuid,
    account_id: Option<Uuid>,
    run_at: Option<DateTime<Utc>>,
    payload: Value,
}

/// Why a job is not taken.
#[derive(Debug, thiserror::Error)]
pub enum BadJob {
    /// The payload is too large.
    #[error("the payload has {0} bytes; at most {PAYLOAD_MOST} are accepted")]
    TooLarge(usize),
    /// Text that Postgres cannot keep.
    #[error("the payload holds the character U+0000, which cannot be kept; leave it out")]
    Nul,
    /// The kind does not understand it.
    #[error("the payload is none of kind {kind}: {why}")]
    Payload {
        /// The kind.
        kind: &'static str,
        /// What it says.
        why: String,
    },
}

impl NewJob {
    /// A job of a kind whose payload that kind understands, to run as soon as it can.
    ///
    /// # Errors
    /// The payload does not decode, or is larger than [`PAYLOAD_MOST`] bytes as JSON.
    pub fn parse(kind: &'static Kind, workspace_id: Uuid, payload: Value) -> Result<Self, BadJob> {
        (kind.reads)(&payload).map_err(|why| BadJob::Payload { kind: kind.name, why })?;
        let text = payload.to_string();
        if text.len() > PAYLOAD_MOST {
            return Err(BadJob::TooLarge(text.len()));
        }
        if text.contains("\\u0000") {
            return Err(BadJob::Nul);
        }
        Ok(Self {
            id: Uuid::now_v7(),
            kind: kind.name,
            version: kind.version,
            workspace_id,
            account_id: None,
            run_at: None,
            payload,
        })
    }

    /// The same, not before this time.
    #[must_use]
    pub fn at(mut self, run_at: DateTime<Utc>) -> Self {
        self.run_at = Some(run_at);
        self
    }

    /// The same, about this account.
    #[must_use]
    pub fn about(mut self, account_id: Uuid) -> Self {
        self.account_id = Some(account_id);
        self
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }
}

impl Ledger {
    /// Accepts jobs, all or none, and returns hints of those that may run now. Accepting the same again
    /// changes nothing.
    ///
    /// # Errors
    /// The ledger is away: they may have been accepted all the same.
    pub async fn enqueue(&self, batch: &[NewJob]) -> Result<Vec<Hint>, LedgerError> {
        let column = |of: fn(&NewJob) -> Uuid| batch.iter().map(of).collect::<Vec<_>>();
        let kinds: Vec<&str> = batch.iter().map(|job| job.kind).collect();
        let versions: Vec<i32> = batch.iter().map(|job| job.version).collect();
        let accounts: Vec<Option<Uuid>> = batch.iter().map(|job| job.account_id).collect();
        let times: Vec<Option<DateTime<Utc>>> = batch.iter().map(|job| job.run_at).collect();
        let payloads: Vec<&Value> = batch.iter().map(|job| &job.payload).collect();
        let now = sqlx::query_scalar!(
            r#"WITH moment AS MATERIALIZED (SELECT ledger_now() AS now),
               added AS (
                   INSERT INTO job (id, kind, ver, workspace_id, account_id, run_at, payload, created_at)
                   SELECT t.id, t.kind, t.ver, t.workspace, t.account, coalesce(t.run_at, moment.now), t.payload, moment.now
                   FROM moment, unnest($1::uuid[], $2::text[], $3::integer[], $4::uuid[], $5::uuid[], $6::timestamptz[],
                                       $7::jsonb[]) AS t (id, kind, ver, workspace, account, run_at, payload)
                   ORDER BY t.id -- one order for all: two that accept the same cannot deadlock
                   ON CONFLICT (id) DO NOTHING)
               SELECT now AS "now!" FROM moment"#,
            &column(|job| job.id),
            &kinds as &[&str],
            &versions,
            &column(|job| job.workspace_id),
            &accounts as &[Option<Uuid>],
            &times as &[Option<DateTime<Utc>>],
            &payloads as &[&Value],
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(batch.iter().filter_map(|job| job.hint(now)).collect())
    }
}

impl NewJob {
    fn hint(&self, now: DateTime<Utc>) -> Option<Hint> {
        let run_at = self.run_at.unwrap_or(now);
        (run_at <= now).then(|| Hint {
            kind: self.kind.to_owned(),
            workspace_id: self.workspace_id,
            job_id: self.id,
            run_at,
        })
    }
}

/// Accepts single jobs of many callers; the answer is a hint, if the job may run now.
#[derive(Debug)]
pub struct Enqueue(Ledger);

/// Where single jobs are brought.
pub type Intake = Group<Enqueue>;

impl Ledger {
    /// Opens an intake of single jobs.
    pub fn intake(&self) -> Intake {
        let gathers = Duration::ZERO; // somebody waits for the answer
        Group::open(
            Enqueue(self.clone()),
            Pace { most: GROUP_MOST, abreast: GROUPS, gathers, limit: GROUP_LIMIT },
        )
    }
}

impl Act for Enqueue {
    type Item = NewJob;
    type Answer = Option<Hint>;

    async fn act(&self, batch: &[NewJob]) -> Result<Vec<Option<Hint>>, LedgerError> {
        let mut hints = self.0.enqueue(batch).await?.into_iter().peekable();
        Ok(batch.iter().map(|job| hints.next_if(|hint| hint.job_id == job.id)).collect())
    }
}
