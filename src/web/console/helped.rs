//! The latest analyses, and what the month has cost.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use jobs::analysis::Kind;

use super::{
    Shell, analyses, render,
    seat::{Seat, Viewer},
    texts::{ENGLISH, Texts},
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
        what: what(t, &it.kind),
        state: state(t, &it.state),
        cost: it.counted.to_string(),
        at: it.created_at.format("%-d %b %Y, %H:%M UTC").to_string(),
        about: it.brief,
    }
}

/// What an analysis of this kind is called.
pub fn what(t: &Texts, kind: &str) -> &'static str {
    match Kind::parse(kind) {
        Some(Kind::VideoReview) => t.analysis_review,
        Some(Kind::Results) => t.analysis_results,
        Some(Kind::Caption) | None => t.analysis_captions,
    }
}

/// What came of it, in a few words.
fn state(t: &Texts, word: &str) -> &'static str {
    match word {
        "waiting" => t.analysis_waiting,
        "done" => t.analysis_done,
        "refused" => t.analysis_refused,
        "cut" => t.analysis_cut,
        "invalid" => t.analysis_invalid,
        "over_budget" => t.analysis_over_budget,
        "quota" => t.analysis_quota,
        "withheld" => t.analysis_withheld,
        _ => t.analysis_failed,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use jobs::analysis::Outcome;

    use super::*;

    #[test]
    fn every_end_has_words_of_its_own() {
        let words: HashSet<_> = Outcome::ALL.iter().map(|outcome| state(&ENGLISH, outcome.word())).collect();
        assert_eq!(words.len(), Outcome::ALL.len());
    }
}
