//! `account add`: how operators bring tokens that were granted elsewhere.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Failed, Output, json_field, owned_ledger, stdin, workspace};
use crate::{
    config::Settings,
    ledger::{accounts::NewAccount, vault::TokenPair},
    networks::NETWORKS,
    wiring,
};

#[derive(Debug, Subcommand)]
pub(super) enum AccountVerb {
    /// Connects an account, or connects it again; the tokens come as JSON from stdin. Prints its id.
    #[command(
        after_help = "Example:\n  echo '{\"access_token\":\"…\"}' | postroom account add --workspace \"Corner Bakery\" \
                            --platform facebook_page --external-id 1234 --name \"Corner Bakery\""
    )]
    Add(Box<New>),
}

#[derive(Debug, Args)]
pub(super) struct New {
    /// The workspace's id or name.
    #[arg(long)]
    workspace: String,
    /// `facebook_page`, `instagram_business` or `tiktok`.
    #[arg(long, value_parser = platform)]
    platform: String,
    /// The network's id of the account.
    #[arg(long)]
    external_id: String,
    /// What people call it.
    #[arg(long)]
    name: String,
    /// When the token was issued; its half life is counted from here.
    #[arg(long)]
    issued_at: Option<DateTime<Utc>>,
    /// When the token ends, where the network says so.
    #[arg(long)]
    expires_at: Option<DateTime<Utc>>,
    /// The person who granted the connection, by the network's app-scoped id.
    #[arg(long)]
    subject_id: Option<String>,
    /// That person's e-mail address.
    #[arg(long)]
    subject_email: Option<String>,
    /// Does not ask the network whether the token opens the account.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    output: Output,
}

fn platform(word: &str) -> Result<String, String> {
    let known: Vec<_> = NETWORKS.iter().map(|network| network.platform.name).collect();
    if known.contains(&word) {
        Ok(word.to_owned())
    } else {
        Err(format!("{word:?}: accepted are {}", known.join(", ")))
    }
}

impl AccountVerb {
    pub(super) async fn run(self, config: Option<PathBuf>) -> Result<(), Failed> {
        let Self::Add(new) = self;
        let ledger = owned_ledger()?;
        let ring = wiring::key_ring()?;
        let workspace = workspace(&ledger, &new.workspace).await?;
        let pair = new.tokens(&stdin()?)?;
        if !new.offline {
            new.check(&Settings::load(config)?, &pair).await?;
        }
        let id = ledger.connect(&new.account(workspace.id, &json!({})), &ring, &pair).await?;
        new.output.print("id", &id.to_string());
        Ok(())
    }
}

impl New {
    fn tokens(&self, text: &str) -> Result<TokenPair, Failed> {
        let accepted = "accepted on stdin is {\"access_token\":\"…\",\"refresh_token\":\"…\"}";
        let object: Value = serde_json::from_str(text).map_err(|_| format!("no JSON; {accepted}"))?;
        let access =
            json_field(&object, "access_token").ok_or_else(|| format!("no access_token; {accepted}"))?;
        Ok(TokenPair {
            access: SecretString::from(access),
            refresh: json_field(&object, "refresh_token").map(SecretString::from),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            refresh_expires_at: None,
        })
    }

    async fn check(&self, settings: &Settings, pair: &TokenPair) -> Result<(), Failed> {
        let checked = wiring::check_account(settings, &self.platform, &self.external_id, &pair.access).await;
        checked.map_err(|why| format!("the token does not open {}: {why}", self.external_id).into())
    }

    /// TikTok's id of an account is the id of the person who granted it.
    fn open_id(&self) -> Option<&str> {
        (self.platform == "tiktok").then_some(self.external_id.as_str())
    }

    fn account<'a>(&'a self, workspace_id: Uuid, defaults: &'a Value) -> NewAccount<'a> {
        NewAccount {
            workspace_id,
            platform: &self.platform,
            external_id: &self.external_id,
            name: &self.name,
            token_expires_at: self.expires_at,
            defaults,
            subject_id: self.subject_id.as_deref().or_else(|| self.open_id()),
            subject_email: self.subject_email.as_deref(),
        }
    }
}
