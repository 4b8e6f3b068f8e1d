//! Receipts of deletions: what was asked, what every store was emptied of and when, what the networks answered, and whether
//! both clocks were kept. They name nobody, and are signed.

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    contract::JobError,
    erasure::{ALL_WITHIN, TOKENS_WITHIN, Turn},
    forgetting::Keepsake,
};
use serde_json::{Value, json};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{
    KeyRing, Ledger, LedgerError, drafts,
    forgetting::ClaimedForgetting,
    register::{self, Purge},
    signing::{self, Signer},
    stages::go_on,
};

/// What a key that verifies receipts is kept as.
const PEM: &str = "application/x-pem-file";

/// What follows of data keys that were destroyed, and what does not.
const PROVES: &str = "the tokens were sealed under these keys, which are deleted from the ledger: a copy of the tokens without \
                      the keys opens no more; one that has both, as a full backup or the database's own log has, opens \
                      until it is deleted or the key of the ring is; tokens_without had no such key";

/// Names the row that a seed is sealed for.
pub(super) fn seed_row(id: &str) -> String {
    format!("vault.receipt_seed|{id}")
}

/// Signs the receipt and goes on, in one transaction: there is never another one.
pub(super) async fn certify(it: &ClaimedForgetting<'_>, request: Uuid) -> Result<(), JobError> {
    let signer = it.ledger.signer(it.ring).await?;
    let mut tx = it.ledger.fenced(it.claim).await?;
    let text = receipt(&mut tx, request).await?.to_string();
    let signature = signer.sign(&text);
    sqlx::query!(
        r#"UPDATE deletion_request SET receipt = $2, signature = $3, key_id = $4
           WHERE id = $1 AND stage = 'verifying' AND receipt IS NULL"#,
        request,
        text,
        signature,
        signer.id,
    )
    .execute(&mut *tx)
    .await
    .map_err(LedgerError::from)?;
    if !go_on(&mut tx, request, Turn::Clean).await? {
        return Err(JobError::Fenced);
    }
    tx.commit().await.map_err(LedgerError::from)?;
    Ok(())
}

async fn receipt(tx: &mut PgTransaction<'_>, request: Uuid) -> Result<Value, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT origin::text AS "origin!", received_at, restored_at, drained_at, shredded_at, round, was_armed, given_up,
                  not_provable, keys_shredded, tokens_without_key,
                  (SELECT count(*) FROM deletion_account d WHERE d.request_id = r.id) AS "accounts!",
                  (SELECT count(*) FROM deletion_mark m WHERE m.request_id = r.id AND m.kind = 'person') AS "people!",
                  ledger_now() AS "now!"
           FROM deletion_request r WHERE r.id = $1"#,
        request,
    )
    .fetch_one(&mut **tx)
    .await?;
    // what a restore has brought back is deleted once more, within the same time
    let from = row.restored_at.unwrap_or(row.received_at);
    let clock = |within: TimeDelta, at: Option<DateTime<Utc>>| {
        let kept = at.is_some_and(|at| at - from <= within);
        json!({ "within_seconds": within.num_seconds(), "from": from, "at": at, "kept": kept })
    };
    Ok(json!({
        "postroom_receipt": 1,
        "request": request,
        "asked": { "by": row.origin, "at": row.received_at },
        "covered": { "accounts": row.accounts, "people": row.people },
        "publications": {
            "given_up": row.given_up,
            "under_way_when_asked": row.was_armed,
            "not_provable": row.not_provable,
        },
        "frozen_at": row.received_at,
        "restored_at": row.restored_at,
        "drained_at": row.drained_at,
        "clocks": {
            "tokens": clock(TOKENS_WITHIN, row.shredded_at),
            "everything": clock(ALL_WITHIN, Some(row.now)),
        },
        "drafts": drafts::told(tx, request).await?,
        "data_keys": {
            "destroyed": row.keys_shredded,
            "at": row.shredded_at,
            "tokens_without": row.tokens_without_key,
            "proves": PROVES,
        },
        "grants": grants(tx, request).await?,
        "stores": stores(tx, request).await?,
        "kept": register::all().filter_map(kept).collect::<Vec<_>>(),
        "verified": { "at": row.now, "left": 0, "rounds": row.round },
    }))
}

/// What stays of the request and of what was done by those whom it covers, and why nobody is named by that.
fn kept(store: &register::Store) -> Option<Value> {
    let Purge::Stays(because) = store.purge else { return None };
    let told = store.name.starts_with("deletion_") || store.name == "audit";
    told.then(|| json!({ "store": store.name, "why": store.why, "because": because }))
}

async fn grants(tx: &mut PgTransaction<'_>, request: Uuid) -> Result<Vec<Value>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT platform, revocation::text AS "revocation!", attempts, code, answered_at FROM deletion_account
           WHERE request_id = $1 ORDER BY platform, account_id"#,
        request,
    )
    .fetch_all(&mut **tx)
    .await?;
    let told = rows.into_iter().map(|row| {
        json!({
            "platform": row.platform,
            "answer": row.revocation,
            "code": row.code,
            "asked": row.attempts,
            "at": row.answered_at,
        })
    });
    Ok(told.collect())
}

async fn stores(tx: &mut PgTransaction<'_>, request: Uuid) -> Result<Vec<Value>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT store, sum(erased)::bigint AS "erased!", max(done_at) AS at FROM deletion_step
           WHERE request_id = $1 GROUP BY store"#,
        request,
    )
    .fetch_all(&mut **tx)
    .await?;
    let told = register::emptied().iter().filter_map(|store| {
        let row = rows.iter().find(|row| row.store == store.name)?;
        Some(json!({ "store": store.name, "erased": row.erased, "at": row.at }))
    });
    Ok(told.collect())
}

/// What the bucket does not have yet of the keys that verify receipts, the one that will sign among them.
pub(super) async fn keys_to_keep(it: &ClaimedForgetting<'_>) -> Result<Vec<(String, Keepsake)>, JobError> {
    it.ledger.signer(it.ring).await?;
    Ok(it.ledger.receipt_keys_to_keep().await?)
}

impl Ledger {
    async fn receipt_keys_to_keep(&self) -> Result<Vec<(String, Keepsake)>, LedgerError> {
        let rows =
            sqlx::query!("SELECT id, public FROM receipt_key WHERE kept_at IS NULL ORDER BY created_at");
        let keys = rows.fetch_all(&self.pool).await?.into_iter().map(|row| {
            let bytes = signing::pem(&row.public).into_bytes();
            let keepsake = Keepsake { key: signing::kept_at(&row.id), content_type: PEM, bytes };
            (row.id, keepsake)
        });
        Ok(keys.collect())
    }

    /// The bucket has this key.
    pub(super) async fn receipt_key_kept(&self, key: &str) -> Result<(), LedgerError> {
        sqlx::query!("UPDATE receipt_key SET kept_at = ledger_now() WHERE id = $1", key)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The key that signs: the newest that opens, else a new one.
    async fn signer(&self, ring: &KeyRing) -> Result<Signer, JobError> {
        let kept = sqlx::query!(
            "SELECT s.id, s.sealed FROM vault.receipt_seed s JOIN receipt_key k ON k.id = s.id ORDER BY k.created_at DESC"
        );
        for row in kept.fetch_all(&self.pool).await.map_err(LedgerError::from)? {
            match ring.open(&row.sealed, &seed_row(&row.id)) {
                Ok(seed) => return Signer::of(&seed).map_err(JobError::Infrastructure),
                // its key has left the ring: receipts that it signed verify as before
                Err(error) => tracing::warn!(key = row.id, %error, "a key of receipts does not open"),
            }
        }
        let seed = signing::fresh_seed();
        let signer = Signer::of(seed.as_slice()).map_err(JobError::Infrastructure)?;
        self.keep_signer(&signer, &ring.seal(seed.as_slice(), &seed_row(&signer.id))).await?;
        Ok(signer)
    }

    async fn keep_signer(&self, signer: &Signer, sealed: &[u8]) -> Result<(), LedgerError> {
        sqlx::query!(
            r#"WITH key AS (INSERT INTO receipt_key (id, public) VALUES ($1, $2) RETURNING id)
               INSERT INTO vault.receipt_seed (id, sealed) SELECT id, $3 FROM key"#,
            signer.id,
            signer.public,
            sealed,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What verifies receipts: each key by its id.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn receipt_keys(&self) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
        let rows = sqlx::query!("SELECT id, public FROM receipt_key ORDER BY created_at");
        Ok(rows.fetch_all(&self.pool).await?.into_iter().map(|row| (row.id, row.public)).collect())
    }
}
