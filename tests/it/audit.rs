//! What is written down of who did what, and that nobody takes it back unnoticed.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use postroom::ledger::{
    Ledger, Role,
    audit::{Action, Actor, Entry, Who},
    chain::Broken,
    people::MemberRole,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    console::Browser,
    harness::{FACEBOOK, System, eventually},
    support::{Door, Scratch},
};

fn entry(n: usize) -> Entry<'static> {
    Entry {
        who: Who { actor: Actor::Key(Uuid::from_u128(7)), address: Some([127, 0, 0, 1].into()) },
        action: Action::Cancelled,
        object: "post",
        object_id: n.to_string(),
        workspace_id: None,
        detail: json!({ "n": n }),
    }
}

/// A ledger with so many links.
async fn chained(links: usize) -> (Scratch, Ledger) {
    let scratch = Scratch::new().await;
    let ledger = Ledger::open(&scratch.url, Role::Worker, 4).expect("an address");
    for n in 0..links {
        ledger.audit(&entry(n)).await.expect("written");
    }
    let head = ledger.chain_audit().await.expect("chained").expect("there was something to do");
    assert_eq!(head.seq, i64::try_from(links).expect("few"));
    (scratch, ledger)
}

async fn verified(ledger: &Ledger) -> Result<i64, Broken> {
    ledger.verify_audit(None).await.expect("it answers").map(|good| good.head.seq)
}

/// As whoever has the database itself: nothing stands in their way.
async fn tamper(scratch: &Scratch, statements: &[&str]) {
    for table in ["audit", "audit_link", "audit_head"] {
        scratch.run(&format!("ALTER TABLE {table} DISABLE TRIGGER USER")).await;
    }
    scratch.run("ALTER TABLE audit_link DROP CONSTRAINT audit_link_audit_id_fkey").await;
    for statement in statements {
        scratch.run(statement).await;
    }
}

#[tokio::test]
async fn a_chain_is_whole_until_a_row_is_changed_moved_or_taken_out() {
    let (scratch, ledger) = chained(5).await;
    assert_eq!(verified(&ledger).await, Ok(5));
    scratch
        .run("DELETE FROM audit_address WHERE audit_id IN (SELECT id FROM audit WHERE object_id = '3')")
        .await;
    assert_eq!(verified(&ledger).await, Ok(5), "where somebody was may be forgotten");
    drop((scratch, ledger));
    for (statements, found) in [
        (&["UPDATE audit SET object_id = 'another' WHERE object_id = '2'"][..], "link 3 was changed"),
        (
            &["UPDATE audit SET at = at - interval '1 microsecond' WHERE object_id = '0'"],
            "link 1 was changed",
        ),
        (&["UPDATE audit SET detail = '{}' WHERE object_id = '4'"], "link 5 was changed"),
        (&["UPDATE audit SET actor = 'system', actor_id = NULL WHERE object_id = '1'"], "link 2 was changed"),
        (
            &[
                "UPDATE audit_address SET address = '10.0.0.9' WHERE audit_id IN (SELECT id FROM audit WHERE object_id = '3')",
            ],
            "link 4 was changed",
        ),
        (&["UPDATE audit SET origin = NULL WHERE object_id = '3'"], "link 4 was changed"),
        (&["DELETE FROM audit WHERE object_id = '2'"], "of link 3 is missing"),
        (&["DELETE FROM audit_link WHERE seq = 2"], "link 2 is missing"),
        (&["DELETE FROM audit WHERE object_id IN ('3', '4')"], "of link 4 is missing"),
        // the last ones with their links
        (
            &["DELETE FROM audit_link WHERE seq > 3", "DELETE FROM audit WHERE object_id IN ('3', '4')"],
            "it ends at 3:",
        ),
        // and with where it is said to end: their rows are left over
        (
            &[
                "DELETE FROM audit_link WHERE seq > 3",
                "UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_link WHERE seq = 3)",
            ],
            "is in no link",
        ),
        // two rows in each other's place
        (
            &[
                "UPDATE audit_link SET seq = -seq WHERE seq IN (2, 3)",
                "UPDATE audit_link SET seq = 5 + seq WHERE seq < 0",
            ],
            "link 2 was changed",
        ),
    ] {
        let (scratch, ledger) = chained(5).await;
        scratch.run("ALTER TABLE audit_link DROP CONSTRAINT audit_link_seq").await;
        tamper(&scratch, statements).await;
        let broken = verified(&ledger).await.expect_err(statements[0]).to_string();
        assert!(broken.contains(found), "{statements:?}: {broken}");
    }
}

#[tokio::test]
async fn who_makes_the_whole_end_anew_is_found_by_an_end_that_was_noted_before() {
    let (scratch, ledger) = chained(5).await;
    let noted = ledger.verify_audit(None).await.expect("it answers").expect("whole").head;
    tamper(
        &scratch,
        &[
            "DELETE FROM audit_link WHERE seq > 3",
            "DELETE FROM audit WHERE object_id IN ('3', '4')",
            "UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_link WHERE seq = 3)",
        ],
    )
    .await;
    assert_eq!(verified(&ledger).await, Ok(3), "by itself it looks whole");
    let seen = ledger.verify_audit(Some(noted)).await.expect("it answers");
    assert!(matches!(seen, Err(Broken::Ends { .. })), "{seen:?}");
    for n in 3..6 {
        ledger.audit(&entry(n)).await.expect("written");
    }
    ledger.chain_audit().await.expect("chained");
    let seen = ledger.verify_audit(Some(noted)).await.expect("it answers");
    assert!(matches!(seen, Err(Broken::Ends { .. })), "others in their place: {seen:?}");
}

#[tokio::test]
async fn nobody_changes_or_drops_what_was_written_down() {
    let (scratch, ledger) = chained(2).await;
    let refused = async |statement: &str| {
        let ran = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut scratch.connection().await).await;
        let said = ran.expect_err(statement).to_string();
        assert!(said.contains("refused") || said.contains("only grows"), "{statement}: {said}");
    };
    for statement in [
        "UPDATE audit SET action = 'x'",
        "DELETE FROM audit",
        "TRUNCATE audit CASCADE",
        "UPDATE audit_link SET seq = seq + 1",
        "DELETE FROM audit_link",
        "TRUNCATE audit_link",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET seq = 1",
        "INSERT INTO audit_head (one, seq, hash) VALUES (false, 1, '')",
    ] {
        refused(statement).await;
    }
    assert_eq!(verified(&ledger).await, Ok(2));
}

#[tokio::test]
async fn rows_that_come_from_many_at_once_are_each_chained_once_by_whoever_is_first() {
    let scratch = Scratch::new().await;
    let ledger = Ledger::open(&scratch.url, Role::Worker, 8).expect("an address");
    // one that began first and ends last is not passed over
    let mut late = scratch.connection().await;
    sqlx::query("BEGIN").execute(&mut late).await.expect("begins");
    let insert = "INSERT INTO audit (id, actor, action, object, object_id) VALUES (gen_random_uuid(), 'system', 'x', 'post', 'late')";
    sqlx::query(insert).execute(&mut late).await.expect("inserted");
    let write = async {
        let writes = (0..40).map(|n| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.audit(&entry(n)).await })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.expect("joined").expect("written");
        }
    };
    let chain = async {
        for _ in 0..20 {
            let (one, two) = tokio::join!(ledger.chain_audit(), ledger.chain_audit());
            one.and(two).expect("chained");
        }
    };
    tokio::join!(write, chain);
    sqlx::query("COMMIT").execute(&mut late).await.expect("committed");
    while ledger.chain_audit().await.expect("chained").is_some() {}
    assert_eq!(verified(&ledger).await, Ok(41));
}

/// What was written down, newest first: who, what, on what.
async fn noted(ledger: &Ledger) -> Vec<(String, String, String)> {
    let rows = ledger.audit_entries(None, 100).await.expect("entries");
    rows.into_iter().map(|row| (row.actor, row.action, row.object)).collect()
}

fn was(who: &str, what: &str, object: &str) -> (String, String, String) {
    (who.to_owned(), what.to_owned(), object.to_owned())
}

#[tokio::test]
async fn what_a_key_does_is_written_down_as_its_deed_and_what_is_refused_is_not() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let body = json!({ "caption": "Opening day", "targets": [{ "account_id": account }] });
    let post = door.post(&body).await.json();
    let (id, publication) =
        (post["id"].as_str().expect("an id"), post["publications"][0]["id"].as_str().expect("an id"));
    let ask = async |path: &str, body: Option<Value>| {
        let request = door.request(&Method::POST, path);
        let request = match body {
            Some(body) => {
                request.header("content-type", "application/json").body(Body::from(body.to_string()))
            }
            None => request.body(Body::empty()),
        };
        door.send(request.expect("a request")).await.status
    };
    let ledger = &door.scratch.ledger;
    let before = noted(ledger).await.len();
    let retry = format!("/api/v1/posts/{id}/retry");
    assert_eq!(ask(&retry, None).await, StatusCode::CONFLICT);
    assert_eq!(noted(ledger).await.len(), before, "a refusal is no deed");
    for (path, body, what, object) in [
        (format!("/api/v1/accounts/{account}/refresh"), None, "renewal_asked", "account"),
        (
            "/api/v1/queues/publish/pause".into(),
            Some(json!({ "reason": "x" })),
            "paused",
            "queue_of_workspace",
        ),
        ("/api/v1/queues/publish/resume".into(), None, "resumed", "queue_of_workspace"),
        (format!("/api/v1/posts/{id}/cancel"), None, "cancelled", "post"),
        ("/api/v1/tokens".into(), None, "pass_issued", "api_key"),
    ] {
        let status = ask(&path, body).await;
        assert!(status.is_success(), "{path}: {status}");
        assert_eq!(noted(ledger).await.first(), Some(&was("key", what, object)), "{path}");
    }
    door.scratch.run("UPDATE publication SET state = 'failed', cancel_requested_at = NULL").await;
    assert_eq!(ask(&retry, None).await, StatusCode::ACCEPTED);
    assert_eq!(noted(ledger).await.first(), Some(&was("key", "redriven", "post")));
    door.scratch
        .run("UPDATE publication SET state = 'published', public_id = '1', published_at = ledger_now()")
        .await;
    let take_down = format!("/api/v1/publications/{publication}/take-down");
    for _ in 0..2 {
        assert_eq!(ask(&take_down, None).await, StatusCode::ACCEPTED);
    }
    let asked: Vec<_> = noted(ledger).await.into_iter().take(2).collect();
    assert_eq!(asked[0], was("key", "take_down_asked", "publication"));
    assert_ne!(asked[1], asked[0], "asked twice it is one");
    let own = ledger.audit_entries(Some(door.workspace), 100).await.expect("entries");
    assert!(own.iter().all(|row| row.workspace_id == Some(door.workspace)));
}

#[tokio::test]
async fn signing_in_and_failing_to_more_than_is_free_are_written_down() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Admin).await;
    let ledger = &door.scratch.ledger;
    assert_eq!(noted(ledger).await[0], was("person", "signed_in", "person"));
    let failed = async || noted(ledger).await.iter().filter(|it| it.1 == "sign_in_failed").count();
    for n in 1..=7 {
        let page = browser.get("/sign-in").await;
        let token = crate::console::hidden(&page.text, "token");
        let fields = [("token", token.as_str()), ("email", "nobody@example.org"), ("password", "wrong")];
        browser.form("/sign-in", &fields).await;
        assert_eq!(failed().await, usize::from(n > 5), "after {n}");
    }
    let rows = ledger.audit_entries(None, 1).await.expect("entries");
    assert!(rows[0].detail.contains("\"failures\": 6"), "{}", rows[0].detail);
    assert!(!format!("{rows:?}").contains("nobody@example.org"), "whom it was tried as is not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_lists_and_verifies_what_workers_have_chained_and_says_where_it_is_broken() {
    let mut system = System::with_workers(1).await;
    let post = system.post("seen by all", &[FACEBOOK]).await;
    system.all_live_once(&[post]).await;
    system.postroom(&["jobs", "pause", "--queue", "publish", "--reason", "a look around"], "").await;
    let whole = eventually("the rows to be chained", || async {
        let told = system.told(&["audit", "verify"]).await;
        if told["waiting"] == 0 { Ok(told) } else { Err(told.to_string()) }
    })
    .await;
    let listed = system.told(&["audit", "list"]).await;
    let rows = listed["data"].as_array().unwrap();
    assert_eq!((&rows[0]["action"], &rows[0]["actor"]), (&json!("paused"), &json!("operator")), "{rows:?}");
    assert_eq!(whole["links"], rows.len(), "{whole}");
    for action in ["key_made", "member_set", "account_connected"] {
        assert!(rows.iter().any(|row| row["action"] == action), "no {action} in {rows:?}");
    }
    let old = system.environment["POSTROOM_KEYS"].clone();
    system.environment.insert("POSTROOM_KEYS".into(), old);
    system.postroom(&["keys", "rotate"], "").await;
    assert_eq!(system.told(&["audit", "list", "--limit", "1"]).await["data"][0]["action"], "ring_rotated");

    let witness = whole["head"].as_str().unwrap();
    system.postroom(&["audit", "verify", "--witness", witness], "").await;
    for statement in [
        "ALTER TABLE audit DISABLE TRIGGER USER",
        "UPDATE audit SET actor = 'system' WHERE id = (SELECT audit_id FROM audit_link WHERE seq = 3)",
    ] {
        sqlx::query(statement).execute(&system.database.pool).await.unwrap();
    }
    let (status, _, said) = system.try_postroom(&["audit", "verify"], "").await;
    assert_eq!((status, said.contains("of link 3 was changed")), (1, true), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_web_nor_worker_may_change_what_was_written_down() {
    let system = System::start().await;
    let mut connection = system.database.pool.acquire().await.unwrap();
    let name: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&mut *connection).await.unwrap();
    for (role, table, rights) in [
        ("web", "audit", "UPDATE"),
        ("web", "audit", "DELETE"),
        ("web", "audit_address", "DELETE"),
        ("worker", "audit_address", "UPDATE"),
        ("web", "audit_waiting", "DELETE"),
        ("web", "audit_link", "INSERT"),
        ("web", "audit_head", "UPDATE"),
        ("worker", "audit", "UPDATE"),
        ("worker", "audit", "DELETE"),
        ("worker", "audit_link", "UPDATE"),
        ("worker", "audit_link", "DELETE"),
    ] {
        let may: bool = sqlx::query_scalar("SELECT has_table_privilege($1, $2, $3)")
            .bind(format!("{name}_{role}"))
            .bind(table)
            .bind(rights)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        assert!(!may, "{role} may {rights} {table}");
    }
}
