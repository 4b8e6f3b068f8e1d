//! Connections on their way, and what else happens meanwhile: keys that change, access that is taken back, deletions.

use postroom::ledger::{Ledger, Role, people::MemberRole};
use uuid::Uuid;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_access_is_being_taken_back_is_connected_after_that_whoever_had_granted_it() {
    let system = System::with_workers(1).await;
    page(&system, "104000000000961", json!({})).await;
    let staff = Person::admin(&system).await;
    let keys = [key(FACEBOOK, "104000000000961")];
    staff.connects(FACEBOOK, &["104000000000961"], &[&keys[0]]).await;
    // of one that was connected long ago nobody knows who granted it, and a call is on its way that takes that back
    for statement in [
        "UPDATE account SET subject_id = NULL WHERE external_id = '104000000000961'",
        "INSERT INTO remote_call (call_id, account_id, job_id, epoch, worker_inc, kind, deadline_at)
         SELECT gen_random_uuid(), id, gen_random_uuid(), 1, gen_random_uuid(), 'revoke', ledger_now() + interval '1 day'
         FROM account WHERE external_id = '104000000000961'",
    ] {
        sqlx::query(statement).execute(&system.database.pool).await.unwrap();
    }
    let at = staff.goes(FACEBOOK, &["104000000000961"], &[]).await;
    let text = staff.rests(&at).await;
    assert_eq!(staff.chooses(&at, &text, &[&keys[0]]).await.status, 303);
    eventually("the choice to wait", || async {
        let waits =
            "SELECT count(*) FROM attempt WHERE reason LIKE '%is being taken back; it is tried again%'";
        let waits = system.database.count(waits).await;
        if waits > 0 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    let generation = "SELECT token_generation FROM account WHERE external_id = '104000000000961'";
    assert_eq!(system.database.count(generation).await, 1);
    let over =
        "UPDATE remote_call SET verdict = 'ambiguous', finished_at = ledger_now() WHERE kind = 'revoke'";
    sqlx::query(over).execute(&system.database.pool).await.unwrap();
    assert!(staff.rests(&at).await.contains(">Connected</p>"));
    assert_eq!(system.database.count(generation).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_its_way_goes_on_under_a_new_key() {
    let mut system = System::start().await;
    page(&system, "104000000000971", json!({})).await;
    let (at, cookie) = {
        let staff = Person::admin(&system).await;
        (staff.goes(FACEBOOK, &["104000000000971"], &[]).await, staff.cookie)
    };
    let (old, new) = (system.environment["POSTROOM_KEYS"].clone(), generate(Cipher::Aes256Gcm));
    system.environment.insert("POSTROOM_KEYS".into(), format!("{new},{old}"));
    let done = system.told(&["keys", "rotate"]).await;
    // the tokens of the accounts there are, and the code
    assert_eq!(
        (&done["moved"], &done["resealed"], &done["left"]),
        (&json!(4), &json!(1), &json!(0)),
        "{done}"
    );
    // the old one is not needed any more
    system.environment.insert("POSTROOM_KEYS".into(), new);
    system.start_worker(&[]);
    let mut staff = Person::admin(&system).await;
    staff.cookie = cookie;
    let text = staff.rests(&at).await;
    assert!(text.contains("id=\"connect\""), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_keeps_and_no_key_opens_is_counted_as_what_it_is() {
    let mut system = System::start().await;
    page(&system, "104000000000981", json!({})).await;
    let at = Person::admin(&system).await.goes(FACEBOOK, &["104000000000981"], &[]).await;
    let damaged = "UPDATE vault.connection_secret \
                   SET sealed = set_byte(sealed, length(sealed) - 1, get_byte(sealed, length(sealed) - 1) # 1)";
    sqlx::query(damaged).execute(&system.database.pool).await.unwrap();
    let (old, new) = (system.environment["POSTROOM_KEYS"].clone(), generate(Cipher::Aes256Gcm));
    system.environment.insert("POSTROOM_KEYS".into(), format!("{new},{old}"));
    let (status, out, err) = system.try_postroom(&["keys", "rotate", "--json"], "").await;
    let done: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &done["tokens"], &done["connections"]), (1, &json!(4), &json!(1)), "{done}");
    let resealed = (&done["moved"], &done["resealed"], &done["left"]);
    assert_eq!(resealed, (&json!(4), &json!(0), &json!(1)), "{done}");
    let stuck = &done["stuck"][0];
    assert!(at.ends_with(stuck["connection_id"].as_str().unwrap()), "{done}");
    assert_eq!((&stuck["field"], &stuck["account_id"]), (&json!("code"), &Value::Null));
    assert!(err.contains("1 secrets of connections on their way do not open"), "{err}");
    // it holds no key back for longer than its connection lasts
    sqlx::query("DELETE FROM vault.connection_secret").execute(&system.database.pool).await.unwrap();
    assert_eq!(system.told(&["keys", "rotate"]).await["left"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_goes_on_with_ends_and_its_secrets_are_shredded() {
    let system = System::with_workers(1).await;
    page(&system, "104000000000921", json!({})).await;
    let staff = Person::admin(&system).await;
    let at = staff.goes(FACEBOOK, &["104000000000921"], &[]).await;
    let text = staff.rests(&at).await;
    assert_eq!(secrets(&system).await, 1);
    sqlx::query("UPDATE connection SET expires_at = ledger_now()")
        .execute(&system.database.pool)
        .await
        .unwrap();
    eventually("the secrets to be gone", || async {
        let left = secrets(&system).await;
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
    assert!(staff.rests(&at).await.contains("It took too long"));
    staff.chooses(&at, &text, &[&key(FACEBOOK, "104000000000921")]).await;
    assert_eq!(shown(&system, "104000000000921").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_when_a_deletion_is_asked_for_connects_nothing_after_it() {
    let mut system = System::start().await;
    // nobody carries the deletion out meanwhile
    system.start_worker_on("connect");
    page(&system, "104000000000931", json!({})).await;
    let staff = Person::admin(&system).await;
    let keys = [key(FACEBOOK, "104000000000931")];
    staff.connects(FACEBOOK, &["104000000000931"], &[&keys[0]]).await;
    let id = shown(&system, "104000000000931").await.unwrap()["id"].as_str().unwrap().to_owned();
    // one waits for a choice, and of the other nobody knows yet who grants it
    let at = staff.goes(FACEBOOK, &["104000000000931"], &[]).await;
    let text = staff.rests(&at).await;
    let pause = json!({ "reason": "until the test goes on" });
    system.api(Method::POST, "/api/v1/queues/connect/pause", Some(&pause)).await;
    let unread = staff.goes(FACEBOOK, &["104000000000931"], &[]).await;
    system.told(&["delete-subject", "--account", &id]).await;
    let open = "SELECT count(*) FROM connection WHERE ended_at IS NULL";
    assert_eq!(system.database.count(open).await, 1, "only what nobody could know of is left");
    assert!(staff.rests(&at).await.contains("is being deleted"));
    staff.chooses(&at, &text, &[&keys[0]]).await;
    system.api(Method::POST, "/api/v1/queues/connect/resume", None).await;
    assert!(staff.rests(&unread).await.contains("is being deleted"));
    assert_eq!(system.database.count("SELECT count(*) FROM account WHERE subject_id = '7001'").await, 1);
    eventually("the secrets to be gone", || async {
        let left = secrets(&system).await;
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
    assert_eq!(system.database.count("SELECT count(*) FROM account WHERE state = 'frozen'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dialog_gave_waits_for_the_key_that_opens_it_and_is_then_given_back() {
    // P-D5
    let mut system = System::with_workers(1).await;
    granted_by_others(&system).await;
    page(&system, "104000000000984", json!({})).await;
    {
        let staff = Person::admin(&system).await;
        let at = staff.goes(FACEBOOK, &["104000000000984"], &[]).await;
        staff.rests(&at).await;
    }
    system.workers.clear();
    expire(&system).await;
    let ring = system.environment["POSTROOM_KEYS"].clone();
    system.environment.insert("POSTROOM_KEYS".into(), generate(Cipher::Aes256Gcm));
    system.start_worker(&[]);
    eventually("the job to wait for the key", || async {
        let waits = "SELECT count(*) FROM attempt t JOIN job j ON j.id = t.job_id
                     WHERE j.kind = 'disconnect' AND t.reason LIKE '%not in POSTROOM_KEYS%'";
        if system.database.count(waits).await > 0 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    assert_eq!(
        (secrets(&system).await, revocations(&system).await),
        (1, 0),
        "it is not thrown away for that"
    );
    system.workers.clear();
    system.environment.insert("POSTROOM_KEYS".into(), ring);
    system.start_worker(&[]);
    given_back(&system, "revoked").await;
    assert_eq!(revocations(&system).await, 1);
}

#[tokio::test]
async fn a_grant_that_is_put_away_while_its_connection_ends_is_to_be_given_back() {
    let door = Door::open().await;
    let (id, person) = (Uuid::now_v7(), door.person("dana@example.org", MemberRole::Admin).await);
    let begun = format!(
        "INSERT INTO connection (id, workspace_id, person_id, platform, state, state_digest, session_digest,
                                 redirect_uri, job_id, expires_at)
         VALUES ('{id}', '{}', '{person}', '{FACEBOOK}', 'coded', '\\x01', '\\x02', 'x', gen_random_uuid(), ledger_now())",
        door.workspace
    );
    door.scratch.run(&begun).await;
    let mut keeping = door.scratch.connection().await;
    for statement in [
        "BEGIN",
        "UPDATE connection SET state = 'granted', granted_at = ledger_now()",
        "INSERT INTO vault.connection_secret (connection_id, field, key_id, sealed)
         SELECT id, 'grant', 'k', '\\x00' FROM connection",
    ] {
        sqlx::query(statement).execute(&mut keeping).await.expect(statement);
    }
    let worker = Ledger::open(&door.scratch.url, Role::Worker, 2).expect("an address");
    let kept = async {
        eventually("the end to wait", || async {
            let waits = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND wait_event_type = 'Lock'";
            if door.scratch.number(waits).await > 0 { Ok(()) } else { Err("nobody waits".into()) }
        })
        .await;
        sqlx::query("COMMIT").execute(&mut keeping).await.expect("a commit");
    };
    let (ended, ()) = tokio::join!(worker.end_connections(), kept);
    assert_eq!(ended.expect("an answer"), 1);
    assert_eq!(worker.end_connections().await.expect("an answer"), 0);
    let asked = "SELECT count(*) FROM connection c JOIN vault.connection_secret s ON s.connection_id = c.id
                 WHERE c.state = 'refused' AND c.parting = 'asked' AND s.field = 'grant'";
    assert_eq!(door.scratch.number(asked).await, 1, "what gives it back finds it");
}
