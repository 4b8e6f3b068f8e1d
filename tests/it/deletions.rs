//! Requests for deletion, from every door to the receipt: nothing goes out any more, everything goes away, once, whatever
//! dies meanwhile; and what was not asked for stays.

mod doors;
mod everywhere;
mod killed;
mod shared;

use std::{collections::BTreeSet, path::Path};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jobs::failpoint::Point;
use postroom::ledger::{KeyRing, register};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::{AssertSqlSafe, Row};

use crate::{
    harness::{FACEBOOK, INSTAGRAM, PLATFORMS, System, TIKTOK, eventually, picture},
    support::{Answer, Door, ring},
};

/// A person, by the id that Meta's apps know them by.
const PERSON: &str = "1000218475";
/// In everything that a canary leaves behind.
const CANARY: &str = "kanarienvogel";

/// What Meta sends in its callback.
fn callback(secret: &str, user: &str, issued_at: i64) -> String {
    let payload = json!({
        "algorithm": "HMAC-SHA256", "issued_at": issued_at, "expires": issued_at + 3600, "user_id": user,
    });
    let encoded = URL_SAFE_NO_PAD.encode(payload.to_string());
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(encoded.as_bytes());
    format!("signed_request={}.{encoded}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

async fn call_back(door: &Door, body: String) -> Answer {
    let request =
        Request::post("/api/delete-data").header("content-type", "application/x-www-form-urlencoded");
    door.send(request.body(Body::from(body)).unwrap()).await
}

async fn page(door: &Door, path: &str) -> Answer {
    door.send(Request::get(path).body(Body::empty()).unwrap()).await
}

/// A door behind which somebody has connected an account.
async fn with_a_person() -> (Door, uuid::Uuid) {
    let door = Door::open().await;
    let account = door.account(FACEBOOK).await;
    let named = format!(
        "UPDATE account SET subject_id = '{PERSON}', subject_email = 'Dana@Example.com', name = '{CANARY}' \
         WHERE id = '{account}'"
    );
    door.scratch.run(&named).await;
    (door, account)
}

async fn frozen(door: &Door) -> i64 {
    door.scratch.number("SELECT count(*) FROM account WHERE state = 'frozen' AND frozen_at IS NOT NULL").await
}

async fn requests(door: &Door) -> i64 {
    door.scratch.number("SELECT count(*) FROM deletion_request").await
}

/// Connects the sandbox's three accounts once more, as one person's.
async fn owned_by(system: &System, person: &str, email: &str) {
    for (platform, id, token) in [
        (FACEBOOK, "104000000000001", json!({ "access_token": "sandbox-page-token" })),
        (INSTAGRAM, "17841400000000001", json!({ "access_token": "sandbox-page-token" })),
        (TIKTOK, "sandbox-open-id", json!({ "access_token": "sandbox-tiktok-access", "refresh_token": "r" })),
    ] {
        let add = ["account", "add", "--workspace", "Bakery", "--offline", "--platform", platform];
        let of = ["--external-id", id, "--name", CANARY, "--subject-id", person, "--subject-email", email];
        system.postroom(&[&add[..], &of[..]].concat(), &token.to_string()).await;
    }
}

/// Asks for the deletion of a person by the shell; gives the request's id and the path of its state.
async fn deleted(system: &System, args: &[&str]) -> (String, String) {
    let asked = system.told(&[&["delete-subject"], args].concat()).await;
    (asked["id"].as_str().unwrap().to_owned(), asked["url"].as_str().unwrap().to_owned())
}

/// Waits until a request is done, and gives its receipt's file.
async fn done(system: &System, id: &str) -> Value {
    eventually("the deletion", || async {
        let query = format!("SELECT stage::text FROM deletion_request WHERE id = '{id}'");
        let stage: String =
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&system.database.pool).await.unwrap();
        if stage == "done" { Ok(()) } else { Err(stage) }
    })
    .await;
    serde_json::from_str(&system.postroom(&["deletion", "receipt", id], "").await).unwrap()
}

/// What a receipt says, once its signature is verified by the key that the house publishes.
async fn verified(system: &System, receipt: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = (folder.path().join("receipt.json"), folder.path().join("key.pem"));
    std::fs::write(&file, receipt.to_string()).unwrap();
    let url = system.url(&format!("/.well-known/receipt-keys/{}", receipt["key_id"].as_str().unwrap()));
    let pem = crate::harness::client().get(url).send().await.unwrap().text().await.unwrap();
    std::fs::write(&key, pem).unwrap();
    let args = ["verify-receipt", file.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let told = system.told(&args).await;
    assert_eq!((&told["valid"], &told["key_was_given"]), (&json!(true), &json!(true)));
    told["receipt"].clone()
}

fn erased(receipt: &Value, store: &str) -> i64 {
    let stores = receipt["stores"].as_array().unwrap();
    let found = stores.iter().find(|it| it["store"] == store);
    found.unwrap_or_else(|| panic!("{store} is not in {receipt}"))["erased"].as_i64().unwrap()
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The files that the object store has.
fn stored(system: &System) -> Vec<std::path::PathBuf> {
    let bucket = system.addresses["bucket"].as_str().unwrap();
    let inside = |path: &std::path::PathBuf| path.components().any(|part| part.as_os_str() == bucket);
    files(&system.logs().join("sandbox"))
        .into_iter()
        .filter(inside)
        .filter(|path| !is_tombstone(path))
        .collect()
}

fn is_tombstone(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "deletions")
}

/// Waits until the person is told by mail, of which nothing is left here then.
async fn told_by_mail(system: &System, email: &str) {
    let letter = eventually("a mail", || async {
        let mail = system.control("mail").await;
        let theirs: Vec<Value> =
            mail["data"].as_array().unwrap().iter().filter(|it| it["to"][0] == email).cloned().collect();
        if theirs.len() == 1 { Ok(theirs[0].clone()) } else { Err(format!("{theirs:?}")) }
    })
    .await;
    assert!(letter.to_string().contains("Your data is deleted"), "{letter}");
    eventually("nothing left of it", || async {
        let left = system.database.count("SELECT count(*) FROM deletion_letter").await;
        if left == 0 { Ok(()) } else { Err(format!("{left}")) }
    })
    .await;
}

/// One more Page of the sandbox's, and a person of its own.
async fn a_page(system: &System, n: usize) -> (String, String) {
    let (page, person) = (format!("2040000000000{n:02}"), format!("77000{n}"));
    let access = format!("page-{page}");
    let account = json!({
        "platform": FACEBOOK, "external_id": page, "name": page, "access_token": access, "subject_id": person,
    });
    system.tell("accounts", &account).await;
    let add = ["account", "add", "--workspace", "Bakery", "--offline", "--platform", FACEBOOK];
    let of = ["--external-id", &page, "--name", &page, "--subject-id", &person];
    let pair = json!({ "access_token": access }).to_string();
    let account = system.postroom(&[&add[..], &of[..]].concat(), &pair).await;
    (person, account)
}

/// The same with a post that is due much later.
async fn another_person(system: &System, n: usize) -> String {
    let (person, account) = a_page(system, n).await;
    let media = system.upload(&format!("{n}.jpg"), picture()).await;
    let wish = json!({ "caption": format!("killed at {n}"), "kind": "post", "media_ids": [media],
                       "targets": [{ "account_id": account }], "schedule": { "at": "2027-06-01T09:00:00Z" } });
    assert_eq!(system.api(Method::POST, "/api/v1/posts", Some(&wish)).await.0, 202);
    person
}

/// The names of the mails that somebody was sent or will be.
async fn told(system: &System, email: &str) -> BTreeSet<String> {
    // first those that wait: one that goes out meanwhile is seen twice, and is one
    let waiting: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT id FROM deletion_letter").fetch_all(&system.database.pool).await.unwrap();
    let mail = system.control("mail").await;
    let sent = mail["data"].as_array().unwrap().iter().filter(|it| it["to"][0] == email);
    let name = |it: &Value| it["message_id"].as_str().unwrap()[1..].split('@').next().unwrap().to_owned();
    sent.map(name).chain(waiting.iter().map(ToString::to_string)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_destroyed_in_time_although_the_network_is_away() {
    // P-D7
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__DELETION__SHRED".into(), "8s".into());
    system.environment.insert("POSTROOM__DELETION__DRAIN".into(), "1s".into());
    system.fault(json!({ "call": "permissions", "fault": "no_effect_then_500" })).await;
    let person = another_person(&system, 1).await;
    system.start_worker(&[]);
    let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(receipt["grants"][0]["answer"], json!("given_up"), "{receipt}");
    assert!(receipt["grants"][0]["asked"].as_i64().unwrap() >= 2, "{receipt}");
    assert_eq!(
        system.database.count("SELECT count(*) FROM vault.token").await,
        4,
        "those of the others are there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_emptied_holds_up_its_own_request_alone() {
    let system = System::with_workers(1).await;
    let (first, second) = (another_person(&system, 1).await, another_person(&system, 2).await);
    let account = "(SELECT id FROM account WHERE subject_id = '770001')";
    for statement in [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'stale' USING ERRCODE = 'P0001'; END $$"
            .to_owned(),
        format!(
            "INSERT INTO account_fact (account_id, kind, value) SELECT a.id, 'token', '1' FROM {account} a"
        ),
        "CREATE TRIGGER refuse BEFORE DELETE ON account_fact FOR EACH ROW EXECUTE FUNCTION refuse()"
            .to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&system.database.pool).await.unwrap();
    }
    let (stuck, _) = deleted(&system, &["--meta-user-id", &first]).await;
    let (fine, _) = deleted(&system, &["--meta-user-id", &second]).await;
    done(&system, &fine).await;
    eventually("the other to be stuck where it is", || async {
        let at = "SELECT count(*) FROM deletion_step WHERE store = 'account_fact' AND done_at IS NULL";
        if system.database.count(at).await == 1 { Ok(()) } else { Err("elsewhere".into()) }
    })
    .await;
    let after = "SELECT count(*) FROM account WHERE subject_id = '770001'";
    assert_eq!(system.database.count(after).await, 1, "nothing that comes later is done");
    sqlx::query("DROP TRIGGER refuse ON account_fact").execute(&system.database.pool).await.unwrap();
    let receipt = verified(&system, &done(&system, &stuck).await).await;
    assert_eq!(erased(&receipt, "account_fact"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_brings_back_is_deleted_again() {
    let mut system = System::start().await;
    let person = another_person(&system, 1).await;
    let before: Value =
        serde_json::from_str(&system.postroom(&["restore", "--check", "--json"], "").await).unwrap();
    assert_eq!(before["deletions"], json!([]));
    system.web.take().unwrap().kill9().await;
    system.database.back_up().await;
    system.start_web().await;
    system.start_worker(&[]);
    let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
    done(&system, &id).await;
    // the network no longer knows what was deleted; the backup does
    for mut process in system.workers.drain(..).chain(system.web.take()) {
        process.kill9().await;
    }
    system.database.restore().await;
    let there = "SELECT count(*) FROM account WHERE subject_id = '770001'";
    assert_eq!(system.database.count(there).await, 1, "it is back");
    assert_eq!(system.database.count("SELECT count(*) FROM deletion_request").await, 0);
    let check = system.told(&["restore", "--check"]).await;
    assert_eq!(check["deletions"], json!([id]));
    assert_eq!(
        system.database.count("SELECT count(*) FROM deletion_request").await,
        0,
        "a check changes nothing"
    );
    system.told(&["restore"]).await;
    assert_eq!(system.database.count("SELECT count(*) FROM account WHERE state = 'frozen'").await, 1);
    system.start_web().await;
    system.start_worker(&[]);
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!((system.database.count(there).await, &receipt["covered"]["accounts"]), (0, &json!(1)));
    let again = system.told(&["restore", "--check"]).await;
    assert_eq!(again["deletions"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_does_not_go_on_shows_where_it_is_watched() {
    let (door, _) = with_a_person().await;
    call_back(&door, callback("app-secret", PERSON, 7)).await;
    let late = async || page(&door, "/readyz").await.json()["late_queues"].as_array().unwrap().clone();
    assert_eq!(late().await, Vec::<Value>::new());
    for behind in [
        "moved_at = ledger_now() - interval '61 minutes'",
        "moved_at = ledger_now(), received_at = ledger_now() - interval '13 hours'",
        "moved_at = ledger_now(), shredded_at = ledger_now(), received_at = ledger_now() - interval '16 days'",
    ] {
        door.scratch.run(&format!("UPDATE deletion_request SET {behind}")).await;
        let told = late().await;
        assert_eq!(told.len(), 1, "{behind}: {told:?}");
        assert!(told[0]["why"].as_str().unwrap().contains("does not go on as promised"));
    }
    door.scratch.run("UPDATE deletion_request SET stage = 'done', done_at = ledger_now()").await;
    assert_eq!(late().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_leave_the_ring_while_a_deletion_is_under_way() {
    let mut system = System::start().await;
    let person = another_person(&system, 1).await;
    let (id, _) = deleted(&system, &["--meta-user-id", &person, "--email", "dana@example.com"]).await;
    let (old, new) =
        (system.environment["POSTROOM_KEYS"].clone(), system.postroom(&["keys", "generate"], "").await);
    system.environment.insert("POSTROOM_KEYS".into(), format!("{new},{old}"));
    system.postroom(&["keys", "rotate"], "").await;
    system.environment.insert("POSTROOM_KEYS".into(), new.clone());
    system.start_worker(&[]);
    done(&system, &id).await;
    told_by_mail(&system, "dana@example.com").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_gets_a_copy_of_everything_and_nothing_is_changed_by_that() {
    // P-D1 P-D3
    let system = System::start().await;
    owned_by(&system, PERSON, "dana@example.com").await;
    let media = system.upload("dana.jpg", picture()).await;
    let mut wish = system.wish("what dana wrote", &[FACEBOOK], &[media]);
    wish["schedule"] = json!({ "at": "2027-06-01T09:00:00Z" });
    assert_eq!(system.api(Method::POST, "/api/v1/posts", Some(&wish)).await.0, 202);
    let printed = system.postroom(&["export-subject", "--email", "Dana@example.com"], "").await;
    let rows: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of =
        |store: &str| rows.iter().filter(|it| it["store"] == store).map(|it| &it["row"]).collect::<Vec<_>>();
    assert_eq!((of("account").len(), of("publication").len(), of("media").len()), (3, 1, 1));
    assert_eq!(of("post")[0]["caption"], "what dana wrote");
    assert_eq!((of("vault.token").len(), &of("vault.token")[0]["sealed"]), (4, &Value::Null));
    assert_eq!(system.database.count("SELECT count(*) FROM deletion_request").await, 0);
    assert_eq!(system.database.count("SELECT count(*) FROM account WHERE state = 'active'").await, 3);
    let nobody = system.postroom(&["export-subject", "--email", "nobody@example.com"], "").await;
    assert_eq!(nobody, "");
    let listed = system.told(&["audit", "list"]).await;
    let asked = listed["data"].as_array().unwrap().iter().filter(|it| it["action"] == "export_asked");
    let asked: Vec<_> = asked.map(|it| (it["actor"].as_str().unwrap(), it["detail"].clone())).collect();
    assert_eq!(asked, vec![("operator", json!({ "by": ["email"], "accounts": [] })); 2]);
    assert!(!listed.to_string().to_lowercase().contains("@example.com"), "of whom is not written: {listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_other_workspaces_are_not_read_to_find_those_of_a_request() {
    let (door, account) = with_a_person().await;
    call_back(&door, callback("app-secret", PERSON, 7)).await;
    door.scratch
        .run(
            "WITH w AS (INSERT INTO workspace (id, name) SELECT gen_random_uuid(), 'W' || n FROM generate_series(1, 50) n
                        RETURNING id)
             INSERT INTO idempotency_key (workspace_id, key, digest, status, body)
             SELECT w.id, 'k' || n, '', 202, 'x' FROM w, generate_series(1, 400) n",
        )
        .await;
    let own = format!(
        "INSERT INTO idempotency_key (workspace_id, key, digest, status, body)
         SELECT '{}', 'k' || n, '', 202, CASE WHEN n = 7 THEN '{{\"account_id\":\"{account}\"}}' ELSE 'x' END
         FROM generate_series(1, 20) n",
        door.workspace
    );
    door.scratch.run(&own).await;
    door.scratch.run("ANALYZE").await;
    let store = register::emptied().iter().find(|store| store.name == "idempotency_key").unwrap();
    let register::Purge::Rows { of, .. } = store.purge else { panic!("it is emptied by rows") };
    let request = "(SELECT id FROM deletion_request)";
    let of = of.replace("$1", request);
    let plan = format!("EXPLAIN SELECT t.ctid FROM idempotency_key t WHERE {of} LIMIT 500");
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(plan))
        .fetch_all(&mut door.scratch.connection().await)
        .await
        .unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains("idempotency_key_pkey") && !plan.contains("Seq Scan on idempotency_key"), "{plan}");
    let found = format!("SELECT count(*) FROM idempotency_key t WHERE {of}");
    assert_eq!(door.scratch.number(&found).await, 1, "and the one that tells of it is found");
}
