//! `ctdb-mutex bench`: how long a helper takes for what CTDB waits for, and its memory.
//!
//! | module | what is in it |
//! |---|---|
//! | `sample` | one run: a free lock taken, asked for once more while it is held, and let go |
//! | `processes` | all processes of a helper, and their memory |
//! | `figures` | percentiles, ratios and histograms |
//! | `report` | what it says |
//!
//! Everything is measured from outside, at the pipe and at the processes, so it works on any helper. When exactly the lock
//! is free in the store only a store can say: the end of the last process is the latest moment, and each run begins with a
//! take that shows it.

mod figures;
mod processes;
mod report;
mod sample;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use mutex_core::status::exit_code;

use crate::helper::Signals;
use crate::lock::Lock;
use crate::say::{self, Voice};
use report::Report;
use sample::{Sample, Stop, sample};

/// Enough for a median that a busy machine does not move.
const RUNS: u32 = 50;

const EXAMPLES: &str = "\
Examples:
  $ ctdb-mutex bench /clusterfs/ctdb/lock --runs 10
    Times in ms and memory in KiB: a table on a terminal, lines in a pipe.
  $ ctdb-mutex bench --runs 5 --json  # the lock in ctdb.conf
  $ ctdb-mutex bench /clusterfs/ctdb/lock --runs 5 --against '!/usr/libexec/ctdb/ctdb_mutex_fcntl_helper /clusterfs/ctdb/lock'
    What our file helper takes as a part of what Samba's takes.";

/// Measure how long a helper takes to answer and to let go, and its memory
///
/// Each run takes the lock, asks for it once more while it is held, and lets it go with SIGTERM. A lock that is held is
/// refused, and left alone; while this runs, nobody else can rely on the lock: CTDB may find it taken.
/// Our helpers look twice before they answer 1, 50 ms apart.
///
/// Resident memory counts a page for each process that has it, proportional memory divides it among all processes of the
/// machine that share it. Ctrl-C ends it early.
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lock as in ctdb.conf; default: the one that is configured there
    lock: Option<String>,
    /// How many runs count, after one that loads the programs
    #[arg(long, value_name = "N", default_value_t = RUNS, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Alternate with this lock run by run, and print what LOCK takes as a part of it
    #[arg(long, value_name = "LOCK2")]
    against: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// A lock and what was measured of it.
pub(crate) struct Side {
    lock: Lock,
    samples: Vec<Sample>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut sides = vec![Lock::find(args.lock.as_deref())?];
    if let Some(against) = &args.against {
        sides.push(Lock::find(Some(against))?);
    }
    let mut sides: Vec<_> = sides.into_iter().map(|lock| Side { lock, samples: Vec::new() }).collect();
    let signals = Signals::block()?;
    let stopped = measure(&mut sides, args.runs, &signals);
    progress(None);
    Report { voice: Voice::new(args.json), asked: args.runs, is_whole: stopped.is_none() }.say(&sides);
    match stopped {
        // Ctrl-C is how to have enough of it.
        None | Some((_, Stop::Told)) => Ok(ExitCode::from(exit_code::RELEASED)),
        Some((lock, Stop::Broken(code, words))) => {
            let began = sides.iter().any(|side| !side.samples.is_empty());
            let doubt =
                if began && code == exit_code::CONTENDED { ", or the run before did not let it go" } else { "" };
            say::complain(&format!("{}: {words}{doubt}", lock.text()));
            Ok(ExitCode::from(code))
        }
        Some((lock, Stop::Failed(error))) => Err(error.context(lock.text().to_owned())),
    }
}

/// Runs them in turn, each first in every other round; what ended it before its time.
fn measure(sides: &mut [Side], runs: u32, signals: &Signals) -> Option<(Lock, Stop)> {
    for round in 0..=runs {
        progress(Some(&format!("run {round} of {runs}")));
        for turn in 0..sides.len() {
            let count = sides.len();
            let side = &mut sides[(turn + round as usize) % count];
            let loads = round == 0;
            match sample(&side.lock, signals, loads) {
                Ok(sample) if !loads => side.samples.push(sample),
                Ok(_) => {}
                Err(stop) => return Some((side.lock.clone(), stop)),
            }
        }
    }
    None
}

/// A line of a helper, in place of the one about how far it is.
fn pass_on(line: &str) {
    progress(None);
    say::pass_on(line);
}

/// A line on a terminal that the next one replaces; `None` removes it.
fn progress(text: Option<&str>) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K{}", text.unwrap_or_default()).and_then(|()| stderr.flush());
    }
}
