//! `make bench`: our helpers beside what the distribution has, in the same run.
//!
//! The runs alternate, so that both have the same machine at the same time, and what is compared are medians. Both are
//! started with the same call, on locks in the same store. Nothing but the limits is written down here.
//!
//! | module | what is in it |
//! |---|---|
//! | `pair` | what is compared with what, and the limits |
//! | `store` | what is locked, of which there are `files`, `objects` and `keys` |
//! | `run` | one run of a program |
//! | `memory` | what it takes while it holds the lock |
//! | `quantity` | what is compared, and the table |

mod files;
mod keys;
mod memory;
mod objects;
mod pair;
mod quantity;
mod run;
mod store;

use std::process::ExitCode;

use anyhow::{Context, bail, ensure};

use pair::{PAIRS, Pair};
use quantity::{Comparison, quantities};

/// Enough for a median that a busy machine does not move (issues 2 and 4 ask for 50).
const RUNS: usize = 50;

/// Runs before those that count: they load the programs into the page cache.
const WARM_UP: usize = 3;

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
    let (pairs, runs) = asked()?;
    let mut kept = true;
    for pair in pairs {
        kept &= compare(pair, runs).with_context(|| pair.name)?;
    }
    Ok(kept)
}

/// Prints the table of a pair, and says whether its limits are kept.
fn compare(pair: &Pair, runs: usize) -> anyhow::Result<bool> {
    let [mut theirs, mut ours] = pair.sides()?;
    let store = (pair.store)()?;
    for number in 0..WARM_UP + runs {
        let free = format!("free-{number}");
        store.add(&free)?;
        let mut sides = [&mut theirs, &mut ours];
        if number % 2 == 1 {
            sides.reverse();
        }
        for side in sides {
            let sample = side.run(store.as_ref(), &free)?;
            if number >= WARM_UP {
                side.samples.push(sample);
            }
        }
    }

    println!("theirs: {}\nours:   {}", theirs.program.display(), ours.program.display());
    println!("{runs} runs each, alternating, after {WARM_UP} to warm up\n");
    let compared = |quantity| Comparison::of(quantity, &theirs.samples, &ours.samples);
    let comparisons: Vec<_> = quantities(pair.limits).filter_map(compared).collect();
    print!("{}", quantity::table(&comparisons));
    let ctdbd = "A ctdbd runs here, with which theirs shares libraries: the limit for memory is for a machine without.";
    let debug = "This is no release build, for which the limits are.";
    let is_shared = pair.has_ctdbds_libraries() && memory::is_ctdbd_here();
    let notes = [pair.note, is_shared.then_some(ctdbd), cfg!(debug_assertions).then_some(debug)];
    notes.iter().flatten().for_each(|note| println!("\n{note}"));
    println!();
    let verdicts: Vec<_> = comparisons.iter().filter_map(Comparison::verdict).collect();
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    println!();
    Ok(verdicts.iter().all(|verdict| verdict.kept))
}

/// What the command line asks for: the pairs (all without a name), and `-n RUNS`.
fn asked() -> anyhow::Result<(Vec<&'static Pair>, usize)> {
    let (mut pairs, mut runs) = (Vec::new(), RUNS);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "-n" {
            let number = arguments.next().unwrap_or_default();
            runs = number.parse().with_context(|| format!("-n {number}: not a number of runs"))?;
        } else if let Some(pair) = PAIRS.iter().find(|pair| pair.name == argument) {
            pairs.push(pair);
        } else {
            let names: Vec<_> = PAIRS.iter().map(|pair| pair.name).collect();
            bail!("usage: bench [{}] [-n RUNS]", names.join("|"));
        }
    }
    ensure!(runs > 0, "-n 0: at least one run");
    Ok((if pairs.is_empty() { PAIRS.iter().collect() } else { pairs }, runs))
}
