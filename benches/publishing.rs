//! Publishing: what a film of a gigabyte takes of the worker that sends it, how long the check of a carousel takes,
//! and how soon posts to many accounts are sent that are due in the same second.
//!
//! `cargo bench --bench publishing -- [--json] [--only film,preflight,burst] [--jobs N] [--megabytes N]`
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod common;

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use common::{
    Settings,
    harness::{
        Database, FACEBOOK, Ground, INSTAGRAM, PLATFORMS, System, TIKTOK, eventually_within, film, free_port,
        picture, start_redis,
    },
    millis, peak,
};
use reqwest::Method;
use serde_json::{Value, json};

/// Nothing here takes longer, not even where nothing is optimised.
const PATIENCE: Duration = Duration::from_mins(10);
/// The largest film that Instagram takes.
const INSTAGRAM_MOST: u64 = 300_000_000;
/// Slides of the carousel that is checked.
const SLIDES: usize = 10;
/// Posts of the burst are accepted this long before they are due: enough to prepare them all.
const AHEAD: TimeDelta = TimeDelta::seconds(60);
/// What a network takes for each call.
const CALL_MS: u64 = 300;

#[tokio::main]
async fn main() {
    let settings = Settings::read(200, 1);
    if settings.wants("film") {
        films(&settings).await;
    }
    if settings.wants("preflight") {
        preflight(&settings).await;
    }
    if settings.wants("burst") {
        burst(&settings).await;
    }
}

/// A system without a worker, with the settings that a house has by default but for these.
async fn house(more: &[(&str, &str)]) -> System {
    let dir = tempfile::tempdir().unwrap();
    let (database, redis_port) = (Database::create().await, free_port());
    let redis = start_redis(redis_port, dir.path(), false);
    let redis_url = format!("redis://127.0.0.1:{redis_port}");
    let mut settings = BTreeMap::from([("DATABASE_URL".to_owned(), database.url.clone())]);
    settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut system = System::on(Ground { dir, database, redis: Some(redis), redis_url, settings }).await;
    for key in [
        "POSTROOM__LEASE__LENGTH",
        "POSTROOM__LEASE__SETTLE",
        "POSTROOM__RELAY__REAP_EVERY",
        "POSTROOM__RELAY__MEND_EVERY",
        "POSTROOM__PUBLISHING__LOOK_LEAST",
        "POSTROOM__JOBS__PUBLISH__RETRY_BASE",
        "POSTROOM__NETWORKS__TIKTOK__ACCOUNT_RATE",
    ] {
        system.environment.remove(key);
    }
    system
}

/// One large film through every way that a network takes one, each by a worker of its own: the most that the worker
/// ever held, and how long it took.
async fn films(settings: &Settings) {
    let mut system = house(&[("POSTROOM__WEB__VIDEO_LIMIT", "4000000000")]).await;
    let bytes = settings.megabytes * 1_000_000;
    let large = intake(&system, &film_of(bytes, system.logs())).await;
    let within = intake(&system, &film_of(bytes.min(INSTAGRAM_MOST), system.logs())).await;
    settings.print("film_web_peak", peak(system.web.as_ref().unwrap()), "MB");
    for (name, platform, kind, media) in [
        ("tiktok", TIKTOK, "post", &large),
        ("facebook_video", FACEBOOK, "post", &large),
        ("facebook_reel", FACEBOOK, "reel", &large),
        ("instagram_reel", INSTAGRAM, "reel", &within),
    ] {
        system.workers.clear();
        system.start_worker(&[]);
        let mut wish =
            system.wish(&format!("a large film, as {name}"), &[platform], std::slice::from_ref(media));
        wish["kind"] = json!(kind);
        let begun = Instant::now();
        let post = accepted(&system, &wish).await;
        published(&system, &post).await;
        settings.print(&format!("film_{name}_peak"), peak(&system.workers[0]), "MB");
        settings.print(&format!("film_{name}"), begun.elapsed().as_secs_f64(), "s");
    }
    logged_first(&system).await;
}

/// A film of so many bytes: the demo's with free space after it, which the format has a box for.
fn film_of(bytes: u64, folder: &Path) -> PathBuf {
    let path = folder.join(format!("film-{bytes}.mp4"));
    let (mut padded, film) = (File::create(&path).unwrap(), film());
    let free = u32::try_from(bytes - film.len() as u64).expect("a box of at most 4 GB");
    padded.write_all(&film).unwrap();
    padded.write_all(&free.to_be_bytes()).unwrap();
    padded.write_all(b"free").unwrap();
    padded.set_len(bytes).unwrap();
    path
}

/// Takes a film in as a form brings it, and gives its id. The file is not needed any more.
async fn intake(system: &System, path: &Path) -> String {
    let part = reqwest::multipart::Part::file(path).await.unwrap();
    let form = reqwest::multipart::Form::new().part("file", part);
    let request = reqwest::Client::new().post(system.url("/api/v1/media")).bearer_auth(&system.key);
    let answer = request.multipart(form).send().await.unwrap();
    let (status, answer) = (answer.status(), answer.json::<Value>().await.unwrap());
    assert_eq!(status, 201, "{answer}");
    std::fs::remove_file(path).unwrap();
    answer["id"].as_str().unwrap().to_owned()
}

async fn accepted(system: &System, wish: &Value) -> String {
    let (status, answer) = system.api(Method::POST, "/api/v1/posts", Some(wish)).await;
    assert_eq!(status, 202, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

async fn published(system: &System, post: &str) {
    let path = format!("/api/v1/posts/{post}");
    eventually_within(PATIENCE, "the film to be public", || async {
        let (_, answer) = system.api(Method::GET, &path, None).await;
        if answer["state"] == "published" { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}

/// No call came to the networks before the ledger had it. Where the ledger was too busy to be asked, nobody can tell.
async fn logged_first(system: &System) {
    let unlogged = system.control("calls?mutating=true&in_ledger=false").await;
    assert_eq!(unlogged["data"], json!([]));
}

/// A carousel for two networks that have told all they tell of the accounts: from the request to the answer.
async fn preflight(settings: &Settings) {
    let system = System::with_workers(1).await;
    let mut slides = Vec::new();
    for n in 0..SLIDES {
        slides.push(system.upload(&format!("slide {n}.jpg"), picture()).await);
    }
    let soon =
        (system.database.now().await + TimeDelta::hours(3)).format("%Y-%m-%dT%H:%M:%S+00:00").to_string();
    let wish = |caption: &str| {
        let mut wish = system.wish(caption, &[FACEBOOK, INSTAGRAM], &slides);
        wish["kind"] = json!("carousel");
        wish["schedule"] = json!({ "at": soon });
        wish
    };
    accepted(&system, &wish("for which the accounts are asked about")).await;
    eventually_within(PATIENCE, "the networks to have told of the accounts", || async {
        let told = system.database.count("SELECT count(DISTINCT account_id) FROM account_fact").await;
        if told == 2 { Ok(()) } else { Err(format!("{told} were asked about")) }
    })
    .await;
    let client = reqwest::Client::new();
    let mut spans = Vec::new();
    for n in 0..settings.jobs {
        let body = wish(&format!("carousel {n}"));
        let request = client.post(system.url("/api/v1/posts:check")).bearer_auth(&system.key).json(&body);
        let sent = Instant::now();
        let report: Value = request.send().await.unwrap().json().await.unwrap();
        spans.push(millis(sent.elapsed()));
        let clean = |target: &Value| target["findings"] == json!([]) && target["facts"] != json!([]);
        assert!(report["targets"].as_array().unwrap().iter().all(clean), "{report}");
    }
    settings.print_spans("preflight_carousel", spans);
}

/// A post to each of many accounts of all networks, due in the same second while each call takes its time: from then to
/// the call that makes each public.
async fn burst(settings: &Settings) {
    let mut system = house(&[]).await;
    system.start_worker(&[]);
    let media = BTreeMap::from([
        (FACEBOOK, Vec::new()),
        (INSTAGRAM, vec![system.upload("picture.jpg", picture()).await]),
        (TIKTOK, vec![system.upload("film.mp4", film()).await]),
    ]);
    let mut wishes = Vec::new();
    for n in 0..settings.jobs {
        let platform = PLATFORMS[n % PLATFORMS.len()];
        let mut wish = system.wish(&format!("burst {n}"), &[platform], &media[platform]);
        wish["targets"][0]["account_id"] = json!(connect(&system, platform, n).await);
        wishes.push(wish);
    }
    system.fault(json!({ "call": "any", "fault": { "delay_ms": CALL_MS } })).await;
    let due = system.database.now().await + AHEAD;
    for chunk in wishes.chunks_mut(8) {
        for wish in &mut *chunk {
            wish["schedule"] = json!({ "at": due.format("%Y-%m-%dT%H:%M:%S+00:00").to_string() });
        }
        futures_util::future::join_all(chunk.iter().map(|wish| accepted(&system, wish))).await;
    }
    eventually_within(PATIENCE, "all posts to be prepared", || async {
        let open = system.database.count("SELECT count(*) FROM publication WHERE state <> 'prepared'").await;
        assert!(
            system.database.now().await < due,
            "{open} posts are not prepared in time; the bench needs more"
        );
        if open == 0 { Ok(()) } else { Err(format!("{open} are not")) }
    })
    .await;
    eventually_within(PATIENCE, "all posts to be published", || async {
        let open = system.database.count("SELECT count(*) FROM publication WHERE state <> 'published'").await;
        if open == 0 { Ok(()) } else { Err(format!("{open} are not")) }
    })
    .await;
    logged_first(&system).await;
    print_burst(settings, &system).await;
}

/// By the ledger, when each call was sent; by the networks, that each account had one, and when the last was answered.
async fn print_burst(settings: &Settings, system: &System) {
    let waits: Vec<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM c.started_at - p.scheduled_for)::float8 * 1000 \
         FROM publication p JOIN remote_call c ON c.publication_id = p.id AND c.kind = 'commit'",
    )
    .fetch_all(&system.database.pool)
    .await
    .unwrap();
    assert_eq!(waits.len(), settings.jobs);
    let last = waits.iter().copied().fold(0.0, f64::max);
    settings.print_spans("burst_sent", waits);
    settings.print("burst_sent_last", last, "ms");
    let due: DateTime<Utc> = sqlx::query_scalar("SELECT max(scheduled_for) FROM publication")
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    let calls = system.control("calls?phase=commit").await;
    let commits = calls["data"].as_array().unwrap();
    let mut accounts: Vec<&str> = commits.iter().map(|call| call["account"].as_str().unwrap()).collect();
    accounts.sort_unstable();
    accounts.dedup();
    assert_eq!((commits.len(), accounts.len()), (settings.jobs, settings.jobs), "one call for each account");
    let answered = commits.iter().map(|call| call["at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap());
    let last = (answered.max().unwrap() - due).to_std().expect("none is sent before its time");
    settings.print("burst_answered_last", millis(last), "ms");
}

/// Connects one more account of a network; its id with us.
async fn connect(system: &System, platform: &str, n: usize) -> String {
    let id = match platform {
        TIKTOK => format!("burst-open-id-{n}"),
        _ => format!("2050000000{n:05}"),
    };
    let (access, refresh) = (format!("burst-token-{n}"), format!("burst-refresh-{n}"));
    let account = json!({
        "platform": platform, "external_id": id, "name": id, "access_token": access, "refresh_token": refresh
    });
    system.tell("accounts", &account).await;
    let add = [
        "account",
        "add",
        "--workspace",
        "Bakery",
        "--platform",
        platform,
        "--external-id",
        &id,
        "--name",
        &id,
    ];
    let token = match platform {
        TIKTOK => json!({ "access_token": access, "refresh_token": refresh }),
        _ => json!({ "access_token": access }),
    };
    system.postroom(&add, &token.to_string()).await
}
