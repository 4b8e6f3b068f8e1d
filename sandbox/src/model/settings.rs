//! What the control API may set.

use serde::{Deserialize, Serialize};

use super::AdAccount;

/// What tests and demonstrations may set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long Instagram and TikTok process media.
    pub processing_ms: u64,
    /// Instagram's publishes per 24 hours and account.
    pub publish_quota: u64,
    /// Instagram's containers per 24 hours and account.
    pub container_quota: u64,
    /// TikTok's inits per minute and account.
    pub tiktok_inits_per_minute: u64,
    /// TikTok's uploads per 24 hours and account that may be open at once.
    pub tiktok_pending: u64,
    /// How long after an init TikTok fetches the photos that it names; 0 is before it answers.
    pub tiktok_pull_after_ms: u64,
    /// How long TikTok moderates what it has published: until then it is not listed and has no id.
    pub tiktok_moderation_ms: u64,
    /// Facebook refuses a text that is the same as the Page's last one (506).
    pub refuse_duplicates: bool,
    /// Permissions that the owners have not granted, such as `pages_manage_engagement`.
    pub declined_scopes: Vec<String>,
    /// How long TikTok's access tokens live, in seconds.
    pub tiktok_access_seconds: u64,
    /// A refresh token of TikTok's that is used twice ends the whole grant.
    pub tiktok_punishes_reuse: bool,
    /// For how long Graph gives data to a token, in seconds.
    pub graph_data_access_seconds: i64,
    /// The app that Graph says every token is of, whichever it was given to.
    pub graph_app_id: Option<String>,
    /// How many people may come to see a post.
    pub audience: u64,
    /// How many follow an account: of one with fewer than a hundred the networks tell next to nothing.
    pub followers: u64,
    /// How long after a post came out there are no insights of it, only empty `data`.
    pub insights_after_ms: u64,
    /// Metrics and counting fields that the networks have retired, by their names there.
    pub retired_metrics: Vec<String>,
    /// The ad accounts that people may read who granted that.
    pub ad_accounts: Vec<AdAccount>,
    /// Where TikTok tells what becomes of posts; nowhere unless set.
    pub tiktok_webhook: Option<Webhook>,
}

/// An app's address for webhooks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The address.
    pub url: String,
    /// The app's public name.
    pub client_key: String,
    /// What is signed with.
    pub secret: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            processing_ms: 500,
            publish_quota: 100_000,
            container_quota: 100_000,
            tiktok_inits_per_minute: 100_000,
            tiktok_pending: 100_000,
            tiktok_pull_after_ms: 0,
            tiktok_moderation_ms: 0,
            refuse_duplicates: false,
            declined_scopes: Vec::new(),
            tiktok_access_seconds: 86_400,
            tiktok_punishes_reuse: true,
            graph_data_access_seconds: 90 * 86_400,
            graph_app_id: None,
            audience: 5_000,
            followers: 1_500,
            insights_after_ms: 0,
            retired_metrics: Vec::new(),
            ad_accounts: Vec::new(),
            tiktok_webhook: None,
        }
    }
}
