//! What staff do about a post that was accepted: change it, cancel it, try it again. Works without a script.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Choice, Shell, fields,
    form::Written,
    post, render, render_as,
    seat::{AtLeast, Author, Publisher, Seat},
    sure::Sure,
    texts::{ENGLISH, fill},
    told, words,
};
use crate::{
    ledger::{edit::Unchanged, idempotency::Once, posts::Post},
    web::{
        Act, App, Editor,
        finding::Finding,
        intake::jobs::sentence,
        patch::Patch,
        problem::{self, Problem},
        wish::WishedTime,
    },
};

#[derive(Template)]
#[template(path = "edit.html")]
struct Page {
    shell: Shell,
    address: String,
    written: Written,
    when: String,
    notice: Option<String>,
    findings: Vec<String>,
    zones: Vec<Choice>,
    gap: Vec<fields::Offer>,
    ambiguous: bool,
}

/// A form that is nothing but a button.
#[derive(Deserialize)]
pub struct Button {
    token: String,
}

/// Cancels what is not out yet.
pub async fn cancel(
    app: State<Arc<App>>,
    seat: Seat<Publisher>,
    headers: HeaderMap,
    id: Path<String>,
    form: Form<Button>,
) -> Result<Response, Problem> {
    press(app, seat, headers, id, form, Act::Cancel).await
}

/// Tries again what failed.
pub async fn retry(
    app: State<Arc<App>>,
    seat: Seat<Publisher>,
    headers: HeaderMap,
    id: Path<String>,
    Sure(form): Sure<Button>,
) -> Result<Response, Problem> {
    press(app, seat, headers, id, Form(form), Act::Retry).await
}

/// What can be pressed twice without harm needs no key.
async fn press(
    State(app): State<Arc<App>>,
    seat: Seat<Publisher>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(form): Form<Button>,
    act: Act,
) -> Result<Response, Problem> {
    seat.check(&form.token)?;
    let post = known(&seat, &id).await?;
    match app.act(act, (seat.member.workspace_id, post.id), None, seat.who).await? {
        Once::Done(Err(Unchanged::Refused(refusal))) => {
            let mut notice = sentence(&refusal);
            if act == Act::Cancel && !app.offers(&post).is_empty() {
                notice = format!("{notice} {}", ENGLISH.cancel_too_late);
            }
            post::show(&app, &seat, &headers, post.id, StatusCode::CONFLICT, Some(notice)).await
        }
        Once::Done(_) | Once::Before(_) | Once::KeyReused => {
            Ok(Redirect::to(&format!("/posts/{}", post.id)).into_response())
        }
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
    let written = Written {
        caption: post.caption.clone(),
        link: post.link.clone().unwrap_or_default(),
        when: "keep".into(),
        seen: post.approval.as_ref().map(|approval| approval.digest.clone()).unwrap_or_default(),
        ..Written::fresh(zone.unwrap_or_else(|| "UTC".to_owned()))
    };
    render(&view(&app, &seat, &headers, &post, written, &[], None))
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
    let again = |written, problem: Problem| {
        let notice = fill(ENGLISH.edit_kept, &[&problem.detail]);
        Ok(problem.dress(render(&view(&app, &seat, &headers, &post, written, &[], Some(notice)))?))
    };
    if seat.check(&written.token).is_err() {
        return again(written, Problem::forbidden(ENGLISH.form_stale));
    }
    let (patch, found) = read(&written, &post);
    let route = format!("POST /posts/{}/edit", post.id);
    let asked = seat.asked(&written.key, &route, &written.content());
    let about = (seat.member.workspace_id, post.id);
    let seen = Some(written.seen.clone()).filter(|seen| !seen.is_empty());
    let by = Editor { word: seat.word(), who: seat.who, seen };
    let edited = match app.edit(patch, found, about, Some(asked), by).await {
        Ok(edited) => edited,
        Err(problem) => return again(written, problem),
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
    render_as(status, &view(&app, &seat, &headers, &post, written, &findings, notice))
}

async fn known<R: AtLeast>(seat: &Seat<R>, id: &str) -> Result<Post, Problem> {
    let post = seat.ledger.post(seat.member.workspace_id, problem::id(id, "post")?).await?;
    post.ok_or_else(|| Problem::not_found("post"))
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
    // a browser writes line ends of its own: what says the same is no change
    let same = wish.caption == post.caption.replace("\r\n", "\n");
    let caption = (!same).then_some(wish.caption);
    (Patch { caption, link: Some(wish.link), schedule, ..Patch::default() }, found)
}

fn view(
    app: &App,
    seat: &Seat<Author>,
    headers: &HeaderMap,
    post: &Post,
    written: Written,
    findings: &[Finding],
    notice: Option<String>,
) -> Page {
    let t = &ENGLISH;
    let address = format!("/posts/{}", post.id);
    let told = |finding: &Finding| {
        fill(t.finding_at, &[told::label(t, told::split(&finding.field).1), &finding.detail])
    };
    let mut told: Vec<String> = findings.iter().map(told).collect();
    told.dedup();
    Page {
        shell: Shell::seated(app, headers, seat, "posts", &format!("{address}/edit")),
        when: words::when(t, post),
        notice,
        findings: told,
        zones: fields::zones(&written.zone),
        gap: fields::offers(findings.iter().map(|it| (it.code, it.accepted.as_slice()))),
        ambiguous: findings.iter().any(|finding| finding.code == "dst_ambiguous") || !written.fold.is_empty(),
        address,
        written,
    }
}
