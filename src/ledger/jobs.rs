//! Jobs as operators see them: those that live and those that are over; trying again, cancelling.

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use jobs::{
    contract::{Class, Failure, Job},
    disconnect::Disconnect,
    machine::State,
};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Entry},
    control::{self, Refusal},
    deliveries,
    idempotency::{Keyed, Once},
    settle::{Outcome, bury},
    take_down,
};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// May be claimed now.
    Ready,
    /// Its time has not come.
    Waiting,
    /// A worker holds it.
    Running,
    /// Somebody stopped it, or its account rests.
    Paused,
    /// Ended well.
    Done,
    /// Ended; a person decides about its publication.
    Held,
    /// Refused for good.
    Failed,
    /// Ended by wish.
    Cancelled,
    /// Ended; the reconciler has its publication.
    Unknown,
    /// Spent its attempts, or ended too many workers.
    Dead,
}

impl JobState {
    /// Every state.
    pub const ALL: &'static [Self] = &[
        Self::Ready,
        Self::Waiting,
        Self::Running,
        Self::Paused,
        Self::Done,
        Self::Held,
        Self::Failed,
        Self::Cancelled,
        Self::Unknown,
        Self::Dead,
    ];

    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::Dead => "dead",
        }
    }

    /// Whether it has left the queue.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Ready | Self::Waiting | Self::Running | Self::Paused => false,
            Self::Done | Self::Held | Self::Failed | Self::Cancelled | Self::Unknown | Self::Dead => true,
        }
    }

    fn accepted() -> String {
        Self::ALL.iter().map(|state| state.word()).collect::<Vec<_>>().join(", ")
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|state| state.word() == word);
        found.ok_or_else(|| format!("there is no state {word:?}; there is {}", Self::accepted()))
    }
}

/// A job, alive or over.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// Its id.
    pub id: Uuid,
    /// Its kind, which is its queue.
    pub kind: String,
    /// Its payload's version.
    pub version: i32,
    /// Its workspace; nil is the house.
    pub workspace_id: Uuid,
    /// The account it is about.
    pub account_id: Option<Uuid>,
    /// The publication it is about.
    pub publication_id: Option<Uuid>,
    /// Where that stands.
    pub publication_state: Option<&'static str>,
    /// Where it stands.
    pub state: JobState,
    /// What its last attempt came to, in a word.
    pub cause: Option<String>,
    /// The same in words.
    pub reason: Option<String>,
    /// Attempts spent.
    pub attempts: i32,
    /// Workers that ended while they held it.
    pub crashes: i32,
    /// When it may run, while it lives.
    pub run_at: Option<DateTime<Utc>>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it was over.
    pub ended_at: Option<DateTime<Utc>>,
    /// As which job it was tried again.
    pub redriven_as: Option<Uuid>,
}

impl JobRow {
    /// The publication that it publishes; a job of another kind may be about one, too.
    fn published(&self) -> Option<Uuid> {
        self.publication_id.filter(|_| self.kind == "publish")
    }

    /// Why no worker of this build takes it, if none does.
    pub fn note(&self) -> Option<String> {
        if self.state.is_over() {
            return None;
        }
        match jobs::kind(&self.kind) {
            None => Some(format!("this build knows no kind {}; it is left to newer workers", self.kind)),
            Some(kind) if self.version > kind.version => Some(format!(
                "its payload has version {}, this build reads up to {}; it is left to newer workers",
                self.version, kind.version
            )),
            Some(_) => None,
        }
    }
}

/// Which jobs.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only these.
    pub ids: Option<Vec<Uuid>>,
    /// Of this kind.
    pub kind: Option<String>,
    /// In one of these states; none is all but those that ended well.
    pub states: Vec<JobState>,
    /// Whose last attempt came to this.
    pub cause: Option<String>,
    /// Of this workspace.
    pub workspace_id: Option<Uuid>,
    /// After this one, in the list's order.
    pub before: Option<Uuid>,
    /// Not tried again yet.
    pub open: bool,
}

/// A write about one job.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    /// Whose it must be; `None` is anybody's.
    pub workspace_id: Option<Uuid>,
    /// The job.
    pub id: Uuid,
    /// The key it came with, and how it is answered.
    pub keyed: Option<Keyed<'a, JobRow>>,
    /// Nothing is written: it is only shown what would be.
    pub dry: bool,
}

enum Verb {
    Retry,
    Cancel,
}

impl Ledger {
    /// Jobs, newest first, at most `limit`, found within that time.
    ///
    /// # Errors
    /// The ledger is away, or it took too long.
    pub async fn jobs(
        &self,
        filter: &JobFilter,
        limit: i64,
        within: Duration,
    ) -> Result<Vec<JobRow>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let within = format!("{}ms", within.as_millis());
        sqlx::query!("SELECT set_config('statement_timeout', $1, true) AS within", within)
            .fetch_one(&mut *tx)
            .await?;
        let found = select(&mut tx, filter, limit).await?;
        tx.commit().await?;
        Ok(found)
    }

    /// Tries again what ended badly. A publish job's publication is tried again (T21); of any other job a new one is
    /// made of the same payload, which is returned.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn retry_job(&self, write: &Write<'_>) -> Result<Once<Result<JobRow, Refusal>>, LedgerError> {
        self.kept_by_day(|| self.write_once(write, &Verb::Retry)).await
    }

    /// Cancels a job that nobody works on. A publish job's publication is cancelled (T17), at once or by whoever has it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn cancel_job(&self, write: &Write<'_>) -> Result<Once<Result<JobRow, Refusal>>, LedgerError> {
        self.kept_by_day(|| self.write_once(write, &Verb::Cancel)).await
    }

    async fn write_once(
        &self,
        write: &Write<'_>,
        verb: &Verb,
    ) -> Result<Once<Result<JobRow, Refusal>>, LedgerError> {
        let asked = write.keyed.map(|(asked, _)| asked);
        let mut tx = match self.begin_once(asked).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        let acted = match one(&mut tx, write.workspace_id, write.id).await? {
            None => Err(Refusal::Missing),
            Some(row) => match verb {
                Verb::Retry => retry(&mut tx, &row).await?,
                Verb::Cancel => cancel(&mut tx, &row).await?.map(|()| row.id),
            },
        };
        let row = match acted {
            Ok(id) => one(&mut tx, None, id).await?.ok_or(Refusal::Missing),
            Err(refusal) => Err(refusal),
        };
        if let Some(entry) = self.entry(write, verb, row.as_ref()) {
            audit::record(&mut tx, &entry).await?;
        }
        if !write.dry {
            let answer = row.as_ref().ok().zip(write.keyed).map(|(row, (_, answer))| answer(row));
            self.commit_once(tx, asked, answer.as_ref()).await?;
        }
        Ok(Once::Done(row))
    }

    /// What is written down of it: what was done, and a wish that is kept; of another refusal nothing.
    fn entry(
        &self,
        write: &Write<'_>,
        verb: &Verb,
        row: Result<&JobRow, &Refusal>,
    ) -> Option<Entry<'static>> {
        let (workspace_id, now) = match row {
            Ok(row) => (Some(row.workspace_id), Some(row.id)),
            Err(Refusal::WishKept) => (write.workspace_id, None),
            Err(_) => return None,
        };
        let action = match verb {
            Verb::Retry => Action::Redriven,
            Verb::Cancel => Action::Cancelled,
        };
        let (object_id, detail) = (write.id.to_string(), json!({ "job": now }));
        Some(Entry { who: self.who(), action, object: "job", object_id, workspace_id, detail })
    }
}

pub(super) async fn one(
    tx: &mut PgConnection,
    workspace_id: Option<Uuid>,
    id: Uuid,
) -> Result<Option<JobRow>, LedgerError> {
    let states = JobState::ALL.to_vec();
    let filter = JobFilter { ids: Some(vec![id]), workspace_id, states, ..JobFilter::default() };
    Ok(select(tx, &filter, 1).await?.pop())
}

async fn retry(tx: &mut PgConnection, row: &JobRow) -> Result<Result<Uuid, Refusal>, LedgerError> {
    if let Some(publication) = row.published() {
        return control::retry_publication(tx, publication).await;
    }
    match row.state {
        JobState::Ready | JobState::Waiting | JobState::Running | JobState::Paused => {
            Ok(Err(Refusal::UnderWay(row.state.word().to_owned())))
        }
        JobState::Done | JobState::Held | JobState::Cancelled | JobState::Unknown => {
            Ok(Err(Refusal::Over(row.state.word().to_owned())))
        }
        JobState::Failed | JobState::Dead => redrive(tx, row.id).await,
    }
}

async fn redrive(tx: &mut PgConnection, id: Uuid) -> Result<Result<Uuid, Refusal>, LedgerError> {
    let new = Uuid::now_v7();
    let made = sqlx::query_scalar!(
        r#"WITH it AS (
               UPDATE job_history SET redriven_as = $2
               WHERE id = $1 AND outcome IN ('failed', 'dead') AND redriven_as IS NULL
               RETURNING kind, ver, workspace_id, account_id, payload)
           INSERT INTO job (id, kind, ver, workspace_id, account_id, run_at, payload)
           SELECT $2, kind, ver, workspace_id, account_id, ledger_now(), payload FROM it
           ON CONFLICT DO NOTHING -- of some kinds there is one at a time
           RETURNING id"#,
        id,
        new,
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(made) = made {
        take_down::ask_again(tx, id, made).await?;
        deliveries::bring_again(tx, id, made).await?;
        return Ok(Ok(made));
    }
    let undone =
        sqlx::query!("UPDATE job_history SET redriven_as = NULL WHERE id = $1 AND redriven_as = $2", id, new);
    if undone.execute(&mut *tx).await?.rows_affected() > 0 {
        return Ok(Err(Refusal::UnderWay("under way again".into())));
    }
    let before = sqlx::query_scalar!("SELECT redriven_as FROM job_history WHERE id = $1", id);
    Ok(Err(before.fetch_one(tx).await?.map_or(Refusal::Missing, Refusal::Redriven)))
}

async fn cancel(tx: &mut PgConnection, row: &JobRow) -> Result<Result<(), Refusal>, LedgerError> {
    if let Some(publication) = row.published() {
        return control::cancel_publication(tx, publication).await;
    }
    if row.state.is_over() {
        return Ok(Err(Refusal::Over(row.state.word().to_owned())));
    }
    if row.kind == Disconnect::KIND {
        return Ok(Err(Refusal::Promised));
    }
    // who has the claim has the job: a worker that is about to take it waits, and finds it gone
    let taken = sqlx::query!(
        r#"INSERT INTO claim (job_id, epoch, worker_inc, deadline_at)
           SELECT id, epoch, $2, ledger_now() FROM job WHERE id = $1 ON CONFLICT (job_id) DO NOTHING"#,
        row.id,
        Uuid::nil(),
    )
    .execute(&mut *tx)
    .await?;
    if taken.rows_affected() == 0 {
        return Ok(Err(Refusal::Running));
    }
    let failure = Failure::new(Class::Permanent, "cancelled", "cancelled by wish");
    let buried = bury(tx, &[row.id], Outcome::Cancelled, &failure).await?;
    sqlx::query!("DELETE FROM claim WHERE job_id = $1 AND worker_inc = $2", row.id, Uuid::nil())
        .execute(&mut *tx)
        .await?;
    if buried == 0 {
        // it ended while its claim was waited for
        let ended = one(tx, None, row.id).await?;
        return Ok(Err(ended.map_or(Refusal::Missing, |row| Refusal::Over(row.state.word().to_owned()))));
    }
    Ok(Ok(()))
}

async fn select(
    connection: &mut PgConnection,
    filter: &JobFilter,
    limit: i64,
) -> Result<Vec<JobRow>, LedgerError> {
    let asked = |state: &&JobState| match filter.states.as_slice() {
        [] => **state != JobState::Done,
        some => some.contains(*state),
    };
    let states: Vec<String> =
        JobState::ALL.iter().filter(asked).map(|state| state.word().to_owned()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"WITH found AS (
               (SELECT j.id, j.kind, j.ver, j.workspace_id, j.account_id, j.publication_id, now.state,
                       cause_of(last.outcome, last.reason) AS cause, last.reason, j.attempt, j.crash_count,
                       j.run_at, j.created_at, NULL::timestamptz AS ended_at, NULL::uuid AS redriven_as
                FROM job j
                CROSS JOIN LATERAL (
                    SELECT CASE WHEN EXISTS (SELECT FROM claim c WHERE c.job_id = j.id) THEN 'running'
                                WHEN j.standing <> 'active' OR is_paused(j.kind, j.workspace_id, j.account_id) THEN 'paused'
                                WHEN j.run_at > ledger_now() THEN 'waiting'
                                ELSE 'ready' END AS state) now
                LEFT JOIN LATERAL (
                    SELECT outcome, reason FROM attempt a
                    -- the time spares the partitions from before the job
                    WHERE a.job_id = j.id AND a.ended_at >= j.created_at ORDER BY a.ended_at DESC LIMIT 1) last ON true
                WHERE ($1::uuid[] IS NULL OR j.id = ANY($1)) AND ($2::uuid IS NULL OR j.id < $2)
                  AND ($3::text IS NULL OR j.kind = $3) AND ($4::uuid IS NULL OR j.workspace_id = $4)
                  AND now.state = ANY($5) AND ($6::text IS NULL OR cause_of(last.outcome, last.reason) = $6)
                ORDER BY j.id DESC LIMIT $7)
               UNION ALL
               (SELECT h.id, h.kind, h.ver, h.workspace_id, h.account_id, h.publication_id, h.outcome::text,
                       cause_of(h.outcome, h.reason), h.reason, h.attempt, h.crash_count,
                       NULL, h.created_at, h.finished_at, h.redriven_as
                FROM job_history h
                WHERE h.outcome <> 'done' AND ($1::uuid[] IS NULL OR h.id = ANY($1)) AND ($2::uuid IS NULL OR h.id < $2)
                  AND ($3::text IS NULL OR h.kind = $3) AND ($4::uuid IS NULL OR h.workspace_id = $4)
                  AND h.outcome::text = ANY($5) AND ($6::text IS NULL OR cause_of(h.outcome, h.reason) = $6)
                  AND NOT ($8 AND h.redriven_as IS NOT NULL)
                ORDER BY h.id DESC LIMIT $7)
               UNION ALL
               -- apart from the others, which have an index of their own
               (SELECT h.id, h.kind, h.ver, h.workspace_id, h.account_id, h.publication_id, 'done',
                       NULL, h.reason, h.attempt, h.crash_count, NULL, h.created_at, h.finished_at, h.redriven_as
                FROM job_history h
                WHERE 'done' = ANY($5) AND $6::text IS NULL AND h.outcome = 'done'
                  AND ($1::uuid[] IS NULL OR h.id = ANY($1)) AND ($2::uuid IS NULL OR h.id < $2)
                  AND ($3::text IS NULL OR h.kind = $3) AND ($4::uuid IS NULL OR h.workspace_id = $4)
                ORDER BY h.id DESC LIMIT $7))
           SELECT f.id AS "id!", f.kind AS "kind!", f.ver AS "version!", f.workspace_id AS "workspace_id!", f.account_id,
                  f.publication_id, p.state::text AS "publication_state?", f.state AS "state!", f.cause, f.reason,
                  f.attempt AS "attempts!", f.crash_count AS "crashes!", f.run_at, f.created_at AS "created_at!",
                  f.ended_at, f.redriven_as
           FROM found f LEFT JOIN publication p ON p.id = f.publication_id
           ORDER BY f.id DESC LIMIT $7"#,
        filter.ids.as_deref(),
        filter.before,
        filter.kind,
        filter.workspace_id,
        &states,
        filter.cause,
        limit,
        filter.open,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(JobRow::try_from).collect()
}

struct Row {
    id: Uuid,
    kind: String,
    version: i32,
    workspace_id: Uuid,
    account_id: Option<Uuid>,
    publication_id: Option<Uuid>,
    publication_state: Option<String>,
    state: String,
    cause: Option<String>,
    reason: Option<String>,
    attempts: i32,
    crashes: i32,
    run_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    redriven_as: Option<Uuid>,
}

impl TryFrom<Row> for JobRow {
    type Error = LedgerError;

    fn try_from(row: Row) -> Result<Self, LedgerError> {
        Ok(Self {
            id: row.id,
            kind: row.kind,
            version: row.version,
            workspace_id: row.workspace_id,
            account_id: row.account_id,
            publication_id: row.publication_id,
            publication_state: row.publication_state.and_then(|word| Some(State::parse(&word)?.shown())),
            state: row.state.parse().map_err(LedgerError::Unreadable)?,
            cause: row.cause,
            reason: row.reason,
            attempts: row.attempts,
            crashes: row.crashes,
            run_at: row.run_at,
            created_at: row.created_at,
            ended_at: row.ended_at,
            redriven_as: row.redriven_as,
        })
    }
}

/// An attempt that ended otherwise than with its job.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// When it was claimed.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// `retry`, `waiting`, `reaped` and the like.
    pub outcome: String,
    /// Why.
    pub reason: String,
}

impl Ledger {
    /// The attempts of a job that did not end it, oldest first.
    pub async fn attempts(&self, job_id: Uuid) -> Result<Vec<AttemptRow>, LedgerError> {
        let rows = sqlx::query_as!(
            AttemptRow,
            r#"SELECT started_at, ended_at, outcome::text AS "outcome!", reason FROM attempt
               WHERE job_id = $1 ORDER BY ended_at LIMIT 1000"#,
            job_id,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}
