//! What a person says of a held publication, from the API, the console or the shell: read and judged alike.

use serde_json::Value;

use super::{
    App,
    body::Fields,
    finding::{Finding, Findings},
    permalink::Shown,
};
use crate::ledger::{pauses::REASON_MOST, verdict::Place};

/// A word as it was given, and not yet judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// It is public, or it is not; `None`: that was not said.
    pub published: Option<bool>,
    /// Where it is to be seen.
    pub permalink: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A word, as far as it can be read, and what cannot.
pub fn read(body: &Value) -> (Verdict, Vec<Finding>) {
    let mut found = Findings::default();
    let mut at = Fields::open("", body, &mut found);
    at.only(&["published", "permalink", "reason"]);
    let published = at.value("published").and_then(Value::as_bool);
    if published.is_none() && !at.absent("published") {
        at.find("published", "type", "This has to be true or false.");
    }
    let (permalink, reason) = (at.text("permalink"), at.text("reason"));
    (Verdict { published, permalink, reason }, found.all())
}

impl Verdict {
    /// Everything that is wrong with it, besides what its reader has `found` already.
    pub fn judge(&self, shown: Option<Shown<'_>>, mut found: Vec<Finding>) -> Vec<Finding> {
        let own = [self.unsaid(), self.unreasoned(), self.misplaced(shown)];
        for finding in own.into_iter().flatten() {
            // what could not be read is not called missing
            if !found.iter().any(|known| known.field == finding.field) {
                found.push(finding);
            }
        }
        found
    }

    /// The reason, without what surrounds it.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref().map(str::trim)
    }

    fn unsaid(&self) -> Option<Finding> {
        let detail = "Say whether it is public: true or false.";
        self.published.is_none().then(|| Finding::new("published", "required", detail))
    }

    fn unreasoned(&self) -> Option<Finding> {
        match self.reason() {
            None if self.published == Some(false) => {
                let detail = "Say why it counts as not published: what was looked at, and what was seen.";
                Some(Finding::new("reason", "required", detail))
            }
            Some(text) if text.contains('\0') => {
                let detail = "The text has a NUL character (U+0000) in it. Remove it.";
                Some(Finding::new("reason", "nul_character", detail))
            }
            Some(text) if !(1..=REASON_MOST).contains(&text.chars().count()) => {
                let detail = format!("Say why, in 1 to {REASON_MOST} characters.");
                Some(Finding::new("reason", "length", detail))
            }
            Some(_) | None => None,
        }
    }

    fn misplaced(&self, shown: Option<Shown<'_>>) -> Option<Finding> {
        let permalink = self.permalink.as_deref()?;
        match (self.published, shown) {
            (Some(false), _) => {
                let detail = "What is not public has no address. Leave the permalink out.";
                Some(Finding::new("permalink", "permalink_unpublished", detail))
            }
            (Some(true) | None, Some(shown)) => shown.check(permalink).err(),
            (Some(true) | None, None) => {
                let detail = "Its network is not switched on here, so no address of it can be checked. Leave the permalink out.";
                Some(Finding::new("permalink", "network_off", detail))
            }
        }
    }
}

impl App {
    /// Where posts of a network are seen; `None`: it is not switched on.
    pub fn shown(&self, platform: &str) -> Option<Shown<'_>> {
        let platform = self.rules.platforms.iter().find(|it| it.name == platform)?;
        let stands = self.house.stand_ins.iter().find(|(name, _)| *name == platform.name);
        Some(Shown { platform, stand_in: stands.map(|(_, url)| url) })
    }
}

impl Shown<'_> {
    /// Whether no read of the network's proves a publication absent.
    pub fn is_one_shot(&self, place: &Place) -> bool {
        self.platform.surface(&place.surface).is_some_and(|surface| surface.one_shot)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(body: &Value) -> Vec<(String, &'static str)> {
        let (verdict, found) = read(body);
        verdict.judge(None, found).into_iter().map(|it| (it.field, it.code)).collect()
    }

    #[test]
    fn a_word_is_read_and_everything_that_is_wrong_with_it_is_found() {
        let one = |field: &str, code| vec![(field.to_owned(), code)];
        for (body, wrong) in [
            (json!({ "published": true }), vec![]),
            (json!({ "published": true, "reason": "seen it", "permalink": null }), vec![]),
            (json!({ "published": false, "reason": "  looked  " }), vec![]),
            (json!({ "published": false, "reason": "x".repeat(500) }), vec![]),
            (json!({ "published": false, "reason": "x".repeat(501) }), one("reason", "length")),
            (json!({ "published": false, "reason": " " }), one("reason", "length")),
            (json!({ "published": true, "reason": "" }), one("reason", "length")),
            (json!({ "published": false }), one("reason", "required")),
            (json!({ "published": false, "reason": 7 }), one("reason", "type")),
            (json!({ "published": false, "reason": "a\0" }), one("reason", "nul_character")),
            (json!({ "reason": "looked" }), one("published", "required")),
            (json!({ "published": "yes" }), one("published", "type")),
            (json!({ "published": true, "why": "x" }), one("why", "unknown_field")),
            (
                json!({ "published": false, "reason": "x", "permalink": "https://x" }),
                one("permalink", "permalink_unpublished"),
            ),
            (json!({ "published": true, "permalink": "https://x" }), one("permalink", "network_off")),
        ] {
            assert_eq!(found(&body), wrong, "{body}");
        }
        assert_eq!(found(&json!([])), [("body".into(), "type"), ("published".into(), "required")]);
    }
}
