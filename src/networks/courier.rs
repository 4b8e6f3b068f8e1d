//! What brings events to webhooks: signed as "Standard Webhooks" has it, and sent by the only way out to addresses that
//! somebody has given us.

use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use jobs::{
    contract::{Class, Failure},
    deliveries::{Answered, Courier, Parcel},
};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use url::Url;

use super::{
    http::retry_after,
    outbound::{Barred, Outbound},
};

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// Brings events out of the house.
#[derive(Debug, Clone)]
pub struct Messenger(Outbound);

impl Messenger {
    /// One that goes inside the house too where `private` says so, for development and tests.
    ///
    /// # Errors
    /// The machine has no certificates to trust.
    pub fn new(private: bool) -> Result<Self, String> {
        Ok(Self(if private { Outbound::anywhere()? } else { Outbound::new()? }))
    }
}

#[async_trait]
impl Courier for Messenger {
    async fn bring(&self, parcel: &Parcel, at: DateTime<Utc>, within: Duration) -> Result<Answered, Failure> {
        let url = Url::parse(&parcel.url).map_err(|_| not_gone_to(&Barred::Scheme))?;
        let body = parcel.body();
        let headers = headers(parcel, at, &body)?;
        let told = self.0.tell(&url, headers, body.into_bytes(), within).await;
        let told = told.map_err(|barred| not_gone_to(&barred))?;
        Ok(Answered { status: told.status.as_u16(), rest: retry_after(&told.headers) })
    }
}

fn headers(parcel: &Parcel, at: DateTime<Utc>, body: &str) -> Result<HeaderMap, Failure> {
    let (id, time) = (parcel.event.to_string(), at.timestamp().to_string());
    let signatures: Option<Vec<String>> =
        parcel.secrets.iter().map(|secret| signature(secret, &id, &time, body)).collect();
    let signatures = signatures.filter(|all| !all.is_empty()).ok_or_else(|| {
        let why = "there is no good secret to sign it with; give the webhook another one";
        Failure::new(Class::Transient, "no_secret", why)
    })?;
    let value = |text: &str| {
        let why = "it cannot be put into a header";
        HeaderValue::from_str(text).map_err(|_| Failure::new(Class::Permanent, "header", why))
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ID, value(&id)?);
    headers.insert(TIMESTAMP, value(&time)?);
    headers.insert(SIGNATURE, value(&signatures.join(" "))?);
    Ok(headers)
}

/// `v1,` and HMAC-SHA256 of `id.timestamp.body` by the bytes of the secret; none: it is no secret.
fn signature(secret: &SecretString, id: &str, time: &str, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.expose_secret().strip_prefix(PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    for part in [id, ".", time, ".", body] {
        mac.update(part.as_bytes());
    }
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Why nothing was brought there, in words that tell nothing of the address.
fn not_gone_to(barred: &Barred) -> Failure {
    let code = match barred {
        Barred::Scheme => "webhook_address",
        Barred::Private => "private_address",
        Barred::TooFar | Barred::Unreachable(_) | Barred::TooLarge => "unreachable",
    };
    Failure::new(Class::Transient, code, barred.to_string())
}

#[cfg(test)]
mod tests {
    use jobs::deliveries::About;
    use uuid::Uuid;

    use super::*;

    fn parcel(url: &str, secrets: &[&str]) -> Parcel {
        Parcel {
            event: Uuid::nil(),
            kind: "webhook.test".into(),
            occurred_at: DateTime::UNIX_EPOCH,
            about: About::Test(Uuid::nil()),
            url: url.into(),
            secrets: secrets.iter().map(|secret| SecretString::from(*secret)).collect(),
        }
    }

    #[test]
    fn the_signature_is_that_of_the_standards_own_example() {
        // "Standard Webhooks", spec/standard-webhooks.md: the example of its reference libraries
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = r#"{"test": 2432232314}"#;
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn each_secret_signs_and_what_is_no_secret_sends_nothing() {
        let (one, other) =
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        let at = DateTime::UNIX_EPOCH;
        let signed = |secrets: &[&str]| {
            let headers = headers(&parcel("https://example.org", secrets), at, "{}")?;
            Ok::<_, Failure>(headers[SIGNATURE].to_str().expect("text").to_owned())
        };
        let (first, second) = (signed(&[one]).expect("signed"), signed(&[other]).expect("signed"));
        assert_ne!(first, second);
        assert_eq!(signed(&[one, other]).expect("signed"), format!("{first} {second}"));
        for wrong in [&["whsec_%"][..], &["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], &[]] {
            assert_eq!(signed(wrong).expect_err("not signed").code, "no_secret");
        }
    }

    #[tokio::test]
    async fn nothing_is_brought_into_the_house() {
        let messenger = Messenger::new(false).expect("a client");
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        for (url, code) in [
            ("https://127.0.0.1/hook", "private_address"),
            ("https://localhost/hook", "private_address"),
            ("https://169.254.169.254/latest/meta-data", "private_address"),
            ("https://[fd00:ec2::254]/", "private_address"),
            ("http://example.org/hook", "webhook_address"),
            ("https://user:secret@example.org/hook", "webhook_address"),
            ("nonsense", "webhook_address"),
        ] {
            let parcel = parcel(url, &[secret]);
            let failure = messenger.bring(&parcel, DateTime::UNIX_EPOCH, Duration::from_secs(5)).await;
            let failure = failure.expect_err(url);
            assert_eq!(failure.code, code, "{url}: {failure}");
            assert!(!failure.message.contains("hook"), "{failure}");
        }
    }
}
