//! Reading an ad account: level by level and page by page, each page kept before the next one is asked for, so that a run
//! may end at any point and the next one goes on from there.

use std::ops::ControlFlow;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Metric, Object, Subject, Trouble,
    ads::{AdInsights, AdPage, AdQuestion, AdsTaken, Level, Onward},
    asking::{Refused, Sets},
    catalogue,
};
use crate::{
    contract::{Failure, JobError},
    metric_snapshot::{At, Round, Stop, refuses},
};

/// The most rows of a page; fewer where the network finds that too much, and then no fewer than the least.
const MOST_ROWS: u16 = 100;
const LEAST_ROWS: u16 = 6;
/// The words with which Graph asks for less at a time; the code (1) is that of any trouble of its own.
const LESS: &str = "reduce the amount of data";
/// The most pages of one run: it has an end, and the next one goes on.
pub(super) const MOST_PAGES: usize = 50;
/// The most fields that are asked for at once while it is found out which one is refused.
const MOST_DOUBTED: usize = 16;
/// Further back the network tells nothing: 37 months, and a few days less.
const MOST_DAYS: i64 = 1_100;
/// A look that was broken off so long ago is begun anew.
const STALE: TimeDelta = TimeDelta::days(2);

/// How far the reading of an account has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    level: Level,
    since: NaiveDate,
    until: NaiveDate,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

impl Place {
    /// Where it was broken off not long ago, or at the beginning: the latest days, and all since the last time.
    fn of(subject: &Subject, now: DateTime<Utc>, latest: u16) -> Self {
        let until = now.date_naive() - TimeDelta::days(1);
        let broken_off = subject.resume.as_deref().and_then(|text| serde_json::from_str::<Self>(text).ok());
        if let Some(place) = broken_off.filter(|place| until - place.until < STALE) {
            return place;
        }
        let latest = until - TimeDelta::days(i64::from(latest.max(1)) - 1);
        let missed = subject.captured_at.map_or(latest, |at| at.date_naive().min(latest));
        Self {
            level: Level::Account,
            since: missed.max(until - TimeDelta::days(MOST_DAYS)),
            until,
            after: None,
        }
    }

    /// What comes after a page; none: that was all. A page that goes on where it began itself has no end.
    fn next(&self, page: Option<String>) -> Option<Self> {
        let page = page.filter(|cursor| self.after.as_ref() != Some(cursor));
        let level = if page.is_some() { Some(self.level) } else { self.level.next() };
        level.map(|level| Self { level, after: page, ..self.clone() })
    }

    fn text(&self) -> Result<String, JobError> {
        serde_json::to_string(self).map_err(|error| JobError::Infrastructure(error.to_string()))
    }
}

/// The reading of one account.
struct Reading<'r> {
    ads: &'r dyn AdInsights,
    subject: &'r Subject,
    place: Place,
    asked: Vec<&'static Metric>,
    rows: u16,
    /// It has been found out which fields are refused.
    probed: bool,
    /// It has been begun anew, because where it was broken off is not known there any more.
    anew: bool,
}

impl Reading<'_> {
    fn question(&self) -> AdQuestion<'_> {
        let Place { level, since, until, after } = &self.place;
        let (after, metrics) = (after.as_deref(), self.asked.as_slice());
        AdQuestion { level: *level, metrics, since: *since, until: *until, most: self.rows, after }
    }
}

impl At<'_> {
    /// Reads what is told of ads.
    pub(crate) async fn advertised(&self, ads: &dyn AdInsights) -> Result<Round, JobError> {
        let mut read = 0;
        for subject in &self.due.subjects {
            match self.advertising(ads, subject).await {
                Ok(true) => read += 1,
                Ok(false) => return Ok(self.near_limit().map_or(Round::More, Round::Enough)),
                Err(Stop::Job(error)) => return Err(error),
                Err(Stop::Network(failure)) if refuses(&failure) => {
                    self.put_off(subject.object, &[], &failure).await?;
                    return Ok(Round::PutOff);
                }
                Err(Stop::Network(failure)) => return self.stopped(failure).await,
            }
        }
        Ok(Round::Over(read))
    }

    /// Reads one account on from where it is. False: a limit is near, or there is much more of it, and it goes on later.
    async fn advertising(&self, ads: &dyn AdInsights, subject: &Subject) -> Result<bool, Stop> {
        let (platform, now) = (self.due.account.platform.as_str(), self.due.now);
        let place = Place::of(subject, now, self.snapshots.pace().ads_days);
        let known = |it: &&Metric| !self.due.refused.contains(&it.id);
        let all: Vec<&'static Metric> =
            catalogue::asked(platform, Object::Account, now.date_naive()).filter(known).collect();
        let (doubted, asked): (Vec<&'static Metric>, Vec<_>) =
            all.into_iter().partition(|it| self.due.doubted.contains(&it.id));
        let mut reading = Reading { ads, subject, place, asked, rows: MOST_ROWS, probed: false, anew: false };
        self.doubted(&mut reading, &doubted).await?;
        for _ in 0..MOST_PAGES {
            self.enter(1).await?;
            let page = ads.ask(&self.call(), &reading.question()).await;
            let on = match page {
                Ok(page) => self.page(&mut reading, page).await?,
                Err(trouble) => self.mended(&mut reading, trouble).await?,
            };
            match on {
                ControlFlow::Break(()) => return Ok(true),
                ControlFlow::Continue(()) if self.near_limit().is_some() => return Ok(false),
                ControlFlow::Continue(()) => {}
            }
        }
        Ok(false)
    }

    /// Keeps a page, with where it goes on.
    async fn page(&self, reading: &mut Reading<'_>, page: AdPage) -> Result<ControlFlow<()>, JobError> {
        let next = reading.place.next(page.next);
        let then = match &next {
            Some(place) => Onward::Resume(place.text()?),
            None => Onward::Done(self.next(reading.subject)),
        };
        let taken = AdsTaken { subject: reading.subject, days: &page.days, then };
        self.snapshots.take_ads(&taken).await?;
        let Some(place) = next else { return Ok(ControlFlow::Break(())) };
        reading.place = place;
        Ok(ControlFlow::Continue(()))
    }

    /// Does what lets the same be asked again, once each; else it goes no further.
    async fn mended(&self, reading: &mut Reading<'_>, trouble: Trouble) -> Result<ControlFlow<()>, Stop> {
        match trouble {
            Trouble::Metric(failure) if !reading.probed => {
                reading.probed = true;
                self.probe(reading, failure).await?;
            }
            // every field is known: what is not is where it was to go on
            Trouble::Metric(_) if reading.place.after.is_some() && !reading.anew => {
                reading.anew = true;
                reading.place.after = None;
            }
            Trouble::Other(failure) if asks_for_less(&failure) && reading.rows > LEAST_ROWS => {
                reading.rows = (reading.rows / 4).max(LEAST_ROWS);
            }
            Trouble::Metric(failure) | Trouble::Missing(failure) | Trouble::Other(failure) => {
                return Err(Stop::Network(failure));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Finds out which fields are refused, and goes on without them. Where none is told it is the account, and nothing is
    /// held against the fields.
    async fn probe(&self, reading: &mut Reading<'_>, failure: Failure) -> Result<(), Stop> {
        let (told, refused) = self.tried(reading, &reading.asked, MOST_DOUBTED).await?;
        if told.is_empty() {
            return Err(Stop::Network(failure));
        }
        for Refused { metric, failure } in &refused {
            self.snapshots.refused(&self.due.account, metric, failure).await?;
        }
        reading.asked = told;
        Ok(())
    }

    /// Fields that were refused are tried again now and then, each alone.
    async fn doubted(&self, reading: &mut Reading<'_>, doubted: &[&'static Metric]) -> Result<(), Stop> {
        if doubted.is_empty() {
            return Ok(());
        }
        let (told, refused) = self.tried(reading, doubted, 1).await?;
        for Refused { metric, failure } in &refused {
            self.snapshots.refused(&self.due.account, metric, failure).await?;
        }
        let again: Vec<u16> = told.iter().map(|metric| metric.id).collect();
        if !again.is_empty() {
            self.snapshots.told_again(&self.due.account, &again).await?;
        }
        reading.asked.extend(told);
        Ok(())
    }

    /// Asks for fields of one day of the whole account, in ever smaller sets where one is refused. Nothing of it is kept.
    async fn tried(
        &self,
        reading: &Reading<'_>,
        metrics: &[&'static Metric],
        most: usize,
    ) -> Result<(Vec<&'static Metric>, Vec<Refused>), Stop> {
        let (mut told, mut refused) = (Vec::new(), Vec::new());
        let (mut sets, day) = (Sets::of(metrics, &[], most), reading.place.until);
        while let Some(set) = sets.next_set() {
            self.enter(1).await?;
            let question = AdQuestion {
                level: Level::Account,
                metrics: &set,
                since: day,
                until: day,
                most: LEAST_ROWS,
                after: None,
            };
            match reading.ads.ask(&self.call(), &question).await {
                Ok(_) => told.extend(set),
                Err(Trouble::Metric(failure)) => refused.extend(sets.refused(set, failure)),
                Err(Trouble::Missing(failure) | Trouble::Other(failure)) => {
                    return Err(Stop::Network(failure));
                }
            }
        }
        Ok((told, refused))
    }
}

fn asks_for_less(failure: &Failure) -> bool {
    failure.code.split('/').next() == Some("1") && failure.message.to_lowercase().contains(LESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Class;

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}T12:00:00Z").parse().expect("a time")
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    fn subject(captured_at: Option<&str>, resume: Option<String>) -> Subject {
        Subject {
            number: 1,
            object: Object::Account,
            remote_id: Some("act_1".into()),
            since: at("2026-11-01"),
            captures: 0,
            absent_since: None,
            captured_at: captured_at.map(at),
            resume,
        }
    }

    #[test]
    fn the_latest_days_are_read_each_time_and_none_between_two_times_is_left_out() {
        let span = |captured| {
            let place = Place::of(&subject(captured, None), at("2026-11-23"), 28);
            (place.since, place.until)
        };
        assert_eq!(span(None), (day("2026-10-26"), day("2026-11-22")));
        assert_eq!(span(Some("2026-11-22")), (day("2026-10-26"), day("2026-11-22")));
        assert_eq!(span(Some("2026-09-01")), (day("2026-09-01"), day("2026-11-22")));
        assert_eq!(span(Some("2019-01-01")).0, day("2026-11-22") - TimeDelta::days(MOST_DAYS));
    }

    #[test]
    fn what_was_broken_off_goes_on_where_it_was_unless_that_was_long_ago() {
        let begun = Place::of(&subject(None, None), at("2026-11-23"), 28);
        let broken_off = begun.next(Some("QVFI".into())).expect("more");
        let kept = Some(broken_off.text().expect("text"));
        let at_once = Place::of(&subject(None, kept.clone()), at("2026-11-24"), 28);
        assert_eq!(at_once, broken_off);
        let later = Place::of(&subject(None, kept), at("2026-11-26"), 28);
        assert_eq!((later.level, later.after, later.until), (Level::Account, None, day("2026-11-25")));
        let odd = Place::of(&subject(None, Some("{".into())), at("2026-11-23"), 28);
        assert_eq!(odd, begun);
    }

    #[test]
    fn pages_come_before_the_next_level_and_the_ads_come_last() {
        let mut place = Place::of(&subject(None, None), at("2026-11-23"), 28);
        let mut levels = vec![place.level];
        place = place.next(Some("a".into())).expect("more of the same");
        assert_eq!((place.level, place.after.as_deref()), (Level::Account, Some("a")));
        assert_eq!(place.next(Some("a".into())).map(|next| next.level), Some(Level::Campaign), "no circle");
        while let Some(next) = place.next(None) {
            place = next;
            assert_eq!(place.after, None);
            levels.push(place.level);
        }
        assert_eq!(levels, Level::ALL);
    }

    #[test]
    fn only_the_networks_own_words_make_the_pages_smaller() {
        let said = |code, words| asks_for_less(&Failure::new(Class::Transient, code, words));
        assert!(said("1", "Please reduce the amount of data you're asking for, then retry your request"));
        assert!(!said("1", "An unknown error occurred") && !said("100", "reduce the amount of data"));
    }
}
