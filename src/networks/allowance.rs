//! What networks have in common in their tables of `worker.toml`: rates, rests and the like. A rate is written
//! `"6/1m"`, six calls in any minute, or `"off"`, no limit of ours.

use std::time::Duration;

use humantime_serde::re::humantime;
use jobs::gate::{Allowance, Rate};
use serde_json::Value;

/// The most calls of a rate; the ledger counts time in microseconds.
const MOST_CALLS: u32 = 10_000;
/// The spans that a rate may be over, and that a rest may take.
const SPANS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// Takes these keys out of a table, so that what is left is the network's own.
pub fn split<const N: usize>(table: &Value, keys: [&str; N]) -> ([Option<Value>; N], Value) {
    let mut own = table.clone();
    let taken = keys.map(|key| own.as_object_mut().and_then(|own| own.remove(key)));
    (taken, own)
}

/// The rate that networks of one app share.
pub const APP_RATE: &str = "app_rate";
/// The keys of an allowance.
pub const RATES: [&str; 3] = [APP_RATE, "workspace_rate", "account_rate"];

/// What an app may do, of the values of [`RATES`].
///
/// # Errors
/// A rate that is none; the message names the key.
pub fn allowance(app: &'static str, rates: &[Option<Value>; 3]) -> Result<Allowance, String> {
    let [app_rate, workspace_rate, account_rate] = rates;
    Ok(Allowance {
        app,
        app_rate: rate(RATES[0], app_rate.as_ref())?,
        workspace_rate: rate(RATES[1], workspace_rate.as_ref())?,
        account_rate: rate(RATES[2], account_rate.as_ref())?,
    })
}

fn rate(key: &str, found: Option<&Value>) -> Result<Option<Rate>, String> {
    let accepted = format!("\"off\" and 1 to {MOST_CALLS} calls in 1s to 24h, such as \"6/1m\"");
    match found.map(Value::as_str) {
        None | Some(Some("off")) => Ok(None),
        Some(text) => text.and_then(parse).map(Some).ok_or_else(|| wrong(key, found, &accepted)),
    }
}

fn parse(text: &str) -> Option<Rate> {
    let (calls, per) = text.split_once('/')?;
    let rate = Rate { calls: calls.trim().parse().ok()?, per: humantime::parse_duration(per.trim()).ok()? };
    ((1..=MOST_CALLS).contains(&rate.calls) && SPANS.contains(&rate.per)).then_some(rate)
}

/// A part of a whole in percent. From the environment a number may come as text.
///
/// # Errors
/// It is none; the message names the key.
pub fn percent(key: &str, found: Option<&Value>) -> Result<f64, String> {
    let number = found.and_then(|found| found.as_f64().or_else(|| found.as_str()?.parse().ok()));
    let number = number.filter(|number| *number > 0.0 && *number <= 100.0);
    number.ok_or_else(|| wrong(key, found, "a percentage above 0 and up to 100"))
}

/// A time to be left alone.
///
/// # Errors
/// It is none; the message names the key.
pub fn rest(key: &str, found: Option<&Value>) -> Result<Duration, String> {
    let span = found.and_then(Value::as_str).and_then(|text| humantime::parse_duration(text).ok());
    span.filter(|span| SPANS.contains(span)).ok_or_else(|| wrong(key, found, "1s to 24h, such as \"5m\""))
}

fn wrong(key: &str, found: Option<&Value>, accepted: &str) -> String {
    let found = found.map_or_else(|| "nothing".to_owned(), Value::to_string);
    format!("{key}: found {found}; accepted is {accepted}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rate_is_so_many_calls_in_a_span() {
        let read = |text: &str| rate("account_rate", Some(&json!(text)));
        let minute = Rate { calls: 6, per: Duration::from_mins(1) };
        assert_eq!(read("6/1m"), Ok(Some(minute)));
        assert_eq!(read("6 / 60s"), Ok(Some(minute)));
        assert_eq!((read("off"), rate("account_rate", None)), (Ok(None), Ok(None)));
        for found in ["0/1m", "-1/1m", "6", "6/0s", "6/1ms", "6/2days", "1.5/1m", "20000/1m", "often"] {
            let said = read(found).expect_err("refused");
            assert!(said.starts_with("account_rate: found") && said.contains(found), "{said}");
        }
        assert!(rate("account_rate", Some(&json!(6))).is_err());
    }

    #[test]
    fn a_percentage_may_be_a_number_or_its_text() {
        for right in [json!(95), json!("95"), json!(95.0)] {
            assert!(percent("usage_most", Some(&right)).is_ok_and(|found| (found - 95.0).abs() < 0.1));
        }
        for found in [json!(0), json!(-1), json!(101), json!("x"), json!(null)] {
            assert!(
                percent("usage_most", Some(&found)).is_err_and(|said| said.starts_with("usage_most: found"))
            );
        }
        assert!(percent("usage_most", None).is_err());
    }

    #[test]
    fn a_rest_is_no_moment_and_no_year() {
        let read = |text: &str| rest("app_rest", Some(&json!(text)));
        assert_eq!(read("5m"), Ok(Duration::from_mins(5)));
        for found in ["0s", "10ms", "25h", "soon", "-1s"] {
            assert!(read(found).is_err_and(|said| said.starts_with("app_rest: found")), "{found}");
        }
    }
}
