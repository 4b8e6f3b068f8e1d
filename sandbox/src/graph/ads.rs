//! Insights of ads: strict about what is asked, day by day, page by page, and as a report that is made while one waits.
//!
//! What was seen and clicked on a day stands once the day is over; results that come late are still counted for it for a
//! week, as networks do.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::{Asked, GraphError, Outcome, auth, fields};
use crate::model::{AdAccount, AdLevel, AdObject, Settings};
use crate::numbers;
use crate::state::Sandbox;

/// Further back nothing is told.
const MOST_DAYS: i64 = 37 * 31;
/// For so many days results are still counted for a day.
const LATE_DAYS: i64 = 7;
/// The numbers, and what names an object.
const FIELDS: &[&str] = &[
    "account_currency",
    "account_id",
    "account_name",
    "action_values",
    "actions",
    "ad_id",
    "ad_name",
    "adset_id",
    "adset_name",
    "attribution_setting",
    "campaign_id",
    "campaign_name",
    "clicks",
    "conversions",
    "cost_per_action_type",
    "cpm",
    "ctr",
    "date_start",
    "date_stop",
    "impressions",
    "purchase_roas",
    "reach",
    "spend",
];
/// What a report's id begins with.
const REPORT: &str = "report";

/// What a report, or a read, is of.
struct Wanted {
    account: AdAccount,
    level: AdLevel,
    /// That object alone; none: all of the level.
    object: Option<String>,
    fields: Vec<String>,
    since: NaiveDate,
    until: NaiveDate,
}

/// Whether an id is of ads: an ad account, something in one, or a report.
pub fn knows(settings: &Settings, id: &str) -> bool {
    id.starts_with("act_") || id.starts_with(REPORT) || inside(settings, id).is_some()
}

/// `GET /me/adaccounts`.
pub fn list(sandbox: &Sandbox, asked: &Asked) -> Outcome {
    let token = auth::any(sandbox, asked)?;
    allowed(sandbox, &token)?;
    asked.params.only(&["limit", "after"])?;
    let accounts = sandbox.book().world.settings.ad_accounts.clone();
    let page = fields::Page::of(asked)?;
    let at = sandbox.clock.now();
    let told = accounts.iter().map(|account| {
        let object = described(account);
        (account.id.clone(), at, fields::pick(asked, "AdAccount", "id,account_id", &object))
    });
    let (rows, paging) = page.cut(told, "https://graph.facebook.com/me/adaccounts");
    let rows = rows.into_iter().collect::<Result<Vec<Value>, GraphError>>()?;
    Ok(json!({ "data": rows, "paging": paging }))
}

/// `GET /{ad account}`.
pub fn account(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    let found = find(sandbox, id, asked)?;
    fields::pick(asked, "AdAccount", "id,account_id", &described(&found))
}

/// `GET /{ad account | campaign | ad set | ad | report}/insights`.
pub fn insights(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    if let Some(report) = id.strip_prefix(REPORT) {
        auth::any(sandbox, asked)?;
        asked.params.only(&["limit", "after"])?;
        let (made_at, wanted) = read_report(sandbox, report).ok_or_else(|| GraphError::missing(id))?;
        if sandbox.clock.now() < made_at {
            return Err(GraphError::parameter(
                "The report is not ready: its async_status is not Job Completed",
            ));
        }
        return rows(sandbox, &wanted, asked);
    }
    let known = ["level", "time_range", "time_increment", "limit", "after"];
    asked.params.only(&known)?;
    let wanted = wanted(sandbox, id, asked)?;
    rows(sandbox, &wanted, asked)
}

/// `POST /{ad account}/insights`: a report is made.
pub fn begin_report(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    asked.params.only(&["level", "time_range", "time_increment"])?;
    let wanted = wanted(sandbox, id, asked)?;
    let took = i64::try_from(sandbox.book().world.settings.processing_ms).unwrap_or(i64::MAX);
    let made_at = sandbox.clock.now() + TimeDelta::try_milliseconds(took).unwrap_or(TimeDelta::days(365));
    let level = asked.params.text("level").unwrap_or_else(|| "account".into());
    let kept = json!({
        "at": made_at.timestamp_millis(),
        "account": wanted.account.id,
        "object": wanted.object,
        "level": level,
        "fields": wanted.fields,
        "since": wanted.since,
        "until": wanted.until,
    });
    Ok(json!({ "report_run_id": format!("{REPORT}{}", hex::encode(kept.to_string())) }))
}

/// `GET /{report}`.
pub fn report(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    auth::any(sandbox, asked)?;
    let (made_at, _) = id
        .strip_prefix(REPORT)
        .and_then(|kept| read_report(sandbox, kept))
        .ok_or_else(|| GraphError::missing(id))?;
    let (status, percent) =
        if sandbox.clock.now() < made_at { ("Job Running", 50) } else { ("Job Completed", 100) };
    Ok(json!({ "id": id, "async_status": status, "async_percent_completion": percent }))
}

/// Whether an id is a report's.
pub fn is_report(id: &str) -> bool {
    id.starts_with(REPORT)
}

fn read_report(sandbox: &Sandbox, kept: &str) -> Option<(DateTime<Utc>, Wanted)> {
    let kept: Value = serde_json::from_slice(&hex::decode(kept).ok()?).ok()?;
    let text = |name: &str| kept[name].as_str();
    let accounts = sandbox.book().world.settings.ad_accounts.clone();
    let wanted = Wanted {
        account: accounts.into_iter().find(|it| Some(it.id.as_str()) == text("account"))?,
        level: AdLevel::parse(text("level")?)?,
        object: text("object").map(str::to_owned),
        fields: kept["fields"].as_array()?.iter().filter_map(|it| Some(it.as_str()?.to_owned())).collect(),
        since: text("since")?.parse().ok()?,
        until: text("until")?.parse().ok()?,
    };
    Some((DateTime::from_timestamp_millis(kept["at"].as_i64()?)?, wanted))
}

/// Whether somebody who granted the token let it read ads.
fn allowed(sandbox: &Sandbox, token: &str) -> Result<(), GraphError> {
    let book = sandbox.book();
    let world = &book.world;
    let of_token = |it: &&crate::model::Account| it.access_token == token;
    let owner = world.granted_by(token).next().or_else(|| world.accounts.values().find(of_token));
    if owner.is_some_and(|owner| auth::withheld(world, owner, "ads_read")) {
        let message = "(#200) Ad account owner has NOT grant ads_management or ads_read permission";
        return Err(GraphError::new(200, message));
    }
    Ok(())
}

fn find(sandbox: &Sandbox, id: &str, asked: &Asked) -> Result<AdAccount, GraphError> {
    let token = auth::any(sandbox, asked)?;
    allowed(sandbox, &token)?;
    let accounts = sandbox.book().world.settings.ad_accounts.clone();
    accounts.into_iter().find(|account| account.id == id).ok_or_else(|| GraphError::missing(id))
}

/// The account that something is in, and what it is.
fn inside(settings: &Settings, id: &str) -> Option<(AdAccount, AdLevel)> {
    let levels = [AdLevel::Campaign, AdLevel::AdSet, AdLevel::Ad];
    let of = |account: &AdAccount| {
        let has = |level: &AdLevel| account.objects(*level).iter().any(|object| object.id == id);
        levels.into_iter().find(has).map(|level| (account.clone(), level))
    };
    settings.ad_accounts.iter().find_map(of)
}

fn wanted(sandbox: &Sandbox, id: &str, asked: &Asked) -> Result<Wanted, GraphError> {
    let settings = sandbox.book().world.settings.clone();
    let (account, own) = match inside(&settings, id) {
        Some((account, level)) => (find(sandbox, &account.id, asked)?, Some(level)),
        None => (find(sandbox, id, asked)?, None),
    };
    let level = match (asked.params.text("level"), own) {
        (None, own) => own.unwrap_or(AdLevel::Account),
        (Some(word), own) => match (AdLevel::parse(&word), own) {
            (Some(level), None) => level,
            (Some(level), Some(own)) if level == own => level,
            (_, _) => {
                return Err(GraphError::parameter(format!("level {word:?} is not one for this object")));
            }
        },
    };
    if asked.params.text("time_increment").as_deref() != Some("1") {
        return Err(GraphError::parameter("time_increment: only days, 1, are told apart here"));
    }
    let names = fields::names(&asked.params.required("fields")?);
    let retired = &settings.retired_metrics;
    let lives = |name: &&String| FIELDS.contains(&name.as_str()) && !retired.contains(name);
    if let Some(unknown) = names.iter().find(|name| !lives(name)) {
        return Err(GraphError::parameter(format!("{unknown} is not valid for fields param")));
    }
    let (since, until) = span(sandbox, &asked.params.required("time_range")?)?;
    Ok(Wanted { account, level, object: own.map(|_| id.to_owned()), fields: names, since, until })
}

fn span(sandbox: &Sandbox, text: &str) -> Result<(NaiveDate, NaiveDate), GraphError> {
    let wrong =
        || GraphError::parameter("time_range must be a JSON object of since and until, as YYYY-MM-DD");
    let range: Value = serde_json::from_str(text).map_err(|_| wrong())?;
    let day =
        |name: &str| range[name].as_str().and_then(|text| text.parse::<NaiveDate>().ok()).ok_or_else(wrong);
    let (since, until) = (day("since")?, day("until")?);
    if until < since {
        return Err(GraphError::parameter("time_range: since must not be after until"));
    }
    if sandbox.clock.now().date_naive() - since > TimeDelta::days(MOST_DAYS) {
        let why = "(#3018) The start date of the time range cannot be beyond 37 months from the current date";
        return Err(GraphError::new(3018, why));
    }
    Ok((since, until))
}

/// The rows, object by object and day by day.
fn rows(sandbox: &Sandbox, wanted: &Wanted, asked: &Asked) -> Outcome {
    let (settings, now) = (sandbox.book().world.settings.clone(), sandbox.clock.now());
    let days = (0..).map(|n| wanted.since + Days::new(n)).take_while(|day| *day <= wanted.until);
    // of a day that has not come nothing is told
    let days: Vec<NaiveDate> = days.filter(|day| *day <= now.date_naive()).collect();
    let is_wanted = |it: &AdObject| wanted.object.as_ref().is_none_or(|id| *id == it.id);
    let objects: Vec<AdObject> = wanted.account.objects(wanted.level).into_iter().filter(is_wanted).collect();
    let all = objects.iter().flat_map(|object| {
        let settings = &settings;
        days.iter().map(move |day| {
            let row = row(settings, wanted, object, *day, now);
            (format!("{}-{day}", object.id), now, row)
        })
    });
    let (data, paging) = fields::Page::of(asked)?.cut(all, "https://graph.facebook.com/insights");
    Ok(json!({ "data": data, "paging": paging }))
}

fn row(settings: &Settings, wanted: &Wanted, object: &AdObject, day: NaiveDate, now: DateTime<Utc>) -> Value {
    let whole = told(settings, &wanted.account, object, day, now);
    let picked = wanted.fields.iter().filter_map(|name| Some((name.clone(), whole.get(name)?.clone())));
    let always = ["date_start", "date_stop"].map(|name| (name.to_owned(), json!(day)));
    Value::Object(picked.chain(always).collect::<Map<_, _>>())
}

fn told(
    settings: &Settings,
    account: &AdAccount,
    object: &AdObject,
    day: NaiveDate,
    now: DateTime<Utc>,
) -> Map<String, Value> {
    let ends = (day + Days::new(1)).and_time(chrono::NaiveTime::MIN).and_utc();
    let of = |metric: &str| numbers::of_day(settings, &object.id, metric, ends);
    let (impressions, clicks) = (of("impressions"), of("clicks"));
    let age = (now - ends).num_days().clamp(0, LATE_DAYS);
    let late = u64::try_from(age + 1).unwrap_or(1);
    let bought = clicks * late / (u64::try_from(LATE_DAYS).unwrap_or(1) + 1) / 4;
    let (spent, earned) = (clicks * 45, bought * 2_990);
    let list = |items: &[(&str, u64, String)]| -> Value {
        // what did not happen is left out, and a list of nothing as well
        let items: Vec<Value> = items
            .iter()
            .filter(|(_, happened, _)| *happened > 0)
            .map(|(kind, _, value)| json!({ "action_type": kind, "value": value }))
            .collect();
        if items.is_empty() { Value::Null } else { items.into() }
    };
    let each = |cents: u64, many: u64| Cents(cents.checked_div(many).unwrap_or_default()).to_string();
    let whole = json!({
        "account_id": account.number(),
        "account_name": account.name,
        "account_currency": account.currency,
        "attribution_setting": "7d_click_1d_view",
        "campaign_id": object.campaign,
        "campaign_name": object.campaign.as_ref().map(|id| format!("Campaign {id}")),
        "adset_id": object.set,
        "adset_name": object.set.as_ref().map(|id| format!("Audience {id}")),
        "ad_id": object.ad,
        "ad_name": object.ad.as_ref().map(|id| format!("Ad {id}")),
        "impressions": impressions.to_string(),
        "reach": of("reach").to_string(),
        "clicks": clicks.to_string(),
        "spend": Cents(spent).to_string(),
        "ctr": each(clicks * 10_000, impressions),
        "cpm": each(spent * 1_000, impressions),
        "actions": list(&[("link_click", clicks, clicks.to_string()), ("omni_purchase", bought, bought.to_string())]),
        "action_values": list(&[("omni_purchase", bought, Cents(earned).to_string())]),
        "conversions": list(&[("omni_purchase", bought, bought.to_string())]),
        "cost_per_action_type": list(&[
            ("link_click", clicks, each(spent, clicks)),
            ("omni_purchase", bought, each(spent, bought)),
        ]),
        "purchase_roas": list(&[("omni_purchase", bought, each(earned * 100, spent))]),
    });
    let Value::Object(mut whole) = whole else { return Map::new() };
    whole.retain(|_, value| !value.is_null());
    whole
}

/// Hundredths, written with their point.
struct Cents(u64);

impl std::fmt::Display for Cents {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

fn described(account: &AdAccount) -> Value {
    json!({
        "id": account.id,
        "account_id": account.number(),
        "name": account.name,
        "currency": account.currency,
        "account_status": 1,
    })
}
