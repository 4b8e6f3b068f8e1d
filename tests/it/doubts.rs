//! What leads out of doubt, and what does not: refusals that nobody can vouch for, evidence that is told while the
//! ledger is away, posts that look alike.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{FACEBOOK, INSTAGRAM, System, eventually};

const COMMITS: &str = "SELECT count(*) FROM remote_call WHERE kind = 'commit'";

/// A system that sends nothing more often than this, and one worker.
async fn with_attempts(attempts: u32) -> System {
    let mut system = System::start().await;
    for (name, value) in [
        ("POSTROOM__JOBS__PUBLISH__RETRY_ATTEMPTS", attempts.to_string().as_str()),
        ("POSTROOM__PUBLISHING__LOOK_MOST", "500ms"),
        ("POSTROOM__PUBLISHING__LATE_LIMIT", "8s"),
    ] {
        system.environment.insert(name.into(), value.into());
    }
    system.start_worker(&[]);
    system
}

/// What the author is told of a post's only publication.
async fn told(system: &System, post: &str) -> Value {
    let (_, answer) = system.api(Method::GET, &format!("/api/v1/posts/{post}"), None).await;
    answer["publications"][0]["error"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_not_publish_rests_and_is_not_asked_again_and_again() {
    let system = with_attempts(3).await;
    let refused = json!({ "graph": { "code": 25, "subcode": 2_207_050, "http": 400, "effect": false } });
    system.fault(json!({ "network": INSTAGRAM, "call": "commit", "fault": refused })).await;
    let post = system.post("the account is restricted", &[INSTAGRAM]).await;
    eventually("the account to rest", || async {
        let resting = "SELECT count(*) FROM account a JOIN job j ON j.account_id = a.id
                       WHERE a.state = 'reconnect' AND j.standing = 'paused'";
        if system.database.count(resting).await == 1 {
            return Ok(());
        }
        Err(format!("{} after {} commits", told(&system, &post).await, system.database.count(COMMITS).await))
    })
    .await;
    assert!(system.database.count(COMMITS).await <= 3);
    let error = told(&system, &post).await;
    assert_eq!((&error["class"], &error["who_acts"]), (&json!("permission"), &json!("owner")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("restricted or inactive"), "{error}");
    // once its owner has mended it, it goes out
    system.calm().await;
    let again = ["account", "add", "--workspace", "Bakery", "--platform", INSTAGRAM];
    let again = [&again[..], &["--external-id", "17841400000000001", "--name", "Bakery"]].concat();
    system.postroom(&again, r#"{"access_token":"sandbox-page-token"}"#).await;
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_network_refuses_for_good_is_sent_once_and_fails_with_its_reason() {
    let system = with_attempts(25).await;
    let refused = json!({ "graph": { "code": 100, "subcode": 2_207_023, "http": 400, "effect": false } });
    system.fault(json!({ "network": INSTAGRAM, "call": "commit", "fault": refused })).await;
    let post = system.post("of a type it does not take", &[INSTAGRAM]).await;
    system.until(&post, "failed").await;
    assert_eq!(system.database.count(COMMITS).await, 1);
    let error = told(&system, &post).await;
    assert_eq!((&error["code"], &error["who_acts"]), (&json!("100/2207023"), &json!("author")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_no_known_reason_spends_its_attempts() {
    let system = with_attempts(2).await;
    system.fault(json!({ "network": FACEBOOK, "call": "commit", "fault": "no_effect_then_500" })).await;
    let post = system.post("never taken, never refused", &[FACEBOOK]).await;
    system.until(&post, "failed").await;
    assert_eq!(system.database.count(COMMITS).await, 2);
    assert!(system.effects(FACEBOOK, "never taken, never refused").await.is_empty());
    let error = told(&system, &post).await;
    assert_eq!(error["class"], "transient", "{error}");
}
