//! Facebook Pages: a post is made as a draft that nobody sees, and one call makes it public.
//!
//! The call sets `is_published`, so repeating it harms nobody, and the draft can be read at any time.

use std::time::Duration;

use async_trait::async_trait;
use jobs::{
    contract::{Class, Failure},
    desk::{Call, Content, Handle, KeepHandle, Network, Readiness},
    gate::{Allowance, Errand},
    machine::{Answer, Public, Sight, Withdrawal},
    surface::{CaptionLimit, CaptionUnit, MediaRule, Platform, PostKind, Surface, Takes},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Entry, Environment,
    graph::{self, Graph},
    http::{Codes, Deadline, Fault, Phase, Tables, id_of, no_evidence, unreadable},
};

/// This network's line in the registry.
pub const ENTRY: Entry = Entry { file: "facebook", platform: &PLATFORM, check, connect };

/// What a Page takes. The length of a message is not documented; it is what the form on the site allows.
const PLATFORM: Platform = Platform {
    name: "facebook_page",
    title: "Facebook",
    caption: CaptionLimit { most: 63_206, unit: CaptionUnit::Characters },
    hashtags: None,
    surfaces: &[
        Surface { name: "text", kinds: &[PostKind::Post], takes: Takes::Words, one_shot: false },
        Surface { name: "link", kinds: &[PostKind::Post], takes: Takes::Link, one_shot: false },
        Surface { name: "photo", kinds: &[PostKind::Post], takes: Takes::one(&[PHOTO]), one_shot: false },
    ],
    privacy_levels: &[],
};

/// "Photos should be smaller than 4 MB", says the error that a larger one gets.
const PHOTO: MediaRule = MediaRule {
    types: &["image/jpeg", "image/png"],
    most_bytes: 4_000_000,
    least_width: 1,
    most_width: u32::MAX,
    ratio: None,
    least_duration_ms: None,
    most_duration_ms: None,
};

const TABLES: Tables = Tables { rows: &[graph::ERRORS], definite_no: DEFINITE_NO };

/// The answers that prove that the call which makes a draft public had no effect.
///
/// Token and permission are looked at before anything is done. All of these rest the account rather than end
/// the post, and the draft is read again before the next attempt: should one of them ever come after the
/// effect, it is found. No parameter error (100), no limit and no 506 is here: 506 may well mean that the post
/// is public already.
const DEFINITE_NO: &[Codes] = &[Codes::Is("190"), Codes::Is("10"), Codes::Span(200, 299)];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(with = "humantime_serde")]
    timeout: Duration,
}

fn check(table: &Value) -> Result<(), String> {
    graph::Settings::split::<Settings>(table).map(|_| ())
}

fn connect(table: &Value, environment: Environment<'_>) -> Result<Option<Box<dyn Network>>, String> {
    let split = graph::Settings::split(table).map_err(|error| format!("networks.facebook: {error}"))?;
    let (common, Settings { timeout }) = split;
    let graph = Graph::connect(environment, timeout, common, TABLES)?;
    Ok(graph.map(|graph| Box::new(Facebook { graph }) as Box<dyn Network>))
}

struct Facebook {
    graph: Graph,
}

#[async_trait]
impl Network for Facebook {
    fn allowance(&self) -> Allowance {
        self.graph.allowance()
    }

    /// Graph counts every call: a picture and the draft; the look, the call itself and the look for its address.
    fn counts(&self, errand: Errand, content: &Content) -> u32 {
        match errand {
            Errand::Prepare => 1 + u32::try_from(content.media.len()).unwrap_or(u32::MAX - 1),
            Errand::Commit => 3,
            Errand::Look => 1,
        }
    }

    async fn prepare(
        &self,
        call: &Call<'_>,
        content: &Content,
        _keep: &dyn KeepHandle,
    ) -> Result<(Handle, Readiness), Failure> {
        let deadline = Deadline::of(call);
        let attached = match content.surface.as_str() {
            "text" => None,
            "link" => Some(("link", content.link.clone().ok_or_else(|| missing("link"))?)),
            "photo" => Some(("attached_media[0]", self.photo(call, deadline, content).await?)),
            other => return Err(Failure::new(Class::Permanent, "surface", format!("no {other} on a Page"))),
        };
        let mut form = vec![("published", "false"), ("message", content.caption.as_str())];
        form.extend(attached.as_ref().map(|(name, value)| (*name, value.as_str())));
        let made = self.graph.post(Phase::Prepare, call, deadline, &[call.account, "feed"], &form).await;
        let id = id_in(&made.map_err(Fault::into_failure)?)?;
        // Nothing follows the draft's name that it would have to be kept before.
        Ok((Handle { kind: "draft".into(), id, detail: Value::Null }, Readiness::Ready))
    }

    async fn inspect(&self, call: &Call<'_>, handle: &Handle, _armed: bool) -> Result<Sight, Failure> {
        self.look(call, handle).await.map_err(no_evidence)
    }

    async fn commit(&self, call: &Call<'_>, handle: &Handle, _content: &Content) -> Answer {
        let form = [("is_published", "true")];
        let flipped = self.graph.post(Phase::Commit, call, Deadline::of(call), &[&handle.id], &form).await;
        match flipped {
            Ok(body) if body["success"] == true => {
                Answer::Published(Public { id: Some(handle.id.clone()), url: None })
            }
            Ok(_) => unreadable(Phase::Commit, "the answer does not say whether it worked").into_answer(),
            Err(fault) => fault.into_answer(),
        }
    }

    fn takes_back(&self, _handle: &Handle) -> bool {
        true
    }

    /// A draft that is deleted cannot be made public any more. That it is missing (100/33) may mean anything.
    async fn withdraw(&self, call: &Call<'_>, handle: &Handle) -> Result<Withdrawal, Failure> {
        let deleted = self.graph.delete(call, Deadline::of(call), &[&handle.id]).await;
        match deleted.map_err(Fault::into_failure)? {
            body if body["success"] == true => Ok(Withdrawal::Withdrawn),
            _ => {
                Err(unreadable(Phase::Prepare, "the answer does not say whether it is deleted")
                    .into_failure())
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
        if known.id.is_some() && known.url.is_some() {
            return Ok(known);
        }
        match self.look(call, handle).await? {
            Sight::Public(public) => Ok(public),
            Sight::Building | Sight::Ready | Sight::Processing | Sight::Dead(_) => Ok(known),
        }
    }

    async fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        self.graph.check(call).await
    }
}

impl Facebook {
    /// Uploads the picture unseen, and gives what a post names it by.
    async fn photo(&self, call: &Call<'_>, deadline: Deadline, content: &Content) -> Result<String, Failure> {
        let file = content.media.first().ok_or_else(|| missing("picture"))?;
        let address = call.media.address(&file.key).await?;
        let form = [("published", "false"), ("url", address.as_str())];
        let made = self.graph.post(Phase::Prepare, call, deadline, &[call.account, "photos"], &form).await;
        let id = id_in(&made.map_err(Fault::into_failure)?)?;
        Ok(json!({ "media_fbid": id }).to_string())
    }

    async fn look(&self, call: &Call<'_>, handle: &Handle) -> Result<Sight, Failure> {
        let fields = [("fields", "is_published,permalink_url")];
        let post = self.graph.get(call, Deadline::of(call), &[&handle.id], &fields).await;
        sight(&post.map_err(Fault::into_failure)?, handle)
    }
}

fn sight(post: &Value, handle: &Handle) -> Result<Sight, Failure> {
    match post["is_published"].as_bool() {
        Some(true) => {
            let url = post["permalink_url"].as_str().map(str::to_owned);
            Ok(Sight::Public(Public { id: Some(handle.id.clone()), url }))
        }
        Some(false) => Ok(Sight::Ready),
        None => Err(unreadable(Phase::Read, "the post does not say whether it is public").into_failure()),
    }
}

fn id_in(body: &Value) -> Result<String, Failure> {
    let nameless = || unreadable(Phase::Prepare, "the answer names no id").into_failure();
    id_of(&body["id"]).ok_or_else(nameless)
}

fn missing(what: &str) -> Failure {
    Failure::new(Class::Permanent, "content", format!("the post has no {what}"))
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;
    use crate::networks::http::{Rest, Said, classify};

    fn draft() -> Handle {
        Handle { kind: "draft".into(), id: "104_1".into(), detail: Value::Null }
    }

    #[test]
    fn only_what_is_looked_at_before_anything_is_done_is_a_no() {
        let commits_to = |code: &str| {
            let status = StatusCode::BAD_REQUEST;
            let (code, message) = (code.to_owned(), String::new());
            classify(
                Phase::Commit,
                Said { status, code, message, transient: false, rest: Rest::Unsaid },
                &TABLES,
            )
        };
        for code in ["190", "190/460", "10", "200", "294"] {
            assert!(matches!(commits_to(code), Fault::Refused(_)), "{code}");
        }
        for code in ["506", "100", "100/33", "368/1390008", "1", "2", "4", "32", "1366051"] {
            assert!(matches!(commits_to(code), Fault::Unknown(_)), "{code}");
        }
    }

    #[test]
    fn a_post_is_public_only_where_the_network_says_so() {
        let seen = |body: Value| sight(&body, &draft());
        let link = json!({ "is_published": true, "permalink_url": "https://f/1" });
        let public = Public { id: Some("104_1".into()), url: Some("https://f/1".into()) };
        assert_eq!(seen(link), Ok(Sight::Public(public)));
        assert_eq!(seen(json!({ "is_published": false, "permalink_url": "https://f/1" })), Ok(Sight::Ready));
        assert!(seen(json!({ "id": "104_1" })).is_err_and(|failure| failure.class == Class::Transient));
    }
}
