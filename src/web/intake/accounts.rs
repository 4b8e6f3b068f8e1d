//! Connected accounts. No token ever leaves.

use std::sync::Arc;

use axum::{Json, extract::State, http::Uri};

use super::{
    lists,
    shapes::{AccountShape, Page},
};
use crate::web::{
    App,
    access::{AccountsRead, Caller},
    problem::Problem,
};

/// The workspace's accounts, in the order in which they were connected.
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
    let accounts = app.house.ledger.accounts(caller.workspace_id, after, limit + 1).await?;
    let (accounts, next_cursor) = lists::cut(accounts, limit, |account| account.id);
    Ok(Json(Page { data: accounts.iter().map(AccountShape::from).collect(), next_cursor }))
}
