//! Who belongs to the workspace: invited, given a role, and removed. Works without a script.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Choice, Shell, letters, render, render_as,
    seat::{Admin, Button, Seat},
    session, stranger,
    sure::Sure,
    texts::{ENGLISH, Texts, fill},
    words::{self, Chip},
};
use crate::{
    ledger::{
        LedgerError,
        invitations::{Invitation, NewInvitation},
        members::{Listed, Membership},
        people::MemberRole,
    },
    web::{
        App,
        problem::{self, Problem},
    },
};

/// Where the page is.
const HERE: &str = "/people";

#[derive(Template)]
#[template(path = "people.html")]
struct Page {
    shell: Shell,
    notice: Option<String>,
    done: Option<&'static str>,
    findings: Vec<&'static str>,
    members: Vec<Row>,
    pending: Vec<Pending>,
    written: Invited,
    roles: Vec<Choice>,
    about: Vec<(&'static str, &'static str)>,
    mail: bool,
}

/// A member.
struct Row {
    id: Uuid,
    name: String,
    email: String,
    own: bool,
    roles: Vec<Choice>,
    pick: String,
    remove: String,
}

/// Somebody who was invited.
struct Pending {
    id: Uuid,
    name: String,
    email: String,
    role: &'static str,
    until: String,
    by: Option<String>,
    chip: Chip,
    error: Option<String>,
    withdraw: String,
}

#[derive(Template)]
#[template(path = "remove_member.html")]
struct Removing {
    shell: Shell,
    sure: String,
    email: String,
}

/// The form that invites.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Invited {
    #[serde(default)]
    token: String,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    role: String,
}

/// What was done before this page.
#[derive(Deserialize)]
pub struct Done {
    #[serde(default)]
    done: String,
}

/// A form that gives a role.
#[derive(Deserialize)]
pub struct Given {
    token: String,
    #[serde(default)]
    role: String,
}

/// The page.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Query(query): Query<Done>,
) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let done = match query.done.as_str() {
        "invited" => Some(t.people_invited),
        "withdrawn" => Some(t.people_withdrawn),
        "changed" => Some(t.people_changed),
        "removed" => Some(t.people_removed),
        _ => None,
    };
    let page = view(&app, &seat, &headers, Invited::default()).await?;
    render(&Page { done, ..page })
}

/// Invites somebody by mail.
pub async fn invite(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Form(written): Form<Invited>,
) -> Result<Response, Problem> {
    seat.check(&written.token)?;
    let t = &ENGLISH;
    let again = |status, findings, notice| {
        let written = written.clone();
        again(&app, &seat, &headers, written, status, findings, notice)
    };
    if !app.house.mail {
        return again(StatusCode::CONFLICT, Vec::new(), Some(t.mail_off.to_owned())).await;
    }
    let (first, last) = (stranger::name(&written.first_name), stranger::name(&written.last_name));
    let (email, role) = (stranger::email(&written.email), MemberRole::parse(&written.role));
    let (Some(first_name), Some(last_name), Some(email), Some(role)) = (&first, &last, &email, role) else {
        let wrong = [
            first.is_none().then_some(t.people_wrong_first),
            last.is_none().then_some(t.people_wrong_last),
            email.is_none().then_some(t.people_wrong_email),
            role.is_none().then_some(t.people_wrong_role),
        ];
        return again(StatusCode::UNPROCESSABLE_ENTITY, wrong.into_iter().flatten().collect(), None).await;
    };
    let (link, member) = (session::fresh_token()?, &seat.member);
    let new = NewInvitation {
        workspace_id: member.workspace_id,
        email,
        first_name,
        last_name,
        role,
        digest: stranger::digest(&link),
        invited_by: member.person_id,
        lasts: letters::INVITATION_LASTS,
    };
    let who = format!("{} {}", member.first_name, member.last_name);
    let about = (who.as_str(), member.workspace_name.as_str(), words::role(t, role));
    let letter = letters::invitation(&app.house, email, about, &link);
    let invited = match seat.ledger.invite(&new, &letter).await {
        // the same form a moment ago
        Err(LedgerError::Refused { constraint }) if constraint == "invitation_email_key" => true,
        other => other?,
    };
    if !invited {
        return again(StatusCode::CONFLICT, Vec::new(), Some(fill(t.people_member, &[email]))).await;
    }
    Ok(Redirect::to("/people?done=invited").into_response())
}

/// The form as it was written, with what needs mending.
async fn again(
    app: &App,
    seat: &Seat<Admin>,
    headers: &HeaderMap,
    written: Invited,
    status: StatusCode,
    findings: Vec<&'static str>,
    notice: Option<String>,
) -> Result<Response, Problem> {
    let page = view(app, seat, headers, written).await?;
    render_as(status, &Page { notice, findings, ..page })
}

/// Takes an invitation back.
pub async fn withdraw(
    seat: Seat<Admin>,
    Path(id): Path<String>,
    Form(form): Form<Button>,
) -> Result<Redirect, Problem> {
    seat.check(&form.token)?;
    let id = problem::id(&id, "invitation")?;
    if !seat.ledger.withdraw_invitation(seat.member.workspace_id, id).await? {
        return Err(Problem::not_found("invitation"));
    }
    Ok(Redirect::to("/people?done=withdrawn"))
}

/// Gives a member another role.
pub async fn change_role(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(form): Form<Given>,
) -> Result<Response, Problem> {
    seat.check(&form.token)?;
    let id = problem::id(&id, "member")?;
    let role = MemberRole::parse(&form.role).ok_or_else(|| Problem::malformed(ENGLISH.people_wrong_role))?;
    let came = seat.ledger.change_role(seat.member.workspace_id, id, role).await?;
    told(&app, &seat, &headers, came, "/people?done=changed").await
}

/// The page that asks once more.
pub async fn sure(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let members = seat.ledger.members(seat.member.workspace_id).await?;
    let member = members.into_iter().find(|member| member.person_id.to_string() == id);
    let member = member.ok_or_else(|| Problem::not_found("member"))?;
    let shell = Shell::seated(&app, &headers, &seat, "people", &format!("{HERE}/{id}/remove"));
    let sure = fill(ENGLISH.people_remove_sure, &[&member.name, &seat.member.workspace_name]);
    render(&Removing { shell, sure, email: member.email })
}

/// Takes a member out of the workspace.
pub async fn remove(
    State(app): State<Arc<App>>,
    seat: Seat<Admin>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Sure(form): Sure<Button>,
) -> Result<Response, Problem> {
    seat.check(&form.token)?;
    let id = problem::id(&id, "member")?;
    let came = seat.ledger.remove_member(seat.member.workspace_id, id).await?;
    told(&app, &seat, &headers, came, "/people?done=removed").await
}

async fn told(
    app: &App,
    seat: &Seat<Admin>,
    headers: &HeaderMap,
    came: Membership,
    onward: &str,
) -> Result<Response, Problem> {
    match came {
        Membership::Changed => Ok(Redirect::to(onward).into_response()),
        Membership::Missing => Err(Problem::not_found("member")),
        Membership::LastAdmin => {
            let page = view(app, seat, headers, Invited::default()).await?;
            let notice = Some(ENGLISH.people_last_admin.to_owned());
            render_as(StatusCode::CONFLICT, &Page { notice, ..page })
        }
    }
}

async fn view(app: &App, seat: &Seat<Admin>, headers: &HeaderMap, written: Invited) -> Result<Page, Problem> {
    let (t, workspace, ledger) = (&ENGLISH, seat.member.workspace_id, &seat.ledger);
    let (members, invitations) = tokio::try_join!(ledger.members(workspace), ledger.invitations(workspace))?;
    let now = app.house.clock.now();
    let chosen = MemberRole::parse(&written.role).unwrap_or(MemberRole::Author);
    Ok(Page {
        shell: Shell::seated(app, headers, seat, "people", HERE),
        notice: None,
        done: None,
        findings: Vec::new(),
        members: members.into_iter().map(|member| row(t, member, seat.member.person_id)).collect(),
        pending: invitations.into_iter().map(|it| pending(t, it, now)).collect(),
        written,
        roles: roles(t, chosen),
        about: MemberRole::ALL
            .iter()
            .map(|role| (words::role(t, *role), words::role_may(t, *role)))
            .collect(),
        mail: app.house.mail,
    })
}

fn roles(t: &Texts, chosen: MemberRole) -> Vec<Choice> {
    let choice = |role: &MemberRole| Choice {
        value: role.word().to_owned(),
        label: words::role(t, *role).to_owned(),
        chosen: *role == chosen,
    };
    MemberRole::ALL.iter().map(choice).collect()
}

fn row(t: &Texts, member: Listed, own: Uuid) -> Row {
    Row {
        roles: roles(t, member.role),
        own: member.person_id == own,
        pick: fill(t.people_role_of, &[&member.name]),
        remove: fill(t.people_remove_of, &[&member.name]),
        id: member.person_id,
        name: member.name,
        email: member.email,
    }
}

fn pending(t: &Texts, it: Invitation, now: DateTime<Utc>) -> Pending {
    let (label, tone, icon) = match (it.holds, it.sent_at, it.mail_waits) {
        (false, ..) => (t.people_ended, "calm", "minus"),
        (true, Some(_), _) => (t.people_pending, "watch", "mail"),
        (true, None, true) => (t.people_mail_waits, "busy", "dots"),
        (true, None, false) => (t.people_mail_failed, "bad", "cross"),
    };
    Pending {
        id: it.id,
        role: words::role(t, it.role),
        until: words::relative(t, it.expires_at, now),
        by: it.invited_by,
        chip: Chip { word: "invited", label, tone, icon },
        error: it.mail_error.filter(|_| it.holds && it.sent_at.is_none()),
        withdraw: fill(t.people_withdraw_of, &[&it.email]),
        name: format!("{} {}", it.first_name, it.last_name),
        email: it.email,
    }
}
