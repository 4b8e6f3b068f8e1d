//! A refresh between its intent and its end: whoever drops it there drops what may be the only copy of a new pair.

use jobs::contract::JobError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Whether a refresh of one attempt is under way.
#[derive(Debug)]
pub struct Flight {
    /// The worker takes nothing new.
    stop: CancellationToken,
    on: watch::Sender<bool>,
}

/// Ends a flight when it is dropped.
pub(super) struct Landing<'a>(&'a Flight);

impl Flight {
    /// None is under way, and none begins once `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, on: watch::Sender::new(false) }
    }

    /// Whether one may begin.
    ///
    /// # Errors
    /// `Infrastructure`: the worker is stopping, and might not hear the answer.
    pub(super) fn may_begin(&self) -> Result<(), JobError> {
        if self.stop.is_cancelled() {
            return Err(JobError::Infrastructure("the worker is stopping".into()));
        }
        Ok(())
    }

    /// The intent is durable: from here on it is seen through.
    pub(super) fn begin(&self) {
        self.on.send_replace(true);
    }

    /// What came of it is being written.
    pub(super) fn landing(&self) -> Landing<'_> {
        Landing(self)
    }

    /// Waits until none is under way.
    pub async fn ended(&self) {
        let mut on = self.on.subscribe();
        // an error says that nobody is left to begin one
        let _over = on.wait_for(|on| !on).await;
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.0.on.send_replace(false);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_is_under_way_is_waited_for_and_what_is_not_is_not() {
        let stop = CancellationToken::new();
        let flight = Flight::new(stop.clone());
        flight.may_begin().expect("nobody stops it");
        assert_eq!(flight.ended().now_or_never(), Some(()));
        flight.begin();
        stop.cancel();
        assert_eq!(flight.ended().now_or_never(), None);
        drop(flight.landing());
        assert_eq!(flight.ended().now_or_never(), Some(()));
        flight.may_begin().expect_err("the worker is stopping");
    }
}
