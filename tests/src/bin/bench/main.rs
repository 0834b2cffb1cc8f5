//! `make bench`: the file helper beside the one of the distribution, in the same run.
//!
//! The runs alternate, so that both have the same machine at the same time, and what is compared are medians. Both are
//! started with the same call, on lock files in the same directory. Nothing but the limits is written down here.

mod lock_file;
mod memory;
mod quantity;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use mutex_tests::process::programs;

use lock_file::LockFile;
use quantity::{Comparison, QUANTITIES};
use run::{Sample, run};

/// Enough for a median that a busy machine does not move (issue 2 asks for 50).
const RUNS: usize = 50;

/// Runs before those that count: they load the programs into the page cache.
const WARM_UP: usize = 3;

/// A helper and its samples.
struct Side {
    program: PathBuf,
    samples: Vec<Sample>,
}

fn main() -> ExitCode {
    match bench() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every limit is kept.
fn bench() -> anyhow::Result<bool> {
    let runs = runs()?;
    let [mut theirs, mut ours] = [
        programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?,
        programs::helper("ctdb_mutex_file_helper")?,
    ]
    .map(|program| Side { program, samples: Vec::with_capacity(runs) });
    let dir = tempfile::Builder::new().prefix("mutex-bench-").tempdir().context("make a directory")?;
    let busy = LockFile::locked(&dir.path().join("busy"))?;

    for number in 0..WARM_UP + runs {
        let free = LockFile::new(&dir.path().join(format!("free-{number}")))?;
        let mut sides = [&mut theirs, &mut ours];
        if number % 2 == 1 {
            sides.reverse();
        }
        for side in sides {
            let sample = run(&side.program, &free, &busy).with_context(|| side.program.display().to_string())?;
            if number >= WARM_UP {
                side.samples.push(sample);
            }
        }
    }

    println!("theirs: {}\nours:   {}", theirs.program.display(), ours.program.display());
    println!("{runs} runs each, alternating, after {WARM_UP} to warm up\n");
    let comparisons: Vec<_> =
        QUANTITIES.iter().map(|quantity| Comparison::of(quantity, &theirs.samples, &ours.samples)).collect();
    print!("{}", quantity::table(&comparisons));
    if memory::is_shared_with_ctdbd() {
        println!(
            "\nA ctdbd runs here, with which theirs shares libraries: the limit for memory is for a machine without."
        );
    }
    if cfg!(debug_assertions) {
        println!("\nThis is no release build, for which the limits are.");
    }
    println!();
    let verdicts: Vec<_> = comparisons.iter().filter_map(Comparison::verdict).collect();
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    Ok(verdicts.iter().all(|verdict| verdict.kept))
}

/// The one option: `-n RUNS`.
fn runs() -> anyhow::Result<usize> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runs = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => RUNS,
        ["-n", runs] => runs.parse().with_context(|| format!("-n {runs}: not a number of runs"))?,
        _ => bail!("usage: bench [-n RUNS]"),
    };
    ensure!(runs > 0, "-n 0: at least one run");
    Ok(runs)
}
