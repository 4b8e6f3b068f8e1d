//! The ledger's clock, carried on between looks by this process' monotonic one: a wrong clock of the machine
//! changes nothing.

use std::{
    sync::RwLock,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::desk::Clock;
use tokio::sync::Notify;

/// The ledger's clock counts as moved when it is found further than this from where it should be.
const MOVED: TimeDelta = TimeDelta::seconds(1);

/// The ledger's time, as of the last look at it.
#[derive(Debug)]
pub struct LedgerClock {
    start: Instant,
    known: RwLock<(DateTime<Utc>, Duration)>,
    moved: Notify,
}

impl LedgerClock {
    /// A clock that goes by the machine's until it is [`set`](Self::set).
    pub fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "until the ledger has told, there is no other clock")]
        let now = Utc::now();
        Self { start: Instant::now(), known: RwLock::new((now, Duration::ZERO)), moved: Notify::new() }
    }

    /// What the ledger's clock shows at this moment.
    pub fn set(&self, now: DateTime<Utc>) {
        let at = self.start.elapsed();
        if (now - self.now()).abs() > MOVED {
            self.moved.notify_one();
        }
        if let Ok(mut known) = self.known.write() {
            *known = (now, at);
        }
    }

    /// Waits until the ledger's clock is found elsewhere than it should be: it was set, or this machine slept.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }
}

impl Default for LedgerClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for LedgerClock {
    fn now(&self) -> DateTime<Utc> {
        let (then, at) = *self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        then + TimeDelta::from_std(self.start.elapsed().saturating_sub(at)).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
