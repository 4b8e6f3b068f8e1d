//! Posts of a Page: drafts, the flip that makes them public, and reading them back.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::fields::{self, Page};
use super::node::{is_story, node, permalink};
use super::{Asked, GraphError, Outcome, VERSION, auth};
use crate::effects::OnDisk;
use crate::event::Event;
use crate::model::{Network, Post, PostKind};
use crate::state::{Book, NewEffect, Sandbox};

/// The longest message.
const MESSAGE_LIMIT: usize = 63_206;

/// `POST /{page}/feed`: a draft, or with `published` left at true a public post.
pub async fn create(sandbox: &Sandbox, page: &str, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, page)?;
    asked.params.only(&["message", "link", "published", "scheduled_publish_time", "attached_media"])?;
    let message = asked.params.text("message").unwrap_or_default();
    check_message(&message)?;
    if asked.params.text("scheduled_publish_time").is_some() {
        return Err(GraphError::parameter("scheduled_publish_time is not served here"));
    }
    let photos = attached(asked)?;
    let link = asked.params.text("link").filter(|link| !link.is_empty());
    if message.is_empty() && link.is_none() && photos.is_empty() {
        return Err(GraphError::parameter("Missing message or attachment").with_subcode(1_349_125));
    }
    let (id, written) = {
        let mut book = sandbox.book();
        for (n, photo) in photos.iter().enumerate() {
            if photos[..n].contains(photo) {
                return Err(GraphError::parameter(format!("attached_media: {photo} is named twice")));
            }
            if book.world.photos.get(photo).is_none_or(|found| found.page != page) {
                return Err(GraphError::parameter(format!("attached_media: there is no photo {photo}"))
                    .with_subcode(33));
            }
        }
        let draft = draft(sandbox, &book, page, PostKind::Feed, message, link, photos);
        let id = draft.id.clone();
        let public = asked.params.flag("published") != Some(false);
        if public {
            refuse_duplicate(&book, page, &draft.message)?;
        }
        book.record(Event::Post(draft))?;
        let written = if public { Some(show(sandbox, &mut book, &id, asked)?) } else { None };
        (id, written)
    };
    on_disk(written).await?;
    if asked.params.text("fields").is_some() {
        read_back(sandbox, &id, asked)
    } else {
        Ok(json!({ "id": id }))
    }
}

/// `POST /{post} is_published=true`: makes a draft public; done once, repeated without harm.
pub async fn publish(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    authorise(sandbox, id, asked)?;
    asked.params.only(&["is_published"])?;
    let wanted = asked.params.flag("is_published") == Some(true);
    let written = {
        let mut book = sandbox.book();
        let post = book.world.posts.get(id).cloned().ok_or_else(|| GraphError::missing(id))?;
        match (post.published, wanted) {
            (None, true) => {
                refuse_duplicate(&book, &post.page, &post.message)?;
                Some(show(sandbox, &mut book, id, asked)?)
            }
            (Some(_), true) | (None, false) => None,
            (Some(_), false) => return Err(GraphError::parameter("A published post cannot be unpublished")),
        }
    };
    on_disk(written).await?;
    Ok(json!({ "success": true }))
}

/// `POST /{post} message=`: another text.
pub fn edit(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    authorise(sandbox, id, asked)?;
    let message = asked.params.text("message").ok_or_else(|| GraphError::parameter("Nothing to update"))?;
    check_message(&message)?;
    let mut book = sandbox.book();
    if !book.world.posts.contains_key(id) {
        return Err(GraphError::missing(id));
    }
    book.record(Event::PostEdited { id: id.to_owned(), message })?;
    Ok(json!({ "success": true }))
}

/// `DELETE /{object}`: a post, a draft, a photo, a video or Instagram media. What is gone does not exist any more:
/// 100/33, as for what never was.
pub fn delete(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    auth::any(sandbox, asked)?;
    let (owner, instagram) = {
        let book = sandbox.book();
        let world = &book.world;
        let public = world.effect_of(id).filter(|_| !world.deleted.contains(id));
        let owner = (world.posts.get(id).map(|post| post.page.clone()))
            .or_else(|| world.photos.get(id).map(|photo| photo.page.clone()))
            .or_else(|| world.videos.get(id).map(|video| video.page.clone()))
            .or_else(|| public.map(|effect| effect.account.clone()));
        (owner.ok_or_else(|| GraphError::missing(id))?, world.media.contains_key(id))
    };
    auth::owner(sandbox, asked, &owner)?;
    let permission = if instagram { "instagram_manage_contents" } else { "pages_manage_posts" };
    auth::granted(sandbox, &owner, permission)?;
    let (at, call_id) = (Some(sandbox.clock.now()), asked.call_id.clone());
    sandbox.book().record(Event::Deleted { id: id.to_owned(), at, call_id })?;
    Ok(if instagram { json!({ "success": true, "deleted_id": id }) } else { json!({ "success": true }) })
}

/// `GET /{post}`.
pub fn read(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    authorise(sandbox, id, asked)?;
    read_back(sandbox, id, asked)
}

/// `GET /{page}/published_posts` and `/feed`.
pub fn list_published(sandbox: &Sandbox, page: &str, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, page)?;
    let (book, now) = (sandbox.book(), sandbox.clock.now());
    let shown = book.world.shown(page).filter(|effect| !book.hides(effect, now) && !is_story(&book, effect));
    let items = shown.filter_map(|effect| {
        let node = node(sandbox, &book, &effect.object_id, now)?;
        Some((effect.object_id.clone(), effect.at, node))
    });
    list(sandbox, page, asked, items)
}

/// `GET /{page}/promotable_posts`: drafts with `is_published=false`, published posts with `true`.
pub fn list_drafts(sandbox: &Sandbox, page: &str, asked: &Asked) -> Outcome {
    if asked.params.flag("is_published") == Some(true) {
        return list_published(sandbox, page, asked);
    }
    auth::owner(sandbox, asked, page)?;
    let (book, now) = (sandbox.book(), sandbox.clock.now());
    let from = (page.to_owned(), String::new());
    let drafts = book.world.drafts.range(from..).take_while(|(owner, _)| owner == page).map(|(_, id)| id);
    let mut posts: Vec<_> = drafts.filter_map(|id| book.world.posts.get(id)).collect();
    posts.sort_by_key(|post| std::cmp::Reverse(post.created));
    let items = posts
        .into_iter()
        .filter_map(|post| Some((post.id.clone(), post.created, node(sandbox, &book, &post.id, now)?)));
    list(sandbox, page, asked, items)
}

/// `GET /{page}/scheduled_posts`: nothing, since the network is never asked to schedule.
pub fn list_scheduled(sandbox: &Sandbox, page: &str, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, page)?;
    Ok(json!({ "data": [] }))
}

/// A draft that does not exist yet.
pub fn draft(
    sandbox: &Sandbox,
    book: &Book,
    page: &str,
    kind: PostKind,
    message: String,
    link: Option<String>,
    photos: Vec<String>,
) -> Post {
    let id = format!("{page}_{}", 122_200_000_000_000 + book.number());
    let created = sandbox.clock.now();
    let app = book.world.settings.graph_app_id.clone().unwrap_or_else(|| "sandbox-app".to_owned());
    Post { id, page: page.to_owned(), kind, message, link, photos, created, app: Some(app), published: None }
}

/// Makes an existing draft public. The caller has seen to it that it is one.
pub fn show(sandbox: &Sandbox, book: &mut Book, id: &str, asked: &Asked) -> Result<OnDisk, GraphError> {
    let post = book.world.posts.get(id).cloned().ok_or_else(|| GraphError::missing(id))?;
    let media = post.photos.iter().filter_map(|photo| book.world.photos.get(photo));
    let effect = NewEffect {
        platform: Network::FacebookPage,
        object_id: post.id.clone(),
        handle: handle_of(&post),
        media: media.map(|photo| photo.media.clone()).collect(),
        call_id: asked.call_id.clone(),
        permalink: permalink(sandbox, &post),
        caption: post.message,
        account: post.page,
    };
    Ok(book.publish(effect, sandbox.clock.now())?)
}

/// What a post's effect came from: a story's is its photo, as its caller knows no draft.
fn handle_of(post: &Post) -> String {
    match (post.kind, post.photos.first()) {
        (PostKind::Story, Some(photo)) => photo.clone(),
        (PostKind::Story | PostKind::Feed, _) => post.id.clone(),
    }
}

/// Waits until an effect is on disk, if there was one.
pub async fn on_disk(written: Option<OnDisk>) -> Result<(), GraphError> {
    match written {
        Some(written) => Ok(written.reached().await?),
        None => Ok(()),
    }
}

/// A message that is not too long.
pub fn check_message(message: &str) -> Result<(), GraphError> {
    if message.chars().count() > MESSAGE_LIMIT {
        return Err(GraphError::parameter(format!(
            "Param message must be at most {MESSAGE_LIMIT} characters"
        )));
    }
    Ok(())
}

fn attached(asked: &Asked) -> Result<Vec<String>, GraphError> {
    let id = |item: Value| match &item["media_fbid"] {
        Value::String(id) => Ok(id.clone()),
        Value::Number(id) => Ok(id.to_string()),
        _ => Err(GraphError::parameter("Param attached_media must be an array of {\"media_fbid\"}")),
    };
    asked.params.list("attached_media").into_iter().map(id).collect()
}

/// 506, where it is switched on: the Page's newest text must not be repeated.
fn refuse_duplicate(book: &Book, page: &str, message: &str) -> Result<(), GraphError> {
    let same = book.world.shown(page).next().is_some_and(|effect| effect.caption == message);
    if book.world.settings.refuse_duplicates && same && !message.is_empty() {
        return Err(GraphError::new(506, "(#506) Duplicate status message"));
    }
    Ok(())
}

/// The token must reach the Page of the post.
fn authorise(sandbox: &Sandbox, id: &str, asked: &Asked) -> Result<(), GraphError> {
    auth::any(sandbox, asked)?;
    let page = sandbox.book().world.posts.get(id).map(|post| post.page.clone());
    let page = page.or_else(|| id.split_once('_').map(|(page, _)| page.to_owned()));
    auth::owner(sandbox, asked, &page.unwrap_or_default()).map_err(|error| match error.subcode {
        Some(33) => GraphError::missing(id),
        Some(_) | None => error,
    })
}

fn read_back(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    let node =
        node(sandbox, &sandbox.book(), id, sandbox.clock.now()).ok_or_else(|| GraphError::missing(id))?;
    fields::pick(asked, "PagePost", "id,created_time,message", &node)
}

fn list(
    sandbox: &Sandbox,
    page: &str,
    asked: &Asked,
    items: impl Iterator<Item = (String, DateTime<Utc>, Value)>,
) -> Outcome {
    let edge = asked.path.last().map_or("feed", String::as_str);
    let url = format!("{}/graph/{VERSION}/{page}/{edge}", sandbox.base);
    let (nodes, paging) = Page::of(asked)?.cut(items, &url);
    let data: Result<Vec<_>, _> =
        nodes.iter().map(|node| fields::pick(asked, "PagePost", "id,created_time,message", node)).collect();
    Ok(json!({ "data": data?, "paging": paging }))
}
