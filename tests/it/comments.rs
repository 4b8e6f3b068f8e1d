//! The first comment under a post: a publication of its own, once, after its post and never without it.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use jobs::failpoint::Point;
use postroom::ledger::people::MemberRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    console::Browser,
    harness::{FACEBOOK, INSTAGRAM, System, eventually, film, picture},
    support::Door,
};

/// A post for a time far off, whose target asks for a comment.
async fn later(door: &Door, platform: &str, comment: &str) -> (Uuid, Value) {
    let account = door.account(platform).await;
    let body = json!({
        "caption": "Opening day", "schedule": { "at": "2027-12-01T09:30", "time_zone": "UTC" },
        "targets": [{ "account_id": account, "options": { "first_comment": comment } }],
    });
    let answer = door.post(&body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    (account, answer.json())
}

#[tokio::test]
async fn a_comment_that_is_still_to_come_is_not_sent_under_what_somebody_wants_away() {
    let door = Door::open().await;
    let (_, post) = later(&door, "facebook_page", "First!").await;
    let public = "state = 'published', public_id = '104_1', public_url = 'https://facebook.com/104/posts/1',
                  handle_kind = 'draft', handle_id = '1', handle_state = 'spent'";
    door.scratch.run(&format!("UPDATE publication SET {public} WHERE parent_id IS NULL")).await;
    assert_eq!(door.scratch.number(COMMENTS_WITH_JOBS).await, 1, "its post is public");
    let parent =
        post["publications"].as_array().expect("a list").iter().find(|it| it["surface"] != "comment");
    let id = parent.expect("a post")["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/publications/{id}/take-down");
    assert_eq!(send(&door, Method::POST, &path, &json!({})).await, StatusCode::ACCEPTED);
    assert_eq!(state(&read(&door, &post).await).0, "cancelled");
    assert_eq!(door.scratch.number(COMMENTS_WITH_JOBS).await, 0);
    let waits = "SELECT count(*) FROM publication WHERE waits_for_parent(parent_id)";
    assert_eq!(door.scratch.number(waits).await, 1, "nor is it sent by whoever is at it");
}

async fn read(door: &Door, post: &Value) -> Value {
    door.get(&format!("/api/v1/posts/{}", post["id"].as_str().expect("an id"))).await.json()
}

async fn send(door: &Door, method: Method, path: &str, body: &Value) -> StatusCode {
    let request = door.request(&method, path).header("content-type", "application/json");
    door.send(request.body(Body::from(body.to_string())).expect("a request")).await.status
}

/// State and cause of the comment.
fn state(post: &Value) -> (String, Value) {
    let publications = post["publications"].as_array().expect("a list");
    let comment = publications.iter().find(|it| it["surface"] == "comment").expect("a comment");
    (comment["state"].as_str().expect("a state").to_owned(), comment["error"]["code"].clone())
}

const COMMENTS_WITH_JOBS: &str =
    "SELECT count(*) FROM job j JOIN publication p ON p.id = j.publication_id WHERE p.surface = 'comment'";

#[tokio::test]
async fn a_post_has_a_comment_only_where_its_target_asked_for_one() {
    let door = Door::open().await;
    let (account, post) = later(&door, "facebook_page", "First!").await;
    let other = door.account("facebook_page").await;
    let publications = post["publications"].as_array().expect("a list");
    assert_eq!(publications.len(), 2, "{post}");
    let (parent, comment) = (&publications[0], &publications[1]);
    assert_eq!((&parent["surface"], parent.get("parent_id")), (&json!("text"), None));
    assert_eq!((&comment["surface"], &comment["parent_id"]), (&json!("comment"), &parent["id"]));
    assert_eq!((&comment["account_id"], &comment["state"]), (&json!(account), &json!("scheduled")));
    assert_eq!(read(&door, &post).await, post, "whoever looks later sees the same");
    assert_eq!(door.scratch.number(COMMENTS_WITH_JOBS).await, 0, "nobody works on it yet");
    let plain = json!({ "caption": "x", "targets": [{ "account_id": other }] });
    assert_eq!(door.post(&plain).await.json()["publications"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_a_network_takes_as_a_comment_is_said_at_the_door() {
    let door = Door::open().await;
    let [facebook, instagram, tiktok] = [
        door.account("facebook_page").await,
        door.account("instagram_business").await,
        door.account("tiktok").await,
    ];
    let body = |account: Uuid, words: &str| json!({ "caption": "x", "targets": [{ "account_id": account, "options": { "first_comment": words } }] });
    let field = "targets[0].options.first_comment".to_owned();
    let found = async |account, words: &str| {
        let answer = door.post(&body(account, words)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        let of_comment = |(at, code): (String, String)| (at == field).then_some(code);
        answer.findings().into_iter().filter_map(of_comment).collect::<Vec<_>>()
    };
    assert_eq!(found(facebook, &"a".repeat(8_001)).await, ["comment_too_long"]);
    assert_eq!(found(facebook, " ").await, ["empty_comment"]);
    assert_eq!(found(instagram, &"a".repeat(2_201)).await, ["comment_too_long"]);
    assert_eq!(found(instagram, &"#a ".repeat(31)).await, ["too_many_hashtags"]);
    assert_eq!(found(tiktok, "First!").await, ["first_comment_unsupported"]);
    let refused = door.post(&body(tiktok, "First!")).await.json();
    let errors = refused["errors"].as_array().expect("a list");
    let named = errors.iter().find(|error| error["field"] == field.as_str()).expect("it is named");
    assert_eq!(named["accepted"], json!(["facebook_page", "instagram_business"]));
    assert!(named["detail"].as_str().is_some_and(|it| it.contains("Facebook and Instagram do")), "{named}");
}

#[tokio::test]
async fn a_comment_waits_for_its_post_and_for_what_the_network_calls_it() {
    let door = Door::open().await;
    let (_, post) = later(&door, "facebook_page", "First!").await;
    let jobs = async || door.scratch.number(COMMENTS_WITH_JOBS).await;
    let parent = "parent_id IS NULL";
    door.scratch.run("UPDATE publication SET latest_at = ledger_now() - interval '1 day'").await;
    door.scratch.ledger.mend(std::time::Duration::from_secs(1)).await.expect("mended");
    // its post was late and is held; so is it
    let held = ("held".to_owned(), json!("parent_held"));
    assert_eq!(state(&read(&door, &post).await), held);
    door.scratch.run(&format!("UPDATE publication SET state = 'published' WHERE {parent}")).await;
    assert_eq!((state(&read(&door, &post).await).0.as_str(), jobs().await), ("scheduled", 0));
    door.scratch.ledger.mend(std::time::Duration::from_secs(1)).await.expect("mended");
    assert_eq!(jobs().await, 0, "nobody knows yet what it stands under");
    door.scratch.run(&format!("UPDATE publication SET public_id = '104_1' WHERE {parent}")).await;
    assert_eq!(jobs().await, 1);
    let moved = "SELECT count(*) FROM publication WHERE surface = 'comment' AND scheduled_for <= ledger_now()
                 AND latest_at > ledger_now() + interval '5 hours'";
    assert_eq!(door.scratch.number(moved).await, 1, "its time begins with its post");
}

#[tokio::test]
async fn a_comment_is_cancelled_with_its_post_and_says_why() {
    let door = Door::open().await;
    let (_, post) = later(&door, "facebook_page", "First!").await;
    let path = format!("/api/v1/posts/{}", post["id"].as_str().expect("an id"));
    assert_eq!(send(&door, Method::POST, &format!("{path}/cancel"), &json!({})).await, StatusCode::ACCEPTED);
    assert_eq!(state(&read(&door, &post).await), ("cancelled".to_owned(), json!("parent_cancelled")));

    let (_, post) = later(&door, "facebook_page", "Second!").await;
    let path = format!("/api/v1/posts/{}", post["id"].as_str().expect("an id"));
    door.scratch
        .run("UPDATE publication SET state = 'failed' WHERE parent_id IS NULL AND state = 'scheduled'")
        .await;
    door.scratch.run("DELETE FROM job").await;
    let failed = read(&door, &post).await;
    assert_eq!(
        (&failed["state"], state(&failed)),
        (&json!("failed"), ("cancelled".to_owned(), json!("parent_failed")))
    );
    // tried again, it comes along
    assert_eq!(send(&door, Method::POST, &format!("{path}/retry"), &json!({})).await, StatusCode::ACCEPTED);
    assert_eq!(state(&read(&door, &post).await), ("scheduled".to_owned(), Value::Null));
    assert_eq!(door.scratch.number(COMMENTS_WITH_JOBS).await, 0);
}

#[tokio::test]
async fn a_comment_is_not_tried_again_before_its_post_is_out() {
    let door = Door::open().await;
    let (_, post) = later(&door, "facebook_page", "First!").await;
    let path = format!("/api/v1/posts/{}", post["id"].as_str().expect("an id"));
    door.scratch
        .run("UPDATE publication SET state = 'held', handle_kind = 'draft', handle_id = '1', handle_state = 'ready' WHERE parent_id IS NULL")
        .await;
    door.scratch.run("DELETE FROM job").await;
    door.scratch
        .run(
            "INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind, handle_id,
                                      deadline_at, verdict)
             SELECT gen_random_uuid(), id, account_id, id, 1, id, 'commit', handle_id, ledger_now(), 'ambiguous'
             FROM publication WHERE parent_id IS NULL",
        )
        .await;
    assert_eq!(send(&door, Method::POST, &format!("{path}/retry"), &json!({})).await, StatusCode::CONFLICT);
    assert_eq!(state(&read(&door, &post).await).0, "held");
    assert_eq!(door.scratch.number(COMMENTS_WITH_JOBS).await, 0);
}

#[tokio::test]
async fn a_change_of_a_post_changes_adds_and_takes_away_its_comment() {
    let door = Door::open().await;
    let (account, post) = later(&door, "facebook_page", "First!").await;
    let path = format!("/api/v1/posts/{}", post["id"].as_str().expect("an id"));
    let change = async |patch: Value| {
        assert_eq!(send(&door, Method::PATCH, &path, &patch).await, StatusCode::ACCEPTED, "{patch}");
        let now = read(&door, &post).await;
        assert_eq!(now["publications"].as_array().map(Vec::len), Some(2), "{now}");
        state(&now).0
    };
    let words = "SELECT count(*) FROM publication WHERE surface = 'comment' AND caption = ";
    let says = async |text: &str| door.scratch.number(&format!("{words}'{text}'")).await == 1;
    let options = |options: Value| json!({ "targets": [{ "account_id": account, "options": options }] });
    assert_eq!(change(json!({ "caption": "Other words" })).await, "scheduled");
    assert!(says("First!").await, "what is not named stays");
    assert_eq!(change(options(json!({ "first_comment": "Better" }))).await, "scheduled");
    assert!(says("Better").await);
    assert_eq!(change(options(json!({}))).await, "cancelled");
    assert_eq!(change(json!({ "caption": "Yet other words" })).await, "cancelled");
    assert_eq!(change(options(json!({ "first_comment": "Again" }))).await, "scheduled");
    assert!(says("Again").await);
    let moved = json!({ "schedule": { "at": "2027-12-02T09:30", "time_zone": "UTC" } });
    assert_eq!(change(moved).await, "scheduled");
    let with_it = "SELECT count(DISTINCT scheduled_for) FROM publication";
    assert_eq!(door.scratch.number(with_it).await, 1, "it moves with its post");
    let long = options(json!({ "first_comment": "a".repeat(8_001) }));
    assert_eq!(send(&door, Method::PATCH, &path, &long).await, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn the_form_has_a_field_for_it_where_the_network_takes_one() {
    let door = Door::open().await;
    let [facebook, tiktok] =
        [door.account("facebook_page").await.to_string(), door.account("tiktok").await.to_string()];
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let fresh = browser.get("/posts/new").await.text;
    assert!(fresh.contains(&format!("id=\"comment-{facebook}\"")) && fresh.contains("data-most=\"8000\""));
    assert!(!fresh.contains(&format!("id=\"comment-{tiktok}\"")));
    let (name, long) = (format!("comment-{facebook}"), "a".repeat(8_001));
    let fields = |words: &'static str| {
        [
            ("key", "k-1"),
            ("caption", "bread"),
            ("target", facebook.as_str()),
            (name.as_str(), words),
            ("when", "now"),
        ]
    };
    let mut wrong = fields("");
    wrong[3].1 = &long;
    let page = browser.compose_at("/posts/new/check", &wrong, &[]).await.text;
    assert!(
        page.contains(&format!("id=\"wrong-{name}\"")) && page.contains("The first comment has 8001"),
        "{page}"
    );
    let sent = browser.compose(&fields(" "), &[]).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "an empty field asks for none");
    assert_eq!(door.scratch.number("SELECT count(*) FROM publication").await, 1);
    let mut wanted = fields("First!");
    wanted[0].1 = "k-2";
    let sent = browser.compose(&wanted, &[]).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    let page = browser.get(sent.header("location")).await.text;
    assert!(
        page.contains("First comment") && page.contains("Sent under the post once that is public"),
        "{page}"
    );
}

/// Accepts a post that is due at once, with a comment on each network; gives its id.
async fn post(system: &System, platforms: &[&str], tag: &str) -> String {
    let media = match platforms {
        [FACEBOOK] => Vec::new(),
        _ => vec![system.upload("picture.jpg", picture()).await],
    };
    let mut wish = system.wish(&format!("post: {tag}"), platforms, &media);
    for target in wish["targets"].as_array_mut().unwrap() {
        target["options"]["first_comment"] = json!(format!("comment: {tag}"));
    }
    let (status, post) = system.api(reqwest::Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    post["id"].as_str().unwrap().to_owned()
}

/// The comments are public once each, after their posts, and found where the ledger says.
async fn all_public_once(system: &System, id: &str, platforms: &[&str], tag: &str) {
    // what was in doubt is called published before its address is known
    let published = eventually("published, with addresses", || async {
        let (_, post) = system.api(reqwest::Method::GET, &format!("/api/v1/posts/{id}"), None).await;
        let named = |it: &Value| it["state"] == "published" && it["permalink"].is_string();
        if post["publications"].as_array().unwrap().iter().all(named) {
            Ok(post)
        } else {
            Err(post.to_string())
        }
    })
    .await;
    let publications = published["publications"].as_array().unwrap();
    assert_eq!(publications.len(), 2 * platforms.len());
    for platform in platforms {
        let posts = system.effects(platform, &format!("post: {tag}")).await;
        let comments = system.effects(platform, &format!("comment: {tag}")).await;
        assert_eq!((posts.len(), comments.len()), (1, 1), "{platform} {tag}");
        assert!(posts[0]["seq"].as_u64() < comments[0]["seq"].as_u64(), "never before its post");
        let comment =
            publications.iter().find(|it| it["surface"] == "comment" && it["platform"] == *platform);
        let comment = comment.unwrap();
        assert_eq!(comment["remote_id"], comments[0]["object_id"]);
        assert!(comment["permalink"].as_str().is_some_and(|url| url.starts_with("http")), "{comment}");
        assert_eq!(comment["permalink"], comments[0]["permalink"]);
    }
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_is_published_once_under_its_post_with_its_address() {
    let system = System::with_workers(2).await;
    let id = post(&system, &[FACEBOOK, INSTAGRAM], "plain").await;
    all_public_once(&system, &id, &[FACEBOOK, INSTAGRAM], "plain").await;
    let media = [system.upload("film.mp4", film()).await];
    let mut wish = system.wish("post: reel", &[INSTAGRAM], &media);
    wish["kind"] = json!("reel");
    wish["targets"][0]["options"]["first_comment"] = json!("comment: reel");
    let (status, reel) = system.api(reqwest::Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{reel}");
    all_public_once(&system, reel["id"].as_str().unwrap(), &[INSTAGRAM], "reel").await;
    let base = system.addresses["graph"].as_str().unwrap().split("/graph").next().unwrap();
    let wall = reqwest::get(base).await.unwrap().text().await.unwrap();
    assert!(wall.contains("comment: plain") && wall.contains("comment: reel"), "the wall shows them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_whose_answer_is_lost_is_found_and_not_repeated() {
    let system = System::with_workers(1).await;
    for fault in ["effect_then_500", "effect_then_drop"] {
        for platform in [FACEBOOK, INSTAGRAM] {
            system
                .fault(json!({ "network": platform, "call": "comments", "times": 1, "fault": fault }))
                .await;
        }
        let id = post(&system, &[FACEBOOK, INSTAGRAM], fault).await;
        all_public_once(&system, &id, &[FACEBOOK, INSTAGRAM], fault).await;
    }
    let doubts = "SELECT count(*) FROM remote_call WHERE kind = 'commit' AND verdict = 'resolved_yes'";
    assert_eq!(system.database.count(doubts).await, 4, "each was in doubt once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_of_which_there_is_no_trace_is_held_and_never_sent_again() {
    let system = System::with_workers(1).await;
    for platform in [FACEBOOK, INSTAGRAM] {
        let fault =
            json!({ "network": platform, "call": "comments", "times": 1, "fault": "no_effect_then_500" });
        system.fault(fault).await;
    }
    let id = post(&system, &[FACEBOOK, INSTAGRAM], "nothing").await;
    eventually("both held", || async {
        let (_, post) = system.api(reqwest::Method::GET, &format!("/api/v1/posts/{id}"), None).await;
        let all = post["publications"].as_array().unwrap();
        let is = |surface: bool, state: &str| {
            all.iter().filter(|it| (it["surface"] == "comment") == surface && it["state"] == state).count()
        };
        // the post is public all the same, and is not to be sent again
        let told = (is(true, "held"), is(false, "published"), post["state"].as_str());
        if told == (2, 2, Some("published")) { Ok(()) } else { Err(post.to_string()) }
    })
    .await;
    let (status, _) = system.api(reqwest::Method::POST, &format!("/api/v1/posts/{id}/retry"), None).await;
    assert_eq!(status, 409, "only a person's word leads on");
    for platform in [FACEBOOK, INSTAGRAM] {
        assert!(system.effects(platform, "comment: nothing").await.is_empty());
    }
    let sent = system.control("calls?call=comments").await;
    assert_eq!(sent["data"].as_array().unwrap().len(), 2, "each was sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_after_it_sent_a_comment_leaves_one() {
    let mut system = System::start().await;
    let id = post(&system, &[FACEBOOK], "killed").await;
    // the first dies when the post is out, the second when the comment is
    for _ in 0..2 {
        system.start_worker(&[(Point::AfterCommitAnswer.word(), "kill9")]);
        let mut worker = system.workers.pop().unwrap();
        assert!(worker.ended().await.is_none(), "nothing was sent: {}", worker.log());
    }
    assert_eq!(system.effects(FACEBOOK, "comment: killed").await.len(), 1);
    system.start_worker(&[]);
    all_public_once(&system, &id, &[FACEBOOK], "killed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_goes_nowhere_with_a_post_that_fails_and_comes_along_when_it_is_tried_again() {
    let system = System::with_workers(1).await;
    let no =
        json!({ "graph": { "code": 100, "subcode": 1, "http": 400, "message": "not so", "effect": false } });
    system.fault(json!({ "network": FACEBOOK, "call": "prepare", "times": 1, "fault": no })).await;
    let id = post(&system, &[FACEBOOK], "again").await;
    let failed = system.until(&id, "failed").await;
    assert_eq!(state(&failed), ("cancelled".to_owned(), json!("parent_failed")));
    let (status, _) = system.api(reqwest::Method::POST, &format!("/api/v1/posts/{id}/retry"), None).await;
    assert_eq!(status, 202);
    all_public_once(&system, &id, &[FACEBOOK], "again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_for_comments_fails_the_comment_and_rests_no_account() {
    let system = System::with_workers(1).await;
    system
        .tell(
            "settings",
            &json!({ "declined_scopes": ["pages_manage_engagement", "instagram_manage_comments"] }),
        )
        .await;
    let id = post(&system, &[FACEBOOK, INSTAGRAM], "forbidden").await;
    let ended = eventually("both comments failed", || async {
        let (_, post) = system.api(reqwest::Method::GET, &format!("/api/v1/posts/{id}"), None).await;
        let failed = |it: &&Value| it["surface"] == "comment" && it["state"] == "failed";
        let count = post["publications"].as_array().unwrap().iter().filter(failed).count();
        if count == 2 { Ok(post) } else { Err(post.to_string()) }
    })
    .await;
    assert_eq!(ended["state"], "published", "somebody would send it again");
    for it in ended["publications"].as_array().unwrap() {
        let comment = it["surface"] == "comment";
        assert_eq!(it["state"], if comment { "failed" } else { "published" }, "{it}");
        let says = it["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(comment, says.contains("_manage_"), "{it}");
    }
    let active = "SELECT count(*) FROM account WHERE state = 'active'";
    assert_eq!(system.database.count(active).await, 3);
}
