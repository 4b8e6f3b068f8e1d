//! What is written to people by mail. Nothing that anybody wrote stands in a subject.

use std::time::Duration;

use super::texts::{ENGLISH, fill};
use crate::{ledger::mail::NewMail, web::House};

/// How long an invitation holds.
pub const INVITATION_LASTS: Duration = Duration::from_hours(7 * 24);
/// How long a link to a new password holds.
pub const PASSWORD_LINK_LASTS: Duration = Duration::from_hours(1);
/// News is sent for so long.
const NEWS_LASTS: Duration = Duration::from_hours(24);

/// Asks somebody to join.
pub fn invitation(
    house: &House,
    to: &str,
    (who, workspace, role): (&str, &str, &str),
    link: &str,
) -> NewMail {
    let t = &ENGLISH;
    let address = address(house, &format!("/invitation/{link}"));
    let body = fill(t.letter_invitation, &[who, workspace, role, &address]);
    NewMail::new(&house.sealer, to, t.letter_invitation_subject, &body, INVITATION_LASTS)
}

/// Brings the link to a new password.
pub fn password_link(house: &House, to: &str, link: &str) -> NewMail {
    let t = &ENGLISH;
    let address = address(house, &format!("/password/{link}"));
    let body = fill(t.letter_password, &[&address]);
    NewMail::new(&house.sealer, to, t.letter_password_subject, &body, PASSWORD_LINK_LASTS)
}

/// How long a link to a new address holds.
pub const EMAIL_LINK_LASTS: Duration = Duration::from_hours(24);

/// Asks at a new address whether it is theirs.
pub fn email_link(house: &House, to: &str, link: &str) -> NewMail {
    let t = &ENGLISH;
    let address = address(house, &format!("/email/{link}"));
    let body = fill(t.letter_email, &[&address]);
    NewMail::new(&house.sealer, to, t.letter_email_subject, &body, EMAIL_LINK_LASTS)
}

/// Tells somebody at the old address that it is not theirs any more, in case it was not they who changed it.
pub fn email_changed(house: &House, to: &str) -> NewMail {
    let t = &ENGLISH;
    let body = fill(t.letter_email_changed, &[&address(house, "/")]);
    NewMail::new(&house.sealer, to, t.letter_email_changed_subject, &body, NEWS_LASTS)
}

/// Tells somebody that an account elsewhere opens theirs, in case it was not they who linked it.
pub fn linked(house: &House, to: &str, issuer: &str) -> NewMail {
    let t = &ENGLISH;
    let body = fill(t.letter_linked, &[issuer, &address(house, "/profile")]);
    NewMail::new(&house.sealer, to, t.letter_linked_subject, &body, NEWS_LASTS)
}

/// Tells somebody that their password was changed, in case it was not they who did.
pub fn password_changed(house: &House, to: &str) -> NewMail {
    let t = &ENGLISH;
    let body = fill(t.letter_password_changed, &[&address(house, "/forgot")]);
    NewMail::new(&house.sealer, to, t.letter_password_changed_subject, &body, NEWS_LASTS)
}

fn address(house: &House, path: &str) -> String {
    house.public_url.join(path).map_or_else(|_| path.to_owned(), String::from)
}
