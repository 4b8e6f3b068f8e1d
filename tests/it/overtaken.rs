//! What was accepted after a claim was made outlives the failure of what was there before: a change is tried, and a
//! promised cancel ends as cancelled.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{FACEBOOK, System, picture};

/// A post whose first picture takes its time at the network, and which is then answered so; it is being prepared.
async fn preparing(system: &mut System, caption: &str, fault: &Value) -> String {
    let files = [system.upload("a.jpg", picture()).await, system.upload("b.jpg", picture()).await];
    system.fault(json!({ "call": "photos", "times": 1, "fault": { "delay_ms": 4000 } })).await;
    system.fault(json!({ "call": "feed", "times": 1, "fault": fault })).await;
    let (status, post) =
        system.api(Method::POST, "/api/v1/posts", Some(&system.wish(caption, &[FACEBOOK], &files))).await;
    assert_eq!(status, 202, "{post}");
    let post = post["id"].as_str().unwrap().to_owned();
    if system.workers.is_empty() {
        system.start_worker(&[]);
    }
    system.until(&post, "preparing").await;
    post
}

fn refused() -> Value {
    json!({ "graph": { "code": 100, "subcode": 1, "http": 400, "message": "not these words", "effect": false } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_accepted_is_tried_though_what_was_before_it_fails() {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__JOBS__PUBLISH__RETRY_ATTEMPTS".into(), "1".into());
    for (name, fault) in [("refused", refused()), ("given up", json!("no_effect_then_500"))] {
        let (before, after) = (format!("{name} before"), format!("{name} after"));
        let post = preparing(&mut system, &before, &fault).await;
        let path = format!("/api/v1/posts/{post}");
        let (status, answer) = system.api(Method::PATCH, &path, Some(&json!({ "caption": after }))).await;
        assert_eq!(status, 202, "{answer}");
        let published = system.until(&post, "published").await;
        assert_eq!(published["caption"], after);
        system.all_live_once(&[post]).await;
        assert_eq!(system.effects(FACEBOOK, &before).await.len(), 0);
        assert_eq!(system.effects(FACEBOOK, &after).await.len(), 1);
        system.calm().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_was_promised_is_no_failure_though_what_was_prepared_fails() {
    let mut system = System::start().await;
    let post = preparing(&mut system, "promised", &refused()).await;
    let (status, answer) = system.api(Method::POST, &format!("/api/v1/posts/{post}/cancel"), None).await;
    assert_eq!(status, 202, "{answer}");
    system.until(&post, "cancelled").await;
    assert_eq!(system.effects(FACEBOOK, "promised").await.len(), 0);
}

/// A post whose worker died over it, as one more may before the limit is reached.
async fn died_over(system: &mut System, caption: &str) -> String {
    for (key, crashes) in [("ISOLATE_AFTER", "1"), ("CRASH_LIMIT", "2")] {
        system.environment.insert(format!("POSTROOM__LEASE__{key}"), crashes.into());
    }
    let post = system.post(caption, &[FACEBOOK]).await;
    sqlx::query("UPDATE job SET crash_count = 1").execute(&system.database.pool).await.unwrap();
    system.start_worker(&[("after_prepare_logged", "kill9")]);
    assert_eq!(system.workers[0].ended().await, None, "it was killed: {}", system.workers[0].log());
    system.workers.clear();
    post
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_came_before_the_last_worker_was_missed_is_tried_once_more() {
    let mut system = System::start().await;
    let post = died_over(&mut system, "poison").await;
    let change = json!({ "caption": "harmless" });
    let (status, answer) = system.api(Method::PATCH, &format!("/api/v1/posts/{post}"), Some(&change)).await;
    assert_eq!(status, 202, "{answer}");
    system.start_worker(&[]);
    system.all_live_once(&[post]).await;
    assert_eq!(system.effects(FACEBOOK, "harmless").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_was_promised_is_honoured_though_its_workers_died() {
    let mut system = System::start().await;
    let post = died_over(&mut system, "nobody").await;
    let (status, answer) = system.api(Method::POST, &format!("/api/v1/posts/{post}/cancel"), None).await;
    assert_eq!(status, 202, "{answer}");
    system.start_worker(&[]);
    system.until(&post, "cancelled").await;
}
