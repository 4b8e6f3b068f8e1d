//! The ports of whoever keeps access alive: what a network answers to a refresh, and what the ledger keeps of it.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use crate::{
    contract::{Class, Failure, JobError},
    desk::{Account, Call},
    tokens::{Said, Standing, Turn},
};

/// A new pair of tokens, as a network gave it.
#[derive(Debug)]
pub struct Pair {
    /// What calls carry from now on; none: what they carry stays good.
    pub access: Option<SecretString>,
    /// What the next pair is had for; none: the one there is stays good.
    pub refresh: Option<SecretString>,
    /// How long the access token lives; none: it has no end.
    pub access_life: Option<Duration>,
    /// How long the refresh token lives, where the network says so.
    pub refresh_life: Option<Duration>,
    /// Scopes that publishing needs and the grant lacks, where the network says what it holds.
    pub missing: Option<Vec<String>>,
}

/// What a network answers to a refresh.
#[derive(Debug)]
pub enum Renewal {
    /// A new pair.
    Renewed(Pair),
    /// What it was asked with is dead.
    Dead(Failure),
    /// It certainly had no effect.
    Refused(Failure),
    /// It may have taken effect.
    Unknown(Failure),
}

impl Renewal {
    /// What the machine goes by.
    pub const fn said(&self) -> Said {
        match self {
            Self::Renewed(_) => Said::Yes,
            Self::Dead(_) => Said::Dead,
            Self::Refused(_) => Said::No,
            Self::Unknown(_) => Said::Unknown,
        }
    }
}

/// What is left of an account's access, as its network says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// When the access token ends; none: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When the network stops giving data although the token goes on.
    pub data_access_expires_at: Option<DateTime<Utc>>,
    /// Scopes that publishing needs and the grant lacks.
    pub missing: Vec<String>,
}

/// What mends access that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    /// A refresh.
    Refresh,
    /// Its owner: the account rests, and its owner is told.
    Owner,
    /// Nothing: the owner has taken it back. Its tokens are removed.
    Disconnect,
}

impl Mend {
    /// What mends it where only our own words are known.
    pub fn of(failure: &Failure) -> Self {
        match failure.code.as_str() {
            "token_ends" => Self::Refresh,
            _ => Self::Owner,
        }
    }
}

/// A network whose access can be kept alive.
#[async_trait]
pub trait Renewing: Send + Sync {
    /// How many calls a refresh takes that count against the rates of the allowance.
    fn calls(&self) -> u32 {
        0
    }

    /// Asks for a new pair, once. The token of the call is the refresh token.
    async fn renew(&self, call: &Call<'_>) -> Renewal;

    /// Asks what is left of the access; none: the network does not tell.
    ///
    /// # Errors
    /// `Class::Auth`: the access is broken. Anything else says nothing of it.
    async fn examine(&self, _call: &Call<'_>) -> Result<Option<Grant>, Failure> {
        Ok(None)
    }

    /// Whether the access may go on although what renews it is dead.
    fn outlives(&self) -> bool {
        false
    }

    /// What mends access that was refused with this.
    fn mend(&self, failure: &Failure) -> Mend {
        Mend::of(failure)
    }
}

/// An account's access as the holder of its job sees it, without its secrets.
#[derive(Debug, Clone)]
pub struct Access {
    /// The account.
    pub account: Account,
    /// Whose it is.
    pub workspace_id: Uuid,
    /// The generation of its tokens.
    pub generation: i64,
    /// When the access token ends, where the network names an end.
    pub ends_at: Option<DateTime<Utc>>,
    /// Where it stands.
    pub standing: Standing,
    /// The ledger's clock at the moment of this look.
    pub now: DateTime<Utc>,
}

/// A call that is logged and not sent yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Its id.
    pub call: Uuid,
    /// When it was logged: the life of what it brings is counted from here.
    pub at: DateTime<Utc>,
}

/// What became of the wish for access that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It was renewed meanwhile: it is worth another try.
    Changed,
    /// It will be renewed.
    UnderWay,
    /// There is nothing to renew it with, or what was refused is as new as can be.
    Vain,
}

/// What the ledger keeps of an account's access, bound to one claim. Authority is fenced by the claim; a new pair is
/// evidence and is not.
///
/// Every method answers `Fenced` once the claim is gone and `Infrastructure` where the ledger is away.
#[async_trait]
pub trait Renewals: Send + Sync {
    /// The access as it is now; none: there is no such account.
    async fn look(&self, account: Uuid) -> Result<Option<Access>, JobError>;
    /// Opens the refresh token of the generation that was seen.
    async fn refresh_token(&self, it: &Access) -> Result<SecretString, JobError>;
    /// Logs a call before it is sent; none: the account stands elsewhere by now, or the worker's lease ends before the
    /// call would.
    async fn begin(&self, it: &Access, turn: Turn, limit: Duration) -> Result<Option<Begun>, JobError>;
    /// The open call is in doubt: one's own, with what went wrong, or that of somebody who is gone.
    async fn doubt(&self, it: &Access, own: Option<(Uuid, &Failure)>) -> Result<(), JobError>;
    /// Keeps the new pair, sealed, under the next generation. False: somebody else's, or a person's, came first.
    async fn save(&self, it: &Access, begun: Begun, pair: Pair) -> Result<bool, JobError>;
    /// The call certainly had no effect.
    async fn spare(&self, it: &Access, call: Uuid, failure: &Failure) -> Result<(), JobError>;
    /// The refresh token is dead: the owner has to connect the account again. False: the generation has grown, so
    /// somebody has won.
    async fn give_up(&self, it: &Access, call: Uuid, failure: &Failure) -> Result<bool, JobError>;
    /// The refresh token is dead, and the access may live on without it: it is renewed no more. Where somebody has won,
    /// nothing happens.
    async fn leave_bare(&self, it: &Access, call: Uuid, failure: &Failure) -> Result<(), JobError>;
    /// Keeps what the network said of the access, and when it is looked after next. The account goes back to work
    /// where its owner had been told to mend it.
    async fn examined(&self, it: &Access, grant: Option<&Grant>) -> Result<(), JobError>;
    /// The access of the generation that was seen is refused: the account rests, its owner is told, and with `purge`
    /// its tokens are removed. Nothing happens where it was renewed or connected anew since.
    async fn refused(&self, account: Uuid, seen: i64, failure: &Failure, purge: bool)
    -> Result<(), JobError>;
    /// Nothing but people mend what failed: the account's next turn is put off by twice the time of the last.
    async fn put_off(&self, account: Uuid) -> Result<(), JobError>;
    /// Wishes for access that holds, for a publication that was refused with that of the generation that was seen, or
    /// would be.
    async fn ask(&self, account: Uuid, seen: i64) -> Result<Asked, JobError>;
}

/// Whether a failure says that access is broken.
pub fn is_of_access(failure: &Failure) -> bool {
    match failure.class {
        Class::Auth => true,
        Class::Permission | Class::Transient | Class::Rate | Class::Permanent | Class::Unknown => false,
    }
}
