//! A job that kills its worker kills a few, then only those it runs alone in, and then no more; the others go on.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{FACEBOOK, System, eventually_within};

const LONG: Duration = Duration::from_mins(5);

/// So many jobs that do this, which have ended so many workers already.
async fn jobs(system: &System, count: i32, does: Value, crashes: i32) {
    let insert = "INSERT INTO job (id, kind, workspace_id, run_at, payload, crash_count) \
                  SELECT gen_random_uuid(), 'probe', $1, ledger_now(), $2, $3 FROM generate_series(1, $4)";
    sqlx::query(insert)
        .bind(jobs::HOUSE)
        .bind(json!({ "does": does }))
        .bind(crashes)
        .bind(count)
        .execute(&system.database.pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_workers_ends_as_a_dead_letter_and_the_others_get_done() {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__LEASE__LENGTH".into(), "2s".into());
    jobs(&system, 1, json!("abort"), 0).await;
    jobs(&system, 20, json!({ "wait": 50 }), 0).await;
    let mut killed = 0;
    system.start_worker(&[]);
    while system.database.count("SELECT count(*) FROM job").await > 0 {
        eventually_within(LONG, "the worker to die, or all to be over", || async {
            let live = system.database.count("SELECT count(*) FROM job").await;
            let gone = system.workers[0].log().contains("worker stopped") || !alive(&system);
            if live == 0 || gone { Ok(()) } else { Err(format!("{live} left")) }
        })
        .await;
        if system.workers[0].has_ended() {
            killed += 1;
            system.workers.clear();
            system.start_worker(&[]);
            // meanwhile others come and have nothing to do with it
            jobs(&system, 5, json!({ "wait": 50 }), 0).await;
        }
    }
    assert_eq!(killed, 5, "it killed as many workers as it may");
    let dead = system.told(&["jobs", "list", "--kind", "probe", "--state", "dead"]).await;
    let dead = dead["data"].as_array().unwrap();
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!((&dead[0]["cause"], &dead[0]["crashes"]), (&json!("crash_limit"), &json!(5)));
    assert_eq!(system.database.count("SELECT count(*) FROM job_history WHERE outcome = 'done'").await, 45);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_kills_its_worker_while_it_is_sent_ends_as_other_jobs_do() {
    let mut system = System::start().await;
    for (key, crashes) in [("ISOLATE_AFTER", "1"), ("CRASH_LIMIT", "2")] {
        system.environment.insert(format!("POSTROOM__LEASE__{key}"), crashes.into());
    }
    let post = system.post("never sent", &[FACEBOOK]).await;
    for killed in 1..=2 {
        system.start_worker(&[("after_arm", "kill9")]);
        assert_eq!(system.workers[0].ended().await, None, "it was killed: {}", system.workers[0].log());
        system.workers.clear();
        let reaped = "SELECT count(*) FROM attempt WHERE outcome = 'reaped'";
        assert_eq!(system.database.count(reaped).await, killed - 1, "what was counted before still is");
    }
    // one that would send it, if it were let
    system.start_worker(&[]);
    let failed = system.until(&post, "failed").await;
    assert_eq!(failed["publications"][0]["error"]["code"], "crash_limit", "{failed}");
    let dead = system.told(&["jobs", "list", "--kind", "publish", "--state", "dead"]).await;
    assert_eq!((&dead["data"][0]["cause"], &dead["data"][0]["crashes"]), (&json!("crash_limit"), &json!(2)));
    assert_eq!(system.effects(FACEBOOK, "never sent").await.len(), 0);
}

fn alive(system: &System) -> bool {
    let Some(pid) = system.workers[0].pid() else { return false };
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}

#[tokio::test(flavor = "multi_thread")]
async fn suspects_run_one_at_a_time_and_hold_up_nobody() {
    let system = System::with_workers(1).await;
    jobs(&system, 4, json!({ "wait": 700 }), 3).await;
    jobs(&system, 30, json!("nothing"), 0).await;
    eventually_within(LONG, "all to be done", || async {
        let live = system.database.count("SELECT count(*) FROM job").await;
        if live == 0 { Ok(()) } else { Err(format!("{live} left: {}", system.workers[0].log())) }
    })
    .await;
    // each runs for 0.7 s; it is kept as finished a moment later
    let together = "SELECT count(*) FROM job_history a JOIN job_history b ON a.id <> b.id AND a.crash_count = 3 AND b.crash_count = 3 \
                    AND b.started_at >= a.started_at AND b.started_at < a.started_at + interval '0.7 seconds'";
    assert_eq!(system.database.count(together).await, 0, "no two suspects ran together");
    let held_up = "SELECT count(*) FROM job_history WHERE crash_count = 0 \
                   AND finished_at > (SELECT max(finished_at) FROM job_history WHERE crash_count = 3)";
    assert_eq!(system.database.count(held_up).await, 0, "the others were done meanwhile");
}
