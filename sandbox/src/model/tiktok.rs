//! What exists on TikTok.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The states of a TikTok upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum UploadState {
    /// Bytes are missing.
    Open,
    /// All bytes are there; published when `due`.
    Processing {
        /// When processing is over.
        due: DateTime<Utc>,
    },
    /// Published as `post`.
    Complete {
        /// The post's id.
        post: String,
        /// Since when.
        at: DateTime<Utc>,
    },
    /// Failed for good.
    Failed {
        /// The network's `fail_reason`.
        reason: String,
    },
}

/// A TikTok post on its way: opened by an init call, known by its publish id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Upload {
    /// Its publish id.
    pub publish_id: String,
    /// The last part of its upload URL.
    pub key: String,
    /// The account's `open_id`.
    pub account: String,
    /// The text.
    pub title: String,
    /// Who may see it.
    pub privacy_level: String,
    /// The size that was announced.
    pub size: u64,
    /// The size of a chunk.
    pub chunk_size: u64,
    /// How many chunks there will be.
    pub chunks: u64,
    /// When it was opened.
    pub created: DateTime<Utc>,
    /// How many bytes are there, from the first on.
    #[serde(default)]
    pub received: u64,
    /// How far it is.
    pub state: UploadState,
    /// Its bytes, by SHA-256, once they are complete.
    #[serde(default)]
    pub media: Vec<String>,
    /// The call that completed it.
    #[serde(default)]
    pub call_id: Option<String>,
    /// The `fail_reason` with which processing will end.
    #[serde(default)]
    pub doomed: Option<String>,
}
