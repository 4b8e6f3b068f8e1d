//! A database of its own for each measure, and a worker process on it.

use std::{
    env,
    process::Stdio,
    time::{Duration, Instant},
};

use graphile_worker::{JobSpec, WorkerUtils};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinSet,
};

use crate::{
    BULK, Result, machine,
    worker::{self, Account, Bench},
};

/// A database with graphile_worker's schema in it, and no jobs.
pub struct Lab {
    name: String,
    url: String,
    /// Makes and drops the database.
    maintenance: PgPool,
    /// Looks on.
    pool: PgPool,
    utils: WorkerUtils,
}

impl Lab {
    /// A fresh one, without workers, for so many callers.
    pub async fn open(callers: usize) -> Result<Self> {
        let server = env::var("TEST_DATABASE_URL").map_err(|_| "TEST_DATABASE_URL is not set")?;
        let name = format!("graphile_{}", machine::micros());
        let maintenance = PgPoolOptions::new().max_connections(1).connect(&server).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&maintenance).await?;
        let (base, _) = server.rsplit_once('/').ok_or("TEST_DATABASE_URL names no database")?;
        let url = format!("{base}/{name}");
        let pool = PgPoolOptions::new().max_connections(2).connect(&url).await?;
        // A worker that is set up, which migrates, and never run: its utilities know the task already. Each caller
        // has a connection, so that none waits for another's.
        let idle = worker::options(&url, callers).max_pg_conn(u32::try_from(callers)?).init().await?;
        Ok(Self { utils: idle.create_utils(), name, url, maintenance, pool })
    }

    /// What accepts jobs.
    pub fn utils(&self) -> WorkerUtils {
        self.utils.clone()
    }

    /// Accepts so many jobs, `BULK` in a statement and two statements at a time; the last one's id.
    pub async fn fill(&self, jobs: usize) -> Result<i64> {
        let mut last = 0;
        let mut under_way = JoinSet::new();
        for first in (0..jobs).step_by(BULK) {
            if under_way.len() == 2
                && let Some(accepted) = under_way.join_next().await
            {
                last = accepted??;
            }
            let utils = self.utils();
            under_way.spawn(async move { accept(&utils, first, jobs.min(first + BULK)).await });
        }
        while let Some(accepted) = under_way.join_next().await {
            last = accepted??;
        }
        Ok(last)
    }

    /// Lets Postgres tidy up what filling left, as the engine's bench does before it drains.
    pub async fn quiet(&self) -> Result<()> {
        sqlx::query("VACUUM ANALYZE graphile_worker._private_jobs").execute(&self.pool).await?;
        Ok(())
    }

    /// Starts a worker, as a process of its own, that expects jobs of numbers below this one.
    pub fn worker(&self, jobs: usize, concurrency: usize) -> Result<Worker> {
        let mut child = Command::new(env::current_exe()?)
            .args(["worker", &self.url, &jobs.to_string(), &concurrency.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let ask = child.stdin.take().ok_or("no way to ask the worker")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no way to hear the worker")?);
        Ok(Worker { child, ask, answers })
    }

    /// Waits until no job is left; `last` is looked for first, for that costs next to nothing.
    pub async fn drained(&self, last: i64) -> Result<()> {
        let deadline = Instant::now() + Duration::from_mins(20);
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let mut statements = [
            "SELECT NOT EXISTS (SELECT FROM graphile_worker._private_jobs WHERE id = $1)",
            "SELECT NOT EXISTS (SELECT FROM graphile_worker._private_jobs WHERE id <> $1)",
        ]
        .into_iter();
        let mut statement = statements.next();
        while let Some(asked) = statement {
            tick.tick().await;
            if sqlx::query_scalar::<_, bool>(asked).bind(last).fetch_one(&self.pool).await? {
                statement = statements.next();
            }
            if Instant::now() > deadline {
                return Err("the jobs do not end".into());
            }
        }
        Ok(())
    }

    /// Makes sure that so many jobs are in the table: those that failed stay in it, too.
    pub async fn holds(&self, jobs: usize) -> Result<()> {
        let count = "SELECT count(*) FROM graphile_worker._private_jobs";
        let kept: i64 = sqlx::query_scalar(count).fetch_one(&self.pool).await?;
        if usize::try_from(kept)? != jobs {
            return Err(format!("{kept} jobs are in the table, and should be {jobs}").into());
        }
        Ok(())
    }

    /// Drops the database.
    pub async fn close(self) -> Result<()> {
        self.pool.close().await;
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        sqlx::query(AssertSqlSafe(drop)).execute(&self.maintenance).await?;
        Ok(())
    }
}

async fn accept(utils: &WorkerUtils, first: usize, end: usize) -> Result<i64> {
    let spec = JobSpec::default();
    let jobs: Vec<_> = (first..end).map(|n| (Bench::numbered(n), &spec)).collect();
    let accepted = utils.add_jobs(&jobs).await?;
    Ok(*accepted.last().ok_or("nothing was accepted")?.id())
}

/// A worker process; it ends with this.
pub struct Worker {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Its process id.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().ok_or_else(|| "the worker has ended".into())
    }

    /// What it did so far.
    pub async fn account(&mut self) -> Result<Account> {
        self.ask.write_all(b"account\n").await?;
        let mut line = String::new();
        self.answers.read_line(&mut line).await?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Ends it: it has nothing left to do.
    pub async fn end(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}
