//! The only outbound HTTP: each network in the shape *prepare → handle → commit*, and the object store.
//!
//! A network is one file here and one line in [`NETWORKS`], with a table of its file's name in `worker.toml`.

mod allowance;
pub mod capabilities;
pub mod courier;
mod facebook;
pub mod google;
mod graph;
mod http;
mod instagram;
pub mod mail;
mod meta_ads;
pub mod openai;
pub mod outbound;
#[cfg(test)]
mod proof;
pub mod s3;
mod tiktok;

use std::collections::BTreeMap;

use jobs::{
    connections::Dialog,
    desk::{Network, Networks},
    gate::{Allowance, Rate},
    reach,
    surface::{Platform, Surface},
};
use serde::de::DeserializeOwned;
use url::Url;

use self::allowance::APP_RATE;

/// Each network's table of `worker.toml`, by the name of its file; read by the network itself.
pub type Settings = BTreeMap<String, serde_json::Value>;

/// Reads an environment variable; empty counts as not set.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Makes a network of its table and the environment.
pub type Connect = fn(&serde_json::Value, Environment<'_>) -> Result<Option<Box<dyn Network>>, String>;

/// Makes the dialog of a network of every network's table and the environment, if its variables are set.
pub type MakeDialog = fn(&Settings, Environment<'_>) -> Result<Option<Dialog>, String>;

/// A network's line in the registry.
pub struct Entry {
    /// The name of its file, and of its table in `worker.toml`.
    pub file: &'static str,
    /// What the door, the form and the worker need to know of it.
    pub platform: &'static Platform,
    /// Whether its table can be used; else what is wrong with it.
    pub check: fn(&serde_json::Value) -> Result<(), String>,
    /// Switches it on if its variables are set; a half-set group is an error.
    pub connect: Connect,
    /// The dialog in which its accounts are granted; none: they are granted in that of another network.
    pub dialog: Option<MakeDialog>,
    /// The variable that names its address, and the real one, which holds where that is not set.
    pub address: (&'static str, &'static str),
    /// The table whose `app_rate` is its own, too, where its own says none; none: then there is none.
    pub rate_of: Option<&'static str>,
}

/// Every network.
pub const NETWORKS: &[Entry] = &[facebook::ENTRY, instagram::ENTRY, meta_ads::ENTRY, tiktok::ENTRY];

/// The networks that are switched on.
pub struct Connected {
    networks: BTreeMap<&'static str, Box<dyn Network>>,
}

impl Connected {
    /// The platforms that are switched on, by name.
    pub fn platforms(&self) -> impl Iterator<Item = &'static str> {
        self.networks.keys().copied()
    }
}

impl Networks for Connected {
    fn of(&self, platform: &str) -> Option<&dyn Network> {
        self.networks.get(platform).map(AsRef::as_ref)
    }

    fn surface(&self, platform: &str, surface: &str) -> Option<&'static Surface> {
        let of = NETWORKS.iter().find(|entry| entry.platform.name == platform)?;
        of.platform.surface(surface)
    }

    fn platform(&self, name: &str) -> Option<&'static Platform> {
        NETWORKS.iter().map(|entry| entry.platform).find(|platform| platform.name == name)
    }

    fn title(&self, platform: &str) -> Option<&'static str> {
        NETWORKS.iter().find(|entry| entry.platform.name == platform).map(|entry| entry.platform.title)
    }
}

/// Switches on every network whose variables are set.
///
/// # Errors
/// A half-set group, an address or a table that cannot be used; the message names the key.
pub fn connect_all(settings: &Settings, environment: Environment<'_>) -> Result<Connected, String> {
    let mut networks = BTreeMap::new();
    for entry in NETWORKS {
        if let Some(network) = (entry.connect)(&table(settings, entry)?, environment)? {
            networks.insert(entry.platform.name, network);
        }
    }
    agree(&networks)?;
    Ok(Connected { networks })
}

/// A network's own table, with the rate of its app where another's says that.
fn table(settings: &Settings, entry: &Entry) -> Result<serde_json::Value, String> {
    let of = |file: &str| settings.get(file).ok_or_else(|| format!("networks.{file}: the table is missing"));
    let mut own = of(entry.file)?.clone();
    let rate = entry.rate_of.map(of).transpose()?.and_then(|table| table.get(APP_RATE));
    if let (Some(own), Some(rate)) = (own.as_object_mut(), rate) {
        own.entry(APP_RATE).or_insert_with(|| rate.clone());
    }
    Ok(own)
}

/// Networks that something stands in for, and where that is: what is public there is seen there, too.
pub fn stand_ins(environment: Environment<'_>) -> Vec<(&'static str, Url)> {
    let stands = |entry: &Entry| {
        let (variable, real) = entry.address;
        let url = Url::parse(&environment(variable)?).ok()?;
        let below_site = entry.platform.site.hosts.iter().any(|host| {
            let named = url.host_str().unwrap_or_default();
            named == *host || named.ends_with(&format!(".{host}"))
        });
        let is_real = Url::parse(real).is_ok_and(|real| real.host_str() == url.host_str());
        (!below_site && !is_real).then_some((entry.platform.name, url))
    };
    NETWORKS.iter().filter_map(stands).collect()
}

/// The dialogs of the networks that are switched on.
///
/// # Errors
/// An address or a table that cannot be used; the message names the key.
pub fn dialogs(settings: &Settings, environment: Environment<'_>) -> Result<Vec<Dialog>, String> {
    let makes = NETWORKS.iter().filter_map(|entry| entry.dialog);
    makes.filter_map(|make| make(settings, environment).transpose()).collect()
}

/// Where a dialog is: below the address that a variable names, or else the real one.
fn dialog_address(
    environment: Environment<'_>,
    address: (&str, &str),
    path: &[&str],
) -> Result<String, String> {
    let mut address = base(environment, address)?;
    if let Ok(mut segments) = address.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    Ok(address.into())
}

/// Networks of one app draw from one rate.
fn agree(networks: &BTreeMap<&'static str, Box<dyn Network>>) -> Result<(), String> {
    let mut rates: BTreeMap<&'static str, Option<Rate>> = BTreeMap::new();
    for (name, network) in networks {
        let Allowance { app, app_rate, .. } = network.allowance();
        let first = *rates.entry(app).or_insert(app_rate);
        if first != app_rate {
            return Err(format!(
                "networks: {name} has another app_rate than the other networks of the app {app}; they share one, so \
                 write the same for each"
            ));
        }
    }
    Ok(())
}

/// A network's own settings out of its table.
fn read<S: DeserializeOwned>(table: &serde_json::Value) -> Result<S, String> {
    S::deserialize(table).map_err(|error| format!("{error}; durations are written 250ms, 30s, 5m, 2h"))
}

/// The values of variables that belong together, or `None` where none of them is set.
fn group<const N: usize>(
    environment: Environment<'_>,
    names: [&str; N],
) -> Result<Option<[String; N]>, String> {
    let values = names.map(environment);
    let Some(set) = names.iter().zip(&values).find_map(|(name, value)| value.as_ref().map(|_| *name)) else {
        return Ok(None);
    };
    for (name, value) in names.iter().zip(&values) {
        if value.is_none() {
            return Err(format!("{name}: not set, but {set} is; set both or neither"));
        }
    }
    Ok(Some(values.map(Option::unwrap_or_default)))
}

/// The address that calls are made below: what the variable names, or else the real one.
fn base(environment: Environment<'_>, (name, real): (&str, &str)) -> Result<Url, String> {
    let text = environment(name).unwrap_or_else(|| real.to_owned());
    let wrong =
        || format!("{name}: found {text:?}; accepted is an http:// or https:// address without a query");
    let url = Url::parse(&text).map_err(|_| wrong())?;
    let usable =
        matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    if usable { encrypted(name, &url).map(|()| url) } else { Err(wrong()) }
}

/// Makes sure that what is told to somebody outside the house goes there encrypted.
fn encrypted(name: &str, url: &Url) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default();
    if url.scheme() == "https" || reach::is_in_house(host) {
        return Ok(());
    }
    Err(format!("{name}: it goes to {host} in the clear; accepted outside a private network is https://"))
}

#[cfg(test)]
mod doubles {
    //! What the tests of this module put in the place of the rest of the house.

    use std::{path::Path, time::Duration};

    use async_trait::async_trait;
    use jobs::{
        contract::{Class, Failure},
        desk::{Call, Media},
        gate::Open,
    };
    use secrecy::SecretString;

    /// A read of an account with nothing in the store.
    pub fn call<'a>(token: &'a SecretString, media: &'a dyn Media) -> Call<'a> {
        Call { id: None, account: "1", token, media, gate: &Open, timeout: Duration::from_secs(5) }
    }

    /// A store that is away.
    pub struct NoMedia;

    #[async_trait]
    impl Media for NoMedia {
        async fn address(&self, _: &str) -> Result<String, Failure> {
            Err(away())
        }

        async fn read(&self, _: &str, _: u64, _: u64) -> Result<Vec<u8>, Failure> {
            Err(away())
        }

        async fn size(&self, _: &str) -> Result<Option<u64>, Failure> {
            Err(away())
        }

        async fn store(&self, _: &str, _: &str, _: &Path) -> Result<(), Failure> {
            Err(away())
        }

        async fn remove(&self, _: &str) -> Result<(), Failure> {
            Err(away())
        }
    }

    fn away() -> Failure {
        Failure::new(Class::Transient, "media_store", "away")
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, path::Path, time::Duration};

    use jobs::metrics::ads::PLATFORM as ADS;

    use super::*;

    fn defaults() -> Settings {
        let whole: toml::Table = include_str!("../../worker.toml").parse().expect("worker.toml is TOML");
        let networks = whole.get("networks").expect("a table for the networks");
        networks.clone().try_into().expect("tables")
    }

    fn changed(file: &str, key: &str, value: impl Into<serde_json::Value>) -> Settings {
        let mut settings = defaults();
        settings.get_mut(file).expect("a table")[key] = value.into();
        settings
    }

    fn asking_for_ads() -> Settings {
        changed("meta_ads", "ask_for_access", true)
    }

    fn connect(variables: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        let environment = |name: &str| variables.get(name).map(|value| (*value).to_owned());
        connect_all(&defaults(), &environment).map(|connected| connected.platforms().collect())
    }

    #[test]
    fn every_network_is_one_file_of_its_name() {
        for entry in NETWORKS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/networks");
            assert!(folder.join(entry.file).with_extension("rs").exists(), "{} has no file", entry.file);
        }
    }

    #[test]
    fn a_network_is_named_in_its_line_of_the_registry_and_nowhere_else_here() {
        let source = include_str!("mod.rs").split("#[cfg(test)]\nmod doubles").next().unwrap_or_default();
        for entry in NETWORKS {
            let named: Vec<_> = source.lines().filter(|line| line.contains(entry.file)).collect();
            let (module, line) = (format!("mod {};", entry.file), format!("{}::ENTRY", entry.file));
            assert!(matches!(&named[..], [first, _] if *first == module), "{named:?}");
            assert!(named[1].contains(&line), "{named:?}");
        }
    }

    #[test]
    fn every_network_is_granted_in_one_dialog_and_every_dialog_is_of_networks() {
        let set = |name: &str| (!name.ends_with("_URL")).then(|| "1".to_owned());
        let all = dialogs(&asking_for_ads(), &set).expect("addresses");
        let mut granted: Vec<_> =
            all.iter().flat_map(|it| std::iter::once(it.platform).chain(it.also.iter().copied())).collect();
        let mut names: Vec<_> = NETWORKS.iter().map(|entry| entry.platform.name).collect();
        granted.sort_unstable();
        names.sort_unstable();
        assert_eq!(granted, names);
        assert_eq!(dialogs(&defaults(), &|_| None).expect("nothing is set").len(), 0);
    }

    #[test]
    fn what_stands_in_for_a_network_is_not_its_real_address() {
        let at = |address: &'static str| {
            stand_ins(&move |name: &str| (name == "META_GRAPH_URL").then(|| address.to_owned()))
        };
        assert!(at("https://graph.facebook.com/v26.0").is_empty());
        let names: Vec<_> = at("http://127.0.0.1:4000/v25.0").iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["facebook_page", "instagram_business", ADS]);
    }

    #[test]
    fn no_two_networks_share_a_file_a_name_or_a_title() {
        for (n, entry) in NETWORKS.iter().enumerate() {
            for other in &NETWORKS[n + 1..] {
                assert_ne!(entry.file, other.file);
                assert_ne!(entry.platform.name, other.platform.name);
                assert_ne!(entry.platform.title, other.platform.title);
            }
        }
    }

    #[test]
    fn every_network_has_a_table_that_it_can_use_and_there_is_no_other() {
        let settings = defaults();
        for entry in NETWORKS {
            let table =
                settings.get(entry.file).unwrap_or_else(|| panic!("networks.{} is missing", entry.file));
            assert_eq!((entry.check)(table), Ok(()), "networks.{}", entry.file);
        }
        assert_eq!(settings.len(), NETWORKS.len());
    }

    #[test]
    fn a_wrong_setting_is_refused_and_named() {
        for entry in NETWORKS {
            let error = (entry.check)(&serde_json::json!({ "timeuot": "3s" })).expect_err("refused");
            assert!(error.contains("timeuot"), "{error}");
            let error = (entry.check)(&serde_json::json!({ "timeout": "soon" })).expect_err("refused");
            assert!(error.contains("soon") || error.contains("duration"), "{error}");
        }
    }

    #[test]
    fn every_surface_of_a_network_has_its_own_name_and_a_kind() {
        for entry in NETWORKS {
            let surfaces = entry.platform.surfaces;
            for (n, surface) in surfaces.iter().enumerate() {
                assert!(!surface.kinds.is_empty(), "{} {}", entry.file, surface.name);
                assert!(surfaces[n + 1..].iter().all(|other| other.name != surface.name), "{}", surface.name);
            }
        }
    }

    #[test]
    fn a_network_is_on_when_its_group_is_set() {
        assert_eq!(connect(&[]), Ok(vec![]));
        let meta = [("META_APP_ID", "1"), ("META_APP_SECRET", "s")];
        assert_eq!(connect(&meta), Ok(vec!["facebook_page", "instagram_business", ADS]));
        let tiktok = [("TIKTOK_CLIENT_KEY", "1"), ("TIKTOK_CLIENT_SECRET", "s")];
        assert_eq!(connect(&tiktok), Ok(vec!["tiktok"]));
    }

    #[test]
    fn a_half_set_group_stops_the_start_and_is_named() {
        let error = connect(&[("META_APP_ID", "1")]).expect_err("refused");
        assert!(error.starts_with("META_APP_SECRET: not set"), "{error}");
        let error = connect(&[("TIKTOK_CLIENT_SECRET", "1")]).expect_err("refused");
        assert!(error.starts_with("TIKTOK_CLIENT_KEY: not set"), "{error}");
    }

    #[test]
    fn a_dialog_is_where_its_network_is_and_asks_for_what_publishing_needs() {
        let set = |name: &str| (!name.ends_with("_URL")).then(|| "1".to_owned());
        let all = dialogs(&defaults(), &set).expect("addresses");
        let [meta, tiktok] = &all[..] else { panic!("two dialogs") };
        assert_eq!(meta.address, "https://www.facebook.com/v25.0/dialog/oauth");
        assert_eq!(tiktok.address, "https://www.tiktok.com/v2/auth/authorize/");
        for needed in facebook::NEEDED.iter().chain(instagram::NEEDED) {
            assert!(meta.scopes.contains(needed), "{needed}");
        }
        let wrong = |name: &str| Some(if name == "META_DIALOG_URL" { "facebook" } else { "1" }.to_owned());
        assert!(dialogs(&defaults(), &wrong).expect_err("refused").starts_with("META_DIALOG_URL"));
    }

    #[test]
    fn ads_are_asked_for_in_the_dialog_of_pages_only_where_the_settings_say_so() {
        let set = |name: &str| (!name.ends_with("_URL")).then(|| "1".to_owned());
        let meta = |settings: &Settings| dialogs(settings, &set).expect("addresses").remove(0);
        let (plain, with_ads) = (meta(&defaults()), meta(&asking_for_ads()));
        assert!(!plain.scopes.contains(&graph::READS_ADS) && !plain.also.contains(&ADS));
        assert!(with_ads.also.contains(&ADS));
        assert_eq!([plain.scopes, &[graph::READS_ADS]].concat(), with_ads.scopes);
        let wrong = dialogs(&changed("meta_ads", "ask_for_access", "perhaps"), &set).expect_err("refused");
        assert!(wrong.starts_with("networks.meta_ads"), "{wrong}");
    }

    #[test]
    fn networks_of_one_app_have_one_rate() {
        let mut settings = defaults();
        let mut set = |file: &str, rate: &str| {
            let table = settings.get_mut(file).expect("a table");
            table["app_rate"] = rate.into();
            connect_all(&settings, &|name| name.starts_with("META_APP").then(|| "1".to_owned()))
        };
        let error = set("facebook", "200/1h").err().expect("refused");
        assert!(error.contains("app_rate") && error.contains("meta"), "{error}");
        // whoever set the rate of these two has set that of their app
        let connected = set("instagram", "200/1h").unwrap_or_else(|error| panic!("{error}"));
        let rate = Some(Rate { calls: 200, per: Duration::from_hours(1) });
        for name in ["facebook_page", "instagram_business", ADS] {
            assert_eq!(connected.of(name).map(|network| network.allowance().app_rate), Some(rate), "{name}");
        }
        let error = set("meta_ads", "off").err().expect("refused");
        assert!(error.contains(ADS), "{error}");
        assert!(set("meta_ads", "200/1h").is_ok());
    }

    #[test]
    fn an_address_that_cannot_be_used_is_named() {
        let meta = [("META_APP_ID", "1"), ("META_APP_SECRET", "s"), ("META_GRAPH_URL", "graph.facebook.com")];
        let error = connect(&meta).expect_err("refused");
        assert!(error.starts_with("META_GRAPH_URL: found"), "{error}");
    }
}
