//! The ports of whoever connects accounts and disconnects them: what a network's dialog leads to, what stands in the way,
//! and what the ledger keeps of it.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    contract::{Failure, JobError},
    desk::{Account, Call},
    forgetting::Revocation,
    preflight::Who,
    renewals::Begun,
};

/// A network's dialog, in which people grant access to their accounts.
#[derive(Debug, Clone)]
pub struct Dialog {
    /// The platform that it is asked for by.
    pub platform: &'static str,
    /// What else can be connected by way of it.
    pub also: &'static [&'static str],
    /// Where it is.
    pub address: String,
    /// The app's public name there, and what that is called.
    pub client: (&'static str, String),
    /// What is asked for.
    pub scopes: &'static [&'static str],
}

/// The access that a person granted.
#[derive(Debug)]
pub struct Granted {
    /// What calls carry.
    pub access: SecretString,
    /// What a new one is had for, where the network has such.
    pub refresh: Option<SecretString>,
    /// When it was asked for: its life is counted from here.
    pub issued_at: DateTime<Utc>,
    /// When it ends, where the network says so.
    pub access_ends: Option<DateTime<Utc>>,
    /// When what renews it ends, where the network says so.
    pub refresh_ends: Option<DateTime<Utc>>,
    /// What was granted, where the network says it at once.
    pub scopes: Option<Vec<String>>,
}

/// A grant as a network gave it, before anybody has counted its life from anywhere.
#[derive(Debug)]
pub struct Fresh {
    /// What calls carry.
    pub access: SecretString,
    /// What a new one is had for.
    pub refresh: Option<SecretString>,
    /// How long the access lives.
    pub access_life: Option<Duration>,
    /// How long what renews it lives.
    pub refresh_life: Option<Duration>,
    /// What was granted.
    pub scopes: Option<Vec<String>>,
}

/// What a network answers to a code.
#[derive(Debug)]
pub enum Exchange {
    /// Access.
    Granted(Fresh),
    /// No: it was used before, is of another app or another address, or too old.
    Refused(Failure),
    /// It may have been used up. Whoever sends it again learns that.
    Unknown(Failure),
}

/// Something that is missing before an account can be connected, and what else is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Missing {
    /// The person declined this scope, or the app may not ask for it.
    Scope {
        /// Its name at the network.
        scope: String,
    },
    /// The scope was granted, but not for this account.
    NotChosen {
        /// Its name at the network.
        scope: String,
    },
    /// The person has no task on the Page that lets them publish there.
    Task,
    /// The network gives no token for it.
    NoToken,
    /// Another workspace has it.
    Elsewhere,
    /// The workspace has as many as it may have.
    Limit,
}

impl Missing {
    /// Who can mend it.
    pub const fn who(&self) -> Who {
        match self {
            Self::Scope { .. } | Self::NotChosen { .. } | Self::Task | Self::NoToken => Who::Owner,
            // who disconnects some of the workspace's accounts makes room
            Self::Elsewhere | Self::Limit => Who::Staff,
        }
    }
}

/// An account that somebody may connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// `facebook_page` and the like.
    pub platform: String,
    /// The network's id.
    pub external_id: String,
    /// What people call it.
    pub name: String,
    /// The Page that it stands behind.
    #[serde(default)]
    pub page: Option<String>,
    /// A Page behind which there is no Instagram account for business.
    #[serde(default)]
    pub alone: bool,
    /// This workspace has it already: connecting it gives it new access.
    #[serde(default)]
    pub known: bool,
    /// What is missing; nothing: it can be connected.
    #[serde(default)]
    pub missing: Vec<Missing>,
}

impl Offer {
    /// What it is chosen by.
    pub fn key(&self) -> String {
        format!("{}/{}", self.platform, self.external_id)
    }
}

/// An offer with the token that is its own; none: it is reached by what the person granted.
#[derive(Debug)]
pub struct Offered {
    /// What it is.
    pub offer: Offer,
    /// Its own token.
    pub own: Option<SecretString>,
}

/// What a grant opens.
#[derive(Debug)]
pub struct Offers {
    /// The person at the network, by the app-scoped id.
    pub subject_id: Option<String>,
    /// When the network stops giving data.
    pub data_access_ends: Option<DateTime<Utc>>,
    /// The accounts.
    pub offered: Vec<Offered>,
}

/// A network that accounts can be connected of, through a dialog of its own.
#[async_trait]
pub trait Connecting: Send + Sync {
    /// Exchanges what the dialog gave, which is the token of the call. The address has to be the dialog's to the byte.
    async fn exchange(&self, call: &Call<'_>, redirect_uri: &str) -> Exchange;

    /// Who granted the access that is the token of the call; none: the network does not say.
    ///
    /// # Errors
    /// As [`Self::offers`].
    async fn person(&self, call: &Call<'_>) -> Result<Option<String>, Failure>;

    /// What the grant, whose access is the token of the call, opens.
    ///
    /// # Errors
    /// `Class::Auth`: it opens nothing any more. `Class::Permanent`: it is of another app. Anything else says nothing of it.
    async fn offers(&self, call: &Call<'_>, granted: &Granted) -> Result<Offers, Failure>;
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The dialog is open.
    Asked,
    /// The dialog has given a code.
    Coded,
    /// The code was exchanged.
    Granted,
    /// Somebody is to choose.
    Offered,
    /// Somebody has chosen.
    Chosen,
    /// The chosen accounts are connected.
    Done,
    /// It came to nothing.
    Refused,
}

impl Stage {
    /// Every stage.
    pub const ALL: &'static [Self] =
        &[Self::Asked, Self::Coded, Self::Granted, Self::Offered, Self::Chosen, Self::Done, Self::Refused];

    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Coded => "coded",
            Self::Granted => "granted",
            Self::Offered => "offered",
            Self::Chosen => "chosen",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }

    /// The stage of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|stage| stage.word() == word)
    }
}

/// A connection as the holder of its job sees it, without its secrets.
#[derive(Debug, Clone)]
pub struct Standing {
    /// It.
    pub id: Uuid,
    /// Whose accounts they will be.
    pub workspace_id: Uuid,
    /// The network, by a platform of it.
    pub platform: String,
    /// How far it is.
    pub stage: Stage,
    /// To the byte as the dialog was given it.
    pub redirect_uri: String,
}

/// What became of the wish to connect what was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is connected.
    Yes,
    /// Access of the same person is being taken back at this moment: it is asked again in a while.
    NotNow,
}

/// What the ledger keeps of a connection, bound to one claim.
///
/// What begins or moves something answers `Fenced` once the claim is gone or the connection stands elsewhere; what a network
/// has said is kept whoever brings it. Where the ledger is away each answers `Infrastructure`.
#[async_trait]
pub trait Connections: Send + Sync {
    /// The connection as it is; none: it is over, or another job's.
    async fn look(&self, connection: Uuid) -> Result<Option<Standing>, JobError>;
    /// Opens what the dialog gave.
    async fn code(&self, connection: Uuid) -> Result<SecretString, JobError>;
    /// Logs an exchange before it is sent.
    async fn begin(&self, connection: Uuid, limit: Duration) -> Result<Begun, JobError>;
    /// Keeps the grant, sealed; the code is gone in the same step.
    async fn granted(&self, it: &Standing, begun: Begun, fresh: Fresh) -> Result<(), JobError>;
    /// The exchange brought nothing.
    async fn not_granted(&self, call: Uuid, failure: &Failure, certainly: bool) -> Result<(), JobError>;
    /// Opens the grant.
    async fn grant(&self, connection: Uuid) -> Result<Granted, JobError>;
    /// Keeps what there is to choose from, and adds what stands in the way on our side.
    async fn offer(&self, it: &Standing, offers: Offers) -> Result<(), JobError>;
    /// Connects what was chosen and can be: all of it, or nothing. Everything secret of the connection is gone with it.
    async fn take(&self, it: &Standing, granted: &Granted, offers: Offers) -> Result<Taken, JobError>;
    /// It comes to nothing, and everything secret of it is gone.
    async fn refuse(&self, connection: Uuid, failure: &Failure) -> Result<(), JobError>;
}

/// Whose access is to be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// That of an account that was disconnected.
    Account(Uuid),
    /// What a dialog gave to a connection that ended before an account rested on it.
    Connection(Uuid),
}

/// An account that is to be disconnected, or a connection that nobody went on with, as the holder of its job sees it.
#[derive(Debug, Clone)]
pub struct Parting {
    /// Which of them.
    pub of: Ended,
    /// The account; of a connection its id and its network, by a platform of it.
    pub account: Account,
    /// The person who granted its access, where that is known.
    pub subject_id: Option<String>,
    /// The network has taken the access back itself.
    pub told: bool,
    /// What publishes may be on its way to the network with this access: until that is over nothing is taken back (I9).
    pub wire: bool,
    /// What was sent is not known to be public yet, or the access is being renewed.
    pub busy: bool,
    /// When it was wished.
    pub asked_at: DateTime<Utc>,
    /// The ledger's clock at the moment of this look.
    pub now: DateTime<Utc>,
}

/// How an account was parted from its access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// The network has taken it back.
    Revoked,
    /// Other accounts rest on the same grant.
    Kept,
    /// The network said itself that it is gone.
    Told,
    /// The network could not be brought to say so in time.
    Unproved,
}

impl Farewell {
    /// Every way.
    pub const ALL: &'static [Self] = &[Self::Revoked, Self::Kept, Self::Told, Self::Unproved];

    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Kept => "kept",
            Self::Told => "told",
            Self::Unproved => "unproved",
        }
    }

    /// The way of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|way| way.word() == word)
    }
}

/// Whether access may be taken back at the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logged {
    /// This call was written down.
    Call(Uuid),
    /// Another account that is connected rests on the same grant.
    Shared,
    /// The same person's accounts are being connected: what will rest on the grant shows when that is over.
    Coming,
    /// What publishes may be on its way to the network with this grant.
    Wire,
    /// The network has taken it back since it was granted.
    Gone,
}

/// What the ledger keeps of accounts that are disconnected and of dialogs that were left, bound to one claim.
///
/// What begins something answers `Fenced` once the claim is gone; what a network has said is kept whoever brings it, while
/// the account was not connected anew. Where the ledger is away each answers `Infrastructure`.
#[async_trait]
pub trait Partings: Send + Sync {
    /// It as it is; none: there is nothing left to do.
    async fn look(&self, of: Ended) -> Result<Option<Parting>, JobError>;
    /// Keeps who granted what a dialog gave.
    async fn learn(&self, it: &Parting, subject: &str) -> Result<(), JobError>;
    /// Opens what its access is taken back by, one after the other until one is taken.
    async fn tokens(&self, it: &Parting) -> Result<Vec<SecretString>, JobError>;
    /// Logs a call before it is sent, unless others rest on the same grant, or something on the wire needs it.
    async fn log(&self, it: &Parting, limit: Duration) -> Result<Logged, JobError>;
    /// The access is gone here, in the step that records how. Evidence where the network has taken it back: not fenced,
    /// told until it is heard.
    async fn part(&self, it: &Parting, call: Option<Uuid>, how: Farewell) -> Result<(), JobError>;
    /// That call did not do it: what it was asked by is no good, or nobody knows.
    async fn not_revoked(&self, call: Uuid, said: &Revocation) -> Result<(), JobError>;
}
