//! Access to Pages and Instagram accounts: the user token that was granted is exchanged for a new one, the account's own
//! token is read again with it, and Meta is asked daily what is left of that.
//!
//! An exchange may be repeated: the old user token stays good, and so does every Page token that came of it.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobs::{
    contract::{Class, Failure},
    desk::Call,
    renewals::{Grant, Mend, Pair, Renewal, Renewing},
};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Graph, below};
use crate::networks::http::{Deadline, Fault, Phase, Rest, Said, classify, id_of, words};

/// What is read of a Page.
const FIELDS: &str = "id,access_token,instagram_business_account{id}";

#[async_trait]
impl Renewing for Graph {
    /// The exchange, and the list.
    fn calls(&self) -> u32 {
        2
    }

    async fn renew(&self, call: &Call<'_>) -> Renewal {
        let deadline = Deadline::of(call);
        let (user, refresh_life) = match self.prolong(call, deadline).await {
            Ok(exchanged) => exchanged,
            Err(failure) => return of_failure(failure),
        };
        match self.own_token(call, deadline, &user).await {
            // where the list does not name the account, as of some businesses, its token stays as it is
            Ok(access) => Renewal::Renewed(Pair {
                access,
                refresh: Some(user),
                access_life: None,
                refresh_life,
                missing: None,
            }),
            Err(failure) => of_failure(failure),
        }
    }

    async fn examine(&self, call: &Call<'_>) -> Result<Option<Grant>, Failure> {
        let told = self.inspected(call, Deadline::of(call)).await?;
        self.grant(call, &told).map(Some)
    }

    fn outlives(&self) -> bool {
        // a Page's token goes on when the person's that it came of has ended
        true
    }

    fn mend(&self, failure: &Failure) -> Mend {
        match failure.code.as_str() {
            "190/458" => Mend::Disconnect,
            "102" | "190" | "190/463" => Mend::Refresh,
            // a check to pass, a password that was changed, a role that was lost: only a person mends these
            _ => Mend::of(failure),
        }
    }
}

impl Graph {
    /// A person's token for the one of the call, which lives on.
    pub(super) async fn prolong(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
    ) -> Result<(SecretString, Option<Duration>), Failure> {
        let form = [("grant_type", "fb_exchange_token"), ("fb_exchange_token", call.token.expose_secret())];
        self.token(call, deadline, &form).await
    }

    /// What Meta tells of the token of the call. Whatever stands in the way of asking is the app's.
    pub(super) async fn inspected(&self, call: &Call<'_>, deadline: Deadline) -> Result<Value, Failure> {
        let url = below(&self.base, &["debug_token"]);
        let request = self.http.request(Phase::Read, call, Method::GET, url).map_err(Fault::into_failure)?;
        let request = request
            .bearer_auth(self.app.expose_secret())
            .query(&[("input_token", call.token.expose_secret())]);
        let told = self.send(Phase::Read, call, request, deadline.left(self.timeout)).await;
        let mut told = told.map_err(Fault::into_failure).map_err(of_the_app)?;
        Ok(told.get_mut("data").map(Value::take).unwrap_or_default())
    }

    /// The token of the call's account in the list of Pages that a user token opens.
    async fn own_token(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        user: &SecretString,
    ) -> Result<Option<SecretString>, Failure> {
        let as_user = Call { id: None, token: user, ..*call };
        let mut own = None;
        let look = |pages: &[Value]| {
            own = pages.iter().find(|it| is_of(it, call.account)).map(|it| it["access_token"].clone());
            own.is_none()
        };
        self.walk(&as_user, deadline, &["me", "accounts"], FIELDS, look).await?;
        Ok(own.and_then(|token| token.as_str().map(SecretString::from)))
    }

    fn grant(&self, call: &Call<'_>, data: &Value) -> Result<Grant, Failure> {
        if !is_valid(data)? {
            return Err(self.invalid(call, &data["error"]));
        }
        let scopes = data["scopes"].as_array().map_or(&[][..], Vec::as_slice);
        let has = |needed: &&str| scopes.iter().any(|scope| scope == needed);
        let missing = self.needed.iter().filter(|needed| !has(needed)).map(|it| (*it).to_owned());
        Ok(Grant {
            expires_at: time(&data["expires_at"]),
            data_access_expires_at: time(&data["data_access_expires_at"]),
            // a list that is not there says nothing
            missing: if scopes.is_empty() { Vec::new() } else { missing.collect::<Vec<String>>() },
        })
    }

    /// What an inspected token is refused with. Whatever it is, the token is no good.
    pub(super) fn invalid(&self, call: &Call<'_>, error: &Value) -> Failure {
        let code = match (error["code"].as_i64(), error["subcode"].as_i64()) {
            (Some(code), Some(sub)) => format!("{code}/{sub}"),
            (Some(code), None) => code.to_string(),
            (None, _) => "190".to_owned(),
        };
        let said = Said {
            status: StatusCode::BAD_REQUEST,
            code,
            message: words(error["message"].as_str().unwrap_or_default(), call),
            transient: false,
            rest: Rest::Unsaid,
        };
        let failure = classify(Phase::Read, said, &self.tables).into_failure();
        Failure { class: Class::Auth, rest: None, ..failure }
    }
}

/// Whether a token is good, as far as what Meta tells of it says so. Somebody else's answer, or half of one, does not.
pub(super) fn is_valid(data: &Value) -> Result<bool, Failure> {
    let why = "the answer does not say whether the token is good";
    data["is_valid"].as_bool().ok_or_else(|| Failure::new(Class::Transient, "unreadable", why))
}

/// A time as Meta writes it; 0 is none.
pub(super) fn time(at: &Value) -> Option<DateTime<Utc>> {
    at.as_i64().filter(|at| *at > 0).and_then(|at| DateTime::from_timestamp(at, 0))
}

fn is_of(page: &Value, account: &str) -> bool {
    let is = |id: &Value| id_of(id).is_some_and(|id| id == account);
    is(&page["id"]) || is(&page["instagram_business_account"]["id"])
}

/// What a refresh that brought nothing came to.
pub(super) fn of_failure(failure: Failure) -> Renewal {
    match failure.class {
        Class::Auth if is_of_the_token(&failure.code) => Renewal::Dead(failure),
        // such as a bare 401, which may be a gateway's word and not Meta's
        Class::Auth => Renewal::Refused(Failure { class: Class::Transient, ..failure }),
        Class::Permission | Class::Permanent | Class::Rate | Class::Transient => Renewal::Refused(failure),
        Class::Unknown => Renewal::Unknown(failure),
    }
}

/// Whether Meta speaks of the token that was shown: 190 with whatever comes after it, and 102.
fn is_of_the_token(code: &str) -> bool {
    matches!(code.split('/').next(), Some("102" | "190"))
}

/// That the app's own token is refused says nothing of the account's.
fn of_the_app(failure: Failure) -> Failure {
    match failure.class {
        Class::Auth | Class::Permission => Failure { class: Class::Permanent, operator: true, ..failure },
        Class::Permanent | Class::Rate | Class::Transient | Class::Unknown => failure,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;
    use crate::networks::doubles::{NoMedia, call};
    use crate::networks::graph::tests::graph;

    #[test]
    fn what_meta_tells_of_a_token_is_read_whole() {
        let graph = graph("secret").needing(&["pages_manage_posts", "pages_show_list"]);
        let token = SecretString::from("t");
        let read = |data: Value| graph.grant(&call(&token, &NoMedia), &data);
        let day = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let told = json!({ "is_valid": true, "expires_at": 0, "data_access_expires_at": 86_400, "scopes": ["pages_show_list"] });
        let grant = Grant {
            expires_at: None,
            data_access_expires_at: Some(day),
            missing: vec!["pages_manage_posts".into()],
        };
        assert_eq!(read(told), Ok(grant));
        for (code, sub, mend) in [
            (190, Some(458), Mend::Disconnect),
            (190, Some(463), Mend::Refresh),
            (190, Some(459), Mend::Owner),
            (190, Some(460), Mend::Owner),
            (190, Some(464), Mend::Owner),
            (190, Some(467), Mend::Owner),
            (190, Some(492), Mend::Owner),
            (190, None, Mend::Refresh),
        ] {
            let error = json!({ "code": code, "subcode": sub, "message": "no" });
            let failure = read(json!({ "is_valid": false, "error": error })).expect_err("refused");
            assert_eq!((failure.class, graph.mend(&failure)), (Class::Auth, mend), "{failure}");
        }
        let unsaid = read(json!({ "is_valid": false })).expect_err("refused");
        assert_eq!((unsaid.class, unsaid.code.as_str()), (Class::Auth, "190"));
    }

    #[test]
    fn what_is_not_metas_word_disconnects_nobody() {
        let graph = graph("secret");
        let token = SecretString::from("t");
        for said in [json!(null), json!({}), json!({ "is_valid": null }), json!({ "error": { "code": 190 } })]
        {
            let failure = graph.grant(&call(&token, &NoMedia), &said).expect_err("nothing is said");
            assert_eq!((failure.class, failure.code.as_str()), (Class::Transient, "unreadable"), "{said}");
        }
        let said = |code: &str| of_failure(Failure::new(Class::Auth, code, "no"));
        for code in ["102", "190", "190/463"] {
            assert!(matches!(said(code), Renewal::Dead(_)), "{code}");
        }
        for code in ["http_401", "1900", "10"] {
            let Renewal::Refused(failure) = said(code) else { panic!("{code} is no word on the token") };
            assert_eq!(failure.class, Class::Transient);
        }
    }

    #[test]
    fn an_account_is_found_by_its_page_and_by_its_instagram() {
        let page = json!({ "id": "1", "instagram_business_account": { "id": "2" } });
        assert!(is_of(&page, "1") && is_of(&page, "2") && !is_of(&page, "3"));
    }
}
