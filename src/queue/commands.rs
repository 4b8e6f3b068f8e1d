//! The connection that all commands share.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use redis::{
    Client, ErrorKind, RedisError, RedisResult, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use super::{COMMAND_TIMEOUT, LEFT_ALONE, QueueError};

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
        if answered.is_err() {
            self.breaker.open();
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

/// Keeps those who ask from waiting for one timeout after the other while Redis is away.
struct Breaker {
    begun: Instant,
    /// Milliseconds after `begun` until which Redis is left alone.
    open_until: AtomicU64,
}

impl Breaker {
    fn new() -> Self {
        Self { begun: Instant::now(), open_until: AtomicU64::new(0) }
    }

    fn is_open(&self) -> bool {
        self.elapsed() < self.open_until.load(Ordering::Relaxed)
    }

    fn open(&self) {
        let until = self.elapsed() + u64::try_from(LEFT_ALONE.as_millis()).unwrap_or(u64::MAX);
        self.open_until.store(until, Ordering::Relaxed);
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
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
