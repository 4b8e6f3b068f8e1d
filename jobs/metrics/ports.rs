//! The ports of whoever takes snapshots: a network that tells numbers, and the ledger that keeps them.

use async_trait::async_trait;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use super::{Metric, Object, Pace, Point, Spread, Via, ads::AdsTaken};
use crate::{
    contract::{Failure, JobError},
    desk::{Account, Call},
};

/// So many of the latest days are asked about again: networks revise them.
pub const LATEST_DAYS: u8 = 3;
/// No answer reaches back further than so many days.
const MOST_DAYS: i64 = 30;

/// What a network is asked in one call: the same of all objects, and in one way.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What kind of objects.
    pub object: Object,
    /// The network's ids of them.
    pub ids: &'a [&'a str],
    /// How it is asked.
    pub via: Via,
    /// What is asked; each of that way.
    pub metrics: &'a [&'static Metric],
    /// Now: days are asked about up to the last midnight.
    pub now: DateTime<Utc>,
    /// When there was an answer last: what is told day by day is asked from there.
    pub captured_at: Option<DateTime<Utc>>,
}

impl Question<'_> {
    /// The end of the last whole day.
    pub fn until(&self) -> DateTime<Utc> {
        midnight(self.now)
    }

    /// The beginning of the first day that is asked about. What comes as one number is of one day, and is asked for as often
    /// as there are days.
    pub fn since(&self) -> DateTime<Utc> {
        let days = match self.via {
            Via::DayTotal => 1,
            Via::Days | Via::Insights | Via::Fields | Via::Kinds | Via::Ads => {
                days_asked(self.now, self.captured_at)
            }
        };
        self.until() - TimeDelta::days(days)
    }
}

/// How many days are asked about: the latest again, and none between the last answer and now is left out.
pub fn days_asked(now: DateTime<Utc>, captured_at: Option<DateTime<Utc>>) -> i64 {
    let latest = i64::from(LATEST_DAYS);
    let missed = captured_at.map_or(0, |captured| (midnight(now) - captured).num_days());
    (missed + latest).clamp(latest, MOST_DAYS)
}

/// When the day began.
fn midnight(now: DateTime<Utc>) -> DateTime<Utc> {
    now.date_naive().and_time(NaiveTime::MIN).and_utc()
}

/// What a network says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// These; what was asked and is not among them is a gap.
    Points(Vec<Point>),
    /// What was asked by kinds of people.
    Spreads(Vec<Spread>),
    /// Too few people saw it for anything to be told.
    TooFew,
    /// It was left out among others, as what is gone is, and what only its owner sees.
    Absent,
}

/// Why a network tells nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It does not know one of the metrics, and says nothing of any for it.
    Metric(Failure),
    /// It does not know the object.
    Missing(Failure),
    /// Anything else.
    Other(Failure),
}

/// A network that tells numbers. It is only ever read from.
#[async_trait]
pub trait Insights: Send + Sync {
    /// How many objects one call may be about.
    fn objects_at_once(&self, _object: Object) -> usize {
        1
    }

    /// How many metrics one call may ask for: a small set.
    fn metrics_at_once(&self) -> usize {
        10
    }

    /// How many calls a question about so many objects counts for against the rates of the allowance.
    fn calls(&self, objects: usize) -> u32 {
        u32::try_from(objects).unwrap_or(u32::MAX)
    }

    /// With fewer followers it does not tell who they are.
    fn least_followers(&self) -> Option<i64> {
        None
    }

    /// Asks; one answer for each of the objects, in their order, good or bad. Where the whole call fails each has failed.
    async fn ask(&self, call: &Call<'_>, question: &Question<'_>) -> Vec<Result<Heard, Trouble>>;
}

/// An object whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its number in the ledger.
    pub number: i32,
    /// What it is.
    pub object: Object,
    /// The network's id; none while that is not known.
    pub remote_id: Option<String>,
    /// When it came out.
    pub since: DateTime<Utc>,
    /// How often it was asked about with an answer.
    pub captures: i32,
    /// Since when it was left out of every answer that could have had it.
    pub absent_since: Option<DateTime<Utc>>,
    /// When there was an answer last.
    pub captured_at: Option<DateTime<Utc>>,
    /// Where a look that was broken off goes on, in the words of whoever took it.
    pub resume: Option<String>,
}

/// An account's objects whose turn it is, the longest due first.
#[derive(Debug, Clone)]
pub struct Due {
    /// The account.
    pub account: Account,
    /// The generation of its tokens.
    pub generation: i64,
    /// They.
    pub subjects: Vec<Subject>,
    /// Metrics that were refused, and not so long ago that they would be worth another try.
    pub refused: Vec<u16>,
    /// Metrics that were refused, and are worth one.
    pub doubted: Vec<u16>,
    /// The ledger's clock.
    pub now: DateTime<Utc>,
}

/// Why an object is asked about no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its plan is over.
    Over,
    /// It is gone from its network.
    Gone,
    /// Its network counts nothing of it.
    Nothing,
}

impl Ending {
    /// The ledger's and the API's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Over => "over",
            Self::Gone => "gone",
            Self::Nothing => "nothing",
        }
    }
}

/// What becomes of an object's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is asked about again then.
    At(DateTime<Utc>),
    /// Never.
    Never(Ending),
}

/// What one look at one object came to.
#[derive(Debug, Clone)]
pub struct Taken<'a> {
    /// The object.
    pub subject: &'a Subject,
    /// What the network said; empty: nothing is kept of this look.
    pub points: Vec<Point>,
    /// What it said by kinds of people.
    pub spreads: Vec<Spread>,
    /// Whether it was left out among others; none: that was not found out, and what was known of it stays.
    pub absent: Option<bool>,
    /// What becomes of its plan.
    pub next: Next,
}

impl<'a> Taken<'a> {
    /// Nothing but when the next look is.
    pub fn nothing(subject: &'a Subject, next: Next) -> Self {
        Self { subject, points: Vec::new(), spreads: Vec::new(), absent: None, next }
    }
}

/// What the ledger keeps of metrics, bound to one claim.
///
/// Every method answers `Fenced` once the claim is gone and `Infrastructure` where the ledger is away.
#[async_trait]
pub trait Snapshots: Send + Sync {
    /// When objects are asked about.
    fn pace(&self) -> &Pace;
    /// Up to `most` of an account's objects whose turn it is; none: there is no such account, or it may not be used now.
    async fn due(&self, account: uuid::Uuid, most: i64) -> Result<Option<Due>, JobError>;
    /// Keeps what a look came to, and moves the object's plan on, in one.
    async fn take(&self, taken: &Taken<'_>) -> Result<(), JobError>;
    /// Keeps a part of what was read of ads, and where it goes on, in one. What stands as it did is not kept again. Returns
    /// how many days of objects were new or otherwise than before.
    async fn take_ads(&self, taken: &AdsTaken<'_>) -> Result<u64, JobError>;
    /// Remembers that a metric is refused, with the network's words; operators are told once of each.
    async fn refused(
        &self,
        account: &Account,
        metric: &'static Metric,
        failure: &Failure,
    ) -> Result<(), JobError>;
    /// These metrics are told again.
    async fn told_again(&self, account: &Account, metrics: &[u16]) -> Result<(), JobError>;
    /// Nothing can be asked about these kinds of the account's objects before then; operators are told once why.
    async fn put_off(
        &self,
        account: &Account,
        objects: &[Object],
        until: DateTime<Utc>,
        failure: &Failure,
    ) -> Result<(), JobError>;
}
