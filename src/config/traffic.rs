//! `[traffic]`: how networks are treated that fail.

use std::time::Duration;

use serde::Deserialize;

use super::ConfigError;

/// How networks are treated that fail.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrafficSettings {
    /// How far back answers count.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// The part of them that must be failures for a network to be broken.
    pub error_share: f64,
    /// How many there must be at least.
    pub least_answers: u32,
    /// How long nobody goes to a broken network at first.
    #[serde(with = "humantime_serde")]
    pub open_first: Duration,
    /// How long at most, once it was found broken again and again.
    #[serde(with = "humantime_serde")]
    pub open_most: Duration,
    /// While a network fails, the part of what it is asked that may be asked again.
    pub retry_share: f64,
}

impl TrafficSettings {
    /// Says what is wrong with it, if anything.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        span("traffic.window", self.window, Duration::from_secs(1)..=Duration::from_mins(10))?;
        share("traffic.error_share", self.error_share)?;
        share("traffic.retry_share", self.retry_share)?;
        super::positive("traffic.least_answers", self.least_answers as usize)?;
        span("traffic.open_first", self.open_first, Duration::from_millis(100)..=Duration::from_hours(1))?;
        span("traffic.open_most", self.open_most, self.open_first..=Duration::from_hours(1))
    }
}

/// A part of a whole, above nothing.
pub(super) fn share(key: &str, found: f64) -> Result<(), ConfigError> {
    if found > 0.0 && found <= 1.0 {
        return Ok(());
    }
    Err(ConfigError::new(key, format!("found {found}; above 0 and at most 1 is accepted")))
}

/// A span of time that makes sense.
pub(super) fn span(
    key: &str,
    found: Duration,
    accepted: std::ops::RangeInclusive<Duration>,
) -> Result<(), ConfigError> {
    if accepted.contains(&found) {
        return Ok(());
    }
    let (least, most) = (accepted.start(), accepted.end());
    Err(ConfigError::new(key, format!("found {found:?}; {least:?} to {most:?} is accepted")))
}
