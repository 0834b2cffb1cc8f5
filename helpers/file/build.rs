//! Links the unwinder into the binary where the compiler has it as a static library.
//!
//! Rust's standard library refers to it even though nothing here unwinds (`panic = "abort"`), and else `libgcc_s.so.1`
//! is loaded at each start: an eighth of the time to the byte (`make bench`). Without the static library the binary
//! is the same, only slower to start. The library's licence has the GCC Runtime Library Exception: ours stays as it is.

// It talks to cargo.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::process::Command;

const LIBRARY: &str = "libgcc_eh.a";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    if is("CARGO_CFG_TARGET_ENV", "gnu") {
        if let Some(directory) = directory_of_the_unwinder() {
            println!("cargo::rustc-link-search=native={directory}");
            // Whole, for a linker that looks into an archive only for what is missing by then.
            println!("cargo::rustc-link-lib=static:+whole-archive,-bundle=gcc_eh");
        }
    }
}

/// Asks the compiler that links for the target; it answers with a bare name where it has no such file.
fn directory_of_the_unwinder() -> Option<String> {
    let native = std::env::var("HOST").is_ok_and(|host| is("TARGET", &host));
    let linker = std::env::var("RUSTC_LINKER").ok().or(native.then(|| "cc".to_owned()))?;
    let answer = Command::new(linker).arg(format!("-print-file-name={LIBRARY}")).output().ok()?;
    let path = String::from_utf8(answer.stdout).ok()?;
    let directory = Path::new(path.trim()).parent()?;
    directory.is_absolute().then(|| directory.display().to_string())
}

fn is(variable: &str, value: &str) -> bool {
    std::env::var(variable).is_ok_and(|found| found == value)
}
