//! Copies on their way, as the holder of one claim packs them. What goes into one is found by the declaration that deleting
//! goes by: a table that is emptied of a person is in it, whenever it was added.

use async_trait::async_trait;
use jobs::{
    contract::JobError,
    metrics::{catalogue::by_id, packed::unpack},
    packing::{Content, Item, Mark, Package, Packing, Stage, Stored},
    zip::Packed,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgTransaction};
use uuid::Uuid;

use super::{
    Claim, Ledger, LedgerError,
    export::SECRET,
    purge,
    register::{self, Purge, Store},
};

/// Rows of one sheet.
const ROWS: i64 = 500;

/// The copies that the holder of one claim may touch.
pub struct ClaimedPacking<'a> {
    /// Where they are.
    pub ledger: &'a Ledger,
    /// The fence.
    pub claim: Claim,
}

impl ClaimedPacking<'_> {
    /// Begins a transaction that the claim holds through.
    async fn fenced(&self) -> Result<PgTransaction<'static>, JobError> {
        let mut tx = self.ledger.pool.begin().await.map_err(LedgerError::from)?;
        let held = sqlx::query_scalar!(
            "SELECT job_id FROM claim WHERE job_id = $1 AND epoch = $2 AND worker_inc = $3 FOR SHARE",
            self.claim.job_id,
            self.claim.epoch,
            self.claim.worker_inc,
        );
        match held.fetch_optional(&mut *tx).await.map_err(LedgerError::from)? {
            Some(_) => Ok(tx),
            None => Err(JobError::Fenced),
        }
    }
}

fn many(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn kept(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[async_trait]
impl Packing for ClaimedPacking<'_> {
    async fn look(&self, export: Uuid) -> Result<Option<Package>, JobError> {
        Ok(self.ledger.package(export).await?)
    }

    async fn gather(&self, export: Uuid) -> Result<(), JobError> {
        let mut tx = self.fenced().await?;
        gather(&mut tx, export).await?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(())
    }

    async fn opened(&self, export: Uuid, parts: &str) -> Result<bool, JobError> {
        let mut tx = self.fenced().await?;
        // it goes when the link ends, whatever becomes of it before
        let opened = sqlx::query!(
            "WITH it AS (UPDATE export SET parts = $2 WHERE id = $1 RETURNING object_key, expires_at),
             spare AS (INSERT INTO spare_object (object_key, remove_at, parts) SELECT object_key, expires_at, $2 FROM it
                       ON CONFLICT (object_key) DO UPDATE SET parts = excluded.parts)
             SELECT object_key FROM it",
            export,
            parts,
        );
        let opened = opened.fetch_optional(&mut *tx).await.map_err(LedgerError::from)?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(opened.is_some())
    }

    async fn item(&self, export: Uuid, position: i32) -> Result<Option<Item>, JobError> {
        Ok(self.ledger.item(export, position).await?)
    }

    async fn stored(&self, export: Uuid, part: &Stored) -> Result<(), JobError> {
        let mut tx = self.fenced().await?;
        keep(&mut tx, export, part).await?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(())
    }

    async fn list(&self, export: Uuid) -> Result<bool, JobError> {
        let mut tx = self.fenced().await?;
        let listed = list(&mut tx, export).await?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(listed)
    }

    async fn packed(&self, export: Uuid) -> Result<Vec<Packed>, JobError> {
        Ok(self.ledger.packed(export).await?)
    }

    async fn made(&self, export: Uuid, bytes: u64) -> Result<(), JobError> {
        let mut tx = self.fenced().await?;
        sqlx::query!(
            "WITH items AS (DELETE FROM export_item WHERE export_id = $1),
                  parts AS (DELETE FROM export_part WHERE export_id = $1),
                  spare AS (UPDATE spare_object s SET parts = NULL FROM export e
                            WHERE e.id = $1 AND s.object_key = e.object_key)
             UPDATE export SET state = 'made', made_at = ledger_now(), bytes = $2, parts = NULL WHERE id = $1",
            export,
            kept(bytes),
        )
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::from)?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(())
    }
}

impl Ledger {
    async fn package(&self, export: Uuid) -> Result<Option<Package>, LedgerError> {
        let row = sqlx::query!(
            r#"SELECT e.state::text AS "state!", e.object_key, e.parts, p.number AS "number?", p.position AS "position?",
                      p.within AS "within?", p.sums AS "sums?",
                      (SELECT coalesce(sum(o.bytes), 0)::bigint FROM export_part o WHERE o.export_id = e.id) AS "bytes!"
               FROM export e
               LEFT JOIN LATERAL (SELECT l.number, l.position, l.within, l.sums FROM export_part l WHERE l.export_id = e.id
                                  ORDER BY l.number DESC LIMIT 1) p ON true
               WHERE e.id = $1 AND e.expires_at > ledger_now()"#,
            export,
        );
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(None) };
        let stage = match row.state.as_str() {
            "asked" => Stage::Asked,
            "gathered" => Stage::Gathered,
            "made" => Stage::Made,
            other => return Err(LedgerError::Unreadable(format!("a copy that is {other}"))),
        };
        let mark =
            Mark { position: row.position.unwrap_or_default(), within: many(row.within.unwrap_or_default()) };
        Ok(Some(Package {
            stage,
            key: row.object_key,
            parts: row.parts,
            stored: row.number.unwrap_or_default(),
            bytes: many(row.bytes),
            mark,
            sums: row.sums,
        }))
    }

    async fn item(&self, export: Uuid, position: i32) -> Result<Option<Item>, LedgerError> {
        let row = sqlx::query!(
            "SELECT path, body, object_key FROM export_item WHERE export_id = $1 AND position = $2",
            export,
            position,
        );
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(None) };
        let content = match (row.body, row.object_key) {
            (Some(text), _) if row.path.starts_with("data/snapshot") => Content::Text(readable(text)),
            (Some(text), _) => Content::Text(text),
            (None, Some(key)) => Content::File(key),
            (None, None) => return Err(LedgerError::Unreadable("an item that is nothing".into())),
        };
        Ok(Some(Item { position, path: row.path, content }))
    }

    async fn packed(&self, export: Uuid) -> Result<Vec<Packed>, LedgerError> {
        let rows = sqlx::query!(
            r#"SELECT path, begins_at AS "begins_at!", crc AS "crc!", bytes AS "bytes!" FROM export_item
               WHERE export_id = $1 ORDER BY position"#,
            export,
        );
        let rows = rows.fetch_all(&self.pool).await?.into_iter().map(|row| Packed {
            path: row.path,
            begins_at: many(row.begins_at),
            crc: u32::try_from(row.crc).unwrap_or_default(),
            bytes: many(row.bytes),
        });
        Ok(rows.collect())
    }
}

/// Writes down all that goes into it. A request for deletion is made up for that, and taken back in the same transaction:
/// what it would cover is what there is.
async fn gather(tx: &mut PgTransaction<'_>, export: Uuid) -> Result<(), LedgerError> {
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

async fn keep(tx: &mut PgTransaction<'_>, export: Uuid, part: &Stored) -> Result<(), LedgerError> {
    if part.number > 0 {
        sqlx::query!(
            "INSERT INTO export_part (export_id, number, bytes, position, within, sums) VALUES ($1, $2, $3, $4, $5, $6)",
            export,
            part.number,
            kept(part.bytes),
            part.mark.position,
            kept(part.mark.within),
            part.sums,
        )
        .execute(&mut **tx)
        .await?;
    }
    let (positions, at): (Vec<i32>, Vec<i64>) =
        part.begun.iter().map(|(position, at)| (*position, kept(*at))).unzip();
    sqlx::query!(
        "UPDATE export_item i SET begins_at = x.at FROM unnest($2::integer[], $3::bigint[]) AS x (position, at)
         WHERE i.export_id = $1 AND i.position = x.position",
        export,
        &positions,
        &at,
    )
    .execute(&mut **tx)
    .await?;
    let positions: Vec<i32> = part.packed.iter().map(|(position, ..)| *position).collect();
    let sums: Vec<i64> = part.packed.iter().map(|(_, it, _)| i64::from(it.crc)).collect();
    let bytes: Vec<i64> = part.packed.iter().map(|(_, it, _)| kept(it.bytes)).collect();
    let digests: Vec<Vec<u8>> = part.packed.iter().map(|(.., digest)| digest.to_vec()).collect();
    sqlx::query!(
        "UPDATE export_item i SET crc = x.crc, bytes = x.bytes, sha256 = x.sha256
         FROM unnest($2::integer[], $3::bigint[], $4::bigint[], $5::bytea[]) AS x (position, crc, bytes, sha256)
         WHERE i.export_id = $1 AND i.position = x.position",
        export,
        &positions,
        &sums,
        &bytes,
        &digests,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Adds the list of all that is in it, with what each table is kept for.
async fn list(tx: &mut PgTransaction<'_>, export: Uuid) -> Result<bool, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT position, path, bytes, sha256, ledger_now() AS "now!" FROM export_item
           WHERE export_id = $1 ORDER BY position"#,
        export,
    );
    let rows = rows.fetch_all(&mut **tx).await?;
    if rows.iter().any(|row| row.path == MANIFEST) {
        return Ok(false);
    }
    let files: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "path": row.path, "bytes": row.bytes, "sha256": row.sha256.as_ref().map(hex::encode) }))
        .collect();
    let stores = register::emptied().iter().filter(|store| {
        let (whole, some) = (format!("data/{}.json", store.name), format!("data/{}-", store.name));
        rows.iter().any(|row| row.path == whole || row.path.starts_with(&some))
    });
    let stores: Vec<Value> = stores
        .map(|store| {
            let personal = store.personal.iter().map(|(name, what)| json!({ "column": name, "what": what }));
            json!({ "store": store.name, "kept_for": store.why, "personal": personal.collect::<Vec<_>>() })
        })
        .collect();
    let manifest = json!({
        "postroom_export": 1,
        "export": export,
        "made_at": rows.first().map(|row| row.now),
        "files": files,
        "stores": stores,
    });
    let position = rows.last().map_or(0, |row| row.position + 1);
    sqlx::query!(
        "INSERT INTO export_item (export_id, position, path, body) VALUES ($1, $2, $3, $4)",
        export,
        position,
        MANIFEST,
        format!("{manifest:#}"),
    )
    .execute(&mut **tx)
    .await?;
    Ok(true)
}

/// The numbers of snapshots by their names, which stand packed in the ledger. The same always gives the same.
fn readable(sheet: String) -> String {
    let Ok(mut rows) = serde_json::from_str::<Vec<Value>>(&sheet) else { return sheet };
    for row in &mut rows {
        let bytes = row["points"].as_str().and_then(|text| hex::decode(text.strip_prefix("\\x")?).ok());
        let Some(bytes) = bytes else { continue };
        let mut points = Vec::new();
        unpack(&bytes, |(ends_at, metric, value)| {
            let known = by_id(metric);
            points.push(json!({
                "metric": known.map(|it| it.name),
                "network_calls_it": known.map(|it| it.remote),
                "day_ends_at": ends_at,
                "value": value,
            }));
        });
        row["points"] = points.into();
    }
    Value::from(rows).to_string()
}

/// The name of the list.
const MANIFEST: &str = "manifest.json";

#[cfg(test)]
mod tests {
    use jobs::metrics::packed::{pack, whole};

    use super::*;

    #[test]
    fn numbers_are_told_by_their_names_and_what_is_no_sheet_stays_as_it_is() {
        let points = format!("\\x{}", hex::encode(pack(&[whole(40, Some(7)), whole(41, None)])));
        let told = readable(json!([{ "object": 3, "points": points }, { "object": 4 }]).to_string());
        let told: Value = serde_json::from_str(&told).expect("a sheet");
        let views = by_id(40).expect("it is there");
        assert_eq!(told[0]["points"][0]["metric"], views.name);
        assert_eq!(
            (&told[0]["points"][0]["value"], &told[0]["points"][1]["value"]),
            (&json!(7), &Value::Null)
        );
        assert_eq!(told[1], json!({ "object": 4 }));
        assert_eq!(readable("x".into()), "x");
    }
}
