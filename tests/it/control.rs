//! What people stop stays stopped until they, or its time, say otherwise; and nothing of it is lost.

use crate::harness::{FACEBOOK, System, eventually};

async fn nothing_is_claimed(system: &System, post: &str) {
    // a post of another network goes the whole way meanwhile
    let other = system.post("not stopped", &["tiktok"]).await;
    system.until(&other, "published").await;
    system.until(post, "scheduled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_network_waits_and_goes_on_when_it_is_resumed() {
    let system = System::with_workers(1).await;
    system.postroom(&["jobs", "pause", "--network", FACEBOOK, "--reason", "their outage"], "").await;
    let post = system.post("stopped", &[FACEBOOK]).await;
    nothing_is_claimed(&system, &post).await;
    system.postroom(&["jobs", "resume", "--network", FACEBOOK], "").await;
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_account_waits_and_goes_on_when_the_pause_ends_by_itself() {
    let system = System::with_workers(1).await;
    let account = system.account(FACEBOOK).to_owned();
    let pause = ["jobs", "pause", "--account", &account, "--reason", "a campaign is checked", "--for", "1h"];
    system.postroom(&pause, "").await;
    let post = system.post("stopped for a while", &[FACEBOOK]).await;
    nothing_is_claimed(&system, &post).await;
    sqlx::query("UPDATE pause SET ends_at = now()").execute(&system.database.pool).await.unwrap();
    system.all_live_once(&[post]).await;
}

/// How many of a post's jobs are so.
async fn jobs_of(system: &System, post: &str, so: &str) -> i64 {
    let all =
        "SELECT count(*) FROM job JOIN publication p ON p.id = job.publication_id WHERE p.post_id::text = $1";
    let statement = sqlx::AssertSqlSafe(format!("{all} AND {so}"));
    sqlx::query_scalar(statement).bind(post).fetch_one(&system.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_and_a_paused_workspace_accept_and_keep() {
    let system = System::with_workers(1).await;
    for what in [["--queue", "publish"], ["--workspace", "Bakery"]] {
        system.postroom(&[&["jobs", "pause", "--reason", "a look"], &what[..]].concat(), "").await;
        let post = system.post(&format!("kept {what:?}"), &[FACEBOOK]).await;
        // by the post: what went before may be public and its job not yet over
        eventually("sweeps to have passed it over", || async {
            let looked = "run_at < now() - interval '2 seconds'";
            if jobs_of(&system, &post, looked).await == 1 { Ok(()) } else { Err("not yet".into()) }
        })
        .await;
        assert_eq!(jobs_of(&system, &post, "EXISTS (SELECT FROM claim WHERE job_id = job.id)").await, 0);
        system.postroom(&[&["jobs", "resume"], &what[..]].concat(), "").await;
        system.all_live_once(&[post]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_what_is_paused_says_since_when_and_why_and_changes_nothing() {
    let system = System::start().await;
    let pause = ["jobs", "pause", "--queue", "publish", "--reason"];
    system.postroom(&[&pause[..], &["the first"]].concat(), "").await;
    let (code, _, complaint) = system.try_postroom(&[&pause[..], &["the second"]].concat(), "").await;
    assert_eq!(code, 1);
    assert!(complaint.contains("paused already") && complaint.contains("the first"), "{complaint}");
    for (args, complained) in [
        (vec!["jobs", "resume", "--network", FACEBOOK], "is not paused"),
        (vec!["jobs", "resume", "--account", "00000000-0000-0000-0000-000000000001"], "there is no account"),
    ] {
        let (code, _, complaint) = system.try_postroom(&args, "").await;
        assert_eq!(code, 1, "{args:?}");
        assert!(complaint.contains(complained), "{complaint}");
    }
    for (args, complained) in [
        (vec!["jobs", "pause", "--queue", "nonsense", "--reason", "x"], "there is no queue"),
        (vec!["jobs", "pause", "--network", "myspace", "--reason", "x"], "there is no network"),
        (vec!["jobs", "pause", "--queue", "publish", "--reason", " "], "1 to 500"),
        (vec!["jobs", "pause", "--reason", "x"], "--queue"),
    ] {
        let (code, _, complaint) = system.try_postroom(&args, "").await;
        assert_eq!(code, 2, "{args:?}");
        assert!(complaint.contains(complained), "{complaint}");
    }
}
