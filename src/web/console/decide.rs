//! Deciding about a publication that is held: the evidence side by side, and a form. Works without a script.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    post,
    seat::{Publisher, Seat},
    sure::Sure,
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::{
        accounts::Account,
        idempotency::Once,
        media::Media,
        posts::{Post, Publication},
        verdict::{By, Evidence, Undecided},
    },
    web::{
        App,
        finding::Finding,
        intake::{jobs::sentence, shapes::instant},
        problem::{self, Problem},
        verdict::Verdict,
    },
};

/// What somebody wrote into the form.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Written {
    #[serde(default)]
    token: String,
    /// Makes a double click harmless.
    #[serde(default)]
    key: String,
    /// `yes` or `no`.
    #[serde(default)]
    published: String,
    #[serde(default)]
    permalink: String,
    #[serde(default)]
    reason: String,
}

/// A form that comes back, and why.
pub struct Back {
    publication: Uuid,
    written: Written,
    findings: Vec<String>,
}

/// What a person needs to decide, and the form.
pub struct Deciding {
    pub id: Uuid,
    pub address: String,
    pub lead: String,
    pub look: String,
    pub look_at: String,
    pub facts: Vec<Fact>,
    /// Since when what it shows stays so, where that is still to come.
    pub later: Option<String>,
    pub key: String,
    pub yes: bool,
    pub no: bool,
    pub permalink: String,
    pub reason: String,
    pub findings: Vec<String>,
}

/// One thing that is known.
pub struct Fact {
    pub term: String,
    pub text: String,
    /// For machines, where it is a time.
    pub instant: Option<String>,
}

/// Takes the form.
pub async fn submit(
    State(app): State<Arc<App>>,
    seat: Seat<Publisher>,
    headers: HeaderMap,
    Path((post, publication)): Path<(String, String)>,
    Sure(written): Sure<Written>,
) -> Result<Response, Problem> {
    seat.check(&written.token)?;
    let missing = || Problem::not_found("publication");
    let id = problem::id(&publication, "publication")?;
    let place = seat.ledger.place(Some(seat.member.workspace_id), id).await?;
    let place = place.filter(|place| place.post_id.to_string() == post).ok_or_else(missing)?;
    let post = place.post_id;
    let verdict = written.verdict();
    let found = verdict.judge(app.shown(&place.platform), Vec::new());
    if !found.is_empty() {
        let findings = found.iter().map(told).collect();
        let back = Back { publication: id, written, findings };
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return post::show_with(&app, &seat, &headers, post, status, None, Some(&back)).await;
    }
    let route = format!("POST verdict {id}");
    let asked =
        (!written.key.is_empty()).then(|| seat.asked(&written.key, &route, written.content().as_bytes()));
    let notice =
        match app.decide(place, id, verdict, By::Person(seat.member.person_id), asked, seat.who).await? {
            Once::Done(Ok(_)) | Once::Before(_) => {
                return Ok(Redirect::to(&format!("/posts/{post}")).into_response());
            }
            Once::Done(Err(Undecided::Missing)) => return Err(missing()),
            Once::Done(Err(why)) => sentence(&why),
            Once::KeyReused => ENGLISH.edit_already_sent.to_owned(),
        };
    post::show(&app, &seat, &headers, post, StatusCode::CONFLICT, Some(notice)).await
}

impl Written {
    fn verdict(&self) -> Verdict {
        let said = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Verdict {
            published: match self.published.as_str() {
                "yes" => Some(true),
                "no" => Some(false),
                _ => None,
            },
            permalink: said(&self.permalink),
            reason: said(&self.reason),
        }
    }

    fn content(&self) -> String {
        serde_json::json!([self.published, self.permalink, self.reason]).to_string()
    }
}

fn told(finding: &Finding) -> String {
    let label = match finding.field.as_str() {
        "published" => return ENGLISH.verdict_choose.to_owned(),
        "permalink" => ENGLISH.verdict_permalink,
        _ => ENGLISH.verdict_reason,
    };
    fill(ENGLISH.finding_at, &[label, &finding.detail])
}

/// What is shown of a publication that is to be decided.
pub struct Scene<'a> {
    pub app: &'a App,
    pub t: &'static Texts,
    pub now: DateTime<Utc>,
    pub post: &'a Post,
    pub files: &'a [Media],
    pub account: Option<&'a Account>,
    pub evidence: &'a Evidence,
    pub back: Option<&'a Back>,
}

impl Scene<'_> {
    /// The evidence and the form.
    pub fn deciding(&self, it: &Publication, network: &str) -> Deciding {
        let (t, name) = (self.t, self.account.map_or("", |account| &account.name));
        let back = self.back.filter(|back| back.publication == it.id);
        let written = back.map(|back| back.written.clone()).unwrap_or_default();
        let waits = self.evidence.quarantine_until.filter(|until| *until > self.now);
        Deciding {
            id: it.id,
            address: format!("/posts/{}/publications/{}/verdict", self.post.id, it.id),
            lead: fill(t.verdict_lead, &[network]),
            look: fill(t.verdict_look, &[name, network]),
            look_at: self.look_at(it, name),
            facts: self.facts(it, network),
            later: waits.map(|until| fill(t.verdict_later, &[&second(until)])),
            key: Uuid::now_v7().to_string(),
            yes: written.published == "yes",
            no: written.published == "no",
            permalink: written.permalink,
            reason: written.reason,
            findings: back.map(|back| back.findings.clone()).unwrap_or_default(),
        }
    }

    /// The account's page; where something stands in for the network, what that shows.
    fn look_at(&self, it: &Publication, name: &str) -> String {
        let Some(shown) = self.app.shown(&it.platform) else { return String::new() };
        match shown.stand_in {
            Some(own) => own.origin().ascii_serialization(),
            None => shown.platform.site.page_of(&self.evidence.external_id, name),
        }
    }

    fn facts(&self, it: &Publication, network: &str) -> Vec<Fact> {
        let (t, known) = (self.t, self.evidence);
        let words = it.caption.as_ref().unwrap_or(&self.post.caption);
        let words = if words.trim().is_empty() { t.no_words } else { words };
        let names: Vec<&str> = (self.post.media_ids.iter())
            .filter_map(|id| self.files.iter().find(|file| file.id == *id).map(|file| file.name.as_str()))
            .collect();
        let fact = |term: String, text: Option<String>| {
            text.filter(|text| !text.is_empty()).map(|text| Fact { term, text, instant: None })
        };
        let sent_at = known.sent_at.map(|at| Fact {
            term: t.verdict_when.to_owned(),
            text: second(at),
            instant: Some(instant(at)),
        });
        [
            fact(t.verdict_sent.to_owned(), Some(format!("{}: {words}", it.surface))),
            fact(t.verdict_files.to_owned(), Some(names.join(", "))),
            fact(t.verdict_handle.to_owned(), known.handle.clone()),
            sent_at,
            fact(fill(t.verdict_answer, &[network]), Some(self.answer())),
            fact(t.verdict_since.to_owned(), it.hold_reason.clone()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn answer(&self) -> String {
        let known = self.evidence;
        let status = known.http_status.map(|status| format!("HTTP {status}"));
        let parts: Vec<String> =
            [status, known.code.clone(), known.message.clone()].into_iter().flatten().collect();
        if parts.is_empty() { self.t.verdict_no_answer.to_owned() } else { parts.join(", ") }
    }
}

fn second(at: DateTime<Utc>) -> String {
    fill(ENGLISH.schedule_utc, &[&format!("{}{}", words::date_time(at.naive_utc()), at.format(":%S"))])
}
