//! Pages: drafts, flips, photos, reading back, tokens.

use image::ImageFormat;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Net, PAGE, PAGE_TOKEN, code, id, jpeg, picture, send};

#[tokio::test]
async fn a_draft_is_not_public_until_it_is_flipped() {
    let net = Net::start().await;
    let post = net.draft("morning").await;
    assert_eq!(net.is_published(&post).await, false);
    assert!(net.effects().await.is_empty());
    let (_, listed) = net.graph_get(&format!("{PAGE}/published_posts")).await;
    assert_eq!(listed["data"], json!([]));
    let (_, drafts) = net.graph_get(&format!("{PAGE}/promotable_posts?is_published=false")).await;
    assert_eq!(drafts["data"][0]["id"], post.as_str());

    assert_eq!(net.flip(&post).await, (200, json!({ "success": true })));
    assert_eq!(net.is_published(&post).await, true);
    assert_eq!(net.effects().await, ["morning"]);
    let (_, listed) = net.graph_get(&format!("{PAGE}/published_posts?fields=id,permalink_url")).await;
    assert_eq!(listed["data"][0]["id"], post.as_str());
    let (_, drafts) = net.graph_get(&format!("{PAGE}/promotable_posts?is_published=false")).await;
    assert_eq!(drafts["data"], json!([]));
}

#[tokio::test]
async fn flipping_twice_is_one_effect() {
    let net = Net::start().await;
    let post = net.draft("once").await;
    let (first, second) = tokio::join!(net.flip(&post), net.flip(&post));
    assert_eq!((first.0, second.0), (200, 200));
    assert_eq!(net.effects().await, ["once"]);
    assert_eq!(net.file("effects.jsonl").lines().count(), 1);
}

#[tokio::test]
async fn a_post_without_published_is_public_at_once() {
    let net = Net::start().await;
    let answer = net.graph_post(&format!("{PAGE}/feed"), &[("message", "direct")]).await;
    assert!(id(&answer).starts_with(PAGE));
    assert_eq!(net.effects().await, ["direct"]);
}

#[tokio::test]
async fn photos_are_fetched_checked_and_shown_with_their_post() {
    let net = Net::start().await;
    let url = net.host("a.png", picture(50, 50, ImageFormat::Png)).await;
    let photos = format!("{PAGE}/photos");
    let unseen = [("url", url.as_str()), ("published", "false")];
    let (first, second) =
        (id(&net.graph_post(&photos, &unseen).await), id(&net.graph_post(&photos, &unseen).await));
    let body = json!({
        "message": "two",
        "published": false,
        "attached_media": [{ "media_fbid": first }, { "media_fbid": second }],
    });
    let draft = id(&send(net.graph(Method::POST, &format!("{PAGE}/feed")).json(&body)).await);
    assert!(net.effects().await.is_empty());
    net.flip(&draft).await;
    let effects = net.control_get("effects?caption=two").await;
    assert_eq!(effects["data"][0]["media"].as_array().map(Vec::len), Some(2));
    let (_, post) = net.graph_get(&format!("{draft}?fields=attachments{{target,media_type}}")).await;
    assert_eq!(post["attachments"]["data"][0]["media_type"], "album");
}

#[tokio::test]
async fn a_photo_that_is_none_is_refused() {
    let net = Net::start().await;
    let text = net.host("a.jpg", b"not a picture".to_vec()).await;
    let photos = format!("{PAGE}/photos");
    assert_eq!(code(&net.graph_post(&photos, &[("url", &text)]).await), (100, 1_366_046));
    let nowhere = text.replace("a.jpg", "b.jpg");
    assert_eq!(code(&net.graph_post(&photos, &[("url", &nowhere)]).await), (324, 2_069_019));
    assert!(net.effects().await.is_empty());
}

#[tokio::test]
async fn a_photo_can_be_sent_in_the_body() {
    let net = Net::start().await;
    let part = reqwest::multipart::Part::bytes(jpeg(40, 40)).file_name("a.jpg");
    let form = reqwest::multipart::Form::new().text("message", "sent").part("source", part);
    let (status, answer) = send(net.graph(Method::POST, &format!("{PAGE}/photos")).multipart(form)).await;
    assert_eq!(status, 200);
    assert!(answer["post_id"].is_string());
    assert_eq!(net.effects().await, ["sent"]);
}

#[tokio::test]
async fn an_unknown_object_is_100_33_and_an_unknown_field_is_100() {
    let net = Net::start().await;
    let nothing = net.graph_get(&format!("{PAGE}_1?fields=is_published")).await;
    assert_eq!((nothing.0, code(&nothing)), (400, (100, 33)));
    let post = net.draft("x").await;
    assert_eq!(code(&net.graph_get(&format!("{post}?fields=colour")).await), (100, 0));
}

#[tokio::test]
async fn a_deleted_draft_is_gone() {
    let net = Net::start().await;
    let post = net.draft("x").await;
    assert_eq!(send(net.graph(Method::DELETE, &post)).await.0, 200);
    assert_eq!(code(&net.flip(&post).await), (100, 33));
}

#[tokio::test]
async fn a_token_answers_190_with_the_subcode_of_its_state() {
    let net = Net::start().await;
    let post = net.draft("x").await;
    for (state, subcode) in
        [(json!("expired"), 463), (json!("revoked"), 458), (json!({ "subcode": 460 }), 460)]
    {
        net.control("tokens", json!({ "access_token": PAGE_TOKEN, "state": state })).await;
        assert_eq!(code(&net.flip(&post).await), (190, subcode));
        let (_, seen) = net.graph_get(&format!("debug_token?input_token={PAGE_TOKEN}")).await;
        assert_eq!(seen["data"]["is_valid"], false);
    }
    net.control("tokens", json!({ "access_token": PAGE_TOKEN, "state": "valid" })).await;
    assert_eq!(net.flip(&post).await.0, 200);
}

#[tokio::test]
async fn a_token_reaches_only_its_own_page() {
    let net = Net::start().await;
    let other = json!({
        "platform": "facebook_page", "external_id": "205", "name": "Other", "access_token": "other-token",
    });
    assert_eq!(net.control("accounts", other).await.0, 201);
    let post = net.draft("mine").await;
    for path in ["205/feed", post.as_str()] {
        let wrong = if path.starts_with("205") { PAGE_TOKEN } else { "other-token" };
        let url = format!("{}/{path}", net.addresses().graph);
        let form = [("message", "x"), ("is_published", "true"), ("access_token", wrong)];
        assert_eq!(code(&send(net.http().post(url).form(&form)).await), (100, 33), "{path}");
    }
    assert!(net.effects().await.is_empty());
}

#[tokio::test]
async fn a_wrong_proof_of_the_app_secret_is_refused() {
    let net = Net::start_with(|options| options.meta_app_secret = Some("secret".into())).await;
    assert_eq!(code(&net.graph_get("me?appsecret_proof=00").await).0, 100);
    assert_eq!(net.graph_get("me").await.0, 200);
}

#[tokio::test]
async fn a_list_is_paged_newest_first() {
    let net = Net::start().await;
    for message in ["one", "two", "three"] {
        net.graph_post(&format!("{PAGE}/feed"), &[("message", message)]).await;
    }
    let messages = |list: &Value| -> Vec<String> {
        let data = list["data"].as_array().expect("a list");
        data.iter().map(|post| post["message"].as_str().expect("a message").to_owned()).collect()
    };
    let (_, first) = net.graph_get(&format!("{PAGE}/published_posts?limit=2")).await;
    assert_eq!(messages(&first), ["three", "two"]);
    let more = first["paging"]["next"].as_str().expect("more");
    let (_, second) = send(net.http().get(more).bearer_auth(PAGE_TOKEN)).await;
    assert_eq!(messages(&second), ["one"]);
    assert!(second["paging"]["next"].is_null());
}

#[tokio::test]
async fn the_same_text_twice_is_506_where_that_is_switched_on() {
    let net = Net::start().await;
    net.control("settings", json!({ "refuse_duplicates": true })).await;
    let (first, second) = (net.draft("same").await, net.draft("same").await);
    assert_eq!(net.flip(&first).await.0, 200);
    assert_eq!(code(&net.flip(&second).await), (506, 0));
    assert_eq!(net.flip(&first).await.0, 200, "the set is repeatable all the same");
}

#[tokio::test]
async fn a_persons_token_is_exchanged_and_lists_what_it_opens() {
    let net = Net::start().await;
    let known = json!({
        "platform": "facebook_page", "external_id": "205", "name": "Other", "access_token": "other-token",
        "user_token": "person",
    });
    assert_eq!(net.control("accounts", known).await.0, 201);
    net.control("tokens", json!({ "access_token": "other-token", "state": "expired" })).await;
    let form = [("grant_type", "fb_exchange_token"), ("fb_exchange_token", "person")];
    let (status, exchanged) = net.graph_post("oauth/access_token", &form).await;
    assert_eq!((status, &exchanged["expires_in"]), (200, &json!(5_183_944)), "{exchanged}");
    let fresh = exchanged["access_token"].as_str().expect("a token");
    assert_ne!(fresh, "person");
    // the old one stays good, and both open the Page, by a token that works again
    for token in [fresh, "person"] {
        let url = format!("{}/me/accounts", net.addresses().graph);
        let (_, pages) = send(net.http().get(url).bearer_auth(token)).await;
        assert_eq!(pages["data"][0]["id"], "205", "{pages}");
        assert_ne!(pages["data"][0]["access_token"], "other-token");
    }
    let (_, seen) = net.graph_get(&format!("debug_token?input_token={fresh}")).await;
    assert_eq!((&seen["data"]["type"], &seen["data"]["is_valid"]), (&json!("USER"), &json!(true)));
}
