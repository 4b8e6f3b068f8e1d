//! Files that a browser sends straight to the store.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::{Query, State},
    http::{StatusCode, Uri},
};
use jobs::{
    contract::{Class, Failure},
    desk::File,
    store::{Form, Part, Parts, Uploads},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{System, client, eventually, film, picture},
    support::{Shelf, jpeg},
};

#[async_trait]
impl Uploads for Shelf {
    fn form(&self, key: &str, _: &str, _: u64, _: Duration) -> Result<Form, Failure> {
        let fields = BTreeMap::from([("key".to_owned(), key.to_owned())]);
        let expires_at = "2026-12-01T09:30:00Z".parse().expect("a time");
        Ok(Form { url: "https://media.example/".to_owned(), fields, expires_at })
    }

    async fn parts(&self, key: &str, _: &str, bytes: u64, _: Duration) -> Result<Parts, Failure> {
        let expires_at = "2026-12-01T09:30:00Z".parse().expect("a time");
        let part = Part { url: format!("https://media.example/{key}"), bytes };
        Ok(Parts { id: "parts".to_owned(), parts: vec![part], expires_at })
    }

    async fn join(&self, _: &str, _: &str, _: u64) -> Result<Option<u64>, Failure> {
        Ok(None)
    }

    async fn copy(&self, from: &str, to: &str, _: &str) -> Result<(), Failure> {
        let mut files = self.files.lock().expect("unpoisoned");
        let missing = || Failure::new(Class::Permanent, "missing", "no such file");
        let file = files.get(from).cloned().ok_or_else(missing)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    async fn thumbnail(&self, file: &File) -> Result<String, Failure> {
        Ok(format!("{}.small.jpeg", file.key))
    }
}

const UPLOADS: &str = "/api/v1/media/uploads";

/// What a file is promised as.
fn promise(kind: &str, bytes: usize) -> Value {
    json!({ "name": "it.bin", "type": kind, "bytes": bytes })
}

/// Promises a file and gives the form for it.
async fn promised(system: &System, kind: &str, bytes: usize) -> Value {
    let (status, form) = system.api(Method::POST, UPLOADS, Some(&promise(kind, bytes))).await;
    assert_eq!(status, 201, "{form}");
    form
}

/// Sends a file with a form as a browser does, and gives the store's answer.
async fn send(form: &Value, bytes: Vec<u8>) -> (u16, String) {
    let mut body = reqwest::multipart::Form::new();
    for (name, value) in form["fields"].as_object().unwrap() {
        body = body.text(name.clone(), value.as_str().unwrap().to_owned());
    }
    let body = body.part("file", reqwest::multipart::Part::bytes(bytes).file_name("it.bin"));
    let url = form["url"].as_str().unwrap();
    let answer = client().post(url).multipart(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Says that the file is sent.
async fn complete(system: &System, form: &Value) -> (u16, Value) {
    let path = format!("{UPLOADS}/{}/complete", form["id"].as_str().unwrap());
    system.api(Method::POST, &path, None).await
}

/// Promises, sends and completes.
async fn uploaded(system: &System, kind: &str, bytes: Vec<u8>) -> (u16, Value) {
    let form = promised(system, kind, bytes.len()).await;
    let (status, said) = send(&form, bytes).await;
    assert_eq!(status, 204, "{said}");
    complete(system, &form).await
}

fn code(problem: &Value) -> &str {
    problem["errors"][0]["code"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_sent_straight_to_the_store_becomes_a_file_like_any_other() {
    let system = System::with_workers(1).await;
    for (kind, bytes, size) in
        [("image/jpeg", picture(), (1080, 1080, false)), ("video/mp4", film(), (540, 960, true))]
    {
        let length = bytes.len();
        let (status, media) = uploaded(&system, kind, bytes).await;
        assert_eq!(status, 201, "{media}");
        assert_eq!((&media["type"], &media["bytes"]), (&json!(kind), &json!(length)));
        assert_eq!((&media["width"], &media["height"]), (&json!(size.0), &json!(size.1)), "{media}");
        assert_eq!(media["duration_ms"].is_u64(), size.2, "{media}");
        let path = format!("/api/v1/media/{}", media["id"].as_str().unwrap());
        assert_eq!(system.api(Method::GET, &path, None).await, (200, media));
    }
    let (_, media) = uploaded(&system, "image/jpeg", picture()).await;
    let wish =
        system.wish("sent by a form", &["instagram_business"], &[media["id"].as_str().unwrap().into()]);
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_twice_or_at_once_makes_one_file_and_nothing_sent_later_changes_it() {
    let system = System::start().await;
    let form = promised(&system, "image/jpeg", picture().len()).await;
    assert_eq!(send(&form, picture()).await.0, 204);
    let (one, other) = tokio::join!(complete(&system, &form), complete(&system, &form));
    assert_eq!((one.0, &one), (201, &other));
    // the form serves still, and what it is sent with now is nobody's
    let mut changed = picture();
    changed.reverse();
    assert_eq!(send(&form, changed).await.0, 204);
    assert_eq!(complete(&system, &form).await, one);
    assert_eq!(system.database.count("SELECT count(*) FROM media").await, 1);
    let sum =
        "SELECT count(*) FROM media m JOIN upload u ON u.media_id = m.id WHERE m.object_key <> u.object_key";
    assert_eq!(system.database.count(sum).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_takes_nothing_but_what_was_promised() {
    let system = System::start().await;
    // small enough to be sent whole before the store says no
    let picture = || jpeg(40, 40);
    let form = promised(&system, "image/jpeg", picture().len()).await;
    let mut longer = picture();
    longer.push(0);
    assert_eq!(send(&form, longer).await.0, 400, "another size");
    let changed = |field: &str, value: &str| {
        let mut form = form.clone();
        form["fields"][field] = json!(value);
        form
    };
    for (field, value) in [
        ("key", "another/workspace.jpg"),
        ("Content-Type", "text/html"),
        ("x-amz-signature", "00"),
        ("x-amz-date", "20260101T000000Z"),
    ] {
        let (status, said) = send(&changed(field, value), picture()).await;
        assert!([400, 403].contains(&status), "{field}: {status} {said}");
    }
    let (status, problem) = complete(&system, &form).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("Nothing has come"), "{problem}");
    assert_eq!(send(&form, picture()).await.0, 204);
    assert_eq!(complete(&system, &form).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_it_was_promised_as_is_refused_and_says_what_came() {
    let system = System::start().await;
    let (status, problem) = uploaded(&system, "image/png", picture()).await;
    assert_eq!((status, code(&problem)), (422, "media_type_differs"), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("what came is image/jpeg"), "{problem}");
    for (kind, bytes, found) in [
        ("image/jpeg", b"only words, and nothing else in it".to_vec(), "media_type"),
        ("image/jpeg", picture()[..picture().len() / 2].to_vec(), "media_broken"),
        ("video/mp4", film()[..film().len() / 2].to_vec(), "media_broken"),
    ] {
        let (status, problem) = uploaded(&system, kind, bytes).await;
        assert_eq!((status, code(&problem)), (422, found), "{problem}");
    }
    assert_eq!(system.database.count("SELECT count(*) FROM media").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_cannot_be_kept_is_refused_at_the_door() {
    let system = System::start().await;
    for (body, found) in [
        (promise("image/jpeg", 17 << 20), "media_too_large"),
        (promise("video/mp4", 300 << 20), "media_too_large"),
        (promise("image/gif", 10), "media_type"),
        (promise("video/mp4", 0), "required"),
        (json!({ "bytes": 5 }), "required"),
        (json!({ "type": "video/mp4", "bytes": 5, "size": 5 }), "unknown_field"),
    ] {
        let (status, problem) = system.api(Method::POST, UPLOADS, Some(&body)).await;
        assert_eq!((status, code(&problem)), (422, found), "{problem}");
    }
    assert_eq!(system.database.count("SELECT count(*) FROM upload").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_its_workspaces_own_and_its_promise_may_be_repeated() {
    let system = System::start().await;
    system.postroom(&["workspace", "add", "Mill"], "").await;
    let key = system.postroom(&["api-key", "create", "--workspace", "Mill", "--scopes", "all"], "").await;
    let form = promised(&system, "image/jpeg", picture().len()).await;
    assert_eq!(send(&form, picture()).await.0, 204);
    let path = format!("{UPLOADS}/{}/complete", form["id"].as_str().unwrap());
    let stranger = client().post(system.url(&path)).bearer_auth(&key).send().await.unwrap();
    assert_eq!(stranger.status(), 404);
    let again = || async {
        let request = client().post(system.url(UPLOADS)).bearer_auth(&system.key);
        let request = request.header("idempotency-key", "one").json(&promise("video/mp4", 5));
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    assert_eq!(again().await, again().await);
    assert_eq!(system.database.count("SELECT count(*) FROM upload").await, 2);
}

/// The size of a part.
const PART: usize = 16 << 20;

/// A system where files from a megabyte on come in parts.
async fn in_parts() -> System {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__WEB__PARTS_FROM".into(), "1000000".into());
    system.web.take().unwrap().kill9().await;
    system.start_web().await;
    system
}

/// The demo's film with free space after it, for which its format has a box: a part and a bit.
fn large() -> Vec<u8> {
    let free = u32::try_from(PART).unwrap();
    let mut bytes = film();
    bytes.extend(free.to_be_bytes());
    bytes.extend(b"free");
    bytes.resize(film().len() + PART, 0);
    bytes
}

/// Puts one part; the store's answer.
async fn put(part: &Value, bytes: &[u8]) -> u16 {
    let url = part["url"].as_str().unwrap();
    client().put(url).body(bytes.to_vec()).send().await.unwrap().status().as_u16()
}

/// What the store holds that is no file yet.
fn parts_left(system: &System) -> usize {
    let root = std::fs::read_dir(system.logs().join("sandbox/s3")).unwrap();
    root.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".upload_id-"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_comes_in_parts_and_is_a_file_like_any_other_once_all_have_come() {
    let system = in_parts().await;
    let film = large();
    let upload = promised(&system, "video/mp4", film.len()).await;
    assert_eq!((&upload["url"], &upload["fields"]), (&Value::Null, &json!({})), "{upload}");
    let parts = upload["parts"].as_array().unwrap();
    let sizes: Vec<_> = parts.iter().map(|part| part["bytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [PART as u64, (film.len() - PART) as u64]);
    let (status, problem) = complete(&system, &upload).await;
    assert_eq!(status, 409, "{problem}");
    // each part is signed for its own length, and one that was sent again counts once
    assert_eq!(put(&parts[1], &film[PART - 1..]).await / 100, 4, "a byte too many");
    assert_eq!(put(&parts[1], &film[PART..]).await, 200);
    let (status, problem) = complete(&system, &upload).await;
    assert_eq!((status, code(&problem)), (422, "media_size_differs"), "{problem}");
    assert_eq!(put(&parts[0], &film[..PART]).await, 200);
    assert_eq!(put(&parts[1], &film[PART..]).await, 200);
    let (one, other) = tokio::join!(complete(&system, &upload), complete(&system, &upload));
    let (status, media) = if one.0 == 201 { &one } else { &other };
    assert_eq!((*status, &media["bytes"]), (201, &json!(film.len())), "{one:?} {other:?}");
    assert_eq!(complete(&system, &upload).await.1, *media);
    assert_eq!(put(&parts[1], &film[PART..]).await / 100, 4, "nothing is taken any more");
    assert_eq!(parts_left(&system), 0);
    assert_eq!(system.database.count("SELECT count(*) FROM upload WHERE parts IS NOT NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_comes_whole_and_parts_are_refused_beyond_the_limit() {
    let system = in_parts().await;
    let upload = promised(&system, "video/mp4", film().len()).await;
    assert_eq!((upload["url"].is_string(), &upload["parts"]), (true, &json!([])), "{upload}");
    let (status, problem) = system.api(Method::POST, UPLOADS, Some(&promise("video/mp4", 300 << 20))).await;
    assert_eq!((status, code(&problem)), (422, "media_too_large"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_file_that_was_never_completed_are_given_up() {
    let mut system = in_parts().await;
    system.environment.insert("POSTROOM__RETENTION__SWEEP_EVERY".into(), "100ms".into());
    system.database.own_clock().await;
    let film = large();
    let upload = promised(&system, "video/mp4", film.len()).await;
    assert_eq!(put(&upload["parts"][0], &film[..PART]).await, 200);
    assert_eq!(parts_left(&system), 1);
    system.start_worker(&[]);
    let later = system.database.now().await + chrono::TimeDelta::hours(25);
    system.database.set_clock(later).await;
    eventually("the parts to go", || async {
        let left = system.database.count("SELECT count(*) FROM spare_object").await;
        match (parts_left(&system), left) {
            (0, 0) => Ok(()),
            left => Err(format!("{left:?}")),
        }
    })
    .await;
    assert_eq!(put(&upload["parts"][1], &film[PART..]).await / 100, 4, "nothing is taken any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_takes_a_key_as_every_write_does_and_says_when_it_is_too_late() {
    let system = System::start().await;
    let form = promised(&system, "image/jpeg", picture().len()).await;
    assert_eq!(send(&form, picture()).await.0, 204);
    let path = format!("{UPLOADS}/{}/complete", form["id"].as_str().unwrap());
    let (status, problem) = system.api(Method::POST, &path, Some(&json!({ "name": "other" }))).await;
    assert_eq!((status, code(&problem)), (422, "unknown_field"), "{problem}");
    let keyed = |path: String, body: &'static str| {
        let request = client().post(system.url(&path)).bearer_auth(&system.key);
        let request = request.header("idempotency-key", "one").header("content-type", "application/json");
        async move {
            let answer = request.body(body).send().await.unwrap();
            let again = answer.headers().contains_key("idempotent-replayed");
            (answer.status().as_u16(), again, answer.json::<Value>().await.unwrap())
        }
    };
    let (status, again, media) = keyed(path.clone(), "{}").await;
    assert_eq!((status, again), (201, false), "{media}");
    assert_eq!(keyed(path.clone(), "{}").await, (201, true, media.clone()));
    let (status, _, problem) = keyed(path.clone(), "{ }").await;
    assert_eq!((status, &problem["type"]), (422, &json!("urn:postroom:problem:idempotency-key-reused")));
    let other = promised(&system, "image/jpeg", picture().len()).await;
    let elsewhere = format!("{UPLOADS}/{}/complete", other["id"].as_str().unwrap());
    assert_eq!(keyed(elsewhere.clone(), "{}").await.0, 422, "a key is for one write");
    assert_eq!(complete(&system, &form).await, (201, media), "and is not needed");
    let (status, problem) = system.api(Method::POST, &elsewhere, None).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("Nothing has come"), "{problem}");
}

/// The keys of files that a store has opened in parts.
type Opened = Arc<Mutex<Vec<String>>>;

/// A store that opens files in parts and never gets to say so; what it has opened it lists and gives up as S3's documents
/// have it.
async fn silent(
    State(opened): State<Opened>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
) -> (StatusCode, String) {
    let key = uri.path().trim_start_matches("/bucket/").to_owned();
    if method == Method::POST {
        opened.lock().unwrap().push(key);
        return std::future::pending().await;
    }
    let mut opened = opened.lock().unwrap();
    if method == Method::DELETE {
        opened.retain(|it| *it != key);
        return (StatusCode::NO_CONTENT, String::new());
    }
    if !query.contains_key("uploads") {
        let none = "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>";
        return (StatusCode::OK, none.to_owned());
    }
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let own = opened.iter().filter(|key| key.starts_with(&prefix));
    let one = |key: &String| format!("<Upload><Key>{key}</Key><UploadId>u</UploadId></Upload>");
    let listed = own.map(one).collect::<Vec<_>>().concat();
    (StatusCode::OK, format!("<ListMultipartUploadsResult>{listed}</ListMultipartUploadsResult>"))
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_were_opened_by_an_intake_that_died_over_it_are_given_up() {
    let mut system = System::start().await;
    let opened = Opened::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(silent).with_state(Arc::clone(&opened));
    tokio::spawn(async move { axum::serve(listener, router).await });
    for (name, value) in [
        ("POSTROOM__WEB__PARTS_FROM", "1000000"),
        ("POSTROOM__RETENTION__SWEEP_EVERY", "100ms"),
        ("AWS_ENDPOINT_URL_S3", &address),
        ("S3_BUCKET", "bucket"),
    ] {
        system.environment.insert(name.into(), value.into());
    }
    system.web.take().unwrap().kill9().await;
    system.start_web().await;
    let request = client().post(system.url(UPLOADS)).bearer_auth(&system.key);
    let promised = tokio::spawn(request.json(&promise("video/mp4", 20 << 20)).send());
    eventually("the store to open it", || async {
        if opened.lock().unwrap().is_empty() { Err("nothing yet".to_owned()) } else { Ok(()) }
    })
    .await;
    system.web.take().unwrap().kill9().await;
    assert!(promised.await.unwrap().is_err(), "nobody has answered");
    assert_eq!(system.database.count("SELECT count(*) FROM upload").await, 0, "its name was never known");
    let soon = "SELECT count(*) FROM spare_object WHERE remove_at BETWEEN ledger_now() AND ledger_now() + interval '1 day'";
    assert_eq!(system.database.count(soon).await, 1);

    system.start_worker(&[]);
    sqlx::query("UPDATE spare_object SET remove_at = ledger_now()")
        .execute(&system.database.pool)
        .await
        .unwrap();
    eventually("the parts to be given up", || async {
        let left = system.database.count("SELECT count(*) FROM spare_object").await;
        let open = opened.lock().unwrap().clone();
        if left == 0 && open.is_empty() {
            Ok(())
        } else {
            Err(format!("{open:?} {left}: {}", system.workers[0].log()))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_is_its_own_once_it_is_promised() {
    let system = in_parts().await;
    promised(&system, "video/mp4", large().len()).await;
    assert_eq!(
        system.database.count("SELECT count(*) FROM spare_object").await,
        0,
        "nobody removes it in between"
    );
    assert_eq!(system.database.count("SELECT count(*) FROM upload WHERE parts IS NOT NULL").await, 1);
}
