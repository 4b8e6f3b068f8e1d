//! Webhooks as they are wished for, through the API or the console: where, what of, and what people know them by.

use jobs::deliveries::EVENTS;
use serde_json::Value;
use url::Url;

use super::{
    body::Fields,
    finding::{Finding, Findings},
    links,
    problem::Problem,
    text,
};
use crate::ledger::webhooks::{Change, NOTE_MOST, URL_MOST, Undone};

/// One to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where.
    pub url: String,
    /// What it wants to hear of.
    pub events: Vec<String>,
    /// What people know it by.
    pub note: String,
}

/// What is to be otherwise; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Where.
    pub url: Option<String>,
    /// What it wants to hear of.
    pub events: Option<Vec<String>>,
    /// What people know it by.
    pub note: Option<String>,
    /// Whether anything is sent there.
    pub enabled: Option<bool>,
}

impl Changed {
    /// As the ledger takes it.
    pub fn change(&self) -> Change<'_> {
        Change {
            url: self.url.as_deref(),
            events: self.events.as_deref(),
            note: self.note.as_deref(),
            enabled: self.enabled,
        }
    }
}

/// Why nothing was done, and what can be done about it.
pub fn refused(why: Undone, most: u32) -> Problem {
    match why {
        Undone::Missing => Problem::not_found("webhook"),
        Undone::TooMany => Problem::conflict(format!(
            "This workspace has {most} webhooks, which is the most. Remove one that is not needed any more."
        )),
        Undone::Disabled => {
            Problem::conflict("Nothing is sent to this webhook while it is disabled. Enable it first.")
        }
        Undone::UnderWay => {
            Problem::conflict("It is on its way already, and is sent again until it is taken.")
        }
    }
}

/// Reads one to be added; `private` takes http and addresses inside the house.
///
/// # Errors
/// What is wrong with it.
pub fn wanted(body: &Value, private: bool) -> Result<Wanted, Vec<Finding>> {
    let (changed, mut findings) = read(body, &["url", "events", "note"]);
    if body["url"].is_null() {
        let detail = "Say where: an https address of yours that is told what happens.";
        findings.push(Finding::new("url", "required", detail));
    }
    if body["events"].is_null() {
        findings.push(nothing_wished());
    }
    judge(&changed, private, &mut findings);
    let Changed { url, events, note, .. } = changed;
    match findings.all() {
        all if all.is_empty() => Ok(Wanted {
            url: url.unwrap_or_default(),
            events: events.unwrap_or_default(),
            note: note.unwrap_or_default(),
        }),
        all => Err(all),
    }
}

/// Reads a change, likewise.
///
/// # Errors
/// What is wrong with it.
pub fn changed(body: &Value, private: bool) -> Result<Changed, Vec<Finding>> {
    let (changed, mut findings) = read(body, &["url", "events", "note", "enabled"]);
    judge(&changed, private, &mut findings);
    match findings.all() {
        all if all.is_empty() => Ok(changed),
        all => Err(all),
    }
}

/// What is wrong with something that was read, wherever it was written.
pub fn wrong_with(changed: &Changed, private: bool) -> Vec<Finding> {
    let mut findings = Findings::default();
    judge(changed, private, &mut findings);
    findings.all()
}

fn nothing_wished() -> Finding {
    let detail = "Say what of, one at least; accepted lists all there is.";
    Finding::new("events", "required", detail).accepting(EVENTS.iter().copied())
}

fn read(body: &Value, known: &[&str]) -> (Changed, Findings) {
    let mut findings = Findings::default();
    let mut at = Fields::open("", body, &mut findings);
    at.only(known);
    let (url, note) = (at.text("url"), at.text("note").map(|note| note.trim().to_owned()));
    let enabled = at.value("enabled").filter(|_| known.contains(&"enabled"));
    let events = at.value("events");
    if enabled.is_some_and(|value| !value.is_boolean()) {
        at.find("enabled", "type", "Say true or false, or leave it out.");
    }
    let listed = events.and_then(Value::as_array);
    let words: Option<Vec<&str>> = listed.and_then(|list| list.iter().map(Value::as_str).collect());
    if events.is_some() && words.is_none() {
        at.find("events", "type", "This has to be a list of words.");
    }
    let events = words.map(|words| words.into_iter().map(str::to_owned).collect());
    (Changed { url, events, note, enabled: enabled.and_then(Value::as_bool) }, findings)
}

fn judge(it: &Changed, private: bool, findings: &mut Findings) {
    if let Some(Err(finding)) = it.url.as_deref().map(|url| address(url, private)) {
        findings.push(finding);
    }
    if let Some(events) = &it.events {
        judge_events(events, findings);
    }
    if it.note.as_ref().is_some_and(|note| note.chars().count() > NOTE_MOST) {
        let detail = format!("A note has at most {NOTE_MOST} characters.");
        findings.push(Finding::new("note", "length", detail));
    }
}

fn judge_events(events: &[String], findings: &mut Findings) {
    if events.is_empty() {
        findings.push(nothing_wished());
    }
    for (n, event) in events.iter().enumerate() {
        let field = format!("events[{n}]");
        if !EVENTS.contains(&event.as_str()) {
            let detail = format!("There is no event “{}”.", text::shown(event));
            findings.push(Finding::new(field, "event_unknown", detail).accepting(EVENTS.iter().copied()));
        } else if events[..n].contains(event) {
            findings.push(Finding::new(field, "repeated", "This event is in the list twice."));
        }
    }
}

/// Whether something may be sent there. What its name leads to is looked at again each time that something is.
fn address(given: &str, private: bool) -> Result<(), Finding> {
    let find = |code, detail: &str| Err(Finding::new("url", code, detail));
    if given.len() > URL_MOST {
        return find("url_too_long", "The address is longer than 2048 characters.");
    }
    if given.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return find("url_format", "The address has a blank or a control character in it.");
    }
    let Ok(url) = Url::parse(given) else {
        return find(
            "url_format",
            "This is no web address. Write it in full, such as https://example.org/hook.",
        );
    };
    let plain = private && url.scheme() == "http";
    if url.scheme() != "https" && !plain {
        return find("url_scheme", "The address has to begin with https://.");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return find(
            "url_format",
            "The address must not carry a user name or a password; what is sent is signed.",
        );
    }
    match url.host() {
        Some(host) if private || links::is_public(&host) => Ok(()),
        Some(_) => find("url_private", "This address is private: it cannot be reached from outside."),
        None => find("url_format", "The address names no host."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codes(found: Result<Wanted, Vec<Finding>>) -> Vec<(String, &'static str)> {
        found.expect_err("refused").into_iter().map(|it| (it.field, it.code)).collect()
    }

    #[test]
    fn a_full_one_is_read_and_what_is_left_out_of_a_change_stays() {
        let body =
            json!({ "url": "https://example.org/hook", "events": ["post.published"], "note": " ours " });
        let it = wanted(&body, false).expect("taken");
        assert_eq!((it.events.len(), it.note.as_str()), (1, "ours"));
        assert_eq!(changed(&json!({}), false), Ok(Changed::default()));
        let off = changed(&json!({ "enabled": false }), false).expect("taken");
        assert_eq!((off.enabled, off.url), (Some(false), None));
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let body = json!({
            "url": "http://127.0.0.1/", "events": ["post.published", "post.eaten", "post.published"],
            "note": "x".repeat(201), "enabled": true,
        });
        let found = [
            ("enabled".to_owned(), "unknown_field"),
            ("url".to_owned(), "url_scheme"),
            ("events[1]".to_owned(), "event_unknown"),
            ("events[2]".to_owned(), "repeated"),
            ("note".to_owned(), "length"),
        ];
        assert_eq!(codes(wanted(&body, false)), found);
        let nothing = [("url".to_owned(), "required"), ("events".to_owned(), "required")];
        assert_eq!(codes(wanted(&json!({}), false)), nothing);
        let none = json!({ "url": "https://example.org", "events": [] });
        assert_eq!(codes(wanted(&none, false)), [("events".to_owned(), "required")]);
        for wrong in [json!({ "url": 3 }), json!({ "events": "post.held" }), json!({ "events": [1] })] {
            assert_eq!(changed(&wrong, false).expect_err("refused")[0].code, "type", "{wrong}");
        }
        assert_eq!(changed(&json!({ "enabled": "no" }), false).expect_err("refused")[0].code, "type");
    }

    #[test]
    fn no_address_inside_a_house_is_taken_in_any_spelling() {
        for url in [
            "https://localhost/",
            "https://printer.local/",
            "https://db/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://10.0.0.1/",
            "https://100.64.0.1/",
            "https://169.254.169.254/latest",
            "https://0.0.0.0/",
            "https://224.0.0.1/",
            "https://192.0.2.1/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[fe80::1]/",
            "https://[fc00::1]/",
            "https://[ff02::1]/",
            "https://[2001:db8::1]/",
            "https://metadata.google.internal/",
        ] {
            assert_eq!(address(url, false).expect_err(url).code, "url_private", "{url}");
            assert_eq!(address(url, true), Ok(()), "{url}");
        }
        for (url, code) in [
            ("http://example.org/", "url_scheme"),
            ("ftp://example.org/", "url_scheme"),
            ("https://user:secret@example.org/", "url_format"),
            ("https://exa mple.org/", "url_format"),
            ("example.org", "url_format"),
        ] {
            assert_eq!(address(url, false).expect_err(url).code, code, "{url}");
        }
        for url in ["https://example.org/a?b=c", "https://8.8.8.8/", "https://example.org:8443/"] {
            assert_eq!(address(url, false), Ok(()), "{url}");
        }
    }
}
