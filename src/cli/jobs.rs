//! `jobs list`, `show`, `retry` and `cancel`: what there is, and what people may do about it.

use std::{collections::BTreeMap, time::Duration};

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use jobs::contract::Kind;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Failed, Output, owned_ledger,
    pauses::{NewPause, Resumed},
    serve, workspace,
};
use crate::ledger::{
    Ledger,
    control::Refusal,
    idempotency::Once,
    jobs::{JobFilter, JobRow, JobState, Write},
};

/// Jobs of one look at the ledger.
const PAGE: i64 = 500;
/// The longest that one page may take to find.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Subcommand)]
pub(super) enum JobsVerb {
    /// Lists jobs, newest first; those that ended well only when asked for by --state done.
    #[command(
        after_help = "Example:\n  postroom jobs list --kind publish --state dead,failed --cause crash_limit"
    )]
    List(List),
    /// Shows a job: where it stands, why, and its attempts.
    #[command(after_help = "Example:\n  postroom jobs show 0193a5b2-7c1e-7d3f-9a4b-5c6d7e8f9a0b")]
    Show {
        /// The job.
        id: Uuid,
        #[command(flatten)]
        output: Output,
    },
    /// Tries again what ended badly: these jobs, or all that a filter finds.
    ///
    /// A publish job's publication is tried again from what is known of it; one whose outcome is not known is left
    /// to the network's evidence. Of any other job a new one is made of the same payload.
    #[command(after_help = "Example:\n  postroom jobs retry --cause crash_limit --dry-run")]
    Retry(Bulk),
    /// Cancels jobs that nobody works on: these, or all that a filter finds.
    ///
    /// A publish job's publication is cancelled; where it may be public already, the wish is kept.
    #[command(
        after_help = "Example:\n  postroom jobs cancel --kind publish --workspace \"Corner Bakery\" --dry-run"
    )]
    Cancel(Bulk),
    /// Stops the claiming of jobs; what runs already runs on.
    #[command(
        after_help = "Example:\n  postroom jobs pause --network tiktok --reason \"their outage\" --for 2h"
    )]
    Pause(NewPause),
    /// Ends a pause.
    #[command(after_help = "Example:\n  postroom jobs resume --network tiktok")]
    Resume(Resumed),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,
    /// The most jobs that are listed.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[group(multiple = true)]
struct Filter {
    /// Of this kind, which is its queue.
    #[arg(long, visible_alias = "queue", value_parser = serve::kind)]
    kind: Option<&'static Kind>,
    /// In one of these states, with commas between them: ready, waiting, running, paused, done, held, failed,
    /// cancelled, unknown, dead.
    #[arg(long, value_delimiter = ',')]
    state: Vec<JobState>,
    /// Whose last attempt came to this: a code such as `crash_limit`, or an outcome.
    #[arg(long)]
    cause: Option<String>,
    /// Of a workspace, by its id or name.
    #[arg(long)]
    workspace: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Bulk {
    /// The jobs; or choose them with a filter.
    #[arg(required_unless_present = "Filter", conflicts_with = "Filter")]
    ids: Vec<Uuid>,
    #[command(flatten)]
    filter: Filter,
    /// Only shows what would be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Retry,
    Cancel,
}

impl JobsVerb {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let ledger = owned_ledger()?;
        match self {
            Self::List(list) => list.run(&ledger).await,
            Self::Show { id, output } => show(&ledger, id, output).await,
            Self::Retry(bulk) => bulk.run(&ledger, Act::Retry).await,
            Self::Cancel(bulk) => bulk.run(&ledger, Act::Cancel).await,
            Self::Pause(new) => new.run(&ledger).await,
            Self::Resume(resumed) => resumed.run(&ledger).await,
        }
    }
}

impl Filter {
    async fn read(self, ledger: &Ledger) -> Result<JobFilter, Failed> {
        let workspace_id = match self.workspace {
            Some(named) => Some(workspace(ledger, &named).await?.id),
            None => None,
        };
        let kind = self.kind.map(|kind| kind.name.to_owned());
        Ok(JobFilter { kind, states: self.state, cause: self.cause, workspace_id, ..JobFilter::default() })
    }
}

impl List {
    async fn run(self, ledger: &Ledger) -> Result<(), Failed> {
        let filter = self.filter.read(ledger).await?;
        let rows = ledger.jobs(&filter, self.limit, PATIENCE).await?;
        if self.output.json {
            println!("{}", json!({ "data": rows.iter().map(told).collect::<Vec<_>>() }));
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "job",
            "kind",
            "state",
            "cause",
            "attempts",
            "crashes",
            "due or ended",
            "publication",
        ]);
        for row in &rows {
            let at = row.ended_at.or(row.run_at).map(|at| at.to_rfc3339()).unwrap_or_default();
            table.add_row([
                row.id.to_string(),
                row.kind.clone(),
                row.state.word().to_owned(),
                row.cause.clone().unwrap_or_default(),
                row.attempts.to_string(),
                row.crashes.to_string(),
                at,
                row.publication_state.unwrap_or_default().to_owned(),
            ]);
        }
        println!("{table}");
        Ok(())
    }
}

async fn show(ledger: &Ledger, id: Uuid, output: Output) -> Result<(), Failed> {
    let filter = JobFilter { ids: Some(vec![id]), states: JobState::ALL.to_vec(), ..JobFilter::default() };
    let row =
        ledger.jobs(&filter, 1, PATIENCE).await?.pop().ok_or_else(|| format!("there is no job {id}"))?;
    let mut shown = told(&row);
    let attempts = ledger.attempts(id).await?;
    let attempt = |it: &crate::ledger::jobs::AttemptRow| json!({ "started_at": it.started_at, "ended_at": it.ended_at, "outcome": it.outcome, "reason": it.reason });
    shown["attempts_ended"] = attempts.iter().map(attempt).collect();
    if output.json {
        println!("{shown}");
        return Ok(());
    }
    for (name, value) in shown.as_object().into_iter().flatten() {
        match value {
            Value::Null | Value::Array(_) => {}
            Value::String(text) => println!("{name}: {text}"),
            other => println!("{name}: {other}"),
        }
    }
    for it in &attempts {
        println!("attempt until {}: {}, {}", it.ended_at.to_rfc3339(), it.outcome, it.reason);
    }
    Ok(())
}

fn told(row: &JobRow) -> Value {
    json!({
        "id": row.id, "kind": row.kind, "version": row.version, "state": row.state.word(), "cause": row.cause,
        "reason": row.reason, "workspace_id": row.workspace_id, "account_id": row.account_id,
        "publication_id": row.publication_id, "publication_state": row.publication_state,
        "attempts": row.attempts, "crashes": row.crashes, "run_at": row.run_at, "created_at": row.created_at,
        "ended_at": row.ended_at, "redriven_as": row.redriven_as, "note": row.note(),
    })
}

/// What came of a bulk action.
#[derive(Default)]
struct Sum {
    done: Vec<(JobRow, JobRow)>,
    left: Vec<(Uuid, Refusal)>,
}

impl Bulk {
    async fn run(self, ledger: &Ledger, act: Act) -> Result<(), Failed> {
        let by_id = !self.ids.is_empty();
        let mut filter = self.filter.read(ledger).await?;
        filter.open = true;
        if by_id {
            filter = JobFilter {
                ids: Some(self.ids.clone()),
                states: JobState::ALL.to_vec(),
                ..JobFilter::default()
            };
        } else if filter.states.is_empty() {
            filter.states = act.usual().to_vec();
        }
        let rows = all(ledger, filter).await?;
        let mut sum = Sum::default();
        for id in self.ids.iter().filter(|id| !rows.iter().any(|row| row.id == **id)) {
            sum.left.push((*id, Refusal::Missing));
        }
        let mut failed = None;
        for row in rows {
            match act.on(ledger, row.id, self.dry_run).await {
                Ok(Ok(now)) => sum.done.push((row, now)),
                Ok(Err(refusal)) => sum.left.push((row.id, refusal)),
                Err(error) => {
                    failed =
                        Some(format!("it stopped at job {}: {error}; what is listed above is done", row.id));
                    break;
                }
            }
        }
        sum.print(act, self.dry_run, self.output);
        if let Some(failed) = failed {
            return Err(failed.into());
        }
        // who names a job wants to know that it was done
        if by_id && !sum.left.is_empty() {
            Err(format!("{} left as they are", sum.left.len()).into())
        } else {
            Ok(())
        }
    }
}

/// All that a filter finds, before any of it changes.
async fn all(ledger: &Ledger, mut filter: JobFilter) -> Result<Vec<JobRow>, Failed> {
    let mut rows = Vec::new();
    loop {
        let page = ledger.jobs(&filter, PAGE, PATIENCE).await?;
        let Some(last) = page.last() else { return Ok(rows) };
        filter.before = Some(last.id);
        rows.extend(page);
    }
}

impl Act {
    /// The states that a filter means unless it says so.
    const fn usual(self) -> &'static [JobState] {
        match self {
            Self::Retry => &[JobState::Dead, JobState::Failed, JobState::Held],
            Self::Cancel => &[JobState::Ready, JobState::Waiting, JobState::Running, JobState::Paused],
        }
    }

    async fn on(self, ledger: &Ledger, id: Uuid, dry: bool) -> Result<Result<JobRow, Refusal>, Failed> {
        let write = Write { workspace_id: None, id, keyed: None, dry };
        let done = match self {
            Self::Retry => ledger.retry_job(&write).await?,
            Self::Cancel => ledger.cancel_job(&write).await?,
        };
        match done {
            Once::Done(done) => Ok(done),
            Once::Before(_) | Once::KeyReused => Err("only what carries a key is answered before".into()),
        }
    }

    const fn word(self, dry: bool) -> &'static str {
        match (self, dry) {
            (Self::Retry, false) => "tried again",
            (Self::Retry, true) => "would be tried again",
            (Self::Cancel, false) => "cancelled",
            (Self::Cancel, true) => "would be cancelled",
        }
    }
}

impl Sum {
    fn by_cause(&self) -> BTreeMap<&str, usize> {
        let mut causes = BTreeMap::new();
        for (row, _) in &self.done {
            *causes.entry(row.cause.as_deref().unwrap_or("none")).or_default() += 1;
        }
        causes
    }

    fn print(&self, act: Act, dry: bool, output: Output) {
        if output.json {
            let done: Vec<Value> =
                self.done.iter().map(|(row, now)| json!({ "id": row.id, "job": told(now) })).collect();
            let left: Vec<Value> =
                self.left.iter().map(|(id, why)| json!({ "id": id, "why": why.to_string() })).collect();
            println!(
                "{}",
                json!({ "dry_run": dry, "done": done, "by_cause": self.by_cause(), "left": left })
            );
            return;
        }
        println!("{} {}", self.done.len(), act.word(dry));
        for (cause, jobs) in self.by_cause() {
            println!("  {jobs} of cause {cause}");
        }
        let mut reasons: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
        for (id, why) in &self.left {
            reasons.entry(why.to_string()).or_default().push(*id);
        }
        for (why, ids) in reasons {
            println!("{} left: {why}", ids.len());
            for id in ids {
                println!("  {id}");
            }
        }
    }
}
