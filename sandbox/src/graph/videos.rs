//! Facebook videos, reels and video stories: start, upload, finish, then public when processed.

use serde_json::json;

use super::posts::check_message;
use super::{Asked, GraphError, Outcome, VERSION, auth, fields, header_text};
use crate::event::Event;
use crate::media::FetchError;
use crate::model::{Video, VideoKind};
use crate::state::Sandbox;

/// The largest video.
const VIDEO_LIMIT: u64 = 2 << 30;

/// `POST /{page}/video_reels upload_phase=start`, likewise stories; `POST /{page}/videos` does all at once.
pub async fn start(sandbox: &Sandbox, page: &str, kind: VideoKind, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, page)?;
    let video = {
        let mut book = sandbox.book();
        let id = (900_000_000_000_000 + book.number()).to_string();
        let video = Video {
            id: id.clone(),
            page: page.to_owned(),
            kind,
            created: sandbox.clock.now(),
            media: None,
            finished: None,
            published: None,
        };
        book.record(Event::Video(video))?;
        id
    };
    match kind {
        VideoKind::Video => whole(sandbox, &video, asked).await,
        VideoKind::Reel | VideoKind::Story => Ok(json!({
            "video_id": video,
            "upload_url": format!("{}/rupload/video-upload/{VERSION}/{video}", sandbox.base),
        })),
    }
}

/// `POST /rupload/video-upload/{version}/{video}`: the bytes, or the header `file_url` that names them.
pub async fn upload(sandbox: &Sandbox, video: &str, asked: &Asked) -> Outcome {
    let page = page_of(sandbox, video)?;
    auth::owner(sandbox, asked, &page)?;
    let media = receive(sandbox, asked).await?;
    fill(sandbox, video, media)?;
    Ok(json!({ "success": true, "message": "Upload successful." }))
}

/// `upload_phase=finish`: from here on it becomes public by itself.
pub async fn finish(sandbox: &Sandbox, page: &str, kind: VideoKind, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, page)?;
    let id = asked.params.text("video_id").ok_or_else(|| GraphError::parameter("video_id is required"))?;
    let video = sandbox.book().world.videos.get(&id).cloned().filter(|video| video.page == page);
    let video = video.ok_or_else(|| GraphError::missing(&id))?;
    if video.media.is_none() {
        return Err(
            GraphError::new(6000, "There was a problem uploading your video file.").with_subcode(1_363_019)
        );
    }
    let state = asked.params.text("video_state").unwrap_or_else(|| "PUBLISHED".into());
    if kind == VideoKind::Reel && state != "PUBLISHED" {
        return Err(GraphError::parameter("video_state: only PUBLISHED is served here"));
    }
    publish(sandbox, &video, asked).await?;
    // A story names its post at once; it is shown under it when it is processed.
    Ok(json!({ "success": true }))
}

/// `GET /{video}?fields=status,permalink_url,published`.
pub fn read(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    let page = page_of(sandbox, id)?;
    auth::owner(sandbox, asked, &page)?;
    let (book, now) = (sandbox.book(), sandbox.clock.now());
    let video = book.world.videos.get(id).ok_or_else(|| GraphError::missing(id))?;
    let published = video.published.as_ref().filter(|(_, at)| !book.hides_handle(id, *at, now));
    let effect = published.and_then(|(post, _)| book.world.effect_of(post));
    let caption = video.finished.as_ref().map(|done| done.caption.as_str());
    let node = json!({
        "id": id,
        "status": status(video, published.is_some()),
        "published": published.is_some(),
        "permalink_url": effect.map(|effect| sandbox.here(&effect.permalink)),
        "post_id": published.map(|(post, _)| post),
        "description": caption,
        "created_time": fields::time(video.created),
    });
    fields::pick(asked, "Video", "id,description,created_time", &node)
}

/// `POST /{page}/videos`: `file_url` or `source` with its text, in one call.
async fn whole(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    let media = receive(sandbox, asked).await?;
    fill(sandbox, id, media)?;
    let video = sandbox.book().world.videos.get(id).cloned().ok_or_else(|| GraphError::missing(id))?;
    if asked.params.flag("published") != Some(false) {
        publish(sandbox, &video, asked).await?;
    }
    Ok(json!({ "id": id }))
}

async fn publish(sandbox: &Sandbox, video: &Video, asked: &Asked) -> Result<(), GraphError> {
    let text = ["description", "title"].iter().find_map(|name| asked.params.text(name));
    let caption = text.unwrap_or_default();
    check_message(&caption)?;
    {
        let mut book = sandbox.book();
        // Finishing twice is one publication.
        let again = book.world.videos.get(&video.id).is_none_or(|video| video.finished.is_some());
        if !again {
            let (id, call_id) = (video.id.clone(), asked.call_id.clone());
            let due = sandbox.processed_at(&book);
            book.record(Event::VideoFinished { id, caption, due, call_id })?;
        }
    }
    Ok(sandbox.settle().await?)
}

/// The bytes of a video, by SHA-256; they must look like one.
async fn receive(sandbox: &Sandbox, asked: &Asked) -> Result<String, GraphError> {
    let url = header_text(&asked.headers, "file_url").or_else(|| asked.params.text("file_url"));
    let stored = match (&asked.params.file, url) {
        (Some(bytes), _) => sandbox.media.keep(bytes).await?,
        (None, Some(url)) => sandbox.media.fetch(&url, VIDEO_LIMIT).await.map_err(unfetched)?,
        (None, None) => return Err(GraphError::new(6000, "No video file was given").with_subcode(1_363_022)),
    };
    if !sandbox.media.is_video(&stored.sha256).await? {
        return Err(GraphError::new(6000, "The video file could not be read").with_subcode(1_363_024));
    }
    Ok(stored.sha256)
}

fn fill(sandbox: &Sandbox, id: &str, media: String) -> Result<(), GraphError> {
    let mut book = sandbox.book();
    let ready_at = sandbox.processed_at(&book);
    Ok(book.record(Event::Filled { id: id.to_owned(), media, ready_at })?)
}

fn unfetched(error: FetchError) -> GraphError {
    match error {
        FetchError::Unreachable(why) => {
            GraphError::new(389, "(#389) Unable to fetch video file from URL.").user(why)
        }
        FetchError::TooLarge(_) => GraphError::new(6000, "The video is too large").with_subcode(1_363_023),
        FetchError::Disk(error) => error.into(),
    }
}

fn page_of(sandbox: &Sandbox, video: &str) -> Result<String, GraphError> {
    let page = sandbox.book().world.videos.get(video).map(|video| video.page.clone());
    page.ok_or_else(|| GraphError::missing(video))
}

fn status(video: &Video, published: bool) -> serde_json::Value {
    let (overall, processing, publishing) = match (&video.finished, published) {
        (_, true) => ("ready", "complete", "complete"),
        (Some(_), false) => ("processing", "in_progress", "not_started"),
        (None, false) if video.media.is_some() => ("upload_complete", "not_started", "not_started"),
        (None, false) => ("uploading", "not_started", "not_started"),
    };
    let uploading = if video.media.is_some() { "complete" } else { "in_progress" };
    json!({
        "video_status": overall,
        "uploading_phase": { "status": uploading },
        "processing_phase": { "status": processing },
        "publishing_phase": {
            "status": publishing,
            "publish_status": if published { "published" } else { "draft" },
        },
    })
}
