//! The campaign: nodes that take a lock again and again as CTDB does, faults drawn from a seed, and a checker that looks
//! for two who believed at once.
//!
//! | module | what is in it |
//! |---|---|
//! | [`stage`] | what a backend brings: its store, nodes, and what can be done to them |
//! | [`kind`] | the faults that are the same for every backend |

pub mod kind;
pub mod stage;

use stage::Stage;

/// Sets up a backend's stage with so many nodes.
pub type NewStage = fn(nodes: usize) -> anyhow::Result<Box<dyn Stage>>;

/// The backends, by the name that the command line has for them.
#[must_use]
pub fn backends() -> Vec<(&'static str, NewStage)> {
    Vec::new()
}
