//! The verbs: one executable, and every role is one of them.

mod accounts;
mod analyses;
mod audit;
mod deletions;
mod explain;
mod jobs;
mod keys;
mod pauses;
mod people;
mod restore;
mod retention;
mod rotate;
mod serve;
mod verdict;

use std::{io::Read, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use crate::{
    config,
    ledger::{Ledger, LedgerError, Role, workspaces::Workspace},
    networks::capabilities,
};

/// Publishes to social networks: no post lost, none sent twice.
#[derive(Debug, Parser)]
#[command(name = "postroom", version, propagate_version = true)]
pub struct Cli {
    /// The settings; else `POSTROOM_CONFIG`, else ./worker.toml, else what is compiled in.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serves the HTTP intake: API, staff console, callbacks.
    #[command(after_help = "Example:\n  PORT=8080 postroom web")]
    Web,
    /// Claims and runs jobs; any number of workers share the duties around them.
    #[command(after_help = "Example:\n  postroom worker --queues publish")]
    Worker(serve::WorkerArgs),
    /// Applies the migrations and exits.
    #[command(after_help = "Example:\n  DATABASE_URL=postgres://… postroom migrate")]
    Migrate,
    /// Workspaces: the clients of an agency, or the company itself.
    #[command(subcommand)]
    Workspace(people::WorkspaceVerb),
    /// Staff who may sign in.
    #[command(subcommand)]
    User(people::UserVerb),
    /// Keys of machines.
    #[command(subcommand)]
    ApiKey(keys::ApiKeyVerb),
    /// Connected accounts of networks.
    #[command(subcommand)]
    Account(accounts::AccountVerb),
    /// The key ring that seals tokens.
    #[command(subcommand)]
    Keys(keys::KeysVerb),
    /// Jobs, and what stops them.
    #[command(subcommand)]
    Jobs(jobs::JobsVerb),
    /// Who did what, when and from where.
    #[command(subcommand)]
    Audit(audit::AuditVerb),
    /// Why a post is where it is: what it means, what stops it, what comes next, who has to act, and the evidence.
    #[command(after_help = "Example:\n  postroom explain 0193a5b2-7c1e-7d3f-9a4b-5c6d7e8f9a0b")]
    Explain(explain::Explain),
    /// Decides a publication that is held because nobody could prove whether it is public.
    #[command(
        after_help = "Example:\n  postroom verdict 0193a5b2-7c1e-7d3f-9a4b-5c6d7e8f9a0b --not-published --reason \"the page shows no such story\""
    )]
    Verdict(verdict::Verdict),
    /// After the ledger was restored from a backup: puts in doubt what may have been sent since. Run it before
    /// workers start.
    #[command(after_help = "Example:\n  postroom restore --check")]
    Restore(restore::Restore),
    /// Asks for the deletion of everything that is known of somebody; the same as `deletion request`.
    #[command(
        after_help = "Example:\n  postroom delete-subject --email dana@example.com --mail --reason \"mail of 3 May\""
    )]
    DeleteSubject(deletions::New),
    /// Prints everything that is known of somebody, one JSON object a line: a store and a row of it. It is what deleting
    /// would remove, without secrets; nothing is changed.
    #[command(after_help = "Example:\n  postroom export-subject --email dana@example.com > dana.jsonl")]
    ExportSubject(deletions::ExportSubject),
    /// Requests for deletion.
    #[command(subcommand)]
    Deletion(deletions::DeletionVerb),
    /// Verifies the receipt of a deletion, offline unless the key is to be taken from the object store.
    #[command(after_help = "Example:\n  postroom verify-receipt receipt.json --key receipt-key.pem")]
    VerifyReceipt(deletions::VerifyReceipt),
    /// What is kept for how long, and how much of it last went.
    #[command(after_help = "Example:\n  postroom retention")]
    Retention(retention::Retention),
    /// What each network takes, as the table of the README; put its output there when a rule has changed.
    #[command(after_help = "Example:\n  postroom capabilities")]
    Capabilities,
}

/// Where a verb that prints data prints it.
#[derive(Debug, Clone, Copy, Args)]
struct Output {
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

impl Output {
    /// Prints one value: the bare word for people, an object for programs.
    fn print(self, name: &str, value: &str) {
        if self.json {
            println!("{}", serde_json::json!({ name: value }));
        } else {
            println!("{value}");
        }
    }
}

/// Why a verb failed: one line, for a person.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Runs the verb of the command line. 0 done, 1 failed, 2 wrong usage.
pub async fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postroom: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    async fn run(self) -> Result<(), Failed> {
        match self.verb {
            Verb::Web => serve::web(self.config).await,
            Verb::Worker(args) => serve::worker(self.config, args).await,
            Verb::Migrate => migrate().await,
            Verb::Workspace(verb) => verb.run(self.config).await,
            Verb::User(verb) => verb.run().await,
            Verb::ApiKey(verb) => verb.run().await,
            Verb::Account(verb) => verb.run(self.config).await,
            Verb::Jobs(verb) => verb.run().await,
            Verb::Audit(verb) => verb.run().await,
            Verb::Explain(what) => what.run().await,
            Verb::Verdict(what) => what.run().await,
            Verb::Restore(what) => what.run().await,
            Verb::DeleteSubject(new) => new.run().await,
            Verb::ExportSubject(what) => what.run().await,
            Verb::Deletion(verb) => verb.run().await,
            Verb::VerifyReceipt(what) => what.run().await,
            Verb::Retention(what) => what.run(self.config).await,
            Verb::Capabilities => {
                println!("{}\n{}{}", capabilities::BEGIN, capabilities::markdown(), capabilities::END);
                Ok(())
            }
            Verb::Keys(verb) => verb.run().await,
        }
    }
}

async fn migrate() -> Result<(), Failed> {
    let ledger = owned_ledger()?;
    ledger.migrate().await?;
    println!("the ledger is up to date");
    Ok(())
}

/// The ledger as its owner.
fn owned_ledger() -> Result<Ledger, Failed> {
    Ok(Ledger::open(&config::database_url()?, Role::Owner, 1)?)
}

async fn workspace(ledger: &Ledger, id_or_name: &str) -> Result<Workspace, Failed> {
    let found = ledger.find_workspace(id_or_name).await?;
    found.ok_or_else(|| {
        format!("there is no workspace {id_or_name:?}; add it with `postroom workspace add`").into()
    })
}

/// All of standard input, without the line's end.
fn stdin() -> Result<String, Failed> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Says of a refusal by constraint what it means.
fn explain(error: LedgerError, constraint: &str, meaning: &str) -> Failed {
    match error {
        LedgerError::Refused { constraint: refused } if refused == constraint => meaning.into(),
        other => other.into(),
    }
}

fn json_field<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}
