//! Making containers, which nobody sees: one for a picture, a reel or a story; one for each slide of a carousel,
//! and then the one that they are put into.
//!
//! A carousel whose slides are not all ready could come out with fewer of them. So its slides are a handle of
//! their own, which cannot be committed, until each of them is ready; only then is the carousel made of them.

use jobs::{
    contract::{Class, Failure},
    desk::{Call, Content, File, Handle, KeepHandle, Readiness},
    machine::Sight,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    super::http::{Deadline, Fault, Phase, id_of, no_evidence, unreadable},
    Instagram,
};

/// One post on its way into a container.
pub struct Making<'a> {
    /// Where.
    pub instagram: &'a Instagram,
    /// The prepare call.
    pub call: &'a Call<'a>,
    /// When it must be over.
    pub deadline: Deadline,
    /// What it is made of.
    pub content: &'a Content,
}

/// The slides of a carousel, in order, as the detail of a handle keeps them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Slides {
    /// One for each file.
    pub slides: Vec<Slide>,
}

/// The container of one file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Slide {
    /// The file's key, which never comes to name another.
    file: String,
    /// The container's id.
    pub container: String,
}

impl Slides {
    /// The slides of a handle; none where it is of no carousel.
    pub fn of(handle: &Handle) -> Self {
        Self::deserialize(&handle.detail).unwrap_or_default()
    }

    /// A handle that holds these slides and no carousel yet.
    fn handle(&self) -> Option<Handle> {
        let id = self.slides.first()?.container.clone();
        Some(Handle { kind: Handle::PARTS.into(), id, detail: json!(self) })
    }

    /// Their containers, as Graph takes them.
    fn children(&self) -> String {
        let ids: Vec<_> = self.slides.iter().map(|slide| slide.container.as_str()).collect();
        ids.join(",")
    }
}

type Form<'a> = Vec<(&'a str, &'a str)>;

impl Making<'_> {
    /// A container of one file, ready or not.
    pub async fn single(&self) -> Result<(Handle, Readiness), Failure> {
        let file = self.content.media.first().ok_or_else(missing)?;
        let address = self.call.media.address(&file.key).await?;
        let caption = self.content.caption.as_str();
        let form = match (self.content.surface.as_str(), is_film(file)) {
            ("story", true) => vec![("media_type", "STORIES"), ("video_url", &address)],
            ("story", false) => vec![("media_type", "STORIES"), ("image_url", &address)],
            (_, true) => vec![("media_type", "REELS"), ("video_url", &address), ("caption", caption)],
            (_, false) => vec![("image_url", address.as_str()), ("caption", caption)],
        };
        // Meta fetches the file itself: nothing follows the container's name that it would have to be kept before.
        self.looked_at(self.container(form, Value::Null).await?).await
    }

    /// The slides of a carousel, or the carousel itself where they are all ready.
    pub async fn carousel(&self, keep: &dyn KeepHandle) -> Result<(Handle, Readiness), Failure> {
        let slides = self.slides(keep).await?;
        let parts = slides.handle().ok_or_else(missing)?;
        match self.instagram.together(self.call, self.deadline, &slides).await.map_err(no_evidence)? {
            Sight::Ready => {
                let children = slides.children();
                let form = vec![
                    ("media_type", "CAROUSEL"),
                    ("children", children.as_str()),
                    ("caption", self.content.caption.as_str()),
                ];
                self.looked_at(self.container(form, json!(slides)).await?).await
            }
            Sight::Dead(failure) => Err(failure),
            Sight::Building | Sight::Processing | Sight::Public(_) => Ok((parts, Readiness::Building)),
        }
    }

    /// A container for each file, in order: those of an earlier call that are still good, and new ones. What there
    /// is by then is kept after each of them, so that a call that breaks off costs none of the day's containers.
    async fn slides(&self, keep: &dyn KeepHandle) -> Result<Slides, Failure> {
        let mut earlier = match keep.earlier() {
            Some(handle) if handle.is_parts() => Slides::of(handle).slides,
            Some(_) | None => Vec::new(),
        };
        let mut slides = Slides::default();
        for file in &self.content.media {
            let known = earlier.iter().position(|slide| slide.file == file.key);
            let slide = match known.map(|at| earlier.swap_remove(at)) {
                Some(slide) if self.serves(&slide).await? => slide,
                Some(_) | None => self.slide(file).await?,
            };
            slides.slides.push(slide);
            // with what is not looked at yet, lest a call that ends here forget it
            let known = Slides { slides: slides.slides.iter().chain(&earlier).cloned().collect() };
            if let Some(handle) = known.handle() {
                keep.keep(&handle).await?;
            }
        }
        Ok(slides)
    }

    /// Whether a slide of an earlier call can still be used. One that is gone is made anew.
    async fn serves(&self, slide: &Slide) -> Result<bool, Failure> {
        match self.instagram.look(self.call, self.deadline, &slide.container).await {
            Ok(Sight::Dead(_)) => Ok(false),
            Ok(Sight::Building | Sight::Ready | Sight::Processing | Sight::Public(_)) => Ok(true),
            Err(failure) if failure.class == Class::Permanent => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn slide(&self, file: &File) -> Result<Slide, Failure> {
        let address = self.call.media.address(&file.key).await?;
        let mut form = vec![("is_carousel_item", "true")];
        if is_film(file) {
            form.extend([("media_type", "VIDEO"), ("video_url", address.as_str())]);
        } else {
            form.push(("image_url", &address));
        }
        let made = self.container(form, Value::Null).await?;
        Ok(Slide { file: file.key.clone(), container: made.id })
    }

    async fn container(&self, form: Form<'_>, detail: Value) -> Result<Handle, Failure> {
        let path = [self.call.account, "media"];
        let made = self.instagram.post(Phase::Prepare, self.call, self.deadline, &path, &form).await;
        let nameless = || unreadable(Phase::Prepare, "the answer names no container").into_failure();
        let id = id_of(&made.map_err(Fault::into_failure)?["id"]).ok_or_else(nameless)?;
        Ok(Handle { kind: "container".into(), id, detail })
    }

    /// Pictures are mostly done at once. A look that fails costs nothing: the container is there, and is looked
    /// at again.
    async fn looked_at(&self, handle: Handle) -> Result<(Handle, Readiness), Failure> {
        match self.instagram.look(self.call, self.deadline, &handle.id).await {
            Ok(Sight::Ready) => Ok((handle, Readiness::Ready)),
            Ok(Sight::Dead(failure)) => Err(failure),
            Ok(Sight::Building | Sight::Processing | Sight::Public(_)) | Err(_) => {
                Ok((handle, Readiness::Building))
            }
        }
    }
}

fn is_film(file: &File) -> bool {
    file.content_type.starts_with("video/")
}

fn missing() -> Failure {
    Failure::new(Class::Permanent, "content", "the post has no file")
}
