//! What may stand in a post's way although its network's rules allow it: the account, its access, and what the
//! network has lately said of it.
//!
//! Read at the door before a post is accepted, and by the worker again before its time, so that both say the same.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    contract::{Class, Failure},
    machine::State,
};

/// Access has to outlast the moment of publishing by this much: arming asks for about as much.
const ACCESS_MARGIN: TimeDelta = TimeDelta::minutes(15);
/// Networks count what an account publishes over so long.
const QUOTA_SPAN: TimeDelta = TimeDelta::hours(24);

/// Whether an account may be published on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountState {
    /// It may.
    Active,
    /// Somebody rests it.
    Paused,
    /// Its access is broken until the owner connects it again.
    Reconnect,
    /// A deletion is under way.
    Frozen,
    /// Deleted; only its id is left.
    Erased,
}

impl AccountState {
    /// Every state.
    pub const ALL: &'static [Self] =
        &[Self::Active, Self::Paused, Self::Reconnect, Self::Frozen, Self::Erased];

    /// The API's and the ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Reconnect => "reconnect",
            Self::Frozen => "frozen",
            Self::Erased => "erased",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.word() == word)
    }
}

/// Whether a publication still waits for its time, so that what is found can be mended before.
pub const fn is_ahead(state: State) -> bool {
    match state {
        State::Scheduled | State::Preparing | State::Prepared | State::Waiting | State::RetryWait => true,
        State::Armed | State::Unknown | State::Published | State::Held | State::Failed | State::Cancelled => {
            false
        }
    }
}

/// Who can mend something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Whoever writes the post.
    Author,
    /// Whoever owns the account at the network.
    Owner,
    /// An administrator of the workspace.
    Staff,
    /// Whoever runs this house.
    Operator,
    /// Nobody: it passes by itself.
    Postroom,
}

impl Who {
    /// The API's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Owner => "owner",
            Self::Staff => "staff",
            Self::Operator => "operator",
            Self::Postroom => "postroom",
        }
    }
}

/// Something that stands in the way, or may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which part of the post: `account_id`, `media_ids`, `caption`, `options.privacy_level`.
    pub field: String,
    /// A stable word.
    pub code: String,
    /// What was found, and what can be done about it.
    pub detail: String,
    /// Values that would be taken.
    #[serde(default)]
    pub accepted: Vec<String>,
    /// Who can mend it.
    pub who_acts: Who,
    /// Another post that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_id: Option<Uuid>,
}

impl Finding {
    /// A finding with nothing to choose from.
    pub fn new(field: &str, code: &str, detail: String, who_acts: Who) -> Self {
        let (field, code) = (field.to_owned(), code.to_owned());
        Self { field, code, detail, accepted: Vec::new(), who_acts, post_id: None }
    }

    /// Another post says the same to this account, at that time.
    pub fn repeats(account: &str, post_id: Uuid, at: DateTime<Utc>) -> Self {
        let detail = format!(
            "Another post says the same to “{account}” with the same files and link at {} (post {post_id}). Networks may \
             refuse or hide a repetition.",
            at.format("%Y-%m-%d %H:%M UTC")
        );
        let finding = Self::new("account_id", Self::REPETITION, detail, Who::Author);
        Self { post_id: Some(post_id), ..finding }
    }

    /// The code of a repetition.
    pub const REPETITION: &str = "duplicate";

    /// What keeps a post from going out, in a few words that name nobody; `None`: with this code it goes out all the
    /// same, or waits by itself until it can.
    pub fn stopping(code: &str) -> Option<&'static str> {
        STOPPING.iter().find(|(known, _)| *known == code).map(|(_, what)| *what)
    }
}

/// The codes of what keeps a post from going out unless somebody mends it, and what that is.
const STOPPING: &[(&str, &str)] = &[
    ("account_not_active", "the account is not active"),
    ("access_ends", "the access to the account ends before that"),
    ("access_lacks", "the access to the account lacks a permission"),
    ("access_refused", "its network refuses the access to the account"),
    ("privacy_level_not_offered", "its network does not offer the account who is to see it"),
    ("media_too_long_for_account", "a film of it is too long for the account"),
    ("media_missing", "a file of it is not in the media store any more"),
];

/// An account that a post is to go to.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What people call it.
    pub name: &'a str,
    /// Whether it may be published on.
    pub state: AccountState,
    /// Why not.
    pub state_reason: Option<&'a str>,
    /// When its access ends, where the network names an end.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// Scopes that publishing needs and its grant lacks.
    pub missing_scopes: &'a [String],
}

impl Subject<'_> {
    /// What its state stands in the way of.
    pub fn inactive(&self) -> Option<Finding> {
        let (who, what) = match self.state {
            AccountState::Active => return None,
            AccountState::Paused => {
                (Who::Staff, "It is paused; an administrator of this workspace can resume it.")
            }
            AccountState::Reconnect => {
                (Who::Owner, "Its access is broken; the account's owner has to connect it again.")
            }
            AccountState::Frozen | AccountState::Erased => {
                (Who::Author, "It is being deleted and takes no more posts.")
            }
        };
        let reason = self.state_reason.map(|why| format!(" ({why})")).unwrap_or_default();
        let detail = format!("“{}” is {}. {what}{reason}", self.name, self.state.word());
        let finding = Finding::new("account_id", "account_not_active", detail, who);
        Some(Finding { accepted: vec![AccountState::Active.word().to_owned()], ..finding })
    }

    /// Whether its access ends before a post of that time is out.
    pub fn access_ends(&self, scheduled_for: DateTime<Utc>) -> Option<Finding> {
        let ends = self.token_expires_at.filter(|ends| *ends < scheduled_for + ACCESS_MARGIN)?;
        let detail = format!(
            "The access to “{}” ends at {}, before this post is out. Unless it is renewed by then, the account's \
             owner has to connect it again.",
            self.name,
            ends.format("%Y-%m-%d %H:%M UTC")
        );
        Some(Finding::new("account_id", "access_ends", detail, Who::Owner))
    }

    /// Whether its grant lacks what publishing needs.
    pub fn access_lacks(&self) -> Option<Finding> {
        if self.missing_scopes.is_empty() {
            return None;
        }
        let detail = format!(
            "The access to “{}” lacks what publishing needs ({}). The account's owner has to connect it again and grant \
             that, too.",
            self.name,
            self.missing_scopes.join(", ")
        );
        Some(Finding::new("account_id", "access_lacks", detail, Who::Owner))
    }
}

/// What a network says of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Fact {
    /// Whether the token opens the account.
    Token {
        /// What the network said, if it does not.
        refused: Option<String>,
    },
    /// How much it has published of what it may.
    PublishingLimit {
        /// Posts of the last day.
        used: u64,
        /// The most of them.
        total: u64,
    },
    /// What the account lets its posts be.
    Creator {
        /// Who may be let see them.
        privacy_levels: Vec<String>,
        /// The longest film, in seconds.
        longest_film: Option<u64>,
    },
}

impl Fact {
    /// What a check of the token says.
    ///
    /// # Errors
    /// A read that failed otherwise, which says nothing of the token.
    pub fn of_token(checked: Result<(), Failure>) -> Result<Self, Failure> {
        match checked {
            Ok(()) => Ok(Self::Token { refused: None }),
            Err(said) => match said.class {
                Class::Auth | Class::Permission | Class::Permanent => {
                    Ok(Self::Token { refused: Some(said.message) })
                }
                Class::Rate | Class::Transient | Class::Unknown => Err(said),
            },
        }
    }

    /// The word that it is kept under.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::PublishingLimit { .. } => "publishing_limit",
            Self::Creator { .. } => "creator",
        }
    }

    /// What is kept under that word.
    pub fn value(&self) -> Value {
        serde_json::to_value(self).map(|mut whole| whole["value"].take()).unwrap_or_default()
    }

    /// What was kept; `None` where another build wrote it.
    pub fn read(kind: &str, value: &Value) -> Option<Self> {
        Self::deserialize(serde_json::json!({ "kind": kind, "value": value })).ok()
    }
}

/// What the facts are held against.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// What people call the network.
    pub network: &'a str,
    /// When it goes out.
    pub scheduled_for: DateTime<Utc>,
    /// Now.
    pub now: DateTime<Utc>,
    /// The option `privacy_level`.
    pub privacy_level: Option<&'a str>,
    /// The longest of its films, in milliseconds.
    pub film_ms: Option<u64>,
}

impl Plan<'_> {
    /// What the network has said that stands in the way.
    pub fn against(&self, fact: &Fact) -> Vec<Finding> {
        match fact {
            Fact::Token { refused } => refused.iter().map(|why| self.refused(why)).collect(),
            Fact::PublishingLimit { used, total } => self.used_up(*used, *total).into_iter().collect(),
            Fact::Creator { privacy_levels, longest_film } => {
                let level = self.not_offered(privacy_levels);
                level.into_iter().chain(longest_film.and_then(|most| self.too_long(most))).collect()
            }
        }
    }

    fn refused(&self, why: &str) -> Finding {
        let detail = format!(
            "{} does not accept the access: {why}. The account's owner has to connect it again.",
            self.network
        );
        Finding::new("account_id", "access_refused", detail, Who::Owner)
    }

    /// The limit counts the last day, so what is used now tells nothing of a time further ahead.
    fn used_up(&self, used: u64, total: u64) -> Option<Finding> {
        if used < total || self.scheduled_for - self.now >= QUOTA_SPAN {
            return None;
        }
        let detail = format!(
            "The account has published {used} of the {total} posts that {} allows within 24 hours. Choose a later time; \
             else it waits until one is free.",
            self.network
        );
        Some(Finding::new("account_id", "publishing_limit", detail, Who::Author))
    }

    fn not_offered(&self, offered: &[String]) -> Option<Finding> {
        let chosen = self.privacy_level.filter(|chosen| !offered.iter().any(|level| level == chosen))?;
        let detail = format!("{} does not offer “{chosen}” to this account now.", self.network);
        let finding = Finding::new("options.privacy_level", "privacy_level_not_offered", detail, Who::Author);
        Some(Finding { accepted: offered.to_vec(), ..finding })
    }

    fn too_long(&self, most: u64) -> Option<Finding> {
        let length = self.film_ms.filter(|length| *length > most * 1000)?;
        let detail = format!(
            "The film lasts {} s; {} takes at most {most} s from this account.",
            length.div_ceil(1000),
            self.network
        );
        Some(Finding::new("media_ids", "media_too_long_for_account", detail, Who::Author))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn plan(hours: i64) -> Plan<'static> {
        let scheduled_for = NOW + TimeDelta::hours(hours);
        Plan {
            network: "Test",
            scheduled_for,
            now: NOW,
            privacy_level: Some("SELF_ONLY"),
            film_ms: Some(60_001),
        }
    }

    fn codes(plan: &Plan<'_>, fact: &Fact) -> Vec<String> {
        plan.against(fact).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn what_passes_by_itself_or_may_be_hidden_keeps_nothing_from_going_out() {
        let stops = |finding: Finding| Finding::stopping(&finding.code).is_some();
        let plan = plan(1);
        let subject = Subject {
            name: "Bakery",
            state: AccountState::Reconnect,
            state_reason: None,
            token_expires_at: Some(NOW),
            missing_scopes: &["pages_manage_posts".to_owned()],
        };
        let creator = Fact::Creator { privacy_levels: Vec::new(), longest_film: Some(1) };
        let refused = Fact::Token { refused: Some("expired".into()) };
        let found = [plan.against(&creator), plan.against(&refused)].concat();
        let found = found.into_iter().chain(subject.inactive()).chain(subject.access_ends(NOW));
        assert!(found.chain(subject.access_lacks()).map(stops).eq([true; 6]));
        let limit = plan.against(&Fact::PublishingLimit { used: 1, total: 1 });
        let passes = limit.into_iter().chain([Finding::repeats("Bakery", Uuid::nil(), NOW)]);
        assert!(passes.map(stops).eq([false; 2]));
    }

    #[test]
    fn a_fact_is_kept_and_read_again() {
        let facts = [
            Fact::Token { refused: Some("190".into()) },
            Fact::PublishingLimit { used: 1, total: 50 },
            Fact::Creator { privacy_levels: vec!["SELF_ONLY".into()], longest_film: Some(60) },
        ];
        for fact in facts {
            assert_eq!(Fact::read(fact.kind(), &fact.value()), Some(fact));
        }
        assert_eq!(Fact::read("weather", &Value::Null), None);
    }

    #[test]
    fn access_that_ends_too_early_is_found_and_other_access_is_not() {
        let subject = |ends| Subject {
            name: "Bakery",
            state: AccountState::Active,
            state_reason: None,
            token_expires_at: ends,
            missing_scopes: &[],
        };
        let at = NOW + TimeDelta::hours(2);
        assert_eq!(subject(None).access_ends(at), None);
        assert_eq!(subject(Some(at + ACCESS_MARGIN)).access_ends(at), None);
        let found = subject(Some(at)).access_ends(at).expect("found");
        assert_eq!((found.code.as_str(), found.who_acts), ("access_ends", Who::Owner));
        assert_eq!(subject(None).access_lacks(), None);
    }

    #[test]
    fn a_used_up_limit_matters_to_what_goes_out_within_a_day() {
        let full = Fact::PublishingLimit { used: 50, total: 50 };
        assert_eq!(codes(&plan(23), &full), ["publishing_limit"]);
        assert!(codes(&plan(24), &full).is_empty());
        assert!(codes(&plan(1), &Fact::PublishingLimit { used: 49, total: 50 }).is_empty());
    }

    #[test]
    fn what_the_creator_does_not_offer_is_found() {
        let fact =
            |level: &str, most| Fact::Creator { privacy_levels: vec![level.into()], longest_film: most };
        assert_eq!(
            codes(&plan(1), &fact("PUBLIC", Some(60))),
            ["privacy_level_not_offered", "media_too_long_for_account"]
        );
        assert!(codes(&plan(1), &fact("SELF_ONLY", Some(61))).is_empty());
        assert!(codes(&plan(1), &fact("SELF_ONLY", None)).is_empty());
    }

    #[test]
    fn access_that_the_network_refuses_is_found() {
        assert_eq!(codes(&plan(1), &Fact::Token { refused: Some("expired".into()) }), ["access_refused"]);
        assert!(codes(&plan(1), &Fact::Token { refused: None }).is_empty());
    }
}
