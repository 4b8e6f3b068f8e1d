//! Writing a post. A form that cannot be taken comes back as it was, with what needs mending beside it.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Multipart, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use chrono_tz::TZ_VARIANTS;
use jobs::surface::{CaptionUnit, Platform, PostKind};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Choice, Shell,
    form::{LONGEST_FIELD, LONGEST_FORM, MOST_FIELDS, Written},
    list,
    post::{self, Preview},
    render, render_as,
    session::{Author, Seat},
    texts::{ENGLISH, Texts, fill},
    words::{self, Chip},
};
use crate::{
    ledger::{
        accept::Accepted,
        accounts::{Account, AccountState},
        idempotency::{Answer, Asked},
        media::Kept,
    },
    web::{
        App,
        finding::Finding,
        intake::media::form,
        problem::Problem,
        upload::{self, NotTaken, broken},
    },
};

const MOST_ACCOUNTS: i64 = 500;
/// So many files at once; the form says which did not fit.
const MOST_FILES: usize = 40;

#[derive(Template)]
#[template(path = "compose.html")]
struct Page {
    shell: Shell,
    written: Written,
    /// Nobody has written anything yet: the browser may fill in its zone.
    fresh: bool,
    notice: Option<&'static str>,
    summary: Option<String>,
    findings: Vec<Told>,
    kinds: Vec<Choice>,
    limits: Vec<Limit>,
    media: Vec<Preview>,
    accounts: Vec<Target>,
    zones: Vec<Choice>,
    gap: Vec<Offer>,
    ambiguous: bool,
    accept: &'static str,
}

/// A finding and the field it stands beside.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    anchor: String,
    detail: String,
    /// The same with the field's name, for the list above the form.
    summary: String,
}

/// What a network takes of a caption.
struct Limit {
    platform: &'static str,
    title: &'static str,
    most: usize,
    utf16: bool,
    text: String,
}

struct Target {
    id: String,
    name: String,
    platform: String,
    network: String,
    chosen: bool,
    active: bool,
    chip: Chip,
    privacy_label: String,
    privacy: Vec<Choice>,
}

/// A time that is offered instead of one that does not exist.
pub struct Offer {
    pub value: String,
    pub label: String,
}

impl Page {
    /// What stands beside this field.
    fn of(&self, anchor: &str) -> Vec<&str> {
        self.findings.iter().filter(|told| told.anchor == anchor).map(|told| told.detail.as_str()).collect()
    }

    fn wrong(&self, anchor: &str) -> bool {
        self.findings.iter().any(|told| told.anchor == anchor)
    }
}

/// An empty form.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let zone = app.house.ledger.last_time_zone(seat.member.workspace_id).await?;
    let written = Written::fresh(zone.unwrap_or_else(|| "UTC".to_owned()));
    let page = Sheet { app: &app, seat: &seat, headers: &headers }.page(written, &[], None, true).await?;
    render(&page)
}

/// Takes the form: files first, for they came with it; then the post.
pub async fn submit(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let form = form(&headers, request).await?;
    let (mut written, mut found) = read(&app, &seat, form).await?;
    let sheet = Sheet { app: &app, seat: &seat, headers: &headers };
    let (wish, unreadable) = written.wish();
    found.extend(unreadable);
    let asked = asked(&written, &seat);
    let question = wish.question(seat.member.workspace_id, Some(asked));
    let accepted = app.accept(wish, found, question, seat.member.person_id).await?;
    match accepted {
        Accepted::New { post, .. } => Ok(Redirect::to(&format!("/posts/{}", post.id)).into_response()),
        Accepted::Before(answer) => Ok(Redirect::to(&address_of(&answer)).into_response()),
        Accepted::KeyReused => {
            written.key = uuid::Uuid::now_v7().to_string();
            let page = sheet.page(written, &[], Some(ENGLISH.already_sent), false).await?;
            render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Accepted::Refused(findings) => {
            let page = sheet.page(written, &findings, None, false).await?;
            render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
    }
}

/// Reads the fields in the order in which the page has them: the token comes before any file.
async fn read(
    app: &Arc<App>,
    seat: &Seat<Author>,
    mut form: Multipart,
) -> Result<(Written, Vec<Finding>), Problem> {
    let (mut written, mut found, mut fields, mut files) = (Written::default(), Vec::new(), 0, 0);
    let mut room = LONGEST_FORM;
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
        fields += 1;
        if fields > MOST_FIELDS {
            return Err(Problem::malformed("The form has too many fields."));
        }
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            seat.check(&written.token)?;
            if field.file_name().is_none_or(str::is_empty) {
                continue; // a browser sends an empty one where none was chosen
            }
            files += 1;
            if files > MOST_FILES {
                return Err(Problem::malformed("The form has too many files."));
            }
            match take_file(app, seat, field).await {
                Ok((id, digest)) => {
                    written.came.push(digest);
                    written.media_ids.push(id);
                }
                Err(NotTaken::File(finding)) => found.push(finding),
                Err(NotTaken::Problem(problem)) => return Err(problem),
            }
        } else {
            let value = text(field).await?;
            room = room.checked_sub(value.len()).ok_or_else(|| Problem::too_large(LONGEST_FORM as u64))?;
            written.put(&name, value)?;
        }
    }
    seat.check(&written.token)?;
    Ok((written, found))
}

/// The text of one field, never more than the limit in memory.
async fn text(mut field: axum::extract::multipart::Field<'_>) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST_FIELD {
            return Err(Problem::too_large(LONGEST_FIELD as u64));
        }
    }
    String::from_utf8(bytes).map_err(|_| Problem::malformed("A field of the form is not UTF-8."))
}

async fn take_file(
    app: &Arc<App>,
    seat: &Seat<Author>,
    field: axum::extract::multipart::Field<'_>,
) -> Result<(String, String), NotTaken> {
    let called = crate::web::text::file_name(field.file_name().unwrap_or_default());
    let named = |error| match error {
        NotTaken::File(finding) => {
            let detail = format!("“{called}”: {}", finding.detail);
            NotTaken::File(Finding { detail, ..finding })
        }
        NotTaken::Problem(problem) => NotTaken::Problem(problem),
    };
    let received = upload::receive(field, "media_ids", &app.house.web).await.map_err(&named)?;
    let digest = hex::encode(received.sha256);
    let kept = app.keep_file(received, seat.member.workspace_id, None, "media_ids").await.map_err(&named)?;
    match kept {
        Kept::New(media, _) => Ok((media.id.to_string(), digest)),
        // No key was given, so none was taken.
        Kept::Before(_) | Kept::KeyReused => Err(Problem::internal().into()),
    }
}

fn asked(written: &Written, seat: &Seat<Author>) -> Asked {
    let digest = Sha256::new().chain_update("POST /posts/new\n").chain_update(written.content()).finalize();
    // A form's key is its own and its writer's: it must not meet a machine's.
    let key = Sha256::new().chain_update(seat.member.person_id).chain_update(&written.key).finalize();
    Asked {
        workspace_id: seat.member.workspace_id,
        key: format!("form:{}", hex::encode(key)),
        digest: digest.into(),
    }
}

fn address_of(answer: &Answer) -> String {
    let post: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    post["id"].as_str().map_or_else(|| "/posts".to_owned(), |id| format!("/posts/{id}"))
}

/// What a page of the form is made from.
struct Sheet<'a> {
    app: &'a App,
    seat: &'a Seat<Author>,
    headers: &'a HeaderMap,
}

impl Sheet<'_> {
    async fn page(
        &self,
        written: Written,
        findings: &[Finding],
        notice: Option<&'static str>,
        fresh: bool,
    ) -> Result<Page, Problem> {
        let t = &ENGLISH;
        let workspace = self.seat.member.workspace_id;
        let ids: Vec<uuid::Uuid> = written.media_ids.iter().filter_map(|id| id.parse().ok()).collect();
        let (files, accounts) = tokio::try_join!(
            self.app.house.ledger.media_of(workspace, &ids),
            self.app.house.ledger.accounts(workspace, None, MOST_ACCOUNTS),
        )?;
        let told = tell(t, findings, &written, &accounts, self.app);
        let in_order = ids.iter().filter_map(|id| files.iter().find(|file| file.id == *id));
        Ok(Page {
            shell: Shell::seated(self.app, self.headers, self.seat, "new", "/posts/new"),
            fresh,
            notice,
            summary: (!told.is_empty()).then(|| Texts::count(told.len(), t.findings_one, t.findings_many)),
            findings: told,
            kinds: kinds(t, &written.kind),
            limits: limits(t, self.app, &accounts),
            media: in_order.map(|file| post::preview(t, file)).collect(),
            accounts: accounts.iter().map(|account| target(t, self.app, account, &written)).collect(),
            zones: zones(&written.zone),
            gap: offers(findings),
            ambiguous: findings.iter().any(|finding| finding.code == "dst_ambiguous")
                || !written.fold.is_empty(),
            accept: "image/jpeg,image/png,image/webp,video/mp4,video/quicktime,video/webm",
            written,
        })
    }
}

/// Each finding beside the field it is about; what several accounts share is said once.
fn tell(t: &Texts, findings: &[Finding], written: &Written, accounts: &[Account], app: &App) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    for finding in findings {
        let (target, field) = split(&finding.field);
        let account = target.and_then(|n| written.targets.get(n));
        let anchor = match (account, field) {
            (Some(id), "account_id") => format!("target-{id}"),
            (Some(id), "options.privacy_level") => format!("privacy-{id}"),
            (_, "caption") => "caption".to_owned(),
            (_, "schedule.at") => "date".to_owned(),
            (_, "schedule.fold") => "fold".to_owned(),
            (_, "schedule.time_zone") => "zone".to_owned(),
            (_, "kind") => "kind".to_owned(),
            (_, "link") => "link".to_owned(),
            (_, field) if field.starts_with("media_ids") => "media".to_owned(),
            _ => "targets".to_owned(),
        };
        let platform = account
            .and_then(|id| accounts.iter().find(|it| it.id.to_string() == *id))
            .map(|it| words::network(app, &it.platform));
        let detail = match platform {
            // The networks' findings name themselves already.
            Some(network) if field == "account_id" => format!("{network}: {}", finding.detail),
            _ => finding.detail.clone(),
        };
        let label = label(t, field);
        let one = Told { anchor, summary: fill(t.finding_at, &[label, &detail]), detail };
        if !told.contains(&one) {
            told.push(one);
        }
    }
    told
}

/// What the form calls a field.
pub fn label(t: &Texts, field: &str) -> &'static str {
    match field {
        "caption" => t.caption,
        "schedule.at" | "schedule.fold" => t.when,
        "schedule.time_zone" => t.zone,
        "kind" => t.kind,
        "link" => t.link,
        field if field.starts_with("media_ids") => t.media,
        _ => t.targets,
    }
}

/// `targets[2].caption` is about target 2's caption.
pub fn split(field: &str) -> (Option<usize>, &str) {
    let target = field.strip_prefix("targets[").and_then(|rest| rest.split_once("]."));
    match target.and_then(|(n, field)| Some((n.parse().ok()?, field))) {
        Some((n, field)) => (Some(n), field),
        None => (None, field),
    }
}

fn kinds(t: &Texts, chosen: &str) -> Vec<Choice> {
    let choice = |kind: &PostKind| Choice {
        value: kind.word().to_owned(),
        label: list::kind(t, kind.word()).to_owned(),
        chosen: kind.word() == chosen,
    };
    PostKind::ALL.iter().map(choice).collect()
}

/// The limits of the networks that this workspace has accounts of.
fn limits(t: &Texts, app: &App, accounts: &[Account]) -> Vec<Limit> {
    let used = |platform: &&&Platform| accounts.iter().any(|account| account.platform == platform.name);
    let limit = |platform: &&'static Platform| {
        let most = fill(t.caption_most, &[&platform.caption.most.to_string()]);
        let tags = platform.hashtags.map(|most| format!(", {}", fill(t.hashtags_most, &[&most.to_string()])));
        Limit {
            platform: platform.name,
            title: platform.title,
            most: platform.caption.most,
            utf16: platform.caption.unit == CaptionUnit::Utf16,
            text: format!("{most}{}", tags.unwrap_or_default()),
        }
    };
    app.rules.platforms.iter().filter(used).map(limit).collect()
}

fn target(t: &'static Texts, app: &App, account: &Account, written: &Written) -> Target {
    let id = account.id.to_string();
    let platform = app.rules.platforms.iter().find(|platform| platform.name == account.platform);
    let network = words::network(app, &account.platform).to_owned();
    let default = account.defaults["privacy_level"].as_str();
    let chosen = written.privacy.get(&id).map(String::as_str).unwrap_or_default();
    let levels = platform.map_or(&[][..], |platform| platform.privacy_levels);
    let first = default
        .map_or_else(|| t.privacy_choose.to_owned(), |level| fill(t.privacy_default, &[&humane(level)]));
    let none = Choice { value: String::new(), label: first, chosen: chosen.is_empty() };
    let choice =
        |level: &&str| Choice { value: (*level).to_owned(), label: humane(level), chosen: chosen == *level };
    let privacy = std::iter::once(none).chain(levels.iter().map(choice));
    Target {
        name: account.name.clone(),
        platform: account.platform.clone(),
        privacy_label: fill(t.privacy, &[&network]),
        network,
        chosen: written.targets.contains(&id),
        active: account.state == AccountState::Active,
        chip: words::account_chip(t, account.state),
        privacy: if levels.is_empty() { Vec::new() } else { privacy.collect() },
        id,
    }
}

/// `SELF_ONLY` as people read it: `Self only`.
fn humane(word: &str) -> String {
    let lower = word.replace('_', " ").to_lowercase();
    let mut letters = lower.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The zones that people live in, and the one that was chosen.
pub fn zones(chosen: &str) -> Vec<Choice> {
    const REGIONS: &[&str] = &[
        "Africa/",
        "America/",
        "Antarctica/",
        "Arctic/",
        "Asia/",
        "Atlantic/",
        "Australia/",
        "Europe/",
        "Indian/",
        "Pacific/",
    ];
    let lived_in = |name: &str| name == "UTC" || REGIONS.iter().any(|region| name.starts_with(region));
    let mut names: Vec<&str> =
        TZ_VARIANTS.iter().map(|zone| zone.name()).filter(|name| lived_in(name)).collect();
    names.sort_unstable();
    if !names.contains(&chosen) && !chosen.is_empty() {
        names.insert(0, chosen);
    }
    let choice =
        |name: &str| Choice { value: name.to_owned(), label: name.replace('_', " "), chosen: name == chosen };
    names.into_iter().map(choice).collect()
}

/// The two times nearest to one that does not exist.
pub fn offers(findings: &[Finding]) -> Vec<Offer> {
    let gap = findings.iter().find(|finding| finding.code == "dst_gap");
    let offer = |value: &String| Offer { value: value.clone(), label: value.replace('T', " ") };
    gap.map(|finding| finding.accepted.iter().map(offer).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_split_from_its_field() {
        assert_eq!(split("targets[2].options.privacy_level"), (Some(2), "options.privacy_level"));
        assert_eq!(split("targets"), (None, "targets"));
        assert_eq!(split("schedule.at"), (None, "schedule.at"));
    }

    #[test]
    fn a_chosen_zone_is_always_in_the_list() {
        for zone in ["Asia/Jerusalem", "UTC", "Etc/GMT+2", "Nowhere/Else"] {
            assert_eq!(zones(zone).iter().filter(|choice| choice.chosen).count(), 1, "{zone}");
        }
    }

    #[test]
    fn a_privacy_level_is_readable() {
        assert_eq!(humane("MUTUAL_FOLLOW_FRIENDS"), "Mutual follow friends");
    }
}
