//! Facebook's videos, reels and stories.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answered, Net, PAGE, code, id, jpeg, mp4, send};

#[tokio::test]
async fn a_reel_is_public_after_it_was_finished_and_processed() {
    let net = Net::start().await;
    net.control("settings", json!({ "processing_ms": 60_000 })).await;
    let reels = format!("{PAGE}/video_reels");
    let (_, started) = net.graph_post(&reels, &[("upload_phase", "start")]).await;
    let video = started["video_id"].as_str().expect("a video id");
    let upload = started["upload_url"].as_str().expect("an address");
    let finish = [
        ("upload_phase", "finish"),
        ("video_id", video),
        ("video_state", "PUBLISHED"),
        ("description", "turning"),
    ];
    assert_eq!(net.graph_post(&reels, &finish).await.0, 400, "there are no bytes yet");

    let bytes = net.http().post(upload).header("authorization", "OAuth sandbox-page-token");
    let bytes = bytes.header("offset", "0").header("file_size", "5000").body(mp4(5000));
    assert_eq!(send(bytes).await.0, 200);
    assert_eq!(net.graph_post(&reels, &finish).await.0, 200);
    let (_, read) = net.graph_get(&format!("{video}?fields=status")).await;
    assert_eq!(read["status"]["video_status"], "processing");
    assert!(net.effects().await.is_empty());

    net.advance(60_000).await;
    assert_eq!(net.effects().await, ["turning"]);
    let (_, read) = net.graph_get(&format!("{video}?fields=status,permalink_url,published")).await;
    assert_eq!(read["status"]["publishing_phase"]["publish_status"], "published");
    assert_eq!(net.graph_post(&reels, &finish).await.0, 200);
    assert_eq!(net.effects().await.len(), 1, "finishing again is no second reel");
}

#[tokio::test]
async fn a_video_from_a_url_is_one_call() {
    let net = Net::start().await;
    let url = net.host("a.mp4", mp4(5000)).await;
    let form = [("file_url", url.as_str()), ("description", "whole")];
    let video = id(&net.graph_post(&format!("{PAGE}/videos"), &form).await);
    assert_eq!(net.effects().await, ["whole"]);
    let (_, list) = net.graph_get(&format!("{PAGE}/published_posts?fields=message,attachments")).await;
    assert_eq!(list["data"][0]["attachments"]["data"][0]["target"]["id"], video.as_str());
}

#[tokio::test]
async fn a_story_is_listed_by_its_media_and_not_in_the_feed() {
    let net = Net::start().await;
    let part = reqwest::multipart::Part::bytes(jpeg(40, 40)).file_name("a.jpg");
    let form = reqwest::multipart::Form::new().text("published", "false").part("source", part);
    let photo = id(&send(net.graph(Method::POST, &format!("{PAGE}/photos")).multipart(form)).await);
    let stories = format!("{PAGE}/photo_stories");
    let (status, answer) = net.graph_post(&stories, &[("photo_id", &photo)]).await;
    assert_eq!((status, &answer["success"]), (200, &json!(true)));
    let (_, listed) = net.graph_get(&format!("{PAGE}/stories")).await;
    assert_eq!(listed["data"][0]["media_id"], photo.as_str());
    let (_, feed) = net.graph_get(&format!("{PAGE}/published_posts")).await;
    assert_eq!(feed["data"], json!([]));
    assert_eq!(net.graph_post(&stories, &[("photo_id", &photo)]).await.0, 400, "a story is told once");
}

/// Sends bytes of a video from `offset` on.
async fn transfer(net: &Net, session: &str, offset: u64, bytes: Vec<u8>) -> Answered {
    let part = reqwest::multipart::Part::bytes(bytes).file_name("part");
    let form = reqwest::multipart::Form::new()
        .text("upload_phase", "transfer")
        .text("upload_session_id", session.to_owned())
        .text("start_offset", offset.to_string())
        .part("video_file_chunk", part);
    send(net.graph(Method::POST, &format!("{PAGE}/videos")).multipart(form)).await
}

#[tokio::test]
async fn a_video_in_parts_is_taken_in_order_and_public_after_it_was_finished() {
    let net = Net::start().await;
    let videos = format!("{PAGE}/videos");
    let (_, started) = net.graph_post(&videos, &[("upload_phase", "start"), ("file_size", "3000")]).await;
    let text = |name: &str| started[name].as_str().expect(name).to_owned();
    let (video, session) = (text("video_id"), text("upload_session_id"));
    assert_eq!((text("start_offset"), text("end_offset")), ("0".into(), "3000".into()));
    let whole = mp4(3000);
    let finish =
        [("upload_phase", "finish"), ("upload_session_id", session.as_str()), ("description", "in parts")];
    let (_, more) = transfer(&net, &session, 0, whole[..1000].to_vec()).await;
    assert_eq!((&more["start_offset"], &more["end_offset"]), (&json!("1000"), &json!("3000")));
    assert_eq!(code(&transfer(&net, &session, 0, whole[..1000].to_vec()).await), (6001, 1_363_037));
    assert_eq!(code(&net.graph_post(&videos, &finish).await), (6000, 1_363_019), "it is not whole");
    let (_, read) = net.graph_get(&format!("{video}?fields=status")).await;
    assert_eq!(read["status"]["uploading_phase"]["bytes_transfered"], 1000);
    let (_, done) = transfer(&net, &session, 1000, whole[1000..].to_vec()).await;
    assert_eq!(done["start_offset"], done["end_offset"]);
    assert!(net.effects().await.is_empty());
    for _ in 0..2 {
        assert_eq!(net.graph_post(&videos, &finish).await, (200, json!({ "success": true })));
    }
    assert_eq!(net.effects().await, ["in parts"]);
}

#[tokio::test]
async fn a_story_names_its_post_when_it_is_finished_and_is_shown_under_it() {
    let net = Net::start().await;
    net.control("settings", json!({ "processing_ms": 60_000 })).await;
    let stories = format!("{PAGE}/video_stories");
    let (_, started) = net.graph_post(&stories, &[("upload_phase", "start")]).await;
    let video = started["video_id"].as_str().expect("a video id");
    let url = net.host("a.mp4", mp4(5000)).await;
    let pull = net.http().post(started["upload_url"].as_str().expect("an address"));
    let pull = pull.header("authorization", "OAuth sandbox-page-token").header("file_url", url);
    assert_eq!(send(pull).await.0, 200);
    let finish = [("upload_phase", "finish"), ("video_id", video)];
    let (_, first) = net.graph_post(&stories, &finish).await;
    let (_, again) = net.graph_post(&stories, &finish).await;
    assert_eq!((&first["success"], &first["post_id"]), (&json!(true), &again["post_id"]));
    assert!(net.effects().await.is_empty(), "it is processed first");
    net.advance(60_000).await;
    let (_, listed) = net.graph_get(&stories.replace("video_stories", "stories")).await;
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&listed["data"][0]["post_id"], &listed["data"][0]["media_id"]),
        (&first["post_id"], &json!(video))
    );
}

#[tokio::test]
async fn an_upload_that_is_not_whole_or_no_video_is_refused_in_the_words_of_its_host() {
    let net = Net::start().await;
    let (_, started) = net.graph_post(&format!("{PAGE}/video_reels"), &[("upload_phase", "start")]).await;
    let upload = started["upload_url"].as_str().expect("an address");
    let sent = |offset: &str, size: &str, body: Vec<u8>| {
        let call = net.http().post(upload).header("authorization", "OAuth sandbox-page-token");
        send(call.header("offset", offset.to_owned()).header("file_size", size.to_owned()).body(body))
    };
    let kind = |(status, answer): Answered| {
        (status, answer["debug_info"]["type"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(kind(sent("5", "5000", mp4(5000)).await), (400, "OffsetInvalidError".into()));
    assert_eq!(kind(sent("0", "6000", mp4(5000)).await), (400, "PartialRequestError".into()));
    assert_eq!(kind(sent("0", "4", b"text".to_vec()).await), (400, "ProcessingFailedError".into()));
    assert_eq!(sent("0", "5000", mp4(5000)).await.0, 200);
}

#[tokio::test]
async fn a_parameter_that_is_unknown_or_missing_is_refused() {
    let net = Net::start().await;
    let photo = id(&net
        .graph_post(
            &format!("{PAGE}/photos"),
            &[("url", &net.host("a.jpg", jpeg(40, 40)).await), ("published", "false")],
        )
        .await);
    let draft = net.draft("strict").await;
    let start: &[(&str, &str)] = &[("upload_phase", "start")];
    let refused: [(&str, &[(&str, &str)]); 8] = [
        ("feed", &[("message", "x"), ("colour", "red")]),
        ("photos", &[("link", "https://example.org")]),
        ("photo_stories", &[("photo_id", &photo), ("caption", "words")]),
        ("photo_stories", &[]),
        ("video_reels", &[("upload_phase", "begin")]),
        ("video_reels", &[]),
        ("video_stories", &[("upload_phase", "start"), ("description", "words")]),
        ("videos", start),
    ];
    for (path, form) in refused {
        let refused = net.graph_post(&format!("{PAGE}/{path}"), form).await;
        assert_eq!((refused.0, code(&refused).0), (400, 100), "{path} {form:?}");
    }
    let flip = [("is_published", "true"), ("message", "other words")];
    assert_eq!(code(&net.graph_post(&draft, &flip).await).0, 100);
    let (_, started) = net.graph_post(&format!("{PAGE}/video_reels"), start).await;
    let video = started["video_id"].as_str().expect("a video id");
    let finish = [("upload_phase", "finish"), ("video_id", video)];
    assert_eq!(
        code(&net.graph_post(&format!("{PAGE}/video_stories"), &finish).await),
        (100, 33),
        "it is a reel"
    );
    assert!(net.effects().await.is_empty());
}

#[tokio::test]
async fn a_video_that_cannot_be_processed_says_why_and_is_never_public() {
    let net = Net::start().await;
    let reels = format!("{PAGE}/video_reels");
    let (_, started) = net.graph_post(&reels, &[("upload_phase", "start")]).await;
    let video = started["video_id"].as_str().expect("a video id");
    let bytes = net.http().post(started["upload_url"].as_str().expect("an address"));
    let bytes = bytes.header("authorization", "OAuth sandbox-page-token");
    let bytes = bytes.header("offset", "0").header("file_size", "5000").body(mp4(5000));
    assert_eq!(send(bytes).await.0, 200);
    net.fault(json!({ "call": "commit", "fault": { "fail_reason": "no sound" } })).await;
    let finish = [
        ("upload_phase", "finish"),
        ("video_id", video),
        ("video_state", "PUBLISHED"),
        ("description", "mute"),
    ];
    assert_eq!(net.graph_post(&reels, &finish).await.0, 200);
    let (_, read) = net.graph_get(&format!("{video}?fields=status")).await;
    assert_eq!(read["status"]["video_status"], "error");
    assert_eq!(read["status"]["processing_phase"]["error"]["message"], "no sound");
    assert!(net.effects().await.is_empty());
}
