//! Rates, rests and breakers: all workers keep to them together, whatever becomes of Redis, and nobody who is sent
//! away spends an attempt.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::gate::{Allowance, Rate, Visit};
use postroom::ledger::{Ledger, Role, traffic::Entry};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::harness::{Database, FACEBOOK, INSTAGRAM, System, TIKTOK, eventually, eventually_within};

/// What holds up the tests here is what they are about.
const PATIENCE: Duration = Duration::from_mins(3);
const RATE: Rate = Rate { calls: 60, per: Duration::from_secs(6) };

fn allowance(app_rate: Option<Rate>) -> Allowance {
    Allowance { app: "meta", app_rate, workspace_rate: None, account_rate: None }
}

/// A ledger alone, with a workspace, some accounts of it, and a clock that the test sets.
async fn ledger(accounts: usize) -> (Database, Ledger, Vec<Uuid>) {
    let database = Database::create().await;
    let owner = Ledger::open(&database.url.clone().into(), Role::Owner, 8).unwrap();
    owner.migrate().await.unwrap();
    database.own_clock().await;
    let ids: Vec<Uuid> = (0..accounts).map(|_| Uuid::now_v7()).collect();
    let fill = "WITH w AS (INSERT INTO workspace (id, name) VALUES ($1, 'Bakery') RETURNING id)
                INSERT INTO account (id, workspace_id, platform, external_id, name)
                SELECT a, w.id, 'facebook_page', a::text, 'a' FROM w, unnest($2::uuid[]) a";
    sqlx::query(fill).bind(Uuid::now_v7()).bind(&ids).execute(&database.pool).await.unwrap();
    (database, owner, ids)
}

fn visit(account: Uuid, allowance: Allowance, calls: u32) -> Visit<'static> {
    Visit { network: FACEBOOK, account, allowance, calls, comes_back: true }
}

/// The most calls in any span of this length.
fn peak(mut calls: Vec<(DateTime<Utc>, u32)>, span: Duration) -> u32 {
    calls.sort_unstable();
    let span = TimeDelta::from_std(span).unwrap();
    let within = |from: DateTime<Utc>| {
        calls.iter().filter(|(at, _)| *at >= from && *at < from + span).map(|(_, calls)| calls).sum()
    };
    calls.iter().map(|(at, _)| within(*at)).max().unwrap_or_default()
}

#[tokio::test]
async fn a_rate_lets_as_much_through_as_it_says_and_sends_each_away_until_a_moment_of_its_own() {
    let (database, ledger, accounts) = ledger(1).await;
    let rate = Rate { calls: 12, per: Duration::from_mins(1) };
    let mut now: DateTime<Utc> = "2026-11-22T08:00:00Z".parse().unwrap();
    // forty jobs that want to go at once, and come back when they were told to
    let mut waiting: BTreeSet<(DateTime<Utc>, u32)> = (0..40).map(|job| (now, job)).collect();
    let (mut taken, mut asked) = (Vec::new(), 0);
    while let Some((at, job)) = waiting.pop_first() {
        now = now.max(at);
        database.set_clock(now).await;
        asked += 1;
        match ledger.enter(&visit(accounts[0], allowance(Some(rate)), 1), PATIENCE).await.unwrap() {
            Entry::Free => taken.push((now, 1)),
            Entry::Refused { cause, ends_at } => {
                assert_eq!(cause, "app_rate");
                waiting.insert((ends_at, job));
            }
            Entry::Probe(_) => panic!("nothing is broken"),
        }
    }
    let lasted = taken.iter().map(|(at, _)| *at).max().unwrap() - taken[0].0;
    assert!(peak(taken, rate.per) <= rate.calls);
    assert!(lasted < TimeDelta::minutes(5), "forty take about four minutes, and took {lasted}");
    assert!(asked <= 40 * 3, "{asked} questions of forty jobs: they do not come back one by one");
}

#[tokio::test]
async fn every_rate_counts_and_calls_are_taken_of_all_or_of_none() {
    let (_database, ledger, accounts) = ledger(2).await;
    let hour = |calls| Some(Rate { calls, per: Duration::from_hours(1) });
    let rates =
        Allowance { app: "meta", app_rate: hour(60), workspace_rate: hour(30), account_rate: hour(6) };
    let enter = async |account: usize| match ledger
        .enter(&visit(accounts[account], rates, 1), PATIENCE)
        .await
        .unwrap()
    {
        Entry::Free => "free".to_owned(),
        Entry::Refused { cause, .. } => cause,
        Entry::Probe(_) => "probe".to_owned(),
    };
    assert_eq!([enter(0).await, enter(0).await], ["free", "free"]);
    assert_eq!(enter(0).await, "account_rate", "two of six may go at once");
    assert_eq!([enter(1).await, enter(1).await, enter(1).await], ["free", "free", "account_rate"]);
    // two refusals took nothing of the workspace: two of its six are left, and it is the accounts that have none
    let wide = Allowance { account_rate: None, ..rates };
    let whole = ledger.enter(&visit(accounts[0], wide, 2), PATIENCE).await.unwrap();
    assert_eq!(whole, Entry::Free);
    let more = ledger.enter(&visit(accounts[0], wide, 1), PATIENCE).await.unwrap();
    assert!(matches!(more, Entry::Refused { cause, .. } if cause == "workspace_rate"));
}

#[tokio::test]
async fn of_many_who_ask_after_a_broken_network_one_looks() {
    let (database, ledger, accounts) = ledger(1).await;
    let start: DateTime<Utc> = "2026-11-22T08:00:00Z".parse().unwrap();
    let second = Duration::from_secs(1);
    let at = async |seconds: i64| database.set_clock(start + TimeDelta::seconds(seconds)).await;
    let probes = async || {
        let visit = visit(accounts[0], allowance(None), 1);
        let entries = futures_util::future::join_all((0..8).map(|_| ledger.enter(&visit, 30 * second))).await;
        let probe = |entry: Result<Entry, _>| match entry.unwrap() {
            Entry::Probe(until) => Some(until),
            Entry::Free | Entry::Refused { .. } => None,
        };
        entries.into_iter().filter_map(probe).collect::<Vec<_>>()
    };
    at(0).await;
    assert!(ledger.open_breaker(FACEBOOK, 5 * second).await.unwrap());
    assert!(!ledger.open_breaker(FACEBOOK, 5 * second).await.unwrap(), "it is known already");
    assert!(probes().await.is_empty());
    at(6).await;
    let [first] = probes().await[..] else { panic!("one looks") };
    ledger.keep_breaker(FACEBOOK, first, 5 * second, 60 * second).await.unwrap();
    at(15).await;
    assert!(probes().await.is_empty(), "the second time is twice as long");
    at(17).await;
    let [gone] = probes().await[..] else { panic!("one looks") };
    at(40).await;
    assert!(probes().await.is_empty(), "somebody is looking");
    at(48).await;
    let [last] = probes().await[..] else { panic!("whoever was looking is gone") };
    ledger.keep_breaker(FACEBOOK, gone, 5 * second, 60 * second).await.unwrap();
    ledger.close_breaker(FACEBOOK, gone).await.unwrap();
    assert!(probes().await.is_empty(), "who answers too late says nothing, and the other is still looking");
    ledger.leave_probe(FACEBOOK, last).await.unwrap();
    let [last] = probes().await[..] else { panic!("whoever was looking has left") };
    ledger.close_breaker(FACEBOOK, last).await.unwrap();
    let free = ledger.enter(&visit(accounts[0], allowance(None), 1), 30 * second).await.unwrap();
    assert_eq!(free, Entry::Free);
}

#[tokio::test]
async fn a_rest_without_a_time_is_twice_as_long_each_time_it_was_too_short_up_to_an_hour() {
    let (database, ledger, accounts) = ledger(1).await;
    let mut now: DateTime<Utc> = "2026-11-22T08:00:00Z".parse().unwrap();
    let mut rests = Vec::new();
    for _ in 0..6 {
        database.set_clock(now).await;
        ledger.strike_app("meta", Duration::from_mins(5)).await.unwrap();
        // what was under way when the rest began is told the same, and is no other strike
        ledger.strike_app("meta", Duration::from_mins(5)).await.unwrap();
        let entry = ledger.enter(&visit(accounts[0], allowance(None), 1), PATIENCE).await.unwrap();
        let Entry::Refused { cause, ends_at } = entry else { panic!("{entry:?}") };
        assert_eq!(cause, "app_rest");
        rests.push((ends_at - now + TimeDelta::seconds(30)).num_minutes());
        now = ends_at + TimeDelta::seconds(1);
    }
    assert_eq!(rests, [5, 10, 20, 40, 60, 60]);
    database.set_clock(now + TimeDelta::hours(2)).await;
    ledger.strike_app("meta", Duration::from_mins(5)).await.unwrap();
    let strikes: i32 =
        sqlx::query_scalar("SELECT strikes FROM app_rest").fetch_one(&database.pool).await.unwrap();
    assert_eq!(strikes, 1, "a long calm ends the series");
}

/// The calls that a network counted, with their times.
async fn counted(system: &System, network: &str, only: Option<&str>) -> Vec<(DateTime<Utc>, u32)> {
    let calls = system.control("calls").await;
    let of = |call: &&Value| call["network"] == network && only.is_none_or(|only| call["call"] == only);
    let at = |call: &Value| (call["at"].as_str().unwrap().parse().unwrap(), 1);
    calls["data"].as_array().unwrap().iter().filter(of).map(at).collect()
}

async fn published(system: &System, posts: &[String]) {
    eventually_within(PATIENCE, "all posts to be out", || async {
        let left = "SELECT count(*) FROM publication WHERE state <> 'published'";
        let left = system.database.count(left).await;
        if left == 0 { Ok(()) } else { Err(format!("{left} left: {}", system.workers[0].log())) }
    })
    .await;
    system.all_live_once(posts).await;
}

fn set(system: &mut System, settings: &[(&str, &str)]) {
    for (name, value) in settings {
        system.environment.insert(format!("POSTROOM__{name}"), (*value).to_owned());
    }
}

async fn posts(system: &System, tag: &str, count: usize) -> Vec<String> {
    let mut posts = Vec::new();
    for n in 0..count {
        posts.push(system.post(&format!("{tag} {n}"), &[FACEBOOK]).await);
    }
    posts
}

async fn attempts(pool: &PgPool) -> i64 {
    let most = "SELECT coalesce(max(attempt), 0)::bigint FROM job_history";
    sqlx::query_scalar(most).fetch_one(pool).await.unwrap()
}

async fn all_jobs_over(system: &System) {
    eventually("the jobs to be over", || async {
        let left = system.database.count("SELECT count(*) FROM job").await;
        if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_holds_for_all_workers_while_redis_is_emptied_again_and_again_and_when_it_is_gone() {
    let mut system = System::start().await;
    set(
        &mut system,
        &[
            ("NETWORKS__FACEBOOK__APP_RATE", "60/6s"),
            ("NETWORKS__INSTAGRAM__APP_RATE", "60/6s"),
            ("NETWORKS__META_ADS__APP_RATE", "60/6s"),
        ],
    );
    let posts = posts(&system, "rated", 24).await;
    for _ in 0..3 {
        system.start_worker(&[]);
    }
    let half = "SELECT count(*) FROM publication WHERE state = 'published'";
    eventually_within(PATIENCE, "half of them", || async {
        system.flush_redis().await;
        let out = system.database.count(half).await;
        if out >= 12 { Ok(()) } else { Err(format!("{out} are out: {}", system.workers[0].log())) }
    })
    .await;
    system.redis.as_mut().unwrap().kill9().await;
    published(&system, &posts).await;
    let most = peak(counted(&system, FACEBOOK, None).await, RATE.per);
    assert!(most * 10 <= RATE.calls * 12, "{most} calls in {:?}", RATE.per);
    all_jobs_over(&system).await;
    assert_eq!(attempts(&system.database.pool).await, 0, "waiting for one's turn spends no attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_turn_holds_no_slot() {
    let mut system = System::start().await;
    let settings = [("NETWORKS__TIKTOK__ACCOUNT_RATE", "3/15s"), ("JOBS__PUBLISH__CONCURRENCY", "1")];
    set(&mut system, &settings);
    let mut films = Vec::new();
    for n in 0..4 {
        films.push(system.post(&format!("film {n}"), &[TIKTOK]).await);
    }
    let other = system.post("not in their way", &[FACEBOOK]).await;
    system.start_worker(&[]);
    system.until(&other, "published").await;
    let films_out = "SELECT count(*) FROM remote_call c JOIN account a ON a.id = c.account_id
                     WHERE a.platform = 'tiktok' AND c.kind = 'prepare'";
    assert!(system.database.count(films_out).await < 4, "the films wait for their turn");
    published(&system, &films).await;
    let inits = counted(&system, TIKTOK, Some("video_init")).await;
    // the times are those of the answers, which take a while
    assert!(peak(inits, Duration::from_secs(12)) <= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_fails_altogether_is_left_alone_and_then_every_post_goes_out() {
    let mut system = System::start().await;
    let settings = [
        ("NETWORKS__FACEBOOK__APP_RATE", "60/6s"),
        ("NETWORKS__INSTAGRAM__APP_RATE", "60/6s"),
        ("NETWORKS__META_ADS__APP_RATE", "60/6s"),
        ("TRAFFIC__LEAST_ANSWERS", "8"),
        ("TRAFFIC__OPEN_FIRST", "500ms"),
        ("TRAFFIC__OPEN_MOST", "2s"),
    ];
    set(&mut system, &settings);
    system.fault(json!({ "network": FACEBOOK, "fault": { "status": 503 } })).await;
    let posts = posts(&system, "through a storm", 30).await;
    for _ in 0..2 {
        system.start_worker(&[]);
    }
    eventually("the breaker to open, and probes to find it broken still", || async {
        let opened = system.database.count("SELECT coalesce(max(opened), 0)::bigint FROM breaker").await;
        if opened >= 4 { Ok(()) } else { Err(format!("{opened}: {}", system.workers[0].log())) }
    })
    .await;
    let before = counted(&system, FACEBOOK, None).await.len();
    // what opens the breaker, one call of each post that was on its way by then, and the probes
    assert!(before <= 2 * 8 + 30 + 4, "{before} calls of a network that is broken");
    let other = system.post("another network is well", &[INSTAGRAM]).await;
    system.until(&other, "published").await;
    system.calm().await;
    published(&system, &posts).await;
    let most = peak(counted(&system, FACEBOOK, None).await, RATE.per);
    assert!(most * 10 <= RATE.calls * 12, "{most} calls in {:?}", RATE.per);
    all_jobs_over(&system).await;
    assert!(attempts(&system.database.pool).await <= 6, "only what was sent spent an attempt");
    assert_eq!(system.database.count("SELECT count(*) FROM job_history WHERE outcome = 'dead'").await, 0);
    assert_eq!(system.database.count("SELECT count(*) FROM breaker").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_network_fails_often_what_is_tried_again_waits_for_what_is_new() {
    let mut system = System::start().await;
    // it fails too often for retries, and not often enough for the breaker
    set(
        &mut system,
        &[("TRAFFIC__LEAST_ANSWERS", "8"), ("TRAFFIC__ERROR_SHARE", "0.99"), ("TRAFFIC__WINDOW", "4s")],
    );
    let ill = json!({ "network": FACEBOOK, "call": "prepare", "caption_contains": "ill", "fault": { "status": 503 } });
    system.fault(ill).await;
    let well = posts(&system, "quite in order", 10).await;
    let ill = posts(&system, "ill", 8).await;
    system.start_worker(&[]);
    eventually("a retry to be sent away", || async {
        let away = "SELECT count(*) FROM attempt WHERE reason LIKE '%retry_budget%'";
        let away = system.database.count(away).await;
        if away > 0 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    system.calm().await;
    published(&system, &[well, ill].concat()).await;
}

#[tokio::test]
async fn networks_of_one_app_draw_from_one_rate() {
    let (_database, ledger, accounts) = ledger(1).await;
    let allowance = allowance(Some(Rate { calls: 6, per: Duration::from_hours(1) }));
    let enter = async |network: &'static str| {
        let visit = Visit { network, account: accounts[0], allowance, calls: 1, comes_back: true };
        ledger.enter(&visit, PATIENCE).await.unwrap()
    };
    assert_eq!(
        (enter(FACEBOOK).await, enter(INSTAGRAM).await),
        (Entry::Free, Entry::Free),
        "two of six may go at once"
    );
    for network in [FACEBOOK, INSTAGRAM] {
        assert!(
            matches!(enter(network).await, Entry::Refused { cause, .. } if cause == "app_rate"),
            "{network}"
        );
    }
}

/// When the app may be used again.
async fn rested_until(system: &System) -> DateTime<Utc> {
    eventually("the app to rest", || async {
        let ends = sqlx::query_scalar("SELECT ends_at FROM app_rest WHERE app = 'meta'");
        let ends = ends.fetch_optional(&system.database.pool).await.unwrap();
        ends.ok_or_else(|| system.workers[0].log())
    })
    .await
}

/// The first call of a network's posts.
async fn first_call(system: &System, platform: &str) -> DateTime<Utc> {
    let first = "SELECT min(c.started_at) FROM remote_call c JOIN account a ON a.id = c.account_id WHERE a.platform = $1";
    sqlx::query_scalar(first).bind(platform).fetch_one(&system.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_app_without_a_time_rests_both_of_its_networks() {
    let mut system = System::start().await;
    set(&mut system, &[("NETWORKS__FACEBOOK__APP_REST", "3s")]);
    system.start_worker(&[]);
    let limit = json!({ "graph": { "code": 4, "http": 400, "message": "limit reached", "effect": false } });
    system.fault(json!({ "network": FACEBOOK, "call": "prepare", "times": 1, "fault": limit })).await;
    let first = system.post("over the limit", &[FACEBOOK]).await;
    let ends = rested_until(&system).await;
    let second = system.post("of the same app", &[INSTAGRAM]).await;
    let film = system.post("of another app", &[TIKTOK]).await;
    system.until(&film, "published").await;
    published(&system, &[first, second, film]).await;
    assert!(first_call(&system, INSTAGRAM).await >= ends);
    all_jobs_over(&system).await;
    assert_eq!(attempts(&system.database.pool).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_nearly_used_up_rests_before_it_is_refused() {
    let mut system = System::start().await;
    set(&mut system, &[("NETWORKS__FACEBOOK__USAGE_REST", "3s")]);
    system.start_worker(&[]);
    let used =
        json!({ "headers": { "x-app-usage": r#"{"call_count":96,"total_time":1,"total_cputime":1}"# } });
    system.fault(json!({ "network": FACEBOOK, "call": "feed", "times": 1, "fault": used })).await;
    let first = system.post("the last that went well", &[FACEBOOK]).await;
    let ends = rested_until(&system).await;
    let second = system.post("after the rest", &[INSTAGRAM]).await;
    published(&system, &[first, second]).await;
    assert!(first_call(&system, INSTAGRAM).await >= ends);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_never_ends_ends_the_job_when_its_time_is_over() {
    let mut system = System::start().await;
    set(&mut system, &[("JOBS__PUBLISH__RETRY_WITHIN", "2s")]);
    system.start_worker(&[]);
    let limit = json!({ "status": 429, "retry_after_s": 1 });
    system.fault(json!({ "network": TIKTOK, "call": "prepare", "fault": limit })).await;
    let post = system.post("never its turn", &[TIKTOK]).await;
    let failed = system.until(&post, "failed").await;
    let message = failed["publications"][0]["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("given up after 2s"), "{message}");
    let dead = "SELECT count(*) FROM job_history WHERE outcome = 'dead' AND attempt = 0";
    assert_eq!(system.database.count(dead).await, 1, "no attempt was spent");
}
