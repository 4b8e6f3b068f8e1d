//! `api-key create`, `keys generate` and `keys rotate`.

use std::time::Duration;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;

use super::{Failed, Output, owned_ledger, rotate, workspace};
use crate::ledger::{
    keyring::{self, Cipher},
    keys::{self, Scope},
};

#[derive(Debug, Subcommand)]
pub(super) enum ApiKeyVerb {
    /// Makes a key and prints it, this once.
    #[command(
        after_help = "Example:\n  postroom api-key create --workspace \"Corner Bakery\" --scopes posts:write,media:write"
    )]
    Create(NewKey),
}

#[derive(Debug, Args)]
pub(super) struct NewKey {
    /// The workspace's id or name.
    #[arg(long, required_unless_present = "operator")]
    workspace: Option<String>,
    /// A key for queue-wide work, of no workspace.
    #[arg(long, conflicts_with = "workspace")]
    operator: bool,
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
    /// Seals every token under the first key of `POSTROOM_KEYS`, while everything goes on. Give every process the new
    /// key behind the old one first (old,new), then in front of it (new,old), then run this: when it exits with 0, the
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

impl ApiKeyVerb {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let Self::Create(new) = self;
        let ledger = owned_ledger()?;
        let workspace = match &new.workspace {
            Some(named) => Some(workspace(&ledger, named).await?.id),
            None => None,
        };
        let key = keys::fresh()?;
        let digest = keys::digest(&key).ok_or("a fresh key has no digest")?;
        ledger.add_api_key(workspace, &digest, &new.scopes.0, new.expires_in).await?;
        new.output.print("key", key.expose_secret());
        Ok(())
    }
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
