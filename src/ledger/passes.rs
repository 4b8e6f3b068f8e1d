//! Passes, as far as the ledger knows them: what their signatures are checked with, and which were taken back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action},
    claims::interval,
};

/// What anybody may check the signature of a pass with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassKey {
    /// Its name, the `kid` of a pass.
    pub id: Uuid,
    /// 32 bytes of Ed25519.
    pub public: [u8; 32],
    /// When the last pass that it signed has ended.
    pub ends_at: DateTime<Utc>,
}

impl Ledger {
    /// Publishes what checks the signatures of a fresh key for so long, and forgets those whose time is over.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn publish_pass_key(&self, public: &[u8; 32], lasting: Duration) -> Result<Uuid, LedgerError> {
        let id = Uuid::now_v7();
        sqlx::query!(
            "WITH over AS (DELETE FROM pass_key WHERE ends_at <= ledger_now())
             INSERT INTO pass_key (id, public, ends_at) VALUES ($1, $2, ledger_now() + $3)",
            id,
            public,
            interval(lasting),
        )
        .execute(&self.pool)
        .await?;
        Ok(id)
    }

    /// What checks signatures now: of that name, or all there is.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn pass_keys(&self, id: Option<Uuid>) -> Result<Vec<PassKey>, LedgerError> {
        let rows = sqlx::query!(
            "SELECT id, public, ends_at FROM pass_key
             WHERE ends_at > ledger_now() AND ($1::uuid IS NULL OR id = $1) ORDER BY id",
            id,
        )
        .fetch_all(&self.pool)
        .await?;
        let key = |row: (Uuid, Vec<u8>, DateTime<Utc>)| {
            let public = row.1.try_into();
            let public = public.map_err(|_| LedgerError::Unreadable("a key of another length".into()))?;
            Ok(PassKey { id: row.0, public, ends_at: row.2 })
        };
        rows.into_iter().map(|row| key((row.id, row.public, row.ends_at))).collect()
    }

    /// Writes down that a pass was issued for a key.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn issued_pass(
        &self,
        key_id: Uuid,
        workspace_id: Option<Uuid>,
        pass_id: Uuid,
        scopes: &[&str],
    ) -> Result<(), LedgerError> {
        let detail = json!({ "pass": pass_id, "scopes": scopes });
        self.audit(&self.about_key(Action::PassIssued, key_id, workspace_id, detail)).await
    }

    /// Takes back a pass of this key, whether or not there is one of that name, for as long as one can last; those that
    /// have ended since are forgotten.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn deny_pass(
        &self,
        key_id: Uuid,
        workspace_id: Option<Uuid>,
        pass_id: Uuid,
        lasting: Duration,
    ) -> Result<(), LedgerError> {
        let mut tx = self.pool.begin().await?;
        let denied = sqlx::query!(
            "WITH over AS (DELETE FROM denied_pass WHERE api_key_id = $1 AND ends_at <= ledger_now())
             INSERT INTO denied_pass (api_key_id, id, ends_at) VALUES ($1, $2, ledger_now() + $3)
             ON CONFLICT (api_key_id, id) DO NOTHING",
            key_id,
            pass_id,
            interval(lasting),
        )
        .execute(&mut *tx)
        .await?;
        if denied.rows_affected() == 1 {
            let detail = json!({ "pass": pass_id });
            let entry = self.about_key(Action::PassDenied, key_id, workspace_id, detail);
            audit::record(&mut tx, &entry).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
