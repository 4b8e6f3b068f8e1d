//! A form that a browser may send a file with: a POST policy, signed with Signature Version 4. From "Browser-Based
//! Uploads Using POST" of the S3 API reference; the SDK has none.

use std::{collections::BTreeMap, fmt, time::Duration};

use aws_sdk_s3::config::Credentials;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use jobs::store::Form;
use serde_json::json;
use sha2::Sha256;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What signs forms.
#[derive(Clone)]
pub struct Signer {
    credentials: Credentials,
    region: String,
    url: String,
    bucket: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What a form lets somebody store.
#[derive(Debug, Clone, Copy)]
pub struct Allowed<'a> {
    /// Under exactly this key.
    pub key: &'a str,
    /// As exactly this type.
    pub content_type: &'a str,
    /// Exactly so many bytes.
    pub bytes: u64,
    /// For so long.
    pub life: Duration,
}

impl Signer {
    /// With an endpoint of its own the bucket is addressed path-style.
    pub fn new(credentials: Credentials, region: &str, endpoint: Option<&str>, bucket: &str) -> Self {
        let url = match endpoint {
            Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
            // A dot in its name does not fit the certificate of a host of its own.
            None if bucket.contains('.') => format!("https://s3.{region}.amazonaws.com/{bucket}"),
            None => format!("https://{bucket}.s3.{region}.amazonaws.com/"),
        };
        Self { credentials, region: region.to_owned(), url, bucket: bucket.to_owned() }
    }

    /// The form, good from `now` on.
    pub fn form(&self, allowed: &Allowed<'_>, now: DateTime<Utc>) -> Form {
        let (day, time) = (now.format("%Y%m%d").to_string(), now.format("%Y%m%dT%H%M%SZ").to_string());
        let id = self.credentials.access_key_id();
        let credential = format!("{id}/{day}/{}/s3/aws4_request", self.region);
        let expires_at = now + TimeDelta::from_std(allowed.life).unwrap_or_default();
        let mut fields = BTreeMap::from([
            ("key", allowed.key.to_owned()),
            ("Content-Type", allowed.content_type.to_owned()),
            ("x-amz-algorithm", ALGORITHM.to_owned()),
            ("x-amz-credential", credential),
            ("x-amz-date", time),
        ]);
        let mut conditions = vec![json!({ "bucket": self.bucket })];
        conditions.extend(fields.iter().map(|(name, value)| json!({ *name: value })));
        conditions.push(json!(["content-length-range", allowed.bytes, allowed.bytes]));
        let expiration = expires_at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let policy = json!({ "expiration": expiration, "conditions": conditions }).to_string();
        let policy = STANDARD.encode(policy);
        let secret = self.credentials.secret_access_key();
        fields.insert("x-amz-signature", signature(secret, &day, &self.region, &policy));
        fields.insert("policy", policy);
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Form { url: self.url.clone(), fields, expires_at }
    }
}

/// The signature of a policy, which is what is signed in a form.
fn signature(secret: &str, day: &str, region: &str, policy: &str) -> String {
    let start = format!("AWS4{secret}").into_bytes();
    let key = [day, region, "s3", "aws4_request"].iter().fold(start, |key, part| sign(&key, part));
    hex::encode(sign(&key, policy))
}

fn sign(key: &[u8], message: &str) -> Vec<u8> {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "Example: Browser-Based Upload using HTTP POST" of Amazon's documents, whose lines end in CR LF.
    const PUBLISHED: &str = r#"{ "expiration": "2015-12-30T12:00:00.000Z",
  "conditions": [
    {"bucket": "sigv4examplebucket"},
    ["starts-with", "$key", "user/user1/"],
    {"acl": "public-read"},
    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},
    ["starts-with", "$Content-Type", "image/"],
    {"x-amz-meta-uuid": "14365123651274"},
    {"x-amz-server-side-encryption": "AES256"},
    ["starts-with", "$x-amz-meta-tag", ""],

    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},
    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
    {"x-amz-date": "20151229T000000Z" }
  ]
}"#;
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn signer(endpoint: Option<&str>, bucket: &str) -> Signer {
        let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", SECRET, None, None, "test");
        Signer::new(credentials, "us-east-1", endpoint, bucket)
    }

    #[test]
    fn the_published_example_gets_the_published_signature() {
        let policy = STANDARD.encode(PUBLISHED.replace('\n', "\r\n"));
        assert!(policy.starts_with("eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29u"));
        assert_eq!(
            signature(SECRET, "20151229", "us-east-1", &policy),
            "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"
        );
    }

    #[test]
    fn a_form_allows_one_key_one_type_and_one_size() {
        let now = "2026-12-01T09:30:00Z".parse().expect("a time");
        let life = Duration::from_hours(1);
        let allowed = Allowed { key: "w/incoming/1", content_type: "video/mp4", bytes: 7, life };
        let form = signer(Some("http://127.0.0.1:9/"), "media").form(&allowed, now);
        assert_eq!(form.url, "http://127.0.0.1:9/media");
        assert_eq!(form.fields["x-amz-date"], "20261201T093000Z");
        let policy = STANDARD.decode(&form.fields["policy"]).expect("base64");
        let policy: serde_json::Value = serde_json::from_slice(&policy).expect("JSON");
        assert_eq!(policy["expiration"], "2026-12-01T10:30:00.000Z");
        let conditions = policy["conditions"].as_array().expect("a list");
        for condition in [
            json!({ "bucket": "media" }),
            json!({ "key": "w/incoming/1" }),
            json!({ "Content-Type": "video/mp4" }),
            json!(["content-length-range", 7, 7]),
            json!({ "x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20261201/us-east-1/s3/aws4_request" }),
        ] {
            assert!(conditions.contains(&condition), "{condition} is not in {policy}");
        }
        let bare: Vec<_> = form.fields.values().filter(|value| value.contains(SECRET)).collect();
        assert!(bare.is_empty() && !format!("{:?}", signer(None, "media")).contains(SECRET));
    }

    #[test]
    fn a_bucket_of_amazons_has_a_host_of_its_own_unless_its_name_has_a_dot() {
        assert_eq!(signer(None, "media").url, "https://media.s3.us-east-1.amazonaws.com/");
        assert_eq!(signer(None, "media.b").url, "https://s3.us-east-1.amazonaws.com/media.b");
    }
}
