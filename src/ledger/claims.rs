//! Claiming jobs, and handing them back. A claim is an insert whose primary key is the mutual exclusion.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::{
    contract::{JobError, Kind},
    hint::Hint,
};
use serde_json::value::RawValue;
use sqlx::{PgTransaction, postgres::types::PgInterval, types::Json};
use uuid::Uuid;

use super::{Ledger, LedgerError};

/// One claim and no other: the fence of every write that needs authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub job_id: Uuid,
    /// The job's epoch when it was claimed.
    pub epoch: i64,
    /// The process that holds it.
    pub worker_inc: Uuid,
}

/// A job that this worker may run.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The fence.
    pub claim: Claim,
    /// Its kind.
    pub kind: String,
    /// Its workspace.
    pub workspace_id: Uuid,
    /// The account it is about.
    pub account_id: Option<Uuid>,
    /// The publication it is about.
    pub publication_id: Option<Uuid>,
    /// Attempts spent before this one.
    pub attempt: u32,
    /// What the kind decodes.
    pub payload: Box<RawValue>,
    /// When it was due.
    pub run_at: DateTime<Utc>,
}

/// Beside which others a job runs: one that has ended `isolate_after` workers is a suspect, and runs alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Beside others.
    Common {
        /// Workers that made a suspect of it.
        isolate_after: i32,
    },
    /// Without other suspects.
    Alone {
        /// Workers that made a suspect of it.
        isolate_after: i32,
    },
}

impl Lane {
    /// The fewest and the most workers that its jobs have ended.
    const fn crashes(self) -> (i32, i32) {
        match self {
            Self::Common { isolate_after } => (0, isolate_after - 1),
            Self::Alone { isolate_after } => (isolate_after, i32::MAX),
        }
    }
}

/// How an attempt ends that does not end its job.
#[derive(Debug, Clone)]
pub struct PutBack {
    /// The history's word for it.
    pub outcome: Back,
    /// When the job may run again.
    pub run_at: DateTime<Utc>,
    /// Why, for people.
    pub reason: String,
}

/// Why a job goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// Somebody else is at work; spends no attempt.
    Waiting,
    /// A limit is reached; spends no attempt, but time.
    Snoozed,
    /// It failed and may work later; spends an attempt.
    Retry,
    /// This worker gives it up unharmed; spends no attempt.
    Released,
    /// Its account rests; spends no attempt.
    Paused,
}

impl Back {
    const fn word(self) -> &'static str {
        match self {
            Self::Waiting | Self::Snoozed => "waiting",
            Self::Retry => "retry",
            Self::Released => "released",
            Self::Paused => "paused",
        }
    }

    const fn spends(self) -> i32 {
        match self {
            Self::Retry => 1,
            Self::Waiting | Self::Snoozed | Self::Released | Self::Paused => 0,
        }
    }

    /// Whether the time from here on counts against its job.
    const fn troubles(self) -> bool {
        match self {
            Self::Retry | Self::Snoozed => true,
            Self::Waiting | Self::Released | Self::Paused => false,
        }
    }
}

/// Jobs that are due, and the ledger's time when they were looked for.
#[derive(Debug)]
pub struct Page {
    /// By workspace, and in each by the time they are due.
    pub hints: Vec<Hint>,
    /// The ledger's time.
    pub now: DateTime<Utc>,
    /// The most of one workspace.
    most: usize,
}

struct DueRow {
    now: DateTime<Utc>,
    most: i64,
    id: Option<Uuid>,
    kind: Option<String>,
    workspace_id: Option<Uuid>,
    run_at: Option<DateTime<Utc>>,
}

impl Page {
    fn of(rows: Vec<DueRow>) -> Self {
        let (now, most) = rows.first().map(|row| (row.now, row.most)).unwrap_or_default();
        let hint = |row: DueRow| {
            Some(Hint {
                kind: row.kind?,
                workspace_id: row.workspace_id?,
                job_id: row.id?,
                run_at: row.run_at?,
            })
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self { hints: rows.into_iter().filter_map(hint).collect(), now, most }
    }

    /// The last job of each workspace that fills its part: there may be others behind it.
    pub fn marks(&self) -> Vec<Hint> {
        self.hints
            .chunk_by(|a, b| (&a.kind, a.workspace_id) == (&b.kind, b.workspace_id))
            .filter(|of_one| of_one.len() >= self.most)
            .filter_map(|of_one| of_one.last().cloned())
            .collect()
    }
}

/// Kinds and the newest payload version of each that this process reads.
pub(super) fn readable(kinds: &[&'static Kind]) -> (Vec<String>, Vec<i32>) {
    kinds.iter().map(|kind| (kind.name.to_owned(), kind.version)).unzip()
}

/// A span as Postgres takes it; spans beyond its range are its longest.
pub(super) fn interval(span: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(span.as_micros()).unwrap_or(i64::MAX) }
}

impl Ledger {
    /// Begins a transaction that the claim holds through.
    ///
    /// # Errors
    /// The claim is somebody else's now, or the ledger is away.
    pub(super) async fn fenced(&self, claim: Claim) -> Result<PgTransaction<'static>, JobError> {
        let mut tx = self.pool.begin().await.map_err(LedgerError::from)?;
        let held = sqlx::query_scalar!(
            "SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE",
            claim.job_id,
            claim.epoch,
            claim.worker_inc,
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        if held.is_none() { Err(JobError::Fenced) } else { Ok(tx) }
    }

    /// Claims those of `ids` that may run now; an id that does not come back was stale.
    ///
    /// # Errors
    /// The ledger is away. Some may have been claimed: release those that are not running here.
    pub async fn claim(
        &self,
        ids: &[Uuid],
        kinds: &[&'static Kind],
        worker_inc: Uuid,
        budget: Duration,
        lane: Lane,
    ) -> Result<Vec<Claimed>, LedgerError> {
        let (names, versions) = readable(kinds);
        let (least, most) = lane.crashes();
        let rows = sqlx::query!(
            r#"SELECT job_id AS "job_id!", epoch AS "epoch!", kind AS "kind!", workspace_id AS "workspace_id!",
                      account_id, publication_id, attempt AS "attempt!", payload AS "payload!: Json<Box<RawValue>>",
                      run_at AS "run_at!"
               FROM claim_jobs($1, $2, $3, $4, $5, $6, $7)"#,
            ids,
            &names,
            &versions,
            worker_inc,
            interval(budget),
            least,
            most,
        )
        .fetch_all(&self.pool)
        .await?;
        let claimed = rows.into_iter().map(|row| Claimed {
            claim: Claim { job_id: row.job_id, epoch: row.epoch, worker_inc },
            kind: row.kind,
            workspace_id: row.workspace_id,
            account_id: row.account_id,
            publication_id: row.publication_id,
            attempt: u32::try_from(row.attempt).unwrap_or(0),
            payload: row.payload.0,
            run_at: row.run_at,
        });
        Ok(claimed.collect())
    }

    /// Ends an attempt without ending its job. False: the claim was gone, or its publication is armed.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn put_back(&self, claim: Claim, back: &PutBack) -> Result<bool, LedgerError> {
        self.kept_by_day(|| self.put_back_once(claim, back)).await
    }

    async fn put_back_once(&self, claim: Claim, back: &PutBack) -> Result<bool, LedgerError> {
        let rows = sqlx::query!(
            r#"WITH released AS (
                   DELETE FROM claim c USING job j
                   WHERE c.job_id = $1 AND c.epoch = $2 AND c.worker_inc = $3 AND j.id = c.job_id
                     -- what is armed leaves only as unknown
                     AND NOT EXISTS (SELECT FROM publication p WHERE p.id = j.publication_id AND p.state = 'armed')
                   RETURNING c.job_id, c.epoch, c.started_at),
               back AS (
                   UPDATE job j
                   SET epoch = j.epoch + 1,
                       attempt = j.attempt + $4,
                       -- a wait for the network's work is progress
                       troubled_at = CASE WHEN $8 THEN coalesce(j.troubled_at, ledger_now())
                                          WHEN $6 = 'waiting' THEN NULL ELSE j.troubled_at END,
                       -- whoever wrote the row while it was claimed raised its epoch: their word stands
                       run_at = CASE WHEN j.epoch = released.epoch THEN $5 ELSE j.run_at END
                   FROM released WHERE j.id = released.job_id
                   RETURNING j.id, j.publication_id, released.epoch, released.started_at)
               INSERT INTO attempt (job_id, publication_id, epoch, started_at, outcome, reason)
               SELECT id, publication_id, epoch, started_at, $6::text::attempt_outcome, $7 FROM back"#,
            claim.job_id,
            claim.epoch,
            claim.worker_inc,
            back.outcome.spends(),
            back.run_at,
            back.outcome.word(),
            back.reason,
            back.outcome.troubles(),
        )
        .execute(&self.pool)
        .await?;
        Ok(rows.rows_affected() == 1)
    }

    /// For how long a job has been tried again or made to wait for limits.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn troubled_for(&self, job_id: Uuid) -> Result<Duration, LedgerError> {
        let since = sqlx::query_scalar!(
            r#"SELECT extract(epoch FROM ledger_now() - troubled_at)::float8 AS seconds FROM job WHERE id = $1"#,
            job_id,
        );
        let seconds = since.fetch_optional(&self.pool).await?.flatten().unwrap_or_default();
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    /// Gives up this worker's claims on jobs that it does not run, older than `age`: of a claim whose answer was
    /// lost, of a job that could not be started any more.
    ///
    /// # Errors
    /// The ledger is away; the next round does it.
    pub async fn release_stray(
        &self,
        worker_inc: Uuid,
        running: &[Uuid],
        age: Duration,
    ) -> Result<u64, LedgerError> {
        let rows = sqlx::query!(
            r#"WITH stray AS (
                   DELETE FROM claim c
                   WHERE c.worker_inc = $1 AND c.job_id <> ALL($2) AND c.started_at <= ledger_now() - $3::interval
                     -- what is armed leaves only as unknown
                     AND NOT EXISTS (SELECT FROM job j JOIN publication p ON p.id = j.publication_id
                                     WHERE j.id = c.job_id AND p.state = 'armed')
                   RETURNING c.job_id)
               UPDATE job SET epoch = job.epoch + 1 FROM stray WHERE job.id = stray.job_id"#,
            worker_inc,
            running,
            interval(age),
        )
        .execute(&self.pool)
        .await?;
        Ok(rows.rows_affected())
    }

    /// Gives up claims on jobs that have not begun.
    ///
    /// # Errors
    /// The ledger is away; they are stray until it is back.
    pub async fn give_up(&self, claims: &[Claim]) -> Result<u64, LedgerError> {
        let ids: Vec<Uuid> = claims.iter().map(|claim| claim.job_id).collect();
        let epochs: Vec<i64> = claims.iter().map(|claim| claim.epoch).collect();
        let incs: Vec<Uuid> = claims.iter().map(|claim| claim.worker_inc).collect();
        let rows = sqlx::query!(
            r#"WITH given AS (
                   DELETE FROM claim c USING unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS x (job_id, epoch, inc)
                   WHERE c.job_id = x.job_id AND c.epoch = x.epoch AND c.worker_inc = x.inc
                   RETURNING c.job_id)
               UPDATE job SET epoch = job.epoch + 1 FROM given WHERE job.id = given.job_id"#,
            &ids,
            &epochs,
            &incs,
        )
        .execute(&self.pool)
        .await?;
        Ok(rows.rows_affected())
    }

    /// Jobs that are due within `ahead`, that nobody holds, that are not paused and no suspects, found by their state: about
    /// `most`, shared by the workspaces that have work, and a few of each in any case.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn due(
        &self,
        kinds: &[&'static Kind],
        ahead: Duration,
        most: i64,
        isolate_after: i32,
    ) -> Result<Page, LedgerError> {
        let (names, versions) = readable(kinds);
        let rows = sqlx::query_as!(
            DueRow,
            r#"SELECT moment AS "now!", most AS "most!", id, kind, workspace_id, run_at FROM due_jobs($1, $2, $3, $4, $5)"#,
            &names,
            &versions,
            interval(ahead),
            most,
            isolate_after,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::of(rows))
    }

    /// What comes after these marks, as [`due`](Self::due) would find it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn due_after(
        &self,
        kinds: &[&'static Kind],
        ahead: Duration,
        most: i64,
        marks: &[Hint],
        isolate_after: i32,
    ) -> Result<Page, LedgerError> {
        let (names, versions) = readable(kinds);
        let each = (most / i64::try_from(marks.len()).unwrap_or(i64::MAX).max(1)).max(16);
        let of: Vec<&str> = marks.iter().map(|mark| mark.kind.as_str()).collect();
        let workspaces: Vec<Uuid> = marks.iter().map(|mark| mark.workspace_id).collect();
        let times: Vec<DateTime<Utc>> = marks.iter().map(|mark| mark.run_at).collect();
        let ids: Vec<Uuid> = marks.iter().map(|mark| mark.job_id).collect();
        let rows = sqlx::query_as!(
            DueRow,
            r#"SELECT moment AS "now!", most AS "most!", id, kind, workspace_id, run_at
               FROM due_jobs_after($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
            &names,
            &versions,
            interval(ahead),
            each,
            isolate_after,
            &of as &[&str],
            &workspaces,
            &times,
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::of(rows))
    }

    /// A suspect of that kind that may run now: the one that has ended the fewest workers, for the others are guilty more
    /// probably.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn suspect(
        &self,
        kind: &'static Kind,
        isolate_after: i32,
    ) -> Result<Option<Uuid>, LedgerError> {
        let id = sqlx::query_scalar!(
            r#"SELECT id FROM job
               WHERE kind = $1 AND ver <= $2 AND standing = 'active' AND run_at <= ledger_now()
                 AND crash_count >= $3 AND crash_count > 0 -- as the index has it
                 AND NOT EXISTS (SELECT FROM claim WHERE claim.job_id = job.id)
                 AND NOT is_paused(kind, workspace_id, account_id)
               ORDER BY crash_count, run_at LIMIT 1"#,
            kind.name,
            kind.version,
            isolate_after,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(id)
    }

    /// The ledger's clock.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn now(&self) -> Result<DateTime<Utc>, LedgerError> {
        Ok(sqlx::query_scalar!(r#"SELECT ledger_now() AS "now!""#).fetch_one(&self.pool).await?)
    }
}
