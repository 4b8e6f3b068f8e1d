//! Taking a file in: to disk while it comes, so that memory stays flat; then looked at; then stored.

use std::{io, path::Path};

use axum::extract::multipart::Field;
use sha2::{Digest, Sha256};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;

use super::{finding::Finding, inspect, multipart, problem::Problem, text};
use crate::config;

/// Enough to know every type by.
const TELLING: usize = 4_096;

/// A file on our disk, whole, of a type that is taken. Removed when dropped.
#[derive(Debug)]
pub struct Received {
    /// Where it lies.
    pub path: TempPath,
    /// What it was called.
    pub name: String,
    /// Its type, by content.
    pub kind: inspect::Type,
    /// Its size.
    pub bytes: u64,
    /// Of its bytes.
    pub sha256: [u8; 32],
}

/// Why a file was not taken.
#[derive(Debug)]
pub enum NotTaken {
    /// The file is the trouble: a person can choose another.
    File(Finding),
    /// Something else is.
    Problem(Problem),
}

impl From<Problem> for NotTaken {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Finding> for NotTaken {
    fn from(finding: Finding) -> Self {
        Self::File(finding)
    }
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> Self {
        tracing::error!(%error, "an upload could not be written to disk");
        Self::Problem(Problem::away("disk", "The upload could not be kept on disk. Try again later."))
    }
}

/// Takes the file of one field. `field_name` is what findings are about.
///
/// # Errors
/// It is of no type that is taken, or too large, or the connection broke.
pub async fn receive(
    field: &mut Field<'_>,
    field_name: &str,
    limits: &config::Web,
) -> Result<Received, NotTaken> {
    let name = text::file_name(field.file_name().unwrap_or_default());
    let (file, path) = tempfile::NamedTempFile::new()?.into_parts();
    let mut file = tokio::io::BufWriter::new(tokio::fs::File::from_std(file));
    let (mut head, mut kind, mut bytes, mut digest) = (Vec::new(), None, 0_u64, Sha256::new());
    while let Some(chunk) = multipart::chunk(field).await? {
        bytes += chunk.len() as u64;
        if kind.is_none() {
            head.extend_from_slice(&chunk[..chunk.len().min(TELLING)]);
            if head.len() >= TELLING {
                kind = Some(known(&head, field_name)?);
            }
        }
        let most = kind.map_or(limits.video_limit, |kind| kind.limit(limits));
        if bytes > most {
            return Err(too_large(field_name, &name, most).into());
        }
        digest.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    if bytes == 0 {
        return Err(Finding::new(field_name, "media_empty", "The file is empty.").into());
    }
    let kind = kind.map_or_else(|| known(&head, field_name), Ok)?;
    if bytes > kind.limit(limits) {
        return Err(too_large(field_name, &name, kind.limit(limits)).into());
    }
    Ok(Received { path, name, kind, bytes, sha256: digest.finalize().into() })
}

/// The type of a file that begins so.
///
/// # Errors
/// It is none that is taken.
pub fn known(head: &[u8], field: &str) -> Result<inspect::Type, Finding> {
    inspect::Type::of(head).ok_or_else(|| {
        let detail =
            "The file is neither a picture nor a film that the networks take, whatever it is called.";
        Finding::new(field, "media_type", detail).accepting(inspect::Type::ALL.iter().map(|kind| kind.word()))
    })
}

/// A file of this name has more than so many bytes.
pub fn too_large(field: &str, name: &str, most: u64) -> Finding {
    let detail = format!("“{name}” is larger than {} MB, which is the most.", most / (1 << 20));
    Finding::new(field, "media_too_large", detail)
}

impl Received {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
