//! What whoever watches a deployment wants to know of the ledger. Cheap enough for every worker to ask.

use std::collections::BTreeMap;

use super::{Ledger, LedgerError};

/// A hot table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Rows that are gone and not yet cleared away.
    pub dead_rows: f64,
    /// What it takes on disk, its indexes included.
    pub bytes: f64,
}

/// Who works on a queue.
#[derive(Debug, Clone)]
pub struct Staff {
    /// Living workers that take it.
    pub workers: i64,
    /// Its jobs that workers hold.
    pub held: i64,
    /// Why people have stopped it, if they have.
    pub paused: Option<String>,
}

impl Ledger {
    /// The hot tables.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn hot_tables(&self) -> Result<Vec<Table>, LedgerError> {
        let rows = sqlx::query_as!(
            Table,
            r#"SELECT relname::text AS "name!", n_dead_tup::float8 AS "dead_rows!",
                      pg_total_relation_size(relid)::float8 AS "bytes!"
               FROM pg_stat_user_tables WHERE schemaname = 'public' AND relname IN ('job', 'claim')"#,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }

    /// For how many seconds the longest-waiting job of each kind has been ready, where there is one.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn oldest_ready(&self) -> Result<BTreeMap<String, f64>, LedgerError> {
        let rows = sqlx::query!(
            r#"WITH RECURSIVE w (kind, workspace_id) AS (
                   -- one step of the index a workspace, however many jobs it has
                   (SELECT kind, workspace_id FROM job WHERE standing = 'active' ORDER BY kind, workspace_id LIMIT 1)
                   UNION ALL
                   SELECT next.kind, next.workspace_id FROM w CROSS JOIN LATERAL (
                       SELECT kind, workspace_id FROM job
                       WHERE standing = 'active' AND (kind, workspace_id) > (w.kind, w.workspace_id)
                       ORDER BY kind, workspace_id LIMIT 1) next)
               SELECT w.kind AS "kind!", extract(epoch FROM ledger_now() - min(first.run_at))::float8 AS "seconds!"
               FROM w CROSS JOIN LATERAL (
                   SELECT run_at FROM job
                   WHERE standing = 'active' AND job.kind = w.kind AND job.workspace_id = w.workspace_id
                     AND run_at <= ledger_now() AND NOT EXISTS (SELECT FROM claim WHERE claim.job_id = job.id)
                   ORDER BY run_at LIMIT 1) first
               GROUP BY w.kind"#,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.kind, row.seconds)).collect())
    }

    /// Who works on the queue of a kind.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn staff(&self, kind: &str) -> Result<Staff, LedgerError> {
        let staff = sqlx::query_as!(
            Staff,
            r#"SELECT
                   (SELECT count(*) FROM worker
                    WHERE lease_until > ledger_now() AND (kinds IS NULL OR $1 = ANY (kinds))) AS "workers!",
                   (SELECT count(*) FROM claim JOIN job ON job.id = claim.job_id WHERE job.kind = $1) AS "held!",
                   (SELECT reason FROM pause WHERE scope = 'queue' AND subject = $1
                      AND (ends_at IS NULL OR ends_at > ledger_now())) AS paused"#,
            kind,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(staff)
    }

    /// For how many seconds the longest-waiting publication is past its time and not sent, of those that more workers could
    /// send; 0 where there is none.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn publish_lag(&self) -> Result<f64, LedgerError> {
        let lag = sqlx::query_scalar!(
            r#"SELECT extract(epoch FROM ledger_now() - p.scheduled_for)::float8 AS "lag!"
               FROM publication p JOIN account a ON a.id = p.account_id
               WHERE p.state NOT IN ('published', 'failed', 'cancelled', 'held')
                 AND p.state NOT IN ('armed', 'unknown') AND p.handle_state <> 'spent' -- those are sent
                 AND p.scheduled_for <= ledger_now()
                 -- people are late, or the network is, not we
                 AND NOT waits_for_approval(p.post_id) AND NOT waits_for_parent(p.parent_id)
                 AND a.state = 'active' AND a.frozen_at IS NULL
                 AND (a.resting_until IS NULL OR a.resting_until <= ledger_now())
                 AND NOT is_paused('publish', p.workspace_id, p.account_id)
               ORDER BY p.scheduled_for LIMIT 1"#,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(lag.unwrap_or_default())
    }

    /// How many jobs of each kind ended dead and nobody has tried again, where there are any.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn dead_letters(&self) -> Result<BTreeMap<String, f64>, LedgerError> {
        let rows = sqlx::query!(
            r#"SELECT kind, count(*)::float8 AS "jobs!" FROM job_history
               WHERE outcome = 'dead' AND redriven_as IS NULL GROUP BY kind"#,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.kind, row.jobs)).collect())
    }
}
