//! The numbers of a workspace side by side, compared, by the hours of the week, and as a client sees them.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use jobs::metrics::packed::pack;

use super::Person;
use crate::harness::{FACEBOOK, System, eventually};

/// Reach, interactions and followers of a Page, day by day.
const COUNTED: [u16; 3] = [21, 22, 23];

/// Four weeks that a network has told of a Page, but for two days.
async fn four_weeks(system: &System) {
    let today = system.database.now().await.date_naive().and_time(NaiveTime::MIN).and_utc();
    let (mut at, mut points): (Vec<DateTime<Utc>>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    for ago in (0..28_i64).filter(|ago| ![4, 5].contains(ago)) {
        let end = today - TimeDelta::days(ago);
        let value = |nth: usize| [300 - ago * 7, 40 + ago % 5, 2_000 - ago * 3][nth];
        let told = COUNTED.iter().enumerate().map(|(nth, metric)| (Some(end), *metric, Some(value(nth))));
        at.push(end + TimeDelta::hours(1));
        points.push(pack(&told.collect::<Vec<_>>()));
    }
    let plan = "INSERT INTO metric_plan (workspace_id, account_id, object, since, due_at)
                SELECT workspace_id, id, 'account', ledger_now(), ledger_now() + interval '1 day' FROM account
                WHERE id = $1::uuid RETURNING number";
    let number: i32 = sqlx::query_scalar(plan)
        .bind(system.account(FACEBOOK))
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    let kept = "INSERT INTO snapshot (captured_at, object, points)
                SELECT x.at, $1, x.points FROM unnest($2::timestamptz[], $3::bytea[]) AS x (at, points)";
    sqlx::query(kept).bind(number).bind(at).bind(points).execute(&system.database.pool).await.unwrap();
}

/// Four weeks that a network has told of two campaigns, but for two days: the ad account's id.
async fn four_weeks_of_ads(system: &System) -> String {
    let told = "WITH a AS (
                    INSERT INTO account (id, workspace_id, platform, external_id, name)
                    SELECT gen_random_uuid(), w.id, 'meta_ads', 'act_501', 'Bakery Ads' FROM workspace w
                    WHERE w.name = 'Bakery' RETURNING id, workspace_id),
                o AS (
                    INSERT INTO ad_object (workspace_id, account_id, level, remote_id, name)
                    SELECT a.workspace_id, a.id, 'campaign', x.id, x.name
                    FROM a CROSS JOIN (VALUES ('23851', 'Autumn sale'), ('23852', 'פתיחה')) AS x (id, name)
                    RETURNING number),
                d AS (
                    INSERT INTO ad_day (captured_at, object, day, currency, attribution, numbers)
                    SELECT ledger_now(), o.number, (ledger_now() AT TIME ZONE 'UTC')::date - n, 'ILS', '7d_click_1d_view',
                           jsonb_build_object(
                               'impressions', (900 + n * 7)::text, 'clicks', (20 + n % 5)::text,
                               'spend', (30 + n % 7)::text || '.50',
                               'results', jsonb_build_object('purchase', (1 + n % 3)::text),
                               'roas', jsonb_build_object('purchase', '2.10'))
                    FROM o CROSS JOIN generate_series(1, 28) AS n WHERE n NOT IN (4, 5))
                SELECT id::text FROM a";
    sqlx::query_scalar(told).fetch_one(&system.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_looks_at_campaigns_side_by_side_and_at_one_of_them() {
    // P-S6, P-S9
    let system = System::start().await;
    let account = four_weeks_of_ads(&system).await;
    let person = Person::at(&system.url("/")).await;
    person.sign_in().await;
    person.go(&system.url(&format!("/accounts/{account}/ads"))).await;
    assert!(person.text().await.contains("ILS for each"), "{}", person.text().await);
    person.look("ads").await;
    person.go(&system.url(&format!("/accounts/{account}/ads?object=23851"))).await;
    assert!(person.text().await.contains("Autumn sale"), "{}", person.text().await);
    person.look("campaign").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_looks_at_the_numbers_side_by_side_and_shares_them_with_a_client() {
    // P-S9
    let system = System::start().await;
    four_weeks(&system).await;
    let person = Person::at(&system.url("/")).await;
    person.sign_in().await;
    person.go(&system.url("/dashboard?days=7")).await;
    assert!(person.text().await.contains("Told of 5 of 7 days"), "{}", person.text().await);
    person.look("dashboard").await;
    let account = system.account(FACEBOOK);
    person.go(&system.url(&format!("/dashboard/compare?account={account}&days=7&against=before"))).await;
    assert!(person.text().await.contains("Reach compared"), "{}", person.text().await);
    person.look("compare").await;
    person.go(&system.url("/dashboard/times")).await;
    person.look("times").await;
    person.go(&system.url("/reports")).await;
    person.write("#title", "סתיו במאפייה").await;
    person.tick(&format!("input[name=account][value='{account}']")).await;
    person.set("#days", "7").await;
    person.set("#language", "he").await;
    person.send("form[action='/reports'] button", "#made").await;
    person.look("reports").await;
    let link = person.part("#made").await.inner_text().await.unwrap().expect("an address");
    let client = Person::at(&link).await;
    assert!(client.text().await.contains("נמסרו 5 מתוך 7 ימים"), "{}", client.text().await);
    assert_eq!(client.ask("document.documentElement.dir + document.cookie").await, "rtl");
    client.look("report-rtl").await;
    client.go(&format!("{link}?lang=en")).await;
    client.look("report").await;
    person.send("form[action$='/take-back'] button", "main").await;
    eventually("it to be taken back", || async {
        let text = person.text().await;
        if text.contains("Taken back") { Ok(()) } else { Err(text) }
    })
    .await;
    client.go(&link).await;
    assert!(client.text().await.contains("This report is not here"), "{}", client.text().await);
    client.look("report-gone").await;
}
