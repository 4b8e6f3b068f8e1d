//! Instagram containers: media that were fetched and checked, and wait to be published.

use chrono::TimeDelta;
use image::ImageFormat;
use serde_json::json;

use super::{Asked, GraphError, Outcome, VERSION, auth, fields, header_text};
use crate::event::Event;
use crate::media::{FetchError, Stored};
use crate::model::{Container, ContainerState};
use crate::state::Sandbox;

/// The largest picture.
const IMAGE_LIMIT: u64 = 8 << 20;
/// The largest video.
const VIDEO_LIMIT: u64 = 300 << 20;
/// The largest video of a story.
const STORY_VIDEO_LIMIT: u64 = 100 << 20;

/// `POST /{ig}/media`.
pub async fn create(sandbox: &Sandbox, account: &str, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, account)?;
    let caption = asked.params.text("caption").unwrap_or_default();
    check_caption(&caption)?;
    let wanted = Wanted::of(asked)?;
    asked.params.only(wanted.parameters())?;
    check_quota(sandbox, account)?;
    let media = wanted.receive(sandbox, account, asked).await?;
    let resumable = asked.params.text("upload_type").as_deref() == Some("resumable");
    let id = {
        let mut book = sandbox.book();
        let id = (17_900_000_000_000_000 + book.number()).to_string();
        let ready_at = (!resumable).then(|| sandbox.processed_at(&book));
        let container = Container {
            id: id.clone(),
            account: account.to_owned(),
            product: wanted.product().into(),
            media_type: wanted.media_type().into(),
            caption,
            media,
            child: wanted.is_child(),
            created: sandbox.clock.now(),
            ready_at,
            forced: None,
            published: None,
        };
        book.record(Event::Container(container))?;
        id
    };
    Ok(if resumable {
        json!({ "id": id, "uri": format!("{}/rupload/ig-api-upload/{VERSION}/{id}", sandbox.base) })
    } else {
        json!({ "id": id })
    })
}

/// `POST /rupload/ig-api-upload/{version}/{container}`: the bytes of a resumable container.
pub async fn fill(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    let owner = owner_of(sandbox, id)?;
    auth::owner(sandbox, asked, &owner)?;
    let stored = match (&asked.params.file, header_text(&asked.headers, "file_url")) {
        (Some(bytes), _) => sandbox.media.keep(bytes).await?,
        (None, Some(url)) => sandbox.media.fetch(&url, VIDEO_LIMIT).await.map_err(unfetched)?,
        (None, None) => return Err(GraphError::parameter("There are no bytes")),
    };
    check_video(sandbox, &stored).await?;
    let mut book = sandbox.book();
    let ready_at = sandbox.processed_at(&book);
    book.record(Event::Filled { id: id.to_owned(), media: stored.sha256, ready_at })?;
    Ok(json!({ "success": true, "message": "Upload successful." }))
}

/// `GET /{container}?fields=status_code,status`. It never tells which media it became.
pub fn read(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    let owner = owner_of(sandbox, id)?;
    auth::owner(sandbox, asked, &owner)?;
    let (book, now) = (sandbox.book(), sandbox.clock.now());
    let container = book.world.containers.get(id).ok_or_else(|| GraphError::missing(id))?;
    let effect = container.published.as_deref().and_then(|media| book.world.effect_of(media));
    let state = match effect {
        Some(effect) if book.hides(effect, now) => ContainerState::Finished,
        Some(_) | None => container.state(now),
    };
    let status = match state {
        ContainerState::InProgress => "In Progress: Media is still being processed.",
        ContainerState::Finished => "Finished: Media has been uploaded and it is ready to be published.",
        ContainerState::Published => "Published: Media has been published.",
        ContainerState::Error => "Error: Media upload has failed with error code 2207053",
        ContainerState::Expired => "Expired: The container was not published within 24 hours.",
    };
    let node =
        json!({ "id": id, "status_code": state.code(), "status": status, "copyright_check_status": null });
    fields::pick(asked, "IGContainer", "id", &node)
}

/// What a container is to become.
#[derive(Debug)]
enum Wanted {
    Image(String),
    Reel,
    StoryImage(String),
    StoryVideo,
    ChildImage(String),
    ChildVideo,
    Carousel(Vec<String>),
}

impl Wanted {
    fn of(asked: &Asked) -> Result<Self, GraphError> {
        let image = asked.params.text("image_url");
        let child = asked.params.flag("is_carousel_item") == Some(true);
        match (asked.params.text("media_type").as_deref(), image) {
            (None | Some("IMAGE"), Some(url)) if child => Ok(Self::ChildImage(url)),
            (None | Some("IMAGE"), Some(url)) => Ok(Self::Image(url)),
            (Some("REELS"), _) => Ok(Self::Reel),
            (Some("STORIES"), Some(url)) => Ok(Self::StoryImage(url)),
            (Some("STORIES"), None) => Ok(Self::StoryVideo),
            (Some("VIDEO"), _) if child => Ok(Self::ChildVideo),
            (Some("CAROUSEL"), _) => Self::carousel(asked),
            (Some("VIDEO"), _) => Err(wrong_type("The VIDEO value for media_type is no longer supported.")),
            (_, _) => Err(wrong_type("The parameter image_url is required")),
        }
    }

    fn carousel(asked: &Asked) -> Result<Self, GraphError> {
        let children: Vec<_> = asked
            .params
            .list("children")
            .iter()
            .map(|child| child.as_str().map_or_else(|| child.to_string(), str::to_owned))
            .collect();
        if (2..=10).contains(&children.len()) {
            Ok(Self::Carousel(children))
        } else {
            Err(GraphError::parameter("Carousel must have 2 to 10 items").with_subcode(2_207_028))
        }
    }

    /// What this call may bear besides what any call may.
    fn parameters(&self) -> &'static [&'static str] {
        match self {
            Self::Image(_) => &[
                "media_type",
                "image_url",
                "caption",
                "alt_text",
                "user_tags",
                "location_id",
                "collaborators",
            ],
            Self::Reel => &[
                "media_type",
                "video_url",
                "upload_type",
                "caption",
                "cover_url",
                "thumb_offset",
                "share_to_feed",
                "audio_name",
                "trial_params",
                "user_tags",
                "location_id",
                "collaborators",
            ],
            Self::StoryImage(_) => &["media_type", "image_url"],
            Self::StoryVideo => &["media_type", "video_url", "upload_type"],
            Self::ChildImage(_) => &["is_carousel_item", "media_type", "image_url", "alt_text", "user_tags"],
            Self::ChildVideo => &["is_carousel_item", "media_type", "video_url", "upload_type"],
            Self::Carousel(_) => &["media_type", "children", "caption", "location_id", "collaborators"],
        }
    }

    /// Whether it can only be used inside a carousel.
    fn is_child(&self) -> bool {
        matches!(self, Self::ChildImage(_) | Self::ChildVideo)
    }

    fn product(&self) -> &'static str {
        match self {
            Self::Image(_) | Self::ChildImage(_) | Self::ChildVideo | Self::Carousel(_) => "FEED",
            Self::Reel => "REELS",
            Self::StoryImage(_) | Self::StoryVideo => "STORY",
        }
    }

    fn media_type(&self) -> &'static str {
        match self {
            Self::Image(_) | Self::ChildImage(_) | Self::StoryImage(_) => "IMAGE",
            Self::Reel | Self::StoryVideo | Self::ChildVideo => "VIDEO",
            Self::Carousel(_) => "CAROUSEL_ALBUM",
        }
    }

    /// Fetches and checks the media, and gives their SHA-256.
    async fn receive(
        &self,
        sandbox: &Sandbox,
        account: &str,
        asked: &Asked,
    ) -> Result<Vec<String>, GraphError> {
        match self {
            Self::Image(url) | Self::ChildImage(url) | Self::StoryImage(url) => {
                let stored = sandbox.media.fetch(url, IMAGE_LIMIT).await.map_err(unfetched)?;
                let any_ratio = matches!(self, Self::StoryImage(_));
                check_image(sandbox, &stored, any_ratio).await?;
                Ok(vec![stored.sha256])
            }
            Self::Reel | Self::ChildVideo => receive_video(sandbox, asked, VIDEO_LIMIT).await,
            Self::StoryVideo => receive_video(sandbox, asked, STORY_VIDEO_LIMIT).await,
            Self::Carousel(children) => children_media(sandbox, account, children),
        }
    }
}

async fn receive_video(sandbox: &Sandbox, asked: &Asked, limit: u64) -> Result<Vec<String>, GraphError> {
    if asked.params.text("upload_type").as_deref() == Some("resumable") {
        return Ok(Vec::new());
    }
    let url =
        asked.params.text("video_url").ok_or_else(|| wrong_type("The parameter video_url is required"))?;
    let stored = sandbox.media.fetch(&url, limit).await.map_err(unfetched)?;
    check_video(sandbox, &stored).await?;
    Ok(vec![stored.sha256])
}

fn children_media(sandbox: &Sandbox, account: &str, children: &[String]) -> Result<Vec<String>, GraphError> {
    let (book, now) = (sandbox.book(), sandbox.clock.now());
    let mut media = Vec::new();
    for id in children {
        let child = book.world.containers.get(id).filter(|child| child.account == account && child.child);
        let child =
            child.ok_or_else(|| GraphError::new(24, "Media could not be found").with_subcode(2_207_006))?;
        match child.state(now) {
            ContainerState::Finished => media.extend(child.media.iter().cloned()),
            ContainerState::InProgress => return Err(not_ready()),
            ContainerState::Published | ContainerState::Error | ContainerState::Expired => {
                return Err(GraphError::new(24, "Media container has expired").with_subcode(2_207_008));
            }
        }
    }
    Ok(media)
}

/// 9007/2207027.
pub fn not_ready() -> GraphError {
    GraphError::new(9007, "Media ID is not available")
        .with_subcode(2_207_027)
        .user("The media is not ready for publishing, please wait for a moment")
}

async fn check_image(sandbox: &Sandbox, stored: &Stored, any_ratio: bool) -> Result<(), GraphError> {
    let picture = sandbox.media.picture(&stored.sha256).await.ok_or_else(not_media)?;
    if picture.format != ImageFormat::Jpeg {
        return Err(GraphError::new(36_001, "The image format is not supported")
            .with_subcode(2_207_005)
            .user("The image format is not supported. Supported formats are: JPEG."));
    }
    let ratio = f64::from(picture.width) / f64::from(picture.height);
    if picture.width < 320 || (!any_ratio && !(0.799..=1.911).contains(&ratio)) {
        return Err(GraphError::new(36_003, "The submitted image with aspect ratio cannot be published")
            .with_subcode(2_207_009)
            .user("The aspect ratio must be between 4:5 and 1.91:1, and the width at least 320 pixels."));
    }
    Ok(())
}

async fn check_video(sandbox: &Sandbox, stored: &Stored) -> Result<(), GraphError> {
    if sandbox.media.is_video(&stored.sha256).await? {
        return Ok(());
    }
    Err(GraphError::new(352, "The video format is not supported")
        .with_subcode(2_207_026)
        .user("The video format is not supported."))
}

fn unfetched(error: FetchError) -> GraphError {
    match error {
        FetchError::Unreachable(why) => {
            let mut error = not_media();
            error.user_message = Some(why);
            error
        }
        FetchError::TooLarge(limit) => GraphError::new(36_000, "The image is too large to download")
            .with_subcode(2_207_004)
            .user(format!("The media must be smaller than {limit} bytes.")),
        FetchError::Disk(error) => error.into(),
    }
}

fn not_media() -> GraphError {
    GraphError::new(9004, "Only photo or video can be accepted as media type.")
        .with_subcode(2_207_052)
        .user("The media could not be fetched from this URI.")
}

fn wrong_type(message: &str) -> GraphError {
    GraphError::parameter(message).with_subcode(2_207_023)
}

fn check_caption(caption: &str) -> Result<(), GraphError> {
    let too_long = caption.chars().count() > 2200
        || caption.matches('#').count() > 30
        || caption.matches('@').count() > 20;
    if too_long {
        return Err(GraphError::new(36_004, "The caption was too long")
            .with_subcode(2_207_010)
            .user("Captions are limited to 2,200 characters, 30 hashtags and 20 mentions."));
    }
    Ok(())
}

fn check_quota(sandbox: &Sandbox, account: &str) -> Result<(), GraphError> {
    let book = sandbox.book();
    let since = sandbox.clock.now() - TimeDelta::hours(24);
    let times = book.world.container_times.get(account).map_or(&[][..], Vec::as_slice);
    let recent = times.len() - times.partition_point(|at| *at < since);
    if recent as u64 >= book.world.settings.container_quota {
        return Err(GraphError::new(9, "Application request limit reached").with_subcode(2_207_042));
    }
    Ok(())
}

fn owner_of(sandbox: &Sandbox, id: &str) -> Result<String, GraphError> {
    let owner = sandbox.book().world.containers.get(id).map(|container| container.account.clone());
    owner.ok_or_else(|| GraphError::missing(id))
}
