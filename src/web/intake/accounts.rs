//! Connected accounts. No token ever leaves.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Uri},
    response::Response,
};
use uuid::Uuid;

use super::{
    answered, asked_nothing, id,
    jobs::{JobShape, answer, wished},
    lists,
    shapes::{AccountShape, Page},
};
use crate::{
    ledger::{
        Ledger, LedgerError,
        access::Breaks,
        accounts::Account,
        idempotency::Answer,
        jobs::{JobRow, Write},
    },
    web::{
        App,
        access::{AccountsRead, AccountsWrite, Caller},
        disconnect::{Wish, refused},
        problem::{Problem, ProblemDocument},
    },
};

/// The posts that are named of those which the end of a connection breaks.
const NAMED: i64 = 20;

/// The workspace's accounts, in the order in which they were connected, each with the end of its connection as far as it
/// is known, and what is scheduled beyond it.
#[utoipa::path(
    get,
    path = "/api/v1/accounts",
    tag = "accounts",
    security(("bearer" = ["accounts:read"])),
    params(
        ("limit" = Option<u32>, Query, description = "1 to 200, default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page<AccountShape>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller<AccountsRead>,
    uri: Uri,
) -> Result<Json<Page<AccountShape>>, Problem> {
    let mut query = lists::Query::read(&uri, &["limit", "cursor"]);
    let (limit, after) = (query.limit(), query.cursor());
    query.done()?;
    let accounts = caller.ledger.accounts(caller.workspace_id, after, limit + 1).await?;
    let (accounts, next_cursor) = lists::cut(accounts, limit, |account| account.id);
    let mut breaks = breaks(&app, &caller.ledger, &accounts, NAMED).await?;
    let now = app.house.clock.now();
    let shape = |account: &Account| {
        AccountShape::of(account, account.end(now), &breaks.remove(&account.id).unwrap_or_default())
    };
    Ok(Json(Page { data: accounts.iter().map(shape).collect(), next_cursor }))
}

/// What the end of each connection breaks.
pub async fn breaks(
    app: &App,
    ledger: &Ledger,
    accounts: &[Account],
    named: i64,
) -> Result<HashMap<Uuid, Breaks>, LedgerError> {
    let now = app.house.clock.now();
    let ends: Vec<_> = accounts
        .iter()
        .filter_map(|account| account.end(now).map(|end| (account.id, end.breaks_from())))
        .collect();
    if ends.is_empty() { Ok(HashMap::new()) } else { ledger.breaks(&ends, named).await }
}

/// What a disconnection is answered with.
pub fn disconnected(account: &Account) -> Answer {
    Answer::of(202, &AccountShape::of(account, None, &Breaks::default()))
}

/// The account of that id; of another workspace there is none, whatever else is wrong.
async fn known(caller: &Caller<AccountsWrite>, account: &str) -> Result<Uuid, Problem> {
    let id = id(account, "account")?;
    let found = caller.ledger.has_account(id, Some(caller.workspace_id)).await?;
    found.then_some(id).ok_or_else(|| Problem::not_found("account"))
}

/// Disconnects an account. It rests at once, and its scheduled posts wait; its access is taken back at its network by a job
/// and shredded here in the step that records it. Connected again, it goes on where it was. Who asks again gets the same.
#[utoipa::path(
    delete,
    path = "/api/v1/accounts/{id}",
    tag = "accounts",
    security(("bearer" = ["accounts:write"])),
    params(
        ("id" = String, Path, description = "The account"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    responses(
        (status = 202, description = "Committed; disconnected tells what became of its access", body = AccountShape),
        (status = 404, description = "No such account in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Not as it stands; detail says why", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn disconnect(
    State(app): State<Arc<App>>,
    caller: Caller<AccountsWrite>,
    headers: HeaderMap,
    Path(account): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let account_id = known(&caller, &account).await?;
    let route = format!("DELETE /api/v1/accounts/{account_id}");
    let asked = asked_nothing(&app, &headers, caller.workspace_id, &route, body).await?;
    let wish = Wish { workspace_id: caller.workspace_id, account_id, who: caller.who };
    let done = app.disconnect(wish, asked).await?;
    answered(done.map(|made| made.map(|done| disconnected(&done.account)).map_err(refused)))
}

/// Renews an account's access now instead of at its half life, or asks its network what is left of it where nothing is
/// kept to renew it with. An account whose owner was told to connect it again goes back to work if that succeeds.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{id}/refresh",
    tag = "accounts",
    security(("bearer" = ["accounts:write"])),
    params(
        ("id" = String, Path, description = "The account"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; repeats get the first answer"),
    ),
    responses(
        (status = 202, description = "Committed: the job that does it", body = JobShape),
        (status = 404, description = "No such account in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Not as it stands; detail says why", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn refresh(
    State(app): State<Arc<App>>,
    caller: Caller<AccountsWrite>,
    headers: HeaderMap,
    Path(account): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let id = known(&caller, &account).await?;
    let route = format!("POST /api/v1/accounts/{id}/refresh");
    let asked = asked_nothing(&app, &headers, caller.workspace_id, &route, body).await?;
    let (workspace_id, ledger) = (Some(caller.workspace_id), caller.ledger);
    let renewing = async move {
        let keyed = asked.as_ref().map(|asked| (asked, answer as fn(&JobRow) -> Answer));
        ledger.ask_renewal(&Write { workspace_id, id, keyed, dry: false }).await
    };
    wished(&app, "account", renewing).await
}
