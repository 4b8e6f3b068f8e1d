//! TikTok's tokens: a refresh gives a new pair and voids the old one. A refresh token that comes twice ends the grant.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::log_id;
use super::{Asked, TiktokError};
use crate::answer::Answer;
use crate::event::Event;
use crate::model::{Account, Network, TokenState};
use crate::state::{Book, Sandbox};
use crate::world::World;

/// Everything that a person may grant.
pub const SCOPES: &[&str] = &[
    "user.info.basic",
    "user.info.profile",
    "user.info.stats",
    "video.publish",
    "video.upload",
    "video.list",
];

/// How long a refresh token lives, in seconds.
const REFRESH_SECONDS: u64 = 31_536_000;

/// `POST /v2/oauth/token/`.
pub fn token(sandbox: &Sandbox, asked: &Asked) -> Answer {
    match asked.form("grant_type").as_deref() {
        Some("refresh_token") => refresh(sandbox, asked),
        Some("authorization_code") => by_code(sandbox, asked),
        Some(_) => {
            refused("unsupported_grant_type", "Only refresh_token and authorization_code are served here.")
        }
        None => refused("invalid_request", "The grant_type is missing."),
    }
}

/// `POST /v2/oauth/revoke/`: an unknown token counts as revoked.
pub fn revoke(sandbox: &Sandbox, asked: &Asked) -> Answer {
    let Some(access_token) = asked.form("token") else {
        return refused("invalid_request", "The token is missing.");
    };
    if asked.form("client_key").is_none() || asked.form("client_secret").is_none() {
        return refused("invalid_client", "Client key or secret is incorrect.");
    }
    match sandbox.book().record(Event::Token { access_token, state: TokenState::Revoked }) {
        Ok(()) => Answer::ok(json!({})),
        Err(error) => TiktokError::from(error).into(),
    }
}

/// A code for a pair, once, by the app and for the address that it was given to, and by whoever can meet the challenge.
fn by_code(sandbox: &Sandbox, asked: &Asked) -> Answer {
    let given = |name: &str| asked.form(name).unwrap_or_default();
    if given("client_secret").is_empty() {
        return refused("invalid_client", "Client key or secret is incorrect.");
    }
    let mut book = sandbox.book();
    let known = book.world.codes.get(&given("code")).filter(|code| code.network == Network::Tiktok).cloned();
    let Some(code) = known.filter(|code| !code.used) else {
        return refused("invalid_grant", "Authorization code is expired or was used.");
    };
    if code.client != given("client_key") {
        return refused("invalid_client", "The code was given to another app.");
    }
    if code.redirect_uri != given("redirect_uri") {
        return refused("invalid_request", "Redirect_uri is not matched with the uri when requesting code.");
    }
    let met = URL_SAFE_NO_PAD.encode(Sha256::digest(given("code_verifier")));
    if code.challenge.as_ref().is_some_and(|challenge| *challenge != met) {
        return refused("invalid_grant", "Code verifier or code challenge is invalid.");
    }
    let account = code.accounts.first().and_then(|id| book.world.accounts.get(id)).cloned();
    let Some(account) = account else { return refused("invalid_grant", "The user granted nothing.") };
    let used = book.record(Event::CodeUsed { code: code.code, token: String::new() });
    match used.and_then(|()| rotate(&mut book, &account)) {
        Ok(mut pair) => {
            pair["scope"] = code.granted.join(",").into();
            Answer::ok(pair)
        }
        Err(error) => TiktokError::from(error).into(),
    }
}

fn refresh(sandbox: &Sandbox, asked: &Asked) -> Answer {
    let Some(presented) = asked.form("refresh_token") else {
        return refused("invalid_request", "The refresh_token is missing.");
    };
    if asked.form("client_key").is_none() || asked.form("client_secret").is_none() {
        return refused("invalid_client", "Client key or secret is incorrect.");
    }
    let mut book = sandbox.book();
    let owner = book.world.accounts.values().find(|account| {
        account.platform == Network::Tiktok && account.refresh_token.as_ref() == Some(&presented)
    });
    let Some(account) = owner.cloned() else {
        if let Err(error) = punish(&mut book, &presented) {
            return TiktokError::from(error).into();
        }
        return refused("invalid_grant", "Refresh token is invalid or expired.");
    };
    // Whoever removed the app took the refresh token along.
    if book.world.tokens.get(&account.access_token) == Some(&TokenState::Revoked) {
        return refused("invalid_grant", "The user has revoked the authorization.");
    }
    match rotate(&mut book, &account) {
        Ok(pair) => Answer::ok(pair),
        Err(error) => TiktokError::from(error).into(),
    }
}

/// A spent token that comes again takes its successors with it.
fn punish(book: &mut Book, presented: &str) -> std::io::Result<()> {
    match book.world.spent_refresh.get(presented).cloned() {
        Some(account) if book.world.settings.tiktok_punishes_reuse => {
            book.record(Event::GrantEnded { account })
        }
        Some(_) | None => Ok(()),
    }
}

/// The account that a refresh token is of, or was.
pub fn owner(world: &World, refresh_token: &str) -> Option<String> {
    let holds = |it: &&Account| it.refresh_token.as_deref() == Some(refresh_token);
    let now = world.accounts.values().find(holds).map(|account| account.external_id.clone());
    now.or_else(|| world.spent_refresh.get(refresh_token).cloned())
}

fn rotate(book: &mut Book, account: &Account) -> std::io::Result<Value> {
    let access_token = format!("act.{}", Uuid::new_v4().simple());
    let refresh_token = format!("rft.{}", Uuid::new_v4().simple());
    book.record(Event::Rotated {
        account: account.external_id.clone(),
        access_token: access_token.clone(),
        refresh_token: refresh_token.clone(),
    })?;
    Ok(json!({
        "open_id": account.external_id,
        "scope": SCOPES.join(","),
        "access_token": access_token,
        "expires_in": book.world.settings.tiktok_access_seconds,
        "refresh_token": refresh_token,
        "refresh_expires_in": REFRESH_SECONDS,
        "token_type": "Bearer",
    }))
}

/// OAuth errors have a shape of their own.
fn refused(error: &str, description: &str) -> Answer {
    refused_with(400, error, description)
}

/// The same with another status.
pub fn refused_with(status: u16, error: &str, description: &str) -> Answer {
    Answer::numbered(status, json!({ "error": error, "error_description": description, "log_id": log_id() }))
}
