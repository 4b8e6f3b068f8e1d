//! What is said under posts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A comment of an account under one of its own posts. It is public from the moment it is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comment {
    /// Its id.
    pub id: String,
    /// The public id of the post.
    pub under: String,
    /// The account that wrote it, by its external id.
    pub account: String,
    /// Its words.
    pub words: String,
    /// When it was made.
    pub created: DateTime<Utc>,
}
