//! A copy of everything that is known of a person, from the same declaration that it is deleted by: what deleting would
//! remove is what there is. Nothing is changed: what is written down on the way is taken back.

use futures_util::TryStreamExt;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgTransaction};
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    deletions::{META, Subject},
    purge,
    register::{self, Purge, Store},
};

/// Columns that are no use to anybody but whoever would do harm with them.
pub(super) const SECRET: &[&str] =
    &["sealed", "password_hash", "data", "digest", "body", "state_digest", "session_digest", "link_digest"];

impl Ledger {
    /// Gives each row of a person's to `each`, with its store; one row is in memory at a time.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn export(
        &self,
        of: &Subject<'_>,
        mut each: impl FnMut(&'static str, Value) + Send,
    ) -> Result<u64, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let id = Uuid::now_v7();
        mark_all(&mut tx, id, of).await?;
        let mut rows = 0;
        for store in register::emptied() {
            let Purge::Rows { of, .. } = store.purge else { continue };
            // the table and the condition are constants of the register
            let statement = format!("SELECT to_jsonb(t) FROM {} AS t WHERE {of}", store.name);
            let mut found = sqlx::query_scalar::<_, Value>(AssertSqlSafe(statement)).bind(id).fetch(&mut *tx);
            while let Some(row) = found.try_next().await? {
                each(store.name, told(store, row));
                rows += 1;
            }
        }
        tx.rollback().await?;
        Ok(rows)
    }
}

/// What a row says, without what is secret.
fn told(store: &Store, mut row: Value) -> Value {
    if let Some(fields) = row.as_object_mut() {
        let declared = |name: &str| {
            store.plain.contains(&name) || store.personal.iter().any(|(personal, _)| *personal == name)
        };
        fields.retain(|name, _| declared(name) && !SECRET.contains(&name.as_str()));
    }
    row
}

async fn mark_all(tx: &mut PgTransaction<'_>, id: Uuid, of: &Subject<'_>) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"WITH asked AS (
               INSERT INTO deletion_request (id, origin, code_digest) VALUES ($1::uuid, 'staff', sha256($1::uuid::text::bytea))
               RETURNING id)
           INSERT INTO deletion_account (request_id, account_id, workspace_id, platform)
           SELECT asked.id, a.id, a.workspace_id, a.platform FROM asked, account a
           WHERE (a.subject_id = $2 AND a.platform = ANY ($3) OR lower(a.subject_email) = lower($4) OR a.id = ANY ($5))
             AND ($6::uuid IS NULL OR a.workspace_id = $6)"#,
        id,
        of.meta_user_id,
        &META.map(str::to_owned),
        of.email,
        of.accounts,
        of.workspace_id,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        r#"INSERT INTO deletion_mark (request_id, id, kind)
           SELECT $1::uuid, d.account_id, 'account' FROM deletion_account d WHERE d.request_id = $1
           UNION ALL SELECT $1, p.id, 'person' FROM person p
           WHERE p.email = lower($2)
             AND ($3::uuid IS NULL
                  OR EXISTS (SELECT FROM membership m WHERE m.person_id = p.id AND m.workspace_id = $3))"#,
        id,
        of.email,
        of.workspace_id,
    )
    .execute(&mut **tx)
    .await?;
    purge::mark(tx, id).await?;
    Ok(())
}
