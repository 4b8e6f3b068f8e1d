//! Opening tokens, here and nowhere else.

use async_trait::async_trait;
use jobs::{contract::JobError, desk::Vault};
use secrecy::SecretString;
use uuid::Uuid;

use crate::ledger::{KeyRing, Ledger, vault::VaultError};

/// The vault as a running job sees it.
pub struct LedgerVault<'a> {
    /// Where the sealed tokens are.
    pub ledger: &'a Ledger,
    /// What opens them.
    pub ring: &'a KeyRing,
}

#[async_trait]
impl Vault for LedgerVault<'_> {
    async fn access_token(&self, account_id: Uuid) -> Result<SecretString, JobError> {
        self.ledger.open_token(self.ring, account_id).await.map_err(VaultError::into_job_error)
    }
}
