//! Taking a grant back: everything that a person has granted the app, at once.
//!
//! "Permissions" of Meta's documents: `DELETE /{user}/permissions`. It ends the person's token and every token of a Page
//! that came of it. Repeating it does no harm, and a token that is no good any more has nothing left to take back.

use async_trait::async_trait;
use jobs::{
    contract::{Class, Failure},
    desk::Call,
    forgetting::{Revocation, Revoking},
};

use super::Graph;
use crate::networks::http::Deadline;

#[async_trait]
impl Revoking for Graph {
    async fn revoke(&self, call: &Call<'_>, subject: Option<&str>) -> Revocation {
        let path = [subject.unwrap_or("me"), "permissions"];
        match self.delete(call, Deadline::of(call), &path).await {
            // older versions answer with the bare word
            Ok(body) if body["success"] == true || body == true => Revocation::Revoked,
            Ok(_) => Revocation::Not(unsaid()),
            Err(fault) => read(fault.into_failure()),
        }
    }
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
}
