//! What is found before a post's time: when somebody asks, and when its time comes near.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use jobs::{
    gate::{Allowance, Rate, Visit},
    preflight::{Finding, Who},
};
use postroom::ledger::{finding_told::Stopped, mail::NewMail, people::MemberRole, traffic::Entry};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{FACEBOOK, INSTAGRAM, System, TIKTOK, eventually, film, picture},
    support::{Answer, Door, jpeg, ring},
};

/// Asks the door what a post would run into.
async fn check(door: &Door, body: &Value) -> Answer {
    let request =
        door.request(&Method::POST, "/api/v1/posts:check").header("content-type", "application/json");
    door.send(request.body(Body::from(body.to_string())).expect("a request")).await
}

async fn report(door: &Door, body: &Value) -> Value {
    let answer = check(door, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

/// Field, code, who acts and weight of each finding.
fn told(findings: &Value) -> Vec<[String; 4]> {
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let one = |finding: &Value| ["field", "code", "who_acts", "severity"].map(|name| word(finding, name));
    findings.as_array().expect("a list").iter().map(one).collect()
}

fn codes(findings: &Value) -> Vec<String> {
    told(findings).into_iter().map(|[_, code, _, _]| code).collect()
}

fn at(schedule: &str) -> Value {
    json!({ "at": schedule, "time_zone": "UTC" })
}

#[tokio::test]
async fn a_check_of_a_good_post_finds_nothing_and_publishes_nothing() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let report =
        report(&door, &json!({ "caption": "Opening day", "targets": [{ "account_id": account }] })).await;
    let target = json!({
        "account_id": account, "platform": "facebook_page", "surface": "text", "findings": [], "facts": []
    });
    assert_eq!(report, json!({ "targets": [target], "errors": [] }));
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 0);
    assert_eq!(door.scratch.number("SELECT count(*) FROM job").await, 0);
    assert!(door.hints.lock().expect("unpoisoned").is_empty());
}

#[tokio::test]
async fn a_check_says_for_each_account_what_where_and_who_can_mend_it() {
    let door = Door::open().await;
    let [facebook, instagram, tiktok] = [
        door.account("facebook_page").await,
        door.account("instagram_business").await,
        door.account("tiktok").await,
    ];
    door.scratch
        .run("UPDATE account SET state = 'reconnect', state_reason = '190' WHERE platform = 'facebook_page'")
        .await;
    let body = json!({
        "caption": "🥐".repeat(2_200), "kind": "reel", "captoin": 1, "media_ids": [Uuid::now_v7()],
        "schedule": at("2026-02-30T25:00:00"),
        "targets": [
            { "account_id": facebook }, { "account_id": instagram }, { "account_id": tiktok },
            { "account_id": Uuid::now_v7() }
        ],
    });
    let report = report(&door, &body).await;
    assert_eq!(codes(&report["errors"]), ["unknown_field", "media_unknown", "time_unreal"]);
    let targets = report["targets"].as_array().expect("a list");
    let one = |n: usize| told(&targets[n]["findings"]);
    let row = |field: &str, code: &str, who: &str| [field, code, who, "error"].map(str::to_owned);
    assert_eq!(one(0), [row("targets[0].account_id", "account_not_active", "owner")]);
    assert_eq!((one(1), &targets[1]["platform"]), (vec![], &json!("instagram_business")));
    assert_eq!(
        one(2),
        [
            row("targets[2].caption", "caption_too_long", "author"),
            row("targets[2].options.privacy_level", "privacy_level", "author")
        ]
    );
    assert_eq!(one(3), [row("targets[3].account_id", "account_unknown", "author")]);
    assert_eq!((&targets[3]["platform"], &targets[3]["surface"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_check_and_a_post_find_the_same() {
    let door = Door::open().await;
    let [facebook, instagram, tiktok] = [
        door.account("facebook_page").await,
        door.account("instagram_business").await,
        door.account("tiktok").await,
    ];
    let small = door.upload("small.jpg", &jpeg(5, 5)).await.json()["id"].clone();
    let unready = door.upload("b.jpg", &jpeg(60, 60)).await.json()["id"].clone();
    door.scratch
        .run(&format!("UPDATE media SET state = 'uploading' WHERE id = {unready}").replace('"', "'"))
        .await;
    let all = json!([{ "account_id": facebook }, { "account_id": instagram }, { "account_id": tiktok }]);
    let bodies = [
        json!({ "targets": all }),
        json!({ "caption": "x", "targets": [] }),
        json!({ "caption": "x", "targets": all, "media_ids": [small] }),
        json!({ "caption": "x", "targets": all, "media_ids": [unready] }),
        json!({ "caption": "x", "targets": all, "kind": "story" }),
        json!({ "caption": "#a ".repeat(31), "targets": all, "link": "http://localhost/" }),
        json!({ "caption": "x", "targets": [{ "account_id": facebook }, { "account_id": facebook }] }),
        json!({ "caption": "x", "targets": all, "latest_after": "-PT1H", "schedule": at("2020-01-01T00:00") }),
        json!({ "caption": "x", "targets": [{ "account_id": tiktok, "options": { "colour": "red" } }] }),
        json!({ "caption": "x", "targets": [{ "account_id": facebook }] }),
    ];
    for body in bodies {
        let report = report(&door, &body).await;
        let mut checked = told(&report["errors"]);
        for target in report["targets"].as_array().expect("a list") {
            checked.extend(told(&target["findings"]));
        }
        let mut checked: Vec<_> = checked
            .into_iter()
            .filter(|[_, _, _, severity]| severity == "error")
            .map(|[field, code, _, _]| (field, code))
            .collect();
        let answer = door.post(&body).await;
        let mut refused = if answer.status == StatusCode::ACCEPTED { Vec::new() } else { answer.findings() };
        for list in [&mut checked, &mut refused] {
            list.sort();
            list.dedup(); // what several accounts share is said once by a post, and to each by a check
        }
        assert_eq!(checked, refused, "{body}");
    }
}

#[tokio::test]
async fn a_repetition_within_a_week_is_warned_of_and_taken() {
    let door = Door::open().await;
    let [one, other] = [door.account("facebook_page").await, door.account("facebook_page").await];
    let upload = async |name| door.upload(name, &jpeg(60, 60)).await.json()["id"].clone();
    let (first, again) = (upload("a.jpg").await, upload("a-again.jpg").await);
    let body = |caption: &str, media: Option<&Value>, account: Uuid, day: u32| {
        json!({
            "caption": caption, "media_ids": media.into_iter().collect::<Vec<_>>(),
            "targets": [{ "account_id": account }], "schedule": at(&format!("2027-03-{day:02}T12:00:00")),
        })
    };
    let accepted = door.post(&body("Fresh bread", Some(&first), one, 10)).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    let original = accepted.json();
    assert_eq!(original["publications"][0]["findings"], json!([]), "nothing came before it");
    let found = async |body: Value| {
        let report = report(&door, &body).await;
        codes(&report["targets"][0]["findings"])
    };
    let same = body("Fresh bread", Some(&again), one, 16);
    assert_eq!(found(same.clone()).await, ["duplicate"]);
    let finding = report(&door, &same).await["targets"][0]["findings"][0].clone();
    assert_eq!((&finding["severity"], &finding["post_id"]), (&json!("warning"), &original["id"]));
    assert!(finding["detail"].as_str().is_some_and(|it| it.contains("2027-03-10 12:00 UTC")), "{finding}");
    assert!(found(body("Fresh bread", Some(&first), one, 17)).await.is_empty(), "a week later");
    assert_eq!(found(body("Fresh bread", Some(&first), one, 4)).await, ["duplicate"], "or before");
    assert!(found(body("Fresh bread", Some(&first), other, 10)).await.is_empty(), "another account");
    assert!(found(body("Fresh bread", None, one, 10)).await.is_empty(), "other files");
    assert!(found(body("More bread", Some(&first), one, 10)).await.is_empty(), "other words");
    let taken = door.post(&same).await;
    assert_eq!(taken.status, StatusCode::ACCEPTED);
    let shown = &taken.json()["publications"][0]["findings"];
    assert_eq!((codes(shown), &shown[0]["post_id"]), (vec!["duplicate".to_owned()], &original["id"]));
    let kept = door.get(&format!("/api/v1/posts/{}", taken.json()["id"].as_str().expect("an id"))).await;
    assert_eq!(&kept.json()["publications"][0]["findings"], shown, "and whoever looks later sees it");
    door.scratch.run("UPDATE publication SET state = 'cancelled'").await;
    assert!(found(same).await.is_empty(), "the other one was cancelled");
}

#[tokio::test]
async fn another_link_is_no_repetition_and_its_own_words_are_what_an_account_hears() {
    let door = Door::open().await;
    let [one, other] = [door.account("facebook_page").await, door.account("facebook_page").await];
    let body = |link: Value, own: Value| {
        json!({
            "caption": "Read this", "link": link,
            "targets": [{ "account_id": one, "caption": own }, { "account_id": other }],
            "schedule": at("2027-03-10T12:00:00"),
        })
    };
    assert_eq!(
        door.post(&body(json!("https://example.org/a"), Value::Null)).await.status,
        StatusCode::ACCEPTED
    );
    let found = async |body: Value| {
        let report = report(&door, &body).await;
        [0, 1].map(|n| codes(&report["targets"][n]["findings"]).len())
    };
    assert_eq!(found(body(json!("https://example.org/a"), Value::Null)).await, [1, 1]);
    assert_eq!(found(body(json!("https://example.org/b"), Value::Null)).await, [0, 0]);
    assert_eq!(found(body(Value::Null, Value::Null)).await, [0, 0]);
    assert_eq!(found(body(json!("https://example.org/a"), json!("My own"))).await, [0, 1]);
}

#[tokio::test]
async fn a_post_that_is_changed_into_a_repetition_is_warned_of_until_it_is_none() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let body = |caption: &str| json!({ "caption": caption, "targets": [{ "account_id": account }], "schedule": at("2027-03-10T12:00:00") });
    assert_eq!(door.post(&body("Fresh bread")).await.status, StatusCode::ACCEPTED);
    let post = door.post(&body("Old bread")).await.json()["id"].as_str().expect("an id").to_owned();
    let change = async |patch: Value| {
        let request = door.request(&Method::PATCH, &format!("/api/v1/posts/{post}"));
        let request = request.header("content-type", "application/json");
        let answer = door.send(request.body(Body::from(patch.to_string())).expect("a request")).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        codes(&answer.json()["publications"][0]["findings"])
    };
    assert_eq!(change(json!({ "caption": "Fresh bread" })).await, ["duplicate"]);
    assert_eq!(change(json!({ "schedule": at("2027-03-16T12:00:00") })).await, ["duplicate"]);
    assert!(change(json!({ "schedule": at("2027-03-20T12:00:00") })).await.is_empty(), "far enough away");
    assert!(
        change(json!({ "caption": "Old bread", "schedule": at("2027-03-10T12:00:00") })).await.is_empty()
    );
}

#[tokio::test]
async fn access_that_ends_before_the_post_is_out_is_warned_of() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    door.scratch.run("UPDATE account SET token_expires_at = '2027-03-10T12:00:00Z'").await;
    let body = |schedule: &str| json!({ "caption": "x", "targets": [{ "account_id": account }], "schedule": at(schedule) });
    let report_of = report(&door, &body("2027-03-10T12:30:00")).await;
    let expected = ["targets[0].account_id", "access_ends", "owner", "warning"].map(str::to_owned);
    assert_eq!(told(&report_of["targets"][0]["findings"]), [expected]);
    assert!(codes(&report(&door, &body("2027-03-10T11:30:00")).await["targets"][0]["findings"]).is_empty());
    assert_eq!(door.post(&body("2027-03-10T12:30:00")).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_permission_that_publishing_needs_and_the_grant_lacks_is_warned_of() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let body = json!({ "caption": "x", "targets": [{ "account_id": account }] });
    assert!(codes(&report(&door, &body).await["targets"][0]["findings"]).is_empty());
    door.scratch.run("UPDATE account SET missing_scopes = '{pages_manage_posts}'").await;
    let found = report(&door, &body).await["targets"][0]["findings"].clone();
    let expected = ["targets[0].account_id", "access_lacks", "owner", "warning"].map(str::to_owned);
    assert_eq!(told(&found), [expected]);
    assert!(found[0]["detail"].as_str().is_some_and(|said| said.contains("pages_manage_posts")), "{found}");
    // whoever looks before its time finds the same
    let ahead = json!({
        "caption": "x", "targets": [{ "account_id": account }], "schedule": at("2027-03-10T12:00:00"),
    });
    assert_eq!(door.post(&ahead).await.status, StatusCode::ACCEPTED);
    due_now(&door).await;
    let due = door.scratch.ledger.checks_due(10, Duration::from_mins(1)).await.expect("the ledger");
    let lacks: Vec<_> = due.iter().filter_map(|check| check.subject().access_lacks()).collect();
    assert_eq!(lacks.iter().map(|found| found.code.as_str()).collect::<Vec<_>>(), ["access_lacks"]);
}

#[tokio::test]
async fn what_the_network_said_is_held_against_a_post_and_shown_with_its_age() {
    let door = Door::open().await;
    let [instagram, tiktok] = [door.account("instagram_business").await, door.account("tiktok").await];
    let fact = async |account: Uuid, kind: &str, value: Value| {
        let statement = format!(
            "INSERT INTO account_fact (account_id, kind, value, read_at)
             VALUES ('{account}', '{kind}', '{value}', '2026-11-01T00:00:00Z')"
        );
        door.scratch.run(&statement).await;
    };
    fact(instagram, "publishing_limit", json!({ "used": 50, "total": 50 })).await;
    fact(instagram, "token", json!({ "refused": "(#190) expired" })).await;
    fact(tiktok, "creator", json!({ "privacy_levels": ["SELF_ONLY"], "longest_film": 1 })).await;
    fact(tiktok, "from_another_build", json!({ "x": 1 })).await;
    let picture = door.upload("a.jpg", &jpeg(600, 600)).await.json()["id"].clone();
    let body = json!({
        "caption": "x", "media_ids": [picture],
        "targets": [
            { "account_id": instagram },
            { "account_id": tiktok, "options": { "privacy_level": "PUBLIC_TO_EVERYONE" } }
        ],
    });
    let report = report(&door, &body).await;
    let [one, two] = [0, 1].map(|n| &report["targets"][n]);
    assert_eq!(codes(&one["findings"]), ["publishing_limit", "access_refused"]);
    assert_eq!(codes(&two["findings"]), ["privacy_level_not_offered"]);
    assert_eq!(two["findings"][0]["accepted"], json!(["SELF_ONLY"]));
    let age = |kind: &str| json!({ "kind": kind, "read_at": "2026-11-01T00:00:00Z" });
    assert_eq!(
        (&one["facts"], &two["facts"]),
        (&json!([age("publishing_limit"), age("token")]), &json!([age("creator")]))
    );
    assert_eq!(door.post(&body).await.status, StatusCode::ACCEPTED, "what was said is no refusal");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_a_story_does_not_show_are_warned_of() {
    let system = System::start().await;
    let picture = system.upload("picture.jpg", picture()).await;
    let networks = [FACEBOOK, INSTAGRAM];
    let found = async |kind: &str, caption: &str| {
        let mut wish = system.wish(caption, &networks, std::slice::from_ref(&picture));
        wish["kind"] = kind.into();
        let (_, report) = system.api(reqwest::Method::POST, "/api/v1/posts:check", Some(&wish)).await;
        [0, 1].map(|n| told(&report["targets"][n]["findings"]))
    };
    let row = |n: usize| {
        let field = format!("targets[{n}].caption");
        vec![[field.as_str(), "caption_not_shown", "author", "warning"].map(str::to_owned)]
    };
    assert_eq!(found("story", "Fresh bread").await, [row(0), row(1)]);
    let nothing: [Vec<[String; 4]>; 2] = [vec![], vec![]];
    assert_eq!(found("story", "").await, nothing, "nothing was written");
    assert_eq!(found("post", "Fresh bread").await, nothing, "a post shows its words");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_and_a_key_without_the_scope_are_refused() {
    let mut door = Door::open().await;
    let request =
        door.request(&Method::POST, "/api/v1/posts:check").header("content-type", "application/json");
    let answer = door.send(request.body(Body::from("{")).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    door.key = door.key_for(Some(door.workspace), &[postroom::ledger::keys::Scope::PostsRead]).await;
    assert_eq!(check(&door, &json!({})).await.status, StatusCode::FORBIDDEN);
    let paths = door.get("/api/openapi.json").await.json();
    assert!(paths["paths"]["/api/v1/posts:check"]["post"].is_object());
}

/// Accepts a post that is due in so many minutes, and gives its id.
async fn post_ahead(system: &System, platform: &str, media: &str, minutes: i64) -> String {
    let mut wish = system.wish(&format!("in {minutes} minutes"), &[platform], &[media.to_owned()]);
    let at = system.database.now().await + chrono::TimeDelta::minutes(minutes);
    wish["schedule"] = json!({ "at": at.format("%Y-%m-%dT%H:%M:%SZ").to_string() });
    let (status, post) = system.api(reqwest::Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    post["id"].as_str().unwrap().to_owned()
}

async fn facts(system: &System, body: &Value) -> Vec<String> {
    let (_, report) = system.api(reqwest::Method::POST, "/api/v1/posts:check", Some(body)).await;
    let facts = report["targets"][0]["facts"].as_array().unwrap();
    facts.iter().map(|fact| fact["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_with_posts_within_a_day_are_asked_about_and_others_are_not() {
    let system = System::with_workers(1).await;
    system.tell("settings", &json!({ "publish_quota": 0 })).await;
    let picture = system.upload("picture.jpg", picture()).await;
    let film = system.upload("film.mp4", film()).await;
    post_ahead(&system, INSTAGRAM, &picture, 20 * 60).await;
    post_ahead(&system, TIKTOK, &film, 30 * 60).await;
    let instagram = system.wish("another", &[INSTAGRAM], std::slice::from_ref(&picture));
    eventually("the facts about the account", || async {
        let facts = facts(&system, &instagram).await;
        if facts == ["publishing_limit", "token"] { Ok(()) } else { Err(format!("{facts:?}")) }
    })
    .await;
    let (_, report) = system.api(reqwest::Method::POST, "/api/v1/posts:check", Some(&instagram)).await;
    assert_eq!(codes(&report["targets"][0]["findings"]), ["publishing_limit"], "{report}");
    // all accounts had their turn in the same look
    assert_eq!(facts(&system, &system.wish("another", &[TIKTOK], &[film])).await, Vec::<String>::new());
    assert_eq!(
        system.database.count("SELECT count(*) FROM account WHERE facts_due_at > ledger_now()").await,
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_publication_is_checked_before_its_time_and_shows_what_was_found() {
    let system = System::with_workers(1).await;
    let film = system.upload("film.mp4", film()).await;
    let post = post_ahead(&system, TIKTOK, &film, 90).await;
    let due = "SELECT count(*) FROM publication WHERE check_at = scheduled_for - interval '1 hour'";
    assert_eq!(system.database.count(due).await, 1);
    // its time comes near, the film is lost, the account offers less, and whoever looks is told
    sqlx::query("UPDATE media SET object_key = object_key || '-gone'")
        .execute(&system.database.pool)
        .await
        .unwrap();
    sqlx::query("UPDATE publication SET scheduled_for = scheduled_for - interval '31 minutes'")
        .execute(&system.database.pool)
        .await
        .unwrap();
    sqlx::query("UPDATE publication SET check_at = ledger_now()")
        .execute(&system.database.pool)
        .await
        .unwrap();
    let found = eventually("the findings", || async {
        let (_, answer) = system.api(reqwest::Method::GET, &format!("/api/v1/posts/{post}"), None).await;
        let findings = &answer["publications"][0]["findings"];
        if codes(findings) == ["media_missing"] { Ok(answer) } else { Err(answer.to_string()) }
    })
    .await;
    assert_eq!(found["publications"][0]["findings"][0]["who_acts"], "author");
    assert_eq!(found["state"], "scheduled", "it raises nothing else");
    let next = "SELECT count(*) FROM publication WHERE check_at = scheduled_for - interval '5 minutes'";
    assert_eq!(system.database.count(next).await, 1);
    // what was mended is not shown any more
    sqlx::query("UPDATE media SET object_key = replace(object_key, '-gone', '')")
        .execute(&system.database.pool)
        .await
        .unwrap();
    sqlx::query("UPDATE publication SET check_at = ledger_now()")
        .execute(&system.database.pool)
        .await
        .unwrap();
    eventually("no findings", || async {
        let (_, answer) = system.api(reqwest::Method::GET, &format!("/api/v1/posts/{post}"), None).await;
        let none = answer["publications"][0]["findings"] == json!([]);
        if none { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}

/// Keeps that the checks that are due found these codes, on each account of them.
async fn checked(door: &Door, codes: &[&str]) {
    let ledger = &door.scratch.ledger;
    for check in ledger.checks_due(10, Duration::from_mins(1)).await.expect("the ledger") {
        let found = |code: &&str| Finding::new("account_id", code, "Mend it.".into(), Who::Owner);
        let found: Vec<Finding> = codes.iter().map(found).collect();
        ledger.keep_check(&check, &found).await.expect("the ledger");
    }
}

/// Tells whoever is to be told, and gives their addresses with the codes that they are told.
async fn told_by_mail(door: &Door) -> Vec<String> {
    let ledger = &door.scratch.ledger;
    for post in ledger.posts_to_tell(10, Duration::from_mins(1)).await.expect("the ledger") {
        let letter = |it: &Stopped, to: &str| {
            let codes = it.found.iter().map(|(_, code)| code.as_str()).collect::<Vec<_>>().join(" ");
            NewMail::by(&ring(), to, "A post", &codes, Duration::from_mins(1))
        };
        ledger.tell_findings(post, letter).await.expect("the ledger");
    }
    let addresses: Vec<String> = sqlx::query_scalar("SELECT to_address FROM mail ORDER BY 1")
        .fetch_all(&mut door.scratch.connection().await)
        .await
        .expect("addresses");
    let mut told = Vec::new();
    for to in addresses {
        told.extend(door.letters(&to).await.into_iter().map(|(_, said)| format!("{to} {said}")));
    }
    door.scratch.run("DELETE FROM mail").await;
    told
}

/// Its checks are due now.
async fn due_now(door: &Door) {
    door.scratch.run("UPDATE publication SET check_at = ledger_now() - interval '1 second'").await;
}

#[tokio::test]
async fn what_keeps_a_post_from_going_out_is_told_once_to_its_author_and_to_who_publishes() {
    let door = Door::open().await;
    let [one, other] = [door.account("facebook_page").await, door.account("tiktok").await];
    let ledger = &door.scratch.ledger;
    let author = door.person("author@example.org", MemberRole::Author).await;
    for (email, role) in [
        ("publisher@example.org", MemberRole::Publisher),
        ("admin@example.org", MemberRole::Admin),
        ("viewer@example.org", MemberRole::Viewer),
        ("other-author@example.org", MemberRole::Author),
    ] {
        door.person(email, role).await;
    }
    let elsewhere = ledger.add_workspace("Agency").await.expect("a workspace");
    let stranger = door.person("stranger@example.org", MemberRole::Viewer).await;
    door.scratch.run(&format!("DELETE FROM membership WHERE person_id = '{stranger}'")).await;
    ledger.add_membership(stranger, elsewhere, MemberRole::Admin).await.expect("a membership");
    let at = ledger.now().await.expect("a time") + chrono::TimeDelta::hours(2);
    let body = json!({
        "caption": "bread", "targets": [{ "account_id": one }],
        "schedule": { "at": at.format("%Y-%m-%dT%H:%M:%SZ").to_string() },
    });
    assert_eq!(door.post(&body).await.status, StatusCode::ACCEPTED);
    door.scratch.run(&format!("UPDATE post SET created_by = '{author}'")).await;
    // the same post on a second account
    door.scratch
        .run(&format!(
            "INSERT INTO publication (id, workspace_id, account_id, post_id, surface, state, scheduled_for, latest_at)
             SELECT gen_random_uuid(), workspace_id, '{other}', post_id, 'video', 'scheduled', scheduled_for, latest_at
             FROM publication"
        ))
        .await;
    let everybody = |codes: &str| {
        ["admin", "author", "publisher"].map(|who| format!("{who}@example.org {codes}")).to_vec()
    };

    due_now(&door).await;
    checked(&door, &["duplicate", "publishing_limit"]).await;
    assert!(told_by_mail(&door).await.is_empty(), "it goes out all the same");
    due_now(&door).await;
    checked(&door, &["access_refused"]).await;
    due_now(&door).await;
    assert!(told_by_mail(&door).await.is_empty(), "it is checked on, and one letter says it all");
    checked(&door, &["access_refused", "duplicate"]).await;
    assert_eq!(
        told_by_mail(&door).await,
        everybody("access_refused access_refused"),
        "one for both accounts"
    );
    assert!(told_by_mail(&door).await.is_empty());

    due_now(&door).await;
    checked(&door, &[]).await;
    due_now(&door).await;
    checked(&door, &["access_refused"]).await;
    assert!(told_by_mail(&door).await.is_empty(), "nobody is told of the same thing twice");

    due_now(&door).await;
    checked(&door, &["media_missing", "access_refused"]).await;
    due_now(&door).await;
    checked(&door, &["access_refused"]).await;
    assert!(told_by_mail(&door).await.is_empty(), "what was mended in time is no news");
    due_now(&door).await;
    checked(&door, &["media_missing", "access_refused"]).await;
    assert_eq!(told_by_mail(&door).await, everybody("media_missing media_missing"), "something else is");

    due_now(&door).await;
    checked(&door, &["access_ends"]).await;
    door.scratch.run("UPDATE publication SET state = 'cancelled'").await;
    assert!(told_by_mail(&door).await.is_empty(), "nothing of it waits any more");
    assert_eq!(door.scratch.number("SELECT count(*) FROM finding_told WHERE told_at IS NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_tells_by_mail_what_it_found_and_one_without_mail_tells_nobody() {
    let mut system = System::start().await;
    let silent = system.process("worker-silent", &["worker"], &[("SMTP_URL", ""), ("MAIL_FROM", "")]);
    system.workers.push(silent);
    let film = system.upload("film.mp4", film()).await;
    let post = post_ahead(&system, TIKTOK, &film, 30).await;
    for mislay in [
        "UPDATE media SET object_key = object_key || '-gone'",
        "UPDATE publication SET check_at = ledger_now()",
    ] {
        sqlx::query(mislay).execute(&system.database.pool).await.unwrap();
    }
    eventually("the finding", || async {
        let found = "SELECT count(*) FROM finding_told WHERE code = 'media_missing'";
        match system.database.count(found).await {
            1 => Ok(()),
            _ => Err(system.workers[0].log()),
        }
    })
    .await;
    let waits = "SELECT count(*) FROM finding_told WHERE told_at IS NULL AND code = 'media_missing'";
    assert_eq!(
        (system.database.count(waits).await, system.database.count("SELECT count(*) FROM mail").await),
        (1, 0)
    );

    system.start_worker(&[]);
    let letter = eventually("the letter", || async {
        let mail = system.control("mail").await;
        let letters = mail["data"].as_array().cloned().unwrap_or_default();
        let theirs = letters.into_iter().find(|letter| letter["to"][0] == "staff@example.com");
        theirs.ok_or_else(|| system.workers[1].log())
    })
    .await;
    let said = letter.to_string();
    assert!(said.contains("A post will not go out as it is"), "{said}");
    assert!(said.contains(&format!("/posts/{post}")) && said.contains("TikTok"), "{said}");
    assert!(!said.contains("film.mp4"), "no name stands in it: {said}");
}

#[tokio::test]
async fn checks_are_due_a_day_an_hour_and_five_minutes_before() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let post = json!({ "caption": "now", "targets": [{ "account_id": account }] });
    assert_eq!(door.post(&post).await.status, StatusCode::ACCEPTED);
    let none = "SELECT count(*) FROM publication WHERE check_at IS NULL";
    assert_eq!(door.scratch.number(none).await, 1, "what goes out at once is not checked again");
    let next = |minutes: i64| {
        format!(
            "SELECT coalesce(extract(epoch FROM at - next_check(at, at - interval '{minutes} minutes'))::bigint / 60, 0)
             FROM (SELECT timestamptz '2027-03-28T12:00:00Z' AS at) t"
        )
    };
    for (ahead, check) in [(3000, 1440), (1441, 1440), (1440, 60), (61, 60), (60, 5), (6, 5), (5, 0), (0, 0)]
    {
        assert_eq!(door.scratch.number(&next(ahead)).await, check, "{ahead} minutes ahead");
    }
    door.scratch.run("UPDATE publication SET scheduled_for = ledger_now() + interval '2 hours'").await;
    let moved = "SELECT count(*) FROM publication WHERE check_at = scheduled_for - interval '1 hour'";
    assert_eq!(door.scratch.number(moved).await, 1, "whoever moves it moves its checks");
}

#[tokio::test]
async fn who_goes_last_takes_nothing_that_others_may_need() {
    let door = Door::open().await;
    let account = door.account("tiktok").await;
    let minute = Duration::from_mins(1);
    let allowance = Allowance {
        app: "tiktok",
        app_rate: None,
        workspace_rate: None,
        account_rate: Some(Rate { calls: 12, per: minute }),
    };
    let visit = Visit { network: "tiktok", account, allowance, calls: 1, comes_back: false };
    let ledger = &door.scratch.ledger;
    assert_eq!(ledger.enter_last(&visit, minute).await.expect("an answer"), Entry::Free, "nobody was there");
    let again = ledger.enter_last(&visit, minute).await.expect("an answer");
    assert!(matches!(&again, Entry::Refused { cause, .. } if cause == "account_rate"), "{again:?}");
    assert_eq!(ledger.enter(&visit, minute).await.expect("an answer"), Entry::Free, "others still go");
}
