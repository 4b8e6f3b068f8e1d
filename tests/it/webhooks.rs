//! What networks tell of their own accord: signed, at least once, and never more than a reason to look.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    harness::{System, TIKTOK, eventually, picture},
    support::{Answer, Door},
};

const OPEN_ID: &str = "sandbox-open-id";

fn event(name: &str, publish_id: &str, at: i64) -> Value {
    let content = json!({ "publish_id": publish_id, "publish_type": "DIRECT_PUBLISH" }).to_string();
    json!({ "client_key": "key", "event": name, "create_time": at, "user_openid": OPEN_ID, "content": content })
}

fn signature(secret: &str, at: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    format!("t={at},s={}", hex::encode(mac.finalize().into_bytes()))
}

#[expect(clippy::disallowed_methods, reason = "the sender's clock is the machine's")]
fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

async fn tell(door: &Door, signature: Option<&str>, body: &str) -> Answer {
    let mut request = Request::post("/api/webhooks/tiktok").header("content-type", "application/json");
    if let Some(signature) = signature {
        request = request.header("tiktok-signature", signature);
    }
    door.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

/// A door behind which an account is connected and a post held, whose film has that name.
async fn with_a_held_post() -> Door {
    let door = Door::open().await;
    let account = door.account(TIKTOK).await;
    let media = door.upload("a.jpg", &picture()).await.json()["id"].clone();
    let target = json!({ "account_id": account, "options": { "privacy_level": "SELF_ONLY" } });
    let wish = json!({ "caption": "in doubt", "kind": "post", "media_ids": [media], "targets": [target] });
    assert_eq!(door.post(&wish).await.status, StatusCode::ACCEPTED);
    door.scratch
        .run(&format!("UPDATE account SET external_id = '{OPEN_ID}', connected_at = '2026-01-01Z'"))
        .await;
    let held =
        "UPDATE publication SET state = 'held', handle_kind = 'publish_id', handle_id = 'v_pub_file~1',
                       handle_state = 'ready'";
    door.scratch.run(held).await;
    door
}

async fn in_state(door: &Door, state: &str) -> i64 {
    door.scratch.number(&format!("SELECT count(*) FROM publication WHERE state = '{state}'")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tiktok_did_not_sign_changes_nothing() {
    let door = with_a_held_post().await;
    let at = now();
    let body = event("post.publish.complete", "v_pub_file~1", at).to_string();
    let mut strange = event("post.publish.complete", "v_pub_file~1", at);
    strange["client_key"] = json!("another app's");
    let strange = strange.to_string();
    for (signature, body) in [
        (None, &body),
        (Some(String::new()), &body),
        (Some(signature("another", at, &body)), &body),
        (Some(signature("secret", at - 600, &body)), &body),
        (Some(signature("secret", at, &format!("{body} "))), &body),
        (Some(signature("secret", at, &strange)), &strange),
    ] {
        let answer = tell(&door, signature.as_deref(), body).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{signature:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert_eq!(in_state(&door, "held").await, 1);
    let signed = signature("secret", at, "{}");
    assert_eq!(tell(&door, Some(&signed), "{}").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn tiktoks_word_that_a_held_post_is_public_is_evidence_however_often_it_comes() {
    let door = with_a_held_post().await;
    let tell_of = async |name: &str, publish_id: &str| {
        let body = event(name, publish_id, now()).to_string();
        let answer = tell(&door, Some(&signature("secret", now(), &body)), &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {}", answer.text);
    };
    for name in ["post.publish.failed", "post.publish.inbox_delivered", "something.new"] {
        tell_of(name, "v_pub_file~1").await;
    }
    tell_of("post.publish.complete", "v_pub_file~2").await;
    assert_eq!(in_state(&door, "held").await, 1, "none of this says that it is public");
    for _ in 0..3 {
        tell_of("post.publish.complete", "v_pub_file~1").await;
        assert_eq!(in_state(&door, "published").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_owner_took_the_access_away_is_to_be_connected_again() {
    let door = with_a_held_post().await;
    let removed = async |at: i64| {
        let mut body = event("authorization.removed", "", at);
        body["content"] = json!("{\"reason\":1}");
        let body = body.to_string();
        assert_eq!(tell(&door, Some(&signature("secret", now(), &body)), &body).await.status, StatusCode::OK);
        door.scratch.number("SELECT count(*) FROM account WHERE state = 'reconnect'").await
    };
    assert_eq!(removed(1_700_000_000).await, 0, "it was connected again since");
    assert_eq!(removed(now()).await, 1);
    assert_eq!(removed(now()).await, 1);
}

/// A system whose TikTok tells it what becomes of posts, and which does not look for itself.
async fn told() -> System {
    let mut system = System::start().await;
    for bound in ["LEAST", "MOST"] {
        system.environment.insert(format!("POSTROOM__PUBLISHING__LOOK_{bound}"), "1h".into());
    }
    let hook = json!({ "url": system.url("/api/webhooks/tiktok"), "client_key": "key", "secret": "secret" });
    system.tell("settings", &json!({ "tiktok_webhook": hook, "processing_ms": 2_000 })).await;
    system.start_worker(&[]);
    system
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tiktok_tells_brings_the_next_look_forward() {
    let system = told().await;
    let film = system.post("told of a film", &[TIKTOK]).await;
    system.all_live_once(&[film]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_that_nobody_can_find_are_known_by_the_name_that_tiktok_tells() {
    let system = told().await;
    system.fault(json!({ "call": "commit", "times": 1, "fault": "effect_then_drop" })).await;
    let mut media = Vec::new();
    for name in ["a.jpg", "b.jpg"] {
        media.push(system.upload(name, picture()).await);
    }
    let mut wish = system.wish("told of photos", &[TIKTOK], &media);
    wish["targets"][0]["options"] = json!({ "privacy_level": "SELF_ONLY" });
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
    eventually("its one commit to be judged", || async {
        let calls = system.database.count("SELECT count(*) FROM remote_call WHERE kind = 'commit'").await;
        if calls == 1 { Ok(()) } else { Err(format!("{calls} commits")) }
    })
    .await;
}
