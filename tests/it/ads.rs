//! Ad accounts, and what their ads came to, on real processes: they come in beside Pages, are read and never published to,
//! and what a network says late stands beside what it said before.

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use jobs::{
    contract::JobError,
    metrics::{
        Next, Object, Pace, Plan, Snapshots, Subject,
        ads::{AdDay, AdNumber, AdsTaken, Decimal, Level, Onward},
        catalogue::by_id,
    },
};
use postroom::ledger::{Claim, Ledger, Role, people::MemberRole, snapshots::ClaimedSnapshots};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    connect::{Person, key, page, shown},
    console::Browser,
    harness::{FACEBOOK, FAR, INSTAGRAM, System, eventually},
    numbers::held,
    support::Door,
};

const ADS: &str = "meta_ads";
const ACCOUNT: &str = "act_501";
/// So many days are read each time.
const DAYS: i64 = 28;

/// A system whose clocks the test moves, with an ad account of so many campaigns at its network.
async fn system(campaigns: u16) -> System {
    let mut system = System::start().await;
    system.database.own_clock().await;
    system.environment.insert("POSTROOM__METRICS__LOOK_EVERY".into(), "100ms".into());
    system.environment.insert("POSTROOM__RELAY__SWEEP_EVERY".into(), "200ms".into());
    system.environment.insert("POSTROOM__METRICS__USAGE_REST".into(), "1s".into());
    let account = json!({ "id": ACCOUNT, "name": "Bakery Ads", "currency": "ILS", "campaigns": campaigns });
    system.tell("settings", &json!({ "ad_accounts": [account] })).await;
    system.start_worker(&[]);
    system
}

/// Both clocks, the ledger's and the networks', go forward.
async fn forward(system: &System, span: TimeDelta) {
    system.tell("clock", &json!({ "advance_ms": span.num_milliseconds() })).await;
    let now = system.database.now().await;
    system.database.set_clock(now + span).await;
}

/// The ad account, brought by an operator. Its id.
async fn connected(system: &System) -> String {
    let add = ["account", "add", "--workspace", "Bakery", "--platform", ADS, "--external-id", ACCOUNT];
    let more = ["--name", "Bakery Ads", FAR[0], FAR[1]];
    system.postroom(&[&add[..], &more[..]].concat(), r#"{"access_token":"sandbox-page-token"}"#).await
}

async fn asked_now(system: &System, account: &str) {
    let (status, job) = system.api(Method::POST, &format!("/api/v1/accounts/{account}/snapshot"), None).await;
    assert_eq!(status, 202, "{job}");
}

/// Waits until the ad account was read to its end so often.
async fn read(system: &System, times: i64) {
    let often =
        "SELECT coalesce(max(m.captures), 0)::bigint FROM metric_plan m JOIN account a ON a.id = m.account_id
                 WHERE a.external_id = $1";
    eventually(&format!("{times} readings"), || async {
        let captures = system.database.count_of(often, ACCOUNT).await;
        let log = || system.workers.last().map(crate::harness::Process::log).unwrap_or_default();
        if captures >= times { Ok(()) } else { Err(format!("{captures}\n{}", log())) }
    })
    .await;
}

async fn ads(system: &System, account: &str, query: &str) -> Value {
    let (status, told) =
        system.api(Method::GET, &format!("/api/v1/accounts/{account}/ads?{query}"), None).await;
    assert_eq!(status, 200, "{told}");
    told
}

async fn days(system: &System, level: &str) -> i64 {
    let statement =
        "SELECT count(*) FROM ad_day d JOIN ad_object o ON o.number = d.object WHERE o.level = $1";
    system.database.count_of(statement, level).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ad_accounts_come_in_beside_pages_and_nothing_can_be_published_to_them() {
    // P-S2, P-S6
    let mut system = System::with_workers(1).await;
    let account = json!({ "id": ACCOUNT, "name": "Bakery Ads" });
    system.tell("settings", &json!({ "ad_accounts": [account] })).await;
    page(&system, "104000000000901", json!({})).await;
    {
        let staff = Person::admin(&system).await;
        let dialog = staff.begin(FACEBOOK).await;
        assert!(!dialog.contains("ads_read"), "no app is refused for what it may not ask for: {dialog}");
        let at = staff.goes(FACEBOOK, &["104000000000901"], &[]).await;
        let text = staff.rests(&at).await;
        assert!(text.contains("Page 104000000000901") && !text.contains("Bakery Ads"), "{text}");
    }
    system.environment.insert("POSTROOM__NETWORKS__META_ADS__ASK_FOR_ACCESS".into(), "true".into());
    system.web.take().unwrap().kill9().await;
    system.start_web().await;
    let staff = Person::admin(&system).await;
    let declined = staff.goes(FACEBOOK, &["104000000000901"], &["ads_read"]).await;
    let text = staff.rests(&declined).await;
    assert!(!text.contains(ACCOUNT), "who declines the permission is offered none: {text}");
    let at = staff.goes(FACEBOOK, &["104000000000901"], &[]).await;
    let text = staff.rests(&at).await;
    assert!(text.contains("Bakery Ads") && text.contains("nothing is published to it"), "{text}");
    let keys = [key(FACEBOOK, "104000000000901"), key(ADS, ACCOUNT)];
    staff.chooses(&at, &text, &[&keys[0], &keys[1]]).await;
    let done = staff.rests(&at).await;
    assert_eq!(done.matches(">Connected</p>").count(), 2, "{done}");

    let account = shown(&system, ACCOUNT).await.expect("it is connected");
    assert_eq!((&account["platform"], &account["state"]), (&json!(ADS), &json!("active")));
    let wish = json!({ "caption": "no post", "kind": "post", "targets": [{ "account_id": account["id"] }] });
    let (status, refused) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 422, "{refused}");
    assert!(refused["errors"].to_string().contains("kind_unsupported"), "{refused}");
    let form = staff.get("/posts/new").await;
    assert!(form.text.contains("Page 104000000000901") && !form.text.contains("Bakery Ads"), "{}", form.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn ads_are_read_level_by_level_and_page_by_page_and_once_more_changes_nothing() {
    // P-S6
    let system = system(2).await;
    let account = connected(&system).await;
    asked_now(&system, &account).await;
    read(&system, 1).await;
    let counts = [("account", 1), ("campaign", 2), ("adset", 2), ("ad", 4)];
    for (level, objects) in counts {
        assert_eq!(days(&system, level).await, objects * DAYS, "{level}");
    }
    let calls = system.control("calls?call=ads_insights").await;
    assert!(calls["data"].as_array().unwrap().len() > counts.len(), "more pages than levels: {calls}");
    let told = ads(&system, &account, "level=campaign&limit=200").await;
    let rows = told["data"].as_array().unwrap();
    assert_eq!(i64::try_from(rows.len()).unwrap(), 2 * DAYS);
    for row in rows {
        assert_eq!((&row["currency"], &row["attribution"]), (&json!("ILS"), &json!("7d_click_1d_view")));
        let spend = row["numbers"]["spend"].as_str().expect("a sum of money is a text");
        assert!(spend.split_once('.').is_some_and(|(_, cents)| cents.len() == 2), "{spend}");
        assert!(row["numbers"]["impressions"].is_string() && row["parent_id"] == "501", "{row}");
        assert!(row["numbers"]["cost_per_result"]["link_click"].is_string(), "{row}");
    }
    // page by page it is the same
    let mut query = "level=campaign&limit=30".to_owned();
    let mut seen = Vec::new();
    loop {
        let told = ads(&system, &account, &query).await;
        seen.extend(told["data"].as_array().unwrap().clone());
        let Some(cursor) = told["next_cursor"].as_str() else { break };
        query = format!("level=campaign&limit=30&cursor={cursor}");
    }
    assert_eq!(seen, *rows);
    let (status, _) =
        system.api(Method::GET, &format!("/api/v1/accounts/{account}/ads?level=post"), None).await;
    assert_eq!(status, 422);

    let before = system.database.count("SELECT count(*) FROM ad_day").await;
    asked_now(&system, &account).await;
    read(&system, 2).await;
    assert_eq!(system.database.count("SELECT count(*) FROM ad_day").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_read_again_keeps_what_was_said_and_adds_what_is_said_now() {
    let system = system(1).await;
    let account = connected(&system).await;
    asked_now(&system, &account).await;
    read(&system, 1).await;
    let first = ads(&system, &account, "limit=1").await["data"][0].clone();
    let before = system.database.count("SELECT count(*) FROM ad_day").await;
    let digest = "SELECT coalesce(sum(hashtext(d::text)::bigint), 0)::bigint FROM ad_day d
                  WHERE captured_at <= (SELECT min(captured_at) + interval '1 hour' FROM ad_day)";
    let said = system.database.count(digest).await;
    forward(&system, TimeDelta::days(1)).await;
    asked_now(&system, &account).await;
    read(&system, 2).await;
    let day = first["day"].as_str().unwrap();
    let now = ads(&system, &account, &format!("from={day}&to={day}")).await["data"][0].clone();
    assert_eq!((&first["revisions"], &now["revisions"]), (&json!(0), &json!(1)), "{now}");
    assert_eq!(first["numbers"]["spend"], now["numbers"]["spend"], "what was spent that day stands");
    assert_ne!(first["numbers"]["conversions"], now["numbers"]["conversions"], "a result came late: {now}");
    assert_eq!(system.database.count(digest).await, said, "nothing of what was said has changed");
    // the new day, and those for which results still came
    let after = system.database.count("SELECT count(*) FROM ad_day").await;
    assert!(after > before + 4 && after < before * 2, "{before} and {after}: what stands is not kept twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_retired_leaves_the_others_and_is_told_once() {
    let system = system(1).await;
    system.tell("settings", &json!({ "retired_metrics": ["cpm"] })).await;
    let account = connected(&system).await;
    for times in 1..3 {
        asked_now(&system, &account).await;
        read(&system, times).await;
    }
    let row = ads(&system, &account, "limit=1").await["data"][0].clone();
    assert!(row["numbers"]["spend"].is_string(), "{row}");
    assert!(row["numbers"].get("cost_per_thousand").is_none(), "it was not asked for: {row}");
    let told = "SELECT count(*) FROM notice WHERE topic = 'metric_refused' AND subject = $1";
    assert_eq!(system.database.count_of(told, "meta_ads/account/cpm").await, 1);
    assert_eq!(system.database.count("SELECT count(*) FROM metric_refusal").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_permission_operators_are_told_once_and_everything_else_goes_on() {
    let system = system(1).await;
    let account = connected(&system).await;
    system.tell("settings", &json!({ "declined_scopes": ["ads_read"] })).await;
    let told = "SELECT count(*) FROM notice WHERE topic = 'metrics_put_off' AND subject LIKE $1";
    for _ in 0..2 {
        asked_now(&system, &account).await;
        eventually("the notice, and the account put off", || async {
            let told = system.database.count_of(told, "meta_ads/%").await;
            let due = system
                .database
                .count_of(
                    "SELECT count(*) FROM metric_plan m JOIN account a ON a.id = m.account_id
                     WHERE a.external_id = $1 AND m.due_at <= ledger_now()",
                    ACCOUNT,
                )
                .await;
            if told == 1 && due == 0 { Ok(()) } else { Err(format!("{told} told, {due} due")) }
        })
        .await;
    }
    asked_now(&system, system.account(INSTAGRAM)).await;
    eventually("the numbers of another account", || async {
        let path = format!("/api/v1/accounts/{}/metrics", system.account(INSTAGRAM));
        let (_, told) = system.api(Method::GET, &path, None).await;
        if told["data"][0]["captured_at"].is_null() { Err(told.to_string()) } else { Ok(()) }
    })
    .await;
    assert_eq!(system.database.count("SELECT count(*) FROM ad_day").await, 0);
    let (_, shown) = system.api(Method::GET, "/api/v1/accounts?limit=200", None).await;
    let it = shown["data"].as_array().unwrap().iter().find(|it| it["id"] == json!(account)).unwrap();
    assert_eq!(it["state"], "active", "{it}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_that_is_broken_off_goes_on_and_what_was_read_is_there() {
    let system = system(2).await;
    let account = connected(&system).await;
    // after the first page three quarters of the app's limit are used, for a while
    let used = json!({ "x-app-usage": r#"{"call_count":80,"total_time":1,"total_cputime":1}"# });
    system.fault(json!({ "call": "ads_insights", "times": 1, "fault": { "headers": used } })).await;
    asked_now(&system, &account).await;
    read(&system, 1).await;
    assert_eq!(days(&system, "ad").await, 4 * DAYS);
    // one page a level, and two of ads
    let calls = system.control("calls?call=ads_insights").await;
    assert_eq!(
        calls["data"].as_array().unwrap().len(),
        5,
        "no page that was kept is asked for again: {calls}"
    );
    assert_eq!(system.database.count("SELECT count(*) FROM metric_plan WHERE resume IS NOT NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_ad_account_that_is_deleted_nothing_is_left() {
    // P-D8
    let system = system(1).await;
    let account = connected(&system).await;
    asked_now(&system, &account).await;
    read(&system, 1).await;
    let (status, asked) = system.api(Method::DELETE, &format!("/api/v1/accounts/{account}/data"), None).await;
    assert_eq!(status, 202, "{asked}");
    eventually("its ads to be gone", || async {
        let left = "SELECT (SELECT count(*) FROM ad_day) + (SELECT count(*) FROM ad_object)
                           + (SELECT count(*) FROM metric_plan m JOIN account a ON a.id = m.account_id
                              WHERE a.platform = 'meta_ads')";
        let left = system.database.count(left).await;
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;
}

/// The ledger's clock stands still, so many seconds from now.
async fn stands(door: &Door, seconds: u32) {
    let standing = format!(
        "DO $$ BEGIN EXECUTE format(
             'CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
              RETURN %L::timestamptz', now() + interval '{seconds} seconds'); END $$"
    );
    door.scratch.run(&standing).await;
}

/// What a campaign spent on one day.
fn spent(sum: &str, currency: &str, name: &str) -> AdDay {
    AdDay {
        level: Level::Campaign,
        remote_id: "23851".into(),
        name: Some(name.into()),
        parent_id: Some("501".into()),
        day: "2026-11-22".parse().unwrap(),
        currency: Some(currency.into()),
        attribution: Some("7d_click_1d_view".into()),
        numbers: vec![(by_id(133).unwrap(), AdNumber::One(Decimal::read(&json!(sum))))],
    }
}

#[tokio::test]
async fn what_is_said_of_a_day_is_added_where_it_is_otherwise_and_by_whoever_holds_the_claim_alone() {
    let door = Door::open().await;
    let account = door.account(ADS).await;
    let claim = held(&door, account).await;
    let plan = format!(
        "INSERT INTO metric_plan (workspace_id, account_id, object, since, due_at)
         VALUES ('{}', '{account}', 'account', ledger_now(), ledger_now())",
        door.workspace
    );
    door.scratch.run(&plan).await;
    let number = i32::try_from(door.scratch.number("SELECT number::bigint FROM metric_plan").await).unwrap();
    let worker = Ledger::open(&door.scratch.url, Role::Worker, 2).expect("an address");
    let day = Duration::from_hours(24);
    let plan = Plan {
        after_publishing: vec![day],
        then_every: day,
        until: 90 * day,
        stories: vec![day / 2],
        accounts_every: day,
    };
    let pace = Pace { plan, usage_most: 75, usage_rest: day, try_refused: day, ads_days: 28 };
    let snapshots = ClaimedSnapshots { ledger: &worker, claim, pace: &pace };
    let subject = Subject {
        number,
        object: Object::Account,
        remote_id: None,
        since: DateTime::UNIX_EPOCH,
        captures: 0,
        absent_since: None,
        captured_at: None,
        resume: None,
    };
    let said = [
        ("4.56", "ILS", "Autumn", 1),
        ("4.56", "ILS", "Autumn", 0),
        ("5.10", "ILS", "Autumn", 1),
        ("5.10", "ILS", "Winter", 0),
        ("5.10", "USD", "Winter", 1),
    ];
    for (n, (sum, currency, name, added)) in said.into_iter().enumerate() {
        stands(&door, 60 * u32::try_from(n).unwrap()).await;
        let days = [spent(sum, currency, name)];
        let taken = AdsTaken { subject: &subject, days: &days, then: Onward::Resume("on".into()) };
        assert_eq!(snapshots.take_ads(&taken).await.expect("kept"), added, "{sum} {currency} {name}");
    }
    let told = door.get(&format!("/api/v1/accounts/{account}/ads?level=campaign")).await.json();
    let row = &told["data"][0];
    assert_eq!((told["data"].as_array().map(Vec::len), &row["revisions"]), (Some(1), &json!(2)), "{told}");
    assert_eq!((&row["numbers"]["spend"], &row["currency"]), (&json!("5.10"), &json!("USD")));
    assert_eq!((&row["name"], &row["parent_id"]), (&json!("Winter"), &json!("501")));
    let first = "SELECT count(*) FROM ad_day WHERE currency = 'ILS' AND numbers ->> 'spend' = '4.56'";
    assert_eq!(door.scratch.number(first).await, 1, "what was said first stands as it was said");
    assert_eq!(door.scratch.number("SELECT count(*) FROM metric_plan WHERE resume = 'on'").await, 1);
    let done = Onward::Done(Next::At(DateTime::UNIX_EPOCH));
    let taken = AdsTaken { subject: &subject, days: &[], then: done };
    assert_eq!(snapshots.take_ads(&taken).await.expect("kept"), 0);
    let over =
        "SELECT count(*) FROM metric_plan WHERE resume IS NULL AND captures = 1 AND captured_at IS NOT NULL";
    assert_eq!(door.scratch.number(over).await, 1);
    let overtaken = ClaimedSnapshots { claim: Claim { epoch: 2, ..claim }, ..snapshots };
    assert!(matches!(overtaken.take_ads(&taken).await, Err(JobError::Fenced)));
}

/// What a campaign, by its id and its name, came to so many days ago.
async fn came_to(door: &Door, account: Uuid, (id, name): (&str, &str), ago: i32, numbers: Value) {
    sqlx::query(
        "WITH o AS (
             INSERT INTO ad_object (workspace_id, account_id, level, remote_id, name)
             SELECT workspace_id, id, 'campaign', $2, $3 FROM account WHERE id = $1
             ON CONFLICT (account_id, level, remote_id) DO UPDATE SET seen_at = ledger_now()
             RETURNING number)
         INSERT INTO ad_day (captured_at, object, day, currency, attribution, numbers)
         SELECT ledger_now(), number, (ledger_now() AT TIME ZONE 'UTC')::date - $4::integer, 'ILS', '7d_click_1d_view', $5
         FROM o",
    )
    .bind(account)
    .bind(id)
    .bind(name)
    .bind(ago)
    .bind(numbers)
    .execute(&mut door.scratch.connection().await)
    .await
    .expect("a day");
}

#[tokio::test]
async fn campaigns_stand_side_by_side_with_what_they_spent_and_one_of_them_day_by_day() {
    // P-S6, P-S9
    let door = Door::open().await;
    let account = door.account(ADS).await;
    let (autumn, winter) = (("23851", "Autumn sale"), ("23852", "Winter sale"));
    let first = json!({
        "impressions": "1000", "clicks": "20", "spend": "10.10",
        "results": { "purchase": "2" }, "roas": { "purchase": "3" },
    });
    let second = json!({
        "impressions": "500", "clicks": null, "spend": "20.20", "results": { "purchase": "4" }, "roas": {},
    });
    came_to(&door, account, autumn, 1, first).await;
    came_to(&door, account, autumn, 2, second).await;
    came_to(&door, account, winter, 2, json!({ "spend": "99.00", "clicks": null })).await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    assert!(browser.get("/accounts").await.text.contains(&format!("/accounts/{account}/ads")));

    let page = browser.get(&format!("/accounts/{account}/ads")).await;
    assert_eq!(page.status.as_u16(), 200, "{}", page.text);
    for words in [
        "1,500",
        "30.30 ILS",
        "purchase: 6, 5.05 ILS for each",
        "purchase: 1.00 times",
        "7d_click_1d_view",
        "99.00 ILS",
        "<span class=\"figure\">–</span>",
    ] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let at = |name: &str| page.text.find(name).expect(name);
    assert!(at(winter.1) < at(autumn.1), "what was spent on most comes first");
    assert_eq!(page.text.matches("<svg class=\"spark\"").count(), 2, "{}", page.text);
    assert!(!page.text.contains("style="), "the policy allows no styles in the page");

    let one = browser.get(&format!("/accounts/{account}/ads?object={}", autumn.0)).await;
    assert_eq!(one.text.matches("<svg class=\"chart\"").count(), 3, "{}", one.text);
    for words in ["<td>10.10</td>", "<td>20.20</td>", "<td>purchase: 2</td>", "<td>–</td>"] {
        assert!(one.text.contains(words), "{words}: {}", one.text);
    }
    assert!(!one.text.contains(winter.1), "{}", one.text);

    let file = browser.get(&format!("/accounts/{account}/ads/file?as=csv")).await;
    for end in [",ILS,7d_click_1d_view,roas,purchase,3", ",ILS,7d_click_1d_view,clicks,,"] {
        assert!(file.text.lines().any(|line| line.ends_with(end)), "{end}: {}", file.text);
    }
    let file = browser.get(&format!("/accounts/{account}/ads/file?as=json")).await;
    assert_eq!(file.json()["data"].as_array().map(Vec::len), Some(3), "{}", file.text);
    let none = browser.get(&format!("/accounts/{account}/ads?level=ad")).await;
    assert!(none.text.contains("told of no ads"), "{}", none.text);
}
