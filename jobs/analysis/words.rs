//! Whose words may leave. What a person of the workspace wrote for this purpose is [`Authored`]; what came from a network
//! is [`FromNetwork`], and there is no way from the one to the other. Only [`Anonymous`] words are sent, and they are
//! made of authored ones alone. Held back are web and mail addresses, what has an @ in it, numbers of seven digits or more
//! that are no date, and the names of the workspace's accounts and people where they stand as they are known here, first and
//! last name together.
//!
//! What names a person in other words (“Dana said”, a street, a short number) no program finds: who writes a brief is told
//! to leave it out, and so is the model.

use std::{fmt, ops::Range};

use super::Policy;

/// Words that somebody of the workspace wrote for this purpose: a brief, a profile of the brand.
///
/// Whoever makes one vouches for it. It is done in one place, where the row of what was typed is read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Authored(String);

impl Authored {
    /// Takes words that were typed by a person for this purpose.
    pub fn by_a_person(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Takes words that are spoken in a film which somebody of the workspace has uploaded.
    pub fn spoken_in_own_film(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Authored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authored({} bytes)", self.0.len())
    }
}

/// Something that came from a network: a name, an id, a number it has counted. It can be looked for in a text, so that the
/// text does not leave with it; it cannot be read out, shown, or made into words that leave.
///
/// What a person wrote goes through:
/// ```
/// use jobs::analysis::words::{Anonymous, Authored};
/// let brief = Authored::by_a_person("Opening day");
/// assert!(Anonymous::of(&[("brief", &brief)], &[], &[]).is_ok());
/// ```
/// What came from a network does not compile there,
/// ```compile_fail,E0308
/// use jobs::analysis::words::{Anonymous, FromNetwork};
/// let reach = FromNetwork::new("12,345 people".to_owned());
/// assert!(Anonymous::of(&[("brief", &reach)], &[], &[]).is_ok());
/// ```
/// nor is it made into what somebody wrote.
/// ```compile_fail,E0277
/// use jobs::analysis::words::{Authored, FromNetwork};
/// let reach = FromNetwork::new("12,345 people".to_owned());
/// let brief = Authored::by_a_person(reach);
/// ```
#[derive(Clone)]
pub struct FromNetwork<T>(T);

impl<T> FromNetwork<T> {
    /// Marks something as a network's.
    pub const fn new(it: T) -> Self {
        Self(it)
    }
}

impl<T> FromNetwork<T> {
    /// It, where the workspace says itself that such things may leave. There is no other way out.
    pub(crate) fn let_out(&self, policy: &Policy) -> Option<&T> {
        policy.numbers.then_some(&self.0)
    }
}

impl FromNetwork<String> {
    /// Shorter ones stand in any text by chance.
    const LEAST: usize = 4;

    /// Where it stands in a text, whatever its case.
    fn within(&self, text: &str) -> Option<Range<usize>> {
        let name: Vec<char> = self.0.trim().to_lowercase().chars().collect();
        if name.len() < Self::LEAST {
            return None;
        }
        let ends = |start: usize| {
            let mut left = name.as_slice();
            for (at, letter) in text[start..].char_indices() {
                for small in letter.to_lowercase() {
                    left = left.strip_prefix(&[small])?;
                }
                if left.is_empty() {
                    return Some(start..start + at + letter.len_utf8());
                }
            }
            None
        };
        text.char_indices().find_map(|(start, _)| ends(start))
    }
}

impl<T> fmt::Debug for FromNetwork<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromNetwork(…)")
    }
}

/// Words that may leave: what somebody wrote, with a stand-in for everything in it that may point to a person or came from
/// a network. What the stand-ins stand for stays here, and is put back into what is answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Anonymous {
    texts: Vec<(&'static str, String)>,
    held: Vec<(String, String)>,
}

impl fmt::Debug for Anonymous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Anonymous({} texts, {} held back)", self.texts.len(), self.held.len())
    }
}

/// Words that must not leave: there is a network's id in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {0} has a network's id of an account or a post in it")]
pub struct PlatformData(pub &'static str);

/// A stand-in in an answer that stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

impl Anonymous {
    /// Holds back what points to somebody, in texts each under its name.
    ///
    /// # Errors
    /// One of them has one of these ids in it.
    pub fn of(
        texts: &[(&'static str, &Authored)],
        names: &[FromNetwork<String>],
        ids: &[FromNetwork<String>],
    ) -> Result<Self, PlatformData> {
        let mut it = Self { texts: Vec::new(), held: Vec::new() };
        for &(field, text) in texts {
            if ids.iter().any(|id| id.within(&text.0).is_some()) {
                return Err(PlatformData(field));
            }
            let text = it.without_names(&text.0, names);
            let text = it.without_pointers(&text);
            it.texts.push((field, text));
        }
        Ok(it)
    }

    /// The text of that name; empty where there is none.
    pub fn text(&self, field: &str) -> &str {
        self.all(field).next().unwrap_or_default()
    }

    /// The texts of that name, in their order.
    pub fn all(&self, field: &str) -> impl Iterator<Item = &str> {
        self.texts.iter().filter(move |(name, _)| *name == field).map(|(_, text)| text.as_str())
    }

    /// How much was held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// An answer with what was held back in its places.
    ///
    /// # Errors
    /// It has a stand-in that stands for nothing.
    pub fn put_back(&self, text: &str) -> Result<String, Unknown> {
        let (mut whole, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((before, after)) = rest.split_once(OPEN) {
            let (name, behind) = after.split_once(CLOSE).ok_or(Unknown)?;
            let found = self.held.iter().find(|(held, _)| held == name.trim()).ok_or(Unknown)?;
            whole.push_str(before);
            whole.push_str(&found.1);
            rest = behind;
        }
        if rest.contains(CLOSE) {
            return Err(Unknown);
        }
        whole.push_str(rest);
        Ok(whole)
    }

    /// The stand-in of something; the same has the same.
    fn hold(&mut self, kind: &str, original: &str) -> String {
        if let Some((name, _)) = self.held.iter().find(|(_, held)| held == original) {
            return format!("{OPEN}{name}{CLOSE}");
        }
        let name = format!("{kind}_{}", self.held.len() + 1);
        self.held.push((name.clone(), original.to_owned()));
        format!("{OPEN}{name}{CLOSE}")
    }

    fn without_names(&mut self, text: &str, names: &[FromNetwork<String>]) -> String {
        let mut pieces = vec![(false, text.replace(OPEN, "{ {").replace(CLOSE, "} }"))];
        for name in names {
            let mut cut = Vec::new();
            for (stand_in, piece) in pieces {
                if stand_in { cut.push((true, piece)) } else { self.without_name(&piece, name, &mut cut) }
            }
            pieces = cut;
        }
        pieces.into_iter().map(|(_, piece)| piece).collect()
    }

    /// The pieces of a text around a name, with a stand-in wherever it stood; true marks those.
    fn without_name(&mut self, text: &str, name: &FromNetwork<String>, pieces: &mut Vec<(bool, String)>) {
        let mut rest = text;
        while let Some(found) = name.within(rest) {
            pieces.push((false, rest[..found.start].to_owned()));
            pieces.push((true, self.hold("name", &rest[found.clone()])));
            rest = &rest[found.end..];
        }
        pieces.push((false, rest.to_owned()));
    }

    /// Goes through the words, keeping the spaces between them.
    fn without_pointers(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut words = text.split_inclusive(char::is_whitespace).peekable();
        while let Some(word) = words.next() {
            let (mut run, mut last) = (word.to_owned(), word);
            // a telephone number may have spaces in it
            while is_part_of_number(last.trim_end())
                && let Some(next) = words.next_if(|next| is_part_of_number(without_mark(next)))
            {
                run.push_str(next);
                last = next;
            }
            out.push_str(&self.without_pointer(&run));
        }
        out
    }

    fn without_pointer(&mut self, run: &str) -> String {
        let bare = run.trim_end();
        let core = bare.trim_start_matches(BEFORE).trim_end_matches(AFTER);
        // a name may be a part of an address or stand beside a number: it is judged, and held back, as it was written
        let whole = self.put_back(core).unwrap_or_else(|Unknown| core.to_owned());
        let Some(kind) = points_to(&whole).filter(|_| !is_stand_in(core)) else { return run.to_owned() };
        let stand_in = self.hold(kind, &whole);
        run.replacen(core, &stand_in, 1)
    }
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";
/// What may stand around a word without being of it.
const BEFORE: &[char] = &['(', '[', '"', '\'', '“', '„', '«', '‘', '<', ',', ';', ':'];
const AFTER: &[char] = &[')', ']', '"', '\'', '”', '»', '’', '>', ',', ';', ':', '.', '!', '?', '…'];

/// So many digits are no price and no year any more.
const DIGITS: usize = 7;

/// Whether there is anything in a text that points somewhere.
pub(super) fn points_anywhere(text: &str) -> bool {
    let mut it = Anonymous { texts: Vec::new(), held: Vec::new() };
    it.without_pointers(text);
    it.held() > 0
}

/// What kind of pointer a word is, if it is one.
fn points_to(word: &str) -> Option<&'static str> {
    let lower = word.to_lowercase();
    if lower.contains("://") || lower.starts_with("www.") || (!lower.contains('@') && is_host(&lower)) {
        return Some("link");
    }
    if let Some((before, after)) = word.split_once('@') {
        if !before.is_empty() && after.contains('.') {
            return Some("address");
        }
        if !after.is_empty() {
            return Some("account");
        }
    }
    // those of Arabic and of Hindi are digits as well
    let digits = word.chars().filter(|c| c.is_numeric()).count();
    (digits >= DIGITS && !is_date(word)).then_some("number")
}

/// Whether it is a stand-in, and nothing besides.
fn is_stand_in(word: &str) -> bool {
    let within = word.strip_prefix(OPEN).and_then(|word| word.strip_suffix(CLOSE));
    within.is_some_and(|name| !name.contains(CLOSE))
}

/// Whether it reads like `bakery.co.il` or `bakery.example/menu`.
fn is_host(word: &str) -> bool {
    let host = word.split(['/', '?', '#']).next().unwrap_or_default();
    let labels: Vec<&str> = host.split('.').collect();
    let named = |label: &&str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let last = labels.last().copied().unwrap_or_default();
    labels.len() >= 2
        && labels.iter().all(named)
        && last.len() >= 2
        && last.chars().all(|c| c.is_ascii_alphabetic())
}

/// A word without the space behind it, and what ends a sentence.
fn without_mark(word: &str) -> &str {
    word.trim_end().trim_end_matches(AFTER)
}

/// Whether it is digits with what stands between those of a telephone number.
fn is_part_of_number(word: &str) -> bool {
    word.chars().any(char::is_numeric) && word.chars().all(|c| c.is_numeric() || "+-()./".contains(c))
}

/// Whether it reads like 1.12.2026 or 2026-12-01.
fn is_date(word: &str) -> bool {
    let parts: Vec<usize> = word
        .split(['.', '/', '-'])
        .map(|part| if part.chars().all(|c| c.is_ascii_digit()) { part.len() } else { 0 })
        .collect();
    matches!(parts[..], [1 | 2, 1 | 2, 4] | [4, 1 | 2, 1 | 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{figures::Figure, money::Micros};

    /// Does not compile where a type has one of these ways out of it.
    macro_rules! no_way_out {
        ($of:ty: $($way:path),+ $(,)?) => {
            $(const _: fn() = || {
                trait Ambiguous<Of> {
                    fn there() {}
                }
                enum Way {}
                impl<T: ?Sized> Ambiguous<()> for T {}
                impl<T: ?Sized + $way> Ambiguous<Way> for T {}
                let _ = <$of as Ambiguous<_>>::there;
            };)+
        };
    }

    no_way_out!(
        FromNetwork<String>:
        fmt::Display, AsRef<str>, std::ops::Deref, Into<String>, Into<Authored>, Into<Anonymous>, serde::Serialize,
        std::borrow::Borrow<str>, std::borrow::Borrow<Authored>,
    );

    no_way_out!(
        FromNetwork<Vec<Figure>>:
        fmt::Display, AsRef<[Figure]>, std::ops::Deref, IntoIterator, Into<Vec<Figure>>, Into<Authored>, Into<Anonymous>,
        serde::Serialize, std::borrow::Borrow<[Figure]>,
    );

    fn of(text: &str) -> Anonymous {
        Anonymous::of(&[("brief", &Authored::by_a_person(text))], &[], &[]).expect("nothing is refused")
    }

    fn sent(text: &str) -> String {
        of(text).text("brief").to_owned()
    }

    #[test]
    fn what_points_to_somebody_is_held_back() {
        assert_eq!(sent("Write to dana@bakery.example, soon!"), "Write to {{address_1}}, soon!");
        assert_eq!(sent("Call 03-123 45 67 or +972-52-1234567."), "Call {{number_1}} or {{number_2}}.");
        assert_eq!(sent("See https://x.example/a?b=1 (or www.x.example)"), "See {{link_1}} (or {{link_2}})");
        assert_eq!(sent("bakery.co.il/menu"), "{{link_1}}");
        assert_eq!(sent("Thanks @dana_l!"), "Thanks {{account_1}}!");
        assert_eq!(sent("Call 03 123 45 67, or come"), "Call {{number_1}}, or come");
        assert!(points_anywhere("Call 03 123 45 67.") && !points_anywhere("from 5 to 7, {{number_1}}."));
        assert_eq!(sent("התקשרו ל 0521234567 עכשיו"), "התקשרו ל {{number_1}} עכשיו");
        assert_eq!(sent("اتصل ٠٥٢ ١٢٣ ٤٥٦٧ الآن"), "اتصل {{number_1}} الآن");
    }

    #[test]
    fn a_name_is_no_shelter_for_what_stands_beside_it() {
        let names = ["corner_bakery", "Corner Bakery"].map(|name| FromNetwork::new(name.to_owned()));
        for (text, left, held) in [
            ("Corner Bakery:0521234567", "{{number_2}}", "Corner Bakery:0521234567"),
            ("see @corner_bakery!", "see {{account_2}}!", "@corner_bakery"),
            ("corner_bakery@mail.example", "{{address_2}}", "corner_bakery@mail.example"),
            ("(https://x.example/corner_bakery)", "({{link_2}})", "https://x.example/corner_bakery"),
            ("corner_bakery, opens", "{{name_1}}, opens", "corner_bakery, opens"),
        ] {
            let brief = Authored::by_a_person(text);
            let it = Anonymous::of(&[("brief", &brief)], &names, &[]).expect("names are held back");
            assert_eq!(it.text("brief"), left);
            assert_eq!(it.put_back(left), Ok(text.to_owned()), "{held}");
        }
    }

    #[test]
    fn prices_dates_and_the_end_of_a_sentence_stay() {
        for text in [
            "50% off: 19.90 ₪",
            "1.12.2026, 2026-12-01 at 9:30",
            "Open a.m. only... come",
            "5 for 1,200",
            "\n two\n\nlines  ",
        ] {
            assert_eq!(sent(text), text);
        }
    }

    #[test]
    fn what_is_said_to_go_along_does_and_what_is_said_to_stay_stays() {
        let names = ["Corner Bakery", "Dana Levi"].map(|name| FromNetwork::new(name.to_owned()));
        for (text, left) in [
            ("123456 or *2700", "123456 or *2700"),
            ("1234567", "{{number_1}}"),
            ("Dana of 5 Herzl St. and Yossi Cohen", "Dana of 5 Herzl St. and Yossi Cohen"),
            ("dana LEVI of Corner Bakery", "{{name_2}} of {{name_1}}"),
            ("a@b", "{{account_1}}"),
        ] {
            let brief = Authored::by_a_person(text);
            let it = Anonymous::of(&[("brief", &brief)], &names, &[]).expect("names are held back");
            assert_eq!(it.text("brief"), left);
        }
    }

    #[test]
    fn what_was_held_back_is_put_back_and_nothing_else_is_filled_in() {
        let it = of("Call 0521234567, mail a@b.example, call 0521234567");
        assert_eq!(it.held(), 2, "the same is held once");
        assert_eq!(
            it.put_back("☎ {{number_1}} ✉ {{ address_2 }}!"),
            Ok("☎ 0521234567 ✉ a@b.example!".into())
        );
        assert_eq!(it.put_back("nothing"), Ok("nothing".into()));
        for invented in ["{{number_9}}", "{{number_1", "number_1}}", "{{}}"] {
            assert_eq!(it.put_back(invented), Err(Unknown), "{invented}");
        }
    }

    #[test]
    fn a_brief_cannot_write_stand_ins_of_its_own() {
        let it = of("{{number_1}} 0521234567");
        assert_eq!(it.text("brief"), "{ {number_1} } {{number_1}}");
    }

    #[test]
    fn what_a_network_calls_an_account_is_held_back_whatever_its_case() {
        let brief = Authored::by_a_person("CORNER bakery opens, says Corner Bakery");
        let names = [FromNetwork::new("Corner Bakery".to_owned()), FromNetwork::new("a".to_owned())];
        let it = Anonymous::of(&[("brief", &brief)], &names, &[]).expect("names are held back");
        assert_eq!(it.text("brief"), "{{name_1}} opens, says {{name_2}}");
        let confusing = ["what", "name"].map(|name| FromNetwork::new(name.to_owned()));
        let brief = Authored::by_a_person("İ what's in a name");
        let it = Anonymous::of(&[("brief", &brief)], &confusing, &[]).expect("names are held back");
        assert_eq!(it.text("brief"), "İ {{name_1}}'s in a {{name_2}}");
    }

    #[test]
    fn what_has_a_networks_id_in_it_is_refused() {
        let ids = [FromNetwork::new("104000000000001".to_owned())];
        let brief = Authored::by_a_person("as in post 104000000000001_77");
        let brand = Authored::default();
        let refused = Anonymous::of(&[("brand", &brand), ("brief", &brief)], &[], &ids);
        assert_eq!(refused, Err(PlatformData("brief")));
    }

    #[test]
    fn what_was_counted_comes_out_only_where_the_workspace_says_so() {
        // P-I3
        let policy = |numbers| Policy { enabled: true, media: true, numbers, monthly: Micros(1) };
        let counted = FromNetwork::new(vec![12_345]);
        assert_eq!(counted.let_out(&policy(false)), None);
        assert_eq!(counted.let_out(&policy(true)), Some(&vec![12_345]));
    }

    #[test]
    fn nothing_of_it_is_shown_by_accident() {
        let shown = format!(
            "{:?} {:?} {:?}",
            Authored::by_a_person("secret"),
            FromNetwork::new("secret"),
            of("secret")
        );
        assert!(!shown.contains("secret"), "{shown}");
    }
}
