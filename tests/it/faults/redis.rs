//! Rows 16 to 25: what becomes of Redis.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jobs::hint::Hint;
use postroom::queue::Queue;
use reqwest::Method;
use uuid::Uuid;

use super::until;
use crate::{
    chaos::{proxy::Relay, servers::Redis},
    harness::{Database, FACEBOOK, Ground, System, eventually},
};

/// A system on a Redis that the test breaks, behind a link that it breaks too.
struct Yard {
    system: System,
    redis: Redis,
    relay: Relay,
}

impl Yard {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let redis = Redis::start(&dir.path().join("redis")).await;
        let relay = Relay::to(redis.port()).await;
        let database = Database::create().await;
        let settings = BTreeMap::from([("DATABASE_URL".to_owned(), database.url.clone())]);
        let redis_url = format!("redis://127.0.0.1:{}", relay.port);
        let system = System::on(Ground { dir, database, redis: None, redis_url, settings }).await;
        Self { system, redis, relay }
    }

    async fn posts(&self, words: &str) -> Vec<String> {
        let mut posts = Vec::new();
        for n in 0..3 {
            posts.push(self.system.post(&format!("{words} {n}"), &[FACEBOOK]).await);
        }
        posts
    }
}

/// Has the system's own Redis do something.
async fn ask<T: redis::FromRedisValue>(address: &str, command: &[&str]) -> T {
    let client = redis::Client::open(address).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await.unwrap()
}

/// Waits until Redis has, or has not, the ring of the queue of posts.
async fn until_ring(address: &str, there: bool) {
    eventually("the ring", || async {
        let here: bool = ask(address, &["EXISTS", "{publish}:ring"]).await;
        if here == there { Ok(()) } else { Err(format!("there: {here}")) }
    })
    .await;
}

async fn figure(system: &System, name: &str) -> f64 {
    let text =
        crate::harness::client().get(system.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_with_half_its_log_or_nothing_loses_and_doubles_nothing() {
    let mut yard = Yard::open().await;
    yard.system.start_worker(&[]);
    let mut posts = Vec::new();
    for whole in [true, false] {
        posts.extend(yard.posts(&format!("before the loss, {whole}")).await);
        yard.redis.down().await;
        posts.extend(yard.posts(&format!("amid the loss, {whole}")).await);
        if whole {
            yard.redis.up_empty().await;
        } else {
            yard.redis.up_with_half().await;
        }
        posts.extend(yard.posts(&format!("after the loss, {whole}")).await);
    }
    yard.system.all_live_once(&posts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_that_redis_throws_out_for_want_of_memory_are_found_in_the_ledger() {
    let mut system = System::start().await;
    let address = system.environment["REDIS_URL"].clone();
    let () = ask(&address, &["CONFIG", "SET", "maxmemory", "64mb"]).await;
    let () = ask(&address, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let posts = [system.post("its hint is thrown out", &[FACEBOOK]).await];
    until_ring(&address, true).await;
    let client = redis::Client::open(address.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let filler = "x".repeat(256 << 10);
    for n in 0..2_000 {
        let () = redis::cmd("SET")
            .arg(format!("filler {n}"))
            .arg(&filler)
            .query_async(&mut connection)
            .await
            .unwrap();
        let hinted: bool = ask(&address, &["EXISTS", "{publish}:ring"]).await;
        if !hinted {
            break;
        }
    }
    until_ring(&address, false).await;
    system.start_worker(&[]);
    system.all_live_once(&posts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_takes_nothing_and_posts_are_accepted_and_go_out() {
    let mut system = System::start().await;
    let () = ask(&system.environment["REDIS_URL"], &["CONFIG", "SET", "maxmemory", "1"]).await;
    let posts = [system.post("no room for its hint", &[FACEBOOK]).await];
    eventually("the failed push to be counted", || async {
        let failed = figure(&system, "postroom_push_failures_total").await;
        if failed >= 1.0 { Ok(()) } else { Err(failed.to_string()) }
    })
    .await;
    system.start_worker(&[]);
    system.all_live_once(&posts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_whose_name_leads_nowhere_delays_no_post_for_long() {
    let mut system = System::start().await;
    system.environment.insert("REDIS_URL".into(), "redis://nowhere.invalid:6379".into());
    system.web.take().unwrap().kill9().await;
    system.start_web().await;
    system.start_worker(&[]);
    let post = system.post("claimed from the ledger", &[FACEBOOK]).await;
    system.all_live_once(&[post]).await;
    until(&system.database, "SELECT count(*) FROM job_history", 1).await;
    let waited: f64 =
        sqlx::query_scalar("SELECT extract(epoch FROM started_at - created_at)::float8 FROM job_history")
            .fetch_one(&system.database.pool)
            .await
            .unwrap();
    assert!(waited < 10.0, "{waited} s until it was claimed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_redis_does_not_slow_the_intake() {
    let yard = Yard::open().await;
    let median = async |words: &str| {
        let mut took = Vec::new();
        for n in 0..15 {
            let wish = yard.system.wish(&format!("{words} {n}"), &[FACEBOOK], &[]);
            let begun = Instant::now();
            let (status, post) = yard.system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
            assert_eq!(status, 202, "{post}");
            took.push(begun.elapsed());
        }
        took.sort_unstable();
        took[took.len() / 2]
    };
    let before = median("a quick Redis").await;
    yard.relay.delay(Duration::from_secs(5));
    let slow = median("a slow Redis").await;
    assert!(slow < before + Duration::from_millis(200), "{slow:?} instead of {before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_replica_that_takes_over_loses_and_doubles_nothing() {
    let mut yard = Yard::open().await;
    yard.system.start_worker(&[]);
    let mut posts = yard.posts("before the failover").await;
    let place = tempfile::tempdir().unwrap();
    let replica = Redis::start(place.path()).await;
    yard.redis.down().await;
    yard.relay.lead_to(replica.port());
    posts.extend(yard.posts("after the failover").await);
    yard.system.all_live_once(&posts).await;
    eventually("hints in the replica", || async {
        let hinted: bool = ask(&replica.url(), &["EXISTS", "{publish}:gen"]).await;
        if hinted { Ok(()) } else { Err("none".into()) }
    })
    .await;
}

fn hint(n: u128) -> Hint {
    let run_at = chrono::DateTime::UNIX_EPOCH;
    Hint { kind: "publish".into(), workspace_id: Uuid::from_u128(1), job_id: Uuid::from_u128(n), run_at }
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_of_finished_jobs_that_an_old_snapshot_brings_back_run_nothing() {
    let mut yard = Yard::open().await;
    yard.system.start_worker(&[]);
    let mut posts = yard.posts("long done").await;
    yard.system.all_live_once(&posts).await;
    until(&yard.system.database, "SELECT count(*) FROM job_history WHERE outcome = 'done'", 3).await;
    let done: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM job_history").fetch_all(&yard.system.database.pool).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let old = Redis::start(place.path()).await;
    let hints: Vec<Hint> = done.into_iter().map(|job_id| Hint { job_id, ..hint(0) }).collect();
    assert_eq!(old.queue().push(&hints).await.unwrap(), 0);
    let snapshot = old.snapshot().await;
    yard.redis.up_with(&snapshot).await;
    until_ring(&yard.redis.url(), false).await; // the worker has taken them all
    posts.extend(yard.posts("after the old snapshot").await);
    yard.system.all_live_once(&posts).await;
    until(&yard.system.database, "SELECT count(*) FROM job_history", 6).await;
    until(&yard.system.database, "SELECT count(*) FROM claim", 0).await;
}

#[tokio::test]
async fn scripts_that_redis_has_forgotten_are_told_it_again() {
    let place = tempfile::tempdir().unwrap();
    let redis = Redis::start(place.path()).await;
    let queue = redis.queue();
    assert_eq!(queue.push(&[hint(1)]).await.unwrap(), 0);
    let () = ask(&redis.url(), &["SCRIPT", "FLUSH"]).await;
    assert_eq!(queue.pop("publish", 1, 1, &[]).await.unwrap().ids, [Uuid::from_u128(1)]);
    let () = ask(&redis.url(), &["SCRIPT", "FLUSH"]).await;
    assert_eq!(queue.push(&[hint(2)]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_redis_that_has_become_a_replica_is_left_for_the_one_in_its_place() {
    let (place, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old, new) = (Redis::start(place.path()).await, Redis::start(other.path()).await);
    let relay = Relay::to(old.port()).await;
    let queue = Queue::open(&format!("redis://127.0.0.1:{}", relay.port).into(), 10).unwrap();
    assert_eq!(queue.push(&[hint(1)]).await.unwrap(), 0);
    // the connection there is stays good, and leads to the one that takes nothing any more
    relay.lead_to(new.port());
    let () = ask(&old.url(), &["REPLICAOF", "127.0.0.1", &new.port().to_string()]).await;
    assert!(queue.push(&[hint(2)]).await.is_err(), "it is read-only");
    eventually("the other one", || async { queue.push(&[hint(2)]).await.map_err(|e| e.to_string()) }).await;
    let hinted: bool = ask(&new.url(), &["EXISTS", "{publish}:ring"]).await;
    assert!(hinted);
}
