//! Who sits at the desk, and whether they may do what a page is for. Every role is asked for here and nowhere else.

use std::{marker::PhantomData, sync::Arc};

use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, StatusCode, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tower_sessions::Session;
use uuid::Uuid;

use super::{
    Shell, render_as, retired,
    session::{self, Signed},
    texts::{ENGLISH, fill},
    words,
};
use crate::{
    ledger::{
        Ledger,
        approval::Word,
        audit::{Actor, Who},
        idempotency::Asked,
        people::{Member, MemberRole},
    },
    web::{App, problem::Problem, whence},
};

/// What a page needs its reader to be. A page names it in its arguments, or is no route.
pub trait AtLeast: Send + Sync + 'static {
    /// The role.
    const ROLE: MemberRole;
}

macro_rules! at_least {
    ($($(#[$doc:meta])* $name:ident)+) => {
        $($(#[$doc])* pub struct $name;
        impl AtLeast for $name { const ROLE: MemberRole = MemberRole::$name; })+
    };
}

at_least! {
    /// Looks.
    Viewer
    /// Writes posts, which wait for approval.
    Author
    /// Schedules, approves, decides what is held, cancels and takes down.
    Publisher
    /// Connects accounts, manages people and API keys.
    Admin
    /// Looks, and works on privacy requests.
    Privacy
}

/// A form that is nothing but a button.
#[derive(Deserialize)]
pub struct Button {
    /// What it carries.
    pub token: String,
}

/// Somebody signed in, in one workspace, who may do what the page needs.
pub struct Seat<R: AtLeast> {
    /// The person there.
    pub member: Member,
    /// Everywhere they are a member.
    pub memberships: Vec<Member>,
    /// What a form of theirs carries that is about this workspace.
    pub token: String,
    /// What their deeds are written down under.
    pub who: Who,
    /// The ledger, bound to the workspace.
    pub ledger: Ledger,
    session_token: String,
    needs: PhantomData<R>,
}

#[derive(Template)]
#[template(path = "no_workspace.html")]
struct NoWorkspace {
    shell: Shell,
    token: String,
}

/// Why somebody gets no seat.
pub enum Turned {
    /// They are not signed in.
    ToSignIn(String),
    /// They belong to no workspace.
    Out(Response),
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
            Self::Out(page) => page,
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
        if session::same_token(token, &self.token) { Ok(()) } else { Err(Problem::forbidden(ENGLISH.csrf)) }
    }

    /// Whether a form that is about no workspace carries a token of theirs, whichever workspace its page showed.
    ///
    /// # Errors
    /// 403: it does not.
    pub fn check_own(&self, token: &str) -> Result<(), Problem> {
        let own = is_own(token, &self.session_token, &self.memberships);
        if own { Ok(()) } else { Err(Problem::forbidden(ENGLISH.csrf)) }
    }

    /// What a form of theirs asks for, under its key. That is the form's own and its writer's: it must not meet a machine's.
    pub fn asked(&self, key: &str, route: &str, content: &[u8]) -> Asked {
        let digest = Sha256::new().chain_update(route).chain_update("\n").chain_update(content).finalize();
        let key = Sha256::new().chain_update(self.member.person_id).chain_update(key).finalize();
        Asked {
            workspace_id: self.member.workspace_id,
            key: format!("form:{}", hex::encode(key)),
            digest: digest.into(),
        }
    }

    /// What they may say to what they write: whoever publishes approves it by writing it.
    pub fn word(&self) -> Word {
        let by = self.member.person_id;
        if self.may(MemberRole::Publisher) { Word::Approves(by) } else { Word::Asks(by) }
    }

    /// Whether they may do what this role may.
    pub fn may(&self, role: MemberRole) -> bool {
        self.member.role.covers(role)
    }
}

impl<R: AtLeast> FromRequestParts<Arc<App>> for Seat<R> {
    type Rejection = Turned;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Turned> {
        let session = parts.extensions.get::<Session>().cloned().ok_or_else(Problem::internal)?;
        let signed = session::signed(&session, app.house.clock.now()).await?;
        let Some(Signed { person, token, workspace }) = signed else { return Err(turned(parts)) };
        app.limits.of_person(person)?;
        let memberships = app.house.ledger.memberships(person).await.map_err(Problem::from)?;
        let chosen = memberships.iter().find(|member| Some(member.workspace_id) == workspace);
        let member = chosen.or(memberships.first()).cloned();
        let Some(mut member) = member else { return Err(homeless(app, &parts.headers, token)) };
        let ledger = &app.house.ledger;
        member.role = retired::know_role(&session, ledger, member.workspace_id, member.role).await?;
        if !member.role.covers(R::ROLE) {
            return Err(lacking(app, &member, R::ROLE).await.into());
        }
        let address = whence::address(app.house.web.client_address, &parts.headers, &parts.extensions);
        let who = Who { actor: Actor::Person(person), address };
        let ledger = app.within(member.workspace_id).of(who);
        let session_token = token;
        let token = token_there(&session_token, &member);
        Ok(Self { member, memberships, token, who, ledger, session_token, needs: PhantomData })
    }
}

/// What a form about that workspace carries: one that was open while they went on to another changes nothing there.
fn token_there(session_token: &str, member: &Member) -> String {
    hex::encode(Sha256::new().chain_update(session_token).chain_update(member.workspace_id).finalize())
}

/// Whether a form is of this session, whichever page it stood on.
pub fn is_own(given: &str, session_token: &str, memberships: &[Member]) -> bool {
    let is_of = |member: &Member| session::same_token(given, &token_there(session_token, member));
    session::same_token(given, session_token) || memberships.iter().any(is_of)
}

/// Who belongs nowhere can only leave.
fn homeless(app: &App, headers: &HeaderMap, token: String) -> Turned {
    let page = NoWorkspace { shell: Shell::anonymous(app, headers), token };
    render_as(StatusCode::FORBIDDEN, &page).map_or_else(Turned::Away, Turned::Out)
}

/// Says which role it takes, and who can give it.
async fn lacking(app: &App, member: &Member, role: MemberRole) -> Problem {
    let t = &ENGLISH;
    let admins = match app.within(member.workspace_id).administrators(member.workspace_id).await {
        Ok(admins) => admins,
        Err(error) => return error.into(),
    };
    let who = if admins.is_empty() { t.role_nobody.to_owned() } else { admins.join(", ") };
    let (needed, own) = (words::role(t, role), words::role(t, member.role));
    Problem::forbidden(fill(t.role_lacks, &[needed, &member.workspace_name, own, &who]))
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
        Some(path) => sign_in_for(&path),
    }
}

/// The sign-in that leads on to this path.
pub fn sign_in_for(path: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", path).finish();
    format!("/sign-in?{query}")
}

/// Whether the person of this session is the one of that id, for pages that anybody may look at.
pub async fn is(session: &Session, app: &App, person: Uuid) -> Result<bool, Problem> {
    let signed = session::signed(session, app.house.clock.now()).await?;
    Ok(signed.is_some_and(|signed| signed.person == person))
}
