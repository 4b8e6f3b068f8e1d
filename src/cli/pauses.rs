//! `jobs pause` and `jobs resume`.

use std::time::Duration;

use clap::{ArgGroup, Args};
use humantime_serde::re::humantime;
use jobs::contract::Kind;
use serde_json::json;
use uuid::Uuid;

use super::{Failed, Output, serve, workspace};
use crate::{
    ledger::{
        Ledger,
        idempotency::Once,
        pauses::{By, Pause, REASON_MOST, Stoppable},
    },
    networks::NETWORKS,
};

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
pub(super) struct Resumed {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
pub(super) struct What {
    /// All jobs of a queue; with --workspace or --account only theirs.
    #[arg(long, group = "what", value_parser = serve::kind)]
    queue: Option<&'static Kind>,
    /// All jobs of a workspace, by its id or name.
    #[arg(long, group = "what", conflicts_with = "account")]
    workspace: Option<String>,
    /// All jobs about an account, by its id.
    #[arg(long, group = "what")]
    account: Option<Uuid>,
    /// All jobs about accounts of a platform.
    #[arg(long, group = "what", value_parser = network, conflicts_with_all = ["queue", "workspace", "account"])]
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
        if let Some(name) = self.network {
            return Ok(Stoppable::Network(name));
        }
        let queue = self.queue.map(|kind| kind.name.to_owned());
        if let Some(name) = self.workspace {
            let id = workspace(ledger, &name).await?.id;
            return Ok(match queue {
                Some(queue) => Stoppable::QueueOfWorkspace(queue, id),
                None => Stoppable::Workspace(id.to_string()),
            });
        }
        if let Some(id) = self.account {
            if !ledger.has_account(id, None).await? {
                return Err(format!("there is no account {id}").into());
            }
            return Ok(match queue {
                Some(queue) => Stoppable::QueueOfAccount(queue, id),
                None => Stoppable::Account(id.to_string()),
            });
        }
        let queue = queue.ok_or("say what: --queue, --workspace, --account or --network")?;
        Ok(Stoppable::Queue(queue))
    }
}

impl Resumed {
    pub(super) async fn run(self, ledger: &Ledger) -> Result<(), Failed> {
        let what = self.what.stoppable(ledger).await?;
        let Once::Done(Some(_)) = ledger.resume(By::Operator, &what, None).await? else {
            let theirs = ledger.pauses().await?.into_iter().any(|pause| pause.stops(&what));
            let by_whom =
                if theirs { " by an operator; its workspace has paused it, and resumes it" } else { "" };
            return Err(format!("{what} is not paused{by_whom}").into());
        };
        self.output.print("resumed", &what.to_string());
        Ok(())
    }
}

impl NewPause {
    pub(super) async fn run(self, ledger: &Ledger) -> Result<(), Failed> {
        let what = self.what.stoppable(ledger).await?;
        match ledger.pause(By::Operator, &what, &self.reason, self.lasting, None).await? {
            Once::Done(Ok(made)) => self.output.print("paused", &shown(&made)),
            Once::Done(Err(standing)) => {
                return Err(format!("it is paused already: {}", shown(&standing)).into());
            }
            Once::Before(_) | Once::KeyReused => {} // only what carries a key
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
