//! Ads: what they were seen, clicked and paid for, day by day, of each ad and of what it is in.
//!
//! Numbers stay the texts that the network wrote: nothing of a sum of money is ever rounded. What a number is of is kept
//! beside it: its currency, and the attribution by which results were counted. Late results change the latest days, so
//! these are read again; what was read before stays.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Metric, Next, Subject, Trouble, reading::words};
use crate::desk::Call;

/// The platform of ad accounts: they are read from, and nothing is published to them.
pub const PLATFORM: &str = "meta_ads";

/// The longest number that is read, its point included.
const MOST_DIGITS: usize = 40;

/// What is counted: an ad, or what it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The whole ad account.
    Account,
    /// A campaign.
    Campaign,
    /// A part of a campaign, with an audience and a budget of its own.
    AdSet,
    /// One ad.
    Ad,
}

impl Level {
    /// Every one of them, from the whole to the smallest.
    pub const ALL: &'static [Self] = &[Self::Account, Self::Campaign, Self::AdSet, Self::Ad];

    /// The network's, the ledger's and the API's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Campaign => "campaign",
            Self::AdSet => "adset",
            Self::Ad => "ad",
        }
    }

    /// The level of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|level| level.word() == word)
    }

    /// The next smaller one.
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Account => Some(Self::Campaign),
            Self::Campaign => Some(Self::AdSet),
            Self::AdSet => Some(Self::Ad),
            Self::Ad => None,
        }
    }

    /// The fields that name an object of this level: its id, its name, and the id of what it is in.
    pub const fn names(self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            Self::Account => ("account_id", "account_name", None),
            Self::Campaign => ("campaign_id", "campaign_name", Some("account_id")),
            Self::AdSet => ("adset_id", "adset_name", Some("campaign_id")),
            Self::Ad => ("ad_id", "ad_name", Some("adset_id")),
        }
    }
}

/// The field that names the currency of a row.
pub const CURRENCY: &str = "account_currency";
/// The field that names by which attribution its results were counted.
pub const ATTRIBUTION: &str = "attribution_setting";

/// A number as the network wrote it: `123`, `4.56`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(String);

impl Decimal {
    /// Reads one; anything that is no plain number is none.
    pub fn read(value: &Value) -> Option<Self> {
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            // only whole numbers are exact as JSON has them
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return None;
            }
        };
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(whole) && is_number(part) && text.len() <= MOST_DIGITS).then_some(Self(text))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What was said of one metric on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdNumber {
    /// One number; none: a gap.
    One(Option<Decimal>),
    /// One number for each kind of action. A kind that is not there did not happen: the network leaves it out.
    ByAction(BTreeMap<String, Decimal>),
}

/// What was said of one object on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdDay {
    /// What it is.
    pub level: Level,
    /// The network's id.
    pub remote_id: String,
    /// What people call it.
    pub name: Option<String>,
    /// The network's id of what it is in.
    pub parent_id: Option<String>,
    /// The day, in the ad account's own time zone.
    pub day: NaiveDate,
    /// In what every sum of money is told; none: the network did not say.
    pub currency: Option<String>,
    /// By which attribution results are counted; none: the network did not say.
    pub attribution: Option<String>,
    /// What was said of each metric that was asked for.
    pub numbers: Vec<(&'static Metric, AdNumber)>,
}

impl AdDay {
    /// The numbers by our names, as they are kept and shown: texts, `null` for a gap, and those by action among themselves.
    pub fn told(&self) -> Value {
        let text = |number: &Decimal| Value::from(number.as_str());
        let one = |(metric, number): &(&'static Metric, AdNumber)| {
            let told = match number {
                AdNumber::One(number) => number.as_ref().map_or(Value::Null, text),
                AdNumber::ByAction(kinds) => {
                    let kinds = kinds.iter().map(|(kind, number)| (kind.clone(), text(number)));
                    Value::Object(kinds.collect::<Map<_, _>>())
                }
            };
            (metric.name.to_owned(), told)
        };
        Value::Object(self.numbers.iter().map(one).collect::<Map<_, _>>())
    }
}

/// Reads a page of insights. A row that names no object or no day is of nothing, and is left out.
pub fn days(body: &Value, level: Level, asked: &[&'static Metric]) -> Vec<AdDay> {
    let rows = body["data"].as_array().map_or(&[][..], Vec::as_slice);
    rows.iter().filter_map(|row| day(row, level, asked)).collect()
}

fn day(row: &Value, level: Level, asked: &[&'static Metric]) -> Option<AdDay> {
    let text = |name: &str| words(&row[name]);
    let id =
        |name: &str| text(name).map(str::to_owned).or_else(|| row[name].as_u64().map(|id| id.to_string()));
    let (its_id, its_name, in_what) = level.names();
    let numbers = asked.iter().copied().map(|metric| (metric, number(row, metric)));
    Some(AdDay {
        level,
        remote_id: id(its_id)?,
        name: text(its_name).map(str::to_owned),
        parent_id: in_what.and_then(id),
        day: text("date_start")?.parse().ok()?,
        currency: text(CURRENCY).map(str::to_owned),
        attribution: text(ATTRIBUTION).map(str::to_owned),
        numbers: numbers.collect(),
    })
}

fn number(row: &Value, metric: &Metric) -> AdNumber {
    let value = &row[metric.remote];
    let Some(along) = metric.along else { return AdNumber::One(Decimal::read(value)) };
    let read = |it: &Value| Some((words(&it[along])?.to_owned(), Decimal::read(&it["value"])?));
    AdNumber::ByAction(value.as_array().into_iter().flatten().filter_map(read).collect())
}

/// What a network is asked in one call.
#[derive(Debug, Clone, Copy)]
pub struct AdQuestion<'a> {
    /// Of which objects.
    pub level: Level,
    /// What.
    pub metrics: &'a [&'static Metric],
    /// The first day.
    pub since: NaiveDate,
    /// The last day.
    pub until: NaiveDate,
    /// The most rows of an answer.
    pub most: u16,
    /// Where the answer before this left off.
    pub after: Option<&'a str>,
}

/// A part of what a network tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdPage {
    /// What it told.
    pub days: Vec<AdDay>,
    /// Where it goes on; none: that was all.
    pub next: Option<String>,
}

/// A network that tells what ads came to. It is only ever read from.
#[async_trait]
pub trait AdInsights: Send + Sync {
    /// Asks about the account of the call.
    ///
    /// # Errors
    /// What the network said.
    async fn ask(&self, call: &Call<'_>, question: &AdQuestion<'_>) -> Result<AdPage, Trouble>;
}

/// A part of what was read of an ad account.
#[derive(Debug, Clone)]
pub struct AdsTaken<'a> {
    /// The ad account.
    pub subject: &'a Subject,
    /// What was told.
    pub days: &'a [AdDay],
    /// What comes after it.
    pub then: Onward,
}

/// What comes after a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Onward {
    /// There is more, from here on, whoever goes on with it.
    Resume(String),
    /// That was all for now.
    Done(Next),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metrics::catalogue::by_id;

    fn metrics(ids: &[u16]) -> Vec<&'static Metric> {
        ids.iter().map(|id| by_id(*id).expect("a metric")).collect()
    }

    /// As the documents have it.
    fn recorded() -> Value {
        json!({ "data": [{
            "campaign_id": "23851", "campaign_name": "Autumn", "account_id": "1007",
            "account_currency": "ILS", "attribution_setting": "7d_click_1d_view",
            "impressions": "123", "spend": "4.56",
            "actions": [{ "action_type": "link_click", "value": "7" }, { "action_type": "odd", "value": {} }],
            "cost_per_action_type": [{ "action_type": "link_click", "value": "0.651428" }],
            "purchase_roas": [{ "action_type": "omni_purchase", "value": "2.1" }],
            "date_start": "2026-11-22", "date_stop": "2026-11-22",
        }], "paging": { "cursors": { "before": "a", "after": "b" } } })
    }

    #[test]
    fn sums_of_money_stay_the_texts_that_they_were_with_their_currency_and_attribution_beside_them() {
        let asked = metrics(&[130, 133, 135, 136, 138, 139, 140]);
        let days = days(&recorded(), Level::Campaign, &asked);
        let [day] = &days[..] else { panic!("{days:?}") };
        assert_eq!((day.remote_id.as_str(), day.parent_id.as_deref()), ("23851", Some("1007")));
        assert_eq!(day.day, "2026-11-22".parse().expect("a day"));
        assert_eq!(
            (day.currency.as_deref(), day.attribution.as_deref()),
            (Some("ILS"), Some("7d_click_1d_view"))
        );
        let told = json!({
            "impressions": "123",
            "spend": "4.56",
            "cost_per_thousand": null,
            "results": { "link_click": "7" },
            "conversions": {},
            "cost_per_result": { "link_click": "0.651428" },
            "roas": { "omni_purchase": "2.1" },
        });
        assert_eq!(day.told(), told, "a gap is null, and what did not happen is not there");
    }

    #[test]
    fn what_names_no_object_or_no_day_is_left_out_and_what_is_not_said_is_not_guessed() {
        let asked = metrics(&[133]);
        let body = json!({ "data": [
            { "spend": "1", "date_start": "2026-11-22" },
            { "ad_id": "9", "spend": "1" },
            { "ad_id": "9", "spend": "1", "date_start": "soon" },
            { "ad_id": "9\u{0}", "spend": "1", "date_start": "2026-11-22" },
            { "ad_id": 9, "ad_name": "a\u{0}b", "date_start": "2026-11-22" },
        ] });
        let days = days(&body, Level::Ad, &asked);
        let [day] = &days[..] else { panic!("{days:?}") };
        assert_eq!((day.remote_id.as_str(), &day.name, &day.parent_id), ("9", &None, &None));
        assert_eq!((&day.currency, &day.attribution), (&None, &None));
        assert_eq!(day.told(), json!({ "spend": null }));
        for silence in [json!({}), json!({ "data": null }), json!({ "data": [] })] {
            assert!(super::days(&silence, Level::Ad, &asked).is_empty());
        }
    }

    #[test]
    fn a_number_is_read_as_it_is_written_or_not_at_all() {
        let read = |value: Value| Decimal::read(&value).map(|it| it.as_str().to_owned());
        for text in ["0", "4.56", "-3.10", "123456789012345678901234.000001"] {
            assert_eq!(read(json!(text)).as_deref(), Some(text));
        }
        assert_eq!(read(json!(17)).as_deref(), Some("17"));
        // a float has lost what it was before anybody reads it
        for odd in [json!(0.1), json!(""), json!("1e9"), json!("4,5"), json!("."), json!("5."), json!(null)] {
            assert_eq!(read(odd.clone()), None, "{odd}");
        }
    }

    #[test]
    fn levels_go_from_the_whole_to_the_smallest_and_keep_their_words() {
        let mut level = Level::Account;
        let mut all = vec![level];
        while let Some(next) = level.next() {
            level = next;
            all.push(level);
        }
        assert_eq!(all, Level::ALL);
        for level in Level::ALL {
            assert_eq!(Level::parse(level.word()), Some(*level));
            assert_eq!(json!(level), json!(level.word()));
        }
    }
}
