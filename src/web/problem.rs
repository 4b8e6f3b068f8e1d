//! Errors as RFC 9457 problem documents, and as pages for people.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    finding::{self, Finding},
    take_down::Offer,
};
use crate::ledger::LedgerError;

/// What went wrong, in a form that is told to whoever asked.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The last part of the stable `type`.
    pub word: &'static str,
    /// The kind of problem in a few words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// This problem, and what a person can do about it.
    pub detail: String,
    /// One entry for each field that cannot be taken.
    pub errors: Vec<Finding>,
    /// How what is public already can be taken down.
    pub take_down: Vec<Offer>,
    /// When to try again, in seconds.
    pub retry_after: Option<u32>,
}

/// A problem as it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDocument<'a> {
    /// A stable name of the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem in a few words.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// This problem, and what a person can do about it.
    detail: &'a str,
    /// The path that was asked.
    instance: &'a str,
    /// One entry for each field that cannot be taken.
    errors: &'a [Finding],
    /// Where a post is public already: how it can be taken down.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    take_down: &'a [Offer],
}

impl Problem {
    fn new(status: StatusCode, word: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { word, title, status, detail, errors: Vec::new(), take_down: Vec::new(), retry_after: None }
    }

    /// 400: what came is not even readable.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be read", detail)
    }

    /// 400, 413, 415 or 422: what came is not even readable, as its reader says.
    pub fn unreadable(status: StatusCode, detail: impl Into<String>) -> Self {
        let word = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "too-large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported-media-type",
            _ => "malformed",
        };
        Self::new(status, word, "The request cannot be read", detail)
    }

    /// 401: no key, or none that opens anything.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Authentication is needed", detail)
    }

    /// 403: known, and not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    /// 404: nothing here; what another workspace has is nothing, too.
    pub fn not_found(what: &str) -> Self {
        let detail = format!("There is no such {what} here.");
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// 405: the path is known, the method is not its.
    pub fn method_not_allowed() -> Self {
        let detail = "This path does not take that method; the header Allow names those it takes.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
    }

    /// 408: the body did not come.
    pub fn timeout() -> Self {
        let detail = "The body did not arrive in time. Send it again.";
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long", detail)
    }

    /// 409: well said, and not as things stand.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Not as things stand", detail)
    }

    /// 409: the network lets nobody but people there remove a post.
    pub fn by_hand(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "take-down-by-hand", "Only people can take it down there", detail)
    }

    /// The same, with how what is public already can be taken down.
    #[must_use]
    pub fn offering(mut self, take_down: Vec<Offer>) -> Self {
        self.take_down = take_down;
        self
    }

    /// 413: more than is taken.
    pub fn too_large(limit: u64) -> Self {
        let detail = format!("The body is larger than {limit} bytes, which is the most.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
    }

    /// 415: a body of another type than is taken.
    pub fn wrong_type(accepted: &'static str) -> Self {
        let detail = format!("Send the body as {accepted} and say so in Content-Type.");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Wrong content type", detail)
    }

    /// 422: readable, and not to be taken as it is.
    pub fn invalid(errors: Vec<Finding>) -> Self {
        let errors = finding::listed(errors);
        let detail = match errors.as_slice() {
            [only] => only.detail.clone(),
            [.., last] if last.code == finding::MORE => {
                format!("More than {} things need mending; errors lists the first.", finding::MOST)
            }
            several => format!("{} things need mending; errors lists each.", several.len()),
        };
        let problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "Something in the request cannot be taken",
            detail,
        );
        Self { errors, ..problem }
    }

    /// 422: the same key came with another body.
    pub fn key_reused() -> Self {
        let detail = "This Idempotency-Key was used for another request. Use a fresh key for a new request.";
        let field = Finding::new("Idempotency-Key", "key_reused", detail);
        let problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "The Idempotency-Key was used before",
            detail,
        );
        Self { errors: vec![field], ..problem }
    }

    /// 429: too many failures.
    pub fn throttled(seconds: u32) -> Self {
        let detail = format!("Too many failed attempts. Try again in {seconds} seconds.");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "throttled", "Too many attempts", detail);
        Self { retry_after: Some(seconds), ..problem }
    }

    /// 429: more requests than one may make.
    pub fn too_often(seconds: u32) -> Self {
        let detail =
            format!("These are more requests than one may make. Go on in {seconds} seconds, and slower.");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-often", "Too many requests", detail);
        Self { retry_after: Some(seconds), ..problem }
    }

    /// 500: our fault; the log knows more.
    pub fn internal() -> Self {
        let detail = "Something went wrong on our side and was logged. Trying again may help.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong", detail)
    }

    /// 503: a part of the house is away; nothing was accepted.
    pub fn away(word: &'static str, detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, word, "Temporarily unavailable", detail);
        Self { retry_after: Some(5), ..problem }
    }

    /// The document, about this path.
    pub fn document(&self, instance: &str) -> Response {
        let document = ProblemDocument {
            kind: format!("urn:postroom:problem:{}", self.word),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            instance,
            errors: &self.errors,
            take_down: &self.take_down,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        self.dress(response)
    }

    /// The status and the headers that go with it, whatever the body.
    pub fn dress(&self, mut response: Response) -> Response {
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Leaves the problem for the outermost layer, which knows the path and who reads the answer.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// An id from a path; what is none is an id of nothing.
///
/// # Errors
/// It is none.
pub fn id(text: &str, what: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| Problem::not_found(what))
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Away(error) => {
                tracing::warn!(%error, "the ledger is away");
                let detail =
                    "The database cannot be reached; nothing was accepted. Try again in a few seconds.";
                Self::away("ledger-away", detail)
            }
            LedgerError::Undecided(error) => {
                tracing::warn!(%error, "the ledger went away during a commit");
                let detail = "The database went away while this was being committed: it may have been accepted. \
                              Send it again with the same Idempotency-Key, or look before you send it without.";
                Self::away("outcome-unknown", detail)
            }
            LedgerError::Refused { .. } | LedgerError::Broken(_) | LedgerError::Unreadable(_) => {
                tracing::error!(%error, "a statement failed");
                Self::internal()
            }
        }
    }
}

impl From<tokio::task::JoinError> for Problem {
    fn from(error: tokio::task::JoinError) -> Self {
        tracing::error!(%error, "a request's task ended early");
        Self::internal()
    }
}
