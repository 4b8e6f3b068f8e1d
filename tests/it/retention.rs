//! What is kept for a time goes when that is over, in batches and counted, whichever worker dies at it; what is younger, or is
//! not kept by age, stays.

use jobs::failpoint::Point;
use postroom::ledger::{
    Ledger, Role,
    retention::{CLASSES, Step},
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::{
    harness::{FACEBOOK, System, eventually},
    support::{Door, retain, ring},
};

/// Something that somebody did so many days ago, from an address.
fn deed(days: i32) -> String {
    format!(
        "WITH deed AS (INSERT INTO audit (id, at, actor, action, object, object_id)
                       VALUES (gen_random_uuid(), ledger_now() - interval '{days} days', 'nobody', 'x', 'x', 'x') RETURNING id)
         INSERT INTO audit_address (audit_id, salt, address) SELECT id, uuid_send(gen_random_uuid()), '192.0.2.1' FROM deed"
    )
}

/// One of each class that is dropped by rows, so many days old.
async fn things(door: &Door, account: uuid::Uuid, days: i32) {
    let then = format!("ledger_now() - interval '{days} days'");
    let workspace = door.workspace;
    let call = |kind: &str| {
        format!(
            "INSERT INTO remote_call (call_id, account_id, job_id, epoch, worker_inc, kind, deadline_at, finished_at, verdict)
             VALUES (gen_random_uuid(), '{account}', gen_random_uuid(), 1, gen_random_uuid(), '{kind}', {then}, {then}, 'ok')"
        )
    };
    for statement in [
        deed(days),
        call("refresh"),
        call("revoke"),
        format!("INSERT INTO cron_tick (name, fire_at, job_id, created_at) VALUES ('n{days}', {then}, gen_random_uuid(), {then})"),
        format!(
            "INSERT INTO idempotency_key (workspace_id, key, digest, status, body, created_at)
             VALUES ('{workspace}', 'k{days}', '', 202, '', {then})"
        ),
        format!(
            "INSERT INTO mail (id, to_address, subject, created_at, worthless_at)
             VALUES (gen_random_uuid(), 'a@example.com', 'x', {then}, {then})"
        ),
        format!(
            "INSERT INTO invitation (id, workspace_id, email, first_name, last_name, role, digest, expires_at)
             VALUES (gen_random_uuid(), '{workspace}', 'n{days}@example.com', 'A', 'B', 'viewer', 'n{days}', {then})"
        ),
    ] {
        door.scratch.run(&statement).await;
    }
}

/// A day of the history that nobody has made, with a job in it.
async fn day(door: &Door, days: i32) {
    for (table, columns, values) in [
        (
            "job_history",
            "id, kind, workspace_id, epoch, attempt, crash_count, payload, outcome, created_at, finished_at",
            "gen_random_uuid(), 'probe', gen_random_uuid(), 1, 1, 0, '{}', 'done', at, at",
        ),
        (
            "attempt",
            "job_id, epoch, started_at, ended_at, outcome, reason",
            "gen_random_uuid(), 1, at, at, 'retry', 'x'",
        ),
    ] {
        door.scratch
            .run(&format!(
                "DO $$ DECLARE day timestamptz; BEGIN
                     SET LOCAL timezone = 'UTC';
                     day := date_trunc('day', now()) - interval '{days} days';
                     EXECUTE format('CREATE TABLE %I PARTITION OF {table} FOR VALUES FROM (%L) TO (%L)',
                         '{table}_' || to_char(day, 'YYYYMMDD'), day, day + interval '1 day');
                     INSERT INTO {table} ({columns})
                     SELECT {values} FROM (SELECT day + interval '1 hour' AS at FROM generate_series(1, 3)) x;
                 END $$"
            ))
            .await;
    }
}

fn worker(door: &Door) -> Ledger {
    Ledger::open(&door.scratch.url, Role::Worker, 3).expect("an address")
}

async fn dropped(door: &Door, class: &str) -> i64 {
    let done = format!("SELECT dropped FROM retention_run WHERE class = '{class}' AND done_at IS NOT NULL");
    door.scratch.number(&done).await
}

#[tokio::test]
async fn what_is_older_than_it_is_kept_goes_and_is_counted_and_what_is_younger_stays() {
    // P-D13 P-C4
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    for days in [90, 60, 41, 39, 1] {
        things(&door, account, days).await;
    }
    for days in [60, 41, 39] {
        day(&door, days).await;
    }
    // nobody has renewed this account but by a call whose answer is awaited
    door.scratch
        .run(
            "UPDATE account SET refresh_state = 'refreshing', refresh_call = (SELECT call_id FROM remote_call WHERE kind = 'refresh' ORDER BY finished_at LIMIT 1)",
        )
        .await;
    retain(&worker(&door), 40, 2).await;
    for class in ["addresses", "grants", "ticks", "answers", "letters", "invitations"] {
        assert_eq!(dropped(&door, class).await, 3, "{class}");
    }
    assert_eq!(dropped(&door, "renewals").await, 2, "the one that is awaited stays");
    assert_eq!((dropped(&door, "jobs").await, dropped(&door, "attempts").await), (6, 6));
    for (table, left) in [
        ("audit_address", 2),
        ("audit WHERE action = 'x'", 5),
        ("cron_tick", 2),
        ("idempotency_key", 2),
        ("mail", 2),
        ("invitation", 2),
        ("remote_call WHERE kind = 'revoke'", 2),
        ("remote_call WHERE kind = 'refresh'", 3),
        ("job_history", 3),
        ("attempt", 3),
    ] {
        assert_eq!(door.scratch.number(&format!("SELECT count(*) FROM {table}")).await, left, "{table}");
    }
    // today it is done, whatever comes of age meanwhile
    things(&door, account, 50).await;
    retain(&worker(&door), 40, 2).await;
    assert_eq!(dropped(&door, "letters").await, 3);
    door.scratch.run("UPDATE retention_run SET day = day - 1, began_at = began_at - interval '1 day'").await;
    retain(&worker(&door), 40, 2).await;
    let runs = door.scratch.ledger.retention_runs().await.expect("runs");
    let letters = runs.iter().find(|run| run.class == "letters").expect("it was gone through");
    assert_eq!((letters.dropped, runs.len()), (1, CLASSES.len()), "each day has its own count");
}

#[tokio::test]
async fn no_token_outlives_its_connection_and_a_live_one_keeps_its_own() {
    // P-D13
    let door = Door::open().await;
    let mut accounts = Vec::new();
    for platform in ["facebook_page", "instagram_business", "tiktok"] {
        let account = door.account(platform).await;
        let token = format!(
            "INSERT INTO vault.token (account_id, field, generation, key_id, sealed) VALUES ('{account}', 'access', 1, 'k', '')"
        );
        door.scratch.run(&token).await;
        accounts.push(account);
    }
    for (account, parting) in accounts.iter().zip(["told", "asked"]) {
        let parted = format!(
            "UPDATE account SET disconnected_at = ledger_now(), disconnected_how = 'staff', parting = '{parting}'
             WHERE id = '{account}'"
        );
        door.scratch.run(&parted).await;
    }
    retain(&worker(&door), 40, 2).await;
    assert_eq!(dropped(&door, "tokens").await, 1);
    let kept = "SELECT count(*) FROM vault.token t JOIN account a ON a.id = t.account_id
                WHERE a.parting IS NULL OR a.parting = 'asked'";
    assert_eq!(
        door.scratch.number(kept).await,
        2,
        "what is still to be taken back at the network needs its token"
    );
}

#[tokio::test]
async fn one_worker_at_a_time_drops_what_is_old() {
    let door = Door::open().await;
    let (worker, ages) =
        (worker(&door), postroom::config::Settings::load(None).expect("settings").retention.ages());
    let mut other = door.scratch.connection().await;
    let held = sqlx::query("SELECT pg_advisory_lock(7305812048)").execute(&mut other).await;
    held.expect("the lock");
    assert_eq!(worker.retain(&ring(), &ages).await.expect("an answer"), Step::Elsewhere);
    assert_eq!(door.scratch.number("SELECT count(*) FROM retention_run").await, 0);
    sqlx::query("SELECT pg_advisory_unlock(7305812048)").execute(&mut other).await.expect("given back");
    assert!(matches!(worker.retain(&ring(), &ages).await, Ok(Step::Dropped { .. })));
}

/// What `postroom retention` tells of a class.
async fn told(system: &System, class: &str) -> Value {
    let all: Value = system.told(&["retention"]).await;
    all["data"].as_array().unwrap().iter().find(|it| it["class"] == class).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_it_drops_what_is_old_leaves_the_rest_to_the_next() {
    // P-D13
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__RETENTION__BATCH".into(), "2".into());
    for days in [400, 401, 402, 403, 404, 30] {
        sqlx::query(AssertSqlSafe(deed(days))).execute(&system.database.pool).await.unwrap();
    }
    assert_eq!(told(&system, "addresses").await["day"], Value::Null);
    // it dies after each batch: tokens, accounts, and the first two of five addresses
    for _ in 0..3 {
        system.start_worker(&[(Point::AfterRetentionBatch.word(), "kill9")]);
        assert_eq!(system.workers.pop().unwrap().ended().await, None, "it was not reached");
    }
    let half = told(&system, "addresses").await;
    assert_eq!((&half["dropped"], &half["done_at"]), (&json!(2), &Value::Null));
    system.start_worker(&[]);
    let done = eventually("all of it", || async {
        let told = told(&system, "files").await;
        if told["done_at"].is_null() {
            Err(told.to_string())
        } else {
            Ok(self::told(&system, "addresses").await)
        }
    })
    .await;
    assert_eq!((&done["dropped"], &done["kept_for"]), (&json!(5), &json!("364d")));
    assert_eq!(
        system.database.count("SELECT count(*) FROM audit_address WHERE address = '192.0.2.1'").await,
        1
    );
    let table = system.postroom(&["retention"], "").await;
    assert!(table.contains("usage logs") && table.contains("364d"), "{table}");
    assert!(system.workers[0].log().contains("what is older than it is kept has gone"), "it says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_disconnected_for_long_is_deleted_with_all_that_came_through_it() {
    // P-D13
    let mut system = System::start().await;
    let mut wish = system.wish("from long ago", &[FACEBOOK], &[]);
    wish["schedule"] = json!({ "at": "2027-06-01T09:00:00Z" });
    assert_eq!(system.api(reqwest::Method::POST, "/api/v1/posts", Some(&wish)).await.0, 202);
    let parted =
        "UPDATE account SET disconnected_at = ledger_now() - interval '366 days', disconnected_how = 'staff',
                         parting = 'revoked' WHERE platform = 'facebook_page'";
    sqlx::query(parted).execute(&system.database.pool).await.unwrap();
    system.start_worker(&[]);
    eventually("its deletion", || async {
        let done = "SELECT count(*) FROM deletion_request WHERE stage = 'done' AND origin = 'account' AND receipt IS NOT NULL";
        if system.database.count(done).await == 1 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    assert_eq!(system.database.count("SELECT count(*) FROM account").await, 2, "the others stay");
    assert_eq!(system.database.count("SELECT count(*) FROM post").await, 0);
    assert_eq!(told(&system, "accounts").await["dropped"], json!(1));
}

#[tokio::test]
async fn of_what_was_said_of_a_day_of_ads_the_last_word_stays_whatever_its_age() {
    // P-D13
    let door = Door::open().await;
    let account = door.account("meta_ads").await;
    door.scratch
        .run(&format!(
            "WITH object AS (
                 INSERT INTO ad_object (workspace_id, account_id, level, remote_id)
                 VALUES ('{workspace}', '{account}', 'account', '501') RETURNING number)
             INSERT INTO ad_day (captured_at, object, day, currency, numbers)
             SELECT ledger_now() - x.days * interval '1 day', number, x.day::date, 'ILS', '{{}}'::jsonb
             FROM object, (VALUES (90, '2026-01-01'), (80, '2026-01-01'), (70, '2026-01-01'), (60, '2026-01-02'),
                                  (60, '2026-01-03'), (1, '2026-01-03')) x (days, day)",
            workspace = door.workspace,
        ))
        .await;
    door.scratch
        .run(&format!(
            "WITH plan AS (
                 INSERT INTO metric_plan (workspace_id, account_id, object, since, due_at)
                 VALUES ('{workspace}', '{account}', 'account', ledger_now(), ledger_now()) RETURNING number)
             INSERT INTO snapshot_spread (captured_at, object, metric, said)
             SELECT date_trunc('day', ledger_now() - x.days * interval '1 day', 'UTC') + x.hours * interval '1 hour', number,
                    104, 'too_few'
             FROM plan, (VALUES (60, 1), (60, 2), (50, 3), (1, 1), (1, 2)) x (days, hours)",
            workspace = door.workspace,
        ))
        .await;
    retain(&worker(&door), 40, 2).await;
    assert_eq!((dropped(&door, "ads").await, dropped(&door, "followers").await), (3, 1));
    let left = "SELECT count(*) FROM ad_day WHERE captured_at < ledger_now() - interval '40 days'";
    assert_eq!(door.scratch.number(left).await, 2, "the last word on each of two days");
    assert_eq!(door.scratch.number("SELECT count(*) FROM ad_day").await, 3);
    assert_eq!(door.scratch.number("SELECT count(*) FROM snapshot_spread").await, 4);
}
