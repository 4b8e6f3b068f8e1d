//! The wall and the page of faults.

use serde_json::json;

use crate::harness::{Net, PAGE, mp4};

#[tokio::test]
async fn the_wall_shows_what_is_public_and_escapes_it() {
    let net = Net::start().await;
    net.draft("a draft").await;
    let post = net.draft("<b>שלום</b> & bread").await;
    net.flip(&post).await;
    let (status, html) = net.page("/").await;
    assert_eq!(status, 200);
    assert!(!html.contains("a draft"));
    assert!(!html.contains("<b>"), "{html}");
    assert!(html.contains("שלום"));
    assert!(html.contains("dir=\"auto\""));
    assert!(!html.contains("<script"));
}

#[tokio::test]
async fn every_permalink_shows_its_post_and_its_media() {
    let net = Net::start().await;
    let container = net.container("a picture").await;
    net.media_publish(&container).await;
    net.graph_post(&format!("{PAGE}/feed"), &[("message", "a text")]).await;
    let effects = net.control_get("effects").await;
    for effect in effects["data"].as_array().expect("a list") {
        let link = effect["permalink"].as_str().expect("a link");
        let path = link.trim_start_matches(net.addresses().wall.trim_end_matches('/'));
        let (status, html) = net.page(path).await;
        assert_eq!(status, 200, "{path}");
        assert!(html.contains(effect["caption"].as_str().expect("a caption")));
    }
    let sha256 = effects["data"][0]["media"][0].as_str().expect("media");
    let url = format!("{}_media/{sha256}", net.addresses().wall);
    let answer = net.http().get(url).header("range", "bytes=0-9").send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (206, &"image/jpeg".parse().expect("type"))
    );
}

#[tokio::test]
async fn a_draft_has_no_public_page() {
    let net = Net::start().await;
    let post = net.draft("hidden").await;
    let (_, read) = net.graph_get(&format!("{post}?fields=permalink_url")).await;
    let link = read["permalink_url"].as_str().expect("a link");
    let path = link.trim_start_matches(net.addresses().wall.trim_end_matches('/'));
    assert_eq!(net.page(path).await.0, 404);
}

#[tokio::test]
async fn a_fault_is_switched_on_and_off_by_hand() {
    let net = Net::start().await;
    let url = format!("{}_faults", net.addresses().wall);
    let form = [("preset", "nothing_500"), ("network", "facebook_page"), ("times", "1"), ("caption", "")];
    let answer = net.http().post(&url).form(&form).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "the form leads back to the page");
    assert!(answer.text().await.expect("text").contains("no_effect_then_500"));
    let post = net.draft("x").await;
    assert_eq!(net.flip(&post).await.0, 500);
    net.http().post(format!("{url}/off")).send().await.expect("an answer");
    assert_eq!(net.control_get("faults").await["data"], json!([]));
}

/// Sends a form of the wall: the status, and the page that it leads to.
async fn form(net: &Net, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let url = format!("{}{path}", net.addresses().wall);
    let answer = net.http().post(url).form(fields).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

#[tokio::test]
async fn every_fault_of_the_page_can_be_switched_on_by_its_button() {
    let net = Net::start().await;
    let (_, html) = net.page("/_faults").await;
    let buttons = html.split("name=\"preset\" value=\"").skip(1);
    let names: Vec<_> = buttons.filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.len() > 25, "{names:?}");
    for (n, name) in names.iter().enumerate() {
        let (status, html) = form(&net, "_faults", &[("preset", name), ("times", "1")]).await;
        assert_eq!(status, 200, "{name}: {html}");
        assert_eq!(
            net.control_get("faults").await["data"].as_array().expect("a list").len(),
            n + 1,
            "{name}"
        );
    }
    let wrong = [("preset", "inits"), ("network", "facebook_page"), ("times", "")];
    let (status, html) = form(&net, "_faults", &wrong).await;
    assert_eq!(status, 422);
    assert!(html.contains("of TikTok alone"), "{html}");
}

#[tokio::test]
async fn clock_limits_and_tokens_are_set_by_hand() {
    let net = Net::start().await;
    assert_eq!(form(&net, "_networks/clock", &[("ms", "86400000")]).await.0, 200);
    assert_eq!(net.control_get("clock").await["ahead_ms"], 86_400_000);
    assert_eq!(form(&net, "_networks/clock", &[("ms", "-1")]).await.0, 422);
    let mut settings = vec![
        ("processing_ms", "7"),
        ("tiktok_moderation_ms", "8"),
        ("tiktok_pull_after_ms", "9"),
        ("publish_quota", "1"),
        ("container_quota", "50"),
        ("tiktok_inits_per_minute", "6"),
        ("tiktok_pending", "5"),
        ("refuse_duplicates", "on"),
    ];
    assert_eq!(form(&net, "_networks/settings", &settings).await.0, 200);
    let set = net.control_get("settings").await;
    for (name, value) in &settings[..7] {
        assert_eq!(set[*name].to_string(), *value, "{set}");
    }
    assert_eq!(set["refuse_duplicates"], true);
    settings[0].1 = "soon";
    let (status, html) = form(&net, "_networks/settings", &settings).await;
    assert_eq!(status, 422);
    assert!(html.contains("processing_ms: &#34;soon&#34; is not a whole number"), "{html}");
    let expired = [("token", "sandbox-page-token"), ("state", "expired")];
    assert_eq!(form(&net, "_networks/token", &expired).await.0, 200);
    let refused = net.graph_get(PAGE).await;
    assert_eq!((refused.0, &refused.1["error"]["error_subcode"]), (400, &json!(463)));
    let stranger = [("token", "nobody's"), ("state", "expired")];
    assert_eq!(form(&net, "_networks/token", &stranger).await.0, 422);
}

/// Somebody who is told things: an address, and what has come there so far.
async fn listener() -> (String, tokio::sync::mpsc::UnboundedReceiver<(String, String)>) {
    let (told, heard) = tokio::sync::mpsc::unbounded_channel();
    let hear = move |headers: axum::http::HeaderMap, body: String| async move {
        let signature = headers["tiktok-signature"].to_str().expect("text").to_owned();
        told.send((signature, body)).expect("somebody listens");
    };
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}/told", socket.local_addr().expect("an address"));
    let router = axum::Router::new().route("/told", axum::routing::post(hear));
    tokio::spawn(async move { axum::serve(socket, router).await });
    (address, heard)
}

#[tokio::test]
async fn a_post_is_told_of_by_webhook_and_again_by_hand() {
    let net = Net::start().await;
    let (url, mut heard) = listener().await;
    let hook = [("url", url.as_str()), ("client_key", "key"), ("secret", "secret")];
    assert_eq!(form(&net, "_networks/webhook", &hook).await.0, 200);
    net.control("settings", json!({ "tiktok_moderation_ms": 3_600_000 })).await;
    let (id, url) = net.open_upload("told of", &mp4(1000)).await;
    net.put(&url, &mp4(1000), 0, 1000).send().await.expect("an answer");
    let (_, complete) = heard.recv().await.expect("it is told");
    assert!(complete.contains("post.publish.complete") && complete.contains(&id), "{complete}");
    // moderated, it is nobody's to see, and then everybody's
    let status = net.upload_status(&id).await;
    assert_eq!(
        (&status["status"], &status["publicaly_available_post_id"]),
        (&json!("PUBLISH_COMPLETE"), &json!([]))
    );
    let listed =
        || async { net.tiktok("video/list/?fields=id", json!({})).await.1["data"]["videos"].clone() };
    assert_eq!(listed().await, json!([]));
    assert!(net.page("/").await.1.contains("In moderation"));
    net.advance(3_600_000).await;
    let (_, available) = heard.recv().await.expect("it is told");
    assert!(available.contains("post.publish.publicly_available"), "{available}");
    assert_eq!(listed().await.as_array().map(Vec::len), Some(1));
    assert!(net.upload_status(&id).await["publicaly_available_post_id"][0].is_u64());
    let mut signatures = Vec::new();
    for (how, times) in [("rightly", 1), ("twice", 2), ("forged", 1), ("old", 1)] {
        let tell = [("event", "post.publish.complete"), ("publish_id", id.as_str()), ("how", how)];
        let (status, html) = form(&net, "_networks/tell", &tell).await;
        assert_eq!(status, 200);
        assert!(html.contains("the answers were: 200"), "{html}");
        for _ in 0..times {
            signatures.push(heard.recv().await.expect("it is told").0);
        }
    }
    assert_eq!(signatures[1], signatures[2]);
    let time = |signature: &str| signature[2..].split(',').next().and_then(|time| time.parse::<i64>().ok());
    assert!(time(&signatures[4]).zip(time(&signatures[0])).is_some_and(|(old, now)| now - old >= 3_500));
    let nothing = [("event", "post.publish.complete"), ("publish_id", "none"), ("how", "")];
    assert_eq!(form(&net, "_networks/tell", &nothing).await.0, 422);
}
