//! Cancelled, failed or too late while the outcome is in doubt: what a network carries out late is then called
//! published, or can never be carried out. Either way the ledger says what the public sees.

use jobs::failpoint::Point;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{FACEBOOK, INSTAGRAM, PLATFORMS, System, TIKTOK, eventually};

/// After this no network carries out any more what it was sent; shorter than a day, for tests.
const LATE_LIMIT: &str = "12s";

/// A system whose networks have so long to carry out what they were sent, and no worker yet.
async fn system() -> System {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__PUBLISHING__LATE_LIMIT".into(), LATE_LIMIT.into());
    system.environment.insert("POSTROOM__PUBLISHING__LOOK_MOST".into(), "500ms".into());
    system
}

/// The answer to each commit is lost, and the request is carried out so much later.
async fn carried_out_late(system: &System, platform: &str, ms: u32) {
    let late = json!({ "effect_after_ms": ms, "then": "drop" });
    let rule = json!({ "network": platform, "call": "commit", "times_per_object": 1, "fault": late });
    system.fault(rule).await;
}

/// Cancels a post as soon as its outcome is in doubt; the answer says that the wish is kept.
async fn cancelled_in_doubt(system: &System, post: &str) {
    system.until(post, "confirming").await;
    let (status, answer) = system.api(Method::POST, &format!("/api/v1/posts/{post}/cancel"), None).await;
    assert_eq!(status, 409, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("wish to cancel is kept"), "{answer}");
}

/// Waits until the post is at an end, and until the networks carry nothing out any more.
async fn ended(system: &System, post: &str) -> Value {
    let ended = eventually("its end", || async {
        let (_, answer) = system.api(Method::GET, &format!("/api/v1/posts/{post}"), None).await;
        let over = ["published", "cancelled", "held", "failed"].contains(&answer["state"].as_str().unwrap());
        if over { Ok(answer) } else { Err(answer.to_string()) }
    })
    .await;
    eventually("the networks to have carried everything out", || async {
        match system.control("pending").await["pending"].as_u64() {
            Some(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let (_, again) = system.api(Method::GET, &format!("/api/v1/posts/{post}"), None).await;
    assert_eq!(again["state"], ended["state"], "what has ended stays so");
    ended
}

/// Published and public, or neither.
async fn told_truly(system: &System, platform: &str, post: &Value) -> bool {
    let effects = system.effects(platform, post["caption"].as_str().unwrap()).await.len();
    let published = post["state"] == "published";
    assert_eq!(effects, usize::from(published), "{post}");
    system.every_call_was_logged_first().await;
    published
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_carried_out_before_it_is_taken_back_is_called_published() {
    let mut system = system().await;
    system.start_worker(&[]);
    for platform in PLATFORMS {
        // while it is in quarantine, before anything is taken back
        carried_out_late(&system, platform, 1_500).await;
        let post = system.post(&format!("soon enough on {platform}"), &[platform]).await;
        cancelled_in_doubt(&system, &post).await;
        let post = ended(&system, &post).await;
        assert!(told_truly(&system, platform, &post).await, "{post}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_is_cancelled_and_never_becomes_public() {
    let mut system = system().await;
    system.start_worker(&[]);
    for platform in [FACEBOOK, TIKTOK] {
        carried_out_late(&system, platform, 9_000).await;
        let post = system.post(&format!("taken back on {platform}"), &[platform]).await;
        cancelled_in_doubt(&system, &post).await;
        let post = ended(&system, &post).await;
        assert_eq!(post["state"], "cancelled", "{post}");
        told_truly(&system, platform, &post).await;
        let taken = "SELECT count(*) FROM remote_call WHERE kind = 'discard' AND verdict = 'ok'";
        assert!(system.database.count(taken).await > 0, "it was taken back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_back_is_waited_for() {
    let mut system = system().await;
    system.start_worker(&[]);
    // two reads have shown by then that it is absent, and it is not
    carried_out_late(&system, INSTAGRAM, 8_000).await;
    let post = system.post("late, and out", &[INSTAGRAM]).await;
    cancelled_in_doubt(&system, &post).await;
    let post = ended(&system, &post).await;
    assert!(told_truly(&system, INSTAGRAM, &post).await, "{post}");
    system.calm().await;
    system.fault(json!({ "call": "commit", "times_per_object": 1, "fault": "no_effect_then_drop" })).await;
    let post = system.post("lost for good", &[INSTAGRAM]).await;
    cancelled_in_doubt(&system, &post).await;
    let post = ended(&system, &post).await;
    assert_eq!(post["state"], "cancelled", "{post}");
    told_truly(&system, INSTAGRAM, &post).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_late_is_held_only_when_it_can_no_longer_become_public() {
    let mut system = system().await;
    system.start_worker(&[]);
    for platform in PLATFORMS {
        carried_out_late(&system, platform, 8_500).await;
        let media = match platform {
            TIKTOK => vec![system.upload("film.mp4", crate::harness::film()).await],
            INSTAGRAM => vec![system.upload("picture.jpg", crate::harness::picture()).await],
            _ => Vec::new(),
        };
        let mut wish = system.wish(&format!("late on {platform}"), &[platform], &media);
        wish["latest_after"] = json!("PT3S");
        let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
        assert_eq!(status, 202, "{post}");
        let post = ended(&system, post["id"].as_str().unwrap()).await;
        if !told_truly(&system, platform, &post).await {
            assert_eq!(post["publications"][0]["error"]["code"], "too_late", "{post}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_after_it_took_something_back_leaves_what_it_says() {
    // a draft that is gone says nothing of itself: a person decides; TikTok says what it has cancelled
    for (platform, state) in [(FACEBOOK, "held"), (TIKTOK, "cancelled")] {
        let mut system = system().await;
        carried_out_late(&system, platform, 9_000).await;
        let post = system.post(&format!("killed on {platform}"), &[platform]).await;
        system.start_worker(&[(Point::AfterWithdrawn.word(), "kill9")]);
        cancelled_in_doubt(&system, &post).await;
        assert_eq!(system.workers[0].ended().await, None);
        system.start_worker(&[]);
        let post = ended(&system, &post).await;
        assert_eq!(post["state"], state, "{post}");
        told_truly(&system, platform, &post).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_wakes_after_every_limit_finds_nothing_left_to_make_public() {
    let mut system = system().await;
    system.environment.insert("POSTROOM__PUBLISHING__LATE_LIMIT".into(), "1s".into());
    system.start_worker(&[(Point::BeforeCommitSend.word(), "stop")]);
    let post = system.post("asleep for longer than any limit", &[FACEBOOK]).await;
    eventually("the intent", || async {
        let armed = system.database.count("SELECT count(*) FROM publication WHERE state = 'armed'").await;
        if armed == 1 { Ok(()) } else { Err("not armed".into()) }
    })
    .await;
    system.start_worker(&[]);
    cancelled_in_doubt(&system, &post).await;
    let ended = ended(&system, &post).await;
    assert_eq!(ended["state"], "cancelled", "{ended}");
    let taken = "SELECT count(*) FROM remote_call WHERE kind = 'discard' AND verdict = 'ok'";
    assert_eq!(system.database.count(taken).await, 1, "it was taken back, and not dead by time alone");
    let asleep = system.workers.remove(0);
    asleep.signal("CONT").await;
    eventually("the sleeper to send, or to notice", || async {
        let (calls, log) = (system.control("calls").await, asleep.log());
        let sent = calls["data"].as_array().unwrap().iter().any(|call| call["call"] == "publish_post");
        if sent || log.contains("lease has run out") { Ok(()) } else { Err(log) }
    })
    .await;
    told_truly(&system, FACEBOOK, &ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_carried_out_without_an_end_is_held_and_not_looked_at_for_ever() {
    let mut system = system().await;
    system.start_worker(&[]);
    let media = [system.upload("film.mp4", crate::harness::film()).await];
    let mut wish = system.wish("processed for ever", &[FACEBOOK], &media);
    wish["kind"] = json!("reel");
    // two reads have shown by then that it is absent, and it is not
    carried_out_late(&system, FACEBOOK, 7_500).await;
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    let post = post["id"].as_str().unwrap();
    cancelled_in_doubt(&system, post).await;
    system.tell("settings", &json!({ "processing_ms": 3_600_000 })).await;
    let held = system.until(post, "held").await;
    assert_eq!(held["publications"][0]["error"]["code"], "not_provable", "{held}");
}
