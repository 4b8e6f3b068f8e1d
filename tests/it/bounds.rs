//! What one request may make the intake do is bounded, whatever is sent: its memory is watched while it is sent.
#![cfg(target_os = "linux")]

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use futures_util::stream;
use serde_json::{Value, json};

use crate::{
    harness::{System, client},
    media::{offer, watched},
    support::{Answer, Door},
};

/// A part of a PNG.
fn part(name: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut part = [&name[..], body].concat();
    let sum = !part.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    });
    part.splice(..0, u32::try_from(body.len()).unwrap().to_be_bytes());
    part.extend(sum.to_be_bytes());
    part
}

/// Zeros, folded by a thousand: so many bytes that each stand for about a thousand.
fn folded(length: usize) -> Vec<u8> {
    // zlib, one block of fixed codes: a zero; then, again and again, 258 times what stands one before it
    let (mut bytes, mut bits, mut held) = (vec![0x78, 0x9c], 0_u64, 0);
    let mut put = |code: u64, width: u32, bytes: &mut Vec<u8>| {
        bits |= code << held;
        held += width;
        while held >= 8 {
            bytes.push(bits.to_le_bytes()[0]);
            (bits, held) = (bits >> 8, held - 8);
        }
    };
    put(0b011, 3, &mut bytes); // the last block, of fixed codes
    put(0b0000_1100, 8, &mut bytes); // a zero: 00110000, its first bit first
    while bytes.len() < length {
        put(0b1010_0011, 8, &mut bytes); // length 258: 11000101, likewise
        put(0, 5, &mut bytes); // one before
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_unfolds_to_gigabytes_is_not_unfolded() {
    const MOST: u64 = 200 << 20;
    let system = System::start().await;
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.extend(part(*b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]));
    bytes.extend(part(*b"iCCP", &[&b"x\0\0"[..], &folded(4 << 20)].concat()));
    bytes.extend(part(*b"IDAT", &[0x78, 0x9c, 0x63, 0x60, 0, 0, 0, 2, 0, 1]));
    bytes.extend(part(*b"IEND", &[]));
    let web = system.web.as_ref().unwrap().pid().unwrap();
    let ((status, answer), most) = watched(web, offer(&system, bytes)).await;
    assert!(status == 201 || status == 422, "{status} {answer}");
    assert!(most > 1 << 20 && most < MOST, "the intake held {} MB", most >> 20);
}

/// Bodies of many words that never come to a field.
fn without_a_field(megabytes: usize, head: &'static [u8]) -> reqwest::Body {
    let words = axum::body::Bytes::from(vec![b'x'; 1 << 20]);
    let pieces =
        std::iter::once(axum::body::Bytes::from_static(head)).chain(std::iter::repeat_n(words, megabytes));
    reqwest::Body::wrap_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_in_which_no_field_begins_is_not_held() {
    const MOST: u64 = 100 << 20;
    let system = System::start().await;
    let web = system.web.as_ref().unwrap().pid().unwrap();
    for head in [&b"no boundary"[..], b"--b\r\nContent-Disposition: form-data; name=\""] {
        let request = client().post(system.url("/api/v1/media"));
        let request =
            request.bearer_auth(&system.key).header("content-type", "multipart/form-data; boundary=b");
        let (answer, most) = watched(web, request.body(without_a_field(200, head)).send()).await;
        // who writes on after the refusal may find the connection closed before the answer is read
        if let Ok(answer) = answer {
            assert!([400, 413].contains(&answer.status().as_u16()), "{answer:?}");
        }
        assert!(most > 1 << 20 && most < MOST, "the intake held {} MB", most >> 20);
    }
    let (status, problem) = offer(&system, b"no picture".to_vec()).await;
    assert_eq!(status, 422, "it goes on: {problem}");
}

/// A list of so many of these, as large as a body may be.
fn many(of: &Value, bytes: usize) -> Vec<Value> {
    vec![of.clone(); bytes / (of.to_string().len() + 1)]
}

async fn sent(door: &Door, path: &str, body: &Value) -> Answer {
    let request = door.request(&Method::POST, path).header("content-type", "application/json");
    door.send(request.body(Body::from(body.to_string())).expect("a request")).await
}

#[tokio::test]
async fn a_body_full_of_errors_is_answered_with_a_hundred_of_them_and_how_many_there_were_besides() {
    const WHOLE: usize = 260_000;
    let door = Door::open().await;
    let account = door.account("facebook_page").await;
    let odd: serde_json::Map<String, Value> = (0..18_000).map(|n| (format!("x{n:05}"), json!(1))).collect();
    let mut named = odd.clone();
    named.insert("targets".into(), json!([{ "account_id": account }]));
    let target = |options: &Value| json!({ "account_id": account, "options": options });
    let several = |options: &Value| json!({ "caption": "x", "targets": vec![target(options); 50] });
    let some: serde_json::Map<String, Value> =
        odd.iter().take(20).map(|(k, _)| (k.clone(), json!("1"))).collect();
    for (body, code) in [
        (json!({ "targets": many(&json!({}), WHOLE) }), "too_many_targets"),
        (json!({ "targets": many(&json!(1), WHOLE) }), "too_many_targets"),
        (json!({ "media_ids": many(&json!(1), WHOLE) }), "media_count"),
        (json!(named), "unknown_field"),
        (json!({ "targets": [target(&json!(odd))] }), "too_many_options"),
        (several(&json!(some)), "unknown_option"),
    ] {
        let size = body.to_string().len();
        assert!(size < 262_144, "{size}");
        for path in ["/api/v1/posts", "/api/v1/posts:check"] {
            let answer = sent(&door, path, &body).await;
            assert!(answer.text.len() < 200_000, "{} bytes of {code} at {path}", answer.text.len());
            assert!(answer.text.contains(&format!("\"{code}\"")), "{code}: {}", answer.text);
            if path.ends_with("posts") {
                assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
                assert!(answer.findings().len() <= 102, "{}", answer.findings().len());
            }
        }
    }
    let answer = door.post(&json!(named)).await;
    assert!(answer.json()["detail"].as_str().unwrap().starts_with("More than 100 things"), "{}", answer.text);
    let last = answer.json()["errors"].as_array().unwrap().last().unwrap()["detail"].clone();
    assert!(last.as_str().unwrap().starts_with("And 17900 more"), "{last}");
}
