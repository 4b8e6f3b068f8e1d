//! A refresh in the corners: what stays as it is, what sleeps, what takes long.

use jobs::failpoint::Point;
use reqwest::Method;
use serde_json::json;

use super::{Life, PAST_HALF, asked, connected, film_on, generation, in_state, renewed, shown, tiktok};
use crate::harness::{FACEBOOK, System, eventually};

/// The intent to renew is durable.
async fn logged(system: &System) {
    eventually("the call to be logged", || async {
        let logged = system.database.count("SELECT count(*) FROM remote_call WHERE kind = 'refresh'").await;
        if logged == 1 { Ok(()) } else { Err(format!("{logged} calls")) }
    })
    .await;
}

/// A Page that the list of its person's Pages leaves out, as of some businesses: its token stays as it is.
async fn unlisted(system: &System, id: &str, life: Life) -> String {
    let (access, user) = (format!("page-{id}"), format!("user-of-{id}"));
    let listed = json!({
        "platform": FACEBOOK, "external_id": format!("{id}0"), "name": "listed",
        "access_token": format!("page-{id}0"), "user_token": user,
    });
    let known = json!({ "platform": FACEBOOK, "external_id": id, "name": id, "access_token": access });
    system.tell("accounts", &listed).await;
    system.tell("accounts", &known).await;
    connected(system, FACEBOOK, id, json!({ "access_token": access, "refresh_token": user }), life).await
}

/// No refresh is under way, nor about to be.
async fn settled(system: &System) {
    eventually("the refresh to be over", || async {
        let left = system.database.count("SELECT count(*) FROM job WHERE kind = 'token_refresh'").await;
        let due =
            "SELECT count(*) FROM account WHERE refresh_due_at <= ledger_now() AND state <> 'reconnect'";
        let due = system.database.count(due).await;
        if left == 0 && due == 0 { Ok(()) } else { Err(format!("{left} jobs, {due} due")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_token_stays_as_it_is_is_renewed_once() {
    let system = System::with_workers(1).await;
    let account = unlisted(&system, "104000000000555", (60, -1)).await;
    renewed(&system, &account, 2).await;
    settled(&system).await;
    let calls = "SELECT count(*) FROM remote_call WHERE kind = 'refresh'";
    assert_eq!(system.database.count(calls).await, 1);
    let lives = "SELECT count(*) FROM vault.token a JOIN vault.token r ON r.account_id = a.account_id \
                 WHERE a.field = 'access' AND r.field = 'refresh' AND a.issued_at < r.issued_at \
                   AND a.generation = 2 AND r.generation = 2 AND a.account_id::text = $1";
    assert_eq!(
        system.database.count_of(lives, &account).await,
        1,
        "its life is counted from when it was issued"
    );
    assert_eq!(shown(&system, &account).await["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_past_its_lease_does_not_send_what_another_has_renewed() {
    let mut system = System::start().await;
    let account = tiktok(&system, "asleep", PAST_HALF).await;
    system.start_worker(&[(Point::AfterRefreshLogged.word(), "stop")]);
    logged(&system).await;
    system.start_worker(&[]);
    renewed(&system, &account, 2).await;
    system.workers[0].signal("CONT").await;
    eventually("the first to see that it is too late", || async {
        let log = system.workers[0].log();
        if log.contains("lease has run out") || log.contains("fenced off") { Ok(()) } else { Err(log) }
    })
    .await;
    system.workers[0].signal("TERM").await;
    system.workers[0].ended().await;
    assert_eq!(asked(&system, Some("asleep")).await, 1, "the old one is not sent again");
    // the grant lives on: it is renewed once more
    system.api(Method::POST, &format!("/api/v1/accounts/{account}/refresh"), None).await;
    renewed(&system, &account, 3).await;
}

/// A network that renews at once and answers in three seconds, and a worker with these settings beside a long lease.
async fn slow_to_answer(name: &str, settings: &[(&str, &str)]) -> (System, String) {
    let mut system = System::start().await;
    for (setting, value) in [("POSTROOM__LEASE__LENGTH", "20s")].iter().chain(settings) {
        system.environment.insert((*setting).into(), (*value).into());
    }
    let fault = json!({ "answer_after_ms": 3000 });
    system.fault(json!({ "call": "token", "account": name, "times": 1, "fault": fault })).await;
    let account = tiktok(&system, name, PAST_HALF).await;
    system.start_worker(&[]);
    logged(&system).await;
    (system, account)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_outlasts_its_attempt_is_seen_through() {
    let settings = [("POSTROOM__JOBS__TOKEN_REFRESH__TIMEOUT", "2s")];
    let (system, account) = slow_to_answer("outlasting", &settings).await;
    renewed(&system, &account, 2).await;
    assert_eq!(asked(&system, Some("outlasting")).await, 1);
    assert_eq!(shown(&system, &account).await["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_sees_its_refresh_through() {
    let (mut system, account) = slow_to_answer("stopping", &[("POSTROOM__LEASE__GRACE", "1s")]).await;
    system.workers[0].signal("TERM").await;
    assert_eq!(system.workers[0].ended().await, Some(0), "{}", system.workers[0].log());
    assert_eq!((generation(&system, &account).await, asked(&system, Some("stopping")).await), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_that_no_read_can_settle_has_its_access_renewed() {
    let mut system = System::start().await;
    let account = tiktok(&system, "doubted", (1, 600)).await;
    let post = film_on(&system, &account, "sent, and then its token ended").await;
    system.start_worker(&[(Point::AfterCommitAnswer.word(), "kill9")]);
    assert_eq!(system.workers[0].ended().await, None);
    system.tell("tokens", &json!({ "access_token": "act-doubted", "state": "expired" })).await;
    system.start_worker(&[]);
    renewed(&system, &account, 2).await;
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_outlives_the_token_of_its_person() {
    let system = System::with_workers(1).await;
    let (id, user) = ("104000000000333", "user-333");
    let known = json!({
        "platform": FACEBOOK, "external_id": id, "name": id, "access_token": "page-333", "user_token": user,
    });
    system.tell("accounts", &known).await;
    system.tell("tokens", &json!({ "access_token": user, "state": "expired" })).await;
    let tokens = json!({ "access_token": "page-333", "refresh_token": user });
    let account = connected(&system, FACEBOOK, id, tokens, (60, 40)).await;
    eventually("what renews it to be given up", || async {
        let seen = shown(&system, &account).await;
        let known = seen["data_access_expires_at"].is_string();
        if known && seen["renewed_by_itself"] == false { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    settled(&system).await;
    assert_eq!(
        (&shown(&system, &account).await["state"], generation(&system, &account).await),
        (&json!("active"), 1)
    );
    // without its own one it is over
    system.tell("tokens", &json!({ "access_token": "page-333", "state": "expired" })).await;
    system.api(Method::POST, &format!("/api/v1/accounts/{account}/refresh"), None).await;
    in_state(&system, &account, "reconnect").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_look_finds_every_account_whose_turn_it_is() {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__RELAY__MEND_EVERY".into(), "1h".into());
    let many = "INSERT INTO account (id, workspace_id, platform, external_id, name, state, refresh_due_at)
                SELECT gen_random_uuid(), w.id, 'tiktok', 'many-' || n, 'many', 'paused', ledger_now()
                FROM workspace w, generate_series(1, 300) n";
    sqlx::query(many).execute(&system.database.pool).await.unwrap();
    system.start_worker(&[]);
    eventually("everybody's turn", || async {
        let left =
            system.database.count("SELECT count(*) FROM account WHERE refresh_due_at <= ledger_now()").await;
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;
}
