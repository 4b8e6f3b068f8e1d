//! Sessions, and whether a form comes from here.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jobs::sign_in::Begun;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tower_sessions::{
    Expiry, Session, SessionManagerLayer, SessionStore,
    cookie::{SameSite, time},
    session::{Id, Record},
    session_store,
};
use url::Url;
use uuid::Uuid;

use super::texts::ENGLISH;
use crate::{
    ledger::{Ledger, LedgerError, sessions::StoredSession},
    web::{App, House, problem::Problem},
};

const PERSON: &str = "person";
const WORKSPACE: &str = "workspace";
const TOKEN: &str = "token";
/// In seconds since the epoch, as all that is kept of time here.
const SEEN: &str = "seen";
const BEGAN: &str = "began";
const AGENT: &str = "agent";
pub(super) const ROLE: &str = "role";
/// Stands in a session that goes on under another id, and is kept nowhere.
pub(super) const RETIRED: &str = "retired";
const LEFT: &str = "left";
const PROVED: &str = "proved";
const SURE: &str = "sure";
/// For so many seconds somebody who has said who they are is not asked again.
const SURE_FOR: i64 = 600;
/// Whoever signs in elsewhere is back by then.
const AWAY_FOR: time::Duration = time::Duration::minutes(10);
/// A session is prolonged by being written, which each page need not do.
const RENEWED_AFTER: i64 = 300;
/// As much of what a browser calls itself is kept.
const AGENT_MOST: usize = 300;

/// Sessions in the ledger.
#[derive(Debug, Clone)]
pub struct Store(Ledger);

/// The layer that gives each request its session.
pub fn layer(house: &House) -> SessionManagerLayer<Store> {
    let secure = is_secure(&house.public_url);
    let lasts = i64::try_from(house.web.session.as_secs()).unwrap_or(i64::MAX);
    SessionManagerLayer::new(Store(house.ledger.clone()))
        .with_name(cookie_name(secure))
        .with_secure(secure)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(time::Duration::seconds(lasts)))
}

/// What the cookie is called.
pub const fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-s" } else { "s" }
}

/// Whether the outside reaches us over https.
pub fn is_secure(public_url: &Url) -> bool {
    public_url.scheme() == "https"
}

fn backend(error: &LedgerError) -> session_store::Error {
    tracing::warn!(%error, "a session could not be read or kept");
    session_store::Error::Backend(error.to_string())
}

fn stored(record: &Record) -> session_store::Result<StoredSession> {
    let data = serde_json::to_value(&record.data)
        .map_err(|error| session_store::Error::Encode(error.to_string()))?;
    let expires_at = DateTime::from_timestamp(record.expiry_date.unix_timestamp(), 0).unwrap_or_default();
    Ok(StoredSession { data, expires_at })
}

/// What the ledger knows a session by: who reads it there cannot come in with it.
pub fn kept_as(id: &Id) -> String {
    hex::encode(Sha256::digest(id.to_string()))
}

#[async_trait]
impl SessionStore for Store {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        let session = stored(record)?;
        while !self.0.create_session(&kept_as(&record.id), &session).await.map_err(|error| backend(&error))? {
            record.id = Id::default();
        }
        Ok(())
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        self.0.save_session(&kept_as(&record.id), &stored(record)?).await.map_err(|error| backend(&error))
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let found = self.0.load_session(&kept_as(id)).await.map_err(|error| backend(&error))?;
        let Some((kept, retired)) = found else { return Ok(None) };
        let decode = |error: &dyn std::fmt::Display| session_store::Error::Decode(error.to_string());
        let mut data: HashMap<String, Value> =
            serde_json::from_value(kept.data).map_err(|error| decode(&error))?;
        if retired {
            data.insert(RETIRED.to_owned(), Value::Bool(true));
        }
        let expiry_date = time::OffsetDateTime::from_unix_timestamp(kept.expires_at.timestamp())
            .map_err(|error| decode(&error))?;
        Ok(Some(Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        self.0.delete_session(&kept_as(id)).await.map_err(|error| backend(&error))
    }
}

pub(super) fn away(_: tower_sessions::session::Error) -> Problem {
    Problem::away("ledger-away", ENGLISH.problem_unavailable_detail)
}

/// Begins a session for a person: a fresh id, so that one planted before is worth nothing.
///
/// # Errors
/// The ledger is away, or the system has no randomness.
pub async fn begin(
    session: &Session,
    person_id: Uuid,
    headers: &HeaderMap,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let agent: String = agent.chars().take(AGENT_MOST).collect();
    session.clear().await;
    session.cycle_id().await.map_err(away)?;
    session.insert(PERSON, person_id).await.map_err(away)?;
    session.insert(TOKEN, fresh_token()?).await.map_err(away)?;
    session.insert(BEGAN, now.timestamp()).await.map_err(away)?;
    session.insert(SEEN, now.timestamp()).await.map_err(away)?;
    session.insert(SURE, now.timestamp()).await.map_err(away)?;
    session.insert(AGENT, agent).await.map_err(away)?;
    Ok(())
}

/// Whether its person has said a moment ago who they are.
///
/// # Errors
/// The ledger is away.
pub async fn is_sure(session: &Session, now: DateTime<Utc>) -> Result<bool, Problem> {
    let at: Option<i64> = session.get(SURE).await.map_err(away)?;
    Ok(at.is_some_and(|at| (now.timestamp() - at).abs() <= SURE_FOR))
}

/// They have said it now.
///
/// # Errors
/// The ledger is away.
pub async fn make_sure(session: &Session, now: DateTime<Utc>) -> Result<(), Problem> {
    session.insert(SURE, now.timestamp()).await.map_err(away)
}

/// Keeps a session at once, which the layer would do only after the answer: what is written down has happened.
///
/// # Errors
/// The ledger is away.
pub async fn keep(session: &Session) -> Result<(), Problem> {
    session.save().await.map_err(away)
}

/// Who is signed in.
pub struct Signed {
    /// The person.
    pub person: Uuid,
    /// What a form of theirs carries.
    pub token: String,
    /// Where they look, if they have chosen.
    pub workspace: Option<Uuid>,
}

/// Who is signed in with this session, if anybody.
///
/// # Errors
/// The ledger is away.
pub async fn signed(session: &Session, now: DateTime<Utc>) -> Result<Option<Signed>, Problem> {
    let person: Option<Uuid> = session.get(PERSON).await.map_err(away)?;
    let Some(person) = person else { return Ok(None) };
    let token = session.get(TOKEN).await.map_err(away)?.unwrap_or_default();
    let workspace: Option<Uuid> = session.get(WORKSPACE).await.map_err(away)?;
    let seen: Option<i64> = session.get(SEEN).await.map_err(away)?;
    let due = seen.is_none_or(|seen| (now.timestamp() - seen).abs() >= RENEWED_AFTER);
    if due && !is_retired(session).await? {
        session.insert(SEEN, now.timestamp()).await.map_err(away)?;
    }
    Ok(Some(Signed { person, token, workspace }))
}

/// Whether the session goes on under another id.
///
/// # Errors
/// The ledger is away.
pub async fn is_retired(session: &Session) -> Result<bool, Problem> {
    Ok(session.get(RETIRED).await.map_err(away)?.unwrap_or_default())
}

/// Remembers a sign-in that was begun elsewhere, and where to go on after it. Who has not signed in yet comes back soon
/// or begins anew.
///
/// # Errors
/// The ledger is away.
pub async fn leave_for(session: &Session, begun: &Begun, next: &str) -> Result<(), Problem> {
    let left = (&begun.state, &begun.nonce, &begun.verifier, next);
    session.insert(LEFT, left).await.map_err(away)?;
    if session.get::<Uuid>(PERSON).await.map_err(away)?.is_none() {
        session.set_expiry(Some(Expiry::OnInactivity(AWAY_FOR)));
    }
    Ok(())
}

/// The sign-in that was begun elsewhere, and where to go on; it is forgotten by that.
///
/// # Errors
/// The ledger is away.
pub async fn left_for(session: &Session) -> Result<Option<(Begun, String)>, Problem> {
    let left: Option<(String, String, String, String)> = session.remove(LEFT).await.map_err(away)?;
    Ok(left.map(|(state, nonce, verifier, next)| {
        (Begun { address: String::new(), state, nonce, verifier }, next)
    }))
}

/// Somebody new whom a provider vouches for, while they say what they join.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proved {
    /// Since when, in seconds since the epoch.
    pub at: i64,
    /// Who vouches.
    pub issuer: String,
    /// What they call the person.
    pub subject: String,
    /// The address.
    pub email: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
}

/// Begins a session in which somebody says what they join: a fresh id, for it opens what the one before did not.
///
/// # Errors
/// The ledger is away.
pub async fn prove(session: &Session, proved: &Proved) -> Result<(), Problem> {
    session.clear().await;
    session.cycle_id().await.map_err(away)?;
    session.set_expiry(Some(Expiry::OnInactivity(AWAY_FOR)));
    remember(session, proved).await
}

/// Keeps in mind who is vouched for, in a session that begins.
///
/// # Errors
/// The ledger is away.
pub async fn remember(session: &Session, proved: &Proved) -> Result<(), Problem> {
    session.insert(PROVED, proved).await.map_err(away)
}

/// Who was vouched for a moment ago.
///
/// # Errors
/// The ledger is away.
pub async fn proved(session: &Session, now: DateTime<Utc>) -> Result<Option<Proved>, Problem> {
    let proved: Option<Proved> = session.get(PROVED).await.map_err(away)?;
    Ok(proved.filter(|it| (now.timestamp() - it.at).abs() < AWAY_FOR.whole_seconds()))
}

/// There is nothing left to join: who was vouched for is kept in mind no longer.
///
/// # Errors
/// The ledger is away.
pub async fn forget(session: &Session) -> Result<(), Problem> {
    session.remove::<Proved>(PROVED).await.map(drop).map_err(away)
}

/// Remembers which workspace the person looks at.
///
/// # Errors
/// The ledger is away.
pub async fn look_at(session: &Session, workspace_id: Uuid) -> Result<(), Problem> {
    session.insert(WORKSPACE, workspace_id).await.map_err(away)
}

/// A random text that nobody else can know.
///
/// # Errors
/// The system has no randomness to give.
pub fn fresh_token() -> Result<String, Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| Problem::internal())?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether two tokens are the same, without telling how far.
pub fn same_token(given: &str, kept: &str) -> bool {
    !kept.is_empty() && bool::from(given.as_bytes().ct_eq(kept.as_bytes()))
}

/// Refuses a write that a browser says comes from another site. The token of each form comes on top.
pub async fn same_origin(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || is_from_here(request.headers(), &app.house.public_url) {
        return next.run(request).await;
    }
    Problem::forbidden(ENGLISH.csrf).into_response()
}

/// A browser says where a write comes from; what says nothing is no browser, and carries no cookie by itself.
fn is_from_here(headers: &HeaderMap, public_url: &Url) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = header("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = header(header::ORIGIN.as_str()) else { return true };
    let origin = Url::parse(origin).map(|url| url.origin());
    let own_host = header(header::HOST.as_str()).and_then(|host| {
        Url::parse(&format!("{}://{host}", public_url.scheme())).ok().map(|url| url.origin())
    });
    origin.is_ok_and(|origin| origin == public_url.origin() || Some(origin) == own_host)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn from_here(headers: &[(&'static str, &'static str)]) -> bool {
        let headers =
            headers.iter().map(|(k, v)| (k.parse().expect("a name"), HeaderValue::from_static(v))).collect();
        is_from_here(&headers, &"https://post.example/".parse().expect("an address"))
    }

    #[test]
    fn a_write_from_another_site_is_not_from_here() {
        assert!(from_here(&[("sec-fetch-site", "same-origin")]));
        assert!(from_here(&[("origin", "https://post.example")]));
        assert!(from_here(&[("origin", "https://127.0.0.1:3000"), ("host", "127.0.0.1:3000")]));
        assert!(from_here(&[]));
        assert!(!from_here(&[("sec-fetch-site", "cross-site"), ("origin", "https://post.example")]));
        assert!(!from_here(&[("sec-fetch-site", "same-site")]));
        assert!(!from_here(&[("origin", "https://evil.example"), ("host", "post.example")]));
        assert!(!from_here(&[("origin", "null")]));
        assert!(!from_here(&[("origin", "https://post.example:444")]));
    }

    #[test]
    fn an_empty_token_is_never_the_same() {
        assert!(!same_token("", ""));
        assert!(same_token("a", "a"));
        assert!(!same_token("a", "b"));
    }
}
