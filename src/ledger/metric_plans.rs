//! Whose numbers are asked for, and when: plans are opened for what has come out, jobs made for whose turn it is, and old
//! snapshots rolled up.

use std::time::Duration;

use jobs::metrics::{Object, Plan};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Entry},
    claims::interval,
    control::Refusal,
    idempotency::Once,
    jobs::{JobRow, Write, one},
};

/// The table that is kept by month.
const BY_MONTH: &str = "snapshot";
/// The most plans that are opened by one statement.
const MOST: i64 = 1_000;

impl Ledger {
    /// Opens the plans of up to a thousand publications that came out within `reach` and have none, and of accounts
    /// without one. Returns how many.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn open_metric_plans(&self, plan: &Plan, reach: Duration) -> Result<u64, LedgerError> {
        let opened = sqlx::query!(
            r#"WITH posts AS (
                   INSERT INTO metric_plan (workspace_id, account_id, publication_id, object, since, due_at)
                   SELECT p.workspace_id, p.account_id, p.id, x.object, p.published_at,
                          p.published_at + CASE WHEN x.object = 'story' THEN $2::interval ELSE $1::interval END
                   FROM account a
                   CROSS JOIN LATERAL (
                       SELECT p.id, p.workspace_id, p.account_id, p.surface, p.published_at FROM publication p
                       WHERE p.account_id = a.id AND p.public_id IS NOT NULL AND p.state = 'published'
                         AND p.published_at > ledger_now() - $3::interval AND p.surface <> 'comment'
                         AND NOT EXISTS (SELECT FROM metric_plan m WHERE m.publication_id = p.id)
                       LIMIT $4) p
                   CROSS JOIN LATERAL (
                       SELECT CASE WHEN p.surface = 'story' THEN 'story'
                                   WHEN p.surface = 'reel' AND a.platform <> 'tiktok' THEN 'reel'
                                   ELSE 'post' END AS object) x
                   WHERE a.state = 'active'
                   LIMIT $4
                   ON CONFLICT DO NOTHING
                   RETURNING number),
               accounts AS (
                   INSERT INTO metric_plan (workspace_id, account_id, object, since, due_at)
                   SELECT a.workspace_id, a.id, 'account', ledger_now(), ledger_now() + $1 FROM account a
                   WHERE a.state = 'active'
                     AND NOT EXISTS (SELECT FROM metric_plan m WHERE m.account_id = a.id AND m.publication_id IS NULL)
                   LIMIT $4
                   ON CONFLICT DO NOTHING
                   RETURNING number)
               SELECT (SELECT count(*) FROM posts) + (SELECT count(*) FROM accounts) AS "opened!""#,
            interval(plan.first_after(Object::Post)),
            interval(plan.first_after(Object::Story)),
            interval(reach),
            MOST,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(opened.opened.unsigned_abs())
    }

    /// Makes the job of each account that has something due and no job, out of the `most` objects that are due the
    /// longest. Returns how many.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn snapshots_due(&self, most: i64) -> Result<usize, LedgerError> {
        let ids: Vec<Uuid> = (0..most).map(|_| Uuid::now_v7()).collect();
        let made = sqlx::query_scalar!(
            r#"WITH due AS (
                   SELECT m.account_id, m.workspace_id FROM metric_plan m JOIN account a ON a.id = m.account_id
                   WHERE m.due_at <= ledger_now() AND a.state = 'active'
                     AND (a.resting_until IS NULL OR a.resting_until <= ledger_now())
                     AND NOT EXISTS (SELECT FROM job j WHERE j.kind = 'metric_snapshot' AND j.account_id = m.account_id)
                     AND NOT EXISTS (SELECT FROM consent_withdrawal c
                                     WHERE c.workspace_id = m.workspace_id AND c.purpose = 'analytics')
                   ORDER BY m.due_at LIMIT $1),
               accounts AS (SELECT DISTINCT account_id, workspace_id FROM due),
               numbered AS (
                   SELECT account_id, workspace_id, row_number() OVER (ORDER BY account_id) AS n FROM accounts)
               INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
               SELECT x.id, 'metric_snapshot', numbered.workspace_id, numbered.account_id, ledger_now(),
                      jsonb_build_object('account_id', numbered.account_id)
               FROM numbered JOIN unnest($2::uuid[]) WITH ORDINALITY AS x (id, n) ON x.n = numbered.n
               ON CONFLICT DO NOTHING -- another worker was faster
               RETURNING id"#,
            most,
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(made.len())
    }

    /// Makes the partitions of the months around this one.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn make_months(&self) -> Result<(), LedgerError> {
        sqlx::query!("SELECT make_snapshot_partitions()").execute(&self.pool).await?;
        Ok(())
    }

    /// Runs a write that keeps a snapshot; where its month has no partition yet, makes it and runs the write again.
    pub(super) async fn kept_by_month<T, F>(&self, write: impl Fn() -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        match write().await {
            Err(LedgerError::Refused { constraint }) if constraint == BY_MONTH => {
                self.make_months().await?;
                write().await
            }
            other => other,
        }
    }

    /// How many metrics networks do not tell, each counted once whatever the number of accounts.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn refused_metrics(&self) -> Result<i64, LedgerError> {
        let count = sqlx::query_scalar!(r#"SELECT count(DISTINCT metric) AS "refused!" FROM metric_refusal"#);
        Ok(count.fetch_one(&self.pool).await?)
    }

    /// For how many seconds the object that is due the longest has been due; 0 where none is.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn snapshot_lag(&self) -> Result<f64, LedgerError> {
        let lag = sqlx::query_scalar!(
            r#"SELECT extract(epoch FROM ledger_now() - m.due_at)::float8 AS "lag!"
               FROM metric_plan m JOIN account a ON a.id = m.account_id
               WHERE m.due_at <= ledger_now() AND a.state = 'active'
                 AND NOT EXISTS (SELECT FROM consent_withdrawal c
                                 WHERE c.workspace_id = m.workspace_id AND c.purpose = 'analytics')
               ORDER BY m.due_at LIMIT 1"#,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(lag.unwrap_or_default())
    }
}

impl Ledger {
    /// Makes an account's objects that are followed due now, because somebody asked, with the job that asks about them. While
    /// all of them are, that job is the answer to whoever asks again; what is more than that, a workspace may wish for so
    /// often in an hour (0: as often as it likes), and it is written down.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn ask_snapshot(
        &self,
        write: &Write<'_>,
        most: u32,
    ) -> Result<Once<Result<JobRow, Refusal>>, LedgerError> {
        let asked = write.keyed.map(|(asked, _)| asked);
        let mut tx = match self.begin_once(asked).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        let row = match wished(&mut tx, write, most).await? {
            Ok(wish) => {
                let row = one(&mut tx, None, wish.job).await?;
                if let Some(row) = row.as_ref().filter(|_| wish.new) {
                    self.note_snapshot(&mut tx, write.id, row).await?;
                }
                row.ok_or(Refusal::Missing)
            }
            Err(refusal) => Err(refusal),
        };
        let answer = row.as_ref().ok().zip(write.keyed).map(|(row, (_, answer))| answer(row));
        self.commit_once(tx, asked, answer.as_ref()).await?;
        Ok(Once::Done(row))
    }

    async fn note_snapshot(
        &self,
        tx: &mut PgConnection,
        account: Uuid,
        row: &JobRow,
    ) -> Result<(), LedgerError> {
        let entry = Entry {
            who: self.who(),
            action: Action::SnapshotAsked,
            object: "account",
            object_id: account.to_string(),
            workspace_id: Some(row.workspace_id),
            detail: json!({ "job": row.id }),
        };
        audit::record(tx, &entry).await
    }
}

/// The job that does what was wished.
struct Wish {
    job: Uuid,
    /// It was not wished before.
    new: bool,
}

async fn wished(
    tx: &mut PgConnection,
    write: &Write<'_>,
    most: u32,
) -> Result<Result<Wish, Refusal>, LedgerError> {
    let account = sqlx::query!(
        r#"SELECT workspace_id, state::text AS "state!",
                  EXISTS (SELECT FROM consent_withdrawal c
                          WHERE c.workspace_id = account.workspace_id AND c.purpose = 'analytics') AS "withdrawn!"
           FROM account
           WHERE id = $1 AND ($2::uuid IS NULL OR workspace_id = $2) AND state <> 'erased' FOR SHARE"#,
        write.id,
        write.workspace_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(account) = account else { return Ok(Err(Refusal::Missing)) };
    if account.state != "active" {
        return Ok(Err(Refusal::Account(account.state)));
    }
    if account.withdrawn {
        return Ok(Err(Refusal::Withdrawn));
    }
    // two that ask at once do it one after the other
    sqlx::query!("SELECT id FROM workspace WHERE id = $1 FOR NO KEY UPDATE", account.workspace_id)
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(job) = waiting(&mut *tx, write.id).await? {
        return Ok(Ok(Wish { job, new: false }));
    }
    if let Some(seconds) = wait(&mut *tx, account.workspace_id, most).await? {
        return Ok(Err(Refusal::TooOften(seconds)));
    }
    sqlx::query!(
        "WITH itself AS (
             INSERT INTO metric_plan (workspace_id, account_id, object, since, due_at)
             VALUES ($2, $1, 'account', ledger_now(), ledger_now()) ON CONFLICT DO NOTHING)
         UPDATE metric_plan SET due_at = ledger_now() WHERE account_id = $1 AND due_at > ledger_now()",
        write.id,
        account.workspace_id,
    )
    .execute(&mut *tx)
    .await?;
    let id = sqlx::query_scalar!(
        r#"INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
           VALUES ($1, 'metric_snapshot', $2, $3, ledger_now(), jsonb_build_object('account_id', $3::uuid))
           ON CONFLICT (account_id) WHERE kind = 'metric_snapshot' DO UPDATE
           SET run_at = least(job.run_at, excluded.run_at),
               -- what runs is not interrupted: it goes on with whatever is due
               epoch = job.epoch + CASE WHEN EXISTS (SELECT FROM claim c WHERE c.job_id = job.id) THEN 0 ELSE 1 END
           RETURNING id"#,
        Uuid::now_v7(),
        account.workspace_id,
        write.id,
    )
    .fetch_one(tx)
    .await?;
    Ok(Ok(Wish { job: id, new: true }))
}

/// The account's job, where it may run now and everything that is followed there is due already.
async fn waiting(tx: &mut PgConnection, account: Uuid) -> Result<Option<Uuid>, LedgerError> {
    let job = sqlx::query_scalar!(
        "SELECT j.id FROM job j
         WHERE j.kind = 'metric_snapshot' AND j.account_id = $1 AND j.run_at <= ledger_now()
           AND EXISTS (SELECT FROM metric_plan m WHERE m.account_id = $1 AND m.publication_id IS NULL)
           AND NOT EXISTS (SELECT FROM metric_plan m WHERE m.account_id = $1 AND m.due_at > ledger_now())",
        account,
    );
    Ok(job.fetch_optional(tx).await?)
}

/// How many seconds a workspace has to wait that has asked so often within the hour.
async fn wait(tx: &mut PgConnection, workspace: Uuid, most: u32) -> Result<Option<u32>, LedgerError> {
    let Some(before) = most.checked_sub(1) else { return Ok(None) };
    let seconds = sqlx::query_scalar!(
        r#"SELECT ceil(extract(epoch FROM a.at + interval '1 hour' - ledger_now()))::bigint AS "seconds!" FROM audit a
           WHERE a.workspace_id = $1 AND a.action = $2 AND a.at > ledger_now() - interval '1 hour'
           ORDER BY a.at DESC OFFSET $3 LIMIT 1"#,
        workspace,
        Action::SnapshotAsked.word(),
        i64::from(before),
    );
    let seconds = seconds.fetch_optional(tx).await?;
    Ok(seconds.map(|seconds| u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)))
}
