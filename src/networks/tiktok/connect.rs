//! TikTok's dialog: a code, with the app's own secret, becomes a pair of tokens of one account.
//! "Manage User Access Tokens" of TikTok's documents.

use async_trait::async_trait;
use jobs::{
    connections::{Connecting, Dialog, Exchange, Fresh, Granted, Missing, Offer, Offered, Offers},
    contract::{Class, Failure},
    desk::Call,
};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{
    PLATFORM, TikTok,
    oauth::{TOKEN, life, missing, secret, too_often},
};
use crate::networks::{
    Environment, Settings, dialog_address, group,
    http::{Deadline, Fault, Phase, Reply, id_of, words},
};

const PERSON: &str = "/v2/user/info/?fields=open_id,display_name,username";
const NAMELESS: &str = "/v2/user/info/?fields=open_id,display_name";
/// With it the name can be read that stands in addresses.
const PROFILE: &str = "user.info.profile";

/// The variable that names where the dialog is, and where it really is.
const DIALOG: (&str, &str) = ("TIKTOK_AUTH_URL", "https://www.tiktok.com");
/// What is asked for in the dialog.
const SCOPES: &[&str] = &[
    "user.info.basic",
    "user.info.profile",
    "user.info.stats",
    "video.publish",
    "video.upload",
    "video.list",
];

/// TikTok's dialog. It takes a challenge of apps on phones and desktops, which keep no secret. This one keeps one, and its
/// state is bound to the session that began.
///
/// # Errors
/// A half-set group, or an address that cannot be used.
pub fn dialog(_: &Settings, environment: Environment<'_>) -> Result<Option<Dialog>, String> {
    let Some([key, _]) = group(environment, ["TIKTOK_CLIENT_KEY", "TIKTOK_CLIENT_SECRET"])? else {
        return Ok(None);
    };
    Ok(Some(Dialog {
        platform: PLATFORM.name,
        also: &[],
        address: dialog_address(environment, DIALOG, &["v2", "auth", "authorize", ""])?,
        client: ("client_key", key),
        scopes: SCOPES,
    }))
}

#[async_trait]
impl Connecting for TikTok {
    async fn exchange(&self, call: &Call<'_>, redirect_uri: &str) -> Exchange {
        let form = [
            ("code", call.token.expose_secret()),
            ("grant_type", "authorization_code"),
            ("redirect_uri", redirect_uri),
        ];
        // the phase of a prepare: nobody sees what comes of it, and it may be asked again
        match self.oauth(Phase::Prepare, call, TOKEN, &form).await {
            Ok(reply) => granted(&reply, call),
            Err(fault) => Exchange::Unknown(fault.into_failure()),
        }
    }

    async fn person(&self, call: &Call<'_>) -> Result<Option<String>, Failure> {
        let seen = self.ask(Phase::Read, call, Deadline::of(call), Method::GET, NAMELESS, None).await;
        Ok(id_of(&seen.map_err(Fault::into_failure)?["user"]["open_id"]))
    }

    async fn offers(&self, call: &Call<'_>, granted: &Granted) -> Result<Offers, Failure> {
        let scopes = granted.scopes.as_deref();
        let named = scopes.is_none_or(|scopes| scopes.iter().any(|scope| scope == PROFILE));
        let path = if named { PERSON } else { NAMELESS };
        let seen = self.ask(Phase::Read, call, Deadline::of(call), Method::GET, path, None).await;
        let user = &seen.map_err(Fault::into_failure)?["user"];
        let id = id_of(&user["open_id"])
            .ok_or_else(|| Failure::new(Class::Transient, "unreadable", "the answer names no account"))?;
        let name = [&user["username"], &user["display_name"]].into_iter().find_map(id_of);
        // a list that did not come says nothing
        let lacks = scopes.map_or_else(Vec::new, |scopes| missing(&scopes.join(",")));
        let offer = Offer {
            platform: PLATFORM.name.to_owned(),
            name: name.unwrap_or_else(|| id.clone()),
            external_id: id.clone(),
            page: None,
            alone: false,
            known: false,
            missing: lacks.into_iter().map(|scope| Missing::Scope { scope }).collect(),
        };
        let offered = vec![Offered { offer, own: None }];
        Ok(Offers { subject_id: Some(id), data_access_ends: None, offered })
    }
}

fn granted(reply: &Reply, call: &Call<'_>) -> Exchange {
    let Some(body) = reply.json() else { return Exchange::Unknown(unclear(reply)) };
    if let Some(code) = body["error"].as_str() {
        return match refusal(code, &body, call) {
            Ok(failure) => Exchange::Refused(failure),
            Err(failure) => Exchange::Unknown(failure),
        };
    }
    let (Some(access), Some(refresh)) = (secret(&body["access_token"]), secret(&body["refresh_token"]))
    else {
        return Exchange::Unknown(unclear(reply));
    };
    let scopes = body["scope"].as_str().map(|text| text.split([',', ' ']).map(str::to_owned).collect());
    Exchange::Granted(Fresh {
        access,
        refresh: Some(refresh),
        access_life: life(&body["expires_in"]),
        refresh_life: life(&body["refresh_expires_in"]),
        scopes,
    })
}

/// A no, or else what passes.
fn refusal(code: &str, body: &Value, call: &Call<'_>) -> Result<Failure, Failure> {
    tracing::debug!(code, log_id = body["log_id"].as_str(), "TikTok refused");
    let said = words(body["error_description"].as_str().unwrap_or_default(), call);
    match code {
        "invalid_grant" | "access_denied" => Ok(Failure::new(Class::Permanent, code, said)),
        "invalid_request"
        | "invalid_client"
        | "invalid_scope"
        | "unauthorized_client"
        | "unsupported_grant_type" => {
            Ok(Failure { operator: true, ..Failure::new(Class::Permanent, code, said) })
        }
        _ => Err(Failure::new(Class::Transient, code, said)),
    }
}

fn unclear(reply: &Reply) -> Failure {
    too_often(reply).unwrap_or_else(|| {
        let code = format!("http_{}", reply.status.as_u16());
        Failure::new(Class::Transient, code, "TikTok did not say what came of it")
    })
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::networks::doubles::{NoMedia, call};

    #[test]
    fn a_code_that_is_spent_is_refused_and_an_app_at_fault_is_its_operators() {
        let token = SecretString::from("code");
        let call = call(&token, &NoMedia);
        let said = |code: &str| refusal(code, &serde_json::json!({}), &call);
        assert!(said("invalid_grant").is_ok_and(|failure| !failure.operator));
        assert!(said("invalid_client").is_ok_and(|failure| failure.operator));
        assert!(said("internal_error").is_err());
    }
}
