//! What people have stopped, why, and until when.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};

use super::{Ledger, LedgerError, claims::interval};

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
}

impl Stoppable {
    /// The ledger's word for what it is.
    pub const fn scope(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::Workspace(_) => "workspace",
            Self::Account(_) => "account",
            Self::Network(_) => "network",
        }
    }

    /// Which one.
    pub fn subject(&self) -> &str {
        match self {
            Self::Queue(name) | Self::Workspace(name) | Self::Account(name) | Self::Network(name) => name,
        }
    }
}

impl fmt::Display for Stoppable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scope(), self.subject())
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
}

impl Ledger {
    /// Stops something: nothing of it is claimed from now on. Where it is stopped already, nothing changes and
    /// the pause that stands is returned as an error of its own.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn pause(
        &self,
        what: &Stoppable,
        reason: &str,
        lasting: Option<Duration>,
    ) -> Result<Result<Pause, Pause>, LedgerError> {
        let made = sqlx::query_as!(
            Pause,
            r#"INSERT INTO pause (scope, subject, reason, ends_at) VALUES ($1, $2, $3, ledger_now() + $4)
               ON CONFLICT (scope, subject) DO UPDATE
               SET reason = excluded.reason, ends_at = excluded.ends_at, paused_at = ledger_now()
               WHERE pause.ends_at <= ledger_now() -- one that is over stops nobody
               RETURNING scope, subject, reason, paused_at, ends_at"#,
            what.scope(),
            what.subject(),
            reason,
            lasting.map(interval),
        )
        .fetch_optional(&self.pool)
        .await?;
        if let Some(made) = made {
            return Ok(Ok(made));
        }
        let standing = self.pauses().await?.into_iter().find(|pause| pause.is_of(what));
        standing.map(Err).ok_or_else(|| LedgerError::Unreadable(format!("no pause of {what} any more")))
    }

    /// Ends a pause. False: it was not paused.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn resume(&self, what: &Stoppable) -> Result<bool, LedgerError> {
        let rows = sqlx::query!(
            "WITH gone AS (DELETE FROM pause WHERE scope = $1 AND subject = $2 RETURNING ends_at)
             SELECT 1 AS one FROM gone WHERE ends_at IS NULL OR ends_at > ledger_now()",
            what.scope(),
            what.subject(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(rows.is_some())
    }

    /// What is stopped now.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn pauses(&self) -> Result<Vec<Pause>, LedgerError> {
        let rows = sqlx::query_as!(
            Pause,
            "SELECT scope, subject, reason, paused_at, ends_at FROM pause
             WHERE ends_at IS NULL OR ends_at > ledger_now() ORDER BY paused_at",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}

impl Pause {
    fn is_of(&self, what: &Stoppable) -> bool {
        (self.scope.as_str(), self.subject.as_str()) == (what.scope(), what.subject())
    }
}
