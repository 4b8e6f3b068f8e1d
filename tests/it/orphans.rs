//! Drafts that nobody holds are deleted at the network; what is somebody's, or ends by itself, is left alone.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{FACEBOOK, System, client, eventually, eventually_within},
    support::Door,
};

/// A system whose workers sweep all the time and prepare what is due within a year.
async fn system() -> System {
    let mut system = idle().await;
    system.start_worker(&[]);
    system
}

/// The same, before it has a worker.
async fn idle() -> System {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__RETENTION__SWEEP_EVERY".into(), "50ms".into());
    system.environment.insert("POSTROOM__PUBLISHING__PREPARE_AHEAD".into(), "365d".into());
    system
}

/// A post for a far day, and its draft.
async fn drafted(system: &System, caption: &str) -> (String, String) {
    let id = written(system, caption).await;
    let draft = draft_of(system, &id, "").await;
    (id, draft)
}

/// A post for a far day, which is prepared at once.
async fn written(system: &System, caption: &str) -> String {
    let mut wish = system.wish(caption, &[FACEBOOK], &[]);
    wish["schedule"] = json!({ "at": "2027-06-01T12:00:00Z" });
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    // the door thinks of preparing it five minutes before its time
    run(system, "UPDATE job SET run_at = ledger_now()").await;
    post["id"].as_str().unwrap().to_owned()
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

/// An address of the Page at the network.
fn page(system: &System, edge: &str) -> String {
    format!("{}/104000000000001/{edge}", system.addresses["graph"].as_str().unwrap())
}

/// The drafts that the Page keeps, in the order of their names.
async fn kept(system: &System) -> Vec<String> {
    let asked = client().get(page(system, "promotable_posts")).query(&[("is_published", "false")]);
    let answer: Value = asked.bearer_auth("sandbox-page-token").send().await.unwrap().json().await.unwrap();
    let list = answer["data"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let mut ids: Vec<_> = list.iter().map(|post| post["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

/// Somebody makes a draft with this app, past this house.
async fn made_by(system: &System, app: &str, words: &str) -> String {
    system.tell("settings", &json!({ "graph_app_id": app })).await;
    let form = [("published", "false"), ("message", words)];
    let asked = client().post(page(system, "feed")).form(&form).bearer_auth("sandbox-page-token");
    let made: Value = asked.send().await.unwrap().json().await.unwrap();
    made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_whose_name_was_lost_is_found_and_deleted_and_nobody_elses_is() {
    let mut system = idle().await;
    system.tell("settings", &json!({ "graph_app_id": "app" })).await;
    system.start_worker(&[("after_prepare_answer", "kill9")]);
    let post = written(&system, "fresh bread").await;
    system.workers[0].ended().await;
    let lost = kept(&system).await;
    assert_eq!(lost.len(), 1, "the network has it, and nobody here knows its name");
    let mut others =
        vec![made_by(&system, "suite", "fresh bread").await, made_by(&system, "app", "other words").await];
    system.start_worker(&[]);
    let current = draft_of(&system, &post, "").await;
    assert_ne!(current, lost[0]);
    eventually("the search to be noted", || async {
        let noted =
            system.database.count("SELECT count(*) FROM draft_search WHERE seek_at > ledger_now()").await;
        if noted == 1 { Ok(()) } else { Err(system.workers[1].log()) }
    })
    .await;
    // more than an hour later
    run(
        &system,
        "UPDATE remote_call SET started_at = started_at - interval '2 hours'
         WHERE kind = 'prepare' AND verdict = 'ambiguous'",
    )
    .await;
    run(&system, "UPDATE draft_search SET since = since - interval '3 hours'").await;
    eventually("the search", || async {
        // one that others were in the way of has another turn
        run(&system, "UPDATE draft_search SET seek_at = ledger_now(), tries = 0").await;
        let left = system.database.count("SELECT count(*) FROM draft_search").await;
        if left == 0 { Ok(()) } else { Err(system.workers[1].log()) }
    })
    .await;
    let filed: Vec<String> = sqlx::query_scalar("SELECT handle_id FROM orphan_handle")
        .fetch_all(&system.database.pool)
        .await
        .unwrap();
    assert_eq!(filed, lost);
    assert!(deleted(&system).await.is_empty(), "what was made within the hour is left alone");
    age(&system, "2 hours").await;
    no_orphans(&system).await;
    others.push(current);
    others.sort();
    assert_eq!(kept(&system).await, others, "only what is provably ours was taken back");
    run(&system, "UPDATE publication SET scheduled_for = ledger_now()").await;
    run(&system, "UPDATE job SET run_at = ledger_now()").await;
    system.all_live_once(std::slice::from_ref(&post)).await;
}

/// Files a draft that nobody holds, old enough to be swept.
async fn file(door: &Door, account: uuid::Uuid, draft: &str) {
    let filed = format!(
        "INSERT INTO orphan_handle (account_id, handle_kind, handle_id, created_at, sweep_at)
         VALUES ('{account}', 'draft', '{draft}', ledger_now() - interval '2 hours', ledger_now() - interval '1 hour')"
    );
    door.scratch.run(&filed).await;
}

#[tokio::test]
async fn an_account_that_rests_is_left_alone_and_in_nobodys_way() {
    let door = Door::open().await;
    let [resting, other] = [door.account("facebook_page").await, door.account("facebook_page").await];
    for draft in ["r1", "r2"] {
        file(&door, resting, draft).await;
    }
    file(&door, other, "o1").await;
    door.scratch
        .run(&format!(
            "UPDATE orphan_handle SET sweep_at = sweep_at - interval '1 minute' WHERE account_id = '{resting}'"
        ))
        .await;
    let rest = |until: &str| {
        format!("UPDATE account SET resting_until = ledger_now() + interval '{until}' WHERE id = '{resting}'")
    };
    door.scratch.run(&rest("1 hour")).await;
    // one of them is somebody's, which is looked at first
    door.scratch
        .run(&format!(
            "INSERT INTO remote_call (call_id, account_id, job_id, epoch, worker_inc, kind, handle_id, deadline_at, verdict)
             VALUES (gen_random_uuid(), '{resting}', gen_random_uuid(), 1, gen_random_uuid(), 'commit', 'r1', ledger_now(), 'ok')"
        ))
        .await;
    let due = async || {
        let due = door.scratch.ledger.orphans_due(2, Duration::from_hours(24)).await.expect("the ledger");
        due.into_iter().map(|it| it.handle.id).collect::<Vec<_>>()
    };
    assert_eq!(due().await, ["o1"]);
    let untouched =
        "SELECT count(*) FROM orphan_handle WHERE handle_id LIKE 'r%' AND sweep_at < ledger_now()";
    assert_eq!(door.scratch.number(untouched).await, 2, "their turn is not spent");
    door.scratch.run(&rest("-1 second")).await;
    assert_eq!(due().await, ["r2"], "its rest is over, and what is somebody's is filed no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_does_not_hold_up_what_is_to_be_taken_back() {
    let mut system = idle().await;
    // it takes connections and never answers
    let store = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", store.local_addr().unwrap());
    system.environment.insert("AWS_ENDPOINT_URL_S3".into(), address);
    let spare = "INSERT INTO spare_object (object_key, remove_at)
                 SELECT 'w/' || n, ledger_now() - interval '1 minute' FROM generate_series(1, 90) AS n";
    run(&system, spare).await;
    system.start_worker(&[]);
    let taken = "SELECT count(*) FROM spare_object WHERE taken";
    eventually("the store to be asked", || async {
        if system.database.count(taken).await == 90 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    let (post, old) = drafted(&system, "as it was first").await;
    let edit = json!({ "caption": "as it is now" });
    let (status, edited) = system.api(Method::PATCH, &format!("/api/v1/posts/{post}"), Some(&edit)).await;
    assert_eq!(status, 202, "{edited}");
    run(&system, "UPDATE job SET run_at = ledger_now()").await;
    draft_of(&system, &post, &old).await;
    age(&system, "2 hours").await;
    no_orphans(&system).await;
    assert_eq!(deleted(&system).await.len(), 1);
    assert_eq!(system.database.count("SELECT count(*) FROM spare_object").await, 90, "the store still hangs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_hangs_does_not_hold_up_the_removal_of_files() {
    let mut system = idle().await;
    system.fault(json!({ "call": "post", "fault": { "hang_ms": 60_000 } })).await;
    let filed = "INSERT INTO orphan_handle (account_id, handle_kind, handle_id, created_at, sweep_at)
                 SELECT id, 'draft', '104000000000001_9' || n, ledger_now() - interval '2 hours', ledger_now()
                 FROM account CROSS JOIN generate_series(1, 16) AS n WHERE platform = 'facebook_page'";
    run(&system, filed).await;
    system.start_worker(&[]);
    eventually("the network to be asked", || async {
        let taken = "SELECT count(*) FROM orphan_handle WHERE sweep_at > ledger_now()";
        if system.database.count(taken).await == 16 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    run(&system, "INSERT INTO spare_object (object_key, remove_at) VALUES ('w/1', ledger_now())").await;
    // sooner than one read of the network is given up
    eventually_within(Duration::from_secs(7), "the file to be removed", || async {
        let left = system.database.count("SELECT count(*) FROM spare_object").await;
        if left == 0 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    assert_eq!(
        system.database.count("SELECT count(*) FROM orphan_handle").await,
        16,
        "the network still hangs"
    );
}
