//! `restore`: what to do after the ledger was restored from a backup, before workers start.

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{Failed, Output, owned_ledger};
use crate::{
    ledger::{
        Ledger,
        restore::Restored,
        tombstones::{Clash, FOLDER, Raised, Tombstone, recipient_key},
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
        // before anything is changed: without the store nothing is
        let stones = tombstones().await?;
        let restored = if self.check { ledger.restore_check().await? } else { ledger.restore().await? };
        let mut raised = ledger.risen(&stones).await?;
        if let (false, Some(until)) = (self.check, restored.leased_until) {
            let until = until.to_rfc3339();
            return Err(format!(
                "a worker holds a lease until {until}, and nothing was changed; stop all workers, and run this \
                 again when it has ended"
            )
            .into());
        }
        if !self.check {
            raised.clashes.extend(replay(&ledger, &raised.risen).await?);
            raised.risen.retain(|stone| raised.clashes.iter().all(|clash| clash.tombstone != stone.id));
        }
        let unshredded = ledger.unshredded(&ours(stones, &raised.clashes)).await?;
        if !self.check {
            ledger.shred_again(&unshredded).await?;
        }
        let shredded: Vec<Uuid> = unshredded.into_iter().flat_map(|(_, accounts)| accounts).collect();
        if self.output.json {
            let deletions: Vec<_> = raised.risen.iter().map(|stone| stone.id).collect();
            let Restored { asked, held, later, keyless, leased_until } = restored;
            println!(
                "{}",
                json!({ "done": !self.check, "asked": asked, "held": held, "later": later, "leased_until": leased_until,
                        "deletions": deletions, "clashes": raised.clashes, "shredded": shredded, "keyless": keyless })
            );
        } else {
            print(&restored, &raised, shredded.len(), self.check);
        }
        if self.check || raised.clashes.is_empty() { Ok(()) } else { Err(clashing(&raised.clashes).into()) }
    }
}

/// Carries the deletions out again; gives those that cannot be told from another's.
async fn replay(ledger: &Ledger, risen: &[Tombstone]) -> Result<Vec<Clash>, Failed> {
    let mut clashes = Vec::new();
    for stone in risen {
        let recipient = wiring::kept_at(&recipient_key(stone.id)).await?;
        clashes.extend(ledger.replay_deletion(stone, recipient.as_deref()).await?);
    }
    ledger.resume_deletions().await?;
    Ok(clashes)
}

/// Those that are no others': what the rest names is left for a person to judge.
fn ours(mut stones: Vec<Tombstone>, clashes: &[Clash]) -> Vec<Tombstone> {
    stones.retain(|stone| clashes.iter().all(|clash| clash.tombstone != stone.id));
    stones
}

fn clashing(clashes: &[Clash]) -> String {
    let told = clashes.iter().map(|it| {
        format!(
            "\n  {} is known here as request {}, which covers another: what deletions/{}.json names was not deleted",
            it.tombstone, it.request, it.tombstone
        )
    });
    let told: String = told.collect();
    format!(
        "everything else is done, but the tombstones of {} requests cannot be told from others':{told}\nlook whether they are \
         ours, and ask for the deletion of what they name: postroom delete-subject --account ID",
        clashes.len()
    )
}

/// What was deleted since any backup.
async fn tombstones() -> Result<Vec<Tombstone>, Failed> {
    let kept = wiring::kept(FOLDER).await.map_err(|failure| {
        format!("{failure}: without the object store nobody knows what was deleted since the backup")
    })?;
    Ok(kept.iter().map(|bytes| Tombstone::parse(bytes)).collect::<Result<_, _>>()?)
}

fn print(restored: &Restored, raised: &Raised, shredded: usize, check: bool) {
    let Raised { risen, clashes } = raised;
    let Restored { asked, held, later, keyless, leased_until } = restored;
    let are = if check { "would be" } else { "are" };
    println!("{} publications were due and may have been sent since the backup:", asked.len() + held.len());
    println!("  {} {are} looked for at their networks, and held if they are not found", asked.len());
    println!("  {} have nothing to be found by and {are} held for a person to decide", held.len());
    for id in held {
        println!("    {id}");
    }
    println!("{later} publications are due later, and go out as they stood when the backup was made");
    println!("{} deletions were carried out since the backup and {are} carried out again", risen.len());
    println!(
        "{shredded} accounts came back with tokens or keys that deletions have destroyed: these {are} destroyed at once"
    );
    println!("{keyless} accounts came back without the keys of their tokens and {are} to be connected again");
    if check && !clashes.is_empty() {
        println!("{}", clashing(clashes));
    }
    println!(
        "Accounts that were disconnected since the backup stand as connected again: disconnect them once more"
    );
    println!("Redis needs nothing: workers fill it again.");
    if let Some(until) = leased_until {
        println!("A worker holds a lease until {}: stop all workers first.", until.to_rfc3339());
    }
}
