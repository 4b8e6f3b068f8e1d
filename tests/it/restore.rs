//! After the ledger was restored from a backup: what was sent since is not sent again.

use std::path::Path;

use postroom::ledger::{KeyRing, Ledger, Role, keyring::KeyError, vault::VaultError};
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{FACEBOOK, INSTAGRAM, System, eventually, process};

/// What a backup that is kept for long leaves out.
const LEFT_OUT: [&str; 2] =
    ["--exclude-table-data=vault.data_key", "--exclude-table-data=vault.connection_secret"];

async fn stop(system: &mut System) {
    for worker in &system.workers {
        worker.signal("TERM").await;
    }
    for worker in &mut system.workers {
        assert_eq!(worker.ended().await, Some(0));
    }
    system.workers.clear();
}

/// The only publication of a post, as the API has it.
async fn publication(system: &System, post: &str) -> Value {
    // its connections were cut with the restore
    eventually("the post", || async {
        let (status, answer) = system.api(reqwest::Method::GET, &format!("/api/v1/posts/{post}"), None).await;
        if status == 200 { Ok(answer["publications"][0].clone()) } else { Err(answer.to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_after_the_backup_is_not_published_again() {
    let mut system = System::start().await;
    let untouched = system.post("due, and nothing was done yet", &[INSTAGRAM]).await;
    let mut wish = system.wish("due much later", &[FACEBOOK], &[]);
    wish["schedule"] = json!({ "at": "2027-06-01T12:00:00Z" });
    let (status, later) = system.api(reqwest::Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{later}");
    system.fault(json!({ "network": FACEBOOK, "call": "commit", "fault": "no_effect_then_500" })).await;
    let tried = system.post("its draft is there", &[FACEBOOK]).await;
    system.postroom(&["jobs", "pause", "--network", INSTAGRAM, "--reason", "a backup"], "").await;
    system.start_worker(&[]);
    system.until(&tried, "confirming").await;
    stop(&mut system).await;
    system.database.back_up().await;

    system.calm().await;
    system.postroom(&["jobs", "resume", "--network", INSTAGRAM], "").await;
    system.start_worker(&[]);
    system.all_live_once(&[untouched.clone(), tried.clone()]).await;
    stop(&mut system).await;
    system.database.restore().await;

    let check = system.told(&["restore", "--check"]).await;
    assert_eq!((&check["done"], &check["later"]), (&json!(false), &json!(1)), "{check}");
    assert_eq!(check["asked"], json!([publication(&system, &tried).await["id"]]));
    assert_eq!(check["held"], json!([publication(&system, &untouched).await["id"]]));
    assert_eq!(publication(&system, &untouched).await["state"], "scheduled", "a check changes nothing");
    let done = system.told(&["restore"]).await;
    assert_eq!(
        (&done["done"], &done["asked"], &done["held"]),
        (&json!(true), &check["asked"], &check["held"])
    );
    let again = system.told(&["restore"]).await;
    assert_eq!((&again["asked"], &again["held"]), (&check["asked"], &json!([])), "what is held stays held");

    system.start_worker(&[]);
    system.until(&tried, "published").await;
    let held = system.until(&untouched, "held").await;
    assert!(held.to_string().contains("restored from a backup"), "{held}");
    let (code, out, _) = system.try_postroom(&["jobs", "retry", "--cause", "restored"], "").await;
    assert!(code == 1 || out.contains("0 tried again"), "only a person's word sends it again: {out}");
    for (platform, caption) in
        [(INSTAGRAM, "due, and nothing was done yet"), (FACEBOOK, "its draft is there")]
    {
        assert_eq!(system.effects(platform, caption).await.len(), 1, "{caption}");
    }
    assert_eq!(publication(&system, later["id"].as_str().unwrap()).await["state"], "scheduled");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_restored_while_a_worker_lives() {
    let system = System::with_workers(1).await;
    let post = system.post("public", &[FACEBOOK]).await;
    system.until(&post, "published").await;
    let (code, _, complaint) = system.try_postroom(&["restore"], "").await;
    assert_eq!((code, complaint.contains("holds a lease until")), (1, true), "{complaint}");
    let words = system.postroom(&["restore", "--check"], "").await;
    assert!(words.contains("stop all workers first"), "{words}");
    // a worker that dies holds its lease to the end, and then nobody does
    system.workers[0].signal("KILL").await;
    eventually("its lease to end", || async {
        let (code, out, complaint) = system.try_postroom(&["restore"], "").await;
        if code == 0 { Ok(out) } else { Err(complaint) }
    })
    .await;
}

/// Bytes of the vault, as a backup spells them.
async fn spelled(system: &System, kept: &'static str) -> Vec<String> {
    sqlx::query_scalar(kept).fetch_all(&system.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_kept_for_long_has_no_key_of_a_token_in_it() {
    let system = System::start().await;
    let readme = include_str!("../../README.md");
    let program = Path::new(&std::env::var("POSTROOM_PG_BIN").unwrap_or_default()).join("pg_dump");
    let args = [&LEFT_OUT[..], &["--dbname", system.database.url.as_str()]].concat();
    let (status, dump, said) = process::run(&program, &args, &system.environment, "").await;
    assert_eq!(status, 0, "{said}");
    let tokens = spelled(&system, "SELECT encode(sealed, 'hex') FROM vault.token").await;
    let keys = spelled(&system, "SELECT encode(sealed, 'hex') FROM vault.data_key").await;
    assert!(tokens.len() == 4 && tokens.iter().all(|it| dump.contains(it)), "the tokens are in it");
    assert!(keys.len() == 3 && keys.iter().all(|it| !dump.contains(it)), "and no key of theirs");
    for option in LEFT_OUT {
        assert!(readme.contains(option), "README.md does not say {option}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_the_keys_of_its_tokens_opens_none_and_its_accounts_are_connected_again() {
    let mut system = System::start().await;
    let mut wish = system.wish("due much later", &[FACEBOOK], &[]);
    wish["schedule"] = json!({ "at": "2027-06-01T12:00:00Z" });
    assert_eq!(system.api(reqwest::Method::POST, "/api/v1/posts", Some(&wish)).await.0, 202);
    system.web.take().unwrap().kill9().await;
    system.database.back_up().await;
    system.database.restore().await;
    // what such a backup leaves out
    sqlx::query("TRUNCATE vault.data_key").execute(&system.database.pool).await.unwrap();
    let ring = KeyRing::parse(&system.environment["POSTROOM_KEYS"]).unwrap();
    let ledger = Ledger::open(&SecretString::from(system.database.url.clone()), Role::Owner, 2).unwrap();
    let account: Uuid = system.account(FACEBOOK).parse().unwrap();
    let shut = ledger.open_token(&ring, account).await.unwrap_err();
    assert!(matches!(shut, VaultError::Key(KeyError::Shredded)), "not even by who has the ring: {shut}");
    let (tokens, rest, paused) = (
        "SELECT count(*) FROM vault.token",
        "SELECT count(*) FROM account WHERE state = 'reconnect' AND NOT renewable
           AND state_reason LIKE '%connect the account again'",
        "SELECT count(*) FROM job WHERE kind = 'publish' AND standing = 'paused'",
    );
    let check = system.told(&["restore", "--check"]).await;
    assert_eq!((&check["keyless"], &check["shredded"]), (&json!(3), &json!([])));
    assert_eq!((system.database.count(tokens).await, system.database.count(rest).await), (4, 0));
    let done = system.told(&["restore"]).await;
    assert_eq!(done["keyless"], json!(3));
    assert_eq!((system.database.count(tokens).await, system.database.count(rest).await), (0, 3));
    assert_eq!(system.database.count(paused).await, 1);
    assert_eq!(system.told(&["restore"]).await["keyless"], json!(0), "once is enough");
    let add = ["account", "add", "--workspace", "Bakery", "--offline", "--platform", FACEBOOK];
    let of = ["--external-id", "104000000000001", "--name", "Bakery"];
    let pair = json!({ "access_token": "sandbox-page-token" });
    let again = system.postroom(&[&add[..], &of[..]].concat(), &pair.to_string()).await;
    assert_eq!(again.trim(), account.to_string(), "the same account");
    assert_eq!((system.database.count(rest).await, system.database.count(paused).await), (2, 0));
    ledger.open_token(&ring, account).await.expect("it opens");
}
