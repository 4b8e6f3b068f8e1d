//! What Graph's headers say of its limits. They come with answers good and bad, once there was some use.

use std::time::Duration;

use jobs::gate::{Lane, Notice};
use serde_json::Value;

use super::super::http::{MOST_REST, Reply};

/// From how much use on a lane is left alone, and for how long where Graph does not say.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// In percent.
    pub most: f64,
    /// How long.
    pub rest: Duration,
}

/// What is told of ads.
const OF_ADS: [&str; 2] = ["x-ad-account-usage", "x-fb-ads-insights-throttle"];

/// What Graph asks for by its headers.
pub fn asked(reply: &Reply, patience: Patience) -> impl Iterator<Item = Notice> {
    let used_up = |name: &str| {
        let usage: Value = serde_json::from_str(reply.header(name)?).ok()?;
        (percent(&usage) >= patience.most).then_some(patience.rest)
    };
    let business = reply.header("x-business-use-case-usage").and_then(|usage| business(usage, patience));
    let ads = of_ads(reply).filter(|(used, _)| *used >= patience.most);
    let ads = ads.map(|(_, reset)| reset.unwrap_or(patience.rest));
    let account = used_up("x-page-usage").max(business).max(ads);
    let app = used_up("x-app-usage").map(|rest| Notice::Rest(Lane::App, rest));
    app.into_iter().chain(account.map(|rest| Notice::Rest(Lane::Account, rest)))
}

/// How much is used of the app's limit, and the most of any of the account's.
pub fn used(reply: &Reply) -> impl Iterator<Item = Notice> {
    let read = |name: &str| serde_json::from_str::<Value>(reply.header(name)?).ok();
    let plain = |name: &str| read(name).map(|usage| percent(&usage));
    let business = read("x-business-use-case-usage");
    let pages = business.iter().flat_map(items).map(percent).chain(plain("x-page-usage"));
    let account = pages.chain(of_ads(reply).map(|(used, _)| used)).reduce(f64::max);
    let app = plain("x-app-usage").map(|percent| Notice::Used(Lane::App, whole(percent)));
    app.into_iter().chain(account.map(|percent| Notice::Used(Lane::Account, whole(percent))))
}

/// Whole percents, and no more than there are.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within 0 and 100")]
fn whole(percent: f64) -> u8 {
    percent.clamp(0.0, 100.0) as u8
}

/// Whether Graph speaks of its limits at all.
pub fn speaks(reply: &Reply) -> bool {
    ["x-app-usage", "x-page-usage", "x-business-use-case-usage"]
        .iter()
        .chain(&OF_ADS)
        .any(|name| reply.header(name).is_some())
}

/// How much is used of what may be asked of ads, in percent, and when that begins anew. The app's part of it is among that:
/// nobody but who reads ads is under it, and publishing waits for neither.
fn of_ads(reply: &Reply) -> Option<(f64, Option<Duration>)> {
    let read = |name: &&str| serde_json::from_str::<Value>(reply.header(name)?).ok();
    let told: Vec<Value> = OF_ADS.iter().filter_map(read).collect();
    let percents = ["acc_id_util_pct", "app_id_util_pct"];
    let used = told.iter().flat_map(|usage| percents.iter().filter_map(move |name| usage[*name].as_f64()));
    let seconds = told.iter().filter_map(|usage| usage["reset_time_duration"].as_u64());
    let reset = seconds.filter(|seconds| *seconds > 0).max();
    let reset = reset.map(|seconds| Duration::from_secs(seconds).min(MOST_REST));
    used.reduce(f64::max).map(|used| (used, reset))
}

/// The longest `estimated_time_to_regain_access`, which is in minutes.
pub fn regained_in(usage: &str) -> Option<Duration> {
    let usage: Value = serde_json::from_str(usage).ok()?;
    items(&usage).filter_map(regained).max()
}

/// How long whoever used up as much as this is left alone: the longest of the account's several uses.
fn business(usage: &str, patience: Patience) -> Option<Duration> {
    let usage: Value = serde_json::from_str(usage).ok()?;
    let rest = |item| regained(item).or_else(|| (percent(item) >= patience.most).then_some(patience.rest));
    items(&usage).filter_map(rest).max()
}

/// One item a kind of use, under the id of the page, account or business.
fn items(usage: &Value) -> impl Iterator<Item = &Value> {
    usage.as_object().into_iter().flat_map(|ids| ids.values()).filter_map(Value::as_array).flatten()
}

fn regained(item: &Value) -> Option<Duration> {
    let minutes = item["estimated_time_to_regain_access"].as_u64().filter(|minutes| *minutes > 0)?;
    Some(Duration::from_secs(minutes.saturating_mul(60)).min(MOST_REST))
}

/// The most that is used of anything.
fn percent(usage: &Value) -> f64 {
    let of = |name: &str| usage[name].as_f64().unwrap_or_default();
    ["call_count", "total_time", "total_cputime"].map(of).into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { most: 95.0, rest: Duration::from_mins(10) };

    fn notices(headers: &[(&'static str, &str)]) -> Vec<Notice> {
        asked(&Reply::with_headers(headers), PATIENCE).collect()
    }

    #[test]
    fn whoever_has_used_nearly_all_is_left_alone() {
        let app = Notice::Rest(Lane::App, PATIENCE.rest);
        let account = Notice::Rest(Lane::Account, PATIENCE.rest);
        let cases: &[(&'static str, &str, &[Notice])] = &[
            ("x-app-usage", r#"{"call_count":94,"total_time":25,"total_cputime":25}"#, &[]),
            ("x-app-usage", r#"{"call_count":95,"total_time":25,"total_cputime":25}"#, &[app]),
            ("x-app-usage", r#"{"call_count":1,"total_time":1,"total_cputime":100}"#, &[app]),
            ("x-page-usage", r#"{"call_count":1,"total_time":97,"total_cputime":3}"#, &[account]),
            ("x-business-use-case-usage", r#"{"1":[{"type":"pages","call_count":99}]}"#, &[account]),
            ("x-business-use-case-usage", r#"{"1":[{"type":"pages","call_count":50}]}"#, &[]),
            ("x-app-usage", "nonsense", &[]),
            ("x-app-usage", "[]", &[]),
        ];
        for (name, value, expected) in cases {
            assert_eq!(notices(&[(name, value)]), *expected, "{name}: {value}");
        }
    }

    #[test]
    fn how_much_is_used_is_told_of_the_app_and_of_the_account_apart() {
        let all = [
            ("x-app-usage", r#"{"call_count":76.9,"total_time":25,"total_cputime":25}"#),
            ("x-page-usage", r#"{"call_count":12,"total_time":1,"total_cputime":3}"#),
            ("x-business-use-case-usage", r#"{"1":[{"type":"pages","call_count":40}]}"#),
        ];
        let told = |headers: &[(&'static str, &str)]| -> Vec<Notice> {
            used(&Reply::with_headers(headers)).collect()
        };
        assert_eq!(told(&all), [Notice::Used(Lane::App, 76), Notice::Used(Lane::Account, 40)]);
        assert_eq!(told(&all[1..2]), [Notice::Used(Lane::Account, 12)]);
        assert!(told(&[("x-app-usage", "nonsense")]).is_empty());
    }

    #[test]
    fn what_is_used_of_the_limits_of_ads_is_the_ad_accounts_and_never_the_apps() {
        let insights = ("x-fb-ads-insights-throttle", r#"{"app_id_util_pct":100,"acc_id_util_pct":10}"#);
        let account = ("x-ad-account-usage", r#"{"acc_id_util_pct":96.5,"reset_time_duration":100}"#);
        assert_eq!(notices(&[insights]), [Notice::Rest(Lane::Account, PATIENCE.rest)]);
        assert_eq!(notices(&[account]), [Notice::Rest(Lane::Account, Duration::from_secs(100))]);
        let little = ("x-ad-account-usage", r#"{"acc_id_util_pct":9.67,"reset_time_duration":100}"#);
        assert_eq!(notices(&[little]), []);
        let told: Vec<Notice> = used(&Reply::with_headers(&[little])).collect();
        assert_eq!(told, [Notice::Used(Lane::Account, 9)]);
        assert!(speaks(&Reply::with_headers(&[insights])));
    }

    #[test]
    fn the_time_that_graph_names_goes_before_ours_and_is_a_day_at_most() {
        let usage = |minutes: u64| {
            let usage =
                format!(r#"{{"1":[{{"call_count":100,"estimated_time_to_regain_access":{minutes}}}]}}"#);
            notices(&[("x-business-use-case-usage", &usage)])
        };
        assert_eq!(usage(19), [Notice::Rest(Lane::Account, Duration::from_mins(19))]);
        assert_eq!(usage(0), [Notice::Rest(Lane::Account, PATIENCE.rest)]);
        assert_eq!(usage(u64::MAX), [Notice::Rest(Lane::Account, MOST_REST)]);
    }

    #[test]
    fn the_longest_time_to_regain_access_counts_and_is_in_minutes() {
        let usage = r#"{"1":[{"type":"pages","estimated_time_to_regain_access":19},
            {"estimated_time_to_regain_access":3}],"2":[{"call_count":1}]}"#;
        assert_eq!(regained_in(usage), Some(Duration::from_mins(19)));
        assert_eq!(regained_in(r#"{"1":[{"estimated_time_to_regain_access":0}]}"#), None);
        assert_eq!(regained_in("nonsense"), None);
    }
}
