//! The webhooks of a workspace: added, looked at, tried, given another secret, switched on and off, removed.

use std::{collections::HashMap, sync::Arc};

use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use jobs::deliveries::EVENTS;
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use uuid::Uuid;

use super::{
    Choice, Shell, render_as,
    seat::{Admin, Seat},
    sure::Sure,
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::{
        idempotency::{Answer, Once},
        sendings::Delivery,
        webhooks::{Change, NOTE_MOST, NewWebhook, Undone, Webhook, Write, fresh_secret},
    },
    web::{
        App,
        problem::{self, Problem},
        webhook::{Changed, refused, wrong_with},
    },
};

/// What was sent lately, as far as it is shown.
const SHOWN: i64 = 50;

#[derive(Template)]
#[template(path = "webhooks.html")]
struct Page {
    shell: Shell,
    token: String,
    rows: Vec<Row>,
    url: String,
    note: String,
    note_most: usize,
    events: Vec<Choice>,
    wrong: Vec<String>,
}

struct Row {
    id: Uuid,
    name: String,
    state: String,
    events: String,
}

#[derive(Template)]
#[template(path = "webhook.html")]
struct One {
    shell: Shell,
    token: String,
    id: Uuid,
    name: String,
    url: String,
    state: String,
    active: bool,
    events: String,
    failing: Option<String>,
    previous: Option<String>,
    /// The secret that was just made.
    made: Option<String>,
    sent: Vec<Line>,
}

struct Line {
    id: Uuid,
    what: &'static str,
    post: Option<Uuid>,
    state: &'static str,
    at: String,
    tries: String,
    why: Option<String>,
    next: Option<String>,
    /// Whether it can be sent again.
    over: bool,
}

/// What the forms send: a field for each event, besides the others.
type Written = HashMap<String, String>;

fn field<'w>(written: &'w Written, name: &str) -> &'w str {
    written.get(name).map(String::as_str).unwrap_or_default()
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    show(&app, &seat, &headers, (StatusCode::OK, Vec::new()), &Written::new()).await
}

async fn show(
    app: &App,
    seat: &Seat<Admin>,
    headers: &HeaderMap,
    (status, wrong): (StatusCode, Vec<String>),
    written: &Written,
) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let all = seat.ledger.webhooks(seat.member.workspace_id).await?;
    let event = |event: &&str| Choice {
        value: (*event).to_owned(),
        label: happened(t, event).to_owned(),
        chosen: written.contains_key(*event),
    };
    let page = Page {
        shell: Shell::seated(app, headers, seat, "keys", "/webhooks"),
        token: seat.token.clone(),
        rows: all.iter().map(|it| row(t, it)).collect(),
        url: field(written, "url").to_owned(),
        note: field(written, "note").to_owned(),
        note_most: NOTE_MOST,
        events: EVENTS.iter().map(event).collect(),
        wrong,
    };
    render_as(status, &page)
}

fn row(t: &Texts, it: &Webhook) -> Row {
    Row { id: it.id, name: name(it), state: state(t, it).to_owned(), events: events(t, it) }
}

/// What people know it by, else where it is.
fn name(it: &Webhook) -> String {
    let host = || Url::parse(&it.url).ok().and_then(|url| url.host_str().map(str::to_owned));
    if it.note.is_empty() { host().unwrap_or_else(|| it.url.clone()) } else { it.note.clone() }
}

fn events(t: &Texts, it: &Webhook) -> String {
    it.events.iter().map(|event| happened(t, event)).collect::<Vec<_>>().join(" · ")
}

/// An event in words.
fn happened(t: &Texts, event: &str) -> &'static str {
    match event {
        "post.published" => t.hook_post_published,
        "post.failed" => t.hook_post_failed,
        "post.held" => t.hook_post_held,
        "account.reconnect" => t.hook_account_reconnect,
        "deletion.completed" => t.hook_deletion_completed,
        _ => t.hook_test,
    }
}

fn state(t: &Texts, it: &Webhook) -> &'static str {
    match it.disabled_why.as_deref() {
        None => t.hooks_active,
        Some("failing") => t.hooks_failing,
        Some("gone") => t.hooks_gone,
        Some(_) => t.hooks_asked,
    }
}

/// Adds one and shows its secret, this once: the page is not kept.
pub async fn add(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Sure(written): Sure<Written>,
) -> Result<Response, Problem> {
    seat.check(field(&written, "token"))?;
    let text = |name: &str| field(&written, name).trim().replace('\0', "");
    let chosen = EVENTS.iter().filter(|event| written.contains_key(**event));
    let wished = Changed {
        url: Some(text("url")),
        events: Some(chosen.map(|event| (*event).to_owned()).collect()),
        note: Some(text("note")),
        enabled: None,
    };
    let settings = app.house.webhooks;
    let wrong: Vec<String> =
        wrong_with(&wished, settings.private).into_iter().map(|finding| finding.detail).collect();
    if !wrong.is_empty() {
        return show(&app, &seat, &headers, (StatusCode::UNPROCESSABLE_ENTITY, wrong), &written).await;
    }
    let secret = fresh_secret().map_err(|_| Problem::internal())?;
    let change = wished.change();
    let new = NewWebhook {
        url: change.url.unwrap_or_default(),
        events: change.events.unwrap_or_default(),
        note: change.note.unwrap_or_default(),
        secret: &secret,
        created_by: seat.member.person_id,
        most: i64::from(settings.most),
    };
    let it = came(&app, seat.ledger.add_webhook(&write(&seat), &new, &app.house.sealer).await?)?;
    one(&app, &seat, &headers, &it, Some(&secret)).await
}

/// A write of a form: nothing is kept of its answer.
fn write<T>(seat: &Seat<Admin>) -> Write<'static, T> {
    Write { workspace_id: seat.member.workspace_id, asked: None, answer: unkept }
}

fn unkept<T>(_: &T) -> Answer {
    Answer { status: 200, body: String::new() }
}

fn came<T>(app: &App, done: Once<Result<T, Undone>>) -> Result<T, Problem> {
    match done {
        Once::Done(Ok(it)) => Ok(it),
        Once::Done(Err(why)) => Err(refused(why, app.house.webhooks.most)),
        Once::Before(_) | Once::KeyReused => Err(Problem::internal()),
    }
}

/// One of this workspace's.
async fn mine(seat: &Seat<Admin>, text: &str) -> Result<Webhook, Problem> {
    let id = problem::id(text, "webhook")?;
    let found = seat.ledger.webhook(seat.member.workspace_id, id).await?;
    found.ok_or_else(|| Problem::not_found("webhook"))
}

/// One, with what was sent there lately.
pub async fn look(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Path(webhook): Path<String>,
) -> Result<Response, Problem> {
    let it = mine(&seat, &webhook).await?;
    one(&app, &seat, &headers, &it, None).await
}

async fn one(
    app: &App,
    seat: &Seat<Admin>,
    headers: &HeaderMap,
    it: &Webhook,
    secret: Option<&SecretString>,
) -> Result<Response, Problem> {
    let (t, now) = (&ENGLISH, app.house.clock.now());
    let deliveries = seat.ledger.deliveries(seat.member.workspace_id, it.id, None, SHOWN).await?;
    let page = One {
        shell: Shell::seated(app, headers, seat, "keys", &format!("/webhooks/{}", it.id)),
        token: seat.token.clone(),
        id: it.id,
        name: name(it),
        url: it.url.clone(),
        state: state(t, it).to_owned(),
        active: it.state == "active",
        events: events(t, it),
        failing: it.failing_since.map(|at| fill(t.hooks_failing_since, &[&words::minute(at)])),
        previous: it
            .previous_until
            .filter(|until| *until > now)
            .map(|until| fill(t.hooks_previous, &[&words::minute(until)])),
        made: secret.map(|secret| secret.expose_secret().to_owned()),
        sent: deliveries.into_iter().map(|delivery| line(t, delivery)).collect(),
    };
    render_as(StatusCode::OK, &page)
}

fn line(t: &Texts, it: Delivery) -> Line {
    let state = match it.state.as_str() {
        "waiting" => t.hooks_waiting,
        "delivered" => t.hooks_delivered,
        "gone" => t.hooks_deleted,
        _ => t.hooks_given_up,
    };
    let tries = usize::try_from(it.tries).unwrap_or_default();
    Line {
        id: it.id,
        what: happened(t, &it.kind),
        post: it.post_id,
        state,
        at: words::minute(it.occurred_at),
        tries: Texts::count(tries, t.hooks_tried_once, t.hooks_tried),
        why: it.last_error,
        next: it.next_at.map(|at| fill(t.hooks_next, &[&words::minute(at)])),
        over: it.state != "waiting",
    }
}

/// Gives it another secret and shows that, this once.
pub async fn rotate(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Path(webhook): Path<String>,
    Sure(written): Sure<Written>,
) -> Result<Response, Problem> {
    seat.check(field(&written, "token"))?;
    let id = mine(&seat, &webhook).await?.id;
    let secret = fresh_secret().map_err(|_| Problem::internal())?;
    let done = seat.ledger.rotate_webhook(&write(&seat), id, &secret, &app.house.sealer).await?;
    one(&app, &seat, &headers, &came(&app, done)?, Some(&secret)).await
}

/// Switches it on or off.
pub async fn switch(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    Path(webhook): Path<String>,
    Form(written): Form<Written>,
) -> Result<Response, Problem> {
    seat.check(field(&written, "token"))?;
    let id = mine(&seat, &webhook).await?.id;
    let change = Change { enabled: Some(field(&written, "enabled") == "yes"), ..Change::default() };
    came(&app, seat.ledger.change_webhook(&write(&seat), id, &change).await?)?;
    Ok(back(id))
}

/// Sends something there that is about nothing.
pub async fn try_out(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    Path(webhook): Path<String>,
    Form(written): Form<Written>,
) -> Result<Response, Problem> {
    seat.check(field(&written, "token"))?;
    let id = mine(&seat, &webhook).await?.id;
    let event = came(&app, seat.ledger.test_webhook(&write(&seat), id).await?)?;
    (app.house.nudge)(vec![event.due]);
    Ok(back(id))
}

/// Sends something of the list again.
pub async fn again(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    Path((webhook, delivery)): Path<(String, String)>,
    Form(written): Form<Written>,
) -> Result<Response, Problem> {
    seat.check(field(&written, "token"))?;
    let id = mine(&seat, &webhook).await?.id;
    let delivery = problem::id(&delivery, "webhook")?;
    let event = came(&app, seat.ledger.redeliver(&write(&seat), id, delivery).await?)?;
    (app.house.nudge)(vec![event.due]);
    Ok(back(id))
}

/// Removes it.
pub async fn remove(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    Path(webhook): Path<String>,
    Sure(written): Sure<Written>,
) -> Result<Response, Problem> {
    seat.check(field(&written, "token"))?;
    let id = mine(&seat, &webhook).await?.id;
    came(&app, seat.ledger.remove_webhook(&write(&seat), id).await?)?;
    Ok(Redirect::to("/webhooks").into_response())
}

fn back(id: Uuid) -> Response {
    Redirect::to(&format!("/webhooks/{id}")).into_response()
}
