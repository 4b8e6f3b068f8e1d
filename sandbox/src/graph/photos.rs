//! Photos on a Page: uploaded unseen for a post to come, or published at once.

use serde_json::json;

use super::posts::{check_message, draft, on_disk, show};
use super::{Asked, GraphError, Outcome, auth};
use crate::event::Event;
use crate::media::{FetchError, Stored};
use crate::model::{Photo, PostKind};
use crate::state::Sandbox;

/// The largest photo.
const PHOTO_LIMIT: u64 = 4 << 20;

/// `POST /{page}/photos`, from a URL that is fetched at once, or from a file in the body.
pub async fn create(sandbox: &Sandbox, page: &str, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, page)?;
    asked.params.only(&["url", "message", "caption", "published", "temporary", "alt_text_custom"])?;
    let message = asked.params.text("message").or_else(|| asked.params.text("caption")).unwrap_or_default();
    check_message(&message)?;
    let stored = receive(sandbox, asked).await?;
    let public = asked.params.flag("published") != Some(false);
    let (photo, post, written) = {
        let mut book = sandbox.book();
        let photo = (122_100_000_000_000 + book.number()).to_string();
        let (page, media) = (page.to_owned(), stored.sha256);
        book.record(Event::Photo(Photo { id: photo.clone(), page: page.clone(), media }))?;
        if public {
            let post = draft(sandbox, &book, &page, PostKind::Feed, message, None, vec![photo.clone()]);
            let id = post.id.clone();
            book.record(Event::Post(post))?;
            let written = show(sandbox, &mut book, &id, asked)?;
            (photo, Some(id), Some(written))
        } else {
            (photo, None, None)
        }
    };
    on_disk(written).await?;
    Ok(match post {
        Some(post) => json!({ "id": photo, "post_id": post }),
        None => json!({ "id": photo }),
    })
}

/// Takes the photo in, and refuses what is none.
async fn receive(sandbox: &Sandbox, asked: &Asked) -> Result<Stored, GraphError> {
    let stored = match (&asked.params.file, asked.params.text("url")) {
        (Some(bytes), _) => sandbox.media.keep(bytes).await?,
        (None, Some(url)) => sandbox.media.fetch(&url, PHOTO_LIMIT).await.map_err(unfetched)?,
        (None, None) => return Err(GraphError::new(324, "(#324) Requires upload file")),
    };
    if stored.bytes > PHOTO_LIMIT || sandbox.media.picture(&stored.sha256).await.is_none() {
        return Err(unusable());
    }
    Ok(stored)
}

fn unfetched(error: FetchError) -> GraphError {
    match error {
        FetchError::Unreachable(why) => {
            GraphError::new(324, "(#324) Missing or invalid image file").with_subcode(2_069_019).user(why)
        }
        FetchError::TooLarge(_) => unusable(),
        FetchError::Disk(error) => error.into(),
    }
}

fn unusable() -> GraphError {
    GraphError::new(100, "Invalid parameter").with_subcode(1_366_046).user(
        "Your photos couldn't be uploaded. Photos should be smaller than 4 MB and saved as JPG, PNG, GIF, TIFF, \
         HEIF or WebP files.",
    )
}
