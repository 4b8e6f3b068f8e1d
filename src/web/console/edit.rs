//! Changing a post that was accepted: its words, those of single accounts, its link and its time. Works without a script.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use jobs::comment;
use uuid::Uuid;

use super::{
    Choice, Shell,
    change::known,
    fields,
    form::Written,
    render, render_as,
    seat::{Author, Seat},
    texts::{ENGLISH, fill},
    told::{self, Told},
    words,
};
use crate::{
    ledger::{
        edit::Unchanged,
        idempotency::Once,
        posts::{Post, Publication},
    },
    web::{
        App, Editor,
        check::Noted,
        finding::Finding,
        intake::jobs::sentence,
        patch::{Patch, PatchedTarget, is_over},
        problem::Problem,
        wish::WishedTime,
    },
};

/// The option that says who may see it.
const PRIVACY: &str = "privacy_level";

#[derive(Template)]
#[template(path = "edit.html")]
struct Page {
    shell: Shell,
    address: String,
    written: Written,
    when: String,
    notice: Option<String>,
    findings: Vec<Told>,
    /// Where it is not out yet.
    targets: Vec<fields::Target>,
    zones: Vec<Choice>,
    gap: Vec<fields::Offer>,
    ambiguous: bool,
}

impl Page {
    /// What stands beside this field.
    fn of(&self, anchor: &str) -> Vec<&Told> {
        told::beside(&self.findings, anchor)
    }

    fn wrong(&self, anchor: &str) -> bool {
        told::is_beside(&self.findings, anchor)
    }
}

/// The form, with the post in it.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let post = known(&seat, &id).await?;
    // what went out at once says nothing of where its writer is
    let zone = match &post.time_zone {
        Some(zone) => Some(zone.clone()),
        None => seat.ledger.last_time_zone(seat.member.workspace_id).await?,
    };
    let written = as_it_is(&post, zone.unwrap_or_else(|| "UTC".to_owned()));
    let sheet = Sheet { app: &app, seat: &seat, headers: &headers, post: &post };
    render(&sheet.page(written, Said::default()).await?)
}

/// Takes the form.
pub async fn submit(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let mut written = Written::default();
    for (name, value) in fields {
        written.put(&name, value)?;
    }
    let post = known(&seat, &id).await?;
    let sheet = Sheet { app: &app, seat: &seat, headers: &headers, post: &post };
    if seat.check(&written.token).is_err() {
        return sheet.again(written, Problem::forbidden(ENGLISH.form_stale)).await;
    }
    let (patch, found) = read(&written, &post);
    let targets = patch.order(&post);
    let about = (seat.member.workspace_id, post.id);
    let asked = seat.asked(&written.key, &format!("POST /posts/{}/edit", post.id), &written.content());
    let seen = Some(written.seen.clone()).filter(|seen| !seen.is_empty());
    let by = Editor { word: seat.word(), who: seat.who, seen };
    let edited = match app.edit(patch, found, about, Some(asked), by).await {
        Ok(edited) => edited,
        Err(problem) => return sheet.again(written, problem).await,
    };
    let (findings, notice, status) = match edited {
        Once::Done(Ok(_)) | Once::Before(_) => {
            return Ok(Redirect::to(&format!("/posts/{}", post.id)).into_response());
        }
        Once::KeyReused => {
            written.key = Uuid::now_v7().to_string();
            (Vec::new(), Some(ENGLISH.edit_already_sent.to_owned()), StatusCode::UNPROCESSABLE_ENTITY)
        }
        Once::Done(Err(Unchanged::Bad(findings))) => (findings, None, StatusCode::UNPROCESSABLE_ENTITY),
        Once::Done(Err(Unchanged::Refused(refusal))) => {
            (Vec::new(), Some(sentence(&refusal)), StatusCode::CONFLICT)
        }
    };
    render_as(status, &sheet.page(written, Said { findings, targets, notice }).await?)
}

/// The form of a post that nobody has changed yet.
fn as_it_is(post: &Post, zone: String) -> Written {
    let mut written = Written {
        caption: post.caption.clone(),
        link: post.link.clone().unwrap_or_default(),
        when: "keep".into(),
        seen: post.approval.as_ref().map(|approval| approval.digest.clone()).unwrap_or_default(),
        ..Written::fresh(zone)
    };
    for it in changeable(post) {
        let (id, mut options) = (it.account_id.to_string(), options(it));
        written.words.insert(id.clone(), it.caption.clone().unwrap_or_default());
        written.privacy.insert(id.clone(), options.remove(PRIVACY).unwrap_or_default());
        written.comments.insert(id, options.remove(comment::OPTION).unwrap_or_default());
    }
    written
}

/// The accounts on which it is not out yet, nor given up.
fn changeable(post: &Post) -> impl Iterator<Item = &Publication> {
    post.publications.iter().filter(|it| it.parent_id.is_none() && !is_over(it))
}

/// What its author chose for this network.
fn options(it: &Publication) -> BTreeMap<String, String> {
    let options = it.options.as_object().into_iter().flatten();
    options.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// What the form wishes, and what its reader finds.
fn read(written: &Written, post: &Post) -> (Patch, Vec<Finding>) {
    let (wish, mut found) = written.wish();
    for finding in found.iter_mut().filter(|finding| finding.code == "when_unclear") {
        ENGLISH.edit_when_unclear.clone_into(&mut finding.detail);
    }
    let schedule: Option<Option<WishedTime>> = match written.when.as_str() {
        "later" => Some(wish.schedule),
        "now" => Some(None),
        _ => None,
    };
    let caption = is_new(&wish.caption, &post.caption).then_some(wish.caption);
    let targets: Vec<PatchedTarget> = changeable(post).filter_map(|it| patched(written, it)).collect();
    for (n, target) in targets.iter().enumerate() {
        if target.caption.iter().flatten().any(|words| words.contains('\0')) {
            let detail = "The text has a NUL character in it. Remove it.";
            found.push(Finding::new(format!("targets[{n}].caption"), "nul_character", detail));
        }
    }
    (Patch { caption, link: Some(wish.link), targets, schedule, ..Patch::default() }, found)
}

/// A browser writes line ends of its own: what says the same is no change.
fn is_new(written: &str, was: &str) -> bool {
    written != was.replace("\r\n", "\n")
}

/// What is to be otherwise on this account. An account is named only if something is: what is named is judged by
/// whether its account may be used now.
fn patched(written: &Written, it: &Publication) -> Option<PatchedTarget> {
    let account_id = it.account_id.to_string();
    let words = written.words.get(&account_id);
    let words = words.filter(|words| is_new(words, it.caption.as_deref().unwrap_or_default()));
    let caption = words.map(|words| Some(words.clone()).filter(|words| !words.trim().is_empty()));
    let was = options(it);
    let mut options = was.clone();
    for (name, said) in [(PRIVACY, &written.privacy), (comment::OPTION, &written.comments)] {
        overlay(&mut options, name, said.get(&account_id));
    }
    let options = (options != was).then_some(options);
    (caption.is_some() || options.is_some()).then_some(PatchedTarget { account_id, caption, options })
}

/// Lays what a field says over the option; one that the form did not have, or that says what it showed, changes nothing.
fn overlay(options: &mut BTreeMap<String, String>, name: &str, said: Option<&String>) {
    let shown = options.get(name).map(String::as_str).unwrap_or_default();
    let Some(said) = said.filter(|said| is_new(said, shown)) else { return };
    if said.trim().is_empty() {
        options.remove(name);
    } else {
        options.insert(name.to_owned(), said.replace('\0', ""));
    }
}

/// What a page of the form says besides what was written.
#[derive(Default)]
struct Said {
    findings: Vec<Finding>,
    /// The accounts in the order in which the findings count them.
    targets: Vec<String>,
    notice: Option<String>,
}

/// What a page of the form is made from.
struct Sheet<'a> {
    app: &'a App,
    seat: &'a Seat<Author>,
    headers: &'a HeaderMap,
    post: &'a Post,
}

impl Sheet<'_> {
    /// The form as it was written: what stands in its way is not in it.
    async fn again(&self, written: Written, problem: Problem) -> Result<Response, Problem> {
        let notice = fill(ENGLISH.edit_kept, &[&problem.detail]);
        match self.page(written, Said { notice: Some(notice), ..Said::default() }).await {
            Ok(page) => Ok(problem.dress(render(&page)?)),
            // what the form is made of is away as well
            Err(_) => Err(problem),
        }
    }

    async fn page(&self, written: Written, said: Said) -> Result<Page, Problem> {
        let t = &ENGLISH;
        let Said { findings, targets, notice } = said;
        let workspace = self.seat.member.workspace_id;
        let accounts = self.seat.ledger.shown_accounts(workspace).await?;
        let address = format!("/posts/{}", self.post.id);
        let gap = fields::offers(findings.iter().map(|it| (it.code, it.accepted.as_slice())));
        let ambiguous = findings.iter().any(|it| it.code == "dst_ambiguous") || !written.fold.is_empty();
        let noted: Vec<Noted> = findings.into_iter().map(Noted::from).collect();
        let about = told::About { written: &written, targets: &targets, accounts: &accounts };
        let told = told::tell(t, &noted, &about, self.app);
        let open =
            accounts.iter().filter(|account| changeable(self.post).any(|it| it.account_id == account.id));
        Ok(Page {
            shell: Shell::seated(self.app, self.headers, self.seat, "posts", &format!("{address}/edit")),
            when: words::when(t, self.post),
            notice,
            findings: told,
            targets: open.map(|account| fields::target(t, self.app, account, &written)).collect(),
            zones: fields::zones(&written.zone),
            gap,
            ambiguous,
            address,
            written,
        })
    }
}
