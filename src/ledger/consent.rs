//! What each workspace has withdrawn its consent to.

use chrono::{DateTime, Utc};
use jobs::consent::Purpose;
use serde_json::json;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Entry},
};

/// A purpose, and whether a workspace wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consent {
    /// What for.
    pub purpose: Purpose,
    /// When it was withdrawn; none: it is given.
    pub withdrawn_at: Option<DateTime<Utc>>,
}

impl Ledger {
    /// Whether a workspace does not want its data to be used for that.
    ///
    /// # Errors
    /// The ledger is away: then nobody may act as if it were given.
    pub async fn is_withdrawn(&self, workspace_id: Uuid, purpose: Purpose) -> Result<bool, LedgerError> {
        let withdrawn = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM consent_withdrawal WHERE workspace_id = $1 AND purpose = $2) AS "withdrawn!""#,
            workspace_id,
            purpose.word(),
        );
        Ok(withdrawn.fetch_one(&self.pool).await?)
    }

    /// Every purpose, as a workspace wants it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn consents(&self, workspace_id: Uuid) -> Result<Vec<Consent>, LedgerError> {
        let rows = sqlx::query!(
            "SELECT purpose, withdrawn_at FROM consent_withdrawal WHERE workspace_id = $1",
            workspace_id
        );
        let rows = rows.fetch_all(&self.pool).await?;
        let consent = |purpose: &Purpose| Consent {
            purpose: *purpose,
            withdrawn_at: rows.iter().find(|row| row.purpose == purpose.word()).map(|row| row.withdrawn_at),
        };
        Ok(Purpose::ALL.iter().map(consent).collect())
    }

    /// Gives or withdraws it. What is so already stays as it is, and is no deed.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn set_consent(
        &self,
        workspace_id: Uuid,
        purpose: Purpose,
        given: bool,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let done = if given {
            sqlx::query!(
                "DELETE FROM consent_withdrawal WHERE workspace_id = $1 AND purpose = $2",
                workspace_id,
                purpose.word(),
            )
            .execute(&mut *tx)
            .await?
        } else {
            sqlx::query!(
                "INSERT INTO consent_withdrawal (workspace_id, purpose) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                workspace_id,
                purpose.word(),
            )
            .execute(&mut *tx)
            .await?
        };
        let changed = done.rows_affected() == 1;
        if changed {
            let entry = Entry {
                who: self.who(),
                action: if given { Action::ConsentGiven } else { Action::ConsentWithdrawn },
                object: "workspace",
                object_id: workspace_id.to_string(),
                workspace_id: Some(workspace_id),
                detail: json!({ "purpose": purpose.word() }),
            };
            audit::record(&mut tx, &entry).await?;
        }
        tx.commit().await?;
        Ok(changed)
    }
}
