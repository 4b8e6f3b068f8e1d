//! A clock that can be moved forward, so that nobody has to wait for a container to expire.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

/// The networks' idea of now: the machine's clock plus what it was advanced by.
#[derive(Debug)]
pub struct Clock {
    ahead_ms: AtomicI64,
    moved: watch::Sender<()>,
}

impl Clock {
    /// A clock that is already `ahead_ms` milliseconds ahead of the machine's.
    pub fn ahead_by(ahead_ms: i64) -> Self {
        Self { ahead_ms: AtomicI64::new(ahead_ms), moved: watch::Sender::new(()) }
    }

    /// The time at the networks.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the others are to ask")]
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::milliseconds(self.ahead_ms.load(Ordering::SeqCst))
    }

    /// The machine's own time, which is that of everybody whom the networks tell something.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the others are to ask")]
    pub fn machine(&self) -> DateTime<Utc> {
        Utc::now()
    }

    /// Sets how far ahead of the machine's clock it is and wakes everything that waits for a time.
    pub fn set_ahead(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::SeqCst);
        self.moved.send_replace(());
    }

    /// Waits until the networks' clock shows `due`, however it gets there.
    pub async fn reach(&self, due: DateTime<Utc>) {
        let mut moved = self.moved.subscribe();
        while let Ok(left) = (due - self.now()).to_std() {
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = moved.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_hour_passes_at_once_when_the_clock_is_moved() {
        let clock = Clock::ahead_by(0);
        let due = clock.now() + TimeDelta::hours(1);
        let ((), ()) = tokio::join!(async { clock.set_ahead(3_600_000) }, clock.reach(due));
        assert!(clock.now() >= due);
    }
}
