//! The Graph API as Facebook and Instagram both speak it: addresses, the app's proof, errors, usage headers.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jobs::{
    contract::{Class, Failure},
    desk::Call,
};
use reqwest::{Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;
use url::Url;

use super::{
    Environment, base, group,
    http::{self, Deadline, Fault, Http, Phase, Reply, Rest, Row, Said, Tables, classify, words},
};

const DEFAULT_BASE: &str = "https://graph.facebook.com/v25.0";

/// What Graph's codes mean, for every product. From "Handling Errors" and "Rate Limits" of Meta's documents.
pub const ERRORS: &[Row] = &[
    Row::is("1", Class::Transient),
    Row::is("2", Class::Transient),
    Row::is("3", Class::Permanent),
    // Without usage headers nobody says for how long; calling while blocked prolongs the block.
    Row::is("4", Class::Rate).resting(5),
    Row::is("10", Class::Permission),
    Row::is("17", Class::Rate),
    Row::is("32", Class::Rate),
    Row::is("100", Class::Permanent),
    Row::is("102", Class::Auth),
    Row::is("190", Class::Auth),
    Row::span(200, 299, Class::Permission),
    Row::is("341", Class::Rate),
    Row::is("368", Class::Permanent),
    Row::is("506", Class::Permanent),
    Row::is("613", Class::Rate),
    Row::is("2635", Class::Permanent),
    Row::is("1609005", Class::Permanent),
    Row::span(80000, 80014, Class::Rate),
];

/// The Graph API for one app.
pub struct Graph {
    http: Http,
    base: Url,
    /// Keyed with the app's secret.
    proof: Hmac<Sha256>,
    /// The longest a read, or an unseen step of preparing, may take.
    timeout: Duration,
    tables: Tables,
}

impl Graph {
    /// The API of the app that the environment names, if it names one.
    ///
    /// # Errors
    /// A half-set group, or an address that cannot be used.
    pub fn connect(
        environment: Environment<'_>,
        timeout: Duration,
        tables: Tables,
    ) -> Result<Option<Self>, String> {
        let Some([_, secret]) = group(environment, ["META_APP_ID", "META_APP_SECRET"])? else {
            return Ok(None);
        };
        let base = base(environment, "META_GRAPH_URL", DEFAULT_BASE)?;
        let proof = Hmac::new_from_slice(secret.as_bytes()).map_err(|e| format!("META_APP_SECRET: {e}"))?;
        Ok(Some(Self { http: Http::new()?, base, proof, timeout, tables }))
    }

    /// `POST` of a form. A commit may take all that is left of its call.
    ///
    /// # Errors
    /// What Graph said, read by the phase.
    pub async fn post(
        &self,
        phase: Phase,
        call: &Call<'_>,
        deadline: Deadline,
        path: &[&str],
        form: &[(&str, &str)],
    ) -> Result<Value, Fault> {
        let most = match phase {
            Phase::Commit => Duration::MAX,
            Phase::Prepare | Phase::Read => self.timeout,
        };
        let proof = self.proof_of(call.token);
        let mut form = form.to_vec();
        form.push(("appsecret_proof", &proof));
        let request = self.request(phase, call, Method::POST, path)?.form(&form);
        self.send(phase, call, request, deadline.left(most)).await
    }

    /// `GET` of an object or a list.
    ///
    /// # Errors
    /// What Graph said.
    pub async fn get(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Fault> {
        let proof = self.proof_of(call.token);
        let request = self.request(Phase::Read, call, Method::GET, path)?.query(query);
        let request = request.query(&[("appsecret_proof", proof)]);
        self.send(Phase::Read, call, request, deadline.left(self.timeout)).await
    }

    /// Whether the token opens the account.
    ///
    /// # Errors
    /// What Graph said, or that the token opens another account.
    pub async fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let seen = self.get(call, Deadline::of(call), &[call.account], &[("fields", "id")]).await;
        let id = http::id_of(&seen.map_err(Fault::into_failure)?["id"]);
        if id.as_deref() == Some(call.account) {
            return Ok(());
        }
        Err(Failure::new(Class::Permanent, "other_account", "the token does not open this account"))
    }

    fn request(
        &self,
        phase: Phase,
        call: &Call<'_>,
        method: Method,
        path: &[&str],
    ) -> Result<RequestBuilder, Fault> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Ok(self.http.request(phase, call, method, url)?.bearer_auth(call.token.expose_secret()))
    }

    async fn send(
        &self,
        phase: Phase,
        call: &Call<'_>,
        request: RequestBuilder,
        within: Duration,
    ) -> Result<Value, Fault> {
        let reply = http::send(phase, request, within).await?;
        match reply.json() {
            Some(body) if body.get("error").is_some() => Err(self.refused(phase, call, &reply, body)),
            Some(body) if reply.status.is_success() => Ok(body),
            None if reply.status.is_success() => Err(http::unreadable(phase, "the answer is not JSON")),
            Some(_) | None => Err(classify(phase, Said::nothing(&reply), &self.tables)),
        }
    }

    fn refused(&self, phase: Phase, call: &Call<'_>, reply: &Reply, body: Value) -> Fault {
        let said = match Envelope::deserialize(body) {
            Ok(envelope) => envelope.error.said(call, reply),
            Err(_) => Said::nothing(reply),
        };
        classify(phase, said, &self.tables)
    }

    /// Lower-case hex of HMAC-SHA256 over the token: proof that the caller holds the app's secret.
    fn proof_of(&self, token: &SecretString) -> String {
        let mut mac = self.proof.clone();
        mac.update(token.expose_secret().as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

#[derive(Deserialize)]
struct Envelope {
    error: GraphError,
}

#[derive(Deserialize)]
struct GraphError {
    code: i64,
    error_subcode: Option<i64>,
    message: Option<String>,
    error_user_msg: Option<String>,
    is_transient: Option<bool>,
    fbtrace_id: Option<String>,
}

impl GraphError {
    fn said(self, call: &Call<'_>, reply: &Reply) -> Said {
        let code = match self.error_subcode {
            Some(sub) => format!("{}/{sub}", self.code),
            None => self.code.to_string(),
        };
        let (status, trace) = (reply.status, self.fbtrace_id.unwrap_or_default());
        tracing::debug!(code, status = status.as_u16(), fbtrace_id = trace, "Graph answered with an error");
        let text = self.error_user_msg.or(self.message).unwrap_or_default();
        Said {
            status,
            code,
            message: words(&text, call),
            transient: self.is_transient.unwrap_or(false),
            rest: rest(reply),
        }
    }
}

/// What the headers say about limits.
fn rest(reply: &Reply) -> Rest {
    let business = reply.header("x-business-use-case-usage");
    let speaks = business.is_some() || reply.header("x-app-usage").is_some();
    match (Rest::asked_by(reply), business.and_then(regained_in)) {
        (Rest::For(rest), _) | (_, Some(rest)) => Rest::For(rest),
        (Rest::Unsaid | Rest::Untimed, None) if speaks => Rest::Untimed,
        (Rest::Unsaid | Rest::Untimed, None) => Rest::Unsaid,
    }
}

/// The longest `estimated_time_to_regain_access`, which is in minutes.
fn regained_in(usage: &str) -> Option<Duration> {
    let usage: Value = serde_json::from_str(usage).ok()?;
    let items = usage.as_object()?.values().filter_map(Value::as_array).flatten();
    let minutes = items.filter_map(|item| item["estimated_time_to_regain_access"].as_u64()).max()?;
    (minutes > 0).then(|| Duration::from_secs(minutes.saturating_mul(60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: Tables = Tables { rows: &[ERRORS], definite_no: &[] };

    fn graph(secret: &str) -> Graph {
        let environment = |name: &str| name.starts_with("META_APP_").then(|| secret.to_owned());
        let graph = Graph::connect(&environment, Duration::from_secs(1), TABLES).expect("settings");
        graph.expect("it is on")
    }

    #[test]
    fn the_proof_is_that_of_the_published_vector() {
        let graph = graph("0123456789abcdef0123456789abcdef");
        let proof = graph.proof_of(&SecretString::from("EAATESTTOKEN"));
        assert_eq!(proof, "99cbac345910084e738e780a0d5a02f2421ea86e53d6f64eff41e367a76944c6");
    }

    #[test]
    fn every_row_of_the_documents_is_of_its_class() {
        let documented: &[(&[&str], Class)] = &[
            (&["1", "2"], Class::Transient),
            (
                &["4", "17/2446079", "32", "341", "613/1996", "80000", "80001", "80002", "80004", "80014"],
                Class::Rate,
            ),
            (&["102", "190", "190/458", "190/459", "190/460", "190/463", "190/467", "190/492"], Class::Auth),
            (&["10", "200", "294", "299"], Class::Permission),
            (&["3", "100", "100/33", "368/1390008", "506", "2635", "1609005"], Class::Permanent),
        ];
        for (codes, class) in documented {
            for code in *codes {
                assert_eq!(TABLES.row(code).map(|row| row.class), Some(*class), "{code}");
            }
        }
        assert_eq!(TABLES.row("4").and_then(|row| row.rest), Some(Duration::from_mins(5)));
        assert!(TABLES.row("300").is_none() && TABLES.row("960").is_none());
    }

    #[test]
    fn the_longest_time_to_regain_access_counts_and_is_in_minutes() {
        let usage = r#"{"1":[{"type":"pages","estimated_time_to_regain_access":19},
            {"estimated_time_to_regain_access":3}],"2":[{"call_count":1}]}"#;
        assert_eq!(regained_in(usage), Some(Duration::from_mins(19)));
        assert_eq!(regained_in(r#"{"1":[{"estimated_time_to_regain_access":0}]}"#), None);
        assert_eq!(regained_in("nonsense"), None);
    }
}
