//! What the door says to a wish to take something down: what is committed, and what cannot be taken down and why.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Door};

/// A publication of words on an account of its own, in this state.
struct At {
    door: Door,
    publication: String,
}

impl At {
    async fn open(set: &str) -> Self {
        let door = Door::open().await;
        let account = door.account("facebook_page").await;
        let body = json!({ "caption": "Opening day", "targets": [{ "account_id": account }] });
        let post = door.post(&body).await.json();
        door.scratch.run(&format!("UPDATE publication SET {set}")).await;
        door.scratch.run("DELETE FROM job").await;
        let publication = post["publications"][0]["id"].as_str().expect("an id").to_owned();
        Self { door, publication }
    }

    async fn published() -> Self {
        Self::open("state = 'published', public_id = '104_1', published_at = ledger_now()").await
    }

    async fn ask(&self, body: &str, key: Option<&str>) -> Answer {
        let path = format!("/api/v1/publications/{}/take-down", self.publication);
        let mut request = self.door.request(&Method::POST, &path);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.door.send(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    async fn wishes(&self) -> i64 {
        self.door.scratch.number("SELECT count(*) FROM take_down JOIN job ON job.id = take_down.job_id").await
    }
}

#[tokio::test]
async fn a_wish_is_committed_with_its_job_and_hinted_at() {
    let it = At::published().await;
    let answer = it.ask(r#"{"reason": "  too early  "}"#, None).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let wish = answer.json()["taken_down"].clone();
    assert_eq!(
        (&wish["state"], &wish["reason"], &wish["at"]),
        (&json!("asked"), &json!("too early"), &Value::Null)
    );
    assert_eq!((it.wishes().await, it.door.hints.lock().expect("unpoisoned").len()), (1, 2));
    // a second one, also without a body, is the same one, with the first's reason
    let again = it.ask("", None).await;
    assert_eq!((again.status, &again.json()["taken_down"]), (StatusCode::ACCEPTED, &wish));
    assert_eq!(it.door.scratch.number("SELECT count(*) FROM job").await, 1);
}

#[tokio::test]
async fn what_is_not_published_is_not_taken_down_and_the_answer_has_its_state() {
    for (set, shown) in [
        ("state = 'scheduled'", "scheduled"),
        ("state = 'armed'", "publishing"),
        ("state = 'unknown', next_check_at = ledger_now()", "confirming"),
        ("state = 'held', hold_reason = 'h'", "held"),
        ("state = 'failed'", "failed"),
        ("state = 'cancelled'", "cancelled"),
    ] {
        let it = At::open(set).await;
        let answer = it.ask("{}", None).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{set}: {}", answer.text);
        assert!(answer.json()["detail"].as_str().expect("a detail").contains(shown), "{}", answer.text);
        assert_eq!(it.wishes().await, 0);
    }
}

#[tokio::test]
async fn an_account_that_cannot_be_used_and_a_post_without_a_name_are_refused() {
    let it = At::published().await;
    for (set, why) in [("state = 'reconnect'", "reconnect"), ("frozen_at = ledger_now()", "frozen")] {
        it.door.scratch.run(&format!("UPDATE account SET {set}")).await;
        let answer = it.ask("{}", None).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
        let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
        assert!(detail.contains(why) && detail.contains("connects it again"), "{detail}");
    }
    it.door.scratch.run("UPDATE account SET state = 'active', frozen_at = NULL").await;
    it.door.scratch.run("UPDATE publication SET public_id = NULL").await;
    assert_eq!(it.ask("{}", None).await.status, StatusCode::CONFLICT);
    // while its name is asked for, the wish waits for it
    it.door.scratch.run("UPDATE publication SET next_check_at = ledger_now()").await;
    assert_eq!(it.ask("{}", None).await.status, StatusCode::ACCEPTED);
    assert_eq!(it.wishes().await, 1);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_named_and_another_workspaces_publication_is_none() {
    let mut it = At::published().await;
    for (body, field, code) in [
        (json!({ "reasn": "x" }), "reasn", "unknown_field"),
        (json!({ "reason": 7 }), "reason", "type"),
        (json!({ "reason": "x".repeat(501) }), "reason", "length"),
        (json!([]), "body", "type"),
    ] {
        let answer = it.ask(&body.to_string(), None).await;
        assert_eq!(answer.only_finding(), (field.to_owned(), code.to_owned()));
    }
    assert_eq!(it.wishes().await, 0);
    let other = it.door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    it.door.key = it.door.key_for(Some(other), postroom::ledger::keys::Scope::ALL).await;
    assert_eq!(it.ask(r#"{"reasn": 1}"#, None).await.status, StatusCode::NOT_FOUND);
    it.publication = Uuid::now_v7().to_string();
    assert_eq!(it.ask("{}", None).await.status, StatusCode::NOT_FOUND);
    it.publication = "nonsense".into();
    assert_eq!(it.ask("{}", None).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_wish_under_a_key_is_made_once_and_answered_as_it_was_first() {
    let it = At::published().await;
    let first = it.ask(r#"{"reason": "one"}"#, Some("k")).await;
    it.door.scratch.run("UPDATE take_down SET state = 'gone', ended_at = ledger_now()").await;
    let again = it.ask(r#"{"reason": "one"}"#, Some("k")).await;
    assert_eq!((again.header("idempotent-replayed"), &again.text), ("true", &first.text));
    let other = it.ask(r#"{"reason": "two"}"#, Some("k")).await;
    assert_eq!(other.json()["type"], "urn:postroom:problem:idempotency-key-reused");
}

#[tokio::test]
async fn a_key_that_may_only_read_takes_nothing_down() {
    let mut it = At::published().await;
    it.door.key = it.door.key_for(Some(it.door.workspace), &[postroom::ledger::keys::Scope::PostsRead]).await;
    assert_eq!(it.ask("{}", None).await.status, StatusCode::FORBIDDEN);
    assert_eq!(it.wishes().await, 0);
}
