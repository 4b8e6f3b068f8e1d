//! Leases of workers, and taking back what the dead held.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::{
    contract::{Class, Failure, Kind},
    machine::{Move, State},
};
use sqlx::{PgConnection, PgTransaction};
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    claims::{interval, readable},
    control::honour_wishes,
    settle::{Outcome, bury, doubt_commits, kept, words},
};

/// What this version opens of what is sealed: 1, under the key ring; 2, under an account's data key, too.
pub(super) const OPENS: i16 = 2;

/// What one round of taking back found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    /// Claims taken from workers that are gone.
    pub claims: u64,
    /// Publications whose commit is in doubt now.
    pub doubtful: u64,
}

/// What there is to take back.
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Troubles {
    /// This worker holds claims on jobs that it does not run.
    pub stray: bool,
    /// Somebody's lease or deadline is over.
    pub lost: bool,
    /// A publication is being sent or prepared by nobody.
    pub disowned: bool,
    /// A job that has ended several workers may run, and nobody runs it.
    pub suspect: bool,
}

impl Ledger {
    /// Begins or renews the lease of a worker that takes these kinds, and tells what the ledger's clock shows.
    ///
    /// # Errors
    /// The ledger is away: the lease runs on to its end.
    pub async fn renew(
        &self,
        inc: Uuid,
        kinds: &[&'static Kind],
        length: Duration,
    ) -> Result<DateTime<Utc>, LedgerError> {
        let now = sqlx::query_scalar!(
            r#"INSERT INTO worker (inc, version, lease_until, kinds, opens) VALUES ($1, $2, ledger_now() + $3, $4, $5)
               ON CONFLICT (inc) DO UPDATE SET lease_until = excluded.lease_until
               RETURNING ledger_now() AS "now!""#,
            inc,
            env!("CARGO_PKG_VERSION"),
            interval(length),
            &readable(kinds).0,
            OPENS,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(now)
    }

    /// Ends this worker's lease: it holds nothing any more.
    ///
    /// # Errors
    /// The ledger is away; the lease then ends by itself.
    pub async fn resign(&self, inc: Uuid) -> Result<(), LedgerError> {
        sqlx::query!(
            "DELETE FROM worker WHERE inc = $1 AND NOT EXISTS (SELECT FROM claim WHERE worker_inc = $1)",
            inc,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes back what workers without a good lease hold, and what is held past its deadline; then, in a
    /// statement of its own that sees what was committed meanwhile, moves the publications.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn reap(&self, crash_limit: i32) -> Result<Reaped, LedgerError> {
        self.kept_by_day(|| self.reap_once(crash_limit)).await
    }

    async fn reap_once(&self, crash_limit: i32) -> Result<Reaped, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let taken = sqlx::query!(
            r#"WITH lost AS (
                   SELECT c.job_id FROM claim c
                   WHERE c.deadline_at < ledger_now()
                      OR NOT EXISTS (SELECT FROM worker w WHERE w.inc = c.worker_inc AND w.lease_until > ledger_now())
                   ORDER BY c.job_id LIMIT 1000
                   -- skip locked: two reapers may look at once, and a write under way is waited for next time
                   FOR UPDATE SKIP LOCKED),
               gone AS (DELETE FROM claim c USING lost WHERE c.job_id = lost.job_id RETURNING c.job_id, c.epoch, c.started_at),
               back AS (
                   UPDATE job j SET epoch = j.epoch + 1, crash_count = j.crash_count + 1
                   FROM gone WHERE j.id = gone.job_id
                   RETURNING j.id, j.kind, j.publication_id, j.crash_count, gone.epoch, gone.started_at,
                             -- somebody changed what it is to do while it was claimed
                             j.epoch > gone.epoch + 1 AS changed),
               kept AS (
                   INSERT INTO attempt (job_id, publication_id, epoch, started_at, outcome, reason)
                   SELECT id, publication_id, epoch, started_at, 'reaped', 'the worker is gone' FROM back)
               SELECT id, kind = 'publish' AS "publishes!", publication_id, crash_count, changed AS "changed!" FROM back"#,
        )
        .fetch_all(&mut *tx)
        .await?;
        let publishing = taken.iter().filter(|row| row.publishes);
        let publications: Vec<Uuid> = publishing.filter_map(|row| row.publication_id).collect();
        let doubtful = disown(&mut tx, &publications).await?;
        let crashed = |publishing: bool| {
            // what was changed meanwhile did not end this worker: it gets a try of its own, alone
            let of_them = taken.iter().filter(|row| row.crash_count >= crash_limit && !row.changed);
            let of_them = of_them.filter(|row| row.publishes == publishing);
            of_them.map(|row| row.id).collect::<Vec<_>>()
        };
        end_crashed(&mut tx, &crashed(true), &crashed(false)).await?;
        tx.commit().await?;
        Ok(Reaped { claims: taken.len() as u64, doubtful })
    }

    /// What there is to take back, by one look that changes nothing.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn troubles(
        &self,
        inc: Uuid,
        running: &[Uuid],
        stray_age: Duration,
        isolate_after: i32,
    ) -> Result<Troubles, LedgerError> {
        let found = sqlx::query_as!(
            Troubles,
            r#"SELECT
                   EXISTS (SELECT FROM claim WHERE worker_inc = $1 AND job_id <> ALL($2)
                             AND started_at <= ledger_now() - $3::interval) AS "stray!",
                   EXISTS (SELECT FROM claim c WHERE c.deadline_at < ledger_now()
                             OR NOT EXISTS (SELECT FROM worker w WHERE w.inc = c.worker_inc AND w.lease_until > ledger_now()))
                       AS "lost!",
                   EXISTS (SELECT FROM publication p
                           WHERE p.state IN ('armed', 'preparing') AND p.updated_at < ledger_now() - interval '1 second'
                             AND NOT EXISTS (SELECT FROM job j JOIN claim c ON c.job_id = j.id
                                             WHERE j.publication_id = p.id AND j.kind = 'publish')) AS "disowned!",
                   EXISTS (SELECT FROM job j
                           WHERE j.crash_count >= $4 AND j.crash_count > 0 -- as the index has it
                             AND j.standing = 'active' AND j.run_at <= ledger_now()
                             AND NOT EXISTS (SELECT FROM claim c WHERE c.job_id = j.id)) AS "suspect!""#,
            inc,
            running,
            interval(stray_age),
            isolate_after,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(found)
    }

    /// Moves what is armed or being prepared and has no claim: returns how many are in doubt now.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn disown(&self) -> Result<u64, LedgerError> {
        self.kept_by_day(|| self.disown_once()).await
    }

    async fn disown_once(&self) -> Result<u64, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let armed = sqlx::query_scalar!(
            r#"SELECT p.id FROM publication p
               WHERE p.state IN ('armed', 'preparing') AND p.updated_at < ledger_now() - interval '1 second'
                 AND NOT EXISTS (SELECT FROM job j JOIN claim c ON c.job_id = j.id
                                 WHERE j.publication_id = p.id AND j.kind = 'publish')
               LIMIT 1000 FOR UPDATE SKIP LOCKED"#,
        )
        .fetch_all(&mut *tx)
        .await?;
        let doubtful = disown(&mut tx, &armed).await?;
        tx.commit().await?;
        Ok(doubtful)
    }

    /// Gives a job to every publication that should have one and has none, and holds what is past its latest
    /// time. What was sent is left to who can take it back; where nobody can, a person decides after `late_limit`.
    /// Returns how many got a job; nothing happens while another worker is at it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn mend(&self, late_limit: Duration) -> Result<u64, LedgerError> {
        self.kept_by_day(|| self.mend_once(late_limit)).await
    }

    async fn mend_once(&self, late_limit: Duration) -> Result<u64, LedgerError> {
        let mut tx = self.pool.begin().await?;
        // any number will do that nobody else locks
        let alone = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(7305812046) AS "alone!""#);
        if !alone.fetch_one(&mut *tx).await? {
            return Ok(0);
        }
        let orphans = sqlx::query!(
            r#"INSERT INTO job (id, kind, workspace_id, account_id, publication_id, run_at, payload, standing)
               SELECT gen_random_uuid(), 'publish', workspace_id, account_id, id, ledger_now(),
                      jsonb_build_object('publication_id', id),
                      CASE WHEN handle_state <> 'spent' AND waits_for_approval(post_id)
                           THEN 'waits' ELSE 'active' END::job_standing
               FROM publication p
               WHERE state = ANY($1::text[]::publication_state[])
                 AND state NOT IN ('published', 'failed', 'cancelled', 'held') -- as the index has it
                 AND NOT EXISTS (SELECT FROM job j WHERE j.publication_id = p.id AND j.kind = 'publish')
                 -- it gets its first job when its post is public
                 AND NOT (state = 'scheduled' AND waits_for_parent(parent_id))
               LIMIT 1000
               ON CONFLICT (publication_id) WHERE kind = 'publish' DO NOTHING"#,
            &words(State::WITH_JOB),
        )
        .execute(&mut *tx)
        .await?;
        honour_wishes(&mut tx).await?;
        expire(&mut tx).await?;
        hold_unseen(&mut tx, late_limit).await?;
        tx.commit().await?;
        Ok(orphans.rows_affected())
    }
}

/// Whether a worker lives that does not open all that this version seals.
pub(super) async fn older(connection: &mut PgConnection) -> Result<bool, LedgerError> {
    let older = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM worker WHERE lease_until > ledger_now() AND opens < $1) AS "older!""#,
        OPENS,
    );
    Ok(older.fetch_one(connection).await?)
}

/// T12 and T13: nobody answers for these publications any more. Returns how many are in doubt.
async fn disown(tx: &mut PgTransaction<'_>, ids: &[Uuid]) -> Result<u64, LedgerError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let failure = Failure::new(Class::Unknown, "claim_gone", "the worker that was sending it is gone");
    let lost = sqlx::query_scalar!(
        r#"UPDATE publication
           SET state = $3::text::publication_state, next_check_at = ledger_now(), absent_since = NULL, error = $4,
               updated_at = ledger_now()
           WHERE id = ANY($1) AND state = ANY($2::text[]::publication_state[])
           RETURNING id"#,
        ids,
        &words(Move::Lose.from()),
        Move::Lose.to().word(),
        kept(&failure),
    )
    .fetch_all(&mut **tx)
    .await?;
    doubt_commits(tx, &lost, &failure.message).await?;
    let ended =
        sqlx::query_scalar!("SELECT id FROM job WHERE publication_id = ANY($1) AND kind = 'publish'", &lost)
            .fetch_all(&mut **tx)
            .await?;
    bury(tx, &ended, Outcome::Unknown, &failure).await?;
    sqlx::query!(
        r#"WITH back AS (
               UPDATE publication SET state = $3::text::publication_state, updated_at = ledger_now()
               WHERE id = ANY($1) AND state = ANY($2::text[]::publication_state[]) RETURNING id)
           UPDATE remote_call c SET verdict = 'ambiguous', finished_at = ledger_now()
           FROM back WHERE c.publication_id = back.id AND c.kind = 'prepare' AND c.verdict IS NULL"#,
        ids,
        &words(Move::Unprepare.from()),
        Move::Unprepare.to().word(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(lost.len() as u64)
}

/// T19 for what no worker comes to look at, such as the posts of a resting account: past its latest time and
/// with nothing armed, a post is held and not silently late.
///
/// What was sent is left to who can take it back.
async fn expire(tx: &mut PgTransaction<'_>) -> Result<(), LedgerError> {
    let why = "its latest time has passed; it is not sent late without a person's word";
    let failure = Failure::new(Class::Permanent, "too_late", why);
    let expired = sqlx::query_scalar!(
        r#"WITH late AS (
               SELECT p.id, j.id AS job_id FROM publication p
               LEFT JOIN job j ON j.publication_id = p.id AND j.kind = 'publish'
               WHERE p.state = ANY($1::text[]::publication_state[]) AND p.handle_state <> 'spent'
                 AND p.state NOT IN ('published', 'failed', 'cancelled', 'held') -- as the index has it
                 AND p.latest_at < ledger_now() - interval '5 seconds'
                 -- what its post has not reached yet is not late
                 AND NOT EXISTS (SELECT FROM publication o WHERE o.id = p.parent_id AND o.state <> 'published')
                 AND NOT EXISTS (SELECT FROM claim c WHERE c.job_id = j.id)
                 AND (p.handle_state = 'dead' OR NOT was_sent(p.id, p.handle_id, interval '100 years'))
               LIMIT 1000 FOR UPDATE OF p SKIP LOCKED),
           held AS (
               UPDATE publication SET state = $2::text::publication_state, error = $3, hold_reason = $4, updated_at = ledger_now()
               FROM late WHERE publication.id = late.id)
           SELECT job_id AS "job_id!" FROM late WHERE job_id IS NOT NULL"#,
        &words(Move::Expire.from()),
        Move::Expire.to().word(),
        kept(&failure),
        failure.message,
    )
    .fetch_all(&mut **tx)
    .await?;
    bury(tx, &expired, Outcome::Held, &failure).await?;
    Ok(())
}

/// T16 for what was sent and is given up, and whose account rests: nobody can take it back or see what became of it,
/// and by now no network carries it out any more.
async fn hold_unseen(tx: &mut PgTransaction<'_>, late_limit: Duration) -> Result<(), LedgerError> {
    let why = "it was sent before it was given up, and nobody could look whether that took effect";
    let failure = Failure::new(Class::Unknown, "not_provable", why);
    let held = sqlx::query_scalar!(
        r#"WITH unseen AS (
               SELECT p.id, j.id AS job_id FROM publication p
               JOIN job j ON j.publication_id = p.id AND j.kind = 'publish' AND j.standing <> 'active'
               WHERE p.state = ANY($1::text[]::publication_state[]) AND p.handle_state NOT IN ('dead', 'spent')
                 AND p.state NOT IN ('published', 'failed', 'cancelled', 'held', 'unknown') -- as the index has it
                 AND (p.cancel_requested_at IS NOT NULL OR p.given_up IS NOT NULL OR p.latest_at < ledger_now())
                 AND was_sent(p.id, p.handle_id, interval '100 years') AND NOT was_sent(p.id, p.handle_id, $5)
                 AND NOT EXISTS (SELECT FROM claim c WHERE c.job_id = j.id)
               LIMIT 1000 FOR UPDATE OF p SKIP LOCKED),
           held AS (
               UPDATE publication SET state = $2::text::publication_state, error = $3, hold_reason = $4, updated_at = ledger_now()
               FROM unseen WHERE publication.id = unseen.id)
           SELECT job_id AS "job_id!" FROM unseen"#,
        &words(Move::Hold.from()),
        Move::Hold.to().word(),
        kept(&failure),
        failure.message,
        interval(late_limit),
    )
    .fetch_all(&mut **tx)
    .await?;
    bury(tx, &held, Outcome::Held, &failure).await?;
    Ok(())
}

/// Jobs that have taken too many workers with them end: those that publish, and their publications with them, and
/// those `of_none`. What was sent and is not dead is given up only: its job takes it back, alone if need be.
pub(super) async fn end_crashed(
    tx: &mut PgTransaction<'_>,
    ids: &[Uuid],
    of_none: &[Uuid],
) -> Result<(), LedgerError> {
    if ids.is_empty() && of_none.is_empty() {
        return Ok(());
    }
    let failure =
        Failure::new(Class::Permanent, "crash_limit", "it ended too many workers and is not tried again");
    sqlx::query!(
        r#"UPDATE publication p SET given_up = coalesce(p.given_up, $3), error = coalesce(p.given_up, $3)
           FROM job j WHERE j.id = ANY($1) AND p.id = j.publication_id
             AND p.state = ANY($2::text[]::publication_state[]) AND p.handle_state NOT IN ('dead', 'spent')
             AND was_sent(p.id, p.handle_id, interval '100 years')"#,
        ids,
        &words(Move::Fail.from()),
        kept(&failure),
    )
    .execute(&mut **tx)
    .await?;
    let ended = sqlx::query_scalar!(
        r#"UPDATE publication p SET state = $3::text::publication_state, error = $4, updated_at = ledger_now()
           FROM job j WHERE j.id = ANY($1) AND p.id = j.publication_id
             AND p.state = ANY($2::text[]::publication_state[])
             -- what was committed is observed on, however often that ends a worker
             AND NOT (p.state = 'waiting' AND p.handle_state = 'spent')
             AND (p.handle_state = 'dead' OR NOT was_sent(p.id, p.handle_id, interval '100 years'))
             AND p.cancel_requested_at IS NULL -- a wish is honoured, by whoever looks after wishes
           RETURNING j.id"#,
        ids,
        &words(Move::Fail.from()),
        Move::Fail.to().word(),
        kept(&failure),
    )
    .fetch_all(&mut **tx)
    .await?;
    bury(tx, &[&ended, of_none].concat(), Outcome::Dead, &failure).await?;
    Ok(())
}
