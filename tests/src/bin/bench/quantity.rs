//! What is compared, and the limits.

use std::fmt;
use std::time::Duration;

use mutex_tests::times::percentile;

use crate::pair::Limits;
use crate::run::Sample;

/// Before `1` our helper looks once more (DESIGN 3), which theirs does not: the limit is for what is left. Counted from
/// the start of the first look.
const SECOND_LOOK: Duration = Duration::from_millis(50);

/// A row of the table.
pub(crate) struct Quantity {
    name: &'static str,
    unit: Unit,
    theirs: Value,
    ours: Value,
    /// Ours may be this part of theirs.
    limit: Option<f64>,
}

/// `None` where it was not measured.
type Value = fn(&Sample) -> Option<u64>;

#[derive(Clone, Copy)]
enum Unit {
    Millis,
    Kib,
    Count,
}

impl Quantity {
    const fn same(name: &'static str, unit: Unit, of: Value, limit: Option<f64>) -> Self {
        Self { name, unit, theirs: of, ours: of, limit }
    }
}

/// In the order of the table.
pub(crate) fn quantities(limits: Limits) -> impl Iterator<Item = Quantity> {
    use Unit::{Count, Kib, Millis};
    let less_second_look = |limit| Quantity {
        name: "... less our second look",
        unit: Millis,
        theirs: |sample| sample.contended.and_then(nanos),
        ours: |sample| nanos(sample.contended?.saturating_sub(SECOND_LOOK)),
        limit: Some(limit),
    };
    let all = [
        Some(Quantity::same("free lock: start to held", Millis, |sample| nanos(sample.taken), Some(limits.taken))),
        Some(Quantity::same("contended: start to 1", Millis, |sample| sample.contended.and_then(nanos), None)),
        limits.contended.map(less_second_look),
        Some(Quantity::same("SIGTERM to end of pipe", Millis, |sample| nanos(sample.pipe_ended), None)),
        Some(Quantity::same("SIGTERM to free lock", Millis, |sample| sample.lock_free.and_then(nanos), None)),
        Some(Quantity::same("memory (PSS), holding", Kib, |sample| Some(sample.memory.pss_kib), Some(limits.memory))),
        Some(Quantity::same("processes, holding", Count, |sample| u64::try_from(sample.memory.processes).ok(), None)),
    ];
    all.into_iter().flatten()
}

fn nanos(time: Duration) -> Option<u64> {
    u64::try_from(time.as_nanos()).ok()
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

/// A quantity of both programs.
pub(crate) struct Comparison {
    quantity: Quantity,
    theirs: Spread,
    ours: Spread,
}

struct Spread {
    median: u64,
    p95: u64,
}

impl Spread {
    fn of(samples: &[Sample], value: Value) -> Option<Self> {
        let mut values: Vec<_> = samples.iter().filter_map(value).collect();
        values.sort_unstable();
        Some(Self { median: percentile(&values, 50)?, p95: percentile(&values, 95)? })
    }
}

impl Comparison {
    /// `None` where the quantity was not measured.
    pub(crate) fn of(quantity: Quantity, theirs: &[Sample], ours: &[Sample]) -> Option<Self> {
        let (theirs, ours) = (Spread::of(theirs, quantity.theirs)?, Spread::of(ours, quantity.ours)?);
        Some(Self { quantity, theirs, ours })
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
