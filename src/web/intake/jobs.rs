//! Jobs: what there is, trying again, cancelling. A workspace's key sees and moves only its own.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Uri},
    response::Response,
};
use chrono::{DateTime, Utc};
use jobs::hint::Hint;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{answered, asked_nothing, id, lists, shapes::Page};
use crate::{
    ledger::{
        LedgerError,
        control::Refusal,
        idempotency::{Answer, Once},
        jobs::{JobFilter, JobRow, JobState, Write},
    },
    web::{
        App,
        access::{JobsRead, JobsWrite, Operator},
        limits,
        problem::{Problem, ProblemDocument},
    },
};

/// A job, alive or over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobShape {
    id: Uuid,
    /// Its kind, which is its queue.
    kind: String,
    /// Its payload's version.
    version: i32,
    /// `ready`, `waiting`, `running`, `paused`; and over: `done`, `held`, `failed`, `cancelled`, `unknown`, `dead`.
    state: &'static str,
    /// What its last attempt came to, in a word to choose by: a code such as `crash_limit`, or an outcome.
    cause: Option<String>,
    /// The same in words.
    reason: Option<String>,
    /// Its workspace; the nil UUID is the house itself.
    workspace_id: Uuid,
    account_id: Option<Uuid>,
    publication_id: Option<Uuid>,
    /// Where its publication stands now.
    publication_state: Option<&'static str>,
    /// Attempts spent.
    attempts: i32,
    /// Workers that ended while they held it.
    crashes: i32,
    /// When it may run, while it lives.
    run_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    /// As which job it was tried again.
    redriven_as: Option<Uuid>,
    /// Why no worker of this build takes it, if none does.
    note: Option<String>,
}

impl From<&JobRow> for JobShape {
    fn from(row: &JobRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind.clone(),
            version: row.version,
            state: row.state.word(),
            cause: row.cause.clone(),
            reason: row.reason.clone(),
            workspace_id: row.workspace_id,
            account_id: row.account_id,
            publication_id: row.publication_id,
            publication_state: row.publication_state,
            attempts: row.attempts,
            crashes: row.crashes,
            run_at: row.run_at,
            created_at: row.created_at,
            ended_at: row.ended_at,
            redriven_as: row.redriven_as,
            note: row.note(),
        }
    }
}

/// The longest that a list may take: it shares its connections with what accepts posts.
const LIST_WITHIN: Duration = Duration::from_secs(2);

/// A list that takes too long is refused, with what makes it shorter.
fn too_much(error: LedgerError) -> Problem {
    if error.took_too_long() {
        let detail = "There are too many jobs to look through. Ask for one kind, one state or one workspace.";
        return Problem::away("too-much-to-look-through", detail);
    }
    error.into()
}

/// Jobs, newest first. Those that ended well are listed only where `state` asks for `done`.
#[utoipa::path(
    get,
    path = "/api/v1/jobs",
    tag = "jobs",
    security(("bearer" = ["jobs:read"])),
    params(
        ("kind" = Option<String>, Query, description = "Of this kind, which is its queue"),
        ("queue" = Option<String>, Query, description = "The same"),
        ("state" = Option<String>, Query, description = "In one of these states, with commas between them"),
        ("cause" = Option<String>, Query, description = "Whose last attempt came to this"),
        ("workspace" = Option<String>, Query, description = "Of this workspace; for an operator's key"),
        ("limit" = Option<u32>, Query, description = "1 to 200, default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<JobShape>),
        (status = 422, description = "A parameter cannot be taken", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Operator<JobsRead>,
    uri: Uri,
) -> Result<Json<Page<JobShape>>, Problem> {
    let known = ["kind", "queue", "state", "cause", "workspace", "limit", "cursor"];
    let mut query = lists::Query::read(&uri, &known);
    let limit = query.limit();
    let filter = JobFilter {
        kind: query.word("kind").or_else(|| query.word("queue")),
        states: query.words::<JobState>("state"),
        cause: query.word("cause"),
        // whatever a workspace's key asks for, it sees its own
        workspace_id: caller.workspace_id.or_else(|| query.known_id("workspace")),
        before: query.cursor(),
        ..JobFilter::default()
    };
    query.done()?;
    let _turn = app.job_lists.acquire().await;
    let jobs = caller.ledger.jobs(&filter, limit + 1, LIST_WITHIN).await.map_err(too_much)?;
    let (jobs, next_cursor) = lists::cut(jobs, limit, |job| job.id);
    Ok(Json(Page { data: jobs.iter().map(JobShape::from).collect(), next_cursor }))
}

/// Tries again what ended badly, and answers with the job that does it. A publish job's publication is tried again
/// from what is known of it; one whose outcome is not known is left to the network's evidence.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/retry",
    tag = "jobs",
    security(("bearer" = ["jobs:write"])),
    params(
        ("id" = String, Path, description = "The job"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    responses(
        (status = 202, description = "Committed", body = JobShape),
        (status = 404, description = "No such job for this key", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Not as it stands; detail says why", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn retry(
    State(app): State<Arc<App>>,
    caller: Operator<JobsWrite>,
    headers: HeaderMap,
    Path(job): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    act(app, caller, headers, job, body, Act::Retry).await
}

/// Cancels a job that nobody works on. A publish job's publication is cancelled; where it may be public already,
/// the answer is 409 and the wish is kept.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/cancel",
    tag = "jobs",
    security(("bearer" = ["jobs:write"])),
    params(
        ("id" = String, Path, description = "The job"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    responses(
        (status = 202, description = "Committed", body = JobShape),
        (status = 404, description = "No such job for this key", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Not as it stands; detail says why", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn cancel(
    State(app): State<Arc<App>>,
    caller: Operator<JobsWrite>,
    headers: HeaderMap,
    Path(job): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    act(app, caller, headers, job, body, Act::Cancel).await
}

#[derive(Clone, Copy)]
enum Act {
    Retry,
    Cancel,
}

impl Act {
    const fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }
}

async fn act(
    app: Arc<App>,
    caller: Operator<JobsWrite>,
    headers: HeaderMap,
    job: String,
    body: Body,
    act: Act,
) -> Result<Response, Problem> {
    let id = id(&job, "job")?;
    let route = format!("POST /api/v1/jobs/{id}/{}", act.word());
    let asked = asked_nothing(&app, &headers, caller.name(), &route, body).await?;
    let (workspace_id, ledger) = (caller.workspace_id, caller.ledger);
    // who hangs up now must not leave half of it
    let acting = tokio::spawn(async move {
        let keyed = asked.as_ref().map(|asked| (asked, answer as fn(&JobRow) -> Answer));
        let write = Write { workspace_id, id, keyed, dry: false };
        match act {
            Act::Retry => ledger.retry_job(&write).await,
            Act::Cancel => ledger.cancel_job(&write).await,
        }
    });
    told(acting.await??, "job")
}

/// Has a job made of a wish, to its end whoever hangs up meanwhile, tells the workers of it, and answers with it; where it
/// is missing, what it would be about is.
///
/// # Errors
/// The ledger is away, or the wish is refused.
pub async fn wished(
    app: &Arc<App>,
    about: &'static str,
    wishing: impl Future<Output = Result<Once<Result<JobRow, Refusal>>, LedgerError>> + Send + 'static,
) -> Result<Response, Problem> {
    let app = Arc::clone(app);
    let acting = tokio::spawn(async move {
        let done = wishing.await?;
        if let Once::Done(Ok(row)) = &done {
            let (kind, run_at) = (row.kind.clone(), row.run_at.unwrap_or(row.created_at));
            (app.house.nudge)(vec![Hint { kind, workspace_id: row.workspace_id, job_id: row.id, run_at }]);
        }
        Ok::<_, LedgerError>(done)
    });
    told(acting.await??, about)
}

fn told(done: Once<Result<JobRow, Refusal>>, about: &'static str) -> Result<Response, Problem> {
    answered(done.map(|made| match made {
        Ok(row) => Ok(answer(&row)),
        Err(Refusal::Missing) => Err(Problem::not_found(about)),
        Err(Refusal::TooOften(seconds)) => Err(limits::refused(seconds)),
        Err(refusal) => Err(Problem::conflict(sentence(&refusal))),
    }))
}

pub(super) fn answer(row: &JobRow) -> Answer {
    Answer::of(202, &JobShape::from(row))
}

/// A refusal as a sentence of its own.
pub fn sentence(refusal: &impl std::fmt::Display) -> String {
    let text = refusal.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
