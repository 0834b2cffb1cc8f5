//! What a helper answered to `--status --json`, in words.

use std::time::{Duration, UNIX_EPOCH};

use mutex_core::escape;
use serde_json::Value;

use super::harmless::{assert_one_line, is_harmful};
use crate::holder::{add_lease_left, report_in_words};

/// Any JSON object is such an answer; what stands in it about holder and store harms nobody.
///
/// # Panics
/// Where it does.
pub fn check(data: &[u8]) {
    let Ok(Value::Object(mut report)) = serde_json::from_slice::<Value>(data) else { return };
    for now in [UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(1_800_000_000)] {
        add_lease_left(&mut report, now);
        let words = report_in_words(&report, now);
        let mut lines = words.split('\n');
        // The state is the helper's own word, and escaped when it is said.
        let state = report.get("state").and_then(Value::as_str).unwrap_or("unknown");
        if !state.contains('\n') {
            lines.next();
            assert_eq!(lines.clone().count(), 2, "{words:?}");
            // Escaping them once more changes nothing.
            lines.for_each(|line| assert!(!line.chars().any(is_harmful), "{line:?}"));
        }
        words.lines().for_each(|line| assert_one_line(&escape(line)));
        let left = report.get("holder").and_then(|holder| holder.get("lease_left_seconds")).and_then(Value::as_f64);
        assert!(left.is_none_or(f64::is_finite));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("answer", super::check);
    }
}
