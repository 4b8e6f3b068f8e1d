//! Access that is kept alive: renewed once and in time, never twice, and never lost without its owner being told.

mod corners;
mod kept;
mod sealed;

use chrono::{TimeDelta, Utc};
use jobs::failpoint::Point;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{FACEBOOK, System, TIKTOK, eventually, film};

/// How long ago a token was issued, and in how long it ends, in minutes.
type Life = (i64, i64);
/// Past its half life, and it still lasts for a post.
const PAST_HALF: Life = (60, 40);
/// It ends before a post could be sent with it.
const NEARLY_OVER: Life = (60, 2);

fn at(minutes: i64) -> String {
    #[expect(clippy::disallowed_methods, reason = "the network's clock, as a person reads it")]
    let now = Utc::now();
    (now + TimeDelta::minutes(minutes)).to_rfc3339()
}

/// Connects an account with a token of this life, and gives our id of it.
async fn connected(system: &System, platform: &str, external: &str, pair: Value, life: Life) -> String {
    let (issued, ends) = (at(-life.0), at(life.1));
    let add = ["account", "add", "--workspace", "Bakery", "--offline", "--platform", platform];
    let of = ["--external-id", external, "--name", external, "--issued-at", &issued, "--expires-at", &ends];
    system.postroom(&[&add[..], &of[..]].concat(), &pair.to_string()).await
}

/// An account of TikTok's with a pair of its own, known to the network and to us.
async fn tiktok(system: &System, name: &str, life: Life) -> String {
    let (access, refresh) = (format!("act-{name}"), format!("rft-{name}"));
    let account = json!({
        "platform": TIKTOK, "external_id": name, "name": name, "access_token": access, "refresh_token": refresh,
    });
    system.tell("accounts", &account).await;
    connected(system, TIKTOK, name, json!({ "access_token": access, "refresh_token": refresh }), life).await
}

/// A Page that a person's token opens.
async fn page(system: &System, id: &str, user: &str, life: Life) -> String {
    let access = format!("page-{id}");
    let account = json!({
        "platform": FACEBOOK, "external_id": id, "name": id, "access_token": access, "user_token": user,
    });
    system.tell("accounts", &account).await;
    connected(system, FACEBOOK, id, json!({ "access_token": access, "refresh_token": user }), life).await
}

async fn film_on(system: &System, account: &str, caption: &str) -> String {
    let media = system.upload("film.mp4", film()).await;
    let target = json!({ "account_id": account, "options": { "privacy_level": "PUBLIC_TO_EVERYONE" } });
    let wish = json!({ "caption": caption, "kind": "post", "media_ids": [media], "targets": [target] });
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    post["id"].as_str().unwrap().to_owned()
}

/// An account as the API shows it.
async fn shown(system: &System, id: &str) -> Value {
    let (_, accounts) = system.api(Method::GET, "/api/v1/accounts?limit=200", None).await;
    accounts["data"].as_array().unwrap().iter().find(|it| it["id"] == id).unwrap().clone()
}

/// How many tokens are kept of an account.
const TOKENS: &str = "SELECT count(*) FROM vault.token WHERE account_id::text = $1";

/// The generation of an account's tokens.
async fn generation(system: &System, id: &str) -> i64 {
    system.database.count_of("SELECT token_generation FROM account WHERE id::text = $1", id).await
}

async fn renewed(system: &System, id: &str, generations: i64) {
    eventually("a renewal", || async {
        let found = generation(system, id).await;
        if found == generations { Ok(()) } else { Err(format!("{found}: {}", shown(system, id).await)) }
    })
    .await;
}

async fn in_state(system: &System, id: &str, state: &str) -> Value {
    eventually(state, || async {
        let account = shown(system, id).await;
        if account["state"] == state { Ok(account) } else { Err(account.to_string()) }
    })
    .await
}

/// How often the network was asked for a new pair, by account or by all.
async fn asked(system: &System, external: Option<&str>) -> usize {
    let calls = system.control("calls?call=token").await;
    let of = |call: &&Value| external.is_none_or(|external| call["account"] == external);
    calls["data"].as_array().unwrap().iter().filter(of).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_workers_renew_every_token_once_when_all_of_them_end_at_once() {
    let mut system = System::start().await;
    let mut accounts = Vec::new();
    for n in 0..12 {
        accounts.push(tiktok(&system, &format!("at-once-{n}"), NEARLY_OVER).await);
    }
    let mut posts = Vec::new();
    for (n, account) in accounts.iter().take(4).enumerate() {
        posts.push(film_on(&system, account, &format!("sent with a token that ends, {n}")).await);
    }
    for _ in 0..8 {
        system.start_worker(&[]);
    }
    for account in &accounts {
        renewed(&system, account, 2).await;
        assert_eq!(shown(&system, account).await["state"], "active");
    }
    // what waited for its access went out, once
    system.all_live_once(&posts).await;
    assert_eq!(asked(&system, None).await, accounts.len());
    let ok = "SELECT count(*) FROM remote_call WHERE kind = 'refresh' AND verdict = 'ok'";
    assert_eq!(system.database.count(ok).await, i64::try_from(accounts.len()).unwrap());
    assert_eq!(system.database.count("SELECT count(*) FROM remote_call WHERE kind = 'refresh'").await, 12);
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_before_it_asked_costs_nothing() {
    let mut system = System::start().await;
    let account = tiktok(&system, "killed-before", PAST_HALF).await;
    system.start_worker(&[(Point::AfterRefreshLogged.word(), "kill9")]);
    assert_eq!(system.workers[0].ended().await, None);
    system.start_worker(&[]);
    renewed(&system, &account, 2).await;
    assert_eq!(shown(&system, &account).await["state"], "active");
    assert_eq!(asked(&system, Some("killed-before")).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_after_the_networks_answer_costs_one_account_and_its_owner_is_told() {
    let mut system = System::start().await;
    let lost = tiktok(&system, "killed-after", PAST_HALF).await;
    system.start_worker(&[(Point::AfterRefreshAnswer.word(), "kill9")]);
    assert_eq!(system.workers[0].ended().await, None);
    let other = tiktok(&system, "another", PAST_HALF).await;
    system.start_worker(&[]);
    renewed(&system, &other, 2).await;
    let told = in_state(&system, &lost, "reconnect").await;
    assert!(told["state_reason"].as_str().unwrap().contains("connected again"), "{told}");
    assert_eq!(told["ends"]["because"], "reconnect");
    assert_eq!(asked(&system, Some("killed-after")).await, 2, "tried once more, and no more");
    // nothing is deleted, and whoever connects it anew has it back
    assert_eq!(system.database.count_of(TOKENS, &lost).await, 2);
    let anew = tiktok(&system, "killed-after", (0, 600)).await;
    assert_eq!(anew, lost);
    let post = film_on(&system, &lost, "after it was connected again").await;
    system.all_live_once(&[post]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_after_it_saved_asks_no_more() {
    let mut system = System::start().await;
    let account = tiktok(&system, "killed-saved", PAST_HALF).await;
    system.start_worker(&[(Point::AfterRefreshSaved.word(), "kill9")]);
    assert_eq!(system.workers[0].ended().await, None);
    system.start_worker(&[]);
    eventually("the job to be over", || async {
        let left = system.database.count("SELECT count(*) FROM job WHERE kind = 'token_refresh'").await;
        if left == 0 { Ok(()) } else { Err(format!("{left} jobs")) }
    })
    .await;
    assert_eq!((generation(&system, &account).await, asked(&system, Some("killed-saved")).await), (2, 1));
    assert_eq!(shown(&system, &account).await["state"], "active");
}

async fn lost_answer(fault: &str) {
    let system = System::with_workers(1).await;
    let rule = json!({ "call": "token", "account": "lost", "times": 1, "fault": fault });
    system.fault(rule).await;
    let lost = tiktok(&system, "lost", PAST_HALF).await;
    let other = tiktok(&system, "other", PAST_HALF).await;
    in_state(&system, &lost, "reconnect").await;
    renewed(&system, &other, 2).await;
    assert_eq!((generation(&system, &lost).await, asked(&system, Some("lost")).await), (1, 2));
    let calls = "SELECT count(*) FROM remote_call WHERE kind = 'refresh' AND verdict = 'ambiguous'";
    assert_eq!(system.database.count(calls).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_lost_behind_a_500_costs_that_account_alone() {
    lost_answer("effect_then_500").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_lost_behind_a_dropped_connection_costs_that_account_alone() {
    lost_answer("effect_then_drop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_away_disconnects_nobody() {
    let system = System::with_workers(1).await;
    let rule = json!({ "call": "token", "account": "away", "times": 2, "fault": "no_effect_then_500" });
    system.fault(rule).await;
    let account = tiktok(&system, "away", PAST_HALF).await;
    renewed(&system, &account, 2).await;
    assert_eq!(shown(&system, &account).await["state"], "active");
    assert_eq!(asked(&system, Some("away")).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_refused_disconnects_nobody() {
    let system = System::with_workers(1).await;
    let fault = json!({ "tiktok": { "code": "invalid_client", "http": 401, "effect": false } });
    system.fault(json!({ "call": "token", "times": 1, "fault": fault })).await;
    let account = tiktok(&system, "app-at-fault", PAST_HALF).await;
    eventually("a job that failed", || async {
        let failed = "SELECT count(*) FROM job_history WHERE kind = 'token_refresh' AND outcome = 'failed'";
        if system.database.count(failed).await == 1 { Ok(()) } else { Err("none yet".into()) }
    })
    .await;
    assert_eq!(shown(&system, &account).await["state"], "active");
    let put_off = "SELECT count(*) FROM account WHERE refresh_due_at > ledger_now() + interval '15 minutes'
                   AND refresh_wait > interval '15 minutes' AND id::text = $1";
    assert_eq!(system.database.count_of(put_off, &account).await, 1, "nothing but people mend that");
    let path = format!("/api/v1/accounts/{account}/refresh");
    system.api(Method::POST, &path, None).await;
    renewed(&system, &account, 2).await;
    assert_eq!(shown(&system, &account).await["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_whose_token_is_refused_waits_for_the_next_one() {
    let mut system = System::start().await;
    let account = tiktok(&system, "refused", (1, 600)).await;
    let expired = json!({ "access_token": "act-refused", "state": "expired" });
    system.tell("tokens", &expired).await;
    let post = film_on(&system, &account, "with the second token").await;
    system.start_worker(&[]);
    system.all_live_once(&[post]).await;
    assert_eq!((generation(&system, &account).await, asked(&system, Some("refused")).await), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_may_ask_for_a_renewal() {
    let system = System::with_workers(1).await;
    let account = tiktok(&system, "asked", (1, 600)).await;
    let path = format!("/api/v1/accounts/{account}/refresh");
    let (status, job) = system.api(Method::POST, &path, None).await;
    assert_eq!((status, &job["kind"], &job["account_id"]), (202, &json!("token_refresh"), &json!(account)));
    renewed(&system, &account, 2).await;
    let nobody = "/api/v1/accounts/0193a5b2-7c1e-7d3f-9a4b-5c6d7e8f9a0b/refresh";
    assert_eq!(system.api(Method::POST, nobody, None).await.0, 404);
    let bad = json!({ "soon": true });
    assert_eq!(system.api(Method::POST, nobody, Some(&bad)).await.0, 404, "whatever else is wrong");
    let (status, problem) = system.api(Method::POST, &path, Some(&bad)).await;
    assert_eq!(status, 422, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pages_token_is_read_again_with_the_persons_and_what_is_left_of_it_is_kept() {
    let system = System::with_workers(1).await;
    let account = page(&system, "104000000000777", "user-777", (60, 2)).await;
    system.tell("tokens", &json!({ "access_token": "page-104000000000777", "state": "expired" })).await;
    renewed(&system, &account, 2).await;
    let seen = eventually("what Meta tells", || async {
        let seen = shown(&system, &account).await;
        if seen["data_access_expires_at"].is_string() { Ok(seen) } else { Err(seen.to_string()) }
    })
    .await;
    assert_eq!((&seen["state"], &seen["renewed_by_itself"]), (&json!("active"), &json!(true)));
    assert_eq!((&seen["token_expires_at"], &seen["missing_scopes"]), (&json!(null), &json!([])));
    let wish =
        json!({ "caption": "by the new token", "kind": "post", "targets": [{ "account_id": account }] });
    let (_, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
}

/// Asks about a Page whose token was put into this state, and gives what came of it.
async fn examined(system: &System, id: &str, state: Value) -> Value {
    let access = format!("page-{id}");
    let known = json!({ "platform": FACEBOOK, "external_id": id, "name": id, "access_token": access });
    system.tell("accounts", &known).await;
    system.tell("tokens", &json!({ "access_token": access, "state": state })).await;
    let account = connected(system, FACEBOOK, id, json!({ "access_token": access }), (0, 6000)).await;
    let (status, _) = system.api(Method::POST, &format!("/api/v1/accounts/{account}/refresh"), None).await;
    assert_eq!(status, 202);
    in_state(system, &account, "reconnect").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_says_of_a_token_decides_what_becomes_of_it() {
    let system = System::with_workers(1).await;
    let tokens = |account: &Value| {
        let id = account["id"].as_str().unwrap().to_owned();
        let system = &system;
        async move { system.database.count_of(TOKENS, &id).await }
    };
    let checkpoint = examined(&system, "104000000000459", json!({ "subcode": 459 })).await;
    assert!(checkpoint["state_reason"].as_str().unwrap().contains("pass a check"), "{checkpoint}");
    assert_eq!(tokens(&checkpoint).await, 1);
    let removed = examined(&system, "104000000000458", json!("revoked")).await;
    assert!(removed["state_reason"].as_str().unwrap().contains("removed"), "{removed}");
    assert_eq!(tokens(&removed).await, 0, "what the owner took back is not kept");
    // the check was passed: whoever asks again has the account back
    system.tell("tokens", &json!({ "access_token": "page-104000000000459", "state": "valid" })).await;
    let id = checkpoint["id"].as_str().unwrap();
    system.api(Method::POST, &format!("/api/v1/accounts/{id}/refresh"), None).await;
    in_state(&system, id, "active").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_that_are_missing_are_told_with_what_they_break() {
    let system = System::with_workers(1).await;
    let id = "104000000000999";
    let known = json!({
        "platform": FACEBOOK, "external_id": id, "name": id, "access_token": "page-999", "scopes": ["pages_show_list"],
    });
    system.tell("accounts", &known).await;
    let account = connected(&system, FACEBOOK, id, json!({ "access_token": "page-999" }), (0, 6000)).await;
    let later = json!({ "at": at(600).get(..16).unwrap(), "time_zone": "UTC" });
    let target = json!({ "account_id": account });
    let wish = json!({ "caption": "tomorrow", "kind": "post", "targets": [target], "schedule": later });
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    system.api(Method::POST, &format!("/api/v1/accounts/{account}/refresh"), None).await;
    let told = eventually("the missing scope", || async {
        let seen = shown(&system, &account).await;
        if seen["ends"]["because"] == "scopes" { Ok(seen) } else { Err(seen.to_string()) }
    })
    .await;
    assert_eq!(told["missing_scopes"], json!(["pages_manage_posts", "pages_read_engagement"]));
    assert_eq!(
        (&told["ends"]["breaks_total"], &told["ends"]["breaks"][0]["post_id"]),
        (&json!(1), &post["id"])
    );
    assert_eq!(told["state"], "active", "a scope that is missing disconnects nobody");
}
