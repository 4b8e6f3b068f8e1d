//! The Graph API: Facebook Pages and Instagram, under `/graph/v25.0/`, and their uploads under `/rupload/`.

mod ads;
mod app;
mod auth;
mod batch;
mod comments;
mod containers;
mod error;
mod fields;
mod insights;
mod media;
mod node;
mod operation;
mod params;
mod photos;
mod posts;
mod stories;
mod transfers;
mod videos;

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Method, Request, header};
use serde_json::Value;

use crate::answer::{Answer, Reply};
use crate::gate;
use crate::state::Sandbox;

pub use app::SCOPES;
pub use error::GraphError;
use operation::Operation;
use params::Params;

/// The one version that is served.
pub const VERSION: &str = "v25.0";

/// What a Graph call comes to: a JSON body, or an error.
type Outcome = Result<Value, GraphError>;

/// One Graph call, read but not yet understood.
#[derive(Debug)]
struct Asked {
    method: Method,
    /// The path below the version, or below `/rupload/`.
    path: Vec<String>,
    params: Params,
    token: Option<String>,
    call_id: Option<String>,
    headers: HeaderMap,
}

/// Answers a call below `/graph/` or `/rupload/`.
pub async fn answer(sandbox: Arc<Sandbox>, request: Request<Body>) -> Reply {
    match Asked::read(request).await {
        Ok((path, asked)) if batch::is_batch(&asked) => batch::answer(sandbox, path, asked).await,
        Ok((path, asked)) => one(sandbox, path, asked).await,
        Err(error) => Reply::Whole(error.into()),
    }
}

/// Answers one call, or one part of several.
async fn one(sandbox: Arc<Sandbox>, path: String, asked: Asked) -> Reply {
    let operation = Operation::of(&sandbox, &asked);
    let call = operation.call(&sandbox, &asked, path);
    let desk = Arc::clone(&sandbox);
    let action = async move {
        match perform(&desk, operation, &asked).await {
            Ok(body) => Answer::ok(body),
            Err(error) => error.told_to(&asked.method).into(),
        }
    };
    gate::pass(sandbox, call, action).await
}

impl Asked {
    /// Reads a request. What comes with it is its whole path, for the log.
    async fn read(request: Request<Body>) -> Result<(String, Self), GraphError> {
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let whole = request.uri().path().to_owned();
        let mut path: Vec<String> =
            whole.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        if path.first().is_some_and(|first| first == "graph") {
            let version = path.get(1).cloned().unwrap_or_default();
            if version != VERSION {
                return Err(GraphError::new(2635, format!("(#2635) Version {version:?} is not available")));
            }
            path.drain(..2);
        }
        let params = Params::read(request).await?;
        let token = token(&headers).or_else(|| params.text("access_token"));
        let call_id = header_text(&headers, "x-call-id");
        Ok((whole, Self { method, path, params, token, call_id, headers }))
    }
}

async fn perform(sandbox: &Sandbox, operation: Operation, asked: &Asked) -> Outcome {
    match operation {
        Operation::Feed { page } => posts::create(sandbox, &page, asked).await,
        Operation::Photos { page } => photos::create(sandbox, &page, asked).await,
        Operation::PublishPost { post } => posts::publish(sandbox, &post, asked).await,
        Operation::EditPost { post } => posts::edit(sandbox, &post, asked),
        Operation::Delete { object } | Operation::DeleteMedia { media: object } => {
            posts::delete(sandbox, &object, asked)
        }
        Operation::ReadPost { post } => posts::read(sandbox, &post, asked),
        Operation::PublishedPosts { page } | Operation::PageFeed { page } => {
            posts::list_published(sandbox, &page, asked)
        }
        Operation::UnpublishedPosts { page } => posts::list_drafts(sandbox, &page, asked),
        Operation::ScheduledPosts { page } => posts::list_scheduled(sandbox, &page, asked),
        Operation::WholeVideo { page } => videos::whole(sandbox, &page, asked).await,
        Operation::StartVideo { page, kind } => videos::start(sandbox, &page, kind, asked),
        Operation::TransferVideo { page } => transfers::take(sandbox, &page, asked).await,
        Operation::UploadVideo { video } => videos::upload(sandbox, &video, asked).await,
        Operation::FinishVideo { page, kind } => videos::finish(sandbox, &page, kind, asked).await,
        Operation::ReadVideo { video } => videos::read(sandbox, &video, asked),
        Operation::PhotoStory { page } => stories::create(sandbox, &page, asked).await,
        Operation::Stories { page } => stories::list(sandbox, &page, asked),
        Operation::CreateComment { object } => comments::create(sandbox, &object, asked).await,
        Operation::ListComments { object } => comments::list(sandbox, &object, asked),
        Operation::ReadComment { comment } => comments::read(sandbox, &comment, asked),
        Operation::Insights { object } => insights::read(sandbox, &object, asked),
        Operation::AdInsights { object } => ads::insights(sandbox, &object, asked),
        Operation::BeginReport { object } => ads::begin_report(sandbox, &object, asked),
        Operation::ReadReport { report } => ads::report(sandbox, &report, asked),
        Operation::ReadAdAccount { account } => ads::account(sandbox, &account, asked),
        Operation::MyAdAccounts => ads::list(sandbox, asked),
        Operation::ReadAccount { account } => app::read_account(sandbox, &account, asked),
        Operation::Me => app::me(sandbox, asked),
        Operation::MyPages => app::pages(sandbox, asked),
        Operation::MyBusinesses => app::businesses(sandbox, asked),
        Operation::BusinessPages { business } => app::business_pages(sandbox, &business, asked),
        Operation::DebugToken => app::debug_token(sandbox, asked),
        Operation::Exchange => app::exchange(sandbox, asked),
        Operation::Permissions => app::permissions(sandbox, asked),
        Operation::RevokePermissions => app::revoke(sandbox, asked),
        Operation::CreateContainer { account } => containers::create(sandbox, &account, asked).await,
        Operation::FillContainer { container } => containers::fill(sandbox, &container, asked).await,
        Operation::ReadContainer { container } => containers::read(sandbox, &container, asked),
        Operation::MediaPublish { account } => media::publish(sandbox, &account, asked).await,
        Operation::ReadMedia { media } => media::read(sandbox, &media, asked),
        Operation::ListMedia { account } => media::list(sandbox, &account, asked),
        Operation::ListIgStories { account } => media::list_stories(sandbox, &account, asked),
        Operation::PublishingLimit { account } => media::limit(sandbox, &account, asked),
        Operation::Nothing { object } => {
            auth::any(sandbox, asked)?;
            Err(GraphError::missing(&object))
        }
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The token of an `Authorization` header.
fn token(headers: &HeaderMap) -> Option<String> {
    let value = header_text(headers, header::AUTHORIZATION.as_str())?;
    let (scheme, token) = value.split_once(' ')?;
    ["bearer", "oauth"].contains(&scheme.to_ascii_lowercase().as_str()).then(|| token.trim().to_owned())
}
