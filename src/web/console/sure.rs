//! What is hardest to undo asks again who is there, unless they have said so within the last ten minutes: by their password,
//! or by Google. A handler that takes its form as [`Sure`] does not run before that. Works without a script: the page that asks
//! carries the form along, and sends it on.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    body::Body,
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use tower_sessions::Session;

use super::{
    Shell, elsewhere, render_as,
    seat::{Seat, Turned, Viewer},
    session, sign_in, stranger,
    texts::{ENGLISH, fill},
    throttle::FREE,
};
use crate::{
    ledger::audit::Action,
    web::{App, body, passwords, problem::Problem},
};

/// Where whoever has confirmed it elsewhere comes back to.
pub const HERE: &str = "/sure";
/// The field of the password, which no handler sees.
const PASSWORD: &str = "sure_password";

/// The fields of a form, as they came.
type Fields = Vec<(String, String)>;

/// A form of somebody who has said a moment ago who they are.
pub struct Sure<T>(pub T);

#[derive(Template)]
#[template(path = "sure.html")]
struct Page {
    shell: Shell,
    action: String,
    fields: Fields,
    /// Whether they have one.
    password: bool,
    /// Where they confirm it with Google, where that is on.
    google: Option<String>,
    mail: bool,
    wrong: Option<String>,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Sure<T> {
    type Rejection = Turned;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Turned> {
        let (mut parts, body) = request.into_parts();
        let bytes = body::bytes(body, app.house.web.body_limit).await?;
        let fields: Fields = url::form_urlencoded::parse(&bytes).into_owned().collect();
        let (mut given, fields): (Fields, Fields) =
            fields.into_iter().partition(|(name, _)| name == PASSWORD);
        if let Some(page) = ask(app, &mut parts, given.pop().map(|(_, text)| text), &fields).await? {
            return Err(Turned::Out(page));
        }
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        let request = Request::from_parts(parts, Body::from(body));
        let form = Form::<T>::from_request(request, app).await;
        let Form(form) = form.map_err(|refusal| Turned::Out(refusal.into_response()))?;
        Ok(Self(form))
    }
}

/// The page that asks; none: they have said who they are, now or a moment ago.
async fn ask(
    app: &Arc<App>,
    parts: &mut Parts,
    given: Option<String>,
    fields: &[(String, String)],
) -> Result<Option<Response>, Turned> {
    let session = parts.extensions.get::<Session>().cloned().ok_or_else(Problem::internal)?;
    let now = app.house.clock.now();
    if session::is_sure(&session, now).await? {
        return Ok(None);
    }
    let seat = Seat::<Viewer>::from_request_parts(parts, app).await?;
    let token = fields.iter().find(|(name, _)| name == "token").map(|(_, token)| token.as_str());
    seat.check_own(token.unwrap_or_default())?;
    let hash = app.house.ledger.password_of(seat.member.person_id).await.map_err(Problem::from)?;
    let password = hash.is_some();
    let (status, wrong) = match given {
        None => (StatusCode::FORBIDDEN, None),
        Some(given) => match compare(app, &seat, given, hash).await? {
            None => {
                session::make_sure(&session, now).await?;
                return Ok(None);
            }
            Some((status, wrong)) => (status, Some(wrong)),
        },
    };
    let page = Page {
        shell: Shell::seated(app, &parts.headers, &seat, "", "/posts"),
        action: parts.uri.path().to_owned(),
        fields: fields.to_vec(),
        password,
        google: elsewhere::address(app, HERE),
        mail: app.house.mail,
        wrong,
    };
    Ok(Some(render_as(status, &page)?))
}

/// What is wrong with the password that was given; none: it is theirs.
async fn compare(
    app: &App,
    seat: &Seat<Viewer>,
    given: String,
    hash: Option<String>,
) -> Result<Option<(StatusCode, String)>, Problem> {
    let (t, person, now) = (&ENGLISH, seat.member.person_id, app.house.clock.monotonic());
    let who = format!("sure {person}");
    // before it is compared, which takes a while: who sends many at once is slowed like who sends one after the other
    let failures = match app.console.throttle.attempt(&who, now) {
        Ok(failures) => failures,
        Err(wait) => {
            let wrong = fill(t.sign_in_throttled, &[&wait.as_secs().max(1).to_string()]);
            return Ok(Some((StatusCode::TOO_MANY_REQUESTS, wrong)));
        }
    };
    if passwords::matches(SecretString::from(given), hash).await {
        app.console.throttle.passed(&who);
        return Ok(None);
    }
    if failures > FREE {
        let (actor, address) = (seat.who.actor, seat.who.address);
        sign_in::note(app, Action::SignInFailed, actor, address, Some(person), failures).await?;
    }
    Ok(Some((StatusCode::UNPROCESSABLE_ENTITY, t.profile_password_wrong.to_owned())))
}

/// Tells whoever comes back from elsewhere where to go on.
pub async fn page(
    State(app): State<Arc<App>>,
    _: Seat<Viewer>,
    session: Session,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let sure = session::is_sure(&session, app.house.clock.now()).await?;
    let said = (t.sure_title, if sure { t.sure_done } else { t.sure_not });
    stranger::notice(&app, &headers, StatusCode::OK, said, Some(("/posts", t.problem_back)))
}
