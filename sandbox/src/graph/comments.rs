//! Comments under public posts: made at once, without a draft, and listed with their author.

use serde_json::{Value, json};

use super::fields::{self, Page};
use super::posts::on_disk;
use super::{Asked, GraphError, Outcome, VERSION, auth};
use crate::effects::Effect;
use crate::event::Event;
use crate::model::{Comment, Network};
use crate::state::{Book, NewEffect, Sandbox};

/// The longest comment on Facebook and on Instagram.
const FACEBOOK_MOST: usize = 8_000;
const INSTAGRAM_MOST: usize = 2_200;
/// The most hashtags and mentions of a comment on Instagram.
const HASHTAGS: usize = 30;
const MENTIONS: usize = 20;

/// `POST /{post}/comments message=`: public at once, as often as it is asked.
pub async fn create(sandbox: &Sandbox, object: &str, asked: &Asked) -> Outcome {
    let post = public(sandbox, object, asked)?;
    asked.params.only(&["message"])?;
    let words = asked.params.required("message")?;
    check(post.platform, &words)?;
    let (id, written) = {
        let mut book = sandbox.book();
        may_comment(&book, post.platform)?;
        let comment = comment(sandbox, &book, &post, words);
        let id = comment.id.clone();
        let effect = NewEffect {
            platform: post.platform,
            account: post.account.clone(),
            object_id: id.clone(),
            handle: post.object_id.clone(),
            caption: comment.words.clone(),
            media: Vec::new(),
            call_id: asked.call_id.clone(),
            permalink: permalink(&post, &id),
        };
        let now = comment.created;
        book.record(Event::Comment(comment))?;
        (id, book.publish(effect, now)?)
    };
    on_disk(Some(written)).await?;
    Ok(json!({ "id": id }))
}

/// `GET /{post}/comments`: Facebook lists the oldest first unless it is asked otherwise, Instagram the newest.
pub fn list(sandbox: &Sandbox, object: &str, asked: &Asked) -> Outcome {
    let post = public(sandbox, object, asked)?;
    let facebook = post.platform == Network::FacebookPage;
    let mut known = vec!["limit", "after", "since", "until"];
    known.extend(facebook.then_some(["order", "filter"]).iter().flatten());
    asked.params.only(&known)?;
    let newest_first = match asked.params.text("order").as_deref() {
        Some("reverse_chronological") => true,
        Some("chronological") => false,
        None => !facebook,
        Some(_) => return Err(GraphError::parameter("order is chronological or reverse_chronological")),
    };
    let (book, now) = (sandbox.book(), sandbox.clock.now());
    let mut comments: Vec<&Comment> = book.world.comments_under(&post.object_id).collect();
    comments.retain(|it| !book.hides_handle(&post.object_id, it.created, now));
    if newest_first {
        comments.reverse();
    }
    let nodes = comments.into_iter().map(|it| (it.id.clone(), it.created, node(sandbox, &book, &post, it)));
    let url = format!("{}/graph/{VERSION}/{object}/comments", sandbox.base);
    let (nodes, paging) = Page::of(asked)?.cut(nodes, &url);
    let data: Result<Vec<_>, _> = nodes.iter().map(|node| pick(asked, facebook, node)).collect();
    Ok(json!({ "data": data?, "paging": paging }))
}

/// `GET /{comment}`.
pub fn read(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    auth::any(sandbox, asked)?;
    let (comment, post) = {
        let book = sandbox.book();
        let comment = book.world.comments.get(id).filter(|_| !book.world.deleted.contains(id)).cloned();
        let comment = comment.ok_or_else(|| GraphError::missing(id))?;
        let post = book.world.effect_of(&comment.under).cloned();
        (comment, post.ok_or_else(|| GraphError::missing(id))?)
    };
    auth::owner(sandbox, asked, &comment.account)?;
    let node = node(sandbox, &sandbox.book(), &post, &comment);
    pick(asked, post.platform == Network::FacebookPage, &node)
}

/// The public post of that id, or of the film of that id, which the token must reach. Stories take no comments.
fn public(sandbox: &Sandbox, object: &str, asked: &Asked) -> Result<Effect, GraphError> {
    auth::any(sandbox, asked)?;
    let found = {
        let (book, now) = (sandbox.book(), sandbox.clock.now());
        let film = book.world.videos.get(object).and_then(|video| video.published.as_ref());
        let id = film.map_or(object, |(post, _)| post);
        let effect = book.world.effect_of(id).filter(|effect| {
            let gone = book.world.deleted.contains(&effect.object_id) || book.world.comments.contains_key(id);
            !gone && !book.world.is_story(effect) && !book.hides(effect, now)
        });
        effect.cloned().ok_or_else(|| GraphError::missing(object))?
    };
    auth::owner(sandbox, asked, &found.account).map_err(|error| match error.subcode {
        Some(33) => GraphError::missing(object),
        Some(_) | None => error,
    })?;
    Ok(found)
}

/// The permission that comments take besides those for posts.
fn may_comment(book: &Book, platform: Network) -> Result<(), GraphError> {
    let (scope, error) = match platform {
        Network::FacebookPage => ("pages_manage_engagement", 200),
        Network::InstagramBusiness | Network::Tiktok => ("instagram_manage_comments", 10),
    };
    if book.world.settings.declined_scopes.iter().any(|declined| declined == scope) {
        return Err(GraphError::new(error, format!("(#{error}) Requires {scope} permission")));
    }
    Ok(())
}

fn check(platform: Network, words: &str) -> Result<(), GraphError> {
    let instagram = platform == Network::InstagramBusiness;
    let most = if instagram { INSTAGRAM_MOST } else { FACEBOOK_MOST };
    if words.chars().count() > most {
        return Err(GraphError::parameter(format!("Param message must be at most {most} characters")));
    }
    let count = |sign| words.split_whitespace().filter(|it| it.len() > 1 && it.starts_with(sign)).count();
    if instagram && (count('#') > HASHTAGS || count('@') > MENTIONS) {
        return Err(GraphError::parameter("The comment has too many hashtags or mentions"));
    }
    Ok(())
}

fn comment(sandbox: &Sandbox, book: &Book, post: &Effect, words: String) -> Comment {
    let id = match post.platform {
        Network::FacebookPage => {
            let number = post.object_id.rsplit('_').next().unwrap_or_default();
            format!("{number}_{}", 900_000_000_000 + book.number())
        }
        Network::InstagramBusiness | Network::Tiktok => (17_900_000_000_000_000 + book.number()).to_string(),
    };
    let (under, account) = (post.object_id.clone(), post.account.clone());
    Comment { id, under, account, words, created: sandbox.clock.now() }
}

/// A comment has an address of its own on Facebook only.
fn permalink(post: &Effect, comment: &str) -> String {
    match post.platform {
        Network::FacebookPage => format!("{}?comment_id={comment}", post.permalink),
        Network::InstagramBusiness | Network::Tiktok => post.permalink.clone(),
    }
}

fn node(sandbox: &Sandbox, book: &Book, post: &Effect, comment: &Comment) -> Value {
    let name = book.world.accounts.get(&comment.account).map(|account| account.name.clone());
    let time = fields::time(comment.created);
    match post.platform {
        Network::FacebookPage => json!({
            "id": comment.id,
            "message": comment.words,
            "created_time": time,
            "from": { "id": comment.account, "name": name },
            "permalink_url": sandbox.here(&permalink(post, &comment.id)),
            "can_remove": true,
            "is_hidden": false,
            "like_count": 0,
            "comment_count": 0,
            "parent": null,
        }),
        Network::InstagramBusiness | Network::Tiktok => json!({
            "id": comment.id,
            "text": comment.words,
            "timestamp": time,
            "from": { "id": comment.account, "username": name },
            "user": { "id": comment.account },
            "username": name,
            "media": { "id": post.object_id },
            "hidden": false,
            "like_count": 0,
            "parent_id": null,
            "replies": null,
        }),
    }
}

fn pick(asked: &Asked, facebook: bool, node: &Value) -> Outcome {
    if facebook {
        fields::pick(asked, "Comment", "created_time,from,message,id", node)
    } else {
        fields::pick(asked, "IGComment", "id,timestamp,text", node)
    }
}
