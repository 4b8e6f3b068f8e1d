//! Schedules and their ticks. A tick is a row, and the row and its job are one statement: whichever worker
//! inserts it, it is there once.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use jobs::{
    HOUSE,
    timetable::{AHEAD, CatchUp, Due},
};
use serde_json::Value;
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{Ledger, LedgerError, claims::interval};

/// A schedule as `worker.toml` has it.
#[derive(Debug, Clone)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// The cron line.
    pub cron: String,
    /// An IANA name.
    pub time_zone: String,
    /// The kind of its jobs.
    pub kind: &'static str,
    /// The payload's version.
    pub version: i32,
    /// The payload of each of its jobs.
    pub payload: Value,
    /// What becomes of missed ticks.
    pub catch_up: CatchUp,
    /// Whether it fires at all.
    pub enabled: bool,
}

/// A schedule that fires, as the ledger has it.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// The cron line.
    pub cron: String,
    /// An IANA name.
    pub time_zone: String,
    /// What becomes of missed ticks.
    pub catch_up: CatchUp,
    /// Every tick up to here was taken or left out.
    pub decided_until: DateTime<Utc>,
}

impl Ledger {
    /// Makes these the schedules of all workers. One that is new, changed or enabled again starts from now, and
    /// the past is not replayed; one that is not among them is over.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn declare(&self, schedules: &[Declared]) -> Result<(), LedgerError> {
        let mut tx = self.pool.begin().await?;
        // workers that start at once, each with its own file, wait for each other and do not deadlock
        sqlx::query!("LOCK TABLE schedule IN SHARE ROW EXCLUSIVE MODE").execute(&mut *tx).await?;
        withdraw_others(&mut tx, schedules).await?;
        for schedule in schedules {
            declare_one(&mut tx, schedule).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The schedules that fire, and what the ledger's clock shows.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn schedules(&self) -> Result<(Vec<Schedule>, DateTime<Utc>), LedgerError> {
        let rows = sqlx::query!(
            r#"SELECT name AS "name?", cron AS "cron?", time_zone AS "time_zone?", catch_up::text AS catch_up,
                      decided_until AS "decided_until?", clock.now AS "now!"
               FROM (SELECT ledger_now()) AS clock (now) LEFT JOIN schedule ON enabled
               ORDER BY name"#,
        )
        .fetch_all(&self.pool)
        .await?;
        let now = rows.first().map_or(DateTime::<Utc>::MIN_UTC, |row| row.now);
        let schedules = rows.into_iter().filter_map(|row| {
            Some(Schedule {
                name: row.name?,
                cron: row.cron?,
                time_zone: row.time_zone?,
                catch_up: CatchUp::from_str(&row.catch_up?).ok()?,
                decided_until: row.decided_until?,
            })
        });
        Ok((schedules.collect(), now))
    }

    /// Takes ticks: each becomes a row and a job, or is there already. Returns how many became jobs; none where
    /// somebody else has decided about these ticks meanwhile.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn take_ticks(&self, schedule: &Schedule, due: &Due) -> Result<u64, LedgerError> {
        let ids: Vec<Uuid> = due.ticks.iter().map(|_| Uuid::now_v7()).collect();
        let rows = sqlx::query!(
            r#"WITH taken AS (
                   UPDATE schedule SET decided_until = $3
                   WHERE name = $1 AND decided_until = $2 AND enabled
                     -- this clock alone decides what is due
                     AND $3 <= ledger_now() + $4::interval
                   RETURNING name, kind, ver, payload),
               tick AS (
                   INSERT INTO cron_tick (name, fire_at, job_id)
                   SELECT taken.name, t.fire_at, t.job_id
                   FROM taken CROSS JOIN unnest($5::timestamptz[], $6::uuid[]) AS t (fire_at, job_id)
                   ON CONFLICT (name, fire_at) DO NOTHING
                   RETURNING fire_at, job_id)
               INSERT INTO job (id, kind, ver, workspace_id, run_at, payload)
               SELECT tick.job_id, taken.kind, taken.ver, $7, tick.fire_at, taken.payload FROM tick CROSS JOIN taken"#,
            schedule.name,
            schedule.decided_until,
            due.until,
            interval(AHEAD.to_std().unwrap_or_default()),
            &due.ticks,
            &ids,
            HOUSE,
        )
        .execute(&self.pool)
        .await?;
        Ok(rows.rows_affected())
    }

    /// How many of a schedule's last `most` ticks have a job that is not done yet.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn undone_ticks(&self, name: &str, most: i64) -> Result<i64, LedgerError> {
        let undone = sqlx::query_scalar!(
            r#"SELECT count(*) AS "undone!"
               FROM (SELECT job_id FROM cron_tick WHERE name = $1 ORDER BY fire_at DESC LIMIT $2) last
               JOIN job ON job.id = last.job_id"#,
            name,
            most,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(undone)
    }
}

async fn withdraw_others(tx: &mut PgTransaction<'_>, schedules: &[Declared]) -> Result<(), LedgerError> {
    let names: Vec<String> = schedules.iter().map(|schedule| schedule.name.clone()).collect();
    let over = sqlx::query_scalar!("DELETE FROM schedule WHERE name <> ALL($1) RETURNING name", &names)
        .fetch_all(&mut **tx)
        .await?;
    if !over.is_empty() {
        tracing::info!(schedules = ?over, "schedules are over: the settings do not have them any more");
    }
    Ok(())
}

async fn declare_one(tx: &mut PgTransaction<'_>, it: &Declared) -> Result<(), LedgerError> {
    let fresh = sqlx::query_scalar!(
        r#"INSERT INTO schedule AS known (name, cron, time_zone, kind, ver, payload, catch_up, enabled, decided_until)
           VALUES ($1, $2, $3, $4, $5, $6, $7::text::catch_up, $8, ledger_now())
           ON CONFLICT (name) DO UPDATE
           SET cron = excluded.cron, time_zone = excluded.time_zone, kind = excluded.kind, ver = excluded.ver,
               payload = excluded.payload, catch_up = excluded.catch_up, enabled = excluded.enabled,
               -- other moments than before, or none before: what they would have been in the past is not made up for
               decided_until = CASE
                   WHEN (known.cron, known.time_zone, known.enabled) = (excluded.cron, excluded.time_zone, excluded.enabled)
                   THEN known.decided_until ELSE excluded.decided_until END
           RETURNING decided_until = ledger_now() AS "fresh!""#,
        it.name,
        it.cron,
        it.time_zone,
        it.kind,
        it.version,
        it.payload,
        it.catch_up.word(),
        it.enabled,
    )
    .fetch_one(&mut **tx)
    .await?;
    if fresh {
        tracing::info!(
            schedule = it.name,
            cron = it.cron,
            zone = it.time_zone,
            enabled = it.enabled,
            "a schedule starts from now"
        );
    }
    Ok(())
}
