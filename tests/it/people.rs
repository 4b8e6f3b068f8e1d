//! Who may do what in the console, how people come and go, and where they are signed in.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use postroom::{
    ledger::{
        Ledger, Role,
        keyring::{Cipher, KeyError, generate},
        people::MemberRole,
    },
    web::console::{doors, routes::Door as Way},
};
use uuid::Uuid;

use crate::{
    console::{Browser, hidden},
    harness::{System, eventually},
    support::{Answer, Door, ring},
};

/// Asks for a route as this browser; what it is about does not exist.
async fn knock(browser: &mut Browser<'_>, way: &Way) -> Answer {
    let nobody = Uuid::nil().to_string();
    let path = ["{id}", "{publication}", "{handle}"]
        .iter()
        .fold(way.path.to_owned(), |path, part| path.replace(part, &nobody));
    if way.method == Method::GET {
        return browser.get(&path).await;
    }
    let token = browser.token.clone();
    browser
        .form(&path, &[("token", &token), ("role", "viewer"), ("workspace", &nobody), ("theme", "auto")])
        .await
}

#[tokio::test]
async fn every_route_of_the_console_lets_in_who_has_its_role_and_nobody_else() {
    // P-A2
    let door = Door::open().await;
    let mut ways = doors();
    // what ends the session comes last
    ways.sort_by_key(|way| way.path == "/sign-out");
    assert!(ways.len() > 20, "the routes were found");
    for role in MemberRole::ALL {
        let mut browser = Browser::of(&door, *role).await;
        for way in &ways {
            let answer = knock(&mut browser, way).await;
            let refused = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(
                refused,
                !role.covers(way.role),
                "{role:?} at {way:?}: {} {}",
                answer.status,
                answer.text
            );
            assert!(!refused || answer.text.contains("Who can give it to you"), "{}", answer.text);
        }
    }
    let mut stranger = Browser::fresh(&door);
    for way in &ways {
        let answer = knock(&mut stranger, way).await;
        let led_away =
            answer.header("location").starts_with("/sign-in") || answer.status == StatusCode::UNAUTHORIZED;
        assert!(led_away, "{way:?}: {} {}", answer.status, answer.text);
    }
}

#[tokio::test]
async fn what_each_role_may_do_is_what_was_agreed() {
    let ways = doors();
    let role = |method: Method, path: &str| {
        let way = ways.iter().find(|way| way.method == method && way.path == path);
        way.unwrap_or_else(|| panic!("no {method} {path}")).role
    };
    for path in ["/posts", "/posts/{id}", "/accounts", "/media/{id}", "/sessions"] {
        assert_eq!(role(Method::GET, path), MemberRole::Viewer, "{path}");
    }
    for path in ["/posts/new", "/posts/{id}/edit"] {
        assert_eq!(role(Method::POST, path), MemberRole::Author, "{path}");
    }
    for path in [
        "/posts/{id}/cancel",
        "/posts/{id}/retry",
        "/posts/{id}/publications/{publication}/verdict",
        "/posts/{id}/take-down/{publication}",
    ] {
        assert_eq!(role(Method::POST, path), MemberRole::Publisher, "{path}");
    }
    for way in ways.iter().filter(|way| way.path.starts_with("/people")) {
        assert_eq!(way.role, MemberRole::Admin, "{way:?}");
    }
}

#[tokio::test]
async fn a_refusal_says_which_role_it_takes_and_who_can_give_it() {
    let door = Door::open().await;
    let mut author = Browser::of(&door, MemberRole::Author).await;
    let alone = author.get("/people").await;
    assert!(
        alone.text.contains("Administrator") && alone.text.contains("whoever runs postroom"),
        "{}",
        alone.text
    );
    door.person("admin@example.org", MemberRole::Admin).await;
    let refused = author.get("/people").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.text.contains("in Bakery; yours is “Author”") && refused.text.contains("Noa Levi"),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn a_person_may_be_somebody_else_in_another_workspace() {
    let door = Door::open().await;
    let person = door.person("noa@example.org", MemberRole::Viewer).await;
    let other = door.scratch.ledger.add_workspace("Agency").await.expect("a workspace");
    door.scratch.ledger.add_membership(person, other, MemberRole::Admin).await.expect("a membership");
    let mut browser = Browser::signed_in(&door, "noa@example.org").await;
    let (token, here) = (browser.token.clone(), door.workspace.to_string());
    assert_eq!(browser.get("/people").await.status, StatusCode::OK, "Agency comes first by name");
    browser.form("/workspace", &[("token", &token), ("workspace", &here)]).await;
    assert_eq!(browser.get("/people").await.status, StatusCode::FORBIDDEN);
    // a page of the other workspace that was still open changes nothing here
    let stale = browser.form("/posts/new", &[("token", &token)]).await;
    assert_eq!(stale.status, StatusCode::FORBIDDEN, "{}", stale.text);
    let left = browser.form("/sign-out", &[("token", &token)]).await;
    assert_eq!((left.status, left.header("location")), (StatusCode::SEE_OTHER, "/sign-in"), "but to leave");
}

#[tokio::test]
async fn a_page_that_was_open_of_another_workspace_invites_nobody_here() {
    let door = Door::open().await;
    let person = door.person("noa@example.org", MemberRole::Admin).await;
    let other = door.scratch.ledger.add_workspace("Agency").await.expect("a workspace");
    door.scratch.ledger.add_membership(person, other, MemberRole::Admin).await.expect("a membership");
    let mut browser = Browser::signed_in(&door, "noa@example.org").await;
    let (agency, here) = (browser.token.clone(), door.workspace.to_string());
    browser.form("/workspace", &[("token", &agency), ("workspace", &here)]).await;
    let stale = invite(&mut browser, "eve@example.org", "admin").await;
    assert_eq!(stale.status, StatusCode::FORBIDDEN, "{}", stale.text);
    browser.token = hidden(&browser.get("/people").await.text, "token");
    assert_eq!(invite(&mut browser, "eve@example.org", "admin").await.status, StatusCode::SEE_OTHER);
    let of_here = format!("SELECT count(*) FROM invitation WHERE workspace_id = '{here}'");
    assert_eq!(door.scratch.number(&of_here).await, 1);
    assert_eq!(door.scratch.number("SELECT count(*) FROM invitation").await, 1);
}

#[tokio::test]
async fn who_belongs_to_no_workspace_any_more_can_still_leave() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Author).await;
    door.scratch.run("DELETE FROM membership").await;
    let page = browser.get("/posts").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("You belong to no workspace"), "{}", page.text);
    let token = hidden(&page.text, "token");
    let left = browser.form("/sign-out", &[("token", &token)]).await;
    assert_eq!((left.status, left.header("location")), (StatusCode::SEE_OTHER, "/sign-in"), "{}", left.text);
    assert_eq!(door.scratch.number("SELECT count(*) FROM session WHERE person_id IS NOT NULL").await, 0);
}

/// The newest letter to somebody: its subject and what it says.
async fn letter(door: &Door, to: &str) -> (String, String) {
    door.letters(to).await.into_iter().next().unwrap_or_else(|| panic!("no letter to {to}"))
}

/// The path of the link in a letter.
fn link(body: &str) -> String {
    let address = body.split_whitespace().find(|word| word.starts_with("http://localhost:3000/"));
    address
        .unwrap_or_else(|| panic!("no link in {body}"))
        .trim_start_matches("http://localhost:3000")
        .to_owned()
}

async fn invite(browser: &mut Browser<'_>, email: &str, role: &str) -> Answer {
    let token = browser.token.clone();
    let fields = [
        ("token", token.as_str()),
        ("first_name", "Dan"),
        ("last_name", "Cohen"),
        ("email", email),
        ("role", role),
    ];
    browser.form("/people/invitations", &fields).await
}

#[tokio::test]
async fn who_is_invited_joins_once_with_a_password_of_their_own() {
    // P-A1
    let door = Door::open().await;
    let mut admin = Browser::of(&door, MemberRole::Admin).await;
    let answer = invite(&mut admin, " Dan@Example.org ", "author").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (StatusCode::SEE_OTHER, "/people?done=invited"),
        "{}",
        answer.text
    );
    let people = admin.get("/people?done=invited").await.text;
    assert!(people.contains("dan@example.org") && people.contains("Letter on its way"), "{people}");
    let (subject, body) = letter(&door, "dan@example.org").await;
    assert_eq!(subject, "You are invited to postroom");
    assert!(body.contains("Noa Levi invites you to the workspace “Bakery” as Author."), "{body}");
    let link = link(&body);
    let secret = link.trim_start_matches("/invitation/");
    assert!(secret.len() >= 43, "256 bits in base64");
    let kept = format!("SELECT count(*) FROM invitation WHERE position('{secret}' in invitation::text) > 0");
    assert_eq!(door.scratch.number(&kept).await, 0, "only the digest is kept");

    let mut dan = Browser::fresh(&door);
    let page = dan.get(&link).await;
    assert!(page.text.contains("Join Bakery") && page.text.contains("value=\"Dan\""), "{}", page.text);
    let token = hidden(&page.text, "token");
    let fields = |password| {
        [("token", token.as_str()), ("first_name", "Daniel"), ("last_name", "Cohen"), ("password", password)]
    };
    let short = dan.form(&link, &fields("short")).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(short.text.contains("10 to 1000 characters") && short.text.contains("Daniel"), "{}", short.text);
    let joined = dan.form(&link, &fields("open sesame")).await;
    assert_eq!(
        (joined.status, joined.header("location")),
        (StatusCode::SEE_OTHER, "/posts"),
        "{}",
        joined.text
    );
    assert!(dan.get("/posts").await.text.contains("Daniel Cohen"), "they are signed in");
    assert_eq!(
        dan.get("/people").await.status,
        StatusCode::FORBIDDEN,
        "and no more than they were invited as"
    );

    let mut other = Browser::fresh(&door);
    assert_eq!(other.get(&link).await.status, StatusCode::GONE);
    assert_eq!(other.sign_in("dan@example.org", "open sesame").await.status, StatusCode::SEE_OTHER);
    let said = "SELECT count(*) FROM mail WHERE body IS NOT NULL OR sealed IS NOT NULL";
    assert_eq!(door.scratch.number(said).await, 0);
}

#[tokio::test]
async fn what_a_letter_says_lies_sealed_and_is_of_its_row_alone() {
    let door = Door::open().await;
    let mut admin = Browser::of(&door, MemberRole::Admin).await;
    invite(&mut admin, "dan@example.org", "author").await;
    let link = link(&letter(&door, "dan@example.org").await.1);
    let secret = link.trim_start_matches("/invitation/");
    for text in [secret.to_owned(), hex::encode(secret)] {
        let found = format!("SELECT count(*) FROM mail m WHERE position('{text}' in m::text) > 0");
        assert_eq!(door.scratch.number(&found).await, 0, "who reads the ledger cannot follow it");
    }
    let sealed = "SELECT count(*) FROM mail WHERE body IS NULL AND sealed IS NOT NULL";
    assert_eq!(door.scratch.number(sealed).await, 1);
    let ledger = Ledger::open(&door.scratch.url, Role::Worker, 2).expect("an address");
    // in another row it does not open
    door.scratch.run("DELETE FROM invitation").await;
    door.scratch.run("UPDATE mail SET id = gen_random_uuid()").await;
    let due = ledger.take_mail(&ring(), 4, Duration::ZERO).await.expect("letters");
    assert_eq!((due.len(), due[0].body.as_ref().err()), (1, Some(&KeyError::DoesNotOpen)));
    // and keeps no other from being sealed anew
    invite(&mut admin, "tal@example.org", "author").await;
    door.scratch.run("CREATE TABLE before AS SELECT id, sealed FROM mail").await;
    assert!(ledger.reseal_mail(&ring()).await.is_err(), "whoever changes keys is told of it");
    let anew = "SELECT count(*) FROM mail m JOIN before b ON b.id = m.id WHERE m.sealed <> b.sealed";
    assert_eq!(door.scratch.number(anew).await, 1);
    assert_eq!(door.letters("tal@example.org").await.len(), 1, "it opens");
    // a process of before, which knows only of what lies in the clear, takes them back
    door.scratch.run("UPDATE mail SET try_at = NULL, body = NULL WHERE try_at IS NOT NULL").await;
    assert_eq!(door.scratch.number("SELECT count(*) FROM mail WHERE sealed IS NOT NULL").await, 0);
}

#[tokio::test]
async fn an_invitation_that_is_accepted_twice_at_once_lets_one_in() {
    let door = Door::open().await;
    let mut admin = Browser::of(&door, MemberRole::Admin).await;
    invite(&mut admin, "dan@example.org", "author").await;
    let link = link(&letter(&door, "dan@example.org").await.1);
    let join = async || {
        let mut browser = Browser::fresh(&door);
        let token = hidden(&browser.get(&link).await.text, "token");
        let fields = [
            ("token", token.as_str()),
            ("first_name", "Dan"),
            ("last_name", "Cohen"),
            ("password", "open sesame"),
        ];
        browser.form(&link, &fields).await
    };
    let (one, two) = tokio::join!(join(), join());
    let entered = [&one, &two].iter().filter(|answer| answer.header("location") == "/posts").count();
    assert_eq!(entered, 1, "{one:?} {two:?}");
    assert_eq!(door.scratch.number("SELECT count(*) FROM person WHERE email = 'dan@example.org'").await, 1);
}

#[tokio::test]
async fn an_invitation_ends_after_a_week_and_when_it_is_withdrawn_or_replaced() {
    let door = Door::open().await;
    let mut admin = Browser::of(&door, MemberRole::Admin).await;
    let mut stranger = Browser::fresh(&door);
    invite(&mut admin, "dan@example.org", "author").await;
    let first = link(&letter(&door, "dan@example.org").await.1);
    invite(&mut admin, "dan@example.org", "viewer").await;
    let second = link(&letter(&door, "dan@example.org").await.1);
    assert_eq!(stranger.get(&first).await.status, StatusCode::GONE, "another one was sent");
    assert_eq!(stranger.get(&second).await.status, StatusCode::OK);
    let week = "SELECT count(*) FROM invitation WHERE expires_at BETWEEN created_at + interval '6 days 23 hours' \
                AND created_at + interval '7 days 1 hour'";
    assert_eq!(door.scratch.number(week).await, 1);
    door.scratch.run("UPDATE invitation SET expires_at = ledger_now()").await;
    assert_eq!(stranger.get(&second).await.status, StatusCode::GONE);
    assert!(admin.get("/people").await.text.contains("Ended"));

    invite(&mut admin, "dan@example.org", "author").await;
    let third = link(&letter(&door, "dan@example.org").await.1);
    let people = admin.get("/people").await.text;
    let withdraw = people.split('"').find(|part| part.ends_with("/withdraw")).expect("a button").to_owned();
    let token = admin.token.clone();
    assert_eq!(admin.form(&withdraw, &[("token", "wrong")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(admin.form(&withdraw, &[("token", &token)]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(stranger.get(&third).await.status, StatusCode::GONE);
    assert_eq!(
        door.scratch.number("SELECT count(*) FROM mail WHERE try_at IS NOT NULL").await,
        0,
        "nor is it sent"
    );
}

#[tokio::test]
async fn who_is_known_already_joins_after_signing_in_and_nobody_in_their_place() {
    let door = Door::open().await;
    let mut admin = Browser::of(&door, MemberRole::Admin).await;
    door.person("eve@example.org", MemberRole::Viewer).await;
    let dan = door.person("dan@example.org", MemberRole::Viewer).await;
    let taken = invite(&mut admin, "dan@example.org", "author").await;
    assert_eq!(taken.status, StatusCode::CONFLICT);
    assert!(taken.text.contains("is a member already"), "{}", taken.text);
    let gone = format!("DELETE FROM membership WHERE person_id = '{dan}'");
    door.scratch.run(&gone).await;
    invite(&mut admin, "dan@example.org", "author").await;
    let link = link(&letter(&door, "dan@example.org").await.1);

    let mut eve = Browser::signed_in(&door, "eve@example.org").await;
    let page = eve.get(&link).await;
    assert!(page.text.contains("/sign-in?next=%2Finvitation%2F"), "{}", page.text);
    let key = hidden(&page.text, "token");
    eve.form(&link, &[("token", &key), ("first_name", "E"), ("last_name", "E"), ("password", "open sesame")])
        .await;
    assert_eq!(door.scratch.number("SELECT count(*) FROM invitation").await, 1, "it is not hers");

    let mut browser = Browser::fresh(&door);
    assert_eq!(browser.sign_in("dan@example.org", "open sesame").await.status, StatusCode::SEE_OTHER);
    let theirs = hidden(&browser.get(&link).await.text, "token");
    assert_eq!(browser.form(&link, &[("token", &theirs)]).await.header("location"), "/posts");
    assert_eq!(browser.get("/posts").await.status, StatusCode::OK);
    let role = format!("SELECT count(*) FROM membership WHERE person_id = '{dan}' AND role = 'author'");
    assert_eq!(door.scratch.number(&role).await, 1);
}

#[tokio::test]
async fn what_is_wrong_with_an_invitation_is_said_and_what_was_written_is_kept() {
    let door = Door::open().await;
    let mut admin = Browser::of(&door, MemberRole::Admin).await;
    let token = admin.token.clone();
    let fields = [
        ("token", token.as_str()),
        ("first_name", "Dan"),
        ("last_name", " "),
        ("email", "dan@example.org\r\nbcc: all@example.org"),
        ("role", "king"),
    ];
    let answer = admin.form("/people/invitations", &fields).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    for said in
        ["The last name is missing", "That is no e-mail address", "There is no such role", "value=\"Dan\""]
    {
        assert!(answer.text.contains(said), "{said}: {}", answer.text);
    }
    assert_eq!(door.scratch.number("SELECT count(*) FROM mail").await, 0);
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let door = Door::open().await;
    let own = door.person("admin@example.org", MemberRole::Admin).await;
    let mut admin = Browser::signed_in(&door, "admin@example.org").await;
    let token = admin.token.clone();
    for (path, field) in
        [(format!("/people/{own}/role"), ("role", "viewer")), (format!("/people/{own}/remove"), ("x", "y"))]
    {
        let answer = admin.form(&path, &[("token", &token), field]).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{path}");
        assert!(answer.text.contains("That is the last administrator"), "{}", answer.text);
    }
    let other = door.person("other@example.org", MemberRole::Admin).await;
    let changed =
        admin.form(&format!("/people/{other}/role"), &[("token", &token), ("role", "publisher")]).await;
    assert_eq!(changed.header("location"), "/people?done=changed");
}

#[tokio::test]
async fn two_administrators_who_lower_each_other_at_once_leave_one() {
    let door = Door::open().await;
    let one = door.person("one@example.org", MemberRole::Admin).await;
    let two = door.person("two@example.org", MemberRole::Admin).await;
    let (ledger, workspace) = (&door.scratch.ledger, door.workspace);
    for round in 0..30 {
        let lower = |person| ledger.change_role(workspace, person, MemberRole::Viewer);
        let (a, b) = if round % 2 == 0 {
            tokio::join!(lower(one), lower(two))
        } else {
            tokio::join!(ledger.remove_member(workspace, one), lower(two))
        };
        let _ = (a.expect("an answer"), b.expect("an answer"));
        let admins = door.scratch.number("SELECT count(*) FROM membership WHERE role = 'admin'").await;
        assert_eq!(admins, 1, "round {round}");
        for person in [one, two] {
            ledger.add_membership(person, workspace, MemberRole::Admin).await.expect("a membership");
        }
    }
}

#[tokio::test]
async fn who_is_removed_is_signed_out_everywhere_at_once() {
    let door = Door::open().await;
    let mut admin = Browser::of(&door, MemberRole::Admin).await;
    let person = door.person("dan@example.org", MemberRole::Publisher).await;
    let mut phone = Browser::signed_in(&door, "dan@example.org").await;
    let mut desk = Browser::signed_in(&door, "dan@example.org").await;
    let sure = admin.get(&format!("/people/{person}/remove")).await;
    assert!(sure.text.contains("Remove Noa Levi from Bakery?"), "{}", sure.text);
    let token = admin.token.clone();
    let removed = admin.form(&format!("/people/{person}/remove"), &[("token", &token)]).await;
    assert_eq!(removed.header("location"), "/people?done=removed");
    for browser in [&mut phone, &mut desk] {
        assert_eq!(browser.get("/posts").await.header("location"), "/sign-in?next=%2Fposts");
    }
    assert_eq!(admin.get("/posts").await.status, StatusCode::OK);
}

#[tokio::test]
async fn another_workspaces_people_are_nobody_here() {
    // P-A5
    let door = Door::open().await;
    let mut admin = Browser::of(&door, MemberRole::Admin).await;
    let other = door.scratch.ledger.add_workspace("Agency").await.expect("a workspace");
    let person = door.person("dan@example.org", MemberRole::Viewer).await;
    door.scratch
        .run(&format!("UPDATE membership SET workspace_id = '{other}' WHERE person_id = '{person}'"))
        .await;
    let token = admin.token.clone();
    for (path, field) in [
        (format!("/people/{person}/role"), ("role", "admin")),
        (format!("/people/{person}/remove"), ("x", "y")),
    ] {
        assert_eq!(
            admin.form(&path, &[("token", &token), field]).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    assert_eq!(admin.get(&format!("/people/{person}/remove")).await.status, StatusCode::NOT_FOUND);
    assert!(!admin.get("/people").await.text.contains("dan@example.org"));
}

#[tokio::test]
async fn another_role_is_another_session() {
    // P-A4
    let door = Door::open().await;
    let person = door.person("dan@example.org", MemberRole::Viewer).await;
    let mut browser = Browser::signed_in(&door, "dan@example.org").await;
    let before = browser.cookies["s"].clone();
    browser.get("/posts").await;
    assert_eq!(browser.cookies["s"], before, "while nothing changes, it stays");
    door.scratch.ledger.change_role(door.workspace, person, MemberRole::Author).await.expect("an answer");
    assert_eq!(browser.get("/posts/new").await.status, StatusCode::OK, "it holds at once");
    let after = browser.cookies["s"].clone();
    assert_ne!(after, before);
    let mut late = Browser::fresh(&door);
    late.cookies.insert("s".into(), before.clone());
    assert_eq!(late.get("/posts").await.status, StatusCode::OK, "what was on its way is answered");
    assert_eq!(late.get("/posts/new").await.status, StatusCode::FORBIDDEN, "and opens what it did before");
    assert_eq!(late.cookies["s"], before, "nothing is passed on twice");
    let lasting = "SELECT count(*) FROM session WHERE retired_at IS NULL AND person_id IS NOT NULL";
    assert_eq!(door.scratch.number(lasting).await, 1);
    let soon = "SELECT count(*) FROM session WHERE retired_at IS NOT NULL
                  AND expires_at BETWEEN ledger_now() AND ledger_now() + interval '10 seconds'";
    assert_eq!(door.scratch.number(soon).await, 1);
    door.scratch.run("UPDATE session SET expires_at = ledger_now() WHERE retired_at IS NOT NULL").await;
    assert_eq!(late.get("/posts").await.status, StatusCode::SEE_OTHER, "then it opens nothing");
    assert_eq!(browser.cookies["s"], after);
    assert_eq!(browser.get("/posts").await.status, StatusCode::OK);
}

#[tokio::test]
async fn requests_at_once_with_a_session_whose_role_has_changed_are_all_answered_and_it_goes_on_as_one() {
    let door = Door::open().await;
    let person = door.person("dan@example.org", MemberRole::Viewer).await;
    let browser = Browser::signed_in(&door, "dan@example.org").await;
    door.scratch.ledger.change_role(door.workspace, person, MemberRole::Author).await.expect("an answer");
    let ask = async || {
        let mut one = Browser::fresh(&door);
        one.cookies = browser.cookies.clone();
        let answer = one.get("/posts").await;
        (answer.status, one.cookies["s"].clone())
    };
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    let answers = [a, b, c];
    assert!(answers.iter().all(|(status, _)| *status == StatusCode::OK), "{answers:?}");
    let fresh: Vec<_> = answers.iter().filter(|(_, id)| *id != browser.cookies["s"]).collect();
    assert_eq!(fresh.len(), 1, "one of them brings the new id, and none the old one: {answers:?}");
    let lasting = "SELECT count(*) FROM session WHERE retired_at IS NULL AND person_id IS NOT NULL";
    assert_eq!(door.scratch.number(lasting).await, 1);
}

#[tokio::test]
async fn what_a_late_request_remembers_is_remembered_where_the_session_goes_on() {
    let door = Door::open().await;
    let person = door.person("dan@example.org", MemberRole::Viewer).await;
    let other = door.scratch.ledger.add_workspace("Agency").await.expect("a workspace");
    door.scratch.ledger.add_membership(person, other, MemberRole::Viewer).await.expect("a membership");
    let mut browser = Browser::signed_in(&door, "dan@example.org").await;
    let mut late = Browser::fresh(&door);
    late.cookies = browser.cookies.clone();
    door.scratch.ledger.change_role(other, person, MemberRole::Author).await.expect("an answer");
    assert!(browser.get("/posts").await.text.contains("Agency"), "it goes on under another id");
    let (token, here) = (browser.token.clone(), door.workspace.to_string());
    let chosen = late.form("/workspace", &[("token", &token), ("workspace", &here)]).await;
    assert_eq!(chosen.status, StatusCode::SEE_OTHER, "{}", chosen.text);
    assert!(!chosen.header("set-cookie").starts_with("s="), "the old id does not push out the new one");
    let there = format!(
        "SELECT count(*) FROM session WHERE retired_at IS NULL AND data ->> 'workspace' = '{here}'
            AND NOT data ? 'retired' AND data -> 'role' ->> 1 = 'author'"
    );
    assert_eq!(door.scratch.number(&there).await, 1);
    // signing out by the old id signs out
    let token = hidden(&browser.get("/posts").await.text, "token");
    late.form("/sign-out", &[("token", &token)]).await;
    assert_eq!(door.scratch.number("SELECT count(*) FROM session WHERE person_id IS NOT NULL").await, 0);
}

#[tokio::test]
async fn somebody_sees_where_they_are_signed_in_and_ends_it() {
    let door = Door::open().await;
    door.person("dan@example.org", MemberRole::Viewer).await;
    let mut desk = Browser::signed_in(&door, "dan@example.org").await;
    let mut phone = Browser::signed_in(&door, "dan@example.org").await;
    let mut third = Browser::signed_in(&door, "dan@example.org").await;
    let mut eve = Browser::of(&door, MemberRole::Admin).await;
    let page = desk.get("/sessions").await.text;
    assert_eq!(page.matches("Signed in a moment ago").count(), 3, "{page}");
    assert!(page.contains("this browser"));
    for browser in [&desk, &phone, &third] {
        assert!(!page.contains(&browser.cookies["s"]), "whoever has an id is signed in");
    }
    // one that is not theirs cannot be ended
    let own = eve.get("/sessions").await.text;
    assert_eq!(own.matches("Signed in a moment ago").count(), 1);
    let end = page
        .split('"')
        .find(|part| part.starts_with("/sessions/") && part.ends_with("/end"))
        .expect("a button");
    let foreign = eve.token.clone();
    assert_eq!(eve.form(end, &[("token", &foreign)]).await.status, StatusCode::NOT_FOUND);

    let token = desk.token.clone();
    assert_eq!(desk.form(end, &[("token", &token)]).await.header("location"), "/sessions");
    let mut left = 0;
    for browser in [&mut phone, &mut third] {
        left += usize::from(browser.get("/posts").await.status == StatusCode::OK);
    }
    assert_eq!(left, 1, "one of the two");
    desk.form("/sessions/end-others", &[("token", &token)]).await;
    for browser in [&mut phone, &mut third] {
        assert_eq!(browser.get("/posts").await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(desk.get("/posts").await.status, StatusCode::OK);
    assert_eq!(eve.get("/posts").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_that_is_ended_by_what_it_went_by_before_is_ended_where_it_goes_on() {
    let door = Door::open().await;
    let person = door.person("dan@example.org", MemberRole::Viewer).await;
    let mut desk = Browser::signed_in(&door, "dan@example.org").await;
    let mut phone = Browser::signed_in(&door, "dan@example.org").await;
    let page = desk.get("/sessions").await.text;
    let end = page.split('"').find(|part| part.starts_with("/sessions/") && part.ends_with("/end"));
    let (end, token) = (end.expect("a button").to_owned(), desk.token.clone());
    door.scratch.ledger.change_role(door.workspace, person, MemberRole::Author).await.expect("an answer");
    assert_eq!(phone.get("/posts").await.status, StatusCode::OK, "it goes on under another id");
    assert_eq!(desk.form(&end, &[("token", &token)]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(phone.get("/posts").await.status, StatusCode::SEE_OTHER, "that is over");
    assert_eq!(desk.get("/posts").await.status, StatusCode::OK);
    let ended = "SELECT (detail ->> 'ended')::bigint FROM audit WHERE action = 'sessions_ended'";
    assert_eq!(door.scratch.number(ended).await, 1);
}

async fn forget(door: &Door, email: &str) -> Answer {
    let mut browser = Browser::fresh(door);
    let token = hidden(&browser.get("/forgot").await.text, "token");
    browser.form("/forgot", &[("token", &token), ("email", email)]).await
}

#[tokio::test]
async fn a_new_password_comes_by_mail_and_nobody_learns_who_is_known() {
    let door = Door::open().await;
    door.person("dan@example.org", MemberRole::Viewer).await;
    let mut phone = Browser::signed_in(&door, "dan@example.org").await;
    let unknown = forget(&door, "who@example.org").await;
    let known = forget(&door, "Dan@example.org").await;
    assert_eq!((known.status, unknown.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(known.text, unknown.text);
    let written = door.scratch.number("SELECT count(*) FROM mail").await;
    assert_eq!(written, 1, "what was promised was written down before");
    let asked = "SELECT count(*) FROM audit WHERE action = 'password_asked' AND actor = 'nobody'";
    assert_eq!(
        door.scratch.number(asked).await,
        2,
        "of either address, and no more of one than of the other"
    );
    let (subject, body) = letter(&door, "dan@example.org").await;
    assert_eq!(subject, "A new password for postroom");
    let link = link(&body);
    let secret = link.trim_start_matches("/password/");
    let kept = format!("SELECT count(*) FROM password_reset r WHERE position('{secret}' in r::text) > 0");
    assert_eq!(door.scratch.number(&kept).await, 0, "only the digest is kept");

    let mut browser = Browser::fresh(&door);
    let token = hidden(&browser.get(&link).await.text, "token");
    let short = browser.form(&link, &[("token", &token), ("password", "short")]).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    let set = browser.form(&link, &[("token", &token), ("password", "another sesame")]).await;
    assert_eq!((set.status, set.header("location")), (StatusCode::SEE_OTHER, "/posts"), "{}", set.text);
    assert_eq!(browser.get("/posts").await.status, StatusCode::OK, "here they are signed in");
    assert_eq!(phone.get("/posts").await.status, StatusCode::SEE_OTHER, "and nowhere else");
    assert_eq!(browser.get(&link).await.status, StatusCode::GONE, "it holds once");
    let mut again = Browser::fresh(&door);
    assert_eq!(
        again.sign_in("dan@example.org", "open sesame").await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(again.sign_in("dan@example.org", "another sesame").await.status, StatusCode::SEE_OTHER);
    assert_eq!(letter(&door, "dan@example.org").await.0, "Your postroom password was changed");
}

#[tokio::test]
async fn a_link_that_could_not_be_written_down_is_not_promised() {
    let door = Door::open().await;
    door.person("dan@example.org", MemberRole::Viewer).await;
    for statement in [
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'no room' USING ERRCODE = '53300';
         END $$",
        "CREATE TRIGGER no_room BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION no_room()",
    ] {
        door.scratch.run(statement).await;
    }
    for email in ["dan@example.org", "who@example.org"] {
        let answer = forget(&door, email).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
        assert!(!answer.text.contains("Look into your mail"), "{}", answer.text);
    }
    let kept = "SELECT (SELECT count(*) FROM mail) + (SELECT count(*) FROM password_reset)";
    assert_eq!(door.scratch.number(kept).await, 0);
    door.scratch.run("DROP TRIGGER no_room ON audit").await;
    assert_eq!(forget(&door, "dan@example.org").await.status, StatusCode::OK);
    assert_eq!(door.scratch.number(kept).await, 2);
}

#[tokio::test]
async fn a_link_to_a_new_password_holds_for_an_hour_and_the_latest_only() {
    let door = Door::open().await;
    door.person("dan@example.org", MemberRole::Viewer).await;
    let letters = async |number| {
        eventually("the letter", || async {
            let found = door.scratch.number("SELECT count(*) FROM mail").await;
            if found == number { Ok(()) } else { Err(format!("{found} letters")) }
        })
        .await;
    };
    forget(&door, "dan@example.org").await;
    letters(1).await;
    let first = link(&letter(&door, "dan@example.org").await.1);
    let hour = "SELECT count(*) FROM password_reset WHERE expires_at - created_at BETWEEN '59 minutes' AND '61 minutes'";
    assert_eq!(door.scratch.number(hour).await, 1);
    // whoever asks again within a quarter of an hour has a link already
    door.scratch.run("UPDATE password_reset SET created_at = created_at - interval '16 minutes'").await;
    forget(&door, "dan@example.org").await;
    letters(2).await;
    let second = link(&letter(&door, "dan@example.org").await.1);
    let mut browser = Browser::fresh(&door);
    assert_eq!(browser.get(&first).await.status, StatusCode::GONE);
    assert_eq!(browser.get(&second).await.status, StatusCode::OK);
    door.scratch.run("UPDATE password_reset SET expires_at = ledger_now()").await;
    assert_eq!(browser.get(&second).await.status, StatusCode::GONE);
}

/// What was written down about people since the last look: the action, and who did it.
async fn noted(door: &Door) -> Vec<(String, Option<Uuid>)> {
    let rows = door.scratch.ledger.audit_entries(None, 50).await.expect("entries");
    let rows = rows.into_iter().filter(|row| row.action != "signed_in" && row.actor == "person");
    let mut noted: Vec<_> = rows.map(|row| (row.action, row.actor_id)).collect();
    noted.reverse();
    noted
}

#[tokio::test]
async fn what_is_done_about_people_is_written_down_as_the_deed_of_whoever_did_it() {
    let door = Door::open().await;
    let admin = door.person("admin@example.org", MemberRole::Admin).await;
    let mut browser = Browser::signed_in(&door, "admin@example.org").await;
    let token = browser.token.clone();
    invite(&mut browser, "dan@example.org", "author").await;
    let people = browser.get("/people").await.text;
    let withdraw = people.split('"').find(|part| part.ends_with("/withdraw")).expect("a button").to_owned();
    browser.form(&withdraw, &[("token", &token)]).await;
    assert_eq!(browser.form(&withdraw, &[("token", &token)]).await.status, StatusCode::NOT_FOUND);
    invite(&mut browser, "dan@example.org", "author").await;
    let invitation = link(&letter(&door, "dan@example.org").await.1);
    let mut dan = Browser::fresh(&door);
    let form = hidden(&dan.get(&invitation).await.text, "token");
    let names = [("token", form.as_str()), ("first_name", "Dan"), ("last_name", "Cohen")];
    dan.form(&invitation, &[&names[..], &[("password", "open sesame")]].concat()).await;
    forget(&door, "dan@example.org").await;
    eventually("a letter", || async {
        let letters = "SELECT count(*) FROM mail WHERE subject = 'A new password for postroom'";
        if door.scratch.number(letters).await == 1 { Ok(()) } else { Err("none yet".to_owned()) }
    })
    .await;
    let password = link(&letter(&door, "dan@example.org").await.1);
    let form = hidden(&dan.get(&password).await.text, "token");
    dan.form(&password, &[("token", &form), ("password", "open barley")]).await;
    Browser::fresh(&door).sign_in("dan@example.org", "open barley").await;
    let own = hidden(&dan.get("/sessions").await.text, "token");
    dan.form("/sessions/end-others", &[("token", &own)]).await;
    let person: Uuid = sqlx::query_scalar("SELECT id FROM person WHERE email = 'dan@example.org'")
        .fetch_one(&mut door.scratch.connection().await)
        .await
        .expect("a person");
    let role = [("token", token.as_str()), ("role", "publisher")];
    browser.form(&format!("/people/{person}/role"), &role).await;
    browser.form(&format!("/people/{person}/remove"), &[("token", &token)]).await;
    assert_eq!(browser.form(&format!("/people/{admin}/remove"), &[("token", &token)]).await.status, 409);
    let deed = |action: &str, who| (action.to_owned(), Some(who));
    assert_eq!(
        noted(&door).await,
        [
            deed("invited", admin),
            deed("invitation_withdrawn", admin),
            deed("invited", admin),
            deed("member_set", person),
            deed("password_set", person),
            deed("sessions_ended", person),
            deed("member_set", admin),
            deed("member_removed", admin),
        ]
    );
}

/// The letters that the sandbox's mail server has for somebody.
async fn came(system: &System, to: &str) -> Vec<serde_json::Value> {
    let mail = system.control("mail").await;
    let is_theirs = |letter: &&serde_json::Value| letter["to"][0] == to;
    mail["data"].as_array().expect("letters").iter().filter(is_theirs).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_refused_and_then_lost_on_the_way_arrives_under_one_name() {
    let system = System::with_workers(2).await;
    system.tell("mail", &serde_json::json!({ "refuse_next": 2, "lose_next": 1 })).await;
    let put = "INSERT INTO mail (id, to_address, subject, body, worthless_at, try_at)
               VALUES (gen_random_uuid(), 'dan@example.org', 'Hello', E'One “line”.\\nAnother.', ledger_now() + interval '1 hour',
                       ledger_now())";
    sqlx::query(put).execute(&system.database.pool).await.unwrap();
    let letters = eventually("the letter to be sent", || async {
        match system
            .database
            .count("SELECT count(*) FROM mail WHERE sent_at IS NOT NULL AND body IS NULL AND sealed IS NULL")
            .await
        {
            1 => Ok(came(&system, "dan@example.org").await),
            _ => Err(system.workers[0].log()),
        }
    })
    .await;
    assert_eq!(letters.len(), 2, "the answer to the first was lost");
    assert_eq!(letters[0]["message_id"], letters[1]["message_id"]);
    assert!(letters[0]["message_id"].as_str().unwrap().ends_with("@example.org>"), "{letters:?}");
    assert_eq!(letters[0]["body"].as_str().unwrap().trim_end(), "One “line”.\nAnother.");
    assert_eq!(system.database.count("SELECT tries::bigint FROM mail").await, 4);
}

/// A letter as a process of before puts it down.
const IN_THE_CLEAR: &str = "INSERT INTO mail (id, to_address, subject, body, worthless_at, try_at)
                            VALUES (gen_random_uuid(), 'dan@example.org', 'Hello', 'open sesame',
                                    ledger_now() + interval '1 day', ledger_now() + interval '1 hour')";

async fn is_sealed(system: &System) {
    eventually("the letter to be sealed", || async {
        let sealed = "SELECT count(*) FROM mail WHERE body IS NULL AND sealed IS NOT NULL";
        if system.database.count(sealed).await == 1 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
}

async fn arrives(system: &System) {
    let now = "UPDATE mail SET try_at = ledger_now()";
    sqlx::query(now).execute(&system.database.pool).await.unwrap();
    let letters = eventually("the letter", || async {
        let letters = came(system, "dan@example.org").await;
        if letters.is_empty() { Err(system.workers[0].log()) } else { Ok(letters) }
    })
    .await;
    assert_eq!(letters[0]["body"].as_str().unwrap().trim_end(), "open sesame");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_lay_in_the_clear_is_sealed_and_sent_all_the_same() {
    let system = System::with_workers(1).await;
    sqlx::query(IN_THE_CLEAR).execute(&system.database.pool).await.unwrap();
    is_sealed(&system).await;
    arrives(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_waits_is_sealed_anew_when_keys_are_changed() {
    let mut system = System::with_workers(1).await;
    sqlx::query(IN_THE_CLEAR).execute(&system.database.pool).await.unwrap();
    is_sealed(&system).await;
    system.workers.clear();
    let old = system.environment["POSTROOM_KEYS"].clone();
    let new = generate(Cipher::Aes256Gcm);
    system.environment.insert("POSTROOM_KEYS".into(), format!("{new},{old}"));
    let done = system.told(&["keys", "rotate"]).await;
    assert_eq!((&done["letters"], &done["left"]), (&serde_json::json!(1), &serde_json::json!(0)), "{done}");
    system.environment.insert("POSTROOM_KEYS".into(), new);
    system.start_worker(&[]);
    arrives(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_does_not_take_this_houses_word_costs_no_letter() {
    let system = System::with_workers(1).await;
    system.tell("mail", &serde_json::json!({ "refuse_next": 1, "code": 535 })).await;
    let put = "INSERT INTO mail (id, to_address, subject, body, worthless_at, try_at, tries)
               VALUES (gen_random_uuid(), 'dan@example.org', 'Hello', 'x', ledger_now() + interval '1 hour', ledger_now(), 20)";
    sqlx::query(put).execute(&system.database.pool).await.unwrap();
    let refused =
        "SELECT count(*) FROM mail WHERE error LIKE '%535%' AND (body IS NOT NULL OR sealed IS NOT NULL)
                     AND try_at > ledger_now()";
    eventually("the refusal", || async {
        if system.database.count(refused).await == 1 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
    system
        .database
        .count("WITH now AS (UPDATE mail SET try_at = ledger_now() RETURNING id) SELECT count(*) FROM now")
        .await;
    eventually("the letter", || async {
        if came(&system, "dan@example.org").await.len() == 1 { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_will_never_be_taken_is_given_up_and_says_why() {
    let system = System::with_workers(1).await;
    system.tell("mail", &serde_json::json!({ "refuse_next": 1, "code": 550 })).await;
    // it was refused nine times before: once may be a server's mistake
    let put = "INSERT INTO mail (id, to_address, subject, body, worthless_at, try_at, tries)
               SELECT gen_random_uuid(), 'dan@example.org', 'Hello', 'x', ledger_now() + late, ledger_now(), 9
               FROM (VALUES (interval '1 hour'), (interval '-1 second')) AS t (late)";
    sqlx::query(put).execute(&system.database.pool).await.unwrap();
    eventually("both to be given up", || async {
        match system
            .database
            .count("SELECT count(*) FROM mail WHERE try_at IS NULL AND sent_at IS NULL")
            .await
        {
            2 => Ok(()),
            _ => Err(system.workers[0].log()),
        }
    })
    .await;
    let told = "SELECT count(*) FROM mail WHERE error LIKE '%550%' OR error LIKE '%in time%'";
    assert_eq!(system.database.count(told).await, 2);
    assert!(came(&system, "dan@example.org").await.is_empty());
}
