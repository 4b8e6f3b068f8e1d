//! What is asked of a page of numbers, by its address: whole days, words out of a list, ids. Every wrong one is said at once.

use axum::http::Uri;
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};
use url::form_urlencoded::{Serializer, parse};
use uuid::Uuid;

use crate::web::{finding::Finding, problem::Problem, text};

/// The spans that are offered, in days; the second is what is shown to who asks for none.
pub const OFFERED: [u16; 3] = [7, 28, 90];
/// The most days of a span.
const MOST_DAYS: i64 = 366;
/// No day before this one is asked for: there were no such networks.
const FIRST_YEAR: i32 = 2000;

/// Whole days in UTC, from one until before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first day.
    pub first: NaiveDate,
    /// The day after the last.
    pub end: NaiveDate,
}

impl Span {
    /// So many days that are over.
    pub fn last(days: u16, today: NaiveDate) -> Self {
        Self { first: today - TimeDelta::days(i64::from(days)), end: today }
    }

    /// As many days before.
    #[must_use]
    pub fn before(self) -> Self {
        Self { first: self.first - (self.end - self.first), end: self.first }
    }

    /// How many there are.
    pub fn days(self) -> i64 {
        (self.end - self.first).num_days()
    }

    /// The moment that it begins at.
    pub fn begins_at(self) -> DateTime<Utc> {
        midnight(self.first)
    }

    /// The moment that it ends before.
    pub fn ends_at(self) -> DateTime<Utc> {
        midnight(self.end)
    }

    /// Its last day.
    pub fn last_day(self) -> NaiveDate {
        self.end - TimeDelta::days(1)
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// A span, and how it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// The days.
    pub span: Span,
    /// It is always the last so many; none: these days alone.
    pub days: Option<u16>,
}

impl Chosen {
    /// What an address says so that it asks for the same.
    pub fn say(&self, query: &mut Serializer<'_, String>) {
        if let Some(days) = self.days {
            query.append_pair("days", &days.to_string());
        } else {
            query.append_pair("from", &self.span.first.to_string());
            query.append_pair("to", &self.span.last_day().to_string());
        }
    }
}

/// The parameters of an address.
#[derive(Debug)]
pub struct Asked {
    given: Vec<(String, String)>,
    findings: Vec<Finding>,
}

impl Asked {
    /// Reads them; only `known` ones are taken. What is empty counts as left out.
    pub fn read(uri: &Uri, known: &[&str]) -> Self {
        let pairs = parse(uri.query().unwrap_or_default().as_bytes());
        let given: Vec<(String, String)> = pairs
            .filter(|(_, value)| !value.is_empty())
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        let unknown = given.iter().filter(|(name, _)| !known.contains(&name.as_str())).map(|(name, _)| {
            let detail = "There is no such parameter here.";
            Finding::new(text::shown(name), "unknown_parameter", detail).accepting(known.iter().copied())
        });
        let findings = unknown.collect();
        Self { given, findings }
    }

    /// What was given under this name, the last of several.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The ids under this name, each once; what is none is an id of nothing.
    pub fn ids(&self, name: &str) -> Vec<Uuid> {
        let mut ids = Vec::new();
        for (_, value) in self.given.iter().filter(|(own, _)| own == name) {
            let id = Uuid::try_parse(value).unwrap_or(Uuid::nil());
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    /// One of these words; the first where none is given.
    pub fn word(&mut self, name: &str, words: &[&'static str]) -> &'static str {
        let first = words.first().copied().unwrap_or_default();
        let Some(given) = self.one(name) else { return first };
        if let Some(word) = words.iter().copied().find(|word| *word == given) {
            return word;
        }
        let detail = "This is none of the words that there are here.";
        self.findings.push(Finding::new(name, "unknown_word", detail).accepting(words.iter().copied()));
        first
    }

    /// The span: `days` is one of those that are offered, else `from` and `to` are its first and last day.
    pub fn span(&mut self, today: NaiveDate) -> Chosen {
        if self.one("from").is_some() || self.one("to").is_some() {
            let span = self.dates("from", "to", today);
            return Chosen { span: span.unwrap_or_else(|| Span::last(OFFERED[1], today)), days: None };
        }
        let words = OFFERED.map(|days| days.to_string());
        let given = self.one("days").map_or(Some(1), |days| words.iter().position(|word| word == days));
        if given.is_none() {
            let detail = "Say 7, 28 or 90, or give from and to.";
            self.findings.push(Finding::new("days", "unknown_word", detail).accepting(words));
        }
        let days = OFFERED[given.unwrap_or(1)];
        Chosen { span: Span::last(days, today), days: Some(days) }
    }

    /// The days between two that are given; none where neither is.
    pub fn dates(&mut self, first: &str, last: &str, today: NaiveDate) -> Option<Span> {
        if self.one(first).is_none() && self.one(last).is_none() {
            return None;
        }
        let day = |name: &str| self.one(name).and_then(|text| text.parse::<NaiveDate>().ok());
        let span = day(first).zip(day(last)).and_then(|(first, last)| spanned(first, last, today));
        if span.is_none() {
            let detail = "Give both days as 2026-12-01, the first not after the last, the last not after today, and a year \
                          of them at most.";
            self.findings.push(Finding::new(first, "days", detail));
        }
        span
    }

    /// One more thing that is wrong.
    pub fn find(&mut self, field: &str, code: &'static str, detail: &str) {
        self.findings.push(Finding::new(field, code, detail));
    }

    /// Whether all of it could be taken.
    ///
    /// # Errors
    /// 422 with all findings.
    pub fn done(self) -> Result<(), Problem> {
        if self.findings.is_empty() { Ok(()) } else { Err(Problem::invalid(self.findings)) }
    }
}

/// The days from one to another, where these can be asked for.
pub fn spanned(first: NaiveDate, last: NaiveDate, today: NaiveDate) -> Option<Span> {
    let fits =
        first.year() >= FIRST_YEAR && first <= last && last <= today && (last - first).num_days() < MOST_DAYS;
    fits.then(|| Span { first, end: last + TimeDelta::days(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(month: u32, number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, month, number).expect("a day")
    }

    fn read(query: &str) -> Asked {
        let uri = format!("/x?{query}").parse().expect("an address");
        Asked::read(&uri, &["days", "from", "to", "sort", "account"])
    }

    #[test]
    fn a_span_is_of_days_that_are_over_and_has_as_many_before_it() {
        let span = Span::last(7, day(11, 23));
        assert_eq!((span.first, span.last_day(), span.days()), (day(11, 16), day(11, 22), 7));
        assert_eq!(span.before(), Span { first: day(11, 9), end: day(11, 16) });
        assert_eq!(span.begins_at().to_rfc3339(), "2026-11-16T00:00:00+00:00");
        assert_eq!(span.ends_at(), span.begins_at() + TimeDelta::days(7));
    }

    #[test]
    fn a_span_is_asked_for_by_its_length_or_its_days_and_said_the_same_way() {
        for (query, first, end, said) in [
            ("", day(10, 26), day(11, 23), "days=28"),
            ("days=7", day(11, 16), day(11, 23), "days=7"),
            ("from=2026-11-01&to=2026-11-03", day(11, 1), day(11, 4), "from=2026-11-01&to=2026-11-03"),
        ] {
            let mut asked = read(query);
            let chosen = asked.span(day(11, 23));
            assert!(asked.done().is_ok(), "{query}");
            assert_eq!(chosen.span, Span { first, end }, "{query}");
            let mut query = Serializer::new(String::new());
            chosen.say(&mut query);
            assert_eq!(query.finish(), said);
        }
    }

    #[test]
    fn days_that_cannot_be_are_refused() {
        for query in [
            "days=8",
            "days=x",
            "from=2026-11-03&to=2026-11-01",
            "from=2026-11-01",
            "to=2026-11-01",
            "from=2026-11-01&to=2026-11-24",
            "from=2025-11-01&to=2026-11-03",
            "from=1999-11-01&to=1999-11-03",
            "from=-200000-11-01&to=2026-11-03",
            "from=x&to=y",
            "more=1",
        ] {
            let mut asked = read(query);
            asked.span(day(11, 23));
            assert!(asked.done().is_err(), "{query}");
        }
    }

    #[test]
    fn words_and_ids_are_read_and_what_is_none_is_nothing() {
        let mut asked = read("sort=reach&account=x&account=00000000-0000-0000-0000-000000000007&account=y");
        assert_eq!(asked.word("sort", &["name", "reach"]), "reach");
        assert_eq!(asked.ids("account"), [Uuid::nil(), Uuid::from_u128(7)]);
        assert!(asked.done().is_ok());
        let mut asked = read("sort=colour");
        assert_eq!(asked.word("sort", &["name", "reach"]), "name");
        assert!(asked.done().is_err());
    }
}
