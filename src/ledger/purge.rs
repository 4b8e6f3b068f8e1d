//! Emptying the stores of one request, in the order of the register: each step is written down before anything in its
//! store is destroyed, goes on in batches, and counts them.

use jobs::{
    contract::JobError,
    forgetting::{Doomed, Purged},
};
use sqlx::{AssertSqlSafe, PgTransaction, postgres::PgQueryResult};
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    forgetting::ClaimedForgetting,
    register::{self, Purge, Store},
};

/// The first step: what is to go is written down by id, while it can still be found.
const MARKING: &str = "marking";
/// The files that are erased, or looked for, at a time.
const FILES: i64 = 16;

/// The steps, in order.
fn steps() -> impl Iterator<Item = &'static str> {
    std::iter::once(MARKING).chain(register::emptied().iter().map(|store| store.name))
}

fn store(name: &str) -> Option<&'static Store> {
    register::emptied().iter().find(|store| store.name == name)
}

/// The first step that is not done, and whether it was begun.
async fn current(
    tx: &mut PgTransaction<'_>,
    request: Uuid,
) -> Result<Option<(&'static str, bool)>, LedgerError> {
    let begun = sqlx::query!(
        r#"SELECT s.store, s.done_at IS NOT NULL AS "done!"
           FROM deletion_step s JOIN deletion_request r ON r.id = s.request_id AND r.round = s.round
           WHERE s.request_id = $1"#,
        request,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(steps().find_map(|step| match begun.iter().find(|row| row.store == step) {
        Some(row) if row.done => None,
        Some(_) => Some((step, true)),
        None => Some((step, false)),
    }))
}

/// Does the next part of the next step.
pub(super) async fn batch(it: &ClaimedForgetting<'_>, request: Uuid) -> Result<Purged, JobError> {
    let mut tx = it.ledger.fenced(it.claim).await?;
    let Some((step, begun)) = current(&mut tx, request).await? else { return Ok(Purged::All) };
    if !begun {
        begin(&mut tx, request, step).await?;
        tx.commit().await.map_err(LedgerError::from)?;
        return Ok(Purged::More);
    }
    match store(step).map(|store| store.purge) {
        None => {
            let marked = mark(&mut tx, request).await?;
            count(&mut tx, request, step, marked, true).await?;
        }
        Some(Purge::Objects) => {
            if waiting(&mut tx, request).await? {
                tx.commit().await.map_err(LedgerError::from)?;
                return Ok(Purged::Files);
            }
            count(&mut tx, request, step, 0, true).await?;
        }
        Some(Purge::Rows { of, .. }) => {
            let gone = remove(&mut tx, request, step, of, it.clocks.batch).await?;
            let last = gone < u64::try_from(it.clocks.batch).unwrap_or_default();
            count(&mut tx, request, step, gone, last).await?;
        }
        Some(Purge::Stays(_)) => {}
    }
    tx.commit().await.map_err(LedgerError::from)?;
    Ok(Purged::More)
}

async fn begin(tx: &mut PgTransaction<'_>, request: Uuid, step: &str) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"INSERT INTO deletion_step (request_id, round, store)
           SELECT id, round, $2 FROM deletion_request WHERE id = $1 AND stage = 'purging'
           ON CONFLICT DO NOTHING"#,
        request,
        step,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn count(
    tx: &mut PgTransaction<'_>,
    request: Uuid,
    step: &str,
    rows: u64,
    last: bool,
) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"WITH moved AS (UPDATE deletion_request SET moved_at = ledger_now() WHERE id = $1 RETURNING round)
           UPDATE deletion_step s
           SET erased = erased + $3, moved_at = ledger_now(), done_at = CASE WHEN $4 THEN ledger_now() END
           FROM moved WHERE s.request_id = $1 AND s.store = $2 AND s.round = moved.round"#,
        request,
        step,
        i64::try_from(rows).unwrap_or(i64::MAX),
        last,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes up to so many rows. Where they lie is part of what is looked up, so that no batch looks further than it must;
/// a partition's rows are told from another's by their table.
async fn remove(
    tx: &mut PgTransaction<'_>,
    request: Uuid,
    table: &str,
    of: &str,
    most: i64,
) -> Result<u64, LedgerError> {
    // table and condition are constants of the register
    let statement = format!(
        "DELETE FROM {table} AS gone USING (SELECT t.tableoid AS place, t.ctid AS row FROM {table} AS t WHERE {of} LIMIT $2) AS found \
         WHERE gone.tableoid = found.place AND gone.ctid = found.row"
    );
    let done = sqlx::query(AssertSqlSafe(statement)).bind(request).bind(most).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}

/// Writes down what is to go, by what the connections lead to; what was written down before stays.
pub(super) async fn mark(tx: &mut PgTransaction<'_>, request: Uuid) -> Result<u64, LedgerError> {
    // of somebody who has published for years it takes longer than statements here may
    sqlx::query("SET LOCAL statement_timeout = '4min'").execute(&mut **tx).await?;
    let publications = sqlx::query!(
        r#"INSERT INTO deletion_mark (request_id, id, kind)
           SELECT $1, p.id, 'publication' FROM publication p JOIN deletion_account d ON d.account_id = p.account_id
           WHERE d.request_id = $1 ON CONFLICT DO NOTHING"#,
        request,
    )
    .execute(&mut **tx)
    .await?;
    // what goes out elsewhere too, or is shown there, is spared when its turn comes: another request may take that away
    // meanwhile, and then somebody has to take away what is left
    let posts = sqlx::query!(
        r#"INSERT INTO deletion_mark (request_id, id, kind)
           SELECT DISTINCT $1::uuid, p.post_id, 'post'
           FROM deletion_mark m JOIN publication p ON p.id = m.id
           WHERE m.request_id = $1 AND m.kind = 'publication'
           ON CONFLICT DO NOTHING"#,
        request,
    )
    .execute(&mut **tx)
    .await?;
    let files = sqlx::query!(
        r#"WITH shown AS (
               SELECT DISTINCT pm.media_id FROM deletion_mark m JOIN post_media pm ON pm.post_id = m.id
               WHERE m.request_id = $1 AND m.kind = 'post'),
           brought AS (SELECT u.id, u.object_key, u.parts FROM upload u JOIN shown f ON f.media_id = u.media_id),
           objects AS (
               INSERT INTO deletion_object (request_id, object_key, parts)
               SELECT $1, m.object_key, NULL FROM media m JOIN shown f ON f.media_id = m.id
               UNION ALL SELECT $1, b.object_key, b.parts FROM brought b
               ON CONFLICT DO NOTHING)
           INSERT INTO deletion_mark (request_id, id, kind)
           SELECT $1, f.media_id, 'media' FROM shown f
           UNION ALL SELECT $1, b.id, 'upload' FROM brought b
           ON CONFLICT DO NOTHING"#,
        request,
    )
    .execute(&mut **tx)
    .await?;
    let analyses = sqlx::query!(
        r#"INSERT INTO deletion_mark (request_id, id, kind)
           SELECT DISTINCT $1::uuid, a.id, 'analysis'
           FROM deletion_account d JOIN analysis a ON a.workspace_id = d.workspace_id AND d.platform = ANY (a.platforms)
           WHERE d.request_id = $1 ON CONFLICT DO NOTHING"#,
        request,
    )
    .execute(&mut **tx)
    .await?;
    let jobs = sqlx::query!(
        r#"INSERT INTO deletion_mark (request_id, id, kind)
           SELECT $1, j.id, 'job' FROM job j JOIN deletion_account d ON d.account_id = j.account_id WHERE d.request_id = $1
           UNION SELECT $1, h.id, 'job' FROM job_history h JOIN deletion_account d ON d.account_id = h.account_id
           WHERE d.request_id = $1
           UNION SELECT $1, h.id, 'job' FROM job_history h JOIN deletion_mark m ON m.id = h.publication_id
           WHERE m.request_id = $1 AND m.kind = 'publication'
           ON CONFLICT DO NOTHING"#,
        request,
    )
    .execute(&mut **tx)
    .await?;
    // what a dialog offered names the accounts, also where nobody chose them; it lasts a day
    let connections = sqlx::query!(
        r#"INSERT INTO deletion_mark (request_id, id, kind)
           SELECT $1, c.id, 'connection' FROM connection c
           WHERE EXISTS (
                   SELECT FROM deletion_account d
                   JOIN account a ON a.id = d.account_id
                   JOIN deletion_request r ON r.id = d.request_id
                   WHERE d.request_id = $1 AND (r.workspace_id IS NULL OR c.workspace_id = a.workspace_id)
                     AND (c.subject_id = a.subject_id
                          OR c.offers @> jsonb_build_array(
                              jsonb_build_object('platform', a.platform, 'external_id', a.external_id))))
              OR EXISTS (SELECT FROM deletion_mark m
                         WHERE m.request_id = $1 AND m.kind = 'person' AND m.id = c.person_id)
           ON CONFLICT DO NOTHING"#,
        request,
    )
    .execute(&mut **tx)
    .await?;
    let letters = sqlx::query!(
        r#"WITH people AS (SELECT p.id, p.email FROM deletion_mark m JOIN person p ON p.id = m.id
                           WHERE m.request_id = $1 AND m.kind = 'person')
           INSERT INTO deletion_mark (request_id, id, kind)
           SELECT $1, t.id, 'mail' FROM mail t JOIN people p ON p.email = t.to_address OR p.id = t.person_id
           UNION ALL SELECT $1, i.id, 'invitation' FROM invitation i JOIN people p ON p.email = i.email
           ON CONFLICT DO NOTHING"#,
        request,
    )
    .execute(&mut **tx)
    .await?;
    let (exports, reports) = (mark_exports(tx, request).await?, mark_reports(tx, request).await?);
    Ok([publications, posts, files, analyses, jobs, connections, letters, exports, reports]
        .iter()
        .map(PgQueryResult::rows_affected)
        .sum())
}

/// Marks the copies that cover what is marked, and their objects.
async fn mark_exports(tx: &mut PgTransaction<'_>, request: Uuid) -> Result<PgQueryResult, LedgerError> {
    let done = sqlx::query!(
        r#"WITH made AS (
               SELECT DISTINCT e.id, e.object_key, e.parts FROM export e JOIN export_covered c ON c.export_id = e.id
               JOIN deletion_mark m ON m.request_id = $1 AND m.id = c.id AND m.kind = c.kind),
           objects AS (
               INSERT INTO deletion_object (request_id, object_key, parts) SELECT $1::uuid, object_key, parts FROM made
               ON CONFLICT DO NOTHING)
           INSERT INTO deletion_mark (request_id, id, kind) SELECT $1::uuid, id, 'export' FROM made
           ON CONFLICT DO NOTHING"#,
        request,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done)
}

/// Marks the reports that show what is marked; those that show others too are spared when their turn comes.
async fn mark_reports(tx: &mut PgTransaction<'_>, request: Uuid) -> Result<PgQueryResult, LedgerError> {
    let done = sqlx::query!(
        r#"INSERT INTO deletion_mark (request_id, id, kind)
           SELECT DISTINCT $1::uuid, r.report_id, 'report'
           FROM deletion_account d JOIN report_account r ON r.account_id = d.account_id
           WHERE d.request_id = $1 ON CONFLICT DO NOTHING"#,
        request,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done)
}

/// Whether files are to be erased. What is still somebody's is spared.
async fn waiting(tx: &mut PgTransaction<'_>, request: Uuid) -> Result<bool, LedgerError> {
    sqlx::query!(
        r#"DELETE FROM deletion_object o
           WHERE o.request_id = $1 AND NOT o.erased
             AND (EXISTS (SELECT FROM media m WHERE m.object_key = o.object_key)
                  OR EXISTS (SELECT FROM upload u WHERE u.object_key = o.object_key))"#,
        request,
    )
    .execute(&mut **tx)
    .await?;
    let there = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM deletion_object WHERE request_id = $1 AND NOT erased) AS "there!""#,
        request,
    );
    let there = there.fetch_one(&mut **tx).await?;
    Ok(there)
}

/// Counts a try at a file that the store does not erase: all others come before it.
pub(super) async fn not_erased(it: &ClaimedForgetting<'_>, request: Uuid, key: &str) -> Result<(), JobError> {
    let mut tx = it.ledger.fenced(it.claim).await?;
    sqlx::query!(
        "UPDATE deletion_object SET attempts = attempts + 1 WHERE request_id = $1 AND object_key = $2",
        request,
        key,
    )
    .execute(&mut *tx)
    .await
    .map_err(LedgerError::from)?;
    tx.commit().await.map_err(LedgerError::from)?;
    Ok(())
}

/// Counts files that the store has erased.
pub(super) async fn erased(
    it: &ClaimedForgetting<'_>,
    request: Uuid,
    keys: &[String],
    traces: u64,
) -> Result<(), JobError> {
    let mut tx = it.ledger.fenced(it.claim).await?;
    sqlx::query!(
        "UPDATE deletion_object SET erased = true WHERE request_id = $1 AND object_key = ANY ($2)",
        request,
        keys,
    )
    .execute(&mut *tx)
    .await
    .map_err(LedgerError::from)?;
    let files = register::emptied().iter().find(|store| matches!(store.purge, Purge::Objects));
    if let Some(files) = files {
        count(&mut tx, request, files.name, traces, false).await?;
    }
    tx.commit().await.map_err(LedgerError::from)?;
    Ok(())
}

impl Ledger {
    /// Some of the files that are to be erased now.
    pub(super) async fn doomed(&self, request: Uuid) -> Result<Vec<Doomed>, LedgerError> {
        let rows = sqlx::query_as!(
            Doomed,
            "SELECT object_key AS key, parts FROM deletion_object WHERE request_id = $1 AND NOT erased
             ORDER BY attempts, object_key LIMIT $2",
            request,
            FILES,
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Some of the files that were erased, after this key.
    pub(super) async fn gone_files(&self, request: Uuid, after: &str) -> Result<Vec<String>, LedgerError> {
        let rows = sqlx::query_scalar!(
            "SELECT object_key FROM deletion_object WHERE request_id = $1 AND erased AND object_key > $2
             ORDER BY object_key LIMIT $3",
            request,
            after,
            FILES,
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Counts what is left in every table, by other ways than it was emptied by.
    pub(super) async fn left(&self, request: Uuid) -> Result<u64, LedgerError> {
        let mut all = 0;
        for store in register::emptied() {
            let Purge::Rows { left, .. } = store.purge else { continue };
            let count: i64 = sqlx::query_scalar(left).bind(request).fetch_one(&self.pool).await?;
            if count > 0 {
                tracing::warn!(%request, store = store.name, count, "something was left of what was deleted");
            }
            all += count.unsigned_abs();
        }
        Ok(all)
    }
}
