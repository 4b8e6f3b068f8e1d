//! The parameters that a workspace adds to the links of its posts, such as `utm_source={platform}`.
//!
//! They are added when a post is accepted, for each account that shows the link, and kept with it: what was approved
//! is what is sent. Only the link of a post gets them; words are published as they were written, addresses in them
//! included, for a caption is what people proofread, and one network counts each letter of it.

use chrono::{DateTime, NaiveDate, Utc};
use jobs::{preflight::Who, surface::Platform};
use url::{Url, form_urlencoded};
use uuid::Uuid;

use super::{finding::Finding, links, text};
use crate::ledger::{
    accept::{Facts, NewPost, Written},
    posts::{Post, Publication},
};

/// The longest template.
const LONGEST: usize = 1_000;
/// What is accepted, for people.
const ACCEPTED: &str = "accepted is name=value&name=value, each name once, with {platform}, {surface}, {account}, \
                        {post_id} and {date} in the values";

/// Parameters with places for what a link is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pairs: Vec<(String, Vec<Part>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Hole),
}

/// What can stand in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    Platform,
    Surface,
    Account,
    PostId,
    Date,
}

impl Hole {
    const ALL: &'static [(&'static str, Self)] = &[
        ("platform", Self::Platform),
        ("surface", Self::Surface),
        ("account", Self::Account),
        ("post_id", Self::PostId),
        ("date", Self::Date),
    ];

    fn of(self, it: &About<'_>) -> String {
        match self {
            Self::Platform => it.network.to_lowercase(),
            Self::Surface => it.surface.to_owned(),
            Self::Account => it.account.to_owned(),
            // a check makes no post, and says so in the id's place
            Self::PostId => it.post_id.map_or_else(|| "post_id".to_owned(), |id| id.to_string()),
            Self::Date => it.day.format("%Y-%m-%d").to_string(),
        }
    }
}

/// What a link is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// What people call the network; in a link in small letters.
    pub network: &'a str,
    /// `link`.
    pub surface: &'a str,
    /// What people call the account.
    pub account: &'a str,
    /// The post, if there is one.
    pub post_id: Option<Uuid>,
    /// The day on which it goes out, where it was written for.
    pub day: NaiveDate,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What was found, and what is accepted.
    pub fn parse(written: &str) -> Result<Self, String> {
        let wrong = |found: &str| format!("{found}; {ACCEPTED}");
        if written.len() > LONGEST {
            return Err(wrong(&format!("found {} bytes, {LONGEST} are taken", written.len())));
        }
        let mut pairs: Vec<(String, Vec<Part>)> = Vec::new();
        for pair in written.split('&') {
            let shown = text::shown(pair);
            let split = pair.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty());
            let (name, value) = split.ok_or_else(|| wrong(&format!("found “{shown}”")))?;
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
                return Err(wrong(&format!("found the name “{}”", text::shown(name))));
            }
            if pairs.iter().any(|(other, _)| other == name) {
                return Err(wrong(&format!("found “{name}” twice")));
            }
            pairs.push((name.to_owned(), parts(value).map_err(|found| wrong(&found))?));
        }
        Ok(Self { pairs })
    }

    /// The link with the parameters that it does not have yet. What is not ASCII is percent-encoded; a fragment stays
    /// at the end. What is no address stays as it is.
    pub fn apply(&self, link: &str, about: &About<'_>) -> String {
        let Ok(mut url) = Url::parse(link) else { return link.to_owned() };
        let before = url.query().unwrap_or_default().to_owned();
        let has = |name: &str| form_urlencoded::parse(before.as_bytes()).any(|(other, _)| other == name);
        let mut added = form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.pairs.iter().filter(|(name, _)| !has(name)) {
            added.append_pair(name, &value.iter().map(|part| part.of(about)).collect::<String>());
        }
        let added = added.finish();
        if added.is_empty() {
            return link.to_owned();
        }
        let between = if before.is_empty() || before.ends_with('&') { "" } else { "&" };
        url.set_query(Some(&format!("{before}{between}{added}")));
        url.into()
    }
}

impl Part {
    fn of(&self, about: &About<'_>) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Hole(hole) => hole.of(about),
        }
    }
}

fn parts(value: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| format!("found “{{{}” without an end", text::shown(after)))?;
        let hole = Hole::ALL.iter().find(|(word, _)| *word == name);
        let (_, hole) = hole.ok_or_else(|| format!("found {{{}}}", text::shown(name)))?;
        parts.extend(plain(before)?);
        parts.push(Part::Hole(*hole));
        rest = after;
    }
    parts.extend(plain(rest)?);
    Ok(parts)
}

/// Letters that stand for themselves; they are encoded when they are put into a link.
fn plain(letters: &str) -> Result<Option<Part>, String> {
    let strange = letters.chars().find(|c| c.is_control() || c.is_whitespace() || "}%+#=?".contains(*c));
    match strange {
        Some(strange) => {
            let shown = text::shown(&strange.to_string());
            Err(format!(
                "found “{shown}” in a value, where letters stand for themselves and blanks for nothing"
            ))
        }
        None if letters.is_empty() => Ok(None),
        None => Ok(Some(Part::Text(letters.to_owned()))),
    }
}

/// The links of one post.
#[derive(Clone, Copy)]
pub struct Links<'a> {
    /// What is true of its accounts and its workspace.
    pub facts: &'a Facts,
    /// The networks.
    pub platforms: &'a [&'static Platform],
    /// The link as it was written.
    pub link: &'a str,
    /// The day on which it goes out.
    pub day: NaiveDate,
}

impl Links<'_> {
    /// The link as the followers of this account get it; `None`: as it was written.
    ///
    /// # Errors
    /// The template cannot be read, or the link grows too long by it.
    pub fn on(&self, account_id: Uuid, surface: &str) -> Result<Option<String>, Finding> {
        let Some(written) = &self.facts.link_template else { return Ok(None) };
        let template = Template::parse(written).map_err(|found| {
            let detail = format!("The link parameters of the workspace cannot be used: {found}.");
            Finding::new("link", "link_template", detail).for_whom(Who::Operator)
        })?;
        let account = self.facts.accounts.iter().find(|account| account.id == account_id);
        let Some(account) = account else { return Ok(None) };
        let network = self.platforms.iter().find(|platform| platform.name == account.platform);
        let about = About {
            network: network.map_or(account.platform.as_str(), |platform| platform.title),
            surface,
            account: &account.name,
            post_id: self.facts.post_id,
            day: self.day,
        };
        let link = template.apply(self.link, &about);
        links::check(&link).map_err(|found| {
            let detail = format!("With the parameters that the workspace adds: {}", found.detail);
            Finding { detail, ..found }
        })?;
        Ok(Some(link).filter(|link| link != self.link))
    }
}

/// The day of a time where it was written for.
pub fn day(written: Option<&Written>, instant: DateTime<Utc>) -> NaiveDate {
    written.map_or(instant.date_naive(), |written| written.wall_time.date())
}

/// Gives a post that was changed its links: anew where the change is about what they are made of; else they stay as
/// they were accepted, whatever has become of the workspace's parameters and of the account's name since.
///
/// # Errors
/// One of them cannot be used.
pub fn renew(
    new: &mut NewPost,
    post: &Post,
    was_day: NaiveDate,
    facts: &Facts,
    platforms: &[&'static Platform],
) -> Result<(), Vec<Finding>> {
    let Some(link) = new.link.clone() else { return Ok(()) };
    let day = day(new.written.as_ref(), new.scheduled_for);
    let links = Links { facts, platforms, link: &link, day };
    let before = Links { day: was_day, ..links };
    for target in &mut new.targets {
        let made = |links: &Links<'_>| links.on(target.account_id, target.surface);
        let same = |it: &&Publication| {
            it.parent_id.is_none()
                && it.account_id == target.account_id
                && it.surface == target.surface
                && post.link.as_ref() == Some(&link)
                // another day is another link only where the day is in it
                && (day == was_day || made(&links) == made(&before))
        };
        let kept = post.publications.iter().find(same).map(|it| it.link.clone());
        target.link = match kept {
            Some(link) => link,
            None => made(&links).map_err(|finding| vec![finding])?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn about() -> About<'static> {
        About {
            network: "Facebook",
            surface: "link",
            account: "Bäckerei & Söhne",
            post_id: Uuid::try_parse("0193a5b2-7c1e-7d3f-9a4b-5c6d7e8f9a0b").ok(),
            day: NaiveDate::from_ymd_opt(2026, 12, 1).expect("a day"),
        }
    }

    fn applied(template: &str, link: &str) -> String {
        Template::parse(template).expect("a template").apply(link, &about())
    }

    #[test]
    fn a_link_gets_what_it_lacks_and_keeps_what_it_has() {
        let template = "utm_source={platform}&utm_medium=social&utm_campaign={date}";
        let all = "utm_source=facebook&utm_medium=social&utm_campaign=2026-12-01";
        assert_eq!(applied(template, "https://example.org/a"), format!("https://example.org/a?{all}"));
        assert_eq!(applied(template, "https://example.org/a?"), format!("https://example.org/a?{all}"));
        assert_eq!(
            applied(template, "https://example.org/a?x=1&utm_source=mine#part"),
            "https://example.org/a?x=1&utm_source=mine&utm_medium=social&utm_campaign=2026-12-01#part"
        );
        assert_eq!(
            applied(template, "https://example.org/?utm%5Fsource=a&utm_medium&utm_campaign="),
            "https://example.org/?utm%5Fsource=a&utm_medium&utm_campaign=",
            "however it is written, it is there"
        );
    }

    #[test]
    fn what_is_not_ascii_is_percent_encoded() {
        assert_eq!(
            applied("utm_content={account}&k=ü", "https://example.org/straße#ende"),
            "https://example.org/stra%C3%9Fe?utm_content=B%C3%A4ckerei+%26+S%C3%B6hne&k=%C3%BC#ende"
        );
        let id = "0193a5b2-7c1e-7d3f-9a4b-5c6d7e8f9a0b";
        assert_eq!(applied("i={surface}-{post_id}", "https://a.org"), format!("https://a.org/?i=link-{id}"));
    }

    #[test]
    fn a_template_that_cannot_be_used_is_refused_with_what_was_found() {
        for (template, found) in [
            ("", "found “”"),
            ("utm_source", "found “utm_source”"),
            ("=x", "found “=x”"),
            ("utm_source=", "found “utm_source=”"),
            ("?utm_source=x", "found the name “?utm_source”"),
            ("a=1&&b=2", "found “”"),
            ("a=1&a=2", "found “a” twice"),
            ("utm_campaign={campaign}", "found {campaign}"),
            ("a={platform", "found “{platform” without an end"),
            ("a=platform}", "found “}”"),
            ("a=b c", "found “ ”"),
            ("a=b%20c", "found “%”"),
            ("a=b#c", "found “#”"),
            ("a=\u{7}", "found “ ”"),
        ] {
            let refused = Template::parse(template).expect_err(template);
            assert!(refused.starts_with(found), "{template}: {refused}");
            assert!(refused.contains("{post_id}") && refused.contains("accepted is"), "{refused}");
        }
        let long = format!("a={}", "x".repeat(LONGEST));
        assert!(Template::parse(&long).is_err_and(|refused| refused.starts_with("found 1002 bytes")));
    }

    fn link() -> impl Strategy<Value = String> {
        let pair = "[a-zäא_]{1,8}(=[a-z0-9%äא+.]{0,6})?";
        let query = prop::collection::vec(pair, 0..4).prop_map(|pairs| pairs.join("&"));
        (
            "[a-z]{1,8}\\.org",
            "(/[a-zäא0-9.-]{0,6}){0,3}",
            prop::option::of(query),
            prop::option::of("[a-zä/?=&]{0,8}"),
        )
            .prop_map(|(host, path, query, fragment)| {
                let query = query.map(|query| format!("?{query}")).unwrap_or_default();
                let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
                format!("https://{host}{path}{query}{fragment}")
            })
    }

    fn template() -> impl Strategy<Value = String> {
        let value = prop_oneof!["[a-zäא.]{1,6}", Just("{account}".to_owned()), Just("x{date}y".to_owned())];
        prop::collection::btree_map("[a-z_]{1,6}", value, 1..4).prop_map(|pairs| {
            pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
        })
    }

    proptest! {
        #[test]
        fn a_link_keeps_all_that_it_was(link in link(), template in template()) {
            let before = Url::parse(&link).expect("an address");
            let after = applied(&template, &link);
            prop_assert!(after.is_ascii() || after == link, "{after}");
            let url = Url::parse(&after).expect("still an address");
            let pairs = |url: &Url| url.query_pairs().into_owned().collect::<Vec<_>>();
            prop_assert_eq!((url.scheme(), url.host(), url.path()), (before.scheme(), before.host(), before.path()));
            prop_assert_eq!(url.fragment(), before.fragment());
            let (old, new) = (pairs(&before), pairs(&url));
            prop_assert!(new.starts_with(&old), "{old:?} {new:?}");
            for (name, _) in &new[old.len()..] {
                prop_assert_eq!(new.iter().filter(|(other, _)| other == name).count(), 1);
            }
        }

        #[test]
        fn what_was_added_once_is_not_added_again(link in link(), template in template()) {
            let once = applied(&template, &link);
            prop_assert_eq!(applied(&template, &once), once);
        }

        #[test]
        fn every_parameter_of_the_template_is_there(link in link(), template in template()) {
            let url = Url::parse(&applied(&template, &link)).expect("an address");
            for (name, _) in form_urlencoded::parse(template.as_bytes()) {
                prop_assert!(url.query_pairs().any(|(other, _)| other == name), "{url} has no {name}");
            }
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,40}", link in ".{0,40}") {
            if let Ok(template) = Template::parse(&text) {
                template.apply(&link, &about());
            }
        }
    }
}
