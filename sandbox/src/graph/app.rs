//! What Graph says about accounts, tokens and permissions.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Asked, GraphError, Outcome, auth, fields};
use crate::event::Event;
use crate::model::{Account, Network, TokenState};
use crate::state::{Book, Sandbox};

/// How long a person's long-lived token lives, in seconds.
const LONG_SECONDS: u64 = 5_183_944;
/// Everything a Page's token may do here, unless its owner has declined some of it.
pub const SCOPES: [&str; 14] = [
    "pages_show_list",
    "pages_manage_posts",
    "pages_read_engagement",
    "pages_manage_engagement",
    "pages_read_user_content",
    "publish_video",
    "read_insights",
    "business_management",
    "instagram_basic",
    "instagram_content_publish",
    "instagram_manage_insights",
    "instagram_manage_comments",
    "instagram_manage_contents",
    "ads_read",
];

/// `GET /{page}` and `GET /{ig}`.
pub fn read_account(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    auth::owner(sandbox, asked, id)?;
    let book = sandbox.book();
    let account = book.world.accounts.get(id).ok_or_else(|| GraphError::missing(id))?;
    let linked = book.world.token_owner(Network::InstagramBusiness, &account.access_token);
    fields::pick(asked, "Page", "id,name", &described(account, linked, &book))
}

/// `GET /me`: the Page of a Page token.
pub fn me(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let token = auth::any(sandbox, asked)?;
    let book = sandbox.book();
    let page = book.world.token_owner(Network::FacebookPage, &token);
    let linked = book.world.token_owner(Network::InstagramBusiness, &token);
    let account = page.or(linked).ok_or_else(|| GraphError::missing("me"))?;
    fields::pick(asked, "Page", "id,name", &described(account, linked, &book))
}

/// `GET /debug_token?input_token=`. Any access token may ask.
pub fn debug_token(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    if asked.token.is_none() {
        auth::check_state(None)?;
    }
    let input = asked
        .params
        .text("input_token")
        .ok_or_else(|| GraphError::parameter("The parameter input_token is required"))?;
    let book = sandbox.book();
    let state = auth::state_of(&book.world, &input);
    let mut data =
        json!({ "app_id": "sandbox-app", "application": "Sandbox", "is_valid": false, "scopes": [] });
    if let Err(error) = auth::check_state(state) {
        data["error"] = json!({ "code": error.code, "subcode": error.subcode, "message": error.message });
    }
    let page = book.world.token_owner(Network::FacebookPage, &input);
    let account = page.or_else(|| book.world.token_owner(Network::InstagramBusiness, &input));
    let granted = book.world.granted_by(&input).next();
    if let Some(account) = account.or(granted) {
        data["type"] = if granted.is_some() { "USER" } else { "PAGE" }.into();
        data["user_id"] = account.subject_id.clone().into();
        data["profile_id"] = account.external_id.clone().into();
        data["is_valid"] = (state == Some(TokenState::Valid)).into();
        data["issued_at"] = 1_795_996_400.into();
        data["expires_at"] = 0.into();
        data["data_access_expires_at"] =
            (sandbox.clock.now().timestamp() + book.world.settings.graph_data_access_seconds).into();
        let withheld = |scope: &&str| auth::withheld(&book.world, account, scope);
        let scopes = account.scopes.iter().flatten().map(String::as_str);
        let scopes = if account.scopes.is_some() { scopes.collect::<Vec<_>>() } else { SCOPES.to_vec() };
        data["scopes"] = json!(scopes.into_iter().filter(|scope| !withheld(scope)).collect::<Vec<_>>());
        if let Some(app) = book.world.settings.graph_app_id.as_ref().or(account.app_id.as_ref()) {
            data["app_id"] = app.clone().into();
        }
        let of_token: Vec<&Account> = match granted {
            Some(_) => book.world.granted_by(&input).collect(),
            None => vec![account],
        };
        data["granular_scopes"] = granular(&of_token);
    }
    Ok(json!({ "data": data }))
}

/// The accounts that each permission was granted for.
fn granular(accounts: &[&Account]) -> Value {
    let of = |scope: &str| {
        let platform =
            if scope.starts_with("pages_") { Network::FacebookPage } else { Network::InstagramBusiness };
        let granted = accounts
            .iter()
            .filter(|it| it.platform == platform && !it.left_out.iter().any(|left| left == scope));
        let ids: Vec<&str> = granted.map(|it| it.external_id.as_str()).collect();
        // none at all would read as all there are
        json!({ "scope": scope, "target_ids": if ids.is_empty() { vec!["0"] } else { ids } })
    };
    let scopes =
        ["pages_manage_posts", "pages_read_engagement", "instagram_basic", "instagram_content_publish"];
    scopes.map(of).to_vec().into()
}

/// `GET /oauth/access_token code=`: a code for a person's token, once, by the app and for the address that it was given to.
fn by_code(sandbox: &Sandbox, code: &str, asked: &Asked) -> Outcome {
    let (client, secret) = (asked.params.required("client_id")?, asked.params.required("client_secret")?);
    let redirect_uri = asked.params.required("redirect_uri")?;
    if sandbox.rules.meta_app_secret.as_ref().is_some_and(|own| *own != secret) {
        return Err(GraphError::new(1, "Error validating client secret."));
    }
    let mut book = sandbox.book();
    let known = book.world.codes.get(code).filter(|code| code.network == Network::FacebookPage);
    let Some(known) = known else {
        return Err(GraphError::new(100, "Invalid verification code format."));
    };
    if known.client != client {
        return Err(GraphError::new(100, "This code was issued to another app.").with_subcode(36_007));
    }
    if known.redirect_uri != redirect_uri {
        let message = "Error validating verification code. Please make sure your redirect_uri is identical.";
        return Err(GraphError::new(100, message).with_subcode(36_008));
    }
    if known.used {
        return Err(GraphError::new(100, "This authorization code has been used.").with_subcode(36_009));
    }
    let token = format!("EAAC{}", Uuid::new_v4().simple());
    book.record(Event::CodeUsed { code: code.to_owned(), token: token.clone() })?;
    Ok(json!({ "access_token": token, "token_type": "bearer", "expires_in": 5_400 }))
}

/// `GET /oauth/access_token grant_type=fb_exchange_token`: a token that works is prolonged, a person's by a new one. What
/// the person's Pages are reached by is renewed where it did not work any more.
pub fn exchange(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    if let Some(code) = asked.params.text("code") {
        return by_code(sandbox, &code, asked);
    }
    let token = asked
        .params
        .text("fb_exchange_token")
        .ok_or_else(|| GraphError::parameter("The parameter fb_exchange_token is required"))?;
    let mut book = sandbox.book();
    auth::check_state(auth::state_of(&book.world, &token))?;
    let granted: Vec<Account> = book.world.granted_by(&token).cloned().collect();
    if !granted.is_empty() {
        let works =
            |it: &Account| book.world.tokens.get(&it.access_token).is_none_or(|it| *it == TokenState::Valid);
        let fresh = |it: &Account| (it.external_id.clone(), format!("EAAP{}", Uuid::new_v4().simple()));
        let pages = granted.iter().filter(|it| !works(it)).map(fresh).collect();
        let new = format!("EAAU{}", Uuid::new_v4().simple());
        book.record(Event::Exchanged { old: token, new: new.clone(), pages })?;
        return Ok(json!({ "access_token": new, "token_type": "bearer", "expires_in": LONG_SECONDS }));
    }
    Ok(json!({ "access_token": token, "token_type": "bearer", "expires_in": LONG_SECONDS }))
}

/// `GET /me/accounts`: the Pages of a person's token, and what each is reached by.
pub fn pages(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let token = auth::any(sandbox, asked)?;
    let book = sandbox.book();
    let mine: Vec<&Account> = book.world.granted_by(&token).collect();
    let limit =
        asked.params.text("limit").and_then(|text| text.parse().ok()).unwrap_or(25_usize).clamp(1, 100);
    let after = asked.params.text("after").unwrap_or_default();
    let listed_here = |it: &&&Account| it.platform == Network::FacebookPage && it.business.is_none();
    let pages = mine.iter().filter(listed_here).filter(|it| it.external_id > after);
    let pages: Vec<&Account> = pages.copied().collect();
    let shown: Vec<Value> = pages.iter().take(limit).map(|page| listed(page, &mine)).collect();
    let mut answer = json!({ "data": shown });
    if let (Some(last), true) = (pages.get(limit - 1), pages.len() > limit) {
        let next = "https://graph.facebook.com/next";
        answer["paging"] = json!({ "cursors": { "after": last.external_id }, "next": next });
    }
    Ok(answer)
}

/// `GET /me/businesses`: those that the person has a Page through.
pub fn businesses(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let token = auth::any(sandbox, asked)?;
    let book = sandbox.book();
    let ids: std::collections::BTreeSet<&String> =
        book.world.granted_by(&token).filter_map(|it| it.business.as_ref()).collect();
    let shown: Vec<Value> =
        ids.iter().map(|id| json!({ "id": id, "name": format!("Business {id}") })).collect();
    Ok(json!({ "data": shown }))
}

/// `GET /{business}/owned_pages` and `/client_pages`. All are owned here.
pub fn business_pages(sandbox: &Sandbox, edge: &str, asked: &Asked) -> Outcome {
    let token = auth::any(sandbox, asked)?;
    let book = sandbox.book();
    let mine: Vec<&Account> = book.world.granted_by(&token).collect();
    let (business, edge) = edge.split_once('/').unwrap_or((edge, ""));
    let of_business = |it: &&&Account| {
        it.platform == Network::FacebookPage
            && it.business.as_deref() == Some(business)
            && edge == "owned_pages"
    };
    let picked = |page: &&Account| {
        let mut page = listed(page, &mine);
        if let Some(its) = page.as_object_mut() {
            // it stands in the list of a person's Pages alone
            its.remove("tasks");
        }
        fields::pick(asked, "Page", "id,name", &page)
    };
    let shown = mine.iter().filter(of_business).map(picked).collect::<Result<Vec<Value>, GraphError>>()?;
    Ok(json!({ "data": shown }))
}

fn listed(page: &Account, mine: &[&Account]) -> Value {
    let of_page =
        |it: &&&Account| it.platform == Network::InstagramBusiness && it.access_token == page.access_token;
    json!({
        "id": page.external_id,
        "name": page.name,
        "access_token": page.access_token,
        "tasks": page.tasks.clone().unwrap_or_else(|| ["CREATE_CONTENT", "MODERATE", "MANAGE"].map(String::from).to_vec()),
        "instagram_business_account":
            mine.iter().find(of_page).map(|it| json!({ "id": it.external_id, "username": it.name })),
    })
}

/// `GET /me/permissions`.
pub fn permissions(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let token = auth::any(sandbox, asked)?;
    let book = sandbox.book();
    let of_token = |scope: &str| {
        let mut accounts = book.world.accounts.values().filter(|account| account.access_token == token);
        accounts.any(|account| auth::withheld(&book.world, account, scope))
    };
    let answered = |scope: &&str| {
        let status = if of_token(scope) { "declined" } else { "granted" };
        json!({ "permission": scope, "status": status })
    };
    Ok(json!({ "data": SCOPES.iter().map(answered).collect::<Vec<_>>() }))
}

/// `DELETE /{user}/permissions`: everything that this person gave the app is revoked. The person's own token may ask, and the
/// app's.
pub fn revoke(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let token = auth::any(sandbox, asked)?;
    let named = asked.path.first().cloned().unwrap_or_default();
    let mut book = sandbox.book();
    let meta = |it: &&Account| it.platform != Network::Tiktok;
    let own =
        book.world.granted_by(&token).next().or_else(|| {
            book.world.accounts.values().filter(meta).find(|account| account.access_token == token)
        });
    let own = own.map(|account| account.subject_id.clone());
    let subject = match own {
        Some(own) if named == "me" || named == own => own,
        None if book.world.accounts.values().filter(meta).any(|it| it.subject_id == named) => named,
        Some(_) | None => return Err(GraphError::missing(&named)),
    };
    book.record(Event::Removed { subject })?;
    Ok(json!({ "success": true }))
}

fn described(account: &Account, linked: Option<&Account>, book: &Book) -> Value {
    let instagram = linked.filter(|_| account.platform == Network::FacebookPage);
    json!({
        "id": account.external_id,
        "name": account.name,
        "username": account.name,
        "followers_count": book.world.settings.followers,
        "fan_count": book.world.settings.followers,
        "media_count": book.world.shown(&account.external_id).count(),
        "instagram_business_account": instagram.map(|found| json!({ "id": found.external_id })),
    })
}
