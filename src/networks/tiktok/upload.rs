//! Sending a film to TikTok in parts.

use std::{ops::Range, time::Duration};

use jobs::{
    contract::{Class, Failure},
    desk::{Call, File, Handle},
    machine::{Answer, Sight},
};
use reqwest::{Method, header};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    super::http::{self, Deadline, Fault, Phase, Reply, unknown},
    CANCEL, TikTok,
    progress::Progress,
};

/// How often an upload is taken up again after a part did not arrive.
const RESUMPTIONS: u32 = 3;

/// How a film is sent; kept with the handle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Where its parts are put. The address is the permission.
    pub address: String,
    /// The size of the film.
    pub size: u64,
    /// The size of a part.
    pub chunk: u64,
    /// How many parts there are.
    pub chunks: u64,
    /// Of what it was opened, so that another call may know its own.
    #[serde(default)]
    pub of: Of,
}

/// What an upload was opened for: TikTok is told the post's words and settings with the film's size, before its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Of {
    /// The film's key.
    pub file: String,
    /// A digest of the rest.
    pub post: String,
}

impl Upload {
    /// `chunks = floor(size / chunk)`; the last takes the remainder, and a short film is one part.
    pub fn plan(address: String, size: u64, chunk: u64) -> Self {
        let chunk = if size < chunk { size } else { chunk };
        Self { address, size, chunk, chunks: size.checked_div(chunk).unwrap_or(1), of: Of::default() }
    }

    /// How the film of this handle is sent.
    ///
    /// # Errors
    /// The handle is not one of ours.
    pub fn of(handle: &Handle) -> Result<Self, Failure> {
        let broken =
            |_| Failure::new(Class::Permanent, "handle", "the handle does not say how it was uploaded");
        Self::deserialize(&handle.detail).map_err(broken)
    }

    /// Where the part that completes the film begins.
    fn last(&self) -> u64 {
        self.chunks.saturating_sub(1).saturating_mul(self.chunk)
    }

    /// The parts before the last that are still to be sent when `have` bytes are there.
    fn rest(&self, have: u64) -> impl Iterator<Item = Range<u64>> + use<> {
        let (chunk, before_last) = (self.chunk, self.chunks.saturating_sub(1));
        let whole = (0..before_last).map(move |n| n * chunk..(n + 1) * chunk);
        whole.filter(move |part| part.end > have).map(move |part| part.start.max(have)..part.end)
    }
}

/// One call that sends parts of a film.
pub struct Sending<'a> {
    /// The network.
    pub tiktok: &'a TikTok,
    /// The call.
    pub call: &'a Call<'a>,
    /// When it has to be over.
    pub deadline: Deadline,
    /// What TikTok calls the film.
    pub handle: &'a Handle,
    /// How the film is sent.
    pub upload: &'a Upload,
    /// Where the film is kept.
    pub file: &'a File,
}

impl Sending<'_> {
    /// Sends every part but the last that TikTok does not have yet. After a part that did not arrive TikTok is asked how
    /// far it has got.
    ///
    /// # Errors
    /// Some part did not arrive; nobody sees what did.
    pub async fn prepare(&self, mut have: u64) -> Result<(), Failure> {
        for _ in 0..RESUMPTIONS {
            match self.parts(have).await {
                Ok(()) => return Ok(()),
                Err(failure) if failure.class == Class::Permanent => return Err(failure),
                Err(_) => have = self.have().await?,
            }
        }
        self.parts(have).await
    }

    /// Sends the part that completes the film.
    pub async fn commit(&self) -> Answer {
        match self.only_last_missing().await {
            Ok(start) => self.last(start..self.upload.size).await,
            Err(answer) => answer,
        }
    }

    async fn parts(&self, have: u64) -> Result<(), Failure> {
        for part in self.upload.rest(have) {
            let bytes = self.bytes(&part).await?;
            let within = self.deadline.left(self.tiktok.timeout);
            let reply = self.put(Phase::Prepare, &part, bytes, within).await.map_err(Fault::into_failure)?;
            if reply.status.as_u16() != 206 {
                return Err(not_taken(&reply));
            }
        }
        Ok(())
    }

    async fn have(&self) -> Result<u64, Failure> {
        match self.progress().await? {
            Progress::Uploading(have) => Ok(have.unwrap_or(0)),
            Progress::Past(Sight::Dead(failure)) => Err(failure),
            Progress::Past(Sight::Building | Sight::Ready | Sight::Processing | Sight::Public(_)) => {
                Err(Failure::new(Class::Transient, "upload", "it is over before its last part was sent"))
            }
        }
    }

    /// Makes sure that only the last part is missing, and says where it begins; or what is the answer already.
    /// Until the last part is sent nothing can be published, so every failure here counts as unsent.
    async fn only_last_missing(&self) -> Result<u64, Answer> {
        let last = self.upload.last();
        match self.progress().await.map_err(Answer::Unsent)? {
            Progress::Uploading(Some(have)) if have >= self.upload.size => Err(Answer::Accepted),
            Progress::Uploading(have) => {
                let have = have.unwrap_or(last);
                match self.parts(have).await {
                    Ok(()) => Ok(have.max(last)),
                    // the address has expired for the parts before the last as for the last
                    Err(failure) if has_expired(&failure) => Err(self.give_up(Answer::Unsent(failure)).await),
                    Err(failure) => Err(Answer::Unsent(failure)),
                }
            }
            Progress::Past(Sight::Public(public)) => Err(Answer::Published(public)),
            Progress::Past(Sight::Dead(failure)) => Err(Answer::Refused { failure, handle_dead: true }),
            Progress::Past(Sight::Building | Sight::Ready | Sight::Processing) => Err(Answer::Accepted),
        }
    }

    async fn last(&self, part: Range<u64>) -> Answer {
        let bytes = match self.bytes(&part).await {
            Ok(bytes) => bytes,
            Err(failure) => return Answer::Unsent(failure),
        };
        match self.put(Phase::Commit, &part, bytes, self.deadline.left(Duration::MAX)).await {
            Ok(reply) => match reply.status.as_u16() {
                201 => Answer::Accepted,
                403 | 404 => self.give_up(doubt(&reply)).await,
                0..=200 | 202..=402 | 405.. => doubt(&reply),
            },
            Err(fault) => fault.into_answer(),
        }
    }

    /// An upload address serves for an hour. What is below full size after that is cancelled at TikTok, and
    /// only TikTok's word that it is cancelled makes the handle dead; without it the answer is `otherwise`.
    async fn give_up(&self, otherwise: Answer) -> Answer {
        match self.progress().await {
            Ok(Progress::Uploading(Some(have))) if have < self.upload.size => self.cancel(otherwise).await,
            Ok(Progress::Past(Sight::Public(public))) => Answer::Published(public),
            Ok(Progress::Past(_) | Progress::Uploading(_)) | Err(_) => otherwise,
        }
    }

    async fn cancel(&self, otherwise: Answer) -> Answer {
        let body = json!({ "publish_id": self.handle.id });
        let (tiktok, deadline) = (self.tiktok, self.deadline);
        match tiktok.ask(Phase::Prepare, self.call, deadline, Method::POST, CANCEL, Some(&body)).await {
            Ok(_) => {
                let why = "the upload address had expired; the upload was cancelled and is made anew";
                let failure = Failure::new(Class::Transient, "upload_expired", why);
                Answer::Refused { failure, handle_dead: true }
            }
            Err(_) => otherwise,
        }
    }

    async fn progress(&self) -> Result<Progress, Failure> {
        self.tiktok.progress(self.call, self.deadline, &self.handle.id).await
    }

    async fn bytes(&self, part: &Range<u64>) -> Result<Vec<u8>, Failure> {
        let reading = self.call.media.read(&self.file.key, part.start, part.end);
        let late = |_| Failure::new(Class::Transient, "media_store", "the film could not be read in time");
        tokio::time::timeout(self.deadline.left(Duration::MAX), reading).await.map_err(late)?
    }

    /// Sends one part. No token goes with it: the address itself is the permission.
    async fn put(
        &self,
        phase: Phase,
        part: &Range<u64>,
        bytes: Vec<u8>,
        within: Duration,
    ) -> Result<Reply, Fault> {
        let range = format!("bytes {}-{}/{}", part.start, part.end.saturating_sub(1), self.upload.size);
        let request = self.tiktok.http.request(phase, self.call, Method::PUT, &self.upload.address)?;
        let request = request.header(header::CONTENT_TYPE, &self.file.content_type);
        http::send(phase, self.call, request.header(header::CONTENT_RANGE, range).body(bytes), within).await
    }
}

/// An upload address serves for an hour.
pub fn has_expired(failure: &Failure) -> bool {
    matches!(failure.code.as_str(), "upload_403" | "upload_404")
}

fn doubt(reply: &Reply) -> Answer {
    Answer::Unknown(unknown(not_taken(reply)))
}

/// The address answered something other than what the part should have brought: 416 for a wrong range, 403 or
/// 404 once it has expired. Asking how far TikTok is, or a new upload, mends each.
fn not_taken(reply: &Reply) -> Failure {
    let status = reply.status.as_u16();
    let why = format!("the upload address answered HTTP {status}");
    Failure::new(Class::Transient, format!("upload_{status}"), why).resting(reply.retry_after())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn plan(size: u64, chunk: u64) -> Upload {
        Upload::plan("https://upload/1".into(), size, chunk)
    }

    #[test]
    fn a_film_is_cut_as_tiktok_counts() {
        let cut = |size, chunk| {
            let plan = plan(size, chunk);
            (plan.chunk, plan.chunks, plan.last())
        };
        assert_eq!(cut(MIB, 5 * MIB), (MIB, 1, 0), "a short film goes as a whole");
        assert_eq!(cut(5 * MIB, 5 * MIB), (5 * MIB, 1, 0));
        assert_eq!(cut(10 * MIB - 1, 5 * MIB), (5 * MIB, 1, 0), "the last part takes the remainder");
        assert_eq!(cut(10 * MIB, 5 * MIB), (5 * MIB, 2, 5 * MIB));
        assert_eq!(cut(50_000_123, 10_000_000), (10_000_000, 5, 40_000_000));
    }

    #[test]
    fn an_upload_goes_on_where_tiktok_says_and_stops_before_the_last_part() {
        let plan = plan(17 * MIB, 5 * MIB);
        let rest = |have| plan.rest(have).map(|part| (part.start, part.end)).collect::<Vec<_>>();
        assert_eq!(rest(0), [(0, 5 * MIB), (5 * MIB, 10 * MIB)]);
        assert_eq!(rest(5 * MIB), [(5 * MIB, 10 * MIB)]);
        assert_eq!(rest(7 * MIB), [(7 * MIB, 10 * MIB)]);
        assert!(rest(10 * MIB).is_empty());
        assert!(Upload::plan(String::new(), MIB, 5 * MIB).rest(0).next().is_none());
    }
}
