//! The origin in a test's memory: what `web` and the ledger do for a network that pulls its files.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use jobs::{
    contract::Failure,
    desk::{Close, File, Handle, Media, Origin, Pulled},
};
use postroom::networks::s3::S3;
use serde_json::json;
use uuid::Uuid;

/// Serves the files of commit calls, and remembers what was fetched and what is closed.
#[derive(Debug, Clone)]
pub struct Pulls {
    base: String,
    store: S3,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    commits: HashMap<Uuid, (String, Vec<File>)>,
    closed: HashSet<Uuid>,
    fetched: HashSet<Uuid>,
    names: HashMap<String, String>,
}

impl Pulls {
    /// Opens it on a port of its own.
    pub async fn open(store: S3) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let pulls = Self { base, store, book: Arc::default() };
        let routes = Router::new().route("/p/{call}/{file}", get(file)).with_state(pulls.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        pulls
    }

    /// A commit call's row, as arming writes it.
    pub fn arm(&self, call: Uuid, handle: &Handle, media: &[File]) {
        self.book().commits.insert(call, (handle.id.clone(), media.to_vec()));
    }

    /// The handle as the ledger gives it back.
    pub fn as_kept(&self, handle: &Handle) -> Handle {
        let mut handle = handle.clone();
        if let Some(name) = self.book().names.get(&handle.id) {
            handle.detail["publish_id"] = json!(name);
        }
        handle
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("a lock")
    }

    fn fetch(&self, call: Uuid, position: usize) -> Option<File> {
        let mut book = self.book();
        let file = book.commits.get(&call).and_then(|(_, files)| files.get(position)).cloned();
        let file = file.filter(|_| !book.closed.contains(&call))?;
        book.fetched.insert(call);
        Some(file)
    }
}

async fn file(
    State(pulls): State<Pulls>,
    Path((call, name)): Path<(Uuid, String)>,
) -> Result<Vec<u8>, StatusCode> {
    let position = name.strip_suffix(".jpg").and_then(|number| number.parse().ok());
    let file = position.and_then(|position| pulls.fetch(call, position)).ok_or(StatusCode::NOT_FOUND)?;
    pulls.store.read(&file.key, 0, file.bytes).await.map_err(|_| StatusCode::BAD_GATEWAY)
}

#[async_trait]
impl Origin for Pulls {
    fn address(&self, call: Uuid, position: usize, _: &str) -> String {
        format!("{}/p/{call}/{position}.jpg", self.base)
    }

    async fn named(&self, call: Uuid, name: &str) -> Result<(), Failure> {
        let mut book = self.book();
        let handle = book.commits[&call].0.clone();
        book.names.insert(handle, name.to_owned());
        Ok(())
    }

    async fn close(&self, handle: &str, _: Close) -> Result<Pulled, Failure> {
        let mut book = self.book();
        let of_handle = |(call, (of, _)): (&Uuid, &(String, _))| (of == handle).then_some(*call);
        let calls: Vec<Uuid> = book.commits.iter().filter_map(of_handle).collect();
        book.closed.extend(&calls);
        let fetched = calls.iter().any(|call| book.fetched.contains(call));
        Ok(if fetched { Pulled::Fetched } else { Pulled::Never })
    }
}
