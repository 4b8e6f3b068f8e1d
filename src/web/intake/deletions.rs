//! Requests for deletion: Meta's callback, those of the staff, and what verifies receipts.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{consents, exports, id, shapes::instant};
use crate::{
    ledger::{
        deletions::{Origin, Shown},
        signing,
    },
    web::{
        App,
        access::{Caller, PrivacyWrite},
        body, console,
        deletion::{self, Code, Wanted, Way},
        problem::{Problem, ProblemDocument},
        rights::{self, Correction, Request},
    },
};

/// The most of a callback's body: a signed request has a few hundred bytes.
const CALLBACK_MOST: usize = 4096;

/// What Meta is answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct Confirmation {
    /// Where the person sees the state of the request.
    url: String,
    /// What it is looked up by.
    confirmation_code: String,
}

/// A request as the staff sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestShape {
    /// Its id.
    id: String,
    /// `deletion`.
    kind: &'static str,
    /// `meta`, `page`, `mail`, `staff` or `account`.
    origin: &'static str,
    /// `draining`, `revoking`, `shredding`, `purging`, `verifying`, `telling`, `forgetting` or `done`.
    state: &'static str,
    /// When it came, and all that it covers was frozen.
    received_at: String,
    /// When the tokens were destroyed.
    tokens_gone_at: Option<String>,
    /// When it was verified that nothing is left.
    verified_at: Option<String>,
    /// When it was over.
    done_at: Option<String>,
    /// How many connections it covers.
    accounts: i64,
    /// Where the person sees its state; only in the answer to the request itself, for the code is kept nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl RequestShape {
    fn of(it: &Shown, url: Option<String>) -> Self {
        Self {
            id: it.id.to_string(),
            kind: "deletion",
            origin: it.origin.word(),
            state: it.stage.word(),
            received_at: instant(it.received_at),
            tokens_gone_at: it.shredded_at.map(instant),
            verified_at: it.verified_at.map(instant),
            done_at: it.done_at.map(instant),
            accounts: it.accounts,
            url,
        }
    }
}

/// Takes in a person's wish that Meta passes on. The same wish that comes again gets the same code, and a person that
/// nothing is known of gets one too.
#[utoipa::path(
    post,
    path = "/api/delete-data",
    tag = "privacy",
    request_body(content_type = "application/x-www-form-urlencoded", description = "signed_request, as Meta documents it", content = String),
    responses(
        (status = 200, description = "Committed: everything is frozen, and will be deleted", body = Confirmation),
        (status = 403, description = "Not signed by the app's secret: nothing is changed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is away; nothing is changed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn delete_data(State(app): State<Arc<App>>, body: Body) -> Result<Json<Confirmation>, Problem> {
    // P-D6
    let bytes = body::bytes(body, CALLBACK_MOST).await?;
    let (secret, signed) = app.signed_by_meta(&bytes)?;
    let (digest, code) = deletion::of_meta(secret, &signed);
    let way = Way {
        origin: Origin::Meta,
        code: code.clone(),
        asked_digest: Some(digest),
        signed: (signed.issued_at, signed.expires),
        language: "en",
    };
    deletion::accept(&app, way, Wanted { meta_user_id: Some(signed.user_id), ..Wanted::default() }).await?;
    Ok(Json(Confirmation { url: code.address(&app), confirmation_code: code.as_str().to_owned() }))
}

/// Asks for what people may ask about their data, within the workspace. A *deletion* is of everything that is known of
/// somebody: by address, by accounts or by Meta's id of the person, and all of these together. A *correction* is of somebody
/// on the staff of this workspace alone: the name is right at once, the address once they have followed a link that is sent to
/// the new one. An *export* is a copy of what a deletion would cover, or of all that is the workspace's: by a link that is good
/// once, for seven days, and goes to the address where one is given. A *withdrawal* ends the workspace's consent to a purpose.
#[utoipa::path(
    post,
    path = "/api/v1/privacy/requests",
    tag = "privacy",
    security(("bearer" = ["privacy:write"])),
    request_body(content = Value, description = "{kind: \"deletion\", email?, account_ids?, meta_user_id?, reason?}, {kind: \"export\", email?, account_ids?, meta_user_id?, workspace?}, {kind: \"correction\", email, first_name?, last_name?, new_email?} or {kind: \"withdrawal\", purpose}"),
    responses(
        (status = 202, description = "Committed: everything is frozen, and will be deleted", body = RequestShape),
        (status = 422, description = "Not to be taken as it is", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller<PrivacyWrite>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let bytes = body::json_bytes(&headers, body, app.house.web.body_limit).await?;
    match rights::request(&body::json(&bytes)?).map_err(Problem::invalid)? {
        Request::Deletion(wanted) => ask(&app, &caller, wanted).await,
        Request::Export(wanted) => exports::ask(&app, &caller, wanted).await,
        Request::Correction(wanted) => correct(&app, &caller, wanted).await,
        Request::Withdrawal(purpose) => {
            let now = consents::change(&caller, purpose, false).await?;
            Ok((StatusCode::ACCEPTED, Json(now)).into_response())
        }
    }
}

/// The name at once; the address once it is proved. Whether that is somebody's already is not told.
async fn correct(app: &App, caller: &Caller<PrivacyWrite>, wanted: Correction) -> Result<Response, Problem> {
    // P-D2; whoever belongs to others too is looked for in all of them
    let ledger = app.house.ledger.of(caller.who);
    let person = ledger.own_person(caller.workspace_id, &wanted.email).await?;
    let person = person.ok_or_else(|| Problem::not_found("member who is of this workspace alone"))?;
    if wanted.new_email.is_some() && !app.house.mail {
        return Err(Problem::conflict("No mail is sent from here, so no address can be proved."));
    }
    if let Some((first, last)) = &wanted.name {
        ledger.rename(person, first, last).await?;
    }
    let state = match &wanted.new_email {
        Some(email) => {
            let link = deletion::fresh_link();
            let letter = console::email_link(&app.house, email, &link);
            let digest = console::link_digest(&link);
            ledger.ask_email_change(person, &digest, console::EMAIL_LINK_LASTS, &letter).await?;
            "confirming"
        }
        None => "done",
    };
    Ok((StatusCode::ACCEPTED, Json(json!({ "kind": "correction", "state": state }))).into_response())
}

async fn ask(app: &Arc<App>, caller: &Caller<PrivacyWrite>, wanted: Wanted) -> Result<Response, Problem> {
    ask_from(app, caller, Origin::Staff, wanted).await
}

/// Removes an account with everything that came through it: posts that go nowhere else, their files, numbers and access, which
/// is taken back at the network. What is merely to be disconnected keeps its history.
#[utoipa::path(
    delete,
    path = "/api/v1/accounts/{id}/data",
    tag = "privacy",
    security(("bearer" = ["privacy:write"])),
    params(("id" = String, Path, description = "The account")),
    responses(
        (status = 202, description = "Committed: it is frozen, and will be deleted", body = RequestShape),
        (status = 404, description = "No such account in this workspace, or it is being deleted already", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn of_account(
    State(app): State<Arc<App>>,
    caller: Caller<PrivacyWrite>,
    Path(account): Path<String>,
) -> Result<Response, Problem> {
    // P-D10
    let account = id(&account, "account")?;
    if !caller.ledger.is_deletable(caller.workspace_id, account).await? {
        return Err(Problem::not_found("account"));
    }
    let wanted = Wanted { accounts: vec![account], ..Wanted::default() };
    ask_from(&app, &caller, Origin::Account, wanted).await
}

async fn ask_from(
    app: &Arc<App>,
    caller: &Caller<PrivacyWrite>,
    origin: Origin,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let code = Code::fresh();
    let way = Way { origin, code: code.clone(), asked_digest: None, signed: (None, None), language: "en" };
    let workspace_id = Some(caller.workspace_id);
    let wanted = Wanted { workspace_id, asked_by: Some(caller.key_id), who: Some(caller.who), ..wanted };
    let accepted = deletion::accept(app, way, wanted).await?;
    let shown = caller.ledger.deletion(accepted.id).await?.ok_or_else(|| Problem::not_found("request"))?;
    Ok((StatusCode::ACCEPTED, Json(RequestShape::of(&shown, Some(code.address(app))))).into_response())
}

/// A request of the workspace.
#[utoipa::path(
    get,
    path = "/api/v1/privacy/requests/{id}",
    tag = "privacy",
    security(("bearer" = ["privacy:write"])),
    params(("id" = String, Path, description = "The request")),
    responses(
        (status = 200, description = "The request; of an export its state, its size and its end", body = RequestShape),
        (status = 404, description = "No such request in this workspace", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn one(caller: Caller<PrivacyWrite>, Path(request): Path<String>) -> Result<Response, Problem> {
    let id = id(&request, "request")?;
    if let Some(shown) = caller.ledger.export_of(caller.workspace_id, id).await? {
        return Ok(Json(exports::ExportShape::of(&shown, None)).into_response());
    }
    let shown = find(&caller, &request).await?;
    Ok(Json(RequestShape::of(&shown, None)).into_response())
}

/// The signed receipt of a request. It names nobody, and anybody can verify it.
#[utoipa::path(
    get,
    path = "/api/v1/privacy/requests/{id}/receipt",
    tag = "privacy",
    security(("bearer" = ["privacy:write"])),
    params(("id" = String, Path, description = "The request")),
    responses(
        (status = 200, description = "The receipt: payload and signature in base64, and the key as PEM", body = Value),
        (status = 404, description = "No such request in this workspace, or no receipt yet", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn receipt(
    caller: Caller<PrivacyWrite>,
    Path(request): Path<String>,
) -> Result<Json<Value>, Problem> {
    let shown = find(&caller, &request).await?;
    let signed = shown.receipt.ok_or_else(|| Problem::not_found("receipt yet"))?;
    Ok(Json(signing::file(&signed)))
}

async fn find(caller: &Caller<PrivacyWrite>, request: &str) -> Result<Shown, Problem> {
    let id = id(request, "request")?;
    let missing = || Problem::not_found("request");
    if !caller.ledger.is_deletion_of(caller.workspace_id, id).await? {
        return Err(missing());
    }
    caller.ledger.deletion(id).await?.ok_or_else(missing)
}

/// What verifies receipts: every key that ever signed one.
#[utoipa::path(
    get,
    path = "/.well-known/receipt-keys",
    tag = "privacy",
    responses((status = 200, description = "{keys: [{key_id, public_key}]}, each as PEM", body = Value))
)]
pub async fn keys(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let keys = app.house.ledger.receipt_keys().await?;
    let shown = keys.iter().map(|(id, public)| json!({ "key_id": id, "public_key": signing::pem(public) }));
    Ok(Json(json!({ "keys": shown.collect::<Vec<_>>() })))
}

/// One of them, as a file that openssl reads.
#[utoipa::path(
    get,
    path = "/.well-known/receipt-keys/{key}",
    tag = "privacy",
    params(("key" = String, Path, description = "The key's id")),
    responses(
        (status = 200, description = "PEM", body = String, content_type = "application/x-pem-file"),
        (status = 404, description = "No such key", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn key(State(app): State<Arc<App>>, Path(key): Path<String>) -> Result<Response, Problem> {
    let keys = app.house.ledger.receipt_keys().await?;
    let (_, public) = keys.iter().find(|(id, _)| *id == key).ok_or_else(|| Problem::not_found("key"))?;
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], signing::pem(public)).into_response())
}
