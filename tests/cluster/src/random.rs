//! Random numbers that a seed repeats.

use std::hash::{BuildHasher, RandomState};

/// A small generator (splitmix64): chance enough to vary a test, and no dependency.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same numbers again, for the same seed.
    pub fn of_seed(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A seed of its own for each run.
    pub fn new_seed() -> u64 {
        RandomState::new().hash_one(0)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}
