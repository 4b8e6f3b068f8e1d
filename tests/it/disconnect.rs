//! Accounts that are disconnected: their access is taken back at the network and shredded here, once, whoever dies on the way.

use axum::{
    body::Body,
    http::{Method as Verb, Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jobs::failpoint::Point;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    connect::{Person, key, page, shown, token},
    harness::{FACEBOOK, System, TIKTOK, eventually},
    support::Door,
};

const ID: &str = "104000000000951";
/// The payload of the vector in Meta's documents.
const ENCODED: &str = "eyJhbGdvcml0aG0iOiJITUFDLVNIQTI1NiIsImV4cGlyZXMiOjE3OTYwMDAwMDAsImlzc3VlZF9hdCI6MTc5NTk5NjQwMCwidXNlcl9pZCI6IjEwMDAyMTg0NzUifQ";

/// A system in which it is known who granted what there is: what nobody wrote down may rest on anybody's grant.
async fn start(workers: usize) -> System {
    let system = System::with_workers(workers).await;
    let known = "UPDATE account SET subject_id = '1000218475' WHERE platform <> 'tiktok'";
    sqlx::query(known).execute(&system.database.pool).await.unwrap();
    system
}

/// Connects a Page of a person's, and gives our id of it.
async fn connected(system: &System, id: &str) -> String {
    page(system, id, json!({})).await;
    Person::admin(system).await.connects(FACEBOOK, &[id], &[&key(FACEBOOK, id)]).await;
    shown(system, id).await.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn disconnect(system: &System, id: &str) -> Value {
    let (status, account) = system.api(Method::DELETE, &format!("/api/v1/accounts/{id}"), None).await;
    assert_eq!(status, 202, "{account}");
    account
}

/// Waits until that has become of an account's access.
async fn parted(system: &System, external: &str, access: &str) -> Value {
    eventually(access, || async {
        let account = shown(system, external).await.unwrap();
        if account["disconnected"]["access"] == access { Ok(account) } else { Err(account.to_string()) }
    })
    .await
}

async fn tokens(system: &System, id: &str) -> i64 {
    let count = "SELECT count(*) FROM vault.token WHERE account_id::text = $1";
    system.database.count_of(count, id).await
}

/// How often Meta was asked to take access back.
async fn asked(system: &System) -> usize {
    let calls = system.control("calls?call=permissions").await;
    calls["data"].as_array().unwrap().iter().filter(|call| call["method"] == "DELETE").count()
}

async fn no_jobs(system: &System) {
    eventually("the jobs to be over", || async {
        let left = system.database.count("SELECT count(*) FROM job WHERE kind = 'disconnect'").await;
        if left == 0 { Ok(()) } else { Err(format!("{left} jobs")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_disconnected_its_access_taken_back_and_its_posts_are_told_and_go_on_later() {
    // P-D5
    let system = start(1).await;
    let id = connected(&system, ID).await;
    let later =
        json!({ "caption": "when it is connected again", "kind": "post", "targets": [{ "account_id": id }] });
    let pause = json!({ "reason": "until the test goes on" });
    system.api(Method::POST, "/api/v1/queues/publish/pause", Some(&pause)).await;
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&later)).await;
    assert_eq!(status, 202, "{post}");
    let post = post["id"].as_str().unwrap().to_owned();

    let said = disconnect(&system, &id).await;
    assert_eq!((&said["state"], &said["disconnected"]["by"]), (&json!("reconnect"), &json!("key")), "{said}");
    system.api(Method::POST, "/api/v1/queues/publish/resume", None).await;
    let account = parted(&system, ID, "revoked").await;
    assert_eq!(account["state_reason"], "the account was disconnected");
    assert_eq!((tokens(&system, &id).await, asked(&system).await), (0, 1));
    system.every_call_was_logged_first().await;
    let told =
        "SELECT count(*) FROM attempt WHERE outcome = 'paused' AND reason = 'the account was disconnected'";
    assert_eq!(system.database.count(told).await, 1);
    let staff = Person::admin(&system).await;
    let shown_to_people = staff.get(&format!("/posts/{post}")).await.text;
    assert!(shown_to_people.contains("the account was disconnected"), "{shown_to_people}");
    let row = staff.get("/accounts").await.text;
    assert!(row.contains("by A program with an API key"), "{row}");
    assert!(row.contains("Its network has taken the access back"), "{row}");
    let written = "SELECT count(*) FROM audit WHERE action = 'account_disconnected' AND actor = 'key'";
    assert_eq!(system.database.count(written).await, 1);
    // nothing renews it, and wishing it again changes nothing
    let (status, _) = system.api(Method::POST, &format!("/api/v1/accounts/{id}/refresh"), None).await;
    assert_eq!(status, 409);
    disconnect(&system, &id).await;
    assert_eq!(asked(&system).await, 1);

    staff.connects(FACEBOOK, &[ID], &[&key(FACEBOOK, ID)]).await;
    let again = shown(&system, ID).await.unwrap();
    assert_eq!((&again["id"], &again["disconnected"]), (&json!(id), &Value::Null));
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_that_others_rest_on_is_taken_back_with_the_last_of_them() {
    let system = start(1).await;
    let (one, other) = ("104000000000952", "104000000000953");
    page(&system, one, json!({})).await;
    page(&system, other, json!({})).await;
    let staff = Person::admin(&system).await;
    staff.connects(FACEBOOK, &[one, other], &[&key(FACEBOOK, one), &key(FACEBOOK, other)]).await;
    let id = |account: Value| account["id"].as_str().unwrap().to_owned();
    let (first, second) = (id(shown(&system, one).await.unwrap()), id(shown(&system, other).await.unwrap()));
    disconnect(&system, &first).await;
    parted(&system, one, "kept").await;
    assert_eq!((tokens(&system, &first).await, asked(&system).await), (0, 0));
    assert!(staff.get("/accounts").await.text.contains("Other accounts rest on the same access"));
    // the other one works on
    let wish =
        json!({ "caption": "the other works on", "kind": "post", "targets": [{ "account_id": second }] });
    let (_, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
    disconnect(&system, &second).await;
    parted(&system, other, "revoked").await;
    assert_eq!((tokens(&system, &second).await, asked(&system).await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_disconnects_from_the_console_and_nobody_else() {
    let system = start(1).await;
    let account = json!({
        "platform": TIKTOK, "external_id": "open-9", "name": "nine", "access_token": "act-9", "refresh_token": "rft-9",
    });
    system.tell("accounts", &account).await;
    let staff = Person::admin(&system).await;
    staff.connects(TIKTOK, &["open-9"], &[&key(TIKTOK, "open-9")]).await;
    let id = shown(&system, "open-9").await.unwrap()["id"].as_str().unwrap().to_owned();
    let at = format!("/accounts/{id}/disconnect");
    let asks = staff.get(&at).await;
    assert!(asks.text.contains("Disconnect “nine”?"), "{}", asks.text);
    assert_eq!(staff.post(&at, &[("token".into(), "forged".into())]).await.status, 403);
    assert_eq!(shown(&system, "open-9").await.unwrap()["state"], "active");
    let user = [
        "user",
        "add",
        "--email",
        "pen@example.com",
        "--first",
        "Pen",
        "--last",
        "Levi",
        "--role",
        "publisher",
    ];
    system.postroom(&[&user[..], &["--workspace", "Bakery"]].concat(), "corner-bakery-pens").await;
    let pen = Person::signed_in(&system, "pen@example.com", "corner-bakery-pens").await;
    assert_eq!(pen.get(&at).await.status, 403);
    assert_eq!(staff.post(&at, &[("token".into(), token(&asks.text))]).await.status, 303);
    let gone = parted(&system, "open-9", "revoked").await;
    assert_eq!(gone["disconnected"]["by"], "staff");
    assert!(staff.get("/accounts").await.text.contains("by Dana Levi"));
    assert_eq!(tokens(&system, &id).await, 0);
    let calls = system.control("calls?call=revoke").await;
    assert_eq!(calls["data"].as_array().unwrap().len(), 1);
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_away_is_asked_until_it_says_yes() {
    let system = start(1).await;
    let id = connected(&system, ID).await;
    system.fault(json!({ "call": "permissions", "times": 1, "fault": "no_effect_then_500" })).await;
    system.fault(json!({ "call": "permissions", "times": 1, "fault": "effect_then_drop" })).await;
    disconnect(&system, &id).await;
    parted(&system, ID, "revoked").await;
    // each token that is kept was asked by once it was known that the first is no good any more
    assert_eq!((tokens(&system, &id).await, asked(&system).await), (0, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_network_will_not_take_back_within_a_day_is_shredded_all_the_same() {
    let system = start(1).await;
    let id = connected(&system, ID).await;
    let no = json!({ "graph": { "code": 1, "http": 500, "message": "no", "effect": false } });
    system.fault(json!({ "call": "permissions", "fault": no })).await;
    disconnect(&system, &id).await;
    eventually("the network to have been asked", || async {
        let asked = asked(&system).await;
        if asked > 0 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    assert_eq!(tokens(&system, &id).await, 2, "the token goes last");
    let day =
        "UPDATE account SET disconnected_at = disconnected_at - interval '23 hours' WHERE parting = 'asked'";
    sqlx::query(day).execute(&system.database.pool).await.unwrap();
    parted(&system, ID, "unproved").await;
    assert_eq!(tokens(&system, &id).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_whose_token_has_ended_is_taken_back_by_the_app() {
    let system = start(1).await;
    let id = connected(&system, ID).await;
    let ended =
        json!({ "graph": { "code": 190, "subcode": 463, "http": 400, "message": "ended", "effect": false } });
    system.fault(json!({ "call": "permissions", "times": 1, "fault": ended })).await;
    disconnect(&system, &id).await;
    parted(&system, ID, "revoked").await;
    assert_eq!((tokens(&system, &id).await, asked(&system).await), (0, 2));
    let said =
        "SELECT count(*) FROM remote_call WHERE kind = 'revoke' AND verdict = 'ok' AND remote_code IS NULL";
    assert_eq!(system.database.count(said).await, 1, "the app was told that it is gone");
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_was_disconnected_keeps_no_deletion_from_taking_the_grant_back() {
    let system = start(1).await;
    let (one, other) = ("104000000000954", "104000000000955");
    page(&system, one, json!({})).await;
    page(&system, other, json!({})).await;
    let staff = Person::admin(&system).await;
    staff.connects(FACEBOOK, &[one, other], &[&key(FACEBOOK, one), &key(FACEBOOK, other)]).await;
    let id = |account: Value| account["id"].as_str().unwrap().to_owned();
    let (first, second) = (id(shown(&system, one).await.unwrap()), id(shown(&system, other).await.unwrap()));
    disconnect(&system, &first).await;
    parted(&system, one, "kept").await;
    assert_eq!(system.database.count("SELECT count(*) FROM connection").await, 1);
    system.told(&["delete-subject", "--account", &second]).await;
    eventually("the deletion to be done", || async {
        let done = "SELECT count(*) FROM deletion_request WHERE stage = 'done'";
        if system.database.count(done).await == 1 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    let revoked = "SELECT count(*) FROM deletion_account WHERE revocation = 'revoked'";
    assert_eq!((system.database.count(revoked).await, asked(&system).await), (1, 1));
    // what the dialog had offered names what was deleted
    assert_eq!(system.database.count("SELECT count(*) FROM connection").await, 0);
}

async fn dies(armed: (&str, &str), asked_for: usize) {
    let mut system = start(1).await;
    let id = connected(&system, ID).await;
    system.workers.clear();
    disconnect(&system, &id).await;
    system.start_worker(&[armed]);
    assert_eq!(system.workers[0].ended().await, None, "{armed:?}");
    system.start_worker(&[]);
    parted(&system, ID, "revoked").await;
    no_jobs(&system).await;
    assert_eq!((tokens(&system, &id).await, asked(&system).await), (0, asked_for), "{armed:?}");
    let open = "SELECT count(*) FROM remote_call WHERE kind = 'revoke' AND verdict IS NULL";
    assert_eq!(system.database.count(open).await, 0, "{armed:?}");
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_at_any_step_leaves_one_account_parted_from_its_access() {
    dies((Point::AfterRevokeLogged.word(), "kill9"), 1).await;
    dies((Point::AfterRevokeAnswer.word(), "kill9"), 3).await;
    dies((Point::AfterParted.word(), "kill9"), 1).await;
}

fn signed(secret: &str, payload: &Value) -> String {
    let encoded = URL_SAFE_NO_PAD.encode(payload.to_string());
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(encoded.as_bytes());
    format!("{}.{encoded}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[expect(clippy::disallowed_methods, reason = "the sender's clock is the machine's")]
pub fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

pub async fn deauthorizes(system: &System, person: &str, at: i64) -> u16 {
    let payload =
        json!({ "algorithm": "HMAC-SHA256", "user_id": person, "issued_at": at, "profile_id": "7" });
    let http = crate::harness::client();
    let form = [("signed_request", signed("app-secret", &payload))];
    http.post(system.url("/api/deauthorize")).form(&form).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_removes_the_app_at_facebook_is_disconnected_without_a_call() {
    // P-D5
    let system = start(1).await;
    let id = connected(&system, ID).await;
    let wish = json!({ "caption": "waits", "kind": "post", "targets": [{ "account_id": id }] });
    assert_eq!(deauthorizes(&system, "somebody-else", now()).await, 200, "an unknown person is harmless");
    assert_eq!(deauthorizes(&system, "7001", 1_700_000_000).await, 200, "it was connected since");
    assert_eq!(shown(&system, ID).await.unwrap()["state"], "active");
    assert_eq!(deauthorizes(&system, "7001", now()).await, 200);
    let account = parted(&system, ID, "told").await;
    assert_eq!(account["disconnected"]["by"], "network");
    assert!(account["state_reason"].as_str().unwrap().contains("its owner has taken the access away"));
    assert_eq!((tokens(&system, &id).await, asked(&system).await), (0, 0));
    no_jobs(&system).await;
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_ne!(status, 202, "{post}");
    // told again, it changes nothing; and what was connected since stays
    let at = now();
    assert_eq!(deauthorizes(&system, "7001", at).await, 200);
    assert_eq!(system.database.count("SELECT count(*) FROM job WHERE kind = 'disconnect'").await, 0);
    Person::admin(&system).await.connects(FACEBOOK, &[ID], &[&key(FACEBOOK, ID)]).await;
    let since =
        "UPDATE account SET connected_at = ledger_now() + interval '2 seconds' WHERE subject_id = '7001'";
    sqlx::query(since).execute(&system.database.pool).await.unwrap();
    assert_eq!(deauthorizes(&system, "7001", at).await, 200);
    assert_eq!(shown(&system, ID).await.unwrap()["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_did_not_sign_disconnects_nobody() {
    let door = Door::open_with(|house| {
        house.deletions.meta_secret = Some("0123456789abcdef0123456789abcdef".into());
    })
    .await;
    door.account(FACEBOOK).await;
    door.scratch.run("UPDATE account SET subject_id = '1000218475', connected_at = '2026-01-01Z'").await;
    let tell = async |body: String| {
        let request =
            Request::post("/api/deauthorize").header("content-type", "application/x-www-form-urlencoded");
        door.send(request.body(Body::from(body)).unwrap()).await.status
    };
    for wrong in [
        String::new(),
        format!("signed_request=mt4erXQX8xCXDsTY3FSWIyoVVTtn_Z1K5Maqlm81rc4.{ENCODED}"),
        format!("signed_request=nlqQHezQaunnxRNM08RM2U8coXA0Doj_xuOVSB33aBs.{ENCODED}"),
        format!("signed_request={ENCODED}"),
        format!("other=J8JkHkjT0ZSaX7tUDzSEU8ngyvfXvDZmm-2lW93_2IU.{ENCODED}"),
    ] {
        assert_eq!(tell(wrong.clone()).await, StatusCode::FORBIDDEN, "{wrong}");
    }
    let parted = "SELECT count(*) FROM account WHERE parting = 'asked'";
    assert_eq!(door.scratch.number(parted).await, 0);
    let right = format!("signed_request=J8JkHkjT0ZSaX7tUDzSEU8ngyvfXvDZmm-2lW93_2IU.{ENCODED}");
    for _ in 0..3 {
        assert_eq!(tell(right.clone()).await, StatusCode::OK);
        assert_eq!(door.scratch.number(parted).await, 1);
        assert_eq!(door.scratch.number("SELECT count(*) FROM job WHERE kind = 'disconnect'").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tiktoks_word_that_access_was_removed_shreds_it_without_a_call() {
    let system = start(1).await;
    let id = system.account(TIKTOK).to_owned();
    let body = json!({
        "client_key": "key", "event": "authorization.removed", "create_time": now(), "user_openid": "sandbox-open-id",
        "content": "{\"reason\":1}",
    })
    .to_string();
    let at = now();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    let signature = format!("t={at},s={}", hex::encode(mac.finalize().into_bytes()));
    let http = crate::harness::client();
    for _ in 0..2 {
        let told = http
            .post(system.url("/api/webhooks/tiktok"))
            .header("tiktok-signature", &signature)
            .body(body.clone())
            .send()
            .await
            .unwrap();
        assert_eq!(told.status(), 200);
    }
    parted(&system, "sandbox-open-id", "told").await;
    assert_eq!(tokens(&system, &id).await, 0);
    let calls = system.control("calls?call=revoke").await;
    assert_eq!(calls["data"].as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_disconnected_through_the_api_by_its_own_workspace_once() {
    let door = Door::open().await;
    let account = door.account(FACEBOOK).await;
    let path = format!("/api/v1/accounts/{account}");
    let with = |key: &str, idempotency: &str| {
        Request::delete(&path)
            .header("authorization", format!("Bearer {key}"))
            .header("idempotency-key", idempotency)
            .body(Body::empty())
            .unwrap()
    };
    let other = door.scratch.ledger.clone();
    let foreign = other.add_workspace("Elsewhere").await.expect("a workspace");
    let key = door.key_for(Some(foreign), postroom::ledger::keys::Scope::ALL).await;
    assert_eq!(door.send(with(&key, "a")).await.status, StatusCode::NOT_FOUND);
    let reader = door.key_for(Some(door.workspace), &[postroom::ledger::keys::Scope::AccountsRead]).await;
    assert_eq!(door.send(with(&reader, "a")).await.status, StatusCode::FORBIDDEN);
    let first = door.send(with(&door.key, "one")).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    let again = door.send(with(&door.key, "one")).await;
    assert_eq!((again.status, &again.text), (StatusCode::ACCEPTED, &first.text));
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(first.json()["disconnected"]["access"], "asked");
    assert_eq!(door.scratch.number("SELECT count(*) FROM job WHERE kind = 'disconnect'").await, 1);
    let nobody = door.request(&Verb::DELETE, "/api/v1/accounts/0193a5b2-7c1e-7d3f-9a4b-5c6d7e8f9a0b");
    assert_eq!(door.send(nobody.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_FOUND);
}
