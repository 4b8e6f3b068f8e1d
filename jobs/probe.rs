//! A kind that does what its payload says. The engine is measured and put to the test with it; it stands in
//! no registry but that of builds with failpoints.

use std::{path::PathBuf, thread, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    contract::{Class, Done, Failure, Job, JobError, Retry},
    desk::Desk,
};

/// The payload: what to do, and some weight.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What to do.
    pub does: Does,
    /// Weight, to make the payload as large as real ones are.
    #[serde(default)]
    pub ballast: String,
}

/// What a probe can do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// Ends well at once.
    Nothing,
    /// Waits for so many milliseconds, as for a network.
    Wait(u64),
    /// Blocks its thread for so many milliseconds.
    Block(u64),
    /// Blocks its thread until there is a file of this name.
    BlockUntil(PathBuf),
    /// Fails, and may work later.
    Fail,
    /// Is refused for good.
    Refused,
    /// Is told to come back after so many milliseconds.
    Throttled(u64),
    /// Panics.
    Panic,
    /// Ends the process it runs in.
    Abort,
    /// Never ends.
    Hang,
    /// Makes a file of this name, and never ends.
    HangAfter(PathBuf),
}

impl Job for Probe {
    const KIND: &'static str = "probe";
    const RETRY: Retry = Retry {
        base: Duration::from_millis(50),
        cap: Duration::from_millis(200),
        attempts: 3,
        ..Retry::STANDARD
    };
    const LIMIT: Duration = Duration::from_secs(10);

    async fn run(&self, _: &Desk<'_>) -> Result<Done, JobError> {
        let failure = |class| Failure::new(class, "probe", "as its payload asks");
        match &self.does {
            Does::Nothing => {}
            Does::Wait(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Does::Block(ms) => thread::sleep(Duration::from_millis(*ms)),
            Does::BlockUntil(gate) => {
                while !gate.exists() {
                    thread::sleep(Duration::from_millis(10));
                }
            }
            Does::Fail => return Err(JobError::Unavailable(failure(Class::Transient))),
            Does::Refused => return Err(JobError::Refused(failure(Class::Permanent))),
            Does::Throttled(ms) => {
                return Err(JobError::Throttled(failure(Class::Rate), Duration::from_millis(*ms)));
            }
            Does::Panic => panic!("as its payload asks"),
            Does::Abort => std::process::abort(),
            Does::Hang => std::future::pending().await,
            Does::HangAfter(begun) => {
                std::fs::write(begun, "").map_err(|_| JobError::Refused(failure(Class::Permanent)))?;
                std::future::pending::<()>().await;
            }
        }
        Ok(Done::nothing())
    }
}
