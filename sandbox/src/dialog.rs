//! The networks' dialogs: pages on which a person ticks accounts and permissions, and that send the browser back with a code
//! that works once. Strict about what they are asked with.

use std::sync::{Arc, PoisonError};

use askama::Template;
use axum::Router;
use axum::extract::{Path, RawForm, RawQuery, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use url::Url;
use uuid::Uuid;

use crate::event::Event;
use crate::graph;
use crate::model::{Code, Network};
use crate::state::Sandbox;
use crate::tiktok;

/// A form here ends at the app's address, which a policy on forms would have to name.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";

type Shared = State<Arc<Sandbox>>;
type Pairs = Vec<(String, String)>;

/// The routes of the dialogs.
pub fn router() -> Router<Arc<Sandbox>> {
    Router::new()
        .route("/facebook/{version}/dialog/oauth", get(facebook).post(facebook_decided))
        .route("/tiktok/v2/auth/authorize/", get(tiktok_asks).post(tiktok_decided))
}

/// What is not as the network wants it: nobody is sent anywhere with it.
struct Wrong(String);

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.0).into_response()
    }
}

/// What an app asks for.
struct Asked {
    client: String,
    redirect_uri: Url,
    /// As it was given: it has to come again byte for byte.
    redirect_text: String,
    state: String,
    scopes: Vec<String>,
    challenge: Option<String>,
}

#[derive(Template)]
#[template(path = "dialog.html")]
struct Page {
    faults: usize,
    network: &'static str,
    client: String,
    action: &'static str,
    kind: &'static str,
    kept: Pairs,
    accounts: Vec<Ticked>,
    scopes: Vec<String>,
}

struct Ticked {
    id: String,
    name: String,
    on: bool,
}

impl Asked {
    /// Reads what each network needs, and refuses what it does not know.
    fn read(pairs: &[(String, String)], network: Network) -> Result<Self, Wrong> {
        let of_tiktok = network == Network::Tiktok;
        let client = if of_tiktok { "client_key" } else { "client_id" };
        let known = [client, "redirect_uri", "state", "response_type", "scope"];
        let of_form = ["account", "granted", "decision"];
        let challenge = ["code_challenge", "code_challenge_method"];
        for (name, _) in pairs {
            let fits = known.contains(&name.as_str())
                || of_form.contains(&name.as_str())
                || (of_tiktok && challenge.contains(&name.as_str()));
            if !fits {
                return Err(Wrong(format!("The parameter {name} is not known here.")));
            }
        }
        let one = |name: &str| -> Result<String, Wrong> {
            let mut found = pairs.iter().filter(|(given, value)| given == name && !value.is_empty());
            match (found.next(), found.next()) {
                (Some((_, value)), None) => Ok(value.clone()),
                (None, _) => Err(Wrong(format!("The parameter {name} is missing."))),
                (Some(_), Some(_)) => Err(Wrong(format!("The parameter {name} is there twice."))),
            }
        };
        if one("response_type")? != "code" {
            return Err(Wrong("response_type has to be code.".into()));
        }
        let redirect_text = one("redirect_uri")?;
        let redirect_uri = Url::parse(&redirect_text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.fragment().is_none())
            .ok_or_else(|| Wrong("redirect_uri is not one that the app has.".into()))?;
        let scopes: Vec<String> = one("scope")?.split(',').map(str::to_owned).collect();
        let offered = if of_tiktok { tiktok::SCOPES } else { &graph::SCOPES[..] };
        if let Some(unknown) = scopes.iter().find(|scope| !offered.contains(&scope.as_str())) {
            return Err(Wrong(format!("Invalid Scopes: {unknown}.")));
        }
        let challenge = match (one(challenge[0]).ok(), one(challenge[1]).ok()) {
            (None, None) => None,
            (Some(challenge), Some(method)) if method == "S256" && challenge.len() == 43 => Some(challenge),
            (_, _) => return Err(Wrong("code_challenge has to be 43 characters, by S256.".into())),
        };
        Ok(Self {
            client: one(client)?,
            redirect_uri,
            redirect_text,
            state: one("state")?,
            scopes,
            challenge,
        })
    }
}

fn pairs(text: &[u8]) -> Pairs {
    url::form_urlencoded::parse(text).into_owned().collect()
}

async fn facebook(
    State(sandbox): Shared,
    Path(version): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Wrong> {
    if version != graph::VERSION {
        return Err(Wrong(format!("Version {version:?} is not available.")));
    }
    show(&sandbox, Network::FacebookPage, &pairs(query.unwrap_or_default().as_bytes()))
}

async fn tiktok_asks(State(sandbox): Shared, RawQuery(query): RawQuery) -> Result<Response, Wrong> {
    show(&sandbox, Network::Tiktok, &pairs(query.unwrap_or_default().as_bytes()))
}

async fn facebook_decided(State(sandbox): Shared, RawForm(form): RawForm) -> Result<Response, Wrong> {
    decide(&sandbox, Network::FacebookPage, &pairs(&form))
}

async fn tiktok_decided(State(sandbox): Shared, RawForm(form): RawForm) -> Result<Response, Wrong> {
    decide(&sandbox, Network::Tiktok, &pairs(&form))
}

fn show(sandbox: &Sandbox, network: Network, given: &[(String, String)]) -> Result<Response, Wrong> {
    let asked = Asked::read(given, network)?;
    let (action, kind) = match network {
        Network::Tiktok => ("/tiktok/v2/auth/authorize/", "radio"),
        Network::FacebookPage | Network::InstagramBusiness => ("/facebook/v25.0/dialog/oauth", "checkbox"),
    };
    let book = sandbox.book();
    let here = book.world.accounts.values().filter(|account| account.platform == network);
    let accounts: Vec<Ticked> = here
        .enumerate()
        .map(|(n, account)| Ticked {
            id: account.external_id.clone(),
            name: account.name.clone(),
            on: network != Network::Tiktok || n == 0,
        })
        .collect();
    drop(book);
    let faults = sandbox.faults.lock().unwrap_or_else(PoisonError::into_inner).list().len();
    let page = Page {
        faults,
        network: network.title(),
        client: asked.client,
        action,
        kind,
        kept: given.to_vec(),
        accounts,
        scopes: asked.scopes,
    };
    let html = page.render().map_err(|error| Wrong(error.to_string()))?;
    let mut response = Html(html).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

/// Sends the browser back to the app, with a code or with a no.
fn decide(sandbox: &Sandbox, network: Network, form: &[(String, String)]) -> Result<Response, Wrong> {
    let asked = Asked::read(form, network)?;
    let all = |name: &str| -> Vec<String> {
        form.iter().filter(|(given, _)| given == name).map(|(_, value)| value.clone()).collect()
    };
    let mut back = asked.redirect_uri.clone();
    if all("decision") != ["allow"] {
        back.query_pairs_mut()
            .append_pair("error", "access_denied")
            .append_pair("error_reason", "user_denied")
            .append_pair("error_description", "Permissions error")
            .append_pair("state", &asked.state);
        return Ok(Redirect::to(back.as_str()).into_response());
    }
    let (accounts, ticked) = (all("account"), all("granted"));
    let granted: Vec<String> = asked.scopes.iter().filter(|scope| ticked.contains(scope)).cloned().collect();
    let known = if network == Network::Tiktok { tiktok::SCOPES } else { &graph::SCOPES[..] };
    let kept_back = known.iter().filter(|scope| !granted.iter().any(|it| it == *scope));
    let kept_back = kept_back.map(|scope| (*scope).to_owned()).collect();
    let code = Code {
        code: format!("code-{}", Uuid::new_v4().simple()),
        network,
        client: asked.client,
        redirect_uri: asked.redirect_text,
        accounts,
        granted,
        declined: kept_back,
        challenge: asked.challenge,
        used: false,
    };
    let text = code.code.clone();
    let scopes = code.granted.join(",");
    sandbox.book().record(Event::Code(code)).map_err(|error| Wrong(error.to_string()))?;
    back.query_pairs_mut().append_pair("code", &text);
    if network == Network::Tiktok {
        back.query_pairs_mut().append_pair("scopes", &scopes);
    }
    back.query_pairs_mut().append_pair("state", &asked.state);
    Ok(Redirect::to(back.as_str()).into_response())
}
