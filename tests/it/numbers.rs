//! Numbers as they are kept and shown: rolled up with age, told within their workspace, drawn and as tables.

use std::time::Duration;

use axum::http::{Method, Request, StatusCode, header};
use chrono::DateTime;
use jobs::{
    contract::JobError,
    metrics::{
        Next, Object, Pace, Plan, Point, Snapshots, Subject, Taken,
        catalogue::by_id,
        packed::{pack, whole},
    },
};
use postroom::ledger::{Claim, Ledger, Role, keys::Scope, people::MemberRole, snapshots::ClaimedSnapshots};
use serde_json::json;
use uuid::Uuid;

use crate::{
    console::Browser,
    support::{Door, retain},
};

const DAY: Duration = Duration::from_hours(24);
/// Views, reach and likes of a picture on Instagram.
const VIEWS: u16 = 40;
const REACH: u16 = 41;
const LIKES: u16 = 42;

/// Makes the partitions of so many months that nobody has made because nobody was there.
pub fn months(most: i32) -> String {
    format!(
        "DO $$ BEGIN SET LOCAL timezone = 'UTC'; FOR n IN 2..{most} LOOP
             EXECUTE format('CREATE TABLE %I PARTITION OF snapshot FOR VALUES FROM (%L) TO (%L)',
                 'snapshot_' || to_char(date_trunc('month', now()) - make_interval(months => n), 'YYYYMM'),
                 date_trunc('month', now()) - make_interval(months => n),
                 date_trunc('month', now()) - make_interval(months => n - 1));
         END LOOP; END $$"
    )
}

/// A post that came out `days` ago, with a plan, and its number there.
pub async fn followed(door: &Door, account: Uuid, caption: &str, days: i32) -> (Uuid, i32) {
    let id = Uuid::now_v7();
    let mut connection = door.scratch.connection().await;
    let number = sqlx::query_scalar(
        "WITH p AS (
             INSERT INTO post (id, workspace_id, kind, caption, scheduled_for, latest_after)
             SELECT $1, workspace_id, 'post', $3, ledger_now(), '1 hour' FROM account WHERE id = $2
             RETURNING id, workspace_id),
              pub AS (
             INSERT INTO publication (id, workspace_id, account_id, post_id, surface, state, scheduled_for, latest_at,
                                      public_id, published_at)
             SELECT $1, workspace_id, $2, id, 'image', 'published', ledger_now(), ledger_now(), $1::text,
                    ledger_now() - make_interval(days => $4)
             FROM p RETURNING id, workspace_id, published_at)
         INSERT INTO metric_plan (workspace_id, account_id, publication_id, object, since, due_at)
         SELECT workspace_id, $2, id, 'post', published_at, ledger_now() + '1 hour' FROM pub RETURNING number",
    )
    .bind(id)
    .bind(account)
    .bind(caption)
    .bind(days)
    .fetch_one(&mut connection)
    .await
    .expect("a plan");
    (id, number)
}

/// What was said so many hours ago.
pub async fn said(door: &Door, number: i32, hours: i32, points: &[(u16, Option<i64>)]) {
    sqlx::query(
        "INSERT INTO snapshot (captured_at, object, points)
         SELECT date_trunc('hour', ledger_now()) - make_interval(hours => $2), $1, $3",
    )
    .bind(number)
    .bind(hours)
    .bind(pack(&points.iter().map(|(metric, value)| whole(*metric, *value)).collect::<Vec<_>>()))
    .execute(&mut door.scratch.connection().await)
    .await
    .expect("a snapshot");
}

#[tokio::test]
async fn numbers_are_told_in_their_workspace_alone_and_to_who_may_read_them() {
    // P-A5
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    let (post, number) = followed(&door, account, "ours", 2).await;
    said(&door, number, 2, &[(VIEWS, Some(10)), (REACH, None)]).await;
    said(&door, number, 1, &[(VIEWS, Some(8)), (REACH, Some(0))]).await;
    let told = door.get(&format!("/api/v1/posts/{post}/metrics")).await.json();
    let series = &told["data"][0]["series"][0];
    assert_eq!((&series["period"], series["at"].as_array().map(Vec::len)), (&json!("lifetime"), Some(2)));
    // it went down; and nothing is not nought
    assert_eq!(series["metrics"][0]["values"], json!([10, 8]));
    assert_eq!(series["metrics"][1]["values"], json!([null, 0]));
    let later = door.get(&format!("/api/v1/posts/{post}/metrics?from=2100-01-01T00:00:00Z")).await.json();
    assert_eq!(later["data"][0]["series"], json!([]));
    let other = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    for (key, status) in [
        (door.key_for(Some(other), Scope::ALL).await, StatusCode::NOT_FOUND),
        (door.key_for(Some(door.workspace), &[Scope::PostsRead]).await, StatusCode::FORBIDDEN),
    ] {
        for path in [format!("/api/v1/posts/{post}/metrics"), format!("/api/v1/accounts/{account}/metrics")] {
            let request = Request::builder().uri(&path).header("authorization", format!("Bearer {key}"));
            let answer = door.send(request.body(axum::body::Body::empty()).expect("a request")).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn asking_now_makes_everything_that_is_followed_due_and_one_job() {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    followed(&door, account, "due tomorrow", 2).await;
    let path = format!("/api/v1/accounts/{account}/snapshot");
    let ask = async || {
        let request = door.request(&Method::POST, &path).body(axum::body::Body::empty()).expect("a request");
        let answer = door.send(request).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(answer.json()["kind"], "metric_snapshot");
        answer.json()["id"].clone()
    };
    let epoch = "SELECT epoch FROM job WHERE kind = 'metric_snapshot'";
    let first = ask().await;
    let before = door.scratch.number(epoch).await;
    assert_eq!(ask().await, first, "it waits already");
    assert_eq!(door.scratch.number(epoch).await, before, "and is not disturbed");
    let due = "SELECT count(*) FROM metric_plan WHERE due_at <= ledger_now()";
    assert_eq!(door.scratch.number(due).await, 2, "the post and the account");
    assert_eq!(door.scratch.number("SELECT count(*) FROM job WHERE kind = 'metric_snapshot'").await, 1);
    let noted = "SELECT count(*) FROM audit WHERE action = 'snapshot_asked' AND actor = 'key'";
    assert_eq!(door.scratch.number(noted).await, 1, "what was wished already is no deed");
    // one of them has been asked about meanwhile, by a worker that goes on
    door.scratch
        .run("UPDATE metric_plan SET due_at = ledger_now() + interval '1 day' WHERE publication_id IS NULL")
        .await;
    door.scratch
        .run(
            "INSERT INTO claim (job_id, epoch, worker_inc, deadline_at)
             SELECT id, epoch, gen_random_uuid(), ledger_now() + interval '1 minute' FROM job",
        )
        .await;
    assert_eq!(ask().await, first);
    assert_eq!((door.scratch.number(due).await, door.scratch.number(epoch).await), (2, before));
    assert_eq!(door.scratch.number(noted).await, 2);
}

#[tokio::test]
async fn a_workspace_asks_at_once_so_often_in_an_hour_and_then_waits() {
    let door = Door::open_with(|house| house.web.snapshot_asks = 2).await;
    let other = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let foreign = door.account_of(other, "facebook_page", &json!({})).await;
    let key = door.key_for(Some(other), Scope::ALL).await;
    let ask = async |account: Uuid, key: &str| {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/api/v1/accounts/{account}/snapshot"))
            .header("authorization", format!("Bearer {key}"));
        door.send(request.body(axum::body::Body::empty()).expect("a request")).await
    };
    let mut accounts = Vec::new();
    for _ in 0..3 {
        accounts.push(door.account("instagram_business").await);
    }
    for account in &accounts[..2] {
        for _ in 0..2 {
            // what waits already counts once
            assert_eq!(ask(*account, &door.key).await.status, StatusCode::ACCEPTED);
        }
    }
    let told = ask(accounts[2], &door.key).await;
    assert_eq!(told.status, StatusCode::TOO_MANY_REQUESTS, "{}", told.text);
    assert_eq!(told.json()["type"], "urn:postroom:problem:too-often");
    let seconds: u32 = told.header("retry-after").parse().expect("seconds");
    assert!((3_500..=3_600).contains(&seconds), "{seconds}");
    let jobs = "SELECT count(*) FROM job WHERE kind = 'metric_snapshot'";
    assert_eq!(door.scratch.number(jobs).await, 2, "nothing came of it");
    assert_eq!(ask(foreign, &key).await.status, StatusCode::ACCEPTED, "nobody else is held up");
    door.scratch
        .run(
            "CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
             RETURN statement_timestamp() + interval '61 minutes'",
        )
        .await;
    assert_eq!(ask(accounts[2], &door.key).await.status, StatusCode::ACCEPTED, "an hour later it goes on");
}

#[tokio::test]
async fn old_snapshots_are_rolled_up_to_one_a_day_and_their_months_are_dropped() {
    // P-D13
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    let (post, number) = followed(&door, account, "long ago", 100).await;
    door.scratch.run(&months(5)).await;
    for hours in 0..48 {
        said(&door, number, 24 * 100 - hours, &[(VIEWS, Some(i64::from(hours)))]).await;
    }
    said(&door, number, 1, &[(VIEWS, Some(99))]).await;
    let mut web = door.scratch.connection().await;
    let as_web = "SELECT set_config('role', current_database() || '_web', false)";
    sqlx::query(as_web).execute(&mut web).await.expect("the role is there");
    let refused = sqlx::query("SELECT roll_up_snapshots('40 days')").execute(&mut web).await;
    assert!(refused.is_err(), "nobody but a worker may");
    let worker = Ledger::open(&door.scratch.url, Role::Worker, 2).expect("an address");
    retain(&worker, 40, 100).await;
    let months = door.scratch.number("SELECT dropped FROM retention_run WHERE class = 'snapshots'").await;
    assert!(months > 1, "{months} months, one a call");
    let days = door.scratch.number("SELECT count(*) FROM snapshot_day").await;
    assert!((2..=3).contains(&days), "{days} days of 48 hours");
    assert_eq!(door.scratch.number("SELECT count(*) FROM snapshot").await, 1, "what is young stays whole");
    let told = door.get(&format!("/api/v1/posts/{post}/metrics")).await.json();
    let values = told["data"][0]["series"][0]["metrics"][0]["values"].as_array().expect("values").clone();
    assert_eq!(i64::try_from(values.len()), Ok(days + 1));
    assert_eq!(values[values.len() - 2..], [json!(47), json!(99)], "of each day the last");
    let (_, older) = followed(&door, account, "rolled up whole", 90).await;
    rolled_up(&door, older, 80, 4_321).await;
    let page =
        Browser::of(&door, MemberRole::Viewer).await.get(&format!("/accounts/{account}/metrics")).await;
    assert!(page.text.contains("<td>4,321</td>"), "what is left of it is still compared: {}", page.text);
    // and all of it goes with the post
    door.scratch.run("DELETE FROM post").await;
    assert_eq!(door.scratch.number("SELECT count(*) FROM snapshot_day").await, 0);
    assert_eq!(door.scratch.number("SELECT count(*) FROM snapshot").await, 0);
}

/// What was left of a day when its month was rolled up.
async fn rolled_up(door: &Door, number: i32, days: i32, views: i64) {
    sqlx::query(
        "INSERT INTO snapshot_day (captured_at, object, points) SELECT ledger_now() - make_interval(days => $2), $1, $3",
    )
    .bind(number)
    .bind(days)
    .bind(pack(&[whole(VIEWS, Some(views))]))
    .execute(&mut door.scratch.connection().await)
    .await
    .expect("a day");
}

/// A job of an account's, held under a claim.
pub async fn held(door: &Door, account: Uuid) -> Claim {
    let claim = Claim { job_id: Uuid::now_v7(), epoch: 1, worker_inc: Uuid::now_v7() };
    let (job, worker) = (claim.job_id, claim.worker_inc);
    let leased = format!(
        "INSERT INTO worker (inc, version, lease_until) VALUES ('{worker}', '1', ledger_now() + interval '1 hour')"
    );
    door.scratch.run(&leased).await;
    let made = format!(
        "WITH made AS (
             INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload, epoch)
             SELECT '{job}', 'metric_snapshot', workspace_id, id, ledger_now(), '{{}}', 1 FROM account WHERE id = '{account}')
         INSERT INTO claim (job_id, epoch, worker_inc, deadline_at)
         VALUES ('{job}', 1, '{worker}', ledger_now() + interval '1 hour')"
    );
    door.scratch.run(&made).await;
    claim
}

#[tokio::test]
async fn the_same_look_twice_is_one_row_and_one_that_finds_nothing_out_changes_nothing() {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    let (_, number) = followed(&door, account, "once", 1).await;
    let claim = held(&door, account).await;
    // the ledger's clock stands still, so that all looks are of the same second
    let standing = "DO $$ BEGIN EXECUTE format(
        'CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
         RETURN %L::timestamptz', now()); END $$";
    door.scratch.run(standing).await;
    let worker = Ledger::open(&door.scratch.url, Role::Worker, 2).expect("an address");
    let plan = Plan {
        after_publishing: vec![DAY],
        then_every: DAY,
        until: 90 * DAY,
        stories: vec![DAY / 2],
        accounts_every: DAY,
    };
    let pace = Pace { plan, usage_most: 75, usage_rest: DAY, try_refused: DAY, ads_days: 28 };
    let snapshots = ClaimedSnapshots { ledger: &worker, claim, pace: &pace };
    let subject = Subject {
        number,
        object: Object::Post,
        remote_id: None,
        since: DateTime::UNIX_EPOCH,
        captures: 0,
        absent_since: None,
        captured_at: None,
        resume: None,
    };
    let next = Next::At(DateTime::UNIX_EPOCH);
    let views = Point { metric: by_id(VIEWS).expect("a metric"), ends_at: None, value: Some(1) };
    let look =
        Taken { subject: &subject, points: vec![views], spreads: Vec::new(), absent: Some(false), next };
    for _ in 0..2 {
        snapshots.take(&look).await.expect("kept");
    }
    assert_eq!(door.scratch.number("SELECT count(*) FROM snapshot").await, 1);
    for (absent, expected) in [(Some(true), 1), (None, 1), (Some(false), 0)] {
        let look = Taken { points: Vec::new(), spreads: Vec::new(), absent, ..look };
        snapshots.take(&look).await.expect("kept");
        let since = door.scratch.number("SELECT count(absent_since) FROM metric_plan").await;
        assert_eq!(since, expected, "{absent:?}");
    }
    let overtaken = ClaimedSnapshots { claim: Claim { epoch: 2, ..claim }, ..snapshots };
    assert!(matches!(overtaken.take(&look).await, Err(JobError::Fenced)));
}

#[tokio::test]
async fn a_page_of_numbers_is_drawn_and_stands_there_as_a_table_and_as_a_file() {
    // P-S9
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    let (post, number) = followed(&door, account, "Opening <day>", 2).await;
    for hours in 0..5 {
        let views = (hours != 2).then_some(1_000 + i64::from(5 - hours));
        said(&door, number, hours + 1, &[(VIEWS, views), (LIKES, Some(7))]).await;
    }
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let page = browser.get(&format!("/posts/{post}/metrics")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(
        page.text.contains("<svg class=\"chart\"") && page.text.contains("role=\"img\""),
        "{}",
        page.text
    );
    assert_eq!(page.text.matches("<polyline").count(), 3, "views break off once, likes do not");
    assert!(page.text.contains("<td>1,005</td>") && page.text.contains("<td>–</td>"), "{}", page.text);
    assert!(!page.text.contains("style="), "the policy allows no styles in the page");
    let file = browser.get(&format!("/posts/{post}/metrics/file?as=csv")).await;
    assert!(file.header(header::CONTENT_TYPE.as_str()).starts_with("text/csv"));
    assert_eq!(file.text.lines().count(), 1 + 10);
    let file = browser.get(&format!("/posts/{post}/metrics/file?as=json")).await;
    assert_eq!(file.json()["data"][0]["publication_id"], json!(post));
    let shown = browser.get(&format!("/posts/{post}")).await;
    assert!(shown.text.contains(&format!("/posts/{post}/metrics")));
    assert_eq!(browser.get("/posts/nobody/metrics").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_accounts_page_compares_its_posts_and_leads_on_to_their_best_hours() {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    for (n, views) in [900, 1_100, 50].into_iter().enumerate() {
        let (_, number) = followed(&door, account, &format!("post {n}"), 7).await;
        said(&door, number, 1, &[(VIEWS, Some(views))]).await;
    }
    let (_, young) = followed(&door, account, "of this hour", 0).await;
    said(&door, young, 0, &[(VIEWS, Some(9_999))]).await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let page = browser.get(&format!("/accounts/{account}/metrics")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("post 1") && page.text.contains("<td>1,100</td>"), "{}", page.text);
    assert!(page.text.contains(&format!("/dashboard/times?account={account}")), "{}", page.text);
    assert!(browser.get("/accounts").await.text.contains(&format!("/accounts/{account}/metrics")));
}

#[tokio::test]
async fn who_follows_an_account_stands_on_its_page_and_in_its_file() {
    // P-S5, P-S9
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    let told = format!(
        r#"WITH m AS (
               INSERT INTO metric_plan (workspace_id, account_id, object, since, due_at)
               SELECT workspace_id, id, 'account', ledger_now(), ledger_now() + interval '1 day'
               FROM account WHERE id = '{account}' RETURNING number)
           INSERT INTO snapshot_spread (captured_at, object, metric, said, kinds)
           SELECT ledger_now(), m.number, x.metric, x.said, x.kinds::jsonb
           FROM m CROSS JOIN (VALUES
               (105::smallint, 'kinds', '{{"Haifa, Israel": 1200, "=SUM(A1)": 30}}'),
               (104::smallint, 'too_few', NULL)) AS x (metric, said, kinds)"#
    );
    door.scratch.run(&told).await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let page = browser.get(&format!("/accounts/{account}/metrics")).await;
    for words in
        ["Followers by city", "Haifa, Israel", "<td>1,200</td>", "Followers by age", "too few followers"]
    {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let file = browser.get(&format!("/accounts/{account}/metrics/file?as=csv")).await;
    for end in [r#",1200,"Haifa, Israel""#, r#",30,"'=SUM(A1)""#] {
        let found = file.text.lines().any(|line| line.contains(",followers_by_city,") && line.ends_with(end));
        assert!(found, "{end}: {}", file.text);
    }
}

/// Two years of hourly snapshots of twelve metrics, answered whole. What it takes without optimisation is only bounded here;
/// the bench `metrics` measures it.
#[tokio::test]
async fn two_years_of_hours_are_answered_whole() {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    let (post, number) = followed(&door, account, "two years of it", 731).await;
    door.scratch.run(&months(26)).await;
    let points: Vec<_> = (40..50).chain([60, 61]).map(|id| whole(id, Some(i64::from(id) * 1_000))).collect();
    sqlx::query(
        "INSERT INTO snapshot (captured_at, object, points)
         SELECT ledger_now() - make_interval(hours => n), $1, $2 FROM generate_series(1, 17520) AS n",
    )
    .bind(number)
    .bind(pack(&points))
    .execute(&mut door.scratch.connection().await)
    .await
    .expect("snapshots");
    let begun = std::time::Instant::now();
    let answer = door.get(&format!("/api/v1/posts/{post}/metrics")).await;
    let took = begun.elapsed();
    let told = answer.json();
    let series = &told["data"][0]["series"][0];
    assert_eq!(series["at"].as_array().map(Vec::len), Some(17_520));
    assert_eq!(series["metrics"].as_array().map(Vec::len), Some(12));
    assert!(took < Duration::from_secs(3), "{took:?}");
    println!("two years of hours, not optimised: {took:?}");
}
