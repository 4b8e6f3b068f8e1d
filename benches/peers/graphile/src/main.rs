//! The measures of `benches/engine.rs`, taken of graphile_worker: accepting, draining, and how soon a job starts.
//!
//! `graphile-bench JOBS CONCURRENCY`, with `TEST_DATABASE_URL` (a role that may make databases) and, for the
//! server's CPU, `POSTGRES_PID`. `benches/peers/run` calls it.

mod lab;
mod machine;
mod worker;

use std::{
    env,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use graphile_worker::JobSpec;
use lab::Lab;
use serde_json::json;
use worker::Bench;

/// As in postroom, see `src/lib.rs` there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever stops a bench.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Jobs of one accepting statement, as in the engine's bench.
const BULK: usize = 500;
/// Jobs of the latency measure, one each 20 ms.
const TOLD: usize = 500;

/// How much is measured.
#[derive(Clone, Copy)]
struct Settings {
    jobs: usize,
    concurrency: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["worker", url, jobs, concurrency] => worker::work(url, jobs.parse()?, concurrency.parse()?).await,
        [jobs, concurrency] => {
            let settings = Settings { jobs: jobs.parse()?, concurrency: concurrency.parse()? };
            enqueue(settings).await?;
            bulk(settings).await?;
            drain(settings).await?;
            latency(settings).await
        }
        _ => Err("usage: graphile-bench JOBS CONCURRENCY".into()),
    }
}

/// One job at a time from as many callers, each told after its commit.
async fn enqueue(settings: Settings) -> Result<()> {
    let lab = Lab::open(settings.concurrency).await?;
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let callers = (0..settings.concurrency).map(|_| {
        let (utils, next) = (lab.utils(), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= settings.jobs {
                    return Ok::<_, graphile_worker::errors::GraphileWorkerError>(());
                }
                utils.add_job(Bench::numbered(n), JobSpec::default()).await?;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    print_rate(settings, "enqueue_single", settings.jobs, begun.elapsed());
    lab.holds(settings.jobs).await?;
    lab.close().await
}

/// Many jobs a statement.
async fn bulk(settings: Settings) -> Result<()> {
    let lab = Lab::open(settings.concurrency).await?;
    let begun = Instant::now();
    lab.fill(settings.jobs).await?;
    print_rate(settings, "enqueue_bulk", settings.jobs, begun.elapsed());
    lab.holds(settings.jobs).await?;
    lab.close().await
}

/// As many jobs as there are, done by one worker, three times.
async fn drain(settings: Settings) -> Result<()> {
    for _ in 0..3 {
        let lab = Lab::open(settings.concurrency).await?;
        let last = lab.fill(settings.jobs).await?;
        lab.quiet().await?;
        let before = machine::postgres_cpu();
        let mut worker = lab.worker(settings.jobs, settings.concurrency)?;
        lab.drained(last).await?;
        let ended = machine::micros();
        let (after, cpu) = (machine::postgres_cpu(), machine::cpu(worker.pid()?));
        let began = worker.account().await?.each_once(settings.jobs)?;
        lab.holds(0).await?;

        let first = began.iter().min().copied().unwrap_or_default();
        let each = |seconds: f64| seconds / settings.jobs as f64 * 1e6;
        print(settings, "drain", settings.jobs as f64 / ((ended - first) as f64 / 1e6), "jobs/s");
        if let (Some(cpu), Some(before), Some(after)) = (cpu, before, after) {
            print(settings, "drain_worker_cpu", each(cpu), "us/job");
            print(settings, "drain_postgres_cpu", each(after - before), "us/job");
        }
        worker.end().await?;
        lab.close().await?;
    }
    Ok(())
}

/// An idle worker and one job each 20 ms: from asking to running.
async fn latency(settings: Settings) -> Result<()> {
    let lab = Lab::open(settings.concurrency).await?;
    let mut worker = lab.worker(TOLD + 1, settings.concurrency)?;
    let utils = lab.utils();
    // The job that warms the worker up, whose wait does not count.
    let warm = utils.add_job(Bench::numbered(TOLD), JobSpec::default()).await?;
    lab.drained(*warm.id()).await?;

    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut asked = Vec::new();
    for n in 0..TOLD {
        tick.tick().await;
        asked.push(machine::micros());
        utils.add_job(Bench::numbered(n), JobSpec::default()).await?;
    }
    lab.drained(0).await?;
    let began = worker.account().await?.each_once(TOLD + 1)?;
    lab.holds(0).await?;
    worker.end().await?;

    let waits = asked.iter().zip(&began).map(|(asked, began)| began.saturating_sub(*asked) as f64 / 1e3);
    print_spans(settings, "enqueue_to_start", waits.collect());
    lab.close().await
}

fn print(settings: Settings, measure: &str, value: f64, unit: &str) {
    let settings = json!({
        "jobs": settings.jobs,
        "concurrency": settings.concurrency,
        "local_queue": worker::LOCAL_QUEUE,
        "queue_count": worker::QUEUES,
    });
    let measure = format!("graphile_{measure}");
    println!("{}", json!({ "measure": measure, "value": value, "unit": unit, "settings": settings }));
}

fn print_rate(settings: Settings, measure: &str, done: usize, span: Duration) {
    print(settings, measure, done as f64 / span.as_secs_f64(), "1/s");
}

fn print_spans(settings: Settings, measure: &str, mut spans: Vec<f64>) {
    spans.sort_by(f64::total_cmp);
    let at = |share: usize| spans[(spans.len() * share / 100).min(spans.len() - 1)];
    print(settings, &format!("{measure}_p50"), at(50), "ms");
    print(settings, &format!("{measure}_p99"), at(99), "ms");
}
