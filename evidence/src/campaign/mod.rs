//! The campaign: nodes that take a lock again and again as CTDB does, faults drawn from a seed, and a checker that looks
//! for two who believed at once.
//!
//! | module | what is in it |
//! |---|---|
//! | [`stage`] | what a backend brings: its store, nodes, and what can be done to them |
//! | [`kind`] | the faults that are the same for every backend |
//! | [`schedule`] | which faults come when, drawn from a seed |
//! | [`dice`] | random numbers that are the same everywhere |
//! | [`parent`] | what stands in ctdbd's place |
//! | [`event`] | what happened, and when |
//! | [`belief`] | who believed when |
//! | [`checker`] | who believed at once with another, and whether anybody held |

pub mod belief;
pub mod checker;
pub mod dice;
pub mod event;
pub mod kind;
pub mod parent;
pub mod schedule;
pub mod stage;

use stage::Stage;

/// Sets up a backend's stage with so many nodes.
pub type NewStage = fn(nodes: usize) -> anyhow::Result<Box<dyn Stage>>;

/// The backends, by the name that the command line has for them.
#[must_use]
pub fn backends() -> Vec<(&'static str, NewStage)> {
    Vec::new()
}
