//! The worker's lease, renewed on a thread and a connection of its own: whatever the jobs do to the runtime
//! they run on, the lease goes on; and where it cannot, this process knows it before others do.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use jobs::contract::Kind;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Parts;
use crate::ledger::{Ledger, LedgerError, Role, clock::LedgerClock};

/// This process' right to hold claims.
pub struct Lease {
    tenure: RwLock<Tenure>,
    kinds: Vec<&'static Kind>,
    length: Duration,
    begun: Instant,
    /// Milliseconds after `begun` at which the last good renewal was asked for.
    renewed: AtomicU64,
    /// Milliseconds after `begun` since which there was no gap.
    unbroken_since: AtomicU64,
    /// Ends the thread.
    done: CancellationToken,
    /// It has ended: no renewal is on its way any more.
    ended: CancellationToken,
}

/// The time between two losses of the lease, under one incarnation: what was claimed under one that is over
/// belongs to whoever takes it back.
#[derive(Clone)]
pub struct Tenure {
    /// Who holds.
    pub inc: Uuid,
    /// Cancelled when the lease has run out: nothing held may go on.
    pub lost: CancellationToken,
}

impl Tenure {
    fn fresh() -> Self {
        Self { inc: Uuid::now_v7(), lost: CancellationToken::new() }
    }
}

impl Lease {
    /// Registers a fresh incarnation and keeps its lease.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn begin(parts: &Parts) -> Result<Arc<Self>, LedgerError> {
        let lease = Arc::new(Self {
            tenure: RwLock::new(Tenure::fresh()),
            kinds: parts.kinds.clone(),
            length: parts.settings.lease.length,
            begun: Instant::now(),
            renewed: AtomicU64::new(0),
            unbroken_since: AtomicU64::new(0),
            done: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        parts.clock.set(parts.ledger.renew(lease.tenure().inc, &parts.kinds, lease.length).await?);
        let open = {
            let url = parts.database_url.clone();
            move || Ledger::open(&url, Role::Worker, 1)
        };
        let ledger = open()?;
        let (kept, clock) = (Arc::clone(&lease), Arc::clone(&parts.clock));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| LedgerError::Away(sqlx::Error::Io(e)))?;
        thread::Builder::new()
            .name("lease".into())
            .spawn(move || {
                let _ended = kept.ended.clone().drop_guard();
                runtime.block_on(kept.keep(ledger, open, clock));
            })
            .map_err(|e| LedgerError::Away(sqlx::Error::Io(e)))?;
        Ok(lease)
    }

    /// Under which claims are made now.
    pub fn tenure(&self) -> Tenure {
        self.tenure.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether new work may be taken: the last renewal is not older than two thirds of the lease.
    pub fn good(&self) -> bool {
        self.age() < self.length * 2 / 3
    }

    /// Whether this process has renewed without a gap for a whole lease, and so may judge others dead: after
    /// an outage of the ledger everybody's lease has ended, and nobody is.
    pub fn may_reap(&self) -> bool {
        let since = Duration::from_millis(self.unbroken_since.load(Ordering::Acquire));
        self.good() && self.begun.elapsed().saturating_sub(since) >= self.length
    }

    /// Ends the lease in the ledger, if nothing is held any more.
    pub async fn end(&self, ledger: &Ledger) {
        self.done.cancel();
        let resigning = async {
            self.ended.cancelled().await; // a renewal that comes later would bring it back
            ledger.resign(self.tenure().inc).await
        };
        match tokio::time::timeout(self.length * 2 / 3, resigning).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease could not be ended; it runs out by itself"),
            Err(_) => tracing::warn!("the lease could not be ended in time; it runs out by itself"),
        }
    }

    fn age(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.renewed.load(Ordering::Acquire)))
    }

    async fn keep(
        &self,
        mut ledger: Ledger,
        open: impl Fn() -> Result<Ledger, LedgerError>,
        clock: Arc<LedgerClock>,
    ) {
        let every = self.length / 3;
        let mut wait = every;
        loop {
            tokio::select! {
                () = self.done.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            // a process that slept past its lease knows it before it says that it lives
            if self.age() >= self.length {
                self.give_up();
            }
            let heard = self.renew(&ledger, &clock, every).await;
            // a connection that goes half open while the pool takes it back keeps its place for good
            if !heard && let Ok(other) = open() {
                ledger = other;
            }
            let over = self.age() >= self.length;
            if over {
                self.give_up();
            }
            // soon again while it can be saved: one half-open connection must not cost the lease
            wait = if heard || over { every } else { every / 10 };
        }
    }

    /// Ends what is held under the tenure that is over, and goes on under a new one as soon as the ledger is
    /// there again.
    fn give_up(&self) {
        let tenure = self.tenure.write().unwrap_or_else(PoisonError::into_inner);
        if !tenure.lost.is_cancelled() {
            tracing::error!(worker = %tenure.inc, "the lease has run out; what this worker holds is given up");
            metrics::counter!("postroom_lease_lost_total").increment(1);
            tenure.lost.cancel();
        }
    }

    /// The incarnation to renew: a new one after a loss, because the old one's claims are being taken back.
    fn renewable(&self) -> (Uuid, bool) {
        let mut tenure = self.tenure.write().unwrap_or_else(PoisonError::into_inner);
        let over = tenure.lost.is_cancelled();
        if over {
            *tenure = Tenure::fresh();
        }
        (tenure.inc, over)
    }

    /// Whether the ledger has heard that this worker lives.
    async fn renew(&self, ledger: &Ledger, clock: &LedgerClock, every: Duration) -> bool {
        let asked = self.begun.elapsed();
        let (inc, fresh) = self.renewable();
        match tokio::time::timeout(every, ledger.renew(inc, &self.kinds, self.length)).await {
            Ok(Ok(now)) => {
                clock.set(now);
                if self.age() >= self.length && !fresh {
                    self.give_up(); // it came too late: others may have taken back what was held
                    return true;
                }
                if self.age() >= self.length * 2 / 3 {
                    self.unbroken_since.store(millis(asked), Ordering::Release);
                }
                self.renewed.store(millis(asked), Ordering::Release);
                return true;
            }
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not renewed"),
            Err(_) => tracing::warn!("the lease was not renewed in time"),
        }
        false
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
