//! A rule: which calls go wrong.

use serde::{Deserialize, Serialize};

use super::Fault;
use crate::calls::{Call, Phase};
use crate::model::Network;
use crate::openai;

/// Every call that a rule can name, with its network.
pub const CALLS: &[(Network, &[&str])] = &[
    (
        Network::FacebookPage,
        &[
            "feed",
            "photos",
            "publish_post",
            "edit_post",
            "delete_post",
            "post",
            "published_posts",
            "page_feed",
            "unpublished_posts",
            "videos",
            "video_reels",
            "video_stories",
            "photo_stories",
            "stories",
            "comments",
            "comment_list",
            "comment",
            "video",
            "video_upload",
            "page",
            "insights",
            "ads_insights",
            "ad_accounts",
            "batch",
            "me",
            "debug_token",
            "oauth",
            "permissions",
        ],
    ),
    (
        Network::InstagramBusiness,
        &[
            "media",
            "media_publish",
            "container_status",
            "media_read",
            "media_list",
            "media_delete",
            "publishing_limit",
            "container_upload",
            "ig_user",
            "insights",
            "comments",
            "comment_list",
            "comment",
        ],
    ),
    (
        Network::Tiktok,
        &[
            "creator_info",
            "video_init",
            "content_init",
            "upload_chunk",
            "status_fetch",
            "cancel",
            "token",
            "revoke",
            "user_info",
            "video_list",
            "video_query",
        ],
    ),
];

/// Which calls go wrong, and how. A field that is left out does not narrow it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The network.
    #[serde(default)]
    pub network: Option<Network>,
    /// A phase (`prepare`, `commit`, `observe`), a call's name, or `any`.
    #[serde(default = "Rule::any")]
    pub call: String,
    /// The phase, where the name of a call has several.
    #[serde(default)]
    pub phase: Option<Phase>,
    /// The account's external id.
    #[serde(default)]
    pub account: Option<String>,
    /// A part of the text.
    #[serde(default)]
    pub caption_contains: Option<String>,
    /// Parts of its content, of which the call must have one: in its text, in an address of media that it names, or as
    /// the SHA-256 of a file that its handle holds, or as the size that it announces (`4096 bytes`).
    #[serde(default)]
    pub content: Vec<String>,
    /// How often in all.
    #[serde(default)]
    pub times: Option<u64>,
    /// How often for each object.
    #[serde(default)]
    pub times_per_object: Option<u64>,
    /// What goes wrong.
    pub fault: Fault,
}

impl Rule {
    fn any() -> String {
        "any".into()
    }

    /// Says what is wrong with a rule that could never match.
    pub fn check(&self) -> Result<(), String> {
        if self.content.iter().any(String::is_empty) {
            return Err("content: a part that is empty is in everything".into());
        }
        let phases = ["any", "prepare", "commit", "observe"];
        let known = CALLS.iter().any(|(_, calls)| calls.contains(&self.call.as_str()))
            || openai::CALLS.contains(&self.call.as_str());
        if known || phases.contains(&self.call.as_str()) {
            return Ok(());
        }
        let of_networks = CALLS.iter().flat_map(|(_, calls)| calls.iter().copied());
        let names: Vec<_> = of_networks.chain(openai::CALLS.iter().copied()).collect();
        Err(format!("call: found {:?}; accepted are {}, {}", self.call, phases.join(", "), names.join(", ")))
    }

    /// Whether a call is one of those that the rule means.
    pub fn matches(&self, call: &Call) -> bool {
        let right_call = match self.call.as_str() {
            "any" => true,
            "prepare" => call.phase == Phase::Prepare,
            "commit" => call.phase == Phase::Commit,
            "observe" => call.phase == Phase::Observe,
            name => name == call.call,
        };
        right_call
            && self.phase.is_none_or(|phase| phase == call.phase)
            && (self.network.is_none() || self.network == call.network)
            && (self.account.is_none() || self.account == call.account)
            && self.caption_contains.as_ref().is_none_or(|part| {
                call.caption.as_ref().is_some_and(|caption| caption.contains(part.as_str()))
            })
            && (self.content.is_empty() || self.content.iter().any(|part| call.is_about(part)))
            && !(matches!(self.fault, Fault::ReadError { .. }) && call.phase != Phase::Observe)
    }
}
