//! Erasing from a bucket with versions: a deletion there leaves a mark and all that was before. The stand-in's store has no
//! versions, so one that has nothing else stands in here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{delete, get},
};
use jobs::desk::Media;
use postroom::networks::s3::S3;

/// The versions and marks that a page of a list has at most.
const PAGE: usize = 2;

#[derive(Default)]
struct Bucket {
    /// Key, version, and whether it is the mark of a deletion; by key.
    versions: Vec<(String, String, bool)>,
    /// Key and name of parts that were never joined.
    parts: Vec<(String, String)>,
}

type Shared = Arc<Mutex<Bucket>>;

fn version(key: &str, id: &str, mark: bool) -> String {
    let tag = if mark { "DeleteMarker" } else { "Version" };
    format!("<{tag}><Key>{key}</Key><VersionId>{id}</VersionId></{tag}>")
}

async fn list(State(bucket): State<Shared>, Query(asked): Query<HashMap<String, String>>) -> String {
    let bucket = bucket.lock().unwrap();
    let prefix = asked.get("prefix").cloned().unwrap_or_default();
    if asked.contains_key("uploads") {
        let own = bucket.parts.iter().filter(|(key, _)| key.starts_with(&prefix));
        let one = |(key, id): &(String, String)| {
            format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>")
        };
        let listed: Vec<_> = own.map(one).collect();
        return format!("<ListMultipartUploadsResult>{}</ListMultipartUploadsResult>", listed.concat());
    }
    let own: Vec<_> = bucket.versions.iter().filter(|(key, ..)| key.starts_with(&prefix)).collect();
    let after = asked.get("version-id-marker").filter(|marker| !marker.is_empty());
    let from = after.map_or(0, |marker| own.iter().position(|(_, id, _)| id == marker).unwrap() + 1);
    let page: Vec<_> = own.iter().skip(from).take(PAGE).collect();
    let more = own.len() > from + PAGE;
    let next = page.last().filter(|_| more).map_or(String::new(), |(key, id, _)| {
        format!("<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>{id}</NextVersionIdMarker>")
    });
    let listed: String = page.iter().map(|(key, id, mark)| version(key, id, *mark)).collect();
    format!("<ListVersionsResult><IsTruncated>{more}</IsTruncated>{next}{listed}</ListVersionsResult>")
}

async fn remove(
    State(bucket): State<Shared>,
    Path(key): Path<String>,
    Query(asked): Query<HashMap<String, String>>,
) -> StatusCode {
    let mut bucket = bucket.lock().unwrap();
    if let Some(id) = asked.get("uploadId") {
        bucket.parts.retain(|(own, part)| !(*own == key && part == id));
    } else if let Some(id) = asked.get("versionId") {
        bucket.versions.retain(|(own, version, _)| !(*own == key && version == id));
    } else {
        // what a deletion without a version does: it only hides
        let id = format!("mark-{}", bucket.versions.len());
        bucket.versions.push((key, id, true));
    }
    StatusCode::NO_CONTENT
}

async fn store(bucket: &Shared) -> S3 {
    let routes = Router::new()
        .route("/media", get(list))
        .route("/media/", get(list))
        .route("/media/{*key}", delete(remove))
        .with_state(Arc::clone(bucket));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let variables = HashMap::from([
        ("S3_BUCKET", "media".to_owned()),
        ("AWS_ACCESS_KEY_ID", "id".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_ENDPOINT_URL_S3", address),
    ]);
    S3::from_environment(&|name| variables.get(name).cloned()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_every_mark_and_every_part_of_a_file_is_erased_and_no_other_file() {
    // P-D10
    let bucket = Shared::default();
    let versions = [
        ("w/1.jpg", "a", false),
        ("w/1.jpg", "b", false),
        ("w/1.jpg", "c", true),
        ("w/1.jpg.small.jpeg", "d", false),
        ("w/1.jpg2", "e", false),
        ("w/1.jpg3", "f", false),
        ("w/1.jpg4", "g", false),
    ];
    bucket.lock().unwrap().versions =
        versions.iter().map(|(key, id, mark)| ((*key).to_owned(), (*id).to_owned(), *mark)).collect();
    bucket.lock().unwrap().parts =
        [("w/1.jpg", "p"), ("w/1.jpg2", "q")].map(|(key, id)| (key.to_owned(), id.to_owned())).to_vec();
    let store = store(&bucket).await;
    assert_eq!(store.traces("w/1.jpg").await, Ok(5));
    assert_eq!(store.erase("w/1.jpg").await, Ok(5));
    assert_eq!((store.traces("w/1.jpg").await, store.erase("w/1.jpg").await), (Ok(0), Ok(0)));
    let left = bucket.lock().unwrap();
    assert_eq!(left.versions.iter().map(|(_, id, _)| id.as_str()).collect::<Vec<_>>(), ["e", "f", "g"]);
    assert_eq!(left.parts, [("w/1.jpg2".to_owned(), "q".to_owned())]);
}
