//! `workspace add`, `workspace utm`, `workspace analyses` and `user add`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use secrecy::SecretString;

use super::{Failed, Output, analyses::Analyses, explain, owned_ledger, stdin, workspace};
use crate::{
    ledger::people::{MemberRole, NewPerson},
    web::{passwords, utm::Template},
};

#[derive(Debug, Subcommand)]
pub(super) enum WorkspaceVerb {
    /// Adds a workspace and prints its id.
    #[command(after_help = "Example:\n  postroom workspace add \"Corner Bakery\"")]
    Add {
        /// What people call it; no two share one.
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Prints or sets what a workspace lets a provider of AI be asked, and what that may cost.
    #[command(
        after_help = "Example:\n  postroom workspace analyses \"Corner Bakery\" --budget 5 --media off \
                            --brand 'Warm, short, never shouting'"
    )]
    Analyses(Analyses),
    /// Prints or sets the parameters that are added to the links of a workspace's posts when they are accepted.
    ///
    /// In the values may stand `{platform}` (facebook), `{surface}` (link), `{account}` (what people call it), `{post_id}`
    /// and `{date}` (2026-12-01: the day on which the post goes out, where it was written for). What a link has already, it
    /// keeps. Words are published as they were written, with the addresses in them.
    #[command(after_help = "Example:\n  postroom workspace utm \"Corner Bakery\" \
                            --set 'utm_source={platform}&utm_medium=social&utm_campaign={date}'")]
    Utm {
        /// The workspace's id or name.
        workspace: String,
        /// The parameters; without it and --none, those that there are are printed.
        #[arg(long, value_name = "TEMPLATE", value_parser = template, conflicts_with = "none")]
        set: Option<String>,
        /// Nothing is added to links any more.
        #[arg(long)]
        none: bool,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum UserVerb {
    /// Adds a person and prints their id; the password comes from stdin.
    #[command(
        after_help = "Example:\n  printf %s \"$PASSWORD\" | postroom user add --email dana@example.com --first Dana \
                            --last Levi --role admin --workspace \"Corner Bakery\""
    )]
    Add(NewUser),
}

#[derive(Debug, Args)]
pub(super) struct NewUser {
    /// Signs in with it.
    #[arg(long, value_parser = email)]
    email: String,
    /// Given name.
    #[arg(long)]
    first: String,
    /// Family name.
    #[arg(long)]
    last: String,
    /// viewer, author, publisher, admin or privacy.
    #[arg(long, value_parser = role)]
    role: MemberRole,
    /// The workspace's id or name.
    #[arg(long)]
    workspace: Option<String>,
    #[command(flatten)]
    output: Output,
}

fn email(word: &str) -> Result<String, String> {
    let parts = word.split_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
    parts.map(|_| word.to_owned()).ok_or_else(|| format!("{word:?} is no e-mail address"))
}

fn role(word: &str) -> Result<MemberRole, String> {
    MemberRole::parse(word)
        .ok_or_else(|| format!("{word:?}: accepted are viewer, author, publisher, admin, privacy"))
}

fn template(written: &str) -> Result<String, String> {
    Template::parse(written).map(|_| written.to_owned())
}

impl WorkspaceVerb {
    pub(super) async fn run(self, config: Option<PathBuf>) -> Result<(), Failed> {
        match self {
            Self::Analyses(what) => what.run(config).await,
            Self::Add { name, output } => Self::add(name.trim(), output).await,
            Self::Utm { workspace, set, none, output } => Self::utm(&workspace, set, none, output).await,
        }
    }

    async fn add(name: &str, output: Output) -> Result<(), Failed> {
        let added = owned_ledger()?.add_workspace(name).await;
        let taken = format!("there is a workspace {name:?} already");
        let id = added.map_err(|error| explain(error, "workspace_name_key", &taken))?;
        output.print("id", &id.to_string());
        Ok(())
    }

    async fn utm(named: &str, set: Option<String>, none: bool, output: Output) -> Result<(), Failed> {
        let ledger = owned_ledger()?;
        let id = workspace(&ledger, named).await?.id;
        if set.is_some() || none {
            ledger.set_link_template(id, set.as_deref()).await?;
        }
        let template = ledger.link_template(id).await?.unwrap_or_default();
        output.print("link_template", &template);
        Ok(())
    }
}

impl UserVerb {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let Self::Add(new) = self;
        let secret = SecretString::from(stdin()?);
        if !passwords::fits(&secret) {
            let (least, most) = (passwords::LENGTHS.start(), passwords::LENGTHS.end());
            return Err(format!("the password on stdin needs {least} to {most} characters").into());
        }
        let ledger = owned_ledger()?;
        let workspace = match &new.workspace {
            Some(named) => Some(workspace(&ledger, named).await?),
            None => None,
        };
        let hash = passwords::hash(secret).await?;
        let person = NewPerson {
            email: &new.email,
            first_name: &new.first,
            last_name: &new.last,
            password_hash: &hash,
        };
        let taken = format!("{} has an account already", new.email);
        let id = ledger.add_person(&person).await.map_err(|e| explain(e, "person_email_key", &taken))?;
        if let Some(workspace) = workspace {
            ledger.add_membership(id, workspace.id, new.role).await?;
        }
        new.output.print("id", &id.to_string());
        Ok(())
    }
}
