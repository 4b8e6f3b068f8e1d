//! Metrics: what networks count of posts and accounts, when they are asked for it, and how their answers are read.
//!
//! A gap is a gap: what a network does not say is never taken for nought.

pub mod ads;
mod advertising;
pub mod asking;
pub mod catalogue;
pub(crate) mod look;
pub mod packed;
pub mod plan;
pub mod ports;
pub mod reading;
pub mod series;
#[cfg(test)]
mod trial;

use chrono::NaiveDate;

pub use catalogue::CATALOGUE;
pub use plan::{Pace, Plan};
pub use ports::{Due, Ending, Heard, Insights, Next, Question, Snapshots, Subject, Taken, Trouble};
pub use reading::{Point, Said, Spread};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A post that stays.
    Post,
    /// A film that networks count apart.
    Reel,
    /// What is gone after a day.
    Story,
    /// The account itself.
    Account,
}

impl Object {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[Self::Post, Self::Reel, Self::Story, Self::Account];

    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Reel => "reel",
            Self::Story => "story",
            Self::Account => "account",
        }
    }

    /// The object of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|object| object.word() == word)
    }
}

/// What a number is a number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// A span of time.
    Milliseconds,
    /// A part of a hundred, kept in hundredths.
    Percent,
    /// A sum of money, which means nothing without its currency.
    Money,
    /// So many times something else.
    Ratio,
}

impl Unit {
    /// The API's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Milliseconds => "milliseconds",
            Self::Percent => "percent",
            Self::Money => "money",
            Self::Ratio => "ratio",
        }
    }

    /// How many digits after the point are kept where the number is kept without the point. What is told of ads is kept
    /// as the network wrote it, whatever this says.
    pub const fn decimals(self) -> u32 {
        match self {
            Self::Count | Self::Milliseconds => 0,
            Self::Percent | Self::Money | Self::Ratio => 2,
        }
    }
}

/// What span a number is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// All since the object exists, as of when it was asked.
    Lifetime,
    /// One day of the network's, known by its end. Networks revise the latest ones.
    Day,
}

impl Period {
    /// The API's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lifetime => "lifetime",
            Self::Day => "day",
        }
    }
}

/// How a network is asked for it. What is asked for in different ways is never in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// Among the insights, over all time.
    Insights,
    /// Among the insights, day by day.
    Days,
    /// Among the insights, as one number for one whole day.
    DayTotal,
    /// Among the fields of the object itself.
    Fields,
    /// Among the insights, over all time, by kinds of people.
    Kinds,
    /// Among the insights of ads, day by day, of each ad and of what it is in.
    Ads,
}

/// One thing that one network counts of one kind of object.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its number in the ledger: never changed and never given again.
    pub id: u16,
    /// The platform.
    pub platform: &'static str,
    /// What is counted.
    pub object: Object,
    /// Our name, the same for what is alike at several networks.
    pub name: &'static str,
    /// The network's name.
    pub remote: &'static str,
    /// Where the number stands in a field, by the names on the way.
    pub path: &'static [&'static str],
    /// What it is told along, by the network's word: one number for each kind of that.
    pub along: Option<&'static str>,
    /// The network leaves a nought out and says so: the one case in which nothing is nought.
    pub absent_is_zero: bool,
    /// What it is a number of.
    pub unit: Unit,
    /// How it is asked for.
    pub via: Via,
    /// The version of the API that has it.
    pub since: &'static str,
    /// From this day on the network does not have it any more.
    pub sunset: Option<(i32, u32, u32)>,
    /// Where that is known from.
    pub source: &'static str,
}

/// One metric is another where its number is.
impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Metric {}

impl Metric {
    /// What span it is about.
    pub const fn period(&self) -> Period {
        match self.via {
            Via::Insights | Via::Fields | Via::Kinds => Period::Lifetime,
            Via::Days | Via::DayTotal | Via::Ads => Period::Day,
        }
    }

    /// Whether the network still has it on that day.
    pub fn lives(&self, day: NaiveDate) -> bool {
        let Some((year, month, first)) = self.sunset else { return true };
        NaiveDate::from_ymd_opt(year, month, first).is_none_or(|sunset| day < sunset)
    }
}
