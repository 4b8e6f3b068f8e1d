//! Photos on TikTok: it fetches them by itself, so the request that names them is the commit.
//!
//! Nothing exists at TikTok before that request, and it names nothing that could be asked about while its answer is
//! not known. So the handle is a name of our own, and the fence is our own origin: each commit has addresses of its
//! own, and what nobody had fetched when they were closed can never become public.

use std::time::Duration;

use jobs::{
    contract::{Class, Failure},
    desk::{Call, Close, Content, Handle, Origin, Pulled},
    machine::{Answer, Public, Sight},
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    super::http::{Codes, Deadline, Fault, Phase, Tables, id_of, no_evidence, unknown},
    ERRORS, TikTok,
    progress::Progress,
};

/// The kind of a handle that is a name of our own.
pub const PULL: &str = "pull";

const INIT: &str = "/v2/post/publish/content/init/";
const LIST: &str = "/v2/video/list/?fields=id,title,video_description,create_time,share_url";
/// The most that TikTok lists at once.
const LATEST: usize = 20;
/// How far TikTok's clock may be behind ours.
const CLOCKS_APART: i64 = 60;

/// Refusals of an init that count, once the origin confirms that nothing was fetched.
const REFUSALS: Tables = Tables { rows: &[ERRORS], definite_no: NOES };

const NOES: &[Codes] = &[
    Codes::Is("access_token_invalid"),
    Codes::Is("scope_not_authorized"),
    Codes::Is("scope_permission_missed"),
    Codes::Is("spam_risk_user_banned_from_posting"),
    Codes::Is("spam_risk_too_many_posts"),
    Codes::Is("spam_risk_too_many_pending_share"),
    Codes::Is("reached_active_user_cap"),
    Codes::Is("rate_limit_exceeded"),
    Codes::Is("invalid_param"),
    Codes::Is("invalid_params"),
    Codes::Is("unaudited_client_can_only_post_to_private_accounts"),
    Codes::Is("url_ownership_unverified"),
    Codes::Is("privacy_level_option_mismatch"),
];

/// What is kept with a handle of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// Who shall see it.
    pub privacy_level: Value,
    /// What the creator has switched off for all posts.
    pub disable_comment: bool,
    /// What TikTok calls it, once it has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_id: Option<String>,
}

impl Pull {
    /// What is kept with this handle; `None` for a film's.
    ///
    /// # Errors
    /// The handle is not one of ours.
    pub fn of(handle: &Handle) -> Result<Option<Self>, Failure> {
        let broken = |_| Failure::new(Class::Permanent, "handle", "the handle does not say what it is of");
        if handle.kind == PULL {
            Self::deserialize(&handle.detail).map(Some).map_err(broken)
        } else {
            Ok(None)
        }
    }
}

/// What TikTok calls what this handle stands for, as far as that is known.
pub fn publish_id(handle: &Handle) -> Option<&str> {
    if handle.kind == PULL { handle.detail["publish_id"].as_str() } else { Some(&handle.id) }
}

impl TikTok {
    /// Asks what the creator allows, and makes a name for the post. Nothing of it leaves before the commit.
    pub(super) async fn prepare_photos(&self, call: &Call<'_>, content: &Content) -> Result<Handle, Failure> {
        let level = content.options["privacy_level"].clone();
        let creator = self.creator(call, Deadline::of(call), &level).await?;
        let disable_comment = creator["comment_disabled"].as_bool().unwrap_or(false);
        let pull = Pull { privacy_level: level, disable_comment, publish_id: None };
        let nameless = || Failure::new(Class::Permanent, "no_call_id", "a preparation must be in the log");
        let id = call.id.ok_or_else(nameless)?.to_string();
        Ok(Handle { kind: PULL.into(), id, detail: json!(pull) })
    }

    /// Before the commit TikTok knows of nothing, and what it lets the creator do is what there is to be asked.
    /// Afterwards it is asked by the name that it gave. Where that is not known the origin vouches: what was never
    /// fetched, and can be fetched no more, will never be public.
    pub(super) async fn sight_of_photos(
        &self,
        call: &Call<'_>,
        handle: &Handle,
        pull: &Pull,
        armed: bool,
    ) -> Result<Sight, Failure> {
        let deadline = Deadline::of(call);
        if let Some(publish_id) = &pull.publish_id {
            let progress = self.progress(call, deadline, publish_id).await.map_err(no_evidence)?;
            return Ok(match progress {
                Progress::Uploading(_) => Sight::Processing,
                Progress::Past(sight) => sight,
            });
        }
        if armed {
            return vouched(origin(call)?.close(&handle.id, Close::Settled).await.map_err(no_evidence)?);
        }
        match self.creator(call, deadline, &pull.privacy_level).await {
            Ok(_) => Ok(Sight::Ready),
            Err(failure) if failure.class == Class::Permanent => Ok(Sight::Dead(failure)),
            Err(failure) => Err(failure),
        }
    }

    /// Names the photos' addresses to TikTok, once. What it calls the post is kept at once.
    pub(super) async fn commit_photos(
        &self,
        call: &Call<'_>,
        handle: &Handle,
        pull: &Pull,
        content: &Content,
    ) -> Answer {
        let (origin, id) = match (origin(call), call.id) {
            (Ok(origin), Some(id)) => (origin, id),
            (Err(failure), _) => return Answer::Unsent(failure),
            (Ok(_), None) => {
                let why = "a commit must be in the log before it is sent";
                return Answer::Unsent(Failure::new(Class::Permanent, "no_call_id", why));
            }
        };
        let files = content.media.iter().enumerate();
        let addresses: Vec<_> = files.map(|(n, file)| origin.address(id, n, &file.content_type)).collect();
        let body = body(content, pull, &addresses);
        let within = Deadline::of(call).left(Duration::MAX);
        match self.ask_by(&REFUSALS, Phase::Commit, call, within, Method::POST, INIT, Some(&body)).await {
            Ok(taken) => match id_of(&taken["publish_id"]) {
                Some(publish_id) => named(origin.named(id, &publish_id).await),
                None => Answer::Unknown(unknown(Failure::new(
                    Class::Transient,
                    "unreadable",
                    "the answer does not say what TikTok calls the post",
                ))),
            },
            Err(Fault::Refused(failure)) => refused(origin, handle, failure).await,
            Err(fault @ (Fault::Unsent(_) | Fault::Unknown(_))) => fault.into_answer(),
        }
    }

    /// Looks for photos among what the account shows to all. Only a post of the same words that is no other's and
    /// the only one since the commit is taken for it; without words none is.
    pub(super) async fn find_photos(
        &self,
        call: &Call<'_>,
        content: &Content,
    ) -> Result<Option<Public>, Failure> {
        let body = json!({ "max_count": LATEST });
        let list = self.ask(Phase::Read, call, Deadline::of(call), Method::POST, LIST, Some(&body)).await;
        let list = list.map_err(Fault::into_failure).map_err(no_evidence)?;
        Ok(only_match(list["videos"].as_array().map_or(&[][..], Vec::as_slice), content))
    }
}

fn origin<'a>(call: &Call<'a>) -> Result<&'a dyn Origin, Failure> {
    let missing =
        || Failure::new(Class::Permanent, "no_origin", "there is no origin that TikTok could pull from");
    call.media.origin().ok_or_else(missing)
}

/// What it means that the origin can vouch for this much.
fn vouched(pulled: Pulled) -> Result<Sight, Failure> {
    match pulled {
        Pulled::Never => {
            let why = "TikTok never fetched the photos, and can fetch them no more; they get new addresses";
            Ok(Sight::Dead(Failure::new(Class::Transient, "never_fetched", why)))
        }
        Pulled::Serving => {
            let why = "TikTok has not said whether it took the photos, and may still fetch them";
            Err(Failure::new(Class::Transient, "answer_lost", why))
        }
        Pulled::Fetched => {
            let why = "TikTok fetched the photos, and what it made of them is not known";
            Err(Failure::new(Class::Transient, "fetched", why))
        }
    }
}

/// A no counts once the addresses are closed and the origin confirms that nothing was fetched.
async fn refused(origin: &dyn Origin, handle: &Handle, failure: Failure) -> Answer {
    match origin.close(&handle.id, Close::Now).await {
        Ok(Pulled::Never) => Answer::Refused { failure, handle_dead: true },
        Ok(Pulled::Fetched | Pulled::Serving) | Err(_) => Answer::Unknown(unknown(failure)),
    }
}

fn named(kept: Result<(), Failure>) -> Answer {
    match kept {
        Ok(()) => Answer::Accepted,
        Err(failure) => Answer::Unknown(unknown(failure)),
    }
}

/// The post of an init. The words go where there is room for as many as a film may have.
fn body(content: &Content, pull: &Pull, addresses: &[String]) -> Value {
    json!({
        "media_type": "PHOTO",
        "post_mode": "DIRECT_POST",
        "post_info": {
            "description": content.caption,
            "privacy_level": pull.privacy_level,
            "disable_comment": pull.disable_comment,
            "auto_add_music": false,
        },
        "source_info": {
            "source": "PULL_FROM_URL",
            "photo_cover_index": 0,
            "photo_images": addresses,
        },
    })
}

/// The only one of the latest posts that it can be. Where the list does not reach back to the commit, another one
/// may lie beyond its end, and none is taken.
fn only_match(latest: &[Value], content: &Content) -> Option<Public> {
    if content.twin || content.caption.trim().is_empty() {
        return None;
    }
    let since = content.not_before.timestamp() - CLOCKS_APART;
    let recent = |post: &&Value| post["create_time"].as_i64().is_some_and(|at| at >= since);
    if latest.len() >= LATEST && latest.iter().all(|post| recent(&post)) {
        return None;
    }
    let says = |post: &Value, field: &str| {
        post[field].as_str().is_some_and(|words| words.trim() == content.caption.trim())
    };
    let fits = |post: &&Value| {
        (says(post, "video_description") || says(post, "title"))
            && id_of(&post["id"]).is_some_and(|id| !content.taken.contains(&id))
    };
    let mut matches = latest.iter().filter(recent).filter(fits);
    match (matches.next(), matches.next()) {
        (Some(one), None) => {
            let url = one["share_url"].as_str().map(str::to_owned);
            Some(Public { id: Some(id_of(&one["id"])?), url })
        }
        (Some(_) | None, _) => None,
    }
}
