//! Instagram: containers, publishing once, reading back, limits.

use image::ImageFormat;
use serde_json::json;

use crate::harness::{IG, Net, code, id, jpeg, mp4, picture};

#[tokio::test]
async fn a_container_publishes_once() {
    let net = Net::start().await;
    let container = net.container("bread").await;
    assert_eq!(net.status_code(&container).await, "FINISHED");
    assert!(net.effects().await.is_empty());
    let (first, second) = tokio::join!(net.media_publish(&container), net.media_publish(&container));
    let mut statuses = [first.0, second.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(net.status_code(&container).await, "PUBLISHED");
    assert_eq!(net.effects().await, ["bread"]);
    let (_, read) = net.graph_get(&format!("{container}?fields=status_code,status")).await;
    assert_eq!(read.as_object().map(serde_json::Map::len), Some(3), "it tells no media id");
}

#[tokio::test]
async fn the_media_read_back_as_they_were_published() {
    let net = Net::start().await;
    let container = net.container("bread").await;
    let media = id(&net.media_publish(&container).await);
    assert_ne!(media, container);
    let fields = "id,caption,timestamp,permalink,media_type,media_product_type";
    let (_, list) = net.graph_get(&format!("{IG}/media?fields={fields}")).await;
    let first = &list["data"][0];
    assert_eq!((&first["id"], &first["caption"]), (&json!(media), &json!("bread")));
    assert_eq!((&first["media_type"], &first["media_product_type"]), (&json!("IMAGE"), &json!("FEED")));
    assert!(first["timestamp"].as_str().expect("a time").ends_with("+0000"));
    let (_, one) = net.graph_get(&format!("{media}?fields={fields}")).await;
    assert_eq!(&one, first);
}

#[tokio::test]
async fn a_container_that_is_processed_cannot_be_published_yet() {
    let net = Net::start().await;
    net.control("settings", json!({ "processing_ms": 60_000 })).await;
    let container = net.container("slow").await;
    assert_eq!(net.status_code(&container).await, "IN_PROGRESS");
    assert_eq!(code(&net.media_publish(&container).await), (9007, 2_207_027));
    net.advance(60_000).await;
    assert_eq!(net.status_code(&container).await, "FINISHED");
    assert_eq!(net.media_publish(&container).await.0, 200);
}

#[tokio::test]
async fn a_container_expires_after_a_day() {
    let net = Net::start().await;
    let container = net.container("late").await;
    net.advance(24 * 3_600_000).await;
    assert_eq!(net.status_code(&container).await, "EXPIRED");
    assert_eq!(code(&net.media_publish(&container).await), (24, 2_207_008));
}

#[tokio::test]
async fn pictures_that_instagram_does_not_take_are_refused() {
    let net = Net::start().await;
    let png = net.host("a.jpg", picture(640, 640, ImageFormat::Png)).await;
    let wide = net.host("b.jpg", jpeg(1000, 400)).await;
    let small = net.host("c.jpg", jpeg(200, 200)).await;
    let text = net.host("d.jpg", b"not a picture".to_vec()).await;
    let gone = png.replace("a.jpg", "e.jpg");
    for (url, expected) in [
        (png, (36_001, 2_207_005)),
        (wide, (36_003, 2_207_009)),
        (small, (36_003, 2_207_009)),
        (text, (9004, 2_207_052)),
        (gone, (9004, 2_207_052)),
    ] {
        let answer = net.graph_post(&format!("{IG}/media"), &[("image_url", &url)]).await;
        assert_eq!((answer.0, code(&answer)), (400, expected));
    }
    let caption = "a".repeat(2201);
    let answer =
        net.graph_post(&format!("{IG}/media"), &[("image_url", "http://x"), ("caption", &caption)]).await;
    assert_eq!(code(&answer), (36_004, 2_207_010));
}

#[tokio::test]
async fn the_quota_is_counted_and_enforced() {
    let net = Net::start().await;
    net.control("settings", json!({ "publish_quota": 1 })).await;
    let (first, second) = (net.container("1").await, net.container("2").await);
    assert_eq!(net.media_publish(&first).await.0, 200);
    assert_eq!(code(&net.media_publish(&second).await), (9, 2_207_042));
    let (_, limit) = net.graph_get(&format!("{IG}/content_publishing_limit?fields=config,quota_usage")).await;
    assert_eq!(limit["data"][0]["quota_usage"], 1);
    assert_eq!(limit["data"][0]["config"]["quota_total"], 1);
}

#[tokio::test]
async fn a_carousel_has_the_media_of_its_children() {
    let net = Net::start().await;
    let url = net.host("square.jpg", jpeg(640, 640)).await;
    let child = [("image_url", url.as_str()), ("is_carousel_item", "true")];
    let media = format!("{IG}/media");
    let (a, b) = (id(&net.graph_post(&media, &child).await), id(&net.graph_post(&media, &child).await));
    assert_eq!(net.media_publish(&a).await.0, 400, "a child is not a post");
    let children = format!("{a},{b}");
    let form = [("media_type", "CAROUSEL"), ("children", children.as_str()), ("caption", "both")];
    let carousel = id(&net.graph_post(&media, &form).await);
    assert_eq!(net.media_publish(&carousel).await.0, 200);
    let effects = net.control_get("effects").await;
    assert_eq!(effects["data"][0]["media"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_reel_reads_back_as_a_video_and_a_story_not_at_all() {
    let net = Net::start().await;
    let url = net.host("a.mp4", mp4(5000)).await;
    let reel = vec![("media_type", "REELS"), ("video_url", url.as_str()), ("caption", "moving")];
    let story = vec![("media_type", "STORIES"), ("video_url", url.as_str())];
    for form in [reel, story] {
        let container = id(&net.graph_post(&format!("{IG}/media"), &form).await);
        assert_eq!(net.media_publish(&container).await.0, 200);
    }
    let (_, list) = net.graph_get(&format!("{IG}/media?fields=media_type,media_product_type")).await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["data"][0]["media_product_type"], "REELS");
    assert_eq!(list["data"][0]["media_type"], "VIDEO");
    assert_eq!(net.effects().await.len(), 2);
    let stories = format!("{IG}/stories?fields=media_type,media_product_type");
    let (_, list) = net.graph_get(&stories).await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["data"][0]["media_product_type"], "STORY");
    net.advance(24 * 3_600_000).await;
    let (_, list) = net.graph_get(&stories).await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(0), "a story is shown for a day");
}

#[tokio::test]
async fn a_parameter_that_a_container_does_not_take_is_refused() {
    let net = Net::start().await;
    let picture = net.host("square.jpg", jpeg(640, 640)).await;
    let film = net.host("a.mp4", mp4(5000)).await;
    let (picture, film) = (picture.as_str(), film.as_str());
    for form in [
        vec![("media_type", "STORIES"), ("image_url", picture), ("caption", "unseen")],
        vec![("media_type", "STORIES"), ("image_url", picture), ("video_url", film)],
        vec![("media_type", "REELS"), ("video_url", film), ("image_url", picture)],
        vec![("media_type", "REELS"), ("video_url", film), ("is_carousel_item", "true")],
        vec![("is_carousel_item", "true"), ("image_url", picture), ("caption", "unseen")],
        vec![("image_url", picture), ("captoin", "misspelt")],
        vec![("media_type", "REELS"), ("caption", "nothing to show")],
        vec![("media_type", "VIDEO"), ("video_url", film)],
    ] {
        let answer = net.graph_post(&format!("{IG}/media"), &form).await;
        assert_eq!((answer.0, code(&answer).0), (400, 100), "{form:?}");
    }
    let container = net.container("bread").await;
    let form = [("creation_id", container.as_str()), ("caption", "again")];
    assert_eq!(net.graph_post(&format!("{IG}/media_publish"), &form).await.0, 400);
    assert!(net.effects().await.is_empty());
}

#[tokio::test]
async fn a_carousel_is_refused_until_each_of_its_children_is_finished() {
    let net = Net::start().await;
    net.control("settings", json!({ "processing_ms": 60_000 })).await;
    let (picture, film) = (net.host("a.jpg", jpeg(640, 640)).await, net.host("a.mp4", mp4(5000)).await);
    let media = format!("{IG}/media");
    let image = [("image_url", picture.as_str()), ("is_carousel_item", "true")];
    let first = id(&net.graph_post(&media, &image).await);
    net.advance(60_000).await;
    let video = [("media_type", "VIDEO"), ("video_url", film.as_str()), ("is_carousel_item", "true")];
    let second = id(&net.graph_post(&media, &video).await);
    let children = format!("{first},{second}");
    let form = [("media_type", "CAROUSEL"), ("children", children.as_str())];
    assert_eq!(code(&net.graph_post(&media, &form).await), (9007, 2_207_027));
    net.advance(60_000).await;
    id(&net.graph_post(&media, &form).await);
    for few in [first.as_str(), ""] {
        let form = [("media_type", "CAROUSEL"), ("children", few)];
        assert_eq!(code(&net.graph_post(&media, &form).await), (100, 2_207_028), "{few:?}");
    }
}
