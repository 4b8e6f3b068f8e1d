//! Passwords: argon2id, off the async threads, a few at a time.

use std::sync::LazyLock;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

/// 19 MiB, two passes, one lane: the least that OWASP names for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Each takes 19 MiB and a core: a crowd at the door must not take the house.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// The shortest and the longest password that is taken, in characters.
pub const LENGTHS: std::ops::RangeInclusive<usize> = 10..=1000;

/// Whether a password can be taken.
pub fn fits(password: &SecretString) -> bool {
    LENGTHS.contains(&password.expose_secret().chars().count())
}

/// Compared with where there is no such person, so that the answer takes as long.
static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash_now("nobody has this password").ok());

/// Why a password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(String);

/// Hashes a password, with a fresh salt, in the PHC form.
///
/// # Errors
/// The system has no randomness or memory to give.
pub async fn hash(password: SecretString) -> Result<String, HashError> {
    let _permit = AT_ONCE.acquire().await.map_err(|error| HashError(error.to_string()))?;
    tokio::task::spawn_blocking(move || hash_now(password.expose_secret()))
        .await
        .map_err(|error| HashError(error.to_string()))?
}

/// Whether this is the password of that hash. Takes as long where there is no hash.
pub async fn matches(password: SecretString, kept: Option<String>) -> bool {
    let Ok(_permit) = AT_ONCE.acquire().await else { return false };
    let compared = tokio::task::spawn_blocking(move || {
        let exists = kept.is_some();
        let kept = kept.or_else(|| NOBODY.clone()).unwrap_or_default();
        let same = PasswordHash::new(&kept).is_ok_and(|hash| {
            hasher().is_some_and(|it| it.verify_password(password.expose_secret().as_bytes(), &hash).is_ok())
        });
        same && exists
    });
    compared.await.unwrap_or(false)
}

fn hash_now(password: &str) -> Result<String, HashError> {
    let hasher = hasher().ok_or_else(|| HashError("the parameters are out of range".to_owned()))?;
    hasher
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| HashError(error.to_string()))
}

fn hasher() -> Option<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let hash = hash("correct horse".into()).await.expect("hashes");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(matches("correct horse".into(), Some(hash.clone())).await);
        assert!(!matches("wrong horse".into(), Some(hash)).await);
    }

    #[tokio::test]
    async fn nobody_is_never_let_in() {
        assert!(!matches("nobody has this password".into(), None).await);
    }
}
