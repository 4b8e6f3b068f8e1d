//! Sees to it that accounts' access is renewed in time, that access which is to be taken back is, and that every deletion
//! and every copy goes on: makes the job of each whose turn it is. And ends the connections that nobody went on with, with
//! everything secret of them, and seals the letters that a process of before has put down in the clear.
//!
//! All are found by their state, never by a message: whatever becomes of a job, the turn comes again.

use std::{sync::Arc, time::Duration};

use super::Worker;

/// The most accounts in one look.
const MOST: i64 = 256;
/// How long an account's turn is put off, where its job comes to nothing.
const AGAIN: Duration = Duration::from_mins(10);

/// Looks at the pace at which everything is mended, until the worker stops.
pub(super) async fn run(worker: Arc<Worker>) {
    let mut tick = tokio::time::interval(worker.parts.settings.relay.mend_every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        end_connections(&worker).await;
        while renew(&worker).await && !worker.stop.is_cancelled() {}
        mend_partings(&worker).await;
        mend_left_dialogs(&worker).await;
        mend_deletions(&worker).await;
        seal_letters(&worker).await;
        mend_exports(&worker).await;
    }
}

async fn end_connections(worker: &Worker) {
    match worker.in_time(worker.parts.duties.end_connections()).await {
        Ok(0) => {}
        Ok(connections) => {
            tracing::info!(connections, "connections were not gone on with, and have ended");
        }
        Err(error) => tracing::warn!(%error, "connections could not be ended; it is tried again"),
    }
}

/// One look for accounts; true: there may be more than it took.
async fn renew(worker: &Worker) -> bool {
    match worker.in_time(worker.parts.duties.renew_due(MOST, AGAIN)).await {
        Ok(0) => false,
        Ok(accounts) => {
            tracing::debug!(accounts, "access is looked after");
            worker.due.notify_one();
            accounts == MOST
        }
        Err(error) => {
            tracing::warn!(%error, "whose access ends could not be looked for; it is tried again");
            false
        }
    }
}

async fn mend_partings(worker: &Worker) {
    match worker.in_time(worker.parts.duties.mend_partings()).await {
        Ok(0) => {}
        Ok(jobs) => {
            tracing::info!(
                jobs,
                "gave a job to accounts whose access is to be taken back, and that had lost theirs"
            );
            worker.due.notify_one();
        }
        Err(error) => {
            tracing::warn!(%error, "disconnected accounts could not be looked for; it is tried again");
        }
    }
}

async fn mend_left_dialogs(worker: &Worker) {
    match worker.in_time(worker.parts.duties.mend_left_dialogs()).await {
        Ok(0) => {}
        Ok(jobs) => {
            tracing::info!(jobs, "what dialogs gave that nobody went on with is given back");
            worker.due.notify_one();
        }
        Err(error) => {
            tracing::warn!(%error, "dialogs that were left could not be looked for; it is tried again");
        }
    }
}

async fn mend_deletions(worker: &Worker) {
    match worker.in_time(worker.parts.duties.mend_deletions()).await {
        Ok(0) => {}
        Ok(jobs) => {
            tracing::info!(jobs, "gave a job to deletions that had lost theirs");
            worker.due.notify_one();
        }
        Err(error) => tracing::warn!(%error, "deletions could not be looked for; it is tried again"),
    }
}

async fn seal_letters(worker: &Worker) {
    match worker.in_time(worker.parts.duties.seal_mail(&worker.parts.ring)).await {
        Ok(0) => {}
        Ok(letters) => tracing::info!(letters, "letters lay in the clear, and are sealed"),
        Err(error) => tracing::warn!(%error, "letters could not be sealed; it is tried again"),
    }
}

async fn mend_exports(worker: &Worker) {
    match worker.in_time(worker.parts.duties.mend_exports()).await {
        Ok(0) => {}
        Ok(jobs) => {
            tracing::info!(jobs, "gave a job to copies that had lost theirs");
            worker.due.notify_one();
        }
        Err(error) => tracing::warn!(%error, "copies could not be looked for; it is tried again"),
    }
}
