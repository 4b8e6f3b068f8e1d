//! The console's forms when they cannot be taken: what was written comes back.

use std::sync::atomic::Ordering;

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use postroom::ledger::people::MemberRole;
use serde_json::json;

use crate::{
    console::{Browser, hidden},
    support::{Answer, Door, jpeg},
};

/// What somebody has written, to this account.
fn written(account: &str) -> Vec<(&'static str, String)> {
    let fields = [
        ("key", "k-1"),
        ("caption", "Words that took long"),
        ("kind", "post"),
        ("target", account),
        ("link", ""),
        ("when", "later"),
        ("date", "2027-05-05"),
        ("time", "09:30"),
        ("zone", "Asia/Jerusalem"),
    ];
    fields.map(|(name, value)| (name, value.to_owned())).to_vec()
}

fn borrowed<'a>(fields: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    fields.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// The page has the form in it, as it was written.
fn has_it_all(page: &Answer, account: &str) {
    for part in [
        "Words that took long</textarea>",
        "name=\"date\" value=\"2027-05-05\"",
        "name=\"time\" value=\"09:30\"",
        "value=\"Asia/Jerusalem\" selected",
        &format!("id=\"target-{account}\" value=\"{account}\" data-platform=\"facebook_page\" checked"),
        "name=\"key\" value=\"k-1\"",
        "What you wrote is still here",
    ] {
        assert!(page.text.contains(part), "no {part} in {}", page.text);
    }
}

#[tokio::test]
async fn a_form_that_was_open_for_too_long_comes_back_as_it_was_with_a_good_token() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await.to_string();
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let good = std::mem::replace(&mut browser.token, "stale".to_owned());
    let fields = written(&account);
    for path in ["/posts/new", "/posts/new/check", "/posts/new/arrange"] {
        let page = browser.compose_at(path, &borrowed(&fields), &[("a.jpg", &jpeg(40, 40))]).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
        has_it_all(&page, &account);
        assert_eq!(hidden(&page.text, "token"), good);
    }
    assert_eq!(door.scratch.number("SELECT count(*) FROM media").await, 0, "nothing of it was taken");
    browser.token = good;
    let sent = browser.compose(&borrowed(&fields), &[]).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
}

#[tokio::test]
async fn a_form_whose_files_cannot_be_stored_comes_back_as_it_was() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await.to_string();
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    door.shelf.away.store(true, Ordering::SeqCst);
    // the fields behind the files are read as well, however large those are
    let mut fields = written(&account);
    let behind = fields.split_off(4);
    let mut parts: Vec<(&str, Option<&str>, Vec<u8>)> =
        vec![("token", None, browser.token.clone().into_bytes())];
    parts.extend(fields.iter().map(|(name, value)| (*name, None, value.clone().into_bytes())));
    parts.push(("file", Some("a.jpg"), jpeg(40, 40)));
    parts.push(("file", Some("b.txt"), vec![b'x'; 1 << 20]));
    parts.extend(behind.iter().map(|(name, value)| (*name, None, value.clone().into_bytes())));
    let page = browser.parts("/posts/new", &parts).await;
    assert_eq!((page.status, page.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    has_it_all(&page, &account);
    assert!(page.text.contains("The media store cannot be reached"), "{}", page.text);
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 0);

    door.shelf.away.store(false, Ordering::SeqCst);
    let page = browser.parts("/posts/new", &parts).await;
    assert_eq!(
        page.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "what is no picture is a finding: {}",
        page.text
    );
    assert!(page.text.contains("“b.txt”") && page.text.contains("name=\"date\" value=\"2027-05-05\""));
    assert_eq!(page.text.matches("name=\"media_id\"").count(), 1, "the picture is kept");
}

#[tokio::test]
async fn who_is_signed_out_meanwhile_is_told_how_to_get_back_what_was_written() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await.to_string();
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    door.scratch.run("DELETE FROM session").await;
    let page = browser.compose(&borrowed(&written(&account)), &[]).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(
        page.text.contains("reload this page") && page.text.contains("href=\"/sign-in\" target=\"_blank\"")
    );
    assert!(page.text.contains("You are signed out"), "{}", page.text);
    let left = browser.form("/sign-out", &[("token", "x")]).await;
    assert_eq!((left.status, left.header("location")), (StatusCode::SEE_OTHER, "/sign-in"));
}

/// A post of these words, and where it is changed.
async fn posted(door: &Door, caption: &str) -> String {
    let account = door.account("facebook_page").await;
    let wish = json!({ "caption": caption, "targets": [{ "account_id": account }] });
    let post = door.post(&wish).await.json()["id"].as_str().expect("an id").to_owned();
    format!("/posts/{post}/edit")
}

#[tokio::test]
async fn a_change_that_was_open_for_too_long_comes_back_as_it_was() {
    let door = Door::open().await;
    let edit = posted(&door, "before").await;
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let fields = [("token", "stale"), ("key", "k"), ("caption", "Words that took long"), ("when", "keep")];
    let page = browser.form(&edit, &fields).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("Words that took long</textarea>") && page.text.contains("still here"));
    assert_eq!(hidden(&page.text, "token"), browser.token);
    assert_eq!(door.scratch.number("SELECT max(version) FROM publication").await, 1);
}

#[tokio::test]
async fn words_come_back_from_a_form_as_they_were() {
    let door = Door::open().await;
    for caption in ["\nfrom the second line on", "one\r\ntwo", "plain"] {
        let edit = posted(&door, caption).await;
        let mut browser = Browser::of(&door, MemberRole::Publisher).await;
        let page = browser.get(&edit).await.text;
        let area = page.split("<textarea id=\"caption\"").nth(1).expect("a field");
        let area = area.split_once('>').expect("its end").1.split("</textarea>").next().expect("its text");
        // what a browser makes of it: it drops one line end at the start, and sends each as CR LF
        let shown = area.strip_prefix('\n').unwrap_or(area).replace("\r\n", "\n").replace('\n', "\r\n");
        let fields = [
            ("token", browser.token.clone()),
            ("key", "k".into()),
            ("caption", shown),
            ("when", "keep".into()),
        ];
        let saved = browser.form(&edit, &borrowed(&fields)).await;
        assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
        assert_eq!(door.scratch.number("SELECT max(version) FROM publication").await, 1, "{caption:?}");
    }
}

#[tokio::test]
async fn a_post_that_went_out_at_once_offers_the_zone_that_was_last_written_in() {
    let door = Door::open().await;
    let edit = posted(&door, "at once").await;
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    assert!(browser.get(&edit).await.text.contains("value=\"UTC\" selected"), "there is no other");
    let account = door.account("facebook_page").await;
    for schedule in [
        json!({ "at": "2027-12-01T09:30", "time_zone": "Asia/Jerusalem" }),
        json!({ "at": "2027-12-01T09:30+02:00" }),
    ] {
        let wish = json!({ "caption": "x", "targets": [{ "account_id": account }], "schedule": schedule });
        assert_eq!(door.post(&wish).await.status, StatusCode::ACCEPTED);
    }
    assert!(browser.get(&edit).await.text.contains("value=\"Asia/Jerusalem\" selected"));
}

#[tokio::test]
async fn a_post_that_was_written_with_an_offset_is_rescheduled_in_it() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let wish = json!({ "caption": "x", "targets": [{ "account_id": account }], "schedule": { "at": "2027-12-01T09:30Z" } });
    let post = door.post(&wish).await.json()["id"].as_str().expect("an id").to_owned();
    let edit = format!("/posts/{post}/edit");
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    assert!(browser.get(&edit).await.text.contains("value=\"+00:00\" selected"));
    let token = browser.token.clone();
    let fields = [
        ("token", token.as_str()),
        ("key", "k"),
        ("caption", "x"),
        ("when", "later"),
        ("date", "2027-12-02"),
        ("time", "10:00"),
        ("zone", "+00:00"),
    ];
    let saved = browser.form(&edit, &fields).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
    let kept = door.get(&format!("/api/v1/posts/{post}")).await.json();
    assert_eq!(kept["schedule"]["instant"], "2027-12-02T10:00:00Z");
}

#[tokio::test]
async fn a_change_gives_an_account_its_own_words_and_takes_them_back() {
    let door = Door::open().await;
    let [one, other] = [door.account("facebook_page").await, door.account("facebook_page").await];
    let wish = json!({
        "caption": "for all", "schedule": { "at": "2027-12-01T09:30Z" },
        "targets": [{ "account_id": one, "options": { "first_comment": "Come\r\nby" } }, { "account_id": other }],
    });
    let post = door.post(&wish).await.json()["id"].as_str().expect("an id").to_owned();
    let edit = format!("/posts/{post}/edit");
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let (words, comment) = (format!("words-{one}"), format!("comment-{one}"));
    let others = format!("words-{other}");
    let send = async |browser: &mut Browser<'_>, key: &str, own: &str, first: &str| {
        let token = browser.token.clone();
        let fields = [
            ("token", token.as_str()),
            ("key", key),
            ("caption", "for all"),
            ("when", "keep"),
            (&words, own),
            (&comment, first),
            (&others, ""),
        ];
        browser.form(&edit, &fields).await
    };
    let versions = |account| {
        format!(
            "SELECT version::bigint FROM publication WHERE account_id = '{account}' AND parent_id IS NULL"
        )
    };

    let same = send(&mut browser, "k-1", "", "Come\r\nby").await;
    assert_eq!(same.status, StatusCode::SEE_OTHER, "{}", same.text);
    assert_eq!(door.scratch.number(&versions(one)).await, 1, "what says the same is no change");

    let given = send(&mut browser, "k-2", "only\r\nhere", "Come\r\nby").await;
    assert_eq!(given.status, StatusCode::SEE_OTHER, "{}", given.text);
    let own = "SELECT count(*) FROM publication WHERE caption = 'only' || chr(10) || 'here'";
    assert_eq!(door.scratch.number(own).await, 1);
    assert_eq!(
        (door.scratch.number(&versions(one)).await, door.scratch.number(&versions(other)).await),
        (2, 1),
        "the other one's words are as they were, and so is what was prepared of them"
    );
    let page = browser.get(&edit).await.text;
    assert!(page.contains("\nonly\nhere</textarea>"), "{page}");
    let opened = format!("<details class=\"sub own\" id=\"own-{one}\" open>");
    assert!(page.contains(&opened) && page.contains("name=\"comment-"), "{page}");
    let shown = browser.get(&format!("/posts/{post}")).await.text;
    assert!(shown.contains("<p class=\"caption own\" dir=\"auto\">only\nhere</p>"), "{shown}");

    let long = "x".repeat(70_000);
    let refused = send(&mut browser, "k-3", &long, "Come\r\nby").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let wrong = format!("id=\"wrong-words-{one}\"");
    assert!(refused.text.contains(&wrong) && refused.text.contains(&long), "it is kept, with what is wrong");
    assert!(refused.text.contains("name=\"key\" value=\"k-3\""));

    let back = send(&mut browser, "k-4", " ", "Come\r\nby").await;
    assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.text);
    let common = "SELECT count(*) FROM publication WHERE parent_id IS NULL AND caption IS NULL";
    assert_eq!(door.scratch.number(common).await, 2, "an empty field asks for the caption");
    assert_eq!(send(&mut browser, "k-5", "", "").await.status, StatusCode::SEE_OTHER);
    let asked = "SELECT count(*) FROM publication WHERE options ? 'first_comment'";
    assert_eq!(door.scratch.number(asked).await, 0, "its first comment is taken back likewise");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_as_everything_else() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    for path in ["/api/v1/posts/%FF", "/api/v1/media/%ff%fe", "/api/v1/%C0%80"] {
        let answer = door.get(path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::NOT_FOUND, "application/problem+json"),
            "{path}"
        );
        assert_eq!(answer.json()["type"], "urn:postroom:problem:not-found");
    }
    let page = browser.get("/posts/%FF").await;
    assert!(
        page.status == StatusCode::NOT_FOUND && page.text.contains("<h1>Not found</h1>"),
        "{}",
        page.text
    );
    let page = browser.get("/sign-in?next=a&next=b").await;
    assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("<h1>"), "{}", page.text);
    let page = browser.form("/theme", &[("token", "x")]).await;
    assert!(page.status.is_client_error() && page.text.contains("<h1>"), "{} {}", page.status, page.text);
    let request = door.request(&Method::POST, "/sign-in").header("content-type", "application/json");
    let answer = door.send(request.body(Body::from("{}")).expect("a request")).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/problem+json")
    );
}
