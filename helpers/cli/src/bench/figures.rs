//! Figures from measured values.

/// What was measured, in ascending order; never empty.
pub(super) struct Series(Vec<u64>);

impl Series {
    /// `None` of nothing.
    pub(super) fn of(values: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_unstable();
        (!values.is_empty()).then_some(Self(values))
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The value that `percent` of all do not exceed: one that was measured.
    pub(super) fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0[rank - 1]
    }

    pub(super) fn median(&self) -> u64 {
        self.percentile(50)
    }

    pub(super) fn min(&self) -> u64 {
        self.percentile(0)
    }

    pub(super) fn max(&self) -> u64 {
        self.percentile(100)
    }

    /// How many fall into each of `bins` parts of `low..=high`, each as many times as long as the one before: what takes
    /// ten times as long now and then would else leave all the others in one part.
    pub(super) fn histogram(&self, low: u64, high: u64, bins: usize) -> Vec<usize> {
        let mut counts = vec![0; bins];
        let (from, to) = (log(low), log(high));
        for &value in &self.0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and the number of bins"
            )]
            let bin = if to > from { ((log(value) - from) / (to - from) * float(bins as u64)) as usize } else { 0 };
            if let Some(count) = counts.get_mut(bin.min(bins.saturating_sub(1))) {
                *count += 1;
            }
        }
        counts
    }
}

/// The first median as a part of the second; `None` where that is nothing.
pub(super) fn ratio(first: &Series, second: &Series) -> Option<f64> {
    (second.median() > 0).then(|| float(first.median()) / float(second.median()))
}

/// As blocks of a height that shows how many; a few are never shown as none.
pub(super) fn bars(counts: &[usize]) -> String {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    counts.iter().map(|count| BLOCKS[(count * 8).div_ceil(most)]).collect()
}

fn log(value: u64) -> f64 {
    float(value.max(1)).ln()
}

#[expect(clippy::cast_precision_loss, reason = "measured values have no 52 bits")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::{Series, bars, ratio};

    fn series(values: impl IntoIterator<Item = u64>) -> Series {
        Series::of(values).unwrap_or(Series(vec![0]))
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let twenty = series((1..=20).rev());
        assert_eq!([0, 50, 95, 99, 100].map(|percent| twenty.percentile(percent)), [1, 10, 19, 20, 20]);
        let one = series([7]);
        assert_eq!((one.min(), one.median(), one.max(), one.count()), (7, 7, 7, 1));
        assert!(Series::of([]).is_none());
    }

    #[test]
    fn a_ratio_is_that_of_the_medians() {
        assert_eq!(ratio(&series([1, 2, 90]), &series([4, 4, 4])), Some(0.5));
        assert_eq!(ratio(&series([1]), &series([0])), None);
    }

    #[test]
    fn a_histogram_has_every_value_once() {
        let values = series([1000, 1000, 1100, 2000, 9999, 100_000]);
        for bins in [1, 2, 40] {
            assert_eq!(values.histogram(1000, 100_000, bins).iter().sum::<usize>(), values.count());
        }
        assert_eq!(values.histogram(1000, 100_000, 2), [5, 1]);
        assert_eq!(series([5, 5]).histogram(5, 5, 3), [2, 0, 0]);
    }

    #[test]
    fn a_few_are_not_none() {
        assert_eq!(bars(&[0, 1, 50, 100]), " ▁▄█");
        assert_eq!(bars(&[0, 0]), "  ");
    }
}
