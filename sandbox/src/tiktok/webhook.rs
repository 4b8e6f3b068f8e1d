//! TikTok's webhooks: told at least once, signed with the app's secret.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::model::{Upload, UploadState, Webhook};

/// How often something is told before it is given up, and the wait in between.
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_millis(500);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Told once everybody may see a post, which moderation may delay.
pub const AVAILABLE: &str = "post.publish.publicly_available";

/// What can be told, and when TikTok tells it.
pub const EVENTS: &[(&str, &str)] = &[
    ("post.publish.complete", "the post is published"),
    (AVAILABLE, "everybody may see it, and it has an id"),
    ("post.publish.failed", "it will not be published"),
    ("post.publish.no_longer_publicaly_available", "it was taken down"),
    ("authorization.removed", "the owner took the access back"),
];

/// One thing that is told.
#[derive(Debug, Clone)]
pub struct Told {
    /// The account's `open_id`.
    pub account: String,
    /// The event.
    pub event: &'static str,
    /// What it is about.
    pub content: Value,
}

/// How something is told by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// As TikTok tells it.
    Rightly,
    /// Twice, as TikTok may.
    Twice,
    /// Signed with another secret.
    Forged,
    /// Signed an hour ago: a replay.
    Old,
}

impl How {
    /// The way of that name; the right one unless it names another.
    pub fn named(name: &str) -> Self {
        match name {
            "twice" => Self::Twice,
            "forged" => Self::Forged,
            "old" => Self::Old,
            _ => Self::Rightly,
        }
    }
}

/// What there is to tell of a post whose processing is over.
pub fn news(upload: &Upload) -> Vec<Told> {
    let everybody = upload.privacy_level == "PUBLIC_TO_EVERYONE";
    let events: &[&'static str] = match &upload.state {
        UploadState::Open | UploadState::Processing { .. } => &[],
        UploadState::Failed { .. } => &["post.publish.failed"],
        UploadState::Complete { .. } if everybody => &["post.publish.complete", AVAILABLE],
        UploadState::Complete { .. } => &["post.publish.complete"],
    };
    let told = |event: &&'static str| Told {
        account: upload.account.clone(),
        event,
        content: content(event, upload),
    };
    events.iter().map(told).collect()
}

/// What an event says of a post.
pub fn content(event: &str, upload: &Upload) -> Value {
    if event == "authorization.removed" {
        return json!({ "reason": 1 });
    }
    let mut content = json!({ "publish_id": upload.publish_id, "publish_type": "DIRECT_PUBLISH" });
    match &upload.state {
        UploadState::Failed { reason } => content["reason"] = reason.as_str().into(),
        UploadState::Complete { post, .. } if event.ends_with("available") => {
            content["post_id"] = post.as_str().into();
        }
        UploadState::Open | UploadState::Processing { .. } | UploadState::Complete { .. } => {}
    }
    content
}

/// Tells one thing, again and again until it is answered with a 2xx or given up.
pub async fn tell(hook: Webhook, told: Told, now: DateTime<Utc>) {
    for _ in 0..TRIES {
        if send(&hook, &hook.secret, &told, now).await.is_ok_and(|status| status.is_success()) {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Tells one thing in one of the ways there are, and gives what was answered.
pub async fn tell_now(hook: &Webhook, told: &Told, how: How, now: DateTime<Utc>) -> Vec<String> {
    let (times, secret, now) = match how {
        How::Rightly => (1, hook.secret.as_str(), now),
        How::Twice => (2, hook.secret.as_str(), now),
        How::Forged => (1, "another secret", now),
        How::Old => (1, hook.secret.as_str(), now - TimeDelta::hours(1)),
    };
    let mut answers = Vec::new();
    for _ in 0..times {
        let answer = send(hook, secret, told, now).await;
        answers.push(answer.map_or_else(|_| "none".to_owned(), |status| status.as_u16().to_string()));
    }
    answers
}

async fn send(hook: &Webhook, secret: &str, told: &Told, now: DateTime<Utc>) -> reqwest::Result<StatusCode> {
    let body = json!({
        "client_key": hook.client_key,
        "event": told.event,
        "create_time": now.timestamp(),
        "user_openid": told.account,
        "content": told.content.to_string(),
    });
    let body = body.to_string();
    let signature = signature(secret, now.timestamp(), &body);
    let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let request = http.post(&hook.url).header("content-type", "application/json");
    Ok(request.header("tiktok-signature", signature).body(body).send().await?.status())
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
