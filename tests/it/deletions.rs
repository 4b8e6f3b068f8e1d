//! Requests for deletion, from every door to the receipt: nothing goes out any more, everything goes away, once, whatever
//! dies meanwhile; and what was not asked for stays.

use std::{collections::BTreeSet, path::Path};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jobs::failpoint::Point;
use postroom::ledger::{
    KeyRing, Ledger, Role, keyring::KeyError, people::MemberRole, register, vault::VaultError,
};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::{AssertSqlSafe, Row};

use crate::{
    console::Browser,
    harness::{FACEBOOK, INSTAGRAM, PLATFORMS, System, TIKTOK, eventually, picture},
    support::{Answer, Door, ring},
};

/// A person, by the id that Meta's apps know them by.
const PERSON: &str = "1000218475";
/// In everything that a canary leaves behind.
const CANARY: &str = "kanarienvogel";

/// What Meta sends in its callback.
pub fn callback(secret: &str, user: &str, issued_at: i64) -> String {
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

async fn send_form(door: &Door, path: &str, body: &str) -> Answer {
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    door.send(request.body(Body::from(body.to_owned())).unwrap()).await
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

#[tokio::test(flavor = "multi_thread")]
async fn meta_is_answered_with_an_address_and_a_code_and_the_same_wish_has_the_same_code() {
    // P-D6
    let (door, _) = with_a_person().await;
    let body = callback("app-secret", PERSON, 1_795_996_400);
    let first = call_back(&door, body.clone()).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    assert!(first.header("content-type").starts_with("application/json"));
    let (answer, fields) = (first.json(), BTreeSet::from(["url".to_owned(), "confirmation_code".to_owned()]));
    assert_eq!(answer.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>(), fields);
    let code = answer["confirmation_code"].as_str().unwrap();
    assert!(code.len() >= 26 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    assert_eq!(answer["url"], format!("http://localhost:3000/privacy/requests/{code}"));
    assert_eq!((frozen(&door).await, requests(&door).await), (1, 1));
    assert_eq!(call_back(&door, body).await.json(), answer);
    assert_eq!(requests(&door).await, 1);
    let later = call_back(&door, callback("app-secret", PERSON, 1_795_996_401)).await.json();
    assert_ne!(later["confirmation_code"], code);
    assert_eq!(door.hints.lock().unwrap().len(), 2, "a hint for each that was new");
    // neither the person nor the code is kept
    let kept = "SELECT count(*) FROM deletion_request r WHERE r::text LIKE '%1000218475%'";
    assert_eq!(door.scratch.number(kept).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_did_not_sign_changes_nothing_and_somebody_unknown_gets_a_code() {
    let (door, _) = with_a_person().await;
    let signed = callback("app-secret", PERSON, 7);
    let (head, tail) = signed.split_once('.').unwrap();
    for forged in [
        callback("another", PERSON, 7),
        String::new(),
        "signed_request=".to_owned(),
        "signed_request=a.b".to_owned(),
        format!("{head}.{tail}x"),
        format!("{head}.{}", URL_SAFE_NO_PAD.encode(r#"{"algorithm":"none","user_id":"1000218475"}"#)),
        format!("{signed}&{signed}"),
    ] {
        let answer = call_back(&door, forged).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert_eq!((frozen(&door).await, requests(&door).await), (0, 0));
    assert_eq!(call_back(&door, "x".repeat(5000)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let unknown = call_back(&door, callback("app-secret", "555", 7)).await;
    assert_eq!(unknown.status, StatusCode::OK);
    assert!(unknown.json()["confirmation_code"].is_string());
    assert_eq!((frozen(&door).await, requests(&door).await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_shown_by_the_code_alone_in_both_languages_and_names_nobody() {
    // P-D12
    let (door, account) = with_a_person().await;
    let answer = call_back(&door, callback("app-secret", PERSON, 7)).await.json();
    let path = format!("/privacy/requests/{}", answer["confirmation_code"].as_str().unwrap());
    for (lang, dir, word) in [("en", "ltr", "being deleted"), ("he", "rtl", "נמחקים")] {
        let shown = page(&door, &format!("{path}?lang={lang}")).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert!(shown.text.contains(&format!("lang=\"{lang}\" dir=\"{dir}\"")), "{}", shown.text);
        assert!(shown.text.contains(word), "{}", shown.text);
        for secret in [CANARY, PERSON, "Dana", "example.com", &account.to_string(), "facebook"] {
            assert!(!shown.text.to_lowercase().contains(&secret.to_lowercase()), "{secret} is shown");
        }
        assert_eq!(shown.header("cache-control"), "no-store");
    }
    for guess in ["aaaaaaaaaaaaaaaaaaaaaaaaaa", "short", "..%2f"] {
        let missing = page(&door, &format!("/privacy/requests/{guess}")).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
    }
    let mut slowed = false;
    for _ in 0..10 {
        let guess = page(&door, "/privacy/requests/bbbbbbbbbbbbbbbbbbbbbbbbbb").await;
        slowed |= guess.status == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(slowed, "who guesses has to wait");
    assert_eq!(page(&door, &path).await.status, StatusCode::OK, "who knows has not");
}

/// The link of the last mail.
async fn mailed(door: &Door, ring: &KeyRing) -> (String, String) {
    let letters = door.scratch.ledger.letters(ring, 10).await.unwrap();
    let (_, letter) = letters.last().unwrap();
    let link = letter.text.split_whitespace().find(|word| word.starts_with("http")).unwrap();
    (letter.to.clone(), link.trim_start_matches("http://localhost:3000").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_on_the_public_page_proves_the_address_and_the_link_is_good_once() {
    // P-D6
    let ((door, _), ring) = (with_a_person().await, ring());
    let form = page(&door, "/privacy/delete?lang=he").await;
    assert!(form.text.contains("dir=\"rtl\""), "{}", form.text);
    assert_eq!(
        send_form(&door, "/privacy/delete", "email=nobody").await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let known = send_form(&door, "/privacy/delete", "email=dana%40example.com&lang=he").await;
    let unknown = send_form(&door, "/privacy/delete", "email=nobody%40example.com&lang=he").await;
    assert_eq!(
        (known.status, &known.text),
        (StatusCode::ACCEPTED, &unknown.text),
        "no answer tells who is known"
    );
    assert_eq!((frozen(&door).await, requests(&door).await), (0, 0), "an address proves nothing");
    door.scratch
        .run("DELETE FROM deletion_letter WHERE created_at = (SELECT max(created_at) FROM deletion_letter)")
        .await;
    let (to, link) = mailed(&door, &ring).await;
    assert_eq!(to, "dana@example.com");
    assert_eq!(page(&door, &link).await.status, StatusCode::OK);
    assert_eq!(requests(&door).await, 0, "programs open links too");
    let path = link.split('?').next().unwrap();
    let accepted = send_form(&door, path, "lang=he").await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert!(accepted.text.contains("http://localhost:3000/privacy/requests/"), "{}", accepted.text);
    assert_eq!((frozen(&door).await, requests(&door).await), (1, 1));
    // who follows it again is shown the same, and asks for nothing
    for again in [send_form(&door, path, "lang=he").await, page(&door, &link).await] {
        assert_eq!((again.status, &again.text), (StatusCode::ACCEPTED, &accepted.text));
    }
    assert_eq!((frozen(&door).await, requests(&door).await), (1, 1));
    assert_eq!(send_form(&door, "/privacy/delete/AAAAAAAAAAAAAAAAAAAAAA", "").await.status, StatusCode::GONE);
    // nothing that is kept of it is in the clear
    for table in ["deletion_ask", "deletion_letter", "deletion_request"] {
        let clear = format!("SELECT count(*) FROM {table} t WHERE lower(t::text) LIKE '%dana%'");
        assert_eq!(door.scratch.number(&clear).await, 0, "{table}");
    }
    // a day later a link is stale
    send_form(&door, "/privacy/delete", "email=late%40example.com").await;
    door.scratch.run("UPDATE deletion_ask SET expires_at = ledger_now()").await;
    let (_, late) = mailed(&door, &ring).await;
    assert_eq!(page(&door, &late).await.status, StatusCode::GONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_staff_asks_within_its_workspace_alone() {
    let (door, account) = with_a_person().await;
    let other = door.scratch.ledger.add_workspace("Butcher").await.unwrap();
    let theirs = door.account_of(other, TIKTOK, &json!({})).await;
    let ask = async |body: Value| {
        let request = door.request(&axum::http::Method::POST, "/api/v1/privacy/requests");
        let request = request.header("content-type", "application/json");
        door.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    for wrong in [
        json!({ "kind": "deletion" }),
        json!({ "kind": "other", "email": "dana@example.com" }),
        json!({ "kind": "deletion", "account_ids": ["x"] }),
        json!({ "kind": "deletion", "email": "dana@example.com", "more": 1 }),
    ] {
        assert_eq!(ask(wrong.clone()).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    let nothing = ask(json!({ "kind": "deletion", "account_ids": [theirs] })).await;
    assert_eq!((nothing.status, &nothing.json()["accounts"]), (StatusCode::ACCEPTED, &json!(0)));
    let asked = ask(json!({ "kind": "deletion", "account_ids": [account], "reason": "a mail" })).await.json();
    assert_eq!(
        (&asked["accounts"], &asked["state"], frozen(&door).await),
        (&json!(1), &json!("draining"), 1)
    );
    let rows = door.scratch.ledger.audit_entries(Some(door.workspace), 10).await.unwrap();
    let rows: Vec<_> = rows.iter().filter(|row| row.action == "deletion_asked").collect();
    assert_eq!((rows.len(), rows[0].actor.as_str(), rows[0].object.as_str()), (2, "key", "deletion_request"));
    assert_eq!(rows[0].object_id, asked["id"].as_str().unwrap());
    assert!(rows[0].detail.contains("\"accounts\": 1"), "{}", rows[0].detail);
    let path = format!("/api/v1/privacy/requests/{}", asked["id"].as_str().unwrap());
    let own = door.request(&axum::http::Method::GET, &path).body(Body::empty()).unwrap();
    assert_eq!(door.send(own).await.status, StatusCode::OK);
    let key = door.key_for(Some(other), postroom::ledger::keys::Scope::ALL).await;
    let foreign = Request::get(&path).header("authorization", format!("Bearer {key}"));
    assert_eq!(door.send(foreign.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_FOUND);
}

/// Every column of a database, by its table; partitions are their parents.
async fn columns(door: &Door) -> BTreeSet<String> {
    let rows = sqlx::query(
        "SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || k.relname || '.' || a.attname AS name
         FROM pg_attribute a JOIN pg_class k ON k.oid = a.attrelid JOIN pg_namespace n ON n.oid = k.relnamespace
         WHERE a.attnum > 0 AND NOT a.attisdropped AND k.relkind IN ('r', 'p') AND NOT k.relispartition
           AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
           AND k.relname <> '_sqlx_migrations'",
    );
    let rows = rows.fetch_all(&mut door.scratch.connection().await).await.unwrap();
    rows.into_iter().map(|row| row.get::<String, _>("name")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_there_is_stands_in_the_register() {
    let door = Door::open().await;
    let declared: BTreeSet<String> = register::all()
        .flat_map(|store| {
            let personal = store.personal.iter().map(|(name, _)| *name);
            personal.chain(store.plain.iter().copied()).map(|column| format!("{}.{column}", store.name))
        })
        .collect();
    let there = columns(&door).await;
    let undeclared: Vec<_> = there.difference(&declared).collect();
    assert!(
        undeclared.is_empty(),
        "say in ledger/register what these hold and how they are emptied: {undeclared:?}"
    );
    let gone: Vec<_> = declared.difference(&there).collect();
    assert!(gone.is_empty(), "these are declared and not there: {gone:?}");
    door.scratch.run("ALTER TABLE post ADD COLUMN planted text").await;
    assert!(!columns(&door).await.is_subset(&declared), "a column that nobody declared is found");
}

/// Connects the sandbox's three accounts once more, as one person's.
pub async fn owned_by(system: &System, person: &str, email: &str) {
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
pub async fn deleted(system: &System, args: &[&str]) -> (String, String) {
    let asked = system.told(&[&["delete-subject"], args].concat()).await;
    (asked["id"].as_str().unwrap().to_owned(), asked["url"].as_str().unwrap().to_owned())
}

/// Waits until a request is done, and gives its receipt's file.
pub async fn done(system: &System, id: &str) -> Value {
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
pub async fn verified(system: &System, receipt: &Value) -> Value {
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

pub fn erased(receipt: &Value, store: &str) -> i64 {
    let stores = receipt["stores"].as_array().unwrap();
    let found = stores.iter().find(|it| it["store"] == store);
    found.unwrap_or_else(|| panic!("{store} is not in {receipt}"))["erased"].as_i64().unwrap()
}

/// What a backup of the ledger holds.
async fn dump(system: &System) -> String {
    let program = Path::new(&std::env::var("POSTROOM_PG_BIN").unwrap_or_default()).join("pg_dump");
    let args = ["--dbname", &system.database.url];
    let ran = tokio::process::Command::new(program).args(args).output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The files that the object store has.
pub fn stored(system: &System) -> Vec<std::path::PathBuf> {
    let bucket = system.addresses["bucket"].as_str().unwrap();
    let inside = |path: &std::path::PathBuf| path.components().any(|part| part.as_os_str() == bucket);
    files(&system.logs().join("sandbox")).into_iter().filter(inside).filter(|path| !is_kept(path)).collect()
}

/// Whether it is kept for good: what a restore goes by, and what verifies receipts.
fn is_kept(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "deletions" || part.as_os_str() == "receipt-keys")
}

/// The files that the object store has in a folder.
pub fn in_store(system: &System, folder: &str) -> Vec<std::path::PathBuf> {
    let place = system.logs().join("sandbox/s3").join(system.addresses["bucket"].as_str().unwrap());
    files(&place.join(folder))
}

/// What the vault has of everybody, as a backup of the ledger spells it.
async fn sealed(system: &System) -> Vec<String> {
    let all = "SELECT encode(sealed, 'hex') FROM vault.token
               UNION ALL SELECT encode(sealed, 'hex') FROM vault.data_key";
    sqlx::query_scalar(all).fetch_all(&system.database.pool).await.unwrap()
}

/// Everything that Redis holds, as text.
async fn redis_dump(system: &System) -> String {
    let client = redis::Client::open(system.environment["REDIS_URL"].as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let mut all = String::new();
    for key in keys {
        let bytes: Option<Vec<u8>> = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
        all += &key;
        all += &String::from_utf8_lossy(&bytes.unwrap_or_default());
    }
    all
}

/// Makes somebody a person of the staff, who is invited elsewhere, signs in elsewhere and has asked for a new password.
async fn on_the_staff_too(system: &System, email: &str) {
    let there = r"WITH p AS (INSERT INTO person (id, email, first_name, last_name)
                     VALUES (gen_random_uuid(), $1, split_part($1, '@', 1), split_part($1, '@', 1)) RETURNING id),
               i AS (INSERT INTO person_identity (issuer, subject, person_id)
                     SELECT 'https://accounts.example', split_part($1, '@', 1), id FROM p),
               r AS (INSERT INTO password_reset (person_id, digest, expires_at)
                     SELECT id, '\x01', ledger_now() + interval '1 hour' FROM p),
               c AS (INSERT INTO email_change (person_id, email, digest, expires_at)
                     SELECT id, 'new-' || $1, '\x03', ledger_now() + interval '1 hour' FROM p),
               n AS (INSERT INTO mail (id, to_address, subject, worthless_at, person_id)
                     SELECT gen_random_uuid(), 'new-' || $1, 'x', ledger_now(), id FROM p),
               m AS (INSERT INTO mail (id, to_address, subject, worthless_at)
                     VALUES (gen_random_uuid(), $1, 'x', ledger_now()) RETURNING id),
               l AS (INSERT INTO report (id, workspace_id, digest, title, language, days, created_by, expires_at)
                     SELECT gen_random_uuid(), w.id, '\x04', split_part($1, '@', 1), 'en', 7, p.id,
                            ledger_now() + interval '1 day'
                     FROM workspace w, p RETURNING id),
               s AS (INSERT INTO report_account (report_id, account_id) SELECT l.id, a.id FROM l, account a),
               v AS (INSERT INTO invitation (id, workspace_id, email, first_name, last_name, role, digest, mail_id,
                                             expires_at)
                     SELECT gen_random_uuid(), w.id, $1, split_part($1, '@', 1), split_part($1, '@', 1), 'viewer', '\x02', m.id,
                            ledger_now() + interval '1 day'
                     FROM workspace w, m RETURNING id)
          SELECT count(*) FROM v";
    assert_eq!(system.database.count_of(there, email).await, 1);
}

/// Writes down of an account what its workspace's software was told of, what ads came to, who follows it, what was found of what
/// is public there, that something unseen may be there, and a client's link to its numbers.
async fn told_and_counted(system: &System, account: &str) {
    let there = format!(
        "WITH a AS (SELECT id, workspace_id FROM account WHERE id = $1::text::uuid),
              w AS (INSERT INTO webhook (id, workspace_id, url, events)
                    SELECT gen_random_uuid(), workspace_id, 'https://hooks.example/x', ARRAY['post.failed'] FROM a
                    RETURNING id),
              e AS (INSERT INTO event (id, workspace_id, type, account_id)
                    SELECT gen_random_uuid(), workspace_id, 'account.reconnect', id FROM a RETURNING id),
              d AS (INSERT INTO delivery (id, event_id, webhook_id, job_id, state, delivered_at)
                    SELECT gen_random_uuid(), e.id, w.id, gen_random_uuid(), 'delivered', ledger_now() FROM e, w),
              o AS (INSERT INTO ad_object (workspace_id, account_id, level, remote_id, name)
                    SELECT workspace_id, id, 'campaign', '120001', '{CANARY} sale' FROM a RETURNING number),
              n AS (INSERT INTO ad_day (captured_at, object, day, currency, numbers)
                    SELECT ledger_now(), number, current_date, 'ILS', '{{}}'::jsonb FROM o),
              f AS (INSERT INTO snapshot_spread (captured_at, object, metric, said)
                    SELECT ledger_now(), min(p.number), 104, 'too_few'
                    FROM metric_plan p JOIN a ON a.id = p.account_id),
              c AS (INSERT INTO finding_told (publication_id, code, told_at)
                    SELECT p.id, 'checked', ledger_now()
                    FROM publication p JOIN a ON a.id = p.account_id WHERE p.state = 'published'),
              s AS (INSERT INTO draft_search (account_id, since) SELECT id, ledger_now() FROM a),
              r AS (INSERT INTO report (id, workspace_id, digest, title, language, days, created_by, expires_at)
                    SELECT gen_random_uuid(), a.workspace_id, '\\x05', '{CANARY} in May', 'en', 7, p.id,
                           ledger_now() + interval '1 day'
                    FROM a, person p WHERE p.email = 'staff@example.com' RETURNING id),
              l AS (INSERT INTO report_account (report_id, account_id) SELECT r.id, a.id FROM r, a)
         SELECT count(*) FROM a"
    );
    let many: i64 = sqlx::query_scalar(AssertSqlSafe(there))
        .bind(account)
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    assert_eq!(many, 1);
}

/// Has captions written for their accounts.
async fn helped(system: &System) {
    let wish = json!({
        "kind": "caption", "brief": format!("{CANARY} bakes"), "language": "en", "platforms": PLATFORMS,
    });
    let (status, asked) = system.api(Method::POST, "/api/v1/analyses", Some(&wish)).await;
    assert_eq!(status, 202, "{asked}");
    let path = format!("/api/v1/analyses/{}", asked["id"].as_str().unwrap());
    eventually("the captions", || async {
        let (_, read) = system.api(Method::GET, &path, None).await;
        if read["state"] == "done" { Ok(()) } else { Err(read.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_person_who_was_deleted_nothing_is_found_in_any_store() {
    // P-D5 P-D7 P-D8 P-D9 P-D10 P-D14
    let system = System::with_workers(1).await;
    let email = format!("{CANARY}@example.com");
    owned_by(&system, PERSON, &email).await;
    let media = system.upload(&format!("{CANARY}.jpg"), picture()).await;
    let wish = system.wish(&format!("{CANARY} sings"), &[FACEBOOK, INSTAGRAM], std::slice::from_ref(&media));
    let (_, sung) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    system.all_live_once(&[sung["id"].as_str().unwrap().to_owned()]).await;
    let path = format!("/api/v1/accounts/{}/snapshot", system.account(FACEBOOK));
    assert_eq!(system.api(Method::POST, &path, None).await.0, 202);
    eventually("what the network counted", || async {
        match system.database.count("SELECT count(*) FROM snapshot").await {
            0 => Err("nothing".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    helped(&system).await;
    told_and_counted(&system, system.account(FACEBOOK)).await;
    let mut later = system.wish(&format!("{CANARY} will sing"), &[FACEBOOK], &[media]);
    later["schedule"] = json!({ "at": "2027-06-01T09:00:00Z" });
    let (status, _) = system.api(Method::POST, "/api/v1/posts", Some(&later)).await;
    assert_eq!(status, 202);
    on_the_staff_too(&system, &email).await;
    copied(&system).await;
    let (sealed, before) = (sealed(&system).await, dump(&system).await);
    assert!(before.contains(CANARY) && !stored(&system).is_empty(), "it leaves traces");
    assert!(sealed.len() == 7 && sealed.iter().all(|it| before.contains(it)), "four tokens and three keys");
    let (id, url) = deleted(&system, &["--email", &email, "--mail", "--reason", CANARY]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    let dump = dump(&system).await;
    // bytes are dumped in hex
    let hidden = hex::encode(CANARY);
    let leaks = |line: &&str| [CANARY, hidden.as_str()].iter().any(|it| line.to_lowercase().contains(it));
    let found: Vec<_> = dump.lines().filter(leaks).collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(!dump.contains(PERSON) && !dump.contains("104000000000001"), "its ids are gone too");
    assert!(sealed.iter().all(|it| !dump.contains(it)), "and its tokens with their keys");
    assert_eq!(stored(&system), Vec::<std::path::PathBuf>::new());
    for path in files(&system.logs().join("sandbox")).into_iter().filter(|path| is_kept(path)) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains(CANARY) && !text.contains(PERSON), "{text}");
    }
    assert!(!redis_dump(&system).await.contains(CANARY));
    for log in ["web-0.log", "worker-0.log"] {
        let text = std::fs::read_to_string(system.logs().join(log)).unwrap();
        assert!(!text.to_lowercase().contains(CANARY), "{log}");
    }
    assert_eq!((&receipt["request"], &receipt["covered"]["accounts"]), (&json!(id), &json!(3)));
    assert_eq!((&receipt["verified"]["left"], &receipt["publications"]["given_up"]), (&json!(0), &json!(1)));
    for clock in ["tokens", "everything"] {
        assert_eq!(receipt["clocks"][clock]["kept"], json!(true), "{receipt}");
    }
    let keys = &receipt["data_keys"];
    assert_eq!((&keys["destroyed"], &keys["tokens_without"]), (&json!(3), &json!(0)), "{receipt}");
    assert_eq!(keys["at"], receipt["clocks"]["tokens"]["at"], "in time: {receipt}");
    assert_eq!(erased(&receipt, "vault.data_key"), 0, "none was left for the stores to be emptied of");
    counts_each_store(&receipt);
    let answers: Vec<_> = receipt["grants"].as_array().unwrap().iter().map(|it| &it["answer"]).collect();
    assert!(answers.iter().all(|it| **it == "revoked" || **it == "already"), "{answers:?}");
    assert!(!receipt.to_string().to_lowercase().contains(CANARY));
    // the networks took the grants back
    let calls = system.control("calls").await;
    for call in ["permissions", "revoke"] {
        assert!(calls["data"].as_array().unwrap().iter().any(|it| it["call"] == call), "{call}");
    }
    let shown = crate::harness::client().get(&url).send().await.unwrap().text().await.unwrap();
    assert!(shown.contains("Your data is deleted"), "{shown}");
    assert_eq!(shown.matches(": kept</li>").count(), 2, "both clocks: {shown}");
    assert!(
        shown.contains("What the networks answered") && shown.contains("access was taken back"),
        "{shown}"
    );
    for (store, least) in [("account", 3), ("publication", 3)] {
        let many = erased(&receipt, store);
        assert!(
            many >= least && shown.contains(&format!("<bdi>{store}</bdi>: <bdi>{many}</bdi> (<bdi>20")),
            "{shown}"
        );
    }
    told_by_mail(&system, &email).await;
    openssl_agrees(&system, &id).await;
}

/// Whether the receipt says of each store how much was erased, and of what stays why.
fn counts_each_store(receipt: &Value) {
    let kept = receipt["kept"].as_array().unwrap();
    for store in ["audit", "deletion_request", "deletion_account"] {
        let told = kept.iter().find(|it| it["store"] == store);
        assert!(told.is_some_and(|it| it["because"].is_string()), "{store} stays: {receipt}");
    }
    for store in ["person", "person_identity", "password_reset", "email_change", "invitation", "export"] {
        assert_eq!(erased(receipt, store), 1, "{store}: {receipt}");
    }
    assert_eq!(erased(receipt, "mail"), 2, "those to an address that is not proved yet, too: {receipt}");
    for (store, least) in [
        ("account", 3),
        ("publication", 3),
        ("post", 2),
        ("media", 1),
        ("files", 1),
        ("remote_call", 3),
        ("metric_plan", 3),
        ("snapshot", 1),
        ("snapshot_spread", 1),
        ("ad_object", 1),
        ("ad_day", 1),
        ("event", 1),
        ("delivery", 1),
        ("finding_told", 1),
        ("draft_search", 1),
        ("report", 2),
        ("report_account", 4),
        ("analysis", 1),
        ("analysis_call", 1),
    ] {
        assert!(erased(receipt, store) >= least, "{store}: {receipt}");
    }
}

/// Has a copy made of what is known of whoever has the accounts.
async fn copied(system: &System) {
    let wish = json!({ "kind": "export", "account_ids": [system.account(FACEBOOK)] });
    let (status, asked) = system.api(Method::POST, "/api/v1/privacy/requests", Some(&wish)).await;
    assert_eq!(status, 202, "{asked}");
    eventually("the copy", || async {
        let made = "SELECT count(*) FROM export WHERE state = 'made'";
        if system.database.count(made).await == 1 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    let files = files(&system.logs().join("sandbox"));
    assert!(files.iter().any(|path| path.extension().is_some_and(|it| it == "zip")), "{files:?}");
}

/// Waits until the person is told by mail, of which nothing is left here then.
pub async fn told_by_mail(system: &System, email: &str) {
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

/// What we verify, everybody verifies.
async fn openssl_agrees(system: &System, id: &str) {
    let receipt = done(system, id).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let field = |name: &str| receipt[name].as_str().unwrap().to_owned();
    let decode = |name: &str| base64::engine::general_purpose::STANDARD.decode(field(name)).unwrap();
    let (payload, signature) = (write("payload", decode("payload")), write("signature", decode("signature")));
    let key = write("key.pem", field("public_key").into_bytes());
    let args =
        ["pkeyutl", "-verify", "-pubin", "-inkey", &key, "-rawin", "-in", &payload, "-sigfile", &signature];
    let ran = tokio::process::Command::new("openssl").args(args).output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let forged = write("forged", b"{}".to_vec());
    let args =
        ["pkeyutl", "-verify", "-pubin", "-inkey", &key, "-rawin", "-in", &forged, "-sigfile", &signature];
    assert!(!tokio::process::Command::new("openssl").args(args).output().await.unwrap().status.success());
}

/// Keeps, outside of what is deleted, when each commit was armed.
pub async fn watch_arming(system: &System) {
    for statement in [
        "CREATE TABLE armed_at (at timestamptz NOT NULL)",
        "CREATE FUNCTION note_arming() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN INSERT INTO public.armed_at VALUES (NEW.started_at); RETURN NEW; END $$",
        "CREATE TRIGGER note_arming AFTER INSERT ON remote_call FOR EACH ROW WHEN (NEW.kind = 'commit')
         EXECUTE FUNCTION note_arming()",
    ] {
        sqlx::query(statement).execute(&system.database.pool).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_armed_after_the_freeze_wherever_a_publication_was() {
    let mut system = System::start().await;
    watch_arming(&system).await;
    let points = [
        Point::AfterClaim,
        Point::AfterPrepareLogged,
        Point::AfterPrepareAnswer,
        Point::AfterPrepared,
        Point::AfterArm,
        Point::BeforeCommitSend,
        Point::AfterCommitAnswer,
        Point::AfterSeen,
    ];
    for (n, point) in points.into_iter().enumerate() {
        let (person, account) = a_page(&system, n).await;
        let words = format!("under way at {}", point.word());
        let wish = json!({ "caption": words, "kind": "post", "targets": [{ "account_id": account }] });
        system.start_worker(&[(point.word(), "kill9")]);
        assert_eq!(system.api(Method::POST, "/api/v1/posts", Some(&wish)).await.0, 202);
        assert_eq!(system.workers[0].ended().await, None, "{} was not reached", point.word());
        let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
        let armed = system.database.count("SELECT count(*) FROM armed_at").await;
        system.start_worker(&[]);
        let receipt = verified(&system, &done(&system, &id).await).await;
        assert_eq!(system.database.count("SELECT count(*) FROM armed_at").await, armed, "{}", point.word());
        assert!(system.effects(FACEBOOK, &words).await.len() <= 1);
        let told = &receipt["publications"];
        let (before, under_way) = (&told["given_up"], &told["under_way_when_asked"]);
        assert_eq!(
            before.as_i64().unwrap() + under_way.as_i64().unwrap(),
            i64::from(point != Point::AfterSeen)
        );
        system.workers.clear();
    }
}

/// One more Page of the sandbox's, and a person of its own.
pub async fn a_page(system: &System, n: usize) -> (String, String) {
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
pub async fn another_person(system: &System, n: usize) -> String {
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

/// Files a draft with a Page of the sandbox's that is known by this token, as if somebody had come too late with it.
async fn a_draft(system: &System, person: &str) {
    let named: (String, String) =
        sqlx::query_as("SELECT id::text, external_id FROM account WHERE subject_id = $1")
            .bind(person)
            .fetch_one(&system.database.pool)
            .await
            .unwrap();
    let (account, page) = named;
    let url = format!("{}/{page}/feed", system.addresses["graph"].as_str().unwrap());
    let token = format!("page-{page}");
    let form = [("published", "false"), ("message", "unseen"), ("access_token", token.as_str())];
    let made: Value =
        crate::harness::client().post(url).form(&form).send().await.unwrap().json().await.unwrap();
    let id = made["id"].as_str().unwrap_or_else(|| panic!("no draft: {made}"));
    let filed = format!(
        "INSERT INTO orphan_handle (account_id, handle_kind, handle_id) VALUES ('{account}', 'draft', '{id}')"
    );
    sqlx::query(AssertSqlSafe(filed)).execute(&system.database.pool).await.unwrap();
}

/// Has a worker that does nothing but delete die there.
async fn killed_at(system: &mut System, n: usize, point: Point) {
    let person = another_person(system, n).await;
    a_draft(system, &person).await;
    let (id, _) = deleted(system, &["--meta-user-id", &person, "--email", "somebody@example.com"]).await;
    // as if the store had been away when it was accepted
    let forgotten = "UPDATE deletion_request SET stone_at = NULL WHERE stage <> 'done'";
    sqlx::query(forgotten).execute(&system.database.pool).await.unwrap();
    let armed = format!("{}=kill9", point.word());
    let armed = [("POSTROOM_FAILPOINTS", armed.as_str())];
    let mut worker = system.process("killed", &["worker", "--queues", "deletion"], &armed);
    assert_eq!(worker.ended().await, None, "{} was not reached: {}", point.word(), worker.log());
    system.start_worker(&[]);
    let receipt = verified(system, &done(system, &id).await).await;
    assert_eq!((&receipt["verified"]["left"], &receipt["covered"]["accounts"]), (&json!(0), &json!(1)));
    let drafts = receipt["drafts"].as_array().unwrap();
    assert!(drafts.len() == 1 && drafts[0]["taken_back"] == true, "{}: {receipt}", point.word());
    assert_eq!(told(system, "somebody@example.com").await.len(), n, "told once");
    assert_eq!(system.database.count("SELECT count(*) FROM receipt_key").await, 1);
    assert_eq!(stored(system), Vec::<std::path::PathBuf>::new(), "{}", point.word());
    assert_eq!(in_store(system, "deletions").len(), n, "what a restore goes by stays");
    system.workers.clear();
}

/// Half of the places that a deletion comes by, each once.
async fn killed_at_half_of_all(half: usize) {
    let mut system = System::start().await;
    for (n, point) in (1..).zip(Point::of_kind("deletion").skip(half).step_by(2)) {
        killed_at(&mut system, n, point).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_step_of_a_deletion_leaves_it_done_once() {
    killed_at_half_of_all(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_other_step_of_a_deletion_leaves_it_done_once() {
    killed_at_half_of_all(1).await;
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
async fn a_grant_whose_key_is_lost_keeps_no_other_from_being_taken_back() {
    // P-D7
    let mut system = System::start().await;
    owned_by(&system, PERSON, "dana@example.com").await;
    let ring = system.environment["POSTROOM_KEYS"].clone();
    let lost = system.postroom(&["keys", "generate"], "").await;
    system.environment.insert("POSTROOM_KEYS".into(), lost);
    let add =
        ["account", "add", "--workspace", "Bakery", "--offline", "--platform", TIKTOK, "--name", CANARY];
    let of =
        ["--external-id", "sandbox-open-id", "--subject-id", PERSON, "--subject-email", "dana@example.com"];
    let pair = json!({ "access_token": "sandbox-tiktok-access", "refresh_token": "r" }).to_string();
    system.postroom(&[&add[..], &of[..]].concat(), &pair).await;
    system.environment.insert("POSTROOM_KEYS".into(), ring);
    system.environment.insert("POSTROOM__DELETION__SHRED".into(), "8s".into());
    system.environment.insert("POSTROOM__DELETION__DRAIN".into(), "1s".into());
    system.start_worker(&[]);
    let (id, _) = deleted(&system, &["--email", "dana@example.com"]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    let grants = receipt["grants"].as_array().unwrap();
    assert_eq!(grants.len(), 3, "{receipt}");
    for grant in grants {
        if grant["platform"] == TIKTOK {
            assert_eq!((&grant["answer"], &grant["code"]), (&json!("given_up"), &json!("key_ring")));
        } else {
            assert!(grant["answer"] == "revoked" || grant["answer"] == "already", "{receipt}");
        }
    }
    let left = "SELECT count(*) FROM vault.token t JOIN deletion_account d ON d.account_id = t.account_id";
    assert_eq!(system.database.count(left).await, 0, "they are destroyed all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_another_connection_needs_is_not_taken_back() {
    let system = System::with_workers(1).await;
    owned_by(&system, PERSON, "dana@example.com").await;
    let page = system.account(FACEBOOK).to_owned();
    let (id, _) = deleted(&system, &["--account", &page]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(receipt["grants"][0]["answer"], json!("superseded"), "{receipt}");
    let post = system.post("the other one goes on", &[INSTAGRAM]).await;
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_connected_anew_is_not_hit_by_the_old_request() {
    let mut system = System::start().await;
    let connect = async |system: &System| {
        let add = ["account", "add", "--workspace", "Bakery", "--offline", "--platform", FACEBOOK];
        let of = ["--external-id", "204000000000001", "--name", "Bakery", "--subject-id", "770001"];
        let pair = json!({ "access_token": "page-204000000000001" }).to_string();
        system.postroom(&[&add[..], &of[..]].concat(), &pair).await
    };
    let page = json!({ "platform": FACEBOOK, "external_id": "204000000000001", "name": "Bakery",
                       "access_token": "page-204000000000001" });
    system.tell("accounts", &page).await;
    let old = connect(&system).await;
    let callback = callback("app-secret", "770001", 1_795_996_400);
    let send = || {
        crate::harness::client()
            .post(system.url("/api/delete-data"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(callback.clone())
            .send()
    };
    let first: Value = send().await.unwrap().json().await.unwrap();
    // the person has thought better of it before anything was done
    let new = connect(&system).await;
    assert_ne!(new, old, "what is being erased is not connected again");
    let again: Value = send().await.unwrap().json().await.unwrap();
    assert_eq!(again, first, "a redelivery is the same request");
    let id: String = sqlx::query_scalar("SELECT id::text FROM deletion_request")
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    system.start_worker(&[]);
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!((erased(&receipt, "account"), &receipt["grants"][0]["answer"]), (1, &json!("superseded")));
    let wish = json!({ "caption": "back again", "kind": "post", "targets": [{ "account_id": new }] });
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_person_shares_with_another_account_stays_there() {
    let system = System::with_workers(1).await;
    let media = system.upload("shared.jpg", picture()).await;
    let wish = system.wish("shared by two", &PLATFORMS[..2], &[media]);
    let (_, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    let post = post["id"].as_str().unwrap().to_owned();
    system.all_live_once(std::slice::from_ref(&post)).await;
    let (id, _) = deleted(&system, &["--account", system.account(FACEBOOK)]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(
        (erased(&receipt, "publication"), erased(&receipt, "post"), erased(&receipt, "media")),
        (1, 0, 0)
    );
    let (_, left) = system.api(Method::GET, &format!("/api/v1/posts/{post}"), None).await;
    assert_eq!(left["publications"].as_array().unwrap().len(), 1, "{left}");
    assert!(!stored(&system).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_requests_share_goes_with_the_last_of_them() {
    let mut system = System::start().await;
    let media = system.upload("shared.jpg", picture()).await;
    let mut wish = system.wish("shared by two", &PLATFORMS[..2], &[media]);
    wish["schedule"] = json!({ "at": "2027-06-01T09:00:00Z" });
    assert_eq!(system.api(Method::POST, "/api/v1/posts", Some(&wish)).await.0, 202);
    let mut requests = Vec::new();
    for platform in &PLATFORMS[..2] {
        let (id, _) = deleted(&system, &["--account", system.account(platform)]).await;
        requests.push(id);
    }
    system.start_worker(&[]);
    let mut posts = 0;
    for id in &requests {
        posts += erased(&verified(&system, &done(&system, id).await).await, "post");
    }
    assert_eq!(posts, 1, "one of them took it away");
    let left = "SELECT (SELECT count(*) FROM post) + (SELECT count(*) FROM post_media) + (SELECT count(*) FROM media)";
    assert_eq!(system.database.count(left).await, 0);
    assert_eq!(stored(&system), Vec::<std::path::PathBuf>::new());
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
    let ids = "SELECT id FROM account WHERE subject_id = '770001'";
    let account: uuid::Uuid = sqlx::query_scalar(ids).fetch_one(&system.database.pool).await.unwrap();
    let opens = async || {
        let ledger = Ledger::open(&SecretString::from(system.database.url.clone()), Role::Owner, 1).unwrap();
        let ring = KeyRing::parse(&system.environment["POSTROOM_KEYS"]).unwrap();
        ledger.open_token(&ring, account).await
    };
    opens().await.expect("with its key it is back, too");
    let check = system.told(&["restore", "--check"]).await;
    assert_eq!(check["deletions"], json!([id]));
    assert_eq!((&check["shredded"], &check["keyless"]), (&json!([account]), &json!(0)));
    assert_eq!(
        system.database.count("SELECT count(*) FROM deletion_request").await,
        0,
        "a check changes nothing"
    );
    run(
        &system,
        "CREATE TABLE copied AS SELECT account_id, field, generation, key_id, sealed FROM vault.token",
    )
    .await;
    let restored = system.told(&["restore"]).await;
    assert_eq!(restored["shredded"], json!([account]));
    assert_eq!(system.database.count("SELECT count(*) FROM account WHERE state = 'frozen'").await, 1);
    // no worker has started yet: the token is gone with its key, and what the backup has of it opens no more
    assert!(matches!(opens().await, Err(VaultError::Missing)));
    let copy = "INSERT INTO vault.token (account_id, field, generation, key_id, sealed)
                SELECT account_id, field, generation, key_id, sealed FROM copied c WHERE c.account_id NOT IN
                    (SELECT account_id FROM vault.token)";
    run(&system, copy).await;
    assert!(matches!(opens().await, Err(VaultError::Key(KeyError::Shredded))));
    let shut = "DELETE FROM vault.token t
                WHERE NOT EXISTS (SELECT FROM vault.data_key k WHERE k.account_id = t.account_id)";
    for statement in [shut, "DROP TABLE copied"] {
        run(&system, statement).await;
    }
    system.start_web().await;
    system.start_worker(&[]);
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!((system.database.count(there).await, &receipt["covered"]["accounts"]), (0, &json!(1)));
    assert_eq!(
        (&receipt["data_keys"]["destroyed"], &receipt["grants"][0]["answer"]),
        (&json!(1), &json!("nothing"))
    );
    let again = system.told(&["restore", "--check"]).await;
    assert_eq!((&again["deletions"], &again["shredded"]), (&json!([]), &json!([])));
}

async fn run(system: &System, statement: &'static str) {
    sqlx::query(statement).execute(&system.database.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_tells_which_tokens_had_no_key_that_could_be_destroyed() {
    // P-D7
    let mut system = System::start().await;
    let person = another_person(&system, 1).await;
    // as an earlier version has sealed them: whoever has the ring opens a copy of them
    crate::keys::as_earlier(&system).await;
    let theirs =
        "SELECT count(*) FROM vault.token t JOIN account a ON a.id = t.account_id WHERE a.subject_id = $1";
    let tokens = system.database.count_of(theirs, &person).await;
    assert!(tokens > 0);
    system.start_worker(&[]);
    let (id, _) = deleted(&system, &["--meta-user-id", &person]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    let keys = &receipt["data_keys"];
    assert_eq!((&keys["destroyed"], &keys["tokens_without"]), (&json!(0), &json!(tokens)), "{receipt}");
    assert_eq!(system.database.count_of(theirs, &person).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_does_not_go_on_shows_where_it_is_watched() {
    let (door, _) = with_a_person().await;
    call_back(&door, callback("app-secret", PERSON, 7)).await;
    let late = async || page(&door, "/readyz").await.json()["late_queues"].as_array().unwrap().clone();
    assert_eq!(late().await, Vec::<Value>::new());
    let said = "request for deletion does not go on as promised";
    let elsewhere = door.scratch.ledger.add_workspace("Florist").await.unwrap();
    let stranger = door.person("florist@example.org", MemberRole::Privacy).await;
    door.scratch
        .run(&format!("UPDATE membership SET workspace_id = '{elsewhere}' WHERE person_id = '{stranger}'"))
        .await;
    let mut first_pages = [
        (Browser::of(&door, MemberRole::Privacy).await, true),
        (Browser::of(&door, MemberRole::Author).await, false),
        (Browser::signed_in(&door, "florist@example.org").await, false),
    ];
    for (browser, _) in &mut first_pages {
        assert!(!browser.get("/posts").await.text.contains(said));
    }
    for behind in [
        "moved_at = ledger_now() - interval '61 minutes'",
        "moved_at = ledger_now(), received_at = ledger_now() - interval '13 hours'",
        "moved_at = ledger_now(), shredded_at = ledger_now(), received_at = ledger_now() - interval '16 days'",
    ] {
        door.scratch.run(&format!("UPDATE deletion_request SET {behind}")).await;
        let told = late().await;
        assert_eq!(told.len(), 1, "{behind}: {told:?}");
        assert!(told[0]["why"].as_str().unwrap().contains("does not go on as promised"));
        for (browser, sees) in &mut first_pages {
            assert_eq!(browser.get("/posts").await.text.contains(said), *sees, "{behind}");
        }
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
    let rotated = system.told(&["keys", "rotate"]).await;
    assert_eq!((&rotated["deletions"], &rotated["left"]), (&json!(1), &json!(0)), "{rotated}");
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
    for (store, many) in [("vault.token", 4), ("vault.data_key", 3)] {
        assert_eq!((of(store).len(), &of(store)[0]["sealed"]), (many, &Value::Null), "{store}");
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_flooded_with_links() {
    let door = Door::open().await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(send_form(&door, "/privacy/delete", "email=dana%40example.com").await.status);
    }
    assert!(answers.contains(&StatusCode::TOO_MANY_REQUESTS), "{answers:?}");
    let other = send_form(&door, "/privacy/delete", "email=noa%40example.com").await;
    assert_eq!(other.status, StatusCode::ACCEPTED, "somebody else may ask");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_mail_is_sent_no_link_is_promised_and_the_state_page_is_the_confirmation() {
    // P-D9 P-D12
    let door = Door::open_with(|house| house.mail = false).await;
    let account = door.account(FACEBOOK).await;
    let known = format!(
        "UPDATE account SET subject_id = '{PERSON}', subject_email = 'dana@example.com' WHERE id = '{account}'"
    );
    door.scratch.run(&known).await;
    for (lang, said) in [("en", "No mail is sent from here"), ("he", "מכאן לא נשלח דואר")] {
        let form = page(&door, &format!("/privacy/delete?lang={lang}")).await;
        assert_eq!(form.status, StatusCode::OK);
        assert!(form.text.contains(said) && !form.text.contains("<form"), "{}", form.text);
        let sent =
            send_form(&door, "/privacy/delete", &format!("email=dana%40example.com&lang={lang}")).await;
        assert_eq!(sent.status, StatusCode::CONFLICT);
        assert!(sent.text.contains(said), "{}", sent.text);
    }
    let written = "SELECT (SELECT count(*) FROM deletion_ask) + (SELECT count(*) FROM deletion_letter)";
    assert_eq!(door.scratch.number(written).await, 0);
    let answer = call_back(&door, callback("app-secret", PERSON, 7)).await.json();
    let path = format!("/privacy/requests/{}?lang=en", answer["confirmation_code"].as_str().unwrap());
    let shown = page(&door, &path).await;
    assert!(
        shown.text.contains("No mail is sent from here, so this page is the confirmation"),
        "{}",
        shown.text
    );
}

#[tokio::test]
async fn what_is_held_of_people_is_told_from_the_register_that_deletions_go_by() {
    let door = Door::open().await;
    let shown = page(&door, "/privacy/data?lang=he").await;
    assert_eq!(shown.status, StatusCode::OK);
    assert!(shown.text.contains("lang=\"he\" dir=\"rtl\""), "{}", shown.text);
    for store in register::all() {
        for (_, what) in store.personal.iter().filter(|(_, what)| !what.contains('\'')) {
            assert!(shown.text.contains(what), "{}: {what} is not told", store.name);
        }
    }
    let form = page(&door, "/privacy/delete?lang=en").await;
    assert!(form.text.contains("href=\"/privacy/data?lang=en\""), "{}", form.text);
}

#[tokio::test]
async fn a_link_that_ended_is_not_mailed_any_more_and_a_confirmation_waits_for_a_week() {
    // P-D9
    let door = Door::open().await;
    let asked = send_form(&door, "/privacy/delete", "email=dana%40example.com").await;
    assert_eq!(asked.status, StatusCode::ACCEPTED);
    door.scratch
        .run("INSERT INTO deletion_letter (id, kind, sealed) VALUES (gen_random_uuid(), 'done', '\\x00')")
        .await;
    let forgotten = async |age: &str| {
        let aged = format!("UPDATE deletion_letter SET created_at = ledger_now() - interval '{age}'");
        door.scratch.run(&aged).await;
        door.scratch.ledger.forget_letters().await.unwrap()
    };
    assert_eq!(forgotten("23 hours").await, 0);
    assert_eq!(forgotten("25 hours").await, 1);
    assert_eq!(door.scratch.number("SELECT count(*) FROM deletion_letter WHERE kind = 'done'").await, 1);
    assert_eq!(forgotten("8 days").await, 1);
}
