//! Shredding: tokens, and in the same transaction the data keys that every copy of them would need; and what a restore from
//! a backup brings back of that.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Ledger, LedgerError, tombstones::Tombstone};

/// What the owner of an account is told whose tokens came back without their data key.
const KEYLESS: &str =
    "the ledger was restored from a backup without the keys of its tokens: connect the account again";

/// Destroys the tokens of these accounts with their data keys, and counts for the receipt of the request how many keys
/// went, and how many tokens had none: those an earlier version had sealed under the ring itself. Done again, it finds
/// nothing and counts nothing.
pub(super) async fn shred(
    tx: &mut PgConnection,
    request: Uuid,
    accounts: &[Uuid],
) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"WITH keys AS (SELECT count(*)::integer AS many FROM vault.data_key WHERE account_id = ANY ($2)),
           tokens AS (DELETE FROM vault.token WHERE account_id = ANY ($2) RETURNING key_id)
           UPDATE deletion_request
           SET keys_shredded = keys_shredded + (SELECT many FROM keys),
               tokens_without_key = tokens_without_key
                   + (SELECT count(*)::integer FROM tokens WHERE key_id NOT LIKE 'data:%')
           WHERE id = $1"#,
        request,
        accounts,
    )
    .execute(&mut *tx)
    .await?;
    // the last token takes its key along; this one holds even where none was left
    sqlx::query!("DELETE FROM vault.data_key WHERE account_id = ANY ($1)", accounts).execute(tx).await?;
    Ok(())
}

/// How many accounts have tokens whose data key is not there.
pub(super) async fn keyless(connection: &mut PgConnection) -> Result<i64, LedgerError> {
    let many = sqlx::query_scalar!(
        r#"SELECT count(DISTINCT t.account_id) AS "many!"
           FROM vault.token t LEFT JOIN vault.data_key k ON k.account_id = t.account_id AND t.key_id = 'data:' || k.id::text
           WHERE t.key_id LIKE 'data:%' AND k.id IS NULL"#,
    );
    Ok(many.fetch_one(connection).await?)
}

/// Rests the accounts of such tokens, which nothing opens any more, and drops those.
pub(super) async fn rest_keyless(tx: &mut PgConnection) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"WITH gone AS (
               DELETE FROM vault.token t
               WHERE t.key_id LIKE 'data:%'
                 AND NOT EXISTS (SELECT FROM vault.data_key k
                                 WHERE k.account_id = t.account_id AND t.key_id = 'data:' || k.id::text)
               RETURNING t.account_id),
           rested AS (
               UPDATE account
               SET renewable = false, renewable_until = NULL,
                   -- whatever else it rests for is said already
                   state = CASE WHEN state = 'active' THEN 'reconnect' ELSE state END,
                   state_reason = CASE WHEN state = 'active' THEN $1 ELSE state_reason END
               WHERE id IN (SELECT account_id FROM gone)
               RETURNING id, state)
           UPDATE job SET standing = 'paused', epoch = job.epoch + 1
           FROM rested WHERE job.account_id = rested.id AND job.kind = 'publish' AND job.standing = 'active'
             AND rested.state = 'reconnect' -- of one that is being deleted what is open has to come to its end
             AND NOT EXISTS (SELECT FROM publication p WHERE p.id = job.publication_id
                               AND p.state = 'waiting' AND p.handle_state = 'spent')"#,
        KEYLESS,
    )
    .execute(tx)
    .await?;
    Ok(())
}

impl Ledger {
    /// Of the requests whose tokens were destroyed, those of which a restore has brought some back, or their data keys:
    /// each with the accounts.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn unshredded(&self, all: &[Tombstone]) -> Result<Vec<(Uuid, Vec<Uuid>)>, LedgerError> {
        let mut back = Vec::new();
        for stone in all.iter().filter(|stone| stone.shredded) {
            let accounts = sqlx::query_scalar!(
                r#"SELECT a.id FROM account a
                   WHERE a.id = ANY ($1)
                     AND (EXISTS (SELECT FROM vault.token t WHERE t.account_id = a.id)
                          OR EXISTS (SELECT FROM vault.data_key k WHERE k.account_id = a.id))
                   ORDER BY a.id"#,
                &stone.accounts,
            );
            let accounts = accounts.fetch_all(&self.pool).await?;
            if !accounts.is_empty() {
                back.push((stone.id, accounts));
            }
        }
        Ok(back)
    }

    /// Destroys them again, before any worker could open them, whatever stage their request has to go through once more.
    /// Repeatable.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn shred_again(&self, back: &[(Uuid, Vec<Uuid>)]) -> Result<(), LedgerError> {
        for (request, accounts) in back {
            let mut tx = self.pool.begin().await?;
            shred(&mut tx, *request, accounts).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}
