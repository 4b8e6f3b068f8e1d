//! Something in a request that cannot be taken: where, what, and what could be said instead.

use serde::Serialize;
use utoipa::ToSchema;

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// Where: `schedule.at`, `targets[0].caption`.
    pub field: String,
    /// A stable word.
    pub code: &'static str,
    /// What was found and what a person can do about it.
    pub detail: String,
    /// Values that would be taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
}

impl Finding {
    /// A finding with nothing to choose from.
    pub fn new(field: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { field: field.into(), code, detail: detail.into(), accepted: Vec::new() }
    }

    /// The same, with what would be taken.
    #[must_use]
    pub fn accepting<I: IntoIterator<Item = S>, S: Into<String>>(mut self, accepted: I) -> Self {
        self.accepted = accepted.into_iter().map(Into::into).collect();
        self
    }
}
