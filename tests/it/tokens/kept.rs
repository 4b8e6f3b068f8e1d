//! What the ledger keeps of a refresh, asked for as a running job asks for it.

use std::time::Duration;

use jobs::{
    contract::{Class, Failure},
    machine::{HandleState, Move},
    renewals::{Access, Asked, Begun, Pair, Renewals},
    tokens::{Step, Turn, Wish, next},
};
use postroom::ledger::{
    Claim, KeyRing, Ledger, Role,
    accounts::NewAccount,
    control::Refusal,
    flight::Flight,
    idempotency::Once,
    jobs::Write,
    keyring::{self, Cipher},
    reconcile::Decision,
    renewals::ClaimedRenewals,
    vault::TokenPair,
};
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{Door, Scratch, retain};

/// An account with a pair of tokens, and a worker that holds its refresh.
pub(super) struct Bench {
    pub(super) scratch: Scratch,
    pub(super) ledger: Ledger,
    pub(super) ring: KeyRing,
    pub(super) account: Uuid,
    claim: Claim,
    flight: Flight,
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::sealing(KeyRing::parse(&keyring::generate(Cipher::XChaCha20Poly1305)).unwrap()).await
    }

    pub(super) async fn sealing(ring: KeyRing) -> Self {
        let scratch = Scratch::new().await;
        let ledger = Ledger::open(&scratch.url, Role::Owner, 4).unwrap();
        let (workspace_id, claim) = (Uuid::now_v7(), claim());
        scratch.run(&format!("INSERT INTO workspace (id, name) VALUES ('{workspace_id}', 'Bakery')")).await;
        let new = NewAccount {
            workspace_id,
            platform: "tiktok",
            external_id: "bakery",
            name: "Bakery",
            token_expires_at: None,
            defaults: &json!({}),
            subject_id: None,
            subject_email: None,
        };
        let account = ledger.connect(&new, &ring, &tokens()).await.unwrap();
        let it =
            Self { scratch, ledger, ring, account, claim, flight: Flight::new(CancellationToken::new()) };
        it.lease(claim, 60).await;
        it.hold(claim).await;
        it
    }

    /// The lease of a claim's worker, from now on.
    async fn lease(&self, claim: Claim, seconds: i32) {
        let lease = format!(
            "INSERT INTO worker (inc, version, lease_until)
             VALUES ('{}', '1', ledger_now() + {seconds} * interval '1 second')
             ON CONFLICT (inc) DO UPDATE SET lease_until = excluded.lease_until",
            claim.worker_inc
        );
        self.scratch.run(&lease).await;
    }

    /// A job of the account's, held with this claim.
    async fn hold(&self, claim: Claim) {
        let (job, account) = (claim.job_id, self.account);
        let held = format!(
            "WITH made AS (
                 INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload, epoch)
                 SELECT '{job}', 'probe', workspace_id, id, ledger_now(), '{{}}', 1 FROM account WHERE id = '{account}')
             INSERT INTO claim (job_id, epoch, worker_inc, deadline_at)
             VALUES ('{job}', 1, '{}', ledger_now() + interval '1 hour')",
            claim.worker_inc
        );
        self.scratch.run(&held).await;
    }

    pub(super) fn renewals(&self) -> ClaimedRenewals<'_> {
        ClaimedRenewals::new(&self.ledger, &self.ring, self.claim, &self.flight)
    }

    pub(super) async fn look(&self) -> Access {
        self.renewals().look(self.account).await.unwrap().unwrap()
    }

    async fn begin(&self, it: &Access, turn: Turn) -> Option<Begun> {
        self.renewals().begin(it, turn, Duration::from_secs(20)).await.unwrap()
    }
}

fn claim() -> Claim {
    Claim { job_id: Uuid::now_v7(), epoch: 1, worker_inc: Uuid::now_v7() }
}

fn tokens() -> TokenPair {
    TokenPair {
        access: SecretString::from("a1"),
        refresh: Some(SecretString::from("r1")),
        issued_at: None,
        expires_at: None,
        refresh_expires_at: None,
    }
}

/// A pair that a network has given.
pub(super) fn pair() -> Pair {
    Pair {
        access: Some(SecretString::from("a2")),
        refresh: Some(SecretString::from("r2")),
        access_life: Some(Duration::from_hours(2)),
        refresh_life: None,
        missing: None,
    }
}

#[tokio::test]
async fn a_worker_whose_lease_ends_before_the_call_would_begins_none() {
    let bench = Bench::new().await;
    let it = bench.look().await;
    bench.lease(bench.claim, 10).await;
    assert_eq!(bench.begin(&it, Turn::Begin).await, None);
    bench.lease(bench.claim, 60).await;
    let begun = bench.begin(&it, Turn::Begin).await.expect("it may");
    assert!(bench.renewals().save(&it, begun, pair()).await.unwrap());
    assert_eq!(bench.look().await.generation, it.generation + 1);
}

#[tokio::test]
async fn the_posts_of_an_account_are_found_by_an_index() {
    use sqlx::Connection;

    let scratch = Scratch::new().await;
    let mut connection = scratch.connection().await;
    let mut tx = connection.begin().await.unwrap();
    sqlx::query("SET LOCAL enable_seqscan = off").execute(&mut *tx).await.unwrap();
    for standing in ["paused", "active"] {
        let asked = format!(
            "EXPLAIN SELECT id FROM job WHERE account_id = '0193a5b2-7c1e-7d3f-9a4b-5c6d7e8f9a0b' AND kind = 'publish' AND standing = '{standing}'"
        );
        let plan: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(asked)).fetch_all(&mut *tx).await.unwrap();
        assert!(plan.iter().any(|line| line.contains("publish_job_of_account")), "{plan:?}");
    }
}

/// The state of the bench's account.
async fn rests(bench: &Bench) -> bool {
    let resting =
        format!("SELECT count(*) FROM account WHERE state = 'reconnect' AND id = '{}'", bench.account);
    bench.scratch.number(&resting).await == 1
}

fn refusal() -> Failure {
    Failure::new(Class::Auth, "access_token_invalid", "the token is refused")
}

#[tokio::test]
async fn only_the_generation_that_was_seen_is_refused_whatever_the_times_say() {
    let bench = Bench::new().await;
    let old = bench.look().await;
    let begun = bench.begin(&old, Turn::Begin).await.expect("it may");
    assert!(bench.renewals().save(&old, begun, pair()).await.unwrap());
    // claimed after the statement that renewed it began, and before that was seen
    bench.scratch.run("UPDATE claim SET started_at = ledger_now()").await;
    assert_eq!(bench.renewals().ask(bench.account, old.generation).await.unwrap(), Asked::Changed);
    bench.renewals().refused(bench.account, old.generation, &refusal(), false).await.unwrap();
    assert!(!rests(&bench).await, "the one that was refused is not the one that stands");
    // renewed in this very run, and refused
    bench.scratch.run("UPDATE claim SET started_at = ledger_now() - interval '1 minute'").await;
    assert_eq!(bench.renewals().ask(bench.account, old.generation + 1).await.unwrap(), Asked::Vain);
    bench.renewals().refused(bench.account, old.generation + 1, &refusal(), false).await.unwrap();
    assert!(rests(&bench).await);
}

#[tokio::test]
async fn what_was_sent_before_a_renewal_rests_no_account() {
    for (refreshed_at, resting) in [("ledger_now()", 0), ("NULL", 1)] {
        let door = Door::open().await;
        let account = door.account("facebook_page").await;
        let wish = json!({ "caption": "x", "targets": [{ "account_id": account }] });
        let post = door.post(&wish).await.json();
        let id: Uuid = post["publications"][0]["id"].as_str().unwrap().parse().unwrap();
        for statement in [
            format!(
                "UPDATE account SET connected_at = ledger_now() - interval '1 day', refreshed_at = {refreshed_at}"
            ),
            "UPDATE publication
             SET state = 'unknown', next_check_at = ledger_now(), quarantine_until = ledger_now(),
                 handle_kind = 'post', handle_id = '1', handle_state = 'ready',
                 error = '{\"class\": \"permission\", \"code\": \"10\", \"message\": \"no\"}'"
                .to_owned(),
            "INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind, started_at,
                                      deadline_at, verdict)
             SELECT gen_random_uuid(), id, account_id, id, 1, id, 'commit', ledger_now() - interval '1 hour',
                    ledger_now(), 'ambiguous' FROM publication"
                .to_owned(),
        ] {
            door.scratch.run(&statement).await;
        }
        let ledger = Ledger::open(&door.scratch.url, Role::Owner, 2).unwrap();
        let doubt = ledger.doubt(id, |_| false).await.unwrap().expect("a doubt");
        let decision = Decision {
            step: Move::Rearm,
            handle: HandleState::Ready,
            failure: None,
            crash_limit: 5,
            attempts: 5,
        };
        assert!(ledger.decide(&doubt, &decision).await.unwrap());
        let rests = "SELECT count(*) FROM account WHERE state = 'reconnect'";
        assert_eq!(door.scratch.number(rests).await, resting, "{refreshed_at}");
    }
}

#[tokio::test]
async fn what_an_earlier_connection_left_behind_renews_nothing() {
    let bench = Bench::new().await;
    bench.scratch.run("UPDATE account SET token_generation = 2, renewable = false").await;
    bench.scratch.run("UPDATE vault.token SET generation = 2 WHERE field = 'access'").await;
    // what the migration does with the rows that it finds
    let migration = include_str!("../../../migrations/20261122000840_account_refresh.sql");
    let written: Vec<&str> = migration.lines().filter(|line| !line.starts_with("--")).collect();
    let written = written.join("\n");
    let changes = |it: &&str| it.trim_start().starts_with("UPDATE") || it.trim_start().starts_with("DELETE");
    let changes: Vec<&str> = written.split_inclusive(";\n").filter(changes).collect();
    assert!(changes.len() >= 4, "{changes:?}");
    for change in changes {
        bench.scratch.run(change).await;
    }
    assert_eq!(bench.scratch.number("SELECT count(*) FROM account WHERE renewable").await, 0);
    assert_eq!(bench.scratch.number("SELECT count(*) FROM vault.token").await, 1);
}

#[tokio::test]
async fn a_pair_that_comes_after_its_account_was_given_up_is_kept() {
    let bench = Bench::new().await;
    let first = bench.look().await;
    let late = bench.begin(&first, Turn::Begin).await.expect("it may");
    bench.renewals().doubt(&first, Some((late.call, &refusal()))).await.unwrap();
    let second = bench.look().await;
    let tried = bench.begin(&second, Turn::Try).await.expect("it may");
    assert!(bench.renewals().give_up(&second, tried.call, &refusal()).await.unwrap());
    assert!(rests(&bench).await);
    assert!(bench.renewals().save(&first, late, pair()).await.unwrap(), "the only copy of it");
    assert!(!rests(&bench).await);
    assert_eq!(bench.look().await.generation, first.generation + 1);
}

#[tokio::test]
async fn a_pair_that_nobody_knows_the_end_of_is_renewed_at_once_and_once() {
    let bench = Bench::new().await;
    let due = "SELECT count(*) FROM account WHERE refresh_due_at <= ledger_now()";
    assert_eq!(bench.scratch.number(due).await, 1);
    let it = bench.look().await;
    assert_eq!(next(&it.standing, Wish::Routine, it.now), Step::Send(Turn::Begin));
    let begun = bench.begin(&it, Turn::Begin).await.expect("it may");
    // and where the network does not say it either, nothing asks again and again
    assert!(bench.renewals().save(&it, begun, Pair { access_life: None, ..pair() }).await.unwrap());
    let it = bench.look().await;
    assert_eq!(next(&it.standing, Wish::Routine, it.now), Step::Examine);
    assert_eq!(bench.scratch.number(due).await, 0);
}

#[tokio::test]
async fn what_only_people_mend_is_asked_about_less_and_less_often() {
    let bench = Bench::new().await;
    let wait = "SELECT round(extract(epoch FROM refresh_due_at - ledger_now()) / 60)::bigint FROM account";
    for minutes in [20, 40, 80, 160, 320, 640, 1280, 1440, 1440] {
        bench.renewals().put_off(bench.account).await.unwrap();
        assert_eq!(bench.scratch.number(wait).await, minutes);
    }
    let it = bench.look().await;
    bench.renewals().examined(&it, None).await.unwrap();
    bench.renewals().put_off(bench.account).await.unwrap();
    assert_eq!(bench.scratch.number(wait).await, 20, "what goes well begins anew");
}

#[tokio::test]
async fn a_wish_that_comes_while_a_job_runs_is_heeded_after_it() {
    let bench = Bench::new().await;
    let account = bench.account;
    bench.scratch.run("UPDATE account SET refresh_due_at = ledger_now() + interval '1 day'").await;
    let running = format!(
        "INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
         SELECT gen_random_uuid(), 'token_refresh', workspace_id, id, ledger_now(), '{{}}' FROM account WHERE id = '{account}'"
    );
    bench.scratch.run(&running).await;
    let write = Write { workspace_id: None, id: account, keyed: None, dry: false };
    assert!(matches!(bench.ledger.ask_renewal(&write).await.unwrap(), Once::Done(Ok(_))));
    let minutes = Duration::from_mins(10);
    bench.ledger.renew_due(8, minutes).await.unwrap();
    let asked = "SELECT count(*) FROM account WHERE refresh_asked_at IS NOT NULL";
    assert_eq!(bench.scratch.number(asked).await, 1, "it waits for the job that there is");
    // which had read what it does before
    bench.scratch.run("DELETE FROM job WHERE kind = 'token_refresh'").await;
    assert_eq!(bench.ledger.renew_due(8, minutes).await.unwrap(), 1);
    let heeded = "SELECT count(*) FROM job WHERE kind = 'token_refresh' AND payload -> 'asked' = 'true'";
    assert_eq!((bench.scratch.number(heeded).await, bench.scratch.number(asked).await), (1, 0));
    // and one that a pair has answered since is no wish any more
    assert!(matches!(bench.ledger.ask_renewal(&write).await.unwrap(), Once::Done(Ok(_))));
    let it = bench.look().await;
    let begun = bench.begin(&it, Turn::Begin).await.expect("it may");
    assert!(bench.renewals().save(&it, begun, pair()).await.unwrap());
    assert_eq!(bench.scratch.number(asked).await, 0);
}

#[tokio::test]
async fn a_refresh_that_failed_is_not_tried_beside_the_one_that_is_under_way() {
    let bench = Bench::new().await;
    let id = Uuid::now_v7();
    let failed = format!(
        "INSERT INTO job_history (id, kind, workspace_id, account_id, epoch, attempt, crash_count, payload, outcome, created_at)
         SELECT '{id}', 'token_refresh', workspace_id, id, 1, 12, 0, jsonb_build_object('account_id', id), 'dead', ledger_now()
         FROM account"
    );
    bench.ledger.prepare_history().await.unwrap();
    bench.scratch.run(&failed).await;
    let write = Write { workspace_id: None, id: bench.account, keyed: None, dry: false };
    assert!(matches!(bench.ledger.ask_renewal(&write).await.unwrap(), Once::Done(Ok(_))));
    let retry = Write { id, ..write };
    let refused = bench.ledger.retry_job(&retry).await.unwrap();
    assert!(matches!(refused, Once::Done(Err(Refusal::UnderWay(_)))), "{refused:?}");
    // nor is it taken for one that was tried again
    bench.scratch.run("DELETE FROM job WHERE kind = 'token_refresh'").await;
    let again = bench.ledger.retry_job(&retry).await.unwrap();
    assert!(matches!(again, Once::Done(Ok(_))), "{again:?}");
}

#[tokio::test]
async fn calls_that_renewed_access_are_forgotten_in_time_and_what_is_awaited_is_not() {
    let bench = Bench::new().await;
    let it = bench.look().await;
    let begun = bench.begin(&it, Turn::Begin).await.expect("it may");
    bench.renewals().doubt(&it, Some((begun.call, &refusal()))).await.unwrap();
    for (finished, verdict) in
        [("40 days", "'ok'"), ("40 days", "'definite_no'"), ("41 days", "'ambiguous'"), ("1 day", "'ok'")]
    {
        let call = format!(
            "INSERT INTO remote_call (call_id, account_id, job_id, epoch, worker_inc, kind, deadline_at, finished_at, verdict)
             SELECT gen_random_uuid(), id, id, 1, id, 'refresh', ledger_now(), ledger_now() - interval '{finished}', {verdict}
             FROM account"
        );
        bench.scratch.run(&call).await;
    }
    bench.scratch.run("UPDATE remote_call SET finished_at = ledger_now() - interval '50 days' FROM account WHERE refresh_call = call_id").await;
    retain(&bench.ledger, 30, 2).await;
    let left = "SELECT count(*) FROM remote_call WHERE kind = 'refresh'";
    assert_eq!(bench.scratch.number(left).await, 2, "the lately finished one, and the one that is awaited");
    let awaited = "SELECT count(*) FROM remote_call JOIN account ON refresh_call = call_id";
    assert_eq!(bench.scratch.number(awaited).await, 1);
}

#[tokio::test]
async fn what_its_owner_took_back_is_not_kept_where_the_account_rests_already() {
    let bench = Bench::new().await;
    let it = bench.look().await;
    bench.scratch.run("UPDATE account SET state = 'reconnect'").await;
    let kept = "SELECT count(*) FROM vault.token";
    bench.renewals().refused(bench.account, it.generation + 1, &refusal(), true).await.unwrap();
    assert_eq!(bench.scratch.number(kept).await, 2, "another generation is another matter");
    bench.renewals().refused(bench.account, it.generation, &refusal(), false).await.unwrap();
    assert_eq!(bench.scratch.number(kept).await, 2);
    bench.renewals().refused(bench.account, it.generation, &refusal(), true).await.unwrap();
    assert_eq!(bench.scratch.number(kept).await, 0);
}
