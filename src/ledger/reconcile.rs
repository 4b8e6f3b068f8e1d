//! The ledger's side of unknown outcomes: which to look at, and what the evidence allowed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::{
    contract::{Class, Failure},
    desk::Publication,
    machine::{HandleState, Move, Public},
    ruling::Case,
};
use serde_json::json;
use sqlx::{PgConnection, PgTransaction};
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    posts::failure,
    settle::{kept, words},
};
use crate::ledger::{claims::interval, workers::end_crashed};

/// A publication whose commit nobody can vouch for.
#[derive(Debug)]
pub struct Doubt {
    /// The commit call that is judged; evidence about another closes nothing.
    pub call: Option<Uuid>,
    /// The network has said that this call took effect, and only the recording of it was cut short.
    pub heard: Option<Public>,
    /// What the call ended with, read as it is meant if nothing took effect.
    pub refusal: Option<Failure>,
    /// What the machine decides by.
    pub case: Case,
    /// The publication itself.
    pub publication: Publication,
}

/// What to write about a doubt that is decided, T9 excepted.
#[derive(Debug, Clone)]
pub struct Decision<'a> {
    /// The way out of unknown.
    pub step: Move,
    /// What is known of the handle from now on.
    pub handle: HandleState,
    /// What people are told.
    pub failure: Option<&'a Failure>,
    /// A job that has ended so many workers ends itself.
    pub crash_limit: i32,
    /// What has been sent in vain so often is given up.
    pub attempts: u32,
}

impl Decision<'_> {
    /// It is to be sent again: what was sent led to nothing.
    fn sends_again(&self) -> bool {
        matches!(self.step, Move::Rearm | Move::Replace)
    }
}

impl Doubt {
    /// The answer speaks of the account's access, which its owner has to mend before anything is sent again.
    fn wants_its_owner(&self) -> bool {
        self.refusal.as_ref().is_some_and(|it| matches!(it.class, Class::Auth | Class::Permission))
    }

    /// The answer was a refusal for good.
    fn is_refused(&self) -> bool {
        self.refusal.as_ref().is_some_and(|it| it.class == Class::Permanent)
    }
}

impl Ledger {
    /// Takes up to `most` unknown publications that are due for a look, and puts their next look off by
    /// `lease`, so that workers do not all ask the network at once.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn doubtful(&self, most: i64, lease: Duration) -> Result<Vec<Uuid>, LedgerError> {
        let ids = sqlx::query_scalar!(
            r#"UPDATE publication SET next_check_at = ledger_now() + $2
               WHERE id IN (SELECT id FROM publication WHERE state = 'unknown' AND next_check_at <= ledger_now()
                            ORDER BY next_check_at LIMIT $1
                            -- skip locked: two reconcilers may look at once
                            FOR UPDATE SKIP LOCKED)
               RETURNING id"#,
            most,
            interval(lease),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids)
    }

    /// Takes up to `most` published publications whose name or address is not known yet and that are due for a look.
    /// The next look is put off by as long as they have been known to be public; after a day nobody asks any more.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn unnamed(&self, most: i64) -> Result<Vec<Uuid>, LedgerError> {
        let ids = sqlx::query_scalar!(
            r#"UPDATE publication
               SET next_check_at = CASE WHEN greatest(published_at, updated_at) > ledger_now() - interval '1 day'
                                        THEN ledger_now() + greatest(ledger_now() - greatest(published_at, updated_at),
                                                                     interval '5 seconds') END
               WHERE id IN (SELECT id FROM publication WHERE state = 'published' AND next_check_at <= ledger_now()
                            ORDER BY next_check_at LIMIT $1
                            -- skip locked: two reconcilers may look at once
                            FOR UPDATE SKIP LOCKED)
               RETURNING id"#,
            most,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids)
    }

    /// When the next publication is due for a look, because it is unknown or because its address is.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn next_doubt(&self) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let at = sqlx::query_scalar!(
            "SELECT least((SELECT min(next_check_at) FROM publication WHERE state = 'unknown'),
                          (SELECT min(next_check_at) FROM publication
                           WHERE state = 'published' AND next_check_at IS NOT NULL))"
        );
        Ok(at.fetch_one(&self.pool).await?)
    }

    /// A doubt with everything it is decided by; `None` once it is no doubt any more. `one_shot` tells whether no
    /// read can prove it absent.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn doubt(
        &self,
        id: Uuid,
        one_shot: impl FnOnce(&Publication) -> bool,
    ) -> Result<Option<Doubt>, LedgerError> {
        let row = sqlx::query!(
            // the call and its times in one statement: another one's times would judge it too early
            r#"SELECT greatest(p.armed_at, p.restored_at) AS armed_at, p.quarantine_until, p.absent_since, p.error, ledger_now() AS "now!",
                      p.cancel_requested_at IS NOT NULL OR a.frozen_at IS NOT NULL AS "cancel_wished!",
                      p.restored_at IS NOT NULL AS "restored!",
                      c.call_id AS "call?", coalesce(c.verdict IN ('ok', 'resolved_yes'), false) AS "heard!",
                      c.remote_ids ->> 'public_id' AS public_id
               FROM publication p JOIN account a ON a.id = p.account_id
               LEFT JOIN remote_call c ON c.publication_id = p.id AND c.kind = 'commit'
                    -- at most one, as the index one_effective_commit has it
                    AND (c.verdict IS NULL OR c.verdict IN ('ok', 'ambiguous', 'resolved_yes'))
               WHERE p.id = $1 AND p.state = 'unknown'"#,
            id,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let publication = self.publication(id).await?;
        let case = Case {
            now: row.now,
            armed_at: row.armed_at.unwrap_or(row.now),
            quarantine_until: row.quarantine_until.unwrap_or(row.now),
            absent_since: row.absent_since,
            cancel_wished: row.cancel_wished,
            one_shot: one_shot(&publication),
            restored: row.restored,
        };
        let heard = row.heard.then_some(Public { id: row.public_id, url: None });
        let refusal = row.error.map(|kept| failure(kept).out_of_doubt());
        Ok(Some(Doubt { call: row.call, heard, refusal, case, publication }))
    }

    /// Not decided: remembers the series of reads, and when the next is due.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn look_again(
        &self,
        id: Uuid,
        at: DateTime<Utc>,
        absent_since: Option<DateTime<Utc>>,
    ) -> Result<(), LedgerError> {
        sqlx::query!(
            "UPDATE publication SET next_check_at = $2, absent_since = $3 WHERE id = $1 AND state = 'unknown'",
            id,
            at,
            absent_since,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Leaves unknown by evidence. False: another was faster, or the evidence is about another call.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn decide(&self, doubt: &Doubt, decision: &Decision<'_>) -> Result<bool, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let proves_absence = !matches!(decision.step, Move::Carry | Move::Hold);
        let rests = decision.sends_again() && doubt.wants_its_owner();
        // the account first, as arming locks it first
        if rests {
            rest_refused(&mut tx, doubt).await?;
        }
        // the publication before its calls, as evidence locks it first
        if !leave(&mut tx, doubt, decision).await? || !judge_call(&mut tx, doubt, proves_absence).await? {
            return Ok(false);
        }
        if jobs::machine::State::WITH_JOB.contains(&decision.step.to()) {
            let spent = decision.step != Move::Carry;
            let job = insert_publish_job(&mut tx, doubt.publication.id, After::Doubt { spent }).await?;
            let crashed = sqlx::query_scalar!(
                "SELECT id FROM job WHERE id = $1 AND crash_count >= $2",
                job,
                decision.crash_limit
            );
            let crashed: Vec<Uuid> = crashed.fetch_all(&mut *tx).await?;
            end_crashed(&mut tx, &crashed, &[]).await?;
            if decision.sends_again() {
                give_up(&mut tx, doubt, decision, job).await?;
            }
            if rests {
                pause_resting(&mut tx, doubt).await?;
            }
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// The call must still be the one the evidence is about; absence closes it.
async fn judge_call(tx: &mut PgTransaction<'_>, doubt: &Doubt, absent: bool) -> Result<bool, LedgerError> {
    let rows = sqlx::query!(
        r#"UPDATE remote_call
           SET verdict = CASE WHEN $3 THEN 'resolved_no' ELSE verdict END::call_verdict,
               finished_at = coalesce(finished_at, ledger_now())
           WHERE call_id = $1 AND publication_id = $2 AND kind = 'commit' AND (verdict IS NULL OR verdict = 'ambiguous')"#,
        doubt.call,
        doubt.publication.id,
        absent,
    )
    .execute(&mut **tx)
    .await?;
    Ok(rows.rows_affected() == 1)
}

async fn leave(
    tx: &mut PgTransaction<'_>,
    doubt: &Doubt,
    decision: &Decision<'_>,
) -> Result<bool, LedgerError> {
    let rows = sqlx::query!(
        r#"UPDATE publication
           SET state = $3::text::publication_state, handle_state = $4::text::handle_state,
               error = coalesce($5, error), hold_reason = CASE WHEN $3 = 'held' THEN $6 END,
               next_check_at = NULL, absent_since = NULL, updated_at = ledger_now()
           WHERE id = $1 AND state = ANY($2::text[]::publication_state[])
             -- only what says yes may come before the quarantine has passed
             AND ($3 = 'waiting' OR quarantine_until <= ledger_now())"#,
        doubt.publication.id,
        &words(decision.step.from()),
        decision.step.to().word(),
        decision.handle.word(),
        decision.failure.map(kept),
        decision.failure.map(|failure| failure.message.as_str()),
    )
    .execute(&mut **tx)
    .await?;
    Ok(rows.rows_affected() == 1)
}

/// Gives up what was refused for good, or has spent its attempts. What was sent may be carried out late: the next run
/// fails it once its handle is dead.
async fn give_up(
    tx: &mut PgTransaction<'_>,
    doubt: &Doubt,
    decision: &Decision<'_>,
    job: Uuid,
) -> Result<(), LedgerError> {
    let Some(last) = doubt.refusal.as_ref().or(decision.failure) else { return Ok(()) };
    sqlx::query!(
        r#"UPDATE publication p SET given_up = coalesce(p.given_up, $3), error = coalesce(p.given_up, $3)
           FROM job j WHERE j.id = $1 AND p.id = j.publication_id AND (j.attempt >= $2 OR $4)"#,
        job,
        i32::try_from(decision.attempts).unwrap_or(i32::MAX),
        kept(last),
        doubt.is_refused(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Rests the account whose access was refused, unless it was renewed or connected anew since that was sent.
async fn rest_refused(tx: &mut PgTransaction<'_>, doubt: &Doubt) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"UPDATE account SET state = 'reconnect', state_reason = $2
           WHERE id = $1 AND state = 'active'
             AND greatest(connected_at, refreshed_at) < (SELECT c.started_at FROM remote_call c WHERE c.call_id = $3)"#,
        doubt.publication.account.id,
        doubt.refusal.as_ref().map(|refusal| refusal.message.as_str()),
        doubt.call,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Pauses the jobs of an account that rests. What was committed is observed on.
async fn pause_resting(tx: &mut PgTransaction<'_>, doubt: &Doubt) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"UPDATE job SET standing = 'paused', epoch = job.epoch + 1
           FROM account a WHERE a.id = $1 AND a.state <> 'active'
             AND job.account_id = a.id AND job.kind = 'publish' AND job.standing = 'active'
             AND NOT EXISTS (SELECT FROM publication p WHERE p.id = job.publication_id
                               AND p.state = 'waiting' AND p.handle_state = 'spent')"#,
        doubt.publication.account.id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a publication's new job goes on from.
pub(super) enum After {
    /// A person's word: it begins anew.
    Word,
    /// A doubt: what its last job has been through counts on, and so does the attempt that led there, if it led to
    /// nothing.
    Doubt {
        /// It led to nothing.
        spent: bool,
    },
}

/// Gives a publication a job, unless it has one; returns the job.
pub(super) async fn insert_publish_job(
    tx: &mut PgConnection,
    id: Uuid,
    after: After,
) -> Result<Uuid, LedgerError> {
    let spent = match after {
        After::Word => None,
        After::Doubt { spent } => Some(i32::from(spent)),
    };
    let job = sqlx::query_scalar!(
        r#"WITH made AS (
               INSERT INTO job (id, kind, workspace_id, account_id, publication_id, run_at, payload,
                                attempt, crash_count, troubled_at, standing)
               SELECT $2, 'publish', p.workspace_id, p.account_id, p.id, ledger_now(), $3,
                      coalesce(last.attempt + $4, 0), coalesce(last.crash_count, 0), last.troubled_at,
                      CASE WHEN p.handle_state <> 'spent' AND waits_for_approval(p.post_id)
                           THEN 'waits' ELSE 'active' END::job_standing
               FROM publication p LEFT JOIN LATERAL (
                   SELECT attempt, crash_count, troubled_at FROM job_history h
                   WHERE h.publication_id = p.id AND h.kind = 'publish' AND h.outcome = 'unknown'
                   ORDER BY h.finished_at DESC LIMIT 1) last ON $4::integer IS NOT NULL
               WHERE p.id = $1
               ON CONFLICT (publication_id) WHERE kind = 'publish' DO NOTHING
               RETURNING id)
           SELECT id AS "id!" FROM made
           UNION ALL SELECT id FROM job WHERE publication_id = $1 AND kind = 'publish' LIMIT 1"#,
        id,
        Uuid::now_v7(),
        json!({ "publication_id": id }),
        spent,
    )
    .fetch_one(tx)
    .await?;
    Ok(job)
}
