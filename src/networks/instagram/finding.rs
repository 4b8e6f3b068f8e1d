//! Finding the post that a container became, which the container itself never tells.

use chrono::{DateTime, TimeDelta};
use jobs::{desk::Content, machine::Public};
use serde_json::Value;

use super::{super::http::id_of, text};

/// How far the network's clock and ours may be apart when a post is recognised by its time.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(2);
/// How many of the latest posts are searched.
pub const LATEST: usize = 25;
/// What is asked of each of them.
pub const FIELDS: &str = "id,caption,timestamp,permalink,media_type,media_product_type";
/// As Graph writes times: `+0000`, not `Z`.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%z";

/// The edge of the account that lists what a surface's posts become.
pub fn edge(content: &Content) -> &'static str {
    if content.surface == "story" { "stories" } else { "media" }
}

/// The one post like this since then that is nobody else's. Where the list ends before it reaches that far
/// back, another one may lie beyond its end, and none is taken.
pub fn only_match(latest: &[Value], content: &Content) -> Option<Public> {
    if content.twin {
        return None;
    }
    let since = content.not_before - CLOCKS_APART;
    let time = |media: &Value| DateTime::parse_from_str(media["timestamp"].as_str()?, TIME).ok();
    let recent = |media: &&Value| time(media).is_some_and(|at| at >= since);
    if latest.len() >= LATEST && latest.iter().all(|media| recent(&media)) {
        return None;
    }
    let fits = |media: &&Value| {
        is_like(media, content) && id_of(&media["id"]).is_some_and(|id| !content.taken.contains(&id))
    };
    let mut matches = latest.iter().filter(recent).filter(fits);
    match (matches.next(), matches.next()) {
        (Some(one), None) => Some(Public { id: Some(id_of(&one["id"])?), url: text(one, "permalink") }),
        (Some(_) | None, _) => None,
    }
}

/// Whether it is of the surface's kind and has its words. A story has none.
fn is_like(media: &Value, content: &Content) -> bool {
    let kind = (media["media_product_type"].as_str(), media["media_type"].as_str());
    let words = media["caption"].as_str().unwrap_or_default().trim() == content.caption.trim();
    match content.surface.as_str() {
        "story" => {
            let film = content.media.first().is_some_and(|file| file.content_type.starts_with("video/"));
            kind == (Some("STORY"), Some(if film { "VIDEO" } else { "IMAGE" }))
        }
        "reel" => words && kind.0 == Some("REELS"),
        "carousel" => words && kind == (Some("FEED"), Some("CAROUSEL_ALBUM")),
        _ => words && kind == (Some("FEED"), Some("IMAGE")),
    }
}

#[cfg(test)]
mod tests {
    use jobs::desk::File;
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> DateTime<chrono::Utc> {
        text.parse().expect("a time")
    }

    fn media(id: &str, caption: Option<&str>, time: &str) -> Value {
        json!({
            "id": id, "caption": caption, "timestamp": time, "permalink": format!("https://i/p/{id}"),
            "media_type": "IMAGE", "media_product_type": "FEED",
        })
    }

    /// A post that cannot have been public before ten.
    fn content(caption: &str, taken: &[&str]) -> Content {
        Content {
            surface: "image".into(),
            caption: caption.into(),
            link: None,
            media: Vec::new(),
            options: Value::Null,
            not_before: at("2026-11-21T10:00:00Z") + CLOCKS_APART,
            taken: taken.iter().map(|id| (*id).to_owned()).collect(),
            twin: false,
        }
    }

    #[test]
    fn a_post_is_recognised_only_where_exactly_one_fits() {
        let hello = content("hello", &[]);
        let found = |list: &[Value]| only_match(list, &hello).and_then(|public| public.id);
        let mine = media("1", Some("hello"), "2026-11-21T10:00:01+0000");
        let older = media("2", Some("hello"), "2026-11-21T09:59:59+0000");
        let other = media("3", Some("hello!"), "2026-11-21T10:00:01+0000");
        assert_eq!(found(&[other.clone(), mine.clone(), older]).as_deref(), Some("1"));
        let twin = media("4", Some("hello"), "2026-11-21T10:00:09+0000");
        assert_eq!(found(&[mine.clone(), twin.clone()]), None);
        let known = only_match(&[mine.clone(), twin], &content("hello", &["1"]));
        assert_eq!(
            known.and_then(|public| public.id).as_deref(),
            Some("4"),
            "the other's is known to be another"
        );
        assert_eq!(found(&[other]), None);
        let beside_a_twin = Content { twin: true, ..content("hello", &[]) };
        assert_eq!(only_match(std::slice::from_ref(&mine), &beside_a_twin), None, "it may be the other's");
        let full = vec![mine; 1]
            .into_iter()
            .chain((0..24).map(|n| media(&n.to_string(), None, "2026-11-21T11:00:00+0000")));
        assert_eq!(found(&full.collect::<Vec<_>>()), None, "another may lie beyond the list's end");
        let bare = [media("5", None, "2026-11-21T10:00:01+0000")];
        assert_eq!(only_match(&bare, &content("", &[])).and_then(|public| public.id).as_deref(), Some("5"));
    }

    #[test]
    fn a_post_is_never_taken_for_one_of_another_kind() {
        let of = |id: &str, product: &str, kind: &str| {
            let mut media = media(id, Some("hello"), "2026-11-21T10:00:01+0000");
            media["media_product_type"] = product.into();
            media["media_type"] = kind.into();
            media
        };
        let all = [
            of("1", "FEED", "IMAGE"),
            of("2", "REELS", "VIDEO"),
            of("3", "FEED", "CAROUSEL_ALBUM"),
            of("4", "STORY", "IMAGE"),
            of("5", "STORY", "VIDEO"),
        ];
        let file = |kind: &str| File { key: "k".into(), content_type: kind.into(), bytes: 1, width: 1080 };
        for (surface, kind, id) in [
            ("image", "image/jpeg", "1"),
            ("reel", "video/mp4", "2"),
            ("carousel", "image/jpeg", "3"),
            ("story", "image/jpeg", "4"),
            ("story", "video/mp4", "5"),
        ] {
            let hello = content("hello", &[]);
            let wanted = Content { surface: surface.into(), media: vec![file(kind)], ..hello };
            let found = only_match(&all, &wanted).and_then(|public| public.id);
            assert_eq!(found.as_deref(), Some(id), "{surface} of {kind}");
        }
    }

    #[test]
    fn a_story_is_found_without_words_and_only_where_it_is_the_one() {
        let file = File { key: "k".into(), content_type: "image/jpeg".into(), bytes: 1, width: 1080 };
        let hello = content("never shown", &[]);
        let wanted = Content { surface: "story".into(), media: vec![file], ..hello };
        let story = |id: &str| {
            let mut media = media(id, None, "2026-11-21T10:00:01+0000");
            media["media_product_type"] = "STORY".into();
            media["permalink"] = Value::Null;
            media
        };
        let known = only_match(&[story("1")], &wanted);
        assert_eq!(known, Some(Public { id: Some("1".into()), url: None }));
        assert_eq!(only_match(&[story("1"), story("2")], &wanted), None);
        assert_eq!(edge(&wanted), "stories");
    }
}
