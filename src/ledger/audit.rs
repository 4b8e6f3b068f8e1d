//! Who did what to which object, when and from where: rows that are only ever added.
//!
//! Whoever does something writes its row in the same transaction ([`record`]), and waits for nobody. A worker chains the
//! rows afterwards (`chain`).

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Ledger, LedgerError};

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// Somebody at the console.
    Person(Uuid),
    /// An API key, or a pass that stands for it.
    Key(Uuid),
    /// Whoever has the operator's shell.
    Operator,
    /// A worker, of itself.
    System,
    /// Somebody at the door who is not known.
    Nobody,
}

impl Actor {
    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Person(_) => "person",
            Self::Key(_) => "key",
            Self::Operator => "operator",
            Self::System => "system",
            Self::Nobody => "nobody",
        }
    }

    /// Which person or key.
    pub const fn id(self) -> Option<Uuid> {
        match self {
            Self::Person(id) | Self::Key(id) => Some(id),
            Self::Operator | Self::System | Self::Nobody => None,
        }
    }
}

/// Who acts, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// Who.
    pub actor: Actor,
    /// Where the request came from, as the door saw it.
    pub address: Option<IpAddr>,
}

impl Who {
    /// From nowhere that has an address.
    pub const fn of(actor: Actor) -> Self {
        Self { actor, address: None }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)+) => {
        /// What is written down. A new one is a line here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action { $($(#[$doc])* $name,)+ }

        impl Action {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The ledger's word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

actions! {
    /// Somebody signed in; `failures` is how often they had failed just before.
    SignedIn = "signed_in",
    /// Somebody failed to, more often than is free; `failures` counts.
    SignInFailed = "sign_in_failed",
    /// A key was made.
    KeyMade = "key_made",
    /// A key was taken back, with all its passes.
    KeyRevoked = "key_revoked",
    /// A pass was issued.
    PassIssued = "pass_issued",
    /// A pass was taken back.
    PassDenied = "pass_denied",
    /// Claiming of some jobs was stopped.
    Paused = "paused",
    /// It goes on.
    Resumed = "resumed",
    /// An account was connected.
    AccountConnected = "account_connected",
    /// An account was disconnected.
    AccountDisconnected = "account_disconnected",
    /// The renewal of an account's access was asked for.
    RenewalAsked = "renewal_asked",
    /// A network was to be asked at once what it has counted of an account.
    SnapshotAsked = "snapshot_asked",
    /// What ended badly is tried again.
    Redriven = "redriven",
    /// Something was cancelled, or the wish to is kept.
    Cancelled = "cancelled",
    /// A held publication was decided.
    Decided = "decided",
    /// A published post is to be taken down.
    TakeDownAsked = "take_down_asked",
    /// Somebody on the staff asked for the deletion of all that is known of a person.
    DeletionAsked = "deletion_asked",
    /// All that is known of a person was asked for, to be given out.
    ExportAsked = "export_asked",
    /// A workspace has withdrawn its consent to something.
    ConsentWithdrawn = "consent_withdrawn",
    /// It has given it again.
    ConsentGiven = "consent_given",
    /// What was wrong about somebody was corrected.
    PersonCorrected = "person_corrected",
    /// Tokens were sealed anew under another key.
    RingRotated = "ring_rotated",
    /// Somebody became a member of a workspace, or may do something else there.
    MemberSet = "member_set",
    /// Somebody is no member any more.
    MemberRemoved = "member_removed",
    /// Somebody was invited to a workspace.
    Invited = "invited",
    /// That was taken back.
    InvitationWithdrawn = "invitation_withdrawn",
    /// Somebody at the door asked for a link to a new password.
    PasswordAsked = "password_asked",
    /// Somebody set a new password by a link from their mail.
    PasswordSet = "password_set",
    /// Somebody who is known signed in elsewhere for the first time, and may come in that way from then on.
    SignInLinked = "sign_in_linked",
    /// Somebody comes in that way no more.
    SignInUnlinked = "sign_in_unlinked",
    /// Somebody ended sessions of theirs: one, or all but that which they sat at.
    SessionsEnded = "sessions_ended",
    /// A post that somebody had to approve was approved.
    Approved = "approved",
    /// What a workspace lets be sent to a provider of AI, or pays for it, was set.
    AnalysisPolicySet = "analysis_policy_set",
    /// Somewhere that is told of what happens was added.
    WebhookAdded = "webhook_added",
    /// It is elsewhere, hears of something else, or was switched on or off.
    WebhookChanged = "webhook_changed",
    /// It was given another secret.
    WebhookRotated = "webhook_rotated",
    /// It was removed.
    WebhookRemoved = "webhook_removed",
    /// Something that is about nothing was sent there.
    WebhookTried = "webhook_tried",
    /// It is told nothing any more, for it took nothing for days or wanted no more.
    WebhookDisabled = "webhook_disabled",
    /// A link was made by which a client looks at numbers.
    ReportShared = "report_shared",
    /// It was taken back.
    ReportTakenBack = "report_taken_back",
}

/// One thing that somebody did.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Who, and from where: [`Ledger::who`].
    pub who: Who,
    /// What.
    pub action: Action,
    /// The kind of thing it was done to: `publication`, `api_key`.
    pub object: &'a str,
    /// Which one.
    pub object_id: String,
    /// The workspace that it belongs to.
    pub workspace_id: Option<Uuid>,
    /// What else is to be known; never a secret, never what somebody wrote.
    pub detail: Value,
}

/// Writes an entry in this transaction: it stands if the deed does.
///
/// # Errors
/// The ledger is away.
pub async fn record(tx: &mut PgConnection, entry: &Entry<'_>) -> Result<(), LedgerError> {
    sqlx::query!(
        "WITH known AS MATERIALIZED (
             SELECT a.address, uuid_send(gen_random_uuid()) AS salt FROM (VALUES ($8::text)) AS a (address)
             WHERE a.address IS NOT NULL),
         entry AS (
             INSERT INTO audit (id, actor, actor_id, action, object, object_id, workspace_id, origin, detail)
             VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT sha256(salt || convert_to(address, 'UTF8')) FROM known), $9)
             RETURNING id)
         INSERT INTO audit_address (audit_id, salt, address) SELECT entry.id, salt, address FROM entry, known",
        Uuid::now_v7(),
        entry.who.actor.word(),
        entry.who.actor.id(),
        entry.action.word(),
        entry.object,
        entry.object_id,
        entry.workspace_id,
        entry.who.address.map(|address| address.to_string()),
        entry.detail,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A row as it is read.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// `person`, `key`, `operator`, `system` or `nobody`.
    pub actor: String,
    /// Which person or key.
    pub actor_id: Option<Uuid>,
    /// What.
    pub action: String,
    /// The kind of thing.
    pub object: String,
    /// Which one.
    pub object_id: String,
    /// Whose it is.
    pub workspace_id: Option<Uuid>,
    /// Of where it came from, salted; the chain holds this.
    pub origin: Option<Vec<u8>>,
    /// From where, unless whoever it was has had it deleted.
    pub address: Option<String>,
    /// What else is known, as the ledger writes it.
    pub detail: String,
}

impl Ledger {
    /// Writes an entry of its own, about what is in no transaction of the ledger's.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn audit(&self, entry: &Entry<'_>) -> Result<(), LedgerError> {
        record(&mut *self.pool.acquire().await?, entry).await
    }

    /// The newest entries, of one workspace or of all.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn audit_entries(
        &self,
        workspace_id: Option<Uuid>,
        most: i64,
    ) -> Result<Vec<Row>, LedgerError> {
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT a.id, a.at, a.actor, a.actor_id, a.action, a.object, a.object_id, a.workspace_id, a.origin,
                      o.address AS "address?", a.detail::text AS "detail!"
               FROM audit a LEFT JOIN audit_address o ON o.audit_id = a.id
               WHERE $1::uuid IS NULL OR a.workspace_id = $1 ORDER BY a.at DESC, a.id DESC LIMIT $2"#,
            workspace_id,
            most,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_actions_share_a_word() {
        for (n, action) in Action::ALL.iter().enumerate() {
            assert!(Action::ALL[n + 1..].iter().all(|other| other.word() != action.word()), "{action:?}");
        }
    }
}
