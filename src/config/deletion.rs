//! `[deletion]`: the clocks of requests for deletion.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, traffic};

/// How requests for deletion are carried out.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// How long what was under way is waited for.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// When the tokens go, whatever the networks say.
    #[serde(with = "humantime_serde")]
    pub shred: Duration,
    /// The most rows of one statement.
    pub batch: u32,
}

impl Deletion {
    /// Says what is wrong with it, if anything.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        // a day is promised: less is allowed, more is not, and what is done at the last moment comes too late
        let most = Duration::from_hours(24) - Duration::from_mins(30);
        traffic::span("deletion.drain", self.drain, Duration::ZERO..=self.shred)?;
        traffic::span("deletion.shred", self.shred, Duration::from_secs(1)..=most)?;
        super::positive("deletion.batch", self.batch as usize)
    }
}
