//! Signatures of those who call us without a key. What is not signed as it has to be is nobody's.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::Sha256;

/// How far the time of a signature may be from now: what is older may be somebody's copy.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// Whether TikTok signed this body of a webhook, and lately: `TikTok-Signature: t=<unix>,s=<hex>`, where `s` is
/// HMAC-SHA256 of `t.body` by the app's secret. "Webhooks" of TikTok's documents.
pub fn by_tiktok(secret: &SecretString, header: &str, body: &[u8], now: DateTime<Utc>) -> bool {
    let part = |name: &str| {
        let mut parts = header.split(',').filter_map(|part| part.trim().split_once('='));
        parts.find(|(found, _)| *found == name).map(|(_, value)| value)
    };
    let (Some(time), Some(signature)) = (part("t"), part("s").and_then(|hex| hex::decode(hex).ok())) else {
        return false;
    };
    let at = time.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let lately = at.is_some_and(|at| (now - at).abs() <= TOLERANCE);
    lately && signs(secret, &[time.as_bytes(), b".", body], &signature)
}

/// The payload of Meta's `signed_request`, where the app's secret signed it: two parts in base64url without padding,
/// the first HMAC-SHA256 of the second as it came. "Data Deletion Request Callback" of Meta's documents.
pub fn signed_request(secret: &SecretString, request: &str) -> Option<Value> {
    let (signature, encoded) = request.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !signs(secret, &[encoded.as_bytes()], &signature) {
        return None;
    }
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
    (payload["algorithm"] == "HMAC-SHA256").then_some(payload)
}

/// In constant time.
fn signs(secret: &SecretString, message: &[&[u8]], signature: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return false };
    for part in message {
        mac.update(part);
    }
    mac.verify_slice(signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"client_key":"ck_test","event":"post.publish.complete","create_time":1795996400,"user_openid":"oid_1","content":"{\"publish_id\":\"v_pub_file~v2-1.1\",\"publish_type\":\"DIRECT_PUBLISH\"}"}"#;
    const SIGNATURE: &str = "371283fe3851c000565e0520d0b2d798be8648d7864a08ea07bf5fd1ddff058b";
    const AT: i64 = 1_795_996_400;

    const META: &str = "0123456789abcdef0123456789abcdef";
    const ENCODED: &str = "eyJhbGdvcml0aG0iOiJITUFDLVNIQTI1NiIsImV4cGlyZXMiOjE3OTYwMDAwMDAsImlzc3VlZF9hdCI6MTc5NTk5NjQwMCwidXNlcl9pZCI6IjEwMDAyMTg0NzUifQ";

    fn tiktok(header: &str, body: &str, later: i64) -> bool {
        let now = DateTime::from_timestamp(AT + later, 0).expect("a time");
        by_tiktok(&"tt_secret".into(), header, body.as_bytes(), now)
    }

    #[test]
    fn the_published_vector_of_tiktoks_signature_is_taken() {
        let header = format!("t={AT},s={SIGNATURE}");
        assert!(tiktok(&header, BODY, 0));
        assert!(tiktok(&format!("s={SIGNATURE}, t={AT}"), BODY, 299));
    }

    #[test]
    fn what_tiktok_did_not_sign_or_signed_long_ago_is_not_taken() {
        let header = format!("t={AT},s={SIGNATURE}");
        assert!(!tiktok(&header, BODY, 301), "old");
        assert!(!tiktok(&header, BODY, -301), "of the future");
        assert!(!tiktok(&header, &BODY.replace("oid_1", "oid_2"), 0), "changed");
        assert!(!tiktok(&format!("t={},s={SIGNATURE}", AT + 1), BODY, 0), "another time");
        assert!(!tiktok(&format!("t={AT},s={}", &SIGNATURE[..62]), BODY, 0), "cut short");
        for header in ["", "t=,s=", "s=00", &format!("t={AT}"), &format!("t=x,s={SIGNATURE}")] {
            assert!(!tiktok(header, BODY, 0), "{header:?}");
        }
    }

    #[test]
    fn the_published_vector_of_metas_signed_request_is_taken() {
        let request = format!("J8JkHkjT0ZSaX7tUDzSEU8ngyvfXvDZmm-2lW93_2IU.{ENCODED}");
        let payload = signed_request(&META.into(), &request).expect("it is signed");
        assert_eq!(payload["user_id"], "1000218475");
        assert_eq!(signed_request(&"another".into(), &request), None);
    }

    #[test]
    fn what_meta_signed_otherwise_is_not_taken() {
        // over the payload with padding, and over its JSON
        for signature in
            ["mt4erXQX8xCXDsTY3FSWIyoVVTtn_Z1K5Maqlm81rc4", "nlqQHezQaunnxRNM08RM2U8coXA0Doj_xuOVSB33aBs"]
        {
            assert_eq!(signed_request(&META.into(), &format!("{signature}.{ENCODED}")), None);
        }
        for request in ["", ".", "a.b.c", ENCODED, &format!(".{ENCODED}")] {
            assert_eq!(signed_request(&META.into(), request), None, "{request:?}");
        }
    }
}
