//! The engine: how fast an accepted post starts, how soon a fresh worker claims, and what idling costs.
//!
//! `cargo bench --bench engine -- [--json] [--only latency,start,idle] [--jobs N]`
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod common;

use std::{fs, time::Duration};

use common::{
    Settings,
    harness::{FACEBOOK, Process, System, eventually},
};

/// How long idling is watched.
const WATCHED: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() {
    let settings = Settings::read();
    if settings.wants("latency") {
        latency(&settings).await;
    }
    if settings.wants("start") {
        start(&settings).await;
    }
    if settings.wants("idle") {
        idle(&settings).await;
    }
}

/// Posts one at a time to an idle worker: from the accepting statement to the claim.
async fn latency(settings: &Settings) {
    let system = System::with_workers(1).await;
    for n in 0..settings.jobs {
        let post = system.post(&format!("latency {n}"), &[FACEBOOK]).await;
        system.until(&post, "published").await;
    }
    let spans: Vec<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM started_at - created_at)::float8 * 1000 FROM job_history WHERE started_at IS NOT NULL",
    )
    .fetch_all(&system.database.pool)
    .await
    .unwrap();
    settings.print_spans("enqueue_to_start", spans);
    let spans: Vec<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM published_at - scheduled_for)::float8 * 1000 FROM publication",
    )
    .fetch_all(&system.database.pool)
    .await
    .unwrap();
    settings.print_spans("accept_to_published", spans);
}

/// A worker that finds work waiting: from its own start to its first claim.
async fn start(settings: &Settings) {
    let mut system = System::start().await;
    let post = system.post("waiting for a worker", &[FACEBOOK]).await;
    system.start_worker(&[]);
    system.until(&post, "published").await;
    let waited: f64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM (SELECT min(started_at) FROM job_history) - (SELECT min(started_at) FROM worker))::float8 * 1000",
    )
    .fetch_one(&system.database.pool)
    .await
    .unwrap();
    settings.print("worker_start_to_claim", waited, "ms");
}

/// What `web` and `worker` hold and burn while nothing happens, under the default lease.
async fn idle(settings: &Settings) {
    let mut system = System::start().await;
    for key in ["POSTROOM__LEASE__LENGTH", "POSTROOM__LEASE__SETTLE", "POSTROOM__RELAY__REAP_EVERY"] {
        system.environment.remove(key);
    }
    system.start_worker(&[]);
    let post = system.post("warm", &[FACEBOOK]).await;
    system.until(&post, "published").await;
    let before = [used(system.web.as_ref().unwrap()), used(&system.workers[0])];
    tokio::time::sleep(WATCHED).await;
    let after = [used(system.web.as_ref().unwrap()), used(&system.workers[0])];
    for (n, name) in ["web", "worker"].iter().enumerate() {
        settings.print(&format!("idle_{name}_resident"), after[n].0, "MB");
        let share = (after[n].1 - before[n].1) / WATCHED.as_secs_f64() * 100.0;
        settings.print(&format!("idle_{name}_cpu"), share, "% of a core");
    }
    eventually("the processes to be alive", || async {
        if system.workers[0].pid().is_some() { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
}

/// Resident megabytes and CPU seconds of a process, by Linux' own account.
fn used(process: &Process) -> (f64, f64) {
    let pid = process.pid().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("idling is measured on Linux");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: f64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    (kilobytes / 1024.0, ticks / 100.0)
}
