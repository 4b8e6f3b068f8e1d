//! The bytes that the networks hold, one file for each content, named by its SHA-256.

use std::collections::HashMap;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use image::{ImageFormat, ImageReader, Limits};
use reqwest::redirect::Policy;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use uuid::Uuid;

/// A folder of bytes, and the client that fetches them from where they are offered.
#[derive(Debug, Clone)]
pub struct MediaStore {
    folder: PathBuf,
    http: reqwest::Client,
    pictures: Arc<Mutex<HashMap<String, Option<Picture>>>>,
}

/// One stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its SHA-256 in hex, which is its name.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// A picture that could be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// Its format, told by its content.
    pub format: ImageFormat,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// Why a URL gave no media.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The URL did not answer with the bytes.
    #[error("the media could not be fetched from this URI: {0}")]
    Unreachable(String),
    /// More bytes than are allowed.
    #[error("the media is larger than {0} bytes")]
    TooLarge(u64),
    /// They could not be stored.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl MediaStore {
    /// Opens the folder, making it if need be.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        sweep(&folder)?;
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            // A large film takes its time; silence is another matter.
            .read_timeout(Duration::from_secs(30))
            .user_agent("facebookexternalhit/1.1")
            .no_proxy()
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { folder, http, pictures: Arc::default() })
    }

    /// Where a file lies.
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(sha256)
    }

    /// Keeps bytes that were sent.
    pub async fn keep(&self, bytes: &[u8]) -> io::Result<Stored> {
        let mut incoming = self.incoming().await?;
        incoming.write(bytes).await?;
        incoming.finish(self).await
    }

    /// Fetches a URL as the networks do: without a redirect, without a login, and not more than `limit` bytes.
    pub async fn fetch(&self, url: &str, limit: u64) -> Result<Stored, FetchError> {
        let unreachable = |error: reqwest::Error| FetchError::Unreachable(error.without_url().to_string());
        let mut answer = self.http.get(url).send().await.map_err(unreachable)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Unreachable(format!("HTTP {}", answer.status())));
        }
        let mut incoming = self.incoming().await?;
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            incoming.write(&chunk).await?;
            if incoming.bytes > limit {
                incoming.discard().await?;
                return Err(FetchError::TooLarge(limit));
            }
        }
        Ok(incoming.finish(self).await?)
    }

    /// Writes a part of a file that is received piece by piece, under a name of its own; gives where it lies.
    pub async fn piece(&self, name: &str, at: u64, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.path(name);
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).await?;
        file.seek(SeekFrom::Start(at)).await?;
        file.write_all(bytes).await?;
        file.flush().await?;
        Ok(path)
    }

    /// Moves a file that was assembled elsewhere into the store.
    pub async fn adopt(&self, file: &Path) -> io::Result<Stored> {
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
        let mut reader = File::open(file).await?;
        loop {
            let read = reader.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            bytes += read as u64;
        }
        let sha256 = hex::encode(hash.finalize());
        tokio::fs::rename(file, self.path(&sha256)).await?;
        Ok(Stored { sha256, bytes })
    }

    /// The type of a file, told by its first bytes.
    pub async fn mime(&self, sha256: &str) -> io::Result<Option<&'static str>> {
        let mut start = Vec::new();
        File::open(self.path(sha256)).await?.take(8192).read_to_end(&mut start).await?;
        Ok(infer::get(&start).map(|kind| kind.mime_type()))
    }

    /// Whether a file is a video that the networks take.
    pub async fn is_video(&self, sha256: &str) -> io::Result<bool> {
        let mime = self.mime(sha256).await?;
        Ok(matches!(mime, Some("video/mp4" | "video/quicktime" | "video/webm" | "video/x-m4v")))
    }

    /// Decodes a file as a picture; none if it is not one. What was found is remembered.
    pub async fn picture(&self, sha256: &str) -> Option<Picture> {
        let known = self.pictures.lock().unwrap_or_else(PoisonError::into_inner).get(sha256).copied();
        if let Some(known) = known {
            return known;
        }
        let path = self.path(sha256);
        let found = tokio::task::spawn_blocking(move || decode(&path)).await.ok().flatten();
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner).insert(sha256.to_owned(), found);
        found
    }

    async fn incoming(&self) -> io::Result<Incoming> {
        let path = self.folder.join(format!("incoming-{}", Uuid::new_v4().simple()));
        Ok(Incoming { file: File::create(&path).await?, path, hash: Sha256::new(), bytes: 0 })
    }
}

/// A file that is being received; it gets its name when it is complete.
#[derive(Debug)]
struct Incoming {
    file: File,
    path: PathBuf,
    hash: Sha256,
    bytes: u64,
}

impl Incoming {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).await
    }

    async fn finish(mut self, store: &MediaStore) -> io::Result<Stored> {
        self.file.flush().await?;
        let sha256 = hex::encode(self.hash.finalize());
        tokio::fs::rename(&self.path, store.path(&sha256)).await?;
        Ok(Stored { sha256, bytes: self.bytes })
    }

    async fn discard(self) -> io::Result<()> {
        tokio::fs::remove_file(&self.path).await
    }
}

/// Removes what a killed process was still receiving.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("incoming-") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn decode(path: &Path) -> Option<Picture> {
    let mut reader = ImageReader::open(path).ok()?.with_guessed_format().ok()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(20_000);
    limits.max_image_height = Some(20_000);
    reader.limits(limits);
    let format = reader.format()?;
    let picture = reader.decode().ok()?;
    Some(Picture { format, width: picture.width(), height: picture.height() })
}
