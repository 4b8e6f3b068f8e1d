//! The form of a new post: read field by field, and kept as it was written when it comes back.

use std::collections::BTreeMap;

use jobs::{comment, surface::PostKind};
use uuid::Uuid;

use super::texts::ENGLISH;
use crate::web::{
    finding::Finding,
    problem::Problem,
    wish::{Wish, WishedTarget, WishedTime},
};

/// No field but a file is longer.
pub const LONGEST_FIELD: usize = 262_144;
/// All fields but the files together.
pub const LONGEST_FORM: usize = 1_048_576;
/// More fields than the form has with every account.
pub const MOST_FIELDS: usize = 2_500;

/// What somebody wrote into the form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    pub token: String,
    /// Makes a double click harmless.
    pub key: String,
    /// The same for the buttons that ask for help: it is another on each page that the form comes back with.
    pub asking: String,
    /// The digest of the post as it was when the form was opened, where it has to be approved.
    pub seen: String,
    pub caption: String,
    pub kind: String,
    pub link: String,
    /// `now` or `later`.
    pub when: String,
    pub date: String,
    pub time: String,
    pub zone: String,
    pub fold: String,
    /// One of the times that were offered instead of one that does not exist…
    pub pick: String,
    /// …and the date and time it was offered for.
    pub picked_for: String,
    pub targets: Vec<String>,
    /// Words of an account's own instead of the caption, by account; empty ones ask for none.
    pub words: BTreeMap<String, String>,
    /// By account.
    pub privacy: BTreeMap<String, String>,
    /// First comments, by account.
    pub comments: BTreeMap<String, String>,
    pub media_ids: Vec<String>,
    /// The button that was pressed to move a file: `earlier:` or `later:` and its id.
    pub arrange: String,
    /// What suggestions are to be written in.
    pub language: String,
    /// The files as they came: ids of kept ones, digests of new ones.
    pub came: Vec<String>,
}

/// Which way a file moves among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Towards the first.
    Earlier,
    /// Towards the last.
    Later,
}

impl Way {
    /// Whether this is the way to the first.
    pub fn is_earlier(self) -> bool {
        self == Self::Earlier
    }
}

impl Written {
    /// The file that was moved, and which way.
    pub fn moved(&self) -> Option<(&str, Way)> {
        let (way, id) = self.arrange.split_once(':')?;
        match way {
            "earlier" => Some((id, Way::Earlier)),
            "later" => Some((id, Way::Later)),
            _ => None,
        }
    }

    /// Moves the file whose button was pressed by one place, unless it is at that end already.
    pub fn rearrange(&mut self) {
        let Some((id, way)) = self.moved() else { return };
        let Some(at) = self.media_ids.iter().position(|it| it == id) else { return };
        let to = match way {
            Way::Earlier => at.checked_sub(1),
            Way::Later => Some(at + 1).filter(|to| *to < self.media_ids.len()),
        };
        if let Some(to) = to {
            self.media_ids.swap(at, to);
        }
    }

    /// An empty form.
    pub fn fresh(zone: String) -> Self {
        let key = Uuid::now_v7().to_string();
        Self { key, kind: "post".into(), when: "now".into(), zone, ..Self::default() }
    }

    /// Puts one field in.
    ///
    /// # Errors
    /// 422: the form has no such field.
    pub fn put(&mut self, name: &str, value: String) -> Result<(), Problem> {
        let slot = match name {
            "token" => &mut self.token,
            "key" => &mut self.key,
            "asking" => &mut self.asking,
            "seen" => &mut self.seen,
            // Browsers send line ends as CR LF, which no network counts as two.
            "caption" => {
                self.caption = value.replace("\r\n", "\n");
                return Ok(());
            }
            "kind" => &mut self.kind,
            "link" => &mut self.link,
            "when" => &mut self.when,
            "date" => &mut self.date,
            "time" => &mut self.time,
            "zone" => &mut self.zone,
            "fold" => &mut self.fold,
            "pick" => &mut self.pick,
            "picked_for" => &mut self.picked_for,
            "arrange" => &mut self.arrange,
            "language" => &mut self.language,
            "target" => {
                self.targets.push(value);
                return Ok(());
            }
            "media_id" => {
                self.came.push(value.clone());
                self.media_ids.push(value);
                return Ok(());
            }
            other => return self.put_of_account(other, value),
        };
        *slot = value;
        Ok(())
    }

    /// Puts in a field of one account: its name ends with the account's id.
    fn put_of_account(&mut self, name: &str, value: String) -> Result<(), Problem> {
        let text = value.replace("\r\n", "\n");
        if let Some(account) = name.strip_prefix("words-") {
            self.words.insert(account.to_owned(), text);
        } else if let Some(account) = name.strip_prefix("comment-") {
            self.comments.insert(account.to_owned(), text);
        } else if let Some(account) = name.strip_prefix("privacy-") {
            self.privacy.insert(account.to_owned(), value);
        } else {
            let detail = "The form has no such field.";
            let found = Finding::new(crate::web::text::shown(name), "unknown_field", detail);
            return Err(Problem::invalid(vec![found]));
        }
        Ok(())
    }

    /// The account's own words, if it has any: an empty field asks for the caption.
    pub fn own_words(&self, account: &str) -> Option<&String> {
        self.words.get(account).filter(|words| !words.trim().is_empty())
    }

    /// Date and time as they were written.
    pub fn wall(&self) -> String {
        format!("{}T{}", self.date, self.time)
    }

    /// What it wishes, and what its reader finds: characters that the ledger cannot keep, a time that is not clear.
    pub fn wish(&self) -> (Wish, Vec<Finding>) {
        let mut found = Vec::new();
        let mut text = |field: &str, text: &str| {
            if text.contains('\0') {
                let detail = "The text has a NUL character in it. Remove it.";
                found.push(Finding::new(field, "nul_character", detail));
            }
            text.replace('\0', "")
        };
        let caption = text("caption", &self.caption);
        let link = Some(text("link", self.link.trim())).filter(|link| !link.is_empty());
        for (n, words) in self.targets.iter().enumerate().filter_map(|(n, id)| Some((n, self.own_words(id)?)))
        {
            text(&format!("targets[{n}].caption"), words);
        }
        if self.when != "later" && !(self.date.is_empty() && self.time.is_empty()) {
            // Without a script the fields are in sight whatever is chosen; nothing goes out by mistake.
            found.push(Finding::new("schedule.at", "when_unclear", ENGLISH.when_unclear));
        }
        let kind = PostKind::ALL.iter().copied().find(|kind| kind.word() == self.kind);
        let wish = Wish {
            caption,
            kind: kind.unwrap_or(PostKind::Post),
            media_ids: self.media_ids.clone(),
            link,
            targets: self.targets.iter().map(|id| self.target(id)).collect(),
            schedule: (self.when == "later").then(|| self.time()),
            latest_after: None,
        };
        (wish, found)
    }

    fn target(&self, id: &str) -> WishedTarget {
        let level = self.privacy.get(id).filter(|level| !level.is_empty());
        let level = level.map(|level| ("privacy_level".to_owned(), level.clone()));
        // an empty field asks for none
        let words = self.comments.get(id).filter(|words| !words.trim().is_empty());
        let words = words.map(|words| (comment::OPTION.to_owned(), words.replace('\0', "")));
        let options = level.into_iter().chain(words).collect();
        let caption = self.own_words(id).map(|words| words.replace('\0', ""));
        WishedTarget { account_id: id.to_owned(), caption, options, stands: false }
    }

    fn time(&self) -> WishedTime {
        let offered = !self.pick.is_empty() && self.picked_for == self.wall();
        let optional = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        WishedTime {
            at: Some(if offered { self.pick.clone() } else { self.wall() }),
            time_zone: optional(&self.zone),
            fold: optional(&self.fold),
        }
    }

    /// What two sendings of the same form have in common, whatever boundary the browser chose and whatever id a
    /// file got that came with it.
    pub fn content(&self) -> Vec<u8> {
        let (token, key, arrange) = (String::new(), String::new(), String::new());
        // what suggestions were asked for in, and from which page, is no part of the post
        let (language, asking) = (String::new(), String::new());
        let same = Self { token, key, asking, arrange, language, media_ids: Vec::new(), ..self.clone() };
        format!("{same:?}").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &[(&str, &str)]) -> Written {
        let mut written = Written::default();
        for (name, value) in fields {
            written.put(name, (*value).to_owned()).expect("a field");
        }
        written
    }

    #[test]
    fn a_form_is_read_field_by_field() {
        let form = written(&[
            ("caption", "a\r\nb"),
            ("kind", "reel"),
            ("target", "x"),
            ("target", "y"),
            ("privacy-y", "SELF_ONLY"),
            ("privacy-x", ""),
            ("when", "later"),
            ("date", "2026-12-01"),
            ("time", "09:30"),
            ("zone", "Asia/Jerusalem"),
            ("link", " "),
        ]);
        let (wish, found) = form.wish();
        assert_eq!(found, []);
        assert_eq!((wish.caption.as_str(), wish.kind, wish.link), ("a\nb", PostKind::Reel, None));
        assert!(wish.targets[0].options.is_empty());
        assert_eq!(wish.targets[1].options["privacy_level"], "SELF_ONLY");
        let time = wish.schedule.expect("a time");
        assert_eq!((time.at.as_deref(), time.fold), (Some("2026-12-01T09:30"), None));
    }

    #[test]
    fn an_accounts_own_words_take_the_captions_place_and_an_empty_field_does_not() {
        let form = written(&[
            ("caption", "for all"),
            ("target", "x"),
            ("target", "y"),
            ("target", "z"),
            ("words-x", "here\r\nonly"),
            ("words-y", " \r\n"),
            ("words-z", "a\0b"),
        ]);
        let (wish, found) = form.wish();
        let own: Vec<_> = wish.targets.iter().map(|target| target.caption.as_deref()).collect();
        assert_eq!(own, [Some("here\nonly"), None, Some("ab")]);
        assert_eq!(wish.caption_of(&wish.targets[1]), "for all");
        let found: Vec<_> = found.iter().map(|it| (it.field.as_str(), it.code)).collect();
        assert_eq!(found, [("targets[2].caption", "nul_character")]);
        let other = written(&[("words-x", "here"), ("target", "x"), ("caption", "for all")]);
        assert_ne!(
            other.content(),
            written(&[("words-x", "there"), ("target", "x"), ("caption", "for all")]).content(),
            "they are part of what is sent"
        );
    }

    #[test]
    fn an_offered_time_counts_only_for_the_time_it_was_offered_for() {
        let at = |date: &str| {
            let form = written(&[
                ("when", "later"),
                ("date", date),
                ("time", "02:30"),
                ("pick", "2027-03-26T03:00"),
                ("picked_for", "2027-03-26T02:30"),
            ]);
            form.wish().0.schedule.and_then(|time| time.at)
        };
        assert_eq!(at("2027-03-26").as_deref(), Some("2027-03-26T03:00"));
        assert_eq!(at("2027-03-27").as_deref(), Some("2027-03-27T02:30"));
    }

    #[test]
    fn now_with_a_time_is_asked_about_and_not_sent() {
        let (_, found) = written(&[("when", "now"), ("date", "2026-12-01"), ("time", "09:30")]).wish();
        assert_eq!(found[0].code, "when_unclear");
        assert_eq!(written(&[("when", "now"), ("date", ""), ("time", "")]).wish().1, []);
    }

    #[test]
    fn a_field_that_the_form_does_not_have_is_refused() {
        assert!(Written::default().put("admin", "1".into()).is_err());
    }

    #[test]
    fn a_file_moves_by_one_place_and_no_further_than_the_ends() {
        let order = |arrange: &str| {
            let mut form =
                written(&[("media_id", "a"), ("media_id", "b"), ("media_id", "c"), ("arrange", arrange)]);
            form.rearrange();
            form.media_ids.concat()
        };
        assert_eq!(order("earlier:c"), "acb");
        assert_eq!(order("later:a"), "bac");
        for nowhere in ["earlier:a", "later:c", "later:x", "sideways:b", ""] {
            assert_eq!(order(nowhere), "abc", "{nowhere}");
        }
    }

    #[test]
    fn two_sendings_of_a_form_are_the_same_content() {
        let one = written(&[("caption", "a"), ("token", "1"), ("key", "k")]);
        let two = written(&[("caption", "a"), ("token", "2"), ("key", "k"), ("asking", "3")]);
        assert_eq!(one.content(), two.content());
        assert_ne!(one.content(), written(&[("caption", "b")]).content());
    }
}
