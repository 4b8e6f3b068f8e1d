//! What Graph has counted: insights, and the counts that an object bears itself.
//!
//! One metric that it does not know fails the whole call (100), whatever else was asked for. Too few viewers are told by
//! the code of a missing permission (10), and by its words alone told apart from it.

use jobs::{
    contract::Failure,
    desk::Call,
    metrics::{Heard, Object, Question, Trouble, Via, reading},
};
use serde_json::Value;

use super::{
    super::http::{Deadline, Fault},
    Graph, MISSING,
};

/// The most posts that are asked about in one call. A batch takes fifty parts, and is answered when the last one is.
const MOST_PARTS: usize = 20;
/// The words that tell "(#10) Not enough viewers for the media to show insights" from a permission.
const TOO_FEW: &str = "not enough";

/// How Meta's networks want to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Pages name the period of everything.
    Page,
    /// Instagram has one for media, and wants to know how days are to be told.
    Instagram,
}

/// How many objects one call may be about.
pub fn objects_at_once(object: Object) -> usize {
    match object {
        Object::Account => 1,
        Object::Post | Object::Reel | Object::Story => MOST_PARTS,
    }
}

impl Graph {
    /// Asks about objects: about one in a call of its own, about several in one call with a part for each.
    pub async fn insights(
        &self,
        call: &Call<'_>,
        question: &Question<'_>,
        dialect: Dialect,
    ) -> Vec<Result<Heard, Trouble>> {
        let (deadline, query) = (Deadline::of(call), dialect.query(question));
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let edge = (question.via != Via::Fields).then_some("insights");
        let paths: Vec<Vec<&str>> =
            question.ids.iter().map(|id| std::iter::once(*id).chain(edge).collect()).collect();
        let answers = match &paths[..] {
            [] => Vec::new(),
            [path] => {
                vec![self.get(call, deadline, path, &query).await.map_err(Fault::into_failure)]
            }
            paths => self.read_all(call, deadline, paths, &query).await,
        };
        answers.into_iter().map(|answer| heard(answer, question)).collect()
    }
}

impl Dialect {
    fn query(self, question: &Question<'_>) -> Vec<(&'static str, String)> {
        let names: Vec<&str> = question.metrics.iter().map(|metric| metric.remote).collect();
        let names = names.join(",");
        if question.via == Via::Fields {
            return vec![("fields", names)];
        }
        let mut query = vec![("metric", names)];
        query.extend(self.ways(question.via).into_iter().map(|(name, value)| (name, value.to_owned())));
        if matches!(question.via, Via::Days | Via::DayTotal) {
            query.push(("since", question.since().timestamp().to_string()));
            query.push(("until", question.until().timestamp().to_string()));
        }
        // those of one question are all told along the same
        let along = question.metrics.first().and_then(|metric| metric.along);
        query.extend(along.map(|along| ("breakdown", along.to_owned())));
        query
    }

    /// What names the period, and how it is told.
    fn ways(self, via: Via) -> Vec<(&'static str, &'static str)> {
        match (self, via) {
            (_, Via::Fields | Via::Ads) | (Self::Instagram, Via::Insights) => Vec::new(),
            (Self::Page, Via::Insights | Via::Kinds) => vec![("period", "lifetime")],
            (Self::Page, Via::Days | Via::DayTotal) => vec![("period", "day")],
            (Self::Instagram, Via::Days) => vec![("period", "day"), ("metric_type", "time_series")],
            (Self::Instagram, Via::DayTotal) => vec![("period", "day"), ("metric_type", "total_value")],
            (Self::Instagram, Via::Kinds) => {
                vec![("period", "lifetime"), ("timeframe", "this_month"), ("metric_type", "total_value")]
            }
        }
    }
}

fn heard(answer: Result<Value, Failure>, question: &Question<'_>) -> Result<Heard, Trouble> {
    let body = match answer {
        Ok(body) => body,
        Err(failure) if too_few(&failure) => return Ok(Heard::TooFew),
        Err(failure) => return Err(trouble(failure)),
    };
    Ok(match question.via {
        Via::Fields => Heard::Points(reading::fields(&body, question.metrics)),
        Via::Kinds => Heard::Spreads(reading::spreads(&body, question.metrics)),
        Via::Insights | Via::Days | Via::DayTotal | Via::Ads => {
            Heard::Points(reading::insights(&body, question.metrics, question.until()))
        }
    })
}

fn too_few(failure: &Failure) -> bool {
    failure.code.split('/').next() == Some("10") && failure.message.to_lowercase().contains(TOO_FEW)
}

/// What a refusal of numbers is about.
pub(super) fn trouble(failure: Failure) -> Trouble {
    let of_parameters = failure.code.split('/').next() == Some("100");
    match (of_parameters, failure.code == MISSING) {
        (true, true) => Trouble::Missing(failure),
        (true, false) => Trouble::Metric(failure),
        (false, _) => Trouble::Other(failure),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use jobs::{
        contract::Class,
        metrics::{Metric, catalogue::by_id},
    };

    use super::*;

    fn question<'a>(via: Via, metrics: &'a [&'static Metric]) -> Question<'a> {
        let now: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().expect("a time");
        Question { object: Object::Post, ids: &["1"], via, metrics, now, captured_at: None }
    }

    fn of(code: &str, message: &str) -> Result<Heard, Trouble> {
        heard(Err(Failure::new(Class::Permanent, code, message)), &question(Via::Insights, &[]))
    }

    #[test]
    fn an_unknown_metric_a_missing_object_and_too_few_viewers_are_told_apart() {
        assert!(matches!(of("100", "must be a valid insights metric"), Err(Trouble::Metric(_))));
        assert!(matches!(of("100/2108006", "the media was posted before"), Err(Trouble::Metric(_))));
        assert!(matches!(of("100/33", "does not exist"), Err(Trouble::Missing(_))));
        assert_eq!(of("10", "(#10) Not enough viewers for the media to show insights"), Ok(Heard::TooFew));
        assert!(matches!(of("10", "(#10) needs the permission read_insights"), Err(Trouble::Other(_))));
        assert!(matches!(of("1000", "?"), Err(Trouble::Other(_))));
    }

    #[test]
    fn who_follows_is_asked_for_as_the_documents_have_it() {
        let ages = [by_id(104).expect("by age")];
        let query = Dialect::Instagram.query(&question(Via::Kinds, &ages));
        let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = "metric=follower_demographics&period=lifetime&timeframe=this_month&metric_type=total_value\
                        &breakdown=age";
        assert_eq!(query.join("&"), expected);
    }
}
