//! What operators do through the API: looking at jobs, trying again, cancelling, stopping queues; and that a
//! workspace's key does so only with its own.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use postroom::ledger::keys::Scope;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Door};

/// Posts this to a path, with the door's key.
async fn send(door: &Door, path: &str, body: Option<&Value>, key: Option<&str>) -> Answer {
    let mut request = door.request(&Method::POST, path);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    door.send(request.expect("a request")).await
}

/// A probe of that workspace, due so many seconds from now.
async fn probe(door: &Door, workspace: Uuid, seconds: i32) -> Uuid {
    let id = Uuid::now_v7();
    door.scratch
        .run(&format!(
            "INSERT INTO job (id, kind, workspace_id, run_at, payload) VALUES
             ('{id}', 'probe', '{workspace}', ledger_now() + {seconds} * interval '1 second', '{{\"does\": \"nothing\"}}')"
        ))
        .await;
    id
}

/// A publication of a fresh post, in that state, and its job.
async fn publication(door: &Door, set: &str) -> (Uuid, Uuid) {
    let account = door.account("facebook_page").await;
    let post = door.post(&json!({ "caption": "x", "targets": [{ "account_id": account }] })).await.json();
    let id: Uuid = post["publications"][0]["id"].as_str().expect("an id").parse().expect("an id");
    let list = door.get("/api/v1/jobs?kind=publish").await.json();
    let job = list["data"][0]["id"].as_str().expect("an id").parse().expect("an id");
    door.scratch.run(&format!("UPDATE publication SET {set} WHERE id = '{id}'")).await;
    (id, job)
}

/// A commit call of that publication, with this verdict.
async fn committed(door: &Door, publication: Uuid, verdict: &str) {
    door.scratch
        .run(&format!(
            "INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind, deadline_at, verdict)
             SELECT gen_random_uuid(), id, account_id, id, 1, id, 'commit', ledger_now(), '{verdict}' FROM publication
             WHERE id = '{publication}'"
        ))
        .await;
}

/// The job has left the queue, as it does when it ends.
async fn buried(door: &Door, job: Uuid, outcome: &str) {
    door.scratch
        .run(&format!(
            "WITH d AS (DELETE FROM job WHERE id = '{job}' RETURNING id, kind, workspace_id, publication_id, payload, created_at)
             INSERT INTO job_history (id, kind, workspace_id, publication_id, epoch, attempt, crash_count, payload, outcome, reason, created_at)
             SELECT id, kind, workspace_id, publication_id, 1, 1, 0, payload, '{outcome}', 'probe: as asked', created_at FROM d"
        ))
        .await;
}

#[tokio::test]
async fn jobs_are_listed_newest_first_by_page_and_filter() {
    let door = Door::open().await;
    let mut made = Vec::new();
    for seconds in [-1, -1, 3600] {
        made.push(probe(&door, door.workspace, seconds).await);
    }
    buried(&door, made[0], "dead").await;
    let ids = |page: &Value| -> Vec<Uuid> {
        let jobs = page["data"].as_array().expect("a list").iter();
        jobs.map(|job| job["id"].as_str().expect("an id").parse().expect("an id")).collect()
    };
    let first = door.get("/api/v1/jobs?limit=2").await.json();
    assert_eq!(ids(&first), [made[2], made[1]]);
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let second = door.get(&format!("/api/v1/jobs?limit=2&cursor={cursor}")).await.json();
    assert_eq!((ids(&second), &second["next_cursor"]), (vec![made[0]], &Value::Null));
    for (query, found) in [
        ("state=ready", vec![made[1]]),
        ("state=waiting", vec![made[2]]),
        ("state=dead,ready&queue=probe", vec![made[1], made[0]]),
        ("cause=probe", vec![made[0]]),
        ("cause=crash_limit", vec![]),
        ("kind=publish", vec![]),
        ("state=done", vec![]),
    ] {
        assert_eq!(ids(&door.get(&format!("/api/v1/jobs?{query}")).await.json()), found, "{query}");
    }
    let answer = door.get("/api/v1/jobs?state=asleep&limit=0&color=red").await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.findings().len(), 3, "{}", answer.text);
}

#[tokio::test]
async fn a_workspaces_key_sees_and_moves_only_its_own_and_an_operators_all() {
    let mut door = Door::open().await;
    let florist = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let (own, foreign) = (probe(&door, door.workspace, -1).await, probe(&door, florist, -1).await);
    let list = door.get(&format!("/api/v1/jobs?workspace={florist}")).await.json();
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["data"][0]["id"], json!(own));
    for act in ["retry", "cancel"] {
        for id in [foreign.to_string(), Uuid::now_v7().to_string(), "nonsense".to_owned()] {
            let answer = send(&door, &format!("/api/v1/jobs/{id}/{act}"), None, None).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{act} {id}");
        }
    }
    door.key = door.key_for(None, &[Scope::JobsWrite]).await;
    assert_eq!(door.get("/api/v1/jobs").await.json()["data"].as_array().map(Vec::len), Some(2));
    let of_one = door.get(&format!("/api/v1/jobs?workspace={florist}")).await.json();
    assert_eq!(of_one["data"][0]["id"], json!(foreign));
    let answer = send(&door, &format!("/api/v1/jobs/{foreign}/cancel"), None, Some("once")).await;
    assert_eq!((answer.status, &answer.json()["state"]), (StatusCode::ACCEPTED, &json!("cancelled")));
    let again = send(&door, &format!("/api/v1/jobs/{foreign}/cancel"), None, Some("once")).await;
    assert_eq!((again.header("idempotent-replayed"), &again.text), ("true", &answer.text));
    let other = send(&door, &format!("/api/v1/jobs/{own}/cancel"), None, Some("once")).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    let unkeyed = send(&door, &format!("/api/v1/jobs/{foreign}/cancel"), None, None).await;
    assert_eq!(unkeyed.status, StatusCode::CONFLICT);
    assert_eq!(unkeyed.json()["detail"], "It is over: cancelled.");
}

#[tokio::test]
async fn a_key_without_the_scope_moves_nothing() {
    let mut door = Door::open().await;
    let job = probe(&door, door.workspace, -1).await;
    door.key = door.key_for(Some(door.workspace), &[Scope::JobsRead]).await;
    assert_eq!(door.get("/api/v1/jobs").await.status, StatusCode::OK);
    for path in [format!("jobs/{job}/cancel"), "queues/probe/pause".into(), "queues/probe/resume".into()] {
        let answer = send(&door, &format!("/api/v1/{path}"), Some(&json!({ "reason": "x" })), None).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.text.contains("jobs:write"), "{}", answer.text);
    }
    door.key = door.key_for(Some(door.workspace), &[Scope::PostsWrite]).await;
    assert_eq!(door.get("/api/v1/jobs").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn cancelling_a_job_is_answered_by_where_it_stands() {
    let door = Door::open().await;
    let cancel = async |id: Uuid| send(&door, &format!("/api/v1/jobs/{id}/cancel"), None, None).await;
    for seconds in [-1, 3600] {
        let id = probe(&door, door.workspace, seconds).await;
        assert_eq!(cancel(id).await.json()["state"], "cancelled");
    }
    let paused = probe(&door, door.workspace, -1).await;
    door.scratch.run(&format!("UPDATE job SET standing = 'paused' WHERE id = '{paused}'")).await;
    assert_eq!(cancel(paused).await.json()["state"], "cancelled");
    let running = probe(&door, door.workspace, -1).await;
    let claim = "INSERT INTO claim (job_id, epoch, worker_inc, deadline_at) SELECT id, epoch, id, ledger_now() + interval '1 hour' FROM job";
    door.scratch.run(claim).await;
    let answer = cancel(running).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.text.contains("being worked on"), "{}", answer.text);
    for outcome in ["dead", "failed", "done"] {
        let over = probe(&door, door.workspace, -1).await;
        buried(&door, over, outcome).await;
        let answer = cancel(over).await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
        assert!(answer.text.contains(&format!("It is over: {outcome}")), "{}", answer.text);
    }
    assert_eq!(door.scratch.number("SELECT count(*) FROM job").await, 1, "only the running one is left");
    assert_eq!(door.scratch.number("SELECT count(*) FROM claim").await, 1, "and its claim");
}

#[tokio::test]
async fn cancelling_a_publication_by_its_job_is_answered_by_where_it_stands() {
    let door = Door::open().await;
    let handle = "handle_kind = 'draft', handle_id = gen_random_uuid()::text, handle_state";
    for (set, verdict, status, shown, wished) in [
        ("state = 'scheduled'".to_owned(), None, 202, "cancelled", true),
        ("state = 'retry_wait'".to_owned(), None, 202, "cancelled", true),
        (format!("state = 'waiting', {handle} = 'building'"), None, 202, "cancelled", true),
        ("state = 'held', hold_reason = 'too late'".to_owned(), None, 202, "cancelled", true),
        ("state = 'preparing'".to_owned(), None, 202, "preparing", true),
        ("state = 'armed'".to_owned(), None, 409, "publishing", true),
        ("state = 'unknown', next_check_at = ledger_now()".to_owned(), None, 409, "confirming", true),
        (format!("state = 'waiting', {handle} = 'spent'"), Some("ok"), 409, "waiting", true),
        ("state = 'held', hold_reason = 'no proof'".to_owned(), Some("ambiguous"), 409, "held", false),
        ("state = 'failed'".to_owned(), None, 409, "failed", false),
        ("state = 'published'".to_owned(), None, 409, "published", false),
    ] {
        let (id, job) = publication(&door, &set).await;
        if let Some(verdict) = verdict {
            committed(&door, id, verdict).await;
        }
        let answer = send(&door, &format!("/api/v1/jobs/{job}/cancel"), None, None).await;
        assert_eq!(answer.status.as_u16(), status, "{set}: {}", answer.text);
        let list = door.get("/api/v1/jobs?kind=publish&limit=1").await.json();
        assert_eq!(list["data"][0]["publication_state"], shown, "{set}");
        let wish =
            format!("SELECT count(*) FROM publication WHERE id = '{id}' AND cancel_requested_at IS NOT NULL");
        assert_eq!(door.scratch.number(&wish).await, i64::from(wished), "{set}");
        let live = format!("SELECT count(*) FROM job WHERE publication_id = '{id}'");
        assert_eq!(door.scratch.number(&live).await, i64::from(shown != "cancelled"), "{set}");
    }
}

#[tokio::test]
async fn trying_a_publication_again_by_its_job_is_answered_by_where_it_stands() {
    let door = Door::open().await;
    for (set, verdict, status, said) in [
        ("state = 'failed', latest_at = ledger_now() - interval '1 hour'", Some("definite_no"), 202, ""),
        ("state = 'held', hold_reason = 'too late'", None, 202, ""),
        ("state = 'held', hold_reason = 'no proof'", Some("ambiguous"), 409, "Nobody could prove"),
        ("state = 'unknown', next_check_at = ledger_now()", Some("ambiguous"), 409, "nothing is sent again"),
        ("state = 'failed', cancel_requested_at = ledger_now()", None, 409, "wished it cancelled"),
        ("state = 'published'", Some("ok"), 409, "It is over: published"),
        ("state = 'cancelled'", None, 409, "It is over: cancelled"),
        ("state = 'scheduled'", None, 409, "goes on by itself"),
    ] {
        let (id, job) = publication(&door, set).await;
        if !set.contains("scheduled") {
            buried(&door, job, "failed").await;
        }
        if let Some(verdict) = verdict {
            committed(&door, id, verdict).await;
        }
        let answer = send(&door, &format!("/api/v1/jobs/{job}/retry"), None, None).await;
        assert_eq!(answer.status.as_u16(), status, "{set}: {}", answer.text);
        assert!(answer.text.contains(said), "{set}: {}", answer.text);
        if status == 202 {
            assert_eq!(
                (&answer.json()["state"], &answer.json()["publication_state"]),
                (&json!("ready"), &json!("retrying"))
            );
            let in_time =
                format!("SELECT count(*) FROM publication WHERE id = '{id}' AND latest_at > ledger_now()");
            assert_eq!(door.scratch.number(&in_time).await, 1, "{set}");
            let again = send(&door, &format!("/api/v1/jobs/{job}/retry"), None, None).await;
            assert_eq!(again.status, StatusCode::CONFLICT, "a second click does nothing twice");
        }
        let verdicts = format!(
            "SELECT count(*) FROM remote_call WHERE publication_id = '{id}' AND verdict::text = '{}'",
            verdict.unwrap_or_default()
        );
        assert_eq!(
            door.scratch.number(&verdicts).await,
            i64::from(verdict.is_some()),
            "evidence stays in force"
        );
    }
    let (_, job) = publication(&door, "state = 'failed'").await;
    buried(&door, job, "failed").await;
    door.scratch.run("UPDATE account SET state = 'reconnect'").await;
    let answer = send(&door, &format!("/api/v1/jobs/{job}/retry"), None, None).await;
    assert!(
        answer.status == StatusCode::CONFLICT && answer.text.contains("account is reconnect"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_workspaces_key_stops_its_own_part_of_a_queue_and_an_operators_all_of_it() {
    let mut door = Door::open().await;
    let florist = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let (own, foreign) = (probe(&door, door.workspace, -1).await, probe(&door, florist, -1).await);
    let account = door.account_of(florist, "facebook_page", &json!({})).await;
    let (bakery, operator) = (door.key.clone(), door.key_for(None, &[Scope::JobsWrite]).await);
    let pause = json!({ "reason": "a look", "for": "PT2H" });
    let answer = send(&door, "/api/v1/queues/probe/pause", Some(&pause), Some("k")).await;
    assert_eq!(
        (answer.status, &answer.json()["scope"]),
        (StatusCode::OK, &json!("queue_of_workspace")),
        "{}",
        answer.text
    );
    let replayed = send(&door, "/api/v1/queues/probe/pause", Some(&pause), Some("k")).await;
    assert_eq!((replayed.header("idempotent-replayed"), &replayed.text), ("true", &answer.text));
    let ends = "SELECT count(*) FROM pause WHERE ends_at = paused_at + interval '2 hours'";
    assert_eq!(door.scratch.number(ends).await, 1);
    let twice = send(&door, "/api/v1/queues/probe/pause", Some(&json!({ "reason": "another" })), None).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    assert!(twice.text.contains("paused already") && twice.text.contains("a look"), "{}", twice.text);

    door.key = operator.clone();
    let states = async |door: &Door| {
        let list = door.get("/api/v1/jobs?kind=probe").await.json();
        let of = |id: Uuid| {
            let job = list["data"].as_array().expect("a list").iter().find(|job| job["id"] == json!(id));
            job.expect("listed")["state"].as_str().expect("a state").to_owned()
        };
        (of(own), of(foreign))
    };
    assert_eq!(states(&door).await, ("paused".into(), "ready".into()));
    let due = door.scratch.ledger.due(&[&jobs::PROBE], std::time::Duration::ZERO, 10, 3).await.expect("jobs");
    assert_eq!(due.hints.iter().map(|hint| hint.job_id).collect::<Vec<_>>(), [foreign]);
    let none = send(&door, "/api/v1/queues/probe/resume", None, None).await;
    assert_eq!(
        (none.status, none.text.contains("It is not paused")),
        (StatusCode::CONFLICT, true),
        "{}",
        none.text
    );
    let whole = send(&door, "/api/v1/queues/probe/pause", Some(&json!({ "reason": "all" })), None).await;
    assert_eq!(whole.json()["scope"], "queue");
    assert_eq!(states(&door).await, ("paused".into(), "paused".into()));

    door.key = bakery;
    assert_eq!(send(&door, "/api/v1/queues/probe/resume", None, None).await.status, StatusCode::OK);
    let not_his = send(&door, "/api/v1/queues/probe/resume", None, None).await;
    assert!(
        not_his.status == StatusCode::CONFLICT && not_his.text.contains("by an operator"),
        "{}",
        not_his.text
    );
    for (path, body, status) in [
        ("nonsense/pause", json!({ "reason": "x" }), 404),
        ("probe/pause", json!({ "reason": " " }), 422),
        ("probe/pause", json!({ "reason": "x", "for": "soon" }), 422),
        ("probe/pause", json!({ "reason": "x", "until": "soon" }), 422),
        ("probe/pause", json!({ "reason": "x", "account_id": account }), 422),
    ] {
        let answer = send(&door, &format!("/api/v1/queues/{path}"), Some(&body), None).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {body}: {}", answer.text);
    }
    door.key = operator;
    let of_one = json!({ "reason": "x", "account_id": account });
    let answer = send(&door, "/api/v1/queues/publish/pause", Some(&of_one), None).await;
    assert_eq!(answer.json()["scope"], "queue_of_account", "{}", answer.text);
}

#[tokio::test]
async fn a_workspaces_key_does_not_lift_what_an_operator_has_stopped_in_it() {
    let mut door = Door::open().await;
    let account = door.account("facebook_page").await;
    let (bakery, operator) = (door.key.clone(), door.key_for(None, &[Scope::JobsWrite]).await);
    let of_one = json!({ "reason": "the owner asked for it", "account_id": account });
    let path = |verb: &str| format!("/api/v1/queues/publish/{verb}");
    door.key = operator.clone();
    assert_eq!(send(&door, &path("pause"), Some(&of_one), None).await.status, StatusCode::OK);

    door.key = bakery.clone();
    let only_that = json!({ "account_id": account });
    let refused = send(&door, &path("resume"), Some(&only_that), None).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("by an operator"), "{}", refused.text);
    let its_own = send(&door, &path("pause"), Some(&of_one), None).await;
    assert_eq!(its_own.status, StatusCode::OK, "both may stop the same: {}", its_own.text);
    assert_eq!(send(&door, &path("resume"), Some(&only_that), None).await.status, StatusCode::OK);
    assert_eq!(door.scratch.number("SELECT count(*) FROM pause WHERE by_operator").await, 1);

    door.key = operator;
    assert_eq!(send(&door, &path("resume"), Some(&only_that), None).await.status, StatusCode::OK);
    assert_eq!(door.scratch.number("SELECT count(*) FROM pause").await, 0);
}

#[tokio::test]
async fn a_question_about_jobs_that_cannot_be_meant_is_refused() {
    let door = Door::open().await;
    for query in ["workspace=Corner%20Bakery", "cause=%00", "kind=a%20b", "state=odd"] {
        let mut asking = door.request(&Method::GET, &format!("/api/v1/jobs?{query}"));
        if query.starts_with("workspace") {
            let operator = door.key_for(None, &[Scope::JobsRead]).await;
            asking = axum::http::Request::builder()
                .uri(format!("/api/v1/jobs?{query}"))
                .header("authorization", format!("Bearer {operator}"));
        }
        let answer = door.send(asking.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {}", answer.text);
    }
    let id = probe(&door, door.workspace, 3600).await;
    let odd = send(&door, &format!("/api/v1/jobs/{id}/cancel"), Some(&json!({ "why": "x" })), None).await;
    assert_eq!(odd.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", odd.text);
}

#[tokio::test]
async fn the_description_names_what_operators_do() {
    let door = Door::open().await;
    let api = door.get("/api/openapi.json").await.json();
    for (path, method) in [
        ("/api/v1/jobs", "get"),
        ("/api/v1/jobs/{id}/retry", "post"),
        ("/api/v1/jobs/{id}/cancel", "post"),
        ("/api/v1/queues/{name}/pause", "post"),
        ("/api/v1/queues/{name}/resume", "post"),
    ] {
        assert!(api["paths"][path][method].is_object(), "{method} {path}");
    }
}
