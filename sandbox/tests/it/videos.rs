//! Facebook's videos, reels and stories.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Net, PAGE, id, jpeg, mp4, send};

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
