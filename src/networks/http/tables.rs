//! What an error means: tables of a network's codes, and the phase of the call that got it.

use std::time::Duration;

use jobs::{
    contract::{Class, Failure},
    machine::Answer,
};
use reqwest::StatusCode;

use super::Reply;

/// What a call does, which decides what its failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Makes or removes something that nobody sees.
    Prepare,
    /// Makes something public.
    Commit,
    /// Changes nothing.
    Read,
}

/// Why a call came to nothing, as far as that is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No byte of the request left this process.
    Unsent(Failure),
    /// The network refused it, or it was a call whose effect nobody sees.
    Refused(Failure),
    /// It may have taken effect.
    Unknown(Failure),
}

impl Fault {
    /// What went wrong, for a call that may simply be made again.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Unsent(failure) | Self::Refused(failure) | Self::Unknown(failure) => failure,
        }
    }

    /// The answer to a commit whose handle lives on.
    pub fn into_answer(self) -> Answer {
        match self {
            Self::Unsent(failure) => Answer::Unsent(failure),
            Self::Refused(failure) => Answer::Refused { failure, handle_dead: false },
            Self::Unknown(failure) => Answer::Unknown(failure),
        }
    }

    /// The same, with something changed about what went wrong.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Failure) -> Failure) -> Self {
        match self {
            Self::Unsent(failure) => Self::Unsent(change(failure)),
            Self::Refused(failure) => Self::Refused(change(failure)),
            Self::Unknown(failure) => Self::Unknown(change(failure)),
        }
    }
}

/// Which of a network's codes a row speaks of. A code is `code` or `code/subcode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codes {
    /// This one; without a subcode, whatever the subcode.
    Is(&'static str),
    /// Whatever has this subcode.
    Sub(&'static str),
    /// A code from the first to the last, whatever the subcode.
    Span(i64, i64),
}

impl Codes {
    fn cover(self, code: &str) -> bool {
        let (family, sub) = code.split_once('/').map_or((code, None), |(family, sub)| (family, Some(sub)));
        match self {
            Self::Is(this) => this == code || this == family,
            Self::Sub(this) => sub == Some(this),
            Self::Span(first, last) => {
                family.parse().is_ok_and(|number: i64| (first..=last).contains(&number))
            }
        }
    }
}

/// One line of a network's table of errors.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The codes it speaks of.
    pub codes: Codes,
    /// What kind of trouble they are.
    pub class: Class,
    /// How long to leave the network alone where it does not say so itself.
    pub rest: Option<Duration>,
    /// What people are told before the network's own words, where those do not say what is to be done.
    pub told: Option<&'static str>,
    /// Whoever runs postroom has to act.
    pub operator: bool,
}

impl Row {
    const fn of(codes: Codes, class: Class) -> Self {
        Self { codes, class, rest: None, told: None, operator: false }
    }

    /// A code of this class.
    pub const fn is(code: &'static str, class: Class) -> Self {
        Self::of(Codes::Is(code), class)
    }

    /// A subcode of this class, whatever its code.
    pub const fn sub(code: &'static str, class: Class) -> Self {
        Self::of(Codes::Sub(code), class)
    }

    /// A row of numbers of this class.
    pub const fn span(first: i64, last: i64, class: Class) -> Self {
        Self::of(Codes::Span(first, last), class)
    }

    /// The same, with what people are told.
    #[must_use]
    pub const fn told(mut self, words: &'static str) -> Self {
        self.told = Some(words);
        self
    }

    /// The same, where whoever runs postroom has to act.
    #[must_use]
    pub const fn for_operator(mut self) -> Self {
        self.operator = true;
        self
    }

    /// The same, with a rest in minutes.
    #[must_use]
    pub const fn resting(mut self, minutes: u64) -> Self {
        self.rest = Some(Duration::from_mins(minutes));
        self
    }
}

/// What a network's codes mean. The first row that covers a code counts, so the narrow come before the wide.
#[derive(Debug, Clone, Copy)]
pub struct Tables {
    /// The rows, in tables that are read one after the other.
    pub rows: &'static [&'static [Row]],
    /// The codes that prove that a commit had no effect.
    pub definite_no: &'static [Codes],
}

impl Tables {
    /// The row that speaks of this code.
    pub fn row(&self, code: &str) -> Option<Row> {
        self.rows.iter().copied().flatten().copied().find(|row| row.codes.cover(code))
    }

    fn proves_no(&self, said: &Said) -> bool {
        // A refusal is a 4xx. The same code under a 5xx comes from a server that has lost its way.
        said.status.is_client_error() && self.definite_no.iter().any(|codes| codes.cover(&said.code))
    }
}

/// What a network said in an error, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The HTTP status.
    pub status: StatusCode,
    /// The network's code, or `http_502` where it gave none.
    pub code: String,
    /// The network's words.
    pub message: String,
    /// The network itself calls it passing.
    pub transient: bool,
    /// How long it asks to be left alone.
    pub rest: Rest,
}

/// How long a network asks to be left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// It says nothing about it.
    Unsaid,
    /// It speaks of its limits, and names no time.
    Untimed,
    /// This long.
    For(Duration),
}

impl Rest {
    /// As the header `Retry-After` has it.
    pub fn asked_by(reply: &Reply) -> Self {
        reply.retry_after().map_or(Self::Unsaid, Self::For)
    }
}

impl Said {
    /// An answer that bears no words of the network's own.
    pub fn nothing(reply: &Reply) -> Self {
        let (status, rest) = (reply.status, Rest::asked_by(reply));
        let message = format!("answered HTTP {status} and nothing that can be read");
        Self { status, code: format!("http_{}", status.as_u16()), message, transient: false, rest }
    }
}

/// What an error means, by the phase of its call and the network's tables.
pub fn classify(phase: Phase, said: Said, tables: &Tables) -> Fault {
    let row = tables.row(&said.code);
    let passing = || said.transient.then_some(Class::Transient);
    let class = row.map(|row| row.class).or_else(passing).unwrap_or_else(|| by_status(said.status));
    let rest = match said.rest {
        Rest::For(rest) => Some(rest),
        Rest::Untimed => None,
        Rest::Unsaid => row.and_then(|row| row.rest),
    };
    let proved = tables.proves_no(&said);
    let failure = Failure::new(class, said.code, words(row, said.message)).resting(rest);
    let failure = Failure { operator: row.is_some_and(|row| row.operator), ..failure };
    match phase {
        Phase::Prepare | Phase::Read => Fault::Refused(failure),
        Phase::Commit if proved => Fault::Refused(failure),
        Phase::Commit => Fault::Unknown(unknown(failure)),
    }
}

/// Ours, where there are any, and the network's.
fn words(row: Option<Row>, said: String) -> String {
    match row.and_then(|row| row.told) {
        Some(told) if said.is_empty() => told.to_owned(),
        Some(told) => format!("{told} ({said})"),
        None => said,
    }
}

fn by_status(status: StatusCode) -> Class {
    match status.as_u16() {
        401 => Class::Auth,
        429 => Class::Rate,
        // 408 is the one 4xx that says nothing about the request itself.
        0..=399 | 408 | 500.. => Class::Transient,
        400..=499 => Class::Permanent,
    }
}

/// The same failure, where it may have taken effect.
pub fn unknown(failure: Failure) -> Failure {
    failure.in_doubt()
}

/// A success that cannot be read as one: passing before a commit, unknown after it.
pub fn unreadable(phase: Phase, what: &str) -> Fault {
    let failure = Failure::new(Class::Transient, "unreadable", what);
    match phase {
        Phase::Prepare | Phase::Read => Fault::Refused(failure),
        Phase::Commit => Fault::Unknown(unknown(failure)),
    }
}

/// A read that failed says nothing about what was asked for, not even that it is gone; it is asked again.
pub fn no_evidence(mut failure: Failure) -> Failure {
    if failure.class == Class::Permanent {
        failure.class = Class::Transient;
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: Tables = Tables {
        rows: &[&[
            Row::is("9/7", Class::Rate).resting(15),
            Row::sub("77", Class::Permanent),
            Row::is("9", Class::Transient),
        ]],
        definite_no: &[Codes::Is("190"), Codes::Is("9007/2207027"), Codes::Span(200, 299)],
    };

    fn said(status: u16, code: &str) -> Said {
        let status = StatusCode::from_u16(status).expect("a status");
        Said { status, code: code.into(), message: "no".into(), transient: false, rest: Rest::Unsaid }
    }

    fn commits_to(status: u16, code: &str) -> Fault {
        classify(Phase::Commit, said(status, code), &TABLES)
    }

    #[test]
    fn a_code_is_read_by_the_first_row_that_covers_it() {
        let class = |code| classify(Phase::Read, said(400, code), &TABLES).into_failure();
        assert_eq!((class("9/7").class, class("9/7").rest), (Class::Rate, Some(Duration::from_mins(15))));
        assert_eq!(class("9/77").class, Class::Permanent);
        assert_eq!(class("9/1").class, Class::Transient);
        assert_eq!(class("9").class, Class::Transient);
    }

    #[test]
    fn an_unknown_code_is_read_by_its_status() {
        let class = |status| classify(Phase::Prepare, said(status, "?"), &TABLES).into_failure().class;
        let expected = [
            (302, Class::Transient),
            (400, Class::Permanent),
            (401, Class::Auth),
            (408, Class::Transient),
            (429, Class::Rate),
            (500, Class::Transient),
        ];
        for (status, expected) in expected {
            assert_eq!(class(status), expected, "{status}");
        }
    }

    #[test]
    fn on_a_commit_only_the_short_list_is_a_no() {
        for code in ["190", "190/463", "9007/2207027", "200", "294"] {
            assert!(matches!(commits_to(400, code), Fault::Refused(_)), "{code}");
        }
        for code in ["1", "100", "9007", "9007/1", "19", "300", "4/2207051", "http_429"] {
            assert!(
                matches!(commits_to(400, code), Fault::Unknown(f) if f.class == Class::Unknown),
                "{code}"
            );
        }
        assert!(matches!(commits_to(500, "190"), Fault::Unknown(_)), "a 5xx proves nothing");
    }

    #[test]
    fn the_rest_that_the_network_names_goes_before_ours() {
        let rest =
            |rest| classify(Phase::Read, Said { rest, ..said(400, "9/7") }, &TABLES).into_failure().rest;
        assert_eq!(rest(Rest::For(Duration::from_secs(3))), Some(Duration::from_secs(3)));
        assert_eq!(rest(Rest::Untimed), None);
        assert_eq!(rest(Rest::Unsaid), Some(Duration::from_mins(15)));
    }
}
