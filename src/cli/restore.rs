//! `restore`: what to do after the ledger was restored from a backup, before workers start.

use clap::Args;
use serde_json::json;

use super::{Failed, Output, owned_ledger};
use crate::ledger::restore::Restored;

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// Only says what would be done.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    output: Output,
}

impl Restore {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let ledger = owned_ledger()?;
        let restored = if self.check { ledger.restore_check().await? } else { ledger.restore().await? };
        if let (false, Some(until)) = (self.check, restored.leased_until) {
            let until = until.to_rfc3339();
            return Err(format!(
                "a worker holds a lease until {until}, and nothing was changed; stop all workers, and run this \
                 again when it has ended"
            )
            .into());
        }
        if self.output.json {
            let Restored { asked, held, later, leased_until } = restored;
            println!(
                "{}",
                json!({ "done": !self.check, "asked": asked, "held": held, "later": later, "leased_until": leased_until })
            );
        } else {
            print(&restored, self.check);
        }
        Ok(())
    }
}

fn print(restored: &Restored, check: bool) {
    let Restored { asked, held, later, leased_until } = restored;
    let are = if check { "would be" } else { "are" };
    println!("{} publications were due and may have been sent since the backup:", asked.len() + held.len());
    println!("  {} {are} looked for at their networks, and held if they are not found", asked.len());
    println!("  {} have nothing to be found by and {are} held for a person to decide", held.len());
    for id in held {
        println!("    {id}");
    }
    println!("{later} publications are due later, and go out as they stood when the backup was made");
    println!("Redis needs nothing: workers fill it again.");
    if let Some(until) = leased_until {
        println!("A worker holds a lease until {}: stop all workers first.", until.to_rfc3339());
    }
}
