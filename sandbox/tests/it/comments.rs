//! Comments under posts of a Page and of an Instagram account.

use serde_json::json;

use crate::harness::{Net, PAGE, code, id};

/// A public post of each network.
async fn posts(net: &Net) -> [String; 2] {
    let post = net.draft("a post").await;
    assert_eq!(net.flip(&post).await.0, 200);
    let container = net.container("a picture").await;
    net.advance(1_000).await;
    [post, id(&net.media_publish(&container).await)]
}

#[tokio::test]
async fn a_comment_is_public_at_once_and_listed_under_its_post_alone() {
    let net = Net::start().await;
    let [post, media] = posts(&net).await;
    for (under, text, fields) in [
        (&post, "message", "id,message,from,created_time,permalink_url"),
        (&media, "text", "id,text,from,timestamp"),
    ] {
        let edge = format!("{under}/comments");
        let comment = id(&net.graph_post(&edge, &[("message", "first!")]).await);
        let (_, listed) = net.graph_get(&format!("{edge}?fields={fields}")).await;
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
        assert_eq!((&listed["data"][0]["id"], &listed["data"][0][text]), (&json!(comment), &json!("first!")));
        assert!(listed["data"][0]["from"]["id"].is_string(), "{listed}");
        let (status, read) = net.graph_get(&format!("{comment}?fields={text}")).await;
        assert_eq!((status, &read[text]), (200, &json!("first!")));
    }
    assert_eq!(net.effects().await, ["a post", "a picture", "first!", "first!"]);
    let (_, feed) = net.graph_get(&format!("{PAGE}/published_posts")).await;
    assert_eq!(feed["data"].as_array().map(Vec::len), Some(1), "it is no post: {feed}");
    let (_, page) = net.page("/").await;
    assert_eq!(page.matches("first!").count(), 2, "the wall shows each under its post");
}

#[tokio::test]
async fn facebook_lists_the_oldest_first_and_the_newest_where_it_is_asked() {
    let net = Net::start().await;
    let [post, media] = posts(&net).await;
    let said = async |edge: &str, field: &str| {
        let (_, listed) = net.graph_get(edge).await;
        let list = listed["data"].as_array().expect("a list").clone();
        list.iter().map(|it| it[field].as_str().expect("words").to_owned()).collect::<Vec<_>>()
    };
    for under in [&post, &media] {
        for words in ["one", "two"] {
            net.graph_post(&format!("{under}/comments"), &[("message", words)]).await;
        }
    }
    assert_eq!(said(&format!("{post}/comments"), "message").await, ["one", "two"]);
    let newest = format!("{post}/comments?order=reverse_chronological");
    assert_eq!(said(&newest, "message").await, ["two", "one"]);
    assert_eq!(said(&format!("{media}/comments"), "text").await, ["two", "one"]);
    assert_eq!(code(&net.graph_get(&format!("{media}/comments?order=chronological")).await).0, 100);
    assert_eq!(code(&net.graph_get(&format!("{media}/comments?fields=message")).await).0, 100, "it has text");
}

#[tokio::test]
async fn what_is_not_public_and_what_is_too_long_takes_no_comment() {
    let net = Net::start().await;
    let draft = net.draft("not yet").await;
    let words = [("message", "first!")];
    assert_eq!(code(&net.graph_post(&format!("{draft}/comments"), &words).await), (100, 33));
    assert_eq!(code(&net.graph_post("104000000000001_1/comments", &words).await), (100, 33));
    let [post, media] = posts(&net).await;
    assert_eq!(code(&net.graph_post(&format!("{post}/comments"), &[]).await).0, 100);
    let long = "a".repeat(8_001);
    assert_eq!(code(&net.graph_post(&format!("{post}/comments"), &[("message", &long)]).await).0, 100);
    let tags = "#a ".repeat(31);
    assert_eq!(code(&net.graph_post(&format!("{media}/comments"), &[("message", &tags)]).await).0, 100);
    assert_eq!(net.effects().await, ["a post", "a picture"]);
}

#[tokio::test]
async fn a_permission_that_was_declined_is_missing() {
    let net = Net::start().await;
    let [post, media] = posts(&net).await;
    let declined = json!({ "declined_scopes": ["pages_manage_engagement", "instagram_manage_comments"] });
    assert_eq!(net.control("settings", declined).await.0, 200);
    let words = [("message", "first!")];
    assert_eq!(code(&net.graph_post(&format!("{post}/comments"), &words).await).0, 200);
    assert_eq!(code(&net.graph_post(&format!("{media}/comments"), &words).await).0, 10);
    let (_, permissions) = net.graph_get("me/permissions").await;
    let declined = permissions["data"].as_array().expect("a list").iter();
    assert_eq!(declined.filter(|it| it["status"] == "declined").count(), 2);
    assert_eq!(net.effects().await, ["a post", "a picture"]);
}

#[tokio::test]
async fn comments_survive_a_restart_and_go_with_what_was_deleted() {
    let net = Net::start().await;
    let [post, _] = posts(&net).await;
    let comment = id(&net.graph_post(&format!("{post}/comments"), &[("message", "first!")]).await);
    let net = net.restart().await;
    let (_, listed) = net.graph_get(&format!("{post}/comments")).await;
    assert_eq!(listed["data"][0]["id"], comment.as_str());
    let deleted = crate::harness::send(net.graph(reqwest::Method::DELETE, &comment)).await;
    assert_eq!(deleted, (200, json!({ "success": true })));
    let (_, listed) = net.graph_get(&format!("{post}/comments")).await;
    assert_eq!(listed["data"], json!([]));
}
