//! The control API, the logs, and what a restart keeps.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Net, PAGE, PAGE_TOKEN, code, mp4, send};

#[tokio::test]
async fn state_survives_a_restart() {
    let net = Net::start().await;
    let (draft, public) = (net.draft("draft").await, net.draft("public").await);
    net.flip(&public).await;
    let container = net.container("container").await;
    let video = mp4(5_000_010);
    let body = json!({
        "post_info": { "title": "upload", "privacy_level": "SELF_ONLY" },
        "source_info": {
            "source": "FILE_UPLOAD", "video_size": video.len(), "chunk_size": 5_000_000, "total_chunk_count": 1,
        },
    });
    let (_, opened) = net.tiktok("post/publish/video/init/", body).await;
    let upload = opened["data"]["publish_id"].as_str().expect("a publish id").to_owned();
    net.control("tokens", json!({ "access_token": "sandbox-tiktok-access", "state": "expired" })).await;
    net.control("tokens", json!({ "access_token": "sandbox-tiktok-access", "state": "valid" })).await;

    let net = net.restart().await;
    assert_eq!(net.is_published(&draft).await, false);
    assert_eq!(net.is_published(&public).await, true);
    assert_eq!(net.status_code(&container).await, "FINISHED");
    assert_eq!(net.upload_status(&upload).await["status"], "PROCESSING_UPLOAD");
    assert_eq!(net.effects().await, ["public"]);
    assert_eq!(net.flip(&draft).await.0, 200);
    assert_eq!(net.media_publish(&container).await.0, 200);

    let net = net.restart().await;
    let lines = net.file("effects.jsonl");
    let numbers: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["seq"].clone())
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_ne!(net.draft("new").await, draft, "an id never comes again");
}

#[tokio::test]
async fn the_addresses_are_written_when_all_of_them_answer() {
    let net = Net::start().await;
    let written: serde_json::Value = serde_json::from_str(&net.file("addresses.json")).expect("JSON");
    assert_eq!(written["graph"], net.addresses().graph);
    assert_eq!(written["bucket"], "postroom");
    assert_eq!(net.control_get("healthz").await["status"], "ok");
}

#[tokio::test]
async fn calls_are_recorded_with_their_id_and_without_tokens() {
    let net = Net::start().await;
    let call_id = "0190c7a4-0000-7000-8000-000000000001";
    let call = net.graph(Method::POST, &format!("{PAGE}/feed?access_token={PAGE_TOKEN}"));
    send(call.header("x-call-id", call_id).form(&[("message", "x")])).await;
    let calls = net.control_get(&format!("calls?call_id={call_id}")).await;
    let record = &calls["data"][0];
    assert_eq!((&record["call"], &record["phase"]), (&json!("feed"), &json!("commit")));
    assert!(record["in_ledger"].is_null(), "nobody could tell");
    assert!(!net.control_get("calls").await.to_string().contains(PAGE_TOKEN));
    assert_eq!(net.control_get("effects").await["data"][0]["call_id"], call_id);
}

#[tokio::test]
async fn a_call_without_an_id_is_refused_where_one_is_required() {
    let net = Net::start_with(|options| options.require_call_id = true).await;
    let answer = net.graph_post(&format!("{PAGE}/feed"), &[("message", "x")]).await;
    assert_eq!((answer.0, code(&answer).0), (400, 100));
    assert!(net.effects().await.is_empty());
    assert_eq!(net.graph_get("me").await.0, 200, "reads need none");
}

#[tokio::test]
async fn a_reset_leaves_the_seeded_accounts_and_no_effects() {
    let net = Net::start().await;
    let before = net.draft("x").await;
    net.flip(&before).await;
    net.fault(json!({ "fault": "redirect" })).await;
    assert_eq!(net.control("reset", json!({})).await.0, 200);
    assert!(net.effects().await.is_empty());
    assert_eq!(net.file("effects.jsonl"), "");
    assert_eq!(net.control_get("faults").await["data"], json!([]));
    assert_eq!(net.graph_get("me").await.0, 200);
    assert_ne!(net.draft("y").await, before);
}

#[tokio::test]
async fn what_is_not_understood_is_refused_with_a_reason() {
    let net = Net::start().await;
    for (path, body) in [
        ("faults", json!({ "call": "comit", "fault": "redirect" })),
        ("faults", json!({ "fault": "explode" })),
        ("settings", json!({ "procesing_ms": 1 })),
        ("clock", json!({ "advance_ms": -1 })),
        ("tokens", json!({ "access_token": "x", "state": "tired" })),
    ] {
        let (status, answer) = net.control(path, body).await;
        assert_eq!(status, 400);
        assert!(answer["error"].is_string(), "{path}");
    }
}
