//! What outlives a ledger of a request for deletion: that it was asked, whom to tell, and what verifies its receipt.

use std::path::Path;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    deletions::{a_page, another_person, callback, deleted, done, in_store, told_by_mail, verified},
    harness::{FACEBOOK, INSTAGRAM, System, client, eventually, process},
};

async fn end_processes(system: &mut System) {
    for mut process in system.workers.drain(..).chain(system.web.take()) {
        process.kill9().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_had_begun_outlives_the_ledger_and_its_clocks_run_from_the_restore() {
    // P-D7 P-D8 P-D9
    let mut system = System::start().await;
    system.database.own_clock().await;
    let person = another_person(&system, 1).await;
    end_processes(&mut system).await;
    system.database.back_up().await;
    system.start_web().await;
    let (id, url) = deleted(&system, &["--meta-user-id", &person, "--email", "dana@example.com"]).await;
    let (stones, recipients) = (in_store(&system, "deletions"), in_store(&system, "deletion-recipients"));
    assert_eq!((stones.len(), recipients.len()), (1, 1), "no worker has seen it yet");
    for path in stones.iter().chain(&recipients) {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        assert!(!text.contains("dana") && !text.contains(&person), "{text}");
    }

    end_processes(&mut system).await;
    system.database.restore().await;
    let asked = "SELECT count(*) FROM deletion_request";
    assert_eq!(system.database.count(asked).await, 0, "the ledger knows nothing of it");
    let later = system.database.now().await + TimeDelta::days(3);
    system.database.set_clock(later).await;
    let check = system.told(&["restore", "--check"]).await;
    assert_eq!((&check["deletions"], &check["clashes"]), (&json!([id]), &json!([])));
    system.told(&["restore"]).await;
    assert_eq!(system.database.count("SELECT count(*) FROM account WHERE state = 'frozen'").await, 1);
    system.start_web().await;
    system.start_worker(&[]);
    let receipt = verified(&system, &done(&system, &id).await).await;
    // three days after it was asked for, and at once after the restore
    assert_eq!(receipt["grants"][0]["answer"], json!("revoked"), "{receipt}");
    assert_eq!(receipt["clocks"]["tokens"]["kept"], json!(true), "{receipt}");
    let at = |value: &Value| value.as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let (was_asked, restored) = (at(&receipt["asked"]["at"]), at(&receipt["restored_at"]));
    assert!(restored - was_asked >= TimeDelta::days(2), "both are told: {receipt}");
    assert_eq!(at(&receipt["clocks"]["tokens"]["from"]), restored);
    told_by_mail(&system, "dana@example.com").await;
    let page = client().get(&url).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Your data is deleted"), "its code is good as before: {page}");
    assert_eq!(in_store(&system, "deletions").len(), 1, "that it was asked for is kept");
    assert_eq!(in_store(&system, "deletion-recipients").len(), 0, "by whom is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_keeps_a_request_outside_and_accepts_one_without_the_store_too() {
    // P-D6
    let system = System::start().await;
    let (person, account) = a_page(&system, 1).await;
    let ask = async |issued_at: i64| {
        let request = client().post(system.url("/api/delete-data"));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(callback("app-secret", &person, issued_at)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    let kept = "SELECT count(*) FROM deletion_request WHERE stone_at IS NOT NULL";
    ask(7).await;
    eventually("what a restore needs", || async {
        match system.database.count(kept).await {
            1 => Ok(()),
            _ => Err("it is not kept".to_owned()),
        }
    })
    .await;
    let stones = in_store(&system, "deletions");
    let stone: Value = serde_json::from_slice(&std::fs::read(&stones[0]).unwrap()).unwrap();
    assert_eq!((stones.len(), &stone["accounts"]), (1, &json!([account])));
    ask(7).await;
    system.tell("store", &json!({ "away": true })).await;
    ask(8).await;
    assert_eq!(system.database.count("SELECT count(*) FROM deletion_request").await, 2, "it is accepted");
    assert_eq!(system.database.count(kept).await, 1);
    assert_eq!(in_store(&system, "deletions").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_when_the_backup_was_made_is_asked_for_once_more_after_a_restore() {
    // P-D7
    let mut system = System::start().await;
    system.database.own_clock().await;
    let person = another_person(&system, 1).await;
    let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
    end_processes(&mut system).await;
    let later = system.database.now().await + TimeDelta::days(2);
    system.database.set_clock(later).await;
    let late = "SELECT count(*) FROM deletion_request WHERE received_at < ledger_now() - interval '1 day'";
    assert_eq!(system.database.count(late).await, 1, "the day that is promised is over");
    let told = system.told(&["restore"]).await;
    assert_eq!(told["deletions"], json!([]), "it goes on by itself");
    system.start_web().await;
    system.start_worker(&[]);
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(receipt["grants"][0]["answer"], json!("revoked"), "{receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_only_asked_to_join_is_deleted_again_after_a_restore() {
    // P-D8
    let mut system = System::start().await;
    let there = "WITH m AS (INSERT INTO mail (id, to_address, subject, worthless_at)
                            VALUES (gen_random_uuid(), 'dana@example.com', 'x', ledger_now()) RETURNING id)
                 INSERT INTO invitation (id, workspace_id, email, first_name, last_name, role, digest, mail_id, expires_at)
                 SELECT gen_random_uuid(), w.id, 'dana@example.com', 'Dana', 'Levi', 'viewer', '\\x02', m.id,
                        ledger_now() + interval '1 day'
                 FROM workspace w, m";
    sqlx::query(there).execute(&system.database.pool).await.unwrap();
    end_processes(&mut system).await;
    system.database.back_up().await;
    system.start_web().await;
    system.start_worker(&[]);
    let (id, _) = deleted(&system, &["--email", "dana@example.com"]).await;
    done(&system, &id).await;
    let left = "SELECT (SELECT count(*) FROM invitation WHERE email = 'dana@example.com')
                     + (SELECT count(*) FROM mail WHERE to_address = 'dana@example.com')";
    assert_eq!(system.database.count(left).await, 0);
    end_processes(&mut system).await;
    system.database.restore().await;
    assert_eq!(system.database.count(left).await, 2, "both are back");
    let check = system.told(&["restore", "--check"]).await;
    assert_eq!((&check["deletions"], &check["clashes"]), (&json!([id]), &json!([])));
    system.told(&["restore"]).await;
    system.start_web().await;
    system.start_worker(&[]);
    done(&system, &id).await;
    assert_eq!(system.database.count(left).await, 0);
}

/// A tombstone like another one, of another request for these accounts, whose tokens were destroyed or not.
fn plant(beside: &Path, accounts: &[&str], shredded: bool) -> String {
    let mut stone: Value = serde_json::from_slice(&std::fs::read(beside).unwrap()).unwrap();
    let id = uuid::Uuid::now_v7().to_string();
    (stone["id"], stone["accounts"], stone["shredded"]) = (json!(id), json!(accounts), json!(shredded));
    std::fs::write(beside.with_file_name(format!("{id}.json")), stone.to_string()).unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_that_is_known_by_what_another_request_is_known_by_is_told_and_deletes_nobody() {
    let system = System::start().await;
    let (ours, theirs) = (system.account(FACEBOOK).to_owned(), system.account(INSTAGRAM).to_owned());
    let (id, _) = deleted(&system, &["--account", &ours]).await;
    let stone = in_store(&system, "deletions").remove(0);
    // the same wish that has come again covers the same
    plant(&stone, &[&ours], false);
    let check = system.told(&["restore", "--check"]).await;
    assert_eq!((&check["deletions"], &check["clashes"]), (&json!([]), &json!([])));
    let other = plant(&stone, &[&theirs], true);
    let clashes = json!([{ "tombstone": other, "request": id }]);
    let check = system.told(&["restore", "--check"]).await;
    assert_eq!((&check["deletions"], &check["clashes"]), (&json!([]), &clashes));
    assert_eq!(check["shredded"], json!([]), "nor are tokens destroyed at its word");
    let (code, out, complaint) = system.try_postroom(&["restore", "--json"], "").await;
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &out["done"], &out["clashes"]), (1, &json!(true), &clashes), "{complaint}");
    assert!(complaint.contains(&other) && complaint.contains(&id), "{complaint}");
    let active = "SELECT count(*) FROM account WHERE state = 'active'";
    assert_eq!(system.database.count(active).await, 2, "only who was asked for is frozen");
    assert_eq!(
        (&out["shredded"], system.database.count("SELECT count(*) FROM vault.token").await),
        (&json!([]), 4)
    );
    assert_eq!(system.database.count("SELECT count(*) FROM deletion_request").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_verified_when_nothing_is_left_but_the_object_store() {
    let mut system = System::start().await;
    let person = another_person(&system, 1).await;
    system.start_worker(&[]);
    let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
    let receipt = done(&system, &id).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("receipt.json");
    std::fs::write(&file, receipt.to_string()).unwrap();
    let mut environment = system.environment.clone();
    for lost in ["DATABASE_URL", "REDIS_URL", "POSTROOM_KEYS"] {
        environment.remove(lost);
    }
    let verify = async |more: &[&str]| {
        let args = [&["verify-receipt", file.to_str().unwrap(), "--json"][..], more].concat();
        process::run(Path::new(env!("CARGO_BIN_EXE_postroom")), &args, &environment, "").await
    };
    let (code, told, complaint) = verify(&["--from-store"]).await;
    assert_eq!(code, 0, "{complaint}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["valid"], &told["key_was_given"]), (&json!(true), &json!(true)));
    let keys = in_store(&system, "receipt-keys");
    assert_eq!(keys.len(), 1);
    assert_eq!(std::fs::read_to_string(&keys[0]).unwrap(), receipt["public_key"].as_str().unwrap());
    // a key that this house does not have signs nothing of it
    std::fs::remove_file(&keys[0]).unwrap();
    let (code, _, complaint) = verify(&["--from-store"]).await;
    assert_eq!((code, complaint.contains("did not sign it")), (1, true), "{complaint}");
}
