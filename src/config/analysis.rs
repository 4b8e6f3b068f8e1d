//! `[analysis]`: what a provider of AI is asked, and what that may cost.

use jobs::analysis::{
    Policy,
    money::{Micros, Tariff},
};
use serde::Deserialize;

use super::ConfigError;

/// The most dollars of a budget, and for a million tokens.
const MOST_BUDGET: f64 = 1_000_000.0;
const MOST_PRICE: f64 = 10_000.0;

/// What a provider of AI is asked.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct Analysis {
    /// Whether anything is asked for a workspace that has not decided.
    pub enabled: bool,
    /// Whether its pictures, and what is seen and heard in its films, go along.
    pub media: bool,
    /// Whether what networks have counted goes there.
    pub numbers: bool,
    /// What a month may cost, in dollars.
    pub monthly_budget: f64,
    /// Whether those who manage a workspace may let more be done than the house, in what is counted and in what it costs.
    pub owners_allow_more: bool,
    /// Dollars for a million tokens that go there.
    pub input_price: f64,
    /// Dollars for a million tokens that come back.
    pub output_price: f64,
    /// The most tokens that a picture counts for.
    pub picture_tokens: u32,
    /// Dollars for a minute of speech.
    pub speech_price: f64,
}

impl Analysis {
    /// What a workspace that has decided nothing lets be done.
    pub fn policy(&self) -> Policy {
        let monthly = Micros(i64::try_from(whole(self.monthly_budget * 1_000_000.0)).unwrap_or(i64::MAX));
        Policy { enabled: self.enabled, media: self.media, numbers: self.numbers, monthly }
    }

    /// What the model takes.
    pub fn tariff(&self) -> Tariff {
        // dollars for a million tokens are thousands of billionths for one
        let nanos = |price: f64| whole(price * 1_000.0);
        Tariff {
            input: nanos(self.input_price),
            output: nanos(self.output_price),
            picture_tokens: self.picture_tokens.into(),
            speech: whole(self.speech_price * 1_000_000_000.0 / 60.0),
        }
    }

    /// Says what is wrong with it, if anything.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, value, least, most) in [
            ("analysis.monthly_budget", self.monthly_budget, 0.0, MOST_BUDGET),
            // what costs nothing would never meet its budget
            ("analysis.input_price", self.input_price, 0.001, MOST_PRICE),
            ("analysis.speech_price", self.speech_price, 0.0, MOST_PRICE),
            ("analysis.output_price", self.output_price, 0.001, MOST_PRICE),
        ] {
            if !(least..=most).contains(&value) {
                let what = format!("found {value}, accepted are {least} to {most} dollars");
                return Err(ConfigError::new(key, what));
            }
        }
        super::positive("analysis.picture_tokens", self.picture_tokens as usize)
    }
}

/// Up to the next whole number; the values are checked to be small and not below nought.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked to be in range")]
fn whole(value: f64) -> u64 {
    value.max(0.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn money_that_makes_no_sense_is_refused_and_named() {
        for (key, value) in [
            ("monthly_budget", "-1.0"),
            ("monthly_budget", "1e12"),
            ("input_price", "0.0"),
            ("output_price", "nan"),
            ("speech_price", "-0.1"),
            ("picture_tokens", "0"),
        ] {
            let error = load(&format!("[analysis]\n{key} = {value}"), &[]).expect_err(key).to_string();
            assert!(error.contains(key) && error.contains("accepted"), "{key}: {error}");
        }
    }

    #[test]
    fn dollars_become_what_a_token_costs() {
        let set = load("", &[("POSTROOM__ANALYSIS__MONTHLY_BUDGET", "0.05")]).expect("loads");
        assert_eq!(set.analysis.policy().monthly.0, 50_000);
        assert_eq!(set.analysis.tariff().speech, 100_000);
        assert_eq!((set.analysis.tariff().input, set.analysis.tariff().output), (400, 1_600));
    }
}
