//! The public pages: asking for deletion, proving the address by a mailed link, and the state of a request by its code. In
//! Hebrew and English, without a script, a cookie or a name.

pub mod exports;
mod held;
mod texts;

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Form, Json,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::erasure::{ALL_WITHIN, Stage, TOKENS_WITHIN};
use serde::Deserialize;

use self::texts::{Texts, of};
use super::{
    App,
    console::{self, throttle::Throttle},
    deletion::{self, Code, Wanted, Way},
    listed::Listed,
    problem::Problem,
    whence::Whence,
};
use crate::ledger::{
    deletions::{Origin, Shown},
    letters::Letter,
    signing,
};

/// The pages' routes.
pub fn routes() -> Listed<Arc<App>> {
    Listed::new()
        .route("/privacy/data", get(held::page))
        .route("/privacy/delete", get(form).post(ask))
        .route("/privacy/delete/{link}", get(proof).post(prove))
        .route("/privacy/exports/{link}", get(exports::page).post(exports::take))
        .route("/privacy/requests/{code}", get(state))
        .route("/privacy/requests/{code}/receipt", get(receipt))
}

/// Slows down who asks again and again. Its memory is its own: strangers are many, and must not push out of another's who
/// guesses passwords.
#[derive(Debug)]
pub struct Patience {
    emails: Throttle,
    addresses: Throttle,
    guesses: Throttle,
    reports: Throttle,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            emails: Throttle::default(),
            addresses: Throttle::of_many(),
            guesses: Throttle::default(),
            // a link that has ended is opened by many who mean no harm
            reports: Throttle::of_many(),
        }
    }
}

impl Patience {
    /// Somebody asks for a link to be mailed: to whom counts, whoever asks, and who asks, for whomever.
    ///
    /// # Errors
    /// 429: they have to wait.
    pub fn asks(&self, email: &str, from: Whence, now: Duration) -> Result<(), Problem> {
        self.may_ask(email, from, now)?;
        self.asked(email, from, now);
        Ok(())
    }

    /// The same, without counting it: what comes to nothing is told again, and must not be held against anybody.
    ///
    /// # Errors
    /// 429: they have to wait.
    pub fn may_ask(&self, email: &str, from: Whence, now: Duration) -> Result<(), Problem> {
        let from = from.counted();
        // who is nobody knows where is counted by the e-mail address alone
        let from = Some(from.as_str()).filter(|from| !from.is_empty());
        let by_address = from.and_then(|from| self.addresses.wait(from, now));
        self.emails.wait(&email.to_lowercase(), now).max(by_address).map_or(Ok(()), |wait| Err(slower(wait)))
    }

    /// They have asked.
    pub fn asked(&self, email: &str, from: Whence, now: Duration) {
        let from = from.counted();
        self.emails.failed(&email.to_lowercase(), now);
        if !from.is_empty() {
            self.addresses.failed(&from, now);
        }
    }

    /// Somebody has a code that there is none of.
    fn guesses(&self, from: Whence, now: Duration) -> Result<(), Problem> {
        failed(&self.guesses, from, now)
    }

    /// Somebody has a link to a report that opens nothing.
    ///
    /// # Errors
    /// 429: they have to wait.
    pub fn follows(&self, from: Whence, now: Duration) -> Result<(), Problem> {
        failed(&self.reports, from, now)
    }
}

fn failed(of: &Throttle, from: Whence, now: Duration) -> Result<(), Problem> {
    of.attempt(&from.counted(), now).map(drop).map_err(slower)
}

fn slower(wait: Duration) -> Problem {
    Problem::throttled(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1))
}

/// Which language a page is asked for in.
#[derive(Debug, Default, Deserialize)]
struct Language {
    #[serde(default)]
    lang: String,
}

impl Language {
    /// The one that was chosen, else the first that the browser prefers of those that there are.
    fn chosen(&self, headers: &HeaderMap) -> &'static Texts {
        let preferred = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let words = std::iter::once(self.lang.as_str()).chain(preferred.unwrap_or_default().split(','));
        let mut known = words.filter_map(|word| of(word.trim().get(..2).unwrap_or_default()));
        known.next().unwrap_or(&texts::ENGLISH)
    }
}

/// What the forms send.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    email: String,
    #[serde(default)]
    lang: String,
}

#[derive(Template)]
#[template(path = "privacy.html")]
struct Page<'a> {
    t: &'static Texts,
    css: &'a str,
    /// The same page in the other language.
    other: String,
    title: &'static str,
    lead: String,
    /// A form that asks for an address.
    asks: bool,
    /// What is wrong with what was sent.
    wrong: Option<&'static str>,
    /// A form that only confirms.
    confirms: bool,
    /// A form that fetches a file.
    takes: bool,
    /// What has been done, and when.
    steps: Vec<Line>,
    /// What is promised until when, and whether it was kept.
    clocks: Vec<String>,
    /// What the networks have answered, and how often each.
    answers: Vec<(&'static str, i64)>,
    /// Each store, how much of it has gone, and when that was done.
    stores: Vec<(String, i64, Option<String>)>,
    /// Where the state of the request is shown, as it may be written down.
    follow: Option<String>,
    /// Where the receipt is.
    receipt: Option<String>,
    /// What else there is to say.
    notes: Vec<String>,
}

/// One line of a request's course.
struct Line {
    text: &'static str,
    at: Option<String>,
    now: bool,
}

impl<'a> Page<'a> {
    fn new(app: &'a App, t: &'static Texts, path: &str, title: &'static str, lead: &str) -> Self {
        Self {
            t,
            css: console::style(app),
            other: format!("{path}?lang={}", t.other),
            title,
            lead: lead.to_owned(),
            asks: false,
            wrong: None,
            confirms: false,
            takes: false,
            steps: Vec::new(),
            clocks: Vec::new(),
            answers: Vec::new(),
            stores: Vec::new(),
            follow: None,
            receipt: None,
            notes: Vec::new(),
        }
    }

    fn answer(&self, status: StatusCode) -> Result<Response, Problem> {
        let html = self.render().map_err(|error| {
            tracing::error!(%error, "a page could not be rendered");
            Problem::internal()
        })?;
        Ok((status, Html(html)).into_response())
    }
}

async fn form(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(language): Query<Language>,
) -> Result<Response, Problem> {
    let t = language.chosen(&headers);
    if !app.house.mail {
        return mail_off(&app, t, StatusCode::OK);
    }
    let mut page = Page::new(&app, t, "/privacy/delete", t.ask_title, t.ask_lead);
    page.asks = true;
    page.answer(StatusCode::OK)
}

/// Where nothing is sent no link is promised.
fn mail_off(app: &App, t: &'static Texts, status: StatusCode) -> Result<Response, Problem> {
    Page::new(app, t, "/privacy/delete", t.ask_title, t.mail_off).answer(status)
}

/// Writes the mail with the link. The answer is the same for every address.
async fn ask(
    State(app): State<Arc<App>>,
    from: Whence,
    headers: HeaderMap,
    Form(asked): Form<Asked>,
) -> Result<Response, Problem> {
    let t = Language { lang: asked.lang.clone() }.chosen(&headers);
    if !app.house.mail {
        return mail_off(&app, t, StatusCode::CONFLICT);
    }
    let email = asked.email.trim();
    if !is_address(email) {
        let mut page = Page::new(&app, t, "/privacy/delete", t.ask_title, t.ask_lead);
        (page.asks, page.wrong) = (true, Some(t.ask_wrong));
        return page.answer(StatusCode::UNPROCESSABLE_ENTITY);
    }
    app.patience.asks(email, from, app.house.clock.monotonic())?;
    let link = deletion::fresh_link();
    let (letter, digest) = (asking(&app, t, email, &link), deletion::link_digest(&link));
    let ledger = &app.house.ledger;
    ledger.ask_deletion(&app.house.deletions.ring, &digest, t.lang, Origin::Page, &letter).await?;
    Page::new(&app, t, "/privacy/delete", t.asked_title, t.asked_lead).answer(StatusCode::ACCEPTED)
}

/// The mail with the link.
fn asking(app: &App, t: &Texts, email: &str, link: &str) -> Letter {
    let base = app.house.public_url.as_str().trim_end_matches('/');
    let url = format!("{base}/privacy/delete/{link}?lang={}", t.lang);
    Letter { to: email.to_owned(), subject: t.mail_subject.to_owned(), text: t.mail_text.replace("{}", &url) }
}

/// The mail with the link that answers a mail, and its language: that of the subject that it has to have.
pub fn letter(app: &App, email: &str, link: &str) -> (&'static str, Letter) {
    let t = &texts::ENGLISH;
    (t.lang, asking(app, t, email, link))
}

/// What the link leads to: opening it does nothing yet, for programs open the links of mails too.
async fn proof(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(link): Path<String>,
    Query(language): Query<Language>,
) -> Result<Response, Problem> {
    let t = language.chosen(&headers);
    let path = format!("/privacy/delete/{link}");
    if app.house.ledger.asker(&app.house.deletions.ring, &deletion::link_digest(&link)).await?.is_none() {
        return followed(&app, t, &link).await;
    }
    let mut page = Page::new(&app, t, &path, t.prove_title, t.prove_lead);
    page.confirms = true;
    page.answer(StatusCode::OK)
}

/// Accepts the request: the link has proved the address, and is good no more.
async fn prove(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(link): Path<String>,
    Form(asked): Form<Asked>,
) -> Result<Response, Problem> {
    let t = Language { lang: asked.lang }.chosen(&headers);
    let digest = deletion::link_digest(&link);
    let Some(proved) = app.house.ledger.asker(&app.house.deletions.ring, &digest).await? else {
        return followed(&app, t, &link).await;
    };
    let language = of(&proved.language).unwrap_or(t).lang;
    let way = Way {
        origin: proved.origin,
        code: Code::of_link(&link),
        // who follows the link twice at once has asked once
        asked_digest: Some(digest),
        signed: (None, None),
        language,
    };
    let wanted = Wanted { email: Some(proved.email), ..Wanted::default() };
    deletion::accept(&app, way, wanted).await?;
    app.house.ledger.used_ask(&digest).await?;
    accepted(&app, t, &Code::of_link(&link))
}

fn accepted(app: &App, t: &'static Texts, code: &Code) -> Result<Response, Problem> {
    let mut page = Page::new(app, t, "/privacy/delete", t.accepted_title, t.accepted_lead);
    page.follow = Some(code.address(app));
    page.answer(StatusCode::ACCEPTED)
}

/// A link that asks for nothing any more: whoever has followed it sees once more where the state is shown.
async fn followed(app: &App, t: &'static Texts, link: &str) -> Result<Response, Problem> {
    let code = Code::of_link(link);
    if app.house.ledger.deletion_by_code(&code.digest()).await?.is_some() {
        return accepted(app, t, &code);
    }
    Page::new(app, t, "/privacy/delete", t.stale_title, t.stale_lead).answer(StatusCode::GONE)
}

async fn state(
    State(app): State<Arc<App>>,
    from: Whence,
    headers: HeaderMap,
    Path(code): Path<String>,
    Query(language): Query<Language>,
) -> Result<Response, Problem> {
    let t = language.chosen(&headers);
    let shown = find(&app, from, &code).await?;
    let (title, lead) = match shown.stage {
        Stage::Done => (t.done_title, t.done_lead),
        Stage::Draining
        | Stage::Revoking
        | Stage::Shredding
        | Stage::Purging
        | Stage::Verifying
        | Stage::Telling
        | Stage::Forgetting => (t.state_title, t.state_lead),
    };
    let mut page = Page::new(&app, t, &format!("/privacy/requests/{code}"), title, lead);
    page.steps = steps(t, &shown);
    page.clocks = clocks(t, &shown);
    let progress = app.house.ledger.deletion_progress(shown.id).await?;
    page.answers = progress.answers.iter().map(|(word, many)| (answer(t, word), *many)).collect();
    let told = |(store, many, at): (String, i64, Option<DateTime<Utc>>)| (store, many, at.map(moment));
    page.stores = progress.stores.into_iter().map(told).collect();
    page.receipt = shown.receipt.is_some().then(|| format!("/privacy/requests/{code}/receipt"));
    if shown.accounts == 0 {
        page.notes.push(t.nothing_known.to_owned());
    }
    if !shown.told {
        page.notes.push(t.no_address.to_owned());
    } else if !app.house.mail {
        page.notes.push(t.no_mail.to_owned());
    }
    page.answer(StatusCode::OK)
}

async fn receipt(
    State(app): State<Arc<App>>,
    from: Whence,
    Path(code): Path<String>,
) -> Result<Response, Problem> {
    let shown = find(&app, from, &code).await?;
    let signed = shown.receipt.ok_or_else(|| Problem::not_found("receipt yet"))?;
    let name = format!("attachment; filename=\"receipt-{}.json\"", shown.id);
    Ok(([(header::CONTENT_DISPOSITION, name)], Json(signing::file(&signed))).into_response())
}

/// The request of a code. Who guesses has to wait ever longer.
async fn find(app: &App, from: Whence, code: &str) -> Result<Shown, Problem> {
    let found = match Code::parse(code) {
        Some(code) => app.house.ledger.deletion_by_code(&code.digest()).await?,
        None => None,
    };
    if let Some(shown) = found {
        return Ok(shown);
    }
    app.patience.guesses(from, app.house.clock.monotonic())?;
    Err(Problem::not_found("request"))
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn steps(t: &'static Texts, it: &Shown) -> Vec<Line> {
    let line = |text, at: Option<DateTime<Utc>>, stages: &[Stage]| Line {
        text,
        at: at.map(moment),
        now: stages.contains(&it.stage),
    };
    vec![
        line(t.step_received, Some(it.received_at), &[]),
        line(t.step_tokens, it.shredded_at, &[Stage::Draining, Stage::Revoking, Stage::Shredding]),
        line(t.step_deleted, it.verified_at, &[Stage::Purging, Stage::Verifying]),
        line(t.step_done, it.done_at, &[Stage::Telling, Stage::Forgetting]),
    ]
}

/// Both promises: what is over says whether it came in time.
fn clocks(t: &'static Texts, it: &Shown) -> Vec<String> {
    let line = |text: &str, within: TimeDelta, at: Option<DateTime<Utc>>| {
        let by = it.counted_from + within;
        let word = match at {
            Some(at) if at <= by => t.clock_kept,
            Some(_) => t.clock_missed,
            None => t.clock_open,
        };
        text.replacen("{}", &moment(by), 1).replacen("{}", word, 1)
    };
    vec![line(t.clock_tokens, TOKENS_WITHIN, it.shredded_at), line(t.clock_all, ALL_WITHIN, it.verified_at)]
}

/// What a network's answer means, without naming the network.
fn answer(t: &'static Texts, word: &str) -> &'static str {
    match word {
        "revoked" => t.answer_revoked,
        "already" => t.answer_already,
        "nothing" => t.answer_nothing,
        "superseded" => t.answer_superseded,
        "given_up" => t.answer_given_up,
        _ => t.answer_open,
    }
}

/// Whether a mail can go there, as far as its form tells.
fn is_address(text: &str) -> bool {
    let plain = text.len() <= 254 && text.chars().all(|c| !c.is_control() && !c.is_whitespace());
    let parts = text.split_once('@');
    plain && parts.is_some_and(|(who, at)| !who.is_empty() && at.contains('.') && !at.contains('@'))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn an_address_is_told_from_what_is_none() {
        assert!(is_address("dana@example.com"));
        for none in
            ["", "dana", "@example.com", "dana@", "dana@example", "a b@example.com", "a@b@c.de", "a\n@b.cd"]
        {
            assert!(!is_address(none), "{none:?}");
        }
    }

    #[test]
    fn who_asks_again_and_again_waits_by_the_mail_and_by_the_network() {
        let now = Duration::from_secs(100);
        let at = |n: u16| Whence(Some(IpAddr::from([0x2001, 0xdb8, 0, n, 0, 0, 0, n])));
        let patience = Patience::default();
        let asked = (0..9).filter(|n| patience.asks("dana@example.com", at(*n), now).is_ok()).count();
        assert_eq!(asked, 6, "one mailbox is not filled from everywhere");
        assert!(patience.asks("DANA@example.com", at(10), now).is_err(), "nor under other letters");
        let patience = Patience::default();
        let from = |n: u16| Whence(Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n])));
        let ask = |n: &u16| patience.asks(&format!("{n}@example.com"), from(*n), now).is_ok();
        assert_eq!((0..50).filter(ask).count(), 21, "nor many from one network");
        assert!(patience.asks("noa@example.com", at(2), now).is_ok());
        let patience = Patience::default();
        let told = (0..50).filter(|_| patience.may_ask("dana@example.com", at(1), now).is_ok()).count();
        assert_eq!(told, 50, "what comes to nothing is not held against them");
        patience.asked("dana@example.com", at(1), now);
        assert!(patience.may_ask("dana@example.com", at(1), now).is_ok());
        assert!(patience.guesses(at(1), now).is_ok(), "who has asked has guessed nothing");
    }

    #[test]
    fn a_page_speaks_the_language_that_was_chosen_or_is_preferred() {
        let mut headers = HeaderMap::new();
        let chosen = |lang: &str, headers: &HeaderMap| Language { lang: lang.into() }.chosen(headers).lang;
        assert_eq!(chosen("", &headers), "en");
        headers.insert(header::ACCEPT_LANGUAGE, "fr-FR, he-IL;q=0.8, en;q=0.5".parse().expect("a header"));
        assert_eq!(chosen("", &headers), "he");
        assert_eq!(chosen("en", &headers), "en");
    }
}
