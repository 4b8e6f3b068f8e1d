//! Copies of what is known of somebody: whole, of nobody else, made whatever dies meanwhile, fetched once, and gone after.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use jobs::{failpoint::Point, zip::Crc};
use postroom::ledger::people::MemberRole;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    console::Browser,
    deletions::{deleted, done},
    harness::{FACEBOOK, INSTAGRAM, System, client, eventually, picture},
    support::{Answer, Door},
};

/// What a ZIP file holds, as its directory tells it.
fn unpacked(file: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let short = |at: usize| usize::from(u16::from_le_bytes(file[at..at + 2].try_into().unwrap()));
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let long = |at: usize| usize::try_from(word(at)).unwrap();
    let end = file.len() - 22;
    assert_eq!(file[end..end + 4], *b"PK\x05\x06");
    let (mut at, mut all) = (long(end + 16), BTreeMap::new());
    for _ in 0..short(end + 10) {
        assert_eq!(file[at..at + 4], *b"PK\x01\x02");
        let (sum, bytes, name, extra) = (word(at + 16), long(at + 24), short(at + 28), short(at + 30));
        let begins = long(at + 42);
        let path = String::from_utf8(file[at + 46..at + 46 + name].to_vec()).unwrap();
        assert_eq!(file[begins..begins + 4], *b"PK\x03\x04", "{path}");
        assert_eq!(file[begins + 30..begins + 30 + name], *path.as_bytes());
        let data = &file[begins + 30 + name..begins + 30 + name + bytes];
        let mut crc = Crc::default();
        crc.update(data);
        assert_eq!(crc.sum(), sum, "{path}");
        assert!(all.insert(path, data.to_vec()).is_none(), "no two have one name");
        at += 46 + name + extra;
    }
    assert_eq!(at, end, "the directory is all that is left");
    all
}

/// Checks that the list is of everything that is there, with its sum.
fn listed(all: &BTreeMap<String, Vec<u8>>) -> Value {
    let manifest: Value = serde_json::from_slice(&all["manifest.json"]).unwrap();
    let files = manifest["files"].as_array().unwrap();
    assert_eq!(files.len(), all.len() - 1, "all but the list itself");
    for it in files {
        let data = &all[it["path"].as_str().unwrap()];
        assert_eq!(it["bytes"], json!(data.len()), "{it}");
        assert_eq!(it["sha256"], json!(hex::encode(Sha256::digest(data))), "{it}");
    }
    manifest
}

/// A picture with so much behind it that two make more than a part.
fn large(n: u8) -> Vec<u8> {
    let mut state = u32::from(n) + 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    let whole = picture();
    let (start, rest) = whole.split_at(2);
    let mut bytes = start.to_vec();
    for _ in 0..80 {
        // the length counts itself
        bytes.extend([0xff, 0xfe, 0xff, 0xff]);
        bytes.extend(std::iter::repeat_with(&mut noise).take(0xffff - 2));
    }
    bytes.extend(rest);
    bytes
}

async fn scheduled(system: &System, words: &str, platform: &str, media: &[String]) {
    let mut wish = system.wish(words, &[platform], media);
    wish["schedule"] = json!({ "at": "2027-06-01T09:00:00Z" });
    let (status, answer) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{answer}");
}

/// Files of the store under `exports/`.
fn stored(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let here = folder.file_name().is_some_and(|name| name == "exports");
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { stored(&path) } else { usize::from(here) })
        .sum()
}

async fn link_of(system: &System, to: &str) -> String {
    eventually("the letter", || async {
        let mail = system.control("mail").await;
        let letter = mail["data"].as_array().unwrap().iter().find(|it| it["to"][0] == to).cloned();
        let text = letter.ok_or("none yet")?.to_string();
        let from = text.find("/privacy/exports/").ok_or(text.clone())?;
        let link: String = text[from + 17..].chars().take(22).collect();
        Ok::<_, String>(link)
    })
    .await
}

/// Whether a file of the copy is text that may tell of somebody.
fn is_text(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|it| it == "json")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_made_once_whatever_dies_holds_everything_of_one_person_and_is_fetched_once() {
    // P-D1 P-D3
    let mut system = System::start().await;
    for (key, value) in [("RETENTION__SWEEP_EVERY", "100ms"), ("LEASE__CRASH_LIMIT", "50")] {
        system.environment.insert(format!("POSTROOM__{key}"), value.into());
    }
    let whose = "UPDATE account SET subject_email = CASE platform WHEN 'facebook_page' THEN 'Dana@example.com'
                                                                  WHEN 'instagram_business' THEN 'noa@example.com' END";
    sqlx::query(whose).execute(&system.database.pool).await.unwrap();
    let mut pictures = Vec::new();
    for n in 0..4 {
        let bytes = large(n);
        let media = system.upload(&format!("{n}.jpg"), bytes.clone()).await;
        scheduled(&system, &format!("what dana wrote {n}"), FACEBOOK, std::slice::from_ref(&media)).await;
        pictures.push((format!("media/{media}.jpeg"), bytes));
    }
    let theirs = system.upload("noa.jpg", picture()).await;
    scheduled(&system, "what noa wrote", INSTAGRAM, &[theirs]).await;
    let wish = json!({ "kind": "export", "email": "dana@example.com" });
    let (status, asked) = system.api(Method::POST, "/api/v1/privacy/requests", Some(&wish)).await;
    assert_eq!((status, &asked["state"], &asked["url"]), (202, &json!("asked"), &Value::Null), "{asked}");
    // at each place that a copy comes by, those last at which it is made
    let at_the_end = |point: &Point| matches!(point, Point::BeforeSettle | Point::AfterSettle);
    let (last, first): (Vec<_>, Vec<_>) = Point::of_kind("export").partition(at_the_end);
    for point in first.into_iter().chain(last) {
        let armed = format!("{}=kill9", point.word());
        let armed = [("POSTROOM_FAILPOINTS", armed.as_str())];
        let mut worker = system.process("killed", &["worker", "--queues", "export"], &armed);
        assert_eq!(worker.ended().await, None, "{} was not reached: {}", point.word(), worker.log());
    }
    system.start_worker(&[]);
    let path = format!("/api/v1/privacy/requests/{}", asked["id"].as_str().unwrap());
    eventually("the copy", || async {
        let (_, shown) = system.api(Method::GET, &path, None).await;
        if shown["state"] == "made" { Ok(()) } else { Err(format!("{shown} {}", system.workers[0].log())) }
    })
    .await;
    let link = system.url(&format!("/privacy/exports/{}", link_of(&system, "dana@example.com").await));
    for _ in 0..2 {
        let page = client().get(&link).send().await.unwrap().text().await.unwrap();
        assert!(page.contains("Your copy is ready"), "who looks at it fetches nothing: {page}");
    }
    let fetched = client().post(&link).send().await.unwrap();
    assert_eq!(
        (fetched.status().as_u16(), fetched.headers()["content-type"].to_str().unwrap()),
        (200, "application/zip")
    );
    let all = unpacked(&fetched.bytes().await.unwrap());
    assert_eq!(client().post(&link).send().await.unwrap().status(), 410, "once");
    assert_eq!(client().get(&link).send().await.unwrap().status(), 410);
    let manifest = listed(&all);
    for (path, bytes) in &pictures {
        assert!(all[path] == *bytes, "{path} is not what was uploaded");
    }
    let of =
        |store: &str| -> Vec<Value> { serde_json::from_slice(&all[&format!("data/{store}.json")]).unwrap() };
    assert_eq!((of("account").len(), of("post").len(), of("media").len()), (1, 4, 4));
    assert!(of("post").iter().all(|it| it["caption"].as_str().unwrap().starts_with("what dana wrote")));
    assert_eq!((of("vault.token").len(), &of("vault.token")[0]["sealed"]), (1, &Value::Null));
    assert_eq!(all.keys().filter(|path| path.starts_with("media/")).count(), 4);
    for (path, data) in all.iter().filter(|(path, _)| is_text(path)) {
        let text = String::from_utf8_lossy(data);
        assert!(!text.contains("noa"), "{path} tells of somebody else");
    }
    let stores = manifest["stores"].as_array().unwrap();
    assert!(stores.iter().any(|it| it["store"] == "post" && it["kept_for"].is_string()), "{manifest}");
    assert_eq!(system.database.count("SELECT count(*) FROM export_item").await, 0, "it is in the file alone");
    assert_eq!(system.database.count("SELECT count(*) FROM deletion_request").await, 0);
    assert_eq!(system.database.count("SELECT count(*) FROM account WHERE state = 'active'").await, 3);
    assert_eq!(stored(system.logs()), 1);
    // an hour after it was fetched
    let due = "UPDATE spare_object SET remove_at = ledger_now() WHERE object_key LIKE 'exports/%'
                 AND remove_at < ledger_now() + interval '2 hours'";
    let due = sqlx::query(due).execute(&system.database.pool).await.unwrap();
    assert_eq!(due.rows_affected(), 1, "it is to be removed soon");
    eventually("the file to go", || async {
        if stored(system.logs()) == 0 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
}

/// Asks for a copy of all that is the workspace's, and gives its link.
async fn asked_of_all(system: &System) -> String {
    let wish = json!({ "kind": "export", "workspace": true });
    let (status, asked) = system.api(Method::POST, "/api/v1/privacy/requests", Some(&wish)).await;
    assert_eq!(status, 202, "{asked}");
    asked["url"].as_str().unwrap().to_owned()
}

async fn made(system: &System) {
    eventually("the copy", || async {
        let made = "SELECT count(*) FROM export WHERE state = 'made'";
        match system.database.count(made).await {
            1 => Ok(()),
            _ => Err(system.workers.iter().map(crate::harness::Process::log).collect()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_spent_once_by_one_of_those_who_use_it_at_once_and_not_while_the_store_is_away() {
    // P-D1 P-D3
    let system = System::with_workers(1).await;
    let media = system.upload("bread.jpg", picture()).await;
    scheduled(&system, "bread", FACEBOOK, &[media]).await;
    let link = asked_of_all(&system).await;
    made(&system).await;
    system.tell("store", &json!({ "away": true })).await;
    let answer = client().post(&link).send().await.unwrap();
    assert_eq!(answer.status(), 503, "{}", answer.text().await.unwrap());
    system.tell("store", &json!({ "away": false })).await;
    let many = (0..8).map(|_| client().post(&link).send());
    let answers = futures_util::future::join_all(many).await;
    let (mut files, mut refused) = (Vec::new(), 0);
    for answer in answers {
        let answer = answer.unwrap();
        match answer.status().as_u16() {
            200 => files.push(answer.bytes().await.unwrap()),
            410 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((files.len(), refused), (1, 7));
    listed(&unpacked(&files[0]));
    let soon = "SELECT count(*) FROM spare_object WHERE object_key LIKE 'exports/%'
                  AND remove_at BETWEEN ledger_now() + interval '59 minutes' AND ledger_now() + interval '2 hours'";
    assert_eq!(system.database.count(soon).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packer_that_sleeps_past_its_lease_harms_nothing_of_what_another_has_made() {
    let mut system = System::start().await;
    let mut pictures = Vec::new();
    for n in 0..4 {
        let bytes = large(n);
        let media = system.upload(&format!("{n}.jpg"), bytes.clone()).await;
        scheduled(&system, &format!("words {n}"), FACEBOOK, std::slice::from_ref(&media)).await;
        pictures.push((format!("media/{media}.jpeg"), bytes));
    }
    let link = asked_of_all(&system).await;
    let armed = [("POSTROOM_FAILPOINTS", "after_export_part=stop")];
    let mut asleep = system.process("asleep", &["worker", "--queues", "export"], &armed);
    eventually("a part of it", || async {
        match system.database.count("SELECT count(*) FROM export_part").await {
            0 => Err(asleep.log()),
            _ => Ok(()),
        }
    })
    .await;
    system.start_worker_on("export");
    made(&system).await;
    asleep.signal("CONT").await;
    asleep.signal("TERM").await;
    asleep.ended().await;
    let fetched = client().post(&link).send().await.unwrap();
    assert_eq!(fetched.status(), 200);
    let all = unpacked(&fetched.bytes().await.unwrap());
    listed(&all);
    for (path, bytes) in &pictures {
        assert!(all[path] == *bytes, "{path} is not what was uploaded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_job_was_lost_is_made_all_the_same() {
    let mut system = System::start().await;
    asked_of_all(&system).await;
    sqlx::query("DELETE FROM job WHERE kind = 'export'").execute(&system.database.pool).await.unwrap();
    system.start_worker(&[]);
    made(&system).await;
}

/// The large files that the store has anywhere, parts that were never joined among them.
fn large_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let large = |path: &std::path::PathBuf| std::fs::metadata(path).is_ok_and(|it| it.len() > 1_000_000);
    let inside = |path: std::path::PathBuf| if path.is_dir() { large_files(&path) } else { vec![path] };
    entries.flat_map(inside).filter(large).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_half_packed_goes_with_a_deletion_and_nothing_of_it_comes_back() {
    // P-D8 P-D10
    let mut system = System::start().await;
    let mut media = Vec::new();
    for n in 0..3 {
        media.push(system.upload(&format!("{n}.jpg"), large(n)).await);
    }
    scheduled(&system, "what goes", FACEBOOK, &media).await;
    let wish = json!({ "kind": "export", "account_ids": [system.account(FACEBOOK)] });
    let (status, asked) = system.api(Method::POST, "/api/v1/privacy/requests", Some(&wish)).await;
    assert_eq!(status, 202, "{asked}");
    let armed = [("POSTROOM_FAILPOINTS", "after_export_part=kill9")];
    let mut worker = system.process("killed", &["worker", "--queues", "export"], &armed);
    assert_eq!(worker.ended().await, None, "{}", worker.log());
    let folder = system.logs().join("sandbox/s3");
    assert!(large_files(&folder).len() > 3, "the files, and a part of the copy");
    let (id, _) = deleted(&system, &["--account", system.account(FACEBOOK)]).await;
    system.start_worker_on("deletion");
    done(&system, &id).await;
    assert_eq!(large_files(&folder), Vec::<std::path::PathBuf>::new());
    // whoever goes on with it finds that it is not wanted any more
    system.start_worker(&[]);
    eventually("its job to end", || async {
        match system.database.count("SELECT count(*) FROM job WHERE kind = 'export'").await {
            0 => Ok(()),
            _ => Err(system.workers[1].log()),
        }
    })
    .await;
    assert_eq!(system.database.count("SELECT count(*) FROM export").await, 0);
    assert_eq!(large_files(&folder), Vec::<std::path::PathBuf>::new());
    let link = asked["url"].as_str().unwrap();
    assert_eq!(client().post(link).send().await.unwrap().status(), 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_deleted_is_in_no_copy_and_a_copy_of_all_goes_with_it() {
    // P-D8
    let mut system = System::start().await;
    let gone = system.upload("gone.jpg", large(1)).await;
    let kept = system.upload("kept.jpg", large(2)).await;
    scheduled(&system, "what goes", FACEBOOK, std::slice::from_ref(&gone)).await;
    scheduled(&system, "what stays", INSTAGRAM, std::slice::from_ref(&kept)).await;
    let page = system.account(FACEBOOK).to_owned();
    let (id, _) = deleted(&system, &["--account", &page]).await;
    let link = asked_of_all(&system).await;
    system.start_worker_on("export");
    made(&system).await;
    let fetched = client().post(&link).send().await.unwrap();
    assert_eq!(fetched.status(), 200);
    let all = unpacked(&fetched.bytes().await.unwrap());
    assert!(all.contains_key(&format!("media/{kept}.jpeg")), "{:?}", all.keys());
    assert!(!all.contains_key(&format!("media/{gone}.jpeg")), "{:?}", all.keys());
    for (path, data) in all.iter().filter(|(path, _)| is_text(path)) {
        let text = String::from_utf8_lossy(data);
        assert!(!text.contains("what goes") && !text.contains(&page), "{path}: {text}");
    }
    assert_eq!(stored(system.logs()), 1);
    system.start_worker(&[]);
    done(&system, &id).await;
    assert_eq!(system.database.count("SELECT count(*) FROM export").await, 0);
    assert_eq!(stored(system.logs()), 0, "nobody knows what of it is in there");
}

async fn ask(door: &Door, body: &Value) -> Answer {
    let request = door.request(&Method::POST, "/api/v1/privacy/requests");
    let request = request.header("content-type", "application/json");
    door.send(request.body(Body::from(body.to_string())).unwrap()).await
}

async fn covered(door: &Door, export: &str) -> Vec<uuid::Uuid> {
    let covered = "SELECT id FROM export_covered WHERE export_id = $1::uuid ORDER BY id";
    let mut connection = door.scratch.connection().await;
    sqlx::query_scalar(covered).bind(export).fetch_all(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_copy_covers_its_workspace_alone_and_of_people_those_who_are_nobody_elses() {
    // P-D1
    let door = Door::open().await;
    let florist = door.scratch.ledger.add_workspace("Florist").await.unwrap();
    let ours = door.account(FACEBOOK).await;
    let theirs = door.account_of(florist, FACEBOOK, &json!({})).await;
    door.scratch.run("UPDATE account SET subject_email = 'dana@example.org'").await;
    let own = door.person("dana@example.org", MemberRole::Viewer).await;
    let both = door.person("both@example.org", MemberRole::Viewer).await;
    door.scratch.ledger.add_membership(both, florist, MemberRole::Viewer).await.unwrap();
    let mut expected = vec![ours, own];
    expected.sort();
    for (wish, expected) in [
        (json!({ "kind": "export", "email": "Dana@example.org" }), expected),
        (json!({ "kind": "export", "email": "both@example.org" }), vec![]),
        (json!({ "kind": "export", "account_ids": [theirs] }), vec![]),
        (json!({ "kind": "export", "workspace": true }), vec![ours]),
    ] {
        let asked = ask(&door, &wish).await;
        assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text);
        let asked = asked.json();
        assert_eq!(covered(&door, asked["id"].as_str().unwrap()).await, expected, "{wish}");
        assert_eq!(asked["url"].is_null(), wish.get("email").is_some(), "a link goes to the person: {asked}");
    }
    for wrong in [
        json!({ "kind": "export" }),
        json!({ "kind": "export", "workspace": "x" }),
        json!({ "kind": "export", "workspace": true, "email": "dana@example.org" }),
    ] {
        assert_eq!(ask(&door, &wrong).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    // somebody asks for their own, wherever that is
    let mut browser = Browser::signed_in(&door, "both@example.org").await;
    let token = browser.token.clone();
    let led = browser.form("/profile/copy", &[("token", &token)]).await;
    assert_eq!(led.status, StatusCode::SEE_OTHER);
    let page = browser.get(led.header("location")).await;
    assert!(page.text.contains("Your copy is being made"), "{}", page.text);
    let last = "SELECT id::text FROM export ORDER BY asked_at DESC, id DESC LIMIT 1";
    let last: String =
        sqlx::query_scalar(last).fetch_one(&mut door.scratch.connection().await).await.unwrap();
    assert_eq!(covered(&door, &last).await, vec![both]);
    let path = format!("/api/v1/privacy/requests/{last}");
    assert_eq!(door.get(&path).await.status, StatusCode::NOT_FOUND, "which is nobody else's business");
    // who asks anew has the new one alone
    let first = led.header("location").to_owned();
    let again = browser.form("/profile/copy", &[("token", &token)]).await;
    assert_eq!(browser.get(&first).await.status, StatusCode::GONE);
    assert_eq!(browser.get(again.header("location")).await.status, StatusCode::OK);
    let own = "SELECT count(*) FROM export WHERE workspace_id IS NULL";
    assert_eq!(door.scratch.number(own).await, 1);
    // nor has whoever is being deleted
    let marked = format!(
        "WITH r AS (INSERT INTO deletion_request (id, origin, code_digest) VALUES (gen_random_uuid(), 'page', sha256('x'))
                    RETURNING id)
         INSERT INTO deletion_mark (request_id, id, kind) SELECT id, '{both}', 'person' FROM r"
    );
    door.scratch.run(&marked).await;
    browser.form("/profile/copy", &[("token", &token)]).await;
    let covered = "SELECT count(*) FROM export_covered c JOIN export e ON e.id = c.export_id WHERE e.workspace_id IS NULL
                     AND e.asked_at = (SELECT max(asked_at) FROM export)";
    assert_eq!(door.scratch.number(covered).await, 0);
    let clear = "SELECT count(*) FROM export t WHERE t::text LIKE '%example%'";
    assert_eq!(door.scratch.number(clear).await, 0);
}

#[tokio::test]
async fn a_link_that_has_ended_opens_nothing_and_what_it_led_to_is_dropped() {
    let door = Door::open().await;
    let asked = ask(&door, &json!({ "kind": "export", "workspace": true })).await.json();
    let path = asked["url"].as_str().unwrap().trim_start_matches("http://localhost:3000").to_owned();
    let send = async |method: Method| {
        let request = Request::builder().method(method).uri(&path).body(Body::empty()).unwrap();
        door.send(request).await
    };
    assert_eq!(send(Method::GET).await.status, StatusCode::OK);
    let early = send(Method::POST).await;
    assert!(early.status == StatusCode::OK && early.text.contains("being made"), "{}", early.text);
    door.scratch.run("UPDATE export SET expires_at = ledger_now()").await;
    assert_eq!(send(Method::GET).await.status, StatusCode::GONE);
    assert_eq!(door.scratch.ledger.end_exports().await.unwrap(), 1);
    let left = "SELECT (SELECT count(*) FROM export) + (SELECT count(*) FROM export_covered)";
    assert_eq!(door.scratch.number(left).await, 0);
}

#[tokio::test]
async fn a_file_is_kept_for_as_long_as_a_slow_line_takes_to_fetch_it() {
    let door = Door::open().await;
    let asked = ask(&door, &json!({ "kind": "export", "workspace": true })).await.json();
    let link = asked["url"].as_str().unwrap().rsplit('/').next().unwrap();
    door.scratch.run("UPDATE export SET state = 'made', made_at = ledger_now(), bytes = 1 << 30").await;
    let filed = "INSERT INTO spare_object (object_key, remove_at) SELECT object_key, expires_at FROM export";
    door.scratch.run(filed).await;
    let digest = postroom::web::privacy::exports::digest(link);
    assert!(door.scratch.ledger.take_export(&digest).await.unwrap().is_some());
    assert!(door.scratch.ledger.take_export(&digest).await.unwrap().is_none(), "once");
    let soon = "SELECT count(*) FROM spare_object
                WHERE remove_at BETWEEN ledger_now() + interval '2 hours' AND ledger_now() + interval '3 hours'";
    assert_eq!(door.scratch.number(soon).await, 1);
}
