//! What a network keeps unseen of somebody who is deleted: taken back before the access is, and told where it could not be.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::{
    deletions::{a_page, deleted, done, verified},
    harness::{FACEBOOK, System, eventually, picture},
};

/// A system whose workers prepare what is due within a year, and wait for nothing for long.
async fn system() -> System {
    let mut system = idle().await;
    system.start_worker(&[]);
    system
}

/// The same, before it has a worker.
async fn idle() -> System {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__PUBLISHING__PREPARE_AHEAD".into(), "365d".into());
    system.environment.insert("POSTROOM__DELETION__DRAIN".into(), "3s".into());
    system
}

async fn run(system: &System, statement: &str) {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&system.database.pool).await.unwrap();
}

/// A post for a far day on a Page, which is prepared at once.
async fn written(system: &System, account: &str, media: &[String]) {
    let wish = json!({ "caption": "unseen", "kind": "post", "media_ids": media,
                       "targets": [{ "account_id": account }], "schedule": { "at": "2027-06-01T09:00:00Z" } });
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    // the door thinks of preparing it five minutes before its time
    run(system, "UPDATE job SET run_at = ledger_now() WHERE kind = 'publish'").await;
}

/// A person with a draft that shows a picture, on a Page of their own; gives the draft's id too.
async fn with_a_draft(system: &System) -> (String, String) {
    let (person, account) = a_page(system, 1).await;
    let media = system.upload("unseen.jpg", picture()).await;
    written(system, &account, &[media]).await;
    let draft = eventually("a draft", || async {
        let query = "SELECT handle_id FROM publication WHERE state = 'prepared' AND handle_kind = 'draft'";
        let found: Option<String> =
            sqlx::query_scalar(query).fetch_optional(&system.database.pool).await.unwrap();
        found.ok_or_else(|| system.workers[0].log())
    })
    .await;
    (person, draft)
}

/// The calls that were to change something, by what they were and what was answered, in order.
async fn calls(system: &System, names: &[&str]) -> Vec<(String, Value)> {
    let calls = system.control("calls").await;
    let all = calls["data"].as_array().unwrap().iter();
    let of_these =
        all.filter(|call| call["phase"] != "observe" && names.iter().any(|name| call["call"] == *name));
    of_these.map(|call| (call["call"].as_str().unwrap().to_owned(), call["status"].clone())).collect()
}

/// What a receipt says of drafts: what, whether it is taken back, and the words about what is not.
fn told(receipt: &Value) -> Vec<(String, bool, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = receipt["drafts"].as_array().unwrap().iter();
    all.map(|it| (word(&it["what"]), it["taken_back"] == true, word(&it["in_words"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn drafts_and_their_photos_are_taken_back_before_the_access_is() {
    // P-D8
    let system = system().await;
    let (person, draft) = with_a_draft(&system).await;
    let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(
        told(&receipt),
        [("a draft".to_owned(), true, String::new()), ("a file of a draft".to_owned(), true, String::new())]
    );
    assert_eq!(receipt["grants"][0]["answer"], json!("revoked"), "{receipt}");
    let seen = calls(&system, &["delete_post", "permissions"]).await;
    let names: Vec<_> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["delete_post", "delete_post"], "the post, and its photo: {seen:?}");
    assert_eq!(names.last(), Some(&"permissions"), "{seen:?}");
    assert!(seen[..2].iter().all(|(_, status)| *status == 200), "{seen:?}");
    system.every_call_was_logged_first().await;
    assert!(!receipt.to_string().contains(&draft), "no network's id is in it");
    assert_eq!(system.database.count("SELECT count(*) FROM deletion_draft").await, 0);
    assert!(system.effects(FACEBOOK, "unseen").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_that_may_not_be_removed_is_told_in_plain_words_and_holds_nothing_up() {
    let system = system().await;
    let (person, draft) = with_a_draft(&system).await;
    let page = draft.split_once('_').unwrap().0;
    let withheld = json!({
        "platform": FACEBOOK, "external_id": page, "name": page, "access_token": format!("page-{page}"),
        "subject_id": person, "withheld": ["pages_manage_posts"],
    });
    system.tell("accounts", &withheld).await;
    let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    let told = told(&receipt);
    assert_eq!((told.len(), told[0].1), (1, false), "{receipt}");
    assert!(
        told[0].2.contains("did not let us remove it") && told[0].2.contains("never public"),
        "{receipt}"
    );
    assert_eq!(receipt["grants"][0]["answer"], json!("revoked"), "{receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_removes_nothing_is_asked_again_for_a_while_and_the_access_is_given_up_all_the_same() {
    // P-D7
    let system = system().await;
    let (person, _) = with_a_draft(&system).await;
    system.fault(json!({ "call": "delete_post", "fault": "no_effect_then_500" })).await;
    let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    let told = told(&receipt);
    assert_eq!((told.len(), told[0].1), (1, false), "{receipt}");
    assert!(told[0].2.contains("could not be asked before"), "{receipt}");
    assert!(calls(&system, &["delete_post"]).await.len() >= 2, "it was asked again");
    assert_eq!(receipt["grants"][0]["answer"], json!("revoked"), "{receipt}");
    assert_eq!(receipt["clocks"]["tokens"]["kept"], json!(true), "{receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_whose_name_was_lost_is_looked_for_and_taken_back_before_the_access_is() {
    // P-D8
    let mut system = idle().await;
    system.tell("settings", &json!({ "graph_app_id": "app" })).await;
    let (person, account) = a_page(&system, 1).await;
    system.start_worker(&[("after_prepare_answer", "kill9")]);
    written(&system, &account, &[]).await;
    assert_eq!(system.workers[0].ended().await, None, "{}", system.workers[0].log());
    let named = "SELECT count(*) FROM publication WHERE handle_id IS NOT NULL";
    assert_eq!(system.database.count(named).await, 0, "nobody here knows its name");
    let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
    system.start_worker(&[]);
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(told(&receipt), [("a draft".to_owned(), true, String::new())], "{receipt}");
    let seen = calls(&system, &["delete_post", "permissions"]).await;
    let answers: Vec<_> = seen.iter().map(|(name, status)| (name.as_str(), status == &json!(200))).collect();
    assert_eq!(answers[..2], [("delete_post", true), ("permissions", true)], "in this order");
    system.every_call_was_logged_first().await;
    assert_eq!(system.database.count("SELECT count(*) FROM deletion_draft").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_of_an_account_that_another_request_has_deleted_meanwhile_holds_nothing_up() {
    let mut system = System::start().await;
    let (id, _) = deleted(&system, &["--email", "nobody@example.com"]).await;
    for statement in [
        "UPDATE deletion_request SET stage = 'revoking', drained_at = ledger_now()",
        "INSERT INTO deletion_account (request_id, account_id, workspace_id, platform)
         SELECT r.id, gen_random_uuid(), w.id, 'facebook_page' FROM deletion_request r CROSS JOIN workspace w LIMIT 1",
        "INSERT INTO deletion_draft (request_id, account_id, handle_kind, handle_id)
         SELECT request_id, account_id, 'draft', '1_2' FROM deletion_account",
    ] {
        run(&system, statement).await;
    }
    system.start_worker(&[]);
    let receipt = verified(&system, &done(&system, &id).await).await;
    let told = told(&receipt);
    assert_eq!((told.len(), told[0].1), (1, false), "{receipt}");
    assert!(told[0].2.contains("no access"), "{receipt}");
    assert_eq!(receipt["grants"][0]["answer"], json!("nothing"), "{receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_that_is_filed_after_all_was_written_down_is_taken_back_too() {
    let mut system = system().await;
    let (person, draft) = with_a_draft(&system).await;
    system.workers.clear();
    let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
    // as if whoever made it had come with it only now
    for statement in [
        "INSERT INTO orphan_handle (account_id, handle_kind, handle_id, handle_detail)
         SELECT account_id, handle_kind, handle_id, handle_detail FROM publication WHERE handle_id IS NOT NULL
         ON CONFLICT DO NOTHING",
        "UPDATE publication SET handle_kind = NULL, handle_id = NULL, handle_state = 'none', handle_detail = '{}'",
        "UPDATE deletion_request SET stage = 'revoking', drained_at = ledger_now()",
    ] {
        run(&system, statement).await;
    }
    system.start_worker(&[]);
    let receipt = verified(&system, &done(&system, &id).await).await;
    let told = told(&receipt);
    assert!(told.len() == 2 && told.iter().all(|it| it.1), "{draft}: {receipt}");
}
