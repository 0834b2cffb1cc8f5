//! Runs the checker over a model.

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::protocol::{Action, Helper};

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many different states were visited.
    pub states: usize,
    /// How many steps the longest of the runs has that lead to a state by the shortest way.
    pub steps: usize,
    /// Properties that do not hold, each with a run that ends where it fails.
    pub broken: Vec<(&'static str, Vec<Action>)>,
    /// What should be reached in some state, and is in none.
    pub unreached: Vec<&'static str>,
}

/// Visits every state, or all of those up to the first that breaks a property.
#[must_use]
pub fn prove(helper: Helper) -> Outcome {
    check(helper, HasDiscoveries::AnyFailures)
}

/// Looks for a state that breaks this property, and not much further. The run to it is a short one.
#[must_use]
pub fn find(helper: Helper, property: &'static str) -> Outcome {
    check(helper, HasDiscoveries::AnyOf([property].into()))
}

/// One thread and breadth first: so the same run is found every time.
fn check(helper: Helper, enough: HasDiscoveries) -> Outcome {
    let checker = helper.checker().finish_when(enough).spawn_bfs().join();
    let discoveries = checker.discoveries();
    let (mut broken, mut unreached) = (Vec::new(), Vec::new());
    for property in helper.properties() {
        match (property.expectation, discoveries.get(property.name)) {
            (Expectation::Sometimes, None) => unreached.push(property.name),
            (Expectation::Always | Expectation::Eventually, Some(path)) => {
                broken.push((property.name, path.clone().into_actions()));
            }
            _ => {}
        }
    }
    Outcome { states: checker.unique_state_count(), steps: checker.max_depth(), broken, unreached }
}
