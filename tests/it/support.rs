//! A database of its own for a test, and a door in front of it.

use std::{
    collections::HashMap,
    path::Path,
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use chrono::{DateTime, Utc};
use jobs::{
    comment::Comments,
    connections::Dialog,
    contract::{Class, Failure},
    desk::{Clock, Media},
    hint::Hint,
    retention::Ages,
    surface::{
        AccountPage, CaptionLimit, CaptionUnit, MediaRule, Platform, PostKind, Site, Surface, TakeDown, Takes,
    },
};
use postroom::{
    config,
    ledger::{
        KeyRing, Ledger, Role, Sealer,
        accounts::{self, NewAccount},
        keys::{self, NewKey, Scope},
        people::{MemberRole, NewPerson},
        retention::Step,
    },
    web::{self, House, TiktokApp, deletion::Deletions},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tower::ServiceExt;
use uuid::Uuid;

/// The narrower roles are named after their database, so a copy needs its own.
const ROLES: &str = include_str!("../../migrations/20261121001400_roles_create.sql");
/// What is granted to one of them by its name.
const GRANTS: [&str; 2] = [
    include_str!("../../migrations/20261122000983_snapshot_functions_grant.sql"),
    include_str!("../../migrations/20261123000202_drop_history_day_grant.sql"),
];

/// A database of its own, gone when dropped.
pub struct Scratch {
    /// Its address.
    pub url: SecretString,
    /// As the web role sees it.
    pub ledger: Ledger,
    name: String,
    server: PgConnectOptions,
}

impl Scratch {
    /// Makes one on the server of `TEST_DATABASE_URL` and applies the migrations.
    pub async fn new() -> Self {
        let address = std::env::var("TEST_DATABASE_URL").expect(
            "TEST_DATABASE_URL must name a PostgreSQL server on which databases may be made, such as postgres://postroom@127.0.0.1:5432/postgres",
        );
        let server = PgConnectOptions::from_str(&address).expect("TEST_DATABASE_URL is an address");
        let mut connection =
            PgConnection::connect_with(&server).await.expect("TEST_DATABASE_URL can be reached");
        let at = |name: &str| {
            let mut url = url::Url::parse(&address).expect("TEST_DATABASE_URL is an address");
            url.set_path(name);
            SecretString::from(url.to_string())
        };
        let template = template(&mut connection, at).await;
        let name = format!("it_{}", Uuid::now_v7().simple());
        run(&mut connection, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        let url = at(&name);
        let mut owner = PgConnection::connect(url.expose_secret()).await.expect("the copy can be reached");
        run(&mut owner, ROLES).await;
        for granted in GRANTS {
            run(&mut owner, granted).await;
        }
        let ledger = Ledger::open(&url, Role::Web, 8).expect("an address");
        Self { url, ledger, name, server }
    }

    /// The same database, for whoever does not outlive this one: it is not theirs to drop.
    pub fn beside(&self) -> Self {
        let ledger = Ledger::open(&self.url, Role::Web, 4).expect("an address");
        let (url, server) = (self.url.clone(), self.server.clone());
        Self { url, ledger, name: String::new(), server }
    }

    /// A connection of the owner, for what only a test does.
    pub async fn connection(&self) -> PgConnection {
        PgConnection::connect(self.url.expose_secret()).await.expect("the database can be reached")
    }

    /// Runs a statement as the owner.
    pub async fn run(&self, statement: &str) {
        run(&mut self.connection().await, statement).await;
    }

    /// One number.
    pub async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&mut self.connection().await)
            .await
            .expect("a number")
    }
}

/// A database with the migrations applied, made once and then copied: it is named after what they say.
async fn template(connection: &mut PgConnection, at: impl Fn(&str) -> SecretString) -> String {
    let migrations = sqlx::migrate!();
    let sums: Vec<u8> = migrations.iter().flat_map(|migration| migration.checksum.iter().copied()).collect();
    let name = format!("it_template_{}", &hex::encode(Sha256::digest(sums))[..16]);
    run(connection, "SELECT pg_advisory_lock(736511)").await;
    let query = "SELECT count(*) FROM pg_database WHERE datname = $1";
    let there: i64 =
        sqlx::query_scalar(query).bind(&name).fetch_one(&mut *connection).await.expect("a number");
    if there == 0 {
        let unfinished = format!("{name}_unfinished");
        run(connection, &format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await;
        run(connection, &format!("CREATE DATABASE {unfinished}")).await;
        let owner = Ledger::open(&at(&unfinished), Role::Owner, 1).expect("an address");
        owner.migrate().await.expect("the migrations apply");
        owner.close().await;
        run(connection, &format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
    }
    run(connection, "SELECT pg_advisory_unlock(736511)").await;
    name
}

async fn run(connection: &mut PgConnection, statement: &str) {
    connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("the statement runs");
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.name.is_empty() {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut connection =
                    PgConnection::connect_with(&server).await.expect("the server can be reached");
                run(&mut connection, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
                for role in ["web", "worker"] {
                    run(&mut connection, &format!("DROP ROLE IF EXISTS {name}_{role}")).await;
                }
            });
        });
        // A test that fails already must not fail twice.
        let _ = dropping.join();
    }
}

/// Goes through all that retention drops, with ages of no more than so many days.
pub async fn retain(ledger: &Ledger, days: u64, batch: i64) {
    let settings = config::Settings::load(None).expect("the settings load").retention.ages();
    let age = Duration::from_hours(24 * days);
    let ages = Ages {
        history: age,
        idempotency: age,
        snapshots: age,
        addresses: age,
        letters: age,
        disconnected: age,
        batch,
        ..settings
    };
    while ledger.retain(&ring(), &ages).await.expect("it goes on") != Step::Over {}
}

/// Files in memory.
#[derive(Default)]
pub struct Shelf {
    /// What was stored, by key.
    pub files: Mutex<HashMap<String, Vec<u8>>>,
    /// Whether the store is away.
    pub away: AtomicBool,
}

#[async_trait]
impl Media for Shelf {
    async fn address(&self, key: &str) -> Result<String, Failure> {
        Ok(format!("https://media.example/{key}?signed"))
    }

    async fn read(&self, key: &str, start: u64, end: u64) -> Result<Vec<u8>, Failure> {
        let files = self.files.lock().expect("unpoisoned");
        let file = files.get(key).ok_or_else(|| Failure::new(Class::Permanent, "missing", "no such file"))?;
        let at = |n: u64| usize::try_from(n).expect("small").min(file.len());
        Ok(file[at(start)..at(end)].to_vec())
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, Failure> {
        Ok(self.files.lock().expect("unpoisoned").get(key).map(|file| file.len() as u64))
    }

    async fn store(&self, key: &str, _: &str, path: &Path) -> Result<(), Failure> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Failure::new(Class::Transient, "away", "the store is away"));
        }
        let bytes = std::fs::read(path).expect("the file is there");
        self.files.lock().expect("unpoisoned").insert(key.to_owned(), bytes);
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<(), Failure> {
        self.files.lock().expect("unpoisoned").remove(key);
        Ok(())
    }
}

/// The machine's clock.
pub struct Wall(Instant);

impl Clock for Wall {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that is handed in")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

const IMAGE: MediaRule = MediaRule {
    types: &["image/jpeg", "image/png"],
    renders: &[],
    most_bytes: 8 << 20,
    least_width: 10,
    most_width: 20_000,
    ratio: None,
    least_duration_ms: None,
    most_duration_ms: None,
};
const FILM: MediaRule =
    MediaRule { types: &["video/mp4", "video/quicktime"], most_duration_ms: Some(600_000), ..IMAGE };

const fn surface(name: &'static str, kinds: &'static [PostKind], takes: Takes) -> Surface {
    Surface { name, kinds, takes, one_shot: false, take_down: TakeDown::Api { permission: "p" } }
}

const fn comments(under: &'static [&'static str], most: usize, hashtags: Option<usize>) -> Comments {
    let length = CaptionLimit { most, unit: CaptionUnit::Characters };
    Comments { under, length, hashtags, mentions: None }
}

/// Networks like the real ones, as far as the door is concerned.
pub static FACEBOOK: Platform = Platform {
    name: "facebook_page",
    title: "Facebook",
    caption: CaptionLimit { most: 63_206, unit: CaptionUnit::Characters },
    hashtags: None,
    mentions: None,
    surfaces: &[
        surface("text", &[PostKind::Post], Takes::Words),
        surface("link", &[PostKind::Post], Takes::Link),
        surface("photo", &[PostKind::Post], Takes::one(&[IMAGE])),
        surface("reel", &[PostKind::Reel], Takes::one(&[FILM])),
    ],
    privacy_levels: &[],
    comments: Some(comments(&["text", "link", "photo", "reel"], 8_000, None)),
    site: Site { hosts: &["facebook.com"], home: "https://facebook.com", page: AccountPage::ById },
};
/// See [`FACEBOOK`].
pub static INSTAGRAM: Platform = Platform {
    name: "instagram_business",
    title: "Instagram",
    caption: CaptionLimit { most: 2_200, unit: CaptionUnit::Characters },
    hashtags: Some(30),
    mentions: Some(20),
    surfaces: &[
        surface("image", &[PostKind::Post], Takes::one(&[IMAGE])),
        surface("reel", &[PostKind::Reel], Takes::one(&[FILM])),
    ],
    privacy_levels: &[],
    comments: Some(comments(&["image", "reel"], 2_200, Some(30))),
    site: Site { hosts: &["instagram.com"], home: "https://instagram.com", page: AccountPage::ByName("") },
};
/// See [`FACEBOOK`].
pub static TIKTOK: Platform = Platform {
    name: "tiktok",
    title: "TikTok",
    caption: CaptionLimit { most: 2_200, unit: CaptionUnit::Utf16 },
    hashtags: None,
    mentions: None,
    surfaces: &[
        surface("video", &[PostKind::Post], Takes::one(&[FILM])),
        surface("photo", &[PostKind::Post], Takes::one(&[IMAGE])),
    ],
    privacy_levels: &["PUBLIC_TO_EVERYONE", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"],
    comments: None,
    site: Site { hosts: &["tiktok.com"], home: "https://tiktok.com", page: AccountPage::ByName("@") },
};

/// A door in front of a database of its own, with one workspace and a key to it.
pub struct Door {
    /// The database.
    pub scratch: Scratch,
    /// The routes.
    pub router: Router,
    /// Where uploads go.
    pub shelf: Arc<Shelf>,
    /// The hints that were given.
    pub hints: Arc<Mutex<Vec<Hint>>>,
    /// The workspace.
    pub workspace: Uuid,
    /// Its key, for everything.
    pub key: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// A header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Each finding of a problem: its field and its code.
    pub fn findings(&self) -> Vec<(String, String)> {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| (word(&error["field"]), word(&error["code"]))).collect()
    }

    /// The one finding of a 422.
    pub fn only_finding(&self) -> (String, String) {
        assert_eq!(self.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", self.text);
        let findings = self.findings();
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings.into_iter().next().expect("there is one")
    }
}

impl Door {
    /// Opens it.
    pub async fn open() -> Self {
        Self::open_at("http://localhost:3000/").await
    }

    /// Opens it for an outside that sees this address.
    pub async fn open_at(public_url: &str) -> Self {
        Self::opened(public_url, |_| {}).await
    }

    /// Opens it with something else in the house.
    pub async fn open_with(change: impl FnOnce(&mut House)) -> Self {
        Self::opened("http://localhost:3000/", change).await
    }

    async fn opened(public_url: &str, change: impl FnOnce(&mut House)) -> Self {
        let scratch = Scratch::new().await;
        let (shelf, hints) = (Arc::new(Shelf::default()), Arc::new(Mutex::new(Vec::new())));
        let mut house = house(&scratch.ledger, public_url, Arc::clone(&shelf), Arc::clone(&hints));
        change(&mut house);
        let router = web::router(house);
        let workspace = scratch.ledger.add_workspace("Bakery").await.expect("a workspace");
        let mut door = Self { scratch, router, shelf, hints, workspace, key: String::new() };
        door.key = door.key_for(Some(workspace), Scope::ALL).await;
        door
    }

    /// Another process on the same ledger, with the same key.
    pub fn another(&self) -> Self {
        let scratch = self.scratch.beside();
        let (files, hints) = (Arc::clone(&self.shelf), Arc::clone(&self.hints));
        let router = web::router(house(
            &scratch.ledger,
            "http://localhost:3000/",
            Arc::clone(&files),
            Arc::clone(&hints),
        ));
        Self { scratch, router, shelf: files, hints, workspace: self.workspace, key: self.key.clone() }
    }

    /// A key to a workspace, or an operator's.
    pub async fn key_for(&self, workspace: Option<Uuid>, scopes: &[Scope]) -> String {
        let key = keys::fresh().expect("randomness");
        let digest = keys::digest(&key).expect("a fresh key");
        let new =
            NewKey { workspace_id: workspace, name: "a test", digest: &digest, scopes, expires_in: None };
        self.scratch.ledger.add_api_key(&new).await.expect("a key");
        key.expose_secret().to_owned()
    }

    /// An account of this workspace.
    pub async fn account(&self, platform: &str) -> Uuid {
        self.account_of(self.workspace, platform, &json!({})).await
    }

    /// An account of any workspace.
    pub async fn account_of(&self, workspace_id: Uuid, platform: &str, defaults: &Value) -> Uuid {
        let external = Uuid::now_v7().to_string();
        let new = NewAccount {
            workspace_id,
            platform,
            external_id: &external,
            name: &format!("Bakery on {platform}"),
            token_expires_at: None,
            defaults,
            subject_id: None,
            subject_email: None,
        };
        accounts::connect_account(&mut self.scratch.connection().await, &new).await.expect("an account").id
    }

    /// Somebody who may sign in with the password `open sesame`.
    pub async fn person(&self, email: &str, role: MemberRole) -> Uuid {
        let hash = web::passwords::hash("open sesame".into()).await.expect("hashes");
        let new = NewPerson { email, first_name: "Noa", last_name: "Levi", password_hash: &hash };
        let id = self.scratch.ledger.add_person(&new).await.expect("a person");
        self.scratch.ledger.add_membership(id, self.workspace, role).await.expect("a membership");
        id
    }

    /// The letters to this address that were not sent yet, opened, the latest first: the subject, and what it says.
    pub async fn letters(&self, to: &str) -> Vec<(String, String)> {
        let waiting = "SELECT id, subject, sealed FROM mail WHERE to_address = $1 AND sealed IS NOT NULL ORDER BY id DESC";
        let rows: Vec<(Uuid, String, Vec<u8>)> = sqlx::query_as(waiting)
            .bind(to)
            .fetch_all(&mut self.scratch.connection().await)
            .await
            .expect("letters");
        let opened = |(id, subject, sealed): (Uuid, String, Vec<u8>)| {
            let body = ring().open(&sealed, &format!("mail|{id}")).expect("it opens");
            (subject, String::from_utf8(body.to_vec()).expect("words"))
        };
        rows.into_iter().map(opened).collect()
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 64 << 20).await.expect("a body");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// A request with the workspace's key.
    pub fn request(&self, method: &Method, path: &str) -> axum::http::request::Builder {
        Request::builder().method(method).uri(path).header("authorization", format!("Bearer {}", self.key))
    }

    /// Gets a path of the API.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(&Method::GET, path).body(Body::empty()).expect("a request")).await
    }

    /// Posts a post.
    pub async fn post(&self, body: &Value) -> Answer {
        self.post_with(body, &[]).await
    }

    /// Posts a post with these headers.
    pub async fn post_with(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let mut request =
            self.request(&Method::POST, "/api/v1/posts").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    /// Uploads a file under this name.
    pub async fn upload(&self, name: &str, content: &[u8]) -> Answer {
        self.upload_with(name, content, &[]).await
    }

    /// Uploads a file with these headers.
    pub async fn upload_with(&self, name: &str, content: &[u8], headers: &[(&str, &str)]) -> Answer {
        let (kind, body) = multipart(&[Part { name: "file", file_name: Some(name), content }]);
        let mut request = self.request(&Method::POST, "/api/v1/media").header("content-type", kind);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).expect("a request")).await
    }
}

/// One part of a multipart form.
pub struct Part<'a> {
    /// The field.
    pub name: &'a str,
    /// A file's name.
    pub file_name: Option<&'a str>,
    /// What it holds.
    pub content: &'a [u8],
}

/// A multipart body and its content type, with a boundary of its own.
pub fn multipart(parts: &[Part<'_>]) -> (String, Vec<u8>) {
    let boundary = Uuid::now_v7().simple().to_string();
    let mut body = Vec::new();
    for part in parts {
        let file = part
            .file_name
            .map(|name| format!("; filename=\"{name}\"\r\ncontent-type: image/jpeg"))
            .unwrap_or_default();
        body.extend_from_slice(
            format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{}\"{file}\r\n\r\n", part.name)
                .as_bytes(),
        );
        body.extend_from_slice(part.content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// A house on this ledger.
pub fn house(ledger: &Ledger, public_url: &str, shelf: Arc<Shelf>, hints: Arc<Mutex<Vec<Hint>>>) -> House {
    let settings = config::Settings::load(None).expect("the settings load");
    House {
        ledger: ledger.clone(),
        web: settings.web,
        publishing: settings.publishing,
        webhooks: settings.webhooks,
        retention: settings.retention,
        public_url: public_url.parse().expect("an address"),
        media_origin: Some("https://media.example".to_owned()),
        platforms: vec![&FACEBOOK, &INSTAGRAM, &TIKTOK],
        stand_ins: Vec::new(),
        analyses: Some(settings.analysis.policy()),
        owners_allow_more: settings.analysis.owners_allow_more,
        media: shelf,
        nudge: Arc::new(move |due| hints.lock().expect("unpoisoned").extend(due)),
        clock: Arc::new(Wall(Instant::now())),
        metrics: Arc::new(|| "up 1\n".to_owned()),
        metrics_token: Some(SecretString::from("measure")),
        mail: true,
        sign_in: None,
        redis: Arc::new(|| Box::pin(async { Ok(()) })),
        tiktok: Some(TiktokApp { client_key: "key".into(), client_secret: "secret".into() }),
        deletions: Deletions {
            ring: Arc::new(ring()),
            meta_secret: Some(SecretString::from("app-secret")),
            mail_secret: None,
        },
        dialogs: vec![Dialog {
            platform: "tiktok",
            also: &[],
            address: "https://www.tiktok.com/v2/auth/authorize/".into(),
            client: ("client_key", "key".into()),
            scopes: &["user.info.basic", "video.publish"],
        }],
        sealer: Sealer::new(Arc::new(ring())),
    }
}

/// The key ring of every house.
pub fn ring() -> KeyRing {
    KeyRing::parse("test:xchacha20-poly1305:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").expect("a ring")
}

/// A small JPEG.
pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    encoded(width, height, image::ImageFormat::Jpeg)
}

/// A small PNG.
pub fn png(width: u32, height: u32) -> Vec<u8> {
    encoded(width, height, image::ImageFormat::Png)
}

fn encoded(width: u32, height: u32, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let paint = |x: u32, y: u32| {
        image::Rgb([x.wrapping_mul(7).to_le_bytes()[0], y.wrapping_mul(5).to_le_bytes()[0], 90])
    };
    image::RgbImage::from_fn(width, height, paint).write_to(&mut bytes, format).expect("encodes");
    bytes.into_inner()
}

/// A small file whose header promises 50,000 × 50,000 pixels.
pub fn bomb() -> Vec<u8> {
    let mut bytes = png(1, 1);
    bytes[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
    let sum = !bytes[12..29].iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    });
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    bytes
}
