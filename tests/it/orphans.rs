//! Drafts that nobody holds are deleted at the network; what is somebody's, or ends by itself, is left alone.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{FACEBOOK, System, eventually};

/// A system whose workers sweep all the time and prepare what is due within a year.
async fn system() -> System {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__RETENTION__SWEEP_EVERY".into(), "50ms".into());
    system.environment.insert("POSTROOM__PUBLISHING__PREPARE_AHEAD".into(), "365d".into());
    system.start_worker(&[]);
    system
}

/// A post for a far day, and its draft.
async fn drafted(system: &System, caption: &str) -> (String, String) {
    let mut wish = system.wish(caption, &[FACEBOOK], &[]);
    wish["schedule"] = json!({ "at": "2027-06-01T12:00:00Z" });
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    let id = post["id"].as_str().unwrap().to_owned();
    // the door thinks of preparing it five minutes before its time
    run(system, "UPDATE job SET run_at = ledger_now()").await;
    let draft = draft_of(system, &id, "").await;
    (id, draft)
}

/// The draft of a post, once it has another than that one.
async fn draft_of(system: &System, post: &str, other: &str) -> String {
    eventually("a draft", || async {
        let query = "SELECT handle_id FROM publication WHERE post_id = $1::text::uuid AND state = 'prepared'";
        let found: Option<Option<String>> =
            sqlx::query_scalar(query).bind(post).fetch_optional(&system.database.pool).await.unwrap();
        found.flatten().filter(|id| id != other).ok_or_else(|| "none".to_owned())
    })
    .await
}

async fn run(system: &System, sql: &str) {
    sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&system.database.pool).await.unwrap();
}

/// All that is filed becomes so much older.
async fn age(system: &System, span: &str) {
    let older = format!(
        "UPDATE orphan_handle SET created_at = created_at - interval '{span}', sweep_at = ledger_now()"
    );
    run(system, &older).await;
}

/// The next turn of each is now: one that came to nothing, such as while the ledger was slow, has another.
async fn due(system: &System) {
    run(system, "UPDATE orphan_handle SET sweep_at = ledger_now()").await;
}

/// The deleting calls that the network has seen, by their ids.
async fn deleted(system: &System) -> Vec<Value> {
    let calls = system.control("calls").await;
    let all = calls["data"].as_array().unwrap();
    all.iter().filter(|call| call["call"] == "delete_post").cloned().collect()
}

async fn no_orphans(system: &System) {
    eventually("all orphans to be swept", || async {
        due(system).await;
        let left = system.database.count("SELECT count(*) FROM orphan_handle").await;
        if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_that_was_replaced_is_deleted_after_an_hour_and_the_one_in_use_is_published() {
    let system = system().await;
    let (post, old) = drafted(&system, "as it was first").await;
    let edit = json!({ "caption": "as it is now" });
    let (status, edited) = system.api(Method::PATCH, &format!("/api/v1/posts/{post}"), Some(&edit)).await;
    assert_eq!(status, 202, "{edited}");
    // the new version is made ready when its job is run again
    run(&system, "UPDATE job SET run_at = ledger_now()").await;
    let new = draft_of(&system, &post, &old).await;
    assert_eq!(system.database.count("SELECT count(*) FROM orphan_handle").await, 1);
    age(&system, "50 minutes").await;
    // beside it what a zombie filed of a draft that another has adopted, and what ends by itself
    let filed = "INSERT INTO orphan_handle (account_id, handle_kind, handle_id, created_at, sweep_at)
         SELECT account_id, handle_kind, handle_id, ledger_now() - interval '2 hours', ledger_now() FROM publication
         UNION ALL SELECT account_id, 'container', '178', ledger_now() - interval '2 hours', ledger_now() FROM publication";
    run(&system, filed).await;
    eventually("what is somebody's, or ends by itself, to be closed", || async {
        due(&system).await;
        let left: Vec<(String, String)> = sqlx::query_as("SELECT handle_kind, handle_id FROM orphan_handle")
            .fetch_all(&system.database.pool)
            .await
            .unwrap();
        if left.len() == 1 { Ok(()) } else { Err(format!("{left:?} left, {old} replaced by {new}")) }
    })
    .await;
    assert!(deleted(&system).await.is_empty(), "within its first hour nobody touches it");

    system.fault(json!({ "call": "delete_post", "times": 1, "fault": "no_effect_then_500" })).await;
    age(&system, "20 minutes").await;
    eventually("the first try", || async {
        let lost = "SELECT count(*) FROM remote_call WHERE kind = 'discard' AND verdict = 'ambiguous'";
        if system.database.count(lost).await == 1 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    assert_eq!(system.database.count("SELECT count(*) FROM orphan_handle").await, 1, "it has another turn");
    age(&system, "1 minute").await;
    no_orphans(&system).await;
    let logged: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT handle_id, verdict::text FROM remote_call WHERE kind = 'discard' ORDER BY seq",
    )
    .fetch_all(&system.database.pool)
    .await
    .unwrap();
    assert_eq!(logged, [(old.clone(), Some("ambiguous".into())), (old, Some("ok".into()))]);
    assert_eq!(deleted(&system).await.len(), 2);
    system.every_call_was_logged_first().await;

    run(&system, "UPDATE publication SET scheduled_for = ledger_now()").await;
    run(&system, "UPDATE job SET run_at = ledger_now()").await;
    system.all_live_once(std::slice::from_ref(&post)).await;
    assert_eq!(system.effects(FACEBOOK, "as it is now").await[0]["handle"], json!(new));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_or_is_public_is_never_deleted() {
    let system = system().await;
    let post = system.post("out already", &[FACEBOOK]).await;
    system.all_live_once(std::slice::from_ref(&post)).await;
    let filed = "INSERT INTO orphan_handle (account_id, handle_kind, handle_id, created_at, sweep_at)
                 SELECT account_id, handle_kind, handle_id, ledger_now() - interval '2 hours', ledger_now() FROM publication";
    run(&system, filed).await;
    no_orphans(&system).await;
    // the ledger has forgotten whose it was: the network is asked first
    let draft: String = sqlx::query_scalar("SELECT handle_id FROM publication")
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    run(&system, "UPDATE remote_call SET handle_id = NULL").await;
    run(&system, "UPDATE publication SET handle_id = 'x', public_id = NULL").await;
    let filed = format!(
        "INSERT INTO orphan_handle (account_id, handle_kind, handle_id, created_at, sweep_at)
         SELECT account_id, handle_kind, '{draft}', ledger_now() - interval '2 hours', ledger_now() FROM publication"
    );
    run(&system, &filed).await;
    no_orphans(&system).await;
    assert!(deleted(&system).await.is_empty());
    assert_eq!(system.database.count("SELECT count(*) FROM remote_call WHERE kind = 'discard'").await, 0);
    assert_eq!(system.effects(FACEBOOK, "out already").await.len(), 1);
}
