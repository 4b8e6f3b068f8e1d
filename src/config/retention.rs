//! `[retention]`: how long each class of data is kept.

use std::time::Duration;

use jobs::retention::Ages;
use serde::Deserialize;

use super::{ConfigError, traffic};

/// What is dropped when.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Finished jobs.
    #[serde(with = "humantime_serde")]
    pub history: Duration,
    /// Where somebody acted from.
    #[serde(with = "humantime_serde")]
    pub addresses: Duration,
    /// Letters that went out, and invitations and links to reports that have ended.
    #[serde(with = "humantime_serde")]
    pub letters: Duration,
    /// Accounts that were disconnected.
    #[serde(with = "humantime_serde")]
    pub disconnected: Duration,
    /// Answers kept for a repeated key.
    #[serde(with = "humantime_serde")]
    pub idempotency: Duration,
    /// Analyses, with what was asked of the provider for them.
    #[serde(with = "humantime_serde")]
    pub analyses: Duration,
    /// Every single snapshot of metrics; of what is older one a day is kept.
    #[serde(with = "humantime_serde")]
    pub snapshots: Duration,
    /// Files that no post uses.
    #[serde(with = "humantime_serde")]
    pub unused_media: Duration,
    /// Uploads that were promised and not completed.
    #[serde(with = "humantime_serde")]
    pub unfinished_uploads: Duration,
    /// How often files are looked for that can go.
    #[serde(with = "humantime_serde")]
    pub sweep_every: Duration,
    /// The most rows that one statement drops.
    pub batch: u32,
}

impl Retention {
    /// As the ledger takes them.
    pub fn ages(&self) -> Ages {
        Ages {
            history: self.history,
            idempotency: self.idempotency,
            analyses: self.analyses,
            snapshots: self.snapshots,
            addresses: self.addresses,
            letters: self.letters,
            disconnected: self.disconnected,
            unused_media: self.unused_media,
            unfinished_uploads: self.unfinished_uploads,
            batch: i64::from(self.batch),
        }
    }

    /// Says what is wrong with it, if anything.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let (hour, year) = (Duration::from_hours(1), Duration::from_hours(366 * 24));
        let day = hour * 24;
        // twelve months are promised, and what comes of age today goes tomorrow at the latest
        let promised = day * 364;
        traffic::span("retention.history", self.history, day..=promised)?;
        traffic::span("retention.addresses", self.addresses, day..=promised)?;
        traffic::span("retention.letters", self.letters, day..=promised)?;
        traffic::span("retention.disconnected", self.disconnected, day..=year * 20)?;
        traffic::span("retention.idempotency", self.idempotency, hour..=year)?;
        traffic::span("retention.analyses", self.analyses, hour..=year * 20)?;
        traffic::span("retention.snapshots", self.snapshots, day * 31..=year * 20)?;
        traffic::span("retention.unused_media", self.unused_media, hour..=year)?;
        // the store takes what was promised for an hour
        traffic::span("retention.unfinished_uploads", self.unfinished_uploads, hour * 2..=year)?;
        traffic::span("retention.sweep_every", self.sweep_every, Duration::from_millis(10)..=hour)?;
        super::positive("retention.batch", self.batch as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    #[test]
    fn logs_are_kept_for_twelve_months_at_most_whatever_is_set() {
        // P-C4
        for (key, found) in [
            ("history", "366d"),
            ("addresses", "366d"),
            ("letters", "2y"),
            ("addresses", "0s"),
            ("disconnected", "1h"),
            ("idempotency", "0s"),
            ("batch", "0"),
        ] {
            let variable = format!("POSTROOM__RETENTION__{}", key.to_uppercase());
            let said = load("", &[(&variable, found)]).expect_err(&format!("{key} = {found}")).to_string();
            assert!(said.contains("retention") && said.contains(key), "{said}");
            assert!(said.contains("found") && said.contains("accepted"), "{said}");
        }
    }
}
