//! When a schedule fires: a cron line on the wall clock of a zone, made into instants, and what becomes of the
//! instants that nobody could keep.
//!
//! Where the clock is set forward over a wall time, it fires at the first moment that is valid again, once for
//! all the times in the gap. Where the clock is set back, a wall time that happens twice fires the first time.

use std::str::FromStr;

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, SubsecRound, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::{
    cron_line::CronLine,
    zones::{self, WIDEST_JUMP},
};

/// A tick's job is made this long before its moment, so that it starts on time and not on a look.
pub const AHEAD: TimeDelta = TimeDelta::seconds(3);
/// A tick that could be taken within this after its moment was not missed.
pub const IN_TIME: TimeDelta = TimeDelta::seconds(60);

/// The instants of one schedule.
#[derive(Debug, Clone)]
pub struct Timetable {
    line: CronLine,
    zone: Tz,
}

/// What becomes of ticks that nobody could take in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// Every one of them is made up for, in order.
    All,
    /// Only the last of them is.
    Latest,
    /// They are left out.
    None,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The ticks to take, in order.
    pub ticks: Vec<DateTime<Utc>>,
    /// What fires up to here is decided with them.
    pub until: DateTime<Utc>,
}

impl CatchUp {
    /// All there is.
    pub const ALL: [Self; 3] = [Self::All, Self::Latest, Self::None];

    /// The word for it, in the ledger and in `worker.toml`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Latest => "latest",
            Self::None => "none",
        }
    }
}

impl FromStr for CatchUp {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|one| one.word() == word).ok_or(())
    }
}

impl Timetable {
    /// The instants at which the zone's clocks show what the line names.
    pub fn new(line: CronLine, zone: Tz) -> Self {
        Self { line, zone }
    }

    /// The first tick after an instant; `None` past the year 2100.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = self.local(after);
        loop {
            wall = self.line.after(wall)?;
            // in the second of two hours the walls of the first have fired already
            if let Some(tick) = self.instant(wall).filter(|tick| *tick > after) {
                return Some(tick);
            }
        }
    }

    /// The last tick up to an instant, itself included.
    pub fn last(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = self.local(until).checked_add_signed(WIDEST_JUMP)?;
        loop {
            wall = self.line.before(wall)?;
            if let Some(tick) = self.instant(wall).filter(|tick| *tick <= until) {
                return Some(tick);
            }
        }
    }

    /// The ticks after an instant, in order.
    pub fn after(&self, from: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        std::iter::successors(self.next(from), |tick| self.next(*tick))
    }

    /// What is to be done at `now` about the ticks after `from`, at most `most` of them; `None`: nothing yet.
    pub fn due(
        &self,
        catch_up: CatchUp,
        from: DateTime<Utc>,
        now: DateTime<Utc>,
        most: usize,
    ) -> Option<Due> {
        let horizon = now + AHEAD;
        self.next(from).filter(|tick| *tick <= horizon)?;
        let start = match catch_up {
            CatchUp::All => from,
            CatchUp::Latest => self.last(now).map_or(from, |last| (last - TimeDelta::seconds(1)).max(from)),
            CatchUp::None => (now - IN_TIME).max(from),
        };
        let ticks: Vec<_> = self.after(start).take_while(|tick| *tick <= horizon).take(most).collect();
        let until = ticks.last().copied().unwrap_or(now);
        Some(Due { ticks, until })
    }

    fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.trunc_subsecs(0).with_timezone(&self.zone).naive_local()
    }

    fn instant(&self, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        match self.zone.from_local_datetime(&wall) {
            MappedLocalTime::Single(only) => Some(only.to_utc()),
            MappedLocalTime::Ambiguous(first, _) => Some(first.to_utc()),
            MappedLocalTime::None => zones::gap(self.zone, wall).map(|gap| gap.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::{Offset, SubsecRound};
    use chrono_tz::TZ_VARIANTS;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn table(line: &str, zone: Tz) -> Timetable {
        Timetable::new(line.parse().expect(line), zone)
    }

    fn berlin(line: &str) -> Timetable {
        table(line, Tz::Europe__Berlin)
    }

    fn between(table: &Timetable, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        table.after(from).take_while(|tick| *tick <= until).collect()
    }

    /// A change of a zone's clock.
    #[derive(Debug, Clone, Copy)]
    struct Change {
        zone: Tz,
        at: DateTime<Utc>,
        before: TimeDelta,
        after: TimeDelta,
    }

    fn offset(zone: Tz, second: i64) -> i64 {
        let at = DateTime::from_timestamp(second, 0).expect("in the calendar");
        i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc())
    }

    /// Every change of a zone's clock from 2025 to 2040, found by looking at the offset of every other day.
    fn changes(zone: Tz) -> Vec<Change> {
        const STEP: i64 = 2 * 86_400;
        let (from, until) = (at("2025-01-01T00:00:00Z").timestamp(), at("2041-01-01T00:00:00Z").timestamp());
        let mut found = Vec::new();
        let (mut second, mut known) = (from, offset(zone, from));
        while second < until {
            let next = offset(zone, second + STEP);
            if next != known {
                let (mut below, mut above) = (second, second + STEP);
                while above - below > 1 {
                    let half = below.midpoint(above);
                    if offset(zone, half) == known { below = half } else { above = half }
                }
                let at = DateTime::from_timestamp(above, 0).expect("in the calendar");
                let (before, after) = (TimeDelta::seconds(known), TimeDelta::seconds(next));
                found.push(Change { zone, at, before, after });
            }
            (second, known) = (second + STEP, next);
        }
        found
    }

    impl Change {
        /// A line for just this wall time must fire once around the change, and then.
        fn fires_once(&self, wall: DateTime<Utc>, then: DateTime<Utc>) {
            let line = wall.format("%-M %-H %-d %-m *").to_string();
            let table = table(&line, self.zone);
            let near = TimeDelta::days(2);
            assert_eq!(between(&table, self.at - near, self.at + near), [then], "{line} {self:?}");
            assert_eq!(table.last(self.at + near), Some(then), "back: {line} {self:?}");
        }

        /// The walls of the jump itself and of its edges. "Wall" is an instant that reads like it in UTC.
        fn holds(&self) {
            let minute = TimeDelta::minutes(1);
            let (first, last) = (self.before.min(self.after), self.before.max(self.after) - minute);
            let (first, last) = (self.at + first, self.at + last);
            let middle = first + TimeDelta::minutes((last - first).num_minutes() / 2);
            for wall in [first, middle, last] {
                let gap = self.after > self.before;
                self.fires_once(wall, if gap { self.at } else { wall - self.before });
            }
            self.fires_once(first - minute, first - minute - self.before);
            self.fires_once(last + minute, last + minute - self.after);
            self.never_stutters(15);
        }

        /// Around the change, each wall time of every so many minutes that exists fires once, in order.
        fn never_stutters(&self, every: i64) {
            let (near, every) = (TimeDelta::hours(4), TimeDelta::minutes(every));
            let line = format!("*/{} * * * *", every.num_minutes());
            let ticks = between(&table(&line, self.zone), self.at - near, self.at + near);
            assert!(ticks.is_sorted_by(|a, b| a < b), "{line} {self:?}");
            let wall = |tick: DateTime<Utc>| tick.with_timezone(&self.zone).naive_local();
            let walls: BTreeSet<_> = ticks.iter().copied().map(wall).collect();
            assert_eq!(walls.len(), ticks.len(), "a wall time fired twice: {line} {self:?}");
            let moments = std::iter::successors(Some(self.at - near + every), |at| Some(*at + every));
            let shown: BTreeSet<_> = moments.take_while(|at| *at <= self.at + near).map(wall).collect();
            assert_eq!(walls, shown, "a wall time did not fire: {self:?}");
        }
    }

    #[test]
    fn every_zones_gaps_and_overlaps_to_2040_fire_once() {
        let half = TZ_VARIANTS.len() / 2;
        let walk = |zones: &[Tz]| -> usize {
            zones.iter().map(|zone| changes(*zone).iter().map(Change::holds).count()).sum()
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| walk(&TZ_VARIANTS[half..]));
            (walk(&TZ_VARIANTS[..half]), other.join().expect("it holds"))
        });
        println!("{} zones, {} changes", TZ_VARIANTS.len(), one + other);
        assert!(one + other > 5_000, "all zones were walked through");
    }

    #[test]
    fn every_minute_of_a_changing_clock_fires_once() {
        for zone in
            [Tz::Europe__Berlin, Tz::Australia__Lord_Howe, Tz::Africa__Casablanca, Tz::Antarctica__Troll]
        {
            for change in changes(zone).iter().take(4) {
                change.never_stutters(1);
            }
        }
    }

    #[test]
    fn a_daily_tick_in_a_gap_comes_at_its_end_and_in_an_overlap_once() {
        let daily = berlin("30 2 * * *");
        let ticks = between(&daily, at("2027-03-27T00:00:00Z"), at("2027-03-30T00:00:00Z"));
        assert_eq!(
            ticks,
            [at("2027-03-27T01:30:00Z"), at("2027-03-28T01:00:00Z"), at("2027-03-29T00:30:00Z")]
        );
        let ticks = between(&daily, at("2026-10-24T12:00:00Z"), at("2026-10-26T12:00:00Z"));
        assert_eq!(ticks, [at("2026-10-25T00:30:00Z"), at("2026-10-26T01:30:00Z")]);
    }

    fn lines() -> impl Strategy<Value = String> {
        let minute =
            prop_oneof![Just("*".to_owned()), Just("*/7".into()), (0..60_u32).prop_map(|n| n.to_string())];
        let hour =
            prop_oneof![Just("*".to_owned()), Just("1-3".into()), (0..24_u32).prop_map(|n| n.to_string())];
        let day = prop_oneof![Just("*".to_owned()), (1..29_u32).prop_map(|n| n.to_string())];
        let weekday = prop_oneof![Just("*".to_owned()), (0..8_u32).prop_map(|n| n.to_string())];
        (minute, hour, day, weekday).prop_map(|(m, h, d, w)| format!("{m} {h} {d} * {w}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn next_and_last_agree(line in lines(), zone in 0..TZ_VARIANTS.len(), second in 1_735_689_600_i64..2_240_524_800) {
            let table = table(&line, TZ_VARIANTS[zone]);
            let from = DateTime::from_timestamp(second, 0).expect("in the calendar");
            let next = table.next(from).expect("it fires");
            prop_assert!(next > from);
            prop_assert_eq!(table.last(next), Some(next));
            prop_assert!(table.last(next - TimeDelta::seconds(1)).is_some_and(|last| last <= from));
            prop_assert_eq!(table.next(next - TimeDelta::seconds(1)), Some(next));
        }
    }

    fn due(catch_up: CatchUp, from: &str, now: &str) -> Option<(Vec<String>, String)> {
        let due = berlin("0 * * * *").due(catch_up, at(from), at(now), 100)?;
        let show = |tick: &DateTime<Utc>| tick.trunc_subsecs(0).format("%H:%M:%S").to_string();
        Some((due.ticks.iter().map(show).collect(), show(&due.until)))
    }

    #[test]
    fn a_tick_is_due_a_little_before_its_moment() {
        for catch_up in CatchUp::ALL {
            assert_eq!(due(catch_up, "2026-11-21T10:00:00Z", "2026-11-21T10:59:56Z"), None);
            let one = Some((vec!["11:00:00".to_owned()], "11:00:00".to_owned()));
            assert_eq!(due(catch_up, "2026-11-21T10:00:00Z", "2026-11-21T10:59:57Z"), one);
            assert_eq!(due(catch_up, "2026-11-21T10:00:00Z", "2026-11-21T11:00:50Z"), one, "in time");
            assert_eq!(due(catch_up, "2026-11-21T11:00:00Z", "2026-11-21T11:00:00Z"), None, "decided");
        }
    }

    #[test]
    fn what_was_missed_is_made_up_for_as_the_schedule_says() {
        let due = |catch_up, now| due(catch_up, "2026-11-21T06:00:00Z", now).expect("due");
        let all = due(CatchUp::All, "2026-11-21T10:30:00Z");
        assert_eq!(all.0, ["07:00:00", "08:00:00", "09:00:00", "10:00:00"]);
        let latest = due(CatchUp::Latest, "2026-11-21T10:30:00Z");
        assert_eq!(latest, (vec!["10:00:00".into()], "10:00:00".into()));
        assert_eq!(due(CatchUp::None, "2026-11-21T10:30:00Z"), (vec![], "10:30:00".into()));
        assert_eq!(due(CatchUp::Latest, "2026-11-21T10:59:58Z").0, ["10:00:00", "11:00:00"]);
        assert_eq!(due(CatchUp::None, "2026-11-21T10:59:58Z").0, ["11:00:00"]);
    }

    #[test]
    fn a_year_of_minutes_is_looked_through_at_once_and_taken_in_parts() {
        let (minutes, from, now) =
            (berlin("* * * * *"), at("2025-11-21T00:00:00Z"), at("2026-11-21T00:00:30Z"));
        let due = |catch_up| minutes.due(catch_up, from, now, 1_000).expect("due");
        assert_eq!(due(CatchUp::All).ticks.len(), 1_000);
        assert_eq!(due(CatchUp::All).until, from + TimeDelta::minutes(1_000));
        assert_eq!(due(CatchUp::Latest).ticks, [at("2026-11-21T00:00:00Z")]);
        assert_eq!(due(CatchUp::None).ticks, [at("2026-11-21T00:00:00Z")]);
    }
}
