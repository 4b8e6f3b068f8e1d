//! Files in the object store, as the ledger knows them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    idempotency::{self, Answer, Asked, Before},
    spare,
};

/// A file.
#[derive(Debug, Clone)]
pub struct Media {
    /// Its id.
    pub id: Uuid,
    /// Its key in the object store.
    pub object_key: String,
    /// What the uploader called it; for display only.
    pub name: String,
    /// Its media type, found by content.
    pub content_type: String,
    /// Its size.
    pub bytes: i64,
    /// In pixels, as shown.
    pub width: i32,
    /// In pixels, as shown.
    pub height: i32,
    /// Of a film.
    pub duration_ms: Option<i64>,
    /// Whether the store has all of it.
    pub ready: bool,
    /// When it came.
    pub created_at: DateTime<Utc>,
}

impl Media {
    /// The API's word for its state.
    pub fn state(&self) -> &'static str {
        if self.ready { "ready" } else { "uploading" }
    }
}

/// A file that is in the store and not yet in the ledger.
#[derive(Debug, Clone)]
pub struct NewMedia {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub workspace_id: Uuid,
    /// Its key in the object store.
    pub object_key: String,
    /// What the uploader called it.
    pub name: String,
    /// Its media type, found by content.
    pub content_type: &'static str,
    /// Its size.
    pub bytes: i64,
    /// In pixels, as shown.
    pub width: i32,
    /// In pixels, as shown.
    pub height: i32,
    /// Of a film.
    pub duration_ms: Option<i64>,
    /// Of its bytes.
    pub sha256: [u8; 32],
}

/// What came of keeping a file.
#[derive(Debug, Clone)]
pub enum Kept {
    /// It is kept; and so is the answer.
    New(Media, Answer),
    /// The same write was answered before: the file in the store is not needed.
    Before(Answer),
    /// The key was used for another write: the file in the store is not needed.
    KeyReused,
}

impl Ledger {
    /// Keeps a file that is in the store, together with the answer to its upload.
    pub async fn add_media(
        &self,
        new: &NewMedia,
        asked: Option<&Asked>,
        answer: impl FnOnce(&Media) -> Answer + Send,
    ) -> Result<Kept, LedgerError> {
        let mut tx = self.pool.begin().await?;
        if let Some(asked) = asked {
            match idempotency::take(&mut tx, asked).await? {
                Before::Nothing => {}
                Before::Answered(answer) => return Ok(Kept::Before(answer)),
                Before::Other => return Ok(Kept::KeyReused),
            }
        }
        let media = keep(&mut tx, new).await?;
        let xid =
            sqlx::query_scalar!(r#"SELECT pg_current_xact_id()::text AS "xid!""#).fetch_one(&mut *tx).await?;
        let answer = answer(&media);
        if let Some(asked) = asked {
            idempotency::keep(&mut tx, asked, &answer).await?;
            idempotency::names(&mut tx, asked, media.id).await?;
        }
        self.commit(tx, &xid).await?;
        Ok(Kept::New(media, answer))
    }

    /// The workspace's file of that id.
    pub async fn media(&self, workspace_id: Uuid, id: Uuid) -> Result<Option<Media>, LedgerError> {
        let found = select(&mut *self.pool.acquire().await?, workspace_id, &[id]).await?;
        Ok(found.into_iter().next())
    }

    /// The workspace's files among `ids`, in no order.
    pub async fn media_of(&self, workspace_id: Uuid, ids: &[Uuid]) -> Result<Vec<Media>, LedgerError> {
        select(&mut *self.pool.acquire().await?, workspace_id, ids).await
    }
}

/// Keeps a file that was written down before it was stored.
pub(super) async fn keep(connection: &mut PgConnection, new: &NewMedia) -> Result<Media, LedgerError> {
    if spare::keep(connection, &new.object_key).await? {
        return insert(connection, new).await;
    }
    let gone = format!("no word of {} any more: it took so long that it is being removed", new.object_key);
    Err(LedgerError::Unreadable(gone))
}

async fn insert(connection: &mut PgConnection, new: &NewMedia) -> Result<Media, LedgerError> {
    let created_at = sqlx::query_scalar!(
        "INSERT INTO media (id, workspace_id, object_key, name, type, bytes, width, height, duration_ms, sha256,
                            state)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'ready') RETURNING created_at",
        new.id,
        new.workspace_id,
        new.object_key,
        new.name,
        new.content_type,
        new.bytes,
        new.width,
        new.height,
        new.duration_ms,
        &new.sha256,
    )
    .fetch_one(connection)
    .await?;
    Ok(Media {
        id: new.id,
        object_key: new.object_key.clone(),
        name: new.name.clone(),
        content_type: new.content_type.to_owned(),
        bytes: new.bytes,
        width: new.width,
        height: new.height,
        duration_ms: new.duration_ms,
        ready: true,
        created_at,
    })
}

/// The workspace's files among `ids`, in no order; until the transaction ends none of them is given up.
pub(super) async fn lock(
    connection: &mut PgConnection,
    workspace_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<Media>, LedgerError> {
    let found = sqlx::query_as!(
        Media,
        r#"SELECT id, object_key, name, type AS content_type, bytes, width, height, duration_ms,
                  state = 'ready' AS "ready!", created_at
           FROM media WHERE workspace_id = $1 AND id = ANY ($2) ORDER BY id FOR KEY SHARE"#,
        workspace_id,
        ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(found)
}

/// The workspace's files among `ids`, in no order.
pub(super) async fn select(
    connection: &mut PgConnection,
    workspace_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<Media>, LedgerError> {
    let found = sqlx::query_as!(
        Media,
        r#"SELECT id, object_key, name, type AS content_type, bytes, width, height, duration_ms,
                  state = 'ready' AS "ready!", created_at
           FROM media WHERE workspace_id = $1 AND id = ANY ($2)"#,
        workspace_id,
        ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(found)
}
