//! What is kept of work that is over, and what is told of work that is not.

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use postroom::ledger::{Ledger, Role};
use sqlx::migrate::{Migration, Migrator};

use crate::{
    harness::{Database, System, eventually, free_port},
    support::Door,
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A job of the house that does this, due so many seconds ago.
pub async fn job(system: &System, does: &str, ver: i32, seconds: f64) {
    let insert = "INSERT INTO job (id, kind, ver, workspace_id, run_at, payload) \
                  VALUES (gen_random_uuid(), 'probe', $1, $2, ledger_now() - make_interval(secs => $3), $4)";
    sqlx::query(insert)
        .bind(ver)
        .bind(jobs::HOUSE)
        .bind(seconds)
        .bind(serde_json::json!({ "does": does }))
        .execute(&system.database.pool)
        .await
        .unwrap();
}

/// Waits until so many jobs are dead letters.
pub async fn dead(system: &System, jobs: i64) {
    eventually("the last attempt", || async {
        let here = system.database.count("SELECT count(*) FROM job_history WHERE outcome = 'dead'").await;
        if here == jobs { Ok(()) } else { Err(format!("{here}: {}", system.workers[0].log())) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_is_kept_by_day_with_its_reason_until_retention_drops_the_day() {
    let mut system = System::start().await;
    system.database.own_clock().await;
    system.database.set_clock(at("2027-01-10T12:00:00Z")).await;
    system.start_worker(&[]);
    job(&system, "fail", 1, 0.0).await;
    dead(&system, 1).await;
    // so far ahead that the day was not prepared
    system.database.set_clock(at("2027-02-20T12:00:00Z")).await;
    job(&system, "fail", 1, 0.0).await;
    dead(&system, 2).await;
    let kept: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT tableoid::regclass::text, outcome::text || ': ' || reason, count(*) FROM attempt GROUP BY 1, 2 ORDER BY 1",
    )
    .fetch_all(&system.database.pool)
    .await
    .unwrap();
    let why = "retry: probe: as its payload asks";
    assert!(kept.contains(&("attempt_20270110".into(), why.into(), 2)), "{kept:?}");
    assert!(kept.contains(&("attempt_20270220".into(), why.into(), 2)), "{kept:?}");
    assert_eq!(
        system.database.count("SELECT count(*) FROM job").await,
        0,
        "only live jobs are in the hot table"
    );

    // ninety days are kept
    system.database.set_clock(at("2027-04-20T12:00:00Z")).await;
    system.workers[0].kill9().await;
    system.start_worker(&[]);
    eventually("retention", || async {
        let days: Vec<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class WHERE relname IN ('attempt_20270110', 'job_history_20270110')",
        )
        .fetch_all(&system.database.pool)
        .await
        .unwrap();
        if days.is_empty() { Ok(()) } else { Err(format!("{days:?}")) }
    })
    .await;
    assert_eq!(system.database.count("SELECT count(*) FROM attempt WHERE outcome = 'retry'").await, 2);
    assert_eq!(system.database.count("SELECT count(*) FROM job_history WHERE kind = 'probe'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_worker_held_is_kept_as_an_attempt_on_any_day() {
    let mut system = System::start().await;
    system.database.own_clock().await;
    system.start_worker(&[]);
    job(&system, "hang", 1, 0.0).await;
    eventually("the claim", || async {
        if system.database.count("SELECT count(*) FROM claim").await == 1 {
            Ok(())
        } else {
            Err("none".into())
        }
    })
    .await;
    system.workers.remove(0).kill9().await;
    system.start_worker(&[]);
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'attempt'::regclass";
    eventually("the house to be kept", || async {
        if system.database.count(partitions).await >= 5 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    let later = system.database.now().await + TimeDelta::days(40);
    system.database.set_clock(later).await;
    eventually("the reaper", || async {
        let reaped =
            "SELECT count(*) FROM attempt WHERE outcome = 'reaped' AND reason = 'the worker is gone'";
        if system.database.count(reaped).await == 1 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_from_before_they_were_kept_by_day_move_along() {
    let database = Database::create().await;
    let all: Vec<Migration> = sqlx::migrate!().iter().cloned().collect();
    let before = all.iter().filter(|one| one.version < 20_261_122_000_120).cloned().collect();
    Migrator::with_migrations(before).run(&database.pool).await.unwrap();
    let insert = "INSERT INTO attempt (job_id, publication_id, epoch, started_at, ended_at, outcome, reason) \
                  SELECT gen_random_uuid(), gen_random_uuid(), n, ended_at - interval '1 second', ended_at, 'retry', 'day ' || n \
                  FROM generate_series(1, 40) n, LATERAL (SELECT ledger_now() - n * interval '31 hours' AS ended_at) t";
    sqlx::query(insert).execute(&database.pool).await.unwrap();
    let sum = "SELECT hashtext(string_agg(a::text, ',' ORDER BY epoch))::bigint FROM attempt a";
    let sum_before = database.count(sum).await;
    let owner = Ledger::open(&database.url.clone().into(), Role::Owner, 1).unwrap();
    owner.migrate().await.unwrap();
    assert_eq!(database.count(sum).await, sum_before, "each row is there, as it was");
    let days =
        "SELECT count(DISTINCT tableoid) - count(DISTINCT (ended_at AT TIME ZONE 'UTC')::date) FROM attempt";
    assert_eq!(database.count(days).await, 0, "each day has a table");
    assert_eq!(database.count("SELECT count(*) FROM pg_class WHERE relname LIKE 'attempt_whole%'").await, 0);
    owner.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_tells_of_bloat_age_and_dead_letters() {
    let mut system = System::start().await;
    let port = free_port();
    system.environment.insert("WORKER_PORT".into(), port.to_string());
    // one that waits for a newer worker, one that died of old
    job(&system, "nothing", 99, 100.0).await;
    let insert = "INSERT INTO job_history (id, kind, workspace_id, epoch, attempt, crash_count, payload, outcome, created_at) \
                  VALUES (gen_random_uuid(), 'probe', $1, 1, 3, 0, '{}', 'dead', ledger_now())";
    sqlx::query(insert).bind(jobs::HOUSE).execute(&system.database.pool).await.unwrap();
    system.start_worker(&[]);
    let url = format!("http://localhost:{port}/metrics");
    let figures = eventually("the figures", || async {
        let answer = crate::harness::client().get(&url).send().await.map_err(|e| e.to_string())?;
        let text = answer.text().await.map_err(|e| e.to_string())?;
        if text.contains("postroom_dead_letters") { Ok(text) } else { Err(text) }
    })
    .await;
    let value = |name: &str| -> f64 {
        let line = figures.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} is missing in {figures}")).trim().parse().unwrap()
    };
    assert!((100.0..160.0).contains(&value("postroom_oldest_ready_seconds{kind=\"probe\"}")));
    assert!(value("postroom_oldest_ready_seconds{kind=\"publish\"}").abs() < 0.1);
    assert!((value("postroom_dead_letters{kind=\"probe\"}") - 1.0).abs() < 0.1);
    assert!(value("postroom_dead_letters{kind=\"publish\"}").abs() < 0.1);
    for table in ["job", "claim"] {
        assert!(value(&format!("postroom_dead_rows{{table=\"{table}\"}}")) >= 0.0);
        assert!(value(&format!("postroom_table_bytes{{table=\"{table}\"}}")) > 0.0);
    }
}

#[tokio::test]
async fn what_no_worker_could_send_is_not_what_workers_are_added_by() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let lag = async || door.scratch.ledger.publish_lag().await.unwrap();
    assert!(lag().await.abs() < 0.1);
    let wish = serde_json::json!({ "caption": "late", "targets": [{ "account_id": account }] });
    assert_eq!(door.post(&wish).await.status, StatusCode::ACCEPTED);
    door.scratch.run("UPDATE publication SET scheduled_for = ledger_now() - interval '100 seconds'").await;
    assert!((99.0..160.0).contains(&lag().await));
    for (rests, goes_on) in [
        ("UPDATE account SET state = 'reconnect'", "UPDATE account SET state = 'active'"),
        (
            "UPDATE account SET resting_until = ledger_now() + interval '1 hour'",
            "UPDATE account SET resting_until = NULL",
        ),
        (
            "INSERT INTO pause (scope, subject, reason) VALUES ('network', 'facebook_page', 'their outage')",
            "DELETE FROM pause",
        ),
    ] {
        door.scratch.run(rests).await;
        assert!(lag().await.abs() < 0.1, "{rests}");
        door.scratch.run(goes_on).await;
        assert!((99.0..160.0).contains(&lag().await), "{goes_on}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_says_so_until_it_holds_nothing() {
    let mut system = System::start().await;
    let port = free_port();
    system.environment.insert("WORKER_PORT".into(), port.to_string());
    system.environment.insert("POSTROOM__LEASE__GRACE".into(), "8s".into());
    job(&system, "hang", 1, 0.0).await;
    system.start_worker(&[]);
    let says = |path: &'static str, wanted: &'static str| async move {
        eventually(wanted, || async {
            let answer = crate::harness::client()
                .get(format!("http://localhost:{port}/{path}"))
                .send()
                .await
                .map_err(|e| e.to_string())?;
            let status = answer.status().as_u16();
            let text = answer.text().await.map_err(|e| e.to_string())?;
            if text.contains(wanted) { Ok(status) } else { Err(text) }
        })
        .await
    };
    says("metrics", "postroom_jobs_held 1").await;
    assert_eq!(says("readyz", "ready").await, 200);
    system.workers[0].signal("TERM").await;
    assert_eq!(says("readyz", "it was told to stop").await, 503);
    says("metrics", "postroom_jobs_held 1").await;
    assert_eq!(system.workers[0].ended().await, Some(0), "{}", system.workers[0].log());
    assert_eq!(system.database.count("SELECT count(*) FROM claim").await, 0, "what it held is handed back");
}
