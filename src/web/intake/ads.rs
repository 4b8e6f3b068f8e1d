//! What ads came to, day by day, of an ad account and of what is in it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::Uri,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use jobs::metrics::ads::Level;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{id, lists, shapes::Page};
use crate::{
    ledger::advertising::{AdDay, Wanted},
    web::{
        App,
        access::{Caller, MetricsRead},
        problem::{Problem, ProblemDocument},
    },
};

/// As far back as anything is shown unless somebody asks for less: further back no network tells.
const REACH: TimeDelta = TimeDelta::days(3 * 366 + 31);
/// An ad account's day may begin before ours.
const AHEAD: TimeDelta = TimeDelta::days(1);

/// One object of ads on one day, as the network said it last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdDay)]
pub struct AdDayShape {
    /// `account`, `campaign`, `adset` or `ad`.
    level: String,
    /// The network's id.
    id: String,
    name: Option<String>,
    /// The network's id of what it is in.
    parent_id: Option<String>,
    /// In the ad account's own time zone.
    day: NaiveDate,
    /// In what every sum of money is told; `null`: the network did not say.
    currency: Option<String>,
    /// The window by which results are counted, in the network's words; `null`: it did not say.
    attribution: Option<String>,
    /// Each number as the text that the network wrote; `null` is a gap, and never 0. Those by kinds of action are objects.
    #[schema(value_type = Object)]
    numbers: Value,
    /// When the network said it.
    captured_at: DateTime<Utc>,
    /// How often it has said something else of that day before: results that come late change the latest days.
    revisions: i64,
}

impl AdDayShape {
    /// What is told of it.
    pub fn of(day: AdDay) -> Self {
        Self {
            level: day.level,
            id: day.remote_id,
            name: day.name,
            parent_id: day.parent_id,
            day: day.day,
            currency: day.currency,
            attribution: day.attribution,
            numbers: day.numbers,
            captured_at: day.captured_at,
            revisions: day.revisions,
        }
    }
}

/// What ads of an ad account came to, one entry for each object and day, the latest day first.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{id}/ads",
    tag = "metrics",
    security(("bearer" = ["metrics:read"])),
    params(
        ("id" = String, Path, description = "The account"),
        ("level" = Option<String>, Query, description = "account, campaign, adset or ad; left out: account"),
        ("from" = Option<NaiveDate>, Query, description = "The first day; left out: from the start"),
        ("to" = Option<NaiveDate>, Query, description = "The last day; left out: until now"),
        ("limit" = Option<u32>, Query, description = "1 to 200, default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<AdDayShape>),
        (status = 404, description = "No such account in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "One entry in errors for each parameter", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller<MetricsRead>,
    uri: Uri,
    Path(account): Path<String>,
) -> Result<Json<Page<AdDayShape>>, Problem> {
    let account: Uuid = id(&account, "account")?;
    let mut query = lists::Query::read(&uri, &["level", "from", "to", "limit", "cursor"]);
    let levels: Vec<(&'static str, Level)> = Level::ALL.iter().map(|level| (level.word(), *level)).collect();
    let (level, from, to) = (query.one_of("level", &levels), query.day("from"), query.day("to"));
    let (limit, place) = (query.limit(), query.place());
    query.done()?;
    let today = app.house.clock.now().date_naive();
    let wanted = Wanted {
        level: level.unwrap_or(Level::Account),
        from: from.unwrap_or(today - REACH),
        to: to.unwrap_or(today + AHEAD),
        after: place.as_ref().map(|(day, object)| (*day, object.as_str())),
        most: limit + 1,
    };
    let days = caller.ledger.ads_of_account(caller.workspace_id, account, &wanted).await?;
    let mut days = days.ok_or_else(|| Problem::not_found("account"))?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = days.len() > most;
    days.truncate(most);
    let last = days.last().filter(|_| more);
    let next_cursor = last.map(|day| lists::place(day.day, &day.remote_id));
    Ok(Json(Page { data: days.into_iter().map(AdDayShape::of).collect(), next_cursor }))
}
