//! Numbers of ads added up. They are texts, and no sum of money goes through a float.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{ledger::advertising::AdDay, web::figures::thousands};

/// Networks write no finer than that.
const DIGITS: usize = 6;
const ONE: i128 = 1_000_000;

/// A number, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exact(i128);

impl Exact {
    /// Reads one as it is kept; what is finer than a millionth is left out.
    pub fn read(value: &Value) -> Option<Self> {
        let text = value.as_str()?;
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let part: String = part.chars().chain(std::iter::repeat('0')).take(DIGITS).collect();
        let number = format!("{whole}{part}").parse::<i128>().ok()?;
        Some(Self(sign * number))
    }

    /// Both together.
    fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    fn times(self, other: Self) -> Option<Self> {
        Some(Self(self.0.checked_mul(other.0)? / ONE))
    }

    /// How much of it there is for each of the other; none where there is none of that.
    pub fn for_each(self, other: Self) -> Option<Self> {
        if other.0 <= 0 {
            return None;
        }
        Some(Self(self.0.checked_mul(ONE)?.checked_add(other.0 / 2)? / other.0))
    }

    /// To the next whole number.
    pub fn whole(self) -> i64 {
        rounded(self.0, ONE)
    }

    /// To the next hundredth, in hundredths.
    pub fn hundredths(self) -> i64 {
        rounded(self.0, ONE / 100)
    }

    /// `1,234.50`.
    pub fn money(self) -> String {
        money(self.hundredths())
    }
}

/// So many hundredths: `1,234.50`.
pub fn money(hundredths: i64) -> String {
    let (sign, size) = (if hundredths < 0 { "-" } else { "" }, hundredths.unsigned_abs());
    let whole = i64::try_from(size / 100).unwrap_or(i64::MAX);
    format!("{sign}{}.{:02}", thousands(whole), size % 100)
}

fn rounded(number: i128, unit: i128) -> i64 {
    let half = if number < 0 { -unit / 2 } else { unit / 2 };
    i64::try_from(number.saturating_add(half) / unit).unwrap_or(i64::MAX)
}

/// Numbers by kinds of action.
pub type ByKind = BTreeMap<String, Exact>;

/// What one object came to over some days. What counts people is not added up: who came on two days would count twice.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// So many days were told of.
    pub days: usize,
    /// How often it was seen; none: the network did not say.
    pub impressions: Option<Exact>,
    /// How often it was clicked; none: the network did not say.
    pub clicks: Option<Exact>,
    /// What was spent, by currency; of what the network named none, under an empty word.
    pub spend: ByKind,
    /// What came of it.
    pub results: ByKind,
    /// What of that counts as a conversion.
    pub conversions: ByKind,
    /// By which windows results were counted.
    pub attributions: BTreeSet<String>,
    /// What came back for what was spent.
    returned: ByKind,
    /// On so many days the network did not say what was spent.
    unsaid: usize,
}

impl Sum {
    /// Of these days.
    pub fn of<'a>(days: impl IntoIterator<Item = &'a AdDay>) -> Self {
        let mut sum = Self::default();
        for day in days {
            sum.add(day);
        }
        sum
    }

    fn add(&mut self, day: &AdDay) {
        let numbers = &day.numbers;
        let spend = Exact::read(&numbers["spend"]);
        self.days += 1;
        self.impressions = both(self.impressions, Exact::read(&numbers["impressions"]));
        self.clicks = both(self.clicks, Exact::read(&numbers["clicks"]));
        self.attributions.extend(day.attribution.clone());
        put(&mut self.results, kinds(&numbers["results"]));
        put(&mut self.conversions, kinds(&numbers["conversions"]));
        let Some(spend) = spend else {
            self.unsaid += 1;
            return;
        };
        put(&mut self.spend, std::iter::once((day.currency.clone().unwrap_or_default(), spend)));
        let back = kinds(&numbers["roas"]).filter_map(|(kind, times)| Some((kind, times.times(spend)?)));
        put(&mut self.returned, back);
    }

    /// What was spent in all, where that was said of every day, and in one currency.
    fn spent(&self) -> Option<(&str, Exact)> {
        let mut all = self.spend.iter();
        let (currency, spent) = all.next()?;
        (all.next().is_none() && self.unsaid == 0).then_some((currency.as_str(), *spent))
    }

    /// What each of so many has cost, in which currency.
    pub fn cost(&self, results: Exact) -> Option<(&str, Exact)> {
        let (currency, spent) = self.spent()?;
        Some((currency, spent.for_each(results)?))
    }

    /// How many times what was spent came back, by kinds.
    pub fn returns(&self) -> Vec<(&str, Exact)> {
        let Some((_, spent)) = self.spent() else { return Vec::new() };
        let returned = self.returned.iter();
        returned.filter_map(|(kind, back)| Some((kind.as_str(), back.for_each(spent)?))).collect()
    }
}

fn both(one: Option<Exact>, other: Option<Exact>) -> Option<Exact> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.plus(other)),
        (one, other) => one.or(other),
    }
}

fn put(all: &mut ByKind, more: impl Iterator<Item = (String, Exact)>) {
    for (kind, number) in more {
        let sum = all.get(&kind).map_or(number, |sum| sum.plus(number));
        all.insert(kind, sum);
    }
}

fn kinds(value: &Value) -> impl Iterator<Item = (String, Exact)> {
    let all = value.as_object().into_iter().flatten();
    all.filter_map(|(kind, number)| Some((kind.clone(), Exact::read(number)?)))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};
    use serde_json::json;

    use super::*;

    fn day(currency: Option<&str>, numbers: Value) -> AdDay {
        AdDay {
            level: "campaign".into(),
            remote_id: "23851".into(),
            name: None,
            parent_id: None,
            day: NaiveDate::default(),
            currency: currency.map(str::to_owned),
            attribution: Some("7d_click".into()),
            numbers,
            captured_at: DateTime::UNIX_EPOCH,
            revisions: 0,
        }
    }

    fn exact(text: &str) -> Exact {
        Exact::read(&json!(text)).expect("a number")
    }

    #[test]
    fn sums_of_money_are_exact_and_a_gap_is_no_nought() {
        let days = [
            day(Some("ILS"), json!({ "spend": "0.10", "impressions": "7", "clicks": null })),
            day(Some("ILS"), json!({ "spend": "0.20", "impressions": null })),
        ];
        let sum = Sum::of(&days);
        assert_eq!((sum.days, sum.impressions, sum.clicks), (2, Some(exact("7")), None));
        assert_eq!(sum.spend["ILS"], exact("0.3"));
        assert_eq!(sum.attributions.len(), 1);
        assert_eq!(Sum::of(&[]).impressions, None);
    }

    #[test]
    fn what_a_result_cost_and_what_came_back_are_of_all_that_was_spent() {
        let days = [
            day(
                Some("ILS"),
                json!({ "spend": "10.00", "results": { "purchase": "2" }, "roas": { "purchase": "3" } }),
            ),
            day(Some("ILS"), json!({ "spend": "30.00", "results": { "purchase": "6", "link_click": "1" } })),
        ];
        let sum = Sum::of(&days);
        assert_eq!(sum.results["purchase"], exact("8"));
        assert_eq!(sum.cost(sum.results["purchase"]), Some(("ILS", exact("5"))));
        assert_eq!(sum.returns(), [("purchase", exact("0.75"))]);
        assert_eq!(sum.cost(exact("0")), None);
    }

    #[test]
    fn of_two_currencies_and_of_days_without_a_sum_nothing_is_reckoned() {
        let of = |other: AdDay| {
            let days = [day(Some("ILS"), json!({ "spend": "1", "roas": { "purchase": "3" } })), other];
            let sum = Sum::of(&days);
            (sum.spend.len(), sum.cost(exact("1")).is_some(), sum.returns().len())
        };
        assert_eq!(of(day(Some("ILS"), json!({ "spend": "1" }))), (1, true, 1));
        assert_eq!(of(day(Some("USD"), json!({ "spend": "1" }))), (2, false, 0));
        assert_eq!(of(day(Some("ILS"), json!({ "spend": null }))), (1, false, 0));
    }

    #[test]
    fn money_is_written_with_its_hundredths() {
        for (text, written) in
            [("0", "0.00"), ("1234.5", "1,234.50"), ("0.651428", "0.65"), ("-0.055", "-0.06")]
        {
            assert_eq!(exact(text).money(), written);
        }
        assert_eq!((exact("2.5").whole(), exact("2.49").whole()), (3, 2));
        assert_eq!(Exact::read(&json!("9".repeat(40))), None);
        assert_eq!(Exact::read(&Value::Null), None);
    }
}
