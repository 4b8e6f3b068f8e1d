//! What there is to say about where a post is, beside the post and its events.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Ledger, LedgerError, pauses::Stoppable, posts::Post};

/// What a publication rests on.
#[derive(Debug, Clone)]
pub struct Grounds {
    /// The publication.
    pub publication_id: Uuid,
    /// The network's kind of handle, and its name for what was prepared.
    pub handle: Option<String>,
    /// `none`, `building`, `ready`, `dead`, `spent`.
    pub handle_state: String,
    /// After this it may not be sent.
    pub latest_at: DateTime<Utc>,
    /// The reconciler's next look.
    pub next_check_at: Option<DateTime<Utc>>,
    /// Until then what was sent may still be on its way.
    pub quarantine_until: Option<DateTime<Utc>>,
    /// Its workspace.
    pub workspace_id: Uuid,
    /// Its account.
    pub account_id: Uuid,
    /// The account's network.
    pub platform: String,
    /// `active`, `paused`, `reconnect`, `frozen`, `erased`.
    pub account_state: String,
    /// Why, where it is not active.
    pub account_reason: Option<String>,
    /// The network asked to leave it alone until then.
    pub resting_until: Option<DateTime<Utc>>,
    /// Its live job.
    pub job_id: Option<Uuid>,
    /// When that may run.
    pub run_at: Option<DateTime<Utc>>,
    /// Since when somebody works on it.
    pub claimed_at: Option<DateTime<Utc>>,
    /// Workers that ended while they held it.
    pub crashes: Option<i32>,
}

impl Grounds {
    /// Every pause that would stop its job.
    pub fn stoppable(&self) -> [Stoppable; 6] {
        let queue = || "publish".to_owned();
        [
            Stoppable::Queue(queue()),
            Stoppable::Workspace(self.workspace_id.to_string()),
            Stoppable::Account(self.account_id.to_string()),
            Stoppable::Network(self.platform.clone()),
            Stoppable::QueueOfWorkspace(queue(), self.workspace_id),
            Stoppable::QueueOfAccount(queue(), self.account_id),
        ]
    }
}

impl Ledger {
    /// The post of that id, or that of the publication of that id, in any workspace.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn post_about(&self, id: Uuid) -> Result<Option<Post>, LedgerError> {
        let found = sqlx::query!(
            r#"SELECT id, workspace_id FROM post
               WHERE id = $1 OR id = (SELECT post_id FROM publication WHERE id = $1)"#,
            id,
        );
        match found.fetch_optional(&self.pool).await? {
            Some(row) => self.post(row.workspace_id, row.id).await,
            None => Ok(None),
        }
    }

    /// What the publications of a post rest on.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn grounds(&self, post_id: Uuid) -> Result<Vec<Grounds>, LedgerError> {
        let rows = sqlx::query_as!(
            Grounds,
            r#"SELECT p.id AS publication_id, p.handle_kind || ' ' || p.handle_id AS handle,
                      p.handle_state::text AS "handle_state!", p.latest_at, p.next_check_at, p.quarantine_until,
                      p.workspace_id, p.account_id, a.platform, a.state::text AS "account_state!",
                      a.state_reason AS account_reason,
                      CASE WHEN a.resting_until > ledger_now() THEN a.resting_until END AS resting_until, j.id AS "job_id?", j.run_at AS "run_at?",
                      c.started_at AS "claimed_at?", j.crash_count AS "crashes?"
               FROM publication p JOIN account a ON a.id = p.account_id
               LEFT JOIN job j ON j.publication_id = p.id AND j.kind = 'publish'
               LEFT JOIN claim c ON c.job_id = j.id
               WHERE p.post_id = $1 ORDER BY p.id"#,
            post_id,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}
