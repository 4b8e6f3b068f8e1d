//! Links by which clients look at numbers: made, shown once, looked at and taken back.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::{
    Choice, Shell, render_as,
    seat::{Admin, Seat},
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::{
        reports::{Covers, Listed, NewReport, TITLE_MOST},
        standing::{Among, Followed},
    },
    web::{
        App, deletion,
        problem::Problem,
        report,
        standing::asked::{OFFERED, spanned},
    },
};

/// How many days a link may last at most, and what is offered.
const LASTS_MOST: u64 = 90;
const LASTS: &str = "30";
/// The most accounts of a report.
const ACCOUNTS_MOST: usize = 100;

#[derive(Template)]
#[template(path = "reports.html")]
struct Page {
    shell: Shell,
    token: String,
    /// The address that was just made.
    made: Option<String>,
    rows: Vec<Row>,
    written: Written,
    accounts: Vec<Choice>,
    languages: Vec<Choice>,
    days: Vec<Choice>,
    wrong: Option<&'static str>,
}

struct Row {
    id: Uuid,
    title: String,
    state: &'static str,
    holds: bool,
    covers: String,
    accounts: String,
    made: String,
    ends: String,
    used: String,
}

/// What the form sends.
#[derive(Default)]
struct Written {
    token: String,
    title: String,
    language: String,
    accounts: Vec<String>,
    days: String,
    from: String,
    to: String,
    lasts: String,
}

/// A link that can be made.
struct Wanted {
    title: String,
    language: &'static str,
    covers: Covers,
    accounts: Vec<Uuid>,
    lasts: Duration,
}

impl Written {
    fn read(fields: Vec<(String, String)>) -> Self {
        let mut written = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "token" => written.token = value,
                "title" => written.title = value.trim().replace('\0', ""),
                "language" => written.language = value,
                "account" => written.accounts.push(value),
                "days" => written.days = value,
                "from" => written.from = value,
                "to" => written.to = value,
                "lasts" => written.lasts = value,
                _ => {}
            }
        }
        written
    }

    /// As it can be made.
    fn wanted(&self, today: NaiveDate) -> Result<Wanted, &'static str> {
        let t = &ENGLISH;
        if !(1..=TITLE_MOST).contains(&self.title.chars().count()) {
            return Err(t.reports_title_missing);
        }
        let language = report::LANGUAGES.iter().copied().find(|word| *word == self.language);
        let mut accounts: Vec<Uuid> =
            self.accounts.iter().map(|id| Uuid::try_parse(id).unwrap_or(Uuid::nil())).collect();
        accounts.sort_unstable();
        accounts.dedup();
        if !(1..=ACCOUNTS_MOST).contains(&accounts.len()) {
            return Err(t.reports_accounts_missing);
        }
        let lasts = self.lasts.parse::<u64>().ok().filter(|days| (1..=LASTS_MOST).contains(days));
        Ok(Wanted {
            title: self.title.clone(),
            language: language.ok_or(t.reports_language_missing)?,
            covers: self.covers(today).ok_or(t.reports_days_wrong)?,
            accounts,
            lasts: Duration::from_hours(24 * lasts.ok_or(t.reports_lasts_wrong)?),
        })
    }

    /// Days that are named come before how many there are.
    fn covers(&self, today: NaiveDate) -> Option<Covers> {
        if self.from.is_empty() && self.to.is_empty() {
            let days = OFFERED.iter().find(|days| days.to_string() == self.days)?;
            return i16::try_from(*days).ok().map(Covers::Last);
        }
        let span = spanned(self.from.parse().ok()?, self.to.parse().ok()?, today)?;
        Some(Covers::Between(span.first, span.last_day()))
    }
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let fresh = Written { lasts: LASTS.to_owned(), ..Written::default() };
    show(&app, &seat, &headers, (StatusCode::OK, None, None), fresh).await
}

async fn show(
    app: &App,
    seat: &Seat<Admin>,
    headers: &HeaderMap,
    (status, made, wrong): (StatusCode, Option<String>, Option<&'static str>),
    written: Written,
) -> Result<Response, Problem> {
    let (t, ledger, workspace) = (&ENGLISH, &seat.ledger, seat.member.workspace_id);
    let (reports, accounts) =
        tokio::try_join!(ledger.reports(workspace), ledger.followed(Among::all(workspace)))?;
    let page = Page {
        shell: Shell::seated(app, headers, seat, "dashboard", "/reports"),
        token: seat.token.clone(),
        made,
        rows: reports.into_iter().map(|it| row(t, it)).collect(),
        accounts: accounts.iter().map(|it| account(app, it, &written)).collect(),
        languages: languages(t, &written),
        days: days(t, &written),
        wrong,
        written,
    };
    render_as(status, &page)
}

/// Makes a link and shows it, this once: it is not kept, and going back to the page does not bring it back.
pub async fn make(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let written = Written::read(fields);
    seat.check(&written.token)?;
    let refused = |wrong| (StatusCode::UNPROCESSABLE_ENTITY, None, Some(wrong));
    let wanted = match written.wanted(app.house.clock.now().date_naive()) {
        Ok(wanted) => wanted,
        Err(wrong) => return show(&app, &seat, &headers, refused(wrong), written).await,
    };
    let link = deletion::fresh_link();
    let new = NewReport {
        workspace_id: seat.member.workspace_id,
        digest: &report::digest(&link),
        title: &wanted.title,
        language: wanted.language,
        covers: wanted.covers,
        accounts: &wanted.accounts,
        created_by: seat.member.person_id,
        lasts: wanted.lasts,
    };
    if seat.ledger.share_report(&new).await?.is_none() {
        return show(&app, &seat, &headers, refused(ENGLISH.reports_accounts_missing), written).await;
    }
    let made = Some(report::address(&app, &link));
    let fresh = Written { lasts: LASTS.to_owned(), ..Written::default() };
    show(&app, &seat, &headers, (StatusCode::OK, made, None), fresh).await
}

/// Takes one back.
pub async fn take_back(
    seat: Seat<Admin>,
    Path(id): Path<String>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    seat.check(&Written::read(fields).token)?;
    let missing = || Problem::not_found("report");
    let id = Uuid::try_parse(&id).map_err(|_| missing())?;
    seat.ledger.take_back_report(seat.member.workspace_id, id).await?.ok_or_else(missing)?;
    Ok(Redirect::to("/reports").into_response())
}

fn row(t: &Texts, it: Listed) -> Row {
    let minute = |at: DateTime<Utc>| at.format("%-d %b %Y, %H:%M UTC").to_string();
    let day = |day: NaiveDate| day.format("%-d %b %Y").to_string();
    Row {
        id: it.id,
        state: match (it.holds, it.taken_back_at) {
            (true, _) => t.keys_good,
            (false, Some(_)) => t.keys_revoked,
            (false, None) => t.keys_ended,
        },
        holds: it.holds,
        covers: match it.covers {
            Covers::Last(days) => fill(t.reports_last_days, &[&days.to_string()]),
            Covers::Between(first, last) => fill(t.compare_days, &[&day(first), &day(last)]),
        },
        accounts: it.accounts.join(", "),
        made: fill(t.reports_made_at, &[&minute(it.created_at), &it.made_by]),
        ends: fill(t.keys_ends_at, &[&minute(it.expires_at)]),
        used: it.last_used_at.map_or(t.keys_unused.to_owned(), |at| fill(t.keys_used_at, &[&minute(at)])),
        title: it.title,
    }
}

fn account(app: &App, it: &Followed, written: &Written) -> Choice {
    let value = it.id.to_string();
    Choice {
        chosen: written.accounts.contains(&value),
        label: format!("{} · {}", it.name, words::network(app, &it.platform)),
        value,
    }
}

fn languages(t: &Texts, written: &Written) -> Vec<Choice> {
    let label = |word: &str| if word == "he" { t.language_he } else { t.language_en };
    let choice = |word: &&str| Choice {
        value: (*word).to_owned(),
        label: label(word).to_owned(),
        chosen: written.language == **word,
    };
    report::LANGUAGES.iter().map(choice).collect()
}

fn days(t: &Texts, written: &Written) -> Vec<Choice> {
    let choice = |days: u16| {
        let value = days.to_string();
        let chosen = if written.days.is_empty() { days == OFFERED[1] } else { written.days == value };
        Choice { label: fill(t.reports_last_days, &[&value]), chosen, value }
    };
    OFFERED.map(choice).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 23).expect("a day")
    }

    fn written(changes: &[(&str, &str)]) -> Written {
        let id = Uuid::from_u128(7).to_string();
        let right = [
            ("title", "Autumn"),
            ("language", "he"),
            ("account", id.as_str()),
            ("days", "28"),
            ("lasts", "90"),
        ];
        let left = right.iter().filter(|(name, _)| changes.iter().all(|(other, _)| other != name));
        let all = left.chain(changes).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Written::read(all.collect())
    }

    #[test]
    fn a_link_is_made_of_what_is_right_and_of_nothing_else() {
        let right = written(&[]).wanted(today()).expect("it is right");
        assert_eq!((right.title.as_str(), right.language, right.covers), ("Autumn", "he", Covers::Last(28)));
        assert_eq!((right.accounts, right.lasts), (vec![Uuid::from_u128(7)], Duration::from_hours(24 * 90)));
        let dates = written(&[("from", "2026-11-01"), ("to", "2026-11-07")]).wanted(today()).expect("right");
        let day = |number| NaiveDate::from_ymd_opt(2026, 11, number).expect("a day");
        assert_eq!(dates.covers, Covers::Between(day(1), day(7)));
        let long = "x".repeat(101);
        for (field, value) in [
            ("title", ""),
            ("title", long.as_str()),
            ("language", "fr"),
            ("account", "none of it"),
            ("days", "29"),
            ("lasts", "0"),
            ("lasts", "91"),
            ("lasts", "-1"),
            ("from", "2026-11-01"),
            ("to", "2026-12-01"),
        ] {
            let wanted = written(&[(field, value)]).wanted(today());
            // an id of nothing is found to be none when it is looked up
            assert_eq!(wanted.is_err(), field != "account", "{field} {value}");
        }
        let nobodys = Written { accounts: Vec::new(), ..written(&[]) };
        assert!(nobodys.wanted(today()).is_err());
    }
}
