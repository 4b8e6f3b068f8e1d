//! Rows of `docs/failure-modes.md`, struck one at a time on real processes and servers.

mod load;
mod postgres;
mod processes;
mod races;
mod redis;

use postroom::ledger::claims::Lane;
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::harness::{Database, FACEBOOK, System, eventually};

/// Where jobs run that have ended nobody.
const COMMON: Lane = Lane::Common { isolate_after: 3 };
/// Whose jobs these are, where it does not matter.
const SOMEBODY: Uuid = Uuid::from_u128(1);

/// Accepts so many jobs of one workspace that do this, due now; gives their ids.
async fn probes(system: &System, workspace: Uuid, does: &Value, jobs: i32) -> Vec<Uuid> {
    let insert = "INSERT INTO job (id, kind, workspace_id, run_at, payload) \
                  SELECT gen_random_uuid(), 'probe', $1, ledger_now(), jsonb_build_object('does', $2::jsonb) \
                  FROM generate_series(1, $3) RETURNING id";
    let ids = sqlx::query_scalar(insert).bind(workspace).bind(does).bind(jobs);
    ids.fetch_all(&system.database.pool).await.unwrap()
}

/// Asks until a post is accepted, as a careful client does, and gives its id.
async fn accepted(system: &System, caption: &str) -> String {
    let wish = system.wish(caption, &[FACEBOOK], &[]);
    eventually("an accepted post", || async {
        let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
        if status == 202 { Ok(post["id"].as_str().unwrap().to_owned()) } else { Err(post.to_string()) }
    })
    .await
}

/// Waits until the ledger's answer is this number.
async fn until(database: &Database, question: &'static str, number: i64) {
    eventually(question, || async {
        let here: Result<i64, _> = sqlx::query_scalar(question).fetch_one(&database.pool).await;
        match here {
            Ok(here) if here == number => Ok(()),
            Ok(here) => Err(format!("{here}, and not {number}")),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
}

/// Waits until no job is left, and makes sure that so many have ended, each once and well.
async fn all_done_once(system: &System, jobs: i64) {
    until(&system.database, "SELECT count(*) FROM job", 0).await;
    let ended: (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE outcome = 'done') FROM job_history",
    )
    .fetch_one(&system.database.pool)
    .await
    .unwrap();
    assert_eq!(ended, (jobs, jobs, jobs));
}

/// Lets a worker run so many probes at once, each for so long at most.
fn probe_settings(system: &mut System, concurrency: u32, timeout: &str) {
    for (name, value) in [
        ("CONCURRENCY", concurrency.to_string().as_str()),
        ("TIMEOUT", timeout),
        ("RETRY_BASE", "50ms"),
        ("RETRY_CAP", "200ms"),
        ("RETRY_ATTEMPTS", "3"),
    ] {
        system.environment.insert(format!("POSTROOM__JOBS__PROBE__{name}"), value.to_owned());
    }
}

/// The port in an address.
fn port_of(address: &str) -> u16 {
    url::Url::parse(address).unwrap().port().unwrap()
}

/// The same address at another port.
fn at_port(address: &str, port: u16) -> String {
    let mut url = url::Url::parse(address).unwrap();
    url.set_port(Some(port)).unwrap();
    url.into()
}
