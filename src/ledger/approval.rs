//! Posts that somebody has to approve before anything is done for them at a network.
//!
//! Until then their jobs stand as `waits`, which nobody claims; and neither preparing nor arming goes on while the digest
//! of what was approved is not that of what there is. So an edit voids an approval by what it is.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{contract::Job, hint::Hint, publish::Publish};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Entry},
};

/// What becomes of a post's approval when somebody writes or changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Whoever writes may let it go out.
    Approves(Uuid),
    /// Somebody else has to approve it.
    Asks(Uuid),
}

impl Word {
    /// Whether it waits then.
    pub const fn waits(self) -> bool {
        matches!(self, Self::Asks(_))
    }
}

/// Where a post stands that has to be approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// It is not, or not as it is now.
    pub waits: bool,
    /// Of what it is now, in hex: who approves says with it what they have seen.
    pub digest: String,
    /// Who wrote or changed it last, if they are still known.
    pub asked_by: Option<String>,
    /// Who approved it last, likewise.
    pub approved_by: Option<String>,
    /// When.
    pub approved_at: Option<DateTime<Utc>>,
}

/// What came of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approved {
    /// It goes out: `late`, its time has passed already. With its jobs that may run now.
    Now {
        /// It was meant to be out by now.
        late: bool,
        /// Its jobs that may run now.
        due: Vec<Hint>,
    },
    /// It is approved, and too late to go out without another word.
    TooLate,
    /// It is not any more what was looked at.
    Changed,
    /// Nobody waits for it.
    NotWaiting,
    /// There is no such post.
    Missing,
}

impl Ledger {
    /// Approves a post as it was seen.
    pub async fn approve_post(
        &self,
        workspace_id: Uuid,
        post_id: Uuid,
        by: Uuid,
        seen: &str,
        ahead: Duration,
    ) -> Result<Approved, LedgerError> {
        self.patiently(|| self.approve_once(workspace_id, post_id, by, seen, ahead)).await
    }

    async fn approve_once(
        &self,
        workspace_id: Uuid,
        post_id: Uuid,
        by: Uuid,
        seen: &str,
        ahead: Duration,
    ) -> Result<Approved, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let post = sqlx::query!(
            r#"SELECT scheduled_for, wall_time IS NOT NULL AS "timed!" FROM post
               WHERE workspace_id = $1 AND id = $2 FOR UPDATE"#,
            workspace_id,
            post_id,
        );
        let Some(post) = post.fetch_optional(&mut *tx).await? else { return Ok(Approved::Missing) };
        // behind the locks, as an edit has them: what is read now is what is approved
        sqlx::query!("SELECT id FROM publication WHERE post_id = $1 ORDER BY id FOR UPDATE", post_id)
            .fetch_all(&mut *tx)
            .await?;
        let now = sqlx::query!(
            r#"SELECT ledger_now() AS "now!", waits_for_approval($1) AS "waits!",
                      encode(post_digest($1), 'hex') AS "digest!",
                      EXISTS (SELECT FROM publication WHERE post_id = $1
                                AND state NOT IN ('published', 'failed', 'cancelled', 'held')
                                AND latest_at >= ledger_now()) AS "in_time!""#,
            post_id,
        )
        .fetch_one(&mut *tx)
        .await?;
        if !now.waits {
            return Ok(Approved::NotWaiting);
        }
        if now.digest != seen {
            return Ok(Approved::Changed);
        }
        give(&mut tx, post_id, by).await?;
        let run_at = starts(post.scheduled_for, ahead, now.now);
        let jobs = sqlx::query!(
            "UPDATE job SET standing = 'active', epoch = epoch + 1, run_at = $2
             WHERE kind = 'publish' AND standing = 'waits'
               AND publication_id IN (SELECT id FROM publication WHERE post_id = $1)
             RETURNING id, workspace_id",
            post_id,
            run_at,
        )
        .fetch_all(&mut *tx)
        .await?;
        let entry = Entry {
            who: self.who(),
            action: Action::Approved,
            object: "post",
            object_id: post_id.to_string(),
            workspace_id: Some(workspace_id),
            detail: json!({ "digest": now.digest }),
        };
        audit::record(&mut tx, &entry).await?;
        tx.commit().await?;
        if !now.in_time {
            return Ok(Approved::TooLate);
        }
        let hint = |row: (Uuid, Uuid)| Hint {
            kind: Publish::KIND.to_owned(),
            workspace_id: row.1,
            job_id: row.0,
            run_at,
        };
        let due = jobs.into_iter().filter(|_| run_at <= now.now).map(|row| hint((row.id, row.workspace_id)));
        Ok(Approved::Now { late: post.timed && post.scheduled_for < now.now, due: due.collect() })
    }
}

/// When a job of it starts: so long before its time.
fn starts(scheduled_for: DateTime<Utc>, ahead: Duration, now: DateTime<Utc>) -> DateTime<Utc> {
    let ahead = TimeDelta::from_std(ahead).unwrap_or(TimeDelta::MAX);
    scheduled_for.checked_sub_signed(ahead).map_or(now, |at| at.max(now))
}

/// A post was changed, and this is what its writer may say.
pub(super) async fn changed(tx: &mut PgConnection, post_id: Uuid, word: Word) -> Result<(), LedgerError> {
    match word {
        Word::Asks(by) => ask(tx, post_id, by).await,
        Word::Approves(by) => {
            give(tx, post_id, by).await?;
            sqlx::query!(
                "UPDATE job SET standing = 'active', epoch = epoch + 1
                 WHERE kind = 'publish' AND standing = 'waits'
                   AND publication_id IN (SELECT id FROM publication WHERE post_id = $1)",
                post_id,
            )
            .execute(tx)
            .await?;
            Ok(())
        }
    }
}

/// Lets a post wait, whatever was approved before. What was sent already is gone on with.
async fn ask(tx: &mut PgConnection, post_id: Uuid, by: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        "INSERT INTO approval (post_id, asked_by) VALUES ($1, $2)
         ON CONFLICT (post_id) DO UPDATE SET asked_by = excluded.asked_by, asked_at = excluded.asked_at,
                                             digest = NULL, approved_by = NULL, approved_at = NULL",
        post_id,
        by,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE job SET standing = 'waits', epoch = job.epoch + 1
         FROM publication p
         WHERE p.post_id = $1 AND job.publication_id = p.id AND job.kind = 'publish' AND job.standing <> 'waits'
           AND p.state NOT IN ('armed', 'unknown') AND p.handle_state <> 'spent'",
        post_id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps that a post is approved as it is, if it is one that has to be.
async fn give(tx: &mut PgConnection, post_id: Uuid, by: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE approval SET digest = post_digest(post_id), approved_by = $2, approved_at = ledger_now()
         WHERE post_id = $1",
        post_id,
        by,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether a publication's post has to be approved before it is tried again.
pub(super) async fn waits(tx: &mut PgConnection, publication_id: Uuid) -> Result<bool, LedgerError> {
    let waits = sqlx::query_scalar!(
        r#"SELECT waits_for_approval(post_id) AS "waits!" FROM publication WHERE id = $1"#,
        publication_id,
    );
    Ok(waits.fetch_one(tx).await?)
}

/// Of those of these posts that have to be approved, where they stand.
pub(super) async fn of(
    connection: &mut PgConnection,
    posts: &[Uuid],
) -> Result<HashMap<Uuid, Approval>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT a.post_id AS "post_id!", now.digest IS DISTINCT FROM a.digest AS "waits!", encode(now.digest, 'hex') AS "digest!",
                  asker.first_name || ' ' || asker.last_name AS asked_by,
                  giver.first_name || ' ' || giver.last_name AS approved_by, a.approved_at
           FROM approval a CROSS JOIN LATERAL (SELECT post_digest(a.post_id) AS digest) now
                LEFT JOIN person asker ON asker.id = a.asked_by LEFT JOIN person giver ON giver.id = a.approved_by
           WHERE a.post_id = ANY ($1)"#,
        posts,
    )
    .fetch_all(connection)
    .await?;
    let approval = |row: (bool, String, Option<String>, Option<String>, Option<DateTime<Utc>>)| {
        let (waits, digest, asked_by, approved_by, approved_at) = row;
        Approval { waits, digest, asked_by, approved_by, approved_at }
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            let approval = approval((row.waits, row.digest, row.asked_by, row.approved_by, row.approved_at));
            (row.post_id, approval)
        })
        .collect())
}
