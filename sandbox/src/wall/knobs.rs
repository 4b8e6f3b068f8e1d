//! The page on which the networks' clock, limits and habits are set by hand, and their webhooks told.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::page as render;
use crate::event::Event;
use crate::model::{Account, Network, Settings, TokenState, Upload, UploadState, Webhook};
use crate::state::Sandbox;
use crate::tiktok::webhook::{self, Told};

type Shared = State<Arc<Sandbox>>;

/// How many of TikTok's latest posts may be told of.
const LATEST: usize = 20;
/// How far the clock may be moved by a click.
const LEAPS: [(&str, i64); 4] =
    [("a minute", 60_000), ("an hour", 3_600_000), ("a day", 86_400_000), ("a month", 30 * 86_400_000)];

/// A number that may be set, in the form's words.
struct Knob {
    name: &'static str,
    title: &'static str,
    does: &'static str,
    value: u64,
}

/// What a token answers, for each account.
struct TokenView {
    network: &'static str,
    name: String,
    token: String,
    state: &'static str,
}

/// One of TikTok's posts on its way, or over.
struct UploadView {
    id: String,
    title: String,
    state: &'static str,
}

#[derive(Template)]
#[template(path = "knobs.html")]
struct KnobsPage {
    faults: usize,
    problem: Option<String>,
    said: Option<String>,
    now: String,
    ahead: String,
    leaps: [(&'static str, i64); 4],
    knobs: Vec<Knob>,
    refuse_duplicates: bool,
    retired_metrics: String,
    hook: Option<Webhook>,
    events: &'static [(&'static str, &'static str)],
    uploads: Vec<UploadView>,
    tokens: Vec<TokenView>,
}

/// What the page says above all else.
#[derive(Debug, Default)]
struct Words {
    problem: Option<String>,
    said: Option<String>,
}

/// `GET /_networks`.
pub async fn page(State(sandbox): Shared) -> Response {
    show(&sandbox, StatusCode::OK, Words::default())
}

/// How far the clock leaps.
#[derive(Debug, Deserialize)]
pub struct Leap {
    ms: i64,
}

/// `POST /_networks/clock`.
pub async fn leap(State(sandbox): Shared, Form(Leap { ms }): Form<Leap>) -> Response {
    if !LEAPS.iter().any(|(_, known)| *known == ms) {
        return refused(&sandbox, "The clock goes forward by one of these steps.".into());
    }
    done(&sandbox, sandbox.advance(ms).await.map(drop))
}

/// What the form of limits and habits sends.
#[derive(Debug, Deserialize)]
pub struct Set {
    processing_ms: String,
    tiktok_moderation_ms: String,
    tiktok_pull_after_ms: String,
    publish_quota: String,
    container_quota: String,
    tiktok_inits_per_minute: String,
    tiktok_pending: String,
    #[serde(default)]
    refuse_duplicates: Option<String>,
    /// Names with commas or blanks between them.
    #[serde(default)]
    retired_metrics: String,
}

/// `POST /_networks/settings`.
pub async fn set(State(sandbox): Shared, Form(set): Form<Set>) -> Response {
    let number = |name: &str, text: &str| {
        text.trim().parse::<u64>().map_err(|_| format!("{name}: {text:?} is not a whole number."))
    };
    let read = || -> Result<Settings, String> {
        Ok(Settings {
            processing_ms: number("processing_ms", &set.processing_ms)?,
            tiktok_moderation_ms: number("tiktok_moderation_ms", &set.tiktok_moderation_ms)?,
            tiktok_pull_after_ms: number("tiktok_pull_after_ms", &set.tiktok_pull_after_ms)?,
            publish_quota: number("publish_quota", &set.publish_quota)?,
            container_quota: number("container_quota", &set.container_quota)?,
            tiktok_inits_per_minute: number("tiktok_inits_per_minute", &set.tiktok_inits_per_minute)?,
            tiktok_pending: number("tiktok_pending", &set.tiktok_pending)?,
            refuse_duplicates: set.refuse_duplicates.is_some(),
            retired_metrics: set
                .retired_metrics
                .split([',', ' '])
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            ..sandbox.book().world.settings.clone()
        })
    };
    match read() {
        Ok(settings) => done(&sandbox, sandbox.book().record(Event::Settings(settings))),
        Err(problem) => refused(&sandbox, problem),
    }
}

/// Where webhooks go.
#[derive(Debug, Deserialize)]
pub struct Hook {
    url: String,
    client_key: String,
    secret: String,
}

/// `POST /_networks/webhook`: nowhere, where the address is empty.
pub async fn hook(State(sandbox): Shared, Form(hook): Form<Hook>) -> Response {
    let hook = Webhook {
        url: hook.url.trim().to_owned(),
        client_key: hook.client_key.trim().to_owned(),
        secret: hook.secret,
    };
    if !hook.url.is_empty() && url::Url::parse(&hook.url).is_err() {
        return refused(&sandbox, format!("{:?} is not an address.", hook.url));
    }
    let tiktok_webhook = (!hook.url.is_empty()).then_some(hook);
    let settings = Settings { tiktok_webhook, ..sandbox.book().world.settings.clone() };
    done(&sandbox, sandbox.book().record(Event::Settings(settings)))
}

/// What is to be told by webhook.
#[derive(Debug, Deserialize)]
pub struct Tell {
    event: String,
    #[serde(default)]
    publish_id: String,
    #[serde(default)]
    how: String,
}

/// `POST /_networks/tell`: one event, sent while the page waits, so that it can say what was answered.
pub async fn tell(State(sandbox): Shared, Form(tell): Form<Tell>) -> Response {
    let (hook, about) = {
        let book = sandbox.book();
        let upload = book.world.uploads.get(&tell.publish_id).cloned();
        (book.world.settings.tiktok_webhook.clone(), upload)
    };
    let Some(hook) = hook else {
        return refused(&sandbox, "There is no address to tell: set it first.".into());
    };
    let Some((event, _)) = webhook::EVENTS.iter().find(|(event, _)| *event == tell.event) else {
        return refused(&sandbox, format!("There is no event {:?}.", tell.event));
    };
    let Some(about) = about else {
        return refused(&sandbox, "Choose a post that TikTok has been sent.".into());
    };
    let told = Told { account: about.account.clone(), event, content: webhook::content(event, &about) };
    let answers =
        webhook::tell_now(&hook, &told, webhook::How::named(&tell.how), sandbox.clock.machine()).await;
    let said = format!("Told {event}; the answers were: {}.", answers.join(", "));
    show(&sandbox, StatusCode::OK, Words { problem: None, said: Some(said) })
}

/// What a token is to answer.
#[derive(Debug, Deserialize)]
pub struct Token {
    token: String,
    state: String,
}

/// `POST /_networks/token`.
pub async fn token(State(sandbox): Shared, Form(token): Form<Token>) -> Response {
    let Ok(state) = serde_json::from_value::<TokenState>(json!(token.state)) else {
        return refused(&sandbox, format!("There is no state {:?}.", token.state));
    };
    let known = sandbox.book().world.accounts.values().any(|account| account.access_token == token.token);
    if !known {
        return refused(&sandbox, "No account has this token any more.".into());
    }
    done(&sandbox, sandbox.book().record(Event::Token { access_token: token.token, state }))
}

fn done(sandbox: &Sandbox, written: std::io::Result<()>) -> Response {
    match written {
        Ok(()) => Redirect::to("/_networks").into_response(),
        Err(error) => refused(sandbox, error.to_string()),
    }
}

fn refused(sandbox: &Sandbox, problem: String) -> Response {
    show(sandbox, StatusCode::UNPROCESSABLE_ENTITY, Words { problem: Some(problem), said: None })
}

fn show(sandbox: &Sandbox, status: StatusCode, Words { problem, said }: Words) -> Response {
    let faults = super::active(sandbox);
    let book = sandbox.book();
    let settings = &book.world.settings;
    let tokens = book.world.accounts.values().map(|account| seen(&book.world.tokens, account));
    let mut tokens: Vec<_> = tokens.collect();
    tokens.sort_by_key(|view| view.network);
    let template = KnobsPage {
        faults,
        problem,
        said,
        now: sandbox.clock.now().format("%-d %b %Y, %H:%M:%S UTC").to_string(),
        ahead: ahead(book.world.ahead_ms),
        leaps: LEAPS,
        knobs: knobs(settings),
        refuse_duplicates: settings.refuse_duplicates,
        retired_metrics: settings.retired_metrics.join(", "),
        hook: settings.tiktok_webhook.clone(),
        events: webhook::EVENTS,
        uploads: latest(
            book.world.upload_order.values().flatten().filter_map(|id| book.world.uploads.get(id)),
        ),
        tokens,
    };
    drop(book);
    render(status, &template)
}

fn knobs(settings: &Settings) -> Vec<Knob> {
    let knob = |name, title, does, value| Knob { name, title, does, value };
    vec![
        knob(
            "processing_ms",
            "Transcoding, in milliseconds",
            "So long films and containers are processed; meanwhile they are IN_PROGRESS or PROCESSING.",
            settings.processing_ms,
        ),
        knob(
            "tiktok_moderation_ms",
            "TikTok's moderation, in milliseconds",
            "So long a published post is neither listed nor has an id; then it is told of as publicly available.",
            settings.tiktok_moderation_ms,
        ),
        knob(
            "tiktok_pull_after_ms",
            "TikTok fetches photos, milliseconds after the init",
            "0: before it answers. Otherwise the post is under way before anything was fetched.",
            settings.tiktok_pull_after_ms,
        ),
        knob(
            "publish_quota",
            "Instagram's posts in 24 hours",
            "Beyond it a container is not published (9/2207042), and content_publishing_limit says so.",
            settings.publish_quota,
        ),
        knob(
            "container_quota",
            "Instagram's containers in 24 hours",
            "Beyond it none is made (9/2207042), so nothing can be prepared.",
            settings.container_quota,
        ),
        knob(
            "tiktok_inits_per_minute",
            "TikTok's inits in a minute",
            "Beyond it an init is refused (rate_limit_exceeded); TikTok itself allows 6.",
            settings.tiktok_inits_per_minute,
        ),
        knob(
            "tiktok_pending",
            "TikTok's open uploads in 24 hours",
            "Beyond it an init is refused (spam_risk_too_many_pending_share); TikTok itself allows 5.",
            settings.tiktok_pending,
        ),
    ]
}

fn ahead(ms: i64) -> String {
    match ms / 1000 {
        0 => "as the machine's clock".into(),
        seconds if seconds < 3600 => format!("{} minutes ahead", seconds / 60),
        seconds if seconds < 2 * 86_400 => format!("{} hours ahead", seconds / 3600),
        seconds => format!("{} days ahead", seconds / 86_400),
    }
}

fn latest<'a>(uploads: impl Iterator<Item = &'a Upload>) -> Vec<UploadView> {
    let mut all: Vec<_> = uploads.collect();
    all.sort_by_key(|upload| std::cmp::Reverse(upload.created));
    let view = |upload: &Upload| UploadView {
        id: upload.publish_id.clone(),
        title: upload.title.chars().take(60).collect(),
        state: match upload.state {
            UploadState::Open => "open",
            UploadState::Processing { .. } => "processing",
            UploadState::Complete { .. } => "published",
            UploadState::Failed { .. } => "failed",
        },
    };
    all.into_iter().take(LATEST).map(view).collect()
}

fn seen(states: &std::collections::HashMap<String, TokenState>, account: &Account) -> TokenView {
    let state = match states.get(&account.access_token) {
        None | Some(TokenState::Valid) => "valid",
        Some(TokenState::Expired) => "expired",
        Some(TokenState::Revoked) => "revoked",
        Some(TokenState::Subcode(_)) => "refused",
    };
    let network = Network::title(account.platform);
    TokenView { network, name: account.name.clone(), token: account.access_token.clone(), state }
}
