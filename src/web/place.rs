//! A wish on one account: what it becomes there, or why the network would not take it.

use jobs::{
    comment::{self, Comments},
    preflight::Who,
    surface::{Draft, Platform, Shape},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    finding::Finding,
    text,
    wish::{Rules, Wish, WishedTarget},
};
use crate::ledger::{
    accept::{Facts, NewTarget},
    accounts::Account,
};

/// A target that was measured.
#[derive(Default)]
pub struct Placed {
    /// The account, if there is one of that id.
    pub account: Option<Account>,
    /// Its network, if it is switched on.
    pub platform: Option<&'static Platform>,
    /// What the post becomes there.
    pub surface: Option<&'static str>,
    /// The link that its followers get, where that is another than the post's.
    pub link: Option<String>,
    /// What is kept of it, if nothing is wrong.
    pub target: Option<NewTarget>,
    /// What is wrong.
    pub found: Vec<Finding>,
}

/// What a post is made of, as far as it is known.
#[derive(Clone, Copy)]
pub struct Content<'a> {
    /// Its files.
    pub shapes: &'a [Shape],
    /// Nothing of it is missing or was not readable.
    pub whole: bool,
}

impl Content<'_> {
    /// Whether a network's finding is true even if a part of the content is missing.
    fn tells(self, finding: &jobs::surface::Finding) -> bool {
        let of_its_own = finding.field == "caption" && finding.code != "empty_post";
        self.whole || of_its_own || finding.field.starts_with("options.")
    }
}

/// One target being judged.
pub struct At<'a> {
    /// Its place among the targets.
    pub n: usize,
    /// What was asked for.
    pub target: &'a WishedTarget,
    /// The whole wish.
    pub wish: &'a Wish,
    /// What it is measured against.
    pub rules: &'a Rules,
}

impl At<'_> {
    fn field(&self, name: &str) -> String {
        format!("targets[{}].{name}", self.n)
    }

    /// Measures it.
    pub fn place(&self, facts: &Facts, content: Content<'_>) -> Placed {
        if self.target.account_id.is_empty() {
            return Placed::default(); // its reader has said so
        }
        let (account, platform) = match self.account(facts) {
            Ok(both) => both,
            Err((account, finding)) => {
                return Placed { account: account.cloned(), found: vec![finding], ..Placed::default() };
            }
        };
        let mut found = self.unknown_options(platform);
        found.extend(self.no_comment(platform));
        let comment = self.comment(platform);
        found.extend(
            comment.iter().flat_map(|(takes, words)| self.all(takes.findings(words, platform.title))),
        );
        if !self.target.stands {
            found.extend(self.inactive(account));
        }
        let privacy_level = self.target.privacy_level(account);
        let caption = self.wish.caption_of(self.target);
        let (kind, link) = (self.wish.kind, self.wish.link.as_deref());
        let draft = Draft { kind, caption, link, media: content.shapes, privacy_level };
        let surface = platform.place(&draft).map_err(|refused| {
            let refused = refused.into_iter().filter(|finding| content.tells(finding));
            found.extend(refused.map(|finding| self.finding(finding)));
        });
        if let (Ok(surface), Some((takes, _))) = (surface, comment) {
            found.extend(self.all(takes.under(surface.name, platform.title)));
        }
        let target = surface.ok().filter(|_| found.is_empty()).map(|surface| NewTarget {
            account_id: account.id,
            platform: account.platform.clone(),
            surface: surface.name,
            caption: self.target.caption.clone(),
            link: None,
            options: self.options(platform, privacy_level),
        });
        let surface = surface.ok().map(|surface| surface.name);
        let (account, platform) = (Some(account.clone()), Some(platform));
        Placed { account, platform, surface, link: None, target, found }
    }

    fn finding(&self, found: jobs::surface::Finding) -> Finding {
        let field = match (found.field, found.code) {
            ("caption", "empty_post") => "caption".to_owned(),
            ("caption", _) => self.field("caption"),
            (field, _) if field.starts_with("options.") => self.field(field),
            (field, _) => field.to_owned(),
        };
        Finding::new(field, found.code, found.detail).accepting(found.accepted)
    }

    fn all(&self, found: impl IntoIterator<Item = jobs::surface::Finding>) -> Vec<Finding> {
        found.into_iter().map(|finding| self.finding(finding)).collect()
    }

    /// What it is to say first under the post, where its network takes that.
    fn comment(&self, platform: &Platform) -> Option<(Comments, &str)> {
        platform.comments.zip(self.target.options.get(comment::OPTION).map(String::as_str))
    }

    /// That its network takes no comment, and which ones do.
    fn no_comment(&self, platform: &Platform) -> Option<Finding> {
        if platform.comments.is_some() || !self.target.options.contains_key(comment::OPTION) {
            return None;
        }
        let others = || self.rules.platforms.iter().filter(|it| it.comments.is_some());
        let titles: Vec<&str> = others().map(|it| it.title).collect();
        let taken = match titles.as_slice() {
            [] => "no network here does".to_owned(),
            titles => format!("{} do", titles.join(" and ")),
        };
        let detail = format!("{} takes no first comment from here; {taken}.", platform.title);
        let finding = Finding::new(self.field(comment::FIELD), "first_comment_unsupported", detail);
        Some(finding.accepting(others().map(|it| it.name)))
    }

    fn options(&self, platform: &Platform, privacy_level: Option<&str>) -> Value {
        let mut options = json!({});
        if let Some(level) = privacy_level.filter(|_| !platform.privacy_levels.is_empty()) {
            options["privacy_level"] = level.into();
        }
        if let Some((_, words)) = self.comment(platform) {
            options[comment::OPTION] = words.into();
        }
        options
    }

    fn account<'f>(
        &self,
        facts: &'f Facts,
    ) -> Result<(&'f Account, &'static Platform), (Option<&'f Account>, Finding)> {
        let id = Uuid::try_parse(&self.target.account_id).ok();
        let account = facts.accounts.iter().find(|account| Some(account.id) == id).ok_or_else(|| {
            let detail = "There is no such account here. GET /api/v1/accounts lists them.";
            (None, Finding::new(self.field("account_id"), "account_unknown", detail))
        })?;
        let on = |it: &&&'static Platform| it.name == account.platform;
        let platform = self.rules.platforms.iter().find(on).ok_or_else(|| {
            let detail =
                format!("{} is not switched on here; whoever runs this house can do so.", account.platform);
            let finding = Finding::new(self.field("account_id"), "platform_off", detail);
            (Some(account), finding.for_whom(Who::Operator))
        })?;
        Ok((account, platform))
    }

    fn inactive(&self, account: &Account) -> Option<Finding> {
        let found = account.subject().inactive()?;
        let finding = Finding::new(self.field(&found.field), "account_not_active", found.detail);
        Some(finding.accepting(found.accepted).for_whom(found.who_acts))
    }

    fn unknown_options(&self, platform: &Platform) -> Vec<Finding> {
        let level = (!platform.privacy_levels.is_empty()).then_some("privacy_level");
        let known: Vec<&str> = level.into_iter().chain(platform.comments.map(|_| comment::OPTION)).collect();
        let unknown = self.target.options.keys().filter(|name| !known.contains(&name.as_str()));
        let unknown = unknown.filter(|name| platform.comments.is_some() || *name != comment::OPTION);
        unknown
            .map(|name| {
                let name = text::shown(name);
                let detail = format!("{} has no option “{name}” here.", platform.title);
                Finding::new(self.field(&format!("options.{name}")), "unknown_option", detail)
                    .accepting(known.iter().copied())
            })
            .collect()
    }
}
