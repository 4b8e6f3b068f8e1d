//! Asking a network what it has counted: of an account, and of what was published on it.
//!
//! There is one such job an account at a time. It asks about whatever of the account is due, one object or one batch
//! after the other, and what each look came to is kept together with when the next one is: a run may end at any point,
//! and the next one goes on from there. It only ever reads, goes last at the gate, and leaves off where a network's
//! limit comes near: what is left of that belongs to what is to be published.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    consent::Purpose,
    contract::{Class, Done, Failure, Job, JobError, Retry},
    desk::{Call, Desk, Network},
    gate::{Gate, Notice, Visit},
    metrics::{
        Due, Ending, Insights, Next, Object, Snapshots, Subject, Taken, ads::AdInsights, look::Learnt,
    },
};

/// The most objects of one round, and the most rounds of one run.
const MOST: i64 = 40;
const ROUNDS: usize = 25;
/// One look at a network.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// A look that came to nothing is taken again after this.
pub(crate) const AGAIN: TimeDelta = TimeDelta::hours(1);
/// The wait for a limit whose end the network does not name.
const UNTIMED: Duration = Duration::from_mins(5);
/// So many looks of one round may fail before it is given up.
const MOST_FAILED: usize = 3;
/// Broken access and a network that is switched off are tried again after this, and a refusal of everything after a day.
const NO_ACCESS: TimeDelta = TimeDelta::hours(1);
const REFUSED: TimeDelta = TimeDelta::days(1);

/// The payload: whose numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MetricSnapshot {
    /// The account.
    pub account_id: Uuid,
}

impl Job for MetricSnapshot {
    const KIND: &'static str = "metric_snapshot";
    const RETRY: Retry = Retry { attempts: 12, ..Retry::STANDARD };
    const LIMIT: Duration = Duration::from_mins(5);
    const YIELDS: bool = true;
    const PURPOSE: Option<Purpose> = Some(Purpose::Analytics);

    async fn run(&self, desk: &Desk<'_>) -> Result<Done, JobError> {
        let snapshots = desk.snapshots()?;
        let mut taken = 0;
        for _ in 0..ROUNDS {
            let Some(due) = snapshots.due(self.account_id, MOST).await? else { return Ok(finished(taken)) };
            if due.subjects.is_empty() {
                return Ok(finished(taken));
            }
            let Some(at) = At::open(desk, snapshots, &due).await? else { return Ok(finished(taken)) };
            match at.round().await? {
                Round::Over(looks) => taken += looks,
                Round::PutOff => return Ok(finished(taken)),
                Round::More => break,
                Round::Enough(rest) => {
                    let reason = "most of what the network allows is used; the rest is for what is published";
                    return Ok(Done::Waiting { until: at.now(rest), reason: reason.into() });
                }
            }
        }
        Ok(Done::Waiting { until: desk.clock.now(), reason: "there is more to ask about".into() })
    }
}

fn finished(taken: usize) -> Done {
    Done::Finished { output: json!({ "snapshots": taken }), then: Vec::new() }
}

/// Whether it may be otherwise the next time.
pub(crate) fn passes(failure: &Failure) -> bool {
    match failure.class {
        Class::Transient | Class::Unknown => true,
        Class::Rate | Class::Auth | Class::Permission | Class::Permanent => false,
    }
}

/// Whether it is a no, of what was asked about or of everything like it.
pub(crate) fn refuses(failure: &Failure) -> bool {
    match failure.class {
        Class::Permission | Class::Permanent => true,
        Class::Transient | Class::Unknown | Class::Rate | Class::Auth => false,
    }
}

/// Whether the network has said no like that before.
fn said_before(said: &[Failure], failure: &Failure) -> bool {
    said.iter().any(|other| other.class == failure.class && other.code == failure.code)
}

/// What one round came to.
pub(crate) enum Round {
    /// All of it was asked about, so many with an answer.
    Over(usize),
    /// Nothing can be asked about the account for a while.
    PutOff,
    /// It is enough for one run, and there is more.
    More,
    /// The network's limit is near: enough for so long.
    Enough(Duration),
}

/// A gate that listens for how much of a limit is used.
struct Thrift<'a> {
    gate: &'a dyn Gate,
    used: AtomicU8,
}

#[async_trait]
impl Gate for Thrift<'_> {
    async fn enter(&self, visit: Visit<'_>) -> Result<(), JobError> {
        self.gate.enter(visit).await
    }

    fn notice(&self, notice: Notice) {
        if let Notice::Used(_, percent) = notice {
            self.used.fetch_max(percent, Ordering::Relaxed);
        }
        self.gate.notice(notice);
    }
}

/// What a network tells of.
#[derive(Clone, Copy)]
enum Teller<'a> {
    /// Accounts and what was published on them.
    Insights(&'a dyn Insights),
    /// Ads.
    Ads(&'a dyn AdInsights),
}

/// An account at its network.
pub(crate) struct At<'a> {
    desk: &'a Desk<'a>,
    pub(crate) snapshots: &'a dyn Snapshots,
    pub(crate) due: &'a Due,
    pub(crate) network: &'a dyn Network,
    teller: Teller<'a>,
    token: secrecy::SecretString,
    gate: Thrift<'a>,
}

impl<'a> At<'a> {
    /// None: nothing can be asked about it, which is noted.
    async fn open(
        desk: &'a Desk<'a>,
        snapshots: &'a dyn Snapshots,
        due: &'a Due,
    ) -> Result<Option<Self>, JobError> {
        let platform = &due.account.platform;
        let network = match desk.network(platform) {
            Ok(network) => network,
            Err(failure) => {
                snapshots.put_off(&due.account, Object::ALL, due.now + NO_ACCESS, &failure).await?;
                return Ok(None);
            }
        };
        let teller = match (network.ads(), network.insights()) {
            (Some(ads), _) => Teller::Ads(ads),
            (None, Some(insights)) => Teller::Insights(insights),
            (None, None) => {
                for subject in &due.subjects {
                    snapshots.take(&Taken::nothing(subject, Next::Never(Ending::Nothing))).await?;
                }
                return Ok(None);
            }
        };
        let token = match desk.vault.access_token(due.account.id).await {
            Err(JobError::Unauthorised(failure)) => {
                snapshots.put_off(&due.account, Object::ALL, due.now + NO_ACCESS, &failure).await?;
                return Ok(None);
            }
            other => other?,
        };
        let gate = Thrift { gate: desk.gate, used: AtomicU8::new(0) };
        Ok(Some(Self { desk, snapshots, due, network, teller, token, gate }))
    }

    fn now(&self, rest: Duration) -> DateTime<Utc> {
        self.desk.clock.now() + TimeDelta::from_std(rest).unwrap_or(AGAIN)
    }

    async fn round(&self) -> Result<Round, JobError> {
        match self.teller {
            Teller::Insights(insights) => self.counted(insights).await,
            Teller::Ads(ads) => self.advertised(ads).await,
        }
    }

    async fn counted(&self, insights: &dyn Insights) -> Result<Round, JobError> {
        let (mut taken, mut failed): (usize, Vec<(Vec<&Subject>, Failure)>) = (0, Vec::new());
        let mut learnt = Learnt::default();
        for &object in Object::ALL {
            let of_kind: Vec<&Subject> =
                self.due.subjects.iter().filter(|subject| subject.object == object).collect();
            let size = insights.objects_at_once(object).max(1);
            let (before, mut said) = (taken, Vec::<Failure>::new());
            let mut batches = of_kind.chunks(size);
            while let Some(batch) = batches.next() {
                let looked = match self.look(insights, object, batch, &mut learnt).await {
                    Ok(looked) => looked,
                    Err(Stop::Job(error)) => return Err(error),
                    Err(Stop::Network(failure)) => return self.stopped(failure).await,
                };
                taken += looked.told;
                if let Some((_, failure)) = looked.failed.first() {
                    if failed.len() >= MOST_FAILED {
                        return self.stopped(failure.clone()).await;
                    }
                    let those = looked.failed.iter().map(|(subject, _)| *subject).collect();
                    failed.push((those, failure.clone()));
                }
                let several = of_kind.len() == 1 || batch.len() > 1 && looked.refused.len() == batch.len();
                if let Some(first) =
                    self.pass_over(&looked.refused, &mut said, several, taken == before).await?
                {
                    let refused = looked.refused[first..].iter().map(|(subject, _)| *subject);
                    let rest: Vec<&Subject> = refused.chain(batches.flatten().copied()).collect();
                    self.put_off(object, &rest, &looked.refused[first].1).await?;
                    break;
                }
                if let Some(rest) = self.near_limit() {
                    return Ok(Round::Enough(rest));
                }
            }
        }
        self.failed(taken, failed).await?;
        Ok(Round::Over(taken))
    }

    /// For how long nothing more is asked, where a limit is nearly used up.
    pub(crate) fn near_limit(&self) -> Option<Duration> {
        let pace = self.snapshots.pace();
        (self.gate.used.load(Ordering::Relaxed) >= pace.usage_most).then_some(pace.usage_rest)
    }

    /// What fails while others are told comes back later, so that it stands in nobody's way; where nothing was told at
    /// all the network is unwell.
    async fn failed(&self, taken: usize, failed: Vec<(Vec<&Subject>, Failure)>) -> Result<(), JobError> {
        for (batch, failure) in failed {
            if taken == 0 {
                return Err(JobError::Unavailable(failure));
            }
            for subject in batch {
                self.pass(subject, self.again(subject, AGAIN)).await?;
            }
        }
        Ok(())
    }

    /// Nothing is kept of a look at an object but when the next one is.
    pub(crate) async fn pass(&self, subject: &Subject, next: Next) -> Result<(), JobError> {
        self.snapshots.take(&Taken::nothing(subject, next)).await
    }

    /// Objects that the network says no about come back when their plan has it. What is said of one object alone is no word
    /// on the others: only where the network has said it of several, and told of none, is it one on all of the kind. Returns
    /// the place of the first of which that is so.
    async fn pass_over(
        &self,
        refused: &[(&Subject, Failure)],
        said: &mut Vec<Failure>,
        several: bool,
        none_told: bool,
    ) -> Result<Option<usize>, JobError> {
        for (n, (subject, failure)) in refused.iter().enumerate() {
            if none_told && (several || said_before(said, failure)) {
                return Ok(Some(n));
            }
            self.pass(subject, self.next(subject)).await?;
            said.push(failure.clone());
        }
        Ok(None)
    }

    /// A kind of object of which nothing is told rests for a day: what is asked about posts may well need another
    /// permission than what is asked about the account. No plan is drawn out by it, and a story has ended by then, so
    /// that stories come back when their plans have it.
    pub(crate) async fn put_off(
        &self,
        object: Object,
        rest: &[&Subject],
        failure: &Failure,
    ) -> Result<(), JobError> {
        let now = self.due.now;
        for &subject in rest {
            let next = self.next(subject);
            if object == Object::Story || next == Next::Never(Ending::Over) {
                self.pass(subject, next).await?;
            }
        }
        let until = if object == Object::Story { now } else { now + REFUSED };
        self.snapshots.put_off(&self.due.account, &[object], until, failure).await
    }

    /// Broken access and a network that is unwell rest nothing but this: whether anything can be published is for
    /// publishing to find out.
    pub(crate) async fn stopped(&self, failure: Failure) -> Result<Round, JobError> {
        let (account, now) = (&self.due.account, self.due.now);
        match failure.class {
            Class::Auth => {
                self.desk.renewals()?.ask(account.id, self.due.generation).await?;
                self.snapshots.put_off(account, Object::ALL, now + NO_ACCESS, &failure).await?;
                Ok(Round::PutOff)
            }
            // only this waits: what rests the app or the account for publishing too, the gate has heard already
            Class::Rate => {
                let wait = failure.rest.unwrap_or(UNTIMED);
                Err(JobError::Throttled(Failure { rest: None, ..failure }, wait))
            }
            // a no never comes here: the round goes on without it
            Class::Transient | Class::Unknown | Class::Permission | Class::Permanent => {
                Err(JobError::Unavailable(failure))
            }
        }
    }

    /// Enters once for so many calls: what was told is not lost for want of a later one.
    pub(crate) async fn enter(&self, calls: u32) -> Result<(), JobError> {
        self.gate
            .enter(Visit {
                network: self.due.account.platform.as_str(),
                account: self.due.account.id,
                allowance: self.network.allowance(),
                calls,
                comes_back: true,
            })
            .await
    }

    pub(crate) fn call(&self) -> Call<'_> {
        Call {
            id: None,
            account: &self.due.account.external_id,
            token: &self.token,
            media: self.desk.media,
            gate: &self.gate,
            timeout: READ_TIMEOUT,
        }
    }

    /// When its plan has an object.
    pub(crate) fn next(&self, subject: &Subject) -> Next {
        let next = self.snapshots.pace().plan.next(subject.object, subject.since, self.due.now);
        next.map_or(Next::Never(Ending::Over), Next::At)
    }

    /// After a wait, or when its plan has it, where that is sooner; and never once that is over.
    pub(crate) fn again(&self, subject: &Subject, wait: TimeDelta) -> Next {
        match self.next(subject) {
            Next::At(next) => Next::At(next.min(self.due.now + wait)),
            over @ Next::Never(_) => over,
        }
    }
}

/// Why a round goes no further.
pub(crate) enum Stop {
    /// Our own house, or the gate.
    Job(JobError),
    /// The network.
    Network(Failure),
}

impl From<JobError> for Stop {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}
