//! What is public on a TikTok account, and who it is.

use serde_json::{Map, Value, json};

use super::{Asked, Outcome, TiktokError};
use crate::effects::Effect;
use crate::model::Account;
use crate::numbers;
use crate::state::{Book, Sandbox};

/// `GET` or `POST /v2/user/info/?fields=`.
pub fn user_info(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let account = asked.account(sandbox)?;
    let (count, settings) = {
        let book = sandbox.book();
        (book.world.shown(&account.external_id).count(), book.world.settings.clone())
    };
    let user = json!({
        "open_id": account.external_id,
        "union_id": account.external_id,
        "display_name": account.name,
        "username": account.name,
        "avatar_url": format!("{}/", sandbox.base),
        "bio_description": "",
        "is_verified": false,
        "follower_count": settings.followers,
        "following_count": 12,
        "likes_count": settings.followers / 2,
        "video_count": count,
    });
    Ok(json!({ "user": pick(sandbox, asked, "open_id,display_name", &user)? }))
}

/// `POST /v2/video/list/?fields=`: newest first.
pub fn list(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let account = asked.account(sandbox)?;
    let count = asked.json["max_count"].as_u64().unwrap_or(10);
    if !(1..=20).contains(&count) {
        return Err(TiktokError::parameter("max_count must be 1 to 20"));
    }
    let before = asked.json["cursor"].as_i64();
    let book = sandbox.book();
    let mut older = public(sandbox, &book, &account)
        .filter(|effect| before.is_none_or(|before| effect.at.timestamp_millis() < before))
        .peekable();
    let (mut videos, mut cursor) = (Vec::new(), before.unwrap_or_default());
    while (videos.len() as u64) < count
        && let Some(effect) = older.next()
    {
        cursor = effect.at.timestamp_millis();
        videos.push(picked(&book, asked, "id", &video(sandbox, &book, effect))?);
    }
    Ok(json!({ "videos": videos, "cursor": cursor, "has_more": older.peek().is_some() }))
}

/// `POST /v2/video/query/?fields=`: those of the given ids that are public and one's own.
pub fn query(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let account = asked.account(sandbox)?;
    let ids = asked.json["filters"]["video_ids"].as_array().cloned().unwrap_or_default();
    if ids.is_empty() || ids.len() > 20 {
        return Err(TiktokError::parameter("filters.video_ids must have 1 to 20 ids"));
    }
    let wanted: Vec<String> =
        ids.iter().map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned)).collect();
    let book = sandbox.book();
    let found = wanted.iter().filter_map(|id| book.world.effect_of(id));
    let own = found.filter(|effect| effect.account == account.external_id);
    let videos: Result<Vec<_>, _> = own
        .filter(|effect| is_public(sandbox, &book, effect))
        .map(|effect| picked(&book, asked, "id", &video(sandbox, &book, effect)))
        .collect();
    Ok(json!({ "videos": videos? }))
}

/// What everybody can see of an account, newest first.
fn public<'a>(sandbox: &'a Sandbox, book: &'a Book, account: &Account) -> impl Iterator<Item = &'a Effect> {
    book.world.shown(&account.external_id).filter(move |effect| is_public(sandbox, book, effect))
}

fn is_public(sandbox: &Sandbox, book: &Book, effect: &Effect) -> bool {
    let upload = book.world.uploads.get(&effect.handle);
    let now = sandbox.clock.now();
    !book.world.deleted.contains(&effect.object_id)
        && !book.hides(effect, now)
        && book.moderated_at(effect.at) <= now
        && upload.is_some_and(|upload| upload.privacy_level == "PUBLIC_TO_EVERYONE")
}

fn video(sandbox: &Sandbox, book: &Book, effect: &Effect) -> Value {
    let count = |what| numbers::of_object(&book.world.settings, effect, what, sandbox.clock.now());
    json!({
        "id": effect.object_id,
        "title": effect.caption,
        "video_description": effect.caption,
        "create_time": effect.at.timestamp(),
        "share_url": sandbox.here(&effect.permalink),
        "embed_link": sandbox.here(&effect.permalink),
        "cover_image_url": format!("{}/", sandbox.base),
        "duration": 1,
        "like_count": count("like_count"),
        "comment_count": count("comment_count"),
        "share_count": count("share_count"),
        "view_count": count("view_count"),
    })
}

/// The fields named in the query.
fn pick(sandbox: &Sandbox, asked: &Asked, default: &str, object: &Value) -> Result<Value, TiktokError> {
    picked(&sandbox.book(), asked, default, object)
}

/// The same by who holds the book. What was retired is not known any more.
fn picked(book: &Book, asked: &Asked, default: &str, object: &Value) -> Result<Value, TiktokError> {
    let retired = &book.world.settings.retired_metrics;
    let mut pairs = url::form_urlencoded::parse(asked.query.as_bytes());
    let fields = pairs.find(|(name, _)| name == "fields").map(|(_, value)| value.into_owned());
    let mut picked = Map::new();
    for name in fields.as_deref().unwrap_or(default).split(',') {
        let value = object
            .get(name)
            .filter(|_| retired.iter().all(|it| it != name))
            .ok_or_else(|| TiktokError::parameter(format!("Fields is invalid: {name}")))?;
        picked.insert(name.to_owned(), value.clone());
    }
    Ok(Value::Object(picked))
}
