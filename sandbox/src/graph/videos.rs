//! Facebook videos, reels and video stories: start, upload, finish, then public when processed.

use serde_json::json;

use super::posts::check_message;
use super::{Asked, GraphError, Outcome, VERSION, auth, fields, header_text, transfers};
use crate::event::Event;
use crate::media::{FetchError, Stored};
use crate::model::{Video, VideoKind};
use crate::state::Sandbox;

/// The largest video.
const VIDEO_LIMIT: u64 = 2 << 30;

/// `upload_phase=start`: names the video. Reels and stories are uploaded elsewhere, other videos in parts.
pub fn start(sandbox: &Sandbox, page: &str, kind: VideoKind, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, page)?;
    let known: &[&str] = match kind {
        VideoKind::Video => &["upload_phase", "file_size"],
        VideoKind::Reel | VideoKind::Story => &["upload_phase"],
    };
    asked.params.only(known)?;
    if !asked.params.required("upload_phase")?.eq_ignore_ascii_case("start") {
        return Err(GraphError::parameter("upload_phase: found neither start, transfer nor finish"));
    }
    let size = match kind {
        VideoKind::Video => Some(size_of(&asked.params.required("file_size")?)?),
        VideoKind::Reel | VideoKind::Story => None,
    };
    let video = open(sandbox, page, kind, size)?;
    Ok(match kind {
        VideoKind::Video => transfers::wanted(&video, true),
        VideoKind::Reel | VideoKind::Story => json!({
            "video_id": video.id,
            "upload_url": format!("{}/rupload/video-upload/{VERSION}/{}", sandbox.base, video.id),
        }),
    })
}

fn size_of(text: &str) -> Result<u64, GraphError> {
    let size = text.parse().map_err(|_| GraphError::parameter("file_size must be a number of bytes"))?;
    match size {
        0 => Err(GraphError::new(6000, "The video is empty").with_subcode(1_363_022)),
        1..=VIDEO_LIMIT => Ok(size),
        _ => Err(GraphError::new(6000, "The video is too large").with_subcode(1_363_023)),
    }
}

fn open(sandbox: &Sandbox, page: &str, kind: VideoKind, size: Option<u64>) -> Result<Video, GraphError> {
    let mut book = sandbox.book();
    let id = (900_000_000_000_000 + book.number()).to_string();
    let video = Video {
        id,
        page: page.to_owned(),
        kind,
        created: sandbox.clock.now(),
        size,
        received: 0,
        media: None,
        doomed: None,
        failed: false,
        finished: None,
        published: None,
    };
    book.record(Event::Video(video.clone()))?;
    Ok(video)
}

/// `POST /rupload/video-upload/{version}/{video}`: the bytes, or the header `file_url` that names them.
pub async fn upload(sandbox: &Sandbox, video: &str, asked: &Asked) -> Outcome {
    let page = page_of(sandbox, video)?;
    auth::owner(sandbox, asked, &page)?;
    asked.params.only(&[])?;
    let done = sandbox.book().world.videos.get(video).is_none_or(|video| video.finished.is_some());
    if done {
        return Err(GraphError::upload("ProcessingFailedError", false, "The upload is finished already"));
    }
    let stored = match (&asked.params.file, header_text(&asked.headers, "file_url")) {
        (Some(bytes), None) => whole_body(sandbox, asked, bytes).await?,
        (None, Some(url)) => {
            let refused =
                |error: FetchError| GraphError::upload("ProcessingFailedError", true, error.to_string());
            sandbox.media.fetch(&url, VIDEO_LIMIT).await.map_err(refused)?
        }
        (Some(_), Some(_)) | (None, None) => {
            let why = "Either the bytes or the header file_url must come";
            return Err(GraphError::upload("PartialRequestError", false, why));
        }
    };
    if !sandbox.media.is_video(&stored.sha256).await? {
        return Err(GraphError::upload("ProcessingFailedError", false, "The video file could not be read"));
    }
    fill(sandbox, video, stored)?;
    Ok(json!({ "success": true, "message": "Upload successful." }))
}

/// Bytes that came as the body, all of them at once.
async fn whole_body(sandbox: &Sandbox, asked: &Asked, bytes: &[u8]) -> Result<Stored, GraphError> {
    let number = |name: &str| header_text(&asked.headers, name)?.parse::<u64>().ok();
    if number("offset") != Some(0) {
        return Err(GraphError::upload("OffsetInvalidError", true, "The header offset must be 0"));
    }
    if number("file_size") != Some(bytes.len() as u64) {
        return Err(GraphError::upload("PartialRequestError", true, "The body is not file_size long"));
    }
    Ok(sandbox.media.keep(bytes).await?)
}

/// `upload_phase=finish`: from here on it becomes public by itself.
pub async fn finish(sandbox: &Sandbox, page: &str, kind: VideoKind, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, page)?;
    let known: &[&str] = match kind {
        VideoKind::Video => &["upload_phase", "upload_session_id", "title", "description", "published"],
        VideoKind::Reel => &["upload_phase", "video_id", "video_state", "title", "description"],
        VideoKind::Story => &["upload_phase", "video_id"],
    };
    asked.params.only(known)?;
    let video = match kind {
        VideoKind::Video => transfers::of_session(sandbox, page, asked)?,
        VideoKind::Reel | VideoKind::Story => {
            let id = asked.params.required("video_id")?;
            let video = sandbox.book().world.videos.get(&id).cloned();
            let video = video.filter(|video| video.page == page && video.kind == kind);
            video.ok_or_else(|| GraphError::missing(&id))?
        }
    };
    if video.media.is_none() {
        return Err(
            GraphError::new(6000, "There was a problem uploading your video file.").with_subcode(1_363_019)
        );
    }
    if kind == VideoKind::Reel && asked.params.required("video_state")? != "PUBLISHED" {
        return Err(GraphError::parameter("video_state: only PUBLISHED is served here"));
    }
    if kind == VideoKind::Video && asked.params.flag("published") == Some(false) {
        return Err(GraphError::parameter("published: only true is served here"));
    }
    let post = publish(sandbox, &video, asked).await?;
    Ok(match kind {
        VideoKind::Video | VideoKind::Reel => json!({ "success": true }),
        // A story names its post at once; it is shown under it when it is processed.
        VideoKind::Story => json!({ "success": true, "post_id": post }),
    })
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
pub async fn whole(sandbox: &Sandbox, page: &str, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, page)?;
    asked.params.only(&["file_url", "title", "description", "published"])?;
    let stored = receive(sandbox, asked).await?;
    let video = open(sandbox, page, VideoKind::Video, None)?;
    fill(sandbox, &video.id, stored)?;
    if asked.params.flag("published") != Some(false) {
        publish(sandbox, &video, asked).await?;
    }
    Ok(json!({ "id": video.id }))
}

/// Has a video published when it is processed, and gives the id of its post.
async fn publish(sandbox: &Sandbox, video: &Video, asked: &Asked) -> Result<Option<String>, GraphError> {
    let text = ["description", "title"].iter().find_map(|name| asked.params.text(name));
    let caption = text.unwrap_or_default();
    check_message(&caption)?;
    let post = {
        let mut book = sandbox.book();
        let known = book.world.videos.get(&video.id).ok_or_else(|| GraphError::missing(&video.id))?;
        if let Some(finished) = &known.finished {
            // Finishing twice is one publication.
            finished.post.clone()
        } else {
            let (id, call_id) = (video.id.clone(), asked.call_id.clone());
            let due = sandbox.processed_at(&book);
            let post = Some(Sandbox::video_post(&book, &video.page));
            book.record(Event::VideoFinished { id, caption, due, call_id, post: post.clone() })?;
            post
        }
    };
    sandbox.settle().await?;
    Ok(post)
}

/// A whole video; it must look like one.
async fn receive(sandbox: &Sandbox, asked: &Asked) -> Result<Stored, GraphError> {
    let stored = match (&asked.params.file, asked.params.text("file_url")) {
        (Some(bytes), _) => sandbox.media.keep(bytes).await?,
        (None, Some(url)) => sandbox.media.fetch(&url, VIDEO_LIMIT).await.map_err(unfetched)?,
        (None, None) => return Err(GraphError::new(6000, "No video file was given").with_subcode(1_363_022)),
    };
    if !sandbox.media.is_video(&stored.sha256).await? {
        return Err(GraphError::new(6000, "The video file could not be read").with_subcode(1_363_024));
    }
    Ok(stored)
}

/// Gives a video its bytes.
pub fn fill(sandbox: &Sandbox, id: &str, stored: Stored) -> Result<(), GraphError> {
    let mut book = sandbox.book();
    let ready_at = sandbox.processed_at(&book);
    let Stored { sha256: media, bytes: received } = stored;
    book.record(Event::VideoGrew { id: id.to_owned(), received })?;
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
        (Some(_), false) if video.failed => ("error", "error", "not_started"),
        (Some(_), false) => ("processing", "in_progress", "not_started"),
        (None, false) if video.media.is_some() => ("upload_complete", "not_started", "not_started"),
        (None, false) => ("uploading", "not_started", "not_started"),
    };
    let uploading = if video.media.is_some() { "complete" } else { "in_progress" };
    let mut status = json!({
        "video_status": overall,
        "uploading_phase": {
            "status": uploading,
            "bytes_transfered": video.received,
            "source_file_size": video.size.unwrap_or(video.received),
        },
        "processing_phase": { "status": processing },
        "publishing_phase": {
            "status": publishing,
            "publish_status": if published { "published" } else { "draft" },
        },
    });
    if let (true, Some(reason)) = (video.failed, &video.doomed) {
        status["processing_phase"]["error"] = json!({ "message": reason });
    }
    status
}
