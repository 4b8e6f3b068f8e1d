//! Signing in with Google, or whoever speaks `OpenID` Connect in its place.

use std::time::Duration;

use async_trait::async_trait;
use jobs::{
    contract::{Class, Failure},
    sign_in::{Begun, Identity, SignIn},
};
use openidconnect::{
    AdditionalClaims, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IdTokenFields, IssuerUrl,
    Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, StandardErrorResponse,
    StandardTokenResponse, TokenResponse,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType, CoreGenderClaim,
        CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata,
        CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Environment, group};

const ISSUER: &str = "https://accounts.google.com";
/// One request to the provider.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const LARGEST: usize = 256 << 10;

/// What Google says besides: the organisation that an account belongs to.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
struct Hosted {
    hd: Option<String>,
}

impl AdditionalClaims for Hosted {}

type Fields = IdTokenFields<
    Hosted,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

type Provider = Client<
    Hosted,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Google, with our client there.
struct Google {
    issuer: IssuerUrl,
    client_id: ClientId,
    client_secret: ClientSecret,
    hosted_domain: Option<String>,
    http: reqwest::Client,
}

/// Signing in with Google, if its variables are set.
///
/// # Errors
/// The group is half set, or the issuer is no address; the message names it.
pub fn from_environment(environment: Environment<'_>) -> Result<Option<Box<dyn SignIn>>, String> {
    let Some([id, secret]) = group(environment, ["GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET"])? else {
        return match environment("GOOGLE_HOSTED_DOMAIN").or_else(|| environment("GOOGLE_ISSUER_URL")) {
            Some(_) => {
                Err("GOOGLE_CLIENT_ID: not set, but others of its group are; set it and GOOGLE_CLIENT_SECRET"
                    .into())
            }
            None => Ok(None),
        };
    };
    let issuer = environment("GOOGLE_ISSUER_URL").unwrap_or_else(|| ISSUER.to_owned());
    let wrong = || format!("GOOGLE_ISSUER_URL: found {issuer:?}; accepted is an http:// or https:// address");
    super::encrypted("GOOGLE_ISSUER_URL", &Url::parse(&issuer).map_err(|_| wrong())?)?;
    // one that is led nowhere: a redirect could lead the secret anywhere
    let http = super::http::plain()
        .retry(reqwest::retry::never())
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| error.without_url().to_string())?;
    let google = Google {
        issuer: IssuerUrl::new(issuer.clone()).map_err(|_| wrong())?,
        client_id: ClientId::new(id),
        client_secret: ClientSecret::new(secret),
        hosted_domain: environment("GOOGLE_HOSTED_DOMAIN"),
        http,
    };
    Ok(Some(Box::new(google)))
}

/// Why a request to the provider came to nothing.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Http(#[source] reqwest::Error),
    #[error("the answer is too large")]
    Large,
    #[error("{0}")]
    Shape(#[from] http::Error),
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error.without_url())
    }
}

async fn exchange(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, Trouble> {
    let mut answer = client.execute(request.try_into()?).await?;
    let mut response = http::Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        *headers = answer.headers().clone();
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST {
            return Err(Trouble::Large);
        }
    }
    Ok(response.body(body)?)
}

/// A failure with every reason behind it; none of them holds a secret.
fn away(error: &dyn std::error::Error) -> Failure {
    let mut told = error.to_string();
    let mut behind = error.source();
    while let Some(reason) = behind {
        told = format!("{told}: {reason}");
        behind = reason.source();
    }
    Failure::new(Class::Transient, "sign_in_away", told)
}

fn nobody(code: &str, what: impl Into<String>) -> Failure {
    Failure::new(Class::Permanent, code, what)
}

impl Google {
    /// The provider as it describes itself now: its keys change.
    async fn provider(&self) -> Result<Provider, Failure> {
        let http = |request: HttpRequest| exchange(self.http.clone(), request);
        let metadata = CoreProviderMetadata::discover_async(self.issuer.clone(), &http)
            .await
            .map_err(|error| away(&error))?;
        Ok(Client::from_provider_metadata(metadata, self.client_id.clone(), Some(self.client_secret.clone())))
    }
}

fn redirect(back: &str) -> Result<RedirectUrl, Failure> {
    RedirectUrl::new(back.to_owned()).map_err(|error| nobody("redirect", error.to_string()))
}

#[async_trait]
impl SignIn for Google {
    async fn begin(&self, back: &str, again: bool) -> Result<Begun, Failure> {
        let provider = self.provider().await?.set_redirect_uri(redirect(back)?);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let mut asking = provider
            .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
            .add_scope(Scope::new("email".into()))
            .add_scope(Scope::new("profile".into()))
            .set_pkce_challenge(challenge);
        if let Some(domain) = &self.hosted_domain {
            asking = asking.add_extra_param("hd", domain);
        }
        if again {
            asking = asking.add_prompt(CoreAuthPrompt::SelectAccount);
        }
        let (address, state, nonce) = asking.url();
        Ok(Begun {
            address: address.into(),
            state: state.secret().clone(),
            nonce: nonce.secret().clone(),
            verifier: verifier.secret().clone(),
        })
    }

    async fn finish(&self, back: &str, code: &str, begun: &Begun) -> Result<Identity, Failure> {
        let provider = self.provider().await?.set_redirect_uri(redirect(back)?);
        let http = |request: HttpRequest| exchange(self.http.clone(), request);
        let exchanging = provider
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|error| away(&error))?
            .set_pkce_verifier(PkceCodeVerifier::new(begun.verifier.clone()));
        let tokens = exchanging.request_async(&http).await.map_err(|error| match error {
            openidconnect::RequestTokenError::ServerResponse(refusal) => {
                nobody("identity", format!("the code was refused: {}", refusal.error()))
            }
            other => away(&other),
        })?;
        let token = tokens.id_token().ok_or_else(|| nobody("identity", "no identity came with the token"))?;
        let claims = token
            .claims(&provider.id_token_verifier(), &Nonce::new(begun.nonce.clone()))
            .map_err(|error| nobody("identity", error.to_string()))?;
        let hosted = claims.additional_claims().hd.as_deref();
        if self.hosted_domain.as_deref().is_some_and(|domain| hosted != Some(domain)) {
            return Err(nobody("hosted_domain", "the account is not of this organisation"));
        }
        let email = claims.email().filter(|_| claims.email_verified() == Some(true));
        let email = email.ok_or_else(|| nobody("email_unverified", "the address is not verified"))?;
        let email = email.to_lowercase();
        // of any other address Google knows only that somebody answered there once
        // (developers.google.com/identity/openid-connect/openid-connect, "hd" and "email_verified")
        let vouched = hosted.is_some() || email.ends_with("@gmail.com");
        Ok(Identity {
            issuer: claims.issuer().to_string(),
            subject: claims.subject().to_string(),
            email,
            vouched,
            first_name: claims.given_name().and_then(|name| name.get(None)).map(|name| name.to_string()),
            last_name: claims.family_name().and_then(|name| name.get(None)).map(|name| name.to_string()),
        })
    }
}
