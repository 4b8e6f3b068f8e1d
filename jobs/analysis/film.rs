//! How a film is looked through: where a scene changes and at even steps, so that of a short one about as much is seen as of
//! a long one, and of a long one its end as well as its beginning.

use std::time::Duration;

use super::review::Shot;

/// A film is looked at in so many places at least, where they are not nearer to each other than that.
const STEPS: u32 = 8;
/// What is nearer to another picture shows the same once more.
const LEAST_APART: Duration = Duration::from_millis(250);
/// The most pictures that are kept.
const MOST_SHOTS: usize = 16;

/// How a film is looked through: a picture wherever a scene changes, and at fixed steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cuts {
    /// The steps.
    pub every: Duration,
    /// What lies between two pictures at the least, wherever scenes change.
    pub apart: Duration,
    /// The most pictures that are kept, evenly out of all that are taken.
    pub most: usize,
    /// The widest picture, in pixels.
    pub width: u32,
}

impl Cuts {
    /// Those of a film of this length.
    pub fn of(length: Duration, width: u32) -> Self {
        let every = (length / STEPS).max(LEAST_APART);
        // where scenes change all the time, few enough are taken even so to come to its end
        let apart = (every / STEPS).max(LEAST_APART);
        Self { every, apart, most: MOST_SHOTS, width }
    }
}

/// What is seen and heard of a film.
#[derive(Debug, Clone)]
pub struct Film {
    /// Pictures, in the order of their times.
    pub shots: Vec<Shot>,
    /// Its sound, as MPEG-4 audio; none where it has none.
    pub sound: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ms: u64) -> Cuts {
        Cuts::of(Duration::from_millis(ms), 768)
    }

    #[test]
    fn a_film_is_looked_at_in_eight_places_however_short_unless_they_show_the_same() {
        for ms in [2_000, 6_000, 60_000, 3_600_000] {
            let every = of(ms).every;
            assert_eq!(every * STEPS, Duration::from_millis(ms));
        }
        for ms in [0, 40, 1_000, 1_999] {
            assert_eq!((of(ms).every, of(ms).apart), (LEAST_APART, LEAST_APART), "{ms}");
        }
    }

    #[test]
    fn the_end_of_a_film_is_come_to_wherever_its_scenes_change() {
        for ms in [1, 900, 2_000, 15_999, 16_000, 61_234, 7_200_000] {
            let cuts = of(ms);
            assert!(cuts.apart <= cuts.every && cuts.apart >= LEAST_APART, "{cuts:?}");
            let taken = Duration::from_millis(ms).as_nanos() / cuts.apart.as_nanos() + 1;
            assert!(taken <= 65, "{taken} pictures of {ms} ms");
        }
    }
}
