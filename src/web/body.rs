//! Reading bodies: never more than the limit, and a post's JSON with everything that is wrong with it.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use futures_util::StreamExt;
use jobs::surface::PostKind;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    deletion::Wanted,
    finding::{Finding, Findings},
    passes::LONGEST,
    patch::{Patch, PatchedTarget},
    problem::Problem,
    spans, text,
    wish::{MOST_FILES, MOST_TARGETS, Wish, WishedTarget, WishedTime, too_many_files, too_many_targets},
};
use crate::ledger::{
    keys::{ApiKey, Scope},
    pauses::REASON_MOST,
};

/// More options than any network has.
const MOST_OPTIONS: usize = 20;
const SLOWEST: Duration = Duration::from_secs(30);

/// The bytes of a JSON body.
///
/// # Errors
/// 415, 413, 408, or 400 where the connection broke.
pub async fn json_bytes(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let declared =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = declared.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::wrong_type("application/json"));
    }
    tokio::time::timeout(SLOWEST, collect(body, limit)).await.map_err(|_| Problem::timeout())?
}

/// The bytes of a JSON body that may be left out: then an empty object.
///
/// # Errors
/// Those of [`json_bytes`].
pub async fn optional_json_bytes(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    if headers.contains_key(header::CONTENT_TYPE) {
        json_bytes(headers, body, limit).await
    } else {
        Ok(b"{}".to_vec())
    }
}

/// The bytes of a body of any type.
///
/// # Errors
/// 413, 408, or 400 where the connection broke.
pub async fn bytes(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    tokio::time::timeout(SLOWEST, collect(body, limit)).await.map_err(|_| Problem::timeout())?
}

async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::malformed("The body ended too early."))?;
        if bytes.len() + chunk.len() > limit {
            return Err(Problem::too_large(limit as u64));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The value of a JSON body.
///
/// # Errors
/// 400: it is not JSON, or nested deeper than anything sensible.
pub fn json(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::malformed(format!("The body is not JSON: {error}.")))
}

/// A post as the API takes it, as far as it can be read, and what cannot.
pub fn post(body: &Value) -> (Wish, Vec<Finding>) {
    let mut findings = Findings::default();
    let mut at = Fields::open("", body, &mut findings);
    at.only(&["caption", "kind", "media_ids", "link", "targets", "schedule", "latest_after"]);
    let caption = at.text("caption").unwrap_or_default();
    let kind = kind(&mut at);
    let link = at.text("link");
    let latest_after = at.text("latest_after");
    let media_ids = at.texts("media_ids", MOST_FILES, too_many_files);
    let targets = at.list("targets", MOST_TARGETS, too_many_targets);
    let schedule = at.value("schedule");
    let targets = targets.into_iter().enumerate().map(|(n, value)| target(n, value, &mut findings)).collect();
    let schedule = schedule.map(|value| time(value, &mut findings));
    (Wish { caption, kind, media_ids, link, targets, schedule, latest_after }, findings.all())
}

/// A change of a post, as far as it can be read, and what cannot. What is left out stays; what is `null` becomes what
/// it is in a post that leaves it out.
pub fn patch(body: &Value) -> (Patch, Vec<Finding>) {
    let mut findings = Findings::default();
    let mut at = Fields::open("", body, &mut findings);
    at.only(&["caption", "media_ids", "link", "targets", "schedule", "latest_after"]);
    let caption = at.named("caption").then(|| at.text("caption").unwrap_or_default());
    let media_ids = at.named("media_ids").then(|| at.texts("media_ids", MOST_FILES, too_many_files));
    let link = at.named("link").then(|| at.text("link"));
    let latest_after = at.named("latest_after").then(|| at.text("latest_after"));
    let targets = at.list("targets", MOST_TARGETS, too_many_targets);
    let schedule = at.named("schedule").then(|| at.value("schedule"));
    let targets =
        targets.into_iter().enumerate().map(|(n, value)| patched(n, value, &mut findings)).collect();
    let schedule = schedule.map(|value| value.map(|value| time(value, &mut findings)));
    (Patch { caption, media_ids, link, targets, schedule, latest_after }, findings.all())
}

fn patched(n: usize, value: &Value, findings: &mut Findings) -> PatchedTarget {
    let has = |name: &str| value.as_object().is_some_and(|map| map.contains_key(name));
    let (caption, options) = (has("caption"), has("options"));
    let target = target(n, value, findings);
    PatchedTarget {
        account_id: target.account_id,
        caption: caption.then_some(target.caption),
        options: options.then_some(target.options),
    }
}

/// A pause as the API takes it.
pub struct WishedPause {
    /// Why.
    pub reason: String,
    /// How long; `None` is until it is resumed.
    pub lasting: Option<Duration>,
    /// Only what is about this account.
    pub account_id: Option<String>,
}

/// A pause, as far as it can be read, and what cannot.
pub fn pause(body: &Value) -> (WishedPause, Vec<Finding>) {
    let mut findings = Findings::default();
    let mut at = Fields::open("", body, &mut findings);
    at.only(&["reason", "for", "account_id"]);
    let reason = at.text("reason").unwrap_or_default().trim().to_owned();
    let (lasting, account_id) = (at.text("for"), at.text("account_id"));
    if !(1..=REASON_MOST).contains(&reason.chars().count()) {
        at.find("reason", "length", &format!("Say why, in 1 to {REASON_MOST} characters."));
    }
    let lasting = lasting.and_then(|text| {
        let span = spans::parse(&text).ok().filter(|span| !span.is_zero());
        if span.is_none() {
            at.find("for", "span_format", "This has to be a span of time, such as PT30M, PT2H, P1D.");
        }
        span
    });
    (WishedPause { reason, lasting, account_id }, findings.all())
}

/// Whose pause ends.
pub fn resumed(body: &Value) -> (Option<String>, Vec<Finding>) {
    let mut findings = Findings::default();
    let mut at = Fields::open("", body, &mut findings);
    at.only(&["account_id"]);
    let account_id = at.text("account_id");
    (account_id, findings.all())
}

/// Why something is wished, if it is said, and what is wrong with the body.
pub fn reason(body: &Value) -> (Option<String>, Vec<Finding>) {
    let mut findings = Findings::default();
    let mut at = Fields::open("", body, &mut findings);
    at.only(&["reason"]);
    let reason = at.text("reason").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if reason.as_ref().is_some_and(|text| text.chars().count() > REASON_MOST) {
        at.find(
            "reason",
            "length",
            &format!("Say why in at most {REASON_MOST} characters, or leave it out."),
        );
    }
    (reason, findings.all())
}

/// An upload as the API takes it.
pub struct WishedUpload {
    /// What the file is called; for display only.
    pub name: String,
    /// What it is said to be.
    pub content_type: String,
    /// How large it is said to be.
    pub bytes: u64,
}

/// An upload, as far as it can be read, and what cannot.
pub fn upload(body: &Value) -> (WishedUpload, Vec<Finding>) {
    let mut findings = Findings::default();
    let mut at = Fields::open("", body, &mut findings);
    at.only(&["name", "type", "bytes"]);
    let name = at.text("name").unwrap_or_default();
    let content_type = at.text("type").unwrap_or_default();
    if at.absent("type") {
        at.find("type", "required", "Say what type the file is of, such as image/jpeg or video/mp4.");
    }
    let bytes = at.value("bytes").and_then(Value::as_u64).filter(|bytes| *bytes > 0);
    if bytes.is_none() {
        at.find("bytes", "required", "Say how many bytes the file has: a whole number above 0.");
    }
    (
        WishedUpload { name: text::file_name(&name), content_type, bytes: bytes.unwrap_or_default() },
        findings.all(),
    )
}

/// A wish for deletion as the API takes it, and what is wrong with it.
pub fn deletion(body: &Value) -> (Wanted, Vec<Finding>) {
    let mut findings = Findings::default();
    let mut at = Fields::open("", body, &mut findings);
    at.only(&["kind", "email", "account_ids", "meta_user_id", "reason"]);
    if at.text("kind").as_deref() != Some("deletion") {
        at.find("kind", "kind_unknown", "Say “deletion”, “export”, “correction” or “withdrawal”.");
    }
    let (email, meta_user_id, reason) = (at.text("email"), at.text("meta_user_id"), at.text("reason"));
    let listed = at.value("account_ids").and_then(Value::as_array).cloned().unwrap_or_default();
    let ids: Vec<_> = listed.iter().map(|id| id.as_str().and_then(|id| Uuid::try_parse(id).ok())).collect();
    if ids.iter().any(Option::is_none) {
        at.find("account_ids", "format", "Name accounts by their ids.");
    }
    if email.is_none() && meta_user_id.is_none() && ids.is_empty() {
        at.find("email", "required", "Say whom it is about: by email, by account_ids or by meta_user_id.");
    }
    if reason.as_ref().is_some_and(|text| !(1..=REASON_MOST).contains(&text.chars().count())) {
        at.find("reason", "length", &format!("Say why in 1 to {REASON_MOST} characters, or leave it out."));
    }
    let accounts = ids.into_iter().flatten().collect();
    (Wanted { meta_user_id, email, accounts, reason, ..Wanted::default() }, findings.all())
}

/// What is wished of a pass.
pub struct WishedPass {
    /// What it may do; none: all that its key may.
    pub scopes: Option<Vec<Scope>>,
    /// How long.
    pub lasting: Option<Duration>,
}

/// A pass for this key, as far as it can be read, and what cannot.
pub fn pass(body: &Value, key: &ApiKey) -> (WishedPass, Vec<Finding>) {
    let mut findings = Findings::default();
    let mut at = Fields::open("", body, &mut findings);
    at.only(&["scopes", "lifetime"]);
    let named = at.value("scopes").is_some();
    let words = at.texts("scopes", Scope::ALL.len(), too_many_scopes);
    let lasting = at.text("lifetime").and_then(|text| {
        let span = spans::parse(&text).ok().filter(|span| (Duration::from_secs(1)..=LONGEST).contains(span));
        if span.is_none() {
            at.find(
                "lifetime",
                "span_format",
                "This has to be a span of time of at most ten minutes, such as PT5M.",
            );
        }
        span
    });
    let mut scopes = Vec::new();
    for (n, word) in words.iter().enumerate() {
        if let Some(scope) = Scope::parse(word).filter(|scope| key.may(*scope)) {
            scopes.push(scope);
        } else {
            let detail = "The key may not do this, so nothing that stands for it may.";
            let may = Scope::ALL.iter().filter(|scope| key.may(**scope)).map(|scope| scope.word());
            findings.push(Finding::new(format!("scopes[{n}]"), "scope", detail).accepting(may));
        }
    }
    (WishedPass { scopes: named.then_some(scopes), lasting }, findings.all())
}

fn too_many_scopes() -> Finding {
    Finding::new("scopes", "too_many", "There are not that many scopes.")
}

/// What is wrong with a body that says nothing.
pub fn nothing(body: &Value) -> Vec<Finding> {
    let mut findings = Findings::default();
    Fields::open("", body, &mut findings).only(&[]);
    findings.all()
}

fn kind(at: &mut Fields<'_, '_>) -> PostKind {
    let Some(word) = at.text("kind") else { return PostKind::Post };
    let found = PostKind::ALL.iter().find(|kind| kind.word() == word);
    if found.is_none() {
        let kinds = PostKind::ALL.iter().map(|kind| kind.word());
        let detail = format!("“{}” is not a kind of post.", text::shown(&word));
        at.findings.push(Finding::new("kind", "kind_unknown", detail).accepting(kinds));
    }
    found.copied().unwrap_or(PostKind::Post)
}

fn target(n: usize, value: &Value, findings: &mut Findings) -> WishedTarget {
    let path = format!("targets[{n}]");
    let mut at = Fields::open(&path, value, findings);
    at.only(&["account_id", "caption", "options"]);
    let account_id = at.text("account_id");
    if account_id.is_none() && at.absent("account_id") {
        let detail = "Say which account; GET /api/v1/accounts lists them.";
        at.findings.push(Finding::new(format!("{path}.account_id"), "required", detail));
    }
    let caption = at.text("caption");
    let options = at.value("options").map(|value| options(&path, value, findings)).unwrap_or_default();
    WishedTarget { account_id: account_id.unwrap_or_default(), caption, options, stands: false }
}

fn options(path: &str, value: &Value, findings: &mut Findings) -> BTreeMap<String, String> {
    let path = format!("{path}.options");
    let mut at = Fields::open(&path, value, findings);
    if at.map.len() > MOST_OPTIONS {
        let detail = format!("No network has more than {MOST_OPTIONS} options.");
        at.findings.push(Finding::new(path.as_str(), "too_many_options", detail));
        return BTreeMap::new();
    }
    let names: Vec<&String> = at.map.keys().collect();
    names.into_iter().filter_map(|name| Some((name.clone(), at.text(name)?))).collect()
}

fn time(value: &Value, findings: &mut Findings) -> WishedTime {
    let mut at = Fields::open("schedule", value, findings);
    at.only(&["at", "time_zone", "fold"]);
    if at.absent("at") {
        at.findings.push(Finding::new(
            "schedule.at",
            "required",
            "Say when, or leave the schedule out to publish now.",
        ));
    }
    WishedTime { at: at.text("at"), time_zone: at.text("time_zone"), fold: at.text("fold") }
}

static NOTHING: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

/// An object being read. What is `null` counts as left out.
pub(super) struct Fields<'a, 'f> {
    path: &'a str,
    map: &'a Map<String, Value>,
    findings: &'f mut Findings,
}

impl<'a, 'f> Fields<'a, 'f> {
    pub(super) fn open(path: &'a str, value: &'a Value, findings: &'f mut Findings) -> Self {
        let map = value.as_object().unwrap_or_else(|| {
            let field = if path.is_empty() { "body" } else { path };
            findings.push(Finding::new(field, "type", "This has to be an object."));
            &NOTHING
        });
        Self { path, map, findings }
    }

    fn field(&self, name: &str) -> String {
        let name = text::shown(name);
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn find(&mut self, name: &str, code: &'static str, detail: &str) {
        let field = self.field(name);
        self.findings.push(Finding::new(field, code, detail));
    }

    pub(super) fn only(&mut self, known: &[&str]) {
        for name in self.map.keys().filter(|name| !known.contains(&name.as_str())) {
            let detail = "There is no such field here.";
            let finding = Finding::new(self.field(name), "unknown_field", detail);
            self.findings.push(finding.accepting(known.iter().copied()));
        }
    }

    /// Whether it stands there, be it as `null`.
    fn named(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    pub(super) fn absent(&self, name: &str) -> bool {
        self.value(name).is_none()
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.value(name)?.as_str() {
            None => self.find(name, "type", "This has to be a text."),
            Some(text) if text.contains('\0') => {
                self.find(name, "nul_character", "The text has a NUL character (U+0000) in it. Remove it.");
            }
            Some(text) => return Some(text.to_owned()),
        }
        None
    }

    /// The list; what has more than `most` things in it is not looked into.
    fn list(&mut self, name: &str, most: usize, too_many: fn() -> Finding) -> Vec<&'a Value> {
        let Some(value) = self.value(name) else { return Vec::new() };
        match value.as_array() {
            None => self.find(name, "type", "This has to be a list."),
            Some(list) if list.len() > most => self.findings.push(too_many()),
            Some(list) => return list.iter().collect(),
        }
        Vec::new()
    }

    pub(super) fn texts(&mut self, name: &str, most: usize, too_many: fn() -> Finding) -> Vec<String> {
        let list = self.list(name, most, too_many);
        let text = |(n, value): (usize, &Value)| match value.as_str() {
            Some(text) if !text.contains('\0') => Some(text.to_owned()),
            _ => {
                self.find(&format!("{name}[{n}]"), "type", "This has to be an id, as the upload gave it.");
                None
            }
        };
        list.into_iter().enumerate().filter_map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn findings(body: &Value) -> Vec<(String, &'static str)> {
        post(body).1.into_iter().map(|finding| (finding.field, finding.code)).collect()
    }

    fn found(field: &str, code: &'static str) -> (String, &'static str) {
        (field.to_owned(), code)
    }

    #[test]
    fn a_full_post_is_read() {
        let (wish, findings) = post(&json!({
            "caption": "Opening day", "kind": "reel", "media_ids": ["m"], "link": null,
            "targets": [{ "account_id": "a", "caption": null, "options": { "privacy_level": "SELF_ONLY" } }],
            "schedule": { "at": "2026-12-01T09:30:00", "time_zone": "Asia/Jerusalem", "fold": "earlier" },
            "latest_after": "PT2H"
        }));
        assert_eq!(findings, []);
        assert_eq!(
            (wish.caption.as_str(), wish.kind, wish.media_ids.len()),
            ("Opening day", PostKind::Reel, 1)
        );
        assert_eq!(wish.targets[0].options["privacy_level"], "SELF_ONLY");
        assert_eq!(wish.schedule.and_then(|time| time.fold).as_deref(), Some("earlier"));
    }

    #[test]
    fn every_unknown_field_and_every_wrong_type_is_named() {
        let body = json!({
            "captoin": "x", "caption": 7, "media_ids": "m", "kind": "poem",
            "targets": [{ "account": "a" }, 3], "schedule": { "at": 5, "zone": "UTC" }
        });
        let found = [
            found("captoin", "unknown_field"),
            found("caption", "type"),
            found("kind", "kind_unknown"),
            found("media_ids", "type"),
            found("targets[0].account", "unknown_field"),
            found("targets[0].account_id", "required"),
            found("targets[1]", "type"),
            found("targets[1].account_id", "required"),
            found("schedule.zone", "unknown_field"),
            found("schedule.at", "type"),
        ];
        assert_eq!(findings(&body), found);
        assert_eq!(findings(&json!([])), [("body".to_owned(), "type")]);
    }

    #[test]
    fn a_nul_character_is_found_wherever_it_stands() {
        let body = json!({
            "caption": "a\0", "link": "\0", "media_ids": ["\0"], "latest_after": "\0",
            "targets": [{ "account_id": "\0", "caption": "\0", "options": { "privacy_level": "\0" } }],
            "schedule": { "at": "\0", "time_zone": "\0", "fold": "\0" }
        });
        assert_eq!(findings(&body).len(), 10);
    }

    #[test]
    fn a_bomb_of_brackets_is_malformed() {
        let bomb = "[".repeat(200_000);
        assert!(json(bomb.as_bytes()).is_err());
        assert!(json(b"{\"caption\": \"\\ud800\"}").is_err());
        assert!(json(b"\xff").is_err());
        assert!(json(b"").is_err());
    }
}
