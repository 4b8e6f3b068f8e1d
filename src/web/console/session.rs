//! Sessions, who sits at the desk, and whether a form is really theirs.

use std::{marker::PhantomData, sync::Arc};

use async_trait::async_trait;
use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
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

use super::texts::{ENGLISH, fill};
use crate::{
    ledger::{
        Ledger, LedgerError,
        audit::{Actor, Who},
        people::{Member, MemberRole, StoredSession},
    },
    web::{App, House, problem::Problem, whence},
};

const PERSON: &str = "person";
const WORKSPACE: &str = "workspace";
const TOKEN: &str = "token";
const SEEN: &str = "seen";

/// Sessions in the ledger.
#[derive(Debug, Clone)]
pub struct Store(Ledger);

/// The layer that gives each request its session.
pub fn layer(house: &House) -> SessionManagerLayer<Store> {
    let secure = is_secure(&house.public_url);
    let lasts = i64::try_from(house.web.session.as_secs()).unwrap_or(i64::MAX);
    SessionManagerLayer::new(Store(house.ledger.clone()))
        .with_name(if secure { "__Host-s" } else { "s" })
        .with_secure(secure)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(time::Duration::seconds(lasts)))
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
fn kept_as(id: &Id) -> String {
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
        let Some(kept) = self.0.load_session(&kept_as(id)).await.map_err(|error| backend(&error))? else {
            return Ok(None);
        };
        let decode = |error: &dyn std::fmt::Display| session_store::Error::Decode(error.to_string());
        let data = serde_json::from_value(kept.data).map_err(|error| decode(&error))?;
        let expiry_date = time::OffsetDateTime::from_unix_timestamp(kept.expires_at.timestamp())
            .map_err(|error| decode(&error))?;
        Ok(Some(Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        self.0.delete_session(&kept_as(id)).await.map_err(|error| backend(&error))
    }
}

fn away(_: tower_sessions::session::Error) -> Problem {
    Problem::away("ledger-away", ENGLISH.problem_unavailable_detail)
}

/// Begins a session for a person: a fresh id, so that one planted before is worth nothing.
///
/// # Errors
/// The ledger is away, or the system has no randomness.
pub async fn begin(session: &Session, person_id: Uuid, today: i64) -> Result<(), Problem> {
    session.cycle_id().await.map_err(away)?;
    session.insert(PERSON, person_id).await.map_err(away)?;
    session.insert(TOKEN, fresh_token()?).await.map_err(away)?;
    session.insert(SEEN, today).await.map_err(away)?;
    Ok(())
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

/// What a page needs its reader to be. A page names it in its arguments, or gets no workspace.
pub trait AtLeast: Send + Sync + 'static {
    /// The role.
    const ROLE: MemberRole;
}

/// May look.
pub struct Viewer;
/// May write posts.
pub struct Author;
/// May connect accounts and disconnect them, and manage keys.
pub struct Admin;

impl AtLeast for Viewer {
    const ROLE: MemberRole = MemberRole::Viewer;
}

impl AtLeast for Admin {
    const ROLE: MemberRole = MemberRole::Admin;
}

impl AtLeast for Author {
    const ROLE: MemberRole = MemberRole::Author;
}

/// Somebody signed in, in one workspace, who may do what the page needs.
pub struct Seat<R: AtLeast> {
    /// The person there.
    pub member: Member,
    /// Everywhere they are a member.
    pub memberships: Vec<Member>,
    /// What a form of theirs carries.
    pub token: String,
    /// What their deeds are written down under.
    pub who: Who,
    needs: PhantomData<R>,
}

/// Why somebody gets no seat.
pub enum Turned {
    /// They are not signed in.
    ToSignIn(String),
    /// They may not, or the house is not ready.
    Away(Problem),
}

impl From<Problem> for Turned {
    fn from(problem: Problem) -> Self {
        Self::Away(problem)
    }
}

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        match self {
            Self::ToSignIn(address) => Redirect::to(&address).into_response(),
            Self::Away(problem) => problem.into_response(),
        }
    }
}

impl<R: AtLeast> Seat<R> {
    /// Whether a form carries this person's token.
    ///
    /// # Errors
    /// 403: it does not.
    pub fn check(&self, token: &str) -> Result<(), Problem> {
        if same_token(token, &self.token) { Ok(()) } else { Err(Problem::forbidden(ENGLISH.csrf)) }
    }

    /// Whether they may connect accounts and disconnect them.
    pub fn may_connect(&self) -> bool {
        self.member.role.covers(MemberRole::Admin)
    }

    /// Whether they may write posts.
    pub fn may_write(&self) -> bool {
        self.member.role.covers(MemberRole::Author)
    }
}

impl<R: AtLeast> FromRequestParts<Arc<App>> for Seat<R> {
    type Rejection = Turned;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Turned> {
        let session = parts.extensions.get::<Session>().cloned().ok_or_else(Problem::internal)?;
        let person: Option<Uuid> = session.get(PERSON).await.map_err(away)?;
        let Some(person) = person else { return Err(turned(parts)) };
        app.limits.of_person(person)?;
        let token = session.get(TOKEN).await.map_err(away)?.unwrap_or_default();
        let workspace: Option<Uuid> = session.get(WORKSPACE).await.map_err(away)?;
        renew(&session, super::today(app)).await?;
        let memberships = app.house.ledger.memberships(person).await.map_err(Problem::from)?;
        let chosen = memberships.iter().find(|member| Some(member.workspace_id) == workspace);
        let member = chosen.or(memberships.first()).cloned();
        let member = member.ok_or_else(|| Problem::forbidden(ENGLISH.no_workspace))?;
        if !member.role.covers(R::ROLE) {
            return Err(Problem::forbidden(fill(ENGLISH.role_lacks, &[R::ROLE.word()])).into());
        }
        let address = whence::address(app.house.web.client_address, &parts.headers, &parts.extensions);
        let who = Who { actor: Actor::Person(person), address };
        Ok(Self { member, memberships, token, who, needs: PhantomData })
    }
}

/// A session is prolonged by being written; once a day is enough.
async fn renew(session: &Session, today: i64) -> Result<(), Problem> {
    let seen: Option<i64> = session.get(SEEN).await.map_err(away)?;
    if seen != Some(today) {
        session.insert(SEEN, today).await.map_err(away)?;
    }
    Ok(())
}

/// What is written is not taken along to the sign-in: its writer is told how to get it back.
fn turned(parts: &Parts) -> Turned {
    if parts.method == Method::POST && parts.uri.path().starts_with("/posts/") {
        return Problem::unauthenticated(ENGLISH.problem_signed_out_detail).into();
    }
    Turned::ToSignIn(sign_in_address(parts))
}

fn sign_in_address(parts: &Parts) -> String {
    let wanted =
        if parts.method == Method::GET { parts.uri.path_and_query().map(ToString::to_string) } else { None };
    // what a dialog brought back is of that session, and stands in no other address
    let wanted = wanted.map(|path| if path.starts_with("/connect/") { "/accounts".to_owned() } else { path });
    match wanted.filter(|path| path != "/") {
        None => "/sign-in".to_owned(),
        Some(path) => {
            let query =
                url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &path).finish();
            format!("/sign-in?{query}")
        }
    }
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
