//! Sweeps handles that nobody holds: a network that would keep them is asked to delete them, and one that forgets them
//! by itself is left to it.

use std::{sync::Arc, time::Duration};

use jobs::{
    contract::{Class, Failure},
    desk::{Call, Clock, Network, Vault, off},
    gate::{Gate, Visit},
    machine::{Sight, Withdrawal},
};
use uuid::Uuid;

use super::{Worker, traffic::AttemptGate, vault::LedgerVault};
use crate::ledger::{LedgerError, orphans::Orphan};

/// Handles looked at in one round.
const MOST: i64 = 16;
/// A read of a handle, and the call that deletes it.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// All of what one handle takes.
const LOOK_TIMEOUT: Duration = Duration::from_secs(45);
/// A handle that could not be deleted for so long is given up: nobody sees it, and nothing is ever sent for it.
const GIVEN_UP_AFTER: Duration = Duration::from_hours(7 * 24);

/// Looks at the pace of `worker.toml`, apart from what removes files: neither waits for a store or a network of the
/// other's that is slow.
pub(super) async fn run(worker: Arc<Worker>) {
    let mut tick = tokio::time::interval(worker.parts.settings.retention.sweep_every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = worker.sweep_orphans().await {
            tracing::warn!(%error, "handles that nobody holds could not be looked for");
        }
        if let Err(error) = worker.seek_drafts().await {
            tracing::warn!(%error, "what lost its name could not be looked for");
        }
    }
}

impl Worker {
    /// One round.
    async fn sweep_orphans(&self) -> Result<(), LedgerError> {
        for orphan in self.in_time(self.parts.duties.orphans_due(MOST, GIVEN_UP_AFTER)).await? {
            if self.stop.is_cancelled() {
                break;
            }
            let swept = tokio::time::timeout(LOOK_TIMEOUT, self.sweep_orphan(&orphan)).await;
            match swept.unwrap_or_else(|late| Err(LedgerError::late(late))) {
                Ok(None) => {}
                Ok(Some(failure)) => self.spared(&orphan, &failure).await?,
                Err(error) => {
                    tracing::warn!(%error, account = %orphan.account_id, "a handle that nobody holds was left");
                }
            }
        }
        Ok(())
    }

    /// What could not be swept has another turn, up to a time.
    async fn spared(&self, orphan: &Orphan, failure: &Failure) -> Result<(), LedgerError> {
        let Orphan { account_id: account, handle, .. } = orphan;
        if orphan.old {
            tracing::warn!(%account, handle = handle.id, %failure, "a handle that nobody holds could not be removed");
            return self.in_time(self.parts.duties.swept(handle, None)).await;
        }
        tracing::info!(%account, handle = handle.id, %failure, "a handle that nobody holds is still there");
        Ok(())
    }

    /// Sweeps one; gives what kept it from that, if anything did.
    async fn sweep_orphan(&self, orphan: &Orphan) -> Result<Option<Failure>, LedgerError> {
        let (platform, handle) = (&orphan.platform, &orphan.handle);
        let Some(network) = self.parts.networks.of(platform) else {
            return Ok(Some(off(platform)));
        };
        if !network.lingers(handle) {
            self.in_time(self.parts.duties.swept(handle, None)).await?;
            return Ok(None);
        }
        let gate = self.last_gate();
        let (account, allowance) = (orphan.account_id, network.allowance());
        let visit = Visit { network: platform, account, allowance, calls: 2, comes_back: false };
        if let Err(error) = gate.enter(visit).await {
            return Ok(Some(error.failure()));
        }
        self.delete(network, orphan, &gate).await
    }

    async fn delete(
        &self,
        network: &dyn Network,
        orphan: &Orphan,
        gate: &AttemptGate<'_>,
    ) -> Result<Option<Failure>, LedgerError> {
        let vault = LedgerVault { ledger: &self.parts.duties, ring: &self.parts.ring };
        let token = match vault.access_token(orphan.account_id).await {
            Ok(token) => token,
            Err(error) => return Ok(Some(error.failure())),
        };
        let call = |id: Option<Uuid>| Call {
            id,
            account: &orphan.external_id,
            token: &token,
            media: &*self.parts.media,
            gate,
            timeout: CALL_TIMEOUT,
        };
        // what somebody has made public by hand is not ours to delete
        match network.inspect(&call(None), &orphan.handle, false).await {
            Ok(Sight::Ready | Sight::Building) => {}
            Ok(Sight::Dead(_)) => {
                self.in_time(self.parts.duties.swept(&orphan.handle, None)).await?;
                return Ok(None);
            }
            Ok(Sight::Public(_) | Sight::Processing) => {
                tracing::error!(account = %orphan.account_id, handle = orphan.handle.id, "a handle that nobody holds is public");
                self.in_time(self.parts.duties.swept(&orphan.handle, None)).await?;
                return Ok(None);
            }
            Err(failure) => return Ok(Some(failure)),
        }
        let asked = self.parts.clock.monotonic();
        let duties = &self.parts.duties;
        let inc = self.lease.tenure().inc;
        let logged = self.in_time(duties.log_discard(&orphan.handle, inc, CALL_TIMEOUT)).await?;
        let Some(id) = logged else { return Ok(None) };
        if self.parts.clock.monotonic().saturating_sub(asked) > self.parts.settings.publishing.send_within {
            let late = Failure::new(Class::Transient, "send_too_late", "too long before the request");
            self.in_time(duties.not_swept(id, &late, true)).await?;
            return Ok(Some(late));
        }
        let (failure, certainly) = match network.withdraw(&call(Some(id)), &orphan.handle).await {
            Ok(Withdrawal::Withdrawn) => {
                self.in_time(duties.swept(&orphan.handle, Some(id))).await?;
                tracing::info!(account = %orphan.account_id, "a handle that nobody held was deleted");
                return Ok(None);
            }
            Ok(Withdrawal::TooLate(_)) => (Failure::new(Class::Permanent, "public", "it is public"), true),
            Ok(Withdrawal::Cannot(failure)) => (failure, true),
            Err(failure) => (failure, false),
        };
        self.in_time(duties.not_swept(id, &failure, certainly)).await?;
        Ok(Some(failure))
    }
}
