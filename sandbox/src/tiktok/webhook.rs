//! TikTok's webhooks: told at least once, signed with the app's secret.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::model::{Upload, UploadState, Webhook};

/// How often something is told before it is given up, and the wait in between.
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_millis(500);

/// What there is to tell of a post whose processing is over: the events, and what they are about.
pub fn news(upload: &Upload) -> Vec<(&'static str, Value)> {
    let about = json!({ "publish_id": upload.publish_id, "publish_type": "DIRECT_PUBLISH" });
    match &upload.state {
        UploadState::Open | UploadState::Processing { .. } => Vec::new(),
        UploadState::Failed { reason } => {
            let content = json!({ "publish_id": upload.publish_id, "publish_type": "DIRECT_PUBLISH", "reason": reason });
            vec![("post.publish.failed", content)]
        }
        UploadState::Complete { post, .. } if upload.privacy_level == "PUBLIC_TO_EVERYONE" => {
            let shown = json!({
                "publish_id": upload.publish_id, "publish_type": "DIRECT_PUBLISH", "post_id": post,
            });
            vec![("post.publish.complete", about), ("post.publish.publicly_available", shown)]
        }
        UploadState::Complete { .. } => vec![("post.publish.complete", about)],
    }
}

/// Tells one thing, again and again until it is answered with a 2xx or given up.
pub async fn tell(hook: Webhook, account: String, event: &'static str, content: Value, now: DateTime<Utc>) {
    let body = json!({
        "client_key": hook.client_key,
        "event": event,
        "create_time": now.timestamp(),
        "user_openid": account,
        "content": content.to_string(),
    });
    let body = body.to_string();
    let signature = signature(&hook.secret, now.timestamp(), &body);
    let http = reqwest::Client::new();
    for _ in 0..TRIES {
        let request = http.post(&hook.url).header("content-type", "application/json");
        let sent = request.header("tiktok-signature", &signature).body(body.clone()).send().await;
        if sent.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn signature(secret: &str, time: i64, body: &str) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{time}.{body}").as_bytes());
    format!("t={time},s={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_published_vector() {
        let body = r#"{"client_key":"ck_test","event":"post.publish.complete","create_time":1795996400,"user_openid":"oid_1","content":"{\"publish_id\":\"v_pub_file~v2-1.1\",\"publish_type\":\"DIRECT_PUBLISH\"}"}"#;
        let expected = "t=1795996400,s=371283fe3851c000565e0520d0b2d798be8648d7864a08ea07bf5fd1ddff058b";
        assert_eq!(signature("tt_secret", 1_795_996_400, body), expected);
    }
}
