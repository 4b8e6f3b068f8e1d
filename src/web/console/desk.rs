//! Small choices: which workspace, which appearance.

use std::sync::Arc;

use axum::{
    Form,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tower_sessions::Session;
use uuid::Uuid;

use super::{
    THEMES,
    seat::{Seat, Viewer},
    session,
};
use crate::web::{App, problem::Problem};

/// Which workspace to look at.
#[derive(Deserialize)]
pub struct Workspace {
    token: String,
    workspace: Uuid,
}

/// Changes the workspace; only to one the person is a member of.
pub async fn switch_workspace(
    seat: Seat<Viewer>,
    session: Session,
    Form(form): Form<Workspace>,
) -> Result<Redirect, Problem> {
    seat.check(&form.token)?;
    if !seat.memberships.iter().any(|member| member.workspace_id == form.workspace) {
        return Err(Problem::not_found("workspace"));
    }
    session::look_at(&session, form.workspace).await?;
    Ok(Redirect::to("/posts"))
}

/// Which appearance.
#[derive(Deserialize)]
pub struct Theme {
    token: String,
    #[serde(rename = "theme")]
    chosen: String,
    #[serde(default)]
    back: String,
}

/// Remembers the appearance in a cookie of its own; it is no secret.
pub async fn choose_theme(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    Form(form): Form<Theme>,
) -> Result<Response, Problem> {
    seat.check(&form.token)?;
    let theme = THEMES.iter().find(|theme| **theme == form.chosen).copied().unwrap_or("auto");
    let secure = if app.console.secure { "; Secure" } else { "" };
    let cookie = format!("theme={theme}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly{secure}");
    let mut response = Redirect::to(local(&form.back)).into_response();
    let value = HeaderValue::try_from(cookie).map_err(|_| Problem::internal())?;
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(response)
}

/// A path of this site, or the front page: nobody is sent elsewhere by a form.
pub fn local(path: &str) -> &str {
    let plain =
        path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n', '\t', '\0']);
    if plain && path.is_ascii() { path } else { "/posts" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(local("/posts?state=held"), "/posts?state=held");
        for elsewhere in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "",
            "evil",
            "/a\r\nSet-Cookie: x",
            "/\t/evil.example",
        ] {
            assert_eq!(local(elsewhere), "/posts");
        }
    }
}
