//! Lateness: how long after its time a job starts, when many are due in the same second, or in the same minute.
//!
//! `cargo bench --bench lateness -- [--json] [--only jobs,minute,posts] [--jobs N] [--concurrency C]`
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod common;

use std::time::Duration;

use common::{
    Settings,
    harness::{FACEBOOK, System, eventually_within},
    lab::{Lab, machine_micros, maybe_work},
};
use reqwest::Method;
use serde_json::{Value, json};

/// What falls due is accepted this long before, in microseconds.
const AHEAD: u64 = 5_000_000;
/// Jobs that are spread over a minute.
const SPREAD: usize = 60_000;
/// Pages that the posts go to; a page takes one post at a time.
const PAGES: usize = 50;
/// Posts are accepted this fast or faster.
const ACCEPTED_A_SECOND: usize = 100;

#[tokio::main]
async fn main() {
    maybe_work().await;
    let settings = Settings::read(5_000, 64);
    if settings.wants("jobs") {
        let start = machine_micros() + AHEAD;
        due(&settings, "jobs_of_a_second", &vec![start; settings.jobs]).await;
    }
    if settings.wants("minute") {
        let start = machine_micros() + 2 * AHEAD;
        let times: Vec<u64> = (0..SPREAD as u64).map(|n| start + n * 60_000_000 / SPREAD as u64).collect();
        due(&settings, "jobs_of_a_minute", &times).await;
    }
    if settings.wants("posts") {
        posts(&settings).await;
    }
}

/// Jobs of one call of 5 ms, done by one worker.
async fn due(settings: &Settings, name: &str, times: &[u64]) {
    let lab = Lab::open().await;
    let _worker = lab.warm_worker(settings.concurrency).await;
    lab.forget().await;
    let due = lab.due_at(times).await;
    let last = *due.last_key_value().unwrap().0;
    lab.drained(last).await;
    let waits = lab.waits(&due).await;
    assert_eq!(waits.len(), times.len());
    assert!(waits.iter().all(|wait| *wait >= 0.0), "a job began before its time");
    settings.print_spans(name, waits);
}

/// Text posts to many pages, scheduled through the API for the same second: from their time to the call that makes
/// each public.
async fn posts(settings: &Settings) {
    let system = System::with_workers(1).await;
    let mut pages = Vec::new();
    for n in 0..PAGES {
        pages.push(connect(&system, n).await);
    }
    let span = chrono::TimeDelta::seconds(i64::try_from(settings.jobs / ACCEPTED_A_SECOND).unwrap() + 10);
    let at = (system.database.now().await + span).format("%Y-%m-%dT%H:%M:%S+00:00").to_string();
    let bodies = (0..settings.jobs).map(|n| {
        json!({ "caption": format!("late {n}"), "kind": "post", "schedule": { "at": at },
                "targets": [{ "account_id": pages[n % PAGES] }] })
    });
    let bodies: Vec<Value> = bodies.collect();
    for chunk in bodies.chunks(8) {
        let accepted = chunk.iter().map(|body| system.api(Method::POST, "/api/v1/posts", Some(body)));
        for (status, answer) in futures_util::future::join_all(accepted).await {
            assert_eq!(status, 202, "{answer}");
        }
    }
    let late = system.database.count("SELECT count(*) FROM post WHERE created_at > scheduled_for").await;
    assert_eq!(late, 0, "posts were accepted after their time; the bench needs more time for them");
    eventually_within(Duration::from_mins(10), "all posts to be published", || async {
        let open = system.database.count("SELECT count(*) FROM publication WHERE state <> 'published'").await;
        if open == 0 { Ok(()) } else { Err(format!("{open} are not")) }
    })
    .await;
    let waits: Vec<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM c.started_at - p.scheduled_for)::float8 * 1000 \
         FROM publication p JOIN remote_call c ON c.publication_id = p.id AND c.kind = 'commit'",
    )
    .fetch_all(&system.database.pool)
    .await
    .unwrap();
    assert_eq!(waits.len(), settings.jobs);
    settings.print_spans("posts_of_a_second", waits);
}

/// Connects one more page; its id with us.
async fn connect(system: &System, n: usize) -> String {
    let id = format!("2040000000{n:05}");
    let token = json!({ "access_token": format!("page-token-{n}") });
    let account =
        json!({ "platform": FACEBOOK, "external_id": id, "name": id, "access_token": token["access_token"] });
    system.tell("accounts", &account).await;
    let add = [
        "account",
        "add",
        "--workspace",
        "Bakery",
        "--platform",
        FACEBOOK,
        "--external-id",
        &id,
        "--name",
        &id,
    ];
    system.postroom(&add, &token.to_string()).await
}
