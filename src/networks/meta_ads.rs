//! Ad accounts at Meta: they are read from, and nothing is ever published to them.
//!
//! They have no token of their own: a person's opens them, and ends with it.

use std::time::Duration;

use async_trait::async_trait;
use jobs::{
    contract::{Class, Failure},
    desk::{Call, Content, Handle, KeepHandle, Network, Readiness},
    forgetting::Revoking,
    gate::{Allowance, Errand},
    machine::{Answer, Public, Sight},
    metrics::{
        Trouble,
        ads::{AdInsights, AdPage, AdQuestion, PLATFORM as NAME},
    },
    renewals::{Grant, Mend, Renewal, Renewing},
    surface::{AccountPage, CaptionLimit, CaptionUnit, Platform, Site},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Entry, Environment, facebook,
    graph::{self, Graph, READS_ADS},
    http::{Tables, no_evidence},
};

/// This network's line in the registry.
pub const ENTRY: Entry = Entry {
    file: "meta_ads",
    platform: &PLATFORM,
    check,
    connect,
    // whoever grants a Page may grant the ads beside it
    dialog: None,
    address: graph::ADDRESS,
    rate_of: Some(facebook::ENTRY.file),
};

/// It takes nothing. How long a caption is counts for no account that takes none.
const PLATFORM: Platform = Platform {
    name: NAME,
    title: "Meta Ads",
    caption: CaptionLimit { most: 63_206, unit: CaptionUnit::Characters },
    hashtags: None,
    mentions: None,
    surfaces: &[],
    privacy_levels: &[],
    comments: None,
    site: Site {
        hosts: &["adsmanager.facebook.com"],
        home: "https://adsmanager.facebook.com",
        page: AccountPage::ByName(""),
    },
};

/// Nothing is ever sent there, so no answer proves that something had no effect.
const TABLES: Tables = Tables { rows: &[graph::ERRORS], definite_no: &[] };

/// What reading needs.
const NEEDED: &[&str] = &[READS_ADS];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    ask_for_access: bool,
}

fn check(table: &Value) -> Result<(), String> {
    graph::Settings::split::<Settings>(table).map(|_| ())
}

fn connect(table: &Value, environment: Environment<'_>) -> Result<Option<Box<dyn Network>>, String> {
    let (common, Settings { timeout, .. }) = read(table)?;
    let graph = Graph::connect(environment, timeout, common, TABLES)?.map(|graph| graph.needing(NEEDED));
    Ok(graph.map(|graph| Box::new(MetaAds { graph }) as Box<dyn Network>))
}

fn read(table: &Value) -> Result<(graph::Settings, Settings), String> {
    graph::Settings::split(table).map_err(|error| format!("networks.{}: {error}", ENTRY.file))
}

/// Whether the dialog in which Pages are granted asks for the ads, too.
///
/// # Errors
/// The table is missing, or cannot be used.
pub fn is_asked_for(settings: &super::Settings) -> Result<bool, String> {
    let missing = || format!("networks.{}: the table is missing", ENTRY.file);
    let (_, Settings { ask_for_access, .. }) = read(settings.get(ENTRY.file).ok_or_else(missing)?)?;
    Ok(ask_for_access)
}

struct MetaAds {
    graph: Graph,
}

fn nothing() -> Failure {
    Failure::new(Class::Permanent, "surface", "nothing is published to an ad account")
}

#[async_trait]
impl Network for MetaAds {
    fn allowance(&self) -> Allowance {
        self.graph.allowance()
    }

    fn counts(&self, _errand: Errand, _content: &Content) -> u32 {
        0
    }

    async fn prepare(
        &self,
        _call: &Call<'_>,
        _content: &Content,
        _keep: &dyn KeepHandle,
    ) -> Result<(Handle, Readiness), Failure> {
        Err(nothing())
    }

    async fn inspect(&self, _call: &Call<'_>, _handle: &Handle, _armed: bool) -> Result<Sight, Failure> {
        Err(no_evidence(nothing()))
    }

    async fn commit(&self, _call: &Call<'_>, _handle: &Handle, _content: &Content) -> Answer {
        Answer::Unsent(nothing())
    }

    async fn describe(
        &self,
        _call: &Call<'_>,
        _handle: &Handle,
        _content: &Content,
        known: Public,
    ) -> Result<Public, Failure> {
        Ok(known)
    }

    async fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        self.graph.check(call).await
    }

    fn renewing(&self) -> Option<&dyn Renewing> {
        Some(self)
    }

    fn ads(&self) -> Option<&dyn AdInsights> {
        Some(self)
    }

    fn revoking(&self) -> Option<&dyn Revoking> {
        Some(&self.graph)
    }
}

#[async_trait]
impl AdInsights for MetaAds {
    async fn ask(&self, call: &Call<'_>, question: &AdQuestion<'_>) -> Result<AdPage, Trouble> {
        self.graph.ads(call, question).await
    }
}

#[async_trait]
impl Renewing for MetaAds {
    fn calls(&self) -> u32 {
        1
    }

    async fn renew(&self, call: &Call<'_>) -> Renewal {
        self.graph.renew_person(call).await
    }

    async fn examine(&self, call: &Call<'_>) -> Result<Option<Grant>, Failure> {
        self.graph.examine(call).await
    }

    fn mend(&self, failure: &Failure) -> Mend {
        self.graph.mend(failure)
    }
}

#[cfg(test)]
mod tests {
    use jobs::surface::{Draft, PostKind};

    use super::*;

    #[test]
    fn nothing_can_be_published_to_an_ad_account_of_whatever_kind() {
        for kind in PostKind::ALL {
            let draft = Draft { kind: *kind, caption: "words", link: None, media: &[], privacy_level: None };
            let found = PLATFORM.place(&draft).expect_err("refused");
            assert_eq!(found[0].code, "kind_unsupported");
        }
    }
}
