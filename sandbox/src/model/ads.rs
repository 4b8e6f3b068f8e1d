//! Ad accounts, and what is in them. They have no tokens of their own: whoever granted `ads_read` reads them.

use serde::{Deserialize, Serialize};

/// An ad account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdAccount {
    /// `act_` and its number.
    pub id: String,
    /// The name.
    pub name: String,
    /// What it pays in.
    #[serde(default = "AdAccount::shekels")]
    pub currency: String,
    /// How many campaigns it has, each with one ad set of two ads.
    #[serde(default = "AdAccount::two")]
    pub campaigns: u16,
}

/// What is counted: an ad, or what it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdLevel {
    /// The whole account.
    Account,
    /// A campaign.
    Campaign,
    /// A part of it.
    AdSet,
    /// One ad.
    Ad,
}

impl AdLevel {
    /// The level of that word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "account" => Some(Self::Account),
            "campaign" => Some(Self::Campaign),
            "adset" => Some(Self::AdSet),
            "ad" => Some(Self::Ad),
            _ => None,
        }
    }
}

/// One ad, or what it is in.
#[derive(Debug, Clone, Default)]
pub struct AdObject {
    /// Its own id.
    pub id: String,
    /// The campaign that it is, or is in.
    pub campaign: Option<String>,
    /// The ad set that it is, or is in.
    pub set: Option<String>,
    /// The ad that it is.
    pub ad: Option<String>,
}

impl AdAccount {
    fn shekels() -> String {
        "ILS".into()
    }

    fn two() -> u16 {
        2
    }

    /// Its number.
    pub fn number(&self) -> &str {
        self.id.strip_prefix("act_").unwrap_or(&self.id)
    }

    /// All that is in it of one level.
    pub fn objects(&self, level: AdLevel) -> Vec<AdObject> {
        let number = self.number();
        let campaign = |n: u16| AdObject {
            id: format!("{number}1{n:03}"),
            campaign: Some(format!("{number}1{n:03}")),
            ..AdObject::default()
        };
        let set = |n: u16| {
            let id = format!("{number}2{n:03}");
            AdObject { id: id.clone(), set: Some(id), ..campaign(n) }
        };
        let ad = |n: u16, which: u16| {
            let id = format!("{number}3{n:03}{which}");
            AdObject { id: id.clone(), ad: Some(id), ..set(n) }
        };
        let all = 0..self.campaigns;
        match level {
            AdLevel::Account => vec![AdObject { id: number.to_owned(), ..AdObject::default() }],
            AdLevel::Campaign => all.map(campaign).collect(),
            AdLevel::AdSet => all.map(set).collect(),
            AdLevel::Ad => all.flat_map(|n| [ad(n, 1), ad(n, 2)]).collect(),
        }
    }
}
