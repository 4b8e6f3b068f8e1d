//! The API: what it takes, what it refuses and how it says so.

use std::sync::atomic::Ordering;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use postroom::ledger::keys::Scope;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Door, bomb, jpeg, png};

fn words(account: Uuid) -> Value {
    json!({ "caption": "Opening day", "targets": [{ "account_id": account }] })
}

fn found(field: &str, code: &str) -> (String, String) {
    (field.to_owned(), code.to_owned())
}

#[tokio::test]
async fn a_post_for_now_is_committed_with_its_job_before_it_is_answered() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let answer = door.post(&words(account)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let post = answer.json();
    assert_eq!((post["state"].as_str(), post["kind"].as_str()), (Some("scheduled"), Some("post")));
    assert_eq!(post["latest_after"], "PT6H");
    let publication = &post["publications"][0];
    assert_eq!(
        (publication["surface"].as_str(), publication["platform"].as_str()),
        (Some("text"), Some("facebook_page"))
    );
    assert_eq!((&publication["error"], &publication["permalink"]), (&Value::Null, &Value::Null));
    let jobs = "SELECT count(*) FROM job j JOIN publication p ON p.id = j.publication_id
                WHERE j.kind = 'publish' AND j.payload = jsonb_build_object('publication_id', p.id) AND j.run_at <= now()";
    assert_eq!(door.scratch.number(jobs).await, 1);
    assert_eq!(door.hints.lock().expect("unpoisoned").len(), 1);
    assert_eq!(
        door.get(&format!("/api/v1/posts/{}", post["id"].as_str().expect("an id"))).await.json(),
        post
    );
}

#[tokio::test]
async fn a_scheduled_post_is_prepared_ahead_and_hinted_by_nobody() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut post = words(account);
    post["schedule"] = json!({ "at": "2027-10-31T01:30", "time_zone": "Asia/Jerusalem", "fold": "later" });
    post["latest_after"] = json!("P1DT2H");
    let answer = door.post(&post).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let answer = answer.json();
    let schedule = json!({
        "at": "2027-10-31T01:30:00", "time_zone": "Asia/Jerusalem", "fold": "later", "instant": "2027-10-30T23:30:00Z"
    });
    assert_eq!((&answer["schedule"], answer["latest_after"].as_str()), (&schedule, Some("P1DT2H")));
    let ahead = "SELECT count(*) FROM job JOIN publication p ON p.id = job.publication_id
                 WHERE run_at = p.scheduled_for - interval '5 minutes' AND latest_at = scheduled_for + interval '26 hours'";
    assert_eq!(door.scratch.number(ahead).await, 1);
    assert!(door.hints.lock().expect("unpoisoned").is_empty());
    let again = door.get(&format!("/api/v1/posts/{}", answer["id"].as_str().expect("an id"))).await.json();
    assert_eq!(again, answer);
}

#[tokio::test]
async fn a_request_without_a_good_key_is_refused_first() {
    let door = Door::open().await;
    let bare = |auth: Option<&str>| {
        let mut request = Request::builder().method("POST").uri("/api/v1/posts");
        if let Some(auth) = auth {
            request = request.header("authorization", auth);
        }
        request.body(Body::from("not even json")).expect("a request")
    };
    let stranger = format!("Bearer pr_{}", "x".repeat(43));
    for auth in [None, Some("Bearer nonsense"), Some("Basic abc"), Some(stranger.as_str())] {
        let answer = door.send(bare(auth)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert_eq!(answer.json()["type"], "urn:postroom:problem:unauthenticated");
    }
    door.scratch.run("UPDATE api_key SET expires_at = now() - interval '1 second'").await;
    assert_eq!(door.post(&json!({})).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_without_the_scope_is_told_which() {
    let mut door = Door::open().await;
    door.key = door.key_for(Some(door.workspace), &[Scope::PostsRead]).await;
    let answer = door.post(&json!({})).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.json()["detail"].as_str().expect("a detail").contains("posts:write"));
    assert_eq!(door.get("/api/v1/posts").await.status, StatusCode::OK);
    door.key = door.key_for(None, Scope::ALL).await;
    let answer = door.get("/api/v1/posts").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.json()["detail"].as_str().expect("a detail").contains("operator"));
}

#[tokio::test]
async fn an_unknown_account_and_one_of_another_workspace_are_refused_alike() {
    let door = Door::open().await;
    let other = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let foreign = door.account_of(other, "facebook_page", &json!({})).await;
    for id in [foreign.to_string(), Uuid::now_v7().to_string(), "nonsense".to_owned()] {
        let answer = door.post(&json!({ "caption": "x", "targets": [{ "account_id": id }] })).await;
        assert_eq!(answer.only_finding(), found("targets[0].account_id", "account_unknown"));
    }
}

#[tokio::test]
async fn an_account_that_is_not_active_is_refused_with_who_can_mend_it() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    for (state, who) in [("paused", "administrator"), ("reconnect", "owner"), ("frozen", "deleted")] {
        door.scratch.run(&format!("UPDATE account SET state = '{state}'")).await;
        let answer = door.post(&words(account)).await;
        assert_eq!(answer.only_finding(), found("targets[0].account_id", "account_not_active"));
        assert!(answer.json()["detail"].as_str().expect("a detail").contains(who), "{}", answer.text);
    }
    door.scratch.run("UPDATE account SET state = 'erased'").await;
    assert_eq!(door.post(&words(account)).await.only_finding().1, "account_unknown");
}

#[tokio::test]
async fn an_empty_post_is_refused_once_for_all_targets() {
    let door = Door::open().await;
    let (one, two) = (door.account("facebook_page").await, door.account("facebook_page").await);
    let body = json!({ "caption": " \n", "targets": [{ "account_id": one }, { "account_id": two }] });
    assert_eq!(door.post(&body).await.only_finding(), found("caption", "empty_post"));
    let answer = door.post(&json!({ "caption": "x", "targets": [] })).await;
    assert_eq!(answer.only_finding(), found("targets", "target_required"));
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once_and_per_target() {
    let door = Door::open().await;
    let facebook = door.account("facebook_page").await;
    let tiktok = door.account("tiktok").await;
    let file = door.upload("a.jpg", &jpeg(40, 40)).await.json()["id"].clone();
    let answer = door
        .post(&json!({
            "caption": "x".repeat(2_300), "media_ids": [file], "colour": "red",
            "targets": [
                { "account_id": facebook, "options": { "privacy_level": "SELF_ONLY" } },
                { "account_id": tiktok },
                { "account_id": facebook },
                { "account_id": tiktok, "caption": "short", "options": { "privacy_level": "NOBODY" } }
            ],
            "schedule": { "at": "2020-01-01T09:30", "time_zone": "Asia/Jerusalem" },
            "latest_after": "-PT1H"
        }))
        .await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut findings = answer.findings();
    findings.sort();
    let mut expected = vec![
        found("colour", "unknown_field"),
        found("latest_after", "span_negative"),
        found("schedule.at", "time_past"),
        found("targets[0].options.privacy_level", "unknown_option"),
        found("targets[1].caption", "caption_too_long"),
        found("targets[1].options.privacy_level", "privacy_level"),
        found("targets[2].account_id", "target_repeated"),
        found("targets[3].account_id", "target_repeated"),
        found("targets[3].options.privacy_level", "privacy_level"),
    ];
    expected.sort();
    assert_eq!(findings, expected);
    let levels = answer.json()["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .find(|e| e["code"] == "privacy_level")
        .cloned();
    assert_eq!(levels.expect("a finding")["accepted"][2], "SELF_ONLY");
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 0);
}

#[tokio::test]
async fn a_file_that_is_missing_hides_nothing_else_and_makes_nothing_up() {
    let door = Door::open().await;
    let tiktok = door.account("tiktok").await;
    let answer = door
        .post(&json!({
            "caption": "x".repeat(2_300), "media_ids": [Uuid::now_v7()], "link": "http://10.0.0.1/",
            "targets": [{ "account_id": tiktok }]
        }))
        .await;
    let expected = [
        found("media_ids[0]", "media_unknown"),
        found("link", "link_private"),
        found("targets[0].caption", "caption_too_long"),
        found("targets[0].options.privacy_level", "privacy_level"),
    ];
    assert_eq!(answer.findings(), expected);
}

#[tokio::test]
async fn a_caption_is_limited_where_the_network_limits_it() {
    let door = Door::open().await;
    let tiktok = door.account_of(door.workspace, "tiktok", &json!({ "privacy_level": "SELF_ONLY" })).await;
    let file = door.upload("a.jpg", &jpeg(40, 40)).await.json()["id"].clone();
    let post = |caption: String| json!({ "caption": caption, "media_ids": [file], "targets": [{ "account_id": tiktok }] });
    assert_eq!(door.post(&post("🥐".repeat(1_100))).await.status, StatusCode::ACCEPTED);
    let answer = door.post(&post("🥐".repeat(1_101))).await;
    assert_eq!(answer.only_finding(), found("targets[0].caption", "caption_too_long"));
    let chosen = "SELECT count(*) FROM publication WHERE options = '{\"privacy_level\": \"SELF_ONLY\"}'";
    assert_eq!(door.scratch.number(chosen).await, 1);
}

#[tokio::test]
async fn a_time_that_cannot_be_meant_is_refused() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    for (at, zone, field, code) in [
        ("2020-01-01T09:30", "UTC", "schedule.at", "time_past"),
        ("2027-02-30T09:30", "UTC", "schedule.at", "time_unreal"),
        ("tomorrow", "UTC", "schedule.at", "time_format"),
        ("2027-01-01T09:30:00.5", "UTC", "schedule.at", "time_format"),
        ("2027-01-01T09:30", "Asia/Jerusalm", "schedule.time_zone", "time_zone_unknown"),
        ("2027-03-26T02:30", "Asia/Jerusalem", "schedule.at", "dst_gap"),
        ("2027-10-31T01:30", "Asia/Jerusalem", "schedule.fold", "dst_ambiguous"),
        ("2999-01-01T09:30", "UTC", "schedule.at", "time_too_far"),
    ] {
        let mut post = words(account);
        post["schedule"] = json!({ "at": at, "time_zone": zone });
        assert_eq!(door.post(&post).await.only_finding(), found(field, code), "{at} {zone}");
    }
}

#[tokio::test]
async fn what_is_no_json_is_malformed_and_what_is_no_post_is_invalid() {
    let door = Door::open().await;
    let post = |body: String| {
        door.request(&Method::POST, "/api/v1/posts")
            .header("content-type", "application/json")
            .body(Body::from(body))
            .expect("a request")
    };
    for body in ["", "{", "{\"caption\": }", "\u{feff}{}", &"[".repeat(100_000), "{\"caption\":\"\\ud800\"}"]
    {
        let answer = door.send(post(body.to_owned())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        assert_eq!(answer.json()["type"], "urn:postroom:problem:malformed");
    }
    assert_eq!(door.send(post("[]".to_owned())).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(door.send(post("null".to_owned())).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_nul_character_is_refused_and_breaks_nothing() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let answer = door.post(&json!({ "caption": "a\0b", "targets": [{ "account_id": account }] })).await;
    assert_eq!(answer.only_finding(), found("caption", "nul_character"));
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let door = Door::open().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let request = door.request(&Method::POST, "/api/v1/posts").header("content-type", kind);
        let answer = door.send(request.body(Body::from("{}")).expect("a request")).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    let answer = door
        .send(door.request(&Method::POST, "/api/v1/media").body(Body::from("x")).expect("a request"))
        .await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_comes() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let sized = |bytes: usize| {
        let mut body = json!({ "caption": "", "targets": [{ "account_id": account }] });
        let padding = bytes - body.to_string().len();
        body["caption"] = json!("x".repeat(padding));
        body.to_string()
    };
    let post = |body: Body| {
        door.request(&Method::POST, "/api/v1/posts")
            .header("content-type", "application/json")
            .body(body)
            .expect("a request")
    };
    let chunks = |body: String| {
        let chunks: Vec<_> =
            body.as_bytes().chunks(10_000).map(|c| Ok::<_, std::io::Error>(c.to_vec())).collect();
        Body::from_stream(futures_util::stream::iter(chunks))
    };
    assert_eq!(door.send(post(Body::from(sized(262_144)))).await.only_finding().1, "caption_too_long");
    for body in [Body::from(sized(262_145)), chunks(sized(262_145)), chunks("x".repeat(5_000_000))] {
        let answer = door.send(post(body)).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn a_link_into_somebodys_house_is_refused() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    for link in [
        "http://127.0.0.1/",
        "http://0x7f.1/",
        "http://localhost:8080",
        "http://[::ffff:10.0.0.1]/",
        "http://printer.local",
    ] {
        let mut post = words(account);
        post["link"] = json!(link);
        assert_eq!(door.post(&post).await.only_finding(), found("link", "link_private"), "{link}");
    }
    let mut post = words(account);
    post["link"] = json!("https://example.org/");
    assert_eq!(door.post(&post).await.json()["publications"][0]["surface"], "link");
}

#[tokio::test]
async fn the_same_key_and_body_get_the_first_answer_again() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let (post, key) = (words(account), [("idempotency-key", "k-1")]);
    let first = door.post_with(&post, &key).await;
    // What was accepted stays accepted, whatever became of the account since.
    door.scratch.run("UPDATE account SET state = 'paused'").await;
    let again = door.post_with(&post, &key).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (StatusCode::ACCEPTED, ""));
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::ACCEPTED, "true"));
    assert_eq!(first.text, again.text);
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 1);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let key = [("idempotency-key", "k-1")];
    assert_eq!(door.post_with(&words(account), &key).await.status, StatusCode::ACCEPTED);
    let mut other = words(account);
    other["caption"] = json!("Closing day");
    let answer = door.post_with(&other, &key).await;
    assert_eq!(answer.only_finding(), found("Idempotency-Key", "key_reused"));
    assert_eq!(answer.json()["type"], "urn:postroom:problem:idempotency-key-reused");
    assert_eq!(
        door.post_with(&words(account), &[("idempotency-key", "")]).await.only_finding().1,
        "key_format"
    );
    let long = "k".repeat(256);
    assert_eq!(
        door.post_with(&words(account), &[("idempotency-key", &long)]).await.only_finding().1,
        "key_format"
    );
}

#[tokio::test]
async fn a_refusal_is_not_remembered_under_its_key() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let key = [("idempotency-key", "k-1")];
    assert_eq!(
        door.post_with(&json!({ "targets": [] }), &key).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(door.post_with(&words(account), &key).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn of_many_at_once_with_one_key_one_is_accepted_and_all_are_answered_alike() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let post = words(account);
    let all = (0..8).map(|_| door.post_with(&post, &[("idempotency-key", "k-1")]));
    let answers = futures_util::future::join_all(all).await;
    assert!(
        answers.iter().all(|answer| answer.status == StatusCode::ACCEPTED && answer.text == answers[0].text)
    );
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotent-replayed") == "true").count(), 7);
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 1);
}

#[tokio::test]
async fn the_same_key_in_two_workspaces_is_two_keys() {
    let mut door = Door::open().await;
    let account = door.account("facebook_page").await;
    let key = [("idempotency-key", "k-1")];
    assert_eq!(door.post_with(&words(account), &key).await.status, StatusCode::ACCEPTED);
    let other = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let foreign = door.account_of(other, "facebook_page", &json!({})).await;
    door.key = door.key_for(Some(other), Scope::ALL).await;
    let answer = door.post_with(&words(foreign), &key).await;
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (StatusCode::ACCEPTED, ""));
}

#[tokio::test]
async fn what_another_workspace_has_is_not_there() {
    let mut door = Door::open().await;
    let account = door.account("facebook_page").await;
    let post = door.post(&words(account)).await.json()["id"].as_str().expect("an id").to_owned();
    let file = door.upload("a.jpg", &jpeg(40, 40)).await.json()["id"].as_str().expect("an id").to_owned();
    let other = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    door.key = door.key_for(Some(other), Scope::ALL).await;
    for path in [
        format!("/api/v1/posts/{post}"),
        format!("/api/v1/media/{file}"),
        "/api/v1/posts/nonsense".to_owned(),
    ] {
        let answer = door.get(&path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["instance"], path);
    }
    assert_eq!(door.get("/api/v1/posts").await.json(), json!({ "data": [], "next_cursor": null }));
    assert_eq!(door.get("/api/v1/accounts").await.json()["data"], json!([]));
    let own = door.account_of(other, "facebook_page", &json!({})).await;
    let answer = door.post(&json!({ "media_ids": [file], "targets": [{ "account_id": own }] })).await;
    assert_eq!(answer.only_finding(), found("media_ids[0]", "media_unknown"));
}

#[tokio::test]
async fn a_picture_is_taken_measured_and_stored() {
    let door = Door::open().await;
    let answer = door.upload("שקיעה.jpg", &jpeg(64, 48)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let file = answer.json();
    assert_eq!(
        (file["type"].as_str(), file["width"].as_i64(), file["height"].as_i64()),
        (Some("image/jpeg"), Some(64), Some(48))
    );
    assert_eq!((file["state"].as_str(), &file["duration_ms"]), (Some("ready"), &Value::Null));
    assert_eq!(door.shelf.files.lock().expect("unpoisoned").len(), 1);
    assert_eq!(
        door.get(&format!("/api/v1/media/{}", file["id"].as_str().expect("an id"))).await.json(),
        file
    );
}

#[tokio::test]
async fn a_file_is_judged_by_its_content_and_not_by_its_name() {
    let door = Door::open().await;
    let whole = jpeg(200, 200);
    for (name, content, code) in [
        ("a.jpg", b"just words".to_vec(), "media_type"),
        ("a.jpg", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;".to_vec(), "media_type"),
        ("a.jpg", vec![], "media_empty"),
        ("a.png", bomb(), "media_too_many_pixels"),
        ("a.jpg", whole[..whole.len() / 2].to_vec(), "media_broken"),
        ("a.mp4", [b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec(), vec![0; 9_000]].concat(), "media_broken"),
        ("a.jpg", [jpeg(20, 20), vec![0; 17 << 20]].concat(), "media_too_large"),
    ] {
        assert_eq!(door.upload(name, &content).await.only_finding(), found("file", code), "{name} {code}");
    }
    assert_eq!(door.upload("a.txt", &png(20, 20)).await.json()["type"], "image/png");
    assert_eq!(door.shelf.files.lock().expect("unpoisoned").len(), 1);
    assert_eq!(door.scratch.number("SELECT count(*) FROM media").await, 1);
}

#[tokio::test]
async fn a_file_of_a_type_that_the_network_does_not_take_is_refused_in_the_post() {
    let door = Door::open().await;
    let account = door.account("instagram_business").await;
    let file = door.upload("a.jpg", &jpeg(40, 40)).await.json()["id"].clone();
    let body = json!({ "kind": "reel", "media_ids": [file], "targets": [{ "account_id": account }] });
    assert_eq!(door.post(&body).await.only_finding(), found("media_ids", "media_type"));
}

#[tokio::test]
async fn an_upload_with_the_same_key_is_stored_once() {
    let door = Door::open().await;
    let key = [("idempotency-key", "k-1")];
    let first = door.upload_with("a.jpg", &jpeg(40, 40), &key).await;
    let again = door.upload_with("b.jpg", &jpeg(40, 40), &key).await;
    assert_eq!((first.status, &first.text), (again.status, &again.text));
    assert_eq!(again.header("idempotent-replayed"), "true");
    let other = door.upload_with("a.jpg", &jpeg(41, 41), &key).await;
    assert_eq!(other.only_finding(), found("Idempotency-Key", "key_reused"));
    assert_eq!(door.shelf.files.lock().expect("unpoisoned").len(), 1);
}

#[tokio::test]
async fn a_store_that_is_away_leaves_no_row() {
    let door = Door::open().await;
    door.shelf.away.store(true, Ordering::SeqCst);
    let answer = door.upload("a.jpg", &jpeg(40, 40)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    assert_eq!(door.scratch.number("SELECT count(*) FROM media").await, 0);
}

#[tokio::test]
async fn a_list_is_paged_by_cursor_and_filtered() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    for n in 0..5 {
        let mut post = words(account);
        post["caption"] = json!(format!("post {n}"));
        assert_eq!(door.post(&post).await.status, StatusCode::ACCEPTED);
    }
    let (mut captions, mut path) = (Vec::new(), "/api/v1/posts?limit=2".to_owned());
    loop {
        let page = door.get(&path).await.json();
        captions.extend(page["data"].as_array().expect("data").iter().map(|post| post["caption"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/posts?limit=2&cursor={cursor}");
    }
    assert_eq!(captions, ["post 4", "post 3", "post 2", "post 1", "post 0"]);
    let count = async |query: &str| {
        door.get(&format!("/api/v1/posts?{query}")).await.json()["data"].as_array().expect("data").len()
    };
    assert_eq!(count("state=scheduled").await, 5);
    assert_eq!(count("state=published").await, 0);
    assert_eq!(count(&format!("account={account}")).await, 5);
    assert_eq!(count(&format!("account={}", Uuid::now_v7())).await, 0);
    assert_eq!(count("from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z").await, 0);
    assert_eq!(count("from=2020-01-01T00:00:00%2B02:00").await, 5);
    for wrong in ["limit=0", "limit=201", "limit=x", "cursor=x", "state=asleep", "from=monday", "colour=red"]
    {
        assert_eq!(
            door.get(&format!("/api/v1/posts?{wrong}")).await.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_post_has_the_first_state_that_any_of_its_publications_has() {
    let door = Door::open().await;
    let (one, two) = (door.account("facebook_page").await, door.account("facebook_page").await);
    let body = json!({ "caption": "x", "targets": [{ "account_id": one }, { "account_id": two }] });
    let id = door.post(&body).await.json()["id"].as_str().expect("an id").to_owned();
    let set = async |account: Uuid, state: &str| {
        let next = "next_check_at = now()";
        door.scratch
            .run(&format!("UPDATE publication SET state = '{state}', {next} WHERE account_id = '{account}'"))
            .await;
    };
    for (first, second, shown) in [
        ("published", "failed", "failed"),
        ("published", "held", "held"),
        ("published", "unknown", "confirming"),
        ("armed", "unknown", "publishing"),
        ("prepared", "retry_wait", "preparing"),
        ("published", "cancelled", "published"),
    ] {
        set(one, first).await;
        set(two, second).await;
        assert_eq!(door.get(&format!("/api/v1/posts/{id}")).await.json()["state"], shown);
        let listed = door.get(&format!("/api/v1/posts?state={shown}")).await.json();
        assert_eq!(listed["data"][0]["id"].as_str(), Some(id.as_str()), "{shown}");
    }
}

#[tokio::test]
async fn an_error_says_who_acts() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let id = door.post(&words(account)).await.json()["id"].as_str().expect("an id").to_owned();
    let error =
        async || door.get(&format!("/api/v1/posts/{id}")).await.json()["publications"][0]["error"].clone();
    let failure = r#"{"class": "permission", "code": "200", "message": "no right"}"#;
    door.scratch.run(&format!("UPDATE publication SET state = 'failed', error = '{failure}'")).await;
    assert_eq!(
        error().await,
        json!({ "class": "permission", "code": "200", "message": "no right", "who_acts": "owner" })
    );
    for (class, more, state, who) in [
        ("transient", "", "retry_wait", "postroom"),
        ("transient", "", "failed", "staff"),
        ("permanent", "", "failed", "author"),
        ("permanent", r#", "operator": true"#, "failed", "operator"),
    ] {
        let failure = format!(r#"{{"class": "{class}", "code": "1", "message": "no"{more}}}"#);
        door.scratch.run(&format!("UPDATE publication SET state = '{state}', error = '{failure}'")).await;
        assert_eq!(error().await["who_acts"], who, "{class}{more} {state}");
    }
    door.scratch.run("UPDATE publication SET state = 'held', hold_reason = 'too late', error = NULL").await;
    assert_eq!(
        error().await,
        json!({ "class": "held", "code": "held", "message": "too late", "who_acts": "staff" })
    );
    door.scratch.run(&format!("UPDATE publication SET state = 'published', error = '{failure}'")).await;
    assert_eq!(error().await, Value::Null);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let door = Door::open().await;
    let answer = door.get("/api/v1/nothing").await;
    assert_eq!(
        (answer.status, answer.json()["instance"].as_str()),
        (StatusCode::NOT_FOUND, Some("/api/v1/nothing"))
    );
    let answer = door
        .send(door.request(&Method::DELETE, "/api/v1/posts").body(Body::empty()).expect("a request"))
        .await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(answer.header("allow").contains("POST"), "{:?}", answer.headers);
}

#[tokio::test]
async fn with_the_ledger_away_the_door_stays_open_and_says_so() {
    let door = Door::open().await;
    assert_eq!(door.get("/readyz").await.json()["ready"], true);
    door.scratch.ledger.close().await;
    let answer = door.post(&json!({})).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    assert_eq!(answer.json()["type"], "urn:postroom:problem:ledger-away");
    let answer = door.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["checks"][0]["ok"], false);
    assert_eq!(door.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_late_queue_is_named() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    door.post(&words(account)).await;
    door.scratch.run("UPDATE job SET run_at = now() - interval '5 minutes'").await;
    let ready = door.get("/readyz").await.json();
    assert_eq!(ready["late_queues"][0]["queue"], "publish");
    assert_eq!(ready["late_queues"][0]["why"], "no living worker takes it");
    let why = async |statement: &'static str| {
        door.scratch.run(statement).await;
        door.get("/readyz").await.json()["late_queues"][0]["why"].as_str().unwrap_or_default().to_owned()
    };
    let other = "INSERT INTO worker (inc, version, lease_until, kinds) \
                 VALUES (gen_random_uuid(), '1', now() + interval '1 minute', '{deletion}')";
    assert_eq!(why(other).await, "no living worker takes it");
    let busy = why("UPDATE worker SET kinds = '{publish}'").await;
    assert!(busy.starts_with("1 workers hold 0 of its jobs"), "{busy}");
    let pause = "INSERT INTO pause (scope, subject, reason) VALUES ('queue', 'publish', 'their outage')";
    assert_eq!(why(pause).await, "paused: their outage");
}

#[tokio::test]
async fn metrics_need_their_token() {
    let mut door = Door::open().await;
    assert_eq!(door.get("/metrics").await.status, StatusCode::UNAUTHORIZED);
    door.key = "measure".to_owned();
    assert_eq!(door.get("/metrics").await.text, "up 1\n");
}

#[tokio::test]
async fn the_description_names_every_route_of_the_api() {
    let door = Door::open().await;
    let api = door.get("/api/openapi.json").await.json();
    assert!(api["openapi"].as_str().expect("a version").starts_with("3.1"));
    for (path, methods) in [
        ("/api/v1/posts", &["get", "post"][..]),
        ("/api/v1/posts/{id}", &["get"]),
        ("/api/v1/posts:check", &["post"]),
        ("/api/v1/media", &["post"]),
        ("/api/v1/media/{id}", &["get"]),
        ("/api/v1/media/uploads", &["post"]),
        ("/api/v1/media/uploads/{id}/complete", &["post"]),
        ("/api/v1/accounts", &["get"]),
        ("/api/v1/accounts/{id}/refresh", &["post"]),
        ("/healthz", &["get"]),
        ("/readyz", &["get"]),
        ("/metrics", &["get"]),
    ] {
        for method in methods {
            assert!(api["paths"][path][method].is_object(), "{method} {path}");
        }
    }
}
