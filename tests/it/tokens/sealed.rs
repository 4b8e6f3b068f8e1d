//! What tokens are sealed under: a key that their pair has for itself, and that goes when they go.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use jobs::{renewals::Renewals, tokens::Turn};
use postroom::ledger::{
    KeyRing,
    keyring::{Cipher, KeyError, generate},
    vault::VaultError,
};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::kept::{Bench, pair};

/// Tokens without a data key.
const BARE: &str = "SELECT count(*) FROM vault.token WHERE key_id NOT LIKE 'data:%'";
/// Tokens under the data key that stands there.
const OWN: &str = "SELECT count(*) FROM vault.token t JOIN vault.data_key k ON k.account_id = t.account_id
                   WHERE t.key_id = 'data:' || k.id::text";
const KEYS: &str = "SELECT count(*) FROM vault.data_key";

/// Begins a renewal and saves what it brought, as one job does both.
async fn renew(bench: &Bench) {
    let (renewals, it) = (bench.renewals(), bench.look().await);
    let begun = renewals.begin(&it, Turn::Begin, Duration::from_secs(20)).await.unwrap().expect("it may");
    assert!(renewals.save(&it, begun, pair()).await.unwrap());
}

async fn opens(bench: &Bench) -> Result<String, VaultError> {
    let opened = bench.ledger.open_token(&bench.ring, bench.account).await;
    opened.map(|token| token.expose_secret().to_owned())
}

#[tokio::test]
async fn each_pair_has_a_key_of_its_own_and_without_it_no_copy_of_the_pair_opens() {
    let bench = Bench::new().await;
    bench.scratch.run("UPDATE worker SET opens = 2").await;
    bench
        .scratch
        .run("CREATE TABLE copied AS SELECT account_id, field, generation, key_id, sealed FROM vault.token")
        .await;
    assert_eq!((bench.scratch.number(OWN).await, bench.scratch.number(KEYS).await), (2, 1));
    assert_eq!(opens(&bench).await.unwrap(), "a1");
    renew(&bench).await;
    assert_eq!((bench.scratch.number(OWN).await, bench.scratch.number(KEYS).await), (2, 1));
    assert_eq!(opens(&bench).await.unwrap(), "a2");
    // a copy of the pair before, to the byte, where it was and as it was
    for statement in [
        "UPDATE account SET token_generation = 1",
        "UPDATE vault.token t SET generation = c.generation, key_id = c.key_id, sealed = c.sealed
         FROM copied c WHERE c.account_id = t.account_id AND c.field = t.field",
    ] {
        bench.scratch.run(statement).await;
    }
    let shut = opens(&bench).await.unwrap_err();
    assert!(matches!(shut, VaultError::Key(KeyError::Shredded)), "{shut}");
}

#[tokio::test]
async fn beside_a_worker_of_an_earlier_version_a_pair_is_sealed_as_that_reads_it() {
    let bench = Bench::new().await;
    assert_eq!(bench.scratch.number(BARE).await, 0, "nobody was there yet");
    // one that says nothing of what it opens
    renew(&bench).await;
    assert_eq!(bench.scratch.number(BARE).await, 2);
    assert_eq!(opens(&bench).await.unwrap(), "a2");
    let row: (Uuid, i64, Vec<u8>) = sqlx::query_as(
        "SELECT a.workspace_id, t.generation, t.sealed FROM vault.token t JOIN account a ON a.id = t.account_id
         WHERE t.field = 'access'",
    )
    .fetch_one(&mut bench.scratch.connection().await)
    .await
    .unwrap();
    let name = format!("vault.token|{}|{}|access|{}", row.0, bench.account, row.1);
    assert_eq!(bench.ring.open(&row.2, &name).unwrap().as_slice(), b"a2", "as it does it");
    bench.scratch.run("UPDATE worker SET opens = 2").await;
    renew(&bench).await;
    assert_eq!((bench.scratch.number(BARE).await, bench.scratch.number(OWN).await), (0, 2));
    assert_eq!(opens(&bench).await.unwrap(), "a2");
}

#[tokio::test]
async fn whoever_deletes_the_last_token_of_an_account_deletes_its_key() {
    let bench = Bench::new().await;
    bench.scratch.run("DELETE FROM vault.token WHERE field = 'refresh'").await;
    assert_eq!(bench.scratch.number(KEYS).await, 1, "the other one needs it");
    assert_eq!(opens(&bench).await.unwrap(), "a1");
    bench.scratch.run("DELETE FROM vault.token WHERE field = 'access'").await;
    assert_eq!(bench.scratch.number(KEYS).await, 0);
    // in one transaction: what is taken back is there with its key
    let bench = Bench::new().await;
    let undone = "BEGIN; DELETE FROM vault.token; ROLLBACK";
    bench.scratch.run(undone).await;
    assert_eq!((bench.scratch.number(OWN).await, bench.scratch.number(KEYS).await), (2, 1));
    for gone in ["DELETE FROM claim", "DELETE FROM job", "DELETE FROM account"] {
        bench.scratch.run(gone).await;
    }
    assert_eq!(bench.scratch.number(KEYS).await, 0, "and with the account");
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_that_are_renewed_while_the_key_of_their_key_changes_all_open() {
    let [a, b] = [(); 2].map(|()| generate(Cipher::XChaCha20Poly1305));
    let c = generate(Cipher::Aes256Gcm);
    let rings = [format!("{a},{b},{c}"), format!("{b},{a},{c}"), format!("{c},{a},{b}")];
    let bench = Bench::sealing(KeyRing::parse(&rings[0]).unwrap()).await;
    let rings = rings.map(|text| KeyRing::parse(&text).unwrap());
    bench.scratch.run("UPDATE worker SET opens = 2").await;
    let over = AtomicBool::new(false);
    let rotating = async {
        let mut sealed = 0;
        while !over.load(Ordering::SeqCst) {
            for ring in &rings {
                let keys = bench.ledger.reseal_keys(ring, None, 10).await.unwrap();
                let tokens = bench.ledger.rekey(ring, None, 10, true).await.unwrap();
                assert!(keys.stuck.is_empty() && tokens.stuck.is_empty(), "{keys:?} {tokens:?}");
                sealed += keys.resealed + tokens.resealed;
            }
        }
        sealed
    };
    let renewing = async {
        for _ in 0..30 {
            renew(&bench).await;
            assert_eq!(opens(&bench).await.unwrap(), "a2");
        }
        over.store(true, Ordering::SeqCst);
    };
    let (sealed, ()) = tokio::join!(rotating, renewing);
    assert!(sealed > 0, "they met");
    assert_eq!((bench.scratch.number(OWN).await, bench.scratch.number(BARE).await), (2, 0));
}
