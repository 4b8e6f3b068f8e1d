//! The first comment under a post, which the account itself writes: a publication of its own, after the post.
//!
//! A comment has no draft and nothing that a network would tell it again by, so sending it is all there is. What is
//! found under the post proves that it is there; that it is not found proves nothing.

use crate::surface::{CaptionLimit, Finding, Marks, Surface, TakeDown, Takes, too_many};

/// What a comment goes out on: no post is ever placed on it.
pub const SURFACE: Surface = Surface {
    name: "comment",
    kinds: &[],
    takes: Takes::Words,
    one_shot: true,
    take_down: TakeDown::ByHand {
        how: "Whoever manages the account deletes a comment where it stands, under the post.",
    },
};
/// The option of a target that asks for one.
pub const OPTION: &str = "first_comment";
/// Under what the network calls its post a comment stands: a member of its content's options.
pub const UNDER: &str = "under";
/// That option, as findings name it.
pub const FIELD: &str = "options.first_comment";

/// What a network takes as a comment.
#[derive(Debug, Clone, Copy)]
pub struct Comments {
    /// The surfaces that it may stand under.
    pub under: &'static [&'static str],
    /// The longest.
    pub length: CaptionLimit,
    /// The most hashtags.
    pub hashtags: Option<usize>,
    /// The most mentions.
    pub mentions: Option<usize>,
}

impl Comments {
    /// What the network would refuse about these words.
    pub fn findings(&self, words: &str, title: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |code, detail| findings.push(Finding::new(FIELD, code, detail));
        if words.trim().is_empty() {
            let detail = "The first comment says nothing: write something, or leave it out.";
            find("empty_comment", detail.to_owned());
        }
        let (length, most) = (self.length.length(words), self.length.most);
        if length > most {
            let detail = format!(
                "The first comment has {length} characters; {title} takes at most {most}. Shorten it."
            );
            find("comment_too_long", detail);
        }
        for Marks { found, most, what, code } in too_many(words, self.hashtags, self.mentions) {
            find(code, format!("The first comment has {found} {what}; {title} takes at most {most}."));
        }
        findings
    }

    /// What stands in the way of one under this surface.
    pub fn under(&self, surface: &str, title: &str) -> Option<Finding> {
        (!self.under.contains(&surface)).then(|| {
            let detail = format!("{title} takes a first comment under {} only.", self.under.join(", "));
            Finding::new(FIELD, "first_comment_unsupported", detail).accepting(self.under.iter().copied())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::CaptionUnit;

    const COMMENTS: Comments = Comments {
        under: &["photo"],
        length: CaptionLimit { most: 10, unit: CaptionUnit::Characters },
        hashtags: Some(1),
        mentions: Some(1),
    };

    #[test]
    fn a_comment_is_measured_as_its_network_measures() {
        let codes = |words| COMMENTS.findings(words, "Test").iter().map(|it| it.code).collect::<Vec<_>>();
        assert_eq!(codes("🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐"), [""; 0]);
        assert_eq!(codes("12345678901"), ["comment_too_long"]);
        assert_eq!(codes("#a @b # @"), [""; 0]);
        assert_eq!(codes("#a #b"), ["too_many_hashtags"]);
        assert_eq!(codes("@a @b"), ["too_many_mentions"]);
        assert_eq!(codes(" \n"), ["empty_comment"]);
    }

    #[test]
    fn a_comment_stands_under_what_takes_one() {
        assert_eq!(COMMENTS.under("photo", "Test"), None);
        let found = COMMENTS.under("story", "Test").expect("found");
        assert_eq!((found.field, found.accepted), (FIELD, vec!["photo".to_owned()]));
    }
}
