//! What the API takes and gives.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use jobs::{connections::Farewell, contract::Failure, forecast::End, machine::State, preflight};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    ledger::{
        access::{Breaks, Broken},
        accounts::{Account, Parted},
        media::Media,
        posts,
        take_down::TakenDown,
    },
    web::spans,
};

/// What `POST /api/v1/posts` takes. Unknown fields are refused.
#[derive(ToSchema)]
#[schema(as = NewPost)]
pub struct PostBody {
    /// The words. Left out: none.
    #[schema(example = "Opening day")]
    pub caption: Option<String>,
    /// `post` (the default), `reel`, `story` or `carousel`.
    #[schema(example = "post")]
    pub kind: Option<String>,
    /// The files, in order, as `POST /api/v1/media` named them.
    pub media_ids: Option<Vec<String>>,
    /// A public web address to show.
    pub link: Option<String>,
    /// Where to: 1 to 50 accounts, each once.
    pub targets: Vec<TargetBody>,
    /// When; left out: now.
    pub schedule: Option<ScheduleBody>,
    /// ISO 8601 duration. Past its time plus this the post is held, never published late. Left out: 6 h.
    #[schema(example = "PT2H")]
    pub latest_after: Option<String>,
}

/// What `PATCH /api/v1/posts/{id}` takes: what is left out stays, and `null` is what leaving it out is in a new post.
/// Unknown fields are refused.
#[derive(ToSchema)]
#[schema(as = PostChange)]
pub struct ChangeBody {
    /// The words.
    #[schema(example = "Opening day")]
    pub caption: Option<String>,
    /// The files, in order, as `POST /api/v1/media` named them.
    pub media_ids: Option<Vec<String>>,
    /// A public web address to show.
    pub link: Option<String>,
    /// What is otherwise on single accounts that the post goes to.
    pub targets: Option<Vec<TargetBody>>,
    /// When; `null`: now. Wakes what failed or was held as too late.
    pub schedule: Option<ScheduleBody>,
    /// ISO 8601 duration. Past its time plus this the post is held, never published late.
    #[schema(example = "PT2H")]
    pub latest_after: Option<String>,
}

/// What `POST /api/v1/publications/{id}/verdict` takes. Unknown fields are refused.
#[derive(ToSchema)]
#[schema(as = Verdict)]
pub struct VerdictBody {
    /// Whether it is public, as somebody sees who looks.
    pub published: bool,
    /// Where it is to be seen: an address at its network. Only with `published: true`.
    pub permalink: Option<String>,
    /// Why, in 1 to 500 characters; kept and shown. Needed with `published: false`.
    #[schema(example = "Looked at the page at 10:15; the story is not there.")]
    pub reason: Option<String>,
}

/// What `POST /api/v1/publications/{id}/take-down` takes. Unknown fields are refused.
#[derive(ToSchema)]
#[schema(as = TakeDown)]
pub struct TakeDownBody {
    /// Why; kept and shown with the publication.
    #[schema(example = "The price was wrong")]
    pub reason: Option<String>,
}

/// One account that a post goes to.
#[derive(ToSchema)]
#[schema(as = NewTarget)]
pub struct TargetBody {
    /// The account.
    pub account_id: String,
    /// Its own words instead of the post's.
    pub caption: Option<String>,
    /// `privacy_level` for TikTok: required unless the account has a default. `first_comment` for posts on Facebook and
    /// Instagram, not for stories: it is sent under the post once that is public, as a publication of its own.
    #[schema(example = json!({ "privacy_level": "SELF_ONLY" }))]
    pub options: Option<BTreeMap<String, String>>,
}

/// When a post goes out.
#[derive(ToSchema)]
#[schema(as = NewSchedule)]
pub struct ScheduleBody {
    /// Wall time in `time_zone`, or a time with its offset. No fraction.
    #[schema(example = "2026-12-01T09:30:00")]
    pub at: String,
    /// An IANA name, or an offset: +02:00.
    #[schema(example = "Asia/Jerusalem")]
    pub time_zone: Option<String>,
    /// `earlier` or `later`: needed where the wall time happens twice.
    pub fold: Option<String>,
}

/// What `POST /api/v1/media` takes.
#[derive(ToSchema)]
#[schema(as = Upload)]
pub struct UploadBody {
    /// The file.
    #[schema(value_type = String, format = Binary)]
    pub file: Vec<u8>,
}

/// What `POST /api/v1/media/uploads` takes.
#[derive(ToSchema)]
#[schema(as = NewUpload)]
pub struct NewUploadBody {
    /// What the file is called; for display only.
    pub name: Option<String>,
    /// Its media type. The content has to be of it.
    #[schema(rename = "type", example = "video/mp4")]
    pub content_type: String,
    /// Exactly how large it is.
    pub bytes: u64,
}

/// Where a file is to be sent. Where there are `parts`, each of them with a `PUT` to its address, in any order; else
/// as `multipart/form-data` to `url`, its `fields` first, the file in the field `file` last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PresignedUpload)]
pub struct PresignedShape {
    /// The upload, for `POST /api/v1/media/uploads/{id}/complete`.
    pub id: Uuid,
    /// The store's address for the form; `null` where the file comes in parts.
    pub url: Option<String>,
    /// The fields of the form.
    pub fields: BTreeMap<String, String>,
    /// The parts of a large file, in its order; empty where it comes whole.
    pub parts: Vec<PartShape>,
    /// Until when the store takes it.
    pub expires_at: String,
}

/// A part of a large file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadPart)]
pub struct PartShape {
    /// Where its bytes are put.
    pub url: String,
    /// Exactly how many there are.
    pub bytes: u64,
}

/// A post.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Post)]
pub struct PostShape {
    id: Uuid,
    /// The first that any of its publications has of: publishing, confirming, waiting, preparing, retrying,
    /// scheduled, held, failed, published, cancelled.
    state: &'static str,
    kind: String,
    caption: String,
    link: Option<String>,
    media_ids: Vec<Uuid>,
    schedule: ScheduleShape,
    /// ISO 8601 duration.
    latest_after: String,
    created_at: DateTime<Utc>,
    publications: Vec<PublicationShape>,
}

/// When a post goes out, as it was written and as an instant. For “now” only the instant is set.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Schedule)]
pub struct ScheduleShape {
    at: Option<String>,
    time_zone: Option<String>,
    fold: Option<String>,
    instant: DateTime<Utc>,
}

/// A post on one account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Publication)]
pub struct PublicationShape {
    id: Uuid,
    account_id: Uuid,
    platform: String,
    /// `text`, `link`, `photo`, `photos`, `image`, `video`, `reel`, `story`, `carousel`; `comment` for the first comment
    /// that a target asked for, which goes out after its post.
    surface: String,
    /// The publication that a comment stands under.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<Uuid>,
    /// `scheduled`, `preparing`, `waiting`, `publishing`, `confirming`, `published`, `retrying`, `held`,
    /// `failed`, `cancelled`.
    state: &'static str,
    attempts: i64,
    scheduled_for: DateTime<Utc>,
    published_at: Option<DateTime<Utc>>,
    permalink: Option<String>,
    remote_id: Option<String>,
    /// The link as this account's followers get it: the post's with the workspace's parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    error: Option<ErrorShape>,
    /// What was found when it was accepted, and then by the latest check before its time, while there is time to mend it:
    /// a day, an hour and five minutes before.
    findings: Vec<FindingShape>,
    /// What became of a wish to take it down; its state stays `published`. `null`: nobody wished it.
    taken_down: Option<TakenDownShape>,
}

/// What became of a wish to take down what is public.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TakenDown)]
pub struct TakenDownShape {
    /// `asked`: the network is being asked; `gone`: it is gone; `refused`: it is not taken down, and `why` says so.
    state: &'static str,
    asked_at: DateTime<Utc>,
    /// What was written with the wish.
    reason: Option<String>,
    /// When it was gone, or refused.
    at: Option<DateTime<Utc>>,
    /// Why it was refused, and who can mend that before it is asked for again.
    why: Option<ErrorShape>,
}

/// Something that may stand in a publication's way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublicationFinding)]
pub struct FindingShape {
    field: String,
    code: String,
    detail: String,
    accepted: Vec<String>,
    /// `author`, `owner` of the account, `staff` of the workspace, `operator` of this house, or `postroom`.
    who_acts: &'static str,
    /// Another post that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    post_id: Option<Uuid>,
}

/// What went wrong, and who can mend it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublicationError)]
pub struct ErrorShape {
    class: String,
    code: String,
    message: String,
    /// `postroom`, `owner` of the account, `author` of the post, `staff` who decide about one that is held or that
    /// failed by itself, or the `operator` of postroom.
    who_acts: &'static str,
}

/// A file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Media)]
pub struct MediaShape {
    id: Uuid,
    /// Found by content.
    #[serde(rename = "type")]
    content_type: String,
    bytes: i64,
    width: i32,
    height: i32,
    duration_ms: Option<i64>,
    /// `uploading` or `ready`.
    state: &'static str,
}

/// A connected account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountShape {
    id: Uuid,
    platform: String,
    external_id: String,
    name: String,
    /// `active`, `paused`, `reconnect`, `frozen`.
    state: &'static str,
    state_reason: Option<String>,
    /// When the access token ends, where the network names an end.
    token_expires_at: Option<DateTime<Utc>>,
    /// Whether it is renewed by itself, at half of its life.
    renewed_by_itself: bool,
    /// When the network stops giving data, whatever the token does.
    data_access_expires_at: Option<DateTime<Utc>>,
    /// Scopes that publishing needs and the grant lacks.
    missing_scopes: Vec<String>,
    /// The end of the connection, as far as one is known.
    ends: Option<EndShape>,
    /// Options that a post may leave out.
    #[schema(value_type = Object)]
    defaults: Value,
    created_at: DateTime<Utc>,
    /// That somebody has disconnected it; `null`: it is connected.
    disconnected: Option<DisconnectedShape>,
}

/// How an account was disconnected.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Disconnected)]
pub struct DisconnectedShape {
    /// When.
    at: DateTime<Utc>,
    /// `staff`, `key` (a program), `network` (its owner, there).
    by: &'static str,
    /// What became of its access: `asked` (it is being taken back), `revoked`, `kept` (others rest on the same grant; shredded
    /// here alone), `told` (the network said itself that it is gone), `unproved` (shredded here, and the network could not be
    /// brought to say that it took it back).
    access: &'static str,
}

impl DisconnectedShape {
    fn of(it: &Parted) -> Self {
        Self { at: it.at, by: it.by.word(), access: it.access.map_or("asked", Farewell::word) }
    }
}

/// The end of a connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectionEnd)]
pub struct EndShape {
    /// When; what is broken already ended now.
    at: DateTime<Utc>,
    /// `reconnect`, `scopes`, `token`, `renewal`, `data_access`.
    because: &'static str,
    /// How many scheduled publications do not go out then.
    breaks_total: u64,
    /// The first of them.
    breaks: Vec<BrokenShape>,
}

/// A publication that a connection does not last for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BrokenPublication)]
pub struct BrokenShape {
    publication_id: Uuid,
    post_id: Uuid,
    scheduled_for: DateTime<Utc>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T: ToSchema> {
    /// The rows.
    pub data: Vec<T>,
    /// Give it as `cursor` to get the next page; `null`: this was the last.
    pub next_cursor: Option<String>,
}

impl From<&posts::Post> for PostShape {
    fn from(post: &posts::Post) -> Self {
        Self {
            id: post.id,
            state: post.shown(),
            kind: post.kind.clone(),
            caption: post.caption.clone(),
            link: post.link.clone(),
            media_ids: post.media_ids.clone(),
            schedule: ScheduleShape {
                at: post.wall_time.map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string()),
                time_zone: post.time_zone.clone(),
                fold: post.fold.clone(),
                instant: post.scheduled_for,
            },
            latest_after: spans::show(post.latest_after),
            created_at: post.created_at,
            publications: post.publications.iter().map(PublicationShape::from).collect(),
        }
    }
}

impl From<&posts::Publication> for PublicationShape {
    fn from(it: &posts::Publication) -> Self {
        Self {
            id: it.id,
            account_id: it.account_id,
            platform: it.platform.clone(),
            surface: it.surface.clone(),
            parent_id: it.parent_id,
            state: it.state.shown(),
            attempts: it.attempts,
            scheduled_for: it.scheduled_for,
            published_at: it.published_at,
            permalink: it.permalink.clone(),
            remote_id: it.remote_id.clone(),
            link: it.link.clone(),
            error: ErrorShape::of(it),
            findings: ahead(it).iter().map(FindingShape::from).collect(),
            taken_down: it.taken_down.as_ref().map(TakenDownShape::from),
        }
    }
}

impl From<&TakenDown> for TakenDownShape {
    fn from(it: &TakenDown) -> Self {
        Self {
            state: it.state.word(),
            asked_at: it.asked_at,
            reason: it.reason.clone(),
            at: it.ended_at,
            why: it.why.as_ref().map(ErrorShape::of_refusal),
        }
    }
}

/// What was found about a publication, while it waits for its time.
pub fn ahead(it: &posts::Publication) -> &[preflight::Finding] {
    if preflight::is_ahead(it.state) { &it.findings } else { &[] }
}

impl From<&preflight::Finding> for FindingShape {
    fn from(it: &preflight::Finding) -> Self {
        Self {
            field: it.field.clone(),
            code: it.code.clone(),
            detail: it.detail.clone(),
            accepted: it.accepted.clone(),
            who_acts: it.who_acts.word(),
            post_id: it.post_id,
        }
    }
}

impl FindingShape {
    /// The words and the code.
    pub fn told(&self) -> String {
        format!("{} ({})", self.detail, self.code)
    }

    /// Who can mend it.
    pub const fn who_acts(&self) -> &'static str {
        self.who_acts
    }
}

impl ErrorShape {
    /// What there is to say about a publication that is not, or not yet, what was wished.
    pub fn of(it: &posts::Publication) -> Option<Self> {
        let told = match it.state {
            State::Published => false,
            // a comment that nobody asked to cancel says what it was cancelled with
            State::Cancelled => it.parent_id.is_some() && it.cancel_requested_at.is_none(),
            State::Held
            | State::Failed
            | State::Scheduled
            | State::Preparing
            | State::Prepared
            | State::Waiting
            | State::Armed
            | State::Unknown
            | State::RetryWait => true,
        };
        if !told {
            return None;
        }
        let held = it.state == State::Held;
        match (&it.failure, &it.hold_reason) {
            (_, Some(reason)) if held => Some(Self {
                class: it.failure.as_ref().map_or_else(|| "held".to_owned(), |failure| class(failure.class)),
                code: it.failure.as_ref().map_or_else(|| "held".to_owned(), |failure| failure.code.clone()),
                message: reason.clone(),
                who_acts: "staff",
            }),
            (Some(failure), _) => Some(Self {
                class: class(failure.class),
                code: failure.code.clone(),
                message: failure.message.clone(),
                // what has failed is tried again only where somebody says so
                who_acts: match (it.state, failure.who_acts()) {
                    (State::Held, _) | (State::Failed, "postroom") => "staff",
                    (_, who) => who,
                },
            }),
            (None, _) => None,
        }
    }

    /// Why something is not taken down. What did not pass by itself is asked for again only where somebody says so.
    pub fn of_refusal(failure: &Failure) -> Self {
        Self {
            class: class(failure.class),
            code: failure.code.clone(),
            message: failure.message.clone(),
            who_acts: match failure.who_acts() {
                "owner" => "owner",
                "operator" => "operator",
                _ => "staff",
            },
        }
    }

    /// The words, the code and who acts.
    pub fn told(&self) -> (&str, &str, &'static str) {
        (&self.message, &self.code, self.who_acts)
    }
}

fn class(class: jobs::contract::Class) -> String {
    serde_json::to_value(class).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

impl From<&Media> for MediaShape {
    fn from(media: &Media) -> Self {
        Self {
            id: media.id,
            content_type: media.content_type.clone(),
            bytes: media.bytes,
            width: media.width,
            height: media.height,
            duration_ms: media.duration_ms,
            state: media.state(),
        }
    }
}

impl AccountShape {
    /// An account, the end of its connection, and what that breaks.
    pub fn of(account: &Account, end: Option<End>, breaks: &Breaks) -> Self {
        let broken = |it: &Broken| BrokenShape {
            publication_id: it.publication_id,
            post_id: it.post_id,
            scheduled_for: it.scheduled_for,
        };
        Self {
            renewed_by_itself: account.renewable,
            data_access_expires_at: account.data_access_expires_at,
            missing_scopes: account.missing_scopes.clone(),
            ends: end.map(|end| EndShape {
                at: end.at,
                because: end.because.word(),
                breaks_total: breaks.total,
                breaks: breaks.first.iter().map(broken).collect(),
            }),
            id: account.id,
            platform: account.platform.clone(),
            external_id: account.external_id.clone(),
            name: account.name.clone(),
            state: account.state.word(),
            state_reason: account.state_reason.clone(),
            token_expires_at: account.token_expires_at,
            defaults: account.defaults.clone(),
            created_at: account.created_at,
            disconnected: account.parted.as_ref().map(DisconnectedShape::of),
        }
    }
}

/// RFC 3339 in UTC, to the second.
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
