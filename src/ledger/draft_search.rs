//! Accounts on which the name of something unseen may have been lost, and what is known of the calls that made it.

use chrono::{DateTime, Utc};
use jobs::{desk::Unseen, lost::Lost};
use uuid::Uuid;

use super::{Ledger, LedgerError};

/// An account that is searched.
#[derive(Debug, Clone)]
pub struct Search {
    /// Its id.
    pub account_id: Uuid,
    /// Its network.
    pub platform: String,
    /// Its id there.
    pub external_id: String,
    /// Calls since then are looked at…
    pub since: DateTime<Utc>,
    /// …until then: whoever made a later one may be on the way with its answer.
    pub until: DateTime<Utc>,
    /// The how manieth try this is.
    pub tries: i32,
}

impl Ledger {
    /// Takes up to `most` accounts whose search is due and puts their next one off, for longer each time. Those that
    /// may not be used now wait until they may.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn searches_due(&self, most: i64) -> Result<Vec<Search>, LedgerError> {
        let searches = sqlx::query_as!(
            Search,
            r#"WITH due AS (
                   SELECT s.account_id FROM draft_search s JOIN account a ON a.id = s.account_id
                   WHERE s.seek_at <= ledger_now() AND a.state = 'active' AND a.frozen_at IS NULL
                     AND (a.resting_until IS NULL OR a.resting_until <= ledger_now())
                   ORDER BY s.seek_at LIMIT $1
                   -- skip locked: two workers may look at once
                   FOR UPDATE OF s SKIP LOCKED)
               UPDATE draft_search s SET tries = s.tries + 1, seek_at = ledger_now() + (s.tries + 1) * interval '1 hour'
               FROM due, account a WHERE s.account_id = due.account_id AND a.id = s.account_id
               RETURNING s.account_id, a.platform, a.external_id, s.since, s.tries,
                         ledger_now() - interval '1 hour' AS "until!""#,
            most,
        );
        Ok(searches.fetch_all(&self.pool).await?)
    }

    /// The calls that the search is for.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn lost_calls(&self, search: &Search) -> Result<Vec<Lost>, LedgerError> {
        let lost = sqlx::query_as!(
            Lost,
            r#"SELECT coalesce(p.caption, post.caption) AS "words!", c.started_at AS "from", c.deadline_at AS "to"
               FROM remote_call c JOIN publication p ON p.id = c.publication_id JOIN post ON post.id = p.post_id
               WHERE c.account_id = $1 AND c.kind = 'prepare' AND c.verdict = 'ambiguous' AND c.handle_id IS NULL
                 AND c.started_at BETWEEN $2 AND $3"#,
            search.account_id,
            search.since,
            search.until,
        );
        Ok(lost.fetch_all(&self.pool).await?)
    }

    /// Files what was found as handles that nobody holds, to be swept as those are; but nothing that is somebody's, or
    /// that any call knows by its name: that was not lost. Tells how much it was.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn file_found(&self, account_id: Uuid, found: &[Unseen]) -> Result<u64, LedgerError> {
        let kinds: Vec<String> = found.iter().map(|it| it.handle.kind.clone()).collect();
        let ids: Vec<String> = found.iter().map(|it| it.handle.id.clone()).collect();
        let times: Vec<DateTime<Utc>> = found.iter().map(|it| it.made_at).collect();
        let filed = sqlx::query!(
            "INSERT INTO orphan_handle (account_id, handle_kind, handle_id, created_at, sweep_at)
             SELECT $1, f.kind, f.id, f.made_at, ledger_now()
             FROM unnest($2::text[], $3::text[], $4::timestamptz[]) AS f (kind, id, made_at)
             WHERE NOT is_somebodys($1, f.kind, f.id)
               AND NOT EXISTS (SELECT FROM remote_call c WHERE c.account_id = $1 AND c.handle_id = f.id)
             ON CONFLICT DO NOTHING",
            account_id,
            &kinds,
            &ids,
            &times,
        );
        Ok(filed.execute(&self.pool).await?.rows_affected())
    }

    /// An account was searched as far as it can be. Calls that were too young for it have a search of their own; one that
    /// is lost in this very moment is looked for with the next.
    ///
    /// # Errors
    /// The ledger is away; it is searched once more.
    pub async fn searched(&self, search: &Search) -> Result<(), LedgerError> {
        sqlx::query!(
            "WITH more AS (
                 SELECT min(c.started_at) AS first FROM remote_call c
                 WHERE c.account_id = $1 AND c.kind = 'prepare' AND c.verdict = 'ambiguous' AND c.handle_id IS NULL
                   AND c.started_at > $2),
             over AS (DELETE FROM draft_search s USING more WHERE s.account_id = $1 AND more.first IS NULL)
             UPDATE draft_search s SET since = more.first, tries = 0, seek_at = ledger_now() + interval '1 hour'
             FROM more WHERE s.account_id = $1 AND more.first IS NOT NULL",
            search.account_id,
            search.until,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
