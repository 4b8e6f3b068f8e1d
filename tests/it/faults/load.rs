//! Rows 36 to 45: hints, orders, sizes, crowds and clocks.

use std::{cell::Cell, collections::BTreeSet};

use axum::{body::Body, http::StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::hint::Hint;
use postroom::{ledger::enqueue::PAYLOAD_MOST, queue::Queue};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{SOMEBODY, all_done_once, probe_settings, probes, until};
use crate::{
    harness::{FACEBOOK, System, eventually},
    support::Door,
};

const NOISY: Uuid = Uuid::from_u128(0xa);
const QUIET: Uuid = Uuid::from_u128(0xb);
/// Requests of row 39.
const CLICKS: usize = 100;

fn queue(system: &System) -> Queue {
    Queue::open(&system.environment["REDIS_URL"].clone().into(), 1000).unwrap()
}

fn hints(ids: &[Uuid], workspace_id: Uuid) -> Vec<Hint> {
    let hint = |job_id: &Uuid| Hint {
        kind: "probe".into(),
        workspace_id,
        job_id: *job_id,
        run_at: DateTime::UNIX_EPOCH,
    };
    ids.iter().map(hint).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_are_hinted_at_five_times_run_once() {
    let mut system = System::start().await;
    let ids = probes(&system, SOMEBODY, &json!({ "wait": 20 }), 40).await;
    for ring in 0..5 {
        // one ring holds an id once
        assert_eq!(queue(&system).push(&hints(&ids, Uuid::from_u128(ring))).await.unwrap(), 0);
    }
    system.start_worker(&[]);
    system.start_worker(&[]);
    all_done_once(&system, 40).await;
    assert_eq!(system.database.count("SELECT max(epoch) FROM job_history").await, 1, "claimed once");
    assert_eq!(system.database.count("SELECT count(*) FROM attempt").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_edited_while_it_is_prepared_goes_out_as_it_was_edited() {
    let system = System::with_workers(1).await;
    system.fault(json!({ "call": "prepare", "times": 1, "fault": { "delay_ms": 1000 } })).await;
    let post = system.post("the old words", &[FACEBOOK]).await;
    let preparing = "SELECT count(*) FROM remote_call WHERE kind = 'prepare' AND finished_at IS NULL";
    until(&system.database, preparing, 1).await;
    let edit = json!({ "caption": "the new words" });
    let (status, edited) = system.api(Method::PATCH, &format!("/api/v1/posts/{post}"), Some(&edit)).await;
    assert_eq!((status, &edited["state"]), (202, &json!("preparing")), "{edited}");
    system.until(&post, "published").await;
    assert_eq!(system.effects(FACEBOOK, "the new words").await.len(), 1);
    assert!(system.effects(FACEBOOK, "the old words").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_transaction_commits_after_a_later_one_is_not_passed_over() {
    let system = System::with_workers(1).await;
    let insert = "INSERT INTO job (id, kind, workspace_id, run_at, payload) \
                  VALUES ($1, 'probe', $2, ledger_now(), '{\"does\": \"nothing\"}')";
    let (earlier, later) = (Uuid::now_v7(), Uuid::now_v7());
    let mut open = system.database.pool.begin().await.unwrap();
    sqlx::query(insert).bind(earlier).bind(SOMEBODY).execute(&mut *open).await.unwrap();
    sqlx::query(insert).bind(later).bind(SOMEBODY).execute(&system.database.pool).await.unwrap();
    until(&system.database, "SELECT count(*) FROM job_history", 1).await;
    open.commit().await.unwrap();
    all_done_once(&system, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_equal_requests_under_one_key_and_a_killed_intake_make_one_post() {
    let mut system = System::start().await;
    let wish = system.wish("clicked a hundred times", &[FACEBOOK], &[]);
    let client = crate::harness::client();
    let ask = |url: String, key: String| {
        let request = client.post(url).bearer_auth(key).header("Idempotency-Key", "once").json(&wish);
        async move {
            let answer = request.send().await.ok().filter(|answer| answer.status() == 202)?;
            let post: Value = answer.json().await.ok()?;
            post["id"].as_str().map(str::to_owned)
        }
    };
    let click = || ask(system.url("/api/v1/posts"), system.key.clone());
    let clicks: Vec<_> = (0..CLICKS).map(|_| tokio::spawn(click())).collect();
    until(&system.database, "SELECT count(*) FROM post", 1).await;
    system.web.take().unwrap().kill9().await;
    let mut ids: BTreeSet<String> =
        futures_util::future::join_all(clicks).await.into_iter().filter_map(Result::unwrap).collect();
    system.start_web().await;
    let again = ask(system.url("/api/v1/posts"), system.key.clone());
    ids.insert(again.await.expect("the first answer again"));
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(system.database.count("SELECT count(*) FROM post").await, 1);
    assert_eq!(system.database.count("SELECT count(*) FROM job").await, 1);
}

#[tokio::test]
async fn a_body_that_is_huge_deep_or_endless_is_refused_and_nothing_is_kept() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let long = |items: usize| {
        let media = vec!["x"; items];
        json!({ "caption": "x", "media_ids": media, "targets": [{ "account_id": account }] }).to_string()
    };
    for (body, status) in [
        (json!({ "caption": "x".repeat(10 << 20) }).to_string(), StatusCode::PAYLOAD_TOO_LARGE),
        (long(1_000_000), StatusCode::PAYLOAD_TOO_LARGE),
        (long(60_000), StatusCode::UNPROCESSABLE_ENTITY),
        (format!("{{\"targets\":{}", "[".repeat(200_000)), StatusCode::BAD_REQUEST),
        ("{\"a\":".repeat(50_000) + "1", StatusCode::BAD_REQUEST),
    ] {
        let request = door.request(&Method::POST, "/api/v1/posts").header("content-type", "application/json");
        let answer = door.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.status, status, "{}", &answer.text[..answer.text.len().min(500)]);
    }
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 0);
    let payload = json!({ "does": "nothing", "ballast": "x".repeat(PAYLOAD_MOST) });
    assert!(postroom::ledger::enqueue::NewJob::parse(&jobs::PROBE, Uuid::nil(), payload).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_holds_a_window_of_a_backlog_and_all_of_it_is_done() {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__RELAY__WINDOW".into(), "100".into());
    probes(&system, SOMEBODY, &json!("nothing"), 3_000).await;
    system.start_worker(&[]);
    let client = redis::Client::open(system.environment["REDIS_URL"].as_str()).unwrap();
    let most = Cell::new(0);
    eventually("the backlog to be done", || async {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let queue = format!("{{probe}}:t:{SOMEBODY}");
        let held: u64 = redis::cmd("ZCARD").arg(queue).query_async(&mut connection).await.unwrap();
        most.set(most.get().max(held));
        let left = system.database.count("SELECT count(*) FROM job").await;
        if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
    })
    .await;
    let most = most.get();
    assert!((1..=116).contains(&most), "{most} hints at once"); // a few of each workspace find room in any case
    all_done_once(&system, 3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_workspace_does_not_wait_for_a_noisy_one() {
    let mut system = System::start().await;
    probe_settings(&mut system, 4, "10s");
    probes(&system, NOISY, &json!({ "wait": 20 }), 600).await;
    system.start_worker(&[]);
    until(&system.database, "SELECT least(count(*), 20) FROM job_history", 20).await;
    let ids = probes(&system, QUIET, &json!({ "wait": 20 }), 5).await;
    assert_eq!(queue(&system).push(&hints(&ids, QUIET)).await.unwrap(), 0); // as whoever accepts a job does
    all_done_once(&system, 605).await;
    let noisy_meanwhile: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM job_history WHERE workspace_id = $1 \
         AND finished_at BETWEEN (SELECT min(created_at) FROM job_history WHERE workspace_id = $2) \
                             AND (SELECT max(finished_at) FROM job_history WHERE workspace_id = $2)",
    )
    .bind(NOISY)
    .bind(QUIET)
    .fetch_one(&system.database.pool)
    .await
    .unwrap();
    assert!(noisy_meanwhile < 300, "{noisy_meanwhile} of the noisy jobs were done before the last quiet one");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_ledgers_clock_says_what_is_due_or_dead() {
    for off in [TimeDelta::minutes(-10), TimeDelta::minutes(10)] {
        let mut system = System::start().await;
        system.database.own_clock().await;
        let now = system.database.now().await + off;
        system.database.set_clock(now).await;
        // and one whose own clock is wrong besides, where a library is to be had that tells it so
        if let Ok(library) = std::env::var("POSTROOM_FAKETIME") {
            system.environment.insert("LD_PRELOAD".into(), library);
            system.environment.insert("FAKETIME".into(), "+600".into());
            system.environment.insert("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into());
        }
        system.start_worker(&[]);
        let mut wish = system.wish("by the ledger's clock", &[FACEBOOK], &[]);
        let at = (system.database.now().await + TimeDelta::seconds(4)).format("%Y-%m-%dT%H:%M:%SZ");
        wish["schedule"] = json!({ "at": at.to_string() });
        let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
        assert_eq!(status, 202, "{post}");
        let published = system.until(post["id"].as_str().unwrap(), "published").await;
        let time = |name: &str| published["publications"][0][name].as_str().unwrap().parse::<DateTime<Utc>>();
        let late = time("published_at").unwrap() - time("scheduled_for").unwrap();
        assert!(late >= TimeDelta::zero() && late < TimeDelta::minutes(1), "{off}: {late}");
        assert!(!system.workers[0].log().contains("lease has run out"));
        eventually("the job's end", || async {
            let left = system.database.count("SELECT count(*) FROM job").await;
            if left == 0 { Ok(()) } else { Err(left.to_string()) }
        })
        .await;
    }
}
