//! Accounts that are connected through their network's dialog: once, by whoever began, and with nothing left over.

use jobs::failpoint::Point;
use postroom::ledger::{
    accounts::{NewAccount, connect_account},
    keyring::{Cipher, generate},
};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{
    harness::{FACEBOOK, INSTAGRAM, System, TIKTOK, eventually},
    support::Door,
};

/// A browser without a script, in somebody's hands.
pub struct Person<'a> {
    system: &'a System,
    http: Client,
    cookie: String,
}

/// What a browser got.
pub struct Got {
    pub status: u16,
    pub location: String,
    pub text: String,
}

/// A form's fields.
type Fields = Vec<(String, String)>;

fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// What a page's form carries.
pub fn token(page: &str) -> String {
    let rest = page.split("name=\"token\" value=\"").nth(1).expect("a token");
    rest.split('"').next().unwrap().to_owned()
}

impl<'a> Person<'a> {
    /// The administrator of the workspace, signed in.
    pub async fn admin(system: &'a System) -> Self {
        Self::signed_in(system, "staff@example.com", "corner-bakery-demo").await
    }

    /// Somebody who publishes there and manages nothing, signed in.
    pub async fn publisher(system: &'a System) -> Self {
        let person = [
            "user",
            "add",
            "--email",
            "pen@example.com",
            "--first",
            "Pen",
            "--last",
            "Levi",
            "--role",
            "publisher",
        ];
        system.postroom(&[&person[..], &["--workspace", "Bakery"]].concat(), "corner-bakery-pens").await;
        Self::signed_in(system, "pen@example.com", "corner-bakery-pens").await
    }

    /// Somebody, signed in.
    pub async fn signed_in(system: &'a System, email: &str, password: &str) -> Self {
        let policy = reqwest::redirect::Policy::none();
        let http = Client::builder().no_proxy().redirect(policy).build().unwrap();
        let form = http.get(system.url("/sign-in")).send().await.unwrap();
        let cookie = |answer: &reqwest::Response| {
            let set = answer.headers()["set-cookie"].to_str().unwrap();
            set.split(';').next().unwrap().to_owned()
        };
        let anonymous = cookie(&form);
        let token = token(&form.text().await.unwrap());
        let fields =
            [("token", token.as_str()), ("email", email), ("password", password), ("next", "/posts")];
        let sent = http
            .post(system.url("/sign-in"))
            .header("cookie", &anonymous)
            .form(&fields)
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), 303, "{email}");
        Self { system, http, cookie: cookie(&sent) }
    }

    async fn got(&self, request: reqwest::RequestBuilder) -> Got {
        let answer =
            request.header("cookie", &self.cookie).header("accept", "text/html").send().await.unwrap();
        let location = answer.headers().get("location").map_or("", |it| it.to_str().unwrap()).to_owned();
        Got { status: answer.status().as_u16(), location, text: answer.text().await.unwrap() }
    }

    fn at(&self, address: &str) -> String {
        if address.starts_with("http") { address.to_owned() } else { self.system.url(address) }
    }

    pub async fn get(&self, address: &str) -> Got {
        self.got(self.http.get(self.at(address))).await
    }

    pub async fn post(&self, address: &str, fields: &[(String, String)]) -> Got {
        self.got(self.http.post(self.at(address)).form(fields)).await
    }

    /// Opens a network's dialog, and gives its address.
    pub async fn begin(&self, platform: &str) -> String {
        let begun = self.get(&format!("/connect/{platform}")).await;
        assert_eq!(begun.status, 303, "{}", begun.text);
        begun.location
    }

    /// Ticks these accounts in the dialog, declines these permissions, and gives the address that the browser is sent back to.
    pub async fn decides(&self, dialog: &str, accounts: &[&str], declined: &[&str]) -> String {
        let shown = self.get(dialog).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        let url: url::Url = dialog.parse().unwrap();
        let mut fields: Fields = url.query_pairs().into_owned().collect();
        let scopes = fields.iter().find(|(name, _)| name == "scope").unwrap().1.clone();
        let granted = scopes.split(',').filter(|scope| !declined.contains(scope));
        fields.extend(granted.map(|scope| field("granted", scope)));
        fields.extend(accounts.iter().map(|id| field("account", id)));
        fields.push(field("decision", "allow"));
        let action = dialog.split('?').next().unwrap();
        let sent = self.post(action, &fields).await;
        assert_eq!(sent.status, 303, "{}", sent.text);
        sent.location
    }

    /// Comes back from a dialog, and gives the page of the connection.
    pub async fn comes_back(&self, address: &str) -> String {
        let back = self.get(address).await;
        assert_eq!(back.status, 303, "{}", back.text);
        assert!(!back.location.contains("code"), "the next address tells nothing of it: {}", back.location);
        back.location
    }

    /// Out to the dialog and back.
    pub async fn goes(&self, platform: &str, accounts: &[&str], declined: &[&str]) -> String {
        let dialog = self.begin(platform).await;
        let back = self.decides(&dialog, accounts, declined).await;
        self.comes_back(&back).await
    }

    /// Waits until a connection's page does not ask again by itself any more.
    pub async fn rests(&self, page: &str) -> String {
        eventually("the page to rest", || async {
            let got = self.get(page).await;
            let waits = got.status != 200 || got.text.contains("http-equiv=\"refresh\"");
            if waits { Err(format!("{} {}", got.status, got.text)) } else { Ok(got.text) }
        })
        .await
    }

    /// Chooses these of what is offered.
    pub async fn chooses(&self, page: &str, text: &str, keys: &[&str]) -> Got {
        let mut fields = vec![field("token", &token(text))];
        fields.extend(keys.iter().map(|key| field("account", key)));
        self.post(page, &fields).await
    }

    /// All of it: through the dialog, and everything connected that was ticked.
    pub async fn connects(&self, platform: &str, accounts: &[&str], keys: &[&str]) -> String {
        let page = self.goes(platform, accounts, &[]).await;
        let text = self.rests(&page).await;
        assert_eq!(self.chooses(&page, &text, keys).await.status, 303, "{text}");
        let done = self.rests(&page).await;
        assert_eq!(done.matches(">Connected</p>").count(), keys.len(), "{done}");
        done
    }
}

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
    assert_eq!(secrets(&system).await, 0);
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
    assert_eq!((secrets(&system).await, shown(&system, "104000000000861").await), (0, None));
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

/// Goes as far as the dialog's return with no worker, lets one die there, and gives the page.
async fn dies(system: &mut System, id: &str, points: &[(&str, &str)]) -> String {
    page(system, id, json!({})).await;
    let at = Person::admin(system).await.goes(FACEBOOK, &[id], &[]).await;
    system.start_worker(points);
    assert_eq!(system.workers.last_mut().unwrap().ended().await, None);
    system.start_worker(&[]);
    at
}

async fn tokens(system: &System) -> i64 {
    let count = "SELECT count(*) FROM vault.token t JOIN account a ON a.id = t.account_id WHERE a.subject_id = '7001'";
    system.database.count(count).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_the_networks_answer_costs_the_code_and_nothing_is_half_connected() {
    let mut system = System::start().await;
    let staff_at = dies(&mut system, "104000000000891", &[(Point::AfterCodeAnswer.word(), "kill9")]).await;
    // somebody else's session may not look, so the page is read out of the ledger
    eventually("the connection to have come to nothing", || async {
        let refused =
            "SELECT count(*) FROM connection WHERE state = 'refused' AND why ->> 'code' = '100/36009'";
        if system.database.count(refused).await == 1 { Ok(()) } else { Err(staff_at.clone()) }
    })
    .await;
    assert_eq!((secrets(&system).await, tokens(&system).await), (0, 0));
    let lost = "SELECT count(*) FROM remote_call WHERE kind = 'connect' AND verdict = 'ambiguous'";
    assert_eq!(system.database.count(lost).await, 1);
    let staff = Person::admin(&system).await;
    staff.connects(FACEBOOK, &["104000000000891"], &[&key(FACEBOOK, "104000000000891")]).await;
    assert_eq!(tokens(&system).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_before_or_after_that_goes_on_where_it_was() {
    for (n, armed) in [
        (Point::AfterCodeLogged.word(), "kill9"),
        (Point::AfterGranted.word(), "kill9"),
        (Point::AfterOffered.word(), "kill9"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut system = System::start().await;
        let id = format!("10400000000090{n}");
        page(&system, &id, json!({})).await;
        let at = {
            let staff = Person::admin(&system).await;
            (staff.goes(FACEBOOK, &[&id], &[]).await, staff.cookie)
        };
        system.start_worker(&[armed]);
        assert_eq!(system.workers[0].ended().await, None, "{armed:?}");
        system.start_worker(&[]);
        let mut staff = Person::admin(&system).await;
        staff.cookie = at.1;
        let text = staff.rests(&at.0).await;
        let sent = staff.chooses(&at.0, &text, &[&key(FACEBOOK, &id)]).await;
        assert_eq!(sent.status, 303, "{armed:?}: {text}");
        assert!(staff.rests(&at.0).await.contains(">Connected</p>"), "{armed:?}");
        assert_eq!((tokens(&system).await, secrets(&system).await), (2, 0), "{armed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_while_it_connects_leaves_one_connection_whole() {
    for (n, armed) in [(Point::BeforeConnected.word(), "kill9"), (Point::AfterConnected.word(), "kill9")]
        .into_iter()
        .enumerate()
    {
        let mut system = System::start().await;
        let (page_id, behind) = (format!("10400000000091{n}"), format!("1784140000000091{n}"));
        page(&system, &page_id, json!({})).await;
        instagram(&system, &behind, &page_id).await;
        system.start_worker(&[armed]);
        let (at, cookie) = {
            let staff = Person::admin(&system).await;
            let at = staff.goes(FACEBOOK, &[&page_id], &[]).await;
            let text = staff.rests(&at).await;
            let keys = [key(FACEBOOK, &page_id), key(INSTAGRAM, &behind)];
            assert_eq!(staff.chooses(&at, &text, &[&keys[0], &keys[1]]).await.status, 303);
            (at, staff.cookie)
        };
        assert_eq!(system.workers[0].ended().await, None, "{armed:?}");
        let there = system.database.count("SELECT count(*) FROM account WHERE subject_id = '7001'").await;
        assert!([0, 2].contains(&there), "{armed:?}: {there}, all or nothing");
        system.start_worker(&[]);
        let mut staff = Person::admin(&system).await;
        staff.cookie = cookie;
        let done = staff.rests(&at).await;
        assert_eq!(done.matches(">Connected</p>").count(), 2, "{armed:?}: {done}");
        assert_eq!((tokens(&system).await, secrets(&system).await), (4, 0), "{armed:?}");
        let generations = "SELECT max(token_generation) FROM account WHERE subject_id = '7001'";
        assert_eq!(system.database.count(generations).await, 1, "{armed:?}: connected once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_kept_though_the_ledger_was_away_and_the_network_hesitated() {
    let system = System::with_workers(1).await;
    // both come when the code is spent already
    for statement in [
        "CREATE SEQUENCE tries",
        "CREATE FUNCTION away_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
             IF NEW.field = 'grant' AND nextval('public.tries') = 1 THEN
                 RAISE EXCEPTION 'no room' USING ERRCODE = '53300';
             END IF;
             RETURN NEW;
         END $$",
        "CREATE TRIGGER away_once BEFORE INSERT ON vault.connection_secret FOR EACH ROW EXECUTE FUNCTION away_once()",
    ] {
        sqlx::query(statement).execute(&system.database.pool).await.unwrap();
    }
    let hesitates = json!({ "call": "oauth", "caption_contains": "fb_exchange_token", "times": 2, "fault": "no_effect_then_500" });
    system.fault(hesitates).await;
    page(&system, "104000000000951", json!({})).await;
    let staff = Person::admin(&system).await;
    staff.connects(FACEBOOK, &["104000000000951"], &[&key(FACEBOOK, "104000000000951")]).await;
    assert_eq!(system.database.count("SELECT last_value FROM tries").await, 2);
    let exchanges = "SELECT count(*) FROM remote_call WHERE kind = 'connect'";
    assert_eq!(system.database.count(exchanges).await, 1, "the code was sent once");
    let calls = system.control("calls?call=oauth").await;
    assert_eq!(calls["data"].as_array().unwrap().len(), 4);
    system.every_call_was_logged_first().await;
}

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
