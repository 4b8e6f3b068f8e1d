//! API keys: what a machine shows to be let in. Only a digest is kept.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Entry},
};

const PREFIX: &str = "pr_";
/// The most characters of a key's name.
pub const NAME_MOST: usize = 100;
/// The most keys that a list shows.
const LISTED: i64 = 1_000;

/// What a key may do. A `write` includes its `read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Read posts.
    PostsRead,
    /// Write posts.
    PostsWrite,
    /// Upload and read media.
    MediaWrite,
    /// Read accounts.
    AccountsRead,
    /// Disconnect and refresh accounts.
    AccountsWrite,
    /// Read metrics.
    MetricsRead,
    /// Ask for analyses and read them.
    AnalysesWrite,
    /// Work on privacy requests.
    PrivacyWrite,
    /// Look at jobs.
    JobsRead,
    /// Retry, cancel and pause jobs.
    JobsWrite,
    /// Manage outgoing webhooks.
    WebhooksWrite,
}

impl Scope {
    /// Every scope.
    pub const ALL: &'static [Self] = &[
        Self::PostsRead,
        Self::PostsWrite,
        Self::MediaWrite,
        Self::AccountsRead,
        Self::AccountsWrite,
        Self::MetricsRead,
        Self::AnalysesWrite,
        Self::PrivacyWrite,
        Self::JobsRead,
        Self::JobsWrite,
        Self::WebhooksWrite,
    ];

    /// The API's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::PostsRead => "posts:read",
            Self::PostsWrite => "posts:write",
            Self::MediaWrite => "media:write",
            Self::AccountsRead => "accounts:read",
            Self::AccountsWrite => "accounts:write",
            Self::MetricsRead => "metrics:read",
            Self::AnalysesWrite => "analyses:write",
            Self::PrivacyWrite => "privacy:write",
            Self::JobsRead => "jobs:read",
            Self::JobsWrite => "jobs:write",
            Self::WebhooksWrite => "webhooks:write",
        }
    }

    /// The scope of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.word() == word)
    }

    fn includes(self, asked: Self) -> bool {
        self == asked
            || matches!(
                (self, asked),
                (Self::PostsWrite, Self::PostsRead)
                    | (Self::AccountsWrite, Self::AccountsRead)
                    | (Self::JobsWrite, Self::JobsRead)
            )
    }
}

/// A key as the door sees it.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// The only workspace it opens; `None` is an operator's key, for queue-wide work.
    pub workspace_id: Option<Uuid>,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

impl ApiKey {
    /// Whether the key may do that.
    pub fn may(&self, asked: Scope) -> bool {
        self.scopes.iter().any(|scope| scope.includes(asked))
    }
}

/// A key that is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewKey<'a> {
    /// The only workspace it opens; none makes it an operator's.
    pub workspace_id: Option<Uuid>,
    /// What people know it by.
    pub name: &'a str,
    /// What is kept of it.
    pub digest: &'a [u8; 32],
    /// What it may do.
    pub scopes: &'a [Scope],
    /// When it ends, from now; none is never.
    pub expires_in: Option<Duration>,
}

/// A key as people look at it.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// Its id.
    pub id: Uuid,
    /// Its workspace; `None` is an operator's.
    pub workspace_id: Option<Uuid>,
    /// What people know it by.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl KeyRow {
    /// Whether it opens something now.
    pub fn is_good(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| end > now)
    }
}

/// A fresh key: 256 random bits, shown once.
///
/// # Errors
/// The system has no randomness to give.
pub fn fresh() -> Result<SecretString, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(SecretString::from(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
}

/// What is kept of a key; `None` for a text that no key looks like.
pub fn digest(key: &SecretString) -> Option<[u8; 32]> {
    let key = key.expose_secret();
    let random = key.strip_prefix(PREFIX)?;
    (random.len() == 43).then(|| Sha256::digest(key.as_bytes()).into())
}

impl Ledger {
    /// Keeps the digest of a key and returns the key's id.
    ///
    /// # Errors
    /// `api_key_workspace_id_fkey`: there is no such workspace.
    pub async fn add_api_key(&self, new: &NewKey<'_>) -> Result<Uuid, LedgerError> {
        let id = Uuid::now_v7();
        let words: Vec<String> = new.scopes.iter().map(|scope| scope.word().to_owned()).collect();
        let mut tx = self.pool.begin().await?;
        sqlx::query!(
            "INSERT INTO api_key (id, workspace_id, digest, scopes, expires_at, name)
             VALUES ($1, $2, $3, $4, ledger_now() + make_interval(secs => $5), $6)",
            id,
            new.workspace_id,
            new.digest,
            &words,
            new.expires_in.map(|span| span.as_secs_f64()),
            new.name,
        )
        .execute(&mut *tx)
        .await?;
        let detail = json!({ "scopes": words, "expires_in": new.expires_in.map(|span| span.as_secs()) });
        let entry = self.about_key(Action::KeyMade, id, new.workspace_id, detail);
        audit::record(&mut tx, &entry).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Takes a key back, and with it every pass that stands for it; `None`: there is no such key in that workspace.
    /// Without a workspace it may be anybody's. Whether it was taken back just now.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn revoke_api_key(
        &self,
        workspace_id: Option<Uuid>,
        id: Uuid,
    ) -> Result<Option<bool>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let found = sqlx::query!(
            r#"WITH it AS (
                   SELECT id, workspace_id, revoked_at IS NULL AS good FROM api_key
                   WHERE id = $1 AND ($2::uuid IS NULL OR workspace_id = $2) FOR UPDATE),
               revoked AS (
                   UPDATE api_key SET revoked_at = ledger_now() FROM it WHERE api_key.id = it.id AND it.good)
               SELECT workspace_id, good AS "good!" FROM it"#,
            id,
            workspace_id,
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(found) = found else { return Ok(None) };
        if found.good {
            let entry = self.about_key(Action::KeyRevoked, id, found.workspace_id, json!({}));
            audit::record(&mut tx, &entry).await?;
        }
        tx.commit().await?;
        Ok(Some(found.good))
    }

    /// What is written down of a key.
    pub(super) fn about_key(
        &self,
        action: Action,
        id: Uuid,
        workspace_id: Option<Uuid>,
        detail: serde_json::Value,
    ) -> Entry<'static> {
        let object_id = id.to_string();
        Entry { who: self.who(), action, object: "api_key", object_id, workspace_id, detail }
    }

    /// The keys of a workspace, newest first; of no workspace, the operators'.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn api_keys(&self, workspace_id: Option<Uuid>) -> Result<Vec<KeyRow>, LedgerError> {
        let rows = sqlx::query_as!(
            KeyRow,
            "SELECT id, workspace_id, name, scopes, created_at, expires_at, last_used_at, revoked_at FROM api_key
             WHERE workspace_id IS NOT DISTINCT FROM $1 ORDER BY created_at DESC, id DESC LIMIT $2",
            workspace_id,
            LISTED,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }

    /// The key of that digest, unless it has expired or was taken back. Notes its use, to the minute.
    pub async fn api_key(&self, digest: &[u8; 32]) -> Result<Option<ApiKey>, LedgerError> {
        let found = sqlx::query_as!(
            Found,
            "WITH found AS (
                 SELECT id, workspace_id, scopes, last_used_at FROM api_key
                 WHERE digest = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ledger_now())),
             used AS (
                 UPDATE api_key SET last_used_at = ledger_now() FROM found
                 WHERE api_key.id = found.id
                   -- to the minute: else every request of a busy key would wait for the one before it
                   AND (found.last_used_at IS NULL OR found.last_used_at < ledger_now() - interval '1 minute'))
             SELECT id, workspace_id, scopes FROM found",
            digest,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.map(ApiKey::from))
    }

    /// The key that a pass stands for, unless it or the pass was taken back, or it has expired. Notes its use, to the
    /// minute.
    pub async fn key_of_pass(&self, key_id: Uuid, pass_id: Uuid) -> Result<Option<ApiKey>, LedgerError> {
        let found = sqlx::query_as!(
            Found,
            "WITH found AS (
                 SELECT id, workspace_id, scopes, last_used_at FROM api_key
                 WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ledger_now())
                   AND NOT EXISTS (SELECT FROM denied_pass d WHERE d.api_key_id = $1 AND d.id = $2)),
             used AS (
                 UPDATE api_key SET last_used_at = ledger_now() FROM found
                 WHERE api_key.id = found.id
                   AND (found.last_used_at IS NULL OR found.last_used_at < ledger_now() - interval '1 minute'))
             SELECT id, workspace_id, scopes FROM found",
            key_id,
            pass_id,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.map(ApiKey::from))
    }
}

struct Found {
    id: Uuid,
    workspace_id: Option<Uuid>,
    scopes: Vec<String>,
}

impl From<Found> for ApiKey {
    fn from(row: Found) -> Self {
        let scopes = row.scopes.iter().filter_map(|word| Scope::parse(word)).collect();
        Self { id: row.id, workspace_id: row.workspace_id, scopes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_has_a_digest_and_nothing_else_has() {
        let key = fresh().expect("there is randomness");
        assert!(digest(&key).is_some());
        for other in ["", "pr_", "pr_short", "Bearer pr_x"] {
            assert_eq!(digest(&SecretString::from(other)), None);
        }
    }

    #[test]
    fn a_write_scope_includes_its_read_and_no_other() {
        let key = ApiKey { id: Uuid::nil(), workspace_id: None, scopes: vec![Scope::PostsWrite] };
        assert!(key.may(Scope::PostsRead) && key.may(Scope::PostsWrite));
        assert!(!key.may(Scope::JobsRead) && !key.may(Scope::MediaWrite));
    }

    #[test]
    fn every_scope_is_found_by_its_word() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.word()), Some(*scope));
        }
    }
}
