//! Keys that are changed while everything goes on.

use std::sync::atomic::{AtomicBool, Ordering};

use postroom::ledger::{
    KeyRing, Ledger, Role,
    accounts::NewAccount,
    keyring::{Cipher, KeyError, generate},
    vault::{TokenPair, VaultError},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{FACEBOOK, System, eventually},
    support::Scratch,
};

/// Data keys that are sealed under a key of the ring.
const SEALED: &str = "SELECT count(*) FROM vault.data_key WHERE key_id = $1";
/// Tokens that are sealed under a key of the ring itself.
const BARE: &str = "SELECT count(*) FROM vault.token WHERE key_id = $1";
/// Tokens that are of that cipher, by the byte that says so: 1 or 2.
const OF_CIPHER: &str = "SELECT count(*) FROM vault.token WHERE get_byte(sealed, 1)::text = $1";
/// A worker of before there were data keys, which says nothing of them.
const EARLIER: &str = "INSERT INTO worker (inc, version, lease_until)
                       VALUES (gen_random_uuid(), '0', ledger_now() + interval '1 hour')";

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
    let new = generate(Cipher::XChaCha20Poly1305);
    // the new key is everywhere before it seals
    system.environment.insert("POSTROOM_KEYS".into(), format!("{old},{new}"));
    system.start_worker(&[]);
    let before = system.post("under the old key", &[FACEBOOK]).await;
    system.all_live_once(&[before]).await;
    let (status, done, err) = rotate(&mut system, &format!("{new},{old}")).await;
    assert_eq!(status, 0, "{err}");
    // as many as there are accounts, and no token
    assert_eq!((&done["resealed"], &done["moved"], &done["left"]), (&json!(3), &json!(0), &json!(0)));
    assert_eq!((&done["tokens"], &done["data_keys"], &done["key"]), (&json!(4), &json!(3), &json!(id(&new))));
    assert_eq!(system.database.count_of(SEALED, id(&new)).await, 3);
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
async fn another_cipher_is_a_rotation_like_any_other_and_holds_for_the_tokens_too() {
    // P-C1
    let mut system = System::start().await;
    let old = system.environment["POSTROOM_KEYS"].clone();
    let new = generate(Cipher::Aes256Gcm);
    assert_eq!(system.database.count_of(OF_CIPHER, "1").await, 4);
    system.environment.insert("POSTROOM_KEYS".into(), format!("{old},{new}"));
    system.start_worker(&[]);
    let before = system.post("by the one cipher", &[FACEBOOK]).await;
    system.all_live_once(&[before]).await;
    let (status, done, err) = rotate(&mut system, &format!("{new},{old}")).await;
    assert_eq!(status, 0, "{err}");
    assert_eq!((&done["resealed"], &done["moved"], &done["left"]), (&json!(0), &json!(4), &json!(0)));
    assert_eq!(system.database.count_of(OF_CIPHER, "2").await, 4);
    assert_eq!(system.database.count_of(SEALED, id(&new)).await, 3);
    let after = system.post("by the other, and by a worker with the old ring", &[FACEBOOK]).await;
    system.all_live_once(&[after]).await;
}

/// Seals all tokens under the ring itself, as earlier versions have.
pub async fn as_earlier(system: &System) {
    let ring = KeyRing::parse(&system.environment["POSTROOM_KEYS"]).unwrap();
    let (ledger, pool) = (owner(system), &system.database.pool);
    let kept = "SELECT t.account_id, t.field, t.generation, a.workspace_id
                FROM vault.token t JOIN account a ON a.id = t.account_id";
    let rows: Vec<(Uuid, String, i64, Uuid)> = sqlx::query_as(kept).fetch_all(pool).await.unwrap();
    for (account, field, generation, workspace) in rows {
        let (token, _) = ledger.open_field(&ring, account, &field).await.unwrap();
        let row = format!("vault.token|{workspace}|{account}|{field}|{generation}");
        let sealed = ring.seal(token.expose_secret().as_bytes(), &row);
        let write = "UPDATE vault.token SET key_id = $3, sealed = $4 WHERE account_id = $1 AND field = $2";
        let write = sqlx::query(write).bind(account).bind(field).bind(ring.sealing_key()).bind(sealed);
        assert_eq!(write.execute(pool).await.unwrap().rows_affected(), 1);
    }
    sqlx::query("DELETE FROM vault.data_key").execute(pool).await.unwrap();
}

/// The ledger of a system, as its owner sees it.
fn owner(system: &System) -> Ledger {
    Ledger::open(&SecretString::from(system.database.url.clone()), Role::Owner, 2).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_version_has_sealed_is_read_and_gets_keys_when_that_version_is_gone() {
    let mut system = System::start().await;
    as_earlier(&system).await;
    let old = system.environment["POSTROOM_KEYS"].clone();
    let new = generate(Cipher::XChaCha20Poly1305);
    system.environment.insert("POSTROOM_KEYS".into(), format!("{old},{new}"));
    system.start_worker(&[]);
    let read = system.post("with a token of an earlier version's", &[FACEBOOK]).await;
    system.all_live_once(&[read]).await;
    // such a version lives still: what it has to open stays so that it can
    sqlx::query(EARLIER).execute(&system.database.pool).await.unwrap();
    let (status, done, err) = rotate(&mut system, &format!("{new},{old}")).await;
    assert_eq!((status, &done["left"], &done["older_workers"]), (0, &json!(0), &json!(1)), "{err}");
    assert_eq!((&done["resealed"], &done["moved"], &done["bare"]), (&json!(4), &json!(0), &json!(4)));
    assert_eq!(system.database.count_of(BARE, id(&new)).await, 4);
    let told = system.postroom(&["keys", "rotate"], "").await;
    assert!(told.contains("run this again when these are gone"), "{told}");
    // and now it does not
    sqlx::query("DELETE FROM worker WHERE version = '0'").execute(&system.database.pool).await.unwrap();
    let (status, done, err) = rotate(&mut system, &format!("{new},{old}")).await;
    assert_eq!((status, &done["left"], &done["bare"]), (0, &json!(0), &json!(0)), "{err}");
    assert_eq!((&done["resealed"], &done["moved"], &done["data_keys"]), (&json!(0), &json!(4), &json!(3)));
    assert_eq!(system.database.count_of(SEALED, id(&new)).await, 3);
    let after = system.post("with a key of its own", &[FACEBOOK]).await;
    system.all_live_once(&[after]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_in_the_middle_is_started_again_and_nothing_is_shut_meanwhile() {
    let mut system = System::start().await;
    let old = system.environment["POSTROOM_KEYS"].clone();
    let new = generate(Cipher::XChaCha20Poly1305);
    system.environment.insert("POSTROOM_KEYS".into(), format!("{new},{old}"));
    let pool = &system.database.pool;
    // it comes as far as the second account, and hangs there
    let mut held = pool.acquire().await.unwrap();
    for statement in [
        "SELECT pg_advisory_lock(420)",
        "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF NEW.account_id <> (SELECT min(account_id::text)::uuid FROM vault.data_key) THEN
                 PERFORM pg_advisory_xact_lock(420);
             END IF;
             RETURN NEW;
         END $$",
        "CREATE TRIGGER hang BEFORE UPDATE ON vault.data_key FOR EACH ROW EXECUTE FUNCTION hang()",
    ] {
        sqlx::query(statement).execute(&mut *held).await.unwrap();
    }
    let mut rotation = system.process("rotation", &["keys", "rotate", "--batch", "1"], &[]);
    eventually("the rotation to hang", || async {
        let waits =
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 420 AND NOT granted";
        if system.database.count(waits).await == 1 { Ok(()) } else { Err(rotation.log()) }
    })
    .await;
    rotation.kill9().await;
    sqlx::query("SELECT pg_advisory_unlock(420)").execute(&mut *held).await.unwrap();
    // what it hung in ends by itself, one way or the other
    eventually("its statement to end", || async {
        let goes_on = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                         AND pid <> pg_backend_pid() AND query LIKE '%UPDATE vault.data_key%' AND state <> 'idle'";
        match system.database.count(goes_on).await {
            0 => Ok(()),
            some => Err(format!("{some}")),
        }
    })
    .await;
    sqlx::query("DROP TRIGGER hang ON vault.data_key").execute(&mut *held).await.unwrap();
    let done = system.database.count_of(SEALED, id(&new)).await;
    assert!((1..3).contains(&done), "in the middle: {done}");
    let ring = KeyRing::parse(&system.environment["POSTROOM_KEYS"]).unwrap();
    let accounts: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM account").fetch_all(pool).await.unwrap();
    for account in &accounts {
        owner(&system).open_token(&ring, *account).await.expect("it opens, before or after");
    }
    let (status, told, err) = rotate(&mut system, &format!("{new},{old}")).await;
    assert_eq!((status, &told["resealed"], &told["left"]), (0, &json!(3 - done), &json!(0)), "{err}");
    let alone = KeyRing::parse(&new).unwrap();
    for account in accounts {
        owner(&system).open_token(&alone, account).await.expect("it opens without the old key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_without_the_key_is_told_and_nothing_is_touched() {
    let mut system = System::start().await;
    let old = system.environment["POSTROOM_KEYS"].clone();
    let new = generate(Cipher::XChaCha20Poly1305);
    let (status, done, err) = rotate(&mut system, &new).await;
    assert_eq!((status, &done["resealed"], &done["left"]), (1, &json!(0), &json!(3)));
    assert!(err.contains(id(&old)) && err.contains("POSTROOM_KEYS"), "{err}");
    assert_eq!(system.database.count_of(SEALED, id(&old)).await, 3);
    // what has no key of its own is told likewise
    system.environment.insert("POSTROOM_KEYS".into(), old.clone());
    as_earlier(&system).await;
    let (status, done, err) = rotate(&mut system, &new).await;
    assert_eq!((status, &done["moved"], &done["left"]), (1, &json!(0), &json!(4)));
    assert!(err.contains(id(&old)) && err.contains("POSTROOM_KEYS"), "{err}");
    assert_eq!(system.database.count_of(BARE, id(&old)).await, 4);
}

/// Puts the token of one account in the place of another's, and then its data key, too.
async fn copied(system: &System, what: &str, from: &str, to: &str) {
    let copy = match what {
        "token" => format!(
            "UPDATE vault.token t SET key_id = f.key_id, sealed = f.sealed FROM vault.token f
             WHERE t.account_id = '{to}' AND t.field = 'access' AND f.account_id = '{from}' AND f.field = 'access'"
        ),
        _ => format!(
            "UPDATE vault.data_key k SET id = f.id, cipher = f.cipher, key_id = f.key_id, sealed = f.sealed
             FROM vault.data_key f WHERE k.account_id = '{to}' AND f.account_id = '{from}'"
        ),
    };
    let done = sqlx::query(sqlx::AssertSqlSafe(copy)).execute(&system.database.pool).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ciphertext_or_a_data_key_that_was_moved_to_another_row_does_not_open_and_is_told() {
    let mut system = System::start().await;
    let old = system.environment["POSTROOM_KEYS"].clone();
    let (from, to) = (system.account(FACEBOOK).to_owned(), system.account("instagram_business").to_owned());
    let (ledger, ring) = (owner(&system), KeyRing::parse(&old).unwrap());
    let (mine, theirs): (Uuid, Uuid) = (from.parse().unwrap(), to.parse().unwrap());
    ledger.open_token(&ring, theirs).await.expect("it opens where it is");
    copied(&system, "token", &from, &to).await;
    let moved = ledger.open_token(&ring, theirs).await.unwrap_err();
    assert!(matches!(moved, VaultError::Key(KeyError::Shredded)), "under no key of its account's: {moved}");
    copied(&system, "data_key", &from, &to).await;
    let moved = ledger.open_token(&ring, theirs).await.unwrap_err();
    assert!(matches!(moved, VaultError::Key(KeyError::DoesNotOpen)), "with its key: {moved}");
    ledger.open_token(&ring, mine).await.expect("it opens where it was");
    let new = generate(Cipher::XChaCha20Poly1305);
    let (status, done, err) = rotate(&mut system, &format!("{new},{old}")).await;
    assert_eq!((status, &done["resealed"], &done["left"]), (1, &json!(2), &json!(1)), "{err}");
    assert_eq!(
        (&done["stuck"][0]["account_id"], &done["stuck"][0]["field"]),
        (&json!(to), &json!("data_key"))
    );
    assert!(err.contains("do not open"), "{err}");
    // the same for whoever seals the tokens themselves anew
    let other = generate(Cipher::Aes256Gcm);
    let (status, done, err) = rotate(&mut system, &format!("{other},{new},{old}")).await;
    assert_eq!((status, &done["moved"], &done["left"]), (1, &json!(3), &json!(1)), "{err}");
    assert_eq!((&done["stuck"][0]["account_id"], &done["stuck"][0]["field"]), (&json!(to), &json!("access")));
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
    let (a, b) = (generate(Cipher::XChaCha20Poly1305), generate(Cipher::XChaCha20Poly1305));
    let c = generate(Cipher::Aes256Gcm);
    let rings = [format!("{a},{b},{c}"), format!("{b},{a},{c}"), format!("{c},{a},{b}")];
    let rings = rings.map(|text| KeyRing::parse(&text).expect("parses"));
    let id = account(&ledger, workspace, &rings[0], "token 0").await;
    let over = AtomicBool::new(false);
    let rotating = async {
        let (mut resealed, mut moved) = (0, 0);
        while !over.load(Ordering::SeqCst) {
            for ring in &rings {
                let keys = ledger.reseal_keys(ring, None, 10).await.expect("reseals");
                let tokens = ledger.rekey(ring, None, 10, true).await.expect("reseals");
                assert!(keys.stuck.is_empty() && tokens.stuck.is_empty(), "{keys:?} {tokens:?}");
                resealed += keys.resealed;
                moved += tokens.resealed;
            }
        }
        (resealed, moved)
    };
    let renewing = async {
        for n in 1..=200 {
            let token = format!("token {n}");
            account(&ledger, workspace, &rings[n % 3], &token).await;
            let opened = ledger.open_token(&rings[0], id).await.expect("opens");
            assert_eq!(opened.expose_secret(), token);
        }
        over.store(true, Ordering::SeqCst);
    };
    let ((resealed, moved), ()) = tokio::join!(rotating, renewing);
    assert!(resealed > 0 && moved > 0, "they met: {resealed}, {moved}");
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
