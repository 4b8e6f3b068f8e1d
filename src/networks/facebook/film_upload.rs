//! Getting a film to a Page: fetched by its address, or sent in parts. Either way little of it is held here at once.

use std::{ops::Range, time::Duration};

use jobs::{
    contract::{Class, Failure},
    desk::{Call, File, Handle, Readiness},
    machine::Sight,
};
use serde_json::Value;

use super::{
    super::http::{Deadline, Fault, Phase, unreadable},
    Facebook,
    film::{Kind, session},
};

/// The most bytes of a film that are held at once.
const PART: u64 = 4 << 20;
/// How often an upload is taken up again after something did not arrive.
const RESUMPTIONS: u32 = 3;

/// The most calls that uploading this file takes, where all goes well.
pub fn calls(file: &File) -> u32 {
    if file.content_type.starts_with("video/") {
        u32::try_from(file.bytes.div_ceil(PART)).unwrap_or(u32::MAX).max(2)
    } else {
        1
    }
}

impl Facebook {
    /// Has the network fetch the film from its address.
    pub(super) async fn have_pulled(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        handle: &Handle,
        file: &File,
    ) -> Result<Readiness, Failure> {
        for _ in 0..RESUMPTIONS {
            match self.pull(call, deadline, handle, file).await {
                Ok(()) => return self.arrived(call, deadline, handle).await,
                Err(failure) if failure.class != Class::Transient => return Err(failure),
                Err(_) if self.have(call, deadline, handle).await? >= file.bytes => {
                    return self.arrived(call, deadline, handle).await;
                }
                Err(_) => {}
            }
        }
        self.pull(call, deadline, handle, file).await?;
        self.arrived(call, deadline, handle).await
    }

    async fn pull(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        handle: &Handle,
        file: &File,
    ) -> Result<(), Failure> {
        let address = call.media.address(&file.key).await?;
        let within = deadline.left(self.pull_timeout);
        let path = ["video-upload", self.graph.version(), &handle.id];
        let pulled = self.graph.pull(call, within, &path, &address).await.map_err(Fault::into_failure)?;
        if pulled["success"] == true {
            return Ok(());
        }
        Err(unreadable(Phase::Prepare, "the answer does not say that the film was fetched").into_failure())
    }

    /// Whether a film that was fetched may be finished. A look that fails costs nothing: it is looked at again.
    async fn arrived(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        handle: &Handle,
    ) -> Result<Readiness, Failure> {
        match self.film_sight(call, deadline, handle).await {
            Ok(Sight::Ready) => Ok(Readiness::Ready),
            Ok(Sight::Dead(failure)) => Err(failure),
            Ok(Sight::Building | Sight::Processing | Sight::Public(_)) | Err(_) => Ok(Readiness::Building),
        }
    }

    /// Sends the film in parts. The network says where each begins, and after one that did not arrive it is asked
    /// how much it has.
    pub(super) async fn send_parts(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        handle: &Handle,
        mut wanted: Range<u64>,
        file: &File,
    ) -> Result<Readiness, Failure> {
        let mut resumed = 0;
        while !wanted.is_empty() {
            wanted = match self.part(call, deadline, handle, file, &wanted).await {
                Ok(next) => next,
                Err(failure) if failure.class == Class::Transient && resumed < RESUMPTIONS => {
                    resumed += 1;
                    self.have(call, deadline, handle).await?..file.bytes
                }
                Err(failure) => return Err(failure),
            };
        }
        Ok(Readiness::Ready)
    }

    /// Sends one part and gives what the network wants next; nothing, once it has all.
    async fn part(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        handle: &Handle,
        file: &File,
        wanted: &Range<u64>,
    ) -> Result<Range<u64>, Failure> {
        let end = wanted.end.min(wanted.start.saturating_add(PART));
        let reading = call.media.read(&file.key, wanted.start, end);
        let late = |_| Failure::new(Class::Transient, "media_store", "the film could not be read in time");
        let bytes = tokio::time::timeout(deadline.left(Duration::MAX), reading).await.map_err(late)??;
        let start = wanted.start.to_string();
        let form = [
            ("upload_phase", "transfer"),
            ("upload_session_id", session(handle)?),
            ("start_offset", start.as_str()),
        ];
        let path = [call.account, Kind::Video.edge()];
        let sent = self.graph.post_file(call, deadline, &path, &form, ("video_file_chunk", bytes)).await;
        let next = offsets(&sent.map_err(Fault::into_failure)?, file.bytes)?;
        if next.start <= wanted.start {
            return Err(unreadable(Phase::Prepare, "the film does not grow").into_failure());
        }
        Ok(next)
    }

    /// How many bytes of a film the network has.
    pub(super) async fn have(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        handle: &Handle,
    ) -> Result<u64, Failure> {
        let film = self.graph.get(call, deadline, &[&handle.id], &[("fields", "status")]).await;
        let film = film.map_err(Fault::into_failure)?;
        // the spelling is Meta's
        Ok(count(&film["status"]["uploading_phase"]["bytes_transfered"]).unwrap_or(0))
    }
}

/// Which bytes the network wants next; none, once both numbers are the same.
pub fn offsets(answer: &Value, size: u64) -> Result<Range<u64>, Failure> {
    let range = count(&answer["start_offset"]).zip(count(&answer["end_offset"]));
    let range = range.filter(|(start, end)| start <= end && *end <= size);
    let unsaid = || unreadable(Phase::Prepare, "the answer does not say which part is wanted").into_failure();
    range.map(|(start, end)| start..end).ok_or_else(unsaid)
}

/// A number, or one that came as text, as Graph's offsets do.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_network_says_which_part_it_wants() {
        let wanted =
            |start: Value, end: Value| offsets(&json!({ "start_offset": start, "end_offset": end }), 10);
        assert_eq!(wanted(json!("0"), json!("8")), Ok(0..8));
        assert_eq!(wanted(json!(8), json!(10)), Ok(8..10));
        assert!(wanted(json!("10"), json!("10")).is_ok_and(|rest| rest.is_empty()));
        for (start, end) in [(json!(8), json!(11)), (json!(8), json!(7)), (json!(null), json!(7))] {
            assert!(wanted(start, end).is_err_and(|failure| failure.class == Class::Transient));
        }
    }

    #[test]
    fn the_calls_of_an_upload_grow_with_the_film() {
        let file = |content_type: &str, bytes| File {
            key: "k".into(),
            content_type: content_type.into(),
            bytes,
            width: 1080,
        };
        assert_eq!(calls(&file("image/jpeg", 4_000_000)), 1);
        assert_eq!(calls(&file("video/mp4", 1000)), 2);
        assert_eq!(calls(&file("video/mp4", 3 * PART + 1)), 4);
    }
}
