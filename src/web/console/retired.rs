//! A session whose person may do something else now goes on under another id: what could do less, or more, is not the same
//! session. Requests that were on their way with the old id are answered for a moment, and with no more than it opened
//! before: who has planted or seen it gains nothing by that.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use tower_sessions::{Session, session::Id};
use uuid::Uuid;

use super::{
    cookie,
    session::{ROLE, away, cookie_name, is_retired, keep, kept_as},
};
use crate::{
    ledger::{Ledger, people::MemberRole},
    web::{App, problem::Problem},
};

/// What is on its way is answered by then.
const LASTS: Duration = Duration::from_secs(10);

/// What the person may do in this session: what their role says, unless it is another than when the session was last
/// looked at and this request came by the id of before.
///
/// # Errors
/// The ledger is away.
pub async fn know_role(
    session: &Session,
    ledger: &Ledger,
    workspace_id: Uuid,
    role: MemberRole,
) -> Result<MemberRole, Problem> {
    let kept: Option<(Uuid, String)> = session.get(ROLE).await.map_err(away)?;
    let before = kept.filter(|(workspace, _)| *workspace == workspace_id);
    let before = before.and_then(|(_, word)| MemberRole::parse(&word)).unwrap_or(role);
    if is_retired(session).await? {
        return Ok(lesser(before, role));
    }
    if before == role {
        session.insert(ROLE, (workspace_id, role.word())).await.map_err(away)?;
        return Ok(role);
    }
    let passed = pass_on(session, ledger, (workspace_id, role)).await?;
    Ok(if passed { role } else { lesser(before, role) })
}

/// Gives the session another id, unless another request has done that just now.
async fn pass_on(
    session: &Session,
    ledger: &Ledger,
    (workspace_id, role): (Uuid, MemberRole),
) -> Result<bool, Problem> {
    let Some(old) = session.id().as_ref().map(kept_as) else { return Ok(false) };
    if !ledger.retire_session(&old, LASTS).await? {
        return Ok(false);
    }
    session.cycle_id().await.map_err(away)?;
    session.insert(ROLE, (workspace_id, role.word())).await.map_err(away)?;
    // it has to be there before it can be named; where the answer is lost with its new id, its person signs in again
    keep(session).await?;
    if let Some(new) = session.id().as_ref().map(kept_as) {
        ledger.pass_session(&old, &new).await?;
    }
    Ok(true)
}

/// What both roles may do.
fn lesser(before: MemberRole, now: MemberRole) -> MemberRole {
    match (before.covers(now), now.covers(before)) {
        (true, _) => now,
        (false, true) => before,
        (false, false) => MemberRole::Viewer,
    }
}

/// Ends a session for good; where it is retired, the one that goes on, too.
///
/// # Errors
/// The ledger is away.
pub async fn end(session: &Session, ledger: &Ledger) -> Result<(), Problem> {
    if let Some(id) = session.id().as_ref().map(kept_as) {
        ledger.end_retired(&id).await?;
    }
    session.flush().await.map_err(away)
}

/// Sees to it that no answer to a request that came by an old id brings that id back to the browser: it would push out the
/// one that goes on.
pub async fn stay(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let name = cookie_name(app.console.secure);
    let came = cookie(request.headers(), name).map(str::to_owned);
    let mut response = next.run(request).await;
    let Some(came) = came else { return response };
    let again = format!("{name}={came}");
    let id = came.parse::<Id>().ok().filter(|_| sets(response.headers(), &again));
    let Some(id) = id else { return response };
    match app.house.ledger.is_retired(&kept_as(&id)).await {
        Ok(true) => leave_out(response.headers_mut(), &again),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "whether a session goes on under another id could not be seen"),
    }
    response
}

fn is(set: &HeaderValue, pair: &str) -> bool {
    set.to_str().is_ok_and(|set| set.split(';').next() == Some(pair))
}

fn sets(headers: &HeaderMap, pair: &str) -> bool {
    headers.get_all(header::SET_COOKIE).iter().any(|set| is(set, pair))
}

fn leave_out(headers: &mut HeaderMap, pair: &str) {
    let others: Vec<HeaderValue> =
        headers.get_all(header::SET_COOKIE).iter().filter(|set| !is(set, pair)).cloned().collect();
    headers.remove(header::SET_COOKIE);
    for set in others {
        headers.append(header::SET_COOKIE, set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_opens_no_more_than_before_and_no_more_than_now() {
        use MemberRole::{Admin, Author, Privacy, Viewer};
        for (before, now, held) in [
            (Viewer, Admin, Viewer),
            (Admin, Viewer, Viewer),
            (Admin, Privacy, Privacy),
            (Author, Privacy, Viewer),
            (Privacy, Author, Viewer),
        ] {
            assert_eq!(lesser(before, now), held, "{before:?} {now:?}");
        }
    }

    #[test]
    fn one_cookie_is_left_out_and_the_others_stay() {
        let mut headers = HeaderMap::new();
        for set in ["s=old; Path=/", "theme=dark", "s=other; Path=/"] {
            headers.append(header::SET_COOKIE, HeaderValue::from_static(set));
        }
        assert!(sets(&headers, "s=old") && !sets(&headers, "s=ol"));
        leave_out(&mut headers, "s=old");
        let left: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(left, ["theme=dark", "s=other; Path=/"]);
    }
}
