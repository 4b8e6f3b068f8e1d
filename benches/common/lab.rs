//! The engine alone: a ledger, a Redis, and workers of a kind that does next to nothing.

use std::{
    collections::BTreeMap,
    env, fs,
    time::{Duration, Instant, SystemTime},
};

use jobs::{
    contract::{Done, Job, JobError, Kind},
    desk::Desk,
};
use postroom::{
    config::KindSettings,
    ledger::{
        Ledger, Role,
        enqueue::NewJob,
        idempotency::Once,
        pauses::{By, Stoppable},
    },
    queue::Queue,
    wiring, worker,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::harness::{Database, Process, eventually, free_port, start_redis};

/// Tells this executable to be a worker of so many slots.
const BE_A_WORKER: &str = "POSTROOM_BENCH_WORKER";
/// The part of the slots that one workspace may take; all of them unless given.
pub const WORKSPACE_SHARE: &str = "POSTROOM_BENCH_WORKSPACE_SHARE";
/// Payloads weigh about what real ones do.
const BALLAST: usize = 240;
/// Jobs of one accepting statement.
const BULK: usize = 500;

/// The kind that is measured with.
pub static BENCH: Kind = Kind::of::<Bench>();

/// What a job is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bench {
    /// What it does.
    pub does: Does,
    /// Weight.
    pub ballast: String,
}

/// What a job can do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// Nothing.
    Nothing,
    /// Tells when it began, in microseconds of the machine's clock, and takes so many milliseconds, as a call of
    /// a network does.
    Call(u64),
}

impl Job for Bench {
    const KIND: &'static str = "bench";

    async fn run(&self, _: &Desk<'_>) -> Result<Done, JobError> {
        match self.does {
            Does::Nothing => Ok(Done::nothing()),
            Does::Call(ms) => {
                let began = machine_micros();
                if ms > 0 {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                Ok(Done::Finished { output: json!(began), then: Vec::new() })
            }
        }
    }
}

/// The machine's clock, in microseconds: for spans between processes of one machine.
#[expect(clippy::disallowed_methods, reason = "both ends of the span are read off the same machine")]
pub fn machine_micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

/// Runs as a worker if this process was started as one.
pub async fn maybe_work() {
    let Ok(slots) = env::var(BE_A_WORKER) else { return };
    let (mut parts, _) = wiring::worker(None, vec![&BENCH]).unwrap();
    let settings = KindSettings {
        concurrency: slots.parse().unwrap(),
        workspace_share: env::var(WORKSPACE_SHARE).map_or(1.0, |share| share.parse().unwrap()),
        timeout: Duration::from_mins(1),
        retry_base: Duration::from_millis(100),
        retry_cap: Duration::from_secs(1),
        retry_attempts: 5,
        retry_within: Duration::from_hours(24),
    };
    parts.settings.jobs.insert(BENCH.name.to_owned(), settings);
    postroom::telemetry::start_logs(false);
    postroom::telemetry::start_metrics().unwrap();
    let stop = CancellationToken::new();
    let told = stop.clone();
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    tokio::spawn(async move {
        term.recv().await;
        told.cancel();
    });
    worker::run(parts, stop).await.unwrap();
    std::process::exit(0);
}

fn queue() -> Stoppable {
    Stoppable::Queue(BENCH.name.into())
}

/// A ledger, a Redis, and workers.
pub struct Lab {
    /// The database.
    pub database: Database,
    /// The ledger as the intake has it.
    pub ledger: Ledger,
    /// The queue.
    pub queue: Queue,
    /// Redis.
    pub redis: Process,
    /// Where Redis is.
    pub redis_url: String,
    environment: BTreeMap<String, String>,
    dir: tempfile::TempDir,
}

impl Lab {
    /// A fresh one, without workers.
    pub async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (database, port) = (Database::create().await, free_port());
        let redis = start_redis(port, dir.path(), false);
        let redis_url = format!("redis://127.0.0.1:{port}");
        let url = SecretString::from(database.url.clone());
        Ledger::open(&url, Role::Owner, 2).unwrap().migrate().await.unwrap();
        let environment = [
            ("DATABASE_URL", database.url.as_str()),
            ("REDIS_URL", &redis_url),
            ("PUBLIC_URL", "http://localhost:1"),
            ("POSTROOM_KEYS", "k:xchacha20-poly1305:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("S3_BUCKET", "bench"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "bench"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("RUST_LOG", "warn"),
        ];
        let lab = Self {
            ledger: Ledger::open(&url, Role::Worker, 8).unwrap(),
            queue: Queue::open(&redis_url.clone().into(), 10_000).unwrap(),
            environment: environment.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            database,
            redis,
            redis_url,
            dir,
        };
        eventually("Redis", || async { lab.queue.ping().await.map_err(|e| e.to_string()) }).await;
        lab
    }

    /// Starts a worker of so many slots.
    pub fn worker(&self, slots: usize) -> Process {
        self.worker_with(slots, &[])
    }

    /// The same with other settings.
    pub fn worker_with(&self, slots: usize, settings: &[(&str, &str)]) -> Process {
        let mut environment = self.environment.clone();
        environment.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        environment.insert(BE_A_WORKER.to_owned(), slots.to_string());
        for key in ["PATH", "HOME", "POSTROOM__RELAY__WINDOW"] {
            if let Ok(value) = env::var(key) {
                environment.insert(key.to_owned(), value);
            }
        }
        let log = self.dir.path().join("worker.log");
        Process::start(&env::current_exe().unwrap(), &[], &environment, &log)
    }

    /// A worker that has done its first job.
    pub async fn warm_worker(&self, slots: usize) -> Process {
        self.warm_worker_with(slots, &[]).await
    }

    /// The same with other settings.
    pub async fn warm_worker_with(&self, slots: usize, settings: &[(&str, &str)]) -> Process {
        let worker = self.worker_with(slots, settings);
        let job = self.job(Does::Nothing);
        let id = job.id();
        let hints = self.ledger.enqueue(&[job]).await.unwrap();
        let _room = self.queue.push(&hints).await.unwrap();
        self.finished(id).await;
        worker
    }

    /// A job of one workspace.
    #[expect(clippy::unused_self, reason = "a lab makes its jobs")]
    pub fn job(&self, does: Does) -> NewJob {
        NewJob::parse(&BENCH, Uuid::from_u128(7), payload(does)).unwrap()
    }

    /// Accepts so many jobs, `BULK` in a statement and two statements at a time, and pushes their hints; the last
    /// one's id.
    pub async fn fill(&self, jobs: usize, does: &Does) -> Uuid {
        self.accept(jobs, does, true).await
    }

    /// Accepts so many jobs whose hints are lost; the last one's id.
    pub async fn heap(&self, jobs: usize, does: &Does) -> Uuid {
        let last = self.accept(jobs, does, false).await;
        self.quiet().await;
        last
    }

    async fn accept(&self, jobs: usize, does: &Does, hinted: bool) -> Uuid {
        let mut last = Uuid::nil();
        let mut under_way = tokio::task::JoinSet::new();
        for first in (0..jobs).step_by(BULK) {
            let batch: Vec<NewJob> =
                (first..jobs.min(first + BULK)).map(|_| self.job(does.clone())).collect();
            last = batch.last().unwrap().id();
            if under_way.len() == 2 {
                under_way.join_next().await.unwrap().unwrap();
            }
            let (ledger, queue) = (self.ledger.clone(), self.queue.clone());
            under_way.spawn(async move {
                let hints = ledger.enqueue(&batch).await.unwrap();
                if hinted {
                    let _room = queue.push(&hints).await.unwrap();
                }
            });
        }
        under_way.join_all().await;
        last
    }

    /// Stops the kind that is measured with.
    pub async fn pause(&self) {
        let made =
            self.ledger.pause(By::Operator, &queue(), "measured in a moment", None, None).await.unwrap();
        assert!(matches!(made, Once::Done(Ok(_))), "it was paused before");
    }

    /// Lets it go on.
    pub async fn resume(&self) {
        let over = self.ledger.resume(By::Operator, &queue(), None).await.unwrap();
        assert!(matches!(over, Once::Done(Some(_))), "it was not paused");
    }

    /// Whether a job has left the live ones.
    pub async fn is_finished(&self, id: Uuid) -> bool {
        sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM job WHERE id = $1)")
            .bind(id)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Jobs of a quiet workspace, one a second: how long it takes to accept one, and how long it waits from then on, in
    /// milliseconds.
    pub async fn quiet_waits(&self, jobs: usize) -> (Vec<f64>, Vec<f64>) {
        let (intake, nudge) = (self.ledger.intake(), wiring::nudge(self.queue.clone()));
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let (mut accepting, mut accepted) = (Vec::new(), BTreeMap::new());
        for _ in 0..jobs {
            tick.tick().await;
            let job = NewJob::parse(&BENCH, Uuid::from_u128(8), payload(Does::Call(0))).unwrap();
            let (id, asked) = (job.id(), Instant::now());
            let hints = intake.bring(job).await.unwrap().into_iter().collect();
            accepting.push(asked.elapsed().as_secs_f64() * 1000.0);
            accepted.insert(id, machine_micros());
            nudge(hints);
        }
        for id in accepted.keys() {
            self.finished(*id).await;
        }
        (accepting, self.waits(&accepted).await)
    }

    /// How long after these times, in microseconds of the machine's clock, the jobs began: in milliseconds.
    pub async fn waits(&self, since: &BTreeMap<Uuid, u64>) -> Vec<f64> {
        let told: Vec<(Uuid, i64)> = sqlx::query_as(
            "SELECT id, output::text::bigint FROM job_history WHERE jsonb_typeof(output) = 'number'",
        )
        .fetch_all(self.pool())
        .await
        .unwrap();
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a few decades")]
        let wait = |(id, began): &(Uuid, i64)| Some((*began as f64 - *since.get(id)? as f64) / 1000.0);
        told.iter().filter_map(wait).collect()
    }

    /// Accepts jobs of 5 ms, each due at its time in microseconds of the machine's clock, which is the ledger's too.
    pub async fn due_at(&self, times: &[u64]) -> BTreeMap<Uuid, u64> {
        let mut due = BTreeMap::new();
        for batch in times.chunks(BULK) {
            let jobs: Vec<NewJob> = batch
                .iter()
                .map(|at| {
                    let at = chrono::DateTime::from_timestamp_micros(i64::try_from(*at).unwrap()).unwrap();
                    self.job(Does::Call(5)).at(at)
                })
                .collect();
            due.extend(jobs.iter().map(NewJob::id).zip(batch.iter().copied()));
            let hints = self.ledger.enqueue(&jobs).await.unwrap();
            assert!(hints.is_empty(), "a job is due before all are accepted");
        }
        due
    }

    /// What Redis holds, in megabytes.
    pub async fn redis_megabytes(&self) -> f64 {
        self.redis_info("memory", "used_memory:").await / 1024.0 / 1024.0
    }

    /// How many jobs were claimed since a moment of the machine's clock, in microseconds, which is the ledger's too,
    /// and are not finished.
    pub async fn claimed_since(&self, moment: u64) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM claim WHERE started_at > to_timestamp($1::float8 / 1e6)")
            .bind(i64::try_from(moment).unwrap())
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// When the jobs that are done began, in seconds since a moment of the machine's clock, sorted.
    pub async fn starts_since(&self, moment: u64) -> Vec<f64> {
        sqlx::query_scalar(
            "SELECT extract(epoch FROM started_at)::float8 - $1::float8 / 1e6 FROM job_history ORDER BY started_at",
        )
        .bind(i64::try_from(moment).unwrap())
        .fetch_all(self.pool())
        .await
        .unwrap()
    }

    /// Loses every hint.
    pub async fn flush_redis(&self) {
        let client = redis::Client::open(self.redis_url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
    }

    /// Waits until a job has left the live ones.
    pub async fn finished(&self, id: Uuid) {
        self.poll("SELECT NOT EXISTS (SELECT FROM job WHERE id = $1)", id).await;
    }

    /// Waits until no job is left; `last` is looked for first, for that costs next to nothing.
    pub async fn drained(&self, last: Uuid) {
        self.finished(last).await;
        self.poll("SELECT NOT EXISTS (SELECT FROM job WHERE id <> $1)", last).await;
    }

    async fn poll(&self, statement: &'static str, id: Uuid) {
        let deadline = Instant::now() + Duration::from_mins(20);
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tick.tick().await;
            if sqlx::query_scalar::<_, bool>(statement).bind(id).fetch_one(self.pool()).await.unwrap() {
                return;
            }
            assert!(Instant::now() < deadline, "the jobs do not end:\n{}", self.log());
        }
    }

    /// Jobs finished a second, from the first claim to the last finish.
    pub async fn rate(&self) -> f64 {
        sqlx::query_scalar(
            "SELECT count(*)::float8 / extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM job_history",
        )
        .fetch_one(self.pool())
        .await
        .unwrap()
    }

    /// Makes sure that every job was claimed and is in the history once, and forgets them.
    pub async fn account_for(&self, jobs: usize) {
        let (rows, ids, claimed): (i64, i64, i64) = sqlx::query_as(
            "SELECT count(*), count(DISTINCT id), count(started_at) FROM job_history WHERE outcome = 'done'",
        )
        .fetch_one(self.pool())
        .await
        .unwrap();
        let jobs = i64::try_from(jobs).unwrap();
        assert_eq!((rows, ids, claimed), (jobs, jobs, jobs), "every job is claimed and kept once");
        self.forget().await;
    }

    /// Forgets what was done, and lets Postgres tidy up.
    pub async fn forget(&self) {
        for statement in ["TRUNCATE job_history", "VACUUM job", "VACUUM claim"] {
            sqlx::query(statement).execute(self.pool()).await.unwrap();
        }
    }

    /// Lets Postgres tidy up what filling left, so that it is not paid for by what is measured next.
    pub async fn quiet(&self) {
        sqlx::query("VACUUM ANALYZE job").execute(self.pool()).await.unwrap();
    }

    /// Statements and transactions that this database has seen.
    pub async fn statements(&self) -> f64 {
        sqlx::query_scalar(
            "SELECT (xact_commit + xact_rollback)::float8 FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(self.pool())
        .await
        .unwrap()
    }

    /// Commands that were sent to Redis. What a script calls is not sent.
    pub async fn commands(&self) -> f64 {
        let info = self.redis_told("commandstats").await;
        let sent = info.lines().filter_map(|line| {
            let (command, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let in_scripts_only = command.starts_with('z')
                || ["get", "set", "del", "exists", "incr", "incrby", "decrby", "lpush", "ltrim"]
                    .contains(&command);
            (!in_scripts_only).then(|| figures.split(',').next().unwrap().parse::<f64>().unwrap())
        });
        sent.sum()
    }

    /// CPU seconds that this machine's Postgres has taken; 0 where it runs elsewhere.
    pub async fn postgres_cpu(&self) -> f64 {
        let backend: i32 =
            sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(self.pool()).await.unwrap();
        super::server_of(u32::try_from(backend).unwrap()).map_or(0.0, super::family_cpu)
    }

    async fn redis_info(&self, section: &str, field: &str) -> f64 {
        let info = self.redis_told(section).await;
        info.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().parse().unwrap()
    }

    async fn redis_told(&self, section: &str) -> String {
        let client = redis::Client::open(self.redis_url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd("INFO").arg(section).query_async(&mut connection).await.unwrap()
    }

    /// Reads the ledger.
    pub fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    /// What the workers said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("worker.log")).unwrap_or_default()
    }
}

fn payload(does: Does) -> Value {
    serde_json::to_value(Bench { does, ballast: "x".repeat(BALLAST) }).unwrap()
}
