//! What the etcd helper reads: its file, the members' URLs, and what stands in the lock's keys.

#![allow(unreachable_pub)] // Public for the targets, which are other programs.

mod harmless;
#[cfg(test)]
pub(crate) mod seeds;

pub mod endpoints;
pub mod etcd_config;
pub mod etcd_key;
