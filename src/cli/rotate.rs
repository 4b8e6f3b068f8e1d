//! `keys rotate`: everything that is sealed under the first key of the ring, while everything goes on.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::json;

use super::{Failed, Output, owned_ledger};
use crate::{
    ledger::{
        KeyRing, Ledger,
        audit::{Action, Entry},
        keyring::KeyError,
        reseal::{Amount, Place, Stuck},
    },
    wiring,
};

/// How often a walk is told of where nobody watches a line.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// More walks than are needed, unless somebody keeps sealing under another key.
const MOST_WALKS: usize = 5;
/// What does not open is named up to here, and then counted.
const NAMED: usize = 20;

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Tokens that are sealed anew at a time.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    batch: i64,
    #[command(flatten)]
    output: Output,
}

/// What has been done so far.
#[derive(Default)]
struct Tally {
    resealed: u64,
    outrun: u64,
    stuck: Vec<Stuck>,
}

impl Rotate {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let (ledger, ring) = (owned_ledger()?, wiring::key_ring()?);
        let (all, otherwise) = ledger.sealed_otherwise(&ring).await?;
        let mut progress = Progress::new(otherwise.sum(), self.output.json);
        let mut tally = Tally::default();
        // a process that was given the ring too late may have sealed under another key behind the walk
        for _ in 0..MOST_WALKS {
            tally.stuck.clear();
            self.walk(&ledger, &ring, &mut tally, &mut progress).await?;
            for few in [ledger.reseal_connections(&ring).await?, ledger.reseal_webhooks(&ring).await?] {
                let (resealed, stuck) = few;
                tally.resealed += resealed;
                tally.stuck.extend(stuck);
            }
            if ledger.sealed_otherwise(&ring).await?.1 == Amount::of(&tally.stuck) {
                break;
            }
        }
        // addresses of requests for deletion, and what signs their receipts; letters that wait to be sent
        let (deletions, letters) = (ledger.reseal_deletions(&ring).await, ledger.reseal_mail(&ring).await);
        let left = ledger.sealed_otherwise(&ring).await?.1;
        self.tell(&ring, &tally, (all, left), progress.begun.elapsed());
        ledger.audit(&rotated(&ledger, &ring, &tally, left)).await?;
        finish(&ring, &tally.stuck, left)?;
        deletions.and(letters)?;
        Ok(())
    }

    async fn walk(
        &self,
        ledger: &Ledger,
        ring: &KeyRing,
        tally: &mut Tally,
        progress: &mut Progress,
    ) -> Result<(), Failed> {
        let mut place: Option<Place> = None;
        loop {
            let batch = ledger.reseal(ring, place.as_ref(), self.batch).await?;
            tally.resealed += batch.resealed;
            tally.outrun += batch.outrun;
            tally.stuck.extend(batch.stuck);
            progress.tell(tally.resealed);
            match batch.next {
                Some(next) => place = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn tell(&self, ring: &KeyRing, tally: &Tally, (all, left): (Amount, Amount), took: Duration) {
        let (key, Tally { resealed, outrun, stuck }) = (ring.sealing_key(), tally);
        if self.output.json {
            let named = |it: &Stuck| {
                let (owner, id) = it.owner.named();
                let owner = format!("{owner}_id");
                json!({ owner: id, "field": it.field, "key": it.key_id, "why": it.why.to_string() })
            };
            let stuck: Vec<_> = stuck.iter().take(NAMED).map(named).collect();
            let done = json!({
                "key": key, "tokens": all.tokens, "connections": all.connections,
                "webhooks": all.webhooks, "resealed": resealed, "outrun": outrun,
                "left": left.sum(), "stuck": stuck, "seconds": took.as_secs_f64(),
            });
            println!("{done}");
            return;
        }
        for it in stuck.iter().take(NAMED) {
            let (owner, id) = it.owner.named();
            eprintln!("{} of {owner} {id}: {}", it.field, it.why);
        }
        println!(
            "{resealed} of {} were sealed under {key} in {:.1} s; {} are left",
            in_words(all),
            took.as_secs_f64(),
            left.sum(),
        );
    }
}

/// What it is, by what keeps it.
fn in_words(amount: Amount) -> String {
    let Amount { tokens, connections, webhooks } = amount;
    let few = [(connections, "secrets of connections on their way"), (webhooks, "secrets of webhooks")];
    let mut kinds: Vec<String> =
        few.iter().filter(|(many, _)| *many > 0).map(|(many, what)| format!("{many} {what}")).collect();
    if tokens > 0 || kinds.is_empty() {
        kinds.insert(0, format!("{tokens} tokens"));
    }
    kinds.join(" and ")
}

/// What is written down of it, whether or not something is left.
fn rotated(ledger: &Ledger, ring: &KeyRing, tally: &Tally, left: Amount) -> Entry<'static> {
    Entry {
        who: ledger.who(),
        action: Action::RingRotated,
        object: "key_ring",
        object_id: ring.sealing_key().to_owned(),
        workspace_id: None,
        detail: json!({ "resealed": tally.resealed, "left": left.sum() }),
    }
}

/// Done only when nothing is left: until then no key may be taken out of the ring.
fn finish(ring: &KeyRing, stuck: &[Stuck], left: Amount) -> Result<(), Failed> {
    let closed = Amount::of(stuck);
    let mut missing: Vec<&str> = stuck
        .iter()
        .filter_map(|it| match &it.why {
            KeyError::UnknownKey(key) => Some(key.as_str()),
            KeyError::Entry(..) | KeyError::DoesNotOpen => None,
        })
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        return Err(format!(
            "POSTROOM_KEYS: {} are sealed under {}, which is not in it; add it behind {} and run this again",
            in_words(closed),
            missing.join(", "),
            ring.sealing_key()
        )
        .into());
    }
    let (what, say) = match (closed.tokens, closed.connections, closed.webhooks) {
        (0, 0, 0) if left.sum() == 0 => return Ok(()),
        (0, 0, 0) => (
            left,
            "were sealed under another key meanwhile; give every process the new ring and run this again",
        ),
        (0, _, 0) => (closed, "do not open and were left as they are: they go when their connections end"),
        (0, 0, _) => (closed, "do not open and were left as they are: give their webhooks new ones"),
        (..) => (closed, "do not open and were left as they are: connect their accounts again"),
    };
    Err(format!("{} {say}", in_words(what)).into())
}

/// A line that tells how far it is, on stderr.
struct Progress {
    begun: Instant,
    told: Instant,
    all: u64,
    quiet: bool,
    terminal: bool,
}

impl Progress {
    fn new(all: u64, json: bool) -> Self {
        let (now, terminal) = (Instant::now(), std::io::stderr().is_terminal());
        Self { begun: now, told: now, all, quiet: json && !terminal, terminal }
    }

    fn tell(&mut self, done: u64) {
        let every = if self.terminal { Duration::from_millis(100) } else { TELL_EVERY };
        if self.quiet || (self.told.elapsed() < every && done < self.all) {
            return;
        }
        self.told = Instant::now();
        let spent = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = done.saturating_mul(1000) / spent;
        let end = if self.terminal && done < self.all { "\r" } else { "\n" };
        eprint!("{done} of {} tokens, {rate} a second{end}", self.all);
    }
}
