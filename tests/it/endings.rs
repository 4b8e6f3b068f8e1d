//! Connections that end: administrators are told by mail, once for each end, and not once for each post.

use serde_json::{Value, json};

use crate::harness::{FACEBOOK, INSTAGRAM, System, TIKTOK, eventually};

/// What somebody was told, the first letter first.
async fn told(system: &System, to: &str) -> Vec<String> {
    let mail = system.control("mail").await;
    let theirs = mail["data"].as_array().unwrap().iter().filter(|it| it["to"][0] == to);
    theirs.map(|it| it["body"].as_str().unwrap().to_owned()).collect()
}

async fn set(system: &System, platform: &str, what: &str) {
    let change = format!("UPDATE account SET {what} WHERE id = '{}'", system.account(platform));
    sqlx::query(sqlx::AssertSqlSafe(change)).execute(&system.database.pool).await.unwrap();
}

async fn letters(system: &System, count: usize) -> Vec<String> {
    eventually("the letters", || async {
        let told = told(system, "staff@example.com").await;
        if told.len() == count { Ok(told) } else { Err(format!("{told:?} {}", system.workers[0].log())) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_are_told_once_of_each_end_with_what_it_breaks() {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__LOOKOUT__TELL_EVERY".into(), "100ms".into());
    let author =
        ["user", "add", "--email", "author@example.com", "--first", "A", "--last", "B", "--role", "author"];
    system.postroom(&[&author[..], &["--workspace", "Bakery"]].concat(), "a long password").await;
    let now = system.database.now().await;
    for days in [1, 4, 5] {
        let mut wish = system.wish(&format!("in {days} days"), &[FACEBOOK], &[]);
        wish["schedule"] = json!({ "at": (now + chrono::TimeDelta::days(days)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true) });
        let (status, answer) = system.api(reqwest::Method::POST, "/api/v1/posts", Some(&wish)).await;
        assert_eq!(status, 202, "{answer}");
    }
    let ends = "renewable = false, token_expires_at = ledger_now() + interval '3 days'";
    set(&system, FACEBOOK, ends).await;
    system.start_worker(&[]);
    let first = &letters(&system, 1).await[0];
    assert!(
        first.contains("its access ends on") && first.contains("2 scheduled posts do not go out"),
        "{first}"
    );
    assert!(first.contains("In Bakery:") && first.contains("/accounts"), "{first}");
    assert_eq!(first.matches("\n- ").count(), 1, "one account ends: {first}");
    // of an account that is being deleted nobody is told any more, whatever else is told of
    set(&system, INSTAGRAM, &format!("state = 'frozen', frozen_at = ledger_now(), {ends}")).await;
    // the next end is told of by itself: what was told is not told again
    set(&system, TIKTOK, "state = 'reconnect', state_reason = 'x'").await;
    let second = &letters(&system, 2).await[1];
    assert!(second.contains("does not take its access any more") && !second.contains("ends on"), "{second}");
    assert_eq!(second.matches("\n- ").count(), 1, "and of nothing else: {second}");
    set(&system, INSTAGRAM, "state = 'active', frozen_at = NULL, token_expires_at = NULL").await;
    // what is well again is forgotten, and told of when it ends anew
    set(&system, FACEBOOK, "token_expires_at = ledger_now() + interval '300 days'").await;
    eventually("it to be forgotten", || async {
        let kept = system.database.count("SELECT count(*) FROM ending_told").await;
        if kept == 1 { Ok(()) } else { Err(kept.to_string()) }
    })
    .await;
    set(&system, FACEBOOK, ends).await;
    letters(&system, 3).await;
    assert_eq!(told(&system, "author@example.com").await, Vec::<String>::new(), "who may mend it is told");
    let (_, accounts) = system.api(reqwest::Method::GET, "/api/v1/accounts", None).await;
    let ends = accounts["data"].as_array().unwrap().iter().filter(|it| it["ends"] != Value::Null);
    assert_eq!(ends.count(), 2, "the page says the same: {accounts}");
}
