//! Approving an author's post: exactly as it was looked at. Works without a script.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use jobs::machine::State as PublicationState;
use serde::Deserialize;

use super::{
    post,
    seat::{Publisher, Seat},
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::{
        approval::Approved,
        posts::{Post, Publication},
    },
    web::{
        App,
        problem::{self, Problem},
    },
};

/// What the button sends.
#[derive(Deserialize)]
pub struct Button {
    token: String,
    /// What was looked at.
    #[serde(default)]
    seen: String,
}

/// What a post's page says of its approval.
pub struct Notice {
    pub tone: &'static str,
    pub says: String,
    /// What approving says to have seen, where it waits.
    pub seen: Option<String>,
}

/// Takes the word. Pressed twice it is one.
pub async fn submit(
    State(app): State<Arc<App>>,
    seat: Seat<Publisher>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(form): Form<Button>,
) -> Result<Response, Problem> {
    seat.check(&form.token)?;
    let (t, id) = (&ENGLISH, problem::id(&id, "post")?);
    let about = (seat.member.workspace_id, id);
    let by = (seat.member.person_id, seat.who);
    let (status, notice) = match app.approve(about, by, form.seen).await? {
        Approved::Now { late: false, .. } | Approved::NotWaiting => {
            return Ok(Redirect::to(&format!("/posts/{id}")).into_response());
        }
        Approved::Now { late: true, .. } => (StatusCode::OK, t.approved_late),
        Approved::TooLate => (StatusCode::CONFLICT, t.approved_too_late),
        Approved::Changed => (StatusCode::CONFLICT, t.approve_changed),
        Approved::Missing => return Err(Problem::not_found("post")),
    };
    post::show(&app, &seat, &headers, id, status, Some(notice.to_owned())).await
}

fn still_open(it: &Publication) -> bool {
    !matches!(it.state, PublicationState::Published | PublicationState::Cancelled)
}

/// Where a post's approval stands, if it needs one.
pub fn notice(t: &Texts, post: &Post, may_approve: bool) -> Option<Notice> {
    let approval = post.approval.as_ref()?;
    let somebody = |name: &Option<String>| name.clone().unwrap_or_else(|| t.verdict_by_somebody.to_owned());
    // also of what failed: it is not tried again before somebody has approved what it says now
    if approval.waits && post.publications.iter().any(still_open) {
        let text = if may_approve { t.approve_wanted } else { t.approve_awaited };
        let says = fill(text, &[&somebody(&approval.asked_by)]);
        return Some(Notice { tone: "act", says, seen: Some(approval.digest.clone()) });
    }
    let at = approval.approved_at.filter(|_| !approval.waits)?;
    let at = fill(t.schedule_utc, &[&words::date_time(at.naive_utc())]);
    Some(Notice {
        tone: "good",
        says: fill(t.approved_by, &[&somebody(&approval.approved_by), &at]),
        seen: None,
    })
}
