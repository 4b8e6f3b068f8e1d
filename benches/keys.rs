//! Changing the key ring while tokens are opened all the time, and whether anybody was ever refused one: how many tokens a
//! second get a data key that have none, as earlier versions left them, and how many come under a new key of the ring by
//! their data keys.
//!
//! `cargo bench --bench keys -- [--json] [--jobs N] [--concurrency C]`, where a job is a token.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use common::{Settings, harness::System, millis};
use postroom::ledger::{
    KeyRing, Ledger, Role,
    keyring::{Cipher, generate},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

/// Accounts that are written at a time.
const AT_A_TIME: usize = 2_000;

#[tokio::main]
async fn main() {
    let settings = Settings::read(100_000, 8);
    let mut system = System::start().await;
    let old = system.environment["POSTROOM_KEYS"].clone();
    let [first, second] = [(); 2].map(|()| generate(Cipher::XChaCha20Poly1305));
    let accounts = seed(&system, &KeyRing::parse(&old).unwrap(), settings.jobs).await;
    let load = Load::begin(&system, &format!("{second},{first},{old}"), &accounts, settings.concurrency);
    let begun = Instant::now();
    // those that the system itself has are sealed under a data key already
    let (moved, took) = rotated(&mut system, format!("{first},{old}")).await;
    assert!(moved["moved"].as_u64().unwrap() >= accounts.len() as u64, "{moved}");
    settings.print_rate("tokens_moved", accounts.len(), took);
    let (done, took) = rotated(&mut system, format!("{second},{first}")).await;
    assert_eq!(
        (&done["resealed"], &done["moved"], &done["bare"]),
        (&done["data_keys"], &json!(0), &json!(0))
    );
    settings.print_rate("keys_resealed", usize::try_from(done["tokens"].as_u64().unwrap()).unwrap(), took);
    let all = begun.elapsed();
    let (opened, refused, slowest) = load.end().await;
    settings.print_rate("tokens_opened_beside", usize::try_from(opened).unwrap(), all);
    settings.print("open_slowest", slowest, "ms");
    assert_eq!(refused, 0, "so many tokens were refused to somebody who needed one");
}

/// Changes to this ring; what was said of it, and how long it took.
async fn rotated(system: &mut System, ring: String) -> (Value, Duration) {
    system.environment.insert("POSTROOM_KEYS".into(), ring);
    let begun = Instant::now();
    let (status, out, err) = system.try_postroom(&["keys", "rotate", "--json"], "").await;
    let took = begun.elapsed();
    assert_eq!(status, 0, "{err}");
    let done: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(done["left"], 0, "{done}");
    (done, took)
}

/// Accounts with a token each, sealed under the ring itself as earlier versions did it.
async fn seed(system: &System, ring: &KeyRing, count: usize) -> Arc<Vec<Uuid>> {
    let workspace: Uuid = sqlx::query_scalar("SELECT id FROM workspace LIMIT 1")
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    let ids: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
    for some in ids.chunks(AT_A_TIME) {
        let seal = |id: &Uuid| ring.seal(b"a token of some length, as they are", &row(workspace, *id));
        let sealed: Vec<Vec<u8>> = some.iter().map(seal).collect();
        sqlx::query(
            "WITH made AS (
                 INSERT INTO account (id, workspace_id, platform, external_id, name)
                 SELECT id, $1, 'tiktok', id::text, 'bench' FROM unnest($2::uuid[]) AS x (id) RETURNING id)
             INSERT INTO vault.token (account_id, field, generation, key_id, sealed)
             SELECT x.id, 'access', 1, $3, x.sealed FROM unnest($2::uuid[], $4::bytea[]) AS x (id, sealed)
             WHERE (SELECT count(*) FROM made) > 0",
        )
        .bind(workspace)
        .bind(some)
        .bind(ring.sealing_key())
        .bind(&sealed)
        .execute(&system.database.pool)
        .await
        .unwrap();
    }
    Arc::new(ids)
}

/// The name of the row that a token is sealed for.
fn row(workspace: Uuid, account: Uuid) -> String {
    format!("vault.token|{workspace}|{account}|access|1")
}

/// Tokens that are opened all the time, as workers open them.
struct Load {
    over: Arc<AtomicBool>,
    opened: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    tasks: tokio::task::JoinSet<f64>,
}

impl Load {
    fn begin(system: &System, ring: &str, accounts: &Arc<Vec<Uuid>>, many: usize) -> Self {
        let url = SecretString::from(system.environment["DATABASE_URL"].clone());
        let ledger = Ledger::open(&url, Role::Worker, u32::try_from(many).unwrap()).unwrap();
        let ring = Arc::new(KeyRing::parse(ring).unwrap());
        let (over, opened, refused) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..many {
            let (over, opened, refused) = (Arc::clone(&over), Arc::clone(&opened), Arc::clone(&refused));
            let (ledger, ring, accounts) = (ledger.clone(), Arc::clone(&ring), Arc::clone(accounts));
            tasks.spawn(async move {
                let (mut at, mut slowest) = (n * 7919, 0.0);
                while !over.load(Ordering::Relaxed) {
                    at = (at + 104_729) % accounts.len();
                    let begun = Instant::now();
                    let done = ledger.open_token(&ring, accounts[at]).await;
                    slowest = f64::max(slowest, millis(begun.elapsed()));
                    if let Err(error) = done {
                        eprintln!("{error}");
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    opened.fetch_add(1, Ordering::Relaxed);
                }
                slowest
            });
        }
        Self { over, opened, refused, tasks }
    }

    async fn end(self) -> (u64, u64, f64) {
        self.over.store(true, Ordering::Relaxed);
        let slowest = self.tasks.join_all().await.into_iter().fold(0.0, f64::max);
        (self.opened.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed), slowest)
    }
}
