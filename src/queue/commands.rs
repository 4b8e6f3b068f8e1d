//! The connection that all commands share.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use redis::{
    Client, ErrorKind, RedisError, RedisResult, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use super::{COMMAND_TIMEOUT, LEFT_ALONE_LEAST, LEFT_ALONE_MOST, QueueError};

/// Connects by itself, now and after every loss, those that nobody reports included.
#[derive(Clone)]
pub(super) struct Commands {
    client: Client,
    /// The connection, and how many there were before it.
    current: Arc<RwLock<(u64, ConnectionManager)>>,
    breaker: Arc<Breaker>,
}

impl Commands {
    pub(super) fn open(client: &Client) -> RedisResult<Self> {
        let current = Arc::new(RwLock::new((0, connect(client)?)));
        Ok(Self { client: client.clone(), current, breaker: Arc::new(Breaker::new()) })
    }

    /// Has a command run on the connection, unless Redis was away a moment ago.
    pub(super) async fn run<T, F, Fut>(&self, command: F) -> Result<T, QueueError>
    where
        F: FnOnce(ConnectionManager) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        if self.breaker.is_open() {
            return Err(QueueError::LeftAlone);
        }
        let (age, connection) = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let answered = command(connection).await;
        // the manager replaces what broke; what is half open never breaks, and would stay for ever, and so would a
        // connection to a Redis that another has taken the place of
        if answered.as_ref().is_err_and(|error| error.is_timeout() || is_replica(error)) {
            self.replace(age)?;
        }
        match &answered {
            Ok(_) => self.breaker.answered(),
            Err(_) => self.breaker.open(),
        }
        Ok(answered?)
    }

    /// Puts a new connection in the place of the one of that age, unless another command has done so.
    fn replace(&self, age: u64) -> RedisResult<()> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.0 == age {
            *current = (age + 1, connect(&self.client)?);
        }
        Ok(())
    }
}

/// Keeps those who ask from waiting for one timeout after the other while Redis is away: a moment after one failure,
/// longer after each that follows it.
struct Breaker {
    begun: Instant,
    state: Mutex<Left>,
}

/// How long Redis is left alone, by the time since the breaker began.
#[derive(Default)]
struct Left {
    until: Duration,
    failures: u32,
}

impl Breaker {
    fn new() -> Self {
        Self { begun: Instant::now(), state: Mutex::default() }
    }

    fn is_open(&self) -> bool {
        self.begun.elapsed() < self.state().until
    }

    /// What fails while it is open was sent before, and says nothing new.
    fn open(&self) {
        let (now, mut state) = (self.begun.elapsed(), self.state());
        if now >= state.until {
            state.until = now + left_alone(state.failures);
            state.failures = state.failures.saturating_add(1);
        }
    }

    fn answered(&self) {
        self.state().failures = 0;
    }

    fn state(&self) -> MutexGuard<'_, Left> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pause after a failure that followed so many others.
fn left_alone(failures: u32) -> Duration {
    LEFT_ALONE_LEAST.saturating_mul(1 << failures.min(16)).min(LEFT_ALONE_MOST)
}

/// Whether it came from a Redis that only follows another.
fn is_replica(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// A connection that is made when it is first needed.
fn connect(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(COMMAND_TIMEOUT))
        .set_response_timeout(Some(COMMAND_TIMEOUT))
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_a_moment_and_an_answer_begins_anew() {
        let breaker = Breaker::new();
        assert!(!breaker.is_open());
        breaker.open();
        assert!(breaker.is_open());
        breaker.open();
        assert_eq!(breaker.state().failures, 1);
        breaker.answered();
        assert_eq!(breaker.state().failures, 0);
        let pauses: Vec<_> = (0..8).map(|failures| left_alone(failures).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
        assert_eq!(left_alone(u32::MAX), LEFT_ALONE_MOST);
    }
}
