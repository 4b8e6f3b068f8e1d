//! The database keeps workspaces apart for who says which one they work in, whatever their statements forget.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::http::StatusCode;
use postroom::{
    ledger::{Ledger, Role, jobs::JobFilter, keys::Scope, people::MemberRole},
    web,
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use uuid::Uuid;

use crate::{
    harness::{Process, System, eventually},
    house::sources,
    support::{Door, Scratch, house, jpeg},
};

const PATIENCE: Duration = Duration::from_secs(5);

/// Tables without row security, and why what they hold is kept from nobody who works in a workspace.
const OPEN: &[(&str, &str)] = &[
    ("_sqlx_migrations", "which migrations were applied"),
    ("app_rest", "the networks' apps are everybody's"),
    ("audit_address", "of what is in audit; no route reads it"),
    ("audit_head", "the chain is of all that was written down; no route reads it"),
    ("audit_link", "as audit_head"),
    ("audit_waiting", "as audit_head"),
    ("breaker", "the networks are everybody's"),
    ("claim", "who works on which job, by ids; it ends a moment after its job, and has to be ended then"),
    ("cron_tick", "the house's own schedules"),
    ("deletion_ask", "of whoever asked on the public page, sealed"),
    ("deletion_letter", "of whoever asked, sealed"),
    ("email_change", "a person's, who belongs to any number of workspaces"),
    ("mail", "to a person, who belongs to any number of workspaces"),
    ("network_bucket", "the networks' limits; how full, and whose by an id"),
    ("notice", "what operators were told of"),
    ("pass_key", "public keys"),
    ("password_reset", "a person's, who belongs to any number of workspaces"),
    ("pause", "an operator's stops everybody, who is told why"),
    ("person", "they belong to any number of workspaces"),
    ("person_identity", "a person's, who belongs to any number of workspaces"),
    ("receipt_key", "public keys"),
    ("retention_run", "the house's own tidying"),
    ("schedule", "the house's own schedules"),
    ("session", "a person's, who belongs to any number of workspaces"),
    ("spare_object", "keys of objects that go; random, and of what nobody has any more or yet"),
    ("worker", "the processes"),
];

/// Where the door asks a ledger that is bound to nothing, how often, and why.
const UNBOUND: &[(&str, usize, &str)] = &[
    ("access.rs", 3, "finds out whose a key or a pass is; an operator's is everywhere"),
    (
        "console/copies.rs",
        1,
        "what is known of a person is looked for wherever it is; copies are made by jobs of the house",
    ),
    ("console/elsewhere.rs", 1, "nobody is signed in yet"),
    ("console/forgotten.rs", 4, "nobody is signed in yet"),
    ("console/invitation.rs", 2, "nobody is a member yet"),
    ("console/invited.rs", 3, "nobody is a member yet"),
    ("console/linked.rs", 2, "of a person, wherever they belong"),
    ("console/list.rs", 1, "requests for deletion that came from elsewhere and cover something there"),
    ("console/own_sessions.rs", 3, "of a person, wherever they belong"),
    ("console/profile.rs", 7, "of a person, wherever they belong"),
    ("console/retired.rs", 1, "of a session, wherever its person belongs"),
    ("console/rights.rs", 1, "requests for deletion that came from elsewhere and cover something there"),
    ("console/seat.rs", 2, "finds out where somebody belongs, and what their session opens"),
    ("console/session.rs", 1, "of a person, wherever they belong"),
    ("console/sign_in.rs", 4, "nobody is signed in yet, or any more"),
    ("console/sure.rs", 1, "of a person, wherever they belong"),
    ("deletion.rs", 3, "what is known of a person is looked for wherever it is"),
    ("intake/deletions.rs", 3, "what is known of a person is looked for wherever it is; public keys"),
    ("intake/exports.rs", 1, "what is known of a person is looked for wherever it is"),
    ("intake/health.rs", 2, "the house's own"),
    ("intake/inbound.rs", 1, "whoever writes belongs nowhere"),
    ("intake/passes.rs", 1, "public keys"),
    ("intake/webhooks.rs", 3, "networks tell of their accounts, wherever those are connected"),
    ("mod.rs", 1, "binds it"),
    ("privacy.rs", 7, "whoever asks there belongs nowhere"),
    ("privacy/exports.rs", 3, "whoever has the link belongs nowhere"),
    ("pulls.rs", 1, "networks fetch files by an address of ours"),
    ("report/mod.rs", 1, "finds out whose report a link opens; its numbers are asked of a bound one"),
];

/// A door to a workspace that has an account, a file and a post, as another one has; the other one's id.
async fn two() -> (Door, Uuid) {
    let mut door = Door::open().await;
    furnish(&door, door.workspace).await;
    let other = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    let key = door.key_for(Some(other), Scope::ALL).await;
    let own = std::mem::replace(&mut door.key, key);
    furnish(&door, other).await;
    door.key = own;
    (door, other)
}

/// Puts something into the workspace that the door's key opens.
async fn furnish(door: &Door, workspace: Uuid) {
    let account = door.account_of(workspace, "facebook_page", &json!({})).await;
    let file = door.upload("a.jpg", &jpeg(40, 40)).await.json()["id"].clone();
    let post =
        json!({ "caption": "Opening day", "media_ids": [file], "targets": [{ "account_id": account }] });
    let answer = door.post(&post).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
}

/// A connection like one of web's, bound to a workspace or to nothing.
async fn as_web(scratch: &Scratch, workspace: Option<Uuid>) -> PgConnection {
    let mut connection = scratch.connection().await;
    let become_web = "SELECT set_config('role', current_database() || '_web', false), \
                             set_config('app.workspace', $1, false)";
    let bound = workspace.as_ref().map(ToString::to_string).unwrap_or_default();
    sqlx::query(become_web).bind(bound).execute(&mut connection).await.expect("it is so");
    connection
}

async fn number(connection: &mut PgConnection, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await.expect("a number")
}

async fn text(connection: &mut PgConnection, query: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await.expect("a text")
}

/// How many rows a statement changed.
async fn changed(connection: &mut PgConnection, statement: &str) -> u64 {
    connection.execute(AssertSqlSafe(statement)).await.expect("it runs").rows_affected()
}

/// Whether a statement is refused by row security.
async fn is_refused(connection: &mut PgConnection, statement: &str) -> bool {
    match connection.execute(AssertSqlSafe(statement)).await {
        Ok(_) => false,
        Err(error) => {
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
            true
        }
    }
}

#[tokio::test]
async fn a_statement_that_names_no_workspace_sees_nothing_of_another() {
    // P-A5
    let (door, _) = two().await;
    let mut bound = as_web(&door.scratch, Some(door.workspace)).await;
    let mut unbound = as_web(&door.scratch, None).await;
    for query in [
        "SELECT count(*) FROM workspace",
        "SELECT count(DISTINCT workspace_id) FROM api_key",
        "SELECT count(DISTINCT workspace_id) FROM account",
        "SELECT count(DISTINCT workspace_id) FROM media",
        "SELECT count(DISTINCT workspace_id) FROM post",
        "SELECT count(DISTINCT workspace_id) FROM publication",
        "SELECT count(DISTINCT workspace_id) FROM job",
        "SELECT count(*) FROM post_media",
        "SELECT count(*) FROM publication_content",
    ] {
        let seen = (number(&mut bound, query).await, number(&mut unbound, query).await);
        assert_eq!(seen, (1, 2), "{query}");
    }
}

#[tokio::test]
async fn a_statement_that_names_no_workspace_changes_nothing_of_another() {
    let (door, other) = two().await;
    let mut bound = as_web(&door.scratch, Some(door.workspace)).await;
    let mut unbound = as_web(&door.scratch, None).await;
    for statement in [
        "UPDATE post SET caption = 'taken over'",
        "UPDATE account SET name = 'taken over'",
        "UPDATE post_media SET position = position + 1",
        "DELETE FROM publication_content",
        "DELETE FROM job",
    ] {
        assert_eq!(changed(&mut bound, statement).await, 1, "{statement}");
    }
    let theirs = format!("SELECT caption FROM post WHERE workspace_id = '{other}'");
    assert_eq!(text(&mut unbound, &theirs).await, "Opening day");
    for table in ["publication_content", "job"] {
        assert_eq!(number(&mut unbound, &format!("SELECT count(*) FROM {table}")).await, 1, "{table}");
    }
}

#[tokio::test]
async fn nothing_is_added_to_another_workspace_nor_moved_there() {
    let (door, other) = two().await;
    let mut bound = as_web(&door.scratch, Some(door.workspace)).await;
    let mut unbound = as_web(&door.scratch, None).await;
    let of = |table: &str| format!("SELECT id::text FROM {table} WHERE workspace_id = '{other}'");
    let (post, file) = (text(&mut unbound, &of("post")).await, text(&mut unbound, &of("media")).await);
    let publication = text(&mut unbound, &of("publication")).await;
    let upload = |workspace: Uuid| {
        format!(
            "INSERT INTO upload (id, workspace_id, object_key, name, type, bytes) \
             VALUES (gen_random_uuid(), '{workspace}', gen_random_uuid()::text, 'a.jpg', 'image/jpeg', 1)"
        )
    };
    for statement in [
        upload(other),
        format!("UPDATE account SET workspace_id = '{other}'"),
        format!("INSERT INTO post_media (post_id, position, media_id) VALUES ('{post}', 7, '{file}')"),
        format!("INSERT INTO approval (post_id) VALUES ('{post}')"),
        format!("INSERT INTO publication_check (publication_id, findings) VALUES ('{publication}', '[]')"),
        "INSERT INTO workspace (id, name) VALUES (gen_random_uuid(), 'Baker')".to_owned(),
    ] {
        assert!(is_refused(&mut bound, &statement).await, "{statement}");
    }
    for mut allowed in [bound, unbound] {
        assert!(!is_refused(&mut allowed, &upload(door.workspace)).await);
    }
}

/// Tells, shares and counts something of a workspace that is furnished: a row in each table for that.
async fn tell_and_share(door: &Door, workspace: Uuid, person: Uuid) {
    let account = format!("(SELECT id FROM account WHERE workspace_id = '{workspace}')");
    for statement in [
        format!(
            "INSERT INTO webhook (id, workspace_id, url, events) \
             VALUES (gen_random_uuid(), '{workspace}', 'https://hooks.example.org/', '{{post.failed}}')"
        ),
        format!("SELECT tell_webhooks('{workspace}', 'post.failed', NULL, NULL, {account}, NULL)"),
        format!(
            "INSERT INTO report (id, workspace_id, digest, title, language, days, created_by, expires_at) \
             VALUES (gen_random_uuid(), '{workspace}', sha256('{workspace}'), 'Autumn', 'en', 7, '{person}', \
                     ledger_now() + interval '1 day')"
        ),
        format!(
            "INSERT INTO report_account (report_id, account_id) \
             SELECT id, {account} FROM report WHERE workspace_id = '{workspace}'"
        ),
        format!(
            "INSERT INTO ad_object (workspace_id, account_id, level, remote_id) \
             VALUES ('{workspace}', {account}, 'campaign', '1')"
        ),
        format!(
            "INSERT INTO ad_day (captured_at, object, day, numbers) \
             SELECT ledger_now(), number, '2026-11-01', '{{}}' FROM ad_object WHERE workspace_id = '{workspace}'"
        ),
        format!(
            "INSERT INTO metric_plan (workspace_id, account_id, object, since, due_at) \
             VALUES ('{workspace}', {account}, 'account', ledger_now(), ledger_now())"
        ),
        format!(
            "INSERT INTO snapshot_spread (captured_at, object, metric, said) \
             SELECT ledger_now(), number, 104, 'nothing' FROM metric_plan WHERE workspace_id = '{workspace}'"
        ),
        format!(
            "INSERT INTO ending_told (account_id, because, ends_at) VALUES ({account}, 'token', ledger_now())"
        ),
        format!(
            "INSERT INTO deletion_request (id, origin, code_digest, workspace_id) \
             VALUES (gen_random_uuid(), 'staff', sha256('{workspace}'), '{workspace}')"
        ),
        format!(
            "INSERT INTO deletion_draft (request_id, account_id, handle_kind, handle_id) \
             SELECT id, {account}, 'container', '1' FROM deletion_request WHERE workspace_id = '{workspace}'"
        ),
    ] {
        door.scratch.run(&statement).await;
    }
}

/// Two of which both have told, shared and counted something; the other one's id, and somebody of ours.
async fn two_that_tell() -> (Door, Uuid, Uuid) {
    let (door, other) = two().await;
    let person = door.person("noa@example.org", MemberRole::Admin).await;
    tell_and_share(&door, door.workspace, person).await;
    tell_and_share(&door, other, person).await;
    (door, other, person)
}

#[tokio::test]
async fn what_is_told_shared_and_counted_is_seen_and_changed_in_its_workspace_alone() {
    // P-A5
    let (door, _, _) = two_that_tell().await;
    let mut bound = as_web(&door.scratch, Some(door.workspace)).await;
    let mut unbound = as_web(&door.scratch, None).await;
    for table in [
        "webhook",
        "event",
        "delivery",
        "report",
        "report_account",
        "ad_object",
        "ad_day",
        "snapshot_spread",
        "ending_told",
        "deletion_draft",
    ] {
        let query = format!("SELECT count(*) FROM {table}");
        let seen = (number(&mut bound, &query).await, number(&mut unbound, &query).await);
        assert_eq!(seen, (1, 2), "{table}");
    }
    for statement in [
        "UPDATE report SET taken_back_at = ledger_now()",
        "UPDATE delivery SET state = 'failed'",
        "DELETE FROM report_account",
        "DELETE FROM ending_told",
        "DELETE FROM webhook",
    ] {
        assert_eq!(changed(&mut bound, statement).await, 1, "{statement}");
    }
    // what was sent to the webhook that is gone has gone with it
    for table in ["webhook", "delivery", "report_account", "ending_told"] {
        assert_eq!(number(&mut unbound, &format!("SELECT count(*) FROM {table}")).await, 1, "{table}");
    }
}

#[tokio::test]
async fn what_happens_is_told_within_its_workspace_and_nothing_is_told_or_shared_in_another() {
    let (door, other, _) = two_that_tell().await;
    let mut bound = as_web(&door.scratch, Some(door.workspace)).await;
    let mut unbound = as_web(&door.scratch, None).await;
    let tell = |workspace: Uuid| {
        format!("SELECT tell_webhooks('{workspace}', 'post.failed', NULL, NULL, NULL, NULL)")
    };
    // an event, what goes to its webhook and the job for that are added in one statement
    assert!(!is_refused(&mut bound, &tell(door.workspace)).await);
    assert_eq!(number(&mut bound, "SELECT count(*) FROM delivery").await, 2);
    // whoever wants to hear of it elsewhere is not found
    assert!(!is_refused(&mut bound, &tell(other)).await);
    assert_eq!(number(&mut unbound, "SELECT count(*) FROM delivery").await, 3);
    let of = |table: &str| format!("SELECT id::text FROM {table} WHERE workspace_id = '{other}'");
    let (webhook, event) = (text(&mut unbound, &of("webhook")).await, text(&mut unbound, &of("event")).await);
    let (report, account) =
        (text(&mut unbound, &of("report")).await, text(&mut unbound, &of("account")).await);
    for statement in [
        format!(
            "INSERT INTO webhook (id, workspace_id, url, events) \
             VALUES (gen_random_uuid(), '{other}', 'https://hooks.example.org/', '{{post.failed}}')"
        ),
        format!(
            "INSERT INTO event (id, workspace_id, type) VALUES (gen_random_uuid(), '{other}', 'post.failed')"
        ),
        format!(
            "INSERT INTO delivery (id, event_id, webhook_id, job_id) \
             VALUES (gen_random_uuid(), '{event}', '{webhook}', gen_random_uuid())"
        ),
        format!("INSERT INTO report_account (report_id, account_id) VALUES ('{report}', '{account}')"),
        format!("UPDATE report SET workspace_id = '{other}'"),
    ] {
        assert!(is_refused(&mut bound, &statement).await, "{statement}");
    }
}

#[tokio::test]
async fn nothing_is_put_into_the_vault_for_another_workspace() {
    let (door, other, person) = two_that_tell().await;
    let mut bound = as_web(&door.scratch, Some(door.workspace)).await;
    let mut unbound = as_web(&door.scratch, None).await;
    for (workspace, kept) in [(other, "false"), (door.workspace, "true")] {
        let begin = format!(
            "INSERT INTO connection (id, workspace_id, person_id, platform, state_digest, session_digest, redirect_uri, \
                                     expires_at) \
             VALUES (gen_random_uuid(), '{workspace}', '{person}', 'tiktok', sha256('{workspace}'), '', '', \
                     ledger_now() + interval '1 hour')"
        );
        assert_eq!(changed(&mut unbound, &begin).await, 1);
        let of = |table: &str| format!("SELECT id::text FROM {table} WHERE workspace_id = '{workspace}'");
        let webhook = text(&mut unbound, &of("webhook")).await;
        let connection = text(&mut unbound, &of("connection")).await;
        for put in [
            format!(
                "SELECT keep_webhook_secret('{webhook}', gen_random_uuid(), 'key', '', interval '1 day')::text"
            ),
            format!(
                "SELECT coalesce(keep_connection_secret('{connection}', 'code', 'key', ''), false)::text"
            ),
        ] {
            assert_eq!(text(&mut bound, &put).await, kept, "{put}");
        }
    }
    for table in ["webhook_secret", "connection_secret"] {
        assert_eq!(door.scratch.number(&format!("SELECT count(*) FROM vault.{table}")).await, 1, "{table}");
    }
}

#[tokio::test]
async fn a_bound_ledger_finds_nothing_of_another_workspace_whatever_it_is_asked_for() {
    let (door, other) = two().await;
    let (own, ledger) = (door.workspace, &door.scratch.ledger);
    let key = ledger.api_keys(Some(own)).await.expect("it answers")[0].id;
    // a shell's revocation, which names no workspace
    assert_eq!(ledger.within(other).revoke_api_key(None, key).await.expect("it answers"), None);
    assert_eq!(ledger.within(own).revoke_api_key(None, key).await.expect("it answers"), Some(true));
    assert!(ledger.within(other).accounts(own, None, 10).await.expect("it answers").is_empty());
    ledger.within(own).add_workspace("Baker").await.expect_err("that is another one");
    assert!(ledger.is_kept_apart().await.expect("it answers"));
    let owner = Ledger::open(&door.scratch.url, Role::Owner, 1).expect("an address");
    assert!(!owner.is_kept_apart().await.expect("it answers"), "nothing is hidden from the owner");
    owner.close().await;
}

/// How many jobs there are, asked in a transaction that names no workspace.
async fn jobs(ledger: &Ledger) -> usize {
    ledger.jobs(&JobFilter::default(), 10, PATIENCE).await.expect("it answers").len()
}

/// How many accounts there are of this workspace, asked in a statement by itself.
async fn accounts(ledger: &Ledger, workspace: Uuid) -> usize {
    ledger.accounts(workspace, None, 10).await.expect("it answers").len()
}

#[tokio::test]
async fn requests_of_two_workspaces_take_turns_on_one_connection_and_each_sees_its_own() {
    let (door, other) = two().await;
    let own = door.workspace;
    let unbound = Ledger::open(&door.scratch.url, Role::Web, 1).expect("an address");
    let (ours, theirs) = (unbound.within(own), unbound.within(other));
    for _ in 0..20 {
        let seen = tokio::join!(
            accounts(&ours, own),
            accounts(&theirs, own),
            jobs(&unbound),
            accounts(&theirs, other),
            jobs(&ours),
            accounts(&unbound, own),
            accounts(&ours, other),
            accounts(&unbound, other),
        );
        assert_eq!(seen, (1, 0, 2, 1, 1, 1, 0, 1));
    }
    unbound.close().await;
}

#[tokio::test]
async fn an_error_leaves_a_connection_bound_to_nothing() {
    let (door, other) = two().await;
    let unbound = Ledger::open(&door.scratch.url, Role::Web, 1).expect("an address");
    for _ in 0..3 {
        unbound.within(other).add_workspace("Baker").await.expect_err("that is another one");
        assert_eq!((jobs(&unbound).await, accounts(&unbound, door.workspace).await), (2, 1));
    }
    unbound.close().await;
}

/// Goes on with it for so many turns and then drops it; says whether it was over.
async fn cut_short(work: impl Future, turns: usize) -> bool {
    let mut work = std::pin::pin!(work);
    for _ in 0..turns {
        if std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_ready())).await {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test]
async fn a_request_that_is_dropped_anywhere_leaves_a_connection_bound_to_nothing() {
    let (door, other) = two().await;
    let unbound = Ledger::open(&door.scratch.url, Role::Web, 1).expect("an address");
    let bound = unbound.within(other);
    let mut turns = 0;
    loop {
        let statement = cut_short(accounts(&bound, other), turns).await;
        assert_eq!(accounts(&unbound, door.workspace).await, 1, "a statement dropped after {turns} turns");
        let transaction = cut_short(jobs(&bound), turns).await;
        // a statement by itself stands once it is answered: the transaction is not still open around it
        unbound.add_workspace(&format!("Baker {turns}")).await.expect("it is added");
        let added = format!("SELECT count(*) FROM workspace WHERE name = 'Baker {turns}'");
        assert_eq!(door.scratch.number(&added).await, 1, "a transaction dropped after {turns} turns");
        assert_eq!(jobs(&unbound).await, 2, "a transaction dropped after {turns} turns");
        if statement && transaction {
            break;
        }
        turns += 1 + turns / 8;
    }
    unbound.close().await;
}

/// The captions that a key is shown, each with its post's id.
async fn shown(door: &Door, key: &str) -> Vec<String> {
    let request = axum::http::Request::get("/api/v1/posts").header("authorization", format!("Bearer {key}"));
    let answer = door.send(request.body(axum::body::Body::empty()).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let posts = answer.json()["data"].as_array().cloned().expect("a list");
    posts.iter().map(|post| format!("{} {}", post["caption"], post["id"])).collect()
}

#[tokio::test]
async fn two_workspaces_at_a_door_with_one_connection_see_their_own_even_where_one_hangs_up() {
    let (mut door, other) = two().await;
    let theirs = door.key_for(Some(other), Scope::ALL).await;
    let ours = door.key.clone();
    let (own, foreign) = (shown(&door, &ours).await, shown(&door, &theirs).await);
    assert!(own.len() == 1 && foreign.len() == 1 && own != foreign, "{own:?} {foreign:?}");
    let one = Ledger::open(&door.scratch.url, Role::Web, 1).expect("an address");
    let (shelf, hints) = (Arc::clone(&door.shelf), Arc::clone(&door.hints));
    door.router = web::router(house(&one, "http://localhost:3000/", shelf, hints));
    for turns in (0..400).step_by(40) {
        cut_short(shown(&door, &theirs), turns).await;
        let seen = tokio::join!(shown(&door, &ours), shown(&door, &theirs));
        assert_eq!((&seen.0, &seen.1), (&own, &foreign), "after {turns} turns");
    }
    one.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn web_says_at_its_start_that_one_role_serves_all() {
    let mut system = System::start().await;
    let pool = system.database.pool.clone();
    let name: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&pool).await.expect("a name");
    let hide = format!("ALTER ROLE {name}_web RENAME TO {name}_nobody");
    pool.execute(AssertSqlSafe(hide)).await.expect("it is renamed");
    system.web.as_mut().expect("it runs").kill9().await;
    system.start_web().await;
    eventually("its word of that", || async {
        let log = system.web.as_ref().map(Process::log).unwrap_or_default();
        if log.contains("row security does not bind this role") { Ok(()) } else { Err(log) }
    })
    .await;
}

#[tokio::test]
async fn every_table_is_kept_apart_or_says_why_not() {
    let scratch = Scratch::new().await;
    let mut owner = scratch.connection().await;
    let open = "SELECT c.relname::text FROM pg_class c \
                WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
                  AND NOT (c.relrowsecurity AND 2 = (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid \
                                                       AND p.polname IN ('of_workspace', 'of_worker')))";
    let open: Vec<String> = sqlx::query_scalar(open).fetch_all(&mut owner).await.expect("names");
    let open: BTreeSet<&str> = open.iter().map(String::as_str).collect();
    let listed: BTreeSet<&str> = OPEN.iter().map(|(table, _)| *table).collect();
    assert_eq!(open, listed, "a table's migration calls keep_apart(), or its reason stands here");
    let named = "SELECT table_name::text FROM information_schema.columns \
                 WHERE table_schema = 'public' AND column_name = 'workspace_id'";
    let named: Vec<String> = sqlx::query_scalar(named).fetch_all(&mut owner).await.expect("names");
    assert!(named.len() > 20, "{named:?}");
    for table in named {
        assert!(!open.contains(table.as_str()), "{table} names its workspace and is not kept apart");
    }
}

#[test]
fn the_door_asks_an_unbound_ledger_only_for_what_is_of_no_workspace() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
    let mut found = BTreeMap::new();
    for path in sources(&folder) {
        let inside = path.strip_prefix(&folder).expect("it is in there").to_string_lossy().into_owned();
        let text: String = fs::read_to_string(&path).unwrap_or_default().split_whitespace().collect();
        let times = text.matches("house.ledger").count();
        if times > 0 {
            found.insert(inside, times);
        }
    }
    let listed: BTreeMap<String, usize> =
        UNBOUND.iter().map(|(file, times, _)| ((*file).to_owned(), *times)).collect();
    assert_eq!(found, listed, "a route's caller or seat has a ledger that is bound to its workspace");
}
