//! API keys: what a machine shows to be let in. Only a digest is kept.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Ledger, LedgerError};

const PREFIX: &str = "pr_";

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
    /// Keeps the digest of a key and returns the key's id. No workspace makes it an operator's.
    ///
    /// # Errors
    /// `api_key_workspace_id_fkey`: there is no such workspace.
    pub async fn add_api_key(
        &self,
        workspace_id: Option<Uuid>,
        digest: &[u8; 32],
        scopes: &[Scope],
        expires_in: Option<Duration>,
    ) -> Result<Uuid, LedgerError> {
        let id = Uuid::now_v7();
        let words: Vec<String> = scopes.iter().map(|scope| scope.word().to_owned()).collect();
        sqlx::query!(
            "INSERT INTO api_key (id, workspace_id, digest, scopes, expires_at)
             VALUES ($1, $2, $3, $4, ledger_now() + make_interval(secs => $5))",
            id,
            workspace_id,
            digest,
            &words,
            expires_in.map(|span| span.as_secs_f64()),
        )
        .execute(&self.pool)
        .await?;
        Ok(id)
    }

    /// The key of that digest, unless it has expired. Notes its use, to the minute.
    pub async fn api_key(&self, digest: &[u8; 32]) -> Result<Option<ApiKey>, LedgerError> {
        let found = sqlx::query!(
            "WITH found AS (
                 SELECT id, workspace_id, scopes, last_used_at FROM api_key
                 WHERE digest = $1 AND (expires_at IS NULL OR expires_at > ledger_now())),
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
        Ok(found.map(|row| ApiKey {
            id: row.id,
            workspace_id: row.workspace_id,
            scopes: row.scopes.iter().filter_map(|word| Scope::parse(word)).collect(),
        }))
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
