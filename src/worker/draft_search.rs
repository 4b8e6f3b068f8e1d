//! Looks at the networks for what was made there and whose name was lost on the way here, so that it is taken back.
//!
//! What counts as ours is [`lost`]'s business; and nothing does whose name is known here.

use std::time::Duration;

use jobs::{
    contract::{Class, Failure},
    desk::{Call, Unseen, Vault, off},
    gate::{Gate, Visit},
    lost,
};

use super::{Worker, vault::LedgerVault};
use crate::ledger::{LedgerError, draft_search::Search};

/// Accounts searched in one round.
const MOST: i64 = 8;
/// The read of the list.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// All of what one account takes.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// A search that failed so often is given up: what nobody sees does no harm.
const TRIES_MOST: i32 = 5;

impl Worker {
    /// One round.
    pub(super) async fn seek_drafts(&self) -> Result<(), LedgerError> {
        let duties = &self.parts.duties;
        for search in self.in_time(duties.searches_due(MOST)).await? {
            if self.stop.is_cancelled() {
                break;
            }
            let sought = tokio::time::timeout(LOOK_TIMEOUT, self.seek(&search)).await;
            let account = search.account_id;
            match sought.unwrap_or_else(|late| Err(LedgerError::late(late))) {
                Ok(None) => self.in_time(duties.searched(&search)).await?,
                Ok(Some(failure)) if is_final(&failure, search.tries) => {
                    tracing::warn!(%account, %failure, "what an account keeps unseen could not be read; it stays");
                    self.in_time(duties.searched(&search)).await?;
                }
                Ok(Some(failure)) => {
                    tracing::info!(%account, %failure, "what an account keeps unseen could not be read yet");
                }
                Err(error) => tracing::warn!(%error, %account, "an account was not searched"),
            }
        }
        Ok(())
    }

    /// Searches one account; gives what kept it from that, if anything did.
    async fn seek(&self, search: &Search) -> Result<Option<Failure>, LedgerError> {
        let (duties, platform) = (&self.parts.duties, &search.platform);
        let Some(network) = self.parts.networks.of(platform) else {
            return Ok(Some(off(platform)));
        };
        if !network.lists_unseen() {
            return Ok(None);
        }
        let calls = self.in_time(duties.lost_calls(search)).await?;
        let Some(since) = lost::earliest(&calls) else { return Ok(None) };
        let gate = self.last_gate();
        let (account, allowance) = (search.account_id, network.allowance());
        let visit = Visit { network: platform, account, allowance, calls: 1, comes_back: false };
        if let Err(error) = gate.enter(visit).await {
            return Ok(Some(error.failure()));
        }
        let vault = LedgerVault { ledger: duties, ring: &self.parts.ring };
        let token = match vault.access_token(account).await {
            Ok(token) => token,
            Err(error) => return Ok(Some(error.failure())),
        };
        let call = Call {
            id: None,
            account: &search.external_id,
            token: &token,
            media: &*self.parts.media,
            gate: &gate,
            timeout: CALL_TIMEOUT,
        };
        let unseen = match network.unseen(&call, since).await {
            Ok(unseen) => unseen,
            Err(failure) => return Ok(Some(failure)),
        };
        let found: Vec<Unseen> = unseen.into_iter().filter(|it| lost::is_lost(it, &calls)).collect();
        let filed = self.in_time(duties.file_found(account, &found)).await?;
        if filed > 0 {
            tracing::info!(%account, filed, "found what was made and whose name was lost");
        }
        Ok(None)
    }
}

/// Whether the network will never tell.
fn is_final(failure: &Failure, tries: i32) -> bool {
    matches!(failure.class, Class::Permanent | Class::Permission) || tries >= TRIES_MOST
}
