//! Settings from `worker.toml` and the environment, and the addresses and secrets that only the environment
//! holds. What is wrong stops the start with one line: the key, what was found, what is accepted.

mod analysis;
mod deletion;
mod lookout;
mod metrics;
mod retention;
mod schedules;
mod traffic;
mod transit;
mod webhooks;

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use jobs::contract::Retry;
use secrecy::SecretString;
use serde::Deserialize;

pub use analysis::Analysis;
pub use deletion::Deletion;
pub use lookout::Lookout;
pub use metrics::Metrics;
pub use retention::Retention;
pub use schedules::ScheduleSettings;
pub use traffic::TrafficSettings;
pub use transit::{database_url, redis_url};
pub use webhooks::Webhooks;

use crate::networks::NETWORKS;

const DEFAULTS: &str = include_str!("../worker.toml");
const PREFIX: &str = "POSTROOM";

/// Everything `worker.toml` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Leases and what follows from them.
    pub lease: Lease,
    /// Finding due and lost jobs.
    pub relay: Relay,
    /// Each kind of job by its name.
    pub jobs: BTreeMap<String, KindSettings>,
    /// What is done by the clock, by its name.
    #[serde(default)]
    pub schedules: BTreeMap<String, ScheduleSettings>,
    /// How posts are brought out.
    pub publishing: Publishing,
    /// How networks are asked ahead.
    pub lookout: Lookout,
    /// When networks are asked what they have counted.
    pub metrics: Metrics,
    /// What a provider of AI is asked.
    pub analysis: Analysis,
    /// How networks are treated that fail.
    pub traffic: TrafficSettings,
    /// Each network by the name of its file.
    pub networks: crate::networks::Settings,
    /// How requests for deletion are carried out.
    pub deletion: Deletion,
    /// Where workspaces are told of what happens.
    pub webhooks: Webhooks,
    /// The door.
    pub web: Web,
    /// What is dropped when.
    pub retention: Retention,
}

/// Leases and what follows from them.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// A worker that has not renewed for this long is presumed dead.
    #[serde(with = "humantime_serde")]
    pub length: Duration,
    /// How long a network may need to show what it was sent.
    #[serde(with = "humantime_serde")]
    pub settle: Duration,
    /// How long a worker that is told to stop may still finish what it holds.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// Workers that a job may take with it before it runs alone.
    pub isolate_after: i32,
    /// Workers that a job may take with it before it is given up.
    pub crash_limit: i32,
}

impl Lease {
    /// One commit call, from arming to its answer.
    pub fn commit_timeout(&self) -> Duration {
        self.length / 2
    }

    /// From arming until nothing sent then can still be on its way.
    pub fn quarantine(&self) -> Duration {
        self.commit_timeout() + self.settle + self.length / 6
    }
}

/// Finding due and lost jobs.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    /// How often the ledger is searched for jobs whose hint was lost.
    #[serde(with = "humantime_serde")]
    pub sweep_every: Duration,
    /// Jobs due within this span are held in memory and pushed at their moment.
    #[serde(with = "humantime_serde")]
    pub look_ahead: Duration,
    /// The most hints of one queue.
    pub window: u32,
    /// How often workers look for the dead.
    #[serde(with = "humantime_serde")]
    pub reap_every: Duration,
    /// How often they look for publications that lost their job or are past their time.
    #[serde(with = "humantime_serde")]
    pub mend_every: Duration,
}

/// One kind of job.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindSettings {
    /// Jobs worked on at once by one worker.
    pub concurrency: usize,
    /// The part of them that one workspace may take, above 0 and at most 1.
    #[serde(default = "whole")]
    pub workspace_share: f64,
    /// The longest one attempt may take.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// The scale of the first wait.
    #[serde(with = "humantime_serde")]
    pub retry_base: Duration,
    /// The longest wait.
    #[serde(with = "humantime_serde")]
    pub retry_cap: Duration,
    /// Attempts in all.
    pub retry_attempts: u32,
    /// How long it is tried again, or made to wait for a network's limits.
    #[serde(with = "humantime_serde", default = "a_day")]
    pub retry_within: Duration,
}

const fn whole() -> f64 {
    1.0
}

const fn a_day() -> Duration {
    Retry::STANDARD.within
}

impl KindSettings {
    /// The retry policy these settings make.
    pub fn retry(&self) -> Retry {
        Retry {
            base: self.retry_base,
            cap: self.retry_cap,
            attempts: self.retry_attempts,
            within: self.retry_within,
        }
    }

    /// Says what is wrong with it, if anything.
    fn check(&self, name: &str) -> Result<(), ConfigError> {
        let key = |key: &str| format!("jobs.{name}.{key}");
        positive(&key("concurrency"), self.concurrency)?;
        traffic::share(&key("workspace_share"), self.workspace_share)?;
        positive(&key("retry_attempts"), self.retry_attempts as usize)?;
        let (tick, day, month) =
            (Duration::from_millis(1), Duration::from_hours(24), Duration::from_hours(31 * 24));
        traffic::span(&key("timeout"), self.timeout, tick..=day)?;
        traffic::span(&key("retry_base"), self.retry_base, tick..=day)?;
        traffic::span(&key("retry_cap"), self.retry_cap, self.retry_base..=day)?;
        traffic::span(&key("retry_within"), self.retry_within, Duration::from_secs(1)..=month)
    }
}

/// How posts are brought out.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publishing {
    /// How long before its time a post is made ready at the network.
    #[serde(with = "humantime_serde")]
    pub prepare_ahead: Duration,
    /// A post that could not go out within this span after its time is held.
    #[serde(with = "humantime_serde")]
    pub latest_after: Duration,
    /// Between the durable intent to send and the request.
    #[serde(with = "humantime_serde")]
    pub send_within: Duration,
    /// The shortest wait between looks at a network.
    #[serde(with = "humantime_serde")]
    pub look_least: Duration,
    /// The longest wait between looks at a network.
    #[serde(with = "humantime_serde")]
    pub look_most: Duration,
    /// Without evidence for this long, a person decides.
    #[serde(with = "humantime_serde")]
    pub evidence_limit: Duration,
    /// For so long after it was sent a network may still carry out a request whose answer was lost.
    #[serde(with = "humantime_serde")]
    pub late_limit: Duration,
    /// Two posts that say the same to one account not further apart than this are a repetition.
    #[serde(with = "humantime_serde")]
    pub repeat_within: Duration,
}

/// The door.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Web {
    /// The largest JSON body, in bytes.
    pub body_limit: usize,
    /// The largest picture, in bytes.
    pub image_limit: u64,
    /// The largest film, in bytes.
    pub video_limit: u64,
    /// What is promised with so many bytes or more comes in parts.
    pub parts_from: u64,
    /// The most pixels of a picture.
    pub pixel_limit: u64,
    /// How long a person stays signed in without coming back.
    #[serde(with = "humantime_serde")]
    pub session: Duration,
    /// How far ahead a post may be scheduled, in days.
    pub horizon_days: u32,
    /// What says where a request comes from.
    pub client_address: ClientAddress,
    /// Requests a second from one address.
    pub address_rate: u32,
    /// Requests a second with one key.
    pub key_rate: u32,
    /// Tokens a second that one key is given or takes back.
    pub token_rate: u32,
    /// Requests a second of one person.
    pub person_rate: u32,
    /// Snapshots of metrics that one workspace may ask for in an hour.
    pub snapshot_asks: u32,
    /// Attempts to sign in a second from one address.
    pub sign_in_rate: u32,
}

/// What says where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddress {
    /// The connection itself: nothing stands in front.
    Socket,
    /// `X-Real-IP`, which the proxy in front sets.
    XRealIp,
    /// The last entry of `X-Forwarded-For`, which the proxy in front appends.
    XForwardedFor,
}

/// A setting that cannot be used: the key, what was found, what is accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Settings {
    /// Reads `file`, else `POSTROOM_CONFIG`, else `./worker.toml`, over the compiled-in defaults, under the
    /// environment.
    ///
    /// # Errors
    /// An unknown key, a bad value, or a named file that cannot be read.
    pub fn load(file: Option<PathBuf>) -> Result<Self, ConfigError> {
        let named = file.or_else(|| std::env::var_os("POSTROOM_CONFIG").map(PathBuf::from));
        let path = named.clone().unwrap_or_else(|| PathBuf::from("worker.toml"));
        let environment = std::env::vars().filter(|(key, _)| key.starts_with("POSTROOM__")).collect();
        let source = config::File::from(path).format(config::FileFormat::Toml).required(named.is_some());
        Self::from_sources(source, environment)
    }

    fn from_sources<T: config::Source + Send + Sync + 'static>(
        file: T,
        environment: config::Map<String, String>,
    ) -> Result<Self, ConfigError> {
        let environment = config::Environment::with_prefix(PREFIX)
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .source(Some(environment));
        let settings: Self = config::Config::builder()
            .add_source(config::File::from_str(DEFAULTS, config::FileFormat::Toml))
            .add_source(file)
            .add_source(environment)
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|e| {
                ConfigError(format!(
                    "worker.toml or a POSTROOM__ variable: {e}; accepted durations are 250ms, 30s, 5m, 2h, 7d"
                ))
            })?;
        settings.checked()
    }

    fn checked(self) -> Result<Self, ConfigError> {
        for (name, kind) in &self.jobs {
            if jobs::kind(name).is_none() {
                let known: Vec<_> = jobs::kinds().map(|kind| kind.name).collect();
                return Err(ConfigError(format!(
                    "jobs.{name}: there is no such kind; there is {}",
                    known.join(", ")
                )));
            }
            kind.check(name)?;
        }
        self.deletion.check()?;
        self.lookout.check()?;
        self.metrics.check()?;
        self.analysis.check()?;
        self.traffic.check()?;
        self.retention.check()?;
        self.webhooks.check()?;
        let year = Duration::from_hours(366 * 24);
        traffic::span("publishing.repeat_within", self.publishing.repeat_within, Duration::ZERO..=year)?;
        for (name, schedule) in &self.schedules {
            schedule.check(name)?;
        }
        for (file, table) in &self.networks {
            let Some(network) = NETWORKS.iter().find(|network| network.file == file) else {
                let known: Vec<_> = NETWORKS.iter().map(|network| network.file).collect();
                return Err(ConfigError(format!(
                    "networks.{file}: there is no such network; there is {}",
                    known.join(", ")
                )));
            };
            (network.check)(table).map_err(|what| ConfigError(format!("networks.{file}: {what}")))?;
        }
        positive("relay.window", self.relay.window as usize)?;
        if !(1..=self.lease.crash_limit).contains(&self.lease.isolate_after) {
            let (found, most) = (self.lease.isolate_after, self.lease.crash_limit);
            return Err(ConfigError(format!(
                "lease.isolate_after: found {found}; 1 to lease.crash_limit, which is {most}, is accepted"
            )));
        }
        if self.lease.length < Duration::from_secs(1) {
            return Err(ConfigError(format!(
                "lease.length: found {:?}, at least 1s is accepted",
                self.lease.length
            )));
        }
        Ok(self)
    }

    /// The settings of a kind; `load` has made sure that each kind has some.
    pub fn kind(&self, kind: &jobs::contract::Kind) -> KindSettings {
        self.jobs.get(kind.name).copied().unwrap_or(KindSettings {
            concurrency: 8,
            workspace_share: whole(),
            timeout: kind.limit,
            retry_base: kind.retry.base,
            retry_cap: kind.retry.cap,
            retry_attempts: kind.retry.attempts,
            retry_within: kind.retry.within,
        })
    }
}

fn positive(key: &str, value: usize) -> Result<(), ConfigError> {
    if value == 0 {
        return Err(ConfigError(format!("{key}: found 0, at least 1 is accepted")));
    }
    Ok(())
}

/// A variable that must be there.
///
/// # Errors
/// It is not set, or empty.
pub fn required(name: &str, meaning: &str) -> Result<String, ConfigError> {
    optional(name).ok_or_else(|| ConfigError(format!("{name}: not set; it is {meaning}")))
}

/// A variable that may be there.
pub fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A secret that must be there.
///
/// # Errors
/// It is not set, or empty.
pub fn secret(name: &str, meaning: &str) -> Result<SecretString, ConfigError> {
    required(name, meaning).map(SecretString::from)
}

impl ConfigError {
    /// A key, what was found, what is accepted.
    pub fn new(key: &str, what: impl fmt::Display) -> Self {
        Self(format!("{key}: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn load(toml: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let file = config::File::from_str(toml, config::FileFormat::Toml);
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::from_sources(file, environment)
    }

    #[test]
    fn the_compiled_in_defaults_are_complete_and_name_every_kind() {
        let settings = load("", &[]).expect("the defaults load");
        for kind in jobs::KINDS {
            assert!(settings.jobs.contains_key(kind.name), "jobs.{} is missing", kind.name);
        }
    }

    #[test]
    fn an_unknown_key_stops_the_start_and_is_named() {
        let error = load("[lease]\nlenght = \"3s\"", &[]).expect_err("refused").to_string();
        assert!(error.contains("lenght"), "{error}");
    }

    #[test]
    fn a_variable_overrides_the_file_and_a_wrong_one_is_named() {
        let settings =
            load("[lease]\nlength = \"20s\"", &[("POSTROOM__LEASE__LENGTH", "3s")]).expect("loads");
        assert_eq!(settings.lease.length, Duration::from_secs(3));
        let error = load("", &[("POSTROOM__LEASE__LENGTH", "soon")]).expect_err("refused").to_string();
        assert!(error.contains("soon") && error.contains("accepted"), "{error}");
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_refused_by_its_key_with_what_was_found_and_what_is_accepted() {
        for (key, found) in [
            ("jobs.publish.concurrency", "0"),
            ("jobs.publish.workspace_share", "1.5"),
            ("jobs.publish.timeout", "0s"),
            ("jobs.publish.timeout", "2days"),
            ("jobs.publish.retry_base", "0s"),
            ("jobs.publish.retry_cap", "1s"),
            ("jobs.publish.retry_attempts", "0"),
            ("jobs.publish.retry_within", "0s"),
            ("jobs.publish.retry_within", "400days"),
            ("traffic.window", "0s"),
            ("traffic.window", "1day"),
            ("traffic.error_share", "0"),
            ("traffic.error_share", "-0.1"),
            ("traffic.retry_share", "1.1"),
            ("traffic.least_answers", "0"),
            ("traffic.open_first", "0s"),
            ("traffic.open_most", "1s"),
            ("networks.facebook.app_rate", "0/1m"),
            ("networks.instagram.workspace_rate", "-1/1m"),
            ("networks.tiktok.account_rate", "6/1ms"),
            ("networks.facebook.usage_most", "101"),
            ("networks.instagram.usage_rest", "0s"),
            ("networks.facebook.app_rest", "2days"),
        ] {
            let variable = format!("POSTROOM__{}", key.replace('.', "__").to_uppercase());
            let said = load("", &[(&variable, found)]).expect_err(&format!("{key} = {found}")).to_string();
            let (table, last) = key.rsplit_once('.').expect("a table and a key");
            assert!(said.contains(table) && said.contains(last), "{key} = {found}: {said}");
            assert!(said.contains("found") && said.contains("accepted"), "{key} = {found}: {said}");
            assert!(!said.contains('\n'), "{key} = {found}: {said}");
        }
        for (variable, found) in
            [("POSTROOM__JOBS__PUBLISH__CONCURRENCY", "-1"), ("POSTROOM__TRAFFIC__LEAST_ANSWERS", "-1")]
        {
            assert!(load("", &[(variable, found)]).is_err(), "{variable}");
        }
    }

    #[test]
    fn an_unknown_kind_and_a_zero_are_refused() {
        assert!(load("[jobs.publihs]\nconcurrency = 1\ntimeout = \"1s\"\nretry_base = \"1s\"\nretry_cap = \"1s\"\nretry_attempts = 1", &[]).is_err());
        assert!(load("[jobs.publish]\nconcurrency = 0", &[]).is_err());
    }
}
