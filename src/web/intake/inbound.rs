//! Mail that comes in, as the provider that takes it tells it. The signature is the provider's; of the sender's address
//! nothing is believed: whoever writes for a deletion is answered with the link that proves the address, and nothing else
//! happens.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    ledger::deletions::Origin,
    web::{
        App, body, console, deletion, privacy,
        problem::{Problem, ProblemDocument},
        signed,
        whence::Whence,
    },
};

/// What the subject of a request says, however it is written.
const SUBJECT: &str = "data deletion request";
/// What comes before the subject of an answer, or of what was passed on.
const BEFORE: [&str; 5] = ["re:", "fw:", "fwd:", "השב:", "הועבר:"];

/// What tells of a mail that has come in.
const RECEIVED: &str = "email.received";

/// An event, as far as it counts: the same provider tells of other things too, in other forms.
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "type")]
    name: String,
    #[serde(default)]
    data: Value,
}

/// A mail, as far as it counts.
#[derive(Debug, Deserialize)]
struct Mail {
    #[serde(default)]
    from: Value,
    #[serde(default)]
    subject: Option<String>,
}

impl Mail {
    /// Whose it says it is: `a@b.cd`, `Dana <a@b.cd>`, an object with `email` or `address`, or a list of one of these. Of
    /// several nobody knows who writes.
    fn sender(&self) -> Option<String> {
        let from = match &self.from {
            Value::Array(all) if all.len() == 1 => &all[0],
            from => from,
        };
        let text = match from {
            Value::String(text) => text,
            from => from.get("email").or_else(|| from.get("address"))?.as_str()?,
        };
        let inner = text.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inner, _)| inner);
        console::email(inner.unwrap_or(text))
    }

    fn asks_for_deletion(&self) -> bool {
        let mut subject = self.subject.as_deref().unwrap_or_default().trim().to_lowercase();
        while let Some(rest) = BEFORE.iter().find_map(|before| subject.strip_prefix(before)) {
            subject = rest.trim().to_owned();
        }
        subject.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.') == SUBJECT
    }
}

/// Takes in a mail. One with the subject “Data Deletion Request” is answered with a link; the same mail that is told again is
/// answered once.
#[utoipa::path(
    post,
    path = "/api/webhooks/mail",
    tag = "webhooks",
    params(
        ("webhook-id" = String, Header, description = "The event's name, the same however often it is told"),
        ("webhook-timestamp" = String, Header, description = "Unix seconds"),
        ("webhook-signature" = String, Header, description = "v1,<base64 HMAC-SHA256 of id.timestamp.body>, as Standard Webhooks has it; several with spaces between"),
    ),
    request_body(content_type = "application/json", description = "{type: \"email.received\", data: {from, subject}}", content = Value),
    responses(
        (status = 200, description = "Taken in, or of no concern here"),
        (status = 400, description = "Signed, and not an event", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "Not signed by the provider's secret, or not lately", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is away; the provider tells it again", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn mail(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    // P-D6
    let bytes = body::bytes(body, app.house.web.body_limit).await?;
    let unsigned = || Problem::unauthenticated("This is not signed by the provider of mail, or not lately.");
    let secret = app.house.deletions.mail_secret.as_ref().ok_or_else(unsigned)?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, at, signature) =
        (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    if !signed::by_standard(secret, (id, at, signature), &bytes, app.house.clock.now()) {
        return Err(unsigned());
    }
    let no_event = |error| Problem::malformed(format!("This is not an event: {error}."));
    let event: Event = serde_json::from_slice(&bytes).map_err(no_event)?;
    if event.name != RECEIVED {
        tracing::debug!(event = event.name, "the provider of mail tells of something else");
        return Ok(StatusCode::OK);
    }
    let mail: Mail = serde_json::from_value(event.data).map_err(no_event)?;
    let (asks, sender) = (mail.asks_for_deletion(), mail.sender());
    tracing::info!(asks, "a mail has come in");
    match sender {
        Some(sender) if asks => answer(&app, &sender, &deletion::link_of(secret, id)).await,
        None if asks => {
            tracing::warn!(
                event = id,
                "somebody asks for a deletion by a mail that cannot be answered: it says of nobody that they wrote it"
            );
            Ok(StatusCode::OK)
        }
        Some(_) | None => Ok(StatusCode::OK),
    }
}

/// Sends the link. Who writes again and again is answered now and then.
async fn answer(app: &App, sender: &str, link: &str) -> Result<StatusCode, Problem> {
    let (from, now) = (Whence(None), app.house.clock.monotonic());
    if app.patience.may_ask(sender, from, now).is_err() {
        tracing::info!("somebody writes again and again for a deletion, and is not answered for a while");
        return Ok(StatusCode::OK);
    }
    let (language, letter) = privacy::letter(app, sender, link);
    let (ledger, ring) = (&app.house.ledger, &app.house.deletions.ring);
    let digest = deletion::link_digest(link);
    // what the ledger could not keep is told again, and counts then; what was told before counted then
    if ledger.ask_deletion(ring, &digest, language, Origin::Mail, &letter).await? {
        app.patience.asked(sender, from, now);
    }
    Ok(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mail(from: Value, subject: &str) -> Mail {
        Mail { from, subject: Some(subject.to_owned()) }
    }

    #[test]
    fn a_sender_is_read_in_every_form_and_what_is_none_is_nobody() {
        for from in [
            json!("Dana@Example.com"),
            json!("Dana Levi <dana@example.com>"),
            json!({ "email": "dana@example.com", "name": "x" }),
            json!({ "address": "dana@example.com" }),
            json!(["Dana <dana@example.com>"]),
            json!([{ "address": "dana@example.com" }]),
            json!("\"noa@example.com\" <dana@example.com>"),
        ] {
            assert_eq!(mail(from, "").sender().as_deref(), Some("dana@example.com"));
        }
        for from in [
            json!(null),
            json!("dana"),
            json!("<>"),
            json!({}),
            json!("a@b.cd\r\nbcc: c@d.ef"),
            json!([]),
            json!(["a@b.cd", "c@d.ef"]),
        ] {
            assert_eq!(mail(from.clone(), "").sender(), None, "{from}");
        }
    }

    #[test]
    fn a_request_is_known_by_its_subject_alone() {
        for subject in
            ["Data Deletion Request", " data  deletion request. ", "Re: FWD: Data Deletion Request"]
        {
            assert!(mail(json!(""), subject).asks_for_deletion(), "{subject}");
        }
        for subject in ["", "Deletion", "About my Data Deletion Request", "Data Deletion Requests"] {
            assert!(!mail(json!(""), subject).asks_for_deletion(), "{subject}");
        }
    }
}
