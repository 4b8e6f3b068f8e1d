//! A look at objects of one kind: they are asked about together where the network takes that, and what becomes of one of
//! them is nothing to the others.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::{
    Ending, Heard, Insights, Metric, Next, Object, Point, Question, Said, Spread, Subject, Taken, Trouble,
    Via,
    asking::{Refused, Sets},
    catalogue,
    ports::days_asked,
};
use crate::{
    contract::{Failure, JobError},
    metric_snapshot::{AGAIN, At, Stop, passes, refuses},
    removal::Presence,
};

/// What is left out of every answer for so long, having been told before, is gone.
const GONE_AFTER: TimeDelta = TimeDelta::days(2);
/// Where the number of an account's followers stands.
const FOLLOWERS: &str = "followers";

/// What one look of a round finds out about metrics, so that no other one of it has to.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    /// These are not told any more.
    refused: Vec<u16>,
    /// These are told again.
    told: Vec<u16>,
}

/// What a look came to.
#[derive(Debug, Default)]
pub(crate) struct Looked<'s> {
    /// How many told something.
    pub(crate) told: usize,
    /// These the network says no about.
    pub(crate) refused: Vec<(&'s Subject, Failure)>,
    /// Of these it could not be heard now.
    pub(crate) failed: Vec<(&'s Subject, Failure)>,
}

impl<'s> Looked<'s> {
    fn without(&mut self, subject: &'s Subject, failure: Failure) -> Result<(), Stop> {
        if refuses(&failure) {
            self.refused.push((subject, failure));
        } else if passes(&failure) {
            self.failed.push((subject, failure));
        } else {
            return Err(Stop::Network(failure));
        }
        Ok(())
    }
}

/// One object, and how far it has been asked about.
struct Asking<'s> {
    subject: &'s Subject,
    sets: Sets,
    look: Look,
    refused: Vec<Refused>,
    /// The ways in which it was told of.
    ways: Vec<Via>,
    /// Nothing more can be asked about it, for this.
    over: Option<Trouble>,
}

impl<'s> Asking<'s> {
    fn of(subject: &'s Subject, sets: Sets) -> Self {
        Self { subject, sets, look: Look::default(), refused: Vec::new(), ways: Vec::new(), over: None }
    }

    fn ahead(&self) -> Option<&[&'static Metric]> {
        if self.over.is_none() { self.sets.peek() } else { None }
    }

    /// What is about the account, and not about this object, stops everything.
    fn stop(&mut self, trouble: Trouble) -> Result<(), Stop> {
        match trouble {
            Trouble::Other(failure) if !refuses(&failure) && !passes(&failure) => Err(Stop::Network(failure)),
            trouble => {
                self.over = Some(trouble);
                Ok(())
            }
        }
    }
}

/// The next set, and the places of those whose next one it is: they are asked about together.
fn together(open: &mut [Asking<'_>]) -> Option<(Vec<&'static Metric>, Vec<usize>)> {
    let set = open.iter().find_map(Asking::ahead)?.to_vec();
    let mut those = Vec::new();
    for (n, it) in open.iter_mut().enumerate() {
        if it.ahead() == Some(set.as_slice()) {
            it.sets.next_set();
            those.push(n);
        }
    }
    Some((set, those))
}

impl At<'_> {
    /// Looks at some objects of one kind, and keeps what that came to.
    pub(crate) async fn look<'s>(
        &self,
        insights: &dyn Insights,
        object: Object,
        batch: &[&'s Subject],
        learnt: &mut Learnt,
    ) -> Result<Looked<'s>, Stop> {
        let (platform, now) = (self.due.account.platform.as_str(), self.due.now);
        let all: Vec<&'static Metric> = catalogue::asked(platform, object, now.date_naive()).collect();
        let is_told = |it: &&Metric| !self.due.refused.contains(&it.id) && !learnt.refused.contains(&it.id);
        let asked: Vec<&'static Metric> = all.iter().copied().filter(is_told).collect();
        let doubted: Vec<u16> =
            self.due.doubted.iter().copied().filter(|id| !learnt.told.contains(id)).collect();
        let batch = self.named(batch, &all).await?;
        if batch.is_empty() {
            return Ok(Looked::default());
        }
        let sets = Sets::of(&asked, &doubted, insights.metrics_at_once());
        if !asked.is_empty() {
            let days = days_asked(now, batch.iter().filter_map(|subject| subject.captured_at).min());
            self.enter(sets.calls(days).saturating_mul(insights.calls(batch.len()))).await?;
        }
        let mut open: Vec<Asking<'s>> =
            batch.into_iter().map(|subject| Asking::of(subject, sets.clone())).collect();
        let mut told = BTreeSet::new();
        while let Some((set, those)) = together(&mut open) {
            if self.ask(insights, object, &set, &those, &mut open).await? {
                told.extend(set.iter().map(|metric| metric.id));
                self.told_again(&set, &doubted, learnt).await?;
            }
        }
        self.remember(&open, &told, learnt).await?;
        self.settle(insights, open).await
    }

    /// Asks those about a set of metrics. Whether any of them told it.
    async fn ask(
        &self,
        insights: &dyn Insights,
        object: Object,
        set: &[&'static Metric],
        those: &[usize],
        open: &mut [Asking<'_>],
    ) -> Result<bool, Stop> {
        let subjects: Vec<&Subject> = those.iter().map(|n| open[*n].subject).collect();
        let ids: Vec<&str> = subjects.iter().filter_map(|subject| subject.remote_id.as_deref()).collect();
        let captured_at = subjects.iter().filter_map(|subject| subject.captured_at).min();
        let (via, now) = (set[0].via, self.due.now);
        let question = Question { object, ids: &ids, via, metrics: set, now, captured_at };
        let mut told = false;
        for (n, answer) in those.iter().zip(insights.ask(&self.call(), &question).await) {
            let asking = &mut open[*n];
            match answer {
                Ok(heard) => {
                    told = true;
                    asking.ways.push(via);
                    asking.look.add(heard, &question);
                    self.earlier(insights, &question, asking).await?;
                }
                Err(Trouble::Metric(failure)) => {
                    let refused = asking.sets.refused(set.to_vec(), failure);
                    asking.refused.extend(refused);
                }
                Err(trouble) => asking.stop(trouble)?,
            }
        }
        Ok(told)
    }

    /// What comes as one number is asked for of each of the days before: networks revise the latest, and of those since the
    /// last answer nothing is known yet.
    async fn earlier(
        &self,
        insights: &dyn Insights,
        question: &Question<'_>,
        asking: &mut Asking<'_>,
    ) -> Result<(), Stop> {
        let Some(id) = asking.subject.remote_id.as_deref().filter(|_| question.via == Via::DayTotal) else {
            return Ok(());
        };
        for days in 1..days_asked(question.now, question.captured_at) {
            let earlier = Question { ids: &[id], now: question.now - TimeDelta::days(days), ..*question };
            match insights.ask(&self.call(), &earlier).await.pop() {
                Some(Ok(heard)) => asking.look.add(heard, &earlier),
                // it has just told them of a later day: so far back it does not go, and those days stay as they are
                Some(Err(Trouble::Metric(_))) | None => break,
                Some(Err(trouble)) => return asking.stop(trouble),
            }
        }
        Ok(())
    }

    /// Metrics that the network does not know are left out from now on. Where it tells nothing of an object in that way, or
    /// tells the metric of another one, it is the object that it does not tell of, and nothing is held against the metrics
    /// but what is already.
    async fn remember(
        &self,
        open: &[Asking<'_>],
        told: &BTreeSet<u16>,
        learnt: &mut Learnt,
    ) -> Result<(), JobError> {
        for asking in open {
            for Refused { metric, failure } in &asking.refused {
                let held = asking.ways.contains(&metric.via) || self.due.doubted.contains(&metric.id);
                if held && !told.contains(&metric.id) && !learnt.refused.contains(&metric.id) {
                    self.snapshots.refused(&self.due.account, metric, failure).await?;
                    learnt.refused.push(metric.id);
                }
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

    /// Keeps what was told of each, and finds out what became of the others.
    async fn settle<'s>(&self, insights: &dyn Insights, open: Vec<Asking<'s>>) -> Result<Looked<'s>, Stop> {
        let mut looked = Looked::default();
        // an answer that has none of several is rather no answer than the end of them all
        let none_there = open.len() > 1 && open.iter().all(|it| it.look.absent);
        for Asking { subject, mut look, over, .. } in open {
            match over {
                None => {
                    look.few(insights.least_followers());
                    looked.told += self.keep(subject, look, none_there).await?;
                }
                Some(Trouble::Missing(failure)) => self.missing(subject, failure, &mut looked).await?,
                Some(Trouble::Metric(failure) | Trouble::Other(failure)) => {
                    looked.without(subject, failure)?;
                }
            }
        }
        Ok(looked)
    }

    /// An object that the network does not know is gone only where its account can be read.
    async fn missing<'s>(
        &self,
        subject: &'s Subject,
        failure: Failure,
        looked: &mut Looked<'s>,
    ) -> Result<(), Stop> {
        let id = subject.remote_id.as_deref().filter(|_| subject.object != Object::Account);
        let Some(id) = id else { return looked.without(subject, failure) };
        let next = match self.network.presence(&self.call(), id).await {
            Ok(Presence::Absent) => Next::Never(Ending::Gone),
            Ok(Presence::There) => self.again(subject, AGAIN),
            Err(failure) => return looked.without(subject, failure),
        };
        self.pass(subject, next).await?;
        Ok(())
    }

    async fn keep(&self, subject: &Subject, look: Look, none_there: bool) -> Result<usize, JobError> {
        let absent = (look.heard && !none_there).then_some(look.absent);
        let long = subject.absent_since.is_some_and(|since| self.due.now - since >= GONE_AFTER);
        let gone = absent == Some(true) && subject.captures > 0 && long;
        let next = if gone { Next::Never(Ending::Gone) } else { self.next(subject) };
        let (points, spreads) =
            if look.absent { (Vec::new(), Vec::new()) } else { (look.points, look.spreads) };
        let told = usize::from(!points.is_empty());
        self.snapshots.take(&Taken { subject, points, spreads, absent, next }).await?;
        Ok(told)
    }
}

/// What all that was asked about one object came to.
#[derive(Debug, Default)]
struct Look {
    heard: bool,
    points: Vec<Point>,
    spreads: Vec<Spread>,
    absent: bool,
}

impl Look {
    fn add(&mut self, heard: Heard, question: &Question<'_>) {
        self.heard = true;
        let asked = question.metrics.iter().copied();
        match heard {
            Heard::Points(points) => self.points.extend(points),
            Heard::Spreads(spreads) => self.spreads.extend(spreads),
            Heard::TooFew if question.via == Via::Kinds => {
                self.spreads.extend(asked.map(|metric| Spread { metric, said: Said::TooFew }));
            }
            Heard::TooFew => self.points.extend(asked.map(|metric| Point::gap(metric, question.until()))),
            Heard::Absent => self.absent = true,
        }
    }

    /// A network that says nothing of who follows an account with too few followers says it for that.
    fn few(&mut self, least: Option<i64>) {
        let followers =
            self.points.iter().find(|point| point.metric.name == FOLLOWERS && point.value.is_some());
        let followers = followers.and_then(|point| point.value);
        if followers.zip(least).is_none_or(|(followers, least)| followers >= least) {
            return;
        }
        for spread in self.spreads.iter_mut().filter(|spread| spread.said == Said::Nothing) {
            spread.said = Said::TooFew;
        }
    }
}
