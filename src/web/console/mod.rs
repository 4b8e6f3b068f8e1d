//! The staff console: pages that read the ledger, and the form that writes a post. Works without a script.

mod accounts;
mod ads;
mod analyses;
mod approve;
mod ask;
mod assets;
mod audience;
mod change;
mod chart;
mod compare;
mod compose;
mod connect;
mod copies;
mod dashboard;
mod decide;
mod desk;
mod disconnect;
mod edit;
mod elsewhere;
mod fields;
mod forgotten;
mod form;
mod helped;
mod in_words;
mod invitation;
mod invited;
mod keys;
mod letters;
mod linked;
mod list;
mod numbers;
mod own_sessions;
mod people;
mod policy;
mod post;
mod profile;
mod reports;
mod retired;
mod rights;
pub mod routes;
pub mod seat;
mod sent;
mod session;
mod sign_in;
mod strands;
mod stranger;
mod suggestion;
mod sure;
mod take_down;
mod texts;
pub mod throttle;
mod thumbnail;
mod times;
mod told;
mod webhooks;
mod words;

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post as posted},
};

use super::{App, House, listed::Listed, problem::Problem};
use crate::ledger::people::MemberRole;
pub use letters::{EMAIL_LINK_LASTS, email_link};
pub use list::excerpt;
use routes::{Door, Routes};
use seat::{AtLeast, Seat};
pub use stranger::{digest as link_digest, email, name};
use texts::{ENGLISH, Texts};

const PERMISSIONS: &str = "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), clipboard-read=(), display-capture=(), \
     encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), hid=(), idle-detection=(), \
     local-fonts=(), magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), \
     publickey-credentials-get=(), screen-wake-lock=(), serial=(), storage-access=(), usb=(), \
     xr-spatial-tracking=()";

/// What the console keeps while it is open.
pub struct Console {
    assets: assets::Assets,
    throttle: throttle::Throttle,
    /// Whoever tries as one person, from wherever.
    by_email: throttle::Throttle,
    policy: HeaderValue,
    secure: bool,
}

impl Console {
    /// Makes it for this house.
    pub fn new(house: &House) -> Self {
        Self {
            assets: assets::Assets::new(),
            throttle: throttle::Throttle::default(),
            by_email: throttle::Throttle::mild(),
            policy: policy(house.media_origin.as_deref()),
            secure: session::is_secure(&house.public_url),
        }
    }
}

fn policy(media_origin: Option<&str>) -> HeaderValue {
    let media = media_origin.map(|origin| format!(" {origin}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:{media}; media-src 'self' blob:{media}; \
         connect-src 'self'{media}; form-action 'self'{media}; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

/// The console's routes.
pub fn routes(app: &Arc<App>) -> Listed<Arc<App>> {
    table()
        .listed()
        .layer(middleware::from_fn_with_state(Arc::clone(app), session::same_origin))
        .layer(session::layer(&app.house))
        .layer(middleware::from_fn_with_state(Arc::clone(app), retired::stay))
        .route("/assets/{hash}/{name}", get(assets::one))
}

/// Every route of the console that asks for a role, and for which.
pub fn doors() -> Vec<Door> {
    table().doors()
}

fn table() -> Routes {
    Routes::default()
        .anybody("/", get(async || Redirect::to("/posts")))
        .anybody("/sign-in", get(sign_in::page).post(sign_in::submit))
        .anybody("/sign-in/google", get(elsewhere::leave))
        .anybody(elsewhere::BACK, get(elsewhere::come_back))
        .anybody("/sign-out", posted(sign_in::leave))
        .get("/posts", list::page)
        .get("/posts/new", compose::page)
        .post_files("/posts/new", compose::submit)
        // Whoever asks for these again by their address gets an empty form.
        .get("/posts/new/check", compose::page)
        .post_files("/posts/new/check", compose::check)
        .get("/posts/new/arrange", compose::page)
        .post_files("/posts/new/arrange", compose::arrange)
        .get("/posts/new/suggest", compose::page)
        .post_files("/posts/new/suggest", compose::suggest)
        .get("/posts/new/review", compose::page)
        .post_files("/posts/new/review", compose::review)
        .get("/analyses", helped::page)
        .get("/analyses/policy", policy::page)
        .post("/analyses/policy", policy::set)
        .get("/analyses/{id}", analyses::page)
        .get("/posts/{id}", post::page)
        .get("/posts/{id}/edit", edit::page)
        .post("/posts/{id}/edit", edit::submit)
        .post("/posts/{id}/approve", approve::submit)
        .post("/posts/{id}/cancel", change::cancel)
        .post("/posts/{id}/retry", change::retry)
        .post("/posts/{id}/publications/{publication}/verdict", decide::submit)
        .get("/posts/{id}/take-down/{publication}", take_down::page)
        .post("/posts/{id}/take-down/{publication}", take_down::submit)
        .get("/media/{id}", post::media)
        .get("/media/{id}/thumbnail", thumbnail::one)
        .get("/posts/{id}/metrics", numbers::of_a_post)
        .get("/posts/{id}/metrics/file", numbers::post_file)
        .post("/posts/{id}/metrics/words", in_words::of_post)
        .get("/accounts", accounts::page)
        .get("/connect/{platform}", connect::begin)
        .get("/connect/{platform}/callback", connect::back)
        .get("/accounts/connect/{id}", connect::page)
        .post("/accounts/connect/{id}", connect::choose)
        .get("/accounts/{id}/disconnect", disconnect::page)
        .post("/accounts/{id}/disconnect", disconnect::submit)
        .get("/accounts/{id}/metrics", numbers::of_an_account)
        .get("/accounts/{id}/metrics/file", numbers::account_file)
        .post("/accounts/{id}/metrics/words", in_words::of_account)
        .get("/accounts/{id}/ads", ads::page)
        .get("/accounts/{id}/ads/file", ads::file)
        .get("/dashboard", dashboard::page)
        .get("/dashboard/file", dashboard::file)
        .get("/dashboard/compare", compare::page)
        .get("/dashboard/times", times::page)
        .get("/reports", reports::page)
        .post("/reports", reports::make)
        .post("/reports/{id}/take-back", reports::take_back)
        .get("/keys", keys::page)
        .post("/keys", keys::make)
        .post("/keys/{id}/revoke", keys::revoke)
        .get("/webhooks", webhooks::page)
        .post("/webhooks", webhooks::add)
        .get("/webhooks/{id}", webhooks::look)
        .post("/webhooks/{id}/rotate", webhooks::rotate)
        .post("/webhooks/{id}/switch", webhooks::switch)
        .post("/webhooks/{id}/test", webhooks::try_out)
        .post("/webhooks/{id}/remove", webhooks::remove)
        .post("/webhooks/{id}/deliveries/{delivery}/again", webhooks::again)
        .get("/people", people::page)
        .post("/people/invitations", people::invite)
        .post("/people/invitations/{id}/withdraw", people::withdraw)
        .post("/people/{id}/role", people::change_role)
        .get("/people/{id}/remove", people::sure)
        .post("/people/{id}/remove", people::remove)
        .anybody("/invitation/{link}", get(invitation::page).post(invitation::submit))
        .anybody(invited::HERE, get(invited::page))
        .anybody("/invitations/{id}", posted(invited::join))
        .anybody("/forgot", get(forgotten::page).post(forgotten::submit))
        .anybody("/password/{link}", get(forgotten::link).post(forgotten::renew))
        .get("/privacy", rights::page)
        .post("/privacy/consents", rights::consent)
        .post("/privacy/requests", rights::enter)
        .post("/privacy/exports", copies::of_workspace)
        .post("/profile/copy", copies::own)
        .get("/profile", profile::page)
        .post("/profile/name", profile::rename)
        .post("/profile/email", profile::ask)
        .post("/profile/identities/unlink", linked::unlink)
        .anybody("/email/{link}", get(profile::link).post(profile::prove))
        .get(sure::HERE, sure::page)
        .get("/sessions", own_sessions::page)
        .post("/sessions/{handle}/end", own_sessions::end)
        .post("/sessions/end-others", own_sessions::end_others)
        .post("/workspace", desk::switch_workspace)
        .post("/theme", desk::choose_theme)
}

/// The headers that every answer carries, and those of a page.
pub async fn headers(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let is_page = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if app.console.secure {
        let https = HeaderValue::from_static("max-age=63072000; includeSubDomains");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, https);
    }
    if is_page {
        headers.insert(header::CONTENT_SECURITY_POLICY, app.console.policy.clone());
        headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
        headers.insert("permissions-policy", HeaderValue::from_static(PERMISSIONS));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// The address of the style sheet, for pages outside the console.
pub fn style(app: &App) -> &str {
    &app.console.assets.css
}

/// How long somebody has to wait who does the same again and again, and counts that they did it.
pub fn slow_down(app: &App, who: &str) -> Option<Duration> {
    app.console.throttle.attempt(who, app.house.clock.monotonic()).err()
}

/// What surrounds every page.
struct Shell {
    t: &'static Texts,
    theme: &'static str,
    css: String,
    js: String,
    icon: String,
    /// Which entry of the menu is this page's.
    here: &'static str,
    /// The page's address, for forms that come back to it.
    path: String,
    who: Option<Who>,
}

/// Who is signed in.
#[expect(clippy::struct_excessive_bools, reason = "each is something that they may do")]
struct Who {
    name: String,
    token: String,
    may_write: bool,
    may_publish: bool,
    may_manage: bool,
    may_privacy: bool,
    workspace: String,
    workspaces: Vec<Choice>,
}

/// An entry of a select.
struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

impl Shell {
    fn anonymous(app: &App, headers: &HeaderMap) -> Self {
        Self {
            t: &ENGLISH,
            theme: theme(headers),
            css: app.console.assets.css.clone(),
            js: app.console.assets.js.clone(),
            icon: app.console.assets.icon.clone(),
            here: "",
            path: "/posts".to_owned(),
            who: None,
        }
    }

    fn seated<R: AtLeast>(
        app: &App,
        headers: &HeaderMap,
        seat: &Seat<R>,
        here: &'static str,
        path: &str,
    ) -> Self {
        let own = seat.member.workspace_id;
        let workspaces = seat.memberships.iter().map(|member| Choice {
            value: member.workspace_id.to_string(),
            label: member.workspace_name.clone(),
            chosen: member.workspace_id == own,
        });
        let who = Who {
            name: format!("{} {}", seat.member.first_name, seat.member.last_name),
            token: seat.token.clone(),
            may_write: seat.may(MemberRole::Author),
            may_publish: seat.may(MemberRole::Publisher),
            may_manage: seat.may(MemberRole::Admin),
            may_privacy: seat.may(MemberRole::Privacy),
            workspace: seat.member.workspace_name.clone(),
            workspaces: workspaces.collect(),
        };
        Self { here, path: path.to_owned(), who: Some(who), ..Self::anonymous(app, headers) }
    }
}

const THEMES: &[&str] = &["auto", "light", "dark"];

fn theme(headers: &HeaderMap) -> &'static str {
    let wanted = cookie(headers, "theme");
    THEMES.iter().find(|theme| wanted == Some(**theme)).copied().unwrap_or("auto")
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// A page, rendered.
fn render(page: &impl Template) -> Result<Response, Problem> {
    render_as(StatusCode::OK, page)
}

fn render_as(status: StatusCode, page: &impl Template) -> Result<Response, Problem> {
    let html = page.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Problem::internal()
    })?;
    Ok((status, Html(html)).into_response())
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    shell: Shell,
    title: &'static str,
    detail: String,
    signed_out: bool,
}

/// A problem as a page.
pub fn problem_page(app: &App, problem: &Problem, headers: &HeaderMap) -> Response {
    let t = &ENGLISH;
    let (title, detail) = match problem.status {
        StatusCode::NOT_FOUND => (t.problem_not_found, t.problem_not_found_detail.to_owned()),
        StatusCode::UNAUTHORIZED => (t.problem_signed_out, problem.detail.clone()),
        StatusCode::FORBIDDEN => (t.problem_forbidden, problem.detail.clone()),
        StatusCode::SERVICE_UNAVAILABLE if problem.word == "ledger-away" => {
            (t.problem_unavailable, t.problem_unavailable_detail.to_owned())
        }
        StatusCode::INTERNAL_SERVER_ERROR => (t.problem_internal, t.problem_internal_detail.to_owned()),
        _ => (problem.title, problem.detail.clone()),
    };
    let signed_out = problem.status == StatusCode::UNAUTHORIZED;
    let page = ProblemPage { shell: Shell::anonymous(app, headers), title, detail, signed_out };
    match render(&page) {
        Ok(response) => problem.dress(response),
        Err(_) => problem.document(""),
    }
}
