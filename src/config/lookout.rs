//! `[lookout]`: how networks are asked ahead about accounts, and publications checked before their time.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, positive, traffic::span};

/// How often a worker looks ahead, and how long that may take.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookout {
    /// How often it looks what is due.
    #[serde(with = "humantime_serde")]
    pub look_every: Duration,
    /// Accounts whose turn it is, and publications checked, in one look.
    pub look_most: u32,
    /// How long an account's turn is put off.
    #[serde(with = "humantime_serde")]
    pub ask_every: Duration,
    /// What was said longer ago than this is asked again before a check.
    #[serde(with = "humantime_serde")]
    pub facts_keep: Duration,
    /// How often it is looked for connections that end and nobody was told of.
    #[serde(with = "humantime_serde")]
    pub tell_every: Duration,
    /// How long before its end administrators are told of it.
    #[serde(with = "humantime_serde")]
    pub tell_ahead: Duration,
    /// A check that its worker did not end is another's after this.
    #[serde(with = "humantime_serde")]
    pub check_lease: Duration,
    /// All reads about one account.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
    /// All of what one account or one publication takes.
    #[serde(with = "humantime_serde")]
    pub look_timeout: Duration,
}

impl Lookout {
    /// Says what is wrong with it, if anything.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let (tick, hour, day) =
            (Duration::from_millis(10), Duration::from_hours(1), Duration::from_hours(24));
        span("lookout.look_every", self.look_every, tick..=hour)?;
        positive("lookout.look_most", self.look_most as usize)?;
        span("lookout.ask_every", self.ask_every, self.look_every..=day)?;
        span("lookout.facts_keep", self.facts_keep, tick..=day)?;
        span("lookout.tell_every", self.tell_every, tick..=day)?;
        span("lookout.tell_ahead", self.tell_ahead, hour..=day * 60)?;
        span("lookout.read_timeout", self.read_timeout, tick..=hour)?;
        span("lookout.look_timeout", self.look_timeout, self.read_timeout..=hour)?;
        // while one worker is at it, no other begins it
        span("lookout.check_lease", self.check_lease, self.look_timeout..=day)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn a_pace_that_makes_no_sense_is_refused_and_named() {
        for (key, value) in [
            ("look_every", "\"0s\""),
            ("look_most", "0"),
            ("ask_every", "\"1s\""),
            ("facts_keep", "\"2d\""),
            ("read_timeout", "\"2h\""),
            ("look_timeout", "\"5s\""),
            ("check_lease", "\"10s\""),
        ] {
            let error = load(&format!("[lookout]\n{key} = {value}"), &[]).expect_err(key).to_string();
            assert!(
                error.contains(&format!("lookout.{key}")) && error.contains("accepted"),
                "{key}: {error}"
            );
        }
        let error = load("[lookout]\nask_evry = \"1h\"", &[]).expect_err("unknown").to_string();
        assert!(error.contains("ask_evry"), "{error}");
        let set = load("", &[("POSTROOM__LOOKOUT__ASK_EVERY", "1h")]).expect("loads");
        assert_eq!(set.lookout.ask_every.as_secs(), 3_600);
    }
}
