//! Our own media origin: what networks fetch that pull their files, written down before the first byte leaves, and
//! what they may fetch no more.

use async_trait::async_trait;
use jobs::{
    contract::{Class, Failure},
    desk::{Close, Origin, Pulled},
};
use url::Url;
use uuid::Uuid;

use super::{Ledger, LedgerError, telling::until_heard};

/// The kind of the handles whose files networks pull.
pub(super) const PULL: &str = "pull";

/// A file that a network is about to fetch.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Its key in the object store.
    pub object_key: String,
    /// Its media type, found by content.
    pub content_type: String,
    /// Its size.
    pub bytes: u64,
}

impl Ledger {
    /// Writes down that a network fetches the file at this position of a commit call, and says which file that is.
    /// `None`: there is nothing at that address, or nothing any more.
    ///
    /// # Errors
    /// The ledger is away, and nothing may be served.
    pub async fn fetch(&self, call: Uuid, position: u8) -> Result<Option<Fetch>, LedgerError> {
        let row = sqlx::query!(
            // the lock rules out that a fetch and the closing of its address both see the other undone
            r#"WITH serving AS MATERIALIZED (
                   SELECT call_id, publication_id, handle_id FROM remote_call
                   WHERE call_id = $1 AND kind = 'commit' AND NOT revoked
                     -- no network comes for its files later than this
                     AND started_at > ledger_now() - interval '1 day'
                   FOR SHARE),
               file AS (
                   SELECT serving.call_id, m.object_key, m.type, m.bytes
                   FROM serving
                   JOIN publication p ON p.id = serving.publication_id AND p.handle_kind = $3
                                     AND p.handle_id = serving.handle_id
                   JOIN post_media pm ON pm.post_id = p.post_id
                   JOIN media m ON m.id = pm.media_id
                   ORDER BY pm.position LIMIT 1 OFFSET $2::smallint),
               told AS (
                   INSERT INTO media_fetch AS f (call_id, position) SELECT call_id, $2::smallint FROM file
                   ON CONFLICT (call_id, position) DO UPDATE SET fetches = f.fetches + 1, last_at = ledger_now()
                   RETURNING f.call_id)
               SELECT file.object_key AS "object_key!", file.type AS "content_type!", file.bytes AS "bytes!"
               FROM file JOIN told ON told.call_id = file.call_id"#,
            call,
            i16::from(position),
            PULL,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Fetch {
            object_key: row.object_key,
            content_type: row.content_type,
            bytes: u64::try_from(row.bytes).unwrap_or_default(),
        }))
    }

    /// The file that [`fetch`](Self::fetch) would serve; nothing is written down, and nothing may be served by this.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn served(&self, call: Uuid, position: u8) -> Result<Option<Fetch>, LedgerError> {
        let row = sqlx::query!(
            r#"SELECT m.object_key, m.type AS content_type, m.bytes
               FROM remote_call c
               JOIN publication p ON p.id = c.publication_id AND p.handle_kind = $3 AND p.handle_id = c.handle_id
               JOIN post_media pm ON pm.post_id = p.post_id
               JOIN media m ON m.id = pm.media_id
               WHERE c.call_id = $1 AND c.kind = 'commit' AND NOT c.revoked
                 AND c.started_at > ledger_now() - interval '1 day'
               ORDER BY pm.position LIMIT 1 OFFSET $2::smallint"#,
            call,
            i16::from(position),
            PULL,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Fetch {
            object_key: row.object_key,
            content_type: row.content_type,
            bytes: u64::try_from(row.bytes).unwrap_or_default(),
        }))
    }

    async fn close_addresses(&self, handle: &str, when: Close) -> Result<Pulled, LedgerError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query!(
            r#"UPDATE remote_call c SET revoked = true
               FROM publication p
               WHERE p.handle_kind = $1 AND p.handle_id = $2 AND c.publication_id = p.id AND c.kind = 'commit'
                 AND c.handle_id = p.handle_id AND NOT c.revoked
                 AND ($3 OR p.quarantine_until <= ledger_now())"#,
            PULL,
            handle,
            when == Close::Now,
        )
        .execute(&mut *tx)
        .await?;
        // a statement of its own, whose snapshot shows every fetch that the update had to wait for
        let row = sqlx::query!(
            r#"SELECT coalesce(bool_and(c.revoked), false) AS "closed!",
                      EXISTS (SELECT FROM media_fetch f JOIN remote_call o ON o.call_id = f.call_id
                              WHERE o.publication_id = p.id AND o.handle_id = p.handle_id) AS "fetched!"
               FROM publication p JOIN remote_call c ON c.publication_id = p.id AND c.kind = 'commit'
                                                    AND c.handle_id = p.handle_id
               WHERE p.handle_kind = $1 AND p.handle_id = $2
               GROUP BY p.id"#,
            PULL,
            handle,
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(match row {
            Some(row) if row.closed && row.fetched => Pulled::Fetched,
            Some(row) if row.closed => Pulled::Never,
            Some(_) | None => Pulled::Serving,
        })
    }

    /// Keeps what the network calls a commit that it took, while the commit's handle is the publication's.
    async fn name_commit(&self, call: Uuid, name: &str) -> Result<(), LedgerError> {
        sqlx::query!(
            r#"UPDATE publication p
               SET handle_detail = p.handle_detail || jsonb_build_object('publish_id', $3::text)
               FROM remote_call c
               WHERE c.call_id = $2 AND c.kind = 'commit' AND c.publication_id = p.id
                 AND p.handle_kind = $1 AND p.handle_id = c.handle_id"#,
            PULL,
            call,
            name,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// The origin as a worker has it.
#[derive(Debug, Clone)]
pub struct LedgerOrigin {
    ledger: Ledger,
    base: String,
}

impl LedgerOrigin {
    /// The origin that is served at the address which the outside sees.
    pub fn new(ledger: Ledger, public_url: &Url) -> Self {
        Self { ledger, base: public_url.as_str().trim_end_matches('/').to_owned() }
    }
}

#[async_trait]
impl Origin for LedgerOrigin {
    fn address(&self, call: Uuid, position: usize, content_type: &str) -> String {
        let ending = if content_type == "image/webp" { "webp" } else { "jpg" };
        format!("{}/p/{call}/{position}.{ending}", self.base)
    }

    async fn named(&self, call: Uuid, name: &str) -> Result<(), Failure> {
        let (ledger, name) = (self.ledger.clone(), name.to_owned());
        let telling = until_heard(move || {
            let (ledger, name) = (ledger.clone(), name.clone());
            async move { ledger.name_commit(call, &name).await }
        });
        telling.await.map_err(|error| away(&error))
    }

    async fn close(&self, handle: &str, when: Close) -> Result<Pulled, Failure> {
        self.ledger.close_addresses(handle, when).await.map_err(|error| away(&error))
    }
}

fn away(error: &LedgerError) -> Failure {
    Failure::new(Class::Transient, "ledger", error.to_string())
}
