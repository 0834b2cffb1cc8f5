//! Runs the checker over a model.

use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::protocol::Helper;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many different states were visited.
    pub states: usize,
    /// The longest run among the shortest ones to each state.
    pub steps: usize,
    /// How long it took.
    pub time: Duration,
    /// Properties that do not hold, each with a run that ends where it fails.
    pub broken: Vec<(&'static str, String)>,
    /// What should be reached in some state, and is in none.
    pub unreached: Vec<&'static str>,
}

/// Visits every state, or all of those up to the first that breaks a property. On one thread the run to it is a shortest
/// one.
#[must_use]
pub fn check(helper: Helper) -> Outcome {
    let start = Instant::now();
    let checker = helper.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let time = start.elapsed();
    let discoveries = checker.discoveries();
    let (mut broken, mut unreached) = (Vec::new(), Vec::new());
    for property in helper.properties() {
        match (property.expectation, discoveries.get(property.name)) {
            (Expectation::Sometimes, None) => unreached.push(property.name),
            (Expectation::Always | Expectation::Eventually, Some(path)) => {
                let run = path.clone().into_actions();
                let run: Vec<_> = run.iter().map(|action| format!("{action:?}")).collect();
                broken.push((property.name, run.join(", ")));
            }
            _ => {}
        }
    }
    Outcome { states: checker.unique_state_count(), steps: checker.max_depth(), time, broken, unreached }
}
