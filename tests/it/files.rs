//! Files that are swept while something is done with them.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor};

use crate::{
    harness::eventually,
    support::{Answer, Door, jpeg},
};

async fn uploaded(door: &Door, side: u32) -> String {
    door.upload("a.jpg", &jpeg(side, side)).await.json()["id"].as_str().expect("an id").to_owned()
}

/// What a sweep does about all files that no post uses.
async fn sweep(door: &Door) {
    door.scratch.ledger.drop_unused_media(Duration::ZERO, None, 10).await.expect("swept");
}

#[tokio::test]
async fn a_file_that_a_change_is_just_taking_up_is_not_given_up() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let (before, after) = (uploaded(&door, 40).await, uploaded(&door, 50).await);
    let wish = json!({
        "caption": "x", "media_ids": [before], "targets": [{ "account_id": account }],
        "schedule": { "at": "2027-12-01T09:30", "time_zone": "UTC" },
    });
    let post = door.post(&wish).await.json()["id"].as_str().expect("an id").to_owned();
    // the change has judged its files, and waits for the old ones to be let go
    let mut holding = door.scratch.connection().await;
    let hold = format!("BEGIN; SELECT FROM post_media WHERE media_id = '{before}' FOR UPDATE");
    holding.execute(AssertSqlSafe(hold)).await.unwrap();
    let request = door
        .request(&Method::PATCH, &format!("/api/v1/posts/{post}"))
        .header("content-type", "application/json")
        .body(Body::from(json!({ "media_ids": [after] }).to_string()))
        .expect("a request");
    let sweeping = async {
        eventually("the change to wait", || async {
            let waiting = "SELECT count(*) FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
            if door.scratch.number(waiting).await == 1 { Ok(()) } else { Err("nobody waits".into()) }
        })
        .await;
        sweep(&door).await;
        holding.execute("ROLLBACK").await.unwrap();
    };
    let (changed, ()) = tokio::join!(door.send(request), sweeping);
    assert_eq!(changed.status, StatusCode::ACCEPTED, "{}", changed.text);
    assert_eq!(changed.json()["media_ids"], json!([after]));
}

#[tokio::test]
async fn a_key_whose_answer_names_a_file_goes_with_it() {
    let door = Door::open().await;
    let content = jpeg(40, 40);
    let send = || door.upload_with("a.jpg", &content, &[("idempotency-key", "one")]);
    let first = send().await;
    let id = |answer: &Answer| answer.json()["id"].as_str().expect("an id").to_owned();
    let again = send().await;
    assert_eq!((again.header("idempotent-replayed"), id(&again)), ("true", id(&first)));
    sweep(&door).await;
    let anew = send().await;
    assert_eq!((anew.status, anew.headers.contains_key("idempotent-replayed")), (StatusCode::CREATED, false));
    assert_eq!(door.get(&format!("/api/v1/media/{}", id(&anew))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_upload_that_was_swept_while_it_was_completed_has_expired() {
    let door = Door::open().await;
    let promise = json!({ "type": "image/jpeg", "bytes": jpeg(40, 40).len() });
    let request =
        door.request(&Method::POST, "/api/v1/media/uploads").header("content-type", "application/json");
    let promised = door.send(request.body(Body::from(promise.to_string())).expect("a request")).await;
    let form = promised.json();
    let key = form["fields"]["key"].as_str().expect("a key").to_owned();
    door.shelf.files.lock().expect("unpoisoned").insert(key, jpeg(40, 40));
    let path = format!("/api/v1/media/uploads/{}/complete", form["id"].as_str().expect("an id"));
    // whoever completes it waits for its row, which is going
    let mut sweeping = door.scratch.connection().await;
    sweeping.execute("BEGIN; DELETE FROM upload").await.unwrap();
    let request = door.request(&Method::POST, &path).body(Body::empty()).expect("a request");
    let going = async {
        eventually("it to wait", || async {
            let waiting = "SELECT count(*) FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
            if door.scratch.number(waiting).await == 1 { Ok(()) } else { Err("nobody waits".into()) }
        })
        .await;
        sweeping.execute("COMMIT").await.unwrap();
    };
    let (completed, ()) = tokio::join!(door.send(request), going);
    assert_eq!(completed.status, StatusCode::CONFLICT, "{}", completed.text);
    assert!(
        completed.json()["detail"].as_str().expect("a detail").contains("has expired"),
        "{}",
        completed.text
    );
}

#[tokio::test]
async fn every_status_of_a_write_is_in_the_description() {
    let door = Door::open().await;
    let api = door.get("/api/openapi.json").await.json();
    for (path, method) in [
        ("/api/v1/posts/{id}", "patch"),
        ("/api/v1/posts/{id}/cancel", "post"),
        ("/api/v1/posts/{id}/retry", "post"),
        ("/api/v1/media/uploads/{id}/complete", "post"),
    ] {
        let told = &api["paths"][path][method]["responses"];
        for status in [400, 401, 403, 404, 409, 413, 415, 422, 503] {
            assert!(told[status.to_string()].is_object(), "{method} {path} does not tell of {status}");
        }
    }
}
