//! Fuzz targets for everything that the suite reads and did not write a moment ago.
//!
//! A target is a check in `checks/`: a function over bytes that says what must be true of them, whatever they are. It is used
//! twice: here, by libFuzzer (`targets/`, `make fuzz`), and as a unit test of the crate that it is about, over `seeds/` and what
//! is next to them, with every `make test`. So a check cannot rot, and needs no nightly compiler to say so.
//!
//! Helpers are programs: nothing of theirs can be linked. The modules that read something are taken here by their path, as
//! they stand, and a check names them by `crate::`, which is this crate here and the helper there. So the product has no door
//! of its own for this, but in mutex-core: that one is linked, and its `fuzz` is there with `--cfg fuzzing` alone, which
//! `cargo fuzz` sets. Rejected: a library in each helper (its functions would be public, and the packages would have to know
//! it), and starting the programs (a thousandth of the speed).

#![allow(dead_code, unreachable_pub)] // Of a helper's module only what reads is used here.

#[cfg(fuzzing)]
pub use mutex_core::fuzz as core;
