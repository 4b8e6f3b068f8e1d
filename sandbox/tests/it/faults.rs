//! Scripted faults: what they leave behind, and what the caller gets to see.

use reqwest::Method;
use serde_json::json;
use sha2::Digest;

use crate::harness::{IG, Net, PAGE, code, id, jpeg, mp4};

#[tokio::test]
async fn effect_then_drop_leaves_the_effect_and_no_answer() {
    let net = Net::start().await;
    net.fault(json!({ "call": "commit", "times_per_object": 1, "fault": "effect_then_drop" })).await;
    let post = net.draft("kept").await;
    let flip = net.graph(Method::POST, &post).form(&[("is_published", "true")]).send().await;
    assert!(flip.is_err_and(|error| error.status().is_none()));
    assert_eq!(net.effects().await, ["kept"]);
    assert_eq!(net.flip(&post).await.0, 200, "only the first call of each post is dropped");
    assert_eq!(net.effects().await.len(), 1);
    let calls = net.control_get("calls?call=publish_post").await;
    assert_eq!(calls["data"][0]["fault"], "effect_then_drop");
    assert!(calls["data"][0]["status"].is_null());
    assert_eq!(calls["data"][1]["status"], 200);
}

#[tokio::test]
async fn no_effect_then_500_leaves_nothing() {
    let net = Net::start().await;
    net.fault(json!({ "call": "publish_post", "times": 1, "fault": "no_effect_then_500" })).await;
    let post = net.draft("lost").await;
    let answer = net.flip(&post).await;
    assert_eq!((answer.0, code(&answer).0), (500, 1));
    assert!(net.effects().await.is_empty());
    assert_eq!(net.is_published(&post).await, false);
}

#[tokio::test]
async fn no_effect_then_drop_leaves_neither_effect_nor_answer() {
    let net = Net::start().await;
    net.fault(json!({ "network": "instagram_business", "call": "commit", "fault": "no_effect_then_drop" }))
        .await;
    let container = net.container("x").await;
    let call = net.graph(Method::POST, &format!("{}/media_publish", crate::harness::IG));
    assert!(call.form(&[("creation_id", &container)]).send().await.is_err());
    assert_eq!(net.status_code(&container).await, "FINISHED");
    let post = net.draft("other network").await;
    assert_eq!(net.flip(&post).await.0, 200);
}

#[tokio::test]
async fn half_an_answer_is_a_broken_body() {
    let net = Net::start().await;
    net.fault(json!({ "call": "commit", "fault": "effect_then_half" })).await;
    let post = net.draft("half").await;
    let answer =
        net.graph(Method::POST, &post).form(&[("is_published", "true")]).send().await.expect("a head");
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.is_err());
    assert_eq!(net.effects().await, ["half"]);
}

#[tokio::test]
async fn a_cut_off_json_comes_in_a_sound_answer() {
    let net = Net::start().await;
    net.fault(json!({ "call": "commit", "fault": "malformed_json" })).await;
    let post = net.draft("odd").await;
    let answer =
        net.graph(Method::POST, &post).form(&[("is_published", "true")]).send().await.expect("a head");
    let text = answer.text().await.expect("a body");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_err(), "{text}");
}

#[tokio::test]
async fn a_late_effect_comes_after_the_answer() {
    let net = Net::start().await;
    net.fault(json!({ "call": "commit", "fault": { "effect_after_ms": 3_600_000, "then": "500" } })).await;
    let post = net.draft("late").await;
    assert_eq!(net.flip(&post).await.0, 500);
    assert!(net.effects().await.is_empty());
    net.advance(3_600_000).await;
    net.seen("late").await;
}

#[tokio::test]
async fn stale_reads_show_the_state_before_the_effect_for_a_while() {
    let net = Net::start().await;
    net.fault(json!({ "call": "commit", "fault": { "stale_read_ms": 60_000 } })).await;
    let post = net.draft("unseen").await;
    let container = net.container("unseen too").await;
    let video = mp4(1000);
    let (upload, url) = net.open_upload("unseen three", &video).await;
    net.flip(&post).await;
    net.media_publish(&container).await;
    net.put(&url, &video, 0, 1000).send().await.expect("an answer");
    let direct = net.graph_post(&format!("{PAGE}/feed"), &[("message", "direct")]).await;
    let direct = crate::harness::id(&direct);

    assert_eq!(net.effects().await.len(), 4);
    assert_eq!(net.is_published(&post).await, false);
    assert_eq!(net.is_published(&direct).await, false);
    assert_eq!(net.status_code(&container).await, "FINISHED");
    assert_eq!(net.upload_status(&upload).await["status"], "PROCESSING_UPLOAD");
    net.advance(60_000).await;
    assert_eq!(net.is_published(&post).await, true);
    assert_eq!(net.status_code(&container).await, "PUBLISHED");
    assert_eq!(net.upload_status(&upload).await["status"], "PUBLISH_COMPLETE");
}

#[tokio::test]
async fn a_scripted_error_takes_effect_if_it_is_told_to() {
    let net = Net::start().await;
    let spam = json!({ "code": 4, "subcode": 2_207_051, "http": 403, "message": "spam", "effect": true });
    net.fault(json!({ "call": "media_publish", "fault": { "graph": spam } })).await;
    let container = net.container("spam?").await;
    let answer = net.media_publish(&container).await;
    assert_eq!((answer.0, code(&answer)), (403, (4, 2_207_051)));
    assert_eq!(net.effects().await, ["spam?"]);
}

#[tokio::test]
async fn a_throttle_says_when_to_come_back() {
    let net = Net::start().await;
    net.fault(json!({ "network": "tiktok", "fault": { "status": 429, "retry_after_s": 3 }, "times": 1 }))
        .await;
    let call = net.http().post(format!("{}/v2/post/publish/status/fetch/", net.addresses().tiktok));
    let answer = call.json(&json!({ "publish_id": "x" })).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"3".parse().expect("3")));
}

#[tokio::test]
async fn read_errors_hit_reads_only() {
    let net = Net::start().await;
    net.fault(json!({ "fault": { "read_error": true } })).await;
    let post = net.draft("x").await;
    assert_eq!(code(&net.graph_get(&format!("{post}?fields=is_published")).await), (100, 33));
    assert_eq!(net.flip(&post).await.0, 200);
}

#[tokio::test]
async fn a_container_can_be_made_to_fail() {
    let net = Net::start().await;
    net.fault(json!({ "call": "media", "caption_contains": "bad", "fault": { "container": "ERROR" } })).await;
    let (bad, good) = (net.container("bad one").await, net.container("one").await);
    assert_eq!(net.status_code(&bad).await, "ERROR");
    assert_eq!(net.status_code(&good).await, "FINISHED");
    assert_eq!(net.media_publish(&bad).await.0, 400);
}

#[tokio::test]
async fn an_accepted_upload_can_be_made_to_fail() {
    let net = Net::start().await;
    net.fault(json!({ "call": "commit", "fault": { "fail_reason": "spam_risk" } })).await;
    let video = mp4(1000);
    let (id, url) = net.open_upload("x", &video).await;
    assert_eq!(net.put(&url, &video, 0, 1000).send().await.expect("an answer").status(), 201);
    let status = net.upload_status(&id).await;
    assert_eq!((&status["status"], &status["fail_reason"]), (&json!("FAILED"), &json!("spam_risk")));
    assert!(net.effects().await.is_empty());
}

#[tokio::test]
async fn what_has_no_words_is_known_by_its_files() {
    let net = Net::start().await;
    let (one, other) =
        (net.host("one.jpg", jpeg(400, 400)).await, net.host("other.jpg", jpeg(401, 400)).await);
    let stories = format!("{IG}/media");
    net.fault(
        json!({ "call": "prepare", "content": ["one.jpg"], "times": 1, "fault": "no_effect_then_500" }),
    )
    .await;
    let (net, stories) = (&net, &stories);
    let told = |url: String| async move {
        net.graph_post(stories, &[("media_type", "STORIES"), ("image_url", &url)]).await
    };
    assert_eq!(told(one.clone()).await.0, 500, "by its address");
    let (one, other) = (id(&told(one).await), id(&told(other).await));
    let sha256 = hex::encode(sha2::Sha256::digest(jpeg(400, 400)));
    net.fault(json!({ "call": "commit", "content": [sha256], "fault": "no_effect_then_500" })).await;
    net.advance(60_000).await;
    assert_eq!(net.media_publish(&one).await.0, 500, "by the bytes that its handle holds");
    assert_eq!(net.media_publish(&other).await.0, 200);
}

#[tokio::test]
async fn a_film_that_has_nothing_yet_is_known_by_its_size_or_by_its_phase() {
    let net = Net::start().await;
    let starts = |size: &'static str| [("upload_phase", "start"), ("file_size", size)];
    net.fault(json!({ "call": "videos", "content": ["4096 bytes"], "fault": "no_effect_then_500" })).await;
    assert_eq!(net.graph_post(&format!("{PAGE}/videos"), &starts("4096")).await.0, 500);
    assert_eq!(net.graph_post(&format!("{PAGE}/videos"), &starts("4097")).await.0, 200);
    let reels = format!("{PAGE}/video_reels");
    net.fault(json!({ "call": "video_reels", "phase": "commit", "times": 1, "fault": "no_effect_then_500" }))
        .await;
    assert_eq!(net.graph_post(&reels, &[("upload_phase", "start")]).await.0, 200);
    assert_eq!(net.graph_post(&reels, &[("upload_phase", "finish")]).await.0, 500);
}

#[tokio::test]
async fn a_held_connection_ends_without_an_answer() {
    let net = Net::start().await;
    net.fault(json!({ "call": "commit", "fault": { "hang_ms": 3_600_000 } })).await;
    let post = net.draft("x").await;
    let flip = net.graph(Method::POST, &post).form(&[("is_published", "true")]).send();
    let (flip, ()) = tokio::join!(flip, net.advance_until_called(&post));
    assert!(flip.is_err());
    assert!(net.effects().await.is_empty());
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_undo_its_call() {
    let net = Net::start().await;
    net.fault(json!({ "call": "commit", "times": 1, "fault": { "delay_ms": 3_600_000 } })).await;
    let post = net.draft("left alone").await;
    let flip = net.graph(Method::POST, &post).form(&[("is_published", "true")]).send();
    // The hit is counted when the fault begins: from then on the caller is no longer needed.
    tokio::select! {
        _ = flip => panic!("the answer came too early"),
        () = net.played() => {}
    }
    net.advance(3_600_000).await;
    net.seen("left alone").await;
}

#[tokio::test]
async fn a_redirect_has_no_effect() {
    let net = Net::start().await;
    net.fault(json!({ "call": "commit", "fault": "redirect" })).await;
    let post = net.draft("x").await;
    let url = format!("{}/{post}", net.addresses().graph);
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build();
    let call = client.expect("a client").post(url).bearer_auth(crate::harness::PAGE_TOKEN);
    assert_eq!(call.form(&[("is_published", "true")]).send().await.expect("an answer").status(), 302);
    assert!(net.effects().await.is_empty());
}

impl Net {
    /// Waits, within reason, until a fault has been played.
    async fn played(&self) {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        while self.control_get("faults").await["data"][0]["hits"] == 0 {
            assert!(tokio::time::Instant::now() < deadline, "no fault was played");
            tokio::task::yield_now().await;
        }
    }

    /// Moves the clock until the held call about `handle` has ended.
    async fn advance_until_called(&self, handle: &str) {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        let path = format!("calls?call=publish_post&handle={handle}");
        self.played().await;
        while self.control_get(&path).await["data"].as_array().is_none_or(Vec::is_empty) {
            self.advance(3_600_000).await;
            assert!(tokio::time::Instant::now() < deadline, "the call never ended");
        }
    }
}
