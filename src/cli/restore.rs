//! `restore`: what to do after the ledger was restored from a backup, before workers start.

use clap::Args;
use serde_json::json;

use super::{Failed, Output, owned_ledger};
use crate::{
    ledger::{
        restore::Restored,
        tombstones::{FOLDER, Tombstone},
    },
    wiring,
};

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
        let stones = tombstones().await?;
        let risen = ledger.risen(&stones).await?;
        let unshredded = ledger.unshredded(&stones).await?;
        if let (false, Some(until)) = (self.check, restored.leased_until) {
            let until = until.to_rfc3339();
            return Err(format!(
                "a worker holds a lease until {until}, and nothing was changed; stop all workers, and run this \
                 again when it has ended"
            )
            .into());
        }
        if !self.check {
            ledger.replay_deletions(&risen).await?;
            ledger.shred_again(&unshredded).await?;
        }
        let shredded: Vec<_> = unshredded.iter().flat_map(|(_, accounts)| accounts).collect();
        if self.output.json {
            let deletions: Vec<_> = risen.iter().map(|stone| stone.id).collect();
            let Restored { asked, held, later, keyless, leased_until } = restored;
            println!(
                "{}",
                json!({ "done": !self.check, "asked": asked, "held": held, "later": later, "leased_until": leased_until,
                        "deletions": deletions, "shredded": shredded, "keyless": keyless })
            );
        } else {
            print(&restored, (risen.len(), shredded.len()), self.check);
        }
        Ok(())
    }
}

/// What was deleted since any backup.
async fn tombstones() -> Result<Vec<Tombstone>, Failed> {
    let kept = wiring::kept(FOLDER).await.map_err(|failure| {
        format!("{failure}: without the object store nobody knows what was deleted since the backup")
    })?;
    Ok(kept.iter().map(|bytes| Tombstone::parse(bytes)).collect::<Result<_, _>>()?)
}

fn print(restored: &Restored, (risen, shredded): (usize, usize), check: bool) {
    let Restored { asked, held, later, keyless, leased_until } = restored;
    let are = if check { "would be" } else { "are" };
    println!("{} publications were due and may have been sent since the backup:", asked.len() + held.len());
    println!("  {} {are} looked for at their networks, and held if they are not found", asked.len());
    println!("  {} have nothing to be found by and {are} held for a person to decide", held.len());
    for id in held {
        println!("    {id}");
    }
    println!("{later} publications are due later, and go out as they stood when the backup was made");
    println!("{risen} deletions were carried out since the backup and {are} carried out again");
    println!(
        "{shredded} of their accounts came back with tokens or their keys: these {are} destroyed at once"
    );
    println!("{keyless} accounts came back without the keys of their tokens and {are} to be connected again");
    println!(
        "Accounts that were disconnected since the backup stand as connected again: disconnect them once more"
    );
    println!("Redis needs nothing: workers fill it again.");
    if let Some(until) = leased_until {
        println!("A worker holds a lease until {}: stop all workers first.", until.to_rfc3339());
    }
}
