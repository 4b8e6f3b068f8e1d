//! The object store: Amazon S3, or anything that speaks its protocol.

mod erase;
mod film;
mod folders;
mod form;
mod frames;
mod made;
mod parts;
mod picture;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart, MetadataDirective},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jobs::{
    analysis::{Cuts, Film},
    contract::{Class, Failure},
    desk::{self, Media, Origin},
    store::{Form, Parts, Uploads},
    surface::Rendition,
};
use sha2::{Digest, Sha256};
use tokio::{fs::File, io::AsyncReadExt};
use url::Url;

pub use self::folders::clear as clear_folders;
use self::form::{Allowed, Signer};
use super::Environment;

/// How long an address serves: networks fetch a file when a post is prepared, and again up to hours later.
const ADDRESS_LIFE: Duration = Duration::from_hours(6);
/// The size of the parts that a file is stored in, the least there may be; a shorter one is stored as a whole. One part
/// is in memory at a time.
const PART: u64 = 5 * 1024 * 1024;
/// The longest wait for a connection, for the first byte of an answer, and for a whole call with its retries.
const WITHIN: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_mins(1)];
/// The code of every failure of the store.
const CODE: &str = "media_store";

/// A bucket, and the place in it that is ours.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    signer: Signer,
    bucket: String,
    prefix: String,
    origin: Option<Arc<dyn Origin>>,
}

impl S3 {
    /// The store that the environment names. With an endpoint of its own it is addressed path-style.
    ///
    /// # Errors
    /// The name of a variable that is missing.
    pub fn from_environment(environment: Environment<'_>) -> Result<Self, String> {
        let required = |name: &str, meaning: &str| {
            environment(name).ok_or_else(|| format!("{name}: not set; it is {meaning}"))
        };
        let bucket = required("S3_BUCKET", "the bucket that media are kept in")?;
        let id = required("AWS_ACCESS_KEY_ID", "the id of the key that opens the bucket")?;
        let secret = required("AWS_SECRET_ACCESS_KEY", "the key that opens the bucket")?;
        let endpoint = environment("AWS_ENDPOINT_URL_S3");
        if let Some(url) = endpoint.as_deref().and_then(|text| Url::parse(text).ok()) {
            super::encrypted("AWS_ENDPOINT_URL_S3", &url)?;
        }
        let region = match (environment("AWS_REGION"), &endpoint) {
            (Some(region), _) => region,
            // A store of one's own has no regions, but each signature names one.
            (None, Some(_)) => "us-east-1".to_owned(),
            (None, None) => required("AWS_REGION", "the region of the bucket")?,
        };
        let prefix = environment("S3_PREFIX").map_or(String::new(), |prefix| directory(&prefix));
        let credentials = Credentials::new(id, secret, None, None, "environment");
        let signer = Signer::new(credentials.clone(), &region, endpoint.as_deref(), &bucket);
        Ok(Self { client: client(credentials, region, endpoint), signer, bucket, prefix, origin: None })
    }

    /// The same, with an origin of ours in front of it.
    #[must_use]
    pub fn behind(self, origin: Arc<dyn Origin>) -> Self {
        Self { origin: Some(origin), ..self }
    }

    /// Whether the bucket can be reached and opened.
    ///
    /// # Errors
    /// It cannot.
    pub async fn ping(&self) -> Result<(), Failure> {
        let answer = self.client.head_bucket().bucket(&self.bucket).send().await;
        answer.map(drop).map_err(|error| failure("the bucket", &error))
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn put(&self, key: &str, content_type: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        let put = self.client.put_object().bucket(&self.bucket).key(self.key(key)).content_type(content_type);
        let answer = put.checksum_sha256(digest(&bytes)).body(bytes.into()).send().await;
        answer.map(drop).map_err(|error| failure("storing a file", &error))
    }

    async fn put_in_parts(&self, key: &str, content_type: &str, mut file: File) -> Result<(), Failure> {
        let create = self.client.create_multipart_upload().bucket(&self.bucket).key(self.key(key));
        let create = create.content_type(content_type);
        let create = create.checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Sha256);
        let made = create.send().await.map_err(|error| failure("storing a file", &error))?;
        let upload = Multipart { store: self, key: self.key(key), id: made.upload_id.unwrap_or_default() };
        let stored = upload.send(&mut file).await;
        if stored.is_err() {
            upload.abort().await;
        }
        stored
    }
}

fn client(credentials: Credentials, region: String, endpoint: Option<String>) -> Client {
    let [connect, read, whole] = WITHIN;
    let timeouts =
        TimeoutConfig::builder().connect_timeout(connect).read_timeout(read).operation_timeout(whole);
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(credentials)
        .region(Region::new(region))
        .force_path_style(endpoint.is_some())
        .timeout_config(timeouts.build())
        // We sum every part ourselves; what the library adds by itself not every store understands.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    config.set_endpoint_url(endpoint);
    Client::from_conf(config.build())
}

/// As it stands in an address.
fn escaped(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    key.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn directory(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        inner => format!("{inner}/"),
    }
}

#[async_trait]
impl Media for S3 {
    async fn address(&self, key: &str) -> Result<String, Failure> {
        let life = PresigningConfig::expires_in(ADDRESS_LIFE);
        let life = life.map_err(|error| Failure::new(Class::Permanent, CODE, error.to_string()))?;
        let get = self.client.get_object().bucket(&self.bucket).key(self.key(key));
        let signed = get.presigned(life).await.map_err(|error| failure("signing an address", &error))?;
        Ok(signed.uri().to_owned())
    }

    async fn read(&self, key: &str, start: u64, end: u64) -> Result<Vec<u8>, Failure> {
        let Some(length) = end.checked_sub(start).filter(|length| *length > 0) else {
            return Ok(Vec::new());
        };
        let get = self.client.get_object().bucket(&self.bucket).key(self.key(key));
        let get = get.range(format!("bytes={start}-{}", end - 1));
        let mut body = get.send().await.map_err(|error| failure("reading a file", &error))?.body;
        // Into one piece of memory of the right size: it is all that is held.
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        while let Some(chunk) = body.next().await {
            let broke = |_| Failure::new(Class::Transient, CODE, "reading a file: the connection broke");
            bytes.extend_from_slice(&chunk.map_err(broke)?);
            if bytes.len() as u64 > length {
                break;
            }
        }
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        let why = format!("reading a file: {} bytes came where {length} should be", bytes.len());
        Err(Failure::new(Class::Permanent, CODE, why))
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, Failure> {
        let head = self.client.head_object().bucket(&self.bucket).key(self.key(key));
        match head.send().await {
            Ok(head) => Ok(Some(head.content_length().unwrap_or_default().unsigned_abs())),
            // the answer to a HEAD has no body, so that not every store names the error
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 404) => Ok(None),
            Err(error) => Err(failure("looking for a file", &error)),
        }
    }

    async fn store(&self, key: &str, content_type: &str, path: &Path) -> Result<(), Failure> {
        let mut file = File::open(path).await.map_err(|error| unreadable(&error))?;
        if file.metadata().await.map_err(|error| unreadable(&error))?.len() > PART {
            return self.put_in_parts(key, content_type, file).await;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).await.map_err(|error| unreadable(&error))?;
        self.put(key, content_type, bytes).await
    }

    async fn rendition(&self, file: &desk::File, to: &Rendition) -> Result<desk::File, Failure> {
        self.rendered(file, to).await
    }

    async fn look_through(&self, file: &desk::File, cuts: &Cuts) -> Result<Film, Failure> {
        self.looked_through(file, cuts).await
    }

    async fn remove(&self, key: &str) -> Result<(), Failure> {
        // in a bucket with versions a mere deletion would only hide it
        self.erase_all(key).await.map(drop)
    }

    async fn write(&self, key: &str, content_type: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        self.put(key, content_type, bytes).await
    }

    async fn erase(&self, key: &str) -> Result<u64, Failure> {
        self.erase_all(key).await
    }

    async fn traces(&self, key: &str) -> Result<u64, Failure> {
        self.count_traces(key).await
    }

    async fn open(&self, key: &str, content_type: &str) -> Result<String, Failure> {
        self.open_file(key, content_type).await
    }

    async fn add(&self, key: &str, parts: &str, number: i32, bytes: Vec<u8>) -> Result<(), Failure> {
        self.add_part(key, parts, number, bytes).await
    }

    async fn close(&self, key: &str, parts: &str, bytes: u64) -> Result<Option<u64>, Failure> {
        self.join_parts(key, parts, bytes).await
    }

    async fn abandon(&self, key: &str, parts: &str) -> Result<(), Failure> {
        self.abandon_parts(key, parts).await
    }

    fn origin(&self) -> Option<&dyn Origin> {
        self.origin.as_deref()
    }
}

#[async_trait]
impl Uploads for S3 {
    fn form(&self, key: &str, content_type: &str, bytes: u64, life: Duration) -> Result<Form, Failure> {
        #[expect(clippy::disallowed_methods, reason = "the store judges a signature by the true time")]
        let now = chrono::Utc::now();
        let key = self.key(key);
        Ok(self.signer.form(&Allowed { key: &key, content_type, bytes, life }, now))
    }

    async fn parts(
        &self,
        key: &str,
        content_type: &str,
        bytes: u64,
        life: Duration,
    ) -> Result<Parts, Failure> {
        self.open_parts(key, content_type, bytes, life).await
    }

    async fn join(&self, key: &str, parts: &str, bytes: u64) -> Result<Option<u64>, Failure> {
        self.join_parts(key, parts, bytes).await
    }

    async fn copy(&self, from: &str, to: &str, content_type: &str) -> Result<(), Failure> {
        let copy = self.client.copy_object().bucket(&self.bucket).key(self.key(to));
        let copy = copy.copy_source(escaped(&format!("{}/{}", self.bucket, self.key(from))));
        let copy = copy.metadata_directive(MetadataDirective::Replace).content_type(content_type);
        copy.send().await.map(drop).map_err(|error| failure("copying a file", &error))
    }

    async fn thumbnail(&self, file: &desk::File) -> Result<String, Failure> {
        self.small(file).await
    }
}

/// A file that is being stored in parts.
struct Multipart<'a> {
    store: &'a S3,
    key: String,
    id: String,
}

impl Multipart<'_> {
    async fn send(&self, file: &mut File) -> Result<(), Failure> {
        let mut parts = Vec::new();
        for number in 1.. {
            let mut bytes = Vec::with_capacity(usize::try_from(PART).unwrap_or_default());
            file.take(PART).read_to_end(&mut bytes).await.map_err(|error| unreadable(&error))?;
            if bytes.is_empty() {
                break;
            }
            parts.push(self.part(number, bytes).await?);
        }
        self.complete(parts).await
    }

    async fn part(&self, number: i32, bytes: Vec<u8>) -> Result<CompletedPart, Failure> {
        let sum = digest(&bytes);
        let upload = self.store.client.upload_part().bucket(&self.store.bucket).key(&self.key);
        let upload = upload.upload_id(&self.id).part_number(number).checksum_sha256(&sum);
        let answer = upload.body(ByteStream::from(bytes)).send().await;
        let answer = answer.map_err(|error| failure("storing a part", &error))?;
        Ok(CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag).checksum_sha256(sum).build())
    }

    async fn complete(&self, parts: Vec<CompletedPart>) -> Result<(), Failure> {
        let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete =
            self.store.client.complete_multipart_upload().bucket(&self.store.bucket).key(&self.key);
        let answer = complete.upload_id(&self.id).multipart_upload(whole).send().await;
        answer.map(drop).map_err(|error| failure("storing a file", &error))
    }

    /// Gives the parts back; the bucket's lifecycle takes those of a process that died.
    async fn abort(&self) {
        let abort = self.store.client.abort_multipart_upload().bucket(&self.store.bucket).key(&self.key);
        if abort.upload_id(&self.id).send().await.is_err() {
            tracing::warn!(key = self.key, "the parts of a file that was not stored are left behind");
        }
    }
}

/// Base64 of SHA-256: the store refuses bytes that do not match it.
fn digest(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::new(Class::Transient, CODE, format!("reading the local file: {}", error.kind()))
}

/// The store's own code and words; never the request, whose address holds a signature.
fn failure<E: ProvideErrorMetadata, R>(doing: &str, error: &SdkError<E, R>) -> Failure {
    let code = match error {
        SdkError::ServiceError(_) => error.code().unwrap_or("an error without a code"),
        SdkError::TimeoutError(_) => "no answer came in time",
        SdkError::DispatchFailure(_) => "no connection came about, or it broke",
        SdkError::ConstructionFailure(_) => "the request could not be put together",
        SdkError::ResponseError(_) => "the answer cannot be read",
        other => other.code().unwrap_or("an error of an unknown sort"),
    };
    let gone = matches!(code, "NoSuchKey" | "NotFound" | "InvalidRange");
    let class = if gone { Class::Permanent } else { Class::Transient };
    Failure::new(class, CODE, format!("{doing}: {code}"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn store(changes: &[(&str, Option<&str>)]) -> Result<S3, String> {
        let mut variables: HashMap<_, _> = [
            ("S3_BUCKET", "media"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9"),
        ]
        .into();
        for (name, value) in changes {
            match value {
                Some(value) => variables.insert(name, value),
                None => variables.remove(name),
            };
        }
        S3::from_environment(&|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn a_missing_variable_is_named() {
        for name in ["S3_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            let error = store(&[(name, None)]).expect_err("refused");
            assert!(error.starts_with(&format!("{name}: not set")), "{error}");
        }
        let error = store(&[("AWS_ENDPOINT_URL_S3", None)]).expect_err("refused");
        assert!(error.starts_with("AWS_REGION: not set"), "{error}");
        let error = store(&[("AWS_ENDPOINT_URL_S3", Some("http://s3.example.com"))]).expect_err("refused");
        assert!(error.starts_with("AWS_ENDPOINT_URL_S3: ") && error.contains("https://"), "{error}");
    }

    #[tokio::test]
    async fn an_address_names_the_file_and_holds_no_secret() {
        let store = store(&[("S3_PREFIX", Some("/ours/"))]).expect("a store");
        let address = store.address("w/1.jpg").await.expect("an address");
        assert!(address.starts_with("http://127.0.0.1:9/media/ours/w/1.jpg?"), "{address}");
        assert!(address.contains("X-Amz-Expires=21600") && !address.contains("secret"), "{address}");
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_worth_another_attempt() {
        let store = store(&[]).expect("a store");
        let failure = store.read("w/1.jpg", 0, 1).await.expect_err("it is away");
        assert_eq!((failure.class, failure.code.as_str()), (Class::Transient, CODE));
        assert_eq!(store.read("w/1.jpg", 1, 1).await, Ok(Vec::new()));
    }
}
