//! The wall and the page of faults.

use serde_json::json;

use crate::harness::{Net, PAGE};

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
