//! What is asked of the provider, bound to one claim: set aside before, counted after.
//!
//! A reservation is a row that is there before anything is sent. Whoever finds one of its own job open was preceded by
//! somebody who crashed between asking and hearing: it may have been paid for, so it counts in full from then on.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate};
use jobs::{
    analysis::{
        Analyses, Analysis, Asked, End, Kind, Language, Material, Outcome, Policy, Reserved, Sent, Settled,
        figures::{self, Figure},
        money::Micros,
        words::{Authored, FromNetwork},
    },
    contract::{Class, Failure, JobError},
    desk::File,
    metrics::series::columns,
};
use serde_json::json;
use sqlx::{PgConnection, PgTransaction};
use uuid::Uuid;

use super::{Claim, Ledger, LedgerError, analyses, claims::interval, settle::kept, telling::until_heard};

/// How often the same may be asked for one analysis without an answer that can be used.
const MOST_IN_VAIN: usize = 2;
/// Whoever waits for somebody else's answer looks again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The analyses of one claimed job.
pub struct ClaimedAnalyses<'a> {
    /// Where they are.
    pub ledger: &'a Ledger,
    /// The fence.
    pub claim: Claim,
    /// What a workspace that has decided nothing lets be done.
    pub defaults: Policy,
}

#[async_trait]
impl Analyses for ClaimedAnalyses<'_> {
    async fn look(&self, id: Uuid) -> Result<Option<Analysis>, JobError> {
        Ok(self.open(id).await?)
    }

    async fn answered(&self, asked: &Asked<'_>) -> Result<Option<String>, JobError> {
        let mut connection = self.ledger.pool.acquire().await.map_err(LedgerError::from)?;
        Ok(answer_of(&mut connection, asked).await?)
    }

    async fn reserve(
        &self,
        asked: &Asked<'_>,
        sent: &[Sent],
        most: Micros,
        within: Duration,
    ) -> Result<Reserved, JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        let analysis = asked.analysis;
        // what the workspace lets be done may have changed since it was looked at: from there on it is asked anew
        let policy = analyses::decided(&mut tx, analysis.workspace_id).await?.over(self.defaults);
        if policy != analysis.policy {
            tx.rollback().await.map_err(LedgerError::from)?;
            return Ok(Reserved::Busy(self.ledger.now().await?));
        }
        give_up_lost(&mut tx, asked).await?;
        let reserved = if let Some(vain) = in_vain(&mut tx, asked).await? {
            vain
        } else if let Some(busy) = busy(&mut tx, asked).await? {
            busy
        } else {
            match set_aside(&mut tx, analysis, most).await? {
                Err(over) => over,
                Ok(month) => {
                    let Some(call) = open(&mut tx, asked, sent, most, month, within).await? else {
                        // somebody began to ask the same at this very moment; nothing is set aside for it twice
                        tx.rollback().await.map_err(LedgerError::from)?;
                        return Ok(Reserved::Busy(self.ledger.now().await? + LOOK_AGAIN));
                    };
                    // whoever asked the same may have had the answer since it was looked for: from now on nobody does
                    let answer = answer_of(&mut tx, asked).await?;
                    if answer.is_some() && answer != asked.useless {
                        tx.rollback().await.map_err(LedgerError::from)?;
                        return Ok(Reserved::Busy(self.ledger.now().await?));
                    }
                    Reserved::Call(call)
                }
            }
        };
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(reserved)
    }

    async fn settle(&self, call: Uuid, settled: &Settled) -> Result<(), JobError> {
        let (ledger, settled) = (self.ledger.clone(), settled.clone());
        let telling = until_heard(move || {
            let (ledger, settled) = (ledger.clone(), settled.clone());
            async move {
                match ledger.settle_call(call, &settled).await {
                    // told twice it counts once
                    Err(LedgerError::Undecided(_)) => ledger.settle_call(call, &settled).await,
                    heard => heard,
                }
            }
        });
        Ok(telling.await?)
    }

    async fn end(&self, id: Uuid, end: &End) -> Result<(), JobError> {
        let done = sqlx::query!(
            "UPDATE analysis
             SET state = $2::text::analysis_state, result = $3, error = $4, prompt = $5, model = $6, cached = $7,
                 ended_at = ledger_now()
             WHERE id = $1 AND state = 'waiting'
               AND EXISTS (SELECT FROM claim WHERE job_id = $8 AND epoch = $9 AND worker_inc = $10)",
            id,
            end.outcome.word(),
            end.result,
            end.failure.as_ref().map(kept),
            end.prompt,
            end.model,
            end.cached,
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(LedgerError::from)?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(JobError::Fenced) }
    }
}

impl ClaimedAnalyses<'_> {
    async fn open(&self, id: Uuid) -> Result<Option<Analysis>, LedgerError> {
        let mut connection = self.ledger.pool.acquire().await?;
        let row = sqlx::query!(
            r#"SELECT a.workspace_id, a.kind, a.language, a.platforms, a.brief, a.post_id, a.account_id, a.month,
                      array(SELECT name FROM account WHERE workspace_id = a.workspace_id
                            -- whoever works there is named nowhere else either
                            UNION ALL
                            SELECT p.first_name || ' ' || p.last_name
                            FROM membership m JOIN person p ON p.id = m.person_id
                            WHERE m.workspace_id = a.workspace_id) AS "names!",
                      array(SELECT external_id FROM account WHERE workspace_id = a.workspace_id) AS "ids!",
                      -- of all that was ever published only what somebody has copied from there
                      array(SELECT p.public_id FROM publication p
                            WHERE p.workspace_id = a.workspace_id AND p.public_id IS NOT NULL
                              AND strpos(a.brief, p.public_id) > 0 LIMIT 5) AS "published!"
               FROM analysis a WHERE a.id = $1 AND a.state = 'waiting'"#,
            id,
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let decided = analyses::decided(&mut connection, row.workspace_id).await?;
        let month = row.account_id.zip(row.month);
        let media = sqlx::query!(
            "SELECT m.object_key, m.type AS content_type, m.bytes, m.width, m.duration_ms
             FROM analysis_media am JOIN media m ON m.id = am.media_id WHERE am.analysis_id = $1 ORDER BY am.position",
            id,
        )
        .fetch_all(&mut *connection)
        .await?;
        // what is read besides takes a connection of its own
        drop(connection);
        let counted = self.counted(row.workspace_id, row.post_id, month).await?;
        let files = media.into_iter().map(|row| {
            let (bytes, width) = (row.bytes.unsigned_abs(), row.width.unsigned_abs());
            let file = File { key: row.object_key, content_type: row.content_type, bytes, width };
            Material { file, duration_ms: row.duration_ms.map(i64::unsigned_abs) }
        });
        let unreadable = || LedgerError::Unreadable(format!("an analysis {} in {}", row.kind, row.language));
        Ok(Some(Analysis {
            id,
            workspace_id: row.workspace_id,
            kind: Kind::parse(&row.kind).ok_or_else(unreadable)?,
            language: Language::parse(&row.language).ok_or_else(unreadable)?,
            platforms: row.platforms,
            // typed by whoever asked, and by whoever runs the workspace, for this and nothing else
            brief: Authored::by_a_person(row.brief),
            policy: decided.over(self.defaults),
            brand: Authored::by_a_person(decided.brand),
            media: files.collect(),
            figures: FromNetwork::new(counted),
            month: row.month,
            names: row.names.into_iter().map(FromNetwork::new).collect(),
            ids: row.ids.into_iter().chain(row.published).map(FromNetwork::new).collect(),
        }))
    }

    /// What networks have counted of the post, or of the account in the month.
    async fn counted(
        &self,
        workspace: Uuid,
        post: Option<Uuid>,
        month: Option<(Uuid, NaiveDate)>,
    ) -> Result<Vec<Figure>, LedgerError> {
        let mut found = Vec::new();
        if let Some(post) = post {
            let (from, to) = (DateTime::UNIX_EPOCH, self.ledger.now().await?);
            let counted = self.ledger.counted_of_post(workspace, post).await?.unwrap_or_default();
            for number in counted.iter().filter_map(|it| it.number) {
                let rows = self.ledger.snapshots(number, from, to).await?;
                found.extend(figures::of_post(&columns(&rows).0));
            }
        }
        if let Some((account, first)) = month
            && let Some((from, to)) = figures::span(first)
            && let Some(counted) = self.ledger.counted_of_account(workspace, account).await?
            && let Some(number) = counted.number
        {
            let rows = self.ledger.snapshots(number, from, to).await?;
            found.extend(figures::of_month(&columns(&rows).0, first));
        }
        Ok(found)
    }
}

impl Ledger {
    async fn settle_call(&self, call: Uuid, settled: &Settled) -> Result<(), LedgerError> {
        let tokens = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        let lost = settled.cost.is_none();
        let done = sqlx::query!(
            r#"WITH before AS (
                   SELECT id, workspace_id, month, counted_micros FROM analysis_call
                   -- what was given up for lost, and is heard after all, is counted as what it cost
                   WHERE id = $1 AND (state = 'open' OR state = 'lost' AND $4::bigint IS NOT NULL) FOR UPDATE),
               moved AS (
                   UPDATE analysis_call c
                   SET state = $2::text::analysis_call_state, outcome = $3, counted_micros = coalesce($4, c.counted_micros),
                       input_tokens = $5, output_tokens = $6, answer = $7, error = $8, ended_at = ledger_now()
                   FROM before WHERE c.id = before.id)
               UPDATE analysis_month m
               SET counted_micros = m.counted_micros + coalesce($4, before.counted_micros) - before.counted_micros
               FROM before WHERE m.workspace_id = before.workspace_id AND m.month = before.month"#,
            call,
            if lost { "lost" } else { "settled" },
            settled.outcome,
            settled.cost.map(|cost| cost.0),
            settled.usage.map(|usage| tokens(usage.input)),
            settled.usage.map(|usage| tokens(usage.output)),
            settled.answer,
            settled.error.as_ref().map(kept),
        )
        .execute(&self.pool)
        .await?;
        if lost {
            metrics::counter!("postroom_analysis_answers_lost_total").increment(done.rows_affected());
        }
        Ok(())
    }
}

/// What the same question was answered with last.
async fn answer_of(connection: &mut PgConnection, asked: &Asked<'_>) -> Result<Option<String>, LedgerError> {
    let answer = sqlx::query_scalar!(
        r#"SELECT answer AS "answer!" FROM analysis_call
               WHERE workspace_id = $1 AND digest = $2 AND prompt = $3 AND model = $4 AND answer IS NOT NULL
               ORDER BY began_at DESC LIMIT 1"#,
        asked.analysis.workspace_id,
        &asked.digest,
        asked.prompt,
        asked.model,
    );
    Ok(answer.fetch_optional(connection).await?)
}

/// What this job had asked before it was taken over, and what somebody asked and never came back to.
async fn give_up_lost(tx: &mut PgTransaction<'_>, asked: &Asked<'_>) -> Result<(), LedgerError> {
    let lost = sqlx::query!(
        "UPDATE analysis_call SET state = 'lost', outcome = 'lost', ended_at = ledger_now()
         WHERE state = 'open'
           AND (analysis_id = $1
                OR workspace_id = $2 AND digest = $3 AND prompt = $4 AND model = $5 AND open_until <= ledger_now())",
        asked.analysis.id,
        asked.analysis.workspace_id,
        &asked.digest,
        asked.prompt,
        asked.model,
    )
    .execute(&mut **tx)
    .await?;
    if lost.rows_affected() > 0 {
        let (analysis, calls) = (asked.analysis.id, lost.rows_affected());
        tracing::warn!(%analysis, calls, "answers were lost; they may have been paid for, and count in full");
        metrics::counter!("postroom_analysis_answers_lost_total").increment(calls);
    }
    Ok(())
}

/// What the same question came to for the same analysis, where it is not to be asked again: the model would not, its answer
/// was cut, or it came to nothing as often as it may.
async fn in_vain(tx: &mut PgTransaction<'_>, asked: &Asked<'_>) -> Result<Option<Reserved>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT outcome AS "outcome!", error FROM analysis_call
           WHERE analysis_id = $1 AND digest = $2 AND prompt = $3 AND model = $4
             AND outcome IN ('lost', 'invalid', 'refused', 'cut')
           ORDER BY began_at DESC, id DESC"#,
        asked.analysis.id,
        &asked.digest,
        asked.prompt,
        asked.model,
    );
    let mut rows = rows.fetch_all(&mut **tx).await?;
    let heard = rows.iter().find_map(|row| Some((ended_as(&row.outcome)?, row.error.clone())));
    if let Some((outcome, error)) = heard {
        let why = "it was asked before, and nothing that can be used came of it";
        let failure = match error {
            Some(error) => serde_json::from_value(error)
                .map_err(|error| LedgerError::Unreadable(format!("why a call came to nothing: {error}")))?,
            // a call from before it was written down
            None => Failure::new(Class::Permanent, outcome.word(), why),
        };
        return Ok(Some(Reserved::InVain(outcome, failure)));
    }
    Ok((rows.len() >= MOST_IN_VAIN).then(|| Reserved::TooOften(rows.swap_remove(0).outcome)))
}

/// How an analysis ends that a call with this outcome ends; none: it may be asked again.
fn ended_as(outcome: &str) -> Option<Outcome> {
    [Outcome::Refused, Outcome::Cut].into_iter().find(|end| end.word() == outcome)
}

async fn busy(tx: &mut PgTransaction<'_>, asked: &Asked<'_>) -> Result<Option<Reserved>, LedgerError> {
    let until = sqlx::query_scalar!(
        r#"SELECT least(open_until, ledger_now() + $5) AS "until!" FROM analysis_call
           WHERE workspace_id = $1 AND digest = $2 AND prompt = $3 AND model = $4 AND state = 'open'"#,
        asked.analysis.workspace_id,
        &asked.digest,
        asked.prompt,
        asked.model,
        interval(LOOK_AGAIN),
    );
    Ok(until.fetch_optional(&mut **tx).await?.map(Reserved::Busy))
}

/// Adds to what the month counts, if that stays within what it may cost: in which month that is. Else what is left.
async fn set_aside(
    tx: &mut PgTransaction<'_>,
    analysis: &Analysis,
    most: Micros,
) -> Result<Result<NaiveDate, Reserved>, LedgerError> {
    let row = sqlx::query!(
        "INSERT INTO analysis_month AS m (workspace_id, month)
         VALUES ($1, date_trunc('month', ledger_now() AT TIME ZONE 'UTC')::date)
         -- where it is there, whoever counts in it next waits for this one
         ON CONFLICT (workspace_id, month) DO UPDATE SET counted_micros = m.counted_micros
         RETURNING month, counted_micros",
        analysis.workspace_id,
    )
    .fetch_one(&mut **tx)
    .await?;
    let left = analysis.policy.monthly.0 - row.counted_micros;
    if most.0 > left {
        return Ok(Err(Reserved::OverBudget(Micros(left.max(0)))));
    }
    sqlx::query!(
        "UPDATE analysis_month SET counted_micros = counted_micros + $3 WHERE workspace_id = $1 AND month = $2",
        analysis.workspace_id,
        row.month,
        most.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(Ok(row.month))
}

async fn open(
    tx: &mut PgTransaction<'_>,
    asked: &Asked<'_>,
    sent: &[Sent],
    most: Micros,
    month: NaiveDate,
    within: Duration,
) -> Result<Option<Uuid>, LedgerError> {
    let id = Uuid::now_v7();
    let opened = sqlx::query!(
        "INSERT INTO analysis_call (id, analysis_id, workspace_id, month, digest, prompt, model, sent, counted_micros,
                                    open_until)
         VALUES ($1, $2, $3, $10, $4, $5, $6, $7, $8, ledger_now() + $9::interval)
         -- waits for whoever asks the same at this moment
         ON CONFLICT (workspace_id, digest, prompt, model) WHERE state = 'open' DO NOTHING",
        id,
        asked.analysis.id,
        asked.analysis.workspace_id,
        &asked.digest,
        asked.prompt,
        asked.model,
        json!(sent),
        most.0,
        interval(within),
        month,
    )
    .execute(&mut **tx)
    .await?;
    Ok((opened.rows_affected() == 1).then_some(id))
}
