//! Secrets, and the places where nobody may find one: logs, Redis, and what is dumped of the database.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use postroom::ledger::KeyRing;
use uuid::Uuid;

use crate::harness::{System, process};

/// A secret, and what it is.
#[derive(Debug, Clone)]
pub struct Secret {
    pub what: &'static str,
    pub text: String,
}

/// Texts in which one looks for secrets, each with where it comes from.
pub type Haystack = Vec<(String, String)>;

/// A secret that is nowhere yet.
pub fn fresh(what: &'static str) -> Secret {
    Secret { what, text: format!("canary{}", Uuid::new_v4().simple()) }
}

impl Secret {
    /// As it is, and as somebody may have written it down unawares.
    fn spellings(&self) -> Vec<String> {
        let bytes = self.text.as_bytes();
        let escaped: String = url::form_urlencoded::byte_serialize(bytes).collect();
        let mut all = vec![self.text.clone(), hex::encode(bytes), escaped];
        // a part of it in base64, wherever in that it begins
        all.extend((0..3).filter_map(|skip| bytes.get(skip..skip + 15)).map(|part| STANDARD.encode(part)));
        all
    }

    /// Whether it stands there.
    pub fn is_in(&self, text: &str) -> bool {
        self.spellings().iter().any(|spelling| text.contains(spelling))
    }
}

/// The data keys of all accounts, as nobody may see them but who opens a token.
pub async fn data_keys(system: &System) -> Vec<Vec<u8>> {
    let ring = KeyRing::parse(&system.environment["POSTROOM_KEYS"]).unwrap();
    let kept = "SELECT 'vault.data_key|' || a.workspace_id || '|' || a.id || '|' || k.id || '|' || k.cipher, k.sealed
                FROM vault.data_key k JOIN account a ON a.id = k.account_id";
    let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(kept).fetch_all(&system.database.pool).await.unwrap();
    rows.iter().map(|(row, sealed)| ring.open(sealed, row).unwrap().to_vec()).collect()
}

/// A key as somebody may have written it down unawares, and as much of it as reads the same among other bytes.
pub fn spelled(key: &[u8]) -> Vec<String> {
    let listed = format!("{:?}", &key[..12]);
    let mut all = vec![hex::encode(key), listed.trim_matches(['[', ']']).to_owned()];
    all.extend((0..3).map(|skip| STANDARD.encode(&key[skip..skip + 15])));
    let letters: Vec<usize> = (0..key.len()).filter(|at| key[*at].is_ascii()).collect();
    if let (Some(first), Some(last)) = (letters.first(), letters.last())
        && last - first >= 12
    {
        all.push(text(&key[*first..=*last]));
    }
    all
}

/// What the system's own processes have logged; the networks' log is theirs.
pub fn in_logs(system: &System) -> Haystack {
    let entries = std::fs::read_dir(system.logs()).unwrap().map(|entry| entry.unwrap().path());
    let ours = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".log") && !name.starts_with("sandbox")
    };
    entries
        .filter(|path| ours(path))
        .map(|path| (path.display().to_string(), text(&std::fs::read(&path).unwrap())))
        .collect()
}

/// Every key of a Redis and what it holds.
pub async fn in_redis(url: &str) -> Haystack {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let mut all = Vec::new();
    for key in keys {
        let value: Vec<u8> =
            redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap_or_default();
        all.push((format!("Redis, {key}"), text(&[key.as_bytes(), &value].concat())));
    }
    all
}

/// The whole database.
pub async fn in_database(system: &System) -> Haystack {
    let program = Path::new(&std::env::var("POSTROOM_PG_BIN").unwrap_or_default()).join("pg_dump");
    let args = ["--no-owner", "--inserts", system.database.url.as_str()];
    let (status, dump, said) = process::run(&program, &args, &system.environment, "").await;
    assert_eq!(status, 0, "{said}");
    vec![("the database".to_owned(), dump)]
}

/// No secret has other letters than those that stay as they are.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_secret_is_found_in_every_spelling() {
    let secret = fresh("a secret");
    let text = &secret.text;
    let in_base64 = |before: &str| STANDARD.encode(format!("{before}{text} and more"));
    let spelled = [
        format!("see {text}!"),
        hex::encode(format!("see {text}")),
        in_base64(""),
        in_base64("a"),
        in_base64("ab"),
        serde_json::json!({ "it": text }).to_string(),
    ];
    for text in spelled {
        assert!(secret.is_in(&text), "{text}");
    }
    assert!(!secret.is_in("nothing"));
    let key: Vec<u8> = (7..39).map(|byte| byte ^ ((byte % 5) << 7)).collect();
    let among = self::text(&[&[0xc2_u8, 0xe2][..], &key, &[0x80][..]].concat());
    for text in [format!("{key:?}"), hex::encode(&key), STANDARD.encode(&key), among] {
        assert!(self::spelled(&key).iter().any(|it| text.contains(it)), "{text}");
    }
    assert!(self::spelled(&key).iter().all(|it| !"nothing".contains(it)));
}
