//! What leads out of doubt, and what does not: refusals that nobody can vouch for, evidence that is told while the
//! ledger is away, posts that look alike.

use jobs::failpoint::Point;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    chaos::servers::Postgres,
    harness::{
        Database, FACEBOOK, Ground, INSTAGRAM, System, TIKTOK, eventually, film, free_port, picture,
        start_redis,
    },
};

const COMMITS: &str = "SELECT count(*) FROM remote_call WHERE kind = 'commit'";

/// A system that sends nothing more often than this, and one worker.
async fn with_attempts(attempts: u32) -> System {
    let mut system = System::start().await;
    for (name, value) in [
        ("POSTROOM__JOBS__PUBLISH__RETRY_ATTEMPTS", attempts.to_string().as_str()),
        ("POSTROOM__PUBLISHING__LOOK_MOST", "500ms"),
        ("POSTROOM__PUBLISHING__LATE_LIMIT", "8s"),
    ] {
        system.environment.insert(name.into(), value.into());
    }
    system.start_worker(&[]);
    system
}

/// What the author is told of a post's only publication.
async fn told(system: &System, post: &str) -> Value {
    let (_, answer) = system.api(Method::GET, &format!("/api/v1/posts/{post}"), None).await;
    answer["publications"][0]["error"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_not_publish_rests_and_is_not_asked_again_and_again() {
    let system = with_attempts(3).await;
    let refused = json!({ "graph": { "code": 25, "subcode": 2_207_050, "http": 400, "effect": false } });
    system.fault(json!({ "network": INSTAGRAM, "call": "commit", "fault": refused })).await;
    let post = system.post("the account is restricted", &[INSTAGRAM]).await;
    eventually("the account to rest", || async {
        let resting = "SELECT count(*) FROM account a JOIN job j ON j.account_id = a.id
                       WHERE a.state = 'reconnect' AND j.standing = 'paused'";
        if system.database.count(resting).await == 1 {
            return Ok(());
        }
        Err(format!("{} after {} commits", told(&system, &post).await, system.database.count(COMMITS).await))
    })
    .await;
    assert!(system.database.count(COMMITS).await <= 3);
    let error = told(&system, &post).await;
    assert_eq!((&error["class"], &error["who_acts"]), (&json!("permission"), &json!("owner")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("restricted or inactive"), "{error}");
    // once its owner has mended it, it goes out
    system.calm().await;
    connect_again(&system, INSTAGRAM, "17841400000000001").await;
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_network_refuses_for_good_is_sent_once_and_fails_with_its_reason() {
    let system = with_attempts(25).await;
    let refused = json!({ "graph": { "code": 100, "subcode": 2_207_023, "http": 400, "effect": false } });
    system.fault(json!({ "network": INSTAGRAM, "call": "commit", "fault": refused })).await;
    let post = system.post("of a type it does not take", &[INSTAGRAM]).await;
    system.until(&post, "failed").await;
    assert_eq!(system.database.count(COMMITS).await, 1);
    let error = told(&system, &post).await;
    assert_eq!((&error["code"], &error["who_acts"]), (&json!("100/2207023"), &json!("author")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_no_known_reason_spends_its_attempts() {
    let system = with_attempts(2).await;
    system.fault(json!({ "network": FACEBOOK, "call": "commit", "fault": "no_effect_then_500" })).await;
    let post = system.post("never taken, never refused", &[FACEBOOK]).await;
    system.until(&post, "failed").await;
    assert_eq!(system.database.count(COMMITS).await, 2);
    assert!(system.effects(FACEBOOK, "never taken, never refused").await.is_empty());
    let error = told(&system, &post).await;
    assert_eq!(error["class"], "transient", "{error}");
}

/// A system on a Postgres that the test stops.
async fn on_a_postgres() -> (System, Postgres) {
    let dir = tempfile::tempdir().unwrap();
    let postgres = Postgres::start().await;
    let database = Database::create_on(&postgres.url()).await;
    let port = free_port();
    let redis = Some(start_redis(port, dir.path(), false));
    // a commit may take half a lease, and the answers here come late
    let settings = [("DATABASE_URL", database.url.as_str()), ("POSTROOM__LEASE__LENGTH", "12s")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let redis_url = format!("redis://127.0.0.1:{port}");
    let mut system = System::on(Ground { dir, database, redis, redis_url, settings }).await;
    system.start_worker(&[]);
    (system, postgres)
}

/// A post of one picture.
async fn with_a_picture(system: &System, caption: &str, platform: &str, change: Value) -> String {
    let media = [system.upload("picture.jpg", picture()).await];
    let mut wish = system.wish(caption, &[platform], &media);
    for (key, value) in change.as_object().unwrap() {
        wish[key] = value.clone();
    }
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    post["id"].as_str().unwrap().to_owned()
}

/// The ledger is away when the worker hears the answer to its commit, and is back once it has told it in vain.
async fn away_at_the_answer(system: &System, postgres: &mut Postgres, commit: &str) {
    eventually("an effect", || async {
        let public = system.control("effects").await["data"].as_array().unwrap().len();
        if public == 1 { Ok(()) } else { Err(format!("{public} effects")) }
    })
    .await;
    postgres.down(false).await;
    eventually("the answer", || async {
        let calls = system.control("calls").await;
        let answered = calls["data"].as_array().unwrap().iter().any(|call| call["call"] == commit);
        if answered { Ok(()) } else { Err(calls.to_string()) }
    })
    .await;
    eventually("the worker to tell it", || async {
        let log = system.workers[0].log();
        let tried = ["evidence could not be recorded yet", "the job could not be settled yet"];
        if tried.iter().any(|line| log.contains(line)) { Ok(()) } else { Err(log) }
    })
    .await;
    postgres.up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tiktok_calls_a_post_is_told_until_the_ledger_hears_it() {
    let (system, mut postgres) = on_a_postgres().await;
    let late = json!({ "answer_after_ms": 4000 });
    system.fault(json!({ "network": TIKTOK, "call": "content_init", "times": 1, "fault": late })).await;
    // what only its owner sees is in no list: nothing but its name leads to it
    let target = json!({ "account_id": system.account(TIKTOK), "options": { "privacy_level": "SELF_ONLY" } });
    let post = with_a_picture(&system, "for nobody else", TIKTOK, json!({ "targets": [target] })).await;
    away_at_the_answer(&system, &mut postgres, "content_init").await;
    system.until(&post, "published").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_story_was_told_is_told_until_the_ledger_hears_it() {
    let (system, mut postgres) = on_a_postgres().await;
    let commit = json!({ "network": FACEBOOK, "call": "photo_stories", "times": 1 });
    for fault in [json!({ "answer_after_ms": 4000 }), json!({ "stale_read_ms": 120_000 })] {
        let mut rule = commit.clone();
        rule["fault"] = fault;
        system.fault(rule).await;
    }
    let post = with_a_picture(&system, "told once", FACEBOOK, json!({ "kind": "story" })).await;
    away_at_the_answer(&system, &mut postgres, "photo_stories").await;
    system.all_live_once(&[post]).await;
}

/// How often TikTok was asked what the account shows to all.
async fn lists(system: &System) -> usize {
    let calls = system.control("calls").await;
    calls["data"].as_array().unwrap().iter().filter(|call| call["call"] == "video_list").count()
}

/// Waits until TikTok was asked so many times more.
async fn after_lists(system: &System, more: usize) {
    let before = lists(system).await;
    eventually("looks", || async {
        let now = lists(system).await;
        if now >= before + more { Ok(()) } else { Err(format!("{now} of {}", before + more)) }
    })
    .await;
}

/// A worker that looks often, on a system where TikTok takes photos and its answer is lost.
async fn lost_answers() -> System {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__PUBLISHING__LOOK_MOST".into(), "300ms".into());
    system.start_worker(&[]);
    system.fault(json!({ "network": TIKTOK, "call": "content_init", "fault": "effect_then_drop" })).await;
    system
}

async fn in_doubt(system: &System, posts: i64) {
    eventually("the doubts", || async {
        let unknown = system.database.count("SELECT count(*) FROM publication WHERE state = 'unknown'").await;
        if unknown == posts { Ok(()) } else { Err(format!("{unknown} in doubt")) }
    })
    .await;
}

/// No two publications are known by the same id.
async fn nothing_is_taken_twice(system: &System) {
    let twice = "SELECT count(*) - count(DISTINCT public_id) FROM publication WHERE public_id IS NOT NULL";
    assert_eq!(system.database.count(twice).await, 0, "one post was taken for two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_never_taken_for_two_of_the_same_words() {
    let system = lost_answers().await;
    // nothing is found before both are in doubt, and then both are looked for at once
    system.fault(json!({ "call": "video_list", "fault": { "read_error": true } })).await;
    let mut posts = vec![with_a_picture(&system, "the same words", TIKTOK, json!({})).await];
    in_doubt(&system, 1).await;
    system.tell("settings", &json!({ "processing_ms": 3_600_000 })).await;
    posts.push(with_a_picture(&system, "the same words", TIKTOK, json!({})).await);
    in_doubt(&system, 2).await;
    assert_eq!(system.effects(TIKTOK, "the same words").await.len(), 1, "the second is listed later");
    system.calm().await;
    system.fault(json!({ "call": "video_list", "fault": { "delay_ms": 700 } })).await;
    let both = "UPDATE publication SET next_check_at = ledger_now()";
    sqlx::query(both).execute(&system.database.pool).await.unwrap();
    after_lists(&system, 4).await;
    nothing_is_taken_twice(&system).await;
    for post in &posts {
        system.until(post, "confirming").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_has_no_name_yet_is_not_taken_for_another_of_the_same_words() {
    let system = System::with_workers(1).await;
    let first = with_a_picture(&system, "as nameless as the other", TIKTOK, json!({})).await;
    system.until(&first, "published").await;
    // as it is while TikTok moderates it
    let nameless = "UPDATE publication SET public_id = NULL, public_url = NULL, next_check_at = NULL";
    sqlx::query(nameless).execute(&system.database.pool).await.unwrap();
    system.tell("settings", &json!({ "processing_ms": 5_000 })).await;
    system.fault(json!({ "call": "content_init", "times": 1, "fault": "effect_then_drop" })).await;
    let second = with_a_picture(&system, "as nameless as the other", TIKTOK, json!({})).await;
    in_doubt(&system, 1).await;
    after_lists(&system, 3).await;
    system.until(&second, "confirming").await;
    // TikTok tells what the first is called: what is left is the second
    let asked = "UPDATE publication SET next_check_at = ledger_now() WHERE state = 'published'";
    sqlx::query(asked).execute(&system.database.pool).await.unwrap();
    system.until(&second, "published").await;
    nothing_is_taken_twice(&system).await;
    let ids = "SELECT count(DISTINCT public_id) FROM publication";
    assert_eq!(system.database.count(ids).await, 2);
}

/// Connects the account again with a token that is good.
async fn connect_again(system: &System, platform: &str, external_id: &str) {
    let add = ["account", "add", "--workspace", "Bakery", "--platform", platform, "--name", "Bakery"];
    let add = [&add[..], &["--external-id", external_id]].concat();
    system.postroom(&add, r#"{"access_token":"sandbox-page-token"}"#).await;
}

/// The account is connected again, and the post edited before anybody works on it.
async fn edited_once_connected_again(system: &mut System, post: &str, caption: &str) {
    system.workers[0].kill9().await;
    system.workers.clear();
    connect_again(system, FACEBOOK, "104000000000001").await;
    let change = json!({ "caption": caption });
    let (status, answer) = system.api(Method::PATCH, &format!("/api/v1/posts/{post}"), Some(&change)).await;
    assert_eq!(status, 202, "{answer}");
    system.start_worker(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_that_came_after_the_effect_is_found_out_before_an_edit_is_sent() {
    let mut system = System::with_workers(1).await;
    let lie = json!({ "graph": { "code": 190, "http": 400, "effect": true } });
    system.fault(json!({ "network": FACEBOOK, "call": "commit", "times": 1, "fault": lie })).await;
    let post = system.post("as it was first", &[FACEBOOK]).await;
    eventually("the account to rest", || async {
        let resting = system.database.count("SELECT count(*) FROM job WHERE standing = 'paused'").await;
        if resting == 1 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    edited_once_connected_again(&mut system, &post, "as it is wanted now").await;
    system.until(&post, "published").await;
    let effects = system.control("effects").await;
    assert_eq!(effects["data"].as_array().unwrap().len(), 1, "{effects}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_after_a_true_no_is_what_becomes_public() {
    let mut system = System::with_workers(1).await;
    let no = json!({ "graph": { "code": 190, "http": 400, "effect": false } });
    system.fault(json!({ "network": FACEBOOK, "call": "commit", "times": 1, "fault": no })).await;
    let post = system.post("never seen", &[FACEBOOK]).await;
    eventually("the account to rest", || async {
        let resting = system.database.count("SELECT count(*) FROM job WHERE standing = 'paused'").await;
        if resting == 1 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    edited_once_connected_again(&mut system, &post, "seen instead").await;
    system.all_live_once(&[post]).await;
    assert_eq!(system.effects(FACEBOOK, "seen instead").await.len(), 1);
    assert!(system.effects(FACEBOOK, "never seen").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_held_where_its_token_does_not_open() {
    let mut system = System::start().await;
    for (name, value) in [("EVIDENCE_LIMIT", "6s"), ("LOOK_MOST", "500ms")] {
        system.environment.insert(format!("POSTROOM__PUBLISHING__{name}"), value.into());
    }
    system.tell("settings", &json!({ "processing_ms": 3_600_000 })).await;
    system.start_worker(&[]);
    let post = system.post("taken, and processed for long", &[TIKTOK]).await;
    eventually("the commit to be taken", || async {
        let spent = "SELECT count(*) FROM publication WHERE state = 'waiting' AND handle_state = 'spent'";
        if system.database.count(spent).await == 1 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    system.workers[0].kill9().await;
    let other_keys = system.postroom(&["keys", "generate"], "").await;
    system.environment.insert("POSTROOM_KEYS".into(), other_keys);
    system.start_worker(&[]);
    let held = system.until(&post, "held").await;
    assert_eq!(held["publications"][0]["error"]["code"], "not_provable", "{held}");
    let resting = "SELECT count(*) FROM account WHERE state <> 'active'";
    assert_eq!(system.database.count(resting).await, 0, "the account is not at fault");
}

/// A film of so many bytes more than it needs: players pass over a box that is free.
fn long_film(more: u32) -> Vec<u8> {
    let mut film = film();
    film.extend(more.to_be_bytes());
    film.extend(b"free");
    film.resize(film.len() + more as usize - 8, 0);
    film
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_where_the_last_attempt_left_it() {
    for (platform, calls, parts) in [(TIKTOK, "upload_chunk", 40 << 20), (FACEBOOK, "videos", 30 << 20)] {
        let mut system = System::start().await;
        for (name, value) in [("TIMEOUT", "2s"), ("RETRY_CAP", "500ms")] {
            system.environment.insert(format!("POSTROOM__JOBS__PUBLISH__{name}"), value.into());
        }
        let slow = json!({ "network": platform, "call": calls, "fault": { "delay_ms": 500 } });
        system.fault(slow).await;
        system.start_worker(&[]);
        let media = [system.upload("film.mp4", long_film(parts)).await];
        let wish = system.wish("longer than an attempt", &[platform], &media);
        let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
        assert_eq!(status, 202, "{post}");
        system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
        let begun = "SELECT count(*) FROM remote_call WHERE kind = 'prepare'";
        assert!(system.database.count(begun).await > 1, "one attempt was enough");
        let left = system.database.count("SELECT count(*) FROM orphan_handle").await;
        assert_eq!(left, 0, "an upload was left behind on {platform}");
        let calls = system.control("calls").await;
        let inits =
            calls["data"].as_array().unwrap().iter().filter(|call| call["call"] == "video_init").count();
        assert_eq!(inits, usize::from(platform == TIKTOK));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ready_at_the_network_does_not_wait_for_the_store() {
    let mut system = System::start().await;
    let mut png = std::io::Cursor::new(Vec::new());
    let image = image::RgbImage::from_pixel(320, 320, image::Rgb([200, 120, 40]));
    image.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let media = [system.upload("picture.png", png.into_inner()).await];
    let wish = system.wish("made of something else", &[INSTAGRAM], &media);
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    system.start_worker(&[(Point::AfterPrepared.word(), "kill9")]);
    assert_eq!(system.workers[0].ended().await, None);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    system.environment.insert("AWS_ENDPOINT_URL_S3".into(), nobody);
    system.start_worker(&[]);
    system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
}
