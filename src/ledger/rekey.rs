//! Data keys when the key ring changes: each is sealed under the ring's first key, and what it has sealed stays as it is. An
//! account whose tokens stand under the ring itself, as earlier versions left them, or are of another cipher than the
//! ring's first key, gets a data key anew, and its tokens are sealed under that.
//!
//! Whatever is written is written only where it is still what was read, so that a renewal that came in between stands; and
//! what is left is seen from the rows, so that whoever goes on after an interruption does what is left.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    KeyRing, Ledger, LedgerError,
    data_keys::{self, DataKey, Owner, SealedKey},
    keyring::KeyError,
    reseal::{self, Batch, Stuck},
    vault::row_name,
};

/// What stands for a data key where tokens have their field.
pub(super) const FIELD: &str = "data_key";

/// A data key as it was read.
struct Row {
    account_id: Uuid,
    workspace_id: Uuid,
    key: SealedKey,
}

/// A token that was read with all others of its account, and what its account had for a data key.
struct Token {
    account_id: Uuid,
    workspace_id: Uuid,
    field: String,
    generation: i64,
    key_id: String,
    sealed: Vec<u8>,
    key: Option<SealedKey>,
}

/// The columns of data keys that are sealed anew.
#[derive(Default)]
struct Keys {
    accounts: Vec<Uuid>,
    ids: Vec<Uuid>,
    /// What each was sealed under.
    under: Vec<String>,
    sealed: Vec<Vec<u8>>,
}

/// The columns of tokens that get a data key anew, and those of the keys.
#[derive(Default)]
struct Moved {
    of: Vec<Uuid>,
    fields: Vec<String>,
    generations: Vec<i64>,
    under: Vec<String>,
    sealed: Vec<Vec<u8>>,
    accounts: Vec<Uuid>,
    /// How many tokens each has.
    many: Vec<i64>,
    ids: Vec<Uuid>,
    keys: Vec<Vec<u8>>,
}

impl Keys {
    fn add(&mut self, row: Row, anew: SealedKey) {
        self.accounts.push(row.account_id);
        self.ids.push(row.key.id);
        self.under.push(row.key.key_id);
        self.sealed.push(anew.sealed);
    }
}

impl Moved {
    /// All tokens of one account, which `secrets` are, under a data key anew.
    fn add(&mut self, ring: &KeyRing, tokens: &[Token], secrets: &[Zeroizing<Vec<u8>>]) {
        let Some(first) = tokens.first() else { return };
        let data_key = DataKey::fresh(ring.sealing_cipher());
        for (token, secret) in tokens.iter().zip(secrets) {
            self.of.push(token.account_id);
            self.fields.push(token.field.clone());
            self.generations.push(token.generation);
            self.under.push(token.key_id.clone());
            self.sealed.push(data_key.seal(secret, &token.row_name()));
        }
        let kept = data_key.sealed(ring, first.owner());
        self.accounts.push(first.account_id);
        self.many.push(i64::try_from(tokens.len()).unwrap_or(i64::MAX));
        self.ids.push(kept.id);
        self.keys.push(kept.sealed);
    }
}

impl Token {
    fn owner(&self) -> Owner {
        Owner { workspace: self.workspace_id, account: self.account_id }
    }

    fn row_name(&self) -> String {
        row_name(self.workspace_id, self.account_id, &self.field, self.generation)
    }
}

/// What the tokens of one account are: all of them, or those that do not open.
fn opened(ring: &KeyRing, tokens: &[Token]) -> Result<Vec<Zeroizing<Vec<u8>>>, Vec<Stuck>> {
    let (mut secrets, mut failed) = (Vec::new(), Vec::new());
    for token in tokens {
        let key = token.key.as_ref();
        match data_keys::open(ring, token.owner(), key, &token.sealed, &token.row_name()) {
            Ok(secret) => secrets.push(secret),
            Err(why) => failed.push(stuck(token.account_id, &token.field, token.key_id.clone(), why)),
        }
    }
    if failed.is_empty() { Ok(secrets) } else { Err(failed) }
}

fn stuck(account_id: Uuid, field: &str, key_id: String, why: KeyError) -> Stuck {
    Stuck { owner: reseal::Owner::Account(account_id), field: field.to_owned(), key_id, why }
}

impl Ledger {
    /// Seals up to `most` data keys behind `after` under the first key of the ring, those that are not. One of another
    /// cipher than that key's is left: it is to be another one.
    ///
    /// # Errors
    /// The ledger is away: the batch was written whole or not at all.
    pub async fn reseal_keys(
        &self,
        ring: &KeyRing,
        after: Option<Uuid>,
        most: i64,
    ) -> Result<Batch<Uuid>, LedgerError> {
        let rows = self.keys_to_reseal(ring, after, most).await?;
        let mut batch = Batch::of(rows.last().map(|row| row.account_id), rows.len(), most);
        let mut keys = Keys::default();
        for row in rows {
            let owner = Owner { workspace: row.workspace_id, account: row.account_id };
            match row.key.anew(ring, owner) {
                Ok(anew) => keys.add(row, anew),
                Err(why) => batch.stuck.push(stuck(row.account_id, FIELD, row.key.key_id, why)),
            }
        }
        batch.resealed = self.patiently(|| self.write_keys(ring, &keys)).await?;
        batch.outrun = keys.accounts.len() as u64 - batch.resealed;
        Ok(batch)
    }

    async fn keys_to_reseal(
        &self,
        ring: &KeyRing,
        after: Option<Uuid>,
        most: i64,
    ) -> Result<Vec<Row>, LedgerError> {
        let rows = sqlx::query!(
            r#"SELECT k.account_id, a.workspace_id, k.id, k.cipher, k.key_id, k.sealed
               FROM vault.data_key k JOIN account a ON a.id = k.account_id
               WHERE k.key_id <> $1 AND k.cipher = $2 AND ($3::uuid IS NULL OR k.account_id > $3)
                 -- one that an earlier version has left behind seals nothing any more
                 AND EXISTS (SELECT FROM vault.token t
                             WHERE t.account_id = k.account_id AND t.key_id = 'data:' || k.id::text)
               ORDER BY k.account_id LIMIT $4"#,
            ring.sealing_key(),
            ring.sealing_cipher().word(),
            after,
            most,
        )
        .fetch_all(&self.pool)
        .await?;
        let rows = rows.into_iter().map(|row| Row {
            account_id: row.account_id,
            workspace_id: row.workspace_id,
            key: SealedKey { id: row.id, cipher: row.cipher, key_id: row.key_id, sealed: row.sealed },
        });
        Ok(rows.collect())
    }

    async fn write_keys(&self, ring: &KeyRing, new: &Keys) -> Result<u64, LedgerError> {
        if new.accounts.is_empty() {
            return Ok(0);
        }
        let written = sqlx::query!(
            r#"WITH mine AS (
                   SELECT k.account_id, x.sealed
                   FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) AS x (account_id, id, key_id, sealed)
                   JOIN vault.data_key k ON k.account_id = x.account_id
                     -- as it was read: a renewal brings another one, another rotation seals it elsewhere
                     AND k.id = x.id AND k.key_id = x.key_id
                   ORDER BY k.account_id -- one order for all
                   -- skip locked: whoever is writing it seals it under the first key, too
                   FOR NO KEY UPDATE OF k SKIP LOCKED)
               UPDATE vault.data_key k SET key_id = $5, sealed = mine.sealed
               FROM mine WHERE k.account_id = mine.account_id"#,
            &new.accounts,
            &new.ids,
            &new.under,
            &new.sealed,
            ring.sealing_key(),
        )
        .execute(&self.pool)
        .await?;
        Ok(written.rows_affected())
    }

    /// Gives the next accounts behind `after`, up to `most`, a data key anew for the first key of the ring, and seals their
    /// tokens under it: accounts with one of another cipher and, with `bare`, those with tokens under the ring itself.
    /// Counts tokens. An account of which a token does not open stays as it is.
    ///
    /// # Errors
    /// The ledger is away: the batch was written whole or not at all.
    pub async fn rekey(
        &self,
        ring: &KeyRing,
        after: Option<Uuid>,
        most: i64,
        bare: bool,
    ) -> Result<Batch<Uuid>, LedgerError> {
        let tokens = self.tokens_to_rekey(ring, after, most, bare).await?;
        let same = |one: &Token, other: &Token| one.account_id == other.account_id;
        let last = tokens.last().map(|token| token.account_id);
        let mut batch = Batch::of(last, tokens.chunk_by(same).count(), most);
        let mut moved = Moved::default();
        for tokens in tokens.chunk_by(same) {
            match opened(ring, tokens) {
                Ok(secrets) => moved.add(ring, tokens, &secrets),
                Err(stuck) => batch.stuck.extend(stuck),
            }
        }
        batch.resealed = self.patiently(|| self.write_moved(ring, &moved)).await?;
        batch.outrun = moved.of.len() as u64 - batch.resealed;
        Ok(batch)
    }

    async fn tokens_to_rekey(
        &self,
        ring: &KeyRing,
        after: Option<Uuid>,
        most: i64,
        bare: bool,
    ) -> Result<Vec<Token>, LedgerError> {
        let rows = sqlx::query!(
            r#"WITH next AS (
                   SELECT a.id AS account_id, a.workspace_id, k.id, k.cipher, k.key_id, k.sealed
                   FROM account a LEFT JOIN vault.data_key k ON k.account_id = a.id
                   WHERE ($1::uuid IS NULL OR a.id > $1)
                     AND EXISTS (SELECT FROM vault.token t
                                 WHERE t.account_id = a.id
                                   AND CASE WHEN t.key_id LIKE 'data:%' THEN k.cipher <> $2 ELSE $3 END)
                   ORDER BY a.id LIMIT $4)
               SELECT t.account_id, n.workspace_id, t.field, t.generation, t.key_id, t.sealed,
                      n.id AS "id?", n.cipher AS "cipher?", n.key_id AS "under?", n.sealed AS "key?"
               FROM next n JOIN vault.token t ON t.account_id = n.account_id
               ORDER BY t.account_id, t.field"#,
            after,
            ring.sealing_cipher().word(),
            bare,
            most,
        )
        .fetch_all(&self.pool)
        .await?;
        let tokens = rows.into_iter().map(|row| Token {
            account_id: row.account_id,
            workspace_id: row.workspace_id,
            field: row.field,
            generation: row.generation,
            key_id: row.key_id,
            sealed: row.sealed,
            key: SealedKey::of(row.id, row.cipher, row.under, row.key),
        });
        Ok(tokens.collect())
    }

    async fn write_moved(&self, ring: &KeyRing, new: &Moved) -> Result<u64, LedgerError> {
        if new.accounts.is_empty() {
            return Ok(0);
        }
        let moved = sqlx::query_scalar!(
            r#"WITH key AS MATERIALIZED (
                   SELECT account_id, many, id, sealed
                   FROM unnest($6::uuid[], $7::bigint[], $8::uuid[], $9::bytea[]) AS y (account_id, many, id, sealed)),
               held AS MATERIALIZED (
                   SELECT t.account_id, t.field, x.sealed
                   FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::bytea[])
                        AS x (account_id, field, generation, key_id, sealed)
                   JOIN vault.token t ON t.account_id = x.account_id AND t.field = x.field
                     -- as it was read: a renewal raises the generation, another rotation changes the key
                     AND t.generation = x.generation AND t.key_id = x.key_id
                   ORDER BY t.account_id, t.field -- one order for all
                   -- skip locked: whoever is writing it looks after its key, too
                   FOR NO KEY UPDATE OF t SKIP LOCKED),
               -- an account goes whole or not at all: it has one key
               whole AS (
                   SELECT h.account_id FROM held h JOIN key ON key.account_id = h.account_id
                   GROUP BY h.account_id, key.many HAVING count(*) = key.many),
               moved AS (
                   UPDATE vault.token t SET key_id = 'data:' || key.id::text, sealed = h.sealed
                   FROM held h JOIN whole ON whole.account_id = h.account_id JOIN key ON key.account_id = h.account_id
                   WHERE t.account_id = h.account_id AND t.field = h.field
                   RETURNING t.account_id),
               keyed AS (
                   INSERT INTO vault.data_key (account_id, id, cipher, key_id, sealed)
                   SELECT key.account_id, key.id, $10::text, $11::text, key.sealed FROM key
                   WHERE key.account_id IN (SELECT m.account_id FROM moved m)
                   ON CONFLICT (account_id) DO UPDATE
                   SET id = excluded.id, cipher = excluded.cipher, key_id = excluded.key_id, sealed = excluded.sealed,
                       created_at = excluded.created_at)
               SELECT count(*) AS "moved!" FROM moved"#,
            &new.of,
            &new.fields,
            &new.generations,
            &new.under,
            &new.sealed,
            &new.accounts,
            &new.many,
            &new.ids,
            &new.keys,
            ring.sealing_cipher().word(),
            ring.sealing_key(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(moved.unsigned_abs())
    }
}
