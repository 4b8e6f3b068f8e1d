//! How the networks lie about one post: answers that say other than what happened, answers that never come,
//! effects that come late, reads that are stale or fail.
//!
//! A lie is told about one target of a post, at the calls of its surface: they are known by the words and files that
//! they name, and by the account and their name where they say nothing of what they are about.

use serde_json::{Value, json};

use super::{
    dice::{Dice, Weighted},
    files::File,
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
    /// What was taken turns out to be of no use while it is processed, for this reason.
    Spoiled(&'static str),
}

/// A lie about what comes before a commit is told so often at most, which is once for each file and once more.
const MOST_BEGUN: usize = 3;
/// A reason for which a film is taken again.
const PASSING: &str = "internal";
/// A reason for which it never is.
const FINAL: &str = "file_format_check_failed";

/// Half of all posts go to honest networks; the others are lied about once or twice.
pub fn draw(dice: &mut Dice, targets: &[(Surface, usize)]) -> Vec<Lie> {
    let count = dice.weighted(&[(50, 0), (40, 1), (10, 2)]);
    let fits = |lie: &Lie| targets.iter().any(|(surface, _)| lie.fits(*surface));
    (0..count).map(|_| one(dice)).filter(fits).collect()
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
        (3, |dice| Lie::Spoiled(dice.one(&[PASSING, FINAL]))),
    ];
    dice.weighted(kinds)(dice)
}

/// One target of a post, as its network's calls tell of it.
pub struct Target<'a> {
    /// The surface.
    pub surface: Surface,
    /// The network's id of the account.
    pub account: &'a str,
    /// The words, of which what a network is told begins with.
    pub words: &'a str,
    /// The files.
    pub files: &'a [File],
}

impl Lie {
    /// Whether it can be told of this surface.
    fn fits(self, surface: Surface) -> bool {
        let platform = surface.platform();
        match self {
            Self::Spam | Self::BadContainer => platform == INSTAGRAM,
            Self::Spoiled(_) => platform == TIKTOK || (platform == FACEBOOK && surface.is_film()),
            Self::Limit => platform != TIKTOK,
            Self::CommitWord(_)
            | Self::Late(_)
            | Self::SlowCommit(_)
            | Self::PrepareWord(_)
            | Self::TooMany
            | Self::Unreadable(_)
            | Self::Stale(_) => true,
        }
    }

    /// Whether a post to this surface may rightly fail of it. A Page never takes a film again that it refused.
    pub fn fails(self, surface: Surface) -> bool {
        match self {
            Self::Spoiled(reason) => {
                self.fits(surface) && (reason == FINAL || surface.platform() == FACEBOOK)
            }
            Self::CommitWord(_)
            | Self::Late(_)
            | Self::SlowCommit(_)
            | Self::PrepareWord(_)
            | Self::TooMany
            | Self::Limit
            | Self::Spam
            | Self::Unreadable(_)
            | Self::Stale(_)
            | Self::BadContainer => false,
        }
    }

    /// The sandbox's rules that tell it of this target; none where it cannot be told.
    pub fn rules(self, target: &Target) -> Vec<Value> {
        if !self.fits(target.surface) {
            return Vec::new();
        }
        let (phase, narrow) = self.told();
        let mut rules = vec![json!({ "phase": phase, "content": target.content() })];
        rules.extend(target.surface.speechless(phase).iter().map(|call| match *call {
            // a read that comes before every post
            "creator_info" => json!({ "call": call, "phase": "observe" }),
            call => json!({ "call": call, "phase": phase }),
        }));
        for rule in &mut rules {
            rule["network"] = json!(target.surface.platform());
            rule["account"] = json!(target.account);
            for (name, value) in narrow.as_object().expect("an object") {
                rule[name] = value.clone();
            }
        }
        rules
    }

    /// The phase of the calls that it is told at, and the fault with how often.
    fn told(self) -> (&'static str, Value) {
        let once = |fault: Value| json!({ "times_per_object": 1, "fault": fault });
        // what is begun anew has another name each time, and would be lied about for ever
        let begun = |fault: Value| json!({ "times_per_object": 1, "times": MOST_BEGUN, "fault": fault });
        match self {
            Self::CommitWord(word) => ("commit", once(json!(word))),
            Self::Late(ms) => ("commit", once(json!({ "effect_after_ms": ms, "then": "drop" }))),
            Self::SlowCommit(ms) => ("commit", once(json!({ "delay_ms": ms }))),
            Self::PrepareWord(word) => ("prepare", begun(json!(word))),
            Self::TooMany => ("prepare", begun(json!({ "status": 429, "retry_after_s": 1 }))),
            Self::Limit => {
                let graph =
                    json!({ "code": 4, "http": 400, "effect": false, "headers": { "retry-after": "1" } });
                ("prepare", begun(json!({ "graph": graph })))
            }
            Self::Spam => {
                let graph = json!({ "code": 4, "subcode": 2_207_051, "http": 400, "effect": true });
                ("commit", once(json!({ "graph": graph })))
            }
            Self::Unreadable(times) => {
                ("observe", json!({ "times_per_object": times, "fault": { "read_error": true } }))
            }
            Self::Stale(ms) => ("commit", once(json!({ "stale_read_ms": ms }))),
            Self::BadContainer => ("prepare", json!({ "times": 1, "fault": { "container": "ERROR" } })),
            Self::Spoiled(reason) => ("commit", json!({ "times": 1, "fault": { "fail_reason": reason } })),
        }
    }
}

impl Target<'_> {
    /// What its calls say of it: the words, where it shows any; the files' addresses, bytes, and sizes where a size
    /// comes first.
    fn content(&self) -> Vec<String> {
        let words = (!self.surface.shape().is_story()).then(|| self.words.to_owned());
        let sized = self.surface == Surface::FacebookVideo;
        let files = self.files.iter().flat_map(|file| {
            let size = sized.then(|| format!("{} bytes", file.bytes));
            [file.key.clone(), file.sha256.clone()].into_iter().chain(size)
        });
        words.into_iter().chain(files).collect()
    }
}

impl Surface {
    fn is_film(self) -> bool {
        matches!(self.shape(), Shape::Film | Shape::Reel | Shape::FilmStory)
    }

    /// Its calls of a phase that say nothing of what they are about.
    fn speechless(self, phase: &str) -> &'static [&'static str] {
        match (self, phase) {
            (Self::FacebookReel, "prepare") => &["video_reels"],
            (Self::FacebookVideoStory, "prepare") => &["video_stories"],
            (Self::FacebookPhotoStory | Self::FacebookVideoStory, "observe") => &["stories"],
            // of which nothing reaches the network before the commit, but a question
            (Self::TiktokPhotos, "prepare") => &["creator_info"],
            (_, _) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIES: &[Lie] = &[
        Lie::CommitWord("effect_then_drop"),
        Lie::Late(300),
        Lie::SlowCommit(400),
        Lie::PrepareWord("effect_then_500"),
        Lie::TooMany,
        Lie::Limit,
        Lie::Spam,
        Lie::Unreadable(1),
        Lie::Stale(500),
        Lie::BadContainer,
        Lie::Spoiled(FINAL),
    ];

    fn target(surface: Surface) -> Vec<File> {
        let file = |n: usize| File {
            id: format!("id{n}"),
            key: format!("key{n}"),
            sha256: format!("sha{n}"),
            bytes: 100 + n,
        };
        surface.shape().files().iter().enumerate().map(|(n, _)| file(n)).collect()
    }

    #[test]
    fn every_lie_keeps_to_one_account_and_to_one_content_or_call() {
        for (surface, lie) in Surface::ALL.iter().flat_map(|surface| LIES.iter().map(|lie| (*surface, *lie)))
        {
            let files = target(surface);
            let rules = lie.rules(&Target { surface, account: "7", words: "words", files: &files });
            assert_eq!(rules.is_empty(), !lie.fits(surface), "{lie:?} about {surface:?}");
            for rule in rules {
                assert_eq!((&rule["account"], &rule["network"]), (&json!("7"), &json!(surface.platform())));
                let narrowed = rule["content"].as_array().is_some_and(|parts| !parts.is_empty());
                assert!(narrowed || rule["call"].is_string(), "{rule}");
            }
        }
    }
}
