//! Keys that are changed while everything goes on.

use std::sync::atomic::{AtomicBool, Ordering};

use postroom::ledger::{
    KeyRing, Ledger, Role,
    accounts::NewAccount,
    keyring::{Cipher, generate},
    vault::TokenPair,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{FACEBOOK, System},
    support::Scratch,
};

const SEALED: &str = "SELECT count(*) FROM vault.token WHERE key_id = $1";

async fn rotate(system: &mut System, ring: &str) -> (i32, Value, String) {
    system.environment.insert("POSTROOM_KEYS".into(), ring.to_owned());
    let (status, out, err) = system.try_postroom(&["keys", "rotate", "--batch", "1", "--json"], "").await;
    (status, serde_json::from_str(&out).unwrap_or(Value::Null), err)
}

fn id(entry: &str) -> &str {
    entry.split(':').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_changed_while_workers_with_either_ring_go_on() {
    let mut system = System::start().await;
    let old = system.environment["POSTROOM_KEYS"].clone();
    let new = generate(Cipher::Aes256Gcm);
    // the new key is everywhere before it seals
    system.environment.insert("POSTROOM_KEYS".into(), format!("{old},{new}"));
    system.start_worker(&[]);
    let before = system.post("under the old key", &[FACEBOOK]).await;
    system.all_live_once(&[before]).await;
    let (status, done, err) = rotate(&mut system, &format!("{new},{old}")).await;
    assert_eq!(status, 0, "{err}");
    assert_eq!((&done["resealed"], &done["left"], &done["key"]), (&json!(4), &json!(0), &json!(id(&new))));
    assert_eq!(system.database.count_of(SEALED, id(&new)).await, 4);
    // the old worker opens what the new key sealed, and so does a new one that has the new key alone
    let with_old = system.post("sealed anew, opened by the old worker", &[FACEBOOK]).await;
    system.all_live_once(&[with_old]).await;
    system.workers.clear();
    system.environment.insert("POSTROOM_KEYS".into(), new.clone());
    system.start_worker(&[]);
    let without = system.post("without the old key", &[FACEBOOK]).await;
    system.all_live_once(&[without]).await;
    let (status, done, _) = rotate(&mut system, &format!("{new},{old}")).await;
    assert_eq!((status, &done["resealed"]), (0, &json!(0)), "a second time there is nothing to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_without_the_key_is_told_and_nothing_is_touched() {
    let mut system = System::start().await;
    let old = system.environment["POSTROOM_KEYS"].clone();
    let new = generate(Cipher::XChaCha20Poly1305);
    let (status, done, err) = rotate(&mut system, &new).await;
    assert_eq!((status, &done["resealed"], &done["left"]), (1, &json!(0), &json!(4)));
    assert!(err.contains(id(&old)) && err.contains("POSTROOM_KEYS"), "{err}");
    assert_eq!(system.database.count_of(SEALED, id(&old)).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ciphertext_that_was_moved_to_another_row_is_told_and_left() {
    let mut system = System::start().await;
    let old = system.environment["POSTROOM_KEYS"].clone();
    let (from, to) = (system.account(FACEBOOK).to_owned(), system.account("instagram_business").to_owned());
    let moved = format!(
        "UPDATE vault.token t SET sealed = f.sealed FROM vault.token f
         WHERE t.account_id = '{to}' AND t.field = 'access' AND f.account_id = '{from}' AND f.field = 'access'"
    );
    sqlx::query(sqlx::AssertSqlSafe(moved)).execute(&system.database.pool).await.unwrap();
    let new = generate(Cipher::XChaCha20Poly1305);
    let (status, done, err) = rotate(&mut system, &format!("{new},{old}")).await;
    assert_eq!((status, &done["resealed"], &done["left"]), (1, &json!(3), &json!(1)), "{err}");
    assert_eq!(done["stuck"][0]["account_id"], to);
    assert!(err.contains("do not open"), "{err}");
}

/// A ledger of its own with an account of so many tokens.
async fn account(ledger: &Ledger, workspace_id: Uuid, ring: &KeyRing, access: &str) -> Uuid {
    let new = NewAccount {
        workspace_id,
        platform: FACEBOOK,
        external_id: "1",
        name: "1",
        token_expires_at: None,
        defaults: &json!({}),
        subject_id: None,
        subject_email: None,
    };
    let secret = |text: &str| SecretString::from(text.to_owned());
    let pair = TokenPair {
        access: secret(access),
        refresh: Some(secret("refresh")),
        issued_at: None,
        expires_at: None,
        refresh_expires_at: None,
    };
    ledger.connect(&new, ring, &pair).await.expect("connects")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_renewed_beside_a_rotation_is_never_overwritten() {
    let scratch = Scratch::new().await;
    let ledger = Ledger::open(&scratch.url, Role::Owner, 8).expect("an address");
    let workspace = ledger.add_workspace("Bakery").await.expect("a workspace");
    let (a, b) = (generate(Cipher::XChaCha20Poly1305), generate(Cipher::Aes256Gcm));
    let rings = [format!("{a},{b}"), format!("{b},{a}")].map(|text| KeyRing::parse(&text).expect("parses"));
    let id = account(&ledger, workspace, &rings[0], "token 0").await;
    let over = AtomicBool::new(false);
    let rotating = async {
        let mut resealed = 0;
        while !over.load(Ordering::SeqCst) {
            for ring in &rings {
                let batch = ledger.reseal(ring, None, 10).await.expect("reseals");
                assert!(batch.stuck.is_empty(), "{:?}", batch.stuck);
                resealed += batch.resealed;
            }
        }
        resealed
    };
    let renewing = async {
        for n in 1..=200 {
            let token = format!("token {n}");
            account(&ledger, workspace, &rings[n % 2], &token).await;
            let opened = ledger.open_token(&rings[0], id).await.expect("opens");
            assert_eq!(opened.expose_secret(), token);
        }
        over.store(true, Ordering::SeqCst);
    };
    let (resealed, ()) = tokio::join!(rotating, renewing);
    assert!(resealed > 0, "they met");
}

#[test]
fn the_help_tells_the_order_that_the_readme_tells() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_postroom"))
        .args(["keys", "rotate", "--help"])
        .output();
    let help =
        String::from_utf8(help.unwrap().stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let (behind, front) =
        (help.find("behind the old one first (old,new)"), help.find("in front of it (new,old)"));
    assert!(behind.is_some() && behind < front, "{help}");
    let readme = include_str!("../../README.md");
    assert!(readme.contains("POSTROOM_KEYS=old,new") && readme.contains("(`new,old`)"));
}
