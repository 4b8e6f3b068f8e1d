//! One post: what was written, what became of it on each account, and how.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Utc};
use jobs::machine::State as PublicationState;
use uuid::Uuid;

use super::{
    Shell, approve,
    decide::{Back, Deciding, Scene},
    list, render_as,
    seat::{AtLeast, Seat, Viewer},
    texts::{ENGLISH, Texts, fill},
    words::{self, Chip, Line},
};
use crate::{
    ledger::{
        accounts::Account,
        media::Media,
        people::MemberRole,
        posts::{Event, Post, Publication},
        take_down::{self, TakeDownState},
        verdict::Evidence,
    },
    web::{
        App,
        intake::shapes::{self, ErrorShape, instant},
        problem::{self, Problem},
        times,
    },
};

#[derive(Template)]
#[template(path = "post.html")]
struct Page {
    shell: Shell,
    title: String,
    caption: String,
    link: Option<String>,
    kind: &'static str,
    chip: Chip,
    /// Where its approval stands.
    approval: Option<approve::Notice>,
    /// Why something was not done.
    notice: Option<String>,
    /// What may be done about it: nothing is promised, the ledger decides.
    changeable: bool,
    retriable: bool,
    /// The page looks again by itself.
    live: bool,
    when_label: &'static str,
    when: String,
    relative: String,
    instant: String,
    created: String,
    held_after: String,
    media: Vec<Preview>,
    cards: Vec<Card>,
    /// The page of its numbers, once something is public that networks count.
    numbers: Option<String>,
}

/// A file to look at.
pub struct Preview {
    /// Its id.
    pub id: Uuid,
    /// What it was called.
    pub name: String,
    /// Whether it moves.
    pub film: bool,
    /// What it is, in a few words.
    pub about: String,
}

struct Card {
    account: String,
    network: String,
    surface: String,
    chip: Chip,
    says: String,
    caption: Option<String>,
    link: Option<String>,
    permalink: Option<String>,
    open: String,
    no_permalink: bool,
    attempts: Option<String>,
    error: Option<Trouble>,
    /// What the latest check before its time found.
    ahead: Vec<Trouble>,
    /// What a person needs to decide about it.
    deciding: Option<Deciding>,
    lines: Vec<Line>,
    /// The page that asks once more whether it is to be taken down.
    take_down: Option<String>,
    /// Who can take it down where we cannot.
    by_hand: Option<String>,
    taken_down: Option<TakenDown>,
}

/// What became of a wish to take it down.
struct TakenDown {
    chip: Chip,
    says: Option<String>,
    error: Option<Trouble>,
}

struct Trouble {
    message: String,
    code: String,
    who: &'static str,
    /// Another post that it is about.
    post: Option<String>,
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = problem::id(&id, "post")?;
    show(&app, &seat, &headers, id, StatusCode::OK, None).await
}

/// The page of a post; with `notice`, of why something was not done about it.
pub async fn show<R: AtLeast>(
    app: &App,
    seat: &Seat<R>,
    headers: &HeaderMap,
    id: Uuid,
    status: StatusCode,
    notice: Option<String>,
) -> Result<Response, Problem> {
    show_with(app, seat, headers, id, status, notice, None).await
}

/// The same with a form on it that comes back.
pub async fn show_with<R: AtLeast>(
    app: &App,
    seat: &Seat<R>,
    headers: &HeaderMap,
    id: Uuid,
    status: StatusCode,
    notice: Option<String>,
    back: Option<&Back>,
) -> Result<Response, Problem> {
    let (workspace, ledger) = (seat.member.workspace_id, &seat.ledger);
    let post = ledger.post(workspace, id).await?.ok_or_else(|| Problem::not_found("post"))?;
    let publications: Vec<Uuid> = post.publications.iter().map(|it| it.id).collect();
    let (files, events, accounts, evidence) = tokio::try_join!(
        ledger.media_of(workspace, &post.media_ids),
        ledger.events(&publications, post.created_at),
        ledger.shown_accounts(workspace),
        ledger.evidence(post.id),
    )?;
    let shell = Shell::seated(app, headers, seat, "posts", &format!("/posts/{id}"));
    let known = Known { files: &files, events: &events, accounts: &accounts, evidence: &evidence, back };
    let page = view(app, &ENGLISH, shell, &post, &known);
    // what somebody writes into a form is not taken away from under their hands
    let writing = seat.may(MemberRole::Publisher) && page.cards.iter().any(|card| card.deciding.is_some());
    let live = page.live && notice.is_none() && !writing;
    let approval = approve::notice(&ENGLISH, &post, seat.may(MemberRole::Publisher));
    render_as(status, &Page { approval, notice, live, ..page })
}

/// What there is to show beside the post.
struct Known<'a> {
    files: &'a [Media],
    events: &'a [Event],
    accounts: &'a [Account],
    evidence: &'a [Evidence],
    back: Option<&'a Back>,
}

fn view(app: &App, t: &'static Texts, shell: Shell, post: &Post, known: &Known<'_>) -> Page {
    let Known { files, .. } = *known;
    let now = app.house.clock.now();
    let span = chrono::TimeDelta::from_std(post.latest_after).unwrap_or_default();
    let in_order = post.media_ids.iter().filter_map(|id| files.iter().find(|file| file.id == *id));
    let card = |it: &Publication| card(app, t, now, post, it, known);
    let public = post.publications.iter().any(|it| it.state == PublicationState::Published);
    Page {
        numbers: public.then(|| format!("{}/metrics", shell.path)),
        shell,
        title: list::excerpt(&post.caption, t.untitled).chars().take(60).collect(),
        caption: post.caption.clone(),
        link: post.link.clone(),
        kind: list::kind(t, &post.kind),
        chip: words::post_chip(t, post),
        approval: None,
        notice: None,
        changeable: post
            .publications
            .iter()
            .any(|it| it.state != PublicationState::Published && it.state != PublicationState::Cancelled),
        retriable: post
            .publications
            .iter()
            .any(|it| matches!(it.state, PublicationState::Failed | PublicationState::Held)),
        live: is_live(post, now),
        when_label: if post.scheduled_for > now { t.scheduled_for } else { t.went_out },
        when: words::when(t, post),
        relative: words::relative(t, post.scheduled_for, now),
        instant: instant(post.scheduled_for),
        created: fill(t.schedule_utc, &[&words::date_time(post.created_at.naive_utc())]),
        held_after: fill(t.held_after, &[&times::span(span)]),
        media: in_order.map(|file| preview(t, file)).collect(),
        cards: post.publications.iter().map(card).collect(),
    }
}

/// Whether something may change while somebody looks: work is under way, or begins within minutes.
fn is_live(post: &Post, now: DateTime<Utc>) -> bool {
    post.publications.iter().any(|it| match it.state {
        PublicationState::Scheduled if post.waits(it) || post.unapproved() => false,
        PublicationState::Scheduled => it.scheduled_for - now < chrono::TimeDelta::minutes(10),
        PublicationState::Preparing
        | PublicationState::Prepared
        | PublicationState::Waiting
        | PublicationState::Armed
        | PublicationState::Unknown
        | PublicationState::RetryWait => true,
        PublicationState::Published => {
            it.taken_down.as_ref().is_some_and(|wish| wish.state == TakeDownState::Asked)
        }
        PublicationState::Held | PublicationState::Failed | PublicationState::Cancelled => false,
    })
}

/// A file in a few words.
pub fn preview(t: &Texts, file: &Media) -> Preview {
    let is_film = file.content_type.starts_with("video/");
    let kind = if is_film { t.film } else { t.picture };
    let length = file.duration_ms.map(|ms| format!(", {}:{:02}", ms / 60_000, ms / 1_000 % 60));
    let about = format!("{kind}, {} × {}{}", file.width, file.height, length.unwrap_or_default());
    Preview { id: file.id, name: file.name.clone(), film: is_film, about }
}

fn card(
    app: &App,
    t: &'static Texts,
    now: DateTime<Utc>,
    post: &Post,
    it: &Publication,
    known: &Known<'_>,
) -> Card {
    let network = words::network(app, &it.platform);
    let account = known.accounts.iter().find(|account| account.id == it.account_id);
    let evidence = known.evidence.iter().find(|evidence| evidence.publication_id == it.id);
    let deciding = evidence.map(|evidence| {
        let scene = Scene { app, t, now, post, files: known.files, account, evidence, back: known.back };
        scene.deciding(it, network)
    });
    let error = ErrorShape::of(it).map(|error| {
        let (message, code, who) = error.told();
        let (message, code) = (message.to_owned(), code.to_owned());
        Trouble { message, code, who: words::who(t, who), post: None }
    });
    let ahead = shapes::ahead(it).iter().map(|found| Trouble {
        message: found.detail.clone(),
        code: found.code.clone(),
        who: words::who(t, found.who_acts.word()),
        post: found.post_id.map(|id| format!("/posts/{id}")),
    });
    let attempts = usize::try_from(it.attempts).unwrap_or_default();
    Card {
        account: account.map(|account| account.name.clone()).unwrap_or_default(),
        network: network.to_owned(),
        surface: if it.parent_id.is_some() { t.comment.to_owned() } else { it.surface.clone() },
        chip: words::chip(t, it.state.shown()),
        says: if post.waits(it) && it.state == PublicationState::Scheduled {
            t.says_follows.to_owned()
        } else if post.unapproved() && it.state == PublicationState::Scheduled {
            fill(t.says_unapproved, &[network])
        } else {
            words::says(t, it, network, now)
        },
        caption: it.caption.clone(),
        link: it.link.clone(),
        permalink: safe(it.permalink.as_ref().filter(|_| !words::is_gone(it))),
        open: fill(t.look_at_it, &[network]),
        no_permalink: it.state == PublicationState::Published && it.permalink.is_none(),
        attempts: (attempts > 0).then(|| Texts::count(attempts, t.attempts_one, t.attempts_many)),
        error,
        ahead: ahead.collect(),
        deciding,
        lines: words::history(t, post, it, known.events, network),
        take_down: app
            .offer(it)
            .and_then(|offer| offer.address)
            .map(|_| format!("/posts/{}/take-down/{}", post.id, it.id)),
        by_hand: app.offer(it).and_then(|offer| offer.how),
        taken_down: it.taken_down.as_ref().map(|wish| taken_down(t, wish, network)),
    }
}

/// Only what a browser may safely open becomes a link.
pub fn safe(permalink: Option<&String>) -> Option<String> {
    permalink.filter(|url| url.starts_with("https://") || url.starts_with("http://")).cloned()
}

fn taken_down(t: &'static Texts, wish: &take_down::TakenDown, network: &str) -> TakenDown {
    let says = match wish.state {
        TakeDownState::Asked => Some(t.taken_down_asked_says),
        TakeDownState::Gone => Some(t.taken_down_gone_says),
        TakeDownState::Refused => None,
    };
    let error = wish.why.as_ref().map(|why| {
        let error = ErrorShape::of_refusal(why);
        let (message, code, who) = error.told();
        Trouble { message: message.to_owned(), code: code.to_owned(), who: words::who(t, who), post: None }
    });
    TakenDown {
        chip: words::take_down_chip(t, wish.state),
        says: says.map(|text| fill(text, &[network])),
        error,
    }
}

/// Leads to the file itself, at the object store, for a while.
pub async fn media(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = problem::id(&id, "file")?;
    let file = seat.ledger.media(seat.member.workspace_id, id).await?;
    let file = file.ok_or_else(|| Problem::not_found("file"))?;
    let address = app.house.media.address(&file.object_key).await.map_err(|failure| {
        tracing::warn!(%failure, "no address for a file");
        Problem::away("media-store-away", "The media store cannot be reached. Try again in a few seconds.")
    })?;
    let mut response = Redirect::temporary(&address).into_response();
    // Shorter than any address holds.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=60"));
    Ok(response)
}
