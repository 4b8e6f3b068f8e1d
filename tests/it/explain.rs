//! `postroom explain`: for every place a post can be in, what it means, what stops it, who acts, and the evidence.

use serde_json::{Value, json};

use crate::harness::{FACEBOOK, System};

/// What is said about the only publication of a post.
async fn explained(system: &System, id: &str) -> Value {
    let told = system.told(&["explain", id]).await;
    let publications = told["publications"].as_array().unwrap();
    assert_eq!(publications.len(), 1, "{told}");
    publications[0].clone()
}

async fn set(system: &System, sql: &str) {
    sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&system.database.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_explained_by_everything_that_stops_it() {
    let mut system = System::start().await;
    let post = system.post("stopped in four ways", &[FACEBOOK]).await;
    let free = explained(&system, &post).await;
    assert_eq!(
        (&free["state"], &free["who_acts"], &free["stopped_by"]),
        (&json!("scheduled"), &json!("postroom"), &json!([]))
    );
    assert!(
        free["next"].as_str().unwrap().contains("a worker takes it up") && free["next_at"].is_string(),
        "{free}"
    );

    system.postroom(&["jobs", "pause", "--network", FACEBOOK, "--reason", "their outage"], "").await;
    let paused = explained(&system, &post).await;
    assert_eq!(paused["who_acts"], "operator");
    assert!(paused["stopped_by"][0].as_str().unwrap().contains("their outage"), "{paused}");

    set(&system, "UPDATE account SET state = 'reconnect', state_reason = 'its token was refused', resting_until = ledger_now() + interval '1 hour'").await;
    set(&system, &format!("INSERT INTO breaker (network, open_until) VALUES ('{FACEBOOK}', ledger_now() + interval '1 minute')")).await;
    let stopped = explained(&system, &post).await;
    assert_eq!(stopped["who_acts"], "owner");
    let reasons: Vec<&str> =
        stopped["stopped_by"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for reason in ["their outage", "its token was refused", "leave the account alone", "does not work"] {
        assert!(reasons.iter().any(|it| it.contains(reason)), "{reason}: {reasons:?}");
    }
    let words = system.postroom(&["explain", stopped["publication_id"].as_str().unwrap()], "").await;
    for reason in reasons {
        assert!(words.contains(reason), "{words}");
    }
    set(&system, "DELETE FROM breaker").await;
    set(&system, "UPDATE account SET state = 'active', state_reason = NULL, resting_until = NULL").await;
    system.postroom(&["jobs", "resume", "--network", FACEBOOK], "").await;
    system.start_worker(&[]);
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_explained_by_its_evidence() {
    let system = System::with_workers(1).await;
    let post = system.post("public", &[FACEBOOK]).await;
    system.until(&post, "published").await;
    let public = explained(&system, &post).await;
    assert_eq!((&public["meaning"], &public["who_acts"]), (&json!("it is public"), &json!("nobody")));
    assert!(public["permalink"].is_string(), "{public}");
    let said = |what: &Value| {
        what["evidence"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|it| it["what"].as_str())
            .collect::<Vec<_>>()
            .join("; ")
    };
    assert!(said(&public).contains("commit call, ok"), "{public}");

    let refusal =
        json!({ "graph": { "code": 100, "subcode": 1, "http": 400, "message": "not so", "effect": false } });
    system.fault(json!({ "network": FACEBOOK, "call": "prepare", "times": 1, "fault": refusal })).await;
    let post = system.post("refused", &[FACEBOOK]).await;
    system.until(&post, "failed").await;
    let refused = explained(&system, &post).await;
    assert!(refused["message"].is_string() && refused["cause"].is_string(), "{refused}");
    assert!(said(&refused).contains("not so"), "{refused}");
    assert!(refused["next"].as_str().unwrap().contains("can be tried again"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_before_its_time_is_explained_while_it_can_be_mended() {
    let system = System::start().await;
    let post = system.post("found in time", &[FACEBOOK]).await;
    assert_eq!(explained(&system, &post).await["findings"], json!([]));
    let found = "INSERT INTO publication_check (publication_id, findings)
                 SELECT id, '[{\"field\": \"account_id\", \"code\": \"access_ends\", \"detail\": \"It ends on Monday.\",
                              \"who_acts\": \"owner\"}]' FROM publication";
    set(&system, found).await;
    let finding = explained(&system, &post).await["findings"][0].clone();
    assert_eq!(
        (&finding["code"], &finding["who_acts"]),
        (&json!("access_ends"), &json!("owner")),
        "{finding}"
    );
    let words = system.postroom(&["explain", &post], "").await;
    assert!(words.contains("It ends on Monday. (access_ends), for the owner to mend"), "{words}");
    set(&system, "UPDATE publication SET state = 'failed'").await;
    assert_eq!(explained(&system, &post).await["findings"], json!([]), "nobody can mend it any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_to_be_missing() {
    let system = System::start().await;
    let missing = "0193a5b2-7c1e-7d3f-9a4b-5c6d7e8f9a0b";
    let (code, _, complaint) = system.try_postroom(&["explain", missing], "").await;
    assert_eq!((code, complaint.contains("there is no post and no publication")), (1, true), "{complaint}");
    let (code, _, complaint) = system.try_postroom(&["explain", "tomorrow"], "").await;
    assert_eq!((code, complaint.contains("tomorrow")), (2, true), "{complaint}");
}
