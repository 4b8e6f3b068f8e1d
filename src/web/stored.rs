//! Looking at a file that came to the object store by itself: piece by piece, so that memory stays flat.

use std::io::Write;

use jobs::{contract::Failure, desk::Media};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::{
    finding::Finding,
    inspect::{self, Measure, Type},
    problem::Problem,
    upload::{self, NotTaken},
};

/// So much of a file is in memory at a time.
const PIECE: u64 = 4 << 20;

/// Files that are looked at at once: each takes a piece in memory, and a film a process.
static LOOKING: Semaphore = Semaphore::const_new(4);

/// A file in the store that was looked at from end to end.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Its type, by content.
    pub kind: Type,
    /// Its size in pixels, and its length.
    pub measure: Measure,
    /// Of its bytes.
    pub sha256: [u8; 32],
}

/// A file in the store, as it was promised.
#[derive(Debug, Clone, Copy)]
pub struct Promised<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its size, which it has.
    pub bytes: u64,
    /// Its type, which it may not have.
    pub content_type: &'a str,
}

/// Looks at a file in the store. `field` is what findings are about.
///
/// # Errors
/// It is not what was promised, is broken, or the store is away.
pub async fn look(
    media: &dyn Media,
    promised: Promised<'_>,
    field: &str,
    pixel_limit: u64,
) -> Result<Seen, NotTaken> {
    let _permit = LOOKING.acquire().await.map_err(|_| Problem::internal())?;
    let head = piece(media, promised, 0).await?;
    let kind = upload::known(&head, field)?;
    if kind.word() != promised.content_type {
        let (said, found) = (promised.content_type, kind.word());
        let detail = format!("It was promised as {said}; what came is {found}. Promise it as what it is.");
        return Err(Finding::new(field, "media_type_differs", detail).accepting([said]).into());
    }
    let mut through = Through { digest: Sha256::new(), kept: Kept::of(kind)? };
    let (mut bytes, mut at) = (head, 0);
    loop {
        at += bytes.len() as u64;
        let last = at >= promised.bytes || bytes.is_empty();
        through = through.take(bytes).await?;
        if last {
            break;
        }
        bytes = piece(media, promised, at).await?;
    }
    let measure = match &through.kept {
        Kept::Picture(file) => inspect::measure(file.path(), kind, field, pixel_limit).await?,
        Kept::Film => {
            let address = media.address(promised.key).await.map_err(Problem::from)?;
            match inspect::measure_at(&address, kind, field, pixel_limit).await {
                // With a store that went away meanwhile every film looks broken.
                Err(NotTaken::File(finding)) => {
                    piece(media, promised, promised.bytes.saturating_sub(1)).await?;
                    return Err(finding.into());
                }
                measured => measured?,
            }
        }
    };
    Ok(Seen { kind, measure, sha256: through.digest.finalize().into() })
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        tracing::error!(%failure, "the media store failed");
        Self::away(
            "media-store-away",
            "The media store cannot be reached; nothing was taken or changed. Try again.",
        )
    }
}

async fn piece(media: &dyn Media, promised: Promised<'_>, start: u64) -> Result<Vec<u8>, NotTaken> {
    let end = (start + PIECE).min(promised.bytes);
    Ok(media.read(promised.key, start, end).await.map_err(Problem::from)?)
}

/// What has been gone through of a file.
struct Through {
    digest: Sha256,
    kept: Kept,
}

impl Through {
    /// One piece more, on a thread that may block: it is hashed, and what is a picture is written to disk.
    async fn take(mut self, bytes: Vec<u8>) -> Result<Self, NotTaken> {
        let taking = tokio::task::spawn_blocking(move || {
            self.digest.update(&bytes);
            self.kept.take(&bytes).map(|()| self)
        });
        taking.await.map_err(Problem::from)?
    }
}

/// A picture is opened from disk, and it is small; a film stays where it is.
enum Kept {
    Picture(tempfile::NamedTempFile),
    Film,
}

impl Kept {
    fn of(kind: Type) -> Result<Self, NotTaken> {
        Ok(if kind.is_film() { Self::Film } else { Self::Picture(tempfile::NamedTempFile::new()?) })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), NotTaken> {
        match self {
            Self::Picture(file) => Ok(file.write_all(bytes)?),
            Self::Film => Ok(()),
        }
    }
}
