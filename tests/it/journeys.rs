//! The main way, end to end.

use reqwest::Method;
use serde_json::json;

use crate::harness::{FACEBOOK, INSTAGRAM, PLATFORMS, System, TIKTOK, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_post_goes_live_once_on_each_network() {
    // P-S3
    let system = System::with_workers(1).await;
    let posts = [
        system.post("words alone", &[FACEBOOK]).await,
        system.post("a picture for two", &[FACEBOOK, INSTAGRAM]).await,
        system.post("a film", &[TIKTOK]).await,
    ];
    system.all_live_once(&posts).await;
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_post_goes_out_at_its_time_and_not_before() {
    let system = System::with_workers(1).await;
    let now: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT ledger_now()").fetch_one(&system.database.pool).await.unwrap();
    let at = (now + chrono::TimeDelta::seconds(4)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut wish = system.wish("a little ahead", &[FACEBOOK], &[]);
    wish["schedule"] = json!({ "at": at });
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    let id = post["id"].as_str().unwrap();
    let published = system.until(id, "published").await;
    let publication = &published["publications"][0];
    let time =
        |name: &str| publication[name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let late = time("published_at") - time("scheduled_for");
    assert!(late >= chrono::TimeDelta::zero() && late < chrono::TimeDelta::seconds(2), "{late}");
    assert_eq!(system.effects(FACEBOOK, "a little ahead").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_share_the_posts_and_double_none() {
    for workers in [2, 4] {
        let system = System::with_workers(workers).await;
        let mut posts = Vec::new();
        for n in 0..12 {
            posts.push(system.post(&format!("{workers} workers, post {n}"), &[PLATFORMS[n % 3]]).await);
        }
        system.all_live_once(&posts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_takes_up_what_waited_for_it_at_once() {
    let mut system = System::start().await;
    let post = system.post("waiting for a worker", &[FACEBOOK]).await;
    // nobody tells of it, and sweeps are rare: it is found at the start, or not before the minute is over
    system.flush_redis().await;
    system.environment.insert("POSTROOM__RELAY__SWEEP_EVERY".into(), "1m".into());
    system.start_worker(&[]);
    system.all_live_once(&[post]).await;
    let waited: f64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM min(c.started_at) - (SELECT min(started_at) FROM worker))::float8 FROM remote_call c",
    )
    .fetch_one(&system.database.pool)
    .await
    .unwrap();
    assert!(waited < 20.0, "{waited} s from the worker's start to its first call");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_finishes_what_it_holds_and_ends_well() {
    let mut system = System::with_workers(1).await;
    let mut posts = Vec::new();
    for n in 0..6 {
        posts.push(system.post(&format!("during a deploy {n}"), &[FACEBOOK]).await);
    }
    eventually("a call under way", || async {
        let open = system.database.count("SELECT count(*) FROM remote_call WHERE finished_at IS NULL").await;
        let done = system.database.count("SELECT count(*) FROM job_history").await;
        if open + done > 0 { Ok(()) } else { Err("none yet".into()) }
    })
    .await;
    system.workers[0].signal("TERM").await;
    assert_eq!(system.workers[0].ended().await, Some(0), "{}", system.workers[0].log());
    assert_eq!(system.database.count("SELECT count(*) FROM claim").await, 0);
    assert_eq!(system.database.count("SELECT count(*) FROM worker").await, 0);
    system.start_worker(&[]);
    system.all_live_once(&posts).await;
}
