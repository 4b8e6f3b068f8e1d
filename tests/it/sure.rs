//! What is hardest to undo asks again who is there, unless they have said so within ten minutes.

use axum::http::StatusCode;
use postroom::ledger::people::MemberRole;
use uuid::Uuid;

use crate::{
    console::{Browser, hidden},
    support::Door,
};

/// So many seconds more have passed since anybody has said who they are.
async fn pass(door: &Door, seconds: i64) {
    let passed = format!(
        "UPDATE session SET data = jsonb_set(data, '{{sure}}', to_jsonb((data ->> 'sure')::bigint - {seconds}))
         WHERE data ? 'sure'"
    );
    door.scratch.run(&passed).await;
}

async fn keys(door: &Door) -> i64 {
    door.scratch.number("SELECT count(*) FROM api_key").await
}

#[tokio::test]
async fn what_is_hardest_to_undo_is_not_done_before_somebody_says_again_who_they_are() {
    let door = Door::open().await;
    let mut admin = Browser::of(&door, MemberRole::Admin).await;
    let (token, nobody) = (admin.token.clone(), Uuid::nil());
    pass(&door, 601).await;
    for path in [
        "/keys".to_owned(),
        "/webhooks".to_owned(),
        format!("/webhooks/{nobody}/rotate"),
        format!("/webhooks/{nobody}/remove"),
        format!("/accounts/{nobody}/disconnect"),
        format!("/people/{nobody}/remove"),
        "/privacy/requests".to_owned(),
        "/privacy/exports".to_owned(),
        "/profile/copy".to_owned(),
        format!("/posts/{nobody}/retry"),
        format!("/posts/{nobody}/publications/{nobody}/verdict"),
    ] {
        let asked = admin.form(&path, &[("token", &token), ("reason", "a “b” <c>")]).await;
        assert_eq!(asked.status, StatusCode::FORBIDDEN, "{path}: {}", asked.text);
        let page = &asked.text;
        assert!(
            page.contains("Is it you?") && page.contains(&format!("action=\"{path}\"")),
            "{path}: {page}"
        );
        assert!(page.contains("name=\"sure_password\"") && !page.contains("<c>"), "{path}: {page}");
        assert_eq!(hidden(page, "token"), token, "{path}");
        let planted = admin.form(&path, &[("token", "wrong")]).await;
        assert_eq!(planted.status, StatusCode::FORBIDDEN, "{path}");
        assert!(!planted.text.contains("Is it you?"), "nobody is asked for another's form: {}", planted.text);
    }
    // what is undone with one click asks nobody
    let theme = admin.form("/theme", &[("token", &token), ("theme", "dark")]).await;
    assert_eq!(theme.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn whoever_gives_their_password_goes_on_with_what_they_were_doing_and_is_left_alone_for_ten_minutes() {
    let door = Door::open().await;
    let mut admin = Browser::of(&door, MemberRole::Admin).await;
    let member = door.person("dan@example.org", MemberRole::Author).await;
    let token = admin.token.clone();
    let form = [("token", token.as_str()), ("name", "robot"), ("posts:read", "yes"), ("lasts", "30")];
    let with = |password| [&form[..], &[("sure_password", password)]].concat();
    let before = keys(&door).await;
    pass(&door, 601).await;
    assert_eq!(admin.form("/keys", &form).await.status, StatusCode::FORBIDDEN);
    let wrong = admin.form("/keys", &with("guessed")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.text);
    assert!(wrong.text.contains("The password is wrong") && hidden(&wrong.text, "name") == "robot");
    assert_eq!(keys(&door).await, before);
    let made = admin.form("/keys", &with("open sesame")).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    assert!(made.text.contains("robot"), "{}", made.text);
    assert_eq!(keys(&door).await, before + 1, "with everything that was written");
    let kept = "SELECT count(*) FROM api_key WHERE name = 'robot' AND scopes::text LIKE '%posts:read%'";
    assert_eq!(door.scratch.number(kept).await, 1);
    pass(&door, 590).await;
    let path = format!("/people/{member}/remove");
    let removed = admin.form(&path, &[("token", &token)]).await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER, "they are not asked again: {}", removed.text);
    pass(&door, 20).await;
    assert_eq!(admin.form("/keys", &form).await.status, StatusCode::FORBIDDEN, "and then they are");
}

#[tokio::test]
async fn guessing_it_in_a_session_that_was_left_open_gets_slow_and_is_written_down() {
    let door = Door::open().await;
    let mut admin = Browser::of(&door, MemberRole::Admin).await;
    let token = admin.token.clone();
    let before = keys(&door).await;
    let with = |password| {
        [("token", token.as_str()), ("name", "robot"), ("posts:read", "yes"), ("sure_password", password)]
    };
    pass(&door, 601).await;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(admin.form("/keys", &with("guessed")).await.status);
    }
    assert_eq!(statuses[0], StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(statuses[9], StatusCode::TOO_MANY_REQUESTS, "{statuses:?}");
    let right = admin.form("/keys", &with("open sesame")).await;
    assert_eq!((right.status, keys(&door).await), (StatusCode::TOO_MANY_REQUESTS, before));
    let noted = "SELECT count(*) FROM audit WHERE action = 'sign_in_failed' AND actor = 'person'
                   AND actor_id::text = object_id AND (detail ->> 'failures')::int = 6";
    assert_eq!(door.scratch.number(noted).await, 1, "the first that is not free");
    assert_eq!(admin.get("/posts").await.status, StatusCode::OK, "all else goes on");
}

#[tokio::test]
async fn who_has_neither_a_password_nor_google_is_told_what_to_do() {
    let door = Door::open().await;
    let mut admin = Browser::of(&door, MemberRole::Admin).await;
    let token = admin.token.clone();
    door.scratch.run("UPDATE person SET password_hash = NULL").await;
    pass(&door, 601).await;
    let asked = admin.form("/privacy/exports", &[("token", &token)]).await;
    assert_eq!(asked.status, StatusCode::FORBIDDEN);
    assert!(asked.text.contains("Set a password first") && asked.text.contains("/forgot"), "{}", asked.text);
    let empty = admin.form("/privacy/exports", &[("token", &token), ("sure_password", "")]).await;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", empty.text);
}
