//! What the form of a new post lets people choose from.

use chrono_tz::TZ_VARIANTS;
use jobs::surface::{CaptionUnit, Platform, PostKind};

use super::{
    Choice,
    form::Written,
    list,
    texts::{Texts, fill},
    words::{self, Chip},
};
use crate::{
    ledger::accounts::{Account, AccountState},
    web::App,
};

/// What a network takes of a caption.
pub struct Limit {
    pub platform: &'static str,
    pub title: &'static str,
    pub most: usize,
    pub utf16: bool,
    pub text: String,
}

/// An account that a post may go to.
pub struct Target {
    pub id: String,
    pub name: String,
    pub platform: String,
    pub network: String,
    pub chosen: bool,
    pub active: bool,
    pub chip: Chip,
    pub privacy_label: String,
    pub privacy: Vec<Choice>,
    /// The field for words of its own, unless its network is switched off.
    pub own: Option<OwnWords>,
    /// The field for its first comment, where its network takes one.
    pub comment: Option<CommentField>,
}

/// A field for the words of one account, instead of the caption.
pub struct OwnWords {
    pub label: String,
    pub hint: String,
    pub most: usize,
    pub utf16: bool,
    pub words: String,
}

/// A field for the first comment under a post.
pub struct CommentField {
    pub label: String,
    pub hint: String,
    pub most: usize,
    pub words: String,
}

/// A time that is offered.
pub struct Offer {
    pub value: String,
    pub label: String,
}

impl Target {
    /// The id of its box in the page.
    pub fn anchor(&self) -> String {
        format!("target-{}", self.id)
    }
}

/// The kinds of post.
pub fn kinds(t: &Texts, chosen: &str) -> Vec<Choice> {
    let choice = |kind: &PostKind| Choice {
        value: kind.word().to_owned(),
        label: list::kind(t, kind.word()).to_owned(),
        chosen: kind.word() == chosen,
    };
    PostKind::ALL.iter().map(choice).collect()
}

/// The limits of the networks that this workspace has accounts of.
pub fn limits(t: &Texts, app: &App, accounts: &[Account]) -> Vec<Limit> {
    let used = |platform: &&&Platform| accounts.iter().any(|account| account.platform == platform.name);
    let limit = |platform: &&'static Platform| Limit {
        platform: platform.name,
        title: platform.title,
        most: platform.caption.most,
        utf16: platform.caption.unit == CaptionUnit::Utf16,
        text: most(t, platform),
    };
    app.rules.platforms.iter().filter(used).map(limit).collect()
}

/// Whether something can be published to an account, as far as its network is known here.
pub fn takes_posts(app: &App, account: &Account) -> bool {
    let platform = app.rules.platforms.iter().find(|platform| platform.name == account.platform);
    platform.is_none_or(|platform| !platform.surfaces.is_empty())
}

/// The longest caption that a network takes, in words.
fn most(t: &Texts, platform: &Platform) -> String {
    let most = fill(t.caption_most, &[&platform.caption.most.to_string()]);
    let tags = platform.hashtags.map(|most| format!(", {}", fill(t.hashtags_most, &[&most.to_string()])));
    format!("{most}{}", tags.unwrap_or_default())
}

/// An account as the form has it.
pub fn target(t: &'static Texts, app: &App, account: &Account, written: &Written) -> Target {
    let id = account.id.to_string();
    let platform = app.rules.platforms.iter().find(|platform| platform.name == account.platform);
    let network = words::network(app, &account.platform).to_owned();
    let default = account.defaults["privacy_level"].as_str();
    let chosen = written.privacy.get(&id).map(String::as_str).unwrap_or_default();
    let levels = platform.map_or(&[][..], |platform| platform.privacy_levels);
    let first = default
        .map_or_else(|| t.privacy_choose.to_owned(), |level| fill(t.privacy_default, &[&humane(level)]));
    let none = Choice { value: String::new(), label: first, chosen: chosen.is_empty() };
    let choice =
        |level: &&str| Choice { value: (*level).to_owned(), label: humane(level), chosen: chosen == *level };
    let privacy = std::iter::once(none).chain(levels.iter().map(choice));
    Target {
        name: account.name.clone(),
        platform: account.platform.clone(),
        privacy_label: fill(t.privacy, &[&network]),
        network,
        chosen: written.targets.contains(&id),
        active: account.state == AccountState::Active,
        chip: words::account_chip(t, account.state),
        privacy: if levels.is_empty() { Vec::new() } else { privacy.collect() },
        own: platform.map(|platform| own(t, platform, &account.name, written.words.get(&id))),
        comment: platform.and_then(|platform| comment(t, platform, written.comments.get(&id))),
        id,
    }
}

fn own(t: &Texts, platform: &Platform, name: &str, words: Option<&String>) -> OwnWords {
    OwnWords {
        label: fill(t.own_words_on, &[name]),
        hint: fill(t.own_words_hint, &[&most(t, platform)]),
        most: platform.caption.most,
        utf16: platform.caption.unit == CaptionUnit::Utf16,
        words: words.cloned().unwrap_or_default(),
    }
}

fn comment(t: &Texts, platform: &Platform, words: Option<&String>) -> Option<CommentField> {
    let most = platform.comments?.length.most;
    Some(CommentField {
        label: fill(t.comment_on, &[platform.title]),
        hint: fill(t.comment_hint, &[&most.to_string()]),
        most,
        words: words.cloned().unwrap_or_default(),
    })
}

/// `SELF_ONLY` as people read it: `Self only`.
fn humane(word: &str) -> String {
    let lower = word.replace('_', " ").to_lowercase();
    let mut letters = lower.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The zones that people live in, and the one that was chosen.
pub fn zones(chosen: &str) -> Vec<Choice> {
    const REGIONS: &[&str] = &[
        "Africa/",
        "America/",
        "Antarctica/",
        "Arctic/",
        "Asia/",
        "Atlantic/",
        "Australia/",
        "Europe/",
        "Indian/",
        "Pacific/",
    ];
    let lived_in = |name: &str| name == "UTC" || REGIONS.iter().any(|region| name.starts_with(region));
    let mut names: Vec<&str> =
        TZ_VARIANTS.iter().map(|zone| zone.name()).filter(|name| lived_in(name)).collect();
    names.sort_unstable();
    if !names.contains(&chosen) && !chosen.is_empty() {
        names.insert(0, chosen);
    }
    let choice =
        |name: &str| Choice { value: name.to_owned(), label: name.replace('_', " "), chosen: name == chosen };
    names.into_iter().map(choice).collect()
}

/// The two times nearest to one that does not exist.
pub fn offers<'a>(findings: impl IntoIterator<Item = (&'a str, &'a [String])>) -> Vec<Offer> {
    let gap = findings.into_iter().find(|(code, _)| *code == "dst_gap");
    let offer = |value: &String| Offer { value: value.clone(), label: value.replace('T', " ") };
    gap.map(|(_, accepted)| accepted.iter().map(offer).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_zone_is_always_in_the_list() {
        for zone in ["Asia/Jerusalem", "UTC", "Etc/GMT+2", "Nowhere/Else"] {
            assert_eq!(zones(zone).iter().filter(|choice| choice.chosen).count(), 1, "{zone}");
        }
    }

    #[test]
    fn a_privacy_level_is_readable() {
        assert_eq!(humane("MUTUAL_FOLLOW_FRIENDS"), "Mutual follow friends");
    }
}
