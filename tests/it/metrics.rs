//! What networks have counted, on real processes: followed over simulated days, with metrics that are retired, posts that
//! are deleted and accounts that are too small to be told of.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{FACEBOOK, INSTAGRAM, PLATFORMS, System, eventually};

/// A system whose clocks the test moves, with a worker that looks often.
async fn system() -> System {
    let mut system = System::start().await;
    system.database.own_clock().await;
    system.environment.insert("POSTROOM__METRICS__LOOK_EVERY".into(), "100ms".into());
    system.environment.insert("POSTROOM__RELAY__SWEEP_EVERY".into(), "200ms".into());
    system.start_worker(&[]);
    system
}

/// Both clocks, the ledger's and the networks', go forward.
async fn forward(system: &System, span: TimeDelta) {
    system.tell("clock", &json!({ "advance_ms": span.num_milliseconds() })).await;
    let now = system.database.now().await;
    system.database.set_clock(now + span).await;
}

async fn metrics(system: &System, path: &str) -> Value {
    let (status, told) = system.api(Method::GET, &format!("/api/v1/{path}/metrics"), None).await;
    assert_eq!(status, 200, "{told}");
    told
}

/// The one entry of a platform.
fn of<'a>(told: &'a Value, platform: &str) -> &'a Value {
    let found = told["data"].as_array().unwrap().iter().find(|it| it["platform"] == platform);
    found.unwrap_or_else(|| panic!("{platform}: {told}"))
}

/// The values of a metric over one period; empty where it was never told of.
fn values(counted: &Value, period: &str, metric: &str) -> Vec<Option<i64>> {
    let series = counted["series"].as_array().unwrap().iter().find(|it| it["period"] == period);
    let metrics = series.map_or(&Value::Null, |series| &series["metrics"]);
    let found = metrics.as_array().into_iter().flatten().find(|it| it["metric"] == metric);
    found.map_or_else(Vec::new, |it| it["values"].as_array().unwrap().iter().map(Value::as_i64).collect())
}

/// Waits until each of these has been asked about so often.
async fn captured(system: &System, post: &str, platforms: &[&str], times: usize) -> Value {
    eventually(&format!("{times} snapshots"), || async {
        let told = metrics(system, &format!("posts/{post}")).await;
        let all = platforms.iter().all(|platform| {
            let series = &of(&told, platform)["series"][0];
            series["at"].as_array().map_or(0, Vec::len) >= times
        });
        let log = || system.workers.last().map(crate::harness::Process::log).unwrap_or_default();
        if all { Ok(told) } else { Err(format!("{told}\n{}", log())) }
    })
    .await
}

async fn published(system: &System, caption: &str, platforms: &[&str]) -> String {
    let post = system.post(caption, platforms).await;
    system.until(&post, "published").await;
    // time goes on once it is followed
    let followed = "SELECT count(*) FROM metric_plan m JOIN publication p ON p.id = m.publication_id WHERE p.post_id::text = $1";
    eventually("the plan", || async {
        let plans = system.database.count_of(followed, &post).await;
        if plans == i64::try_from(platforms.len()).unwrap() { Ok(()) } else { Err(format!("{plans} plans")) }
    })
    .await;
    post
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posts_numbers_are_followed_over_days_and_one_that_is_retired_leaves_the_others_whole() {
    // P-S4
    let system = system().await;
    let post = published(&system, "followed for days", &[FACEBOOK, INSTAGRAM]).await;
    let both = [FACEBOOK, INSTAGRAM];
    let steps = [TimeDelta::minutes(16), TimeDelta::minutes(46), TimeDelta::hours(25)];
    for (n, step) in steps.into_iter().enumerate() {
        forward(&system, step).await;
        captured(&system, &post, &both, n + 1).await;
    }
    let before = captured(&system, &post, &both, 3).await;
    for (platform, metric) in
        [(FACEBOOK, "views"), (FACEBOOK, "likes"), (INSTAGRAM, "views"), (INSTAGRAM, "saves")]
    {
        let values: Vec<i64> =
            values(of(&before, platform), "lifetime", metric).into_iter().flatten().collect();
        assert_eq!(values.len(), 3, "{platform} {metric}: {before}");
        assert!(values.is_sorted() && values[0] < values[2], "{platform} {metric}: {values:?}");
    }
    // the clicks were told until now; from here on nobody is told of them
    system.tell("settings", &json!({ "retired_metrics": ["post_clicks"] })).await;
    for day in 0..2 {
        forward(&system, TimeDelta::days(1)).await;
        captured(&system, &post, &both, 4 + day).await;
    }
    let after = captured(&system, &post, &both, 5).await;
    let page = of(&after, FACEBOOK);
    let clicks = values(page, "lifetime", "clicks");
    assert!(clicks[..3].iter().all(Option::is_some) && clicks[3..].iter().all(Option::is_none), "{clicks:?}");
    for metric in ["views", "reach", "reactions", "likes", "comments", "shares"] {
        let values = values(page, "lifetime", metric);
        assert!(values.len() == 5 && values.iter().all(Option::is_some), "{metric}: {values:?}");
    }
    assert_eq!(page["not_told"][0]["remote"], "post_clicks");
    assert!(page["not_told"][0]["words"].as_str().unwrap().contains("valid insights metric"));
    assert_eq!(of(&after, INSTAGRAM)["not_told"], json!([]));
    let notices = "SELECT count(*) FROM notice WHERE topic = 'metric_refused'";
    assert_eq!(system.database.count(notices).await, 1, "one notice, however often it is found");
    // nothing was ever written at a network for it
    let calls = system.control("calls?call=insights").await;
    assert!(calls["data"].as_array().unwrap().iter().all(|call| call["phase"] == "observe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_retired_comes_back_when_the_network_tells_it_again() {
    let system = system().await;
    system.tell("settings", &json!({ "retired_metrics": ["post_clicks", "post_video_views"] })).await;
    let post = published(&system, "told again", &[FACEBOOK]).await;
    forward(&system, TimeDelta::hours(25)).await;
    let told = captured(&system, &post, &[FACEBOOK], 1).await;
    assert_eq!(of(&told, FACEBOOK)["not_told"].as_array().unwrap().len(), 2);
    system.tell("settings", &json!({ "retired_metrics": [] })).await;
    forward(&system, TimeDelta::days(8)).await;
    eventually("all to be told", || async {
        let told = metrics(&system, &format!("posts/{post}")).await;
        if of(&told, FACEBOOK)["not_told"] == json!([]) { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
    let told = captured(&system, &post, &[FACEBOOK], 2).await;
    let page = of(&told, FACEBOOK);
    assert!(values(page, "lifetime", "clicks")[1].is_some(), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_network_does_not_say_is_a_gap_and_never_nought() {
    let system = system().await;
    let silence = json!({ "insights_after_ms": 7_200_000, "followers": 20 });
    system.tell("settings", &silence).await;
    let post = published(&system, "silence at first", &[INSTAGRAM]).await;
    forward(&system, TimeDelta::minutes(16)).await;
    let told = captured(&system, &post, &[INSTAGRAM], 1).await;
    assert_eq!(values(of(&told, INSTAGRAM), "lifetime", "views"), [None]);
    forward(&system, TimeDelta::hours(3)).await;
    let told = captured(&system, &post, &[INSTAGRAM], 2).await;
    let views = values(of(&told, INSTAGRAM), "lifetime", "views");
    assert!(views[0].is_none() && views[1].is_some_and(|views| views > 0), "{views:?}");
    // an account with too few followers
    let account = eventually("the Page's own numbers", || async {
        let told = metrics(&system, &format!("accounts/{}", system.account(FACEBOOK))).await;
        if told["data"][0]["captured_at"].is_null() { Err(told.to_string()) } else { Ok(told) }
    })
    .await;
    let followers = values(&account["data"][0], "day", "followers");
    assert!(!followers.is_empty() && followers.iter().all(Option::is_none), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_deleted_at_its_network_is_asked_about_no_more_and_says_so() {
    let system = system().await;
    let post = published(&system, "gone tomorrow", &[FACEBOOK]).await;
    forward(&system, TimeDelta::minutes(16)).await;
    let told = captured(&system, &post, &[FACEBOOK], 1).await;
    assert!(of(&told, FACEBOOK)["ended"].is_null());
    let (_, shown) = system.api(Method::GET, &format!("/api/v1/posts/{post}"), None).await;
    let remote = shown["publications"][0]["remote_id"].as_str().unwrap();
    let url = format!("{}/{remote}", system.addresses["graph"].as_str().unwrap());
    let gone = crate::harness::client().delete(url).bearer_auth("sandbox-page-token").send().await.unwrap();
    assert!(gone.status().is_success(), "{}", gone.text().await.unwrap());
    forward(&system, TimeDelta::hours(1)).await;
    let told = eventually("the end of its plan", || async {
        let told = metrics(&system, &format!("posts/{post}")).await;
        if of(&told, FACEBOOK)["ended"] == "gone" { Ok(told) } else { Err(told.to_string()) }
    })
    .await;
    assert!(of(&told, FACEBOOK)["next_at"].is_null());
    assert_eq!(values(of(&told, FACEBOOK), "lifetime", "views").len(), 1, "what was told stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_network_tells_and_it_comes_as_a_file_too() {
    // P-S5, P-S9
    let system = system().await;
    let mut posts = Vec::new();
    for platform in PLATFORMS {
        posts.push((platform, published(&system, &format!("counted on {platform}"), &[platform]).await));
    }
    for platform in PLATFORMS {
        let path = format!("/api/v1/accounts/{}/snapshot", system.account(platform));
        let (status, job) = system.api(Method::POST, &path, None).await;
        assert_eq!((status, &job["kind"]), (202, &json!("metric_snapshot")), "{job}");
        let told = eventually("the account's numbers", || async {
            let told = metrics(&system, &format!("accounts/{}", system.account(platform))).await;
            if told["data"][0]["captured_at"].is_null() { Err(told.to_string()) } else { Ok(told) }
        })
        .await;
        let followers =
            ["day", "lifetime"].map(|period| values(&told["data"][0], period, "followers")).concat();
        assert!(followers.iter().any(Option::is_some), "{platform}: {told}");
    }
    forward(&system, TimeDelta::minutes(16)).await;
    for (platform, post) in &posts {
        let told = captured(&system, post, &[platform], 1).await;
        for metric in ["views", "likes", "comments"] {
            assert!(
                values(of(&told, platform), "lifetime", metric)[0].is_some(),
                "{platform} {metric}: {told}"
            );
        }
        let url = system.url(&format!("/api/v1/posts/{post}/metrics"));
        let file = crate::harness::client().get(url).bearer_auth(&system.key).header("accept", "text/csv");
        let file = file.send().await.unwrap().text().await.unwrap();
        assert!(file.lines().any(|line| line.contains(",views,count,lifetime,")), "{file}");
    }
    let (status, _) = system.api(Method::GET, "/api/v1/posts/nobody/metrics", None).await;
    assert_eq!(status, 404);
    let (status, _) =
        system.api(Method::GET, &format!("/api/v1/posts/{}/metrics?form=x", posts[0].1), None).await;
    assert_eq!(status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_of_metrics_leaves_the_account_at_work() {
    let system = system().await;
    system
        .tell("settings", &json!({ "declined_scopes": ["read_insights", "instagram_manage_insights"] }))
        .await;
    let post = published(&system, "no permission to count", &[FACEBOOK]).await;
    forward(&system, TimeDelta::minutes(16)).await;
    eventually("the notice", || async {
        let told = system.database.count("SELECT count(*) FROM notice WHERE topic = 'metrics_put_off'").await;
        if told > 0 { Ok(()) } else { Err("no notice".into()) }
    })
    .await;
    published(&system, "published all the same", &[FACEBOOK, INSTAGRAM]).await;
    let told = metrics(&system, &format!("posts/{post}")).await;
    assert_eq!(of(&told, FACEBOOK)["series"], json!([]));
    assert!(!of(&told, FACEBOOK)["next_at"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_of_one_account_are_asked_about_together_and_each_has_its_own_answer() {
    let system = system().await;
    system.tell("settings", &json!({ "retired_metrics": ["post_clicks"] })).await;
    let mut posts = Vec::new();
    for n in 0..3 {
        posts.push(published(&system, &format!("one of three, {n}"), &[FACEBOOK]).await);
    }
    let (_, shown) = system.api(Method::GET, &format!("/api/v1/posts/{}", posts[1]), None).await;
    let remote = shown["publications"][0]["remote_id"].as_str().unwrap();
    let url = format!("{}/{remote}", system.addresses["graph"].as_str().unwrap());
    let gone = crate::harness::client().delete(url).bearer_auth("sandbox-page-token").send().await.unwrap();
    assert!(gone.status().is_success(), "{}", gone.text().await.unwrap());
    forward(&system, TimeDelta::minutes(16)).await;
    for post in [&posts[0], &posts[2]] {
        let told = captured(&system, post, &[FACEBOOK], 1).await;
        for metric in ["views", "reach", "reactions", "likes", "comments", "shares"] {
            assert!(values(of(&told, FACEBOOK), "lifetime", metric)[0].is_some(), "{metric}: {told}");
        }
        assert!(values(of(&told, FACEBOOK), "lifetime", "clicks").is_empty(), "{told}");
    }
    eventually("the end of the deleted one's plan", || async {
        let told = metrics(&system, &format!("posts/{}", posts[1])).await;
        if of(&told, FACEBOOK)["ended"] == "gone" { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
    let notices = "SELECT count(*) FROM notice WHERE topic = 'metric_refused'";
    assert_eq!(system.database.count(notices).await, 1, "one notice for all of them");
    let batches = system.control("calls?call=batch").await;
    assert!(!batches["data"].as_array().unwrap().is_empty(), "they were asked about together");
    assert!(batches["data"].as_array().unwrap().iter().all(|call| call["phase"] == "observe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_accounts_are_due_one_look_makes_the_jobs_of_all_of_them() {
    let mut system = System::start().await;
    sqlx::query(
        "WITH a AS (
             INSERT INTO account (id, workspace_id, platform, external_id, name)
             SELECT gen_random_uuid(), w.id, 'instagram_business', 'due-' || n, 'due ' || n
             FROM workspace w, generate_series(1, 2500) AS n WHERE w.name = 'Bakery'
             RETURNING id, workspace_id)
         INSERT INTO metric_plan (workspace_id, account_id, object, since, due_at)
         SELECT workspace_id, id, 'account', ledger_now() - interval '1 day', ledger_now() - interval '1 minute' FROM a",
    )
    .execute(&system.database.pool)
    .await
    .unwrap();
    // there is one look within this test
    system.environment.insert("POSTROOM__METRICS__LOOK_EVERY".into(), "1h".into());
    // and the jobs stay
    system.start_worker_on("publish");
    eventually("a job for each account", || async {
        let jobs = system.database.count("SELECT count(*) FROM job WHERE kind = 'metric_snapshot'").await;
        if jobs == 2_500 { Ok(()) } else { Err(format!("{jobs} jobs")) }
    })
    .await;
}

/// Waits until an account's followers were asked about so often, and gives what was told along this.
async fn followers(system: &System, by: &str, times: usize) -> Value {
    eventually(&format!("{times} looks at who follows"), || async {
        let told = metrics(system, &format!("accounts/{}", system.account(INSTAGRAM))).await;
        let audience = told["data"][0]["audience"].as_array().unwrap();
        let it = audience.iter().find(|it| it["by"] == by).cloned().unwrap_or_default();
        if it["at"].as_array().map_or(0, Vec::len) >= times { Ok(it) } else { Err(told.to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_an_account_is_told_by_kinds_and_too_few_followers_are_said_and_are_no_nought() {
    // P-S5
    let system = system().await;
    let ask = format!("/api/v1/accounts/{}/snapshot", system.account(INSTAGRAM));
    assert_eq!(system.api(Method::POST, &ask, None).await.0, 202);
    for by in ["age", "city", "country", "gender"] {
        let told = followers(&system, by, 1).await;
        assert_eq!((&told["remote"], &told["too_few"]), (&json!("follower_demographics"), &json!([false])));
        let kinds = told["kinds"].as_array().unwrap();
        assert!(kinds.len() >= 2 && kinds.iter().all(|kind| kind["values"][0].is_i64()), "{told}");
    }
    system.tell("settings", &json!({ "followers": 99 })).await;
    forward(&system, TimeDelta::days(1)).await;
    assert_eq!(system.api(Method::POST, &ask, None).await.0, 202);
    let told = followers(&system, "age", 2).await;
    assert_eq!(told["too_few"], json!([false, true]));
    assert!(told["kinds"].as_array().unwrap().iter().all(|kind| kind["values"][1].is_null()), "{told}");
}
