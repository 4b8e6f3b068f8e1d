//! What people decide about publications that nobody could prove public or not: once, with a reason that is kept, and
//! never against the network's own evidence.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use jobs::failpoint::Point;
use postroom::ledger::{keys::Scope, origin::LedgerOrigin, people::MemberRole};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    console::{Browser, hidden},
    harness::{FACEBOOK, System, TIKTOK, eventually, film, picture},
    support::{Answer, Door},
};

/// Accepts a story of a picture, or of a film, and gives its post and its publication.
async fn story(system: &System, moves: bool) -> (String, String) {
    let media = if moves {
        system.upload("film.mp4", film()).await
    } else {
        system.upload("picture.jpg", picture()).await
    };
    let mut wish = system.wish("", &[FACEBOOK], &[media]);
    wish["kind"] = json!("story");
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&post["id"]), text(&post["publications"][0]["id"]))
}

async fn say(system: &System, publication: &str, word: Value) -> (u16, Value) {
    system.api(Method::POST, &format!("/api/v1/publications/{publication}/verdict"), Some(&word)).await
}

async fn retry(system: &System, post: &str) -> (u16, Value) {
    system.api(Method::POST, &format!("/api/v1/posts/{post}/retry"), None).await
}

async fn stories(system: &System) -> Vec<Value> {
    system.effects(FACEBOOK, "").await
}

/// The commit calls of all, by their verdicts, oldest first.
async fn commits(system: &System) -> Vec<Option<String>> {
    sqlx::query_scalar("SELECT verdict::text FROM remote_call WHERE kind = 'commit' ORDER BY seq")
        .fetch_all(&system.database.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_story_that_is_not_out_is_sent_once_more_when_a_person_says_so_and_wants_it_again() {
    let system = System::with_workers(1).await;
    for (n, moves) in [false, true].into_iter().enumerate() {
        system.fault(json!({ "call": "commit", "times": 1, "fault": "no_effect_then_drop" })).await;
        let (post, publication) = story(&system, moves).await;
        system.until(&post, "held").await;
        let (status, too_soon) = retry(&system, &post).await;
        assert_eq!(status, 409, "it is decided first: {too_soon}");

        let reason = "looked at the page at noon: it is not among its stories";
        let (status, failed) =
            say(&system, &publication, json!({ "published": false, "reason": reason })).await;
        assert_eq!((status, &failed["state"]), (202, &json!("failed")), "{failed}");
        assert_eq!(failed["error"]["code"], "not_published");
        assert!(failed["error"]["message"].as_str().unwrap().contains(reason), "{failed}");
        assert_eq!(failed["error"]["who_acts"], "staff", "who tries it again sends it again");
        assert_eq!(stories(&system).await.len(), n, "nothing is sent by a word alone");

        let (status, again) = retry(&system, &post).await;
        assert_eq!(status, 202, "{again}");
        let published = system.until(&post, "published").await;
        let out = stories(&system).await;
        assert_eq!(out.len(), n + 1, "exactly one more: {out:?}");
        assert_eq!(published["publications"][0]["remote_id"], out[n]["object_id"]);
        let verdicts = commits(&system).await;
        assert_eq!(verdicts[2 * n..], [Some("resolved_no".into()), Some("ok".into())], "{verdicts:?}");
        let told = system.postroom(&["explain", &publication], "").await;
        assert!(told.contains("decided by key, it is not public: looked at the page"), "{told}");
    }
    let handles = "SELECT count(DISTINCT handle_id) FROM remote_call WHERE kind = 'commit'";
    assert_eq!(system.database.count(handles).await, 4, "no handle was committed twice");
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_story_that_is_out_is_called_published_by_a_persons_word_and_never_sent_again() {
    let system = System::with_workers(1).await;
    // it is out, and no read shows it
    system.fault(json!({ "call": "commit", "fault": { "stale_read_ms": 3_600_000 } })).await;
    system.fault(json!({ "call": "commit", "fault": "effect_then_drop" })).await;
    let (first, publication) = story(&system, false).await;
    system.until(&first, "held").await;
    let permalink = stories(&system).await[0]["permalink"].clone();
    let elsewhere = json!({ "published": true, "permalink": "https://example.org/story" });
    let (status, refused) = say(&system, &publication, elsewhere).await;
    assert_eq!((status, &refused["errors"][0]["code"]), (422, &json!("permalink_host")), "{refused}");
    let word = json!({ "published": true, "permalink": permalink, "reason": "seen it on the page" });
    let (status, published) = say(&system, &publication, word).await;
    assert_eq!((status, &published["state"]), (202, &json!("published")), "{published}");
    assert_eq!((&published["permalink"], &published["error"]), (&permalink, &Value::Null));
    assert!(published["published_at"].is_string());

    // the shell says it likewise
    let (second, publication) = story(&system, false).await;
    system.until(&second, "held").await;
    let said = system.told(&["verdict", &publication, "--published"]).await;
    assert_eq!(said["state"], "published", "{said}");
    let again = ["verdict", &publication, "--not-published", "--reason", "cannot find it"];
    let (code, _, complaint) = system.try_postroom(&again, "").await;
    assert_eq!((code, complaint.contains("decided already")), (1, true), "{complaint}");
    assert!(complaint.contains("counts as published"), "{complaint}");

    for post in [&first, &second] {
        let (status, over) = retry(&system, post).await;
        assert_eq!(status, 409, "{over}");
        system.until(post, "published").await;
    }
    assert_eq!(commits(&system).await, [Some("resolved_yes".to_owned()), Some("resolved_yes".to_owned())]);
    assert_eq!(
        (stories(&system).await.len(), system.database.count("SELECT count(*) FROM job").await),
        (2, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sleeper_has_seen_outweighs_what_a_person_has_said_since() {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__PUBLISHING__EVIDENCE_LIMIT".into(), "2s".into());
    system.fault(json!({ "call": "commit", "times": 1, "fault": "effect_then_drop" })).await;
    // it reads that the story is out, and falls asleep before it can say so
    system.start_worker(&[(Point::AfterEvidence.word(), "stop")]);
    let (post, publication) = story(&system, false).await;
    system.until(&post, "confirming").await;
    eventually("the look at the stories", || async {
        let calls = system.control("calls").await;
        let looks = calls["data"].as_array().unwrap().iter().filter(|call| call["call"] == "stories").count();
        if looks >= 2 { Ok(()) } else { Err(format!("{looks} looks")) }
    })
    .await;
    system.fault(json!({ "call": "stories", "fault": { "read_error": true } })).await;
    system.start_worker(&[]);
    system.until(&post, "held").await;
    let word = json!({ "published": false, "reason": "nobody here can see it" });
    let (status, failed) = say(&system, &publication, word).await;
    assert_eq!((status, &failed["state"]), (202, &json!("failed")), "{failed}");

    let asleep = system.workers.remove(0);
    assert!(!asleep.log().contains("alarm A1"));
    asleep.signal("CONT").await;
    let published = system.until(&post, "published").await;
    assert_eq!(published["publications"][0]["error"], Value::Null);
    eventually("the alarm", || async {
        let log = asleep.log();
        if log.contains("alarm A1") { Ok(()) } else { Err(log) }
    })
    .await;
    assert_eq!(
        commits(&system).await,
        [Some("resolved_no".to_owned())],
        "a call that was judged keeps its verdict"
    );
    assert_eq!(stories(&system).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_wrong_decides_nothing() {
    let system = System::start().await;
    let nothing = "00000000-0000-7000-8000-000000000001";
    for args in [
        vec!["verdict", nothing],
        vec!["verdict", "42", "--published"],
        vec!["verdict", nothing, "--not-published"],
        vec!["verdict", nothing, "--published", "--not-published", "--reason", "x"],
        vec!["verdict", nothing, "--not-published", "--reason", "x", "--permalink", "https://facebook.com/1"],
    ] {
        assert_eq!(system.try_postroom(&args, "").await.0, 2, "{args:?}");
    }
    let (code, _, complaint) = system.try_postroom(&["verdict", nothing, "--published"], "").await;
    assert_eq!((code, complaint.contains("there is no publication")), (1, true), "{complaint}");
    let (_, publication) = story(&system, false).await;
    for (args, said) in [
        (vec!["--published"], "it is scheduled"),
        (
            vec!["--published", "--permalink", "https://example.org/1"],
            "--permalink: This address is not on Facebook",
        ),
        (vec!["--not-published", "--reason", " "], "--reason: Say why"),
    ] {
        let args = [&["verdict", publication.as_str()], &args[..]].concat();
        let (code, _, complaint) = system.try_postroom(&args, "").await;
        assert_eq!((code, complaint.contains(said)), (1, true), "{args:?}: {complaint}");
    }
}

/// A door behind which a post is held: sent, and nobody knows what became of it.
async fn held(caption: &str) -> (Door, String, Uuid) {
    let door = Door::open().await;
    let account = door.account(FACEBOOK).await;
    let wish = json!({ "caption": caption, "targets": [{ "account_id": account }] });
    let post = door.post(&wish).await.json();
    let publication = post["publications"][0]["id"].as_str().unwrap().parse().unwrap();
    doubt(&door).await;
    (door, post["id"].as_str().unwrap().to_owned(), publication)
}

/// As the reconciler leaves what it cannot prove.
async fn doubt(door: &Door) {
    door.scratch
        .run(
            "UPDATE publication SET state = 'held', hold_reason = 'the network shows no trace of it', handle_kind = 'draft',
                    handle_id = '104_7', handle_state = 'ready', armed_at = ledger_now() - interval '1 hour',
                    quarantine_until = ledger_now() - interval '59 minutes', public_url = NULL",
        )
        .await;
    door.scratch.run("DELETE FROM job").await;
    door.scratch.run("DELETE FROM remote_call").await;
    door.scratch
        .run(
            "INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind, handle_id,
                                      deadline_at, started_at, finished_at, verdict, remote_code, remote_message)
             SELECT gen_random_uuid(), id, account_id, id, 1, id, 'commit', handle_id, ledger_now(), armed_at, armed_at,
                    'ambiguous', 'timeout', 'no answer <in time>' FROM publication",
        )
        .await;
}

async fn word(door: &Door, publication: Uuid, body: &Value, headers: &[(&str, &str)]) -> Answer {
    let path = format!("/api/v1/publications/{publication}/verdict");
    let mut request = door.request(&Method::POST, &path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    door.send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_decide_at_once_one_wins_and_the_other_hears_what_was_decided() {
    let (door, _, publication) = held("raced for").await;
    let (mut yes, mut no) = (0, 0);
    for _ in 0..20 {
        let out = json!({ "published": true, "reason": "seen it" });
        let not = json!({ "published": false, "reason": "not there" });
        let (a, b) = tokio::join!(word(&door, publication, &out, &[]), word(&door, publication, &not, &[]));
        let (won, lost, said) = if a.status == StatusCode::ACCEPTED {
            yes += 1;
            (a, b, "published (seen it)")
        } else {
            no += 1;
            (b, a, "not published (not there)")
        };
        assert_eq!((won.status, lost.status), (StatusCode::ACCEPTED, StatusCode::CONFLICT), "{lost:?}");
        let detail = lost.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("decided already") && detail.contains(said), "{detail}");
        door.scratch.run("DELETE FROM verdict").await;
        doubt(&door).await;
    }
    assert_eq!(yes + no, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decided_is_refused_with_the_reason() {
    let (door, _, publication) = held("x").await;
    let no = json!({ "published": false, "reason": "not there" });
    let refused = async |said: &str| {
        for published in [true, false] {
            let body = json!({ "published": published, "reason": "looked" });
            let answer = word(&door, publication, &body, &[]).await;
            assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert!(answer.json()["detail"].as_str().unwrap().contains(said), "{}", answer.text);
        }
    };
    door.scratch.run("UPDATE publication SET quarantine_until = ledger_now() + interval '1 hour'").await;
    refused("may still be on its way until 20").await;
    door.scratch.run("UPDATE publication SET quarantine_until = ledger_now()").await;
    // held as too late: nothing of it was sent
    door.scratch.run("UPDATE publication SET handle_state = 'dead'").await;
    door.scratch.run("UPDATE remote_call SET verdict = 'resolved_no'").await;
    refused("never sent: there is nothing to decide. Try it again, or cancel it").await;
    for (state, shown) in [("scheduled", "scheduled"), ("unknown", "confirming"), ("cancelled", "cancelled")]
    {
        let set = format!("UPDATE publication SET state = '{state}', next_check_at = ledger_now()");
        door.scratch.run(&set).await;
        refused(&format!("It is {shown}")).await;
    }
    doubt(&door).await;
    // the network has said yes meanwhile, and whoever heard it has not got further
    door.scratch
        .run("UPDATE remote_call SET verdict = 'resolved_yes', remote_ids = '{\"public_id\": \"9\"}'")
        .await;
    let answer = word(&door, publication, &no, &[]).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
    assert!(answer.text.contains("The network itself has said"), "{}", answer.text);
    assert_eq!(
        door.scratch.number("SELECT count(*) FROM verdict").await,
        0,
        "what is refused leaves nothing"
    );
    assert_eq!(
        word(&door, publication, &json!({ "published": true }), &[]).await.status,
        StatusCode::ACCEPTED
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_cannot_be_taken_is_refused_field_by_field() {
    let (door, _, publication) = held("x").await;
    for (body, field, code) in [
        (json!({}), "published", "required"),
        (json!({ "published": "no", "reason": "x" }), "published", "type"),
        (json!({ "published": false }), "reason", "required"),
        (json!({ "published": false, "reason": "  " }), "reason", "length"),
        (json!({ "published": false, "reason": "x".repeat(501) }), "reason", "length"),
        (json!({ "published": true, "reason": "x", "note": "y" }), "note", "unknown_field"),
        (json!({ "published": true, "permalink": "https://tiktok.com/@x/1" }), "permalink", "permalink_host"),
        (json!({ "published": true, "permalink": "page/1" }), "permalink", "permalink_format"),
        (
            json!({ "published": false, "reason": "x", "permalink": "https://facebook.com/1" }),
            "permalink",
            "permalink_unpublished",
        ),
    ] {
        let found = word(&door, publication, &body, &[]).await.only_finding();
        assert_eq!(found, (field.to_owned(), code.to_owned()), "{body}");
    }
    let no = json!({ "published": false, "reason": "not there" });
    for missing in [Uuid::now_v7().to_string(), "42".into()] {
        let path = format!("/api/v1/publications/{missing}/verdict");
        let request = door.request(&Method::POST, &path).header("content-type", "application/json");
        let answer = door.send(request.body(Body::from(no.to_string())).unwrap()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
    }
    let mut door = door;
    let other = door.scratch.ledger.add_workspace("Florist").await.unwrap();
    let others = door.key_for(Some(other), Scope::ALL).await;
    let own = std::mem::replace(&mut door.key, others);
    let answer = word(&door, publication, &json!({ "bad": 1 }), &[]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
    door.key = door.key_for(Some(door.workspace), &[Scope::PostsRead]).await;
    assert_eq!(word(&door, publication, &no, &[]).await.status, StatusCode::FORBIDDEN);
    door.key = own;
    assert_eq!(door.scratch.number("SELECT count(*) FROM publication WHERE state = 'held'").await, 1);

    let key = [("idempotency-key", "k1")];
    let first = word(&door, publication, &no, &key).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    let again = word(&door, publication, &no, &key).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::ACCEPTED, "true"));
    assert_eq!(again.text, first.text);
    let reused = word(&door, publication, &json!({ "published": true }), &key).await;
    assert_eq!(reused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", reused.text);
    assert_eq!(door.scratch.number("SELECT count(*) FROM verdict").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_that_a_person_says_are_not_out_are_fetched_no_more_and_their_name_is_dead() {
    let door = Door::open().await;
    let account = door.account(TIKTOK).await;
    let media = door.upload("a.jpg", &picture()).await.json()["id"].clone();
    let target = json!({ "account_id": account, "options": { "privacy_level": "SELF_ONLY" } });
    let wish = json!({ "caption": "pulled", "kind": "post", "media_ids": [media], "targets": [target] });
    let post = door.post(&wish).await.json();
    let publication: Uuid = post["publications"][0]["id"].as_str().unwrap().parse().unwrap();
    let _origin = LedgerOrigin::new(door.scratch.ledger.clone(), &"http://localhost/".parse().unwrap());
    let no = json!({ "published": false, "reason": "not on the profile" });
    // what has a name at TikTok can be asked about there: its handle lives, and is looked at before anything is sent
    for (detail, dead) in [("{\"publish_id\": \"p~1\"}", false), ("{}", true)] {
        doubt(&door).await;
        door.scratch
            .run(&format!("UPDATE publication SET handle_kind = 'pull', handle_detail = '{detail}'"))
            .await;
        let call: Uuid = sqlx::query_scalar("SELECT call_id FROM remote_call")
            .fetch_one(&mut door.scratch.connection().await)
            .await
            .unwrap();
        assert!(door.scratch.ledger.fetch(call, 0).await.unwrap().is_some(), "it serves");
        let answer = word(&door, publication, &no, &[]).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let state = format!(
            "SELECT count(*) FROM publication WHERE state = 'failed' AND handle_state = '{}'",
            if dead { "dead" } else { "ready" }
        );
        assert_eq!(door.scratch.number(&state).await, 1, "{detail}");
        assert_eq!(door.scratch.ledger.fetch(call, 0).await.unwrap().is_none(), dead, "{detail}");
        door.scratch.run("DELETE FROM verdict").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_posts_page_shows_the_evidence_and_takes_the_decision_without_a_script() {
    let (door, post, publication) = held("What was <sent>").await;
    let address = format!("/posts/{post}");
    let decide = format!("{address}/publications/{publication}/verdict");
    let mut viewer = Browser::of(&door, MemberRole::Viewer).await;
    let shown = viewer.get(&address).await.text;
    for part in
        ["What was &#60;sent&#62;", "draft 104_7", "no answer &#60;in time&#62;", "shows no trace of it"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(
        shown.contains("Look at Bakery on facebook_page on Facebook") && !shown.contains("/verdict"),
        "{shown}"
    );
    let token = viewer.token.clone();
    let answer = viewer.form(&decide, &[("token", &token), ("published", "yes")]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);

    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let page = browser.get(&address).await.text;
    assert!(
        page.contains(&format!("action=\"{decide}\"")) && !page.contains("http-equiv=\"refresh\""),
        "{page}"
    );
    let (token, key) = (hidden(&page, "token"), hidden(&page, "key"));
    let wrong = [
        ("token", token.as_str()),
        ("key", &key),
        ("published", "yes"),
        ("permalink", "https://example.org/1"),
        ("reason", "seen <it>"),
    ];
    let answer = browser.form(&decide, &wrong).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    for kept in [
        "This address is not on Facebook",
        "seen &#60;it&#62;",
        "value=\"https://example.org/1\"",
        "value=\"yes\" checked",
    ] {
        assert!(answer.text.contains(kept), "{kept}: {}", answer.text);
    }
    let forged = browser.form(&decide, &[("token", "guessed"), ("published", "yes")]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let no = [
        ("token", token.as_str()),
        ("key", &key),
        ("published", "no"),
        ("permalink", ""),
        ("reason", "not there"),
    ];
    for _ in 0..2 {
        let answer = browser.form(&decide, &no).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, address.as_str()));
    }
    assert_eq!(door.scratch.number("SELECT count(*) FROM verdict").await, 1, "a double click decides once");
    let page = browser.get(&address).await.text;
    assert!(page.contains("Noa Levi looked and decided: it is not out on Facebook"), "{page}");
    assert!(page.contains("not there") && !page.contains("/verdict") && page.contains("/retry"), "{page}");
    let late = [("token", token.as_str()), ("key", "another"), ("published", "yes"), ("reason", "")];
    let answer = browser.form(&decide, &late).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.text.contains("decided already"), "{}", answer.text);
}
