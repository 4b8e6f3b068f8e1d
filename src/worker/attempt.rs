//! One attempt: perform, then settle by what came of it.

use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use apalis_core::task::data::Data;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use jobs::{
    contract::{Class, Closing, Done, Failure, JobError, Verdict},
    desk::{Clock, Desk, Effects},
    fp,
    hint::Hint,
    machine::Move,
};

use super::{
    Worker,
    backend::Attempt,
    traffic,
    vault::{LedgerVault, WatchedVault},
};
use crate::ledger::{
    Back, Claimed, ClaimedConnections, ClaimedPartings, ClaimedTakeDowns, LedgerError, PutBack,
    analysis_calls::ClaimedAnalyses,
    deliveries::ClaimedDeliveries,
    effects::ClaimedEffects,
    flight::Flight,
    forgetting::ClaimedForgetting,
    packing::ClaimedPacking,
    renewals::ClaimedRenewals,
    rest::Refused,
    settle::{End, Ending, Finish, Outcome},
    snapshots::ClaimedSnapshots,
};

/// The wait before a settle that failed is tried again.
const SETTLE_AGAIN: Duration = Duration::from_millis(200);
/// A job whose account was connected anew while it was refused runs again after this.
const CONNECTED_ANEW: Duration = Duration::from_secs(5);
/// A released job may run again after this.
const RELEASED_FOR: TimeDelta = TimeDelta::milliseconds(500);

/// Runs attempts to their ends, on tasks of their own: they outlive whatever happens to apalis' future.
pub(super) async fn run(attempts: Vec<Attempt>, worker: Data<Arc<Worker>>) {
    let tasks: Vec<_> =
        attempts.into_iter().map(|attempt| tokio::spawn(one(attempt, Arc::clone(&worker)))).collect();
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "an attempt's task failed; the reaper takes its job back");
        }
    }
}

async fn one(attempt: Attempt, worker: Arc<Worker>) {
    let done = worker.perform(&attempt).await;
    attempt.place.leave();
    if let Some(done) = done {
        fp!(BeforeSettle);
        worker.settle(&attempt, done).await;
        fp!(AfterSettle);
    }
}

impl Worker {
    /// Runs the job; `None` where the lease was lost and nothing of it may be written any more.
    async fn perform(&self, attempt: &Attempt) -> Option<Result<Done, JobError>> {
        let limit = self.parts.settings.kind(attempt.kind).timeout;
        let flight = Flight::new(self.stop.clone());
        let mut run = pin!(self.guarded(attempt, &flight));
        let cut = tokio::select! {
            biased;
            // first, so that what is over at once waits for nothing; where the lease is lost, the settle is refused
            done = &mut run => return Some(done),
            () = tokio::time::sleep(limit) => {
                let late = Failure::new(Class::Transient, "timeout", format!("not done within {limit:?}"));
                Some(Err(JobError::Unavailable(late)))
            }
            () = attempt.lost.cancelled() => None,
            () = self.abort.cancelled() => Some(Err(JobError::Infrastructure("the worker is stopping".into()))),
        };
        // a refresh that is under way is seen through, for nobody else can have what it brings
        tokio::select! {
            biased;
            () = flight.ended() => cut,
            done = &mut run => cut.and(Some(done)),
        }
    }

    /// A panic is a failed attempt, not a dead worker.
    async fn guarded(&self, attempt: &Attempt, flight: &Flight) -> Result<Done, JobError> {
        let run = AssertUnwindSafe(self.on_desk(&attempt.job, attempt, flight)).catch_unwind();
        run.await.unwrap_or_else(|_| {
            Err(JobError::Unavailable(Failure::new(Class::Transient, "panic", "the job's code failed")))
        })
    }

    async fn on_desk(&self, job: &Claimed, attempt: &Attempt, flight: &Flight) -> Result<Done, JobError> {
        let parts = &self.parts;
        // before anything of it is opened
        if let Some(purpose) = attempt.kind.purpose
            && parts.ledger.is_withdrawn(job.workspace_id, purpose).await?
        {
            return Err(JobError::Refused(purpose.refusal()));
        }
        let effects = job.publication_id.map(|publication_id| {
            ClaimedEffects::new(&parts.ledger, &*parts.clock, job.claim, publication_id, self.arm_limits())
        });
        let take_downs = ClaimedTakeDowns { ledger: &parts.ledger, claim: job.claim };
        let gate = if attempt.kind.yields { self.thrifty_gate() } else { self.gate(job.attempt > 0) };
        let vault = LedgerVault { ledger: &parts.ledger, ring: &parts.ring };
        let vault = WatchedVault { vault, opened: &attempt.opened };
        let renewals = ClaimedRenewals::new(&parts.ledger, &parts.ring, job.claim, flight);
        let connections = ClaimedConnections::new(&parts.ledger, &parts.ring, job.claim);
        let partings = ClaimedPartings::new(&parts.ledger, &parts.ring, job.claim);
        let snapshots = ClaimedSnapshots { ledger: &parts.ledger, claim: job.claim, pace: &self.pace };
        let forgetting = ClaimedForgetting::new(&parts.ledger, &parts.ring, job.claim, self.clocks());
        let defaults = parts.settings.analysis.policy();
        let analyses = ClaimedAnalyses { ledger: &parts.ledger, claim: job.claim, defaults };
        let packing = ClaimedPacking { ledger: &parts.ledger, claim: job.claim };
        let patience = parts.settings.webhooks.disable_after;
        let deliveries = ClaimedDeliveries::new(&parts.ledger, &parts.ring, job.claim, patience);
        let desk = Desk {
            clock: &*parts.clock,
            effects: effects.as_ref().map(|effects| effects as &dyn Effects),
            take_downs: Some(&take_downs),
            networks: &*parts.networks,
            gate: &gate,
            vault: &vault,
            renewals: Some(&renewals),
            connections: Some(&connections),
            partings: Some(&partings),
            snapshots: Some(&snapshots),
            forgetting: Some(&forgetting),
            analyses: Some(&analyses),
            analyst: parts.analyst.as_deref(),
            packing: Some(&packing),
            deliveries: Some(&deliveries),
            courier: Some(&*parts.courier),
            media: &*parts.media,
            leased: &|| self.lease.good(),
            limits: self.limits(attempt.kind),
        };
        (attempt.kind.run)(&job.payload, &desk).await
    }

    /// Writes what came of it, until it is written or the lease is gone.
    async fn settle(&self, attempt: &Attempt, mut done: Result<Done, JobError>) {
        let job = &attempt.job;
        log(job, &done);
        loop {
            match self.settle_once(attempt, &done).await {
                Ok(true) => return self.settled(&done),
                Ok(false) => {
                    metrics::counter!("postroom_fenced_completions_total").increment(1);
                    tracing::warn!(job = %job.claim.job_id, epoch = job.claim.epoch, "fenced off: the claim is gone");
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, job = %job.claim.job_id, "the job could not be settled yet");
                    if error.blames_data() {
                        done = Err(JobError::Malformed(unkeepable(&error)));
                    }
                }
            }
            tokio::select! {
                () = attempt.lost.cancelled() => return,
                () = tokio::time::sleep(SETTLE_AGAIN) => {}
            }
        }
    }

    fn settled(&self, done: &Result<Done, JobError>) {
        match done {
            Err(error) if error.verdict() == Verdict::Reconcile => self.doubt.notify_one(),
            Ok(Done::Finished { then, .. }) if !then.is_empty() => self.due.notify_one(),
            Ok(_) | Err(_) => {}
        }
    }

    async fn settle_once(
        &self,
        attempt: &Attempt,
        done: &Result<Done, JobError>,
    ) -> Result<bool, Arc<LedgerError>> {
        let job = &*attempt.job;
        match done {
            Ok(Done::Finished { output, then }) => {
                let finish = Finish { claim: job.claim, output: output.clone(), then: then.clone() };
                self.finisher.bring(finish).await
            }
            // boxed: these are large, seldom taken, and every attempt would carry their room about
            Ok(Done::Waiting { until, reason }) => {
                Ok(self.in_time(Box::pin(self.back(job, Back::Waiting, *until, reason.clone()))).await?)
            }
            Ok(Done::Closed(closing)) => Ok(self.in_time(Box::pin(self.close(job, closing))).await?),
            Err(error) => Ok(self.in_time(Box::pin(self.settle_error(attempt, error))).await?),
        }
    }

    async fn settle_error(&self, attempt: &Attempt, error: &JobError) -> Result<bool, LedgerError> {
        let (job, failure) = (&*attempt.job, error.failure());
        if let Some((account, rest)) = job.account_id.zip(failure.rest) {
            self.parts.ledger.leave_alone(account, rest).await?;
        }
        let now = self.parts.clock_now();
        match error.verdict() {
            Verdict::Retry => self.retry(attempt, &failure).await,
            // a lost claim too: putting back is fenced itself, and leaves no claim where only the state moved on
            Verdict::Release | Verdict::Drop => {
                self.back(job, Back::Released, now + RELEASED_FOR, error.to_string()).await
            }
            Verdict::Wait(rest) => self.snooze(attempt, rest, &failure).await,
            Verdict::Pause => self.pause(attempt, &failure).await,
            Verdict::Reconcile => self.end(job, Move::Lose, Outcome::Unknown, &failure).await,
            Verdict::Fail => self.end(job, Move::Fail, Outcome::Failed, &failure).await,
        }
    }

    /// Waits for a limit, which spends no attempt.
    async fn snooze(
        &self,
        attempt: &Attempt,
        rest: Duration,
        failure: &Failure,
    ) -> Result<bool, LedgerError> {
        metrics::counter!("postroom_snoozes_total", "cause" => traffic::cause(failure)).increment(1);
        if let Some(late) = self.out_of_time(attempt, failure).await? {
            return self.end(&attempt.job, Move::Fail, Outcome::Dead, &late).await;
        }
        let at = after(self.parts.clock_now(), rest);
        self.back(&attempt.job, Back::Snoozed, at, failure.to_string()).await
    }

    /// What a job is given up with that has been tried again, or made to wait, for longer than its kind allows.
    async fn out_of_time(
        &self,
        attempt: &Attempt,
        failure: &Failure,
    ) -> Result<Option<Failure>, LedgerError> {
        let within = self.parts.settings.kind(attempt.kind).retry().within;
        let troubled = self.parts.ledger.troubled_for(attempt.job.claim.job_id).await?;
        Ok((troubled > within).then(|| {
            let why = format!("given up after {within:?}: {}", failure.message);
            Failure::new(failure.class, failure.code.clone(), why)
        }))
    }

    async fn retry(&self, attempt: &Attempt, failure: &Failure) -> Result<bool, LedgerError> {
        let job = &*attempt.job;
        let policy = self.parts.settings.kind(attempt.kind).retry();
        if let Some(late) = self.out_of_time(attempt, failure).await? {
            return self.end(job, Move::Fail, Outcome::Dead, &late).await;
        }
        match policy.wait(job.attempt + 1, rand::random()) {
            Some(wait) => {
                let at = after(self.parts.clock_now(), wait.max(failure.rest.unwrap_or_default()));
                self.back(job, Back::Retry, at, failure.to_string()).await
            }
            None => self.end(job, Move::Fail, Outcome::Dead, failure).await,
        }
    }

    /// Rests the account first: this job then goes back as paused with the others, or runs again where the
    /// account was connected anew meanwhile.
    async fn pause(&self, attempt: &Attempt, failure: &Failure) -> Result<bool, LedgerError> {
        let job = &attempt.job;
        if let Some(account) = job.account_id {
            let seen = Some(attempt.opened.load(Ordering::Relaxed)).filter(|generation| *generation > 0);
            let refused = Refused { account, seen, reason: &failure.message, purge: false };
            self.parts.ledger.rest_account(job.claim, &refused).await?;
        }
        let again = after(self.parts.clock_now(), CONNECTED_ANEW);
        self.back(job, Back::Paused, again, failure.to_string()).await
    }

    async fn close(&self, job: &Claimed, closing: &Closing) -> Result<bool, LedgerError> {
        let (step, outcome, failure) = match closing {
            Closing::Cancelled => (
                Move::Cancel,
                Outcome::Cancelled,
                Failure::new(Class::Permanent, "cancelled", "cancelled by wish"),
            ),
            Closing::TooLate => {
                let why = "its latest time has passed; it is not sent late without a person's word";
                (Move::Expire, Outcome::Held, Failure::new(Class::Permanent, "too_late", why))
            }
            Closing::GivenUp(failure) => (Move::Fail, Outcome::Dead, failure.clone()),
            Closing::NotProvable(why) => {
                (Move::Hold, Outcome::Held, Failure::new(Class::Unknown, "not_provable", why.clone()))
            }
        };
        self.end(job, step, outcome, &failure).await
    }

    /// Ends the job with its publication. Where the publication stands elsewhere by now, only the job ends.
    async fn end(
        &self,
        job: &Claimed,
        step: Move,
        outcome: Outcome,
        failure: &Failure,
    ) -> Result<bool, LedgerError> {
        let ledger = &self.parts.ledger;
        let again = self.parts.clock_now() + RELEASED_FOR;
        match ledger.end(&End { claim: job.claim, step, outcome, failure }).await? {
            Ending::Ended => return Ok(true),
            // what was accepted meanwhile is tried or honoured, whatever became of what was before it
            Ending::Overtaken => return self.back(job, Back::Released, again, failure.to_string()).await,
            Ending::Refused if self.lose(job, failure).await? => return Ok(true),
            Ending::Refused => {}
        }
        // what was sent may be carried out late: it fails when its handle is dead
        if step == Move::Fail
            && let Some(before) = ledger.give_up_sent(job.claim, failure).await?
        {
            let wait = if before { self.parts.settings.publishing.look_most } else { Duration::ZERO };
            return self
                .back(job, Back::Waiting, after(self.parts.clock_now(), wait), failure.to_string())
                .await;
        }
        // what was committed cannot be called failed on a guess: a person decides
        let hold = End { claim: job.claim, step: Move::Hold, outcome: Outcome::Held, failure };
        if ledger.end(&hold).await? == Ending::Ended {
            return Ok(true);
        }
        // it was given another time, or sent, while this was decided: whoever has it next sees that
        if matches!(step, Move::Cancel | Move::Expire) {
            return self.back(job, Back::Released, again, failure.to_string()).await;
        }
        let finish = Finish { claim: job.claim, output: serde_json::Value::Null, then: Vec::new() };
        Ok(ledger.finish(&[finish]).await?.len() == 1)
    }

    /// Puts a job back; one whose publication is armed can only leave it as unknown.
    async fn back(
        &self,
        job: &Claimed,
        outcome: Back,
        run_at: DateTime<Utc>,
        reason: String,
    ) -> Result<bool, LedgerError> {
        let failure = Failure::new(Class::Unknown, "interrupted", reason.clone());
        let back = PutBack { outcome, run_at, reason };
        if self.parts.ledger.put_back(job.claim, &back).await? {
            self.look_again(job, run_at);
            return Ok(true);
        }
        self.lose(job, &failure).await
    }

    /// Tells the relay of a job that is due again before the next sweep would find it.
    fn look_again(&self, job: &Claimed, run_at: DateTime<Utc>) {
        if run_at > after(self.parts.clock_now(), self.parts.settings.relay.look_ahead) {
            return;
        }
        let (kind, workspace_id) = (job.kind.clone(), job.workspace_id);
        let hint = Hint { kind, workspace_id, job_id: job.claim.job_id, run_at };
        if self.again.try_send(hint).is_err() {
            self.due.notify_one();
        }
    }

    async fn lose(&self, job: &Claimed, failure: &Failure) -> Result<bool, LedgerError> {
        let end = End { claim: job.claim, step: Move::Lose, outcome: Outcome::Unknown, failure };
        let lost = self.parts.ledger.end(&end).await? == Ending::Ended;
        if lost {
            self.doubt.notify_one();
        }
        Ok(lost)
    }
}

fn unkeepable(error: &LedgerError) -> Failure {
    Failure::new(Class::Permanent, "unkeepable", format!("what came of it could not be kept: {error}"))
}

fn after(now: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::days(1))
}

fn log(job: &Claimed, done: &Result<Done, JobError>) {
    let (id, kind, epoch) = (job.claim.job_id, &job.kind, job.claim.epoch);
    let publication = job.publication_id.map(|id| id.to_string());
    match done {
        Ok(Done::Finished { .. }) => tracing::info!(job = %id, kind, epoch, publication, "job done"),
        Ok(Done::Waiting { until, reason }) => {
            tracing::debug!(job = %id, kind, epoch, publication, %until, reason, "job waits");
        }
        Ok(Done::Closed(closing)) => {
            tracing::info!(job = %id, kind, epoch, publication, ?closing, "job closed");
        }
        Err(error) => tracing::warn!(job = %id, kind, epoch, publication, %error, "attempt failed"),
    }
}

impl super::Parts {
    /// Now, by the ledger's clock.
    pub(super) fn clock_now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}
