//! Metrics as the API and the console show them: whose they are, and their series.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use jobs::metrics::{
    Metric, Said,
    catalogue::by_id,
    series::{Series, columns},
};
use uuid::Uuid;

use super::{App, problem::Problem};
use crate::ledger::{
    Ledger, LedgerError,
    series::{Counted, Refusal, SpreadRow},
};

/// As far back as anything is shown unless somebody asks for less.
const REACH: TimeDelta = TimeDelta::days(3 * 366);

/// Unless somebody asks for less, the latest is shown however far this process' clock is behind the ledger's.
const AHEAD: TimeDelta = TimeDelta::days(366);

/// From when to when.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The first moment.
    pub from: DateTime<Utc>,
    /// The last.
    pub to: DateTime<Utc>,
}

impl Span {
    /// What is asked for; all there is where nothing is.
    pub fn of(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let from = from.unwrap_or_else(|| to.unwrap_or(now) - REACH);
        Self { from, to: to.unwrap_or(now + AHEAD) }
    }
}

/// What is counted of something, and what was said of it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Whose numbers.
    pub counted: Counted,
    /// They, by the span that each is about.
    pub series: Vec<Series>,
    /// Who follows it, by kinds of people.
    pub audience: Vec<Audience>,
    /// What the network does not tell.
    pub refusals: Vec<Refusal>,
}

/// Who follows an account, told apart in one way, over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// What is counted, and along what.
    pub metric: &'static Metric,
    /// When it was asked. Ascending.
    pub at: Vec<DateTime<Utc>>,
    /// Whether there were too few followers for the network to tell, for each moment.
    pub too_few: Vec<bool>,
    /// The numbers of each kind, one for each moment; a kind that was not named then has a gap.
    pub kinds: BTreeMap<String, Vec<Option<i64>>>,
}

/// Puts rows, metric by metric and ascending by when they were captured, into columns.
fn audience(rows: &[SpreadRow]) -> Vec<Audience> {
    let mut all: Vec<Audience> = Vec::new();
    for row in rows {
        // what only a newer build knows is left to it
        let Some(metric) = u16::try_from(row.metric).ok().and_then(by_id) else { continue };
        if all.last().is_none_or(|last| last.metric != metric) {
            let (at, too_few, kinds) = (Vec::new(), Vec::new(), BTreeMap::new());
            all.push(Audience { metric, at, too_few, kinds });
        }
        let Some(last) = all.last_mut() else { continue };
        let place = last.at.len();
        last.at.push(row.captured_at);
        last.too_few.push(row.said == Said::TooFew.word());
        for (kind, number) in row.kinds.iter().filter_map(|kinds| kinds.as_object()).flatten() {
            let values = last.kinds.entry(kind.clone()).or_default();
            values.resize(place, None);
            values.push(number.as_i64());
        }
    }
    for it in &mut all {
        let moments = it.at.len();
        it.kinds.values_mut().for_each(|values| values.resize(moments, None));
    }
    all
}

/// Of every publication of a post; none: there is no such post in the workspace.
///
/// # Errors
/// The ledger is away.
pub async fn of_post(
    app: &App,
    workspace_id: Uuid,
    post_id: Uuid,
    span: Span,
) -> Result<Option<Vec<Shown>>, Problem> {
    let ledger = app.within(workspace_id);
    let Some(all) = ledger.counted_of_post(workspace_id, post_id).await? else { return Ok(None) };
    let mut shown = Vec::new();
    for counted in all {
        shown.push(show(&ledger, counted, span).await?);
    }
    Ok(Some(shown))
}

/// Of an account itself; none: there is no such account in the workspace.
///
/// # Errors
/// The ledger is away.
pub async fn of_account(
    app: &App,
    workspace_id: Uuid,
    account_id: Uuid,
    span: Span,
) -> Result<Option<Shown>, Problem> {
    let ledger = app.within(workspace_id);
    match ledger.counted_of_account(workspace_id, account_id).await? {
        Some(counted) => Ok(Some(show(&ledger, counted, span).await?)),
        None => Ok(None),
    }
}

async fn show(ledger: &Ledger, counted: Counted, span: Span) -> Result<Shown, LedgerError> {
    let rows = match counted.number {
        Some(number) => ledger.snapshots(number, span.from, span.to).await?,
        None => Vec::new(),
    };
    let audience = match counted.number.filter(|_| counted.publication_id.is_none()) {
        Some(number) => audience(&ledger.spreads(number, span.from, span.to).await?),
        None => Vec::new(),
    };
    let (series, readable) = columns(&rows);
    if !readable {
        tracing::error!(account = %counted.account_id, number = counted.number, "a snapshot is damaged");
    }
    let refusals = ledger.refusals(counted.account_id).await?;
    Ok(Shown { counted, series, audience, refusals })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(metric: i16, hours: i64, said: &str, kinds: Option<serde_json::Value>) -> SpreadRow {
        let captured_at = DateTime::UNIX_EPOCH + TimeDelta::hours(hours);
        SpreadRow { metric, captured_at, said: said.into(), kinds }
    }

    #[test]
    fn kinds_that_were_not_named_are_gaps_and_too_few_followers_are_said_so() {
        let rows = [
            row(104, 1, "too_few", None),
            row(104, 2, "kinds", Some(json!({ "18-24": 7 }))),
            row(104, 3, "kinds", Some(json!({ "18-24": 9, "25-34": 1 }))),
            row(104, 4, "nothing", None),
            row(107, 3, "kinds", Some(json!({ "F": 6 }))),
            row(9_999, 3, "kinds", Some(json!({ "x": 1 }))),
        ];
        let all = audience(&rows);
        let [ages, genders] = &all[..] else { panic!("{all:?}") };
        assert_eq!((ages.metric.along, genders.metric.along), (Some("age"), Some("gender")));
        assert_eq!(ages.too_few, [true, false, false, false]);
        assert_eq!(ages.kinds["18-24"], [None, Some(7), Some(9), None]);
        assert_eq!(ages.kinds["25-34"], [None, None, Some(1), None]);
        assert_eq!((genders.at.len(), &genders.kinds["F"]), (1, &vec![Some(6)]));
    }
}
