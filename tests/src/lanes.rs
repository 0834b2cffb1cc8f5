//! Trials in lanes: those of one kind one after the other, some kinds side by side.
//!
//! libtest knows no kinds: it hands out the trials in their order, to as many threads as it is told. So each trial gets a
//! thread, and waits there for its turn. A trial that is filtered out is dropped, and its turn with it: it keeps nobody
//! waiting.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A trial's place: its kind's number, and its own in that kind.
pub type Place = (usize, usize);

/// Who may go.
pub struct Lanes {
    lanes: usize,
    /// The trials that are not over yet.
    left: Mutex<BTreeSet<Place>>,
    one_over: Condvar,
}

/// A trial's turn, which is over when this value ends.
pub struct Turn {
    lanes: Arc<Lanes>,
    place: Place,
}

impl Lanes {
    /// So many kinds run side by side.
    #[must_use]
    pub fn new(lanes: usize) -> Arc<Self> {
        Arc::new(Self { lanes, left: Mutex::default(), one_over: Condvar::new() })
    }

    /// The turn of the trial at this place. Those of all trials are there before the first one waits.
    #[must_use]
    pub fn turn(self: &Arc<Self>, place: Place) -> Turn {
        self.left().insert(place);
        Turn { lanes: Arc::clone(self), place }
    }

    fn left(&self) -> MutexGuard<'_, BTreeSet<Place>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Waits until it has come.
    pub fn wait(&self) {
        let waits = |left: &mut BTreeSet<Place>| !may_go(left, self.place, self.lanes.lanes);
        drop(self.lanes.one_over.wait_while(self.lanes.left(), waits).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.lanes.left().remove(&self.place);
        self.lanes.one_over.notify_all();
    }
}

/// The first trial of a kind may go, and the kinds that are not over are served in their order.
fn may_go(left: &BTreeSet<Place>, place: Place, lanes: usize) -> bool {
    let before: BTreeSet<usize> = left.range(..place).map(|&(kind, _)| kind).collect();
    !before.contains(&place.0) && before.len() < lanes
}

#[cfg(test)]
mod tests {
    use super::{Lanes, Place, may_go};
    use std::collections::BTreeSet;

    /// Those that may go.
    fn going(left: &[Place], lanes: usize) -> Vec<Place> {
        let all: BTreeSet<Place> = left.iter().copied().collect();
        left.iter().copied().filter(|&place| may_go(&all, place, lanes)).collect()
    }

    #[test]
    fn each_lane_has_one_kind_and_its_first_trial_goes() {
        let all = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)];
        assert_eq!(going(&all, 1), [(0, 0)]);
        assert_eq!(going(&all, 2), [(0, 0), (1, 0)]);
        // The first of the second kind is over: its lane stays with it.
        assert_eq!(going(&[(0, 0), (0, 1), (1, 1), (2, 0)], 2), [(0, 0), (1, 1)]);
        assert_eq!(going(&[(0, 1), (2, 0)], 2), [(0, 1), (2, 0)]);
    }

    #[test]
    fn who_is_filtered_out_keeps_nobody_waiting() {
        let lanes = Lanes::new(1);
        let [first, second, third] = [(0, 0), (0, 1), (1, 0)].map(|place| lanes.turn(place));
        drop((first, second));
        third.wait();
    }
}
