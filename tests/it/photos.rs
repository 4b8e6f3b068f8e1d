//! Photos that TikTok fetches from our own origin: what it fetched may be public, what it never fetched is not.

use jobs::{
    desk::{Close, Origin, Pulled},
    failpoint::Point,
};
use postroom::ledger::{origin::LedgerOrigin, tidings::News};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{System, TIKTOK, eventually, picture},
    support::Door,
};

/// Accepts a post of so many photos for TikTok, and gives its id.
async fn post(system: &System, caption: &str, photos: usize) -> String {
    let wish = wish(system, caption, photos).await;
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    assert_eq!(post["publications"][0]["surface"], "photos");
    post["id"].as_str().unwrap().to_owned()
}

async fn wish(system: &System, caption: &str, photos: usize) -> Value {
    let mut media = Vec::new();
    for n in 0..photos {
        media.push(system.upload(&format!("{n}.jpg"), picture()).await);
    }
    let mut wish = system.wish(caption, &[TIKTOK], &media);
    wish["kind"] = json!(if photos > 1 { "carousel" } else { "post" });
    wish
}

/// The commit calls, oldest first: their ids, and whether their addresses are closed.
async fn commits(system: &System) -> Vec<(Uuid, bool)> {
    sqlx::query_as("SELECT call_id, revoked FROM remote_call WHERE kind = 'commit' ORDER BY seq")
        .fetch_all(&system.database.pool)
        .await
        .unwrap()
}

async fn fetched(system: &System, call: Uuid) -> i64 {
    let rows = sqlx::query_scalar("SELECT count(*) FROM media_fetch WHERE call_id = $1").bind(call);
    rows.fetch_one(&system.database.pool).await.unwrap()
}

async fn get(system: &System, call: Uuid, position: usize) -> reqwest::Response {
    crate::harness::client().get(system.url(&format!("/p/{call}/{position}.jpg"))).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_are_fetched_from_our_own_origin_and_public_once() {
    let system = System::with_workers(1).await;
    let posts = [post(&system, "one photo", 1).await, post(&system, "three photos", 3).await];
    system.all_live_once(&posts).await;
    system.every_call_was_logged_first().await;
    let media = system.effects(TIKTOK, "three photos").await[0]["media"].as_array().unwrap().len();
    assert_eq!(media, 3);
    assert_eq!(system.database.count("SELECT count(*) FROM media_fetch").await, 4);
    let (_, post) = system.api(Method::GET, &format!("/api/v1/posts/{}", posts[1]), None).await;
    assert!(post["publications"][0]["permalink"].is_string(), "{post}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_serves_a_whole_file_without_a_login_and_nothing_beyond_the_post() {
    let system = System::with_workers(1).await;
    let id = post(&system, "looked at closely", 2).await;
    system.until(&id, "published").await;
    let (call, _) = commits(&system).await[0];
    let served = get(&system, call, 1).await;
    assert_eq!(
        (served.status().as_u16(), &served.headers()["content-type"]),
        (200, &"image/jpeg".parse().unwrap())
    );
    assert_eq!(served.headers()["cache-control"], "no-store");
    let fetches = "SELECT coalesce(sum(fetches), 0)::bigint FROM media_fetch";
    let before = system.database.count(fetches).await;
    let at = system.url(&format!("/p/{call}/1.jpg"));
    let asked = crate::harness::client().head(at).send().await.unwrap();
    assert_eq!(asked.status(), 200);
    assert_eq!(asked.headers()["content-length"], served.headers()["content-length"]);
    assert_eq!(system.database.count(fetches).await, before, "who gets no byte has fetched nothing");
    assert_eq!(served.bytes().await.unwrap(), picture());
    assert_eq!(get(&system, call, 2).await.status(), 404, "there are two");
    assert_eq!(get(&system, Uuid::now_v7(), 0).await.status(), 404);
    let prepared: Uuid = sqlx::query_scalar("SELECT call_id FROM remote_call WHERE kind = 'prepare'")
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    assert_eq!(get(&system, prepared, 0).await.status(), 404, "only a commit has addresses");
    assert_eq!(crate::harness::client().get(system.url("/p/x/0.jpg")).send().await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_behind_a_lost_answer_are_found_and_not_sent_again() {
    let system = System::with_workers(1).await;
    for fault in ["effect_then_500", "effect_then_drop", "effect_then_half"] {
        system.fault(json!({ "call": "commit", "times": 1, "fault": fault })).await;
        let id = post(&system, fault, 2).await;
        system.all_live_once(&[id]).await;
    }
    assert_eq!(commits(&system).await.len(), 3, "each was sent once");
    let proved = "SELECT count(*) FROM remote_call WHERE kind = 'commit' AND verdict = 'resolved_yes'";
    assert_eq!(system.database.count(proved).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_that_nobody_fetched_get_new_addresses_and_are_public_once() {
    let system = System::with_workers(1).await;
    for fault in ["no_effect_then_500", "no_effect_then_drop"] {
        system.fault(json!({ "call": "commit", "times": 1, "fault": fault })).await;
        let id = post(&system, fault, 2).await;
        system.all_live_once(&[id]).await;
    }
    let commits = commits(&system).await;
    assert_eq!(commits.iter().map(|(_, closed)| *closed).collect::<Vec<_>>(), [true, false, true, false]);
    for (n, (call, _)) in commits.iter().enumerate() {
        assert_eq!(fetched(&system, *call).await, if n % 2 == 0 { 0 } else { 2 });
    }
    assert_eq!(get(&system, commits[0].0, 0).await.status(), 404, "what is closed serves nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_that_arrives_after_its_addresses_were_closed_is_never_public() {
    let system = System::with_workers(1).await;
    let late = json!({ "effect_after_ms": 600_000, "then": "drop" });
    system.fault(json!({ "call": "commit", "times": 1, "fault": late })).await;
    let id = post(&system, "late init", 2).await;
    system.all_live_once(std::slice::from_ref(&id)).await;
    system.tell("clock", &json!({ "advance_ms": 600_000 })).await;
    refused_by_the_origin(&system).await;
    system.all_live_once(&[id]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_that_are_fetched_after_their_addresses_were_closed_are_never_public() {
    let system = System::with_workers(1).await;
    system.tell("settings", &json!({ "tiktok_pull_after_ms": 600_000 })).await;
    system.fault(json!({ "call": "commit", "times": 1, "fault": "effect_then_drop" })).await;
    let id = post(&system, "late fetch", 2).await;
    eventually("the addresses to be closed", || async {
        let commits = commits(&system).await;
        if commits.iter().any(|(_, closed)| *closed) { Ok(()) } else { Err(format!("{commits:?}")) }
    })
    .await;
    system.tell("settings", &json!({ "tiktok_pull_after_ms": 0 })).await;
    system.all_live_once(std::slice::from_ref(&id)).await;
    system.tell("clock", &json!({ "advance_ms": 600_000 })).await;
    refused_by_the_origin(&system).await;
    system.all_live_once(&[id]).await;
}

/// The network came for the photos of the first commit and got none.
async fn refused_by_the_origin(system: &System) {
    let journal = system.logs().join("sandbox/journal.jsonl");
    eventually("the network to come for the photos", || async {
        let journal = std::fs::read_to_string(&journal).map_err(|error| error.to_string())?;
        if journal.contains("photo_pull_failed") { Ok(()) } else { Err("it has not come".into()) }
    })
    .await;
    assert_eq!(fetched(system, commits(system).await[0].0).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_that_tiktok_fetches_by_and_by_are_waited_for() {
    let system = System::with_workers(1).await;
    system.tell("settings", &json!({ "tiktok_pull_after_ms": 1_000 })).await;
    let id = post(&system, "fetched by and by", 2).await;
    system.all_live_once(&[id]).await;
    assert_eq!(commits(&system).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_step_leaves_one_post_of_photos() {
    let mut system = System::start().await;
    for point in [
        Point::AfterPrepareAnswer,
        Point::AfterPrepared,
        Point::AfterArm,
        Point::BeforeCommitSend,
        Point::AfterCommitAnswer,
        Point::AfterSettle,
    ] {
        let id = post(&system, &format!("killed at {}", point.word()), 2).await;
        system.start_worker(&[(point.word(), "kill9")]);
        let mut worker = system.workers.pop().unwrap();
        assert_eq!(worker.ended().await, None, "{} was not reached: {}", point.word(), worker.log());
        system.start_worker(&[]);
        system.all_live_once(&[id]).await;
        system.workers.clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_that_were_fetched_and_show_nowhere_are_held_and_not_sent_again() {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__PUBLISHING__EVIDENCE_LIMIT".into(), "6s".into());
    system.start_worker(&[]);
    system.fault(json!({ "call": "commit", "times": 1, "fault": "effect_then_drop" })).await;
    let mut wish = wish(&system, "for its owner's eyes", 2).await;
    wish["targets"][0]["options"] = json!({ "privacy_level": "SELF_ONLY" });
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    let held = system.until(post["id"].as_str().unwrap(), "held").await;
    assert_eq!(held["publications"][0]["error"]["code"], "not_provable", "{held}");
    let commits = commits(&system).await;
    assert_eq!((commits.len(), commits[0].1), (1, true));
    assert_eq!(fetched(&system, commits[0].0).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_init_is_told_at_once_and_sends_nothing_again() {
    let system = System::with_workers(1).await;
    let no = json!({ "tiktok": { "code": "url_ownership_unverified", "http": 403, "effect": false } });
    system.fault(json!({ "call": "commit", "fault": no })).await;
    let id = post(&system, "not our domain", 1).await;
    let failed = system.until(&id, "failed").await;
    assert_eq!(failed["publications"][0]["error"]["code"], "url_ownership_unverified", "{failed}");
    assert_eq!(commits(&system).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_privacy_level_that_the_creator_does_not_offer_is_the_authors_to_mend_and_commits_nothing() {
    let system = System::with_workers(1).await;
    let account = json!({
        "platform": TIKTOK, "external_id": "sandbox-open-id", "name": "cornerbakery",
        "access_token": "sandbox-tiktok-access", "refresh_token": "r", "privacy_options": ["SELF_ONLY"],
    });
    system.tell("accounts", &account).await;
    let film = system.post("a film for all", &[TIKTOK]).await;
    for id in [film, post(&system, "photos for all", 1).await] {
        let failed = system.until(&id, "failed").await;
        let error = &failed["publications"][0]["error"];
        assert_eq!(
            (&error["code"], &error["who_acts"]),
            (&json!("privacy_level_option_mismatch"), &json!("author")),
            "{failed}"
        );
    }
    assert!(commits(&system).await.is_empty());
}

/// A commit of photos as arming leaves it, of the publication there is.
async fn arm(door: &Door, call: Uuid) {
    let mut connection = door.scratch.connection().await;
    let armed = "UPDATE publication SET handle_kind = 'pull', handle_id = $1, handle_state = 'ready',
                        quarantine_until = ledger_now()";
    sqlx::query(armed).bind(call.to_string()).execute(&mut connection).await.unwrap();
    let logged = "INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind,
                                           handle_id, deadline_at, verdict)
                  SELECT $1, id, account_id, id, 1, id, 'commit', handle_id, ledger_now(), 'resolved_no' FROM publication";
    sqlx::query(logged).bind(call).execute(&mut connection).await.unwrap();
}

async fn door_with_photos() -> Door {
    let door = Door::open().await;
    let account = door.account(TIKTOK).await;
    let media = door.upload("a.jpg", &picture()).await.json()["id"].clone();
    let target = json!({ "account_id": account, "options": { "privacy_level": "SELF_ONLY" } });
    let wish = json!({ "caption": "raced for", "kind": "post", "media_ids": [media], "targets": [target] });
    assert_eq!(door.post(&wish).await.status, 202);
    door
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_and_the_closing_of_its_address_never_both_win() {
    let door = door_with_photos().await;
    let ledger = &door.scratch.ledger;
    let origin = LedgerOrigin::new(ledger.clone(), &"http://localhost/".parse().unwrap());
    let (mut served, mut closed) = (0, 0);
    for n in 0..300 {
        let call = Uuid::now_v7();
        arm(&door, call).await;
        let handle = call.to_string();
        let fetch = async {
            // each is first as often as the other
            for _ in 0..n % 5 {
                tokio::task::yield_now().await;
            }
            ledger.fetch(call, 0).await.unwrap()
        };
        let (fetched, pulled) = tokio::join!(fetch, origin.close(&handle, Close::Settled));
        match (fetched.is_some(), pulled.unwrap()) {
            (true, Pulled::Fetched) => served += 1,
            (false, Pulled::Never) => closed += 1,
            other => panic!("round {n}: {other:?}"),
        }
        assert!(ledger.fetch(call, 0).await.unwrap().is_none(), "what is closed stays closed");
    }
    assert!(served > 0 && closed > 0, "served {served}, closed {closed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_not_closed_while_a_request_may_be_on_its_way_unless_the_network_said_no() {
    let door = door_with_photos().await;
    let origin = LedgerOrigin::new(door.scratch.ledger.clone(), &"http://localhost/".parse().unwrap());
    let call = Uuid::now_v7();
    arm(&door, call).await;
    door.scratch.run("UPDATE publication SET quarantine_until = ledger_now() + interval '1 hour'").await;
    let handle = call.to_string();
    assert_eq!(origin.close(&handle, Close::Settled).await, Ok(Pulled::Serving));
    assert!(door.scratch.ledger.fetch(call, 0).await.unwrap().is_some());
    assert_eq!(origin.close(&handle, Close::Now).await, Ok(Pulled::Fetched));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_commit_is_called_is_kept_only_with_the_handle_it_committed() {
    let door = door_with_photos().await;
    let origin = LedgerOrigin::new(door.scratch.ledger.clone(), &"http://localhost/".parse().unwrap());
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    arm(&door, first).await;
    arm(&door, second).await;
    origin.named(first, "too late").await.unwrap();
    origin.named(second, "p_pub_url~1").await.unwrap();
    let named = "SELECT count(*) FROM publication WHERE handle_detail ->> 'publish_id' = 'p_pub_url~1'";
    assert_eq!(door.scratch.number(named).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_an_upload_that_was_left_behind_is_given_to_no_photos() {
    let door = door_with_photos().await;
    arm(&door, Uuid::now_v7()).await;
    door.scratch.run("UPDATE remote_call SET verdict = 'ambiguous'").await;
    door.scratch.run("INSERT INTO media_fetch (call_id, position) SELECT call_id, 0 FROM remote_call").await;
    door.scratch
        .run("INSERT INTO orphan_handle (account_id, handle_kind, handle_id) SELECT id, 'publish_id', 'left' FROM account")
        .await;
    let open_id: String = sqlx::query_scalar("SELECT external_id FROM account")
        .fetch_one(&mut door.scratch.connection().await)
        .await
        .unwrap();
    for (name, named) in [("left", 0), ("p_pub_url~1", 1)] {
        door.scratch.ledger.told_by_tiktok(&open_id, name, News::Public).await.unwrap();
        let kept =
            format!("SELECT count(*) FROM publication WHERE handle_detail ->> 'publish_id' = '{name}'");
        assert_eq!(door.scratch.number(&kept).await, named, "{name}");
    }
}
