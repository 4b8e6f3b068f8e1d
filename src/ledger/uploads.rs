//! Files that were promised and come to the object store by themselves.

use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    idempotency::{self, Answer, Asked, Once},
    media::{self, Media, NewMedia},
    spare,
};

/// A file that was promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub workspace_id: Uuid,
    /// Where in the store it is to come.
    pub object_key: String,
    /// What the uploader calls it.
    pub name: String,
    /// The type that it is said to be of.
    pub content_type: String,
    /// The size that it is said to have.
    pub bytes: i64,
    /// What the store calls its parts, where it comes in such and they are not joined yet.
    pub parts: Option<String>,
    /// What it became.
    pub media_id: Option<Uuid>,
}

impl Ledger {
    /// Writes down that a file is to come, together with the answer to who promised it. One that comes in parts was
    /// written down as one to remove before the store opened it; from now on it is this upload's.
    pub async fn add_upload(
        &self,
        new: &Upload,
        asked: Option<&Asked>,
        answer: Answer,
    ) -> Result<Once<Answer>, LedgerError> {
        let mut tx = match self.begin_once(asked).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        sqlx::query!(
            "INSERT INTO upload (id, workspace_id, object_key, name, type, bytes, parts)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            new.id,
            new.workspace_id,
            new.object_key,
            new.name,
            new.content_type,
            new.bytes,
            new.parts,
        )
        .execute(&mut *tx)
        .await?;
        if new.parts.is_some() && !spare::keep(&mut tx, &new.object_key).await? {
            let gone = format!("no word of {} any more: it took so long that it is given up", new.object_key);
            return Err(LedgerError::Unreadable(gone));
        }
        self.commit_once(tx, asked, Some(&answer)).await?;
        Ok(Once::Done(answer))
    }

    /// The workspace's upload of that id.
    pub async fn upload(&self, workspace_id: Uuid, id: Uuid) -> Result<Option<Upload>, LedgerError> {
        let found = sqlx::query_as!(
            Upload,
            "SELECT id, workspace_id, object_key, name, type AS content_type, bytes, parts, media_id
             FROM upload WHERE workspace_id = $1 AND id = $2",
            workspace_id,
            id,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(found)
    }

    /// Its parts are one file now: there is nothing left of them to give up.
    pub async fn upload_joined(&self, id: Uuid) -> Result<(), LedgerError> {
        sqlx::query!("UPDATE upload SET parts = NULL WHERE id = $1", id).execute(&self.pool).await?;
        Ok(())
    }

    /// Makes a file of an upload, unless somebody was faster: `None`, and the copy in the store is not needed.
    pub async fn complete_upload(
        &self,
        id: Uuid,
        new: &NewMedia,
        asked: Option<&Asked>,
        answer: impl FnOnce(&Media) -> Answer + Send,
    ) -> Result<Once<Option<Media>>, LedgerError> {
        let mut tx = match self.begin_once(asked).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        // waits for whoever completes it at this moment
        let open = sqlx::query!(
            "SELECT id FROM upload WHERE id = $1 AND workspace_id = $2 AND media_id IS NULL FOR UPDATE",
            id,
            new.workspace_id,
        );
        if open.fetch_optional(&mut *tx).await?.is_none() {
            return Ok(Once::Done(None));
        }
        let media = media::keep(&mut tx, new).await?;
        sqlx::query!("UPDATE upload SET media_id = $2 WHERE id = $1 AND media_id IS NULL", id, media.id)
            .execute(&mut *tx)
            .await?;
        if let Some(asked) = asked {
            idempotency::names(&mut tx, asked, media.id).await?;
        }
        self.commit_once(tx, asked, Some(&answer(&media))).await?;
        Ok(Once::Done(Some(media)))
    }

    /// Keeps what is answered about a file that there was before, under the key it was asked with.
    pub async fn answer_of(
        &self,
        asked: &Asked,
        media_id: Uuid,
        answer: Answer,
    ) -> Result<Once<Answer>, LedgerError> {
        let mut tx = match self.begin_once(Some(asked)).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        idempotency::names(&mut tx, asked, media_id).await?;
        self.commit_once(tx, Some(asked), Some(&answer)).await?;
        Ok(Once::Done(answer))
    }
}
