//! What a person sees and does, in a real browser.

mod sights;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use chromiumoxide::{
    Page,
    browser::{Browser, BrowserConfig},
    cdp::browser_protocol::{
        dom::SetFileInputFilesParams,
        emulation::{
            MediaFeature, SetDeviceMetricsOverrideParams, SetEmulatedMediaParams,
            SetScriptExecutionDisabledParams,
        },
        input::InsertTextParams,
    },
    element::Element,
    page::ScreenshotParams,
};
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use futures_util::StreamExt;
use tempfile::TempDir;

use crate::{
    disconnect::{deauthorizes, now},
    harness::{FACEBOOK, INSTAGRAM, System, TIKTOK, eventually, eventually_within},
};

/// The widths that pages are looked at in, in pixels.
const WIDTHS: [u32; 2] = [1280, 390];

pub struct Person {
    page: Page,
    _browser: Browser,
    _profile: TempDir,
}

impl Person {
    pub async fn at(url: &str) -> Self {
        let chromium = std::env::var("CHROMIUM").expect("CHROMIUM is not set: run the tests with bin/test");
        let profile = tempfile::tempdir().unwrap();
        let config = BrowserConfig::builder()
            .chrome_executable(chromium)
            .user_data_dir(profile.path())
            .no_sandbox()
            .window_size(1280, 1000)
            .args([
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .build()
            .unwrap();
        let (browser, mut events) = Browser::launch(config).await.unwrap();
        tokio::spawn(async move { while events.next().await.is_some() {} });
        let page = browser.new_page(url).await.unwrap();
        Self { page, _browser: browser, _profile: profile }
    }

    pub async fn go(&self, url: &str) {
        self.page.goto(url).await.unwrap();
    }

    /// One part of the page, as soon as it is there: while a page takes the place of another, its parts have no names yet.
    async fn part(&self, selector: &str) -> Element {
        eventually(selector, || async {
            self.page.find_element(selector).await.map_err(|error| error.to_string())
        })
        .await
    }

    pub async fn write(&self, selector: &str, text: &str) {
        self.part(selector).await.click().await.unwrap();
        self.page.execute(InsertTextParams::new(text)).await.unwrap();
    }

    async fn set(&self, selector: &str, value: &str) {
        let script = format!(
            "{{ const it = document.querySelector({selector:?}); it.value = {value:?}; it.dispatchEvent(new Event('change', {{bubbles: true}})); }}"
        );
        self.page.evaluate(script).await.unwrap();
    }

    /// Ticks a box or chooses an option by the keyboard, as somebody without a mouse does.
    async fn tick(&self, selector: &str) {
        let element = self.part(selector).await;
        element.focus().await.unwrap();
        element.press_key(" ").await.unwrap();
    }

    async fn choose_file(&self, selector: &str, path: &Path) {
        let element = self.part(selector).await;
        let files = SetFileInputFilesParams::builder()
            .file(path.to_string_lossy())
            .backend_node_id(element.backend_node_id)
            .build()
            .unwrap();
        self.page.execute(files).await.unwrap();
    }

    /// Sends a form and waits for the page that follows it.
    pub async fn send(&self, selector: &str, arrived: &str) {
        self.part(selector).await.focus().await.unwrap().press_key("Enter").await.unwrap();
        eventually(arrived, || async {
            match self.page.find_element(arrived).await {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{error}: {}", self.text().await)),
            }
        })
        .await;
    }

    pub async fn text(&self) -> String {
        let body = self.page.find_element("body").await;
        match body {
            Ok(body) => body.inner_text().await.ok().flatten().unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    /// Pictures of the page, wide and narrow, light and dark, for people to look at; and a check that
    /// nothing sticks out of a narrow one.
    pub async fn look(&self, name: &str) {
        for width in WIDTHS {
            for scheme in ["light", "dark"] {
                let metrics = SetDeviceMetricsOverrideParams::new(i64::from(width), 900, 1.0, width < 500);
                self.page.execute(metrics).await.unwrap();
                let feature = MediaFeature { name: "prefers-color-scheme".into(), value: scheme.into() };
                self.page.execute(SetEmulatedMediaParams::builder().feature(feature).build()).await.unwrap();
                let wide: u32 = self
                    .page
                    .evaluate("document.documentElement.scrollWidth")
                    .await
                    .unwrap()
                    .into_value()
                    .unwrap();
                assert!(wide <= width, "{name} is {wide} pixels wide on a screen of {width}");
                let path = screenshots().join(format!("{name}-{width}-{scheme}.png"));
                self.page
                    .save_screenshot(ScreenshotParams::builder().full_page(true).build(), path)
                    .await
                    .unwrap();
            }
        }
        self.page.execute(SetDeviceMetricsOverrideParams::new(1280, 1000, 1.0, false)).await.unwrap();
    }

    /// Goes through Facebook's dialog from the page of the accounts, and connects a Page that it leads to.
    async fn connects_a_page(&self, id: &str) {
        self.send("a[href='/connect/facebook_page']", "#allow").await;
        assert!(self.text().await.contains("asks for access"), "{}", self.text().await);
        self.send("#allow", "#connect").await;
        self.look("connect-choose").await;
        self.tick(&format!("#offer-facebook_page-{id}")).await;
        self.send("#connect", "p.note.strong").await;
        assert!(self.text().await.contains("Connected"), "{}", self.text().await);
        self.look("connect-done").await;
    }

    /// Looks at the accounts until one says that it was disconnected, in these words.
    async fn waits_for(&self, system: &System, words: &str) {
        eventually("the row to say so", || async {
            self.go(&system.url("/accounts")).await;
            let text = self.text().await;
            if text.contains("Disconnected on") && text.contains(words) { Ok(()) } else { Err(text) }
        })
        .await;
    }

    async fn sign_in(&self) {
        self.write("#email", "staff@example.com").await;
        self.write("#password", "corner-bakery-demo").await;
        self.send("form button", "a[href='/posts/new']").await;
    }

    /// Goes to Google, which believes that it is the one whom its form names, and comes back to where they wanted to go.
    async fn signs_in_with_google(&self, arrived: &str) {
        self.send("a[href^='/sign-in/google']", "form[action='/oidc/authorize']").await;
        self.send("form[action='/oidc/authorize'] button", arrived).await;
    }

    async fn compose(
        &self,
        system: &System,
        caption: &str,
        platforms: &[&str],
        file: &str,
        at: DateTime<Utc>,
    ) {
        self.go(&system.url("/posts/new")).await;
        self.write("#caption", caption).await;
        for platform in platforms {
            self.tick(&format!("#target-{}", system.account(platform))).await;
        }
        if platforms.contains(&TIKTOK) {
            self.set(&format!("#privacy-{}", system.account(TIKTOK)), "PUBLIC_TO_EVERYONE").await;
        }
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(file);
        self.choose_file("#file", &file).await;
        self.tick("#later").await;
        self.set("#date", &at.format("%Y-%m-%d").to_string()).await;
        self.set("#time", &at.format("%H:%M").to_string()).await;
        self.set("#zone", "UTC").await;
    }
}

fn screenshots() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The next full minute that leaves time to fill in two forms.
async fn a_little_ahead(system: &System) -> DateTime<Utc> {
    let now: DateTime<Utc> =
        sqlx::query_scalar("SELECT ledger_now()").fetch_one(&system.database.pool).await.unwrap();
    let next = now + TimeDelta::seconds(75);
    next.with_second(0).unwrap().with_nanosecond(0).unwrap()
}

/// The form schedules to the minute, so its posts may take two of them to go out.
const TWO_MINUTES_AND_SOME: Duration = Duration::from_mins(3);

async fn until_live(system: &System, publications: i64) {
    eventually_within(TWO_MINUTES_AND_SOME, "the posts", || async {
        let live = system.database.count("SELECT count(*) FROM publication WHERE state = 'published'").await;
        if live == publications { Ok(()) } else { Err(format!("{live} are live")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_schedules_two_posts_and_finds_them_on_the_wall() {
    let system = System::with_workers(1).await;
    let person = Person::at(&system.url("/")).await;
    person.look("sign-in").await;
    person.sign_in().await;
    person.look("posts-empty").await;

    let at = a_little_ahead(&system).await;
    person.compose(&system, "Fresh from the oven 🥐", &[FACEBOOK, INSTAGRAM], "bread.jpg", at).await;
    person.look("compose").await;
    person.send("#send", "main time").await;
    person.look("post-scheduled").await;
    person.compose(&system, "POV: you are the oven 🔥", &[TIKTOK], "oven.mp4", at).await;
    person.send("#send", "main time").await;

    until_live(&system, 3).await;
    for (platform, caption) in [
        (FACEBOOK, "Fresh from the oven 🥐"),
        (INSTAGRAM, "Fresh from the oven 🥐"),
        (TIKTOK, "POV: you are the oven 🔥"),
    ] {
        assert_eq!(system.effects(platform, caption).await.len(), 1, "{caption} on {platform}");
    }
    person.look("post-published").await;
    person.go(&system.url("/posts")).await;
    person.look("posts").await;
    person.go(&system.url("/accounts")).await;
    person.look("accounts").await;
    person.go(system.addresses["wall"].as_str().unwrap()).await;
    let wall = person.text().await;
    assert!(wall.contains("Fresh from the oven 🥐") && wall.contains("POV: you are the oven 🔥"), "{wall}");
    person.look("wall").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_page_follows_its_post_without_being_asked() {
    let system = System::with_workers(1).await;
    let person = Person::at(&system.url("/")).await;
    person.sign_in().await;
    system.fault(serde_json::json!({ "call": "commit", "times": 1, "fault": "effect_then_drop" })).await;
    let post = system.post("watched while it goes out", &[FACEBOOK]).await;
    person.go(&system.url(&format!("/posts/{post}"))).await;
    eventually("the page to say that it is live", || async {
        let text = person.text().await;
        if text.contains("Published") { Ok(()) } else { Err(text) }
    })
    .await;
    person.look("post-after-doubt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_form_keeps_what_was_written_and_says_what_to_mend() {
    let system = System::start().await;
    let person = Person::at(&system.url("/")).await;
    person.sign_in().await;
    person.go(&system.url("/posts/new")).await;
    person.write("#caption", "a caption to keep").await;
    person.tick(&format!("#target-{}", system.account(INSTAGRAM))).await;
    person.send("#send", "#summary").await;
    let kept: String =
        person.page.evaluate("document.querySelector('#caption').value").await.unwrap().into_value().unwrap();
    assert_eq!(kept, "a caption to keep");
    person.look("compose-refused").await;
}

/// Which element has the focus.
const FOCUSED: &str = "document.activeElement.id || document.activeElement.value";

impl Person {
    /// What a script says, once there is a page that it can ask.
    pub async fn ask(&self, script: &str) -> String {
        eventually("the page", || async {
            let said = self.page.evaluate(script).await.map_err(|error| error.to_string())?;
            said.into_value().map_err(|error| error.to_string())
        })
        .await
    }

    /// Waits until the focus is where it belongs.
    async fn reads_on_at(&self, start: &str) {
        eventually(start, || async {
            let focused = self.ask(FOCUSED).await;
            if focused.starts_with(start) { Ok(()) } else { Err(focused) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_shown_beside_its_field_before_anything_is_scheduled() {
    let system = System::start().await;
    let person = Person::at(&system.url("/")).await;
    person.sign_in().await;
    person.go(&system.url("/posts/new")).await;
    person.write("#caption", "a caption to keep #bread").await;
    person.tick(&format!("#target-{}", system.account(INSTAGRAM))).await;
    let privacy = format!("privacy-{}", system.account(TIKTOK));
    person.tick(&format!("#target-{}", system.account(TIKTOK))).await;
    person.send("#check", "#summary").await;
    person.reads_on_at(&privacy).await; // the first field to mend in the order of the page
    let said = |id: &str| {
        format!(
            "document.getElementById(document.getElementById('{id}').getAttribute('aria-describedby').split(' ').find((it) => it.startsWith('wrong-'))).innerText"
        )
    };
    assert!(person.ask(&said(&privacy)).await.contains("who may see"), "beside the field");
    assert!(person.ask(&said("file")).await.contains("does not take words alone"));
    assert_eq!(person.ask("document.querySelector('#caption').value").await, "a caption to keep #bread");
    assert_eq!(system.database.count("SELECT count(*) FROM post").await, 0);
    person.look("compose-checked").await;
    person.ask("document.documentElement.dir = 'rtl'").await;
    person.look("compose-checked-rtl").await;

    // mended, and checked again
    person.set(&format!("#{privacy}"), "SELF_ONLY").await;
    person.tick(&format!("#target-{}", system.account(INSTAGRAM))).await;
    let film = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/oven.mp4");
    person.choose_file("#file", &film).await;
    person.send("#check", "#clear").await;
    person.reads_on_at("clear").await;
    person.look("compose-clear").await;
    person.send("#send", "main time").await;
    assert_eq!(system.database.count("SELECT count(*) FROM post").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_gets_words_of_its_own_by_the_keyboard() {
    let system = System::start().await;
    let person = Person::at(&system.url("/")).await;
    person.sign_in().await;
    person.go(&system.url("/posts/new")).await;
    person.write("#caption", "for all").await;
    let account = system.account(FACEBOOK);
    let (own, words) = (format!("own-{account}"), format!("words-{account}"));
    let is = |what: &str| format!("String(document.getElementById('{own}').{what})");
    assert_eq!(person.ask(&is("hidden")).await, "true", "it is about an account that is chosen");
    person.tick(&format!("#target-{account}")).await;
    assert_eq!(
        (person.ask(&is("hidden")).await, person.ask(&is("open")).await),
        ("false".to_owned(), "false".to_owned())
    );
    person.part(&format!("#{own} > summary")).await.focus().await.unwrap().press_key("Enter").await.unwrap();
    eventually("open", || async {
        let open = person.ask(&is("open")).await;
        if open == "true" { Ok(()) } else { Err(open) }
    })
    .await;
    person.part(&format!("#{words}")).await.focus().await.unwrap();
    person.page.execute(InsertTextParams::new("only here \u{1f35e}")).await.unwrap();
    let counted =
        person.ask(&format!("document.querySelector('#words-hint-{account} .limit-count').innerText")).await;
    let signs = if person.ask(&format!("String('utf16' in document.getElementById('{words}').dataset)")).await
        == "true"
    {
        "12 / "
    } else {
        "11 / "
    };
    assert!(counted.starts_with(signs), "{counted}");
    person.look("compose-own-words").await;
    person.send("#send", "main time").await;
    let kept = "SELECT count(*) FROM publication WHERE caption = 'only here ' || chr(127838)"; // a loaf
    assert_eq!(system.database.count(kept).await, 1);
    assert!(person.text().await.contains("only here"));
}

/// The slides in their order.
async fn slides(person: &Person) -> String {
    person.ask("[...document.querySelectorAll('ol.previews .meta > :first-child')].map((it) => it.innerText).join(' ')").await
}

#[tokio::test(flavor = "multi_thread")]
async fn slides_are_reordered_by_the_keyboard_and_everything_else_stays() {
    let system = System::start().await;
    let person = Person::at(&system.url("/")).await;
    person.sign_in().await;
    person.go(&system.url("/posts/new")).await;
    person.write("#caption", "three slides").await;
    let press = async |button: &str, order: &str| {
        let element = person.part(button).await;
        element.focus().await.unwrap().press_key("Enter").await.unwrap();
        eventually(order, || async {
            let now = slides(&person).await;
            if now == order { Ok(()) } else { Err(now) }
        })
        .await;
    };
    let mut order = Vec::new();
    for file in ["bread.jpg", "cake.jpg", "coffee.jpg"] {
        person.choose_file("#file", &Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(file)).await;
        order.push(file);
        press("#check", &order.join(" ")).await;
    }
    person.look("compose-slides").await;
    person.ask("document.documentElement.dir = 'rtl'").await;
    person.look("compose-slides-rtl").await;
    press("ol.previews li:nth-child(3) button[value^=earlier]", "bread.jpg coffee.jpg cake.jpg").await;
    person.reads_on_at("earlier:").await; // the same button of the same slide again
    press("button:focus", "coffee.jpg bread.jpg cake.jpg").await;
    person.reads_on_at("later:").await; // at the end the only way back
    press("button:focus", "bread.jpg coffee.jpg cake.jpg").await;
    assert_eq!(person.ask("document.querySelector('#caption').value").await, "three slides");
    person.tick(&format!("#target-{}", system.account(FACEBOOK))).await;
    assert_eq!(system.database.count("SELECT count(*) FROM media").await, 3, "nothing was uploaded twice");
}

/// The links that lead to the page which asks once more.
const TAKE_DOWN: &str = "a.take-down";

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_taken_down_by_two_clicks_where_the_network_allows_it() {
    let mut system = System::with_workers(1).await;
    let person = Person::at(&system.url("/")).await;
    person.sign_in().await;
    let post = system.post("Two for one, today only", &[FACEBOOK, INSTAGRAM]).await;
    let film = system.post("POV: it stays", &[TIKTOK]).await;
    until_live(&system, 3).await;
    person.go(&system.url(&format!("/posts/{film}"))).await;
    assert!(person.text().await.contains("Only people can take it down"), "{}", person.text().await);
    assert!(person.page.find_element(TAKE_DOWN).await.is_err(), "there is nothing to click");
    person.look("take-down-by-hand").await;

    // nobody works while it is asked for
    system.workers[0].signal("TERM").await;
    assert_eq!(system.workers[0].ended().await, Some(0));
    system.workers.clear();
    let address = system.url(&format!("/posts/{post}"));
    person.go(&address).await;
    person.look("take-down-before").await;
    person.send(TAKE_DOWN, "#take-down").await;
    assert!(person.text().await.contains("On the other accounts it stays"), "{}", person.text().await);
    person.write("#reason", "The offer was for tomorrow").await;
    person.look("take-down-sure").await;
    person.send("#take-down", ".taken-down").await;
    assert!(person.text().await.contains("Being taken down"), "{}", person.text().await);
    person.look("take-down-asked").await;

    // the page follows it without being asked
    system.start_worker(&[]);
    eventually("the page to say that it is gone", || async {
        let text = person.text().await;
        if text.contains("It is gone for everybody") { Ok(()) } else { Err(text) }
    })
    .await;
    person.look("take-down-gone").await;
    assert_eq!(system.control("removals").await["data"].as_array().unwrap().len(), 1);

    // the other one is refused, and may be asked for again
    let refused = serde_json::json!({ "graph": { "code": 10, "message": "no permission" } });
    for call in ["delete_post", "media_delete"] {
        system.fault(serde_json::json!({ "call": call, "times": 1, "fault": refused })).await;
    }
    person.send(TAKE_DOWN, "#take-down").await;
    person.send("#take-down", ".taken-down").await;
    eventually("the page to say that it was refused", || async {
        let text = person.text().await;
        if text.contains("Not taken down") && text.contains("Ask again") { Ok(()) } else { Err(text) }
    })
    .await;
    person.look("take-down-refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_connected_and_disconnected_without_a_mouse_or_a_script() {
    let system = System::with_workers(1).await;
    let page = serde_json::json!({
        "platform": FACEBOOK, "external_id": "104000000000999", "name": "Bakery am Markt", "access_token": "token-999",
    });
    system.tell("accounts", &page).await;
    let person = Person::at(&system.url("/sign-in")).await;
    person.sign_in().await;
    person.page.execute(SetScriptExecutionDisabledParams::new(true)).await.unwrap();
    person.go(&system.url("/accounts")).await;
    person.connects_a_page("104000000000999").await;
    person.go(&system.url("/accounts")).await;
    assert!(person.text().await.contains("Bakery am Markt"));
    person.look("accounts-connected").await;
    let id: String = sqlx::query_scalar("SELECT id::text FROM account WHERE external_id = '104000000000999'")
        .fetch_one(&system.database.pool)
        .await
        .unwrap();
    let wish =
        serde_json::json!({ "caption": "fresh bread", "kind": "post", "targets": [{ "account_id": id }] });
    let (_, post) = system.api(reqwest::Method::POST, "/api/v1/posts", Some(&wish)).await;
    system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
    // its owner takes the app off at the network, and thinks better of it
    assert_eq!(deauthorizes(&system, "1000218475", now()).await, 200);
    person.waits_for(&system, "by its owner, at the network").await;
    person.look("accounts-removed").await;
    person.connects_a_page("104000000000999").await;
    person.go(&system.url("/accounts")).await;
    person.send(&format!("a[href='/accounts/{id}/disconnect']"), "#disconnect").await;
    person.look("disconnect").await;
    person.send("#disconnect", "a[href='/connect/facebook_page']").await;
    person.waits_for(&system, "by Dana Levi").await;
    person.look("accounts-disconnected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_invited_joins_writes_a_post_and_another_one_approves_it() {
    let system = System::with_workers(1).await;
    let admin = Person::at(&system.url("/people")).await;
    admin.signs_in_with_google("#invite").await;
    admin.write("#first_name", "נועה").await;
    admin.write("#last_name", "Bar-Lev").await;
    admin.write("#email", "noa@example.org").await;
    admin.send("form[action='/people/invitations'] button", ".alert.good").await;
    admin.look("people").await;
    admin.ask("document.documentElement.dir = 'rtl'").await;
    admin.look("people-rtl").await;

    // beside it lies the letter that says that somebody comes in with Google from now on
    let link = eventually("the letter", || async {
        let mail = system.control("mail").await;
        let bodies = mail["data"].as_array().into_iter().flatten().filter_map(|it| it["body"].as_str());
        let link = bodies.flat_map(str::split_whitespace).find(|word| word.contains("/invitation/"));
        link.map(str::to_owned).ok_or_else(|| mail.to_string())
    })
    .await;
    let noa = Person::at(&link).await;
    noa.look("invitation").await;
    noa.write("#password", "a loaf a day keeps").await;
    noa.send("form button", "a[href='/posts/new']").await;
    noa.go(&system.url("/sessions")).await;
    noa.look("sessions").await;
    noa.go(&system.url("/people")).await;
    assert!(noa.text().await.contains("This takes the role “Administrator”"), "{}", noa.text().await);
    noa.look("refused").await;

    noa.go(&system.url("/posts/new")).await;
    noa.write("#caption", "written by an author").await;
    noa.tick(&format!("#target-{}", system.account(FACEBOOK))).await;
    noa.send("#send", "#approval").await;
    noa.look("post-waits").await;
    let address = noa.page.url().await.unwrap().expect("an address");
    assert!(system.effects(FACEBOOK, "written by an author").await.is_empty());
    admin.go(&system.url("/posts")).await;
    assert!(admin.text().await.contains("Waits for approval"));
    admin.go(&address).await;
    admin.look("post-to-approve").await;
    admin.send("#approval button", "#approval.good").await;
    until_live(&system, 1).await;
    assert_eq!(system.effects(FACEBOOK, "written by an author").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn captions_are_suggested_and_a_film_is_looked_at_and_nothing_goes_out() {
    // P-I1
    let system = System::with_workers(1).await;
    let person = Person::at(&system.url("/")).await;
    person.sign_in().await;
    system.postroom(&["workspace", "analyses", "Bakery", "--media", "on"], "").await;
    let film = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/oven.mp4");
    for (button, language, part) in [("#suggest", "he", "textarea[readonly]"), ("#review", "en", "#found")] {
        person.go(&system.url("/posts/new")).await;
        person.write("#caption", "Sourdough at half price on opening day").await;
        person.tick(&format!("#target-{}", system.account(INSTAGRAM))).await;
        person.choose_file("#file", &film).await;
        person.set("#language", language).await;
        person.send(button, "#suggested a").await;
        let kept = person.page.evaluate("document.querySelector('#caption').value").await.unwrap();
        assert_eq!(kept.into_value::<String>().unwrap(), "Sourdough at half price on opening day");
        let address = person.page.evaluate("document.querySelector('#suggested a').href").await.unwrap();
        person.go(&address.into_value::<String>().unwrap()).await;
        // it looks again by itself
        person.part(part).await;
        if button == "#review" {
            let aligned = "[...document.querySelectorAll('section[aria-labelledby=found] td')].map((it) => getComputedStyle(it).textAlign).join(' ')";
            let aligned = person.ask(aligned).await;
            assert!(!aligned.is_empty() && aligned.split(' ').all(|it| it == "start"), "{aligned}");
        }
        let text = person.text().await;
        assert!(text.contains("What left the house") && text.contains("of $20.0000"), "{text}");
        person.look(if button == "#review" { "analysis-review" } else { "analysis-captions" }).await;
        if button == "#suggest" {
            let suggested = person.ask("document.querySelector('textarea[readonly]').value").await;
            person.send("a[href$='variant=1']", "#caption").await;
            assert_eq!(person.ask("document.querySelector('#caption').value").await, suggested);
        }
    }
    let text = person.text().await;
    person.go(&system.url("/analyses")).await;
    person.look("analyses").await;
    person.go(&system.url("/analyses/policy")).await;
    person.set("#budget", "5").await;
    person.send("main form button", "#saved").await;
    assert!(person.text().await.contains("of $5.0000"), "{}", person.text().await);
    person.look("analysis-policy").await;
    assert!(text.contains("frame_1_at_0ms") && text.contains("sound"), "{text}");
    assert_eq!(system.control("effects").await["data"], serde_json::json!([]));
    assert_eq!(system.database.count("SELECT count(*) FROM post").await, 0);
}
