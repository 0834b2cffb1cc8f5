//! The C entry of a helper, which spares it the start of Rust's runtime.
//!
//! That start reads /proc/self/maps and installs a handler that names a stack overflow: 0.1 ms of the 1.3 that CTDB
//! waits for the byte, measured. What else it does and we need is done here: standard descriptors that are closed are
//! opened, so that nothing of ours takes their numbers. A helper may use an ordinary `main` with
//! [`run()`](crate::run()) as well.

use std::ffi::{OsString, c_char, c_int};

use clap::Parser;

use crate::backend::Backend;
use crate::run::{Helper, run_with};
use crate::sys;

/// Makes `main` from what [`run()`](crate::run()) takes. The crate needs `#![no_main]`.
#[macro_export]
macro_rules! main {
    ($build:expr) => {
        /// By which `ctdb-mutex` knows a helper of this suite.
        // SAFETY: a section of notes, which nothing but readers of the file looks at; this is one note, whole.
        #[used]
        #[unsafe(link_section = ".note.ctdb-mutex")]
        static NOTE: $crate::note::Note = $crate::note::Note::new();

        /// The entry that the C library calls.
        // SAFETY: the one `main` of a program, with the signature that the C library calls it with.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        #[cfg_attr(test, allow(dead_code))] // The test harness brings a main() of its own.
        pub extern "C" fn main(count: ::std::ffi::c_int, words: *const *const ::std::ffi::c_char) -> ::std::ffi::c_int {
            $crate::enter(count, words, $build)
        }
    };
}

/// For [`main!`] alone: `run()` with the arguments of C's `main`.
#[doc(hidden)]
pub fn enter<A, B>(
    count: c_int,
    words: *const *const c_char,
    build: impl FnOnce(A) -> anyhow::Result<Helper<B>>,
) -> c_int
where
    A: Parser,
    B: Backend,
{
    sys::open_standard_descriptors();
    let arguments: Vec<OsString> = sys::arguments(count, words);
    c_int::from(run_with(arguments, build))
}
