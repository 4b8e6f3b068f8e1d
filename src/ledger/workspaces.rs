//! Workspaces: whose data a row is.

use uuid::Uuid;

use super::{Ledger, LedgerError};

/// A client of an agency, or the company itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its id.
    pub id: Uuid,
    /// What people call it; no two share one.
    pub name: String,
}

impl Ledger {
    /// Adds a workspace and returns its id.
    ///
    /// # Errors
    /// `workspace_name_key`: the name is taken; `workspace_name_length`: it is empty or over 200 characters.
    pub async fn add_workspace(&self, name: &str) -> Result<Uuid, LedgerError> {
        let id = Uuid::now_v7();
        sqlx::query!("INSERT INTO workspace (id, name) VALUES ($1, $2)", id, name)
            .execute(&self.pool)
            .await?;
        Ok(id)
    }

    /// Sets the parameters that the workspace adds to links; `None`: none. Posts that were accepted keep their links.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn set_link_template(&self, id: Uuid, template: Option<&str>) -> Result<(), LedgerError> {
        sqlx::query!("UPDATE workspace SET link_template = $2 WHERE id = $1", id, template)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The parameters that the workspace adds to links, as they were written.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn link_template(&self, id: Uuid) -> Result<Option<String>, LedgerError> {
        let template = sqlx::query_scalar!("SELECT link_template FROM workspace WHERE id = $1", id);
        Ok(template.fetch_optional(&self.pool).await?.flatten())
    }

    /// The workspace of that id or name.
    pub async fn find_workspace(&self, id_or_name: &str) -> Result<Option<Workspace>, LedgerError> {
        let found = sqlx::query_as!(
            Workspace,
            "SELECT id, name FROM workspace WHERE id = $1 OR name = $2
             ORDER BY id = $1 DESC -- an id wins over another workspace's name that reads like it
             LIMIT 1",
            Uuid::try_parse(id_or_name).ok(),
            id_or_name,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(found)
    }
}
