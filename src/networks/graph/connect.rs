//! Facebook Login: a code becomes a person's long-lived token, and that opens Pages, each with a token of its own, and the
//! Instagram accounts behind them. "Manually Build a Login Flow", "Debug Token" and "User Permissions" of Meta's documents.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use chrono::DateTime;
use jobs::{
    connections::{Connecting, Dialog, Exchange, Fresh, Granted, Missing, Offer, Offered, Offers},
    contract::{Class, Failure},
    desk::Call,
    metrics::ads::PLATFORM,
};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{
    Graph,
    access::{is_valid, time},
    ads::READS_ADS,
    below,
};
use crate::networks::{
    Environment, Settings, dialog_address, facebook, group,
    http::{Deadline, Fault, Phase, Reply, id_of},
    instagram, meta_ads,
};

/// The variable that names where the dialog is, and where it really is.
const DIALOG: (&str, &str) = ("META_DIALOG_URL", "https://www.facebook.com/v25.0");
/// What stands behind Pages, and what may stand beside them.
const ALSO: &[&str] = &[instagram::ENTRY.platform.name, PLATFORM];
/// What is asked for in the dialog. Whoever declines some of it connects what the rest allows. What stands last is asked for
/// where the settings say that the app may: Meta opens no dialog for a permission that the app does not have.
const SCOPES: &[&str] = &[
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
    READS_ADS,
];
/// Without it Meta lists no Page at all.
const LISTS: &str = "pages_show_list";
/// With it the Pages can be listed that a person has through a business alone.
const BUSINESSES: &str = "business_management";
/// What a person must be able to do on a Page, as Pages of either kind call it.
const PUBLISHES: [&str; 2] = ["CREATE_CONTENT", "PROFILE_PLUS_CREATE_CONTENT"];
/// What is read of a person's Page.
const FIELDS: &str = "id,name,access_token,tasks,instagram_business_account{id,username}";
/// The same of a business's. What a person may do there stands in the list of their own Pages alone: by itself a Page has no
/// `tasks`, and asked for them Meta refuses all of it (100, "nonexisting field").
const OF_BUSINESS: &str = "id,name,access_token,instagram_business_account{id,username}";
/// The wait before a token is prolonged again.
const PROLONG_AGAIN: Duration = Duration::from_millis(500);
/// The most businesses whose Pages are read.
const MOST_BUSINESSES: usize = 50;

/// Facebook Login, in which Instagram accounts are granted with the Pages before them.
///
/// # Errors
/// A half-set group, or an address or a table that cannot be used.
pub fn dialog(settings: &Settings, environment: Environment<'_>) -> Result<Option<Dialog>, String> {
    let Some([id, _]) = group(environment, ["META_APP_ID", "META_APP_SECRET"])? else { return Ok(None) };
    let last = usize::from(!meta_ads::is_asked_for(settings)?);
    Ok(Some(Dialog {
        platform: facebook::ENTRY.platform.name,
        also: &ALSO[..ALSO.len() - last],
        address: dialog_address(environment, DIALOG, &["dialog", "oauth"])?,
        client: ("client_id", id),
        scopes: &SCOPES[..SCOPES.len() - last],
    }))
}

#[async_trait]
impl Connecting for Graph {
    async fn exchange(&self, call: &Call<'_>, redirect_uri: &str) -> Exchange {
        let deadline = Deadline::of(call);
        let form = [("redirect_uri", redirect_uri), ("code", call.token.expose_secret())];
        let short = match self.token(call, deadline, &form).await {
            Ok((short, _)) => short,
            Err(failure) => return unexchanged(failure),
        };
        let as_person = Call { token: &short, ..*call };
        match self.prolong_surely(&as_person, deadline).await {
            Ok((access, access_life)) => Exchange::Granted(Fresh {
                access,
                refresh: None,
                access_life,
                refresh_life: None,
                scopes: None,
            }),
            Err(failure) => unexchanged(failure),
        }
    }

    async fn person(&self, call: &Call<'_>) -> Result<Option<String>, Failure> {
        Ok(self.told(call, Deadline::of(call)).await?.subject_id)
    }

    async fn offers(&self, call: &Call<'_>, _granted: &Granted) -> Result<Offers, Failure> {
        let deadline = Deadline::of(call);
        let told = self.told(call, deadline).await?;
        let pages = self.pages(call, deadline, &told).await?;
        if pages.is_empty() && !told.has(LISTS) {
            let why = format!("{LISTS} was declined, and without it Meta names no Page");
            return Err(Failure::new(Class::Permanent, "no_list", why));
        }
        let ads = if told.has(READS_ADS) { self.ad_accounts(call, deadline).await? } else { Vec::new() };
        let ads = ads.iter().filter_map(|it| advertised(it, &told, call.token));
        Ok(Offers {
            subject_id: told.subject_id.clone(),
            data_access_ends: told.data_access_ends,
            offered: pages.values().flat_map(|page| offered(page, &told)).chain(ads).collect(),
        })
    }
}

/// What Meta tells of a person's token.
struct Told {
    subject_id: Option<String>,
    data_access_ends: Option<DateTime<chrono::Utc>>,
    scopes: Vec<String>,
    /// The objects that a scope was granted for; a scope that is not here was granted for all.
    granular: BTreeMap<String, Vec<String>>,
}

impl Told {
    fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|it| it == scope)
    }

    /// What is missing of these scopes for an object that goes by any of these ids.
    fn missing(&self, scopes: &[&str], ids: &[&str]) -> Vec<Missing> {
        let judge = |scope: &&str| {
            let scope = (*scope).to_owned();
            if !self.has(&scope) {
                return Some(Missing::Scope { scope });
            }
            let targets = self.granular.get(&scope)?;
            let chosen = targets.iter().any(|target| ids.contains(&target.as_str()));
            (!chosen).then_some(Missing::NotChosen { scope })
        };
        scopes.iter().filter_map(judge).collect()
    }
}

impl Graph {
    /// A token for this form, with which the app's own secret goes: in a body, which nobody on the way writes down, or as
    /// Meta documents it, in the address, where a body is not taken.
    pub(super) async fn token(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        form: &[(&str, &str)],
    ) -> Result<(SecretString, Option<Duration>), Failure> {
        let (id, secret) = self.app.expose_secret().split_once('|').unwrap_or_default();
        let own = [("client_id", id), ("client_secret", secret)];
        let form: Vec<_> = own.iter().chain(form).collect();
        let reply = match self.exchange(call, deadline, Method::POST, &form).await {
            Ok(reply) if reply.status == StatusCode::METHOD_NOT_ALLOWED => {
                self.exchange(call, deadline, Method::GET, &form).await
            }
            other => other,
        };
        let said = reply.and_then(|reply| self.heard(Phase::Prepare, call, &reply));
        let said = said.map_err(Fault::into_failure)?;
        let token = said["access_token"].as_str().filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| {
            Failure::new(Class::Transient, "unreadable", "the answer to an exchange names no token")
        })?;
        Ok((SecretString::from(token), said["expires_in"].as_u64().map(Duration::from_secs)))
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        method: Method,
        form: &[&(&str, &str)],
    ) -> Result<Reply, Fault> {
        let in_address = method == Method::GET;
        let url = below(&self.base, &["oauth", "access_token"]);
        let request = self.http.request(Phase::Prepare, call, method, url)?;
        let request = if in_address { request.query(form) } else { request.form(form) };
        self.reply(Phase::Prepare, call, request, deadline.left(self.timeout)).await
    }

    /// A person's token that lives on. The code is spent by now, so what passes is waited out as long as there is time.
    async fn prolong_surely(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
    ) -> Result<(SecretString, Option<Duration>), Failure> {
        loop {
            let failure = match self.prolong(call, deadline).await {
                Ok(prolonged) => return Ok(prolonged),
                Err(failure) => failure,
            };
            let passes = matches!(failure.class, Class::Transient | Class::Unknown);
            if !passes || deadline.left(PROLONG_AGAIN) < PROLONG_AGAIN {
                return Err(failure);
            }
            tokio::time::sleep(PROLONG_AGAIN).await;
        }
    }

    /// What Meta tells of the token of the call. One of another app opens nothing here.
    async fn told(&self, call: &Call<'_>, deadline: Deadline) -> Result<Told, Failure> {
        let data = self.inspected(call, deadline).await?;
        let valid = is_valid(&data)?;
        let own = self.app.expose_secret().split_once('|').map(|(id, _)| id.to_owned());
        if id_of(&data["app_id"]) != own {
            let why = "the access that the network gave is another app's";
            return Err(Failure { operator: true, ..Failure::new(Class::Permanent, "other_app", why) });
        }
        if valid { Ok(read(&data)) } else { Err(self.invalid(call, &data["error"])) }
    }

    /// The person's Pages: those Meta lists, and those that a business of theirs owns or works on. One that is in both lists
    /// is one, with the token of whichever has it.
    async fn pages(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        told: &Told,
    ) -> Result<BTreeMap<String, Value>, Failure> {
        let mut found = BTreeMap::new();
        add(&mut found, self.list(call, deadline, &["me", "accounts"], FIELDS).await?);
        if !told.has(BUSINESSES) {
            return Ok(found);
        }
        let businesses = self.list(call, deadline, &["me", "businesses"], "id,name").await?;
        for id in businesses.iter().filter_map(|it| id_of(&it["id"])).take(MOST_BUSINESSES) {
            for edge in ["owned_pages", "client_pages"] {
                match self.list(call, deadline, &[&id, edge], OF_BUSINESS).await {
                    Ok(pages) => add(&mut found, pages),
                    // of this business the person may not list that; the others stand
                    Err(failure) if matches!(failure.class, Class::Permission | Class::Permanent) => {
                        tracing::info!(business = id, edge, %failure, "the Pages of a business are not shown");
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(found)
    }
}

fn add(found: &mut BTreeMap<String, Value>, pages: Vec<Value>) {
    for page in pages {
        let Some(id) = id_of(&page["id"]) else { continue };
        let better = page["access_token"].is_string();
        found
            .entry(id)
            .and_modify(|known| {
                if better && !known["access_token"].is_string() {
                    let tasks = known["tasks"].take();
                    *known = page.clone();
                    // what the person may do there was said by the other list
                    if tasks.is_array() {
                        known["tasks"] = tasks;
                    }
                }
            })
            .or_insert(page);
    }
}

fn read(data: &Value) -> Told {
    let texts =
        |list: &Value| -> Vec<String> { list.as_array().into_iter().flatten().filter_map(id_of).collect() };
    let granular = data["granular_scopes"].as_array().into_iter().flatten().filter_map(|it| {
        let targets = texts(&it["target_ids"]);
        // without targets it was granted for all there are
        (!targets.is_empty()).then(|| Some((it["scope"].as_str()?.to_owned(), targets))).flatten()
    });
    Told {
        subject_id: id_of(&data["user_id"]),
        data_access_ends: time(&data["data_access_expires_at"]),
        scopes: texts(&data["scopes"]),
        granular: granular.collect(),
    }
}

/// What a Page offers: itself, and the Instagram account behind it.
fn offered(page: &Value, told: &Told) -> Vec<Offered> {
    let Some(id) = id_of(&page["id"]) else { return Vec::new() };
    let own = page["access_token"].as_str().filter(|token| !token.is_empty()).map(SecretString::from);
    // where nothing is said of it, the token is for whoever has a part in the Page
    let publishes = page["tasks"]
        .as_array()
        .is_none_or(|tasks| tasks.iter().any(|it| PUBLISHES.iter().any(|task| it == task)));
    let of_page = [(!publishes).then_some(Missing::Task), own.is_none().then_some(Missing::NoToken)];
    let name = page["name"].as_str().unwrap_or(&id).to_owned();
    let offer = |platform: &str, external_id: &str, name: &str, scopes: &[&str], ids: &[&str]| Offer {
        platform: platform.to_owned(),
        external_id: external_id.to_owned(),
        name: name.to_owned(),
        page: None,
        alone: false,
        known: false,
        missing: told.missing(scopes, ids).into_iter().chain(of_page.iter().flatten().cloned()).collect(),
    };
    let behind = &page["instagram_business_account"];
    let instagram = id_of(&behind["id"]).map(|its| {
        let called = behind["username"].as_str().unwrap_or(&its);
        let scopes = instagram::NEEDED;
        let offer = offer("instagram_business", &its, called, scopes, &[&its, &id]);
        Offered { offer: Offer { page: Some(name.clone()), ..offer }, own: own.clone() }
    });
    let itself = offer("facebook_page", &id, &name, facebook::NEEDED, &[&id]);
    let itself = Offered { offer: Offer { alone: instagram.is_none(), ..itself }, own };
    std::iter::once(itself).chain(instagram).collect()
}

/// An ad account, which is reached by the person's own token.
fn advertised(account: &Value, told: &Told, token: &SecretString) -> Option<Offered> {
    let id = id_of(&account["id"])?;
    let bare = id_of(&account["account_id"]).unwrap_or_else(|| id.trim_start_matches("act_").to_owned());
    let offer = Offer {
        platform: PLATFORM.to_owned(),
        name: account["name"].as_str().filter(|name| !name.is_empty()).unwrap_or(&id).to_owned(),
        page: None,
        alone: false,
        known: false,
        missing: told.missing(&[READS_ADS], &[&id, &bare]),
        external_id: id,
    };
    Some(Offered { offer, own: Some(token.clone()) })
}

/// A code that was refused was used before, is too old, or belongs elsewhere; what passes says nothing of it.
fn unexchanged(failure: Failure) -> Exchange {
    match failure.class {
        Class::Auth | Class::Permission | Class::Permanent => Exchange::Refused(failure),
        Class::Rate | Class::Transient | Class::Unknown => Exchange::Unknown(failure),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told() -> Told {
        let scopes: Vec<_> = SCOPES.iter().filter(|scope| **scope != "instagram_content_publish").collect();
        read(&json!({
            "user_id": "7",
            "scopes": scopes,
            "granular_scopes": [
                { "scope": "pages_manage_posts", "target_ids": ["1", "3"] },
                { "scope": "pages_read_engagement" },
            ],
        }))
    }

    fn page(id: &str) -> Value {
        json!({ "id": id, "name": "Bakery", "access_token": "t", "tasks": ["MANAGE", "CREATE_CONTENT"] })
    }

    /// As the list of a business has it.
    fn of_a_business(id: &str) -> Value {
        json!({ "id": id, "name": "Bakery", "access_token": "t" })
    }

    #[test]
    fn a_page_of_a_business_is_not_asked_for_what_only_a_persons_list_has_nor_judged_by_it() {
        assert!(FIELDS.contains("tasks") && !OF_BUSINESS.contains("tasks"));
        assert_eq!(missing(&of_a_business("1")), []);
        let mut new = of_a_business("1");
        new["tasks"] = json!(["PROFILE_PLUS_CREATE_CONTENT"]);
        assert_eq!(missing(&new), [], "the newer kind of Page");
        new["tasks"] = json!([]);
        assert_eq!(missing(&new), [Missing::Task]);
    }

    fn missing(page: &Value) -> Vec<Missing> {
        offered(page, &told()).remove(0).offer.missing
    }

    #[test]
    fn a_page_with_everything_is_offered_and_what_is_missing_is_named() {
        assert_eq!(missing(&page("1")), []);
        let left_out = Missing::NotChosen { scope: "pages_manage_posts".into() };
        assert_eq!(missing(&page("2")), [left_out]);
        let mut poor = page("3");
        poor["tasks"] = json!(["ANALYZE"]);
        poor["access_token"] = Value::Null;
        assert_eq!(missing(&poor), [Missing::Task, Missing::NoToken]);
    }

    #[test]
    fn the_instagram_account_behind_a_page_is_offered_with_its_token() {
        assert!(offered(&page("1"), &told()).remove(0).offer.alone, "none is behind it");
        let mut page = page("1");
        page["instagram_business_account"] = json!({ "id": "17", "username": "bakery" });
        let all = offered(&page, &told());
        let [itself, behind] = &all[..] else { panic!("two") };
        assert!(!itself.offer.alone);
        assert_eq!((behind.offer.name.as_str(), behind.offer.page.as_deref()), ("bakery", Some("Bakery")));
        assert_eq!(behind.own.as_ref().map(ExposeSecret::expose_secret), Some("t"));
        let declined = Missing::Scope { scope: "instagram_content_publish".into() };
        assert_eq!(behind.offer.missing, [declined]);
    }

    #[test]
    fn an_ad_account_is_offered_with_the_persons_own_token_and_never_one_that_was_not_chosen() {
        let (token, account) =
            (SecretString::from("user"), json!({ "id": "act_5", "account_id": "5", "name": "Ads" }));
        let offered = advertised(&account, &told(), &token).expect("an offer");
        assert_eq!(offered.offer.key(), "meta_ads/act_5");
        assert_eq!((offered.offer.name.as_str(), &offered.offer.missing), ("Ads", &vec![]));
        assert_eq!(offered.own.as_ref().map(ExposeSecret::expose_secret), Some("user"));
        let told = read(&json!({
            "scopes": [READS_ADS],
            "granular_scopes": [{ "scope": READS_ADS, "target_ids": ["6"] }],
        }));
        let left_out = advertised(&account, &told, &token).expect("an offer").offer.missing;
        assert_eq!(left_out, [Missing::NotChosen { scope: READS_ADS.into() }]);
        assert!(advertised(&json!({ "name": "nobody's" }), &told, &token).is_none());
    }

    #[test]
    fn a_page_of_two_lists_is_one_with_the_token_that_there_is() {
        let mut found = BTreeMap::new();
        let bare = json!({ "id": "1", "name": "Bakery" });
        add(&mut found, vec![bare.clone()]);
        add(&mut found, vec![page("1")]);
        add(&mut found, vec![bare]);
        assert_eq!((found.len(), &found["1"]["access_token"]), (1, &json!("t")));
        add(&mut found, vec![json!({ "id": "2", "name": "Florist", "tasks": ["ANALYZE"] })]);
        add(&mut found, vec![of_a_business("2")]);
        let both = (&found["2"]["access_token"], &found["2"]["tasks"]);
        assert_eq!(both, (&json!("t"), &json!(["ANALYZE"])), "what either list says");
    }

    #[test]
    fn only_what_passes_leaves_a_code_to_be_tried_again() {
        let of = |class| unexchanged(Failure::new(class, "100", "no"));
        assert!(matches!(of(Class::Permanent), Exchange::Refused(_)));
        assert!(matches!(of(Class::Transient), Exchange::Unknown(_)));
    }
}
