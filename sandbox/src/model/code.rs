//! What a dialog gives.

use serde::{Deserialize, Serialize};

use super::Network;

/// A code, which works once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Code {
    /// It.
    pub code: String,
    /// Whose dialog gave it.
    pub network: Network,
    /// The app that it was given to.
    pub client: String,
    /// Where it was brought.
    pub redirect_uri: String,
    /// What the person ticked.
    pub accounts: Vec<String>,
    /// The permissions that the person granted.
    pub granted: Vec<String>,
    /// All others: those that were declined, and those that nobody asked for.
    pub declined: Vec<String>,
    /// What only whoever began can meet.
    pub challenge: Option<String>,
    /// It has been exchanged.
    pub used: bool,
}
