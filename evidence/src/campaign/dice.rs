//! Random numbers from a seed, the same on every machine and with every version of every crate: a seed that is printed
//! with a violation must draw the same schedule next year. `SplitMix64`; the constants are those of its authors.

use std::time::Duration;

/// A sequence of numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of this seed, for this purpose: two purposes draw independently of each other.
    #[must_use]
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut dice = Self(seed ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03));
        dice.number();
        dice
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number less than `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        // The bias is that of 64 bits: none that anybody could measure here.
        self.number().checked_rem(end as u64).map_or(0, |rest| usize::try_from(rest).unwrap_or(0))
    }

    /// Whether a thing of so many percent comes to pass.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A time between these two, the second excluded.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let room = u64::try_from(to.saturating_sub(from).as_nanos()).unwrap_or(u64::MAX);
        from + Duration::from_nanos(self.number().checked_rem(room).unwrap_or(0))
    }

    /// In an order of its own.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_everywhere() {
        let mut dice = Dice::new(1, 2);
        let drawn: Vec<usize> = (0..8).map(|_| dice.below(100)).collect();
        let mut again = Dice::new(1, 2);
        assert_eq!(drawn, (0..8).map(|_| again.below(100)).collect::<Vec<_>>());
        let mut other = Dice::new(1, 3);
        assert_ne!(drawn, (0..8).map(|_| other.below(100)).collect::<Vec<_>>());
    }

    #[test]
    fn every_number_below_the_end_comes_and_no_other() {
        let mut dice = Dice::new(7, 7);
        let mut seen = [0; 6];
        (0..600).for_each(|_| seen[dice.below(6)] += 1);
        assert!(seen.iter().all(|&n| n > 60), "{seen:?}");
        assert_eq!(dice.below(0), 0);
        let (from, to) = (Duration::from_millis(5), Duration::from_millis(7));
        assert!((0..100).map(|_| dice.between(from, to)).all(|time| from <= time && time < to));
        assert_eq!(dice.between(from, from), from);
    }

    #[test]
    fn a_shuffle_keeps_all() {
        let mut all: Vec<u8> = (0..20).collect();
        Dice::new(3, 0).shuffle(&mut all);
        assert_ne!(all, (0..20).collect::<Vec<u8>>());
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<u8>>());
    }
}
