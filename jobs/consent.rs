//! What data is used for beyond bringing out posts, and may be forbidden to be used for at any time.

use crate::contract::{Class, Failure};

/// A purpose that a workspace may withdraw its consent to. A kind that serves one says so ([`crate::contract::Job::PURPOSE`]),
/// and none of its jobs runs where it is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Captions and reviews by a provider of artificial intelligence.
    Ai,
    /// What networks have counted.
    Analytics,
}

impl Purpose {
    /// Every one.
    pub const ALL: &'static [Self] = &[Self::Ai, Self::Analytics];

    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ai => "ai",
            Self::Analytics => "analytics",
        }
    }

    /// The purpose of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|purpose| purpose.word() == word)
    }

    /// What a job ends with whose workspace does not want this: nothing was sent.
    pub fn refusal(self) -> Failure {
        let why = format!("the workspace has withdrawn its consent to {}; nothing was sent", self.word());
        Failure::new(Class::Permanent, "consent_withdrawn", why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_is_read_as_it_is_written() {
        for purpose in Purpose::ALL {
            assert_eq!(Purpose::parse(purpose.word()), Some(*purpose));
        }
        assert_eq!(Purpose::parse("advertising"), None);
    }
}
