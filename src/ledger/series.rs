//! Metrics as they are shown: whose they are, and what networks said over time.

use chrono::{DateTime, Utc};
use jobs::metrics::series::Row;
use serde_json::Value;
use uuid::Uuid;

use super::{Ledger, LedgerError};

/// What is counted, and how far its plan is.
#[derive(Debug, Clone)]
pub struct Counted {
    /// The account.
    pub account_id: Uuid,
    /// What people call that.
    pub account: String,
    /// Its platform.
    pub platform: String,
    /// The publication; none: it is the account itself.
    pub publication_id: Option<Uuid>,
    /// Its surface.
    pub surface: Option<String>,
    /// Its post.
    pub post_id: Option<Uuid>,
    /// What snapshots know it by; none: it has no plan yet.
    pub number: Option<i32>,
    /// When it is asked about next.
    pub due_at: Option<DateTime<Utc>>,
    /// Why it is not: `over`, `gone` or `nothing`.
    pub ended: Option<String>,
    /// When it was asked about last.
    pub captured_at: Option<DateTime<Utc>>,
}

/// A metric that a network does not tell of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its number in the catalogue.
    pub metric: i16,
    /// Since when.
    pub since: DateTime<Utc>,
    /// In the network's words.
    pub words: String,
}

/// What a network said of one metric by kinds of people, when it was asked once.
#[derive(Debug, Clone)]
pub struct SpreadRow {
    /// The metric's number in the catalogue.
    pub metric: i16,
    /// When it was asked.
    pub captured_at: DateTime<Utc>,
    /// `kinds`, `too_few` or `nothing`.
    pub said: String,
    /// How many of each kind.
    pub kinds: Option<Value>,
}

/// A published post with what was last said of it.
#[derive(Debug, Clone)]
pub struct Latest {
    /// The post.
    pub post_id: Uuid,
    /// Its words.
    pub caption: String,
    /// Its surface.
    pub surface: String,
    /// When it came out.
    pub published_at: DateTime<Utc>,
    /// The last snapshot, packed; none: nothing was said yet.
    pub points: Option<Vec<u8>>,
}

impl Ledger {
    /// What is counted of a post, in the order of its publications; none: there is no such post in this workspace.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn counted_of_post(
        &self,
        workspace_id: Uuid,
        post_id: Uuid,
    ) -> Result<Option<Vec<Counted>>, LedgerError> {
        let known = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM post WHERE id = $1 AND workspace_id = $2) AS "known!""#,
            post_id,
            workspace_id,
        );
        if !known.fetch_one(&self.pool).await? {
            return Ok(None);
        }
        let counted = sqlx::query_as!(
            Counted,
            r#"SELECT p.account_id, a.name AS account, a.platform, p.id AS "publication_id?", p.surface AS "surface?",
                      p.post_id AS "post_id?", m.number AS "number?", m.due_at, m.ended, m.captured_at
               FROM publication p JOIN account a ON a.id = p.account_id
               LEFT JOIN metric_plan m ON m.publication_id = p.id
               WHERE p.post_id = $1 AND p.workspace_id = $2 AND p.surface <> 'comment' AND p.state = 'published'
               ORDER BY p.id"#,
            post_id,
            workspace_id,
        );
        Ok(Some(counted.fetch_all(&self.pool).await?))
    }

    /// What is counted of an account itself; none: there is no such account in this workspace.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn counted_of_account(
        &self,
        workspace_id: Uuid,
        account_id: Uuid,
    ) -> Result<Option<Counted>, LedgerError> {
        let counted = sqlx::query_as!(
            Counted,
            r#"SELECT a.id AS account_id, a.name AS account, a.platform, NULL::uuid AS publication_id,
                      NULL::text AS surface, NULL::uuid AS post_id, m.number AS "number?", m.due_at, m.ended, m.captured_at
               FROM account a LEFT JOIN metric_plan m ON m.account_id = a.id AND m.publication_id IS NULL
               WHERE a.id = $1 AND a.workspace_id = $2 AND a.state <> 'erased'"#,
            account_id,
            workspace_id,
        );
        Ok(counted.fetch_optional(&self.pool).await?)
    }

    /// What networks said of an object between two moments, ascending by when they were asked.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn snapshots(
        &self,
        number: i32,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Row>, LedgerError> {
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT captured_at AS "captured_at!", points AS "points!" FROM snapshot_day
               WHERE object = $1 AND captured_at BETWEEN $2 AND $3
               UNION ALL
               SELECT captured_at, points FROM snapshot
               WHERE object = $1 AND captured_at BETWEEN $2 AND $3
               ORDER BY 1"#,
            number,
            from,
            to,
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// What was said of an object by kinds of people between two moments, metric by metric and ascending by when it was asked.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn spreads(
        &self,
        number: i32,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<SpreadRow>, LedgerError> {
        let rows = sqlx::query_as!(
            SpreadRow,
            "SELECT metric, captured_at, said, kinds FROM snapshot_spread
             WHERE object = $1 AND captured_at BETWEEN $2 AND $3 ORDER BY metric, captured_at",
            number,
            from,
            to,
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// What a network does not tell of an account.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn refusals(&self, account_id: Uuid) -> Result<Vec<Refusal>, LedgerError> {
        let refusals = sqlx::query_as!(
            Refusal,
            "SELECT metric, since, words FROM metric_refusal WHERE account_id = $1 ORDER BY metric",
            account_id,
        );
        Ok(refusals.fetch_all(&self.pool).await?)
    }

    /// What came out on an account last, newest first, each with the last word on it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn latest_counts(&self, account_id: Uuid, most: i64) -> Result<Vec<Latest>, LedgerError> {
        let latest = sqlx::query_as!(
            Latest,
            r#"SELECT p.post_id, coalesce(p.caption, post.caption) AS "caption!", p.surface,
                      p.published_at AS "published_at!", last.points AS "points?"
               FROM publication p JOIN post ON post.id = p.post_id
               LEFT JOIN metric_plan m ON m.publication_id = p.id
               LEFT JOIN LATERAL (
                   SELECT said.points FROM (
                       -- each of them ends at the first row of its index
                       (SELECT s.captured_at, s.points FROM snapshot s WHERE s.object = m.number
                        ORDER BY s.captured_at DESC LIMIT 1)
                       UNION ALL
                       (SELECT d.captured_at, d.points FROM snapshot_day d WHERE d.object = m.number
                        ORDER BY d.captured_at DESC LIMIT 1)) said
                   ORDER BY said.captured_at DESC LIMIT 1) last ON true
               WHERE p.account_id = $1 AND p.public_id IS NOT NULL AND p.state = 'published' AND p.published_at IS NOT NULL
                 AND p.surface <> 'comment'
               ORDER BY p.published_at DESC LIMIT $2"#,
            account_id,
            most,
        );
        Ok(latest.fetch_all(&self.pool).await?)
    }
}
