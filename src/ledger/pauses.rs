//! What people have stopped, why, and until when.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Entry},
    claims::interval,
    idempotency::{Keyed, Once},
};

/// The most characters of a reason.
pub const REASON_MOST: usize = 500;

/// What can be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stoppable {
    /// All jobs of a kind.
    Queue(String),
    /// All jobs of a workspace, by its id.
    Workspace(String),
    /// All jobs about an account, by its id.
    Account(String),
    /// All jobs about accounts of a network.
    Network(String),
    /// The jobs of a kind in a workspace: the kind, and the workspace's id.
    QueueOfWorkspace(String, Uuid),
    /// The jobs of a kind about an account: the kind, and the account's id.
    QueueOfAccount(String, Uuid),
}

impl Stoppable {
    /// The ledger's word for what it is.
    pub const fn scope(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::Workspace(_) => "workspace",
            Self::Account(_) => "account",
            Self::Network(_) => "network",
            Self::QueueOfWorkspace(..) => "queue_of_workspace",
            Self::QueueOfAccount(..) => "queue_of_account",
        }
    }

    fn queue(&self) -> Option<&str> {
        match self {
            Self::Queue(name) | Self::QueueOfWorkspace(name, _) | Self::QueueOfAccount(name, _) => Some(name),
            Self::Workspace(_) | Self::Account(_) | Self::Network(_) => None,
        }
    }

    fn workspace(&self) -> Option<Uuid> {
        match self {
            Self::QueueOfWorkspace(_, id) => Some(*id),
            Self::Workspace(id) => Uuid::try_parse(id).ok(),
            Self::Queue(_) | Self::Account(_) | Self::Network(_) | Self::QueueOfAccount(..) => None,
        }
    }

    /// Which one.
    pub fn subject(&self) -> String {
        match self {
            Self::Queue(name) | Self::Workspace(name) | Self::Account(name) | Self::Network(name) => {
                name.clone()
            }
            Self::QueueOfWorkspace(kind, id) | Self::QueueOfAccount(kind, id) => format!("{kind}/{id}"),
        }
    }
}

impl fmt::Display for Stoppable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scope(), self.subject())
    }
}

/// Who stops something, and may let it go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// An operator, by the shell or with a key of the house.
    Operator,
    /// A workspace, with a key of its own.
    Workspace,
}

impl By {
    const fn is_operator(self) -> bool {
        matches!(self, Self::Operator)
    }
}

/// A pause as it stands.
#[derive(Debug, Clone)]
pub struct Pause {
    /// `queue`, `workspace`, `account` or `network`.
    pub scope: String,
    /// Which one.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub paused_at: DateTime<Utc>,
    /// Until when; `None` is until it is resumed.
    pub ends_at: Option<DateTime<Utc>>,
    /// An operator has stopped it, else the workspace itself.
    pub by_operator: bool,
}

impl Ledger {
    /// Stops something: nothing of it is claimed from now on. Where the same has stopped it already, nothing changes
    /// and the pause that stands is returned as an error of its own.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn pause(
        &self,
        by: By,
        what: &Stoppable,
        reason: &str,
        lasting: Option<Duration>,
        keyed: Option<Keyed<'_, Pause>>,
    ) -> Result<Once<Result<Pause, Pause>>, LedgerError> {
        let mut tx = match self.begin_once(keyed.map(|(asked, _)| asked)).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        let made = sqlx::query_as!(
            Pause,
            r#"INSERT INTO pause (scope, subject, reason, ends_at, by_operator)
               VALUES ($1, $2, $3, ledger_now() + $4, $5)
               ON CONFLICT (scope, subject, by_operator) DO UPDATE
               SET reason = excluded.reason, ends_at = excluded.ends_at, paused_at = ledger_now()
               WHERE pause.ends_at <= ledger_now() -- one that is over stops nobody
               RETURNING scope, subject, reason, paused_at, ends_at, by_operator"#,
            what.scope(),
            what.subject(),
            reason,
            lasting.map(interval),
            by.is_operator(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        if made.is_some() {
            self.note_pause(&mut tx, Action::Paused, what).await?;
        }
        let answer = made.as_ref().zip(keyed).map(|(made, (_, answer))| answer(made));
        self.commit_once(tx, keyed.map(|(asked, _)| asked), answer.as_ref()).await?;
        if let Some(made) = made {
            return Ok(Once::Done(Ok(made)));
        }
        let standing = self.pauses().await?.into_iter().find(|pause| pause.is_of(by, what));
        let gone = || LedgerError::Unreadable(format!("no pause of {what} any more"));
        Ok(Once::Done(Err(standing.ok_or_else(gone)?)))
    }

    /// Ends a pause of theirs, and returns it. `None`: they have not paused it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn resume(
        &self,
        by: By,
        what: &Stoppable,
        keyed: Option<Keyed<'_, Pause>>,
    ) -> Result<Once<Option<Pause>>, LedgerError> {
        let mut tx = match self.begin_once(keyed.map(|(asked, _)| asked)).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        let ended = sqlx::query_as!(
            Pause,
            r#"WITH gone AS (
                   DELETE FROM pause WHERE scope = $1 AND subject = $2 AND by_operator = $3
                   RETURNING scope, subject, reason, paused_at, ends_at, by_operator)
               SELECT scope AS "scope!", subject AS "subject!", reason AS "reason!", paused_at AS "paused_at!", ends_at,
                      by_operator AS "by_operator!"
               FROM gone WHERE ends_at IS NULL OR ends_at > ledger_now()"#,
            what.scope(),
            what.subject(),
            by.is_operator(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        if ended.is_some() {
            self.note_pause(&mut tx, Action::Resumed, what).await?;
        }
        let answer = ended.as_ref().zip(keyed).map(|(ended, (_, answer))| answer(ended));
        self.commit_once(tx, keyed.map(|(asked, _)| asked), answer.as_ref()).await?;
        Ok(Once::Done(ended))
    }

    async fn note_pause(
        &self,
        tx: &mut PgConnection,
        action: Action,
        what: &Stoppable,
    ) -> Result<(), LedgerError> {
        let object_id = what.subject();
        let detail = json!({ "queue": what.queue() });
        let workspace_id = what.workspace();
        let entry = Entry { who: self.who(), action, object: what.scope(), object_id, workspace_id, detail };
        audit::record(tx, &entry).await
    }

    /// What is stopped now.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn pauses(&self) -> Result<Vec<Pause>, LedgerError> {
        let rows = sqlx::query_as!(
            Pause,
            "SELECT scope, subject, reason, paused_at, ends_at, by_operator FROM pause
             WHERE ends_at IS NULL OR ends_at > ledger_now() ORDER BY paused_at",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}

impl Pause {
    /// Whether it is their pause of that.
    pub fn is_of(&self, by: By, what: &Stoppable) -> bool {
        self.by_operator == by.is_operator() && self.stops(what)
    }

    /// Whether it is a pause of that, whoever made it.
    pub fn stops(&self, what: &Stoppable) -> bool {
        self.scope == what.scope() && self.subject == what.subject()
    }
}
