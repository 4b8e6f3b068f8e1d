//! Stories of a Page.

use serde_json::json;

use super::fields;
use super::posts::{draft, on_disk, show};
use super::{Asked, GraphError, Outcome, VERSION, auth};
use crate::event::Event;
use crate::model::{PostKind, VideoKind};
use crate::state::Sandbox;

/// `POST /{page}/photo_stories photo_id`: public at once, and not repeatable.
pub async fn create(sandbox: &Sandbox, page: &str, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, page)?;
    asked.params.only(&["photo_id"])?;
    let photo = asked.params.required("photo_id")?;
    let (id, written) = {
        let mut book = sandbox.book();
        if book.world.photos.get(&photo).is_none_or(|found| found.page != page) {
            return Err(GraphError::missing(&photo));
        }
        if book.world.shown_photos.contains(&photo) {
            return Err(GraphError::parameter("The photo already belongs to a published post"));
        }
        let post = draft(sandbox, &book, page, PostKind::Story, String::new(), None, vec![photo]);
        let id = post.id.clone();
        book.record(Event::Post(post))?;
        let written = show(sandbox, &mut book, &id, asked)?;
        (id, written)
    };
    on_disk(Some(written)).await?;
    Ok(json!({ "success": true, "post_id": id }))
}

/// `GET /{page}/stories`: what is shown as a story, newest first.
pub fn list(sandbox: &Sandbox, page: &str, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, page)?;
    asked.params.only(&["since", "until", "status", "limit", "after"])?;
    let (book, now) = (sandbox.book(), sandbox.clock.now());
    let world = &book.world;
    let stories = world.shown(page).filter(|effect| !book.hides(effect, now)).filter_map(|effect| {
        let photo = world.posts.get(&effect.object_id).filter(|post| post.kind == PostKind::Story);
        let video = world.videos.get(&effect.handle).filter(|video| video.kind == VideoKind::Story);
        let (kind, media) = match (photo, video) {
            (Some(post), _) => ("photo", post.photos.first()?.clone()),
            (None, Some(video)) => ("video", video.id.clone()),
            (None, None) => return None,
        };
        Some((
            effect.object_id.clone(),
            effect.at,
            json!({
                "post_id": effect.object_id,
                "status": "PUBLISHED",
                "creation_time": effect.at.timestamp().to_string(),
                "media_type": kind,
                "media_id": media,
                "url": sandbox.here(&effect.permalink),
            }),
        ))
    });
    let url = format!("{}/graph/{VERSION}/{page}/stories", sandbox.base);
    let (data, paging) = fields::Page::of(asked)?.cut(stories, &url);
    Ok(json!({ "data": data, "paging": paging }))
}
