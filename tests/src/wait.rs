//! Bounded waiting for a condition.

use std::time::{Duration, Instant};

/// Pause between two looks at a condition: short beside every time the promises name.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks at `condition` until it answers `Some`, and returns that with the time it took.
///
/// # Errors
/// `what` and the limit, when `limit` has passed without an answer.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> anyhow::Result<(T, Duration)> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Ok((value, start.elapsed()));
        }
        anyhow::ensure!(start.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}
