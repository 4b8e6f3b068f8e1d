//! Connecting accounts: out to a network's dialog, back from it, and a page on which somebody chooses. A worker does what
//! takes a secret; the page waits for it by asking again, without a script.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use jobs::{
    connections::{Missing, Offer, Stage},
    contract::{Class, Failure},
    preflight::Who,
};
use serde::Deserialize;
use tower_sessions::Session;

use super::{
    Shell, render,
    seat::{Admin, Seat},
    session,
    texts::{ENGLISH, Texts, fill},
    words,
};
use crate::{
    ledger::connections::{Connection, NewConnection, Returned},
    web::{
        App, connect,
        problem::{self, Problem},
    },
};

/// The longest code, and the longest state, that a dialog may bring.
const MOST_BROUGHT: usize = 4_096;

#[derive(Template)]
#[template(path = "connect.html")]
struct Page {
    shell: Shell,
    title: &'static str,
    lead: String,
    /// The page asks again by itself.
    waits: bool,
    /// Somebody may choose.
    choosing: bool,
    rows: Vec<Row>,
    /// Where it is begun anew.
    again: Option<String>,
}

struct Row {
    key: String,
    id: String,
    name: String,
    network: &'static str,
    about: Vec<String>,
    /// It can be connected.
    ready: bool,
    /// What became of it.
    done: Option<&'static str>,
    missing: Vec<Lack>,
}

/// What is missing, and who can mend it.
struct Lack {
    what: String,
    who: &'static str,
}

/// What a dialog brings back.
#[derive(Deserialize)]
pub struct Brought {
    #[serde(default)]
    state: String,
    code: Option<String>,
    error: Option<String>,
}

fn session_id(session: &Session) -> Result<String, Problem> {
    session.id().map(|id| id.to_string()).ok_or_else(Problem::internal)
}

/// Opens the dialog.
pub async fn begin(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    session: Session,
    Path(platform): Path<String>,
) -> Result<Response, Problem> {
    let dialog = app.dialog(&platform).ok_or_else(|| Problem::not_found("network"))?;
    let state = session::fresh_token()?;
    let redirect_uri = app.redirect_uri(dialog);
    let new = NewConnection {
        workspace_id: seat.member.workspace_id,
        person_id: seat.member.person_id,
        platform: dialog.platform,
        state: &state,
        session: &session_id(&session)?,
        redirect_uri: &redirect_uri,
    };
    seat.ledger.begin_connection(&new).await?;
    let address = connect::address(dialog, &redirect_uri, &state)?;
    Ok(Redirect::to(address.as_str()).into_response())
}

/// Takes what the dialog brings back, once, and goes on to a page whose address tells nothing of it.
pub async fn back(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    session: Session,
    Path(platform): Path<String>,
    Query(brought): Query<Brought>,
) -> Result<Response, Problem> {
    let dialog = app.dialog(&platform).ok_or_else(|| Problem::not_found("network"))?;
    let fits = |text: &str| (1..=MOST_BROUGHT).contains(&text.len()) && !text.contains(char::is_control);
    let denied = brought.error.as_deref().map(denied);
    let said = match (&denied, brought.code.as_deref().filter(|code| fits(code))) {
        (Some(failure), _) => Err(failure),
        (None, Some(code)) => Ok(code),
        (None, None) => return Err(Problem::malformed(ENGLISH.connect_nothing_brought)),
    };
    if !fits(&brought.state) {
        return Err(Problem::malformed(ENGLISH.connect_nothing_brought));
    }
    let returned = Returned {
        workspace_id: seat.member.workspace_id,
        person_id: seat.member.person_id,
        platform: dialog.platform,
        state: &brought.state,
        session: &session_id(&session)?,
        said,
    };
    let taken = seat.ledger.return_connection(&returned, &app.house.sealer).await?;
    let (id, due) = taken.ok_or_else(|| Problem::conflict(ENGLISH.connect_not_yours))?;
    (app.house.nudge)(due.into_iter().collect());
    Ok(Redirect::to(&format!("/accounts/connect/{id}")).into_response())
}

/// Why a dialog brought no code. What it says is the network's, so only its word is kept.
fn denied(error: &str) -> Failure {
    let code = if error == "access_denied" { "denied" } else { "dialog" };
    let word: String = error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(60).collect();
    Failure::new(Class::Permanent, code, word)
}

/// How far it is, and what there is to choose from.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let it = known(&seat, &id).await?;
    render(&view(&app, &seat, &headers, &it, None))
}

async fn known(seat: &Seat<Admin>, id: &str) -> Result<Connection, Problem> {
    let (workspace, person) = (seat.member.workspace_id, seat.member.person_id);
    let it = seat.ledger.connection(workspace, person, problem::id(id, "connection")?).await?;
    it.ok_or_else(|| Problem::not_found("connection"))
}

/// Connects what was chosen. Pressed twice it is one choice.
pub async fn choose(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let token = fields.iter().find(|(name, _)| name == "token").map_or("", |(_, value)| value);
    seat.check(token)?;
    let it = known(&seat, &id).await?;
    let wanted = |key: &String| fields.iter().any(|(name, value)| name == "account" && value == key);
    let ready = it.offers.iter().filter(|offer| offer.missing.is_empty()).map(Offer::key);
    let keys: Vec<String> = ready.filter(wanted).collect();
    if keys.is_empty() && it.stage == Stage::Offered {
        let none = Some(ENGLISH.connect_none_chosen);
        return render(&view(&app, &seat, &headers, &it, none));
    }
    let (workspace, person) = (seat.member.workspace_id, seat.member.person_id);
    let due = seat.ledger.choose(workspace, person, it.id, &keys).await?;
    (app.house.nudge)(due.into_iter().collect());
    Ok(Redirect::to(&format!("/accounts/connect/{}", it.id)).into_response())
}

fn view(app: &App, seat: &Seat<Admin>, headers: &HeaderMap, it: &Connection, notice: Option<&str>) -> Page {
    let t = &ENGLISH;
    let network = words::network(app, &it.platform);
    let anew = it.stage == Stage::Refused || (it.stage == Stage::Offered && lacks(it));
    let (title, lead, waits) = match it.stage {
        Stage::Asked => (t.connect_open_title, fill(t.connect_open, &[network]), true),
        Stage::Coded | Stage::Granted => (t.connect_waits_title, fill(t.connect_reads, &[network]), true),
        Stage::Chosen => (t.connect_waits_title, t.connect_takes.to_owned(), true),
        Stage::Offered if it.offers.is_empty() => (t.connect_title, fill(t.connect_empty, &[network]), false),
        Stage::Offered => (t.connect_title, t.connect_lead.to_owned(), false),
        Stage::Done => (t.connect_done_title, t.connect_done.to_owned(), false),
        Stage::Refused => (t.connect_refused_title, refused(t, it.why.as_ref(), network), false),
    };
    let shown = matches!(it.stage, Stage::Offered | Stage::Done);
    let rows = it.offers.iter().filter(|_| shown).map(|offer| row(app, it, offer)).collect::<Vec<_>>();
    Page {
        shell: Shell::seated(app, headers, seat, "accounts", &format!("/accounts/connect/{}", it.id)),
        title,
        lead: notice.map_or(lead, str::to_owned),
        waits,
        choosing: it.stage == Stage::Offered && rows.iter().any(|row| row.ready),
        again: anew.then(|| format!("/connect/{}", it.platform)),
        rows,
    }
}

/// Whether something is missing that another round through the dialog may bring.
fn lacks(it: &Connection) -> bool {
    it.offers.is_empty() || it.offers.iter().any(|offer| !offer.missing.is_empty())
}

fn row(app: &App, it: &Connection, offer: &Offer) -> Row {
    let t = &ENGLISH;
    let title = app.rules.platforms.iter().find(|known| known.name == offer.platform);
    let behind = offer.page.as_ref().map(|page| fill(t.connect_behind, &[page]));
    let alone = offer.alone.then(|| t.connect_alone.to_owned());
    let known = offer.known.then(|| t.connect_known.to_owned());
    let read_only = title.filter(|it| it.surfaces.is_empty()).map(|_| t.connect_read_only.to_owned());
    let wanted = it.chosen.contains(&offer.key());
    let done = match (it.stage, wanted, offer.missing.is_empty()) {
        (Stage::Done, true, true) => Some(t.connect_now),
        (Stage::Done, true, false) => Some(t.connect_not),
        (_, _, _) => None,
    };
    Row {
        id: format!("offer-{}-{}", offer.platform, offer.external_id),
        key: offer.key(),
        name: offer.name.clone(),
        network: title.map_or("", |it| it.title),
        about: [behind, alone, known, read_only].into_iter().flatten().collect(),
        ready: it.stage == Stage::Offered && offer.missing.is_empty(),
        done,
        missing: offer.missing.iter().map(|missing| lack(t, missing)).collect(),
    }
}

fn lack(t: &Texts, missing: &Missing) -> Lack {
    let what = match missing {
        Missing::Scope { scope } => fill(t.missing_scope, &[scope]),
        Missing::NotChosen { scope } => fill(t.missing_not_chosen, &[scope]),
        Missing::Task => t.missing_task.to_owned(),
        Missing::NoToken => t.missing_token.to_owned(),
        Missing::Elsewhere => t.missing_elsewhere.to_owned(),
        Missing::Limit => t.missing_limit.to_owned(),
    };
    let who = match (missing, missing.who()) {
        (Missing::Task | Missing::NoToken, _) => t.mends_page,
        (_, Who::Owner | Who::Author | Who::Postroom) => t.mends_you,
        (_, Who::Staff) => t.mends_staff,
        (_, Who::Operator) => t.mends_operator,
    };
    Lack { what, who }
}

/// Why it came to nothing, and what to do.
fn refused(t: &Texts, why: Option<&Failure>, network: &str) -> String {
    let Some(why) = why else { return t.connect_failed.to_owned() };
    match why.code.as_str() {
        "denied" => fill(t.connect_denied, &[network]),
        "dialog" => fill(t.connect_dialog_failed, &[network, &why.message]),
        "too_late" => t.connect_too_late.to_owned(),
        "deleting" => t.connect_deleting.to_owned(),
        "disconnected" => t.connect_disconnected.to_owned(),
        "given_up" => fill(t.connect_given_up, &[network]),
        "other_app" => fill(t.connect_other_app, &[network]),
        "no_list" => t.connect_no_list.to_owned(),
        "invalid_grant" | "100" | "100/36007" | "100/36008" | "100/36009" => {
            fill(t.connect_code_spent, &[network])
        }
        _ if why.operator => fill(t.connect_operator, &[network, &why.message]),
        _ => fill(t.connect_refused, &[network, &why.message]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dialog_says_is_kept_as_a_word() {
        assert_eq!(denied("access_denied").code, "denied");
        let strange = denied("<script>server_error</script>\u{7}");
        assert_eq!((strange.code.as_str(), strange.message.as_str()), ("dialog", "scriptserver_errorscript"));
    }
}
