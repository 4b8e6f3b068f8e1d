//! `audit verify` and `audit list`.

use clap::Subcommand;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::{Failed, Output, owned_ledger, workspace};
use crate::ledger::{audit::Row, chain::Head};

#[derive(Debug, Subcommand)]
pub(super) enum AuditVerb {
    /// Walks the chain of all that was written down, and names the first row that was changed, moved or taken out.
    #[command(after_help = "Example:\n  postroom audit verify")]
    Verify {
        /// An end of the chain that was noted before, as this prints it and workers log it. Who can write to the
        /// database as its owner could make the whole chain anew; not with an end that somebody else has noted.
        #[arg(long, value_name = "NUMBER:HASH")]
        witness: Option<Head>,
        #[command(flatten)]
        output: Output,
    },
    /// The newest entries.
    #[command(after_help = "Example:\n  postroom audit list --workspace \"Corner Bakery\"")]
    List {
        /// Only of this workspace, by its id or name.
        #[arg(long)]
        workspace: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        #[command(flatten)]
        output: Output,
    },
}

impl AuditVerb {
    pub(super) async fn run(self) -> Result<(), Failed> {
        match self {
            Self::Verify { witness, output } => verify(witness, output).await,
            Self::List { workspace, limit, output } => list(workspace, limit, output).await,
        }
    }
}

async fn verify(witness: Option<Head>, output: Output) -> Result<(), Failed> {
    match owned_ledger()?.verify_audit(witness).await? {
        Ok(good) if output.json => {
            println!(
                "{}",
                json!({ "head": good.head.to_string(), "links": good.head.seq, "waiting": good.waiting })
            );
        }
        Ok(good) => {
            println!("the chain is whole: {} links, {} rows wait for theirs", good.head.seq, good.waiting);
            println!("{}", good.head);
        }
        Err(broken) => return Err(format!("the audit chain is broken: {broken}").into()),
    }
    Ok(())
}

async fn list(named: Option<String>, limit: i64, output: Output) -> Result<(), Failed> {
    let ledger = owned_ledger()?;
    let workspace_id = match named {
        Some(named) => Some(workspace(&ledger, &named).await?.id),
        None => None,
    };
    let rows = ledger.audit_entries(workspace_id, limit).await?;
    if output.json {
        println!("{}", json!({ "data": rows.iter().map(told).collect::<Vec<_>>() }));
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["when", "who", "what", "object", "from", "more"]);
    for row in rows {
        let who = row.actor_id.map_or(row.actor.clone(), |id| format!("{} {id}", row.actor));
        let object = format!("{} {}", row.object, row.object_id);
        let from = row.address.unwrap_or_default();
        table.add_row([row.at.to_rfc3339(), who, row.action, object, from, row.detail]);
    }
    println!("{table}");
    Ok(())
}

fn told(row: &Row) -> Value {
    let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
    json!({
        "id": row.id, "at": row.at, "actor": row.actor, "actor_id": row.actor_id, "action": row.action,
        "object": row.object, "object_id": row.object_id, "workspace_id": row.workspace_id, "address": row.address,
        "detail": detail,
    })
}
