//! The intake: how long a request takes that accepts a text post, and how many are accepted a second.
//!
//! `cargo bench --bench intake -- [--json] [--only accept] [--jobs N] [--concurrency C]`
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod common;

use std::{sync::Arc, time::Instant};

use common::{
    Settings,
    harness::{FACEBOOK, System},
    millis,
};
use tokio::sync::Semaphore;

#[tokio::main]
async fn main() {
    let settings = Settings::read();
    if settings.wants("accept") {
        accept(&settings).await;
    }
}

async fn accept(settings: &Settings) {
    let system = System::start().await;
    let client = reqwest::Client::new();
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
