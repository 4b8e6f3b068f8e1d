//! What ended badly is found by its cause and tried again on demand; what may be public is never sent again by it.

use serde_json::{Value, json};

use crate::{
    harness::{FACEBOOK, System, eventually},
    history::{dead, job},
};

fn ids(list: &Value) -> Vec<String> {
    list["data"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

/// The one job of a list.
async fn only(system: &System, filter: &[&str]) -> Value {
    eventually("one job", || async {
        let list = system.told(&[&["jobs", "list"], filter].concat()).await;
        let jobs = list["data"].as_array().unwrap();
        if jobs.len() == 1 { Ok(jobs[0].clone()) } else { Err(list.to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_found_by_their_cause_shown_first_and_tried_again_once() {
    let system = System::with_workers(1).await;
    for does in ["fail", "fail", "panic"] {
        job(&system, does, 1, 0.0).await;
    }
    dead(&system, 3).await;
    let list =
        system.told(&["jobs", "list", "--queue", "probe", "--state", "dead", "--cause", "probe"]).await;
    let found = ids(&list);
    assert_eq!(found.len(), 2, "{list}");
    assert_eq!((&list["data"][0]["cause"], &list["data"][0]["attempts"]), (&json!("probe"), &json!(2)));

    let preview = system.told(&["jobs", "retry", "--cause", "probe", "--dry-run"]).await;
    assert_eq!((&preview["dry_run"], &preview["by_cause"]), (&json!(true), &json!({ "probe": 2 })));
    assert_eq!(system.database.count("SELECT count(*) FROM job_history").await, 3, "nothing was done");
    assert_eq!(
        system.database.count("SELECT count(*) FROM job_history WHERE redriven_as IS NOT NULL").await,
        0
    );

    let said = system.postroom(&["jobs", "retry", "--kind", "probe", "--cause", "probe"], "").await;
    assert!(said.contains("2 tried again") && said.contains("2 of cause probe"), "{said}");
    dead(&system, 5).await;
    let shown = system.told(&["jobs", "show", &found[0]]).await;
    assert_eq!(shown["attempts_ended"].as_array().unwrap().len(), 2, "every attempt is kept: {shown}");
    let (code, out, _) = system.try_postroom(&["jobs", "retry", &found[0]], "").await;
    assert_eq!(code, 1);
    assert!(
        out.contains("tried again already, as job") && out.contains(shown["redriven_as"].as_str().unwrap()),
        "{out}"
    );
    let all = "SELECT count(*) FROM job_history WHERE outcome = 'dead' AND payload = '{\"does\": \"fail\"}' AND redriven_as IS NULL";
    assert_eq!(
        system.database.count(all).await,
        2,
        "the payload went along, and nobody is alarmed of the first"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_publication_is_tried_again_by_its_job_and_is_public_once() {
    let system = System::with_workers(1).await;
    let refusal =
        json!({ "graph": { "code": 100, "subcode": 1, "http": 400, "message": "no", "effect": false } });
    system.fault(json!({ "network": FACEBOOK, "call": "prepare", "times": 1, "fault": refusal })).await;
    let post = system.post("refused, then mended", &[FACEBOOK]).await;
    system.until(&post, "failed").await;
    let failed = only(&system, &["--kind", "publish", "--state", "failed"]).await;
    assert_eq!(failed["publication_state"], "failed");
    let cause = failed["cause"].as_str().unwrap();
    let retried = system.told(&["jobs", "retry", "--cause", cause, "--workspace", "Bakery"]).await;
    assert_eq!(retried["by_cause"][cause], 1, "{retried}");
    system.all_live_once(&[post]).await;
    let (code, out, _) = system.try_postroom(&["jobs", "retry", failed["id"].as_str().unwrap()], "").await;
    assert_eq!((code, out.contains("it is over: published")), (1, true), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_left_to_the_reconciler_whoever_wants_it_sent_again() {
    let mut system = System::with_workers(1).await;
    let post = system.post("public, and nobody knows", &[FACEBOOK]).await;
    system.until(&post, "published").await;
    system.workers[0].signal("TERM").await;
    assert_eq!(system.workers[0].ended().await, Some(0));
    // as it stands when the commit's answer was lost, and nobody has looked yet
    for lost in [
        "UPDATE publication SET state = 'unknown', next_check_at = ledger_now(), public_id = NULL, public_url = NULL, published_at = NULL",
        "UPDATE remote_call SET verdict = 'ambiguous' WHERE kind = 'commit'",
        "UPDATE job_history SET outcome = 'unknown', reason = 'dropped: no answer came'",
    ] {
        sqlx::query(lost).execute(&system.database.pool).await.unwrap();
    }
    let job = only(&system, &["--kind", "publish", "--state", "unknown"]).await;
    let id = job["id"].as_str().unwrap();
    for args in [vec!["jobs", "retry", id], vec!["jobs", "retry", id, "--dry-run"]] {
        let (code, out, _) = system.try_postroom(&args, "").await;
        assert_eq!(code, 1);
        assert!(out.contains("outcome is not known") && out.contains("nothing is sent again"), "{out}");
    }
    let left = system.told(&["jobs", "retry", "--state", "unknown"]).await;
    assert_eq!((left["done"].as_array().unwrap().len(), left["left"].as_array().unwrap().len()), (0, 1));
    let (code, out, _) = system.try_postroom(&["jobs", "cancel", id], "").await;
    assert_eq!((code, out.contains("wish to cancel is kept")), (1, true), "{out}");
    assert_eq!(system.database.count("SELECT count(*) FROM job").await, 0, "nothing was queued");
    system.start_worker(&[]);
    system.all_live_once(&[post]).await;
    assert_eq!(system.database.count("SELECT count(*) FROM remote_call WHERE kind = 'commit'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_cancel_that_no_worker_comes_to_see_is_honoured_by_the_sweep() {
    let system = System::with_workers(1).await;
    let mut wish = system.wish("never", &[FACEBOOK], &[]);
    wish["schedule"] = json!({ "at": "2027-06-01T12:00:00Z" });
    let (status, post) = system.api(reqwest::Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    let wished = "UPDATE publication SET cancel_requested_at = ledger_now()";
    sqlx::query(wished).execute(&system.database.pool).await.unwrap();
    system.until(post["id"].as_str().unwrap(), "cancelled").await;
    assert_eq!(system.database.count("SELECT count(*) FROM job").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_kind_and_a_newer_payload_are_left_to_newer_workers() {
    let system = System::with_workers(1).await;
    job(&system, "nothing", 99, 1.0).await;
    job(&system, "nothing", 1, 1.0).await;
    let rename = "UPDATE job SET kind = 'hologram' WHERE id = (SELECT id FROM job WHERE ver = 99)";
    job(&system, "nothing", 98, 1.0).await;
    sqlx::query(rename).execute(&system.database.pool).await.unwrap();
    only(&system, &["--kind", "probe", "--state", "done"]).await;
    let left = system.told(&["jobs", "list", "--state", "ready"]).await;
    let note = |n: usize| left["data"][n]["note"].as_str().unwrap().to_owned();
    let notes = [note(0), note(1)];
    assert!(notes.iter().any(|note| note.contains("no kind hologram")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("version 98")), "{notes:?}");
    assert_eq!(system.database.count("SELECT count(*) FROM attempt").await, 0, "nobody tried");
    let (code, _, complaint) = system.try_postroom(&["jobs", "list", "--kind", "hologram"], "").await;
    assert_eq!((code, complaint.contains("there is no queue")), (2, true), "{complaint}");
    // as to a newer worker
    let known = "UPDATE job SET kind = 'probe', ver = 1";
    sqlx::query(known).execute(&system.database.pool).await.unwrap();
    eventually("all to be done", || async {
        let live = system.database.count("SELECT count(*) FROM job").await;
        if live == 0 { Ok(()) } else { Err(format!("{live} left")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_command_is_said_and_nothing_is_done() {
    let system = System::start().await;
    let nothing = "00000000-0000-7000-8000-000000000001";
    for (args, said) in [
        (vec!["jobs", "retry"], "required"),
        (vec!["jobs", "retry", "42"], "invalid value"),
        (vec!["jobs", "cancel", nothing, "--kind", "publish"], "cannot be used with"),
        (vec!["jobs", "list", "--state", "asleep"], "there is no state"),
        (vec!["jobs", "list", "--limit", "0"], "invalid value"),
        (
            vec!["jobs", "pause", "--workspace", "Bakery", "--account", nothing, "--reason", "x"],
            "cannot be used with",
        ),
        (
            vec!["jobs", "pause", "--queue", "publish", "--network", FACEBOOK, "--reason", "x"],
            "cannot be used with",
        ),
    ] {
        let (code, _, complaint) = system.try_postroom(&args, "").await;
        assert_eq!((code, complaint.contains(said)), (2, true), "{args:?}: {complaint}");
    }
    for (args, said) in [
        (vec!["jobs", "show", nothing], "there is no job"),
        (vec!["jobs", "list", "--workspace", "Florist"], "there is no workspace"),
        (vec!["jobs", "retry", nothing], "there is no such job"),
        (vec!["jobs", "cancel", nothing], "there is no such job"),
    ] {
        let (code, out, complaint) = system.try_postroom(&args, "").await;
        assert_eq!(
            (code, format!("{out}{complaint}").contains(said)),
            (1, true),
            "{args:?}: {out} {complaint}"
        );
    }
}
