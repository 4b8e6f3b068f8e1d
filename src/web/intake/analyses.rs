//! Help in writing posts. What comes of it is a suggestion: nothing of it is published unless somebody does so.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use chrono::{DateTime, Utc};
use jobs::analysis::{Outcome, Sent, money::Micros};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{answered, asked_json, id};
use crate::{
    ledger::{
        analyses::{AnalysisRow, CallRow, WAITING},
        idempotency::Answer,
    },
    web::{
        App,
        access::{AnalysesWrite, Caller},
        analysis::{Refused, wished},
        problem::{Problem, ProblemDocument},
    },
};

/// What `POST /api/v1/analyses` takes. Unknown fields are refused.
#[derive(ToSchema)]
#[schema(as = NewAnalysis)]
pub struct AnalysisBody {
    /// `caption`: words for a post. `video_review`: the first film among the files, or else the pictures, looked at before they
    /// go out; the brief may be left empty then. `results`: what a post, or an account in a month, has come to, in words whose
    /// every figure is of what was counted, and that do not turn round what became of it, as far as the words we know say so;
    /// only for a workspace that lets that go to the provider.
    #[schema(example = "caption")]
    pub kind: String,
    /// What it is about, in 1 to 5,000 characters. For web and mail addresses, what has an @ in it, numbers of seven digits or
    /// more, and the names of the workspace's accounts and people as they stand here, the model gets stand-ins; they are put back
    /// into what it writes. No other name is found: leave it out.
    #[schema(example = "Opening day on Friday: sourdough at half price until noon")]
    pub brief: String,
    /// `he` or `en`.
    #[schema(example = "he")]
    pub language: String,
    /// The pictures of the post, at most ten, for texts that say what they show. They go along only where the workspace
    /// lets them.
    pub media_ids: Option<Vec<String>>,
    /// For which networks; left out: those that the workspace has accounts on.
    #[schema(example = json!(["instagram_business"]))]
    pub platforms: Option<Vec<String>>,
    /// Of `results`: the post…
    pub post_id: Option<String>,
    /// …or the account…
    pub account_id: Option<String>,
    /// …and the month (UTC).
    #[schema(example = "2026-10")]
    pub month: Option<String>,
}

/// An analysis.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Analysis)]
pub struct AnalysisShape {
    id: Uuid,
    kind: String,
    /// `waiting`; and over: `done`, `refused` by the model, `cut` because the answer was too long or a filter stopped it,
    /// `invalid` because it was useless twice, `over_budget`, `quota` where the house's credit is used up, `withheld` because
    /// it may not leave, `failed`.
    state: String,
    language: String,
    platforms: Vec<String>,
    brief: String,
    media_ids: Vec<Uuid>,
    post_id: Option<Uuid>,
    account_id: Option<Uuid>,
    /// `2026-10`.
    month: Option<String>,
    created_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    /// What the model was told, by name and version.
    prompt: Option<String>,
    model: Option<String>,
    /// The same had been asked before: it was not paid for again.
    cached: bool,
    /// Of captions: `variants`, each with `platform`, `caption`, `hashtags` and both together as `text`; `alt_texts`, one for
    /// each of `pictures`, which are places in `media_ids`; `left_out`, how many broke a rule. Of a review: `summary`;
    /// `findings`, each with `kind`, `severity`, `at_ms` and `detail`; `moderation`, which pictures the provider's rules say
    /// something of; `transcript`; `frames`, the times of the pictures that were looked at. Of results: `statements`, each with
    /// its `figure` and `text`; `advice`; `figures`, what they are made of; `left_out`, how many sentences did not hold.
    result: Option<Value>,
    /// `class`, `code` and `message`.
    error: Option<Value>,
    /// What left the house for it: names, sizes and digests, never content.
    calls: Vec<CallShape>,
}

/// A call to the provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnalysisCall)]
struct CallShape {
    id: Uuid,
    began_at: DateTime<Utc>,
    /// `answered`, `refused`, `cut`, `invalid`, `unpaid`, `quota`, `lost`; `null` while it is under way.
    outcome: Option<String>,
    /// What counts for it against the month's budget, in dollars; of one that was lost all that it could cost.
    cost_usd: String,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    sent: Vec<SentShape>,
}

/// A part of what left.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sent)]
struct SentShape {
    field: String,
    bytes: usize,
    sha256: String,
}

/// What a month may cost, and what it has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnalysisBudget)]
pub struct BudgetShape {
    /// Whether the workspace has analyses switched on.
    enabled: bool,
    /// Whether its pictures, and what is seen and heard in its films, go along.
    media: bool,
    /// Whether what networks have counted does.
    numbers: bool,
    /// What the calendar month (UTC) may cost: nothing is asked that could pass it.
    monthly_usd: String,
    /// What it has cost so far, with what is set aside for what is under way.
    spent_usd: String,
    /// What it will have cost at its end if it goes on like this.
    forecast_usd: String,
}

impl From<&AnalysisRow> for AnalysisShape {
    fn from(row: &AnalysisRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind.word().to_owned(),
            state: row.ended.map_or(WAITING, Outcome::word).to_owned(),
            language: row.language.word().to_owned(),
            platforms: row.platforms.clone(),
            brief: row.brief.clone(),
            media_ids: row.media_ids.clone(),
            post_id: row.post_id,
            account_id: row.account_id,
            month: row.month.map(|first| first.format("%Y-%m").to_string()),
            created_at: row.created_at,
            ended_at: row.ended_at,
            prompt: row.prompt.clone(),
            model: row.model.clone(),
            cached: row.cached,
            result: row.result.clone(),
            error: row.error.clone(),
            calls: row.calls.iter().map(CallShape::from).collect(),
        }
    }
}

impl From<&CallRow> for CallShape {
    fn from(call: &CallRow) -> Self {
        let sent = |part: &Sent| SentShape {
            field: part.field.clone(),
            bytes: part.bytes,
            sha256: part.sha256.clone(),
        };
        Self {
            id: call.id,
            began_at: call.began_at,
            outcome: call.outcome.clone(),
            cost_usd: dollars(call.counted),
            input_tokens: call.input_tokens,
            output_tokens: call.output_tokens,
            sent: call.sent.iter().map(sent).collect(),
        }
    }
}

/// Without the sign; a number of another kind would lose what is small.
fn dollars(micros: Micros) -> String {
    micros.to_string().trim_start_matches('$').to_owned()
}

/// What an analysis that was taken in is answered with.
pub fn answer(row: &AnalysisRow) -> Answer {
    Answer::of(202, &AnalysisShape::from(row))
}

/// Asks for captions, for a look at a film, or for results in words. They are suggestions: nothing of them is ever published of itself.
#[utoipa::path(
    post,
    path = "/api/v1/analyses",
    tag = "analyses",
    security(("bearer" = ["analyses:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer")),
    request_body = AnalysisBody,
    responses(
        (status = 202, description = "Committed", body = AnalysisShape),
        (status = 409, description = "Switched off, for this workspace or here; detail says which", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "One entry in errors for each field", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller<AnalysesWrite>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let route = "POST /api/v1/analyses";
    let (asked, said) = asked_json(&app, &headers, caller.workspace_id, route, body).await?;
    let (new, findings) = wished(&said, &app, caller.key_id);
    if !findings.is_empty() {
        return Err(Problem::invalid(findings));
    }
    let done = app.ask_analysis(caller.workspace_id, new, asked).await?;
    answered(done.map(|made| made.map(|row| answer(&row)).map_err(refusal)))
}

const OFF_HERE: &str = "Analyses are off here: OPENAI_API_KEY is not set. Ask whoever runs postroom.";
const OFF: &str = "Analyses are switched off for this workspace. Whoever manages it can switch them on.";

fn refusal(why: Refused) -> Problem {
    match why {
        Refused::OffHere => Problem::conflict(OFF_HERE),
        Refused::Off => Problem::conflict(OFF),
        Refused::Wrong(finding) => Problem::invalid(vec![finding]),
    }
}

/// An analysis, with what came of it and what left the house for it.
#[utoipa::path(
    get,
    path = "/api/v1/analyses/{id}",
    tag = "analyses",
    security(("bearer" = ["analyses:write"])),
    params(("id" = String, Path, description = "The analysis")),
    responses(
        (status = 200, description = "The analysis", body = AnalysisShape),
        (status = 404, description = "No such analysis in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn one(
    caller: Caller<AnalysesWrite>,
    Path(analysis): Path<String>,
) -> Result<Json<AnalysisShape>, Problem> {
    let id = id(&analysis, "analysis")?;
    let row = caller.ledger.analysis(caller.workspace_id, id).await?;
    Ok(Json(AnalysisShape::from(&row.ok_or_else(|| Problem::not_found("analysis"))?)))
}

/// What analyses may cost the workspace this month, what they have, and what they will have at its end.
#[utoipa::path(
    get,
    path = "/api/v1/analyses/budget",
    tag = "analyses",
    security(("bearer" = ["analyses:write"])),
    responses(
        (status = 200, description = "The month", body = BudgetShape),
        (status = 409, description = "Switched off here", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn budget(
    State(app): State<Arc<App>>,
    caller: Caller<AnalysesWrite>,
) -> Result<Json<BudgetShape>, Problem> {
    let month = app.analysis_month(caller.workspace_id).await?;
    let month = month.ok_or_else(|| refusal(Refused::OffHere))?;
    Ok(Json(BudgetShape {
        enabled: month.policy.enabled,
        media: month.policy.media,
        numbers: month.policy.numbers,
        monthly_usd: dollars(month.policy.monthly),
        spent_usd: dollars(month.spent),
        forecast_usd: dollars(month.forecast),
    }))
}
