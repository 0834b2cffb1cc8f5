//! x
pub mod check;
pub mod fault;
mod guard;
pub mod keeper;
pub mod property;
pub mod protocol;
pub mod rules;
pub mod state;
mod store;
pub mod supervisor;
pub mod times;
