//! The port through which letters go out.

use async_trait::async_trait;
use uuid::Uuid;

use crate::contract::Failure;

/// A letter, as it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// Its name: the same however often it is sent, so that whoever gets it twice sees it once.
    pub id: Uuid,
    /// An address and nothing else.
    pub to: &'a str,
    /// What it is about, in words of ours.
    pub subject: &'a str,
    /// What it says, as plain text.
    pub body: &'a str,
}

/// What brings letters out.
#[async_trait]
pub trait Mail: Send + Sync {
    /// Hands a letter over; when this returns, somebody else answers for it.
    ///
    /// # Errors
    /// It is not taken: `Class::Permanent` where it never will be.
    async fn send(&self, letter: &Letter<'_>) -> Result<(), Failure>;
}
