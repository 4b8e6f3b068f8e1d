//! Requests for deletion while something is in their way: a worker that is about to send, and a store that is away.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::{
    deletions::{a_page, another_person, deleted, done, erased, in_store, stored, verified, watch_arming},
    harness::{FACEBOOK, System, eventually},
};

/// Waits until a statement with these words waits for a lock.
async fn waits(system: &System, words: &str) {
    let query = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%{words}%' AND pid <> pg_backend_pid()"
    );
    eventually(words, || async {
        let waiting: i64 =
            sqlx::query_scalar(AssertSqlSafe(query.clone())).fetch_one(&system.database.pool).await.unwrap();
        if waiting > 0 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_and_a_live_worker_that_arms_at_the_same_moment_go_one_after_the_other() {
    let system = System::with_workers(1).await;
    watch_arming(&system).await;
    for n in 0..2 {
        let (person, account) = a_page(&system, n).await;
        let words = format!("at the same moment {n}");
        let at = system.database.now().await + chrono::TimeDelta::seconds(8);
        let wish = json!({ "caption": words, "kind": "post", "targets": [{ "account_id": account }],
                           "schedule": { "at": at.format("%Y-%m-%dT%H:%M:%SZ").to_string() } });
        let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
        assert_eq!(status, 202, "{post}");
        eventually("its draft", || async {
            let of = "SELECT count(*) FROM publication WHERE account_id::text = $1 AND state = 'prepared'";
            match system.database.count_of(of, &account).await {
                1 => Ok(()),
                _ => Err(system.workers[0].log()),
            }
        })
        .await;
        // whoever arms and whoever freezes both wait for this row
        let mut held = system.database.pool.begin().await.unwrap();
        let lock = format!("SELECT FROM account WHERE id = '{account}' FOR NO KEY UPDATE");
        sqlx::query(AssertSqlSafe(lock)).execute(&mut *held).await.unwrap();
        waits(&system, "the lock rules out").await;
        let whom = ["--meta-user-id", person.as_str()];
        let freezing = deleted(&system, &whom);
        let letting_go = async {
            waits(&system, "one order for all").await;
            held.commit().await.unwrap();
        };
        let ((id, _), ()) = tokio::join!(freezing, letting_go);
        let armed = system.database.count("SELECT count(*) FROM armed_at").await;
        let receipt = verified(&system, &done(&system, &id).await).await;
        assert_eq!(
            system.database.count("SELECT count(*) FROM armed_at").await,
            armed,
            "none after the freeze"
        );
        let told = &receipt["publications"];
        let many = |name: &str| told[name].as_i64().unwrap();
        let public = system.effects(FACEBOOK, &words).await.len();
        assert!(public <= 1 && many("given_up") + many("under_way_when_asked") <= 1, "{receipt}");
        assert!(many("given_up") == 0 || public == 0, "what was given up goes out no more: {receipt}");
    }
}

async fn let_store(system: &System, away: bool) {
    system.tell("store", &json!({ "away": away })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_in_the_middle_is_emptied_when_it_is_back() {
    // P-D7 P-D10
    let mut system = System::start().await;
    let person = another_person(&system, 1).await;
    let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
    let_store(&system, true).await;
    system.start_worker(&[]);
    eventually("files to be tried in vain", || async {
        let tried = "SELECT count(*) FROM deletion_object WHERE attempts > 0 AND NOT erased";
        if system.database.count(tried).await > 0 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    let kept = "SELECT count(*) FROM vault.token t JOIN deletion_account d ON d.account_id = t.account_id";
    assert_eq!(system.database.count(kept).await, 0, "no token waits for the store");
    let over = "SELECT count(*) FROM deletion_request WHERE stage IN ('telling', 'forgetting', 'done')";
    assert_eq!(system.database.count(over).await, 0, "and nothing is called deleted that is not");
    assert!(!stored(&system).is_empty());
    let stone = || {
        let stones = in_store(&system, "deletions");
        serde_json::from_slice::<Value>(&std::fs::read(&stones[0]).unwrap()).unwrap()
    };
    assert_eq!(stone()["shredded"], json!(false), "as it was when it was accepted");
    let_store(&system, false).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(receipt["verified"]["left"], json!(0));
    assert_eq!(stored(&system), Vec::<std::path::PathBuf>::new());
    assert_eq!(stone()["shredded"], json!(true), "a restore destroys its tokens at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_accepted_while_the_store_is_away_and_its_tokens_go_in_time() {
    // P-D7
    let mut system = System::start().await;
    let person = another_person(&system, 1).await;
    let_store(&system, true).await;
    let (id, _) = deleted(&system, &["--meta-user-id", &person, "--email", "dana@example.com"]).await;
    assert_eq!(system.database.count("SELECT count(*) FROM account WHERE state = 'frozen'").await, 1);
    system.start_worker(&[]);
    eventually("its tokens to go", || async {
        let kept =
            "SELECT count(*) FROM vault.token t JOIN deletion_account d ON d.account_id = t.account_id";
        if system.database.count(kept).await == 0 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    // nothing else is destroyed before it is known outside what a restore has to delete again
    let begun = "SELECT count(*) FROM deletion_step";
    assert_eq!(system.database.count(begun).await, 0);
    assert_eq!(in_store(&system, "deletions").len(), 0);
    let_store(&system, false).await;
    verified(&system, &done(&system, &id).await).await;
    assert_eq!(in_store(&system, "deletions").len(), 1);
    assert_eq!(in_store(&system, "deletion-recipients").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_back_after_it_was_erased_is_erased_once_more() {
    // P-D10
    let mut system = System::start().await;
    let person = another_person(&system, 1).await;
    let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
    let armed = [("POSTROOM_FAILPOINTS", "after_verified=kill9")];
    let mut worker = system.process("killed", &["worker", "--queues", "deletion"], &armed);
    assert_eq!(worker.ended().await, None, "{}", worker.log());
    let key = "SELECT object_key FROM deletion_object WHERE erased ORDER BY object_key LIMIT 1";
    let key: String = sqlx::query_scalar(key).fetch_one(&system.database.pool).await.unwrap();
    // somebody who had begun to send it comes late
    let place = system.logs().join("sandbox/s3").join(system.addresses["bucket"].as_str().unwrap()).join(key);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(&place, b"late").unwrap();
    system.start_worker(&[]);
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(receipt["verified"]["rounds"], json!(2), "{receipt}");
    assert_eq!(stored(&system), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_for_one_person_at_once_both_end_and_each_thing_goes_once() {
    // P-D8
    let mut system = System::start().await;
    let person = another_person(&system, 1).await;
    let whom = ["--meta-user-id", person.as_str(), "--email", "dana@example.com"];
    let ((one, _), (two, _)) = tokio::join!(deleted(&system, &whom), deleted(&system, &whom));
    assert_ne!(one, two);
    assert_eq!(system.database.count("SELECT count(*) FROM account WHERE state = 'frozen'").await, 1);
    system.start_worker(&[]);
    let mut gone = [0; 3];
    for id in [&one, &two] {
        let receipt = verified(&system, &done(&system, id).await).await;
        assert_eq!(
            (&receipt["covered"]["accounts"], &receipt["verified"]["left"]),
            (&json!(1), &json!(0)),
            "{receipt}"
        );
        for (sum, store) in gone.iter_mut().zip(["account", "publication", "post"]) {
            *sum += erased(&receipt, store);
        }
    }
    assert_eq!(gone, [1, 1, 1]);
    assert_eq!(stored(&system), Vec::<std::path::PathBuf>::new());
}
