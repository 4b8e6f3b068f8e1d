//! What is made of files and kept beside them: renditions for networks, and small pictures for the console.

use std::path::Path;

use jobs::{
    analysis::{Cuts, Film},
    contract::{Class, Failure},
    desk::{File, Media},
    surface::Rendition,
};
use tokio::{
    io::AsyncWriteExt,
    sync::{Semaphore, SemaphorePermit},
};

use super::{CODE, PART, S3, film, folders::folder, frames, picture, unreadable};

/// One thing is made at a time in a process: a picture may take hundreds of megabytes while it is open.
static MAKING: Semaphore = Semaphore::const_new(1);
/// Films are looked through one at a time, and no post waits for that.
static LOOKING: Semaphore = Semaphore::const_new(1);

/// The longest side and the largest file of the console's small pictures.
const SMALL: picture::Wanted = picture::Wanted { width: 480, height: 480, bytes: 60_000 };

impl S3 {
    /// The rendition, made now or found made.
    pub(super) async fn rendered(&self, file: &File, to: &Rendition) -> Result<File, Failure> {
        let key = to.key(&file.key);
        let bytes = match self.size(&key).await? {
            Some(bytes) => bytes,
            None => self.render(file, to, &key).await?,
        };
        let width = file.width.min(to.most_width);
        Ok(File { key, content_type: to.content_type.to_owned(), bytes, width })
    }

    async fn render(&self, file: &File, to: &Rendition, key: &str) -> Result<u64, Failure> {
        let permit = MAKING.acquire().await.map_err(|_| lost())?;
        match (file.content_type.as_str(), to.content_type) {
            (kind, "image/jpeg") if kind.starts_with("image/") => {
                let wanted = picture::Wanted::within(to.most_width, to.most_bytes);
                let made = made(self.read(&file.key, 0, file.bytes).await?, kind, wanted, permit).await?;
                let bytes = made.len() as u64;
                self.put(key, "image/jpeg", made).await?;
                Ok(bytes)
            }
            ("video/x-matroska", "video/mp4") => {
                let _permit = permit;
                self.remuxed(file, to, key).await
            }
            (from, to) => {
                let why = format!("{to} is not made of {from}");
                Err(Failure::new(Class::Permanent, "rendition", why))
            }
        }
    }

    async fn remuxed(&self, file: &File, to: &Rendition, key: &str) -> Result<u64, Failure> {
        let folder = folder().map_err(|error| unreadable(&error))?;
        let (from, made) = (folder.path().join("from"), folder.path().join("made"));
        self.fetch(file, &from).await?;
        film::remux(&from, &made, to.most_bytes).await?;
        let bytes = tokio::fs::metadata(&made).await.map_err(|error| unreadable(&error))?.len();
        self.store(key, to.content_type, &made).await?;
        Ok(bytes)
    }

    /// Brings a file to disk, one part in memory at a time.
    async fn fetch(&self, file: &File, to: &Path) -> Result<(), Failure> {
        let mut disk = tokio::fs::File::create(to).await.map_err(|error| unreadable(&error))?;
        let mut at = 0;
        while at < file.bytes {
            let end = (at + PART).min(file.bytes);
            let part = self.read(&file.key, at, end).await?;
            disk.write_all(&part).await.map_err(|error| unreadable(&error))?;
            at = end;
        }
        disk.flush().await.map_err(|error| unreadable(&error))
    }

    /// The key of the small picture, made now or found made.
    pub(super) async fn small(&self, file: &File) -> Result<String, Failure> {
        let key = format!("{}.small.jpeg", file.key);
        if self.size(&key).await?.is_some() {
            return Ok(key);
        }
        let permit = MAKING.acquire().await.map_err(|_| lost())?;
        let (bytes, kind) = if file.content_type.starts_with("image/") {
            (self.read(&file.key, 0, file.bytes).await?, file.content_type.as_str())
        } else {
            let address = self.address(&file.key).await?;
            (film::first_picture(&address, &file.content_type).await?, "image/jpeg")
        };
        self.put(&key, "image/jpeg", made(bytes, kind, SMALL, permit).await?).await?;
        Ok(key)
    }

    /// Pictures and the sound of a film; nothing of it is kept.
    pub(super) async fn looked_through(&self, file: &File, cuts: &Cuts) -> Result<Film, Failure> {
        let _permit = LOOKING.acquire().await.map_err(|_| lost())?;
        let address = self.address(&file.key).await?;
        frames::look_through(&address, &file.content_type, cuts).await
    }
}

/// The making goes on where nobody waits for it any more, and keeps its permit as long.
async fn made(
    bytes: Vec<u8>,
    content_type: &str,
    wanted: picture::Wanted,
    permit: SemaphorePermit<'static>,
) -> Result<Vec<u8>, Failure> {
    let content_type = content_type.to_owned();
    let making = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        picture::jpeg(bytes, &content_type, wanted)
    });
    let cannot = |why: String| Failure::new(Class::Permanent, "rendition", why);
    making.await.map_err(|_| lost())?.map_err(cannot)
}

/// What makes it ended before it was made.
fn lost() -> Failure {
    Failure::new(Class::Transient, CODE, "a picture was not made to its end")
}
