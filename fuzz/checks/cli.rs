//! What the operator's tool reads: ctdb.conf, LOCK, what a helper answered, and programs that may be helpers.

#![allow(unreachable_pub)] // Public for the targets, which are other programs.

mod harmless;
#[cfg(test)]
pub(crate) mod seeds;

pub mod answer;
pub mod ctdb_conf;
pub mod ctdb_conf_oracle;
pub mod lock;
