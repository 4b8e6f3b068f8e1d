//! What exists on Pages.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A photo uploaded to a Page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Photo {
    /// Its id.
    pub id: String,
    /// The Page's id.
    pub page: String,
    /// Its bytes, by SHA-256.
    pub media: String,
}

/// What a Facebook post is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostKind {
    /// Text, a link or photos on the Page's feed.
    Feed,
    /// A photo story: shown apart from the feed.
    Story,
}

/// A post on a Page: a draft until it is published.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Post {
    /// `{page}_{number}`.
    pub id: String,
    /// The Page's id.
    pub page: String,
    /// What it is.
    pub kind: PostKind,
    /// Its text.
    pub message: String,
    /// The link it shares.
    pub link: Option<String>,
    /// The ids of its photos.
    pub photos: Vec<String>,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// The app that made it.
    #[serde(default)]
    pub app: Option<String>,
    /// When it became public.
    #[serde(default)]
    pub published: Option<DateTime<Utc>>,
}

/// How a Facebook video was uploaded, which decides where it appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoKind {
    /// `/videos`.
    Video,
    /// `/video_reels`.
    Reel,
    /// `/video_stories`.
    Story,
}

/// A Facebook video, reel or video story.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Video {
    /// The video's id.
    pub id: String,
    /// The Page's id.
    pub page: String,
    /// Where it will appear.
    pub kind: VideoKind,
    /// When it was started.
    pub created: DateTime<Utc>,
    /// Its size, where it is sent in parts.
    #[serde(default)]
    pub size: Option<u64>,
    /// How many bytes are there.
    #[serde(default)]
    pub received: u64,
    /// Its bytes, by SHA-256, once they are there.
    #[serde(default)]
    pub media: Option<String>,
    /// Why its processing will fail, or has.
    #[serde(default)]
    pub doomed: Option<String>,
    /// Whether it has.
    #[serde(default)]
    pub failed: bool,
    /// Its text, once it was finished.
    #[serde(default)]
    pub finished: Option<Finished>,
    /// The post that shows it, and since when.
    #[serde(default)]
    pub published: Option<(String, DateTime<Utc>)>,
}

/// What the id of an upload in parts begins with; the id of its video follows.
const SESSION: &str = "5";

impl Video {
    /// The id of its upload in parts.
    pub fn session(&self) -> String {
        format!("{SESSION}{}", self.id)
    }

    /// The id of the video that an upload in parts is of.
    pub fn of_session(session: &str) -> Option<&str> {
        session.strip_prefix(SESSION)
    }
}

/// The last step of a video's upload: publish it when it is processed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finished {
    /// The text.
    pub caption: String,
    /// When processing is over.
    pub due: DateTime<Utc>,
    /// The call that finished it.
    pub call_id: Option<String>,
    /// The id of the post that will show it.
    #[serde(default)]
    pub post: Option<String>,
}
