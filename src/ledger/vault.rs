//! Tokens: sealed in a schema of their own under a key of their account's, opened only where a worker makes a call. Whoever
//! deletes the last token of an account deletes its key in the same transaction, whatever for: the table sees to that.

use chrono::{DateTime, Utc};
use jobs::{
    contract::{Class, Failure, JobError},
    tokens::{look_after, renew_new_from},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{
    KeyRing, Ledger, LedgerError,
    accounts::{Connected, NewAccount, connect_account},
    audit::{self, Action, Entry, Who},
    data_keys::{self, Owner, SealedKey, Sealing},
    keyring::KeyError,
};

/// What a connected account's access rests on.
#[derive(Debug)]
pub struct TokenPair {
    /// What calls carry.
    pub access: SecretString,
    /// What a new one is had for, where the network has such.
    pub refresh: Option<SecretString>,
    /// When the access token was issued; its half life is counted from here.
    pub issued_at: Option<DateTime<Utc>>,
    /// When it ends, where the network says so.
    pub expires_at: Option<DateTime<Utc>>,
    /// When the refresh token ends, where the network says so.
    pub refresh_expires_at: Option<DateTime<Utc>>,
}

/// Why a token could not be had.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It does not open.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The account has none.
    #[error("the account has no token: connect it again")]
    Missing,
}

impl VaultError {
    /// What a job makes of it. A key that this process was not given is no fault of the account's.
    pub fn into_job_error(self) -> JobError {
        match self {
            Self::Ledger(away) => away.into(),
            Self::Key(error @ KeyError::UnknownKey(_)) => {
                let failure = Failure::new(Class::Transient, "key_ring", error.to_string());
                JobError::Unavailable(Failure { operator: true, ..failure })
            }
            Self::Key(_) | Self::Missing => {
                JobError::Unauthorised(Failure::new(Class::Auth, "token", self.to_string()))
            }
        }
    }
}

/// Names the row a sealed value belongs to: moved elsewhere, it does not open.
pub(super) fn row_name(workspace: Uuid, account: Uuid, field: &str, generation: i64) -> String {
    format!("vault.token|{workspace}|{account}|{field}|{generation}")
}

impl Ledger {
    /// Opens an account's access token.
    ///
    /// # Errors
    /// There is none, it does not open, or the ledger is away.
    pub async fn open_token(&self, ring: &KeyRing, account_id: Uuid) -> Result<SecretString, VaultError> {
        Ok(self.open_field(ring, account_id, "access").await?.0)
    }

    /// Opens one of an account's tokens, of its present generation, and tells which that is.
    ///
    /// # Errors
    /// It has none, it does not open, or the ledger is away.
    pub async fn open_field(
        &self,
        ring: &KeyRing,
        account_id: Uuid,
        field: &str,
    ) -> Result<(SecretString, i64), VaultError> {
        // the token and its key as they stand at one moment: both go with the next pair
        let row = sqlx::query!(
            r#"SELECT t.sealed, t.generation, a.workspace_id, k.id AS "id?", k.cipher AS "cipher?", k.key_id AS "key_id?",
                      k.sealed AS "key?"
               FROM vault.token t JOIN account a ON a.id = t.account_id
               LEFT JOIN vault.data_key k ON k.account_id = t.account_id
               WHERE t.account_id = $1 AND t.field = $2 AND t.generation = a.token_generation"#,
            account_id,
            field,
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(LedgerError::from)?
        .ok_or(VaultError::Missing)?;
        let owner = Owner { workspace: row.workspace_id, account: account_id };
        let key = SealedKey::of(row.id, row.cipher, row.key_id, row.key);
        let name = row_name(row.workspace_id, account_id, field, row.generation);
        let opened = data_keys::open(ring, owner, key.as_ref(), &row.sealed, &name)?;
        let text = std::str::from_utf8(&opened).map_err(|_| KeyError::DoesNotOpen)?;
        Ok((SecretString::from(text), row.generation))
    }

    /// Connects an account with its tokens, or connects it again: then it and its jobs go back to work.
    ///
    /// # Errors
    /// The ledger is away, or refused.
    pub async fn connect(
        &self,
        new: &NewAccount<'_>,
        ring: &KeyRing,
        pair: &TokenPair,
    ) -> Result<Uuid, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let id = connect_in(&mut tx, self.who(), new, ring, pair).await?;
        tx.commit().await?;
        Ok(id)
    }
}

/// The same, as a part of more: no account stands without its tokens, whatever ends this transaction.
pub(super) async fn connect_in(
    tx: &mut PgTransaction<'_>,
    who: Who,
    new: &NewAccount<'_>,
    ring: &KeyRing,
    pair: &TokenPair,
) -> Result<Uuid, LedgerError> {
    let account = connect_account(tx, new).await?;
    let (now, kept) = (renewed_anew(tx, account.id, pair).await?, pair.refresh.is_some());
    // of both the same moment: what is older than the other stayed as it was when that was renewed
    let issued = pair.issued_at.unwrap_or(now);
    let sealing = Sealing::now(ring, tx).await?;
    let fields = [("access", Some(&pair.access)), ("refresh", pair.refresh.as_ref())];
    for (field, secret) in fields.into_iter().filter_map(|(field, secret)| secret.map(|s| (field, s))) {
        let name = row_name(new.workspace_id, account.id, field, account.token_generation);
        let sealed = sealing.seal(secret.expose_secret().as_bytes(), &name);
        let of = Stored { field, key_id: sealing.key_id(), sealed: &sealed, issued };
        store(tx, &account, &of, pair).await?;
    }
    if let Some(key) = sealing.kept(Owner { workspace: new.workspace_id, account: account.id }) {
        data_keys::keep(tx, account.id, &key).await?;
    }
    let from = renew_new_from(issued, [pair.expires_at, pair.refresh_expires_at]);
    let due = look_after(kept.then_some(from), now);
    sqlx::query!("UPDATE account SET refresh_due_at = $2 WHERE id = $1", account.id, due)
        .execute(&mut **tx)
        .await?;
    sqlx::query!(
        r#"UPDATE job SET standing = 'active', epoch = epoch + 1
           WHERE account_id = $1 AND kind = 'publish' AND standing = 'paused'"#,
        account.id,
    )
    .execute(&mut **tx)
    .await?;
    let entry = Entry {
        who,
        action: Action::AccountConnected,
        object: "account",
        object_id: account.id.to_string(),
        workspace_id: Some(new.workspace_id),
        detail: json!({ "platform": new.platform }),
    };
    audit::record(tx, &entry).await?;
    Ok(account.id)
}

/// Whatever was being renewed before is not of these tokens; one that is left over of others is dropped.
async fn renewed_anew(
    tx: &mut PgTransaction<'_>,
    account: Uuid,
    pair: &TokenPair,
) -> Result<DateTime<Utc>, LedgerError> {
    let now = sqlx::query_scalar!(
        r#"WITH anew AS (
               UPDATE account
               SET refresh_state = 'idle', refresh_call = NULL, refresh_wait = DEFAULT, renewable = $2, renewable_until = $3,
                   data_access_expires_at = NULL, missing_scopes = '{}',
                   disconnected_at = NULL, disconnected_by = NULL, disconnected_how = NULL, parting = NULL
               WHERE id = $1 RETURNING id, token_generation),
           dropped AS (
               DELETE FROM vault.token t USING anew
               WHERE t.account_id = anew.id AND t.generation < anew.token_generation),
           closed AS (
               UPDATE remote_call c SET verdict = 'ambiguous', finished_at = ledger_now()
               FROM anew WHERE c.account_id = anew.id AND c.kind = 'refresh' AND c.verdict IS NULL)
           SELECT ledger_now() AS "now!""#,
        account,
        pair.refresh.is_some(),
        pair.refresh_expires_at,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(now)
}

/// One sealed token.
struct Stored<'a> {
    field: &'a str,
    key_id: &'a str,
    sealed: &'a [u8],
    issued: DateTime<Utc>,
}

async fn store(
    tx: &mut PgTransaction<'_>,
    account: &Connected,
    of: &Stored<'_>,
    pair: &TokenPair,
) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"INSERT INTO vault.token (account_id, field, generation, key_id, sealed, issued_at, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7)
           ON CONFLICT (account_id, field) DO UPDATE
           SET generation = excluded.generation, key_id = excluded.key_id, sealed = excluded.sealed,
               issued_at = excluded.issued_at, expires_at = excluded.expires_at"#,
        account.id,
        of.field,
        account.token_generation,
        of.key_id,
        of.sealed,
        of.issued,
        if of.field == "refresh" { pair.refresh_expires_at } else { pair.expires_at },
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
