//! Questions to a list: filters, page size, cursor. Every wrong one is said at once.

use std::collections::BTreeMap;

use axum::http::Uri;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use jobs::machine::State;
use uuid::Uuid;

use crate::web::{finding::Finding, problem::Problem, text};

const DEFAULT: i64 = 50;
const MOST: i64 = 200;

/// The parameters of a list's address.
pub struct Query {
    given: BTreeMap<String, String>,
    findings: Vec<Finding>,
}

impl Query {
    /// Reads them; only `known` ones are taken. What is empty counts as left out.
    pub fn read(uri: &Uri, known: &[&str]) -> Self {
        let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let given: BTreeMap<String, String> = pairs
            .filter(|(_, value)| !value.is_empty())
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        let unknown = given.keys().filter(|name| !known.contains(&name.as_str())).map(|name| {
            let detail = "There is no such parameter here.";
            Finding::new(text::shown(name), "unknown_parameter", detail).accepting(known.iter().copied())
        });
        let findings = unknown.collect();
        Self { given, findings }
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        code: &'static str,
        detail: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let given = self.given.get(name)?;
        let parsed = parse(given);
        if parsed.is_none() {
            self.findings.push(Finding::new(name, code, detail));
        }
        parsed
    }

    /// How many.
    pub fn limit(&mut self) -> i64 {
        let detail = format!("A page has 1 to {MOST} rows.");
        let parse = |text: &str| text.parse().ok().filter(|n| (1..=MOST).contains(n));
        self.parsed("limit", "limit", &detail, parse).unwrap_or(DEFAULT)
    }

    /// After which row.
    pub fn cursor(&mut self) -> Option<Uuid> {
        self.parsed("cursor", "cursor", "This cursor is not one that a page of this list gave.", read_cursor)
    }

    /// One of the API's words for a state.
    pub fn state(&mut self) -> Option<&'static str> {
        let given = self.given.get("state")?;
        let found = State::SHOWN.iter().find(|word| *word == given).copied();
        if found.is_none() {
            let detail = "There is no such state.";
            let finding =
                Finding::new("state", "state_unknown", detail).accepting(State::SHOWN.iter().copied());
            self.findings.push(finding);
        }
        found
    }

    /// Words with commas between them, each of which is read by itself.
    pub fn words<T: std::str::FromStr<Err = String>>(&mut self, name: &str) -> Vec<T> {
        let Some(given) = self.given.get(name) else { return Vec::new() };
        let (mut read, mut wrong) = (Vec::new(), Vec::new());
        for word in given.split(',') {
            match word.trim().parse() {
                Ok(one) => read.push(one),
                Err(why) => wrong.push(Finding::new(name, "unknown_word", why)),
            }
        }
        self.findings.extend(wrong);
        read
    }

    /// A word of the API: letters, digits and what stands between them.
    pub fn word(&mut self, name: &str) -> Option<String> {
        let detail = "This is a word of letters, digits and any of _ - . / :";
        self.parsed(name, "word", detail, |text| {
            let of_a_word = |letter: char| letter.is_ascii_alphanumeric() || "_-./:".contains(letter);
            (!text.is_empty() && text.chars().all(of_a_word)).then(|| text.to_owned())
        })
    }

    /// An id.
    pub fn known_id(&mut self, name: &str) -> Option<Uuid> {
        self.parsed(name, "id", "This has to be an id.", |text| Uuid::try_parse(text).ok())
    }

    /// An id; one that cannot be is one that nothing has.
    pub fn id(&mut self, name: &str) -> Option<Uuid> {
        self.given.get(name).map(|text| Uuid::try_parse(text).unwrap_or(Uuid::nil()))
    }

    /// An instant, with its zone.
    pub fn instant(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let detail = "This has to be a time with its zone, such as 2026-12-01T09:30:00Z.";
        self.parsed(name, "time_format", detail, |text| {
            // A plus that was not escaped arrives as a blank.
            DateTime::parse_from_rfc3339(&text.replace(' ', "+")).ok().map(|at| at.to_utc())
        })
    }

    /// A day.
    pub fn day(&mut self, name: &str) -> Option<NaiveDate> {
        self.parsed(name, "day_format", "This has to be a day, such as 2026-12-01.", day)
    }

    /// One of a few words.
    pub fn one_of<T: Copy>(&mut self, name: &str, of: &[(&'static str, T)]) -> Option<T> {
        let given = self.given.get(name)?;
        let found = of.iter().find(|(word, _)| word == given).map(|(_, meant)| *meant);
        if found.is_none() {
            let words = of.iter().map(|(word, _)| *word);
            self.findings.push(Finding::new(name, "unknown_word", "There is no such word.").accepting(words));
        }
        found
    }

    /// After which row, of a list whose rows are known by a day and a network's id.
    pub fn place(&mut self) -> Option<(NaiveDate, String)> {
        self.parsed("cursor", "cursor", "This cursor is not one that a page of this list gave.", read_place)
    }

    /// Whether all of it could be taken.
    ///
    /// # Errors
    /// 422 with all findings.
    pub fn done(self) -> Result<(), Problem> {
        if self.findings.is_empty() { Ok(()) } else { Err(Problem::invalid(self.findings)) }
    }
}

/// The cursor that leads on from this row.
pub fn cursor(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// The cursor that leads on from a row of that day and with that network's id.
pub fn place(day: NaiveDate, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{day}/{id}"))
}

fn read_place(text: &str) -> Option<(NaiveDate, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (first, id) = text.split_once('/')?;
    Some((day(first)?, id.to_owned())).filter(|_| !id.contains('\0'))
}

/// A day of a year with four digits: of others the ledger knows none.
fn day(text: &str) -> Option<NaiveDate> {
    text.parse().ok().filter(|day: &NaiveDate| (0..=9_999).contains(&day.year()))
}

fn read_cursor(text: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Uuid::from_slice(&bytes).ok()
}

/// Cuts a list that was read with one row too many, and says where it goes on.
pub fn cut<T>(mut rows: Vec<T>, limit: i64, id: impl Fn(&T) -> Uuid) -> (Vec<T>, Option<String>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if rows.len() <= limit {
        return (rows, None);
    }
    rows.truncate(limit);
    let next = rows.last().map(|row| cursor(id(row)));
    (rows, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Query {
        let uri = format!("/x?{query}").parse().expect("an address");
        Query::read(&uri, &["limit", "cursor", "state", "from"])
    }

    #[test]
    fn a_pages_size_is_bounded() {
        for (query, limit) in [("", 50), ("limit=1", 1), ("limit=200", 200), ("limit=", 50)] {
            let mut query = read(query);
            assert_eq!(query.limit(), limit);
            assert!(query.done().is_ok());
        }
        for query in ["limit=0", "limit=201", "limit=-1", "limit=x", "limit=99999999999999999999"] {
            let mut query = read(query);
            query.limit();
            assert!(query.done().is_err());
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let id = Uuid::from_u128(7);
        assert_eq!(read(&format!("cursor={}", cursor(id))).cursor(), Some(id));
        let mut query = read("cursor=xyz");
        assert_eq!(query.cursor(), None);
        assert!(query.done().is_err());
    }

    #[test]
    fn a_place_among_days_is_read_as_it_was_written() {
        let day = "2026-11-22".parse().expect("a day");
        assert_eq!(read(&format!("cursor={}", place(day, "23/851"))).place(), Some((day, "23/851".into())));
        let old = NaiveDate::from_ymd_opt(-200_000, 1, 1).expect("a day");
        let odd = place(day, "23\0");
        for wrong in [cursor(Uuid::from_u128(7)), "x".into(), place(old, "23"), odd] {
            let mut query = read(&format!("cursor={wrong}"));
            assert_eq!(query.place(), None);
            assert!(query.done().is_err());
        }
    }

    #[test]
    fn a_day_is_one_that_the_ledger_knows() {
        let from = |text: &str| read(&format!("from={text}")).day("from");
        assert_eq!(from("2026-11-22"), "2026-11-22".parse().ok());
        for wrong in ["-200000-01-01", "%2B10000-01-01", "yesterday", "2026-02-30"] {
            assert_eq!(from(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut query = read("stat=held&state=asleep&from=monday&limit=0");
        let _read = (query.limit(), query.state(), query.instant("from"));
        assert_eq!(query.done().expect_err("refused").errors.len(), 4);
    }

    #[test]
    fn a_plus_that_was_not_escaped_is_still_an_offset() {
        assert!(read("from=2026-12-01T09:30:00+02:00").instant("from").is_some());
        assert!(read("from=2026-12-01T09:30:00%2B02:00").instant("from").is_some());
    }

    #[test]
    fn a_page_that_is_not_full_is_the_last() {
        let ids = |n: u128| (1..=n).map(Uuid::from_u128).collect::<Vec<_>>();
        assert_eq!(cut(ids(2), 2, |id| *id), (ids(2), None));
        assert_eq!(cut(ids(3), 2, |id| *id), (ids(2), Some(cursor(Uuid::from_u128(2)))));
    }
}
