//! TikTok's API, under `/tiktok/v2/`, and its upload addresses.

mod error;
mod oauth;
mod publish;
mod upload;
mod videos;
pub mod webhook;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, Request, header};
use serde_json::{Value, json};

use crate::answer::{Answer, Reply};
use crate::calls::{Call, Phase};
use crate::gate;
use crate::model::{Account, Network, TokenState};
use crate::state::Sandbox;

pub use error::TiktokError;
pub use oauth::{SCOPES, refused_with as refused};

/// The largest body: the last chunk may be 128 MB.
const LIMIT: usize = 160 << 20;

/// What a call comes to: the `data` of the envelope, or an error.
type Outcome = Result<Value, TiktokError>;

/// One TikTok call, read but not yet understood.
#[derive(Debug)]
struct Asked {
    headers: HeaderMap,
    query: String,
    bytes: Bytes,
    /// The body as JSON; null if it is none.
    json: Value,
    call_id: Option<String>,
}

/// The calls that the stand-in knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    CreatorInfo,
    VideoInit,
    ContentInit,
    Upload,
    StatusFetch,
    Cancel,
    Token,
    Revoke,
    UserInfo,
    VideoList,
    VideoQuery,
    Nothing,
}

impl Operation {
    fn of(method: &Method, path: &str) -> Self {
        let path = path.trim_end_matches('/');
        match (method, path.strip_prefix("/tiktok/").unwrap_or(path)) {
            (&Method::POST, "v2/post/publish/creator_info/query") => Self::CreatorInfo,
            (&Method::POST, "v2/post/publish/video/init") => Self::VideoInit,
            (&Method::POST, "v2/post/publish/content/init") => Self::ContentInit,
            (&Method::POST, "v2/post/publish/status/fetch") => Self::StatusFetch,
            (&Method::POST, "v2/post/publish/cancel") => Self::Cancel,
            (&Method::POST, "v2/oauth/token") => Self::Token,
            (&Method::POST, "v2/oauth/revoke") => Self::Revoke,
            (&Method::GET | &Method::POST, "v2/user/info") => Self::UserInfo,
            (&Method::POST, "v2/video/list") => Self::VideoList,
            (&Method::POST, "v2/video/query") => Self::VideoQuery,
            (&Method::PUT, path) if path.starts_with("upload/") => Self::Upload,
            (_, _) => Self::Nothing,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::CreatorInfo => "creator_info",
            Self::VideoInit => "video_init",
            Self::ContentInit => "content_init",
            Self::Upload => "upload_chunk",
            Self::StatusFetch => "status_fetch",
            Self::Cancel => "cancel",
            Self::Token => "token",
            Self::Revoke => "revoke",
            Self::UserInfo => "user_info",
            Self::VideoList => "video_list",
            Self::VideoQuery => "video_query",
            Self::Nothing => "unknown",
        }
    }

    fn phase(self, asked: &Asked) -> Phase {
        match self {
            // Who gives a URL to pull from has committed by saying so.
            Self::VideoInit if asked.json["source_info"]["source"] != "PULL_FROM_URL" => Phase::Prepare,
            Self::VideoInit | Self::ContentInit => Phase::Commit,
            Self::Upload => {
                if upload::completes(&asked.headers) {
                    Phase::Commit
                } else {
                    Phase::Prepare
                }
            }
            Self::Cancel | Self::Token | Self::Revoke | Self::Nothing => Phase::Manage,
            Self::CreatorInfo | Self::StatusFetch | Self::UserInfo | Self::VideoList | Self::VideoQuery => {
                Phase::Observe
            }
        }
    }
}

/// Answers a call below `/tiktok/`.
pub async fn answer(sandbox: Arc<Sandbox>, request: Request<Body>) -> Reply {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let operation = Operation::of(&method, &path);
    let asked = match Asked::read(request).await {
        Ok(asked) => asked,
        Err(error) => return Reply::Whole(error.into()),
    };
    let call = describe(&sandbox, operation, &asked, method.to_string(), path.clone());
    let desk = Arc::clone(&sandbox);
    let action = async move { perform(&desk, operation, &asked, &path).await };
    gate::pass(sandbox, call, action).await
}

async fn perform(sandbox: &Arc<Sandbox>, operation: Operation, asked: &Asked, path: &str) -> Answer {
    let outcome = match operation {
        Operation::Upload => return upload::put(sandbox, upload::key_of(path), asked).await,
        Operation::Token => return oauth::token(sandbox, asked),
        Operation::Revoke => return oauth::revoke(sandbox, asked),
        Operation::CreatorInfo => publish::creator_info(sandbox, asked),
        Operation::VideoInit => publish::video_init(sandbox, asked).await,
        Operation::ContentInit => publish::content_init(sandbox, asked).await,
        Operation::StatusFetch => publish::status(sandbox, asked),
        Operation::Cancel => publish::cancel(sandbox, asked),
        Operation::UserInfo => videos::user_info(sandbox, asked),
        Operation::VideoList => videos::list(sandbox, asked),
        Operation::VideoQuery => videos::query(sandbox, asked),
        Operation::Nothing => Err(TiktokError::new(404, "invalid_params", "Unsupported path(Janus)")),
    };
    match outcome {
        Ok(data) => Answer::ok(json!({ "data": data, "error": error::fine() })),
        Err(error) => error.into(),
    }
}

impl Asked {
    async fn read(request: Request<Body>) -> Result<Self, TiktokError> {
        let headers = request.headers().clone();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let bytes = axum::body::to_bytes(request.into_body(), LIMIT)
            .await
            .map_err(|error| TiktokError::new(400, "invalid_params", error.to_string()))?;
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        let call_id = headers.get("x-call-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Self { headers, query, bytes, json, call_id })
    }

    /// The `publish_id` of the body.
    fn publish_id(&self) -> Result<String, TiktokError> {
        let id = self.json["publish_id"].as_str().map(str::to_owned);
        id.ok_or_else(|| TiktokError::new(400, "invalid_params", "publish_id is missing"))
    }

    /// A field of a form body.
    fn form(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(&self.bytes);
        pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }

    fn token(&self) -> Option<&str> {
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// The account whose token the call carries; 401 if that does not work.
    fn account(&self, sandbox: &Sandbox) -> Result<Account, TiktokError> {
        let invalid = || {
            let message = "The access token is invalid or not found in the request.";
            TiktokError::new(401, "access_token_invalid", message)
        };
        let token = self.token().ok_or_else(invalid)?;
        let book = sandbox.book();
        match book.world.tokens.get(token) {
            None | Some(TokenState::Valid) => {}
            Some(TokenState::Expired | TokenState::Revoked | TokenState::Subcode(_)) => return Err(invalid()),
        }
        book.world.token_owner(Network::Tiktok, token).cloned().ok_or_else(invalid)
    }
}

/// The call as the gate sees it.
fn describe(sandbox: &Sandbox, operation: Operation, asked: &Asked, method: String, path: String) -> Call {
    let book = sandbox.book();
    let handle = match operation {
        Operation::Upload => book.world.upload_keys.get(upload::key_of(&path)).cloned(),
        Operation::StatusFetch | Operation::Cancel => asked.publish_id().ok(),
        Operation::CreatorInfo
        | Operation::VideoInit
        | Operation::ContentInit
        | Operation::Token
        | Operation::Revoke
        | Operation::UserInfo
        | Operation::VideoList
        | Operation::VideoQuery
        | Operation::Nothing => None,
    };
    let upload = handle.as_deref().and_then(|handle| book.world.uploads.get(handle));
    let owner = asked.token().and_then(|token| book.world.token_owner(Network::Tiktok, token));
    let token = (operation == Operation::Token).then(|| asked.form("refresh_token")).flatten();
    let refreshed = token.and_then(|token| oauth::owner(&book.world, &token));
    // photos have their words where there is room for them
    let words =
        ["title", "description"].map(|name| asked.json["post_info"][name].as_str().unwrap_or_default());
    let words = words.into_iter().find(|words| !words.is_empty()).map(str::to_owned);
    let announced = asked.json["source_info"]["video_size"].as_u64().map(|size| format!("{size} bytes"));
    let held = upload.map(|upload| upload.media.clone()).unwrap_or_default();
    Call {
        network: Some(Network::Tiktok),
        call: operation.name(),
        phase: operation.phase(asked),
        method,
        // The last part of an upload address opens it, so it stays out of the log.
        path: if operation == Operation::Upload { "/tiktok/upload/".into() } else { path },
        account: refreshed
            .or_else(|| owner.map(|owner| owner.external_id.clone()))
            .or_else(|| upload.map(|it| it.account.clone())),
        caption: words.or_else(|| upload.map(|upload| upload.title.clone())),
        handle,
        source: None,
        files: held.into_iter().chain(announced).collect(),
        call_id: asked.call_id.clone(),
    }
}
