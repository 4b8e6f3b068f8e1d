//! The intake: how long a request takes that accepts a text post, how many are accepted a second, how soon such a
//! post is on its way, what knowing who asks adds to a request, and what `web` and `worker` cost while nothing happens.
//!
//! `cargo bench --bench intake -- [--json] [--only accept,journey,start,access,idle] [--jobs N] [--concurrency C]`
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    Settings,
    harness::{FACEBOOK, System, eventually},
    millis, used,
};
use tokio::sync::Semaphore;

/// How long idling is watched.
const WATCHED: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() {
    let settings = Settings::read(200, 1);
    if settings.wants("accept") {
        accept(&settings).await;
    }
    if settings.wants("journey") {
        journey(&settings).await;
    }
    if settings.wants("start") {
        start(&settings).await;
    }
    if settings.wants("access") {
        access(&settings).await;
    }
    if settings.wants("idle") {
        idle(&settings).await;
    }
}

async fn accept(settings: &Settings) {
    let system = System::start().await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let slots = Arc::new(Semaphore::new(settings.concurrency));
    let mut requests = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for n in 0..settings.jobs {
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let wish = system.wish(&format!("intake {n}"), &[FACEBOOK], &[]);
        let request = client.post(system.url("/api/v1/posts")).bearer_auth(&system.key).json(&wish);
        requests.spawn(async move {
            let sent = Instant::now();
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 202);
            answer.bytes().await.unwrap();
            drop(slot);
            millis(sent.elapsed())
        });
    }
    let spans = requests.join_all().await;
    let all = begun.elapsed().as_secs_f64();
    settings.print_spans("accept_text_post", spans);
    #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
    settings.print("accepted_per_second", settings.jobs as f64 / all, "posts/s");
}

/// Posts one at a time to an idle worker: from the accepting statement to the claim.
async fn journey(settings: &Settings) {
    let system = System::with_workers(1).await;
    for n in 0..settings.jobs {
        let post = system.post(&format!("journey {n}"), &[FACEBOOK]).await;
        system.until(&post, "published").await;
    }
    let spans: Vec<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM started_at - created_at)::float8 * 1000 FROM job_history WHERE started_at IS NOT NULL",
    )
    .fetch_all(&system.database.pool)
    .await
    .unwrap();
    settings.print_spans("post_to_start", spans);
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
    let waited: f64 = eventually("the job to be over", || async {
        let waited = sqlx::query_scalar::<_, Option<f64>>(
            "SELECT extract(epoch FROM (SELECT min(started_at) FROM job_history) - (SELECT min(started_at) FROM worker))::float8 * 1000",
        );
        waited.fetch_one(&system.database.pool).await.unwrap().ok_or_else(|| "it is not".to_owned())
    })
    .await;
    settings.print("worker_start_to_claim", waited, "ms");
}

/// What it adds to a request to know who asks and what they may: a write whose body is refused unread, with a key and with
/// a pass that stands for it, beside the same of nobody, for whom nothing is looked up.
async fn access(settings: &Settings) {
    let system = System::start().await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let (status, pass) = system.api(reqwest::Method::POST, "/api/v1/tokens", None).await;
    assert_eq!(status, 200, "{pass}");
    let pass = pass["access_token"].as_str().unwrap().to_owned();
    let asked = [("nobody", None, 401_u16), ("key", Some(&system.key), 400), ("pass", Some(&pass), 400)];
    let mut spans: Vec<Vec<f64>> = vec![Vec::new(); asked.len()];
    for _ in 0..settings.jobs {
        // in turns: what else the machine does meets all of them alike
        for ((_, bearer, status), spans) in asked.iter().zip(&mut spans) {
            let request = client.post(system.url("/api/v1/posts"));
            let request = request.header("content-type", "application/json").body("{");
            let request = match bearer {
                Some(bearer) => request.bearer_auth(bearer),
                None => request,
            };
            let sent = Instant::now();
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), *status);
            answer.bytes().await.unwrap();
            spans.push(millis(sent.elapsed()));
        }
    }
    let medians: Vec<f64> = spans.into_iter().map(median).collect();
    for ((who, ..), median) in asked.iter().zip(&medians).skip(1) {
        settings.print(&format!("access_of_a_{who}"), median - medians[0], "ms");
    }
}

fn median(mut spans: Vec<f64>) -> f64 {
    spans.sort_by(f64::total_cmp);
    spans[spans.len() / 2]
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
