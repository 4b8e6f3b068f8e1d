//! TikTok: a film is uploaded in parts, and the part that completes it is the commit; photos are pulled by TikTok
//! itself, and the request that names them is the commit.
//!
//! Before the last byte of a film has come nothing can be published, and after it TikTok goes on by itself: it checks,
//! moderates and shows the film, and says so under the `publish_id` that it named at the start. Of photos `photos`
//! tells.

pub mod connect;
mod insights;
mod oauth;
mod photos;
mod progress;
mod upload;

use std::time::Duration;

use async_trait::async_trait;
use jobs::{
    connections::Connecting,
    contract::{Class, Failure},
    desk::{Call, Content, File, Handle, KeepHandle, Network, Readiness},
    forgetting::Revoking,
    gate::{Allowance, Errand},
    machine::{Answer, Public, Sight, Withdrawal},
    metrics::Insights,
    preflight::Fact,
    renewals::Renewing,
    surface::{
        AccountPage, CaptionLimit, CaptionUnit, Files, MediaRule, Platform, PostKind, Site, Surface,
        TakeDown, Takes,
    },
};
use reqwest::{Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::{
    oauth::App,
    photos::Pull,
    progress::Progress,
    upload::{Of, Sending, Upload, has_expired},
};
use super::{
    Entry, Environment,
    allowance::{self, RATES},
    base, group,
    http::{
        self, Codes, Deadline, Fault, Http, Phase, Reply, Rest, Row, Said, Tables, classify, id_of,
        no_evidence, words,
    },
    read,
};

/// This network's line in the registry.
pub const ENTRY: Entry = Entry {
    file: "tiktok",
    platform: &PLATFORM,
    check,
    connect,
    dialog: Some(connect::dialog),
    address: ADDRESS,
    rate_of: None,
};

/// What a TikTok account takes. "Media Transfer Guide" and "Direct Post" of TikTok's documents.
const PLATFORM: Platform = Platform {
    name: "tiktok",
    title: "TikTok",
    caption: CaptionLimit { most: 2200, unit: CaptionUnit::Utf16 },
    hashtags: None,
    mentions: None,
    surfaces: &[
        Surface {
            name: "video",
            kinds: &[PostKind::Post, PostKind::Reel],
            takes: Takes::one(&[VIDEO]),
            one_shot: false,
            take_down: BY_HAND,
        },
        // No read of TikTok's proves these absent, but our own origin does.
        Surface {
            name: PHOTOS,
            kinds: &[PostKind::Post, PostKind::Carousel],
            takes: Takes::Files(Files { rules: &[PHOTO], least: 1, most: 35 }),
            one_shot: false,
            take_down: BY_HAND,
        },
    ],
    privacy_levels: &["PUBLIC_TO_EVERYONE", "MUTUAL_FOLLOW_FRIENDS", "FOLLOWER_OF_CREATOR", "SELF_ONLY"],
    comments: None,
    site: Site { hosts: &["tiktok.com"], home: "https://www.tiktok.com", page: AccountPage::ByName("@") },
};

/// "Content Posting API" of TikTok's documents knows no way to remove a post.
const BY_HAND: TakeDown = TakeDown::ByHand {
    how: "TikTok lets no app remove a post: whoever is signed in to the account deletes it in the TikTok app, under the \
          post's “…” menu, or makes it private there.",
};

const PHOTOS: &str = "photos";

const PHOTO: MediaRule = MediaRule {
    types: &["image/jpeg", "image/webp"],
    renders: &[],
    most_bytes: 20_000_000,
    least_width: 1,
    most_width: 20_000,
    ratio: None,
    least_duration_ms: None,
    most_duration_ms: None,
};

const VIDEO: MediaRule = MediaRule {
    types: &["video/mp4", "video/quicktime", "video/webm"],
    renders: &["video/x-matroska"],
    most_bytes: 4_000_000_000,
    least_width: 360,
    most_width: 4096,
    ratio: None,
    least_duration_ms: None,
    most_duration_ms: Some(600_000),
};

/// The upload address is asked by HTTP status alone, so no code of TikTok's proves that the commit of a film failed.
pub const TABLES: Tables = Tables { rows: &[ERRORS], definite_no: &[] as &[Codes] };

/// What TikTok's codes and `fail_reason`s mean.
const ERRORS: &[Row] = &[
    Row::is("access_token_invalid", Class::Auth),
    Row::is("auth_removed", Class::Auth),
    Row::is("scope_not_authorized", Class::Permission),
    Row::is("scope_permission_missed", Class::Permission),
    Row::is("spam_risk_user_banned_from_posting", Class::Permission),
    // The limits of a day come with no time at which they end.
    Row::is("spam_risk_too_many_posts", Class::Rate).resting(24 * 60),
    Row::is("spam_risk_too_many_pending_share", Class::Rate).resting(60),
    Row::is("reached_active_user_cap", Class::Rate).resting(60),
    Row::is("rate_limit_exceeded", Class::Rate).resting(1),
    Row::is("internal_error", Class::Transient),
    Row::is("internal", Class::Transient),
    Row::is("video_pull_failed", Class::Transient),
    Row::is("photo_pull_failed", Class::Transient),
    Row::is("invalid_param", Class::Permanent),
    Row::is("invalid_params", Class::Permanent),
    Row::is("invalid_file_upload", Class::Permanent),
    Row::is("invalid_publish_id", Class::Permanent),
    Row::is("token_not_authorized_for_specified_publish_id", Class::Permanent),
    Row::is("unaudited_client_can_only_post_to_private_accounts", Class::Permanent)
        .told("TikTok has not audited the app yet; until then it posts to private accounts only.")
        .for_operator(),
    Row::is("url_ownership_unverified", Class::Permanent)
        .told("The domain of the media is not verified at TikTok.")
        .for_operator(),
    Row::is("privacy_level_option_mismatch", Class::Permanent)
        .told("The account does not offer the privacy level that was chosen."),
    Row::is("file_format_check_failed", Class::Permanent),
    Row::is("duration_check_failed", Class::Permanent),
    Row::is("frame_rate_check_failed", Class::Permanent),
    Row::is("picture_size_check_failed", Class::Permanent),
    // nobody but this adapter cancels, and only an upload that never became whole
    Row::is("publish_cancelled", Class::Transient),
    Row::is("spam_risk", Class::Permanent),
    Row::is("spam_risk_text", Class::Permanent),
];

/// The kind of a film's handle.
const PUBLISH_ID: &str = "publish_id";

/// The variable that names the address, and the real one.
const ADDRESS: (&str, &str) = ("TIKTOK_API_URL", "https://open.tiktokapis.com");
const CREATOR_INFO: &str = "/v2/post/publish/creator_info/query/";
const INIT: &str = "/v2/post/publish/video/init/";
const STATUS: &str = "/v2/post/publish/status/fetch/";
const CANCEL: &str = "/v2/post/publish/cancel/";
const QUERY: &str = "/v2/video/query/?fields=id,share_url";
const USER: &str = "/v2/user/info/?fields=open_id";
/// The sizes of a part that TikTok takes; a shorter film goes as a whole.
const PART: std::ops::RangeInclusive<u64> = 5 * 1024 * 1024..=64 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    #[serde(deserialize_with = "part_size")]
    chunk: u64,
}

/// A number, or its text as an environment variable brings it.
fn part_size<'de, D: serde::Deserializer<'de>>(source: D) -> Result<u64, D::Error> {
    let found = Value::deserialize(source)?;
    let size = found.as_u64().or_else(|| found.as_str()?.parse().ok()).filter(|size| PART.contains(size));
    let (least, most) = (PART.start(), PART.end());
    size.ok_or_else(|| {
        serde::de::Error::custom(format!("chunk: found {found}, accepted are {least} to {most} bytes"))
    })
}

fn settings(table: &Value) -> Result<(Allowance, Settings), String> {
    let (rates, own) = allowance::split(table, RATES);
    let own = read(&own)?;
    Ok((allowance::allowance("tiktok", &rates)?, own))
}

fn check(table: &Value) -> Result<(), String> {
    settings(table).map(|_| ())
}

fn connect(table: &Value, environment: Environment<'_>) -> Result<Option<Box<dyn Network>>, String> {
    let (allowance, Settings { timeout, chunk }) =
        settings(table).map_err(|error| format!("networks.tiktok: {error}"))?;
    let Some([key, secret]) = group(environment, ["TIKTOK_CLIENT_KEY", "TIKTOK_CLIENT_SECRET"])? else {
        return Ok(None);
    };
    let app = App { key, secret: SecretString::from(secret) };
    let base = base(environment, ADDRESS)?.as_str().trim_end_matches('/').to_owned();
    Ok(Some(Box::new(TikTok { http: Http::new()?, base, allowance, timeout, chunk, app })))
}

struct TikTok {
    http: Http,
    base: String,
    allowance: Allowance,
    /// The longest a read, or an unseen step of preparing, may take.
    timeout: Duration,
    /// The size of a part.
    chunk: u64,
    /// What a refresh is asked for with.
    app: App,
}

#[async_trait]
impl Network for TikTok {
    fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// TikTok's limit that a post can run into is on inits; uploads have none, and looks one that is far away.
    fn counts(&self, errand: Errand, content: &Content) -> u32 {
        let photos = content.surface == PHOTOS;
        match errand {
            Errand::Prepare => u32::from(!photos),
            Errand::Commit => u32::from(photos),
            Errand::Look => 0,
        }
    }

    async fn prepare(
        &self,
        call: &Call<'_>,
        content: &Content,
        keep: &dyn KeepHandle,
    ) -> Result<(Handle, Readiness), Failure> {
        let deadline = Deadline::of(call);
        match content.surface.as_str() {
            "video" => {}
            PHOTOS => return Ok((self.prepare_photos(call, content).await?, Readiness::Ready)),
            other => {
                return Err(Failure::new(Class::Permanent, "surface", format!("no {other} on TikTok")));
            }
        }
        let file = film(content)?;
        let creator = self.creator(call, deadline, &content.options["privacy_level"]).await?;
        let post = post_info(content, &creator);
        let of = Of { file: file.key.clone(), post: digest(&post) };
        if let Some((handle, upload, have)) = self.begun(call, deadline, keep.earlier(), &of).await? {
            keep.keep(&handle).await?;
            let sending = Sending { tiktok: self, call, deadline, handle: &handle, upload: &upload, file };
            match sending.prepare(have).await {
                Ok(()) => return Ok((handle, Readiness::Ready)),
                Err(failure) if has_expired(&failure) => {}
                Err(failure) => return Err(failure),
            }
        }
        let (handle, upload) = self.init(call, deadline, file, &post, of).await?;
        keep.keep(&handle).await?;
        let sending = Sending { tiktok: self, call, deadline, handle: &handle, upload: &upload, file };
        sending.prepare(0).await?;
        Ok((handle, Readiness::Ready))
    }

    async fn inspect(&self, call: &Call<'_>, handle: &Handle, armed: bool) -> Result<Sight, Failure> {
        if let Some(pull) = Pull::of(handle)? {
            return self.sight_of_photos(call, handle, &pull, armed).await;
        }
        let upload = Upload::of(handle)?;
        let progress = self.progress(call, Deadline::of(call), &handle.id).await.map_err(no_evidence)?;
        progress.sight(upload.size, armed)
    }

    async fn commit(&self, call: &Call<'_>, handle: &Handle, content: &Content) -> Answer {
        match Pull::of(handle) {
            Ok(None) => {}
            Ok(Some(pull)) => return self.commit_photos(call, handle, &pull, content).await,
            Err(failure) => return Answer::Unsent(failure),
        }
        let deadline = Deadline::of(call);
        match (Upload::of(handle), film(content)) {
            (Ok(upload), Ok(file)) => {
                Sending { tiktok: self, call, deadline, handle, upload: &upload, file }.commit().await
            }
            (Err(failure), _) | (_, Err(failure)) => Answer::Unsent(failure),
        }
    }

    /// The part that completes a film is its commit. Photos come from our origin as they are.
    fn sends_files(&self, handle: &Handle) -> bool {
        handle.kind == PUBLISH_ID
    }

    fn takes_back(&self, _handle: &Handle) -> bool {
        true
    }

    /// What TikTok has cancelled takes no more parts. What it will not cancel is public, or dead already. Photos that
    /// it has not fetched are dead once our origin has closed their addresses.
    async fn withdraw(&self, call: &Call<'_>, handle: &Handle) -> Result<Withdrawal, Failure> {
        if let Some(pull) = Pull::of(handle)? {
            return match self.sight_of_photos(call, handle, &pull, true).await? {
                Sight::Public(public) => Ok(Withdrawal::TooLate(public)),
                Sight::Dead(_) => Ok(Withdrawal::Withdrawn),
                Sight::Building | Sight::Ready | Sight::Processing => {
                    Err(Failure::new(Class::Transient, "fetched", "TikTok has fetched the photos"))
                }
            };
        }
        let (deadline, body) = (Deadline::of(call), json!({ "publish_id": handle.id }));
        let Err(fault) = self.ask(Phase::Prepare, call, deadline, Method::POST, CANCEL, Some(&body)).await
        else {
            return Ok(Withdrawal::Withdrawn);
        };
        match self.progress(call, deadline, &handle.id).await.map_err(no_evidence)? {
            Progress::Past(Sight::Public(public)) => Ok(Withdrawal::TooLate(public)),
            Progress::Past(Sight::Dead(_)) => Ok(Withdrawal::Withdrawn),
            Progress::Past(Sight::Building | Sight::Ready | Sight::Processing) | Progress::Uploading(_) => {
                Err(fault.into_failure())
            }
        }
    }

    async fn describe(
        &self,
        call: &Call<'_>,
        handle: &Handle,
        _content: &Content,
        known: Public,
    ) -> Result<Public, Failure> {
        let deadline = Deadline::of(call);
        let id = match known.id.clone() {
            Some(id) => id,
            // It may get its id hours after it was published, when it has been moderated.
            None => match self.public_id(call, deadline, handle).await? {
                Some(id) => id,
                None => return Ok(known),
            },
        };
        let known = Public { id: Some(id.clone()), ..known };
        let body = json!({ "filters": { "video_ids": [id] } });
        // Here `known` has gained an id that must not be lost with a failed read.
        let Ok(found) = self.ask(Phase::Read, call, deadline, Method::POST, QUERY, Some(&body)).await else {
            return Ok(known);
        };
        let url = found["videos"][0]["share_url"].as_str().map(str::to_owned);
        Ok(Public { url: known.url.clone().or(url), ..known })
    }

    async fn find(
        &self,
        call: &Call<'_>,
        handle: &Handle,
        content: &Content,
    ) -> Result<Option<Public>, Failure> {
        // what has a name at TikTok is asked about by its name
        if photos::publish_id(handle).is_some() { Ok(None) } else { self.find_photos(call, content).await }
    }

    async fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let seen = self.ask(Phase::Read, call, Deadline::of(call), Method::GET, USER, None).await;
        let id = id_of(&seen.map_err(Fault::into_failure)?["user"]["open_id"]);
        if id.as_deref() == Some(call.account) {
            return Ok(());
        }
        Err(Failure::new(Class::Permanent, "other_account", "the token does not open this account"))
    }

    /// None of these reads counts against the limit on inits.
    async fn facts(&self, call: &Call<'_>) -> Result<Vec<Fact>, Failure> {
        let token = Fact::of_token(self.check(call).await)?;
        let nothing = json!({});
        let creator =
            self.ask(Phase::Read, call, Deadline::of(call), Method::POST, CREATOR_INFO, Some(&nothing));
        let creator = creator.await.ok().map(|creator| creator_fact(&creator));
        Ok(std::iter::once(token).chain(creator).collect())
    }

    fn renewing(&self) -> Option<&dyn Renewing> {
        Some(self)
    }

    fn connecting(&self) -> Option<&dyn Connecting> {
        Some(self)
    }

    fn insights(&self) -> Option<&dyn Insights> {
        Some(self)
    }

    fn revoking(&self) -> Option<&dyn Revoking> {
        Some(self)
    }
}

impl TikTok {
    /// What the creator allows, which TikTok wants asked before each post.
    async fn creator(&self, call: &Call<'_>, deadline: Deadline, chosen: &Value) -> Result<Value, Failure> {
        let creator =
            self.ask(Phase::Read, call, deadline, Method::POST, CREATOR_INFO, Some(&json!({}))).await;
        let creator = creator.map_err(Fault::into_failure)?;
        let offered = creator["privacy_level_options"].as_array().map_or(&[][..], Vec::as_slice);
        if offered.contains(chosen) {
            return Ok(creator);
        }
        let offered: Vec<_> = offered.iter().filter_map(Value::as_str).collect();
        let chosen = chosen.as_str().unwrap_or("nothing");
        let why = format!("privacy_level: {chosen} is chosen; this account accepts {}", offered.join(", "));
        Err(Failure::new(Class::Permanent, "privacy_level_option_mismatch", why))
    }

    /// The upload that an earlier call has begun, if it is of this film and of this post, and how much of it is there.
    async fn begun(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        earlier: Option<&Handle>,
        of: &Of,
    ) -> Result<Option<(Handle, Upload, u64)>, Failure> {
        let Some(handle) = earlier.filter(|handle| handle.kind == PUBLISH_ID) else { return Ok(None) };
        let Some(upload) = Upload::of(handle).ok().filter(|upload| upload.of == *of) else { return Ok(None) };
        match self.progress(call, deadline, &handle.id).await {
            Ok(Progress::Uploading(have)) => Ok(Some((handle.clone(), upload, have.unwrap_or(0)))),
            Ok(Progress::Past(_)) => Ok(None),
            Err(failure) if failure.class == Class::Permanent => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Opens an upload. Until its last byte has come nothing can be published.
    async fn init(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        file: &File,
        post: &Value,
        of: Of,
    ) -> Result<(Handle, Upload), Failure> {
        let plan = Upload::plan(String::new(), file.bytes, self.chunk);
        let body = init_body(post, &plan);
        let made = self.ask(Phase::Prepare, call, deadline, Method::POST, INIT, Some(&body)).await;
        let made = made.map_err(Fault::into_failure)?;
        let nameless = || http::unreadable(Phase::Prepare, "the answer names no upload").into_failure();
        let id = id_of(&made["publish_id"]).ok_or_else(nameless)?;
        let upload = Upload { address: id_of(&made["upload_url"]).ok_or_else(nameless)?, of, ..plan };
        Ok((Handle { kind: PUBLISH_ID.into(), id, detail: json!(upload) }, upload))
    }

    /// The id of what is public of this handle, where TikTok tells it.
    async fn public_id(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        handle: &Handle,
    ) -> Result<Option<String>, Failure> {
        let Some(publish_id) = photos::publish_id(handle) else { return Ok(None) };
        match self.progress(call, deadline, publish_id).await? {
            Progress::Past(Sight::Public(public)) => Ok(public.id),
            Progress::Past(_) | Progress::Uploading(_) => Ok(None),
        }
    }

    async fn progress(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        publish_id: &str,
    ) -> Result<Progress, Failure> {
        let body = json!({ "publish_id": publish_id });
        let data = self.ask(Phase::Read, call, deadline, Method::POST, STATUS, Some(&body)).await;
        Progress::read(&data.map_err(Fault::into_failure)?)
    }

    /// Asks the API, and gives the `data` of its answer.
    async fn ask(
        &self,
        phase: Phase,
        call: &Call<'_>,
        deadline: Deadline,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Fault> {
        let within = deadline.left(self.timeout);
        self.ask_by(&TABLES, phase, call, within, method, path, body).await
    }

    /// The same, with a table of its own for what the answer means, and a time of its own.
    #[expect(clippy::too_many_arguments, reason = "each is a different part of one call")]
    async fn ask_by(
        &self,
        tables: &Tables,
        phase: Phase,
        call: &Call<'_>,
        within: Duration,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Fault> {
        let url = format!("{}{path}", self.base);
        let mut request =
            self.http.request(phase, call, method, url)?.bearer_auth(call.token.expose_secret());
        if let Some(body) = body {
            request = request
                .header(header::CONTENT_TYPE, "application/json; charset=UTF-8")
                .body(body.to_string());
        }
        let reply = http::send(phase, call, request, within).await?;
        open(&reply, call).map_err(|said| classify(phase, said, tables))
    }
}

/// Opens TikTok's envelope. A code other than `ok` is a failure whatever the status.
fn open(reply: &Reply, call: &Call<'_>) -> Result<Value, Said> {
    let nothing = || Said::nothing(reply);
    let body = reply.json().ok_or_else(nothing)?;
    let error = &body["error"];
    match error["code"].as_str() {
        Some("ok") if reply.status.is_success() => Ok(body["data"].clone()),
        Some("ok") | None => Err(nothing()),
        Some(code) => {
            let log_id = error["log_id"].as_str().unwrap_or_default();
            tracing::debug!(code, status = reply.status.as_u16(), log_id, "TikTok answered with an error");
            let message = words(error["message"].as_str().unwrap_or_default(), call);
            let rest = Rest::asked_by(reply);
            Err(Said { status: reply.status, code: code.to_owned(), message, transient: false, rest })
        }
    }
}

/// The post of an init. What the creator has switched off for all films is switched off for this one.
fn post_info(content: &Content, creator: &Value) -> Value {
    let off = |what: &str| creator[what].as_bool().unwrap_or(false);
    json!({
        "title": content.caption,
        "privacy_level": content.options["privacy_level"],
        "disable_comment": off("comment_disabled"),
        "disable_duet": off("duet_disabled"),
        "disable_stitch": off("stitch_disabled"),
    })
}

/// What tells one post from another.
fn digest(post: &Value) -> String {
    hex::encode(Sha256::digest(post.to_string()))
}

fn init_body(post: &Value, plan: &Upload) -> Value {
    json!({
        "post_info": post,
        "source_info": {
            "source": "FILE_UPLOAD",
            "video_size": plan.size,
            "chunk_size": plan.chunk,
            "total_chunk_count": plan.chunks,
        },
    })
}

/// What the creator lets a post be.
fn creator_fact(creator: &Value) -> Fact {
    let offered = creator["privacy_level_options"].as_array().map_or(&[][..], Vec::as_slice);
    Fact::Creator {
        privacy_levels: offered.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        longest_film: creator["max_video_post_duration_sec"].as_u64(),
    }
}

fn film(content: &Content) -> Result<&File, Failure> {
    content.media.first().ok_or_else(|| Failure::new(Class::Permanent, "content", "the post has no film"))
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    #[test]
    fn every_row_of_the_documents_is_of_its_class() {
        let documented: &[(&[&str], Class)] = &[
            (&["access_token_invalid", "auth_removed"], Class::Auth),
            (
                &["scope_not_authorized", "scope_permission_missed", "spam_risk_user_banned_from_posting"],
                Class::Permission,
            ),
            (
                &[
                    "spam_risk_too_many_posts",
                    "spam_risk_too_many_pending_share",
                    "reached_active_user_cap",
                    "rate_limit_exceeded",
                ],
                Class::Rate,
            ),
            (&["internal_error", "internal", "video_pull_failed", "photo_pull_failed"], Class::Transient),
            (
                &[
                    "invalid_param",
                    "invalid_params",
                    "invalid_file_upload",
                    "invalid_publish_id",
                    "unaudited_client_can_only_post_to_private_accounts",
                    "url_ownership_unverified",
                    "privacy_level_option_mismatch",
                    "token_not_authorized_for_specified_publish_id",
                    "file_format_check_failed",
                    "duration_check_failed",
                    "frame_rate_check_failed",
                    "picture_size_check_failed",
                    "spam_risk",
                    "spam_risk_text",
                ],
                Class::Permanent,
            ),
        ];
        for (codes, class) in documented {
            for code in *codes {
                assert_eq!(TABLES.row(code).map(|row| row.class), Some(*class), "{code}");
            }
        }
    }

    #[test]
    fn no_code_is_a_definite_no_to_a_commit() {
        for row in ERRORS {
            let Codes::Is(code) = row.codes else { panic!("TikTok has no subcodes") };
            let status = StatusCode::FORBIDDEN;
            let said = Said {
                status,
                code: code.into(),
                message: String::new(),
                transient: false,
                rest: Rest::Unsaid,
            };
            assert!(matches!(classify(Phase::Commit, said, &TABLES), Fault::Unknown(_)), "{code}");
        }
    }

    #[test]
    fn a_part_of_a_size_that_tiktok_refuses_stops_the_start() {
        let error = check(&json!({ "timeout": "3s", "chunk": 1 })).expect_err("refused");
        assert!(error.contains("found 1") && error.contains("5242880"), "{error}");
        assert_eq!(check(&json!({ "timeout": "3s", "chunk": "10000000" })), Ok(()));
    }
}
