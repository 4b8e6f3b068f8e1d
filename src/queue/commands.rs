//! The connection that all commands share.

use std::sync::{Arc, PoisonError, RwLock};

use redis::{
    Client, RedisError, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use super::COMMAND_TIMEOUT;

/// Connects by itself, now and after every loss, those that nobody reports included.
#[derive(Clone)]
pub(super) struct Commands {
    client: Client,
    /// The connection, and how many there were before it.
    current: Arc<RwLock<(u64, ConnectionManager)>>,
}

impl Commands {
    pub(super) fn open(client: &Client) -> RedisResult<Self> {
        let current = Arc::new(RwLock::new((0, connect(client)?)));
        Ok(Self { client: client.clone(), current })
    }

    /// Has a command run on the connection.
    pub(super) async fn run<T, F, Fut>(&self, command: F) -> RedisResult<T>
    where
        F: FnOnce(ConnectionManager) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        let (age, connection) = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let answered = command(connection).await;
        // the manager replaces what broke; what is half open never breaks, and would stay for ever
        if answered.as_ref().is_err_and(RedisError::is_timeout) {
            self.replace(age)?;
        }
        answered
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

/// A connection that is made when it is first needed.
fn connect(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(COMMAND_TIMEOUT))
        .set_response_timeout(Some(COMMAND_TIMEOUT))
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}
