//! TikTok's tokens: a refresh gives a new pair and voids the old one, so a pair whose answer is lost is lost. A grant is
//! taken back by its access token, and where that has ended by the one that the refresh token brings.

use std::time::Duration;

use async_trait::async_trait;
use jobs::{
    contract::{Class, Failure},
    desk::Call,
    forgetting::{Revocation, Revoking},
    renewals::{Mend, Pair, Renewal, Renewing},
};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::TikTok;
use crate::networks::http::{self, Deadline, Fault, Phase, Reply, words};

pub(super) const TOKEN: &str = "/v2/oauth/token/";
const REVOKE: &str = "/v2/oauth/revoke/";
/// The person has taken the app off.
const REMOVED: &str = "auth_removed";
/// What publishing needs of a grant.
const NEEDED: [&str; 1] = ["video.publish"];

/// Our app at TikTok.
pub struct App {
    /// Its public name.
    pub key: String,
    /// What it proves itself by.
    pub secret: SecretString,
}

#[async_trait]
impl Renewing for TikTok {
    async fn renew(&self, call: &Call<'_>) -> Renewal {
        let form = [("grant_type", "refresh_token"), ("refresh_token", call.token.expose_secret())];
        // the phase of a commit: whatever is not answered may have taken effect
        match self.oauth(Phase::Commit, call, TOKEN, &form).await {
            Ok(reply) => read(&reply, call),
            Err(Fault::Unsent(failure) | Fault::Refused(failure)) => Renewal::Refused(failure),
            Err(Fault::Unknown(failure)) => Renewal::Unknown(failure),
        }
    }

    fn mend(&self, failure: &Failure) -> Mend {
        match failure.code.as_str() {
            "access_token_invalid" => Mend::Refresh,
            REMOVED => Mend::Disconnect,
            _ => Mend::of(failure),
        }
    }
}

#[async_trait]
impl Revoking for TikTok {
    fn proves(&self, refusal: &Failure) -> bool {
        refusal.code == REMOVED
    }

    async fn revoke(&self, call: &Call<'_>, _: Option<&str>) -> Revocation {
        let deadline = Deadline::of(call);
        match self.take_back(call).await {
            Revocation::Already(refusal) if refusal.code != REMOVED => {
                let rest = Call { timeout: deadline.left(call.timeout), ..*call };
                self.take_back_anew(&rest, deadline, refusal).await
            }
            said => said,
        }
    }
}

impl TikTok {
    /// Sends a form with which the app's own secret goes.
    pub(super) async fn oauth(
        &self,
        phase: Phase,
        call: &Call<'_>,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<Reply, Fault> {
        let own = [("client_key", self.app.key.as_str()), ("client_secret", self.app.secret.expose_secret())];
        let form: Vec<_> = own.iter().chain(form).collect();
        let url = format!("{}{path}", self.base);
        let request = self.http.request(phase, call, Method::POST, url)?;
        http::send(phase, call, request.form(&form), call.timeout).await
    }

    async fn take_back(&self, call: &Call<'_>) -> Revocation {
        let form = [("token", call.token.expose_secret())];
        match self.oauth(Phase::Prepare, call, REVOKE, &form).await {
            Ok(reply) => taken_back(&reply, call),
            Err(fault) => Revocation::Not(fault.into_failure()),
        }
    }

    /// A grant outlives its access tokens. Where the token of the call is what gives another, that one takes it back; nobody
    /// needs the pair for anything else any more, so it is kept nowhere.
    async fn take_back_anew(&self, call: &Call<'_>, deadline: Deadline, refusal: Failure) -> Revocation {
        match self.renew(call).await {
            Renewal::Renewed(Pair { access: Some(access), .. }) => {
                let with = Call { token: &access, timeout: deadline.left(call.timeout), ..*call };
                self.take_back(&with).await
            }
            Renewal::Refused(failure) if failure.class == Class::Rate => Revocation::Not(failure),
            Renewal::Unknown(failure) => Revocation::Not(failure),
            Renewal::Renewed(_) | Renewal::Dead(_) | Renewal::Refused(_) => Revocation::Already(refusal),
        }
    }
}

/// "Manage User Access Tokens" of TikTok's documents: an empty body, or `{}`; or an error of OAuth's, with any status.
fn taken_back(reply: &Reply, call: &Call<'_>) -> Revocation {
    let body = reply.json().unwrap_or_default();
    let Some(code) =
        body["error"].as_str().or_else(|| body["error"]["code"].as_str().filter(|code| *code != "ok"))
    else {
        let code = format!("http_{}", reply.status.as_u16());
        let why = "TikTok did not say whether it took the grant back";
        return if reply.status.is_success() {
            Revocation::Revoked
        } else {
            Revocation::Not(Failure::new(Class::Transient, code, why))
        };
    };
    let failure = Failure::new(
        Class::Transient,
        code,
        words(body["error_description"].as_str().unwrap_or_default(), call),
    );
    match code {
        "invalid_grant" | "access_token_invalid" | REMOVED => Revocation::Already(failure),
        _ => Revocation::Not(failure),
    }
}

/// Reads an answer. OAuth's errors have a shape of their own, and may come with any status.
fn read(reply: &Reply, call: &Call<'_>) -> Renewal {
    // whatever stands in it, a gateway's page or a code of another kind: nothing was done
    if let Some(failure) = too_often(reply) {
        return Renewal::Refused(failure);
    }
    let Some(body) = reply.json() else { return unclear(reply) };
    match body["error"].as_str() {
        Some(code) => refused(code, &body, call),
        None => pair(&body, call).unwrap_or_else(|| unclear(reply)),
    }
}

/// That TikTok wants to be asked less often, where it says so.
pub(super) fn too_often(reply: &Reply) -> Option<Failure> {
    let failure = || Failure::new(Class::Rate, "rate_limit_exceeded", "TikTok wants to be asked less often");
    (reply.status == StatusCode::TOO_MANY_REQUESTS).then(|| failure().resting(reply.retry_after()))
}

/// A token that an answer gives.
pub(super) fn secret(given: &Value) -> Option<SecretString> {
    given.as_str().filter(|text| !text.is_empty()).map(SecretString::from)
}

/// How long it lives.
pub(super) fn life(given: &Value) -> Option<Duration> {
    given.as_u64().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

fn pair(body: &Value, call: &Call<'_>) -> Option<Renewal> {
    let (access, refresh) = (secret(&body["access_token"])?, secret(&body["refresh_token"])?);
    if body["open_id"].as_str().is_some_and(|id| id != call.account) {
        let why = "TikTok gave a token of another account";
        return Some(Renewal::Dead(Failure::new(Class::Auth, "other_account", why)));
    }
    Some(Renewal::Renewed(Pair {
        access: Some(access),
        refresh: Some(refresh),
        access_life: life(&body["expires_in"]),
        refresh_life: life(&body["refresh_expires_in"]),
        missing: body["scope"].as_str().map(missing),
    }))
}

pub(super) fn missing(granted: &str) -> Vec<String> {
    let has = |needed: &str| granted.split([',', ' ']).any(|scope| scope == needed);
    NEEDED.into_iter().filter(|needed| !has(needed)).map(str::to_owned).collect()
}

fn refused(code: &str, body: &Value, call: &Call<'_>) -> Renewal {
    tracing::debug!(code, log_id = body["log_id"].as_str(), "TikTok refused a refresh");
    let said = words(body["error_description"].as_str().unwrap_or_default(), call);
    match code {
        "invalid_grant" => {
            let why = "TikTok takes the access no more: the account has to be connected again.";
            Renewal::Dead(Failure::new(Class::Auth, code, format!("{why} {said}")))
        }
        // the app is at fault, and no account pays for it
        "invalid_request"
        | "invalid_client"
        | "invalid_scope"
        | "unauthorized_client"
        | "access_denied"
        | "unsupported_grant_type" => {
            let failure = Failure::new(Class::Permanent, code, said);
            Renewal::Refused(Failure { operator: true, ..failure })
        }
        _ => Renewal::Unknown(Failure::new(Class::Transient, code, said)),
    }
}

fn unclear(reply: &Reply) -> Renewal {
    let code = format!("http_{}", reply.status.as_u16());
    Renewal::Unknown(Failure::new(Class::Transient, code, "TikTok did not say whether it renewed the access"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::doubles::{NoMedia, call};

    #[test]
    fn only_a_dead_grant_is_dead_and_only_an_app_at_fault_is_a_no() {
        let token = SecretString::from("rft");
        let call = call(&token, &NoMedia);
        let said = |code: &str| refused(code, &serde_json::json!({}), &call);
        assert!(matches!(said("invalid_grant"), Renewal::Dead(_)));
        assert!(matches!(said("invalid_client"), Renewal::Refused(failure) if failure.operator));
        assert!(matches!(said("internal_error"), Renewal::Unknown(_)));
    }

    #[test]
    fn too_many_requests_are_a_no_whatever_the_body_says() {
        let token = SecretString::from("rft");
        for body in ["", "<html>", r#"{"error": "rate_limit_exceeded"}"#, r#"{"error": "invalid_grant"}"#] {
            let reply = Reply::with_headers(&[("retry-after", "7")]);
            let reply = reply.saying(StatusCode::TOO_MANY_REQUESTS, body);
            let Renewal::Refused(failure) = read(&reply, &call(&token, &NoMedia)) else { panic!("{body}") };
            assert_eq!((failure.class, failure.rest), (Class::Rate, Some(Duration::from_secs(7))), "{body}");
        }
    }

    #[test]
    fn half_a_pair_is_none() {
        let token = SecretString::from("rft");
        let call = call(&token, &NoMedia);
        let whole = serde_json::json!({
            "open_id": "1", "scope": "user.info.basic", "access_token": "a", "expires_in": 7200,
            "refresh_token": "r", "refresh_expires_in": 100
        });
        let Some(Renewal::Renewed(new)) = pair(&whole, &call) else { panic!("a pair") };
        assert_eq!(
            (new.access_life, new.refresh_life),
            (Some(Duration::from_hours(2)), Some(Duration::from_secs(100)))
        );
        assert_eq!(new.missing, Some(vec!["video.publish".to_owned()]));
        for name in ["access_token", "refresh_token"] {
            let mut half = whole.clone();
            half[name] = "".into();
            assert!(pair(&half, &call).is_none(), "{name}");
        }
        let mut other = whole;
        other["open_id"] = "2".into();
        assert!(matches!(pair(&other, &call), Some(Renewal::Dead(_))));
    }
}
