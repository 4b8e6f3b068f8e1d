//! The queues in a real Redis: what they hold, for whom, and that they waste no worker's time.

use jobs::hint::Hint;
use postroom::queue::Queue;
use tempfile::TempDir;
use uuid::Uuid;

use crate::harness::{Process, eventually, free_port, start_redis};

const NOISY: Uuid = Uuid::from_u128(1);
const QUIET: Uuid = Uuid::from_u128(2);

/// A Redis with one queue that holds about `window` hints.
async fn queue(window: u32) -> (Queue, Process, TempDir) {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let redis = start_redis(port, dir.path(), false);
    let queue = Queue::open(&format!("redis://127.0.0.1:{port}").into(), window).unwrap();
    eventually("Redis", || async { queue.ping().await.map_err(|e| e.to_string()) }).await;
    (queue, redis, dir)
}

fn hints(workspace_id: Uuid, jobs: u128) -> Vec<Hint> {
    let hint = |n| Hint {
        kind: "probe".into(),
        workspace_id,
        job_id: Uuid::from_u128(workspace_id.as_u128() << 64 | n),
        run_at: chrono::DateTime::UNIX_EPOCH,
    };
    (0..jobs).map(hint).collect()
}

fn of(workspace: Uuid, ids: &[Uuid]) -> usize {
    ids.iter().filter(|id| id.as_u128() >> 64 == workspace.as_u128()).count()
}

#[tokio::test]
async fn a_backlog_that_fills_the_window_does_not_keep_others_out() {
    let (queue, _redis, _dir) = queue(100).await;
    assert_eq!(queue.push(&hints(NOISY, 500)).await.unwrap(), 400, "the rest waits in the ledger");
    assert_eq!(queue.push(&hints(QUIET, 3)).await.unwrap(), 0);
    let popped = queue.pop("probe", 8, 64, &[]).await.unwrap();
    assert_eq!((of(NOISY, &popped.ids), of(QUIET, &popped.ids)), (5, 3));
    assert_eq!(popped.left, 95);
}

#[tokio::test]
async fn who_holds_its_share_is_passed_over_and_keeps_its_hints() {
    let (queue, _redis, _dir) = queue(100).await;
    assert_eq!(queue.push(&hints(NOISY, 20)).await.unwrap(), 0);
    let nobody = queue.pop("probe", 8, 64, &[(NOISY, 0)]).await.unwrap();
    assert_eq!((nobody.ids.len(), nobody.left), (0, 20), "passed over, and not forgotten");
    assert_eq!(queue.push(&hints(QUIET, 2)).await.unwrap(), 0);
    let popped = queue.pop("probe", 8, 64, &[(NOISY, 3)]).await.unwrap();
    assert_eq!((of(NOISY, &popped.ids), of(QUIET, &popped.ids)), (3, 2));
    let capped = queue.pop("probe", 64, 10, &[]).await.unwrap();
    assert_eq!(of(NOISY, &capped.ids), 10, "nobody gets more than the cap");
}

#[tokio::test]
async fn what_is_pushed_twice_is_popped_once_and_an_empty_queue_counts_nothing() {
    let (queue, _redis, _dir) = queue(100).await;
    for _ in 0..3 {
        assert_eq!(queue.push(&hints(NOISY, 2)).await.unwrap(), 0);
    }
    let all = queue.pop("probe", 8, 64, &[]).await.unwrap();
    assert_eq!((all.ids.len(), all.left), (2, 0));
    let none = queue.pop("probe", 8, 64, &[]).await.unwrap();
    assert_eq!((none.ids.len(), none.left), (0, 0));
    assert_eq!(none.generation, all.generation);
}

#[tokio::test]
async fn a_push_wakes_who_waits_and_silence_does_not() {
    let (queue, _redis, _dir) = queue(100).await;
    assert!(!queue.waker("probe").wait().await.unwrap());
    let mut waker = queue.waker("probe");
    let waiting = tokio::spawn(async move { waker.wait().await });
    assert_eq!(queue.push(&hints(NOISY, 1)).await.unwrap(), 0);
    assert!(waiting.await.unwrap().unwrap());
    // who was woken died: the hint is there still, and the next push of the same wakes again
    assert_eq!(queue.push(&hints(NOISY, 1)).await.unwrap(), 0);
    assert!(queue.waker("probe").wait().await.unwrap());
}
