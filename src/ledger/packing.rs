//! Copies on their way, as the holder of one claim packs them.

use async_trait::async_trait;
use jobs::{
    contract::JobError,
    metrics::{catalogue::by_id, packed::unpack},
    packing::{Content, Item, Mark, Package, Packing, Stage, Stored},
    zip::Packed,
};
use serde_json::{Value, json};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{Claim, Ledger, LedgerError, gathering, register};

/// The copies that the holder of one claim may touch.
pub struct ClaimedPacking<'a> {
    /// Where they are.
    pub ledger: &'a Ledger,
    /// The fence.
    pub claim: Claim,
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
        let mut tx = self.ledger.fenced(self.claim).await?;
        gathering::gather(&mut tx, export).await?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(())
    }

    async fn opened(&self, export: Uuid, parts: &str) -> Result<bool, JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
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
        let mut tx = self.ledger.fenced(self.claim).await?;
        keep(&mut tx, export, part).await?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(())
    }

    async fn list(&self, export: Uuid) -> Result<bool, JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
        let listed = list(&mut tx, export).await?;
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(listed)
    }

    async fn packed(&self, export: Uuid) -> Result<Vec<Packed>, JobError> {
        Ok(self.ledger.packed(export).await?)
    }

    async fn made(&self, export: Uuid, bytes: u64) -> Result<(), JobError> {
        let mut tx = self.ledger.fenced(self.claim).await?;
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
