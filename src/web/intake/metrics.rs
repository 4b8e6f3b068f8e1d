//! What networks have counted of posts and accounts, as series: JSON, or CSV for who asks for it.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use jobs::metrics::{Unit, catalogue::by_id, series::Series};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    asked_nothing, id,
    jobs::{JobShape, answer, wished},
    lists,
    shapes::instant,
};
use crate::{
    ledger::{
        idempotency::Answer,
        jobs::{JobRow, Write},
        series,
    },
    web::{
        App,
        access::{AccountsWrite, Caller, MetricsRead},
        counted::{Audience, Shown, Span, of_account, of_post},
        csv::{Cell, Table},
        problem::{Problem, ProblemDocument},
    },
};

/// What is counted, one entry for each publication of a post, or one for an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Metrics)]
pub struct MetricsShape {
    data: Vec<CountedShape>,
}

/// Whose numbers, and they.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Counted)]
struct CountedShape {
    account_id: Uuid,
    platform: String,
    publication_id: Option<Uuid>,
    surface: Option<String>,
    /// When the network was last asked.
    captured_at: Option<DateTime<Utc>>,
    /// When it is asked next.
    next_at: Option<DateTime<Utc>>,
    /// Why it is asked no more: `over`, `gone` from the network, or `nothing` is counted there.
    ended: Option<String>,
    series: Vec<SeriesShape>,
    /// Who follows the account, by kinds of people, where its network tells that.
    audience: Vec<AudienceShape>,
    /// Metrics that the network does not tell, or tells no more, in its words.
    not_told: Vec<NotToldShape>,
}

/// The series of one period: each metric has one value for each moment in `at`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MetricSeries)]
struct SeriesShape {
    /// `lifetime`: all since it came out, as of the moment. `day`: the network's day that ends at the moment.
    period: &'static str,
    #[schema(value_type = Vec<DateTime<Utc>>)]
    at: Vec<String>,
    metrics: Vec<MetricShape>,
}

/// Who follows an account, told apart in one way: each kind has one value for each moment in `at`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MetricAudience)]
struct AudienceShape {
    metric: &'static str,
    remote: &'static str,
    /// What followers are told apart by: `age`, `city`, `country` or `gender`.
    by: &'static str,
    #[schema(value_type = Vec<DateTime<Utc>>)]
    at: Vec<String>,
    /// Whether there were too few followers for the network to tell, for each moment. They are then no 0.
    too_few: Vec<bool>,
    kinds: Vec<KindShape>,
}

/// One kind of people.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MetricKind)]
struct KindShape {
    /// In the network's words, such as `25-34`.
    kind: String,
    /// `null`: the network did not name it then. It names the largest alone.
    values: Vec<Option<i64>>,
}

/// One metric.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Metric)]
struct MetricShape {
    /// Our name, the same at every network.
    metric: &'static str,
    /// The network's.
    remote: &'static str,
    /// `count`, `milliseconds` or `percent`.
    unit: &'static str,
    /// `null` is a gap: the network said nothing. It is never 0.
    #[schema(value_type = Vec<Option<f64>>)]
    values: Values,
}

/// A metric that is not told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MetricNotTold)]
struct NotToldShape {
    metric: &'static str,
    remote: &'static str,
    since: DateTime<Utc>,
    words: String,
}

/// Numbers with the point where their unit has it.
#[derive(Debug)]
struct Values(Unit, Vec<Option<i64>>);

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.decimals() {
            0 => to.collect_seq(&self.1),
            decimals => {
                to.collect_seq(self.1.iter().map(|value| value.map(|value| pointed(value, decimals))))
            }
        }
    }
}

/// The number with its point.
#[expect(clippy::cast_precision_loss, reason = "a part of a hundred has few digits")]
fn pointed(value: i64, decimals: u32) -> f64 {
    value as f64 / f64::from(10_u32.pow(decimals))
}

impl MetricsShape {
    /// What is told of these.
    pub fn of(shown: Vec<Shown>) -> Self {
        Self { data: shown.into_iter().map(CountedShape::of).collect() }
    }
}

impl CountedShape {
    fn of(shown: Shown) -> Self {
        let counted = shown.counted;
        Self {
            account_id: counted.account_id,
            platform: counted.platform,
            publication_id: counted.publication_id,
            surface: counted.surface,
            captured_at: counted.captured_at,
            next_at: counted.due_at,
            ended: counted.ended,
            series: shown.series.into_iter().map(SeriesShape::of).collect(),
            audience: shown.audience.into_iter().map(AudienceShape::of).collect(),
            not_told: shown.refusals.into_iter().filter_map(NotToldShape::of).collect(),
        }
    }
}

impl SeriesShape {
    fn of(series: Series) -> Self {
        let metrics = series.metrics.into_iter().map(|(metric, values)| MetricShape {
            metric: metric.name,
            remote: metric.remote,
            unit: metric.unit.word(),
            values: Values(metric.unit, values),
        });
        Self {
            period: series.period.word(),
            metrics: metrics.collect(),
            at: series.at.into_iter().map(instant).collect(),
        }
    }
}

impl AudienceShape {
    fn of(audience: Audience) -> Self {
        let metric = audience.metric;
        let kinds = audience.kinds.into_iter().map(|(kind, values)| KindShape { kind, values });
        Self {
            metric: metric.name,
            remote: metric.remote,
            by: metric.along.unwrap_or_default(),
            at: audience.at.into_iter().map(instant).collect(),
            too_few: audience.too_few,
            kinds: kinds.collect(),
        }
    }
}

impl NotToldShape {
    fn of(refusal: series::Refusal) -> Option<Self> {
        let metric = by_id(u16::try_from(refusal.metric).ok()?)?;
        Some(Self { metric: metric.name, remote: metric.remote, since: refusal.since, words: refusal.words })
    }
}

/// What networks have counted of a post on each account, over time. With `Accept: text/csv` one line for each number.
#[utoipa::path(
    get,
    path = "/api/v1/posts/{id}/metrics",
    tag = "metrics",
    security(("bearer" = ["metrics:read"])),
    params(
        ("id" = String, Path, description = "The post"),
        ("from" = Option<DateTime<Utc>>, Query, description = "Asked no earlier than this; left out: from the start"),
        ("to" = Option<DateTime<Utc>>, Query, description = "Asked no later than this; left out: until now"),
    ),
    responses(
        (status = 200, description = "One entry for each published publication", content(
            (MetricsShape = "application/json"), (String = "text/csv"))),
        (status = 404, description = "No such post in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "One entry in errors for each parameter", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn post(
    State(app): State<Arc<App>>,
    caller: Caller<MetricsRead>,
    headers: HeaderMap,
    uri: Uri,
    Path(post): Path<String>,
) -> Result<Response, Problem> {
    let (post, span) = (id(&post, "post")?, span(&app, &uri)?);
    let shown = of_post(&app, caller.workspace_id, post, span).await?;
    Ok(told(&headers, shown.ok_or_else(|| Problem::not_found("post"))?))
}

/// What a network has counted of an account itself, over time. With `Accept: text/csv` one line for each number.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{id}/metrics",
    tag = "metrics",
    security(("bearer" = ["metrics:read"])),
    params(
        ("id" = String, Path, description = "The account"),
        ("from" = Option<DateTime<Utc>>, Query, description = "Asked no earlier than this; left out: from the start"),
        ("to" = Option<DateTime<Utc>>, Query, description = "Asked no later than this; left out: until now"),
    ),
    responses(
        (status = 200, description = "One entry", content((MetricsShape = "application/json"), (String = "text/csv"))),
        (status = 404, description = "No such account in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "One entry in errors for each parameter", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn account(
    State(app): State<Arc<App>>,
    caller: Caller<MetricsRead>,
    headers: HeaderMap,
    uri: Uri,
    Path(account): Path<String>,
) -> Result<Response, Problem> {
    let (account, span) = (id(&account, "account")?, span(&app, &uri)?);
    let shown = of_account(&app, caller.workspace_id, account, span).await?;
    Ok(told(&headers, vec![shown.ok_or_else(|| Problem::not_found("account"))?]))
}

/// Asks an account's network now what it has counted of the account and of what is still followed on it, instead of at
/// their times. While the job that does it waits, whoever asks again gets the same. `[web] snapshot_asks` says how often a
/// workspace may.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{id}/snapshot",
    tag = "metrics",
    security(("bearer" = ["accounts:write"])),
    params(
        ("id" = String, Path, description = "The account"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    responses(
        (status = 202, description = "Committed: the job that does it", body = JobShape),
        (status = 404, description = "No such account in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Not as it stands; detail says why", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "More than a workspace may ask for in an hour; Retry-After says when to go on", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn snapshot(
    State(app): State<Arc<App>>,
    caller: Caller<AccountsWrite>,
    headers: HeaderMap,
    Path(account): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let id = id(&account, "account")?;
    let route = format!("POST /api/v1/accounts/{id}/snapshot");
    let asked = asked_nothing(&app, &headers, caller.workspace_id, &route, body).await?;
    let (workspace_id, ledger) = (Some(caller.workspace_id), caller.ledger);
    let most = app.house.web.snapshot_asks;
    let asking = async move {
        let keyed = asked.as_ref().map(|asked| (asked, answer as fn(&JobRow) -> Answer));
        ledger.ask_snapshot(&Write { workspace_id, id, keyed, dry: false }, most).await
    };
    wished(&app, "account", asking).await
}

fn span(app: &App, uri: &Uri) -> Result<Span, Problem> {
    let mut query = lists::Query::read(uri, &["from", "to"]);
    let (from, to) = (query.instant("from"), query.instant("to"));
    query.done()?;
    Ok(Span::of(from, to, app.house.clock.now()))
}

fn told(headers: &HeaderMap, shown: Vec<Shown>) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/csv") {
        return csv_file(&shown);
    }
    Json(MetricsShape::of(shown)).into_response()
}

/// One line for each number, as a file to be kept.
pub fn csv_file(shown: &[Shown]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"metrics.csv\""),
    ];
    (headers, csv(shown)).into_response()
}

/// One line for each number; a gap is an empty field. Kinds of people are a network's words, and nothing else in it is
/// anybody's, so that only they may need quotes.
fn csv(shown: &[Shown]) -> String {
    let mut text =
        String::from("account_id,platform,publication_id,surface,metric,unit,period,at,value,kind\r\n");
    for Shown { counted, series, .. } in shown {
        let publication = counted.publication_id.map(|id| id.to_string()).unwrap_or_default();
        let surface = counted.surface.as_deref().unwrap_or_default();
        let whose = format!("{},{},{publication},{surface}", counted.account_id, counted.platform);
        for series in series {
            let at: Vec<String> = series.at.iter().copied().map(instant).collect();
            for (metric, values) in &series.metrics {
                let (name, unit, period) = (metric.name, metric.unit.word(), series.period.word());
                for (at, value) in at.iter().zip(values) {
                    let value = value.map(|value| number(value, metric.unit)).unwrap_or_default();
                    // writing to a string does not fail
                    let _written = write!(text, "{whose},{name},{unit},{period},{at},{value},\r\n");
                }
            }
        }
    }
    text + &kinds(shown)
}

/// Who follows accounts, in the same columns.
fn kinds(shown: &[Shown]) -> String {
    let mut table = Table::default();
    for Shown { counted, audience, .. } in shown {
        let account = counted.account_id.to_string();
        let whose = [Cell::Words(&account), Cell::Words(&counted.platform), Cell::Gap, Cell::Gap];
        for it in audience {
            let what = [it.metric.name, it.metric.unit.word(), it.metric.period().word()].map(Cell::Words);
            for (kind, values) in &it.kinds {
                for (at, value) in it.at.iter().zip(values) {
                    let at = instant(*at);
                    let told = [Cell::Words(&at), Cell::from(*value), Cell::Words(kind)];
                    table.line(&[&whose[..], &what[..], &told[..]].concat());
                }
            }
        }
    }
    table.text()
}

/// The number as text, with the point where the unit has it.
pub fn number(value: i64, unit: Unit) -> String {
    match unit.decimals() {
        0 => value.to_string(),
        decimals => format!("{:.*}", decimals as usize, pointed(value, decimals)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_null_and_a_percentage_has_its_point() {
        let told = |unit, values| serde_json::to_string(&Values(unit, values)).expect("JSON");
        assert_eq!(told(Unit::Count, vec![Some(3), None, Some(0)]), "[3,null,0]");
        assert_eq!(told(Unit::Percent, vec![Some(3325), None]), "[33.25,null]");
        assert_eq!((number(3325, Unit::Percent), number(7, Unit::Count)), ("33.25".into(), "7".into()));
    }
}
