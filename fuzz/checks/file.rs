//! What the file helper reads: the line in the lock file, and the kernel's list of mounts.

#![allow(unreachable_pub)] // Public for the targets, which are other programs.

#[cfg(test)]
pub(crate) mod seeds;

pub mod holder_line;
pub mod mounts;
