//! Taking a grant back: everything that a person has granted the app, at once.
//!
//! "Permissions" of Meta's documents: `DELETE /{user}/permissions`. It ends the person's token and every token of a Page
//! that came of it. Repeating it does no harm. A token that has ended takes nothing back, but the app itself may, where it knows of
//! whom.

use async_trait::async_trait;
use jobs::{
    contract::{Class, Failure},
    desk::Call,
    forgetting::{Revocation, Revoking},
};
use secrecy::ExposeSecret;

use super::Graph;
use crate::networks::http::Deadline;

/// The person has taken the app off.
const REMOVED: &str = "190/458";

#[async_trait]
impl Revoking for Graph {
    fn knows_people(&self) -> bool {
        true
    }

    async fn revoke(&self, call: &Call<'_>, subject: Option<&str>) -> Revocation {
        let deadline = Deadline::of(call);
        let by_token = if call.token.expose_secret().is_empty() {
            Revocation::Already(Failure::new(Class::Auth, "190", "no token is left"))
        } else {
            self.take_back(call, deadline, subject.unwrap_or("me")).await
        };
        let Some(person) = subject.filter(|_| is_of_the_token(&by_token)) else { return by_token };
        let as_app = Call { token: &self.app, ..*call };
        match self.take_back(&as_app, deadline, person).await {
            // that the app's own token is refused says nothing of the grant
            said if is_of_the_token(&said) => Revocation::Not(unsaid()),
            said => said,
        }
    }
}

impl Graph {
    async fn take_back(&self, call: &Call<'_>, deadline: Deadline, person: &str) -> Revocation {
        match self.delete(call, deadline, &[person, "permissions"]).await {
            // older versions answer with the bare word
            Ok(body) if body["success"] == true || body == true => Revocation::Revoked,
            Ok(_) => Revocation::Not(unsaid()),
            Err(fault) => read(fault.into_failure()),
        }
    }
}

/// Whether only the token that asked is no good: a grant outlives its tokens, and the app may still take it back.
fn is_of_the_token(said: &Revocation) -> bool {
    matches!(said, Revocation::Already(failure) if failure.code != REMOVED)
}

/// Only that the token itself is no good counts as taken back before.
fn read(failure: Failure) -> Revocation {
    match failure.class {
        Class::Auth => Revocation::Already(failure),
        Class::Permission | Class::Permanent | Class::Rate | Class::Transient | Class::Unknown => {
            Revocation::Not(failure)
        }
    }
}

fn unsaid() -> Failure {
    Failure::new(Class::Transient, "unreadable", "the answer does not say whether the grant was taken back")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dead_token_was_taken_back_before() {
        for (class, already) in [
            (Class::Auth, true),
            (Class::Permission, false),
            (Class::Permanent, false),
            (Class::Rate, false),
            (Class::Transient, false),
            (Class::Unknown, false),
        ] {
            let read = read(Failure::new(class, "1", "no"));
            assert_eq!(matches!(read, Revocation::Already(_)), already, "{class:?}");
        }
    }
    #[test]
    fn a_token_that_has_ended_is_not_a_grant_that_is_gone() {
        let said = |code: &str| Revocation::Already(Failure::new(Class::Auth, code, "no"));
        assert!(is_of_the_token(&said("190/463")) && is_of_the_token(&said("190")));
        assert!(!is_of_the_token(&said(REMOVED)) && !is_of_the_token(&Revocation::Revoked));
    }
}
