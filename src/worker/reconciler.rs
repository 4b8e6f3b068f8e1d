//! Decides unknown outcomes by evidence, and by nothing else.

use std::{sync::Arc, time::Duration};

use jobs::{
    contract::{Class, Failure, JobError, Kind},
    desk::{Call, Clock, Handle, Network, Publication, Vault, off},
    fp,
    gate::{Errand, Gate, Visit},
    machine::{HandleState, Move, Public, Sight},
    publish::Publish,
    renewals::{Mend, is_of_access},
    ruling::{self, Ruling},
};
use secrecy::SecretString;
use uuid::Uuid;

use super::{Worker, traffic::AttemptGate, vault::LedgerVault};
use crate::ledger::{
    LedgerError,
    reconcile::{Decision, Doubt},
};

/// The kind whose attempts doubts spend.
const PUBLISH: Kind = Kind::of::<Publish>();
/// Doubts looked at in one round.
const MOST: i64 = 64;
/// One read of a network.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// All of what one doubt takes: reads of the network, and the ledger before and after.
const LOOK_TIMEOUT: Duration = Duration::from_mins(1);
/// The wait where there is more to look at already: others may be looking at it.
const AT_ONCE: Duration = Duration::from_millis(20);
/// The longest wait before the ledger is asked for doubts again.
const IDLE: Duration = Duration::from_secs(5);

/// What a look at a doubt brought.
enum Evidence {
    /// What its handle shows.
    Seen(Sight),
    /// A post that can be no other.
    Found(Public),
}

/// Looks at doubts as they fall due.
pub(super) async fn run(worker: Arc<Worker>) {
    loop {
        let wait = worker.reconcile_due().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "unknown outcomes could not be looked at");
            IDLE
        });
        tokio::select! {
            () = worker.stop.cancelled() => return,
            () = worker.doubt.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// A doubt that cannot be looked at to its end holds up none of the others.
async fn look_in_time(look: impl Future<Output = Result<(), LedgerError>>) -> Result<(), LedgerError> {
    tokio::time::timeout(LOOK_TIMEOUT, look).await.unwrap_or_else(|late| Err(LedgerError::late(late)))
}

impl Worker {
    /// Looks at every doubt that is due; returns how long the next one can wait.
    async fn reconcile_due(self: &Arc<Self>) -> Result<Duration, LedgerError> {
        if let Some(wait) = self.until_next().await? {
            return Ok(wait);
        }
        // while one worker looks, the others leave a doubt alone for as long as they would take it for living
        let ids = self.in_time(self.parts.duties.doubtful(MOST, self.parts.settings.lease.length)).await?;
        let mut looks = tokio::task::JoinSet::new();
        for id in ids {
            let worker = Arc::clone(self);
            looks.spawn(async move {
                if let Err(error) = look_in_time(worker.reconcile(id)).await {
                    tracing::warn!(%error, publication = %id, "an unknown outcome could not be decided");
                }
            });
        }
        for id in self.in_time(self.parts.duties.unnamed(MOST)).await? {
            let worker = Arc::clone(self);
            looks.spawn(async move {
                if let Err(error) = look_in_time(worker.name(id)).await {
                    tracing::warn!(%error, publication = %id, "where a post is to be found could not be asked");
                }
            });
        }
        while let Some(look) = looks.join_next().await {
            if let Err(error) = look {
                tracing::error!(%error, "a look at an unknown outcome failed; it is looked at again");
            }
        }
        Ok(self.until_next().await?.unwrap_or(AT_ONCE))
    }

    /// How long the next doubt can wait; `None`: it is due.
    async fn until_next(&self) -> Result<Option<Duration>, LedgerError> {
        let next = self.in_time(self.parts.duties.next_doubt()).await?;
        let wait = next.map_or(IDLE, |at| (at - self.parts.clock.now()).to_std().unwrap_or_default());
        Ok((!wait.is_zero()).then_some(wait.min(IDLE)))
    }

    async fn reconcile(&self, id: Uuid) -> Result<(), LedgerError> {
        // of a surface that this build does not know nothing is known to be provable
        let one_shot = |it: &Publication| {
            let surface = self.parts.networks.surface(&it.account.platform, &it.content.surface);
            surface.is_none_or(|surface| surface.one_shot)
        };
        let Some(doubt) = self.parts.duties.doubt(id, one_shot).await? else { return Ok(()) };
        if let Some(public) = doubt.heard.clone() {
            return self.record(&doubt, public).await;
        }
        let evidence = self.look(&doubt).await;
        fp!(AfterEvidence);
        let seen = match evidence {
            Ok(Evidence::Found(public)) => return self.record_found(&doubt, public).await,
            Ok(Evidence::Seen(sight)) => Ok(sight),
            Err(failure) => {
                self.renew_for(&doubt.publication, &failure).await;
                Err(failure)
            }
        };
        let ruling = ruling::judge(&doubt.case, seen, &self.patience());
        tracing::info!(publication = %id, ?ruling, "unknown outcome looked at");
        self.carry_out(&doubt, ruling).await
    }

    /// Sees to it that the next look has access that holds, where that is what this one lacked.
    async fn renew_for(&self, it: &Publication, failure: &Failure) {
        let renewing = self.parts.networks.of(&it.account.platform).and_then(Network::renewing);
        if !is_of_access(failure) || renewing.map(|it| it.mend(failure)) != Some(Mend::Refresh) {
            return;
        }
        match self.in_time(self.parts.duties.need_renewal(it.account.id, it.generation)).await {
            Ok(true) => self.due.notify_one(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, account = %it.account.id, "a renewal could not be asked for; the next look does");
            }
        }
    }

    async fn look(&self, doubt: &Doubt) -> Result<Evidence, Failure> {
        let gate = self.gate(false);
        let (network, handle, token) = self.open(&doubt.publication, &gate).await?;
        let call = self.read(&doubt.publication, &token, &gate);
        match network.inspect(&call, handle, true).await {
            Ok(sight) => Ok(Evidence::Seen(sight)),
            // a post that is found is evidence; one that is not, or a search that failed, is none
            Err(failure) => match network.find(&call, handle, &doubt.publication.content).await {
                Ok(Some(public)) if self.is_nobody_elses(&doubt.publication, &public).await => {
                    Ok(Evidence::Found(public))
                }
                Ok(Some(_) | None) | Err(_) => Err(failure),
            },
        }
    }

    /// Whether what was found by its looks can still be no other publication: one like it may have been sent, or
    /// found, while the network was asked.
    async fn is_nobody_elses(&self, it: &Publication, found: &Public) -> bool {
        let now = self.parts.duties.publication(it.id).await;
        now.is_ok_and(|now| {
            !now.content.twin && !found.id.as_ref().is_some_and(|id| now.content.taken.contains(id))
        })
    }

    /// Opens the way to the network. Where the gate lets nobody go, there is no evidence, as after a failed read.
    async fn open<'a>(
        &'a self,
        it: &'a Publication,
        gate: &AttemptGate<'_>,
    ) -> Result<(&'a dyn Network, &'a Handle, SecretString), Failure> {
        let platform = &it.account.platform;
        let network = self.parts.networks.of(platform).ok_or_else(|| off(platform))?;
        let handle = it.handle.as_ref().ok_or_else(|| {
            Failure::new(Class::Unknown, "handle_missing", "it has no handle to ask the network about")
        })?;
        let (calls, account) = (network.counts(Errand::Look, &it.content), it.account.id);
        let visit =
            Visit { network: platform, account, allowance: network.allowance(), calls, comes_back: false };
        gate.enter(visit).await.map_err(|error| error.failure())?;
        let vault = LedgerVault { ledger: &self.parts.duties, ring: &self.parts.ring };
        let token = vault.access_token(it.account.id).await.map_err(|error: JobError| error.failure())?;
        Ok((network, handle, token))
    }

    fn read<'a>(
        &'a self,
        it: &'a Publication,
        token: &'a SecretString,
        gate: &'a AttemptGate<'_>,
    ) -> Call<'a> {
        Call {
            id: None,
            account: &it.account.external_id,
            token,
            media: &*self.parts.media,
            gate,
            timeout: READ_TIMEOUT,
        }
    }

    async fn carry_out(&self, doubt: &Doubt, ruling: Ruling) -> Result<(), LedgerError> {
        match ruling {
            Ruling::Publish(public) => self.record(doubt, public).await,
            Ruling::Carry => self.decide(doubt, Move::Carry, HandleState::Spent, None).await,
            Ruling::Rearm => {
                let why = doubt.refusal.as_ref();
                self.decide(doubt, Move::Rearm, HandleState::Ready, why).await
            }
            Ruling::Replace(why) => self.decide(doubt, Move::Replace, HandleState::Dead, Some(&why)).await,
            Ruling::Condemn(why) => self.decide(doubt, Move::Condemn, HandleState::Dead, Some(&why)).await,
            Ruling::Honour => self.decide(doubt, Move::Honour, HandleState::Dead, None).await,
            Ruling::Hold(why) => {
                let why = Failure::new(Class::Unknown, "not_provable", why);
                self.decide(doubt, Move::Hold, HandleState::Ready, Some(&why)).await
            }
            Ruling::LookAgain { at, absent_since } => {
                self.parts.duties.look_again(doubt.publication.id, at, absent_since).await
            }
        }
    }

    async fn decide(
        &self,
        doubt: &Doubt,
        step: Move,
        handle: HandleState,
        failure: Option<&Failure>,
    ) -> Result<(), LedgerError> {
        let settings = &self.parts.settings;
        let (crash_limit, attempts) = (settings.lease.crash_limit, settings.kind(&PUBLISH).retry().attempts);
        let decision = Decision { step, handle, failure, crash_limit, attempts };
        let decided = self.parts.duties.decide(doubt, &decision).await?;
        metrics::counter!("postroom_reconciled_total", "to" => step.to().word())
            .increment(u64::from(decided));
        if decided {
            self.due.notify_one();
        }
        Ok(())
    }

    /// Records the effect at once; then asks where it is to be found.
    async fn record(&self, doubt: &Doubt, public: Public) -> Result<(), LedgerError> {
        self.parts.duties.seen(doubt.publication.id, doubt.call, &public).await?;
        metrics::counter!("postroom_reconciled_total", "to" => "published").increment(1);
        self.describe(&doubt.publication, public).await
    }

    /// The same where the post was found by its looks, and so is known whole.
    async fn record_found(&self, doubt: &Doubt, public: Public) -> Result<(), LedgerError> {
        tracing::info!(publication = %doubt.publication.id, ?public, "unknown outcome found");
        self.parts.duties.found(doubt.publication.id, doubt.call, &public).await?;
        metrics::counter!("postroom_reconciled_total", "to" => "published").increment(1);
        Ok(())
    }

    /// Asks again where something public is to be found.
    async fn name(&self, id: Uuid) -> Result<(), LedgerError> {
        let it = self.parts.duties.publication(id).await?;
        let known = self.parts.duties.public(id).await?;
        self.describe(&it, known).await
    }

    /// Stores what the network tells of something public; what it does not tell is asked again later.
    async fn describe(&self, it: &Publication, known: Public) -> Result<(), LedgerError> {
        let gate = self.gate(false);
        let Ok((network, handle, token)) = self.open(it, &gate).await else { return Ok(()) };
        let call = self.read(it, &token, &gate);
        match network.describe(&call, handle, &it.content, known.clone()).await {
            Ok(described) if described == known => Ok(()),
            // beside a twin nobody goes by looks: what is told then is told of its handle
            Ok(described)
                if known.id.is_some() || it.content.twin || self.is_nobody_elses(it, &described).await =>
            {
                self.parts.duties.seen(it.id, it.open_commit, &described).await
            }
            Ok(_) => Ok(()),
            Err(failure) => {
                tracing::info!(publication = %it.id, %failure, "where it is to be found is not known yet");
                Ok(())
            }
        }
    }
}
