//! Ending jobs. A job leaves the hot tables in the statement that finishes it, fenced by its claim; a
//! publication that ends with its job moves in the same transaction.

use std::{collections::HashSet, time::Duration};

use jobs::{
    ai_analysis::AiAnalysis,
    contract::{Failure, FollowUp, Job},
    machine::{Move, State},
    take_down::TakeDown,
    webhook::Webhook,
};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgTransaction};
use uuid::Uuid;

use super::{
    Claim, Ledger, LedgerError, analyses,
    claims::interval,
    deliveries,
    group::{Act, Group, Pace},
    take_down,
};

/// The most jobs of one finishing statement.
const FINISH_MOST: usize = 512;
/// How long a finish waits for others: their slots are free meanwhile, and a statement costs nearly the same for
/// one as for many.
const FINISH_GATHERS: Duration = Duration::from_millis(4);

/// A job that ended well.
#[derive(Debug)]
pub struct Finish {
    /// The fence.
    pub claim: Claim,
    /// Kept in the history.
    pub output: Value,
    /// Jobs that follow from it.
    pub then: Vec<FollowUp>,
}

/// A job that ends together with its publication, other than by being published.
#[derive(Debug)]
pub struct End<'a> {
    /// The fence.
    pub claim: Claim,
    /// Where the publication goes.
    pub step: Move,
    /// The history's word for it.
    pub outcome: Outcome,
    /// What people are told.
    pub failure: &'a Failure,
}

/// What came of the wish to end a job with its publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Both have ended.
    Ended,
    /// What people want of it is no longer what this claim was made for, and may yet succeed. Nothing was written.
    Overtaken,
    /// The claim was gone, or the publication stands elsewhere. Nothing was written.
    Refused,
}

/// The history's word for how a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A person decides now.
    Held,
    /// Refused for good.
    Failed,
    /// By wish.
    Cancelled,
    /// The reconciler has it.
    Unknown,
    /// It spent its attempts, or makes no sense.
    Dead,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::Dead => "dead",
        }
    }
}

/// The ledger's words for states.
pub(super) fn words(states: &[State]) -> Vec<String> {
    states.iter().map(|state| state.word().to_owned()).collect()
}

/// What is kept of a failure and shown to people.
pub(super) fn kept(failure: &Failure) -> Value {
    let mut kept = json!({ "class": failure.class, "code": failure.code, "message": failure.message });
    if failure.operator {
        kept["operator"] = true.into();
    }
    if let Some(meant) = failure.meant {
        kept["meant"] = json!(meant);
    }
    kept
}

impl Ledger {
    /// Finishes jobs that ended well, all in one statement. Returns the jobs and epochs of those whose claim still held; the others
    /// were fenced off and nothing of theirs was written.
    ///
    /// # Errors
    /// The ledger is away: nothing is known to have happened, and finishing again is safe.
    pub async fn finish(&self, batch: &[Finish]) -> Result<Vec<(Uuid, i64)>, LedgerError> {
        self.kept_by_day(|| self.finish_once(batch)).await
    }

    async fn finish_once(&self, batch: &[Finish]) -> Result<Vec<(Uuid, i64)>, LedgerError> {
        let ids: Vec<Uuid> = batch.iter().map(|one| one.claim.job_id).collect();
        let epochs: Vec<i64> = batch.iter().map(|one| one.claim.epoch).collect();
        let incs: Vec<Uuid> = batch.iter().map(|one| one.claim.worker_inc).collect();
        let outputs: Vec<Value> = batch.iter().map(|one| one.output.clone()).collect();
        let follow = FollowUps::of(batch);
        let rows = sqlx::query!(
            r#"SELECT job_id AS "job_id!", epoch AS "epoch!" FROM finish_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
            &ids,
            &epochs,
            &incs,
            &outputs,
            &follow.ids,
            &follow.parents,
            &follow.kinds,
            &follow.run_ats as &[Option<chrono::DateTime<chrono::Utc>>],
            &follow.payloads,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.job_id, row.epoch)).collect())
    }

    /// Ends a job and its publication together.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn end(&self, end: &End<'_>) -> Result<Ending, LedgerError> {
        self.kept_by_day(|| self.end_once(end)).await
    }

    async fn end_once(&self, end: &End<'_>) -> Result<Ending, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let Some(publication_id) = take_claim(&mut tx, end.claim).await? else { return Ok(Ending::Refused) };
        if let Some(publication_id) = publication_id {
            if matches!(end.step, Move::Fail | Move::Expire)
                && overtaken(&mut tx, publication_id, end.claim).await?
            {
                return Ok(Ending::Overtaken);
            }
            if !move_publication(&mut tx, publication_id, end).await? {
                return Ok(Ending::Refused);
            }
        }
        bury(&mut tx, &[end.claim.job_id], end.outcome, end.failure).await?;
        tx.commit().await?;
        Ok(Ending::Ended)
    }

    /// Leaves an account alone for a while, because its network asked for it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn leave_alone(&self, account_id: Uuid, rest: Duration) -> Result<(), LedgerError> {
        sqlx::query!(
            "UPDATE account SET resting_until = greatest(resting_until, ledger_now() + $2) WHERE id = $1",
            account_id,
            interval(rest),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Finishes single jobs; the answer is whether the claim still held.
#[derive(Debug)]
pub struct Finishing(Ledger);

/// Where jobs that ended well are brought.
pub type Finisher = Group<Finishing>;

impl Ledger {
    /// Opens a finisher that waits for no answer longer than `limit`.
    pub fn finisher(&self, limit: Duration) -> Finisher {
        Group::open(
            Finishing(self.clone()),
            Pace { most: FINISH_MOST, abreast: 1, gathers: FINISH_GATHERS, limit },
        )
    }
}

impl Act for Finishing {
    type Item = Finish;
    type Answer = bool;

    async fn act(&self, batch: &[Finish]) -> Result<Vec<bool>, LedgerError> {
        let held: HashSet<(Uuid, i64)> = self.0.finish(batch).await?.into_iter().collect();
        Ok(batch.iter().map(|one| held.contains(&(one.claim.job_id, one.claim.epoch))).collect())
    }
}

/// Follow-up jobs as columns.
#[derive(Default)]
struct FollowUps {
    ids: Vec<Uuid>,
    parents: Vec<Uuid>,
    kinds: Vec<String>,
    run_ats: Vec<Option<chrono::DateTime<chrono::Utc>>>,
    payloads: Vec<Value>,
}

impl FollowUps {
    fn of(batch: &[Finish]) -> Self {
        let mut all = Self::default();
        for one in batch {
            for follow in &one.then {
                all.ids.push(Uuid::now_v7());
                all.parents.push(one.claim.job_id);
                all.kinds.push(follow.kind.to_owned());
                all.run_ats.push(follow.run_at);
                all.payloads.push(follow.payload.clone());
            }
        }
        all
    }
}

/// Gives the claim up for good, inside the transaction that ends its job. `None`: it was gone.
async fn take_claim(tx: &mut PgTransaction<'_>, claim: Claim) -> Result<Option<Option<Uuid>>, LedgerError> {
    let row = sqlx::query_scalar!(
        r#"DELETE FROM claim c USING job j
           WHERE c.job_id = $1 AND c.epoch = $2 AND c.worker_inc = $3 AND j.id = c.job_id
           RETURNING j.publication_id"#,
        claim.job_id,
        claim.epoch,
        claim.worker_inc,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row)
}

/// Whether somebody wrote to the job since it was claimed: what failed, or was too late, is then not what is wanted
/// any more (I11).
async fn overtaken(tx: &mut PgTransaction<'_>, id: Uuid, claim: Claim) -> Result<bool, LedgerError> {
    // the publication first, as whoever changes it locks it first; the next statement then sees what they wrote
    sqlx::query!("SELECT id FROM publication WHERE id = $1 FOR UPDATE", id).fetch_one(&mut **tx).await?;
    let epoch = sqlx::query_scalar!("SELECT epoch FROM job WHERE id = $1", claim.job_id);
    Ok(epoch.fetch_one(&mut **tx).await? != claim.epoch)
}

async fn move_publication(tx: &mut PgTransaction<'_>, id: Uuid, end: &End<'_>) -> Result<bool, LedgerError> {
    let moved = sqlx::query!(
        r#"UPDATE publication
           SET state = $3::text::publication_state, error = $4, updated_at = ledger_now(),
               hold_reason = CASE WHEN $3 = 'held' THEN $5 ELSE hold_reason END,
               next_check_at = CASE WHEN $3 = 'unknown' THEN ledger_now() END,
               absent_since = NULL
           WHERE id = $1 AND state = ANY($2::text[]::publication_state[])
             AND state <> 'unknown' -- which only evidence leaves
             -- what was committed and taken is only observed; it is never called failed or cancelled on a guess
             AND NOT (state = 'waiting' AND handle_state = 'spent' AND $3 IN ('failed', 'cancelled'))
             -- what was sent and is not dead may be carried out late: it is taken back first
             AND NOT ($6 AND handle_state <> 'dead' AND was_sent(id, handle_id, interval '100 years'))
             -- a person may have given it another time meanwhile
             AND NOT ($7 AND latest_at >= ledger_now())
             -- only what was sent is held for want of proof
             AND NOT ($8 AND handle_state <> 'spent'
                      AND (handle_state = 'dead' OR NOT was_sent(id, handle_id, interval '100 years')))"#,
        id,
        &words(end.step.from()),
        end.step.to().word(),
        kept(end.failure),
        end.failure.message,
        matches!(end.step, Move::Fail | Move::Cancel | Move::Expire),
        end.step == Move::Expire,
        end.step == Move::Hold,
    )
    .execute(&mut **tx)
    .await?;
    if end.step == Move::Lose {
        doubt_commits(tx, &[id], &end.failure.to_string()).await?;
    }
    Ok(moved.rows_affected() == 1)
}

/// The open commit calls of these publications are in doubt from now on.
pub(super) async fn doubt_commits(tx: &mut PgConnection, ids: &[Uuid], why: &str) -> Result<(), LedgerError> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"UPDATE remote_call SET verdict = 'ambiguous', finished_at = coalesce(finished_at, ledger_now()),
                  remote_message = coalesce(remote_message, $2)
           WHERE publication_id = ANY($1) AND kind = 'commit' AND verdict IS NULL"#,
        ids,
        why,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves jobs whose claims are gone into the history; returns how many there were.
pub(super) async fn bury(
    tx: &mut PgConnection,
    ids: &[Uuid],
    outcome: Outcome,
    failure: &Failure,
) -> Result<usize, LedgerError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let kinds = sqlx::query_scalar!(
        r#"WITH d AS (
               DELETE FROM job WHERE id = ANY($1)
               RETURNING id, kind, ver, workspace_id, account_id, publication_id, epoch, attempt, crash_count, troubled_at,
                         payload, created_at)
           INSERT INTO job_history (id, kind, ver, workspace_id, account_id, publication_id, epoch, attempt, crash_count,
                                    troubled_at, payload, outcome, reason, created_at)
           SELECT id, kind, ver, workspace_id, account_id, publication_id, epoch, attempt, crash_count, troubled_at,
                  payload, $2::text::attempt_outcome, $3, created_at
           FROM d
           RETURNING kind"#,
        ids,
        outcome.word(),
        failure.to_string(),
    )
    .fetch_all(&mut *tx)
    .await?;
    if kinds.iter().any(|kind| kind == TakeDown::KIND) {
        take_down::refuse(tx, ids, failure).await?;
    }
    if kinds.iter().any(|kind| kind == AiAnalysis::KIND) {
        analyses::give_up(tx, ids, failure).await?;
    }
    if kinds.iter().any(|kind| kind == Webhook::KIND) {
        deliveries::give_up(tx, ids, failure).await?;
    }
    let buried = kinds.len();
    if outcome == Outcome::Dead {
        for kind in kinds {
            let cause = failure.code.clone();
            metrics::counter!("postroom_dead_letter_total", "kind" => kind, "cause" => cause).increment(1);
        }
    }
    Ok(buried)
}
