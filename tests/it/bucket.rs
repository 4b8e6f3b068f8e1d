//! A bucket with versions: what is removed from it is gone, and not merely hidden. The sandbox's store has none, so a small
//! stand-in answers here as S3's documents have it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Query, State},
    http::{Method, StatusCode, Uri},
};
use jobs::desk::Media;
use postroom::networks::s3::S3;

/// What the bucket has: a key and a version each, and whether that marks a deletion.
type Versions = Arc<Mutex<Vec<(String, String, bool)>>>;

async fn answer(
    State(versions): State<Versions>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
) -> (StatusCode, String) {
    let mut versions = versions.lock().unwrap();
    if method == Method::DELETE {
        let key = uri.path().trim_start_matches("/bucket/").to_owned();
        match query.get("versionId") {
            Some(id) => versions.retain(|(known, version, _)| (known, version) != (&key, id)),
            None => versions.push((key, "mark".into(), true)),
        }
        return (StatusCode::NO_CONTENT, String::new());
    }
    if query.contains_key("uploads") {
        return (StatusCode::OK, "<ListMultipartUploadsResult></ListMultipartUploadsResult>".into());
    }
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let entries = versions.iter().filter(|(key, ..)| key.starts_with(&prefix)).map(|(key, version, mark)| {
        let name = if *mark { "DeleteMarker" } else { "Version" };
        format!("<{name}><Key>{key}</Key><VersionId>{version}</VersionId></{name}>")
    });
    let entries: String = entries.collect();
    let more = "<IsTruncated>false</IsTruncated>";
    (StatusCode::OK, format!("<ListVersionsResult>{more}{entries}</ListVersionsResult>"))
}

fn store_at(address: &str) -> S3 {
    let store = S3::from_environment(&|name| match name {
        "S3_BUCKET" => Some("bucket".to_owned()),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("x".to_owned()),
        "AWS_ENDPOINT_URL_S3" => Some(address.to_owned()),
        _ => None,
    });
    store.unwrap()
}

#[tokio::test]
async fn an_ordinary_removal_takes_every_version_of_a_file_and_of_what_was_made_of_it() {
    // P-D10
    let kept = |key: &str, version: &str, mark| (key.to_owned(), version.to_owned(), mark);
    let other = kept("w/1.jpg2", "a", false);
    let versions: Versions = Arc::new(Mutex::new(vec![
        kept("w/1.jpg", "a", false),
        kept("w/1.jpg", "b", false),
        kept("w/1.jpg", "c", true),
        kept("w/1.jpg.small.jpeg", "a", false),
        other.clone(),
    ]));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&versions));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    store_at(&address).remove("w/1.jpg").await.unwrap();
    assert_eq!(*versions.lock().unwrap(), vec![other], "another file's are its own");
    serving.abort();
}

/// The parts of a file as S3 lists them: a thousand at a time.
async fn answer_parts(method: Method, Query(query): Query<BTreeMap<String, String>>) -> (StatusCode, String) {
    if method == Method::POST {
        let joined = "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>";
        return (StatusCode::OK, joined.into());
    }
    let after: u32 = query.get("part-number-marker").and_then(|after| after.parse().ok()).unwrap_or_default();
    let last = (after + 1000).min(PARTS);
    let parts = (after + 1..=last)
        .map(|number| format!("<Part><PartNumber>{number}</PartNumber><ETag>x</ETag><Size>7</Size></Part>"));
    let (parts, more) = (parts.collect::<String>(), last < PARTS);
    let end = format!("<IsTruncated>{more}</IsTruncated><NextPartNumberMarker>{last}</NextPartNumberMarker>");
    (StatusCode::OK, format!("<ListPartsResult>{end}{parts}</ListPartsResult>"))
}

/// More than two lists have.
const PARTS: u32 = 2_345;

#[tokio::test]
async fn a_file_of_thousands_of_parts_is_joined() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer_parts);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let store = store_at(&address);
    let whole = u64::from(PARTS) * 7;
    assert_eq!(store.close("exports/1.zip", "parts", whole).await, Ok(Some(whole)));
    assert_eq!(
        store.close("exports/1.zip", "parts", whole + 1).await,
        Ok(Some(whole)),
        "one byte is missing"
    );
    serving.abort();
}
