//! Asking for results in words, from the pages of numbers.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use jobs::analysis::Language;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Choice, analyses, ask,
    seat::{Author, Seat, Viewer},
};
use crate::{
    ledger::{analyses::Of, people::MemberRole},
    web::{
        App,
        analysis::month,
        problem::{self, Problem},
    },
};

/// The months that are offered.
const OFFERED: u32 = 6;

/// What can be chosen.
pub struct InWords {
    /// Makes a double click harmless.
    pub key: String,
    /// The languages.
    pub languages: Vec<Choice>,
    /// The months; empty for a post.
    pub months: Vec<Choice>,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct Asked {
    token: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    language: String,
    #[serde(default)]
    month: String,
}

/// Whether it is offered to this reader, and what to choose from: with a moment, months before it.
///
/// # Errors
/// The ledger is away.
pub async fn offer(
    app: &App,
    seat: &Seat<Viewer>,
    now: Option<DateTime<Utc>>,
) -> Result<Option<InWords>, Problem> {
    let policy = analyses::policy(app, seat.member.workspace_id).await?;
    if !policy.is_some_and(|policy| policy.numbers) || !seat.may(MemberRole::Author) {
        return Ok(None);
    }
    let months = now.map(|now| months(now.date_naive())).unwrap_or_default();
    let languages = analyses::languages(Language::English.word());
    Ok(Some(InWords { key: Uuid::now_v7().to_string(), languages, months }))
}

/// This month and those before it; the last whole one is chosen.
fn months(today: NaiveDate) -> Vec<Choice> {
    let first = today.with_day(1).unwrap_or(today);
    let month = |back: u32| {
        let month = first.checked_sub_months(Months::new(back))?;
        Some(Choice {
            value: month.format("%Y-%m").to_string(),
            label: month.format("%B %Y").to_string(),
            chosen: back == 1,
        })
    };
    (0..OFFERED).filter_map(month).collect()
}

/// Of a post, so far.
pub async fn of_post(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    Path(id): Path<String>,
    Form(asked): Form<Asked>,
) -> Result<Response, Problem> {
    let id = problem::id(&id, "post")?;
    begin(&app, &seat, &asked, Of::Post(id), "post").await
}

/// Of an account, in a month.
pub async fn of_account(
    State(app): State<Arc<App>>,
    seat: Seat<Author>,
    Path(id): Path<String>,
    Form(asked): Form<Asked>,
) -> Result<Response, Problem> {
    let id = problem::id(&id, "account")?;
    let first = month(&asked.month).ok_or_else(|| Problem::not_found("month"))?;
    begin(&app, &seat, &asked, Of::Month(id, first), "account").await
}

async fn begin(
    app: &Arc<App>,
    seat: &Seat<Author>,
    asked: &Asked,
    of: Of,
    what: &'static str,
) -> Result<Response, Problem> {
    seat.check(&asked.token)?;
    let workspace = seat.member.workspace_id;
    let known = match of {
        Of::Post(id) => seat.ledger.counted_of_post(workspace, id).await?.is_some(),
        Of::Month(id, _) => seat.ledger.counted_of_account(workspace, id).await?.is_some(),
    };
    if !known {
        return Err(Problem::not_found(what));
    }
    let language = Language::parse(&asked.language).unwrap_or(Language::English);
    match ask::of_results(app, seat, &asked.key, of, language).await? {
        Ok(address) => Ok(Redirect::to(&address).into_response()),
        Err(why) => Err(Problem::conflict(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_month_is_chosen_among_six() {
        let all = months(NaiveDate::from_ymd_opt(2026, 3, 31).expect("a day"));
        let values: Vec<_> = all.iter().map(|it| it.value.as_str()).collect();
        assert_eq!(values, ["2026-03", "2026-02", "2026-01", "2025-12", "2025-11", "2025-10"]);
        assert_eq!(all.iter().position(|it| it.chosen), Some(1));
    }
}
