//! Stopping a queue and letting it go on. An operator's key stops all of it, a workspace's key its own part.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{answered, asked_json, asked_optional};
use crate::{
    ledger::{
        Ledger,
        idempotency::{Answer, Asked, Keyed, Once},
        pauses::{By, Pause, Stoppable},
    },
    web::{
        App,
        access::{JobsWrite, Operator},
        body,
        finding::Finding,
        problem::{Problem, ProblemDocument},
    },
};

/// What `POST /api/v1/queues/{name}/pause` takes. Unknown fields are refused.
#[derive(ToSchema)]
#[schema(as = NewPause)]
pub struct PauseBody {
    /// Why, for whoever wonders; 1 to 500 characters.
    #[schema(example = "their outage")]
    pub reason: String,
    /// ISO 8601 duration; left out: until it is resumed.
    #[schema(example = "PT2H")]
    pub r#for: Option<String>,
    /// Only the jobs about this account.
    pub account_id: Option<String>,
}

/// What `POST /api/v1/queues/{name}/resume` takes, if anything.
#[derive(ToSchema)]
#[schema(as = Resume)]
pub struct ResumeBody {
    /// The pause of this account.
    pub account_id: Option<String>,
}

/// A pause.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pause)]
pub struct PauseShape {
    /// `queue`, `queue_of_workspace` or `queue_of_account`.
    scope: String,
    /// Which one: the queue, or the queue and the id.
    subject: String,
    reason: String,
    paused_at: DateTime<Utc>,
    /// `null`: until it is resumed.
    ends_at: Option<DateTime<Utc>>,
}

/// Stops the claiming of a queue's jobs; what runs already runs on, and new work is accepted and kept.
#[utoipa::path(
    post,
    path = "/api/v1/queues/{name}/pause",
    tag = "jobs",
    security(("bearer" = ["jobs:write"])),
    params(
        ("name" = String, Path, description = "The queue, which is a kind of job"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    request_body = PauseBody,
    responses(
        (status = 200, description = "Paused", body = PauseShape),
        (status = 404, description = "No such queue", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Paused already; detail says since when and why", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "One entry in errors for each field", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn pause(
    State(app): State<Arc<App>>,
    caller: Operator<JobsWrite>,
    headers: HeaderMap,
    Path(name): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let queue = queue(&name)?;
    let route = format!("POST /api/v1/queues/{queue}/pause");
    let (asked, said) = asked_json(&app, &headers, caller.name(), &route, body).await?;
    let (wish, findings) = body::pause(&said);
    let what = stoppable(&caller, queue, wish.account_id.as_deref(), findings).await?;
    let (by, ledger) = (by(&caller), caller.ledger);
    let pausing = tokio::spawn(async move {
        ledger.pause(by, &what, &wish.reason, wish.lasting, keyed(asked.as_ref())).await
    });
    let standing = |pause: Pause| Problem::conflict(paused_already(&pause));
    answered(pausing.await??.map(|made| made.map(|made| answer(&made)).map_err(standing)))
}

/// Ends a pause that the same kind of key has made.
#[utoipa::path(
    post,
    path = "/api/v1/queues/{name}/resume",
    tag = "jobs",
    security(("bearer" = ["jobs:write"])),
    params(
        ("name" = String, Path, description = "The queue, which is a kind of job"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    request_body = Option<ResumeBody>,
    responses(
        (status = 200, description = "The pause that has ended", body = PauseShape),
        (status = 404, description = "No such queue", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Not paused by such a key; detail says by whom, if by anybody", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn resume(
    State(app): State<Arc<App>>,
    caller: Operator<JobsWrite>,
    headers: HeaderMap,
    Path(name): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let queue = queue(&name)?;
    let route = format!("POST /api/v1/queues/{queue}/resume");
    let (asked, said) = asked_optional(&app, &headers, caller.name(), &route, body).await?;
    let (account_id, findings) = body::resumed(&said);
    let what = stoppable(&caller, queue, account_id.as_deref(), findings).await?;
    let (by, ledger, shown) = (by(&caller), caller.ledger.clone(), what.clone());
    let resuming = tokio::spawn(async move { ledger.resume(by, &what, keyed(asked.as_ref())).await });
    let done = resuming.await??;
    if matches!(done, Once::Done(None)) {
        return Err(Problem::conflict(not_paused(&caller.ledger, queue, &shown).await?));
    }
    answered(done.map(|ended| ended.map(|ended| answer(&ended)).ok_or_else(Problem::internal)))
}

fn queue(name: &str) -> Result<&'static str, Problem> {
    jobs::kind(name).map(|kind| kind.name).ok_or_else(|| Problem::not_found("queue"))
}

/// Whose pause it is that this key makes.
const fn by(caller: &Operator<JobsWrite>) -> By {
    match caller.workspace_id {
        Some(_) => By::Workspace,
        None => By::Operator,
    }
}

/// What this key may stop. An account of another workspace is one that nobody has.
async fn stoppable(
    caller: &Operator<JobsWrite>,
    queue: &str,
    account_id: Option<&str>,
    mut findings: Vec<Finding>,
) -> Result<Stoppable, Problem> {
    let mut what = match caller.workspace_id {
        Some(workspace_id) => Stoppable::QueueOfWorkspace(queue.to_owned(), workspace_id),
        None => Stoppable::Queue(queue.to_owned()),
    };
    if let Some(given) = account_id {
        match Uuid::try_parse(given) {
            Ok(id) if caller.ledger.has_account(id, caller.workspace_id).await? => {
                what = Stoppable::QueueOfAccount(queue.to_owned(), id);
            }
            Ok(_) | Err(_) => {
                let detail = "There is no such account here; GET /api/v1/accounts lists them.";
                findings.push(Finding::new("account_id", "account_unknown", detail));
            }
        }
    }
    if findings.is_empty() { Ok(what) } else { Err(Problem::invalid(findings)) }
}

fn keyed(asked: Option<&Asked>) -> Option<Keyed<'_, Pause>> {
    asked.map(|asked| (asked, answer as fn(&Pause) -> Answer))
}

fn answer(pause: &Pause) -> Answer {
    let shape = PauseShape {
        scope: pause.scope.clone(),
        subject: pause.subject.clone(),
        reason: pause.reason.clone(),
        paused_at: pause.paused_at,
        ends_at: pause.ends_at,
    };
    Answer::of(200, &shape)
}

fn paused_already(pause: &Pause) -> String {
    let reason: Value = json!(pause.reason);
    let end =
        pause.ends_at.map_or("until it is resumed".to_owned(), |at| format!("until {}", at.to_rfc3339()));
    format!("It is paused already, since {}, {end}, because {reason}.", pause.paused_at.to_rfc3339())
}

async fn not_paused(ledger: &Ledger, queue: &str, what: &Stoppable) -> Result<String, Problem> {
    let whole = Stoppable::Queue(queue.to_owned());
    let standing = ledger.pauses().await?;
    let by_others = standing.iter().find(|pause| pause.stops(what) || pause.stops(&whole));
    Ok(match by_others {
        Some(pause) if pause.by_operator => {
            format!("{} {} was paused by an operator, who alone ends that.", pause.scope, pause.subject)
        }
        Some(_) => "It was paused with a key of its workspace, which ends that.".to_owned(),
        None => "It is not paused.".to_owned(),
    })
}
