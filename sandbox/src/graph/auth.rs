//! Who may do what: tokens, their states, the proof of the app secret.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Asked, GraphError};
use crate::model::{Account, TokenState};
use crate::state::Sandbox;
use crate::world::World;

/// Checks that the call's token works at all, and gives it back.
pub fn any(sandbox: &Sandbox, asked: &Asked) -> Result<String, GraphError> {
    let token = asked
        .token
        .clone()
        .ok_or_else(|| GraphError::new(190, "An access token is required to request this resource."))?;
    // an app's own token is its id and its secret; it reaches no account
    if token.contains('|') {
        return Ok(token);
    }
    let state = state_of(&sandbox.book().world, &token);
    check_state(state)?;
    check_proof(sandbox, asked, &token)?;
    Ok(token)
}

/// Checks that the call's token works and reaches this account.
pub fn owner(sandbox: &Sandbox, asked: &Asked, account: &str) -> Result<(), GraphError> {
    let token = any(sandbox, asked)?;
    let book = sandbox.book();
    match book.world.accounts.get(account) {
        Some(found) if found.access_token == token => Ok(()),
        Some(_) | None => Err(GraphError::missing(account)),
    }
}

/// Checks that whoever granted the access to this account granted this permission with it.
pub fn granted(sandbox: &Sandbox, account: &str, permission: &str) -> Result<(), GraphError> {
    let book = sandbox.book();
    let account = book.world.accounts.get(account);
    if account.is_some_and(|account| withheld(&book.world, account, permission)) {
        let message = format!("(#10) This action needs the permission {permission}, which was not granted");
        return Err(GraphError::new(10, message));
    }
    Ok(())
}

/// Whether whoever granted the access to this account kept this permission back.
pub fn withheld(world: &World, account: &Account, permission: &str) -> bool {
    world.settings.declined_scopes.iter().chain(&account.withheld).any(|withheld| withheld == permission)
}

/// What a token answers; none if nobody was ever given it.
pub fn state_of(world: &World, token: &str) -> Option<TokenState> {
    let known = world.accounts.values().any(|account| account.access_token == token)
        || world.granted_by(token).next().is_some();
    world.tokens.get(token).copied().or(known.then_some(TokenState::Valid))
}

/// The error that a token in this state answers.
pub fn check_state(state: Option<TokenState>) -> Result<(), GraphError> {
    let refused = |subcode, message: &str| {
        Err(GraphError::new(190, format!("Error validating access token: {message}")).with_subcode(subcode))
    };
    match state {
        Some(TokenState::Valid) => Ok(()),
        Some(TokenState::Expired) => refused(463, "Session has expired."),
        Some(TokenState::Revoked) => refused(458, "The user has not authorized application."),
        Some(TokenState::Subcode(subcode)) => refused(subcode, "The session has been invalidated."),
        None => Err(GraphError::new(190, "Invalid OAuth access token - Cannot parse access token")),
    }
}

fn check_proof(sandbox: &Sandbox, asked: &Asked, token: &str) -> Result<(), GraphError> {
    let (Some(secret), Some(proof)) = (&sandbox.rules.meta_app_secret, asked.params.text("appsecret_proof"))
    else {
        return Ok(());
    };
    let signed = match asked.params.text("appsecret_time") {
        Some(time) => format!("{token}|{time}"),
        None => token.to_owned(),
    };
    if proof == proof_of(secret, &signed) {
        Ok(())
    } else {
        Err(GraphError::new(100, "Invalid appsecret_proof provided in the API argument"))
    }
}

/// Lower-case hex of HMAC-SHA256, keyed with the app's secret.
fn proof_of(secret: &str, message: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(message.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_published_vector() {
        let proof = proof_of("0123456789abcdef0123456789abcdef", "EAATESTTOKEN");
        assert_eq!(proof, "99cbac345910084e738e780a0d5a02f2421ea86e53d6f64eff41e367a76944c6");
    }
}
