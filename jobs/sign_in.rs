//! The port through which people sign in who are known elsewhere.

use async_trait::async_trait;

use crate::contract::Failure;

/// A sign-in that was begun. All of it is kept with the browser's session, and used once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Where the browser goes.
    pub address: String,
    /// Comes back with the browser: what comes back with another was not begun here.
    pub state: String,
    /// Stands in the identity, so that it was made for this sign-in and no other.
    pub nonce: String,
    /// Shown only when the code is exchanged, so that a code that was seen is worth nothing.
    pub verifier: String,
}

/// Somebody, as the provider knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who says so.
    pub issuer: String,
    /// What they call the person; never anybody else's.
    pub subject: String,
    /// An address of theirs that the provider has verified.
    pub email: String,
    /// Whether the provider manages that address itself, and so knows that it is still theirs.
    pub vouched: bool,
    /// Given name, if it is told.
    pub first_name: Option<String>,
    /// Family name, likewise.
    pub last_name: Option<String>,
}

/// Signs people in elsewhere.
#[async_trait]
pub trait SignIn: Send + Sync {
    /// Begins a sign-in, after which the browser comes back to `back`. `again`: who is signed in is to show that it is they, so
    /// the provider does not answer by itself.
    ///
    /// # Errors
    /// The provider is away.
    async fn begin(&self, back: &str, again: bool) -> Result<Begun, Failure>;

    /// Who has signed in: exchanges what the browser came back to `back` with.
    ///
    /// # Errors
    /// The provider is away; or, `Class::Permanent`, this is nobody who may come in: `hosted_domain`, `email_unverified`,
    /// or `identity`.
    async fn finish(&self, back: &str, code: &str, begun: &Begun) -> Result<Identity, Failure>;
}
