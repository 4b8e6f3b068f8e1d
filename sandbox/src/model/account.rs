//! Networks, the accounts on them, and their tokens.

use serde::{Deserialize, Serialize};

/// A network, by the name that the platform has in the API of postroom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Facebook Pages.
    FacebookPage,
    /// Instagram Business accounts.
    InstagramBusiness,
    /// TikTok.
    Tiktok,
}

impl Network {
    /// All of them, in the order in which the wall shows them.
    pub const ALL: [Self; 3] = [Self::FacebookPage, Self::InstagramBusiness, Self::Tiktok];

    /// The name as the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::FacebookPage => "facebook_page",
            Self::InstagramBusiness => "instagram_business",
            Self::Tiktok => "tiktok",
        }
    }

    /// The name as people write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::FacebookPage => "Facebook",
            Self::InstagramBusiness => "Instagram",
            Self::Tiktok => "TikTok",
        }
    }
}

/// An account at a network, with the tokens that reach it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Where.
    pub platform: Network,
    /// The Page id, Instagram user id or TikTok `open_id`.
    pub external_id: String,
    /// The name that the public sees.
    pub name: String,
    /// What its calls carry. A Page and its Instagram account share one.
    pub access_token: String,
    /// What gets a new access token (TikTok only).
    #[serde(default)]
    pub refresh_token: Option<String>,
    /// The token of the person who granted the access to a Page: it can be exchanged, and lists the person's Pages.
    #[serde(default)]
    pub user_token: Option<String>,
    /// What Graph says that the token may do; everything unless set.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// The privacy levels that TikTok offers for it.
    #[serde(default = "Account::privacy_levels")]
    pub privacy_options: Vec<String>,
    /// The person who granted the access, by Meta's app-scoped id.
    #[serde(default = "Account::subject")]
    pub subject_id: String,
    /// The permissions that this person did not grant, of those that an app asks for.
    #[serde(default)]
    pub withheld: Vec<String>,
    /// What that person may do on the Page; everything unless set.
    #[serde(default)]
    pub tasks: Option<Vec<String>>,
    /// The business that the person has the Page through, and that alone.
    #[serde(default)]
    pub business: Option<String>,
    /// The permissions that were granted for other accounts and not for this one.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// The app that the access was granted to.
    #[serde(default)]
    pub app_id: Option<String>,
}

impl Account {
    fn privacy_levels() -> Vec<String> {
        ["PUBLIC_TO_EVERYONE", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"].map(String::from).to_vec()
    }

    fn subject() -> String {
        "1000218475".into()
    }

    /// The accounts that exist from the first start on.
    pub fn seeded() -> [Self; 3] {
        let seeded = |platform, id: &str, name: &str, access: &str, refresh: Option<&str>| Self {
            platform,
            external_id: id.into(),
            name: name.into(),
            access_token: access.into(),
            refresh_token: refresh.map(Into::into),
            user_token: None,
            scopes: None,
            privacy_options: Self::privacy_levels(),
            subject_id: Self::subject(),
            withheld: Vec::new(),
            tasks: None,
            business: None,
            left_out: Vec::new(),
            app_id: None,
        };
        [
            seeded(Network::FacebookPage, "104000000000001", "Corner Bakery", "sandbox-page-token", None),
            seeded(
                Network::InstagramBusiness,
                "17841400000000001",
                "corner.bakery",
                "sandbox-page-token",
                None,
            ),
            seeded(
                Network::Tiktok,
                "sandbox-open-id",
                "cornerbakery",
                "sandbox-tiktok-access",
                Some("sandbox-tiktok-refresh"),
            ),
        ]
    }
}

/// What a token answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// It works.
    #[default]
    Valid,
    /// Its time is over (190/463).
    Expired,
    /// The person removed the app (190/458).
    Revoked,
    /// Whatever Graph subcode of 190 is wanted.
    Subcode(i64),
}
