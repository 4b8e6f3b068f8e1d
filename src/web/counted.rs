//! Metrics as the API and the console show them: whose they are, and their series.

use chrono::{DateTime, TimeDelta, Utc};
use jobs::metrics::series::{Series, columns};
use uuid::Uuid;

use super::{App, problem::Problem};
use crate::ledger::{
    Ledger, LedgerError,
    series::{Counted, Refusal},
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
    /// What the network does not tell.
    pub refusals: Vec<Refusal>,
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
    let (series, readable) = columns(&rows);
    if !readable {
        tracing::error!(account = %counted.account_id, number = counted.number, "a snapshot is damaged");
    }
    let refusals = ledger.refusals(counted.account_id).await?;
    Ok(Shown { counted, series, refusals })
}
