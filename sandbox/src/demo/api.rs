//! Postroom's HTTP API, asked until it answers: it may be killed and started again meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, header, multipart};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::DemoError;

/// How long to wait before asking again, unless the answer says.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that an answer may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The API with a key, and the moment at which patience ends.
#[derive(Debug)]
pub struct Api {
    http: Client,
    base: String,
    key: String,
    deadline: Instant,
}

/// Why one try gave nothing.
enum Trouble {
    /// It may go away: the connection broke, or the answer was a 5xx or 429.
    Passing(String, Duration),
    /// It will not.
    Lasting(String),
}

impl Api {
    /// A client for the API at `web`.
    pub fn new(web: &str, key: &str, deadline: Instant) -> Result<Self, DemoError> {
        // A second start in the same process finds it installed, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = Client::builder()
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()
            .map_err(|error| DemoError::Input(error.to_string()))?;
        Ok(Self { http, base: web.trim_end_matches('/').to_owned(), key: key.to_owned(), deadline })
    }

    /// The active accounts: platform to id. Of several on one platform the first is taken.
    pub async fn accounts(&self) -> Result<BTreeMap<String, String>, DemoError> {
        let (mut accounts, mut cursor) = (BTreeMap::new(), None::<String>);
        loop {
            let mut path = "/api/v1/accounts?limit=200".to_owned();
            if let Some(cursor) = &cursor {
                path.push_str("&cursor=");
                path.extend(url::form_urlencoded::byte_serialize(cursor.as_bytes()));
            }
            let page = self.ask("reading the accounts", || self.http.get(self.url(&path))).await?;
            for item in page["data"].as_array().into_iter().flatten() {
                let active = item["state"].as_str().is_none_or(|state| state == "active");
                if let (true, Some(platform), Some(id)) =
                    (active, item["platform"].as_str(), item["id"].as_str())
                {
                    accounts.entry(platform.to_owned()).or_insert_with(|| id.to_owned());
                }
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(accounts),
            }
        }
    }

    /// Uploads a file and gives the id of the media.
    pub async fn upload(&self, path: &Path) -> Result<String, DemoError> {
        let bytes = std::fs::read(path).map_err(|error| DemoError::File(path.to_owned(), error))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let what = format!("uploading {name}");
        let key = Uuid::new_v4().to_string();
        let media = self
            .ask(&what, || {
                let part = multipart::Part::bytes(bytes.clone()).file_name(name.clone());
                let form = multipart::Form::new().part("file", part);
                self.http.post(self.url("/api/v1/media")).header("idempotency-key", &key).multipart(form)
            })
            .await?;
        id(&media, &what)
    }

    /// Hands in a post; the same key makes it the same post however often it is sent.
    pub async fn create_post(&self, body: &Value, key: Uuid) -> Result<Value, DemoError> {
        let key = key.to_string();
        let post = || self.http.post(self.url("/api/v1/posts")).header("idempotency-key", &key).json(body);
        self.ask("handing in a post", post).await
    }

    /// Reads a post with its publications.
    pub async fn read_post(&self, id: &str) -> Result<Value, DemoError> {
        self.ask("reading a post", || self.http.get(self.url(&format!("/api/v1/posts/{id}")))).await
    }

    /// The number of the newest effect at the sandbox; none if it cannot be read.
    pub async fn newest_effect(&self, url: &str) -> Option<u64> {
        let effects = self.effects_since(url, None).await?;
        Some(effects.iter().filter_map(|effect| effect["seq"].as_u64()).max().unwrap_or_default())
    }

    /// The effects at the sandbox after a number; none if they cannot be read.
    pub async fn effects_since(&self, url: &str, seq: Option<u64>) -> Option<Vec<Value>> {
        let since = seq.unwrap_or_default().to_string();
        let answer = self.http.get(url).query(&[("since_seq", since)]).send().await.ok()?;
        let effects: Value = answer.json().await.ok()?;
        effects["data"].as_array().cloned()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Asks until there is an answer that will not change, or patience ends.
    async fn ask(&self, what: &str, request: impl Fn() -> RequestBuilder) -> Result<Value, DemoError> {
        loop {
            match self.try_once(request()).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Lasting(detail)) => {
                    return Err(DemoError::Refused { what: what.to_owned(), detail });
                }
                Err(Trouble::Passing(last, pause)) => {
                    if Instant::now() + pause > self.deadline {
                        return Err(DemoError::TooLate { what: what.to_owned(), last });
                    }
                    sleep(pause).await;
                }
            }
        }
    }

    async fn try_once(&self, request: RequestBuilder) -> Result<Value, Trouble> {
        let broken = |error: reqwest::Error| Trouble::Passing(error.without_url().to_string(), PAUSE);
        let answer = request.bearer_auth(&self.key).send().await.map_err(broken)?;
        let status = answer.status();
        let pause = pause(answer.headers());
        let text = answer.text().await.map_err(broken)?;
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return if body.is_null() {
                Err(Trouble::Lasting(format!("HTTP {status} without JSON")))
            } else {
                Ok(body)
            };
        }
        let detail = format!("HTTP {status}{}", explained(&body));
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            Err(Trouble::Passing(detail, pause))
        } else {
            Err(Trouble::Lasting(detail))
        }
    }
}

fn pause(headers: &header::HeaderMap) -> Duration {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(PAUSE, |seconds| Duration::from_secs(seconds).clamp(PAUSE, LONGEST_PAUSE))
}

/// What a problem document says, on one line.
fn explained(problem: &Value) -> String {
    let mut text = String::new();
    for said in [&problem["title"], &problem["detail"]].into_iter().filter_map(Value::as_str) {
        text.push_str(": ");
        text.push_str(said);
    }
    for error in problem["errors"].as_array().into_iter().flatten() {
        let part = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        text.extend(["; ", &part("field"), " ", &part("detail")]);
    }
    text
}

/// The id in an answer.
pub fn id(answer: &Value, what: &str) -> Result<String, DemoError> {
    let id = answer["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| DemoError::Refused { what: what.to_owned(), detail: "the answer has no id".into() })
}
