//! Running sums of a file's data, which can be put away in the middle of it and gone on with.

use sha2::{
    Digest, Sha256,
    digest::common::hazmat::{SerializableState, SerializedState},
};

use crate::zip::Crc;

/// CRC-32 and SHA-256 of what was taken in so far.
#[derive(Clone, Default)]
pub struct Sums {
    crc: Crc,
    sha: Sha256,
}

impl Sums {
    /// Takes more data in.
    pub fn update(&mut self, data: &[u8]) {
        self.crc.update(data);
        self.sha.update(data);
    }

    /// As they stand. What is put away has the last few bytes of the data in it.
    pub fn put_away(&self) -> Vec<u8> {
        let sha = SerializableState::serialize(&self.sha);
        [&self.crc.sum().to_le_bytes()[..], sha.as_slice()].concat()
    }

    /// What was put away; none: it was put away by a build that did so otherwise.
    pub fn taken_up(kept: &[u8]) -> Option<Self> {
        let (crc, sha) = kept.split_first_chunk::<4>()?;
        let state = SerializedState::<Sha256>::try_from(sha).ok()?;
        let sha = <Sha256 as SerializableState>::deserialize(&state).ok()?;
        Some(Self { crc: Crc::after(u32::from_le_bytes(*crc)), sha })
    }

    /// Of all that was taken in.
    pub fn end(self) -> (u32, [u8; 32]) {
        (self.crc.sum(), self.sha.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_that_were_put_away_anywhere_end_as_those_that_were_not() {
        let data: Vec<u8> = (0..1000_u32).map(|n| (n % 251).to_le_bytes()[0]).collect();
        let mut whole = Sums::default();
        whole.update(&data);
        let whole = whole.end();
        for cut in [0, 1, 63, 64, 65, 500, 999, 1000] {
            let mut sums = Sums::default();
            sums.update(&data[..cut]);
            let mut sums = Sums::taken_up(&sums.put_away()).expect("what was put away");
            sums.update(&data[cut..]);
            assert_eq!(sums.end(), whole, "{cut}");
        }
        for none in [&[0_u8; 0][..], &[0; 4], &[0; 9]] {
            assert!(Sums::taken_up(none).is_none());
        }
    }
}
