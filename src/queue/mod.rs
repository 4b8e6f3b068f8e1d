//! Redis, and the only Redis: hints, never decisions. Empty it, and only time is lost.
//!
//! Each kind of job has one queue under one hash tag: a ring of workspaces with work, a sorted set of ids for
//! each of them, a list that wakes idle workers, and a random generation that tells when all was lost.

mod commands;

use std::time::Duration;

use commands::Commands;
use jobs::hint::Hint;
use redis::{AsyncConnectionConfig, Client, Script, aio::MultiplexedConnection};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// One command; longer, and Redis counts as away.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(250);
/// How long Redis is left alone after one failure: a lost connection is replaced in no time.
const LEFT_ALONE_LEAST: Duration = Duration::from_millis(50);
/// How long it is left alone after many: nobody waits for a timeout more often than this.
const LEFT_ALONE_MOST: Duration = Duration::from_secs(1);
/// How long an idle worker waits to be woken before it looks by itself.
const WAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Hints of one push.
const PUSH_MOST: usize = 256;
/// The least that a pop takes of a workspace before it is the next one's turn.
const QUANTUM: usize = 4;

/// Redis did not do what was asked. Nothing is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// It could not be reached, or refused.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// It was away a moment ago and is not asked yet.
    #[error("redis was away a moment ago")]
    LeftAlone,
}

/// The queues of a deployment.
#[derive(Clone)]
pub struct Queue {
    client: Client,
    commands: Commands,
    window: u32,
    push: Script,
    pop: Script,
}

/// What a pop brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Popped {
    /// The queue's generation; another than before means that all it held was lost.
    pub generation: String,
    /// How many hints are left.
    pub left: i64,
    /// Jobs that are probably ready.
    pub ids: Vec<Uuid>,
    /// Of whom they are, turn by turn: a workspace and how many of it.
    pub turns: Vec<(Uuid, usize)>,
}

/// A connection on which one idle worker waits.
pub struct Waker {
    client: Client,
    connection: Option<MultiplexedConnection>,
    key: String,
}

impl Queue {
    /// Opens the queues; connects by itself, now and after every loss.
    ///
    /// # Errors
    /// The address cannot be read.
    pub fn open(url: &SecretString, window: u32) -> Result<Self, QueueError> {
        let client = Client::open(url.expose_secret())?;
        let commands = Commands::open(&client)?;
        let (push, pop) = (Script::new(include_str!("push.lua")), Script::new(include_str!("pop.lua")));
        Ok(Self { client, commands, window, push, pop })
    }

    /// The most hints that a queue holds.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// Pushes hints of any kinds; those that are held already change nothing. Returns how many found no room in
    /// the window.
    ///
    /// # Errors
    /// Redis is away: the relay finds the jobs by their state.
    pub async fn push(&self, hints: &[Hint]) -> Result<usize, QueueError> {
        let mut kinds: Vec<&str> = hints.iter().map(|hint| hint.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let mut refused = 0;
        for kind in kinds {
            let of_kind: Vec<&Hint> = hints.iter().filter(|hint| hint.kind == kind).collect();
            for chunk in of_kind.chunks(PUSH_MOST) {
                refused += self.push_chunk(kind, chunk).await?;
            }
        }
        Ok(refused)
    }

    async fn push_chunk(&self, kind: &str, hints: &[&Hint]) -> Result<usize, QueueError> {
        let mut call = self.push.prepare_invoke();
        for key in &keys(kind) {
            call.key(key);
        }
        call.arg(prefix(kind)).arg(self.window).arg(Uuid::new_v4().to_string());
        for hint in hints {
            call.arg(hint.workspace_id.to_string())
                .arg(hint.job_id.to_string())
                .arg(hint.run_at.timestamp_millis());
        }
        self.commands.run(|mut connection| async move { call.invoke_async(&mut connection).await }).await
    }

    /// Takes up to `most` hints of a kind, of each workspace in turn: at most `cap`, and of those in `rests` at
    /// most what stands there.
    ///
    /// # Errors
    /// Redis is away: claim from the ledger instead.
    pub async fn pop(
        &self,
        kind: &str,
        most: usize,
        cap: usize,
        rests: &[(Uuid, usize)],
    ) -> Result<Popped, QueueError> {
        let mut call = self.pop.prepare_invoke();
        for key in &keys(kind) {
            call.key(key);
        }
        call.arg(prefix(kind)).arg(most).arg(QUANTUM).arg(cap);
        for (workspace, rest) in rests {
            call.arg(workspace.to_string()).arg(*rest);
        }
        let (generation, left, ids, turns): (String, i64, Vec<String>, Vec<(String, usize)>) = self
            .commands
            .run(|mut connection| async move { call.invoke_async(&mut connection).await })
            .await?;
        let ids = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let turns = turns.iter().filter_map(|(id, count)| Some((id.parse().ok()?, *count))).collect();
        Ok(Popped { generation, left, ids, turns })
    }

    /// Where one idle worker of a kind waits to be woken.
    pub fn waker(&self, kind: &str) -> Waker {
        Waker { client: self.client.clone(), connection: None, key: format!("{{{kind}}}:wake") }
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), QueueError> {
        let _: String = self
            .commands
            .run(|mut connection| async move { redis::cmd("PING").query_async(&mut connection).await })
            .await?;
        Ok(())
    }
}

impl Waker {
    /// Waits until hints were pushed, or for two seconds; whether there were any.
    ///
    /// # Errors
    /// Redis is away; the next wait connects anew.
    pub async fn wait(&mut self) -> Result<bool, QueueError> {
        let answered = self.block().await;
        if answered.is_err() {
            self.connection = None;
        }
        Ok(answered?)
    }

    async fn block(&mut self) -> Result<bool, redis::RedisError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(COMMAND_TIMEOUT))
                    .set_response_timeout(Some(WAKE_TIMEOUT + COMMAND_TIMEOUT));
                none.insert(self.client.get_multiplexed_async_connection_with_config(&config).await?)
            }
        };
        let woken: Option<(String, String)> =
            redis::cmd("BLPOP").arg(&self.key).arg(WAKE_TIMEOUT.as_secs()).query_async(connection).await?;
        Ok(woken.is_some())
    }
}

/// Every key of a queue carries its tag, so that a cluster keeps them together.
fn keys(kind: &str) -> [String; 5] {
    ["ring", "wake", "gen", "depth", "turn"].map(|name| format!("{{{kind}}}:{name}"))
}

fn prefix(kind: &str) -> String {
    format!("{{{kind}}}:t:")
}
