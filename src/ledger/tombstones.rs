//! What outlives a ledger: which connections and people were to be deleted, by our own ids. It is kept in the object store
//! before anything is destroyed, so that a ledger that is restored from an older backup is rid of them again.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{Ledger, LedgerError, deletions::Origin, freeze};

/// Where they are kept.
pub const FOLDER: &str = "deletions/";

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
    /// The tokens of the connections were destroyed with their data keys: nothing is left to ask the networks with.
    #[serde(default)]
    pub shredded: bool,
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
            r#"SELECT r.id, r.origin::text AS "origin!", r.received_at, r.code_digest, r.asked_digest,
                      ARRAY(SELECT d.account_id FROM deletion_account d WHERE d.request_id = r.id ORDER BY 1) AS "accounts!",
                      ARRAY(SELECT m.id FROM deletion_mark m
                            WHERE m.request_id = r.id AND m.kind = 'person' ORDER BY 1) AS "people!",
                      r.stage NOT IN ('draining', 'revoking')
                      AND NOT EXISTS (SELECT FROM deletion_account d JOIN vault.token t ON t.account_id = d.account_id
                                      WHERE d.request_id = r.id)
                      AND NOT EXISTS (SELECT FROM deletion_account d JOIN vault.data_key k ON k.account_id = d.account_id
                                      WHERE d.request_id = r.id) AS "shredded!"
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
            shredded: row.shredded,
        }))
    }

    /// Those of which something is there that is not being deleted: what a restore has brought back.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn risen(&self, all: &[Tombstone]) -> Result<Vec<Tombstone>, LedgerError> {
        let mut risen = Vec::new();
        for stone in all {
            let there = sqlx::query_scalar!(
                r#"SELECT (EXISTS (SELECT FROM account WHERE id = ANY ($2)) OR EXISTS (SELECT FROM person WHERE id = ANY ($3)))
                          AND NOT EXISTS (SELECT FROM deletion_request WHERE id = $1 AND stage <> 'done') AS "there!""#,
                stone.id,
                &stone.accounts,
                &stone.people,
            );
            if there.fetch_one(&self.pool).await? {
                risen.push(stone.clone());
            }
        }
        Ok(risen)
    }

    /// Deletes again what a restore has brought back: each request goes through all its stages once more, with its clock as
    /// it ran then. Repeatable.
    ///
    /// # Errors
    /// The ledger is away, or one cannot be read.
    pub async fn replay_deletions(&self, risen: &[Tombstone]) -> Result<(), LedgerError> {
        for stone in risen {
            let mut tx = self.pool.begin().await?;
            raise_request(&mut tx, stone).await?;
            let covered = freeze::freeze_again(&mut tx, stone.id, &stone.accounts).await?;
            sqlx::query!(
                r#"INSERT INTO deletion_mark (request_id, id, kind)
                   SELECT $1, p.id, 'person' FROM person p WHERE p.id = ANY ($2) ON CONFLICT DO NOTHING"#,
                stone.id,
                &stone.people,
            )
            .execute(&mut *tx)
            .await?;
            freeze::give_up(&mut tx, stone.id, &covered).await?;
            tx.commit().await?;
        }
        self.mend_deletions().await?;
        Ok(())
    }
}

/// The request as it was when it came; one that was over begins anew.
async fn raise_request(tx: &mut PgTransaction<'_>, stone: &Tombstone) -> Result<(), LedgerError> {
    let unreadable = || LedgerError::Unreadable(format!("the tombstone of request {}", stone.id));
    let (code, asked) = stone.digests().ok_or_else(unreadable)?;
    let origin = Origin::parse(&stone.origin).ok_or_else(unreadable)?;
    sqlx::query!(
        r#"INSERT INTO deletion_request (id, origin, code_digest, asked_digest, received_at)
           VALUES ($1, $2::text::deletion_origin, $3, $4, $5)
           ON CONFLICT (id) DO UPDATE
           SET stage = 'draining', round = deletion_request.round + 1, moved_at = ledger_now(), drained_at = NULL,
               revoked_at = NULL, shredded_at = NULL, purged_at = NULL, verified_at = NULL, told_at = NULL, done_at = NULL,
               receipt = NULL, signature = NULL, key_id = NULL, keys_shredded = 0, tokens_without_key = 0
           WHERE deletion_request.stage = 'done'"#,
        stone.id,
        origin.word(),
        code,
        asked,
        stone.received_at,
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
            shredded: true,
        };
        assert_eq!(Tombstone::parse(&stone.bytes()), Ok(stone.clone()));
        // one of an earlier version does not say it, and is gone through stage by stage
        let earlier = String::from_utf8(stone.bytes()).expect("text").replace(r#","shredded":true"#, "");
        assert_eq!(Tombstone::parse(earlier.as_bytes()), Ok(Tombstone { shredded: false, ..stone.clone() }));
        assert_eq!(stone.digests(), Some((vec![0, 255], None)));
        assert!(Tombstone::parse(b"{}").is_err());
        assert_eq!(Tombstone { code_digest: "x".into(), ..stone }.digests(), None);
    }
}
