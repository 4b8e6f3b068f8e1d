//! Something in a request that cannot be taken: where, what, and what could be said instead.

use jobs::preflight::Who;
use serde::Serialize;
use utoipa::ToSchema;

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, ToSchema)]
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

/// The most things that one answer lists.
pub const MOST: usize = 100;
/// The word for how many there were besides.
pub const MORE: &str = "more";

/// What is found while something is read: only so much of it is kept, the rest is counted.
#[derive(Debug, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    more: usize,
}

impl Findings {
    /// One more.
    pub fn push(&mut self, finding: Finding) {
        if self.kept.len() < MOST {
            self.kept.push(finding);
        } else {
            self.more += 1;
        }
    }

    /// All that is kept, and how many there were besides.
    pub fn all(mut self) -> Vec<Finding> {
        self.kept.extend(and_more(self.more));
        self.kept
    }
}

/// How many there were besides, if any.
pub fn and_more(more: usize) -> Option<Finding> {
    let detail = || format!("And {more} more. Mend these first.");
    (more > 0).then(|| Finding::new("body", MORE, detail()))
}

/// So many of them that an answer stays short, and how many there were besides.
pub fn listed(findings: Vec<Finding>) -> Vec<Finding> {
    // what its reader has counted says so last
    let (counted, mut listed): (Vec<_>, Vec<_>) = findings.into_iter().partition(|it| it.code == MORE);
    let more = listed.len().saturating_sub(MOST);
    listed.truncate(MOST);
    listed.extend(and_more(more));
    listed.extend(counted);
    listed
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_lists_so_many_and_counts_the_others() {
        let mut found = Findings::default();
        (0..MOST + 7).for_each(|n| found.push(Finding::new(n.to_string(), "type", "no")));
        let found = found.all();
        assert_eq!((found.len(), &found[MOST].detail[..10]), (MOST + 1, "And 7 more"));
        let both = listed([found, vec![Finding::new("caption", "type", "no"); 3]].concat());
        let last: Vec<&str> = both[MOST..].iter().map(|it| it.detail.as_str()).collect();
        assert_eq!(last, ["And 3 more. Mend these first.", "And 7 more. Mend these first."]);
        assert_eq!(listed(vec![Finding::new("caption", "type", "no")]).len(), 1);
    }
}
