//! A wish on one account: what it becomes there, or why the network would not take it.

use jobs::{
    preflight::Who,
    surface::{Draft, Platform, Shape},
};
use serde_json::json;
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
        let target = surface.ok().filter(|_| found.is_empty()).map(|surface| NewTarget {
            account_id: account.id,
            platform: account.platform.clone(),
            surface: surface.name,
            caption: self.target.caption.clone(),
            options: privacy_level
                .filter(|_| !platform.privacy_levels.is_empty())
                .map_or_else(|| json!({}), |level| json!({ "privacy_level": level })),
        });
        let surface = surface.ok().map(|surface| surface.name);
        Placed { account: Some(account.clone()), platform: Some(platform), surface, target, found }
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
        let known: &[&str] = if platform.privacy_levels.is_empty() { &[] } else { &["privacy_level"] };
        let unknown = self.target.options.keys().filter(|name| !known.contains(&name.as_str()));
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
