//! The latest analyses, and what the month has cost.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use jobs::analysis::{Kind, Outcome};

use super::{
    Shell, analyses, render,
    seat::{Seat, Viewer},
    texts::{ENGLISH, Texts},
    words,
};
use crate::{
    ledger::analyses::AnalysisLine,
    web::{App, problem::Problem},
};

/// As many are listed.
const LISTED: i64 = 100;

#[derive(Template)]
#[template(path = "analyses.html")]
struct Page {
    shell: Shell,
    month: Option<String>,
    lines: Vec<Line>,
}

struct Line {
    href: String,
    what: &'static str,
    about: String,
    state: &'static str,
    cost: String,
    at: String,
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let workspace = seat.member.workspace_id;
    let latest = seat.ledger.latest_analyses(workspace, LISTED).await?;
    render(&Page {
        month: analyses::cost_of_month(&app, workspace).await?,
        lines: latest.into_iter().map(|it| line(&ENGLISH, it)).collect(),
        shell: Shell::seated(&app, &headers, &seat, "posts", "/analyses"),
    })
}

fn line(t: &Texts, it: AnalysisLine) -> Line {
    Line {
        href: format!("/analyses/{}", it.id),
        what: what(t, it.kind),
        state: state(t, it.ended),
        cost: it.counted.to_string(),
        at: words::minute(it.created_at),
        about: it.brief,
    }
}

/// What an analysis of this kind is called.
pub fn what(t: &Texts, kind: Kind) -> &'static str {
    match kind {
        Kind::VideoReview => t.analysis_review,
        Kind::Results => t.analysis_results,
        Kind::Caption => t.analysis_captions,
    }
}

/// What came of it, in a few words.
fn state(t: &Texts, ended: Option<Outcome>) -> &'static str {
    match ended {
        None => t.analysis_waiting,
        Some(Outcome::Done) => t.analysis_done,
        Some(Outcome::Refused) => t.analysis_refused,
        Some(Outcome::Cut) => t.analysis_cut,
        Some(Outcome::Invalid) => t.analysis_invalid,
        Some(Outcome::OverBudget) => t.analysis_over_budget,
        Some(Outcome::Quota) => t.analysis_quota,
        Some(Outcome::Withheld) => t.analysis_withheld,
        Some(Outcome::Failed) => t.analysis_failed,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_end_has_words_of_its_own() {
        let ends = std::iter::once(None).chain(Outcome::ALL.iter().copied().map(Some));
        let words: HashSet<_> = ends.map(|ended| state(&ENGLISH, ended)).collect();
        assert_eq!(words.len(), Outcome::ALL.len() + 1);
    }
}
