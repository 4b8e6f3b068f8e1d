//! Retention: every class of what is kept for a time and no longer, and what drops it once it is older.
//!
//! It is done once a day, in batches, each with its count in one transaction, by one worker at a time: whoever dies leaves
//! an open row in `retention_run`, and the next one goes on from what is left. What has to go sooner than a day after its
//! end, such as links that were mailed, is dropped where it is kept.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use jobs::retention::Ages;
use sqlx::{PgTransaction, postgres::types::PgInterval};
use uuid::Uuid;

use super::{
    KeyRing, Ledger, LedgerError,
    claims::interval,
    deletions::{Asking, Origin, Subject},
};

/// What was dropped is told of for so long.
const TOLD_FOR: Duration = Duration::from_hours(366 * 24);
/// Accounts whose deletion one batch asks for.
const ACCOUNTS: i64 = 10;

/// How a class is dropped.
#[derive(Debug, Clone, Copy)]
enum Drops {
    /// Rows: up to `$2` of those older than `$1`.
    Rows(&'static str),
    /// The days of a table that is kept by day.
    Days(&'static str),
    /// Months of snapshots, of which the last of each day stays.
    Months,
    /// Accounts, by a request for deletion each: what came through them goes with them, and there is a receipt.
    Accounts,
    /// All day long, with the files at the store: only its count is kept here.
    Swept,
}

/// A class of what is kept.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// Its word.
    pub name: &'static str,
    /// What that is, for people.
    pub what: &'static str,
    /// How long it is kept.
    pub keeps: fn(&Ages) -> Duration,
    drops: Drops,
}

/// Every class, in the order in which they are gone through.
pub const CLASSES: &[Class] = &[
    Class {
        name: "tokens",
        what: "access to accounts that are disconnected; while the connection lives, and not a day longer",
        keeps: |_| Duration::ZERO,
        // normally there are none: whoever disconnects an account shreds them
        drops: Drops::Rows(
            "WITH of AS (SELECT a.id FROM account a
                         WHERE a.parting <> 'asked' AND a.disconnected_at <= ledger_now() - $1::interval
                           AND EXISTS (SELECT FROM vault.token t WHERE t.account_id = a.id)
                         -- who connects it anew locks it first: what that brings is not taken
                         LIMIT $2 FOR UPDATE OF a SKIP LOCKED)
             DELETE FROM vault.token t USING of WHERE t.account_id = of.id",
        ),
    },
    Class {
        name: "accounts",
        what: "accounts that were disconnected, with all that came through them",
        keeps: |ages| ages.disconnected,
        drops: Drops::Accounts,
    },
    Class {
        name: "addresses",
        what: "usage logs: where somebody acted from",
        keeps: |ages| ages.addresses,
        drops: Drops::Rows(
            "DELETE FROM audit_address WHERE audit_id IN (
                 SELECT o.audit_id FROM audit a JOIN audit_address o ON o.audit_id = a.id
                 WHERE a.at < ledger_now() - $1::interval ORDER BY a.at LIMIT $2)",
        ),
    },
    Class {
        name: "attempts",
        what: "attempts that did not end their job",
        keeps: |ages| ages.history,
        drops: Drops::Days("attempt"),
    },
    Class {
        name: "jobs",
        what: "finished jobs",
        keeps: |ages| ages.history,
        drops: Drops::Days("job_history"),
    },
    Class {
        name: "ticks",
        what: "ticks of schedules",
        keeps: |ages| ages.history,
        drops: Drops::Rows(
            "DELETE FROM cron_tick WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM cron_tick WHERE created_at < ledger_now() - $1::interval LIMIT $2))",
        ),
    },
    Class {
        name: "events",
        what: "events that webhooks were told of, with what became of that",
        keeps: |ages| ages.history,
        drops: Drops::Rows(
            "DELETE FROM event WHERE id IN (
                 SELECT e.id FROM event e WHERE e.occurred_at < ledger_now() - $1::interval ORDER BY e.occurred_at LIMIT $2)",
        ),
    },
    Class {
        name: "renewals",
        what: "calls that renewed access, but for those whose answer is awaited still",
        keeps: |ages| ages.history,
        drops: Drops::Rows(
            "DELETE FROM remote_call WHERE call_id IN (
                 SELECT c.call_id FROM remote_call c
                 WHERE c.kind = 'refresh' AND c.verdict IS NOT NULL AND c.finished_at < ledger_now() - $1::interval
                   AND NOT EXISTS (SELECT FROM account a WHERE a.id = c.account_id AND a.refresh_call = c.call_id)
                 LIMIT $2)",
        ),
    },
    Class {
        name: "grants",
        what: "calls that connected accounts or took their access back",
        keeps: |ages| ages.history,
        drops: Drops::Rows(
            "DELETE FROM remote_call WHERE call_id IN (
                 SELECT c.call_id FROM remote_call c
                 WHERE c.kind IN ('connect', 'revoke') AND c.verdict IS NOT NULL
                   AND c.finished_at < ledger_now() - $1::interval LIMIT $2)",
        ),
    },
    Class {
        name: "answers",
        what: "answers that are given again to a repeated key",
        keeps: |ages| ages.idempotency,
        drops: Drops::Rows(
            "DELETE FROM idempotency_key WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM idempotency_key WHERE created_at < ledger_now() - $1::interval LIMIT $2))",
        ),
    },
    Class {
        name: "letters",
        what: "letters to people on the staff",
        keeps: |ages| ages.letters,
        drops: Drops::Rows(
            "DELETE FROM mail WHERE id IN (
                 SELECT id FROM mail
                 WHERE try_at IS NULL AND created_at < ledger_now() - $1::interval
                    -- where nobody sends letters they end by themselves
                    OR worthless_at < ledger_now() - $1::interval
                 LIMIT $2)",
        ),
    },
    Class {
        name: "invitations",
        what: "invitations that nobody has taken up, since they ended",
        keeps: |ages| ages.letters,
        drops: Drops::Rows(
            "DELETE FROM invitation WHERE id IN (
                 SELECT id FROM invitation WHERE expires_at < ledger_now() - $1::interval LIMIT $2)",
        ),
    },
    Class {
        name: "reports",
        what: "links to reports for clients, since they ended or were taken back",
        keeps: |ages| ages.letters,
        drops: Drops::Rows(
            "DELETE FROM report WHERE id IN (
                 SELECT id FROM report WHERE least(expires_at, taken_back_at) < ledger_now() - $1::interval LIMIT $2)",
        ),
    },
    Class {
        name: "analyses",
        what: "analyses, with the answers that are given again to the same question",
        keeps: |ages| ages.analyses,
        drops: Drops::Rows(
            "DELETE FROM analysis WHERE id IN (
                 SELECT id FROM analysis WHERE ended_at < ledger_now() - $1::interval LIMIT $2)",
        ),
    },
    Class {
        name: "snapshots",
        what: "months of single snapshots; the last of each day stays",
        keeps: |ages| ages.snapshots,
        drops: Drops::Months,
    },
    Class {
        name: "ads",
        what: "what networks said of a day of ads before they said something else; what they said last stays",
        keeps: |ages| ages.snapshots,
        drops: Drops::Rows(
            "DELETE FROM ad_day WHERE (object, day, captured_at) IN (
                 SELECT d.object, d.day, d.captured_at FROM ad_day d
                 WHERE d.captured_at < ledger_now() - $1::interval
                   AND EXISTS (SELECT FROM ad_day n
                               WHERE n.object = d.object AND n.day = d.day AND n.captured_at > d.captured_at)
                 LIMIT $2)",
        ),
    },
    Class {
        name: "followers",
        what: "who followed an account, of older days the last look of each",
        keeps: |ages| ages.snapshots,
        drops: Drops::Rows(
            "DELETE FROM snapshot_spread WHERE (object, metric, captured_at) IN (
                 SELECT s.object, s.metric, s.captured_at FROM snapshot_spread s
                 WHERE s.captured_at < ledger_now() - $1::interval
                   AND EXISTS (SELECT FROM snapshot_spread n
                               WHERE n.object = s.object AND n.metric = s.metric AND n.captured_at > s.captured_at
                                 AND n.captured_at < date_trunc('day', s.captured_at, 'UTC') + interval '1 day')
                 LIMIT $2)",
        ),
    },
    Class {
        name: "uploads",
        what: "uploads that were promised and never completed",
        keeps: |ages| ages.unfinished_uploads,
        drops: Drops::Swept,
    },
    Class {
        name: "files",
        what: "files that no post uses",
        keeps: |ages| ages.unused_media,
        drops: Drops::Swept,
    },
];

/// What one step of it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another worker is at it.
    Elsewhere,
    /// It is done for today.
    Over,
    /// So much of a class has gone.
    Dropped {
        /// The class.
        class: &'static str,
        /// How much of it today.
        today: i64,
        /// Nothing of that age is left.
        last: bool,
    },
}

/// What retention last did about a class.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The class.
    pub class: String,
    /// The day, by the ledger's clock in UTC.
    pub day: NaiveDate,
    /// How much went.
    pub dropped: i64,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// When it was done; none: it goes on.
    pub done_at: Option<DateTime<Utc>>,
}

impl Ledger {
    /// Does the next batch of today's. Whatever becomes of it, the next call goes on from there.
    ///
    /// # Errors
    /// The ledger is away, or a table is in use for so long that the batch is left for later.
    pub async fn retain(&self, ring: &KeyRing, ages: &Ages) -> Result<Step, LedgerError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *tx).await?;
        let alone = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(7305812048) AS "alone!""#);
        if !alone.fetch_one(&mut *tx).await? {
            return Ok(Step::Elsewhere);
        }
        let next = match next(&mut tx).await? {
            Some(next) => Some(next),
            None if begin(&mut tx, ages).await? => next(&mut tx).await?,
            None => None,
        };
        let Some((day, class)) = next else { return Ok(Step::Over) };
        let (dropped, last) = self.drop_batch(&mut tx, ring, class, ages).await?;
        let today = sqlx::query_scalar!(
            r#"UPDATE retention_run
               SET dropped = dropped + $3, moved_at = ledger_now(), done_at = CASE WHEN $4 THEN ledger_now() END
               WHERE day = $1 AND class = $2 RETURNING dropped"#,
            day,
            class.name,
            dropped,
            last,
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Step::Dropped { class: class.name, today, last })
    }

    /// How much went, and whether that was all.
    async fn drop_batch(
        &self,
        tx: &mut PgTransaction<'_>,
        ring: &KeyRing,
        class: &Class,
        ages: &Ages,
    ) -> Result<(i64, bool), LedgerError> {
        let keeps = interval((class.keeps)(ages));
        match class.drops {
            Drops::Rows(statement) => {
                let gone = sqlx::query(statement).bind(keeps).bind(ages.batch).execute(&mut **tx).await?;
                let gone = i64::try_from(gone.rows_affected()).unwrap_or(i64::MAX);
                Ok((gone, gone < ages.batch))
            }
            Drops::Days(table) => {
                let gone = sqlx::query_scalar!("SELECT drop_history_day($1, $2)", table, keeps);
                let gone = gone.fetch_one(&mut **tx).await?;
                Ok((gone.unwrap_or_default(), gone.is_none()))
            }
            Drops::Months => {
                let rolled = sqlx::query_scalar!(r#"SELECT roll_up_snapshots($1) AS "rolled!""#, keeps);
                let rolled = i64::from(rolled.fetch_one(&mut **tx).await?);
                Ok((rolled, rolled == 0))
            }
            Drops::Accounts => self.delete_accounts(tx, ring, keeps).await,
            Drops::Swept => Ok((0, true)),
        }
    }

    /// Asks for the deletion of accounts that were disconnected before that.
    async fn delete_accounts(
        &self,
        tx: &mut PgTransaction<'_>,
        ring: &KeyRing,
        keeps: PgInterval,
    ) -> Result<(i64, bool), LedgerError> {
        let old = sqlx::query!(
            r#"SELECT id, workspace_id FROM account
               WHERE disconnected_at < ledger_now() - $1::interval AND parting <> 'asked' AND deletion_id IS NULL
               ORDER BY disconnected_at LIMIT $2"#,
            keeps,
            ACCOUNTS,
        );
        let old = old.fetch_all(&mut **tx).await?;
        for account in &old {
            self.accept_deletion(ring, &of_age(&account.id, account.workspace_id)).await?;
        }
        let gone = i64::try_from(old.len()).unwrap_or(i64::MAX);
        Ok((gone, gone < ACCOUNTS))
    }

    /// Counts what the sweep of files has dropped of one of its classes.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn note_swept(&self, class: &str, keeps: Duration, dropped: u64) -> Result<(), LedgerError> {
        sqlx::query!(
            r#"INSERT INTO retention_run AS r (day, class, keeps, dropped, done_at)
               VALUES ((ledger_now() AT TIME ZONE 'UTC')::date, $1, $2, $3, ledger_now())
               ON CONFLICT (day, class) DO UPDATE
               SET dropped = r.dropped + excluded.dropped, moved_at = ledger_now(), done_at = ledger_now()"#,
            class,
            interval(keeps),
            i64::try_from(dropped).unwrap_or(i64::MAX),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What was last done about each class.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn retention_runs(&self) -> Result<Vec<Run>, LedgerError> {
        let runs = sqlx::query_as!(
            Run,
            r#"SELECT DISTINCT ON (class) class, day, dropped, began_at, done_at FROM retention_run
               ORDER BY class, day DESC"#,
        );
        Ok(runs.fetch_all(&self.pool).await?)
    }
}

/// Nobody was given a code for it: it is seen in the list of requests, and by its receipt.
fn of_age(account: &Uuid, workspace_id: Uuid) -> Asking<'_> {
    Asking {
        origin: Origin::Account,
        subject: Subject {
            accounts: std::slice::from_ref(account),
            workspace_id: Some(workspace_id),
            ..Subject::default()
        },
        code_digest: rand::random(),
        asked_digest: None,
        signed: (None, None),
        language: "en",
        reason: Some("it has been disconnected for longer than such accounts are kept"),
        asked_by: None,
    }
}

/// The first class of today that is open.
async fn next(tx: &mut PgTransaction<'_>) -> Result<Option<(NaiveDate, &'static Class)>, LedgerError> {
    let open = sqlx::query!(
        "SELECT day, class FROM retention_run
         WHERE day = (ledger_now() AT TIME ZONE 'UTC')::date AND done_at IS NULL"
    );
    let open = open.fetch_all(&mut **tx).await?;
    let is_open = |class: &&Class| open.iter().any(|row| row.class == class.name);
    let day = open.first().map(|row| row.day);
    Ok(day.zip(CLASSES.iter().find(is_open)))
}

/// Opens today's row of each class; false: they were there.
async fn begin(tx: &mut PgTransaction<'_>, ages: &Ages) -> Result<bool, LedgerError> {
    let names: Vec<&str> = CLASSES.iter().map(|class| class.name).collect();
    let keeps: Vec<PgInterval> = CLASSES.iter().map(|class| interval((class.keeps)(ages))).collect();
    let begun = sqlx::query!(
        r#"WITH old AS (DELETE FROM retention_run WHERE began_at < ledger_now() - $3::interval)
           INSERT INTO retention_run (day, class, keeps)
           SELECT (ledger_now() AT TIME ZONE 'UTC')::date, x.class, x.keeps FROM unnest($1::text[], $2::interval[]) AS x (class, keeps)
           ON CONFLICT DO NOTHING"#,
        &names as &[&str],
        &keeps,
        interval(TOLD_FOR),
    )
    .execute(&mut **tx)
    .await?;
    Ok(begun.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_classes_share_a_name_and_each_statement_is_bound_to_an_age_and_a_number() {
        for (n, it) in CLASSES.iter().enumerate() {
            assert!(CLASSES[n + 1..].iter().all(|other| other.name != it.name), "{} twice", it.name);
            if let Drops::Rows(statement) = it.drops {
                assert!(statement.contains("$1::interval") && statement.contains("LIMIT $2"), "{}", it.name);
            }
        }
    }
}
