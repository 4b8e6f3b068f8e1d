//! Direct posts: what the creator allows, opening an upload, its status, taking it back.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Asked, Outcome, TiktokError};
use crate::event::Event;
use crate::media::FetchError;
use crate::model::{Account, Upload, UploadState};
use crate::state::{Book, Sandbox};

const MB: u64 = 1_000_000;
/// The smallest and the largest chunk, and the largest last one. Both ways of counting megabytes are taken.
const CHUNK: std::ops::RangeInclusive<u64> = 5 * MB..=64 << 20;
/// The largest video.
const VIDEO_LIMIT: u64 = 4 << 30;
/// What an init of a video may say about the post.
const VIDEO_INFO: &[&str] = &[
    "title",
    "privacy_level",
    "disable_comment",
    "disable_duet",
    "disable_stitch",
    "video_cover_timestamp_ms",
    "brand_content_toggle",
    "brand_organic_toggle",
    "is_aigc",
];
/// What an init of photos may say about the post.
const PHOTO_INFO: &[&str] = &[
    "title",
    "description",
    "privacy_level",
    "disable_comment",
    "auto_add_music",
    "brand_content_toggle",
    "brand_organic_toggle",
    "is_aigc",
];
/// From here on a limit is none.
const UNLIMITED: u64 = 10_000;
/// The largest photo.
const PHOTO_LIMIT: u64 = 20 << 20;

/// `POST /v2/post/publish/creator_info/query/`.
pub fn creator_info(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let account = asked.account(sandbox)?;
    known(&asked.json, "the body", &[])?;
    Ok(json!({
        "creator_avatar_url": format!("{}/", sandbox.base),
        "creator_username": account.name,
        "creator_nickname": account.name,
        "privacy_level_options": account.privacy_options,
        "comment_disabled": false,
        "duet_disabled": false,
        "stitch_disabled": false,
        "max_video_post_duration_sec": 600,
    }))
}

/// `POST /v2/post/publish/video/init/`: nothing can become public before its bytes have come.
pub async fn video_init(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let account = asked.account(sandbox)?;
    known(&asked.json, "the body", &["post_info", "source_info"])?;
    known(&asked.json["post_info"], "post_info", VIDEO_INFO)?;
    let (title, privacy) = post_info(asked, &account, "title", 2200)?;
    let source = &asked.json["source_info"];
    match source["source"].as_str() {
        Some("FILE_UPLOAD") => {
            known(source, "source_info", &["source", "video_size", "chunk_size", "total_chunk_count"])?;
            let size = Size::of(source)?;
            let upload = open(sandbox, &account, "file", title, privacy, &size)?;
            let upload_url = format!("{}/tiktok/upload/{}", sandbox.base, upload.key);
            Ok(json!({ "publish_id": upload.publish_id, "upload_url": upload_url }))
        }
        Some("PULL_FROM_URL") => {
            known(source, "source_info", &["source", "video_url"])?;
            let url =
                source["video_url"].as_str().ok_or_else(|| TiktokError::parameter("video_url is missing"))?;
            let upload = open(sandbox, &account, "url", title, privacy, &Size::default())?;
            pull(sandbox, asked, &upload, &[url.to_owned()], VIDEO_LIMIT).await
        }
        Some(_) | None => Err(TiktokError::parameter("source_info.source is wrong")),
    }
}

/// `POST /v2/post/publish/content/init/`: photos, pulled from their URLs.
pub async fn content_init(sandbox: &Arc<Sandbox>, asked: &Asked) -> Outcome {
    let account = asked.account(sandbox)?;
    known(&asked.json, "the body", &["media_type", "post_mode", "post_info", "source_info"])?;
    known(&asked.json["post_info"], "post_info", PHOTO_INFO)?;
    if asked.json["media_type"] != "PHOTO" || asked.json["post_mode"] != "DIRECT_POST" {
        return Err(TiktokError::parameter(
            "only media_type PHOTO with post_mode DIRECT_POST is served here",
        ));
    }
    let (title, privacy) = post_info(asked, &account, "title", 90)?;
    let description = asked.json["post_info"]["description"].as_str().unwrap_or_default();
    if description.encode_utf16().count() > 4000 {
        return Err(TiktokError::parameter("post_info.description is longer than 4000"));
    }
    let caption = if description.is_empty() { title } else { description.to_owned() };
    let urls = photo_urls(&asked.json["source_info"])?;
    let upload = open(sandbox, &account, "photo", caption, privacy, &Size::default())?;
    let after = sandbox.book().world.settings.tiktok_pull_after_ms;
    if after == 0 {
        return pull(sandbox, asked, &upload, &urls, PHOTO_LIMIT).await;
    }
    let (later, call_id, publish_id) =
        (Arc::clone(sandbox), asked.call_id.clone(), upload.publish_id.clone());
    // counted before the caller hears anything
    let pending = sandbox.will_be_carried_out();
    tokio::spawn(async move {
        let wait = TimeDelta::milliseconds(i64::try_from(after).unwrap_or(i64::MAX));
        later.clock.reach(later.clock.now() + wait).await;
        let fetched = fetch_all(&later, &upload, &urls, PHOTO_LIMIT, call_id).await;
        drop(pending);
        fetched
    });
    Ok(json!({ "publish_id": publish_id }))
}

/// The photos' addresses, and nothing that TikTok does not know of.
fn photo_urls(source: &Value) -> Result<Vec<String>, TiktokError> {
    if source["source"] != "PULL_FROM_URL" {
        return Err(TiktokError::parameter("source_info.source must be PULL_FROM_URL for photos"));
    }
    known(source, "source_info", &["source", "photo_images", "photo_cover_index"])?;
    let none = || TiktokError::parameter("source_info.photo_images must have 1 to 35 URLs");
    let urls: Vec<_> = source["photo_images"].as_array().ok_or_else(none)?.iter().collect();
    if !(1..=35).contains(&urls.len()) {
        return Err(none());
    }
    if source["photo_cover_index"].as_u64().is_none_or(|cover| cover >= urls.len() as u64) {
        return Err(TiktokError::parameter("source_info.photo_cover_index names none of the photos"));
    }
    let read = |url: &&Value| Some(url::Url::parse(url.as_str()?).ok()?.to_string());
    urls.iter().map(|url| read(url).ok_or_else(none)).collect()
}

/// Refuses fields that TikTok does not document.
fn known(object: &Value, name: &str, fields: &[&str]) -> Result<(), TiktokError> {
    let unknown =
        object.as_object().and_then(|object| object.keys().find(|key| !fields.contains(&key.as_str())));
    match unknown {
        Some(field) => Err(TiktokError::parameter(format!("{name}.{field} is not known"))),
        None => Ok(()),
    }
}

/// `POST /v2/post/publish/status/fetch/`.
pub fn status(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let account = asked.account(sandbox)?;
    known(&asked.json, "the body", &["publish_id"])?;
    let book = sandbox.book();
    let upload = owned(&book, &account, &asked.publish_id()?)?;
    let now = sandbox.clock.now();
    let hidden = match &upload.state {
        UploadState::Complete { at, .. } => book.hides_handle(&upload.publish_id, *at, now),
        UploadState::Open | UploadState::Processing { .. } | UploadState::Failed { .. } => false,
    };
    let mut data = json!({ "uploaded_bytes": upload.received });
    match &upload.state {
        UploadState::Complete { post, at } if !hidden => {
            data["status"] = "PUBLISH_COMPLETE".into();
            let public = upload.privacy_level == "PUBLIC_TO_EVERYONE" && book.moderated_at(*at) <= now;
            let ids: Vec<u64> = post.parse().into_iter().filter(|_| public).collect();
            data["publicaly_available_post_id"] = json!(ids);
        }
        UploadState::Failed { reason } => {
            data["status"] = "FAILED".into();
            data["fail_reason"] = reason.clone().into();
        }
        UploadState::Open | UploadState::Processing { .. } | UploadState::Complete { .. } => {
            let pulled = !upload.publish_id.starts_with("v_pub_file");
            data["status"] = if pulled { "PROCESSING_DOWNLOAD" } else { "PROCESSING_UPLOAD" }.into();
        }
    }
    Ok(data)
}

/// `POST /v2/post/publish/cancel/`: only while it is not public.
pub fn cancel(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let account = asked.account(sandbox)?;
    known(&asked.json, "the body", &["publish_id"])?;
    let mut book = sandbox.book();
    let upload = owned(&book, &account, &asked.publish_id()?)?;
    match upload.state {
        UploadState::Open | UploadState::Processing { .. } => {
            let (publish_id, reason) = (upload.publish_id.clone(), "publish_cancelled".into());
            book.record(Event::UploadFailed { publish_id, reason })?;
            Ok(json!({}))
        }
        UploadState::Complete { .. } | UploadState::Failed { .. } => {
            Err(TiktokError::new(400, "publish_not_cancellable", "The post can no longer be cancelled."))
        }
    }
}

/// The size and the chunks that an init announces.
#[derive(Debug, Default)]
struct Size {
    bytes: u64,
    chunk: u64,
    chunks: u64,
}

impl Size {
    /// Checks the chunk arithmetic: `floor(size / chunk)`, 5 to 64 MB each, a small file in one piece.
    fn of(source: &Value) -> Result<Self, TiktokError> {
        let number = |name: &str| {
            source[name].as_u64().filter(|number| *number > 0).ok_or_else(|| {
                TiktokError::parameter(format!("source_info.{name} must be a positive number"))
            })
        };
        let size = Self {
            bytes: number("video_size")?,
            chunk: number("chunk_size")?,
            chunks: number("total_chunk_count")?,
        };
        let whole = size.chunk == size.bytes && size.bytes <= *CHUNK.end();
        let right = if whole {
            size.chunks == 1
        } else {
            CHUNK.contains(&size.chunk) && size.chunks == size.bytes / size.chunk && size.chunks <= 1000
        };
        if right && size.bytes <= VIDEO_LIMIT {
            Ok(size)
        } else {
            Err(TiktokError::parameter("The total chunk count is invalid"))
        }
    }
}

/// The text and the privacy level, checked against what the creator allows.
fn post_info(
    asked: &Asked,
    account: &Account,
    text: &str,
    limit: usize,
) -> Result<(String, String), TiktokError> {
    let info = &asked.json["post_info"];
    let title = info[text].as_str().unwrap_or_default().to_owned();
    if title.encode_utf16().count() > limit {
        return Err(TiktokError::parameter(format!("post_info.{text} is longer than {limit}")));
    }
    let privacy = info["privacy_level"].as_str().unwrap_or_default().to_owned();
    if account.privacy_options.contains(&privacy) {
        Ok((title, privacy))
    } else {
        let message = "The privacy_level is not among the creator's options.";
        Err(TiktokError::new(403, "privacy_level_option_mismatch", message))
    }
}

fn open(
    sandbox: &Sandbox,
    account: &Account,
    kind: &str,
    title: String,
    privacy_level: String,
    size: &Size,
) -> Result<Upload, TiktokError> {
    let mut book = sandbox.book();
    check_rates(sandbox, &book, account)?;
    let number = 7_500_000_000_000_000_000 + book.number();
    let prefix = if kind == "photo" { "p_pub_url".to_owned() } else { format!("v_pub_{kind}") };
    let upload = Upload {
        publish_id: format!("{prefix}~v2-1.{number}"),
        key: Uuid::new_v4().simple().to_string(),
        account: account.external_id.clone(),
        title,
        privacy_level,
        size: size.bytes,
        chunk_size: size.chunk,
        chunks: size.chunks,
        created: sandbox.clock.now(),
        received: 0,
        state: UploadState::Open,
        media: Vec::new(),
        call_id: None,
        doomed: None,
    };
    book.record(Event::Upload(upload.clone()))?;
    Ok(upload)
}

/// 6 inits a minute, 5 pending in 24 hours, as far as the settings ask for it.
fn check_rates(sandbox: &Sandbox, book: &Book, account: &Account) -> Result<(), TiktokError> {
    let (settings, now) = (&book.world.settings, sandbox.clock.now());
    let ids = book.world.upload_order.get(&account.external_id).map_or(&[][..], Vec::as_slice);
    let recent = |span: TimeDelta| {
        let newest_first = ids.iter().rev().filter_map(|id| book.world.uploads.get(id));
        newest_first.take_while(move |upload| upload.created > now - span)
    };
    // Counting walks what is recent, so it is only done where a limit was set.
    let reached = |limit: u64, count: &dyn Fn() -> usize| limit < UNLIMITED && count() as u64 >= limit;
    if reached(settings.tiktok_inits_per_minute, &|| recent(TimeDelta::minutes(1)).count()) {
        return Err(TiktokError::new(429, "rate_limit_exceeded", "The API rate limit was exceeded."));
    }
    let open = |upload: &&Upload| upload.state == UploadState::Open;
    if reached(settings.tiktok_pending, &|| recent(TimeDelta::hours(24)).filter(open).count()) {
        let message = "There are too many pending uploads within 24 hours.";
        return Err(TiktokError::new(403, "spam_risk_too_many_pending_share", message));
    }
    Ok(())
}

/// Fetches what an init named. TikTok does it by itself; the stand-in does it at once.
async fn pull(sandbox: &Sandbox, asked: &Asked, upload: &Upload, urls: &[String], limit: u64) -> Outcome {
    fetch_all(sandbox, upload, urls, limit, asked.call_id.clone()).await?;
    Ok(json!({ "publish_id": upload.publish_id }))
}

async fn fetch_all(
    sandbox: &Sandbox,
    upload: &Upload,
    urls: &[String],
    limit: u64,
    call_id: Option<String>,
) -> Result<(), TiktokError> {
    let (mut media, mut failure) = (Vec::new(), None);
    for url in urls {
        match sandbox.media.fetch(url, limit).await {
            Ok(stored) => media.push(stored.sha256),
            Err(FetchError::Disk(error)) => return Err(error.into()),
            Err(FetchError::Unreachable(_)) => failure = Some(pull_failed(upload)),
            Err(FetchError::TooLarge(_)) => failure = Some("picture_size_check_failed"),
        }
    }
    for sha256 in &media {
        if !is_right_kind(sandbox, upload, sha256).await? {
            failure = Some("file_format_check_failed");
        }
    }
    accept(sandbox, &upload.publish_id, media, failure, call_id).await
}

fn pull_failed(upload: &Upload) -> &'static str {
    if upload.publish_id.starts_with("p_") { "photo_pull_failed" } else { "video_pull_failed" }
}

async fn is_right_kind(sandbox: &Sandbox, upload: &Upload, sha256: &str) -> Result<bool, TiktokError> {
    if upload.publish_id.starts_with("p_") {
        let mime = sandbox.media.mime(sha256).await?;
        return Ok(matches!(mime, Some("image/jpeg" | "image/webp")));
    }
    Ok(sandbox.media.is_video(sha256).await?)
}

/// Takes complete bytes for processing; with `failure` processing will end in it.
pub async fn accept(
    sandbox: &Sandbox,
    publish_id: &str,
    media: Vec<String>,
    failure: Option<&str>,
    call_id: Option<String>,
) -> Result<(), TiktokError> {
    {
        let mut book = sandbox.book();
        let publish_id = publish_id.to_owned();
        // Two senders of the last chunk: only the first completes the file.
        if book.world.uploads.get(&publish_id).is_none_or(|upload| upload.state != UploadState::Open) {
            return Err(TiktokError::new(403, "invalid_file_upload", "The upload is no longer open."));
        }
        if let Some(reason) = failure {
            let (publish_id, reason) = (publish_id.clone(), reason.to_owned());
            book.record(Event::UploadDoomed { publish_id, reason })?;
        }
        let due = sandbox.processed_at(&book);
        book.record(Event::UploadAccepted { publish_id, media, due, call_id })?;
    }
    Ok(sandbox.settle().await?)
}

fn owned<'a>(book: &'a Book, account: &Account, publish_id: &str) -> Result<&'a Upload, TiktokError> {
    let upload = book
        .world
        .uploads
        .get(publish_id)
        .ok_or_else(|| TiktokError::new(400, "invalid_publish_id", "The publish_id does not exist."))?;
    if upload.account == account.external_id {
        Ok(upload)
    } else {
        let message = "The token is not authorized for this publish_id.";
        Err(TiktokError::new(403, "token_not_authorized_for_specified_publish_id", message))
    }
}
