//! Reports for clients: what a link shows and what it does not, how it ends, and that it goes with what it is about.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use postroom::ledger::{Ledger, Role, people::MemberRole, register};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{
    console::Browser,
    dashboard::{INTERACTIONS, fortnight},
    numbers::{followed, said},
    support::{Answer, Door, retain},
};

/// Looks at a page as somebody of whom nothing is known.
async fn look(door: &Door, path: &str) -> Answer {
    door.send(Request::get(path).body(Body::empty()).expect("a request")).await
}

/// Makes a link to some accounts for these days; gives its path.
async fn shared(browser: &mut Browser<'_>, accounts: &[Uuid], fields: &[(&str, &str)]) -> String {
    let token = browser.token.clone();
    let ids: Vec<String> = accounts.iter().map(Uuid::to_string).collect();
    let mut all = vec![("token", token.as_str()), ("title", "Autumn at the Bakery"), ("lasts", "30")];
    all.extend(ids.iter().map(|id| ("account", id.as_str())));
    all.extend(fields);
    let made = browser.form("/reports", &all).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    let link = made.text.split("<code id=\"made\">").nth(1).and_then(|rest| rest.split('<').next());
    let path = link.expect("a link").trim_start_matches("http://localhost:3000").to_owned();
    assert!(path.starts_with("/report/") && path.len() >= "/report/".len() + 22, "128 bits: {path}");
    path
}

const WEEK: [(&str, &str); 2] = [("days", "7"), ("language", "en")];

/// A door with an account on Instagram of which a fortnight is known, and an administrator.
async fn bakery() -> (Door, Uuid) {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    fortnight(&door, account).await;
    let (_, number) = followed(&door, account, "the <cake>", 2).await;
    said(&door, number, 1, &[(INTERACTIONS, Some(30))]).await;
    door.person("noa@example.org", MemberRole::Admin).await;
    (door, account)
}

#[tokio::test]
async fn a_client_sees_by_a_link_what_it_covers_and_nothing_else() {
    // P-S9 P-A5 P-A7
    let (door, account) = bakery().await;
    let hidden = door.account("tiktok").await;
    door.scratch.run(&format!("UPDATE account SET name = 'Hidden' WHERE id = '{hidden}'")).await;
    let (elsewhere, _) = followed(&door, hidden, "not for them", 2).await;
    let page_of_theirs = door.account("facebook_page").await;
    let draft = json!({
        "caption": "a draft", "link": "https://example.org/", "targets": [{ "account_id": page_of_theirs }],
        "schedule": { "at": "2027-06-01T09:00:00Z" },
    });
    assert_eq!(door.post(&draft).await.status, StatusCode::ACCEPTED);
    let mut browser = Browser::signed_in(&door, "noa@example.org").await;
    let path = shared(&mut browser, &[account], &WEEK).await;
    let page = look(&door, &path).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for told in [
        "Autumn at the Bakery",
        "600",
        "+100.0%",
        "Told of 6 of 7 days",
        "1,100",
        "the &#60;cake&#62;",
        "class=\"spark\"",
    ] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    let ids: Vec<String> = sqlx::query_scalar(
        "SELECT id::text FROM account UNION SELECT id::text FROM publication UNION SELECT id::text FROM workspace
         UNION SELECT id::text FROM person UNION SELECT id::text FROM report UNION SELECT external_id FROM account",
    )
    .fetch_all(&mut door.scratch.connection().await)
    .await
    .expect("ids");
    assert!(ids.len() > 6 && ids.contains(&elsewhere.to_string()));
    let others =
        ["Hidden", "not for them", "a draft", "Noa", "Levi", "example.org", "<script", "<form", "style=\""];
    for secret in ids.iter().map(String::as_str).chain(others) {
        assert!(!page.text.contains(secret), "{secret} is shown: {}", page.text);
    }
    assert!(page.header("x-robots-tag").contains("noindex"));
    assert!(page.text.contains("<meta name=\"robots\" content=\"noindex\">"), "{}", page.text);
    assert_eq!((page.header("referrer-policy"), page.header("cache-control")), ("no-referrer", "no-store"));
    assert!(!page.headers.contains_key("set-cookie"), "{:?}", page.headers);
    // whoever manages the workspace sees that it was used, and nobody sees the link again
    let list = browser.get("/reports").await;
    assert!(list.text.contains("Autumn at the Bakery") && list.text.contains("last used"), "{}", list.text);
    let link = path.trim_start_matches("/report/");
    assert!(!list.text.contains(link), "{}", list.text);
    let kept = format!("SELECT count(*) FROM report r WHERE strpos(r::text, '{link}') > 0");
    assert_eq!(door.scratch.number(&kept).await, 0);
}

#[tokio::test]
async fn a_report_in_hebrew_runs_from_right_to_left_and_numbers_do_not() {
    let (door, account) = bakery().await;
    let mut browser = Browser::signed_in(&door, "noa@example.org").await;
    let path = shared(&mut browser, &[account], &[("days", "7"), ("language", "he")]).await;
    let page = look(&door, &path).await;
    assert!(page.text.contains("lang=\"he\" dir=\"rtl\""), "{}", page.text);
    assert!(page.text.contains("נמסרו 6 מתוך 7 ימים") && page.text.contains("עוקבים"), "{}", page.text);
    assert!(page.text.contains("<bdi class=\"change\">+100.0%</bdi>"), "{}", page.text);
    assert!(page.text.contains("direction=\"ltr\""), "time runs from left to right: {}", page.text);
    let other = look(&door, &format!("{path}?lang=en")).await;
    assert!(
        other.text.contains("lang=\"en\" dir=\"ltr\"") && other.text.contains("Followers"),
        "{}",
        other.text
    );
}

#[tokio::test]
async fn the_days_of_a_report_are_those_that_were_chosen_and_what_was_not_told_stays_a_gap() {
    let (door, account) = bakery().await;
    let mut browser = Browser::signed_in(&door, "noa@example.org").await;
    let dates = [("from", "2024-01-01"), ("to", "2024-01-03"), ("language", "en")];
    let path = shared(&mut browser, &[account], &dates).await;
    let page = look(&door, &path).await;
    assert!(page.text.contains("From 2024-01-01 to 2024-01-03"), "{}", page.text);
    assert!(page.text.contains("Told of 0 of 3 days") && page.text.contains(">–<"), "{}", page.text);
    assert!(!page.text.contains("the &#60;cake&#62;"), "that came out later: {}", page.text);
}

/// What was written down of reports: the action, the actor, and what else.
async fn deeds(door: &Door) -> Vec<(String, String, Value)> {
    sqlx::query_as("SELECT action, actor, detail FROM audit WHERE object = 'report' ORDER BY at, id")
        .fetch_all(&mut door.scratch.connection().await)
        .await
        .expect("rows")
}

#[tokio::test]
async fn a_link_that_has_ended_was_taken_back_or_never_was_is_gone_and_nobody_is_told_which() {
    let (door, account) = bakery().await;
    let mut browser = Browser::signed_in(&door, "noa@example.org").await;
    let back = shared(&mut browser, &[account], &WEEK).await;
    let id: Uuid = sqlx::query_scalar("SELECT id FROM report")
        .fetch_one(&mut door.scratch.connection().await)
        .await
        .expect("an id");
    let token = browser.token.clone();
    let path = format!("/reports/{id}/take-back");
    for _ in 0..2 {
        let led = browser.form(&path, &[("token", &token)]).await;
        assert_eq!((led.status, led.header("location")), (StatusCode::SEE_OTHER, "/reports"));
    }
    let ended = shared(&mut browser, &[account], &WEEK).await;
    assert_eq!(look(&door, &ended).await.status, StatusCode::OK);
    door.scratch.run("UPDATE report SET expires_at = ledger_now() WHERE taken_back_at IS NULL").await;
    let unknown = "/report/AAAAAAAAAAAAAAAAAAAAAA";
    let gone = look(&door, unknown).await;
    assert_eq!(gone.status, StatusCode::GONE, "{}", gone.text);
    for path in [&back, &ended] {
        let answer = look(&door, path).await;
        assert_eq!((answer.status, &answer.text), (StatusCode::GONE, &gone.text));
        assert_eq!(answer.headers, gone.headers);
    }
    assert!(
        gone.header("x-robots-tag").contains("noindex") && !gone.text.contains("Autumn"),
        "{}",
        gone.text
    );
    let list = browser.get("/reports").await.text;
    assert!(list.contains("Taken back") && list.contains("Ended"), "{list}");
    let done = deeds(&door).await;
    let words: Vec<_> = done.iter().map(|(action, actor, _)| (action.as_str(), actor.as_str())).collect();
    let made = ("report_shared", "person");
    assert_eq!(words, [made, ("report_taken_back", "person"), made], "the second time changed nothing");
    assert_eq!(done[0].2["accounts"], json!([account]));
    assert!(done.iter().all(|(_, _, detail)| !detail.to_string().contains("Autumn")), "{done:?}");
    // who guesses has to wait, and who has a link that holds has not
    let mut slowed = false;
    for _ in 0..30 {
        slowed |= look(&door, unknown).await.status == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(slowed, "who guesses has to wait");
    let good = shared(&mut browser, &[account], &WEEK).await;
    assert_eq!(look(&door, &good).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_link_is_made_to_ones_own_accounts_alone_and_lasts_no_longer_than_it_may() {
    let (door, account) = bakery().await;
    let florist = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let theirs = door.account_of(florist, "instagram_business", &json!({})).await;
    let mut browser = Browser::signed_in(&door, "noa@example.org").await;
    let (token, own, foreign) = (browser.token.clone(), account.to_string(), theirs.to_string());
    let right = [("token", token.as_str()), ("title", "x"), ("language", "en"), ("days", "7")];
    for (more, status) in [
        (vec![("account", own.as_str()), ("account", foreign.as_str()), ("lasts", "30")], 422),
        (vec![("account", foreign.as_str()), ("lasts", "30")], 422),
        (vec![("lasts", "30")], 422),
        (vec![("account", own.as_str()), ("lasts", "91")], 422),
        (vec![("account", own.as_str()), ("lasts", "0")], 422),
        (vec![("account", own.as_str()), ("lasts", "90")], 200),
    ] {
        let fields: Vec<_> = right.iter().copied().chain(more).collect();
        let answer = browser.form("/reports", &fields).await;
        assert_eq!(answer.status.as_u16(), status, "{fields:?}: {}", answer.text);
    }
    let forged = [("token", "x"), ("title", "x"), ("account", own.as_str()), ("lasts", "30")];
    assert_eq!(browser.form("/reports", &forged).await.status, StatusCode::FORBIDDEN);
    assert_eq!(door.scratch.number("SELECT count(*) FROM report").await, 1);
    let longest = "SELECT count(*) FROM report WHERE expires_at <= ledger_now() + interval '90 days'";
    assert_eq!(door.scratch.number(longest).await, 1);
}

/// How many rows of a store a deletion would remove, as the register has it.
async fn covered(door: &Door, name: &str, request: &str) -> i64 {
    let store = register::emptied().iter().find(|store| store.name == name).expect("a store");
    let register::Purge::Rows { of, .. } = store.purge else { panic!("it is emptied by rows") };
    let of = of.replace("$1", &format!("'{request}'"));
    let mut connection = door.scratch.connection().await;
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {name} t WHERE {of}")))
        .fetch_one(&mut connection)
        .await
        .expect("a number")
}

async fn asked(door: &Door, method: &Method, path: &str, body: &Value) -> String {
    let request = door.request(method, path);
    let request = if body.is_null() {
        request.body(Body::empty())
    } else {
        request.header("content-type", "application/json").body(Body::from(body.to_string()))
    };
    let answer = door.send(request.expect("a request")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn an_account_that_is_deleted_vanishes_from_its_reports_and_a_link_goes_with_whoever_made_it() {
    // P-D8
    let (door, account) = bakery().await;
    let other = door.account("tiktok").await;
    door.scratch.run(&format!("UPDATE account SET name = 'The other' WHERE id = '{other}'")).await;
    let mut browser = Browser::signed_in(&door, "noa@example.org").await;
    let path = shared(&mut browser, &[account, other], &WEEK).await;
    let before = look(&door, &path).await.text;
    assert!(before.contains("The other") && before.contains(">600<"), "{before}");
    let request =
        asked(&door, &Method::DELETE, &format!("/api/v1/accounts/{account}/data"), &Value::Null).await;
    let page = look(&door, &path).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("The other"), "{}", page.text);
    for gone in ["Bakery on", ">600<", "cake"] {
        assert!(!page.text.contains(gone), "{gone}: {}", page.text);
    }
    assert_eq!(covered(&door, "report_account", &request).await, 1, "its line alone");
    assert_eq!(covered(&door, "report", &request).await, 0);
    // it goes with the last account that it shows
    let marked = format!(
        "INSERT INTO deletion_mark (request_id, id, kind) SELECT '{request}', id, 'report' FROM report"
    );
    door.scratch.run(&marked).await;
    assert_eq!(covered(&door, "report", &request).await, 0, "another account is shown there");
    let maker = json!({ "kind": "deletion", "email": "noa@example.org" });
    let request = asked(&door, &Method::POST, "/api/v1/privacy/requests", &maker).await;
    assert_eq!(covered(&door, "report", &request).await, 1);
    door.scratch.run("DELETE FROM report").await;
    assert_eq!(door.scratch.number("SELECT count(*) FROM report_account").await, 0);
    assert_eq!(look(&door, &path).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn who_is_removed_from_the_workspace_leaves_no_link_that_holds() {
    let (door, account) = bakery().await;
    door.person("dana@example.org", MemberRole::Admin).await;
    let mut leaves = Browser::signed_in(&door, "noa@example.org").await;
    let theirs = shared(&mut leaves, &[account], &WEEK).await;
    let token = leaves.token.clone();
    let person: Uuid = sqlx::query_scalar("SELECT created_by FROM report")
        .fetch_one(&mut door.scratch.connection().await)
        .await
        .expect("somebody");
    let mut stays = Browser::signed_in(&door, "dana@example.org").await;
    let others = shared(&mut stays, &[account], &WEEK).await;
    door.scratch.ledger.remove_member(door.workspace, person).await.expect("a change");
    assert_eq!(look(&door, &theirs).await.status, StatusCode::GONE);
    assert_eq!(look(&door, &others).await.status, StatusCode::OK);
    let done: Vec<_> = deeds(&door).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(done, ["report_shared", "report_shared", "report_taken_back"]);
    // and makes none any more, whatever page they have open
    let id = account.to_string();
    let fields =
        [("token", token.as_str()), ("title", "x"), ("language", "en"), ("days", "7"), ("lasts", "30")];
    let fields: Vec<_> = fields.into_iter().chain([("account", id.as_str())]).collect();
    assert_ne!(leaves.form("/reports", &fields).await.status, StatusCode::OK);
    assert_eq!(door.scratch.number("SELECT count(*) FROM report").await, 2);
}

#[tokio::test]
async fn links_that_have_ended_are_kept_for_a_while_and_then_go() {
    // P-D13
    let (door, account) = bakery().await;
    let mut browser = Browser::signed_in(&door, "noa@example.org").await;
    for _ in 0..4 {
        shared(&mut browser, &[account], &WEEK).await;
    }
    let ended = "WITH all_of_them AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM report)
                 UPDATE report r
                 SET expires_at = CASE WHEN n = 1 THEN ledger_now() - interval '41 days'
                                       WHEN n = 2 THEN ledger_now() - interval '39 days' ELSE expires_at END,
                     taken_back_at = CASE WHEN n = 3 THEN ledger_now() - interval '41 days' END
                 FROM all_of_them a WHERE a.id = r.id";
    door.scratch.run(ended).await;
    let worker = Ledger::open(&door.scratch.url, Role::Worker, 2).expect("an address");
    retain(&worker, 40, 100).await;
    assert_eq!(door.scratch.number("SELECT count(*) FROM report").await, 2);
    let dropped = "SELECT dropped FROM retention_run WHERE class = 'reports'";
    assert_eq!(door.scratch.number(dropped).await, 2);
}
