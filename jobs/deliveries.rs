//! The ports of whoever tells a workspace's own software of events: what the ledger keeps of that, and what brings it
//! there.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    contract::{Failure, JobError},
    machine::State,
};

/// The events that can be wished for.
pub const EVENTS: &[&str] =
    &["post.published", "post.failed", "post.held", "account.reconnect", "deletion.completed"];
/// What is sent to try an address; nobody has to wish for it.
pub const TEST: &str = "webhook.test";

/// An event on its way to one address, as it is true now.
pub struct Parcel {
    /// The event: the same at every address and in every try.
    pub event: Uuid,
    /// Its type: one of [`EVENTS`], or [`TEST`].
    pub kind: String,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// What it is about.
    pub about: About,
    /// Where it goes, which may hold what only its owner should know.
    pub url: String,
    /// What it is signed with: the present secret first.
    pub secrets: Vec<SecretString>,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A post on an account.
    Post(Post),
    /// An account.
    Account(Account),
    /// A request for deletion.
    Deletion(Uuid),
    /// Nothing: somebody tries this webhook.
    Test(Uuid),
}

/// A post on an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The post.
    pub post_id: Uuid,
    /// It on this account.
    pub publication_id: Uuid,
    /// The account.
    pub account_id: Uuid,
    /// The account's network.
    pub platform: String,
    /// Where it stands now.
    pub state: State,
    /// Where it is to be seen, once the network has said.
    pub permalink: Option<String>,
    /// What went wrong.
    pub error: Option<Said>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// It.
    pub account_id: Uuid,
    /// Its network.
    pub platform: String,
    /// Where it stands now.
    pub state: String,
    /// Why it has to be connected again.
    pub error: Option<Said>,
    /// Its connection has not ended yet, and will.
    pub ends: Option<Ends>,
}

/// The end of a connection, ahead of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// When.
    pub at: DateTime<Utc>,
    /// Why: a word of the forecast's.
    pub because: String,
}

impl Ends {
    fn value(&self) -> Value {
        json!({ "at": written(self.at), "because": self.because })
    }
}

/// A time as events tell it.
fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// What went wrong, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// A word.
    pub code: String,
    /// What that means.
    pub message: String,
}

impl Said {
    fn value(&self) -> Value {
        json!({ "code": self.code, "message": self.message })
    }
}

impl About {
    fn data(&self) -> Value {
        match self {
            Self::Post(it) => json!({
                "post_id": it.post_id,
                "publication_id": it.publication_id,
                "account_id": it.account_id,
                "platform": it.platform,
                "state": it.state.shown(),
                "permalink": it.permalink,
                "error": it.error.as_ref().map(Said::value),
            }),
            Self::Account(it) => json!({
                "account_id": it.account_id,
                "platform": it.platform,
                "state": it.state,
                "error": it.error.as_ref().map(Said::value),
                "ends": it.ends.as_ref().map(Ends::value),
            }),
            Self::Deletion(request) => json!({ "request_id": request, "state": "done" }),
            Self::Test(webhook) => json!({ "webhook_id": webhook }),
        }
    }
}

impl Parcel {
    /// What is sent, to the byte: the signature is over it.
    pub fn body(&self) -> String {
        json!({
            "type": self.kind,
            "timestamp": written(self.occurred_at),
            "data": self.about.data(),
        })
        .to_string()
    }
}

/// What an address answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// How long it asks to be left alone.
    pub rest: Option<Duration>,
}

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// It was taken.
    Taken(u16),
    /// The address wants no more, ever.
    Unwanted(u16),
    /// It was not taken.
    Not {
        /// What it answered, if anything.
        status: Option<u16>,
        /// Why.
        failure: Failure,
    },
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is over, one way or the other.
    Over,
    /// It is tried again.
    Again,
}

/// What the ledger keeps of deliveries, bound to one claim: every write is fenced by it.
///
/// Every method answers `Fenced` once the claim is gone and `Infrastructure` where the ledger is away.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// What is to be told. None: nothing is, any more; where it was about something that was deleted meanwhile, or the
    /// webhook is disabled, that is noted.
    async fn look(&self, delivery: Uuid) -> Result<Option<Parcel>, JobError>;
    /// Keeps what became of a try, and disables a webhook that wants no more, or has taken nothing for days.
    async fn tried(&self, delivery: Uuid, came: &Came) -> Result<Then, JobError>;
}

/// What brings events out of the house.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Signs and sends it, once.
    ///
    /// # Errors
    /// There was no answer in time, or the address is none that is gone to from here.
    async fn bring(&self, parcel: &Parcel, at: DateTime<Utc>, within: Duration) -> Result<Answered, Failure>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_says_what_happened_when_and_how_it_stands() {
        let id = Uuid::nil();
        let post = Post {
            post_id: id,
            publication_id: id,
            account_id: id,
            platform: "tiktok".into(),
            state: State::RetryWait,
            permalink: None,
            error: Some(Said { code: "190".into(), message: "no".into() }),
        };
        let parcel = Parcel {
            event: id,
            kind: "post.failed".into(),
            occurred_at: DateTime::UNIX_EPOCH,
            about: About::Post(post),
            url: "https://example.org".into(),
            secrets: Vec::new(),
        };
        let body: Value = serde_json::from_str(&parcel.body()).expect("JSON");
        let said = json!({
            "type": "post.failed",
            "timestamp": "1970-01-01T00:00:00.000Z",
            "data": {
                "post_id": id, "publication_id": id, "account_id": id, "platform": "tiktok", "state": "retrying",
                "permalink": null, "error": { "code": "190", "message": "no" },
            },
        });
        assert_eq!(body, said);
    }

    #[test]
    fn an_account_that_will_have_to_be_connected_again_says_when_and_why() {
        let ends = Ends { at: DateTime::UNIX_EPOCH, because: "token".into() };
        let account = Account {
            account_id: Uuid::nil(),
            platform: "tiktok".into(),
            state: "active".into(),
            error: None,
            ends: Some(ends),
        };
        let said = json!({
            "account_id": Uuid::nil(), "platform": "tiktok", "state": "active", "error": null,
            "ends": { "at": "1970-01-01T00:00:00.000Z", "because": "token" },
        });
        assert_eq!(About::Account(account).data(), said);
    }

    #[test]
    fn no_event_is_called_like_another_or_like_the_test() {
        for (n, event) in EVENTS.iter().enumerate() {
            assert!(!EVENTS[n + 1..].contains(event) && *event != TEST, "{event}");
        }
    }
}
