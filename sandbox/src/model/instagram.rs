//! What exists on Instagram.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The states of an Instagram container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContainerState {
    /// Being processed.
    InProgress,
    /// Ready to be published.
    Finished,
    /// Published; it never says as what.
    Published,
    /// Processing failed.
    Error,
    /// Not published within 24 hours.
    Expired,
}

impl ContainerState {
    /// The value of `status_code`.
    pub fn code(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Finished => "FINISHED",
            Self::Published => "PUBLISHED",
            Self::Error => "ERROR",
            Self::Expired => "EXPIRED",
        }
    }
}

/// An Instagram container: media on their way to being published.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// The Instagram user id.
    pub account: String,
    /// `FEED`, `REELS` or `STORY`, as the media will say.
    pub product: String,
    /// `IMAGE`, `VIDEO` or `CAROUSEL_ALBUM`, as the media will say.
    pub media_type: String,
    /// The caption.
    pub caption: String,
    /// The bytes, by SHA-256; a carousel has those of its children.
    pub media: Vec<String>,
    /// It can only be used inside a carousel.
    pub child: bool,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When processing is over; none while bytes are still missing.
    pub ready_at: Option<DateTime<Utc>>,
    /// A state that a fault put it into.
    #[serde(default)]
    pub forced: Option<ContainerState>,
    /// The media that it became.
    #[serde(default)]
    pub published: Option<String>,
}

impl Container {
    /// Its state at a given time. Published stays published, whatever else is said of it.
    pub fn state(&self, now: DateTime<Utc>) -> ContainerState {
        if self.published.is_some() {
            return ContainerState::Published;
        }
        if let Some(forced) = self.forced {
            return forced;
        }
        if now >= self.created + TimeDelta::hours(24) {
            return ContainerState::Expired;
        }
        match self.ready_at {
            Some(ready) if now >= ready => ContainerState::Finished,
            Some(_) | None => ContainerState::InProgress,
        }
    }
}

/// Media on Instagram's public side.
#[derive(Debug, Clone)]
pub struct IgMedia {
    /// Its id.
    pub id: String,
    /// The container that it came from.
    pub container: String,
    /// Since when it is public.
    pub published: DateTime<Utc>,
}
