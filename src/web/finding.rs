//! Something in a request that cannot be taken: where, what, and what could be said instead.

use jobs::preflight::Who;
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
    /// Who can mend it.
    #[serde(skip)]
    pub who_acts: Who,
}

impl Finding {
    /// A finding with nothing to choose from, that whoever wrote the request can mend.
    pub fn new(field: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        let (field, detail) = (field.into(), detail.into());
        Self { field, code, detail, accepted: Vec::new(), who_acts: Who::Author }
    }

    /// The same, for somebody else to mend.
    #[must_use]
    pub fn for_whom(mut self, who_acts: Who) -> Self {
        self.who_acts = who_acts;
        self
    }

    /// The same, with what would be taken.
    #[must_use]
    pub fn accepting<I: IntoIterator<Item = S>, S: Into<String>>(mut self, accepted: I) -> Self {
        self.accepted = accepted.into_iter().map(Into::into).collect();
        self
    }
}
