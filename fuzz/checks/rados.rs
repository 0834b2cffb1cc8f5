//! What the RADOS helper reads: the object class `lock`, ceph-mgr's service map, and tokens.

#![allow(unreachable_pub)] // Public for the targets, which are other programs.

#[cfg(test)]
pub(crate) mod seeds;

pub mod rados_holders;
pub mod service_dump;
