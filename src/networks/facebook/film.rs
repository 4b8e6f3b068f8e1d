//! Films on a Page: started, uploaded unseen, finished; public once the network has processed them.
//!
//! The start names the film, and under that name everything else is asked. A film that is never finished stays
//! unseen, and one that is finished twice is one film.

use jobs::{
    contract::{Class, Failure},
    desk::{Call, Content, File, Handle, KeepHandle, Readiness},
    machine::{Answer, Public, Sight},
};
use serde_json::{Value, json};

use super::{
    super::http::{Deadline, Fault, Phase, id_of, unreadable, words},
    Facebook,
    film_upload::offsets,
    missing, unsaid,
};

/// Where relative addresses of films begin.
const SITE: &str = "https://www.facebook.com";

/// What a film becomes, which decides where it is started and finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A post.
    Video,
    /// A reel.
    Reel,
    /// A story.
    Story,
}

impl Kind {
    const ALL: &'static [Self] = &[Self::Video, Self::Reel, Self::Story];

    /// What a handle says that its film becomes; `None` where it is no film's.
    pub fn of(handle: &Handle) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == handle.kind)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Reel => "reel",
            Self::Story => "video_story",
        }
    }

    /// The part of the address below the Page.
    pub const fn edge(self) -> &'static str {
        match self {
            Self::Video => "videos",
            Self::Reel => "video_reels",
            Self::Story => "video_stories",
        }
    }
}

impl Facebook {
    /// Starts a film, and uploads it once its name is kept; or goes on with what an earlier call has begun.
    pub(super) async fn film(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        kind: Kind,
        content: &Content,
        keep: &dyn KeepHandle,
    ) -> Result<(Handle, Readiness), Failure> {
        let file = content.media.first().ok_or_else(|| missing("film"))?;
        if let Some(handle) = keep.earlier().filter(|handle| is_of(handle, kind, file))
            && let Some((sight, have)) = self.begun(call, deadline, handle).await?
        {
            keep.keep(handle).await?;
            let readiness = match (sight, kind) {
                (Sight::Ready, _) => Readiness::Ready,
                (_, Kind::Reel | Kind::Story) if have >= file.bytes => Readiness::Building,
                (_, Kind::Video) => self.send_parts(call, deadline, handle, have..file.bytes, file).await?,
                (_, Kind::Reel | Kind::Story) => self.have_pulled(call, deadline, handle, file).await?,
            };
            return Ok((handle.clone(), readiness));
        }
        self.begin(call, deadline, kind, file, keep).await
    }

    /// What an earlier call has begun, and how much of it is there; `None` where it leads nowhere any more.
    async fn begun(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        handle: &Handle,
    ) -> Result<Option<(Sight, u64)>, Failure> {
        match self.film_sight(call, deadline, handle).await {
            Ok(sight @ Sight::Ready) => Ok(Some((sight, 0))),
            Ok(sight @ Sight::Building) => Ok(Some((sight, self.have(call, deadline, handle).await?))),
            Ok(Sight::Dead(_) | Sight::Processing | Sight::Public(_)) => Ok(None),
            Err(failure) if failure.class == Class::Permanent => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn begin(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        kind: Kind,
        file: &File,
        keep: &dyn KeepHandle,
    ) -> Result<(Handle, Readiness), Failure> {
        let size = file.bytes.to_string();
        let mut form = vec![("upload_phase", "start")];
        if kind == Kind::Video {
            form.push(("file_size", &size));
        }
        let made = self.graph.post(Phase::Prepare, call, deadline, &[call.account, kind.edge()], &form).await;
        let made = made.map_err(Fault::into_failure)?;
        let nameless = || unreadable(Phase::Prepare, "the answer names no film").into_failure();
        let id = id_of(&made["video_id"]).ok_or_else(nameless)?;
        let detail = match kind {
            Kind::Video => {
                let session = id_of(&made["upload_session_id"]).ok_or_else(nameless)?;
                json!({ "file": file.key, "session": session })
            }
            Kind::Reel | Kind::Story => json!({ "file": file.key }),
        };
        let handle = Handle { kind: kind.word().into(), id, detail };
        keep.keep(&handle).await?;
        let readiness = match kind {
            Kind::Video => {
                self.send_parts(call, deadline, &handle, offsets(&made, file.bytes)?, file).await?
            }
            Kind::Reel | Kind::Story => self.have_pulled(call, deadline, &handle, file).await?,
        };
        Ok((handle, readiness))
    }

    /// Finishes a film: from here on the network processes it and makes it public by itself.
    pub(super) async fn finish(
        &self,
        call: &Call<'_>,
        kind: Kind,
        handle: &Handle,
        content: &Content,
    ) -> Answer {
        let (name, words) = (handle.id.as_str(), content.caption.as_str());
        let mut form = vec![("upload_phase", "finish")];
        match kind {
            Kind::Video => match session(handle) {
                Ok(session) => form.extend([("upload_session_id", session), ("description", words)]),
                Err(failure) => return Answer::Unsent(failure),
            },
            Kind::Reel => {
                form.extend([("video_id", name), ("video_state", "PUBLISHED"), ("description", words)]);
            }
            Kind::Story => form.push(("video_id", name)),
        }
        let path = [call.account, kind.edge()];
        match self.graph.post(Phase::Commit, call, Deadline::of(call), &path, &form).await {
            Ok(body) if body["success"] == true => Answer::Accepted,
            Ok(_) => unsaid().into_answer(),
            Err(fault) => fault.into_answer(),
        }
    }

    /// What has become of a film.
    pub(super) async fn film_sight(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        handle: &Handle,
    ) -> Result<Sight, Failure> {
        let fields = [("fields", "status,permalink_url,published,post_id")];
        let film = self.graph.get(call, deadline, &[&handle.id], &fields).await;
        sight(&film.map_err(Fault::into_failure)?, |text| words(text, call))
    }
}

/// Whether it was begun with this file, to become the same.
fn is_of(handle: &Handle, kind: Kind, file: &File) -> bool {
    Kind::of(handle) == Some(kind) && handle.detail["file"] == *file.key
}

/// Under what its parts are sent.
pub fn session(handle: &Handle) -> Result<&str, Failure> {
    let broken = || Failure::new(Class::Permanent, "handle", "the handle does not say how it was uploaded");
    handle.detail["session"].as_str().ok_or_else(broken)
}

/// What a film's `status` shows.
///
/// # Errors
/// It shows nothing that is documented, which is no evidence.
fn sight(film: &Value, clean: impl Fn(&str) -> String) -> Result<Sight, Failure> {
    let status = &film["status"];
    let phase = |name: &str| status[name]["status"].as_str().unwrap_or_default();
    let publishing = status["publishing_phase"]["publish_status"].as_str().unwrap_or_default();
    if publishing == "published" {
        return Ok(Sight::Public(public(film)));
    }
    if let Some((code, class)) = failed(status) {
        return Ok(Sight::Dead(Failure::new(class, code, clean(&why(status)))));
    }
    let done = |word: &str| matches!(word, "complete" | "completed");
    match (phase("uploading_phase"), phase("processing_phase"), phase("publishing_phase"), publishing) {
        (_, _, "in_progress", _) | (_, _, _, "scheduled") => Ok(Sight::Processing),
        ("not_started" | "in_progress", _, _, _) => Ok(Sight::Building),
        // It may process what it was never told to publish, so that alone does not show that it was.
        (up, "in_progress", _, _) if done(up) => Ok(Sight::Building),
        (up, _, "not_started", "" | "draft" | "not_started") if done(up) => Ok(Sight::Ready),
        (_, _, _, _) => {
            Err(unreadable(Phase::Read, "the film is in none of the known states").into_failure())
        }
    }
}

/// How a film that will never be public came to grief. One that did not arrive whole is worth another upload.
fn failed(status: &Value) -> Option<(&'static str, Class)> {
    let failed = |phase: &str| status[phase]["status"] == "error";
    match status["video_status"].as_str() {
        Some("upload_failed") => return Some(("upload_failed", Class::Transient)),
        Some("expired") => return Some(("expired", Class::Transient)),
        Some(_) | None => {}
    }
    if failed("uploading_phase") {
        Some(("upload_failed", Class::Transient))
    } else if failed("publishing_phase") || status["publishing_phase"]["publish_status"] == "error" {
        Some(("publishing_failed", Class::Permanent))
    } else if failed("processing_phase") || status["video_status"] == "error" {
        Some(("processing_failed", Class::Permanent))
    } else {
        None
    }
}

fn why(status: &Value) -> String {
    let phases = ["uploading_phase", "processing_phase", "publishing_phase"];
    let said = phases.iter().find_map(|phase| status[*phase]["error"]["message"].as_str());
    format!("Facebook took the film and then refused it: {}", said.unwrap_or("it does not say why"))
}

/// The post that shows a film has an id of its own.
fn public(film: &Value) -> Public {
    let absolute = |url: &str| if url.starts_with('/') { format!("{SITE}{url}") } else { url.to_owned() };
    Public { id: id_of(&film["post_id"]), url: film["permalink_url"].as_str().map(absolute) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A film whose phases stand so.
    fn film(video: &str, up: &str, processing: &str, publishing: &str, publish: &str) -> Value {
        json!({ "post_id": "104_1", "permalink_url": "/reel/9/", "status": {
            "video_status": video,
            "uploading_phase": { "status": up },
            "processing_phase": { "status": processing, "error": { "message": "no sound" } },
            "publishing_phase": { "status": publishing, "publish_status": publish },
        } })
    }

    fn seen(film: &Value) -> Result<Sight, Failure> {
        sight(film, str::to_owned)
    }

    #[test]
    fn a_film_is_public_only_where_its_publishing_says_so() {
        let url = format!("{SITE}/reel/9/");
        let public = Public { id: Some("104_1".into()), url: Some(url) };
        let done = film("ready", "complete", "completed", "complete", "published");
        assert_eq!(seen(&done), Ok(Sight::Public(public)));
        for up in ["complete", "completed"] {
            let unseen = film("upload_complete", up, "not_started", "not_started", "draft");
            assert_eq!(seen(&unseen), Ok(Sight::Ready));
        }
        assert_eq!(seen(&film("ready", "complete", "complete", "not_started", "draft")), Ok(Sight::Ready));
        let late = film("ready", "complete", "complete", "in_progress", "draft");
        assert_eq!(seen(&late), Ok(Sight::Processing));
        let others = film("ready", "complete", "complete", "not_started", "scheduled");
        assert_eq!(seen(&others), Ok(Sight::Processing));
    }

    #[test]
    fn a_film_that_is_worked_on_shows_neither_yes_nor_no() {
        let arriving = film("uploading", "in_progress", "not_started", "not_started", "draft");
        assert_eq!(seen(&arriving), Ok(Sight::Building));
        let processed = film("processing", "complete", "in_progress", "not_started", "draft");
        assert_eq!(seen(&processed), Ok(Sight::Building));
        for silent in [json!({}), json!({ "status": { "video_status": "ready" } })] {
            assert!(seen(&silent).is_err_and(|failure| failure.class == Class::Transient), "{silent}");
        }
    }

    #[test]
    fn a_film_that_failed_is_dead_and_one_that_did_not_arrive_is_sent_again() {
        let dead = |film: &Value| match seen(film) {
            Ok(Sight::Dead(failure)) => (failure.class, failure.message.contains("no sound")),
            other => panic!("{other:?}"),
        };
        let refused = film("error", "complete", "error", "not_started", "draft");
        assert_eq!(dead(&refused), (Class::Permanent, true));
        assert_eq!(dead(&film("error", "complete", "complete", "error", "error")).0, Class::Permanent);
        for video in ["upload_failed", "expired"] {
            assert_eq!(
                dead(&film(video, "error", "not_started", "not_started", "draft")).0,
                Class::Transient
            );
        }
    }

    #[test]
    fn every_film_is_known_by_its_handle() {
        for kind in Kind::ALL {
            let handle = Handle { kind: kind.word().into(), id: "9".into(), detail: Value::Null };
            assert_eq!(Kind::of(&handle), Some(*kind));
        }
        let draft = Handle { kind: "draft".into(), id: "104_1".into(), detail: Value::Null };
        assert_eq!(Kind::of(&draft), None);
    }
}
