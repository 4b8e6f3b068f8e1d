//! Row 14: a claim against what ends another claim of the same job at the same moment, over two connections.

use std::time::Duration;

use postroom::ledger::{
    Back, Claim, Ledger, PutBack, Role, enqueue::NewJob, idempotency::Once, jobs::Write, settle::Finish,
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::COMMON;
use crate::{harness::eventually, support::Scratch};

/// Loops of each race.
const LOOPS: usize = 2_000;
/// Jobs that are made ready for it at once.
const AT_ONCE: usize = 100;
const FIRST: Uuid = Uuid::from_u128(1);
const SECOND: Uuid = Uuid::from_u128(2);
const HOUR: Duration = Duration::from_hours(1);

/// A claim that believes what its insert saw, without looking again.
const IN_ONE_STATEMENT: &str = "
    CREATE OR REPLACE FUNCTION claim_jobs(ids uuid[], kinds text[], versions integer[], inc uuid, budget interval,
                                          least_crashes integer, most_crashes integer)
    RETURNS TABLE (
        job_id uuid, epoch bigint, kind text, workspace_id uuid, account_id uuid, publication_id uuid,
        attempt integer, payload jsonb, run_at timestamptz)
    LANGUAGE sql VOLATILE AS $$
        WITH taken AS (
            INSERT INTO claim (job_id, epoch, worker_inc, deadline_at)
            SELECT j.id, j.epoch, inc, ledger_now() + budget FROM job j
            WHERE j.id = ANY (ids) AND j.run_at <= ledger_now()
            ON CONFLICT DO NOTHING
            RETURNING claim.job_id, claim.epoch)
        SELECT j.id, taken.epoch, j.kind, j.workspace_id, j.account_id, j.publication_id, j.attempt, j.payload, j.run_at
        FROM taken JOIN job j ON j.id = taken.job_id
    $$";

/// What ends a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Finish,
    Reap,
    PutBack,
}

const ENDINGS: [Ending; 3] = [Ending::Finish, Ending::Reap, Ending::PutBack];

/// Two workers, a connection each.
struct Ring {
    owner: Mutex<PgConnection>,
    scratch: Scratch,
    first: Ledger,
    second: Ledger,
}

impl Ring {
    async fn open() -> Self {
        let scratch = Scratch::new().await;
        // what is raced for is order, not the disk
        scratch
            .run("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$")
            .await;
        let open = || Ledger::open(&scratch.url, Role::Worker, 1).unwrap();
        let (first, second) = (open(), open());
        first.prepare_history().await.unwrap();
        for worker in [FIRST, SECOND] {
            first.renew(worker, &[&jobs::PROBE], HOUR).await.unwrap();
        }
        let owner = Mutex::new(scratch.connection().await);
        Self { owner, scratch, first, second }
    }

    /// Jobs that the first worker holds.
    async fn held(&self, jobs: usize) -> Vec<Claim> {
        let job = || {
            let payload = json!({ "does": "nothing" });
            NewJob::parse(&jobs::PROBE, Uuid::nil(), payload).unwrap()
        };
        let batch: Vec<_> = (0..jobs).map(|_| job()).collect();
        self.first.enqueue(&batch).await.unwrap();
        let ids: Vec<Uuid> = batch.iter().map(NewJob::id).collect();
        let claimed = self.first.claim(&ids, &[&jobs::PROBE], FIRST, HOUR, COMMON).await.unwrap();
        assert_eq!(claimed.len(), jobs);
        claimed.iter().map(|one| one.claim).collect()
    }

    /// Lets the reaper take it.
    async fn expire(&self, claim: Claim) {
        let expire = "UPDATE claim SET deadline_at = '-infinity' WHERE job_id = $1";
        sqlx::query(expire).bind(claim.job_id).execute(&mut *self.owner.lock().await).await.unwrap();
    }

    /// Ends the claim; whether it was ended by this.
    async fn end(&self, ending: Ending, claim: Claim) -> bool {
        match ending {
            Ending::Finish => {
                let finish = Finish { claim, output: Value::Null, then: Vec::new() };
                self.first.finish(&[finish]).await.unwrap().len() == 1
            }
            Ending::Reap => self.first.reap(100).await.unwrap().claims == 1,
            Ending::PutBack => {
                let run_at = chrono::DateTime::UNIX_EPOCH;
                let back = PutBack { outcome: Back::Retry, run_at, reason: "again".into() };
                self.first.put_back(claim, &back).await.unwrap()
            }
        }
    }

    /// Has the second worker claim it; the epochs it was given.
    async fn claim(&self, job_id: Uuid) -> Vec<i64> {
        let claimed = self.second.claim(&[job_id], &[&jobs::PROBE], SECOND, HOUR, COMMON).await.unwrap();
        claimed.iter().map(|one| one.claim.epoch).collect()
    }

    /// The claim comes while the ending is under way and not yet committed: the epochs it was given.
    async fn claimed_amid(&self, ending: Ending) -> Vec<i64> {
        let claim = self.held(1).await[0];
        if ending == Ending::Reap {
            self.expire(claim).await;
        }
        // whoever ends a claim writes history after it has deleted it, and so stops in between
        let mut owner = self.scratch.connection().await;
        let mut held = owner.begin().await.unwrap();
        let days = "SELECT string_agg(inhrelid::regclass::text, ', ') FROM pg_inherits \
                    WHERE inhparent IN ('job_history'::regclass, 'attempt'::regclass)";
        let days: String = sqlx::query_scalar(days).fetch_one(&mut *held).await.unwrap();
        let lock = sqlx::AssertSqlSafe(format!("LOCK TABLE {days} IN EXCLUSIVE MODE"));
        sqlx::query(lock).execute(&mut *held).await.unwrap();
        let ending = async { assert!(self.end(ending, claim).await) };
        let claiming = async {
            self.until_waiting(1).await;
            let go_on = async {
                self.until_waiting(2).await;
                held.rollback().await.unwrap();
            };
            tokio::join!(self.claim(claim.job_id), go_on).0
        };
        tokio::join!(ending, claiming).1
    }

    async fn until_waiting(&self, count: i64) {
        let watcher: Mutex<PgConnection> = Mutex::new(self.scratch.connection().await);
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("waiting statements", || async {
            let here: i64 = sqlx::query_scalar(waiting).fetch_one(&mut *watcher.lock().await).await.unwrap();
            if here == count { Ok(()) } else { Err(format!("{here}, and not {count}")) }
        })
        .await;
    }

    /// Races the ending against the claim, again and again.
    async fn race(&self, ending: Ending) {
        for _ in 0..LOOPS / AT_ONCE {
            for held in self.held(AT_ONCE).await {
                if ending == Ending::Reap {
                    self.expire(held).await;
                }
                let (ended, epochs) = tokio::join!(self.end(ending, held), self.claim(held.job_id));
                assert!(ended);
                let may_run = match (ending, epochs.as_slice()) {
                    (_, []) => true,
                    (Ending::Finish, _) => false,
                    (Ending::Reap | Ending::PutBack, given) => given == [held.epoch + 1],
                };
                assert!(may_run, "{ending:?}: epochs {epochs:?} were handed out after {}", held.epoch);
            }
            self.nothing_stale().await;
        }
    }

    /// Every claim that there is names its job as it is; then everything makes way.
    async fn nothing_stale(&self) {
        let stale = "SELECT count(*) FROM claim c LEFT JOIN job j ON j.id = c.job_id AND j.epoch = c.epoch \
                     WHERE j.id IS NULL";
        assert_eq!(self.scratch.number(stale).await, 0);
        self.scratch.run("TRUNCATE claim, job").await;
    }
}

#[tokio::test]
async fn a_claim_amid_a_finish_a_reap_or_a_retry_runs_nothing_by_what_it_saw_before() {
    let ring = Ring::open().await;
    for ending in ENDINGS {
        assert!(ring.claimed_amid(ending).await.is_empty(), "{ending:?}");
        ring.nothing_stale().await;
    }
}

#[tokio::test]
async fn without_its_second_statement_a_claim_is_seen_to_run_what_is_over() {
    let ring = Ring::open().await;
    ring.scratch.run(IN_ONE_STATEMENT).await;
    for ending in ENDINGS {
        assert_eq!(ring.claimed_amid(ending).await, [1], "{ending:?}: the job as it was before");
        ring.scratch.run("TRUNCATE claim, job").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_finishes_and_claims_at_once_run_no_job_again() {
    let ring = Ring::open().await;
    ring.race(Ending::Finish).await;
    let done = "SELECT count(DISTINCT id) FROM job_history WHERE outcome = 'done' AND epoch = 1";
    assert_eq!(ring.scratch.number(done).await, i64::try_from(LOOPS).unwrap());
    assert_eq!(ring.scratch.number("SELECT count(*) FROM job_history").await, i64::try_from(LOOPS).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_reaps_and_claims_at_once_hand_out_the_new_epoch_alone() {
    Ring::open().await.race(Ending::Reap).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_retries_and_claims_at_once_hand_out_the_new_epoch_alone() {
    Ring::open().await.race(Ending::PutBack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_finish_and_a_cancel_at_once_exactly_one_happens() {
    let ring = Ring::open().await;
    for _ in 0..LOOPS / AT_ONCE {
        for claim in ring.held(AT_ONCE).await {
            let finish = [Finish { claim, output: Value::Null, then: Vec::new() }];
            let write = Write { workspace_id: None, id: claim.job_id, keyed: None, dry: false };
            let (finished, cancelled) =
                tokio::join!(ring.first.finish(&finish), ring.second.cancel_job(&write));
            let cancelled = matches!(cancelled.unwrap(), Once::Done(Ok(_)));
            assert_eq!(finished.unwrap().len() + usize::from(cancelled), 1);
        }
        ring.nothing_stale().await;
    }
    let done = "SELECT count(*) FROM job_history WHERE outcome = 'done'";
    assert_eq!(
        ring.scratch.number(done).await,
        i64::try_from(LOOPS).unwrap(),
        "what runs is not interrupted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_finish_and_a_reap_at_once_exactly_one_happens() {
    let ring = Ring::open().await;
    for _ in 0..LOOPS / AT_ONCE {
        for claim in ring.held(AT_ONCE).await {
            ring.expire(claim).await;
            let finish = [Finish { claim, output: Value::Null, then: Vec::new() }];
            let (finished, reaped) = tokio::join!(ring.first.finish(&finish), ring.second.reap(100));
            let (finished, reaped) = (finished.unwrap().len(), reaped.unwrap().claims);
            assert_eq!(finished as u64 + reaped, 1);
        }
        let both = "SELECT count(*) FROM job_history h JOIN attempt a ON a.job_id = h.id";
        assert_eq!(ring.scratch.number(both).await, 0);
        ring.nothing_stale().await;
    }
    let ended = "SELECT (SELECT count(*) FROM job_history) + (SELECT count(*) FROM attempt)";
    assert_eq!(ring.scratch.number(ended).await, i64::try_from(LOOPS).unwrap());
}
