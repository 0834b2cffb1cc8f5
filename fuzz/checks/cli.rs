//! What the operator's tool reads: ctdb.conf, LOCK, what a helper answered, and programs that may be helpers.

// Public for the targets, which are other programs; and a check that fails is to panic.
#![allow(unreachable_pub, clippy::expect_used, clippy::unwrap_used)]

mod harmless;
#[cfg(test)]
pub(crate) mod seeds;

pub mod answer;
pub mod ctdb_conf;
// It starts a program of the Debian package ctdb.
#[cfg(not(test))]
pub mod ctdb_conf_oracle;
pub mod lock;
