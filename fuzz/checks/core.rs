//! What mutex-core reads: what its two processes say to each other, tokens, and what stores tell of holders.
//!
//! Part of mutex-core where it is tested or fuzzed (`crate` is that), as `wire` and `report` are private to it.

#![allow(unreachable_pub)] // Public for the targets, which are other programs.

mod harmless;
#[cfg(test)]
pub(crate) mod seeds;

pub mod status;
pub mod token;
pub mod wire;
