//! `sandbox demo` against a stand-in for postroom that stumbles first.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path as At, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use sandbox::demo::{DemoError, Options, run};
use serde_json::{Value, json};

/// What the stand-in remembers: the keys under which posts came, and how they end.
struct Postroom {
    keys: Mutex<Vec<String>>,
    ends: &'static str,
}

#[tokio::test]
async fn a_post_is_handed_in_again_under_the_same_key_until_it_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let (web, postroom) = postroom("published").await;
    let fine = run(options(folder.path(), &web, "facebook_page,post,hello,,,0\n")).await.expect("a demo");
    assert!(fine);
    let keys = postroom.keys.lock().expect("keys").clone();
    assert_eq!(keys.len(), 2, "the first was answered with a 503");
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_post_that_is_held_is_no_success() {
    let folder = tempfile::tempdir().expect("a folder");
    let (web, _) = postroom("held").await;
    let fine = run(options(folder.path(), &web, "facebook_page,post,hello,,,0\n")).await.expect("a demo");
    assert!(!fine);
}

#[tokio::test]
async fn a_refusal_is_told_in_postrooms_own_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let (web, _) = postroom("published").await;
    let error =
        run(options(folder.path(), &web, "facebook_page,song,hello,,,0\n")).await.expect_err("a refusal");
    assert!(
        matches!(&error, DemoError::Refused { detail, .. } if detail.contains("kind is not known")),
        "{error}"
    );
}

async fn postroom(ends: &'static str) -> (String, Arc<Postroom>) {
    let postroom = Arc::new(Postroom { keys: Mutex::default(), ends });
    let router = Router::new()
        .route("/api/v1/accounts", get(accounts))
        .route("/api/v1/posts", post(accept))
        .route("/api/v1/posts/{id}", get(read))
        .with_state(Arc::clone(&postroom));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let web = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (web, postroom)
}

async fn accounts() -> Json<Value> {
    let account = json!({ "id": "a1", "platform": "facebook_page", "state": "active" });
    Json(json!({ "data": [account], "next_cursor": null }))
}

async fn accept(
    State(postroom): State<Arc<Postroom>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    assert_eq!(headers["authorization"], "Bearer the-key");
    if body["kind"] != "post" {
        let error = json!({ "field": "kind", "code": "unknown", "detail": "kind is not known" });
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "title": "Refused", "errors": [error] })));
    }
    let mut keys = postroom.keys.lock().expect("keys");
    keys.push(headers["idempotency-key"].to_str().expect("a key").to_owned());
    if keys.len() == 1 {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(Value::Null));
    }
    (StatusCode::ACCEPTED, Json(shown("p1", "scheduled")))
}

async fn read(State(postroom): State<Arc<Postroom>>, At(id): At<String>) -> Json<Value> {
    Json(shown(&id, postroom.ends))
}

fn shown(id: &str, state: &str) -> Value {
    let publication = json!({
        "id": "u1", "platform": "facebook_page", "state": state, "permalink": "http://x/1",
        "scheduled_for": "2026-11-21T10:00:00Z", "published_at": "2026-11-21T10:00:01Z",
    });
    json!({ "id": id, "publications": [publication] })
}

fn options(folder: &Path, web: &str, lines: &str) -> Options {
    let (key_file, input) = (folder.join("key"), folder.join("posts.csv"));
    std::fs::write(&key_file, "the-key\n").expect("a key file");
    std::fs::write(&input, format!("accounts,kind,caption,media,link,in_seconds\n{lines}")).expect("a CSV");
    Options {
        web: web.to_owned(),
        key_file,
        input,
        effects: None,
        timeout: Duration::from_secs(20),
        json: true,
    }
}
