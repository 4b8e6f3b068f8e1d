//! The chain of all that was written down (`audit`): a link for each row, with a hash over the link before and over every
//! column of the row. Whoever changes, drops or reorders rows later breaks it, and [`Ledger::verify_audit`] says where.

use std::fmt;

use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Ledger, LedgerError, audit::Row};

/// Links that are read or made at a time.
const PAGE: i64 = 1_000;

/// The hash of a link.
pub type Hash = [u8; 32];

impl Row {
    /// The hash of the link of this number that holds this row. Each field goes in with its length, so that no two rows
    /// read alike.
    fn link(&self, seq: i64, before: &Hash) -> Hash {
        let mut hash = Sha256::new();
        hash.update(before);
        hash.update(seq.to_be_bytes());
        hash.update(self.id);
        hash.update(self.at.timestamp_micros().to_be_bytes());
        let ids = [self.actor_id, self.workspace_id].map(|id| id.map(|id| id.to_string()));
        let origin = self.origin.as_ref().map(hex::encode);
        let texts = [
            Some(&self.actor),
            ids[0].as_ref(),
            Some(&self.action),
            Some(&self.object),
            Some(&self.object_id),
            ids[1].as_ref(),
            origin.as_ref(),
            Some(&self.detail),
        ];
        for text in texts {
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(text.map_or("", String::as_str));
        }
        hash.finalize().into()
    }
}

/// How a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many links it has.
    pub seq: i64,
    /// The hash of the last one.
    pub hash: Hash,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex::encode(self.hash))
    }
}

impl std::str::FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (seq, hash) = text.split_once(':')?;
            Some(Self { seq: seq.parse().ok()?, hash: hex::decode(hash).ok()?.try_into().ok()? })
        };
        read().ok_or_else(|| format!("{text:?} is no end of a chain; it is written NUMBER:HASH"))
    }
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A link is missing.
    #[error("link {0} is missing")]
    Missing(i64),
    /// The row of a link is missing.
    #[error("the row {1} of link {0} is missing")]
    RowMissing(i64, Uuid),
    /// The row is not what was chained, or not in its place.
    #[error("the row {1} of link {0} was changed, or moved")]
    Changed(i64, Uuid),
    /// The chain ends elsewhere than it is said to.
    #[error(
        "it ends at {found}, and {said} is where it was known to end: rows at its end are missing or others"
    )]
    Ends {
        /// How it ends.
        found: String,
        /// How it is said to.
        said: String,
    },
    /// A row is in no link and does not wait for one.
    #[error("the row {0} is in no link and does not wait for one")]
    Loose(Uuid),
}

/// A chain without a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How it ends.
    pub head: Head,
    /// Rows that are not chained yet.
    pub waiting: i64,
}

impl Ledger {
    /// Chains up to a page of the rows that wait, and returns how the chain ends then; `None`: there is nothing to do, or
    /// another worker does it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn chain_audit(&self) -> Result<Option<Head>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let alone = sqlx::query_scalar!(
            r#"SELECT (EXISTS (SELECT FROM audit_waiting) AND pg_try_advisory_xact_lock(7305812047)) AS "alone!""#
        );
        if !alone.fetch_one(&mut *tx).await? {
            return Ok(None);
        }
        let before = head(&mut tx).await?;
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT a.id, a.at, a.actor, a.actor_id, a.action, a.object, a.object_id, a.workspace_id, a.origin,
                      NULL AS address, a.detail::text AS "detail!"
               FROM audit_waiting w JOIN audit a ON a.id = w.audit_id ORDER BY a.at, a.id LIMIT $1"#,
            PAGE,
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut now = before;
        let (mut seqs, mut hashes) = (Vec::new(), Vec::new());
        for row in &rows {
            now.seq += 1;
            now.hash = row.link(now.seq, &now.hash);
            seqs.push(now.seq);
            hashes.push(now.hash.to_vec());
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        sqlx::query!(
            "WITH linked AS (
                 INSERT INTO audit_link (seq, audit_id, hash)
                 SELECT t.seq, t.id, t.hash FROM unnest($1::bigint[], $2::uuid[], $3::bytea[]) AS t (seq, id, hash)),
             waits_no_more AS (DELETE FROM audit_waiting WHERE audit_id = ANY($2))
             UPDATE audit_head SET seq = $4, hash = $5",
            &seqs,
            &ids,
            &hashes,
            now.seq,
            &now.hash,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(now))
    }

    /// Walks the chain from its beginning. `witness` is an end that was noted before: it has to be in the chain.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn verify_audit(&self, witness: Option<Head>) -> Result<Result<Verified, Broken>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        // one moment for all of it, while workers go on chaining
        sqlx::query!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
        let mut now = Head { seq: 0, hash: [0; 32] };
        loop {
            let links = links(&mut tx, now.seq).await?;
            if links.is_empty() {
                break;
            }
            for link in links {
                match link.follow(now) {
                    Ok(next) => now = next,
                    Err(broken) => return Ok(Err(broken)),
                }
                if witness.is_some_and(|it| it.seq == now.seq && it.hash != now.hash) {
                    return Ok(Err(ends(now, witness.unwrap_or(now))));
                }
            }
        }
        let said = head(&mut tx).await?;
        if said != now {
            return Ok(Err(ends(now, said)));
        }
        if let Some(witness) = witness.filter(|it| it.seq > now.seq) {
            return Ok(Err(ends(now, witness)));
        }
        let loose = sqlx::query_scalar!(
            "SELECT id FROM audit a
             WHERE NOT EXISTS (SELECT FROM audit_link l WHERE l.audit_id = a.id)
               AND NOT EXISTS (SELECT FROM audit_waiting w WHERE w.audit_id = a.id)
             ORDER BY at, id LIMIT 1"
        );
        if let Some(id) = loose.fetch_optional(&mut *tx).await? {
            return Ok(Err(Broken::Loose(id)));
        }
        let waiting = sqlx::query_scalar!(r#"SELECT count(*) AS "waiting!" FROM audit_waiting"#);
        let waiting = waiting.fetch_one(&mut *tx).await?;
        Ok(Ok(Verified { head: now, waiting }))
    }
}

fn ends(found: Head, said: Head) -> Broken {
    Broken::Ends { found: found.to_string(), said: said.to_string() }
}

async fn head(tx: &mut PgConnection) -> Result<Head, LedgerError> {
    let row = sqlx::query!("SELECT seq, hash FROM audit_head").fetch_one(tx).await?;
    Ok(Head { seq: row.seq, hash: hash_of(&row.hash)? })
}

fn hash_of(bytes: &[u8]) -> Result<Hash, LedgerError> {
    bytes.try_into().map_err(|_| LedgerError::Unreadable("a hash of another length".into()))
}

/// A link, and its row if there still is one.
struct Link {
    seq: i64,
    id: Uuid,
    hash: Hash,
    row: Option<Row>,
    /// The address that is kept beside the row is not the one that it was written with.
    misplaced: bool,
}

impl Link {
    /// How the chain ends with this link, which has to be the next one.
    fn follow(self, before: Head) -> Result<Head, Broken> {
        let seq = before.seq + 1;
        if self.seq != seq {
            return Err(Broken::Missing(seq));
        }
        let row = self.row.ok_or(Broken::RowMissing(seq, self.id))?;
        if self.misplaced || row.link(seq, &before.hash) != self.hash {
            return Err(Broken::Changed(seq, self.id));
        }
        Ok(Head { seq, hash: self.hash })
    }
}

async fn links(tx: &mut PgConnection, after: i64) -> Result<Vec<Link>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT l.seq, l.audit_id, l.hash, a.id AS "id?", a.at AS "at?", a.actor AS "actor?", a.actor_id,
                  a.action AS "action?", a.object AS "object?", a.object_id AS "object_id?", a.workspace_id, a.origin,
                  o.address AS "address?", a.detail::text AS detail,
                  o.audit_id IS NOT NULL
                      AND a.origin IS DISTINCT FROM sha256(o.salt || convert_to(o.address, 'UTF8')) AS "misplaced!"
           FROM audit_link l LEFT JOIN audit a ON a.id = l.audit_id LEFT JOIN audit_address o ON o.audit_id = a.id
           WHERE l.seq > $1 ORDER BY l.seq LIMIT $2"#,
        after,
        PAGE,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|it| {
            let row = it.id.map(|id| Row {
                id,
                at: it.at.unwrap_or_default(),
                actor: it.actor.unwrap_or_default(),
                actor_id: it.actor_id,
                action: it.action.unwrap_or_default(),
                object: it.object.unwrap_or_default(),
                object_id: it.object_id.unwrap_or_default(),
                workspace_id: it.workspace_id,
                origin: it.origin,
                address: it.address,
                detail: it.detail.unwrap_or_default(),
            });
            Ok(Link { seq: it.seq, id: it.audit_id, hash: hash_of(&it.hash)?, row, misplaced: it.misplaced })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn row() -> Row {
        Row {
            id: Uuid::from_u128(7),
            at: DateTime::UNIX_EPOCH,
            actor: "key".into(),
            actor_id: Some(Uuid::from_u128(1)),
            action: "cancelled".into(),
            object: "post".into(),
            object_id: "x".into(),
            workspace_id: None,
            origin: None,
            address: None,
            detail: "{}".into(),
        }
    }

    #[test]
    fn every_column_its_place_and_what_was_before_go_into_a_link() {
        let (zero, it) = ([0; 32], row());
        let hash = it.link(1, &zero);
        let other = |change: fn(&mut Row)| {
            let mut it = row();
            change(&mut it);
            it.link(1, &zero)
        };
        let changed = [
            other(|it| it.id = Uuid::from_u128(8)),
            other(|it| it.at += chrono::TimeDelta::microseconds(1)),
            other(|it| it.actor = "person".into()),
            other(|it| it.actor_id = None),
            other(|it| it.action = "redriven".into()),
            other(|it| it.object = "job".into()),
            other(|it| it.object_id = "y".into()),
            other(|it| it.workspace_id = it.actor_id),
            other(|it| it.origin = Some(Vec::new())),
            other(|it| it.detail = "{ }".into()),
            // what moves from one field to the next is not the same
            other(|it| (it.object, it.object_id) = ("postx".into(), String::new())),
            it.link(2, &zero),
            it.link(1, &hash),
        ];
        assert!(changed.iter().all(|changed| *changed != hash));
        assert_eq!(row().link(1, &zero), hash);
        assert_eq!(
            other(|it| it.address = Some("127.0.0.1".into())),
            hash,
            "it may go, and stands by its origin"
        );
    }

    #[test]
    fn the_end_of_a_chain_is_read_as_it_is_written() {
        let head = Head { seq: 12, hash: [0xab; 32] };
        assert_eq!(head.to_string().parse(), Ok(head));
        for wrong in ["", "12", "12:ab", "x:00", ":"] {
            assert!(wrong.parse::<Head>().is_err(), "{wrong}");
        }
    }
}
