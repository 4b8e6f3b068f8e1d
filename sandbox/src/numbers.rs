//! How many people see, like and share what is public: numbers that grow with the networks' clock and are the same
//! whenever they are asked for at the same time.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::effects::Effect;
use crate::model::Settings;

/// How many of a thousand people who see something do what a metric counts, by a word of its name.
const SHARES: &[(&str, u64)] = &[
    ("unique", 700),
    ("reach", 700),
    ("reaction", 60),
    ("like", 60),
    ("comment", 12),
    ("share", 9),
    ("repost", 4),
    ("saved", 11),
    ("saves", 11),
    ("click", 35),
    ("interaction", 90),
    ("engage", 85),
    ("follow", 6),
    ("visit", 25),
    ("replies", 5),
    ("navigation", 120),
    ("taps", 8),
    ("watch_time", 4_200),
    ("view_total_time", 90_000),
];
/// What is not among them is a view.
const VIEW: u64 = 1_000;
/// After so many hours about two thirds of all that ever come have come.
const HOURS: f64 = 30.0;

/// Of an object that came out: growing fast at first, ever more slowly, and never back.
pub fn of_object(settings: &Settings, effect: &Effect, metric: &str, now: DateTime<Utc>) -> u64 {
    let hours = hours(now - effect.at);
    part(settings.audience, &effect.object_id, metric, 1.0 - (-hours / HOURS).exp())
}

/// Of an account, on the day that ends then.
pub fn of_day(settings: &Settings, account: &str, metric: &str, ends: DateTime<Utc>) -> u64 {
    let day = format!("{account}/{}", ends.date_naive());
    part(settings.audience, &day, metric, 0.2)
}

/// Since when an object has been seen enough for the network to tell.
pub fn told_from(settings: &Settings, effect: &Effect) -> DateTime<Utc> {
    let wait = i64::try_from(settings.insights_after_ms).unwrap_or(i64::MAX);
    effect.at + TimeDelta::try_milliseconds(wait).unwrap_or(TimeDelta::days(365))
}

#[expect(clippy::cast_precision_loss, reason = "nobody lives for so many milliseconds")]
fn hours(age: TimeDelta) -> f64 {
    age.num_milliseconds().max(0) as f64 / 3_600_000.0
}

/// The part of what ever comes that is there by now; each object and metric has its own luck.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an audience has no more people than a float has whole numbers"
)]
fn part(audience: u64, seed: &str, metric: &str, part: f64) -> u64 {
    let share = SHARES.iter().find(|(word, _)| metric.contains(word)).map_or(VIEW, |(_, share)| *share);
    let digest = Sha256::new().chain_update(seed).chain_update("/").chain_update(metric).finalize();
    let luck = f64::from(digest[0]) / 255.0;
    let most = audience as f64 * share as f64 / 1_000.0 * (0.75 + luck / 2.0);
    (most * part) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Network;

    #[test]
    fn numbers_grow_with_the_clock_and_are_the_same_when_asked_twice() {
        let effect = Effect {
            seq: 1,
            at: DateTime::UNIX_EPOCH,
            platform: Network::FacebookPage,
            account: "1".into(),
            object_id: "1_2".into(),
            handle: "1_2".into(),
            caption: String::new(),
            media: Vec::new(),
            call_id: None,
            permalink: String::new(),
        };
        let settings = Settings::default();
        let at = |hours| {
            of_object(&settings, &effect, "post_media_view", DateTime::UNIX_EPOCH + TimeDelta::hours(hours))
        };
        assert_eq!(at(0), 0);
        assert!(at(1) > 0 && at(1) < at(24) && at(24) < at(240), "{} {} {}", at(1), at(24), at(240));
        assert_eq!(at(24), at(24));
    }
}
