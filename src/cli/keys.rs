//! `api-key create`, `list` and `revoke`; `keys generate` and `keys rotate`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Failed, Output, owned_ledger, rotate, workspace};
use crate::ledger::{
    Ledger,
    keyring::{self, Cipher},
    keys::{self, KeyRow, NAME_MOST, Scope},
};

#[derive(Debug, Subcommand)]
pub(super) enum ApiKeyVerb {
    /// Makes a key and prints it, this once.
    #[command(
        after_help = "Example:\n  postroom api-key create --workspace \"Corner Bakery\" --scopes posts:write,media:write"
    )]
    Create(NewKey),
    /// Lists the keys of a workspace, or the operators': never the keys themselves, which nobody has any more.
    #[command(after_help = "Example:\n  postroom api-key list --workspace \"Corner Bakery\"")]
    List(ListKeys),
    /// Takes a key back, at once and for good; what stands for it ends with it.
    #[command(after_help = "Example:\n  postroom api-key revoke 0193a5b2-7c1e-7d3f-9a4b-5c6d7e8f9a0b")]
    Revoke {
        /// Its id, as `api-key list` has it.
        id: Uuid,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub(super) struct ListKeys {
    /// The workspace's id or name.
    #[arg(long, required_unless_present = "operator")]
    workspace: Option<String>,
    /// The operators' keys.
    #[arg(long, conflicts_with = "workspace")]
    operator: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct NewKey {
    /// The workspace's id or name.
    #[arg(long, required_unless_present = "operator")]
    workspace: Option<String>,
    /// A key for queue-wide work, of no workspace.
    #[arg(long, conflicts_with = "workspace")]
    operator: bool,
    /// What people know it by.
    #[arg(long, default_value = "", value_parser = name)]
    name: String,
    /// Scopes with commas between them, or `all`.
    #[arg(long, value_parser = scopes)]
    scopes: Scopes,
    /// When it ends, counted from now: 90d.
    #[arg(long, value_parser = humantime_serde::re::humantime::parse_duration)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysVerb {
    /// Prints a new key-ring entry for `POSTROOM_KEYS`.
    #[command(after_help = "Example:\n  postroom keys generate --cipher aes-256-gcm")]
    Generate {
        /// xchacha20-poly1305 or aes-256-gcm.
        #[arg(long, default_value = "xchacha20-poly1305", value_parser = cipher)]
        cipher: Cipher,
        #[command(flatten)]
        output: Output,
    },
    /// Seals the keys of all tokens under the first key of `POSTROOM_KEYS`, and whatever else stands under that ring, while
    /// everything goes on; tokens that have no key of their own, or one of another cipher, get one. Give every process the
    /// new key behind the old one first (old,new), then in front of it (new,old), then run this: when it exits with 0, the
    /// old key can go.
    #[command(
        after_help = "Example:\n  POSTROOM_KEYS=new:xchacha20-poly1305:…,old:aes-256-gcm:… postroom keys rotate"
    )]
    Rotate(rotate::Rotate),
}

fn cipher(word: &str) -> Result<Cipher, String> {
    Cipher::parse(word).ok_or_else(|| format!("{word:?}: accepted are xchacha20-poly1305, aes-256-gcm"))
}

/// Scopes as the command line names them.
#[derive(Debug, Clone)]
struct Scopes(Vec<Scope>);

fn scopes(words: &str) -> Result<Scopes, String> {
    if words == "all" {
        return Ok(Scopes(Scope::ALL.to_vec()));
    }
    let accepted = || Scope::ALL.iter().map(|scope| scope.word()).collect::<Vec<_>>().join(", ");
    let parsed: Result<_, _> = words
        .split(',')
        .map(|word| {
            Scope::parse(word.trim())
                .ok_or_else(|| format!("{word:?} is no scope; accepted are all, {}", accepted()))
        })
        .collect();
    parsed.map(Scopes)
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        0..=NAME_MOST => Ok(text.to_owned()),
        found => Err(format!("found {found} characters; at most {NAME_MOST} are accepted")),
    }
}

impl ApiKeyVerb {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let ledger = owned_ledger()?;
        match self {
            Self::Create(new) => new.run(&ledger).await,
            Self::List(list) => list.run(&ledger).await,
            Self::Revoke { id, output } => {
                let revoked = ledger.revoke_api_key(None, id).await?;
                revoked.ok_or_else(|| format!("there is no key {id}"))?;
                output.print("revoked", &id.to_string());
                Ok(())
            }
        }
    }
}

async fn whose(ledger: &Ledger, named: Option<&str>) -> Result<Option<Uuid>, Failed> {
    match named {
        Some(named) => Ok(Some(workspace(ledger, named).await?.id)),
        None => Ok(None),
    }
}

impl NewKey {
    async fn run(self, ledger: &Ledger) -> Result<(), Failed> {
        let key = keys::fresh()?;
        let digest = keys::digest(&key).ok_or("a fresh key has no digest")?;
        let new = keys::NewKey {
            workspace_id: whose(ledger, self.workspace.as_deref()).await?,
            name: &self.name,
            digest: &digest,
            scopes: &self.scopes.0,
            expires_in: self.expires_in,
        };
        ledger.add_api_key(&new).await?;
        self.output.print("key", key.expose_secret());
        Ok(())
    }
}

impl ListKeys {
    async fn run(self, ledger: &Ledger) -> Result<(), Failed> {
        let keys = ledger.api_keys(whose(ledger, self.workspace.as_deref()).await?).await?;
        if self.output.json {
            println!("{}", json!({ "data": keys.iter().map(told).collect::<Vec<_>>() }));
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["key", "name", "scopes", "made", "ends", "last used", "taken back"]);
        let at = |at: Option<DateTime<Utc>>| at.map(|at| at.to_rfc3339()).unwrap_or_default();
        for it in &keys {
            table.add_row([
                it.id.to_string(),
                it.name.clone(),
                it.scopes.join(","),
                it.created_at.to_rfc3339(),
                at(it.expires_at),
                at(it.last_used_at),
                at(it.revoked_at),
            ]);
        }
        println!("{table}");
        Ok(())
    }
}

fn told(it: &KeyRow) -> Value {
    json!({
        "id": it.id, "name": it.name, "scopes": it.scopes, "created_at": it.created_at, "expires_at": it.expires_at,
        "last_used_at": it.last_used_at, "revoked_at": it.revoked_at,
    })
}

impl KeysVerb {
    pub(super) async fn run(self) -> Result<(), Failed> {
        match self {
            Self::Generate { cipher, output } => {
                output.print("key", &keyring::generate(cipher));
                Ok(())
            }
            Self::Rotate(it) => it.run().await,
        }
    }
}
