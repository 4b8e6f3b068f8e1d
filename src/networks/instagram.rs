//! Instagram: what is to be a post becomes a container that nobody sees, and one call publishes the container, once.
//!
//! The container never tells which post it became. Where the answer to the call is lost, the post is looked
//! for among the account's latest by its kind and its caption; unless exactly one fits, it stays nameless.

mod errors;
mod finding;
mod making;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use jobs::{
    comment::{self, Comments},
    connections::Connecting,
    contract::{Class, Failure},
    desk::{Call, Content, Handle, KeepHandle, Network, Readiness},
    forgetting::Revoking,
    gate::{Allowance, Errand},
    machine::{Answer, Public, Sight},
    metrics::{Heard, Insights, Object, Question, Trouble},
    preflight::Fact,
    removal::{Presence, Removal},
    renewals::Renewing,
    surface::{
        AccountPage, CaptionLimit, CaptionUnit, Files, MediaRule, Platform, PostKind, Site, Surface,
        TakeDown, Takes,
    },
};
use serde::Deserialize;
use serde_json::Value;

pub use self::errors::TABLES;
use self::{
    errors::{DAILY_LIMIT, SPAM, broken},
    finding::{FIELDS, LATEST, edge, only_match},
    making::{Making, Slides},
};
use super::{
    Entry, Environment,
    graph::{self, Graph, comments, insights},
    http::{Deadline, Fault, Phase, id_of, no_evidence, unreadable},
};

/// This network's line in the registry.
pub const ENTRY: Entry = Entry {
    file: "instagram",
    platform: &PLATFORM,
    check,
    connect,
    // whoever grants a Page grants what stands behind it
    dialog: None,
    address: graph::ADDRESS,
    rate_of: None,
};

/// What an Instagram Business account takes.
const PLATFORM: Platform = Platform {
    name: "instagram_business",
    title: "Instagram",
    caption: CaptionLimit { most: 2200, unit: CaptionUnit::Characters },
    hashtags: Some(30),
    mentions: Some(20),
    surfaces: &[
        Surface {
            name: "image",
            kinds: &[PostKind::Post],
            takes: Takes::one(&[IMAGE]),
            one_shot: false,
            take_down: DELETE,
        },
        // A single film has been a reel ever since Instagram knows no other.
        Surface {
            name: "reel",
            kinds: &[PostKind::Post, PostKind::Reel],
            takes: Takes::one(&[FILM]),
            one_shot: false,
            take_down: DELETE,
        },
        Surface {
            name: "carousel",
            kinds: &[PostKind::Carousel],
            takes: Takes::Files(Files { rules: &[IMAGE, FILM], least: 2, most: 10 }),
            one_shot: false,
            take_down: DELETE,
        },
        Surface {
            name: "story",
            kinds: &[PostKind::Story],
            takes: Takes::one(&[STORY_IMAGE, STORY_FILM]),
            one_shot: false,
            take_down: DELETE,
        },
    ],
    privacy_levels: &[],
    comments: Some(COMMENTS),
    site: Site {
        hosts: &["instagram.com"],
        home: "https://www.instagram.com",
        page: AccountPage::ByName(""),
    },
};

/// A story takes none. For the words the limits of a caption hold.
const COMMENTS: Comments = Comments {
    under: &["image", "reel", "carousel"],
    length: CaptionLimit { most: 2_200, unit: CaptionUnit::Characters },
    hashtags: Some(30),
    mentions: Some(20),
};

/// `DELETE` of a media object; some it refuses with 2207073.
const DELETE: TakeDown = TakeDown::Api { permission: "instagram_manage_contents" };

/// "JPEG is the only image format supported", 4:5 to 1.91:1.
const IMAGE: MediaRule = MediaRule {
    types: &["image/jpeg"],
    renders: &["image/jpeg", "image/png", "image/webp"],
    most_bytes: 8_000_000,
    least_width: 320,
    most_width: 1440,
    ratio: Some((0.8, 1.91)),
    least_duration_ms: None,
    most_duration_ms: None,
};

/// "Reel Specifications": MP4 or MOV, 3 seconds to 15 minutes, 300 MB, 1920 columns of pixels.
const FILM: MediaRule = MediaRule {
    types: &["video/mp4", "video/quicktime"],
    renders: &[],
    most_bytes: 300_000_000,
    least_width: 1,
    most_width: 1920,
    ratio: None,
    least_duration_ms: Some(3_000),
    most_duration_ms: Some(900_000),
};

/// A story is shown whole, whatever its shape.
const STORY_IMAGE: MediaRule = MediaRule { ratio: None, ..IMAGE };

/// "Story Video Specifications": up to a minute and 100 MB.
const STORY_FILM: MediaRule = MediaRule { most_bytes: 100_000_000, most_duration_ms: Some(60_000), ..FILM };

/// The surface that is made of parts.
const CAROUSEL: &str = "carousel";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    #[serde(with = "humantime_serde")]
    spam_pause: Duration,
}

/// The scopes that publishing needs.
pub(super) const NEEDED: &[&str] = &["instagram_basic", "instagram_content_publish"];

fn check(table: &Value) -> Result<(), String> {
    graph::Settings::split::<Settings>(table).map(|_| ())
}

fn connect(table: &Value, environment: Environment<'_>) -> Result<Option<Box<dyn Network>>, String> {
    let split = graph::Settings::split(table).map_err(|error| format!("networks.instagram: {error}"))?;
    let (common, Settings { timeout, spam_pause }) = split;
    let graph = Graph::connect(environment, timeout, common, TABLES)?.map(|graph| graph.needing(NEEDED));
    Ok(graph.map(|graph| Box::new(Instagram { graph, spam_pause }) as Box<dyn Network>))
}

/// How Instagram tells of comments: newest first, and without an address of their own.
const COMMENTED: comments::Dialect = comments::Dialect {
    words: "text",
    time: "timestamp",
    order: None,
    permission: "instagram_manage_comments",
    own_address: None,
    posts_address: "permalink",
};

struct Instagram {
    graph: Graph,
    spam_pause: Duration,
}

#[async_trait]
impl Network for Instagram {
    fn allowance(&self) -> Allowance {
        self.graph.allowance()
    }

    /// Graph counts every call: the container and the look at it; another look, the call itself and the look for its address.
    /// Each slide of a carousel is made, and looked at twice.
    fn counts(&self, errand: Errand, content: &Content) -> u32 {
        if content.surface == comment::SURFACE.name {
            return comments::counts(errand);
        }
        let slides = if content.surface == CAROUSEL { content.media.len() } else { 0 };
        let slides = u32::try_from(slides).unwrap_or(u32::MAX / 4);
        match errand {
            Errand::Prepare => 2 + 3 * slides,
            Errand::Commit => 3 + slides,
            Errand::Look => 1 + slides,
        }
    }

    async fn prepare(
        &self,
        call: &Call<'_>,
        content: &Content,
        keep: &dyn KeepHandle,
    ) -> Result<(Handle, Readiness), Failure> {
        let making = Making { instagram: self, call, deadline: Deadline::of(call), content };
        match content.surface.as_str() {
            "image" | "reel" | "story" => making.single().await,
            CAROUSEL => making.carousel(keep).await,
            "comment" => comments::prepare(call, content),
            other => Err(Failure::new(Class::Permanent, "surface", format!("no {other} on Instagram"))),
        }
    }

    /// Before its first commit a carousel is only as ready as each of its slides. After it the carousel alone tells
    /// what became of it.
    async fn inspect(&self, call: &Call<'_>, handle: &Handle, armed: bool) -> Result<Sight, Failure> {
        if handle.kind == comments::HANDLE {
            return self.graph.comment_sight(&COMMENTED, call, handle, armed).await.map_err(no_evidence);
        }
        let (deadline, slides) = (Deadline::of(call), Slides::of(handle));
        if handle.is_parts() {
            return self.together(call, deadline, &slides).await.map_err(no_evidence);
        }
        match self.look(call, deadline, &handle.id).await.map_err(no_evidence)? {
            Sight::Ready if !armed => self.together(call, deadline, &slides).await.map_err(no_evidence),
            sight => Ok(sight),
        }
    }

    async fn commit(&self, call: &Call<'_>, handle: &Handle, _content: &Content) -> Answer {
        if handle.kind == comments::HANDLE {
            return self.graph.comment(&COMMENTED, call, handle).await;
        }
        let deadline = Deadline::of(call);
        let (path, form) = ([call.account, "media_publish"], [("creation_id", handle.id.as_str())]);
        match self.post(Phase::Commit, call, deadline, &path, &form).await {
            Ok(body) => match id_of(&body["id"]) {
                Some(id) => Answer::Published(Public { id: Some(id), url: None }),
                None => unreadable(Phase::Commit, "the answer names no post").into_answer(),
            },
            Err(Fault::Unknown(failure)) if failure.code == DAILY_LIMIT => {
                self.limited(call, deadline, handle, failure).await
            }
            Err(fault) => fault.into_answer(),
        }
    }

    async fn take_down(&self, call: &Call<'_>, remote_id: &str) -> Removal {
        self.graph.remove(call, remote_id).await
    }

    async fn presence(&self, call: &Call<'_>, remote_id: &str) -> Result<Presence, Failure> {
        self.graph.presence(call, remote_id).await
    }

    /// The request, a read of what it was about, and one of its account.
    fn take_down_calls(&self) -> u32 {
        3
    }

    async fn describe(
        &self,
        call: &Call<'_>,
        handle: &Handle,
        content: &Content,
        known: Public,
    ) -> Result<Public, Failure> {
        if handle.kind == comments::HANDLE {
            return self.graph.describe_comment(&COMMENTED, call, handle, known).await;
        }
        match (&known.id, &known.url) {
            (Some(_), Some(_)) => Ok(known),
            (Some(id), None) => {
                let media = self.get(call, Deadline::of(call), &[id], &[("fields", "permalink")]).await?;
                Ok(Public { url: text(&media, "permalink"), ..known })
            }
            (None, _) => Ok(self.find(call, content).await?.unwrap_or(known)),
        }
    }

    async fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        self.graph.check(call).await
    }

    async fn facts(&self, call: &Call<'_>) -> Result<Vec<Fact>, Failure> {
        let token = Fact::of_token(self.graph.check(call).await)?;
        let limit = self.limit(call, Deadline::of(call)).await;
        let limit = limit.ok().flatten().map(|(used, total)| Fact::PublishingLimit { used, total });
        Ok(std::iter::once(token).chain(limit).collect())
    }

    fn fact_calls(&self) -> u32 {
        2
    }

    fn renewing(&self) -> Option<&dyn Renewing> {
        Some(&self.graph)
    }

    fn connecting(&self) -> Option<&dyn Connecting> {
        Some(&self.graph)
    }

    fn insights(&self) -> Option<&dyn Insights> {
        Some(self)
    }

    fn revoking(&self) -> Option<&dyn Revoking> {
        Some(&self.graph)
    }
}

#[async_trait]
impl Insights for Instagram {
    fn objects_at_once(&self, object: Object) -> usize {
        insights::objects_at_once(object)
    }

    /// `follower_demographics` of Meta's documents.
    fn least_followers(&self) -> Option<i64> {
        Some(100)
    }

    async fn ask(&self, call: &Call<'_>, question: &Question<'_>) -> Vec<Result<Heard, Trouble>> {
        self.graph.insights(call, question, insights::Dialect::Instagram).await
    }
}

impl Instagram {
    async fn look(&self, call: &Call<'_>, deadline: Deadline, container: &str) -> Result<Sight, Failure> {
        let fields = [("fields", "status_code,status")];
        sight(&self.get(call, deadline, &[container], &fields).await?)
    }

    /// What slides are all together: dead with the first that is dead, ready with the last that is ready.
    async fn together(&self, call: &Call<'_>, deadline: Deadline, slides: &Slides) -> Result<Sight, Failure> {
        let looks = slides.slides.iter().map(|slide| self.look(call, deadline, &slide.container));
        all_of(join_all(looks).await)
    }

    /// The daily limit proves that nothing happened where the limit is in fact reached and the container still
    /// waits to be published.
    async fn limited(&self, call: &Call<'_>, deadline: Deadline, handle: &Handle, said: Failure) -> Answer {
        let (limit, container) =
            tokio::join!(self.limit_is_reached(call, deadline), self.look(call, deadline, &handle.id));
        match (limit, container) {
            (Ok(true), Ok(Sight::Ready)) => {
                Answer::Refused { failure: said.out_of_doubt(), handle_dead: false }
            }
            (Ok(_) | Err(_), Ok(_) | Err(_)) => Answer::Unknown(said),
        }
    }

    async fn limit_is_reached(&self, call: &Call<'_>, deadline: Deadline) -> Result<bool, Failure> {
        Ok(self.limit(call, deadline).await?.is_some_and(|(used, total)| used >= total))
    }

    /// How many posts the account has published within a day, and how many it may; `None`: the answer names no limit.
    async fn limit(&self, call: &Call<'_>, deadline: Deadline) -> Result<Option<(u64, u64)>, Failure> {
        let (path, fields) = ([call.account, "content_publishing_limit"], [("fields", "config,quota_usage")]);
        let limit = self.get(call, deadline, &path, &fields).await?;
        let (used, total) = (&limit["data"][0]["quota_usage"], &limit["data"][0]["config"]["quota_total"]);
        Ok(used.as_u64().zip(total.as_u64()))
    }

    /// The one post among the latest that can be this one.
    async fn find(&self, call: &Call<'_>, content: &Content) -> Result<Option<Public>, Failure> {
        let query = [("fields", FIELDS), ("limit", &LATEST.to_string())];
        let list = self.get(call, Deadline::of(call), &[call.account, edge(content)], &query).await?;
        let list = list["data"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(only_match(list, content))
    }

    async fn post(
        &self,
        phase: Phase,
        call: &Call<'_>,
        deadline: Deadline,
        path: &[&str],
        form: &[(&str, &str)],
    ) -> Result<Value, Fault> {
        let answer = self.graph.post(phase, call, deadline, path, form).await;
        answer.map_err(|fault| fault.map(|failure| rested(failure, self.spam_pause)))
    }

    async fn get(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        self.graph.get(call, deadline, path, query).await.map_err(Fault::into_failure)
    }
}

/// Whatever became of the post, an account that was called a spammer is left alone for a while.
fn rested(failure: Failure, pause: Duration) -> Failure {
    if failure.code == SPAM { failure.resting(Some(pause)) } else { failure }
}

/// What a container's `status_code` shows.
fn sight(container: &Value) -> Result<Sight, Failure> {
    let status = text(container, "status").unwrap_or_default();
    match container["status_code"].as_str() {
        Some("IN_PROGRESS") => Ok(Sight::Building),
        Some("FINISHED") => Ok(Sight::Ready),
        Some("PUBLISHED") => Ok(Sight::Public(Public::default())),
        Some("ERROR") => Ok(Sight::Dead(broken(&status))),
        Some("EXPIRED") => {
            let why = "the container was not published within 24 hours";
            Ok(Sight::Dead(Failure::new(Class::Transient, "expired", why)))
        }
        Some(_) | None => {
            Err(unreadable(Phase::Read, "the container is in none of the known states").into_failure())
        }
    }
}

/// What several containers are together. One that is dead is evidence, whatever the others are; a look that failed
/// is none. A slide cannot be published by itself: one that says so says nothing that can be used.
fn all_of(sights: Vec<Result<Sight, Failure>>) -> Result<Sight, Failure> {
    if let Some(dead) = sights.iter().find(|sight| matches!(sight, Ok(Sight::Dead(_)))) {
        return dead.clone();
    }
    let mut together = Sight::Ready;
    for sight in sights {
        match sight? {
            Sight::Ready => {}
            Sight::Public(_) => {
                return Err(unreadable(Phase::Read, "a slide was published by itself").into_failure());
            }
            building @ (Sight::Building | Sight::Processing | Sight::Dead(_)) => together = building,
        }
    }
    Ok(together)
}

fn text(object: &Value, field: &str) -> Option<String> {
    object[field].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_account_called_a_spammer_rests_even_while_the_outcome_is_unknown() {
        let said = Failure::new(Class::Unknown, SPAM, "blocked");
        let fault = Fault::Unknown(said).map(|failure| rested(failure, Duration::from_secs(7)));
        assert_eq!(fault.into_failure().rest, Some(Duration::from_secs(7)));
        assert_eq!(rested(Failure::new(Class::Rate, "4", "slow"), Duration::from_secs(7)).rest, None);
    }

    #[test]
    fn a_container_shows_what_became_of_it() {
        let seen = |code: &str| sight(&json!({ "status_code": code, "status": "" }));
        assert_eq!(seen("IN_PROGRESS"), Ok(Sight::Building));
        assert_eq!(seen("FINISHED"), Ok(Sight::Ready));
        assert_eq!(seen("PUBLISHED"), Ok(Sight::Public(Public::default())));
        assert!(matches!(seen("ERROR"), Ok(Sight::Dead(f)) if f.class == Class::Transient));
        assert!(matches!(seen("EXPIRED"), Ok(Sight::Dead(f)) if f.class == Class::Transient));
        assert!(seen("PONDERING").is_err() && sight(&json!({})).is_err());
    }

    #[test]
    fn slides_are_ready_with_the_last_and_dead_with_the_first() {
        let (ready, building) = (|| Ok(Sight::Ready), || Ok(Sight::Building));
        let dead = || Ok(Sight::Dead(broken("2207026")));
        let away = || Err(Failure::new(Class::Transient, "timeout", "away"));
        assert_eq!(all_of(vec![]), ready(), "what has no slides is as ready as it says");
        assert_eq!(all_of(vec![ready(), ready()]), ready());
        assert_eq!(all_of(vec![building(), ready()]), building());
        assert_eq!(all_of(vec![ready(), away()]), away(), "a slide that nobody saw is not ready");
        assert_eq!(all_of(vec![building(), away(), dead()]), dead());
        assert!(all_of(vec![ready(), Ok(Sight::Public(Public::default()))]).is_err());
    }
}
