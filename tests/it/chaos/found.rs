//! What chaos has found: connections that are half open, where nothing comes through and nobody says so; and a
//! part of a worker that fails by itself.

use std::time::Duration;

use jobs::hint::Hint;
use postroom::queue::Queue;
use uuid::Uuid;

use super::{
    blows::{Hole, Line, Weather, Whose},
    door::Door,
    proxy::Relay,
    schedule::PostPlan,
    servers::Redis,
    stage::Stage,
    surfaces::Surface,
};
use crate::harness::{FACEBOOK, System, eventually};

#[tokio::test]
async fn a_queue_whose_connection_went_mute_gets_another() {
    let place = tempfile::tempdir().unwrap();
    let redis = Redis::start(place.path()).await;
    let relay = Relay::to(redis.port()).await;
    let queue = Queue::open(&format!("redis://127.0.0.1:{}", relay.port).into(), 10).unwrap();
    queue.ping().await.unwrap();
    relay.mute();
    assert!(queue.ping().await.is_err(), "the answer never comes");
    let (workspace_id, job_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let hint = Hint { kind: "publish".into(), workspace_id, job_id, run_at: chrono::DateTime::UNIX_EPOCH };
    // it is left alone for a moment first
    eventually("another connection", || async { queue.ping().await.map_err(|e| e.to_string()) }).await;
    assert_eq!(queue.push(&[hint]).await.unwrap(), 0);
    assert_eq!(queue.pop("publish", 1, 1, &[]).await.unwrap().ids, [job_id]);
}

/// Words on a Page, at once.
fn post(caption: &str) -> PostPlan {
    let (surface, at) = (Surface::FacebookText, Duration::ZERO);
    let targets = vec![(surface, 0)];
    PostPlan {
        caption: caption.into(),
        shape: surface.shape(),
        targets,
        at,
        latest: None,
        wish: None,
        lies: vec![],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn intake_and_worker_whose_ledger_connections_went_mute_get_others() {
    let mut stage = Stage::set().await;
    let door = stage.door(&[]).await;
    stage.staff(1).await;
    published(&stage, &door, "before anything went mute").await;
    // a question is on its way while the connections go mute: its answer never comes
    let mut locked = stage.system.database.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE job IN ACCESS EXCLUSIVE MODE").execute(&mut *locked).await.unwrap();
    eventually("a question", || async {
        let asked = stage.system.database.count(WAITING).await;
        if asked > 0 { Ok(()) } else { Err("nobody asks".into()) }
    })
    .await;
    let (line, whose, weather, lasts) = (Line::Postgres, Whose::All, Weather::Mute, Duration::ZERO);
    stage.hole(&Hole { line, whose, weather, lasts }, true);
    locked.rollback().await.unwrap();
    published(&stage, &door, "after everything went mute").await;
}

/// Questions that wait for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'postroom' AND wait_event_type = 'Lock'";

async fn published(stage: &Stage, door: &Door, caption: &str) {
    let posts = door.post_all(&[post(caption)]).await;
    stage.system.until(&posts[0].id.expect("it is accepted").to_string(), "published").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_fetching_panics_goes_on_fetching() {
    let mut system = System::start().await;
    system.start_worker(&[("after_claim", "panic")]);
    let post = system.post("claimed by one who panics", &[FACEBOOK]).await;
    eventually("a second panic", || async {
        let log = system.workers[0].log();
        if log.matches("failpoint after_claim").count() > 1 { Ok(()) } else { Err(log) }
    })
    .await;
    system.start_worker(&[]);
    system.all_live_once(&[post]).await;
}
