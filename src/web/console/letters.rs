//! What is written to people by mail. Nothing that anybody wrote stands in a subject.

use std::time::Duration;

use url::Url;

use super::texts::{ENGLISH, fill};
use crate::ledger::mail::NewMail;

/// How long an invitation holds.
pub const INVITATION_LASTS: Duration = Duration::from_hours(7 * 24);
/// How long a link to a new password holds.
pub const PASSWORD_LINK_LASTS: Duration = Duration::from_hours(1);
/// News is sent for so long.
const NEWS_LASTS: Duration = Duration::from_hours(24);

/// Asks somebody to join.
pub fn invitation(
    public_url: &Url,
    to: &str,
    (who, workspace, role): (&str, &str, &str),
    link: &str,
) -> NewMail {
    let t = &ENGLISH;
    let address = address(public_url, &format!("/invitation/{link}"));
    NewMail {
        to: to.to_owned(),
        subject: t.letter_invitation_subject.to_owned(),
        body: fill(t.letter_invitation, &[who, workspace, role, &address]),
        worth: INVITATION_LASTS,
    }
}

/// Brings the link to a new password.
pub fn password_link(public_url: &Url, to: &str, link: &str) -> NewMail {
    let t = &ENGLISH;
    let address = address(public_url, &format!("/password/{link}"));
    NewMail {
        to: to.to_owned(),
        subject: t.letter_password_subject.to_owned(),
        body: fill(t.letter_password, &[&address]),
        worth: PASSWORD_LINK_LASTS,
    }
}

/// How long a link to a new address holds.
pub const EMAIL_LINK_LASTS: Duration = Duration::from_hours(24);

/// Asks at a new address whether it is theirs.
pub fn email_link(public_url: &Url, to: &str, link: &str) -> NewMail {
    let t = &ENGLISH;
    let address = address(public_url, &format!("/email/{link}"));
    NewMail {
        to: to.to_owned(),
        subject: t.letter_email_subject.to_owned(),
        body: fill(t.letter_email, &[&address]),
        worth: EMAIL_LINK_LASTS,
    }
}

/// Tells somebody at the old address that it is not theirs any more, in case it was not they who changed it.
pub fn email_changed(public_url: &Url, to: &str) -> NewMail {
    let t = &ENGLISH;
    NewMail {
        to: to.to_owned(),
        subject: t.letter_email_changed_subject.to_owned(),
        body: fill(t.letter_email_changed, &[&address(public_url, "/")]),
        worth: NEWS_LASTS,
    }
}

/// Tells somebody that their password was changed, in case it was not they who did.
pub fn password_changed(public_url: &Url, to: &str) -> NewMail {
    let t = &ENGLISH;
    NewMail {
        to: to.to_owned(),
        subject: t.letter_password_changed_subject.to_owned(),
        body: fill(t.letter_password_changed, &[&address(public_url, "/forgot")]),
        worth: NEWS_LASTS,
    }
}

fn address(public_url: &Url, path: &str) -> String {
    public_url.join(path).map_or_else(|_| path.to_owned(), String::from)
}
