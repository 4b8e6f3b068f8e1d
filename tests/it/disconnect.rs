//! Accounts that are disconnected: their access is taken back at the network and shredded here, once, whoever dies on the way.

use axum::{
    body::Body,
    http::{Method as Verb, Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jobs::failpoint::Point;
use postroom::ledger::{Ledger, Role, accounts::NewAccount, vault::TokenPair};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    connect::{Person, key, page, shown, token},
    harness::{FACEBOOK, System, TIKTOK, eventually},
    support::{Door, ring},
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

/// A TikTok account that the network has besides, connected: its id.
async fn tiktok(system: &System, external: &str) -> String {
    let account = json!({
        "platform": TIKTOK, "external_id": external, "name": external,
        "access_token": format!("act-{external}"), "refresh_token": format!("rft-{external}"),
    });
    system.tell("accounts", &account).await;
    Person::admin(system).await.connects(TIKTOK, &[external], &[&key(TIKTOK, external)]).await;
    shown(system, external).await.unwrap()["id"].as_str().unwrap().to_owned()
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
async fn a_dialog_that_nobody_goes_on_with_only_puts_off_that_access_is_taken_back() {
    let system = start(1).await;
    let id = connected(&system, ID).await;
    // the same person goes through the dialog again, and leaves the page where something is to be chosen
    let staff = Person::admin(&system).await;
    let at = staff.goes(FACEBOOK, &[ID], &[]).await;
    staff.rests(&at).await;
    disconnect(&system, &id).await;
    eventually("the job to wait", || async {
        let waits = "SELECT count(*) FROM attempt WHERE outcome = 'waiting' AND reason = 'the same person is connecting accounts'";
        let waits = system.database.count(waits).await;
        if waits > 0 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    assert_eq!((tokens(&system, &id).await, asked(&system).await), (2, 0), "nothing is lost meanwhile");
    for late in [
        "UPDATE connection SET expires_at = ledger_now() WHERE ended_at IS NULL",
        "UPDATE job SET run_at = ledger_now(), epoch = epoch + 1 WHERE kind = 'disconnect'",
    ] {
        sqlx::query(late).execute(&system.database.pool).await.unwrap();
    }
    parted(&system, ID, "revoked").await;
    assert_eq!((tokens(&system, &id).await, asked(&system).await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_chosen_before_an_account_was_disconnected_does_not_connect_it_again() {
    let system = start(1).await;
    let id = connected(&system, ID).await;
    let staff = Person::admin(&system).await;
    let at = staff.goes(FACEBOOK, &[ID], &[]).await;
    let text = staff.rests(&at).await;
    let pause = json!({ "reason": "until the test goes on" });
    system.api(Method::POST, "/api/v1/queues/connect/pause", Some(&pause)).await;
    assert_eq!(staff.chooses(&at, &text, &[&key(FACEBOOK, ID)]).await.status, 303);
    disconnect(&system, &id).await;
    parted(&system, ID, "revoked").await;
    system.api(Method::POST, "/api/v1/queues/connect/resume", None).await;
    eventually("the choice to be passed over", || async {
        let left = system.database.count("SELECT count(*) FROM job WHERE kind = 'connect'").await;
        if left == 0 { Ok(()) } else { Err(format!("{left} jobs")) }
    })
    .await;
    assert!(staff.rests(&at).await.contains("was disconnected after it was chosen"));
    assert_eq!(shown(&system, ID).await.unwrap()["disconnected"]["access"], "revoked");
    assert_eq!((tokens(&system, &id).await, asked(&system).await), (0, 1));
    let secrets = "SELECT count(*) FROM vault.connection_secret";
    eventually("what the dialog gave to be shredded", || async {
        let left = system.database.count(secrets).await;
        if left == 0 { Ok(()) } else { Err(format!("{left} secrets")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_access_is_taken_back_while_what_needs_it_may_be_on_the_wire() {
    // I9
    let system = start(1).await;
    let id = connected(&system, ID).await;
    let wish = json!({
        "caption": "nobody knows yet", "kind": "post", "targets": [{ "account_id": id }],
        "schedule": { "at": "2027-12-01T09:30", "time_zone": "UTC" },
    });
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    let sent = "UPDATE publication SET state = 'unknown', quarantine_until = ledger_now() + interval '1 day',
                                       next_check_at = ledger_now() + interval '1 day'
                WHERE account_id::text = $1";
    sqlx::query(sent).bind(&id).execute(&system.database.pool).await.unwrap();
    disconnect(&system, &id).await;
    let waited = async |times: i64| {
        eventually("the job to wait", || async {
            let waits = "SELECT count(*) FROM attempt WHERE outcome = 'waiting' AND reason = 'what is on its way to the network is waited for'";
            let waits = system.database.count(waits).await;
            if waits >= times { Ok(waits) } else { Err(format!("{waits} times")) }
        })
        .await
    };
    let before = waited(1).await;
    let long =
        "UPDATE account SET disconnected_at = disconnected_at - interval '1 hour' WHERE parting = 'asked'";
    sqlx::query(long).execute(&system.database.pool).await.unwrap();
    waited(before + 2).await;
    assert_eq!((tokens(&system, &id).await, asked(&system).await), (2, 0), "however long it takes");
    let over = "UPDATE publication SET quarantine_until = ledger_now() WHERE account_id::text = $1";
    sqlx::query(over).bind(&id).execute(&system.database.pool).await.unwrap();
    parted(&system, ID, "revoked").await;
    assert_eq!((tokens(&system, &id).await, asked(&system).await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_disconnect_is_not_cancelled_and_one_that_lost_its_job_gets_another() {
    let system = start(1).await;
    let id = connected(&system, ID).await;
    let pause = json!({ "reason": "until the test goes on" });
    system.api(Method::POST, "/api/v1/queues/disconnect/pause", Some(&pause)).await;
    disconnect(&system, &id).await;
    let job = "SELECT id::text FROM job WHERE kind = 'disconnect'";
    let lost: String = sqlx::query_scalar(job).fetch_one(&system.database.pool).await.unwrap();
    let (status, refused) = system.api(Method::POST, &format!("/api/v1/jobs/{lost}/cancel"), None).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("goes on until that is done"), "{refused}");
    sqlx::query("DELETE FROM job WHERE kind = 'disconnect'").execute(&system.database.pool).await.unwrap();
    eventually("another job", || async {
        let found: Option<String> =
            sqlx::query_scalar(job).fetch_optional(&system.database.pool).await.unwrap();
        if found.as_ref().is_some_and(|found| *found != lost) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    system.api(Method::POST, "/api/v1/queues/disconnect/resume", None).await;
    parted(&system, ID, "revoked").await;
    no_jobs(&system).await;
    assert_eq!((tokens(&system, &id).await, asked(&system).await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_disconnects_from_the_console_and_nobody_else() {
    let system = start(1).await;
    let staff = Person::admin(&system).await;
    let id = tiktok(&system, "open-9").await;
    let at = format!("/accounts/{id}/disconnect");
    let asks = staff.get(&at).await;
    assert!(asks.text.contains("Disconnect “open-9”?"), "{}", asks.text);
    assert_eq!(staff.post(&at, &[("token".into(), "forged".into())]).await.status, 403);
    assert_eq!(shown(&system, "open-9").await.unwrap()["state"], "active");
    let pen = Person::publisher(&system).await;
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
async fn tokens_that_are_no_good_any_more_do_not_prove_that_the_grant_is_gone() {
    let system = start(1).await;
    let other = tiktok(&system, "open-8").await;
    let ended = json!({ "tiktok": { "code": "access_token_invalid", "http": 401, "effect": false } });
    system.fault(json!({ "call": "revoke", "fault": ended })).await;
    let id = system.account(TIKTOK).to_owned();
    disconnect(&system, &id).await;
    parted(&system, "sandbox-open-id", "unproved").await;
    assert_eq!(tokens(&system, &id).await, 0);
    assert!(
        Person::admin(&system).await.get("/accounts").await.text.contains("Its owner can remove the app")
    );
    system.calm().await;
    let removed = json!({ "tiktok": { "code": "auth_removed", "http": 401, "effect": false } });
    system.fault(json!({ "call": "revoke", "fault": removed })).await;
    disconnect(&system, &other).await;
    parted(&system, "open-8", "revoked").await;
    assert_eq!(tokens(&system, &other).await, 0);
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_whose_access_has_ended_is_taken_back_by_what_renews_it() {
    let system = start(1).await;
    let id = tiktok(&system, "open-7").await;
    // neither of the two that are kept takes it back
    let ended = json!({ "tiktok": { "code": "access_token_invalid", "http": 401, "effect": false } });
    system.fault(json!({ "call": "revoke", "times": 2, "fault": ended })).await;
    disconnect(&system, &id).await;
    parted(&system, "open-7", "revoked").await;
    assert_eq!(tokens(&system, &id).await, 0);
    let calls = system.control("calls?call=revoke").await;
    assert_eq!(calls["data"].as_array().unwrap().len(), 3);
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_was_asked_for_before_ends_and_says_nothing_of_its_own() {
    let system = start(1).await;
    let id = system.account(TIKTOK).to_owned();
    let pause = json!({ "reason": "until the test goes on" });
    system.api(Method::POST, "/api/v1/queues/token_refresh/pause", Some(&pause)).await;
    for _ in 0..2 {
        let (status, asked) = system.api(Method::POST, &format!("/api/v1/accounts/{id}/refresh"), None).await;
        assert_eq!(status, 202, "{asked}");
    }
    disconnect(&system, &id).await;
    let wished = "SELECT count(*) FROM account WHERE refresh_asked_at IS NOT NULL";
    assert_eq!(system.database.count(wished).await, 0);
    parted(&system, "sandbox-open-id", "revoked").await;
    system.api(Method::POST, "/api/v1/queues/token_refresh/resume", None).await;
    eventually("the renewal to end", || async {
        let left = "SELECT count(*) FROM job WHERE kind = 'token_refresh' AND account_id::text = $1";
        let left = system.database.count_of(left, &id).await;
        if left == 0 { Ok(()) } else { Err(format!("{left} jobs")) }
    })
    .await;
    let account = shown(&system, "sandbox-open-id").await.unwrap();
    assert_eq!(account["state_reason"], "the account was disconnected");
    let calls = system.control("calls?call=token").await;
    assert_eq!(calls["data"].as_array().unwrap().len(), 0, "nothing was renewed");
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
async fn a_word_of_metas_that_could_not_be_written_down_is_not_taken_and_told_again_it_is() {
    // P-D5
    let door = Door::open().await;
    door.account(FACEBOOK).await;
    door.scratch.run("UPDATE account SET subject_id = '7001'").await;
    for statement in [
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'no room' USING ERRCODE = '53300';
         END $$",
        "CREATE TRIGGER no_room BEFORE INSERT ON job FOR EACH ROW EXECUTE FUNCTION no_room()",
    ] {
        door.scratch.run(statement).await;
    }
    let payload = json!({ "algorithm": "HMAC-SHA256", "user_id": "7001", "issued_at": now() + 60 });
    let body = format!("signed_request={}", signed("app-secret", &payload));
    let tell = async || {
        let told =
            Request::post("/api/deauthorize").header("content-type", "application/x-www-form-urlencoded");
        door.send(told.body(Body::from(body.clone())).unwrap()).await.status
    };
    assert_eq!(tell().await, StatusCode::SERVICE_UNAVAILABLE, "then Meta tells it again");
    let parted = "SELECT count(*) FROM account WHERE parting = 'asked'";
    assert_eq!(door.scratch.number(parted).await, 0);
    door.scratch.run("DROP TRIGGER no_room ON job").await;
    assert_eq!(tell().await, StatusCode::OK);
    assert_eq!(door.scratch.number(parted).await, 1, "it was written down before the answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_of_no_time_is_only_a_hint_that_access_was_taken_away() {
    let door = Door::open().await;
    let account = door.account(FACEBOOK).await;
    door.account(FACEBOOK).await;
    let known = "UPDATE account SET refresh_due_at = ledger_now() + interval '1 day'";
    door.scratch.run(known).await;
    door.scratch.run(&format!("UPDATE account SET subject_id = '7001' WHERE id = '{account}'")).await;
    let payload = json!({ "algorithm": "HMAC-SHA256", "user_id": "7001", "profile_id": "7" });
    let body = format!("signed_request={}", signed("app-secret", &payload));
    let told = Request::post("/api/deauthorize").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(door.send(told.body(Body::from(body)).unwrap()).await.status, StatusCode::OK);
    let parted = "SELECT count(*) FROM account WHERE parting IS NOT NULL OR state <> 'active'";
    assert_eq!(door.scratch.number(parted).await, 0, "it may have been connected since");
    let due = "SELECT count(*) FROM account WHERE refresh_due_at <= ledger_now() AND subject_id = '7001'";
    assert_eq!(door.scratch.number(due).await, 1, "its network is asked");
    assert_eq!(
        door.scratch.number("SELECT count(*) FROM account WHERE refresh_due_at > ledger_now()").await,
        1
    );
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

/// Connects an account again, as whoever goes through its dialog does.
async fn again(door: &Door, account: &str) {
    let mut connection = door.scratch.connection().await;
    let (platform, external_id, name): (String, String, String) =
        sqlx::query_as("SELECT platform, external_id, name FROM account WHERE id::text = $1")
            .bind(account)
            .fetch_one(&mut connection)
            .await
            .unwrap();
    let new = NewAccount {
        workspace_id: door.workspace,
        platform: &platform,
        external_id: &external_id,
        name: &name,
        token_expires_at: None,
        defaults: &json!({}),
        subject_id: None,
        subject_email: None,
    };
    let pair = TokenPair {
        access: "anew".into(),
        refresh: None,
        issued_at: None,
        expires_at: None,
        refresh_expires_at: None,
    };
    let owner = Ledger::open(&door.scratch.url, Role::Owner, 1).expect("an address");
    owner.connect(&new, &ring(), &pair).await.expect("it is connected");
    owner.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_approval_still_waits_once_its_account_is_connected_again() {
    let door = Door::open().await;
    let account = door.account(FACEBOOK).await.to_string();
    for caption in ["approved", "not yet"] {
        let wish = json!({ "caption": caption, "kind": "post", "targets": [{ "account_id": account }] });
        assert_eq!(door.post(&wish).await.status, StatusCode::ACCEPTED);
    }
    let unapproved =
        "(SELECT p.id FROM publication p JOIN post ON post.id = p.post_id WHERE post.caption = 'not yet')";
    door.scratch.run("INSERT INTO approval (post_id) SELECT id FROM post WHERE caption = 'not yet'").await;
    door.scratch
        .run(&format!("UPDATE job SET standing = 'waits' WHERE publication_id IN {unapproved}"))
        .await;
    let standing = async |standing: &str| {
        door.scratch
            .number(&format!("SELECT count(*) FROM job WHERE kind = 'publish' AND standing = '{standing}'"))
            .await
    };
    let still =
        format!("SELECT count(*) FROM job WHERE standing = 'waits' AND publication_id IN {unapproved}");
    let path = format!("/api/v1/accounts/{account}");
    let parting = door.request(&Verb::DELETE, &path).body(Body::empty()).unwrap();
    assert_eq!(door.send(parting).await.status, StatusCode::ACCEPTED);
    assert_eq!((standing("paused").await, door.scratch.number(&still).await), (1, 1));
    again(&door, &account).await;
    assert_eq!((standing("active").await, door.scratch.number(&still).await), (1, 1));
    // and so it is where its owner takes the access away at the network
    door.scratch.run("UPDATE account SET subject_id = '7001'").await;
    let payload = json!({ "algorithm": "HMAC-SHA256", "user_id": "7001", "issued_at": now() + 60 });
    let body = format!("signed_request={}", signed("app-secret", &payload));
    let told = Request::post("/api/deauthorize").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(door.send(told.body(Body::from(body)).unwrap()).await.status, StatusCode::OK);
    assert_eq!((standing("paused").await, door.scratch.number(&still).await), (1, 1));
    again(&door, &account).await;
    assert_eq!((standing("active").await, door.scratch.number(&still).await), (1, 1));
}
