//! Files in the object store that nothing needs, or may turn out not to: each is written down before it is stored, or as
//! its last use ends, and removed later.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Ledger, LedgerError};

/// A file that is being taken in is kept by then, or never.
const TAKING_IN: Duration = Duration::from_hours(6);
/// A removal that failed is tried again after so long.
const AGAIN: Duration = Duration::from_mins(10);

/// Where a walk over the files has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When the last file that was looked at came.
    pub created_at: DateTime<Utc>,
    /// Which it was.
    pub id: Uuid,
}

/// A file whose removal is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spare {
    /// Where it is.
    pub key: String,
    /// What the store calls the parts of it that were never joined.
    pub parts: Option<String>,
}

impl Ledger {
    /// Writes down that a file will be stored under this key: if nobody keeps it, it is removed.
    pub async fn about_to_store(&self, key: &str) -> Result<(), LedgerError> {
        sqlx::query!(
            "INSERT INTO spare_object (object_key, remove_at) VALUES ($1, ledger_now() + make_interval(secs => $2))",
            key,
            TAKING_IN.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Looks at up to `most` files older than `age`, from a mark on, and gives up those that no post uses. Tells where it
    /// got to; `None`: there is nothing further on.
    pub async fn drop_unused_media(
        &self,
        age: Duration,
        from: Option<Mark>,
        most: i64,
    ) -> Result<Option<Mark>, LedgerError> {
        let mark = sqlx::query!(
            r#"WITH page AS (
                 SELECT m.id, m.created_at FROM media m
                 WHERE m.created_at < ledger_now() - make_interval(secs => $1)
                   AND ($2::timestamptz IS NULL OR (m.created_at, m.id) > ($2, $3))
                 ORDER BY m.created_at, m.id LIMIT $4),
             -- skip locked: a post that is being accepted holds the files it names
             stale AS (
                 SELECT m.id FROM media m JOIN page USING (id)
                 WHERE NOT EXISTS (SELECT FROM post_media pm WHERE pm.media_id = m.id)
                 FOR UPDATE OF m SKIP LOCKED),
             -- a post that was accepted since this statement began is found by post_media's key, and all of this undone
             gone AS (
                 DELETE FROM media m USING stale
                 WHERE m.id = stale.id AND NOT EXISTS (SELECT FROM post_media pm WHERE pm.media_id = m.id)
                 RETURNING m.object_key),
             spare AS (
                 INSERT INTO spare_object (object_key, remove_at) SELECT object_key, ledger_now() FROM gone
                 ON CONFLICT (object_key) DO NOTHING)
             SELECT page.created_at, page.id FROM page ORDER BY page.created_at DESC, page.id DESC LIMIT 1"#,
            age.as_secs_f64(),
            from.map(|mark| mark.created_at),
            from.map(|mark| mark.id),
            most,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(mark.map(|row| Mark { created_at: row.created_at, id: row.id }))
    }

    /// Gives up to `most` uploads up that were promised longer ago than `age`, and says how many. What they have become
    /// stays; what was sent and not completed goes.
    pub async fn drop_old_uploads(&self, age: Duration, most: i64) -> Result<u64, LedgerError> {
        let done = sqlx::query!(
            "WITH gone AS (
                 DELETE FROM upload WHERE id IN (
                     SELECT id FROM upload WHERE created_at < ledger_now() - make_interval(secs => $1)
                     ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)
                 RETURNING object_key, parts)
             INSERT INTO spare_object (object_key, remove_at, parts) SELECT object_key, ledger_now(), parts FROM gone
             ON CONFLICT (object_key) DO NOTHING",
            age.as_secs_f64(),
            most,
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// Takes up to `most` files whose removal is due; the others leave them alone for a while.
    pub async fn take_spare(&self, most: i64) -> Result<Vec<Spare>, LedgerError> {
        let taken = sqlx::query_as!(
            Spare,
            "UPDATE spare_object SET taken = true, remove_at = ledger_now() + make_interval(secs => $1)
             WHERE object_key IN (
                 SELECT object_key FROM spare_object WHERE remove_at <= ledger_now()
                 ORDER BY remove_at LIMIT $2 FOR UPDATE SKIP LOCKED)
             RETURNING object_key AS key, parts",
            AGAIN.as_secs_f64(),
            most,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(taken)
    }

    /// Forgets files that are removed.
    pub async fn removed_spare(&self, keys: &[String]) -> Result<(), LedgerError> {
        sqlx::query!("DELETE FROM spare_object WHERE object_key = ANY ($1)", keys)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Keeps a file that was written down as one to remove; false: its removal has begun.
pub(super) async fn keep(connection: &mut PgConnection, key: &str) -> Result<bool, LedgerError> {
    let kept = sqlx::query!("DELETE FROM spare_object WHERE object_key = $1 AND NOT taken", key);
    Ok(kept.execute(connection).await?.rows_affected() == 1)
}
