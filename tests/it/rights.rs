//! What people may ask about their data besides its deletion: that it is right, and that it is not used for what they do not
//! want.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use postroom::ledger::people::MemberRole;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::{
    console::Browser,
    deletions::{deleted, done, verified},
    harness::{FACEBOOK, System, eventually},
    support::{Answer, Door},
};

async fn ask(door: &Door, path: &str, body: &Value) -> Answer {
    let request = door.request(&Method::POST, path).header("content-type", "application/json");
    door.send(request.body(Body::from(body.to_string())).unwrap()).await
}

async fn actions(door: &Door, action: &str) -> Vec<(String, Value)> {
    let rows = door.scratch.ledger.audit_entries(None, 100).await.unwrap();
    let rows = rows.into_iter().filter(|row| row.action == action);
    rows.map(|row| (row.actor, serde_json::from_str(&row.detail).unwrap())).collect()
}

#[tokio::test]
async fn consent_is_withdrawn_at_the_console_and_by_the_api_and_given_again_and_each_is_written_down() {
    // P-D4
    let door = Door::open().await;
    let given = async || {
        let told = door.get("/api/v1/privacy/consents").await.json();
        let of = |it: &Value| (it["purpose"].as_str().unwrap().to_owned(), it["given"].as_bool().unwrap());
        told["data"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let both = |ai: bool, numbers: bool| vec![("ai".to_owned(), ai), ("analytics".to_owned(), numbers)];
    assert_eq!(given().await, both(true, true), "it comes with the contract");
    let withdrawal = json!({ "kind": "withdrawal", "purpose": "analytics" });
    let answer = ask(&door, "/api/v1/privacy/requests", &withdrawal).await;
    assert_eq!((answer.status, &answer.json()["given"]), (StatusCode::ACCEPTED, &json!(false)));
    let again = ask(&door, "/api/v1/privacy/requests", &withdrawal).await;
    assert_eq!(again.json(), answer.json(), "twice is once");
    assert_eq!(given().await, both(true, false));
    let mut browser = Browser::of(&door, MemberRole::Privacy).await;
    let page = browser.get("/privacy").await;
    assert!(page.text.contains("Withdrawn") && page.text.contains("Give again"), "{}", page.text);
    let token = browser.token.clone();
    for (purpose, wanted) in [("ai", "no"), ("analytics", "yes")] {
        let fields = [("token", token.as_str()), ("purpose", purpose), ("given", wanted)];
        assert_eq!(browser.form("/privacy/consents", &fields).await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(given().await, both(false, true));
    let other = [("token", token.as_str()), ("purpose", "advertising"), ("given", "yes")];
    assert_eq!(browser.form("/privacy/consents", &other).await.status, StatusCode::NOT_FOUND);
    let wrong = json!({ "purpose": "ai" });
    let wrong = ask(&door, "/api/v1/privacy/consents", &wrong).await;
    assert_eq!(wrong.only_finding(), ("given".to_owned(), "required".to_owned()));
    let (ai, numbers) = (json!({ "purpose": "ai" }), json!({ "purpose": "analytics" }));
    let withdrawn = actions(&door, "consent_withdrawn").await;
    assert_eq!(withdrawn, vec![("person".to_owned(), ai), ("key".to_owned(), numbers.clone())]);
    assert_eq!(actions(&door, "consent_given").await, vec![("person".to_owned(), numbers)]);
    let florist = door.scratch.ledger.add_workspace("Florist").await.unwrap();
    let theirs = door.scratch.ledger.consents(florist).await.unwrap();
    assert!(theirs.iter().all(|it| it.withdrawn_at.is_none()), "nobody else's is touched");
}

async fn snapshot(system: &System) -> (u16, Value) {
    let path = format!("/api/v1/accounts/{}/snapshot", system.account(FACEBOOK));
    system.api(Method::POST, &path, None).await
}

async fn insights_asked(system: &System) -> usize {
    let calls = system.control("calls").await;
    calls["data"].as_array().unwrap().iter().filter(|it| it["call"].to_string().contains("insights")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_purpose_was_withdrawn_is_refused_and_nothing_leaves() {
    // P-D4
    let mut system = System::start().await;
    // asked for while it was given, and claimed after it was not
    assert_eq!(snapshot(&system).await.0, 202);
    let consents = "/api/v1/privacy/consents";
    let withdrawn = json!({ "purpose": "analytics", "given": false });
    assert_eq!(system.api(Method::POST, consents, Some(&withdrawn)).await.0, 200);
    let before = insights_asked(&system).await;
    system.start_worker(&[]);
    eventually("the refusal", || async {
        let refused = "SELECT count(*) FROM job_history WHERE kind = 'metric_snapshot' AND outcome = 'failed'
                         AND reason LIKE 'consent_withdrawn:%'";
        if system.database.count(refused).await == 1 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    let (status, answer) = snapshot(&system).await;
    assert_eq!(status, 409, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("withdrawn its consent"), "{answer}");
    // what is due of it makes no job, while another workspace's does
    let due = "SELECT count(*) FROM metric_plan WHERE due_at <= ledger_now()";
    assert!(system.database.count(due).await > 0);
    assert_eq!(system.database.count("SELECT count(*) FROM job WHERE kind = 'metric_snapshot'").await, 0);
    assert_eq!(insights_asked(&system).await, before, "the network was not asked");
    assert_eq!(system.database.count("SELECT count(*) FROM snapshot").await, 0);
    // posts go out as before
    let post = system.post("as ever", &[FACEBOOK]).await;
    system.all_live_once(&[post]).await;
    let given = json!({ "purpose": "analytics", "given": true });
    assert_eq!(system.api(Method::POST, consents, Some(&given)).await.0, 200);
    assert_eq!(snapshot(&system).await.0, 202);
    eventually("what the network has counted", || async {
        let snapshots = system.database.count("SELECT count(*) FROM snapshot").await;
        if snapshots > 0 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
}

/// The link of the last letter to this address.
async fn link(door: &Door, to: &str) -> String {
    let (_, body) = door.letters(to).await.into_iter().next().unwrap();
    let link = body.split_whitespace().find(|word| word.starts_with("http")).unwrap();
    link.trim_start_matches("http://localhost:3000").to_owned()
}

async fn person(door: &Door, email: &str) -> i64 {
    door.scratch.number(&format!("SELECT count(*) FROM person WHERE email = '{email}'")).await
}

#[tokio::test]
async fn somebody_corrects_their_name_at_once_and_their_address_by_a_link_that_is_sent_there() {
    // P-D2
    let door = Door::open().await;
    let id = door.person("old@example.org", MemberRole::Viewer).await;
    door.person("taken@example.org", MemberRole::Viewer).await;
    let account = door.account(FACEBOOK).await;
    let connected = format!(
        "UPDATE account SET connected_by = '{id}', subject_email = 'Old@example.org' WHERE id = '{account}'"
    );
    door.scratch.run(&connected).await;
    let mut browser = Browser::signed_in(&door, "old@example.org").await;
    let token = browser.token.clone();
    let name = [("token", token.as_str()), ("first_name", " Noa  Maria "), ("last_name", "Bar")];
    assert_eq!(browser.form("/profile/name", &name).await.status, StatusCode::SEE_OTHER);
    let page = browser.get("/profile?done=name").await;
    assert!(page.text.contains("Noa Maria") && page.text.contains("Your name is corrected"), "{}", page.text);
    let nameless = [("token", token.as_str()), ("first_name", " "), ("last_name", "Bar")];
    assert_eq!(browser.form("/profile/name", &nameless).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let wish = |email: &'static str, password: &'static str| {
        vec![("token", token.clone()), ("email", email.to_owned()), ("password", password.to_owned())]
    };
    let mut send = async |fields: Vec<(&str, String)>| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.form("/profile/email", &fields).await
    };
    assert_eq!(send(wish("new@example.org", "guessed")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let somebodys = send(wish("taken@example.org", "open sesame")).await;
    let free = send(wish("New@example.org", "open sesame")).await;
    assert_eq!((somebodys.status, somebodys.header("location")), (free.status, free.header("location")));
    let letters = "SELECT count(*) FROM mail WHERE to_address = 'taken@example.org'";
    assert_eq!(door.scratch.number(letters).await, 0, "nobody else is written to");
    let path = link(&door, "new@example.org").await;
    let mut elsewhere = Browser::fresh(&door);
    let asked = elsewhere.get(&path).await;
    assert!(asked.text.contains("new@example.org"), "{}", asked.text);
    assert_eq!(person(&door, "new@example.org").await, 0, "programs open links too");
    assert_eq!(elsewhere.form(&path, &[("token", "x")]).await.status, StatusCode::FORBIDDEN);
    let token = crate::console::hidden(&asked.text, "token");
    assert_eq!(elsewhere.form(&path, &[("token", &token)]).await.status, StatusCode::OK);
    assert_eq!((person(&door, "new@example.org").await, person(&door, "old@example.org").await), (1, 0));
    assert_eq!(elsewhere.form(&path, &[("token", &token)]).await.status, StatusCode::GONE, "it is good once");
    let told = door.letters("old@example.org").await;
    assert!(told.len() == 1 && told[0].1.contains("another address"), "the old address is told: {told:?}");
    let known = "SELECT count(*) FROM account WHERE subject_email = 'new@example.org'";
    assert_eq!(door.scratch.number(known).await, 1, "also where they connected accounts");
    let mut anew = Browser::fresh(&door);
    assert_eq!(anew.sign_in("new@example.org", "open sesame").await.status, StatusCode::SEE_OTHER);
    let corrected = actions(&door, "person_corrected").await;
    let by_them = |what: &str| ("person".to_owned(), json!({ "what": what }));
    assert_eq!(corrected, vec![by_them("email"), by_them("name")]);
    assert!(!format!("{corrected:?}").contains("example.org"), "of what to what is not written");
}

#[tokio::test]
async fn a_link_to_an_address_that_became_somebody_elses_or_is_a_day_old_changes_nothing() {
    // P-D2
    let door = Door::open().await;
    door.person("dana@example.org", MemberRole::Admin).await;
    let correction =
        json!({ "kind": "correction", "email": "Dana@example.org", "new_email": "d@example.org" });
    let asked = ask(&door, "/api/v1/privacy/requests", &correction).await;
    assert_eq!((asked.status, &asked.json()["state"]), (StatusCode::ACCEPTED, &json!("confirming")));
    let path = link(&door, "d@example.org").await;
    let mut browser = Browser::fresh(&door);
    let token = crate::console::hidden(&browser.get(&path).await.text, "token");
    let other = door.person("d@example.org", MemberRole::Viewer).await;
    assert_eq!(browser.form(&path, &[("token", &token)]).await.status, StatusCode::GONE);
    assert_eq!(person(&door, "dana@example.org").await, 1);
    door.scratch.run(&format!("DELETE FROM person WHERE id = '{other}'")).await;
    ask(&door, "/api/v1/privacy/requests", &correction).await;
    let path = link(&door, "d@example.org").await;
    door.scratch.run("UPDATE email_change SET expires_at = ledger_now()").await;
    assert_eq!(browser.get(&path).await.status, StatusCode::GONE);
    // who is of another workspace too is not one workspace's to correct, and another's is not known
    let florist = door.scratch.ledger.add_workspace("Florist").await.unwrap();
    let both = door.person("both@example.org", MemberRole::Viewer).await;
    door.scratch.ledger.add_membership(both, florist, MemberRole::Viewer).await.unwrap();
    for email in ["both@example.org", "nobody@example.org"] {
        let wish = json!({ "kind": "correction", "email": email, "first_name": "A", "last_name": "B" });
        assert_eq!(ask(&door, "/api/v1/privacy/requests", &wish).await.status, StatusCode::NOT_FOUND);
    }
    let named =
        json!({ "kind": "correction", "email": "dana@example.org", "first_name": "A", "last_name": "B" });
    let named = ask(&door, "/api/v1/privacy/requests", &named).await;
    assert_eq!((named.status, &named.json()["state"]), (StatusCode::ACCEPTED, &json!("done")));
    let renamed = "SELECT count(*) FROM person WHERE email = 'dana@example.org' AND first_name = 'A'";
    assert_eq!(door.scratch.number(renamed).await, 1);
}

/// Every table, but those that tell of the deletion itself and the audit, which names things by our own ids alone.
async fn tables(system: &System) -> Vec<String> {
    let all =
        "SELECT n.nspname || '.' || k.relname FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace
               WHERE k.relkind IN ('r', 'p') AND NOT k.relispartition AND n.nspname IN ('public', 'vault')
                 AND k.relname NOT LIKE 'deletion%' AND k.relname NOT LIKE 'audit%' ORDER BY 1";
    sqlx::query_scalar(all).fetch_all(&system.database.pool).await.unwrap()
}

/// The tables that name one of these anywhere.
async fn naming(system: &System, names: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for table in tables(system).await {
        let query = format!(
            "SELECT count(*) FROM {table} t WHERE EXISTS (SELECT FROM unnest($1::text[]) AS n (name)
                                                          WHERE strpos(t::text, n.name) > 0)"
        );
        let many: i64 = sqlx::query_scalar(AssertSqlSafe(query))
            .bind(names)
            .fetch_one(&system.database.pool)
            .await
            .unwrap();
        if many > 0 {
            found.push(table);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn of_posts_and_their_numbers_nothing_stays_but_counts_that_lead_back_to_nobody() {
    // P-D11
    let system = System::with_workers(1).await;
    let post = system.post("counted", &[FACEBOOK]).await;
    let published = system.until(&post, "published").await;
    let path = format!("/api/v1/accounts/{}/snapshot", system.account(FACEBOOK));
    assert_eq!(system.api(Method::POST, &path, None).await.0, 202);
    eventually("what the network counted, and that the post is followed", || async {
        let counted = system.database.count("SELECT count(*) FROM snapshot").await;
        let followed =
            system.database.count("SELECT count(*) FROM metric_plan WHERE publication_id IS NOT NULL").await;
        if counted > 0 && followed > 0 {
            Ok(())
        } else {
            Err(format!("{counted} counted, {followed} followed"))
        }
    })
    .await;
    let publication = &published["publications"][0];
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let names =
        [post, word(&publication["id"]), word(&publication["remote_id"]), "104000000000001".to_owned()];
    let before = naming(&system, &names).await;
    for table in ["public.publication", "public.post", "public.account", "public.metric_plan"] {
        assert!(before.iter().any(|it| it == table), "{before:?}");
    }
    let (id, _) = deleted(&system, &["--account", system.account(FACEBOOK)]).await;
    let receipt = verified(&system, &done(&system, &id).await).await;
    assert_eq!(naming(&system, &names).await, Vec::<String>::new());
    assert_eq!(
        system.database.count("SELECT count(*) FROM snapshot").await,
        0,
        "no number outlives what it is of"
    );
    // what stays is how much there was and when it went
    let told = receipt["stores"].as_array().unwrap();
    assert!(told.iter().any(|it| it["store"] == "snapshot" && it["erased"].as_i64() >= Some(1)), "{receipt}");
    for name in &names {
        assert!(!receipt.to_string().contains(name), "{name}: {receipt}");
    }
    let kept = "SELECT count(*) FROM deletion_step WHERE store NOT IN ('marking') AND erased > 0";
    assert!(system.database.count(kept).await > 3);
}
