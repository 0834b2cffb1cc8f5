//! What the file helper reads: the line in the lock file, and the kernel's list of mounts.

// Public for the targets, which are other programs; and a check that fails is to panic.
#![allow(unreachable_pub, clippy::expect_used, clippy::unwrap_used)]

#[cfg(test)]
pub(crate) mod seeds;

pub mod holder_line;
pub mod mounts;
