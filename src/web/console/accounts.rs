//! The connected accounts, to look at: which of them work, and until when.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    connections::{Dialog, Farewell},
    forecast::{Because, End},
    metrics::ads,
};

use super::{
    Shell, render,
    seat::{Seat, Viewer},
    texts::{ENGLISH, Texts, fill},
    words::{self, Chip},
};
use crate::{
    ledger::{
        access::{Breaks, Broken},
        accounts::{Account, AccountState, By, Parted},
        people::MemberRole,
    },
    web::{App, intake, problem::Problem},
};

/// The posts that are named of those which the end of a connection breaks.
const NAMED: i64 = 3;
/// An end that is farther away than this is not pressing, unless it breaks something.
const SOON: TimeDelta = TimeDelta::days(14);

#[derive(Template)]
#[template(path = "accounts.html")]
struct Page {
    shell: Shell,
    rows: Vec<Row>,
    /// Where accounts are connected, for whoever may.
    connects: Vec<Link>,
}

struct Row {
    name: String,
    network: String,
    external_id: String,
    /// What its network has counted.
    numbers: String,
    chip: Chip,
    reason: Option<String>,
    since: String,
    connected_by: Option<String>,
    ends: Option<String>,
    renewed: bool,
    default: Option<String>,
    /// How its connection ends, and what that breaks.
    end: Option<String>,
    breaks: Option<String>,
    broken: Vec<Link>,
    /// That it was disconnected, and by whom.
    parted: Option<String>,
    again: Option<String>,
    disconnect: Option<String>,
}

/// A post that does not go out.
struct Link {
    href: String,
    text: String,
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let now = app.house.clock.now();
    let accounts = seat.ledger.shown_accounts(seat.member.workspace_id).await?;
    let mut breaks = intake::accounts::breaks(&app, &seat.ledger, &accounts, NAMED).await?;
    let row = |account: Account| {
        let breaks = breaks.remove(&account.id).unwrap_or_default();
        row(&app, account, &breaks, now, seat.may(MemberRole::Admin))
    };
    let rows = accounts.into_iter().map(row).collect();
    let connects = if seat.may(MemberRole::Admin) { connects(&app) } else { Vec::new() };
    render(&Page { shell: Shell::seated(&app, &headers, &seat, "accounts", "/accounts"), rows, connects })
}

/// The dialogs there are, each by what it connects.
fn connects(app: &App) -> Vec<Link> {
    let link = |dialog: &Dialog| {
        let all = std::iter::once(&dialog.platform).chain(dialog.also);
        let names: Vec<_> = all.map(|platform| words::network(app, platform)).collect();
        Link {
            href: format!("/connect/{}", dialog.platform),
            text: fill(ENGLISH.accounts_connect, &[&names.join(" + ")]),
        }
    };
    app.house.dialogs.iter().map(link).collect()
}

/// That it was disconnected, when, by whom, and what became of its access.
fn parted(t: &Texts, it: &Parted) -> String {
    let by = match &it.by {
        By::Staff(Some(name)) => name.as_str(),
        By::Staff(None) => t.verdict_by_somebody,
        By::Key => t.verdict_by_key,
        By::Network => t.account_parted_owner,
    };
    let access = match it.access {
        None => t.account_parted_asked,
        Some(Farewell::Revoked) => t.account_parted_revoked,
        Some(Farewell::Kept) => t.account_parted_kept,
        Some(Farewell::Told) => t.account_parted_told,
        Some(Farewell::Unproved) => t.account_parted_unproved,
    };
    format!("{} {access}", fill(t.account_parted, &[&words::minute(it.at), by]))
}

fn row(app: &App, account: Account, breaks: &Breaks, now: DateTime<Utc>, may: bool) -> Row {
    let t = &ENGLISH;
    let broken = account.state == AccountState::Reconnect;
    let whole =
        !matches!(account.state, AccountState::Frozen | AccountState::Erased) && account.parted.is_none();
    let end = account
        .end(now)
        .filter(|_| account.parted.is_none())
        .filter(|end| end.at <= now + SOON || breaks.total > 0);
    let (count, numbers) = (breaks.count(), numbers(&account));
    Row {
        network: words::network(app, &account.platform).to_owned(),
        chip: words::account_chip(t, account.state),
        since: words::day(account.created_at),
        connected_by: account.connected_by.map(|name| fill(t.account_connected_by, &[&name])),
        ends: account.token_expires_at.filter(|_| !account.renewable).map(|at| words::relative(t, at, now)),
        renewed: account.renewable,
        default: account.defaults["privacy_level"].as_str().map(|level| fill(t.privacy_default, &[level])),
        end: end.map(|end| ending(t, end, &account.missing_scopes, now)),
        breaks: (count > 0).then(|| Texts::count(count, t.account_breaks_one, t.account_breaks_many)),
        broken: breaks.first.iter().map(Link::of).collect(),
        parted: account.parted.as_ref().map(|it| parted(t, it)),
        again: (may && broken && app.dialog(&account.platform).is_some())
            .then(|| format!("/connect/{}", account.platform)),
        disconnect: (may && whole).then(|| format!("/accounts/{}/disconnect", account.id)),
        numbers,
        name: account.name,
        external_id: account.external_id,
        reason: account.state_reason.filter(|_| account.parted.is_none()),
    }
}

/// Where its numbers are told. What ads came to is told otherwise.
fn numbers(account: &Account) -> String {
    let page = if account.platform == ads::PLATFORM { "ads" } else { "metrics" };
    format!("/accounts/{}/{page}", account.id)
}

fn ending(t: &Texts, end: End, missing: &[String], now: DateTime<Utc>) -> String {
    let when = words::relative(t, end.at, now);
    match end.because {
        Because::Reconnect => t.account_ended_reconnect.to_owned(),
        Because::Scopes => fill(t.account_ended_scopes, &[&missing.join(", ")]),
        Because::Token => fill(t.account_ends_token, &[&when]),
        Because::Renewal => fill(t.account_ends_renewal, &[&when]),
        Because::DataAccess => fill(t.account_ends_data, &[&words::minute(end.at)]),
    }
}

impl Link {
    fn of(broken: &Broken) -> Self {
        Self { href: format!("/posts/{}", broken.post_id), text: words::minute(broken.scheduled_for) }
    }
}
