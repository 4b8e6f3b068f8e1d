//! The store, reached as browsers and networks reach it: by presigned addresses.

use hmac::{Hmac, KeyInit, Mac};
use sandbox::clock::Clock;
use sandbox::serve::Addresses;
use sha2::{Digest, Sha256};

use crate::harness::Net;

#[tokio::test]
async fn a_presigned_get_is_served() {
    let net = Net::start().await;
    let url = net.host("hello.txt", b"hello".to_vec()).await;
    let answer = net.http().get(&url).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.expect("text"), "hello");
}

#[tokio::test]
async fn a_store_that_is_let_be_away_answers_nothing_until_it_is_back() {
    let net = Net::start().await;
    let url = net.host("hello.txt", b"hello".to_vec()).await;
    for (away, status) in [(true, 503), (false, 200)] {
        assert_eq!(net.control("store", serde_json::json!({ "away": away })).await.0, 200);
        assert_eq!(net.http().get(&url).send().await.expect("an answer").status(), status);
    }
}

#[tokio::test]
async fn an_address_that_was_not_signed_is_refused() {
    let net = Net::start().await;
    let url = net.host("hello.txt", b"hello".to_vec()).await;
    let bare = url.split('?').next().expect("an address");
    assert_eq!(net.http().get(bare).send().await.expect("an answer").status(), 403);
    let forged = url.replace("hello.txt", "other.txt");
    assert_eq!(net.http().get(forged).send().await.expect("an answer").status(), 403);
}

/// A query-signed (`SigV4`) address of an object, good for an hour.
pub fn presigned(at: &Addresses, method: &str, key: &str) -> String {
    let (now, region) = (Clock::ahead_by(0).now(), "us-east-1");
    let (day, time) = (now.format("%Y%m%d").to_string(), now.format("%Y%m%dT%H%M%SZ").to_string());
    let scope = format!("{day}/{region}/s3/aws4_request");
    let credential = format!("{}/{scope}", at.access_key).replace('/', "%2F");
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={time}\
         &X-Amz-Expires=3600&X-Amz-SignedHeaders=host"
    );
    let host = at.s3.trim_start_matches("http://");
    let path = format!("/{}/{key}", at.bucket);
    let canonical = format!("{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
    let hashed = hex::encode(Sha256::digest(canonical.as_bytes()));
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
    let start = format!("AWS4{}", at.secret_key).into_bytes();
    let key = [day.as_str(), region, "s3", "aws4_request"].iter().fold(start, |key, part| sign(&key, part));
    format!("{}{path}?{query}&X-Amz-Signature={}", at.s3, hex::encode(sign(&key, &to_sign)))
}

fn sign(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
