//! The dashboard: accounts side by side with what they came to, gaps that stay gaps, and the same as files.

use axum::http::{StatusCode, header};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::metrics::packed::{Told, pack, whole};
use postroom::ledger::people::MemberRole;
use serde_json::json;
use uuid::Uuid;

use crate::{
    console::Browser,
    numbers::{followed, months, said},
    support::Door,
};

/// Of an account on Instagram: reach and interactions of a day, and followers.
pub const REACH: u16 = 90;
pub const ENGAGED: u16 = 94;
pub const FOLLOWERS: u16 = 102;
/// What people did about a picture there.
pub const INTERACTIONS: u16 = 46;

/// The plan of an account itself, by its number.
pub async fn plan_of(door: &Door, account: Uuid) -> i32 {
    sqlx::query_scalar(
        "INSERT INTO metric_plan (workspace_id, account_id, object, since, due_at)
         SELECT workspace_id, id, 'account', ledger_now(), ledger_now() + '1 hour' FROM account WHERE id = $1
         RETURNING number",
    )
    .bind(account)
    .fetch_one(&mut door.scratch.connection().await)
    .await
    .expect("a plan")
}

/// When today began.
pub async fn midnight(door: &Door) -> DateTime<Utc> {
    sqlx::query_scalar("SELECT date_trunc('day', ledger_now(), 'UTC')")
        .fetch_one(&mut door.scratch.connection().await)
        .await
        .expect("a time")
}

async fn keep(door: &Door, number: i32, at: DateTime<Utc>, told: &[Told]) {
    sqlx::query("INSERT INTO snapshot (captured_at, object, points) VALUES ($1, $2, $3)")
        .bind(at)
        .bind(number)
        .bind(pack(told))
        .execute(&mut door.scratch.connection().await)
        .await
        .expect("a snapshot");
}

/// What a network said of the day so many days ago, an hour after it.
pub async fn day(door: &Door, number: i32, ago: i64, told: &[(u16, Option<i64>)]) {
    let end = midnight(door).await - TimeDelta::days(ago - 1);
    let told: Vec<Told> = told.iter().map(|(metric, value)| (Some(end), *metric, *value)).collect();
    keep(door, number, end + TimeDelta::hours(1), &told).await;
}

/// What it said of all time at noon so many days ago.
pub async fn noon(door: &Door, number: i32, ago: i64, told: &[(u16, Option<i64>)]) {
    let at = midnight(door).await - TimeDelta::days(ago) + TimeDelta::hours(12);
    let told: Vec<Told> = told.iter().map(|(metric, value)| whole(*metric, *value)).collect();
    keep(door, number, at, &told).await;
}

/// A fortnight of an account on Instagram: twice as many reached in the second week, of which a day is missing.
pub async fn fortnight(door: &Door, account: Uuid) {
    let number = plan_of(door, account).await;
    for ago in 1..=14 {
        let reach = match ago {
            3 => None,
            1..=7 => Some(100),
            _ => Some(50),
        };
        day(door, number, ago, &[(REACH, reach), (ENGAGED, Some(7))]).await;
    }
    noon(door, number, 8, &[(FOLLOWERS, Some(1_000))]).await;
    noon(door, number, 1, &[(FOLLOWERS, Some(1_100))]).await;
}

/// Posts of an account that did better or worse.
async fn posts(door: &Door, account: Uuid) {
    for (caption, days, interactions) in [("the cake", 2, 30), ("the crumbs", 3, 5)] {
        let (_, number) = followed(door, account, caption, days).await;
        said(door, number, 1, &[(INTERACTIONS, Some(interactions))]).await;
    }
}

#[tokio::test]
async fn accounts_stand_side_by_side_with_what_they_came_to_and_against_the_span_before() {
    // P-S9
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    door.account("tiktok").await;
    let ads = door.account("meta_ads").await;
    fortnight(&door, account).await;
    posts(&door, account).await;
    let florist = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let theirs = door.account_of(florist, "instagram_business", &json!({})).await;
    door.scratch.run(&format!("UPDATE account SET name = 'Tulips' WHERE id = '{theirs}'")).await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let page = browser.get("/dashboard?days=7").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for told in
        ["600", "+100.0%", "Told of 6 of 7 days", "1,100", "+100", "+10.0%", "This network does not tell it"]
    {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    assert!(page.text.contains("class=\"spark\"") && page.text.contains("days missing: 1"), "{}", page.text);
    let (best, worst) = (page.text.find("id=\"best\""), page.text.find("id=\"worst\""));
    let (cake, crumbs) = (page.text.find("the cake"), page.text.find("the crumbs"));
    assert!(best < cake && cake < worst && worst < crumbs, "{best:?} {cake:?} {worst:?} {crumbs:?}");
    assert!(!page.text.contains("Tulips"), "nobody else's");
    assert!(!page.text.contains("Bakery on meta_ads"), "what is told of ads is told by itself");
    let beside = browser.get(&format!("/dashboard/compare?account={ads}")).await;
    assert_eq!(beside.status, StatusCode::NOT_FOUND, "{}", beside.text);
    assert!(!page.text.contains("style="), "the policy allows no styles in the page");
    assert!(page.text.contains("href=\"/dashboard\" aria-current=\"page\""), "{}", page.text);
    for wrong in ["days=9", "sort=colour", "from=2026-11-02&amp;to=2026-11-01", "more=1"] {
        let refused = browser.get(&format!("/dashboard?{}", wrong.replace("&amp;", "&"))).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
}

#[tokio::test]
async fn a_column_sorts_the_accounts_and_what_was_not_told_comes_last() {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    fortnight(&door, account).await;
    door.account("tiktok").await;
    door.account("facebook_page").await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    for (query, expected) in [
        ("", ["facebook_page", "instagram_business", "tiktok"]),
        ("&order=desc", ["tiktok", "instagram_business", "facebook_page"]),
        ("&sort=reach", ["instagram_business", "facebook_page", "tiktok"]),
        ("&sort=reach&order=asc", ["instagram_business", "facebook_page", "tiktok"]),
    ] {
        let page = browser.get(&format!("/dashboard?days=7{query}")).await;
        let places: Vec<_> =
            expected.iter().map(|name| page.text.find(&format!("<bdi>Bakery on {name}</bdi>"))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{query}: {places:?}");
    }
    let page = browser.get("/dashboard?days=7&sort=reach").await;
    assert!(page.text.contains("aria-sort=\"descending\""), "{}", page.text);
    assert!(page.text.contains("sort=reach&#38;order=asc"), "it leads to the other way: {}", page.text);
}

#[tokio::test]
async fn a_span_of_which_nothing_was_told_is_all_gaps_and_no_noughts() {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    fortnight(&door, account).await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let address = "from=2024-01-01&to=2024-01-07";
    let page = browser.get(&format!("/dashboard?{address}")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("Told of 0 of 7 days") && page.text.contains(">–<"), "{}", page.text);
    let told = browser.get(&format!("/dashboard/file?{address}&as=json")).await.json();
    let first = &told["accounts"][0];
    assert_eq!((&first["followers"]["last"], &first["reach"]["now"]["sum"]), (&json!(null), &json!(null)));
    assert_eq!(first["reach"]["daily"], json!([null, null, null, null, null, null, null]));
    // that nothing came out is known
    assert_eq!(first["posts"]["now"], json!({ "sum": 0, "days_told": 7, "days": 7 }));
}

#[tokio::test]
async fn the_dashboard_as_a_file_says_the_same_and_no_cell_of_it_is_a_formula() {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    fortnight(&door, account).await;
    posts(&door, account).await;
    door.scratch.run("UPDATE account SET name = '=HYPERLINK(\"x\")'").await;
    door.scratch.run("UPDATE post SET caption = '@cake, \"fresh\"' WHERE caption = 'the cake'").await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let file = browser.get("/dashboard/file?days=7&as=csv").await;
    assert!(file.header(header::CONTENT_TYPE.as_str()).starts_with("text/csv"));
    let name = "\"'=HYPERLINK(\"\"x\"\")\"";
    let line = |rest: &str| format!("account,{name},instagram_business,,,{rest}\r\n");
    for told in [
        line("reach,600,6,7,350,7,1000"),
        line("engagement,49,7,7,49,7,0"),
        line("growth,100,1,7,,,100"),
        line("posts,2,7,7,0,7,"),
    ] {
        assert!(file.text.contains(&told), "{told}{}", file.text);
    }
    assert!(
        file.text.contains(&format!("best,{name},instagram_business,\"'@cake, \"\"fresh\"\"\",")),
        "{}",
        file.text
    );
    let told = browser.get("/dashboard/file?days=7&as=json").await.json();
    let daily = &told["accounts"][0]["reach"]["daily"];
    assert_eq!(daily, &json!([100, 100, 100, 100, null, 100, 100]));
    assert_eq!(told["accounts"][0]["reach"]["change_percent"], json!(100.0));
    assert_eq!(told["best"][0]["numbers"]["engagement"], json!(30));
    assert_eq!(told["worst"][0]["numbers"]["views"], json!(null));
}

/// The rows of the table of a comparison: what each begins with, and its cells.
fn rows(page: &str) -> Vec<(String, Vec<String>)> {
    let body = page.split("<tbody>").nth(1).and_then(|rest| rest.split("</tbody>").next()).expect("a table");
    let inside = |text: &str, tag: &str| -> Vec<String> {
        let begin = format!("<{tag}");
        let cells = text.split(&begin).skip(1);
        let cells = cells.filter_map(|cell| cell.split_once('>')?.1.split('<').next());
        cells.map(str::to_owned).collect()
    };
    let rows = body.split("<tr>").skip(1);
    rows.map(|row| (inside(row, "th").remove(0), inside(row, "td"))).collect()
}

#[tokio::test]
async fn an_account_is_compared_with_itself_before_and_with_others_and_told_apart_without_colour() {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    let other = door.account("facebook_page").await;
    fortnight(&door, account).await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let path = format!("/dashboard/compare?account={account}&days=7&metric=reach");
    let page = browser.get(&format!("{path}&against=before")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let told = rows(&page.text);
    let cells = |place: usize| told[place].1.iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!((told.len(), told[0].0.as_str()), (7, "Day 1"));
    assert_eq!((cells(0), cells(4)), (vec!["100", "50"], vec!["–", "50"]));
    let foot = page.text.split("<tfoot>").nth(1).expect("a foot");
    assert!(foot.contains("<td>600</td><td>350</td>"), "{foot}");
    assert!(page.text.contains("Told of 6 of 7 days"), "{}", page.text);
    // in the legend, in the table's head and in the drawing each line has marks of its own
    for which in 0..2 {
        assert!(page.text.matches(&format!("strand-{which}\"")).count() >= 3, "{}", page.text);
        assert!(page.text.matches(&format!("mark-{which}\"")).count() >= 9, "{}", page.text);
    }
    assert!(!page.text.contains("style="), "the policy allows no styles in the page");
    let beside = browser.get(&format!("{path}&account={other}")).await;
    let told = rows(&beside.text);
    assert!(told.iter().all(|(_, cells)| cells.len() == 2 && cells.contains(&"–".to_owned())), "{told:?}");
    let posts = browser.get(&format!("/dashboard/compare?account={other}&days=7&metric=posts")).await;
    assert!(rows(&posts.text).iter().all(|(_, cells)| cells == &["0"]), "that nothing came out is known");
}

#[tokio::test]
async fn posts_are_compared_by_their_age_and_what_they_have_not_come_to_yet_is_no_gap() {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    let (old, of_old) = followed(&door, account, "five days old", 5).await;
    let (young, of_young) = followed(&door, account, "two days old", 2).await;
    for (number, hours, views) in [(of_old, 5 * 24 - 2, 10), (of_old, 3 * 24, 40), (of_young, 2 * 24 - 2, 7)]
    {
        said(&door, number, hours, &[(40, Some(views))]).await;
    }
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let path = format!("/dashboard/compare?publication={old}&publication={young}&metric=views");
    let page = browser.get(&path).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let told = rows(&page.text);
    let of = |age: &str| told.iter().find(|(name, _)| name == age).expect("an age").1.clone();
    assert_eq!((of("1 hour"), of("2 days")), (vec!["10".into(), "7".into()], vec!["40".into(), "–".into()]));
    assert_eq!(
        (of("3 days"), of("7 days")),
        (vec!["–".into(), String::new()], vec![String::new(), String::new()])
    );
    assert!(page.text.contains("checked> <bdi>five days old"), "{}", page.text);
}

#[tokio::test]
async fn what_is_another_workspaces_or_too_much_is_not_compared() {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    let florist = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let theirs = door.account_of(florist, "instagram_business", &json!({})).await;
    let (post, _) = followed(&door, theirs, "tulips", 2).await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let five: Vec<String> = (0..5).map(|_| format!("account={}", Uuid::now_v7())).collect();
    for (query, status) in [
        (format!("account={theirs}"), StatusCode::NOT_FOUND),
        (format!("account={account}&account={theirs}"), StatusCode::NOT_FOUND),
        (format!("publication={post}"), StatusCode::NOT_FOUND),
        ("account=nobody".to_owned(), StatusCode::NOT_FOUND),
        (five.join("&"), StatusCode::UNPROCESSABLE_ENTITY),
        (format!("{}&against=before", five[..3].join("&")), StatusCode::UNPROCESSABLE_ENTITY),
        (format!("account={account}&publication={post}"), StatusCode::UNPROCESSABLE_ENTITY),
        (format!("account={account}&metric=likes"), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let answer = browser.get(&format!("/dashboard/compare?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text);
        assert!(!answer.text.contains("tulips"), "{query}");
    }
}

/// A post that came out at nine so many days ago, and its views a day later.
async fn at_nine(door: &Door, account: Uuid, days: i32, views: Option<i64>) {
    let (post, number) = followed(door, account, "at nine", days).await;
    let nine = format!(
        "UPDATE publication SET published_at = date_trunc('day', published_at, 'UTC') + interval '9 hours'
         WHERE id = '{post}'"
    );
    door.scratch.run(&nine).await;
    sqlx::query(
        "INSERT INTO snapshot (captured_at, object, points)
         SELECT published_at + x.age, $2, x.points
         FROM publication, (VALUES (interval '6 hours', $3::bytea), (interval '24 hours 5 minutes', $4::bytea)) AS x (age, points)
         WHERE id = $1",
    )
    .bind(post)
    .bind(number)
    .bind(pack(&[whole(40, Some(1))]))
    .bind(pack(&[whole(40, views)]))
    .execute(&mut door.scratch.connection().await)
    .await
    .expect("snapshots");
}

#[tokio::test]
async fn best_times_are_told_with_how_many_posts_there_were_and_of_few_nothing_is_claimed() {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    door.scratch.run(&months(4)).await;
    for (week, views) in (1..).zip([10, 50, 30, 9_000, 20]) {
        at_nine(&door, account, 7 * week + 2, Some(views)).await;
    }
    for week in 1..5 {
        at_nine(&door, account, 7 * week + 3, Some(77_777)).await;
    }
    at_nine(&door, account, 5, None).await;
    door.scratch.run("UPDATE post SET time_zone = 'Asia/Jerusalem'").await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let path = format!("/dashboard/times?account={account}&by=views");
    let page = browser.get(&format!("{path}&zone=UTC")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("<span class=\"strong\">30</span>"), "the middle one: {}", page.text);
    assert!(page.text.contains(">5 posts<") && page.text.contains(">4 posts<"), "{}", page.text);
    assert!(!page.text.contains("77,777"), "of four nothing is claimed");
    assert!(page.text.contains("Left out because nothing was told of them in time: 1."), "{}", page.text);
    let nine =
        page.text.split("09:00</th>").nth(1).and_then(|rest| rest.split("</tr>").next()).expect("a row");
    assert!(nine.contains("5 posts") && nine.contains("quarter 1 of 4"), "{nine}");
    // by the zone that its posts are scheduled in
    let own = browser.get(&path).await;
    assert!(own.text.contains("in hours of Asia/Jerusalem"), "{}", own.text);
    let engaged = browser.get(&format!("/dashboard/times?account={account}")).await;
    assert!(engaged.text.contains("Nowhere in the week"), "nobody was told of engagement: {}", engaged.text);
    let florist = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let theirs = door.account_of(florist, "instagram_business", &json!({})).await;
    for (query, status) in [
        (format!("account={theirs}"), StatusCode::NOT_FOUND),
        ("zone=Mars%2FOlympus".to_owned(), StatusCode::UNPROCESSABLE_ENTITY),
        ("by=colour".to_owned(), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let answer = browser.get(&format!("/dashboard/times?{query}")).await;
        assert_eq!(answer.status, status, "{query}");
    }
}
