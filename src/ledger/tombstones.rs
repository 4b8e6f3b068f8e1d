//! What outlives a ledger: which connections, people and letters were to be deleted, by our own ids. It is kept in the object
//! store from the moment in which a request is accepted, so that a ledger that is restored from an older backup is rid of
//! them again; and beside it, sealed and until the person was told, the address of whom to tell.

use chrono::{DateTime, Utc};
use jobs::forgetting::Keepsake;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgTransaction};
use uuid::Uuid;

use super::{Ledger, LedgerError, deletions::Origin, freeze};

/// Where they are kept.
pub const FOLDER: &str = "deletions/";

/// Where the address of whom to tell is kept, sealed.
pub fn recipient_key(request: Uuid) -> String {
    format!("deletion-recipients/{request}")
}

fn english() -> String {
    "en".to_owned()
}

/// One request, without whom it was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The request.
    pub id: Uuid,
    /// How it came.
    pub origin: String,
    /// When.
    pub received_at: DateTime<Utc>,
    /// Of the code that its state is looked up by.
    pub code_digest: String,
    /// Of what came, keyed.
    pub asked_digest: Option<String>,
    /// The connections that it covers.
    pub accounts: Vec<Uuid>,
    /// The people on the staff that it covers.
    pub people: Vec<Uuid>,
    /// The invitations and the letters that it covers: who was only asked to join is in nothing else.
    #[serde(default)]
    pub letters: Vec<Uuid>,
    /// `en` or `he`.
    #[serde(default = "english")]
    pub language: String,
    /// Whose staff asked.
    #[serde(default)]
    pub workspace_id: Option<Uuid>,
    /// The tokens of the connections were destroyed with their data keys: nothing is left to ask the networks with.
    #[serde(default)]
    pub shredded: bool,
}

/// What is known here by the name of a request that a tombstone is of, or by what it was known by, and is another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Clash {
    /// The request that the tombstone is of.
    pub tombstone: Uuid,
    /// The one that is known here.
    pub request: Uuid,
}

/// What a restore has made of what tombstones name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raised {
    /// What is there again and is not being deleted.
    pub risen: Vec<Tombstone>,
    /// What is there and cannot be told from another's request: nobody but a person says what is to become of it.
    pub clashes: Vec<Clash>,
}

/// What is to become of what one tombstone names.
enum Fate {
    /// Nothing of it is there, or it is being deleted.
    Settled,
    /// It is there again.
    Risen,
    /// It is there, and this request is known by what the tombstone is known by.
    Clashes(Uuid),
}

impl Tombstone {
    /// Where it is kept.
    pub fn key(&self) -> String {
        format!("{FOLDER}{}.json", self.id)
    }

    /// As it is kept.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::json!(self).to_string().into_bytes()
    }

    /// Reads one.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("a tombstone cannot be read: {error}"))
    }

    fn digests(&self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let asked = self.asked_digest.as_ref().map(hex::decode).transpose().ok()?;
        Some((hex::decode(&self.code_digest).ok()?, asked))
    }
}

impl Ledger {
    /// What is to be kept of a request.
    ///
    /// # Errors
    /// The ledger is away.
    pub(super) async fn tombstone(&self, request: Uuid) -> Result<Option<Tombstone>, LedgerError> {
        let row = sqlx::query!(
            r#"SELECT r.id, r.origin::text AS "origin!", r.received_at, r.code_digest, r.asked_digest, r.language,
                      r.workspace_id,
                      ARRAY(SELECT d.account_id FROM deletion_account d WHERE d.request_id = r.id ORDER BY 1) AS "accounts!",
                      ARRAY(SELECT m.id FROM deletion_mark m
                            WHERE m.request_id = r.id AND m.kind = 'person' ORDER BY 1) AS "people!",
                      ARRAY(SELECT m.id FROM deletion_mark m
                            WHERE m.request_id = r.id AND m.kind IN ('invitation', 'mail') ORDER BY 1) AS "letters!",
                      -- also before that is a turn, and once more after a restore; who accepts requests sees no vault
                      r.shredded_at IS NOT NULL OR r.keys_shredded + r.tokens_without_key > 0 AS "shredded!"
               FROM deletion_request r WHERE r.id = $1"#,
            request,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Tombstone {
            id: row.id,
            origin: row.origin,
            received_at: row.received_at,
            code_digest: hex::encode(row.code_digest),
            asked_digest: row.asked_digest.map(hex::encode),
            accounts: row.accounts,
            people: row.people,
            letters: row.letters,
            language: row.language,
            workspace_id: row.workspace_id,
            shredded: row.shredded,
        }))
    }

    /// What is to be kept outside of the ledger of a request that is not over.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn keepsakes(&self, request: Uuid) -> Result<Vec<Keepsake>, LedgerError> {
        let Some(stone) = self.tombstone(request).await? else { return Ok(Vec::new()) };
        let recipient = sqlx::query_scalar!("SELECT recipient FROM deletion_request WHERE id = $1", request);
        let recipient = recipient.fetch_optional(&self.pool).await?.flatten();
        let recipient = recipient.map(|bytes| Keepsake {
            key: recipient_key(request),
            content_type: "application/octet-stream",
            bytes,
        });
        let stone = Keepsake { key: stone.key(), content_type: "application/json", bytes: stone.bytes() };
        Ok(std::iter::once(stone).chain(recipient).collect())
    }

    /// All of that is kept, by whoever has accepted it. False: the person was told meanwhile, and what was kept of the address
    /// has to go again.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn keepsakes_kept(&self, request: Uuid) -> Result<bool, LedgerError> {
        let kept = sqlx::query!(
            r#"UPDATE deletion_request
               -- what was read before its tokens were gone does not say so, and may have come last: it is kept once more
               SET stone_at = CASE WHEN shredded_at IS NULL AND keys_shredded + tokens_without_key = 0 THEN ledger_now() END
               WHERE id = $1 AND stage NOT IN ('forgetting', 'done')"#,
            request,
        );
        Ok(kept.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// What a restore has brought back of these.
    ///
    /// # Errors
    /// The ledger is away, or one cannot be read.
    pub async fn risen(&self, all: &[Tombstone]) -> Result<Raised, LedgerError> {
        let (mut connection, mut raised) = (self.pool.acquire().await?, Raised::default());
        for stone in all {
            match fate(&mut connection, stone).await? {
                Fate::Settled => {}
                Fate::Risen => raised.risen.push(stone.clone()),
                Fate::Clashes(request) => raised.clashes.push(Clash { tombstone: stone.id, request }),
            }
        }
        Ok(raised)
    }

    /// Deletes again what a restore has brought back: the request goes through all its stages once more, and its clocks run
    /// from now on. `recipient` is the address that is kept beside the tombstone, as it is sealed. Gives what kept it from
    /// that, if anything did. Repeatable.
    ///
    /// # Errors
    /// The ledger is away, or one cannot be read.
    pub async fn replay_deletion(
        &self,
        stone: &Tombstone,
        recipient: Option<&[u8]>,
    ) -> Result<Option<Clash>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        // those that were raised before this one may be known by the same
        match fate(&mut tx, stone).await? {
            Fate::Settled => return Ok(None),
            Fate::Clashes(request) => return Ok(Some(Clash { tombstone: stone.id, request })),
            Fate::Risen => {}
        }
        raise_request(&mut tx, stone, recipient).await?;
        let covered = freeze::freeze_again(&mut tx, stone.id, &stone.accounts).await?;
        sqlx::query!(
            r#"INSERT INTO deletion_mark (request_id, id, kind)
               SELECT $1::uuid, p.id, 'person' FROM person p WHERE p.id = ANY ($2)
               UNION ALL SELECT $1, i.id, 'invitation' FROM invitation i WHERE i.id = ANY ($3)
               UNION ALL SELECT $1, t.id, 'mail' FROM mail t WHERE t.id = ANY ($3)
               ON CONFLICT DO NOTHING"#,
            stone.id,
            &stone.people,
            &stone.letters,
        )
        .execute(&mut *tx)
        .await?;
        freeze::give_up(&mut tx, stone.id, &covered).await?;
        tx.commit().await?;
        Ok(None)
    }

    /// Lets the requests that were under way when the backup was made go on, with their clocks from now on: what was done
    /// of them since is not known, and their tokens are here again.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn resume_deletions(&self) -> Result<(), LedgerError> {
        sqlx::query!("UPDATE deletion_request SET restored_at = ledger_now() WHERE stage <> 'done'")
            .execute(&self.pool)
            .await?;
        self.mend_deletions().await?;
        Ok(())
    }
}

async fn fate(connection: &mut PgConnection, stone: &Tombstone) -> Result<Fate, LedgerError> {
    let (code, asked) = stone.digests().ok_or_else(|| unreadable(stone))?;
    let row = sqlx::query!(
        r#"WITH there AS (
               SELECT a.id, 'account' AS kind FROM account a WHERE a.id = ANY ($4)
               UNION ALL SELECT p.id, 'person' FROM person p WHERE p.id = ANY ($5)
               UNION ALL SELECT i.id, 'invitation' FROM invitation i WHERE i.id = ANY ($6)
               UNION ALL SELECT t.id, 'mail' FROM mail t WHERE t.id = ANY ($6)),
           same AS (
               SELECT r.id, r.stage <> 'done' AS open,
                      r.id = $1 AND r.code_digest = $2 AND r.asked_digest IS NOT DISTINCT FROM $3 AS itself
               FROM deletion_request r WHERE r.id = $1 OR r.code_digest = $2 OR r.asked_digest = $3)
           SELECT EXISTS (SELECT FROM there) AND NOT EXISTS (SELECT FROM same s WHERE s.open OR NOT s.itself) AS "risen!",
                  -- the same wish that has come again is no other's where it covers the same
                  (SELECT s.id FROM same s
                   WHERE NOT s.itself AND EXISTS (
                       SELECT FROM there t
                       WHERE NOT s.open
                          OR NOT EXISTS (SELECT FROM deletion_mark m
                                         WHERE m.request_id = s.id AND m.id = t.id AND m.kind = t.kind))
                   ORDER BY s.id LIMIT 1) AS "clash?""#,
        stone.id,
        code,
        asked,
        &stone.accounts,
        &stone.people,
        &stone.letters,
    )
    .fetch_one(connection)
    .await?;
    Ok(match (row.risen, row.clash) {
        (_, Some(request)) => Fate::Clashes(request),
        (true, None) => Fate::Risen,
        (false, None) => Fate::Settled,
    })
}

fn unreadable(stone: &Tombstone) -> LedgerError {
    LedgerError::Unreadable(format!("the tombstone of request {}", stone.id))
}

/// The request as it was when it came; one that was over begins anew.
async fn raise_request(
    tx: &mut PgTransaction<'_>,
    stone: &Tombstone,
    recipient: Option<&[u8]>,
) -> Result<(), LedgerError> {
    let (code, asked) = stone.digests().ok_or_else(|| unreadable(stone))?;
    let origin = Origin::parse(&stone.origin).ok_or_else(|| unreadable(stone))?;
    sqlx::query!(
        r#"INSERT INTO deletion_request (id, origin, code_digest, asked_digest, received_at, restored_at, language,
                                         workspace_id, recipient, addressed)
           VALUES ($1, $2::text::deletion_origin, $3, $4, $5, ledger_now(), $6, $7, $8, $8::bytea IS NOT NULL)
           ON CONFLICT (id) DO UPDATE
           SET stage = 'draining', round = deletion_request.round + 1, moved_at = ledger_now(), restored_at = ledger_now(),
               drained_at = NULL, revoked_at = NULL, shredded_at = NULL, purged_at = NULL, verified_at = NULL,
               told_at = NULL, done_at = NULL, receipt = NULL, signature = NULL, key_id = NULL,
               keys_shredded = 0, tokens_without_key = 0,
               recipient = coalesce(deletion_request.recipient, excluded.recipient),
               addressed = deletion_request.addressed OR excluded.addressed
           WHERE deletion_request.stage = 'done'"#,
        stone.id,
        origin.word(),
        code,
        asked,
        stone.received_at,
        stone.language,
        stone.workspace_id,
        recipient,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_is_read_as_it_was_written() {
        let stone = Tombstone {
            id: Uuid::nil(),
            origin: "meta".into(),
            received_at: DateTime::UNIX_EPOCH,
            code_digest: "00ff".into(),
            asked_digest: None,
            accounts: vec![Uuid::nil()],
            people: vec![],
            letters: vec![Uuid::nil()],
            language: "he".into(),
            workspace_id: Some(Uuid::nil()),
            shredded: true,
        };
        assert_eq!(Tombstone::parse(&stone.bytes()), Ok(stone.clone()));
        let mut older: serde_json::Value = serde_json::from_slice(&stone.bytes()).expect("JSON");
        for added in ["language", "workspace_id", "shredded", "letters"] {
            older.as_object_mut().expect("an object").remove(added);
        }
        let read = Tombstone::parse(older.to_string().as_bytes()).expect("one from before");
        // what does not say that its tokens are gone is gone through stage by stage
        assert_eq!((read.language.as_str(), read.workspace_id, read.shredded), ("en", None, false));
        assert_eq!(read.letters, Vec::<Uuid>::new());
        assert_eq!(stone.digests(), Some((vec![0, 255], None)));
        assert!(Tombstone::parse(b"{}").is_err());
        assert_eq!(Tombstone { code_digest: "x".into(), ..stone }.digests(), None);
    }
}
