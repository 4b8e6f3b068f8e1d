//! What one look told, in a few bytes: of each metric its number and its value, both as short as they are small.
//!
//! A number takes seven bits a byte, the lowest first, as in Protocol Buffers. A value is 0 for a gap, else one more
//! than its zigzag, so that small values of either sign are short. What is about a day stands behind the day's end: a 0, which
//! is no metric's number, and its seconds.

use chrono::{DateTime, Utc};

/// What stands before the end of a day.
const DAY: u128 = 0;

/// What was told of a metric: the end of the day that it is about, or none; its number; its value, or a gap.
pub type Told = (Option<DateTime<Utc>>, u16, Option<i64>);

/// Packs what was told. What is about the same span stands together; sorted, the same is always the same bytes.
pub fn pack(told: &[Told]) -> Vec<u8> {
    let (mut bytes, mut within) = (Vec::with_capacity(told.len() * 4), None);
    for (ends_at, metric, value) in told {
        if *ends_at != within {
            put(&mut bytes, DAY);
            // before 1970 nothing was counted; all time again is the day that never was
            let seconds = ends_at.map_or(0, |end| end.timestamp().max(1));
            put(&mut bytes, u128::from(seconds.unsigned_abs()));
            within = *ends_at;
        }
        put(&mut bytes, u128::from(*metric));
        put(&mut bytes, value.map_or(0, |value| u128::from(zigzag(value)) + 1));
    }
    bytes
}

/// Unpacks it, calling `each` with all that was told. False: these bytes were never packed.
pub fn unpack(bytes: &[u8], mut each: impl FnMut(Told)) -> bool {
    let (mut rest, mut within) = (bytes, None);
    while !rest.is_empty() {
        let (Some(metric), Some(value)) = (take(&mut rest), take(&mut rest)) else { return false };
        if metric == DAY {
            let Ok(seconds) = i64::try_from(value) else { return false };
            within = if seconds == 0 { None } else { DateTime::from_timestamp(seconds, 0) };
            continue;
        }
        let Ok(metric) = u16::try_from(metric) else { return false };
        let value = match value {
            0 => None,
            more => match u64::try_from(more - 1) {
                Ok(zigzag) => Some(unzigzag(zigzag)),
                Err(_) => return false,
            },
        };
        each((within, metric, value));
    }
    true
}

/// What is of all time.
pub fn whole(metric: u16, value: Option<i64>) -> Told {
    (None, metric, value)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

fn put(bytes: &mut Vec<u8>, mut number: u128) {
    while number > 0x7f {
        bytes.push(low(number) | 0x80);
        number >>= 7;
    }
    bytes.push(low(number));
}

fn low(number: u128) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or_default()
}

fn take(rest: &mut &[u8]) -> Option<u128> {
    let (mut number, mut shift) = (0_u128, 0);
    loop {
        let (byte, others) = rest.split_first()?;
        *rest = others;
        // ten bytes hold any of them
        if shift > 63 {
            return None;
        }
        number |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unpacked(bytes: &[u8]) -> Option<Vec<Told>> {
        let mut points = Vec::new();
        unpack(bytes, |told| points.push(told)).then_some(points)
    }

    fn end(hours: Option<u32>) -> Option<DateTime<Utc>> {
        hours.map(|hours| DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(i64::from(hours) + 1))
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_as_it_went_in(
            told in proptest::collection::vec((proptest::option::of(0_u32..1_000_000), 1..=u16::MAX, any::<Option<i64>>()), 0..40),
        ) {
            let told: Vec<Told> = told.into_iter().map(|(hours, id, value)| (end(hours), id, value)).collect();
            prop_assert_eq!(unpacked(&pack(&told)), Some(told));
        }

        #[test]
        fn whatever_bytes_there_are_nothing_falls(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            unpacked(&bytes);
        }
    }

    #[test]
    fn a_gap_is_no_nought_and_extremes_survive() {
        let points =
            [(1, None), (2, Some(0)), (3, Some(i64::MIN)), (4, Some(i64::MAX)), (u16::MAX, Some(-1))];
        let points: Vec<_> = points.into_iter().map(|(metric, value)| whole(metric, value)).collect();
        assert_eq!(unpacked(&pack(&points)), Some(points));
        assert_eq!(unpacked(&[]), Some(vec![]));
    }

    #[test]
    fn twelve_numbers_of_a_good_post_take_less_than_fifty_bytes() {
        let points: Vec<_> = (40..52).map(|metric| whole(metric, Some(i64::from(metric) * 2_000))).collect();
        assert!(pack(&points).len() <= 50, "{}", pack(&points).len());
    }

    #[test]
    fn what_ends_amid_a_number_is_refused() {
        assert_eq!(unpacked(&[0x81]), None);
        assert_eq!(unpacked(&[1]), None);
        assert_eq!(unpacked(&[0xff; 24]), None);
    }
}
