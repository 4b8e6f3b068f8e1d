//! `[schedules.NAME]`: what is done by the clock on a wall. What is wrong is said before anything starts.

use jobs::{
    cron_line::{BadLine, CronLine},
    timetable::CatchUp,
    zones,
};
use serde::Deserialize;
use serde_json::Value;

use super::ConfigError;

/// The ledger keeps no larger payload.
const LARGEST_PAYLOAD: usize = 65_536;

/// One schedule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// Five fields, as Unix has them.
    pub cron: String,
    /// An IANA name.
    pub time_zone: String,
    /// The kind of the jobs.
    pub kind: String,
    /// Their payload.
    #[serde(default = "nothing")]
    pub payload: Value,
    /// `all`, `latest` or `none`.
    #[serde(default = "latest")]
    pub catch_up: String,
    /// Whether it fires.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}

fn latest() -> String {
    CatchUp::Latest.word().to_owned()
}

const fn enabled() -> bool {
    true
}

impl ScheduleSettings {
    /// Says what is wrong with it, if anything.
    pub(super) fn check(&self, name: &str) -> Result<(), ConfigError> {
        let bad = |key: &str, what: String| Err(ConfigError::new(&format!("schedules.{name}{key}"), what));
        if !is_word(name) {
            return bad("", "accepted are names of up to 63 lower-case letters, digits and _".into());
        }
        if let Err(why) = self.cron.parse::<CronLine>() {
            return bad(".cron", found_line(&self.cron, &why));
        }
        if let Err(like) = zones::named(&self.time_zone) {
            return bad(".time_zone", found_zone(&self.time_zone, &like));
        }
        if self.catch_up.parse::<CatchUp>().is_err() {
            let accepted = CatchUp::ALL.map(CatchUp::word).join(", ");
            return bad(".catch_up", format!("found {:?}; accepted are {accepted}", self.catch_up));
        }
        let Some(kind) = jobs::kind(&self.kind) else {
            let known: Vec<_> = jobs::kinds().map(|kind| kind.name).collect();
            return bad(".kind", format!("found {:?}; accepted are {}", self.kind, known.join(", ")));
        };
        if self.payload.to_string().contains("\\u0000") {
            return bad(".payload", "found a NUL character; accepted is text without".into());
        }
        let size = size(&self.payload);
        if size > LARGEST_PAYLOAD {
            return bad(".payload", format!("found {size} bytes; at most {LARGEST_PAYLOAD} are accepted"));
        }
        (kind.reads)(&self.payload).or_else(|why| {
            bad(
                ".payload",
                format!("found what is no {} payload: {why}; accepted is what that kind reads", kind.name),
            )
        })
    }
}

fn is_word(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(plain)
}

fn found_line(line: &str, why: &BadLine) -> String {
    format!("found {line:?}: {why}")
}

fn found_zone(zone: &str, like: &[&str]) -> String {
    let near = if like.is_empty() { String::new() } else { format!(", {} among them", like.join(", ")) };
    format!("found {zone:?}; accepted are IANA names such as Europe/Berlin{near}")
}

/// The payload's size as the ledger counts it, which writes a space after each comma and colon.
fn size(payload: &Value) -> usize {
    payload.to_string().len() + separators(payload)
}

fn separators(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len().saturating_sub(1) + items.iter().map(separators).sum::<usize>(),
        Value::Object(fields) => {
            (2 * fields.len()).saturating_sub(1) + fields.values().map(separators).sum::<usize>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, tests::load};

    const GOOD: &str = r#"
        [schedules.nightly]
        cron = "30 2 * * *"
        time_zone = "Europe/Berlin"
        kind = "probe"
        payload = { does = "nothing", ballast = "LikeThis" }
    "#;

    fn refused(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        load(&GOOD.replace(from, to), &[]).expect_err(to).to_string()
    }

    #[test]
    fn a_schedule_is_read_and_what_it_leaves_out_has_a_default() {
        let settings = load(GOOD, &[]).expect("it loads");
        let nightly = &settings.schedules["nightly"];
        assert_eq!((nightly.catch_up.as_str(), nightly.enabled), ("latest", true));
        assert_eq!(nightly.payload, serde_json::json!({ "does": "nothing", "ballast": "LikeThis" }));
        let off = load(GOOD, &[("POSTROOM__SCHEDULES__NIGHTLY__ENABLED", "false")]).expect("it loads");
        assert!(!off.schedules["nightly"].enabled);
    }

    #[test]
    fn what_is_wrong_with_a_schedule_is_said_in_one_line_with_the_key() {
        let long = format!("\"{}\"", "x".repeat(65_536));
        for (from, to, said) in [
            ("30 2 * * *", "30 2 30 2 *", "schedules.nightly.cron: found \"30 2 30 2 *\": it never fires"),
            ("30 2 * * *", "0 30 2 * * *", "five are accepted"),
            ("30 2 * * *", "30 25 * * *", "\"25\" is no hour; accepted are *, 0 to 23"),
            (
                "Europe/Berlin",
                "Europe/Berlim",
                "schedules.nightly.time_zone: found \"Europe/Berlim\"; accepted",
            ),
            ("Europe/Berlin", "Europe/Berlim", "Europe/Berlin"),
            ("\"probe\"", "\"prob\"", "schedules.nightly.kind: found \"prob\"; accepted are publish"),
            ("\"nothing\"", "\"everything\"", "schedules.nightly.payload: found what is no probe payload"),
            (
                "\"LikeThis\"",
                &long,
                "schedules.nightly.payload: found 65570 bytes; at most 65536 are accepted",
            ),
            ("LikeThis", "a\\u0000b", "NUL"),
            (
                "kind =",
                "catch_up = \"some\"\nkind =",
                "schedules.nightly.catch_up: found \"some\"; accepted are all",
            ),
            ("kind =", "tz = \"UTC\"\nkind =", "tz"),
            ("nightly", "Nightly", "schedules.Nightly: accepted are names"),
        ] {
            let error = refused(from, to);
            assert!(error.contains(said) && error.contains("accepted"), "{to}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn the_example_of_the_manual_loads() {
        let manual = include_str!("../../worker.toml");
        let from = manual.find("# [schedules.").expect("there is one");
        let example: Vec<_> = manual[from..].lines().map_while(|line| line.strip_prefix("# ")).collect();
        let settings: Settings = load(&example.join("\n"), &[]).expect("it loads");
        assert_eq!(settings.schedules.len(), 1);
    }
}
