//! `[metrics]`: when networks are asked what they have counted.

use std::time::Duration;

use jobs::metrics::{Pace, Plan};
use serde::Deserialize;

use super::{ConfigError, traffic::span};

/// More days are not read again each time: what is older is settled.
const MOST_ADS_DAYS: u16 = 90;

/// When objects are asked about, and what goes before.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// How often a worker looks whose turn it is.
    #[serde(with = "humantime_serde")]
    pub look_every: Duration,
    /// The first moments after a post came out.
    #[serde(deserialize_with = "spans")]
    pub after_publishing: Vec<Duration>,
    /// How far apart those that follow are.
    #[serde(with = "humantime_serde")]
    pub then_every: Duration,
    /// After this there are none.
    #[serde(with = "humantime_serde")]
    pub until: Duration,
    /// The moments of a story.
    #[serde(deserialize_with = "spans")]
    pub stories: Vec<Duration>,
    /// How far apart an account's are.
    #[serde(with = "humantime_serde")]
    pub accounts_every: Duration,
    /// From so many percent of a network's limit on, what is left is for others.
    pub usage_most: u8,
    /// For how long then.
    #[serde(with = "humantime_serde")]
    pub usage_rest: Duration,
    /// A refused metric is tried again after this.
    #[serde(with = "humantime_serde")]
    pub try_refused: Duration,
    /// So many of the latest days of ads are read again each time.
    pub ads_days: u16,
}

/// `15m, 1h, 6h`: the same in the file and in a variable.
fn spans<'de, D: serde::Deserializer<'de>>(source: D) -> Result<Vec<Duration>, D::Error> {
    let text = String::deserialize(source)?;
    let read = |part: &str| {
        humantime_serde::re::humantime::parse_duration(part.trim())
            .map_err(|error| serde::de::Error::custom(format!("found {part:?}: {error}")))
    };
    text.split(',').map(read).collect()
}

impl Metrics {
    /// The pace that these settings make.
    pub fn pace(&self) -> Pace {
        Pace {
            plan: Plan {
                after_publishing: self.after_publishing.clone(),
                then_every: self.then_every,
                until: self.until,
                stories: self.stories.clone(),
                accounts_every: self.accounts_every,
            },
            usage_most: self.usage_most,
            usage_rest: self.usage_rest,
            try_refused: self.try_refused,
            ads_days: self.ads_days,
        }
    }

    /// Says what is wrong with it, if anything.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let (tick, hour, day) =
            (Duration::from_millis(10), Duration::from_hours(1), Duration::from_hours(24));
        span("metrics.look_every", self.look_every, tick..=hour)?;
        span("metrics.usage_rest", self.usage_rest, Duration::from_secs(1)..=day)?;
        span("metrics.try_refused", self.try_refused, Duration::from_secs(1)..=day * 366)?;
        if !(1..=100).contains(&self.usage_most) {
            let what = format!("found {}, accepted is 1 to 100", self.usage_most);
            return Err(ConfigError::new("metrics.usage_most", what));
        }
        if !(1..=MOST_ADS_DAYS).contains(&self.ads_days) {
            let what = format!("found {}, accepted is 1 to {MOST_ADS_DAYS}", self.ads_days);
            return Err(ConfigError::new("metrics.ads_days", what));
        }
        self.pace().plan.check().map_err(|(key, accepted)| {
            ConfigError::new(
                &format!("metrics.{key}"),
                format!("found {}; accepted is {accepted}", self.found(key)),
            )
        })
    }

    fn found(&self, key: &str) -> String {
        match key {
            "after_publishing" => format!("{:?}", self.after_publishing),
            "stories" => format!("{:?}", self.stories),
            "then_every" => format!("{:?}", self.then_every),
            "accounts_every" => format!("{:?}", self.accounts_every),
            _ => format!("{:?}", self.until),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn a_plan_that_makes_no_sense_is_refused_and_named() {
        for (key, value) in [
            ("look_every", "\"0s\""),
            ("after_publishing", "\"1h, 15m\""),
            ("after_publishing", "\"soon\""),
            ("then_every", "\"1m\""),
            ("until", "\"1h\""),
            ("stories", "\"25h\""),
            ("accounts_every", "\"0s\""),
            ("usage_most", "101"),
            ("usage_rest", "\"0s\""),
            ("try_refused", "\"0s\""),
            ("ads_days", "0"),
            ("ads_days", "91"),
        ] {
            let error = load(&format!("[metrics]\n{key} = {value}"), &[]).expect_err(key).to_string();
            assert!(error.contains(key) && error.contains("accepted"), "{key}: {error}");
        }
        let set = load("", &[("POSTROOM__METRICS__AFTER_PUBLISHING", "5m, 2h")]).expect("loads");
        assert_eq!(set.metrics.after_publishing.len(), 2);
    }
}
