//! The console: pages for people, with and without a script.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use postroom::ledger::people::MemberRole;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Answer, Door, Part, jpeg, multipart};

/// A browser with its cookies.
pub struct Browser<'a> {
    door: &'a Door,
    /// Its cookies.
    pub cookies: BTreeMap<String, String>,
    /// What its forms carry.
    pub token: String,
}

impl<'a> Browser<'a> {
    /// A browser that nobody has used.
    pub fn fresh(door: &'a Door) -> Self {
        Self { door, cookies: BTreeMap::new(), token: String::new() }
    }

    /// A browser of somebody who has signed in.
    pub async fn of(door: &'a Door, role: MemberRole) -> Self {
        let email = format!("{}@example.org", Uuid::now_v7());
        door.person(&email, role).await;
        Self::signed_in(door, &email).await
    }

    /// A browser of somebody known, who has signed in.
    pub async fn signed_in(door: &'a Door, email: &str) -> Self {
        let mut browser = Self::fresh(door);
        let answer = browser.sign_in(email, "open sesame").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        let page = browser.get("/posts").await;
        browser.token = hidden(&page.text, "token");
        browser
    }

    /// Signs in with what the page has.
    pub async fn sign_in(&mut self, email: &str, password: &str) -> Answer {
        let page = self.get("/sign-in").await;
        let token = hidden(&page.text, "token");
        self.form("/sign-in", &[("token", &token), ("email", email), ("password", password)]).await
    }

    fn request(&self, method: &Method, path: &str) -> axum::http::request::Builder {
        let cookies: Vec<String> = self.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
        Request::builder()
            .method(method)
            .uri(path)
            .header("accept", "text/html")
            .header("host", "localhost:3000")
            .header("cookie", cookies.join("; "))
    }

    async fn send(&mut self, request: Request<Body>) -> Answer {
        let answer = self.door.send(request).await;
        for set in answer.headers.get_all("set-cookie") {
            let set = set.to_str().expect("a cookie");
            let (name, value) =
                set.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        let request = self.request(&Method::GET, path).body(Body::empty()).expect("a request");
        self.send(request).await
    }

    /// Sends a form without files.
    pub async fn form(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request =
            self.request(&Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(body)).expect("a request")).await
    }

    /// Sends the form of a new post.
    pub async fn compose(&mut self, fields: &[(&str, &str)], files: &[(&str, &[u8])]) -> Answer {
        self.compose_at("/posts/new", fields, files).await
    }

    /// Sends it to where one of its buttons leads.
    pub async fn compose_at(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        files: &[(&str, &[u8])],
    ) -> Answer {
        let token = self.token.clone();
        let mut parts = vec![Part { name: "token", file_name: None, content: token.as_bytes() }];
        let parts_of =
            fields.iter().map(|(name, value)| Part { name, file_name: None, content: value.as_bytes() });
        parts.extend(parts_of);
        parts.extend(files.iter().map(|(name, content)| Part {
            name: "file",
            file_name: Some(name),
            content,
        }));
        self.multipart(path, &parts).await
    }

    /// Sends these fields and files, in this order: their names, the files' own names, what is in them.
    pub async fn parts(&mut self, path: &str, parts: &[(&str, Option<&str>, Vec<u8>)]) -> Answer {
        let parts: Vec<Part<'_>> = parts
            .iter()
            .map(|(name, file_name, content)| Part { name, file_name: *file_name, content })
            .collect();
        self.multipart(path, &parts).await
    }

    async fn multipart(&mut self, path: &str, parts: &[Part<'_>]) -> Answer {
        let (kind, body) = multipart(parts);
        let request = self.request(&Method::POST, path).header("content-type", kind);
        self.send(request.body(Body::from(body)).expect("a request")).await
    }
}

/// The value of a hidden field.
pub fn hidden(page: &str, name: &str) -> String {
    let field = format!("name=\"{name}\" value=\"");
    let from = page.find(&field).unwrap_or_else(|| panic!("no {name} in {page}")) + field.len();
    page[from..].split('"').next().expect("a value").to_owned()
}

#[tokio::test]
async fn a_stranger_is_led_to_the_sign_in_and_back() {
    let door = Door::open().await;
    door.person("noa@example.org", MemberRole::Publisher).await;
    let mut browser = Browser::fresh(&door);
    let answer = browser.get("/posts?state=held").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (StatusCode::SEE_OTHER, "/sign-in?next=%2Fposts%3Fstate%3Dheld")
    );
    let page = browser.get("/sign-in?next=%2Fposts%3Fstate%3Dheld").await;
    let (token, next) = (hidden(&page.text, "token"), hidden(&page.text, "next"));
    let fields = [
        ("token", token.as_str()),
        ("email", "NOA@example.org "),
        ("password", "open sesame"),
        ("next", &next),
    ];
    let answer = browser.form("/sign-in", &fields).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/posts?state=held"));
    assert_eq!(browser.get("/posts").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_answered_alike() {
    let door = Door::open().await;
    door.person("noa@example.org", MemberRole::Publisher).await;
    let mut browser = Browser::fresh(&door);
    let wrong = browser.sign_in("noa@example.org", "wrong").await;
    let unknown = browser.sign_in("who@example.org", "wrong").await;
    assert_eq!(
        (wrong.status, unknown.status),
        (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::UNPROCESSABLE_ENTITY)
    );
    assert_eq!(wrong.text.replace("noa@", "who@"), unknown.text);
    assert!(wrong.text.contains("E-mail or password is wrong"));
}

#[tokio::test]
async fn guessing_passwords_gets_slow() {
    let door = Door::open().await;
    door.person("noa@example.org", MemberRole::Publisher).await;
    let mut browser = Browser::fresh(&door);
    for _ in 0..6 {
        assert_eq!(
            browser.sign_in("noa@example.org", "wrong").await.status,
            StatusCode::UNPROCESSABLE_ENTITY
        );
    }
    assert_eq!(browser.sign_in("noa@example.org", "open sesame").await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn signing_in_changes_the_session_and_signing_out_ends_it() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let stolen = browser.cookies["s"].clone();
    let token = browser.token.clone();
    assert_eq!(browser.form("/sign-out", &[("token", &token)]).await.header("location"), "/sign-in");
    browser.cookies.insert("s".to_owned(), stolen);
    assert_eq!(browser.get("/posts").await.status, StatusCode::SEE_OTHER);
    assert_eq!(door.scratch.number("SELECT count(*) FROM session").await, 0);
}

#[tokio::test]
async fn on_https_the_cookie_is_bound_to_host_and_transport() {
    let door = Door::open_at("https://post.example/").await;
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    assert!(browser.cookies.contains_key("__Host-s"), "{:?}", browser.cookies);
    let page = browser.get("/posts").await;
    assert!(page.header("strict-transport-security").starts_with("max-age=63072000"));
}

#[tokio::test]
async fn every_page_carries_the_headers_that_keep_it_safe() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    for path in ["/posts", "/posts/new", "/accounts", "/sign-in", "/nothing"] {
        let page = browser.get(path).await;
        let policy = page.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
            "{path}: {policy}"
        );
        assert!(
            policy.contains("img-src 'self' blob: https://media.example;")
                && policy.contains("frame-ancestors 'none'")
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(page.header("cross-origin-resource-policy"), "same-origin");
        assert!(page.header("permissions-policy").contains("camera=()"));
        assert_eq!(page.header("strict-transport-security"), "");
        assert!(
            !page.text.contains("<style")
                && !page.text.contains(" style=")
                && !page.text.contains(" onclick=")
        );
    }
}

#[tokio::test]
async fn assets_are_kept_by_browsers_because_their_names_change_with_them() {
    let door = Door::open().await;
    let mut browser = Browser::fresh(&door);
    let page = browser.get("/sign-in").await.text;
    let css = page.split('"').find(|part| part.ends_with("app.css")).expect("a style sheet").to_owned();
    let answer = browser.get(&css).await;
    assert_eq!(
        (answer.header("content-type"), answer.header("cache-control")),
        ("text/css; charset=utf-8", "public, max-age=31536000, immutable")
    );
    assert_eq!(browser.get("/assets/old/app.css").await.header("cache-control"), "no-cache");
    assert_eq!(browser.get("/assets/x/other.css").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_write_from_another_site_is_refused() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let body = format!("token={}&theme=dark", browser.token);
        let request = browser.request(&Method::POST, "/theme").header(name, value);
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .expect("a request");
        assert_eq!(browser.send(request).await.status, StatusCode::FORBIDDEN, "{name}");
    }
    assert_eq!(
        browser.form("/theme", &[("token", "wrong"), ("theme", "dark")]).await.status,
        StatusCode::FORBIDDEN
    );
    browser.token = "wrong".to_owned();
    assert_eq!(browser.compose(&[("caption", "x")], &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(
        browser.compose(&[("caption", "x")], &[("a.jpg", &jpeg(40, 40))]).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(door.scratch.number("SELECT count(*) FROM media").await, 0);
}

#[tokio::test]
async fn a_theme_is_remembered_and_nobody_is_sent_elsewhere() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let token = browser.token.clone();
    let answer =
        browser.form("/theme", &[("token", &token), ("theme", "dark"), ("back", "//evil.example")]).await;
    assert_eq!(answer.header("location"), "/posts");
    assert!(browser.get("/posts").await.text.contains("data-theme=\"dark\""));
}

#[tokio::test]
async fn there_is_no_cookie_but_the_sessions_the_themes_and_that_of_a_strangers_form() {
    // P-A7
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Admin).await;
    let token = browser.token.clone();
    browser.form("/theme", &[("token", &token), ("theme", "dark")]).await;
    for path in
        ["/posts", "/posts/new", "/accounts", "/dashboard", "/keys", "/people", "/sessions", "/forgot"]
    {
        browser.get(path).await;
    }
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["f", "s", "theme"]);
}

#[tokio::test]
async fn a_viewer_may_look_and_not_write() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let page = browser.get("/posts").await;
    assert!(!page.text.contains("/posts/new"));
    assert_eq!(browser.get("/posts/new").await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.compose(&[("caption", "x")], &[]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_post_is_written_with_its_files_and_looked_at() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await.to_string();
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let fields = [
        ("key", "k-1"),
        ("caption", "<b>Fresh</b> \"bread\"\r\ntoday"),
        ("kind", "post"),
        ("target", account.as_str()),
        ("when", "now"),
        ("link", ""),
    ];
    let answer = browser.compose(&fields, &[("", b""), ("loaf.jpg", &jpeg(40, 40))]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let address = answer.header("location").to_owned();
    let page = browser.get(&address).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains("&#60;b&#62;Fresh&#60;/b&#62;") && !page.text.contains("<b>Fresh"),
        "{}",
        page.text
    );
    assert!(page.text.contains("loaf.jpg") && page.text.contains("data-live"));
    assert!(page.text.contains("<noscript><meta http-equiv=\"refresh\" content=\"3\"></noscript>"));
    let media = page.text.split('"').find(|part| part.starts_with("/media/")).expect("a preview").to_owned();
    let small = browser.get(&media).await;
    assert!(small.header("location").ends_with(".small.jpeg?signed"), "{small:?}");
    let whole = browser.get(media.trim_end_matches("/thumbnail")).await;
    assert!(whole.header("location").ends_with(".jpg?signed"), "{whole:?}");
    let list = browser.get("/posts").await;
    assert!(list.text.contains("Scheduled") && list.text.contains("Bakery on facebook_page"));
    assert!(list.text.contains(&format!("src=\"{media}\"")), "{}", list.text);
}

#[tokio::test]
async fn a_double_click_makes_one_post_and_other_content_under_its_key_asks_first() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await.to_string();
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let fields =
        |caption| [("key", "k-1"), ("caption", caption), ("target", account.as_str()), ("when", "now")];
    let first = browser.compose(&fields("bread"), &[]).await;
    let again = browser.compose(&fields("bread"), &[]).await;
    assert_eq!((again.status, first.header("location")), (StatusCode::SEE_OTHER, again.header("location")));
    let other = browser.compose(&fields("cake"), &[]).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(other.text.contains("This form was sent before") && other.text.contains("cake"));
    assert_ne!(hidden(&other.text, "key"), "k-1");
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 1);
}

#[tokio::test]
async fn a_double_click_on_a_form_with_a_file_makes_one_post() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await.to_string();
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let fields = [("key", "k-1"), ("caption", "bread"), ("target", account.as_str()), ("when", "now")];
    let picture = jpeg(400, 400);
    let first = browser.compose(&fields, &[("loaf.jpg", &picture)]).await;
    let again = browser.compose(&fields, &[("loaf.jpg", &picture)]).await;
    assert_eq!((again.status, first.header("location")), (StatusCode::SEE_OTHER, again.header("location")));
    assert_eq!(door.scratch.number("SELECT count(*) FROM post").await, 1);
}

#[tokio::test]
async fn a_refused_form_comes_back_with_everything_that_was_written() {
    let door = Door::open().await;
    let tiktok = door.account("tiktok").await.to_string();
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let fields = [
        ("key", "k-1"),
        ("caption", "Sourdough"),
        ("kind", "post"),
        ("target", tiktok.as_str()),
        ("link", "http://10.0.0.1/"),
        ("when", "later"),
        ("date", "2020-05-05"),
        ("time", "09:30"),
        ("zone", "Asia/Jerusalem"),
    ];
    let page = browser.compose(&fields, &[("loaf.jpg", &jpeg(40, 40)), ("words.jpg", b"words")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    for kept in [
        "Sourdough",
        "value=\"http://10.0.0.1/\"",
        "value=\"2020-05-05\"",
        "value=\"09:30\"",
        "<option value=\"Asia/Jerusalem\" selected",
        "loaf.jpg",
        "id=\"summary\"",
        "href=\"#link\"",
        "href=\"#date\"",
        "href=\"#media\"",
        "“words.jpg”",
    ] {
        assert!(page.text.contains(kept), "{kept} is missing in {}", page.text);
    }
    assert_eq!(hidden(&page.text, "key"), "k-1");
    let media = hidden(&page.text, "media_id");
    let missing = browser
        .compose(&[("key", "k-1"), ("target", &tiktok), ("media_id", &media), ("when", "now")], &[])
        .await;
    assert!(missing.text.contains(&format!("href=\"#privacy-{tiktok}\"")), "{}", missing.text);
    let privacy = format!("privacy-{tiktok}");
    let fields = [
        ("key", "k-1"),
        ("target", tiktok.as_str()),
        ("media_id", &media),
        ("when", "now"),
        (privacy.as_str(), "SELF_ONLY"),
    ];
    assert_eq!(browser.compose(&fields, &[]).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_time_that_does_not_exist_is_answered_with_a_choice() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await.to_string();
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let fields = |more: &[(&'static str, &'static str)]| {
        let mut fields = vec![
            ("key", "k-1"),
            ("caption", "x"),
            ("target", account.as_str()),
            ("when", "later"),
            ("zone", "Asia/Jerusalem"),
        ];
        fields.extend_from_slice(more);
        fields
    };
    let gap = [("date", "2027-03-26"), ("time", "02:30")];
    let page = browser.compose(&fields(&gap), &[]).await;
    assert!(
        page.text.contains("name=\"pick\" value=\"2027-03-26T01:59\"")
            && page.text.contains("value=\"2027-03-26T03:00\""),
        "{}",
        page.text
    );
    let picked = [gap[0], gap[1], ("picked_for", "2027-03-26T02:30"), ("pick", "2027-03-26T03:00")];
    assert_eq!(browser.compose(&fields(&picked), &[]).await.status, StatusCode::SEE_OTHER);
    let twice = [("key", "k-2"), ("date", "2027-10-31"), ("time", "01:30")];
    let page = browser.compose(&fields(&twice), &[]).await;
    assert!(page.text.contains("name=\"fold\" value=\"earlier\""));
    let chosen = [twice[0], twice[1], twice[2], ("fold", "later")];
    assert_eq!(browser.compose(&fields(&chosen), &[]).await.status, StatusCode::SEE_OTHER);
    assert!(browser.get("/posts/new").await.text.contains("<option value=\"Asia/Jerusalem\" selected"));
}

#[tokio::test]
async fn what_another_workspace_has_is_not_there() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let post =
        door.post(&json!({ "caption": "x", "targets": [{ "account_id": account }] })).await.json()["id"]
            .clone();
    let file = door.upload("a.jpg", &jpeg(40, 40)).await.json()["id"].clone();
    let mut browser = Browser::of(&door, MemberRole::Admin).await;
    let (post, file) = (
        format!("/posts/{}", post.as_str().expect("an id")),
        format!("/media/{}", file.as_str().expect("an id")),
    );
    assert_eq!(browser.get(&post).await.status, StatusCode::OK);
    let other = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    door.scratch.run(&format!("UPDATE membership SET workspace_id = '{other}'")).await;
    for path in [post.as_str(), &file, &format!("{file}/thumbnail"), "/posts/nonsense"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.text.contains("<h1>Not found</h1>"));
    }
    let token = hidden(&browser.get("/posts").await.text, "token");
    let elsewhere = door.workspace.to_string();
    assert_eq!(
        browser.form("/workspace", &[("token", &token), ("workspace", &elsewhere)]).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_member_of_two_workspaces_can_switch() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Admin).await;
    let other = door.scratch.ledger.add_workspace("Florist").await.expect("a workspace");
    door.scratch
        .run(&format!("INSERT INTO membership SELECT person_id, '{other}', 'viewer' FROM membership"))
        .await;
    assert!(browser.get("/posts").await.text.contains("selected>Bakery</option>"));
    let token = browser.token.clone();
    browser.form("/workspace", &[("token", &token), ("workspace", &other.to_string())]).await;
    let page = browser.get("/posts").await;
    assert!(page.text.contains("selected>Florist</option>") && !page.text.contains("/posts/new"));
}

#[tokio::test]
async fn the_history_is_told_in_plain_words() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let id = door.post(&json!({ "caption": "x", "targets": [{ "account_id": account }] })).await.json()["id"]
        .clone();
    let call = |kind: &str, verdict: &str, after: u32| {
        format!(
            "INSERT INTO remote_call (call_id, publication_id, account_id, job_id, epoch, worker_inc, kind, deadline_at, started_at, verdict)
             SELECT gen_random_uuid(), id, account_id, gen_random_uuid(), 1, gen_random_uuid(), '{kind}', now(), now() + interval '{after} seconds', '{verdict}'
             FROM publication"
        )
    };
    door.scratch.run(&call("prepare", "ok", 1)).await;
    door.scratch.run(&call("commit", "resolved_no", 2)).await;
    door.scratch.run(&call("commit", "ambiguous", 3)).await;
    door.scratch.run("UPDATE publication SET state = 'unknown', next_check_at = now()").await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let address = format!("/posts/{}", id.as_str().expect("an id"));
    let page = browser.get(&address).await.text;
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is missing in {page}"));
    assert!(at("Accepted and safely stored") < at("Prepared at Facebook"));
    assert!(at("Prepared at Facebook") < at("nothing went out"));
    assert!(
        at("nothing went out") < at("The answer of Facebook got lost; asking it what became of the post")
    );
    door.scratch
        .run("UPDATE publication SET state = 'published', published_at = now() + interval '9 seconds', public_url = 'https://example.org/p/1'")
        .await;
    let page = browser.get(&address).await.text;
    assert!(
        page.contains("href=\"https://example.org/p/1\"")
            && page.contains("Look at the post on Facebook")
            && !page.contains("data-live")
    );
    door.scratch.run("UPDATE publication SET public_url = 'javascript:alert(1)'").await;
    assert!(!browser.get(&address).await.text.contains("javascript:"));
}

#[tokio::test]
async fn with_the_ledger_away_a_page_says_so() {
    let door = Door::open().await;
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    door.scratch.ledger.close().await;
    let page = browser.get("/posts").await;
    assert_eq!((page.status, page.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    assert!(page.text.contains("<h1>Away for a moment</h1>"), "{}", page.text);
    assert_eq!(Browser::fresh(&door).get("/sign-in").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_post_is_changed_rescheduled_and_cancelled_without_a_script() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let wish = json!({ "caption": "Opening day", "targets": [{ "account_id": account }],
                       "schedule": { "at": "2027-12-01T09:30", "time_zone": "UTC" } });
    let post = door.post(&wish).await.json()["id"].as_str().expect("an id").to_owned();
    let address = format!("/posts/{post}");
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let page = browser.get(&address).await;
    assert!(page.text.contains(&format!("href=\"{address}/edit\"")), "{}", page.text);
    let form = browser.get(&format!("{address}/edit")).await;
    assert!(form.text.contains("Opening day"), "{}", form.text);
    let (token, key) = (hidden(&form.text, "token"), hidden(&form.text, "key"));
    let moved = [
        ("token", token.as_str()),
        ("key", &key),
        ("caption", "Opening night"),
        ("link", ""),
        ("when", "later"),
        ("date", "2027-12-02"),
        ("time", "20:00"),
        ("zone", "Asia/Jerusalem"),
    ];
    let answer = browser.form(&format!("{address}/edit"), &moved).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, address.as_str()));
    let kept = door.get(&format!("/api/v1/posts/{post}")).await.json();
    assert_eq!(kept["caption"], "Opening night");
    assert_eq!(kept["schedule"]["instant"], "2027-12-02T18:00:00Z");
    // without a script the date is in sight whatever is chosen
    let unclear = [
        ("token", token.as_str()),
        ("key", "k2"),
        ("caption", "x"),
        ("when", "keep"),
        ("date", "2027-12-03"),
    ];
    let answer = browser.form(&format!("{address}/edit"), &unclear).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.text.contains("is not chosen"), "{}", answer.text);
    let stolen = browser.form(&format!("{address}/cancel"), &[("token", "guessed")]).await;
    assert_eq!(stolen.status, StatusCode::FORBIDDEN);
    let answer = browser.form(&format!("{address}/cancel"), &[("token", &token)]).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, address.as_str()));
    assert_eq!(door.get(&format!("/api/v1/posts/{post}")).await.json()["state"], "cancelled");
    let answer = browser.form(&format!("{address}/cancel"), &[("token", &token)]).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.text.contains("It is over"), "{}", answer.text);
}

#[tokio::test]
async fn who_only_looks_changes_nothing() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let wish = json!({ "caption": "Opening day", "targets": [{ "account_id": account }] });
    let post = door.post(&wish).await.json()["id"].as_str().expect("an id").to_owned();
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    assert!(!browser.get(&format!("/posts/{post}")).await.text.contains("/cancel"));
    let token = browser.token.clone();
    let answer = browser.form(&format!("/posts/{post}/cancel"), &[("token", &token)]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get(&format!("/posts/{post}/edit")).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_accounts_page_tells_when_a_connection_ends_and_what_that_breaks() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let scheduled = json!({ "caption": "later", "kind": "post", "targets": [{ "account_id": account }],
                            "schedule": { "at": "2027-12-01T09:30", "time_zone": "UTC" } });
    let post = door.post(&scheduled).await.json();
    let mut browser = Browser::of(&door, MemberRole::Publisher).await;
    let page = browser.get("/accounts").await;
    assert!(
        !page.text.contains("do not go out") && !page.text.contains("renewed by itself"),
        "{}",
        page.text
    );
    let ends = "UPDATE account SET data_access_expires_at = '2027-12-01T09:00Z', renewable = true";
    door.scratch.run(ends).await;
    let page = browser.get("/accounts").await;
    let link =
        format!("<a href=\"/posts/{}\">1 Dec 2027, 09:30 UTC</a>", post["id"].as_str().expect("an id"));
    assert!(page.text.contains(&link) && page.text.contains("gives data until 1 Dec 2027"), "{}", page.text);
    assert!(page.text.contains("renewed by itself"), "{}", page.text);
    let told = door.get("/api/v1/accounts").await.json();
    let ends = &told["data"][0]["ends"];
    assert_eq!((&ends["because"], &ends["breaks_total"]), (&json!("data_access"), &json!(1)));
    // a day later nothing breaks, and an end that is years away is not spoken of
    door.scratch.run("UPDATE account SET data_access_expires_at = '2027-12-02T09:00Z'").await;
    let page = browser.get("/accounts").await;
    assert!(!page.text.contains("gives data until"), "{}", page.text);
}

#[tokio::test]
async fn an_account_that_no_page_has_room_for_is_found_by_its_id() {
    let door = Door::open().await;
    let many = format!(
        "INSERT INTO account (id, workspace_id, platform, external_id, name)
         SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '{}', 'tiktok', 'many-' || n, 'Many ' || n
         FROM generate_series(1, {}) n",
        door.workspace,
        postroom::ledger::accounts::MOST,
    );
    door.scratch.run(&many).await;
    let account = door.account("facebook_page").await;
    let mut browser = Browser::of(&door, MemberRole::Admin).await;
    let listed = browser.get("/accounts").await;
    assert!(!listed.text.contains("Bakery on facebook_page"), "the page is full");
    let page = browser.get(&format!("/accounts/{account}/disconnect")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("Bakery on facebook_page"), "{}", page.text);
}

#[tokio::test]
async fn the_accounts_page_names_whoever_connected_an_account_through_the_console() {
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let mut browser = Browser::of(&door, MemberRole::Viewer).await;
    let page = browser.get("/accounts").await;
    assert!(!page.text.contains("Connected by"), "it was connected otherwise: {}", page.text);
    let noa = "(SELECT id FROM person WHERE first_name = 'Noa')";
    door.scratch.run(&format!("UPDATE account SET connected_by = {noa} WHERE id = '{account}'")).await;
    let page = browser.get("/accounts").await;
    assert!(page.text.contains("Connected by Noa Levi"), "{}", page.text);
}
