//! What a person has granted at a network, as a whole: whoever connects with it and whoever takes it back share it.

use jobs::forgetting::Revocation;
use secrecy::SecretString;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{KeyRing, Ledger, LedgerError, deletions::META, keyring::KeyError, vault::VaultError};

/// The lock of a person's grant: whoever connects with it and whoever takes it back go one after the other.
pub(super) async fn lock(tx: &mut PgConnection, platform: &str, subject: &str) -> Result<(), LedgerError> {
    let app = if META.contains(&platform) { "meta" } else { platform };
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 7))", format!("grant/{app}/{subject}"))
        .execute(tx)
        .await?;
    Ok(())
}

/// The lock of an account at its network: two workspaces that connect it at once go one after the other, and so does
/// whoever takes its access back where nobody knows who granted it.
pub(super) async fn lock_account(tx: &mut PgConnection, key: &str) -> Result<(), LedgerError> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 8))", key).execute(tx).await?;
    Ok(())
}

/// Both, of the grant that an account rests on; of somebody who is not known there is only the account's.
pub(super) async fn lock_of(tx: &mut PgConnection, account: Uuid) -> Result<(), LedgerError> {
    let row = sqlx::query!("SELECT platform, external_id, subject_id FROM account WHERE id = $1", account)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(()) };
    if let Some(subject) = &row.subject_id {
        lock(tx, &row.platform, subject).await?;
    }
    lock_account(tx, &format!("{}/{}", row.platform, row.external_id)).await
}

/// Writes down what a network has said to the wish that a grant be taken back.
pub(super) async fn close_call(
    tx: &mut PgConnection,
    call: Uuid,
    said: &Revocation,
) -> Result<(), LedgerError> {
    let failure = said.failure();
    sqlx::query!(
        r#"UPDATE remote_call
           SET verdict = CASE WHEN $4 THEN 'ambiguous' ELSE 'ok' END::call_verdict, finished_at = ledger_now(),
               remote_code = $2, remote_message = $3
           WHERE call_id = $1 AND kind = 'revoke' AND verdict IS NULL"#,
        call,
        failure.map(|failure| failure.code.as_str()),
        failure.map(|failure| failure.message.as_str()),
        matches!(said, Revocation::Not(_)),
    )
    .execute(tx)
    .await?;
    Ok(())
}

impl Ledger {
    /// Opens what a grant is taken back by. At Meta the person's own token reaches further than that of one Page; elsewhere
    /// the one that calls carry is asked for, and may have ended while the other has not.
    pub(super) async fn tokens_of_grant(
        &self,
        ring: &KeyRing,
        account: Uuid,
        platform: &str,
    ) -> Result<Vec<SecretString>, VaultError> {
        let mut tokens = Vec::new();
        let of_meta = META.contains(&platform);
        for field in if of_meta { ["refresh", "access"] } else { ["access", "refresh"] } {
            match self.open_field(ring, account, field).await {
                Ok(token) => tokens.push(token.0),
                Err(VaultError::Missing | VaultError::Key(KeyError::DoesNotOpen | KeyError::Shredded)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(tokens)
    }
}
