//! Calls to networks: how they leave, and what their answers prove.
//!
//! There are two clients. The mutating one sends each request once, on a connection of its own: HTTP/1.1, no
//! retry, no redirect, nothing reused, so that no library repeats what must happen once. The reading one keeps
//! its connections. What an unclear answer means depends on the phase: nobody sees what a prepare leaves
//! behind, so it may be asked again; after a commit everything outside a short list is unknown.

mod tables;

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use jobs::{
    contract::{Class, Failure},
    desk::Call,
    gate::Notice,
};
use reqwest::{
    Client, ClientBuilder, IntoUrl, Method, RequestBuilder, Response, StatusCode, header::HeaderMap,
};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::Instant;

pub use tables::{Codes, Fault, Phase, Rest, Row, Said, Tables, classify, no_evidence, unknown, unreadable};

/// The longest wait for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The largest answer that is read, in bytes. What networks say fits into a few kilobytes.
const MOST_BODY: usize = 1 << 20;
/// The longest rest that is believed: what asks for more is asked again after this.
pub const MOST_REST: Duration = Duration::from_hours(24);
/// The most characters that are kept of a network's words.
const MOST_WORDS: usize = 300;

/// The moment by which a call has to be over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// That of a call which begins now.
    pub fn of(call: &Call<'_>) -> Self {
        Self(Instant::now() + call.timeout)
    }

    /// What is left, `most` at the longest.
    pub fn left(self, most: Duration) -> Duration {
        self.0.saturating_duration_since(Instant::now()).min(most)
    }
}

/// The two clients.
#[derive(Debug, Clone)]
pub struct Http {
    mutating: Client,
    reading: Client,
}

impl Http {
    /// Builds the clients.
    ///
    /// # Errors
    /// The machine has no certificates to trust.
    pub fn new() -> Result<Self, String> {
        let build = |client: ClientBuilder| {
            client.build().map_err(|e| format!("no HTTP client: {}", e.without_url()))
        };
        let mutating = plain().http1_only().pool_max_idle_per_host(0).retry(reqwest::retry::never());
        Ok(Self { mutating: build(mutating)?, reading: build(plain())? })
    }

    /// Begins a request that changes nothing and is paid for: it is sent once, like one that changes something.
    pub fn paid(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        self.mutating.request(method, url)
    }

    /// Begins a request of this phase. One that changes something bears the id of its call.
    ///
    /// # Errors
    /// It would change something, and is not in the write-ahead log.
    pub fn request(
        &self,
        phase: Phase,
        call: &Call<'_>,
        method: Method,
        url: impl IntoUrl,
    ) -> Result<RequestBuilder, Fault> {
        match (phase, call.id) {
            (Phase::Read, _) => Ok(self.reading.request(method, url)),
            (Phase::Prepare | Phase::Commit, Some(id)) => {
                Ok(self.mutating.request(method, url).header("X-Call-Id", id.to_string()))
            }
            (Phase::Prepare | Phase::Commit, None) => {
                let why = "a request that changes something must be in the log before it is sent";
                Err(Fault::Unsent(Failure::new(Class::Permanent, "no_call_id", why)))
            }
        }
    }
}

/// What every client of a known host is made of: it is led nowhere, and tells nobody where it came from.
pub(super) fn plain() -> ClientBuilder {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_WITHIN)
        .referer(false)
        .user_agent(concat!("postroom/", env!("CARGO_PKG_VERSION")))
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    /// The body, if it is JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    /// A part of an answer that is one of its own, which has no headers.
    pub fn part(status: StatusCode, body: &str) -> Self {
        Self { status, headers: HeaderMap::new(), body: body.into() }
    }

    /// How long the network asks to be left alone: seconds, or a date by the network's own clock.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }

    /// An answer of nothing but headers.
    #[cfg(test)]
    pub fn with_headers(headers: &[(&'static str, &str)]) -> Self {
        let pairs = headers.iter().map(|(name, value)| {
            (reqwest::header::HeaderName::from_static(name), value.parse().expect("a header"))
        });
        Self { status: StatusCode::OK, headers: pairs.collect(), body: Vec::new() }
    }

    /// The same with another status and a body.
    #[cfg(test)]
    pub fn saying(self, status: StatusCode, body: &str) -> Self {
        Self { status, body: body.into(), ..self }
    }
}

/// How long whoever sent these headers asks to be left alone: seconds, or a date by their own clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let asked = text(headers, "retry-after")?.trim();
    let seconds = asked.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| until(asked, text(headers, "date")?)).map(|rest| rest.min(MOST_REST))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn until(date: &str, now: &str) -> Option<Duration> {
    let now = DateTime::parse_from_rfc2822(now).ok()?;
    let wait = DateTime::parse_from_rfc2822(date).ok()? - now;
    Some(wait.max(TimeDelta::zero()).to_std().unwrap_or_default())
}

/// Sends a request once and reads the whole answer.
///
/// Tells the gate whether the network is well: an answer is, unless it is a 5xx.
///
/// # Errors
/// No whole answer came in time. `Unsent` only where that proves that no byte of the request left.
pub async fn send(
    phase: Phase,
    call: &Call<'_>,
    request: RequestBuilder,
    within: Duration,
) -> Result<Reply, Fault> {
    if within.is_zero() {
        return Err(Fault::Unsent(Failure::new(Class::Transient, "timeout", "no time was left to send it")));
    }
    let answer = whole_answer(phase, request, within).await;
    let well = answer.as_ref().is_ok_and(|reply| !reply.status.is_server_error());
    call.gate.notice(if well { Notice::Well } else { Notice::Ill });
    answer
}

/// Sends a request once and reads the whole answer.
///
/// # Errors
/// No whole answer came in time. `Unsent` only where that proves that no byte of the request left.
pub async fn whole_answer(phase: Phase, request: RequestBuilder, within: Duration) -> Result<Reply, Fault> {
    let lost = |error| lost(phase, error);
    let mut response = request.timeout(within).send().await.map_err(lost)?;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(lost)? {
        if body.len() + part.len() > MOST_BODY {
            return Err(unreadable(phase, "the answer is longer than any that is expected"));
        }
        body.extend_from_slice(&part);
    }
    Ok(whole(&response, body))
}

fn whole(response: &Response, body: Vec<u8>) -> Reply {
    Reply { status: response.status(), headers: response.headers().clone(), body }
}

/// The one place where an error of the HTTP library becomes ours. Its text may hold the address, and an address
/// may hold a secret, so only a word of our own goes on and the log gets it without the address.
fn lost(phase: Phase, error: reqwest::Error) -> Fault {
    let error = error.without_url();
    tracing::debug!(?phase, error = &error as &dyn std::error::Error, "a call to a network had no answer");
    let failure = |code: &str, why: &str| Failure::new(Class::Transient, code, why);
    // Both come before the first byte of the request: the connection, TLS included, did not come about.
    if error.is_connect() {
        return Fault::Unsent(failure("connect", "no connection came about"));
    }
    if error.is_builder() {
        return Fault::Unsent(failure("request", "the request could not be put together"));
    }
    let failure = if error.is_timeout() {
        failure("timeout", "no answer came in time")
    } else {
        failure("connection", "the connection broke before the answer was complete")
    };
    match phase {
        Phase::Prepare | Phase::Read => Fault::Refused(failure),
        Phase::Commit => Fault::Unknown(unknown(failure)),
    }
}

/// A network's words, fit to be kept and shown: without the token, without what addresses carry, not too long.
pub fn words(text: &str, call: &Call<'_>) -> String {
    let token = call.token.expose_secret();
    let text = if token.is_empty() { text.to_owned() } else { text.replace(token, "…") };
    let bare: Vec<_> = text.split_whitespace().map(without_query).collect();
    bare.join(" ").chars().take(MOST_WORDS).collect()
}

fn without_query(word: &str) -> &str {
    if word.contains("://") { word.split('?').next().unwrap_or_default() } else { word }
}

/// An id as text, whether the network wrote it as text or as a whole number. A fraction is no id.
pub fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        Value::Null
        | Value::Bool(_)
        | Value::String(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use secrecy::SecretString;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use uuid::Uuid;

    use super::*;
    use crate::networks::doubles::{NoMedia, call};

    #[test]
    fn words_keep_no_token_and_no_signature() {
        let token = SecretString::from("EAAsecret");
        let call = call(&token, &NoMedia);
        let said = words(
            "Malformed access token EAAsecret at https://s3/a.jpg?X-Amz-Signature=1 (try again?)",
            &call,
        );
        assert_eq!(said, "Malformed access token … at https://s3/a.jpg (try again?)");
        assert_eq!(words(&"é".repeat(1000), &call).chars().count(), MOST_WORDS);
    }

    #[test]
    fn a_rest_is_asked_for_in_seconds_or_until_a_date_by_the_networks_own_clock() {
        let rest = |after: &str| {
            let date = ("date", "Sun, 22 Nov 2026 08:00:00 GMT");
            Reply::with_headers(&[date, ("retry-after", after)]).retry_after()
        };
        assert_eq!(rest("120"), Some(Duration::from_mins(2)));
        assert_eq!(rest("Sun, 22 Nov 2026 08:02:00 GMT"), Some(Duration::from_mins(2)));
        assert_eq!(rest("Sun, 22 Nov 2026 07:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(rest("99999999999"), Some(MOST_REST));
        assert_eq!(rest("Sun, 22 Nov 2099 08:00:00 GMT"), Some(MOST_REST));
        assert_eq!((rest("soon"), rest("-5"), rest("")), (None, None, None));
        let undated = [("retry-after", "Sun, 22 Nov 2026 08:02:00 GMT")];
        assert_eq!(Reply::with_headers(&undated).retry_after(), None);
    }

    #[test]
    fn an_id_is_kept_digit_by_digit() {
        let read = |json: &str| id_of(&serde_json::from_str(json).expect("JSON"));
        assert_eq!(read("7500000000000000123").as_deref(), Some("7500000000000000123"));
        assert_eq!(read("\"104_5\"").as_deref(), Some("104_5"));
        assert_eq!((read("7.5e18"), read("\"\""), read("null")), (None, None, None));
    }

    /// A peer that reads `bytes` of each connection, answers, and closes it; counts the connections.
    async fn peer(bytes: usize, answer: &'static str) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut read = vec![0; bytes];
                stream.read_exact(&mut read).await.ok();
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        (format!("http://{address}/x"), count)
    }

    async fn commit(url: &str) -> Result<Reply, Fault> {
        let token = SecretString::from("t");
        let call = Call { id: Some(Uuid::nil()), ..call(&token, &NoMedia) };
        let http = Http::new().expect("clients");
        let request = http.request(Phase::Commit, &call, Method::POST, url)?.form(&[("a", "b")]);
        send(Phase::Commit, &call, request, call.timeout).await
    }

    #[tokio::test]
    async fn a_refused_connection_proves_that_nothing_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        assert!(matches!(commit(&format!("http://{address}/")).await, Err(Fault::Unsent(_))));
    }

    #[tokio::test]
    async fn a_failed_tls_handshake_proves_that_nothing_was_sent() {
        let (url, count) = peer(5, "HTTP/1.1 200 OK\r\n\r\n").await;
        let fault = commit(&url.replace("http:", "https:")).await;
        assert!(matches!(fault, Err(Fault::Unsent(_))), "{fault:?}");
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_connection_that_closes_at_any_byte_leaves_a_commit_unknown_and_sent_once() {
        for bytes in [0, 1, 17, 80, 120] {
            let (url, count) = peer(bytes, "").await;
            let fault = commit(&url).await;
            assert!(
                matches!(&fault, Err(Fault::Unknown(f)) if f.class == Class::Unknown),
                "{bytes}: {fault:?}"
            );
            assert_eq!(count.load(Ordering::SeqCst), 1, "after {bytes} bytes");
        }
    }

    #[tokio::test]
    async fn half_an_answer_leaves_a_commit_unknown() {
        let (url, _) = peer(20, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\"").await;
        assert!(matches!(commit(&url).await, Err(Fault::Unknown(_))));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let (url, count) = peer(20, "HTTP/1.1 307 X\r\nlocation: /y\r\ncontent-length: 0\r\n\r\n").await;
        let reply = commit(&url).await.expect("an answer");
        assert_eq!(reply.status, StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_change_without_a_row_in_the_log_is_not_sent() {
        let token = SecretString::from("t");
        let http = Http::new().expect("clients");
        let made = http.request(Phase::Prepare, &call(&token, &NoMedia), Method::POST, "http://127.0.0.1:9/");
        assert!(matches!(made, Err(Fault::Unsent(failure)) if failure.code == "no_call_id"));
    }
}
