//! Whether a figure that was looked at again and again stays the same.
//!
//! The looks of a warm-up are left out, and how many those are is said by whoever looks. The others are parted into quarters, in their order. The figure is flat where the median of the last quarter is not above that of the
//! first by more than the noise: the spread that the looks of the first quarter have among themselves (from their 5th to their
//! 95th percentile), or the least step in which the figure can change, whichever is more.
//!
//! Medians of quarters, since one look at a wrong moment must not decide; the first quarter's own spread, since that is
//! what the figure does without having grown. A leak of one step in each of three quarters shows, and so the rule comes with
//! what it would have seen: noise over the events between the two quarters. Rejected: a test of the trend (Mann and Kendall's),
//! which finds a single page in an hour significant, and the line of least squares, which one look bends.

use mutex_tests::times::percentile;
use serde::{Deserialize, Serialize};

/// A figure's course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// The median of the first quarter.
    pub first: u64,
    /// That of the last.
    pub last: u64,
    /// By how much the last may be above the first.
    pub noise: u64,
    /// How many looks there were.
    pub looks: usize,
}

impl Course {
    /// Of these looks, in their order, without so many of a warm-up; `None` where four quarters need more.
    #[must_use]
    pub fn of(looks: &[u64], warm_up: usize, least_step: u64) -> Option<Self> {
        let warm = looks.get(warm_up..)?;
        let quarter = warm.len() / 4;
        let (first, last) = (sorted(warm.get(..quarter)?), sorted(warm.get(warm.len() - quarter..)?));
        let spread = percentile(&first, 95)? - percentile(&first, 5)?;
        Some(Self {
            first: percentile(&first, 50)?,
            last: percentile(&last, 50)?,
            noise: spread.max(least_step),
            looks: warm.len(),
        })
    }

    /// Whether it has not grown.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.last <= self.first + self.noise
    }

    /// The growth for each of so many events, from the first look after the warm-up to the last, that would have shown: the
    /// two quarters' middles are three quarters of them apart.
    #[must_use]
    pub fn would_show(&self, events: f64) -> f64 {
        self.noise as f64 / (0.75 * events)
    }
}

fn sorted(looks: &[u64]) -> Vec<u64> {
    let mut looks = looks.to_vec();
    looks.sort_unstable();
    looks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_flat_and_so_is_what_only_warms_up() {
        assert!(Course::of(&[7; 100], 0, 1).unwrap().is_flat());
        let warms: Vec<u64> = (0..100).map(|look| 100.min(look * 20)).collect();
        assert_eq!(Course::of(&warms, 10, 1), Some(Course { first: 100, last: 100, noise: 1, looks: 90 }));
    }

    #[test]
    fn noise_is_no_growth() {
        let noisy: Vec<u64> = (0..200).map(|look| 100 + look * 7919 % 23).collect();
        let course = Course::of(&noisy, 20, 1).unwrap();
        assert!(course.is_flat() && course.noise < 23, "{course:?}");
        let one_peak: Vec<u64> = (0..200).map(|look| if look == 190 { 9000 } else { 100 }).collect();
        assert!(Course::of(&one_peak, 20, 1).unwrap().is_flat());
    }

    #[test]
    fn a_leak_shows_within_the_noise_too() {
        let leak: Vec<u64> = (0..200).map(|look| 100 + look * 7919 % 23 + look / 4).collect();
        assert!(!Course::of(&leak, 20, 1).unwrap().is_flat());
        // A step of one in each quarter.
        let steps: Vec<u64> = (0..200).map(|look| look / 50).collect();
        assert!(!Course::of(&steps, 0, 1).unwrap().is_flat());
    }

    #[test]
    fn too_few_looks_say_nothing() {
        assert_eq!(Course::of(&[], 0, 1), None);
        assert_eq!(Course::of(&[1, 2, 3], 0, 1), None);
        assert_eq!(Course::of(&[1; 9], 6, 1), None);
        assert_eq!(Course::of(&[1; 9], 10, 1), None);
    }

    #[test]
    fn what_would_have_shown() {
        let course = Course { first: 100, last: 100, noise: 27, looks: 100 };
        assert!((course.would_show(36.0) - 1.0).abs() < 1e-9);
    }
}
