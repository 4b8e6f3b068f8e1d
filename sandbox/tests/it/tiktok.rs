//! TikTok: uploads that complete with their last byte, their status, tokens that rotate.

use serde_json::{Value, json};

use crate::harness::{Net, TIKTOK_TOKEN, mp4, send};

/// Two chunks of five megabytes and a bit.
const CHUNK: usize = 5_000_000;

#[tokio::test]
async fn an_upload_completes_only_with_its_last_byte() {
    let net = Net::start().await;
    let video = mp4(2 * CHUNK + 17);
    let body = json!({
        "post_info": { "title": "baking", "privacy_level": "PUBLIC_TO_EVERYONE" },
        "source_info": {
            "source": "FILE_UPLOAD", "video_size": video.len(), "chunk_size": CHUNK, "total_chunk_count": 2,
        },
    });
    let (_, opened) = net.tiktok("post/publish/video/init/", body).await;
    let url = opened["data"]["upload_url"].as_str().expect("an address");
    let id = opened["data"]["publish_id"].as_str().expect("a publish id");

    let first = net.put(url, &video[..CHUNK], 0, video.len()).send().await.expect("an answer");
    assert_eq!(first.status(), 206);
    assert_eq!(first.headers()["content-range"], format!("bytes 0-{}/{}", CHUNK - 1, video.len()).as_str());
    let status = net.upload_status(id).await;
    assert_eq!((&status["status"], &status["uploaded_bytes"]), (&json!("PROCESSING_UPLOAD"), &json!(CHUNK)));
    assert!(net.effects().await.is_empty());

    let wrong = net.put(url, &video[..CHUNK], 0, video.len()).send().await.expect("an answer");
    assert_eq!(wrong.status(), 416, "chunks come in order");
    let last = net.put(url, &video[CHUNK..], CHUNK, video.len()).send().await.expect("an answer");
    assert_eq!(last.status(), 201);
    assert_eq!(net.effects().await, ["baking"]);
    let status = net.upload_status(id).await;
    assert_eq!(status["status"], "PUBLISH_COMPLETE");
    assert!(status["publicaly_available_post_id"][0].is_u64());
}

#[tokio::test]
async fn an_upload_becomes_public_when_it_is_processed_without_anybody_asking() {
    let net = Net::start().await;
    net.control("settings", json!({ "processing_ms": 60_000 })).await;
    let video = mp4(1000);
    let (id, url) = net.open_upload("later", &video).await;
    net.put(&url, &video, 0, video.len()).send().await.expect("an answer");
    assert_eq!(net.upload_status(&id).await["status"], "PROCESSING_UPLOAD");
    assert!(net.effects().await.is_empty());
    net.advance(60_000).await;
    assert_eq!(net.effects().await, ["later"]);

    net.control("settings", json!({ "processing_ms": 1 })).await;
    let (_, url) = net.open_upload("soon", &video).await;
    net.put(&url, &video, 0, video.len()).send().await.expect("an answer");
    net.seen("soon").await;
}

#[tokio::test]
async fn bytes_that_are_no_video_fail_the_check() {
    let net = Net::start().await;
    let (id, url) = net.open_upload("text", b"just some text").await;
    let put = net.put(&url, b"just some text", 0, 14).send().await.expect("an answer");
    assert_eq!(put.status(), 201);
    let status = net.upload_status(&id).await;
    assert_eq!(
        (&status["status"], &status["fail_reason"]),
        (&json!("FAILED"), &json!("file_format_check_failed"))
    );
    assert!(net.effects().await.is_empty());
}

#[tokio::test]
async fn an_init_is_checked() {
    let net = Net::start().await;
    let init = |privacy: &str, size: usize, chunk: usize, count: usize| {
        json!({
            "post_info": { "title": "x", "privacy_level": privacy },
            "source_info": {
                "source": "FILE_UPLOAD", "video_size": size, "chunk_size": chunk, "total_chunk_count": count,
            },
        })
    };
    // a field that TikTok does not know there
    let with = |place: &str, field: &str| {
        let mut body = init("SELF_ONLY", 100, 100, 1);
        body.pointer_mut(place).expect("a part of the body")[field] = json!(true);
        body
    };
    let refused = [
        (init("FOLLOWER_OF_CREATOR", 100, 100, 1), 403, "privacy_level_option_mismatch"),
        (init("SELF_ONLY", 12_000_000, 5_000_000, 3), 400, "invalid_params"),
        (init("SELF_ONLY", 12_000_000, 1_000_000, 12), 400, "invalid_params"),
        (init("SELF_ONLY", 100_000_000, 100_000_000, 1), 400, "invalid_params"),
        (with("/post_info", "disable_comments"), 400, "invalid_params"),
        (with("/source_info", "video_url"), 400, "invalid_params"),
        (with("", "post_mode"), 400, "invalid_params"),
    ];
    for (body, status, code) in refused {
        let (found, answer) = net.tiktok("post/publish/video/init/", body).await;
        assert_eq!((found, &answer["error"]["code"]), (status, &json!(code)));
    }
    for (size, chunk, count) in [(100, 100, 1), (12_000_000, 5_000_000, 2), (60_000_000, 60_000_000, 1)] {
        let (status, answer) =
            net.tiktok("post/publish/video/init/", init("SELF_ONLY", size, chunk, count)).await;
        assert_eq!(status, 200, "{answer}");
    }
}

#[tokio::test]
async fn a_private_post_has_no_public_id() {
    let net = Net::start().await;
    let video = mp4(1000);
    let body = json!({
        "post_info": { "title": "mine", "privacy_level": "SELF_ONLY" },
        "source_info": {
            "source": "FILE_UPLOAD", "video_size": 1000, "chunk_size": 1000, "total_chunk_count": 1,
        },
    });
    let (_, opened) = net.tiktok("post/publish/video/init/", body).await;
    net.put(opened["data"]["upload_url"].as_str().expect("url"), &video, 0, 1000)
        .send()
        .await
        .expect("an answer");
    let status = net.upload_status(opened["data"]["publish_id"].as_str().expect("id")).await;
    assert_eq!(status["status"], "PUBLISH_COMPLETE");
    assert_eq!(status["publicaly_available_post_id"], json!([]));
    let (_, list) = net.tiktok("video/list/?fields=id,share_url", json!({ "max_count": 20 })).await;
    assert_eq!(list["data"]["videos"], json!([]));
}

#[tokio::test]
async fn a_public_video_is_listed_and_found() {
    let net = Net::start().await;
    let video = mp4(1000);
    let (id, url) = net.open_upload("seen", &video).await;
    net.put(&url, &video, 0, 1000).send().await.expect("an answer");
    let post = net.upload_status(&id).await["publicaly_available_post_id"][0].to_string();
    let (_, list) = net.tiktok("video/list/?fields=id,title,share_url", json!({})).await;
    assert_eq!(list["data"]["videos"][0]["id"], post.as_str());
    let wanted = json!({ "filters": { "video_ids": [post, "123"] } });
    let (_, found) = net.tiktok("video/query/?fields=id,share_url", wanted).await;
    assert_eq!(found["data"]["videos"].as_array().map(Vec::len), Some(1));
    assert!(found["data"]["videos"][0]["share_url"].as_str().expect("url").ends_with(&post));
}

#[tokio::test]
async fn an_upload_can_be_cancelled_until_it_is_public() {
    let net = Net::start().await;
    let video = mp4(1000);
    let (id, url) = net.open_upload("never", &video).await;
    let (status, _) = net.tiktok("post/publish/cancel/", json!({ "publish_id": id })).await;
    assert_eq!(status, 200);
    assert_eq!(net.put(&url, &video, 0, 1000).send().await.expect("an answer").status(), 403);
    assert_eq!(net.upload_status(&id).await["fail_reason"], "publish_cancelled");
    assert!(net.effects().await.is_empty());
}

#[tokio::test]
async fn an_upload_address_works_for_an_hour() {
    let net = Net::start().await;
    let video = mp4(1000);
    let (_, url) = net.open_upload("late", &video).await;
    net.advance(3_600_001).await;
    assert_eq!(net.put(&url, &video, 0, 1000).send().await.expect("an answer").status(), 403);
}

#[tokio::test]
async fn the_limits_are_those_that_were_set() {
    let net = Net::start().await;
    net.control("settings", json!({ "tiktok_inits_per_minute": 2 })).await;
    for _ in 0..2 {
        net.open_upload("x", &mp4(100)).await;
    }
    let body = json!({
        "post_info": { "title": "x", "privacy_level": "SELF_ONLY" },
        "source_info": { "source": "FILE_UPLOAD", "video_size": 9, "chunk_size": 9, "total_chunk_count": 1 },
    });
    let (status, answer) = net.tiktok("post/publish/video/init/", body.clone()).await;
    assert_eq!((status, &answer["error"]["code"]), (429, &json!("rate_limit_exceeded")));
    net.advance(60_000).await;
    assert_eq!(net.tiktok("post/publish/video/init/", body.clone()).await.0, 200);
    net.control("settings", json!({ "tiktok_pending": 3 })).await;
    net.advance(60_000).await;
    let (status, answer) = net.tiktok("post/publish/video/init/", body).await;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("spam_risk_too_many_pending_share")));
}

#[tokio::test]
async fn a_refresh_rotates_and_the_old_token_is_dead() {
    let net = Net::start().await;
    let refresh = async |token: &str| -> (u16, Value) {
        let form = [
            ("client_key", "k"),
            ("client_secret", "s"),
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
        ];
        send(net.http().post(format!("{}/v2/oauth/token/", net.addresses().tiktok)).form(&form)).await
    };
    let (status, pair) = refresh("sandbox-tiktok-refresh").await;
    assert_eq!((status, &pair["open_id"]), (200, &json!("sandbox-open-id")));
    let (status, answer) = net.tiktok("post/publish/creator_info/query/", json!({})).await;
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("access_token_invalid")), "{TIKTOK_TOKEN}");
    let url = format!("{}/v2/post/publish/creator_info/query/", net.addresses().tiktok);
    let fresh = pair["access_token"].as_str().expect("a token");
    let (status, info) = send(net.http().post(url).bearer_auth(fresh).json(&json!({}))).await;
    assert_eq!((status, &info["data"]["creator_username"]), (200, &json!("cornerbakery")));
    // who uses a token twice has lost it, and with it what came of it
    let (status, refused) = refresh("sandbox-tiktok-refresh").await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_grant")));
    let (status, refused) = refresh(pair["refresh_token"].as_str().expect("a token")).await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_grant")));
    let url = format!("{}/v2/post/publish/creator_info/query/", net.addresses().tiktok);
    let (status, _) = send(net.http().post(url).bearer_auth(fresh).json(&json!({}))).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn photos_are_pulled_when_they_are_named() {
    let net = Net::start().await;
    let url = net.host("a.jpg", crate::harness::jpeg(640, 640)).await;
    let body = |url: &str| {
        json!({
            "media_type": "PHOTO", "post_mode": "DIRECT_POST",
            "post_info": { "title": "pictures", "privacy_level": "PUBLIC_TO_EVERYONE" },
            "source_info": { "source": "PULL_FROM_URL", "photo_cover_index": 0, "photo_images": [url] },
        })
    };
    let (status, _) = net.tiktok("post/publish/content/init/", body(&url)).await;
    assert_eq!(status, 200);
    assert_eq!(net.effects().await, ["pictures"]);
    let (_, failed) = net.tiktok("post/publish/content/init/", body(&url.replace("a.jpg", "b.jpg"))).await;
    let id = failed["data"]["publish_id"].as_str().expect("a publish id");
    assert_eq!(net.upload_status(id).await["fail_reason"], "photo_pull_failed");
}
