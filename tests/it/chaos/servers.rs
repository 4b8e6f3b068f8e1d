//! A Postgres and a Redis of chaos' own, to be killed and brought back.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use postroom::queue::Queue;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::harness::{Process, eventually, free_port, process::run, start_redis};

/// A Postgres cluster. It runs as the user that `POSTROOM_PG_USER` names where we are root.
pub struct Postgres {
    process: Process,
    port: u16,
    place: TempDir,
}

impl Postgres {
    /// Makes one and starts it.
    pub async fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        // the other user passes through it
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let home = place.path().join("home");
        std::fs::create_dir(&home).unwrap();
        if let Some(user) = user() {
            tool(Path::new("chown"), &[&user, text(&home)]).await;
        }
        let data = home.join("data");
        let options = [
            "--pgdata",
            text(&data),
            "--username",
            "chaos",
            "--auth",
            "trust",
            "--locale",
            "C",
            "--encoding",
            "UTF8",
        ];
        tool_as_user("initdb", &options).await;
        let port = free_port();
        let process = serve_postgres(place.path(), port);
        let mut postgres = Self { process, port, place };
        postgres.answers().await;
        postgres
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its maintenance database, through the port of a relay or its own.
    pub fn url(&self) -> String {
        format!("postgres://chaos@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it as a power cut would, or with an immediate shutdown.
    pub async fn down(&mut self, crash: bool) {
        if self.process.has_ended() {
            return;
        }
        if crash {
            return self.process.kill9().await;
        }
        self.process.signal("QUIT").await;
        self.process.ended().await;
    }

    /// Starts it again and waits until it answers.
    pub async fn up(&mut self) {
        if self.process.has_ended() {
            self.process = serve_postgres(self.place.path(), self.port);
        }
        self.answers().await;
    }

    /// Until it answers; what a killed one has left may keep the next from starting for a moment.
    async fn answers(&mut self) {
        let (url, place, port) = (self.url(), self.place.path().to_owned(), self.port);
        let process = std::cell::RefCell::new(&mut self.process);
        eventually("Postgres", || async {
            if process.borrow_mut().has_ended() {
                **process.borrow_mut() = serve_postgres(&place, port);
            }
            PgConnection::connect(&url).await.map(drop).map_err(|e| e.to_string())
        })
        .await;
    }
}

fn serve_postgres(place: &Path, port: u16) -> Process {
    let (data, port) = (place.join("home/data"), port.to_string());
    let options = [
        "-D",
        text(&data),
        "-p",
        &port,
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
        "-c",
        "max_connections=200",
    ];
    let (program, args) = as_user("postgres", &options);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Process::start(&program, &args, &locale(), &place.join("postgres.log"))
}

fn user() -> Option<String> {
    std::env::var("POSTROOM_PG_USER").ok().filter(|user| !user.is_empty())
}

fn locale() -> BTreeMap<String, String> {
    [("LC_ALL", "C"), ("TZ", "UTC")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A program of Postgres, and what runs it as the right user without a process in between.
fn as_user(program: &str, options: &[&str]) -> (PathBuf, Vec<String>) {
    let program = PathBuf::from(std::env::var("POSTROOM_PG_BIN").unwrap_or_default()).join(program);
    let options = options.iter().map(|&option| option.to_owned());
    match user() {
        None => (program, options.collect()),
        Some(user) => {
            let change = Path::new(env!("CARGO_MANIFEST_DIR")).join("bin/lib/as-user");
            (change, [user, text(&program).to_owned()].into_iter().chain(options).collect())
        }
    }
}

async fn tool_as_user(program: &str, options: &[&str]) {
    let (program, args) = as_user(program, options);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    tool(&program, &args).await;
}

async fn tool(program: &Path, args: &[&str]) {
    let (status, _, complaint) = run(program, args, &locale(), "").await;
    assert_eq!(status, 0, "{} {args:?}: {complaint}", program.display());
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of plain letters")
}

/// A Redis with a log that is synced every second.
pub struct Redis {
    process: Process,
    port: u16,
    dir: PathBuf,
}

impl Redis {
    /// Starts one with its files below `dir`.
    pub async fn start(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let port = free_port();
        let redis = Self { process: start_redis(port, dir, true), port, dir: dir.to_owned() };
        redis.answers().await;
        redis
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `kill -9`.
    pub async fn down(&mut self) {
        if !self.process.has_ended() {
            self.process.kill9().await;
        }
    }

    /// Starts it again with nothing.
    pub async fn up_empty(&mut self) {
        self.down().await;
        self.forget();
        self.up(true).await;
    }

    /// Starts it again with the first half of its log.
    pub async fn up_with_half(&mut self) {
        self.down().await;
        for entry in std::fs::read_dir(self.dir.join("appendonlydir")).into_iter().flatten() {
            let path = entry.unwrap().path();
            if text(&path).ends_with(".incr.aof") {
                let file = std::fs::File::options().write(true).open(&path).unwrap();
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            }
        }
        self.up(true).await;
    }

    /// Starts it again with a snapshot; from then on it keeps its log again.
    pub async fn up_with(&mut self, snapshot: &Path) {
        self.down().await;
        self.forget();
        std::fs::copy(snapshot, self.dir.join("dump.rdb")).unwrap();
        self.up(false).await;
        let mut connection = self.connection().await.unwrap();
        let set = redis::cmd("CONFIG").arg(&["SET", "appendonly", "yes"]).query_async(&mut connection).await;
        let () = set.unwrap();
    }

    async fn up(&mut self, log: bool) {
        self.process = start_redis(self.port, &self.dir, log);
        self.answers().await;
    }

    fn forget(&self) {
        let (log, snapshot) = (self.dir.join("appendonlydir"), self.dir.join("dump.rdb"));
        let _none = (std::fs::remove_dir_all(log), std::fs::remove_file(snapshot));
    }

    /// A connection past every relay.
    pub async fn connection(&self) -> Result<redis::aio::MultiplexedConnection, String> {
        let client = redis::Client::open(self.url()).map_err(|e| e.to_string())?;
        client.get_multiplexed_async_connection().await.map_err(|e| e.to_string())
    }

    /// Its address past every relay.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The queues in it, past every relay.
    pub fn queue(&self) -> Queue {
        Queue::open(&self.url().into(), 5000).unwrap()
    }

    /// Has it write a snapshot, and says where.
    pub async fn snapshot(&self) -> PathBuf {
        let mut connection = self.connection().await.unwrap();
        let () = redis::cmd("SAVE").query_async(&mut connection).await.unwrap();
        self.dir.join("dump.rdb")
    }

    async fn answers(&self) {
        eventually("Redis", || async {
            let mut connection = self.connection().await?;
            redis::cmd("PING")
                .query_async::<String>(&mut connection)
                .await
                .map(drop)
                .map_err(|e| e.to_string())
        })
        .await;
    }
}
