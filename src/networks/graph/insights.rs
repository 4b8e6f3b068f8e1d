//! What Graph has counted: insights, and the counts that an object bears itself.
//!
//! One metric that it does not know fails the whole call (100), whatever else was asked for. Too few viewers are told by
//! the code of a missing permission (10), and by its words alone told apart from it.

use jobs::{
    contract::Failure,
    desk::Call,
    metrics::{Heard, Question, Trouble, Via, reading},
};

use super::{
    super::http::{Deadline, Fault},
    Graph, MISSING,
};

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

impl Graph {
    /// Asks about one object.
    ///
    /// # Errors
    /// What Graph said.
    pub async fn insights(
        &self,
        call: &Call<'_>,
        question: &Question<'_>,
        dialect: Dialect,
    ) -> Result<Vec<Heard>, Trouble> {
        let Some(id) = question.ids.first().copied() else { return Ok(Vec::new()) };
        let names: Vec<&str> = question.metrics.iter().map(|metric| metric.remote).collect();
        let names = names.join(",");
        let deadline = Deadline::of(call);
        let heard = if question.via == Via::Fields {
            let read = self.get(call, deadline, &[id], &[("fields", &names)]).await;
            read.map(|object| reading::fields(&object, question.metrics))
        } else {
            let (since, until) =
                (question.since().timestamp().to_string(), question.until().timestamp().to_string());
            let mut query = vec![("metric", names.as_str())];
            query.extend(dialect.ways(question.via));
            if matches!(question.via, Via::Days | Via::DayTotal) {
                query.extend([("since", since.as_str()), ("until", until.as_str())]);
            }
            let read = self.get(call, deadline, &[id, "insights"], &query).await;
            read.map(|body| reading::insights(&body, question.metrics, question.until()))
        };
        match heard {
            Ok(points) => Ok(vec![Heard::Points(points)]),
            Err(fault) => said(fault),
        }
    }
}

impl Dialect {
    /// What names the period, and how it is told.
    fn ways(self, via: Via) -> Vec<(&'static str, &'static str)> {
        match (self, via) {
            (_, Via::Fields) | (Self::Instagram, Via::Insights) => Vec::new(),
            (Self::Page, Via::Insights) => vec![("period", "lifetime")],
            (Self::Page, Via::Days | Via::DayTotal) => vec![("period", "day")],
            (Self::Instagram, Via::Days) => vec![("period", "day"), ("metric_type", "time_series")],
            (Self::Instagram, Via::DayTotal) => vec![("period", "day"), ("metric_type", "total_value")],
        }
    }
}

fn said(fault: Fault) -> Result<Vec<Heard>, Trouble> {
    let failure: Failure = fault.into_failure();
    let code = failure.code.split('/').next().unwrap_or_default();
    match code {
        "100" if failure.code == MISSING => Err(Trouble::Missing(failure)),
        "100" => Err(Trouble::Metric(failure)),
        "10" if failure.message.to_lowercase().contains(TOO_FEW) => Ok(vec![Heard::TooFew]),
        _ => Err(Trouble::Other(failure)),
    }
}

#[cfg(test)]
mod tests {
    use jobs::contract::Class;

    use super::*;

    fn of(code: &str, message: &str) -> Result<Vec<Heard>, Trouble> {
        said(Fault::Refused(Failure::new(Class::Permanent, code, message)))
    }

    #[test]
    fn an_unknown_metric_a_missing_object_and_too_few_viewers_are_told_apart() {
        assert!(matches!(of("100", "must be a valid insights metric"), Err(Trouble::Metric(_))));
        assert!(matches!(of("100/2108006", "the media was posted before"), Err(Trouble::Metric(_))));
        assert!(matches!(of("100/33", "does not exist"), Err(Trouble::Missing(_))));
        assert_eq!(
            of("10", "(#10) Not enough viewers for the media to show insights"),
            Ok(vec![Heard::TooFew])
        );
        assert!(matches!(of("10", "(#10) needs the permission read_insights"), Err(Trouble::Other(_))));
        assert!(matches!(of("1000", "?"), Err(Trouble::Other(_))));
    }
}
