//! The ports of whoever deletes what is known of a person: what a network answers when it is asked to take a grant back,
//! and what the ledger keeps of the request.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use crate::{
    contract::{Failure, JobError},
    desk::{Account, Call, Media},
    erasure::{Standing, Turn},
    unseen::{Draft, Fate},
};

/// What a network answers to the request that a grant be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// It is taken back.
    Revoked,
    /// It was no good any more before.
    Already(Failure),
    /// It was not, or nobody knows: it may be asked again, as often as one likes.
    Not(Failure),
}

/// A network that can be asked to take a grant back.
#[async_trait]
pub trait Revoking: Send + Sync {
    /// How many calls that takes which count against the rates of the allowance.
    fn calls(&self) -> u32 {
        1
    }

    /// Whether it takes back the grant of a person whom it knows by the app-scoped id where no token of theirs is left.
    fn knows_people(&self) -> bool {
        false
    }

    /// Whether that refusal says that the grant itself is gone, and not only the token that asked.
    fn proves(&self, _refusal: &Failure) -> bool {
        false
    }

    /// Asks for the grant to be taken back, of the token of the call; an empty one is none. `subject` is the person who
    /// gave it, by the network's app-scoped id, where that is known.
    async fn revoke(&self, call: &Call<'_>, subject: Option<&str>) -> Revocation;
}

/// A request as the holder of its job sees it.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// The request.
    pub id: Uuid,
    /// Where it stands.
    pub standing: Standing,
    /// What a restore needs of it is kept outside of the ledger, as it is now.
    pub kept: bool,
    /// The ledger's clock at the moment of this look.
    pub now: DateTime<Utc>,
}

/// Something small that is kept in the object store, for a ledger that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keepsake {
    /// Where.
    pub key: String,
    /// As what.
    pub content_type: &'static str,
    /// What it says.
    pub bytes: Vec<u8>,
}

impl Keepsake {
    /// Keeps it, in the place of what was there.
    ///
    /// # Errors
    /// The store is away.
    pub async fn keep(self, store: &dyn Media) -> Result<(), Failure> {
        store.write(&self.key, self.content_type, self.bytes).await
    }
}

/// A grant that is to be taken back.
#[derive(Debug)]
pub struct Grant {
    /// Whose.
    pub account: Account,
    /// Who gave it, by the network's app-scoped id.
    pub subject: Option<String>,
    /// What it is taken back by, one after the other until one is taken: one may have ended while the other has not. None:
    /// there is no token that opens.
    pub tokens: Vec<SecretString>,
    /// There is one that does not open; whether it may yet is told by the class.
    pub unopened: Option<Failure>,
    /// The person has connected the network anew since the request came, and the network knows one grant of a person:
    /// taking the old one back would take the new one.
    pub superseded: bool,
    /// How often it was asked for in vain.
    pub attempts: u32,
}

/// What became of asking for a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// The network's word, on each call; of what could not be asked for, on none.
    Network(Vec<(Uuid, Revocation)>),
    /// Nothing was to be asked: no token, or a newer grant that must stay.
    Nothing,
    /// It stays, for the person has given a new one since.
    Superseded,
    /// The network could not even be asked.
    Unasked(Failure),
}

impl Revocation {
    /// What was said, where it was not a plain yes.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Revoked => None,
            Self::Already(failure) | Self::Not(failure) => Some(failure),
        }
    }

    /// What several calls come to: one yes is one, and only where no token was any good was it taken back before.
    pub fn of_all(said: &[(Uuid, Self)]) -> Option<&Self> {
        let mut all = said.iter().map(|(_, said)| said);
        let not = |said: &&Self| matches!(said, Self::Not(_));
        all.clone()
            .find(|said| **said == Self::Revoked)
            .or_else(|| all.clone().find(not))
            .or_else(|| all.next())
    }
}

/// How a batch of purging ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purged {
    /// There is more to do.
    More,
    /// Files are to be erased from the object store now.
    Files,
    /// Every store is through.
    All,
}

/// A file that is to be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// Its key.
    pub key: String,
    /// What the store calls parts of it that were never joined.
    pub parts: Option<String>,
}

/// What the ledger keeps of requests for deletion, bound to one claim: every write is fenced by it, and recorded before
/// anything is destroyed.
///
/// Every method answers `Fenced` once the claim is gone and `Infrastructure` where the ledger is away.
#[async_trait]
pub trait Forgetting: Send + Sync {
    /// The request as it is now; none: there is no such request.
    async fn look(&self, request: Uuid) -> Result<Option<Deletion>, JobError>;
    /// On to the next stage.
    async fn turn(&self, request: Uuid, turn: Turn) -> Result<(), JobError>;
    /// What is to be kept outside of the ledger, for one that is restored from a backup.
    async fn keepsakes(&self, request: Uuid) -> Result<Vec<Keepsake>, JobError>;
    /// All of that is kept. False: the person was told meanwhile, and what was kept of the address has to go again.
    async fn kept(&self, request: Uuid) -> Result<bool, JobError>;
    /// Where the address of whom to tell is kept outside of the ledger, sealed, until they are told.
    fn recipient_at(&self, request: Uuid) -> String;
    /// Keys that verify receipts and are not kept outside of the ledger yet, each with its id. There is one to sign with
    /// after this.
    async fn keys_to_keep(&self) -> Result<Vec<(String, Keepsake)>, JobError>;
    /// That key is kept.
    async fn key_kept(&self, key: &str) -> Result<(), JobError>;
    /// What is due to be taken back of what networks keep unseen, what was filed of it since the last look among it.
    async fn drafts(&self, request: Uuid) -> Result<Vec<Draft>, JobError>;
    /// Logs the call that takes it back, before it is sent.
    async fn log_draft(&self, request: Uuid, draft: &Draft, limit: Duration) -> Result<Uuid, JobError>;
    /// Keeps what became of it, by that call or without one.
    async fn draft_done(
        &self,
        request: Uuid,
        draft: &Draft,
        call: Option<Uuid>,
        fate: &Fate,
    ) -> Result<(), JobError>;
    /// The grants that are due to be asked about.
    async fn grants(&self, request: Uuid) -> Result<Vec<Grant>, JobError>;
    /// Logs a call before it is sent.
    async fn ask(&self, request: Uuid, account: Uuid, limit: Duration) -> Result<Uuid, JobError>;
    /// Keeps what came of it.
    async fn answered(&self, request: Uuid, grant: &Grant, answer: &Answered) -> Result<(), JobError>;
    /// Destroys the tokens.
    async fn shred(&self, request: Uuid) -> Result<(), JobError>;
    /// Empties the next part of the next store.
    async fn purge(&self, request: Uuid) -> Result<Purged, JobError>;
    /// Some of the files that are to be erased.
    async fn doomed(&self, request: Uuid) -> Result<Vec<Doomed>, JobError>;
    /// These files are erased, with so many objects, versions and parts.
    async fn erased(&self, request: Uuid, keys: &[String], traces: u64) -> Result<(), JobError>;
    /// The store does not erase this file: it is tried again after all others.
    async fn not_erased(&self, request: Uuid, key: &str) -> Result<(), JobError>;
    /// Some of the files that were erased, after this key: to look whether they are.
    async fn gone(&self, request: Uuid, after: &str) -> Result<Vec<String>, JobError>;
    /// Looks at every table again, by other ways than it was emptied by, and tells how many rows are left.
    async fn left(&self, request: Uuid) -> Result<u64, JobError>;
    /// Nothing is left: makes and signs the receipt, and goes on.
    async fn certify(&self, request: Uuid) -> Result<(), JobError>;
    /// Writes the letter that tells the person, once.
    async fn tell(&self, request: Uuid) -> Result<(), JobError>;
    /// Forgets whom it was about.
    async fn forget(&self, request: Uuid) -> Result<(), JobError>;
}
