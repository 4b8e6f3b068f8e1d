//! The engine: how fast jobs are accepted and done, how soon one starts, and what idling costs.
//!
//! `cargo bench --bench engine -- [--json] [--only enqueue,bulk,drain,latency,idle,backlog,pinned,two,noisy,redis,recovery] [--jobs N] [--concurrency C]`
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]
#![expect(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^52")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{
    Settings,
    lab::{Does, Lab, WORKSPACE_SHARE, machine_micros, maybe_work},
    used,
};

/// How long idling is watched.
const WATCHED: Duration = Duration::from_secs(30);
/// Jobs of the latency measure, one each 20 ms.
const TOLD: usize = 500;

#[tokio::main]
async fn main() {
    maybe_work().await;
    let settings = Settings::read(50_000, 64);
    if settings.wants("enqueue") {
        enqueue(&settings).await;
    }
    if settings.wants("bulk") {
        bulk(&settings).await;
    }
    if settings.wants("drain") {
        drain(&settings).await;
    }
    if settings.wants("latency") {
        latency(&settings).await;
    }
    if settings.wants("idle") {
        idle(&settings).await;
    }
    if settings.wants("backlog") {
        for waiting in [1_000, 100_000, 1_000_000] {
            backlog(&settings, waiting).await;
        }
    }
    if settings.wants("pinned") {
        pinned(&settings).await;
    }
    if settings.wants("two") {
        two(&settings).await;
    }
    if settings.wants("noisy") {
        noisy(&settings).await;
    }
    if settings.wants("redis") {
        without_redis(&settings).await;
    }
    if settings.wants("recovery") {
        for lease in [30, 10] {
            killed(&settings, lease).await;
        }
        flushed(&settings).await;
    }
}

/// One job at a time from as many callers, each told after its commit.
async fn enqueue(settings: &Settings) {
    let lab = Lab::open().await;
    let intake = lab.ledger.intake();
    let nudge = postroom::wiring::nudge(lab.queue.clone());
    let left = Arc::new(AtomicUsize::new(settings.jobs));
    let begun = Instant::now();
    let callers = (0..settings.concurrency).map(|_| {
        let (intake, nudge, left) = (intake.clone(), Arc::clone(&nudge), Arc::clone(&left));
        let jobs: Vec<_> =
            (0..=settings.jobs / settings.concurrency * 2).map(|_| lab.job(Does::Nothing)).collect();
        tokio::spawn(async move {
            for job in jobs {
                if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_err() {
                    return;
                }
                nudge(intake.bring(job).await.unwrap().into_iter().collect());
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    settings.print_rate("enqueue_single", settings.jobs, begun.elapsed());
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM job").fetch_one(lab.pool()).await.unwrap();
    assert_eq!(usize::try_from(kept).unwrap(), settings.jobs);
}

/// Many jobs a statement.
async fn bulk(settings: &Settings) {
    let lab = Lab::open().await;
    let begun = Instant::now();
    lab.fill(settings.jobs, &Does::Nothing).await;
    settings.print_rate("enqueue_bulk", settings.jobs, begun.elapsed());
}

/// As many jobs as there are, done by one worker.
async fn drain(settings: &Settings) {
    let lab = Lab::open().await;
    for _ in 0..3 {
        let last = lab.fill(settings.jobs, &Does::Nothing).await;
        lab.quiet().await;
        let before = (lab.postgres_cpu().await, used(&lab.redis).1, lab.statements().await);
        let worker = lab.worker(settings.concurrency);
        lab.drained(last).await;
        let after = (lab.postgres_cpu().await, used(&lab.redis).1, lab.statements().await);
        let (resident, cpu) = used(&worker);
        let each = |seconds: f64| seconds / settings.jobs as f64 * 1e6;
        settings.print("drain", lab.rate().await, "jobs/s");
        settings.print("drain_worker_cpu", each(cpu), "us/job");
        settings.print("drain_postgres_cpu", each(after.0 - before.0), "us/job");
        settings.print("drain_redis_cpu", each(after.1 - before.1), "us/job");
        settings.print("drain_transactions", after.2 - before.2, "");
        settings.print("drain_worker_resident", resident, "MB");
        lab.account_for(settings.jobs).await;
        drop(worker);
    }
}

/// An idle worker and one job each 20 ms: from asking to running.
async fn latency(settings: &Settings) {
    let lab = Lab::open().await;
    let _worker = lab.warm_worker(settings.concurrency).await;
    lab.forget().await;
    let (intake, nudge) = (lab.ledger.intake(), postroom::wiring::nudge(lab.queue.clone()));
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut asked = std::collections::BTreeMap::new();
    for _ in 0..TOLD {
        tick.tick().await;
        let job = lab.job(Does::Call(0));
        asked.insert(job.id(), machine_micros());
        nudge(intake.bring(job).await.unwrap().into_iter().collect());
    }
    for id in asked.keys() {
        lab.finished(*id).await;
    }
    let spans = lab.waits(&asked).await;
    assert_eq!(spans.len(), TOLD);
    settings.print_spans("enqueue_to_start", spans);
}

/// What a worker burns while nothing happens, under the default settings.
async fn idle(settings: &Settings) {
    let lab = Lab::open().await;
    let worker = lab.warm_worker(settings.concurrency).await;
    // Postgres counts what a connection did when that has been idle for ten seconds
    tokio::time::sleep(Duration::from_secs(12)).await;
    let before = (used(&worker).1, lab.statements().await, lab.commands().await);
    tokio::time::sleep(WATCHED).await;
    let after = (used(&worker).1, lab.statements().await, lab.commands().await);
    let per_second = |n: f64| n / WATCHED.as_secs_f64();
    settings.print("idle_cpu", per_second(after.0 - before.0) * 60.0, "s/min");
    settings.print("idle_statements", per_second(after.1 - before.1), "1/s");
    settings.print("idle_commands", per_second(after.2 - before.2), "1/s");
    settings.print("idle_resident", used(&worker).0, "MB");
}

/// A drain with so many jobs waiting in all, by a worker that is not just starting: how fast, and what it and Redis
/// hold meanwhile.
async fn backlog(settings: &Settings, waiting: usize) {
    let lab = Lab::open().await;
    let worker = lab.warm_worker(settings.concurrency).await;
    lab.forget().await;
    // where little waits, it is drained as often as it takes to measure
    let rounds = (settings.jobs / waiting).clamp(1, 20);
    let mut rates = Vec::new();
    for round in 0..rounds {
        lab.pause().await;
        let last = lab.heap(waiting, &Does::Nothing).await;
        lab.resume().await;
        let mut most = (0.0_f64, 0.0_f64);
        while !lab.is_finished(last).await {
            most = (most.0.max(used(&worker).0), most.1.max(lab.redis_megabytes().await));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        lab.drained(last).await;
        rates.push(lab.rate().await);
        lab.account_for(waiting).await;
        if round + 1 == rounds {
            settings.print(&format!("backlog_{waiting}_worker_resident"), most.0, "MB");
            settings.print(&format!("backlog_{waiting}_redis"), most.1, "MB");
        }
    }
    rates.sort_by(f64::total_cmp);
    settings.print(&format!("backlog_{waiting}"), rates[rates.len() / 2], "1/s");
}

/// Drains while a transaction keeps every dead row from being tidied up: the first one and the last one.
async fn pinned(settings: &Settings) {
    let lab = Lab::open().await;
    let mut pin = lab.pool().begin().await.unwrap();
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *pin).await.unwrap();
    sqlx::query("SELECT count(*) FROM workspace").execute(&mut *pin).await.unwrap();
    let begun = Instant::now();
    let mut rates = Vec::new();
    while begun.elapsed() < settings.pinned() {
        let last = lab.fill(settings.jobs, &Does::Nothing).await;
        let worker = lab.worker(settings.concurrency);
        lab.drained(last).await;
        rates.push(lab.rate().await);
        drop(worker);
        sqlx::query("DELETE FROM job_history").execute(lab.pool()).await.unwrap();
    }
    // one that had been ended meanwhile would have pinned nothing
    sqlx::query("SELECT count(*) FROM workspace").execute(&mut *pin).await.unwrap();
    settings.print("pinned_first", rates[0], "1/s");
    settings.print("pinned_last", rates[rates.len() - 1], "1/s");
    settings.print("pinned_minutes", begun.elapsed().as_secs_f64() / 60.0, "min");
}

/// The drain with two workers.
async fn two(settings: &Settings) {
    let lab = Lab::open().await;
    let last = lab.fill(settings.jobs, &Does::Nothing).await;
    lab.quiet().await;
    let _workers = [lab.worker(settings.concurrency), lab.worker(settings.concurrency)];
    lab.drained(last).await;
    settings.print("drain_two_workers", lab.rate().await, "1/s");
    lab.account_for(settings.jobs).await;
}

/// One workspace has 100,000 jobs, another asks for one a second: how long the other's wait, alone, beside jobs that
/// wait for a network as calls do, and beside jobs that are over as fast as the machine can run them.
async fn noisy(settings: &Settings) {
    for (beside, ms) in [("calls", 50), ("saturation", 5)] {
        let lab = Lab::open().await;
        // as worker.toml has it
        let _worker = lab.warm_worker_with(settings.concurrency, &[(WORKSPACE_SHARE, "0.75")]).await;
        let (_, alone) = lab.quiet_waits(30).await;
        settings.print_spans(&format!("quiet_before_{beside}"), alone);
        lab.heap(100_000, &Does::Call(ms)).await;
        let (accepting, waits) = lab.quiet_waits(30).await;
        settings.print_spans(&format!("quiet_accepted_beside_{beside}"), accepting);
        settings.print_spans(&format!("quiet_beside_{beside}"), waits);
    }
}

/// A drain without Redis: workers claim from the ledger.
async fn without_redis(settings: &Settings) {
    let mut lab = Lab::open().await;
    lab.redis.kill9().await;
    let last = lab.heap(settings.jobs, &Does::Nothing).await;
    let _worker = lab.worker(settings.concurrency);
    lab.drained(last).await;
    settings.print("drain_without_redis", lab.rate().await, "1/s");
    lab.account_for(settings.jobs).await;
}

/// A worker dies with its slots full: until another has all of its jobs.
async fn killed(settings: &Settings, lease: u64) {
    let lab = Lab::open().await;
    let length = format!("{lease}s");
    let of_this_lease = [("POSTROOM__LEASE__LENGTH", length.as_str())];
    let mut dying = lab.worker_with(settings.concurrency, &of_this_lease);
    // longer than anybody waits here, so that a job is held until its worker is gone
    lab.heap(settings.concurrency, &Does::Call(600_000)).await;
    let all = i64::try_from(settings.concurrency).unwrap();
    while lab.claimed_since(0).await < all {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _heir = lab.worker_with(settings.concurrency, &of_this_lease);
    let (moment, begun) = (machine_micros(), Instant::now());
    dying.kill9().await;
    while lab.claimed_since(moment).await < all {
        assert!(begun.elapsed() < Duration::from_mins(5), "the jobs are not taken up:\n{}", lab.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    settings.print(&format!("recovery_lease_{lease}s"), begun.elapsed().as_secs_f64(), "s");
}

/// Redis loses everything in the middle of a drain: until the first job after it, and until as many are done a
/// second as before.
async fn flushed(settings: &Settings) {
    let lab = Lab::open().await;
    let jobs = settings.jobs * 4;
    let last = lab.fill(jobs, &Does::Nothing).await;
    lab.quiet().await;
    let _worker = lab.worker(settings.concurrency);
    let quarter = "SELECT count(*) FROM job";
    while sqlx::query_scalar::<_, i64>(quarter).fetch_one(lab.pool()).await.unwrap()
        > i64::try_from(jobs * 3 / 4).unwrap()
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let moment = machine_micros();
    lab.flush_redis().await;
    lab.drained(last).await;
    let starts = lab.starts_since(moment).await;
    let before = starts.iter().filter(|at| **at < 0.0).count() as f64 / -starts[0];
    // what the worker had popped already is no sign of life: the longest silence tells
    let after: Vec<f64> = starts.into_iter().filter(|at| *at >= 0.0).collect();
    let longest = after.windows(2).max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0]))).unwrap();
    settings.print("recovery_flush_silence", longest[1] - longest[0], "s");
    let in_second = |from: f64| after.iter().filter(|at| (from..from + 1.0).contains(*at)).count() as f64;
    let full = (0..600).map(|tenths| f64::from(tenths) / 10.0).find(|from| in_second(*from) >= before * 0.9);
    settings.print("recovery_flush_full_rate", full.map_or(f64::INFINITY, |from| from + 1.0), "s");
    lab.account_for(jobs).await;
}
