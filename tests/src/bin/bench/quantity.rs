//! What is compared, and the limits.

use std::fmt;
use std::time::Duration;

use mutex_tests::times::percentile;

use crate::run::Sample;

/// Before `1` our helper looks once more (DESIGN 3), which theirs does not: the limit is for what is left.
const SECOND_LOOK: Duration = Duration::from_millis(50);

/// A row of the table.
pub(crate) struct Quantity {
    name: &'static str,
    unit: Unit,
    theirs: fn(&Sample) -> u64,
    ours: fn(&Sample) -> u64,
    /// Ours may be this part of theirs (issue 2, "Must hold" 3).
    limit: Option<f64>,
}

#[derive(Clone, Copy)]
enum Unit {
    Millis,
    Kib,
    Count,
}

impl Quantity {
    const fn same(name: &'static str, unit: Unit, of: fn(&Sample) -> u64, limit: Option<f64>) -> Self {
        Self { name, unit, theirs: of, ours: of, limit }
    }
}

/// In the order of the table.
pub(crate) const QUANTITIES: &[Quantity] = &[
    Quantity::same("free lock: start to 0", Unit::Millis, |sample| nanos(sample.taken), Some(0.25)),
    Quantity::same("contended: start to 1", Unit::Millis, |sample| nanos(sample.contended), None),
    Quantity {
        name: "... less our second look",
        unit: Unit::Millis,
        theirs: |sample| nanos(sample.contended),
        ours: |sample| nanos(sample.contended.saturating_sub(SECOND_LOOK)),
        limit: Some(0.25),
    },
    Quantity::same("SIGTERM to end of pipe", Unit::Millis, |sample| nanos(sample.pipe_ended), None),
    Quantity::same("SIGTERM to free lock", Unit::Millis, |sample| nanos(sample.lock_free), None),
    Quantity::same("memory (PSS), holding", Unit::Kib, |sample| sample.memory.pss_kib, Some(0.3)),
    Quantity::same("processes, holding", Unit::Count, |sample| sample.memory.processes as u64, None),
];

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Unit {
    fn show(self, value: u64) -> String {
        match self {
            Self::Millis => format!("{:.3} ms", Duration::from_nanos(value).as_secs_f64() * 1000.0),
            Self::Kib => format!("{value} KiB"),
            Self::Count => value.to_string(),
        }
    }
}

/// A quantity of both helpers.
pub(crate) struct Comparison {
    quantity: &'static Quantity,
    theirs: Spread,
    ours: Spread,
}

struct Spread {
    median: u64,
    p95: u64,
}

impl Spread {
    fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let at = |percent| percentile(&values, percent).unwrap_or_default();
        Self { median: at(50), p95: at(95) }
    }
}

impl Comparison {
    pub(crate) fn of(quantity: &'static Quantity, theirs: &[Sample], ours: &[Sample]) -> Self {
        Self {
            quantity,
            theirs: Spread::of(theirs.iter().map(quantity.theirs).collect()),
            ours: Spread::of(ours.iter().map(quantity.ours).collect()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio of two measured values")]
    fn ratio(&self) -> f64 {
        self.ours.median as f64 / self.theirs.median as f64
    }

    /// `None` where there is no limit.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let limit = self.quantity.limit?;
        let ratio = self.ratio();
        // Not `ratio > limit`: a ratio that is no number keeps no limit.
        Some(Verdict { name: self.quantity.name, ratio, limit, kept: ratio <= limit })
    }
}

/// Whether a limit is kept.
pub(crate) struct Verdict {
    name: &'static str,
    ratio: f64,
    limit: f64,
    pub(crate) kept: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.kept { "ok  " } else { "FAIL" };
        write!(out, "{word} {}: {:.3}x, limit {}x", self.name, self.ratio, self.limit)
    }
}

/// Medians, 95th percentiles, and the ratio of the medians.
pub(crate) fn table(comparisons: &[Comparison]) -> String {
    let head = ["", "theirs", "p95", "ours", "p95", "ratio"].map(str::to_owned);
    let rows = comparisons.iter().map(|comparison| {
        let show = |value| comparison.quantity.unit.show(value);
        let Comparison { quantity, theirs, ours } = comparison;
        let ratio = format!("{:.3}", comparison.ratio());
        [quantity.name.to_owned(), show(theirs.median), show(theirs.p95), show(ours.median), show(ours.p95), ratio]
    });
    let line = |[name, a, b, c, d, ratio]: [String; 6]| format!("{name:<26}{a:>12}{b:>12}{c:>12}{d:>12}{ratio:>9}\n");
    std::iter::once(head).chain(rows).map(line).collect()
}
