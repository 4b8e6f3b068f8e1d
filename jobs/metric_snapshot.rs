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
    consent::Purpose,
    contract::{Class, Done, Failure, Job, JobError, Retry},
    desk::{Call, Desk, Network},
    gate::{Gate, Notice, Visit},
    metrics::{
        Due, Ending, Heard, Insights, Metric, Next, Object, Point, Question, Snapshots, Subject, Taken,
        Trouble, Via,
        asking::{Refused, Sets},
        catalogue,
        ports::LATEST_DAYS,
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
/// What is left out of every answer for so long, having been told before, is gone.
const GONE_AFTER: TimeDelta = TimeDelta::days(2);
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

/// Whether it is a no, of what was asked about or of everything like it.
fn refuses(failure: &Failure) -> bool {
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
enum Round {
    /// All of it was asked about, so many with an answer.
    Over(usize),
    /// Nothing can be asked about the account for a while.
    PutOff,
    /// The network's limit is near: enough for so long.
    Enough(Duration),
}

/// What one look of a round finds out about metrics, so that no other one of it has to.
#[derive(Debug, Default)]
struct Learnt {
    /// These are not told any more.
    refused: Vec<u16>,
    /// These are told again.
    told: Vec<u16>,
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
        let network = match desk.network(platform) {
            Ok(network) => network,
            Err(failure) => {
                snapshots.put_off(&due.account, Object::ALL, due.now + NO_ACCESS, &failure).await?;
                return Ok(None);
            }
        };
        let Some(insights) = network.insights() else {
            for subject in &due.subjects {
                let next = Next::Never(Ending::Nothing);
                snapshots.take(&Taken { subject, points: Vec::new(), absent: None, next }).await?;
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
        let mut learnt = Learnt::default();
        for &object in Object::ALL {
            let of_kind: Vec<&Subject> =
                self.due.subjects.iter().filter(|subject| subject.object == object).collect();
            let size = self.insights.objects_at_once(object).max(1);
            let (before, mut said) = (taken, Vec::<Failure>::new());
            for (n, batch) in of_kind.chunks(size).enumerate() {
                match self.look(object, batch, &mut learnt).await {
                    Ok(looks) => taken += looks,
                    Err(Stop::Job(error)) => return Err(error),
                    Err(Stop::Network(failure)) if refuses(&failure) => {
                        // what is said of one object alone is no word on the others
                        let several = batch.len() > 1 || of_kind.len() == 1 || said_before(&said, &failure);
                        if several && taken == before {
                            self.put_off(object, &of_kind[n * size..], &failure).await?;
                            break;
                        }
                        self.pass_over(batch).await?;
                        said.push(failure);
                    }
                    Err(Stop::Network(failure)) if passes(&failure) && failed.len() < MOST_FAILED => {
                        failed.push((batch.to_vec(), failure));
                    }
                    Err(Stop::Network(failure)) => return self.stopped(failure).await,
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
    async fn pass(&self, subject: &Subject, next: Next) -> Result<(), JobError> {
        self.snapshots.take(&Taken { subject, points: Vec::new(), absent: None, next }).await
    }

    /// Objects that the network says no about come back when their plan has it.
    async fn pass_over(&self, batch: &[&Subject]) -> Result<(), JobError> {
        for &subject in batch {
            self.pass(subject, self.next(subject)).await?;
        }
        Ok(())
    }

    /// A kind of object of which nothing is told rests for a day: what is asked about posts may well need another
    /// permission than what is asked about the account. No plan is drawn out by it, and a story has ended by then, so
    /// that stories come back when their plans have it.
    async fn put_off(&self, object: Object, rest: &[&Subject], failure: &Failure) -> Result<(), JobError> {
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
    async fn stopped(&self, failure: Failure) -> Result<Round, JobError> {
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

    /// Looks at some objects of one kind, and keeps what that came to. Returns how many told something.
    async fn look(&self, object: Object, batch: &[&Subject], learnt: &mut Learnt) -> Result<usize, Stop> {
        let (platform, now) = (self.due.account.platform.as_str(), self.due.now);
        let all: Vec<&'static Metric> = catalogue::asked(platform, object, now.date_naive()).collect();
        let is_told = |it: &&Metric| !self.due.refused.contains(&it.id) && !learnt.refused.contains(&it.id);
        let asked: Vec<&'static Metric> = all.iter().copied().filter(is_told).collect();
        let doubted: Vec<u16> =
            self.due.doubted.iter().copied().filter(|id| !learnt.told.contains(id)).collect();
        let batch = self.named(batch, &all).await?;
        if batch.is_empty() {
            return Ok(0);
        }
        let ids: Vec<&str> = batch.iter().filter_map(|subject| subject.remote_id.as_deref()).collect();
        let captured_at = batch.iter().filter_map(|subject| subject.captured_at).min();
        let (mut heard, mut refused, mut ways) = (HashMap::<i32, Look>::new(), Vec::new(), Vec::new());
        let mut sets = Sets::of(&asked, &doubted, self.insights.metrics_at_once());
        if !asked.is_empty() {
            self.enter(sets.calls().saturating_mul(self.insights.calls())).await?;
        }
        while let Some(set) = sets.next_set() {
            let question = Question { object, ids: &ids, via: set[0].via, metrics: &set, now, captured_at };
            match self.ask(&question).await {
                Ok(answers) => {
                    ways.push(question.via);
                    self.told_again(&set, &doubted, learnt).await?;
                    hear(&mut heard, &batch, &question, answers);
                    self.earlier(&batch, question, &mut heard).await?;
                }
                Err(Trouble::Metric(failure)) => refused.extend(sets.refused(set, failure)),
                Err(Trouble::Missing(failure)) => return self.missing(object, &batch, failure).await,
                Err(Trouble::Other(failure)) => return Err(Stop::Network(failure)),
            }
        }
        self.remember(&refused, &ways, learnt).await?;
        self.keep(&batch, &heard).await
    }

    /// What comes as one number is asked for of each of the latest days: networks revise them.
    async fn earlier(
        &self,
        batch: &[&Subject],
        question: Question<'_>,
        heard: &mut HashMap<i32, Look>,
    ) -> Result<(), Stop> {
        if question.via != Via::DayTotal {
            return Ok(());
        }
        for days in 1..i64::from(LATEST_DAYS) {
            let earlier = Question { now: question.now - TimeDelta::days(days), ..question };
            match self.ask(&earlier).await {
                Ok(answers) => hear(heard, batch, &earlier, answers),
                // it has just told them of a later day: so far back it does not go, and those days stay as they are
                Err(Trouble::Metric(_)) => break,
                Err(Trouble::Missing(failure) | Trouble::Other(failure)) => {
                    return Err(Stop::Network(failure));
                }
            }
        }
        Ok(())
    }

    /// Metrics that the network does not know are left out from now on. Where it tells nothing of an object in that way, it
    /// is the object that it does not tell of, and nothing is held against the metrics but what is already.
    async fn remember(&self, refused: &[Refused], ways: &[Via], learnt: &mut Learnt) -> Result<(), JobError> {
        for Refused { metric, failure } in refused {
            if ways.contains(&metric.via) || self.due.doubted.contains(&metric.id) {
                self.snapshots.refused(&self.due.account, metric, failure).await?;
                learnt.refused.push(metric.id);
            }
        }
        Ok(())
    }

    /// Those that the network can be asked about. Of the others one is not named yet, and comes back; of a kind that the
    /// network does not count none is ever asked about.
    async fn named<'s>(
        &self,
        batch: &[&'s Subject],
        all: &[&'static Metric],
    ) -> Result<Vec<&'s Subject>, JobError> {
        let mut named = Vec::new();
        for &subject in batch {
            if !all.is_empty() && subject.remote_id.is_some() {
                named.push(subject);
                continue;
            }
            let next = if all.is_empty() { Next::Never(Ending::Nothing) } else { self.next(subject) };
            self.pass(subject, next).await?;
        }
        Ok(named)
    }

    /// Enters once for all that a look takes: what was told is not lost for want of a later call.
    async fn enter(&self, calls: u32) -> Result<(), JobError> {
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

    async fn ask(&self, question: &Question<'_>) -> Result<Vec<Heard>, Trouble> {
        self.insights.ask(&self.call(), question).await
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

    async fn told_again(
        &self,
        set: &[&'static Metric],
        doubted: &[u16],
        learnt: &mut Learnt,
    ) -> Result<(), JobError> {
        let again: Vec<u16> = set.iter().map(|metric| metric.id).filter(|id| doubted.contains(id)).collect();
        if again.is_empty() {
            return Ok(());
        }
        self.snapshots.told_again(&self.due.account, &again).await?;
        learnt.told.extend(again);
        Ok(())
    }

    /// An object that the network does not know is gone only where its account can be read.
    async fn missing(&self, object: Object, batch: &[&Subject], failure: Failure) -> Result<usize, Stop> {
        let [subject] = batch else { return Err(Stop::Network(failure)) };
        let Some(id) = subject.remote_id.as_deref().filter(|_| object != Object::Account) else {
            return Err(Stop::Network(failure));
        };
        let next = match self.network.presence(&self.call(), id).await {
            Ok(Presence::Absent) => Next::Never(Ending::Gone),
            Ok(Presence::There) => self.again(subject, AGAIN),
            Err(failure) => return Err(Stop::Network(failure)),
        };
        self.pass(subject, next).await?;
        Ok(0)
    }

    async fn keep(&self, batch: &[&Subject], heard: &HashMap<i32, Look>) -> Result<usize, Stop> {
        let left_out = |subject: &&Subject| heard.get(&subject.number).is_some_and(|look| look.absent);
        // an answer that has none of several is rather no answer than the end of them all
        let none_there = batch.len() > 1 && batch.iter().all(left_out);
        let mut told = 0;
        for subject in batch {
            let look = heard.get(&subject.number);
            let absent = look.filter(|_| !none_there).map(|look| look.absent);
            let long = subject.absent_since.is_some_and(|since| self.due.now - since >= GONE_AFTER);
            let gone = absent == Some(true) && subject.captures > 0 && long;
            let next = if gone { Next::Never(Ending::Gone) } else { self.next(subject) };
            let points = look.filter(|look| !look.absent).map(|look| look.points.clone()).unwrap_or_default();
            told += usize::from(!points.is_empty());
            self.snapshots.take(&Taken { subject, points, absent, next }).await?;
        }
        Ok(told)
    }

    /// When its plan has an object.
    fn next(&self, subject: &Subject) -> Next {
        let next = self.snapshots.pace().plan.next(subject.object, subject.since, self.due.now);
        next.map_or(Next::Never(Ending::Over), Next::At)
    }

    /// After a wait, or when its plan has it, where that is sooner; and never once that is over.
    fn again(&self, subject: &Subject, wait: TimeDelta) -> Next {
        match self.next(subject) {
            Next::At(next) => Next::At(next.min(self.due.now + wait)),
            over @ Next::Never(_) => over,
        }
    }
}

/// Adds what was answered to what was heard of each object.
fn hear(heard: &mut HashMap<i32, Look>, batch: &[&Subject], question: &Question<'_>, answers: Vec<Heard>) {
    for (subject, answer) in batch.iter().zip(answers) {
        let gaps =
            || question.metrics.iter().copied().map(|metric| Point::gap(metric, question.until())).collect();
        heard.entry(subject.number).or_default().add(answer, gaps);
    }
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
