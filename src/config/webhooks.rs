//! Where workspaces are told of what happens.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, positive, traffic::span};

/// Where workspaces are told of what happens.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// The most webhooks of one workspace.
    pub most: u32,
    /// One that has taken nothing for so long is disabled.
    #[serde(with = "humantime_serde")]
    pub disable_after: Duration,
    /// Whether http and addresses inside the house are gone to; for development and tests only.
    pub private: bool,
}

impl Webhooks {
    /// Says what is wrong with it, if anything.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let (least, most) = (Duration::from_hours(1), Duration::from_hours(31 * 24));
        positive("webhooks.most", self.most as usize)?;
        span("webhooks.disable_after", self.disable_after, least..=most)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    #[test]
    fn what_makes_no_sense_is_refused_by_its_key() {
        for (key, found) in [("most", "0"), ("disable_after", "1m"), ("disable_after", "400d")] {
            let variable = format!("POSTROOM__WEBHOOKS__{}", key.to_uppercase());
            let said = load("", &[(&variable, found)]).expect_err(key).to_string();
            assert!(said.contains(&format!("webhooks.{key}")) && said.contains("accepted"), "{said}");
        }
    }

    #[test]
    fn nothing_inside_the_house_is_gone_to_unless_somebody_says_so() {
        assert!(!load("", &[]).expect("the defaults load").webhooks.private);
        assert!(load("", &[("POSTROOM__WEBHOOKS__PRIVATE", "true")]).expect("loads").webhooks.private);
    }
}
