//! The Graph API as Facebook and Instagram both speak it: addresses, the app's proof, errors, usage headers.

mod access;
mod ads;
mod batch;
pub mod comments;
pub mod connect;
pub mod insights;
mod list;
mod revoke;
mod usage;

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jobs::{
    contract::{Class, Failure},
    desk::Call,
    gate::{Allowance, Lane, Notice},
    removal::{Presence, Removal},
};
use reqwest::{
    Method, RequestBuilder, header,
    multipart::{Form, Part},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::Sha256;
use url::Url;

pub use self::{ads::READS_ADS, usage::Patience};
use super::{
    Environment,
    allowance::{self, RATES},
    base, group,
    http::{
        self, Codes, Deadline, Fault, Http, Phase, Reply, Rest, Row, Said, Tables, classify, no_evidence,
        words,
    },
    read,
};

/// The app whose limits the calls of both of Meta's networks count against.
pub const APP: &str = "meta";
/// Limits of the whole app. A subcode speaks of something else: 4/2207051 of one account.
const OF_THE_APP: [&str; 2] = ["4", "341"];

/// The object is missing, or this token may not see it.
const MISSING: &str = "100/33";

/// The variable that names the address, and the real one.
pub const ADDRESS: (&str, &str) = ("META_GRAPH_URL", "https://graph.facebook.com/v25.0");
/// The same of the host that films are uploaded to.
const UPLOADS: (&str, &str) = ("META_RUPLOAD_URL", "https://rupload.facebook.com");

/// The answers that prove that the call which makes a Page's draft, film or story public, or which comments, had no
/// effect.
///
/// Token and permission are looked at before anything is done. Of posts, all of these rest the account rather than end
/// the post, and what was prepared is read again before the next attempt: should one of them ever come after the
/// effect, it is found. No parameter error (100), no limit and no 506 is here: 506 may well mean that the post
/// is public already.
pub const DEFINITE_NO: &[Codes] = &[Codes::Is("190"), Codes::Is("10"), Codes::Span(200, 299)];

/// What Graph's codes mean, for every product. From "Handling Errors", "Rate Limits" and "Video API: Error Codes" of
/// Meta's documents; the subcodes of Pages that begin with 13 were seen in the field.
pub const ERRORS: &[Row] = &[
    Row::sub("1346003", Class::Permanent).told("Facebook takes the content for abusive."),
    Row::sub("1366046", Class::Permanent)
        .told("The picture is too large, or of a format that Facebook does not take."),
    Row::sub("1366051", Class::Permanent).told("Facebook says that this was posted already."),
    Row::sub("1363019", Class::Transient),
    Row::sub("1363030", Class::Transient),
    Row::sub("1363037", Class::Transient),
    Row::sub("1363022", Class::Permanent).told("The film is smaller than Facebook takes."),
    Row::sub("1363023", Class::Permanent).told("The film is larger than Facebook takes."),
    Row::sub("1363042", Class::Permission).told("The account may not publish films here."),
    Row::is("1", Class::Transient),
    Row::is("2", Class::Transient),
    Row::is("3", Class::Permanent).told("The app may not do this.").for_operator(),
    // Without usage headers nobody says for how long; calling while blocked prolongs the block.
    Row::is("4", Class::Rate).resting(5),
    Row::is("10", Class::Permission).told("A permission is missing, or was taken back."),
    Row::is("17", Class::Rate),
    Row::is("32", Class::Rate),
    Row::is("100", Class::Permanent),
    Row::is("102", Class::Auth).told("The session is over."),
    Row::is("190/458", Class::Auth).told("The app was removed from the account."),
    Row::is("190/459", Class::Auth).told("Facebook wants the owner to sign in there and pass a check first."),
    Row::is("190/460", Class::Auth).told("The password was changed."),
    Row::is("190/463", Class::Auth).told("The access has expired."),
    Row::is("190/464", Class::Auth).told("The owner has to confirm the Facebook account first."),
    Row::is("190/467", Class::Auth).told("The access was withdrawn."),
    Row::is("190/492", Class::Auth).told("Whoever connected the account has no role on the Page any more."),
    Row::is("190", Class::Auth).told("The access is no longer good."),
    Row::span(200, 299, Class::Permission).told("A permission is missing, or was taken back."),
    Row::is("341", Class::Rate),
    // The account is better left alone than provoked again.
    Row::is("368", Class::Permanent).resting(60).told("Facebook blocks this by its rules, for now."),
    Row::is("506", Class::Permanent).told("The same was posted just before."),
    Row::is("613", Class::Rate),
    Row::is("2635", Class::Permanent).told("This version of the API is retired.").for_operator(),
    Row::is("6000", Class::Permanent).told("The film cannot be read."),
    Row::is("1609005", Class::Permanent).told("The page behind the link cannot be read."),
    Row::span(80000, 80014, Class::Rate),
];

/// What both of Meta's networks are told in `worker.toml`, besides what is their own.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What they let us do.
    pub allowance: Allowance,
    /// When a lane is left alone by what the usage headers say.
    pub usage: Patience,
    /// How long the app rests at first where Graph says that it called too often and nothing else.
    pub app_rest: Duration,
}

impl Settings {
    /// Takes them out of a table; what is left is the network's own.
    ///
    /// # Errors
    /// One of them, or of the network's own, cannot be used; the message names the key.
    pub fn split<Own: DeserializeOwned>(table: &Value) -> Result<(Self, Own), String> {
        let keys = ["usage_most", "usage_rest", "app_rest"];
        let (rates, own) = allowance::split(table, RATES);
        let ([most, rest, app_rest], own) = allowance::split(&own, keys);
        let own = read(&own)?;
        let most = allowance::percent(keys[0], most.as_ref())?;
        let rest = allowance::rest(keys[1], rest.as_ref())?;
        let app_rest = allowance::rest(keys[2], app_rest.as_ref())?;
        let allowance = allowance::allowance(APP, &rates)?;
        Ok((Self { allowance, usage: Patience { most, rest }, app_rest }, own))
    }
}

/// The Graph API for one app.
#[derive(Clone)]
pub struct Graph {
    http: Http,
    base: Url,
    uploads: Url,
    /// Keyed with the app's secret.
    proof: Hmac<Sha256>,
    /// The longest a read, or an unseen step of preparing, may take.
    timeout: Duration,
    settings: Settings,
    tables: Tables,
    /// The app's own token: its id and its secret.
    app: SecretString,
    /// The scopes that publishing needs.
    needed: &'static [&'static str],
}

impl Graph {
    /// The API of the app that the environment names, if it names one.
    ///
    /// # Errors
    /// A half-set group, or an address that cannot be used.
    pub fn connect(
        environment: Environment<'_>,
        timeout: Duration,
        settings: Settings,
        tables: Tables,
    ) -> Result<Option<Self>, String> {
        let Some([id, secret]) = group(environment, ["META_APP_ID", "META_APP_SECRET"])? else {
            return Ok(None);
        };
        let base = base(environment, ADDRESS)?;
        let uploads = super::base(environment, UPLOADS)?;
        let proof = Hmac::new_from_slice(secret.as_bytes()).map_err(|e| format!("META_APP_SECRET: {e}"))?;
        let app = SecretString::from(format!("{id}|{secret}"));
        let http = Http::new()?;
        Ok(Some(Self { http, base, uploads, proof, timeout, settings, tables, app, needed: &[] }))
    }

    /// The same, for what needs these scopes.
    #[must_use]
    pub fn needing(self, needed: &'static [&'static str]) -> Self {
        Self { needed, ..self }
    }

    /// The same, where only these codes prove that a commit had no effect.
    fn refusing(&self, definite_no: &'static [Codes]) -> Self {
        Self { tables: Tables { definite_no, ..self.tables }, ..self.clone() }
    }

    /// The app's id.
    pub fn app_id(&self) -> &str {
        self.app.expose_secret().split('|').next().unwrap_or_default()
    }

    /// The version of the API, with which its addresses end.
    pub fn version(&self) -> &str {
        self.base.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default()
    }

    /// What it lets us do.
    pub fn allowance(&self) -> Allowance {
        self.settings.allowance
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

    /// `POST` of a form with a part of a file, which nobody sees before more is done with it.
    ///
    /// # Errors
    /// What Graph said.
    pub async fn post_file(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        path: &[&str],
        form: &[(&str, &str)],
        (name, bytes): (&'static str, Vec<u8>),
    ) -> Result<Value, Fault> {
        let whole = Form::new().text("appsecret_proof", self.proof_of(call.token));
        let whole =
            form.iter().fold(whole, |form, (name, value)| form.text((*name).to_owned(), (*value).to_owned()));
        let whole = whole.part(name, Part::bytes(bytes).file_name("part"));
        let request = self.request(Phase::Prepare, call, Method::POST, path)?.multipart(whole);
        self.send(Phase::Prepare, call, request, deadline.left(self.timeout)).await
    }

    /// Has the host for uploads fetch a file from its address, below this path.
    ///
    /// # Errors
    /// What it said.
    pub async fn pull(
        &self,
        call: &Call<'_>,
        within: Duration,
        path: &[&str],
        address: &str,
    ) -> Result<Value, Fault> {
        let url = below(&self.uploads, path);
        // it takes another word than Graph does
        let token = format!("OAuth {}", call.token.expose_secret());
        let request = self.http.request(Phase::Prepare, call, Method::POST, url)?;
        let request = request.header(header::AUTHORIZATION, token).header("file_url", address);
        self.send(Phase::Prepare, call, request, within).await
    }

    /// `DELETE` of an object that nobody sees, or that nobody is to see any more.
    ///
    /// # Errors
    /// What Graph said.
    pub async fn delete(&self, call: &Call<'_>, deadline: Deadline, path: &[&str]) -> Result<Value, Fault> {
        let proof = self.proof_of(call.token);
        let request = self.request(Phase::Prepare, call, Method::DELETE, path)?;
        let request = request.query(&[("appsecret_proof", proof)]);
        self.send(Phase::Prepare, call, request, deadline.left(self.timeout)).await
    }

    /// Removes something public. That Graph knows no such object (100/33) is told apart from every other no.
    pub async fn remove(&self, call: &Call<'_>, id: &str) -> Removal {
        match self.delete(call, Deadline::of(call), &[id]).await {
            Ok(body) if body["success"] == true => Removal::Gone,
            Ok(_) => Removal::Unknown(unsaid()),
            Err(fault) => removal(fault),
        }
    }

    /// Whether an object is there. That it cannot be read (100/33) counts only where its account can be.
    ///
    /// # Errors
    /// A read failed, which is no evidence.
    pub async fn presence(&self, call: &Call<'_>, id: &str) -> Result<Presence, Failure> {
        let seen = self.get(call, Deadline::of(call), &[id], &[("fields", "id")]).await;
        match seen.map_err(Fault::into_failure) {
            Ok(_) => Ok(Presence::There),
            Err(failure) if failure.code == MISSING => {
                self.check(call).await.map_err(no_evidence)?;
                Ok(Presence::Absent)
            }
            Err(failure) => Err(no_evidence(failure)),
        }
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
        let url = below(&self.base, path);
        Ok(self.http.request(phase, call, method, url)?.bearer_auth(call.token.expose_secret()))
    }

    async fn send(
        &self,
        phase: Phase,
        call: &Call<'_>,
        request: RequestBuilder,
        within: Duration,
    ) -> Result<Value, Fault> {
        let reply = self.reply(phase, call, request, within).await?;
        self.heard(phase, call, &reply)
    }

    /// A whole answer, whatever it says; what it tells of limits is noticed.
    async fn reply(
        &self,
        phase: Phase,
        call: &Call<'_>,
        request: RequestBuilder,
        within: Duration,
    ) -> Result<Reply, Fault> {
        let reply = http::send(phase, call, request, within).await?;
        for notice in usage::asked(&reply, self.settings.usage) {
            call.gate.notice(notice);
        }
        for notice in usage::used(&reply) {
            call.gate.notice(notice);
        }
        Ok(reply)
    }

    /// What a whole answer says, or a part that is one.
    fn heard(&self, phase: Phase, call: &Call<'_>, reply: &Reply) -> Result<Value, Fault> {
        match reply.json() {
            Some(body) if body.get("error").is_some() => Err(self.refused(phase, call, reply, body)),
            Some(body) if reply.status.is_success() => Ok(body),
            None if reply.status.is_success() => Err(http::unreadable(phase, "the answer is not JSON")),
            Some(body) => Err(classify(phase, of_upload(&body, call, reply), &self.tables)),
            None => Err(classify(phase, Said::nothing(reply), &self.tables)),
        }
    }

    fn refused(&self, phase: Phase, call: &Call<'_>, reply: &Reply, body: Value) -> Fault {
        let said = match Envelope::deserialize(body) {
            Ok(envelope) => envelope.error.said(call, reply),
            Err(_) => Said::nothing(reply),
        };
        if !OF_THE_APP.contains(&said.code.as_str()) {
            return classify(phase, said, &self.tables);
        }
        let first = self.settings.app_rest;
        call.gate.notice(match said.rest {
            Rest::For(rest) => Notice::Rest(Lane::App, rest),
            Rest::Unsaid | Rest::Untimed => Notice::Strike(first),
        });
        let unsaid = said.rest == Rest::Unsaid;
        let fault = classify(phase, said, &self.tables);
        fault.map(|failure| if unsaid { failure.resting(Some(first)) } else { failure })
    }

    /// Lower-case hex of HMAC-SHA256 over the token: proof that the caller holds the app's secret.
    fn proof_of(&self, token: &SecretString) -> String {
        let mut mac = self.proof.clone();
        mac.update(token.expose_secret().as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// What a request to remove something came to that was not answered with a success.
fn removal(fault: Fault) -> Removal {
    match fault {
        Fault::Unsent(failure) => Removal::NotNow(failure),
        Fault::Unknown(failure) => Removal::Unknown(failure),
        Fault::Refused(failure) if failure.code == MISSING => Removal::Missing(failure),
        Fault::Refused(failure) => match failure.class {
            Class::Rate => Removal::NotNow(failure),
            Class::Transient | Class::Unknown => Removal::Unknown(failure),
            Class::Auth | Class::Permission | Class::Permanent => Removal::Refused(failure),
        },
    }
}

fn unsaid() -> Failure {
    Failure::new(Class::Transient, "unreadable", "the answer does not say whether it is removed")
}

fn below(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
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

/// What the host for uploads says, which has an envelope of its own.
fn of_upload(body: &Value, call: &Call<'_>, reply: &Reply) -> Said {
    let (nothing, info) = (Said::nothing(reply), &body["debug_info"]);
    let Some(code) = info["type"].as_str() else { return nothing };
    let message = words(info["message"].as_str().unwrap_or_default(), call);
    Said { code: code.to_owned(), message, transient: info["retriable"] == true, ..nothing }
}

/// What the headers say about limits.
fn rest(reply: &Reply) -> Rest {
    let regained = reply.header("x-business-use-case-usage").and_then(usage::regained_in);
    match (Rest::asked_by(reply), regained) {
        (Rest::For(rest), _) | (_, Some(rest)) => Rest::For(rest),
        (Rest::Unsaid | Rest::Untimed, None) if usage::speaks(reply) => Rest::Untimed,
        (Rest::Unsaid | Rest::Untimed, None) => Rest::Unsaid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: Tables = Tables { rows: &[ERRORS], definite_no: &[] };

    pub fn graph(secret: &str) -> Graph {
        let environment = |name: &str| name.starts_with("META_APP_").then(|| secret.to_owned());
        let settings = Settings {
            allowance: Allowance { app: APP, app_rate: None, workspace_rate: None, account_rate: None },
            usage: Patience { most: 95.0, rest: Duration::from_mins(10) },
            app_rest: Duration::from_mins(5),
        };
        let graph = Graph::connect(&environment, Duration::from_secs(1), settings, TABLES).expect("settings");
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
}
