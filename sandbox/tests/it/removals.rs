//! Taking down what is public.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answered, IG, Net, PAGE, PAGE_TOKEN, code, id, mp4, send};

/// A post of words, a picture on Instagram and a film on the Page, all public: their ids.
async fn published(net: &Net) -> [String; 3] {
    let post = net.draft("a text").await;
    net.flip(&post).await;
    let container = net.container("a picture").await;
    let media = id(&net.media_publish(&container).await);
    let url = net.host("a.mp4", mp4(5000)).await;
    net.graph_post(&format!("{PAGE}/videos"), &[("file_url", &url), ("description", "a film")]).await;
    let film = net.control_get("effects?caption=a%20film").await;
    [post, media, film["data"][0]["object_id"].as_str().expect("an id").to_owned()]
}

async fn delete(net: &Net, object: &str) -> Answered {
    send(net.graph(Method::DELETE, object).header("x-call-id", format!("call-{object}"))).await
}

async fn removed(net: &Net) -> Vec<Value> {
    net.control_get("removals").await["data"].as_array().expect("a list").clone()
}

async fn permalinks(net: &Net) -> Vec<String> {
    let wall = net.addresses().wall.trim_end_matches('/').to_owned();
    let effects = net.control_get("effects").await;
    let link =
        |effect: &Value| effect["permalink"].as_str().expect("a link").trim_start_matches(&wall).to_owned();
    effects["data"].as_array().expect("a list").iter().map(link).collect()
}

#[tokio::test]
async fn what_is_removed_is_gone_for_everybody_and_stays_in_the_log() {
    let net = Net::start().await;
    let [post, media, film] = published(&net).await;
    for (object, answer) in [
        (&post, json!({ "success": true })),
        (&media, json!({ "success": true, "deleted_id": media })),
        (&film, json!({ "success": true })),
    ] {
        assert_eq!(delete(&net, object).await, (200, answer));
        let again = delete(&net, object).await;
        assert_eq!((again.0, code(&again)), (400, (100, 33)), "{object}");
        assert_eq!(code(&net.graph_get(&format!("{object}?fields=id")).await), (100, 33), "{object}");
    }
    let (_, wall) = net.page("/").await;
    for caption in ["a text", "a picture", "a film"] {
        assert!(!wall.contains(caption), "{caption}");
    }
    for link in permalinks(&net).await {
        assert_eq!(net.page(&link).await.0, 404, "{link}");
    }
    assert_eq!(net.effects().await, ["a text", "a picture", "a film"], "they were seen");
    let removed = removed(&net).await;
    assert_eq!(removed.len(), 3);
    assert_eq!((&removed[1]["object_id"], &removed[1]["caption"]), (&json!(media), &json!("a picture")));
    assert_eq!(removed[1]["call_id"], json!(format!("call-{media}")));
    for (edge, left) in [(format!("{PAGE}/published_posts"), 0), (format!("{IG}/media"), 0)] {
        let (_, list) = net.graph_get(&edge).await;
        assert_eq!(list["data"].as_array().map(Vec::len), Some(left), "{list}");
    }
}

#[tokio::test]
async fn a_film_goes_with_its_post_and_a_post_with_its_film() {
    let net = Net::start().await;
    let url = net.host("a.mp4", mp4(5000)).await;
    let videos = format!("{PAGE}/videos");
    let video = id(&net.graph_post(&videos, &[("file_url", &url), ("description", "one")]).await);
    assert_eq!(delete(&net, &video).await.0, 200);
    let effects = net.control_get("effects").await;
    let post = effects["data"][0]["object_id"].as_str().expect("an id").to_owned();
    assert_eq!(code(&net.graph_get(&format!("{post}?fields=id")).await), (100, 33));
    assert_eq!(net.page(&permalinks(&net).await[0]).await.0, 404);
}

#[tokio::test]
async fn nothing_is_removed_without_the_permission_that_it_takes() {
    let net = Net::start().await;
    let [post, media, _] = published(&net).await;
    for (platform, external_id, object, permission) in [
        ("facebook_page", PAGE, &post, "pages_manage_posts"),
        ("instagram_business", IG, &media, "instagram_manage_contents"),
    ] {
        let account = json!({
            "platform": platform, "external_id": external_id, "name": "n", "access_token": PAGE_TOKEN,
            "withheld": [permission],
        });
        assert_eq!(net.control("accounts", account).await.0, 201);
        let answer = delete(&net, object).await;
        assert_eq!((answer.0, code(&answer)), (400, (10, 0)), "{answer:?}");
        assert_eq!(net.graph_get(&format!("{object}?fields=id")).await.0, 200, "it is there");
        let (_, scopes) = net.graph_get("me/permissions").await;
        let declined = |it: &&Value| it["permission"] == permission && it["status"] == "declined";
        assert!(scopes["data"].as_array().expect("a list").iter().any(|it| declined(&it)), "{scopes}");
    }
    assert!(removed(&net).await.is_empty());
}

#[tokio::test]
async fn scripted_faults_meet_removals_too() {
    let net = Net::start().await;
    let [post, media, _] = published(&net).await;
    for (call, object) in [("delete_post", &post), ("media_delete", &media)] {
        let before = removed(&net).await.len();
        net.fault(json!({ "call": call, "times": 1, "fault": "no_effect_then_500" })).await;
        assert_eq!(delete(&net, object).await.0, 500);
        assert_eq!(removed(&net).await.len(), before);
        net.fault(json!({ "call": call, "times": 1, "fault": "effect_then_500" })).await;
        assert_eq!(delete(&net, object).await.0, 500);
        assert_eq!(removed(&net).await.len(), before + 1);
        assert_eq!(code(&delete(&net, object).await), (100, 33));
    }
    let third = net.draft("third").await;
    net.flip(&third).await;
    net.fault(json!({ "call": "delete_post", "times": 1, "fault": "effect_then_drop" })).await;
    assert!(net.graph(Method::DELETE, &third).send().await.is_err(), "no answer");
    assert_eq!(removed(&net).await.last().expect("one")["object_id"], json!(third));
}
