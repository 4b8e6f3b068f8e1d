//! Instagram's public side: publishing a container, and reading back what is public.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::fields::{self, Page};
use super::{Asked, GraphError, Outcome, VERSION, auth, containers};
use crate::effects::Effect;
use crate::model::{Container, ContainerState, Network};
use crate::state::{Book, NewEffect, Sandbox};

/// `POST /{ig}/media_publish creation_id=`: once for each container.
pub async fn publish(sandbox: &Sandbox, account: &str, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, account)?;
    asked.params.only(&["creation_id"])?;
    let id =
        asked.params.text("creation_id").ok_or_else(|| GraphError::parameter("creation_id is required"))?;
    let (media, written) = {
        let mut book = sandbox.book();
        let now = sandbox.clock.now();
        let container = book.world.containers.get(&id).filter(|found| found.account == account).cloned();
        let container = container.ok_or_else(|| gone("Media container does not exist"))?;
        check_ready(&container, container.state(now))?;
        if used(&book, account, now) >= book.world.settings.publish_quota {
            return Err(GraphError::new(9, "Application request limit reached")
                .with_subcode(2_207_042)
                .user("You reached the maximum number of posts that is allowed to be published."));
        }
        let media = (18_000_000_000_000_000 + book.number()).to_string();
        let effect = effect(sandbox, &book, container, &media, asked);
        let written = book.publish(effect, now)?;
        (media, written)
    };
    written.reached().await?;
    Ok(json!({ "id": media }))
}

/// `GET /{media}`.
pub fn read(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    let (book, now) = (sandbox.book(), sandbox.clock.now());
    let effect = book.world.effect_of(id).filter(|effect| !book.hides(effect, now)).cloned();
    let effect = effect.ok_or_else(|| GraphError::missing(id))?;
    let node = node(sandbox, &book, &effect).ok_or_else(|| GraphError::missing(id))?;
    drop(book);
    auth::owner(sandbox, asked, &effect.account)?;
    fields::pick(asked, "IGMedia", "id", &node)
}

/// `GET /{ig}/media`: newest first, without stories.
pub fn list(sandbox: &Sandbox, account: &str, asked: &Asked) -> Outcome {
    list_of(sandbox, account, asked, "media", |product, _| product != "STORY")
}

/// `GET /{ig}/stories`: those that are still shown.
pub fn list_stories(sandbox: &Sandbox, account: &str, asked: &Asked) -> Outcome {
    list_of(sandbox, account, asked, "stories", |product, age| {
        product == "STORY" && age < TimeDelta::hours(24)
    })
}

/// `GET /{ig}/content_publishing_limit`.
pub fn limit(sandbox: &Sandbox, account: &str, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, account)?;
    let book = sandbox.book();
    let quota = book.world.settings.publish_quota;
    let usage = used(&book, account, sandbox.clock.now());
    let config = json!({ "quota_total": quota, "quota_duration": 86_400 });
    let wanted = fields::names(&asked.params.text("fields").unwrap_or_else(|| "quota_usage".into()));
    let mut item = json!({});
    for name in wanted {
        match name.as_str() {
            "config" => item["config"] = config.clone(),
            "quota_usage" => item["quota_usage"] = usage.into(),
            other => {
                return Err(GraphError::parameter(format!("Tried accessing nonexisting field ({other})")));
            }
        }
    }
    Ok(json!({ "data": [item] }))
}

fn check_ready(container: &Container, state: ContainerState) -> Result<(), GraphError> {
    if container.child {
        return Err(
            GraphError::parameter("A carousel item cannot be published by itself").with_subcode(2_207_023)
        );
    }
    match state {
        ContainerState::Finished => Ok(()),
        ContainerState::InProgress => Err(containers::not_ready()),
        ContainerState::Expired => Err(gone("Media container has expired")),
        ContainerState::Error => Err(GraphError::new(-1, "Unknown upload error").with_subcode(2_207_053)),
        ContainerState::Published => {
            Err(GraphError::parameter("The media was already published").with_subcode(2_207_023))
        }
    }
}

/// 24/2207008.
fn gone(message: &str) -> GraphError {
    GraphError::new(24, message)
        .with_subcode(2_207_008)
        .user("The media container is missing or has expired.")
}

fn effect(sandbox: &Sandbox, book: &Book, container: Container, media: &str, asked: &Asked) -> NewEffect {
    let name = book.world.accounts.get(&container.account).map_or("", |account| account.name.as_str());
    let place = match container.product.as_str() {
        "REELS" => "reel".to_owned(),
        "STORY" => format!("stories/{name}"),
        _ => "p".to_owned(),
    };
    NewEffect {
        platform: Network::InstagramBusiness,
        permalink: format!("{}/{place}/{media}", sandbox.base),
        account: container.account,
        object_id: media.to_owned(),
        handle: container.id,
        caption: container.caption,
        media: container.media,
        call_id: asked.call_id.clone(),
    }
}

/// How many posts were published within the last 24 hours.
fn used(book: &Book, account: &str, now: chrono::DateTime<chrono::Utc>) -> u64 {
    let since = now - TimeDelta::hours(24);
    let places = book.world.by_account.get(account).map_or(&[][..], Vec::as_slice);
    let before = places.partition_point(|&place| book.world.effects[place].at < since);
    (places.len() - before) as u64
}

fn list_of(
    sandbox: &Sandbox,
    account: &str,
    asked: &Asked,
    edge: &str,
    wanted: fn(&str, TimeDelta) -> bool,
) -> Outcome {
    auth::owner(sandbox, asked, account)?;
    let (book, now) = (sandbox.book(), sandbox.clock.now());
    let items = book.world.shown(account).filter(|effect| !book.hides(effect, now)).filter_map(|effect| {
        let container = book.world.containers.get(&effect.handle)?;
        let node =
            wanted(&container.product, now - effect.at).then(|| node(sandbox, &book, effect)).flatten()?;
        Some((effect.object_id.clone(), effect.at, node))
    });
    let url = format!("{}/graph/{VERSION}/{account}/{edge}", sandbox.base);
    let (nodes, paging) = Page::of(asked)?.cut(items, &url);
    let data: Result<Vec<_>, _> =
        nodes.iter().map(|node| fields::pick(asked, "IGMedia", "id", node)).collect();
    Ok(json!({ "data": data?, "paging": paging }))
}

fn node(sandbox: &Sandbox, book: &Book, effect: &Effect) -> Option<Value> {
    let media = book.world.media.get(&effect.object_id)?;
    let container = book.world.containers.get(&media.container)?;
    Some(json!({
        "id": media.id,
        "caption": (!container.caption.is_empty()).then_some(&container.caption),
        "timestamp": fields::time(media.published),
        "permalink": sandbox.here(&effect.permalink),
        "media_type": container.media_type,
        "media_product_type": container.product,
        "media_url": container.media.first().map(|sha256| format!("{}/_media/{sha256}", sandbox.base)),
        "username": book.world.accounts.get(&effect.account).map(|account| &account.name),
        "shortcode": media.id,
        "thumbnail_url": null,
        "like_count": 0,
        "comments_count": 0,
    }))
}
