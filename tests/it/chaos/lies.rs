//! How the networks lie about one post: answers that say other than what happened, answers that never come,
//! effects that come late, reads that are stale or fail.

use serde_json::{Value, json};

use super::{
    dice::{Dice, Weighted},
    schedule::PostPlan,
    surfaces::{Shape, Surface},
};
use crate::harness::{FACEBOOK, INSTAGRAM, TIKTOK};

/// One lie. Each is told once for each thing that the network is asked about, unless it says more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lie {
    /// The commit goes wrong in a way of one word.
    CommitWord(&'static str),
    /// The commit's answer breaks off, and the effect comes so many milliseconds later.
    Late(u32),
    /// The commit is answered after so many milliseconds.
    SlowCommit(u32),
    /// A step before the commit goes wrong in a way of one word.
    PrepareWord(&'static str),
    /// The network asks for a second of rest before anything is prepared, by a 429.
    TooMany,
    /// Graph's code 4, with a second of rest.
    Limit,
    /// Instagram calls a post spam that is public.
    Spam,
    /// Reads fail, so many times.
    Unreadable(u32),
    /// Reads show for so many milliseconds what was before.
    Stale(u32),
    /// Instagram's container turns out broken.
    BadContainer,
    /// TikTok takes the film and then cannot process it.
    BadFilm,
}

/// Half of all posts go to honest networks; the others are lied about once or twice.
pub fn draw(dice: &mut Dice, targets: &[(Surface, usize)]) -> Vec<Lie> {
    let count = dice.weighted(&[(50, 0), (40, 1), (10, 2)]);
    (0..count).map(|_| one(dice)).filter(|lie| lie.fits(targets)).collect()
}

fn one(dice: &mut Dice) -> Lie {
    let kinds: Weighted<fn(&mut Dice) -> Lie> = &[
        (40, |dice| {
            Lie::CommitWord(dice.one(&[
                "effect_then_500",
                "effect_then_drop",
                "effect_then_half",
                "malformed_json",
                "no_effect_then_500",
                "no_effect_then_drop",
            ]))
        }),
        (10, |dice| Lie::Late(dice.one(&[300, 1200, 5000]))),
        (5, |dice| Lie::SlowCommit(dice.one(&[400, 1300, 2000]))),
        (10, |dice| {
            Lie::PrepareWord(dice.one(&["effect_then_500", "effect_then_drop", "no_effect_then_500"]))
        }),
        (7, |_| Lie::TooMany),
        (5, |_| Lie::Limit),
        (5, |_| Lie::Spam),
        (6, |dice| Lie::Unreadable(dice.one(&[1, 4]))),
        (6, |dice| Lie::Stale(dice.one(&[500, 2500]))),
        (3, |_| Lie::BadContainer),
        (3, |_| Lie::BadFilm),
    ];
    dice.weighted(kinds)(dice)
}

impl Lie {
    /// Whether any of these networks can tell it.
    fn fits(self, targets: &[(Surface, usize)]) -> bool {
        let on = |platform: &str| targets.iter().any(|(surface, _)| surface.name().0 == platform);
        match self {
            Self::Spam | Self::BadContainer => on(INSTAGRAM),
            Self::BadFilm => on(TIKTOK),
            Self::Limit => !on(TIKTOK),
            Self::CommitWord(_)
            | Self::Late(_)
            | Self::SlowCommit(_)
            | Self::PrepareWord(_)
            | Self::TooMany
            | Self::Unreadable(_)
            | Self::Stale(_) => true,
        }
    }

    /// The sandbox's rule that tells it about this post. A story has no words to know it by: what is said of its
    /// commit is said of all stories of Pages, once of each, or of whatever Instagram publishes next.
    pub fn rule(self, post: &PostPlan) -> Value {
        let mut rule = self.unaimed();
        if !post.shape.is_story() || rule["call"] != "commit" {
            rule["caption_contains"] = json!(post.caption);
        } else if post.targets.iter().any(|(surface, _)| surface.name().0 == FACEBOOK) {
            rule["call"] =
                json!(if post.shape == Shape::FilmStory { "video_stories" } else { "photo_stories" });
        } else {
            rule["network"] = json!(INSTAGRAM);
            rule["times"] = json!(1);
        }
        rule
    }

    fn unaimed(self) -> Value {
        let once = |call: &str, fault: Value| json!({ "call": call, "times_per_object": 1, "fault": fault });
        match self {
            Self::CommitWord(word) => once("commit", json!(word)),
            Self::Late(ms) => once("commit", json!({ "effect_after_ms": ms, "then": "drop" })),
            Self::SlowCommit(ms) => once("commit", json!({ "delay_ms": ms })),
            Self::PrepareWord(word) => once("prepare", json!(word)),
            Self::TooMany => once("prepare", json!({ "status": 429, "retry_after_s": 1 })),
            Self::Limit => {
                let headers = json!({ "retry-after": "1" });
                once(
                    "prepare",
                    json!({ "graph": { "code": 4, "http": 400, "effect": false, "headers": headers } }),
                )
            }
            Self::Spam => {
                let graph = json!({ "code": 4, "subcode": 2_207_051, "http": 400, "effect": true });
                json!({ "network": INSTAGRAM, "call": "commit", "times_per_object": 1, "fault": { "graph": graph } })
            }
            Self::Unreadable(times) => {
                json!({ "call": "observe", "times_per_object": times, "fault": { "read_error": true } })
            }
            Self::Stale(ms) => once("commit", json!({ "stale_read_ms": ms })),
            Self::BadContainer => {
                json!({ "network": INSTAGRAM, "call": "prepare", "times": 1, "fault": { "container": "ERROR" } })
            }
            Self::BadFilm => {
                json!({ "network": TIKTOK, "call": "commit", "times": 1, "fault": { "fail_reason": "internal" } })
            }
        }
    }
}
