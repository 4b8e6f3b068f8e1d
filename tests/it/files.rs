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
