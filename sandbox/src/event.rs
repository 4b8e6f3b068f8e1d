//! What can happen at the networks: the lines of the journal.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::effects::Effect;
use crate::model::{
    Account, Code, Comment, Container, ContainerState, Photo, Post, Settings, TokenState, Upload, Video,
};

/// One change of the networks' state. Replaying all of them gives the state back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// An account was registered, or replaced.
    Account(Account),
    /// A token began or ceased to work.
    Token {
        /// The access token.
        access_token: String,
        /// What it answers from now on.
        state: TokenState,
    },
    /// A refresh gave an account a new pair of tokens and voided the old one.
    Rotated {
        /// The account's external id.
        account: String,
        /// The new access token.
        access_token: String,
        /// The new refresh token.
        refresh_token: String,
    },
    /// A refresh token was used twice: the account's whole grant has ended.
    GrantEnded {
        /// The account's external id.
        account: String,
    },
    /// A person's token was exchanged for a new one. The old one stays good.
    Exchanged {
        /// The token that was given.
        old: String,
        /// The new one.
        new: String,
        /// New tokens of that person's Pages, for those that did not work any more, by external id.
        pages: Vec<(String, String)>,
    },
    /// A dialog gave a code.
    Code(Code),
    /// A code was exchanged for a person's token, which opens what that person had ticked.
    CodeUsed {
        /// The code.
        code: String,
        /// The new token.
        token: String,
    },
    /// A person has taken an app off, and with it every token that it was given.
    Removed {
        /// The person, by Meta's app-scoped id.
        subject: String,
    },
    /// A photo was uploaded to a Page.
    Photo(Photo),
    /// A post was created on a Page, as a draft; what makes it public is an [`Event::Effect`].
    Post(Post),
    /// A post's message was changed.
    PostEdited {
        /// The post's id.
        id: String,
        /// The new message.
        message: String,
    },
    /// A post, a media object or a photo was removed.
    Deleted {
        /// The object's id.
        id: String,
        /// When, where the journal has it.
        #[serde(default)]
        at: Option<DateTime<Utc>>,
        /// The call that did it.
        #[serde(default)]
        call_id: Option<String>,
    },
    /// A Facebook video or reel was started.
    Video(Video),
    /// A Facebook video or a resumable Instagram container got its bytes.
    Filled {
        /// The video's or container's id.
        id: String,
        /// The bytes, by their SHA-256.
        media: String,
        /// When processing is over.
        ready_at: DateTime<Utc>,
    },
    /// Bytes of a Facebook video arrived.
    VideoGrew {
        /// The video's id.
        id: String,
        /// How many bytes are there now, from the first on without a gap.
        received: u64,
    },
    /// The upload of a Facebook video was finished and will be published when processed.
    VideoFinished {
        /// The video's id.
        id: String,
        /// The text.
        caption: String,
        /// When it becomes public.
        due: DateTime<Utc>,
        /// The call that finished it.
        call_id: Option<String>,
        /// The id of the post that will show it.
        #[serde(default)]
        post: Option<String>,
    },
    /// Something was said under a post; what makes it public is an [`Event::Effect`].
    Comment(Comment),
    /// An Instagram container was created.
    Container(Container),
    /// A container was put into a state by a fault.
    ContainerForced {
        /// The container's id.
        id: String,
        /// The state it stays in.
        state: ContainerState,
    },
    /// A TikTok upload was opened.
    Upload(Upload),
    /// Bytes of a TikTok upload arrived.
    UploadGrew {
        /// The upload's publish id.
        publish_id: String,
        /// How many bytes are there now, from the first on without a gap.
        received: u64,
    },
    /// A TikTok upload is complete and being processed.
    UploadAccepted {
        /// The upload's publish id.
        publish_id: String,
        /// What was uploaded, by SHA-256.
        media: Vec<String>,
        /// When processing is over.
        due: DateTime<Utc>,
        /// The call that completed it.
        call_id: Option<String>,
    },
    /// A TikTok upload or Facebook video will fail when it is processed.
    UploadDoomed {
        /// The upload's publish id, or the video's id.
        publish_id: String,
        /// The network's `fail_reason`.
        reason: String,
    },
    /// A TikTok upload or Facebook video failed for good.
    UploadFailed {
        /// The upload's publish id, or the video's id.
        publish_id: String,
        /// The network's `fail_reason`.
        reason: String,
    },
    /// Something became public. The effect itself makes its object public.
    Effect(Effect),
    /// The networks' clock was moved.
    ClockMoved {
        /// How far ahead of the machine's clock it is.
        ahead_ms: i64,
    },
    /// Settings were changed.
    Settings(Settings),
    /// Everything but the seeded accounts was forgotten.
    Reset,
}
