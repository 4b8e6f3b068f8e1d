//! Cron lines as Unix writes them: minute, hour, day of the month, month, day of the week.
//!
//! The crate `cron` walks the calendar; it numbers the days of the week from one and knows no "either day", so
//! a line is read here and handed to it spelt out.

use std::{collections::BTreeSet, str::FromStr};

use chrono::{DateTime, NaiveDateTime};
use cron::Schedule;

/// What may stand in one of the five places.
struct Place {
    name: &'static str,
    least: u32,
    most: u32,
    /// Words for the numbers from `least` on.
    words: &'static [&'static str],
}

const MINUTE: Place = Place { name: "minute", least: 0, most: 59, words: &[] };
const HOUR: Place = Place { name: "hour", least: 0, most: 23, words: &[] };
const DAY: Place = Place { name: "day of the month", least: 1, most: 31, words: &[] };
const MONTH: Place = Place {
    name: "month",
    least: 1,
    most: 12,
    words: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
/// Sunday is 0 and 7.
const WEEKDAY: Place = Place {
    name: "day of the week",
    least: 0,
    most: 7,
    words: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

/// Why a line is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// Not five fields.
    #[error("it has {0} fields; five are accepted: minute, hour, day of the month, month, day of the week")]
    Fields(usize),
    /// A field that cannot be read.
    #[error(
        "{found:?} is no {place}; accepted are *, {least} to {most}{words}, ranges a-b, steps */n and a-b/n, with commas between them"
    )]
    Field {
        /// What was found.
        found: String,
        /// Which of the five.
        place: &'static str,
        /// The smallest number.
        least: u32,
        /// The largest number.
        most: u32,
        /// The words accepted for them, if any.
        words: &'static str,
    },
    /// A day that is in no calendar, such as 30 February.
    #[error("it never fires: no year has such a day; accepted is a day that exists")]
    Never,
}

/// The wall times that a line names.
#[derive(Debug, Clone)]
pub struct CronLine {
    /// One, or two where either day will do.
    parts: Vec<Schedule>,
}

impl FromStr for CronLine {
    type Err = BadLine;

    fn from_str(line: &str) -> Result<Self, BadLine> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(BadLine::Fields(fields.len()));
        };
        let times = format!("0 {} {}", MINUTE.read(minute)?, HOUR.read(hour)?);
        let (days, month, weekdays) = (DAY.read(day)?, MONTH.read(month)?, WEEKDAY.read(weekday)?);
        let spelt = if day.starts_with('*') || weekday.starts_with('*') {
            vec![format!("{times} {days} {month} {weekdays}")]
        } else {
            // as Unix has it: with both days given, either will do
            vec![format!("{times} {days} {month} *"), format!("{times} * {month} {weekdays}")]
        };
        let parts: Result<Vec<Schedule>, _> = spelt.iter().map(|part| part.parse()).collect();
        let line = Self { parts: parts.map_err(|_| BadLine::Never)? };
        if line.after(DateTime::UNIX_EPOCH.naive_utc()).is_none() {
            return Err(BadLine::Never);
        }
        Ok(line)
    }
}

impl CronLine {
    /// The first wall time after this one.
    pub fn after(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        self.parts.iter().filter_map(|part| part.after(&wall.and_utc()).next()).min().map(|at| at.naive_utc())
    }

    /// The last wall time before this one.
    pub fn before(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let last = |part: &Schedule| part.after(&wall.and_utc()).next_back();
        self.parts.iter().filter_map(last).max().map(|at| at.naive_utc())
    }
}

impl Place {
    /// The field as the crate wants it: `*`, or every number by itself.
    fn read(&self, field: &str) -> Result<String, BadLine> {
        if field == "*" {
            return Ok("*".into());
        }
        let mut numbers = BTreeSet::new();
        for part in field.split(',') {
            numbers.extend(self.part(part).ok_or_else(|| self.bad(field))?);
        }
        let spelt = numbers.into_iter().map(|n| self.ordinal(n).to_string());
        Ok(spelt.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(","))
    }

    /// `*`, `a` or `a-b`, the first and the last with a step or without.
    fn part(&self, part: &str) -> Option<Vec<u32>> {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(number(step).filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = match span.split_once('-') {
            _ if span == "*" => (self.least, self.most),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            // which numbers a/n means is not agreed upon
            None if step.is_some() => return None,
            None => (self.value(span)?, self.value(span)?),
        };
        // Sunday, which is 0 by name, may end a week as well
        let last = if last < first && self.is_sunday(last) { self.most } else { last };
        (first <= last).then(|| (first..=last).step_by(step.unwrap_or(1) as usize).collect())
    }

    fn value(&self, text: &str) -> Option<u32> {
        let word = self.words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let value = match word {
            Some(n) => self.least + u32::try_from(n).ok()?,
            None => number(text)?,
        };
        (self.least..=self.most).contains(&value).then_some(value)
    }

    fn is_sunday(&self, value: u32) -> bool {
        self.name == WEEKDAY.name && value == 0
    }

    /// The crate's number: it counts the days of the week from Sunday, which is 1.
    fn ordinal(&self, value: u32) -> u32 {
        if self.name == WEEKDAY.name { value % 7 + 1 } else { value }
    }

    fn bad(&self, field: &str) -> BadLine {
        let words = match self.name {
            "month" => ", JAN to DEC",
            "day of the week" => " (0 and 7 are Sunday), SUN to SAT",
            _ => "",
        };
        BadLine::Field {
            found: field.to_owned(),
            place: self.name,
            least: self.least,
            most: self.most,
            words,
        }
    }
}

fn number(text: &str) -> Option<u32> {
    (text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(text: &str) -> NaiveDateTime {
        text.parse().expect("a wall time")
    }

    /// The first `n` times after the start of Saturday, 21 November 2026.
    fn fires(line: &str, n: usize) -> Vec<String> {
        let line: CronLine = line.parse().expect(line);
        let mut at = wall("2026-11-21T00:00:00");
        let mut next = || {
            at = line.after(at).expect("it fires");
            at.format("%a %m-%d %H:%M").to_string()
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn the_days_of_the_week_have_their_unix_numbers() {
        for (day, number, name) in [
            ("Sun 11-22", "0", "SUN"),
            ("Sun 11-22", "7", "sun"),
            ("Mon 11-23", "1", "MON"),
            ("Tue 11-24", "2", "Tue"),
            ("Wed 11-25", "3", "WED"),
            ("Thu 11-26", "4", "THU"),
            ("Fri 11-27", "5", "FRI"),
            ("Sat 11-21", "6", "SAT"),
        ] {
            for weekday in [number, name] {
                assert_eq!(fires(&format!("30 9 * * {weekday}"), 1), [format!("{day} 09:30")], "{weekday}");
            }
        }
        assert_eq!(fires("0 9 * * MON-FRI", 6)[4..], ["Fri 11-27 09:00", "Mon 11-30 09:00"]);
        for weekend in ["6-7", "SAT-SUN", "6,0", "0,6"] {
            let due = fires(&format!("0 9 * * {weekend}"), 3);
            assert_eq!(due, ["Sat 11-21 09:00", "Sun 11-22 09:00", "Sat 11-28 09:00"], "{weekend}");
        }
    }

    #[test]
    fn with_both_days_given_either_will_do() {
        let either = fires("0 0 1 * MON", 3);
        assert_eq!(either, ["Mon 11-23 00:00", "Mon 11-30 00:00", "Tue 12-01 00:00"]);
        assert_eq!(fires("0 0 1-7 * *", 1), ["Tue 12-01 00:00"]);
        assert_eq!(
            fires("0 0 */2 * MON", 1),
            ["Mon 11-23 00:00"],
            "a star with a step is a star: both must fit"
        );
    }

    #[test]
    fn lists_ranges_and_steps_mean_what_they_say() {
        assert_eq!(fires("*/25 1 * * *", 4)[..3], ["Sat 11-21 01:00", "Sat 11-21 01:25", "Sat 11-21 01:50"]);
        assert_eq!(
            fires("0 8-18/5,23 * * *", 4),
            ["Sat 11-21 08:00", "Sat 11-21 13:00", "Sat 11-21 18:00", "Sat 11-21 23:00"]
        );
        assert_eq!(fires("5 4 29 feb *", 1), ["Tue 02-29 04:05"], "in 2028");
    }

    #[test]
    fn going_back_meets_the_same_times() {
        for line in ["*/7 * * * *", "30 2 * * SUN", "0 0 13 * FRI", "59 23 31 12 *"] {
            let line: CronLine = line.parse().expect(line);
            let mut at = wall("2026-11-21T00:00:00");
            for _ in 0..50 {
                let next = line.after(at).expect("it fires");
                let between = line.before(next).expect("it fired");
                assert!(between <= at && line.after(between) == Some(next), "{line:?} {at} {between} {next}");
                at = next;
            }
        }
    }

    #[test]
    fn what_is_no_line_is_refused_with_what_is_accepted() {
        for (line, said) in [
            ("", "0 fields"),
            ("* * * *", "4 fields"),
            ("0 * * * * *", "6 fields"),
            ("@daily", "1 fields"),
            ("60 * * * *", "0 to 59"),
            ("* 24 * * *", "\"24\" is no hour"),
            ("* * 0 * *", "1 to 31"),
            ("* * * 13 *", "JAN to DEC"),
            ("* * * * 8", "0 and 7 are Sunday"),
            ("* * * * FUNDAY", "SUN to SAT"),
            ("*/0 * * * *", "no minute"),
            ("5/10 * * * *", "no minute"),
            ("30-10 * * * *", "no minute"),
            ("1,,2 * * * *", "no minute"),
            ("-1 * * * *", "no minute"),
            ("1-2-3 * * * *", "no minute"),
            ("? * * * *", "no minute"),
            ("* * L * *", "day of the month"),
            ("٣ * * * *", "no minute"),
            ("99999999999 * * * *", "no minute"),
            ("0 0 30 FEB *", "never fires"),
            ("0 0 31 4,6,9,11 *", "never fires"),
        ] {
            let error = line.parse::<CronLine>().expect_err(line).to_string();
            assert!(error.contains(said), "{line:?}: {error}");
            assert!(error.contains("accepted"), "{line:?}: {error}");
        }
        assert!("0 0 30 2 MON".parse::<CronLine>().is_ok(), "on Mondays it fires");
    }
}
