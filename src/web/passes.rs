//! Passes: JWTs that stand for an API key for a few minutes, so that the key itself need not travel with every call.
//!
//! Each process signs with a key of its own that never leaves its memory, for a day; what checks its signatures is
//! published in the ledger, for every process and whoever else asks, until the last pass that it signed has ended. One
//! algorithm, and no other is even built in.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use chrono::{DateTime, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::ErrorKind,
    signature::{Error as SignatureError, Signer, Verifier},
};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::{NoContext, Timestamp, Uuid};

use super::problem::Problem;
use crate::ledger::{
    Ledger, LedgerError,
    keys::{ApiKey, Scope},
};

/// The longest that a pass may last.
pub const LONGEST: Duration = Duration::from_mins(10);
/// How far the clock of whoever made a pass may be from ours, in seconds.
const LEEWAY: i64 = 30;
/// For so long a process signs with one key.
const SIGNS_FOR: Duration = Duration::from_hours(24);
/// A pass is never longer than this, in characters.
const LONGEST_TEXT: usize = 2_048;
/// Keys of others that are kept; beyond it all are looked up anew.
const MOST_KNOWN: usize = 1_000;
/// The media type of an access token as a JWT (RFC 9068).
const TYPE: &str = "at+jwt";

/// What a pass says. Every field is needed, and a time is a number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// Whose it is: our address.
    pub iss: String,
    /// What it is for: our API.
    pub aud: String,
    /// The key that it stands for.
    pub sub: Uuid,
    /// Its own name.
    pub jti: Uuid,
    /// When it was issued.
    pub iat: i64,
    /// When it ends.
    pub exp: i64,
    /// What it may do, with blanks between.
    pub scope: String,
}

impl Claims {
    /// What the key may do when it comes with this pass: no more than either.
    pub fn narrow(&self, mut key: ApiKey) -> ApiKey {
        let said = self.scope.split(' ').filter_map(Scope::parse);
        key.scopes = said.filter(|scope| key.may(*scope)).collect();
        key
    }

    fn is_of(&self, now: DateTime<Utc>) -> bool {
        let now = now.timestamp();
        let lasts = self.exp.saturating_sub(self.iat);
        let longest = i64::try_from(LONGEST.as_secs()).unwrap_or(i64::MAX);
        (1..=longest).contains(&lasts) && self.exp > now - LEEWAY && self.iat <= now + LEEWAY
    }
}

/// What is signed with now.
struct Signing {
    id: Uuid,
    key: EncodingKey,
    until: Duration,
}

/// What checks signatures, and when the last of them has ended.
#[derive(Clone)]
struct Known {
    key: DecodingKey,
    ends_at: DateTime<Utc>,
}

impl Known {
    /// The key, in its time: that it was looked up once does not keep it good for ever.
    fn at(self, now: DateTime<Utc>) -> Option<DecodingKey> {
        let ends = self.ends_at.timestamp().saturating_add(LEEWAY);
        (now.timestamp() < ends).then_some(self.key)
    }
}

/// Issues and reads passes.
pub struct Passes {
    issuer: String,
    audience: String,
    signing: tokio::sync::Mutex<Option<Arc<Signing>>>,
    known: RwLock<HashMap<Uuid, Known>>,
}

/// A pass that was issued.
pub struct Issued {
    /// The pass itself.
    pub token: String,
    /// Its name.
    pub id: Uuid,
}

impl Passes {
    /// Passes of the house that the outside sees at this address.
    pub fn new(public_url: &Url) -> Self {
        // a second one finds the same one there
        let _ = PROVIDER.install_default();
        let issuer = public_url.as_str().trim_end_matches('/').to_owned();
        let audience = format!("{issuer}/api/v1");
        Self { issuer, audience, signing: tokio::sync::Mutex::default(), known: RwLock::default() }
    }

    /// A pass for this key, for what it may do of `scopes`.
    ///
    /// # Errors
    /// The ledger is away, or there is no randomness.
    pub async fn issue(
        &self,
        ledger: &Ledger,
        (now, monotonic): (DateTime<Utc>, Duration),
        key: &ApiKey,
        scopes: &[Scope],
        lasting: Duration,
    ) -> Result<Issued, Problem> {
        let signing = self.signing(ledger, monotonic).await?;
        let words: Vec<&str> =
            scopes.iter().filter(|scope| key.may(**scope)).map(|scope| scope.word()).collect();
        let lasts = i64::try_from(lasting.min(LONGEST).as_secs()).unwrap_or_default().max(1);
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: key.id,
            jti: name(now),
            iat: now.timestamp(),
            exp: now.timestamp() + lasts,
            scope: words.join(" "),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        (header.typ, header.kid) = (Some(TYPE.to_owned()), Some(signing.id.to_string()));
        let token = jsonwebtoken::encode(&header, &claims, &signing.key).map_err(|error| {
            tracing::error!(%error, "a pass could not be signed");
            Problem::internal()
        })?;
        ledger.issued_pass(key.id, key.workspace_id, claims.jti, &words).await?;
        Ok(Issued { token, id: claims.jti })
    }

    /// What signs now: a key that is fresh every day.
    async fn signing(&self, ledger: &Ledger, monotonic: Duration) -> Result<Arc<Signing>, Problem> {
        let mut signing = self.signing.lock().await;
        if let Some(signing) = signing.as_ref().filter(|it| it.until > monotonic) {
            return Ok(Arc::clone(signing));
        }
        let pair = Ed25519KeyPair::generate().map_err(|_| Problem::internal())?;
        let public: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| Problem::internal())?;
        let private = pair.to_pkcs8().map_err(|_| Problem::internal())?;
        let id = ledger.publish_pass_key(&public, SIGNS_FOR + LONGEST * 2).await?;
        let (key, until) = (EncodingKey::from_ed_der(private.as_ref()), monotonic + SIGNS_FOR);
        let fresh = Arc::new(Signing { id, key, until });
        *signing = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    /// What a pass says, if it is one of ours and it is its time. Whether it or its key was taken back is not asked here.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn read(
        &self,
        ledger: &Ledger,
        now: DateTime<Utc>,
        token: &str,
    ) -> Result<Option<Claims>, LedgerError> {
        let Some(kid) = named(token) else { return Ok(None) };
        let Some(key) = self.checks(ledger, now, kid).await? else { return Ok(None) };
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // the crate would ask this machine's clock; the ledger's alone decides, in `is_of`
        validation.validate_exp = false;
        let read = jsonwebtoken::decode::<Claims>(token, &key, &validation);
        Ok(read.ok().map(|read| read.claims).filter(|claims| claims.is_of(now)))
    }

    /// What checks the signatures of that name, if anything does.
    async fn checks(
        &self,
        ledger: &Ledger,
        now: DateTime<Utc>,
        kid: Uuid,
    ) -> Result<Option<DecodingKey>, LedgerError> {
        let kept = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&kid).cloned();
        if let Some(kept) = kept {
            return Ok(kept.at(now));
        }
        let Some(found) = ledger.pass_keys(Some(kid)).await?.pop() else { return Ok(None) };
        let fresh = Known { key: DecodingKey::from_ed_der(&found.public), ends_at: found.ends_at };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(kid, fresh.clone());
        Ok(fresh.at(now))
    }
}

/// A fresh name for a pass. It tells when it was issued, by the ledger's clock: this machine's may be wrong.
fn name(now: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos()))
}

/// Whether a pass of this name can have been issued here so lately that it may still open something.
pub fn may_be_in_use(pass: Uuid, now: DateTime<Utc>) -> bool {
    let issued = pass.get_timestamp().filter(|_| pass.get_version_num() == 7).map(|at| at.to_unix().0);
    let now = now.timestamp();
    // twice as long as one lasts: clocks may differ a little
    let longest = i64::try_from(LONGEST.as_secs() * 2).unwrap_or(i64::MAX);
    issued
        .and_then(|at| i64::try_from(at).ok())
        .is_some_and(|at| (now - longest..=now + LEEWAY).contains(&at))
}

/// The name of the key that signed what looks like a pass of ours.
fn named(token: &str) -> Option<Uuid> {
    if token.len() > LONGEST_TEXT || token.split('.').count() != 3 {
        return None;
    }
    let header = jsonwebtoken::decode_header(token).ok()?;
    let ours = header.alg == Algorithm::EdDSA && header.typ.as_deref() == Some(TYPE);
    Uuid::try_parse(&header.kid.filter(|_| ours)?).ok()
}

/// Ed25519 by the library that TLS has already, and nothing else: no other algorithm can be confused with it.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::EdDSA => Ok(Box::new(Ed(key.as_bytes().to_vec()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::EdDSA => Ok(Box::new(Ed(key.try_get_as_bytes()?.to_vec()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// A private key as PKCS#8, or the 32 bytes of a public one.
struct Ed(Vec<u8>);

impl Signer<Vec<u8>> for Ed {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let pair = Ed25519KeyPair::from_pkcs8(&self.0).map_err(|_| SignatureError::new())?;
        Ok(pair.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for Ed {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

impl Verifier<Vec<u8>> for Ed {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        key.verify(message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Ed {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(iat: i64, exp: i64) -> Claims {
        Claims {
            iss: String::new(),
            aud: String::new(),
            sub: Uuid::nil(),
            jti: Uuid::nil(),
            iat,
            exp,
            scope: "posts:write jobs:write nonsense".into(),
        }
    }

    #[test]
    fn a_pass_has_its_time_and_lasts_ten_minutes_at_most() {
        let now = DateTime::from_timestamp(10_000, 0).expect("a time");
        for (iat, exp, good) in [
            (10_000, 10_600, true),
            (9_400, 9_971, true),
            (9_400, 9_970, false),
            (10_030, 10_100, true),
            (10_031, 10_100, false),
            (10_000, 10_601, false),
            (10_000, 10_000, false),
            (i64::MIN, i64::MAX, false),
        ] {
            assert_eq!(claims(iat, exp).is_of(now), good, "{iat} {exp}");
        }
    }

    #[test]
    fn a_name_tells_whether_a_pass_may_still_be_in_use() {
        let now = DateTime::from_timestamp(100_000, 0).expect("a time");
        let at = |seconds: i64| name(DateTime::from_timestamp(seconds, 999_000_000).expect("a time"));
        for (pass, may) in [
            (at(100_000), true),
            (at(98_800), true),
            (at(98_799), false),
            (at(100_030), true),
            (at(100_031), false),
            (Uuid::new_v4(), false),
            (Uuid::nil(), false),
            (Uuid::max(), false),
        ] {
            assert_eq!(may_be_in_use(pass, now), may, "{pass}");
        }
        assert_ne!(at(100_000), at(100_000), "each has its own");
    }

    #[test]
    fn a_pass_may_no_more_than_its_key_and_no_more_than_it_says() {
        let key = ApiKey {
            id: Uuid::nil(),
            workspace_id: None,
            scopes: vec![Scope::PostsWrite, Scope::MediaWrite],
        };
        let narrowed = claims(0, 1).narrow(key);
        assert_eq!(narrowed.scopes, [Scope::PostsWrite]);
    }

    #[test]
    fn nothing_but_eddsa_is_built_in() {
        for algorithm in [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256] {
            let secret = EncodingKey::from_secret(b"public key as a secret");
            assert!((PROVIDER.signer_factory)(&algorithm, &secret).is_err(), "{algorithm:?}");
            let key = DecodingKey::from_secret(b"public key as a secret");
            assert!((PROVIDER.verifier_factory)(&algorithm, &key).is_err(), "{algorithm:?}");
        }
    }
}
