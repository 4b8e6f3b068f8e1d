//! Rows 9 and 26 to 33: what becomes of Postgres.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use postroom::ledger::{Claimed, Ledger, Role, enqueue::NewJob, settle::Finish};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use uuid::Uuid;

use super::{COMMON, SOMEBODY, accepted, all_done_once, at_port, port_of, probe_settings, probes, until};
use crate::{
    chaos::{proxy::Relay, servers},
    harness::{Database, FACEBOOK, Ground, INSTAGRAM, System, eventually, free_port, start_redis},
    support::{Door, Scratch},
};

/// Clients that go away in the middle, of row 31.
const CLIENTS: usize = 300;
const HOUR: Duration = Duration::from_hours(1);

/// A system on a Postgres that the test breaks.
async fn breakable() -> (System, servers::Postgres) {
    let dir = tempfile::tempdir().unwrap();
    let postgres = servers::Postgres::start().await;
    let database = Database::create_on(&postgres.url()).await;
    let port = free_port();
    let redis = Some(start_redis(port, dir.path(), false));
    let settings = BTreeMap::from([("DATABASE_URL".to_owned(), database.url.clone())]);
    let redis_url = format!("redis://127.0.0.1:{port}");
    (System::on(Ground { dir, database, redis, redis_url, settings }).await, postgres)
}

async fn alter(system: &System, statement: &str) {
    eventually(statement, || async {
        // it may meet others in another order than theirs
        let done = system.database.pool.execute(AssertSqlSafe(statement)).await;
        done.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_changes_its_type_under_a_prepared_statement_fails_nobody() {
    let system = System::with_workers(1).await;
    let mut posts = vec![system.post("prepared for the old type", &[FACEBOOK]).await];
    system.all_live_once(&posts).await;
    alter(&system, "ALTER TABLE account ALTER name TYPE varchar(500), ALTER external_id TYPE varchar(500)")
        .await;
    alter(&system, "ALTER TABLE post ALTER caption TYPE varchar(100000)").await;
    alter(&system, "ALTER TABLE publication ALTER surface TYPE varchar(100)").await;
    // each is accepted at the first asking, however old the connection is that it comes to
    for n in 0..5 {
        posts.push(system.post(&format!("read by the new type {n}"), &[FACEBOOK]).await);
    }
    system.all_live_once(&posts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_come_and_go_under_running_processes_disturb_nobody() {
    let system = System::with_workers(1).await;
    let mut posts = Vec::new();
    for table in ["job", "claim", "worker", "account", "post", "publication", "remote_call", "attempt"] {
        for change in ["ADD later text NOT NULL DEFAULT 'x'", "DROP later"] {
            alter(&system, &format!("ALTER TABLE {table} {change}")).await;
            posts.push(system.post(&format!("amid the change {}", posts.len()), &[FACEBOOK]).await);
        }
    }
    let logs = || format!("{}{}", system.web.as_ref().unwrap().log(), system.workers[0].log());
    eventually("every post", || async {
        let open = "SELECT count(*) FROM publication WHERE state <> 'published'";
        if system.database.count(open).await == 0 { Ok(()) } else { Err(logs()) }
    })
    .await;
    system.all_live_once(&posts).await;
    assert!(!logs().contains("cached plan"), "{}", logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_restarts_at_once_costs_no_attempt() {
    let (mut system, mut postgres) = breakable().await;
    system.start_worker(&[]);
    let mut posts = Vec::new();
    for n in 0..2 {
        posts.push(accepted(&system, &format!("restarted under it {n}")).await);
        probes(&system, SOMEBODY, &json!({ "wait": 700 }), 8).await;
        until(&system.database, "SELECT least(count(*), 1) FROM claim", 1).await;
        postgres.down(false).await;
        postgres.up().await;
    }
    system.all_live_once(&posts).await;
    until(&system.database, "SELECT count(*) FROM job", 0).await;
    let spent = "SELECT coalesce(max(attempt), 0)::bigint FROM job_history";
    assert_eq!(system.database.count(spent).await, 0);
    let done = "SELECT count(DISTINCT id) FROM job_history WHERE kind = 'probe' AND outcome = 'done'";
    assert_eq!(system.database.count(done).await, 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_away_for_longer_than_a_lease_is_waited_for() {
    let (mut system, mut postgres) = breakable().await;
    system.start_worker(&[]);
    let mut posts = vec![system.post("before the outage", &[FACEBOOK]).await];
    system.all_live_once(&posts).await;
    let pid = system.workers[0].pid();
    postgres.down(false).await;
    let client = crate::harness::client();
    let ready = client.get(system.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    let wish = system.wish("amid the outage", &[FACEBOOK], &[]);
    let refused =
        client.post(system.url("/api/v1/posts")).bearer_auth(&system.key).json(&wish).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    eventually("the lease to run out", || async {
        let log = system.workers[0].log();
        if log.contains("lease has run out") { Ok(()) } else { Err(log) }
    })
    .await;
    postgres.up().await;
    eventually("the intake", || async {
        let ready = client.get(system.url("/readyz")).send().await.map_err(|e| e.to_string())?;
        if ready.status() == 200 { Ok(()) } else { Err(ready.status().to_string()) }
    })
    .await;
    posts.push(accepted(&system, "after the outage").await);
    system.all_live_once(&posts).await;
    assert_eq!(system.workers[0].pid(), pid, "the same worker goes on");
}

/// Jobs that nobody has accepted yet.
fn batch(jobs: usize) -> Vec<NewJob> {
    let payload = json!({ "does": "nothing" });
    (0..jobs).map(|_| NewJob::parse(&jobs::PROBE, Uuid::nil(), payload.clone()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_the_same_jobs_in_opposite_orders_never_wait_for_each_other() {
    let scratch = Scratch::new().await;
    let open = || Ledger::open(&scratch.url, Role::Worker, 1).unwrap();
    let (first, second) = (open(), open());
    for round in 0..20 {
        let forwards = batch(200);
        let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
        let (one, other) = tokio::join!(first.enqueue(&forwards), second.enqueue(&backwards));
        assert_eq!((one.unwrap().len(), other.unwrap().len()), (200, 200), "round {round}");
        let ids: Vec<Uuid> = forwards.iter().map(NewJob::id).collect();
        let reversed: Vec<Uuid> = ids.iter().rev().copied().collect();
        let kinds = [&jobs::PROBE];
        let (one, other) = tokio::join!(
            first.claim(&ids, &kinds, Uuid::from_u128(1), HOUR, COMMON),
            second.claim(&reversed, &kinds, Uuid::from_u128(2), HOUR, COMMON)
        );
        assert_eq!(one.unwrap().len() + other.unwrap().len(), 200, "round {round}");
    }
}

#[tokio::test]
async fn a_post_that_deadlocks_with_somebody_is_tried_again_and_accepted() {
    let door = Door::open().await;
    let mut accounts = [door.account("facebook_page").await, door.account("facebook_page").await];
    accounts.sort_unstable();
    let [lower, higher] = accounts;
    let targets = json!([{ "account_id": lower }, { "account_id": higher }]);
    let body = json!({ "caption": "amid others", "targets": targets });
    let lock = "SELECT id FROM account WHERE id = $1 FOR UPDATE";
    let mut met = false;
    while !met {
        let mut connection = door.scratch.connection().await;
        let mut other = connection.begin().await.unwrap();
        sqlx::query(lock).bind(higher).execute(&mut *other).await.unwrap();
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let meddle = async {
            eventually("the post to wait", || async {
                let here = door.scratch.number(waiting).await;
                if here > 0 { Ok(()) } else { Err(here.to_string()) }
            })
            .await;
            // who waited first notices first, and gives way; on a machine that stood still it may be this one
            met = sqlx::query(lock).bind(lower).execute(&mut *other).await.is_ok();
            other.rollback().await.unwrap();
        };
        let (answer, ()) = tokio::join!(door.post(&body), meddle);
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_slow_jobs_on_connections_that_go_half_open_are_all_finished() {
    let mut system = System::start().await;
    let direct = system.environment["DATABASE_URL"].clone();
    let relay = Relay::to(port_of(&direct)).await;
    system.environment.insert("DATABASE_URL".into(), at_port(&direct, relay.port));
    probe_settings(&mut system, 500, "20s");
    probes(&system, SOMEBODY, &json!({ "wait": 3000 }), 500).await;
    system.start_worker(&[]);
    until(&system.database, "SELECT least(count(*), 100) FROM claim", 100).await;
    relay.mute();
    all_done_once(&system, 500).await;
}

/// Sends so much of a request, and is gone without a word.
async fn half_a_client(port: u16, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("localhost", port)).await.unwrap();
    stream.set_zero_linger().unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_go_away_in_the_middle_leave_no_transaction_open() {
    let system = System::start().await;
    let port = port_of(&system.url("/"));
    let body = system.wish("nobody waits for the answer", &[FACEBOOK], &[]).to_string();
    let request = format!(
        "POST /api/v1/posts HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        system.key,
        body.len()
    );
    // some of them while their transactions wait, the others whenever it happens
    let mut locked = system.database.pool.begin().await.unwrap();
    locked.execute("LOCK TABLE post IN EXCLUSIVE MODE").await.unwrap();
    let mut amid = Vec::new();
    for _ in 0..20 {
        amid.push(half_a_client(port, request.as_bytes()).await);
    }
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("transactions that wait", || async {
        let here = system.database.count(waiting).await;
        if here > 0 { Ok(()) } else { Err(system.web.as_ref().unwrap().log()) }
    })
    .await;
    drop(amid);
    locked.rollback().await.unwrap();
    for n in 0..CLIENTS {
        let sent = request.len() * (1 + n % 10) / 10;
        drop(half_a_client(port, &request.as_bytes()[..sent]).await);
    }
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND application_name = 'postroom' AND state <> 'idle'";
    until(&system.database, busy, 0).await;
    let whole = "SELECT count(*) FROM post p WHERE NOT EXISTS \
                 (SELECT FROM publication q JOIN job j ON j.publication_id = q.id WHERE q.post_id = p.id)";
    assert_eq!(system.database.count(whole).await, 0, "what was accepted is whole");
    system.post("somebody waits for the answer", &[FACEBOOK]).await;
}

/// Pages that a claim of the newest hundred jobs touches.
async fn pages(scratch: &Scratch) -> i64 {
    let explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT count(*) FROM claim_jobs(\
                   ARRAY(SELECT id FROM job ORDER BY id DESC LIMIT 100), '{probe}', '{1}', gen_random_uuid(), '1 h', 0, 2)";
    let plan: Value = sqlx::query_scalar(explain).fetch_one(&mut scratch.connection().await).await.unwrap();
    let plan = &plan[0]["Plan"];
    plan["Shared Hit Blocks"].as_i64().unwrap() + plan["Shared Read Blocks"].as_i64().unwrap()
}

#[tokio::test]
async fn a_transaction_that_pins_the_horizon_makes_claims_no_dearer() {
    let scratch = Scratch::new().await;
    let ledger = Ledger::open(&scratch.url, Role::Worker, 2).unwrap();
    ledger.prepare_history().await.unwrap();
    let enqueue = async |jobs: usize| {
        let batch = batch(jobs);
        ledger.enqueue(&batch).await.unwrap();
        batch.iter().map(NewJob::id).collect::<Vec<Uuid>>()
    };
    enqueue(100).await;
    let fresh = pages(&scratch).await;
    let mut connection = scratch.connection().await;
    let mut pinned = connection.begin().await.unwrap();
    pinned.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    pinned.execute("SELECT count(*) FROM job").await.unwrap();
    for _ in 0..20 {
        let ids = enqueue(250).await;
        let claimed = ledger.claim(&ids, &[&jobs::PROBE], Uuid::from_u128(1), HOUR, COMMON).await.unwrap();
        let finish = |one: &Claimed| Finish { claim: one.claim, output: Value::Null, then: vec![] };
        let batch: Vec<Finish> = claimed.iter().map(finish).collect();
        assert_eq!(ledger.finish(&batch).await.unwrap().len(), 250);
    }
    enqueue(100).await;
    let pinned_down = pages(&scratch).await;
    assert!(pinned_down < fresh * 2, "{pinned_down} pages instead of {fresh}, after 5,000 dead jobs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_turns_read_only_accepts_nothing_and_says_when_to_come_back() {
    let system = System::with_workers(1).await;
    let before = accepted(&system, "everybody may write").await;
    system.until(&before, "published").await;
    let name: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&system.database.pool).await.unwrap();
    let maintenance = std::env::var("TEST_DATABASE_URL").unwrap();
    let turn = async |how: &str| {
        let mut connection = sqlx::PgConnection::connect(&maintenance).await.unwrap();
        let turn = AssertSqlSafe(format!("ALTER DATABASE {name} SET default_transaction_read_only = {how}"));
        connection.execute(turn).await.unwrap();
    };
    turn("on").await;
    // who is connected already does not hear of it
    let mut connection = sqlx::PgConnection::connect(&maintenance).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = $1 AND application_name = 'postroom'";
    sqlx::query(cut).bind(&name).execute(&mut connection).await.unwrap();
    let wish = system.wish("nobody may write", &[FACEBOOK, INSTAGRAM], &[]);
    let client = crate::harness::client();
    let ask = || client.post(system.url("/api/v1/posts")).bearer_auth(&system.key).json(&wish).send();
    for _ in 0..3 {
        let refused = ask().await.unwrap();
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key("retry-after"));
    }
    assert_eq!(system.database.count("SELECT count(*) FROM post").await, 1);
    // nobody is cut off now: who connected meanwhile has to find out
    turn("off").await;
    let after = accepted(&system, "somebody may write again").await;
    system.until(&after, "published").await;
    system.all_live_once(&[before, after]).await;
}
