//! Bringing the vault under the first key of the ring, beside the work that goes on: data keys (`rekey`), tokens that stand
//! under the ring itself as long as a worker of an earlier version has to read them, what connections on their way keep, and
//! what webhooks are signed with.
//!
//! Which key something is sealed under stands beside it, so whoever goes on after an interruption sees what is left. A row
//! is written only where it is still what was read: a refresh that came in between has sealed its own.

use uuid::Uuid;

use super::{
    KeyRing, Ledger, LedgerError, connections, keyring::KeyError, rekey, vault::row_name, webhooks,
    workers::OPENS,
};

/// How far a walk over all tokens that stand under the ring itself has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    account_id: Uuid,
    field: String,
}

/// What keeps something sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// An account, its tokens and their data key.
    Account(Uuid),
    /// A connection on its way, what its dialog gave and what was granted.
    Connection(Uuid),
    /// A webhook, what its events are signed with.
    Webhook(Uuid),
}

impl Owner {
    /// What it is, for people, and which one.
    pub const fn named(self) -> (&'static str, Uuid) {
        match self {
            Self::Account(id) => ("account", id),
            Self::Connection(id) => ("connection", id),
            Self::Webhook(id) => ("webhook", id),
        }
    }
}

/// What does not open, and stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Whose.
    pub owner: Owner,
    /// `access`, `refresh` or `data_key`; `code` or `grant`; `secret`.
    pub field: String,
    /// The key it says it is sealed under.
    pub key_id: String,
    /// Why it does not open.
    pub why: KeyError,
}

/// How much there is of what is sealed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Tokens of accounts.
    pub tokens: u64,
    /// Data keys that tokens stand under.
    pub data_keys: u64,
    /// Secrets of connections on their way.
    pub connections: u64,
    /// What the events of webhooks are signed with.
    pub webhooks: u64,
}

impl Amount {
    /// How much of it does not open.
    pub fn of(stuck: &[Stuck]) -> Self {
        let mut amount = Self::default();
        for it in stuck {
            match it.owner {
                Owner::Account(_) if it.field == rekey::FIELD => amount.data_keys += 1,
                Owner::Account(_) => amount.tokens += 1,
                Owner::Connection(_) => amount.connections += 1,
                Owner::Webhook(_) => amount.webhooks += 1,
            }
        }
        amount
    }

    /// All of it.
    pub const fn sum(self) -> u64 {
        self.tokens + self.data_keys + self.connections + self.webhooks
    }
}

/// What the vault keeps, and how it is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// All of it.
    pub all: Amount,
    /// What keeps another key than the first from being taken out of the ring, or its cipher from being given up.
    pub otherwise: Amount,
    /// Of the tokens among that, those that stand under data keys, of another cipher than that of the ring's first key.
    pub recast: u64,
    /// Tokens under the ring itself, whichever key of it.
    pub bare: u64,
    /// Workers that live and open nothing but what is sealed under the ring itself.
    pub older: u64,
}

impl Kept {
    /// Tokens under the ring itself, and not under its first key.
    pub const fn bare_otherwise(&self) -> u64 {
        self.otherwise.tokens - self.recast
    }

    /// Tokens that could have a data key, and have none.
    pub const fn movable(&self) -> u64 {
        if self.older == 0 { self.bare } else { 0 }
    }

    /// What a rotation has to seal.
    pub const fn work(&self) -> u64 {
        let bare = if self.older == 0 { self.bare } else { self.bare_otherwise() };
        self.otherwise.sum() - self.bare_otherwise() + bare
    }
}

/// What one batch came to.
#[derive(Debug)]
pub struct Batch<P> {
    /// What was sealed anew.
    pub resealed: u64,
    /// What somebody else wrote in between.
    pub outrun: u64,
    /// What does not open.
    pub stuck: Vec<Stuck>,
    /// Where to go on; none: this was the last batch.
    pub next: Option<P>,
}

impl<P> Batch<P> {
    /// One that ends there; where it is not full, nothing comes behind.
    pub(super) fn of(last: Option<P>, found: usize, most: i64) -> Self {
        let full = i64::try_from(found).is_ok_and(|found| found == most);
        Self { resealed: 0, outrun: 0, stuck: Vec::new(), next: last.filter(|_| full) }
    }
}

struct Row {
    account_id: Uuid,
    workspace_id: Uuid,
    field: String,
    generation: i64,
    key_id: String,
    sealed: Vec<u8>,
}

/// The columns of what is written.
#[derive(Default)]
struct Columns {
    accounts: Vec<Uuid>,
    fields: Vec<String>,
    generations: Vec<i64>,
    keys: Vec<String>,
    sealed: Vec<Vec<u8>>,
}

impl Ledger {
    /// What the vault keeps, and how much of it is not sealed as this ring seals.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn kept_sealed(&self, ring: &KeyRing) -> Result<Kept, LedgerError> {
        let row = sqlx::query!(
            r#"SELECT t.tokens AS "tokens!", t.recast AS "recast!", t.bare AS "bare!", t.bare_otherwise AS "bare_otherwise!",
                      (SELECT count(*) FROM vault.data_key) AS "data_keys!",
                      (SELECT count(*) FROM vault.data_key k
                       WHERE k.key_id <> $1 AND k.cipher = $2
                         AND EXISTS (SELECT FROM vault.token t
                                     WHERE t.account_id = k.account_id AND t.key_id = 'data:' || k.id::text))
                          AS "keys_otherwise!",
                      (SELECT count(*) FROM vault.connection_secret) AS "connections!",
                      (SELECT count(*) FROM vault.connection_secret WHERE key_id <> $1) AS "connections_otherwise!",
                      (SELECT count(*) FROM vault.webhook_secret) AS "webhooks!",
                      (SELECT count(*) FROM vault.webhook_secret WHERE key_id <> $1) AS "webhooks_otherwise!",
                      (SELECT count(*) FROM worker WHERE lease_until > ledger_now() AND opens < $3) AS "older!"
               FROM (SELECT count(*) AS tokens,
                            count(*) FILTER (WHERE t.key_id LIKE 'data:%' AND k.cipher <> $2) AS recast,
                            count(*) FILTER (WHERE t.key_id NOT LIKE 'data:%') AS bare,
                            count(*) FILTER (WHERE t.key_id NOT LIKE 'data:%' AND t.key_id <> $1) AS bare_otherwise
                     FROM vault.token t LEFT JOIN vault.data_key k ON k.account_id = t.account_id) t"#,
            ring.sealing_key(),
            ring.sealing_cipher().word(),
            OPENS,
        )
        .fetch_one(&self.pool)
        .await?;
        let amount = |tokens: i64, data_keys: i64, connections: i64, webhooks: i64| Amount {
            tokens: tokens.unsigned_abs(),
            data_keys: data_keys.unsigned_abs(),
            connections: connections.unsigned_abs(),
            webhooks: webhooks.unsigned_abs(),
        };
        Ok(Kept {
            all: amount(row.tokens, row.data_keys, row.connections, row.webhooks),
            otherwise: amount(
                row.recast + row.bare_otherwise,
                row.keys_otherwise,
                row.connections_otherwise,
                row.webhooks_otherwise,
            ),
            recast: row.recast.unsigned_abs(),
            bare: row.bare.unsigned_abs(),
            older: row.older.unsigned_abs(),
        })
    }

    /// Seals what connections on their way keep under the first key of the ring. Tells how much that was, and what does not
    /// open: that stays as it is, and ends with its connection. There is little of it: all at once.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn reseal_connections(&self, ring: &KeyRing) -> Result<(u64, Vec<Stuck>), LedgerError> {
        let rows = sqlx::query!(
            "SELECT connection_id, field, key_id, sealed FROM vault.connection_secret WHERE key_id <> $1",
            ring.sealing_key(),
        )
        .fetch_all(&self.pool)
        .await?;
        let (mut resealed, mut stuck) = (0, Vec::new());
        for row in rows {
            let name = connections::row_name(row.connection_id, &row.field);
            let opened = match ring.open(&row.sealed, &name) {
                Ok(opened) => opened,
                Err(why) => {
                    let owner = Owner::Connection(row.connection_id);
                    stuck.push(Stuck { owner, field: row.field, key_id: row.key_id, why });
                    continue;
                }
            };
            let done = sqlx::query!(
                "UPDATE vault.connection_secret SET key_id = $3, sealed = $4
                 WHERE connection_id = $1 AND field = $2 AND sealed = $5",
                row.connection_id,
                row.field,
                ring.sealing_key(),
                ring.seal(&opened, &name),
                row.sealed,
            )
            .execute(&self.pool)
            .await?;
            resealed += done.rows_affected();
        }
        Ok((resealed, stuck))
    }

    /// Seals what webhooks are signed with under the first key of the ring, likewise.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn reseal_webhooks(&self, ring: &KeyRing) -> Result<(u64, Vec<Stuck>), LedgerError> {
        let rows = sqlx::query!(
            "SELECT id, webhook_id, key_id, sealed FROM vault.webhook_secret WHERE key_id <> $1",
            ring.sealing_key(),
        )
        .fetch_all(&self.pool)
        .await?;
        let (mut resealed, mut stuck) = (0, Vec::new());
        for row in rows {
            let name = webhooks::row_name(row.webhook_id, row.id);
            let opened = match ring.open(&row.sealed, &name) {
                Ok(opened) => opened,
                Err(why) => {
                    let (owner, field) = (Owner::Webhook(row.webhook_id), "secret".to_owned());
                    stuck.push(Stuck { owner, field, key_id: row.key_id, why });
                    continue;
                }
            };
            let done = sqlx::query!(
                "UPDATE vault.webhook_secret SET key_id = $2, sealed = $3 WHERE id = $1 AND sealed = $4",
                row.id,
                ring.sealing_key(),
                ring.seal(&opened, &name),
                row.sealed,
            )
            .execute(&self.pool)
            .await?;
            resealed += done.rows_affected();
        }
        Ok((resealed, stuck))
    }

    /// Seals up to `most` tokens behind `after` anew, those that stand under the ring itself and not under its first key.
    ///
    /// # Errors
    /// The ledger is away: the batch was written whole or not at all.
    pub async fn reseal(
        &self,
        ring: &KeyRing,
        after: Option<Place>,
        most: i64,
    ) -> Result<Batch<Place>, LedgerError> {
        let rows = self.to_reseal(ring, after.as_ref(), most).await?;
        let last = rows.last().map(|row| Place { account_id: row.account_id, field: row.field.clone() });
        let (mut batch, mut columns) = (Batch::of(last, rows.len(), most), Columns::default());
        for row in rows {
            match anew(ring, &row) {
                Ok(sealed) => columns.add(row, sealed),
                Err(why) => {
                    let Row { account_id, field, key_id, .. } = row;
                    batch.stuck.push(Stuck { owner: Owner::Account(account_id), field, key_id, why });
                }
            }
        }
        batch.resealed = self.patiently(|| self.write_resealed(ring, &columns)).await?;
        batch.outrun = columns.accounts.len() as u64 - batch.resealed;
        Ok(batch)
    }

    async fn to_reseal(
        &self,
        ring: &KeyRing,
        after: Option<&Place>,
        most: i64,
    ) -> Result<Vec<Row>, LedgerError> {
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT t.account_id, a.workspace_id, t.field, t.generation, t.key_id, t.sealed
               FROM vault.token t JOIN account a ON a.id = t.account_id
               WHERE t.key_id <> $1 AND t.key_id NOT LIKE 'data:%'
                 AND ($2::uuid IS NULL OR (t.account_id, t.field) > ($2, $3))
               ORDER BY t.account_id, t.field LIMIT $4"#,
            ring.sealing_key(),
            after.map(|place| place.account_id),
            after.map(|place| place.field.as_str()).unwrap_or_default(),
            most,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }

    async fn write_resealed(&self, ring: &KeyRing, new: &Columns) -> Result<u64, LedgerError> {
        if new.accounts.is_empty() {
            return Ok(0);
        }
        let written = sqlx::query!(
            r#"WITH mine AS (
                   SELECT t.account_id, t.field, x.sealed
                   FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::bytea[])
                        AS x (account_id, field, generation, key_id, sealed)
                   JOIN vault.token t ON t.account_id = x.account_id AND t.field = x.field
                     -- as it was read: a refresh raises the generation, another rotation changes the key
                     AND t.generation = x.generation AND t.key_id = x.key_id
                   ORDER BY t.account_id, t.field -- one order for all
                   -- skip locked: whoever is writing it seals it under the first key, too
                   FOR NO KEY UPDATE OF t SKIP LOCKED)
               UPDATE vault.token t SET key_id = $6, sealed = mine.sealed
               FROM mine WHERE t.account_id = mine.account_id AND t.field = mine.field"#,
            &new.accounts,
            &new.fields,
            &new.generations,
            &new.keys,
            &new.sealed,
            ring.sealing_key(),
        )
        .execute(&self.pool)
        .await?;
        Ok(written.rows_affected())
    }
}

impl Columns {
    fn add(&mut self, row: Row, sealed: Vec<u8>) {
        self.accounts.push(row.account_id);
        self.fields.push(row.field);
        self.generations.push(row.generation);
        self.keys.push(row.key_id);
        self.sealed.push(sealed);
    }
}

fn anew(ring: &KeyRing, row: &Row) -> Result<Vec<u8>, KeyError> {
    let name = row_name(row.workspace_id, row.account_id, &row.field, row.generation);
    let opened = ring.open(&row.sealed, &name)?;
    Ok(ring.seal(&opened, &name))
}
