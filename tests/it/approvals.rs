//! Posts of authors: nothing is done for them at a network before somebody who publishes has approved exactly that.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use postroom::ledger::{approval::Approved, people::MemberRole};
use serde_json::json;
use uuid::Uuid;

use crate::{
    console::{Browser, hidden},
    harness::{System, eventually},
    support::Door,
};

/// Writes a post and gives its path.
async fn write(browser: &mut Browser<'_>, account: Uuid, caption: &str, when: &[(&str, &str)]) -> String {
    let (account, key) = (account.to_string(), Uuid::now_v7().to_string());
    let mut fields =
        vec![("key", key.as_str()), ("caption", caption), ("kind", "post"), ("target", account.as_str())];
    fields.extend_from_slice(when);
    let answer = browser.compose(&fields, &[]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    answer.header("location").to_owned()
}

const NOW: [(&str, &str); 1] = [("when", "now")];

/// Approves what the page shows.
async fn approve(browser: &mut Browser<'_>, post: &str) -> crate::support::Answer {
    let page = browser.get(post).await.text;
    let (token, seen) = (browser.token.clone(), hidden(&page, "seen"));
    browser.form(&format!("{post}/approve"), &[("token", &token), ("seen", &seen)]).await
}

/// Jobs that somebody could claim.
async fn claimable(door: &Door) -> i64 {
    door.scratch.number("SELECT count(*) FROM job WHERE kind = 'publish' AND standing = 'active'").await
}

#[tokio::test]
async fn an_authors_post_waits_and_is_let_go_by_who_publishes() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut author = Browser::of(&door, MemberRole::Author).await;
    assert!(author.get("/posts/new").await.text.contains("A publisher approves it first"));
    let post = write(&mut author, account, "fresh bread", &NOW).await;
    assert!(door.hints.lock().expect("unpoisoned").is_empty());
    assert_eq!(claimable(&door).await, 0);
    let own = author.get(&post).await.text;
    assert!(own.contains("Waits for approval") && !own.contains("/approve\""), "{own}");
    assert!(author.get("/posts").await.text.contains("Waits for approval"));
    let token = author.token.clone();
    assert_eq!(
        author.form(&format!("{post}/approve"), &[("token", &token)]).await.status,
        StatusCode::FORBIDDEN
    );

    let mut publisher = Browser::of(&door, MemberRole::Publisher).await;
    let approved = approve(&mut publisher, &post).await;
    assert_eq!(approved.status, StatusCode::SEE_OTHER, "{}", approved.text);
    assert!(publisher.get(&post).await.text.contains("Approved by Noa Levi"));
    assert_eq!(claimable(&door).await, 1);
    assert_eq!(door.hints.lock().expect("unpoisoned").len(), 1, "the queue hears of it");
    let token = publisher.token.clone();
    let again = publisher.form(&format!("{post}/approve"), &[("token", &token), ("seen", "x")]).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER, "twice is once");
}

#[tokio::test]
async fn an_approval_after_its_time_says_so_and_lets_it_go_at_once() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut author = Browser::of(&door, MemberRole::Author).await;
    let mut publisher = Browser::of(&door, MemberRole::Publisher).await;
    let later = [("when", "later"), ("date", "2027-06-01"), ("time", "09:00"), ("zone", "UTC")];
    let post = write(&mut author, account, "bread", &later).await;
    door.scratch.run("UPDATE post SET scheduled_for = ledger_now() - interval '1 hour'").await;
    door.scratch.run("UPDATE publication SET scheduled_for = ledger_now() - interval '1 hour', latest_at = ledger_now() + interval '1 hour'").await;
    let approved = approve(&mut publisher, &post).await;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.text);
    assert!(approved.text.contains("Its time has passed already, so it goes out now"), "{}", approved.text);
    assert_eq!(
        door.scratch
            .number("SELECT count(*) FROM job WHERE standing = 'active' AND run_at <= ledger_now()")
            .await,
        1
    );
    assert_eq!(door.hints.lock().expect("unpoisoned").len(), 1);
}

#[tokio::test]
async fn who_publishes_or_has_a_key_needs_nobodys_word() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut publisher = Browser::of(&door, MemberRole::Publisher).await;
    let post = write(&mut publisher, account, "bread", &NOW).await;
    assert!(!publisher.get(&post).await.text.contains("approval"));
    let body = json!({ "caption": "cake", "kind": "post", "targets": [{ "account_id": account }] });
    assert_eq!(door.post(&body).await.status, StatusCode::ACCEPTED);
    assert_eq!(claimable(&door).await, 2);
    assert_eq!(door.scratch.number("SELECT count(*) FROM approval").await, 0);
}

#[tokio::test]
async fn what_was_not_seen_is_not_approved_and_any_edit_voids_it() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut author = Browser::of(&door, MemberRole::Author).await;
    let mut publisher = Browser::of(&door, MemberRole::Publisher).await;
    let tomorrow = [("when", "later"), ("date", "2027-06-01"), ("time", "09:00"), ("zone", "UTC")];
    let post = write(&mut author, account, "bread", &tomorrow).await;
    let seen = hidden(&publisher.get(&post).await.text, "seen");

    // changed while it was looked at
    edit(&mut author, &post, "cake").await;
    let token = publisher.token.clone();
    let stale = publisher.form(&format!("{post}/approve"), &[("token", &token), ("seen", &seen)]).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.text.contains("It was changed while you looked at it"), "{}", stale.text);
    assert_eq!(claimable(&door).await, 0);

    assert_eq!(approve(&mut publisher, &post).await.status, StatusCode::SEE_OTHER);
    assert_eq!(claimable(&door).await, 1);
    let unchanged = edit(&mut author, &post, "cake").await;
    assert_eq!((unchanged.status, claimable(&door).await), (StatusCode::SEE_OTHER, 1), "nothing is new");
    edit(&mut author, &post, "pie").await;
    assert_eq!(claimable(&door).await, 0, "an author's change voids it");
    assert!(publisher.get("/posts").await.text.contains("Waits for approval"));
    edit(&mut publisher, &post, "tart").await;
    assert_eq!(claimable(&door).await, 1, "what a publisher writes is approved by that");
}

/// Opens the form and sends it.
async fn edit(browser: &mut Browser<'_>, post: &str, caption: &str) -> crate::support::Answer {
    let form = browser.get(&format!("{post}/edit")).await.text;
    let seen = if form.contains("name=\"seen\"") { hidden(&form, "seen") } else { String::new() };
    send_edit(browser, post, caption, &seen).await
}

async fn send_edit(
    browser: &mut Browser<'_>,
    post: &str,
    caption: &str,
    seen: &str,
) -> crate::support::Answer {
    let (token, key) = (browser.token.clone(), Uuid::now_v7().to_string());
    let fields = [
        ("token", token.as_str()),
        ("key", &key),
        ("caption", caption),
        ("link", ""),
        ("when", "keep"),
        ("seen", seen),
    ];
    browser.form(&format!("{post}/edit"), &fields).await
}

#[tokio::test]
async fn a_change_neither_approves_nor_undoes_what_its_writer_has_not_seen() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut author = Browser::of(&door, MemberRole::Author).await;
    let mut publisher = Browser::of(&door, MemberRole::Publisher).await;
    let post = write(&mut author, account, "bread", &NOW).await;
    let opened = hidden(&publisher.get(&format!("{post}/edit")).await.text, "seen");
    edit(&mut author, &post, "cake").await;
    let stale = send_edit(&mut publisher, &post, "bread, fresh", &opened).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.text.contains("Somebody changed it since this form was opened"), "{}", stale.text);
    assert!(stale.text.contains("bread, fresh"), "what was written is kept: {}", stale.text);
    let blind = send_edit(&mut publisher, &post, "bread, fresh", "").await;
    assert_eq!(blind.status, StatusCode::CONFLICT, "{}", blind.text);
    let path = format!("/api/v1{post}");
    let request = door.request(&Method::PATCH, &path).header("content-type", "application/json");
    let change = json!({ "caption": "bread" }).to_string();
    let by_key = door.send(request.body(Body::from(change)).expect("a request")).await;
    assert_eq!(by_key.status, StatusCode::CONFLICT, "{}", by_key.text);
    assert!(
        by_key.text.contains("waits for approval; once somebody has approved it on its page"),
        "{}",
        by_key.text
    );
    let cake = "SELECT count(*) FROM post WHERE caption = 'cake'";
    assert_eq!((door.scratch.number(cake).await, claimable(&door).await), (1, 0));

    let approvals = "SELECT count(*) FROM audit WHERE action = 'approved'";
    assert_eq!(door.scratch.number(approvals).await, 0);
    assert_eq!(edit(&mut publisher, &post, "tart").await.status, StatusCode::SEE_OTHER);
    assert_eq!((door.scratch.number(approvals).await, claimable(&door).await), (1, 1));
}

#[tokio::test]
async fn an_authors_change_of_a_publishers_post_lets_it_wait() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut author = Browser::of(&door, MemberRole::Author).await;
    let mut publisher = Browser::of(&door, MemberRole::Publisher).await;
    let later = [("when", "later"), ("date", "2027-06-01"), ("time", "09:00"), ("zone", "UTC")];
    let post = write(&mut publisher, account, "bread", &later).await;
    assert_eq!(claimable(&door).await, 1);
    edit(&mut author, &post, "cake").await;
    assert_eq!(claimable(&door).await, 0);
    assert_eq!(approve(&mut publisher, &post).await.status, StatusCode::SEE_OTHER);
    assert_eq!(claimable(&door).await, 1);
    let on_time = "SELECT count(*) FROM job WHERE run_at BETWEEN '2027-06-01 08:50Z' AND '2027-06-01 09:00Z'";
    assert_eq!(door.scratch.number(on_time).await, 1);
}

#[tokio::test]
async fn what_failed_and_was_changed_by_an_author_is_approved_before_it_is_tried_again() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut author = Browser::of(&door, MemberRole::Author).await;
    let mut publisher = Browser::of(&door, MemberRole::Publisher).await;
    let post = write(&mut publisher, account, "bread", &NOW).await;
    door.scratch.run("DELETE FROM job").await;
    door.scratch.run("UPDATE publication SET state = 'failed'").await;
    assert_eq!(edit(&mut author, &post, "cake").await.status, StatusCode::SEE_OTHER);
    let token = publisher.token.clone();
    let retry = publisher.form(&format!("{post}/retry"), &[("token", &token)]).await;
    assert_eq!(retry.status, StatusCode::CONFLICT, "{}", retry.text);
    let approved = approve(&mut publisher, &post).await;
    assert_eq!(approved.status, StatusCode::SEE_OTHER, "{}", approved.text);
    let retry = publisher.form(&format!("{post}/retry"), &[("token", &token)]).await;
    assert_eq!(retry.status, StatusCode::SEE_OTHER, "{}", retry.text);
    assert_eq!(claimable(&door).await, 1);
}

#[tokio::test]
async fn the_digest_holds_everything_that_is_approved() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut author = Browser::of(&door, MemberRole::Author).await;
    write(&mut author, account, "bread", &NOW).await;
    let digest = async || {
        let text: String = sqlx::query_scalar("SELECT encode(post_digest(id), 'hex') FROM post")
            .fetch_one(&mut door.scratch.connection().await)
            .await
            .expect("a digest");
        text
    };
    let mut seen = vec![digest().await];
    for change in [
        "UPDATE post SET caption = 'cake'",
        "UPDATE post SET link = 'https://example.org'",
        "UPDATE post SET scheduled_for = scheduled_for + interval '1 second'",
        "UPDATE post SET latest_after = latest_after + interval '1 second'",
        "UPDATE publication SET caption = 'own words'",
        "UPDATE publication SET surface = 'link'",
        "UPDATE publication SET link = 'https://example.org/?utm'",
        "UPDATE publication SET options = '{\"first_comment\": \"hi\"}'",
        "UPDATE publication SET version = version + 1",
    ] {
        door.scratch.run(change).await;
        let now = digest().await;
        assert!(!seen.contains(&now), "{change}");
        seen.push(now);
    }
    // sessions that write times otherwise see the same
    let elsewhere: String = sqlx::query_scalar(
        "SELECT encode(post_digest(id), 'hex') FROM post, set_config('TimeZone', 'Asia/Tokyo', false)",
    )
    .fetch_one(&mut door.scratch.connection().await)
    .await
    .expect("a digest");
    assert_eq!(Some(&elsewhere), seen.last());
}

#[tokio::test]
async fn own_words_of_an_account_are_approved_with_the_post() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut author = Browser::of(&door, MemberRole::Author).await;
    let mut publisher = Browser::of(&door, MemberRole::Publisher).await;
    let own = format!("words-{account}");
    let post = write(&mut author, account, "bread", &[("when", "now"), (&own, "bread, here")]).await;
    assert!(publisher.get(&post).await.text.contains("bread, here"), "who approves sees them");
    assert_eq!(approve(&mut publisher, &post).await.status, StatusCode::SEE_OTHER);
    assert_eq!(claimable(&door).await, 1);
    let seen = hidden(&author.get(&format!("{post}/edit")).await.text, "seen");
    let (token, key) = (author.token.clone(), Uuid::now_v7().to_string());
    let fields = [
        ("token", token.as_str()),
        ("key", &key),
        ("caption", "bread"),
        ("when", "keep"),
        ("seen", &seen),
        (&own, "cake, here"),
    ];
    let changed = author.form(&format!("{post}/edit"), &fields).await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER, "{}", changed.text);
    assert_eq!(claimable(&door).await, 0, "other words for one account are not what was approved");
}

#[tokio::test]
async fn another_workspaces_post_is_not_approved_from_here() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut author = Browser::of(&door, MemberRole::Author).await;
    let post = write(&mut author, account, "bread", &NOW).await;
    let id: Uuid = post.trim_start_matches("/posts/").parse().expect("an id");
    let other = door.scratch.ledger.add_workspace("Agency").await.expect("a workspace");
    let ahead = Duration::from_mins(5);
    let approved =
        door.scratch.ledger.approve_post(other, id, Uuid::nil(), "", ahead).await.expect("an answer");
    assert_eq!(approved, Approved::Missing);
    assert_eq!(claimable(&door).await, 0);
}

/// A person with a real browser's cookies at a real process.
struct Someone {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Someone {
    async fn at(system: &System, email: &str, password: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let base = system.url("");
        let page = http.get(format!("{base}/sign-in")).send().await.unwrap();
        let cookie = |headers: &reqwest::header::HeaderMap| {
            let set = headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
            set.map(|set| set.split(';').next().unwrap().to_owned()).collect::<Vec<_>>().join("; ")
        };
        let first = cookie(page.headers());
        let token = hidden(&page.text().await.unwrap(), "token");
        let form = [("token", token.as_str()), ("email", email), ("password", password)];
        let signed =
            http.post(format!("{base}/sign-in")).header("cookie", &first).form(&form).send().await.unwrap();
        assert_eq!(signed.status(), 303, "{}", signed.text().await.unwrap());
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("cookie", format!("{first}; {}", cookie(signed.headers())).parse().unwrap());
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(headers)
            .build()
            .unwrap();
        let page = http.get(format!("{base}/posts")).send().await.unwrap().text().await.unwrap();
        Self { token: hidden(&page, "token"), http, base }
    }

    async fn page(&self, path: &str) -> String {
        self.http.get(format!("{}{path}", self.base)).send().await.unwrap().text().await.unwrap()
    }

    async fn form(&self, path: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
        let mut all = vec![("token", self.token.as_str())];
        all.extend_from_slice(fields);
        let answer = self.http.post(format!("{}{path}", self.base)).form(&all).send().await.unwrap();
        let location =
            answer.headers().get("location").map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default();
        (answer.status().as_u16(), location, answer.text().await.unwrap())
    }

    async fn write(&self, account: &str, caption: &str) -> String {
        let form = reqwest::multipart::Form::new()
            .text("token", self.token.clone())
            .text("key", Uuid::now_v7().to_string())
            .text("caption", caption.to_owned())
            .text("kind", "post")
            .text("target", account.to_owned())
            .text("when", "now");
        let answer = self.http.post(format!("{}/posts/new", self.base)).multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), 303, "{}", answer.text().await.unwrap());
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    async fn approve(&self, post: &str) -> (u16, String, String) {
        let seen = hidden(&self.page(post).await, "seen");
        self.form(&format!("{post}/approve"), &[("seen", &seen)]).await
    }
}

async fn with_author(workers: usize) -> (System, Someone, Someone) {
    let system = System::with_workers(workers).await;
    let add = [
        "user",
        "add",
        "--email",
        "author@example.com",
        "--first",
        "Avi",
        "--last",
        "Bar",
        "--role",
        "author",
        "--workspace",
        "Bakery",
    ];
    system.postroom(&add, "corner-bakery-demo").await;
    let author = Someone::at(&system, "author@example.com", "corner-bakery-demo").await;
    let admin = Someone::at(&system, "staff@example.com", "corner-bakery-demo").await;
    (system, author, admin)
}

fn id(post: &str) -> String {
    post.trim_start_matches("/posts/").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_reaches_a_network_before_the_approval_and_all_of_it_after() {
    // P-A2
    let (system, author, admin) = with_author(2).await;
    let waiting = author.write(system.account("facebook_page"), "waits for a word").await;
    // what comes after it goes out: the workers are at work, and pass it by
    let other = system.post("needs no word", &["facebook_page"]).await;
    system.all_live_once(&[other]).await;
    // mending finds nothing to mend in it, either
    system.flush_redis().await;
    system
        .database
        .count(
            "WITH gone AS (DELETE FROM job WHERE standing = 'waits' RETURNING id) SELECT count(*) FROM gone",
        )
        .await;
    eventually("its job to be mended, and to wait still", || async {
        match system.database.count("SELECT count(*) FROM job WHERE standing = 'waits'").await {
            1 => Ok(()),
            _ => Err(system.workers[0].log()),
        }
    })
    .await;
    let last = system.post("needs no word either", &["facebook_page"]).await;
    system.all_live_once(&[last]).await;
    assert!(system.effects("facebook_page", "waits for a word").await.is_empty());
    let calls = "SELECT count(*) FROM remote_call c JOIN publication p ON p.id = c.publication_id \
                 WHERE p.post_id = $1::text::uuid";
    assert_eq!(system.database.count_of(calls, &id(&waiting)).await, 0);
    let told = system.told(&["explain", &id(&waiting)]).await;
    assert_eq!(told["publications"][0]["stopped_by"][0], "it waits for approval", "{told}");
    assert_eq!(told["publications"][0]["who_acts"], "staff");

    let (status, _, text) = admin.approve(&waiting).await;
    assert_eq!(status, 303, "{text}");
    system.all_live_once(&[id(&waiting)]).await;
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_refuses_to_arm_what_nobody_approved_whoever_has_its_job() {
    let (system, author, admin) = with_author(0).await;
    let post = author.write(system.account("facebook_page"), "forced into the queue").await;
    // whatever mistake lets its job be claimed, it is neither prepared nor armed
    system
        .database
        .count("WITH freed AS (UPDATE job SET standing = 'active' RETURNING id) SELECT count(*) FROM freed")
        .await;
    let mut system = system;
    system.start_worker(&[]);
    eventually("the job to be claimed", || async {
        match system.database.count("SELECT max(epoch) FROM job").await {
            epoch if epoch > 2 => Ok(()),
            _ => Err(system.workers[0].log()),
        }
    })
    .await;
    let calls = "SELECT count(*) FROM remote_call";
    assert_eq!(system.database.count(calls).await, 0);
    let state = "SELECT count(*) FROM publication WHERE state = 'scheduled'";
    assert_eq!(system.database.count(state).await, 1);
    assert!(system.effects("facebook_page", "forced into the queue").await.is_empty());
    let (status, _, text) = admin.approve(&post).await;
    assert_eq!(status, 303, "{text}");
    system.all_live_once(&[id(&post)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_comes_too_late_sends_nothing_without_another_word() {
    let (system, author, admin) = with_author(1).await;
    let post = author.write(system.account("facebook_page"), "long past").await;
    let overdue = "WITH past AS (UPDATE publication SET latest_at = ledger_now() - interval '1 minute' RETURNING id) \
                SELECT count(*) FROM past";
    system.database.count(overdue).await;
    let held = system.until(&id(&post), "held").await;
    assert_eq!(held["publications"][0]["error"]["code"], "too_late", "{held}");
    // nor is it tried again before somebody approves it
    let (status, _, text) = admin.form(&format!("{post}/retry"), &[]).await;
    assert!(status == 409 && text.contains("waits for approval"), "{status} {text}");
    let (status, answer) = system.api(reqwest::Method::POST, &format!("/api/v1{post}/retry"), None).await;
    assert_eq!(status, 409, "{answer}");
    let (status, _, text) = admin.approve(&post).await;
    assert!(status == 409 && text.contains("it is held and not sent late"), "{status} {text}");
    assert!(system.effects("facebook_page", "long past").await.is_empty());
    let (status, _, text) = admin.form(&format!("{post}/retry"), &[]).await;
    assert_eq!(status, 303, "{text}");
    system.all_live_once(&[id(&post)]).await;
}
