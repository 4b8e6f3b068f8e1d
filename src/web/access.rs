//! Who asks, through the API: a key, its workspace and what it may do.

use std::{marker::PhantomData, sync::Arc};

use axum::{extract::FromRequestParts, http::header, http::request::Parts};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{App, problem::Problem, whence};
use crate::ledger::{
    Ledger,
    audit::{Actor, Who},
    keys::{self, ApiKey, Scope},
};

/// What a route needs a key to be allowed. A route names it in its arguments, or gets no workspace.
pub trait Needs: Send + Sync + 'static {
    /// The scope.
    const SCOPE: Scope;
}

macro_rules! needs {
    ($($(#[$doc:meta])* $name:ident)+) => {
        $($(#[$doc])* pub struct $name;
        impl Needs for $name { const SCOPE: Scope = Scope::$name; })+
    };
}

needs! {
    /// Reads posts.
    PostsRead
    /// Writes posts.
    PostsWrite
    /// Uploads and reads media.
    MediaWrite
    /// Reads accounts.
    AccountsRead
    /// Disconnects and refreshes accounts.
    AccountsWrite
    /// Reads metrics.
    MetricsRead
    /// Asks for analyses and reads them.
    AnalysesWrite
    /// Asks for deletions.
    PrivacyWrite
    /// Looks at jobs.
    JobsRead
    /// Retries, cancels and pauses jobs.
    JobsWrite
    /// Manages webhooks.
    WebhooksWrite
}

/// A key that may do what the route needs, in its workspace.
pub struct Caller<N: Needs> {
    /// The key.
    pub key_id: Uuid,
    /// The workspace it opens.
    pub workspace_id: Uuid,
    /// What its deeds are written down under.
    pub who: Who,
    /// The ledger, bound to the workspace.
    pub ledger: Ledger,
    needs: PhantomData<N>,
}

impl<N: Needs> FromRequestParts<Arc<App>> for Caller<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let (key, _) = key(parts, app).await?;
        let Some(workspace_id) = key.workspace_id else {
            return Err(Problem::forbidden(
                "This is an operator's key, for queue-wide work; this route needs a workspace's key.",
            ));
        };
        allowed::<N>(&key)?;
        let who = who(parts, app, &key);
        let ledger = app.within(workspace_id).of(who);
        Ok(Self { key_id: key.id, workspace_id, who, ledger, needs: PhantomData })
    }
}

/// A key that may do what the route needs: in its workspace, or an operator's everywhere.
pub struct Operator<N: Needs> {
    /// The workspace it opens; `None` is all there are.
    pub workspace_id: Option<Uuid>,
    /// The ledger, bound to that workspace, or to none; its deeds are written down as this key's.
    pub ledger: Ledger,
    needs: PhantomData<N>,
}

impl<N: Needs> FromRequestParts<Arc<App>> for Operator<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let (key, _) = key(parts, app).await?;
        allowed::<N>(&key)?;
        let ledger = ledger(parts, app, &key);
        Ok(Self { workspace_id: key.workspace_id, ledger, needs: PhantomData })
    }
}

impl<N: Needs> Operator<N> {
    /// Under whose name answers are kept: an operator's are the house's.
    pub fn name(&self) -> Uuid {
        self.workspace_id.unwrap_or(jobs::HOUSE)
    }
}

/// Any key, whatever it may do; not a pass, which begets no others.
pub struct Holder {
    /// The key.
    pub key: ApiKey,
    /// The ledger, bound to its workspace where it has one; its deeds are written down as this key's.
    pub ledger: Ledger,
}

impl FromRequestParts<Arc<App>> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let (key, shown) = key(parts, app).await?;
        if shown == Shown::Pass {
            return Err(Problem::forbidden("This needs the API key itself, not a token that stands for it."));
        }
        let ledger = ledger(parts, app, &key);
        Ok(Self { key, ledger })
    }
}

/// What was shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Key,
    Pass,
}

async fn key(parts: &Parts, app: &App) -> Result<(ApiKey, Shown), Problem> {
    let shown = bearer(parts)?;
    let found = match keys::digest(&shown) {
        Some(digest) => app.house.ledger.api_key(&digest).await?.map(|key| (key, Shown::Key)),
        None => pass(app, &shown).await?.map(|key| (key, Shown::Pass)),
    };
    let unknown = "This key is unknown or has expired. Ask whoever gave it for a new one.";
    let found = found.ok_or_else(|| Problem::unauthenticated(unknown))?;
    app.limits.of_key(found.0.id)?;
    Ok(found)
}

/// What a pass opens: no more than its key does now.
async fn pass(app: &App, shown: &SecretString) -> Result<Option<ApiKey>, Problem> {
    let ledger = &app.house.ledger;
    let now = app.house.clock.now();
    let Some(claims) = app.passes.read(ledger, now, shown.expose_secret()).await? else { return Ok(None) };
    let key = ledger.key_of_pass(claims.sub, claims.jti).await?;
    Ok(key.map(|key| claims.narrow(key)))
}

fn who(parts: &Parts, app: &App, key: &ApiKey) -> Who {
    let address = whence::address(app.house.web.client_address, &parts.headers, &parts.extensions);
    Who { actor: Actor::Key(key.id), address }
}

/// The ledger as this key may see it: of its workspace, or all of it where it is an operator's.
fn ledger(parts: &Parts, app: &App, key: &ApiKey) -> Ledger {
    let seen = key.workspace_id.map_or_else(|| app.house.ledger.clone(), |id| app.within(id));
    seen.of(who(parts, app, key))
}

fn allowed<N: Needs>(key: &ApiKey) -> Result<(), Problem> {
    if key.may(N::SCOPE) {
        return Ok(());
    }
    let detail = format!("This key lacks the scope {}. Use a key that has it.", N::SCOPE.word());
    Err(Problem::forbidden(detail))
}

fn bearer(parts: &Parts) -> Result<SecretString, Problem> {
    let value = parts.headers.get(header::AUTHORIZATION);
    let missing = || Problem::unauthenticated("Send the API key as “Authorization: Bearer pr_…”.");
    let value = value.and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
    let (scheme, key) = value.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    Ok(SecretString::from(key.trim()))
}
