//! Moving every token under the first key of the ring, with what connections on their way keep and what webhooks are signed
//! with, beside the work that goes on.
//!
//! Which key a token is sealed under stands beside it, so whoever goes on after an interruption sees what is left. A row
//! is written only where it is still what was read: a refresh that came in between has sealed its own.

use uuid::Uuid;

use super::{KeyRing, Ledger, LedgerError, connections, keyring::KeyError, vault::row_name, webhooks};

/// How far a walk over all tokens has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    account_id: Uuid,
    field: String,
}

/// What keeps something sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// An account, its tokens.
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
    /// `access` or `refresh`; `code` or `grant`; `secret`.
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
                Owner::Account(_) => amount.tokens += 1,
                Owner::Connection(_) => amount.connections += 1,
                Owner::Webhook(_) => amount.webhooks += 1,
            }
        }
        amount
    }

    /// All of it.
    pub const fn sum(self) -> u64 {
        self.tokens + self.connections + self.webhooks
    }
}

/// What one batch came to.
#[derive(Debug, Default)]
pub struct Batch {
    /// Tokens that are sealed under the first key now.
    pub resealed: u64,
    /// Tokens that somebody else wrote in between.
    pub outrun: u64,
    /// Those that do not open.
    pub stuck: Vec<Stuck>,
    /// Where to go on; none: this was the last batch.
    pub next: Option<Place>,
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
    /// How much there is, and how much of it is not sealed under the first key of the ring.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn sealed_otherwise(&self, ring: &KeyRing) -> Result<(Amount, Amount), LedgerError> {
        let row = sqlx::query!(
            r#"SELECT count(*) FILTER (WHERE of = 'token') AS "tokens!",
                      count(*) FILTER (WHERE of = 'connection') AS "connections!",
                      count(*) FILTER (WHERE of = 'webhook') AS "webhooks!",
                      count(*) FILTER (WHERE of = 'token' AND key_id <> $1) AS "tokens_otherwise!",
                      count(*) FILTER (WHERE of = 'connection' AND key_id <> $1) AS "connections_otherwise!",
                      count(*) FILTER (WHERE of = 'webhook' AND key_id <> $1) AS "webhooks_otherwise!"
               FROM (SELECT key_id, 'token' AS of FROM vault.token
                     UNION ALL SELECT key_id, 'connection' FROM vault.connection_secret
                     UNION ALL SELECT key_id, 'webhook' FROM vault.webhook_secret) kept"#,
            ring.sealing_key(),
        )
        .fetch_one(&self.pool)
        .await?;
        let amount = |tokens: i64, connections: i64, webhooks: i64| Amount {
            tokens: tokens.unsigned_abs(),
            connections: connections.unsigned_abs(),
            webhooks: webhooks.unsigned_abs(),
        };
        let all = amount(row.tokens, row.connections, row.webhooks);
        Ok((all, amount(row.tokens_otherwise, row.connections_otherwise, row.webhooks_otherwise)))
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

    /// Seals up to `most` tokens behind `after` anew, those that are not sealed under the first key.
    ///
    /// # Errors
    /// The ledger is away: the batch was written whole or not at all.
    pub async fn reseal(
        &self,
        ring: &KeyRing,
        after: Option<&Place>,
        most: i64,
    ) -> Result<Batch, LedgerError> {
        let rows = self.to_reseal(ring, after, most).await?;
        let full = i64::try_from(rows.len()).is_ok_and(|found| found == most);
        let last = rows.last().map(|row| Place { account_id: row.account_id, field: row.field.clone() });
        let (mut batch, mut columns) =
            (Batch { next: last.filter(|_| full), ..Batch::default() }, Columns::default());
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
               WHERE t.key_id <> $1
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
