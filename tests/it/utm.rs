//! The parameters that a workspace adds to its links: what was approved is what is sent.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use postroom::ledger::people::MemberRole;
use serde_json::{Value, json};

use crate::{
    console::Browser,
    harness::{FACEBOOK, System},
    support::Door,
};

const TEMPLATE: &str = "utm_source={platform}&utm_medium=social&utm_campaign={date}&p={post_id}&a={account}";

async fn with_template(door: &Door) {
    door.scratch.ledger.set_link_template(door.workspace, Some(TEMPLATE)).await.expect("set");
}

fn body(account: uuid::Uuid, link: &str) -> Value {
    json!({
        "caption": "Look: https://example.org/in-the-words", "link": link, "targets": [{ "account_id": account }],
        // the next day where it is written for
        "schedule": { "at": "2027-03-11T00:30:00", "time_zone": "Asia/Jerusalem" },
    })
}

#[tokio::test]
async fn an_accepted_post_keeps_the_final_link_of_each_account_and_its_words_as_they_were() {
    let door = Door::open().await;
    with_template(&door).await;
    let account = door.account("facebook_page").await;
    let answer = door.post(&body(account, "https://example.org/a?utm_source=mine#part")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let post = answer.json();
    let id = post["id"].as_str().expect("an id");
    let link = format!(
        "https://example.org/a?utm_source=mine&utm_medium=social&utm_campaign=2027-03-11&p={id}&a=Bakery+on+facebook_page#part"
    );
    assert_eq!(post["publications"][0]["link"], json!(link));
    assert_eq!(post["link"], "https://example.org/a?utm_source=mine#part", "as it was written");
    assert_eq!(post["caption"], "Look: https://example.org/in-the-words");
    // what was accepted stays so, whatever becomes of the template
    door.scratch.ledger.set_link_template(door.workspace, None).await.expect("set");
    let later = door.get(&format!("/api/v1/posts/{id}")).await.json();
    assert_eq!(later["publications"][0]["link"], json!(link));
    let other = door.post(&body(account, "https://example.org/b")).await.json();
    assert_eq!(other["publications"][0].get("link"), None, "no template, no other link");
}

#[tokio::test]
async fn a_changed_post_gets_its_link_anew_by_its_new_time() {
    let door = Door::open().await;
    with_template(&door).await;
    let account = door.account("facebook_page").await;
    let post = door.post(&body(account, "https://example.org/a")).await.json();
    let id = post["id"].as_str().expect("an id");
    let change = async |patch: Value| {
        let request = door.request(&Method::PATCH, &format!("/api/v1/posts/{id}"));
        let request = request.header("content-type", "application/json");
        let answer = door.send(request.body(Body::from(patch.to_string())).expect("a request")).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        answer.json()["publications"][0]["link"].as_str().expect("a link").to_owned()
    };
    let words = change(json!({ "caption": "Other words" })).await;
    assert_eq!(json!(words), post["publications"][0]["link"], "its day is the one it was written for");
    let moved = change(json!({ "schedule": { "at": "2027-04-01T09:00:00", "time_zone": "UTC" } })).await;
    assert!(moved.contains("utm_campaign=2027-04-01") && moved.contains(&format!("p={id}")), "{moved}");
    let other = change(json!({ "link": "https://example.org/b?x=1" })).await;
    assert!(other.starts_with("https://example.org/b?x=1&utm_source=facebook&"), "{other}");
}

#[tokio::test]
async fn a_link_stays_as_it_was_accepted_unless_the_change_is_about_what_it_is_made_of() {
    let door = Door::open().await;
    with_template(&door).await;
    let account = door.account("facebook_page").await;
    let post = door.post(&body(account, "https://example.org/a")).await.json();
    let id = post["id"].as_str().expect("an id");
    let change = async |patch: Value| {
        let request = door.request(&Method::PATCH, &format!("/api/v1/posts/{id}"));
        let request = request.header("content-type", "application/json");
        let answer = door.send(request.body(Body::from(patch.to_string())).expect("a request")).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        answer.json()["publications"][0]["link"].clone()
    };
    let accepted = &post["publications"][0]["link"];
    // what becomes of the template and of the account's name is no change of the post
    door.scratch.run("UPDATE account SET name = 'Another name'").await;
    door.scratch.ledger.set_link_template(door.workspace, Some("utm_source=new")).await.expect("set");
    let same_day = json!({ "schedule": { "at": "2027-03-11T09:00:00", "time_zone": "Asia/Jerusalem" } });
    let next_day = json!({ "schedule": { "at": "2027-03-12T09:00:00", "time_zone": "Asia/Jerusalem" } });
    for unrelated in [json!({ "caption": "Other words" }), same_day, next_day] {
        assert_eq!(&change(unrelated.clone()).await, accepted, "{unrelated}: no day is in the template");
    }
    let other = change(json!({ "link": "https://example.org/b" })).await;
    assert_eq!(other, "https://example.org/b?utm_source=new");
}

#[tokio::test]
async fn a_check_and_the_form_show_the_link_as_it_will_be() {
    let door = Door::open().await;
    with_template(&door).await;
    let account = door.account("facebook_page").await;
    let request =
        door.request(&Method::POST, "/api/v1/posts:check").header("content-type", "application/json");
    let body = body(account, "https://example.org/a").to_string();
    let report = door.send(request.body(Body::from(body)).expect("a request")).await.json();
    let link = "https://example.org/a?utm_source=facebook&utm_medium=social&utm_campaign=2027-03-11&p=post_id&a=Bakery+on+facebook_page";
    assert_eq!(report["targets"][0]["link"], link, "{report}");
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let id = account.to_string();
    let fields = [
        ("key", "k-1"),
        ("caption", "x"),
        ("target", id.as_str()),
        ("link", "https://example.org/a"),
        ("when", "now"),
    ];
    let page = browser.compose_at("/posts/new/check", &fields, &[]).await;
    assert!(page.text.contains("Bakery on facebook_page gets:"), "{}", page.text);
    assert!(page.text.contains("https://example.org/a?utm_source=facebook&#38;utm_medium=social"));
}

#[tokio::test]
async fn a_link_that_grows_too_long_and_a_template_that_cannot_be_read_are_said_at_the_door() {
    let door = Door::open().await;
    with_template(&door).await;
    let account = door.account("facebook_page").await;
    let long = format!("https://example.org/{}", "a".repeat(2_000));
    let found = ("link".to_owned(), "link_too_long".to_owned());
    assert_eq!(door.post(&body(account, &long)).await.only_finding(), found);
    door.scratch
        .ledger
        .set_link_template(door.workspace, Some("utm_campaign={campaign}"))
        .await
        .expect("set");
    let answer = door.post(&body(account, "https://example.org/a")).await;
    assert_eq!(answer.only_finding(), ("link".to_owned(), "link_template".to_owned()));
    assert!(answer.text.contains("found {campaign}"), "{}", answer.text);
    let plain = json!({ "caption": "no link", "targets": [{ "account_id": account }] });
    assert_eq!(door.post(&plain).await.status, StatusCode::ACCEPTED, "a post without a link is not held up");
}

#[tokio::test]
async fn a_repetition_is_one_whatever_its_links_are_made_into() {
    let door = Door::open().await;
    with_template(&door).await;
    let account = door.account("facebook_page").await;
    let first = door.post(&body(account, "https://example.org/a")).await.json();
    let second = door.post(&body(account, "https://example.org/a")).await.json();
    let finding = &second["publications"][0]["findings"][0];
    assert_eq!((&finding["code"], &finding["post_id"]), (&json!("duplicate"), &first["id"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_gets_the_link_that_was_shown_and_a_bad_template_never_gets_in() {
    let system = System::with_workers(1).await;
    let set = |template: &'static str| ["workspace", "utm", "Bakery", "--set", template];
    let (status, _, complaint) = system.try_postroom(&set("utm_campaign={campaign}"), "").await;
    assert_eq!(status, 2, "wrong usage");
    assert!(complaint.contains("found {campaign}") && complaint.contains("{post_id}"), "{complaint}");
    assert_eq!(system.postroom(&["workspace", "utm", "Bakery"], "").await, "");
    let template = "utm_source={platform}&utm_content={surface}-{post_id}";
    assert_eq!(system.postroom(&set(template), "").await, template);
    assert_eq!(system.told(&["workspace", "utm", "Bakery"]).await, json!({ "link_template": template }));
    let mut wish = system.wish("a link", &[FACEBOOK], &[]);
    wish["link"] = json!("https://example.org/straße?x=1#s");
    let (status, post) = system.api(reqwest::Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    let id = post["id"].as_str().unwrap();
    let link = format!("https://example.org/stra%C3%9Fe?x=1&utm_source=facebook&utm_content=link-{id}#s");
    assert_eq!(post["publications"][0]["link"], json!(link));
    let published = system.until(id, "published").await;
    let remote = published["publications"][0]["remote_id"].as_str().unwrap();
    let graph = system.addresses["graph"].as_str().unwrap();
    let address = format!("{graph}/{remote}?fields=attachments&access_token=sandbox-page-token");
    let shown: Value = reqwest::get(address).await.unwrap().json().await.unwrap();
    assert_eq!(shown["attachments"]["data"][0]["url"], json!(link), "{shown}");
    assert_eq!(system.postroom(&["workspace", "utm", "Bakery", "--none"], "").await, "");
}
