//! What the etcd helper reads: its file, the members' URLs, and what stands in the lock's keys.

// Public for the targets, which are other programs; and a check that fails is to panic.
#![allow(unreachable_pub, clippy::expect_used, clippy::unwrap_used)]

mod harmless;
#[cfg(test)]
pub(crate) mod seeds;

pub mod endpoints;
pub mod etcd_config;
pub mod etcd_key;
