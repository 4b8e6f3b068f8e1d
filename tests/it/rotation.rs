//! Keys that are changed again and again under traffic, with workers of the version before beside those of this one.
//! `bin/rotation` does it for as long as one likes; a few times are part of every run of the checks.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use postroom::ledger::keyring::{Cipher, generate};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{FACEBOOK, Process, System, eventually, picture},
    keys::as_earlier,
};

/// The changes of keys in every run of the checks.
const FEW: usize = 2;
/// A post is accepted this often.
const PACE: Duration = Duration::from_secs(1);
/// What tells of a token that did not open, wherever it is told.
const NO_TOKEN: [&str; 3] = ["does not open", "not in POSTROOM_KEYS", "is destroyed"];

fn told<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(format!("POSTROOM_ROTATION_{name}")).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("POSTROOM_ROTATION_{name}: {text:?} cannot be read")))
}

/// A worker of either version.
struct Worker {
    program: PathBuf,
    process: Process,
}

/// Everything that has a ring.
struct Fleet {
    system: System,
    workers: Vec<Worker>,
    logs: Vec<String>,
    started: usize,
}

impl Fleet {
    async fn start(previous: &Path) -> Self {
        let mut it =
            Self { system: System::start().await, workers: Vec::new(), logs: Vec::new(), started: 0 };
        // what the version before has left: nothing is sealed otherwise until it is gone
        as_earlier(&it.system).await;
        for program in [previous, Path::new(env!("CARGO_BIN_EXE_postroom"))] {
            let worker = it.worker(program).await;
            it.workers.push(worker);
        }
        it
    }

    /// One more, once it is known to the others: what it cannot open is sealed no more from then on.
    async fn worker(&mut self, program: &Path) -> Worker {
        self.started += 1;
        let log = self.system.logs().join(format!("worker-{:04}.log", self.started));
        let before = self.system.database.now().await.to_rfc3339();
        let process = Process::start(program, &["worker"], &self.system.environment, &log);
        eventually("the worker", || async {
            let known = "SELECT count(*) FROM worker WHERE started_at >= $1::timestamptz";
            if self.system.database.count_of(known, &before).await > 0 { Ok(()) } else { Err(process.log()) }
        })
        .await;
        Worker { program: program.to_owned(), process }
    }

    /// Gives all of them another ring, one after the other, as whoever deploys does.
    async fn take(&mut self, ring: &str) {
        self.system.environment.insert("POSTROOM_KEYS".into(), ring.to_owned());
        let mut web = self.system.web.take().expect("it runs");
        end(&mut web).await;
        self.logs.push(web.log());
        self.system.start_web().await;
        for n in 0..self.workers.len() {
            let program = self.workers[n].program.clone();
            let next = self.worker(&program).await;
            let mut before = std::mem::replace(&mut self.workers[n], next);
            end(&mut before.process).await;
            self.logs.push(before.process.log());
        }
    }

    /// Changes the key: the new one is everywhere before it seals, and the old one goes when nothing is sealed with it.
    async fn change(&mut self, old: &str, cipher: Cipher) -> (String, Value) {
        let new = generate(cipher);
        self.take(&format!("{old},{new}")).await;
        let ring = format!("{new},{old}");
        self.system.environment.insert("POSTROOM_KEYS".into(), ring.clone());
        let args = ["keys", "rotate", "--batch", "1", "--json"];
        let (status, out, err) = self.system.try_postroom(&args, "").await;
        assert_eq!(status, 0, "{out}{err}");
        self.take(&ring).await;
        // what the old ones sealed until they ended
        let done = self.system.told(&["keys", "rotate"]).await;
        assert_eq!(done["left"], 0, "{done}");
        self.take(&new).await;
        (new, serde_json::from_str(&out).expect("JSON"))
    }

    /// What anybody has said of a token that did not open.
    async fn refused(&self) -> Vec<String> {
        let now = self.workers.iter().map(|worker| worker.process.log());
        let web = self.system.web.iter().map(Process::log);
        let logs: Vec<String> = self.logs.iter().cloned().chain(now).chain(web).collect();
        let reasons: Vec<String> = sqlx::query_scalar("SELECT reason FROM attempt")
            .fetch_all(&self.system.database.pool)
            .await
            .unwrap();
        let lines = logs.iter().flat_map(|log| log.lines()).chain(reasons.iter().map(String::as_str));
        lines.filter(|line| NO_TOKEN.iter().any(|words| line.contains(words))).map(str::to_owned).collect()
    }
}

async fn end(process: &mut Process) {
    process.signal("TERM").await;
    process.ended().await;
}

/// Posts at its pace until it is told to stop, each until it is accepted; gives their ids.
async fn post_on(url: String, key: String, targets: Value, media: String, stop: &AtomicBool) -> Vec<String> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let mut pace = tokio::time::interval(PACE);
    let mut ids = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        pace.tick().await;
        let caption = format!("under whatever key {}", ids.len());
        let wish = json!({ "caption": caption, "media_ids": [media], "targets": targets });
        let once = Uuid::now_v7().to_string();
        loop {
            let asked = http.post(&url).bearer_auth(&key).header("Idempotency-Key", &once).json(&wish);
            if let Ok(answer) = asked.send().await
                && answer.status() == 202
                && let Ok(post) = answer.json::<Value>().await
            {
                ids.push(post["id"].as_str().unwrap().to_owned());
                break;
            }
            // the intake is being started again
            pace.tick().await;
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_changed_again_and_again_under_traffic_and_every_token_opens() {
    let lasts = told("SECONDS").map(Duration::from_secs);
    let every = told("EVERY").map_or(Duration::ZERO, Duration::from_secs);
    let this = PathBuf::from(env!("CARGO_BIN_EXE_postroom"));
    let previous = told("PREVIOUS").unwrap_or(this);
    let mut fleet = Fleet::start(&previous).await;
    let media = fleet.system.upload("picture.jpg", picture()).await;
    let targets = json!([{ "account_id": fleet.system.account(FACEBOOK) }]);
    let (url, api_key) = (fleet.system.url("/api/v1/posts"), fleet.system.key.clone());
    let stop = AtomicBool::new(false);
    let changing = async {
        let mut key = fleet.system.environment["POSTROOM_KEYS"].trim().to_owned();
        let (begun, mut changes, mut resealed, mut moved) = (Instant::now(), 0, 0, 0);
        let mut pace = tokio::time::interval(every.max(Duration::from_millis(1)));
        while lasts.map_or(changes < FEW, |lasts| begun.elapsed() < lasts) {
            pace.tick().await;
            let cipher = [Cipher::Aes256Gcm, Cipher::XChaCha20Poly1305][changes % 2];
            let (new, done) = fleet.change(&key, cipher).await;
            resealed += done["resealed"].as_u64().expect("a number");
            moved += done["moved"].as_u64().expect("a number");
            (key, changes) = (new, changes + 1);
        }
        stop.store(true, Ordering::SeqCst);
        (changes, resealed, moved, begun.elapsed())
    };
    let ((changes, resealed, moved, took), posts) =
        tokio::join!(changing, post_on(url, api_key, targets, media, &stop));
    fleet.system.all_live_once(&posts).await;
    let refused = fleet.refused().await;
    println!(
        "rotation| changes={changes} resealed={resealed} moved={moved} posts={} seconds={} refused={}",
        posts.len(),
        took.as_secs(),
        refused.len()
    );
    assert_eq!(refused, Vec::<String>::new());
    // beside a version that knows no data keys each token is sealed anew, and else each gets one, as the cipher changes
    assert!(
        posts.len() >= changes && resealed + moved >= 4 * changes as u64,
        "there was something to open and to seal"
    );
    let apart = "SELECT count(*) FROM account WHERE state <> 'active'";
    assert_eq!(fleet.system.database.count(apart).await, 0, "nobody has to connect anew");
}
