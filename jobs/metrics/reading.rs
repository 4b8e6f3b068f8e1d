//! Answers of networks, read into points. What is not there is a gap; what cannot be read is one, too.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Metric, Via};

/// The longest number that is read: no count has more digits.
const MOST_DIGITS: usize = 18;

/// What a network said of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Of what.
    pub metric: &'static Metric,
    /// The end of the day that it is about; none: all time, as of now.
    pub ends_at: Option<DateTime<Utc>>,
    /// The number, in the unit's smallest part; none: it said nothing.
    pub value: Option<i64>,
}

impl Point {
    /// Nothing was said. Of a metric by days: of the day that ended then.
    pub fn gap(metric: &'static Metric, ends_at: DateTime<Utc>) -> Self {
        let by_day = matches!(metric.via, Via::Days | Via::DayTotal);
        Self { metric, ends_at: by_day.then_some(ends_at), value: None }
    }
}

/// Reads the insights of one object: what was asked for and does not come is a gap. `ends_at` is the end of the last day
/// that was asked about, for what does not bear its own.
pub fn insights(body: &Value, asked: &[&'static Metric], ends_at: DateTime<Utc>) -> Vec<Point> {
    let items = body["data"].as_array().map_or(&[][..], Vec::as_slice);
    let of = |metric: &'static Metric| {
        let item = items.iter().find(|item| item["name"] == metric.remote);
        item.map_or_else(Vec::new, |item| points(item, metric, ends_at))
    };
    let or_gap = |metric: &'static Metric| match of(metric) {
        none if none.is_empty() => vec![Point::gap(metric, ends_at)],
        points => points,
    };
    asked.iter().copied().flat_map(or_gap).collect()
}

/// What a network said of one metric by kinds of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// Of what.
    pub metric: &'static Metric,
    /// What.
    pub said: Said,
}

/// What was said by kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// How many there are of each kind. Networks name the largest alone: a kind that is not there is no nought.
    Kinds(BTreeMap<String, i64>),
    /// There are too few people for the network to tell.
    TooFew,
    /// Nothing: a gap.
    Nothing,
}

impl Said {
    /// The ledger's and the API's word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Kinds(_) => "kinds",
            Self::TooFew => "too_few",
            Self::Nothing => "nothing",
        }
    }
}

/// Reads what is told of one object by kinds of people: what was asked for and does not come is a gap.
pub fn spreads(body: &Value, asked: &[&'static Metric]) -> Vec<Spread> {
    let items = body["data"].as_array().map_or(&[][..], Vec::as_slice);
    let of = |metric: &'static Metric| {
        let item = items.iter().find(|item| item["name"] == metric.remote);
        Spread { metric, said: item.map_or(Said::Nothing, |item| kinds(item, metric)) }
    };
    asked.iter().copied().map(of).collect()
}

/// Words of a network's as the ledger can keep them: it takes no NUL.
pub(super) fn words(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty() && !text.contains('\0'))
}

fn kinds(item: &Value, metric: &Metric) -> Said {
    let along = |it: &&Value| it["dimension_keys"][0].as_str().is_some_and(|key| Some(key) == metric.along);
    let breakdowns = item["total_value"]["breakdowns"].as_array().into_iter().flatten();
    let results = breakdowns.filter(along).flat_map(|it| it["results"].as_array().into_iter().flatten());
    let read = |it: &Value| {
        let kind = words(&it["dimension_values"][0])?;
        Some((kind.to_owned(), number(&it["value"], metric.unit.decimals())?))
    };
    let kinds: BTreeMap<_, _> = results.filter_map(read).collect();
    if kinds.is_empty() { Said::Nothing } else { Said::Kinds(kinds) }
}

/// Reads fields of one object.
pub fn fields(object: &Value, asked: &[&'static Metric]) -> Vec<Point> {
    let of = |metric: &'static Metric| {
        let value = metric.path.iter().fold(object, |value, name| &value[*name]);
        let read = number(value, metric.unit.decimals());
        let value = if value.is_null() && metric.absent_is_zero { Some(0) } else { read };
        Point { metric, ends_at: None, value }
    };
    asked.iter().copied().map(of).collect()
}

fn points(item: &Value, metric: &'static Metric, ends_at: DateTime<Utc>) -> Vec<Point> {
    let decimals = metric.unit.decimals();
    let total = item["total_value"].get("value").map(|value| sum(value, decimals));
    let values = item["values"].as_array().map_or(&[][..], Vec::as_slice);
    match metric.via {
        Via::Insights | Via::Fields => {
            let value = total.or_else(|| values.last().map(|value| sum(&value["value"], decimals)));
            value.map(|value| Point { metric, ends_at: None, value }).into_iter().collect()
        }
        Via::DayTotal => {
            total.map(|value| Point { metric, ends_at: Some(ends_at), value }).into_iter().collect()
        }
        // these are read apart, and are no points
        Via::Kinds | Via::Ads => Vec::new(),
        Via::Days => {
            let of = |value: &Value| {
                let end = value["end_time"].as_str().and_then(moment).unwrap_or(ends_at);
                Point { metric, ends_at: Some(end), value: sum(&value["value"], decimals) }
            };
            values.iter().map(of).collect()
        }
    }
}

/// `2026-11-22T08:00:00+0000`.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let read =
        DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%z").or_else(|_| DateTime::parse_from_rfc3339(text));
    Some(read.ok()?.to_utc())
}

/// A number, or the sum of what a network tells apart by kinds. Kinds of which there is none yet say nothing.
fn sum(value: &Value, decimals: u32) -> Option<i64> {
    let Value::Object(kinds) = value else { return number(value, decimals) };
    let mut whole = None;
    for kind in kinds.values() {
        whole = Some(whole.unwrap_or(0_i64).checked_add(number(kind, decimals)?)?);
    }
    whole
}

/// A number as networks write it: `12`, `"12"`, `12.5`, `"4.560"`. Kept without the point; what is finer than that is
/// rounded.
pub fn number(value: &Value, decimals: u32) -> Option<i64> {
    match value {
        Value::Number(number) => decimal(&number.to_string(), decimals),
        Value::String(text) => decimal(text.trim(), decimals),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn decimal(text: &str, decimals: u32) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > MOST_DIGITS || !is_number(whole) || !is_number(part) {
        return None;
    }
    let keep = usize::try_from(decimals).ok()?;
    let kept: String = part.chars().chain(std::iter::repeat('0')).take(keep).collect();
    let up = i64::from(part.as_bytes().get(keep).is_some_and(|digit| *digit >= b'5'));
    let number = format!("{whole}{kept}").parse::<i64>().ok()?.checked_add(up)?;
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metrics::catalogue::by_id;

    fn metric(id: u16) -> &'static Metric {
        by_id(id).expect("a metric")
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn values(points: &[Point]) -> Vec<Option<i64>> {
        points.iter().map(|point| point.value).collect()
    }

    const TODAY: &str = "2026-11-23T00:00:00Z";

    #[test]
    fn numbers_come_as_numbers_and_as_text_and_anything_else_is_a_gap() {
        assert_eq!(number(&json!(12), 0), Some(12));
        assert_eq!(number(&json!("12"), 0), Some(12));
        assert_eq!(number(&json!(12.0), 0), Some(12));
        assert_eq!(number(&json!("4.565"), 2), Some(457));
        assert_eq!(number(&json!(33.5), 2), Some(3350));
        assert_eq!(number(&json!("-3"), 0), Some(-3));
        assert_eq!(number(&json!(7_500_000_000_000_000_123_u64), 0), None);
        for odd in [json!(null), json!("many"), json!(""), json!("1e9"), json!("."), json!([1]), json!(true)]
        {
            assert_eq!(number(&odd, 0), None, "{odd}");
        }
    }

    #[test]
    fn empty_data_is_a_gap_for_everything_that_was_asked_and_never_nought() {
        let asked = [metric(40), metric(41)];
        for body in [json!({ "data": [] }), json!({}), json!({ "data": null })] {
            assert_eq!(values(&insights(&body, &asked, at(TODAY))), [None, None]);
        }
        let days = insights(&json!({ "data": [] }), &[metric(20)], at(TODAY));
        assert_eq!(days, [Point { metric: metric(20), ends_at: Some(at(TODAY)), value: None }]);
    }

    #[test]
    fn what_is_missing_among_others_is_a_gap_alone_and_nought_is_nought() {
        let body = json!({ "data": [
            { "name": "reach", "period": "lifetime", "values": [{ "value": 0 }] },
            { "name": "likes", "period": "lifetime", "total_value": { "value": "17" } },
        ] });
        let asked = [metric(40), metric(41), metric(42)];
        assert_eq!(values(&insights(&body, &asked, at(TODAY))), [None, Some(0), Some(17)]);
    }

    #[test]
    fn kinds_are_added_up_and_one_that_cannot_be_read_makes_the_sum_a_gap() {
        let said = |value: Value| {
            let item = json!({ "name": "post_reactions_by_type_total", "values": [{ "value": value }] });
            insights(&json!({ "data": [item] }), &[metric(4)], at(TODAY))[0].value
        };
        assert_eq!(said(json!({ "like": 3, "love": "2" })), Some(5));
        assert_eq!(said(json!({ "like": 3, "love": null })), None);
        assert_eq!(said(json!({})), None);
    }

    #[test]
    fn days_bear_their_own_ends_and_one_without_a_value_is_a_gap() {
        let body = json!({ "data": [{ "name": "page_media_view", "period": "day", "values": [
            { "value": 5, "end_time": "2026-11-21T08:00:00+0000" },
            { "end_time": "2026-11-22T08:00:00+0000" },
        ] }] });
        let points = insights(&body, &[metric(20)], at(TODAY));
        assert_eq!(values(&points), [Some(5), None]);
        assert_eq!(points[1].ends_at, Some(at("2026-11-22T08:00:00Z")));
    }

    #[test]
    fn kinds_of_people_are_told_by_their_names_and_silence_is_a_gap() {
        let body = json!({ "data": [{ "name": "follower_demographics", "period": "lifetime", "total_value": {
            "breakdowns": [{ "dimension_keys": ["age"], "results": [
                { "dimension_values": ["25-34"], "value": 12 },
                { "dimension_values": ["35-44"], "value": "7" },
                { "dimension_values": ["45-54"], "value": null },
                { "dimension_values": [], "value": 3 },
                { "dimension_values": ["\u{0}"], "value": 3 },
            ] }],
        } }] });
        let said = |body: &Value, id| spreads(body, &[metric(id)]).remove(0).said;
        let ages = [("25-34".to_owned(), 12), ("35-44".to_owned(), 7)];
        assert_eq!(said(&body, 104), Said::Kinds(ages.into_iter().collect()));
        assert_eq!(said(&body, 105), Said::Nothing, "it was told along something else");
        for silence in
            [json!({ "data": [] }), json!({}), json!({ "data": [{ "name": "follower_demographics" }] })]
        {
            assert_eq!(said(&silence, 104), Said::Nothing);
        }
    }

    #[test]
    fn a_number_may_go_down() {
        let said = |views: i64| fields(&json!({ "view_count": views }), &[metric(110)])[0].value;
        assert_eq!((said(10), said(7)), (Some(10), Some(7)));
    }

    #[test]
    fn only_what_a_network_leaves_out_at_nought_is_nought_when_it_is_absent() {
        let body = json!({ "reactions": { "summary": { "total_count": 4 } } });
        assert_eq!(values(&fields(&body, &[metric(6), metric(7), metric(8)])), [Some(4), None, Some(0)]);
    }
}
