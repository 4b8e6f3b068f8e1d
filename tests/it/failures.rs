//! What must not hurt: kills, flushes, and networks that lie. Every post is public exactly once afterwards.

use jobs::failpoint::Point;
use reqwest::Method;
use serde_json::json;

use crate::{
    chaos::proxy::{CutAt, Relay},
    harness::{FACEBOOK, INSTAGRAM, PLATFORMS, System, TIKTOK, eventually},
};

/// Posts of all three networks, some of them each.
async fn some_posts(system: &System, tag: &str) -> Vec<String> {
    let mut posts = Vec::new();
    for (n, platform) in PLATFORMS.iter().cycle().take(6).enumerate() {
        posts.push(system.post(&format!("{tag} {n}"), &[platform]).await);
    }
    posts
}

async fn commits_misbehave(fault: &str) {
    let system = System::with_workers(1).await;
    system.fault(json!({ "call": "commit", "times_per_object": 1, "fault": fault })).await;
    let posts = some_posts(&system, fault).await;
    system.all_live_once(&posts).await;
    system.every_call_was_logged_first().await;
    let doubts = system.database.count("SELECT count(*) FROM remote_call WHERE kind = 'commit' AND verdict IN ('resolved_yes', 'resolved_no')").await;
    assert_eq!(doubts, 6, "each commit was in doubt once, and the doubt was resolved");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_behind_a_500_is_found_and_not_repeated() {
    commits_misbehave("effect_then_500").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_behind_a_dropped_connection_is_found_and_not_repeated() {
    commits_misbehave("effect_then_drop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_500_without_an_effect_is_proved_and_sent_again() {
    commits_misbehave("no_effect_then_500").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_without_an_effect_is_proved_and_sent_again() {
    commits_misbehave("no_effect_then_drop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_is_no_answer() {
    commits_misbehave("effect_then_half").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_shows_late_is_not_repeated() {
    let system = System::with_workers(1).await;
    let late = json!({ "effect_after_ms": 1200, "then": "drop" });
    system.fault(json!({ "call": "commit", "times_per_object": 1, "fault": late })).await;
    let posts = some_posts(&system, "late effect").await;
    system.all_live_once(&posts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instagrams_spam_answer_proves_nothing() {
    let system = System::with_workers(1).await;
    let spam = json!({ "graph": { "code": 4, "subcode": 2_207_051, "http": 400, "message": "blocked", "effect": true } });
    system
        .fault(json!({ "network": INSTAGRAM, "call": "commit", "times_per_object": 1, "fault": spam }))
        .await;
    let post = system.post("called spam and live", &[INSTAGRAM]).await;
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_found_by_its_words_is_not_taken_for_an_earlier_one_of_the_same_words() {
    let system = System::with_workers(1).await;
    let first = system.post("the same words", &[INSTAGRAM]).await;
    system.until(&first, "published").await;
    system.fault(json!({ "call": "commit", "times": 1, "fault": "effect_then_500" })).await;
    let second = system.post("the same words", &[INSTAGRAM]).await;
    let found = eventually("its address", || async {
        let (_, post) = system.api(Method::GET, &format!("/api/v1/posts/{second}"), None).await;
        let publication = post["publications"][0].clone();
        if publication["permalink"].is_string() { Ok(publication) } else { Err(publication.to_string()) }
    })
    .await;
    let effects = system.effects(INSTAGRAM, "the same words").await;
    assert_eq!(effects.len(), 2);
    assert_eq!(found["remote_id"], effects[1]["object_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_read_is_no_evidence() {
    let system = System::with_workers(1).await;
    system.fault(json!({ "call": "commit", "times": 1, "fault": "effect_then_drop" })).await;
    system.fault(json!({ "call": "observe", "times_per_object": 4, "fault": { "read_error": true } })).await;
    let post = system.post("unreadable for a while", &[FACEBOOK]).await;
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_prepare_waits_and_spends_no_attempt() {
    let system = System::with_workers(1).await;
    system
        .fault(json!({ "call": "prepare", "times": 2, "fault": { "status": 429, "retry_after_s": 1 } }))
        .await;
    let post = system.post("patience", &[TIKTOK]).await;
    system.all_live_once(&[post]).await;
    eventually("its job to be over", || async {
        let left = system.database.count("SELECT count(*) FROM job").await;
        if left == 0 { Ok(()) } else { Err(format!("{left} jobs")) }
    })
    .await;
    assert_eq!(system.database.count("SELECT max(attempt)::bigint FROM job_history").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_rests_the_account_and_a_new_one_wakes_it() {
    let system = System::with_workers(1).await;
    system.fault(json!({ "network": FACEBOOK, "call": "prepare", "times": 1, "fault": { "graph": { "code": 190, "subcode": 460, "http": 400, "message": "password changed", "effect": false } } })).await;
    let post = system.post("until it is connected again", &[FACEBOOK]).await;
    eventually("the account to rest", || async {
        let (_, accounts) = system.api(Method::GET, "/api/v1/accounts", None).await;
        let resting =
            accounts["data"].as_array().unwrap().iter().any(|account| account["state"] == "reconnect");
        if resting { Ok(()) } else { Err(accounts.to_string()) }
    })
    .await;
    let again = [
        "account",
        "add",
        "--workspace",
        "Bakery",
        "--platform",
        FACEBOOK,
        "--external-id",
        "104000000000001",
        "--name",
        "Bakery",
    ];
    let id = system.postroom(&again, r#"{"access_token":"sandbox-page-token"}"#).await;
    assert_eq!(id, system.account(FACEBOOK), "connecting again keeps the account");
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flushing_redis_loses_and_doubles_nothing() {
    let system = System::with_workers(2).await;
    let mut posts = Vec::new();
    for round in 0..5 {
        posts.extend(some_posts(&system, &format!("flush {round}")).await);
        system.flush_redis().await;
    }
    system.all_live_once(&posts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_posts_are_accepted_and_go_out() {
    let mut system = System::with_workers(1).await;
    system.redis.as_mut().unwrap().kill9().await;
    let post = system.post("Redis is gone", &[FACEBOOK]).await;
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_workers_loses_and_doubles_nothing() {
    let mut system = System::with_workers(1).await;
    let mut posts = Vec::new();
    for round in 0..5 {
        posts.extend(some_posts(&system, &format!("kill {round}")).await);
        system.workers[0].kill9().await;
        system.workers.clear();
        system.start_worker(&[]);
    }
    system.all_live_once(&posts).await;
    system.every_call_was_logged_first().await;
}

/// The points that a publication passes in a worker on its way to success.
fn on_the_way() -> impl Iterator<Item = Point> {
    Point::ALL.iter().copied().filter(|point| match point {
        Point::AfterClaim
        | Point::AfterPrepareLogged
        | Point::AfterPrepareAnswer
        | Point::AfterPrepared
        | Point::AfterArm
        | Point::BeforeCommitSend
        | Point::AfterCommitAnswer
        | Point::AfterSeen
        | Point::BeforeSettle
        | Point::AfterSettle => true,
        Point::AfterWithdrawn
        | Point::AfterTakeDownLogged
        | Point::AfterTakeDownAnswer
        | Point::AfterEvidence
        | Point::AfterRefreshLogged
        | Point::AfterRefreshAnswer
        | Point::AfterRefreshSaved
        | Point::AfterAnalysisReserved
        | Point::AfterAnalysisAnswer
        | Point::AfterAnalysisSettled
        | Point::AfterCodeLogged
        | Point::AfterCodeAnswer
        | Point::AfterGranted
        | Point::AfterOffered
        | Point::BeforeConnected
        | Point::AfterConnected
        | Point::AfterParted
        | Point::AfterStoneLaid
        | Point::AfterDeletionTurn
        | Point::AfterDraftLogged
        | Point::AfterDraftAnswer
        | Point::AfterRevokeLogged
        | Point::AfterRevokeAnswer
        | Point::AfterShredded
        | Point::AfterPurgeBatch
        | Point::AfterFilesErased
        | Point::AfterVerified
        | Point::AfterTold
        | Point::AfterRecipientErased
        | Point::AfterForgotten
        | Point::AfterExportGathered
        | Point::AfterExportPart
        | Point::AfterExportJoined
        | Point::AfterWebhookAnswer
        | Point::AfterRetentionBatch
        | Point::AfterAccept => false,
    })
}

#[test]
fn a_failpoint_that_no_test_arms_does_not_pass() {
    let tests = concat!(
        include_str!("failures.rs"),
        include_str!("cancels.rs"),
        include_str!("take_downs.rs"),
        include_str!("connect/killed.rs"),
        include_str!("disconnect.rs"),
        include_str!("tokens.rs"),
        include_str!("deletions.rs"),
        include_str!("analyses.rs"),
        include_str!("retention.rs"),
        include_str!("exports.rs"),
        include_str!("deliveries.rs")
    );
    for point in Point::ALL {
        let by_itself = tests.contains(&format!("(Point::{point:?}.word(), \"kill9\")"))
            || tests.contains(&format!("\"{}=kill9\"", point.word()));
        let of_kind = ["deletion", "export"].into_iter().any(|kind| {
            let walked = tests.contains(&format!("Point::of_kind(\"{kind}\")"));
            walked && Point::of_kind(kind).any(|walked| walked == *point)
        });
        let walked = of_kind || on_the_way().any(|walked| walked == *point);
        assert!(by_itself || walked, "nothing dies at {}", point.word());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_step_leaves_one_post() {
    for platform in [FACEBOOK, TIKTOK] {
        let mut system = System::start().await;
        for point in on_the_way() {
            let post = system.post(&format!("killed at {}", point.word()), &[platform]).await;
            system.start_worker(&[(point.word(), "kill9")]);
            let mut worker = system.workers.pop().unwrap();
            let reached =
                matches!((platform, point), (TIKTOK, Point::AfterSeen)) || worker.ended().await.is_none();
            assert!(reached, "{} was not reached: {}", point.word(), worker.log());
            worker.kill9().await;
            system.start_worker(&[]);
            system.all_live_once(&[post]).await;
            system.workers.clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_it_reconciles_leaves_one_post() {
    let mut system = System::start().await;
    system.fault(json!({ "call": "commit", "times": 1, "fault": "effect_then_drop" })).await;
    let post = system.post("killed over the evidence", &[FACEBOOK]).await;
    system.start_worker(&[(Point::AfterEvidence.word(), "kill9")]);
    assert_eq!(system.workers[0].ended().await, None);
    system.start_worker(&[]);
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_job_is_a_failed_attempt_and_not_a_dead_worker() {
    let mut system = System::start().await;
    system.start_worker(&[(Point::BeforeCommitSend.word(), "panic")]);
    let post = system.post("a panic with the intent armed", &[FACEBOOK]).await;
    system.until(&post, "confirming").await;
    assert!(system.workers[0].pid().is_some(), "the worker lives on");
    system.workers[0].signal("TERM").await;
    assert_eq!(system.workers[0].ended().await, Some(0));
    system.start_worker(&[]);
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_sleeps_past_its_lease_sends_nothing_twice() {
    let mut system = System::start().await;
    system.start_worker(&[(Point::BeforeCommitSend.word(), "stop")]);
    let post = system.post("asleep with the intent armed", &[FACEBOOK]).await;
    eventually("the intent", || async {
        let armed = system.database.count("SELECT count(*) FROM publication WHERE state = 'armed'").await;
        if armed == 1 { Ok(()) } else { Err("not armed".into()) }
    })
    .await;
    system.start_worker(&[]);
    system.all_live_once(std::slice::from_ref(&post)).await;
    let asleep = system.workers.remove(0);
    asleep.signal("CONT").await;
    eventually("the sleeper to notice", || async {
        let log = asleep.log();
        if log.contains("lease has run out") || log.contains("fenced off") { Ok(()) } else { Err(log) }
    })
    .await;
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_accepted_by_an_intake_that_dies_is_not_lost() {
    let mut system = System::with_workers(1).await;
    system.environment.insert("POSTROOM_FAILPOINTS".into(), "after_accept=kill9".into());
    system.web.take().unwrap().kill9().await;
    system.start_web().await;
    let wish = system.wish("the intake died after its commit", &[FACEBOOK], &[]);
    let client = crate::harness::client();
    let send = || {
        client
            .post(system.url("/api/v1/posts"))
            .bearer_auth(&system.key)
            .header("Idempotency-Key", "once")
            .json(&wish)
            .send()
    };
    assert!(send().await.is_err(), "the intake died before its answer");
    system.environment.remove("POSTROOM_FAILPOINTS");
    system.start_web().await;
    let again = client
        .post(system.url("/api/v1/posts"))
        .bearer_auth(&system.key)
        .header("Idempotency-Key", "once")
        .json(&wish)
        .send()
        .await
        .unwrap();
    assert_eq!(again.headers()["Idempotent-Replayed"], "true");
    let post: serde_json::Value = again.json().await.unwrap();
    system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_could_not_go_out_in_time_is_held_and_not_sent_late() {
    let mut system = System::start().await;
    let mut wish = system.wish("too late", &[FACEBOOK], &[]);
    wish["latest_after"] = json!("PT1S");
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    eventually("its latest time", || async {
        let late =
            system.database.count("SELECT count(*) FROM publication WHERE latest_at < ledger_now()").await;
        if late == 1 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    system.start_worker(&[]);
    let held = system.until(post["id"].as_str().unwrap(), "held").await;
    assert_eq!(held["publications"][0]["error"]["code"], "too_late", "{held}");
    assert!(system.effects(FACEBOOK, "too late").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_posts_of_a_resting_account_are_held_when_their_time_is_over() {
    let system = System::with_workers(1).await;
    system.fault(json!({ "network": FACEBOOK, "call": "prepare", "fault": { "graph": { "code": 190, "subcode": 460, "http": 400, "message": "password changed", "effect": false } } })).await;
    let mut wish = system.wish("nobody came to mend it", &[FACEBOOK], &[]);
    wish["latest_after"] = json!("PT1S");
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    system.until(post["id"].as_str().unwrap(), "held").await;
    assert_eq!(system.database.count("SELECT count(*) FROM job").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_outlives_an_outage_of_the_ledger_longer_than_its_lease() {
    let system = System::with_workers(1).await;
    let warm = system.post("before the outage", &[FACEBOOK]).await;
    system.all_live_once(&[warm]).await;
    // the lease cannot be renewed while its table is locked, as it cannot while the ledger is away
    let mut locked = system.database.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE worker IN ACCESS EXCLUSIVE MODE").execute(&mut *locked).await.unwrap();
    eventually("the lease to run out", || async {
        let log = system.workers[0].log();
        if log.contains("lease has run out") { Ok(()) } else { Err(log) }
    })
    .await;
    locked.rollback().await.unwrap();
    let post = system.post("after the outage", &[FACEBOOK]).await;
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_called_a_spammer_is_left_alone_for_a_while() {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__NETWORKS__INSTAGRAM__SPAM_PAUSE".into(), "4s".into());
    system.start_worker(&[]);
    let spam = json!({ "graph": { "code": 4, "subcode": 2_207_051, "http": 400, "message": "blocked", "effect": true } });
    system.fault(json!({ "network": INSTAGRAM, "call": "commit", "times": 1, "fault": spam })).await;
    let first = system.post("the last for a while", &[INSTAGRAM]).await;
    system.all_live_once(&[first]).await;
    let second = system.post("after the rest", &[INSTAGRAM]).await;
    system.all_live_once(&[second]).await;
    let apart: f64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM max(started_at) - min(started_at))::float8 FROM remote_call WHERE kind = 'commit'",
    )
    .fetch_one(&system.database.pool)
    .await
    .unwrap();
    assert!(apart >= 4.0, "{apart} s between the two commits");
}

/// A system whose intake reaches the ledger through a relay.
async fn with_a_relay() -> (System, Relay) {
    let mut system = System::start().await;
    let mut address = url::Url::parse(&system.database.url).unwrap();
    let relay = Relay::to(address.port().unwrap()).await;
    address.set_port(Some(relay.port)).unwrap();
    system.environment.insert("DATABASE_URL".into(), address.into());
    if let Some(web) = &mut system.web {
        web.kill9().await;
    }
    system.start_web().await;
    (system, relay)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_asked_after_and_answered() {
    let (system, relay) = with_a_relay().await;
    relay.cut_at(CutAt { words: b"COMMIT", delivered: true });
    system.post("committed, and nobody was told", &[FACEBOOK]).await;
    assert_eq!(system.database.count("SELECT count(*) FROM post").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_arrived_is_refused_and_leaves_nothing() {
    let (system, relay) = with_a_relay().await;
    relay.cut_at(CutAt { words: b"COMMIT", delivered: false });
    let wish = system.wish("never committed", &[FACEBOOK], &[]);
    let (status, answer) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 503, "{answer}");
    assert_eq!(system.database.count("SELECT count(*) FROM post").await, 0);
}
