//! When an object is asked about: densely after it came out, then once a day, and a story while it lasts.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Object;

/// How long a story is shown.
const STORY_LIFE: Duration = Duration::from_hours(24);

/// The moments, each as a span after an object came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The first ones, ascending.
    pub after_publishing: Vec<Duration>,
    /// How far apart those that follow are.
    pub then_every: Duration,
    /// After this there are none.
    pub until: Duration,
    /// Those of a story, ascending.
    pub stories: Vec<Duration>,
    /// How far apart an account's are; it has no end.
    pub accounts_every: Duration,
}

/// The plan, and how far everything else goes before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// When objects are asked about.
    pub plan: Plan,
    /// From so many percent of a network's limit on, what is left is for others.
    pub usage_most: u8,
    /// For how long then.
    pub usage_rest: Duration,
    /// A refused metric is tried again after this.
    pub try_refused: Duration,
    /// So many of the latest days of ads are read again each time.
    pub ads_days: u16,
}

impl Plan {
    /// Says which of its settings makes no sense and what is accepted, if any.
    ///
    /// # Errors
    /// The key, and what is accepted.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let (minute, hour, day) = (Duration::from_mins(1), Duration::from_hours(1), Duration::from_hours(24));
        let wrong = |key, accepted: &str| Err((key, accepted.to_owned()));
        let climbs = |spans: &[Duration]| {
            spans.first().is_some_and(|first| *first >= minute) && spans.is_sorted_by(|a, b| a < b)
        };
        if !climbs(&self.after_publishing) {
            return wrong(
                "after_publishing",
                "one or more spans from 1m on, each longer than the one before",
            );
        }
        if !climbs(&self.stories) || self.stories.last().is_some_and(|last| *last >= STORY_LIFE) {
            return wrong(
                "stories",
                "one or more spans from 1m to below 24h, each longer than the one before",
            );
        }
        if !(hour..=day * 31).contains(&self.then_every) {
            return wrong("then_every", "1h to 31d");
        }
        if !(hour..=day * 31).contains(&self.accounts_every) {
            return wrong("accounts_every", "1h to 31d");
        }
        let least = self.after_publishing.last().copied().unwrap_or_default();
        if self.until < least || self.until > day * 3 * 366 {
            return wrong("until", "from the last of after_publishing to 1098d");
        }
        Ok(())
    }

    /// The first moment after `now` of an object that came out at `since`; none: its plan is over. What was missed is
    /// not made up for: nobody can ask how many there were yesterday.
    pub fn next(&self, object: Object, since: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let at = |span: &Duration| since + TimeDelta::from_std(*span).unwrap_or(TimeDelta::days(3_660));
        match object {
            Object::Story => self.stories.iter().map(at).find(|at| *at > now),
            Object::Account => Some(every(since, self.accounts_every, now)),
            Object::Post | Object::Reel => {
                let first = self.after_publishing.iter().map(at).find(|at| *at > now);
                let next = first.unwrap_or_else(|| every(since, self.then_every, now));
                (next <= at(&self.until)).then_some(next)
            }
        }
    }

    /// When an object that came out at `since` is asked about first.
    pub fn first_after(&self, object: Object) -> Duration {
        let first = match object {
            Object::Story => self.stories.first(),
            // not at once: whoever has just connected it is about to publish
            Object::Account | Object::Post | Object::Reel => self.after_publishing.first(),
        };
        first.copied().unwrap_or_default()
    }
}

/// The first whole number of steps from `since` that lies after `now`.
fn every(since: DateTime<Utc>, step: Duration, now: DateTime<Utc>) -> DateTime<Utc> {
    let step = TimeDelta::from_std(step).unwrap_or(TimeDelta::days(1)).max(TimeDelta::seconds(1));
    let steps = ((now - since).num_milliseconds().div_euclid(step.num_milliseconds()) + 1).max(1);
    since + TimeDelta::milliseconds(steps.saturating_mul(step.num_milliseconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);

    fn plan() -> Plan {
        Plan {
            after_publishing: vec![15 * MINUTE, HOUR, 6 * HOUR, DAY],
            then_every: DAY,
            until: 90 * DAY,
            stories: vec![HOUR, 6 * HOUR, 23 * HOUR],
            accounts_every: DAY,
        }
    }

    fn at(span: Duration) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::from_std(span).expect("a span")
    }

    fn all(object: Object) -> Vec<Duration> {
        let (plan, mut now, mut moments) = (plan(), at(Duration::ZERO), Vec::new());
        while let Some(next) = plan.next(object, at(Duration::ZERO), now) {
            assert!(next > now);
            moments.push((next - DateTime::UNIX_EPOCH).to_std().expect("later"));
            now = next;
        }
        moments
    }

    #[test]
    fn a_post_is_asked_about_densely_at_first_then_daily_and_ninety_days_long() {
        let moments = all(Object::Post);
        assert_eq!(moments[..6], [15 * MINUTE, HOUR, 6 * HOUR, DAY, 2 * DAY, 3 * DAY]);
        assert_eq!((moments.len(), moments.last()), (93, Some(&(90 * DAY))));
    }

    #[test]
    fn a_story_is_asked_about_for_the_last_time_before_it_is_gone() {
        assert_eq!(all(Object::Story), [HOUR, 6 * HOUR, 23 * HOUR]);
        assert_eq!(plan().next(Object::Story, at(Duration::ZERO), at(23 * HOUR)), None);
    }

    #[test]
    fn what_was_missed_is_asked_once() {
        let next = |now| plan().next(Object::Post, at(Duration::ZERO), at(now));
        assert_eq!(next(7 * HOUR), Some(at(DAY)));
        assert_eq!(next(10 * DAY + HOUR), Some(at(11 * DAY)));
        assert_eq!(next(91 * DAY), None);
    }

    #[test]
    fn an_account_has_no_end() {
        let next = plan().next(Object::Account, at(Duration::ZERO), at(4_000 * DAY));
        assert_eq!(next, Some(at(4_001 * DAY)));
    }

    #[test]
    fn a_plan_that_makes_no_sense_is_refused_by_its_key() {
        assert_eq!(plan().check(), Ok(()));
        let wrong = |change: fn(&mut Plan)| {
            let mut plan = plan();
            change(&mut plan);
            plan.check().expect_err("refused").0
        };
        assert_eq!(wrong(|plan| plan.after_publishing.clear()), "after_publishing");
        assert_eq!(wrong(|plan| plan.after_publishing[0] = Duration::ZERO), "after_publishing");
        assert_eq!(wrong(|plan| plan.after_publishing.reverse()), "after_publishing");
        assert_eq!(wrong(|plan| plan.stories.push(DAY)), "stories");
        assert_eq!(wrong(|plan| plan.then_every = MINUTE), "then_every");
        assert_eq!(wrong(|plan| plan.accounts_every = Duration::ZERO), "accounts_every");
        assert_eq!(wrong(|plan| plan.until = HOUR), "until");
    }
}
