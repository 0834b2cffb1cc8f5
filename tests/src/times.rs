//! The table of measured times that a suite prints.

use std::time::Duration;

/// Times of several runs of one thing, in ascending order.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl From<Vec<Duration>> for Times {
    fn from(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }
}

impl Times {
    fn row(&self) -> Option<String> {
        let times = [*self.0.first()?, percentile(&self.0, 50)?, *self.0.last()?];
        let [min, median, max] = times.map(|time| format!("{:.3}", time.as_secs_f64()));
        Some(format!("{min:>9}{median:>9}{max:>9}{:>6}", self.0.len()))
    }
}

/// The value that `percent` of all do not exceed; `None` where there is none.
#[must_use]
pub fn percentile<T: Copy>(ascending: &[T], percent: usize) -> Option<T> {
    let rank = (ascending.len() * percent).div_ceil(100).max(1);
    ascending.get(rank - 1).copied()
}

/// A table in seconds. Rows without a time are left out.
#[must_use]
pub fn table(title: &str, rows: &[(&str, Times)]) -> String {
    let rows: Vec<_> = rows.iter().filter_map(|(name, times)| Some((name, times.row()?))).collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = format!("{:>9}{:>9}{:>9}{:>6}  {title} (seconds)", "min", "median", "max", "runs");
    let lines: String = rows.iter().map(|(name, row)| format!("{row}  {name}\n")).collect();
    format!("{head}\n{lines}\n")
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<u32> = (1..=20).collect();
        assert_eq!([0, 50, 95, 100].map(|percent| percentile(&values, percent)), [1, 10, 19, 20].map(Some));
        assert_eq!(percentile::<u32>(&[], 50), None);
    }
}
