//! The worker process: graphile_worker as its guide sets it up for throughput, and a job that does nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use graphile_worker::{
    IntoTaskHandlerResult, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin, stdout};

use crate::{Result, machine};

/// Jobs that the worker fetches at once and holds: beyond some hundreds it is not faster.
pub const LOCAL_QUEUE: usize = 500;
/// Local queues.
pub const QUEUES: usize = 1;
/// Payloads weigh what those of the engine's bench do, some 300 bytes.
const BALLAST: usize = 240;

/// What a job carries.
#[derive(Clone, Serialize, Deserialize)]
pub struct Bench {
    n: usize,
    does: String,
    ballast: String,
}

impl Bench {
    /// The job of this number.
    pub fn numbered(n: usize) -> Self {
        Self { n, does: "nothing".into(), ballast: "x".repeat(BALLAST) }
    }
}

impl TaskHandler for Bench {
    const IDENTIFIER: &'static str = "bench";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        match context.get_ext::<Arc<Book>>() {
            Some(book) => {
                book.begins(self.n);
                Ok(())
            }
            None => Err("the worker keeps no book".to_owned()),
        }
    }
}

/// When each job began, in microseconds of the machine's clock.
#[derive(Debug)]
struct Book {
    began: Vec<AtomicU64>,
    again: AtomicUsize,
}

impl Book {
    fn begins(&self, n: usize) {
        if self.began[n].swap(machine::micros(), Ordering::Relaxed) != 0 {
            self.again.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn account(&self) -> Account {
        Account {
            began: self.began.iter().map(|began| began.load(Ordering::Relaxed)).collect(),
            again: self.again.load(Ordering::Relaxed),
        }
    }
}

/// When each job began (0: it did not), and how often one began that had before.
#[derive(Serialize, Deserialize)]
pub struct Account {
    began: Vec<u64>,
    again: usize,
}

impl Account {
    /// When each of so many jobs began, if each did exactly once.
    pub fn each_once(self, jobs: usize) -> Result<Vec<u64>> {
        let ran = self.began.iter().filter(|began| **began != 0).count();
        if (ran, self.again) != (jobs, 0) {
            return Err(format!("of {jobs} jobs {ran} ran, and {} times one ran again", self.again).into());
        }
        Ok(self.began)
    }
}

/// The settings of the guide's "throughput-oriented worker", with this local queue. Jobs are announced by NOTIFY,
/// which is the default, so that a short poll interval would gain nothing.
pub fn options(url: &str, concurrency: usize) -> WorkerOptions {
    WorkerOptions::default()
        .database_url(url)
        .concurrency(concurrency)
        .poll_interval(Duration::from_millis(500))
        .complete_job_batch_delay(Duration::from_millis(5))
        .fail_job_batch_delay(Duration::from_millis(5))
        .local_queue(LocalQueueConfig::default().with_size(LOCAL_QUEUE).with_queue_count(QUEUES))
        .define_job::<Bench>()
}

/// Works until it is killed, and gives account of so many jobs for each line it is sent.
pub async fn work(url: &str, jobs: usize, concurrency: usize) -> Result<()> {
    let began = (0..jobs).map(|_| AtomicU64::new(0)).collect();
    let book = Arc::new(Book { began, again: AtomicUsize::new(0) });
    let worker = options(url, concurrency).add_extension(Arc::clone(&book)).init().await?;
    let answers = tokio::spawn(async move {
        let mut lines = BufReader::new(stdin()).lines();
        while lines.next_line().await?.is_some() {
            let mut line = serde_json::to_vec(&book.account())?;
            line.push(b'\n');
            stdout().write_all(&line).await?;
            stdout().flush().await?;
        }
        Result::Ok(())
    });
    tokio::select! {
        ended = worker.run() => ended.map_err(Into::into),
        asked = answers => asked?,
    }
}
