//! A post as reading it shows it.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::fields;
use crate::effects::Effect;
use crate::model::{Post, PostKind, VideoKind};
use crate::numbers;
use crate::state::{Book, Sandbox};

/// A post with all its fields; absent ones are null. A video's post is shown like any other.
pub fn node(sandbox: &Sandbox, book: &Book, id: &str, now: DateTime<Utc>) -> Option<Value> {
    if let Some(post) = book.world.posts.get(id) {
        let published = post.published.filter(|&at| !book.hides_handle(id, at, now));
        return Some(json!({
            "id": id,
            "message": (!post.message.is_empty()).then_some(&post.message),
            "created_time": fields::time(published.unwrap_or(post.created)),
            "updated_time": fields::time(published.unwrap_or(post.created)),
            "is_published": published.is_some(),
            "permalink_url": permalink(sandbox, post),
            "from": { "id": post.page },
            "application": post.app.as_ref().map(|app| json!({ "id": app, "name": "An app" })),
            "status_type": null,
            "full_picture": null,
            "shares": book.world.effect_of(id).and_then(|effect| shares(book, effect, now)),
            "reactions": counted(book, id, "reactions", now),
            "comments": counted(book, id, "comments", now),
            "attachments": attachments(&post.photos, post.link.as_deref()),
        }));
    }
    let effect = book.world.effect_of(id).filter(|_| book.world.video_posts.contains_key(id))?;
    Some(json!({
        "id": id,
        "message": (!effect.caption.is_empty()).then_some(&effect.caption),
        "created_time": fields::time(effect.at),
        "updated_time": fields::time(effect.at),
        "is_published": true,
        "permalink_url": sandbox.here(&effect.permalink),
        "from": { "id": effect.account },
        "application": null,
        "status_type": "added_video",
        "full_picture": null,
        "shares": shares(book, effect, now),
        "reactions": counted(book, id, "reactions", now),
        "comments": counted(book, id, "comments", now),
        "attachments": { "data": [{ "media_type": "video", "target": { "id": effect.handle } }] },
    }))
}

/// How many there are of something, without any of it.
fn counted(book: &Book, id: &str, what: &str, now: DateTime<Utc>) -> Value {
    let count = |effect| numbers::of_object(&book.world.settings, effect, what, now);
    json!({ "data": [], "summary": { "total_count": book.world.effect_of(id).map_or(0, count) } })
}

/// Left out where there are none.
fn shares(book: &Book, effect: &Effect, now: DateTime<Utc>) -> Option<Value> {
    let count = numbers::of_object(&book.world.settings, effect, "shares", now);
    (count > 0).then(|| json!({ "count": count }))
}

fn attachments(photos: &[String], link: Option<&str>) -> Value {
    let photo = |id: &String| json!({ "media_type": "photo", "target": { "id": id } });
    match (photos, link) {
        ([], None) => Value::Null,
        ([], Some(link)) => json!({ "data": [{ "media_type": "link", "url": link, "unshimmed_url": link }] }),
        ([one], _) => json!({ "data": [photo(one)] }),
        (many, _) => json!({ "data": [{
            "media_type": "album",
            "target": { "id": many[0] },
            "subattachments": { "data": many.iter().map(photo).collect::<Vec<_>>() },
        }] }),
    }
}

/// Where a post can be seen once it is public.
pub fn permalink(sandbox: &Sandbox, post: &Post) -> String {
    let number = post.id.rsplit('_').next().unwrap_or_default();
    let place = match post.kind {
        PostKind::Feed => "posts",
        PostKind::Story => "stories",
    };
    format!("{}/{}/{place}/{number}", sandbox.base, post.page)
}

/// Stories are shown apart from the feed.
pub fn is_story(book: &Book, effect: &Effect) -> bool {
    let post = book.world.posts.get(&effect.object_id);
    let video = book.world.videos.get(&effect.handle);
    post.is_some_and(|post| post.kind == PostKind::Story)
        || video.is_some_and(|video| video.kind == VideoKind::Story)
}
