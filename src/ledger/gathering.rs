//! What goes into a copy of what is known of somebody. It is found by the declaration that deleting goes by: a table that is
//! emptied of a person is in it, whenever it was added.

use sqlx::{AssertSqlSafe, PgTransaction};
use uuid::Uuid;

use super::{
    LedgerError,
    export::SECRET,
    purge,
    register::{self, Purge, Store},
};

/// Rows of one sheet.
const ROWS: i64 = 500;

/// Writes down all that goes into it. A request for deletion is made up for that, and taken back in the same transaction:
/// what it would cover is what there is.
pub(super) async fn gather(tx: &mut PgTransaction<'_>, export: Uuid) -> Result<(), LedgerError> {
    let request = Uuid::now_v7();
    made_up(tx, request, export).await?;
    purge::mark(tx, request).await?;
    let mut position = 0;
    for store in register::emptied() {
        let Purge::Rows { of, .. } = store.purge else { continue };
        // copies are of what is told anyway
        if store.name.starts_with("export") {
            continue;
        }
        position = sheets(tx, (request, export), store, of, position).await?;
    }
    files(tx, (request, export), position).await?;
    sqlx::query!(
        "WITH objects AS (DELETE FROM deletion_object WHERE request_id = $1),
              accounts AS (DELETE FROM deletion_account WHERE request_id = $1)
         DELETE FROM deletion_mark WHERE request_id = $1",
        request,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!("DELETE FROM deletion_request WHERE id = $1", request).execute(&mut **tx).await?;
    sqlx::query!("UPDATE export SET state = 'gathered' WHERE id = $1 AND state = 'asked'", export)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn made_up(tx: &mut PgTransaction<'_>, request: Uuid, export: Uuid) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"INSERT INTO deletion_request (id, origin, code_digest, workspace_id)
           SELECT $1::uuid, 'staff'::deletion_origin, sha256($1::uuid::text::bytea), workspace_id FROM export WHERE id = $2"#,
        request,
        export,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        r#"WITH accounts AS (
               INSERT INTO deletion_account (request_id, account_id, workspace_id, platform)
               SELECT $1::uuid, a.id, a.workspace_id, a.platform FROM export_covered c JOIN account a ON a.id = c.id
               WHERE c.export_id = $2 AND c.kind = 'account' AND a.deletion_id IS NULL),
           own AS (
               -- what no post shows yet is the workspace's too
               SELECT m.id, 'media' AS kind FROM media m JOIN export e ON e.workspace_id = m.workspace_id
               WHERE e.id = $2 AND e.whole
                 -- what is just being deleted is nobody's to have any more
                 AND NOT EXISTS (SELECT FROM deletion_mark d JOIN deletion_request r ON r.id = d.request_id
                                 WHERE d.kind = 'media' AND d.id = m.id AND r.stage <> 'done')
                 AND NOT EXISTS (SELECT FROM post_media pm JOIN publication p ON p.post_id = pm.post_id
                                 JOIN account a ON a.id = p.account_id
                                 WHERE pm.media_id = m.id AND a.deletion_id IS NOT NULL))
           INSERT INTO deletion_mark (request_id, id, kind)
           SELECT $1::uuid, c.id, c.kind FROM export_covered c
           WHERE c.export_id = $2
             AND NOT EXISTS (SELECT FROM account a
                             WHERE c.kind = 'account' AND a.id = c.id AND a.deletion_id IS NOT NULL)
           UNION SELECT $1::uuid, own.id, own.kind FROM own"#,
        request,
        export,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The rows of one store, some in each sheet; gives the position after the last one.
async fn sheets(
    tx: &mut PgTransaction<'_>,
    (request, export): (Uuid, Uuid),
    store: &Store,
    of: &str,
    position: i32,
) -> Result<i32, LedgerError> {
    // the table and the condition are constants of the register
    let statement = format!(
        "WITH told AS (
             SELECT (row_number() OVER () - 1) / $6 AS sheet, (to_jsonb(t) - $5::text[])::text AS row
             FROM {} AS t WHERE {of}),
         made AS (
             INSERT INTO export_item (export_id, position, path, body)
             SELECT $2, $3 + sheet::integer,
                    'data/' || $4 || CASE WHEN sheet = 0 THEN '' ELSE '-' || sheet + 1 END || '.json',
                    '[' || string_agg(row, E',\\n') || ']'
             FROM told GROUP BY sheet RETURNING 1)
         SELECT count(*) FROM made",
        store.name
    );
    let made: i64 = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(request)
        .bind(export)
        .bind(position)
        .bind(store.name)
        .bind(SECRET.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        .bind(ROWS)
        .fetch_one(&mut **tx)
        .await?;
    Ok(position + i32::try_from(made).unwrap_or(i32::MAX))
}

/// The files of what was told of `media`.
async fn files(
    tx: &mut PgTransaction<'_>,
    (request, export): (Uuid, Uuid),
    position: i32,
) -> Result<(), LedgerError> {
    let media = register::emptied().iter().find(|store| store.name == "media");
    let Some(Purge::Rows { of, .. }) = media.map(|store| store.purge) else { return Ok(()) };
    let statement = format!(
        "INSERT INTO export_item (export_id, position, path, object_key)
         SELECT $2, $3 + (row_number() OVER (ORDER BY t.id))::integer - 1,
                'media/' || t.id || '.' || split_part(t.type, '/', 2), t.object_key
         FROM media t WHERE t.state = 'ready' AND {of}"
    );
    sqlx::query(AssertSqlSafe(statement))
        .bind(request)
        .bind(export)
        .bind(position)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
