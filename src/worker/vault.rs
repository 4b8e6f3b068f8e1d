//! Opening tokens, here and nowhere else.

use std::sync::atomic::{AtomicI64, Ordering};

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

/// The same, and remembers of which generation the token was: where it is refused, no other one was.
pub struct WatchedVault<'a> {
    /// The vault.
    pub vault: LedgerVault<'a>,
    /// The generation that was opened; 0: none.
    pub opened: &'a AtomicI64,
}

#[async_trait]
impl Vault for WatchedVault<'_> {
    async fn access_token(&self, account_id: Uuid) -> Result<SecretString, JobError> {
        let LedgerVault { ledger, ring } = self.vault;
        let opened = ledger.open_field(ring, account_id, "access").await;
        let (token, generation) = opened.map_err(VaultError::into_job_error)?;
        self.opened.store(generation, Ordering::Relaxed);
        Ok(token)
    }
}
