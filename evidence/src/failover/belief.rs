//! From who believed when to seconds. Pure arithmetic on what the watcher of CTDB's logs has seen.

use std::time::{Duration, SystemTime};

use mutex_tests::services::ctdb::watcher::Belief;
use serde::{Deserialize, Serialize};

/// What came of one fault. Seconds, counted from the fault; what had not come by the end of the watch has none.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Until a node took the lock anew: another one, or the same once more.
    pub leader_after: Option<f64>,
    /// Until the one that had it no longer believed: it was told of the loss, it let go, or it was dead.
    pub believed: Option<f64>,
    /// Whether the node that took it anew is the one that had it. Older records do not say.
    #[serde(default)]
    pub same_node: bool,
    /// In how many of the seconds two believed.
    pub both: f64,
}

impl Run {
    /// Of a fault at this moment, watched until that one.
    #[must_use]
    pub fn of(beliefs: &[Belief], fault: SystemTime, watched_until: SystemTime) -> Self {
        let until = |at: SystemTime| seconds(at.duration_since(fault).unwrap_or_default());
        let (before, after): (Vec<&Belief>, Vec<&Belief>) = beliefs.iter().partition(|belief| belief.from <= fault);
        let new = after.into_iter().min_by_key(|belief| belief.from);
        let leader_after = new.map(|new| until(new.from));
        let last = before.into_iter().max_by_key(|belief| belief.from);
        let same_node = last.zip(new).is_some_and(|(last, new)| last.node == new.node);
        let old = beliefs.iter().filter(|belief| belief.from <= fault && belief.to.is_none_or(|to| to > fault));
        // Nobody believing at the fault is the same as having stopped by then.
        let ends: Option<Vec<SystemTime>> = old.map(|belief| belief.to).collect();
        let believed = ends.map(|ends| ends.into_iter().max().map_or(0.0, until));
        Self { leader_after, believed, same_node, both: seconds(overlap(beliefs, fault, watched_until)) }
    }
}

/// For how long, between these moments, more than one believed.
fn overlap(beliefs: &[Belief], from: SystemTime, to: SystemTime) -> Duration {
    // +1 where one begins, -1 where it ends; of one moment the ends first.
    let mut steps: Vec<(SystemTime, i32)> = Vec::new();
    for belief in beliefs {
        let (begin, end) = (belief.from.max(from), belief.to.unwrap_or(to).min(to));
        if begin < end {
            steps.extend([(begin, 1), (end, -1)]);
        }
    }
    steps.sort_unstable();
    let (mut believing, mut since, mut all) = (0, from, Duration::ZERO);
    for (at, step) in steps {
        if believing > 1 {
            all += at.duration_since(since).unwrap_or_default();
        }
        believing += step;
        since = at;
    }
    all
}

/// To the millisecond: the death of a process is seen up to 5 ms late.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Of several runs the one in the middle and the worst; what never came is later than all that did. `None`: no runs, or
/// never.
#[must_use]
pub fn median_and_worst(seconds: &[Option<f64>]) -> [Option<f64>; 2] {
    let mut ascending: Vec<f64> = seconds.iter().map(|value| value.unwrap_or(f64::INFINITY)).collect();
    ascending.sort_unstable_by(f64::total_cmp);
    let middle = ascending.get(ascending.len().saturating_sub(1) / 2).copied();
    [middle, ascending.last().copied()].map(|value| value.filter(|value| value.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
    }

    fn belief(node: usize, from: f64, to: Option<f64>) -> Belief {
        Belief { node, from: at(from), to: to.map(at) }
    }

    fn run(beliefs: &[Belief]) -> Run {
        Run::of(beliefs, at(100.0), at(160.0))
    }

    #[test]
    fn one_after_the_other() {
        let run = run(&[belief(0, 1.0, Some(50.0)), belief(0, 60.0, Some(103.3)), belief(1, 109.25, None)]);
        assert_eq!(run, Run { leader_after: Some(9.25), believed: Some(3.3), same_node: false, both: 0.0 });
    }

    #[test]
    fn two_at_once_count_for_as_long_as_both_believe_and_after_the_fault_alone() {
        let beliefs = [belief(2, 80.0, Some(100.5)), belief(0, 60.0, Some(112.0)), belief(1, 109.0, None)];
        assert_eq!(run(&beliefs), Run { leader_after: Some(9.0), believed: Some(12.0), same_node: false, both: 3.5 });
        // Three are no more than two; one that never stops is counted until the end of the watch.
        let beliefs = [belief(0, 60.0, None), belief(1, 109.0, Some(120.0)), belief(2, 110.0, Some(115.0))];
        assert_eq!(run(&beliefs), Run { leader_after: Some(9.0), believed: None, same_node: false, both: 11.0 });
        let beliefs = [belief(0, 60.0, None), belief(1, 150.0, None)];
        assert_eq!(run(&beliefs), Run { leader_after: Some(50.0), believed: None, same_node: false, both: 10.0 });
    }

    #[test]
    fn who_stops_as_another_begins_is_not_with_it() {
        assert_eq!(run(&[belief(0, 60.0, Some(105.0)), belief(1, 105.0, None)]).both, 0.0);
    }

    #[test]
    fn what_does_not_come_has_no_seconds() {
        assert_eq!(
            run(&[belief(0, 60.0, None)]),
            Run { leader_after: None, believed: None, same_node: false, both: 0.0 }
        );
        assert_eq!(
            run(&[belief(0, 60.0, Some(108.0))]),
            Run { leader_after: None, believed: Some(8.0), same_node: false, both: 0.0 }
        );
    }

    #[test]
    fn the_node_that_had_it_may_take_it_again() {
        let taken_by = |node| run(&[belief(0, 60.0, Some(100.1)), belief(node, 101.0, None), belief(2, 130.0, None)]);
        assert!(taken_by(0).same_node);
        assert!(!taken_by(1).same_node);
    }

    #[test]
    fn never_is_the_worst_of_all() {
        assert_eq!(median_and_worst(&[Some(3.0), Some(1.0), Some(2.0)]), [Some(2.0), Some(3.0)]);
        assert_eq!(median_and_worst(&[Some(3.0), None, Some(2.0)]), [Some(3.0), None]);
        assert_eq!(median_and_worst(&[None, None, Some(2.0)]), [None, None]);
        // Of an even number a value that was measured, not a mean: the better of the two.
        assert_eq!(median_and_worst(&[Some(1.0), Some(2.0)]), [Some(1.0), Some(2.0)]);
        assert_eq!(median_and_worst(&[]), [None, None]);
    }
}
