//! How publications ended, and why a person decides about some.

use std::collections::BTreeMap;

use super::{
    schedule::{PostPlan, Wish},
    surfaces::Surface,
};

/// Why a person decides about a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// Nothing that the network shows proves that it is absent.
    OneShot,
    /// It was to go out by a certain time, and could not.
    TooLate,
    /// It was taken back by a process that was killed before it said so, and the network does not say it either.
    Forgotten,
    /// The protocol has no reason for it.
    Needless,
}

impl Hold {
    /// Why a post of this plan is held with this code.
    pub fn of(plan: &PostPlan, surface: Surface, code: &str) -> Self {
        let given_up = plan.latest.is_some() || matches!(plan.wish, Some((_, Wish::Cancel)));
        match code {
            "too_late" if plan.latest.is_some() => Self::TooLate,
            "not_provable" if surface.one_shot() => Self::OneShot,
            "not_provable" if surface.forgets() && given_up => Self::Forgotten,
            _ => Self::Needless,
        }
    }

    /// The summary's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::OneShot => "one_shot",
            Self::TooLate => "too_late",
            Self::Forgotten => "forgotten",
            Self::Needless => "needless",
        }
    }
}

/// How publications ended.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// All.
    pub posts: usize,
    /// Public.
    pub published: usize,
    /// By wish.
    pub cancelled: usize,
    /// The network will never take it.
    pub failed: usize,
    /// A person decides, by reason.
    pub held: BTreeMap<Hold, usize>,
    /// Lies that were told at its calls.
    pub lies: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.posts += other.posts;
        self.published += other.published;
        self.cancelled += other.cancelled;
        self.failed += other.failed;
        self.lies += other.lies;
        for (hold, times) in &other.held {
            *self.held.entry(*hold).or_default() += times;
        }
    }

    /// All that a person decides about.
    pub fn all_held(&self) -> usize {
        self.held.values().sum()
    }

    /// `2 (one_shot 1, too_late 1)`.
    pub fn held_in_words(&self) -> String {
        let reasons: Vec<String> =
            self.held.iter().map(|(hold, times)| format!("{} {times}", hold.word())).collect();
        match self.all_held() {
            0 => "0".to_owned(),
            all => format!("{all} ({})", reasons.join(", ")),
        }
    }
}

/// All of these together.
pub fn sum<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Tally {
    let mut all = Tally::default();
    tallies.for_each(|tally| all.add(tally));
    all
}
