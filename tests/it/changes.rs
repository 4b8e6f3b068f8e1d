//! Changing, cancelling and trying again a post that was accepted: what is taken, what is refused and how that is said.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Door, jpeg};

/// A post of words on an account, for a time far off.
struct Later {
    door: Door,
    account: Uuid,
    post: String,
}

impl Later {
    async fn open() -> Self {
        let door = Door::open().await;
        let account = door.account("facebook_page").await;
        let body = json!({
            "caption": "Opening day", "targets": [{ "account_id": account }],
            "schedule": { "at": "2027-12-01T09:30", "time_zone": "Asia/Jerusalem" }, "latest_after": "PT2H",
        });
        let answer = door.post(&body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let post = answer.json()["id"].as_str().expect("an id").to_owned();
        Self { door, account, post }
    }

    async fn patch(&self, body: &Value) -> Answer {
        patch(&self.door, &self.post, body, None).await
    }

    async fn act(&self, verb: &str) -> Answer {
        act(&self.door, &self.post, verb).await
    }

    async fn set(&self, set: &str) {
        self.door.scratch.run(&format!("UPDATE publication SET {set}")).await;
    }

    /// A commit call of its handle, with this verdict.
    async fn committed(&self, verdict: &str) {
        self.door
            .scratch
            .run(&format!(
                "INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind, handle_id,
                                          deadline_at, verdict)
                 SELECT gen_random_uuid(), id, account_id, id, 1, id, 'commit', handle_id, ledger_now(), '{verdict}'
                 FROM publication"
            ))
            .await;
    }
}

async fn patch(door: &Door, post: &str, body: &Value, key: Option<&str>) -> Answer {
    let mut request = door
        .request(&Method::PATCH, &format!("/api/v1/posts/{post}"))
        .header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    door.send(request.body(Body::from(body.to_string())).expect("a request")).await
}

async fn act(door: &Door, post: &str, verb: &str) -> Answer {
    let request = door.request(&Method::POST, &format!("/api/v1/posts/{post}/{verb}"));
    door.send(request.body(Body::empty()).expect("a request")).await
}

fn detail(answer: &Answer) -> String {
    answer.json()["detail"].as_str().expect("a detail").to_owned()
}

#[tokio::test]
async fn a_change_is_laid_over_the_post_and_raises_its_version() {
    let it = Later::open().await;
    let changed = it.patch(&json!({ "caption": "Opening night", "link": "https://example.org/" })).await;
    assert_eq!(changed.status, StatusCode::ACCEPTED, "{}", changed.text);
    let post = changed.json();
    assert_eq!((&post["caption"], &post["link"]), (&json!("Opening night"), &json!("https://example.org/")));
    assert_eq!(post["publications"][0]["surface"], "link");
    assert_eq!(
        (&post["schedule"]["at"], &post["latest_after"]),
        (&json!("2027-12-01T09:30:00"), &json!("PT2H"))
    );
    assert_eq!(it.door.get(&format!("/api/v1/posts/{}", it.post)).await.json(), post);
    assert_eq!(it.door.scratch.number("SELECT version FROM publication").await, 2);
    let unlinked = it.patch(&json!({ "link": null })).await.json();
    assert_eq!((&unlinked["link"], &unlinked["publications"][0]["surface"]), (&Value::Null, &json!("text")));
}

#[tokio::test]
async fn a_change_that_changes_nothing_renews_nothing() {
    let it = Later::open().await;
    for body in [json!({}), json!({ "caption": "Opening day" }), json!({ "latest_after": "PT120M" })] {
        assert_eq!(it.patch(&body).await.status, StatusCode::ACCEPTED);
    }
    assert_eq!(it.door.scratch.number("SELECT version FROM publication").await, 1);
}

#[tokio::test]
async fn another_time_moves_the_job_whoever_has_it_and_now_is_hinted_at() {
    let it = Later::open().await;
    // somebody works on it meanwhile
    it.door
        .scratch
        .run("INSERT INTO claim (job_id, epoch, worker_inc, deadline_at) SELECT id, epoch, id, ledger_now() + interval '1 hour' FROM job")
        .await;
    let epoch = "SELECT epoch FROM job";
    let before = it.door.scratch.number(epoch).await;
    let moved = it.patch(&json!({ "schedule": { "at": "2027-12-02T10:00", "time_zone": "UTC" } })).await;
    assert_eq!(moved.json()["schedule"]["instant"], "2027-12-02T10:00:00Z", "{}", moved.text);
    assert!(it.door.scratch.number(epoch).await > before, "who has it gives it back at the new time");
    let moved = "SELECT count(*) FROM job JOIN publication p ON p.id = job.publication_id
                 WHERE run_at = '2027-12-02T09:55Z' AND p.scheduled_for = '2027-12-02T10:00Z' AND p.latest_at = '2027-12-02T12:00Z'";
    assert_eq!(it.door.scratch.number(moved).await, 1);
    assert!(it.door.hints.lock().expect("unpoisoned").is_empty());
    let now = it.patch(&json!({ "schedule": null })).await.json();
    assert_eq!(now["schedule"]["at"], Value::Null);
    assert_eq!(it.door.scratch.number("SELECT count(*) FROM job WHERE run_at <= now()").await, 1);
    assert_eq!(it.door.hints.lock().expect("unpoisoned").len(), 1);
}

#[tokio::test]
async fn a_schedule_that_is_shown_is_taken_as_it_is_shown() {
    let it = Later::open().await;
    for written in [
        json!({ "at": "2027-12-01T09:30:00", "time_zone": "Asia/Jerusalem" }),
        json!({ "at": "2027-12-01T09:30:00+02:00" }),
        json!({ "at": "2027-12-01T07:30Z" }),
        json!({ "at": "2027-10-31T01:30", "time_zone": "Asia/Jerusalem", "fold": "later" }),
    ] {
        let put = it.patch(&json!({ "schedule": written })).await;
        assert_eq!(put.status, StatusCode::ACCEPTED, "{}", put.text);
        let version = it.door.scratch.number("SELECT version FROM publication").await;
        let mut shown = put.json()["schedule"].clone();
        let fields = shown.as_object_mut().expect("a schedule");
        fields.retain(|name, _| ["at", "time_zone", "fold"].contains(&name.as_str()));
        let again = it.patch(&json!({ "schedule": shown })).await;
        assert_eq!(again.status, StatusCode::ACCEPTED, "{shown}: {}", again.text);
        assert_eq!(again.json()["schedule"], put.json()["schedule"]);
        assert_eq!(it.door.scratch.number("SELECT version FROM publication").await, version, "{shown}");
    }
}

#[tokio::test]
async fn a_change_is_judged_as_a_new_post_would_be() {
    let it = Later::open().await;
    let other = it.door.account("facebook_page").await;
    for (body, field, code) in [
        (json!({ "caption": "" }), "caption", "empty_post"),
        (json!({ "caption": 7 }), "caption", "type"),
        (json!({ "kind": "reel" }), "kind", "unknown_field"),
        (json!({ "link": "http://10.0.0.1/" }), "link", "link_private"),
        (json!({ "latest_after": "-PT1H" }), "latest_after", "span_negative"),
        (json!({ "media_ids": [Uuid::now_v7()] }), "media_ids[0]", "media_unknown"),
        (json!({ "schedule": { "at": "2020-01-01T09:30", "time_zone": "UTC" } }), "schedule.at", "time_past"),
        (json!({ "targets": [{ "account_id": other }] }), "targets[0].account_id", "target_unknown"),
        (
            json!({ "targets": [{ "account_id": it.account, "options": { "privacy_level": "SELF_ONLY" } }] }),
            "targets[0].options.privacy_level",
            "unknown_option",
        ),
    ] {
        let answer = it.patch(&body).await;
        let found = answer.findings();
        assert!(found.contains(&(field.to_owned(), code.to_owned())), "{body}: {found:?}");
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(it.door.scratch.number("SELECT version FROM publication").await, 1);
}

#[tokio::test]
async fn files_are_changed_in_order() {
    let it = Later::open().await;
    let file = it.door.upload("a.jpg", &jpeg(40, 40)).await.json()["id"].clone();
    let changed = it.patch(&json!({ "media_ids": [file] })).await.json();
    assert_eq!((&changed["media_ids"][0], &changed["publications"][0]["surface"]), (&file, &json!("photo")));
    let words = it.patch(&json!({ "media_ids": null })).await.json();
    assert_eq!((&words["media_ids"], &words["publications"][0]["surface"]), (&json!([]), &json!("text")));
}

#[tokio::test]
async fn one_account_gets_words_of_its_own() {
    let it = Later::open().await;
    let own = json!({ "targets": [{ "account_id": it.account, "caption": "Here only" }] });
    assert_eq!(it.patch(&own).await.status, StatusCode::ACCEPTED);
    let kept = "SELECT count(*) FROM publication WHERE caption = 'Here only' AND version = 2";
    assert_eq!(it.door.scratch.number(kept).await, 1);
    // the words of all change, and this account's own stay
    let all = it.patch(&json!({ "caption": "Elsewhere" })).await;
    assert_eq!((all.status, &all.json()["caption"]), (StatusCode::ACCEPTED, &json!("Elsewhere")));
    assert_eq!(it.door.scratch.number(kept).await, 1);
    let again = json!({ "targets": [{ "account_id": it.account, "caption": null }] });
    assert_eq!(it.patch(&again).await.status, StatusCode::ACCEPTED);
    assert_eq!(it.door.scratch.number("SELECT count(*) FROM publication WHERE caption IS NULL").await, 1);
}

#[tokio::test]
async fn what_is_ready_at_the_network_is_made_anew_only_if_something_else_would_be_sent() {
    let it = Later::open().await;
    let now: DateTime<Utc> = sqlx::query_scalar("SELECT ledger_now()")
        .fetch_one(&mut it.door.scratch.connection().await)
        .await
        .expect("a time");
    let at = |minutes| {
        let at = (now + TimeDelta::minutes(minutes)).to_rfc3339_opts(SecondsFormat::Secs, true);
        json!({ "schedule": { "at": at } })
    };
    let answer = it.patch(&at(3)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    it.set("version = 1").await;
    it.set("state = 'prepared', handle_kind = 'draft', handle_id = 'd', handle_state = 'ready', handle_version = 1")
        .await;
    let version = "SELECT version FROM publication WHERE parent_id IS NULL";
    let comment =
        json!({ "targets": [{ "account_id": it.account, "options": { "first_comment": "Come by" } }] });
    let same = json!({ "targets": [{ "account_id": it.account, "caption": "Opening day" }] });
    for (change, then) in [
        (at(4), 1), // it would be ready by now all the same
        (json!({ "schedule": null }), 1),
        (at(2), 1),
        (json!({ "latest_after": "PT3H" }), 1),
        (comment, 1), // sent on its own, after the post
        (same, 1),
        (json!({ "caption": "Closing day" }), 1), // this account has words of its own
        (json!({ "targets": [{ "account_id": it.account, "caption": "Closing day" }] }), 2),
        (at(60 * 24 * 7), 3), // no network keeps it ready for so long
        (json!({ "link": "https://example.org/a" }), 4),
    ] {
        let answer = it.patch(&change).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{change}: {}", answer.text);
        assert_eq!(it.door.scratch.number(version).await, then, "{change}");
    }
}

#[tokio::test]
async fn what_may_be_in_effect_is_not_changed_and_the_answer_says_why() {
    let it = Later::open().await;
    for (set, why) in [
        ("state = 'armed'", "public already"),
        ("state = 'unknown', next_check_at = ledger_now()", "public already"),
        (
            "state = 'waiting', handle_kind = 'draft', handle_id = 'd', handle_state = 'spent'",
            "public already",
        ),
        ("state = 'published'", "published"),
        ("state = 'cancelled'", "cancelled"),
    ] {
        it.set(set).await;
        for body in [json!({ "caption": "Otherwise" }), json!({ "schedule": null })] {
            let answer = it.patch(&body).await;
            assert_eq!(answer.status, StatusCode::CONFLICT, "{set}: {}", answer.text);
            assert!(detail(&answer).contains(why) || set.contains("published"), "{set}: {}", answer.text);
        }
    }
    assert_eq!(it.door.scratch.number("SELECT version FROM publication").await, 1);
}

#[tokio::test]
async fn what_was_sent_once_is_changed_only_when_its_handle_is_dead() {
    let it = Later::open().await;
    it.set("state = 'retry_wait', handle_kind = 'draft', handle_id = 'd', handle_state = 'ready'").await;
    it.committed("resolved_no").await;
    let answer = it.patch(&json!({ "caption": "Otherwise" })).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
    assert!(detail(&answer).contains("was sent once"), "{}", answer.text);
    it.set("handle_state = 'dead'").await;
    assert_eq!(it.patch(&json!({ "caption": "Otherwise" })).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn what_was_held_as_too_late_is_sent_at_its_new_time() {
    let it = Later::open().await;
    it.set("state = 'held', hold_reason = 'its latest time has passed', latest_at = ledger_now()").await;
    it.door.scratch.run("DELETE FROM job").await;
    let worded = it.patch(&json!({ "caption": "Otherwise" })).await.json();
    assert_eq!(worded["state"], "held", "words alone send nothing");
    let moved = it.patch(&json!({ "schedule": { "at": "2027-12-03T10:00Z" } })).await.json();
    assert_eq!(moved["state"], "retrying");
    let job = "SELECT count(*) FROM job WHERE run_at = '2027-12-03T09:55Z'";
    assert_eq!(it.door.scratch.number(job).await, 1);
}

#[tokio::test]
async fn what_was_given_up_before_a_change_says_nothing_of_what_is_there_now() {
    let it = Later::open().await;
    it.set(
        r#"state = 'retry_wait', handle_kind = 'draft', handle_id = 'd', handle_state = 'dead',
              given_up = '{"class": "permanent", "code": "100", "message": "no"}'"#,
    )
    .await;
    it.door
        .scratch
        .run("UPDATE job SET attempt = 24, troubled_at = ledger_now() - interval '23 hours'")
        .await;
    assert_eq!(it.patch(&json!({ "caption": "Otherwise" })).await.status, StatusCode::ACCEPTED);
    let anew = "SELECT count(*) FROM publication p JOIN job j ON j.publication_id = p.id
                WHERE p.given_up IS NULL AND j.attempt = 0 AND j.troubled_at IS NULL";
    assert_eq!(it.door.scratch.number(anew).await, 1);
}

#[tokio::test]
async fn a_change_under_a_key_is_made_once() {
    let it = Later::open().await;
    let first = patch(&it.door, &it.post, &json!({ "caption": "one" }), Some("k")).await;
    it.patch(&json!({ "caption": "two" })).await;
    let again = patch(&it.door, &it.post, &json!({ "caption": "one" }), Some("k")).await;
    assert_eq!((again.header("idempotent-replayed"), &again.text), ("true", &first.text));
    let other = patch(&it.door, &it.post, &json!({ "caption": "three" }), Some("k")).await;
    assert_eq!(other.json()["type"], "urn:postroom:problem:idempotency-key-reused");
    let words = "SELECT count(*) FROM post WHERE caption = 'two'";
    assert_eq!(it.door.scratch.number(words).await, 1);
}

#[tokio::test]
async fn a_post_of_another_workspace_is_none_whatever_else_is_wrong() {
    let mut it = Later::open().await;
    let other = it.door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    it.door.key = it.door.key_for(Some(other), postroom::ledger::keys::Scope::ALL).await;
    assert_eq!(it.patch(&json!({ "colour": "red" })).await.status, StatusCode::NOT_FOUND);
    assert_eq!(it.act("cancel").await.status, StatusCode::NOT_FOUND);
    assert_eq!(it.act("retry").await.status, StatusCode::NOT_FOUND);
    assert_eq!(act(&it.door, "nonsense", "cancel").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_post_that_nothing_was_sent_of_is_cancelled_at_once() {
    let it = Later::open().await;
    let answer = it.act("cancel").await;
    assert_eq!((answer.status, &answer.json()["state"]), (StatusCode::ACCEPTED, &json!("cancelled")));
    assert_eq!(it.door.scratch.number("SELECT count(*) FROM job").await, 0);
    let again = it.act("cancel").await;
    assert_eq!(again.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_wish_to_cancel_what_may_be_public_is_kept_and_refused() {
    let it = Later::open().await;
    it.set("state = 'unknown', next_check_at = ledger_now()").await;
    let answer = it.act("cancel").await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
    assert!(detail(&answer).contains("wish to cancel is kept"), "{}", answer.text);
    let wished =
        "SELECT count(*) FROM publication WHERE cancel_requested_at IS NOT NULL AND state = 'unknown'";
    assert_eq!(it.door.scratch.number(wished).await, 1);
}

#[tokio::test]
async fn one_that_nobody_can_prove_outweighs_those_that_are_cancelled() {
    let door = Door::open().await;
    let [held, other] = [door.account("facebook_page").await, door.account("facebook_page").await];
    let body = json!({ "caption": "Twice", "targets": [{ "account_id": held }, { "account_id": other }] });
    let post = door.post(&body).await.json()["id"].as_str().expect("an id").to_owned();
    let of = |account: Uuid| format!("(SELECT id FROM publication WHERE account_id = '{account}')");
    door.scratch
        .run(&format!(
            "INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind, handle_id,
                                      deadline_at, verdict)
             SELECT gen_random_uuid(), id, account_id, id, 1, id, 'commit', 'd', ledger_now(), 'ambiguous'
             FROM publication WHERE id = {}",
            of(held)
        ))
        .await;
    let doubtful = format!(
        "UPDATE publication SET state = 'held', hold_reason = 'no proof', handle_kind = 'draft', handle_id = 'd',
                                handle_state = 'ready' WHERE id = {}",
        of(held)
    );
    door.scratch.run(&doubtful).await;
    door.scratch.run(&format!("DELETE FROM job WHERE publication_id = {}", of(held))).await;
    let answer = act(&door, &post, "cancel").await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
    assert!(detail(&answer).contains("nobody could prove") || detail(&answer).contains("Nobody could prove"));
    let states =
        "SELECT count(*) FROM publication WHERE (account_id, state) IN ((%h, 'held'), (%o, 'cancelled'))";
    let states = states.replace("%h", &format!("'{held}'")).replace("%o", &format!("'{other}'"));
    assert_eq!(door.scratch.number(&states).await, 2, "the others are cancelled all the same");
}

#[tokio::test]
async fn a_change_is_not_stopped_by_an_account_that_it_does_not_name() {
    let door = Door::open().await;
    let [resting, other] = [door.account("facebook_page").await, door.account("facebook_page").await];
    let body = json!({
        "caption": "Twice", "targets": [{ "account_id": other }, { "account_id": resting }],
        "schedule": { "at": "2027-12-01T09:30", "time_zone": "UTC" },
    });
    let post = door.post(&body).await.json()["id"].as_str().expect("an id").to_owned();
    for state in ["paused", "reconnect"] {
        let rest = format!("UPDATE account SET state = '{state}' WHERE id = '{resting}'");
        door.scratch.run(&rest).await;
        for change in [
            json!({ "caption": format!("while it is {state}") }),
            json!({ "schedule": { "at": "2027-12-02T09:30", "time_zone": "UTC" } }),
            json!({ "targets": [{ "account_id": other, "caption": state }] }),
        ] {
            let answer = patch(&door, &post, &change, None).await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{change}: {}", answer.text);
        }
        let named = json!({ "targets": [{ "account_id": resting, "caption": "its own" }] });
        let answer = patch(&door, &post, &named, None).await;
        assert_eq!(answer.findings(), [("targets[0].account_id".into(), "account_not_active".into())]);
    }
    assert_eq!(door.scratch.number("SELECT min(version) FROM publication").await, 4);
}

#[tokio::test]
async fn what_was_sent_once_is_left_to_who_can_take_it_back() {
    let it = Later::open().await;
    it.set("state = 'prepared', handle_kind = 'draft', handle_id = 'd', handle_state = 'ready'").await;
    it.committed("resolved_no").await;
    let answer = it.act("cancel").await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
    assert!(detail(&answer).contains("wish to cancel is kept"), "{}", answer.text);
    let due = "SELECT count(*) FROM job JOIN publication p ON p.id = job.publication_id
               WHERE run_at <= now() AND p.cancel_requested_at IS NOT NULL";
    assert_eq!(it.door.scratch.number(due).await, 1);
}

#[tokio::test]
async fn only_what_failed_or_was_too_late_is_tried_again() {
    let it = Later::open().await;
    let answer = it.act("retry").await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
    it.set("state = 'failed'").await;
    it.door.scratch.run("DELETE FROM job").await;
    let answer = it.act("retry").await;
    assert_eq!((answer.status, &answer.json()["state"]), (StatusCode::ACCEPTED, &json!("retrying")));
    assert_eq!(it.door.scratch.number("SELECT count(*) FROM job").await, 1);
}
