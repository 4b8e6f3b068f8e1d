//! Signatures of those who call us without a key. What is not signed as it has to be is nobody's.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use zeroize::Zeroizing;

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

/// The least that a secret of Standard Webhooks has, in bytes.
const LEAST: usize = 24;

/// What signs, of a secret as Standard Webhooks writes it: `whsec_<base64>`, with 24 bytes at least. None: it is no such secret,
/// and nothing is signed by it.
pub fn standard_key(secret: &SecretString) -> Option<Zeroizing<Vec<u8>>> {
    let encoded = secret.expose_secret().strip_prefix("whsec_")?;
    STANDARD.decode(encoded).ok().map(Zeroizing::new).filter(|key| key.len() >= LEAST)
}

/// Whether a provider signed this body of an event, and lately, as "Standard Webhooks" has it: `webhook-signature` is
/// `v1,<base64>`, or several of these with spaces between, of HMAC-SHA256 of `id.timestamp.body`. The secret is
/// `whsec_<base64>`.
pub fn by_standard(
    secret: &SecretString,
    (id, time, signatures): (&str, &str, &str),
    body: &[u8],
    now: DateTime<Utc>,
) -> bool {
    let key = standard_key(secret);
    let Some(mut mac) = key.and_then(|key| Hmac::<Sha256>::new_from_slice(&key).ok()) else { return false };
    let at = time.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let lately = at.is_some_and(|at| (now - at).abs() <= TOLERANCE);
    for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        mac.update(part);
    }
    let given = signatures.split(' ').filter_map(|given| given.strip_prefix("v1,"));
    let mut given = given.filter_map(|given| STANDARD.decode(given).ok());
    lately && !id.is_empty() && given.any(|given| mac.clone().verify_slice(&given).is_ok())
}

/// Whether this is HMAC-SHA256 of the message by the secret, in constant time.
pub(super) fn signs(secret: &SecretString, message: &[&[u8]], signature: &[u8]) -> bool {
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

    fn tiktok(header: &str, body: &str, later: i64) -> bool {
        let now = DateTime::from_timestamp(AT + later, 0).expect("a time");
        by_tiktok(&"tt_secret".into(), header, body.as_bytes(), now)
    }

    #[test]
    fn a_secret_that_is_none_signs_nothing() {
        let now = DateTime::from_timestamp(AT, 0).expect("a time");
        let by_nothing = Hmac::<Sha256>::new_from_slice(b"").expect("a key");
        let mac = by_nothing.chain_update(format!("evt.{AT}.{BODY}")).finalize().into_bytes();
        let signature = format!("v1,{}", STANDARD.encode(mac));
        for none in ["", "whsec_", "whsec_AAAA", "whsec_not base64", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"] {
            let secret = SecretString::from(none);
            assert!(standard_key(&secret).is_none(), "{none}");
            let at = AT.to_string();
            let given = ("evt", at.as_str(), signature.as_str());
            assert!(!by_standard(&secret, given, BODY.as_bytes(), now), "{none}");
        }
        assert!(standard_key(&"whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0".into()).is_some());
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
}
