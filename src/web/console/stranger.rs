//! Forms of people who are not signed in: a cookie carries the same token as the form, for there is no session to keep
//! one in.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::{Shell, cookie, render_as, session};
use crate::web::{App, passwords, problem::Problem};

/// The longest address that mail is sent to.
const EMAIL_MOST: usize = 254;
/// The longest name.
pub const NAME_MOST: usize = 100;

/// The token that a form for this browser carries.
fn token(app: &App, headers: &HeaderMap) -> Result<String, Problem> {
    match cookie(headers, cookie_name(app)) {
        Some(token) if token.len() == 43 => Ok(token.to_owned()),
        _ => session::fresh_token(),
    }
}

/// Whether a form carries this browser's token.
pub fn sent(app: &App, headers: &HeaderMap, token: &str) -> bool {
    session::same_token(token, cookie(headers, cookie_name(app)).unwrap_or_default())
}

/// A page with a form on it, made with the token that it carries, and the cookie that goes with that.
///
/// # Errors
/// It cannot be rendered, or the system has no randomness to give.
pub fn form<P: askama::Template>(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    make: impl FnOnce(Shell, String) -> P,
) -> Result<Response, Problem> {
    let token = token(app, headers)?;
    let mut response = render_as(status, &make(Shell::anonymous(app, headers), token.clone()))?;
    let secure = if app.console.secure { "; Secure" } else { "" };
    let set = format!("{}={token}; Path=/; HttpOnly; SameSite=Lax{secure}", cookie_name(app));
    let value = HeaderValue::try_from(set).map_err(|_| Problem::internal())?;
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(response)
}

fn cookie_name(app: &App) -> &'static str {
    if app.console.secure { "__Host-f" } else { "f" }
}

/// What is kept of a password.
///
/// # Errors
/// It cannot be made.
pub async fn hashed(password: SecretString) -> Result<String, Problem> {
    passwords::hash(password).await.map_err(|error| {
        tracing::error!(%error, "a password could not be hashed");
        Problem::internal()
    })
}

/// What is kept of a link that opens something.
pub fn digest(link: &str) -> [u8; 32] {
    Sha256::digest(link).into()
}

#[derive(askama::Template)]
#[template(path = "notice.html")]
struct Notice {
    shell: Shell,
    title: String,
    detail: String,
    onward: Option<(String, String)>,
}

/// A page that says one thing, and leads on to an address under these words.
///
/// # Errors
/// It cannot be rendered.
pub fn notice(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    (title, detail): (&str, &str),
    onward: Option<(&str, &str)>,
) -> Result<Response, Problem> {
    let onward = onward.map(|(address, text)| (address.to_owned(), text.to_owned()));
    let shell = Shell::anonymous(app, headers);
    render_as(status, &Notice { shell, title: title.to_owned(), detail: detail.to_owned(), onward })
}

/// An e-mail address, in lower case, if mail can be sent there.
pub fn email(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (local, domain) = text.split_once('@')?;
    let local_fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let fits = text.len() <= EMAIL_MOST
        && (1..=64).contains(&local.len())
        && local.chars().all(local_fits)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && domain.split('.').all(label);
    fits.then_some(text)
}

/// A name as it is kept, if it is one.
pub fn name(text: &str) -> Option<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let fits = !text.is_empty() && text.chars().count() <= NAME_MOST && !text.contains(char::is_control);
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_no_header_can_be_slipped_into() {
        assert_eq!(email(" Dana.Levi+post@Example.org "), Some("dana.levi+post@example.org".to_owned()));
        assert_eq!(email("dana@localhost"), Some("dana@localhost".to_owned()));
        for wrong in [
            "",
            "dana",
            "@example.org",
            "dana@",
            "dana@@example.org",
            "dana@example..org",
            "dana@-example.org",
            "da na@example.org",
            "dana@example.org\r\nbcc: all@example.org",
            "dana@example.org,eve@example.org",
            "\"dana\"@example.org",
            "dána@example.org",
            "dana@example.org\0",
        ] {
            assert_eq!(email(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_name_is_what_people_write_and_nothing_that_hides() {
        assert_eq!(name("  Dana   Maria "), Some("Dana Maria".to_owned()));
        assert_eq!(name("דנה"), Some("דנה".to_owned()));
        assert_eq!(name(" "), None);
        assert_eq!(name("Dana\u{7}"), None);
        assert_eq!(name(&"x".repeat(NAME_MOST + 1)), None);
    }
}
