//! What pages show that look at many accounts or posts at once: one statement for all of them, whatever their number.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use jobs::metrics::{ads, series::Row};
use uuid::Uuid;

use super::{Ledger, LedgerError};

/// Which accounts of a workspace. Those that are being deleted are none of them.
#[derive(Debug, Clone, Copy)]
pub struct Among<'a> {
    /// The workspace.
    pub workspace_id: Uuid,
    /// These alone; none: all.
    pub accounts: Option<&'a [Uuid]>,
}

impl<'a> Among<'a> {
    /// All of a workspace.
    pub const fn all(workspace_id: Uuid) -> Self {
        Self { workspace_id, accounts: None }
    }

    fn ids(self) -> &'a [Uuid] {
        self.accounts.unwrap_or_default()
    }
}

/// An account, and what snapshots know it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The account.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// Its platform.
    pub platform: String,
    /// What snapshots know it by; none: it has no plan yet.
    pub number: Option<i32>,
}

/// How many posts came out on an account on one day in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayOfPosts {
    /// The account.
    pub account_id: Uuid,
    /// The day.
    pub day: NaiveDate,
    /// How many.
    pub posts: i64,
}

/// A post as it came out on one account, and the last word on it.
#[derive(Debug, Clone)]
pub struct Published {
    /// The publication.
    pub id: Uuid,
    /// Its post.
    pub post_id: Uuid,
    /// What people call the account.
    pub account: String,
    /// The account's platform.
    pub platform: String,
    /// Its words.
    pub caption: String,
    /// When it came out.
    pub published_at: DateTime<Utc>,
    /// What snapshots know it by; none: it has no plan yet.
    pub number: Option<i32>,
    /// The last snapshot, packed; none: nothing was said yet.
    pub points: Option<Vec<u8>>,
}

/// When a post came out, and what was said of it a day later.
#[derive(Debug, Clone)]
pub struct AfterADay {
    /// When it came out.
    pub published_at: DateTime<Utc>,
    /// The first snapshot from a day after that on, packed; none: there was none in time.
    pub points: Option<Vec<u8>>,
}

impl Ledger {
    /// The accounts, by name. Those of ads are none of them: what these come to is told by itself, and nothing is published
    /// there.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn followed(&self, among: Among<'_>) -> Result<Vec<Followed>, LedgerError> {
        let accounts = sqlx::query_as!(
            Followed,
            r#"SELECT a.id, a.name, a.platform, m.number AS "number?"
               FROM account a
               LEFT JOIN metric_plan m ON m.account_id = a.id AND m.publication_id IS NULL AND m.object = 'account'
               WHERE a.workspace_id = $1 AND a.deletion_id IS NULL AND a.state <> 'erased' AND a.platform <> $4
                 AND ($2::boolean OR a.id = ANY ($3))
               ORDER BY lower(a.name), a.id"#,
            among.workspace_id,
            among.accounts.is_none(),
            among.ids(),
            ads::PLATFORM,
        );
        Ok(accounts.fetch_all(&self.pool).await?)
    }

    /// What networks said of these objects from one moment until before another, of each ascending by when they were asked.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn said_of(
        &self,
        objects: &[i32],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<BTreeMap<i32, Vec<Row>>, LedgerError> {
        let rows = sqlx::query!(
            r#"SELECT object AS "object!", captured_at AS "captured_at!", points AS "points!" FROM snapshot_day
               WHERE object = ANY ($1) AND captured_at >= $2 AND captured_at < $3
               UNION ALL
               SELECT object, captured_at, points FROM snapshot
               WHERE object = ANY ($1) AND captured_at >= $2 AND captured_at < $3
               ORDER BY 1, 2"#,
            objects,
            from,
            to,
        );
        let mut said: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
        for row in rows.fetch_all(&self.pool).await? {
            let told = Row { captured_at: row.captured_at, points: row.points };
            said.entry(row.object).or_default().push(told);
        }
        Ok(said)
    }

    /// How many posts came out on each account on each day, from one moment until before another; days without are left
    /// out.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn posts_by_day(
        &self,
        among: Among<'_>,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<DayOfPosts>, LedgerError> {
        let days = sqlx::query_as!(
            DayOfPosts,
            r#"SELECT p.account_id, (p.published_at AT TIME ZONE 'UTC')::date AS "day!", count(*) AS "posts!"
               FROM publication p JOIN account a ON a.id = p.account_id
               WHERE p.workspace_id = $1 AND p.published_at >= $4 AND p.published_at < $5
                 AND p.state = 'published' AND p.surface <> 'comment'
                 AND a.deletion_id IS NULL AND a.state <> 'erased' AND ($2::boolean OR p.account_id = ANY ($3))
               GROUP BY 1, 2"#,
            among.workspace_id,
            among.accounts.is_none(),
            among.ids(),
            from,
            to,
        );
        Ok(days.fetch_all(&self.pool).await?)
    }

    /// What came out from one moment until before another and was not taken down since, newest first, each with the last
    /// word on it; `most` of them.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn published(
        &self,
        among: Among<'_>,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        most: i64,
    ) -> Result<Vec<Published>, LedgerError> {
        let published = sqlx::query_as!(
            Published,
            r#"SELECT p.id, p.post_id, a.name AS account, a.platform, coalesce(p.caption, post.caption) AS "caption!",
                      p.published_at AS "published_at!", m.number AS "number?", last.points AS "points?"
               FROM publication p JOIN account a ON a.id = p.account_id JOIN post ON post.id = p.post_id
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
               WHERE p.workspace_id = $1 AND p.published_at >= $4 AND p.published_at < $5
                 AND p.state = 'published' AND p.surface <> 'comment'
                 AND a.deletion_id IS NULL AND a.state <> 'erased' AND ($2::boolean OR p.account_id = ANY ($3))
                 AND NOT EXISTS (SELECT FROM take_down t WHERE t.publication_id = p.id AND t.state = 'gone')
               ORDER BY p.published_at DESC, p.id LIMIT $6"#,
            among.workspace_id,
            among.accounts.is_none(),
            among.ids(),
            from,
            to,
            most,
        );
        Ok(published.fetch_all(&self.pool).await?)
    }

    /// These publications, as far as they are the workspace's and public; without the last word on them.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn published_of(
        &self,
        workspace_id: Uuid,
        ids: &[Uuid],
    ) -> Result<Vec<Published>, LedgerError> {
        let published = sqlx::query_as!(
            Published,
            r#"SELECT p.id, p.post_id, a.name AS account, a.platform, coalesce(p.caption, post.caption) AS "caption!",
                      p.published_at AS "published_at!", m.number AS "number?", NULL::bytea AS points
               FROM publication p JOIN account a ON a.id = p.account_id JOIN post ON post.id = p.post_id
               LEFT JOIN metric_plan m ON m.publication_id = p.id
               WHERE p.workspace_id = $1 AND p.id = ANY ($2) AND p.published_at IS NOT NULL
                 AND p.state = 'published' AND p.surface <> 'comment'
                 AND a.deletion_id IS NULL AND a.state <> 'erased'"#,
            workspace_id,
            ids,
        );
        Ok(published.fetch_all(&self.pool).await?)
    }

    /// What came out from one moment until before another, newest first, each with what was said of it a day later: by the
    /// first look from then on, which is on time for half a day. Stories are gone by then.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn after_a_day(
        &self,
        among: Among<'_>,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        most: i64,
    ) -> Result<Vec<AfterADay>, LedgerError> {
        let posts = sqlx::query_as!(
            AfterADay,
            r#"SELECT p.published_at AS "published_at!", later.points AS "points?"
               FROM publication p JOIN account a ON a.id = p.account_id
               LEFT JOIN metric_plan m ON m.publication_id = p.id
               LEFT JOIN LATERAL (
                   SELECT said.points FROM (
                       SELECT s.captured_at, s.points FROM snapshot s WHERE s.object = m.number
                         AND s.captured_at >= p.published_at + interval '23 hours'
                         AND s.captured_at < p.published_at + interval '36 hours'
                       UNION ALL
                       SELECT d.captured_at, d.points FROM snapshot_day d WHERE d.object = m.number
                         AND d.captured_at >= p.published_at + interval '23 hours'
                         AND d.captured_at < p.published_at + interval '36 hours') said
                   ORDER BY said.captured_at LIMIT 1) later ON true
               WHERE p.workspace_id = $1 AND p.published_at >= $4 AND p.published_at < $5
                 AND p.state = 'published' AND p.surface NOT IN ('comment', 'story')
                 AND a.deletion_id IS NULL AND a.state <> 'erased' AND ($2::boolean OR p.account_id = ANY ($3))
               ORDER BY p.published_at DESC LIMIT $6"#,
            among.workspace_id,
            among.accounts.is_none(),
            among.ids(),
            from,
            to,
            most,
        );
        Ok(posts.fetch_all(&self.pool).await?)
    }

    /// The named zone that an account's newest scheduled post was written in.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn last_time_zone_of(&self, account_id: Uuid) -> Result<Option<String>, LedgerError> {
        let zone = sqlx::query_scalar!(
            r#"SELECT newest.time_zone AS "zone!"
               -- among the newest only, as for a workspace
               FROM (SELECT post.time_zone, p.scheduled_for FROM publication p JOIN post ON post.id = p.post_id
                     WHERE p.account_id = $1 ORDER BY p.scheduled_for DESC LIMIT 200) newest
               WHERE newest.time_zone ~ '^[A-Z]' ORDER BY newest.scheduled_for DESC LIMIT 1"#,
            account_id,
        );
        Ok(zone.fetch_optional(&self.pool).await?)
    }
}
