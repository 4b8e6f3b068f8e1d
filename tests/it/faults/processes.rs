//! Rows 5 to 15: what becomes of workers.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{SOMEBODY, all_done_once, at_port, port_of, probe_settings, probes, until};
use crate::{
    chaos::proxy::Relay,
    harness::{FACEBOOK, Process, System, eventually, free_port},
};

const CLAIMS: &str = "SELECT count(*) FROM claim";
const REAPED: &str = "SELECT count(*) FROM attempt WHERE outcome = 'reaped'";
/// Row 8.
const DEPLOYS: i32 = 20;

/// A job that blocks its thread until the gate is opened, and the gate.
fn gated(system: &System) -> (Value, PathBuf) {
    let gate = system.logs().join("gate");
    (json!({ "block_until": gate }), gate)
}

fn open(gate: &Path) {
    std::fs::write(gate, "").unwrap();
}

async fn until_logged(process: &Process, words: &str) {
    eventually(words, || async {
        let log = process.log();
        if log.contains(words) { Ok(()) } else { Err(log) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_blocks_every_thread_for_longer_than_a_lease_keeps_its_claim() {
    let mut system = System::start().await;
    system.start_worker_on("publish"); // which takes back what the dead held, and runs no probe
    let port = free_port();
    system.environment.insert("WORKER_PORT".into(), port.to_string());
    system.environment.insert("TOKIO_WORKER_THREADS".into(), "2".into());
    system.start_worker_on("probe");
    let answers = || async {
        let url = format!("http://localhost:{port}/healthz");
        let answer = crate::harness::client().get(url).timeout(Duration::from_millis(300)).send().await;
        answer.map(drop).map_err(|error| error.to_string())
    };
    eventually("the worker", answers).await;
    let (job, gate) = gated(&system);
    probes(&system, SOMEBODY, &job, 4).await;
    eventually("every thread to be blocked", || async {
        if answers().await.is_err() { Ok(()) } else { Err("it answers".into()) }
    })
    .await;
    let long = "SELECT count(*) FROM claim WHERE started_at < ledger_now() - interval '6 seconds'";
    until(&system.database, long, 4).await;
    assert!(answers().await.is_err(), "every thread is blocked still");
    open(&gate);
    all_done_once(&system, 4).await;
    assert_eq!(system.database.count("SELECT max(epoch) FROM job_history").await, 1, "claimed once");
    assert_eq!(system.database.count(REAPED).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_renewals_are_swallowed_arms_and_finishes_nothing() {
    let mut system = System::start().await;
    let direct = system.environment["DATABASE_URL"].clone();
    let relay = Relay::to(port_of(&direct)).await;
    // the first renewal is made before the lease has a connection of its own
    relay.mark(b"INSERT INTO worker", 1);
    system.environment.insert("DATABASE_URL".into(), at_port(&direct, relay.port));
    system.environment.insert("TOKIO_WORKER_THREADS".into(), "4".into());
    system.start_worker(&[]);
    let (job, gate) = gated(&system);
    probes(&system, SOMEBODY, &job, 1).await;
    system
        .fault(json!({ "network": FACEBOOK, "call": "prepare", "times": 1, "fault": { "delay_ms": 6000 } }))
        .await;
    let post = system.post("prepared while nobody renews", &[FACEBOOK]).await;
    until(&system.database, CLAIMS, 2).await;
    until(&system.database, "SELECT count(*) FROM remote_call WHERE kind = 'prepare'", 1).await;
    let silent: Uuid = sqlx::query_scalar("SELECT DISTINCT worker_inc FROM claim")
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    relay.stall_marked();
    system.environment.insert("DATABASE_URL".into(), direct);
    system.start_worker(&[]);
    until(&system.database, REAPED, 2).await;
    open(&gate); // what was blocked finishes now, long after its claim was taken back
    until_logged(&system.workers[0], "fenced off").await;
    system.all_live_once(&[post]).await;
    all_done_once(&system, 2).await;
    let armed: i64 =
        sqlx::query_scalar("SELECT count(*) FROM remote_call WHERE kind = 'commit' AND worker_inc = $1")
            .bind(silent)
            .fetch_one(&system.database.pool)
            .await
            .unwrap();
    assert_eq!(armed, 0);
    relay.clear();
    let living = "SELECT count(*) FROM worker WHERE lease_until > ledger_now()";
    until(&system.database, living, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_half_open_connection_does_not_cost_a_worker_its_lease() {
    let mut system = System::start().await;
    let direct = system.environment["DATABASE_URL"].clone();
    let relay = Relay::to(port_of(&direct)).await;
    system.environment.insert("DATABASE_URL".into(), at_port(&direct, relay.port));
    // the wait for an answer, and then for the connection to be given up, must fit into it
    system.environment.insert("POSTROOM__LEASE__LENGTH".into(), "15s".into());
    system.start_worker(&[]);
    until(&system.database, "SELECT count(*) FROM worker WHERE lease_until > started_at + interval '16s'", 1)
        .await;
    relay.mute();
    until(&system.database, "SELECT count(*) FROM worker WHERE lease_until > started_at + interval '28s'", 1)
        .await;
    let log = system.workers[0].log();
    assert!(!log.contains("lease has run out"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_takes_nothing_new_and_hands_back_what_it_cannot_finish() {
    for grace in ["0s", "2s"] {
        let mut system = System::start().await;
        system.environment.insert("POSTROOM__LEASE__GRACE".into(), grace.into());
        system.start_worker(&[]);
        let begun = system.logs().join("begun");
        probes(&system, SOMEBODY, &json!({ "hang_after": begun }), 1).await;
        eventually("the job to begin", || async {
            if begun.exists() { Ok(()) } else { Err(system.workers[0].log()) }
        })
        .await;
        system.workers[0].signal("TERM").await;
        until_logged(&system.workers[0], "told to stop").await;
        probes(&system, SOMEBODY, &json!("nothing"), 1).await;
        assert_eq!(system.workers[0].ended().await, Some(0), "{}", system.workers[0].log());
        assert_eq!(system.database.count(CLAIMS).await, 0);
        let outcomes: Vec<String> = sqlx::query_scalar("SELECT outcome::text FROM attempt")
            .fetch_all(&system.database.pool)
            .await
            .unwrap();
        assert_eq!(outcomes, ["released"], "one was handed back, the other never taken");
        let unspent = "SELECT count(*) FROM job WHERE attempt = 0 AND crash_count = 0";
        assert_eq!(system.database.count(unspent).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_that_end_in_sigkill_lose_and_double_no_job() {
    let mut system = System::start().await;
    for _ in 0..DEPLOYS {
        let begun = "SELECT (SELECT count(*) FROM claim) + (SELECT count(*) FROM job_history)";
        let before = system.database.count(begun).await;
        probes(&system, SOMEBODY, &json!({ "wait": 100 }), 10).await;
        system.start_worker(&[]);
        eventually("work", || async {
            let here = system.database.count(begun).await;
            if here > before { Ok(()) } else { Err(system.workers[0].log()) }
        })
        .await;
        let mut worker = system.workers.remove(0);
        worker.signal("TERM").await;
        worker.kill9().await;
    }
    system.start_worker(&[]);
    all_done_once(&system, i64::from(DEPLOYS) * 10).await;
    assert_eq!(system.database.count("SELECT max(attempt)::bigint FROM job_history").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_an_unknown_kind_or_version_waits_for_a_worker_that_knows_it() {
    let mut system = System::start().await;
    system.start_worker_on("publish");
    probes(&system, SOMEBODY, &json!("nothing"), 3).await;
    let insert = "INSERT INTO job (id, kind, ver, workspace_id, run_at, payload) \
                  VALUES (gen_random_uuid(), $1, $2, $3, ledger_now(), '{\"does\": \"nothing\"}')";
    for (kind, ver) in [("from_the_future", 1), ("publish", 99), ("probe", 99)] {
        let insert = sqlx::query(insert).bind(kind).bind(ver).bind(SOMEBODY);
        insert.execute(&system.database.pool).await.unwrap();
    }
    let post = system.post("known to the old worker", &[FACEBOOK]).await;
    system.all_live_once(&[post]).await;
    let untouched = "SELECT count(*) FROM job j WHERE epoch = 1 AND attempt = 0 AND crash_count = 0 \
                     AND NOT EXISTS (SELECT FROM attempt a WHERE a.job_id = j.id)";
    until(&system.database, "SELECT count(*) FROM job", 6).await;
    assert_eq!(system.database.count(untouched).await, 6);
    system.start_worker_on("probe");
    until(&system.database, "SELECT count(*) FROM job", 3).await;
    assert_eq!(system.database.count(untouched).await, 3, "what nobody knows yet waits on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_panic_said_is_kept_nowhere_and_its_job_ends_with_its_attempts() {
    let system = System::with_workers(1).await;
    probes(&system, SOMEBODY, &json!("panic"), 1).await;
    until(&system.database, "SELECT count(*) FROM job_history WHERE outcome = 'dead'", 1).await;
    let reasons: Vec<String> =
        sqlx::query_scalar("SELECT reason FROM attempt UNION ALL SELECT reason FROM job_history")
            .fetch_all(&system.database.pool)
            .await
            .unwrap();
    assert_eq!(reasons, ["panic: the job's code failed"; 3]);
    assert!(system.workers[0].pid().is_some(), "the worker lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_restarted_with_the_same_environment_is_another_one() {
    let mut system = System::with_workers(1).await;
    let (job, gate) = gated(&system);
    probes(&system, SOMEBODY, &job, 1).await;
    until(&system.database, CLAIMS, 1).await;
    system.workers.remove(0).kill9().await;
    system.start_worker(&[]);
    until(&system.database, REAPED, 1).await;
    open(&gate);
    all_done_once(&system, 1).await;
    assert_eq!(system.database.count("SELECT max(epoch) FROM job_history").await, 2);
    assert_eq!(system.database.count("SELECT count(*) FROM worker").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_never_ends_is_ended_by_its_limit() {
    let mut system = System::start().await;
    probe_settings(&mut system, 8, "300ms");
    system.start_worker(&[]);
    probes(&system, SOMEBODY, &json!("hang"), 1).await;
    until(&system.database, "SELECT count(*) FROM job_history WHERE outcome = 'dead'", 1).await;
    let told = "SELECT count(*) FROM attempt WHERE outcome = 'retry' AND reason LIKE 'timeout: %'";
    assert_eq!(system.database.count(told).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_living_worker_cannot_end_is_taken_back_at_its_deadline() {
    let mut system = System::start().await;
    system.environment.insert("TOKIO_WORKER_THREADS".into(), "4".into());
    system.start_worker(&[]);
    let (job, gate) = gated(&system);
    probes(&system, SOMEBODY, &job, 1).await;
    until(&system.database, CLAIMS, 1).await;
    sqlx::query("UPDATE claim SET deadline_at = ledger_now()").execute(&system.database.pool).await.unwrap();
    until(&system.database, REAPED, 1).await;
    until(&system.database, CLAIMS, 1).await; // it runs again beside itself, under a claim of its own
    open(&gate);
    until_logged(&system.workers[0], "fenced off").await;
    all_done_once(&system, 1).await;
    assert_eq!(system.database.count("SELECT max(epoch) FROM job_history").await, 2);
    assert!(system.workers[0].pid().is_some(), "the worker lives on");
}
