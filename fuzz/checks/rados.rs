//! What the RADOS helper reads: the object class `lock`, ceph-mgr's service map, and tokens.

// Public for the targets, which are other programs; and a check that fails is to panic.
#![allow(unreachable_pub, clippy::expect_used, clippy::unwrap_used)]

#[cfg(test)]
pub(crate) mod seeds;

pub mod rados_holders;
pub mod service_dump;
