//! Zones and their clocks: names, and the wall times that do not exist.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

/// No zone's clock jumps further.
pub const WIDEST_JUMP: TimeDelta = TimeDelta::hours(26);

/// A jump forward over a wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The last second on the wall before the jump.
    pub before: NaiveDateTime,
    /// The first wall time after it.
    pub after: NaiveDateTime,
    /// The moment of the jump, which is the first that is valid again.
    pub end: DateTime<Utc>,
}

/// The jump over a wall time that does not exist in this zone; `None` only at the ends of the calendar.
pub fn gap(zone: Tz, wall: NaiveDateTime) -> Option<Gap> {
    let at = |second: i64| DateTime::from_timestamp(second, 0);
    let local = |second: i64| at(second).map(|at| at.with_timezone(&zone).naive_local());
    let middle = wall.and_utc();
    let mut below = middle.checked_sub_signed(WIDEST_JUMP)?.timestamp();
    let mut above = middle.checked_add_signed(WIDEST_JUMP)?.timestamp();
    while above - below > 1 {
        let half = below.midpoint(above);
        if local(half)? <= wall { below = half } else { above = half }
    }
    Some(Gap { before: local(below)?, after: local(above)?, end: at(above)? })
}

/// The zone of that name.
///
/// # Errors
/// There is none; the names nearest to it, at most three.
pub fn named(name: &str) -> Result<Tz, Vec<&'static str>> {
    name.parse().map_err(|_| like(name))
}

fn like(wrong: &str) -> Vec<&'static str> {
    let wrong: String = wrong.to_lowercase().replace(' ', "_").chars().take(40).collect();
    let city = wrong.rsplit('/').next().unwrap_or_default();
    let mut near: Vec<(usize, &'static str)> = TZ_VARIANTS
        .iter()
        .map(|zone| {
            let name = zone.name().to_lowercase();
            let own_city = name.rsplit('/').next().unwrap_or_default();
            (edits(&wrong, &name).min(edits(city, own_city) + 1), zone.name())
        })
        .collect();
    near.sort_unstable();
    near.into_iter().filter(|(edits, _)| *edits <= 6).take(3).map(|(_, name)| name).collect()
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let best = (row[j] + 1).min(row[j + 1] + 1).min(corner + usize::from(x != *y));
            corner = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}
