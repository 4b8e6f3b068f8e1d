//! A provider of `OpenID` Connect: it lets anybody be whoever they say, and can be told to lie about it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::extract::{Form, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

use crate::clock::Clock;

/// How long an identity holds, in seconds.
const LASTS: i64 = 600;
/// In the DER of a public key of 2048 bits, where its modulus is.
const MODULUS: std::ops::Range<usize> = 9..265;

/// The provider.
#[derive(Debug)]
pub struct Provider {
    key: KeyPair,
    issuer: String,
    grants: Mutex<HashMap<String, Grant>>,
    clock: Arc<Clock>,
}

/// What the browser brings.
#[derive(Debug, Clone, Deserialize)]
struct Asked {
    client_id: String,
    redirect_uri: String,
    state: String,
    nonce: String,
    code_challenge: String,
    code_challenge_method: String,
    response_type: String,
    scope: String,
}

/// Who somebody says to be.
#[derive(Debug, Clone, Deserialize)]
struct Person {
    email: String,
    /// Of the address, unless it is said.
    #[serde(default)]
    sub: String,
    #[serde(default)]
    given_name: String,
    #[serde(default)]
    family_name: String,
    /// The organisation.
    #[serde(default)]
    hd: String,
    /// `on`, unless the address is not verified.
    #[serde(default)]
    verified: String,
    /// What is wrong with the identity: `nonce`, `audience`, `issuer`, `expired`, `signature`.
    #[serde(default)]
    lie: String,
}

#[derive(Debug)]
struct Grant {
    asked: Asked,
    person: Person,
}

impl Provider {
    /// One with a key of its own.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn new(base: &str, clock: Arc<Clock>) -> std::io::Result<Arc<Self>> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(std::io::Error::other)?;
        Ok(Arc::new(Self { key, issuer: format!("{base}/oidc"), grants: Mutex::default(), clock }))
    }

    fn keys(&self) -> Result<Value, String> {
        let modulus = self.key.public_key().as_ref().get(MODULUS).ok_or("a key of another size")?;
        let n = URL_SAFE_NO_PAD.encode(modulus);
        Ok(json!({ "keys": [
            { "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "sandbox", "n": n, "e": "AQAB" }
        ] }))
    }

    fn identity(&self, grant: &Grant) -> Result<String, String> {
        let (person, now) = (&grant.person, self.clock.now().timestamp());
        let is = |lie: &str| person.lie == lie;
        let or =
            |lie: &str, wrong: &str, right: &str| if is(lie) { wrong.to_owned() } else { right.to_owned() };
        let sub = if person.sub.is_empty() {
            hex::encode(Sha256::digest(&person.email))
        } else {
            person.sub.clone()
        };
        let mut claims = json!({
            "iss": or("issuer", "https://other.example", &self.issuer),
            "aud": or("audience", "another-client", &grant.asked.client_id),
            "nonce": or("nonce", "another-nonce", &grant.asked.nonce),
            "iat": now, "exp": if is("expired") { now - LASTS } else { now + LASTS },
            "sub": sub, "email": person.email, "email_verified": person.verified == "on",
        });
        for (name, value) in
            [("given_name", &person.given_name), ("family_name", &person.family_name), ("hd", &person.hd)]
        {
            if !value.is_empty() {
                claims[name] = json!(value);
            }
        }
        let head = json!({ "alg": "RS256", "kid": "sandbox", "typ": "JWT" });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&head), part(&claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|error| error.to_string())?;
        if is("signature") {
            signature[0] ^= 1;
        }
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The provider's pages and its API.
pub fn router(provider: Arc<Provider>) -> Router {
    Router::new()
        .route("/oidc/.well-known/openid-configuration", get(describe))
        .route("/oidc/jwks", get(keys))
        .route("/oidc/authorize", get(choose).post(chosen))
        .route("/oidc/token", post(token))
        // a provider that sends its callers elsewhere
        .route(
            "/oidc-moved/.well-known/openid-configuration",
            get(async || Redirect::temporary("/oidc/.well-known/openid-configuration")),
        )
        .with_state(provider)
}

type Shared = State<Arc<Provider>>;

async fn describe(State(provider): Shared) -> Json<Value> {
    let at = &provider.issuer;
    Json(json!({
        "issuer": at,
        "authorization_endpoint": format!("{at}/authorize"),
        "token_endpoint": format!("{at}/token"),
        "jwks_uri": format!("{at}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "email", "profile"],
    }))
}

async fn keys(State(provider): Shared) -> Response {
    match provider.keys() {
        Ok(keys) => Json(keys).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

#[derive(Template)]
#[template(path = "oidc.html")]
struct Choose {
    faults: usize,
    fields: Vec<(&'static str, String)>,
}

/// A page on which somebody says who they are.
async fn choose(State(_): Shared, Query(asked): Query<Asked>) -> Response {
    if let Err(wrong) = check(&asked) {
        return (StatusCode::BAD_REQUEST, wrong).into_response();
    }
    let fields = vec![
        ("client_id", asked.client_id),
        ("redirect_uri", asked.redirect_uri),
        ("state", asked.state),
        ("nonce", asked.nonce),
        ("code_challenge", asked.code_challenge),
        ("code_challenge_method", asked.code_challenge_method),
        ("response_type", asked.response_type),
        ("scope", asked.scope),
    ];
    match (Choose { faults: 0, fields }).render() {
        // the form leads on to where the browser came from
        Ok(html) => {
            let policy = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";
            ([(header::CONTENT_SECURITY_POLICY, policy)], Html(html)).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn check(asked: &Asked) -> Result<(), &'static str> {
    match asked {
        _ if asked.response_type != "code" => Err("response_type must be code"),
        _ if asked.code_challenge_method != "S256" || asked.code_challenge.len() != 43 => {
            Err("PKCE with S256 is needed")
        }
        _ if asked.nonce.len() < 16 || asked.state.len() < 16 => Err("nonce and state must be hard to guess"),
        _ if !asked.scope.split(' ').any(|scope| scope == "openid") => Err("the scope openid is needed"),
        _ => Ok(()),
    }
}

/// Sends the browser back with a code.
async fn chosen(State(provider): Shared, Form(fields): Form<HashMap<String, String>>) -> Response {
    let fields = json!(fields);
    let read = (serde_json::from_value::<Asked>(fields.clone()), serde_json::from_value::<Person>(fields));
    let (Ok(asked), Ok(person)) = read else { return StatusCode::BAD_REQUEST.into_response() };
    let Ok(mut back) = Url::parse(&asked.redirect_uri) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if let Err(wrong) = check(&asked) {
        return (StatusCode::BAD_REQUEST, wrong).into_response();
    }
    let code = Uuid::new_v4().to_string();
    back.query_pairs_mut().append_pair("code", &code).append_pair("state", &asked.state);
    let mut grants = provider.grants.lock().unwrap_or_else(PoisonError::into_inner);
    grants.insert(code, Grant { asked, person });
    Redirect::to(back.as_str()).into_response()
}

#[derive(Debug, Deserialize)]
struct Exchange {
    grant_type: String,
    code: String,
    redirect_uri: String,
    #[serde(default)]
    code_verifier: String,
}

/// Exchanges a code, once.
async fn token(State(provider): Shared, headers: HeaderMap, Form(form): Form<Exchange>) -> Response {
    let refused = |word: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": word }))).into_response();
    let grant = provider.grants.lock().unwrap_or_else(PoisonError::into_inner).remove(&form.code);
    let Some(grant) = grant else { return refused("invalid_grant") };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form.code_verifier));
    if form.grant_type != "authorization_code"
        || form.redirect_uri != grant.asked.redirect_uri
        || challenge != grant.asked.code_challenge
    {
        return refused("invalid_grant");
    }
    if !client(&headers).is_some_and(|(id, secret)| id == grant.asked.client_id && !secret.is_empty()) {
        return refused("invalid_client");
    }
    match provider.identity(&grant) {
        Ok(identity) => Json(json!({
            "access_token": "sandbox-google-access", "token_type": "Bearer", "expires_in": 3600, "id_token": identity,
        }))
        .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

/// Who asks, as `Authorization: Basic` says it.
fn client(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

    use super::*;

    #[test]
    fn an_identity_is_signed_with_the_key_that_is_shown() {
        let provider =
            Provider::new("http://127.0.0.1:1", Arc::new(Clock::ahead_by(0))).expect("it is there");
        let keys = provider.keys().expect("it is there");
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("it is there");
        let n = part(keys["keys"][0]["n"].as_str().expect("it is there"));
        let asked: Asked = serde_json::from_value(json!({
            "client_id": "c", "redirect_uri": "http://x/", "state": "s", "nonce": "n", "code_challenge": "",
            "code_challenge_method": "S256", "response_type": "code", "scope": "openid",
        }))
        .expect("it is there");
        let person =
            serde_json::from_value(json!({ "email": "a@b", "verified": "on" })).expect("it is there");
        let identity = provider.identity(&Grant { asked, person }).expect("it is there");
        let (text, signature) = identity.rsplit_once('.').expect("it is there");
        let key = RsaPublicKeyComponents { n: &n[..], e: &[1, 0, 1][..] };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, text.as_bytes(), &part(signature)).expect("it is there");
        let claims: Value =
            serde_json::from_slice(&part(text.split('.').nth(1).expect("it is there"))).expect("it is there");
        assert_eq!((&claims["aud"], &claims["email_verified"]), (&json!("c"), &json!(true)));
    }
}
