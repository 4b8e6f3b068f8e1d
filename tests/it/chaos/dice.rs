//! Chance that repeats: the same seed throws the same, on every machine and with every version of every crate.

use std::time::Duration;

/// The generator known as `SplitMix64`.
pub struct Dice(u64);

/// Things to draw from, each with its weight.
pub type Weighted<'a, T> = &'a [(usize, T)];

impl Dice {
    /// Dice of a seed.
    pub fn of(seed: u64) -> Self {
        let mut dice = Self(seed);
        dice.any(); // seeds that follow each other begin far apart
        dice
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `most`.
    pub fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.any() % most as u64).expect("below a usize")
    }

    /// A number from `least` to `most`, both included.
    pub fn within(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// A span between two numbers of milliseconds.
    pub fn span(&mut self, least: usize, most: usize) -> Duration {
        Duration::from_millis(self.within(least, most) as u64)
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One of these, each as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, of: Weighted<T>) -> T {
        let mut left = self.below(of.iter().map(|(weight, _)| weight).sum());
        for (weight, one) in of {
            if left < *weight {
                return *one;
            }
            left -= weight;
        }
        unreachable!("the weights were added up")
    }
}

#[test]
fn a_seed_throws_the_same_again_and_another_seed_throws_otherwise() {
    let throw = |seed| {
        let mut dice = Dice::of(seed);
        (0..20).map(|_| dice.below(1000)).collect::<Vec<_>>()
    };
    assert_eq!(throw(7), throw(7));
    assert_ne!(throw(7), throw(8));
}
