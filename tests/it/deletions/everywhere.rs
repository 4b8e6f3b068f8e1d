//! Everything goes away: of somebody who was deleted nothing is found in any store.

use super::*;

/// Every column of a database, by its table; partitions are their parents.
async fn columns(door: &Door) -> BTreeSet<String> {
    let rows = sqlx::query(
        "SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || k.relname || '.' || a.attname AS name
         FROM pg_attribute a JOIN pg_class k ON k.oid = a.attrelid JOIN pg_namespace n ON n.oid = k.relnamespace
         WHERE a.attnum > 0 AND NOT a.attisdropped AND k.relkind IN ('r', 'p') AND NOT k.relispartition
           AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
           AND k.relname <> '_sqlx_migrations'",
    );
    let rows = rows.fetch_all(&mut door.scratch.connection().await).await.unwrap();
    rows.into_iter().map(|row| row.get::<String, _>("name")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_there_is_stands_in_the_register() {
    let door = Door::open().await;
    let declared: BTreeSet<String> = register::all()
        .flat_map(|store| {
            let personal = store.personal.iter().map(|(name, _)| *name);
            personal.chain(store.plain.iter().copied()).map(|column| format!("{}.{column}", store.name))
        })
        .collect();
    let there = columns(&door).await;
    let undeclared: Vec<_> = there.difference(&declared).collect();
    assert!(
        undeclared.is_empty(),
        "say in ledger/register what these hold and how they are emptied: {undeclared:?}"
    );
    let gone: Vec<_> = declared.difference(&there).collect();
    assert!(gone.is_empty(), "these are declared and not there: {gone:?}");
    door.scratch.run("ALTER TABLE post ADD COLUMN planted text").await;
    assert!(!columns(&door).await.is_subset(&declared), "a column that nobody declared is found");
}

/// What a backup of the ledger holds.
async fn dump(system: &System) -> String {
    let program = Path::new(&std::env::var("POSTROOM_PG_BIN").unwrap_or_default()).join("pg_dump");
    let args = ["--dbname", &system.database.url];
    let ran = tokio::process::Command::new(program).args(args).output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// Everything that Redis holds, as text.
async fn redis_dump(system: &System) -> String {
    let client = redis::Client::open(system.environment["REDIS_URL"].as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let mut all = String::new();
    for key in keys {
        let bytes: Option<Vec<u8>> = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
        all += &key;
        all += &String::from_utf8_lossy(&bytes.unwrap_or_default());
    }
    all
}

/// Makes somebody a person of the staff, who is invited elsewhere, signs in elsewhere and has asked for a new password.
async fn on_the_staff_too(system: &System, email: &str) {
    let there = r"WITH p AS (INSERT INTO person (id, email, first_name, last_name)
                     VALUES (gen_random_uuid(), $1, split_part($1, '@', 1), split_part($1, '@', 1)) RETURNING id),
               i AS (INSERT INTO person_identity (issuer, subject, person_id)
                     SELECT 'https://accounts.example', split_part($1, '@', 1), id FROM p),
               r AS (INSERT INTO password_reset (person_id, digest, expires_at)
                     SELECT id, '\x01', ledger_now() + interval '1 hour' FROM p),
               c AS (INSERT INTO email_change (person_id, email, digest, expires_at)
                     SELECT id, 'new-' || $1, '\x03', ledger_now() + interval '1 hour' FROM p),
               n AS (INSERT INTO mail (id, to_address, subject, worthless_at, person_id)
                     SELECT gen_random_uuid(), 'new-' || $1, 'x', ledger_now(), id FROM p),
               m AS (INSERT INTO mail (id, to_address, subject, worthless_at)
                     VALUES (gen_random_uuid(), $1, 'x', ledger_now()) RETURNING id),
               v AS (INSERT INTO invitation (id, workspace_id, email, first_name, last_name, role, digest, mail_id,
                                             expires_at)
                     SELECT gen_random_uuid(), w.id, $1, split_part($1, '@', 1), split_part($1, '@', 1), 'viewer', '\x02', m.id,
                            ledger_now() + interval '1 day'
                     FROM workspace w, m RETURNING id)
          SELECT count(*) FROM v";
    assert_eq!(system.database.count_of(there, email).await, 1);
}

/// Has captions written for their accounts.
async fn helped(system: &System) {
    let wish = json!({
        "kind": "caption", "brief": format!("{CANARY} bakes"), "language": "en", "platforms": PLATFORMS,
    });
    let (status, asked) = system.api(Method::POST, "/api/v1/analyses", Some(&wish)).await;
    assert_eq!(status, 202, "{asked}");
    let path = format!("/api/v1/analyses/{}", asked["id"].as_str().unwrap());
    eventually("the captions", || async {
        let (_, read) = system.api(Method::GET, &path, None).await;
        if read["state"] == "done" { Ok(()) } else { Err(read.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_person_who_was_deleted_nothing_is_found_in_any_store() {
    // P-D5 P-D7 P-D8 P-D9 P-D10 P-D14
    let system = System::with_workers(1).await;
    let email = format!("{CANARY}@example.com");
    owned_by(&system, PERSON, &email).await;
    let media = system.upload(&format!("{CANARY}.jpg"), picture()).await;
    let wish = system.wish(&format!("{CANARY} sings"), &[FACEBOOK, INSTAGRAM], std::slice::from_ref(&media));
    let (_, sung) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    system.all_live_once(&[sung["id"].as_str().unwrap().to_owned()]).await;
    let path = format!("/api/v1/accounts/{}/snapshot", system.account(FACEBOOK));
    assert_eq!(system.api(Method::POST, &path, None).await.0, 202);
    eventually("what the network counted", || async {
        match system.database.count("SELECT count(*) FROM snapshot").await {
            0 => Err("nothing".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    helped(&system).await;
    let mut later = system.wish(&format!("{CANARY} will sing"), &[FACEBOOK], &[media]);
    later["schedule"] = json!({ "at": "2027-06-01T09:00:00Z" });
    let (status, _) = system.api(Method::POST, "/api/v1/posts", Some(&later)).await;
    assert_eq!(status, 202);
    on_the_staff_too(&system, &email).await;
    copied(&system).await;
    assert!(dump(&system).await.contains(CANARY) && !stored(&system).is_empty(), "it leaves traces");
    let (id, url) = deleted(&system, &["--email", &email, "--mail", "--reason", CANARY]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    let dump = dump(&system).await;
    // bytes are dumped in hex
    let hidden = hex::encode(CANARY);
    let leaks = |line: &&str| [CANARY, hidden.as_str()].iter().any(|it| line.to_lowercase().contains(it));
    let found: Vec<_> = dump.lines().filter(leaks).collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(!dump.contains(PERSON) && !dump.contains("104000000000001"), "its ids are gone too");
    assert_eq!(stored(&system), Vec::<std::path::PathBuf>::new());
    for path in files(&system.logs().join("sandbox")).into_iter().filter(|path| is_tombstone(path)) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains(CANARY) && !text.contains(PERSON), "{text}");
    }
    assert!(!redis_dump(&system).await.contains(CANARY));
    for log in ["web-0.log", "worker-0.log"] {
        let text = std::fs::read_to_string(system.logs().join(log)).unwrap();
        assert!(!text.to_lowercase().contains(CANARY), "{log}");
    }
    assert_eq!((&receipt["request"], &receipt["covered"]["accounts"]), (&json!(id), &json!(3)));
    assert_eq!((&receipt["verified"]["left"], &receipt["publications"]["given_up"]), (&json!(0), &json!(1)));
    for clock in ["tokens", "everything"] {
        assert_eq!(receipt["clocks"][clock]["kept"], json!(true), "{receipt}");
    }
    for store in ["person", "person_identity", "password_reset", "email_change", "invitation", "export"] {
        assert_eq!(erased(&receipt, store), 1, "{store}: {receipt}");
    }
    assert_eq!(erased(&receipt, "mail"), 2, "those to an address that is not proved yet, too: {receipt}");
    for (store, least) in [
        ("account", 3),
        ("publication", 3),
        ("post", 2),
        ("media", 1),
        ("files", 1),
        ("remote_call", 3),
        ("metric_plan", 3),
        ("snapshot", 1),
        ("analysis", 1),
        ("analysis_call", 1),
    ] {
        assert!(erased(&receipt, store) >= least, "{store}: {receipt}");
    }
    let answers: Vec<_> = receipt["grants"].as_array().unwrap().iter().map(|it| &it["answer"]).collect();
    assert!(answers.iter().all(|it| **it == "revoked" || **it == "already"), "{answers:?}");
    assert!(!receipt.to_string().to_lowercase().contains(CANARY));
    // the networks took the grants back
    let calls = system.control("calls").await;
    for call in ["permissions", "revoke"] {
        assert!(calls["data"].as_array().unwrap().iter().any(|it| it["call"] == call), "{call}");
    }
    let shown = crate::harness::client().get(&url).send().await.unwrap().text().await.unwrap();
    assert!(shown.contains("Your data is deleted"), "{shown}");
    assert_eq!(shown.matches(": kept</li>").count(), 2, "both clocks: {shown}");
    assert!(
        shown.contains("What the networks answered") && shown.contains("access was taken back"),
        "{shown}"
    );
    for (store, least) in [("account", 3), ("publication", 3)] {
        let many = erased(&receipt, store);
        assert!(
            many >= least && shown.contains(&format!("<bdi>{store}</bdi>: <bdi>{many}</bdi>")),
            "{shown}"
        );
    }
    told_by_mail(&system, &email).await;
    openssl_agrees(&system, &id).await;
}

/// Has a copy made of what is known of whoever has the accounts.
async fn copied(system: &System) {
    let wish = json!({ "kind": "export", "account_ids": [system.account(FACEBOOK)] });
    let (status, asked) = system.api(Method::POST, "/api/v1/privacy/requests", Some(&wish)).await;
    assert_eq!(status, 202, "{asked}");
    eventually("the copy", || async {
        let made = "SELECT count(*) FROM export WHERE state = 'made'";
        if system.database.count(made).await == 1 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    let files = files(&system.logs().join("sandbox"));
    assert!(files.iter().any(|path| path.extension().is_some_and(|it| it == "zip")), "{files:?}");
}

/// What we verify, everybody verifies.
async fn openssl_agrees(system: &System, id: &str) {
    let receipt = done(system, id).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let field = |name: &str| receipt[name].as_str().unwrap().to_owned();
    let decode = |name: &str| base64::engine::general_purpose::STANDARD.decode(field(name)).unwrap();
    let (payload, signature) = (write("payload", decode("payload")), write("signature", decode("signature")));
    let key = write("key.pem", field("public_key").into_bytes());
    let args =
        ["pkeyutl", "-verify", "-pubin", "-inkey", &key, "-rawin", "-in", &payload, "-sigfile", &signature];
    let ran = tokio::process::Command::new("openssl").args(args).output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let forged = write("forged", b"{}".to_vec());
    let args =
        ["pkeyutl", "-verify", "-pubin", "-inkey", &key, "-rawin", "-in", &forged, "-sigfile", &signature];
    assert!(!tokio::process::Command::new("openssl").args(args).output().await.unwrap().status.success());
}
