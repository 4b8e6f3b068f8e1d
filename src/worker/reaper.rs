//! Takes back what dead workers held, mends what no claim answers for, and keeps the house.

use std::{sync::Arc, time::Duration};

use super::Worker;
use crate::ledger::LedgerError;

/// A claim without a running job is given up after this: until then its answer may be on its way.
const STRAY_AFTER: Duration = Duration::from_secs(5);
/// How often what has ended is dropped and the history's partitions are made.
const KEEP_HOUSE_EVERY: Duration = Duration::from_mins(10);
/// How often the figures of the ledger are read.
const READ_GAUGES_EVERY: Duration = Duration::from_secs(30);

/// What is done at a pace of its own, so that one that takes its time holds up none of the others.
#[derive(Debug, Clone, Copy)]
enum Duty {
    TakeBack,
    Mend,
    KeepHouse,
    ReadGauges,
}

/// Takes back and mends at the pace of `worker.toml`; takes from others only once this worker has proved itself alive for a
/// whole lease.
pub(super) async fn run(worker: Arc<Worker>) {
    let pace = &worker.parts.settings.relay;
    tokio::join!(
        at_pace(&worker, pace.reap_every, Duty::TakeBack),
        at_pace(&worker, pace.mend_every, Duty::Mend),
        at_pace(&worker, KEEP_HOUSE_EVERY, Duty::KeepHouse),
        at_pace(&worker, READ_GAUGES_EVERY, Duty::ReadGauges),
    );
}

async fn at_pace(worker: &Worker, every: Duration, duty: Duty) {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let done = match duty {
            Duty::TakeBack => worker.take_back().await,
            Duty::Mend => worker.mend().await,
            Duty::KeepHouse => worker.in_time(worker.keep_house()).await,
            Duty::ReadGauges => worker.in_time(worker.read_gauges()).await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, ?duty, "a duty could not be done; it is tried again");
        }
    }
}

impl Worker {
    async fn take_back(&self) -> Result<(), LedgerError> {
        let (duties, lease) = (&self.parts.duties, &self.parts.settings.lease);
        let running: Vec<_> = self.running().iter().copied().collect();
        let inc = self.lease.tenure().inc;
        let found = self.in_time(duties.troubles(inc, &running, STRAY_AFTER, lease.isolate_after)).await?;
        if found.suspect {
            self.suspects.send_replace(());
        }
        if found.stray {
            self.release_stray(STRAY_AFTER).await;
        }
        let mut doubtful = 0;
        if found.lost && self.lease.may_reap() {
            let reaped = self.in_time(duties.reap(lease.crash_limit)).await?;
            tracing::info!(claims = reaped.claims, "took back what nobody answered for");
            metrics::counter!("postroom_reaped_claims_total").increment(reaped.claims);
            doubtful += reaped.doubtful;
            self.due.notify_one();
        }
        if found.disowned {
            doubtful += self.in_time(duties.disown()).await?;
        }
        if doubtful > 0 {
            tracing::info!(publications = doubtful, "outcomes are unknown; the networks are asked");
            self.doubt.notify_one();
        }
        Ok(())
    }

    async fn mend(&self) -> Result<(), LedgerError> {
        let jobs = self.in_time(self.parts.duties.mend(self.parts.settings.publishing.late_limit)).await?;
        if jobs > 0 {
            tracing::info!(jobs, "gave a job to publications that had lost theirs");
            self.due.notify_one();
        }
        Ok(())
    }

    async fn keep_house(&self) -> Result<(), LedgerError> {
        self.parts.duties.prepare_history().await?;
        self.parts.duties.forget().await?;
        let letters = self.parts.duties.forget_letters().await?;
        if letters > 0 {
            tracing::error!(
                letters,
                "mails about deletions and copies could not be sent in time, and are forgotten"
            );
        }
        self.parts.duties.end_exports().await?;
        self.parts.duties.end_webhook_secrets().await?;
        self.parts.duties.forget_traffic().await
    }
}
