//! Facebook videos that are sent in parts: `upload_phase=transfer` on `/videos`.

use serde_json::{Value, json};

use super::{Asked, GraphError, Outcome, auth, videos};
use crate::event::Event;
use crate::model::{Video, VideoKind};
use crate::state::Sandbox;

/// The largest part that is asked for.
const PART: u64 = 16 << 20;

/// `POST /{page}/videos upload_phase=transfer`: the next bytes, from where the last answer said.
pub async fn take(sandbox: &Sandbox, page: &str, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, page)?;
    asked.params.only(&["upload_phase", "upload_session_id", "start_offset"])?;
    let video = of_session(sandbox, page, asked)?;
    let start = asked.params.required("start_offset")?.parse::<u64>();
    let start = start.map_err(|_| GraphError::parameter("start_offset must be a number of bytes"))?;
    let bytes = asked.params.file.as_ref().filter(|bytes| !bytes.is_empty());
    let bytes = bytes.ok_or_else(|| GraphError::parameter("The parameter video_file_chunk is required"))?;
    let (size, end) = (video.size.unwrap_or_default(), start.saturating_add(bytes.len() as u64));
    if start != video.received || end > (start + PART).min(size) || video.finished.is_some() {
        let why =
            GraphError::new(6001, "There was a problem uploading your video. Please try uploading it again.");
        return Err(why.with_subcode(1_363_037).with_data(wanted(&video, false)));
    }
    let file = sandbox.media.piece(&format!("part-{}", video.id), start, bytes).await?;
    let (id, received) = (video.id.clone(), end);
    sandbox.book().record(Event::VideoGrew { id, received })?;
    if end == size {
        let stored = sandbox.media.adopt(&file).await?;
        if !sandbox.media.is_video(&stored.sha256).await? {
            return Err(GraphError::new(6000, "The video file could not be read").with_subcode(1_363_024));
        }
        videos::fill(sandbox, &video.id, stored)?;
    }
    Ok(wanted(&Video { received, ..video }, false))
}

/// The video of an upload in parts.
pub fn of_session(sandbox: &Sandbox, page: &str, asked: &Asked) -> Result<Video, GraphError> {
    let session = asked.params.required("upload_session_id")?;
    let missing = || GraphError::missing(&session);
    let id = Video::of_session(&session).ok_or_else(missing)?;
    let video = sandbox.book().world.videos.get(id).cloned();
    let video = video.filter(|video| video.page == page && video.kind == VideoKind::Video);
    video.filter(|video| video.size.is_some()).ok_or_else(missing)
}

/// What is wanted next; equal offsets once it is complete. Offsets are text, as Graph writes them.
pub fn wanted(video: &Video, first: bool) -> Value {
    let end = (video.received + PART).min(video.size.unwrap_or_default());
    let mut answer = json!({ "start_offset": video.received.to_string(), "end_offset": end.to_string() });
    if first {
        answer["video_id"] = video.id.as_str().into();
        answer["upload_session_id"] = video.session().into();
    }
    answer
}
