//! Keys that are managed, and the passes that stand for them: what opens something, and all that does not.

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use postroom::{
    ledger::{
        keys::{ApiKey, Scope},
        people::MemberRole,
    },
    web::passes::Passes,
};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::{
    console::Browser,
    harness::System,
    support::{Answer, Door},
};

const ISSUER: &str = "http://localhost:3000";

async fn send(door: &Door, method: &Method, path: &str, bearer: &str, body: Option<Value>) -> Answer {
    let request =
        Request::builder().method(method).uri(path).header("authorization", format!("Bearer {bearer}"));
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    door.send(request.expect("a request")).await
}

async fn asked(door: &Door, bearer: &str) -> StatusCode {
    send(door, &Method::GET, "/api/v1/posts", bearer, None).await.status
}

async fn issue(door: &Door, bearer: &str, body: Option<Value>) -> Answer {
    send(door, &Method::POST, "/api/v1/tokens", bearer, body).await
}

async fn key_id(door: &Door) -> Uuid {
    let keys = door.scratch.ledger.api_keys(Some(door.workspace)).await.expect("keys");
    keys.iter().find(|key| key.revoked_at.is_none()).expect("a key").id
}

/// Somebody who signs passes with a key that the house has published.
struct Signer {
    pair: Ed25519KeyPair,
    kid: Uuid,
    key: Uuid,
}

impl Signer {
    async fn of(door: &Door) -> Self {
        let pair = Ed25519KeyPair::generate().expect("a key");
        let public: [u8; 32] = pair.public_key().as_ref().try_into().expect("32 bytes");
        let kid = door.scratch.ledger.publish_pass_key(&public, Duration::from_mins(30)).await;
        Self { pair, kid: kid.expect("published"), key: key_id(door).await }
    }

    fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": self.kid })
    }

    fn claims(&self) -> Value {
        let now = jsonwebtoken::get_current_timestamp();
        json!({
            "iss": ISSUER, "aud": format!("{ISSUER}/api/v1"), "sub": self.key, "jti": Uuid::now_v7(),
            "iat": now, "exp": now + 300, "scope": "posts:read",
        })
    }

    fn with(&self, header: &Value, claims: &Value) -> String {
        let signed = signed_part(header, claims);
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

fn signed_part(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn changed(value: &Value, field: &str, to: Value) -> Value {
    let mut value = value.clone();
    if to.is_null() {
        value.as_object_mut().expect("an object").remove(field);
    } else {
        value[field] = to;
    }
    value
}

#[tokio::test]
async fn a_pass_opens_what_its_key_may_and_it_names_and_begets_no_other() {
    let door = Door::open().await;
    let answer = issue(&door, &door.key, Some(json!({ "scopes": ["posts:read"], "lifetime": "PT5M" }))).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"));
    let pass = answer.json();
    assert_eq!((&pass["token_type"], &pass["expires_in"]), (&json!("Bearer"), &json!(300)));
    let token = pass["access_token"].as_str().expect("a token");
    assert_eq!(asked(&door, token).await, StatusCode::OK);
    let wish = json!({ "caption": "x", "targets": [] });
    let write = send(&door, &Method::POST, "/api/v1/posts", token, Some(wish)).await;
    assert_eq!(write.status, StatusCode::FORBIDDEN, "it may read only: {}", write.text);
    assert_eq!(issue(&door, token, None).await.status, StatusCode::FORBIDDEN);

    let reads = door.key_for(Some(door.workspace), &[Scope::PostsRead]).await;
    let wider = issue(&door, &reads, Some(json!({ "scopes": ["posts:write"] }))).await;
    assert_eq!(wider.only_finding(), ("scopes[0]".into(), "scope".into()));
    let longer = issue(&door, &reads, Some(json!({ "lifetime": "PT11M" }))).await;
    assert_eq!(longer.only_finding(), ("lifetime".into(), "span_format".into()));
    let all = issue(&door, &reads, None).await.json();
    assert_eq!((&all["scope"], &all["expires_in"]), (&json!("posts:read"), &json!(600)));
}

#[tokio::test]
async fn anybody_can_check_a_pass_with_what_is_published() {
    let door = Door::open().await;
    let token = issue(&door, &door.key, None).await.json()["access_token"].as_str().unwrap().to_owned();
    let answer = send(&door, &Method::GET, "/.well-known/jwks.json", "", None).await;
    assert_eq!(answer.status, StatusCode::OK);
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&answer.text).expect("a key set");
    let kid = jsonwebtoken::decode_header(&token).expect("a header").kid.expect("a kid");
    let key = jsonwebtoken::DecodingKey::from_jwk(set.find(&kid).expect("it is published")).expect("a key");
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.set_audience(&[format!("{ISSUER}/api/v1")]);
    validation.set_issuer(&[ISSUER]);
    let read = jsonwebtoken::decode::<Value>(&token, &key, &validation).expect("it is signed");
    assert_eq!(read.claims["sub"], json!(key_id(&door).await));
    assert!(!answer.text.contains("\"d\""), "nothing private is told");
}

#[tokio::test]
async fn a_pass_that_is_wrong_in_any_way_opens_nothing() {
    let door = Door::open().await;
    let signer = Signer::of(&door).await;
    let (header, claims) = (signer.header(), signer.claims());
    assert_eq!(asked(&door, &signer.with(&header, &claims)).await, StatusCode::OK, "the right one opens");
    let now = jsonwebtoken::get_current_timestamp();
    let other = Uuid::now_v7();
    let mut wrong: Vec<(&str, String)> = [
        ("another audience", "aud", json!("https://elsewhere.example")),
        ("a list of audiences", "aud", json!([format!("{ISSUER}/api/v1")])),
        ("another issuer", "iss", json!("https://elsewhere.example")),
        ("a string exp", "exp", json!((now + 300).to_string())),
        ("an exp in words", "exp", json!("soon")),
        ("expired", "exp", json!(now - 31)),
        ("a life over ten minutes", "exp", json!(now + 601)),
        ("an iat to come", "iat", json!(now + 60)),
        ("a string iat", "iat", json!(now.to_string())),
        ("the id of no key", "sub", json!(other)),
        ("no id at all", "sub", json!("admin")),
        ("no exp", "exp", Value::Null),
        ("no iat", "iat", Value::Null),
        ("no aud", "aud", Value::Null),
        ("no iss", "iss", Value::Null),
        ("no sub", "sub", Value::Null),
        ("no jti", "jti", Value::Null),
        ("no scope", "scope", Value::Null),
    ]
    .into_iter()
    .map(|(why, field, to)| (why, signer.with(&header, &changed(&claims, field, to))))
    .collect();
    for (why, field, to) in [
        ("alg none, signed", "alg", json!("none")),
        ("another type", "typ", json!("JWT")),
        ("a foreign kid", "kid", json!(other)),
        ("a kid that is no id", "kid", json!("../../key")),
        ("no kid", "kid", Value::Null),
    ] {
        wrong.push((why, signer.with(&changed(&header, field, to), &claims)));
    }
    let none = changed(&header, "alg", json!("none"));
    wrong.push(("alg none, unsigned", format!("{}.", signed_part(&none, &claims))));
    wrong.push(("unsigned", format!("{}.", signed_part(&header, &claims))));
    for alg in ["HS256", "hs256"] {
        let front = signed_part(&changed(&header, "alg", json!(alg)), &claims);
        let mut mac = Hmac::<Sha256>::new_from_slice(signer.pair.public_key().as_ref()).expect("a key");
        mac.update(front.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        wrong.push(("HS256 with the public key", format!("{front}.{signature}")));
    }
    let stranger = Signer { pair: Ed25519KeyPair::generate().expect("a key"), ..Signer::of(&door).await };
    wrong.push(("another's signature", stranger.with(&stranger.header(), &claims)));
    let padded = changed(&claims, "more", json!("x".repeat(3_000)));
    wrong.push(("a long one", signer.with(&header, &padded)));
    let good = signer.with(&header, &claims);
    wrong.push(("a fourth part", format!("{good}.x")));
    let (start, signature) = good.rsplit_once('.').expect("three parts");
    let wider = signed_part(&header, &changed(&claims, "scope", json!("posts:write")));
    wrong.push(("another's claims under a signature", format!("{wider}.{signature}")));
    wrong.push(("cut off", start.to_owned()));
    for (why, token) in wrong {
        assert_eq!(asked(&door, &token).await, StatusCode::UNAUTHORIZED, "{why}");
    }
}

#[tokio::test]
async fn a_pass_that_was_taken_back_or_whose_key_was_opens_nothing_from_then_on() {
    let door = Door::open().await;
    let mine = key_id(&door).await;
    let issued = async || issue(&door, &door.key, None).await.json();
    let token = |pass: &Value| pass["access_token"].as_str().unwrap().to_owned();
    let (first, second) = (issued().await, issued().await);
    // another key's word takes nothing of this one's back
    let other = door.key_for(Some(door.workspace), &[Scope::PostsRead]).await;
    let path = format!("/api/v1/tokens/{}", first["id"].as_str().unwrap());
    assert_eq!(send(&door, &Method::DELETE, &path, &other, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(asked(&door, &token(&first)).await, StatusCode::OK);
    for _ in 0..2 {
        let denied = send(&door, &Method::DELETE, &path, &door.key, None).await;
        assert_eq!(denied.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(asked(&door, &token(&first)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(asked(&door, &token(&second)).await, StatusCode::OK);
    assert_eq!(door.scratch.ledger.revoke_api_key(None, mine).await.expect("revokes"), Some(true));
    assert_eq!(asked(&door, &token(&second)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(asked(&door, &door.key).await, StatusCode::UNAUTHORIZED);
    assert_eq!(door.scratch.ledger.revoke_api_key(None, mine).await.expect("again"), Some(false));
}

#[tokio::test]
async fn what_can_be_no_token_in_use_is_not_taken_back_and_nothing_is_written_down() {
    let door = Door::open().await;
    let issued = jsonwebtoken::get_current_timestamp() - 21 * 60;
    let old = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, issued, 0));
    let ahead = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, issued + 22 * 60, 0));
    for pass in [Uuid::new_v4(), old, ahead] {
        let path = format!("/api/v1/tokens/{pass}");
        let denied = send(&door, &Method::DELETE, &path, &door.key, None).await;
        assert_eq!(denied.status, StatusCode::NOT_FOUND, "{pass}");
    }
    let kept = "SELECT (SELECT count(*) FROM denied_pass) + (SELECT count(*) FROM audit WHERE action = 'pass_denied')";
    assert_eq!(door.scratch.number(kept).await, 0);
    let path = format!("/api/v1/tokens/{}", Uuid::now_v7());
    let denied = send(&door, &Method::DELETE, &path, &door.key, None).await;
    assert_eq!((denied.status, door.scratch.number(kept).await), (StatusCode::NO_CONTENT, 2));
}

#[tokio::test]
async fn a_key_that_has_expired_takes_its_passes_along_and_less_scope_narrows_them() {
    let door = Door::open().await;
    let pass = issue(&door, &door.key, None).await.json();
    let token = pass["access_token"].as_str().unwrap();
    door.scratch.run("UPDATE api_key SET scopes = '{media:write}'").await;
    assert_eq!(asked(&door, token).await, StatusCode::FORBIDDEN);
    door.scratch.run("UPDATE api_key SET expires_at = ledger_now() - interval '1 second'").await;
    assert_eq!(asked(&door, token).await, StatusCode::UNAUTHORIZED);
    assert_eq!(asked(&door, &door.key).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_fresh_process_signs_with_a_key_of_its_own_and_the_old_ones_passes_go_on() {
    let door = Door::open().await;
    let token = issue(&door, &door.key, None).await.json()["access_token"].as_str().unwrap().to_owned();
    let again = door.another();
    let fresh = issue(&again, &again.key, None).await.json()["access_token"].as_str().unwrap().to_owned();
    let kid = |token: &str| jsonwebtoken::decode_header(token).expect("a header").kid;
    assert_ne!(kid(&token), kid(&fresh));
    assert_eq!(asked(&again, &token).await, StatusCode::OK);
    assert_eq!(asked(&door, &fresh).await, StatusCode::OK);
    assert_eq!(again.scratch.number("SELECT count(*) FROM pass_key").await, 2);
    // what is over is not told any more, and is gone with the next one
    door.scratch.run("UPDATE pass_key SET ends_at = ledger_now()").await;
    let told = send(&door, &Method::GET, "/.well-known/jwks.json", "", None).await.json();
    assert_eq!(told, json!({ "keys": [] }));
    Signer::of(&door).await;
    assert_eq!(door.scratch.number("SELECT count(*) FROM pass_key").await, 1);
}

#[tokio::test]
async fn a_process_signs_with_a_fresh_key_every_day_and_what_it_signed_before_goes_on() {
    let door = Door::open().await;
    let (passes, ledger) = (Passes::new(&ISSUER.parse().expect("an address")), &door.scratch.ledger);
    let (id, scopes) = (key_id(&door).await, vec![Scope::PostsRead]);
    let key = ApiKey { id, workspace_id: Some(door.workspace), scopes };
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time");
    let now = DateTime::from_timestamp(now, 0).expect("a time");
    let mut tokens = Vec::new();
    for hour in [0, 23, 24] {
        let at = (now, Duration::from_hours(hour));
        let issued = passes.issue(ledger, at, &key, &key.scopes, Duration::from_mins(1)).await;
        tokens.push(issued.expect("issued").token);
    }
    let kids: Vec<_> =
        tokens.iter().map(|it| jsonwebtoken::decode_header(it).expect("a header").kid).collect();
    assert!(kids[0] == kids[1] && kids[1] != kids[2], "{kids:?}");
    for token in &tokens {
        assert!(passes.read(ledger, now, token).await.expect("it answers").is_some());
    }
    assert_eq!(ledger.pass_keys(None).await.expect("it answers").len(), 2, "both are published");
}

#[tokio::test]
async fn what_was_signed_after_its_keys_time_opens_nothing_although_the_key_is_still_remembered() {
    let door = Door::open().await;
    let signer = Signer::of(&door).await;
    let (passes, ledger) = (Passes::new(&ISSUER.parse().expect("an address")), &door.scratch.ledger);
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time");
    let opens = async |minutes: i64| {
        let at = now + minutes * 60;
        let claims = changed(&changed(&signer.claims(), "iat", json!(at)), "exp", json!(at + 300));
        let token = signer.with(&signer.header(), &claims);
        let at = DateTime::from_timestamp(at, 0).expect("a time");
        passes.read(ledger, at, &token).await.expect("it answers").is_some()
    };
    // it was published for half an hour
    assert!(opens(0).await && opens(29).await, "in its time it checks");
    assert!(!opens(32).await, "and not after it");
}

#[tokio::test]
async fn the_use_of_a_key_is_written_down_once_a_minute() {
    let door = Door::open().await;
    let row = "SELECT count(*) FROM api_key WHERE last_used_at IS NOT NULL";
    assert_eq!(door.scratch.number(row).await, 0);
    assert_eq!(asked(&door, &door.key).await, StatusCode::OK);
    assert_eq!(door.scratch.number(row).await, 1);
    let version = "SELECT xmin::text::bigint FROM api_key";
    let first = door.scratch.number(version).await;
    let token = issue(&door, &door.key, None).await.json()["access_token"].as_str().unwrap().to_owned();
    for bearer in [&door.key, &token] {
        assert_eq!(asked(&door, bearer).await, StatusCode::OK);
    }
    assert_eq!(door.scratch.number(version).await, first, "it was not written again");
    for bearer in [&door.key, &token] {
        door.scratch.run("UPDATE api_key SET last_used_at = ledger_now() - interval '61 seconds'").await;
        let before = door.scratch.number(version).await;
        assert_eq!(asked(&door, bearer).await, StatusCode::OK);
        assert_ne!(door.scratch.number(version).await, before, "after a minute it is");
    }
}

#[tokio::test]
async fn an_administrator_makes_a_key_sees_it_once_and_takes_it_back() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Admin).await;
    let page = browser.get("/keys").await;
    assert_eq!(page.status, StatusCode::OK);
    let token = browser.token.clone();
    for (fields, said) in [
        (vec![("name", "a shop"), ("lasts", "90")], "Choose what it may do"),
        (vec![("name", " "), ("posts:read", "yes")], "Give it a name"),
    ] {
        let fields = [&[("token", token.as_str())], &fields[..]].concat();
        let answer = browser.form("/keys", &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.text.contains(said), "{}", answer.text);
    }
    let fields = [("token", token.as_str()), ("name", "the shop"), ("posts:read", "yes"), ("lasts", "30")];
    let made = browser.form("/keys", &fields).await;
    let from = made.text.find("<code id=\"made\">").expect("it is shown") + 16;
    let key = made.text[from..].split('<').next().expect("a key").to_owned();
    assert_eq!(asked(&door, &key).await, StatusCode::OK);
    let wish = json!({ "caption": "x", "targets": [] });
    let write = send(&door, &Method::POST, "/api/v1/posts", &key, Some(wish)).await;
    assert_eq!(write.status, StatusCode::FORBIDDEN);
    let again = browser.get("/keys").await;
    assert!(again.text.contains("the shop") && !again.text.contains(&key));
    let keys = door.scratch.ledger.api_keys(Some(door.workspace)).await.expect("keys");
    let id = keys.iter().find(|it| it.name == "the shop").expect("it is listed").id;
    let ended = browser.form(&format!("/keys/{id}/revoke"), &[("token", &token)]).await;
    assert_eq!((ended.status, ended.header("location")), (StatusCode::SEE_OTHER, "/keys"));
    assert_eq!(asked(&door, &key).await, StatusCode::UNAUTHORIZED);
    // of another workspace there is none
    let other = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    door.key_for(Some(other), Scope::ALL).await;
    let theirs = door.scratch.ledger.api_keys(Some(other)).await.expect("keys")[0].id;
    let refused = browser.form(&format!("/keys/{theirs}/revoke"), &[("token", &token)]).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    // nobody else gets in
    let mut publisher = Browser::of(&door, MemberRole::Publisher).await;
    assert_eq!(publisher.get("/keys").await.status, StatusCode::FORBIDDEN);
    assert!(!publisher.get("/posts").await.text.contains("href=\"/keys\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_makes_lists_and_takes_back_keys_and_shows_none_twice() {
    let system = System::start().await;
    let create = ["api-key", "create", "--operator", "--name", "night watch", "--scopes", "jobs:read"];
    let key = system.postroom(&create, "").await;
    let listed = system.told(&["api-key", "list", "--operator"]).await;
    let row = &listed["data"][0];
    assert_eq!((&row["name"], &row["scopes"]), (&json!("night watch"), &json!(["jobs:read"])));
    assert!(!listed.to_string().contains(key.trim()));
    let id = row["id"].as_str().unwrap();
    let jobs = || crate::harness::client().get(system.url("/api/v1/jobs")).bearer_auth(key.trim()).send();
    assert_eq!(jobs().await.unwrap().status(), 200);
    system.postroom(&["api-key", "revoke", id], "").await;
    assert_eq!(jobs().await.unwrap().status(), 401);
    let nobody = Uuid::now_v7().to_string();
    let (status, _, said) = system.try_postroom(&["api-key", "revoke", &nobody], "").await;
    assert_eq!((status, said.contains("there is no key")), (1, true), "{said}");
}
