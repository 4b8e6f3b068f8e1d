//! Accounts that are connected through their network's dialog: once, by whoever began, and with nothing left over.

mod granted;
mod killed;
mod person;
mod under_way;

use self::person::{Fields, field};
pub use self::person::{Person, token};
use jobs::failpoint::Point;
use postroom::ledger::{
    accounts::{NewAccount, connect_account},
    keyring::{Cipher, generate},
};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{
    deletions::{deleted, done},
    harness::{FACEBOOK, INSTAGRAM, System, TIKTOK, eventually},
    support::Door,
};

/// A Page of a person's at Meta, with more about it.
pub async fn page(system: &System, id: &str, more: Value) {
    let mut account = json!({
        "platform": FACEBOOK, "external_id": id, "name": format!("Page {id}"), "access_token": format!("token-{id}"),
        "subject_id": "7001",
    });
    account.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    system.tell("accounts", &account).await;
}

/// The Instagram account behind a Page.
async fn instagram(system: &System, id: &str, page: &str) {
    let account = json!({
        "platform": INSTAGRAM, "external_id": id, "name": format!("insta.{id}"), "access_token": format!("token-{page}"),
        "subject_id": "7001",
    });
    system.tell("accounts", &account).await;
}

/// An account as the API shows it, by the network's id.
pub async fn shown(system: &System, external: &str) -> Option<Value> {
    let (_, accounts) = system.api(Method::GET, "/api/v1/accounts?limit=200", None).await;
    accounts["data"].as_array().unwrap().iter().find(|it| it["external_id"] == external).cloned()
}

pub fn key(platform: &str, id: &str) -> String {
    format!("{platform}/{id}")
}

async fn secrets(system: &System) -> i64 {
    system.database.count("SELECT count(*) FROM vault.connection_secret").await
}

/// Waits until what a dialog gave is shredded: where nothing rests on it, it is given back first.
async fn no_secrets(system: &System) {
    eventually("the secrets to be gone", || async {
        let left = secrets(system).await;
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
}

/// What became of what the last dialog gave.
async fn given_back(system: &System, how: &str) {
    let last = "SELECT coalesce(parting::text, 'nothing') FROM connection ORDER BY created_at DESC LIMIT 1";
    eventually(how, || async {
        let parting: String = sqlx::query_scalar(last).fetch_one(&system.database.pool).await.unwrap();
        if parting == how { Ok(()) } else { Err(parting) }
    })
    .await;
    assert_eq!(secrets(system).await, 0, "it is shredded in the same step");
}

/// How often Meta was asked to take access back.
async fn revocations(system: &System) -> usize {
    let calls = system.control("calls?call=permissions").await;
    calls["data"].as_array().unwrap().iter().filter(|call| call["method"] == "DELETE").count()
}

/// Makes it known who granted what there is: what nobody wrote down may rest on anybody's grant.
async fn granted_by_others(system: &System) {
    let known = "UPDATE account SET subject_id = '1000218475' WHERE platform <> 'tiktok'";
    sqlx::query(known).execute(&system.database.pool).await.unwrap();
}

async fn expire(system: &System) {
    sqlx::query("UPDATE connection SET expires_at = ledger_now() WHERE ended_at IS NULL")
        .execute(&system.database.pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dialog_gave_that_nobody_chose_from_is_given_back() {
    // P-D5
    let system = System::with_workers(1).await;
    granted_by_others(&system).await;
    page(&system, "104000000000981", json!({})).await;
    let staff = Person::admin(&system).await;
    let at = staff.goes(FACEBOOK, &["104000000000981"], &[]).await;
    staff.rests(&at).await;
    assert_eq!((secrets(&system).await, revocations(&system).await), (1, 0));
    expire(&system).await;
    given_back(&system, "revoked").await;
    assert_eq!(revocations(&system).await, 1);
    let closed =
        "SELECT count(*) FROM remote_call WHERE kind = 'revoke' AND account_id IS NULL AND verdict = 'ok'";
    assert_eq!(system.database.count(closed).await, 1);
    system.every_call_was_logged_first().await;
    // whoever begins anew connects as ever
    page(&system, "104000000000981", json!({})).await;
    staff.connects(FACEBOOK, &["104000000000981"], &[&key(FACEBOOK, "104000000000981")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dialog_gave_at_tiktok_is_given_back_and_what_an_account_rests_on_is_not() {
    let system = System::with_workers(1).await;
    let account = json!({
        "platform": TIKTOK, "external_id": "open-981", "name": "open-981",
        "access_token": "act-open-981", "refresh_token": "rft-open-981",
    });
    system.tell("accounts", &account).await;
    let staff = Person::admin(&system).await;
    let at = staff.goes(TIKTOK, &["open-981"], &[]).await;
    staff.rests(&at).await;
    expire(&system).await;
    given_back(&system, "revoked").await;
    system.tell("accounts", &account).await;
    staff.connects(TIKTOK, &["open-981"], &[&key(TIKTOK, "open-981")]).await;
    let at = staff.goes(TIKTOK, &["open-981"], &[]).await;
    staff.rests(&at).await;
    expire(&system).await;
    given_back(&system, "kept").await;
    assert_eq!(shown(&system, "open-981").await.unwrap()["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dialog_gave_that_accounts_rest_on_too_is_kept_for_them() {
    let system = System::with_workers(1).await;
    granted_by_others(&system).await;
    page(&system, "104000000000982", json!({})).await;
    let staff = Person::admin(&system).await;
    staff.connects(FACEBOOK, &["104000000000982"], &[&key(FACEBOOK, "104000000000982")]).await;
    let at = staff.goes(FACEBOOK, &["104000000000982"], &[]).await;
    staff.rests(&at).await;
    expire(&system).await;
    given_back(&system, "kept").await;
    assert_eq!(revocations(&system).await, 0);
    assert_eq!(shown(&system, "104000000000982").await.unwrap()["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_of_which_nothing_could_be_read_is_given_back_once_it_is_known_whose_it_is() {
    let system = System::with_workers(1).await;
    granted_by_others(&system).await;
    page(&system, "104000000000983", json!({ "business": "900000000000983" })).await;
    let staff = Person::admin(&system).await;
    // with both lists declined no Page is named, and the connection ends before anybody has asked whose the grant is
    let declined = ["pages_show_list", "business_management"];
    let at = staff.goes(FACEBOOK, &["104000000000983"], &declined).await;
    staff.rests(&at).await;
    let refused = "SELECT count(*) FROM connection WHERE state = 'refused' AND why ->> 'code' = 'no_list'";
    assert_eq!(system.database.count(refused).await, 1);
    given_back(&system, "revoked").await;
    let known = "SELECT count(*) FROM connection WHERE subject_id IS NOT NULL";
    assert_eq!((system.database.count(known).await, revocations(&system).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dialog_gave_to_somebody_who_is_deleted_before_they_chose_is_given_back() {
    // P-D7
    let system = System::with_workers(1).await;
    granted_by_others(&system).await;
    page(&system, "104000000000984", json!({})).await;
    let staff = Person::admin(&system).await;
    let at = staff.goes(FACEBOOK, &["104000000000984"], &[]).await;
    staff.rests(&at).await;
    assert_eq!((secrets(&system).await, revocations(&system).await), (1, 0));
    let (id, _) = deleted(&system, &["--email", "staff@example.com"]).await;
    done(&system, &id).await;
    assert_eq!((secrets(&system).await, revocations(&system).await), (0, 1));
    assert_eq!(system.database.count("SELECT count(*) FROM connection").await, 0);
    let left = "SELECT count(*) FROM person WHERE email = 'staff@example.com'";
    assert_eq!(system.database.count(left).await, 0);
    system.every_call_was_logged_first().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_and_the_instagram_behind_it_are_connected_and_nothing_of_the_way_is_left() {
    let system = System::with_workers(1).await;
    page(&system, "104000000000801", json!({})).await;
    instagram(&system, "17841400000000801", "104000000000801").await;
    let staff = Person::admin(&system).await;
    let dialog = staff.begin(FACEBOOK).await;
    let back = staff.decides(&dialog, &["104000000000801"], &[]).await;
    let code = back.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    assert!(code.len() > 20, "{back}");
    let at = staff.comes_back(&back).await;
    let text = staff.rests(&at).await;
    assert!(text.contains("Instagram account of the Page “Page 104000000000801”"), "{text}");
    let keys = [key(FACEBOOK, "104000000000801"), key(INSTAGRAM, "17841400000000801")];
    staff.chooses(&at, &text, &[&keys[0], &keys[1]]).await;
    let done = staff.rests(&at).await;
    assert_eq!(done.matches(">Connected</p>").count(), 2, "{done}");

    for id in ["104000000000801", "17841400000000801"] {
        let account = shown(&system, id).await.expect("it is connected");
        assert_eq!((&account["state"], &account["renewed_by_itself"]), (&json!("active"), &json!(true)));
        assert!(account["data_access_expires_at"].is_string(), "{account}");
        let wish = json!({ "caption": format!("on {id}"), "kind": "post", "targets": [{ "account_id": account["id"] }] });
        if account["platform"] == FACEBOOK {
            let (_, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
            system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
        }
    }
    let subjects = "SELECT count(*) FROM account WHERE subject_id = '7001' AND connected_by IS NOT NULL";
    assert_eq!(system.database.count(subjects).await, 2);
    let written = "SELECT count(*) FROM audit JOIN account a ON a.id::text = object_id
                   WHERE action = 'account_connected' AND actor = 'person' AND actor_id = a.connected_by";
    assert_eq!(system.database.count(written).await, 2, "whoever chose has connected them");
    system.every_call_was_logged_first().await;

    // P-C3: the code is nowhere, and nothing secret of the way is kept
    assert_eq!(secrets(&system).await, 0);
    for file in std::fs::read_dir(system.logs()).unwrap().map(|entry| entry.unwrap().path()) {
        let log = file.extension().is_some_and(|kind| kind == "log");
        let text = if log { std::fs::read_to_string(&file).unwrap() } else { String::new() };
        assert!(
            !text.contains(&code) && !text.contains("EAAC") && !text.contains("EAAU"),
            "{}",
            file.display()
        );
    }
    for table in ["connection", "job", "job_history", "attempt", "remote_call", "session"] {
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t"
        )))
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
        assert!(!rows.contains(&code) && !rows.contains("EAAU"), "{table}");
    }
    let client = redis::Client::open(system.environment["REDIS_URL"].as_str()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let names: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await.unwrap();
    for name in names {
        let whole: Option<Vec<u8>> = redis::cmd("DUMP").arg(&name).query_async(&mut redis).await.unwrap();
        let text = String::from_utf8_lossy(&whole.unwrap_or_default()).into_owned();
        assert!(!text.contains(&code) && !text.contains("EAAU"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn web_puts_a_code_away_and_cannot_read_it() {
    let system = System::start().await;
    let staff = Person::admin(&system).await;
    page(&system, "104000000000802", json!({})).await;
    let back = staff.decides(&staff.begin(FACEBOOK).await, &["104000000000802"], &[]).await;
    staff.comes_back(&back).await;
    let code = back.split("code=").nth(1).unwrap().split('&').next().unwrap();
    assert_eq!(secrets(&system).await, 1);
    let blob: Vec<u8> = sqlx::query_scalar("SELECT sealed FROM vault.connection_secret")
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    assert!(!String::from_utf8_lossy(&blob).contains(code));
    let mut connection = system.database.pool.acquire().await.unwrap();
    let name: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&mut *connection).await.unwrap();
    sqlx::query("SELECT set_config('role', $1, false)")
        .bind(format!("{name}_web"))
        .execute(&mut *connection)
        .await
        .unwrap();
    let denied = sqlx::query("SELECT sealed FROM vault.connection_secret").execute(&mut *connection).await;
    assert!(denied.unwrap_err().to_string().contains("permission denied"));
    // and nothing goes through the slit but what belongs there
    let kept: Option<bool> = sqlx::query_scalar(
        "SELECT keep_connection_secret((SELECT id FROM connection LIMIT 1), 'grant', 'k', 'x'::bytea)",
    )
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    assert_eq!(kept, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_with_who_can_mend_it_and_cannot_be_chosen() {
    let system = System::with_workers(1).await;
    page(&system, "104000000000811", json!({ "tasks": ["ANALYZE", "MODERATE"] })).await;
    page(&system, "104000000000812", json!({ "left_out": ["pages_manage_posts"] })).await;
    page(&system, "104000000000813", json!({})).await;
    instagram(&system, "17841400000000813", "104000000000813").await;
    let staff = Person::admin(&system).await;
    let ids = ["104000000000811", "104000000000812", "104000000000813"];
    let at = staff.goes(FACEBOOK, &ids, &["instagram_content_publish"]).await;
    let text = staff.rests(&at).await;
    let part = |id: &str| {
        let rest =
            text.split(&format!("/{id}\">")).nth(1).unwrap_or_else(|| panic!("{id} is not shown: {text}"));
        rest.split("</li>\n").next().unwrap().to_owned()
    };
    assert!(part("104000000000811").contains("the task CREATE_CONTENT is missing"), "{text}");
    assert!(part("104000000000811").contains("Whoever manages the Page"), "{text}");
    assert!(
        part("104000000000812").contains("not chosen in the dialog for the permission pages_manage_posts")
    );
    assert!(part("104000000000812").contains("no Instagram business account behind this Page"));
    assert!(part("17841400000000813").contains("The permission instagram_content_publish was not granted"));
    assert!(part("17841400000000813").contains("Go through the dialog again"));
    assert!(!part("104000000000813").contains("disabled"));
    // whoever sends what is not offered gets nothing
    let sent = staff.chooses(&at, &text, &[&key(FACEBOOK, "104000000000811"), &key(FACEBOOK, "1")]).await;
    assert!(sent.status == 200 && sent.text.contains("Choose at least one account"), "{}", sent.text);
    // what is lost between the offer and the choice is not connected either
    page(&system, "104000000000813", json!({ "tasks": ["ANALYZE"], "user_token": null })).await;
    staff.chooses(&at, &text, &[&key(FACEBOOK, "104000000000813")]).await;
    let done = staff.rests(&at).await;
    assert!(done.contains("Not connected</p>") && !done.contains(">Connected</p>"), "{done}");
    assert_eq!(system.database.count("SELECT count(*) FROM account").await, 3, "the ones there were");
    no_secrets(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_held_through_a_business_alone_is_connected() {
    let system = System::with_workers(1).await;
    page(&system, "104000000000821", json!({ "business": "900000000000001" })).await;
    let staff = Person::admin(&system).await;
    staff.connects(FACEBOOK, &["104000000000821"], &[&key(FACEBOOK, "104000000000821")]).await;
    assert_eq!(shown(&system, "104000000000821").await.unwrap()["state"], "active");
    // without the permission to see businesses it is not found, and that is said
    let at = staff.goes(FACEBOOK, &["104000000000821"], &["business_management"]).await;
    assert!(staff.rests(&at).await.contains("names no account that was granted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_that_is_declined_connects_nothing_and_says_so() {
    // P-S2
    let system = System::with_workers(1).await;
    page(&system, "104000000000831", json!({})).await;
    let staff = Person::admin(&system).await;
    let dialog = staff.begin(FACEBOOK).await;
    let mut fields: Fields = dialog.parse::<url::Url>().unwrap().query_pairs().into_owned().collect();
    fields.push(field("decision", "deny"));
    let sent = staff.post(dialog.split('?').next().unwrap(), &fields).await;
    assert!(sent.location.contains("error=access_denied"), "{}", sent.location);
    let at = staff.comes_back(&sent.location).await;
    assert!(staff.rests(&at).await.contains("The access was declined in the dialog of Facebook"));
    // a dialog that is left with the list of Pages declined opens nothing
    let at = staff.goes(FACEBOOK, &[], &["pages_show_list"]).await;
    let text = staff.rests(&at).await;
    assert!(text.contains("Nothing was connected"), "{text}");
    assert_eq!(system.database.count("SELECT count(*) FROM account").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_counts_once_and_only_for_whoever_began() {
    let system = System::start().await;
    page(&system, "104000000000841", json!({})).await;
    let staff = Person::admin(&system).await;
    let ids = ["104000000000841"];
    let refused = async |who: &Person<'_>, address: &str, why: &str| {
        let got = who.get(address).await;
        assert_eq!(got.status, 409, "{why}: {}", got.text);
        assert!(got.text.contains("This was not begun here by you"), "{why}: {}", got.text);
    };
    let back = staff.decides(&staff.begin(FACEBOOK).await, &ids, &[]).await;
    // the same person in another session, and nobody at all
    let elsewhere = Person::admin(&system).await;
    refused(&elsewhere, &back, "another session").await;
    let nobody = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let turned = nobody.get(&back).send().await.unwrap();
    let to = turned.headers()["location"].to_str().unwrap();
    assert!(to.starts_with("/sign-in") && !to.contains("code"), "{to}");
    // by another network's address, and with a state that nobody gave
    refused(&staff, &back.replace("/connect/facebook_page/", "/connect/tiktok/"), "another network").await;
    let (before, _) = back.split_once("state=").unwrap();
    refused(&staff, &format!("{before}state=forged"), "a forged state").await;
    assert_eq!(staff.get(&system.url("/connect/facebook_page/callback?state=x")).await.status, 400);
    // another workspace of the same person
    system.postroom(&["workspace", "add", "Cafe"], "").await;
    let member = "INSERT INTO membership (person_id, workspace_id, role)
                  SELECT p.id, w.id, 'admin' FROM person p, workspace w WHERE w.name = 'Cafe'";
    sqlx::query(member).execute(&system.database.pool).await.unwrap();
    let cafe: String = sqlx::query_scalar("SELECT id::text FROM workspace WHERE name = 'Cafe'")
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    let bakery: String = sqlx::query_scalar("SELECT id::text FROM workspace WHERE name = 'Bakery'")
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    let switch = async |to: &str| {
        let page = staff.get("/posts").await;
        let fields = vec![field("token", &token(&page.text)), field("workspace", to)];
        assert_eq!(staff.post("/workspace", &fields).await.status, 303);
    };
    switch(&cafe).await;
    refused(&staff, &back, "another workspace").await;
    switch(&bakery).await;
    // nothing of all that has used it up: it counts, once
    staff.comes_back(&back).await;
    refused(&staff, &back, "a second time").await;
    assert_eq!(system.database.count("SELECT count(*) FROM job WHERE kind = 'connect'").await, 1);
    // and not after its time
    let late = staff.decides(&staff.begin(FACEBOOK).await, &ids, &[]).await;
    sqlx::query("UPDATE connection SET expires_at = ledger_now() WHERE state = 'asked'")
        .execute(&system.database.pool)
        .await
        .unwrap();
    refused(&staff, &late, "too late").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_used_before_connects_nothing() {
    let system = System::with_workers(1).await;
    page(&system, "104000000000851", json!({})).await;
    let staff = Person::admin(&system).await;
    let code = |back: &str| back.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let first = staff.decides(&staff.begin(FACEBOOK).await, &["104000000000851"], &[]).await;
    let at = staff.comes_back(&first).await;
    staff.rests(&at).await;
    // the same code, brought to a connection of one's own
    let second = staff.decides(&staff.begin(FACEBOOK).await, &["104000000000851"], &[]).await;
    let at = staff.comes_back(&second.replace(&code(&second), &code(&first))).await;
    let text = staff.rests(&at).await;
    assert!(text.contains("it was used before, or is too old"), "{text}");
    assert_eq!(secrets(&system).await, 1, "only the first connection keeps something");
    let calls = "SELECT count(*) FROM remote_call WHERE kind = 'connect' AND verdict = 'definite_no'";
    assert_eq!(system.database.count(calls).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_app_connects_nothing() {
    let system = System::with_workers(1).await;
    page(&system, "104000000000861", json!({})).await;
    system.tell("settings", &json!({ "graph_app_id": "somebody-elses" })).await;
    let staff = Person::admin(&system).await;
    let at = staff.goes(FACEBOOK, &["104000000000861"], &[]).await;
    let text = staff.rests(&at).await;
    assert!(text.contains("belongs to another app"), "{text}");
    assert_eq!(shown(&system, "104000000000861").await, None);
    no_secrets(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_connected_again_keeps_its_row_and_its_posts_go_on() {
    let system = System::with_workers(1).await;
    page(&system, "104000000000871", json!({})).await;
    let staff = Person::admin(&system).await;
    let keys = [key(FACEBOOK, "104000000000871")];
    staff.connects(FACEBOOK, &["104000000000871"], &[&keys[0]]).await;
    let before = shown(&system, "104000000000871").await.unwrap();
    let id = before["id"].as_str().unwrap().to_owned();
    // its owner took the access back: the post waits
    system.tell("tokens", &json!({ "access_token": "token-104000000000871", "state": "revoked" })).await;
    let wish = json!({ "caption": "until it is connected again", "kind": "post", "targets": [{ "account_id": id }] });
    let (_, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    eventually("the account to rest", || async {
        let account = shown(&system, "104000000000871").await.unwrap();
        if account["state"] == "reconnect" { Ok(()) } else { Err(account.to_string()) }
    })
    .await;
    let accounts = staff.get("/accounts").await.text;
    assert!(accounts.contains("Connect again"), "{accounts}");
    let done = staff.connects(FACEBOOK, &["104000000000871"], &[&keys[0]]).await;
    assert!(done.contains("Connected here before"), "{done}");
    assert!(done.contains("no Instagram business account behind this Page"), "{done}");
    let after = shown(&system, "104000000000871").await.unwrap();
    assert_eq!((&after["id"], &after["state"]), (&before["id"], &json!("active")));
    let generation = "SELECT token_generation FROM account WHERE external_id = '104000000000871'";
    assert_eq!(system.database.count(generation).await, 2);
    system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_workspace_has_and_what_there_is_no_room_for_is_not_connected() {
    let system = System::with_workers(1).await;
    page(&system, "104000000000881", json!({})).await;
    page(&system, "104000000000882", json!({})).await;
    system.postroom(&["workspace", "add", "Cafe"], "").await;
    let elsewhere = ["account", "add", "--workspace", "Cafe", "--offline", "--platform", FACEBOOK];
    let of = ["--external-id", "104000000000881", "--name", "Theirs"];
    system.postroom(&[&elsewhere[..], &of[..]].concat(), r#"{"access_token":"x"}"#).await;
    let fill = "INSERT INTO account (id, workspace_id, platform, external_id, name)
                SELECT gen_random_uuid(), w.id, 'facebook_page', 'filler-' || n, 'Filler'
                FROM workspace w, generate_series(1, 497) AS n WHERE w.name = 'Bakery'";
    sqlx::query(fill).execute(&system.database.pool).await.unwrap();
    let staff = Person::admin(&system).await;
    let at = staff.goes(FACEBOOK, &["104000000000881", "104000000000882"], &[]).await;
    let text = staff.rests(&at).await;
    assert!(text.contains("Another workspace has it"), "{text}");
    assert!(!text.contains("Cafe"), "whose it is nobody is told");
    assert!(text.contains("as many accounts as it may have"), "{text}");
    assert!(!text.contains("id=\"connect\""), "there is nothing to choose: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_administrator_connects() {
    let system = System::start().await;
    let pen = Person::publisher(&system).await;
    assert_eq!(pen.get("/connect/facebook_page").await.status, 403);
    assert!(!pen.get("/accounts").await.text.contains("/connect/"));
    let staff = Person::admin(&system).await;
    assert_eq!(staff.get("/connect/myspace").await.status, 404);
    let text = staff.get("/accounts").await.text;
    assert!(text.contains("Connect Facebook + Instagram") && text.contains("Connect TikTok"), "{text}");
    // another administrator's connection is nobody else's
    let user =
        ["user", "add", "--email", "two@example.com", "--first", "Two", "--last", "Levi", "--role", "admin"];
    system.postroom(&[&user[..], &["--workspace", "Bakery"]].concat(), "corner-bakery-twos").await;
    page(&system, "104000000000886", json!({})).await;
    let at = staff.goes(FACEBOOK, &["104000000000886"], &[]).await;
    let two = Person::signed_in(&system, "two@example.com", "corner-bakery-twos").await;
    assert_eq!(two.get(&at).await.status, 404);
}

async fn creator(system: &System, id: &str) {
    let account = json!({
        "platform": TIKTOK, "external_id": id, "name": format!("creator{id}"), "access_token": format!("act-{id}"),
        "refresh_token": format!("rft-{id}"),
    });
    system.tell("accounts", &account).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tiktok_account_is_connected_and_renewed_by_itself() {
    let system = System::with_workers(1).await;
    creator(&system, "open-1").await;
    let staff = Person::admin(&system).await;
    let dialog = staff.begin(TIKTOK).await;
    assert!(!dialog.contains("code_challenge"), "TikTok takes none of an app that keeps a secret: {dialog}");
    let redirect = system.url("/connect/tiktok/callback");
    let given = dialog.parse::<url::Url>().unwrap();
    assert!(given.query_pairs().any(|(name, value)| name == "redirect_uri" && value == redirect), "{dialog}");
    staff.connects(TIKTOK, &["open-1"], &[&key(TIKTOK, "open-1")]).await;
    let account = shown(&system, "open-1").await.unwrap();
    assert_eq!((&account["name"], &account["renewed_by_itself"]), (&json!("creatoropen-1"), &json!(true)));
    assert!(account["token_expires_at"].is_string(), "{account}");
    let wished = format!("/api/v1/accounts/{}/refresh", account["id"].as_str().unwrap());
    system.api(Method::POST, &wished, None).await;
    eventually("a renewal", || async {
        let found = "SELECT token_generation FROM account WHERE external_id = 'open-1'";
        let found = system.database.count(found).await;
        if found == 2 { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
    system.every_call_was_logged_first().await;
    // without the permission to publish it is shown, and cannot be chosen
    let at = staff.goes(TIKTOK, &["open-1"], &["video.publish"]).await;
    let text = staff.rests(&at).await;
    assert!(text.contains("The permission video.publish was not granted"), "{text}");
    assert!(!text.contains("id=\"connect\""), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_somebody_else_connects_keeps_no_address_of_who_did_before() {
    let door = Door::open().await;
    let mut connection = door.scratch.connection().await;
    let (defaults, known) = (json!({}), "SELECT coalesce(subject_email, 'nobody') FROM account");
    for (subject_id, subject_email, kept) in [
        (Some("7001"), Some("dana@example.com"), "dana@example.com"),
        // what is not said anew stays, as long as it may be the same person
        (None, None, "dana@example.com"),
        (Some("7001"), None, "dana@example.com"),
        (Some("7002"), None, "nobody"),
        (Some("7002"), Some("noa@example.com"), "noa@example.com"),
        (Some("7001"), Some("dana@example.com"), "dana@example.com"),
    ] {
        let new = NewAccount {
            workspace_id: door.workspace,
            platform: FACEBOOK,
            external_id: "104000000000941",
            name: "Bakery",
            token_expires_at: None,
            defaults: &defaults,
            subject_id,
            subject_email,
        };
        connect_account(&mut connection, &new).await.unwrap();
        let email: String = sqlx::query_scalar(known).fetch_one(&mut connection).await.unwrap();
        assert_eq!(email, kept, "{subject_id:?} {subject_email:?}");
    }
}
