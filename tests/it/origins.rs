//! The doors by which somebody's wish to be deleted comes in besides the page and Meta: the staff at the console, a mail, and
//! the removal of one account by a program.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use postroom::ledger::people::MemberRole;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    console::Browser,
    harness::{FACEBOOK, System, process},
    support::{Answer, Door, ring},
};

const SECRET: &str = "whsec_aW5ib3VuZC1tYWlsLXNlY3JldC1vZi10ZXN0cw==";

fn signature(id: &str, at: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"inbound-mail-secret-of-tests").unwrap();
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

async fn told(door: &Door, id: &str, at: i64, signature: &str, body: &str) -> Answer {
    let request = Request::post("/api/webhooks/mail")
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", at.to_string())
        .header("webhook-signature", signature);
    door.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

#[expect(clippy::disallowed_methods, reason = "the provider's clock is the machine's")]
fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

async fn mailed(door: &Door, id: &str, from: &str, subject: &str) -> Answer {
    let body =
        json!({ "type": "email.received", "data": { "from": from, "subject": subject, "to": ["x@y.zz"] } });
    let (body, at) = (body.to_string(), now());
    told(door, id, at, &signature(id, at, &body), &body).await
}

async fn letters(door: &Door) -> Vec<(String, String)> {
    let letters = door.scratch.ledger.letters(&ring(), 20).await.unwrap();
    letters.into_iter().map(|(_, letter)| (letter.to, letter.text)).collect()
}

async fn with_mail() -> (Door, uuid::Uuid) {
    let door = Door::open_with(|house| house.deletions.mail_secret = Some(SECRET.into())).await;
    let account = door.account(FACEBOOK).await;
    door.scratch.run("UPDATE account SET subject_email = 'dana@example.com'").await;
    (door, account)
}

const FROZEN: &str = "SELECT count(*) FROM account WHERE state = 'frozen'";

#[tokio::test]
async fn a_mail_with_the_subject_is_answered_with_a_link_and_only_who_follows_it_is_deleted() {
    // P-D6
    let (door, _) = with_mail().await;
    let answer = mailed(&door, "evt_1", "Dana <Dana@example.com>", "RE: Data Deletion Request").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(mailed(&door, "evt_1", "Dana <Dana@example.com>", "Data Deletion Request").await.status, 200);
    let sent = letters(&door).await;
    assert_eq!(sent.len(), 1, "what is told twice is answered once: {sent:?}");
    assert_eq!(sent[0].0, "dana@example.com");
    assert_eq!(door.scratch.number(FROZEN).await, 0, "an address proves nothing");
    // whoever writes from another address is answered like everybody, at that address, and proves no more than that
    mailed(&door, "evt_2", "eve@example.com", "Data Deletion Request").await;
    let sent = letters(&door).await;
    assert_eq!(
        sent.iter().map(|(to, _)| to.as_str()).collect::<Vec<_>>(),
        ["dana@example.com", "eve@example.com"]
    );
    for (to, frozen) in [("eve@example.com", 0), ("dana@example.com", 1)] {
        let text = &sent.iter().find(|it| it.0 == to).unwrap().1;
        let link = text.split_whitespace().find(|word| word.starts_with("http")).unwrap();
        let path = link.trim_start_matches("http://localhost:3000").split('?').next().unwrap();
        let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        let followed = door.send(request.body(Body::from("lang=en")).unwrap()).await;
        assert_eq!(followed.status, StatusCode::ACCEPTED, "{}", followed.text);
        assert_eq!(door.scratch.number(FROZEN).await, frozen, "{to}");
    }
    let by_mail = "SELECT count(*) FROM deletion_request WHERE origin = 'mail'";
    assert_eq!(door.scratch.number(by_mail).await, 2);
}

#[tokio::test]
async fn what_the_provider_did_not_sign_or_is_no_request_changes_nothing() {
    let (door, _) = with_mail().await;
    let body = json!({ "type": "email.received", "data": { "from": "dana@example.com", "subject": "Data Deletion Request" } });
    let (body, now) = (body.to_string(), now());
    let right = signature("evt", now, &body);
    for (id, at, signature, body) in [
        ("evt", now, String::new(), body.clone()),
        ("evt", now, right.replace("v1,", "v2,"), body.clone()),
        ("other", now, right.clone(), body.clone()),
        ("evt", now + 1, right.clone(), body.clone()),
        ("evt", now, right.clone(), body.replace("dana", "noa")),
        ("evt", now - 400, self::signature("evt", now - 400, &body), body.clone()),
    ] {
        let answer = told(&door, id, at, &signature, &body).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{signature}");
    }
    let twice = format!("v1,AAAA {right}");
    assert_eq!(
        told(&door, "evt", now, &twice, &body).await.status,
        StatusCode::OK,
        "while a secret is rotated"
    );
    assert_eq!(letters(&door).await.len(), 1);
    for (id, from, subject) in [
        ("a", "dana@example.com", "Hello"),
        ("b", "nobody", "Data Deletion Request"),
        ("c", "dana@example.com", ""),
    ] {
        assert_eq!(mailed(&door, id, from, subject).await.status, StatusCode::OK);
    }
    assert_eq!(letters(&door).await.len(), 1);
    let at = now;
    assert_eq!(told(&door, "d", at, &signature("d", at, "{}"), "{}").await.status, StatusCode::BAD_REQUEST);
    for n in 0..9 {
        mailed(&door, &format!("evt_{n}"), "noa@example.com", "Data Deletion Request").await;
    }
    let sent = letters(&door).await;
    assert!(sent.iter().filter(|it| it.0 == "noa@example.com").count() < 9, "nobody is flooded");
    let off = Door::open().await;
    let (at, body) = (now, body);
    assert_eq!(
        told(&off, "evt", at, &signature("evt", at, &body), &body).await.status,
        StatusCode::UNAUTHORIZED
    );
}

/// Tells of something as the provider would, now.
async fn told_of(door: &Door, id: &str, event: &Value) -> Answer {
    let (body, at) = (event.to_string(), now());
    told(door, id, at, &signature(id, at, &body), &body).await
}

#[tokio::test]
async fn a_provider_that_tells_of_other_things_is_not_refused_and_a_mail_of_nobody_asks_for_nothing() {
    let (door, _) = with_mail().await;
    let asks = "Data Deletion Request";
    for (n, event) in [
        json!({ "type": "email.bounced", "data": { "to": ["x@y.zz"] } }),
        json!({ "type": "contact.created", "data": null }),
        json!({ "type": "domain.updated" }),
        json!({ "type": "email.delivered", "data": { "from": "dana@example.com", "subject": asks } }),
        json!({ "type": "email.received", "data": { "from": "dana@example.com", "subject": null } }),
        json!({ "type": "email.received", "data": { "subject": asks } }),
        json!({ "type": "email.received", "data": { "from": ["dana@example.com", "eve@example.com"], "subject": asks } }),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(told_of(&door, &format!("evt_{n}"), event).await.status, StatusCode::OK, "{event}");
    }
    assert_eq!(letters(&door).await.len(), 0);
    let whole = json!({ "type": "email.received", "data": {
        "from": [{ "address": "dana@example.com", "name": "Dana" }], "to": ["x@y.zz"], "subject": asks, "text": "please",
        "attachments": [{ "name": "x", "size": 1 }] } });
    assert_eq!(told_of(&door, "evt", &whole).await.status, StatusCode::OK);
    assert_eq!(letters(&door).await.len(), 1);
    // what nobody signed is not read at all, and of what is too large nothing is kept
    let large = json!({ "type": "email.received", "data": { "from": "noa@example.com", "subject": asks, "text": "x".repeat(300_000) } });
    assert_eq!(told_of(&door, "large", &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(letters(&door).await.len(), 1);
}

#[tokio::test]
async fn a_mail_that_is_told_again_after_its_link_was_followed_brings_no_other() {
    let (door, _) = with_mail().await;
    let subject = "Data Deletion Request";
    assert_eq!(mailed(&door, "evt_1", "dana@example.com", subject).await.status, StatusCode::OK);
    let sent = letters(&door).await;
    let link = sent[0].1.split_whitespace().find(|word| word.starts_with("http")).unwrap();
    let path = link.trim_start_matches("http://localhost:3000").split('?').next().unwrap();
    let follow = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    let followed = door.send(follow.body(Body::from("lang=en")).unwrap()).await;
    assert_eq!(followed.status, StatusCode::ACCEPTED, "{}", followed.text);
    for _ in 0..10 {
        assert_eq!(mailed(&door, "evt_1", "dana@example.com", subject).await.status, StatusCode::OK);
    }
    assert_eq!(letters(&door).await.len(), 1);
    assert_eq!(door.scratch.number("SELECT count(*) FROM deletion_ask").await, 0);
    // nor is it held against whoever wrote
    assert_eq!(mailed(&door, "evt_2", "dana@example.com", subject).await.status, StatusCode::OK);
    assert_eq!(letters(&door).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_signs_nothing_or_that_nobody_is_answered_for_stops_the_start() {
    let system = System::start().await;
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_postroom"));
    for (changes, said) in [
        (vec![("MAIL_WEBHOOK_SECRET", "whsec_")], "24 bytes"),
        (vec![("MAIL_WEBHOOK_SECRET", "inbound-mail-secret-of-tests")], "24 bytes"),
        (vec![("MAIL_WEBHOOK_SECRET", SECRET), ("SMTP_URL", ""), ("MAIL_FROM", "")], "SMTP_URL"),
    ] {
        let mut environment = system.environment.clone();
        environment.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let (code, out, complaint) = process::run(binary, &["web"], &environment, "").await;
        let log = format!("{out}{complaint}");
        assert_eq!(code, 1, "{changes:?}: {log}");
        assert!(log.contains("MAIL_WEBHOOK_SECRET") && log.contains(said), "{changes:?}: {log}");
        assert!(!log.contains("secret-of-tests"), "what was found is not repeated: {log}");
    }
}

#[tokio::test]
async fn the_staff_enters_what_came_by_phone_or_mail_and_sees_how_far_each_request_is() {
    // P-D6 P-D14 P-D12
    let (door, _) = with_mail().await;
    let florist = door.scratch.ledger.add_workspace("Florist").await.unwrap();
    let theirs = door.account_of(florist, FACEBOOK, &json!({})).await;
    let named = format!("UPDATE account SET subject_email = 'dana@example.com' WHERE id = '{theirs}'");
    door.scratch.run(&named).await;
    let mut browser = Browser::of(&door, MemberRole::Privacy).await;
    let token = browser.token.clone();
    let mut enter = async |email: &str, origin: &str| {
        let fields = [
            ("token", token.as_str()),
            ("email", email),
            ("origin", origin),
            ("reason", "a child: by phone"),
        ];
        browser.form("/privacy/requests", &fields).await
    };
    assert_eq!(enter("nobody", "staff").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(enter("dana@example.com", "meta").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(door.scratch.number(FROZEN).await, 0);
    let entered = enter("Dana@example.com", "mail").await;
    assert_eq!(entered.status, StatusCode::OK, "{}", entered.text);
    assert!(entered.text.contains("http://localhost:3000/privacy/requests/"), "{}", entered.text);
    assert!(entered.text.contains("Being deleted") && entered.text.contains("by mail"), "{}", entered.text);
    assert!(!entered.text.to_lowercase().contains("dana@"), "it names nobody");
    assert_eq!(door.scratch.number(FROZEN).await, 1, "in this workspace alone");
    let page = browser.get("/privacy").await;
    assert!(
        !page.text.contains("/privacy/requests/")
            || !page.text.contains("http://localhost:3000/privacy/requests/")
    );
    let asked = "SELECT count(*) FROM deletion_request WHERE origin = 'mail' AND asked_by IS NOT NULL AND reason IS NOT NULL";
    assert_eq!(door.scratch.number(asked).await, 1);
    let rows = door.scratch.ledger.audit_entries(Some(door.workspace), 10).await.unwrap();
    let row = rows.iter().find(|row| row.action == "deletion_asked").unwrap();
    assert_eq!(row.actor, "person");
}

#[tokio::test]
async fn a_program_removes_an_account_with_all_that_came_through_it() {
    // P-D10
    let (door, account) = with_mail().await;
    let other = door.account(FACEBOOK).await;
    let path = format!("/api/v1/accounts/{account}/data");
    let delete =
        async |path: &str| door.send(door.request(&Method::DELETE, path).body(Body::empty()).unwrap()).await;
    let gone = delete(&path).await;
    assert_eq!(gone.status, StatusCode::ACCEPTED, "{}", gone.text);
    let gone: Value = gone.json();
    assert_eq!((&gone["origin"], &gone["accounts"]), (&json!("account"), &json!(1)));
    assert!(gone["url"].as_str().unwrap().starts_with("http://localhost:3000/privacy/requests/"));
    let frozen = format!("SELECT count(*) FROM account WHERE id = '{account}' AND state = 'frozen'");
    assert_eq!((door.scratch.number(&frozen).await, door.scratch.number(FROZEN).await), (1, 1));
    assert_eq!(delete(&path).await.status, StatusCode::NOT_FOUND, "it is being deleted already");
    let florist = door.scratch.ledger.add_workspace("Florist").await.unwrap();
    let theirs = door.account_of(florist, FACEBOOK, &json!({})).await;
    assert_eq!(delete(&format!("/api/v1/accounts/{theirs}/data")).await.status, StatusCode::NOT_FOUND);
    let kept =
        format!("SELECT count(*) FROM account WHERE id IN ('{other}', '{theirs}') AND state = 'active'");
    assert_eq!(door.scratch.number(&kept).await, 2);
}

#[tokio::test]
async fn what_facebook_passes_on_is_seen_in_the_workspace_that_it_covers_something_of_and_in_no_other() {
    // P-D12
    let (door, account) = with_mail().await;
    let florist = door.scratch.ledger.add_workspace("Florist").await.unwrap();
    let theirs = door.account_of(florist, FACEBOOK, &json!({})).await;
    let butcher = door.scratch.ledger.add_workspace("Butcher").await.unwrap();
    let granted =
        format!("UPDATE account SET subject_id = '1000218475' WHERE id IN ('{account}', '{theirs}')");
    door.scratch.run(&granted).await;
    let request =
        Request::post("/api/delete-data").header("content-type", "application/x-www-form-urlencoded");
    let body = crate::deletions::callback("app-secret", "1000218475", 7);
    assert_eq!(door.send(request.body(Body::from(body)).unwrap()).await.status, StatusCode::OK);
    assert_eq!(door.scratch.number(FROZEN).await, 2);
    let page = Browser::of(&door, MemberRole::Privacy).await.get("/privacy").await;
    assert!(page.text.contains("from Facebook") && page.text.contains("accounts: 1"), "{}", page.text);
    let stranger = door.person("butcher@example.org", MemberRole::Privacy).await;
    let moved = format!("UPDATE membership SET workspace_id = '{butcher}' WHERE person_id = '{stranger}'");
    door.scratch.run(&moved).await;
    let page = Browser::signed_in(&door, "butcher@example.org").await.get("/privacy").await;
    assert!(page.text.contains("Nobody has asked here yet"), "{}", page.text);
}
