//! Instagram: a picture becomes a container that nobody sees, and one call publishes the container, once.
//!
//! The container never tells which post it became. Where the answer to the call is lost, the post is looked
//! for among the account's latest by its caption; unless exactly one fits, it stays nameless.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use jobs::{
    contract::{Class, Failure},
    desk::{Call, Content, Handle, KeepHandle, Network, Readiness},
    gate::{Allowance, Errand},
    machine::{Answer, Public, Sight},
    preflight::Fact,
    surface::{CaptionLimit, CaptionUnit, MediaRule, Platform, PostKind, Surface, Takes},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Entry, Environment,
    graph::{self, Graph},
    http::{Codes, Deadline, Fault, Phase, Row, Tables, id_of, no_evidence, unreadable},
};

/// This network's line in the registry.
pub const ENTRY: Entry = Entry { file: "instagram", platform: &PLATFORM, check, connect };

/// What an Instagram Business account takes.
const PLATFORM: Platform = Platform {
    name: "instagram_business",
    title: "Instagram",
    caption: CaptionLimit { most: 2200, unit: CaptionUnit::Characters },
    hashtags: Some(30),
    surfaces: &[Surface {
        name: "image",
        kinds: &[PostKind::Post],
        takes: Takes::one(&[IMAGE]),
        one_shot: false,
    }],
    privacy_levels: &[],
};

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

const TABLES: Tables = Tables { rows: &[ERRORS, graph::ERRORS], definite_no: DEFINITE_NO };

/// What the subcodes of publishing mean, in errors and in a container's `status` alike. From "Instagram
/// Platform Error Codes" of Meta's documents; 2207077 and above were seen in the field.
const ERRORS: &[Row] = &[
    Row::sub("2207001", Class::Transient),
    Row::sub("2207003", Class::Transient),
    Row::sub("2207020", Class::Transient),
    Row::sub("2207032", Class::Transient),
    Row::sub("2207053", Class::Transient),
    Row::sub("2207008", Class::Transient),
    Row::sub("2207027", Class::Transient),
    // Not fetchable. Each container gets a fresh address, so it is worth another attempt.
    Row::sub("2207052", Class::Transient),
    Row::sub("2207077", Class::Transient),
    Row::sub("2207082", Class::Transient),
    Row::sub("2207085", Class::Transient),
    // The limit counts the last 24 hours, so places come free one by one.
    Row::sub("2207042", Class::Rate).resting(15),
    Row::sub("2207051", Class::Rate),
    Row::sub("2207050", Class::Permission),
    Row::sub("2207004", Class::Permanent),
    Row::sub("2207005", Class::Permanent),
    Row::sub("2207006", Class::Permanent),
    Row::sub("2207009", Class::Permanent),
    Row::sub("2207010", Class::Permanent),
    Row::sub("2207023", Class::Permanent),
    Row::sub("2207026", Class::Permanent),
    Row::sub("2207028", Class::Permanent),
    Row::sub("2207035", Class::Permanent),
    Row::sub("2207036", Class::Permanent),
    Row::sub("2207037", Class::Permanent),
    Row::sub("2207040", Class::Permanent),
    Row::sub("2207057", Class::Permanent),
    Row::sub("2207081", Class::Permanent),
];

/// The answers that prove that the call which publishes a container had no effect.
///
/// Token and permission are looked at before anything is done; "not ready" says that there is nothing yet to
/// publish. All of these try again later, after the container was read again. The last five say that the
/// content itself can never be a post. Not here: 4/2207051, which came with posts that were live; 24/2207008
/// and 100/2207023, which a container that is already published may answer; and the daily limit, which counts
/// only where two more reads bear it out.
const DEFINITE_NO: &[Codes] = &[
    Codes::Is("190"),
    Codes::Is("10"),
    Codes::Span(200, 299),
    Codes::Is("9007/2207027"),
    Codes::Is("36000/2207004"),
    Codes::Is("36001/2207005"),
    Codes::Is("36003/2207009"),
    Codes::Is("36004/2207010"),
    Codes::Is("352/2207026"),
];

/// The account was called a spammer.
const SPAM: &str = "4/2207051";
/// The account has published as much as it may in a day.
const DAILY_LIMIT: &str = "9/2207042";
/// How far the network's clock and ours may be apart when a post is recognised by its time.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(2);
/// How many of the latest posts are searched.
const LATEST: usize = 25;
/// As Graph writes times: `+0000`, not `Z`.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%z";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    #[serde(with = "humantime_serde")]
    spam_pause: Duration,
}

fn check(table: &Value) -> Result<(), String> {
    graph::Settings::split::<Settings>(table).map(|_| ())
}

fn connect(table: &Value, environment: Environment<'_>) -> Result<Option<Box<dyn Network>>, String> {
    let split = graph::Settings::split(table).map_err(|error| format!("networks.instagram: {error}"))?;
    let (common, Settings { timeout, spam_pause }) = split;
    let graph = Graph::connect(environment, timeout, common, TABLES)?;
    Ok(graph.map(|graph| Box::new(Instagram { graph, spam_pause }) as Box<dyn Network>))
}

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
    fn counts(&self, errand: Errand, _content: &Content) -> u32 {
        match errand {
            Errand::Prepare => 2,
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
        // Meta fetches the picture itself: nothing follows the container's name that it would have to be kept
        // before.
        let handle = self.container(call, deadline, content).await?;
        // Pictures are mostly done at once. A look that fails costs nothing: the container is there, and is
        // looked at again.
        match self.look(call, deadline, &handle).await {
            Ok(Sight::Ready) => Ok((handle, Readiness::Ready)),
            Ok(Sight::Dead(failure)) => Err(failure),
            Ok(Sight::Building | Sight::Processing | Sight::Public(_)) | Err(_) => {
                Ok((handle, Readiness::Building))
            }
        }
    }

    async fn inspect(&self, call: &Call<'_>, handle: &Handle, _armed: bool) -> Result<Sight, Failure> {
        self.look(call, Deadline::of(call), handle).await.map_err(no_evidence)
    }

    async fn commit(&self, call: &Call<'_>, handle: &Handle, _content: &Content) -> Answer {
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

    async fn describe(
        &self,
        call: &Call<'_>,
        _handle: &Handle,
        content: &Content,
        known: Public,
    ) -> Result<Public, Failure> {
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
}

impl Instagram {
    async fn container(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        content: &Content,
    ) -> Result<Handle, Failure> {
        let missing = || Failure::new(Class::Permanent, "content", "the post has no picture");
        if content.surface != "image" {
            return Err(Failure::new(
                Class::Permanent,
                "surface",
                format!("no {} on Instagram", content.surface),
            ));
        }
        let address = call.media.address(&content.media.first().ok_or_else(missing)?.key).await?;
        let form = [("image_url", address.as_str()), ("caption", content.caption.as_str())];
        let made = self.post(Phase::Prepare, call, deadline, &[call.account, "media"], &form).await;
        let nameless = || unreadable(Phase::Prepare, "the answer names no container").into_failure();
        let id = id_of(&made.map_err(Fault::into_failure)?["id"]).ok_or_else(nameless)?;
        Ok(Handle { kind: "container".into(), id, detail: Value::Null })
    }

    async fn look(&self, call: &Call<'_>, deadline: Deadline, handle: &Handle) -> Result<Sight, Failure> {
        let fields = [("fields", "status_code,status")];
        sight(&self.get(call, deadline, &[&handle.id], &fields).await?)
    }

    /// The daily limit proves that nothing happened where the limit is in fact reached and the container still
    /// waits to be published.
    async fn limited(&self, call: &Call<'_>, deadline: Deadline, handle: &Handle, said: Failure) -> Answer {
        let (limit, container) =
            tokio::join!(self.limit_is_reached(call, deadline), self.look(call, deadline, handle));
        match (limit, container) {
            (Ok(true), Ok(Sight::Ready)) => {
                Answer::Refused { failure: Failure { class: Class::Rate, ..said }, handle_dead: false }
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
        let fields = "id,caption,timestamp,permalink,media_product_type";
        let query = [("fields", fields), ("limit", &LATEST.to_string())];
        let list = self.get(call, Deadline::of(call), &[call.account, "media"], &query).await?;
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

/// What the text of a broken container's `status` means; one without a code is worth a new container.
fn broken(status: &str) -> Failure {
    let mut words = status.split(|letter: char| !letter.is_ascii_digit());
    let sub = words.find(|word| word.len() == 7 && word.starts_with("2207")).unwrap_or("unknown");
    let code = format!("container/{sub}");
    let class = TABLES.row(&code).map_or(Class::Transient, |row| row.class);
    Failure::new(class, code, status)
}

/// The one post with this caption since then that is nobody else's. Where the list ends before it reaches that far
/// back, another one may lie beyond its end, and none is taken.
fn only_match(latest: &[Value], content: &Content) -> Option<Public> {
    let since = content.not_before - CLOCKS_APART;
    let time = |media: &Value| DateTime::parse_from_str(media["timestamp"].as_str()?, TIME).ok();
    let recent = |media: &&Value| time(media).is_some_and(|at| at >= since);
    if latest.len() >= LATEST && latest.iter().all(|media| recent(&media)) {
        return None;
    }
    let fits = |media: &&Value| {
        media["caption"].as_str().unwrap_or_default().trim() == content.caption.trim()
            && media["media_product_type"] == "FEED"
            && id_of(&media["id"]).is_some_and(|id| !content.taken.contains(&id))
    };
    let mut matches = latest.iter().filter(recent).filter(fits);
    match (matches.next(), matches.next()) {
        (Some(one), None) => Some(Public { id: Some(id_of(&one["id"])?), url: text(one, "permalink") }),
        (Some(_) | None, _) => None,
    }
}

fn text(object: &Value, field: &str) -> Option<String> {
    object[field].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::networks::http::{Rest, Said, classify};

    fn at(text: &str) -> DateTime<chrono::Utc> {
        text.parse().expect("a time")
    }

    fn media(id: &str, caption: Option<&str>, time: &str) -> Value {
        json!({
            "id": id, "caption": caption, "timestamp": time, "permalink": format!("https://i/p/{id}"),
            "media_product_type": "FEED",
        })
    }

    fn commits_to(code: &str) -> Fault {
        let status = StatusCode::BAD_REQUEST;
        let said =
            Said { status, code: code.into(), message: String::new(), transient: false, rest: Rest::Unsaid };
        classify(Phase::Commit, said, &TABLES)
    }

    #[test]
    fn every_row_of_the_documents_is_of_its_class() {
        let documented: &[(&[&str], Class)] = &[
            (
                &[
                    "-2/2207003",
                    "-2/2207020",
                    "-1/2207001",
                    "-1/2207032",
                    "-1/2207053",
                    "24/2207008",
                    "9007/2207027",
                    "9004/2207052",
                ],
                Class::Transient,
            ),
            (&["9/2207042", "4/2207051", "4"], Class::Rate),
            (&["25/2207050"], Class::Permission),
            (
                &[
                    "24/2207006",
                    "352/2207026",
                    "36000/2207004",
                    "36001/2207005",
                    "36003/2207009",
                    "36004/2207010",
                    "100/2207023",
                    "100/2207028",
                    "100/2207035",
                    "100/2207036",
                    "100/2207037",
                    "100/2207040",
                    "1/2207057",
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
    fn an_answer_that_came_with_a_live_post_is_never_a_no() {
        for code in
            ["4/2207051", "24/2207008", "100/2207023", "100/33", "9/2207042", "-1/2207053", "9007", "1"]
        {
            assert!(matches!(commits_to(code), Fault::Unknown(_)), "{code}");
        }
        for code in ["190/460", "10", "200", "9007/2207027", "36004/2207010"] {
            assert!(matches!(commits_to(code), Fault::Refused(_)), "{code}");
        }
    }

    #[test]
    fn an_account_called_a_spammer_rests_even_while_the_outcome_is_unknown() {
        let fault = commits_to(SPAM).map(|failure| rested(failure, Duration::from_secs(7)));
        assert_eq!(fault.into_failure().rest, Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_container_shows_what_became_of_it() {
        let seen = |code: &str, status: &str| sight(&json!({ "status_code": code, "status": status }));
        assert_eq!(seen("IN_PROGRESS", ""), Ok(Sight::Building));
        assert_eq!(seen("FINISHED", ""), Ok(Sight::Ready));
        assert_eq!(seen("PUBLISHED", ""), Ok(Sight::Public(Public::default())));
        let dead = |status: &str| match seen("ERROR", status) {
            Ok(Sight::Dead(failure)) => (failure.class, failure.code),
            other => panic!("{other:?}"),
        };
        let ratio = dead("Error: Media upload has failed with error code 2207009");
        assert_eq!(ratio, (Class::Permanent, "container/2207009".into()));
        assert_eq!(dead("Error: 2207053.").0, Class::Transient);
        assert_eq!(dead("Error").0, Class::Transient);
        assert!(matches!(seen("EXPIRED", ""), Ok(Sight::Dead(f)) if f.class == Class::Transient));
        assert!(seen("PONDERING", "").is_err() && sight(&json!({})).is_err());
    }

    /// A post that cannot have been public before ten.
    fn content(caption: &str, taken: &[&str]) -> Content {
        Content {
            surface: "image".into(),
            caption: caption.into(),
            link: None,
            media: Vec::new(),
            options: Value::Null,
            not_before: at("2026-11-21T10:00:00Z") + CLOCKS_APART,
            taken: taken.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    #[test]
    fn a_post_is_recognised_only_where_exactly_one_fits() {
        let hello = content("hello", &[]);
        let found = |list: &[Value]| only_match(list, &hello).and_then(|public| public.id);
        let mine = media("1", Some("hello"), "2026-11-21T10:00:01+0000");
        let older = media("2", Some("hello"), "2026-11-21T09:59:59+0000");
        let other = media("3", Some("hello!"), "2026-11-21T10:00:01+0000");
        assert_eq!(found(&[other.clone(), mine.clone(), older]).as_deref(), Some("1"));
        let twin = media("4", Some("hello"), "2026-11-21T10:00:09+0000");
        assert_eq!(found(&[mine.clone(), twin.clone()]), None);
        let known = only_match(&[mine.clone(), twin], &content("hello", &["1"]));
        assert_eq!(
            known.and_then(|public| public.id).as_deref(),
            Some("4"),
            "the other's is known to be another"
        );
        assert_eq!(found(&[other]), None);
        let full = vec![mine; 1]
            .into_iter()
            .chain((0..24).map(|n| media(&n.to_string(), None, "2026-11-21T11:00:00+0000")));
        assert_eq!(found(&full.collect::<Vec<_>>()), None, "another may lie beyond the list's end");
        let bare = [media("5", None, "2026-11-21T10:00:01+0000")];
        assert_eq!(only_match(&bare, &content("", &[])).and_then(|public| public.id).as_deref(), Some("5"));
    }
}
