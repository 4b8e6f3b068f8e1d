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
        KeyRing, Ledger, LedgerError,
        audit::{Action, Entry},
        keyring::KeyError,
        reseal::{Amount, Batch, Kept, Stuck},
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
    /// Data keys that are sealed anew, or accounts that get one, at a time.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    batch: i64,
    #[command(flatten)]
    output: Output,
}

/// What has been done so far.
#[derive(Default)]
struct Tally {
    /// Data keys, what stands under the ring itself, and the secrets of connections and webhooks.
    resealed: u64,
    /// Tokens that were sealed under a data key anew.
    moved: u64,
    outrun: u64,
    stuck: Vec<Stuck>,
    /// What requests for deletion keep, and what signs their receipts.
    deletions: u64,
    /// Letters that wait to be sent.
    letters: u64,
}

impl Rotate {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let (ledger, ring) = (owned_ledger()?, wiring::key_ring()?);
        let mut kept = ledger.kept_sealed(&ring).await?;
        let mut progress = Progress::new(kept.work(), self.output.json);
        let mut tally = Tally::default();
        // a process that was given the ring too late may have sealed under another key behind the walk
        for _ in 0..MOST_WALKS {
            tally.stuck.clear();
            let before = kept;
            self.walk(&ledger, &ring, &before, &mut tally, &mut progress).await?;
            kept = ledger.kept_sealed(&ring).await?;
            let over = kept.otherwise.sum() == 0 && kept.movable() == 0;
            if over || kept == before {
                break;
            }
        }
        // addresses of requests for deletion, and what signs their receipts; letters that wait to be sent
        let (deletions, letters) = (ledger.reseal_deletions(&ring).await, ledger.reseal_mail(&ring).await);
        tally.deletions = deletions.as_ref().copied().unwrap_or_default();
        tally.letters = letters.as_ref().copied().unwrap_or_default();
        self.tell(&ring, &tally, &kept, progress.begun.elapsed());
        ledger.audit(&rotated(&ledger, &ring, &tally, &kept)).await?;
        finish(&ring, &tally.stuck, kept.otherwise)?;
        deletions.and(letters)?;
        Ok(())
    }

    /// Goes through all that the vault keeps once.
    async fn walk(
        &self,
        ledger: &Ledger,
        ring: &KeyRing,
        kept: &Kept,
        tally: &mut Tally,
        progress: &mut Progress,
    ) -> Result<(), Failed> {
        let (most, older) = (self.batch, kept.older > 0);
        let resealed = through(|after| ledger.reseal_keys(ring, after, most), tally, progress).await?;
        tally.resealed += resealed;
        if kept.recast + kept.movable() > 0 {
            let moved = through(|after| ledger.rekey(ring, after, most, !older), tally, progress).await?;
            tally.moved += moved;
        }
        // what a worker of an earlier version has to open stays under the ring itself
        if older && kept.bare_otherwise() > 0 {
            let resealed = through(|after| ledger.reseal(ring, after, most), tally, progress).await?;
            tally.resealed += resealed;
        }
        for few in [ledger.reseal_connections(ring).await?, ledger.reseal_webhooks(ring).await?] {
            let (resealed, stuck) = few;
            tally.resealed += resealed;
            tally.stuck.extend(stuck);
        }
        Ok(())
    }

    fn tell(&self, ring: &KeyRing, tally: &Tally, kept: &Kept, took: Duration) {
        let (key, Tally { resealed, moved, outrun, stuck, deletions, letters }) = (ring.sealing_key(), tally);
        let Kept { all, otherwise, bare, older, .. } = kept;
        if self.output.json {
            let named = |it: &Stuck| {
                let (owner, id) = it.owner.named();
                let owner = format!("{owner}_id");
                json!({ owner: id, "field": it.field, "key": it.key_id, "why": it.why.to_string() })
            };
            let stuck: Vec<_> = stuck.iter().take(NAMED).map(named).collect();
            let done = json!({
                "key": key, "tokens": all.tokens, "data_keys": all.data_keys, "connections": all.connections,
                "webhooks": all.webhooks, "resealed": resealed, "moved": moved, "deletions": deletions,
                "letters": letters, "outrun": outrun, "left": otherwise.sum(), "bare": bare,
                "older_workers": older, "stuck": stuck, "seconds": took.as_secs_f64(),
            });
            println!("{done}");
            return;
        }
        for it in stuck.iter().take(NAMED) {
            let (owner, id) = it.owner.named();
            eprintln!("{} of {owner} {id}: {}", it.field, it.why);
        }
        println!(
            "{resealed} of {} were sealed under {key}, and {moved} tokens under a key of their own, in {:.1} s; {} are left",
            in_words(*all),
            took.as_secs_f64(),
            otherwise.sum(),
        );
        if *bare > 0 && *older > 0 {
            println!(
                "{bare} tokens have no key of their own, for {older} workers of an earlier version: run this again when \
                 these are gone"
            );
        }
    }
}

/// Goes on from batch to batch to the end, and tells how much was sealed.
async fn through<P, F>(
    step: impl Fn(Option<P>) -> F,
    tally: &mut Tally,
    progress: &mut Progress,
) -> Result<u64, Failed>
where
    F: Future<Output = Result<Batch<P>, LedgerError>>,
{
    let (mut place, mut resealed) = (None, 0);
    loop {
        let batch = step(place).await?;
        resealed += batch.resealed;
        tally.outrun += batch.outrun;
        tally.stuck.extend(batch.stuck);
        progress.tell(tally.resealed + tally.moved + resealed);
        match batch.next {
            Some(next) => place = Some(next),
            None => return Ok(resealed),
        }
    }
}

/// What it is, by what keeps it.
fn in_words(amount: Amount) -> String {
    let Amount { tokens, data_keys, connections, webhooks } = amount;
    let few = [
        (data_keys, "keys of tokens"),
        (connections, "secrets of connections on their way"),
        (webhooks, "secrets of webhooks"),
    ];
    let mut kinds: Vec<String> =
        few.iter().filter(|(many, _)| *many > 0).map(|(many, what)| format!("{many} {what}")).collect();
    if tokens > 0 || kinds.is_empty() {
        kinds.insert(0, format!("{tokens} tokens"));
    }
    kinds.join(" and ")
}

/// What is written down of it, whether or not something is left.
fn rotated(ledger: &Ledger, ring: &KeyRing, tally: &Tally, kept: &Kept) -> Entry<'static> {
    let (Tally { resealed, moved, .. }, left) = (tally, kept.otherwise.sum());
    Entry {
        who: ledger.who(),
        action: Action::RingRotated,
        object: "key_ring",
        object_id: ring.sealing_key().to_owned(),
        workspace_id: None,
        detail: json!({ "resealed": resealed, "moved": moved, "left": left, "bare": kept.bare }),
    }
}

/// Done only when nothing is left: until then no key may be taken out of the ring.
fn finish(ring: &KeyRing, stuck: &[Stuck], left: Amount) -> Result<(), Failed> {
    let closed = Amount::of(stuck);
    let mut missing: Vec<&str> = stuck
        .iter()
        .filter_map(|it| match &it.why {
            KeyError::UnknownKey(key) => Some(key.as_str()),
            KeyError::Entry(..) | KeyError::DoesNotOpen | KeyError::Shredded => None,
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
    let (what, say) = match (closed.tokens + closed.data_keys, closed.connections, closed.webhooks) {
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
        eprint!("{done} of {} sealed anew, {rate} a second{end}", self.all);
    }
}
