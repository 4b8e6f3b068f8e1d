//! Insights of Pages, posts, Instagram accounts and media: strict about names and parameters, for one metric that is not
//! known fails the whole call.

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::fields;
use super::node::is_story;
use super::{Asked, GraphError, Outcome, auth};
use crate::effects::Effect;
use crate::model::Network;
use crate::numbers;
use crate::state::{Book, Sandbox};

/// With fewer followers a network tells nothing of an account.
const LEAST_FOLLOWERS: u64 = 100;
/// With fewer viewers Instagram tells nothing of a story.
const LEAST_VIEWERS: u64 = 5;
/// The most days that one request may be about.
const MOST_DAYS: i64 = 90;

const POST: &[&str] = &[
    "post_media_view",
    "post_total_media_view_unique",
    "post_clicks",
    "post_clicks_by_type",
    "post_reactions_by_type_total",
    "post_video_views",
    "post_activity_by_action_type",
];
const PAGE: &[&str] = &[
    "page_media_view",
    "page_total_media_view_unique",
    "page_post_engagements",
    "page_follows",
    "page_daily_follows",
    "page_daily_follows_unique",
    "page_daily_unfollows_unique",
    "page_views_total",
    "page_total_actions",
    "page_video_views",
];
const FEED: &[&str] = &[
    "views",
    "reach",
    "likes",
    "comments",
    "shares",
    "saved",
    "total_interactions",
    "follows",
    "profile_visits",
    "profile_activity",
    "reposts",
];
const REELS: &[&str] = &[
    "views",
    "reach",
    "likes",
    "comments",
    "shares",
    "saved",
    "total_interactions",
    "reposts",
    "ig_reels_avg_watch_time",
    "ig_reels_video_view_total_time",
    "reels_skip_rate",
];
const STORY: &[&str] = &["views", "reach", "replies", "navigation", "follows", "shares"];
const SERIES: &[&str] = &["reach", "follower_count"];
const TOTALS: &[&str] = &[
    "views",
    "reach",
    "accounts_engaged",
    "total_interactions",
    "likes",
    "comments",
    "shares",
    "saves",
    "replies",
    "reposts",
    "follows_and_unfollows",
    "profile_links_taps",
];

const PEOPLE: &[&str] = &["follower_demographics", "engaged_audience_demographics"];
const BREAKDOWNS: &[(&str, &[&str])] = &[
    ("age", &["18-24", "25-34", "35-44"]),
    ("city", &["Haifa", "Tel Aviv"]),
    ("country", &["DE", "IL", "US"]),
    ("gender", &["F", "M", "U"]),
];

/// `GET /{object}/insights`.
pub fn read(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    auth::any(sandbox, asked)?;
    let account = sandbox.book().world.accounts.get(id).map(|account| account.platform);
    match account {
        Some(Network::FacebookPage) => of_page(sandbox, id, asked),
        Some(Network::InstagramBusiness) => of_instagram(sandbox, id, asked),
        Some(Network::Tiktok) => Err(GraphError::missing(id)),
        None => of_object(sandbox, id, asked),
    }
}

fn of_page(sandbox: &Sandbox, page: &str, asked: &Asked) -> Outcome {
    allowed(sandbox, asked, page, "read_insights")?;
    asked.params.only(&["metric", "period", "since", "until"])?;
    let names = named(sandbox, asked, PAGE)?;
    period(asked, &["day"])?;
    let days = days(sandbox, asked)?;
    if sandbox.book().world.settings.followers < LEAST_FOLLOWERS {
        return Ok(json!({ "data": [], "paging": {} }));
    }
    // a Page's day ends at eight, as it does in California
    Ok(by_day(sandbox, page, &names, &days, TimeDelta::hours(8)))
}

fn of_instagram(sandbox: &Sandbox, account: &str, asked: &Asked) -> Outcome {
    allowed(sandbox, asked, account, "instagram_manage_insights")?;
    if asked.params.text("breakdown").is_some() || asked.params.text("timeframe").is_some() {
        return demographics(sandbox, account, asked);
    }
    asked.params.only(&["metric", "period", "metric_type", "since", "until"])?;
    let series = match asked.params.text("metric_type").as_deref() {
        Some("time_series") | None => true,
        Some("total_value") => false,
        Some(other) => return Err(GraphError::parameter(format!("metric_type {other:?} is not known"))),
    };
    let names = named(sandbox, asked, if series { SERIES } else { TOTALS })?;
    period(asked, &["day"])?;
    let days = days(sandbox, asked)?;
    let settings = sandbox.book().world.settings.clone();
    let few = settings.followers < LEAST_FOLLOWERS;
    let names: Vec<_> = names.into_iter().filter(|name| !(few && name == "follower_count")).collect();
    if series {
        return Ok(by_day(sandbox, account, &names, &days, TimeDelta::zero()));
    }
    let total = |name: &String| {
        let of_day = |end: &DateTime<Utc>| numbers::of_day(&settings, account, name, *end);
        let value: u64 = days.iter().map(of_day).sum();
        json!({ "name": name, "period": "day", "total_value": { "value": value }, "id": id_of(account, name, "day") })
    };
    Ok(json!({ "data": names.iter().map(total).collect::<Vec<_>>(), "paging": {} }))
}

/// Who follows an account, by one breakdown; of fewer than a hundred nothing is told, and of many kinds the largest.
fn demographics(sandbox: &Sandbox, account: &str, asked: &Asked) -> Outcome {
    asked.params.only(&["metric", "period", "timeframe", "metric_type", "breakdown"])?;
    let names = named(sandbox, asked, PEOPLE)?;
    period(asked, &["lifetime"])?;
    let word = |name: &str| asked.params.text(name).unwrap_or_default();
    let (along, frame, kind) = (word("breakdown"), word("timeframe"), word("metric_type"));
    if frame != "this_month" || kind != "total_value" {
        let why = "follower_demographics needs timeframe=this_month and metric_type=total_value";
        return Err(GraphError::parameter(why));
    }
    let Some((_, kinds)) = BREAKDOWNS.iter().find(|(known, _)| *known == along) else {
        return Err(GraphError::parameter(format!("breakdown {along:?} is not known for this metric")));
    };
    let followers = sandbox.book().world.settings.followers;
    if followers < LEAST_FOLLOWERS {
        return Ok(json!({ "data": [], "paging": {} }));
    }
    let many = u64::try_from(kinds.len()).unwrap_or(1);
    let result = |kind: &&str| json!({ "dimension_values": [kind], "value": followers / many });
    let results: Vec<Value> = kinds.iter().map(result).collect();
    let item = |name: &String| {
        let breakdowns = json!([{ "dimension_keys": [along], "results": results }]);
        let id = id_of(account, name, "lifetime");
        json!({ "name": name, "period": "lifetime", "total_value": { "breakdowns": breakdowns }, "id": id })
    };
    Ok(json!({ "data": names.iter().map(item).collect::<Vec<_>>(), "paging": {} }))
}

fn of_object(sandbox: &Sandbox, id: &str, asked: &Asked) -> Outcome {
    let (effect, story, product) = {
        let book = sandbox.book();
        let effect = public(&book, id).ok_or_else(|| GraphError::missing(id))?;
        let product = book.world.containers.get(&effect.handle).map(|container| container.product.clone());
        (effect.clone(), is_story(&book, effect), product)
    };
    if effect.platform == Network::FacebookPage {
        allowed(sandbox, asked, &effect.account, "read_insights")?;
        asked.params.only(&["metric", "period", "since", "until"])?;
        let names = named(sandbox, asked, if story { &[] } else { POST })?;
        period(asked, &["lifetime"])?;
        return Ok(lifetime(sandbox, &effect, &names));
    }
    allowed(sandbox, asked, &effect.account, "instagram_manage_insights")?;
    asked.params.only(&["metric", "period", "metric_type", "breakdown"])?;
    let known = match product.as_deref() {
        Some("STORY") => STORY,
        Some("REELS") => REELS,
        Some(_) | None => FEED,
    };
    let names = named(sandbox, asked, known)?;
    if product.as_deref() == Some("STORY") {
        let audience = sandbox.book().world.settings.audience;
        if audience < LEAST_VIEWERS {
            return Err(GraphError::new(10, "(#10) Not enough viewers for the media to show insights"));
        }
        if sandbox.clock.now() - effect.at >= TimeDelta::hours(24) {
            return Ok(json!({ "data": [], "paging": {} }));
        }
    }
    Ok(lifetime(sandbox, &effect, &names))
}

/// What is public and was not removed.
fn public<'a>(book: &'a Book, id: &str) -> Option<&'a Effect> {
    let effect = book.world.effect_of(id)?;
    let gone = book.world.deleted.contains(id) || book.world.comments.contains_key(id);
    (!gone && effect.platform != Network::Tiktok).then_some(effect)
}

fn allowed(sandbox: &Sandbox, asked: &Asked, account: &str, permission: &str) -> Result<(), GraphError> {
    auth::owner(sandbox, asked, account)?;
    auth::granted(sandbox, account, permission)
}

/// The metrics that are asked for; one that is not known, or was retired, fails them all.
fn named(sandbox: &Sandbox, asked: &Asked, known: &[&str]) -> Result<Vec<String>, GraphError> {
    let list = asked.params.list("metric");
    let names: Vec<String> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if names.is_empty() || names.iter().all(String::is_empty) {
        return Err(GraphError::new(3001, "(#3001) Missing metric").with_subcode(1_504_028));
    }
    let book = sandbox.book();
    let retired = &book.world.settings.retired_metrics;
    let lives = |name: &String| known.contains(&name.as_str()) && !retired.contains(name);
    match names.iter().find(|name| !lives(name)) {
        None => Ok(names),
        Some(_) => Err(GraphError::parameter("The value must be a valid insights metric")),
    }
}

fn period(asked: &Asked, accepted: &[&str]) -> Result<(), GraphError> {
    match asked.params.text("period") {
        Some(period) if accepted.contains(&period.as_str()) => Ok(()),
        found => {
            let found = found.unwrap_or_default();
            Err(GraphError::parameter(format!("period {found:?} is incompatible with the metrics")))
        }
    }
}

/// The ends of the whole days between `since` and `until`.
fn days(sandbox: &Sandbox, asked: &Asked) -> Result<Vec<DateTime<Utc>>, GraphError> {
    let now = sandbox.clock.now();
    let moment = |name: &str| -> Result<Option<DateTime<Utc>>, GraphError> {
        let Some(text) = asked.params.text(name) else { return Ok(None) };
        let read = text.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        read.map(Some).ok_or_else(|| GraphError::parameter(format!("{name} must be a time in seconds")))
    };
    let until = moment("until")?.unwrap_or(now).min(now);
    let since = moment("since")?.unwrap_or(until - TimeDelta::days(2));
    if since >= until || until - since > TimeDelta::days(MOST_DAYS) {
        return Err(GraphError::parameter("There cannot be more than 90 days between since and until"));
    }
    let first = since.date_naive().and_time(NaiveTime::MIN).and_utc();
    let ends = (1..).map(|day| first + Days::new(day)).take_while(|end| *end <= until);
    Ok(ends.collect())
}

fn by_day(
    sandbox: &Sandbox,
    account: &str,
    names: &[String],
    days: &[DateTime<Utc>],
    ends_after: TimeDelta,
) -> Value {
    let settings = sandbox.book().world.settings.clone();
    let item = |name: &String| {
        let value = |end: &DateTime<Utc>| {
            let value = numbers::of_day(&settings, account, name, *end);
            json!({ "value": value, "end_time": fields::time(*end + ends_after) })
        };
        let values: Vec<_> = days.iter().map(value).collect();
        json!({ "name": name, "period": "day", "values": values, "title": name, "id": id_of(account, name, "day") })
    };
    json!({ "data": names.iter().map(item).collect::<Vec<_>>(), "paging": {} })
}

fn lifetime(sandbox: &Sandbox, effect: &Effect, names: &[String]) -> Value {
    let (settings, now) = (sandbox.book().world.settings.clone(), sandbox.clock.now());
    if now < numbers::told_from(&settings, effect) {
        return json!({ "data": [], "paging": {} });
    }
    let item = |name: &String| {
        let whole = numbers::of_object(&settings, effect, name, now);
        let value = match name.as_str() {
            "post_reactions_by_type_total" => json!({ "like": whole - whole / 4, "love": whole / 4 }),
            "post_clicks_by_type" | "post_activity_by_action_type" => json!({ "other": whole }),
            "reels_skip_rate" => json!(33.25),
            _ => json!(whole),
        };
        json!({
            "name": name,
            "period": "lifetime",
            "values": [{ "value": value }],
            "title": name,
            "description": "",
            "id": id_of(&effect.object_id, name, "lifetime"),
        })
    };
    json!({ "data": names.iter().map(item).collect::<Vec<_>>(), "paging": {} })
}

fn id_of(object: &str, metric: &str, period: &str) -> String {
    format!("{object}/insights/{metric}/{period}")
}
