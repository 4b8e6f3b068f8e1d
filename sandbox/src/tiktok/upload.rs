//! The upload address: chunks in order, complete with the last byte and not before.

use std::io::{self, SeekFrom};
use std::path::PathBuf;

use chrono::TimeDelta;
use http::{HeaderMap, header};
use serde_json::Value;
use tokio::fs::OpenOptions;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::publish::accept;
use super::{Asked, TiktokError};
use crate::answer::Answer;
use crate::event::Event;
use crate::model::{Upload, UploadState};
use crate::state::Sandbox;

/// How long an upload address works.
const OPEN_FOR: TimeDelta = TimeDelta::hours(1);
/// The largest last chunk.
const LAST_CHUNK: u64 = 128 << 20;

/// A `Content-Range` of a request: `bytes 0-9/100`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u64,
    last: u64,
    total: u64,
}

impl Range {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes ")?;
        let (span, total) = text.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        let range = Self { first: first.parse().ok()?, last: last.parse().ok()?, total: total.parse().ok()? };
        (range.first <= range.last && range.last < range.total).then_some(range)
    }

    fn length(self) -> u64 {
        self.last - self.first + 1
    }

    /// Whether these bytes are what the upload expects next.
    fn fits(self, upload: &Upload, body: u64) -> bool {
        let last = self.last + 1 == upload.size;
        let right_length =
            if last { self.length() <= LAST_CHUNK } else { self.length() == upload.chunk_size };
        self.total == upload.size && self.first == upload.received && self.length() == body && right_length
    }
}

/// Whether a PUT with these headers would be the one that completes its file.
pub fn completes(headers: &HeaderMap) -> bool {
    Range::of(headers).is_some_and(|range| range.last + 1 == range.total)
}

/// The part of an upload address that tells which upload it is.
pub fn key_of(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// `PUT` of one chunk: 206 for more to come, 201 for the last, 416 for a wrong range, 403 after an hour.
pub async fn put(sandbox: &Sandbox, key: &str, asked: &Asked) -> Answer {
    let upload = {
        let book = sandbox.book();
        let id = book.world.upload_keys.get(key);
        id.and_then(|id| book.world.uploads.get(id)).cloned()
    };
    let Some(upload) = upload else { return bare(404) };
    if upload.state != UploadState::Open || sandbox.clock.now() > upload.created + OPEN_FOR {
        return bare(403);
    }
    let body = asked.bytes.len() as u64;
    let Some(range) = Range::of(&asked.headers).filter(|range| range.fits(&upload, body)) else {
        return received(bare(416), &upload);
    };
    match store(sandbox, &upload, range, asked).await {
        Ok(answer) => answer,
        Err(error) => error.into(),
    }
}

async fn store(
    sandbox: &Sandbox,
    upload: &Upload,
    range: Range,
    asked: &Asked,
) -> Result<Answer, TiktokError> {
    let file = part(sandbox, upload);
    write_at(&file, range.first, &asked.bytes).await?;
    let publish_id = upload.publish_id.clone();
    if range.last + 1 < upload.size {
        let received = range.last + 1;
        sandbox.book().record(Event::UploadGrew { publish_id, received })?;
        return Ok(span(bare(206), range.last, upload.size));
    }
    let stored = sandbox.media.adopt(&file).await?;
    let failure = (!sandbox.media.is_video(&stored.sha256).await?).then_some("file_format_check_failed");
    accept(sandbox, &publish_id, vec![stored.sha256], failure, asked.call_id.clone()).await?;
    Ok(span(bare(201), range.last, upload.size))
}

async fn write_at(file: &PathBuf, at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(file).await?;
    file.seek(SeekFrom::Start(at)).await?;
    file.write_all(bytes).await?;
    file.flush().await
}

fn part(sandbox: &Sandbox, upload: &Upload) -> PathBuf {
    sandbox.media.path(&format!("part-{}", upload.key))
}

fn bare(status: u16) -> Answer {
    Answer::numbered(status, Value::Null)
}

fn span(answer: Answer, last: u64, total: u64) -> Answer {
    answer.header("content-range", format!("bytes 0-{last}/{total}"))
}

/// Tells what is there, so that the sender can go on from it.
fn received(answer: Answer, upload: &Upload) -> Answer {
    match upload.received {
        0 => answer.header("content-range", format!("bytes */{}", upload.size)),
        some => span(answer, some - 1, upload.size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_chunk_with_the_last_byte_completes_a_file() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, value.parse().expect("a header"));
            completes(&headers)
        };
        assert!(with("bytes 5-9/10"));
        assert!(!with("bytes 0-4/10"));
        assert!(!with("bytes 5-10/10"), "a range past the end is none");
        assert!(!with("nonsense"));
    }
}
