//! `jobs pause` and `jobs resume`.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use humantime_serde::re::humantime;
use jobs::contract::Kind;
use serde_json::json;
use uuid::Uuid;

use super::{Failed, Output, owned_ledger, serve, workspace};
use crate::{
    ledger::{
        Ledger,
        pauses::{Pause, REASON_MOST, Stoppable},
    },
    networks::NETWORKS,
};

#[derive(Debug, Subcommand)]
pub(super) enum JobsVerb {
    /// Stops the claiming of jobs; what runs already runs on.
    #[command(
        after_help = "Example:\n  postroom jobs pause --network tiktok --reason \"their outage\" --for 2h"
    )]
    Pause(NewPause),
    /// Ends a pause.
    #[command(after_help = "Example:\n  postroom jobs resume --network tiktok")]
    Resume {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub(super) struct NewPause {
    #[command(flatten)]
    what: What,
    /// Why, for whoever wonders.
    #[arg(long, value_parser = reason)]
    reason: String,
    /// How long: 30m, 2h; else until it is resumed.
    #[arg(long = "for", value_name = "TIME", value_parser = lasting)]
    lasting: Option<Duration>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true))]
pub(super) struct What {
    /// All jobs of a queue.
    #[arg(long, group = "what", value_parser = serve::kind)]
    queue: Option<&'static Kind>,
    /// All jobs of a workspace, by its id or name.
    #[arg(long, group = "what")]
    workspace: Option<String>,
    /// All jobs about an account, by its id.
    #[arg(long, group = "what")]
    account: Option<Uuid>,
    /// All jobs about accounts of a platform.
    #[arg(long, group = "what", value_parser = network)]
    network: Option<String>,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        1..=REASON_MOST => Ok(text.to_owned()),
        found => Err(format!("found {found} characters; 1 to {REASON_MOST} are accepted")),
    }
}

fn lasting(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|e| format!("{e}; written like 30m, 2h"))?;
    if span.is_zero() { Err("a pause that lasts no time stops nothing".into()) } else { Ok(span) }
}

fn network(name: &str) -> Result<String, String> {
    let known = NETWORKS.iter().map(|network| network.platform.name).collect::<Vec<_>>();
    if known.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(format!("there is no network {name:?}; there is {}", known.join(", ")))
}

impl What {
    async fn stoppable(self, ledger: &Ledger) -> Result<Stoppable, Failed> {
        match self {
            Self { queue: Some(kind), .. } => Ok(Stoppable::Queue(kind.name.to_owned())),
            Self { workspace: Some(name), .. } => {
                Ok(Stoppable::Workspace(workspace(ledger, &name).await?.id.to_string()))
            }
            Self { account: Some(id), .. } if ledger.has_account(id).await? => {
                Ok(Stoppable::Account(id.to_string()))
            }
            Self { account: Some(id), .. } => Err(format!("there is no account {id}").into()),
            Self { network: Some(name), .. } => Ok(Stoppable::Network(name)),
            Self { queue: None, workspace: None, account: None, network: None } => {
                Err("say what: --queue, --workspace, --account or --network".into())
            }
        }
    }
}

impl JobsVerb {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let ledger = owned_ledger()?;
        match self {
            Self::Pause(new) => new.run(&ledger).await,
            Self::Resume { what, output } => {
                let what = what.stoppable(&ledger).await?;
                if !ledger.resume(&what).await? {
                    return Err(format!("{what} is not paused").into());
                }
                output.print("resumed", &what.to_string());
                Ok(())
            }
        }
    }
}

impl NewPause {
    async fn run(self, ledger: &Ledger) -> Result<(), Failed> {
        let what = self.what.stoppable(ledger).await?;
        match ledger.pause(&what, &self.reason, self.lasting).await? {
            Ok(made) => self.output.print("paused", &shown(&made)),
            Err(standing) => return Err(format!("it is paused already: {}", shown(&standing)).into()),
        }
        Ok(())
    }
}

fn shown(pause: &Pause) -> String {
    let end =
        pause.ends_at.map_or("until it is resumed".to_owned(), |at| format!("until {}", at.to_rfc3339()));
    let (scope, subject, reason) = (&pause.scope, &pause.subject, json!(pause.reason));
    format!("{scope} {subject}, since {}, {end}, because {reason}", pause.paused_at.to_rfc3339())
}
