//! The numbers of one snapshot in a few bytes: of each metric its number and its value, both as short as they are small.
//!
//! A number takes seven bits a byte, the lowest first, as in Protocol Buffers. A value is 0 for a gap, else one more
//! than its zigzag, so that small values of either sign are short.

/// Packs what was counted. Sorted by metric, the same is always the same bytes.
pub fn pack(points: &[(u16, Option<i64>)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(points.len() * 4);
    for (metric, value) in points {
        put(&mut bytes, u128::from(*metric));
        put(&mut bytes, value.map_or(0, |value| u128::from(zigzag(value)) + 1));
    }
    bytes
}

/// Unpacks it, calling `each` with every metric and its value. False: these bytes were never packed.
pub fn unpack(bytes: &[u8], mut each: impl FnMut(u16, Option<i64>)) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (Some(metric), Some(value)) = (take(&mut rest), take(&mut rest)) else { return false };
        let Ok(metric) = u16::try_from(metric) else { return false };
        let value = match value {
            0 => None,
            more => match u64::try_from(more - 1) {
                Ok(zigzag) => Some(unzigzag(zigzag)),
                Err(_) => return false,
            },
        };
        each(metric, value);
    }
    true
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

    fn unpacked(bytes: &[u8]) -> Option<Vec<(u16, Option<i64>)>> {
        let mut points = Vec::new();
        unpack(bytes, |metric, value| points.push((metric, value))).then_some(points)
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_as_it_went_in(
            points in proptest::collection::vec((any::<u16>(), any::<Option<i64>>()), 0..40),
        ) {
            prop_assert_eq!(unpacked(&pack(&points)), Some(points));
        }

        #[test]
        fn whatever_bytes_there_are_nothing_falls(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            unpacked(&bytes);
        }
    }

    #[test]
    fn a_gap_is_no_nought_and_extremes_survive() {
        let points =
            vec![(1, None), (2, Some(0)), (3, Some(i64::MIN)), (4, Some(i64::MAX)), (u16::MAX, Some(-1))];
        assert_eq!(unpacked(&pack(&points)), Some(points));
        assert_eq!(unpacked(&[]), Some(vec![]));
    }

    #[test]
    fn twelve_numbers_of_a_good_post_take_less_than_fifty_bytes() {
        let points: Vec<_> = (40..52).map(|metric| (metric, Some(i64::from(metric) * 2_000))).collect();
        assert!(pack(&points).len() <= 50, "{}", pack(&points).len());
    }

    #[test]
    fn what_ends_amid_a_number_is_refused() {
        assert_eq!(unpacked(&[0x81]), None);
        assert_eq!(unpacked(&[1]), None);
        assert_eq!(unpacked(&[0xff; 24]), None);
    }
}
