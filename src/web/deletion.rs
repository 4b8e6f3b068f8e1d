//! Requests for deletion at the door: the codes that their state is looked up by, and their acceptance.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jobs::desk::Media;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{App, problem::Problem, signed_request::SignedRequest};
use crate::ledger::{
    KeyRing, LedgerError,
    audit::Who,
    deletions::{Accepted, Asking, Origin, Subject},
    tombstones::recipient_key,
};

/// What the door needs for requests for deletion.
pub struct Deletions {
    /// Seals addresses. The tokens that it opens too are out of the door's reach.
    pub ring: Arc<KeyRing>,
    /// The secret of the app at Meta, which signs Meta's callbacks; none where Meta is off.
    pub meta_secret: Option<SecretString>,
    /// What the provider signs inbound mail with; none where none comes in.
    pub mail_secret: Option<SecretString>,
}

/// What a restore needs of a request is kept outside of the ledger within this, or else by whoever carries it out.
const KEEP_WITHIN: Duration = Duration::from_millis(700);
/// The letters of a code: lower-case letters and digits, and none that people take for another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Five bits each: 130 in all.
const LENGTH: usize = 26;

/// The code by which a request's state is looked up. Whoever has it sees the state; it is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// A fresh one.
    pub fn fresh() -> Self {
        Self::of(&rand::random())
    }

    /// That of the request that a mailed link leads to: who opens it twice is shown the same.
    pub fn of_link(link: &str) -> Self {
        Self::of(&Sha256::digest(format!("postroom deletion code|{link}")).into())
    }

    fn of(random: &[u8; 32]) -> Self {
        let bit = |n: usize| usize::from(random[n / 8] >> (n % 8) & 1);
        let letter = |n: usize| LETTERS[(0..5).fold(0, |all, at| all << 1 | bit(n * 5 + at))];
        Self((0..LENGTH).map(letter).map(char::from).collect())
    }

    /// What somebody gives as a code; none: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == LENGTH && text.bytes().all(|byte| LETTERS.contains(&byte));
        fits.then(|| Self(text.to_owned()))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// Where its state is shown.
    pub fn address(&self, app: &App) -> String {
        let base = app.house.public_url.as_str().trim_end_matches('/');
        format!("{base}/privacy/requests/{}", self.0)
    }
}

/// What Meta's request is known by, and its code: both follow from the person and the time, keyed with the app's secret, so
/// that a redelivery is the same request and gets the same code, and nothing that is kept leads back to the person.
pub fn of_meta(secret: &SecretString, signed: &SignedRequest) -> ([u8; 32], Code) {
    let issued = signed.issued_at.map_or(0, |at| at.timestamp());
    let keyed = |what: &str| -> [u8; 32] {
        let key = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes());
        let mut mac = key.unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(format!("postroom deletion {what}|{issued}|{}", signed.user_id).as_bytes());
        mac.finalize().into_bytes().into()
    };
    (keyed("request"), Code::of(&keyed("code")))
}

/// A secret for a link that is mailed: 128 bits.
pub fn fresh_link() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}

/// The same for a mail that came in under this name: it has one link, however often it is told.
pub fn link_of(secret: &SecretString, id: &str) -> String {
    let key = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes());
    let mut mac = key.unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
    mac.update(format!("postroom mail link|{id}").as_bytes());
    URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..16])
}

/// What is kept of it.
pub fn link_digest(link: &str) -> [u8; 32] {
    Sha256::digest(format!("postroom deletion link|{link}")).into()
}

/// Somebody's wish, without what refers to the request that it came with.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Meta's app-scoped id of a person.
    pub meta_user_id: Option<String>,
    /// An address.
    pub email: Option<String>,
    /// Accounts by our ids.
    pub accounts: Vec<uuid::Uuid>,
    /// Only what is of this workspace.
    pub workspace_id: Option<uuid::Uuid>,
    /// Why, in the words of the staff.
    pub reason: Option<String>,
    /// Who asks for somebody else.
    pub asked_by: Option<uuid::Uuid>,
    /// What that is written down under.
    pub who: Option<Who>,
}

/// What stands besides in a request.
#[derive(Debug, Clone)]
pub struct Way {
    /// How it came.
    pub origin: Origin,
    /// Its code.
    pub code: Code,
    /// What it is known by.
    pub asked_digest: Option<[u8; 32]>,
    /// From when it is and until when it was meant to be good.
    pub signed: (Option<chrono::DateTime<chrono::Utc>>, Option<chrono::DateTime<chrono::Utc>>),
    /// `en` or `he`.
    pub language: &'static str,
}

/// Accepts a request. Once begun it goes on to its end, whether or not somebody still waits for the answer.
///
/// # Errors
/// The ledger is away, or worse.
pub async fn accept(app: &Arc<App>, way: Way, wanted: Wanted) -> Result<Accepted, Problem> {
    let app = Arc::clone(app);
    let accepting = tokio::spawn(async move {
        let subject = Subject {
            meta_user_id: wanted.meta_user_id.as_deref(),
            email: wanted.email.as_deref(),
            accounts: &wanted.accounts,
            workspace_id: wanted.workspace_id,
        };
        let asking = Asking {
            origin: way.origin,
            subject,
            code_digest: way.code.digest(),
            asked_digest: way.asked_digest,
            signed: way.signed,
            language: way.language,
            reason: wanted.reason.as_deref(),
            asked_by: wanted.asked_by,
        };
        let ledger = app.house.ledger.of(wanted.who.unwrap_or(app.house.ledger.who()));
        let (accepted, due) = ledger.accept_deletion(&app.house.deletions.ring, &asking).await?;
        // before anybody carries it out: what is kept of the address is erased in the end
        if !accepted.again {
            keep(&app, accepted.id).await;
        }
        (app.house.nudge)(due.into_iter().collect());
        Ok::<_, LedgerError>(accepted)
    });
    Ok(accepting.await??)
}

/// Keeps outside of the ledger what a restore needs. Where the store is away whoever carries the request out does it; where
/// it is slow, nobody waits for it.
async fn keep(app: &Arc<App>, request: uuid::Uuid) {
    let slow = |_| Ok(Err("the store takes its time".to_owned()));
    let keeping = tokio::spawn(keep_all(Arc::clone(app), request));
    let kept = tokio::time::timeout(KEEP_WITHIN, keeping).await.unwrap_or_else(slow);
    if let Err(error) = kept.unwrap_or_else(|error| Err(error.to_string())) {
        tracing::warn!(%request, %error, "what a restore needs of a deletion is not kept yet; the worker does it");
    }
}

/// What comes too late, after the person was told, is taken away again.
async fn keep_all(app: Arc<App>, request: uuid::Uuid) -> Result<(), String> {
    let ledger = &app.house.ledger;
    let media: &dyn Media = &*app.house.media;
    for keepsake in ledger.keepsakes(request).await.map_err(|error| error.to_string())? {
        keepsake.keep(media).await.map_err(|failure| failure.to_string())?;
    }
    if ledger.keepsakes_kept(request).await.map_err(|error| error.to_string())? {
        return Ok(());
    }
    media.erase(&recipient_key(request)).await.map_err(|failure| failure.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn signed(user: &str, at: i64) -> SignedRequest {
        SignedRequest { user_id: user.into(), issued_at: DateTime::from_timestamp(at, 0), expires: None }
    }

    #[test]
    fn a_code_is_long_plain_and_read_again() {
        let code = Code::fresh();
        assert_eq!(code.as_str().len(), 26);
        assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        assert_eq!(Code::parse(code.as_str()), Some(code.clone()));
        assert_ne!(Code::fresh(), code);
        for none in ["", "short", &code.as_str().to_uppercase(), &format!("{}a", code.as_str())] {
            assert_eq!(Code::parse(none), None);
        }
    }

    #[test]
    fn a_redelivery_has_the_same_code_and_every_other_request_another() {
        let secret = SecretString::from("0123");
        let first = of_meta(&secret, &signed("1000", 7));
        assert_eq!(of_meta(&secret, &signed("1000", 7)), first);
        for (secret, other) in
            [("0123", signed("1001", 7)), ("0123", signed("1000", 8)), ("4567", signed("1000", 7))]
        {
            let other = of_meta(&secret.into(), &other);
            assert!(other.0 != first.0 && other.1 != first.1);
        }
        assert_ne!(first.0, first.1.digest());
    }
}
