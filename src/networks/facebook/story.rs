//! Stories of a Page: told by one call, and shown for a day.
//!
//! The list of stories names the picture or film that each was made of. One that is listed is public; that one is
//! not listed proves nothing, so a story in doubt is never told again.

use jobs::{
    contract::Failure,
    desk::{Call, Content, Handle, Readiness},
    machine::{Answer, Public, Sight},
};
use serde_json::Value;

use super::{
    super::http::{Deadline, Fault, Phase, id_of, unreadable},
    Facebook, Kind, missing, unsaid,
};

/// What the handle of a picture that becomes a story is called.
pub const PICTURE: &str = "photo_story";
/// The most stories that one read lists. A Page has fewer within a day.
const LATEST: &str = "100";

impl Facebook {
    /// Uploads the picture of a story, unseen.
    pub(super) async fn picture_story(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        content: &Content,
    ) -> Result<(Handle, Readiness), Failure> {
        let file = content.media.first().ok_or_else(|| missing("picture"))?;
        let id = self.photo(call, deadline, file).await?;
        // The picture is there as soon as it has a name: nothing follows that it would have to be kept before.
        Ok((Handle { kind: PICTURE.into(), id, detail: Value::Null }, Readiness::Ready))
    }

    /// Tells a story of a picture.
    pub(super) async fn tell(&self, call: &Call<'_>, handle: &Handle) -> Answer {
        let (path, form) = ([call.account, "photo_stories"], [("photo_id", handle.id.as_str())]);
        match self.graph.post(Phase::Commit, call, Deadline::of(call), &path, &form).await {
            Ok(body) if body["success"] == true => {
                Answer::Published(Public { id: id_of(&body["post_id"]), url: None })
            }
            Ok(_) => unsaid().into_answer(),
            Err(fault) => fault.into_answer(),
        }
    }

    /// Whether a picture or film is told as a story; else what its own state says, which a picture has none of.
    pub(super) async fn story(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        handle: &Handle,
    ) -> Result<Sight, Failure> {
        let list = self.graph.get(call, deadline, &[call.account, "stories"], &[("limit", LATEST)]).await;
        if let Some(public) = listed(&list.map_err(Fault::into_failure)?, &handle.id)? {
            return Ok(Sight::Public(public));
        }
        match Kind::of(handle) {
            Some(_) => self.film_sight(call, deadline, handle).await,
            None => Ok(Sight::Ready),
        }
    }
}

/// The story of this picture or film, if it is listed. A story may have no address.
fn listed(list: &Value, media: &str) -> Result<Option<Public>, Failure> {
    let unlisted = || unreadable(Phase::Read, "the answer lists no stories").into_failure();
    let stories = list["data"].as_array().ok_or_else(unlisted)?;
    let story = stories.iter().find(|story| id_of(&story["media_id"]).as_deref() == Some(media));
    Ok(story
        .map(|story| Public { id: id_of(&story["post_id"]), url: story["url"].as_str().map(str::to_owned) }))
}

#[cfg(test)]
mod tests {
    use jobs::contract::Class;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_story_is_known_by_its_media_alone() {
        let list = json!({ "data": [
            { "post_id": "104_2", "status": "PUBLISHED", "media_id": 8, "url": "https://f/2" },
            { "post_id": "104_1", "status": "ARCHIVED", "media_id": "7" },
        ] });
        let public =
            |id: &str, url: Option<&str>| Public { id: Some(id.into()), url: url.map(str::to_owned) };
        assert_eq!(listed(&list, "8"), Ok(Some(public("104_2", Some("https://f/2")))));
        assert_eq!(listed(&list, "7"), Ok(Some(public("104_1", None))), "an address is not always there");
        assert_eq!(listed(&list, "104_1"), Ok(None));
        assert!(listed(&json!({}), "7").is_err_and(|failure| failure.class == Class::Transient));
    }
}
