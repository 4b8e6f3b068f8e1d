//! Taking down what is public: what a network answers to that, what a read shows, and the port to the ledger.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    contract::{Failure, JobError},
    desk::Account,
};

/// What a network answers to the request that something public be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It says that it has removed it.
    Gone,
    /// It knows no such thing: removed before, or not visible to this account.
    Missing(Failure),
    /// It will not.
    Refused(Failure),
    /// Nothing was done; it may be asked again.
    NotNow(Failure),
    /// It may have been removed.
    Unknown(Failure),
}

/// What a read shows of something that was public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    There,
    /// It is not, while its account can be read with the same token. A read that merely failed is none of these.
    Absent,
}

/// A wish to take a publication down, as the holder of its claim sees it.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Whether it is still to be done, and by this job.
    pub open: bool,
    /// The account.
    pub account: Account,
    /// Whether that may be used.
    pub account_active: bool,
    /// The account's network wants to be left alone until then.
    pub resting_until: Option<DateTime<Utc>>,
    /// The network's id of what is public.
    pub remote_id: Option<String>,
    /// A request to remove it was sent whose answer is not known.
    pub in_doubt: bool,
}

/// The write-ahead log of what is taken down, bound to one claim.
///
/// Every method answers `Infrastructure` where the ledger is away.
#[async_trait]
pub trait TakeDowns: Send + Sync {
    /// The wish as it is now.
    async fn look(&self, publication: Uuid) -> Result<Wish, JobError>;
    /// Logs a request to remove it and returns its id. `Fenced` once the claim is gone, the wish is over or the account
    /// may not be used any more.
    async fn log(&self, publication: Uuid, limit: Duration) -> Result<Uuid, JobError>;
    /// It is gone: by that request, or as a read has shown after one whose answer was lost. Evidence: not fenced,
    /// idempotent.
    async fn gone(&self, publication: Uuid, call: Option<Uuid>) -> Result<(), JobError>;
    /// That request did not do it, certainly or as far as anybody knows.
    async fn not_gone(&self, call: Uuid, failure: &Failure, certainly: bool) -> Result<(), JobError>;
}
