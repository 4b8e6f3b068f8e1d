//! The port through which files are brought straight to the object store.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    contract::Failure,
    desk::{File, Media},
};

/// A form that a browser may send one file with, straight to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Where it is posted to, as `multipart/form-data`.
    pub url: String,
    /// Its fields; the field `file` follows them.
    pub fields: BTreeMap<String, String>,
    /// Until when the store takes it, by the store's clock.
    pub expires_at: DateTime<Utc>,
}

/// A large file that comes in parts, each with a `PUT` to an address of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// What the store calls them until they are joined.
    pub id: String,
    /// The parts, in the file's order. They may be sent in any.
    pub parts: Vec<Part>,
    /// Until when the store takes them, by the store's clock.
    pub expires_at: DateTime<Utc>,
}

/// One part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where its bytes are put.
    pub url: String,
    /// Exactly how many there are.
    pub bytes: u64,
}

/// Files that come without passing through us.
#[async_trait]
pub trait Uploads: Media {
    /// A form for exactly this key, this type and so many bytes, good for so long.
    ///
    /// # Errors
    /// It cannot be put together.
    fn form(&self, key: &str, content_type: &str, bytes: u64, life: Duration) -> Result<Form, Failure>;

    /// Addresses for the parts of exactly this key, this type and so many bytes, good for so long.
    ///
    /// # Errors
    /// The store is away.
    async fn parts(
        &self,
        key: &str,
        content_type: &str,
        bytes: u64,
        life: Duration,
    ) -> Result<Parts, Failure>;

    /// Makes one file of the parts of that name if together they are so many bytes, and says how many have come. `None`:
    /// there are no such parts, or no more.
    ///
    /// # Errors
    /// The store is away.
    async fn join(&self, key: &str, parts: &str, bytes: u64) -> Result<Option<u64>, Failure>;

    /// Copies a file within the store, to be served as this type.
    ///
    /// # Errors
    /// The store is away, or there is no such file: `Class::Permanent`.
    async fn copy(&self, from: &str, to: &str, content_type: &str) -> Result<(), Failure>;

    /// The key of a small JPEG of a picture, or of how a film begins: made now, or found made.
    ///
    /// # Errors
    /// The store is away; or, `Class::Permanent`, none can be made of it.
    async fn thumbnail(&self, file: &File) -> Result<String, Failure>;
}
