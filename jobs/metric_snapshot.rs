//! Asking a network what it has counted: of an account, and of what was published on it.
//!
//! There is one such job an account at a time. It asks about whatever of the account is due, one object or one batch
//! after the other, and what each look came to is kept together with when the next one is: a run may end at any point,
//! and the next one goes on from there. It only ever reads, goes last at the gate, and leaves off where a network's
//! limit comes near: what is left of that belongs to what is to be published.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    contract::{Class, Done, Failure, Job, JobError, Retry},
    desk::{Call, Desk, Network},
    gate::{Gate, Notice, Visit},
    metrics::{
        Due, Ending, Heard, Insights, Next, Object, Point, Question, Snapshots, Subject, Taken, Trouble,
        asking::{Refused, Sets},
        catalogue,
    },
    removal::Presence,
};

/// The most objects of one round, and the most rounds of one run.
const MOST: i64 = 40;
const ROUNDS: usize = 25;
/// One look at a network.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// A look that came to nothing is taken again after this.
const AGAIN: TimeDelta = TimeDelta::hours(1);
/// What was left out so often in succession, having been told before, is gone.
const GONE_AFTER: i16 = 2;
/// The wait for a limit whose end the network does not name.
const UNTIMED: Duration = Duration::from_mins(5);
/// So many looks of one round may fail before it is given up.
const MOST_FAILED: usize = 3;
/// Broken access is tried again after this, and a refusal of everything after a day.
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
fn passes(failure: &Failure) -> bool {
    match failure.class {
        Class::Transient | Class::Unknown => true,
        Class::Rate | Class::Auth | Class::Permission | Class::Permanent => false,
    }
}

/// What one round came to.
enum Round {
    /// All of it was asked about, so many with an answer.
    Over(usize),
    /// Nothing can be asked about the account for a while.
    PutOff,
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
        if let Notice::Used(percent) = notice {
            self.used.fetch_max(percent, Ordering::Relaxed);
        }
        self.gate.notice(notice);
    }
}

/// An account at its network.
struct At<'a> {
    desk: &'a Desk<'a>,
    snapshots: &'a dyn Snapshots,
    due: &'a Due,
    network: &'a dyn Network,
    insights: &'a dyn Insights,
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
        let network = desk.networks.of(platform).ok_or_else(|| {
            let why = format!("{platform} is not switched on here: set its variables and start again");
            JobError::Unavailable(Failure::new(Class::Transient, "network_off", why))
        })?;
        let Some(insights) = network.insights() else {
            for subject in &due.subjects {
                let next = Next::Never(Ending::Nothing);
                snapshots.take(&Taken { subject, points: Vec::new(), absent: false, next }).await?;
            }
            return Ok(None);
        };
        let token = match desk.vault.access_token(due.account.id).await {
            Err(JobError::Unauthorised(failure)) => {
                snapshots.put_off(&due.account, Object::ALL, due.now + NO_ACCESS, &failure).await?;
                return Ok(None);
            }
            other => other?,
        };
        let gate = Thrift { gate: desk.gate, used: AtomicU8::new(0) };
        Ok(Some(Self { desk, snapshots, due, network, insights, token, gate }))
    }

    fn now(&self, rest: Duration) -> DateTime<Utc> {
        self.desk.clock.now() + TimeDelta::from_std(rest).unwrap_or(AGAIN)
    }

    async fn round(&self) -> Result<Round, JobError> {
        let (mut taken, mut failed): (usize, Vec<(Vec<&Subject>, Failure)>) = (0, Vec::new());
        for object in Object::ALL {
            let of_kind: Vec<&Subject> =
                self.due.subjects.iter().filter(|subject| subject.object == *object).collect();
            for batch in of_kind.chunks(self.insights.objects_at_once(*object).max(1)) {
                match self.look(*object, batch).await {
                    Ok(looks) => taken += looks,
                    Err(Stop::Job(error)) => return Err(error),
                    Err(Stop::Network(failure)) if passes(&failure) && failed.len() < MOST_FAILED => {
                        failed.push((batch.to_vec(), failure));
                    }
                    Err(Stop::Network(failure)) => match self.stopped(*object, failure).await? {
                        Stopped::Kind => break,
                        Stopped::Account => return Ok(Round::PutOff),
                    },
                }
                let pace = self.snapshots.pace();
                if self.gate.used.load(Ordering::Relaxed) >= pace.usage_most {
                    return Ok(Round::Enough(pace.usage_rest));
                }
            }
        }
        self.failed(taken, failed).await?;
        Ok(Round::Over(taken))
    }

    /// What fails while others are told comes back later, so that it stands in nobody's way; where nothing was told at
    /// all the network is unwell.
    async fn failed(&self, taken: usize, failed: Vec<(Vec<&Subject>, Failure)>) -> Result<(), JobError> {
        let now = self.due.now;
        for (batch, failure) in failed {
            if taken == 0 {
                return Err(JobError::Unavailable(failure));
            }
            for subject in batch {
                let next = Next::At(now + AGAIN);
                self.snapshots.take(&Taken { subject, points: Vec::new(), absent: false, next }).await?;
            }
        }
        Ok(())
    }

    /// Broken access and a network that refuses everything rest nothing but this: whether anything can be published is
    /// for publishing to find out.
    async fn stopped(&self, object: Object, failure: Failure) -> Result<Stopped, JobError> {
        let (account, now) = (&self.due.account, self.due.now);
        match failure.class {
            Class::Auth => {
                self.desk.renewals()?.ask(account.id, self.due.generation).await?;
                self.snapshots.put_off(account, Object::ALL, now + NO_ACCESS, &failure).await?;
                Ok(Stopped::Account)
            }
            // what is asked about posts may well need another permission than what is asked about the account
            Class::Permission | Class::Permanent => {
                self.snapshots.put_off(account, &[object], now + REFUSED, &failure).await?;
                Ok(Stopped::Kind)
            }
            Class::Transient | Class::Unknown => Err(JobError::Unavailable(failure)),
            // only this waits: what rests the app or the account for publishing too, the gate has heard already
            Class::Rate => {
                let wait = failure.rest.unwrap_or(UNTIMED);
                Err(JobError::Throttled(Failure { rest: None, ..failure }, wait))
            }
        }
    }

    /// Looks at some objects of one kind, and keeps what that came to. Returns how many told something.
    async fn look(&self, object: Object, batch: &[&Subject]) -> Result<usize, Stop> {
        let (platform, now) = (self.due.account.platform.as_str(), self.due.now);
        let all: Vec<_> = catalogue::asked(platform, object, now.date_naive()).collect();
        let asked: Vec<_> = all.iter().copied().filter(|it| !self.due.refused.contains(&it.id)).collect();
        let batch = self.named(batch, &all, now).await?;
        if batch.is_empty() {
            return Ok(0);
        }
        if asked.is_empty() {
            return self.keep(&batch, &HashMap::new(), now).await;
        }
        let (mut heard, mut refused) = (HashMap::<i32, Look>::new(), Vec::new());
        let mut sets = Sets::of(&asked, &self.due.doubted, self.insights.metrics_at_once());
        while let Some(set) = sets.next_set() {
            let ids: Vec<&str> = batch.iter().filter_map(|subject| subject.remote_id.as_deref()).collect();
            let question = Question { object, ids: &ids, via: set[0].via, metrics: &set, now };
            match self.ask(&question).await? {
                Ok(answers) => {
                    self.told_again(&set).await?;
                    for (subject, answer) in batch.iter().zip(answers) {
                        let gaps = || {
                            set.iter().copied().map(|metric| Point::gap(metric, question.until())).collect()
                        };
                        heard.entry(subject.number).or_default().add(answer, gaps);
                    }
                }
                Err(Trouble::Metric(failure)) => refused.extend(sets.refused(set, failure)),
                Err(Trouble::Missing(failure)) => return self.missing(object, &batch, failure, now).await,
                Err(Trouble::Other(failure)) => return Err(Stop::Network(failure)),
            }
        }
        self.remember(&refused, heard.is_empty()).await?;
        self.keep(&batch, &heard, now).await
    }

    /// Metrics that the network does not know are left out from now on. Where it knows none of several, it is the object
    /// that it does not tell of, and nothing is held against the metrics.
    async fn remember(&self, refused: &[Refused], nothing_told: bool) -> Result<(), JobError> {
        if nothing_told && refused.len() > 1 {
            return Ok(());
        }
        for Refused { metric, failure } in refused {
            self.snapshots.refused(&self.due.account, metric, failure).await?;
        }
        Ok(())
    }

    /// Those that the network can be asked about. Of the others one is not named yet, and comes back; of a kind that the
    /// network does not count none is ever asked about.
    async fn named<'s>(
        &self,
        batch: &[&'s Subject],
        all: &[&'static crate::metrics::Metric],
        now: DateTime<Utc>,
    ) -> Result<Vec<&'s Subject>, JobError> {
        let mut named = Vec::new();
        for &subject in batch {
            if !all.is_empty() && subject.remote_id.is_some() {
                named.push(subject);
                continue;
            }
            let again = self.next(subject, now).unwrap_or(Next::Never(Ending::Over));
            let next = if all.is_empty() { Next::Never(Ending::Nothing) } else { again };
            self.snapshots.take(&Taken { subject, points: Vec::new(), absent: false, next }).await?;
        }
        Ok(named)
    }

    async fn ask(&self, question: &Question<'_>) -> Result<Result<Vec<Heard>, Trouble>, JobError> {
        self.gate
            .enter(Visit {
                network: self.due.account.platform.as_str(),
                account: self.due.account.id,
                allowance: self.network.allowance(),
                calls: self.insights.calls(),
                comes_back: true,
            })
            .await?;
        Ok(self.insights.ask(&self.call(), question).await)
    }

    fn call(&self) -> Call<'_> {
        Call {
            id: None,
            account: &self.due.account.external_id,
            token: &self.token,
            media: self.desk.media,
            gate: &self.gate,
            timeout: READ_TIMEOUT,
        }
    }

    async fn told_again(&self, set: &[&'static crate::metrics::Metric]) -> Result<(), JobError> {
        let again: Vec<u16> =
            set.iter().map(|metric| metric.id).filter(|id| self.due.doubted.contains(id)).collect();
        if again.is_empty() { Ok(()) } else { self.snapshots.told_again(&self.due.account, &again).await }
    }

    /// An object that the network does not know is gone only where its account can be read.
    async fn missing(
        &self,
        object: Object,
        batch: &[&Subject],
        failure: Failure,
        now: DateTime<Utc>,
    ) -> Result<usize, Stop> {
        let [subject] = batch else { return Err(Stop::Network(failure)) };
        let Some(id) = subject.remote_id.as_deref().filter(|_| object != Object::Account) else {
            return Err(Stop::Network(failure));
        };
        let next = match self.network.presence(&self.call(), id).await {
            Ok(Presence::Absent) => Next::Never(Ending::Gone),
            Ok(Presence::There) => Next::At(now + AGAIN),
            Err(failure) => return Err(Stop::Network(failure)),
        };
        self.snapshots.take(&Taken { subject, points: Vec::new(), absent: false, next }).await?;
        Ok(0)
    }

    async fn keep(
        &self,
        batch: &[&Subject],
        heard: &HashMap<i32, Look>,
        now: DateTime<Utc>,
    ) -> Result<usize, Stop> {
        let mut told = 0;
        for subject in batch {
            let look = heard.get(&subject.number);
            let absent = look.is_some_and(|look| look.absent);
            let gone = absent && subject.captures > 0 && subject.absent + 1 >= GONE_AFTER;
            let next = if gone {
                Next::Never(Ending::Gone)
            } else {
                self.next(subject, now).unwrap_or(Next::Never(Ending::Over))
            };
            let points = look.filter(|look| !look.absent).map(|look| look.points.clone()).unwrap_or_default();
            told += usize::from(!points.is_empty());
            self.snapshots.take(&Taken { subject, points, absent, next }).await?;
        }
        Ok(told)
    }

    fn next(&self, subject: &Subject, now: DateTime<Utc>) -> Option<Next> {
        self.snapshots.pace().plan.next(subject.object, subject.since, now).map(Next::At)
    }
}

/// What is put off.
enum Stopped {
    /// Objects of this kind.
    Kind,
    /// All of the account.
    Account,
}

/// What all that was asked about one object came to.
#[derive(Debug, Default)]
struct Look {
    points: Vec<Point>,
    absent: bool,
}

impl Look {
    fn add(&mut self, heard: Heard, gaps: impl FnOnce() -> Vec<Point>) {
        match heard {
            Heard::Points(points) => self.points.extend(points),
            Heard::TooFew => self.points.extend(gaps()),
            Heard::Absent => self.absent = true,
        }
    }
}

/// Why a round goes no further.
enum Stop {
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
