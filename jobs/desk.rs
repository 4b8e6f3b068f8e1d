//! The ports that a running job may touch, and nothing else.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

#[cfg(test)]
use crate::gate::Open;
use crate::{
    analysis::{Analyses, Analyst, Cuts, Film},
    connections::{Connecting, Connections, Partings},
    contract::{Class, Failure, JobError},
    deliveries::{Courier, Deliveries},
    forgetting::{Forgetting, Revoking},
    gate::{Allowance, Errand, Gate},
    machine::{Answer, HandleState, Move, Public, Sight, Standing, Withdrawal},
    metrics::{Insights, Snapshots, ads::AdInsights},
    packing::Packing,
    preflight::Fact,
    removal::{Presence, Removal, TakeDowns},
    renewals::{Renewals, Renewing},
    surface::{Platform, Rendition, Surface},
};

/// Everything a running job may touch.
pub struct Desk<'a> {
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// The write-ahead log of what is done at networks, bound to this job's claim; only a job about a
    /// publication has it.
    pub effects: Option<&'a dyn Effects>,
    /// The write-ahead log of what is taken down, bound to this job's claim.
    pub take_downs: Option<&'a dyn TakeDowns>,
    /// The networks that are switched on.
    pub networks: &'a dyn Networks,
    /// The way to them.
    pub gate: &'a dyn Gate,
    /// Tokens, opened for one call.
    pub vault: &'a dyn Vault,
    /// What is kept of an account's access, and wishes for it to be renewed; a worker has it.
    pub renewals: Option<&'a dyn Renewals>,
    /// What is kept of connections on their way; a worker has it.
    pub connections: Option<&'a dyn Connections>,
    /// What is kept of accounts that are disconnected; a worker has it.
    pub partings: Option<&'a dyn Partings>,
    /// What is kept of metrics; a worker has it.
    pub snapshots: Option<&'a dyn Snapshots>,
    /// What is kept of requests for deletion, bound to this job's claim; a worker has it.
    pub forgetting: Option<&'a dyn Forgetting>,
    /// What is kept of analyses, bound to this job's claim; a worker has it.
    pub analyses: Option<&'a dyn Analyses>,
    /// The provider of AI; where its variables are set.
    pub analyst: Option<&'a dyn Analyst>,
    /// What is kept of copies that are packed, bound to this job's claim; a worker has it.
    pub packing: Option<&'a dyn Packing>,
    /// What is kept of events on their way to webhooks, bound to this job's claim; a worker has it.
    pub deliveries: Option<&'a dyn Deliveries>,
    /// What brings events out of the house; a worker has it.
    pub courier: Option<&'a dyn Courier>,
    /// Files.
    pub media: &'a dyn Media,
    /// Whether this worker still has, by its own clock, the lease under which its intents were made.
    pub leased: &'a (dyn Fn() -> bool + Sync),
    /// How long things may take.
    pub limits: Limits,
}

#[cfg(test)]
impl<'a> Desk<'a> {
    /// Where nothing is kept and nobody waits: what a trial is about it puts there itself.
    pub fn bare<T: Clock + Networks + Vault + Media>(all: &'a T) -> Self {
        Self {
            clock: all,
            effects: None,
            take_downs: None,
            networks: all,
            gate: &Open,
            vault: all,
            renewals: None,
            connections: None,
            partings: None,
            snapshots: None,
            forgetting: None,
            analyses: None,
            packing: None,
            deliveries: None,
            courier: None,
            analyst: None,
            media: all,
            leased: &|| true,
            limits: Limits {
                attempt: Duration::ZERO,
                commit_timeout: Duration::ZERO,
                send_within: Duration::ZERO,
                look_least: Duration::ZERO,
                look_most: Duration::ZERO,
                evidence_limit: Duration::ZERO,
                late_limit: Duration::ZERO,
            },
        }
    }
}

/// What a network, or another provider, that is not switched on here answers to everything.
pub fn off(title: &str) -> Failure {
    let why = format!("{title} is not switched on here: set its variables and start again");
    Failure::new(Class::Transient, "network_off", why)
}

impl<'a> Desk<'a> {
    /// The network that serves accounts of this platform.
    ///
    /// # Errors
    /// It is not switched on here.
    pub fn network(&self, platform: &str) -> Result<&'a dyn Network, Failure> {
        self.networks.of(platform).ok_or_else(|| off(platform))
    }

    /// The write-ahead log of a job about a publication.
    ///
    /// # Errors
    /// The job is about none.
    pub fn effects(&self) -> Result<&'a dyn Effects, JobError> {
        let missing = || Failure::new(Class::Permanent, "payload", "it names no publication");
        self.effects.ok_or_else(|| JobError::Malformed(missing()))
    }

    /// The write-ahead log of what is taken down.
    ///
    /// # Errors
    /// Nothing is taken down here.
    pub fn take_downs(&self) -> Result<&'a dyn TakeDowns, JobError> {
        let missing = || Failure::new(Class::Permanent, "payload", "nothing is taken down here");
        self.take_downs.ok_or_else(|| JobError::Malformed(missing()))
    }

    /// What is kept of accounts' access.
    ///
    /// # Errors
    /// Nobody here keeps any.
    pub fn renewals(&self) -> Result<&'a dyn Renewals, JobError> {
        self.renewals.ok_or_else(|| JobError::Infrastructure("nobody here keeps access alive".into()))
    }

    /// What is kept of connections on their way.
    ///
    /// # Errors
    /// Nobody here keeps any.
    pub fn connections(&self) -> Result<&'a dyn Connections, JobError> {
        self.connections.ok_or_else(|| JobError::Infrastructure("nobody here connects accounts".into()))
    }

    /// What is kept of accounts that are disconnected.
    ///
    /// # Errors
    /// Nobody here keeps any.
    pub fn partings(&self) -> Result<&'a dyn Partings, JobError> {
        self.partings.ok_or_else(|| JobError::Infrastructure("nobody here disconnects accounts".into()))
    }

    /// What is kept of metrics.
    ///
    /// # Errors
    /// Nobody here keeps any.
    pub fn snapshots(&self) -> Result<&'a dyn Snapshots, JobError> {
        self.snapshots.ok_or_else(|| JobError::Infrastructure("nobody here keeps metrics".into()))
    }

    /// What is kept of requests for deletion.
    ///
    /// # Errors
    /// Nobody here deletes anything.
    pub fn forgetting(&self) -> Result<&'a dyn Forgetting, JobError> {
        self.forgetting.ok_or_else(|| JobError::Infrastructure("nobody here deletes anything".into()))
    }

    /// What is kept of analyses.
    ///
    /// # Errors
    /// Nobody here keeps any.
    pub fn analyses(&self) -> Result<&'a dyn Analyses, JobError> {
        self.analyses.ok_or_else(|| JobError::Infrastructure("nobody here keeps analyses".into()))
    }

    /// The provider of AI.
    ///
    /// # Errors
    /// It is not switched on here.
    pub fn analyst(&self) -> Result<&'a dyn Analyst, JobError> {
        self.analyst.ok_or_else(|| JobError::Unavailable(off("OpenAI")))
    }

    /// What is kept of copies that are packed.
    ///
    /// # Errors
    /// Nobody here packs anything.
    pub fn packing(&self) -> Result<&'a dyn Packing, JobError> {
        self.packing.ok_or_else(|| JobError::Infrastructure("nobody here packs anything".into()))
    }

    /// What is kept of events on their way to webhooks.
    ///
    /// # Errors
    /// Nobody here tells anybody of events.
    pub fn deliveries(&self) -> Result<&'a dyn Deliveries, JobError> {
        self.deliveries.ok_or_else(|| JobError::Infrastructure("nobody here tells of events".into()))
    }

    /// What brings events out of the house.
    ///
    /// # Errors
    /// Nobody here does.
    pub fn courier(&self) -> Result<&'a dyn Courier, JobError> {
        self.courier.ok_or_else(|| JobError::Infrastructure("nobody here brings events out".into()))
    }
}

/// How long things may take while publishing.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// One attempt, uploads included.
    pub attempt: Duration,
    /// One commit call, from arming to its answer.
    pub commit_timeout: Duration,
    /// From the confirmed intent to the first byte.
    pub send_within: Duration,
    /// The shortest wait between looks at something the network works on.
    pub look_least: Duration,
    /// The longest wait between such looks.
    pub look_most: Duration,
    /// Without evidence on a committed publication for this long, a person decides.
    pub evidence_limit: Duration,
    /// For so long after it was sent a network may still carry out what it gave no answer to.
    pub late_limit: Duration,
}

/// The time, handed in so that tests may move it.
pub trait Clock: Send + Sync {
    /// Now, as the ledger's clock has it.
    fn now(&self) -> DateTime<Utc>;
    /// A reading that only grows, for measuring spans.
    fn monotonic(&self) -> Duration;
}

/// The networks that are switched on.
pub trait Networks: Send + Sync {
    /// The network that serves accounts of this platform.
    fn of(&self, platform: &str) -> Option<&dyn Network>;
    /// A surface of a platform, whether its network is switched on or not.
    fn surface(&self, platform: &str, surface: &str) -> Option<&'static Surface>;
    /// What is known of a platform, whether its network is switched on or not.
    fn platform(&self, _name: &str) -> Option<&'static Platform> {
        None
    }
    /// What people call a platform, if this build knows it.
    fn title(&self, _platform: &str) -> Option<&'static str> {
        None
    }
}

/// A network in the shape *prepare → handle → commit*, with reads that tell what became of a handle.
#[async_trait]
pub trait Network: Send + Sync {
    /// What it lets us do.
    fn allowance(&self) -> Allowance;

    /// How many calls this takes at most that count against the rates of the allowance.
    fn counts(&self, errand: Errand, content: &Content) -> u32;

    /// Makes the post ready at the network without anybody seeing it. Repeatable.
    ///
    /// The handle goes to `keep` as soon as the network has named it, before a byte of media follows it.
    /// Returns the handle, and whether it may be committed at once. One of [`Handle::PARTS`] never may.
    ///
    /// # Errors
    /// What the network said; a `Class::Unknown` is treated as transient, because nothing is visible.
    async fn prepare(
        &self,
        call: &Call<'_>,
        content: &Content,
        keep: &dyn KeepHandle,
    ) -> Result<(Handle, Readiness), Failure>;

    /// Reads what has become of the handle. `armed` tells whether it was ever committed.
    ///
    /// # Errors
    /// A read that failed, which is no evidence of anything.
    async fn inspect(&self, call: &Call<'_>, handle: &Handle, armed: bool) -> Result<Sight, Failure>;

    /// Commits the handle, once: no retry, no redirect. Everything outside a short list is unknown.
    async fn commit(&self, call: &Call<'_>, handle: &Handle, content: &Content) -> Answer;

    /// Whether a commit of this handle sends bytes of the files, and not only names what is at the network already.
    fn sends_files(&self, _handle: &Handle) -> bool {
        false
    }

    /// Whether the network can be asked to take this handle back.
    fn takes_back(&self, _handle: &Handle) -> bool {
        false
    }

    /// Whether the network keeps this handle for good although nobody uses it, unless it is taken back. The others end
    /// by themselves, and nobody ever sees them.
    fn lingers(&self, _handle: &Handle) -> bool {
        false
    }

    /// What a handle is made of that stays at the network, unseen, when the handle is taken back: each by the network's id.
    fn made_of(&self, _handle: &Handle) -> Vec<String> {
        Vec::new()
    }

    /// Whether it lists what it keeps for good and shows to nobody, and says which app made it.
    fn lists_unseen(&self) -> bool {
        false
    }

    /// The latest of what lingers on the account unseen since then, so far as the network says that this app made it.
    ///
    /// # Errors
    /// A read that failed.
    async fn unseen(&self, _call: &Call<'_>, _since: DateTime<Utc>) -> Result<Vec<Unseen>, Failure> {
        Ok(Vec::new())
    }

    /// Makes the handle dead at the network, so that what was sent for it and comes late has no effect any more. Only
    /// the network's own word counts: that a handle cannot be read afterwards proves nothing.
    ///
    /// # Errors
    /// It is not known whether it is dead.
    async fn withdraw(&self, _call: &Call<'_>, _handle: &Handle) -> Result<Withdrawal, Failure> {
        let why = "the network takes nothing back";
        Ok(Withdrawal::Cannot(Failure::new(Class::Permanent, "cannot_withdraw", why)))
    }

    /// Removes something public. Only the network's own word counts.
    async fn take_down(&self, _call: &Call<'_>, _remote_id: &str) -> Removal {
        let why = "the network lets nobody but people there remove a post";
        Removal::Refused(Failure::new(Class::Permanent, "cannot_take_down", why))
    }

    /// Whether something that was public is there. That it cannot be read counts only where its account can be.
    ///
    /// # Errors
    /// A read that failed, which is no evidence of anything.
    async fn presence(&self, _call: &Call<'_>, _remote_id: &str) -> Result<Presence, Failure> {
        Err(Failure::new(Class::Transient, "cannot_read", "the network does not show single posts"))
    }

    /// How many calls taking something down takes at most that count against the rates of the allowance.
    fn take_down_calls(&self) -> u32 {
        0
    }

    /// Fills in what is not yet known of something public: its id, its address. Never guesses.
    ///
    /// # Errors
    /// A read that failed; what is known stays as it is.
    async fn describe(
        &self,
        call: &Call<'_>,
        handle: &Handle,
        content: &Content,
        known: Public,
    ) -> Result<Public, Failure>;

    /// Looks for the post among what is public of its account, where a read of the handle brought no evidence.
    /// Only what can be no other post is found; nothing found proves nothing.
    ///
    /// # Errors
    /// A read that failed.
    async fn find(
        &self,
        _call: &Call<'_>,
        _handle: &Handle,
        _content: &Content,
    ) -> Result<Option<Public>, Failure> {
        Ok(None)
    }

    /// Whether the token opens the account; used when an account is added.
    ///
    /// # Errors
    /// What the network said.
    async fn check(&self, call: &Call<'_>) -> Result<(), Failure>;

    /// What it says of the account that a post may run into later: whether the token holds, what is left of a limit.
    ///
    /// # Errors
    /// A read that failed, which says nothing of the account.
    async fn facts(&self, _call: &Call<'_>) -> Result<Vec<Fact>, Failure> {
        Ok(Vec::new())
    }

    /// How many calls `facts` takes at most that count against the rates of the allowance; none: it asks nothing.
    fn fact_calls(&self) -> u32 {
        0
    }

    /// How its access is kept alive, where that can be done.
    fn renewing(&self) -> Option<&dyn Renewing> {
        None
    }

    /// How its accounts are connected, where that can be done through a dialog of its own.
    fn connecting(&self) -> Option<&dyn Connecting> {
        None
    }

    /// How it tells what it has counted, where it does.
    fn insights(&self) -> Option<&dyn Insights> {
        None
    }

    /// How it tells what ads came to. Of whoever does so nothing else is told.
    fn ads(&self) -> Option<&dyn AdInsights> {
        None
    }

    /// How a grant is taken back, where that can be asked for.
    fn revoking(&self) -> Option<&dyn Revoking> {
        None
    }
}

/// One call to a network.
pub struct Call<'a> {
    /// The row of the write-ahead log; `None` for a read.
    pub id: Option<Uuid>,
    /// The account's id at the network.
    pub account: &'a str,
    /// Opened for this call.
    pub token: &'a SecretString,
    /// Files, by address or by bytes.
    pub media: &'a dyn Media,
    /// What an answer lets on besides goes here.
    pub gate: &'a dyn Gate,
    /// The whole call's limit.
    pub timeout: Duration,
}

/// What is to be published, as this account gets it.
#[derive(Debug, Clone)]
pub struct Content {
    /// What kind of thing: `text`, `photo`, `video` ….
    pub surface: String,
    /// The words.
    pub caption: String,
    /// A web address to show.
    pub link: Option<String>,
    /// The files, in order.
    pub media: Vec<File>,
    /// What the author chose for this network.
    pub options: Value,
    /// No earlier than this can it have become public: the time of its handle's first commit call, or now.
    pub not_before: DateTime<Utc>,
    /// The network's ids that other publications of this account are known by: it is none of these.
    pub taken: Vec<String>,
    /// Another publication of the account that looks like it may be public, and nobody knows by what id: what is found
    /// by its looks may be that one.
    pub twin: bool,
}

/// A file in the object store.
#[derive(Debug, Clone)]
pub struct File {
    /// Its key.
    pub key: String,
    /// Its media type, found by content.
    pub content_type: String,
    /// Its size.
    pub bytes: u64,
    /// In pixels, as shown.
    pub width: u32,
}

/// Something that a network keeps and shows to nobody.
#[derive(Debug, Clone, PartialEq)]
pub struct Unseen {
    /// The network's name for it.
    pub handle: Handle,
    /// Its words, as the network has them.
    pub words: String,
    /// When it was made, by the network's clock.
    pub made_at: DateTime<Utc>,
}

/// The network's name for what was prepared.
#[derive(Debug, Clone, PartialEq)]
pub struct Handle {
    /// What it is: `draft`, `container`, `publish_id`.
    pub kind: String,
    /// The network's id.
    pub id: String,
    /// What else the network needs to go on with it.
    pub detail: Value,
}

impl Handle {
    /// The kind of a handle that holds only parts of a post. It is never committed: once the parts are ready,
    /// another prepare call puts them together.
    pub const PARTS: &'static str = "parts";

    /// Whether it holds only parts of a post.
    pub fn is_parts(&self) -> bool {
        self.kind == Self::PARTS
    }
}

/// Whether a fresh handle may be committed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It may.
    Ready,
    /// The network still works on it.
    Building,
}

/// Takes a handle as soon as the network has named it.
#[async_trait]
pub trait KeepHandle: Send + Sync {
    /// Stores the handle, still unready.
    ///
    /// # Errors
    /// The claim is gone, or the ledger is away: nothing more may be sent for this handle.
    async fn keep(&self, handle: &Handle) -> Result<(), Failure>;

    /// What an earlier prepare call left behind, unless the network has proved it dead. It may be of other
    /// content than is wanted now. Whoever goes on with it keeps it again.
    fn earlier(&self) -> Option<&Handle> {
        None
    }
}

/// Tokens. Opened in the worker, for one call.
#[async_trait]
pub trait Vault: Send + Sync {
    /// The account's access token.
    ///
    /// # Errors
    /// `Unauthorised` where there is none or it does not open; `Infrastructure` where the ledger is away.
    async fn access_token(&self, account_id: Uuid) -> Result<SecretString, JobError>;
}

/// Files in the object store.
#[async_trait]
pub trait Media: Send + Sync {
    /// An address at which the network can fetch the file for a while.
    ///
    /// # Errors
    /// The store cannot be asked.
    async fn address(&self, key: &str) -> Result<String, Failure>;

    /// The bytes from `start` up to, not including, `end`.
    ///
    /// # Errors
    /// The store is away, or the file is not what the ledger says.
    async fn read(&self, key: &str, start: u64, end: u64) -> Result<Vec<u8>, Failure>;

    /// The size of a file; `None` where there is none of that key.
    ///
    /// # Errors
    /// The store is away.
    async fn size(&self, key: &str) -> Result<Option<u64>, Failure>;

    /// Stores a file under a fresh key.
    ///
    /// # Errors
    /// The store is away.
    async fn store(&self, key: &str, content_type: &str, path: &std::path::Path) -> Result<(), Failure>;

    /// What a network gets in place of a file that it does not take: made now, or found made. The same file always
    /// gives the same bytes.
    ///
    /// # Errors
    /// The store is away; or, `Class::Permanent`, nothing of the kind can be made of it.
    async fn rendition(&self, file: &File, _to: &Rendition) -> Result<File, Failure> {
        let why = format!("nothing can be made of {} here", file.content_type);
        Err(Failure::new(Class::Permanent, "rendition", why))
    }

    /// Pictures and the sound of a film.
    ///
    /// # Errors
    /// The store is away; or, `Class::Permanent`, nothing of the kind can be made of it.
    async fn look_through(&self, file: &File, _cuts: &Cuts) -> Result<Film, Failure> {
        let why = format!("nobody here looks through {}", file.content_type);
        Err(Failure::new(Class::Permanent, "film", why))
    }

    /// Removes a file and what was made of it; one that is not there counts as removed.
    ///
    /// # Errors
    /// The store is away.
    async fn remove(&self, key: &str) -> Result<(), Failure>;

    /// Stores a few bytes under a key, in the place of what may be there.
    ///
    /// # Errors
    /// The store is away.
    async fn write(&self, _key: &str, _content_type: &str, _bytes: Vec<u8>) -> Result<(), Failure> {
        Err(Failure::new(Class::Permanent, "media_store", "nothing is written here"))
    }

    /// Removes a file with what was made of it, every version of all that and every part of it that was never joined.
    /// Tells how many of these there were; a file that is not there is none.
    ///
    /// # Errors
    /// The store is away.
    async fn erase(&self, key: &str) -> Result<u64, Failure> {
        let there = self.traces(key).await?;
        self.remove(key).await?;
        Ok(there)
    }

    /// How many objects, versions and parts there are of a file and of what was made of it.
    ///
    /// # Errors
    /// The store is away.
    async fn traces(&self, key: &str) -> Result<u64, Failure> {
        Ok(u64::from(self.size(key).await?.is_some()))
    }

    /// Begins a file that is stored part by part, and tells what the store calls the parts.
    ///
    /// # Errors
    /// The store is away.
    async fn open(&self, _key: &str, _content_type: &str) -> Result<String, Failure> {
        Err(Failure::new(Class::Permanent, "media_store", "nothing is written here"))
    }

    /// Stores one part of it, in the place of what may be there; counted from 1. Each but the last has 5 MiB at least.
    ///
    /// # Errors
    /// The store is away, or knows no such parts.
    async fn add(&self, _key: &str, _parts: &str, _number: i32, _bytes: Vec<u8>) -> Result<(), Failure> {
        Err(Failure::new(Class::Permanent, "media_store", "nothing is written here"))
    }

    /// Makes one file of the parts if together they are so many bytes, and says how many have come. `None`: there are no
    /// such parts, or no more.
    ///
    /// # Errors
    /// The store is away.
    async fn close(&self, _key: &str, _parts: &str, _bytes: u64) -> Result<Option<u64>, Failure> {
        Err(Failure::new(Class::Permanent, "media_store", "nothing is written here"))
    }

    /// Gives up the parts of a file that were never joined; those that are not there count as given up.
    ///
    /// # Errors
    /// The store is away.
    async fn abandon(&self, _key: &str, _parts: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// Where networks pull files from that fetch them by themselves; only a worker's files have one.
    fn origin(&self) -> Option<&dyn Origin> {
        None
    }
}

/// Our own media origin: the fence for a network whose commit is that it fetches files by itself.
///
/// Each commit call has addresses of its own. They serve once its intent is durable, every fetch is written down
/// before its first byte leaves, and after they are closed they serve no more. So files that nobody had fetched when
/// their addresses were closed can never become public, however late a request arrives.
#[async_trait]
pub trait Origin: std::fmt::Debug + Send + Sync {
    /// The address of the file at this position, counted from 0, for one commit call.
    fn address(&self, call: Uuid, position: usize, content_type: &str) -> String;

    /// Keeps what the network calls a commit that it took. Evidence: not fenced, idempotent, and without effect once
    /// the handle has been replaced.
    ///
    /// # Errors
    /// The ledger is away.
    async fn named(&self, call: Uuid, name: &str) -> Result<(), Failure>;

    /// Closes the addresses of this handle's commit, and tells whether any had been fetched before.
    ///
    /// # Errors
    /// The ledger is away.
    async fn close(&self, handle: &str, when: Close) -> Result<Pulled, Failure>;
}

/// When the addresses of a commit are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// At once: the network has answered no.
    Now,
    /// Not before everything that was sent has had its time to arrive.
    Settled,
}

/// What the origin can vouch for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// The addresses still serve.
    Serving,
    /// They are closed, and nothing was ever fetched.
    Never,
    /// They are closed, and something was fetched before.
    Fetched,
}

/// A publication as the holder of its claim sees it.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Its id.
    pub id: Uuid,
    /// The account it goes to.
    pub account: Account,
    /// Where it stands.
    pub standing: Standing,
    /// The handle there is.
    pub handle: Option<Handle>,
    /// Whether that handle was ever armed.
    pub handle_armed: bool,
    /// When that handle was last sent to be told a definite no; what it says of itself is not read since, and it is not
    /// dead.
    pub refused_at: Option<DateTime<Utc>>,
    /// When the latest call for it began.
    pub last_call_at: Option<DateTime<Utc>>,
    /// When a handle that is not dead was last committed.
    pub sent_at: Option<DateTime<Utc>>,
    /// The commit call that has not been judged, or was taken.
    pub open_commit: Option<Uuid>,
    /// What would be sent.
    pub content: Content,
    /// The generation of the account's tokens.
    pub generation: i64,
    /// The ledger's clock at the moment of this look.
    pub now: DateTime<Utc>,
}

/// The account of a publication.
#[derive(Debug, Clone)]
pub struct Account {
    /// Our id.
    pub id: Uuid,
    /// `facebook_page` and the like.
    pub platform: String,
    /// The network's id.
    pub external_id: String,
}

/// An intent to commit that is durable.
#[derive(Debug, Clone, Copy)]
pub struct Armed {
    /// The commit call's row.
    pub call: Uuid,
    /// When it was asked for, by the monotonic clock: no later than the quarantine is counted from.
    pub at: Duration,
}

/// Why a publication was not armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotArmed {
    /// Something the machine decides by has changed; look again.
    Changed,
    /// Another publication of the account is armed.
    AccountBusy,
    /// The account is paused, frozen, or to be reconnected.
    AccountInactive,
    /// The access token ends too soon.
    TokenShort,
    /// This worker's lease ends too soon.
    LeaseShort,
    /// An earlier commit call is open, in doubt or effective.
    CommitOpen,
}

/// The write-ahead log, bound to one claim. Authority is fenced by the claim; evidence is not.
///
/// Every method answers `Fenced` once the claim is gone and `Infrastructure` where the ledger is away.
#[async_trait]
pub trait Effects: Send + Sync {
    /// The publication as it is now.
    async fn look(&self) -> Result<Publication, JobError>;
    /// A move that writes the state alone: `Reuse`, `Ready`, `Unprepare` (T13), `Renew`.
    async fn step(&self, step: Move, handle: Option<HandleState>) -> Result<(), JobError>;
    /// T4: logs a prepare call and returns its id.
    async fn prepare(&self, limit: Duration) -> Result<Uuid, JobError>;
    /// Stores a handle that the network has named and that is not ready, while its prepare call goes on.
    async fn keep(&self, handle: &Handle) -> Result<(), JobError>;
    /// T5: the prepare call ended well. A handle that comes too late is filed as an orphan.
    async fn prepared(&self, call: Uuid, handle: &Handle, ready: Readiness) -> Result<(), JobError>;
    /// T6: the prepare call did not.
    async fn unprepared(&self, call: Uuid, failure: &Failure) -> Result<(), JobError>;
    /// T7: makes the intent to commit durable, at once and alone.
    async fn arm(&self) -> Result<Result<Armed, NotArmed>, JobError>;
    /// T8': armed, and no byte was sent.
    async fn unsent(&self, call: Uuid, failure: &Failure) -> Result<(), JobError>;
    /// The network has said that this commit took effect. Not fenced, idempotent, told until it is heard: from then on
    /// no read can prove that it did not.
    async fn heard(&self, call: Uuid, public: &Public) -> Result<(), JobError>;
    /// T9: evidence that it is public. Not fenced, idempotent.
    async fn seen(&self, call: Option<Uuid>, public: &Public) -> Result<(), JobError>;
    /// T9': the commit was taken and will be carried out.
    async fn accepted(&self, call: Uuid) -> Result<(), JobError>;
    /// T10: a definite no.
    async fn refused(&self, call: Uuid, failure: &Failure, handle_dead: bool) -> Result<(), JobError>;
    /// T10': the network's terminal status says no for a handle that was taken or was being built.
    async fn rejected(&self, failure: &Failure) -> Result<(), JobError>;
    /// Logs a call that takes the handle back, and returns its id.
    async fn withdraw(&self, limit: Duration) -> Result<Uuid, JobError>;
    /// The handle is dead: by that call, or as a read has shown.
    async fn withdrawn(&self, call: Option<Uuid>) -> Result<(), JobError>;
    /// That call did not do it, or nobody knows.
    async fn not_withdrawn(&self, call: Uuid, failure: &Failure, certainly: bool) -> Result<(), JobError>;
}
