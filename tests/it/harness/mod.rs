//! A whole system of its own for each test: a database, a Redis, the stand-in networks, `web` and workers,
//! all of them real processes on loopback. Tests speak to it in a few verbs and wait for events, never for
//! time.

mod database;
pub mod process;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

pub use database::Database;
pub use process::{Process, free_port};

/// Nothing here takes longer; what does is stuck.
const PATIENCE: Duration = Duration::from_mins(1);
/// The three networks' accounts that the sandbox knows from its start.
pub const FACEBOOK: &str = "facebook_page";
/// See above.
pub const INSTAGRAM: &str = "instagram_business";
/// See above.
pub const TIKTOK: &str = "tiktok";
/// All of them.
pub const PLATFORMS: [&str; 3] = [FACEBOOK, INSTAGRAM, TIKTOK];

/// A system under test.
pub struct System {
    /// Its database.
    pub database: Database,
    /// Its Redis, unless somebody else keeps it.
    pub redis: Option<Process>,
    /// Its networks.
    _sandbox: Process,
    /// Its intake.
    pub web: Option<Process>,
    /// Its workers.
    pub workers: Vec<Process>,
    /// The environment of `postroom`.
    pub environment: BTreeMap<String, String>,
    /// The stand-in's addresses.
    pub addresses: Value,
    /// The API key.
    pub key: String,
    accounts: BTreeMap<String, String>,
    http: reqwest::Client,
    dir: TempDir,
}

/// What a system stands on.
pub struct Ground {
    /// Its files.
    pub dir: TempDir,
    /// Its database, where the sandbox looks.
    pub database: Database,
    /// Its Redis, if it is to end with the system.
    pub redis: Option<Process>,
    /// Where `postroom` finds Redis.
    pub redis_url: String,
    /// More of the environment of `postroom`, `DATABASE_URL` among it.
    pub settings: BTreeMap<String, String>,
}

/// Waits until `probe` answers, and gives its answer; fails after a while with what it last said.
pub async fn eventually<T, F, Fut>(what: &str, probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    eventually_within(PATIENCE, what, probe).await
}

/// The same for what takes its time.
pub async fn eventually_within<T, F, Fut>(patience: Duration, what: &str, mut probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let mut tick = tokio::time::interval(Duration::from_millis(25));
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        tick.tick().await;
        match probe().await {
            Ok(answer) => return answer,
            Err(last) => assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}: {last}"),
        }
    }
}

/// What an account is connected with whose tokens no test wants renewed.
pub const FAR: [&str; 2] = ["--expires-at", "2036-01-01T00:00:00Z"];

/// A client that goes straight to loopback, whatever the environment says of proxies.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// The binary of that name, beside the one under test.
pub fn binary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_postroom")).with_file_name(name)
}

impl System {
    /// A system with `web` and no worker yet: a lease of three seconds, all else in proportion.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (database, redis_port) = (Database::create().await, free_port());
        let redis = start_redis(redis_port, dir.path(), false);
        let redis_url = format!("redis://127.0.0.1:{redis_port}");
        let settings = BTreeMap::from([("DATABASE_URL".to_owned(), database.url.clone())]);
        Self::on(Ground { dir, database, redis: Some(redis), redis_url, settings }).await
    }

    /// The same on servers that are there already, with these settings above the usual ones.
    pub async fn on(Ground { dir, database, redis, redis_url, settings }: Ground) -> Self {
        let (sandbox, addresses) = start_sandbox(dir.path(), &database.url).await;
        let mut environment = environment(&redis_url, &addresses).await;
        environment.extend(settings);
        let mut system = Self {
            environment,
            workers: Vec::new(),
            web: None,
            key: String::new(),
            accounts: BTreeMap::new(),
            http: client(),
            database,
            redis,
            _sandbox: sandbox,
            addresses,
            dir,
        };
        system.seed().await;
        system.start_web().await;
        system
    }

    /// The same with `workers` workers.
    pub async fn with_workers(workers: usize) -> Self {
        let mut system = Self::start().await;
        for _ in 0..workers {
            system.start_worker(&[]);
        }
        system
    }

    async fn seed(&mut self) {
        self.postroom(&["migrate"], "").await;
        self.postroom(&["workspace", "add", "Bakery"], "").await;
        let user = [
            "user",
            "add",
            "--email",
            "staff@example.com",
            "--first",
            "Dana",
            "--last",
            "Levi",
            "--role",
            "admin",
        ];
        self.postroom(&[&user[..], &["--workspace", "Bakery"]].concat(), "corner-bakery-demo").await;
        self.key =
            self.postroom(&["api-key", "create", "--workspace", "Bakery", "--scopes", "all"], "").await;
        for (platform, id, token) in [
            (FACEBOOK, "104000000000001", json!({ "access_token": "sandbox-page-token" })),
            (INSTAGRAM, "17841400000000001", json!({ "access_token": "sandbox-page-token" })),
            (
                TIKTOK,
                "sandbox-open-id",
                json!({ "access_token": "sandbox-tiktok-access", "refresh_token": "r" }),
            ),
        ] {
            let add = [
                "account",
                "add",
                "--workspace",
                "Bakery",
                "--platform",
                platform,
                "--external-id",
                id,
                "--name",
                id,
            ];
            let add = if platform == TIKTOK { [&add[..], &FAR].concat() } else { add.to_vec() };
            let account = self.postroom(&add, &token.to_string()).await;
            self.accounts.insert(platform.to_owned(), account);
        }
    }

    /// Runs a verb of `postroom` and gives what it printed; fails with it.
    pub async fn postroom(&self, args: &[&str], stdin: &str) -> String {
        let (status, out, err) = self.try_postroom(args, stdin).await;
        assert_eq!(status, 0, "postroom {args:?}: {err}");
        out
    }

    /// Runs a verb of `postroom`: its exit code, what it printed, what it complained of.
    pub async fn try_postroom(&self, args: &[&str], stdin: &str) -> (i32, String, String) {
        process::run(Path::new(env!("CARGO_BIN_EXE_postroom")), args, &self.environment, stdin).await
    }

    /// Starts `web` and waits until it answers.
    pub async fn start_web(&mut self) {
        self.web = Some(self.process("web", &["web"], &[]));
        let url = self.url("/healthz");
        eventually("web", || async {
            self.http.get(&url).send().await.map(|_| ()).map_err(|e| e.to_string())
        })
        .await;
    }

    /// Starts one more worker, armed with failpoints such as `("after_arm", "kill9")`.
    pub fn start_worker(&mut self, failpoints: &[(&str, &str)]) {
        let armed: Vec<String> =
            failpoints.iter().map(|(point, action)| format!("{point}={action}")).collect();
        let worker = self.process("worker", &["worker"], &[("POSTROOM_FAILPOINTS", &armed.join(";"))]);
        self.workers.push(worker);
    }

    /// Starts one more worker, which works on these queues only.
    pub fn start_worker_on(&mut self, queues: &str) {
        let worker = self.process("worker", &["worker", "--queues", queues], &[]);
        self.workers.push(worker);
    }

    /// Starts `postroom` with more in its environment, and its output in a file of that name.
    pub fn process(&self, name: &str, args: &[&str], more: &[(&str, &str)]) -> Process {
        let mut environment = self.environment.clone();
        environment.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let log = self.dir.path().join(format!("{name}-{}.log", self.workers.len()));
        Process::start(Path::new(env!("CARGO_BIN_EXE_postroom")), args, &environment, &log)
    }

    /// Where the processes' logs are.
    pub fn logs(&self) -> &Path {
        self.dir.path()
    }

    /// An address of `web`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.environment["PUBLIC_URL"])
    }

    /// Our id of the account at a network.
    pub fn account(&self, platform: &str) -> &str {
        &self.accounts[platform]
    }

    /// A call of the API: the status and the answer, as a string where it is no JSON.
    ///
    /// What is no JSON comes with its headers, which tell who answered.
    pub async fn api(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.http.request(method, self.url(path)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap_or_else(|error| format!("{error:?}"));
        let told = |_| Value::String(format!("{text}\n{headers:?}"));
        (status, serde_json::from_str(&text).unwrap_or_else(told))
    }

    /// Uploads a file and gives its id.
    pub async fn upload(&self, name: &str, bytes: Vec<u8>) -> String {
        let part = reqwest::multipart::Part::bytes(bytes).file_name(name.to_owned());
        let form = reqwest::multipart::Form::new().part("file", part);
        let sent = self
            .http
            .post(self.url("/api/v1/media"))
            .bearer_auth(&self.key)
            .multipart(form)
            .send()
            .await
            .unwrap();
        let (status, headers, text) = (sent.status(), sent.headers().clone(), sent.text().await.unwrap());
        assert_eq!(status, 201, "{text}\n{headers:?}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Accepts a post to these networks, of the kind each of them takes, and gives its id.
    pub async fn post(&self, caption: &str, platforms: &[&str]) -> String {
        let media = match platforms {
            [TIKTOK] => vec![self.upload("film.mp4", film()).await],
            _ if platforms.contains(&INSTAGRAM) => vec![self.upload("picture.jpg", picture()).await],
            _ => Vec::new(),
        };
        let (status, post) = self
            .api(reqwest::Method::POST, "/api/v1/posts", Some(&self.wish(caption, platforms, &media)))
            .await;
        assert_eq!(status, 202, "{post}");
        post["id"].as_str().unwrap().to_owned()
    }

    /// The body of a post that goes out at once.
    pub fn wish(&self, caption: &str, platforms: &[&str], media: &[String]) -> Value {
        let targets: Vec<Value> = platforms.iter().map(|platform| self.target(platform)).collect();
        json!({ "caption": caption, "kind": "post", "media_ids": media, "targets": targets })
    }

    fn target(&self, platform: &str) -> Value {
        let options =
            if platform == TIKTOK { json!({ "privacy_level": "PUBLIC_TO_EVERYONE" }) } else { json!({}) };
        json!({ "account_id": self.account(platform), "options": options })
    }

    /// Waits until a post is in this state.
    pub async fn until(&self, post: &str, state: &str) -> Value {
        eventually(state, || async {
            let (_, answer) = self.api(reqwest::Method::GET, &format!("/api/v1/posts/{post}"), None).await;
            if answer["state"] == state { Ok(answer) } else { Err(answer.to_string()) }
        })
        .await
    }

    /// Waits until all of these are published, and makes sure that each is public exactly once: by what the
    /// public sees, and by what the ledger says.
    pub async fn all_live_once(&self, posts: &[String]) {
        for post in posts {
            let published = self.until(post, "published").await;
            let seen = self.seen_of(post, &published).await;
            let caption = &published["caption"];
            for publication in published["publications"].as_array().unwrap() {
                let platform = &publication["platform"];
                let effects: Vec<_> = seen.iter().filter(|effect| effect["platform"] == *platform).collect();
                assert_eq!(effects.len(), 1, "{caption:?} on {platform}: {effects:?}");
                let (id, remote) = (&effects[0]["object_id"], &publication["remote_id"]);
                assert!(
                    remote.is_null() || remote == id,
                    "{caption:?}: the ledger says {remote}, the network {id}"
                );
            }
        }
        // once more when all are out: none has become public twice meanwhile, or where it was not wanted
        for post in posts {
            let published = self.until(post, "published").await;
            let found = self.seen_of(post, &published).await.len();
            assert_eq!(
                found,
                published["publications"].as_array().unwrap().len(),
                "{}",
                published["caption"]
            );
        }
    }

    /// What the public sees of a post: what has its words, and what its commit calls brought out, for a story has
    /// no words.
    async fn seen_of(&self, post: &str, published: &Value) -> Vec<Value> {
        let calls: Vec<String> = sqlx::query_scalar(
            "SELECT c.call_id::text FROM remote_call c JOIN publication p ON p.id = c.publication_id
             WHERE c.kind = 'commit' AND p.post_id = $1::text::uuid",
        )
        .bind(post)
        .fetch_all(&self.database.pool)
        .await
        .unwrap();
        let caption = published["caption"].as_str().unwrap();
        let of_post = |effect: &&Value| {
            let its_call = effect["call_id"].as_str().is_some_and(|id| calls.iter().any(|call| call == id));
            its_call || (!caption.is_empty() && effect["caption"] == caption)
        };
        self.control("effects").await["data"].as_array().unwrap().iter().filter(of_post).cloned().collect()
    }

    /// What the public sees with this caption on a network.
    pub async fn effects(&self, platform: &str, caption: &str) -> Vec<Value> {
        let all = self.control("effects").await;
        let of_post = |effect: &&Value| effect["platform"] == platform && effect["caption"] == caption;
        all["data"].as_array().unwrap().iter().filter(of_post).cloned().collect()
    }

    /// Every mutating call that the networks saw was in the ledger before it arrived.
    pub async fn every_call_was_logged_first(&self) {
        let calls = self.control("calls").await;
        for call in calls["data"].as_array().unwrap() {
            let mutating = call["phase"] != "observe";
            assert!(!mutating || call["in_ledger"] == json!(true), "{call}");
        }
    }

    /// What the sandbox tells of itself.
    pub async fn control(&self, what: &str) -> Value {
        let url = format!("{}/{what}", self.addresses["control"].as_str().unwrap());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// Tells the networks how to misbehave.
    pub async fn fault(&self, rule: Value) {
        self.tell("faults", &rule).await;
    }

    /// Tells the networks something.
    pub async fn tell(&self, what: &str, body: &Value) {
        let url = format!("{}/{what}", self.addresses["control"].as_str().unwrap());
        let answer = self.http.post(url).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{what} {body}: {}", answer.text().await.unwrap());
    }

    /// The networks behave again.
    pub async fn calm(&self) {
        let url = format!("{}/faults", self.addresses["control"].as_str().unwrap());
        assert!(self.http.delete(url).send().await.unwrap().status().is_success());
    }

    /// Runs a verb of `postroom` that prints one JSON object.
    pub async fn told(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.postroom(&[args, &["--json"]].concat(), "").await).unwrap()
    }

    /// Empties Redis.
    pub async fn flush_redis(&self) {
        let client = redis::Client::open(self.environment["REDIS_URL"].as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
    }
}

/// A Redis that throws nothing out, with or without a log on disk.
pub fn start_redis(port: u16, dir: &Path, log: bool) -> Process {
    let server = std::env::var("POSTROOM_REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
    let (port, log) = (port.to_string(), if log { "yes" } else { "no" });
    let args = [
        ["--port", &port],
        ["--bind", "127.0.0.1"],
        ["--save", ""],
        ["--appendonly", log],
        ["--appendfsync", "everysec"],
        ["--aof-load-truncated", "yes"],
        ["--maxmemory-policy", "noeviction"],
        ["--dir", dir.to_str().unwrap()],
    ];
    let args = args.as_flattened();
    Process::start(Path::new(&server), args, &BTreeMap::new(), &dir.join("redis.log"))
}

async fn start_sandbox(dir: &Path, ledger: &str) -> (Process, Value) {
    let data = dir.join("sandbox");
    let args = ["serve", "--data", data.to_str().unwrap(), "--ledger", ledger, "--processing", "200ms"];
    let process = Process::start(&binary("sandbox"), &args, &BTreeMap::new(), &dir.join("sandbox.log"));
    let addresses = eventually("the sandbox", || async {
        let text = std::fs::read_to_string(data.join("addresses.json")).map_err(|e| e.to_string())?;
        serde_json::from_str(&text).map_err(|e| e.to_string())
    })
    .await;
    (process, addresses)
}

async fn environment(redis_url: &str, addresses: &Value) -> BTreeMap<String, String> {
    let port = free_port();
    let of = |name: &str| addresses[name].as_str().unwrap().to_owned();
    let (_, keys, _) =
        process::run(Path::new(env!("CARGO_BIN_EXE_postroom")), &["keys", "generate"], &BTreeMap::new(), "")
            .await;
    [
        ("REDIS_URL", redis_url.to_owned()),
        ("PORT", port.to_string()),
        ("PUBLIC_URL", format!("http://localhost:{port}")),
        ("POSTROOM_KEYS", keys),
        ("S3_BUCKET", of("bucket")),
        ("AWS_REGION", "us-east-1".into()),
        ("AWS_ENDPOINT_URL_S3", of("s3")),
        ("AWS_ACCESS_KEY_ID", of("access_key")),
        ("AWS_SECRET_ACCESS_KEY", of("secret_key")),
        ("META_APP_ID", "app".into()),
        ("META_APP_SECRET", "app-secret".into()),
        ("META_GRAPH_URL", of("graph")),
        ("META_RUPLOAD_URL", of("rupload")),
        ("META_DIALOG_URL", of("dialog")),
        ("TIKTOK_CLIENT_KEY", "key".into()),
        ("TIKTOK_CLIENT_SECRET", "secret".into()),
        ("TIKTOK_API_URL", of("tiktok")),
        ("OPENAI_API_KEY", "sk-sandbox".into()),
        ("OPENAI_BASE_URL", of("openai")),
        ("TIKTOK_AUTH_URL", of("tiktok")),
        ("GOOGLE_CLIENT_ID", "client".into()),
        ("GOOGLE_CLIENT_SECRET", "client-secret".into()),
        ("GOOGLE_ISSUER_URL", of("oidc")),
        ("GOOGLE_HOSTED_DOMAIN", "example.com".into()),
        ("SMTP_URL", of("smtp")),
        ("MAIL_FROM", "postroom@example.org".into()),
        ("LOG_FORMAT", "text".into()),
        ("POSTROOM__LEASE__LENGTH", "3s".into()),
        // a test asks as fast as it can
        ("POSTROOM__WEB__ADDRESS_RATE", "0".into()),
        ("POSTROOM__WEB__KEY_RATE", "0".into()),
        ("POSTROOM__LEASE__SETTLE", "1s".into()),
        ("POSTROOM__RELAY__REAP_EVERY", "500ms".into()),
        ("POSTROOM__RELAY__MEND_EVERY", "500ms".into()),
        ("POSTROOM__PUBLISHING__LOOK_LEAST", "200ms".into()),
        ("POSTROOM__JOBS__PUBLISH__RETRY_BASE", "200ms".into()),
        // many films go out on one account here
        ("POSTROOM__NETWORKS__TIKTOK__ACCOUNT_RATE", "off".into()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// A picture that every network takes.
pub fn picture() -> Vec<u8> {
    include_bytes!("../../../demo/bread.jpg").to_vec()
}

/// A film that TikTok takes.
pub fn film() -> Vec<u8> {
    include_bytes!("../../../demo/oven.mp4").to_vec()
}
