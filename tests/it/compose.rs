//! The form of a new post: checked before it is sent, and its slides put in order; without a script.

use axum::http::StatusCode;
use postroom::ledger::people::MemberRole;
use serde_json::json;

use crate::{
    console::Browser,
    support::{Door, jpeg},
};

const CHECK: &str = "/posts/new/check";
const ARRANGE: &str = "/posts/new/arrange";

/// The ids of the files that the form keeps, in its order.
fn files(page: &str) -> Vec<String> {
    let after = page.split("name=\"media_id\" value=\"").skip(1);
    after.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// The tag that begins with this.
fn tag<'a>(page: &'a str, start: &str) -> &'a str {
    let from = page.find(start).unwrap_or_else(|| panic!("no {start} in {page}"));
    page[from..].split('>').next().unwrap_or_default()
}

#[tokio::test]
async fn a_check_shows_each_finding_beside_its_field_and_sends_nothing() {
    let door = Door::open().await;
    let [instagram, tiktok] =
        [door.account("instagram_business").await.to_string(), door.account("tiktok").await.to_string()];
    door.scratch
        .run("UPDATE account SET token_expires_at = now() WHERE platform = 'instagram_business'")
        .await;
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let caption = "#bread ".repeat(31);
    let fields = [
        ("key", "k-1"),
        ("caption", caption.as_str()),
        ("kind", "post"),
        ("target", instagram.as_str()),
        ("target", tiktok.as_str()),
        ("link", "http://10.0.0.1/"),
        ("when", "now"),
    ];
    let page = browser.compose_at(CHECK, &fields, &[("loaf.jpg", &jpeg(40, 40))]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let caption = tag(&page.text, "<textarea id=\"caption\"");
    assert!(
        caption.contains("aria-describedby=\"wrong-caption limits\"") && caption.contains("aria-invalid")
    );
    assert!(caption.contains(" autofocus"), "the first of them is where reading begins");
    assert_eq!(page.text.matches(" autofocus").count(), 1);
    assert!(tag(&page.text, "<input type=\"url\" id=\"link\"").contains("wrong-link"));
    let level = tag(&page.text, &format!("<select id=\"privacy-{tiktok}\""));
    assert!(level.contains(&format!("aria-describedby=\"wrong-privacy-{tiktok}\"")), "{level}");
    let account =
        tag(&page.text, &format!("<input type=\"checkbox\" name=\"target\" id=\"target-{instagram}\""));
    assert!(account.contains(&format!("aria-describedby=\"wrong-target-{instagram}\"")), "{account}");
    assert!(page.text.contains("class=\"warning\"") && page.text.contains("loaf.jpg"));
    let kept = files(&page.text);
    assert_eq!(kept.len(), 1, "the file is kept by its id");
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 0);

    // the form itself says the same when it is sent
    let mut sent: Vec<(&str, &str)> = fields.to_vec();
    sent.push(("media_id", &kept[0]));
    let refused = browser.compose(&sent, &[]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let list = |page: &str| {
        let list = page.split("id=\"summary\"").nth(1).and_then(|rest| rest.split("</ul>").next());
        list.unwrap_or_default().to_owned()
    };
    assert!(!list(&page.text).is_empty());
    assert_eq!(list(&page.text), list(&refused.text));
}

#[tokio::test]
async fn a_check_that_finds_nothing_says_so_and_one_that_only_warns_can_be_sent() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await.to_string();
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let fields = [("key", "k-1"), ("caption", "bread"), ("target", account.as_str()), ("when", "now")];
    let page = browser.compose_at(CHECK, &fields, &[]).await;
    assert!(page.text.contains("Nothing stands in the way") && !page.text.contains("id=\"summary\""));
    door.scratch.run("UPDATE account SET token_expires_at = now() + interval '1 minute'").await;
    let page = browser.compose_at(CHECK, &fields, &[]).await;
    assert!(page.text.contains("It can be sent as it is") && page.text.contains("Facebook: The access"));
    assert_eq!(browser.compose(&fields, &[]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 1);
}

#[tokio::test]
async fn slides_are_put_in_order_and_everything_else_of_the_form_stays() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await.to_string();
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let mut fields = vec![
        ("key", "k-1"),
        ("caption", "three slides"),
        ("kind", "carousel"),
        ("target", account.as_str()),
        ("when", "later"),
        ("date", "2027-05-05"),
        ("time", "09:30"),
        ("zone", "Asia/Jerusalem"),
    ];
    let pictures = [jpeg(40, 40), jpeg(50, 50), jpeg(60, 60)];
    let chosen = [("a.jpg", &pictures[0][..]), ("b.jpg", &pictures[1][..]), ("c.jpg", &pictures[2][..])];
    let page = browser.compose_at(CHECK, &fields, &chosen).await;
    let before = files(&page.text);
    assert_eq!(before.len(), 3);
    let ends = |page: &str, way: &str| page.matches(&format!("value=\"{way}:")).count();
    assert_eq!(
        (ends(&page.text, "earlier"), ends(&page.text, "later")),
        (2, 2),
        "an end has no way beyond it"
    );

    let (earlier, more) = (format!("earlier:{}", before[2]), jpeg(70, 70));
    fields.extend(before.iter().map(|id| ("media_id", id.as_str())));
    fields.push(("arrange", &earlier));
    let page = browser.compose_at(ARRANGE, &fields, &[("d.jpg", &more)]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let after = files(&page.text);
    assert_eq!(after[..3], [before[0].clone(), before[2].clone(), before[1].clone()]);
    assert_eq!(after.len(), 4, "a file chosen meanwhile comes along");
    for kept in [
        "three slides",
        "value=\"carousel\" checked",
        "value=\"2027-05-05\"",
        "value=\"09:30\"",
        "<option value=\"Asia/Jerusalem\" selected",
    ] {
        assert!(page.text.contains(kept), "{kept} is missing");
    }
    assert!(
        tag(&page.text, &format!("<button class=\"quiet small\" name=\"arrange\" value=\"{earlier}\""))
            .contains(" autofocus")
    );
    assert!(page.text.contains("Move “c.jpg” earlier; it is 2 of 4"));
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 0);
    assert_eq!(door.scratch.number("SELECT count(*) FROM media").await, 4, "no file is uploaded twice");
}

#[tokio::test]
async fn what_a_check_before_its_time_found_stands_on_the_posts_page_while_it_can_be_mended() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let body = json!({
        "caption": "x", "targets": [{ "account_id": account }],
        "schedule": { "at": "2027-05-05T09:30:00", "time_zone": "UTC" },
    });
    let id = door.post(&body).await.json()["id"].as_str().expect("an id").to_owned();
    let finding = json!([{
        "field": "account_id", "code": "access_ends", "detail": "It ends <soon>.", "who_acts": "owner"
    }]);
    door.scratch
        .run(&format!(
            "INSERT INTO publication_check (publication_id, findings) SELECT id, '{finding}' FROM publication"
        ))
        .await;
    let (page, path) = (format!("/posts/{id}"), format!("/api/v1/posts/{id}"));
    let shown = browser.get(&page).await.text;
    assert!(
        shown.contains("It ends &#60;soon&#62;.") && shown.contains("connect the account again"),
        "{shown}"
    );
    assert_eq!(door.get(&path).await.json()["publications"][0]["findings"][0]["code"], "access_ends");
    door.scratch.run("UPDATE publication SET state = 'failed'").await;
    assert!(!browser.get(&page).await.text.contains("It ends"), "nobody can mend it any more");
    assert_eq!(door.get(&path).await.json()["publications"][0]["findings"], json!([]));
}

#[tokio::test]
async fn a_repetition_is_shown_with_a_way_to_the_other_post_before_and_after_it_is_sent() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await.to_string();
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let body = json!({ "caption": "bread", "targets": [{ "account_id": account }] });
    let first = door.post(&body).await.json()["id"].as_str().expect("an id").to_owned();
    let fields = [("key", "k-1"), ("caption", "bread"), ("target", account.as_str()), ("when", "now")];
    let page = browser.compose_at(CHECK, &fields, &[]).await;
    let way = format!("<a href=\"/posts/{first}\"");
    assert!(page.text.contains("Another post says the same") && page.text.contains(&way), "{}", page.text);
    assert!(page.text.contains("It can be sent as it is"));
    let sent = browser.compose(&fields, &[]).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    let shown = browser.get(sent.header("location")).await.text;
    assert!(shown.contains("Another post says the same") && shown.contains(&way), "{shown}");
}

#[tokio::test]
async fn an_account_says_its_own_words_and_what_is_wrong_with_them_stands_beside_their_field() {
    let door = Door::open().await;
    let [own, common] =
        [door.account("facebook_page").await.to_string(), door.account("facebook_page").await.to_string()];
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let (words, empty) = (format!("words-{own}"), format!("words-{common}"));
    let mut fields = vec![
        ("key", "k-1"),
        ("caption", "for all"),
        ("kind", "post"),
        ("target", common.as_str()),
        ("target", own.as_str()),
        (empty.as_str(), " "),
        ("when", "now"),
    ];
    let long = "x".repeat(70_000);
    let mut too_long = fields.clone();
    too_long.push((&words, &long));
    let page = browser.compose(&too_long, &[]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", page.text);
    let field = tag(&page.text, &format!("<textarea id=\"{words}\""));
    assert!(
        field.contains("aria-invalid") && field.contains(&format!("wrong-{words} words-hint-{own}")),
        "{field}"
    );
    assert!(field.contains("data-most=\"") && field.contains(" autofocus"), "{field}");
    assert!(page.text.contains(&format!("id=\"wrong-{words}\"")) && page.text.contains(&long));
    assert!(page.text.contains("Own words for this account: "), "the list above names the field");
    assert!(!tag(&page.text, "<textarea id=\"caption\"").contains("aria-invalid"), "that one is good");
    let opened = |account: &str| {
        tag(&page.text, &format!("<details class=\"sub own\" id=\"own-{account}\"")).ends_with(" open")
    };
    assert!(opened(&own), "what was written is in sight without a script");
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 0);

    fields.push((&words, "only\r\nhere"));
    let kept = browser.compose_at(CHECK, &fields, &[]).await;
    assert!(kept.text.contains("\nonly\nhere</textarea>"), "{}", kept.text);
    let sent = browser.compose(&fields, &[]).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
    let own_words = format!(
        "SELECT count(*) FROM publication WHERE account_id = '{own}' AND caption = 'only' || chr(10) || 'here'"
    );
    assert_eq!(door.scratch.number(&own_words).await, 1);
    let none = format!("SELECT count(*) FROM publication WHERE account_id = '{common}' AND caption IS NULL");
    assert_eq!(door.scratch.number(&none).await, 1, "an empty field asks for the caption");
    let shown = browser.get(sent.header("location")).await.text;
    assert!(shown.contains("<p class=\"caption own\" dir=\"auto\">only\nhere</p>"), "{shown}");
}
