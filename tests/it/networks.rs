//! Every network passes one suite, over HTTP, against the stand-in; then what only one of them has.

mod comments;
mod facebook;
mod instagram;
mod limits;
mod origin;
mod removal;
mod sandbox;
mod tiktok;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use self::{
    origin::Pulls,
    sandbox::{Sandbox, networks},
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobs::{
    contract::{Class, Failure, JobError},
    desk::{Call, Content, File, Handle, KeepHandle, Media, Network, Networks},
    gate::{Gate, Lane, Notice, Visit},
    machine::{Answer, Public, Sight},
    surface::{Files, Surface, Takes},
};
use postroom::networks::{Connected, Entry, NETWORKS, Settings, connect_all, s3::S3};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// How long the stand-in processes media. Tests move its clock instead of waiting.
const PROCESSING: Duration = Duration::from_mins(10);
const SECRET: &str = "sandbox-app-secret";
const EFFECT_AND_NO_ANSWER: [&str; 4] =
    ["effect_then_500", "effect_then_drop", "effect_then_half", "malformed_json"];
const NO_EFFECT_AND_NO_ANSWER: [&str; 3] = ["no_effect_then_500", "no_effect_then_drop", "redirect"];

/// Keeps what it is given, or refuses to.
#[derive(Default)]
struct Kept {
    handle: std::sync::Mutex<Option<Handle>>,
    earlier: Option<Handle>,
    refuse: bool,
}

#[async_trait]
impl KeepHandle for Kept {
    async fn keep(&self, handle: &Handle) -> Result<(), Failure> {
        if self.refuse {
            return Err(Failure::new(Class::Transient, "claim_lost", "gone"));
        }
        *self.handle.lock().expect("a lock") = Some(handle.clone());
        Ok(())
    }

    fn earlier(&self) -> Option<&Handle> {
        self.earlier.as_ref()
    }
}

/// A gate that stands open, and remembers what it was told.
#[derive(Default)]
struct Heard(std::sync::Mutex<Vec<Notice>>);

#[async_trait]
impl Gate for Heard {
    async fn enter(&self, _: Visit<'_>) -> Result<(), JobError> {
        Ok(())
    }

    fn notice(&self, notice: Notice) {
        self.0.lock().expect("a lock").push(notice);
    }
}

impl Heard {
    /// What it was told since the last time, besides whether the network was well.
    fn wishes(&self) -> Vec<Notice> {
        let all = std::mem::take(&mut *self.0.lock().expect("a lock"));
        all.into_iter()
            .filter(|notice| !matches!(notice, Notice::Well | Notice::Ill | Notice::Used(..)))
            .collect()
    }
}

/// One post on its way to one network.
struct Post<'a> {
    sandbox: &'a Sandbox,
    entry: &'a Entry,
    networks: &'a Connected,
    account: &'static str,
    token: SecretString,
    id: Uuid,
    ids: std::sync::Mutex<Vec<Uuid>>,
    /// TikTok pulls the files by itself, and the handle is a name of ours.
    pulled: bool,
    content: Content,
    heard: Heard,
}

impl<'a> Post<'a> {
    async fn of(sandbox: &'a Sandbox, entry: &'a Entry, surface: &Surface) -> Self {
        let (account, token) = match entry.platform.name {
            "facebook_page" => ("104000000000001", "sandbox-page-token"),
            "instagram_business" => ("17841400000000001", "sandbox-page-token"),
            "tiktok" => ("sandbox-open-id", "sandbox-tiktok-access"),
            other => panic!("{other} has no account at the sandbox"),
        };
        let content = content(sandbox, entry, surface).await;
        let networks = &sandbox.networks;
        Self {
            sandbox,
            entry,
            networks,
            account,
            token: token.into(),
            id: Uuid::now_v7(),
            ids: std::sync::Mutex::default(),
            pulled: pulled(entry, surface),
            content,
            heard: Heard::default(),
        }
    }

    fn network(&self) -> &dyn Network {
        self.networks.of(self.entry.platform.name).expect("it is on")
    }

    fn call(&self, id: Option<Uuid>) -> Call<'_> {
        let (account, token) = (self.account, &self.token);
        let (media, gate) = (&self.sandbox.store, &self.heard);
        Call { id, account, token, media, gate, timeout: Duration::from_secs(15) }
    }

    /// The id of one more call.
    fn fresh(&self) -> Uuid {
        let id = Uuid::now_v7();
        self.ids.lock().expect("a lock").push(id);
        id
    }

    /// What the first call of a preparation is called at the stand-in.
    fn first_call(&self) -> &'static str {
        if self.pulled { "creator_info" } else { "prepare" }
    }

    /// Prepares it to its end: what is made of parts is put together once they are ready.
    async fn prepare(&self) -> Handle {
        let mut handle = self.prepare_on(None).await;
        while handle.is_parts() {
            assert_eq!(self.inspect(&handle, false).await, Ok(Sight::Ready), "{}", self.entry.file);
            handle = self.prepare_on(Some(handle)).await;
        }
        handle
    }

    /// One prepare call, after one that left this behind.
    async fn prepare_on(&self, earlier: Option<Handle>) -> Handle {
        let kept = Kept { earlier, ..Kept::default() };
        let made = self.network().prepare(&self.call(Some(self.fresh())), &self.content, &kept).await;
        let (handle, _) = made.unwrap_or_else(|failure| panic!("{}: {failure}", self.entry.file));
        self.sandbox.advance(PROCESSING).await;
        handle
    }

    async fn inspect(&self, handle: &Handle, armed: bool) -> Result<Sight, Failure> {
        let handle = self.sandbox.pulls.as_kept(handle);
        self.network().inspect(&self.call(None), &handle, armed).await
    }

    /// What the reconciler makes of it: where a read of the handle brings nothing, the post is looked for.
    async fn evidence(&self, handle: &Handle) -> Result<Sight, Failure> {
        match self.inspect(handle, true).await {
            Ok(sight) => Ok(sight),
            Err(failure) => {
                let found = self.network().find(&self.call(None), handle, &self.content).await?;
                found.map(Sight::Public).ok_or(failure)
            }
        }
    }

    async fn commit(&self, handle: &Handle) -> Answer {
        let id = self.fresh();
        self.sandbox.pulls.arm(id, handle, &self.content.media);
        let answer = self.network().commit(&self.call(Some(id)), handle, &self.content).await;
        self.sandbox.advance(PROCESSING).await;
        answer
    }

    /// What the public sees of it. A story shows no words, and is known by what it was made of.
    async fn effects(&self, handle: &Handle) -> Vec<Value> {
        let query = match self.content.surface.as_str() {
            "story" => ("handle", handle.id.as_str()),
            _ => ("caption", self.content.caption.as_str()),
        };
        self.sandbox.list("effects", &[query]).await
    }

    /// It is public exactly once, with all that it is made of, and the network says where.
    async fn is_public(&self, handle: &Handle) {
        let Ok(Sight::Public(seen)) = self.evidence(handle).await else {
            panic!("{} does not show it", self.entry.file)
        };
        let handle = self.sandbox.pulls.as_kept(handle);
        let known = self.network().describe(&self.call(None), &handle, &self.content, seen).await;
        let Ok(Public { id: Some(id), url: Some(url) }) = known else {
            panic!("{}: {known:?}", self.entry.file)
        };
        assert!(url.starts_with("http"), "{url}");
        let effects = self.effects(&handle).await;
        assert_eq!(effects.len(), 1, "{} {}", self.entry.file, self.content.surface);
        let shown = effects[0]["media"].as_array().map(Vec::len);
        assert_eq!(shown, Some(self.content.media.len()), "{} {}", self.entry.file, self.content.surface);
        assert_eq!(effects[0]["object_id"], id, "{}", self.entry.file);
    }
}

async fn content(sandbox: &Sandbox, entry: &Entry, surface: &Surface) -> Content {
    let mut media = Vec::new();
    if let Some(takes) = surface.files() {
        for rule in takes.rules.iter().cycle().take(takes.least) {
            media.push(sandbox.file(rule.types[0]).await);
        }
    }
    let link = match surface.takes {
        Takes::Link => Some("https://example.com/".to_owned()),
        Takes::Words | Takes::Files(_) => None,
    };
    let level = entry.platform.privacy_levels.first();
    Content {
        surface: surface.name.into(),
        caption: format!("Opening day 🥐 {}", Uuid::now_v7()),
        link,
        media,
        options: level.map_or(json!({}), |level| json!({ "privacy_level": level })),
        not_before: now(sandbox).await,
        taken: Vec::new(),
        twin: false,
    }
}

/// The stand-in's time, which is what posts are recognised by.
async fn now(sandbox: &Sandbox) -> DateTime<Utc> {
    let answer = sandbox.http.get(format!("{}/clock", sandbox.at.control)).send().await.expect("an answer");
    let clock: Value = answer.json().await.expect("JSON");
    clock["now"].as_str().expect("a time").parse().expect("a time")
}

/// Every surface of every network; one that takes a file of one type or another is there for each of them.
fn surfaces() -> impl Iterator<Item = (&'static Entry, &'static Surface)> {
    NETWORKS.iter().flat_map(|entry| {
        entry.platform.surfaces.iter().flat_map(by_type).map(move |surface| (entry, surface))
    })
}

fn by_type(surface: &'static Surface) -> Vec<&'static Surface> {
    match surface.takes {
        Takes::Files(takes) if takes.most == 1 => {
            let of_type = |rules| Surface { takes: Takes::Files(Files { rules, ..takes }), ..*surface };
            takes.rules.chunks(1).map(|rules| &*Box::leak(Box::new(of_type(rules)))).collect()
        }
        Takes::Files(_) | Takes::Words | Takes::Link => vec![surface],
    }
}

/// The surface of a Page of that name that takes this type.
fn on_a_page(name: &str, content_type: &str) -> (&'static Entry, &'static Surface) {
    let takes = |surface: &Surface| {
        surface.files().is_some_and(|takes| takes.rules.iter().any(|rule| rule.types.contains(&content_type)))
    };
    let mut all = surfaces().filter(|(entry, _)| entry.file == "facebook");
    all.find(|(_, surface)| surface.name == name && takes(surface)).expect("a surface")
}

/// A network that pulls the files itself is handed nothing before the commit, and what it has not been handed under
/// one name is handed to it under another.
fn pulled(entry: &Entry, surface: &Surface) -> bool {
    (entry.file, surface.name) == ("tiktok", "photos")
}

fn only(file: &str) -> (&'static Entry, &'static Surface) {
    surfaces().find(|(entry, _)| entry.file == file).expect("a network")
}

/// A surface of Instagram.
fn of_instagram(name: &str) -> (&'static Entry, &'static Surface) {
    let named = |(entry, surface): &(&Entry, &Surface)| entry.file == "instagram" && surface.name == name;
    surfaces().find(named).expect("a surface")
}

#[tokio::test]
async fn what_is_prepared_is_seen_by_nobody_and_what_is_committed_is_public_once() {
    // P-S1
    let sandbox = Sandbox::start().await;
    for (entry, surface) in surfaces() {
        let post = Post::of(&sandbox, entry, surface).await;
        let handle = post.prepare().await;
        assert_eq!(post.inspect(&handle, false).await, Ok(Sight::Ready), "{}", entry.file);
        assert!(post.effects(&handle).await.is_empty(), "{}", entry.file);
        let answer = post.commit(&handle).await;
        assert!(matches!(answer, Answer::Published(_) | Answer::Accepted), "{}: {answer:?}", entry.file);
        post.is_public(&handle).await;
    }
}

#[tokio::test]
async fn an_effect_whose_answer_is_lost_is_unknown_and_then_seen() {
    let sandbox = Sandbox::start().await;
    for (entry, surface) in surfaces() {
        for fault in EFFECT_AND_NO_ANSWER {
            let post = Post::of(&sandbox, entry, surface).await;
            let handle = post.prepare().await;
            sandbox.fault(entry, "commit", json!(fault)).await;
            let answer = post.commit(&handle).await;
            // TikTok's answer to the last part is its status alone; what follows it may be cut off.
            let known = entry.file == "tiktok" && fault == "malformed_json" && answer == Answer::Accepted;
            assert!(known || matches!(answer, Answer::Unknown(_)), "{} {fault}: {answer:?}", entry.file);
            post.is_public(&handle).await;
        }
    }
}

#[tokio::test]
async fn a_commit_that_did_nothing_is_unknown_and_its_handle_serves_again() {
    let sandbox = Sandbox::start().await;
    for (entry, surface) in surfaces() {
        let post = Post::of(&sandbox, entry, surface).await;
        let mut handle = post.prepare().await;
        let words = NO_EFFECT_AND_NO_ANSWER.map(|word| json!(word));
        for fault in words.into_iter().chain([json!({ "status": 429, "retry_after_s": 7 })]) {
            sandbox.fault(entry, "commit", fault.clone()).await;
            let answer = post.commit(&handle).await;
            let proved = post.pulled && matches!(answer, Answer::Refused { handle_dead: true, .. });
            assert!(proved || matches!(answer, Answer::Unknown(_)), "{} {fault}: {answer:?}", entry.file);
            let seen = post.inspect(&handle, true).await;
            if post.pulled {
                assert!(matches!(&seen, Ok(Sight::Dead(why)) if why.class == Class::Transient), "{seen:?}");
                handle = post.prepare().await;
            } else {
                assert_eq!(seen, Ok(Sight::Ready), "{} {fault}", entry.file);
            }
        }
        post.commit(&handle).await;
        post.is_public(&handle).await;
    }
}

#[tokio::test]
async fn a_commit_that_was_repeated_has_one_effect() {
    let sandbox = Sandbox::start().await;
    // what is pulled is fenced by its addresses instead
    for (entry, surface) in surfaces().filter(|(entry, surface)| !pulled(entry, surface)) {
        let post = Post::of(&sandbox, entry, surface).await;
        let handle = post.prepare().await;
        let (id, network) = (Some(post.id), post.network());
        let (one, two) = (post.call(id), post.call(id));
        tokio::join!(
            network.commit(&one, &handle, &post.content),
            network.commit(&two, &handle, &post.content)
        );
        post.commit(&handle).await;
        post.is_public(&handle).await;
    }
}

#[tokio::test]
async fn a_refused_connection_is_unsent() {
    let sandbox = Sandbox::start().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let nobody = format!("http://{}", nobody.expect("an address"));
    let away = networks(&nobody, &nobody, &nobody);
    for (entry, surface) in surfaces() {
        let mut post = Post::of(&sandbox, entry, surface).await;
        let handle = post.prepare().await;
        post.networks = &away;
        let answer = post.commit(&handle).await;
        assert!(matches!(answer, Answer::Unsent(_)), "{}: {answer:?}", entry.file);
        let seen = post.inspect(&handle, !post.pulled).await;
        assert!(seen.is_err_and(|failure| failure.class == Class::Transient), "{}", entry.file);
    }
}

#[tokio::test]
async fn a_read_that_fails_is_no_evidence() {
    let sandbox = Sandbox::start().await;
    for (entry, surface) in surfaces() {
        let post = Post::of(&sandbox, entry, surface).await;
        let handle = post.prepare().await;
        if post.pulled {
            // before that TikTok has no name for it that could be read
            post.commit(&handle).await;
        }
        for fault in [json!({ "read_error": true }), json!({ "status": 404 }), json!("malformed_json")] {
            sandbox.fault(entry, "observe", fault.clone()).await;
            let seen = post.inspect(&handle, true).await;
            assert!(seen.is_err_and(|failure| failure.class == Class::Transient), "{} {fault}", entry.file);
        }
        if post.pulled {
            post.is_public(&handle).await;
        } else {
            assert_eq!(post.inspect(&handle, true).await, Ok(Sight::Ready), "{}", entry.file);
        }
    }
}

#[tokio::test]
async fn a_token_that_ended_pauses_the_account_and_leaves_the_handle_alive() {
    let sandbox = Sandbox::start().await;
    for (entry, surface) in surfaces() {
        let post = Post::of(&sandbox, entry, surface).await;
        let mut handle = post.prepare().await;
        let token = secrecy::ExposeSecret::expose_secret(&post.token);
        sandbox.control("tokens", json!({ "access_token": token, "state": "expired" })).await;
        let read = post.inspect(&handle, !post.pulled).await.expect_err("refused");
        assert_eq!(read.class, Class::Auth, "{}", entry.file);
        match post.commit(&handle).await {
            Answer::Refused { failure, handle_dead } if handle_dead == post.pulled => {
                assert_eq!(failure.class, Class::Auth, "{}", entry.file);
            }
            Answer::Unsent(failure) => assert_eq!(failure.class, Class::Auth, "{}", entry.file),
            other => panic!("{}: {other:?}", entry.file),
        }
        sandbox.control("tokens", json!({ "access_token": token, "state": "valid" })).await;
        if post.pulled {
            handle = post.prepare().await;
        }
        post.commit(&handle).await;
        post.is_public(&handle).await;
    }
}

#[tokio::test]
async fn a_limit_while_preparing_asks_for_the_rest_that_the_network_names() {
    let sandbox = Sandbox::start().await;
    for (entry, surface) in surfaces() {
        let post = Post::of(&sandbox, entry, surface).await;
        sandbox.fault(entry, post.first_call(), json!({ "status": 429, "retry_after_s": 7 })).await;
        let made = post.network().prepare(&post.call(Some(post.id)), &post.content, &Kept::default()).await;
        let failure = made.expect_err("refused");
        assert_eq!(
            (failure.class, failure.rest),
            (Class::Rate, Some(Duration::from_secs(7))),
            "{}",
            entry.file
        );
    }
}

#[tokio::test]
async fn a_token_is_checked_against_its_account() {
    let sandbox = Sandbox::start().await;
    for entry in NETWORKS {
        // what nothing is published to is tried where it is read
        let Some(surface) = entry.platform.surfaces.first() else { continue };
        let mut post = Post::of(&sandbox, entry, surface).await;
        assert_eq!(post.network().check(&post.call(None)).await, Ok(()), "{}", entry.file);
        post.account = "1";
        assert!(post.network().check(&post.call(None)).await.is_err(), "{}", entry.file);
        post.token = "nobody's".into();
        let failure = post.network().check(&post.call(None)).await.expect_err("refused");
        assert_eq!(failure.class, Class::Auth, "{}", entry.file);
    }
}

#[tokio::test]
async fn every_change_bears_the_id_of_its_call_and_no_address_bears_a_token() {
    let sandbox = Sandbox::start().await;
    for (entry, surface) in surfaces() {
        let post = Post::of(&sandbox, entry, surface).await;
        let handle = post.prepare().await;
        post.commit(&handle).await;
        let calls = sandbox.list("calls", &[("network", entry.platform.name), ("mutating", "true")]).await;
        let ids: Vec<_> = post.ids.lock().expect("a lock").iter().map(Uuid::to_string).collect();
        let ours = calls.iter().filter(|call| ids.iter().any(|id| call["call_id"] == *id)).count();
        assert!(ours >= if post.pulled { 1 } else { 2 }, "{}: {calls:?}", entry.file);
        assert!(calls.iter().all(|call| !call["call_id"].is_null()), "{}", entry.file);
    }
}

#[tokio::test]
async fn the_store_gives_back_what_it_was_given() {
    let sandbox = Sandbox::start().await;
    let store = &sandbox.store;
    store.ping().await.expect("the bucket is there");
    let file = sandbox.long_film().await;
    assert_eq!(store.read(&file.key, 4, 12).await.as_deref(), Ok(&b"ftypmp42"[..]));
    let last = store.read(&file.key, file.bytes - 3, file.bytes).await;
    assert_eq!(last, Ok(vec![7, 7, 7]), "the parts are in order");
    assert!(
        store
            .read(&file.key, file.bytes - 3, file.bytes + 1)
            .await
            .is_err_and(|f| f.class == Class::Permanent)
    );
    let address = store.address(&file.key).await.expect("an address");
    let fetched = sandbox.http.get(address).send().await.expect("an answer");
    assert_eq!(fetched.headers()["content-type"], "video/mp4");
    assert_eq!(fetched.bytes().await.expect("a body").len() as u64, file.bytes);
    store.remove(&file.key).await.expect("removed");
    store.remove(&file.key).await.expect("removing it again is no error");
    assert!(store.read(&file.key, 0, 1).await.is_err_and(|failure| failure.class == Class::Permanent));
}
