//! Everything that a run of chaos plays on, kept across its rounds: servers, the networks, an intake, and up to
//! four workers, each with links of its own.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{
    blows::{Hole, Line, Weather, Whose},
    door::Door,
    files::Shelf,
    oracles::Effect,
    proxy::Relay,
    schedule::SLOTS,
    servers::{Postgres, Redis},
    surfaces::Sort,
};
use crate::{
    harness::{Database, FACEBOOK, Ground, INSTAGRAM, Process, System, TIKTOK, eventually_within},
    secrets::{Secret, fresh},
};

/// What the rounds' bounds are made of; the processes are started with these.
pub const LEASE: Duration = Duration::from_secs(3);
/// See `lease.settle`.
pub const SETTLE: Duration = Duration::from_secs(1);
/// See `relay.reap_every`.
pub const REAP_EVERY: Duration = Duration::from_millis(500);
/// See `publishing.look_most`.
pub const LOOK_MOST: Duration = Duration::from_secs(2);
/// See `publishing.late_limit`; longer than any lie and any sleep of a worker take together.
pub const LATE_LIMIT: Duration = Duration::from_secs(20);
/// See `lease.grace`; the platform's own is 0, 3 or 30 s.
pub const GRACE: Duration = Duration::from_secs(2);

/// The stage.
pub struct Stage {
    slots: Vec<Slot>,
    web_links: Links,
    /// The system on it; its workers stand in the slots.
    pub system: System,
    /// Its Redis.
    pub redis: Redis,
    /// Its Postgres.
    pub postgres: Postgres,
    /// What goes through it and may be read nowhere.
    pub secrets: Vec<Secret>,
    started: usize,
}

/// A place for a worker, with its links to the servers.
struct Slot {
    worker: Option<Process>,
    /// It was started otherwise than the others and makes way at the next round.
    odd: bool,
    links: Links,
}

struct Links {
    postgres: Relay,
    redis: Relay,
}

impl Links {
    async fn to(postgres: &Postgres, redis: &Redis) -> Self {
        Self { postgres: Relay::to(postgres.port()).await, redis: Relay::to(redis.port()).await }
    }

    /// The environment of who uses them.
    fn environment(&self, database: &Database) -> BTreeMap<String, String> {
        let mut url = url::Url::parse(&database.url).unwrap();
        url.set_port(Some(self.postgres.port)).unwrap();
        let redis = format!("redis://127.0.0.1:{}", self.redis.port);
        BTreeMap::from([("DATABASE_URL".to_owned(), url.into()), ("REDIS_URL".to_owned(), redis)])
    }

    fn of(&self, line: Line) -> &Relay {
        match line {
            Line::Redis => &self.redis,
            Line::Postgres => &self.postgres,
        }
    }
}

impl Stage {
    /// Sets it up, with an intake and no worker.
    pub async fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let postgres = Postgres::start().await;
        let redis = Redis::start(&dir.path().join("redis")).await;
        let database = Database::create_on(&postgres.url()).await;
        let web_links = Links::to(&postgres, &redis).await;
        let mut settings = web_links.environment(&database);
        settings.extend(self::settings());
        let ground = Ground { dir, database, redis: None, redis_url: String::new(), settings };
        let system = System::on(ground).await;
        let mut slots = Vec::new();
        for _ in 0..SLOTS {
            slots.push(Slot { worker: None, odd: false, links: Links::to(&postgres, &redis).await });
        }
        let secrets = secrets_of(&system);
        Self { slots, web_links, system, redis, postgres, secrets, started: 0 }
    }

    /// The door, with two accounts of each network and as many files of each sort behind it.
    pub async fn door(&mut self, files: &[(Sort, usize)]) -> Door {
        let mut accounts = BTreeMap::new();
        for platform in [FACEBOOK, INSTAGRAM, TIKTOK] {
            let second = self.second_account(platform).await;
            let first = (self.system.account(platform).to_owned(), first_account(platform).to_owned());
            accounts.insert(platform, [first, second]);
        }
        Door::new(&self.system, accounts, Shelf::stocked(&self.system, files).await)
    }

    /// Connects another account of a network: our id of it and the network's.
    async fn second_account(&mut self, platform: &str) -> (String, String) {
        let external = format!("2{}", first_account(platform).replace("sandbox-open-id", "000"));
        let [token, refresh] = ["an access token", "a refresh token"].map(|what| {
            let secret = fresh(what);
            self.secrets.push(secret.clone());
            secret.text
        });
        let account = json!({
            "platform": platform, "external_id": external, "name": "Second", "access_token": token,
            "refresh_token": refresh,
        });
        let url = format!("{}/accounts", self.system.addresses["control"].as_str().unwrap());
        let added = crate::harness::client().post(url).json(&account).send().await.unwrap();
        assert!(added.status().is_success(), "{}", added.text().await.unwrap());
        let add = ["account", "add", "--workspace", "Bakery", "--platform", platform];
        let named = ["--external-id", &external, "--name", "Second"];
        let tokens = json!({ "access_token": token, "refresh_token": refresh }).to_string();
        (
            self.system.postroom(&[&add[..], &named[..], &crate::harness::FAR].concat(), &tokens).await,
            external,
        )
    }

    /// Has so many ordinary workers run, no more and no fewer.
    pub async fn staff(&mut self, workers: usize) {
        for slot in 0..SLOTS {
            let wanted = slot < workers;
            if self.slots[slot].odd || (self.alive(slot) && !wanted) {
                self.dismiss(slot, GRACE * 2).await;
            }
            if wanted && !self.alive(slot) {
                self.employ(slot, &[]);
            }
        }
    }

    /// Starts a worker in a slot, with more in its environment than usual.
    pub fn employ(&mut self, slot: usize, more: &[(&str, &str)]) {
        self.started += 1;
        let name = format!("worker-{:04}-in-slot-{slot}", self.started);
        let links = self.slots[slot].links.environment(&self.system.database);
        let mut environment: Vec<(&str, &str)> =
            links.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        environment.extend(more);
        let worker = self.system.process(&name, &["worker"], &environment);
        self.slots[slot].odd = !more.is_empty();
        self.slots[slot].worker = Some(worker);
    }

    /// `kill -9`.
    pub async fn kill(&mut self, slot: usize) {
        if let Some(mut worker) = self.slots[slot].worker.take()
            && !worker.has_ended()
        {
            worker.kill9().await;
        }
    }

    /// SIGTERM, and `kill -9` when the grace is over.
    pub async fn dismiss(&mut self, slot: usize, grace: Duration) {
        self.signal(slot, "TERM").await;
        if let Some(worker) = &mut self.slots[slot].worker {
            let _late = tokio::time::timeout(grace, worker.ended()).await;
        }
        self.kill(slot).await;
    }

    /// Sends a signal to a worker that lives.
    pub async fn signal(&mut self, slot: usize, name: &str) {
        if self.alive(slot)
            && let Some(worker) = &self.slots[slot].worker
        {
            worker.signal(name).await;
        }
    }

    /// Whether there is a worker in a slot that has not ended.
    pub fn alive(&mut self, slot: usize) -> bool {
        self.slots[slot].worker.as_mut().is_some_and(|worker| !worker.has_ended())
    }

    /// Whether a worker is stopped by a signal.
    pub fn stopped(&mut self, slot: usize) -> bool {
        let pid = self.slots[slot].worker.as_ref().and_then(Process::pid);
        let stat = pid.map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default());
        stat.is_some_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
    }

    /// What a worker has logged.
    pub fn log(&self, slot: usize) -> String {
        self.slots[slot].worker.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Makes a hole in links, or closes it.
    pub fn hole(&self, hole: &Hole, open: bool) {
        let links: Vec<&Links> = match hole.whose {
            Whose::All => self.slots.iter().map(|slot| &slot.links).chain([&self.web_links]).collect(),
            Whose::Worker(slot) => vec![&self.slots[slot].links],
            Whose::Web => vec![&self.web_links],
        };
        for relay in links.into_iter().map(|links| links.of(hole.line)) {
            match (open, hole.weather) {
                (false, _) => relay.clear(),
                (true, Weather::Stall) => relay.stall(),
                (true, Weather::Refuse) => relay.refuse(),
                (true, Weather::Mute) => relay.mute(),
                (true, Weather::Reset) => relay.reset(),
                (true, Weather::Slow(by)) => relay.delay(by),
                (true, Weather::Cut(bytes)) => relay.cut_after(bytes),
            }
        }
    }

    /// Makes every link whole again.
    pub fn clear(&self) {
        for links in self.slots.iter().map(|slot| &slot.links).chain([&self.web_links]) {
            links.postgres.clear();
            links.redis.clear();
        }
    }

    /// `kill -9` of the intake.
    pub async fn kill_web(&mut self) {
        if let Some(mut web) = self.system.web.take()
            && !web.has_ended()
        {
            web.kill9().await;
        }
    }

    /// Starts the intake, with more in its environment than usual, unless one is there.
    pub async fn open_web(&mut self, more: &[(&str, &str)]) {
        if self.system.web.as_mut().is_some_and(|web| !web.has_ended()) {
            return;
        }
        self.system.web = Some(self.system.process("web", &["web"], more));
        let url = self.system.url("/healthz");
        eventually_within(Duration::from_secs(30), "the intake", || async {
            crate::harness::client().get(&url).send().await.map(drop).map_err(|e| e.to_string())
        })
        .await;
    }

    /// Whether the intake has ended by itself.
    pub fn web_ended(&mut self) -> bool {
        self.system.web.as_mut().is_none_or(Process::has_ended)
    }

    /// Forgets how the networks were to lie, and what they were called with.
    pub async fn honest_networks(&self) {
        for what in ["faults", "calls"] {
            let url = format!("{}/{what}", self.system.addresses["control"].as_str().unwrap());
            let done = crate::harness::client().delete(url).send().await.unwrap();
            assert!(done.status().is_success());
        }
    }

    /// Tells the networks how to lie in a round.
    pub async fn lying_networks(&self, rules: impl Iterator<Item = Value>, pull_after_ms: u64) {
        self.system.tell("settings", &json!({ "tiktok_pull_after_ms": pull_after_ms })).await;
        for rule in rules {
            self.system.fault(rule).await;
        }
    }

    /// How often each of the rules was played, in their order.
    pub async fn lies_told(&self) -> Vec<u64> {
        let rules = self.system.control("faults").await;
        rules["data"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|rule| rule["hits"].as_u64().unwrap_or(0))
            .collect()
    }

    /// What the public sees, of all posts.
    pub async fn effects(&self) -> Vec<Effect> {
        serde_json::from_value(self.system.control("effects").await["data"].take()).unwrap()
    }
}

/// The secrets that a system starts with.
fn secrets_of(system: &System) -> Vec<Secret> {
    let told = |name: &str| system.environment[name].trim().rsplit(':').next().unwrap_or_default().to_owned();
    [
        ("the API key", system.key.trim().to_owned()),
        ("the key ring", told("POSTROOM_KEYS")),
        ("the store's secret", told("AWS_SECRET_ACCESS_KEY")),
        ("a Page's token", "sandbox-page-token".to_owned()),
        ("TikTok's token", "sandbox-tiktok-access".to_owned()),
    ]
    .map(|(what, text)| Secret { what, text })
    .to_vec()
}

fn first_account(platform: &str) -> &'static str {
    match platform {
        FACEBOOK => "104000000000001",
        INSTAGRAM => "17841400000000001",
        _ => "sandbox-open-id",
    }
}

fn settings() -> BTreeMap<String, String> {
    let span = |span: Duration| format!("{}ms", span.as_millis());
    [
        ("LEASE__LENGTH", span(LEASE)),
        ("LEASE__SETTLE", span(SETTLE)),
        ("LEASE__GRACE", span(GRACE)),
        // what is killed here is killed from outside, over and over: no job is to blame
        ("LEASE__CRASH_LIMIT", "50".into()),
        ("RELAY__REAP_EVERY", span(REAP_EVERY)),
        ("PUBLISHING__LOOK_LEAST", "200ms".into()),
        ("PUBLISHING__LOOK_MOST", span(LOOK_MOST)),
        ("PUBLISHING__LATE_LIMIT", span(LATE_LIMIT)),
        ("JOBS__PUBLISH__TIMEOUT", "10s".into()),
        ("JOBS__PUBLISH__RETRY_BASE", "200ms".into()),
        ("JOBS__PUBLISH__RETRY_CAP", "1s".into()),
        ("TRAFFIC__OPEN_FIRST", "1s".into()),
        ("TRAFFIC__OPEN_MOST", "2s".into()),
        ("NETWORKS__FACEBOOK__TIMEOUT", "3s".into()),
        ("NETWORKS__INSTAGRAM__TIMEOUT", "3s".into()),
        ("NETWORKS__INSTAGRAM__SPAM_PAUSE", "1s".into()),
        ("NETWORKS__TIKTOK__TIMEOUT", "3s".into()),
    ]
    .into_iter()
    .map(|(name, value)| (format!("POSTROOM__{name}"), value))
    .collect()
}
