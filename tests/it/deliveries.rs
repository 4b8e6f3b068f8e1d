//! A workspace's own software is told what happens: signed, each event once for each address, through crashes and refusals,
//! nowhere inside the house, and not for ever.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use jobs::failpoint::Point;
use postroom::ledger::people::MemberRole;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    console::Browser,
    harness::{FACEBOOK, INSTAGRAM, System, client, eventually},
    support::{Answer, Door},
};

const ALL: [&str; 5] =
    ["post.published", "post.failed", "post.held", "account.reconnect", "deletion.completed"];

/// A system that goes to loopback too, and tries again soon.
async fn listening(more: &[(&str, &str)]) -> System {
    let mut system = System::start().await;
    let own = [
        ("POSTROOM__WEBHOOKS__PRIVATE", "true"),
        ("POSTROOM__JOBS__WEBHOOK__RETRY_BASE", "50ms"),
        ("POSTROOM__JOBS__WEBHOOK__RETRY_CAP", "200ms"),
        // however long it takes until the test goes on, it is tried still
        ("POSTROOM__JOBS__WEBHOOK__RETRY_ATTEMPTS", "100000"),
    ];
    for (name, value) in own.iter().chain(more) {
        system.environment.insert((*name).to_owned(), (*value).to_owned());
    }
    system.web.take().unwrap().kill9().await;
    system.start_web().await;
    system
}

fn address(system: &System, name: &str) -> String {
    format!("{}hook/{name}", system.addresses["wall"].as_str().unwrap())
}

/// Adds a webhook; gives its path and its secret.
async fn added(system: &System, name: &str, events: &[&str]) -> (String, String) {
    let wish = json!({ "url": address(system, name), "events": events });
    let (status, answer) = system.api(Method::POST, "/api/v1/webhooks", Some(&wish)).await;
    assert_eq!(status, 201, "{answer}");
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    (format!("/api/v1/webhooks/{}", text("id")), text("secret"))
}

async fn tried_out(system: &System, webhook: &str) -> String {
    let (status, sent) = system.api(Method::POST, &format!("{webhook}/test"), None).await;
    assert_eq!((status, &sent["state"], &sent["type"]), (202, &json!("waiting"), &json!("webhook.test")));
    sent["id"].as_str().unwrap().to_owned()
}

/// What has come to this address.
async fn came(system: &System, name: &str) -> Vec<Value> {
    let all = system.control("hooks").await;
    all["data"].as_array().unwrap().iter().filter(|it| it["name"] == name).cloned().collect()
}

/// Waits until so much has come there.
async fn until_came(system: &System, name: &str, number: usize) -> Vec<Value> {
    eventually(&format!("{number} at {name}"), || async {
        let found = came(system, name).await;
        let log = || system.workers.last().map(crate::harness::Process::log).unwrap_or_default();
        if found.len() >= number { Ok(found) } else { Err(format!("{found:?}\n{}", log())) }
    })
    .await
}

/// Waits until what was sent there last is in this state.
async fn until_state(system: &System, webhook: &str, state: &str) -> Value {
    eventually(state, || async {
        let (_, list) = system.api(Method::GET, &format!("{webhook}/deliveries"), None).await;
        let newest = list["data"][0].clone();
        if newest["state"] == state { Ok(newest) } else { Err(list.to_string()) }
    })
    .await
}

fn header<'a>(came: &'a Value, name: &str) -> &'a str {
    came["headers"][name].as_str().unwrap_or_else(|| panic!("no {name}: {came}"))
}

fn body(came: &Value) -> Value {
    serde_json::from_str(came["body"].as_str().unwrap()).unwrap()
}

/// HMAC-SHA256 as RFC 2104 writes it, of a key that is no longer than a block.
fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte: u8| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// What Standard Webhooks wants the signature by this secret to be.
fn signature(secret: &str, came: &Value) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let (id, time) = (header(came, "webhook-id"), header(came, "webhook-timestamp"));
    let signed = format!("{id}.{time}.{}", came["body"].as_str().unwrap());
    format!("v1,{}", STANDARD.encode(mac(&key, signed.as_bytes())))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_signed_and_by_both_secrets_while_one_is_exchanged() {
    let mut system = listening(&[]).await;
    let (webhook, first) = added(&system, "signed", &["post.published"]).await;
    system.start_worker(&[]);
    let post = system.post("told of", &[FACEBOOK]).await;
    let published = system.until(&post, "published").await;
    let told = until_came(&system, "signed", 1).await.remove(0);
    assert_eq!((&told["method"], header(&told, "content-type")), (&json!("POST"), "application/json"));
    assert_eq!(header(&told, "webhook-signature"), signature(&first, &told));
    let sent: i64 = header(&told, "webhook-timestamp").parse().unwrap();
    assert!((system.database.now().await.timestamp() - sent).abs() < 120, "{sent}");
    let (said, shown) = (body(&told), &published["publications"][0]);
    assert_eq!(said["type"], "post.published");
    for (name, value) in [
        ("post_id", &published["id"]),
        ("publication_id", &shown["id"]),
        ("account_id", &shown["account_id"]),
        ("platform", &shown["platform"]),
        ("state", &json!("published")),
        ("error", &Value::Null),
    ] {
        assert_eq!(&said["data"][name], value, "{name}: {said}");
    }

    let (status, rotated) = system.api(Method::POST, &format!("{webhook}/rotate"), None).await;
    let second = rotated["secret"].as_str().unwrap();
    assert!(status == 200 && second != first && rotated["previous_secret_until"].is_string(), "{rotated}");
    tried_out(&system, &webhook).await;
    let told = until_came(&system, "signed", 2).await.remove(1);
    let both = format!("{} {}", signature(second, &told), signature(&first, &told));
    assert_eq!(header(&told, "webhook-signature"), both);
    let (_, rotated) = system.api(Method::POST, &format!("{webhook}/rotate"), None).await;
    let third = rotated["secret"].as_str().unwrap();
    tried_out(&system, &webhook).await;
    let told = until_came(&system, "signed", 3).await.remove(2);
    let both = format!("{} {}", signature(third, &told), signature(second, &told));
    assert_eq!(header(&told, "webhook-signature"), both, "the secret before the last is over");
    let clear = "SELECT count(*) FROM vault.webhook_secret WHERE position('whsec_'::bytea in sealed) > 0";
    let kept = "SELECT count(*) FROM vault.webhook_secret";
    assert_eq!((system.database.count(clear).await, system.database.count(kept).await), (0, 2));
    // what was sealed under a key that is no more was sealed anew
    let keys = system.environment["POSTROOM_KEYS"].clone();
    let fresh = system.postroom(&["keys", "generate"], "").await;
    system.environment.insert("POSTROOM_KEYS".into(), format!("{fresh},{keys}"));
    let done = system.told(&["keys", "rotate"]).await;
    // with the keys of the accounts' tokens
    assert_eq!((&done["webhooks"], &done["data_keys"]), (&json!(2), &json!(3)), "{done}");
    assert_eq!((&done["resealed"], &done["left"]), (&json!(5), &json!(0)), "{done}");
    system.environment.insert("POSTROOM_KEYS".into(), fresh);
    for worker in &mut system.workers {
        worker.kill9().await;
    }
    system.start_worker(&[]);
    tried_out(&system, &webhook).await;
    let told = until_came(&system, "signed", 4).await.remove(3);
    assert!(header(&told, "webhook-signature").starts_with(&signature(third, &told)), "{told}");
}

async fn run(system: &System, statement: &'static str) {
    sqlx::query(statement).execute(&system.database.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_comes_once_to_each_who_wants_it_and_to_nobody_else() {
    let mut system = listening(&[]).await;
    system.start_worker(&[]);
    let unheard = system.post("nobody listens yet", &[FACEBOOK]).await;
    system.until(&unheard, "published").await;
    assert_eq!(system.database.count("SELECT count(*) FROM event").await, 0, "nothing is kept for nobody");
    added(&system, "all", &ALL).await;
    added(&system, "some", &["post.failed", "account.reconnect"]).await;
    let (off, _) = added(&system, "off", &ALL).await;
    let (status, shown) = system.api(Method::PATCH, &off, Some(&json!({ "enabled": false }))).await;
    assert_eq!((status, &shown["state"], &shown["disabled_why"]), (200, &json!("disabled"), &json!("asked")));

    let public = system.post("public", &[FACEBOOK]).await;
    system.until(&public, "published").await;
    for words in ["fails", "held"] {
        let mut wish = system.wish(words, &[FACEBOOK], &[]);
        wish["schedule"] = json!({ "at": "2027-06-01T09:00:00Z" });
        let (status, answer) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
        assert_eq!(status, 202, "{answer}");
    }
    run(
        &system,
        "UPDATE publication SET state = 'failed', error = '{\"class\": \"permanent\", \"code\": \"7\", \"message\": \"no\"}'
         FROM post WHERE post.id = post_id AND post.caption = 'fails'",
    )
    .await;
    run(
        &system,
        "UPDATE publication SET state = 'held', hold_reason = 'look at it'
         FROM post WHERE post.id = post_id AND post.caption = 'held'",
    )
    .await;
    // nothing new has happened
    run(&system, "UPDATE publication SET updated_at = ledger_now(), state = state").await;
    let (status, asked) = system
        .api(
            Method::POST,
            "/api/v1/privacy/requests",
            Some(&json!({ "kind": "deletion", "email": "stranger@example.com" })),
        )
        .await;
    assert_eq!(status, 202, "{asked}");
    system.fault(json!({ "network": FACEBOOK, "call": "prepare", "times": 1, "fault": { "graph": { "code": 190, "subcode": 460, "http": 400, "message": "password changed", "effect": false } } })).await;
    system.post("its access is gone", &[FACEBOOK]).await;

    let all = until_came(&system, "all", 5).await;
    let by_type: BTreeMap<String, Value> =
        all.iter().map(|it| (body(it)["type"].as_str().unwrap().to_owned(), body(it))).collect();
    assert_eq!(by_type.keys().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(ALL));
    let failed = &by_type["post.failed"]["data"];
    assert_eq!(
        (&failed["state"], &failed["error"]),
        (&json!("failed"), &json!({ "code": "7", "message": "no" }))
    );
    let held = &by_type["post.held"]["data"];
    assert_eq!((&held["state"], &held["error"]["message"]), (&json!("held"), &json!("look at it")));
    let account = &by_type["account.reconnect"]["data"];
    assert_eq!(
        (&account["account_id"], &account["platform"]),
        (&json!(system.account(FACEBOOK)), &json!(FACEBOOK))
    );
    let deleted = &by_type["deletion.completed"]["data"];
    assert_eq!((&deleted["request_id"], &deleted["state"]), (&asked["id"], &json!("done")));
    let some = until_came(&system, "some", 2).await;
    let ids = |came: &[Value]| -> BTreeMap<String, String> {
        let id = |it: &Value| header(it, "webhook-id").to_owned();
        came.iter().map(|it| (body(it)["type"].as_str().unwrap().to_owned(), id(it))).collect()
    };
    assert_eq!(ids(&some)["post.failed"], ids(&all)["post.failed"], "an event has one id everywhere");
    eventually("nothing to be on its way", || async {
        let left = system.database.count("SELECT count(*) FROM job WHERE kind = 'webhook'").await;
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
    let told = [came(&system, "all").await, came(&system, "some").await, came(&system, "off").await];
    assert_eq!(told.map(|came| came.len()), [5, 2, 0]);
}

/// Changes what is known of an account.
async fn set(system: &System, platform: &str, what: &str) {
    let change = format!("UPDATE account SET {what} WHERE id = '{}'", system.account(platform));
    sqlx::query(sqlx::AssertSqlSafe(change)).execute(&system.database.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_connection_will_end_is_told_of_ahead_and_once_with_mail_or_without() {
    let mut system = listening(&[("POSTROOM__LOOKOUT__TELL_EVERY", "100ms")]).await;
    for name in ["SMTP_URL", "MAIL_FROM"] {
        system.environment.remove(name);
    }
    added(&system, "ends", &["account.reconnect"]).await;
    let in_days =
        |days: u8| format!("renewable = false, token_expires_at = ledger_now() + interval '{days} days'");
    set(&system, FACEBOOK, &in_days(3)).await;
    system.start_worker(&[]);
    let about = |came: &[Value], n: usize| body(&came[n])["data"].clone();
    let told = about(&until_came(&system, "ends", 1).await, 0);
    assert_eq!((&told["account_id"], &told["state"]), (&json!(system.account(FACEBOOK)), &json!("active")));
    assert_eq!((&told["ends"]["because"], &told["error"]), (&json!("token"), &Value::Null), "{told}");
    // the next look tells of the next account, and not again of the first
    set(&system, INSTAGRAM, &in_days(3)).await;
    let told = about(&until_came(&system, "ends", 2).await, 1);
    assert_eq!(told["account_id"], system.account(INSTAGRAM), "{told}");
    // what has ended is told of by its state, and that alone
    set(&system, FACEBOOK, "state = 'reconnect', state_reason = 'x'").await;
    let told = about(&until_came(&system, "ends", 3).await, 2);
    let broken = json!({ "code": "reconnect", "message": "x" });
    assert_eq!((&told["state"], &told["error"]), (&json!("reconnect"), &broken), "{told}");
    assert_eq!((&told["account_id"], &told["ends"]), (&json!(system.account(FACEBOOK)), &Value::Null));
    eventually("the end to be noted", || async {
        let noted = "SELECT count(*) FROM ending_told WHERE because = 'reconnect'";
        if system.database.count(noted).await == 1 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    // an end that moves is another one
    set(&system, INSTAGRAM, &in_days(5)).await;
    let all = until_came(&system, "ends", 4).await;
    let accounts: Vec<Value> = all.iter().map(|it| body(it)["data"]["account_id"].clone()).collect();
    let order = [FACEBOOK, INSTAGRAM, FACEBOOK, INSTAGRAM].map(|it| json!(system.account(it)));
    assert_eq!(accounts, order);
    assert_eq!(system.database.count("SELECT count(*) FROM mail").await, 0, "mail is off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_the_answer_and_its_record_tells_it_once_more_under_the_same_id() {
    let mut system = listening(&[]).await;
    let (webhook, _) = added(&system, "twice", &ALL).await;
    tried_out(&system, &webhook).await;
    let armed = (Point::AfterWebhookAnswer.word(), "kill9");
    system.start_worker(&[armed]);
    let mut worker = system.workers.pop().unwrap();
    assert_eq!(worker.ended().await, None, "it was not reached: {}", worker.log());
    system.start_worker(&[]);
    let delivered = until_state(&system, &webhook, "delivered").await;
    assert_eq!((&delivered["tries"], &delivered["last_status"]), (&json!(1), &json!(204)), "{delivered}");
    let twice = came(&system, "twice").await;
    let ids: Vec<&str> = twice.iter().map(|it| header(it, "webhook-id")).collect();
    let id = delivered["event_id"].as_str().unwrap();
    assert_eq!(ids, [id, id]);
    assert_eq!(twice[0]["body"], twice[1]["body"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_sent_again_until_it_is() {
    let mut system = listening(&[]).await;
    let (webhook, _) = added(&system, "moody", &ALL).await;
    let answers = json!([
        { "status": 500 }, { "status": 302 }, { "status": 429, "retry_after_s": 2 }, { "status": 200, "chatter": 99_999 },
    ]);
    system.tell("hooks", &json!({ "name": "moody", "answers": answers })).await;
    tried_out(&system, &webhook).await;
    system.start_worker(&[]);
    let delivered = until_state(&system, &webhook, "delivered").await;
    assert_eq!((&delivered["tries"], &delivered["last_error"]), (&json!(4), &Value::Null), "{delivered}");
    let came = came(&system, "moody").await;
    let first = header(&came[0], "webhook-id");
    assert!(came.len() == 4 && came.iter().all(|it| header(it, "webhook-id") == first), "{came:?}");
    let (_, shown) = system.api(Method::GET, &webhook, None).await;
    assert_eq!((&shown["state"], &shown["failing_since"]), (&json!("active"), &Value::Null), "{shown}");
    let at_least = "SELECT count(*) FROM job_history h WHERE h.kind = 'webhook' AND h.finished_at
                      >= (SELECT max(a.ended_at) FROM attempt a WHERE a.job_id = h.id) + interval '1 second'";
    assert_eq!(system.database.count(at_least).await, 1, "Retry-After is waited for");
}

async fn letters(system: &System) -> usize {
    let mail = system.control("mail").await;
    let all = mail["data"].as_array().unwrap();
    all.iter().filter(|it| it["subject"] == "A webhook was disabled").count()
}

async fn until_disabled(system: &System, webhook: &str, why: &str) {
    eventually("it to be disabled", || async {
        let (_, shown) = system.api(Method::GET, webhook, None).await;
        if shown["disabled_why"] == why { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
    eventually("its people to be told", || async {
        if letters(system).await > 0 { Ok(()) } else { Err("no letter yet".into()) }
    })
    .await;
}

/// How often workers have disabled a webhook, as it is written down.
const DISABLED: &str = "SELECT count(*) FROM audit WHERE action = 'webhook_disabled' AND actor = 'system'";

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_nothing_for_five_days_is_disabled_once_with_one_letter() {
    let mut system = listening(&[("POSTROOM__RELAY__SWEEP_EVERY", "200ms")]).await;
    system.database.own_clock().await;
    let (webhook, _) = added(&system, "dead", &ALL).await;
    system.tell("hooks", &json!({ "name": "dead", "then": { "status": 500 } })).await;
    for _ in 0..2 {
        tried_out(&system, &webhook).await;
    }
    system.start_worker(&[]);
    until_came(&system, "dead", 4).await;
    let (_, shown) = system.api(Method::GET, &webhook, None).await;
    assert!(shown["state"] == "active" && shown["failing_since"].is_string(), "{shown}");
    let now = system.database.now().await;
    system.database.set_clock(now + TimeDelta::days(4)).await;
    let before = came(&system, "dead").await.len();
    until_came(&system, "dead", before + 2).await;
    let (_, shown) = system.api(Method::GET, &webhook, None).await;
    assert_eq!(shown["state"], "active", "four days are not five: {shown}");
    system.database.set_clock(now + TimeDelta::days(5) + TimeDelta::minutes(1)).await;
    until_disabled(&system, &webhook, "failing").await;
    eventually("both to be given up", || async {
        let waiting = system.database.count("SELECT count(*) FROM job WHERE kind = 'webhook'").await;
        if waiting == 0 { Ok(()) } else { Err(waiting.to_string()) }
    })
    .await;
    let (_, list) = system.api(Method::GET, &format!("{webhook}/deliveries"), None).await;
    assert!(list["data"].as_array().unwrap().iter().all(|it| it["state"] == "failed"), "{list}");
    assert_eq!((letters(&system).await, system.database.count(DISABLED).await), (1, 1));

    // nothing is sent to it, and what happens meanwhile is not kept for it
    let (status, _) = system.api(Method::POST, &format!("{webhook}/test"), None).await;
    assert_eq!(status, 409);
    system.tell("hooks", &json!({ "name": "dead" })).await;
    let (status, shown) = system.api(Method::PATCH, &webhook, Some(&json!({ "enabled": true }))).await;
    assert_eq!((status, &shown["state"], &shown["failing_since"]), (200, &json!("active"), &Value::Null));
    let again = format!("{webhook}/deliveries/{}/redeliver", list["data"][0]["id"].as_str().unwrap());
    assert_eq!(system.api(Method::POST, &again, None).await.0, 202);
    let delivered = until_state(&system, &webhook, "delivered").await;
    assert_eq!(delivered["id"], list["data"][0]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_answers_410_is_disabled_at_once() {
    let mut system = listening(&[]).await;
    let (webhook, _) = added(&system, "gone", &ALL).await;
    system.tell("hooks", &json!({ "name": "gone", "then": { "status": 410 } })).await;
    tried_out(&system, &webhook).await;
    system.start_worker(&[]);
    until_disabled(&system, &webhook, "gone").await;
    let failed = until_state(&system, &webhook, "failed").await;
    assert_eq!((&failed["tries"], &failed["last_status"]), (&json!(1), &json!(410)), "{failed}");
    assert_eq!((letters(&system).await, system.database.count(DISABLED).await), (1, 1));
    assert_eq!(came(&system, "gone").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_into_the_house_whatever_a_name_means_by_then() {
    let mut system = System::start().await;
    let inside = address(&system, "inside");
    let https = inside.replace("http://", "https://");
    let named = https.replace("127.0.0.1", "localhost");
    for (url, code) in [(&inside, "url_scheme"), (&https, "url_private"), (&named, "url_private")] {
        let wish = json!({ "url": url, "events": ["post.held"] });
        let (status, problem) = system.api(Method::POST, "/api/v1/webhooks", Some(&wish)).await;
        assert_eq!((status, &problem["errors"][0]["code"]), (422, &json!(code)), "{url}: {problem}");
    }
    let wish = json!({ "url": "https://hooks.example.org/x", "events": ["post.held"] });
    let (status, added) = system.api(Method::POST, "/api/v1/webhooks", Some(&wish)).await;
    assert_eq!(status, 201, "{added}");
    let webhook = format!("/api/v1/webhooks/{}", added["id"].as_str().unwrap());
    // as if the name had come to mean something inside: what was judged at the door is judged again
    let moved = "UPDATE webhook SET url = $1";
    sqlx::query(moved).bind(&named).execute(&system.database.pool).await.unwrap();
    tried_out(&system, &webhook).await;
    system.start_worker(&[]);
    eventually("it to be refused", || async {
        let (_, list) = system.api(Method::GET, &format!("{webhook}/deliveries"), None).await;
        let why = list["data"][0]["last_error"].as_str().unwrap_or_default();
        if why.contains("private") { Ok(()) } else { Err(list.to_string()) }
    })
    .await;
    assert_eq!(came(&system, "inside").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_before_it_could_be_told_is_not_told() {
    let mut system = listening(&[]).await;
    let (webhook, _) = added(&system, "late", &ALL).await;
    system.start_worker_on("publish");
    let post = system.post("deleted soon", &[FACEBOOK]).await;
    system.until(&post, "published").await;
    let waits = "SELECT count(*) FROM delivery WHERE state = 'waiting'";
    assert_eq!(system.database.count(waits).await, 1, "it was written down with what happened");
    for worker in &mut system.workers {
        worker.kill9().await;
    }
    run(&system, "DELETE FROM post").await;
    system.start_worker(&[]);
    let gone = until_state(&system, &webhook, "gone").await;
    assert_eq!((&gone["tries"], &gone["post_id"]), (&json!(0), &json!(post)), "{gone}");
    assert_eq!(came(&system, "late").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_address_holds_up_no_other_workspaces() {
    // a worker has four places, of which one workspace gets one
    let mut system = listening(&[("POSTROOM__JOBS__WEBHOOK__CONCURRENCY", "4")]).await;
    system.tell("hooks", &json!({ "name": "slow", "then": { "hold_ms": 60_000 } })).await;
    let (webhook, _) = added(&system, "slow", &ALL).await;
    for _ in 0..8 {
        tried_out(&system, &webhook).await;
    }
    system.postroom(&["workspace", "add", "Florist"], "").await;
    let create = ["api-key", "create", "--workspace", "Florist", "--scopes", "all"];
    let other = system.postroom(&create, "").await;
    let wish = json!({ "url": address(&system, "quick"), "events": ALL });
    let request = client().post(system.url("/api/v1/webhooks")).bearer_auth(&other).json(&wish);
    let quick: Value = request.send().await.unwrap().json().await.unwrap();
    system.start_worker(&[]);
    until_came(&system, "slow", 1).await;
    let test = system.url(&format!("/api/v1/webhooks/{}/test", quick["id"].as_str().unwrap()));
    assert_eq!(client().post(test).bearer_auth(&other).send().await.unwrap().status(), 202);
    until_came(&system, "quick", 1).await;
    let ended = "SELECT count(*) FROM delivery d JOIN webhook w ON w.id = d.webhook_id
                 WHERE w.url LIKE '%/slow' AND d.tries > 0";
    assert_eq!(system.database.count(ended).await, 0, "it did not wait for any of the others");
}

async fn ask(door: &Door, method: Method, path: &str, body: Option<&Value>, key: Option<&str>) -> Answer {
    let mut request = door.request(&method, path);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    door.send(request.expect("a request")).await
}

#[tokio::test]
async fn a_secret_is_shown_once_and_a_repeated_key_adds_nothing_and_shows_none() {
    let door = Door::open().await;
    let wish =
        json!({ "url": "https://example.org/hook?token=own", "events": ["post.held"], "note": "ours" });
    let path = "/api/v1/webhooks";
    let first = ask(&door, Method::POST, path, Some(&wish), Some("k")).await;
    assert_eq!((first.status, first.header("cache-control")), (StatusCode::CREATED, "no-store"));
    let (it, again) = (first.json(), ask(&door, Method::POST, path, Some(&wish), Some("k")).await);
    assert!(it["secret"].as_str().unwrap().starts_with("whsec_"), "{it}");
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::CREATED, "true"));
    assert_eq!((&again.json()["id"], &again.json()["secret"]), (&it["id"], &Value::Null));
    let own = format!("{path}/{}", it["id"].as_str().unwrap());
    for shown in [door.get(&own).await, door.get(path).await] {
        assert!(shown.status == StatusCode::OK && !shown.text.contains("whsec_"), "{}", shown.text);
    }
    let rotated = ask(&door, Method::POST, &format!("{own}/rotate"), None, Some("r")).await.json();
    let again = ask(&door, Method::POST, &format!("{own}/rotate"), None, Some("r")).await.json();
    assert!(rotated["secret"].is_string() && again["secret"].is_null(), "{rotated} {again}");
    assert_eq!(door.scratch.number("SELECT count(*) FROM vault.webhook_secret").await, 2);
    let clear = "SELECT count(*) FROM idempotency_key WHERE body LIKE '%whsec_%'";
    let told =
        "SELECT count(*) FROM audit WHERE detail::text LIKE '%whsec_%' OR detail::text LIKE '%example.org%'";
    assert_eq!((door.scratch.number(clear).await, door.scratch.number(told).await), (0, 0));
    assert_eq!(ask(&door, Method::DELETE, &own, None, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(door.get(&own).await.status, StatusCode::NOT_FOUND);
    assert_eq!(door.scratch.number("SELECT count(*) FROM vault.webhook_secret").await, 0);
    for action in ["webhook_added", "webhook_rotated", "webhook_removed"] {
        let noted = format!("SELECT count(*) FROM audit WHERE action = '{action}' AND actor = 'key'");
        assert_eq!(door.scratch.number(&noted).await, 1, "{action}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_wish_is_said_and_a_workspace_has_no_more_than_it_may() {
    let door = Door::open_with(|house| house.webhooks.most = 2).await;
    let path = "/api/v1/webhooks";
    let wrong = json!({ "url": "https://10.0.0.1/", "events": ["post.eaten"], "color": "red" });
    let refused = ask(&door, Method::POST, path, Some(&wrong), None).await;
    let found = |field: &str, code: &str| (field.to_owned(), code.to_owned());
    assert_eq!(
        refused.findings(),
        [found("color", "unknown_field"), found("url", "url_private"), found("events[0]", "event_unknown")]
    );
    let wish = json!({ "url": "https://example.org/", "events": ["post.held", "post.failed"] });
    let mut ids = Vec::new();
    for _ in 0..2 {
        let added = ask(&door, Method::POST, path, Some(&wish), None).await;
        assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
        ids.push(added.json()["id"].clone());
    }
    assert_eq!(ask(&door, Method::POST, path, Some(&wish), None).await.status, StatusCode::CONFLICT);
    let own = format!("{path}/{}", ids[0].as_str().unwrap());
    let change = json!({ "events": ["account.reconnect"], "note": "" });
    let changed = ask(&door, Method::PATCH, &own, Some(&change), None).await.json();
    assert_eq!((&changed["url"], &changed["events"]), (&wish["url"], &change["events"]), "{changed}");
    assert_eq!(door.get(path).await.json()["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_cancelled_is_given_up_and_what_is_over_is_sent_again_by_one_job() {
    let door = Door::open().await;
    let wish = json!({ "url": "https://example.org/", "events": ["post.held"] });
    let added = ask(&door, Method::POST, "/api/v1/webhooks", Some(&wish), None).await.json();
    let own = format!("/api/v1/webhooks/{}", added["id"].as_str().unwrap());
    let sent = ask(&door, Method::POST, &format!("{own}/test"), None, Some("t")).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.text);
    let again = ask(&door, Method::POST, &format!("{own}/test"), None, Some("t")).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    let jobs = "SELECT count(*) FROM job WHERE kind = 'webhook'";
    assert_eq!(door.scratch.number(jobs).await, 1);
    assert_eq!(door.hints.lock().expect("unpoisoned").len(), 1);
    let redeliver = format!("{own}/deliveries/{}/redeliver", sent.json()["id"].as_str().unwrap());
    assert_eq!(ask(&door, Method::POST, &redeliver, None, None).await.status, StatusCode::CONFLICT);
    let job: Uuid = sqlx::query_scalar("SELECT id FROM job WHERE kind = 'webhook'")
        .fetch_one(&mut door.scratch.connection().await)
        .await
        .expect("a job");
    let cancelled = ask(&door, Method::POST, &format!("/api/v1/jobs/{job}/cancel"), None, None).await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED, "{}", cancelled.text);
    let list = door.get(&format!("{own}/deliveries")).await.json();
    assert_eq!((&list["data"][0]["state"], list["data"].as_array().unwrap().len()), (&json!("failed"), 1));
    assert_eq!(ask(&door, Method::POST, &redeliver, None, None).await.status, StatusCode::ACCEPTED);
    assert_eq!(ask(&door, Method::POST, &redeliver, None, None).await.status, StatusCode::CONFLICT);
    assert_eq!(door.scratch.number(jobs).await, 1);
}

#[tokio::test]
async fn an_admin_adds_a_webhook_on_its_page_sees_its_secret_once_and_what_was_sent_in_plain_words() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Admin).await;
    let token = browser.token.clone();
    let keys = browser.get("/keys").await;
    assert!(keys.text.contains("href=\"/webhooks\""), "{}", keys.text);
    let wrong = [("token", token.as_str()), ("url", "https://10.0.0.1/"), ("note", "ours")];
    let refused = browser.form("/webhooks", &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.text.contains("cannot be reached from outside") && refused.text.contains("value=\"ours\"")
    );
    let right = [
        ("token", token.as_str()),
        ("url", "https://example.org/hook"),
        ("note", "Our shop"),
        ("post.published", "yes"),
    ];
    let added = browser.form("/webhooks", &right).await;
    assert!(added.status == StatusCode::OK && added.text.contains("whsec_"), "{}", added.text);
    let list = browser.get("/webhooks").await;
    assert!(list.text.contains("Our shop") && list.text.contains("A post is public"), "{}", list.text);
    let from = list.text.find("href=\"/webhooks/").expect("a link") + 6;
    let page: String = list.text[from..].chars().take_while(|c| *c != '"').collect();
    assert!(!browser.get(&page).await.text.contains("whsec_"), "it is shown once");
    let form = [("token", token.as_str())];
    assert_eq!(browser.form(&format!("{page}/test"), &form).await.status, StatusCode::SEE_OTHER);
    let shown = browser.get(&page).await;
    assert!(shown.text.contains("A test") && shown.text.contains("On its way"), "{}", shown.text);
    let off = [("token", token.as_str()), ("enabled", "no")];
    assert_eq!(browser.form(&format!("{page}/switch"), &off).await.status, StatusCode::SEE_OTHER);
    assert!(browser.get(&page).await.text.contains("Switched off"));
    assert_eq!(browser.form(&format!("{page}/test"), &form).await.status, StatusCode::CONFLICT);
    let forged = [("token", "x")];
    assert_eq!(browser.form(&format!("{page}/remove"), &forged).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.form(&format!("{page}/remove"), &form).await.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.get(&page).await.status, StatusCode::NOT_FOUND);
}
