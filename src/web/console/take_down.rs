//! Taking a published post down: a page that asks once more, and the button on it. Works without a script.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    Shell, list, post, render,
    seat::{Publisher, Seat},
    texts::{ENGLISH, fill},
    words,
};
use crate::{
    ledger::{
        idempotency::Once,
        pauses::REASON_MOST,
        posts::{Post, Publication},
    },
    web::{
        App,
        problem::{self, Problem},
        take_down::{Wish, refused},
    },
};

#[derive(Template)]
#[template(path = "take_down.html")]
struct Page {
    shell: Shell,
    back: String,
    sure: String,
    excerpt: String,
    account: String,
    network: String,
    surface: String,
    permalink: Option<String>,
    open: String,
    stays: Option<String>,
    most: usize,
}

/// What the page sends.
#[derive(Deserialize)]
pub struct Sure {
    token: String,
    #[serde(default)]
    reason: String,
}

/// The page that asks once more.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Publisher>,
    headers: HeaderMap,
    Path((post_id, publication_id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (post, publication) = known(&seat, &post_id, &publication_id).await?;
    let it = &post.publications[publication];
    if app.offer(it).is_none_or(|offer| offer.address.is_none()) {
        return Ok(Redirect::to(&format!("/posts/{}", post.id)).into_response());
    }
    let account = seat.ledger.account(seat.member.workspace_id, it.account_id).await?;
    let name = account.as_ref().map_or("", |account| &account.name);
    render(&view(&app, &seat, &headers, &post, it, name))
}

/// Takes the wish. Pressed twice it is one.
pub async fn submit(
    State(app): State<Arc<App>>,
    seat: Seat<Publisher>,
    headers: HeaderMap,
    Path((post_id, publication_id)): Path<(String, String)>,
    Form(form): Form<Sure>,
) -> Result<Response, Problem> {
    seat.check(&form.token)?;
    let (post, publication) = known(&seat, &post_id, &publication_id).await?;
    let reason: String = form.reason.trim().replace('\0', "").chars().take(REASON_MOST).collect();
    let wish = Wish {
        workspace_id: seat.member.workspace_id,
        publication_id: post.publications[publication].id,
        asked_by: seat.member.person_id,
        reason: Some(reason).filter(|reason| !reason.is_empty()),
        who: seat.who,
    };
    match app.take_down(wish, None).await? {
        Once::Done(Err(why)) => {
            let notice = refused(&why).detail;
            post::show(&app, &seat, &headers, post.id, StatusCode::CONFLICT, Some(notice)).await
        }
        Once::Done(Ok(_)) | Once::Before(_) | Once::KeyReused => {
            Ok(Redirect::to(&format!("/posts/{}", post.id)).into_response())
        }
    }
}

/// The post, and where in it the publication is.
async fn known(seat: &Seat<Publisher>, post: &str, publication: &str) -> Result<(Post, usize), Problem> {
    let missing = || Problem::not_found("publication");
    let id = |text: &str| problem::id(text, "publication");
    let (post, publication) = (id(post)?, id(publication)?);
    let post = seat.ledger.post(seat.member.workspace_id, post).await?.ok_or_else(missing)?;
    let at = post.publications.iter().position(|it| it.id == publication).ok_or_else(missing)?;
    Ok((post, at))
}

fn view(
    app: &App,
    seat: &Seat<Publisher>,
    headers: &HeaderMap,
    post: &Post,
    it: &Publication,
    account: &str,
) -> Page {
    let (t, back) = (&ENGLISH, format!("/posts/{}", post.id));
    let network = words::network(app, &it.platform);
    Page {
        shell: Shell::seated(app, headers, seat, "posts", &format!("{back}/take-down/{}", it.id)),
        sure: fill(t.take_down_sure, &[network]),
        excerpt: list::excerpt(it.caption.as_ref().unwrap_or(&post.caption), t.untitled),
        account: account.to_owned(),
        network: network.to_owned(),
        surface: it.surface.clone(),
        permalink: post::safe(it.permalink.as_ref()),
        open: fill(t.look_at_it, &[network]),
        stays: (post.publications.len() > 1).then(|| t.take_down_others.to_owned()),
        most: REASON_MOST,
        back,
    }
}
