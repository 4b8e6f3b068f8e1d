//! When a post goes out: wall time and zone, or a time with its offset, made into an instant.
//!
//! Twice a year a wall time happens twice, or never. Neither is guessed here.

use std::fmt::Write as _;

use chrono::{
    DateTime, Datelike, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta,
    TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;
use jobs::zones;

use super::finding::Finding;

/// So much in the past still counts as now.
const GRACE: TimeDelta = TimeDelta::seconds(60);

/// A time as somebody wrote it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// `2026-12-01T09:30`, with seconds or without, with an offset or without.
    pub at: &'a str,
    /// An IANA name, or an offset such as is shown of a time that was written with one; needed where `at` has none.
    pub time_zone: Option<&'a str>,
    /// Which of two, where the wall time happens twice.
    pub fold: Option<&'a str>,
}

/// A time that exists, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Wall time.
    pub wall_time: NaiveDateTime,
    /// An IANA name, or an offset.
    pub time_zone: String,
    /// Which of two, where the wall time happens twice.
    pub fold: Option<&'static str>,
    /// The instant.
    pub instant: DateTime<Utc>,
}

/// Makes an instant of a written time, or says everything that is wrong with it.
///
/// # Errors
/// At least one finding, about `schedule.at`, `schedule.time_zone` or `schedule.fold`.
pub fn resolve(asked: &Asked<'_>, now: DateTime<Utc>, horizon: TimeDelta) -> Result<Moment, Vec<Finding>> {
    let written = Written::parse(asked.at);
    let zone = asked.time_zone.map(zone).transpose();
    let fold = asked.fold.map(fold).transpose();
    let (written, zone, fold) = match (written, zone, fold) {
        (Ok(written), Ok(zone), Ok(fold)) => (written, zone, fold),
        (written, zone, fold) => {
            return Err([written.err(), zone.err(), fold.err()].into_iter().flatten().collect());
        }
    };
    let moment = written.in_zone(zone, fold).map_err(|finding| vec![finding])?;
    within(&moment, now, horizon).map_err(|finding| vec![finding])?;
    Ok(moment)
}

/// Where the wall is.
#[derive(Debug, Clone, Copy)]
enum Zone {
    Named(Tz),
    At(FixedOffset),
}

/// The zone of that name, or of that offset.
fn zone(name: &str) -> Result<Zone, Finding> {
    if let Some(offset) = offset(name) {
        return Ok(Zone::At(offset));
    }
    zones::named(name).map(Zone::Named).map_err(|like| {
        let detail = format!(
            "“{}” is not a time zone. Use an IANA name such as Europe/Berlin.",
            super::text::shown(name)
        );
        Finding::new("schedule.time_zone", "time_zone_unknown", detail).accepting(like)
    })
}

fn fold(word: &str) -> Result<Fold, Finding> {
    match word {
        "earlier" => Ok(Fold::Earlier),
        "later" => Ok(Fold::Later),
        _ => {
            let detail = format!("“{}” is neither earlier nor later.", super::text::shown(word));
            Err(Finding::new("schedule.fold", "fold_unknown", detail).accepting(["earlier", "later"]))
        }
    }
}

/// Which of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fold {
    Earlier,
    Later,
}

impl Fold {
    const fn word(self) -> &'static str {
        match self {
            Self::Earlier => "earlier",
            Self::Later => "later",
        }
    }
}

/// A wall time, and the offset if it carries one.
#[derive(Debug, Clone, Copy)]
struct Written {
    wall: NaiveDateTime,
    offset: Option<FixedOffset>,
    /// Whether seconds were written, and so are answered.
    seconds: bool,
}

impl Written {
    fn parse(at: &str) -> Result<Self, Finding> {
        let (wall, offset) = split_offset(at).ok_or_else(|| malformed(at))?;
        let (date, time) = wall.split_once('T').ok_or_else(|| malformed(at))?;
        let [year, month, day] = numbers(date, '-', &[4, 2, 2]).ok_or_else(|| malformed(at))?;
        let seconds = time.len() == 8;
        let [hour, minute, second] = if seconds {
            numbers(time, ':', &[2, 2, 2])
        } else {
            numbers(time, ':', &[2, 2]).map(|[hour, minute]| [hour, minute, 0])
        }
        .ok_or_else(|| malformed(at))?;
        let date = i32::try_from(year).ok().and_then(|year| NaiveDate::from_ymd_opt(year, month, day));
        let time = NaiveTime::from_hms_opt(hour, minute, second);
        match (date, time) {
            (Some(date), Some(time)) => Ok(Self { wall: date.and_time(time), offset, seconds }),
            _ => {
                Err(Finding::new("schedule.at", "time_unreal", format!("There is no {at} in any calendar.")))
            }
        }
    }

    fn in_zone(self, zone: Option<Zone>, fold: Option<Fold>) -> Result<Moment, Finding> {
        match (zone, self.offset) {
            (None, None) => Err(Finding::new(
                "schedule.time_zone",
                "time_zone_required",
                "Say in which time zone this is (an IANA name such as Asia/Jerusalem), or write the offset behind the time.",
            )),
            (None, Some(offset)) | (Some(Zone::At(offset)), None) => self.at_offset(offset),
            (Some(Zone::At(one)), Some(other)) if one == other => self.at_offset(one),
            (Some(Zone::At(one)), Some(other)) => Err(self.differs(&offset_word(one), other, [one])),
            (Some(Zone::Named(zone)), None) => self.in_zone_alone(zone, fold),
            (Some(Zone::Named(zone)), Some(offset)) => self.in_zone_at(zone, offset),
        }
    }

    fn at_offset(self, offset: FixedOffset) -> Result<Moment, Finding> {
        let instant =
            offset.from_local_datetime(&self.wall).single().ok_or_else(|| out_of_range(self.wall))?;
        Ok(Moment {
            wall_time: self.wall,
            time_zone: offset_word(offset),
            fold: None,
            instant: instant.with_timezone(&Utc),
        })
    }

    fn in_zone_alone(self, zone: Tz, fold: Option<Fold>) -> Result<Moment, Finding> {
        match zone.from_local_datetime(&self.wall) {
            MappedLocalTime::Single(only) => Ok(self.moment(zone, None, only.to_utc())),
            MappedLocalTime::Ambiguous(earlier, later) => match fold {
                Some(fold @ Fold::Earlier) => Ok(self.moment(zone, Some(fold), earlier.to_utc())),
                Some(fold @ Fold::Later) => Ok(self.moment(zone, Some(fold), later.to_utc())),
                None => Err(self.happens_twice(zone, &earlier.fixed_offset(), &later.fixed_offset())),
            },
            MappedLocalTime::None => Err(self.never_happens(zone)),
        }
    }

    /// The offset says which of two; it must be one that the zone has then.
    fn in_zone_at(self, zone: Tz, offset: FixedOffset) -> Result<Moment, Finding> {
        let same = |time: &DateTime<Tz>| time.offset().fix() == offset;
        let possible = match zone.from_local_datetime(&self.wall) {
            MappedLocalTime::None => return Err(self.never_happens(zone)),
            MappedLocalTime::Single(only) => vec![(None, only)],
            MappedLocalTime::Ambiguous(earlier, later) => {
                vec![(Some(Fold::Earlier), earlier), (Some(Fold::Later), later)]
            }
        };
        if let Some((fold, time)) = possible.iter().find(|(_, time)| same(time)) {
            return Ok(self.moment(zone, *fold, time.to_utc()));
        }
        let right = possible.iter().map(|(_, time)| time.offset().fix());
        Err(self.differs(zone.name(), offset, right))
    }

    /// The offset behind the time is none that its zone has then.
    fn differs(
        self,
        zone: &str,
        offset: FixedOffset,
        right: impl IntoIterator<Item = FixedOffset>,
    ) -> Finding {
        let detail =
            format!("{zone} is not at {} then. Leave the offset out, or the zone.", offset_word(offset));
        let right = right.into_iter().map(|right| format!("{}{}", self.show(self.wall), offset_word(right)));
        Finding::new("schedule.at", "offset_differs", detail).accepting(right)
    }

    fn moment(self, zone: Tz, fold: Option<Fold>, instant: DateTime<Utc>) -> Moment {
        Moment {
            wall_time: self.wall,
            time_zone: zone.name().to_owned(),
            fold: fold.map(Fold::word),
            instant,
        }
    }

    fn happens_twice(
        self,
        zone: Tz,
        earlier: &DateTime<FixedOffset>,
        later: &DateTime<FixedOffset>,
    ) -> Finding {
        let wall = self.show(self.wall);
        let detail = format!(
            "In {zone} the clock is set back then, and {wall} happens twice: earlier is {wall}{}, later is {wall}{}. Say which.",
            offset_word(*earlier.offset()),
            offset_word(*later.offset()),
        );
        Finding::new("schedule.fold", "dst_ambiguous", detail).accepting(["earlier", "later"])
    }

    fn never_happens(self, zone: Tz) -> Finding {
        let detail = format!(
            "In {zone} the clock is set forward over {}: that time does not exist on this day.",
            self.show(self.wall)
        );
        let finding = Finding::new("schedule.at", "dst_gap", detail);
        match self.around_gap(zone) {
            Some((before, after)) => finding.accepting([self.show(before), self.show(after)]),
            None => finding,
        }
    }

    /// The last wall time before the jump and the first after it, as finely as the time was written.
    fn around_gap(self, zone: Tz) -> Option<(NaiveDateTime, NaiveDateTime)> {
        let gap = zones::gap(zone, self.wall)?;
        let before = if self.seconds { gap.before } else { gap.before.with_second(0)? };
        Some((before, gap.after))
    }

    fn show(self, wall: NaiveDateTime) -> String {
        let format = if self.seconds { "%Y-%m-%dT%H:%M:%S" } else { "%Y-%m-%dT%H:%M" };
        wall.format(format).to_string()
    }
}

fn within(moment: &Moment, now: DateTime<Utc>, horizon: TimeDelta) -> Result<(), Finding> {
    if moment.instant < now - GRACE {
        let detail = format!(
            "That was {} ago. Choose a time to come, or leave the schedule out to publish now.",
            span(now - moment.instant)
        );
        return Err(Finding::new("schedule.at", "time_past", detail));
    }
    if now.checked_add_signed(horizon).is_some_and(|last| moment.instant > last) {
        let detail = format!("That is more than {} days ahead, which is the most.", horizon.num_days());
        return Err(Finding::new("schedule.at", "time_too_far", detail));
    }
    Ok(())
}

fn malformed(at: &str) -> Finding {
    let detail = format!(
        "“{}” is not a time. Write 2026-12-01T09:30 or 2026-12-01T09:30:00 (no fraction) with a time zone, or the same with an offset such as +02:00 or Z.",
        super::text::shown(at)
    );
    Finding::new("schedule.at", "time_format", detail)
}

fn out_of_range(wall: NaiveDateTime) -> Finding {
    Finding::new("schedule.at", "time_unreal", format!("The year {} is out of range.", wall.year()))
}

/// Numbers of exactly these widths between separators.
fn numbers<const N: usize>(text: &str, separator: char, widths: &[usize; N]) -> Option<[u32; N]> {
    let mut found = [0; N];
    let mut parts = text.split(separator);
    for (slot, width) in found.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == *width)?;
        *slot = part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(found)
}

fn split_offset(at: &str) -> Option<(&str, Option<FixedOffset>)> {
    if let Some(wall) = at.strip_suffix('Z') {
        return Some((wall, FixedOffset::east_opt(0)));
    }
    let time = at.find('T')?;
    let Some(sign) = at[time..].find(['+', '-']).map(|n| n + time) else { return Some((at, None)) };
    Some((&at[..sign], Some(offset(&at[sign..])?)))
}

/// `+02:00`.
fn offset(word: &str) -> Option<FixedOffset> {
    let ahead = !word.starts_with('-');
    let [hours, minutes] = numbers(word.strip_prefix(['+', '-'])?, ':', &[2, 2])?;
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok().filter(|_| hours <= 14 && minutes < 60)?;
    FixedOffset::east_opt(if ahead { seconds } else { -seconds })
}

fn offset_word(offset: FixedOffset) -> String {
    let seconds = offset.local_minus_utc();
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// `3 minutes`, `2 hours`, `5 days`.
pub fn span(delta: TimeDelta) -> String {
    let (number, unit) = match delta.num_seconds() {
        s if s < 120 => (s, "second"),
        s if s < 7_200 => (s / 60, "minute"),
        s if s < 172_800 => (s / 3_600, "hour"),
        s => (s / 86_400, "day"),
    };
    let mut text = format!("{number} {unit}");
    if number != 1 {
        let _ = text.write_char('s');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at: &str, zone: &str, fold: Option<&str>) -> Result<String, Vec<Finding>> {
        let now = "2026-11-21T12:00:00Z".parse().expect("a time");
        let time_zone = (!zone.is_empty()).then_some(zone);
        resolve(&Asked { at, time_zone, fold }, now, TimeDelta::days(730))
            .map(|moment| moment.instant.to_rfc3339())
    }

    fn refused(when: &str, zone: &str, fold: Option<&str>) -> (&'static str, Vec<String>) {
        let finding = at(when, zone, fold).expect_err(when).remove(0);
        (finding.code, finding.accepted)
    }

    #[test]
    fn wall_time_and_zone_make_an_instant() {
        assert_eq!(at("2026-12-01T09:30", "Asia/Jerusalem", None), Ok("2026-12-01T07:30:00+00:00".into()));
        assert_eq!(
            at("2026-12-01T09:30:15", "America/New_York", None),
            Ok("2026-12-01T14:30:15+00:00".into())
        );
    }

    #[test]
    fn a_time_with_an_offset_needs_no_zone() {
        assert_eq!(at("2026-12-01T09:30:00+02:00", "", None), Ok("2026-12-01T07:30:00+00:00".into()));
        assert_eq!(at("2026-12-01T09:30Z", "", None), Ok("2026-12-01T09:30:00+00:00".into()));
        assert_eq!(at("2026-12-01T09:30:00-05:30", "", None), Ok("2026-12-01T15:00:00+00:00".into()));
        assert_eq!(refused("2026-12-01T09:30:00", "", None).0, "time_zone_required");
    }

    #[test]
    fn the_offset_that_is_shown_as_a_zone_is_taken_as_one() {
        assert_eq!(at("2026-12-01T09:30:00", "+02:00", None), Ok("2026-12-01T07:30:00+00:00".into()));
        assert_eq!(at("2026-12-01T09:30", "-05:30", None), Ok("2026-12-01T15:00:00+00:00".into()));
        assert_eq!(at("2026-12-01T09:30Z", "+00:00", None), Ok("2026-12-01T09:30:00+00:00".into()));
        let (code, accepted) = refused("2026-12-01T09:30+03:00", "+02:00", None);
        assert_eq!((code, accepted), ("offset_differs", vec!["2026-12-01T09:30+02:00".to_owned()]));
        for wrong in ["+2", "02:00", "+15:00", "+02:00 ", "+", "-"] {
            assert_eq!(refused("2026-12-01T09:30", wrong, None).0, "time_zone_unknown", "{wrong}");
        }
    }

    #[test]
    fn offset_and_zone_must_agree() {
        assert_eq!(
            at("2026-12-01T09:30+02:00", "Asia/Jerusalem", None),
            Ok("2026-12-01T07:30:00+00:00".into())
        );
        let (code, accepted) = refused("2026-12-01T09:30+03:00", "Asia/Jerusalem", None);
        assert_eq!((code, accepted), ("offset_differs", vec!["2026-12-01T09:30+02:00".to_owned()]));
        assert_eq!(
            at("2027-10-31T01:30+02:00", "Asia/Jerusalem", None),
            Ok("2027-10-30T23:30:00+00:00".into())
        );
        assert_eq!(refused("2027-03-26T02:30+02:00", "Asia/Jerusalem", None).0, "dst_gap");
    }

    #[test]
    fn a_time_in_a_gap_is_refused_with_the_two_nearest() {
        let gap = |when, zone| {
            let (code, accepted) = refused(when, zone, None);
            assert_eq!(code, "dst_gap", "{when} {zone}");
            accepted
        };
        assert_eq!(gap("2027-03-26T02:30", "Asia/Jerusalem"), ["2027-03-26T01:59", "2027-03-26T03:00"]);
        assert_eq!(
            gap("2027-03-26T02:00:00", "Asia/Jerusalem"),
            ["2027-03-26T01:59:59", "2027-03-26T03:00:00"]
        );
        assert_eq!(
            gap("2027-03-14T02:59:59", "America/New_York"),
            ["2027-03-14T01:59:59", "2027-03-14T03:00:00"]
        );
        assert_eq!(gap("2027-10-03T02:15", "Australia/Lord_Howe"), ["2027-10-03T01:59", "2027-10-03T02:30"]);
    }

    #[test]
    fn what_is_offered_instead_of_a_gap_is_taken() {
        for (when, zone) in [
            ("2027-03-26T02:30", "Asia/Jerusalem"),
            ("2027-03-14T02:00:00", "America/New_York"),
            ("2027-10-03T02:29", "Australia/Lord_Howe"),
        ] {
            for offered in refused(when, zone, None).1 {
                assert!(at(&offered, zone, None).is_ok(), "{offered} {zone}");
            }
        }
    }

    #[test]
    fn a_time_that_happens_twice_needs_a_fold() {
        for (when, zone, earlier, later) in [
            ("2027-10-31T01:30", "Asia/Jerusalem", "2027-10-30T22:30:00+00:00", "2027-10-30T23:30:00+00:00"),
            (
                "2027-11-07T01:00:00",
                "America/New_York",
                "2027-11-07T05:00:00+00:00",
                "2027-11-07T06:00:00+00:00",
            ),
            (
                "2027-04-04T01:45",
                "Australia/Lord_Howe",
                "2027-04-03T14:45:00+00:00",
                "2027-04-03T15:15:00+00:00",
            ),
        ] {
            let (code, accepted) = refused(when, zone, None);
            assert_eq!((code, accepted), ("dst_ambiguous", vec!["earlier".to_owned(), "later".to_owned()]));
            assert_eq!(at(when, zone, Some("earlier")), Ok(earlier.to_owned()));
            assert_eq!(at(when, zone, Some("later")), Ok(later.to_owned()));
        }
    }

    #[test]
    fn the_edges_of_gap_and_overlap_are_plain_times() {
        assert!(at("2027-03-26T01:59:59", "Asia/Jerusalem", None).is_ok());
        assert!(at("2027-03-26T03:00:00", "Asia/Jerusalem", None).is_ok());
        assert!(at("2027-10-31T00:59:59", "Asia/Jerusalem", None).is_ok());
        assert!(at("2027-10-31T02:00:00", "Asia/Jerusalem", None).is_ok());
        assert!(
            at("2027-10-31T02:00:00", "Asia/Jerusalem", Some("later")).is_ok(),
            "a fold that is not needed is harmless"
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for wrong in [
            "",
            "now",
            "2026-12-01",
            "2026-12-01 09:30",
            "2026-12-01T9:30",
            "2026-12-01T09:30:00.5",
            "2026-12-01t09:30",
            "2026-12-01T09:30:00+2",
            "2026-12-01T09:30+15:00",
            "+2026-12-01T09:30",
            "2026-12-01T09:30:00ZZ",
            "2026-12-01T",
            "٢٠٢٦-12-01T09:30",
            "2026-12-01T09:30\u{0}",
        ] {
            assert_eq!(refused(wrong, "UTC", None).0, "time_format", "{wrong}");
        }
        for unreal in [
            "2026-02-29T09:30",
            "2026-13-01T09:30",
            "2026-12-01T24:00",
            "2026-12-01T09:60",
            "2026-12-01T09:30:60",
        ] {
            assert_eq!(refused(unreal, "UTC", None).0, "time_unreal", "{unreal}");
        }
    }

    #[test]
    fn a_minute_past_counts_as_now_and_more_does_not() {
        assert!(at("2026-11-21T11:59:00", "UTC", None).is_ok());
        assert_eq!(refused("2026-11-21T11:58:59", "UTC", None).0, "time_past");
    }

    #[test]
    fn two_years_ahead_is_the_most() {
        assert!(at("2028-11-20T12:00:00", "UTC", None).is_ok());
        assert_eq!(refused("2028-11-20T12:00:01", "UTC", None).0, "time_too_far");
        assert_eq!(refused("9999-12-31T23:59:59", "UTC", None).0, "time_too_far");
        assert_eq!(refused("9999-12-31T23:59:59-14:00", "", None).0, "time_too_far");
        assert_eq!(refused("0000-01-01T00:00:00", "UTC", None).0, "time_past");
    }

    #[test]
    fn an_unknown_zone_is_answered_with_names_like_it() {
        let (code, accepted) = refused("2026-12-01T09:30", "Asia/Jerusalm", None);
        assert_eq!(code, "time_zone_unknown");
        assert!(accepted.contains(&"Asia/Jerusalem".to_owned()), "{accepted:?}");
        assert!(
            refused("2026-12-01T09:30", "america/new_york", None).1.contains(&"America/New_York".to_owned())
        );
        assert!(refused("2026-12-01T09:30", "Jerusalem", None).1.contains(&"Asia/Jerusalem".to_owned()));
        assert_eq!(refused("2026-12-01T09:30", &"x".repeat(100_000), None).1, Vec::<String>::new());
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let findings = at("soon", "Mars/Base", Some("sometime")).expect_err("refused");
        let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["time_format", "time_zone_unknown", "fold_unknown"]);
    }
}
