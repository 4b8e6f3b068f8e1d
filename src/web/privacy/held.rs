//! What is held of whom, why and how long: the data section of a privacy policy. It is made of the register that deletions go
//! by, so that it says neither less nor more than what is done.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    extract::{Query, State},
    http::HeaderMap,
    response::{Html, IntoResponse, Response},
};

use super::{Language, texts::Texts};
use crate::{
    config::Retention,
    ledger::register::{self, Store, Whose},
    web::{App, console, problem::Problem},
};

#[derive(Template)]
#[template(path = "held.html")]
struct Page<'a> {
    t: &'static Texts,
    css: &'a str,
    /// The same page in the other language.
    other: String,
    groups: Vec<Group>,
}

/// What is held of some people.
struct Group {
    title: &'static str,
    held: Vec<Held>,
}

/// What one store holds.
struct Held {
    what: String,
    why: &'static str,
    how_long: String,
}

/// The page.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(language): Query<Language>,
) -> Result<Response, Problem> {
    let t = language.chosen(&headers);
    let (ages, session) = (&app.house.retention, app.house.web.session);
    let group = |(whose, title)| Group { title, held: held(whose, ages, session) };
    let people =
        [(Whose::Connection, t.held_connection), (Whose::Staff, t.held_staff), (Whose::Asker, t.held_asker)];
    let page = Page {
        t,
        css: console::style(&app),
        other: format!("/privacy/data?lang={}", t.other),
        groups: people.into_iter().map(group).collect(),
    };
    let html = page.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Problem::internal()
    })?;
    Ok(Html(html).into_response())
}

/// What all stores hold of these people.
fn held(whose: Whose, ages: &Retention, session: Duration) -> Vec<Held> {
    let mut all = Vec::new();
    for store in register::all() {
        if store.whose == whose && !store.personal.is_empty() {
            all.push(told(store, ages, session));
        }
    }
    all
}

fn told(store: &Store, ages: &Retention, session: Duration) -> Held {
    let what: Vec<&str> = store.personal.iter().map(|(_, what)| *what).collect();
    let (why, how_long) = store.why.split_once("; ").unwrap_or((store.why, ""));
    Held { what: what.join("; "), why, how_long: spelled(how_long, ages, session) }
}

/// A setting's name is nothing to whoever reads this: in its place stands what it is set to.
fn spelled(how_long: &str, ages: &Retention, session: Duration) -> String {
    let known = [
        ("retention.history", ages.history),
        ("retention.addresses", ages.addresses),
        ("retention.letters", ages.letters),
        ("retention.disconnected", ages.disconnected),
        ("retention.idempotency", ages.idempotency),
        ("retention.analyses", ages.analyses),
        ("retention.snapshots", ages.snapshots),
        ("retention.unused_media", ages.unused_media),
        ("retention.unfinished_uploads", ages.unfinished_uploads),
        ("web.session", session),
    ];
    let mut spelled = how_long.to_owned();
    for (name, age) in known {
        spelled = spelled.replace(name, &in_days(age));
    }
    spelled
}

fn in_days(age: Duration) -> String {
    let hours = age.as_secs() / 3600;
    if hours >= 48 { format!("{} days", hours / 24) } else { format!("{hours} hours") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn whatever_is_held_of_somebody_is_told_with_its_reason_and_its_time_in_words() {
        let settings = Settings::load(None).expect("the settings load");
        let (ages, session) = (&settings.retention, settings.web.session);
        for store in register::all().filter(|store| !store.personal.is_empty()) {
            assert_ne!(store.whose, Whose::Nobody, "{} is of somebody", store.name);
            let it = told(store, ages, session);
            assert!(!it.why.is_empty() && !it.how_long.is_empty(), "{} says why and how long", store.name);
            let words = [it.what.as_str(), it.why, it.how_long.as_str()].concat();
            assert!(!words.contains("retention.") && !words.contains("web."), "{}: {words}", store.name);
        }
        assert_eq!(spelled("web.session, or so", ages, Duration::from_hours(10)), "10 hours, or so");
        assert_eq!(in_days(Duration::from_hours(90 * 24)), "90 days");
    }
}
