//! Help in writing and judging posts: what a provider of AI is asked, what may go there, and what it may cost.
//!
//! Whatever leaves is put together here and written down by its names, sizes and digests before it goes. What comes
//! back is words: they are measured as what somebody typed would be, shown to people, and never published of
//! themselves.

pub mod asking;
pub mod caption;
mod claims;
pub mod figures;
mod film;
pub mod money;
pub mod prompts;
mod question;
pub mod results;
pub mod review;
#[cfg(test)]
mod trial;
pub mod words;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    contract::{Failure, JobError},
    desk::File,
};
use figures::Figure;
use money::{Micros, Tariff, Usage};
use words::{Authored, FromNetwork};

pub use film::{Cuts, Film};
pub use question::{Holds, Part, Question, Sent};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Words for a post.
    Caption,
    /// A film, or pictures, looked at before they go out.
    VideoReview,
    /// What a post, or a month of an account, has come to, in words.
    Results,
}

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Caption, Self::VideoReview, Self::Results];

    /// The API's and the ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Caption => "caption",
            Self::VideoReview => "video_review",
            Self::Results => "results",
        }
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }
}

/// The languages that are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    /// Hebrew.
    #[serde(rename = "he")]
    Hebrew,
    /// English.
    #[serde(rename = "en")]
    English,
}

impl Language {
    /// Every language.
    pub const ALL: &'static [Self] = &[Self::Hebrew, Self::English];

    /// The API's and the ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hebrew => "he",
            Self::English => "en",
        }
    }

    /// What the provider is told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hebrew => "Hebrew",
            Self::English => "English",
        }
    }

    /// The language of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|language| language.word() == word)
    }

    /// Whether a text can be of this language: it has letters of its script, where it has letters at all.
    pub fn wrote(self, text: &str) -> bool {
        let mut letters = text.chars().filter(|letter| letter.is_alphabetic()).peekable();
        letters.peek().is_none() || letters.any(|letter| self.has(letter))
    }

    fn has(self, letter: char) -> bool {
        match self {
            Self::Hebrew => ('\u{5d0}'..='\u{5ea}').contains(&letter),
            Self::English => letter.is_ascii_alphabetic(),
        }
    }
}

/// What a workspace lets be done. What it does not say, `[analysis]` of `worker.toml` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether anything is asked of the provider at all.
    pub enabled: bool,
    /// Whether files go there.
    pub media: bool,
    /// Whether what networks have counted goes there. An agency's never does: it has promised so.
    pub numbers: bool,
    /// What a month may cost: nothing is asked that could cost more.
    pub monthly: Micros,
}

/// An analysis as the holder of its job sees it.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub workspace_id: Uuid,
    /// What is asked for.
    pub kind: Kind,
    /// In which language.
    pub language: Language,
    /// For which networks, by their names.
    pub platforms: Vec<String>,
    /// What somebody wrote it is about.
    pub brief: Authored,
    /// What somebody wrote about the workspace's brand.
    pub brand: Authored,
    /// The files it is about, in order.
    pub media: Vec<Material>,
    /// What was counted of what its results are asked of.
    pub figures: FromNetwork<Vec<Figure>>,
    /// The first day of the month that they are of; none: they are of a post.
    pub month: Option<NaiveDate>,
    /// What the workspace lets be done.
    pub policy: Policy,
    /// What networks call the workspace's accounts, and who works there: it is held back where it stands among somebody's
    /// words.
    pub names: Vec<FromNetwork<String>>,
    /// Networks' ids of accounts and posts: nothing that has one in it leaves.
    pub ids: Vec<FromNetwork<String>>,
}

/// A file that an analysis is about.
#[derive(Debug, Clone)]
pub struct Material {
    /// It.
    pub file: File,
    /// How long a film is, in milliseconds.
    pub duration_ms: Option<u64>,
}

/// How an analysis ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With a result.
    Done,
    /// The model would not.
    Refused,
    /// The answer was cut: it was too long, or a filter stopped it.
    Cut,
    /// What was answered is not what was asked for, twice.
    Invalid,
    /// It could cost more than is left of the month's budget.
    OverBudget,
    /// The house's own account at the provider is used up.
    Quota,
    /// The workspace does not want it, or what is asked for must not leave.
    Withheld,
    /// It came to nothing.
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: &'static [Self] = &[
        Self::Done,
        Self::Refused,
        Self::Cut,
        Self::Invalid,
        Self::OverBudget,
        Self::Quota,
        Self::Withheld,
        Self::Failed,
    ];

    /// The API's and the ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Cut => "cut",
            Self::Invalid => "invalid",
            Self::OverBudget => "over_budget",
            Self::Quota => "quota",
            Self::Withheld => "withheld",
            Self::Failed => "failed",
        }
    }

    /// The outcome of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|outcome| outcome.word() == word)
    }
}

/// The end of an analysis, as it is kept.
#[derive(Debug, Clone)]
pub struct End {
    /// How.
    pub outcome: Outcome,
    /// What is shown.
    pub result: Option<Value>,
    /// Why there is none.
    pub failure: Option<Failure>,
    /// What it was asked with, by name and version.
    pub prompt: Option<&'static str>,
    /// Who was asked.
    pub model: Option<String>,
    /// The answer had been paid for before.
    pub cached: bool,
}

impl End {
    /// One without a result.
    pub fn without(outcome: Outcome, failure: Failure) -> Self {
        Self { outcome, result: None, failure: Some(failure), prompt: None, model: None, cached: false }
    }

    /// The same, asked with this.
    #[must_use]
    pub fn asked(self, prompt: &'static str, model: &str) -> Self {
        Self { prompt: Some(prompt), model: Some(model.to_owned()), ..self }
    }
}

/// Why an answer was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It grew longer than it may.
    TooLong,
    /// A filter of the provider's stopped it.
    Filtered,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The model's words.
    Answer(String, Usage),
    /// It would not, in its words.
    Refusal(String, Usage),
    /// The answer is not whole.
    Cut(Cut, Usage),
    /// The provider answered no, or nothing was sent: it costs nothing.
    Unpaid(Failure),
    /// The house's own account there is used up: it costs nothing.
    NoQuota(Failure),
    /// Nobody knows whether it was answered and is paid for.
    Lost(Failure),
}

/// Who is asked.
#[async_trait]
pub trait Analyst: Send + Sync {
    /// The model, as the provider names it.
    fn model(&self) -> &str;

    /// What it takes.
    fn tariff(&self) -> Tariff;

    /// What understands speech.
    fn speech_model(&self) -> &str;

    /// What tells whether something may be shown.
    fn moderation_model(&self) -> &str;

    /// Asks once, under this call's id.
    async fn ask(&self, call: Uuid, question: &Question, within: Duration) -> Heard;

    /// Asks once what is said, in whatever language: what the review is written in says nothing of that. The answer is
    /// `{"said": […]}`, each with `from_ms`, `until_ms` and `text`.
    async fn transcribe(&self, call: Uuid, sound: &Part, within: Duration) -> Heard;

    /// Asks once whether something may be shown. The answer is `{"categories": […]}`, empty where it may.
    async fn moderate(&self, call: Uuid, part: &Part, within: Duration) -> Heard;
}

/// A question of one analysis, as it is known by.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// Of which analysis.
    pub analysis: &'a Analysis,
    /// The prompt's name and version.
    pub prompt: &'static str,
    /// Who is asked.
    pub model: &'a str,
    /// The question's digest.
    pub digest: [u8; 32],
    /// What it was answered with before and cannot be used any more.
    pub useless: Option<String>,
}

/// Whether a question may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// It may, under this id; what it can cost at most is set aside.
    Call(Uuid),
    /// The same is being asked just now; look again then.
    Busy(DateTime<Utc>),
    /// So much is left of the month's budget, and that is less than it can cost.
    OverBudget(Micros),
    /// It was asked as often as it may be, and this is what came of it the last time.
    TooOften(String),
    /// The model would not for this analysis, or its answer was cut: the same would be paid for again.
    InVain(Outcome, Failure),
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// In a word: `answered`, `refused`, `cut`, `invalid`, `unpaid`, `quota`, `lost`.
    pub outcome: &'static str,
    /// What was used; none: nobody knows, and all that was set aside counts.
    pub usage: Option<Usage>,
    /// What that costs.
    pub cost: Option<Micros>,
    /// The answer, to be given again to the same question.
    pub answer: Option<String>,
    /// Why it was refused or cut, for whoever would ask it again.
    pub error: Option<Failure>,
}

/// What is kept of analyses, bound to one claim. What was paid for is evidence: it is kept whoever holds the claim.
#[async_trait]
pub trait Analyses: Send + Sync {
    /// The analysis, while it is open.
    async fn look(&self, id: Uuid) -> Result<Option<Analysis>, JobError>;

    /// What the same question was answered with before.
    async fn answered(&self, asked: &Asked<'_>) -> Result<Option<String>, JobError>;

    /// Sets aside what a question can cost, durably, before it is asked.
    async fn reserve(
        &self,
        asked: &Asked<'_>,
        sent: &[Sent],
        most: Micros,
        within: Duration,
    ) -> Result<Reserved, JobError>;

    /// Keeps what became of a call. Not fenced, idempotent.
    async fn settle(&self, call: Uuid, settled: &Settled) -> Result<(), JobError>;

    /// Ends the analysis.
    async fn end(&self, id: Uuid, end: &End) -> Result<(), JobError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_of_a_language_whose_letters_it_has() {
        assert!(Language::Hebrew.wrote("לחם טרי 🥖 Fresh"));
        assert!(!Language::Hebrew.wrote("fresh bread"));
        assert!(Language::English.wrote("fresh bread") && !Language::English.wrote("לחם טרי"));
        assert!(Language::Hebrew.wrote("🥖 50"), "where there are no letters there is no language");
    }
}
